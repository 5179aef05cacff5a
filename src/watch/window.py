"""Shows the game in a desktop window."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Set
from functools import lru_cache

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # pygame prints a greeting
import pygame

from errors import UserError
from watch.picture import Picture, glowing, size_of
from watch.scene import Scene
from watch.view_panel import HEIGHT, WIDTH, Panel, key_card, note_card

JOYSTICK = {
    pygame.K_UP: "up",
    pygame.K_DOWN: "down",
    pygame.K_LEFT: "left",
    pygame.K_RIGHT: "right",
    pygame.K_SPACE: "fire",
}
GAME = (320, 210)  # an Atari picture's size, at scale 1
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")  # one is set if there is a display
HIDDEN = ("offscreen", "dummy")  # what SDL falls back to
SMALLEST_PANEL = 0.65
LEAST_PANEL = 0.15  # a panel of a smaller scale is not drawn: its letters would be dots
MOST_OF_DESKTOP = 0.85  # of its height may be taken by a new window


class Window:
    """A resizable window. Raises UserError if there is no display."""

    def __init__(self, title: str) -> None:
        """Open it, with Atari's pixels scaled by a whole number."""
        try:
            if sys.platform == "linux" and not any(map(os.environ.get, DISPLAYS)):
                raise pygame.error("there is no display")  # SDL would use a dummy one
            pygame.display.init()
            if pygame.display.get_driver() in HIDDEN and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("the display does not answer")
            if pygame.display.get_driver() == "x11":
                # Pictures made here are faster shown as they are than as textures, which without a
                # graphics card take ten times as long.
                os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
            desktop_width, desktop_height = pygame.display.get_desktop_sizes()[0]
            room = min(desktop_width / GAME[0], desktop_height * MOST_OF_DESKTOP / GAME[1])
            scale = max(int(room), 1)
            self._open(scale * GAME[0], scale * GAME[1])
        except pygame.error as error:
            pygame.display.quit()
            raise UserError(f"No window can be opened here ({error}).") from None
        pygame.display.set_caption(title)
        pygame.key.stop_text_input()
        self.tapped: set[str] = set()  # joystick keys since the last call of `held`
        self.shows_view = False
        self.panel = Panel()
        self.drawn: tuple[object, ...] = ()  # what the panel's surface shows
        self.windowed = self.screen.get_size()

    @property
    def screen(self) -> pygame.Surface:
        """The surface to draw on; a new one whenever the window has changed its size."""
        screen = pygame.display.get_surface()
        assert screen
        return screen

    def _open(self, width: int, height: int) -> None:
        with warnings.catch_warnings():  # a window manager may choose another size
            warnings.simplefilter("ignore", RuntimeWarning)
            pygame.display.set_mode((width, height), pygame.RESIZABLE)

    def pressed(self) -> list[str]:
        """The keys pressed since the last call; `f` and resizing are handled here."""
        found = []
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                found.append("quit")
            elif event.type == pygame.KEYDOWN:
                if event.key in JOYSTICK:
                    self.tapped.add(JOYSTICK[event.key])
                elif event.key == pygame.K_ESCAPE:
                    found.append("quit")
                elif event.key == pygame.K_f:
                    self._toggle_full_screen()
                else:
                    found.append(event.unicode or pygame.key.name(event.key))
        return found

    def held(self) -> Set[str]:
        """Keys that are held, and those that were only tapped since the last call."""
        down = pygame.key.get_pressed()
        held = {name for key, name in JOYSTICK.items() if down[key]} | self.tapped
        self.tapped = set()
        return held

    def draw(self, scene: Scene) -> None:
        """Draw the picture in the middle, the panel on its right, and cards on top."""
        if scene.shows_view != self.shows_view:
            self._make_room(scene.shows_view)
        self.screen.fill((0, 0, 0))
        width, height = self.screen.get_size()
        scale, panel_scale = fit(width, height, size_of(scene.picture), scene.shows_view)
        if panel_scale >= LEAST_PANEL:
            panel = self._panel(scene, panel_scale)
            width -= panel.get_width()
            self.screen.fill((13, 17, 23), (width, 0, panel.get_width(), height))
            self.screen.blit(panel, (width, (height - panel.get_height()) // 2))
        picture = scene.picture
        if scene.view.heat is not None:
            picture = glowing(picture, scene.view.heat)
        size = max(int(size_of(picture)[0] * scale), 1), max(int(size_of(picture)[1] * scale), 1)
        area = pygame.Rect((width - size[0]) // 2, (height - size[1]) // 2, *size)
        pygame.transform.scale(_surface(picture), size, self.screen.subsurface(area))
        text = max(size[1] / HEIGHT, 0.6)
        if scene.keys:
            card = _cards(tuple(scene.keys), text)
            self.screen.blit(card, card.get_rect(center=area.center))
        if scene.note:
            card = _cards(scene.note, text)
            self.screen.blit(card, card.get_rect(midbottom=(area.centerx, area.bottom - 12 * text)))
        pygame.display.flip()

    def close(self) -> None:
        """Close the window."""
        pygame.display.quit()

    def _panel(self, scene: Scene, scale: float) -> pygame.Surface:
        shown = (scene.view.changes, scene.view.person_plays, scene.view.lives, scale)
        if shown != self.drawn:
            self.panel.scale = scale
            self.surface = _surface(self.panel.draw(scene.view))
            self.drawn = shown
        return self.surface

    def _make_room(self, shows_view: bool) -> None:
        """Widen the window for the panel, or shrink it again, unless it is full screen."""
        self.shows_view = shows_view
        if pygame.display.is_fullscreen():
            return
        width, height = self.screen.get_size()
        desktop = pygame.display.get_desktop_sizes()[0][0]
        width += (1 if shows_view else -1) * round(WIDTH * height / HEIGHT)
        if GAME[0] <= width <= desktop:
            x, y = pygame.display.get_window_position()
            self._open(width, height)
            pygame.display.set_window_position((max(min(x, desktop - width), 0), y))

    def _toggle_full_screen(self) -> None:
        if pygame.display.is_fullscreen():
            pygame.display.toggle_fullscreen()  # X keeps the size unless this is done first
            self._open(*self.windowed)
        else:
            self.windowed = self.screen.get_size()
            pygame.display.set_mode((0, 0), pygame.FULLSCREEN)


def fit(width: int, height: int, picture: tuple[int, int], shows_view: bool) -> tuple[float, float]:
    """The scales of the picture and of the panel beside it in a window.

    The picture's scale is a whole number unless the window is too small. The panel takes the
    remaining width, and at least SMALLEST_PANEL of the height.
    """
    room = min(width / picture[0], height / picture[1])
    if not shows_view:
        return (int(room) if room >= 1 else room), 0.0
    for scale in range(int(room), 0, -1):
        panel = min(height / HEIGHT, (width - scale * picture[0]) / WIDTH)
        if panel >= SMALLEST_PANEL * height / HEIGHT:
            return scale, panel
    panel = min(SMALLEST_PANEL * height / HEIGHT, width / 2 / WIDTH)
    return min((width - panel * WIDTH) / picture[0], height / picture[1]), panel


def _surface(picture: Picture) -> pygame.Surface:
    """A pygame surface of (height, width, 3), or (height, width, 4) with transparency."""
    height, width, channels = picture.shape
    pixels, size = np.ascontiguousarray(picture).tobytes(), (width, height)
    if channels == 3:
        return pygame.image.frombuffer(pixels, size, "RGB").convert()
    return pygame.image.frombuffer(pixels, size, "RGBA").convert_alpha()


@lru_cache(64)
def _cards(text: str | tuple[tuple[str, str], ...], scale: float) -> pygame.Surface:
    return _surface(note_card(text, scale) if isinstance(text, str) else key_card(text, scale))
