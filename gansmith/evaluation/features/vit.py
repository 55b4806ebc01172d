"""What the vision transformers here share: images cut into tokens, attention, and the two linear maps of a block.

Source: Dosovitskiy et al. 2021, arXiv:2010.11929, equations 1-4.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Shape(NamedTuple):
    """Sizes of a vision transformer.

    Args:
        width: D, numbers in a token.
        depth: blocks.
        heads: of the attention, D / heads numbers each.
        patch: side of a patch, pixels.
        side: of the images that its table of positions was made for, pixels.
    """

    width: int
    depth: int
    heads: int
    patch: int
    side: int

    @property
    def places(self) -> int:
        """Tokens of such an image: one for its class, one for each patch.

        >>> Shape(width=1024, depth=24, heads=16, patch=14, side=336).places    # 1 + 24^2
        577
        """
        return 1 + (self.side // self.patch) ** 2


def tokens(images: Tensor, patch: Callable[[Tensor], Tensor], first: Tensor) -> Tensor:
    """Images as rows of tokens: the class token, then the patches row by row.

    Args:
        images: (N, 3, H, W), normalised.
        patch: convolution to D channels whose stride is its kernel, P pixels.
        first: the class token, D values in any shape that ends in D.

    Returns:
        (N, 1 + (H / P) (W / P), D).
    """
    patches = patch(images).flatten(2).mT
    return torch.cat([first.expand(len(images), 1, -1), patches], 1)


def attend(queries: Tensor, keys: Tensor, values: Tensor, heads: int) -> Tensor:
    """softmax(q k^T / sqrt(D / heads)) v in each head, the heads side by side; all (N, L, D).

    >>> v = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    >>> attend(torch.zeros(1, 2, 2), torch.zeros(1, 2, 2), v, heads=2)    # equal weights: the mean over L
    tensor([[[2., 3.],
             [2., 3.]]])
    """
    q, k, v = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (queries, keys, values))
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Mlp(nn.Module):
    """(..., D) -> (..., D): widened fourfold, through `activation`, narrowed."""

    def __init__(self, width: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(self.activation(self.fc1(x)))
        return out
