"""Shows the game in a text terminal: two pixels per character, in color."""

from __future__ import annotations

import contextlib
import os
import re
import select
import sys
import termios
import time
import tty
from collections.abc import Mapping, Set
from typing import TextIO

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import UserError
from watch.agent_view import AgentView
from watch.picture import Picture, glowing, size_of
from watch.scene import Scene
from watch.view_panel import AMBER, BACKGROUND, BLUE, MUTED, TEXT

# A terminal reports when a key is pressed and repeats it, but not its release: a key counts as held
# for so long.
HELD_SECONDS = 0.3
ESCAPE_SECONDS = 0.03  # after that long Esc is a key, not the beginning of an arrow key
# An arrow or another special key; a key together with Alt, which has no meaning; Esc; any other.
KEY = re.compile(r"\x1b[\[O](?:[0-9;]*)([A-Za-z~])|\x1b[^\x1b]|(\x1b)|(.)", re.DOTALL)
JOYSTICK = {"A": "up", "B": "down", "C": "right", "D": "left"}  # the last letter of an arrow key
OPPOSITE = {"up": "down", "down": "up", "left": "right", "right": "left"}
PANEL = 34  # columns
SCREENS = (15, 7)  # columns and rows of each of the agent's screens
SHADES = " .:-=+*#%@"  # from dark to bright, for NO_COLOR
SIZE = (80, 24)  # columns and lines of a terminal that does not know, as on a serial line
BEGIN = "\x1b[?1049h\x1b[?25l\x1b[?7l"  # another screen, no cursor, no wrapping
END = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"


class Terminal:
    """Draws with half blocks. Raises UserError if the terminal cannot show them."""

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        keyboard: TextIO | None = None,
        screen: TextIO | None = None,
    ) -> None:
        """Use the terminal of standard input and output, or those given, until `close`."""
        self.keyboard, self.screen = keyboard or sys.stdin, screen or sys.stdout
        if not (self.keyboard.isatty() and self.screen.isatty()):
            raise UserError("--display terminal needs a text terminal, and there is none here.")
        if environ.get("TERM", "dumb") == "dumb":
            raise UserError("--display terminal needs a terminal that can move its cursor.")
        self.true_color = environ.get("COLORTERM", "") in ("truecolor", "24bit")
        self.colored = not environ.get("NO_COLOR")
        self.fd = self.keyboard.fileno()
        self.before = termios.tcgetattr(self.fd)
        tty.setcbreak(self.fd)
        mode = termios.tcgetattr(self.fd)
        mode[6][termios.VSUSP] = b"\0"  # stopped by Ctrl-Z, it would leave the shell unreadable
        termios.tcsetattr(self.fd, termios.TCSANOW, mode)
        self.until: dict[str, float] = {}  # what is held, and until when
        self.previous: Picture | None = None
        self.canvas = Canvas(0, 0)

    def pressed(self) -> list[str]:
        """The keys pressed since the last call."""
        text = ""
        while select.select([self.fd], [], [], ESCAPE_SECONDS if text.endswith("\x1b") else 0)[0]:
            if not (read := os.read(self.fd, 1024)):
                return ["quit"]  # the terminal is gone
            text += read.decode("utf-8", "replace")
        found = []
        for arrow, escape, character in KEY.findall(text):
            if arrow in JOYSTICK or character == " ":
                self._hold(JOYSTICK.get(arrow, "fire"))
            elif escape or character:
                found.append("quit" if escape else character)
        return found

    def _hold(self, name: str) -> None:
        until = time.monotonic() + HELD_SECONDS
        # Only the key pressed last repeats: meanwhile, keys held before it stay held.
        self.until = {key: until for key in [*self.held(), name] if key != OPPOSITE.get(name)}

    def held(self) -> Set[str]:
        """The keys that were pressed a moment ago."""
        now = time.monotonic()
        return {name for name, until in self.until.items() if until > now}

    def draw(self, scene: Scene) -> None:
        """Write what differs from the previous scene."""
        if self.previous is None:  # not earlier, since this hides the messages before it
            self._write(BEGIN)
        size = os.get_terminal_size(self.screen.fileno())
        columns, lines = size.columns or SIZE[0], size.lines or SIZE[1]
        if (columns, lines) != self.canvas.size:
            self._write("\x1b[0m\x1b[2J")
        picture = scene.picture
        if scene.flickers and self.previous is not None and self.previous.shape == picture.shape:
            picture = np.maximum(self.previous, picture)
        self.previous = scene.picture
        canvas = Canvas(columns, lines, colored=self.colored)
        draw_scene(canvas, scene, picture)
        self._write(canvas.changes(self.canvas, self.true_color))
        self.canvas = canvas

    def close(self) -> None:
        """Restore the terminal."""
        with contextlib.suppress(OSError, termios.error):  # the terminal may be gone
            termios.tcsetattr(self.fd, termios.TCSAFLUSH, self.before)
            if self.previous is not None:
                self._write(END)

    def _write(self, text: str) -> None:
        self.screen.buffer.write(text.encode())
        self.screen.flush()


