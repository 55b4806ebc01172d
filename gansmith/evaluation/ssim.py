"""Structural similarity of images, at one scale and over several, and the diversity of a set that it measures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, rows
from gansmith.evaluation.score import Estimate

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first, as published (their sum is 1.0001)."""
WINDOW, SIGMA = 11, 1.5
"""Width of the Gaussian window in pixels, and its standard deviation."""
C1, C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
"""Constants of the luminance and the contrast term for a data range of 2."""
TILE = 64
"""Window places along one line that are worked out in one product."""
BLOCK = 2**20
"""Values of one image set that are worked on at once."""


def images(x: Any, name: str, least: int = 2) -> Tensor:
    """x as images (N, C, H, W), float32 or float64, on its own device.

    Args:
        x: (N, C, H, W) in [-1, 1].
        name: of the argument, for the message.
        least: images that are needed.

    Raises:
        GansmithError: as `inputs.rows`, another number of dimensions, or values outside [-1, 1].

    >>> images(torch.zeros(2, 1, 4, 4), "real").shape
    torch.Size([2, 1, 4, 4])
    """
    found = rows(x, name, least)
    shape = tuple(np.shape(x))
    if len(shape) != 4:
        raise GansmithError(f"{name} has shape {shape}: give images (N, channels, height, width).")
    low, high = (float(end) for end in found.aminmax())
    if low < -1.0001 or high > 1.0001:
        raise GansmithError(
            f"{name} has values from {low:.4g} to {high:.4g}: images must lie in [-1, 1]; rescale or clamp them first."
        )
    return found.reshape(shape)


def scale_weights(height: int, width: int) -> tuple[float, ...]:
    """Exponents of the scales that images of this size have, finest first; store them with a score.

    Each scale halves the size, and the smallest must hold the window of 11 px: five scales from 176 px, four from
    88, three from 44, two from 22, one below. Fewer than five are scaled to sum 1: compare only images of one size.

    Raises:
        GansmithError: a side is shorter than 11 px.

    >>> len(scale_weights(256, 256)), scale_weights(28, 28), scale_weights(16, 200)
    (5, (0.136, 0.864), (1.0,))
    """
    side = min(height, width)
    if side < WINDOW:
        raise GansmithError(f"Images of {height} x {width} px are too small for MS-SSIM: it needs {WINDOW} px or more.")
    used = [w for i, w in enumerate(WEIGHTS) if side >> i >= WINDOW]
    return WEIGHTS if len(used) == len(WEIGHTS) else tuple(w / sum(used) for w in used)


def ssim(a: Rows, b: Rows) -> Tensor:
    """Structural similarity of each pair of images at their own scale: (N,) float64 in [-1, 1], 1 for identical ones.

    Luminance times contrast-structure, averaged over channels and over the windows inside the image; values are
    measured from black (-1). The window is the authors' Gaussian of 11 px.

    Args:
        a, b: (N, C, H, W) in [-1, 1], sides of 11 px or more.

    Raises:
        GansmithError: no images, unlike shapes, too small.

    Source: Wang et al. 2004, Image quality assessment: from error visibility to structural similarity, eq. 13.

    >>> black, white = torch.full((1, 1, 16, 16), -1.0), torch.full((1, 1, 16, 16), 1.0)
    >>> round(float(ssim(black, white)), 5)                             # C1 / (2^2 + C1)
    0.0001
    """
    x, y = _pair(a, b)
    if min(x.shape[2:]) < WINDOW:
        raise GansmithError(
            f"Images of {x.shape[2]} x {x.shape[3]} px are too small for SSIM: it needs {WINDOW} px or more."
        )
    blocks = zip(torch.split(x, _block(x)), torch.split(y, _block(y)), strict=True)
    terms = (_terms(u.double() + 1, v.double() + 1) for u, v in blocks)
    return torch.cat([(contrast * luminance).mean((1, 2, 3)) for contrast, luminance in terms])


def ms_ssim(a: Rows, b: Rows) -> Tensor:
    """Multi-scale structural similarity of each pair of images: (N,) float64 in [0, 1], 1 for identical ones.

    The contrast-structure terms of all scales but the last, times luminance and contrast-structure of the last,
    each the mean over channels and window places, raised to `scale_weights`. Windows stay inside the image; a
    scale is the mean over 2x2 squares of the one before (an odd last row or column is left out); values are
    measured from black (-1); negative terms count as 0.

    Args:
        a, b: (N, C, H, W) in [-1, 1], sides of 11 px or more.

    Raises:
        GansmithError: no images, unlike shapes, too small.

    Source: Wang, Simoncelli, Bovik 2003, Multi-scale structural similarity, eq. 7; single terms of Wang et al. 2004.

    >>> black, white = torch.full((1, 1, 16, 16), -1.0), torch.full((1, 1, 16, 16), 1.0)
    >>> round(float(ms_ssim(black, white)), 5)                          # C1 / (2^2 + C1)
    0.0001
    """
    x, y = _pair(a, b)
    weights = scale_weights(*x.shape[2:])
    size = _block(x)
    return torch.cat(
        [_similarity(u, v, weights) for u, v in zip(torch.split(x, size), torch.split(y, size), strict=True)]
    )


def _pair(a: Rows, b: Rows) -> tuple[Tensor, Tensor]:
    x, y = images(a, "a", 1), images(b, "b", 1)
    if x.shape != y.shape:
        raise GansmithError(f"a has shape {tuple(x.shape)} and b has {tuple(y.shape)}: pairs need equal shapes.")
    return x, y


