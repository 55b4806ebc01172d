"""BigGAN's and BigGAN-deep's residual pairs: class and noise in every BatchNorm of G, spectral norms on both sides.

G splits its noise into chunks: the first goes through a linear layer, each block gets another beside an embedding of
the label that all blocks share. The deep G has four convolutions a block, at a quarter of the width, and gives each
block all the noise. D's blocks are as wide inside as at their end.

Source: Brock et al. 2019, arXiv:1809.11096, appendix B; geometry of ajbrock/BigGAN-PyTorch: 32 px as for CIFAR-10, 64
and 128 px as for ImageNet; 28 px is ours, the 32 px nets on a base of 7. Parameters of G and D at 32 px, without
attention, embedding and chunks: 4,304,387 and 4,207,361. At 128 px: the paper's 70.4 M and 88.0 M; deep 50.2 M and
34.6 M (the published 50.4 M hold 125 channels of the last layer that are not shown).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.biggan_blocks import DeepDownBlock, DeepUpBlock, DownBlock, Init, UpBlock, conv, made
from gansmith.nets.shapes import channels_last, square
from gansmith.nn import SelfAttention, in_float32, normal_, orthogonal_

# Channels in multiples of `width`: G's after the first linear layer and after each doubling, D's after each block; of
# the deep D after its first convolution and after each pair of blocks.
_G = {28: (4, 4, 4), 32: (4, 4, 4, 4), 64: (16, 16, 8, 4, 2), 128: (16, 16, 8, 4, 2, 1)}
_D = {28: (4, 4, 4, 4), 32: (4, 4, 4, 4), 64: (1, 2, 4, 8, 16), 128: (1, 2, 4, 8, 16, 16)}
_HALVINGS = {28: 2, 32: 2, 64: 4, 128: 5}
RESOLUTIONS = tuple(_G)
INITS: dict[str, Init] = {"orthogonal": orthogonal_, "normal": normal_}


def published_width(resolution: int, deep: bool) -> int:
    """The channels that all widths are multiples of: 64 up to 32 px, 96 above, 128 in the deep nets above."""
    return 64 if resolution <= 32 else 128 if deep else 96


def attention_sizes(resolution: int) -> tuple[int, ...]:
    """Sides of the maps that G and D both have, and that self-attention can stand on.

    >>> attention_sizes(128), attention_sizes(28)
    ((8, 16, 32, 64), (14,))
    """
    of_g = {resolution >> i for i in range(len(_G[resolution]) - 1)}
    of_d = {resolution >> i for i in range(1, _HALVINGS[resolution] + 1)}
    return tuple(sorted(size for size in of_g & of_d if size % 2 == 0))


class Generator(nn.Module):
    """Latents (N, z_dim + num_classes), noise with the label behind -> images (N, C, H, W) in [-1, 1].

    The label enters linearly: what lies between two one-hot rows is a label between two classes.

    Args:
        z_dim: size of the noise.
        num_classes: size of the label.
        shape: (C, H, W), H = W one of 28, 32, 64, 128.
        width: all widths are multiples of it; None is the published one.
        shared: size of the label's embedding; 0 gives each norm the label itself, and tables without spectral norms.
        hierarchical: each block gets noise too: a chunk of its own, or in the deep G all of it.
        attention: side of the maps with self-attention; 0 = none.
        deep: BigGAN-deep.
        init: "orthogonal" or "normal" (standard deviation 0.02).

    Raises:
        GansmithError: another shape, less noise than chunks, attention where there are no such maps.
    """

    def __init__(
        self,
        z_dim: int,
        num_classes: int,
        shape: tuple[int, ...],
        width: int | None = None,
        *,
        shared: int = 128,
        hierarchical: bool = True,
        attention: int = 0,
        deep: bool = False,
        init: str = "orthogonal",
    ) -> None:
        super().__init__()
        channels, resolution = square("biggan", shape, RESOLUTIONS)
        widths = [(width or published_width(resolution, deep)) * k for k in _G[resolution]]
        stages, fill = len(widths) - 1, INITS[init]
        self.z_dim, self.chunks, self.whole = z_dim, stages + 1, hierarchical and deep
        if not hierarchical or deep:
            self.chunks = 1
        if z_dim < self.chunks:
            raise GansmithError(
                f"z_dim = {z_dim} cannot be split into {self.chunks} chunks, one for each block and one before: "
                f"give at least {self.chunks}."
            )
        self.sizes = sizes = [len(part) for part in torch.arange(z_dim, device="cpu").tensor_split(self.chunks)]
        self.embed = fill(nn.Linear(num_classes, shared, bias=False)) if shared else nn.Identity()
        label = shared or num_classes
        conds = [label + z_dim] * stages if self.whole else [label + size for size in sizes[1:]] or [label] * stages
        self.base = resolution >> stages
        self.at = _place(attention, resolution, [self.base << i for i in range(1, stages + 1)], 2 if deep else 1)
        first = label + z_dim if self.whole else sizes[0]
        self.start = made(nn.Linear(first, widths[0] * self.base**2), fill)
        blocks: list[nn.Module] = []
        for (a, b), size in zip(pairwise(widths), conds, strict=True):
            spectral = shared > 0
            if deep:
                blocks += [DeepUpBlock(a, c, size, spectral, fill, up) for c, up in ((a, False), (b, True))]
            else:
                blocks.append(UpBlock(a, b, size, spectral, fill))
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.Identity() if self.at is None else SelfAttention(widths[self.at[1] + 1])
        self.bn = nn.BatchNorm2d(widths[-1])
        self.out = conv(widths[-1], channels, 3, fill)

    def forward(self, z: Tensor) -> Tensor:
        noise, y = z[:, : self.z_dim], self.embed(z[:, self.z_dim :])
        first, *rest = noise.tensor_split(self.chunks, 1)
        conds = [torch.cat([y, chunk], 1) for chunk in rest] or [y] * len(self.blocks)
        if self.whole:
            first = torch.cat([y, noise], 1)
            conds = [first] * len(self.blocks)
        h = channels_last(self.start(first).unflatten(1, (-1, self.base, self.base)))
        for i, (block, cond) in enumerate(zip(self.blocks, conds, strict=True)):
            h = block(h, cond)
            if self.at is not None and i == self.at[0]:
                h = self.attention(h)
        return self.out(self.bn(h).relu()).tanh()


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,), without the label: `nn.condition.Projected` adds it.

    Args:
        shape, width, attention, deep, init: as in `Generator`.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        width: int | None = None,
        *,
        attention: int = 0,
        deep: bool = False,
        init: str = "orthogonal",
    ) -> None:
        super().__init__()
        channels, resolution = square("biggan", shape, RESOLUTIONS)
        widths, fill = [(width or published_width(resolution, deep)) * k for k in _D[resolution]], INITS[init]
        halvings, blocks = _HALVINGS[resolution], list[nn.Module]()
        self.stem = conv(channels, widths[0], 3, fill) if deep else nn.Identity()
        steps = list(pairwise(widths if deep else [channels, *widths]))
        sides = [resolution >> min(i + 1, halvings) for i in range(len(steps))]
        self.at = _place(attention, resolution, sides, 2 if deep else 1)
        for i, (a, b) in enumerate(steps):
            down = i < halvings
            if deep:
                blocks += [DeepDownBlock(a, b, fill, down), DeepDownBlock(b, b, fill, False)]
            else:
                blocks.append(DownBlock(a, b, fill, down, first=i == 0))
        self.blocks = nn.ModuleList(blocks)
        self.attention = nn.Identity() if self.at is None else SelfAttention(steps[self.at[1]][1])
        self.out = made(nn.Linear(widths[-1], 1), fill)
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, features): sums over all pixels, in float32."""
        h = self.stem(channels_last(x))
        for i, block in enumerate(self.blocks):
            h = block(h)
            if self.at is not None and i == self.at[0]:
                h = self.attention(h)
        return in_float32(_sum_pixels, h.relu())

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).squeeze(1)


def _sum_pixels(h: Tensor) -> Tensor:
    return h.sum((2, 3))


def _place(side: int, resolution: int, sides: list[int], blocks: int) -> tuple[int, int] | None:
    """(block, stage) behind which self-attention stands: the last block of the first stage with maps of that side."""
    if not side:
        return None
    valid = attention_sizes(resolution)
    if side not in valid:
        known = ", ".join(map(str, valid))
        raise GansmithError(f"attention = {side}, but at {resolution} px it can stand on maps of {known} px: give one.")
    stage = sides.index(side)
    return blocks * (stage + 1) - 1, stage
