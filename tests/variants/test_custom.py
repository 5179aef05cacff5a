"""Networks and targets of your own: the walk-through of docs/, what is refused."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.combinations import check_together
from config import CODE, Config, NetworkSettings
from engine.divide import divide
from errors import UserError
from tests.variants.small import draw_batch, draw_states, make, numbers
from user_code.load import code_name
from variants.custom import try_network, try_target

ROOT = Path(__file__).resolve().parents[2]
NETWORK, TARGET = "examples/my_network.py:MyNetwork", "examples/my_target.py:mellowmax"
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file and gives the name of its `Mine`."""

    def write(body: str) -> str:
        path = tmp_path / "my_file.py"
        path.write_text("import torch\nfrom torch import nn\n" + textwrap.dedent(body))
        return code_name("network", f"{path}:Mine")

    return write


def test_the_page_shows_the_files_as_they_are() -> None:
    page = (ROOT / "docs" / "your_own_network.md").read_text()
    for name in ("my_network.py", "my_target.py"):
        assert f"```python\n{(ROOT / 'examples' / name).read_text()}```" in page


def test_networks_and_targets_are_code_that_nobody_runs_unasked() -> None:
    assert {"network", "target", "environment"} <= CODE.keys()


@pytest.mark.parametrize(
    "kind",
    [
        dict(),
        dict(datatype="bfloat16", dueling=True, noisy=True),
        dict(distribution="iqn", atoms=4, overlap=True),
        dict(datatype="float64", distribution="c51"),
    ],
)
def test_the_pages_network_learns_and_is_saved(kind: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "game_1.pkl"
    one, two = (make(network=NETWORK, threads=t, **kind) for t in (1, 2))
    for t in range(3):
        for network in (one, two):
            network.train(draw_batch(t))
    assert np.array_equal(one.predict(draw_states()), two.predict(draw_states()))
    one.save_weights(path, info={"weight_updates": 3})
    other = make(seed=2, network=NETWORK, **kind)
    other.load_weights(path)
    tolerance = 1e-6 if kind.get("datatype") == "float64" else 0  # a snapshot has float32
    difference = np.abs(one.predict(draw_states()) - other.predict(draw_states())).max()
    assert difference <= tolerance
    state = one.get_state()
    other.set_state(state)
    for network in (one, other):
        network.train(draw_batch(5))
    assert np.array_equal(one.predict(draw_states()), other.predict(draw_states()))
    assert one.saliency(draw_states(1)[0], 0).max() > 0
    assert not one.layers()


def test_its_weights_follow_the_seed_and_leave_pytorchs_random_numbers_alone() -> None:
    torch_before = torch.random.get_rng_state()
    one, same, other = (make(seed=s, network=NETWORK) for s in (1, 1, 2))
    assert torch.equal(torch_before, torch.random.get_rng_state())
    q = [network.predict(draw_states()) for network in (one, same, other)]
    assert np.array_equal(q[0], q[1])
    assert not np.array_equal(q[0], q[2])
    assert one.online.head.stream.hidden.outputs == 256  # type: ignore[attr-defined]


def test_the_pages_target_is_its_equation() -> None:
    network = make(target=TARGET, datatype="float64", update_parts=1)
    assert not network.target_rule.reads_online
    (batch,) = divide(network, draw_batch())
    with torch.no_grad():
        q = numbers(network.target.q_values(batch.next_states))
    for y, r, gamma, values in zip(
        numbers(network._compute_targets(batch)), batch.returns, batch.discounts, q, strict=True
    ):
        soft = math.log(np.exp(5 * values).mean()) / 5
        assert y == pytest.approx(float(r) + float(gamma) * soft)
    network.train(draw_batch())


def test_layers_that_change_their_own_buffers_are_not_shared_by_threads(write: Write) -> None:
    name = write("""
        from torch.nn.utils.parametrizations import spectral_norm

        class Mine(nn.Module):
            def __init__(self, settings):
                super().__init__()
                self.linear = spectral_norm(nn.Linear(2 * 36 * 36, 8))

            def forward(self, x):
                return self.linear(x.flatten(1)).relu()
    """)
    one, two = (make(network=name, threads=threads) for threads in (1, 2))
    for t in range(3):
        one.train(draw_batch(t))
        two.train(draw_batch(t))
    mine, other = one.get_state(), two.get_state()
    assert all(np.array_equal(array, other[name]) for name, array in mine.items())
    assert two.num_parts == 1


def test_batch_normalization_of_ones_own_is_given_whole_minibatches(
    write: Write, tmp_path: Path
) -> None:
    name = write("""
        class Mine(nn.Module):
            def __init__(self, settings):
                super().__init__()
                self.layers = nn.Sequential(
                    nn.Flatten(), nn.Linear(2 * 36 * 36, 8), nn.BatchNorm1d(8), nn.ReLU()
                )

            def forward(self, x):
                return self.layers(x)
    """)
    network = make(network=name)
    assert network.num_parts == 1
    assert make(network=NETWORK).num_parts == 2
    for t in range(3):
        network.train(draw_batch(t))
    path = tmp_path / "game_1.pkl"
    network.save_weights(path, info={})
    other = make(seed=2, network=name)
    other.load_weights(path)  # with what it has measured
    assert np.array_equal(network.predict(draw_states()), other.predict(draw_states()))


@pytest.mark.parametrize("datatype", ["float32", "bfloat16"])
@pytest.mark.parametrize("part", ["", ".weight"])
def test_layers_may_share_weights(write: Write, tmp_path: Path, datatype: str, part: str) -> None:
    name = write(f"""
        class Mine(nn.Module):
            def __init__(self, settings):
                super().__init__()
                self.layer = nn.Linear(2 * 36 * 36, 2 * 36 * 36)
                self.again = nn.Linear(2 * 36 * 36, 2 * 36 * 36)
                self.again{part} = self.layer{part}

            def forward(self, x):
                return self.again(self.layer(x.flatten(1))).relu()
    """)
    network, other = (make(seed=n, network=name, datatype=datatype) for n in (1, 2))
    network.train(draw_batch())
    path = tmp_path / "game_1.pkl"
    network.save_weights(path, info={})
    other.load_weights(path)
    assert np.array_equal(network.predict(draw_states()), other.predict(draw_states()))


def test_pytorchs_batch_normalization_works_in_16_bits(write: Write) -> None:
    name = write("""
        class Mine(nn.Module):
            def __init__(self, settings):
                super().__init__()
                self.layers = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 3, 8, 8), nn.ReLU())

            def forward(self, x):
                return self.layers(x)
    """)
    whole, half = (make(network=name, datatype=d) for d in ("float32", "bfloat16"))
    for network in (whole, half):
        network.train(draw_batch())
    assert np.allclose(whole.predict(draw_states()), half.predict(draw_states()), atol=0.05)


def test_a_network_is_tried_before_the_work(write: Write) -> None:
    name = write("""
        class Mine(nn.Module):
            def __init__(self, settings):
                super().__init__()
                self.layer = nn.Conv2d(2, 3, 8, 8)
                self.register_buffer("scale", torch.ones(1))

            def forward(self, x):
                return self.layer(x * self.scale).relu()
    """)
    try_network(make(network=name))
    with pytest.raises(UserError, match="Mine stopped with the error above"):
        try_network(make(network=name, datatype="bfloat16"))
    try_network(make())


def test_a_network_that_says_so_is_given_whole_minibatches(write: Write) -> None:
    name = write("""
        class Mine(nn.Module):
            whole_minibatch = True

            def __init__(self, settings):
                super().__init__()
                self.layer = nn.Linear(2 * 36 * 36, 8)

            def forward(self, x):
                return nn.functional.dropout(self.layer(x.flatten(1)), training=self.training)
    """)
    assert make(network=name).num_parts == 1


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("class Other: ...", "There is no Mine in .*my_file.py. It has Other"),
        ("def Mine(settings):\n    return 5", "does not make a torch.nn.Module"),
        (
            """
            class Mine(nn.Module):
                def __init__(self, settings): super().__init__()
                def forward(self, x): return x.sum()
            """,
            r"turns states \(2, 2, 36, 36\) into \(\)",
        ),
        (
            """
            class Mine(nn.Module):
                block = 3
                def __init__(self, settings): super().__init__()
            """,
            "has block 3: set it to 1 or 4",
        ),
        (
            """
            class Mine(nn.Module):
                hidden = "many"
                def __init__(self, settings): super().__init__()
            """,
            "has hidden 'many': it must be a number of units",
        ),
        (
            """
            class Mine(nn.Module):
                def __init__(self, settings):
                    super().__init__()
                    self.layer = nn.Linear(2 * 36 * 36, 8)
                    self.register_buffer("mask", torch.full((8,), -torch.inf))
                def forward(self, x): return self.layer(x.flatten(1))
            """,
            "has a buffer that is not finite, mask: compute it in the forward pass",
        ),
        ("class Mine(nn.Module):\n    def __init__(self): super().__init__()", "stopped with the"),
        ("raise SystemExit", "stopped with the error above"),
    ],
)
def test_a_class_that_is_no_network_is_refused_in_a_sentence(
    body: str, sentence: str, write: Write
) -> None:
    with pytest.raises(UserError, match=sentence):
        make(network=write(body))


