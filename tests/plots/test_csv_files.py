"""Results CSVs as they are, as strangers write them, and as crashes leave them."""

from __future__ import annotations

import contextlib
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import ROOT
from errors import UserError
from plots import csv_files
from plots.csv_files import (
    NotYet,
    Results,
    common_name,
    group_runs,
    listed,
    printable,
    read_results,
    read_runs,
)
from stats import COLUMNS

ORIGINAL = ROOT / "tests" / "original_results"
HEADER = "epoch,phase,average_reward,meanq\n"
SMALL = HEADER + "0,random,1.5,0.25\n1,train,2,0.5\n1,test,3,0.75\n"


def read(tmp_path: Path, text: str | bytes, name: str = "pong.csv") -> Results:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_results(path)


@pytest.mark.parametrize(("game", "score", "loss"), [("breakout", 170.52, 0), ("pong", 18.61, 0)])
def test_reads_the_results_of_2015(game: str, score: float, loss: float) -> None:
    results = read_results(ORIGINAL / f"{game}.csv")
    assert results.fields == tuple(name for name in COLUMNS if name != "phase")
    assert (results.game, results.last_epoch, len(results.rows)) == (game, 200, 401)
    scores = results.curve("test", "average_reward")
    assert list(scores) == list(range(1, 201))
    assert scores[200] == pytest.approx(score, abs=0.01)
    assert results.curve("test", "meancost")[200] == loss
    assert list(results.curve("random", "average_reward")) == [0]
    assert results.notes == ()


def test_a_mark_of_byte_order_carriage_returns_blank_lines_and_blanks_do_not_matter(
    tmp_path: Path,
) -> None:
    plain = read(tmp_path, SMALL)
    for text in (
        "\ufeff" + SMALL,
        SMALL.replace("\n", "\r\n"),
        SMALL.replace("\n", "\r"),
        SMALL.replace("\n", "\n\n"),
        SMALL.replace(",", " , "),
        SMALL.replace("train", '"train"'),
    ):
        assert read(tmp_path, text) == plain


def test_numeric_columns_of_strangers_are_fields_and_texts_are_not(tmp_path: Path) -> None:
    text = "note,phase,epoch,loss $x$,empty\nfirst,train,1,1e300,\nsecond,train,2.0,-inf,\n"
    results = read(tmp_path, text)
    assert results.fields == ("epoch", "loss $x$", "empty")
    assert results.curve("train", "loss $x$") == {1: 1e300}
    assert results.curve("train", "empty") == {}
    assert results.curve("test", "epoch") == {}


def test_a_repeated_epoch_counts_as_last_written_but_the_first_random_phase_is_the_baseline(
    tmp_path: Path,
) -> None:
    results = read(tmp_path, SMALL + "1,test,9,9\n1,random,7,7\n2,test,nan,1\n")
    assert results.curve("test", "average_reward") == {1: 9}
    assert results.curve("random", "average_reward") == {0: 1.5}
    assert results.curve("test", "meanq") == {1: 9, 2: 1}


def test_a_half_written_last_line_is_skipped_and_told_wherever_it_ends(tmp_path: Path) -> None:
    whole = read(tmp_path, SMALL)
    last = "2,train,4,1.25"
    for end in range(1, len(last) + 1):
        results = read(tmp_path, SMALL + last[:end])
        assert results.rows == whole.rows
        (note,) = results.notes
        assert "line 5" in note
        assert "half-written" in note


