"""A 3x3 convolution and a change of size in one step: the same function with 16 products in place of 36.

Doubling by nearest neighbour repeats pixels, so several weights of the convolution behind it meet the same one and can
be added first; averaging over 2x2 pixels adds results whose weights can be added as well.

Source of the idea: Karras et al. 2018, arXiv:1710.10196, whose code calls it fused scaling.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


def up_convolved(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """layer(up_nearest(x)) of a 3x3 convolution with padding 1: (N, a, H, W) -> (N, b, 2H, 2W)."""
    kernel = _widened(layer.weight.flip(2, 3)).transpose(0, 1)
    return F.conv_transpose2d(x, kernel, layer.bias, stride=2, padding=1)


def convolved_down(x: Tensor, layer: nn.Conv2d) -> Tensor:
    """down_average(layer(x)) of a 3x3 convolution with padding 1: (N, a, H, W) -> (N, b, H/2, W/2), H and W even."""
    return F.conv2d(x, _widened(layer.weight) / 4, layer.bias, stride=2, padding=1)


def _widened(weight: Tensor) -> Tensor:
    """3x3 kernels (b, a, 3, 3) convolved with a 2x2 square of ones: (b, a, 4, 4)."""
    shifts = ((0, 1, 0, 1), (1, 0, 0, 1), (0, 1, 1, 0), (1, 0, 1, 0))
    first, *others = (F.pad(weight, shift) for shift in shifts)
    return sum(others, first)
