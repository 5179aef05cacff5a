"""Where screens are kept: every way gives the same minibatches, and the room it was planned."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from config import Config, EnvironmentSettings
from environment import ALEEnvironment
from envs.roms import find_rom
from replay.compressed import (
    GROUP,
    SEGMENT,
    CompressedRing,
    CompressedScreens,
    check_segment,
    decode,
    encode,
)
from replay.gpu import AT_ONCE, GPUScreens
from replay.make import make_screens, storage_bytes
from replay_memory import ReplayMemory, Uniform

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


def memory(storage: str, size: int, **flags: Any) -> ReplayMemory:
    config = Config(replay_size=size, screen_height=HEIGHT, screen_width=WIDTH, **flags)
    screens: Any = (
        GPUScreens(size, HEIGHT, WIDTH, device="cpu")
        if storage == "gpu"
        else make_screens(storage, config)
    )
    return ReplayMemory(config, screens=screens, sampler=Uniform(np.random.default_rng(1)))


@settings(max_examples=40)
@given(
    size=st.sampled_from([6, GROUP, GROUP + 1, SEGMENT, SEGMENT + 5, 2 * SEGMENT, 600]),
    steps=st.integers(1, 1500),
)
def test_every_slot_reads_back_whatever_was_written_last(size: int, steps: int) -> None:
    screens = walk(steps)
    store = CompressedScreens(1, size, HEIGHT, WIDTH)
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


@pytest.mark.parametrize(
    "flags", [{}, {"zero_history": True}, {"n_step": 3, "num_envs": 2}], ids=str
)
@pytest.mark.parametrize("storage", ["compressed", "gpu"])
def test_minibatches_are_the_same_in_every_storage(storage: str, flags: dict[str, Any]) -> None:
    array, other_memory = (memory(kind, 1400, batch_size=8, **flags) for kind in ("array", storage))
    rng = np.random.default_rng(2)
    games = flags.get("num_envs", 1)
    for n, screen in enumerate(walk(4500)):
        action, reward, terminal = n % 4, float(rng.integers(-1, 2)), rng.random() < 0.03
        for each in (array, other_memory):
            each.add(n % games, action, reward, screen, terminal)
            if terminal:
                each.begin_episode(n % games, screen)
        if n > 20 and n % 5 == 0:
            one, other = array.sample(), other_memory.sample()
            assert (one.screens == np.asarray(other.screens)).all()
            assert (one.states == other.states).all()
            assert (one.next_states == other.next_states).all()
            for name in ("actions", "returns", "discounts", "indices", "weights"):
                assert np.array_equal(getattr(one, name), getattr(other, name)), name


@pytest.mark.parametrize("steps", [1, GROUP, SEGMENT - 3, SEGMENT, SEGMENT + 20, 700, 1111, 1200])
def test_a_restored_store_continues_as_the_old_one(steps: int) -> None:
    size = 600
    screens = walk(steps + 400)
    old, new = (CompressedRing(size, HEIGHT, WIDTH) for _ in range(2))
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


def test_games_are_kept_apart() -> None:
    store, games, slots = CompressedScreens(3, 20, HEIGHT, WIDTH), 3, 20
    screens = walk(150)
    latest = np.zeros((games * slots, HEIGHT, WIDTH), np.uint8)
    counts = [0, 0, 0]
    for n, screen in enumerate(screens):
        game = 0 if n % 2 else n % 3
        slot = game * slots + counts[game] % slots
        store.write(slot, screen)
        latest[slot] = screen
        counts[game] += 1
    assert min(counts) >= slots
    ends = np.array([4, 17, 33, 59, 58])
    out = np.empty((len(ends), 1, HEIGHT, WIDTH), np.uint8)
    assert np.array_equal(store.windows(ends, out)[:, 0], latest[ends])


def test_slots_are_written_in_order() -> None:
    with pytest.raises(ValueError, match="slot 0 comes next"):
        CompressedScreens(1, 10, HEIGHT, WIDTH).write(3, np.zeros((HEIGHT, WIDTH), np.uint8))


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
    environment = ALEEnvironment(EnvironmentSettings(), rom=find_rom(game), random_seed=1)
    rng = np.random.default_rng(0)
    store = CompressedRing(SEGMENT, 84, 84)
    environment.restart()
    for slot in range(SEGMENT):
        environment.act(int(rng.integers(len(environment.action_names))))
        if environment.is_terminal():
            environment.restart()
        store.write(slot, environment.screen())
    assert len(store.segments[0]) < storage_bytes("compressed", Config(), SEGMENT) / 2
    assert storage_bytes("compressed", Config(), 1_000_000) < 1e9


def test_a_gpus_screens_wait_to_be_copied_together() -> None:
    store = GPUScreens(10, HEIGHT, WIDTH, device="cpu")
    screens, screen = walk(3), np.empty((HEIGHT, WIDTH), np.uint8)
    for slot, n in ((4, 0), (5, 1), (4, 2)):  # the last one is in place of the first
        screen[:] = screens[n]
        store.write(slot, screen)
    screen.fill(0)
    assert not store.screens.any()
    found = store.windows(np.array([5]), np.empty((1, 2, HEIGHT, WIDTH), np.uint8))
    assert np.array_equal(found[0], screens[[2, 1]])
    for slot in range(AT_ONCE + 1):
        store.write(slot % 10, screens[0])
    out = np.empty((10, HEIGHT, WIDTH), np.uint8)
    store.read(0, 10, out)
    assert (out == screens[0]).all()
