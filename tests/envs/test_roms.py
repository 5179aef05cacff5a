"""Games by name and by file."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import ale_py.roms
import pytest

from envs.roms import MULTIPLAYER, find_rom, game_name, known_games, rom_md5
from errors import UserError

BREAKOUT_MD5 = "f34f08e5eb96e500e851a80be3277a56"  # in ALE's list of ROMs


@pytest.mark.parametrize(
    ("game", "name"),
    [
        ("breakout", "breakout"),
        ("Breakout", "breakout"),
        ("roms/breakout.bin", "breakout"),
        ("/some where/Breakout.ROM", "breakout"),
        ("SpaceInvaders.a26", "space_invaders"),
        ("space_invaders", "space_invaders"),
        ("my.game", "my.game"),
    ],
)
def test_names_are_as_files_have_them(game: str, name: str) -> None:
    assert game_name(game) == name


def test_a_rom_of_any_name_has_the_name_of_its_game(tmp_path: Path) -> None:
    rom = tmp_path / "My Game (1978).bin"
    shutil.copy(find_rom("pong"), rom)
    assert game_name(str(rom)) == "pong"
    rom.write_bytes(b"another program")
    assert game_name(str(rom)) == "my game (1978)"


@pytest.mark.parametrize("game", ["breakout", "Breakout", "roms/breakout.bin", "breakout.rom"])
def test_a_known_game_needs_no_file(game: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rom = find_rom(game)
    assert rom == ale_py.roms.get_rom_path("breakout")
    assert rom_md5(rom) == BREAKOUT_MD5
    told = f"There is no file {game}; using the ROM of breakout that comes with ALE."
    assert caplog.messages == ([] if game.lower() == "breakout" else [told])


def test_a_file_wins_over_the_game_of_its_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rom = tmp_path / "pong.bin"
    shutil.copy(find_rom("breakout"), rom)
    assert find_rom(str(rom)) == rom
    (warning,) = caplog.messages
    assert "is a ROM of breakout, but its files will be named after pong" in warning


@pytest.mark.parametrize(
    ("game", "sentence"),
    [
        ("brekout", "no ROM file brekout and no game of that name; did you mean breakout"),
        ("qbrt", "; did you mean qbert or breakout?"),
        (
            "CartPole-v1",
            "no game of that name. If it is an id of Gymnasium, add --environment gym.",
        ),
        ("roms/spaceinvader.bin", "did you mean space_invaders"),
        ("zzzz", "no ROM file zzzz and no game of that name."),
        ("", "no ROM file"),
        ("warlords", "several players"),
    ],
)
def test_what_cannot_be_played_gets_a_sentence(game: str, sentence: str) -> None:
    with pytest.raises(UserError) as error:
        find_rom(game)
    assert sentence in str(error.value)
    assert not str(error.value).endswith("?.")


def test_a_rom_that_ale_does_not_know_is_refused(tmp_path: Path) -> None:
    rom = tmp_path / "pong.bin"
    rom.write_bytes(b"not a game")
    with pytest.raises(UserError, match=r"does not know the ROM .*pong\.bin \(md5 .*mean pong"):
        find_rom(str(rom))


def test_a_file_too_large_for_a_rom_is_not_read(tmp_path: Path) -> None:
    rom = tmp_path / "large.bin"
    with rom.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(UserError, match="it is too large, above 1 MB"):
        find_rom(str(rom))


def test_all_games_that_come_with_ale_are_known() -> None:
    assert len(known_games()) == 104
    assert not MULTIPLAYER & set(known_games())
