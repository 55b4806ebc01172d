"""Ways in which a label reaches a network: beside the samples, times the noise, through BatchNorm, as a projection; and
heads that tell labels. Each takes any network with the methods named; labels are one-hot rows cond (N, num_classes).

A discriminator offers `trunk` (samples to its last hidden features), `head` (those to logits) and `features`, the
number of features of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nn.init import glorot_uniform_
from gansmith.nn.precision import in_float32
from gansmith.nn.spectral import spectral_norm


def beside(x: Tensor, cond: Tensor) -> Tensor:
    """Rows (N, D) with cond (N, K) behind them, or feature maps (N, C, H, W) with K constant ones behind.

    >>> beside(torch.zeros(1, 2), torch.tensor([[0.0, 1.0]])).tolist()
    [[0.0, 0.0, 0.0, 1.0]]
    """
    planes = cond.to(x).view(*cond.shape, *(1,) * (x.ndim - 2)).expand(*cond.shape, *x.shape[2:])
    return torch.cat([x, planes], 1)


class Concatenated(nn.Module):
    """x (N, C, ...), cond (N, K) -> what D makes of x with the label beside it.

    Args:
        D: for samples of C + K channels (or numbers).

    Source: Mirza & Osindero 2014, arXiv:1411.1784, for a convolutional D.
    """

    def __init__(self, D: Any) -> None:
        super().__init__()
        self.D = D

    def forward(self, x: Tensor, cond: Tensor) -> Any:
        return self.D(beside(x, cond))

    def trunk(self, x: Tensor, cond: Tensor) -> Tensor:
        """The last hidden features of D."""
        features: Tensor = self.D.trunk(beside(x, cond))
        return features


class Projected(nn.Module):
    """x (N, ...), cond (N, K) -> logits (N,): D's own, plus the product of the features with the label's embedding.

    Args:
        D: any discriminator.
        num_classes: K.
        spectral: divide the embedding by its largest singular value.
        init: fills the embedding at the start.

    Source: Miyato & Koyama 2018, arXiv:1802.05637, eq. 3.
    """

    def __init__(
        self,
        D: Any,
        num_classes: int,
        spectral: bool = False,
        init: Callable[[nn.Linear], nn.Linear] = glorot_uniform_,
    ) -> None:
        super().__init__()
        self.D = D
        embed = init(nn.Linear(num_classes, D.features, bias=False))
        self.embed = spectral_norm(embed) if spectral else embed

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        embedded = in_float32(self.embed, cond)
        h = self.D.trunk(x)
        own: Tensor = self.D.head(h)
        return own + (embedded * h.float().flatten(1)).sum(1)

    def trunk(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """The last hidden features of D; they do not know the label."""
        features: Tensor = self.D.trunk(x)
        return features


class Headed(nn.Module):
    """x (N, ...) -> (logits (N,), {name: (N, size)}): D with further linear heads on its last hidden features.

    Args:
        D: any discriminator.
        heads: by name, how many numbers each gives.

    Source: Odena, Olah & Shlens 2017, arXiv:1610.09585 (auxiliary classifier).
    """

    def __init__(self, D: Any, heads: Mapping[str, int]) -> None:
        super().__init__()
        self.D = D
        self.heads = nn.ModuleDict({k: glorot_uniform_(nn.Linear(D.features, n)) for k, n in heads.items()})

    def forward(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        h = self.D.trunk(x)
        return self.D.head(h), {k: in_float32(head, h.flatten(1)) for k, head in self.heads.items()}

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features of D."""
        features: Tensor = self.D.trunk(x)
        return features


class Multiplied(nn.Module):
    """Latents (N, z_dim + K), noise with the label behind -> G of the noise times the label's embedding.

    Args:
        G: of latents (N, z_dim).
        z_dim: size of the noise.
        num_classes: K. The embeddings start as N(1, 1): near 0 they would silence the noise.
    """

    def __init__(self, G: nn.Module, z_dim: int, num_classes: int) -> None:
        super().__init__()
        self.G, self.z_dim = G, z_dim
        self.embed = nn.Parameter(1 + torch.randn(num_classes, z_dim))

    def forward(self, z: Tensor) -> Any:
        return self.G(z[:, : self.z_dim] * (z[:, self.z_dim :] @ self.embed))


class ConditionalBatchNorm(nn.Module):
    """BatchNorm whose gain and bias are the label's own: features (N, C, ...) -> the same shape.

    Args:
        norm: a BatchNorm, whose statistics are kept.
        num_classes: rows of gains (at 1) and biases (at 0).

    Source: Dumoulin et al. 2017, arXiv:1610.07629; de Vries et al. 2017, arXiv:1707.00683.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, num_classes: int) -> None:
        super().__init__()
        self.norm = type(norm)(norm.num_features, norm.eps, norm.momentum, affine=False)
        self.gain = nn.Parameter(torch.ones(num_classes, norm.num_features))
        self.bias = nn.Parameter(torch.zeros(num_classes, norm.num_features))
        self.cond: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        assert self.cond is not None, "set by Modulated"
        shape = (-1, self.gain.shape[1], *(1,) * (x.ndim - 2))
        gain, bias = ((self.cond @ table).view(shape) for table in (self.gain, self.bias))
        return (self.norm(x) * gain + bias).to(x.dtype)


class Modulated(nn.Module):
    """Latents (N, z_dim + K), noise with the label behind -> G of the noise, with the label in each of its BatchNorms.

    Args:
        G: of latents (N, z_dim), with BatchNorm.
        z_dim: size of the noise.
        num_classes: K.
        plain: names of BatchNorms of G that stay as they are.

    Raises:
        GansmithError: G has no BatchNorm.
    """

    def __init__(self, G: nn.Module, z_dim: int, num_classes: int, plain: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.G, self.z_dim = G, z_dim
        found = [
            name
            for name, module in G.named_modules()
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and name not in plain
        ]
        if not found:
            raise GansmithError("Conditional BatchNorm needs a generator with BatchNorm, and this one has none.")
        for name in found:
            parent, _, child = name.rpartition(".")
            norm: Any = G.get_submodule(name)
            setattr(G.get_submodule(parent), child, ConditionalBatchNorm(norm, num_classes))

    def forward(self, z: Tensor) -> Any:
        layers = [m for m in self.G.modules() if isinstance(m, ConditionalBatchNorm)]
        for layer in layers:
            layer.cond = z[:, self.z_dim :]
        try:
            return self.G(z[:, : self.z_dim])
        finally:
            for layer in layers:
                layer.cond = None