class Canvas:
    """Characters and their two colors, or only characters if it is not `colored`."""

    def __init__(self, columns: int, lines: int, *, colored: bool = True) -> None:
        """All black."""
        self.size = (columns, lines)
        self.colored = colored
        self.characters = np.full((lines, columns), " ")
        self.colors = np.zeros((lines, columns, 2, 3), np.uint8)  # of the character, behind it

    def picture(
        self, picture: Picture, x: int, y: int, columns: int, lines: int, shape: tuple[int, int]
    ) -> None:
        """Draw `picture` with the proportions of `shape` into the middle of a box, two pixels a
        character: the upper one is the character's color, the lower one is behind it. Without
        colors the character is one of SHADES."""
        if columns < 1 or lines < 1:
            return
        scale = min(columns / shape[0], 2 * lines / shape[1])
        width, height = max(int(shape[0] * scale), 1), max(int(shape[1] * scale / 2), 1)
        small = cv2.resize(picture, (width, 2 * height), interpolation=cv2.INTER_AREA)
        x, y = x + (columns - width) // 2, y + (lines - height) // 2
        halves = small.reshape(height, 2, width, 3).transpose(0, 2, 1, 3)
        if self.colored:
            self.characters[y : y + height, x : x + width] = "▀"
            self.colors[y : y + height, x : x + width] = halves
        else:
            light = np.sqrt(halves.mean(axis=(2, 3)) / 256)  # as bright as they look
            shades = np.array(list(SHADES))[(light * len(SHADES)).astype(int)]
            self.characters[y : y + height, x : x + width] = shades

    def text(
        self,
        x: int,
        y: int,
        text: str,
        color: tuple[int, int, int],
        behind: tuple[int, int, int] = (0, 0, 0),
    ) -> None:
        """Write `text` from (x, y); what does not fit is cut off."""
        columns, lines = self.size
        text = text[: max(columns - x, 0)]
        if 0 <= y < lines and text:
            self.characters[y, x : x + len(text)] = list(text)
            self.colors[y, x : x + len(text)] = (color, behind)

    def changes(self, before: Canvas, true_color: bool) -> str:
        """What to write to a terminal that shows `before`, to show this canvas."""
        colors = codes(self.colors, true_color)
        differs = np.ones(self.characters.shape, bool)
        if before.size == self.size:
            differs = self.characters != before.characters
            if self.colored:
                differs |= (colors != codes(before.colors, true_color)).any(axis=2)
        out, position, pen = [], (-1, -1), None
        for y, x in np.argwhere(differs).tolist():
            if position != (y, x):
                out.append(f"\x1b[{y + 1};{x + 1}H")
            color = (int(colors[y, x, 0]), int(colors[y, x, 1]))
            if self.colored and color != pen:
                out.append(_escape(color, true_color))
                pen = color
            out.append(str(self.characters[y, x]))
            position = (y, x + 1)
        return "".join(out)


