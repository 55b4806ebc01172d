"""ProGAN's pair: plain convolutions with an equalised learning rate, built whole and used up to the current size.

Feature maps start at 4 x 4 (or 7 x 7, so that 28 px works) and double. G: nearest doubling and two 3x3 convolutions a
size, each followed by LeakyReLU 0.2 and pixel normalisation; images leave it by a linear 1x1 convolution, without
tanh. D is its mirror without normalisation; before its last convolution stands the minibatch standard deviation.

Source: Karras et al. 2018, arXiv:1710.10196, table 2; tkarras/progressive_growing_of_gans, networks.py. At 1024 px
the pair has 23,079,115 and 23,087,249 parameters.
"""

from __future__ import annotations

from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.growth import Level, blend, channels_at, enlarge, plan, shrink
from gansmith.nets.shapes import channels_last
from gansmith.nn import (
    EqualisedConv2d,
    EqualisedLinear,
    binomial_blur,
    down_average,
    in_float32,
    minibatch_std,
    pixel_norm,
    up_nearest,
)

SQRT2 = sqrt(2)


def act(x: Tensor) -> Tensor:
    """LeakyReLU 0.2."""
    return F.leaky_relu(x, 0.2)


class Start(nn.Module):
    """z (N, z_dim) -> (N, channels, size, size): a linear layer and a convolution."""

    def __init__(self, z_dim: int, channels: int, size: int) -> None:
        super().__init__()
        self.size = size
        self.dense = EqualisedLinear(z_dim, channels * size**2, gain=SQRT2 / 4, bias=None)
        self.bias = nn.Parameter(torch.zeros(channels))
        self.conv = EqualisedConv2d(channels, channels, 3)

    def forward(self, z: Tensor) -> Tensor:
        h = channels_last(self.dense(z).unflatten(1, (-1, self.size, self.size)))
        h = pixel_norm(act(h + self.bias.to(h.dtype).view(1, -1, 1, 1)))
        return pixel_norm(act(self.conv(h)))


class UpBlock(nn.Module):
    """(N, a, H, H) -> (N, b, 2H, 2H)."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv0, self.conv1 = EqualisedConv2d(a, b, 3), EqualisedConv2d(b, b, 3)

    def forward(self, h: Tensor) -> Tensor:
        h = pixel_norm(act(self.conv0(up_nearest(h))))
        return pixel_norm(act(self.conv1(h)))


class DownBlock(nn.Module):
    """(N, b, 2H, 2H) -> (N, a, H, H).

    Args:
        blur: as in StyleGAN: filter before the second convolution, and activate after the halving.
    """

    def __init__(self, b: int, a: int, blur: bool) -> None:
        super().__init__()
        self.conv0, self.conv1, self.blur = EqualisedConv2d(b, b, 3), EqualisedConv2d(b, a, 3), blur

    def forward(self, h: Tensor) -> Tensor:
        h = act(self.conv0(h))
        if self.blur:
            return act(down_average(self.conv1(binomial_blur(h))))
        return down_average(act(self.conv1(h)))


class Generator(nn.Module):
    """z (N, z_dim) -> images (N, C, H, W), not bounded; coarse ones, pixels repeated, while the level is below the top.

    Args:
        z_dim: size of the latent, which is normalised to length sqrt(z_dim).
        shape: (C, H, W), H = W one of `growth.RESOLUTIONS`.
        fmap_base, fmap_max: channels (`growth.channels_at`).
        start: the smallest size of images, in pixels (`growth.plan`).

    Raises:
        GansmithError: unsupported shape, or too few channels.
    """

    def __init__(
        self, z_dim: int, shape: tuple[int, ...], fmap_base: int = 8192, fmap_max: int = 512, start: int = 4
    ) -> None:
        super().__init__()
        colours, sizes, first = plan("progan", shape, start)
        widths = [channels_at(k, fmap_base, fmap_max) for k in range(len(sizes))]
        self.level = Level(sizes[first:], first)
        blocks = [UpBlock(a, b) for a, b in pairwise(widths)]
        self.body = nn.ModuleList([Start(z_dim, widths[0], sizes[0]), *blocks])
        self.to_rgb = nn.ModuleList(EqualisedConv2d(c, colours, 1, gain=1.0) for c in widths[first:])

    def forward(self, z: Tensor, full: bool = True) -> Tensor:
        """Images at the full resolution, or with `full=False` at the current size."""
        stage, share = self.level.split()
        h = before = pixel_norm(z)
        for block in self.body[: self.level.first + stage + 1]:
            h, before = block(h), h
        x = self.to_rgb[stage](h)
        if share < 1.0:
            x = blend(up_nearest(self.to_rgb[stage - 1](before)), x, share)
        return enlarge(x, self.level.sizes[-1]) if full else x


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,). They may have the full resolution or any size down to the current one.

    Args:
        shape: (C, H, W), H = W one of `growth.RESOLUTIONS`.
        fmap_base, fmap_max: channels (`growth.channels_at`).
        start: the smallest size of images, in pixels (`growth.plan`).
        group: samples that are compared by the minibatch standard deviation.
        blur: StyleGAN's form (`DownBlock`).

    Raises:
        GansmithError: unsupported shape, or too few channels.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        fmap_base: int = 8192,
        fmap_max: int = 512,
        start: int = 4,
        group: int = 4,
        blur: bool = False,
    ) -> None:
        super().__init__()
        colours, sizes, first = plan("progan", shape, start)
        widths = [channels_at(k, fmap_base, fmap_max) for k in range(len(sizes))]
        self.level, self.group, self.features = Level(sizes[first:], first), group, min(fmap_base, fmap_max)
        self.from_rgb = nn.ModuleList(EqualisedConv2d(colours, c, 1) for c in widths[first:])
        self.body = nn.ModuleList(DownBlock(b, a, blur) for a, b in pairwise(widths))
        self.conv = EqualisedConv2d(widths[0] + 1, widths[0], 3)
        self.dense = EqualisedLinear(widths[0] * sizes[0] ** 2, self.features, gain=SQRT2)
        self.out = EqualisedLinear(self.features, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, features)."""
        h = minibatch_std(self._coarse(shrink(x, self.level.size)), self.group)
        return act(self.dense(act(self.conv(h)).flatten(1)))

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of those."""
        return in_float32(self.out, h).squeeze(1)

    def _coarse(self, x: Tensor) -> Tensor:
        """Feature maps at the smallest size, of images at the current one."""
        stage, share = self.level.split()
        h = act(self.from_rgb[stage](channels_last(x)))
        blocks = list(self.body[: self.level.first + stage])
        if share < 1.0:
            h = blend(act(self.from_rgb[stage - 1](channels_last(down_average(x)))), blocks.pop()(h), share)
        for block in reversed(blocks):
            h = block(h)
        return h
