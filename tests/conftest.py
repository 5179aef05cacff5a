"""What all tests share: one thread a process, as the machine has other work."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
