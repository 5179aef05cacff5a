"""Runs watched from elsewhere: TensorBoard's files, JSON for other programs, and that neither
changes anything."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from agent import Phase
from config import Config
from deepqnetwork import DeepQNetwork
from engine.inspection import Inspector
from main import main
from observers import meter
from observers.json_log import JsonLines
from observers.tensorboard import Events, filters_picture
from replay_memory import Minibatch
from snapshot.format import read_snapshot
from snapshot.layers import convolution
from stats import COLUMNS, Statistics
from targets import taken
from tests.toys import Clock, make_agent

TINY = """--screen_width 36 --screen_height 36 --batch_size 4 --replay_size 500 --random_starts 6
    --random_steps 40 --train_steps 40 --test_steps 30 --epochs 1 --backend cpu --threads 1
    --random_seed 1"""
TIMES = ("total_time", "epoch_time", "steps_per_second")


@pytest.fixture(autouse=True)
def clean_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run of 40 steps is measured four times; what a run does to the log is undone."""
    monkeypatch.setattr(meter, "STEPS", 10)
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture
def library() -> Any:
    return pytest.importorskip("tensorboardX", reason="requirements-extras.txt is not installed")


def train(label: str, more: str = "") -> None:
    assert main(f"train breakout {label} {TINY} {more}".split()) == 0


