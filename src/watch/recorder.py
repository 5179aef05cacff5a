"""Films a game, every frame and its sound, as fast as it can be written."""

from __future__ import annotations

import contextlib
import logging
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from agent import Agent
from atomic import make_folder
from errors import NotSaved, UserError
from watch.agent_view import AgentView
from watch.film import Film, Gif, make_film, open_new
from watch.frames import Frame
from watch.joystick import attached
from watch.picture import Picture, glowing, scaled, size_of
from watch.speaker import SAMPLE_RATE
from watch.view_panel import HEIGHT, WIDTH, Panel

logger = logging.getLogger(__name__)

FILM_HEIGHT = 840  # pixels, about: 4 per line, since films have one color for each 2x2 pixels
GIF_HEIGHT = 210  # Atari's own
VIEW_HEIGHT = 630  # the same with the agent's view, where exact colors matter less


class FrameFolder:
    """A folder of frames 000000.png, 000001.png, …, of 320x210 pixels for Atari games."""

    def __init__(self, folder: Path) -> None:
        """Make `folder`. Raises UserError if it cannot be written."""
        self.folder = folder
        self.frames = 0
        try:
            make_folder(folder)
            (folder / "000000.png").touch()
        except OSError as error:
            raise UserError(f"Cannot write {error.filename}: {error.strerror}.") from None

    def add(self, picture: Picture, audio: NDArray[np.uint8] | None) -> None:
        """Write a frame without its sound."""
        image = Image.fromarray(scaled(picture, *size_of(picture)))
        file = self.folder / f"{self.frames:06}.png"
        try:
            image.save(file, compress_level=1)
        except BaseException:  # Ctrl-C too
            file.unlink(missing_ok=True)
            raise
        self.frames += 1

    def close(self) -> None:
        """Nothing to do."""
        if not self.frames:
            (self.folder / "000000.png").unlink(missing_ok=True)


class SoundFile:
    """The sound as a .wav file, 8 bits, 30,720 samples/s."""

    def __init__(self, path: Path) -> None:
        """Begin to write `path`. Raises UserError if it cannot be written."""
        try:
            make_folder(path.parent)
            self.target = open_new(path)
            self.file = wave.open(self.target, "wb")  # noqa: SIM115 - close() closes it
        except OSError as error:
            raise UserError(f"Cannot write {path}: {error.strerror}.") from None
        self.file.setnchannels(1)
        self.file.setsampwidth(1)
        self.file.setframerate(SAMPLE_RATE)

    def add(self, picture: Picture, audio: NDArray[np.uint8] | None) -> None:
        """Write a frame's samples."""
        if audio is not None:
            self.file.writeframes(audio.tobytes())

    def close(self) -> None:
        """Write the length into the file, and close it."""
        try:
            self.file.close()
        finally:
            self.target.close()