def codes(colors: NDArray[np.uint8], true_color: bool) -> NDArray[np.int32]:
    """(..., 3) red, green, blue as one number: all 24 bits, or the nearest of xterm's 256."""
    c = colors.astype(np.int32)
    if true_color:
        return c[..., 0] << 16 | c[..., 1] << 8 | c[..., 2]
    levels = np.array([0, 95, 135, 175, 215, 255])
    cube = np.abs(c[..., None] - levels).argmin(axis=-1)  # (..., 3)
    gray = np.clip((c.mean(axis=-1) - 3) // 10, 0, 23).astype(np.int32)
    from_cube = np.abs(levels[cube] - c).sum(axis=-1)
    from_gray = np.abs(8 + 10 * gray[..., None] - c).sum(axis=-1)
    in_cube = 16 + 36 * cube[..., 0] + 6 * cube[..., 1] + cube[..., 2]
    return np.asarray(np.where(from_gray < from_cube, 232 + gray, in_cube), np.int32)


def _escape(color: tuple[int, int], true_color: bool) -> str:
    parts = []
    for ground, code in zip((38, 48), color, strict=True):
        rgb = f"2;{code >> 16};{code >> 8 & 255};{code & 255}"
        parts.append(f"{ground};{rgb if true_color else f'5;{code}'}")
    return f"\x1b[{';'.join(parts)}m"


def draw_scene(canvas: Canvas, scene: Scene, picture: Picture) -> None:
    """Draw the picture in the middle, the agent's view on its right, a note in the last line."""
    columns, lines = canvas.size
    if scene.view.heat is not None:
        picture = glowing(picture, scene.view.heat)
    panel = PANEL if scene.shows_view and columns >= 2 * PANEL else 0
    canvas.picture(picture, 0, 0, columns - panel, lines - 1, size_of(picture))
    if panel:
        draw_mind(canvas, scene.view, columns - PANEL + 2, lines - 1)
    if scene.keys:
        left = max((columns - panel - 56) // 2, 0)
        for row, (keys, what) in enumerate(pair for pair in scene.keys if pair[0] != "f"):
            canvas.text(left, 1 + row, f"  {keys:16}{what:38}", TEXT, BACKGROUND)
    score = f"{scene.view.score:.10g} "
    canvas.text(0, lines - 1, f" {scene.note or 'h keys  q quit'}".ljust(columns), MUTED)
    canvas.text(max(columns - len(score), 0), lines - 1, score, AMBER)


def draw_mind(canvas: Canvas, view: AgentView, x: int, lines: int) -> None:
    """Draw the agent's view as text, and its screens below if there is room."""
    who = "you play" if view.person_plays else "the agent plays"
    canvas.text(x, 0, view.game.replace("_", " ").title(), TEXT)
    canvas.text(x, 1, who, AMBER if view.person_plays else MUTED)
    lives = f"  lives {view.lives}" if view.lives else ""  # many games have none
    numbers = f"score {view.score:.10g}{lives}  expl. {view.exploration_rate:.0%}"
    canvas.text(x, 2, numbers, TEXT)
    row = 4
    if view.qvalues is not None:
        low, high = np.min(view.history), np.max(view.history)
        for i, (name, q) in enumerate(zip(view.action_names, view.qvalues, strict=True)):
            length = round(float((q - low) / max(high - low, 1e-6)) * 10)
            color = AMBER if i == view.action else MUTED
            canvas.text(x, row, name if len(name) <= 13 else f"{name[:6]}..{name[-5:]}", color)
            canvas.text(
                x + 14,
                row,
                ("█" if canvas.colored else "#") * length,
                AMBER if i == view.action else BLUE,
            )
            canvas.text(x + 25, row, f"{q:7.3f}", color)
            row += 1
        row += 1
    if view.state is None:
        return
    columns, height = SCREENS
    for i, screen in enumerate(view.state):
        top = row + i // 2 * (height + 1)
        if top + height <= lines:
            picture = np.repeat(screen[..., None], 3, axis=2)
            canvas.picture(picture, x + i % 2 * (columns + 1), top, columns, height, (1, 1))
