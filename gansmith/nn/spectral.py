"""Spectral normalisation: every weight matrix divided by its largest singular value."""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

L = TypeVar("L", nn.Linear, nn.Conv2d, nn.Embedding)


def spectral_norm(layer: L) -> L:
    """Make the layer use W / sigma(W), W reshaped to (out, everything else); returns the layer.

    Each forward pass in training mode makes one step of power iteration; in eval mode sigma is frozen. The
    singular vectors u and v are buffers, so a checkpoint resumes exactly; gradients flow through sigma by W only.
    For a convolution this bounds, but is not, the norm of the operator on images.

    Reading `layer.weight` in training mode also makes a step: look at `layer.parametrizations.weight.original`.

    torch.nn.utils.parametrizations.spectral_norm differs in one point: it takes sigma's products through autocast,
    where they may be rounded to 8 bits. Here sigma is float32 always.

    Source: Miyato et al. 2018, arXiv:1802.05957, algorithm 1, after 15 steps at the start instead of none.

    >>> layer = nn.Linear(2, 2)
    >>> _ = layer.weight.data.copy_(torch.tensor([[5.0, 0.0], [0.0, 1.0]]))
    >>> spectral_norm(layer).weight.round(decimals=3).tolist()                    # / 5
    [[1.0, 0.0], [0.0, 0.2]]
    """
    parametrize.register_parametrization(layer, "weight", _DivideBySigma(layer.weight), unsafe=True)
    return layer


class _DivideBySigma(nn.Module):
    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", torch.randn_like(matrix[:, 0]))
        self.register_buffer("v", torch.zeros_like(matrix[0]))
        if matrix.is_meta:  # there is nothing to compute, and what says so is slow
            return
        self.u = F.normalize(self.u, dim=0)
        for _ in range(15):
            self.iterate(matrix)

    @torch.no_grad()
    def iterate(self, matrix: Tensor) -> None:
        self.v.copy_(F.normalize(matrix.T @ self.u, dim=0))
        self.u.copy_(F.normalize(matrix @ self.v, dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        with torch.autocast(weight.device.type, enabled=False):
            if self.training:
                self.iterate(matrix)
            u, v = self.u.clone(), self.v.clone()  # the next forward overwrites them, the backward needs these
            return weight / (u @ (matrix @ v))
