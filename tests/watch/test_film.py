from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from errors import UserError
from watch.film import Film, make_film

SIZE = (96, 64)
Array = NDArray[np.uint8]


def flash_and_beep(film: Film, frames: int, at: tuple[int, ...]) -> list[Array]:
    """A film that is gray and silent but in the frames `at`."""
    pictures = []
    beep = np.where(np.arange(512) // 16 % 2, 188, 128).astype(np.uint8)
    for n in range(frames):
        picture = np.full((SIZE[1], SIZE[0], 3), 255 if n in at else 40, np.uint8)
        picture[:, n % SIZE[0]] = (200, 30, 90)
        film.add(picture, beep if n in at else np.full(512, 128, np.uint8))
        pictures.append(picture)
    return pictures


def begins(times: NDArray[np.float64]) -> list[float]:
    """The first of each group of times."""
    first = np.diff(times, prepend=-1) > 0.1
    return [float(time) for time in times[first]]


def seen(path: Path) -> tuple[int, list[float]]:
    """The number of frames and when the flashes are."""
    with av.open(str(path)) as file:
        frames = [(f.time, f.to_ndarray(format="gray").mean()) for f in file.decode(video=0)]
    assert [time for time, _ in frames] == pytest.approx(np.arange(len(frames)) / 60, abs=1e-4)
    return len(frames), begins(np.array([t for t, light in frames if light > 150]))


def heard(path: Path) -> tuple[float, list[float]]:
    """How long it sounds and when the beeps are."""
    with av.open(str(path)) as file:
        parts = list(file.decode(audio=0))
    assert parts[0].time == 0
    rate = parts[0].sample_rate
    loud = np.concatenate([part.to_ndarray()[0] for part in parts])
    return len(loud) / rate, begins(np.flatnonzero(np.abs(loud) > 0.15) / rate)


@pytest.mark.parametrize("name", ["film.mov", "film.mp4"])
def test_sound_and_picture_are_together(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new folder" / name
    film = make_film(path, size=SIZE, frames_per_second=60.0, sound=True)
    at = (0, 31, 100, 170)
    flash_and_beep(film, 180, at)
    film.close()
    frames, flashes = seen(path)
    seconds, beeps = heard(path)
    assert frames == 180
    assert seconds == pytest.approx(3, abs=1 / 30)
    assert flashes == pytest.approx(np.array(at) / 60, abs=1e-3)
    assert beeps == pytest.approx(flashes, abs=1 / 120)  # under half a frame
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        assert (video.codec_context.name, video.format.name) == ("h264", "yuv420p")
        assert video.frames == 180
        assert video.average_rate == 60
        assert file.streams.audio[0].codec_context.name == "aac"
        assert file.duration == 3_000_000  # a finished film is an ordinary one


def test_colors_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    colors = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    picture = colors.repeat(16, 0).repeat(16, 1)
    film = make_film(path, size=SIZE, frames_per_second=60.0, sound=False)
    film.add(picture, None)
    film.close()
    with av.open(str(path)) as file:
        assert not file.streams.audio
        (frame,) = file.decode(video=0)
        decoded = frame.to_ndarray(format="rgb24")[8::16, 8::16].astype(int)
    assert np.abs(decoded - colors).max() < 12


def test_killed_recording_leaves_what_was_before(tmp_path: Path) -> None:
    path = tmp_path / "film.mov"
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from watch.film import make_film
from tests.watch.test_film import SIZE, flash_and_beep
film = make_film(Path({str(path)!r}), size=SIZE, frames_per_second=60.0, sound=True)
flash_and_beep(film, 400, (31, 100, 170))
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    frames, flashes = seen(path)
    assert frames >= 240
    assert flashes == pytest.approx(np.array([31, 100, 170]) / 60, abs=1e-3)
    assert heard(path)[1] == pytest.approx(flashes, abs=1 / 120)


def test_gif_has_every_third_frame_and_all_colors(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    film = make_film(path, size=SIZE, frames_per_second=60.0, sound=True)
    pictures = flash_and_beep(film, 60, (2, 30))
    film.close()
    with av.open(str(path)) as file:
        shown = [(f.time, f.to_ndarray(format="rgb24")) for f in file.decode(video=0)]
    assert [time for time, _ in shown] == pytest.approx(np.arange(20) / 20)
    for n, (_, picture) in enumerate(shown):
        np.testing.assert_array_equal(picture, pictures[3 * n])


def test_gif_of_many_colors_has_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "film.gif"
    film = make_film(path, size=SIZE, frames_per_second=20.0, sound=False)
    gray = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    ramp = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0], 1) * (1, 2, 3) // (24, 48, 72)
    for picture in (gray, ramp.astype(np.uint8), ramp.astype(np.uint8)):
        film.add(picture, None)
    film.close()
    with av.open(str(path)) as file:
        last = list(file.decode(video=0))[-1].to_ndarray(format="rgb24")
    assert np.abs(last.astype(int) - ramp).max() < 8


def test_unwritable_and_unknown(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=re.escape("film.mov: Not a directory")):
        make_film(tmp_path / "file" / "film.mov", size=SIZE, frames_per_second=60.0, sound=True)
    with pytest.raises(UserError, match=r"one of \.mov, \.mp4, \.gif"):
        make_film(tmp_path / "film.avi", size=SIZE, frames_per_second=60.0, sound=True)
