"""Whole runs with other networks: killed and resumed exactly, and used without naming a flag."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from main import main
from snapshot.format import read_snapshot
from tests.faults.run_faults import Faults
from tests.faults.sandbox import OFTEN, Sandbox

ROOT = Path(__file__).resolve().parents[2]
RAINBOW = """--double_q true --dueling true --noisy true --distribution c51 --n_step 3
    --prioritized true --importance_steps 100"""
TINY = """--screen_width 36 --screen_height 36 --batch_size 4 --replay_size 400 --random_starts 6
    --random_steps 40 --train_steps 60 --test_steps 30 --network_width 0.25
    --backend cpu --threads 1"""
KINDS = {
    "rainbow": RAINBOW,
    "iqn": "--distribution iqn --atoms 8 --network impala --munchausen true",
    "layer": "--normalization layer --distribution quantile --atoms 20 --overlap true",
    "own": f"--network {ROOT}/examples/my_network.py:MyNetwork --target "
    f"{ROOT}/examples/my_target.py:mellowmax --normalization spectral",
}


@pytest.fixture(autouse=True)
def level(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    before = logging.getLogger().level
    caplog.set_level(logging.INFO)
    yield
    logging.getLogger().setLevel(before)


def test_rainbow_killed_at_random_moments_ends_as_if_it_never_was(tmp_path: Path) -> None:
    """Sum tree, noise, average, rates, clock of resets and all, overlapped, in 16 bits."""
    flags = f"""{RAINBOW} {TINY} --reset_steps 70 --average_decay 0.9 --overlap true --num_envs 2
        --datatype bfloat16 --random_steps 80 --train_steps 140 --test_steps 40 --epochs 2
        --target_steps 60 --learning_rate_decay_updates 60 --replay_size 300 --random_seed 7"""
    faults = Faults(Sandbox(tmp_path / "clone", [*flags.split(), *OFTEN]), seed=2)
    outcome = faults.kills(2)
    assert outcome.tried
    assert not outcome.wrong, outcome


@pytest.mark.parametrize("kind", KINDS)
def test_a_snapshot_needs_no_flags(
    kind: str, home: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    def run(line: str, expect: int = 0) -> str:
        assert main(shlex.split(line)) == expect
        captured = capsys.readouterr()
        return captured.out + captured.err

    run(f"train pong {TINY} {KINDS[kind]} --epochs 1 --random_seed 3")
    path = home / "snapshots/pong_1.pkl"
    assert read_snapshot(path).tensors
    short = "--max_episode_frames 200 --random_seed 1"
    said = run(f"test {path} --test_games 1 {short}")
    assert "pong, 1 game" in said
    said = run(f"play {path} --display_screen false {short}")
    assert re.search(r"Game 1: score|score", said + caplog.text)
    run(f"record {path} --overlay mind {short}")
    (film,) = (home / "videos").glob("*.mov")
    assert film.stat().st_size > 1000
    refused = kind in ("iqn", "layer", "own")  # their convolutions do not follow one another
    said = run(f"nvis {path} {short}", expect=2 if refused else 0)
    assert ("filter page can only show convolutions" in said) == refused
    assert bool(list((home / "results").glob("*.html"))) != refused
    (home / "checkpoints").rename(home / "gone")
    run(f"resume {path} --epochs 2")
    flags = read_snapshot(home / "snapshots/pong_2.pkl").info["flags"]
    before = read_snapshot(path).info["flags"]
    own = ("noisy", "dueling", "distribution", "network", "normalization", "target", "prioritized")
    for name in own:
        assert flags[name] == before[name], name
