"""The page's drawings, made with Bokeh."""

from __future__ import annotations

from typing import Any

import numpy as np
from bokeh.events import DoubleTap
from bokeh.models import (
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    HoverTool,
    Image,
    ImageRGBA,
    LinearColorMapper,
    PanTool,
    Plot,
    Quad,
    Range1d,
    Row,
    Text,
    WheelZoomTool,
)
from bokeh.models.annotations import Span
from bokeh.models.ui import UIElement
from numpy.typing import NDArray

from nvis.guided_backpropagation import ByteArray

FRAME_COLOR = "#ff9500"
WEIGHT_COLUMNS = 4  # filters side by side in the drawing of the first layer's weights
# negative, zero, positive: blue through white to red, readable for the color-blind
BLUE, WHITE, RED = (33, 102, 172), (250, 250, 250), (178, 24, 43)

# There is nothing to see outside the pictures, so the ranges stay within them. On a phone one
# finger scrolls the page until a picture is zoomed in: only then is there something to pan.
KEEP_INSIDE = """
const clamp = (range, size) => {
  const flipped = range.start > range.end
  const low = Math.min(range.start, range.end)
  const span = Math.min(Math.abs(range.end - range.start), size)
  const start = Math.min(Math.max(low, 0), size - span)
  const [a, b] = flipped ? [start + span, start] : [start, start + span]
  if (a !== range.start || b !== range.end) range.setv({start: a, end: b})
  return span < size
}
const zoomed = [clamp(x_range, width), clamp(y_range, height)].includes(true)
for (const pan of pans) if (pan.active !== zoomed) pan.active = zoomed
"""
SHOW_ALL = "x_range.setv({start: 0, end: width}); y_range.setv({start: height, end: 0});"


def _rgba(channels: ByteArray) -> NDArray[np.uint32]:
    """The last three of (channels, h, w) as red, green and blue; repeated if there are fewer."""
    last = [channels[max(len(channels) - 3 + i, 0)] for i in range(3)]
    opaque = np.full_like(last[0], 255)
    return np.stack([*last, opaque], axis=-1).view(np.uint32)[..., 0]


def pair(picture: ByteArray, state: ByteArray, field: tuple[int, int, int, int]) -> Row:
    """Guided backpropagation and its input side by side; both zoom and pan together."""
    height, width = state.shape[1:]
    x_range, y_range = Range1d(start=0, end=width), Range1d(start=height, end=0)
    cross = Span(dimension="width"), Span(dimension="height")
    for line in cross:
        line.update(line_color="#ffffff", line_alpha=0.6)
    top, left, bottom, right = field
    frame = Quad(left=left, right=right, top=top, bottom=bottom)
    frame.update(fill_color=None, line_color=FRAME_COLOR, line_width=2)
    pans = [PanTool(), PanTool()]
    known = {"x_range": x_range, "y_range": y_range, "width": width, "height": height}
    keep_inside = CustomJS(args=known | {"pans": pans}, code=KEEP_INSIDE)
    for changed in (x_range, y_range):
        for end in ("start", "end"):
            changed.js_on_change(end, keep_inside)
    show_all = CustomJS(args=known, code=SHOW_ALL)
    plots: list[UIElement] = []
    for name, channels, pan in zip(("guided", "input"), (picture, state), pans, strict=True):
        plot = _plot(name, x_range, y_range, width / height)
        image = ColumnDataSource({"image": [_rgba(channels)]})
        plot.add_glyph(image, ImageRGBA(image="image", x=0, y=0, dw=width, dh=height))
        plot.add_glyph(frame)
        # Without a key the wheel scrolls the page; two fingers on a touch pad come as Ctrl too.
        wheel = WheelZoomTool(modifiers={"ctrl": True})
        plot.add_tools(wheel, pan, CrosshairTool(overlay=cross))
        plot.toolbar.active_scroll = wheel
        plot.toolbar.active_drag = None
        plot.js_on_event(DoubleTap, show_all)
        plots.append(plot)
    return Row(children=plots, spacing=6, sizing_mode="stretch_width")


def _plot(name: str, x_range: Range1d, y_range: Range1d, aspect_ratio: float) -> Plot:
    return Plot(
        name=name,
        x_range=x_range,
        y_range=y_range,
        aspect_ratio=aspect_ratio,
        sizing_mode="stretch_width",
        toolbar_location=None,
        min_border=0,
        outline_line_color=None,
        background_fill_color=None,
        border_fill_color=None,
    )


def first_weights(weights: NDArray[np.float32]) -> Plot:
    """Every filter of the first layer: its weights for each screen, the oldest on the left."""
    filters, channels, r, s = weights.shape
    wide, high = channels * (s + 1) + 2, r + 6  # pixels for each filter, including gaps
    rows = -(-filters // WEIGHT_COLUMNS)
    canvas = np.full((rows * high - 1, WEIGHT_COLUMNS * wide - 3), np.nan, np.float32)
    labels: dict[str, list[Any]] = {"x": [], "y": [], "text": []}
    for k, kernel in enumerate(weights):
        top, left = k // WEIGHT_COLUMNS * high + 5, k % WEIGHT_COLUMNS * wide
        for c in range(channels):
            canvas[top : top + r, left + c * (s + 1) : left + c * (s + 1) + s] = kernel[c]
        labels["x"].append(left)
        labels["y"].append(top - 0.5)
        labels["text"].append(str(k))
    height, width = canvas.shape
    x_range, y_range = Range1d(start=0, end=width), Range1d(start=height, end=0)
    plot = _plot("weights", x_range, y_range, width / height)
    largest = float(np.abs(weights).max()) or 1.0
    mapper = LinearColorMapper(palette=_diverging(), low=-largest, high=largest)
    mapper.nan_color = "rgba(0, 0, 0, 0)"
    image = plot.add_glyph(
        ColumnDataSource({"image": [canvas]}),
        Image(image="image", x=0, y=0, dw=width, dh=height, color_mapper=mapper),
    )
    text = Text(x="x", y="y", text="text", text_baseline="bottom")
    text.update(text_font_size="9px", text_color="#667085")
    plot.add_glyph(ColumnDataSource(labels), text)
    plot.add_tools(HoverTool(renderers=[image], tooltips=[("weight", "@image{0.0000}")]))
    return plot


def _diverging() -> list[str]:
    """256 colors, evenly from BLUE through WHITE to RED."""
    places = np.linspace(0, 1, 256)
    mixed = [np.interp(places, [0, 0.5, 1], ends) for ends in zip(BLUE, WHITE, RED, strict=True)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in np.rint(mixed).astype(int).T]
