from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence, Set
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from agent import Agent
from errors import UserError
from tests.small_agent import make_agent
from watch import player
from watch.agent_view import AgentView
from watch.frames import Frame
from watch.player import SPEEDS, watching
from watch.scene import KEYS, Scene


class Clock:
    """Time as the player has it: drawing and sleeping take it, nothing else."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


class Screenplay:
    """A display told from which frame on which keys are pressed, one at each look, `.` is none;
    it keeps what it is shown.
    """

    def __init__(self, clock: Clock, keys: dict[int, str], draw_seconds: float) -> None:
        self.clock = clock
        self.keys = keys
        self.draw_seconds = draw_seconds
        self.frames = 0
        self.holding: set[str] = set()
        self.scenes: list[tuple[float, Scene]] = []
        self.looks = 0
        self.closed = False

    def count(self, frame: Frame) -> None:
        self.frames += 1

    def pressed(self) -> Sequence[str]:
        self.looks += 1
        assert self.looks < 20_000, "the game does not continue"
        if self.keys and self.frames >= min(self.keys):
            first = min(self.keys)
            key, rest = self.keys[first][0], self.keys.pop(first)[1:]
            if rest:
                self.keys[first] = rest
            return [] if key == "." else [key]
        return []

    def held(self) -> Set[str]:
        return self.holding

    def draw(self, scene: Scene) -> None:
        self.scenes.append((self.clock.now, scene))
        self.clock.now += self.draw_seconds

    def close(self) -> None:
        self.closed = True


class Silent:
    """A speaker that keeps what it is given."""

    def __init__(self, volume: float) -> None:
        self.volume = volume
        self.channel = None
        self.heard: list[float] = []
        speakers.append(self)

    def play(self, audio: Any, speed: float) -> None:
        assert audio.shape == (512,)
        self.heard.append(speed)

    def close(self) -> None:
        pass


speakers: list[Silent] = []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(player, "time", clock)
    monkeypatch.setattr(player, "Speaker", Silent)
    speakers.clear()
    return clock


@contextlib.contextmanager
def watched(
    agent: Agent,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    keys: dict[int, str] | None = None,
    draw_seconds: float = 0.003,
    games: int = 1,
) -> Iterator[tuple[Screenplay, AgentView]]:
    display = Screenplay(clock, keys or {}, draw_seconds)
    game: Any = agent.games[0]
    game.environment.frame_listeners.append(display.count)
    monkeypatch.setattr(player, "open_display", lambda *args, **kwargs: display)
    with watching(agent, game="breakout", games=games, display="window", volume=0.5) as view:
        yield display, view
    assert display.closed


def frames_of(agent: Agent) -> list[Any]:
    frames: list[Any] = []
    game: Any = agent.games[0]
    game.environment.frame_listeners.append(lambda frame: frames.append(frame.rgb))
    return frames


def test_real_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=120)
    with watched(agent, clock, monkeypatch) as (display, view):
        agent.play(1)
        shown = display.scenes.copy()
    times = np.array([time for time, _ in shown])
    assert len(times) == 120  # the opening of the next game is not shown
    assert np.diff(times) == pytest.approx(np.full(119, 1 / 60), abs=1e-6)
    assert view.scores == [0]
    assert speakers[0].heard == [1.0] * 120
    # the end stays to be seen for a while
    assert clock.now - times[-1] == pytest.approx(player.LAST_SECONDS, abs=0.1)
    assert display.scenes[-1][1].note == "Game over: 0"


def test_slow_displays_keep_real_time(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=120)
    with watched(agent, clock, monkeypatch, draw_seconds=0.04) as (display, _):
        begin = clock.now
        agent.play(1)
        assert clock.now - begin == pytest.approx(2, abs=0.1)
        assert 40 <= len(display.scenes) <= 60


@pytest.mark.parametrize(
    ("keys", "seconds"), [("s", 1), ("ss", 0.5), ("a", 4), ("as", 2), ("sssss", 0), ("aaaaaa", 32)]
)
def test_speed(clock: Clock, monkeypatch: pytest.MonkeyPatch, keys: str, seconds: float) -> None:
    agent = make_agent(frames=120)
    with watched(agent, clock, monkeypatch, {1: keys}, draw_seconds=1e-6) as (display, _):
        begin = clock.now
        agent.play(1)
        assert clock.now - begin == pytest.approx(seconds, rel=0.05, abs=0.05)
        assert len({scene.note for _, scene in display.scenes}) >= 2


def test_watching_changes_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=200, repeat_action_probability=0.25)
    plain = frames_of(agent)
    agent.play(2)
    agent = make_agent(frames=200, repeat_action_probability=0.25)
    frames = frames_of(agent)
    keys = {3: "vgh", 30: "p....p", 50: "s[a", 90: "n....................p", 260: "hvg"}
    with watched(agent, clock, monkeypatch, keys, games=2):
        agent.play(2)
    np.testing.assert_array_equal(plain, frames)


def test_takeover(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=200)
    with watched(agent, clock, monkeypatch, {1: "m", 120: "m"}) as (display, view):
        display.holding = {"right", "down"}
        pressed: list[str] = []
        game: Any = agent.games[0].environment
        act = game.environment.ale.act
        with monkeypatch.context() as patch:
            patch.setattr(game.environment, "ale", Spy(game.environment.ale, act, pressed))
            agent.play(1)
        assert set(pressed[5:100]) == {"DOWNRIGHT"}
        assert "DOWNRIGHT" not in pressed[130:]
        notes = {scene.note for _, scene in display.scenes}
        assert {"you play", "the agent plays"} <= notes
        assert not view.person_plays


class Spy:
    """ALE, its actions kept."""

    def __init__(self, ale: Any, act: Any, pressed: list[str]) -> None:
        self.ale, self.ale_act, self.pressed = ale, act, pressed

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ale, name)

    def act(self, action: Any) -> Any:
        self.pressed.append(action.name)
        return self.ale_act(action)


def test_pause_and_single_steps(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=120)
    keys = "p......n............n............n..........................p"
    with watched(agent, clock, monkeypatch, {61: keys}) as (display, _):
        times: dict[int, int] = {}  # how often each frame was drawn
        draw = display.draw

        def count(scene: Scene) -> None:
            times[display.frames] = times.get(display.frames, 0) + 1
            again = times[display.frames] > 1 and "over" not in scene.note
            assert ("paused" in scene.note) == again
            draw(scene)

        monkeypatch.setattr(display, "draw", count)
        agent.play(1)
        # 4 frames a step; the first press finishes the step that was paused in its midst
        paused = [frame for frame, often in times.items() if often > 1]
        assert len(paused) == 4
        assert 1 <= paused[1] - paused[0] <= 3
        assert np.diff(paused[1:]).tolist() == [4, 4]


@pytest.mark.parametrize("case", [str.lower, str.upper])  # as with Caps Lock
def test_every_key_of_the_help_does_something(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, case: Callable[[str], str]
) -> None:
    keys = {key for names, _ in KEYS for key in names.split() if len(key) == 1} - {"f", "q"}
    assert keys == set("masnpvgh[]")
    agent = make_agent(frames=400)
    pressed = {10: case("m...m....s..a...[...]...vgh")}
    with watched(agent, clock, monkeypatch, pressed) as (display, view):
        agent.play(1)
        scenes = [scene for _, scene in display.scenes]
        notes = list(dict.fromkeys(scene.note for scene in scenes))
        silent = " (there is no sound device)"
        assert notes == [
            "h: keys",
            "you play",
            "the agent plays",
            "speed 2",
            "speed 1",
            f"volume 40%{silent}",
            f"volume 50%{silent}",
            "",
        ]
        assert scenes[-1].shows_view
        assert list(scenes[-1].keys) == list(KEYS)
        assert view.saliency is not None
        assert view.qvalues is not None
        assert view.lives in (4, 5)


def test_quit_is_no_mishap(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=400)
    display = Screenplay(clock, {50: "q"}, 0.001)
    game: Any = agent.games[0]
    game.environment.frame_listeners.append(display.count)
    monkeypatch.setattr(player, "open_display", lambda *args, **kwargs: display)
    with watching(agent, game="breakout", games=1, display="window", volume=0.5) as view:
        agent.play(1)
    assert display.frames < 56
    assert not agent.stopped
    assert view.summary(1) == "Stopped in game 1 at score 0."
    assert type(game.environment).__name__ == "ALEEnvironment"
    assert agent.callbacks == []


def test_quitting_a_training_stops_it(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=400)
    display = Screenplay(clock, {50: "q"}, 0.001)
    game: Any = agent.games[0]
    game.environment.frame_listeners.append(display.count)
    monkeypatch.setattr(player, "open_display", lambda *args, **kwargs: display)
    with player.watching(agent, game="breakout", games=0, display="window", volume=0.5):
        agent.play(1)
    assert agent.stopped  # which the exit code is from


def test_nobody_takes_over_the_joystick_of_a_run(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = make_agent(frames=200)
    with watched(agent, clock, monkeypatch, {50: "mh"}, games=0) as (display, view):
        display.holding = {"right"}
        agent.play(1)
    assert not view.person_plays
    assert [keys for keys, _ in display.scenes[-1][1].keys][:2] == ["a  s", "p"]
    assert "you can play in ./play.sh only, not in a run" in {s.note for _, s in display.scenes}


def test_a_signal_ends_a_pause(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(frames=400)
    with watched(agent, clock, monkeypatch, {50: "p"}) as (display, _):
        shown = display.draw

        def signal(scene: Scene) -> None:
            shown(scene)
            if display.looks > 100:
                agent.stop()

        monkeypatch.setattr(display, "draw", signal)
        agent.play(1)
    assert agent.stopped
    assert display.frames <= 54


def test_scores_are_told(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    display = Screenplay(clock, {}, 0.001)
    monkeypatch.setattr(player, "open_display", lambda *args, **kwargs: display)
    agent = make_agent("pong", frames=300)
    with watching(agent, game="pong", games=2, display="window", volume=0.5) as view:
        agent.play(2)
    lines = view.summary(2).splitlines()
    assert [line.split(":")[0] for line in lines] == ["Game 1", "Game 2"]
    assert all(-6 < int(line.split()[-1]) <= 0 for line in lines), lines


def test_a_person_alone_holds_the_joystick(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(network=False, frames=100)
    with watched(agent, clock, monkeypatch, {20: "mvh"}) as (display, view):
        agent.play(1)
        assert view.person_plays
        assert any("no agent" in scene.note for _, scene in display.scenes)
        assert [keys for keys, _ in display.scenes[-1][1].keys][:2] == ["arrows, space", "a  s"]


class TestWithoutDisplay:
    """Standard input and output are no terminal here."""

    @pytest.fixture(autouse=True)
    def no_display(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
            monkeypatch.delenv(name, raising=False)

    def test_the_agent_plays_unseen(self, caplog: pytest.LogCaptureFixture) -> None:
        agent = make_agent(frames=100)
        with watching(agent, game="breakout", games=1, display="window", volume=0.5) as view:
            agent.play(1)
        assert "No window can be opened here" in caplog.text
        assert "--display terminal" in caplog.text
        assert view.summary(1) == "Game 1: score 0"

    @pytest.mark.parametrize("display", ["window", "terminal"])
    def test_a_person_cannot(self, display: str) -> None:
        agent = make_agent(network=False, frames=100)
        refused = pytest.raises(UserError, match="You cannot play without a display")
        shown = watching(agent, game="breakout", games=1, display=display, volume=0.5)
        with refused, shown:
            pytest.fail("nobody plays")


def test_speeds_are_halves_and_doubles() -> None:
    assert [b / a for a, b in pairwise(SPEEDS[:-1])] == [2.0] * 7
