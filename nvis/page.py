"""One HTML file that shows what the filters look for. It works offline and sends nothing."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bokeh.embed import json_item
from bokeh.model import Model
from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from atomic import make_folder, put_beside, write_atomically
from errors import NotSaved, UserError
from nvis.convolution import Convolution
from nvis.drawings import first_weights, pair
from nvis.guided_backpropagation import (
    ByteArray,
    Strongest,
    guided_backpropagation,
    receptive_field,
    strongest_activations,
    to_bytes,
)
from runs.outputs import free_path

log = logging.getLogger(__name__)


def visualize(
    convolutions: Sequence[Convolution],
    states: ByteArray,
    *,
    filters: int,
    file: Path,
    game: str,
    snapshot: str,
    epoch: int | None,
    overwrite: bool = False,
) -> Path:
    """Writes the page of the first `filters` filters of each convolutional layer to `file`.

    Without `overwrite`, a file that is there by now keeps its name, and the page gets the next one
    that is free. Returns the page's path.

    states is (n, history_length, height, width) uint8, oldest screen first. They are read 32 at a
    time, so they may be a sliding view over a game's screens. game, snapshot and epoch are shown in
    the header. Raises UserError if there is nothing to draw or the file cannot be written, and
    NotSaved if the disk is full.
    """
    if len(states) == 0:
        raise UserError("No states were collected: play a longer game.")
    if filters < 1:
        raise UserError(f"--visualization_filters is {filters}, but it must be at least 1.")
    notes = []
    for layer in convolutions:
        if filters > len(layer.weights):
            notes.append(f"layer {layer.name} has {len(layer.weights)} filters")
    note = f"{filters} filters were requested, but {', '.join(notes)}: all are shown."
    if notes:
        log.warning(note)
    height, width = states.shape[2:]
    strongest = strongest_activations(convolutions, states)
    page = _template().render(
        game=game,
        snapshot=snapshot,
        epoch=epoch,
        number_of_states=len(states),
        history_length=states.shape[1],
        note=note if notes else "",
        bokeh=Resources(mode="inline", components=["bokeh"]).render_js(),
        aspect=f"{2 * width} / {height}",
        layers=[
            _layer(convolutions[: depth + 1], states, found, filters)
            for depth, found in enumerate(strongest)
        ],
        weights=_item(first_weights(convolutions[0].weights)),
    )
    try:
        make_folder(file.parent)
        return _write(file, page.encode(), overwrite=overwrite)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise NotSaved(f"Cannot write {file}: {error.strerror}.") from None
        raise UserError(
            f"Cannot write {file} ({error.strerror}): choose another --visualization_file."
        ) from error


def _write(file: Path, page: bytes, *, overwrite: bool) -> Path:
    path = file
    while True:
        try:
            write_atomically(path, page, Path.replace if overwrite else put_beside)
            return path
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        path = free_path(file)


def _template() -> Any:
    loader = FileSystemLoader(Path(__file__).parent)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("page.html")


def _layer(
    convolutions: Sequence[Convolution], states: ByteArray, found: Strongest, filters: int
) -> dict[str, Any]:
    layer = convolutions[-1]
    shown = np.arange(min(filters, len(layer.weights)))
    best = states[found.states[shown]]
    _, pictures = guided_backpropagation(convolutions, best, shown, found.locations[shown])
    _, _, rows, columns = layer.weights.shape
    return {
        "name": layer.name,
        "of": len(layer.weights),
        "kernel": f"{rows}×{columns}",
        "stride": layer.stride,
        "places": "{}×{}".format(*found.places),
        "field": _field_size(convolutions),
        "filters": list(_filters(convolutions, found, best, to_bytes(pictures))),
    }


def _field_size(convolutions: Sequence[Convolution]) -> int:
    size = 1
    for layer in reversed(convolutions):
        size = (size - 1) * layer.stride + layer.weights.shape[2]
    return size


def _filters(
    convolutions: Sequence[Convolution], found: Strongest, states: ByteArray, pictures: ByteArray
) -> Iterator[dict[str, Any]]:
    for k, (state, picture) in enumerate(zip(states, pictures, strict=True)):
        place_row, place_column = divmod(int(found.locations[k]), found.places[1])
        field = receptive_field(convolutions, place_row, place_column, *state.shape[1:])
        yield {
            "number": k,
            "activation": float(found.activations[k]),
            "state": int(found.states[k]),
            "row": place_row,
            "column": place_column,
            "pair": _item(pair(picture, state, field)),
        }


def _item(model: Model) -> str:
    """A drawing as JSON that is safe inside a script element."""
    return json.dumps(json_item(model)).replace("<", "\\u003c")
