"""The tables of colors against the emulator's pictures and a pair of colors worked by hand."""

from __future__ import annotations

import ale_py
import numpy as np
import pytest

import palette
from environment import PAL_HEIGHT
from envs.roms import find_rom


def emulator(game: str, *, averaging: bool) -> ale_py.ALEInterface:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.setBool("color_averaging", averaging)
    ale.loadROM(str(find_rom(game)))
    return ale


# Bytes of these games' memory that hold colors of the picture, so that any can be shown.
PAINT = {"freeway": range(77, 87), "laser_gates": range(45, 46)}


@pytest.mark.parametrize("game", PAINT)
def test_pairs_of_any_colors_are_averaged_as_ale_does(game: str) -> None:
    ours, average = emulator(game, averaging=False), emulator(game, averaging=True)
    pal = ours.getScreenDims()[0] == PAL_HEIGHT
    assert pal == (game == "laser_gates")
    colors, plain = palette.colors(pal=pal), palette.plain_table(pal=pal)
    averages = palette.average_table(pal=pal)
    rng = np.random.default_rng(0)
    new, seen = ours.getScreen(), set()
    for n in range(300):
        for byte in PAINT[game]:
            color = 2 * (n if n < 128 else int(rng.integers(128)))
            ours.setRAM(byte, color)
            average.setRAM(byte, color)
        ours.act(ale_py.Action.NOOP)
        average.act(ale_py.Action.NOOP)
        new, old = ours.getScreen(), new
        seen.update(np.unique(new).tolist())
        assert np.array_equal(colors[new // 2], ours.getScreenRGB())
        assert np.array_equal(plain[new, old], ours.getScreenGrayscale())
        assert np.array_equal(averages[new, old], average.getScreenGrayscale())
    assert len(seen) >= 120


def test_the_average_of_white_and_black_by_hand() -> None:
    # (236 - 0) * 77 // 100 + 0 = 181 a channel, cut to 180; the nearest gray is 170 or 192:
    # at distances of 30 and 36 it is 170.
    white, black = 14, 0
    assert palette.average_table()[white, black] == 170
    assert palette.average_table()[black, white] == 170
    assert palette.average_table()[white, white] == 236


def test_the_maximum_is_by_channel() -> None:
    red, blue = 64, 128  # 940000 and 000094
    table = palette.maximum_table()
    assert table[red, blue] == np.float32(0x94 * (0.299 + 0.114))
    assert table[red, red] == np.float32(0x94 * 0.299)


def test_an_odd_index_is_the_color_below() -> None:
    for table in (palette.plain_table(), palette.average_table(), palette.maximum_table()):
        assert table.shape == (256, 256)
        assert np.array_equal(table[::2, ::2], table[1::2, 1::2])
