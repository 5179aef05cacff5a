"""Games in worker processes against the same games in this one; and what becomes of the workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agent import Agent
from commands.presets import resolve
from config import ROOT, AgentSettings, Config
from envs import parallel as side_by_side
from envs import remote_game
from envs.parallel import Playable, make_games, start_workers
from envs.remote_game import RemoteGame
from envs.roms import find_rom
from envs.worker import make_game
from errors import PartDied, UserError
from game import Step
from main import main
from replay_memory import Minibatch, ReplayMemory
from tests.toys import make_memory

ROM = find_rom("breakout")
GAMES, WORKERS = 3, 2
SMALL = Config(
    game="breakout",
    num_envs=GAMES,
    random_seed=5,
    screen_width=36,
    screen_height=36,
    random_starts=6,
    repeat_action_probability=0.25,
    max_episode_frames=240,
)

CATCH = replace(
    SMALL,
    environment="examples/catch.py:Catch",
    game="catch",
    frame_skip=None,
    repeat_action_probability=None,
)
TWO = replace(SMALL, num_envs=2)  # each at a worker of its own


def remote(config: Config = SMALL, rom: Path | None = ROM) -> list[RemoteGame]:
    return start_workers(config, rom, min(WORKERS, config.num_envs))


def local(config: Config = SMALL, rom: Path | None = ROM) -> list[Any]:
    return [make_game(config, rom, number) for number in range(config.num_envs)]


def plain(step: Step) -> tuple[Any, ...]:
    opening = [plain(each) for each in step.opening]
    return step.reward, step.screen.tobytes(), step.terminal, step.ended, opening


def play(games: Sequence[Playable], steps: int, playing: Sequence[int], seed: int = 0) -> list[Any]:
    """All that the agent sees of random play in the games `playing`."""
    rng = np.random.default_rng(seed)
    seen: list[Any] = []
    for _ in range(steps):
        for i in playing:
            games[i].send(int(rng.integers(len(games[i].environment.action_names))))
        for i in playing:
            seen.append((plain(games[i].receive()), games[i].buffer.state().tobytes()))
    return seen


def process_ids(games: Sequence[RemoteGame]) -> set[int]:
    return {game.worker.process.pid for game in games}


@pytest.mark.parametrize("changes", [{}, {"zero_history": True, "history_length": 2}])
def test_games_are_the_same_in_workers_as_in_this_process(changes: dict[str, Any]) -> None:
    config = replace(SMALL, **changes)
    here, there = local(config), remote(config)
    assert len(process_ids(there)) == WORKERS
    assert there[0].environment.action_names == here[0].environment.action_names
    for mode, playing in (("train", range(GAMES)), ("test", [0, 2])):
        for a, b in zip(here, there, strict=True):
            a.set_mode(mode)
            b.set_mode(mode)
        for i in playing:
            mine, theirs = here[i].start(), there[i].start()
            assert [plain(step) for step in mine] == [plain(step) for step in theirs]
        seen = play(here, 60, playing)
        assert seen == play(there, 60, playing)
        assert any(step[3] for step, _ in seen)  # an episode ended


@pytest.mark.parametrize("world", ["breakout", "catch"])
def test_a_game_by_itself_is_the_same_here_in_a_worker_and_beside_others(world: str) -> None:
    config, rom = (SMALL, ROM) if world == "breakout" else (CATCH, None)
    one = replace(config, num_envs=1)
    (here,), there, beside = make_games(one, rom), remote(one, rom), remote(config, rom)
    assert not isinstance(here, RemoteGame)
    games = (here, there[0], beside[0])
    for mode in ("train", "test"):
        seen = []
        for game in games:
            game.set_mode(mode)
            opening = [plain(step) for step in game.start()]
            seen.append((opening, play([game], 80, [0])))
        assert seen[0] == seen[1] == seen[2]
        assert len({step[1] for step, _ in seen[0][1]}) > 10, "screens differ"
        assert any(step[3] for step, _ in seen[0][1]), "an episode ended"
    mine, *others = (game.get_state() for game in games)
    for state in others:
        np.testing.assert_equal(state, mine)


def test_a_game_moves_between_this_process_and_a_worker() -> None:
    one = replace(SMALL, num_envs=1)
    (here,), (there,) = local(one), remote(one)
    for game, other in ((here, there), (there, here)):
        game.set_mode("train")
        game.start()
        play([game], 30, [0])
        other.set_state(game.get_state())
        assert play([other], 50, [0], seed=1) == play([game], 50, [0], seed=1)


class Memorizer:
    """A network whose Q-values depend on every pixel, and which keeps what it learns from."""

    def __init__(self) -> None:
        self.learned: list[bytes] = []
        self.copies: list[int] = []

    def predict(self, states: NDArray[np.uint8], training: bool = False) -> NDArray[np.float32]:
        sums = states.reshape(len(states), -1).astype(np.int64).sum(axis=1)
        return np.stack([sums % prime for prime in (7, 11, 13, 17)], axis=1).astype(np.float32)

    def train(self, minibatch: Minibatch) -> None:
        m = minibatch
        parts = (m.screens, m.actions, m.returns, m.discounts, m.indices)
        self.learned.append(b"".join(part.tobytes() for part in parts))

    def update_target_network(self) -> None:
        self.copies.append(len(self.learned))


def learn(games: Sequence[Playable]) -> tuple[Memorizer, ReplayMemory]:
    memory = make_memory(size=150, games=len(games), history_length=4, screen=(36, 36))
    network: Any = Memorizer()
    agent = Agent(
        AgentSettings(exploration_decay_steps=100, target_steps=40),
        games=games,
        memory=memory,
        network=network,
        num_actions=4,
        rng=np.random.default_rng(2),
    )
    agent.fill_memory(60)
    agent.train(120)
    agent.test(60)
    agent.train(60)
    assert agent.total_train_steps == 180
    return network, memory


@pytest.mark.parametrize("num_envs", [1, GAMES])
def test_an_agent_learns_the_same_from_games_in_workers(num_envs: int) -> None:
    config = replace(SMALL, num_envs=num_envs)
    (mine, my_memory), (theirs, their_memory) = learn(local(config)), learn(remote(config))
    assert mine.learned == theirs.learned
    for name in ("actions", "rewards", "terminals", "begins"):
        assert np.array_equal(getattr(my_memory, name), getattr(their_memory, name))
    # Updates and copies are those of one game: 4 and 40 steps apart, whatever is done at once.
    assert len(mine.learned) == 180 // 4
    assert mine.copies == [0, 10, 20, 30, 40]


def test_a_game_continues_where_its_state_was_taken() -> None:
    games = remote(TWO)
    for game in games:
        game.set_mode("train")
        game.start()
    play(games, 20, range(2))
    states = [game.get_state() for game in games]
    seen = play(games, 30, range(2), seed=1)
    for game, state in zip(games, states, strict=True):
        game.set_state(state)
    assert play(games, 30, range(2), seed=1) == seen
    states[0]["environment"] = b"nonsense"
    with pytest.raises(ValueError, match="emulator's state"):
        games[0].set_state(states[0])


def test_workers_outlive_signals_but_neither_their_games_nor_being_killed() -> None:
    games = remote(TWO)
    processes = [game.worker.process for game in games]
    for process in processes:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
        maps = Path(f"/proc/{process.pid}/maps")
        if maps.exists():
            assert "torch" not in maps.read_text()
    for game in games:
        game.start()
    play(games, 5, range(2))
    processes[0].kill()
    with pytest.raises(PartDied, match=r"played game 0 was ended by SIGKILL, .* memory"):
        play(games, 5, range(2))
    del game, games
    assert [process.poll() for process in processes] == [-signal.SIGKILL, 0]


def test_a_worker_killed_in_the_middle_of_an_answer_is_gone_too() -> None:
    worker = remote(TWO)[0].worker
    worker.connection, theirs = multiprocessing.Pipe()
    os.write(theirs.fileno(), struct.pack("!i", 100_000) + b"the first of these bytes")
    theirs.close()
    worker.process.kill()
    with pytest.raises(PartDied, match="was ended by SIGKILL"):
        worker.take(0)


def test_workers_import_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("config", "game", "random", "mmap"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('executed')")
    monkeypatch.chdir(tmp_path)
    remote(TWO)[0].start()


OWN = """
import os
import numpy as np
class World:
    action_names = ["stay", "go"]
    def __init__(self):
        self.steps = 0
    def restart(self):
        pass
    def act(self, action):
        self.steps += 1
        if self.steps == {steps}:
            {end}
        return 0.0
    def screen(self):
        return np.zeros((36, 36), np.uint8)
    def is_terminal(self):
        return False
