"""Ways uphill: from each point along the slope of something that can be measured, so that it rises all the way.

One straight line for all points, as regression gives it, is right on average: far out, or for a single sample, the
measure often falls again. Here every point goes its own way. Its slope, seen through the generator, is the mean over
some points near it, as a single one's is rough; the regression's line is mixed in, for where nothing can be seen.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gansmith.explore.factors import unchecked
from gansmith.explore.finding import from_measure
from gansmith.explore.space import Space

STRIDE = 0.5  # standard deviations of draws from one look at the slope to the next, at most
NEIGHBOURS, NEAR = 8, 0.2  # points around, and their standard deviation in that of draws
COMMON = 0.5  # weight of the line that is common to all, beside a slope of length 1


def climb(space: Space, points: Tensor, what: str, far: float, seed: int = 0) -> Tensor:
    """Points (2 S + 1, N, ...) along which a measure rises: S downhill, the points themselves, and S uphill.

    Labels and codes stay.

    Args:
        points: (N, ...).
        what: one of `factors.MEASURES`, but the hue.
        far: length of the way up, and of the way down, in standard deviations of draws.
        seed: of the draws for regression, and of the neighbours.

    Raises:
        GansmithError: as `finding.from_measure`.
    """
    line = from_measure(space, what, seed=seed).vector / space.unit
    line = COMMON * line / line.norm()
    strides = math.ceil(far / STRIDE)
    ways = []
    for sign in (-1.0, 1.0):
        noise = torch.Generator().manual_seed(seed)
        way = [points]
        for _ in range(strides):
            uphill = _unit(_unit(_slope(space, way[-1], what, noise)) + line)
            way.append(way[-1] + space.lifted(sign * far / strides * uphill * space.unit).to(points))
        ways.append(way)
    return torch.stack([*ways[0][:0:-1], *ways[1]])


def _slope(space: Space, points: Tensor, what: str, noise: torch.Generator) -> Tensor:
    """How a measure changes with the rows (N, D) of points, in standard deviations of draws; 0 where it is not seen."""
    total = torch.zeros(len(points), len(space.unit))
    for _ in range(NEIGHBOURS):
        off = (NEAR * torch.randn(total.shape, generator=noise)).requires_grad_()
        with torch.enable_grad():
            near = points.cpu() + space.lifted(off * space.unit)
            seen = unchecked(space.made(near.to(space.model.device)).clamp(-1, 1))[what]
            (grad,) = torch.autograd.grad(seen.sum(), off)
        total += grad.nan_to_num(0.0, 0.0, 0.0)
    return total / NEIGHBOURS


def _unit(rows: Tensor) -> Tensor:
    unit: Tensor = rows / rows.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit
