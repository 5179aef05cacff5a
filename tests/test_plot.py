"""Pictures of results: what is drawn, where it is written, and that no writing overlaps."""

from __future__ import annotations

import csv
import errno
import io
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from unittest.mock import Mock

import matplotlib.image
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

import plot
from errors import UserError
from plots.captions import number, rounded
from plots.csv_files import group_runs, read_results, read_runs
from plots.curves import MAX_GROUPS, MAX_PANELS, draw
from plots.files import save_figure
from stats import COLUMNS

ORIGINAL = Path(__file__).parent / "original_results"
SOURCE = Path(__file__).parent.parent / "src"
DEFAULT = plot.FIELDS.split(",")


def write_run(path: Path, epochs: int = 3, *, seed: int = 0, test: bool = True) -> Path:
    """A run of a few epochs whose every value is made up but plausible."""
    values = np.random.default_rng(seed)
    phases = [("random", 0)] + [(p, k + 1) for k in range(epochs) for p in ("train", "test")]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for phase, epoch in phases:
            if phase != "test" or test:
                row = {name: round(float(values.normal(9 * epoch, 3)), 3) for name in COLUMNS}
                writer.writerow({**row, "epoch": epoch, "phase": phase, "steps": 1000})
    return path


def drawn(*paths: Path, fields: list[str] | None = None) -> Figure:
    groups = group_runs([read_results(path) for path in paths])
    return draw(groups, fields or DEFAULT, width=16, height=9)


def line(axes: Axes, color: str, *, alpha: float | None = 1.0) -> tuple[list[float], list[float]]:
    """The one line of that color with more than a star, as epochs and values."""
    found, *dotted = (
        each
        for each in axes.lines
        if each.get_color() == color and each.get_alpha() == alpha and each.get_marker() != "*"
    )
    assert all(each.get_linestyle() != "-" for each in dotted)
    x, y = np.asarray(found.get_data(), np.float64)
    return x[np.isfinite(y)].tolist(), y[np.isfinite(y)].tolist()


def writings(figure: Figure) -> list[Text]:
    """All text that can be seen, of the whole figure and of each panel."""
    (legend,) = figure.legends
    texts = [*figure.texts, *legend.get_texts()]
    for axes in figure.axes:
        texts += [axes.xaxis.label, *axes.texts]
        texts.append(axes._left_title)  # type: ignore[attr-defined]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            ticks = axis.get_major_ticks()
            texts += [t.label1 for t in ticks if low <= t.get_loc() <= high]
    return [text for text in texts if text.get_text()]


def assert_no_overlap(figure: Figure) -> None:
    figure.draw_without_rendering()
    boxes = [(text.get_text(), text.get_window_extent()) for text in writings(figure)]
    assert len(boxes) > 10
    page = figure.bbox
    for name, box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1, name
        assert page.y0 <= box.y0 < box.y1 <= page.y1, name
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart, f"{one!r} lies on {other!r}"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("seeds")
    return [write_run(folder / f"pong_seed{i}.csv", 40 + 5 * i, seed=i) for i in (1, 2, 3)]


@pytest.mark.parametrize("game", ["breakout", "pong"])
def test_the_results_of_2015_become_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], game: str
) -> None:
    source = tmp_path / f"{game}.csv"
    source.write_bytes((ORIGINAL / f"{game}.csv").read_bytes())
    assert plot.main([str(source)]) == 0
    pixels = matplotlib.image.imread(tmp_path / f"{game}.png")
    assert pixels.shape[:2] == (720, 1280)
    assert 0.01 < (pixels[..., :3].min(axis=2) < 0.9).mean() < 0.2
    assert capsys.readouterr().out.endswith(f"drew {tmp_path / game}.png up to epoch 200\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{game}.csv", f"{game}.png"]