def test_a_function_that_is_no_target_is_refused_in_a_sentence(write: Write) -> None:
    with pytest.raises(UserError, match="must take three arguments"):
        make(target=write("def Mine(batch): ..."))
    with pytest.raises(UserError, match="--target replaces --double_q"):
        check_together(Config(target=TARGET, double_q=True))
    with pytest.raises(UserError, match="and --target_exploration: remove them"):
        check_together(Config(target=TARGET, target_exploration=0.1))


@pytest.mark.parametrize(
    ("body", "kind", "sentence"),
    [
        ("return 3", {}, r"returns int for a minibatch of 2, not a tensor \(2,\)"),
        ("return batch.returns[:, None]", {}, r"returns \(2, 1\)"),
        ("return 1 / 0", {}, "stopped with the error above"),
        ("return batch.returns", dict(distribution="c51", atoms=5), r"not a tensor \(2, 5\)"),
    ],
)
def test_a_target_is_tried_before_the_work(
    write: Write, body: str, kind: dict[str, Any], sentence: str
) -> None:
    network = make(target=write(f"def Mine(online, target, batch): {body}"), **kind)
    with pytest.raises(UserError, match=sentence):
        try_target(network)


@pytest.mark.parametrize("kind", [{}, dict(datatype="bfloat16", batch_norm=True)])
def test_a_good_target_is_tried_without_a_trace(kind: dict[str, Any]) -> None:
    network = make(target=TARGET, **kind)
    before = network.get_state()
    try_target(network)
    after = network.get_state()
    assert all(np.array_equal(array, after[name]) for name, array in before.items())


