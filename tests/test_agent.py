"""The agent's loop, in worlds whose every answer is known."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent import Agent, Callback, GameStep
from config import AgentSettings
from game import Game
from replay_memory import Minibatch, ReplayMemory
from tests.toys import (
    Clock,
    FakeNetwork,
    Recorder,
    make_agent,
    make_game,
    make_memory,
    times,
)

DISCOUNT = 0.9


class Chain:
    """Positions 0 .. 5 in a row; a step stays, goes right or goes left. The left end gives 0.3, the
    right end 1, and an episode starts anywhere between."""

    action_names = ("STAY", "RIGHT", "LEFT")
    frames_per_second = 60.0
    end = 5

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)
        self.position = 0

    def set_mode(self, mode: str) -> None:
        pass

    def restart(self) -> None:
        self.position = int(self.rng.integers(1, self.end))

    @classmethod
    def step(cls, position: int, action: int) -> tuple[int, float]:
        """The next position and the reward."""
        position += (0, 1, -1)[action]
        return position, {0: 0.3, cls.end: 1.0}.get(position, 0.0)

    def act(self, action: int) -> float:
        self.position, reward = self.step(self.position, action)
        return reward

    def skip_frames(self, count: int) -> None:
        raise AssertionError("there are no random starts")

    def screen(self) -> NDArray[np.uint8]:
        return np.array([[self.position]], np.uint8)

    def is_terminal(self) -> bool:
        return self.position in (0, self.end)

    def is_truncated(self) -> bool:
        return False


class Table:
    """Q-learning in a table of (position, action), with a target table."""

    def __init__(self) -> None:
        self.q = np.zeros((Chain.end + 1, 3), np.float32)
        self.update_target_network()

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        return self.q[states[:, -1, 0, 0]]

    def train(self, minibatch: Minibatch) -> None:
        s_t, s_tpn = minibatch.states[:, -1, 0, 0], minibatch.next_states[:, -1, 0, 0]
        y = minibatch.returns + minibatch.discounts * self.target[s_tpn].max(1)
        self.q[s_t, minibatch.actions] = y

    def update_target_network(self) -> None:
        self.target = self.q.copy()


def value_iteration() -> NDArray[np.float64]:
    """Q* of the chain."""
    q = np.zeros((Chain.end + 1, 3))
    for _ in range(200):
        for position, action in itertools.product(range(1, Chain.end), range(3)):
            after, reward = Chain.step(position, action)
            q[position, action] = reward + DISCOUNT * q[after].max()
    return q


@pytest.mark.parametrize("zero_history", [False, True])
def test_a_chain_is_learned_exactly(zero_history: bool) -> None:
    chain = Chain()
    table: Any = Table()
    settings = AgentSettings(
        exploration_rate_end=0.5,
        exploration_decay_steps=500,
        exploration_rate_test=0.0,
        target_steps=10,
        train_frequency=1,
    )
    agent = Agent(
        settings,
        games=[
            make_game(
                chain,
                history_length=1,
                random_starts=0 if zero_history else 1,
                zero_history=zero_history,
                size=(1, 1),
            )
        ],
        memory=make_memory(
            history_length=1, zero_history=zero_history, screen=(1, 1), discount_rate=DISCOUNT
        ),
        network=table,
        num_actions=3,
        rng=np.random.default_rng(0),
    )
    agent.fill_memory(50)
    agent.train(1500)
    assert np.abs(table.q - value_iteration()).max() < 1e-4
    recorder = Recorder()
    agent.callbacks.append(recorder)
    agent.play(20)
    # From 1 it is 1 step to 0.3, or 4 to 1, which are worth 0.3 and 0.9 ** 3: all go right.
    assert set(recorder.actions) == {1}
    assert sum(recorder.rewards) == 20


def test_exploration_falls_with_the_training_steps_alone() -> None:
    agent, recorder = make_agent(
        Clock(),
        memory=make_memory(),
        exploration_rate_start=0.9,
        exploration_rate_end=0.1,
        exploration_decay_steps=8,
        exploration_rate_test=0.05,
    )
    agent.fill_memory(5)
    agent.train(4)
    agent.test(3)
    agent.train(6)
    training = [0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.3, 0.2, 0.1, 0.1]
    assert recorder.rates == pytest.approx([1.0] * 5 + training[0] + [0.05] * 3 + training[1])
    assert agent.total_train_steps == 10


def test_games_side_by_side_explore_less_and_less_with_a_spread() -> None:
    rates: Any = dict(
        exploration_rate_start=0.5, exploration_rate_end=0.4, exploration_decay_steps=6
    )
    agent, recorder = make_agent(
        *[Clock() for _ in range(3)],
        memory=make_memory(games=3),
        exploration_spread=7.0,
        exploration_rate_test=0.05,
        **rates,
    )
    agent.train(9)
    powers = [1, 4.5, 8]
    shares = [s**power for s in (0.5, 0.45, 0.4) for power in powers]
    assert recorder.rates == pytest.approx(shares)
    agent.test(3)
    assert recorder.rates[9:] == [0.05] * 3


def test_each_game_explores_as_often_as_its_rate_says() -> None:
    agent, recorder = make_agent(
        Clock(),
        Clock(),
        memory=make_memory(games=2),
        exploration_spread=3.0,
        exploration_rate_start=0.6,
        exploration_rate_end=0.6,
    )
    agent.train(4000)
    shares = [np.mean(np.array(recorder.actions[game::2]) != 2) for game in (0, 1)]
    assert shares == pytest.approx([0.6 * 2 / 3, 0.6**4 * 2 / 3], abs=0.03)  # 2 is the best one


def test_the_share_of_random_actions_is_the_exploration_rate() -> None:
    agent, recorder = make_agent(Clock(), exploration_rate_test=0.3)
    agent.test(2000)
    counts = np.bincount(recorder.actions, minlength=3) / 2000
    assert counts == pytest.approx([0.1, 0.1, 0.8], abs=0.03)  # 2 is the best one


def test_the_network_is_asked_about_the_last_screens() -> None:
    network = FakeNetwork()
    agent, recorder = make_agent(Clock(), network=network, exploration_rate_test=0.0)
    agent.test(5)
    last = times(recorder.screens)
    assert [times(state) for state in network.seen] == [[t - 2, t - 1] for t in last]
    assert agent.qvalues is not None
    assert agent.qvalues.tolist() == [0, 0, 1]


def test_nobody_is_asked_for_random_actions() -> None:
    network = FakeNetwork()
    agent, recorder = make_agent(Clock(), network=network, memory=make_memory())
    agent.fill_memory(100)
    assert not network.seen
    assert set(recorder.actions) == {0, 1, 2}


def test_equal_values_take_the_first_or_a_random_best_action() -> None:
    taken = []
    for random_ties in (False, True):
        agent, recorder = make_agent(
            Clock(),
            network=FakeNetwork([0, 1, 1]),
            exploration_rate_test=0.0,
            random_ties=random_ties,
        )
        agent.test(50)
        taken.append(set(recorder.actions))
    assert taken == [{1}, {1, 2}]


@pytest.mark.parametrize("random_ties", [False, True])
def test_values_that_are_not_numbers_still_give_an_action(random_ties: bool) -> None:
    agent, recorder = make_agent(
        Clock(),
        network=FakeNetwork([np.nan] * 3),
        exploration_rate_test=0.0,
        random_ties=random_ties,
    )
    agent.test(5)  # the observer of divergence stops the run
    assert set(recorder.actions) == {0}


def events_of_training(
    steps: list[int], memory: ReplayMemory | None = None, **settings: Any
) -> list[tuple[int, str]]:
    """(training step, event) of phases of so many steps after a random phase of 20."""
    network, events = FakeNetwork(), []
    agent, _ = make_agent(Clock(), network=network, memory=memory or make_memory(), **settings)
    network.log = lambda event: events.append((agent.total_train_steps, event))
    agent.fill_memory(20)
    for n in steps:
        agent.train(n)
        agent.test(3)
    return events


def test_the_target_network_is_copied_at_multiples_of_target_steps_in_the_epoch() -> None:
    events = events_of_training([25, 25], target_steps=10)
    assert [step for step, event in events if event == "copy"] == [0, 10, 20, 25, 35, 45]


def test_or_in_the_whole_run() -> None:
    events = events_of_training([25, 25], target_steps=10, target_clock="run")
    assert [step for step, event in events if event == "copy"] == [0, 10, 20, 30, 40]


def test_no_target_steps_no_copies() -> None:
    assert {event for _, event in events_of_training([25], target_steps=0)} == {"train"}


def test_weights_are_updated_every_train_frequency_steps_train_repeat_times() -> None:
    events = events_of_training([10, 6], train_frequency=4, train_repeat=2, target_steps=8)
    assert events == [
        *[(0, "copy"), (0, "train"), (0, "train")],
        *[(4, "train"), (4, "train")],
        *[(8, "copy"), (8, "train"), (8, "train")],
        *[(10, "copy"), (10, "train"), (10, "train")],
        *[(14, "train"), (14, "train")],
    ]


def test_learning_waits_until_there_is_more_than_a_minibatch() -> None:
    memory = make_memory(batch_size=25)
    events = events_of_training([12], memory, train_frequency=2, target_steps=0)
    assert [step for step, _ in events] == [6, 8, 10]  # after step 4 there were just 25


def test_testing_remembers_nothing() -> None:
    memory = make_memory()
    agent, _ = make_agent(Clock(ends=range(10, 500, 10)), memory=memory)
    agent.fill_memory(30)
    assert memory.count == 30
    agent.test(100)
    agent.play(3)
    assert memory.count == 30
    agent.train(5)
    assert memory.count == 35


def test_remember_all_remembers_tests_and_openings() -> None:
    memory, clock = make_memory(), Clock(ends=range(10, 500, 10))
    agent, _ = make_agent(clock, memory=memory, remember_all=True)
    agent.fill_memory(30)
    assert memory.count == clock.time > 30
    agent.test(100)
    assert memory.count == clock.time > 130
    kept = range(memory.count)
    assert memory.rewards[0, kept].tolist() == [t + 1 for t in kept]
    assert memory.actions[0, kept].tolist() == clock.actions


@pytest.mark.parametrize(
    ("zero_history", "remember_all"), [(False, False), (False, True), (True, False)]
)
def test_what_is_sampled_happened_in_a_row(zero_history: bool, remember_all: bool) -> None:
    """Over ends, cuts, and the seams between phases."""
    memory = make_memory(batch_size=200, zero_history=zero_history)
    clock = Clock(ends=range(13, 900, 13), cuts=range(17, 900, 17))
    agent, recorder = make_agent(
        clock, memory=memory, zero_history=zero_history, remember_all=remember_all, train_repeat=0
    )
    agent.fill_memory(201)
    for _ in range(3):
        agent.train(53)
        agent.test(31)
    agent.train(11)
    done = dict(zip(times(recorder.screens), recorder.actions, strict=True))
    batch, seen = memory.sample(), set()
    for n, window in enumerate(batch.screens):
        t = times(window)
        shown = [time for time in t if time] if zero_history else t
        assert shown == list(range(t[-1] - len(shown) + 1, t[-1] + 1))
        assert not any(time in clock.ended for time in shown[:-1])
        assert len(shown) >= 2
        assert batch.returns[n] == t[-1]
        terminal = t[-1] in clock.ended and t[-1] not in clock.cuts
        assert batch.discounts[n] == (0 if terminal else 0.99)
        assert batch.actions[n] == done.get(t[-1], 0)
        seen.add((len(shown), terminal))
    assert len(seen) == (4 if zero_history else 2)  # both kinds of windows, with both ends


def test_an_opening_that_is_cut_does_not_lead_to_the_next_game() -> None:
    class Jumping(Clock):
        def restart(self) -> None:
            super().restart()
            self.time += 1000  # the next game looks different

    memory = make_memory(batch_size=500)
    clock = Jumping(ends=[1040, 3080], cuts=[2042, 4083])
    agent, _ = make_agent(clock, memory=memory, remember_all=True)
    agent.fill_memory(100)
    assert clock.ended == [1040, 2042, 3080, 4083]
    for window in memory.sample().screens:
        assert np.ptp(times(window)) < 1000


def test_with_zero_history_the_first_screen_of_an_episode_is_remembered() -> None:
    memory, clock = make_memory(zero_history=True), Clock(ends=range(10, 500, 10))
    agent, _ = make_agent(clock, memory=memory, zero_history=True)
    agent.fill_memory(50)
    assert len(clock.restarts) > 4
    assert memory.count == 50 + len(clock.restarts) == clock.time


def test_a_game_cut_short_has_ended_but_has_no_terminal() -> None:
    memory = make_memory()
    agent, recorder = make_agent(Clock(ends=[20], cuts=[10]), memory=memory)
    agent.fill_memory(30)
    ended = zip(times(recorder.screens), recorder.ended, strict=True)
    assert {t for t, end in ended if end} == {10, 20}
    assert {made.step.reward for made in recorder.done if made.step.terminal} == {20}
    assert memory.rewards[memory.terminals].tolist() == [20]


def test_an_episode_opens_with_no_ops_that_fill_the_state() -> None:
    counts = set()
    clock = Clock()
    game = make_game(clock, history_length=2, random_starts=5)
    for _ in range(200):
        before = clock.time
        opening = game.start()
        counts.add(len(opening))
        assert clock.time == before + len(opening)
        assert times(game.buffer.state()) == [clock.time - 1, clock.time]
        assert [step.reward for step in opening] == list(range(before + 1, clock.time + 1))
    assert counts == {3, 4, 5, 6}
    assert set(clock.actions) == {0}
    assert len(clock.restarts) == 200


def test_an_opening_that_ends_the_game_opens_another() -> None:
    clock = Clock(ends=[2])
    game = make_game(clock, random_starts=2)
    opening = game.start()
    assert [step.terminal for step in opening] == [False, True, False]
    assert clock.restarts == [0, 2]
    cut = make_game(Clock(cuts=[2]), random_starts=2).start()
    assert [(step.terminal, step.ended) for step in cut] == [
        (False, False), (False, True), (False, False),
    ]  # fmt: skip


def test_zero_history_opens_with_frames_and_black_screens() -> None:
    clock = Clock()
    game = make_game(clock, random_starts=5, zero_history=True)
    for t in range(1, 101):
        opening = game.start()
        assert times(np.stack([step.screen for step in opening])) == [t]
        assert times(game.buffer.state()) == [0, t]
    assert set(clock.skipped) == {2, 3, 4, 5, 6}
    assert not clock.actions
    make_game(clock, random_starts=0, zero_history=True).start()
    assert len(clock.skipped) == 100


def test_after_an_end_the_next_episode_has_begun() -> None:
    clock = Clock(ends=[10])
    game = make_game(clock)
    while clock.time < 9:
        game.send(1)
        game.receive()
    game.send(1)
    step = game.receive()
    assert (step.reward, step.terminal, step.ended) == (10, True, True)
    assert times(step.screen[None]) == [10]  # the end, not what followed
    assert len(step.opening) == 3
    assert times(game.buffer.state()) == [12, 13]


@pytest.mark.parametrize(("worlds", "games"), [(1, 1), (1, 4), (2, 5), (3, 2)])
def test_so_many_whole_games_are_played(worlds: int, games: int) -> None:
    clocks = [Clock(ends=range(5 + n, 500, 5 + n)) for n in range(worlds)]
    agent, recorder = make_agent(*clocks)
    agent.play(games)
    ended = [game for game, end in zip(recorder.games, recorder.ended, strict=True) if end]
    assert sorted(ended) == sorted(n % worlds for n in range(games))
    assert recorder.ended[-1]
    assert all(clock.mode == "test" for clock in clocks)
    assert agent.callbacks == [recorder]


def test_modes_follow_the_phases_and_training_continues_in_the_tested_game() -> None:
    clock = Clock()
    agent, _ = make_agent(clock, memory=make_memory(), train_repeat=0)
    modes, restarts = [], []
    for phase in (agent.fill_memory, agent.train, agent.test, agent.train):
        phase(5)
        modes.append(clock.mode)
        restarts.append(len(clock.restarts))
    assert modes == ["train", "train", "test", "train"]
    assert restarts == [1, 1, 2, 2]


@pytest.mark.parametrize("name", ["fill_memory", "train", "test"])
def test_a_stopped_phase_ends_with_its_step_and_can_be_continued(name: str) -> None:
    clock = Clock()
    agent, recorder = make_agent(clock, memory=make_memory())
    agent.fill_memory(10)
    phase, taken = getattr(agent, name), len(recorder.actions)

    class Stopper(Recorder):
        def on_round(self, step: int) -> None:
            if step == 4:
                agent.stop()

    agent.callbacks.append(Stopper())
    phase(9)
    assert len(recorder.actions) == taken + 4
    assert (agent.phase_step, agent.stopped, agent.interrupted) == (4, True, True)
    agent.stopped = agent.interrupted = False
    restarts = len(clock.restarts)
    phase(9, start=4)
    assert len(recorder.actions) == taken + 9
    assert recorder.rounds[-9:] == list(range(1, 10))
    assert len(clock.restarts) == restarts
    assert not agent.interrupted


def test_play_can_be_stopped() -> None:
    agent, recorder = make_agent(Clock())

    class Stopper(Callback):
        def on_action(self, game: int, action: int) -> None:
            agent.stop()

    agent.callbacks.append(Stopper())
    agent.play(1)
    assert len(recorder.actions) == 1


def test_callbacks_hear_of_an_action_before_it_is_done_and_then_of_its_step() -> None:
    clocks = Clock(ends=range(12, 200, 12)), Clock(ends=range(9, 200, 9))
    heard: list[tuple[str, int, int, int]] = []

    class Listener(Callback):
        def on_action(self, game: int, action: int) -> None:
            heard.append(("action", game, action, clocks[game].time))

        def on_step(self, made: GameStep) -> None:
            # What has been done is the reward: an episode that ended has been followed by another.
            heard.append(("step", made.game, made.action, int(made.step.reward)))

    agent, recorder = make_agent(*clocks, memory=make_memory(games=2), train_repeat=0)
    agent.callbacks.append(Listener())
    for phase in (agent.fill_memory, agent.train, agent.test):
        phase(14)
    agent.play(2)
    assert recorder.chosen == list(zip(recorder.games, recorder.actions, strict=True))
    steps: dict[int, list[tuple[str, int, int, int]]] = {0: [], 1: []}
    for event in heard:
        steps[event[1]].append(event)
    for events in steps.values():
        assert [kind for kind, *_ in events] == ["action", "step"] * (len(events) // 2)
        for before, after in zip(events[::2], events[1::2], strict=True):
            assert before[1:3] == after[1:3]
            assert after[3] == before[3] + 1
        assert len(events) > 40


def test_a_step_is_reported_with_what_came_of_it() -> None:
    clock = Clock(ends=[10])
    agent, recorder = make_agent(clock, exploration_rate_test=0.25)
    agent.test(10)
    assert [made.step.reward for made in recorder.done] == times(recorder.screens)
    assert recorder.rates == [0.25] * 10
    (end,) = (made.step for made in recorder.done if made.step.ended)
    assert (end.reward, end.terminal) == (10, True)
    assert [step.reward for step in end.opening] == [11, 12, 13]
    assert [made.step.opening for made in recorder.done if not made.step.ended] == [()] * 9


def test_callbacks_change_nothing() -> None:
    found = []
    for listeners in (0, 3):
        memory, clock = make_memory(), Clock(ends=range(10, 500, 10))
        agent, recorder = make_agent(clock, memory=memory)
        agent.callbacks += [Callback() for _ in range(listeners)]
        agent.fill_memory(20)
        agent.train(20)
        agent.test(20)
        found.append((recorder.actions, clock.actions, memory.rewards.tolist()))
    assert found[0] == found[1]


def test_where_steps_are_remembered_the_network_predicts_for_training() -> None:
    asked: list[bool] = []

    class Asked(FakeNetwork):
        def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
            asked.append(training)
            return super().predict(states)

    agent, _ = make_agent(
        Clock(),
        network=Asked(),
        memory=make_memory(),
        exploration_rate_start=0.0,
        exploration_rate_end=0.0,
        exploration_rate_test=0.0,
    )
    agent.fill_memory(5, exploration=0.0)
    agent.train(6)
    agent.test(7)
    assert asked == [True] * 5 + [True] * 6 + [False] * 7


def test_what_an_update_learned_reaches_the_sampler() -> None:
    class Learns(FakeNetwork):
        def train(self, minibatch: Minibatch) -> Any:
            return minibatch.indices, minibatch.returns

    told: list[tuple[list[int], list[float]]] = []
    memory = make_memory()
    memory.sampler.update = lambda index, errors: told.append(  # type: ignore[method-assign]
        (index.tolist(), errors.tolist())
    )
    agent, _ = make_agent(Clock(), network=Learns(), memory=memory, train_frequency=2)
    agent.fill_memory(20)
    agent.train(8)
    assert len(told) == 4
    for index, errors in told:
        assert memory.rewards[0, index].tolist() == errors


def test_an_agent_without_a_network_plays_at_random() -> None:
    game = make_game(Clock())
    agent = Agent(
        AgentSettings(),
        games=[game],
        memory=None,
        network=None,
        num_actions=3,
        rng=np.random.default_rng(0),
    )
    recorder = Recorder()
    agent.callbacks.append(recorder)
    agent.test(100)
    assert set(recorder.actions) == {0, 1, 2}


def test_several_games_play_while_the_network_learns_from_the_steps_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory, network = make_memory(games=2), FakeNetwork()
    heard: list[str] = []
    agent, _ = make_agent(Clock(), Clock(), network=network, memory=memory, train_frequency=2)
    agent.fill_memory(20)
    methods: dict[str, Any] = {"send": Game.send, "receive": Game.receive}
    for name, method in methods.items():

        def call(game: Game, *action: int, name: str = name, method: Any = method) -> Any:
            heard.append(name)
            return method(game, *action)

        monkeypatch.setattr(Game, name, call)
    network.log = lambda event: heard.append(f"{event} {memory.count}")
    agent.train(4)
    sent, received = ["send"] * 2, ["receive"] * 2
    assert heard == [
        *[*sent, "copy 20", "train 20", *received],
        *[*sent, "train 22", *received],
    ]
