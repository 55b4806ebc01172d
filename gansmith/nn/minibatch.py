"""D sees how alike the samples of a batch are: minibatch discrimination, and the standard deviation over a group."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gansmith.nn.init import normal_
from gansmith.nn.precision import in_float32


class MinibatchDiscrimination(nn.Module):
    """Features (N, A) -> nearness to the rest of the batch (N, kernels), 0 to 1.

    o_b(i) = mean over j != i of exp(-|M_ib - M_jb|_1) with M = (f / s) T. The paper takes the sum; the mean lets D be
    asked about any number of samples. s, the root mean square of the features over the batch, takes the place of the
    scale that the released code sets from the first batch.

    Args:
        features: A.
        kernels: B.
        dims: C, numbers of each kernel; T is (A, B * C).

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.2. Memory: N^2 * B * C numbers.

    >>> layer = MinibatchDiscrimination(2, kernels=3, dims=2)
    >>> layer(torch.ones(4, 2)).tolist() == [[1.0] * 3] * 4          # all alike
    True
    """

    def __init__(self, features: int, kernels: int = 100, dims: int = 5) -> None:
        super().__init__()
        self.kernels, self.dims = kernels, dims
        self.T = nn.Parameter(torch.randn(features, kernels * dims) / features**0.5)

    def forward(self, f: Tensor) -> Tensor:
        scale = f.detach().square().mean().sqrt().clamp_min(1e-12)
        M = (f / scale @ self.T).unflatten(1, (self.kernels, self.dims))
        distance = (M[:, None] - M[None]).abs().sum(3)
        near = torch.exp(-distance).sum(1) - 1  # without itself
        return near / max(len(f) - 1, 1)


def minibatch_std(x: Tensor, group: int = 4, eps: float = 1e-8) -> Tensor:
    """Feature maps (N, C, H, W) with one constant channel behind: how much the samples of a group differ.

    The standard deviation over the group, of every feature at every pixel, averaged to one number a group. Sample i
    belongs to the group of those with the same i modulo N / group, as in the released code.

    Args:
        group: samples in a group; where it does not divide N, the largest number below it that does. A single sample
            differs from nothing: its channel is sqrt(eps).
        eps: added to the variance.

    Source: Karras et al. 2018, arXiv:1710.10196, section 3.

    >>> x = torch.tensor([0.0, 5.0, 2.0, 5.0]).view(4, 1, 1, 1)                # two groups of two: 0, 2 and 5, 5
    >>> minibatch_std(x, group=2).flatten(1).round(decimals=3).tolist()
    [[0.0, 1.0], [5.0, 0.0], [2.0, 1.0], [5.0, 0.0]]
    """
    n, c, h, w = x.shape
    size = next(k for k in range(min(group, n), 0, -1) if n % k == 0)
    groups = x.float().view(size, n // size, c, h, w)
    variance = (groups - groups.mean(0)).square().mean(0)  # Tensor.var over the first axis is many times slower
    spread = (variance + eps).sqrt().mean((1, 2, 3))
    return torch.cat([x, spread.repeat(size).to(x.dtype).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)


class Crowd(nn.Module):
    """x (N, ...) -> logits (N,): a discriminator whose last layer also sees the minibatch features.

    Args:
        D: any discriminator with `trunk` and `features`.
        kernels, dims: of `MinibatchDiscrimination`.
    """

    def __init__(self, D: Any, kernels: int, dims: int) -> None:
        super().__init__()
        self.D = D
        del D.out  # its own last layer is not used
        self.nearness = MinibatchDiscrimination(D.features, kernels, dims)
        self.features = D.features + kernels
        self.out = normal_(nn.Linear(self.features, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features of D with the minibatch features behind (N, features)."""
        h = self.D.trunk(x).flatten(1)
        return torch.cat([h, in_float32(self.nearness, h)], 1)

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of those."""
        return in_float32(self.out, h).squeeze(1)
