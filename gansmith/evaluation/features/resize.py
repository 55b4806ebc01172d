"""Resizing filters, each written as a matrix: a resized image is rows @ image @ columns^T.

"bilinear", "bicubic" (a = -0.5) and "lanczos" (3 lobes) widen with the reduction, so they do not alias: they are
Pillow's filters on floats. "bilinear-tf1" is what TensorFlow 1 did and what FID was published with: pixel i looks at
i * in / out without centring, at two neighbours whatever the reduction, so it aliases and shifts by half a pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

Filter = Literal["none", "bilinear", "bicubic", "lanczos", "bilinear-tf1"]
"""The names that appear in a protocol."""


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp_min(0)


def _cubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def _lanczos3(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0.0)


_KERNELS: dict[str, Callable[[Tensor], Tensor]] = {"bilinear": _triangle, "bicubic": _cubic, "lanczos": _lanczos3}


@lru_cache(maxsize=64)
def matrix(filter: Filter, before: int, after: int) -> Tensor:
    """Weights (after, before), float64, of each old pixel in each new one; rows sum to 1.

    >>> matrix("bilinear", 4, 2)    # (1, 3, 3, 1) / 8, its first weight cut off at the edge
    tensor([[0.4286, 0.4286, 0.1429, 0.0000],
            [0.0000, 0.1429, 0.4286, 0.4286]], dtype=torch.float64)
    >>> matrix("bilinear-tf1", 4, 2)
    tensor([[1., 0., 0., 0.],
            [0., 0., 1., 0.]], dtype=torch.float64)
    """
    new, old = torch.arange(after, dtype=torch.float64)[:, None], torch.arange(before, dtype=torch.float64)
    scale = before / after
    if filter == "bilinear-tf1":
        at = new * scale
        return _triangle(old - at.clamp_max(before - 1))
    weights = _KERNELS[filter]((old + 0.5 - (new + 0.5) * scale) / max(scale, 1.0))
    return weights / weights.sum(1, keepdim=True)


def resize(images: Tensor, size: int | tuple[int, int], filter: Filter) -> Tensor:
    """Images of another size.

    Args:
        images: (N, C, H, W), floats of any range. "bicubic" and "lanczos" may overshoot it: clamp afterwards.
        size: new side of a square, or new height and width, pixels.
        filter: not "none", unless the images have that size already.

    Returns:
        (N, C, size, size) or (N, C, *size), of the type and on the device of `images`; the aspect ratio is not kept.

    >>> resize(torch.tensor([[[[0.0, 2.0], [4.0, 6.0]]]]), 1, "bilinear")
    tensor([[[[3.]]]])
    """
    height, width = images.shape[-2:]
    new_height, new_width = (size, size) if isinstance(size, int) else size
    if (height, width) == (new_height, new_width):
        return images
    columns, rows = matrix(filter, width, new_width).to(images), matrix(filter, height, new_height).to(images)
    return ((images @ columns.mT).mT @ rows.mT).mT
