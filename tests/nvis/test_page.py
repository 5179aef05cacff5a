from __future__ import annotations

import errno
import logging
import re
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import ale_py
import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ale_py.roms import get_rom_path
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

import atomic
import verify
from config import ROOT
from errors import NotSaved, UserError
from nvis.convolution import Convolution, convolutions
from nvis.guided_backpropagation import (
    BATCH_SIZE,
    guided_backpropagation,
    receptive_field,
    strongest_activations,
    to_bytes,
)
from nvis.page import visualize
from nvis.verification import verify_nvis
from snapshot import layers as neon_layers
from snapshot.format import read_snapshot

GOLDEN = ROOT / "tests" / "golden"
NPZ, SNAPSHOT = GOLDEN / "nvis.npz", GOLDEN / "rmsprop_end.pkl"
CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def network() -> list[Convolution]:
    """The convolutional layers that Neon trained; they fit screens of any size."""
    return convolutions(read_snapshot(SNAPSHOT).layers)


@pytest.fixture(scope="module")
def states() -> NDArray[np.uint8]:
    """A game of Breakout played at random, (n, 4, 84, 84), a view over its screens."""
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", 1)
    rom = get_rom_path("breakout")
    assert rom is not None
    ale.loadROM(rom)
    rng = np.random.default_rng(1)
    actions = ale.getMinimalActionSet()
    screens = []
    while not ale.game_over():
        action = actions[rng.integers(len(actions))]
        for _ in range(4):
            ale.act(action)
        screens.append(cv2.resize(ale.getScreenGrayscale(), (84, 84)).astype(np.uint8))
    return sliding_window_view(np.stack(screens), 4, axis=0).transpose(0, 3, 1, 2)


# Against Neon


def test_equals_neon() -> None:
    report = verify_nvis(NPZ, SNAPSHOT)
    assert (report.layers, report.filters) == (3, 18)
    assert (report.elsewhere, report.tied) == (0, 0)
    assert report.picture_error <= 1  # of 255: the last bit depends on the processor
    assert report.activation_error < 1e-6


