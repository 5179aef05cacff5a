"""What a distributional agent expects, beside its Q-values; other networks looked into."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agent import Agent
from config import Config
from deepqnetwork import DeepQNetwork
from errors import UserError
from tests.small_agent import make_agent
from watch.agent_view import AgentView
from watch.states import filters_of
from watch.view_panel import AMBER, BINS, BLUE, HEIGHT, WIDTH, Panel, _densities


def player(**settings: Any) -> tuple[Agent, AgentView]:
    agent = make_agent(network=False, frames=200)
    config = Config(backend="cpu", threads=1, network_width=0.25, **settings)
    agent.network = DeepQNetwork(
        config, num_actions=agent.num_actions, rng=np.random.default_rng(1)
    )
    game: Any = agent.games[0]
    view = AgentView(agent, game="breakout", action_names=game.environment.action_names)
    agent.callbacks.append(view)
    view.show_heat()
    game.set_mode("test")
    game.start()
    for _ in range(3):
        agent.step([0], 0.0, remember=False)
    return agent, view


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        (dict(distribution="c51", value_min=-1.0, value_max=2.0), 51),
        (dict(distribution="quantile", dueling=True), 200),
        (dict(distribution="iqn", network="impala", noisy=True), 32),
    ],
)
def test_a_distribution_is_drawn_beside_the_q_values(settings: dict[str, Any], size: int) -> None:
    _, view = player(**settings)
    assert view.returns
    values, probabilities = view.returns
    assert values.shape == probabilities.shape == (4, size)
    assert view.qvalues is not None
    assert np.allclose((values * probabilities).sum(axis=1), view.qvalues, atol=1e-5)
    low, high = view.spans[-1]
    assert values.min() <= low < high <= values.max()
    shares = _densities(view)
    assert shares.shape == (4, BINS)
    assert (shares >= 0).all()
    # Two of a hundred returns are not shown, and the ones at the ends are spread over them.
    assert np.allclose(shares.sum(axis=1), 1, atol=0.2)
    right = Panel().draw(view)[420:, WIDTH // 2 + 4 :]
    assert (right == AMBER).all(axis=2).mean() > 0.02
    assert (right == BLUE).all(axis=2).any()
    assert view.heat is not None
    assert view.heat.max() > 0


@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5])
def test_any_scale(scale: float) -> None:
    _, view = player(distribution="quantile")
    picture = Panel(scale).draw(view)
    assert picture.shape[:2] == (round(HEIGHT * scale), round(WIDTH * scale))


def test_without_a_distribution_the_chart_has_the_whole_width() -> None:
    _, view = player(dueling=True)
    assert view.returns is None
    assert not view.spans
    assert Panel().draw(view).shape == (HEIGHT, WIDTH, 3)
    assert view.heat is not None  # which nvis alone could not compute
    assert view.heat.max() > 0


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        (dict(dueling=True, noisy=True), 3),
        (dict(distribution="iqn", network="nips"), 2),
        (dict(normalization="spectral"), 3),
        (dict(network="impala"), 0),
        (dict(normalization="layer"), 0),
    ],
)
def test_filters_are_shown_of_convolutions_that_follow_one_another(
    settings: dict[str, Any], count: int
) -> None:
    network = DeepQNetwork(
        Config(backend="cpu", threads=1, network_width=0.25, **settings),
        num_actions=4,
        rng=np.random.default_rng(1),
    )
    if count:
        assert len(filters_of(network)) == count
    else:
        with pytest.raises(UserError, match="filter page can only show convolutions"):
            filters_of(network)


def test_filters_after_batch_normalization_know_it() -> None:
    config = Config(backend="cpu", threads=1, network_width=0.25, batch_norm=True, dueling=True)
    network = DeepQNetwork(config, num_actions=4, rng=np.random.default_rng(1))
    assert all(layer.scale is not None for layer in filters_of(network))
