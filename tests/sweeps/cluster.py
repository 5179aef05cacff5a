"""Sweeps in a sandbox, and a cluster of Ray on this machine whose nodes can be killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.faults.sandbox import TIME_COLUMNS, Sandbox  # noqa: E402

# With games short enough to end in a test.
TINY = """--random_steps 200 --train_steps 200 --test_steps 50 --epochs 2 --replay_size 2000
--batch_size 8 --train_frequency 10 --checkpoint_minutes 0.02 --backend cpu
--max_episode_frames 200""".split()
# What a sweep gives its runs, for one by itself: flags are part of a snapshot.
ALONE = "--threads 1 --update_parts 1 --replay_storage compressed --overwrite".split()
PATIENCE = 240.0  # seconds; the machine may be busy
TOKEN = "1234" * 16


class SweepSandbox(Sandbox):
    """Its program is the sweep's."""

    def sweep(self, *words: str, **popen: Any) -> subprocess.Popen[str]:
        """Start ./sweep.sh with these words."""
        return self.start(*words, script="sweep.py", **popen)

    def finish(self, *words: str, **popen: Any) -> tuple[int, str]:
        """Run it to its end; its exit code and what it said."""
        process = self.sweep(*words, **popen)
        try:
            return process.wait(PATIENCE), self.said()
        finally:
            process.kill()
            process.wait()

    def outcome(self) -> dict[str, Any]:
        """The rows of all runs without their times, and the snapshots, by file."""
        found: dict[str, Any] = {}
        for path in sorted((self.root / "results").glob("*_seed*.csv")):
            lines = path.read_text().splitlines()
            found[path.name] = [line.rsplit(",", TIME_COLUMNS)[0] for line in lines]
        for path in sorted((self.root / "snapshots").glob("*.pkl")):
            found[path.name] = path.read_bytes()
        return found

    def runs(self) -> dict[str, psutil.Process]:
        """The processes that train now, by the run's label."""
        found = {}
        for process in psutil.process_iter():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            main = str(self.root / "src" / "main.py")
            # One that is still tethering itself has the same words after others.
            if words[1:2] == [main] and words[2:3] in (["train"], ["resume"]):
                found[words[4]] = process
        return found

    def checkpoints_of(self, name: str) -> int:
        """The number of its newest checkpoint, 0 if there is none."""
        manifests = (self.root / "checkpoints" / name).glob("*.json")
        return max((int(path.stem) for path in manifests if path.stem.isdecimal()), default=0)


def wait_until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """What the condition says once it says something; not longer than the process lives."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert process is None or process.poll() is None, "the sweep ended too soon"
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)
    return found


def kill_tree(pid: int) -> None:
    """SIGKILL for a process and all that it started, as when a machine loses its power."""
    try:
        process = psutil.Process(pid)
        processes = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for each in processes:
        try:
            each.send_signal(signal.SIGSTOP)  # lest one sees the other's end
        except psutil.NoSuchProcess:
            continue
    for each in processes:
        try:
            each.kill()
        except psutil.NoSuchProcess:
            continue


class TwoNodes:
    """A Ray cluster: a head without room for runs, and two nodes of one core each."""

    def __init__(self) -> None:
        """Start it, in a process of its own; close() ends it."""
        self.folder = Path(tempfile.mkdtemp(prefix="ray_", dir="/tmp"))
        (self.folder / "ray").mkdir()
        self.env = {
            "RAY_TMPDIR": str(self.folder),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": TOKEN,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback address
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_memory_monitor_refresh_ms": "0",
        }
        self.server = subprocess.Popen(
            [sys.executable, __file__],
            env=os.environ | self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self._answer()
        self.raylets = {self._add(), self._add()}

    def _answer(self) -> str:
        assert self.server.stdout
        found = self.server.stdout.readline().strip()
        assert found, "the cluster has not started"
        return found

    def _add(self) -> int:
        assert self.server.stdin
        self.server.stdin.write("add\n")
        self.server.stdin.flush()
        return int(self._answer())

    def kill_node_of(self, run: psutil.Process) -> None:
        """Kill the node that a run is computed on, with all that runs there, and add another."""
        (raylet,) = self.raylets & {parent.pid for parent in run.parents()}
        kill_tree(raylet)
        self.raylets = {*self.raylets - {raylet}, self._add()}

    def close(self) -> None:
        """End all of it."""
        self.server.communicate("end\n", timeout=PATIENCE)
        shutil.rmtree(self.folder, ignore_errors=True)


def serve() -> None:
    """Be a cluster: print its address, then for each line that is read add a node, until `end`."""
    from ray.cluster_utils import Cluster

    room = {"num_gpus": 0, "object_store_memory": 80 << 20}
    cluster = Cluster(initialize_head=True, head_node_args={**room, "num_cpus": 0})
    print(cluster.address, flush=True)
    while sys.stdin.readline().strip() == "add":
        node = cluster.add_node(**room, num_cpus=1)
        print(node.all_processes["raylet"][0].process.pid, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    serve()
