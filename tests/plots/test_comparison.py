"""The picture of several settings: which runs belong together, and what is said of how many."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

import plot
from errors import UserError
from plots.captions import length
from plots.comparison import MOST_SETTINGS, draw_comparison, settings_of
from plots.csv_files import Results, group_runs, read_results
from plots.files import save_figure
from stats import COLUMNS
from tests.test_plot import assert_no_overlap, write_run


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


def test_a_flag_that_is_varied_is_named(tmp_path: Path) -> None:
    names = [
        f"pong_x_learning_rate_{lr}_double_q_{q}_seed1" for lr in "12" for q in ("true", "false")
    ]
    found = settings_of(runs(tmp_path, *names[:2]))
    assert [setting.name for setting in found] == ["double_q true", "double_q false"]
    found = settings_of(runs(tmp_path, *names))
    assert found[2].name == "learning_rate 2, double_q true"


def test_the_description_beside_a_csv_names_the_game(tmp_path: Path) -> None:
    results = runs(tmp_path, "my_game_x_seed1")
    (tmp_path / "my_game_x_seed1.json").write_text(json.dumps({"flags": {"game": "my_game"}}))
    (setting,) = settings_of(results)
    assert (setting.name, list(setting.runs)) == ("x", ["my_game"])


def test_runs_of_the_same_name_in_different_folders_are_different_settings(tmp_path: Path) -> None:
    for folder in "ab":
        (tmp_path / folder).mkdir()
    found = settings_of(runs(tmp_path, *(f"{f}/pong_seed{k}" for f in "ab" for k in (1, 2))))
    assert [(s.name, len(s.runs["pong"])) for s in found] == [("a", 2), ("b", 2)]


def test_settings_without_a_common_game_are_told_so(tmp_path: Path) -> None:
    found = texts(runs(tmp_path, "pong_p_seed1", "pong_p_seed2", "qbert_q_seed1", "qbert_q_seed2"))
    assert "no game that all settings have" in found
    assert "no game with a published human score" not in found


def test_a_score_is_the_mean_of_the_last_tests(tmp_path: Path) -> None:
    (setting,) = settings_of(runs(tmp_path, "pong_seed1", "pong_seed2"))
    values = list(setting.runs["pong"][1].curve("test", "average_reward").values())
    assert setting.scores("pong", 2)[1] == pytest.approx(np.mean(values[-2:]))


def test_the_picture_says_what_it_compares(tmp_path: Path) -> None:
    names = [f"{g}_x_lr_{lr}_seed{k}" for g in ("pong", "breakout") for lr in "12" for k in "123"]
    said = texts(runs(tmp_path, *names))
    assert {"Pong", "Breakout", "1 (3 seeds)", "2 (3 seeds)", "2 > 1", "1", "2"} <= said
    assert {"Interquartile mean, % of human", "Probability of improvement"} <= said


def test_a_run_that_ended_early_hides_nothing(tmp_path: Path) -> None:
    found = runs(tmp_path, *(f"pong_x_{s}_seed{k}" for s in "ab" for k in "123"))
    found[1] = read_results(write_run(tmp_path / "pong_x_a_seed2.csv", 1, seed=1))
    figure = draw_comparison(found, width=16, height=9)
    solid, dotted, whole = (np.asarray(line.get_ydata()) for line in figure.axes[0].lines)
    assert np.isnan(solid).tolist() == [False, True, True]
    assert not np.isnan(dotted).any()
    assert not np.isnan(whole).any()
    scores = np.array(
        [list(run.curve("test", "average_reward").values()) for run in found[::2][:2]]
    )
    assert dotted[2] == pytest.approx(scores[:, 2].mean())
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "Fewer seeds (a: 1 of 3 runs until epoch 1)" in said


@pytest.mark.parametrize(
    ("size", "games", "said"),
    [((16, 9), 1, 0), ((16, 9), 2, 0), ((3, 3), 1, 1)],
    ids=["one", "two", "small"],
)
def test_many_long_names_stay_on_the_page_or_get_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, size: tuple[int, int], games: int, said: int
) -> None:
    name = "learning_rate_{}_optimizer_adam_double_q_true_dueling_true_network_impala"
    found = runs(
        tmp_path,
        *(
            f"{game}_x_{name.format(i)}_seed{k}"
            for game in ("pong", "space_invaders")[:games]
            for i in range(MOST_SETTINGS)
            for k in "123"
        ),
    )
    figure = draw_comparison(found, width=size[0], height=size[1])
    save_figure(figure, tmp_path / "x.png")
    assert len([each for each in caplog.messages if "too small" in each]) == said
    if not said:
        pixels = matplotlib.image.imread(tmp_path / "x.png")
        edge = round(0.006 * pixels.shape[1])
        assert (pixels[:, :edge] == 1).all()
        assert (pixels[:, -edge:] == 1).all()


@pytest.mark.parametrize(
    ("steps", "phases", "said"),
    [
        (
            (7000, 9000),
            ("random", "train", "test"),
            "7,000 to 9,000 random steps, then 3 to 4 epochs of 7,000 to 9,000 training and 7,000 "
            "to 9,000 testing steps",
        ),
        ((7000, 9000), ("train", "test"), "3 to 4 epochs of 7,000 to 9,000 training and 7,000 to "),
        ((7000, 7000), ("train", "test"), "3 to 4 epochs of 7,000 training and 7,000 testing"),
        ((7000, 9000), ("test",), "7 tests"),
    ],
    ids=["runs", "without random steps", "of the same length", "tests of snapshots"],
)
def test_the_lengths_of_runs_are_told_from_the_least_to_the_most(
    tmp_path: Path, steps: tuple[int, int], phases: tuple[str, ...], said: str
) -> None:
    found = []
    for n, (epochs, count) in enumerate(zip((3, 4), steps, strict=True)):
        path = tmp_path / f"pong_x_{n}_seed1.csv"
        header, *rows = write_run(path, epochs).read_text().splitlines()
        rows = [row.replace(",1000,", f",{count},", 1) for row in rows]
        kept = [row for row in rows if row.split(",")[1] in phases]
        path.write_text("\n".join([header, *kept]) + "\n")
        found.append(read_results(path))
    assert length(group_runs(found)).startswith(said)


def test_a_run_without_a_test_does_not_change_the_kind_of_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = runs(tmp_path, *(f"pong_x_{s}_seed{k}" for s in "ab" for k in "12"))
    late = write_run(tmp_path / "pong_x_b_seed3.csv", 1, test=False)
    groups, notes = plot.read_groups([*(run.path for run in found), late], None)
    assert notes == [f"left out: {late} has no test yet in which a game ended."]
    assert [len(group.runs) for group in groups] == [2, 2]


def test_scores_too_large_to_be_drawn_are_left_out(tmp_path: Path) -> None:
    found = runs(tmp_path, *(f"pong_x_{s}_seed{k}" for s in "ab" for k in "12"))
    with found[0].path.open("a") as file:
        file.write("4,test," + ",".join(["1e200"] * (len(COLUMNS) - 2)) + "\n")
    found[0] = read_results(found[0].path)
    figure = draw_comparison(found, width=16, height=9)
    assert figure.axes[0].get_ylim()[1] < 1e3


@pytest.mark.parametrize(("settings", "games"), [(2, 1), (2, 2), (4, 1), (MOST_SETTINGS, 1)])
def test_no_writing_overlaps(tmp_path: Path, settings: int, games: int) -> None:
    names = [
        f"{game}_x_learning_rate_{i}_optimizer_adam_seed{k}"
        for game in ("pong", "space_invaders")[:games]
        for i in range(settings)
        for k in "12"
    ]
    found = runs(tmp_path, *names)
    figure = draw_comparison(found, width=16, height=9)
    assert_no_overlap(figure)
    for axes in figure.axes[:games]:
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("Epoch", "Test score")


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
