from __future__ import annotations

import gc
import pickle
import pickletools
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot.pickle_writer import dumps
from snapshot.safe_pickle import MAX_BYTES, Refused, loads
from tests.faults.fuzz_pickles import all_cases, run
from tests.faults.hostile_pickles import array, call, commands, dtype, text

# Written by Python 2.7 and numpy 1.16: as by Neon 1.0, and as by the original's convert_weights.py
PYTHON_2 = sorted(Path("tests/pickles").glob("*.pkl"))

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda parts: (
        st.lists(parts)
        | st.tuples(parts, parts, parts)
        | st.dictionaries(st.text(max_size=1000), parts)
    ),
    max_leaves=30,
)


def same(one: Any, other: Any) -> bool:
    """Equal in values and types, arrays included."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@given(plain, st.integers(0, 4))
def test_reads_what_pythons_pickler_writes(value: object, protocol: int) -> None:
    assert same(loads(pickle.dumps(value, protocol)), value)


@given(plain)
def test_what_is_written_is_read_by_both(value: object) -> None:
    data = dumps(value)
    assert same(loads(data), value)
    assert same(pickle.loads(data), value)


@pytest.mark.parametrize("protocol", [1, 2, 3, 4])
@pytest.mark.parametrize("code", ["<f2", "<f4", ">f4", "<f8", "|i1", "<i8", ">u2", "<u4", "|b1"])
def test_reads_arrays(code: str, protocol: int) -> None:
    whole = np.arange(24).reshape(2, 3, 4).astype(code)
    for value in (whole, whole.T, whole[:, 1:], whole[0, 0, 0:1]):
        found = loads(pickle.dumps(value, protocol))
        assert isinstance(found, np.ndarray)
        assert found.dtype == (np.float32 if "f" in code else np.dtype(code).newbyteorder("="))
        assert found.flags.writeable
        assert found.flags.c_contiguous
        np.testing.assert_array_equal(found, value)
        assert same(loads(dumps(value)), found)
        np.testing.assert_array_equal(pickle.loads(dumps(value)), value)


@pytest.mark.parametrize("path", PYTHON_2, ids=lambda path: path.name)
def test_reads_what_python_2_wrote(path: Path) -> None:
    data = path.read_bytes()
    assert same(loads(data), pickle.loads(data, encoding="latin1"))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_reads_the_names_of_numpy_1_and_2(module: str) -> None:
    data = b"\x80\x02" + array().replace(b"numpy.core.multiarray", module.encode()) + b"."
    assert same(loads(data), np.zeros(4, np.float32))


def test_reads_ordered_dicts_and_bytes_as_python_2_names_them() -> None:
    value = OrderedDict([("a", 1), ("b", [2, 3])])
    assert loads(pickle.dumps(value, 2)) == {"a": 1, "b": [2, 3]}
    assert loads(pickle.dumps({b"k\xe4y": b"\xff"}, 3)) == {"käy": "ÿ"}


def test_a_part_used_twice_is_read_twice() -> None:
    part = {"W": np.ones(3, np.float32)}
    found: Any = loads(pickle.dumps([part, part], 2))
    assert found[0] is not found[1]
    assert same(found, [part, part])


def test_overflow_on_the_way_to_float32_is_infinite() -> None:
    assert same(loads(dumps(np.array([1e300]))), np.array([np.inf], np.float32))


def test_equal_values_give_equal_bytes() -> None:
    name = "".join(["na", "me"])  # another object than the literal
    assert dumps([name, name, (1.5,)]) == dumps(["name", name, (1.5,)])


def test_only_numpys_public_names_are_written() -> None:
    stated = {argument for op, argument, _ in pickletools.genops(dumps([np.ones(3)])) if argument}
    names = {argument for argument in stated if " " in str(argument)}
    assert names == {
        "numpy.core.multiarray _reconstruct",
        "numpy ndarray",
        "numpy dtype",
        "_codecs encode",
    }


@pytest.mark.parametrize(
    "value",
    [b"bytes", {1: "a"}, {"a": {1}}, np.float32(1), np.array(["a"]), np.array([{}]), Path(), 1j],
)
def test_writes_nothing_else(value: object) -> None:
    with pytest.raises(TypeError, match="a snapshot cannot hold"):
        dumps(value)


def test_badly_encoded_text_is_written_readably() -> None:
    assert loads(dumps("roms/\udcff.bin")) == "roms/\\udcff.bin"


@pytest.mark.parametrize("name", commands(""))
def test_commands_are_refused(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    code = commands(f"touch {canary}")[name]
    for data in (
        b"\x80\x02" + code + b".",
        code + b".",
        b"\x80\x02}" + text("epoch_index") + code + b"s.",
        b"\x80\x02" + array(data=code) + b".",
        b"\x80\x02" + array(shape=code) + b".",
        b"\x80\x02" + array(kind=code) + b".",
        b"\x80\x02" + dtype("f4", code) + b".",
    ):
        with pytest.raises(Refused) as refusal:
            loads(data)
        assert "\n" not in str(refusal.value)
    assert not canary.exists()


@pytest.mark.parametrize(
    "name", ["os.system", "builtins.eval", "getattr", "map", "INST", "OBJ", "STACK_GLOBAL"]
)
def test_the_commands_are_real(name: str, tmp_path: Path) -> None:
    """Or it would prove nothing that they are refused."""
    canary = tmp_path / "canary"
    pickle.loads(b"\x80\x02" + commands(f"touch {canary}")[name] + b".")
    assert canary.exists()


def test_places_with_equal_hashes_are_refused() -> None:
    assert loads(b"\x80\x02Np4294967295\n.") is None
    for place in (b"-1", b"2305843009213693951"):
        with pytest.raises(Refused, match="damaged"):
            loads(b"\x80\x02Np" + place + b"\n.")


def test_too_large_a_file_is_not_looked_at() -> None:
    with pytest.raises(Refused, match="larger than 160 MB"):
        loads(bytes(MAX_BYTES + 1))


def test_a_name_is_shown_harmlessly() -> None:
    with pytest.raises(Refused) as refusal:
        loads(text("\x1b[31m\n") + text("x" * 1000) + b"\x93.")
    assert len(str(refusal.value)) < 120
    assert str(refusal.value).isprintable()


def test_what_is_read_is_not_held() -> None:
    """A machine that pointed to itself would live on with all it holds until much later."""
    gc.disable()
    try:
        found = loads(pickle.dumps(np.ones(3), 2))
        alive = weakref.ref(found)
        del found
        assert alive() is None
    finally:
        gc.enable()


def test_hostile_files_in_a_process_of_their_own(tmp_path: Path) -> None:
    """The bounded form of `python tests/faults/fuzz_pickles.py`."""
    canary = tmp_path / "canary"
    report = run(all_cases(600, canary, size=8 << 20), tmp_path, canary)
    assert not report.failures, str(report)
    assert report.outcomes["refused"] > 400
    assert report.outcomes["read"] > 10
    assert report.outcomes.total() == 600
    assert report.largest < 1e9


def test_calls_take_what_they_should() -> None:
    for code in (
        call("numpy.dtype"),
        call("numpy.core.multiarray._reconstruct", b"N"),
        call("_codecs.encode", text("a"), text("utf-8")),
        call("_codecs.encode", b"]", text("latin1")),
        call("collections.OrderedDict", text("ab")),
        array(data=b"C\x0f" + bytes(15)),
        b"(",
        b"h\x00",
        b"]N\x85au",
    ):
        with pytest.raises(Refused):
            loads(code + b".")
    with pytest.raises(Refused, match="ends too early"):
        loads(b"")
