"""Islands of float32 inside autocast."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def in_float32(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """f(x) with x in float32 (or wider) and autocast off.

    For a last layer: logits in bfloat16 have 8 significant bits, so a logit near 10 moves in steps of 0.06.
    For depthwise filters: 10 to 20 times slower in bfloat16 than in float32 on CPUs.

    >>> with torch.autocast("cpu", torch.bfloat16):
    ...     in_float32(torch.nn.Linear(2, 1), torch.ones(1, 2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    if x.device.type == "meta":  # knows no autocast
        return f(x.to(torch.promote_types(x.dtype, torch.float32)))
    with torch.autocast(x.device.type, enabled=False):
        return f(wide(x))


def wide(x: Tensor) -> Tensor:
    """x in float32, or in its own type if that is wider."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
