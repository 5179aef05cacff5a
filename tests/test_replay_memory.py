"""The replay memory against a slow, obvious twin that keeps whole episodes as lists."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config import Config, ReplaySettings
from errors import UserError
from replay.make import make_screens, storage_bytes
from replay_memory import Index, ReplayMemory, ScreenStore, Uniform

HISTORY = 3
DISCOUNT = 0.5  # powers of it, and sums of whole rewards times them, are exact
HEIGHT, WIDTH = 1, 2


def replay_settings(**changed: Any) -> Config:
    return Config(
        screen_height=HEIGHT,
        screen_width=WIDTH,
        history_length=HISTORY,
        batch_size=16,
        discount_rate=DISCOUNT,
        **changed,
    )


def make_memory(
    size: int, *, storage: str = "array", sampler: Any = None, **changed: Any
) -> ReplayMemory:
    config = replay_settings(replay_size=size, **changed)
    return ReplayMemory(
        config,
        screens=make_store(storage, config),
        sampler=sampler or Uniform(np.random.default_rng(0)),
    )


def make_store(storage: str, config: Config) -> ScreenStore:
    if storage == "gpu":
        from replay.gpu import GPUScreens

        return GPUScreens(config.replay_size, HEIGHT, WIDTH, device="cpu")
    return make_screens(storage, config)


def screen(number: int) -> NDArray[np.uint8]:
    return np.array([divmod(number + 1, 256)], np.uint8)  # never black: that is for zero_history


class Record(NamedTuple):
    number: int  # of the slot, through all that the game has added
    action: int
    reward: float
    terminal: bool

    @property
    def picture(self) -> bytes:
        return screen(self.number).tobytes()


class Transition(NamedTuple):
    state: bytes
    action: int
    value: float  # R_t
    discount: float
    next_state: bytes  # empty after a terminal step


class Twin:
    """One game's episodes, and by loops the transitions that a ring of `slots` still has of them.

    Without `zero_history` every screen of a state is of its episode; with it the first slot of an
    episode is no transition, and screens before it are black.
    """

    def __init__(self, config: ReplaySettings, slots: int) -> None:
        self.config, self.slots = config, slots
        self.episodes: list[list[Record]] = [[]]
        self.count = 0

    def begin_episode(self, with_screen: bool) -> None:
        self.episodes.append([])
        if self.config.zero_history and with_screen:
            self.add(0, 0.0, False)

    def add(self, action: int, reward: float, terminal: bool) -> None:
        self.episodes[-1].append(Record(self.count, action, reward, terminal))
        self.count += 1
        if terminal:
            self.episodes.append([])

    def transitions(self) -> dict[int, Transition]:
        """By slot."""
        c, found = self.config, {}
        for episode in self.episodes:
            for i in range(1 if c.zero_history else HISTORY, len(episode)):
                t = episode[i].number
                first, last = t - HISTORY, t + c.n_step - 1
                kept = max(self.count - self.slots, 0) <= first and last < self.count
                unbroken = first % self.slots + last - first < self.slots
                steps = episode[i : i + c.n_step]
                terminal = steps[-1].terminal
                if kept and unbroken and (terminal or len(steps) == c.n_step):
                    rewards = [float(np.clip(s.reward, c.min_reward, c.max_reward)) for s in steps]
                    found[t % self.slots] = Transition(
                        self.state(episode, i),
                        steps[0].action,
                        sum(DISCOUNT**k * reward for k, reward in enumerate(rewards)),
                        0.0 if terminal else DISCOUNT**c.n_step,
                        b"" if terminal else self.state(episode, i + c.n_step),
                    )
        return found

    @staticmethod
    def state(episode: list[Record], i: int) -> bytes:
        """The screens before step i of the episode."""
        black = bytes(HEIGHT * WIDTH)
        pictures = (episode[k].picture if k >= 0 else black for k in range(i - HISTORY, i))
        return b"".join(pictures)


class Chosen:
    """A sampler that draws given slots and records its calls."""

    wants_errors = True

    def __init__(self) -> None:
        self.index: Index = np.empty(0, np.int64)
        self.weights = np.empty(0, np.float32)
        self.updates: list[tuple[list[int], list[float]]] = []

    def draw(self, memory: ReplayMemory) -> tuple[Index, NDArray[np.float32]]:
        return self.index, self.weights

    def update(self, index: Index, errors: NDArray[np.float32]) -> None:
        self.updates.append((index.tolist(), errors.tolist()))

    def get_state(self) -> dict[str, Any]:
        return {}

    def set_state(self, state: dict[str, Any], memory: ReplayMemory) -> None:
        pass


def drawn(memory: ReplayMemory, index: Index) -> dict[int, Transition]:
    """The transitions at these slots, as minibatches give them."""
    sampler, found = memory.sampler, {}
    assert isinstance(sampler, Chosen)
    for part in (index[n : n + memory.batch_size] for n in range(0, len(index), memory.batch_size)):
        # A minibatch is always full.
        sampler.index = np.resize(part, memory.batch_size)
        sampler.weights = np.ones(memory.batch_size, np.float32)
        batch = memory.sample()
        assert batch.indices.tolist() == sampler.index.tolist()
        assert batch.returns.dtype == np.float32
        for n, slot in enumerate(part.tolist()):
            following = batch.next_states[n].tobytes() if batch.discounts[n] else b""
            found[slot] = Transition(
                batch.states[n].tobytes(),
                int(batch.actions[n]),
                float(batch.returns[n]),
                float(batch.discounts[n]),
                following,
            )
    return found


def valid_slots(memory: ReplayMemory) -> Index:
    """All slots that are transitions."""
    try:
        first, counts = memory.candidates()
    except UserError:
        return np.empty(0, np.int64)
    index = np.concatenate([a + np.arange(n) for a, n in zip(first, counts, strict=True)])
    return index[memory.valid(index)]


event = st.tuples(st.integers(0, 2), st.integers(-3, 3), st.integers(0, 11))
events = st.lists(event, max_size=20) | st.lists(event, min_size=60, max_size=150)


@settings(max_examples=250)
@given(
    events=events,
    games=st.integers(1, 3),
    slots=st.integers(HISTORY + 2, 20),
    n_step=st.sampled_from([1, 1, 2, 3, 5]),
    zero_history=st.booleans(),
    storage=st.sampled_from(["array", "compressed", "gpu"]),
)
def test_transitions_are_exactly_those_of_the_twin(
    events: list[tuple[int, int, int]],
    games: int,
    slots: int,
    n_step: int,
    zero_history: bool,
    storage: str,
) -> None:
    memory = make_memory(
        games * slots,
        storage=storage,
        sampler=Chosen(),
        num_envs=games,
        n_step=n_step,
        zero_history=zero_history,
        min_reward=-1.0,
        max_reward=2.0,
    )
    twins = [Twin(memory.settings, slots) for _ in range(games)]
    for game, reward, event in events:
        game %= games
        terminal, cut = event == 0, event == 1
        memory.add(game, event, reward, screen(twins[game].count), terminal)
        twins[game].add(event, reward, terminal)
        if terminal or cut:  # rarely without a screen: before testing, that is
            begins = screen(twins[game].count) if reward else None
            memory.begin_episode(game, begins)
            twins[game].begin_episode(with_screen=begins is not None)
    wanted = {
        number * slots + slot: transition
        for number, twin in enumerate(twins)
        for slot, transition in twin.transitions().items()
    }
    assert drawn(memory, valid_slots(memory)) == wanted
    assert memory.count == sum(min(twin.count, slots) for twin in twins)


@pytest.mark.parametrize("storage", ["array", "compressed"])
def test_several_steps_of_rewards_count_with_their_discounts(storage: str) -> None:
    memory = make_memory(
        20, storage=storage, sampler=Chosen(), n_step=3, min_reward=-10, max_reward=10
    )
    for n, (reward, terminal) in enumerate(
        [(0, False)] * 3 + [(1, False), (2, False), (4, False), (8, True)] + [(9, False)] * 4
    ):
        memory.add(0, n, reward, screen(n), terminal)
    found = drawn(memory, valid_slots(memory))
    assert {t: each[1:4] for t, each in found.items()} == {
        3: (3, 1 + 2 / 2 + 4 / 4, 0.125),
        4: (4, 2 + 4 / 2 + 8 / 4, 0.0),
        5: (5, 4 + 8 / 2, 0.0),
        6: (6, 8, 0.0),
        # 7 and 8 begin an episode: their states would be of the one before. 9 has no third step.
    }


def test_a_state_and_the_next_one_share_their_screens() -> None:
    memory = make_memory(100, max_reward=100)
    for n in range(50):
        memory.add(0, n % 4, n, screen(n), False)
    batch = memory.sample()
    assert batch.states.shape == batch.next_states.shape == (16, HISTORY, HEIGHT, WIDTH)
    assert np.shares_memory(batch.states, batch.next_states)
    assert (batch.next_states[:, -1, 0, 1] == batch.returns.astype(int) + 1).all()
    assert (batch.states[:, -1, 0, 1] == batch.returns.astype(int)).all()


def test_a_minibatch_has_the_samplers_weights_and_the_sampler_hears_of_errors() -> None:
    sampler = Chosen()
    memory = make_memory(40, sampler=sampler, num_envs=2)
    for n in range(23):
        memory.add(n % 2, 0, 0.0, screen(n), False)
    sampler.index, sampler.weights = np.array([25, 3]), np.array([0.5, 2], np.float32)
    memory.block = memory.block[:2]
    minibatch = memory.sample()
    assert minibatch.wants_errors
    assert minibatch.weights.tolist() == [0.5, 2]
    memory.sampler.update(sampler.index, np.array([0.25, 4], np.float32))
    assert sampler.updates == [([25, 3], [0.25, 4])]


@pytest.mark.parametrize("games", [1, 3])
def test_every_transition_is_drawn_equally_often(games: int) -> None:
    memory = make_memory(30 * games, num_envs=games)
    for n in range(140):  # the first game is full, the others have fewer steps
        for game, count in zip(range(games), (47, 20, 9), strict=False):
            if n < count:
                memory.add(game, 0, 0.0, screen(n), n % 9 == 8)
    valid = valid_slots(memory)
    index = np.concatenate([memory.sampler.draw(memory)[0] for _ in range(1500)])
    slots, counts = np.unique(index, return_counts=True)
    assert slots.tolist() == valid.tolist()
    expected = len(index) / len(valid)
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


@pytest.mark.parametrize(
    ("games", "slots", "minibatches"),
    [
        (1, 50, [[32, 35, 30, 39, 42, 17, 16, 44], [9, 40, 8, 24, 41, 17, 19, 16]]),
        (3, 30, [[68, 45, 65, 54, 6, 21, 20, 64], [56, 35, 22, 20, 51, 19, 34, 56]]),
    ],
)
def test_a_seed_draws_what_it_always_drew(
    games: int, slots: int, minibatches: list[list[int]]
) -> None:
    sampler = Uniform(np.random.default_rng(7))
    memory = make_memory(games * slots, sampler=sampler, num_envs=games)
    for n in range(70):
        for game, count in zip(range(games), (70, 40, 12), strict=False):
            if n < count:
                memory.add(game, 0, 0.0, screen(n), n % 9 == 8)
    memory.batch_size = 8
    assert [memory.sampler.draw(memory)[0].tolist() for _ in minibatches] == minibatches


def test_a_restored_sampler_draws_the_same() -> None:
    memory = make_memory(30)
    for n in range(40):
        memory.add(0, 0, 0.0, screen(n), n % 13 == 12)
    state = memory.sampler.get_state()
    first = [memory.sampler.draw(memory) for _ in range(3)]
    memory.sampler.set_state(state, memory)
    again = [memory.sampler.draw(memory) for _ in range(3)]
    for (index, weights), (other, other_weights) in zip(first, again, strict=True):
        assert index.tolist() == other.tolist()
        assert weights.tolist() == other_weights.tolist() == [1.0] * 16
    assert len({tuple(index.tolist()) for index, _ in first}) == 3


@pytest.mark.parametrize(("games", "n_step"), [(1, 1), (3, 1), (2, 3)])
def test_it_is_ready_once_one_game_has_a_whole_transition(games: int, n_step: int) -> None:
    memory = make_memory(30 * games, num_envs=games, n_step=n_step)
    memory.batch_size, memory.block = 1, memory.block[:1]
    for game in range(games):
        for n in range(HISTORY + n_step - 1):
            memory.add(game, 0, 0.0, screen(n), False)
    assert not memory.ready
    memory.add(games - 1, 0, 0.0, screen(n + 1), False)
    assert memory.ready
    assert len(memory.sample().indices) == 1


def test_too_short_episodes_are_refused() -> None:
    memory = make_memory(30)
    for n in range(20):
        memory.add(0, 0, 0.0, screen(n), n % 2 == 0)
    with pytest.raises(UserError, match="screens in a row from one episode"):
        memory.sample()


def test_a_million_steps_take_at_most_7_1_gigabytes() -> None:
    assert storage_bytes("array", Config(), 1_000_000) <= 7.1e9
    memory = make_memory(1000)
    columns = (memory.actions, memory.rewards, memory.terminals, memory.begins)
    taken = 1000 * HEIGHT * WIDTH + sum(int(column.nbytes) for column in columns)
    assert taken == storage_bytes("array", replay_settings(), 1000)
