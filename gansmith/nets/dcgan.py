"""DCGAN's convolutional pair, in the geometry that its followers use.

4 x 4 kernels of stride 2, ReLU in G, LeakyReLU 0.2 in D, normalisation everywhere but at G's output and D's input,
no bias where batch normalisation follows nor at the last layers, weights N(0, 0.02^2), gains N(1, 0.02^2). Every net
starts from 4 x 4; on the way to 28 px and its doubles the step between 4 and 7 has a 3 x 3 kernel. (A net that started
from 7 x 7 would give D a field of view of 10 x 10 at 28 px: it would judge strokes, not digits.)

Source: Radford et al. 2016, arXiv:1511.06434; geometry of soumith/dcgan.torch and pytorch/examples: at 64 px, 3
channels, z_dim 100 and width 64 it has their 3,576,704 and 2,765,568 parameters.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gansmith.nets.shapes import channels_last, pyramid, square
from gansmith.nn import in_float32, map_norm, normal_


def _plan(shape: tuple[int, ...], width: int) -> tuple[int, list[int], list[int]]:
    """(channels, widths, kernels), from the finest hidden layer to the one of 4 x 4: widths double, at most 16 times.

    >>> _plan((1, 28, 28), 64)
    (1, [64, 128, 256], [4, 3])
    """
    channels, resolution = square("dcgan", shape)
    base, doublings = pyramid(resolution)
    sevens = base == 7
    widths = [width * min(2**k, 16) for k in range(doublings + sevens)]
    return channels, widths, [4] * (len(widths) - 1 - sevens) + [3] * sevens


class Generator(nn.Module):
    """z (N, z_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        z_dim: size of the latent.
        shape: (C, H, W), H = W one of `shapes.RESOLUTIONS`.
        width: channels at half the final resolution.
        norm: "batch" or "none".
    """

    def __init__(self, z_dim: int, shape: tuple[int, ...], width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        channels, widths, kernels = _plan(shape, width)
        bias = norm != "batch"
        start = normal_(nn.ConvTranspose2d(z_dim, widths[-1], 4, 1, 0, bias=bias))
        layers: list[nn.Module] = [start, map_norm(norm, widths[-1]), nn.ReLU()]
        for (a, b), k in zip(pairwise(widths[::-1]), kernels[::-1], strict=True):
            layers += [normal_(nn.ConvTranspose2d(a, b, k, 2, 1, bias=bias)), map_norm(norm, b), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.out = normal_(nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False))

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.body(channels_last(z[:, :, None, None]))).tanh()


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,).

    Args:
        shape: (C, H, W), H = W one of `shapes.RESOLUTIONS`.
        width: channels at half the first resolution.
        norm: "batch", "none", or "layer"; per-sample gradient penalties (WGAN-GP, R1) need one of the last two.

    `trunk` gives its last hidden features, `features` of them a sample, and `head` the logits of those.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 64, norm: str = "batch") -> None:
        super().__init__()
        channels, widths, kernels = _plan(shape, width)
        bias = norm != "batch"
        self.start = normal_(nn.Conv2d(channels, width, 4, 2, 1, bias=bias))
        layers: list[nn.Module] = [nn.LeakyReLU(0.2)]
        for (a, b), k in zip(pairwise(widths), kernels, strict=True):
            layers += [normal_(nn.Conv2d(a, b, k, 2, 1, bias=bias)), map_norm(norm, b), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers)
        self.out = normal_(nn.Conv2d(widths[-1], 1, 4, bias=False))
        self.features = 16 * widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, C, 4, 4)."""
        features: Tensor = self.body(channels_last(self.start(x)))
        return features

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).flatten()
