"""Environments of your own: the walk-through of docs/, what may be left out, what is refused."""

from __future__ import annotations

import csv
import re
import shlex
import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import main
from commands.verbs import parse
from config import EnvironmentSettings
from environment import Environment
from envs.custom import make_own_environment
from envs.preprocessing import TRIAL_STEPS, PreprocessedEnvironment
from errors import UserError
from game import Game
from palette import ALE_LUMA
from user_code.load import code_name
from user_code.trust import trusted_game
from watch.frames import Frame

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "your_own_environment.md").read_text()
CATCH = "examples/catch.py:Catch"


class Corridor:
    """A walk of `length` steps; the screen's brightness is where one is. Optional parts by need."""

    def __init__(self, length: int = 5, shape: tuple[int, ...] = (40, 30)) -> None:
        self.action_names: Any = ["NOOP", "RIGHT"]
        self.length = length
        self.picture = np.zeros(shape, np.uint8)
        self.games = 0

    def restart(self) -> None:
        self.position = 0
        self.games += 1

    def act(self, action: int) -> float:
        self.position += 1
        return float(action)

    def screen(self) -> Any:
        return self.picture + np.uint8(self.position)

    def is_terminal(self) -> bool:
        return self.position >= self.length


def settings(**flags: Any) -> EnvironmentSettings:
    """Every act of a world is a step unless `flags` say otherwise."""
    own: dict[str, Any] = dict(frame_skip=None, repeat_action_probability=None)
    return EnvironmentSettings(**own | flags)


def preprocess(world: Any, **flags: Any) -> PreprocessedEnvironment:
    environment = PreprocessedEnvironment(settings(**flags), world=world, name="corridor")
    world.games = 0
    return environment


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """Writes an environment's file and gives its name."""

    def write(body: str, name: str = "World", folder: Path = tmp_path) -> str:
        (folder / "world.py").write_text(textwrap.dedent(body))
        return code_name("environment", f"{folder / 'world.py'}:{name}")

    return write


def make(name: str, random_seed: int = 1, **flags: Any) -> PreprocessedEnvironment:
    return make_own_environment(settings(**flags), name=name, game="g", random_seed=random_seed)


# The walk-through of docs/your_own_environment.md


def test_the_page_shows_the_files_as_they_are() -> None:
    example = (ROOT / "examples" / "catch.py").read_text()
    assert f"```python\n{example}```" in DOCS
    assert f"```toml\n{(ROOT / 'examples' / 'catch.toml').read_text()}```" in DOCS
    assert f"{len(example.splitlines())} lines" in DOCS
    assert len(example.splitlines()) < 60


def test_catch_is_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = re.findall(r"^\./(train|test)\.sh (.*)$", DOCS, re.MULTILINE)
    (_, train), (_, test) = commands
    files = f"--csv_file {tmp_path}/catch.csv --save_weights_prefix {tmp_path}/catch"
    files += f" --checkpoint_path {tmp_path}/checkpoints"
    shorter = "--epochs 2 --random_seed 1 --threads 1"  # of 8
    monkeypatch.chdir(ROOT)
    assert main.main(["train", *shlex.split(f"{train} {files} {shorter}")]) == 0
    with (tmp_path / "catch.csv").open() as file:
        scores = [float(row["average_reward"]) for row in csv.DictReader(file)]
    assert scores[0] < 2, "at random, of -10 to 10"
    assert scores[-1] >= 9, "95 % caught; it was all of them wherever we looked"

    monkeypatch.chdir(tmp_path)  # the snapshot finds its environment from anywhere
    test = test.replace("snapshots/catch_8.pkl", "catch_2.pkl")
    capsys.readouterr()
    assert main.main(["test", *shlex.split(test), "--threads", "1"]) == 0
    mean = re.search(r"catch, 10 games\n  mean +([-.\d]+)", capsys.readouterr().out)
    assert mean
    assert float(mean[1]) >= 9


# What preprocessing adds


