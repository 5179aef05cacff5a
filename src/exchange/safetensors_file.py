"""An agent as a safetensors file: parameters, and its description in the metadata."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from api.agent import LoadedAgent
from api.environment import PlayedEnvironment
from api.load import load
from atomic import open_regular, write_atomically
from engine.export import exported_tensors, imported_tensor
from errors import UserError, shown
from exchange.description import KEY, describe
from schema import MAX_EPOCHS
from snapshot.format import Snapshot, write_snapshot
from snapshot.safe_pickle import MAX_BYTES

MAX_HEADER_BYTES = 1 << 20  # names, shapes and the description; ours have about 5 kB


def write_safetensors(path: Path, agent: LoadedAgent, environment: PlayedEnvironment) -> None:
    """Write an agent. Raises OSError."""
    network: Any = agent.network
    tensors = exported_tensors(network)
    about = describe(agent, environment)
    about["tensors"] = {name: arrangement for name, (arrangement, _) in tensors.items()}
    metadata = {"format": "pt", KEY: json.dumps(about)}
    arrays = {name: array for name, (_, array) in tensors.items()}
    write_atomically(path, save(arrays, metadata))


def read_safetensors(path: Path) -> Snapshot:
    """The agent in a file from `write_safetensors`. Nothing in the file is executed.

    Raises UserError if it is not such a file, or damaged.
    """
    try:
        with open_regular(path) as regular:  # safe_open would wait for a pipe
            size = os.fstat(regular.fileno()).st_size
            header = int.from_bytes(regular.read(8), "little")
        if size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
        if header > MAX_HEADER_BYTES:
            raise ValueError(f"its description is larger than {MAX_HEADER_BYTES >> 20} MB")
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})[KEY])
            arrangements, info, epoch = about["tensors"], about["info"], about["epoch"]
            if not isinstance(info, dict) or type(epoch) is not int or not 0 <= epoch <= MAX_EPOCHS:
                raise ValueError("its description is of another form")
            found = {}
            for name in file.keys():  # noqa: SIM118 - it is no dict
                array = file.get_tensor(name)
                if array.dtype != np.float32:
                    raise ValueError(f"its {name} is of type {array.dtype}, not float32")
                found[name] = imported_tensor(arrangements[name], array)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}.") from None
    except KeyError as missing:
        raise UserError(
            f"{path} has no {shown(missing.args[0])} that describes an agent: give a file that "
            "./export.sh has written."
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError, SafetensorError) as reason:
        raise UserError(
            f"{path} cannot be used ({shown(str(reason), 200)}): give a file that ./export.sh has "
            "written."
        ) from None
    return Snapshot([], epoch, info=info, tensors=found)


def import_agent(source: Path, path: Path, **flags: Any) -> None:
    """Write the agent in `source` as a snapshot, checked like any snapshot.

    `flags` are those of `load`. Raises OSError, and UserError if the agent cannot be loaded.
    """
    snapshot = read_safetensors(source)
    with tempfile.TemporaryDirectory() as folder:
        unchecked = Path(folder) / path.name
        try:
            write_snapshot(unchecked, snapshot)
            agent, _ = load(unchecked, backend="cpu", **flags)
        except (ValueError, RecursionError) as reason:
            raise UserError(f"{source} cannot be used: {shown(str(reason), 200)}.") from None
        except UserError as error:
            raise UserError(str(error).replace(str(unchecked), str(source))) from None
        network: Any = agent.network
        optimizer = network.optimizer  # the file has none of its states
        optimizer.updates = optimizer.reset_at = optimizer.drawn_at = 0
        network.save_weights(path, epoch=snapshot.epoch, info=snapshot.info)
