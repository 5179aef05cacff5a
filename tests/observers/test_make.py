"""Which observers a command has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from commands.verbs import parse
from observers.make import make_observers
from observers.progress import Progress


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("train pong", True),
        ("train pong --video_file a.mov", True),
        ("train pong --display_screen true", False),
        ("run pong --play_games 1", True),
        ("run pong --play_games 1 --video_file a.mov", False),
        ("run pong --play_games 1 --record_screen_path a", False),
    ],
)
def test_progress_is_shown_where_nothing_else_shows_it(home: Path, line: str, shown: bool) -> None:
    verb, *words = line.split()
    stats: Any = None
    found = make_observers(parse(verb, words), stats, [], {})
    assert any(isinstance(each, Progress) for each in found) == shown