def test_each_panel_shows_what_the_csv_says() -> None:
    source = ORIGINAL / "breakout.csv"
    results = read_results(source)
    figure = drawn(source)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        "Average score per game",
        "Mean maximum Q of the validation states",
        "Games per phase",
        "Mean training loss",
    ]
    for axes, field in zip(figure.axes, DEFAULT, strict=True):
        train = results.curve("train", field)
        cost = field == "meancost"
        blue = line(axes, "#0072b2", alpha=1.0 if cost else 0.6)
        assert blue == (list(train), list(train.values()))
        if cost:  # nothing is learnt in the other phases
            assert len(axes.lines) == 1
        else:
            test = results.curve("test", field)
            assert line(axes, "#d55e00") == (list(test), list(test.values()))
            _, baseline = line(axes, "#6a6a6a", alpha=None)
            assert baseline == [results.curve("random", field)[0]] * 2
        last = results.curve("train" if cost else "test", field)[200]
        assert axes.texts[0].get_text() == rounded(last)
    (best,) = (each for each in figure.axes[0].lines if each.get_marker() == "*")
    scores = results.curve("test", "average_reward")
    assert best.get_data() == ([77], [max(scores.values())])
    assert figure.axes[0].texts[1].get_text() == "best 319.8 at epoch 77"
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [
        "Random play",
        "Training",
        "Testing",
        "Best score",
    ]


@pytest.mark.parametrize(("trained", "scale"), [(5000, "symlog"), (400, "linear")])
def test_counts_that_are_far_apart_have_a_logarithmic_axis(
    tmp_path: Path, trained: int, scale: str
) -> None:
    path = tmp_path / "pong.csv"
    rows = [row.split(",") for row in write_run(path).read_text().splitlines()]
    games = rows[0].index("nr_games")
    for row in rows[1:]:
        row[games] = str({"train": trained, "test": 49}.get(row[1], 0))
    rows[-1][games] = "0"
    path.write_text("\n".join(",".join(row) for row in rows) + "\n")
    (axes,) = drawn(path, fields=["nr_games"]).axes
    assert axes.get_yscale() == scale
    low, high = axes.get_ylim()
    assert low <= 0 < trained < high


def test_seeds_become_a_mean_with_a_band_dotted_where_some_have_ended(seeds: list[Path]) -> None:
    runs = [read_results(path) for path in seeds]
    figure = drawn(*seeds)
    axes = figure.axes[0]
    scores = [run.curve("test", "average_reward") for run in runs]
    values = np.array([list(curve.values())[:45] for curve in scores])
    epochs, mean = line(axes, "#d55e00")
    assert epochs == list(range(1, 46))
    np.testing.assert_allclose(mean, values.mean(axis=0))
    _, dotted = (
        np.asarray(each.get_ydata())
        for each in axes.lines
        if each.get_color() == "#d55e00" and each.get_alpha() == 1 and each.get_marker() != "*"
    )
    assert np.isnan(dotted[:44]).all()
    means = [np.mean([c[epoch] for c in scores if epoch in c]) for epoch in range(45, 56)]
    np.testing.assert_allclose(dotted[44:], means)
    assert axes.texts[0].get_text() == rounded(scores[2][55])
    assert "Fewer seeds" in names(figure)
    thin = [each for each in axes.lines if each.get_alpha() == 0.35]
    assert [np.size(each.get_xdata()) for each in thin] == [45, 50, 55] * 2
    bands = [each for each in axes.collections if isinstance(each, PolyCollection)]
    edge = bands[-1].get_paths()[0].vertices
    assert isinstance(edge, np.ndarray)
    for epoch, low, high in zip(epochs, values.min(axis=0), values.max(axis=0), strict=True):
        assert set(edge[edge[:, 0] == epoch, 1]) >= {low, high}


