"""Films, pages and sounds of before are never lost unasked."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from atomic import put_beside, write_atomically
from commands.verbs import parse
from config import Config
from errors import UserError
from main import main
from nvis import page
from runs.outputs import check_outputs, free_path

SNAPSHOT = Path(__file__).parents[1] / "golden" / "rmsprop_end.pkl"


def test_a_second_film_and_page_have_names_of_their_own(home: Path) -> None:
    (home / "pong_3.pkl").write_bytes(SNAPSHOT.read_bytes())
    for folder, name in (("videos", "pong_3.mov"), ("results", "pong.html")):
        (home / folder).mkdir()
        (home / folder / name).write_text("the first one")
    (home / "videos" / "pong_3.2.mov").write_text("the second one")
    film = parse("record", [str(home / "pong_3.pkl")]).config
    assert film.video_file == home / "videos" / "pong_3.3.mov"
    check_outputs(film)
    page = parse("nvis", [str(home / "pong_3.pkl")]).config
    assert page.visualization_file == home / "results" / "pong.2.html"
    again = parse("record", [str(home / "pong_3.pkl"), "--overwrite"]).config
    assert again.video_file == home / "videos" / "pong_3.mov"


@pytest.mark.parametrize("flag", ["video_file", "record_sound_filename", "visualization_file"])
def test_a_file_that_is_there_is_refused_or_replaced_as_asked(tmp_path: Path, flag: str) -> None:
    names = {"video_file": "film.mov", "record_sound_filename": "sound.wav"}
    path = tmp_path / names.get(flag, "page.html")
    files: dict[str, Any] = {flag: path}
    check_outputs(Config(**files))
    path.touch()
    check_outputs(Config(**files))  # nothing is lost with it
    path.write_text("my holidays")
    with pytest.raises(UserError, match=rf"{path.name} already exists: give another --{flag}, or"):
        check_outputs(Config(**files))
    assert path.read_text() == "my holidays"
    removed = [] if flag == "visualization_file" else [path]  # a page is replaced when it is done
    assert check_outputs(Config(**files, overwrite=True)) == removed
    assert path.read_text() == "my holidays"  # until nothing else can fail
    if flag == "video_file":
        with pytest.raises(UserError, match=r"must end with .*notes\.txt does not"):
            check_outputs(Config(video_file=tmp_path / "notes.txt", overwrite=True))
    if flag == "record_sound_filename":
        with pytest.raises(UserError, match=r"must end with \.wav: .*sound\.mp3 does not"):
            check_outputs(Config(record_sound_filename=tmp_path / "sound.mp3"))


def test_a_page_is_an_html_file(tmp_path: Path) -> None:
    check_outputs(Config(visualization_file=tmp_path / "page.HTML"))
    with pytest.raises(UserError, match=r"must end with one of .*page\.txt does not"):
        check_outputs(Config(visualization_file=tmp_path / "page.txt"))


def test_frames_are_refused_or_replaced_and_nothing_beside_them(tmp_path: Path) -> None:
    others = {"notes.txt", "best.png", "2024.png", "000001.jpg"}
    for name in {"000000.png", "000001.png"} | others:
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=r"000000.png already exists"):
        check_outputs(Config(record_screen_path=tmp_path))
    replaced = check_outputs(Config(record_screen_path=tmp_path, overwrite=True))
    assert {path.name for path in replaced} == {"000000.png", "000001.png"}
    for path in replaced:
        path.unlink()
    assert check_outputs(Config(record_screen_path=tmp_path)) == []


def test_a_free_name_is_the_first_that_is_free(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(free_path(tmp_path / "film.v1.mov"))
        names[-1].touch()
    assert [path.name for path in names] == ["film.v1.mov", "film.v1.2.mov", "film.v1.3.mov"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_has_appeared_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", Mock(side_effect=PermissionError(errno.EPERM, "no links")))
    path = tmp_path / "page.html"
    write_atomically(path, b"first", put_beside)
    with pytest.raises(OSError, match="File exists"):
        write_atomically(path, b"second", put_beside)
    assert path.read_bytes() == b"first"
    path.write_bytes(b"")  # nothing is lost with it
    write_atomically(path, b"third", put_beside)
    assert path.read_bytes() == b"third"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(("words", "code"), [("", 0), ("--visualization_file page.html", 3)])
def test_a_page_that_appears_meanwhile_stays_and_the_new_one_is_beside_it(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    words: str,
    code: int,
) -> None:
    file = home / "page.html" if words else home / "results/pong.html"

    def write(path: Path, *rest: Any) -> None:
        if not file.exists():
            file.write_text("of another process")
        write_atomically(path, *rest)

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(page, "write_atomically", write)
    (home / "pong_3.pkl").write_bytes(SNAPSHOT.read_bytes())
    line = f"nvis pong_3.pkl {words} --screen_width 36 --screen_height 36 --max_episode_frames 80"
    assert main(line.split()) == code
    beside = file.with_name(f"{file.stem}.2.html")
    said = caplog.text + capsys.readouterr().err
    assert f"{file.name} has appeared meanwhile: " in said
    assert beside.name in said
    assert file.read_text() == "of another process"
    assert "<html" in beside.read_text()
