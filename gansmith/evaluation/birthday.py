"""How many different samples does a generator have? The birthday paradox answers from the duplicates among a few.

Of s draws from N equally likely pictures, two agree with probability 1 - exp(-s (s - 1) / 2N): of 365, 23 draws do
for one half. So duplicates among s samples tell of a support of about s^2 / 2, far more than the samples looked at.

Source: Arora, Zhang 2017, "Do GANs actually learn the distribution? An empirical study", arXiv:1706.08224. There a
person judges the closest pairs; here `closest_pairs` finds them for the eye, and `birthday_support` counts those
closer than nearly all real pairs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from scipy.special import gammaincinv  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.copying import distinct
from gansmith.evaluation.inputs import Rows, pair, rows

BLOCK = 1024
"""Rows on each side of a block of distances: 8 MB in float64."""

CALIBRATING = 10
"""Real pairs at or below the threshold: enough to know their rate within a factor of 2."""

LARGEST_RATE = 0.001
"""Most of the real pairs that may count as duplicates when the threshold is chosen automatically."""

UNSEEN = -math.log(0.05)
"""The rule of three: what was not seen has a mean below 3.0, with 95 % confidence."""


class Pairs(NamedTuple):
    """Closest pairs: `distances` (count,) float64, rising; `pairs` (count, 2) int64, the smaller index first."""

    distances: Tensor
    pairs: Tensor


class Rate(NamedTuple):
    """Rate of duplicates.

    Args:
        value: share of the pairs that are duplicates, within 0 ... 1.
        low, high: its 95 % interval.
        duplicates: pairs that are.
        pairs: all N (N - 1) / 2.
        heaviest: largest share of the samples that are all duplicates of one.
    """

    value: float
    low: float
    high: float
    duplicates: int
    pairs: int
    heaviest: float


class Support(NamedTuple):
    """What `birthday_support` found.

    Args:
        support: different samples that the generator has, as if all were equally likely; inf when duplicates are no
            more frequent than among real samples.
        low, high: 95 % interval; high = inf reads "at least low".
        duplicates: pairs of generated samples within the threshold.
        pairs: all N (N - 1) / 2 of them.
        expected: duplicates that real samples would have shown among as many pairs.
        heaviest: largest share of the samples that are all duplicates of one.
        batch: samples among which two are duplicates with probability 1/2; inf as `support`.
    """

    support: float
    low: float
    high: float
    duplicates: int
    pairs: int
    expected: float
    heaviest: float
    batch: float


def closest_pairs(fake: Rows, count: int = 20) -> Pairs:
    """The closest pairs among the samples, for the eye: are they the same picture?

    Exact, over all N (N - 1) / 2 pairs, in blocks: memory grows with N D + count, not with N^2.

    Args:
        fake: (N, D) samples.
        count: pairs to return; all of them when there are fewer.

    Returns:
        Distances and indices, closest first; no pair twice, no sample with itself.

    Raises:
        GansmithError: fewer than 2 samples, values that are not finite, or `count` below 1.

    Source: Arora, Zhang 2017, arXiv:1706.08224, who show about 20 pairs.

    >>> closest_pairs(torch.tensor([[0.0], [5.0], [7.0], [8.0]]), 2)
    Pairs(distances=tensor([1., 2.], dtype=torch.float64), pairs=tensor([[2, 3], [1, 2]]))
    """
    x = _rows(fake, "fake")
    if count < 1:
        raise GansmithError(f"count is {count}: ask for at least 1 pair.")
    count = min(count, _all_pairs(len(x)))
    squares, found = x.new_empty(0, dtype=torch.float64), torch.empty(0, 2, dtype=torch.int64, device=x.device)
    for i, j, block in _blocks(x):
        worst = float(squares[-1]) if len(squares) == count else math.inf
        at = (block < worst).nonzero()
        squares, order = torch.cat([squares, block[at[:, 0], at[:, 1]]]).sort(stable=True)
        found = torch.cat([found, at + at.new_tensor([i, j])])[order[:count]]
        squares = squares[:count]
    parts = (found[i : i + BLOCK] for i in range(0, count, BLOCK))
    exact = torch.cat([(x[p[:, 0]].double() - x[p[:, 1]]).square().sum(1).sqrt() for p in parts])
    distances, order = exact.sort(stable=True)
    return Pairs(distances, found[order])


def duplicate_threshold(real: Rows, *, quantile: float | None = None) -> float:
    """Distance up to which two samples count as duplicates: one that real pairs hardly ever keep to.

    Two real samples are never the same picture, so those within the threshold are false duplicates. With a share q
    of them, a generator whose support is far beyond 1 / q cannot be told from the real law: the 0.1 % that is often
    named hides all above a few thousand. Hence the default: the 10th closest real pair, or the 0.1 % quantile where
    that is smaller. `birthday_support(..., real=...)` subtracts their rate.

    Real samples are compared with each other only, so training samples serve as well as held-out ones, and more of
    them see further: as many real as generated samples are right. Equal real samples count once.

    Args:
        real: (N, D) real samples in the space of the generated ones.
        quantile: share of the real pairs within the threshold, between 0 and 1; None for the default. Memory grows
            with quantile N^2 / 2.

    Returns:
        Threshold, in the unit of the rows.

    Raises:
        GansmithError: fewer than 2 different samples, values that are not finite, or `quantile` out of range.

    >>> duplicate_threshold(torch.tensor([[0.0], [5.0], [7.0], [8.0]]), quantile=0.5)       # 3rd of 1 2 3 5 7 8
    3.0
    """
    if quantile is not None and not 0 < quantile < 1:
        raise GansmithError(f"quantile is {quantile}: it must lie between 0 and 1, as 0.001.")
    x = _rows(real, "real")
    x = rows(x[distinct(x)], "real, without repeats,")
    pairs = _all_pairs(len(x))
    share = min(CALIBRATING / pairs, LARGEST_RATE) if quantile is None else quantile
    return float(closest_pairs(x, max(1, round(share * pairs))).distances[-1])


def duplicate_rate(x: Rows, threshold: float) -> Rate:
    """Share of all pairs that lie within the threshold, with its interval.

    The count C of duplicates has variance E[C] + 2 (W - w), where W counts the triples a, b, c in which b and c are
    both duplicates of a, and w how many there would be if pairs were independent: one picture drawn too often makes
    many pairs at once. The interval is the exact one of a Poisson law for C / f, with f = variance / C >= 1. When
    nothing is seen it is one-sided: below 3.0 / pairs (rule of three).

    Args:
        x: (N, D) samples.
        threshold: largest distance of duplicates, at least 0, in the unit of the rows. Distances below a millionth
            of the samples' spread are taken as 0.

    Returns:
        Rate in 0 ... 1 and what it was made of.

    Raises:
        GansmithError: fewer than 2 samples, values that are not finite, or a threshold below 0.

    Source: variance of a U-statistic of degree 2, Hoeffding 1948; interval: Garwood 1936.

    >>> found = duplicate_rate(torch.tensor([[0.0], [0.0], [5.0], [9.0]]), 1.0)
    >>> found.duplicates, found.pairs, found.heaviest
    (1, 6, 0.5)
    """
    x = _rows(x, "x")
    if not 0 <= threshold < math.inf:
        raise GansmithError(f"threshold is {threshold}: it must be a distance, at least 0.")
    n, pairs = len(x), _all_pairs(len(x))
    limit = threshold**2 * (1 + 1e-9) + 1e-12 * float(x.var(0, correction=0).sum())
    degree = torch.zeros(n, dtype=torch.int64, device=x.device)
    for i, j, block in _blocks(x):
        hit = block <= limit
        degree[i : i + BLOCK] += hit.sum(1)
        degree[j : j + BLOCK] += hit.sum(0)
    count = int(degree.sum()) // 2
    triples = int((degree * (degree - 1)).sum()) // 2
    independent = pairs * (n - 2) * (count / pairs) ** 2
    factor = 1 + 2 * max(0.0, triples - independent) / max(count, 1)
    low, high = _poisson(count, factor)
    return Rate(count / pairs, low / pairs, min(high / pairs, 1.0), count, pairs, (int(degree.max()) + 1) / n)


def birthday_support(fake: Rows, *, threshold: float, real: Rows | None = None) -> Support:
    """Number of different samples behind the generator, from the duplicates among its samples.

    Two draws from a law with probabilities p_i agree with probability sum p_i^2, so one over the rate of duplicates
    estimates 1 / sum p_i^2: N when all are equally likely, and **less than the number of different samples
    otherwise**. It speaks of the heavy part of the law: with 1/10 of the mass on one picture it is below 100,
    however rich the rest; `heaviest` then tells. A support that is called large may still miss much of the data.

    Samples are "the same" within the threshold, so the number belongs to this space and threshold; blurred samples
    lie closer together than real ones and seem fewer. With `real`, the rate at which real samples are within the
    threshold is subtracted, and its uncertainty joins the interval; fewer duplicates than expected, which is chance,
    raise no lower end.

    Args:
        fake: (N, D) generated samples; N samples see a support up to about N^2 / 8.
        threshold: distance of duplicates, from `duplicate_threshold` or from looking at the closest pairs.
        real: (M, D) real samples, those of `duplicate_threshold`; None takes every duplicate as true.

    Returns:
        Estimate with its 95 % interval. Without duplicates, support and high are inf and low is pairs / 3.0.

    Raises:
        GansmithError: unequal widths, fewer than 2 samples, values that are not finite, or a threshold below 0.

    Source: Arora, Zhang 2017, arXiv:1706.08224; difference of two rates: Zou, Donner 2008 (MOVER).

    >>> found = birthday_support(torch.arange(100.0), threshold=0.5)     # no duplicate among 4,950 pairs
    >>> found.support, found.low, found.high
    (inf, 1652.4, inf)
    >>> birthday_support(torch.arange(100.0) // 2, threshold=0.5).support       # 50 duplicates among 4,950 pairs
    99.0
    """
    usual = Rate(0.0, 0.0, 0.0, 0, 0, 0.0)
    if real is not None:
        x, y = pair(fake, real, ("fake", "real"))
        fake, usual = x, duplicate_rate(y, threshold)
    seen = duplicate_rate(fake, threshold)
    rate = seen.value - usual.value
    low = rate - math.hypot(seen.value - seen.low, usual.high - usual.value)
    high = max(rate, 0.0) + math.hypot(seen.high - seen.value, usual.value - usual.low)
    support = _inverse(rate)
    return Support(
        support=support,
        low=_inverse(min(high, 1.0)),
        high=_inverse(low),
        duplicates=seen.duplicates,
        pairs=seen.pairs,
        expected=usual.value * seen.pairs,
        heaviest=seen.heaviest,
        batch=birthday_batch(support),
    )


def birthday_batch(support: float, chance: float = 0.5) -> float:
    """Draws from `support` equally likely samples among which two agree with the given chance.

    Args:
        support: at least 1; inf gives inf.
        chance: between 0 and 1.

    Returns:
        s with 1 - exp(-s (s - 1) / 2 support) = chance; 1.18 sqrt(support) for one half.

    >>> birthday_batch(365)                                                # the birthdays of 23 people
    23.0
    """
    return (1 + math.sqrt(1 - 8 * support * math.log1p(-chance))) / 2


def collision_chance(draws: float, support: float) -> float:
    """Chance that two of some draws agree, when `support` samples are equally likely: 1 - exp(-s (s - 1) / 2N).

    >>> collision_chance(23, 365)                                                      # 1 - exp(-506 / 730)
    0.5000
    """
    return -math.expm1(-draws * (draws - 1) / (2 * support))


def _rows(x: Rows, name: str) -> Tensor:
    """The rows where float64 exists: Apple's devices have none."""
    found = rows(x, name)
    return found.cpu() if found.device.type == "mps" else found


def _blocks(x: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """All pairs of rows of x (N, D) once: first rows i, j and the squared distances (n, m) float64 of each block.

    Entries on and below the diagonal are inf. Rows are centred, which leaves their distances and saves digits.
    """
    mean = x.mean(0, dtype=torch.float64)
    for i in range(0, len(x), BLOCK):
        a = x[i : i + BLOCK] - mean
        for j in range(i, len(x), BLOCK):
            b = a if i == j else x[j : j + BLOCK] - mean
            norms = a.square().sum(1)[:, None] + b.square().sum(1)
            squares = torch.addmm(norms, a, b.T, alpha=-2).clamp_min_(0)
            if i == j:
                squares.masked_fill_(torch.ones_like(squares, dtype=torch.bool).tril_(), math.inf)
            yield i, j, squares


def _poisson(count: int, factor: float) -> tuple[float, float]:
    """95 % interval of the mean of a count whose variance is `factor` times its mean.

    >>> _poisson(10, 1.0)                                                    # Garwood 1936
    (4.795, 18.39)
    """
    if count == 0:
        return 0.0, UNSEEN
    n = count / factor
    return factor * float(gammaincinv(n, 0.025)), factor * float(gammaincinv(n + 1, 0.975))


def _inverse(rate: float) -> float:
    """Support that a rate of duplicates stands for; inf where the rate is not above 0."""
    return 1 / rate if rate > 0 else math.inf


def _all_pairs(n: int) -> int:
    return n * (n - 1) // 2
