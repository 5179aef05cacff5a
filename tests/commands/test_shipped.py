"""The agents that come with the project, found by the game's name."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

import pytest

from commands import verbs
from commands.shipped import choose_agent, find_agent, shipped_agents
from commands.verbs import parse
from config import ROOT
from errors import UserError

HEADER = "epoch,phase,average_reward\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def agents(home: Path) -> Path:
    """Two agents of Pong, the second one better, and one of a game whose name has an underscore."""
    folder = home / "agents"
    folder.mkdir()
    for name, epoch, score in (
        ("pong_seed1", 9, -3.0),
        ("pong_seed2", 10, 18.5),
        ("space_invaders_nature", 2, 400),
    ):
        (folder / f"{name}_{epoch}.pkl").touch()
        rows = f"1,test,99\n{epoch},train,77\n{epoch},test,{score}\n"
        (folder / f"{name}.csv").write_text(HEADER + rows)
    (folder / "pong_seed2_2.pkl").touch()  # an earlier snapshot of the same run
    (folder / "notes_1.pkl").touch()  # of no game
    return folder


def test_agents_are_known_by_game_the_best_first(agents: Path) -> None:
    found = [(each.path.name, each.game, each.epoch, each.score) for each in shipped_agents(agents)]
    assert found == [
        ("pong_seed2_10.pkl", "pong", 10, 18.5),
        ("pong_seed1_9.pkl", "pong", 9, -3.0),
        ("space_invaders_nature_2.pkl", "space_invaders", 2, 400.0),
    ]
    assert find_agent(agents, "roms/Pong.bin") == agents / "pong_seed2_10.pkl"
    assert find_agent(agents, "breakout") is None
    (agents / "pong_seed2.csv").write_text("nothing of use")
    assert {each.score for each in shipped_agents(agents) if each.epoch == 10} == {None}


def test_train_lists_games_scores_and_agents(
    agents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse("train", ["--list"])
    assert left.value.code == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    pong = ["pong", "-20.7", "14.6", "agents/pong_seed2_10.pkl", "18.5", "and", "1", "more"]
    assert lines["pong"] == pong
    assert lines["breakout"] == ["breakout", "1.7", "30.5"]
    assert lines["tetris"] == ["tetris", "-", "-"]
    assert len([name for name in lines if name == name.lower()]) >= 104


@pytest.mark.parametrize("verb", ["test", "play", "record", "nvis"])
def test_a_games_name_means_its_agent(
    verb: str, agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "ROOT", ROOT)
    task = parse(verb, ["breakout"])
    agent = find_agent(ROOT / "agents", "breakout")
    assert (task.config.load_weights, task.game) == (agent, "breakout")


def test_play_without_an_agent_says_how_to_play_alone(home: Path) -> None:
    with pytest.raises(UserError, match=r"No agent of seaquest comes .* with --alone"):
        parse("play", ["seaquest"])


def test_somebody_at_a_terminal_chooses(
    agents: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    for answer, name in (("2\n", "pong_seed1_9.pkl"), ("\n", "pong_seed2_10.pkl")):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        assert choose_agent(agents, "./play.sh").name == name
    told = capsys.readouterr().err
    assert (
        "  1  pong             pong_seed2_10.pkl: epoch 10, mean score 18.5 (a human: 14.6)" in told
    )
    for answer in ("4\n", "0\n", "-1\n", "pong\n", "9" * 5000):
        monkeypatch.setattr(sys, "stdin", Terminal(answer))
        with pytest.raises(UserError, match=r"a number from 1 to 3, or call it as \./play\.sh"):
            choose_agent(agents, "./play.sh")


def test_nobody_is_asked_where_there_is_no_terminal(
    agents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("1\n"))
    with pytest.raises(UserError, match="Agents of pong, space_invaders come with the project"):
        parse("play", [])
    with pytest.raises(UserError, match=r"^Name a snapshot or a game: \./test\.sh pong\. "):
        parse("test", [])
    shutil.rmtree(agents)
    with pytest.raises(UserError, match=r"^Name a snapshot: \./nvis\.sh snapshots/"):
        parse("nvis", [])


def test_a_resumed_agent_writes_where_runs_do(agents: Path, home: Path) -> None:
    shutil.copy(ROOT / "tests" / "golden" / "rmsprop_end.pkl", agents / "pong_seed1_9.pkl")
    config = parse("resume", [str(agents / "pong_seed1_9.pkl")]).config
    assert config.save_weights_prefix == home / "snapshots" / "pong_seed1"
    assert config.csv_file == home / "results" / "pong_seed1.csv"
    (home / "results").mkdir()
    (home / "results" / "pong_seed1.csv").touch()
    with pytest.raises(UserError, match="A run pong_seed1 already exists"):
        parse("resume", [str(agents / "pong_seed1_9.pkl")])


def test_shipped_agents_are_whole() -> None:
    found = shipped_agents(ROOT / "agents")
    assert {agent.game for agent in found} >= {"breakout", "pong"}
    for agent in found:
        assert agent.score is not None
        assert agent.path.with_name(f"{agent.path.stem.rpartition('_')[0]}.json").is_file()
