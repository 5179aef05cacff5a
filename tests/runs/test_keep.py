"""--keep_snapshots: the newest ones and the best stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import Config
from runs.keep import remove_snapshots

SCORES = {1: 5.0, 2: 30.0, 3: 7.0, 4: 6.0, 5: 8.0}


def rows(*epochs: int) -> list[dict[str, Any]]:
    """Tests after these epochs. Training scores say the opposite."""
    train = [row(n, "train", -SCORES[n]) for n in SCORES]
    return train + [row(n, "test", SCORES[n]) for n in epochs]


def row(epoch: int, phase: str, score: float, games: int = 3) -> dict[str, Any]:
    return {"epoch": epoch, "phase": phase, "average_reward": score, "nr_games": games}


def test_the_score_of_an_unfinished_game_is_not_the_best(tmp_path: Path) -> None:
    for epoch in (1, 2, 3):
        (tmp_path / f"pong_{epoch}.pkl").touch()
    config = Config(save_weights_prefix=tmp_path / "pong", keep_snapshots=1)
    remove_snapshots(config, [row(1, "test", 9.0, games=0), row(2, "test", 1.0), row(3, "test", 0)])
    assert {path.name for path in tmp_path.iterdir()} == {"pong_2.pkl", "pong_3.pkl"}


@pytest.mark.parametrize(
    ("keep", "tested", "left"),
    [
        (0, (1, 2, 3, 4, 5), {1, 2, 3, 4, 5}),
        (1, (1, 2, 3, 4, 5), {2, 5}),
        (2, (1, 2, 3, 4, 5), {2, 4, 5}),
        (2, (1, 3, 4), {3, 4, 5}),  # epochs 2 and 5 were never tested
        (2, (), {4, 5}),
        (9, (1, 2, 3, 4, 5), {1, 2, 3, 4, 5}),
    ],
)
def test_the_newest_and_the_best_stay(
    tmp_path: Path, keep: int, tested: tuple[int, ...], left: set[int]
) -> None:
    others = {"pong_mine_1.pkl", "pong.csv", "pong_x.pkl"}
    for name in others | {f"pong_{epoch}.pkl" for epoch in SCORES}:
        (tmp_path / name).touch()
    config = Config(save_weights_prefix=tmp_path / "pong", keep_snapshots=keep)
    remove_snapshots(config, rows(*tested))
    expected = others | {f"pong_{epoch}.pkl" for epoch in left}
    assert {path.name for path in tmp_path.iterdir()} == expected


def test_snapshots_of_epochs_without_rows_stay(tmp_path: Path) -> None:
    for epoch in SCORES:
        (tmp_path / f"pong_{epoch}.pkl").touch()
    config = Config(save_weights_prefix=tmp_path / "pong", keep_snapshots=1)
    remove_snapshots(config, [row(4, "train", 1.0), row(5, "train", 1.0)])
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {f"pong_{epoch}.pkl" for epoch in (1, 2, 3, 5)}


def test_without_snapshots_nothing_is_removed() -> None:
    remove_snapshots(Config(keep_snapshots=1), rows(1))
