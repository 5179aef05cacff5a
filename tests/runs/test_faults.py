"""Real runs, killed and disturbed: the short form of tests/faults/run_faults.py."""

from __future__ import annotations

import pytest

from tests.faults.run_faults import Faults
from tests.faults.sandbox import OFTEN, Sandbox

SMALL = """--random_steps 150 --train_steps 250 --test_steps 100 --epochs 2 --replay_size 300
--batch_size 4 --target_steps 60 --random_seed 7 --backend cpu --threads 1 --screen_width 44
--screen_height 44""".split()


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    folder = tmp_path_factory.mktemp("faults")
    return Faults(Sandbox(folder / "a clone", [*SMALL, *OFTEN]), seed=1)


def test_runs_killed_at_random_moments_end_as_if_they_never_were(faults: Faults) -> None:
    outcome = faults.kills(4)
    assert outcome.tried
    assert not outcome.wrong, outcome


def test_a_second_training_on_the_same_names_is_refused(faults: Faults) -> None:
    outcome = faults.two_at_once()
    assert not outcome.wrong, outcome


def test_files_that_cannot_grow_cost_nothing_that_was_saved(faults: Faults) -> None:
    outcome = faults.full_disk((4_000,))
    assert outcome.tried
    assert not outcome.wrong, outcome
