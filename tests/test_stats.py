"""A run worked out by hand against every column of the CSV, and the CSV's way to the disk."""

from __future__ import annotations

import csv
import errno
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import stats as stats_module
from agent import Agent, Phase
from atomic import NotWritten
from errors import UserError
from replay_memory import ReplayMemory
from stats import COLUMNS, Statistics
from tests.toys import Clock, FakeNetwork, make_agent, make_memory, times


class Stopwatch:
    """Stands in for the time module."""

    now = 1000.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> type[Stopwatch]:
    monkeypatch.setattr(stats_module, "time", Stopwatch)
    return Stopwatch


def make(
    csv_file: Path | None = None,
    ends: tuple[int, ...] = (),
    network: Any = None,
    memory: ReplayMemory | None = None,
    **settings: Any,
) -> tuple[Agent, Statistics]:
    network = network or FakeNetwork([0, 0.25, 1.5], cost=0.125)
    agent, _ = make_agent(Clock(ends=ends), network=network, memory=memory, **settings)
    statistics = Statistics(agent, network, memory, csv_file)
    agent.callbacks = [statistics]
    return agent, statistics


def run(
    agent: Agent, statistics: Statistics, phase: str, epoch: int, steps: int, seconds: float = 0.0
) -> None:
    statistics.on_phase_start(Phase(phase, epoch, steps))
    {"random": agent.fill_memory, "train": agent.train, "test": agent.test}[phase](steps)
    Stopwatch.now += seconds
    statistics.on_phase_end(Phase(phase, epoch, steps))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_column_of_a_run_worked_out_by_hand(watch: type[Stopwatch], tmp_path: Path) -> None:
    """An episode opens with three no-op steps, and each step's reward is its time:

    random  no-ops 1 2 3   plays 4 5 6 (ends: 15)   no-ops 7 8 9   plays 10 11 12 (ends: 33)
            no-ops 13 14 15
    train   plays 16 17 18 19: 70 so far, no game ends
    test    no-ops 20 21 22   plays 23 24 25 (ends: 72)   no-ops 26 27 28   plays 29 30
    train   plays 31 (ends: 31, 29 and 30 are forgotten)   no-ops 32 33 34   plays 35
    """
    agent, statistics = make(
        tmp_path / "run.csv",
        ends=(6, 12, 25, 31),
        memory=make_memory(batch_size=4),
        exploration_rate_end=0.0,
        exploration_decay_steps=8,
        train_frequency=2,
    )
    run(agent, statistics, "random", 0, 6, seconds=3.0)
    run(agent, statistics, "train", 1, 4, seconds=2.0)
    run(agent, statistics, "test", 1, 5, seconds=10.0)
    run(agent, statistics, "train", 2, 2, seconds=4.0)
    assert (tmp_path / "run.csv").read_text().splitlines() == [
        "epoch,phase,steps,nr_games,average_reward,min_game_reward,max_game_reward,"
        "last_exploration_rate,total_train_steps,replay_memory_count,meanq,meancost,"
        "weight_updates,total_time,epoch_time,steps_per_second",
        "0,random,6,2,24.0,15.0,33.0,1.0,0,6,1.5,0.125,0,3.0,3.0,2.0",
        "1,train,4,0,70.0,70.0,70.0,0.625,4,10,1.5,0.125,2,5.0,2.0,2.0",
        "1,test,5,1,72.0,72.0,72.0,0.05,4,10,1.5,0.125,2,15.0,10.0,0.5",
        "2,train,2,1,31.0,31.0,31.0,0.375,6,12,1.5,0.125,3,19.0,4.0,0.5",
    ]


def test_games_side_by_side_have_scores_of_their_own() -> None:
    network: Any = FakeNetwork()
    agent, _ = make_agent(Clock(ends=[5]), Clock(ends=[6]), network=network)
    statistics = Statistics(agent, network, None)
    agent.callbacks = [statistics]
    run(agent, statistics, "test", 1, 6)  # three steps each: 4 5 | 9 and 4 5 6
    assert statistics.scores == [9, 15]
    row = statistics.rows[0]
    assert (row["steps"], row["nr_games"], row["average_reward"]) == (6, 2, 12)
    assert statistics.running == [9, 0]