def test_damaged_lines_are_skipped_and_told(tmp_path: Path) -> None:
    results = read(tmp_path, SMALL + "2,te" + SMALL + "-1,test,1,1\n\x00,test,1,1\n1e99,test,1,1\n")
    assert len(results.rows) == 6
    assert "4 lines" in results.notes[0]
    assert "(5, 9, 10, 11)" in results.notes[0]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.encode(), "only the columns epoch, phase, average_reward, meanq"),
        (HEADER.encode() + b"1,tr", "only the columns epoch, phase"),
        (HEADER.encode() + b"1,play,1,1\n", "only the columns epoch, phase"),
        (b"time,loss\n1,2\n", "has time, loss"),
        (b"epoch;phase\n1;2\n", "has epoch;phase"),
        (b"a" * 200_000, "is not a CSV (field larger"),
        (b"\x80\x02}q\x00.", "is not a text file"),
        (SMALL.encode("utf-16"), "is not a text file"),
        (b"\x00\x01\x02,b\n", "has ???, b"),
        (",".join(f"c{i}" for i in range(99)).encode() + b"\n", "c29 and 69 more"),
    ],
)
def test_a_file_without_results_gets_a_sentence_with_its_columns(
    tmp_path: Path, content: bytes, says: str
) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    assert says in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    header = ",".join(["epoch", "phase", *(f"c{n}" for n in range(1400))])
    line = "1,train" + 1400 * ","
    with pytest.raises(UserError, match="more than 3,000,000 cells"):
        read(tmp_path, "\n".join([header, *[line] * 2200]).encode())


@pytest.mark.parametrize("folder", ["results", "agents"])
def test_the_name_of_a_game_is_answered_with_the_path_of_a_run(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "ROOT", tmp_path)
    (tmp_path / folder).mkdir()
    for name in ("pong_mine.csv", "pong_mine.json", "pong_mine_15_scores.csv"):
        (tmp_path / folder / name).touch()
    with pytest.raises(NotYet, match=f"wrote, like .*{folder}/pong_mine.csv"):
        read_results("pong")
    with pytest.raises(NotYet, match=r"that a training wrote\.$"):
        read_results("breakout")