def rows(label: str) -> list[dict[str, str]]:
    with Path(f"results/breakout_{label}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(label: str) -> list[dict[str, str]]:
    return [{k: v for k, v in row.items() if k not in TIMES} for row in rows(label)]


def learned(label: str) -> list[bytes]:
    """Weights and the optimizer's states."""
    snapshot = read_snapshot(Path(f"snapshots/breakout_{label}_1.pkl"))
    arrays = [a for x in snapshot.layers for a in [*x.params.values(), *x.states]]
    return [array.tobytes() for array in [*arrays, *snapshot.tensors.values()]]


def events(folder: Path) -> list[Any]:
    """What TensorBoard would read: records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack_from("<Q", data)
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def values(folder: Path) -> dict[str, list[tuple[int, Any]]]:
    """By tag, each with its step."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value))
    return found


@pytest.mark.parametrize(
    "flags", ["", "--overlap --target_steps 20 --noisy --prioritized --double_q --batch_norm false"]
)
def test_a_watched_run_is_the_same_run(home: Path, library: Any, flags: str) -> None:
    train("alone", flags)
    train("watched", f"{flags} --tensorboard tb --log json")
    assert untimed("alone") == untimed("watched")
    assert learned("alone") == learned("watched")


def test_tensorboard_gets_rows_measurements_filters_and_a_film(home: Path, library: Any) -> None:
    train("one", "--tensorboard tb")
    found = values(Path("tb/breakout_one"))
    train_row = rows("one")[1]
    for phase, row in zip(("random", "train", "test"), rows("one"), strict=True):
        for column in set(COLUMNS) - {"phase"}:
            ((step, value),) = found[f"{phase}/{column}"]
            assert step == int(row["total_train_steps"])
            assert value.simple_value == pytest.approx(float(row[column]), rel=1e-6)
    assert [step for step, _ in found["learning/loss"]] == [10, 20, 30, 40]
    curves = [points for tag, points in found.items() if tag.startswith("learning/")]
    assert {step for points in curves for step, _ in points} == {10, 20, 30, 40}, "training only"
    # ten steps with weight updates at 0, 4, 8; 12, 16; 20, 24, 28; 32, 36: three, two, three, two
    losses = [value.simple_value for _, value in found["learning/loss"]]
    mean = np.average(losses, weights=[3, 2, 3, 2])
    assert mean == pytest.approx(float(train_row["meancost"]), rel=1e-5)
    assert found["learning/mean_q"][-1][1].simple_value == pytest.approx(float(train_row["meanq"]))
    rates = [value.simple_value for _, value in found["learning/exploration_rate"]]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(float(train_row["last_exploration_rate"]))
    for name in ("gradient_norm", "td_error", "learning_rate", "steps_per_second"):
        assert all(value.simple_value > 0 for _, value in found[f"learning/{name}"])
    assert all(value.histo.num == 4 for _, value in found["learning/td_errors"])
    film = Image.open(io.BytesIO(found["play/test"][0][1].image.encoded_image_string))
    frames = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert (film.format, sum(frames)) == ("GIF", 30 * 70), "screens that stay are shown for longer"
    assert film.size == (72, 72)
    filters = found["filters/first_layer"][0][1].image
    assert Image.open(io.BytesIO(filters.encoded_image_string)).size == (filters.width, 160)


def test_a_resumed_run_takes_back_what_was_written_after_its_checkpoint(
    home: Path, library: Any
) -> None:
    train("one", "--tensorboard tb")
    run = "resume breakout one --epochs 2 --tensorboard tb --log_level ERROR"
    assert main(run.split()) == 0
    starts = [
        event.step for event in events(Path("tb/breakout_one")) if event.HasField("session_log")
    ]
    assert starts == [1, 41], "TensorBoard drops what earlier files have from this step on"
    assert [step for step, _ in values(Path("tb/breakout_one"))["train/epoch"]] == [40, 80]


def test_a_test_of_a_snapshot_takes_nothing_back(home: Path, library: Any) -> None:
    train("one", "--tensorboard tb")
    before = events(Path("tb/breakout_one"))
    test = "test snapshots/breakout_one_1.pkl --test_games 1 --max_episode_frames 200"
    assert main(f"{test} --tensorboard tb --log_level ERROR".split()) == 0
    assert events(Path("tb/breakout_one")) == before
    assert "test/average_reward" in values(Path("tb/breakout_one_test"))


def test_games_that_do_not_play_are_no_steps(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("one")
    capsys.readouterr()
    test = "test snapshots/breakout_one_1.pkl --test_games 1 --max_episode_frames 200 --num_envs 3"
    assert main(f"{test} --log json".split()) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each for each in said if each["event"] == "progress" and each["step"] % 10] == []


def test_without_the_library_a_sentence_says_how_to_install_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert main(f"train breakout one {TINY} --tensorboard tb".split()) == 2
    assert "run .venv/bin/pip install -r requirements-extras.txt" in capsys.readouterr().err
    assert not Path("tb").exists()


def test_a_folder_that_cannot_be_written_is_a_sentence(
    home: Path, library: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tb").touch()
    assert main(f"train breakout one {TINY} --tensorboard tb".split()) == 2
    assert "Cannot write into tb/breakout_one: " in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full here")
def test_on_a_full_disk_the_run_continues(
    tmp_path: Path, library: Any, caplog: pytest.LogCaptureFixture
) -> None:
    written = Events(tmp_path)
    written.file._writer.close()
    written.file._writer = Path("/dev/full").open("wb")  # noqa: SIM115 - Events closes it
    for step in range(3):
        written.scalars("learning", {"loss": 1.0})
        written.write(step)
    assert caplog.text.count("continuing without TensorBoard") == 1


def test_json_tells_what_the_files_and_the_messages_tell(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train("one", "--log json --train_steps 45")  # five steps after the last measurement
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    told = [{k: str(v) for k, v in line.items()} for line in lines if line["event"] == "row"]
    assert [{k: line[k] for k in COLUMNS} for line in told] == rows("one")
    phases = [(line["phase"], line["steps"]) for line in lines if line["event"] == "phase"]
    assert phases == [("random", 40), ("train", 45), ("test", 30)]
    progress = [line for line in lines if line["event"] == "progress"]
    assert [(line["phase"], line["step"]) for line in progress] == [
        *[("random", step) for step in (10, 20, 30, 40)],
        *[("train", step) for step in (10, 20, 30, 40)],
        *[("test", step) for step in (10, 20, 30)],
    ]
    assert all(("loss" in line) == (line["phase"] == "train") for line in progress)
    messages = [line["text"] for line in lines if line["event"] == "message"]
    assert f"wrote {Path('snapshots/breakout_one_1.pkl').resolve()}" in messages
    assert all(line["time"] > 1.7e9 for line in lines)


def test_json_has_no_nan_and_a_reader_that_leaves_does_not_stop_the_run() -> None:
    class Gone(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError

    text = Gone()
    JsonLines(text).event("row", meanq=float("nan"), meancost=float("inf"), epoch=1)
    line = json.loads(text.getvalue())
    assert (line["meanq"], line["meancost"], line["epoch"]) == (None, None, 1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is /dev/full here")
def test_events_that_a_full_disk_loses_are_mentioned_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full = Path("/dev/full").open("w")  # noqa: SIM115 - its close fails, too
    lines = JsonLines(full)
    for step in range(3):
        lines.event("progress", step=step)
    with pytest.raises(OSError, match="space"):
        full.close()
    said = "Events are lost: cannot write them (No space left on device).\n"
    assert capsys.readouterr() == ("", said)


def test_the_callback_in_the_docs_says_when_a_record_is_broken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (Path(__file__).parent.parent.parent / "docs/monitoring.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    known: dict[str, Any] = {}
    exec(code, known)
    agent, _ = make_agent(Clock(ends=[8, 12]))  # each step is worth its time
    stats = Statistics(agent, None, None)
    agent.callbacks += [stats, known["Record"](stats)]
    stats.on_phase_start(Phase("play", 0, games=1))
    agent.play(2)
    scores = stats.scores
    best = [score for n, score in enumerate(scores) if score > max(scores[:n], default=-1)]
    said = [f"{score:g} points after 0 training steps" for score in best]
    assert capsys.readouterr().out.splitlines() == said
    assert len(scores) == 2


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("sum_gradient", [False, True])
def test_an_update_is_inspected_as_autograd_sees_it(parts: int, sum_gradient: bool) -> None:
    config = Config(
        screen_width=36,
        screen_height=36,
        batch_size=8,
        clip_error=0,
        update_parts=parts,
        sum_gradient=sum_gradient,
        learning_rate_decay_updates=4,
        backend="cpu",
        threads=1,
    )
    network = DeepQNetwork(config, num_actions=3, rng=np.random.default_rng(1))
    inspector = Inspector(network)
    assert inspector.take() is None
    rng = np.random.default_rng(2)
    losses, norms, errors = [], [], []
    for _ in range(2):
        batch = Minibatch(
            screens=rng.integers(0, 256, (8, 5, 36, 36), dtype=np.uint8),
            actions=rng.integers(0, 3, 8, dtype=np.uint8),
            returns=rng.normal(size=8).astype(np.float32),
            discounts=np.full(8, 0.99),
            indices=np.arange(8),
            weights=np.ones(8, np.float32),
            history=4,
        )
        with torch.no_grad():
            best = network.target(torch.from_numpy(batch.next_states)).amax(dim=1).numpy()
        y = torch.from_numpy((batch.returns + batch.discounts * best).astype(np.float32))
        q = network.online(torch.from_numpy(batch.states), training=True)
        delta = taken(q, torch.from_numpy(batch.actions.astype(np.int64))) - y
        loss = delta.square().mean() / 2
        gradient = torch.autograd.grad(loss, list(network.online.parameters()))
        losses.append(loss.item())
        norms.append(sum(g.square().sum().item() for g in gradient) ** 0.5)
        errors.append(delta.detach().abs().numpy())
        network.train(batch)
    seen = inspector.take()
    assert seen
    assert seen.loss == pytest.approx(np.mean(losses), rel=1e-5)
    assert seen.gradient_norm == pytest.approx(norms[0] * (8 if sum_gradient else 1), rel=1e-4)
    np.testing.assert_allclose(seen.td_errors, errors[0], rtol=1e-4, atol=1e-6)
    assert seen.learning_rate == config.learning_rate / 2
    assert inspector.take() is None


def test_filters_are_drawn_side_by_side_zero_gray_the_largest_black_or_white() -> None:
    W = np.zeros((2 * 3 * 3, 9), np.float32)  # 9 filters of 3x3 over two screens
    W[0, 0], W[9 + 8, 0] = 2.0, -1.0  # the first: its first pixel of the older, last of the newer
    W[4, 8] = -5.0  # the ninth, which begins the second row
    picture = filters_picture(convolution("Convolution_0", W, size=3, stride=1))[::4, ::4]
    assert picture.shape == (2 * 5, 8 * 9)  # 3 + 2 lines of space; 3 + 1 + 3 + 1 + 1
    assert (picture[0, 0], picture[1, 1], picture[2, 6]) == (255, 127, 63)
    assert picture[5 + 1, 1] == 0
    assert not picture[3:5].any()
