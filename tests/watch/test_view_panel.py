from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.small_agent import make_agent
from watch.agent_view import HISTORY, AgentView
from watch.picture import glowing, scaled, size_of
from watch.scene import KEYS
from watch.view_panel import (
    AMBER,
    BACKGROUND,
    BLUE,
    HEIGHT,
    WIDTH,
    Panel,
    key_card,
    limit,
    note_card,
)


def thinking(steps: int = 0, name: str = "breakout", **settings: Any) -> AgentView:
    """The view of an agent that has played a few steps."""
    agent = make_agent(name, frames=4 * steps + 80, **settings)
    game: Any = agent.games[0]
    view = AgentView(agent, game=name, action_names=game.environment.action_names)
    agent.callbacks.append(view)
    game.set_mode("test")
    game.start()
    for _ in range(steps):
        agent.step([0], 0.05, remember=False)
    return view


def share(picture: NDArray[np.uint8], color: tuple[int, int, int]) -> float:
    return float((picture == color).all(axis=2).mean())


def test_state_is_shown_pixel_by_pixel() -> None:
    view = thinking(5)
    picture = Panel().draw(view)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert view.state is not None
    for i in range(4):
        x = 16 + i * 92
        np.testing.assert_array_equal(picture[144:228, x : x + 84, 0], view.state[i])


def test_of_very_many_actions_those_are_shown_that_look_best() -> None:
    view = thinking(5)
    view.action_names = tuple(f"action {n}" for n in range(256))
    view.qvalues = np.arange(256, dtype=np.float32)
    view.history.clear()
    view.history.append(view.qvalues)
    view.action = 7
    picture = Panel().draw(view)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert share(picture[264:524], AMBER) > 0
    view.qvalues = view.action = None
    assert Panel().draw(view).shape == (HEIGHT, WIDTH, 3)


def test_games_without_lives_have_no_tile_for_them() -> None:
    view = thinking(5)
    tiles = []
    for lives in (3, 0):
        view.lives = lives
        tiles.append(Panel().draw(view)[50:110, 16:-16])  # from the left edge of the first one
    gaps = [int((np.diff((t[30] == t[30, 0]).all(axis=1).astype(int)) != 0).sum()) for t in tiles]
    assert gaps[1] < gaps[0]


def test_bars_are_as_long_as_the_values_say() -> None:
    view = thinking(40)
    assert view.qvalues is not None
    view.history[0][:] = view.qvalues - 1  # the range is wider than the last values
    view.action = 2
    picture = Panel().draw(view)
    low, high = np.min(view.history), np.max(view.history)
    for i, q in enumerate(view.qvalues):
        line = picture[int(264 + 10 + 26 * (i + 0.5)), 128:313]
        color = AMBER if i == 2 else BLUE
        length = (line == color).all(axis=1).sum()
        assert length == pytest.approx((q - low) / (high - low) * 184, abs=2)


@pytest.mark.parametrize("scale", [0.15, 0.3, 0.65, 1.0, 4 / 3, 2.5])
def test_any_scale(scale: float) -> None:
    view = thinking(3, "seaquest")
    picture = Panel(scale).draw(view)
    assert picture.shape == (round(HEIGHT * scale), round(WIDTH * scale), 3)
    assert share(picture, AMBER) > 0.0005


def test_before_the_first_step_and_without_a_network() -> None:
    assert share(Panel().draw(thinking()), AMBER) == 0
    view = thinking(5, network=False)
    view.person_plays = True
    picture = Panel().draw(view)
    assert share(picture, BLUE) == 0
    assert share(picture, AMBER) > 0  # you play


def test_a_training_that_diverges_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    view = thinking(2)
    diverged = np.array([[np.nan, np.inf, -np.inf, 1]], np.float32)
    monkeypatch.setattr(view.network, "predict", lambda _: diverged)
    view.on_action(0, 1)
    assert view.qvalues is not None
    assert view.qvalues.tolist() == [0, 0, 0, 1]
    assert Panel().draw(view).shape == (HEIGHT, WIDTH, 3)


def test_other_histories_and_long_names() -> None:
    view = thinking(2)
    for length in (1, 2, 10, 100):
        view.state = np.zeros((length, 50, 70), np.uint8)
        view.game = "montezuma_revenge_of_the_longest_name"
        view.score = 1_234_567.5
        view.lives = 10
        assert Panel().draw(view).shape == (HEIGHT, WIDTH, 3)


def test_long_names_of_actions_end_before_the_bars() -> None:
    view = thinking(3)
    view.action_names = ("move the paddle to the right", *view.action_names[1:])
    beside = Panel().draw(view)[274 : 274 + 26, 120:128]
    assert (beside == BACKGROUND).all()


def test_the_view_forgets_with_the_game_and_in_time() -> None:
    view = thinking(HISTORY + 20)
    assert len(view.history) == HISTORY
    assert view.games_over == 0
    view.on_restart()
    assert (view.games_over, view.action) == (1, None)
    view.on_restart()  # a game that ended while it was opened was nobody's
    assert view.games_over == 1
    view.on_action(0, 1)
    assert len(view.history) == 1


def test_cards() -> None:
    for scale in (0.6, 1.0, 2.0):
        note, keys = note_card("paused", scale), key_card(KEYS, scale)
        assert note.shape[2] == keys.shape[2] == 4
        assert keys.shape[0] > 5 * note.shape[0]
        assert note[0, 0, 3] == 0  # round corners
    assert not np.array_equal(note_card("a", 1), note_card("b", 1))


def test_glow_is_where_the_heat_is() -> None:
    picture = np.full((210, 160, 3), 100, np.uint8)
    heat = np.zeros((84, 84), np.float32)
    assert (glowing(picture, heat) == 75).all()
    heat[40:50, 20:40] = 3
    red = glowing(picture, heat)[..., 0]
    assert red[112, 57] == 255
    assert (red[:80] == 75).all()


def test_pixels_of_atari_are_wide() -> None:
    picture = np.arange(210 * 160 * 3).reshape(210, 160, 3).astype(np.uint8)
    assert size_of(picture) == (320, 210)
    assert size_of(np.zeros((250, 160, 3), np.uint8)) == (320, 250)
    assert size_of(np.zeros((400, 600, 3), np.uint8)) == (600, 400)
    np.testing.assert_array_equal(scaled(picture, 640, 420), picture.repeat(2, 0).repeat(4, 1))


def test_an_end_of_the_axis_that_a_rounding_error_keeps_from_0_is_written_as_0() -> None:
    assert [limit(v) for v in (-5.55e-16, 9.2, -10.0, 0.25)] == ["0", "9.2", "-10", "0.25"]