def test_five_names_are_enough() -> None:
    environment: Environment = preprocess(Corridor(3))
    assert environment.action_names == ("NOOP", "RIGHT")
    environment.set_mode("test")
    environment.restart()
    assert [environment.act(a) for a in (0, 1)] == [0.0, 1.0]
    assert (environment.is_terminal(), environment.is_truncated()) == (False, False)
    environment.act(0)
    assert (environment.is_terminal(), environment.is_truncated()) == (True, False)


@pytest.mark.parametrize("resize", ["bilinear", "area"])
def test_screens_are_ales_gray_in_the_agents_size(resize: str) -> None:
    rng = np.random.default_rng(1)
    rgb = rng.integers(0, 256, (21, 16, 3), np.uint8)
    flags = {"bilinear": cv2.INTER_LINEAR, "area": cv2.INTER_AREA}
    gray = np.round(rgb @ ALE_LUMA).astype(np.uint8)
    expected = cv2.resize(gray, (12, 14), interpolation=flags[resize])
    size: dict[str, Any] = dict(screen_width=12, screen_height=14, resize=resize)
    for picture in (rgb, rgb[::-1][::-1], gray, gray[..., None]):
        world: Any = Corridor()
        world.screen = lambda picture=picture: picture
        environment = preprocess(world, **size)
        assert environment.screen().dtype == np.uint8
        np.testing.assert_array_equal(environment.screen(), expected)
        assert environment.frame_rgb().shape == (21, 16, 3)
    world.screen = lambda: gray
    own_size = preprocess(world, screen_width=16, screen_height=21)
    np.testing.assert_array_equal(own_size.screen(), gray)


def test_actions_are_repeated_until_the_end() -> None:
    environment = preprocess(Corridor(5), frame_skip=3)
    assert environment.act(1) == 3.0
    assert environment.act(1) == 2.0
    assert environment.is_terminal()


def test_a_limit_cuts_games_short() -> None:
    environment = preprocess(Corridor(5), max_episode_frames=4, frame_skip=3)
    environment.act(0)
    assert not environment.is_terminal()
    environment.act(0)
    assert (environment.is_terminal(), environment.is_truncated()) == (True, True)
    environment.restart()
    assert not environment.is_terminal()
    exact = preprocess(Corridor(4), max_episode_frames=4, frame_skip=4)
    exact.act(0)
    assert (exact.is_terminal(), exact.is_truncated()) == (True, False), "the game's own end"


def test_a_world_may_tell_its_limit() -> None:
    world: Any = Corridor(2)
    world.is_truncated = lambda: True
    environment = preprocess(world)
    environment.act(0)
    assert not environment.is_truncated()
    environment.act(0)
    assert environment.is_truncated()


def test_a_lost_life_ends_the_episode_in_training_only() -> None:
    world: Any = Corridor(5)
    world.lives = lambda: 3 - world.position // 2
    environment = preprocess(world)

    def lost() -> list[bool]:
        environment.restart()
        return [bool(environment.act(0)) or environment.is_terminal() for _ in range(2)]

    environment.set_mode("train")
    assert lost() == [False, True]
    assert not environment.is_truncated()
    games = world.games
    assert lost() == [False, True]
    assert (world.games, world.position) == (games, 4), "the game continued"
    environment.restart()
    assert environment.act(0) == 0.0
    assert environment.is_terminal(), "the game is over"
    environment.restart()
    assert world.games == games + 1
    environment.set_mode("test")
    assert lost() == [False, False]
    assert lost() == [False, False]
    assert world.position == 2, "in testing each restart begins a game"


def test_a_lost_life_may_end_nothing_in_training_either() -> None:
    world: Any = Corridor(5)
    world.lives = lambda: 3 - world.position
    environment = preprocess(world, life_loss_terminal=False)
    environment.act(0)
    assert not environment.is_terminal()


@pytest.mark.parametrize(
    ("ends_step", "mode", "position"), [(True, "train", 2), (False, "train", 4), (True, "test", 4)]
)
def test_a_lost_life_may_end_a_step_in_training(ends_step: bool, mode: str, position: int) -> None:
    world: Any = Corridor(9)
    world.lives = lambda: 3 if world.position < 2 else 2
    environment = preprocess(world, frame_skip=4, life_loss_ends_step=ends_step)
    environment.set_mode(mode)
    assert environment.act(1) == world.position == position
    assert environment.is_terminal() == (mode == "train")


