"""Presets and CSVs of any content are read, or refused in a sentence."""

from __future__ import annotations

import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands.presets import PRESETS, read_preset
from config import ROOT
from errors import UserError
from stats import Statistics
from tests.faults.run_faults import damage

CSV = ROOT / "tests" / "original_results" / "breakout.csv"


def one_sentence(error: UserError) -> bool:
    text = str(error)
    return text.endswith(".") and "\n" not in text and len(text) < 500


def check_preset(path: Path) -> None:
    try:
        read_preset(str(path))
    except UserError as error:
        assert one_sentence(error), error  # noqa: PT017


def check_csv(path: Path) -> None:
    stats = Statistics(SimpleNamespace(games=[0]), None, None, path)  # type: ignore[arg-type]
    try:
        stats.continue_after(3)
        stats.write()
    except UserError as error:
        assert one_sentence(error), error  # noqa: PT017


@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_damaged_presets_and_csvs(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp()
    for source, check in ((PRESETS / "nature.toml", check_preset), (CSV, check_csv)):
        path = folder / source.name
        path.write_bytes(source.read_bytes())
        damage(path, random.Random(seed))
        check(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 1000,
        b"\xff\xfe",
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a=" * 100_000,
        b"[a" + b".a" * 100_000 + b"]",
        b"batch_size = " + b"9" * 100_000,
        b"learning_rate = nan",
        b"learning_rate = 1e999",
        b"batch_size = 1e3",
        b"batch_size = true",
        b"game = 'pong'",
        b'csv_file = "\\u0000"',
        b'preset = "other"',
        b"[batch_size]",
        b"epoch,phase\n" * 1000,
        b"epoch\n" + b"9" * 100_000,
        b'"' * 99_999,
        b'epoch\n"' + b"a" * 1_000_000,
        b"epoch" + b"," * 1_000_000,
    ],
    ids=lambda content: repr(content[:12]),
)
def test_hostile_presets_and_csvs(content: bytes, tmp_path: Path) -> None:
    for name, check in (("a.toml", check_preset), ("a.csv", check_csv)):
        path = tmp_path / name
        path.write_bytes(content)
        check(path)
