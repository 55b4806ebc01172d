"""What keeps every objective finite: at least float32, and an exponential that cannot overflow."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

EXP_CAP = 20.0
"""Beyond e^20 (a density ratio of 4.9e8, which no batch can estimate) exponentials grow linearly or are rescaled."""


def upcast(x: Tensor) -> Tensor:
    """The same tensor in at least float32: bf16 and fp16 logits give float32 losses, float64 stays float64.

    >>> upcast(torch.zeros(2, dtype=torch.bfloat16)).dtype
    torch.float32
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def bounded_exp(v: Tensor) -> Tensor:
    """e^v up to v = 20, then its tangent there: convex, increasing, never overflowing, with a gradient of at most e^20.

    Args:
        v: any shape, any finite value.

    >>> bounded_exp(torch.tensor([0.0, 1.0, 21.0])) / torch.e**20      # the tangent at 20 doubles at 21
    tensor([2.0612e-09, 5.6028e-09, 2.0000e+00])
    """
    return torch.exp(v.clamp(max=EXP_CAP)) * (1 + F.relu(v - EXP_CAP))