def test_a_life_lost_in_the_step_that_max_episode_frames_cuts_stays_terminal() -> None:
    for mode, truncated in (("train", False), ("test", True)):
        world: Any = Corridor(9)
        world.lives = lambda world=world: 3 if world.position < 4 else 2
        environment = preprocess(world, max_episode_frames=4, frame_skip=2)
        environment.set_mode(mode)
        environment.restart()
        environment.act(0)
        assert not environment.is_terminal()
        environment.act(0)
        assert (world.position, environment.is_terminal()) == (4, True)
        assert environment.is_truncated() == truncated
        environment.restart()
        assert (world.position, environment.is_terminal()) == (0, False), "another game"


def test_a_life_lost_in_the_step_that_is_cut_is_terminal_for_the_replay_memory() -> None:
    world: Any = Corridor(9)
    world.lives = lambda: 3 if world.position < 4 else 2
    flags = settings(
        max_episode_frames=4,
        frame_skip=2,
        random_starts=0,
        zero_history=True,
        screen_width=30,
        screen_height=40,
    )
    environment = PreprocessedEnvironment(flags, world=world, name="corridor")
    game = Game(flags, environment=environment, rng=np.random.default_rng(0))
    game.start()
    found = []
    for _ in range(2):
        game.send(0)
        step = game.receive()
        found.append((step.terminal, step.ended))
    assert found == [(False, False), (True, True)]


def test_frames_are_shown_to_listeners() -> None:
    frames: list[Frame] = []
    environment = preprocess(Corridor(), frame_skip=2)
    environment.frame_listeners.append(frames.append)
    environment.act(0)
    assert [frame.rgb.shape for frame in frames] == [(40, 30, 3)] * 2
    assert [int(frame.rgb[0, 0, 0]) for frame in frames] == [1, 2]
    assert frames[0].audio is None


def test_a_world_may_show_itself() -> None:
    world: Any = Corridor()
    world.frame_listeners, world.frames_per_second = [], 60
    world.frame_rgb = lambda: np.zeros((4, 4, 3), np.uint8)
    environment = preprocess(world)
    assert environment.frame_listeners is world.frame_listeners
    assert environment.frames_per_second == 60
    assert environment.frame_rgb().shape == (4, 4, 3)
    frames: list[Frame] = []
    environment.frame_listeners.append(frames.append)
    environment.act(0)
    assert frames == [], "it is the world's to show"


def test_a_world_that_can_save_its_state_resumes() -> None:
    assert not hasattr(preprocess(Corridor()), "save_state")
    world: Any = Corridor(9)
    world.save_state = lambda: bytes([world.position])
    assert not hasattr(preprocess(world), "save_state"), "it could not be loaded"
    world.load_state = lambda state: setattr(world, "position", state[0])
    environment: Any = preprocess(world, max_episode_frames=3)
    environment.act(0)
    environment.act(0)
    state = environment.save_state()
    environment.restart()
    environment.load_state(state)
    assert world.position == 2
    environment.act(0)
    assert environment.is_truncated(), "the frames count on"
    for damaged in (b"", state[:3], state[:9], b"\xff" * 20):
        with pytest.raises(ValueError, match="damaged"):
            environment.load_state(damaged)


