"""How much memory a game takes, and whether it was too much."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import torch


def limited(device: torch.device) -> bool:
    """Whether a round that needs too much memory ends in an error there, instead of the end of the process."""
    return device.type in ("cuda", "mps")


def overflows(play: Callable[[], object], device: torch.device) -> bool:
    """Whether calling this runs out of the device's memory; other errors pass through."""
    try:
        play()
    except RuntimeError as error:  # torch.OutOfMemoryError is one; MPS raises it bare
        if not isinstance(error, torch.OutOfMemoryError) and "out of memory" not in str(error):
            raise
    else:
        return False
    if device.type == "cuda":
        gc.collect()  # what a broken round holds may hold on to each other
        torch.cuda.empty_cache()
    return True


def peak(device: torch.device) -> int:
    """The most memory in use at a time so far, in bytes: of tensors on CUDA, elsewhere of the whole process; 0 where
    the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