def test_a_target_waits_for_the_network_unless_it_says_that_it_need_not(write: Write) -> None:
    name = write("def Mine(online, target, batch): return batch.returns")
    network = make(target=name, overlap=True)
    assert network.target_rule.reads_online
    for t in range(2):
        network.train(draw_batch(t))


REFUSED: list[tuple[dict[str, Any], str]] = [
    (dict(munchausen=True, double_q=True), "true does not use"),
    (dict(munchausen=True, distribution="c51"), "fixed atoms cannot represent"),
    (dict(munchausen=True, target_exploration=0.1), "policy of its own"),
    (dict(double_q=True, target_steps=0), "need a target network"),
    (dict(distribution="c51", value_min=1.0, value_max=1.0), "not below"),
    (dict(distribution="iqn", atoms=1), "no distribution"),
    (dict(distribution="quantile", loss="mse"), "has a loss of its own"),
    (dict(batch_norm=True, normalization="layer"), "use one"),
    (dict(batch_norm=True, noisy=True), "normalize the noise"),
    (
        dict(normalization="spectral", noisy=True),
        "spectral does not normalize the layers of --noisy",
    ),
    (dict(normalization="layer", noisy=True), "layer does not normalize the layers of --noisy"),
    (dict(padding=1, network="impala"), "not impala"),
    (dict(engine="neon", dueling=True), "--engine torch"),
    (dict(engine="neon", prioritized=True), "--engine torch"),
    (dict(engine="neon", target=TARGET), "--engine torch"),
    (dict(engine="neon", n_step=3), "--n_step 3 does not work with --engine neon"),
    (dict(engine="neon", bias=True), "--bias True does not work"),
    (dict(engine="neon", padding=1), "--padding 1 does not work"),
    (dict(engine="neon", pixel_max=255.0), "--pixel_max 255"),
    (dict(engine="neon", sum_gradient=True), "--sum_gradient True does not work"),
    (dict(engine="neon", optimizer="centered_rmsprop"), "rmsprop, adam and adadelta"),
    (dict(engine="neon", init="torch"), "--init uniform and gaussian"),
    (dict(engine="neon", adam_epsilon=0.1), "--adam_epsilon 0.1 does not work with --engine neon"),
]


@pytest.mark.parametrize(
    ("flags", "reason"), REFUSED, ids=lambda x: "" if isinstance(x, str) else str(x)
)
def test_what_makes_no_sense_together_is_refused_with_a_reason(
    flags: dict[str, Any], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        check_together(Config(**flags))


def test_settings_without_an_opinion_are_the_papers() -> None:
    s = NetworkSettings()
    assert s.target == "standard"
    sizes = {"c51": 51, "quantile": 200}
    for distribution, size in sizes.items():
        network = make(distribution=distribution)
        returns = network.returns(draw_states(1)[0])
        assert returns
        assert returns[0].shape[1] == size
    assert make(distribution="iqn").online.head.draws == 64
