"""The update rules against their formulas, in NumPy and float64."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from config import NetworkSettings
from engine import compiled
from engine.flat import Flat
from optimizers import Optimizer, learning_rate
from variants.optimizers import make_rule

Array = NDArray[np.float64]
STEPS = 6
LEARNING_RATE, DECAY = 0.01, 0.9
ZERO: Array = np.zeros(())


def rmsprop(g: Iterator[Array]) -> Iterator[Array]:
    """Neon's, after Tieleman and Hinton 2012: what is taken off the weights."""
    s = ZERO
    for g_t in g:
        s = DECAY * s + (1 - DECAY) * g_t**2
        yield LEARNING_RATE * g_t / (np.sqrt(s + 1e-6) + 1e-6)


def centered_rmsprop(g: Iterator[Array]) -> Iterator[Array]:
    """DeepMind's, after Graves 2013: the variance of the gradient instead of its mean square."""
    m = s = ZERO
    for g_t in g:
        m = DECAY * m + (1 - DECAY) * g_t
        s = DECAY * s + (1 - DECAY) * g_t**2
        yield LEARNING_RATE * g_t / np.sqrt(s - m**2 + 0.01)


def adam(g: Iterator[Array]) -> Iterator[Array]:
    """Kingma and Ba 2014, section 2's faster form, as Neon has it."""
    m = v = ZERO
    for t, g_t in enumerate(g, 1):
        m = 0.9 * m + (1 - 0.9) * g_t
        v = 0.999 * v + (1 - 0.999) * g_t**2
        step_size = LEARNING_RATE * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        yield step_size * m / (np.sqrt(v) + 1e-8)


def adadelta(g: Iterator[Array]) -> Iterator[Array]:
    """Zeiler 2012."""
    square = moved = ZERO
    for g_t in g:
        square = DECAY * square + (1 - DECAY) * g_t**2
        delta = np.sqrt(moved + 1e-6) / np.sqrt(square + 1e-6) * g_t
        moved = DECAY * moved + (1 - DECAY) * delta**2
        yield delta


RULES: dict[str, tuple[Callable[[Iterator[Array]], Iterator[Array]], int]] = {
    "rmsprop": (rmsprop, 1),
    "centered_rmsprop": (centered_rmsprop, 2),
    "adam": (adam, 2),
    "adadelta": (adadelta, 3),
}


def gradients(shape: tuple[int, ...]) -> Array:
    """Of several steps, from tiny to large: (STEPS, *shape)."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(STEPS, *shape)) * 10.0 ** rng.integers(-5, 2, size=(STEPS, *shape))


def make_optimizer(
    rule: str,
    weights: list[Tensor],
    *,
    loss_scale: float = 1.0,
    learning_rate: float = LEARNING_RATE,
    **how: Any,
) -> Optimizer:
    """An optimizer of the weights, which become parts of one tensor."""
    settings = NetworkSettings(optimizer=rule, learning_rate=learning_rate, decay_rate=DECAY)
    made = make_rule(settings)
    return Optimizer(made, flat_of(weights), loss_scale=loss_scale, **how)


def flat_of(weights: list[Tensor]) -> Flat:
    flat = Flat(weights)
    weights[:] = [part.copy_(w) for part, w in zip(flat.parts, weights, strict=True)]
    return flat


def update(optimizer: Optimizer, *parts: Sequence[Tensor]) -> None:
    """A weight update by the gradients of a minibatch's parts."""
    optimizer.begin()
    for share in reversed(range(len(optimizer.shares))):  # they are done in any order
        optimizer.step(share, parts)


@pytest.mark.parametrize("loss_scale", [1.0, 32.0])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_rule_is_its_formula(
    rule: str, loss_scale: float, dtype: torch.dtype, error: float
) -> None:
    shapes = [(4, 3), (5,)]
    start = [np.ones(shape) for shape in shapes]
    weights = [torch.from_numpy(w).to(dtype, copy=True) for w in start]
    optimizer = make_optimizer(rule, weights, loss_scale=loss_scale)
    g = [gradients(shape) for shape in shapes]
    for t in range(STEPS):
        update(optimizer, [torch.from_numpy(x[t]).to(dtype) for x in g])
    assert optimizer.updates == STEPS
    formula, states = RULES[rule]
    for w, w_0, g_w, kept in zip(weights, start, g, optimizer.states, strict=True):
        expected = w_0 - sum(formula(iter(g_w / loss_scale)))
        assert np.abs(expected - w_0).max() > 1e-3
        assert np.abs(w.numpy() - expected).max() < error
        assert [state.shape for state in kept] == [w.shape] * states


@pytest.mark.parametrize(
    ("decay", "rates"),
    [(0, [0.5, 0.5, 0.5, 0.5]), (4, [0.4, 0.3, 0.2, 0.1]), (2, [0.3, 0.1, 0.1, 0.1])],
)
def test_the_learning_rate_falls_linearly_and_then_stays(decay: int, rates: list[float]) -> None:
    settings = NetworkSettings(
        learning_rate=0.5, learning_rate_end=0.1, learning_rate_decay_updates=decay
    )
    assert [learning_rate(settings, n) for n in (1, 2, 3, 4)] == pytest.approx(rates)
    assert learning_rate(NetworkSettings(), 10**9) == NetworkSettings().learning_rate


