"""Kills runs, nodes and the driver of a sweep at random moments, and holds the results against
undisturbed runs:

    python tests/sweeps/run_faults.py --kills 30

Prints what it does. Exit code 1 if a result differs.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from tests.sweeps.cluster import ALONE, TINY, SweepSandbox, TwoNodes, kill_tree, wait_until  # noqa: E402

SEEDS = 3
LONGER = ["--train_steps", "1000", "--epochs", "3"]  # so that there is time to kill
LONGEST_WAIT = 8.0  # seconds between faults


def undisturbed(sandbox: SweepSandbox) -> None:
    """Each run by itself, as a shell loop would do it."""
    for seed in range(1, SEEDS + 1):
        flags = [*TINY, *LONGER, *ALONE, "--random_seed", str(seed)]
        code, said = sandbox.run("train", "breakout", f"a_seed{seed}", *flags, timeout=1200)
        assert code == 0, said


def disturb(sandbox: SweepSandbox, nodes: TwoNodes, kills: int, seed: int) -> Counter[str]:
    """Kill until enough is killed or the sweep is done, then let it finish; what was killed."""
    done: Counter[str] = Counter()
    chance = random.Random(seed)
    words = ["breakout", "--name", "a", "--seeds", str(SEEDS), *TINY, *LONGER]
    words += ["--address", nodes.address]
    driver = sandbox.sweep(*words)
    while sum(done.values()) < kills:
        time.sleep(chance.uniform(0, LONGEST_WAIT))
        if driver.poll() is not None:
            break
        victim = chance.choice(["run", "run", "node", "driver"])
        runs = list(sandbox.runs().values())
        try:
            if victim == "driver":
                kill_tree(driver.pid)
                driver.wait()
                driver = sandbox.sweep(*words)
            elif not runs:
                continue
            elif victim == "run":
                chance.choice(runs).kill()
            else:
                nodes.kill_node_of(chance.choice(runs))
        except (psutil.Error, ValueError):  # it has just ended by itself
            continue
        done[victim] += 1
        print(f"killed a {victim}, {sum(done.values())} of {kills}", flush=True)
    if driver.poll() is None:
        driver.wait(3600)
    wait_until(lambda: not sandbox.runs())
    code, said = sandbox.finish(*words)
    assert code == 0, said
    return done


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sweep_faults_") as folder:
        sandbox = SweepSandbox(Path(folder))
        undisturbed(sandbox)
        expected = sandbox.outcome()
        sandbox.clear()
        nodes = TwoNodes()
        os.environ.update(nodes.env)
        try:
            done = disturb(sandbox, nodes, options.kills, options.seed)
        finally:
            nodes.close()
        found = sandbox.outcome()
    differing = [name for name in expected if found.get(name) != expected[name]]
    print(f"{dict(done)}: {len(expected)} files, {len(differing)} differ {differing or ''}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
