"""Shows an agent playing at the game's own speed; a person can take over the joystick."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from agent import Agent, Callback, GameStep
from errors import UserError
from watch.agent_view import AgentView
from watch.frames import Frame
from watch.joystick import action_name, attached
from watch.scene import KEYS, Display, Scene
from watch.speaker import Speaker

logger = logging.getLogger(__name__)

SPEEDS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0, float("inf"))
HEARD = (0.25, 4.0)  # speeds at which there is sound
NOTE_SECONDS = 2.0
LATE_SECONDS = 0.1  # larger delays are not caught up
SLEEP_SECONDS = 1 / 60  # between readings of the keys while nothing moves
LAST_SECONDS = 3.0  # how long the end of the last game is shown


class Player(Callback):
    """Shows each frame when it is due and handles keys; in between the agent plays."""

    def __init__(
        self,
        *,
        agent: Agent,
        view: AgentView,
        display: Display,
        speaker: Speaker,
        frames_per_second: float,
        games: int,
        speed: float,
    ) -> None:
        """Show `games` games, or a run (0). `speed` is one of SPEEDS; 1 is the game's own."""
        self.agent = agent
        self.view = view
        self.display = display
        self.speaker = speaker
        self.frames_per_second = frames_per_second
        self.games = games
        self.speed = SPEEDS.index(speed)
        self.frame: Frame | None = None
        self.frames = 0
        self.due = time.perf_counter()  # when the next frame is to be shown
        self.drawn = 0.0  # when the last one was
        self.paused = self.stepping = self.quit = False
        self.shows_view = self.shows_keys = False
        view.person_plays = view.network is None
        self.note, self.note_until = "", 0.0
        self._say("h: keys", NOTE_SECONDS)

    def show_frame(self, frame: Frame) -> None:
        """Show a frame and wait until the next one is due; a listener of the environment."""
        if self.agent.stopped or (self.games and self.view.games_over >= self.games):
            return  # these frames are the no-ops of a game that will not be played
        self.frame = frame
        self.frames += 1
        speed = SPEEDS[self.speed]
        if frame.audio is not None and HEARD[0] <= speed <= HEARD[1]:
            self.speaker.play(frame.audio, speed)
        now, pause = time.perf_counter(), 1 / (self.frames_per_second * speed)
        late, waited = now > self.due + pause, now - self.drawn
        often = self.frames % max(1, int(min(speed, 8))) == 0  # no display shows 480 frames/s
        if (often and not late) or waited > LATE_SECONDS:
            self._draw()
        self.due = max(self.due + pause, now - LATE_SECONDS)
        self._wait()

    def held_action(self) -> str | None:
        """The action that a person holds, or None while the agent plays."""
        return action_name(self.display.held()) if self.view.person_plays else None

    def on_step(self, made: GameStep) -> None:
        """Pause after a single step, and show the score when a game ends."""
        if made.step.ended:
            self._say(f"Game over: {self.view.scores[-1]:.10g}", NOTE_SECONDS)
        if self.stepping:
            self.stepping, self.paused = False, True
            self._wait()

    def show_end(self) -> None:
        """Show the end of the last game for a moment, or until a key is pressed."""
        if not self.view.scores:
            return
        end = time.perf_counter() + LAST_SECONDS
        self._say(f"Game over: {self.view.scores[-1]:.10g}", LAST_SECONDS)
        while time.perf_counter() < end and not self.agent.stopped and not self.display.pressed():
            self._draw()
            time.sleep(SLEEP_SECONDS)

    def _wait(self) -> None:
        while not self.agent.stopped:
            for key in self.display.pressed():
                self._press(key)
            left = self.due - time.perf_counter()
            if self.paused:
                self._draw()
                self.due = time.perf_counter()
                left = SLEEP_SECONDS
            elif left <= 0:
                return
            time.sleep(min(left, SLEEP_SECONDS))

    def _draw(self) -> None:
        assert self.frame
        self.drawn = time.perf_counter()
        note = self.note if self.drawn < self.note_until else ""
        if self.paused:
            note = "paused   p: resume   n: one step"
        keys = self._keys() if self.shows_keys else ()
        scene = Scene(self.frame.rgb, self.view, self.shows_view, keys, note, self.frame.flickers)
        self.display.draw(scene)

    def _say(self, note: str, seconds: float = NOTE_SECONDS) -> None:
        self.note, self.note_until = note, time.perf_counter() + seconds

    def _keys(self) -> Sequence[tuple[str, str]]:
        """The keys that do something here, and what."""
        useless: tuple[str, ...] = ()
        if self.view.network is None:
            useless = "m", "g"
        elif not self.games:
            useless = "m", "arrows, space"
        return [pair for pair in KEYS if pair[0] not in useless]

    def _press(self, key: str) -> None:
        """What each key does; KEYS tells the user."""
        key = key.lower()  # Caps Lock may be on
        match key:
            case "q" | "quit":
                self.quit = True
                self.agent.stop()
            case "a" | "s":
                change = 1 if key == "s" else -1
                self.speed = min(max(self.speed + change, 0), len(SPEEDS) - 1)
                speed = SPEEDS[self.speed]
                self._say("as fast as it goes" if speed == float("inf") else f"speed {speed:g}")
            case "[" | "]":
                louder = 0.1 if key == "]" else -0.1
                self.speaker.volume = round(min(max(self.speaker.volume + louder, 0), 1), 1)
                silent = "" if self.speaker.channel else " (there is no sound device)"
                self._say(f"volume {self.speaker.volume:.0%}{silent}")
            case "m" if self.view.network is None:
                self._say("there is no agent to play: give a snapshot")
            case "m" if not self.games:
                # NB! The replay memory keeps the agent's actions, which would not be those played.
                self._say("you can play in ./play.sh only, not in a run")
            case "m":
                self.view.person_plays = not self.view.person_plays
                self._say("you play" if self.view.person_plays else "the agent plays")
            case "p":
                self.paused, self.stepping = not self.paused, False
            case "n":
                self.paused, self.stepping = False, True
            case "v":
                self.shows_view = not self.shows_view
            case "g":
                self._toggle_heat()
            case "h":
                self.shows_keys = not self.shows_keys

    def _toggle_heat(self) -> None:
        if self.view.saliency:
            self.view.saliency = self.view.heat = None
        else:
            self.view.show_heat()


