"""Forges values inside files and flags that parse, by the thousand, and prints what became of them:

    python tests/faults/fuzz_values.py --manifests 5000 --descriptions 2000 --presets 2000

Hypothesis draws the forgeries from the schema (schema.py) and from what is worst: numbers
at and beyond every limit, texts for numbers, terminal codes, long and deeply nested values, parts
left out. Each is read as the program reads it; what is accepted is used. Hashes are computed again,
so that nothing is refused for being damaged. A case fails if it ends in anything but being used or
one plain sentence; then Hypothesis shows the smallest such case, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import logging
import math
import os
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

import paths  # noqa: E402
from checkpoint.files import checkpoint_file, checkpoint_numbers, read_checkpoint  # noqa: E402
from checkpoint.resume import resumed_config  # noqa: E402
from commands import verbs  # noqa: E402
from commands.catalog import VERBS  # noqa: E402
from commands.flags import Parser  # noqa: E402
from commands.presets import resolve  # noqa: E402
from commands.verbs import parse  # noqa: E402
from config import FIELDS, VALUES  # noqa: E402
from envs import roms  # noqa: E402
from errors import Diverged, UserError, clean  # noqa: E402
from main import construct, main  # noqa: E402
from runs.run import Run  # noqa: E402
from schema import Value  # noqa: E402
from snapshot.pickle_writer import dumps  # noqa: E402
from snapshot.safe_pickle import loads  # noqa: E402
from user_code import trust  # noqa: E402

TINY = """--random_steps 30 --train_steps 20 --test_steps 0 --epochs 1 --replay_size 100
--batch_size 4 --target_steps 10 --random_seed 3 --backend cpu --threads 1 --screen_width 36
--screen_height 36 --random_starts 6 --prioritized true --optimizer adam --overlap true""".split()
LONGEST = 3000  # characters of a sentence
RUN_SECONDS = 5.0
FORGED = 99  # number of the forged checkpoint

NUMBERS: list[Any] = [
    0,
    -1,
    1,
    2**31,
    -(2**31),
    2**63,
    -(2**63),
    2**64,
    10**30,
    10**400,
    -(10**400),
]
NUMBERS += [0.5, -0.0, 1e-320, 1e38, 1e39, 1e99, 1e308, -1e308, math.inf, -math.inf, math.nan]
TEXTS = ["", "\x00", "\x1b[2J\x1b[31m", "a\nb", "‮gnp", "\ud800", "é" * 300, "a" * 60_000, "../../x"]
TEXTS += ["/etc/passwd", "nan", "1e999", "٣", "1_000", "true", "examples/catch.py:Catch", "a" * 251]
NESTED: list[Any] = [[], {}, [[]] * 3, {"": {}}, [None] * 300, {"a" * 5000: 1}]
for _ in range(50):
    NESTED[2] = [NESTED[2]]
worst = st.sampled_from([None, True, False, *NUMBERS, *TEXTS, *NESTED]) | st.integers() | st.text()


@dataclass
class Outcome:
    """What became of the cases of a class."""

    name: str
    tried: int = 0
    refused: int = 0
    seconds: float = 0.0  # of the slowest case
    failure: str = ""
    memory: int = field(default_factory=lambda: 0)  # bytes, of the whole process at most

    def __str__(self) -> str:
        return (
            f"{self.name:<14}{self.tried:>7} tried, {self.tried - self.refused:>6} used, "
            f"{self.refused:>6} refused, {int(bool(self.failure))} failed, slowest "
            f"{self.seconds:.2f} s, at most {self.memory / 1e6:.0f} MB {self.failure}"
        )

    @contextmanager
    def case(self) -> Iterator[None]:
        """One case: used or refused in a sentence, and how long that took."""
        self.tried += 1
        started = time.perf_counter()
        try:
            yield
        except (UserError, Diverged) as error:
            self.refused += 1
            check_sentence(str(error))
        finally:
            self.seconds = max(self.seconds, time.perf_counter() - started)


def check_sentence(text: str) -> None:
    """Fail unless the text is one plain sentence, as it is shown."""
    assert text == clean(text), ascii(text[:300])
    assert "\n" not in text, ascii(text[:300])
    assert len(text) < LONGEST, len(text)


def memory() -> int:
    """The bytes that this process has taken at most."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024 if found else 0


