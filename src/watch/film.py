"""Films of a game: .mov and .mp4 with sound, .gif without."""

from __future__ import annotations

import errno
import fcntl
import os
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray
from PIL import Image

from atomic import check_replaceable, make_folder
from errors import UserError
from watch.picture import Picture
from watch.speaker import SAMPLE_RATE

SOUND_RATE = 48_000  # 1/s: one that AAC has, and 800 samples for the 512 of a frame
QUALITY = "18"  # x264's crf: no visible loss
BT709 = 1  # the color space, as in all high definition video
GIF_RATE = 20  # pictures/s: browsers keep to delays of 5/100 s
# A .gif's palette that stays makes it small, one that changes makes it true: it is renewed when it
# shows more than this share of the pixels wrong by more than this.
WRONG_SHARE, WRONG = 0.001, 40
MP4_FLAGS = {
    # Written in pieces of a second, each playable by itself: whatever ends the recording, even the
    # power's failure, leaves a film of what was before. `delay_moov` is for sound and picture to
    # begin together, `hybrid_fragmented` makes an ordinary film of a finished one.
    "movflags": "hybrid_fragmented+frag_keyframe+delay_moov+default_base_moof",
    "flush_packets": "1",
}


class Film(Protocol):
    """Takes the frames of a game in turn."""

    def add(self, picture: Picture, audio: NDArray[np.uint8] | None) -> None:
        """A frame, (height, width, 3), and its 512 samples around 128."""

    def close(self) -> None:
        """The end."""


def make_film(path: Path, *, size: tuple[int, int], frames_per_second: float, sound: bool) -> Film:
    """A film of the kind that the file's name says; `size` is its width and height.

    Raises UserError for an unknown kind, and for a file that cannot be written, is not empty, or is
    being written by another process.
    """
    kinds = {".mov": Movie, ".mp4": Movie, ".gif": Gif}
    kind: Any = kinds.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"A film's name must end with one of {', '.join(kinds)}: {path} does not.")
    try:
        make_folder(path.parent)
        file = open_new(path)
        rate = Fraction(frames_per_second).limit_denominator(1000)
        try:
            film: Film = kind(file, path.suffix.lower()[1:], size, rate, sound)
        except BaseException:
            file.close()
            raise
        return film
    except OSError as error:
        raise UserError(f"Cannot write {path}: {error.strerror}.") from None


