from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product

import ale_py
import numpy as np
import pygame
import pytest
from numpy.typing import NDArray

from errors import UserError
from tests.small_agent import make_agent
from watch.agent_view import AgentView
from watch.joystick import action_name
from watch.scene import KEYS, Scene
from watch.view_panel import WIDTH
from watch.window import Window, fit

needs_display = pytest.mark.skipif(
    sys.platform != "linux" or not (shutil.which("Xvfb") and shutil.which("xdotool")),
    reason="Xvfb or xdotool is not installed",
)


@pytest.fixture(scope="module")
def display() -> Iterator[None]:
    """A display of 1400x900 that nobody sees."""
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1400x900x24", "-noreset"]
    server = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", f":{number}")
        patch.delenv("WAYLAND_DISPLAY", raising=False)
        patch.delenv("SDL_VIDEODRIVER", raising=False)
        pygame.display.quit()  # games of Gymnasium in this process have initialized a hidden one
        yield
    pygame.display.quit()
    server.terminate()
    server.wait()


@pytest.fixture
def window(display: None) -> Iterator[Window]:
    window = Window("Test - Simple DQN")
    assert any(arrives(window, "h") for _ in range(10))
    yield window
    window.close()


def xdotool(*words: str) -> None:
    subprocess.run(["xdotool", *words], check=True)


def arrives(window: Window, key: str) -> bool:
    """Press a key; whether it comes within a second. On a busy machine a new display loses some."""
    xdotool("key", key)
    for _ in range(100):
        if key in window.pressed():
            return True
        time.sleep(0.01)
    return False


def wait_for(window: Window, true: Callable[[list[str]], bool]) -> None:
    """Look at the window's keys until `true` of all that were pressed."""
    pressed: list[str] = []
    for _ in range(500):
        pressed += window.pressed()
        if true(pressed):
            return
        time.sleep(0.01)
    raise AssertionError(f"it never came, only {pressed}")


def scene(picture: NDArray[np.uint8], shows_view: bool = False, note: str = "") -> Scene:
    view = AgentView(make_agent(frames=40), game="breakout", action_names=("NOOP", "LEFT"))
    return Scene(picture, view, shows_view, keys=(), note=note)


def shown() -> NDArray[np.uint8]:
    """What the window shows, (height, width, 3)."""
    surface = pygame.display.get_surface()
    assert surface
    return pygame.surfarray.array3d(surface).swapaxes(0, 1)


LEGAL = set(ale_py.Action.__members__)
PICTURE = np.random.default_rng(0).integers(0, 256, (210, 160, 3), np.uint8)


@needs_display
def test_every_key_arrives(window: Window) -> None:
    names = {"[": "bracketleft", "]": "bracketright", "quit": "Escape"}
    keys = {key for words, _ in KEYS for key in words.split() if len(key) == 1} - {"f"}
    assert keys == set("amnpqsvgh[]")
    for key in sorted(keys | {"quit"}):
        xdotool("key", names.get(key, key))
        wait_for(window, partial(list.__eq__, [key]))


@needs_display
def test_every_legal_action_can_be_held(window: Window) -> None:
    keys = {"up": "Up", "down": "Down", "left": "Left", "right": "Right", "fire": "space"}
    for vertical, horizontal, fire in product(
        ("", "up", "down"), ("", "left", "right"), ("", "fire")
    ):
        held = {vertical, horizontal, fire} - {""}
        if not held:
            continue
        xdotool(*(word for name in held for word in ("keydown", keys[name])))
        wait_for(window, lambda _: window.held() == held)  # noqa: B023 - it is called here
        assert action_name(held) in LEGAL
        xdotool(*(word for name in held for word in ("keyup", keys[name])))
        wait_for(window, lambda _: not window.held())


@needs_display
def test_a_tap_is_felt_once(window: Window) -> None:
    xdotool("key", "Left")
    wait_for(window, lambda _: bool(window.tapped))
    wait_for(window, lambda _: not pygame.key.get_pressed()[pygame.K_LEFT])
    assert window.held() == {"left"}
    assert window.held() == set()


@needs_display
def test_pixels_are_sharp_and_twice_as_wide(window: Window) -> None:
    window.draw(scene(PICTURE))
    assert shown().shape == (630, 960, 3)
    np.testing.assert_array_equal(shown(), PICTURE.repeat(3, 0).repeat(6, 1))
    window.draw(scene(PICTURE, note="a note"))
    changed = (shown() != PICTURE.repeat(3, 0).repeat(6, 1)).any(axis=2)
    assert 1000 < changed.sum() < 630 * 960 / 10


def resize(window: Window, width: int, height: int) -> None:
    xdotool("windowsize", str(pygame.display.get_wm_info()["window"]), str(width), str(height))
    wait_for(window, lambda _: shown().shape == (height, width, 3))


@needs_display
def test_grows_by_the_panel_and_letterboxes(window: Window) -> None:
    window.draw(scene(PICTURE, shows_view=True))
    assert shown().shape == (630, 960 + WIDTH, 3)
    np.testing.assert_array_equal(shown()[:, :960], PICTURE.repeat(3, 0).repeat(6, 1))
    assert len(np.unique(shown()[:, 960:].reshape(-1, 3), axis=0)) > 20
    x = pygame.display.get_window_position()[0]
    assert x + 960 + WIDTH <= 1400
    window.draw(scene(PICTURE))
    assert shown().shape == (630, 960, 3)
    resize(window, 700, 500)
    window.draw(scene(PICTURE))
    expected = np.zeros((500, 700, 3), np.uint8)
    expected[40:460, 30:670] = PICTURE.repeat(2, 0).repeat(4, 1)
    np.testing.assert_array_equal(shown(), expected)
    for width, height in ((200, 90), (100, 40)):
        resize(window, width, height)
        for shows_view in (False, True):
            window.draw(scene(PICTURE, shows_view, note="small"))


@needs_display
def test_full_screen_and_back(window: Window) -> None:
    xdotool("key", "f")
    wait_for(window, lambda _: shown().shape == (900, 1400, 3))
    window.draw(scene(PICTURE, shows_view=True))
    np.testing.assert_array_equal(shown()[135:765, :960], PICTURE.repeat(3, 0).repeat(6, 1))
    xdotool("key", "f")
    wait_for(window, lambda _: shown().shape == (630, 960, 3))


@needs_display
def test_pictures_of_other_shapes(window: Window) -> None:
    for shape in ((250, 160), (400, 600), (84, 84), (900, 2000), (3, 2)):
        window.draw(scene(np.full((*shape, 3), 200, np.uint8)))
        assert shown().max() == 200


def test_no_display(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="No window can be opened here"):
        Window("none")
    monkeypatch.setenv("DISPLAY", ":199")  # where no server is: SDL would draw for nobody
    with pytest.raises(UserError, match="No window can be opened here"):
        Window("none")


@pytest.mark.parametrize(
    ("window", "shows_view", "expected"),
    [
        ((960, 630), False, (3, 0)),
        ((1000, 650), False, (3, 0)),
        ((160, 630), False, (0.5, 0)),
        ((960 + WIDTH, 630), True, (3, 1)),
        ((1920, 1080), False, (5, 0)),
        ((1920, 1080), True, (4, 640 / WIDTH)),
    ],
)
def test_fit(window: tuple[int, int], shows_view: bool, expected: tuple[float, float]) -> None:
    assert fit(*window, (320, 210), shows_view) == pytest.approx(expected)
