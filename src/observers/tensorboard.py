"""--tensorboard: curves, the first layer's filters, and films of play, for TensorBoard.

docs/monitoring.md explains this file as an example of a callback.
"""

from __future__ import annotations

import contextlib
import io
import logging
import platform
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from agent import Callback, GameStep, Phase
from errors import UserError
from observers.meter import Meter
from snapshot.layers import SavedLayer
from stats import Statistics

logger = logging.getLogger(__name__)

NOT_NUMBERS = ("phase",)  # columns of a row
FILM_STEPS = 150  # of each testing phase: ten seconds of an Atari game
FILM_SCALE, STEP_MILLISECONDS = 2, 70
FILTER_SCALE, FILTERS_IN_A_ROW = 4, 8


class TensorBoard(Callback):
    """Reports on a run to a folder that TensorBoard reads."""

    def __init__(self, folder: Path, *, stats: Statistics, meter: Meter) -> None:
        """Raises UserError if tensorboardX is missing or the folder cannot be written."""
        self.stats = stats
        self.meter = meter
        self.events = Events(folder)
        self.film: list[NDArray[np.uint8]] = []  # screens
        self.films = False

    def on_phase_start(self, phase: Phase) -> None:
        """Remember the number of rows: a resumed run already has some."""
        self.events.begin(self.stats.agent.total_train_steps)
        self.rows = len(self.stats.rows)
        self.learning = phase.name == "train"
        self.films, self.film = phase.name == "test", []

    def on_step(self, made: GameStep) -> None:
        """Collect the first screens of a test, in the first game."""
        if self.films and made.game == 0:
            self.film.append(made.step.screen.copy())
            self.films = len(self.film) < FILM_STEPS

    def on_round(self, step: int) -> None:
        """Write the measurements, every thousand training steps."""
        now = self.meter.latest
        if now is None or not self.learning:
            return
        curves: dict[str, float | None] = {
            "score": now.score,
            "mean_q": now.mean_q,
            "exploration_rate": now.exploration_rate,
            "steps_per_second": now.steps_per_second,
        }
        if now.updates:
            curves["loss"] = now.updates.loss
            curves["td_error"] = float(now.updates.td_errors.mean())
            curves["gradient_norm"] = now.updates.gradient_norm
            curves["learning_rate"] = now.updates.learning_rate
            self.events.histogram("learning/td_errors", now.updates.td_errors)
        self.events.scalars("learning", curves)
        self.events.write(now.total_train_steps)

    def on_phase_end(self, phase: Phase) -> None:
        """Write the row, the filters after training, and the film after a test."""
        agent = self.stats.agent
        for row in self.stats.rows[self.rows :]:
            numbers = {name: row[name] for name in row if name not in NOT_NUMBERS}
            self.events.scalars(phase.name, numbers)
        if phase.name == "train" and agent.network:
            for layer in agent.network.layers()[:1]:
                if layer.kind == "Convolution":
                    self.events.picture("filters/first_layer", filters_picture(layer))
        if self.film:
            self.events.film("play/test", self.film)
        self.events.write(agent.total_train_steps)
        self.films, self.film = False, []


