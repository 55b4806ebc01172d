"""R3GAN's pair (config E): residual bottlenecks, no normalisation, no mapping network, no style, no noise.

A stage is one resolution: its resampling, then blocks x + conv1x1(act(conv3x3(act(conv1x1(x))))), the middle one
twice as wide and grouped. `act` is LeakyReLU 0.2 of x + b; the b of an activation is written as the bias of the
convolution before it, the same function and one pass over memory less. All else is without bias. There is no tanh.

Initial weights: N(0, gain^2 / fan_in) with gain 1, except in blocks: gain sqrt(2 / 1.04) * L^(-1/4) for the first
two of a block's convolutions, L blocks in the net, and 0 for the last, so every block starts as the identity.

Group size on CPUs (2 cores, torch 2.13, channels last, forward + backward, 64 maps of 256 x 14 x 14, ms):

    channels per group        8     16     32     64    256
    float32                16.7   16.6   21.6   38.9    131
    bfloat16               11.8    8.4    5.7    8.1     24

NCHW takes 1.2 to 2.5 times as long. So the paper's 16 suits float32; in bfloat16 32 costs no more than 16
and does twice the work; 8 never pays. Under R1 (double backward) 16 is the fastest in both precisions.

Source: Huang et al. 2024, arXiv:2501.05441; brownvc/R3GAN. Its CIFAR-10 preset (widths 4 x 768, z_dim 64, no
classes) has 20,732,160 and 20,683,776 parameters. Beyond the source: any base size, so 28 px from 7 x 7.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import channels_last, pyramid, square
from gansmith.nn import LEAKY_GAIN, BinomialDown, BinomialUp, PenalisedConv2d, fan_in_normal_, in_float32


def stages(resolution: int) -> int:
    """How many widths a net for that resolution takes when it starts from 4 x 4, or 7 x 7.

    >>> stages(32), stages(28)
    (4, 3)
    """
    return pyramid(resolution)[1] + 1


class Block(nn.Module):
    """Bottleneck (N, width, H, W) -> same shape, the identity at the start.

    Args:
        group_size: channels a group of the 3x3 convolution has; the paper's cardinality is 2 * width / group_size.
        depth: number of blocks in the whole net.
        conv: the class of its convolutions.
    """

    def __init__(self, width: int, group_size: int, depth: int, conv: type[nn.Conv2d] = nn.Conv2d) -> None:
        super().__init__()
        hidden = 2 * width
        groups = max(1, hidden // group_size)
        if groups > 1 and hidden % group_size:
            raise GansmithError(f"r3gan: width {width} must be a multiple of {group_size / 2:g} (group_size / 2).")
        gain = LEAKY_GAIN * depth**-0.25
        self.expand = fan_in_normal_(conv(width, hidden, 1), gain)
        self.mix = fan_in_normal_(conv(hidden, hidden, 3, padding=1, groups=groups), gain)
        self.project = fan_in_normal_(conv(hidden, width, 1, bias=False), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.expand(x), 0.2)
        h = F.leaky_relu(self.mix(h), 0.2)
        return x + self.project(h)


def _pointwise(a: int, b: int) -> nn.Module:
    """A 1x1 convolution, or nothing where the widths agree."""
    return nn.Identity() if a == b else fan_in_normal_(nn.Conv2d(a, b, 1, bias=False))


def _plan(shape: tuple[int, ...], widths: Sequence[int], blocks: int | Sequence[int]) -> tuple[int, int, list[int]]:
    """(channels, base size, blocks per stage), or one clear sentence."""
    channels, resolution = square("r3gan", shape)
    counts = [blocks] * len(widths) if isinstance(blocks, int) else list(blocks)
    if len(counts) != len(widths):
        raise GansmithError(f"r3gan: {len(widths)} widths need as many numbers of blocks, not {len(counts)}.")
    base, rest = divmod(resolution, 2 ** (len(widths) - 1))
    if rest or base < 2:
        n = stages(resolution)
        raise GansmithError(
            f"r3gan: {len(widths)} widths do not fit {resolution} px: give {n}, from {pyramid(resolution)[0]} px up."
        )
    return channels, base, counts


class Generator(nn.Module):
    """z (N, z_dim) [and labels y (N,)] -> images (N, C, H, W), not bounded.

    Args:
        z_dim: size of the latent.
        shape: (C, H, W), H = W one of `shapes.RESOLUTIONS`.
        widths: channels per stage, from the coarsest to the finest; their number sets the base size (`stages`).
        blocks: per stage, or one number for all.
        group_size: channels per group of the 3x3 convolutions.
        num_classes: 0 for none; otherwise a linear embedding of the label, z_dim wide, is put beside z.

    Raises:
        GansmithError: unsupported shape, widths or blocks.
    """

    def __init__(
        self,
        z_dim: int,
        shape: tuple[int, ...],
        widths: Sequence[int],
        blocks: int | Sequence[int] = 2,
        group_size: int = 16,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        channels, base, counts = _plan(shape, widths, blocks)
        depth = sum(counts)
        self.embed = _embedding(num_classes, z_dim) if num_classes else None
        self.start = fan_in_normal_(nn.Linear(z_dim * (2 if num_classes else 1), widths[0], bias=False))
        self.basis = nn.Parameter(torch.randn(widths[0], base, base))
        layers: list[nn.Module] = [Block(widths[0], group_size, depth) for _ in range(counts[0])]
        for (a, b), n in zip(pairwise(widths), counts[1:], strict=True):
            layers += [_pointwise(a, b), BinomialUp(), *(Block(b, group_size, depth) for _ in range(n))]
        self.body = nn.Sequential(*layers)
        self.out = fan_in_normal_(nn.Conv2d(widths[-1], channels, 1, bias=False))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(y)], 1)
        h = self.start(z)[:, :, None, None]
        return self.out(self.body(channels_last(h * self.basis.to(h.dtype))))


class Discriminator(nn.Module):
    """Images (N, C, H, W) [and labels y (N,)] -> logits (N,).

    Args:
        shape: (C, H, W), H = W one of `shapes.RESOLUTIONS`.
        widths: channels per stage, from the coarsest to the finest, as for the generator.
        blocks: per stage, or one number for all.
        group_size: channels per group of the 3x3 convolutions.
        num_classes: 0 for none; otherwise the logit is the dot product of widths[0] features with an
            embedding of the label.

    Raises:
        GansmithError: unsupported shape, widths or blocks.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        widths: Sequence[int],
        blocks: int | Sequence[int] = 2,
        group_size: int = 16,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        channels, base, counts = _plan(shape, widths, blocks)
        depth = sum(counts)
        self.start = fan_in_normal_(nn.Conv2d(channels, widths[-1], 1, bias=False))
        block = partial(Block, group_size=group_size, depth=depth, conv=PenalisedConv2d)
        layers: list[nn.Module] = [block(widths[-1]) for _ in range(counts[-1])]
        for (a, b), n in zip(pairwise(widths[::-1]), counts[-2::-1], strict=True):
            layers += [BinomialDown(), _pointwise(a, b), *(block(b) for _ in range(n))]
        self.body = nn.Sequential(*layers)
        self.basis = nn.Parameter(torch.randn(widths[0], base, base) / base)
        self.features = widths[0]
        features = widths[0] if num_classes else 1
        self.out = fan_in_normal_(nn.Linear(widths[0], features, bias=False))
        self.embed = _embedding(num_classes, features, features**-0.5) if num_classes else None

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        h = in_float32(self.out, self.trunk(x))
        return (h * self.embed(y)).sum(1) if self.embed is not None else h.squeeze(1)

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, widths[0])."""
        return in_float32(self._pool, self.body(channels_last(self.start(x))))

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features, where there are no labels."""
        return in_float32(self.out, h).squeeze(1)

    def _pool(self, h: Tensor) -> Tensor:
        return (h * self.basis).sum((2, 3))


def _embedding(num_classes: int, dim: int, gain: float = 1.0) -> nn.Embedding:
    """Rows for one-hot labels times a linear layer without bias, whose fan_in is num_classes."""
    layer = nn.Embedding(num_classes, dim)
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(num_classes))
    return layer
