"""The bounded form of `python tests/faults/fuzz_values.py`."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.fuzz_values import fuzz


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    handlers = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_forged_values_are_used_or_refused_in_a_sentence(tmp_path: Path) -> None:
    outcomes = fuzz(tmp_path, manifests=100, descriptions=60, presets=100, values=6)
    assert [outcome.name for outcome in outcomes if outcome.failure] == [], str(outcomes)
    for outcome in outcomes:
        assert outcome.refused > outcome.tried / 10, outcome
        assert outcome.tried > outcome.refused, outcome
