"""StyleGAN2's networks: a mapping from latents to styles, a synthesis network that reads a style in each layer, and D.

Every leaky ReLU (slope 0.2) is followed by a factor sqrt(2) in the paper. Here the factor is in the gain of the layer
behind it, which is the same function and one pass over the activations less. In D's residual blocks it cancels with
the 1 / sqrt(2) of the sum.

Under bfloat16 autocast the convolutions and what lies between them are bfloat16. These stay in float32:

- the mapping network and its running mean: small, and a mean with decay 0.995 moves by steps that bfloat16 rounds away;
- styles and demodulation (`nn.modulated`): sums of thousands of squares that scale whole feature maps;
- the image, a sum over all resolutions; each resolution's part is computed in bfloat16;
- the [1, 3, 3, 1] filters, as depthwise convolutions in bfloat16 are slow on CPUs;
- the standard deviation over the minibatch, a small difference of large numbers, and the logits.

Noise is drawn in float32 and added in the type of the activations.

Source: Karras et al. 2020, arXiv:1912.04958; NVlabs/stylegan2-ada-pytorch and NVlabs/stylegan3. With 3 x 32 x 32 px,
channel base 16384 and 8 mapping layers: 2,101,248 + 19,422,227 and 21,507,073 parameters. Beyond the source: any size
that is 4 to 7 pixels doubled.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.shapes import channels_last, square
from gansmith.nn import (
    BinomialDown,
    BinomialFilter,
    BinomialUp,
    EqualisedConv2d,
    EqualisedLinear,
    ModulatedConv2d,
    in_float32,
    minibatch_std,
    wide,
)
from gansmith.nn.equalised import SQRT2

RESOLUTIONS = tuple(sorted(base * 2**k for base in (4, 5, 6, 7) for k in range(1, 9) if base * 2**k <= 1024))
"""4, 5, 6 or 7 pixels doubled."""


def sides(resolution: int) -> list[int]:
    """The sizes of the feature maps, from the smallest.

    >>> sides(32), sides(28)
    ([4, 8, 16, 32], [7, 14, 28])
    """
    return [*sides(resolution // 2), resolution] if resolution > 7 else [resolution]


def widths(resolution: int, channel_base: int, channel_max: int) -> list[int]:
    """Channels at those sizes: channel_base / size, at most channel_max.

    >>> widths(256, 16384, 512)
    [512, 512, 512, 512, 256, 128, 64]
    """
    return [max(1, min(channel_base // side, channel_max)) for side in sides(resolution)]


def act(x: Tensor) -> Tensor:
    """Leaky ReLU without its factor, in place: x is a layer's fresh output, which no gradient needs."""
    return F.leaky_relu(x, 0.2, inplace=True)


class Layer(nn.Module):
    """x (N, a, H, W), w (N, w_dim), noise (1 or N, 1, H, W) -> (N, b, H, W), or twice the size; noise is of the result.

    Modulated convolution, noise times one strength (0 at first), bias, leaky ReLU without its factor.

    Args:
        gain: sqrt(2) behind another such layer.
    """

    def __init__(self, a: int, b: int, w_dim: int, up: bool = False, gain: float = SQRT2) -> None:
        super().__init__()
        self.conv = ModulatedConv2d(a, b, 3, w_dim, up=up, gain=gain)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        h = self.conv(x, w)
        return act(h + (noise * self.strength).to(h.dtype))


