from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from errors import UserError
from tests.small_agent import make_agent
from watch import terminal
from watch.agent_view import AgentView
from watch.scene import KEYS, Scene
from watch.terminal import Canvas, Terminal, codes

END = b"\x1b[0m\x1b[0m\x1b[0m"  # marks the end of what was written
TMUX = shutil.which("tmux")


class Pseudo:
    """A pseudo-terminal of 90 columns and 30 lines, with us at the other end."""

    def __init__(self, **environ: str) -> None:
        self.ours, self.theirs = pty.openpty()
        fcntl.ioctl(self.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
        keyboard, screen = os.fdopen(os.dup(self.theirs)), os.fdopen(os.dup(self.theirs), "w")
        self.files = (keyboard, screen)
        environ = {"TERM": "xterm", "COLORTERM": "truecolor"} | environ
        self.written = b""
        self.reader = threading.Thread(target=self.drain)  # what nobody reads blocks who writes
        self.reader.start()
        self.display = Terminal(environ, keyboard, screen)

    def drain(self) -> None:
        with contextlib.suppress(OSError):  # the other end is closed
            while read := os.read(self.ours, 1 << 16):
                self.written += read

    def type(self, keys: bytes) -> list[str]:
        os.write(self.ours, keys)
        select.select([self.theirs], [], [], 5)
        return self.display.pressed()

    def read(self) -> str:
        """What was written since the last call."""
        while not self.written.endswith(END):
            os.write(self.files[1].fileno(), END)
            time.sleep(0.01)
        written, self.written = self.written, b""
        return written.replace(END, b"").decode()

    def close(self) -> None:
        for file in self.files:
            file.close()
        os.close(self.theirs)
        self.reader.join()
        os.close(self.ours)


@pytest.fixture
def pseudo() -> Iterator[Pseudo]:
    pseudo = Pseudo()
    yield pseudo
    pseudo.close()


def scene(shows_view: bool = False, shows_keys: bool = False, note: str = "") -> Scene:
    agent = make_agent(frames=40)
    view = AgentView(agent, game="breakout", action_names=("NOOP", "FIRE", "RIGHT", "LEFT"))
    agent.callbacks.append(view)
    agent.play(1)
    game: Any = agent.games[0]
    return Scene(game.environment.frame_rgb(), view, shows_view, KEYS if shows_keys else (), note)


@cache
def example() -> Scene:
    return scene(True, True, "note")


def test_keys(pseudo: Pseudo) -> None:
    assert pseudo.type(b"as[]mpnvhq") == list("as[]mpnvhq")
    assert pseudo.type(b"\x1b") == ["quit"]
    assert pseudo.type(b"\x1b[A\x1bOC p\x1b[1;5D\x1b[3~") == ["p"]
    assert pseudo.type("ü".encode()) == ["ü"]
    assert pseudo.type(b"\x1bx\x1b[Ap\x1bq") == ["p"], "Alt and a key is not Esc"
    assert pseudo.type(b"\x1b\x1b") == ["quit", "quit"]
    pseudo.display.close()


def test_keys_are_held_for_a_while(pseudo: Pseudo, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    pseudo.type(b"\x1b[A")
    now += 0.2
    pseudo.type(b"\x1b[C")  # repeats from now on: up stays held with it
    now += 0.2
    pseudo.type(b" ")
    assert pseudo.display.held() == {"up", "right", "fire"}
    pseudo.type(b"\x1b[D")
    assert pseudo.display.held() == {"up", "left", "fire"}
    now += 0.4
    assert pseudo.display.held() == set()
    pseudo.display.close()


def test_terminal_is_left_as_it_was(pseudo: Pseudo) -> None:
    before = pseudo.display.before
    assert before[3] & termios.ICANON
    during: list[Any] = termios.tcgetattr(pseudo.theirs)
    assert not during[3] & (termios.ICANON | termios.ECHO)
    assert during[3] & termios.ISIG  # Ctrl-C ends the game in order
    assert during[6][termios.VSUSP] == b"\0"
    pseudo.display.draw(example())
    pseudo.display.close()
    assert termios.tcgetattr(pseudo.theirs) == before
    written = pseudo.read()
    assert written.startswith("\x1b[?1049h")
    assert written.endswith("\x1b[?1049l")


def test_messages_before_the_first_picture_stay(pseudo: Pseudo) -> None:
    pseudo.files[1].write("There is no sound.\n")
    pseudo.display.close()
    assert pseudo.read() == "There is no sound.\r\n"


def test_a_terminal_that_does_not_know_its_size_has_80_columns(pseudo: Pseudo) -> None:
    fcntl.ioctl(pseudo.theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    pseudo.display.draw(example())
    assert pseudo.display.canvas.size == (80, 24)
    assert pseudo.read().count("▀") > 500
    pseudo.display.close()


def test_draws_only_what_changes(pseudo: Pseudo) -> None:
    shown = scene(shows_view=True)
    pseudo.display.draw(shown)
    assert pseudo.read().count("▀") > 1000
    pseudo.display.draw(shown)
    assert pseudo.read() == ""
    pseudo.display.draw(Scene(shown.picture, shown.view, True, (), "paused"))
    assert len(pseudo.read()) < 200
    pseudo.display.close()


def test_a_terminal_that_is_gone_is_left(pseudo: Pseudo, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise termios.error(5, "Input/output error")

    monkeypatch.setattr(termios, "tcsetattr", gone)
    pseudo.display.close()


def test_closed_terminal_quits(pseudo: Pseudo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "select", lambda *args: ([1], [], []))
    monkeypatch.setattr(os, "read", lambda fd, n: b"")
    assert pseudo.display.pressed() == ["quit"]


def test_refuses_what_is_no_terminal(pseudo: Pseudo) -> None:
    with (
        Path(os.devnull).open() as nothing,
        pytest.raises(UserError, match="needs a text terminal"),
    ):
        Terminal({"TERM": "xterm"}, nothing, pseudo.files[1])
    for environ in ({}, {"TERM": "dumb"}):
        with pytest.raises(UserError, match="move its cursor"):
            Terminal(environ, *pseudo.files)
    pseudo.display.close()


@given(st.integers(0, 130), st.integers(0, 60), st.booleans(), st.booleans())
def test_any_size_can_be_drawn_on(columns: int, lines: int, view: bool, true: bool) -> None:
    canvas = Canvas(columns, lines)
    shown = dataclasses.replace(example(), shows_view=view)
    terminal.draw_scene(canvas, shown, shown.picture)
    canvas.changes(Canvas(0, 0), true)


def test_half_blocks_are_the_picture() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    canvas = Canvas(24, 12)
    canvas.picture(picture, 0, 0, 24, 12, (20, 20))
    # as high as it fits: 24 half lines, so 24 columns
    assert (canvas.characters == "▀").all()
    canvas = Canvas(20, 12)
    canvas.picture(picture, 0, 0, 20, 12, (20, 20))
    np.testing.assert_array_equal(canvas.colors[1:11, :, 0], picture[::2])
    np.testing.assert_array_equal(canvas.colors[1:11, :, 1], picture[1::2])


def test_without_colors_characters_are_as_bright_as_the_picture() -> None:
    picture = np.zeros((20, 20, 3), np.uint8)
    picture[:, 10:] = np.linspace(0, 255, 20, dtype=np.uint8)[:, None, None]
    canvas = Canvas(20, 10, colored=False)
    canvas.picture(picture, 0, 0, 20, 10, (20, 20))
    assert (canvas.characters[:, :10] == " ").all()
    places = [terminal.SHADES.index(c) for c in canvas.characters[:, 15]]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (1, 9)
    written = canvas.changes(Canvas(0, 0, colored=False), true_color=True)
    assert "m" not in written  # no color is set
    assert not set(written) - set("\x1b[0123456789;H" + terminal.SHADES)


def test_no_color_reaches_the_terminal() -> None:
    pseudo = Pseudo(NO_COLOR="1")
    pseudo.display.draw(example())
    text = pseudo.read()
    pseudo.display.close()
    pseudo.close()
    assert not re.search(r"\x1b\[[34]8;", text)
    assert not {"▀", "█"} & set(text)
    assert set(terminal.SHADES[3:]) & set(text)


@pytest.mark.parametrize(
    ("lives", "shown"), [(3, "score 7  lives 3  expl."), (0, "score 7  expl.")]
)
def test_games_without_lives_show_none(lives: int, shown: str) -> None:
    view = scene().view
    view.lives, view.score = lives, 7
    canvas = Canvas(100, 30)
    terminal.draw_mind(canvas, view, 60, 30)
    assert "".join(canvas.characters[2, 60:]).startswith(shown)


def test_long_names_of_actions_keep_both_ends() -> None:
    view = scene().view
    view.action_names = ("move the paddle right", *view.action_names[1:])
    canvas = Canvas(100, 30)
    terminal.draw_mind(canvas, view, 60, 30)
    assert "".join(canvas.characters[4, 60:74]) == "move t..right "


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_the_nearest_of_256_colors(rgb: tuple[int, int, int]) -> None:
    levels = (0, 95, 135, 175, 215, 255)
    palette = [(r, g, b) for r in levels for g in levels for b in levels]
    palette += [(8 + 10 * n,) * 3 for n in range(24)]

    def distance(code: int) -> int:
        return sum(abs(a - b) for a, b in zip(palette[code - 16], rgb, strict=True))

    code = int(codes(np.array([[rgb]], np.uint8), False)[0, 0])
    assert 16 <= code <= 255
    assert distance(code) <= min(map(distance, range(16, 256))) + 15
    assert codes(np.array([[rgb]], np.uint8), True)[0, 0] == int(bytes(rgb).hex(), 16)


PLAY = """
import sys
sys.path[:0] = {path!r}
from watch.player import watching
from tests.small_agent import make_agent
agent = make_agent(frames=100_000)
with watching(agent, game="breakout", games=1, display="terminal", volume=0.0) as view:
    agent.play(1)
print(view.summary(1))
"""


@pytest.mark.skipif(not TMUX, reason="tmux is not installed")
def test_in_tmux(tmp_path: Path) -> None:
    script, socket = tmp_path / "play.py", tmp_path / "socket"
    script.write_text(PLAY.format(path=sys.path))

    def tmux(*words: str) -> str:
        command = ["tmux", "-S", str(socket), "-f", "/dev/null", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def screen_with(pattern: str) -> str:
        for _ in range(150):
            screen = tmux("capture-pane", "-p", "-e", "-t", "game")
            if re.search(pattern, re.sub(r"\x1b\[[0-9;:]*m", "", screen)):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"no {pattern} on\n{screen}")

    environment = "TERM=tmux-256color COLORTERM=truecolor SDL_AUDIODRIVER=dummy"
    game = f"{environment} {sys.executable} {script}; echo ended; stty -a | grep -w icanon; cat"
    tmux("new-session", "-d", "-s", "game", "-x", "100", "-y", "36", game)
    try:
        screen = screen_with("q quit")
        assert screen.count("▀") > 1000
        assert len(set(re.findall("38;2;[0-9;]*", screen))) > 8  # Breakout's rainbow
        for keys, pattern in (
            ("v", r"score 0 +lives 5[\s\S]*RIGHTFIRE|LEFT "),
            ("h", "take over the joystick"),
            ("h", "q quit"),
            ("m", "you play"),
            ("m", "the agent plays"),
            ("s", "speed 2"),
            ("a", "speed 1"),
            ("[", "volume 0%"),
            ("]", "volume 10%"),
            ("p", "paused"),
            ("n", "paused"),
        ):
            tmux("send-keys", "-t", "game", keys)
            screen_with(pattern)
        tmux("send-keys", "-t", "game", "Escape")
        end = screen_with("ended\n[\\s\\S]* icanon")
        assert "Stopped in game 1 at score 0." in end
        assert "-icanon" not in end
        assert "▀" not in end
    finally:
        tmux("kill-server")