def draw_many(outcome: Outcome, count: int, strategy: Any, use: Callable[[Any], None]) -> Outcome:
    """Give `count` values that `strategy` draws to `use`."""

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(value: Any) -> None:
        with outcome.case():
            use(value)

    try:
        run()
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)[-4:]
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames))
        outcome.failure = f"\n    {error!r:.300} in {where}"
    outcome.memory = memory()
    return outcome


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a tree of dicts and lists a value stands, arrays left out."""
    if not isinstance(tree, np.ndarray):
        yield path
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from places(value, (*path, key))
    if isinstance(tree, list | tuple):
        for n, value in enumerate(tree):
            yield from places(value, (*path, n))


def near(value: Any) -> Any:
    """What lies close to a value: its limits if it is a flag's, other types, other lengths."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return worst
    around = [value - 1, value + 1, -value, value * 2, value + 0.5, float(value), str(value)]
    return st.sampled_from(around) | worst


@st.composite
def forged(draw: Any, tree: Any) -> Any:
    """The tree with one to three values replaced, left out or added."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        path = draw(st.sampled_from([place for place in places(tree) if place]))
        holder = tree
        for key in path[:-1]:
            holder = holder[key]
        if isinstance(holder, tuple):
            continue
        key = path[-1]
        what = draw(st.sampled_from(["replace", "replace", "replace", "near", "remove", "add"]))
        if what == "remove":
            del holder[key]
        elif what == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(TEXTS))] = copy.deepcopy(draw(worst))
        elif key in FIELDS and what == "near":
            holder[key] = copy.deepcopy(draw(of_value(VALUES[key])))
        else:
            holder[key] = copy.deepcopy(draw(near(holder[key]) if what == "near" else worst))
    return tree


def of_value(value: Value) -> Any:
    """What a flag may be, its limits, what lies beyond them, and worse."""
    limits = [value.low, value.high, value.low - 1, value.high + 1, value.high * 10]
    numbers = [int(x) if value.kind is int else float(x) for x in limits]
    return st.sampled_from([*numbers, *value.choices, True, False]) | worst


class Fuzzer:
    """A small run that has a checkpoint and a snapshot to forge."""

    def __init__(self, home: Path) -> None:
        """Train it in `home`, which is taken for the clone."""
        self.home = home
        for module in (paths, verbs, roms):
            module.ROOT = home  # type: ignore[attr-defined]
        trust.FOLDER = home / ".trusted"
        assert main(["train", "pong", *TINY]) == 0
        self.folder = home / "checkpoints" / "pong"
        self.real = read_checkpoint(self.folder, checkpoint_numbers(self.folder)[0])
        self.manifest = json.loads(
            (self.folder / checkpoint_file(self.real.number, "json")).read_bytes()
        )
        for path in [*self.folder.iterdir()]:
            if path.name.startswith(f"{self.real.number:06}.npz"):
                shutil.copy(path, self.folder / checkpoint_file(FORGED, "npz"))
        files = self.manifest["checkpoint"]["files"]
        files[checkpoint_file(FORGED, "npz")] = files.pop(checkpoint_file(self.real.number, "npz"))
        self.content = loads((home / "snapshots" / "pong_1.pkl").read_bytes())
        task = parse("train", ["pong", *TINY, "--overwrite"])
        self.parts: Run = construct(task, "array")
        self.arrays = self.real.arrays()
        logging.getLogger().setLevel(logging.CRITICAL)
        assert self.parts.checkpointer
        self.parts.checkpointer.due = math.inf  # none of this run's own in between
        # What is not forged is used, or nothing would be tried by forging it.
        self.read_manifest((self.manifest["checkpoint"], True, self.arrays))
        self.read_description((self.content, "test"))

    def read_manifest(self, case: tuple[Any, bool, Any]) -> None:
        """Read a forged checkpoint and continue a little from it."""
        body, signed, arrays = case
        if arrays is not None:
            body = copy.deepcopy(body)
            path = self.folder / checkpoint_file(FORGED, "npz")
            kept = path.read_bytes()
            np.savez(path, **arrays)
            data = path.read_bytes()
            if isinstance(body.get("files"), dict):
                entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
                body["files"][path.name] = entry
        text = json.dumps(body, separators=(",", ":")).encode()
        digest = hashlib.sha256(text).hexdigest()
        signature = trust.sign(digest) if signed else ""
        manifest = {"sha256": digest, "signature": signature, "checkpoint": body}
        (self.folder / checkpoint_file(FORGED, "json")).write_text(json.dumps(manifest))
        try:
            self.continue_from_forged()
        finally:
            if arrays is not None:
                path.write_bytes(kept)

    def continue_from_forged(self) -> None:
        """Raises UserError."""
        try:
            checkpoint = read_checkpoint(self.folder, FORGED)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UserError(str(reason)) from None
        resumed_config(checkpoint, "pong", "pong", {"epochs": 9})
        assert self.parts.checkpointer
        self.parts.checkpointer.restore(checkpoint)
        self.parts.agent.train(8)
        written = {path.name for path in self.home.iterdir()}
        assert written <= {"checkpoints", "results", "snapshots", ".trusted", "pong_1.pkl"}, written

    def manifests(self, count: int) -> Outcome:
        """Forged manifests, and arrays with other numbers, shapes and types."""
        body = self.manifest["checkpoint"]
        small = [name for name, array in self.arrays.items() if array.size < 1000]

        @st.composite
        def arrays(draw: Any) -> Any:
            name = draw(st.sampled_from([*small, *self.arrays]))
            array = self.arrays[name]
            one = array.copy()
            values: list[float] = [0, 1, 100]
            if array.dtype.kind == "f":
                values += [1e-9, np.finfo(array.dtype).max]
            one.ravel()[array.size // 2 :][:1] = draw(st.sampled_from(values))
            changed = draw(
                st.sampled_from(
                    [
                        one,
                        np.empty(0, array.dtype),
                        array.astype(np.float64),
                        array.astype(np.uint8),
                        np.full_like(array, 255),
                        array * 0 - 1 if array.dtype.kind in "if" else array[..., None],
                        np.full(array.shape, np.nan),
                        np.zeros((1,) * 9, array.dtype),
                    ]
                )
            )
            return {**self.arrays, name: changed}

        case = st.tuples(forged(body), st.booleans(), st.none()) | st.tuples(
            st.just(body), st.booleans(), arrays()
        )
        return draw_many(Outcome("manifests"), count, case, self.read_manifest)

    def read_description(self, case: tuple[Any, str]) -> None:
        """Make of a forged snapshot what a verb makes of it, up to its network."""
        content, verb = case
        path = self.home / "pong_1.pkl"
        try:
            data = dumps(content)
        except (TypeError, OverflowError, RecursionError):
            return  # what this program cannot write; pickles of any kind are in fuzz_pickles.py
        path.write_bytes(data)
        task = parse(verb, [str(path), "--backend", "cpu", "--epochs", "2"])
        network = self.parts.network
        same = all(
            getattr(task.config, name) == getattr(self.parts.task.config, name)
            for name in ("screen_width", "screen_height", "history_length")
        )
        if network and same:
            network.load_weights(path)

    def descriptions(self, count: int) -> Outcome:
        """Snapshots that describe themselves otherwise than they are."""
        case = st.tuples(forged(self.content), st.sampled_from(["test", "resume", "play", "nvis"]))
        return draw_many(Outcome("descriptions"), count, case, self.read_description)

    def presets(self, count: int) -> Outcome:
        """TOML files with any values for flags, and for what is no flag."""
        path = self.home / "own.toml"
        names = st.sampled_from([*FIELDS, "", "agent", "epoch", "x" * 300])
        pair = names.flatmap(
            lambda name: st.tuples(st.just(name), of_value(VALUES.get(name, VALUES["game"])))
        )

        def use(pairs: list[tuple[str, Any]]) -> None:
            lines = [f"{json.dumps(name)} = {toml(value)}" for name, value in pairs]
            path.write_bytes("\n".join(lines).encode(errors="surrogatepass"))
            resolve({"preset": str(path)}, {})

        return draw_many(Outcome("presets"), count, st.lists(pair, min_size=1, max_size=3), use)

    def flags(self, values: int) -> Outcome:
        """Every flag with `values` values: limits, beyond, and what is no number."""
        outcome = Outcome("flags")
        for name, value in VALUES.items():
            if name == "game":
                continue
            for text in list(dict.fromkeys(spelled(value)))[:values]:
                try:
                    with outcome.case():
                        words, given = Parser(VERBS["train"]).parse(["pong", f"--{name}={text}"])
                        assert words == ["pong"]
                        resolve({**given, "preset": "simple_dqn"}, {})
                except Exception as error:
                    outcome.failure += f"\n    --{name}={text[:60]!a}: {error!r:.200}"
        outcome.memory = memory()
        return outcome

    def runs(self) -> Outcome:
        """Training with each number at its limits, stopped after some seconds."""
        outcome = Outcome("flags, run")
        for name, value in VALUES.items():
            for number in (value.low, value.high) if value.kind in (int, float) else ():
                text = repr(int(number)) if value.kind is int else repr(number)
                signal.signal(signal.SIGALRM, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
                signal.setitimer(signal.ITIMER_REAL, RUN_SECONDS)
                try:
                    with outcome.case():
                        code = main(["train", "pong", *TINY, f"--{name}={text}", "--overwrite"])
                        outcome.refused += code == 2
                        assert code in (0, 1, 2, 130), code
                except Exception as error:
                    outcome.failure += f"\n    --{name}={text}: {error!r:.300}"
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
        outcome.memory = memory()
        return outcome


def spelled(value: Value) -> Iterator[str]:
    """A flag's values as text: those at its limits and beyond, and those that are none."""
    for number in (value.low, value.high):
        for other in (number, number - 1, number + 1, number / 2, number * 2):
            yield repr(int(other)) if other == int(other) else repr(other)
    yield from value.choices
    yield from (repr(number) for number in NUMBERS if abs(number) < 1e308)
    yield from (
        "1e999",
        "1e3",
        "1.5e3",
        "-1e-999",
        "0x10",
        "1,5",
        " 1",
        "1 ",
        "+1",
        "--1",
        "1e",
        ".",
    )
    yield from TEXTS


