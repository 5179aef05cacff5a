from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config import Config
from environment import ALEEnvironment
from envs.roms import find_rom
from errors import UserError
from replay.compressed import (
    GROUP,
    SEGMENT,
    CompressedScreens,
    check_segment,
    decode,
    encode,
    make_screens,
    storage_bytes,
)
from replay_memory import ReplayMemory
from runs.preflight import choose_storage

HEIGHT, WIDTH = 12, 10


def walk(steps: int, seed: int = 0) -> NDArray[np.uint8]:
    """Screens of which each differs a little from the one before."""
    rng = np.random.default_rng(seed)
    screens = np.empty((steps, HEIGHT, WIDTH), np.uint8)
    screen = rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    for n in range(steps):
        screen[rng.integers(HEIGHT), rng.integers(WIDTH)] = rng.integers(256)
        screens[n] = screen
    return screens


def memory(storage: str, size: int, **keywords: Any) -> ReplayMemory:
    return ReplayMemory(
        size=size,
        screen_height=HEIGHT,
        screen_width=WIDTH,
        rng=np.random.default_rng(1),
        screens=make_screens(storage, size, HEIGHT, WIDTH, device="cpu")[0],
        **keywords,
    )


@settings(max_examples=40)
@given(
    size=st.sampled_from([6, GROUP, GROUP + 1, SEGMENT, SEGMENT + 5, 2 * SEGMENT, 600]),
    steps=st.integers(1, 1500),
)
def test_every_slot_reads_back_whatever_was_written_last(size: int, steps: int) -> None:
    screens = walk(steps)
    store = CompressedScreens(size, HEIGHT, WIDTH)
    for n, screen in enumerate(screens):
        store.write(n % size, screen)
    window = min(5, size, steps)
    out = np.empty((window, HEIGHT, WIDTH), np.uint8)
    current = steps % size
    for first in range(min(size, steps) - window + 1):
        if first < current < first + window and steps > size:
            continue  # the write position cuts it
        store.read(first, first + window, out)
        latest = [slot + (steps - 1 - slot) // size * size for slot in range(first, first + window)]
        assert np.array_equal(out, screens[latest])


@pytest.mark.parametrize("zero_history", [False, True])
@pytest.mark.parametrize("storage", ["compressed", "gpu"])
def test_minibatches_are_the_same_in_every_storage(storage: str, zero_history: bool) -> None:
    array, other_memory = (
        memory(kind, 700, batch_size=8, zero_history=zero_history) for kind in ("array", storage)
    )
    rng = np.random.default_rng(2)
    for n, screen in enumerate(walk(2500)):
        action, reward, terminal = n % 4, float(rng.integers(-1, 2)), rng.random() < 0.03
        for each in (array, other_memory):
            each.add(action, reward, screen, terminal)
            if terminal:
                each.begin_episode(screen)
        if n > 20 and n % 3 == 0:
            one, other = array.sample(), other_memory.sample()
            assert (one.screens == np.asarray(other.screens)).all()
            assert (one.prestates == other.prestates).all()
            assert (one.poststates == other.poststates).all()
            assert (one.actions == other.actions).all()
            assert (one.rewards == other.rewards).all()
            assert (one.terminals == other.terminals).all()


@pytest.mark.parametrize("steps", [1, GROUP, SEGMENT - 3, SEGMENT, SEGMENT + 20, 700, 1111, 1200])
def test_a_restored_store_goes_on_as_the_old_one(steps: int) -> None:
    size = 600
    screens = walk(steps + 400)
    old, new = (CompressedScreens(size, HEIGHT, WIDTH) for _ in range(2))
    latest = np.zeros((size, HEIGHT, WIDTH), np.uint8)
    for n in range(steps):
        old.write(n % size, screens[n])
        latest[n % size] = screens[n]
    new.restore([encode(latest[n : n + SEGMENT]) for n in range(0, size, SEGMENT)], steps % size)
    out = np.empty((1, HEIGHT, WIDTH), np.uint8)
    for n in range(steps, steps + 400):
        for slot in (3, (n - 1) % size, (n * 7) % size):
            if slot < n:
                new.read(slot, slot + 1, out)
                assert np.array_equal(out[0], latest[slot])
        old.write(n % size, screens[n])
        new.write(n % size, screens[n])
        latest[n % size] = screens[n]
    assert new.blocks == old.blocks
    if steps + 400 >= 2 * SEGMENT:
        assert new.segments[1] == old.segments[1]


def test_slots_are_written_in_order() -> None:
    with pytest.raises(ValueError, match="slot 0 comes next"):
        CompressedScreens(10, HEIGHT, WIDTH).write(3, np.zeros((HEIGHT, WIDTH), np.uint8))


@given(st.integers(0, 10_000), st.integers(0, 255))
def test_damaged_segments_are_refused_or_read_as_screens(at: int, value: int) -> None:
    segment = bytearray(encode(walk(20)))
    segment[at % len(segment)] = value
    with contextlib.suppress(ValueError):
        assert decode(bytes(segment), 20, HEIGHT, WIDTH).shape == (20, HEIGHT, WIDTH)


@pytest.mark.parametrize("segment", [b"", b"1234", encode(walk(20))[:-1], encode(walk(8))])
def test_segments_of_another_length_are_refused(segment: bytes) -> None:
    with pytest.raises(ValueError, match="damaged"):
        check_segment(segment, 20)


@pytest.mark.parametrize("game", ["breakout", "space_invaders"])
def test_real_screens_fit_into_the_room_planned_for_them(game: str) -> None:
    environment = ALEEnvironment(rom=find_rom(game), random_seed=1)
    rng = np.random.default_rng(0)
    store = CompressedScreens(SEGMENT, 84, 84)
    environment.restart()
    for slot in range(SEGMENT):
        environment.act(int(rng.integers(len(environment.action_names))))
        if environment.is_terminal():
            environment.restart()
        store.write(slot, environment.screen())
    assert len(store.segments[0]) < storage_bytes("compressed", SEGMENT, 84, 84) / 2
    assert storage_bytes("compressed", 1_000_000, 84, 84) < 1e9


@pytest.mark.parametrize(
    ("storage", "gigabytes", "on_gpu", "taken"),
    [
        ("auto", 20, 80, "gpu"),
        ("auto", 20, 8, "array"),
        ("gpu", 2, 8, "gpu"),
        ("array", 20, 80, "array"),
        ("auto", 20, 0, "array"),
        ("auto", 10, 0, "compressed"),
        ("auto", 2, 0, "compressed"),
        ("array", 8, 0, "array"),
        ("compressed", 20, 0, "compressed"),
    ],
)
def test_auto_takes_what_fits_comfortably(
    storage: str, gigabytes: int, on_gpu: int, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.preflight.free_memory", lambda: gigabytes * 10**9)
    monkeypatch.setattr("runs.preflight.free_gpu_memory", lambda *_: on_gpu * 10**9)
    assert choose_storage(Config(replay_storage=storage)) == taken


@pytest.mark.parametrize(
    ("storage", "megabytes", "hint"),
    [
        ("gpu", 2000, "--replay_storage compressed fits"),
        ("array", 2000, "--replay_storage compressed fits"),
        ("array", 1200, r"--replay_size \d+ fits"),
        ("compressed", 1200, r"--replay_size \d+ fits"),
    ],
)
def test_a_memory_that_does_not_fit_is_refused(
    storage: str, megabytes: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runs.preflight.free_memory", lambda: megabytes * 10**6)
    monkeypatch.setattr("runs.preflight.free_gpu_memory", lambda *_: 2 * 10**9)
    with pytest.raises(UserError, match=hint):
        choose_storage(Config(replay_storage=storage))


def test_without_a_gpu_its_memory_cannot_be_used() -> None:
    with pytest.raises(UserError, match="needs a GPU"):
        choose_storage(Config(replay_storage="gpu", backend="cpu"))


def test_a_gpu_that_fills_up_meanwhile_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(torch, "zeros", full)
    with pytest.raises(UserError, match="no room for the replay memory"):
        make_screens("gpu", 8, HEIGHT, WIDTH)
