"""The picture of several settings: which runs belong together, and what is said of how many."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import plot
from errors import UserError
from plots.comparison import MOST_SETTINGS, draw_comparison, settings_of
from plots.csv_files import Results, read_results
from tests.test_plot import write_run


def runs(folder: Path, *names: str) -> list[Results]:
    return [read_results(write_run(folder / f"{name}.csv", seed=i)) for i, name in enumerate(names)]


def texts(found: list[Results]) -> set[str]:
    figure = draw_comparison(found, width=16, height=9)
    figure.draw_without_rendering()
    (legend,) = figure.legends
    said = [text.get_text() for text in legend.get_texts()]
    for axes in figure.axes:
        said += [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts)]
        said += [label.get_text() for label in axes.get_yticklabels()]
    return set(said)


def test_settings_are_what_names_have_beside_game_and_seed(tmp_path: Path) -> None:
    names = [f"{g}_x_lr_{lr}_seed{k}" for g in ("pong", "breakout") for lr in "12" for k in "34"]
    found = settings_of(runs(tmp_path, *names))
    assert [setting.name for setting in found] == ["1", "2"]
    assert [[len(each) for each in s.runs.values()] for s in found] == [[2, 2], [2, 2]]
    assert list(found[0].runs) == ["pong", "breakout"]


def test_the_description_beside_a_csv_names_the_game(tmp_path: Path) -> None:
    results = runs(tmp_path, "my_game_x_seed1")
    (tmp_path / "my_game_x_seed1.json").write_text(json.dumps({"flags": {"game": "my_game"}}))
    (setting,) = settings_of(results)
    assert (setting.name, list(setting.runs)) == ("x", ["my_game"])


def test_a_score_is_the_mean_of_the_last_tests(tmp_path: Path) -> None:
    (setting,) = settings_of(runs(tmp_path, "pong_seed1", "pong_seed2"))
    values = list(setting.runs["pong"][1].curve("test", "average_reward").values())
    assert setting.scores("pong", 2)[1] == pytest.approx(np.mean(values[-2:]))


def test_the_picture_says_what_it_compares(tmp_path: Path) -> None:
    names = [f"{g}_x_lr_{lr}_seed{k}" for g in ("pong", "breakout") for lr in "12" for k in "123"]
    said = texts(runs(tmp_path, *names))
    assert {"Pong", "Breakout", "1 (3 seeds)", "2 (3 seeds)", "2 > 1", "1", "2"} <= said
    assert {"Interquartile mean, % of human", "Probability of improvement"} <= said


def test_one_seed_gets_no_interval_and_no_mean(tmp_path: Path) -> None:
    said = texts(runs(tmp_path, "pong_x_a_seed1", "pong_x_a_seed2", "pong_x_b_seed1"))
    assert {"a (2 seeds)", "b (1 seed)", "needs 2 seeds of each game"} <= said
    assert "b > a" not in said


def test_games_without_a_human_score_are_compared_only(tmp_path: Path) -> None:
    names = [f"pang_{s}_seed{k}" for s in "ab" for k in "12"]
    results = runs(tmp_path, *names)
    for name in names:
        (tmp_path / f"{name}.json").write_text(json.dumps({"flags": {"game": "pang"}}))
    said = texts(results)
    assert {"no game with a published human score", "b > a"} <= said


def test_too_many_settings_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="too many for one picture"):
        settings_of(runs(tmp_path, *(f"pong_{i}_x_seed1" for i in range(MOST_SETTINGS + 1))))


def test_plot_compares_settings_unless_fields_are_named(tmp_path: Path) -> None:
    names = [f"pong_x_{setting}_seed{k}" for setting in "ab" for k in "12"]
    paths = [str(results.path) for results in runs(tmp_path, *names)]
    assert plot.main(paths) == 0
    compared = matplotlib.image.imread(tmp_path / "pong_x.png")
    assert plot.main([*paths, "--fields", plot.FIELDS]) == 0
    assert not np.array_equal(compared, matplotlib.image.imread(tmp_path / "pong_x.png"))
    # Two runs of one seed each have no seeds to compare.
    assert plot.main([paths[0], paths[2]]) == 0