"""


def own(folder: Path, *, steps: int, end: str) -> Config:
    file = folder / "own.py"
    file.write_text(OWN.format(steps=steps, end=end))
    return replace(SMALL, environment=f"{file}:World", repeat_action_probability=0.0)


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        ("raise KeyError('door')", UserError, "Game 0 stopped with the error above, KeyError: 'do"),
        (
            "os._exit(3)",
            PartDied,
            "played games 0, 2 ended with code 3: everything saved is",
        ),
    ],
)
def test_an_environment_that_fails_is_reported(
    tmp_path: Path, end: str, error: type[Exception], message: str
) -> None:
    games = remote(own(tmp_path, steps=400, end=end), None)
    with pytest.raises(error, match=message):
        play(games, 100, range(GAMES))


def test_a_game_that_does_not_answer_is_reported_until_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote_game, "SILENCE", 0.05)
    games = remote(own(tmp_path, steps=1, end="import time; time.sleep(0.5)"), None)
    games[0].send(0)
    games[0].receive()
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said
    assert all("plays games 0, 2 has not answered" in message for message in said)


def test_an_environment_that_cannot_be_made_is_reported(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match=r"own.py:World stopped with the error above"):
        remote(own(tmp_path, steps=1, end="raise KeyError('door')"), None)
    assert "KeyError: 'door'" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_worker_outlives_a_main_process_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import sys, time
sys.path.insert(0, {str(ROOT / "src")!r})
from pathlib import Path
from config import Config
from envs import remote_game
from envs.parallel import start_workers
games = start_workers(Config(num_envs=2, random_seed=1), Path({str(ROM)!r}), 1)
print(games[0].worker.process.pid, flush=True)
time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout
        worker = Path("/proc", process.stdout.readline().decode().strip(), "fd", "0")
        assert worker.exists()
        process.kill()
    for _ in range(500):
        if not worker.exists():  # not even as a zombie would it have files
            return
        time.sleep(0.01)
    pytest.fail("the worker is still there")


def test_without_processes_the_games_are_played_here(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(11, os.strerror(11))

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(side_by_side, "cores", lambda: 2)
    games = make_games(SMALL, ROM)
    assert not any(isinstance(game, RemoteGame) for game in games)
    assert len(games) == GAMES
    assert "Cannot start 2 processes" in caplog.text


def test_too_many_games_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(**flags: Any) -> None:
        resolve({"game": "breakout", **flags}, {})

    monkeypatch.setattr(side_by_side, "free_memory", lambda: 10**9)
    with pytest.raises(UserError, match=r"1.0 GB are free: use at most --num_envs \d"):
        make_games(replace(SMALL, num_envs=10_000), ROM)
    with pytest.raises(UserError, match="500 steps, 10 for each of --num_envs 50"):
        check(num_envs=50, replay_size=100)
    with pytest.raises(UserError, match="more than --test_steps 9"):
        check(num_envs=10, test_steps=9)
    with pytest.raises(UserError, match="Only one game can be watched"):
        check(num_envs=2, display_screen=True)
    check(num_envs=10, test_steps=0)


def test_a_run_with_several_games(tmp_path: Path) -> None:
    csv = tmp_path / "run.csv"
    flags = f"""breakout --num_envs 3 --random_seed 1 --screen_width 36 --screen_height 36
    --replay_size 300 --random_steps 60 --train_steps 40 --test_steps 30 --epochs 1 --backend cpu
    --threads 1 --csv_file {csv}""".split()
    assert main(flags) == 0
    rows = [line.split(",") for line in csv.read_text().splitlines()[1:]]
    assert [(row[1], row[2], row[8], row[12]) for row in rows] == [
        ("random", "60", "0", "0"),
        ("train", "42", "42", "11"),  # 14 rounds of 3 games
        ("test", "30", "42", "11"),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_workers_find_what_the_users_own_path_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    (game,) = remote(replace(SMALL, num_envs=1))
    environment = Path(f"/proc/{game.worker.process.pid}/environ").read_bytes().split(b"\0")
    assert f"PYTHONPATH={ROOT / 'src'}{os.pathsep}/somewhere".encode() in environment
