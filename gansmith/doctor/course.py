"""What the rules reason about: a history turned into relative quantities, each an array over the ticks.

Relative to real data (what held-out samples score in the place of generated ones), or to the run's own past.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from gansmith.doctor.history import Column, History
from gansmith.evaluation.classes import wilson

SPAN = 4  # ticks over which a trend is judged
CLEAR = 0.05  # of the first distance to the data, beyond its noise
NOISE = 0.02  # of the quality, from 500 samples of either kind
MISSING = 0.25  # a region is missing when even the upper end of its share is below this part of the data's


@dataclass(frozen=True)
class Course:
    """The course of a run.

    Args:
        history: of the run.
    """

    history: History

    def __getitem__(self, name: str) -> Column:
        return self.history[name]

    @cached_property
    def at_ceiling(self) -> Column:
        """1 where the strength of an adaptive augmentation has reached its ceiling, 0 elsewhere; NaN without one."""
        fields, p = self.history.fields, self["augment_p"]
        if not str(fields.get("augment")).startswith("ada") or fields.get("augment_p") is not None:
            return np.full(len(p), np.nan)
        return np.where(np.isfinite(p), p >= float(fields.get("augment_ceiling", 1.0)) - 1e-3, np.nan)

    @cached_property
    def distance(self) -> Column:
        """KID to the data, as a share of what it was at the first tick (an untrained generator when that is 0)."""
        kid = self["kid"]
        known = kid[np.isfinite(kid)]
        return kid / max(known[0], 1e-12) if len(known) else kid

    @cached_property
    def quality(self) -> Column:
        """How good the samples are, 0 to 1: the harmonic mean of precision and coverage, each over held-out samples'.

        One good and one bad of the two is bad: an untrained generator draws one point, whose precision may be 1. Where
        they are unknown: 1 less the distance to the data."""
        if not self.history.has("coverage"):
            return np.clip(1 - self.distance, 0, 1)
        precision, coverage = (np.clip(self.share(name), 0, 1) for name in ("precision", "coverage"))
        return np.asarray(2 * precision * coverage / np.maximum(precision + coverage, 1e-9))

    @cached_property
    def best(self) -> Column:
        """The best quality so far, 0 before the training; NaN while none is known."""
        untrained = (self.history.seen == 0) & np.isfinite(self.quality)
        return np.asarray(np.fmax.accumulate(np.where(untrained, 0.0, self.quality)))

    @cached_property
    def gain(self) -> Column:
        """By how much the best quality rose over the last 4 ticks (or all, while there are fewer), as share of what it
        was; 0 within the noise."""
        before = np.where(np.arange(len(self.best)) < SPAN, self.best[:1], shifted(self.best, SPAN))
        gain = (self.best - before) / np.maximum(before, NOISE)
        return np.where(self.best - before > NOISE, gain, np.where(np.isfinite(gain), 0.0, np.nan))

    @cached_property
    def leap(self) -> Column:
        """The longest stride of a step so far, of either net in its own size; NaN while none is known."""
        return np.asarray(np.fmax.accumulate(np.fmax(self["stride_G"], self["stride_D"])))

    @cached_property
    def nears(self) -> np.ndarray:
        """Where the distance to the data has halved over the last 4 ticks."""
        before = shifted(self.distance, SPAN)
        return (before > CLEAR) & (self.distance < before / 2)

    def share(self, name: str) -> Column:
        """A share of samples (precision, recall, coverage, density) over what held-out samples have."""
        return self[name] / np.maximum(self[f"real_{name}"], 1e-9)

    @cached_property
    def cells(self) -> np.ndarray:
        """Share of the samples in each region of the data (T, K); NaN where it was not measured."""
        return shares(self.history.lists.get("cells"))

    @cached_property
    def missing(self) -> Column:
        """Share of the data that lies in regions where the generator draws nothing, or next to nothing."""
        return self._missing("cells")

    @cached_property
    def missing_classes(self) -> Column:
        """The same for the classes of labelled data."""
        return self._missing("classes")

    def _missing(self, name: str) -> Column:
        lists = self.history.lists
        if name not in lists:
            return np.full(len(self.history), np.nan)
        return missing(lists[name], lists.get(f"real_{name}"))

    @cached_property
    def sway(self) -> Column:
        """How much of the samples changed region since the tick before: half the sum of the changes, median of 4."""
        if not len(self.cells):
            return np.full(len(self.history), np.nan)
        change = np.abs(np.diff(self.cells, axis=0, prepend=np.nan)).sum(1) / 2
        return rolling(np.median, change, SPAN)

    @cached_property
    def drift(self) -> Column:
        """Root mean square way of the samples of fixed latents since the tick before, in standard deviations."""
        return self.way(1)

    @cached_property
    def period(self) -> Column:
        """Of the last 4 ticks but one, the nearest one's distance over that of the tick before: small = it returns."""
        ways = [self.way(k) for k in range(2, 2 + SPAN)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a tick without any
            return np.nanmin(ways, axis=0) / np.maximum(self.way(1), 1e-9)

    def way(self, ticks: int) -> Column:
        """Root mean square way of the samples of fixed latents in so many ticks, in standard deviations."""
        places = self.history.lists.get("places") or [None] * len(self.history)
        found = np.full(len(self.history), np.nan)
        for i in range(ticks, len(found)):
            now, then = places[i], places[i - ticks]
            if now is not None and then is not None and np.shape(now) == np.shape(then):
                difference = np.array(now) - np.array(then)
                found[i] = np.sqrt((difference**2).sum(1).mean())
        return found

    def relative(self, name: str, span: int = SPAN) -> Column:
        """A column over its own median so far (at least `span` ticks)."""
        x = self[name]
        medians = [np.nanmedian(x[: i + 1]) if np.isfinite(x[: i + 1]).sum() >= span else np.nan for i in range(len(x))]
        return x / np.maximum(np.array(medians, dtype=float).reshape(x.shape), 1e-30)


def shifted(x: Column, by: int) -> Column:
    """x as it was `by` ticks ago; NaN before.

    >>> shifted(np.array([1.0, 2.0, 3.0]), 1)
    array([nan,  1.,  2.])
    """
    return np.concatenate([np.full(min(by, len(x)), np.nan), x[: max(len(x) - by, 0)]])


def rolling(how: Any, x: Column, span: int) -> Column:
    """`how` of the last `span` values at each tick; NaN while there are fewer, or any is NaN.

    >>> rolling(np.min, np.array([3.0, 1.0, 2.0]), 2)
    array([nan,  1.,  1.])
    """
    found = np.full(len(x), np.nan)
    for i in range(span - 1, len(x)):
        found[i] = how(x[i - span + 1 : i + 1])
    return found


def shares(lists: Sequence[Any] | None) -> np.ndarray:
    """Counts of each tick as shares (T, K); NaN where there are none or not as many as elsewhere."""
    known = [row for row in lists or () if row]
    if not known:
        return np.zeros((0, 0))
    width = len(known[-1])
    rows = [row if row and len(row) == width else [np.nan] * width for row in lists or ()]
    counts = np.array(rows, dtype=float)
    return counts / np.maximum(counts.sum(1, keepdims=True), 1)


def missing(fake: Sequence[Any] | None, real: Sequence[Any] | None) -> Column:
    """Share of the data in regions whose share of the samples is, even at its upper end, below a quarter of theirs.

    Args:
        fake, real: for each tick the counts in each region, or None.

    >>> missing([[0, 100]], [[50, 50]])
    array([0.5])
    """
    found = np.full(len(fake or ()), np.nan)
    for i, (a, b) in enumerate(zip(fake or (), real or (), strict=False)):
        if (out := left_out(a, b)) is not None:
            found[i] = np.array(b)[out].sum() / sum(b)
    return found


def left_out(fake: Sequence[float] | None, real: Sequence[float] | None) -> np.ndarray | None:
    """Which regions (K,) have too few samples, as in `missing`, from the counts in each; None when they are not known.

    >>> left_out([0, 100], [50, 50])
    array([ True, False])
    """
    if not fake or not real or len(fake) != len(real) or not sum(real):
        return None
    usual = np.array(real, dtype=float) / sum(real)
    upper = wilson(torch.tensor(fake, dtype=torch.float64), max(int(sum(fake)), 1))[1].numpy()
    return np.asarray(upper < MISSING * usual)