class Events:
    """Writes an event file. If that fails, it says so once, and the run continues without it.

    (tensorboardX's SummaryWriter writes in another thread; on a full disk it would wait forever.)
    """

    def __init__(self, folder: Path) -> None:
        """Create the folder. Raises UserError if that fails or tensorboardX is not installed."""
        try:
            from tensorboardX import record_writer, summary
            from tensorboardX.proto import event_pb2
        except ModuleNotFoundError:
            raise UserError(
                "--tensorboard needs tensorboardX, which is not installed: in the folder of this "
                "program, run .venv/bin/pip install -r requirements-extras.txt"
            ) from None
        self.events, self.summary = event_pb2, summary
        self.folder = folder
        self.values: list[Any] = []  # for the next event
        self.file: Any = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder.resolve() / f"events.out.tfevents.{time.time():.6f}.{platform.node()}"
            self.file = record_writer.RecordWriter(str(path))
        except OSError as error:
            raise UserError(f"Cannot write into {folder}: {error.strerror}.") from None
        weakref.finalize(self, _close, self.file)
        self._write(file_version="brain.Event:2")
        self.begun = False

    def begin(self, step: int) -> None:
        """Let TensorBoard discard what an interrupted run wrote after `step`."""
        if not self.begun:
            start = self.events.SessionLog(status=1)
            self._write(step=step + 1, session_log=start)
            self.begun = True

    def scalars(self, group: str, curves: dict[str, Any]) -> None:
        """Add a point to each curve that has a number."""
        for name, number in curves.items():
            if number is not None:
                self._add(self.summary.scalar(f"{group}/{name}", float(number)))

    def histogram(self, name: str, values: NDArray[np.float32]) -> None:
        """Add a histogram of the values."""
        if np.isfinite(values).all():
            self._add(self.summary.histogram(name, values, bins="auto"))

    def picture(self, name: str, picture: NDArray[np.uint8]) -> None:
        """Add a gray picture, (height, width)."""
        self._image(name, picture, format="png")

    def film(self, name: str, screens: list[NDArray[np.uint8]]) -> None:
        """Add a film of gray screens (height, width), as an animated picture."""
        others = [scaled(screen, FILM_SCALE) for screen in screens[1:]]
        more = {"append_images": others, "duration": STEP_MILLISECONDS, "loop": 0}
        self._image(name, screens[0], FILM_SCALE, format="gif", save_all=True, **more)

    def _image(self, name: str, picture: NDArray[np.uint8], scale: int = 1, **how: Any) -> None:
        data, image = io.BytesIO(), scaled(picture, scale)
        image.save(data, **how)
        size = {"width": image.width, "height": image.height, "colorspace": 1}
        kind = self.summary.Summary
        made = kind.Image(encoded_image_string=data.getvalue(), **size)
        self._add(kind(value=[kind.Value(tag=name, image=made)]))

    def _add(self, summary: Any) -> None:
        self.values += summary.value

    def write(self, step: int) -> None:
        """Write everything that was added, at `step`."""
        if self.values:
            self._write(step=step, summary=self.summary.Summary(value=self.values))
            self.values = []

    def _write(self, **what: Any) -> None:
        if self.file is None:
            return
        try:
            event = self.events.Event(wall_time=time.time(), **what)
            self.file.write(event.SerializeToString())
            self.file.flush()
        except OSError as error:
            self.file = None
            logger.error(
                "Cannot write into %s (%s): continuing without TensorBoard.",
                self.folder,
                error.strerror,
            )


def _close(file: Any) -> None:
    with contextlib.suppress(OSError):
        file.close()


def scaled(picture: NDArray[np.uint8], scale: int) -> Image.Image:
    """The picture enlarged, with sharp pixels."""
    return Image.fromarray(picture.repeat(scale, axis=0).repeat(scale, axis=1))


def filters_picture(layer: SavedLayer) -> NDArray[np.uint8]:
    """The filters of the first convolution, each as a row of screens with the oldest on the left.

    Gray is zero; black and white are minus and plus the filter's largest weight.
    """
    size, channels = layer.config["size"], layer.config["channels"]
    filters = layer.params["W"].T.reshape(-1, channels, size, size)
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    gray = (127.5 + 127.5 * filters / np.maximum(largest, 1e-12)).astype(np.uint8)
    # a line after each screen, and one more after each filter
    tiles = np.pad(gray, [(0, 0), (0, 0), (0, 1), (0, 1)]).transpose(0, 2, 1, 3)
    tiles = np.pad(tiles.reshape(len(filters), size + 1, -1), [(0, 0), (0, 1), (0, 1)])
    missing = -len(tiles) % FILTERS_IN_A_ROW
    tiles = np.pad(tiles, [(0, missing), (0, 0), (0, 0)])
    rows = tiles.reshape(-1, FILTERS_IN_A_ROW, *tiles.shape[1:]).transpose(0, 2, 1, 3)
    picture = rows.reshape(rows.shape[0] * rows.shape[1], -1)
    return picture.repeat(FILTER_SCALE, axis=0).repeat(FILTER_SCALE, axis=1)
