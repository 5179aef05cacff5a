"""Reads plain data and NumPy arrays from a pickle, without Python's own unpickler.

A pickle is a program for a small stack machine, and Python's machine imports and calls whatever the
program names. The machine here has only the instructions with which picklers of protocols 0 to 4
write plain data. The few names that a NumPy array needs stand for functions in this file, so that
nothing is ever imported or called. No file takes more than 1 GB of memory or 10 seconds: each
instruction, each value that it copies and each byte that it makes is charged to a budget before the
work is done. Operands are compared or hashed only after their types are known, because comparing or
hashing a hostile value can take any amount of time.
"""

from __future__ import annotations

import codecs
import math
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 160 << 20  # with dueling and noisy streams and Adam's states 120 MB
MAX_PARTS = 100_000  # instructions, and values that they build; a snapshot has about 1,500
MAX_DEPTH = 64  # containers within containers; a snapshot has 8
MAX_LINE = 1_000  # bytes of a number or a name written as text
MAX_TEXT = 1 << 16  # bytes of a text that is not an array's numbers
MAX_NAME = 1_000  # characters of a key or a name
MAX_ARGUMENTS = 8  # of the functions behind the names; of a dtype's state

# NumPy's types of numbers; objects (O), strings, records and dates are not among them.
NUMBERS = frozenset(["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])

# Errors of instructions whose operands are missing, of the wrong type or unreadable as text. The
# last one is Python 3.12's for a backslash in a string that no Python wrote.
_STUMBLES: tuple[type[Exception], ...] = (ArithmeticError, AttributeError, LookupError, TypeError)
_STUMBLES += (ValueError, struct.error, DeprecationWarning, RecursionError)


class Refused(ValueError):
    """A pickle is damaged or contains more than plain data; the message says what is wrong."""


@dataclass(eq=False)
class _DType:
    code: str
    order: str = "|"


@dataclass(eq=False)
class _Array:
    value: NDArray[Any] | None = None


def loads(data: bytes) -> object:
    """The content of a pickle (protocol 0 to 4): dicts with str keys, lists, tuples, str, numbers,
    None and NumPy arrays.

    Floating-point arrays become float32, and byte strings str (latin-1, as Neon reads them).

    Raises:
        Refused: it is damaged, too large, or asks for anything else. Nothing has been executed.
    """
    if len(data) > MAX_BYTES:
        raise Refused(f"it is larger than {MAX_BYTES >> 20} MB")
    machine = _Machine(data)
    try:
        return machine.plain(machine.run())
    except Refused:
        raise
    except _STUMBLES:
        raise Refused("it is damaged") from None


class _Machine:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.view = memoryview(data)
        self.position = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.parts = MAX_PARTS
        # Bytes that text and arrays may take: a memoized string could be made into any number of
        # them. Honest numbers take up to 3 times their bytes in the file: as text, encoded, and
        # twice from float16 to float32; and 8 MB are for what Python adds to each text.
        self.room = 3 * len(data) + (8 << 20)

    # The file

    def take(self, size: int) -> memoryview:
        start, self.position = self.position, self.position + size
        if size < 0 or self.position > len(self.data):
            raise Refused("it ends too early")
        return self.view[start : self.position]

    def number(self, size: int, *, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self, limit: int = MAX_LINE) -> bytes:
        size = self.data.find(b"\n", self.position) - self.position
        if size > limit:
            raise Refused("it is damaged")
        return bytes(self.take(size + 1)[:-1])

    def quoted(self) -> bytes:
        text = self.line(limit=MAX_BYTES)
        if len(text) < 2 or text[0] != text[-1] or text[:1] not in (b"'", b'"'):
            raise Refused("it is damaged")
        return codecs.escape_decode(text[1:-1])[0]

    def text(self, data: memoryview, codec: str) -> str:
        # One character beyond Latin-1 makes each of a text take up to 4 bytes; of UTF-8, as numbers
        # come, it is the one to have bytes above 0xC3.
        if len(data) > MAX_TEXT and np.frombuffer(data, np.uint8).max() > 0xC3:
            raise Refused("it holds a text too long")
        text = str(data, codec)
        self.grow(sys.getsizeof(text))
        return text

    # The limits

    def grow(self, size: int) -> None:
        self.room -= size
        if self.room < 0:
            raise Refused("it unfolds to far more than its size")

    def count(self, parts: int = 1) -> None:
        self.parts -= parts
        if self.parts < 0:
            raise Refused("it has far more parts than a snapshot")

    # What the names stand for

    def reconstruct(self, kind: object, shape: object, code: object) -> _Array:
        return _Array()

    def dtype(self, code: object, align: object, copy: object) -> _DType:
        name = self.short(code)
        if name not in NUMBERS:
            raise Refused("it holds an array of something else than numbers")
        return _DType(name)

    def encode(self, text: object, codec: object) -> bytes:
        if type(text) is not str or self.short(codec) not in ("latin1", "latin-1"):
            raise Refused("it is damaged")
        self.grow(len(text))
        return text.encode("latin-1")

    def ordered_dict(self, items: object = ()) -> dict[str, Any]:
        if type(items) not in (list, tuple):
            raise Refused("it is damaged")
        pairs: Any = items
        self.count(2 * len(pairs))
        if not all(type(pair) in (list, tuple) and len(pair) == 2 for pair in pairs):
            raise Refused("it is damaged")
        return self.put({}, [part for pair in pairs for part in pair])

    def build(self, target: object, state: object) -> None:
        if type(state) is not tuple or len(state) > MAX_ARGUMENTS:
            raise Refused("it sets a state that is not an array's")
        if isinstance(target, _DType):
            _, order, subtype, names, fields, *_ = state
            target.order = self.short(order)
            if len(state) != 8 or target.order not in ("<", ">", "|", "="):
                raise Refused("it is damaged")
            if not subtype is names is fields is None:
                raise Refused("it holds an array of something else than numbers")
        elif isinstance(target, _Array):
            target.value = self.array(*state)
        else:
            raise Refused("it sets the state of an object that is not an array")

    def short(self, text: object) -> str:
        """A name that Python 2 wrote as bytes or Python 3 as text."""
        if type(text) not in (str, bytes):
            raise Refused("it is damaged")
        known: Any = text
        if len(known) > MAX_NAME:
            raise Refused("it is damaged")
        name: str = known.decode("latin-1") if isinstance(known, bytes) else known
        return name

    def array(self, _: object, shape: Any, kind: _DType, fortran: bool, raw: Any) -> NDArray[Any]:
        if type(kind) is not _DType or type(shape) is not tuple or type(raw) not in (str, bytes):
            raise Refused("it is damaged")
        dtype = np.dtype(kind.order + kind.code)
        if len(shape) > 8 or not all(type(n) is int and 0 <= n < 2**63 for n in shape):
            raise Refused("it is damaged")
        if math.prod(shape) * dtype.itemsize != len(raw):
            raise Refused("it holds an array whose shape is not that of its numbers")
        goal = np.dtype(np.float32) if dtype.kind == "f" else dtype.newbyteorder("=")
        self.grow(math.prod(shape) * goal.itemsize)
        if isinstance(raw, str):  # strings of Python 2 in a file that Python 3 has rewritten
            raw = self.encode(raw, "latin1")
        found: NDArray[Any] = np.ndarray(shape, dtype, raw, order="F" if fortran else "C")
        with np.errstate(over="ignore", invalid="ignore"):  # whoever uses the numbers judges them
            return found.astype(goal, order="C")

    # The instructions, named as in Python's pickletools

    def run(self) -> object:
        """Follow the instructions to STOP; the object then on top of the stack."""
        stack, memo = self.stack, self.memo
        while (op := chr(self.number(1))) != ".":
            self.count()
            match op:
                case "\x80":  # PROTO
                    if self.number(1) > 4:
                        raise Refused("it is of pickle protocol 5, where Neon's files have 2")
                case "\x95":  # FRAME
                    self.take(8)
                case "(":  # MARK
                    self.marks.append(len(stack))
                case "N":  # NONE
                    stack.append(None)
                case "\x88" | "\x89":  # NEWTRUE, NEWFALSE
                    stack.append(op == "\x88")
                case "K" | "M":  # BININT1, BININT2
                    stack.append(self.number(1 if op == "K" else 2))
                case "J":  # BININT
                    stack.append(self.number(4, signed=True))
                case "\x8a":  # LONG1
                    stack.append(self.number(self.number(1), signed=True))
                case "I":  # INT
                    text = self.line()
                    stack.append(text == b"01" if text in (b"00", b"01") else int(text))
                case "L":  # LONG
                    stack.append(int(self.line().removesuffix(b"L")))
                case "F":  # FLOAT
                    stack.append(float(self.line()))
                case "G":  # BINFLOAT
                    stack.append(*struct.unpack(">d", self.take(8)))
                case "S":  # STRING
                    stack.append(self.quoted())
                case "U" | "C":  # SHORT_BINSTRING, SHORT_BINBYTES
                    stack.append(bytes(self.take(self.number(1))))
                case "T" | "B":  # BINSTRING, BINBYTES
                    stack.append(bytes(self.take(self.number(4))))
                case "V":  # UNICODE
                    line = memoryview(self.line(limit=MAX_TEXT))
                    stack.append(self.text(line, "raw-unicode-escape"))
                case "X" | "\x8c":  # BINUNICODE, SHORT_BINUNICODE
                    stack.append(self.text(self.take(self.number(4 if op == "X" else 1)), "utf-8"))
                case ")":  # EMPTY_TUPLE
                    stack.append(())
                case "\x85" | "\x86" | "\x87":  # TUPLE1, TUPLE2, TUPLE3
                    size = ord(op) - 0x84
                    stack[-size:] = [tuple(stack[len(stack) - size :])]
                case "t":  # TUPLE
                    stack.append(tuple(self.marked()))
                case "]":  # EMPTY_LIST
                    stack.append([])
                case "l":  # LIST
                    stack.append(self.marked())
                case "a" | "e":  # APPEND, APPENDS
                    items = [stack.pop()] if op == "a" else self.marked()
                    self.top(list).extend(items)
                case "}":  # EMPTY_DICT
                    stack.append({})
                case "d":  # DICT
                    stack.append(self.put({}, self.marked()))
                case "s" | "u":  # SETITEM, SETITEMS
                    items = [stack.pop(-2), stack.pop()] if op == "s" else self.marked()
                    self.put(self.top(dict), items)
                case "p":  # PUT
                    number = int(self.line())
                    if not 0 <= number < 1 << 32:  # NB! Larger ones may have equal hashes.
                        raise Refused("it is damaged")
                    memo[number] = stack[-1]
                case "q" | "r":  # BINPUT, LONG_BINPUT
                    memo[self.number(1 if op == "q" else 4)] = stack[-1]
                case "\x94":  # MEMOIZE
                    memo[len(memo)] = stack[-1]
                case "g":  # GET
                    stack.append(memo[int(self.line())])
                case "h" | "j":  # BINGET, LONG_BINGET
                    stack.append(memo[self.number(1 if op == "h" else 4)])
                case "c":  # GLOBAL
                    stack.append(self.named(self.line().decode(), self.line().decode()))
                case "\x93":  # STACK_GLOBAL
                    stack.append(self.named(stack.pop(-2), stack.pop()))
                case "R":  # REDUCE
                    function, arguments = stack.pop(-2), stack.pop()
                    if not isinstance(function, FunctionType):
                        raise Refused("it calls something that makes no array")
                    if type(arguments) is not tuple or len(arguments) > MAX_ARGUMENTS:
                        raise Refused("it is damaged")
                    stack.append(function(self, *arguments))
                case "b":  # BUILD
                    state = stack.pop()
                    self.build(stack[-1], state)
                case _:
                    if not self.data.startswith(b"\x80"):  # as all but the oldest pickles do
                        raise Refused("it is another kind of file")
                    raise Refused(f"its instruction {op!r} is none that writes plain data")
        return stack.pop()

    def named(self, module: object, name: object) -> Callable[..., Any] | None:
        module, name = self.short(module), self.short(name)
        if (module, name) not in _NAMES:
            raise Refused(f"it asks for {f'{module}.{name}'[:60]!r}, as only a program would")
        return _NAMES[module, name]

    def marked(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise Refused("it is damaged")
        return self.stack[-1]

    def put(self, target: dict[str, Any], items: list[Any]) -> dict[str, Any]:
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Short texts only: numbers can be chosen to make a dictionary crawl, and long texts
            # that are equal take long to compare.
            if type(key) not in (str, bytes) or len(key) > MAX_NAME:
                raise Refused("it holds a dictionary whose keys are not short texts")
            target[self.short(key)] = value
        return target

    # The result

    def plain(self, value: Any, depth: int = 0) -> Any:
        """The result with finished arrays; shared parts count as often as they are used."""
        self.count()
        if depth > MAX_DEPTH:
            raise Refused("it is nested far deeper than a snapshot")
        match value:
            case None | bool() | int() | float() | str():
                return value
            case bytes():
                self.grow(len(value))
                return value.decode("latin-1")
            case list():
                return [self.plain(item, depth + 1) for item in value]
            case tuple():
                return tuple([self.plain(item, depth + 1) for item in value])
            case dict():
                return {key: self.plain(item, depth + 1) for key, item in value.items()}
            case _Array(value=np.ndarray() as array):
                return array
        raise Refused("it holds something else than plain data")


_NAMES: dict[tuple[str, str], Callable[..., Any] | None] = {
    ("numpy.core.multiarray", "_reconstruct"): _Machine.reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _Machine.reconstruct,
    ("numpy", "ndarray"): None,
    ("numpy", "dtype"): _Machine.dtype,
    ("_codecs", "encode"): _Machine.encode,
    ("collections", "OrderedDict"): _Machine.ordered_dict,
}