def test_a_world_may_draw_all_its_pictures_in_one_array() -> None:
    class World:
        action_names = ("stay", "go")
        picture = np.zeros((36, 36), np.uint8)

        def restart(self) -> None:
            self.picture[:] = 10

        def act(self, action: int) -> float:
            self.picture += 1
            return 0.0

        def screen(self) -> NDArray[np.uint8]:
            return self.picture

        def is_terminal(self) -> bool:
            return False

    settings = EnvironmentSettings(screen_width=36, screen_height=36, frame_skip=1)
    environment = PreprocessedEnvironment(settings, world=World(), name="world")
    environment.restart()
    screens = [environment.screen()]
    for _ in range(3):
        environment.act(0)
        screens.append(environment.screen())
    assert [int(screen[0, 0]) for screen in screens] == [10, 11, 12, 13]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"action_names": "NOOP"}, "list of words"),
        ({"action_names": [1, 2]}, "list of words"),
        ({"action_names": []}, "has 0 actions"),
        ({"action_names": ["a"] * 257}, "has 257 actions"),
        ({"screen": lambda: np.zeros((4, 5, 2), np.uint8)}, r"shape \(4, 5, 2\)"),
        ({"screen": lambda: np.zeros((4, 5))}, "type float64"),
        ({"screen": lambda: None}, "type object"),
        ({"frame_rgb": lambda: np.zeros((4, 5, 3))}, "frame_rgb returned .* type float64"),
        ({"frames_per_second": 0}, "frames_per_second of .* is 0: it must be a number from"),
        ({"frames_per_second": "fast"}, "frames_per_second of .* is 'fast'"),
        ({"act": lambda action: float("nan")}, "reward nan"),
        ({"act": lambda action: None}, "reward None: it must be a number"),
        ({"act": lambda action: 1e39}, r"reward 1e\+39: .* from -1e\+09 to 1e\+09"),
    ],
)
def test_an_unfit_world_is_refused(change: dict[str, Any], says: str) -> None:
    world = Corridor()
    for name, value in change.items():
        setattr(world, name, value)
    with pytest.raises(UserError, match=says):
        preprocess(world)


def test_an_error_in_load_state_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    world: Any = Corridor()
    world.save_state, world.load_state = lambda: b"", lambda state: int("x")
    environment: Any = preprocess(world)
    with pytest.raises(UserError, match="stopped with the error above"):
        environment.load_state(environment.save_state())
    assert "ValueError: invalid literal" in capsys.readouterr().err


def test_a_state_that_is_no_bytes_is_refused() -> None:
    world: Any = Corridor()
    world.save_state, world.load_state = lambda: 10, lambda state: None
    with pytest.raises(UserError, match="save_state returned 10: it must be bytes"):
        preprocess(world)


@pytest.mark.parametrize(
    ("method", "wrong", "says"),
    [
        ("is_truncated", False, "is_truncated is False: make it a method"),
        ("set_mode", lambda: None, "stopped with the error above"),
        ("is_truncated", lambda limit: True, "stopped with the error above"),
        ("save_state", lambda path: b"", "stopped with the error above"),
    ],
)
def test_mistakes_in_optional_methods_show_before_the_run(
    method: str, wrong: Any, says: str
) -> None:
    world: Any = Corridor()
    world.load_state = lambda state: None
    setattr(world, method, wrong)
    with pytest.raises(UserError, match=says):
        preprocess(world)


def test_screens_keep_their_shape_and_actions_their_names() -> None:
    world: Any = Corridor()
    world.screen = lambda: world.picture[world.position :]
    with pytest.raises(UserError, match=r"from \(40, 30\) to \(39, 30\)"):
        preprocess(world)
    world = Corridor()
    environment = preprocess(world)
    world.action_names = ["NOOP", "LEFT"]
    with pytest.raises(UserError, match="NOOP, RIGHT and cannot learn others"):
        environment.restart()
    for names in (lambda: ["NOOP"], None, "NOOP", ["NOOP", ""], ["NOOP", 1]):
        world = Corridor()
        world.action_names = names
        with pytest.raises(UserError, match="must be a list of words"):
            preprocess(world)


# Where it comes from and how it is made


def test_it_is_given_what_it_names(write: Callable[..., str]) -> None:
    body = """
    from beside import Catch
    class World(Catch):
        def __init__(self, game, *, screen_width, random_seed, frame_skip{}, mine=7):
            super().__init__()
            self.given = (game, screen_width, random_seed, frame_skip, mine)
    """
    name = write(body.format("=5"))
    shutil.copy(ROOT / "examples" / "catch.py", Path(name).with_name("beside.py"))
    for frame_skip, given in ((None, 5), (2, 2)):
        environment: Any = make(name, frame_skip=frame_skip, screen_width=36)
        assert environment.world.given == ("g", 36, 1, given, 7)
        assert environment.frame_skip == 1, "not applied twice"
    environment = make(write(body.format("")))
    assert environment.world.given[3] == 1