def _block(x: Tensor) -> int:
    """How many images fit one block."""
    return max(1, BLOCK // x[0].numel())


def _similarity(x: Tensor, y: Tensor, weights: tuple[float, ...]) -> Tensor:
    """MS-SSIM of checked images in [-1, 1]."""
    x, y = x.double() + 1, y.double() + 1
    product = x.new_ones(len(x))
    for scale, weight in enumerate(weights):
        if scale:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        contrast, luminance = _terms(x, y)
        term = contrast if scale < len(weights) - 1 else luminance * contrast
        product = product * term.mean((1, 2, 3)).clamp_min(0) ** weight
    return product


def _terms(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Contrast-structure and luminance of images in [0, 2] at every window place: (N, C, H - 10, W - 10)."""
    mx, my, xx, yy, xy = _blur(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    variances, covariance = (xx - mx * mx) + (yy - my * my), xy - mx * my
    return (2 * covariance + C2) / (variances + C2), (2 * mx * my + C1) / (mx * mx + my * my + C1)


def _blur(x: Tensor) -> Tensor:
    """Means under the Gaussian window wherever it lies inside the image."""
    return _blur_along(_blur_along(x).mT).mT


def _blur_along(x: Tensor) -> Tensor:
    """Gaussian means of WINDOW neighbours along the last axis, as products with a banded matrix, a tile at a time.

    In float64 on one core this took a fifth to a tenth of the time of a convolution, at 32 to 128 px.
    """
    rows, columns = (torch.arange(n, dtype=x.dtype, device=x.device) for n in (TILE + WINDOW - 1, TILE))
    offset = rows[:, None] - columns - WINDOW // 2
    band = torch.softmax((-(offset**2) / (2 * SIGMA**2)).masked_fill(offset.abs() > WINDOW // 2, -math.inf), 0)
    places = x.shape[-1] - WINDOW + 1
    tiles = ((start, min(TILE, places - start)) for start in range(0, places, TILE))
    return torch.cat([x[..., i : i + k + WINDOW - 1] @ band[: k + WINDOW - 1, :k] for i, k in tiles], -1)


def ms_ssim_diversity(samples: Rows, *, pairs: int = 1000, seed: int = 0) -> Estimate:
    """Mean MS-SSIM over random pairs of a set: high means little diversity; a collapsed set has 1.

    It has no ideal value: compare with real images of the same size and, as its authors did, within one class. It
    sees whether samples differ, not whether they are good: noise scores lowest.

    Args:
        samples: (N, C, H, W) in [-1, 1], N of 4 or more.
        pairs: distinct pairs of distinct samples, as evenly over the samples as can be; all N (N - 1) / 2 when
            that is fewer. Up to N / 2 pairs share no sample.
        seed: of the choice.

    Returns:
        The mean and its standard error as a set of N drawn samples has it: pairs that share a sample are not taken
        for independent (see `_error`).

    Raises:
        GansmithError: as `ms_ssim`, fewer than 4 samples or fewer than 2 pairs.

    Source: Odena, Olah, Shlens 2017 (AC-GAN), arXiv:1610.09585, section 4.2; Karras et al. 2018, arXiv:1710.10196.

    >>> ms_ssim_diversity(torch.zeros(8, 1, 16, 16)).value
    1.0
    """
    x = images(samples, "samples", 4)
    weights = scale_weights(*x.shape[2:])
    if pairs < 2:
        raise GansmithError(f"pairs is {pairs}: a standard error needs 2 pairs or more.")
    first, second = _distinct_pairs(len(x), pairs, torch.Generator().manual_seed(seed))
    size = _block(x)
    parts = zip(torch.split(first.to(x.device), size), torch.split(second.to(x.device), size), strict=True)
    values = torch.cat([_similarity(x[i], x[j], weights) for i, j in parts]).cpu()
    return Estimate(float(values.mean()), _error(values, first, second, len(x)))


def _distinct_pairs(n: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """`count` distinct pairs of n samples, or all of them if there are fewer: first members and second members.

    The samples stand on a circle in random order; neighbours are paired first (every other place, then the places
    between), then those two apart, and so on: no sample is in three pairs more than another.
    """
    order = torch.randperm(n, generator=generator)
    ring = torch.cat([torch.arange(0, n - 1, 2), torch.arange(1, n, 2), torch.arange(n - n % 2, n)])
    apart = range(1, min(n // 2, -(-count // n)) + 1)
    starts = [ring if 2 * step < n else torch.arange(step) for step in apart]
    first = torch.cat(starts)[:count]
    second = torch.cat([(start + step) % n for start, step in zip(starts, apart, strict=True)])[:count]
    return order[first], order[second]


def _error(values: Tensor, first: Tensor, second: Tensor, n: int) -> float:
    """Standard error of the mean of values (m,) measured on pairs of n independent samples.

    The variance is the sum of Cov(h_p, h_q) over those pairs p, q that share a sample, over m^2. The products of
    deviations from the mean estimate the sum; each is too low by the variance itself, on average, so dividing by
    m^2 minus their number makes the estimate unbiased where every sample is in equally many pairs: it is s^2 / m
    for pairs that share nothing and the unbiased variance of the U-statistic for all pairs. Never less than what
    independent pairs would have.

    Source: Hoeffding 1948, Ann. Math. Statist. 19; Fafchamps and Gubert 2007 for the sum over sharing pairs.
    """
    m, deviation = len(values), values - values.mean()
    ends = torch.cat([first, second])
    by_sample = values.new_zeros(n).index_add_(0, ends, deviation.repeat(2))
    alone = float(deviation.square().sum())
    sharing = int(torch.bincount(ends).square().sum()) - m
    variance = (float(by_sample.square().sum()) - alone) / (m * m - sharing)
    return math.sqrt(max(variance, alone / (m * (m - 1))))
