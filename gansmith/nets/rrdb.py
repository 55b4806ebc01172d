"""ESRGAN's generator: residual-in-residual dense blocks, without any normalisation.

A dense block has five 3x3 convolutions, each of which sees the block's input and what all before it made; a fifth of
the last one's result is added to the input. A block is its input plus a fifth of what three dense blocks in a row make
of it. Doubling is by nearest neighbour and a convolution, computed as one step. Nothing bounds the output.

Source: Wang et al. 2018, arXiv:1809.00219, section 3.1; xinntao/ESRGAN. At x4 and 3 channels 16,697,987 parameters, as
there. Weights start from N(0, 2 / fan_in) / 10 in dense blocks, elsewhere with the variance of torch's own start,
1 / (3 fan_in), as in xinntao/BasicSR: at the start each block multiplies by 1.2, 23 of them by 66, and those layers
make up for it. Ours: images in [-1, 1], there [0, 1]; x2 as one doubling, where BasicSR halves the image and doubles
it twice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.shapes import channels_last
from gansmith.nets.srresnet import doublings
from gansmith.nn import fan_in_normal_, up_convolved

SHARE = 0.2
"""Of a branch that is added to its input."""

DENSE_GAIN = 0.1 * 2**0.5


def _conv(a: int, b: int, gain: float = 3**-0.5) -> nn.Conv2d:
    return fan_in_normal_(nn.Conv2d(a, b, 3, padding=1), gain)


class DenseBlock(nn.Module):
    """(N, width, H, W) -> same shape; `growth` channels from each convolution but the last."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.grow = nn.ModuleList(_conv(width + k * growth, growth, DENSE_GAIN) for k in range(4))
        self.out = _conv(width + 4 * growth, width, DENSE_GAIN)

    def forward(self, x: Tensor) -> Tensor:
        h = x
        for conv in self.grow:
            h = torch.cat([h, F.leaky_relu_(conv(h), 0.2)], 1)
        return torch.add(x, self.out(h), alpha=SHARE)


class Block(nn.Module):
    """(N, width, H, W) -> same shape: x plus a fifth of what three dense blocks make of x; about 1.2 x at the start."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.dense(x), alpha=SHARE)


class Generator(nn.Module):
    """Images (N, C, H, W) of any size -> images (N, C, scale H, scale W), about in [-1, 1].

    Args:
        channels: C.
        scale: 2 or 4.
        width: channels of the hidden layers.
        blocks: each of three dense blocks.
        growth: channels that a convolution of a dense block adds.

    Raises:
        GansmithError: another scale.
    """

    def __init__(self, channels: int = 3, scale: int = 4, width: int = 64, blocks: int = 23, growth: int = 32) -> None:
        super().__init__()
        up = doublings("ESRGAN's generator", scale)
        self.start = _conv(channels, width)
        self.body = nn.Sequential(*(Block(width, growth) for _ in range(blocks)), _conv(width, width))
        self.up = nn.ModuleList(_conv(width, width) for _ in range(up))
        self.fine = _conv(width, width)
        self.out = _conv(width, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = self.start(channels_last(x))
        h = h + self.body(h)
        for conv in self.up:
            assert isinstance(conv, nn.Conv2d)
            h = F.leaky_relu_(up_convolved(h, conv), 0.2)
        return self.out(F.leaky_relu_(self.fine(h), 0.2))