def toml(value: Any) -> str:
    """A value as TOML writes it, or near to that."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return "''" if value is None else json.dumps(value)


def fuzz(
    home: Path,
    *,
    manifests: int = 0,
    descriptions: int = 0,
    presets: int = 0,
    values: int = 0,
    runs: bool = False,
) -> list[Outcome]:
    """The classes with any cases; their outcomes."""
    kept = [(module, "ROOT", module.ROOT) for module in (paths, verbs, roms)]
    folder, level, where = trust.FOLDER, logging.getLogger().level, Path.cwd()
    os.chdir(home)
    try:
        fuzzer = Fuzzer(home)
        outcomes = []
        if manifests:
            outcomes.append(fuzzer.manifests(manifests))
        if descriptions:
            outcomes.append(fuzzer.descriptions(descriptions))
        if presets:
            outcomes.append(fuzzer.presets(presets))
        if values:
            outcomes.append(fuzzer.flags(values))
        if runs:
            outcomes.append(fuzzer.runs())
        return outcomes
    finally:
        for module, name, value in kept:
            setattr(module, name, value)
        trust.FOLDER = folder
        logging.getLogger().setLevel(level)
        os.chdir(where)


def command() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--manifests", type=int, default=5000)
    parser.add_argument("--descriptions", type=int, default=2000)
    parser.add_argument("--presets", type=int, default=2000)
    parser.add_argument("--values", type=int, default=40, help="of each flag")
    parser.add_argument("--runs", action="store_true", help="train with each number's limits too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = fuzz(Path(folder), **vars(options))
    print("\n".join(map(str, outcomes)))
    return int(any(outcome.failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(command())
