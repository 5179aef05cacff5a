from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pygame
import pytest

from watch.speaker import SAMPLE_RATE, Speaker


def tone(frame: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """480 Hz: 32 samples high, 32 low."""
    sample = np.arange(frame * 512, (frame + 1) * 512)
    return np.where(sample // 32 % 2, 188, 128).astype(np.uint8)


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """SDL writes what would be heard into this file."""
    monkeypatch.setenv("SDL_AUDIODRIVER", "disk")
    monkeypatch.setenv("SDL_DISKAUDIOFILE", str(tmp_path / "heard"))
    return tmp_path / "heard"


def test_tone_is_heard(heard: Path) -> None:
    speaker = Speaker(1.0)
    start = time.perf_counter()
    for frame in range(40):
        speaker.play(tone(frame), 1.0)
        time.sleep(max(0, start + (frame + 1) / 60 - time.perf_counter()))
    speaker.close()
    samples = np.fromfile(heard, np.int16)
    assert set(np.unique(samples)) == {0, 60 << 8}
    edges = np.diff(np.flatnonzero(np.diff(samples)))
    # A machine that is busy tears the tone, but only between the mixer's blocks.
    assert (edges % 512 == 32).all()
    assert len(edges) > 200


class Busy:
    """A channel that plays one sound and has another in its queue."""

    def get_busy(self) -> bool:
        return True

    def get_queue(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("speed", "samples"), [(0.5, 4096), (1.0, 2048), (2.0, 1024), (0.25, 4096)]
)
def test_other_speeds_have_another_pitch(heard: Path, speed: float, samples: int) -> None:
    speaker = Speaker(1.0)
    speaker.channel = Busy()  # type: ignore[assignment]
    for frame in range(4):
        speaker.play(tone(frame), speed)
    assert len(speaker.waiting) == samples  # and no more than MOST_FRAMES
    edges = np.diff(np.flatnonzero(np.diff(speaker.waiting)))
    assert set(edges) == {32 / speed}
    speaker.close()


def test_rate_is_that_of_60_frames_a_second() -> None:
    assert SAMPLE_RATE == 512 * 60


def test_libraries_below_do_not_write_into_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def noisy(*arguments: object, **settings: object) -> None:
        os.write(2, b"ALSA lib confmisc.c:855:(parse_card) cannot find card '0'\n")
        raise pygame.error("ALSA: Couldn't open audio device")

    monkeypatch.setattr(pygame.mixer, "init", noisy)
    Speaker(0.5).close()
    os.write(2, b"and after\n")
    assert capfd.readouterr().err == "and after\n"
    assert len(caplog.messages) == 1


def test_no_device_is_said_and_then_silence(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SDL_AUDIODRIVER", "nonsense")
    speaker = Speaker(0.5)
    assert "There is no sound" in caplog.text
    for frame in range(20):
        speaker.play(tone(frame), 1.0)
    speaker.close()


def test_a_frame_of_a_slow_game_is_heard_whole(heard: Path) -> None:
    speaker = Speaker(1.0)
    speaker.channel = Busy()  # type: ignore[assignment]
    for _ in range(2):
        speaker.play(np.full(SAMPLE_RATE // 2, 200, np.uint8), 1.0)  # 2 frames per second
        assert len(speaker.waiting) == SAMPLE_RATE // 2
    speaker.close()