class Recorder:
    """Passes each frame to the film, perhaps with the agent's view, and to the other recordings."""

    def __init__(
        self, agent: Agent, view: AgentView, *, games: int, factor: int, shows_view: bool
    ) -> None:
        """Record `games` games, or a run (0). The film's pixels are `factor` times as large."""
        self.agent = agent
        self.view = view
        self.games = games
        self.factor = factor
        self.shows_view = shows_view
        self.film: Film | None = None
        self.others: list[Film] = []  # recordings of the game's own picture
        self.frames = 0
        self.error: Exception | None = None
        self.before: Picture | None = None  # the game's picture in the last frame
        self.whole = np.empty((0, 0, 3), np.uint8)  # the film's last picture
        self.panel_shows = -1  # view.changes

    def record_frame(self, frame: Frame) -> None:
        """Record a frame. If that fails, `error` says why and the game ends; a run continues."""
        if self.error or (self.games and self.view.games_over >= self.games):
            return
        try:
            if self.film:
                self.film.add(self.picture(self._unflickered(frame)), frame.audio)
            for other in self.others:
                other.add(frame.rgb, frame.audio)
            self.frames += 1
        except (OSError, av.FFmpegError) as error:
            self.error = error
            if self.games:
                self.agent.stop()
            else:
                logger.error("%s The run continues.", self.problem())

    def _unflickered(self, frame: Frame) -> Picture:
        """The game's picture. A .gif skips frames, but keeps sprites that are only in these."""
        before, self.before = self.before, frame.rgb
        if before is None or not frame.flickers or not isinstance(self.film, Gif):
            return frame.rgb
        return np.maximum(before, frame.rgb)

    def problem(self) -> str:
        """Why the recording ended early: a sentence."""
        reason = getattr(self.error, "strerror", None) or self.error
        return (
            f"The recording ended early after {self.frames} frames ({reason}); what was written of "
            "them is kept."
        )

    def close(self) -> None:
        """Close all files, even if some cannot be completed."""
        for writer in filter(None, [self.film, *self.others]):
            try:
                writer.close()
            except (OSError, av.FFmpegError) as error:
                self.error = self.error or error

    def size(self, picture: Picture) -> tuple[int, int]:
        """Width and height of the film for such pictures; films need even ones."""
        width, height = (length * self.factor // 2 * 2 for length in size_of(picture))
        return width + self.shows_view * (WIDTH * height // HEIGHT // 2 * 2), height

    def picture(self, game: Picture) -> Picture:
        """A frame as the film shows it."""
        view, (width, height) = self.view, self.size(game)
        if view.heat is not None:
            game = glowing(game, view.heat)
        if not self.shows_view:
            return scaled(game, width, height)
        left = size_of(game)[0] * self.factor // 2 * 2
        if self.whole.shape[:2] != (height, width):
            self.whole = np.zeros((height, width, 3), np.uint8)
        if self.panel_shows != view.changes:
            panel = Panel(height / HEIGHT).draw(view)[:height, : width - left]
            self.whole[: panel.shape[0], left : left + panel.shape[1]] = panel
            self.panel_shows = view.changes
        self.whole[:, :left] = scaled(game, left, height)
        return self.whole


@contextlib.contextmanager
def recording(
    agent: Agent,
    *,
    game: str,
    games: int,
    video_file: Path | None,
    overlay: str = "none",
    screen_path: Path | None = None,
    sound_file: Path | None = None,
) -> Iterator[AgentView]:
    """Record the agent playing inside the `with` block; yields its AgentView, with the scores.

    `games` games are recorded, or a run (0). `overlay` mind shows the agent's view beside the game.
    Raises UserError if a file cannot be made, and NotSaved at the end if it could not be completed;
    then everything recorded before is kept.
    """
    environment: Any = agent.games[0].environment
    has_sound = bool(getattr(environment, "sound", False))
    if sound_file and not has_sound:
        raise UserError("There is no sound in this game: remove --record_sound_filename.")
    picture = environment.frame_rgb()
    view = AgentView(agent, game=game, action_names=environment.action_names)
    shows_view = overlay == "mind"
    if shows_view:
        view.show_heat()
    height = VIEW_HEIGHT if shows_view else FILM_HEIGHT
    if video_file and video_file.suffix.lower() == ".gif" and not shows_view:
        height = GIF_HEIGHT
    factor = max(height // picture.shape[0], 1)
    recorder = Recorder(agent, view, games=games, factor=factor, shows_view=shows_view)
    with contextlib.closing(recorder), attached(agent, view, recorder.record_frame):
        if video_file:
            recorder.film = make_film(
                video_file,
                size=recorder.size(picture),
                frames_per_second=environment.frames_per_second,
                sound=has_sound,
            )
        if screen_path:
            recorder.others.append(FrameFolder(screen_path))
        if sound_file:
            recorder.others.append(SoundFile(sound_file))
        yield view
    if recorder.error:
        raise NotSaved(recorder.problem())


@contextlib.contextmanager
def progress(agent: Agent, view: AgentView) -> Iterator[AgentView]:
    """A progress bar while games are recorded: frames, frames per second, the score."""
    environment: Any = agent.games[0].environment

    def tell(frame: Frame) -> None:
        bar.set_postfix_str(f"score {view.score:.10g}", refresh=False)
        bar.update()

    with tqdm(desc="Recording", unit=" frames", disable=None, leave=False) as bar:
        environment.frame_listeners.append(tell)
        try:
            yield view
        finally:
            environment.frame_listeners.remove(tell)
