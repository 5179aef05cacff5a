"""The agent's view as a picture: what it sees, each action's Q-value, and its choice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from watch.agent_view import HISTORY, AgentView

WIDTH, HEIGHT = 392, 630  # pixels at scale 1; three times the 210 lines of a game
MOST_ACTIONS = 24  # whose Q-values are shown
MOST_SCREENS = 20  # of the state that are shown
MARGIN = 16
INNER = WIDTH - 2 * MARGIN
BACKGROUND = (13, 17, 23)
CARD = (24, 30, 39)
TRACK = (33, 40, 51)
TEXT = (230, 237, 243)
MUTED = (133, 144, 158)
BLUE = (84, 132, 196)
DIM = (58, 84, 120)
NAME = 108  # width of an action's name, at most
BINS = 40  # parts into which the returns that are shown are divided
FINE = 4  # letters are drawn this many times as large, and scaled down
AMBER = (255, 176, 0)  # marks what the agent does

Picture = NDArray[np.uint8]  # (height, width, 3)
Box = tuple[float, float, float, float]  # left, top, right, bottom


@cache
def font(size: int) -> Any:
    """Pillow's own font, `size` pixels high."""
    return ImageFont.load_default(size)


@lru_cache(4096)
def written(text: str, size: int, anchor: str) -> tuple[Image.Image, int, int]:
    """`text` in white on black, and the place of its corner; cached, because drawing is slow."""
    # Small letters drawn directly would be placed at whole pixels, too close or too far apart.
    letters = font(FINE * size)
    edges = letters.getbbox(text, anchor=anchor)
    left, top = (math.floor(edge / FINE) for edge in edges[:2])
    right, bottom = (math.ceil(edge / FINE) for edge in edges[2:])
    mask = Image.new("L", (FINE * (right - left), FINE * (bottom - top)))
    ImageDraw.Draw(mask).text((-FINE * left, -FINE * top), text, 255, letters, anchor=anchor)
    return mask.reduce(FINE), left, top


def length(text: str, size: int) -> float:
    """The width of `text` in pixels."""
    return float(font(FINE * size).getlength(text)) / FINE


