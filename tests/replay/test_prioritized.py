"""Prioritized replay against exact probabilities, and what may be drawn at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config import ReplaySettings
from errors import UserError
from replay.array import ScreenArray
from replay.prioritized import EPSILON, Prioritized, SumTree
from replay_memory import COLUMNS, ReplayMemory

SCREEN = np.zeros((1, 1), np.uint8)


def make(seed: int = 1, **changed: Any) -> tuple[ReplayMemory, Prioritized]:
    defaults: dict[str, Any] = dict(
        replay_size=40, history_length=2, batch_size=8, screen_height=1, screen_width=1
    )
    s = ReplaySettings(**defaults | changed)
    sampler = Prioritized(s, np.random.default_rng(seed))
    screens = ScreenArray(s.replay_size, 1, 1)
    return ReplayMemory(s, screens=screens, sampler=sampler), sampler


def fill(memory: ReplayMemory, steps: int, game: int = 0, ends: float = 0.0, seed: int = 0) -> None:
    """Steps of episodes of which every step is the last one with probability `ends`."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        terminal = bool(rng.random() < ends)
        memory.add(game, 0, 0.0, SCREEN, terminal)
        if terminal:
            memory.begin_episode(game, SCREEN)


def valid_slots(memory: ReplayMemory) -> set[int]:
    """Every slot at which a transition begins, by looking at each."""
    first, counts = memory.candidates()
    slots = np.concatenate([np.arange(a, a + n) for a, n in zip(first, counts, strict=True)])
    return set(slots[memory.valid(slots)].tolist())


@pytest.mark.parametrize("size", [1, 2, 3, 8, 13, 100])
def test_a_sum_tree_finds_what_a_running_sum_finds(size: int) -> None:
    rng = np.random.default_rng(size)
    tree, priorities = SumTree(size), np.zeros(size)
    for _ in range(20):
        slots = rng.integers(size, size=5)
        values = rng.integers(0, 4, size=5) / 4  # exact in binary, and often zero
        tree.set(slots, values)
        for slot, value in zip(slots, values, strict=True):  # of equal slots the last one counts
            priorities[slot] = value
        assert np.array_equal(tree.priorities, priorities)
        assert tree.total == priorities.sum()
        if tree.total:
            wanted = rng.random(200) * tree.total
            naive = np.cumsum(priorities).searchsorted(wanted, side="right")
            assert np.array_equal(tree.find(wanted), naive)


def test_rounding_never_finds_what_has_no_priority() -> None:
    tree = SumTree(6)
    tree.set(np.array([1, 2]), np.array([0.1, 0.2]))
    for value in (0.0, tree.total, np.nextafter(tree.total, 0), 2 * tree.total):
        assert tree.find(np.array([value]))[0] in (1, 2)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_exactly_the_valid_transitions_have_a_priority(data: st.DataObject) -> None:
    games = data.draw(st.integers(1, 3), label="games")
    zero_history = data.draw(st.booleans(), label="zero_history")
    memory, sampler = make(
        replay_size=games * data.draw(st.integers(8, 14), label="slots"),
        num_envs=games,
        history_length=data.draw(st.integers(1, 3), label="history"),
        n_step=data.draw(st.integers(1, 4), label="n"),
        zero_history=zero_history,
    )
    rng = np.random.default_rng(data.draw(st.integers(0, 1000), label="seed"))
    index = np.empty(0, np.int64)
    for _ in range(data.draw(st.integers(1, 60), label="rounds")):
        for game in range(games):
            end, cut = rng.random() < 0.15, rng.random() < 0.05
            memory.add(game, 0, 1.0, SCREEN, bool(end))
            if end or cut:
                memory.begin_episode(game, SCREEN)
        sampler.set_state(sampler.get_state(), memory)  # at any time it fits the memory
        if rng.random() < 0.5:
            # Errors of an earlier minibatch come late, as in the overlapped loop.
            memory.sampler.update(index, rng.random(len(index), np.float32))
            try:
                index, weights = sampler.draw(memory)
            except UserError:
                assert not sampler.tree.total
                index = np.empty(0, np.int64)
                continue
            assert set(np.flatnonzero(sampler.tree.priorities).tolist()) == valid_slots(memory)
            assert memory.valid(index).all()
            assert weights.max() == 1