@pytest.mark.parametrize("rule", ["rmsprop", "centered_rmsprop", "adam", "adam_corrected"])
def test_each_update_has_the_learning_rate_of_its_number(rule: str) -> None:
    """The same as rules made anew with that rate for every update."""
    settings = NetworkSettings(
        optimizer=rule,
        learning_rate=0.05,
        learning_rate_end=0.01,
        learning_rate_decay_updates=STEPS - 2,
    )
    rng = torch.Generator().manual_seed(3)
    weights = [torch.ones(50)]
    optimizer = Optimizer(make_rule(settings), flat_of(weights))
    (w,) = weights
    twin = w.clone()
    states = [state.clone() for state in optimizer.states[0]]
    for n in range(1, STEPS + 1):
        g = torch.randn(50, generator=rng)
        update(optimizer, [g])
        rate = 0.05 - 0.04 * min(n / (STEPS - 2), 1)
        constant = NetworkSettings(optimizer=rule, learning_rate=rate)
        made = make_rule(constant)
        made.step(twin, g, made.numbers(n, n), *states)
        assert torch.allclose(w, twin, rtol=1e-6, atol=1e-7)
    assert (w - 1).abs().max() > 0.01


def test_states_are_those_of_a_snapshot_in_its_order() -> None:
    w, g = torch.zeros(1, dtype=torch.float64), torch.full((1,), 2.0, dtype=torch.float64)
    states = {}
    for rule in RULES:
        optimizer = make_optimizer(rule, [w.clone()], learning_rate=1)
        update(optimizer, [g])
        states[rule] = [float(state) for state in optimizer.states[0]]
    delta = np.sqrt(1e-6 / (0.4 + 1e-6)) * 2
    assert states["rmsprop"] == pytest.approx([0.4])
    assert states["centered_rmsprop"] == pytest.approx([0.4, 0.2])
    assert states["adam"] == pytest.approx([0.2, 0.004])
    assert states["adadelta"] == pytest.approx([0.4, 0.1 * delta**2, delta])


@pytest.mark.parametrize("rule", RULES)
def test_gradients_may_be_of_lower_precision(rule: str) -> None:
    g = torch.tensor([1.5, -0.25])
    moved = []
    for dtype in (torch.float32, torch.bfloat16):
        weights = [torch.ones(2)]
        update(make_optimizer(rule, weights), [g.to(dtype)])
        moved += weights
    assert torch.equal(*moved)
    assert not torch.equal(moved[0], torch.ones(2))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rule", sorted(RULES.keys() - {"adadelta"}))