class Panel:
    """Draws an AgentView, (630, 392, 3) uint8 times `scale`."""

    def __init__(self, scale: float = 1.0) -> None:
        """`scale` is for the screen it is shown on: text is drawn in that size, not enlarged."""
        self.scale = scale

    def draw(self, view: AgentView) -> Picture:
        """The picture of the current state of `view`."""
        self.image = Image.new("RGB", (self._px(WIDTH), self._px(HEIGHT)), BACKGROUND)
        self.canvas = ImageDraw.Draw(self.image)
        self._header(view)
        self._label(134, "State: the last screens, the newest on the right")
        bottom = self._qvalues(view, 264)
        chart: Box = (MARGIN, bottom + 38, WIDTH - MARGIN, HEIGHT - MARGIN)
        returns: Box = (WIDTH / 2 + 4, *chart[1:])
        if view.network:
            title = "Q-values of the last 10 seconds, the best in amber"
            if view.returns:
                chart = (chart[0], chart[1], WIDTH / 2 - 4, chart[3])
                title = "Q-values of 10 seconds"
                self._label(bottom + 26, "Returns it expects", returns[0])
                self._box(returns, CARD, 6)
            self._label(bottom + 26, title)
            self._box(chart, CARD, 6)
            if view.returns and view.spans:
                self._ends(view, returns)
        picture = np.array(self.image)
        if view.state is not None:
            self._screens(picture, view.state)
        if len(view.history) > 1:
            self._chart(picture, view, chart)
        if view.returns and view.spans:
            self._returns(picture, view, returns)
        return picture

    def _px(self, length: float) -> int:
        return round(length * self.scale)

    def _text(
        self, x: float, y: float, text: str, size: int, fill: tuple[int, int, int], anchor: str
    ) -> None:
        mask, dx, dy = written(text, max(self._px(size), 1), anchor)
        self.image.paste(fill, (self._px(x) + dx, self._px(y) + dy), mask)

    def _label(self, y: float, text: str, x: float = MARGIN) -> None:
        self._text(x, y, text, 12, MUTED, "ls")

    def _box(
        self, box: tuple[float, float, float, float], fill: tuple[int, int, int], radius: int
    ) -> None:
        self.canvas.rounded_rectangle([self._px(v) for v in box], self._px(radius), fill)

    def _header(self, view: AgentView) -> None:
        title = view.game.replace("_", " ").title()
        self._text(MARGIN, 36, title, 24 if len(title) < 18 else 17, TEXT, "ls")
        who = (
            "you play"
            if view.person_plays
            else "exploring"
            if _explores(view)
            else "the agent plays"
        )
        self._text(WIDTH - MARGIN, 36, who, 14, AMBER if view.person_plays else MUTED, "rs")
        tiles = [
            ("Score", f"{view.score:,.0f}" if view.score % 1 == 0 else f"{view.score:,.1f}"),
            *([("Lives", str(view.lives))] if view.lives else []),  # many games have none
            ("Exploration", f"{view.exploration_rate:.0%}"),
        ]
        width = (INNER - 8 * (len(tiles) - 1)) / len(tiles)
        for i, (label, value) in enumerate(tiles):
            x = MARGIN + i * (width + 8)
            self._box((x, 50, x + width, 110), CARD, 6)
            self._text(x + 10, 68, label, 12, MUTED, "ls")
            self._text(x + 10, 99, value, 24, TEXT, "ls")

    def _screens(self, picture: Picture, state: NDArray[np.uint8]) -> None:
        """Draw the last screens side by side, oldest first; 84x84 ones pixel by pixel."""
        state = state[-MOST_SCREENS:]
        width = (INNER - 8 * (len(state) - 1)) / len(state)
        size = min(self._px(width), self._px(92))
        for i, screen in enumerate(state):
            gray = cv2.resize(screen, (size, size), interpolation=cv2.INTER_AREA)
            x, y = self._px(MARGIN + i * (width + 8)), self._px(144)
            picture[y : y + size, x : x + size] = gray[..., None]

    def _qvalues(self, view: AgentView, y: float) -> float:
        """Draw a bar for each action, longer for a higher Q-value; returns where they end."""
        if not view.network:
            self._label(y, "There is no network: you play")
            return y
        q, listed = view.qvalues, list(range(len(view.action_names)))
        self._label(y, "Q-value of each action, and the agent's choice")
        if len(listed) > MOST_ACTIONS:  # those that look best
            best = sorted(listed, key=lambda i: 0.0 if q is None else -float(q[i]))
            chosen = best[0] if view.action is None else view.action
            listed = sorted({chosen, *best[: MOST_ACTIONS - 1]})
        row = min(26.0, 240 / len(listed))
        size = min(13, int(row) - 2)
        low, high = _range(view)
        for n, i in enumerate(listed):
            name = view.action_names[i]
            top = y + 10 + n * row
            middle, thickness = top + row / 2, row * 0.55
            color = AMBER if i == view.action else BLUE
            fits = int(size * min(NAME / max(length(name, size), 1), 1))
            self._text(MARGIN, middle, name, fits, TEXT if i == view.action else MUTED, "lm")
            bar = (128, middle - thickness / 2, 312, middle + thickness / 2)
            self._box(bar, TRACK, 3)
            if q is not None:
                end = 128 + max(float((q[i] - low) / (high - low)) * 184, 5)
                self._box((128, bar[1], end, bar[3]), color, 3)
                value = TEXT if i == view.action else MUTED
                self._text(WIDTH - MARGIN, middle, _number(float(q[i])), size, value, "rm")
        return y + 10 + len(listed) * row

    def _chart(
        self, picture: Picture, view: AgentView, box: tuple[float, float, float, float]
    ) -> None:
        """Draw a line for each action, and highlight the highest."""
        left, top, right, bottom = (self._px(v) for v in box)
        pad = self._px(8)
        q = np.stack(view.history)  # (steps, num_actions)
        low, high = _range(view)
        x = (
            right
            - pad
            - (len(q) - 1 - np.arange(len(q))) * (right - left - 2 * pad) / (HISTORY - 1)
        )
        lines = [(values, DIM, 1) for values in q.T] + [(q.max(axis=1), AMBER, 2)]
        for values, color, thickness in lines:
            y = bottom - pad - (values - low) / (high - low) * (bottom - top - 2 * pad)
            points = np.stack([x, y], axis=1)
            fixed = np.round(points * 16).astype(np.int32)  # in sixteenths of a pixel
            width = max(self._px(thickness), 1)
            cv2.polylines(picture, [fixed], False, color, width, cv2.LINE_AA, shift=4)

    def _ends(self, view: AgentView, box: Box) -> None:
        """The lowest and the highest return that is shown."""
        left, _, right, bottom = box
        low, high = _span(view)
        self._text(left + 8, bottom - 7, limit(low), 10, MUTED, "ls")
        self._text(right - 8, bottom - 7, limit(high), 10, MUTED, "rs")

    def _returns(self, picture: Picture, view: AgentView, box: Box) -> None:
        """How probable each return is: a line an action, the area of the chosen one filled."""
        assert view.returns
        left, top, right, bottom = (self._px(v) for v in box)
        pad, foot = self._px(8), bottom - self._px(20)
        places = np.linspace(left + pad, right - pad, BINS + 2)
        shares = _densities(view)  # (num_actions, BINS)
        highest = max(float(shares.max()), 1e-6)
        for i in sorted(range(len(shares)), key=lambda i: i != view.action):  # the others over it
            heights = np.concatenate([[0], shares[i], [0]]) / highest
            y = foot - heights * (foot - top - pad)
            fixed = np.round(np.stack([places, y], axis=1) * 16).astype(np.int32)
            if i == view.action:
                cv2.fillPoly(picture, [fixed], AMBER, cv2.LINE_AA, shift=4)
            else:
                cv2.polylines(
                    picture, [fixed], False, BLUE, max(self._px(1), 1), cv2.LINE_AA, shift=4
                )


