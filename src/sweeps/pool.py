"""Ray: it finds a node with free cores for each job, and reports when a job or its node has died.

Only this file uses Ray. On one machine Ray is started for the time of the sweep and cannot be
reached from outside: it listens on the loopback address and requires a random token.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from config import ROOT
from engine.hardware import cores
from errors import UserError, shown
from runs.provenance import versions
from runs.signals import treat_signals_as_interrupts
from sweeps import node
from sweeps.node import STOP_SECONDS, Job, look_around, work

ALWAYS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_kill_child_processes_on_worker_exit": "0",  # they end in order by themselves, see node.py
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns; node.py hides GPUs itself
}
LOCAL = {
    "RAY_AUTH_MODE": "token",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too: the loopback address
    "RAY_memory_monitor_refresh_ms": "0",  # it would kill runs long before memory is short
    "RAY_grpc_server_retry_timeout_milliseconds": "1000",
}
OBJECT_STORE = 80 << 20  # bytes, about the least that Ray takes; exit codes are all it holds
CONNECT_SECONDS = 10.0
CHECK_SECONDS = 300.0
VERSIONS = (
    "import json, sys; sys.path.insert(0, sys.argv[1]); from runs.provenance import versions; "
    "print(json.dumps(versions()))"
)


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended."""

    job: Job
    code: int | None  # None: its node or Ray's worker died, or could not even start it
    reason: str = ""
    blameless: bool = False  # the node died, which is not the job's fault


@dataclass(kw_only=True)
class Pool:
    """Runs jobs and returns their exit codes."""

    ray: ModuleType
    cpus: float  # for each job
    gpus: float
    at_once: int
    nodes: int
    idle_gpus: bool = False  # whether there are some
    jobs: dict[Any, Job] = field(default_factory=dict)

    def submit(self, job: Job) -> None:
        """Run the job as soon as there are free cores."""
        remote = self.ray.remote(work)
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 0}
        self.jobs[remote.options(name=job.name, **options).remote(job)] = job

    def wait(self, seconds: float) -> list[End]:
        """The jobs that have ended; waits at most so many seconds."""
        ready, _ = self.ray.wait(list(self.jobs), timeout=seconds)
        return [self._end(reference) for reference in ready]

    def stop(self) -> None:
        """End all jobs in order, and wait until they have ended."""
        for reference in self.jobs:
            with contextlib.suppress(self.ray.exceptions.RayError):
                self.ray.cancel(reference)
        if self.jobs:
            count = len(self.jobs)
            self.ray.wait(list(self.jobs), num_returns=count, timeout=STOP_SECONDS)

    def _end(self, reference: Any) -> End:
        job, errors = self.jobs.pop(reference), self.ray.exceptions
        try:
            return End(job=job, code=self.ray.get(reference))
        except errors.RayTaskError as error:
            return End(job=job, code=None, reason=str(error.cause or error).splitlines()[-1])
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            return End(job=job, code=None, reason="its node died", blameless=True)
        except errors.RayError as error:
            return End(job=job, code=None, reason=f"{type(error).__name__}")


@contextlib.contextmanager
def open_pool(*, cpus: float, gpus: float, address: str | None = None) -> Iterator[Pool]:
    """Ray on this machine, or the cluster at `address`. Raises UserError if it cannot be used."""
    os.environ.update(ALWAYS if address else ALWAYS | LOCAL | {"RAY_AUTH_TOKEN": _word()})
    try:
        import ray
    except ModuleNotFoundError:
        raise UserError("Ray is not installed: ./sweep.sh installs it on its first run.") from None
    ray.cloudpickle.register_pickle_by_value(node)
    # NB! Ray writes what its parts die of, 20 lines each, to standard output.
    with contextlib.ExitStack() as stack:
        noise = stack.enter_context(open(os.devnull, "w"))  # noqa: PTH123
        stack.enter_context(contextlib.redirect_stdout(noise))
        common = {"log_to_driver": False, "logging_level": logging.CRITICAL}
        if address:
            stack.callback(ray.shutdown)
            _connect(ray, address, common)
        else:
            folder = tempfile.mkdtemp(prefix="ray_", dir="/tmp")  # short, for the sake of sockets
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            stack.callback(ray.shutdown)
            common |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
            _start(ray, {"num_cpus": cores(), "_temp_dir": folder, **common})
        treat_signals_as_interrupts()  # Ray has handlers of its own
        alive = [each for each in ray.nodes() if each["Alive"]]
        room = [_room(each["Resources"], cpus, gpus) for each in alive]
        pool = Pool(ray=ray, cpus=cpus, gpus=gpus, at_once=sum(room), nodes=len(alive))
        pool.idle_gpus = any(each["Resources"].get("GPU") for each in alive)
        if not pool.at_once:
            most = max(each["Resources"].get("CPU", 0) for each in alive)
            cards = max(each["Resources"].get("GPU", 0) for each in alive)
            raise UserError(
                f"--cpus {cpus:g} and --gpus {gpus:g} per run are more than any node has, which is "
                f"{most:g} cores and {cards:g} GPUs."
            )
        if address:
            _check_nodes(ray, alive)
        yield pool