@pytest.mark.parametrize(("games", "zero_history"), [(1, False), (3, False), (2, True)])
def test_transitions_are_drawn_in_proportion_to_their_priorities(
    games: int, zero_history: bool
) -> None:
    memory, sampler = make(
        replay_size=60, num_envs=games, batch_size=16, zero_history=zero_history, n_step=2
    )
    for game in range(games):
        fill(memory, 30, game, ends=0.1, seed=game)
    sampler.draw(memory)
    slots = np.array(sorted(valid_slots(memory)))
    errors = np.random.default_rng(5).exponential(size=len(slots)).astype(np.float32)
    sampler.update(slots, errors)
    expected = (errors.astype(np.float64) + EPSILON) ** 0.6
    expected /= expected.sum()
    minibatches = 4000
    drawn = np.concatenate([sampler.draw(memory)[0] for _ in range(minibatches)])
    counts = np.array([(drawn == slot).sum() for slot in slots])
    assert counts.sum() == len(drawn) == 16 * minibatches
    # Ranges of their own make the counts vary less than independent draws would.
    chi_square = ((counts - expected * len(drawn)) ** 2 / (expected * len(drawn))).sum()
    freedom = len(slots) - 1
    assert chi_square < freedom + 5 * np.sqrt(2 * freedom)
    assert np.abs(counts / len(drawn) - expected).max() < 0.004


def test_importance_weights_are_the_papers() -> None:
    memory, sampler = make(importance_exponent=0.7)
    fill(memory, 40)
    index, weights = sampler.draw(memory)
    assert np.array_equal(weights, np.ones(8, np.float32))  # all are new
    sampler.update(index, np.linspace(0.1, 3, 8, dtype=np.float32))
    index, weights = sampler.draw(memory)
    p = sampler.tree.priorities[index] / sampler.tree.priorities.sum()
    w = (len(valid_slots(memory)) * p) ** -0.7
    assert np.allclose(weights, w / w.max(), rtol=1e-6)


def test_the_importance_exponent_rises_to_one_and_stays() -> None:
    memory, sampler = make(importance_exponent=0.4, importance_steps=4)
    fill(memory, 40)
    sampler.draw(memory)
    sampler.update(np.array([5, 5, 9]), np.array([7, 1, 3], np.float32))
    for exponent in (0.55, 0.7, 0.85, 1.0, 1.0):
        index, weights = sampler.draw(memory)
        w = sampler.tree.priorities[index] ** -exponent
        assert np.allclose(weights, w / w.max(), rtol=1e-6)


def test_new_transitions_have_the_largest_priority_there_ever_was() -> None:
    memory, sampler = make(priority_exponent=0.5)
    fill(memory, 20)
    sampler.draw(memory)
    assert set(sampler.tree.priorities[2:20]) == {1.0}
    sampler.update(np.array([4, 5]), np.array([16, 0.25], np.float32))
    sampler.update(np.array([4]), np.array([0], np.float32))
    fill(memory, 1)
    sampler.draw(memory)
    found = sampler.tree.priorities
    assert found[20] == pytest.approx(4, rel=1e-5)
    assert found[4] == pytest.approx(EPSILON**0.5)
    assert found[5] == pytest.approx(0.5, rel=1e-5)
    fill(memory, 25)  # the ring is overwritten up to slot 5, and slots 6 and 7 are cut
    sampler.draw(memory)
    assert found[2:6] == pytest.approx([4] * 4, rel=1e-5)
    assert not found[6:8].any()


def test_exponent_zero_draws_all_alike() -> None:
    memory, sampler = make(priority_exponent=0.0)
    fill(memory, 40)
    index, _ = sampler.draw(memory)
    sampler.update(index, np.arange(8, dtype=np.float32))
    assert set(sampler.tree.priorities[2:40]) == {1.0}