def test_actions_are_repeated_for_a_class_without_frame_skip() -> None:
    assert make(CATCH, frame_skip=3).frame_skip == 3
    assert make(CATCH).frame_skip == 1


def test_the_seed_decides() -> None:
    def columns(seed: int) -> list[int]:
        environment: Any = make(CATCH, random_seed=seed)
        found = []
        for _ in range(90):
            environment.act(0)
            found.append(environment.world.column)
        return found

    assert columns(1) == columns(1) != columns(2)


@pytest.mark.parametrize(
    ("body", "says", "shows"),
    [
        ("import nothing_of_that_name", "world.py stopped", "import nothing_of_that_name"),
        ("class World:\n    def (", "world.py stopped", "def ("),
        ("raise SystemExit(3)", "world.py stopped", "raise SystemExit(3)"),
        ("World = 3\nclass Word: pass", "no World in .* It has Word", ""),
        ("class World:\n    def __init__(self): 1 / 0", "World stopped", "1 / 0"),
        ("class World:\n    def __init__(self, size): pass", "requires the argument size", ""),
        ("class World: pass", "lacks action_names, restart, act, screen, is_terminal", ""),
        (
            """
            class World:
                action_names = ["NOOP"]
                def restart(self): pass
                def act(self, action): return self.nothing
                def screen(self): import numpy; return numpy.zeros((3, 3), "uint8")
                def is_terminal(self): return False
            """,
            "World stopped",
            "return self.nothing",
        ),
    ],
)
def test_an_error_in_the_file_is_shown_as_it_is(
    write: Callable[..., str], body: str, says: str, shows: str, capsys: Any
) -> None:
    name = write(body)
    with pytest.raises(UserError, match=says):
        make(name)
    shown = capsys.readouterr().err
    assert shows in shown
    assert str(ROOT / "src") not in shown, "our own lines say nothing to its author"


