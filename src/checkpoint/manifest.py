"""Checks everything in a checkpoint: the values of its manifest and the shapes of its arrays."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from errors import UserError, shown
from runs.results import EPOCH, PHASES, ROW
from schema import COUNT, FINITE, MAX_GAMES, TEXT, TRUTH, Value, entries, record, sequence, texts

POSITION = {"epoch": EPOCH, "phase": Value(kind=str, choices=PHASES), "step": COUNT}
SEEN = Value(kind=str, choices=(*PHASES, "play", ""))
_STREAM = {
    "bit_generator": Value(kind=str, choices=("PCG64",)),
    "has_uint32": Value(kind=int, low=0, high=1),
    "uinteger": Value(kind=int, low=0, high=2**32 - 1),
}
_STREAM_STATE = {name: Value(kind=int, low=0, high=2**128 - 1) for name in ("state", "inc")}


def check_state(state: Any) -> dict[str, Any]:
    """The checked content of a checkpoint's manifest. Raises UserError.

    Flags are checked where they are used.
    """
    if not isinstance(state, dict):
        raise UserError("its content is not names with values.")
    checked = record(
        "it", state, {"written": replace(TEXT, longest=40), "total_train_steps": COUNT}
    )
    about = state.get("about")
    record("what it is about", about, {"rom_md5": replace(TEXT, longest=64)})
    assert isinstance(about, dict)
    texts("its versions", about.get("versions"))
    if not isinstance(about.get("flags"), dict):
        raise UserError("it has no flags.")
    position = entries("its position", state.get("position"), length=3)
    at = record("its position", dict(zip(POSITION, position, strict=True)), POSITION)
    checked["position"] = tuple(at.values())
    for name in ("exploration", "sampler"):
        if not isinstance(state.get(name), dict):
            raise UserError(f"it has no {name}.")
    check_stream("its exploration", state["exploration"])
    for name, value in state["sampler"].items():
        if isinstance(value, dict):
            check_stream("its sampler", value)
        elif isinstance(value, float):
            FINITE.check(f"its sampler's {shown(name)}", value)
        elif not isinstance(value, bool | int | str):
            raise UserError(f"its sampler's {shown(name)} is no number or text.")
    checked["added"] = sequence("its steps added", state.get("added"), COUNT)
    games = len(checked["added"])
    checked["beginning"] = sequence("its beginnings", state.get("beginning"), TRUTH, length=games)
    if (
        not isinstance(state.get("games"), list)
        or len(state["games"]) != games
        or games > MAX_GAMES
    ):
        raise UserError("its games are not as many as its replay memory has.")
    for game in state["games"]:
        check_stream("a game's random stream", game)
    checked["statistics"] = check_statistics(state.get("statistics"), games)
    return state | checked


def check_statistics(state: Any, games: int) -> dict[str, Any]:
    """The checked state of the statistics. Raises UserError."""
    times = {"total_time": FINITE, "phase_time": FINITE, "last_exploration_rate": FINITE}
    found = record("its statistics", state, times | {"num_steps": COUNT})
    assert isinstance(state, dict)
    name, epoch = entries("its phase", state.get("phase"), length=2)
    found["phase"] = (SEEN.check("its phase", name), EPOCH.check("its epoch", epoch))
    found["running"] = sequence("its running scores", state.get("running"), FINITE, length=games)
    # Only checkpoints of earlier versions have scores and rows here and not among their arrays.
    found["scores"] = sequence("its scores", state.get("scores", ()), FINITE)
    rows = entries("its rows", state.get("rows", ()))
    found["rows"] = [record("a row", row, ROW) for row in rows]
    return state | found


def check_stream(name: str, stream: Any) -> None:
    """Raise UserError unless `stream` is the state of a random stream."""
    record(name, stream, _STREAM)
    record(name, stream.get("state"), _STREAM_STATE)


def check_array(array: NDArray[Any] | None, like: NDArray[Any], what: str) -> NDArray[Any]:
    """`array` if it has the shape and type of `like`. Raises ValueError."""
    if array is None or array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"its {what} are of another size")
    return array
