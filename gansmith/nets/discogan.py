"""DiscoGAN's pair: an encoder and decoder from image to image, and a discriminator that shows three layers.

4x4 convolutions of stride 2 down to 4 x 4 pixels (2 x 2 at 16 px), BatchNorm but at the first, leaky ReLU 0.2; in G
transposed ones back up, BatchNorm and ReLU. With a bottleneck, G squeezes what it sees into one number for each of
its channels.

Source: Kim et al. 2017, arXiv:1703.05192; SKTBrain/DiscoGAN, whose nets are these at 64 px. Deviations: images lie in
[-1, 1], so G ends in tanh where the released code has a sigmoid; weights start from N(0, 0.02^2), BatchNorm's gains
from N(1, 0.02^2), as in DCGAN; other sizes than 64 px.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gansmith.nets.shapes import channels_last, fitting, square
from gansmith.nn import in_float32, map_norm, normal_

RESOLUTIONS = tuple(2**k for k in range(4, 10))


def _plan(shape: tuple[int, ...], width: int) -> tuple[int, list[int], int]:
    """(channels, widths from the finest layer on, side of the coarsest maps).

    >>> _plan((3, 64, 64), 64), _plan((3, 16, 16), 64)
    ((3, [64, 128, 256, 512], 4), (3, [64, 128, 256], 2))
    """
    channels, resolution = square("discogan", shape, RESOLUTIONS)
    halvings = max(resolution.bit_length() - 3, 3)
    return channels, [width * min(2**k, 8) for k in range(halvings)], resolution >> halvings


def _down(channels: int, widths: list[int]) -> list[nn.Sequential]:
    """The halving layers that both nets begin with."""
    layers = []
    for i, (a, b) in enumerate(pairwise([channels, *widths])):
        normed = [map_norm("batch", b)] if i else []
        conv = normal_(nn.Conv2d(a, b, 4, 2, 1, bias=False))
        layers.append(nn.Sequential(conv, *normed, nn.LeakyReLU(0.2, inplace=True)))
    return layers


class Generator(nn.Module):
    """Images (N, C, H, W) -> images (N, out, H, W) in [-1, 1].

    H and W may be any multiples of `multiple` from `least` on; `least` is that of the training with a bottleneck.

    Args:
        shape: (C, H, W) of the images it is trained on, H = W one of 16, 32, 64 to 512.
        out: channels that it makes.
        width: channels at half the resolution.
        bottleneck: channels of the 1x1 bottleneck, 100 in the released code; 0 leaves it out, its default.

    Raises:
        GansmithError: a size that it does not fit, when it is made or used.
    """

    def __init__(self, shape: tuple[int, ...], out: int, width: int = 64, bottleneck: int = 0) -> None:
        super().__init__()
        channels, widths, base = _plan(shape, width)
        self.multiple = 2 ** len(widths)
        self.least = self.multiple * (base if bottleneck else 1)
        layers: list[nn.Module] = [*_down(channels, widths)]
        if bottleneck:
            layers += [
                nn.Sequential(
                    normal_(nn.Conv2d(widths[-1], bottleneck, base, bias=False)),
                    map_norm("batch", bottleneck),
                    nn.LeakyReLU(0.2, inplace=True),
                ),
                _up(bottleneck, widths[-1], base, 1, 0),
            ]
        layers += [_up(a, b, 4, 2, 1) for a, b in pairwise(widths[::-1])]
        self.body = nn.Sequential(*layers)
        self.out = normal_(nn.ConvTranspose2d(width, out, 4, 2, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        fitting("DiscoGAN's generator", x.shape[2:], self.multiple, self.least)
        return self.out(self.body(channels_last(x))).tanh()


def _up(a: int, b: int, kernel: int, stride: int, padding: int) -> nn.Sequential:
    conv = normal_(nn.ConvTranspose2d(a, b, kernel, stride, padding, bias=False))
    return nn.Sequential(conv, map_norm("batch", b), nn.ReLU(inplace=True))


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,).

    Args:
        shape: (C, H, W), H = W one of 16, 32, 64 to 512.
        width: channels at half the resolution.

    Raises:
        GansmithError: another size.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        channels, widths, base = _plan(shape, width)
        self.body = nn.ModuleList(_down(channels, widths))
        self.out = normal_(nn.Conv2d(widths[-1], 1, base, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, C, 4, 4), at 16 px (N, C, 2, 2)."""
        return self.hidden(x)[-1]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """The features behind each of the last three hidden layers, for feature matching."""
        h = channels_last(x)
        found = []
        for layer in self.body:
            h = layer(h)
            found.append(h)
        return found[-3:]

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).flatten()