def test_a_seed_without_a_score_in_an_epoch_is_straight_there(tmp_path: Path) -> None:
    rows = "epoch,phase,nr_games,average_reward\n1,test,1,{}\n2,test,{},5\n3,test,1,{}\n"
    paths = [tmp_path / f"pong_seed{seed}.csv" for seed in (1, 2)]
    paths[0].write_text(rows.format(0, 0, 10))
    paths[1].write_text(rows.format(2, 1, 20))
    _, mean = line(drawn(*paths, fields=["average_reward"]).axes[0], "#d55e00")
    np.testing.assert_allclose(mean, [1, 5, 15])


def test_seeds_without_a_common_epoch_are_drawn_apart(tmp_path: Path) -> None:
    early = write_run(tmp_path / "pong_seed1.csv", 3)
    late = tmp_path / "pong_seed2.csv"
    late.write_text(
        "".join(early.read_text().splitlines(keepends=True)[:-2]).replace("\n1,", "\n9,")
    )
    early.write_text("".join(early.read_text().splitlines(keepends=True)[:4]))
    figure = drawn(early, late)
    assert len([each for each in figure.axes[0].lines if each.get_alpha() == 0.35]) == 4


def names(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_different_runs_keep_their_own_curves_and_names(tmp_path: Path, seeds: list[Path]) -> None:
    other = write_run(tmp_path / "pong.csv", 50)
    figure = drawn(ORIGINAL / "pong.csv", other, *seeds)
    assert set(names(figure)) >= {
        "original_results/pong",
        f"{tmp_path.name}/pong",
        f"{seeds[0].parent.name}/pong (3 seeds)",
        "Mean of seeds, band from lowest to highest",
    }
    axes = figure.axes[0]
    bold = {each.get_color() for each in axes.lines if each.get_zorder() == 3}
    assert len(bold) == 3


def test_no_writing_overlaps(tmp_path: Path, seeds: list[Path]) -> None:
    assert_no_overlap(drawn(ORIGINAL / "breakout.csv"))
    assert_no_overlap(drawn(*seeds))
    assert_no_overlap(drawn(seeds[0], fields=[name for name in COLUMNS if name != "phase"][:9]))
    runs = [write_run(tmp_path / f"space_invaders_variant_{i}.csv", 20) for i in range(MAX_GROUPS)]
    assert_no_overlap(drawn(*runs))
    assert_no_overlap(drawn(write_run(tmp_path / "x.csv", 1)))


@pytest.mark.parametrize(("epochs", "test"), [(0, True), (1, True), (1, False), (4, False)])
def test_the_beginning_of_a_run_can_be_drawn(tmp_path: Path, epochs: int, test: bool) -> None:
    figure = drawn(write_run(tmp_path / "pong.csv", epochs, test=test))
    words = [text.get_text() for text in writings(figure)]
    assert ("Testing" in words, "Training" in words) == (test and epochs > 0, epochs > 0)
    assert words.count("no values") == (0 if epochs else 1)  # the loss, after the random phase
    if epochs == 1:
        assert [word for word in words if word in ("0.8", "1", "1.2")] == ["1"] * 4
        assert all(each.get_marker() == "o" for each in figure.axes[3].lines)


VALUES = st.floats() | st.sampled_from([0.0, 1e308, -1e308, 2.0**63, 1e-300, -21.0])


@settings(max_examples=10)
@given(st.lists(st.tuples(st.sampled_from(["random", "train", "test"]), VALUES), min_size=1))
def test_any_values_can_be_drawn(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    lines = [f"{i},{phase},{value}\n" for i, (phase, value) in enumerate(rows)]
    path.write_text("epoch,phase,average_reward\n" + "".join(lines))
    figure = drawn(path, fields=["average_reward"])
    figure.savefig(io.BytesIO(), dpi=30)
    marked = rows[-1][0] != "random" and math.isfinite(rows[-1][1]) and abs(rows[-1][1]) < 1e100
    assert not marked or figure.axes[0].texts


@pytest.mark.parametrize(
    ("files", "picture"),
    [
        (["pong.csv"], "pong.png"),
        (["pong_seed1.csv"], "pong_seed1.png"),
        (["pong_seed1.csv", "pong_seed2.csv"], "pong.png"),
        (["space_invaders_fast.csv", "space_invaders_nature_seed3.csv"], "space_invaders.png"),
        (["breakout.csv", "pong.csv"], "breakout_pong.png"),
        (["breakout_lr_rate_1_seed1.csv", "pong_lr_rate_2.csv"], "lr_rate.png"),
        (["pong.v2.csv"], "pong.v2.png"),
        (["pong"], "pong.png"),
    ],
)
def test_the_picture_is_named_after_the_runs(
    tmp_path: Path, files: list[str], picture: str
) -> None:
    groups, _ = plot.read_groups([write_run(tmp_path / name) for name in files], DEFAULT)
    assert plot.png_path(groups) == tmp_path / picture


def test_odd_names_are_written_as_they_are(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"{name}.csv") for name in ("_a$b$", "$\\frac", "день", "犬")]
    figure = drawn(*paths)
    figure.savefig(io.BytesIO())
    assert names(figure)[:4] == [r"_a\$b\$", r"\$?frac", "день", "?"]
    assert_no_overlap(figure)


@pytest.mark.parametrize("kind", ["pdf", "svg"])
def test_other_kinds_and_sizes_of_pictures(tmp_path: Path, kind: str) -> None:
    source = write_run(tmp_path / "pong.csv")
    picture = tmp_path / f"figure.{kind}"
    flags = "--figure_width 8 --figure_height 5 --dpi 50 --fields nr_games,meanq".split()
    assert plot.main([str(source), "--png_file", str(picture), *flags]) == 0
    assert picture.read_bytes()[:5] in (b"%PDF-", b"<?xml")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("", "csv_file"),
        ("missing.csv", "missing.csv does not exist"),
        ("pong.csv --fields average_reward,foo", "no numeric column foo; --fields can be any of"),
        ("pong.csv --fields phase", "no numeric column phase"),
        ("pong.csv --fields ,", f"1 to {MAX_PANELS} columns"),
        ("pong.csv --dpi 0", "from 10 to 1000"),
        ("pong.csv --dpi 1000 --figure_width 21", "more than 20,000 pixels"),
        ("pong.csv --png_file x.webp --dpi 1000 --figure_width 18", "more than 16,383 pixels"),
        ("pong.csv --dpi 10 --figure_width 3", "letters would be smaller than a pixel"),
        ("pong.csv --figure_width nan", "from 3 to 100"),
        ("pong.csv --figure_heigth 3", "--figure_heigth"),
        ("pong.csv --png_file pong.csv", "no picture file"),
        ("pong.csv --png_file pong.pgf", "no picture file"),
        ("pong.csv --png_file pong.csv/pong.png", "cannot be written: Not a directory"),
        ("pong.csv --follow=-1", "from 0.1 to 86400"),
        ("pong.csv --follow --fields foo", "no numeric column foo"),
    ],
)
def test_what_a_user_can_get_wrong_gets_one_sentence(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = write_run(tmp_path / "pong.csv").read_bytes()
    assert plot.main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert err.startswith("plot: ")
    assert err.count("\n") == 1
    assert says in err
    assert out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["pong.csv"]
    assert (tmp_path / "pong.csv").read_bytes() == before


@pytest.mark.parametrize("game", ["x\\u0000", "\\ud800", "\\u001b[31m", "", "../..", "a\\nb"])
def test_a_description_names_no_strange_game(game: str, tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"{name}.csv") for name in ("one", "two")]
    paths[0].with_suffix(".json").write_text(f'{{"flags": {{"game": "{game}"}}}}')
    groups, _ = plot.read_groups(paths, DEFAULT)
    assert plot.png_path(groups) == tmp_path / "one_two.png"


