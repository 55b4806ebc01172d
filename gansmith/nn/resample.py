"""Halving and doubling the resolution of feature maps (N, C, H, W).

How the binomial filter is computed was chosen by measurement (2 cores, torch 2.13, forward + backward, 64 maps of
64 channels, up 14 -> 28 and down 14 -> 7; other sizes rank alike):

    ms, channels_last                          up fp32   up bf16   down fp32   down bf16
    depthwise 4x4 convolution                      2.1        37         0.9          17
    one channel at a time, N*C images               50        24          29           8
    separable, shifted sums                         16        12         5.5           4
    separable, depthwise 4x1 and 1x4                                     1.5          13
    bilinear resize of the padded map               22        18

So the filter is one depthwise convolution in float32, also under bfloat16 autocast.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nn.precision import in_float32


def up_nearest(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, 2H, 2W), every pixel repeated.

    >>> up_nearest(torch.tensor([[[[1.0, 2.0]]]])).tolist()
    [[[[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0]]]]
    """
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def down_average(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, H/2, W/2), the mean of each 2x2 square; H and W even."""
    return F.avg_pool2d(x, 2)


def down_smooth(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, C, ceil(H/2), ceil(W/2)), the mean of the 3x3 square around every second pixel.

    At the border it is the mean of those pixels of the square that lie inside.

    >>> down_smooth(torch.tensor([[[[1.0, 2.0, 9.0]]]])).tolist()                      # (1 + 2) / 2, (2 + 9) / 2
    [[[[1.5, 5.5]]]]
    """
    return F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)


class _Binomial(nn.Module):
    taps: Tensor

    def __init__(self, gain: float) -> None:
        super().__init__()
        line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("taps", gain * torch.outer(line, line), persistent=False)

    def kernel(self, x: Tensor) -> Tensor:
        """The same filter for each channel of x, in x's dtype."""
        return self.taps.to(x.dtype).expand(x.shape[1], 1, *self.taps.shape)


class BinomialUp(_Binomial):
    """(N, C, H, W) -> (N, C, 2H, 2W) through the separable filter [1, 3, 3, 1], zeros beyond the border.

    Gain 4 makes up for the zeros between the pixels: a constant stays the same away from the border. Four
    times the adjoint of `BinomialDown`. Source: R3GAN, arXiv:2501.05441: [1, 2, 1] convolved with [1, 1].
    """

    def __init__(self) -> None:
        super().__init__(gain=4.0)

    def forward(self, x: Tensor) -> Tensor:
        def filtered(x: Tensor) -> Tensor:
            return F.conv_transpose2d(x, self.kernel(x), stride=2, padding=1, groups=x.shape[1])

        return in_float32(filtered, x).to(x.dtype)


class BinomialDown(_Binomial):
    """(N, C, H, W) -> (N, C, H/2, W/2) through the separable filter [1, 3, 3, 1] / 8, zeros beyond the border.

    H and W even. Source: as `BinomialUp`.
    """

    def __init__(self) -> None:
        super().__init__(gain=1.0)

    def forward(self, x: Tensor) -> Tensor:
        def filtered(x: Tensor) -> Tensor:
            return F.conv2d(x, self.kernel(x), stride=2, padding=1, groups=x.shape[1])

        return in_float32(filtered, x).to(x.dtype)


def binomial_blur(x: Tensor) -> Tensor:
    """(N, C, H, W) -> same shape, through the separable filter [1, 2, 1] / 4, zeros beyond the border.

    Source: Karras et al. 2019, arXiv:1812.04948, appendix C.

    >>> binomial_blur(torch.eye(3)[None, None]).mul(16).tolist()
    [[[[5.0, 4.0, 1.0], [4.0, 6.0, 4.0], [1.0, 4.0, 5.0]]]]
    """
    line = torch.tensor([1.0, 2.0, 1.0], device=x.device) / 4

    def filtered(x: Tensor) -> Tensor:
        return F.conv2d(x, torch.outer(line, line).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])

    return in_float32(filtered, x).to(x.dtype)


class BinomialFilter(_Binomial):
    """(N, C, H, W) -> (N, C, H + p, W + p), p = 2 padding - 3 - tail, through the separable filter [1, 3, 3, 1] / 8.

    For convolutions that change the resolution: before one of stride 2, behind a transposed one of stride 2.

    Args:
        padding: rows and columns of zeros beyond each border.
        gain: of the whole filter; 4 behind a transposed convolution, for the zeros between its pixels.
        tail: zeros behind the taps: so many rows and columns less come out at the end. That costs less than cutting
            them off, whose gradient would be copied twice.

    Source: Karras et al. 2020, arXiv:1912.04958, whose filters are [1, 3, 3, 1].

    >>> BinomialFilter(0)(torch.ones(1, 1, 4, 4)).tolist()
    [[[[1.0]]]]
    """

    def __init__(self, padding: int, gain: float = 1.0, tail: int = 0) -> None:
        super().__init__(gain)
        self.register_buffer("taps", F.pad(self.taps, (0, tail, 0, tail)), persistent=False)
        self.padding = padding

    def forward(self, x: Tensor) -> Tensor:
        def filtered(x: Tensor) -> Tensor:
            return F.conv2d(x, self.kernel(x), padding=self.padding, groups=x.shape[1])

        return in_float32(filtered, x).to(x.dtype)