def _room(resources: dict[str, float], cpus: float, gpus: float) -> int:
    room = int(resources.get("CPU", 0) / cpus + 1e-9)
    return min(room, int(resources.get("GPU", 0) / gpus + 1e-9)) if gpus else room


def _word() -> str:
    return secrets.token_hex(32)


def _start(ray: ModuleType, settings: dict[str, Any]) -> None:
    try:
        ray.init(address="local", **settings)
    except SystemExit as error:  # Ray's own answer to SIGTERM
        raise KeyboardInterrupt from error
    except Exception as error:  # Ray's errors have no class of their own
        raise UserError(
            f"Ray cannot start on this machine ({_in_one_line(error)}): is it too busy, "
            "or short of memory or of room in /tmp and /dev/shm?"
        ) from None


def _in_one_line(error: Exception) -> str:
    return " ".join(line.strip() for line in str(error).splitlines() if line.strip())[:300]


def _connect(ray: ModuleType, address: str, common: dict[str, Any]) -> None:
    host, _, port = address.rpartition(":")
    try:
        if not host or not port.isdecimal():
            raise UserError(f"--address is HOST:PORT of the cluster's head, not {shown(address)}.")
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, **common)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"No Ray cluster answers at {address} ({error}): is it running, and are RAY_AUTH_MODE "
            "and RAY_AUTH_TOKEN set as they are there?"
        ) from None
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(
            f"Ray cannot join the cluster at {address} from this machine, which must be a node of "
            f"it with the same Ray and Python: {_in_one_line(error)}"
        ) from None


def _check_nodes(ray: ModuleType, alive: Sequence[dict[str, Any]]) -> None:
    """Raise UserError unless every node sees this folder and computes with the same versions."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    word = _word()
    probe = ROOT / "results" / f".probe{word[:8]}.tmp"
    command = (sys.executable, "-P", "-c", VERSIONS, str(ROOT / "src"))
    try:
        probe.parent.mkdir(exist_ok=True)
        probe.write_text(word)
        found = []
        for each in alive:
            there = NodeAffinitySchedulingStrategy(each["NodeID"], soft=False)
            remote = ray.remote(look_around).options(num_cpus=0, scheduling_strategy=there)
            found.append(remote.remote(str(probe), command, str(Path.cwd())))
        ready, late = ray.wait(found, num_returns=len(found), timeout=CHECK_SECONDS)
        seen = []
        for reference in ready:
            with contextlib.suppress(ray.exceptions.RayError):  # a node that has just died
                seen.append(ray.get(reference))
        if late or not seen:
            raise UserError(
                f"{len(late) or 'All'} of the cluster's {len(alive)} nodes do not answer: "
                "check them with ray status."
            )
    except OSError as error:
        raise UserError(f"Cannot write {probe}: {error.strerror}.") from None
    finally:
        probe.unlink(missing_ok=True)
    ours = versions()
    for each in seen:
        if each["probe"] != word:
            raise UserError(
                f"{each['host']} does not see {ROOT}: a cluster needs the clone in a folder that "
                "all nodes share, under the same path."
            )
        try:
            theirs = json.loads(each["answer"])
        except ValueError:
            raise UserError(
                f"{each['host']} cannot run {sys.executable}: {each['answer']}"
            ) from None
        for name in ours.keys() | theirs.keys():
            if ours.get(name) != theirs.get(name):
                raise UserError(
                    f"{each['host']} has {name} {theirs.get(name)}, this machine has "
                    f"{ours.get(name)}: the nodes of a cluster need the same versions."
                )
