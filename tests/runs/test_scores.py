"""The scores of whole games, by the published protocol."""

from __future__ import annotations

import csv
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runs.human_scores import human_normalized
from runs.owed import Owed
from runs.scores import print_summary, write_scores


def test_a_summary_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("breakout", [1, 2, 6], 3)
    assert capsys.readouterr().out.splitlines() == [
        "breakout, 3 games",
        "  mean                     3.00",
        "  standard deviation       2.65",  # the root of (4 + 1 + 9) / 2
        "  median                   2.00",
        "  minimum                  1.00",
        "  maximum                  6.00",
        "  human-normalized          4.5 %",  # (3 - 1.7) / (30.5 - 1.7)
    ]


def test_one_game_does_not_deviate(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("pong", [-21], 1)
    assert "standard deviation       0.00" in capsys.readouterr().out


def test_a_stopped_test_says_how_many_games_are_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for played, asked, text in ((1, 1, "1 game"), (1, 30, "1 of 30 games"), (30, 30, "30 games")):
        print_summary("pong", [1.0] * played, asked)
        assert capsys.readouterr().out.splitlines()[0] == f"pong, {text}"


def test_no_game_and_no_human(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("pong", [], 1)
    assert capsys.readouterr().out == "No game was finished.\n"
    print_summary("tetris", [1], 2)
    assert "no human score is published" in capsys.readouterr().out
    print_summary("pong", [1], 1, is_ale=False)
    assert "no human score is published" in capsys.readouterr().out


def test_a_random_player_has_0_and_a_human_100_percent() -> None:
    assert human_normalized("pong", -20.7) == pytest.approx(0)
    assert human_normalized("pong", 14.6) == pytest.approx(100)
    assert human_normalized("tetris", 1) is None


def test_a_snapshot_whose_name_is_not_utf_8_has_a_row(tmp_path: Path) -> None:
    config = SimpleNamespace(
        csv_file=tmp_path / "test.csv", load_weights=Path("p\udcff_1.pkl"), random_seed=1
    )
    stats = SimpleNamespace(rows=[{"epoch": 1}], scores=[2.0, 1234567.75])
    parts: Any = SimpleNamespace(task=SimpleNamespace(config=config), stats=stats, owed=Owed())
    write_scores(parts)
    with config.csv_file.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["snapshot"].endswith("p\\udcff_1.pkl")
    assert (row["median_game_reward"], row["game_rewards"]) == ("617284.875", "2 1234567.75")