@contextlib.contextmanager
def watching(
    agent: Agent, *, game: str, games: int, display: str, volume: float, speed: float = 1.0
) -> Iterator[AgentView]:
    """Show the agent playing inside the `with` block; yields the AgentView that is shown.

    `games` games are shown, 0: a run, in which nobody can take over. If `display`, window or
    terminal, is not available, the other one is used and a message says so. Raises UserError if a
    person is to play and there is none.
    """
    environment: Any = agent.games[0].environment
    view = AgentView(agent, game=game, action_names=environment.action_names)
    shown = open_display(display, game, alone=agent.network is None)
    if shown is None:
        with attached(agent, view, lambda frame: None):
            yield view
        return
    speaker = Speaker(volume)
    player = Player(
        agent=agent,
        view=view,
        display=shown,
        speaker=speaker,
        frames_per_second=environment.frames_per_second,
        games=games,
        speed=speed,
    )
    try:
        with attached(agent, view, player.show_frame, player.held_action):
            agent.callbacks.append(player)
            yield view
            player.show_end()
    finally:
        agent.callbacks.remove(player)
        shown.close()
        speaker.close()
        if player.quit and games:
            agent.stopped = False  # after some games it is no interruption; of a phase it is


def open_display(name: str, game: str, *, alone: bool) -> Display | None:
    """The display called `name`; the terminal if no window can be opened; otherwise None.

    Raises UserError if there is neither and a person is to play `alone`.
    """
    from watch.terminal import Terminal

    problem = ""
    if name == "window":
        from watch.window import Window

        try:
            return Window(f"{game.replace('_', ' ').title()} - Simple DQN")
        except UserError as error:
            problem = str(error)
    try:
        if problem and sys.stdin.isatty() and sys.stdout.isatty():
            logger.warning("%s Playing in the terminal, as with --display terminal.", problem)
        return Terminal()
    except UserError as error:
        problem = problem or str(error)
    hint = "In a text terminal, --display terminal shows the game."
    if alone:
        raise UserError(f"{problem} You cannot play without a display. {hint}")
    logger.warning("%s The agent plays without a display. %s", problem, hint)
    return None