def test_without_network_and_memory_their_columns_are_zero() -> None:
    agent, _ = make_agent(Clock())
    row = Statistics(agent, None, None).row("test", 1)
    names = ("replay_memory_count", "meanq", "meancost", "weight_updates", "steps_per_second")
    assert [row[name] for name in names] == [0] * 5


class EchoNetwork(FakeNetwork):
    """Q is the time that the state shows, at one action; it counts up with each prediction."""

    offset = 0.0

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        q = np.full((len(states), 3), -1, np.float32)
        q[:, 1] = states[:, -1, 0, 1] + self.offset
        return q


def test_mean_q_is_of_the_same_states_in_the_whole_run() -> None:
    network = EchoNetwork()
    agent, statistics = make(network=network, memory=make_memory(batch_size=4))
    run(agent, statistics, "random", 0, 50)
    states = statistics.validation_states
    assert states is not None
    assert states.shape == (4, 2, 1, 2)
    expected = np.mean([times(state)[-1] for state in states])
    assert statistics.rows[0]["meanq"] == expected
    network.offset = 100.0
    run(agent, statistics, "train", 1, 50)
    assert statistics.rows[1]["meanq"] == expected + 100


def test_too_few_random_steps_put_mean_q_off() -> None:
    agent, statistics = make(memory=make_memory(batch_size=4))
    run(agent, statistics, "random", 0, 4)
    run(agent, statistics, "train", 1, 1)
    assert [row["meanq"] for row in statistics.rows] == [0.0, 1.5]