class Generator(nn.Module):
    """Styles ws (N, layers, w_dim) -> images (N, C, H, W), float32, not bounded.

    The image is the sum of what each resolution draws (skip connections). In training each layer's noise is drawn
    anew. In evaluation mode a sample's noise is a function of its key; without keys it is one fixed noise, the same
    for all samples, so that a walk through styles is smooth.

    `path_mean` is a place for the running mean of path lengths (`penalties.path_length`).

    Args:
        w_dim: size of a style.
        shape: (C, H, W), H = W one of `RESOLUTIONS`.
        channel_base, channel_max: a feature map of side s has channel_base / s channels, at most channel_max.

    Raises:
        GansmithError: unsupported shape.
    """

    path_mean: Tensor

    def __init__(self, w_dim: int, shape: tuple[int, ...], channel_base: int = 32768, channel_max: int = 512) -> None:
        super().__init__()
        channels, resolution = square("stylegan2", shape, RESOLUTIONS)
        self.sides, wide = sides(resolution), widths(resolution, channel_base, channel_max)
        self.constant = nn.Parameter(torch.randn(wide[0], self.sides[0], self.sides[0]))
        body = [Layer(wide[0], wide[0], w_dim, gain=1.0)]
        for a, b in pairwise(wide):
            body += [Layer(a, b, w_dim, up=True), Layer(b, b, w_dim)]
        self.body = nn.ModuleList(body)
        self.to_rgb = nn.ModuleList(ModulatedConv2d(b, channels, 1, w_dim, demodulate=False, gain=SQRT2) for b in wide)
        self.up = BinomialUp()
        self.layers = len(body) + 1
        self.register_buffer("path_mean", torch.zeros(()))
        for i, fixed in enumerate(self._of_keys([0])):
            self.register_buffer(f"noise_{i}", fixed, persistent=False)

    def forward(self, ws: Tensor, keys: Tensor | None = None) -> Tensor:
        """Images of styles.

        Args:
            keys: (N,) int64, which noise each sample has (`nn.noise_keys`).
        """
        noise, image = self._noise(ws, keys), None
        h = channels_last(self.constant.expand(len(ws), *self.constant.shape))
        for i, layer in enumerate(self.body):
            h = layer(h, ws[:, i], noise[i])
            if i % 2 == 0:  # the last of its resolution
                colours = wide(self.to_rgb[i // 2](h, ws[:, i + 1]))
                image = colours if image is None else self.up(image) + colours
        assert image is not None
        return image

    def _noise(self, ws: Tensor, keys: Tensor | None) -> Sequence[Tensor]:
        if keys is not None:
            return [noise.to(ws.device) for noise in self._of_keys(keys.tolist())]
        if self.training:
            return [torch.randn(len(ws), 1, side, side, device=ws.device) for side in self._sizes()]
        return [self.get_buffer(f"noise_{i}") for i in range(len(self.body))]

    def _of_keys(self, keys: list[int]) -> list[Tensor]:
        """Noise (N, 1, side, side) for each layer, on the CPU: a sample's own generator draws it."""
        drawn = []
        for key in keys:
            generator = torch.Generator().manual_seed(key)
            drawn.append([torch.randn(1, s, s, generator=generator, device="cpu") for s in self._sizes()])
        return [torch.stack(layer) for layer in zip(*drawn, strict=True)]

    def _sizes(self) -> list[int]:
        """The side of each layer's noise."""
        return [self.sides[(i + 1) // 2] for i in range(2 * len(self.sides) - 1)]


class Block(nn.Module):
    """(N, a, H, W) -> (N, b, H/2, W/2): two convolutions, the second of stride 2 behind the filter [1, 3, 3, 1].

    Args:
        gain: of the layers that read x; sqrt(2) where x comes from a leaky ReLU.
        residual: add a 1x1 convolution of x at half the size, and divide the sum by sqrt(2).
    """

    def __init__(self, a: int, b: int, gain: float, residual: bool) -> None:
        super().__init__()
        self.conv = EqualisedConv2d(a, a, 3, gain)
        self.down = nn.Sequential(BinomialFilter(2), EqualisedConv2d(a, b, 3, SQRT2, stride=2, padding=0))
        skip = nn.Sequential(BinomialDown(), EqualisedConv2d(a, b, 1, gain / SQRT2, bias=False))
        self.skip = skip if residual else None

    def forward(self, x: Tensor) -> Tensor:
        h = act(self.conv(x))
        h = act(self.down(h))
        return h if self.skip is None else h + self.skip(x)


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,).

    Args:
        shape: (C, H, W), H = W one of `RESOLUTIONS`.
        channel_base, channel_max: as for the generator.
        group: samples over which the minibatch standard deviation is taken.
        residual: residual blocks; otherwise plain ones, as the authors take for CIFAR-10.

    Raises:
        GansmithError: unsupported shape.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        channel_base: int = 32768,
        channel_max: int = 512,
        group: int = 4,
        residual: bool = True,
    ) -> None:
        super().__init__()
        channels, resolution = square("stylegan2", shape, RESOLUTIONS)
        base, wide = sides(resolution)[0], widths(resolution, channel_base, channel_max)[::-1]
        self.start = EqualisedConv2d(channels, wide[0], 1, gain=1.0)
        gains = [SQRT2] + [1.0 if residual else SQRT2] * len(wide)  # of what reads the start, and each block
        self.body = nn.Sequential(
            *(Block(a, b, gain, residual) for (a, b), gain in zip(pairwise(wide), gains, strict=False))
        )
        self.group, self.features = group, wide[-1]
        self.conv = EqualisedConv2d(wide[-1] + 1, wide[-1], 3, gains[1])
        self.dense = EqualisedLinear(wide[-1] * base**2, wide[-1], gain=SQRT2)
        self.out = EqualisedLinear(wide[-1], 1, gain=SQRT2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, channels of the smallest size)."""
        h = self.body(act(self.start(channels_last(x))))
        h = act(self.conv(minibatch_std(h, self.group)))
        return act(self.dense(h.flatten(1)))

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of those."""
        return in_float32(self.out, h).squeeze(1)
