"""Films, pages and sounds of before are never lost unasked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands.verbs import parse
from config import Config
from errors import UserError
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
