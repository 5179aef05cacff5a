"""The choice of an engine and of a device that has room."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import deepqnetwork
from config import NetworkSettings
from deepqnetwork import DeepQNetwork
from engine.device import OutOfMemory, warn_once
from engine.make import LearningNetwork, make_network
from errors import UserError


@pytest.fixture(autouse=True)
def nothing_said() -> None:
    warn_once.cache_clear()


def make(backend: str, **flags: Any) -> LearningNetwork:
    settings = NetworkSettings(
        screen_height=36, screen_width=36, batch_size=2, backend=backend, threads=1, **flags
    )
    return make_network(settings, 3, np.random.default_rng(0))


@pytest.fixture
def full_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the CPU is out of memory."""

    class Full(DeepQNetwork):
        def __init__(self, settings: NetworkSettings, **given: Any) -> None:
            if settings.backend != "cpu":
                given["rng"].spawn(1)[0].random()  # what was drawn before there was no room
                given["rng"].random()
                raise OutOfMemory("CUDA out of memory. Tried to allocate 20.00 MiB.")
            super().__init__(settings, **given)

    monkeypatch.setattr(deepqnetwork, "DeepQNetwork", Full)


@pytest.mark.usefixtures("full_gpu")
def test_without_room_on_the_gpu_the_cpu_serves(caplog: pytest.LogCaptureFixture) -> None:
    network = make("auto")
    assert isinstance(network, DeepQNetwork)
    assert network.device.type == "cpu"
    assert "computed on the CPU" in caplog.text
    alone = make("cpu").get_state()
    assert all(np.array_equal(each, alone[name]) for name, each in network.get_state().items())


@pytest.mark.usefixtures("full_gpu")
def test_a_gpu_that_was_asked_for_and_has_no_room_is_an_error() -> None:
    with pytest.raises(UserError, match=r"too little free memory .* use --backend cpu"):
        make("gpu")


@pytest.mark.parametrize(
    ("flags", "warned"),
    [("fma avx512_bf16 avx2", False), ("fma avx2", True), ("asimd bf16", False)],
)
def test_a_processor_without_bfloat16_is_warned_of(
    flags: str,
    warned: bool,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: A bf16\nflags\t\t: {flags}\n")
    monkeypatch.setattr("engine.hardware.Path", lambda _: tmp_path / "cpuinfo")
    make("cpu", datatype="bfloat16")
    assert ("no bfloat16 instructions" in caplog.text) == warned


def test_float16_on_a_cpu_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    make("cpu")
    assert not caplog.records
    make("cpu", datatype="float16")
    make("cpu", datatype="float16")
    assert caplog.text.count("ten times slower") == 1
