"""The scores of whole games, by the published protocol."""

from __future__ import annotations

import pytest

from runs.human_scores import human_normalized
from runs.scores import print_summary


def test_a_summary_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("breakout", [1, 2, 6])
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
    print_summary("pong", [-21])
    assert "standard deviation       0.00" in capsys.readouterr().out


def test_no_game_and_no_human(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary("pong", [])
    assert capsys.readouterr().out == "No game was finished.\n"
    print_summary("tetris", [1])
    assert "no human score is published" in capsys.readouterr().out


def test_a_random_player_has_0_and_a_human_100_percent() -> None:
    assert human_normalized("pong", -20.7) == pytest.approx(0)
    assert human_normalized("pong", 14.6) == pytest.approx(100)
    assert human_normalized("tetris", 1) is None
