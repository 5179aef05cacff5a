"""What a small run's checkpoint says, for tests that need one and train nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from config import Config
from paths import portable_flags
from runs.results import ROW


def a_state(**changes: Any) -> dict[str, Any]:
    """A manifest's content, with other values for some of its names."""
    stream = np.random.default_rng(1).bit_generator.state
    row = {name: "train" if name == "phase" else value.kind(1) for name, value in ROW.items()}
    statistics = {"rows": [row], "phase": ("train", 1), "num_steps": 5, "scores": [1.0]}
    statistics |= {"running": [0.0], "last_exploration_rate": 0.9}
    about = {"rom_md5": "", "versions": {"python": "3"}, "flags": portable_flags(Config())}
    return {
        "written": "2026-01-01T00:00:00+0000",
        "about": about,
        "position": (1, "train", 5),
        "total_train_steps": 5,
        "exploration": stream,
        "sampler": {"random": stream},
        "added": [10],
        "beginning": [False],
        "games": [stream],
        "statistics": statistics | {"total_time": 1.0, "phase_time": 1.0},
    } | changes
