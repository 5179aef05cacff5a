"""How a result was made: versions, commit and machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from config import ROOT
from paths import portable_flags

if TYPE_CHECKING:
    from commands.verbs import Task

# If the version of one of these changes, a resumed run may differ in its last bits.
PACKAGES = ("torch", "numpy", "ale-py", "opencv-python-headless", "numba")


def versions() -> dict[str, str]:
    """Python and the packages that results depend on."""
    found = {"python": platform.python_version()}
    for name in (*PACKAGES, "gymnasium"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # another engine does without
    return found


def commit() -> str:
    """The commit that is checked out, with `+` if files differ from it; "" without git."""
    try:
        words = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--abbrev=12"]
        answer = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip()


def describe() -> str:
    """Processor, cores, memory and system in one line."""
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


def about_run(task: Task) -> dict[str, Any]:
    """The description of its run that a checkpoint contains."""
    return {
        "rom_md5": task.rom_md5,
        "versions": versions(),
        "flags": portable_flags(task.config),
    }