def test_rows_are_on_the_disk_as_soon_as_their_phase_is_over(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    agent, statistics = make(path)
    for epoch in (1, 2, 3):
        run(agent, statistics, "test", epoch, 5)
        assert [row["epoch"] for row in read(path)] == ["1", "2", "3"][:epoch]
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("resumable", [False, True])
def test_an_interrupted_phase_has_its_row_now_or_when_it_is_resumed(
    tmp_path: Path, resumable: bool
) -> None:
    agent, statistics = make(tmp_path / "run.csv")
    statistics.resumable = resumable
    agent.stop()
    run(agent, statistics, "test", 1, 5)
    assert len(statistics.rows) == (not resumable)
    assert (tmp_path / "run.csv").exists() is not resumable


def test_a_phase_that_is_not_counted_leaves_no_row_and_no_score_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That in which a resumed run fills its replay memory again."""
    caplog.set_level(logging.INFO)
    agent, statistics = make(tmp_path / "run.csv", ends=(5, 10, 15), memory=make_memory())
    refill = Phase("random", 0, 9, refills=True)
    statistics.on_phase_start(refill)
    agent.fill_memory(9)
    statistics.on_phase_end(refill)
    assert not statistics.rows
    assert caplog.messages == ["filling the replay memory with the loaded policy, 9 steps"]
    assert not (tmp_path / "run.csv").exists()
    run(agent, statistics, "train", 3, 4)
    assert [(row["epoch"], row["steps"]) for row in statistics.rows] == [(3, 4)]


def test_a_full_disk_keeps_the_old_file_and_the_row_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "run.csv"
    agent, statistics = make(path)
    run(agent, statistics, "test", 1, 5)
    whole = path.read_bytes()

    def full(path: Path, data: bytes) -> None:
        raise NotWritten(OSError(errno.ENOSPC, "No space left on device"), path, data)

    with monkeypatch.context() as disk:
        disk.setattr("runs.owed.write_atomically", full)
        run(agent, statistics, "test", 2, 5)
    assert path.read_bytes() == whole
    assert f"Cannot write {path} (No space left on device)" in caplog.text
    run(agent, statistics, "test", 3, 5)
    assert [row["epoch"] for row in read(path)] == ["1", "2", "3"]


def test_a_phase_is_logged_in_a_line_of_what_was_measured_in_it(
    caplog: pytest.LogCaptureFixture, watch: type[Stopwatch]
) -> None:
    caplog.set_level(logging.INFO)
    agent, statistics = make(ends=(6, 12, 23), memory=make_memory(batch_size=4))
    run(agent, statistics, "random", 0, 6, seconds=3.0)
    run(agent, statistics, "train", 1, 4, seconds=2.0)
    run(agent, statistics, "test", 1, 4, seconds=2.0)
    assert caplog.messages[1::2] == [
        "  2 episodes, average score 24.00 (15 to 33), mean Q 1.500, 2 steps/s",
        "  no episode ended, score so far 70, mean Q 1.500, loss 0.1250, 2 steps/s",
        "  1 game, average score 23.00 (23 to 23), mean Q 1.500, 2 steps/s",
    ]


def test_a_phase_that_learned_nothing_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    network = FakeNetwork([0, 0.25, 1.5], cost=0.0)
    agent, statistics = make(network=network, memory=make_memory(batch_size=50))
    run(agent, statistics, "train", 1, 4)
    assert ", no weight updates, " in caplog.messages[-1]


def earlier_run(path: Path) -> None:
    """Rows of the random phase and two epochs."""
    agent, statistics = make(path, memory=make_memory())
    run(agent, statistics, "random", 0, 20, seconds=5.0)
    for epoch in (1, 2):
        run(agent, statistics, "train", epoch, 5, seconds=5.0)
        run(agent, statistics, "test", epoch, 5, seconds=5.0)


def test_a_resumed_run_writes_after_the_earlier_rows(
    watch: type[Stopwatch], tmp_path: Path
) -> None:
    path = tmp_path / "run.csv"
    earlier_run(path)
    before = path.read_text()
    agent, statistics = make(path, memory=make_memory())
    statistics.continue_after(2)
    assert list(tmp_path.iterdir()) == [path]
    run(agent, statistics, "test", 3, 5, seconds=5.0)
    assert path.read_text().startswith(before)
    rows = read(path)
    assert [row["epoch"] for row in rows] == ["0", "1", "1", "2", "2", "3"]
    assert [float(row["total_time"]) for row in rows] == [5, 10, 15, 20, 25, 30]


def test_rows_of_later_epochs_are_set_aside_and_never_lost(tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    for _ in range(2):
        earlier_run(path)
        whole = path.read_text()
        agent, statistics = make(path)
        statistics.continue_after(1)
        run(agent, statistics, "test", 2, 5)
        assert [row["epoch"] for row in read(path)] == ["0", "1", "1", "2"]
    asides = [tmp_path / f"run.csv.before_epoch_2{end}" for end in ("", "_")]
    assert sorted(tmp_path.iterdir()) == [path, *asides]
    assert len(read(asides[0])) == 5
    assert asides[1].read_text() == whole


def test_a_resumed_run_may_find_no_csv_or_an_empty_one(tmp_path: Path) -> None:
    make()[1].continue_after(1)
    path = tmp_path / "run.csv"
    for _ in range(2):
        _, statistics = make(path)
        statistics.continue_after(1)
        assert statistics.rows == []
        path.touch()


HEADER = ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize(
    "content",
    [
        b"name,epoch\n",
        b"epoch,score\n1,2\n",
        b"epoch,score\n7,2\n",
        b"some text\n",
        b"\xff\xfe\x00binary",
        HEADER.encode() + b"1,train,5\n",
        HEADER.encode() + b"1,train,5\n1,test" + b",1" * 14 + b"\n",
        HEADER.encode() + b"1,train" + b",1" * 14 + b",too,many\n",
        HEADER.encode() + b"one,train" + b",1" * 14 + b"\n",
        HEADER.encode() + b"1,train" + b",x" * 14 + b"\n",
    ],
)
def test_a_foreign_csv_is_refused_and_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    path.write_bytes(content)
    _, statistics = make(path)
    with pytest.raises(UserError, match="is not the CSV of an earlier run"):
        statistics.continue_after(3)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_state_counts_on(watch: type[Stopwatch], tmp_path: Path) -> None:
    agent, one = make(tmp_path / "one.csv", ends=(6, 10))
    run(agent, one, "test", 1, 2, seconds=7.0)
    one.on_phase_start(Phase("test", 2, 9))
    agent.test(5)
    watch.now += 5.0
    state = one.get_state()
    _, other = make(tmp_path / "other.csv")
    watch.now += 100.0  # between the two runs
    other.set_state(state)
    assert (tmp_path / "other.csv").read_text() == (tmp_path / "one.csv").read_text()
    other.on_phase_start(Phase("test", 2, 9))
    assert other.num_steps == 5
    row = other.row("test", 2)
    assert (row["total_time"], row["epoch_time"]) == (12.0, 5.0)
    assert (other.scores, other.running) == (one.scores, one.running)