def test_one_pass_is_the_plain_rule(
    rule: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = torch.Generator().manual_seed(0)
    shape = (8, 4, 3, 3)
    g = [torch.randn(shape, generator=rng) / 32 for _ in range(20)]
    g = [each.to(memory_format=layout) for each in g]
    called = []
    moved = []
    for one_pass in (True, False):
        if not one_pass:
            monkeypatch.setattr(compiled, "compiled", lambda rule: called.append(rule))
        weights = [torch.ones(shape).to(memory_format=layout)]
        optimizer = make_optimizer(rule, weights)
        for g_t in g:
            update(optimizer, [g_t])
        moved.append([*weights, *optimizer.states[0]])
    assert len(called) == len(g)  # the second time the plain form
    for fast, plain in zip(*moved, strict=True):
        assert torch.allclose(fast, plain, rtol=1e-6, atol=1e-9)
    assert (moved[0][0] - 1).abs().mean() > 1e-3


def test_one_pass_leaves_alone_what_it_cannot_do() -> None:
    w, double = torch.ones(4, 6), torch.ones(4, 6, dtype=torch.float64)
    constants = (0.9, 0.1, 0.01, 1e-6)
    assert not compiled.run(compiled.rmsprop, [double, double.clone(), double.clone()], *constants)
    assert not compiled.run(compiled.rmsprop, [w, torch.ones(6, 4).t(), w.clone()], *constants)
    assert not compiled.run(compiled.rmsprop, [w[:, ::2], w[:, ::2], w[:, ::2]], *constants)
    assert compiled.run(compiled.rmsprop, [w, w.clone(), torch.zeros(4, 6)], *constants)
    assert (double == 1).all()
    assert (w < 1).all()


def test_a_missing_compiler_is_reported_once_and_the_plain_rules_serve(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    compiled.compiled.cache_clear()
    try:
        weights = [torch.ones(3)]
        optimizer = make_optimizer("rmsprop", weights, learning_rate=1)
        for _ in range(2):
            update(optimizer, [torch.ones(3)])
    finally:
        compiled.compiled.cache_clear()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert (weights[0] < 0).all()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("rule", RULES)
def test_shares_change_no_bit(rule: str, layout: torch.memory_format) -> None:
    # The second is divided among the shares, the others are too small for that.
    shapes = [(8, 4, 3, 3), (300, 16, 4, 4), (5,), (2, 3, 1, 1)]
    rng = torch.Generator().manual_seed(0)
    moved = []
    g = [torch.randn(shape, generator=rng) for shape in shapes]
    for shares in (1, 2, 3, 7):
        weights = [torch.ones(shape) for shape in shapes]
        weights = [w.to(memory_format=layout) if w.dim() == 4 else w for w in weights]
        optimizer = make_optimizer(rule, weights, shares=shares)
        assert len(optimizer.shares) == shares
        for t in range(1, 4):
            update(optimizer, [g_w / t for g_w in g], [g_w * t for g_w in g])
        assert optimizer.updates == 3
        moved.append([*weights, *(state for states in optimizer.states for state in states)])
    assert not any((w == 1).any() for w in moved[0][: len(shapes)])
    for others in moved[1:]:
        assert all(map(torch.equal, moved[0], others))


def test_a_large_parameter_is_divided_among_the_shares_and_every_row_is_in_one() -> None:
    weights = [torch.zeros(10, 3), torch.zeros(300, 256), torch.zeros(7)]
    optimizer = make_optimizer("adam", weights, shares=4)
    pieces = [piece for share in optimizer.shares for piece in share]
    for n, w in enumerate(weights):
        mine = [piece.rows for piece in pieces if piece.number == n]
        covered = sorted(i for rows in mine for i in np.arange(len(w))[rows].tolist())
        assert covered == list(range(len(w)))
    sizes = [sum(piece.tensors[0].numel() for piece in share) for share in optimizer.shares]
    assert max(sizes) - min(sizes) < 300


@pytest.mark.parametrize("shares", [1, 3])
def test_copies_follow_their_parameters(shares: int) -> None:
    weights = [torch.ones(4, 3), torch.ones(300, 256), torch.ones(7)]
    copies = Flat(weights, torch.bfloat16)
    optimizer = make_optimizer("rmsprop", weights, copies=copies, shares=shares)
    update(optimizer, [torch.arange(w.numel()).view(w.shape) / 100 for w in weights])
    assert all(len(w.unique()) > 1 for w in weights)
    for w, copy in zip(weights, copies.parts, strict=True):
        assert torch.equal(copy, w.to(copy.dtype))


def sum_of(parts: list[Tensor]) -> Tensor:
    """What Adam's first state keeps a tenth of."""
    optimizer = make_optimizer("adam", [torch.zeros(len(parts[0]))])
    update(optimizer, *([part.clone()] for part in parts))
    return optimizer.states[0][0]


def test_gradients_of_the_parts_are_added_in_their_order() -> None:
    rng = torch.Generator().manual_seed(1)
    a, b, c = (torch.randn(50, generator=rng) for _ in range(3))
    assert torch.equal(sum_of([a, b, c]), sum_of([(a + b) + c]))
    assert not torch.equal(sum_of([a, b, c]), sum_of([a + (b + c)]))


def test_gradients_of_lower_precision_are_added_in_that_of_the_weights() -> None:
    rng = torch.Generator().manual_seed(1)
    a, b = (torch.randn(50, generator=rng).bfloat16() for _ in range(2))
    assert torch.equal(sum_of([a, b]), sum_of([a.float() + b.float()]))
    assert not torch.equal(sum_of([a, b]), sum_of([a + b]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_parameters_may_share_one_gradient_tensor(dtype: torch.dtype) -> None:
    weights = [torch.zeros(3), torch.zeros(3)]
    optimizer = make_optimizer("adam", weights)
    shared = [torch.ones(3, dtype=dtype) * k for k in (1, 2, 4)]
    update(optimizer, *([g, g] for g in shared))
    for states in optimizer.states:
        assert torch.allclose(states[0], torch.full((3,), 0.1 * 7))
    assert [float(g[0]) for g in shared] == [1, 2, 4]


@pytest.mark.parametrize("rule", ["adam", "adam_corrected"])
def test_adam_corrects_the_bias_of_states_that_were_reset(rule: str) -> None:
    """With a constant gradient each step of a new Adam is the learning rate."""
    weights = [torch.zeros(1)]
    optimizer = make_optimizer(rule, weights)
    (w,) = weights
    for n in range(1, 60):
        if n == 30:
            for state in optimizer.states[0]:
                state.zero_()
            optimizer.reset_at = optimizer.updates
        before = float(w)
        update(optimizer, [torch.ones(1)])
        assert before - float(w) == pytest.approx(LEARNING_RATE, rel=1e-3)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_accepts_numbers_that_are_tensors(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where plain numbers would be part of a CUDA graph."""
    monkeypatch.setattr(compiled, "run", lambda *_: False)
    made = make_rule(NetworkSettings(optimizer=rule, learning_rate=LEARNING_RATE))
    numbers = made.numbers(7, 7)
    results = []
    for given in (numbers, torch.tensor(numbers, dtype=torch.float64).unbind()):
        w, g, *states = (torch.full((3,), 0.5, dtype=torch.float64) for _ in range(5))
        made.step(w, g, given, *states[: made.num_states])
        results.append(w)
    assert torch.equal(*results)
    assert (results[0] != 0.5).all()
