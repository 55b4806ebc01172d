"""pix2pix's generator: a U-Net, image in, image of the same size out.

4x4 convolutions of stride 2 down to the bottleneck, transposed ones back up, widths C64-128-256-512-512-512-512-512
and back, leaky ReLU 0.2 going down, ReLU going up, normalisation but at the first layer, the bottleneck and the
output, tanh. Each decoder layer also sees the encoder's maps of its size. There is no latent: noise is dropout of half
of the features behind the first three decoder layers, in training and in use.

Source: Isola et al. 2017, arXiv:1611.07004, section 6.1.1; phillipi/pix2pix. At 256 px and 3 channels it has the
54,413,955 parameters of junyanz/pytorch-CycleGAN-and-pix2pix, which drops behind the decoder's second to fourth layers
(the paper: first to third). Beyond the source: fewer levels for smaller images.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import channels_last, fitting
from gansmith.nn import Down4x4, Up4x4, map_norm, normal_

MOST_LEVELS, FEWEST_LEVELS = 8, 4
NOISY = 3
"""Decoder layers with dropout behind them."""


def levels(shape: tuple[int, ...]) -> int:
    """How often a U-Net for images (C, H, W) halves them: as often as both sides can be, at most 8 times.

    Raises:
        GansmithError: not an image, or a side is not a multiple of 16.

    >>> levels((3, 256, 256)), levels((3, 64, 64)), levels((1, 48, 32))
    (8, 6, 4)
    """
    if len(shape) != 3:
        raise GansmithError(f"The U-Net translates images, but a sample has shape {shape}: it needs (C, H, W).")
    fitting("The U-Net", shape[1:], 2**FEWEST_LEVELS, 2**FEWEST_LEVELS)
    common = math.gcd(*shape[1:])
    return min((common & -common).bit_length() - 1, MOST_LEVELS)


class Generator(nn.Module):
    """Images (N, C, H, W) -> images (N, out, H, W) in [-1, 1]; H and W may be any multiples of `multiple`.

    Args:
        shape: (C, H, W) of the images it is trained on, both sides multiples of 16; they decide the number of levels.
        out: channels that it makes.
        width: channels at half the resolution.
        norm: "batch" or "instance".
        skips: whether decoder layers see the encoder's maps; without them it is an encoder and a decoder.
        dropout: share of the features that noise takes away.

    Raises:
        GansmithError: a side is not a multiple of 16; or, when it is used, of 2^levels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        out: int,
        width: int = 64,
        norm: str = "batch",
        skips: bool = True,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        depth = levels(shape)
        self.multiple, self.skips, self.dropout = 2**depth, skips, dropout
        bias = norm != "batch"
        widths = [width * min(2**k, 8) for k in range(depth)]
        down: list[list[nn.Module]] = [[normal_(Down4x4(a, b, bias))] for a, b in pairwise([shape[0], *widths])]
        for layers, b in zip(down[1:-1], widths[1:-1], strict=True):
            layers.append(map_norm(norm, b))
        for layers in down[:-1]:
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        down[-1].append(nn.ReLU(inplace=True))
        self.down = nn.ModuleList(nn.Sequential(*layers) for layers in down)
        given = [widths[-1], *((1 + skips) * b for b in widths[-2::-1])]
        self.up = nn.ModuleList(
            nn.Sequential(normal_(Up4x4(a, b, bias)), map_norm(norm, b))
            for a, b in zip(given[:-1], widths[-2::-1], strict=True)
        )
        self.out = normal_(Up4x4(given[-1], out))

    def forward(self, x: Tensor, noise: bool = True) -> Tensor:
        """Translate; with noise = False nothing is dropped, and equal images give equal results."""
        fitting("This U-Net", x.shape[2:], self.multiple)
        h = channels_last(x)
        seen = []
        for layer in self.down:
            h = layer(h)
            seen.append(h)
        for i, (layer, same_size) in enumerate(zip(self.up, seen[-2::-1], strict=True)):
            h = layer(h)
            if i < NOISY:
                h = F.dropout(h, self.dropout, noise)
            h = F.relu_(torch.cat([h, same_size], 1) if self.skips else h)
        return self.out(h).tanh()
