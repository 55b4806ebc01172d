"""The mapping network of the StyleGANs: from latents to styles."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nn.equalised import SQRT2, EqualisedLinear
from gansmith.nn.norm import pixel_norm
from gansmith.nn.precision import in_float32


class Mapping(nn.Module):
    """z (N, z_dim) -> w (N, w_dim), in float32. A round lets `mean` (w_dim,) follow the mean of w.

    Args:
        z_dim, w_dim: sizes of both; each layer is w_dim wide.
        layers: fully connected ones.
        rate: share of the learning rate at which they learn.
        decay: share of the old mean that is kept each time.

    Source: Karras et al. 2019, arXiv:1812.04948, section 2 and appendix B, with the factor sqrt(2) behind the
    activation as in Karras et al. 2020, arXiv:1912.04958 (before it, only the biases differ, by that factor).
    """

    mean: Tensor

    def __init__(self, z_dim: int, w_dim: int, layers: int = 8, rate: float = 0.01, decay: float = 0.995) -> None:
        super().__init__()
        sizes = pairwise([z_dim] + [w_dim] * layers)
        self.layers = nn.ModuleList(EqualisedLinear(a, b, rate=rate) for a, b in sizes)
        self.register_buffer("mean", torch.zeros(w_dim))
        self.decay = decay

    def forward(self, z: Tensor) -> Tensor:
        return in_float32(self._styles, z)

    def _styles(self, z: Tensor) -> Tensor:
        w = pixel_norm(z.to(self.mean.dtype))
        for layer in self.layers:
            w = SQRT2 * F.leaky_relu(layer(w), 0.2)
        return w

    @torch.no_grad()
    def follow(self, w: Tensor) -> None:
        """Let the mean follow styles w (N, w_dim) of the training."""
        self.mean.lerp_(w.mean(0), 1 - self.decay)
