"""What window and terminal have in common: the scene that they show and the keys."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Protocol

from watch.agent_view import AgentView
from watch.picture import Picture

KEYS = (
    ("m", "take over the joystick, give it back"),
    ("arrows, space", "steer and fire"),
    ("a  s", "slower, faster"),
    ("p", "pause"),
    ("n", "one step"),
    ("[  ]", "softer, louder"),
    ("v", "the agent's view"),
    ("g", "saliency: which pixels favor the action"),
    ("f", "full screen"),
    ("h", "these keys"),
    ("q  Esc", "quit"),
)


@dataclass(frozen=True)
class Scene:
    """Everything that is shown at one moment."""

    picture: Picture
    view: AgentView
    shows_view: bool
    keys: Sequence[tuple[str, str]]  # those of KEYS to be listed over the picture
    note: str  # a few words over the picture, or none
    flickers: bool = False  # see watch.frames.Frame


class Display(Protocol):
    """Where a game is watched."""

    def pressed(self) -> list[str]:
        """The keys pressed since the last call, as characters; `quit` for Esc."""

    def held(self) -> Set[str]:
        """Which of `up down left right fire` are held down now."""

    def draw(self, scene: Scene) -> None:
        """Show it."""

    def close(self) -> None:
        """Restore everything."""
