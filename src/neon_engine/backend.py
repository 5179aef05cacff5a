"""Finds and imports Neon, and makes the backend that it computes on."""

from __future__ import annotations

import importlib
import inspect
import io
import logging
import warnings
from collections import namedtuple
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from config import NetworkSettings
from errors import UserError

logger = logging.getLogger(__name__)

HOW_TO = "docs/neon.md explains how to install it."
MODULES = ("backends", "initializers", "layers", "models", "optimizers", "transforms")
OLDEST = (1, 9)  # before it, Adam's bias correction counted epochs instead of weight updates


def import_neon() -> Any:
    """The package neon with its MODULES. Raises UserError if it is missing or cannot be used."""
    _give_back_names()
    logging.getLogger("neon").setLevel(logging.CRITICAL)  # it warns of every optional package
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # its code is old: Python has many warnings about it
            neon = importlib.import_module("neon")
            version = tuple(int(n) for n in neon.__version__.split("+")[0].split(".")[:2])
            if version < OLDEST:
                raise UserError(f"Neon {neon.__version__} is too old, use 2.6.0: {HOW_TO}")
            for name in MODULES:
                importlib.import_module(f"neon.{name}")
    except ModuleNotFoundError as error:
        missing = "Neon" if error.name == "neon" else f"Neon's Python package {error.name}"
        raise UserError(f"--engine neon needs {missing}, which is missing: {HOW_TO}") from error
    except (AttributeError, ImportError, ValueError, SystemExit) as error:
        raise UserError(
            f"The package neon found here is not a complete Neon 2.6: {HOW_TO}"
        ) from error
    return neon


def _give_back_names() -> None:
    """Define the names that Neon uses and that Python 3.11 and NumPy 1.24 have removed.

    This is done only when this engine is chosen.
    """
    parts = namedtuple("parts", ("args", "varargs", "keywords", "defaults"))
    vars(inspect).setdefault("getargspec", lambda f: parts(*inspect.getfullargspec(f)[:4]))
    for name, kind in (("float", float), ("int", int)):
        vars(np).setdefault(name, kind)


def new_backend(settings: NetworkSettings, neon: Any, *, seed: int) -> Any:
    """The backend that Neon uses from now on; `auto` is the GPU if Neon can use one.

    Raises UserError if this machine or Neon does not have it.
    """
    s = settings
    gpus = importlib.import_module("neon.backends.util.check_gpu").get_device_count()
    kind = "gpu" if s.backend == "gpu" or (s.backend == "auto" and gpus) else "cpu"
    if kind == "gpu" and s.device_id >= gpus:
        raise UserError(
            f"There is no GPU {s.device_id} that Neon can use (it sees {gpus}, through PyCUDA): "
            "use --backend cpu or another --device_id."
        )
    datatypes = ["float16", "float32"] + ["float64"] * (kind == "cpu")
    if s.datatype not in datatypes:
        raise UserError(
            f"Neon's {kind} backend has no {s.datatype}: use one of --datatype "
            f"{', '.join(datatypes)}."
        )
    if s.stochastic_round and kind == "cpu":
        logger.warning("--stochastic_round changes nothing on Neon's cpu backend.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return neon.backends.gen_backend(
                backend=kind,
                rng_seed=seed,
                datatype=np.dtype(s.datatype).type,
                batch_size=s.batch_size,
                stochastic_round=s.stochastic_round,
                device_id=s.device_id,
            )
    except Exception as error:  # PyCUDA's exceptions have no common class
        raise UserError(
            f"Neon's {kind} backend does not start on this machine ({error}): use --backend cpu."
        ) from error
