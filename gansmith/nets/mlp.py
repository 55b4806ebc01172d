"""Multilayer perceptrons, for points and for small images.

Source: the nets of Goodfellow et al. 2014 (arXiv:1406.2661) and of the 2-D tests of Gulrajani et al. 2017
(arXiv:1704.00028), with torch's default initial weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from gansmith.nn import in_float32, norm, spectral_norm


def _hidden(inputs: int, widths: Sequence[int], kind: str, slope: float, spectral: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *widths)):
        linear = nn.Linear(a, b, bias=kind != "batch")
        layers += [spectral_norm(linear) if spectral else linear, norm(kind, b, 0), nn.LeakyReLU(slope)]
    return nn.Sequential(*layers)


class Generator(nn.Module):
    """z (N, z_dim) -> samples (N, *shape); images (C, H, W) end in tanh, points (D,) do not.

    Args:
        hidden: widths of the hidden layers.
        norm: "none", "batch" or "layer", after each hidden linear layer.
        slope: of the LeakyReLU for negative inputs; 0 is ReLU.
    """

    def __init__(
        self,
        z_dim: int,
        shape: tuple[int, ...],
        hidden: Sequence[int] = (64, 64, 64),
        norm: str = "none",
        slope: float = 0.2,
    ) -> None:
        super().__init__()
        self.shape = shape
        self.body = _hidden(z_dim, hidden, norm, slope)
        self.out = nn.Linear(hidden[-1], prod(shape))

    def forward(self, z: Tensor) -> Tensor:
        x = self.out(self.body(z)).unflatten(1, self.shape)
        return x.tanh() if len(self.shape) == 3 else x


class Discriminator(nn.Module):
    """Samples (N, *shape) -> logits (N,).

    Args:
        hidden: widths of the hidden layers.
        norm: "none", "batch" or "layer", after each hidden linear layer.
        slope: of the LeakyReLU for negative inputs; 0 is ReLU.
        spectral: spectral normalisation of every layer; with norm "none" the net is then 1-Lipschitz.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        hidden: Sequence[int] = (64, 64, 64),
        norm: str = "none",
        slope: float = 0.2,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.body = _hidden(prod(shape), hidden, norm, slope, spectral)
        out = nn.Linear(hidden[-1], 1)
        self.out = spectral_norm(out) if spectral else out
        self.features = hidden[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, width)."""
        features: Tensor = self.body(x.flatten(1))
        return features

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).squeeze(1)
