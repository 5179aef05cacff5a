"""The machine: its free memory, its cores and its instructions."""

from __future__ import annotations

import math
import os
from pathlib import Path

import psutil

CONTROL_GROUP = Path("/sys/fs/cgroup")  # of a container, in its own view


def free_memory() -> int:
    """Bytes that can still be allocated, within the container's limit if there is one."""
    free = int(psutil.virtual_memory().available)
    try:
        limit = int((CONTROL_GROUP / "memory.max").read_text())
        used = int((CONTROL_GROUP / "memory.current").read_text())
        words = (CONTROL_GROUP / "memory.stat").read_text().split()
        counts = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    except (OSError, ValueError):  # no control group, or "max": no limit
        return free
    # The system forgets the contents of files before it refuses memory.
    files = counts.get("active_file", 0) + counts.get("inactive_file", 0)
    return min(free, limit - used + files)


def has_bfloat16() -> bool:
    """Whether the processor has instructions for bfloat16; True if that is unknown."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return True
    lines = (line.split() for line in text.lower().splitlines())
    flags = {word for words in lines if words[:1] in (["flags"], ["features"]) for word in words}
    return bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}) or not flags


def cores() -> int:
    """The processor cores that this process may use, within the container's limit if any."""
    count = os.cpu_count() or 1
    if hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    try:
        time, period = map(int, (CONTROL_GROUP / "cpu.max").read_text().split())
    except (OSError, ValueError):  # no control group, or "max": no limit
        return count
    return max(1, min(count, math.ceil(time / period)))