def test_a_csv_with_too_many_lines_or_runs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.csv"
    path.write_text("epoch,phase\n" + "1\n" * 100_001)
    with pytest.raises(UserError, match="more than 100,000 lines"):
        read_results(path)
    rows = "".join(f"1,test,s/run{n}_1.pkl\n" for n in range(1001))
    path.write_text(f"epoch,phase,snapshot\n{rows}")
    with pytest.raises(UserError, match="more than 1,000 runs"):
        read_runs(path)


def test_too_many_runs_get_a_sentence(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"{i}.csv", 1) for i in range(MAX_GROUPS + 1)]
    with pytest.raises(UserError, match=f"at most {MAX_GROUPS}"):
        plot.read_groups(paths, DEFAULT)


def test_scores_of_two_games_do_not_share_an_axis(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / f"{game}_first.csv") for game in ("breakout", "space_invaders")]
    figure = drawn(*paths)
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "Breakout: average score per game",
        "Space Invaders: average score per game",
        "Mean maximum Q of the validation states",
    ]
    assert {each.get_color() for each in figure.axes[0].lines} == {"#0072b2"}
    assert {each.get_color() for each in figure.axes[1].lines} == {"#d55e00"}
    assert_no_overlap(figure)
    with pytest.raises(UserError, match="18 panels are too many"):
        drawn(*paths, fields=[name for name in COLUMNS if name != "phase"])


