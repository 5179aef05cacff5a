"""Trained agents in Python: what docs/python.md promises."""

from __future__ import annotations

import csv
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from api.load import load
from commands.shipped import shipped_agents
from config import Config, to_plain
from deepqnetwork import DeepQNetwork
from errors import UserError
from main import main
from snapshot.format import read_snapshot, write_snapshot

ROOT = Path(__file__).parent.parent.parent
SMALL = dict(screen_width=36, screen_height=36, backend="cpu", threads=1)
CATCH = f"{ROOT}/examples/catch.py:Catch"
NETWORKS: list[dict[str, Any]] = [
    dict(),
    dict(network="nips", network_width=0.5),
    dict(network="impala", network_width=0.5),
    dict(dueling=True),
    dict(noisy=True),
    dict(distribution="c51", dueling=True, noisy=True),
    dict(distribution="quantile"),
    dict(distribution="iqn"),
    dict(normalization="layer"),
    dict(normalization="spectral"),
    dict(batch_norm=True),
    dict(bias=True, padding=1, zero_history=True),
]
OWN_NETWORK = """
from torch import nn

class Own(nn.Module):
    block, hidden, in_order, output_shape = 1, 8, False, (3,)

    def __init__(self, settings):
        super().__init__()
        self.line = nn.Linear(settings.history_length * 36 * 36, 3)

    def forward(self, x):
        return self.line(x.flatten(1)).relu()
"""


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    before = logging.getLogger().level
    yield
    logging.getLogger().setLevel(before)


def saved(
    folder: Path, *, game: str = "breakout", num_actions: int = 4, **settings: Any
) -> tuple[Path, DeepQNetwork]:
    """A snapshot of a new network, and the network."""
    given: Any = SMALL | settings
    config = Config(game=game, **given)
    network = DeepQNetwork(config, num_actions=num_actions, rng=np.random.default_rng(1))
    path = folder / f"{game}_1.pkl"
    network.save_weights(path, epoch=1, info={"game": game, "flags": to_plain(config)})
    return path, network


@pytest.mark.parametrize("settings", NETWORKS, ids=str)
def test_an_agent_of_every_kind_acts_as_its_network_does(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    path, network = saved(tmp_path, **settings)
    agent, environment = load(path, backend="cpu", random_seed=1)
    state, _ = environment.reset()
    for _ in range(3):
        q = agent.q_values(state)
        np.testing.assert_array_equal(q, network.predict(state[None])[0])
        assert agent.act(state) == q.argmax()
        state, *_ = environment.step(agent.act(state))
    heat = agent.saliency(state)
    assert heat.shape == (36, 36)
    assert (heat >= 0).all()
    assert agent.snapshot.epoch == 1


def test_an_agent_with_a_network_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN_NETWORK)
    path, network = saved(tmp_path, network=f"{file}:Own")
    agent, environment = load(path, backend="cpu", network=f"{file}:Own")
    state, _ = environment.reset(seed=1)
    np.testing.assert_array_equal(agent.q_values(state), network.predict(state[None])[0])


