"""Games played for somebody: in a window, on film, for the filter page."""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import Any

from agent import Agent
from verbs import Task
from visualization import StateCollector, visualize

logger = logging.getLogger(__name__)


def plays_alone(task: Task) -> bool:
    """Whether a person plays without an agent: ./play.sh GAME."""
    return task.verb == "play" and not task.config.load_weights


def play(task: Task, agent: Agent, network: Any) -> None:
    """Play `--play_games` games as the flags ask: seen, recorded, looked into, or just played."""
    config, games = task.config, task.config.play_games
    collector = StateCollector(agent)
    if config.visualization_file:
        agent.callbacks.append(collector)
    if config.display_screen:
        from player import play as show

        show(agent, game=task.game, games=games, display=config.display, volume=config.volume)
    elif config.video_file or config.record_screen_path or config.record_sound_filename:
        film(task, agent)
    else:
        agent.play(games)
    if config.visualization_file:
        visualize(
            network,
            collector.states(),
            filters=config.visualization_filters,
            file=config.visualization_file,
            game=task.game,
            snapshot=config.load_weights or Path(task.name),
            epoch=task.snapshot.epoch if task.snapshot else 0,
        )
        logger.info("Wrote %s", config.visualization_file)


def film(task: Task, agent: Agent) -> None:
    """Record the games: a film, its frames, its sound, whichever the flags name."""
    from recorder import record

    config = task.config
    mind = record(
        agent,
        game=task.game,
        games=config.play_games,
        video_file=config.video_file,
        overlay=config.overlay,
        screen_path=config.record_screen_path,
        sound_file=config.record_sound_filename,
    )
    for number, score in enumerate(mind.scores, 1):
        print(f"Game {number}: score {score:g}")
    for path in (config.video_file, config.record_screen_path, config.record_sound_filename):
        if path:
            logger.info("Wrote %s", path)


def shown(task: Task, agent: Agent) -> contextlib.AbstractContextManager[Any]:
    """With --display_screen, shows a run in a window as fast as it goes."""
    if not task.config.display_screen:
        return contextlib.nullcontext()
    from player import watching

    config = task.config
    return watching(
        agent,
        game=task.game,
        games=0,
        display=config.display,
        volume=config.volume,
        speed=float("inf"),
    )
