"""A sweep on a cluster of two nodes: whatever is killed, in the end the results are the same."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tests.sweeps.cluster import ALONE, TINY, SweepSandbox, TwoNodes, kill_tree, wait_until

SWEEP = ["breakout", "--name", "a", "--seeds", "2", *TINY]
RUNS = ("breakout_a_seed1", "breakout_a_seed2")


pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("ray"), reason="Ray is not installed; ./sweep.sh installs it"
)


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoNodes]:
    found = TwoNodes()
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    yield found
    found.close()


def test_a_run_a_node_and_the_driver_are_killed_and_nothing_is_lost(
    tmp_path: Path, nodes: TwoNodes
) -> None:
    sandbox = SweepSandbox(tmp_path)
    for seed in ("1", "2"):  # undisturbed, by themselves
        flags = [*TINY, *ALONE, "--random_seed", seed]
        assert sandbox.run("train", "breakout", f"a_seed{seed}", *flags)[0] == 0
    expected = sandbox.outcome()
    assert [len(expected[f"{name}.csv"]) for name in RUNS] == [6, 6]
    sandbox.clear()

    driver = sandbox.sweep(*SWEEP, "--address", nodes.address)

    def hold(name: str, other: psutil.Process | None = None) -> psutil.Process:
        """A run's process, another than `other`, stopped so that it lives until it is killed."""

        def found() -> psutil.Process | None:
            process = sandbox.runs().get(name.removeprefix("breakout_"))
            return process if process != other and sandbox.checkpoints_of(name) > 1 else None

        process: psutil.Process = wait_until(found, driver)
        process.suspend()
        return process

    try:
        second = hold(RUNS[1])
        first = hold(RUNS[0])
        first.kill()
        first = hold(RUNS[0], first)
        nodes.kill_node_of(second)
        second = hold(RUNS[1], second)
    finally:
        kill_tree(driver.pid)
        driver.wait()
    for process in (first, second):
        with suppress(psutil.NoSuchProcess):
            process.resume()
    wait_until(lambda: not sandbox.runs())  # which end in order

    code, said = sandbox.finish(*SWEEP, "--address", nodes.address)
    assert code == 0, said
    assert sandbox.outcome() == expected
    log = (tmp_path / "results" / f"{RUNS[1]}.log").read_text()
    assert log.count('"words": ["train"') == 1, "begun once, then resumed"
    rows = (tmp_path / "results" / "a.csv").read_text().splitlines()
    assert [row.split(",")[:5] for row in rows[1:]] == [
        [name, "breakout", "", str(seed), "true"] for seed, name in enumerate(RUNS, start=1)
    ]
    assert (tmp_path / "results" / "a.png").read_bytes()[:4] == b"\x89PNG"
