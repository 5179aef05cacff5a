"""What a run runs on: memory, versions, commit; and the random streams of its seed."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import psutil

from config import ROOT

PACKAGES = ("torch", "numpy", "ale-py", "opencv-python-headless")
STREAMS = ("weights", "environment", "starts", "exploration", "replay")


def random_stream(seed: int, name: str, game: int = 0) -> np.random.Generator:
    """A random stream of its own for each part (and each game side by side) of a run."""
    key = (STREAMS.index(name), game)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def free_memory() -> int:
    """Bytes that can still be taken, within the limit of the container if there is one."""
    free = int(psutil.virtual_memory().available)
    try:
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text())
        used = int((group / "memory.current").read_text())
        return min(free, limit - used)
    except (OSError, ValueError):  # no control group, or "max": no limit
        return free


def versions() -> dict[str, str]:
    """Python, the packages that results depend on, and this project's commit."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, "gymnasium"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # another engine does without
    found["commit"] = commit()
    return found


def commit() -> str:
    """The commit checked out, `+` if files differ from it; "" where there is no git."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def describe() -> str:
    """Processor, cores, memory and system in a line."""
    memory = psutil.virtual_memory().total / 2**30
    cores = psutil.cpu_count(logical=True)
    return f"{processor()}, {cores} cores, {memory:.0f} GiB, {platform.platform(terse=True)}"


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; True where that cannot be told."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    lines = (line.split() for line in text.lower().splitlines())
    flags = {word for words in lines if words[:1] in (["flags"], ["features"]) for word in words}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}) or not flags
