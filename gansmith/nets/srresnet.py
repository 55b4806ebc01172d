"""SRGAN's pair: SRResNet, which makes images 2 or 4 times as large, and its discriminator.

G: a 9x9 convolution, residual blocks of two 3x3 convolutions with BatchNorm at the low resolution, a skip over all of
them, doublings by pixel shuffle, a 9x9 convolution; PReLU with one slope a layer. Nothing bounds its output. D: 3x3
convolutions of stride 1 and 2 in turn, leaky ReLU 0.2, BatchNorm but at the first, two dense layers.

Source: Ledig et al. 2017, arXiv:1609.04802, figure 4. There is no released code. At x4 and 3 channels G has 1,547,350
parameters. Ours: the low resolution in [-1, 1] as all images here, where the paper has [0, 1]; no bias before
BatchNorm; the initial weights, N(0, 1 / fan_in), in D times the gain of the leaky ReLU.
"""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import channels_last, fitting
from gansmith.nn import LEAKY_GAIN, PReLU, fan_in_normal_, in_float32

SCALES = {2: 1, 4: 2}
"""How much larger images become, and how many doublings that takes."""


def doublings(net: str, scale: int) -> int:
    """How many doublings make `scale`.

    Raises:
        GansmithError: it is neither 2 nor 4.
    """
    if scale not in SCALES:
        raise GansmithError(f"{net} makes images 2 or 4 times as large, not {scale} times.")
    return SCALES[scale]


class Block(nn.Module):
    """(N, width, H, W) -> same shape: x + BN(conv(PReLU(BN(conv(x)))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_normed(width), PReLU(), *_normed(width))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _normed(width: int) -> list[nn.Module]:
    return [fan_in_normal_(nn.Conv2d(width, width, 3, padding=1, bias=False)), nn.BatchNorm2d(width)]


class Generator(nn.Module):
    """Images (N, C, H, W) of any size -> images (N, C, scale H, scale W), about in [-1, 1].

    Args:
        channels: C.
        scale: 2 or 4.
        width: channels of all hidden layers.
        blocks: residual blocks.

    Raises:
        GansmithError: another scale.
    """

    def __init__(self, channels: int = 3, scale: int = 4, width: int = 64, blocks: int = 16) -> None:
        super().__init__()
        up = doublings("SRResNet", scale)
        self.start = nn.Sequential(fan_in_normal_(nn.Conv2d(channels, width, 9, padding=4)), PReLU())
        self.body = nn.Sequential(*(Block(width) for _ in range(blocks)), *_normed(width))
        self.up = nn.Sequential()
        for _ in range(up):
            self.up.extend([fan_in_normal_(nn.Conv2d(width, 4 * width, 3, padding=1)), nn.PixelShuffle(2), PReLU()])
        self.out = fan_in_normal_(nn.Conv2d(width, channels, 9, padding=4))

    def forward(self, x: Tensor) -> Tensor:
        h = self.start(channels_last(x))
        return self.out(self.up(h + self.body(h)))


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,).

    Args:
        shape: (C, H, W) of the large images, any sides from 16 px on; the first dense layer fits them.
        width: channels of the first layer.

    Raises:
        GansmithError: not images, or smaller ones; or, when it is used, images of another size.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        if len(shape) != 3:
            raise GansmithError(f"SRGAN's discriminator judges images, but a sample has shape {shape}, not (C, H, W).")
        fitting("SRGAN's discriminator", shape[1:], 1, 16)
        self.shape = tuple(shape)
        widths = [width * 2 ** (k // 2) for k in range(8)]
        layers: list[nn.Module] = [nn.Sequential(_conv(shape[0], width, 1, bias=True), _leaky())]
        for i, (a, b) in enumerate(pairwise(widths)):
            layers.append(nn.Sequential(_conv(a, b, 2 - i % 2, bias=False), nn.BatchNorm2d(b), _leaky()))
        self.body = nn.Sequential(*layers)
        pixels = -(-shape[1] // 16) * -(-shape[2] // 16)
        self.dense = fan_in_normal_(nn.Linear(widths[-1] * pixels, 16 * width), LEAKY_GAIN)
        self.out = fan_in_normal_(nn.Linear(16 * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, 16 width)."""
        if x.shape[1:] != self.shape:
            raise GansmithError(
                f"This discriminator judges images of shape {self.shape}, not {tuple(x.shape[1:])}: its dense layer "
                "fits one size."
            )
        return F.leaky_relu_(self.dense(self.body(channels_last(x)).flatten(1)), 0.2)

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).squeeze(1)


def _conv(a: int, b: int, stride: int, bias: bool) -> nn.Conv2d:
    return fan_in_normal_(nn.Conv2d(a, b, 3, stride, 1, bias=bias), LEAKY_GAIN)


def _leaky() -> nn.Module:
    return nn.LeakyReLU(0.2, inplace=True)
