"""Chance, one sample at a time: which transformations fall on which samples of a batch, and how strongly."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def falls(x: Tensor, p: Tensor | float) -> Tensor:
    """Whether a transformation falls on each sample of x (N, ...): bool (N,), true with probability p."""
    return torch.rand(len(x), device=x.device) < p


def uniform(x: Tensor, low: float, high: float) -> Tensor:
    """A number for each sample of x (N, ...), in x's dtype: (N,), uniform on low to high."""
    return low + (high - low) * torch.rand(len(x), device=x.device, dtype=x.dtype)


def normal(x: Tensor, std: float) -> Tensor:
    """The same from a normal distribution around 0."""
    return std * torch.randn(len(x), device=x.device, dtype=x.dtype)


def lognormal(x: Tensor, octaves: float) -> Tensor:
    """The same, a factor: 2 to the power of a normal number with standard deviation `octaves`."""
    return torch.exp(normal(x, octaves * math.log(2)))


def chosen(on: Tensor, changed: Tensor, x: Tensor) -> Tensor:
    """Rows of `changed` where `on` (N,), the others of x (N, ...) bit for bit."""
    return torch.where(on.view(-1, *(1,) * (x.ndim - 1)), changed, x)


def reflected(index: Tensor, size: int) -> Tensor:
    """Positions brought into 0 to size - 1 by mirroring at the first and last pixel, which are not repeated.

    >>> reflected(torch.tensor([-2, -1, 0, 3, 4, 9]), 4).tolist()
    [2, 1, 0, 3, 2, 3]
    """
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    turned = torch.remainder(index, period)
    return torch.minimum(turned, period - turned)