def test_exploring_draws_random_actions_by_the_seed(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    state = np.zeros((4, 36, 36), np.uint8)
    drawn = []
    for _ in range(2):
        agent, _ = load(path, backend="cpu", random_seed=3)
        drawn.append([agent.act(state, exploration_rate=1) for _ in range(40)])
    assert set(drawn[0]) == {0, 1, 2, 3}
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", ["breakout", "up_n_down"])  # which pays for no-op steps
def test_a_game_has_the_score_that_the_test_script_gives_it(home: Path, name: str) -> None:
    path, _ = saved(home, game=name, num_actions=dict(breakout=4, up_n_down=6)[name])
    flags = dict(random_seed=5, max_episode_frames=600, exploration_rate_test=0, backend="cpu")
    words = " ".join(f"--{name} {value}" for name, value in flags.items())
    assert main(f"test {path} {words} --test_games 1 --csv_file test.csv".split()) == 0
    with Path("test.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    agent, environment = load(path, **flags)
    state, info = environment.reset()
    steps, total, over = 0, 0.0, False
    assert info["score"] == 0
    while not over:
        state, reward, terminated, truncated, info = environment.step(agent.act(state))
        steps, total, over = steps + 1, total + reward, terminated or truncated
    assert (total, info["score"]) == (float(row["average_reward"]),) * 2
    assert steps == int(row["steps"])


def test_the_same_seed_is_the_same_game_and_the_next_game_is_another(tmp_path: Path) -> None:
    path, _ = saved(tmp_path, game="pong", num_actions=6)
    _, environment = load(path, backend="cpu", random_seed=1)

    def opening(seed: int | None) -> bytes:
        state, _ = environment.reset(seed=seed)
        states = [state] + [environment.step(1)[0] for _ in range(20)]
        return np.stack(states).tobytes()

    first, again, other = opening(7), opening(7), opening(8)
    assert first == again
    assert first != other
    assert opening(None) != opening(None)


def test_a_seed_that_cannot_be_leaves_the_game_as_it_is(tmp_path: Path) -> None:
    _, environment = load(saved(tmp_path)[0], backend="cpu")
    first, _ = environment.reset(seed=3)
    steps = [environment.step(2)[0] for _ in range(5)]
    wrong: list[Any] = [-1, 1 << 63, 2.0, "3"]
    for seed in wrong:
        with pytest.raises(ValueError, match=r"is no seed: use a whole number, 0 to 9223372036854"):
            environment.reset(seed=seed)
        steps.append(environment.step(2)[0])
    same: Any = np.int64(3)
    np.testing.assert_array_equal(environment.reset(seed=same)[0], first)
    np.testing.assert_array_equal([environment.step(2)[0] for _ in steps], steps)


def test_the_end_by_the_rules_and_by_a_limit_are_told_apart(tmp_path: Path) -> None:
    path, _ = saved(
        tmp_path,
        game="catch",
        num_actions=3,
        environment=CATCH,
        frame_skip=None,
        random_starts=0,
        zero_history=True,
    )
    ends = {}
    for limit in (0, 20):
        _, environment = load(path, environment=CATCH, max_episode_frames=limit, backend="cpu")
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            environment.step(0)
        assert environment.action_names == ("NOOP", "RIGHT", "LEFT")
        assert environment.metadata["render_fps"] == 8
        environment.reset(seed=1)
        steps, over = 0, False
        while not over:
            _, _, terminated, truncated, info = environment.step(0)
            steps, over = steps + 1, terminated or truncated
        assert environment.render().shape == (72, 72, 3)
        with pytest.raises(RuntimeError, match=r"call reset\(\)"):
            environment.step(0)
        ends[limit] = (steps, terminated, truncated)
        assert -10 <= info["score"] <= 10
    assert ends == {0: (80, True, False), 20: (20, False, True)}
    environment.reset()
    for action in (-1, 3):
        with pytest.raises(ValueError, match=f"no action {action}: use 0 to 2"):
            environment.step(action)


@pytest.mark.filterwarnings("ignore:.*")  # pytest turns advice for other environments to errors
def test_gymnasium_takes_the_environment_for_one_of_its_own(tmp_path: Path) -> None:
    gymnasium = pytest.importorskip("gymnasium")
    from gymnasium.utils.env_checker import check_env

    agent, environment = load(saved(tmp_path)[0], backend="cpu", max_episode_frames=200)
    check_env(environment)
    counted = gymnasium.wrappers.RecordEpisodeStatistics(environment)
    state, _ = counted.reset(seed=1)
    over = False
    while not over:
        state, _, terminated, truncated, info = counted.step(agent.act(state))
        over = terminated or truncated
    assert info["episode"]["l"] > 0


def test_without_gymnasium_it_works_as_well_and_whatever_modules_the_user_has(
    tmp_path: Path,
) -> None:
    for name in ("config", "game", "agent"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong module')")
    path, _ = saved(tmp_path)
    script = f"""
import sys
sys.modules["gymnasium"] = None
sys.path.append({str(ROOT)!r})
from simple_dqn import load
agent, environment = load({str(path)!r}, backend="cpu")
state, info = environment.reset(seed=1)
print(environment.step(agent.act(state))[0].shape, hasattr(environment, "action_space"))
"""
    words = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("(4, 36, 36) False\n", "")


def test_the_program_in_the_docs_plays_a_game(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = saved(tmp_path)
    text = (ROOT / "docs/python.md").read_text()
    (code,) = re.findall(r"```python\n(import sys.*?)```", text, re.DOTALL)
    monkeypatch.setattr(sys, "path", sys.path[:])
    code = code.replace('"snapshots/breakout_200.pkl"', f'{str(path)!r}, backend="cpu"')
    exec(code.replace("max_episode_frames=18000", "max_episode_frames=200"), {})
    assert float(capsys.readouterr().out) >= 0


def test_what_is_wrong_is_a_sentence(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    with pytest.raises(UserError, match="There is no snapshot"):
        load(tmp_path / "missing_1.pkl")
    with pytest.raises(UserError, match="no flag --volum"):
        load(path, volum=1)
    for word in ("csv_file", "video_file", "num_envs", "threads", "epochs"):
        with pytest.raises(UserError, match=f"{word} has no effect"):
            load(path, **{word: 1})
    for word in ("--help", "--list", "-h"):
        with pytest.raises(UserError, match=rf"No agent of \./{word}"):
            load(word)
    for word in ("help", "best", "game"):
        with pytest.raises(UserError, match=f"no flag --{word}"):
            load(path, **{word: "all"})
    with pytest.raises(UserError, match="actions"):
        load(path, minimal_action_set=False, backend="cpu")
    agent, environment = load(path, backend="cpu")
    state, _ = environment.reset(seed=1)
    strange: list[Any] = [np.zeros((84, 84, 4), np.uint8), state.astype(np.float32), state[0]]
    for given in strange:
        for method in (agent.act, agent.saliency):
            with pytest.raises(ValueError, match=r"states are \(N, 4, 36, 36\) uint8"):
                method(given)
    wrong: list[Any] = [-1, 4, 1.7, "FIRE"]
    for action in wrong:
        for use in (environment.step, lambda action: agent.saliency(state, action)):
            with pytest.raises(ValueError, match=f"There is no action {action}: use 0 to 3"):
                use(action)
    last: Any = np.int64(3)
    assert agent.saliency(state, last).shape == environment.step(last)[0].shape[1:]
    for rate in (-1, 2.0, float("nan")):
        with pytest.raises(ValueError, match=f"exploration_rate is {rate}: use 0 to 1"):
            agent.act(state, rate)


def test_the_log_of_the_program_that_loads_an_agent_is_left_alone(tmp_path: Path) -> None:
    path, _ = saved(tmp_path)
    root = logging.getLogger()
    root.setLevel(logging.ERROR)
    handlers = root.handlers[:]
    load(path, backend="cpu", log_level="DEBUG")
    assert (root.level, root.handlers) == (logging.ERROR, handlers)


def test_an_agent_that_comes_with_the_project_is_loaded_by_its_games_name() -> None:
    best = shipped_agents(ROOT / "agents")[0]
    agent, environment = load(best.game, backend="cpu")
    assert agent.snapshot.epoch == best.epoch
    state, _ = environment.reset(seed=1)
    assert 0 <= agent.act(state) < len(environment.action_names)


def test_weights_too_large_to_compute_with_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = saved(tmp_path)
    snapshot = read_snapshot(path)
    snapshot.layers[0].params["W"][...] = 3e38
    write_snapshot(path, snapshot)
    with pytest.raises(UserError, match="are not finite: use an earlier snapshot"):
        load(path, backend="cpu")
    assert main(["test", str(path), "--test_steps", "10", "--backend", "cpu"]) == 2
    assert f"The Q-values of {path} are not finite" in capsys.readouterr().err
