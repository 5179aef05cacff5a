"""The random streams of a run."""

from __future__ import annotations

import itertools

import pytest

from seeds import STREAMS, random_stream


def test_every_part_every_game_and_every_seed_has_a_stream_of_its_own() -> None:
    drawn = {
        random_stream(seed, name, game).integers(2**63)
        for seed, name, game in itertools.product((0, 1), STREAMS, (0, 1))
    }
    assert len(drawn) == 4 * len(STREAMS)


def test_a_stream_never_changes() -> None:
    # The order of STREAMS and the kind of generator are part of every published seed.
    assert random_stream(7, "weights").integers(1000, size=3).tolist() == [848, 392, 804]
    assert random_stream(7, "replay").integers(1000, size=3).tolist() == [290, 208, 342]


def test_an_unknown_stream_is_an_error() -> None:
    with pytest.raises(ValueError, match="not in tuple"):
        random_stream(7, "dice")