def test_what_cannot_be_opened_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotYet, match="does not exist"):
        read_results(tmp_path / "pong.csv")
    with pytest.raises(UserError, match="Is a directory"):
        read_results(tmp_path)
    with pytest.raises(UserError, match="Not a directory"):
        read_results(Path(__file__) / "pong.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_gets_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "pong.csv"
    path.touch(mode=0)
    with pytest.raises(UserError, match="Permission denied"):
        read_results(path)


def holds_or_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        results = read_results(path)
        for phase, row in results.rows:
            assert tuple(row) == results.fields
            assert not any(map(math.isinf, row.values()))
            assert results.curve(phase, "epoch")
        assert results.last_epoch >= 0


CELLS = st.text(st.characters(codec="utf-8"), max_size=5) | st.floats().map(str)
ROWS = st.lists(st.lists(CELLS | st.sampled_from(["epoch", "phase", "test", "1"]), max_size=5))


@given(st.binary() | ROWS.map(lambda rows: "\n".join(map(",".join, rows)).encode()))
def test_any_bytes_are_results_or_get_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    holds_or_is_refused(path, content)
    holds_or_is_refused(path, SMALL.encode() + content)


@given(st.data())
def test_any_part_of_real_results_with_any_byte_changed_too(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray((ORIGINAL / "pong.csv").read_bytes()[:2000])
    end = data.draw(st.integers(1, len(content)))
    content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    holds_or_is_refused(tmp_path_factory.getbasetemp() / "fuzz.csv", bytes(content[:end]))


def test_the_game_is_what_the_json_says_else_the_name(tmp_path: Path) -> None:
    results = read(tmp_path, SMALL, "space_invaders_fast-seed12.csv")
    assert (results.game, results.setting) == ("space_invaders", "fast")
    about = tmp_path / "space_invaders_fast-seed12.json"
    for text, game in {
        json.dumps({"flags": {"game": "roms/space_invaders.bin"}}): "space_invaders",
        json.dumps({"flags": {"game": ""}}): "space_invaders",
        json.dumps({"flags": {"game": 7}}): "space_invaders",
        json.dumps({"flags": []}): "space_invaders",
        "[" * 100_000: "space_invaders",
        "\udcff": "space_invaders",
    }.items():
        about.write_bytes(text.encode(errors="surrogateescape"))
        assert results.game == game


@pytest.mark.parametrize(
    ("name", "flags", "game"),
    [
        ("breakout_mine_seed1.csv", {"game": "Breakout"}, "breakout"),
        ("breakout_mine.csv", {"game": "roms/brk.bin"}, "breakout"),
        ("ALE_Pong-v5_mine.csv", {"game": "ALE/Pong-v5", "environment": "gym"}, "ALE_Pong-v5"),
        ("my_game_mine.csv", {"game": "my game", "environment": "x.py:Mine"}, "my_game"),
    ],
)
def test_games_have_the_names_that_files_have(
    tmp_path: Path, name: str, flags: dict[str, str], game: str
) -> None:
    results = read(tmp_path, SMALL, name)
    (tmp_path / name).with_suffix(".json").write_text(json.dumps({"flags": flags}))
    assert (results.game, results.setting) == (game, "mine")


def test_seeds_are_grouped_and_nothing_else(tmp_path: Path) -> None:
    names = """breakout_seed1 breakout_seed2 breakout-seed-3 breakout breakout_fast breakout_2
        old/breakout seed1/pong seed2/pong
        qbert/seed1 qbert/seed2""".split()
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
    runs = [read(tmp_path, SMALL, f"{name}.csv") for name in names]
    groups = group_runs([*runs, runs[0]])
    assert {group.name: len(group.runs) for group in groups} == {
        f"{tmp_path.name}/breakout": 4,
        "breakout_fast": 1,
        "breakout_2": 1,
        "old/breakout": 1,
        "pong": 2,
        "qbert": 2,
    }
    assert [g.name for g in group_runs(runs[:3])] == ["breakout"]
    for name in ("x/results", "y/results"):
        (tmp_path / name).mkdir(parents=True)
    runs = [read(tmp_path, SMALL, f"{name}/results/pong.csv") for name in "xy"]
    assert [g.name for g in group_runs(runs)] == ["x/results/pong", "y/results/pong"]


def test_the_tests_of_several_runs_are_told_apart(home: Path) -> None:
    rows = [
        f"{epoch},test,{epoch + seed},snapshots/my_game_{setting}_seed{seed}_{epoch}.pkl\n"
        for setting in "ab"
        for seed in (1, 2)
        for epoch in (9, 10)
    ]
    path = home / "eval.csv"
    path.write_text("epoch,phase,average_reward,snapshot\n" + "".join(rows) + "3,te")
    (home / "results").mkdir()
    for name in ("my_game_a_seed1", "my_game_a_seed2"):
        (home / "results" / f"{name}.json").write_text(json.dumps({"flags": {"game": "my_game"}}))
    runs = read_runs(path)
    assert [run.curve("test", "average_reward") for run in runs[1:3]] == [
        {9: 11, 10: 12},
        {9: 10, 10: 11},
    ]
    assert [len(run.notes) for run in runs] == [1, 0, 0, 0]
    assert (runs[0].game, runs[0].setting) == ("my_game", "a")
    assert {g.name: len(g.runs) for g in group_runs(runs)} == {"my_game_a": 2, "my_game_b": 2}
    assert [run.rows for run in read_runs(ORIGINAL / "pong.csv")] == [
        read_results(ORIGINAL / "pong.csv").rows
    ]


def test_names_in_sentences() -> None:
    assert common_name(["space_invaders_fast", "space_invaders_nature"]) == "space_invaders"
    assert common_name(["breakout_fast", "breakout_float"]) == "breakout"
    assert common_name(["pong"]) == "pong"
    assert common_name(["breakout", "brick"]) == ""
    assert printable("a\n\\b\x1b[0m $é день \U0001f600") == "a??b?[0m $é день ?"
    assert printable("x" * 99, 10) == "xxxxxxx..."
    assert listed([]) == "none"


def test_epochs_without_a_finished_game_have_no_score(tmp_path: Path) -> None:
    path = tmp_path / "pong.csv"
    path.write_text("epoch,phase,nr_games,average_reward\n1,test,0,5\n2,test,3,1\n3,train,4,1\n")
    assert read_results(path).curve("test", "average_reward") == {2: 1}
    path.write_text("epoch,phase,average_reward\n1,test,5\n2,test,1\n3,train,1\n")
    assert read_results(path).curve("test", "average_reward") == {1: 5, 2: 1}
