"""Replays golden vectors on this machine and prints the errors.

    ./verify.sh golden DIR [--tolerance 1e-5] [--datatype float32] [--backend cpu]
    ./verify.sh nvis NPZ SNAPSHOT

A golden case is NAME.npz with NAME_start.pkl and NAME_end.pkl: minibatches and what another
implementation computed from them, with the settings in the npz's `config`.
"""

from __future__ import annotations

from commands.prepare import prepare

if __name__ == "__main__":
    prepare()

import ast
import sys
import zipfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from commands.exit_codes import exit_code
from commands.plain_parser import PlainParser, at_least
from config import FIELDS, NetworkSettings, check, parse_value
from engine.make import make_network
from errors import UserError
from nvis.verification import read_arrays
from replay_memory import Minibatch
from schema import MAX_ACTIONS, Value
from snapshot.format import read_snapshot
from snapshot.layers import SavedLayer

# What files that are damaged, or something else, make of reading them.
NOT_A_CASE = (
    *(OSError, EOFError, zipfile.BadZipFile, SyntaxError),
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError),
)
ACTIONS = Value(kind=int, low=1, high=MAX_ACTIONS)
OVER_TOLERANCE = 1


def replay_golden(case: Path, **settings: Any) -> dict[str, float]:
    """Largest absolute error in Q-values, costs and final weights of one golden case.

    `case` is its .npz; `settings` (engine, backend, device_id, datatype) go to the network.
    Raises UserError if the case is incomplete or not one.
    """
    start, end = (case.with_name(f"{case.stem}_{when}.pkl") for when in ("start", "end"))
    try:
        data = read_arrays(case)
        config = ast.literal_eval(str(data["config"].item()))
        updates, batch, history = data["prestates"].shape[:3]
        settings |= _settings(config, data["prestates"].shape)
        num_actions = config["actions"]
        if not updates or not ((data["actions"] >= 0) & (data["actions"] < num_actions)).all():
            raise ValueError("it has no updates, or an action that the network does not have")
        network = make_network(NetworkSettings(**settings), num_actions, np.random.default_rng(0))
        network.load_weights(start)
        q_errors = [np.abs(network.predict(data["valid"]) - data["qvalues"][0]).max()]
        cost_errors = []
        for t in range(updates):
            if t in data["target_sync_before_step"]:
                network.update_target_network()
            screens = np.concatenate([data["prestates"][t], data["poststates"][t]], axis=1)
            rewards = np.clip(data["rewards"][t], config["min_reward"], config["max_reward"])
            minibatch = Minibatch(
                screens=screens,
                actions=data["actions"][t],
                returns=rewards.astype(np.float32),
                discounts=config.get("discount_rate", 0.99) * ~data["terminals"][t],
                indices=np.arange(batch),
                weights=np.ones(batch, np.float32),
                history=history,
            )
            network.train(minibatch)
            cost_errors.append(abs(network.read_cost() - data["costs"][t]))
            q_errors.append(np.abs(network.predict(data["valid"]) - data["qvalues"][t + 1]).max())
    except NOT_A_CASE as error:
        raise UserError(f"{case} is not a whole golden case: {error!r}.") from error
    ours, theirs = _weights(network.layers()), _weights(read_snapshot(end).layers)
    if {k: w.shape for k, w in ours.items()} != {k: w.shape for k, w in theirs.items()}:
        raise UserError(f"{end} has other layers than the network of {case}.")
    weight_errors = [np.abs(ours[name] - theirs[name]).max() for name in ours]
    errors = {"Q": q_errors, "cost": cost_errors, "weights": weight_errors}
    # NB! Python's max passes over a NaN, NumPy's does not.
    return {name: float(np.max(values)) for name, values in errors.items()}


def _settings(config: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """The settings of a case's network. Raises ValueError if one is not valid."""
    _, batch, history, height, width = shape
    given = dict(
        history_length=history,
        screen_height=height,
        screen_width=width,
        batch_size=batch,
        learning_rate=config["lr"],
        optimizer=config["optimizer"],
        batch_norm=config["batch_norm"],
        clip_error=config["clip_error"],
        decay_rate=config.get("decay_rate", 0.95),
    )
    try:
        ACTIONS.check("its number of actions", config["actions"])
        return {name: check(name, value) for name, value in given.items()}
    except UserError as error:
        raise ValueError(str(error)) from None


def _weights(layers: list[SavedLayer]) -> dict[tuple[int, str], Any]:
    kept = [layer for layer in layers if layer.kind != "Activation"]
    return {(n, key): array for n, layer in enumerate(kept) for key, array in layer.params.items()}


def check_golden(folder: Path, tolerance: float, **settings: Any) -> bool:
    """Replay every case in `folder`, print a line each, and tell whether all are within."""
    cases = [path for path in sorted(folder.glob("*.npz")) if _start(path).exists()]
    if not cases:
        raise UserError(f"There is no golden case (NAME.npz with NAME_start.pkl) in {folder}.")
    print(f"{'case':<16}{'Q':>10}{'cost':>10}{'weights':>10}   largest absolute error")
    good = True
    for case in cases:
        errors = replay_golden(case, **settings)
        within = all(error <= tolerance for error in errors.values())  # a NaN is not within
        good &= within
        figures = "".join(f"{error:10.1e}" for error in errors.values())
        print(f"{case.stem:<16}{figures}   {'ok' if within else f'over {tolerance:g}'}")
    return good


def _start(case: Path) -> Path:
    return case.with_name(f"{case.stem}_start.pkl")


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """The values of a command line by name. Raises UserError."""
    parser = PlainParser(prog="./verify.sh", description=__doc__)
    checks = parser.add_subparsers(dest="check", required=True, metavar="golden|nvis")
    golden = checks.add_parser("golden", help="replay golden vectors: Q-values, costs, weights")
    golden.add_argument("folder", type=Path, metavar="DIR", help="for example tests/golden")
    golden.add_argument(
        "--tolerance",
        type=at_least(0),
        metavar="ERROR",
        default=1e-5,
        help="largest error that is let pass [%(default)s]",
    )
    plain = NetworkSettings()
    for name in ("engine", "backend", "device_id", "update_parts", "datatype"):
        limits = FIELDS[name].metadata
        golden.add_argument(
            f"--{name}",
            type=partial(parse_value, name),
            metavar="|".join(limits["choices"]) or "N",
            default=getattr(plain, name),
            help=f"{limits['help']} [%(default)s]",
        )
    filters = checks.add_parser("nvis", help="compare guided backpropagation with another's")
    filters.add_argument("npz", type=Path, metavar="NPZ", help="states and the other's pictures")
    filters.add_argument("snapshot", type=Path, metavar="SNAPSHOT", help="the network of both")
    return vars(parser.parse_args(arguments))


def run(options: dict[str, Any]) -> bool:
    """Run a check, and tell whether all is within the tolerance."""
    if options.pop("check") == "golden":
        return check_golden(**options)
    from nvis.verification import check_nvis

    return check_nvis(**options)


def main(arguments: Sequence[str]) -> int:
    """Run the command line: 0 if all is within the tolerance, 1 if not.

    The other exit codes are those of errors.py.
    """
    with exit_code("verify") as ending:
        ending.code = 0 if run(parse(arguments)) else OVER_TOLERANCE
    return ending.code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
