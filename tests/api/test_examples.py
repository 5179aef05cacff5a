"""The example programs run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def test_the_lives_of_the_seaquest_agent() -> None:
    command = [sys.executable, "examples/seaquest_lives.py", "--games", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    header, *lines, score = done.stdout.splitlines()
    assert header.split() == ["game", "life", "steps", "divers", "refills"]
    lives = [[int(cell) for cell in line.split()] for line in lines]
    assert [life[1] for life in lives] == list(range(1, len(lives) + 1))
    assert len(lives) >= 4  # and one more for 10,000 points
    assert float(score.split()[1]) > 1000
    for _, _, steps, divers, refills in lives:
        assert refills <= divers  # the game's rule
        assert steps < 700 or refills  # a full tank lasts 520 steps, and nobody lives without


def test_a_snapshot_that_does_not_exist_is_an_error_of_one_sentence() -> None:
    command = [sys.executable, "examples/seaquest_lives.py", "nowhere.pkl"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "nowhere.pkl" in done.stderr
    assert "Traceback" not in done.stderr
