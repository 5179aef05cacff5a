"""Writes plain data and NumPy arrays as a pickle that any Python and any NumPy can load.

Python's own pickler would name private modules of the installed NumPy, which other versions do not
have, and its bytes depend on which equal values are the same object. Here equal data always gives
equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from snapshot.safe_pickle import NUMBERS


def dumps(value: object) -> bytes:
    """A protocol 2 pickle of dicts with str keys, lists, tuples, str, numbers, None and arrays of
    numbers. Raises TypeError for anything else."""
    return b"\x80\x02" + b"".join(_instructions(value)) + b"."


def _instructions(value: object) -> Iterator[bytes]:
    match value:
        case None:
            yield b"N"
        case bool():
            yield b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            yield b"J" + struct.pack("<i", value)
        case int():
            size = value.bit_length() // 8 + 1
            yield b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
        case float():
            yield b"G" + struct.pack(">d", value)
        case str():  # half a surrogate pair, as in a badly encoded file name, is written as \udcff
            text = value.encode("utf-8", "backslashreplace")
            yield b"X" + struct.pack("<I", len(text)) + text
        case list() | tuple():
            yield b"](" if isinstance(value, list) else b"("
            for item in value:
                yield from _instructions(item)
            yield b"e" if isinstance(value, list) else b"t"
        case dict() if all(isinstance(key, str) for key in value):
            yield b"}("
            for pair in value.items():
                for item in pair:
                    yield from _instructions(item)
            yield b"u"
        case np.ndarray() if value.dtype.str[1:] in NUMBERS:
            order, code = value.dtype.str[0], value.dtype.str[1:]
            yield b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n"
            yield from _instructions((0,))
            yield from _encoded(b"b")
            yield b"tR("
            yield from _instructions(1)
            yield from _instructions(value.shape)
            yield b"cnumpy\ndtype\n"
            yield from _instructions((code, False, True))
            yield b"R"
            yield from _instructions((3, order, None, None, None, -1, -1, 0))
            yield b"b\x89"
            yield from _encoded(value.tobytes())
            yield b"tb"
        case _:
            raise TypeError(f"a snapshot cannot hold a {type(value).__name__}: {value!r:.80}")


def _encoded(data: bytes) -> Iterator[bytes]:
    """Bytes in a form of protocol 2 that Python 2 and 3 both understand: text and its encoding."""
    yield b"c_codecs\nencode\n"
    yield from _instructions((data.decode("latin-1"), "latin1"))
    yield b"R"