def changed(folder: Path, **arrays: Any) -> Path:
    """A copy of Neon's pictures with some arrays in place of its own; None leaves one out."""
    with np.load(NPZ) as file:
        kept = dict(file) | arrays
    path = folder / "changed.npz"
    np.savez(path, **{key: value for key, value in kept.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("key", "change", "says"),
    [
        ("0000_activation", 2e-5, "within 2"),
        ("0002_guided_uint8", 2, "within 2 of 255"),
        ("0004_state", 1, "17 the same"),
        ("0002_location", 1, "17 the same"),
    ],
)
def test_verify_sees_the_smallest_difference(
    key: str, change: float, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["nvis", str(NPZ), str(SNAPSHOT)]
    assert verify.main(arguments) == 0
    assert "18 the same\n" in capsys.readouterr().out
    with np.load(NPZ) as file:
        array = file[key]
    array.flat[0] += np.asarray(change, array.dtype)
    arguments[1] = str(changed(tmp_path, **{key: array}))
    assert verify.main(arguments) == 1
    assert says in capsys.readouterr().out


def test_verify_takes_any_number_of_filters(tmp_path: Path) -> None:
    with np.load(NPZ) as file:
        fewer = {key: file[key][:2] for key in file if key != "states"}
    report = verify_nvis(changed(tmp_path, **fewer), SNAPSHOT)
    assert report.passed
    assert report.filters == 6


def test_a_tie_is_told_from_another_place(network: list[Convolution], tmp_path: Path) -> None:
    with np.load(NPZ) as file:
        twice = np.concatenate([file["states"], file["states"]])
        later = {key: file[key] + 40 for key in file if key.endswith("_state")}
    report = verify_nvis(changed(tmp_path, states=twice, **later), SNAPSHOT)
    assert report.passed
    assert report.elsewhere == 0
    assert report.tied > 9  # all 18, except for the last bits
    assert f"{18 - report.tied} the same, and {report.tied} that tie with it" in str(report)


@pytest.mark.parametrize(
    "arrays",
    [
        {"0002_location": None},
        {"states": None},
        {"0004_state": None},
        {"states": np.zeros((0, 4, 36, 36), np.uint8)},
        {"states": np.zeros((40, 4, 20, 20), np.uint8)},
        {"states": np.zeros((40, 3, 36, 36), np.uint8)},
        {"states": np.zeros((5, 4, 36, 36), np.uint8)},
        {"0000_guided_uint8": np.zeros((6, 36, 36, 3), np.uint8)},
    ],
)
def test_verify_refuses_what_does_not_fit(arrays: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"changed\.npz"):
        verify_nvis(changed(tmp_path, **arrays), SNAPSHOT)


def test_verify_refuses_what_is_no_npz(tmp_path: Path) -> None:
    broken = tmp_path / "broken.npz"
    broken.write_bytes(NPZ.read_bytes()[:1000])
    alone = tmp_path / "alone.npy"
    np.save(alone, np.ones(3))
    for path in (broken, alone, tmp_path / "missing.npz", tmp_path, SNAPSHOT):
        with pytest.raises(UserError, match="Cannot read"):
            verify_nvis(path, SNAPSHOT)


# Against a naive twin


class GuidedReLU(torch.autograd.Function):
    """Springenberg's rectifier; batch normalization counts on the way up only, as in Neon."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> Any:
        y = F.relu(x * scale[:, None, None] + shift[:, None, None])
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        (y,) = ctx.saved_tensors
        return gradients[0].clamp(min=0) * (y > 0), None, None


def twin(
    network: list[Convolution], state: NDArray[np.uint8], k: int
) -> tuple[int, float, NDArray[np.float32]]:
    """Location and strength of filter k's strongest response in one state, and its picture."""
    x = torch.tensor(state[None] / np.float32(255), requires_grad=True)
    y: torch.Tensor = x
    for depth, layer in enumerate(network):
        ones = np.ones(len(layer.weights), np.float32)
        bias = ones * 0 if layer.bias is None else layer.bias
        weights, bias_t = torch.from_numpy(layer.weights), torch.from_numpy(bias)
        y = F.conv2d(y, weights, bias_t, layer.stride, layer.padding)
        if depth < len(network) - 1:
            scale = ones if layer.scale is None else layer.scale
            shift = ones * 0 if layer.shift is None else layer.shift
            y = GuidedReLU.apply(y, torch.from_numpy(scale), torch.from_numpy(shift))  # type: ignore[no-untyped-call]
    strongest, location = y[0, k].flatten().max(dim=0)
    (strongest.clamp(min=0) * strongest / 2).backward()  # its gradient is the positive activation
    assert x.grad is not None
    picture = (x.grad * (x > 0))[0].numpy()
    strength = strongest.item()
    return int(location), strength, picture if strength > 0 else picture * 0


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    strides=st.lists(st.integers(1, 3), min_size=3, max_size=3),
    paddings=st.lists(st.integers(0, 2), min_size=3, max_size=3),
    has_bias=st.booleans(),
    has_batch_norm=st.booleans(),
)
def test_equals_automatic_differentiation(
    seed: int,
    sizes: list[int],
    strides: list[int],
    paddings: list[int],
    has_bias: bool,
    has_batch_norm: bool,
) -> None:
    rng = np.random.default_rng(seed)
    layers: list[neon_layers.SavedLayer] = []
    channels = 4
    for n, size in enumerate(sizes):
        filters = int(rng.integers(1, 4))

        def column(low: float, high: float, rows: int = filters) -> NDArray[np.float32]:
            return rng.uniform(low, high, (rows, 1)).astype(np.float32)

        W = rng.normal(size=(channels * size**2, filters)).astype(np.float32)
        layers.append(
            neon_layers.convolution(
                f"conv{n}", W, size=size, stride=strides[n], padding=min(paddings[n], size - 1)
            )
        )
        if has_bias:
            layers.append(neon_layers.bias(f"bias{n}", column(-1, 1)))
        if has_batch_norm:
            layers.append(
                neon_layers.batch_norm(
                    f"norm{n}",
                    beta=column(-1, 1),
                    gamma=column(-2, 2),
                    gmean=column(-1, 1),
                    gvar=column(0, 2),
                )
            )
        layers.append(neon_layers.relu(f"relu{n}"))
        channels = filters
    network = convolutions(layers)
    assert [layer.name for layer in network] == ["0000", "0002", "0004"][: len(sizes)]
    states = rng.integers(0, 256, (2, 4, 37, 31), np.uint8)
    states *= rng.integers(0, 2, states.shape, np.uint8)  # half of it black
    last = strongest_activations(network, states)[-1]
    shown = np.arange(len(network[-1].weights))
    there, pictures = guided_backpropagation(
        network, states[last.states], shown, last.locations[shown]
    )
    for k in shown:
        location, strength, picture = max(
            (twin(network, state, int(k)) for state in states), key=lambda found: found[1]
        )
        tolerance = 1e-5 * max(1, abs(strength), np.abs(picture).max())
        assert abs(last.activations[k] - strength) <= tolerance
        assert abs(there[k] - strength) <= tolerance
        if last.locations[k] == location and abs(strength) > tolerance:  # else a tie, or hardly any
            assert np.abs(pictures[k] - picture).max() <= 10 * tolerance


def test_ties_go_to_the_first_batch_then_place_then_state() -> None:
    # weights and pixels whose sums are exact, or the last bits would decide
    layer = Convolution(name="0000", weights=np.ones((2, 4, 2, 2), np.float32), stride=2)
    layer.weights[1] = -1
    states = np.zeros((BATCH_SIZE + 2, 4, 8, 8), np.uint8)
    states[3, :, 4:6, 2:4] = 255  # the same sight at place 9,
    states[5, :, 2:4, 2:4] = 255  # at place 5,
    states[6, :, 2:4, 2:4] = 255  # there again,
    states[BATCH_SIZE, :, 0:2, 2:4] = 255  # and at place 1, but in the next batch
    (found,) = strongest_activations([layer], states)
    assert found.places == (4, 4)
    assert found.activations.tolist() == [16, 0]
    assert found.states.tolist() == [5, 0]
    assert found.locations.tolist() == [5, 0]


def test_a_long_game_stays_small(network: list[Convolution], states: NDArray[np.uint8]) -> None:
    once = states[: 3 * BATCH_SIZE]
    many = np.broadcast_to(once[0], (3 * BATCH_SIZE, *once.shape[1:]))
    peaks = []
    for given_states in (once[:BATCH_SIZE], many):
        tracemalloc.start()
        strongest_activations(network, given_states)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 100e6


@settings(max_examples=60, deadline=None)
@given(
    layers=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=3
    ),
    data=st.data(),
)
def test_receptive_field_is_what_a_response_depends_on(
    layers: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    network, shape = [], (50, 43)
    shapes = [shape]
    for size, stride, padding in layers:
        layer = Convolution(
            name="", weights=np.ones((1, 1, size, size), np.float32), stride=stride, padding=padding
        )
        shape = layer.responses(np.zeros((1, 1, *shape), np.float32)).shape[2:]
        network.append(layer)
        shapes.append(shape)
    row, column = (data.draw(st.integers(0, extent - 1)) for extent in shape)
    errors = np.zeros((1, 1, *shape), np.float32)
    errors[0, 0, row, column] = 1
    for layer, (height, width) in zip(reversed(network), reversed(shapes[:-1]), strict=True):
        errors = layer.backward(errors, height, width)
    rows, columns = np.nonzero(errors[0, 0])
    if len(rows):  # else the place sees padding only
        expected = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        assert receptive_field(network, row, column, 50, 43) == expected


def test_a_picture_without_contrast_is_black() -> None:
    assert not to_bytes(np.full((1, 4, 5, 6), 0.3, np.float32)).any()


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        (neon_layers.linear("first", np.ones((2, 3), np.float32)), "begins with first"),
        (
            neon_layers.convolution("c", np.full((4, 1), np.nan, np.float32), size=2, stride=1),
            "diverged",
        ),
    ],
)
def test_networks_without_a_picture(layer: neon_layers.SavedLayer, says: str) -> None:
    with pytest.raises(UserError, match=says):
        convolutions([layer])


