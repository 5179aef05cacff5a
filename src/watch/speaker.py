"""Plays the game's sound."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting
import pygame

logger = logging.getLogger(__name__)

SAMPLES_PER_FRAME = 512  # of ALE
SAMPLE_RATE = SAMPLES_PER_FRAME * 60  # 1/s: sound keeps up with 60 frames/s, as in ALE's own files
FIRST_FRAMES = 3  # frames collected before sound begins, so that late frames cause no gaps
MOST_FRAMES = 8  # frames waiting; more would be heard too late


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Discard what C libraries such as ALSA write to standard error."""
    try:
        kept = os.dup(2)
    except OSError:  # it is closed: nobody is disturbed
        yield
        return
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


class Speaker:
    """Plays each frame's samples with pygame's mixer; without a sound device only a message."""

    def __init__(self, volume: float) -> None:
        """`volume` from 0 to 1."""
        self.volume = volume
        self.waiting = np.empty(0, np.int16)
        self.channel: pygame.mixer.Channel | None = None
        try:
            with _quiet():
                pygame.mixer.init(SAMPLE_RATE, -16, 1, SAMPLES_PER_FRAME, allowedchanges=0)
            self.channel = pygame.mixer.Channel(0)
        except pygame.error as error:
            logger.warning("There is no sound: %s.", str(error).rstrip("."))

    def play(self, audio: NDArray[np.uint8], speed: float) -> None:
        """Add a frame's samples, (512,) uint8 around 128; another speed changes the pitch."""
        if self.channel is None:
            return
        kept = (np.arange(len(audio) / speed) * speed).astype(np.intp)
        samples = (audio[kept].astype(np.int16) - 128) << 8
        most = max(MOST_FRAMES * SAMPLES_PER_FRAME, len(samples))  # one frame of a slow game
        self.waiting = np.append(self.waiting, samples)[-most:]
        # NB! The mixer works in blocks of 512 samples, and a sound begins with a new block: only
        # sounds of whole blocks follow each other without a gap.
        whole = len(self.waiting) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME
        busy = self.channel.get_busy()
        if (busy and self.channel.get_queue()) or whole < (1 if busy else FIRST_FRAMES) * 512:
            return
        sound = pygame.mixer.Sound(buffer=self.waiting[:whole].tobytes())
        self.waiting = self.waiting[whole:]
        if busy:
            self.channel.queue(sound)
        else:
            self.channel.play(sound)
        self.channel.set_volume(self.volume)

    def close(self) -> None:
        """Be silent."""
        pygame.mixer.quit()
