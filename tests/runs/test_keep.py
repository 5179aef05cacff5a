"""--keep_snapshots: the newest ones and the best stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from config import Config
from runs.keep import remove_snapshots

SCORES = {1: 5.0, 2: 30.0, 3: 7.0, 4: 6.0, 5: 8.0}


def rows(*epochs: int) -> list[dict[str, Any]]:
    """Training scores say the opposite."""
    train = [{"epoch": n, "phase": "train", "average_reward": -SCORES[n]} for n in epochs]
    return train + [{"epoch": n, "phase": "test", "average_reward": SCORES[n]} for n in epochs]


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


def test_without_snapshots_nothing_is_removed() -> None:
    remove_snapshots(Config(keep_snapshots=1), rows(1))