# The page


def write_page(
    file: Path, network: list[Convolution], states: NDArray[np.uint8], **settings: Any
) -> str:
    shown: dict[str, Any] = dict(filters=2, game="breakout", snapshot="breakout_77.pkl", epoch=77)
    return visualize(network, states, file=file, **shown | settings).read_text(encoding="utf-8")


def test_page_tells_where_it_comes_from_and_escapes_names(
    network: list[Convolution], states: NDArray[np.uint8], tmp_path: Path
) -> None:
    file = tmp_path / "new folder" / "page.html"
    page = write_page(file, network, states, game="<i>Pong", snapshot="</script>.pkl", epoch=None)
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert "<title>&lt;i&gt;Pong" in text
    assert "&lt;/script&gt;.pkl" in text
    assert f"{len(states):,}" in text
    assert "epoch" not in text
    for name, of in (("0000", 32), ("0002", 64), ("0004", 64)):
        assert f'href="#layer-{name}"' in text
        assert f'id="layer-{name}"' in text
        assert f"2 of {of} filters" in text
    assert "Layer 0002: convolution 2 of 3</h2>" in text
    assert text.count("<article") == 6
    assert [path.name for path in file.parent.iterdir()] == ["page.html"]


@pytest.mark.parametrize(
    ("count", "filters", "says"), [(0, 4, "No state"), (3, 0, "--visualization_filters is 0")]
)
def test_nothing_to_draw(
    count: int,
    filters: int,
    says: str,
    network: list[Convolution],
    states: NDArray[np.uint8],
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=says):
        write_page(tmp_path / "page.html", network, states[:count], filters=filters)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written(
    network: list[Convolution], states: NDArray[np.uint8], tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("a file, not a folder")
    with pytest.raises(UserError, match="--visualization_file"):
        write_page(tmp_path / "results" / "page.html", network, states[:3])


def test_a_full_disk_is_what_is_not_saved(
    network: list[Convolution],
    states: NDArray[np.uint8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = Mock(side_effect=OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(atomic, "write_new", full)
    with pytest.raises(NotSaved, match=r"Cannot write .*page\.html: No space left"):
        write_page(tmp_path / "page.html", network, states[:3])


def test_any_history_length_and_screen_size(tmp_path: Path) -> None:
    for history in (1, 2, 6):
        weights = np.ones((3, history, 5, 5), np.float32)
        layer = Convolution(name="0000", weights=weights, stride=2)
        states = np.random.default_rng(0).integers(0, 256, (4, history, 30, 50), np.uint8)
        assert "1 of 3 filters" in write_page(tmp_path / "p.html", [layer], states, filters=1)


@pytest.fixture(scope="module")
def whole_page(
    network: list[Convolution],
    states: NDArray[np.uint8],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """All 160 filters."""
    file = tmp_path_factory.mktemp("nvis") / "breakout.html"
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("nvis.page").addHandler(handler)
    page = write_page(file, network, states[:64], filters=64)
    logging.getLogger("nvis.page").removeHandler(handler)
    assert records == ["64 filters were requested, but layer 0000 has 32 filters: all are shown."]
    assert records[0] in page
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: install Debian's chromium")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=flags) as found,
    ):
        yield found


def opened(page: Page, file: Path) -> SimpleNamespace:
    """Open the file, wait until drawing has ended; the browser's complaints and requests."""
    seen = SimpleNamespace(complaints=[], requests=[])
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('.pair .bk-Row') !== null && !busy")
    return seen


RANGES = """() => ["guided", "input"].map((name) => {
    const {x_range, y_range} = Bokeh.documents[0].get_model_by_name(name)
    return [x_range.start, x_range.end, y_range.start, y_range.end]
})"""


def test_page_in_a_browser(browser: Browser, whole_page: Path) -> None:
    assert whole_page.stat().st_size < 20e6
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    seen = opened(page, whole_page)
    assert page.locator("article").count() == 160
    pair = page.locator(".pair").first
    box = pair.bounding_box()
    assert box is not None
    right_half = {
        "x": box["x"] + box["width"] / 2,
        "y": box["y"],
        "width": box["width"] / 2,
        "height": box["height"],
    }
    everything = [[0, 84, 84, 0]] * 2
    assert page.evaluate(RANGES) == everything
    before = page.screenshot(clip=right_half)  # type: ignore[arg-type]

    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 2)  # the left picture
    page.mouse.wheel(0, 200)
    page.wait_for_function("scrollY > 100")  # a wheel scrolls the page, over pictures too
    assert page.evaluate(RANGES) == everything
    page.mouse.wheel(0, -400)
    page.wait_for_function("scrollY == 0")

    page.keyboard.down("Control")
    for _ in range(4):
        page.mouse.wheel(0, -100)
    page.wait_for_function(f"({RANGES})()[1][0] > 10")
    zoomed, other = page.evaluate(RANGES)
    assert zoomed == other
    page.wait_for_timeout(100)
    assert page.screenshot(clip=right_half) != before  # type: ignore[arg-type]
    assert page.evaluate("scrollY") == 0

    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 4 - 50, box["y"] + box["height"] / 2, steps=5)
    page.mouse.up()
    page.wait_for_function(f"({RANGES})()[1][0] > {zoomed[0]} + 1")
    panned, other = page.evaluate(RANGES)
    assert panned == other
    assert panned[1] - panned[0] == pytest.approx(zoomed[1] - zoomed[0])

    for _ in range(12):
        page.mouse.wheel(0, 100)
    page.wait_for_function(f"String(({RANGES})()) === String({everything})")
    page.keyboard.up("Control")

    page.locator("#weights").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('#weights .bk-Plot') !== null && !busy")
    assert seen.complaints == []
    assert seen.requests == [whole_page.as_uri()]
    page.close()


def test_page_on_a_phone(browser: Browser, whole_page: Path) -> None:
    phone: Any = {"width": 390, "height": 844}
    with browser.new_context(viewport=phone, has_touch=True, is_mobile=True) as context:
        page = context.new_page()
        seen = opened(page, whole_page)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        box = page.locator(".pair").first.bounding_box()
        assert box is not None
        assert box["width"] > 320
        assert seen.complaints == []
