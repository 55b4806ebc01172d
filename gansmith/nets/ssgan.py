"""The fully connected pair of semi-supervised learning on small images.

D: weight-normalised layers of 1000, 500, 250, 250 and 250 with ReLU, normal noise on the input and behind each layer
while it trains, K logits. G: two layers of 500 with softplus and BatchNorm without gain, one to the image.

Source: Salimans et al. 2016, arXiv:1606.03498; settings of openai/improved-gan (MNIST). The code sets D's scales from
the first 500 images; here weights start as N(0, 2 / fan_in), with scales to match.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from gansmith.nn import fan_in_normal_, in_float32

WIDTHS = (1000, 500, 250, 250, 250)
NOISE_IN, NOISE = 0.3, 0.5  # standard deviations, of samples in [0, 1] and of hidden activations


class Noise(nn.Module):
    """x plus normal noise while it trains."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training else x


def _dense(a: int, b: int, gain: float) -> nn.Linear:
    return weight_norm(fan_in_normal_(nn.Linear(a, b), gain))


class Generator(nn.Module):
    """z (N, z_dim) -> images (N, C, H, W) in [-1, 1].

    Args:
        z_dim: size of the latent.
        shape: (C, H, W).
        width: of the two hidden layers.
    """

    def __init__(self, z_dim: int, shape: tuple[int, ...], width: int = 500) -> None:
        super().__init__()
        self.shape = shape
        layers: list[nn.Module] = []
        for a, b in pairwise((z_dim, width, width)):
            norm = nn.BatchNorm1d(b)
            norm.weight.requires_grad_(False)  # no gain: it stays 1
            layers += [nn.Linear(a, b, bias=False), norm, nn.Softplus()]
        self.body = nn.Sequential(*layers)
        self.out = weight_norm(nn.Linear(width, prod(shape)))

    def forward(self, z: Tensor) -> Tensor:
        return self.out(self.body(z)).tanh().unflatten(1, self.shape)


class Classifier(nn.Module):
    """Images (N, C, H, W) -> K logits (N, K).

    Args:
        shape: (C, H, W).
        num_classes: K.
        widths: of the hidden layers.
    """

    def __init__(self, shape: tuple[int, ...], num_classes: int, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        layers: list[nn.Module] = [Noise(2 * NOISE_IN)]  # samples are in [-1, 1] here
        for i, (a, b) in enumerate(pairwise((prod(shape), *widths))):
            layers += [*([Noise(NOISE)] if i else []), _dense(a, b, 2**0.5), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.noise = Noise(NOISE)
        self.out = _dense(widths[-1], num_classes, 1.0)
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, widths[-1]), before their noise."""
        features: Tensor = self.body(x.flatten(1))
        return features

    def head(self, h: Tensor) -> Tensor:
        """K logits (N, K) of those."""
        return in_float32(self.out, self.noise(h))