def open_new(path: Path) -> BinaryIO:
    """A new or empty file to write, which no other process can open like this. Raises OSError."""
    check_replaceable(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_size:
            raise OSError(errno.EEXIST, "another process has just written it")
    except BlockingIOError:
        file.close()
        raise OSError(errno.EEXIST, "another process is writing it") from None
    except OSError:
        file.close()
        raise
    return file


class Movie:
    """H.264 and AAC. Width and height must be even."""

    def __init__(
        self,
        file: BinaryIO,
        format: str,
        size: tuple[int, int],
        frames_per_second: Fraction,
        sound: bool,
    ) -> None:
        """Begin to write `file` in FFmpeg's `format`."""
        self.target = file
        self.file = av.open(file, "w", format=format, options=MP4_FLAGS)
        self.frames = 0
        self.whole = False  # whether the last frame was written; if not, FFmpeg may crash
        self.time_base = 1 / frames_per_second
        self.video: Any = self.file.add_stream("libx264", rate=frames_per_second)
        self.video.width, self.video.height = size
        self.video.pix_fmt = "yuv420p"  # the one that every player can show
        self.video.options = {"crf": QUALITY, "preset": "veryfast"}
        self.video.time_base = self.time_base
        self.video.codec_context.gop_size = round(frames_per_second)
        context = self.video.codec_context
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = ColorRange.MPEG
        self.converter = VideoReformatter()  # one for all frames keeps FFmpeg's tables
        self.audio: Any = None
        if sound:
            self.audio = self.file.add_stream("aac", rate=SOUND_RATE, layout="mono")
            self.audio.bit_rate = 128_000
            self.resampler = av.AudioResampler(format="fltp", layout="mono", rate=SOUND_RATE)

    def add(self, picture: Picture, audio: NDArray[np.uint8] | None) -> None:
        """Add a frame and its sound, or silence."""
        self.whole = False
        frame = self.converter.reformat(
            av.VideoFrame.from_ndarray(picture, "rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        frame.pts, frame.time_base = self.frames, self.time_base
        self.file.mux(self.video.encode(frame))
        if self.audio and audio is not None:
            sound = av.AudioFrame.from_ndarray(audio[None], "u8", "mono")
            sound.sample_rate = SAMPLE_RATE
            sound.pts, sound.time_base = self.frames * len(audio), Fraction(1, SAMPLE_RATE)
            self._hear(sound)
        self.frames += 1
        self.whole = True

    def _hear(self, sound: av.AudioFrame | None) -> None:
        for frame in self.resampler.resample(sound):
            self.file.mux(self.audio.encode(frame))

    def close(self) -> None:
        """Write the remaining frames and the table of contents."""
        try:
            if self.whole:
                if self.audio:
                    self._hear(None)
                    self.file.mux(self.audio.encode(None))
                self.file.mux(self.video.encode(None))
        finally:
            with self.target:
                self.file.close()


class Gif:
    """20 pictures per second; exact colors up to 256 of them, then the nearest of 256."""

    def __init__(
        self,
        file: BinaryIO,
        format: str,
        size: tuple[int, int],
        frames_per_second: Fraction,
        sound: bool,
    ) -> None:
        """Begin to write `file`; there is no sound in a .gif."""
        self.target = file
        self.file = av.open(file, "w", format=format)
        self.whole = False  # as in Movie
        self.every = max(round(frames_per_second / GIF_RATE), 1)
        self.video: Any = self.file.add_stream("gif", rate=frames_per_second / self.every)
        self.video.width, self.video.height = size
        self.video.pix_fmt = "pal8"
        self.time_base = self.every / frames_per_second
        self.frames = 0
        self.seen: Any = np.empty(0, np.int32)  # colors, red << 16 | green << 8 | blue
        self.numbers: Any = np.zeros(1 << 24, np.uint8)  # of each color seen, in the palette
        self.exact = np.full((256, 4), 255, np.uint8)  # the palette: alpha, red, green, blue
        self.palette = Image.new("P", (1, 1))  # used once there are too many colors
        self.palette.putpalette(bytes(3))

    def add(self, picture: Picture, audio: NDArray[np.uint8] | None) -> None:
        """Add a frame, one of `every` of which is shown."""
        self.whole = False
        if self.frames % self.every == 0:
            frame = av.VideoFrame.from_ndarray(self._numbered(picture), "pal8")
            frame.pts, frame.time_base = self.frames // self.every, self.time_base
            self.file.mux(self.video.encode(frame))
        self.frames += 1
        self.whole = True

    def _numbered(self, picture: Picture) -> Any:
        """The number of each pixel's color, and the palette, (256, 4) as ARGB."""
        if len(self.seen) <= 256:
            rgb = picture.astype(np.int32)
            codes = rgb[..., 0] << 16 | rgb[..., 1] << 8 | rgb[..., 2]
            known = np.unique(codes)
            self.seen = np.append(self.seen, known[~np.isin(known, self.seen)])
            if len(self.seen) <= 256:
                self.numbers[self.seen] = np.arange(len(self.seen))
                for i in range(3):
                    self.exact[: len(self.seen), 1 + i] = self.seen >> (16 - 8 * i) & 255
                return self.numbers[codes], self.exact
        image = Image.fromarray(picture)
        numbers = self._nearest(image)
        wrong = np.abs(argb_of(self.palette)[numbers][..., 1:].astype(np.int16) - picture).max(
            axis=2
        )
        if (wrong > WRONG).mean() > WRONG_SHARE:
            self.palette = image.quantize(256, dither=Image.Dither.NONE)
            numbers = self._nearest(image)
        return numbers, argb_of(self.palette)

    def _nearest(self, image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(image.quantize(palette=self.palette, dither=Image.Dither.NONE))

    def close(self) -> None:
        """Write the remaining frames."""
        try:
            if self.whole:
                self.file.mux(self.video.encode(None))
        finally:
            with self.target:
                self.file.close()


def argb_of(image: Image.Image) -> NDArray[np.uint8]:
    """The palette of a picture, (256, 4) as alpha, red, green, blue."""
    argb = np.full((256, 4), 255, np.uint8)
    colors = np.reshape(image.getpalette() or [], (-1, 3))
    argb[: len(colors), 1:] = colors
    return argb
