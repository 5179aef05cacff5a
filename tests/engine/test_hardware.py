"""The random streams of a run, and what a run says of its machine."""

from __future__ import annotations

import itertools

import pytest

from engine.hardware import STREAMS, commit, describe, free_memory, random_stream, versions


def test_every_part_every_game_and_every_seed_has_a_stream_of_its_own() -> None:
    drawn = {
        random_stream(seed, name, game).integers(2**63)
        for seed, name, game in itertools.product((0, 1), STREAMS, (0, 1))
    }
    assert len(drawn) == 4 * len(STREAMS)


def test_a_stream_is_the_same_for_ever() -> None:
    # The order of STREAMS and the kind of generator are part of every published seed.
    assert random_stream(7, "weights").integers(1000, size=3).tolist() == [848, 392, 804]
    assert random_stream(7, "replay").integers(1000, size=3).tolist() == [290, 208, 342]


def test_an_unknown_stream_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        random_stream(7, "dice")


def test_the_machine_is_described() -> None:
    assert 0 < free_memory() < 2**50
    assert {"python", "torch", "numpy", "ale-py", "commit"} <= versions().keys()
    assert "cores" in describe()
    assert "\n" not in describe() + commit()
