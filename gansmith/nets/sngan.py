"""SNGAN's residual pair.

G: batch normalisation, nearest-neighbour doubling, tanh. D: spectral normalisation on every layer, average pooling,
the sum over all pixels, one linear layer (without bias at 28 and 32 px). Average pooling and nearest doubling commute
with the 1x1 convolution of a shortcut, so the shortcuts convolve at the smaller size: same function, a quarter of
the work.

Source: Miyato et al. 2018, arXiv:1802.05957; geometry of pfnet-research/sngan_projection: 32 px as for CIFAR-10, 64
and 128 px as for ImageNet; 28 px is ours, the 32 px net on a base of 7. At 32 px: 4,276,739 and 1,053,824 parameters
(kwotsin/mimicry counts one more in D, a bias on the last layer).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn

from gansmith.nets.shapes import channels_last, square
from gansmith.nn import down_average, glorot_uniform_, in_float32, spectral_norm, up_nearest

L = TypeVar("L", nn.Conv2d, nn.Linear)

# Channels in multiples of `width`: G's after the first linear layer and after each doubling, D's after each block.
_G = {28: (1, 1, 1), 32: (1, 1, 1, 1), 64: (16, 8, 4, 2, 1), 128: (16, 16, 8, 4, 2, 1)}
_D = {28: (1, 1, 1, 1), 32: (1, 1, 1, 1), 64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16)}
_HALVINGS = {28: 2, 32: 2, 64: 5, 128: 5}
RESOLUTIONS = tuple(_G)


class UpBlock(nn.Module):
    """(N, a, H, W) -> (N, b, 2H, 2W): BN-ReLU-up-conv-BN-ReLU-conv plus a 1x1 convolution of the doubled input."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(a), nn.BatchNorm2d(b)
        self.conv1 = glorot_uniform_(nn.Conv2d(a, b, 3, padding=1), math.sqrt(2))
        self.conv2 = glorot_uniform_(nn.Conv2d(b, b, 3, padding=1), math.sqrt(2))
        self.skip = glorot_uniform_(nn.Conv2d(a, b, 1))

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(up_nearest(self.bn1(x).relu()))
        h = self.conv2(self.bn2(h).relu())
        return h + up_nearest(self.skip(x))


class Generator(nn.Module):
    """z (N, z_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        z_dim: size of the latent.
        shape: (C, H, W), H = W one of 28, 32, 64, 128.
        width: channels at the finest resolution; None is the paper's 256 up to 32 px, 64 above.
    """

    def __init__(self, z_dim: int, shape: tuple[int, ...], width: int | None = None) -> None:
        super().__init__()
        channels, resolution = square("sngan", shape, RESOLUTIONS)
        width = width or (256 if resolution <= 32 else 64)
        widths = [width * k for k in _G[resolution]]
        self.base = resolution >> (len(widths) - 1)
        self.start = glorot_uniform_(nn.Linear(z_dim, widths[0] * self.base**2))
        self.blocks = nn.Sequential(*(UpBlock(a, b) for a, b in pairwise(widths)))
        self.bn = nn.BatchNorm2d(width)
        self.out = glorot_uniform_(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        h = self.start(z).unflatten(1, (-1, self.base, self.base))
        h = self.blocks(channels_last(h))
        return self.out(self.bn(h).relu()).tanh()


class DownBlock(nn.Module):
    """(N, a, H, W) -> (N, b, H, W), or half the size if `down`: [ReLU]-conv-ReLU-conv-[pool] plus the shortcut.

    Args:
        first: the block sees the image itself: no ReLU at its start, and b hidden channels instead of a.
        spectral: spectral normalisation of every convolution.
    """

    def __init__(self, a: int, b: int, down: bool, first: bool, spectral: bool) -> None:
        super().__init__()
        hidden = b if first else a
        self.down, self.first = down, first
        self.conv1 = _maybe(spectral, glorot_uniform_(nn.Conv2d(a, hidden, 3, padding=1), math.sqrt(2)))
        self.conv2 = _maybe(spectral, glorot_uniform_(nn.Conv2d(hidden, b, 3, padding=1), math.sqrt(2)))
        has_skip = a != b or down
        self.skip = _maybe(spectral, glorot_uniform_(nn.Conv2d(a, b, 1))) if has_skip else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x if self.first else x.relu())
        h = self.conv2(h.relu())
        return down_average(h) + self.skip(down_average(x)) if self.down else h + self.skip(x)


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,).

    Args:
        shape: (C, H, W), H = W one of 28, 32, 64, 128.
        width: channels of the first block; None is the paper's 128 up to 32 px, 64 above.
        spectral: False leaves all layers as they are, for critics under a gradient penalty.
    """

    def __init__(self, shape: tuple[int, ...], width: int | None = None, spectral: bool = True) -> None:
        super().__init__()
        channels, resolution = square("sngan", shape, RESOLUTIONS)
        width = width or (128 if resolution <= 32 else 64)
        widths = [channels, *(width * k for k in _D[resolution])]
        halvings = _HALVINGS[resolution]
        self.blocks = nn.Sequential(
            *(DownBlock(a, b, i < halvings, i == 0, spectral) for i, (a, b) in enumerate(pairwise(widths)))
        )
        self.out = _maybe(spectral, glorot_uniform_(nn.Linear(widths[-1], 1, bias=resolution > 32)))
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, width): sums over all pixels."""
        return in_float32(_sum_pixels, self.blocks(channels_last(x)).relu())

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).squeeze(1)


def _sum_pixels(h: Tensor) -> Tensor:
    return h.sum((2, 3))


def _maybe(spectral: bool, layer: L) -> L:
    return spectral_norm(layer) if spectral else layer
