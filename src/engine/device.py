"""Where the network is computed: the device, its memory, its number formats."""

from __future__ import annotations

import ctypes
import logging
import sys
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.hardware import has_bfloat16
from errors import UserError

# When a GPU is full, the network is made again on the CPU; warnings must not be repeated.
warn_once = cache(logging.getLogger(__name__).warning)

DATATYPES = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}
# In float16 the gradient's sum over the minibatch is multiplied by this, so that small ones do not
# vanish, and the optimizer divides by it in float32. Larger pixels give larger gradients, so that
# it is divided by --pixel_max.
FLOAT16_SCALE = 128.0
OutOfMemory = torch.OutOfMemoryError  # of a GPU


def find_device(backend: str, device_id: int) -> torch.device:
    """The device for a --backend: `auto` is the GPU if there is one."""
    gpus = torch.cuda.device_count()
    if backend == "cpu" or (backend == "auto" and not gpus):
        return torch.device("cpu")
    if device_id >= gpus:
        raise UserError(
            f"There is no GPU {device_id} that PyTorch can use (it sees {gpus}): "
            "use --backend cpu or another --device_id."
        )
    return torch.device("cuda", device_id)


def set_up_device(backend: str, device_id: int) -> torch.device:
    """Prepare PyTorch and this process for a network on that device, which is returned."""
    keep_freed_memory()
    use_exact_float32()
    use_one_thread()  # NB! PyTorch itself computes with one; engine/workers.py has the threads.
    device = find_device(backend, device_id)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # CUDA graphs are captured on the current device
    return device


def use_exact_float32() -> None:
    """Make a GPU compute float32 in float32: its convolutions would round to 10 bits (TF32)."""
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


def to_device(values: NDArray[Any] | Tensor, device: torch.device) -> Tensor:
    """An array or tensor on `device`.

    For a GPU it is copied: the caller may change `values` at once, and does not wait. On a CPU it
    has the memory of `values`.
    """
    tensor = torch.as_tensor(values)
    if device.type == "cpu" or tensor.device == device:
        return tensor.to(device)
    # NB! Only from pinned memory does a GPU copy by itself. PyTorch reuses it after the copy.
    return tensor.pin_memory().to(device, non_blocking=True)


def free_memory(backend: str, device_id: int) -> int:
    """Bytes free on a GPU; 0 if the device is the CPU."""
    device = find_device(backend, device_id)
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0


def use_one_thread() -> None:
    """Make PyTorch use the calling thread only, and treat denormal numbers as zero."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # applies it now: otherwise the thread's first operation would
    torch.set_flush_denormal(True)


def keep_freed_memory() -> None:
    """Make glibc keep freed memory: getting new pages takes a third of an eager weight update."""
    if sys.platform == "linux":
        trim_threshold, mmap_threshold = -1, -3  # mallopt's parameters, malloc.h
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(trim_threshold, 1 << 30)  # bytes
            if not libc.mallopt(mmap_threshold, 1 << 30):
                libc.mallopt(mmap_threshold, 1 << 25)  # the most that glibc before 2.35 accepts


def warn_of_slow_datatype(device: torch.device, datatype: str) -> None:
    """Warn if `device` is a CPU that is slow in this datatype."""
    if device.type != "cpu":
        return
    if datatype == "float16":
        warn_once("float16 is ten times slower than float32 on a CPU; bfloat16 is not.")
    if datatype == "bfloat16" and not has_bfloat16():
        warn_once("This processor has no bfloat16 instructions: float32 is faster.")
