"""Self-attention over the pixels of feature maps."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn, zeros

from gansmith.nn.init import orthogonal_
from gansmith.nn.spectral import spectral_norm


class SelfAttention(nn.Module):
    """Feature maps (N, C, H, W) -> x + gamma * what each pixel gathers from all others, of the same shape; H, W even.

    Queries and keys have C / 8 channels, values C / 2; keys and values are pooled to half the size by their maximum.
    The products of queries and keys are not scaled. gamma starts at 0: the block is the identity until it is trained.

    Args:
        channels: C, at least 8.
        spectral: spectral normalisation of the four 1x1 convolutions.

    The kernel that never stores the map of (H W) x (H W / 4) weights wants queries, keys and values of one size, so
    queries and keys get zeros behind them: the same products. It has no second derivative: not for a D under a gradient
    penalty.

    Source: Zhang et al. 2019, arXiv:1805.08318, section 3; pooling and widths as in BigGAN's code.
    """

    def __init__(self, channels: int, spectral: bool = True) -> None:
        super().__init__()
        inner, values = max(channels // 8, 1), max(channels // 2, 1)
        self.query, self.key = _pointwise(channels, inner, spectral), _pointwise(channels, inner, spectral)
        self.value, self.out = _pointwise(channels, values, spectral), _pointwise(values, channels, spectral)
        self.padding = values - inner
        self.gamma = nn.Parameter(zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        query = _rows(F.pad(self.query(x), (0, 0, 0, 0, 0, self.padding)))
        key = _rows(F.pad(F.max_pool2d(self.key(x), 2), (0, 0, 0, 0, 0, self.padding)))
        value = _rows(F.max_pool2d(self.value(x), 2))
        gathered = F.scaled_dot_product_attention(query, key, value, scale=1.0)
        maps = gathered.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])
        return x + self.gamma.to(x.dtype) * self.out(maps)


def _pointwise(a: int, b: int, spectral: bool) -> nn.Conv2d:
    layer = orthogonal_(nn.Conv2d(a, b, 1, bias=False))
    return spectral_norm(layer) if spectral else layer


def _rows(maps: Tensor) -> Tensor:
    """(N, C, H, W) as one head of H * W rows, (N, 1, H * W, C)."""
    return maps.flatten(2).transpose(1, 2).unsqueeze(1)
