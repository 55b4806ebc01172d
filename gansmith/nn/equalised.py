"""Layers with an equalised learning rate: weights start as N(0, 1) and are scaled each time they are used.

Adam's steps do not depend on the size of a gradient, so a weight that starts small moves relatively faster than one
that starts large. With all weights of unit size, and the factor gain / sqrt(fan_in) applied at run time, every layer
learns at the same relative speed.

Source: Karras et al. 2018, arXiv:1710.10196, section 4.1; the rate multiplier: Karras et al. 2019, arXiv:1812.04948.
"""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SQRT2 = sqrt(2)


class EqualisedLinear(nn.Module):
    """(N, a) -> (N, b).

    Args:
        a, b: sizes of input and output.
        gain: of the initial scale gain / sqrt(a); sqrt(2) before a ReLU.
        rate: multiplier of the learning rate of weight and bias; stored values are divided by it.
        bias: what the bias starts as; None = no bias.

    >>> layer = EqualisedLinear(4, 2, gain=2.0)                        # scale 2 / sqrt(4) = 1
    >>> _ = layer.weight.data.fill_(1.0); layer(torch.ones(1, 4)).tolist()
    [[4.0, 4.0]]
    """

    def __init__(self, a: int, b: int, gain: float = 1.0, rate: float = 1.0, bias: float | None = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a) / rate)
        self.bias = None if bias is None else nn.Parameter(torch.full((b,), bias / rate))
        self.scale, self.rate = rate * gain / sqrt(a), rate

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.rate
        return F.linear(*_scaled(x, self.weight, self.scale), bias)

    def extra_repr(self) -> str:
        b, a = self.weight.shape
        return f"{a}, {b}, scale={self.scale:.4g}"


class EqualisedConv2d(nn.Module):
    """(N, a, H, W) -> (N, b, H, W), zeros beyond the border.

    Args:
        a, b: channels of input and output.
        kernel: side of the filter, odd.
        gain: of the initial scale gain / sqrt(a * kernel^2).
        bias: whether it has one, from 0.
        stride: step of the filter.
        padding: rows and columns of zeros beyond each border; None = kernel // 2, which keeps the size at stride 1.
    """

    def __init__(
        self,
        a: int,
        b: int,
        kernel: int,
        gain: float = SQRT2,
        bias: bool = True,
        stride: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(b)) if bias else None
        self.scale, self.stride = gain / sqrt(a * kernel**2), stride
        self.padding = kernel // 2 if padding is None else padding

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(*_scaled(x, self.weight, self.scale), self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        b, a, kernel, _ = self.weight.shape
        return f"{a}, {b}, {kernel}, scale={self.scale:.4g}"


def _scaled(x: Tensor, weight: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Both, the smaller one times the scale: their product is the same, and one pass over the larger is saved."""
    return (x * scale, weight) if x.numel() < weight.numel() else (x, weight * scale)
