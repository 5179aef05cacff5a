"""Atari games against ALE's own frame skipping, color averaging and gray screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ale_py
import cv2
import numpy as np
import pytest

from config import EnvironmentSettings
from environment import ALEEnvironment
from envs.roms import find_rom
from errors import UserError
from game import Game
from watch.frames import Frame

# Paddles and joysticks, flicker, frames of 210, 214 and 250 (PAL) lines. All other games that come
# with ALE give the same bytes too, but four: berzerk and double_dunk, in whose menus ALE at
# frame_skip 4 starts another way; air_raid, for whose gray colors ALE's averaging reads memory
# that nobody has set; tic_tac_toe_3d, which leaves frames half drawn while it thinks.
GAMES = "adventure assault asteroids breakout carnival ms_pacman pong seaquest space_invaders"
NOOP, FIRE = 0, 1


def make(
    game: str = "breakout", random_seed: int = 0, sound: bool = False, **settings: Any
) -> ALEEnvironment:
    return ALEEnvironment(
        EnvironmentSettings(**settings), rom=find_rom(game), random_seed=random_seed, sound=sound
    )


class Lives:
    """An emulator whose lives follow a script: frame n shows `lives[n]`, later ones the last, and
    gives a reward of 10 ** n."""

    def __init__(self, ale: ale_py.ALEInterface, lives: list[int]) -> None:
        self.ale, self.script = ale, lives
        self.frames = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.ale, name)

    def act(self, action: ale_py.Action) -> int:
        self.frames += 1
        self.ale.act(action)
        return int(10**self.frames)

    def lives(self) -> int:
        return self.script[min(self.frames, len(self.script) - 1)]


def scripted(lives: list[int], **settings: Any) -> tuple[ALEEnvironment, Lives]:
    environment: Any = make(**settings)
    environment.ale = Lives(environment.ale, lives)
    return environment, environment.ale


def emulator(game: str, **settings: Any) -> ale_py.ALEInterface:
    """ALE by itself, with `settings`, at the beginning of a second game like `make(game)`."""
    ale = ale_py.ALEInterface()
    for name, value in ({"repeat_action_probability": 0.0} | settings).items():
        setter = {bool: ale.setBool, int: ale.setInt, float: ale.setFloat}[type(value)]
        setter(name, value)
    ale.loadROM(str(find_rom(game)))
    ale.reset_game()
    return ale


def play(environment: ALEEnvironment, steps: int, seed: int = 0) -> list[tuple[float, bytes, bool]]:
    """Random play: reward, screen and terminal of each step."""
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(steps):
        reward = environment.act(int(rng.integers(len(environment.action_names))))
        seen.append((reward, environment.screen().tobytes(), environment.is_terminal()))
        if environment.is_terminal():
            environment.restart()
    return seen


def lose_a_life(breakout: ALEEnvironment) -> None:
    lives = breakout.lives()
    for _ in range(200):
        breakout.act(FIRE)
        if breakout.lives() < lives:
            return
    raise AssertionError("the ball never fell")


@pytest.mark.parametrize("game", GAMES.split())
def test_screens_rewards_and_lives_are_ales_own(game: str) -> None:
    ours, twin = make(game), emulator(game, frame_skip=4, color_averaging=True)
    ours.set_mode("test")
    actions = twin.getMinimalActionSet()
    assert ours.action_names == tuple(action.name for action in actions)
    assert ours.action_names[NOOP] == "NOOP"
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(len(actions)))
        assert ours.act(n) == twin.act(actions[n])
        assert np.array_equal(ours.screen(), cv2.resize(twin.getScreenGrayscale(), (84, 84)))
        assert (ours.lives(), ours.is_terminal()) == (twin.lives(), twin.game_over())
        if twin.game_over():
            ours.restart()
            twin.reset_game()


@pytest.mark.parametrize("game", ["space_invaders", "adventure"])
def test_frame_maximum_is_the_luma_of_the_brighter_of_two_frames(game: str) -> None:
    ours = make(game, color_averaging=False, frame_maximum=True, resize="area")
    twin = emulator(game)
    frames = [twin.getScreenRGB()]
    rng = np.random.default_rng(0)
    for _ in range(30):
        n = int(rng.integers(len(ours.action_names)))
        ours.act(n)
        for _ in range(4):
            twin.act(ours.actions[n])
            frames.append(twin.getScreenRGB())
        red, green, blue = np.moveaxis(np.maximum(frames[-1], frames[-2]).astype(float), -1, 0)
        luma = (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32)
        expected = cv2.resize(luma, (84, 84), interpolation=cv2.INTER_AREA)
        assert np.abs(ours.screen() - expected).max() <= 1.0  # the fraction is cut off


def test_without_averaging_the_screen_is_the_last_frame() -> None:
    ours, twin = make(color_averaging=False, frame_skip=3), emulator("breakout", frame_skip=3)
    for n in (1, 2, 3, 0, 2, 2):
        ours.act(n)
        twin.act(ours.actions[n])
    assert np.array_equal(ours.screen(), cv2.resize(twin.getScreenGrayscale(), (84, 84)))


def test_screen_size_is_width_by_height() -> None:
    assert make(screen_width=50, screen_height=36).screen().shape == (36, 50)


def test_all_actions_or_the_games_own() -> None:
    assert make().action_names == ("NOOP", "FIRE", "RIGHT", "LEFT")
    assert len(make(minimal_action_set=False).action_names) == 18


def test_a_lost_life_ends_the_episode_in_training_and_the_game_continues() -> None:
    breakout = make()
    lose_a_life(breakout)
    assert breakout.is_terminal()
    assert not breakout.is_truncated()
    breakout.restart()
    assert not breakout.is_terminal()
    assert breakout.lives() == 4
    breakout.act(NOOP)
    assert breakout.lives() == 4
    breakout.restart()  # with no life lost: another game
    assert breakout.lives() == 5


def test_a_lost_life_ends_nothing_in_testing() -> None:
    breakout = make()
    breakout.set_mode("test")
    lose_a_life(breakout)
    assert not breakout.is_terminal()
    breakout.restart()
    assert breakout.lives() == 5


def test_a_lost_life_may_end_nothing_in_training_either() -> None:
    breakout = make(life_loss_terminal=False)
    lose_a_life(breakout)
    assert not breakout.is_terminal()


@pytest.mark.parametrize(
    ("lives", "ends_step", "terminal", "frames"),
    [
        ([3, 3, 2], True, True, 2),  # DeepMind's Lua code stops in the frame of the loss
        ([3, 3, 2], False, True, 4),
        ([3, 3, 3, 3, 2], True, True, 4),
        ([3, 3, 4], True, False, 4),  # an extra life is no loss
        ([3, 3, 4], False, False, 4),
        ([3, 2, 3], True, True, 1),
        ([3, 2, 3], False, False, 4),
        ([3], True, False, 4),
    ],
)
def test_what_a_change_of_lives_ends(
    lives: list[int], ends_step: bool, terminal: bool, frames: int
) -> None:
    environment, ale = scripted(lives, life_loss_ends_step=ends_step)
    environment.act(NOOP)
    assert (environment.is_terminal(), ale.frames) == (terminal, frames)
    assert not environment.is_truncated()
    environment.restart()
    assert not environment.is_terminal()
    frames_so_far = ale.frames
    environment.act(NOOP)  # of lives that stay: the script is over
    assert ale.frames == frames_so_far + 4


def test_in_testing_a_lost_life_ends_no_step() -> None:
    environment, ale = scripted([3, 3, 2], life_loss_ends_step=True)
    environment.set_mode("test")
    environment.act(NOOP)
    assert (environment.is_terminal(), ale.frames) == (False, 4)


def test_the_reward_is_of_the_frames_until_the_life_was_lost() -> None:
    environment, _ = scripted([3, 3, 2], life_loss_ends_step=True)
    assert environment.act(NOOP) == 10 + 100


def test_a_life_lost_in_the_step_that_max_episode_frames_cuts_stays_terminal() -> None:
    for mode, truncated in (("train", False), ("test", True)):
        environment, ale = scripted([3] * 5 + [2], max_episode_frames=8)
        environment.set_mode(mode)
        environment.act(NOOP)
        assert not environment.is_terminal()
        environment.act(NOOP)
        assert ale.frames == 8
        assert environment.is_terminal()
        assert environment.is_truncated() == truncated
        environment.restart()
        assert not environment.is_terminal()


def test_a_life_lost_in_the_step_that_is_cut_is_terminal_for_the_replay_memory() -> None:
    environment, _ = scripted([3] * 5 + [2], max_episode_frames=8)
    game = Game(EnvironmentSettings(), environment=environment, rng=np.random.default_rng(0))
    game.send(NOOP)
    first = game.receive()
    assert (first.terminal, first.ended) == (False, False)
    game.send(NOOP)
    second = game.receive()
    assert (second.terminal, second.ended) == (True, True)


def test_the_last_life_ends_the_game() -> None:
    breakout = make()
    for _ in range(5):
        breakout.restart()
        lose_a_life(breakout)
    assert breakout.lives() == 0
    breakout.set_mode("test")
    assert breakout.is_terminal()
    assert not breakout.is_truncated()
    breakout.set_mode("train")
    breakout.restart()
    assert (breakout.lives(), breakout.is_terminal()) == (5, False)


def test_a_new_game_begins_with_its_own_screen() -> None:
    breakout = make()
    first = breakout.screen()
    play(breakout, 20)
    assert not np.array_equal(breakout.screen(), first)
    breakout.restart()
    assert np.array_equal(breakout.screen(), first)


def test_a_game_is_cut_short_after_max_episode_frames() -> None:
    breakout = make(max_episode_frames=40)
    for _ in range(2):
        for _ in range(9):
            breakout.act(NOOP)
            assert not breakout.is_terminal()
        breakout.act(NOOP)
        assert breakout.is_terminal()
        assert breakout.is_truncated()
        breakout.restart()


def test_a_sticky_joystick_repeats_the_last_action_of_a_frame() -> None:
    sticky, seed = 0.8, 5
    ours, twin = make(repeat_action_probability=sticky, random_seed=seed), emulator("breakout")
    rng, actions = np.random.default_rng(seed), np.random.default_rng(0)
    held = ours.actions[NOOP]
    for i in range(100):
        if i % 20 == 0:
            ours.restart()
            twin.reset_game()
            held = ours.actions[NOOP]
        n = int(actions.integers(4))
        ours.act(n)
        for _ in range(4):
            if rng.random() >= sticky:
                held = ours.actions[n]
            twin.act(held)
        assert np.array_equal(ours.ale.getRAM(), twin.getRAM())


def test_sticky_actions_follow_the_seed() -> None:
    games = [make(repeat_action_probability=0.25, random_seed=seed) for seed in (1, 1, 2)]
    one, again, another = (play(game, 100) for game in games)
    assert one == again
    assert one != another


def test_skipped_frames_are_single() -> None:
    ours, twin = make(color_averaging=False), emulator("breakout")
    ours.skip_frames(7)
    for _ in range(7):
        twin.act(ale_py.Action.NOOP)
    assert ours.ale.getFrameNumber() == twin.getFrameNumber()


def test_a_game_continues_exactly_from_a_loaded_state() -> None:
    first, second = (make("seaquest", repeat_action_probability=0.9) for _ in range(2))
    play(first, 150)
    state, screen = first.save_state(), first.screen()
    expected = play(first, 150, seed=1)
    assert any(terminal for _, _, terminal in expected)
    second.set_mode("test")
    second.load_state(state)
    assert play(second, 150, seed=1) == expected
    second.load_state(state)
    assert np.array_equal(second.screen(), screen)
    first.load_state(state)  # and back in time
    assert play(first, 150, seed=1) == expected


def test_a_loaded_state_knows_the_mode_and_the_lost_life() -> None:
    first, second = make(), make()
    lose_a_life(first)
    second.load_state(first.save_state())
    assert second.is_terminal()
    second.restart()
    assert second.lives() == 4
    first.set_mode("test")
    second.load_state(first.save_state())
    assert not second.is_terminal()


def test_states_of_another_game_or_damaged_ones_are_refused() -> None:
    breakout = make()
    state = breakout.save_state()
    for bad in (make("pong").save_state(), make("adventure").save_state(), b"", state[:100]):
        with pytest.raises(ValueError, match="emulator's state"):
            breakout.load_state(bad)
    with pytest.raises(ValueError, match="emulator's state"):
        breakout.load_state(state + b"0")


def test_listeners_get_every_frame_with_its_sound() -> None:
    breakout = make(sound=True)
    frames: list[Frame] = []
    breakout.frame_listeners.append(frames.append)
    breakout.act(FIRE)
    breakout.skip_frames(2)
    assert [frame.rgb.shape for frame in frames] == [(210, 160, 3)] * 6
    assert all(frame.audio is not None and frame.audio.shape == (512,) for frame in frames)
    assert np.array_equal(frames[-1].rgb, breakout.frame_rgb())
    silent = make()
    silent.frame_listeners.append(frames.append)
    silent.act(FIRE)
    assert frames[-1].audio is None


def test_an_unknown_rom_is_refused(tmp_path: Path) -> None:
    rom = tmp_path / "mine.bin"
    rom.write_bytes(bytes(4096))
    with pytest.raises(UserError, match=r"does not know the game in .*mine\.bin"):
        ALEEnvironment(EnvironmentSettings(), rom=rom)
