"""Games that are shown in a window, filmed, or played for the filter page."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

from agent import Agent
from commands.verbs import Task
from errors import NotSaved
from runs.outputs import check_outputs
from runs.plan import plays_for_somebody
from watch.states import StateCollector, filters_of

if TYPE_CHECKING:
    from watch.agent_view import AgentView

logger = logging.getLogger(__name__)


def plays_alone(task: Task) -> bool:
    """Whether a person plays without an agent: ./play.sh GAME --alone."""
    return task.verb == "play" and not task.config.load_weights


def play(task: Task, agent: Agent) -> None:
    """Play `--play_games` games: shown, recorded, for the filter page, or just played."""
    config, games = task.config, task.config.play_games
    collector = StateCollector(agent)
    if config.visualization_file:
        filters_of(agent.network)  # refuses before anything is played
        agent.callbacks.append(collector)
    with recorded(task, agent, games) as film, _watched(task, agent, film) as view:
        agent.play(games)
    if view:
        tell = print if config.log == "text" else logger.info  # standard output is JSON then
        tell(view.summary(games))
    if config.visualization_file:
        from nvis.page import visualize

        wanted = config.visualization_file
        written = visualize(
            filters_of(agent.network),
            collector.states(),
            filters=config.visualization_filters,
            file=wanted,
            game=task.game,
            snapshot=config.load_weights.name if config.load_weights else task.name,
            epoch=task.snapshot.epoch if task.snapshot else 0,
            overwrite=config.overwrite,
        )
        if written == wanted:
            logger.info("Wrote %s", written)
        elif "visualization_file" in task.given:
            raise NotSaved(f"{wanted} has appeared meanwhile: the page is in {written}.")
        else:
            logger.info("%s has appeared meanwhile: wrote %s", wanted, written)


def _watched(
    task: Task, agent: Agent, film: AgentView | None
) -> contextlib.AbstractContextManager[AgentView | None]:
    """Show the games, or the progress of their film; yields the agent's view if there is one."""
    config = task.config
    if config.display_screen:
        from watch.player import watching

        return watching(
            agent,
            game=task.game,
            games=config.play_games,
            display=config.display,
            volume=config.volume,
        )
    if film:
        from watch.recorder import progress

        return progress(agent, film)
    return contextlib.nullcontext()


@contextlib.contextmanager
def recorded(task: Task, agent: Agent, games: int) -> Iterator[AgentView | None]:
    """Record `games` games (0: all) as film, frames and sound, as far as the flags name them.

    They replace earlier files only with --overwrite.
    """
    config = task.config
    if not config.records:
        yield None
        return
    for earlier in check_outputs(config):
        earlier.unlink(missing_ok=True)
    from watch.recorder import recording

    with recording(
        agent,
        game=task.game,
        games=games,
        video_file=config.video_file,
        overlay=config.overlay,
        screen_path=config.record_screen_path,
        sound_file=config.record_sound_filename,
    ) as view:
        yield view
    for path in (config.video_file, config.record_screen_path, config.record_sound_filename):
        if path:
            logger.info("Wrote %s", path)


@contextlib.contextmanager
def showing(task: Task, agent: Agent) -> Iterator[None]:
    """Record a run, or show it in a window at full speed, if the flags ask for it."""
    config = task.config
    if plays_for_somebody(task):  # which `play` shows
        yield
        return
    with recorded(task, agent, 0):
        if not config.display_screen:
            yield
            return
        from watch.player import watching

        with watching(
            agent,
            game=task.game,
            games=0,
            display=config.display,
            volume=config.volume,
            speed=float("inf"),
        ):
            yield