def test_what_cannot_be_drawn_is_left_out_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "summary.csv").write_text("run,best\npong,1\n")
    other = tmp_path / "other.csv"
    other.write_text("epoch,phase,loss\n1,train,2\n")
    paths = [str(tmp_path / "summary.csv"), str(other), str(write_run(tmp_path / "pong.csv"))]
    assert plot.main([*paths, "--dpi", "20"]) == 0
    out, err = capsys.readouterr()
    assert f"drew {tmp_path / 'pong.png'}" in out
    assert [each.split(" is no")[0].split(" has no")[0] for each in err.splitlines()] == [
        f"plot: left out: {path}" for path in paths[:2]
    ]
    assert plot.main(paths[:2]) == 2
    assert "summary.csv is not a results CSV" in capsys.readouterr().err


def test_the_tests_of_several_runs_are_not_one_curve(tmp_path: Path) -> None:
    path = tmp_path / "eval.csv"
    rows = [
        f"{epoch},test,{10 * seed},1,1,1,snapshots/pong_{setting}_seed{seed}_{epoch}.pkl\n"
        for setting in "ab"
        for seed in (1, 2)
        for epoch in (1, 2)
    ]
    path.write_text(f"epoch,phase,{plot.FIELDS},snapshot\n" + "".join(rows))
    groups, _ = plot.read_groups([path], None)
    assert {group.name: len(group.runs) for group in groups} == {"pong_a": 2, "pong_b": 2}
    assert plot.main([str(path), "--dpi", "20"]) == 0
    assert (tmp_path / "eval.png").exists()


def test_tests_alone_have_no_empty_panels_and_whole_numbers_of_games(tmp_path: Path) -> None:
    path = tmp_path / "eval.csv"
    rows = "".join(f"{epoch},test,{epoch},,2,,snapshots/pong_{epoch}.pkl\n" for epoch in (1, 2, 3))
    path.write_text(f"epoch,phase,{plot.FIELDS},snapshot\n{rows}")
    groups, _ = plot.read_groups([path], None)
    assert plot.usual_fields(groups) == ["average_reward", "nr_games"]
    games = draw(groups, ["nr_games"], width=16, height=9).axes[0]
    assert all(tick.is_integer() for tick in games.get_yticks().tolist())


def test_a_long_heading_is_whole_and_beside_what_is_said_aside(tmp_path: Path) -> None:
    games = ("montezuma_revenge", "space_invaders", "private_eye")
    figure = drawn(*(write_run(tmp_path / f"{game}.csv") for game in games))
    left, right = figure.texts
    assert left.get_text() == "Montezuma Revenge and Space Invaders and Private Eye"
    figure.draw_without_rendering()
    assert left.get_window_extent().x1 < right.get_window_extent().x0


