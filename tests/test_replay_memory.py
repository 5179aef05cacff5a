"""The replay memory against a slow, obvious twin that keeps every episode as a list."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errors import UserError
from replay_memory import ReplayMemory, ScreenArray, replay_bytes

HISTORY = 3


def make_memory(size: int, zero_history: bool = False, batch_size: int = 16) -> ReplayMemory:
    return ReplayMemory(
        size=size,
        history_length=HISTORY,
        screen_height=2,
        screen_width=2,
        batch_size=batch_size,
        zero_history=zero_history,
        rng=np.random.default_rng(0),
    )


def screen(value: int) -> np.ndarray:
    return np.full((2, 2), value % 255 + 1, np.uint8)  # never black: that is for zero_history


class Twin:
    """Remembers (number of the step, episode) for the last `size` slots and decides by loops."""

    def __init__(self, size: int, zero_history: bool) -> None:
        self.size, self.zero_history = size, zero_history
        self.slots: list[dict[str, int | bool]] = []
        self.episode = 0
        self.number = 0

    def begin(self, with_screen: bool) -> None:
        self.episode += 1
        if self.zero_history and with_screen:
            self.put(0, 0, False, start=True)

    def put(self, action: int, reward: int, terminal: bool, start: bool = False) -> None:
        self.slots.append(
            dict(
                number=self.number,
                action=action,
                reward=reward,
                terminal=terminal,
                episode=self.episode,
                start=start,
            )
        )
        self.number += 1
        if terminal:
            self.episode += 1

    def transitions(self) -> dict[int, list[int]]:
        """By number of the last step: the screens' values, for every valid window in the ring."""
        found = {}
        kept = self.slots[-self.size :]
        seam = self.number % self.size if self.number > self.size else None
        for end in range(HISTORY, len(kept)):
            window = kept[end - HISTORY : end + 1]
            positions = [slot["number"] % self.size for slot in window]
            if positions != list(range(positions[0], positions[0] + HISTORY + 1)):
                continue  # the ring's array ends inside the window
            if seam is not None and positions[0] < seam <= positions[-1]:
                continue
            last = window[-1]
            if self.zero_history:
                first_of_episode = last["start"] or window[-2]["episode"] != last["episode"]
                if first_of_episode:
                    continue
                values = [
                    int(screen(s["number"])[0, 0]) if s["episode"] == last["episode"] else 0
                    for s in window
                ]
            else:
                if len({s["episode"] for s in window[1:]}) > 1 or (
                    window[0]["episode"] != last["episode"]
                ):
                    continue
                values = [int(screen(s["number"])[0, 0]) for s in window]
            found[int(last["number"])] = values
        return found


steps = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-2, 2), st.booleans(), st.booleans()),
    min_size=HISTORY + 2,
    max_size=60,
)


@settings(max_examples=120, deadline=None)
@given(steps=steps, size=st.integers(HISTORY + 2, 40), zero_history=st.booleans())
def test_samples_are_exactly_the_twins_transitions(
    steps: list[tuple[int, int, bool, bool]], size: int, zero_history: bool
) -> None:
    memory, twin = make_memory(size, zero_history), Twin(size, zero_history)
    for action, reward, ends, cut in steps:
        terminal = ends and twin.number % 3 == 0
        memory.add(action, reward, screen(twin.number), terminal)
        twin.put(action, reward, terminal)
        if terminal or (cut and twin.number % 4 == 0):
            memory.begin_episode(screen(twin.number))
            if terminal:
                twin.episode -= 1
            twin.begin(with_screen=True)
    expected = twin.transitions()
    index = np.arange(HISTORY, memory.count)
    valid = index[memory.valid(index)] if len(index) else index
    latest = {number % size: number for number in range(twin.number)}
    assert {latest[int(t)] for t in valid} == set(expected)
    if not expected:
        return
    seen = set()
    for _ in range(20):
        batch = memory.sample()
        for n, slots in enumerate(batch.screens[:, :, 0, 0]):
            matches = [k for k, values in expected.items() if values == slots.tolist()]
            assert matches
            slot = twin.slots[matches[0]]
            assert batch.actions[n] in {twin.slots[m]["action"] for m in matches}
            assert batch.terminals[n] in {twin.slots[m]["terminal"] for m in matches}
            assert batch.rewards[n] in {twin.slots[m]["reward"] for m in matches}
            seen.add(int(slot["number"]))
    if len(expected) < 10:
        assert len(seen) == len({tuple(v) for v in expected.values()})


def test_prestates_and_poststates_share_their_screens() -> None:
    memory = make_memory(100)
    for i in range(50):
        memory.add(i % 4, i, screen(i), False)
    batch = memory.sample()
    assert batch.prestates.shape == (16, HISTORY, 2, 2)
    assert np.shares_memory(batch.prestates, batch.poststates)
    assert (batch.poststates[:, -1, 0, 0] == batch.rewards.astype(int) + 1).all()
    assert (batch.prestates[:, -1, 0, 0] == batch.rewards.astype(int)).all()


def test_every_valid_index_is_drawn_equally_often() -> None:
    memory = make_memory(30, batch_size=1000)
    for i in range(47):
        memory.add(0, 0, screen(i), i % 9 == 8)
    index = np.arange(HISTORY, memory.count)
    valid = index[memory.valid(index)]
    drawn = np.concatenate([memory.draw() for _ in range(20)])
    counts = np.array([(drawn == t).sum() for t in valid])
    assert counts.sum() == len(drawn)
    expected = len(drawn) / len(valid)
    assert np.abs(counts - expected).max() < 6 * np.sqrt(expected)


def test_too_few_steps_and_too_short_episodes_are_refused() -> None:
    memory = make_memory(30)
    for i in range(HISTORY):
        memory.add(0, 0, screen(i), False)
    with pytest.raises(UserError, match="random_steps"):
        memory.sample()
    memory = make_memory(30)
    for i in range(20):
        memory.add(0, 0, screen(i), i % 2 == 0)
        memory.begin_episode()
    with pytest.raises(UserError, match="too short"):
        memory.sample()


def test_a_million_steps_take_at_most_7_1_gigabytes() -> None:
    assert replay_bytes(1_000_000, 84, 84) <= 7.1e9
    small, screens = make_memory(1000), ScreenArray(1000, 2, 2)
    columns = (small.actions, small.rewards, small.terminals, small.begins)
    taken = screens.screens.nbytes + sum(int(column.nbytes) for column in columns)
    assert taken == replay_bytes(1000, 2, 2)
