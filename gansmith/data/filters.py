"""Filters on batches of images: Gaussian blur, shrinking by whole factors, line drawings."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 4.0  # standard deviations at which a Gaussian is cut off
LINE_WIDTH, LINE_RATIO = 0.8, 1.6  # of line drawings: pixels, and the wider Gaussian's width over the narrower one's
LINE_LEVEL, LINE_SHARPNESS = 0.02, 32.0  # how much darker than around it a line is, of black to white; its contrast


def blur(x: Tensor, sigma: Tensor, most: float) -> Tensor:
    """Images (n, C, H, W) convolved with a Gaussian each; beyond the border the outermost pixels go on.

    Args:
        sigma: standard deviations (n,), pixels; the Gaussian is cut off at four of them. 0 changes nothing.
        most: none of them is larger.
    """
    n, c, h, w = x.shape
    reach = int(REACH * most + 0.5)
    at = torch.arange(-reach, reach + 1, device=x.device)
    sigma = sigma.to(x.dtype).clamp_min(1e-3)[:, None]
    kernel = torch.exp(-0.5 * (at / sigma) ** 2) * (at.abs() <= torch.floor(REACH * sigma + 0.5))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(c, 0)[:, None]
    flat = F.pad(x.reshape(1, n * c, h, w), (reach, reach, reach, reach), mode="replicate")
    flat = F.conv2d(flat, kernel[:, :, :, None], groups=n * c)
    return F.conv2d(flat, kernel[:, :, None, :], groups=n * c).reshape(n, c, h, w)


# ---- shrinking


def _bicubic(x: float) -> float:
    """Keys' cubic with a = -0.5."""
    x = abs(x)
    return (1.5 * x - 2.5) * x * x + 1 if x < 1 else ((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0


def _lanczos(x: float) -> float:
    return _sinc(x) * _sinc(x / 3) if abs(x) < 3 else 0.0


def _sinc(x: float) -> float:
    return math.sin(math.pi * x) / (math.pi * x) if x else 1.0


FILTERS: dict[str, tuple[Callable[[float], float], float]] = {
    "bicubic": (_bicubic, 2.0),
    "bilinear": (lambda x: max(0.0, 1 - abs(x)), 1.0),
    "box": (lambda x: float(-0.5 < x <= 0.5), 0.5),
    "lanczos": (_lanczos, 3.0),
}
"""Kernels and where they end, in pixels of the small image: those of Pillow's `Image.resize`, which widens them with
the factor so that nothing aliases."""


def shrink(x: Tensor, factor: int, filter: str) -> Tensor:
    """Images (n, C, H, W) in [-1, 1], each side divided by `factor`, as Pillow's resize but without its rounding.

    Args:
        filter: one of FILTERS. What overshoots [-1, 1] is cut off, in one direction and then in the other.
    """
    down, across = (_weights(side, factor, filter).to(x) for side in x.shape[2:])
    return (down @ (x @ across.T).clamp(-1, 1)).clamp(-1, 1)


@lru_cache(16)
def _weights(size: int, factor: int, filter: str) -> Tensor:
    """How much each of `size` pixels counts in each of the small ones (size / factor, size); rows add up to 1."""
    kernel, support = FILTERS[filter]
    rows = torch.zeros(size // factor, size, dtype=torch.float64)
    for i in range(len(rows)):
        centre = (i + 0.5) * factor
        first, last = int(centre - support * factor + 0.5), int(centre + support * factor + 0.5)
        for j in range(max(first, 0), min(last, size)):
            rows[i, j] = kernel((j + 0.5 - centre) / factor)
    return rows / rows.sum(1, keepdim=True)


# ---- lines


def lines(x: Tensor) -> Tensor:
    """A line drawing (n, 1, H, W) of images (n, C, H, W), in [-1, 1]: dark lines on white.

    Difference of Gaussians with a soft threshold: a pixel is a line where it is darker, in any channel, than its
    surroundings. So lines follow the dark side of an edge, and thin dark strokes stay one line.

    Source: Winnemöller, Olsen and Gooch 2006, Real-time video abstraction, section 3.3.
    """
    n = len(x)
    narrow, wide = (
        blur(x, torch.full((n,), sigma, device=x.device), sigma) for sigma in (LINE_WIDTH, LINE_WIDTH * LINE_RATIO)
    )
    darker = ((wide - narrow) / 2 - LINE_LEVEL).amax(1, keepdim=True).clamp_min(0)
    return 1 - 2 * torch.tanh(LINE_SHARPNESS * darker)
