"""The memory that a run is reckoned to take, against what was measured."""

from __future__ import annotations

import re
from typing import Any

import pytest

from config import Config
from errors import UserError
from runs import preflight
from runs.preflight import ATOMS, check_memory, transition_bytes
from variants.c51 import ATOMS as C51_ATOMS
from variants.quantiles import IQN_SAMPLES, QUANTILES

# Megabytes per transition by which the memory of a weight update grew with the minibatch (PyTorch
# 2.13, 84x84 screens, a minibatch in one part, an AMD EPYC).
MEASURED: list[tuple[float, dict[str, Any]]] = [
    (0.37, {}),
    (0.24, dict(network="nips")),
    (0.72, dict(network_width=2.0)),
    (0.17, dict(datatype="bfloat16")),
    (0.64, dict(normalization="layer", n_step=3)),
    (0.88, dict(batch_norm=True)),
    (0.35, dict(dueling=True, noisy=True)),
    (1.59, dict(screen_width=160, screen_height=160)),
    (2.64, dict(network="impala")),
    (5.57, dict(network="impala", network_width=2.0)),
    (1.40, dict(distribution="quantile")),
    (48.5, dict(distribution="quantile", atoms=1024)),
    (16.9, dict(distribution="c51", atoms=1024)),
    (4.92, dict(distribution="iqn")),
    (0.77, dict(distribution="iqn", atoms=8)),
    (7.93, dict(distribution="iqn", dueling=True, noisy=True)),
    (3.00, dict(distribution="iqn", atoms=8, network="impala")),
    (7.43, dict(distribution="iqn", network="impala")),
]


@pytest.mark.parametrize(("megabytes", "flags"), MEASURED, ids=str)
def test_what_a_transition_takes_is_about_what_was_measured(
    megabytes: float, flags: dict[str, Any]
) -> None:
    assert 0.9 < transition_bytes(Config(**flags), whole=True) / 1e6 / megabytes < 2


def test_a_thread_computes_one_part_after_the_other() -> None:
    one, two = (transition_bytes(Config(network="impala", threads=n)) for n in (1, 2))
    assert one / two == pytest.approx(0.5, abs=0.02)
    assert two == transition_bytes(Config(network="impala", threads=9))
    assert two == transition_bytes(Config(network="impala"), whole=True)


def test_atoms_are_those_of_the_papers() -> None:
    assert {**ATOMS, "c51": C51_ATOMS, "quantile": QUANTILES, "iqn": IQN_SAMPLES} == ATOMS


@pytest.mark.parametrize("gpu", [0, 10**9])
def test_a_minibatch_that_does_not_fit_is_refused(
    gpu: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "free_gpu_memory", lambda _: gpu)
    monkeypatch.setattr(preflight, "free_memory", lambda: 10**12 if gpu else 10**9)
    for flags in (dict(network="impala"), dict(distribution="iqn"), dict(distribution="quantile")):
        check_memory(Config(batch_size=100, threads=2, **flags))  # type: ignore[arg-type]
        where = "are free on the GPU: " if gpu else "are free: "
        with pytest.raises(UserError, match=rf"takes \d+\.\d GB but 1\.0 GB {where}") as error:
            check_memory(Config(batch_size=1000, threads=2, **flags))  # type: ignore[arg-type]
        assert re.search("smaller one", str(error.value))
