"""The residual blocks of BigGAN and BigGAN-deep: of G with a condition in every BatchNorm, of D without any norm.

Convolutions before a halving or behind a doubling are fused with it, and shortcuts convolve at the smaller size: the
same functions with less work. No ReLU works in place: the shortcut needs what was there before.

Source: Brock et al. 2019, arXiv:1809.11096, figures 15 and 16, appendix B; ajbrock/BigGAN-PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gansmith.nn import convolved_down, down_average, spectral_norm, up_convolved, up_nearest

L = TypeVar("L", nn.Conv2d, nn.Linear)
Init = Callable[[Any], Any]
RATIO = 4  # of the outer to the inner width of a deep block


class ConditionalNorm(nn.Module):
    """BatchNorm with gain 1 + A c and bias B c of a condition c: (N, C, H, W), (N, K) -> (N, C, H, W).

    Args:
        channels: C.
        size: K.
        spectral: spectral normalisation of A and B.
        init: fills them at the start.
    """

    def __init__(self, channels: int, size: int, spectral: bool, init: Init) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain = made(nn.Linear(size, channels, bias=False), init, spectral)
        self.bias = made(nn.Linear(size, channels, bias=False), init, spectral)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        gain, bias = 1 + self.gain(cond), self.bias(cond)
        return torch.addcmul(bias[:, :, None, None], self.norm(x), gain[:, :, None, None])


class UpBlock(nn.Module):
    """(N, a, H, W) -> (N, b, 2H, 2W): norm-ReLU-up-conv-norm-ReLU-conv plus a 1x1 convolution of the doubled input.

    Args:
        size: of the condition.
        spectral: of the norms' linear layers; convolutions always are.
    """

    def __init__(self, a: int, b: int, size: int, spectral: bool, init: Init) -> None:
        super().__init__()
        self.norm1, self.norm2 = ConditionalNorm(a, size, spectral, init), ConditionalNorm(b, size, spectral, init)
        self.conv1, self.conv2 = conv(a, b, 3, init), conv(b, b, 3, init)
        self.skip = conv(a, b, 1, init)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        h = up_convolved(self.norm1(x, cond).relu(), self.conv1)
        h = self.conv2(self.norm2(h, cond).relu())
        return h + up_nearest(self.skip(x))


class DeepUpBlock(nn.Module):
    """(N, a, H, W) -> (N, b, H, W), or twice the size if `up`: 1x1, 3x3, 3x3, 1x1 at a quarter of the width.

    The shortcut has no weights: it drops the last a - b channels.
    """

    def __init__(self, a: int, b: int, size: int, spectral: bool, init: Init, up: bool) -> None:
        super().__init__()
        inner = _inner(a)
        self.norms = nn.ModuleList(ConditionalNorm(c, size, spectral, init) for c in (a, inner, inner, inner))
        self.conv1, self.conv2 = conv(a, inner, 1, init), conv(inner, inner, 3, init)
        self.conv3, self.conv4 = conv(inner, inner, 3, init), conv(inner, b, 1, init)
        self.kept, self.up = b, up

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        h = self.conv1(self.norms[0](x, cond).relu())
        h = self.norms[1](h, cond).relu()
        h = up_convolved(h, self.conv2) if self.up else self.conv2(h)
        h = self.conv3(self.norms[2](h, cond).relu())
        h = self.conv4(self.norms[3](h, cond).relu())
        x = x[:, : self.kept]
        return h + (up_nearest(x) if self.up else x)


class DownBlock(nn.Module):
    """(N, a, H, W) -> (N, b, H, W), or half the size if `down`: [ReLU]-conv-ReLU-conv-[pool] plus the shortcut.

    Args:
        first: the block sees the image itself: no ReLU at its start.
    """

    def __init__(self, a: int, b: int, init: Init, down: bool, first: bool) -> None:
        super().__init__()
        self.down, self.first = down, first
        self.conv1, self.conv2 = conv(a, b, 3, init), conv(b, b, 3, init)
        self.skip = conv(a, b, 1, init) if a != b or down else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv1(x if self.first else x.relu()).relu()
        if self.down:
            return convolved_down(h, self.conv2) + self.skip(down_average(x))
        return self.conv2(h) + self.skip(x)


class DeepDownBlock(nn.Module):
    """(N, a, H, W) -> (N, b, H, W), or half the size if `down`: 1x1, 3x3, 3x3, [pool], 1x1 at a quarter of the width b.

    The shortcut keeps its a channels and gets b - a more from a 1x1 convolution.
    """

    def __init__(self, a: int, b: int, init: Init, down: bool) -> None:
        super().__init__()
        inner, self.down = _inner(b), down
        self.conv1, self.conv2 = conv(a, inner, 1, init), conv(inner, inner, 3, init)
        self.conv3, self.conv4 = conv(inner, inner, 3, init), conv(inner, b, 1, init)
        self.more = conv(a, b - a, 1, init) if b > a else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv3(self.conv2(self.conv1(x.relu()).relu()).relu()).relu()
        if self.down:
            h, x = down_average(h), down_average(x)
        return self.conv4(h) + (x if self.more is None else torch.cat([x, self.more(x)], 1))


def made(layer: L, init: Init, spectral: bool = True) -> L:
    """The layer, filled by `init`, under spectral normalisation unless told otherwise."""
    init(layer)
    return spectral_norm(layer) if spectral else layer


def conv(a: int, b: int, kernel: int, init: Init) -> nn.Conv2d:
    """A spectrally normalised convolution that keeps the size."""
    return made(nn.Conv2d(a, b, kernel, padding=kernel // 2), init)


def _inner(width: int) -> int:
    """The width inside a deep block."""
    return max(width // RATIO, 1)
