"""Where a result comes from."""

from __future__ import annotations

from runs.provenance import commit, describe, versions


def test_versions_are_of_all_that_results_depend_on() -> None:
    # Numba's compiled loops give other last bits than PyTorch's operations.
    assert {"python", "torch", "numpy", "ale-py", "numba"} <= versions().keys()
    assert all(isinstance(version, str) for version in versions().values())


def test_the_machine_is_described_in_a_line() -> None:
    assert "cores" in describe()
    assert "\n" not in describe() + commit()