def test_a_full_disk_leaves_the_old_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_run(tmp_path / "pong.csv")
    (tmp_path / "pong.png").write_text("old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    assert plot.main([str(source)]) == 3
    assert "No space left on device" in capsys.readouterr().err
    assert (tmp_path / "pong.png").read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


def test_follow_tries_again_after_a_full_disk_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write_run(tmp_path / "pong.csv")
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr("os.fsync", Mock(side_effect=[full, full, None, None]))
    looks = Mock(side_effect=[None, None, None, KeyboardInterrupt])
    monkeypatch.setattr(plot, "time", Mock(sleep=looks, strftime=time.strftime))
    assert plot.main([str(source), "--follow", "1"]) == 0
    out, err = capsys.readouterr()
    assert err.count("waiting") == err.count("pong.png cannot be written: No space left") == 1
    assert out.count("drew") == 1
    assert (tmp_path / "pong.png").exists()


def test_no_picture_is_written_among_devices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, picture = write_run(tmp_path / "pong.csv"), tmp_path / "x.png"
    with source.open() as file:
        name = f"/dev/fd/{file.fileno()}"
        assert plot.main([name]) == 2
        assert f"{name} has no folder for pictures: name the picture" in capsys.readouterr().err
        assert plot.main([name, "--png_file", str(picture)]) == 0
    assert picture.exists()


def test_a_page_that_is_too_small_is_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    figure = Figure(figsize=(1, 1), layout="constrained")
    figure.subplots().set_ylabel("\n".join("too much"))
    save_figure(figure, tmp_path / "x.png")
    (said,) = caplog.messages
    assert said.startswith("The picture is too small for all that is on it")


def test_a_half_written_line_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_run(tmp_path / "pong.csv")
    source.write_bytes(source.read_bytes()[:-9])
    assert plot.main([str(source), "--dpi", "20"]) == 0
    assert "line 8 of" in capsys.readouterr().err


def test_follow_takes_seconds_or_none_and_files_in_any_order(tmp_path: Path) -> None:
    for words, seconds in {
        "--follow a.csv b.csv": 10,
        "a.csv --follow 2.5 b.csv": 2.5,
        "a.csv b.csv --follow": 10,
        "--follow=3 a.csv --dpi 90 b.csv": 3,
        "a.csv b.csv": None,
    }.items():
        options = plot.parse(words.split())
        assert options.follow == seconds
        assert options.csv_file == [Path("a.csv"), Path("b.csv")]


def test_follow_waits_redraws_as_the_run_grows_and_ends_well(tmp_path: Path) -> None:
    source, picture = tmp_path / "pong.csv", tmp_path / "pong.png"
    command = [sys.executable, str(SOURCE / "plot.py"), str(source), "--follow", "0.1"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout

        def lines() -> Iterator[str]:
            assert process.stdout
            return (each for each in process.stdout if "font cache" not in each)

        said = lines()
        try:
            assert "waiting" in next(said)
            whole = write_run(tmp_path / "later", 2).read_bytes()
            half = tmp_path / "half"
            half.write_bytes(whole[: whole.index(b"\n2,train") + 1])
            half.replace(source)
            assert f"drew {picture} up to epoch 1" in next(said)
            first = picture.read_bytes()
            (tmp_path / "later").replace(source)
            assert f"drew {picture} up to epoch 2" in next(said)
            assert picture.read_bytes() != first
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0
            assert "Traceback" not in process.stdout.read()
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-21, "\u221221"),
        (2500, "2,500"),
        (25_000, "25k"),
        (50_000_000, "50M"),
        (1.5e9, "1.5G"),
        (0.00025, "0.00025"),
        (1e-6, "1e\u221206"),
        (2.0**63, "9.2234e+18"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_figures_are_rounded_to_what_is_worth_reading() -> None:
    assert [rounded(v) for v in (170.5208, 8.73985, 0.000375238)] == ["170.5", "8.74", "0.000375"]
