"""How what pictures show changes from one to another, and along paths: measures compared in units of their spread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.stats import rankdata  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.explore.factors import MEASURES, Measures

CIRCULAR = ("hue",)
"""Measures in turns, where 1 is 0 again."""

FINEST = 1e-3
"""Differences below this, in spreads, are taken for none: rounding is not to be ranked."""


WITHIN = 0.6827
"""The share of normal numbers within one standard deviation."""


class Followed(NamedTuple):
    """How one measure goes along paths.

    Args:
        correlation: mean rank correlation with the strength, -1 to 1; 0 where the measure stands still.
        change: mean change from start to end, in spreads; rises and falls cancel.
        moved: mean size of that change, 0 or more, in spreads: what else changes, whichever way, shows here.
    """

    correlation: float
    change: float
    moved: float


def spread(measures: Measures) -> dict[str, float]:
    """How far each measure spreads: the distance from its median within which 68.27 % of a population lie.

    Of normal numbers that is the standard deviation, and a few wild ones do not move it. The hue is taken around the
    circle, from its mean direction. None is below the least difference that counts, as MEASURES has it.

    Args:
        measures: of a population, (N,) each; NaN are left out, and the spread of nothing is NaN.

    >>> spread({"x": torch.tensor([0.3, 0.4, 0.5, 0.6, 0.7]), "y": torch.full((5,), 0.5)})
    {'x': 0.173, 'y': 0.020}
    """
    found = {}
    for name, values in measures.items():
        known = values[~values.isnan()].double()
        if name in CIRCULAR:
            angle = 2 * math.pi * known
            off = _turns(known - torch.atan2(angle.sin().sum(), angle.cos().sum()) / (2 * math.pi))
        else:
            off = known - known.nanmedian()
        found[name] = max(float(off.abs().quantile(WITHIN)), MEASURES[name].least) if len(known) else math.nan
    return found


def changes(before: Measures, after: Measures, scale: dict[str, float]) -> Measures:
    """How much each picture changed, (N,) signed, in spreads; the hue by the shorter way around the circle.

    Args:
        before, after: of the same pictures, (N,) each.
        scale: the unit of each measure, from `spread`.

    Raises:
        GansmithError: not the same measures of as many pictures, or a measure without a unit.

    >>> changes({"hue": torch.tensor([0.9])}, {"hue": torch.tensor([0.1])}, {"hue": 0.1})
    {'hue': tensor([2.0], dtype=torch.float64)}
    """
    return {name: path[1] for name, path in _paths([before, after], scale).items()}


def follow(strengths: Tensor, measures: Sequence[Measures], scale: dict[str, float]) -> dict[str, Followed]:
    """How each measure follows a strength, along the path that each sample takes as the strength rises.

    A sample with a NaN on its path is left out of that measure; where fewer than half remain, its answer is NaN.

    Args:
        strengths: (S,), rising, S of 3 or more. Between two of them the hue must move less than half a turn.
        measures: at each strength, of the same N samples, (N,) each.
        scale: the unit of each measure, from `spread`.

    Raises:
        GansmithError: strengths that do not rise, or measures that `changes` would not take.

    >>> steps = [{"x": torch.tensor([0.1, 0.5])}, {"x": torch.tensor([0.2, 0.4])}, {"x": torch.tensor([0.4, 0.3])}]
    >>> follow(torch.tensor([0.0, 1.0, 2.0]), steps, {"x": 0.1})["x"]            # one goes right, the other left
    Followed(correlation=0.0, change=0.5, moved=2.5)
    """
    if strengths.ndim != 1 or len(strengths) < 3 or not bool((strengths.diff() > 0).all()):
        raise GansmithError(f"strengths are {strengths.tolist()}: give three or more numbers that rise.")
    if len(measures) != len(strengths):
        raise GansmithError(
            f"There are {len(strengths)} strengths, but measures at {len(measures)}: give one for each."
        )
    return {name: _followed(paths) for name, paths in _paths(measures, scale).items()}


def _followed(paths: Tensor) -> Followed:
    """Of paths (S, N) from 0, in spreads."""
    known = paths[:, paths.isfinite().all(0)]
    if not known.numel() or 2 * known.shape[1] < paths.shape[1]:
        return Followed(math.nan, math.nan, math.nan)
    ranks = torch.from_numpy(rankdata((known / FINEST).round().numpy(), axis=0))
    ranks -= ranks.mean(0)
    order = torch.arange(len(ranks)).double()
    order -= order.mean()
    correlation = (order @ ranks) / (order.norm() * ranks.norm(dim=0)).clamp_min(1e-9)  # of equal ranks: 0
    return Followed(float(correlation.mean()), float(known[-1].mean()), float(known[-1].abs().mean()))


def _paths(measures: Sequence[Measures], scale: dict[str, float]) -> dict[str, Tensor]:
    """Each measure at S places, (S, N), less where it started, in spreads. The hue goes on beyond a full turn.

    Raises:
        GansmithError: not the same measures of as many samples at each place, or a measure without a unit.
    """
    names = measures[0].keys()
    for other in measures:
        if other.keys() != names:
            raise GansmithError(f"Measures to compare differ: {', '.join(names)}, but elsewhere {', '.join(other)}.")
    if missing := [name for name in names if name not in scale]:
        raise GansmithError(f"There is no spread of {', '.join(missing)}: take it from pictures of the same kind.")
    counts = {len(values) for place in measures for values in place.values()}
    if len(counts) > 1:
        raise GansmithError(f"Measures to compare are of {sorted(counts)} pictures: give those of the same ones.")
    found = {}
    for name in names:
        steps = torch.stack([place[name] for place in measures]).double().diff(dim=0)
        path = (_turns(steps) if name in CIRCULAR else steps).cumsum(0)
        found[name] = F.pad(path, (0, 0, 1, 0)) / scale[name]
    return found


def _turns(difference: Tensor) -> Tensor:
    """Differences in turns, by the shorter way: above -1/2, at most 1/2.

    >>> _turns(torch.tensor([0.75, 0.5, -0.5, -0.25]))
    tensor([-0.25, 0.50, 0.50, -0.25])
    """
    return difference - (difference - 0.5).ceil()
