"""The states of the filter page are those that the agent saw, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent import Agent, Callback, Phase
from tests.toys import Clock, make_agent
from watch.states import StateCollector


class Seen(Callback):
    """Copies every state in which the agent acts."""

    def __init__(self, agent: Agent) -> None:
        self.game = agent.games[0]
        self.states: list[NDArray[np.uint8]] = []

    def on_action(self, game: int, action: int) -> None:
        self.states.append(self.game.buffer.state().copy())


@pytest.mark.parametrize("games", [1, 3])
@pytest.mark.parametrize("zero_history", [False, True])
def test_the_states_are_those_that_the_agent_saw(games: int, zero_history: bool) -> None:
    agent, _ = make_agent(Clock(ends=[14, 30, 47]), zero_history=zero_history)
    seen, collector = Seen(agent), StateCollector(agent)
    agent.callbacks += [seen, collector]
    collector.on_phase_start(Phase("play", 0, games=1))
    agent.play(games)
    assert len(seen.states) > 3 * games
    np.testing.assert_array_equal(collector.states(), seen.states)


def test_a_game_that_was_not_begun_has_no_states() -> None:
    agent, _ = make_agent(Clock())
    game: Any = agent.games[0]
    assert StateCollector(agent).states().shape == (0, *game.buffer.state().shape)