def test_errors_that_are_no_numbers_change_no_priority() -> None:
    memory, sampler = make()
    fill(memory, 40)
    sampler.draw(memory)
    errors = np.array([np.nan, np.inf, 2, -1], np.float32)
    sampler.update(np.array([4, 5, 6, 7]), errors)
    assert sampler.tree.priorities[[4, 5, 7]].tolist() == [1, 1, 1]
    assert sampler.tree.priorities[6] == pytest.approx(2**0.6, rel=1e-5)
    assert sampler.largest == pytest.approx(2**0.6, rel=1e-5)


def test_where_no_transition_begins_nothing_is_drawn() -> None:
    memory, sampler = make()
    fill(memory, 40, ends=1.0)
    with pytest.raises(UserError, match="--history_length"):
        sampler.draw(memory)


def drawn(memory: ReplayMemory, sampler: Prioritized, seed: int) -> list[NDArray[Any]]:
    """What a few draws give while the game is played on and errors come back."""
    found: list[NDArray[Any]] = []
    rng = np.random.default_rng(seed)
    for _ in range(10):
        index, weights = sampler.draw(memory)
        found += [index, weights]
        sampler.update(index, rng.random(len(index), np.float32))
        fill(memory, 3, ends=0.1, seed=int(rng.integers(100)))
    return found


@pytest.mark.parametrize("pending", [0, 7])
def test_a_restored_sampler_draws_the_same(pending: int) -> None:
    memory, sampler = make(importance_steps=30)
    fill(memory, 50, ends=0.05)
    drawn(memory, sampler, seed=2)
    fill(memory, pending)  # steps that no draw has seen yet
    other, restored = make(seed=9, importance_steps=30)
    for name in (*COLUMNS, "added", "next_begins"):
        getattr(other, name)[...] = getattr(memory, name)
    restored.set_state(sampler.get_state(), other)
    for ours, theirs in zip(
        drawn(memory, sampler, seed=3), drawn(other, restored, seed=3), strict=True
    ):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(
    "changed",
    [
        {"priorities": np.ones(39)},
        {"priorities": np.full(40, -1.0)},
        {"priorities": np.full(40, np.nan)},
        {"priorities": np.zeros(40, np.float32)},
        {"seen": np.array([-1])},
        {"seen": np.array([1.5])},
        {"seen": np.array([[1]])},
        {"seen": np.array([31])},
        *({"draws": draws} for draws in (-1, 10**400, -(10**400), 1.0, "1", True, None)),
        *({"largest": largest} for largest in (-5.0, 0.5, 1e308, np.inf, np.nan, "nan", "2", 2)),
    ],
)
def test_a_state_of_something_else_is_refused(changed: dict[str, Any]) -> None:
    memory, sampler = make()
    fill(memory, 30)
    sampler.draw(memory)
    state = sampler.get_state()
    sampler.set_state(state, memory)
    with pytest.raises(ValueError, match=r"replay memory|priorit|numbers? of (steps|draws)"):
        sampler.set_state(state | changed, memory)


@pytest.mark.parametrize("size", [30, 70])
@pytest.mark.parametrize("n_step", [1, 3])
def test_only_transitions_may_have_priorities(size: int, n_step: int) -> None:
    memory, sampler = make(n_step=n_step)
    fill(memory, size, ends=0.1)
    sampler.draw(memory)
    state, valid = sampler.get_state(), valid_slots(memory)
    for slot in range(40):
        for priority in (1.0, 1.5, 1e-9):
            priorities = state["priorities"].copy()
            priorities[slot] = priority
            if slot in valid and priority == 1:
                sampler.set_state(state | {"priorities": priorities}, memory)
                continue
            with pytest.raises(ValueError, match=r"no transitions|not all possible"):
                sampler.set_state(state | {"priorities": priorities}, memory)