def _densities(view: AgentView) -> NDArray[np.float64]:
    """The share of each action's returns that lies in each of BINS parts of what is shown."""
    assert view.returns
    low, high = _span(view)
    found = []
    for values, probabilities in zip(*view.returns, strict=True):
        parts = (values - low) / (high - low) * BINS
        # A return between two parts counts for both: atoms that lie wider than these leave no gaps.
        places = np.arange(BINS) + 0.5
        width = max(1.5, float(np.median(np.diff(np.sort(parts)))))
        nearness = np.maximum(1 - np.abs(places[:, None] - parts) / width, 0)
        found.append(nearness @ probabilities / width)
    return np.stack(found)


def _span(view: AgentView) -> tuple[float, float]:
    """The lowest and highest return shown."""
    lows, highs = zip(*view.spans, strict=True)
    low, high = min(lows), max(highs)
    return low, max(high, low + 1e-6)


def _explores(view: AgentView) -> bool:
    q = view.qvalues
    return q is not None and view.action is not None and q[view.action] < q.max()


def _range(view: AgentView) -> tuple[float, float]:
    """The lowest and highest Q-value in the history: only differences matter."""
    if not view.history:
        return 0.0, 1.0
    low, high = float(np.min(view.history)), float(np.max(view.history))
    return low, max(high, low + 1e-6)


def limit(value: float) -> str:
    """An end of the axis of returns; an atom at 0 may be off by a rounding error."""
    return f"{round(value, 6) + 0.0:.3g}"


def _number(value: float) -> str:
    return (
        f"{value:.3f}"
        if abs(value) < 10
        else f"{value:.2f}"
        if abs(value) < 100
        else f"{value:.1f}"
    )


def note_card(text: str, scale: float) -> Picture:
    """A few words on a dark card, (height, width, 4) with transparency."""
    size = round(16 * scale)
    width = round(length(text, size) + 28 * scale)
    image = _card(width, round(36 * scale), scale)
    mask, dx, dy = written(text, size, "mm")
    image.paste(TEXT, (width // 2 + dx, image.height // 2 + dy), mask)
    return np.array(image)


def key_card(keys: Sequence[tuple[str, str]], scale: float) -> Picture:
    """The keys and what they do on a dark card, (height, width, 4) with transparency."""
    size, row = round(15 * scale), 25 * scale
    widths = [max(length(pair[i], size) for pair in keys) for i in range(2)]
    image = _card(round(sum(widths) + 72 * scale), round(row * len(keys) + 36 * scale), scale)
    for n, pair in enumerate(keys):
        for x, text, fill in zip(
            (24 * scale, widths[0] + 48 * scale), pair, (AMBER, TEXT), strict=True
        ):
            mask, dx, dy = written(text, size, "lm")
            image.paste(fill, (round(x) + dx, round(18 * scale + row * (n + 0.5)) + dy), mask)
    return np.array(image)


def _card(width: int, height: int, scale: float) -> Image.Image:
    image = Image.new("RGBA", (width, height))
    corners = (0, 0, width - 1, height - 1)
    ImageDraw.Draw(image).rounded_rectangle(corners, round(8 * scale), (*BACKGROUND, 225))
    return image