def test_an_error_ends_the_program_before_the_work(
    write: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    name = write("class World: 1 / 0")
    assert main.main(["x", "--environment", name, "--replay_size", "1000"]) == 2
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert shown.splitlines()[-1].startswith("run: ")


@pytest.mark.parametrize("error", ["1 / 0", "raise SystemExit"])
def test_an_error_during_the_work_says_whose_it_is(
    write: Callable[..., str], home: Path, capsys: pytest.CaptureFixture[str], error: str
) -> None:
    name = write(f"""
        import numpy

        class World:
            action_names = ["NOOP", "UP"]
            steps = 0

            def restart(self): pass

            def act(self, action):
                self.steps += 1
                if self.steps > 250:
                    {error}
                return 0.0

            def screen(self): return numpy.zeros((84, 84), "uint8")

            def is_terminal(self): return self.steps % 20 == 0
    """)
    line = f"train x --environment {name} --replay_size 1000 --random_steps 500 --threads 1"
    assert main.main([*line.split(), "--backend", "cpu"]) == 2
    shown = capsys.readouterr().err
    assert shown.count("Traceback") == 1
    assert str(ROOT / "src") not in shown
    assert (
        f"train: {name.partition(':')[0]} stopped with the error above: fix it and try again."
        in shown
    )


def test_a_file_is_found_from_here_and_from_the_clone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert code_name("environment", CATCH) == CATCH, "the clone's"
    assert code_name("environment", f"{ROOT}/examples/../{CATCH}") == CATCH
    (tmp_path / "examples").mkdir()
    own = tmp_path / "examples" / "catch.py"
    own.touch()
    assert code_name("environment", CATCH) == f"{own}:Catch", "the caller's comes first"
    for name in ("ale", "gym"):
        assert code_name("environment", name) == name


@pytest.mark.parametrize(
    "name", ["", "x", "x.py", "x.py:", "x.py:a b", "x.txt:World", "no.py:World"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"--environment is ale, gym or|There is no file no\.py"):
        code_name("environment", name)


# What others' snapshots may ask for


def test_a_snapshot_names_only_packages_for_gymnasium(tmp_path: Path) -> None:
    snapshot = tmp_path / "x_1.pkl"
    for game in ("CartPole-v1", "ALE/Breakout-v5"):
        assert trusted_game(snapshot, game, "gym") == game
    for nonsense in (None, 3, "", "a b", "a:b:c", "-"):
        with pytest.raises(UserError, match="not the name of an environment"):
            trusted_game(snapshot, nonsense, "gym")
    for game in ("antigravity:x", "pytest:x", "os.system:x"):
        with pytest.raises(UserError, match=r"no package .* for Gymnasium"):
            trusted_game(snapshot, game, "gym")
    for game in ("my game", "größe", "a:b:c", "Catch+2"):  # a word for a class of one's own
        assert trusted_game(snapshot, game, CATCH) == game
    for nonsense in (None, 3, "", "a\nb", "x" * 300):
        with pytest.raises(UserError, match="not the name of an environment"):
            trusted_game(snapshot, nonsense, CATCH)


def test_a_name_that_could_not_be_read_again_is_refused_before_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main.main(["train", "a b", "--environment", "gym"]) == 2
    assert "cannot be the name of a game" in capsys.readouterr().err


def test_the_command_line_wins_over_the_environment_and_game_of_a_snapshot(
    write: Callable[..., str], tmp_path: Path
) -> None:
    name = write((ROOT / "examples" / "catch.py").read_text(), name="Catch")
    small = "--random_steps 100 --train_steps 8 --test_steps 0 --epochs 1 --replay_size 1000"
    small += f" --save_weights_prefix {tmp_path}/catch --threads 1"
    size = "--screen_width 36 --screen_height 36"
    assert main.main(["catch", "--environment", name, *small.split(), *size.split()]) == 0
    snapshot = str(tmp_path / "catch_1.pkl")
    assert parse("test", [snapshot, "--environment", name]).config.environment == name
    assert parse("test", [snapshot, "--environment", CATCH]).config.environment == CATCH
    config = parse("run", ["c", "--load_weights", snapshot, "--environment", CATCH]).config
    assert (config.environment, config.game) == (CATCH, "c")


def test_a_gif_of_a_small_picture_is_as_large_as_ataris(tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    line = f"catch --environment {CATCH} --video_file {film} --screen_width 36 --screen_height 36"
    small = "--random_steps 60 --train_steps 8 --test_steps 0 --epochs 1 --replay_size 1000"
    assert main.main([*line.split(), *small.split(), "--threads", "1"]) == 0
    with Image.open(film) as picture:
        assert picture.height == 144  # twice its 72 pixels


# Flags


def test_presets_speak_of_atari_only(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text("frame_skip = 2\n")

    def of(*flags: str) -> tuple[Any, ...]:
        config = parse("run", ["catch", "--environment", CATCH, *flags]).config
        return (
            config.frame_skip,
            config.repeat_action_probability,
            config.random_starts,
            config.zero_history,
        )

    assert of() == of("--preset", "nature") == (None, None, 0, True)
    assert of("--frame_skip", "3") == (3, None, 0, True)
    assert of("--preset", str(own)) == (2, None, 0, True)
    no_ops = "--random_starts", "30", "--zero_history", "false"
    assert of(*no_ops) == (None, None, 30, False)
    assert parse("run", ["pong"]).config.frame_skip == 4


def test_sticky_actions_are_for_atari_games(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--environment", CATCH, "--repeat_action_probability", "0.25", "--replay_size", "1000"]
    assert main.main(["catch", *flags]) == 2
    assert "--repeat_action_probability is for Atari games" in capsys.readouterr().err


def test_files_are_called_by_the_game() -> None:
    task = parse("train", ["ALE/Breakout-v5", "mine", "--environment", "gym"])
    assert task.config.csv_file == ROOT / "results" / "ALE_Breakout-v5_mine.csv"
    assert task.game == "ALE_Breakout-v5"


def test_the_trial_is_short() -> None:
    world = Corridor(3)
    PreprocessedEnvironment(settings(), world=world, name="corridor")
    assert world.games == 1 + TRIAL_STEPS // 3 + 1
