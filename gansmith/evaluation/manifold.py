"""Measures on nearest neighbours: precision, recall, density, coverage, realism, and the 1-NN two-sample test.

Each set is replaced by balls around its samples that reach to the k-th nearest other sample. Precision is the share of
fakes inside a ball of the reals (is it realistic?), recall the share of reals inside a ball of the fakes (is it
diverse?); density and coverage are the same questions asked so that an outlier's huge ball counts little.

All four come from one pass over the distances between real and fake: from each block of bounds only the pairs that may
lie in a ball are kept, and where rounding could decide, they are measured directly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, pair
from gansmith.evaluation.neighbours import Cloud, Pairs, check_k, pairs_within, search, spheres
from gansmith.evaluation.score import Estimate

SPLITS = 32
"""Random halvings behind a standard error: it is then known to about 1 part in 8."""


class PrecisionRecall(NamedTuple):
    """Two shares, 0 to 1; higher is better."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density, at least 0 and about 1 for perfect samples; coverage, 0 to 1, higher is better."""

    density: float
    coverage: float


class Manifold(NamedTuple):
    """Precision, recall and coverage, 0 to 1; density, at least 0 and about 1 for perfect samples."""

    precision: float
    recall: float
    density: float
    coverage: float


class ManifoldEstimates(NamedTuple):
    """As `Manifold`, each with its standard error."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


class TwoSample(NamedTuple):
    """Shares of all, of the real and of the fake samples whose nearest neighbour is of their own kind, 0 to 1."""

    accuracy: Estimate
    real: Estimate
    fake: Estimate


def precision_recall(real: Rows, fake: Rows, k: int = 3, *, block: int | None = None) -> PrecisionRecall:
    """Improved precision and recall: `manifold` gives density and coverage from the same pass.

    A sample on the rim of a ball (at exactly its radius) is inside, as in the paper; the package prdc leaves it out.

    Args:
        real: features (N, D).
        fake: features (M, D).
        k: the neighbour that a ball reaches to, 1 to N - 1 and to M - 1; the paper's is 3.
        block: as in `nearest`; the answer does not depend on it.

    Raises:
        GansmithError: not rows of finite numbers, unequal widths, too few samples for k.

    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 1 and 2.

    Real radii are 1, 1 and 2: the fake at 1 is inside, the one at 9 is not; the fakes' balls, of radius 8, hold all.

    >>> precision_recall([[0.0], [1.0], [3.0]], [[1.0], [9.0]], k=1)
    PrecisionRecall(precision=0.5, recall=1.0)
    """
    found = manifold(real, fake, k, block=block)
    return PrecisionRecall(found.precision, found.recall)


def density_coverage(real: Rows, fake: Rows, k: int = 5, *, block: int | None = None) -> DensityCoverage:
    """Density and coverage: `manifold` gives precision and recall from the same pass.

    Density is the mean number of real balls around a fake, over k; coverage is the share of reals whose ball holds a
    fake. A sample on the rim of a ball is outside, as in the paper's code.

    Args:
        real: features (N, D).
        fake: features (M, D).
        k: the neighbour that a ball reaches to, 1 to N - 1 and to M - 1; the paper's is 5.
        block: as in `nearest`; the answer does not depend on it.

    Raises:
        GansmithError: not rows of finite numbers, unequal widths, too few samples for k.

    Source: Naeem et al. 2020, arXiv:2002.09797, eq. 3 and 4.

    Real radii are 1, 1 and 2: the fake at 1 is in the middle ball and on the rim of the others.

    >>> density_coverage([[0.0], [1.0], [3.0]], [[1.0], [9.0]], k=1)
    DensityCoverage(density=0.5, coverage=0.333)
    """
    found = manifold(real, fake, k, block=block)
    return DensityCoverage(found.density, found.coverage)


def manifold(real: Rows, fake: Rows, k: int = 5, *, block: int | None = None) -> Manifold:
    """Precision, recall, density and coverage from one pass over the distances.

    Arguments, errors and sources as in `precision_recall` and `density_coverage`. Distances are compared as numbers of
    the features' type, correctly rounded. Memory holds blocks of the distances, never all of them.
    """
    return Manifold(*(estimate.value for estimate in _measure(real, fake, k, 0, 0, block)))


def manifold_estimates(
    real: Rows, fake: Rows, k: int = 5, *, seed: int = 0, block: int | None = None
) -> ManifoldEstimates:
    """Precision, recall, density and coverage, each with its standard error.

    The error is that of drawing both sets anew: the spread between halves of the sets, over 32 random halvings, brought
    from N / 2 to N samples by 1 / sqrt(2). A jackknife would do worse: leaving out one sample moves its neighbours'
    balls, and that interplay is counted twice (errors 1.6 to 2.3 times too large for 120 samples in 3 dimensions); the
    spread over samples alone forgets that the balls are drawn too (0.5 to 1 times).

    The error of a share is at least 1.5 / N: "all N of them" gets an interval of 3 / N below it (rule of three).
    The interval is about the expected value at these sizes and this k: at other sizes it is another.

    Args:
        real: features (N, D).
        fake: features (M, D).
        k: the neighbour that a ball reaches to, 1 to N / 2 - 1 and to M / 2 - 1.
        seed: of the halvings: it moves the errors, not the values.
        block: as in `nearest`; the answer does not depend on it.

    Raises:
        GansmithError: not rows of finite numbers, unequal widths, too few samples for k in half of a set.

    Source: as in `precision_recall` and `density_coverage`.
    """
    return _measure(real, fake, k, SPLITS, seed, block)


def realism(real: Rows, fake: Rows, k: int = 3, *, block: int | None = None) -> Tensor:
    """How deep each fake lies in the manifold of the reals: the largest radius / distance over the reals' balls.

    Only the half of the balls with the smaller radii count (radius at most the median): an outlier's ball says nothing.

    Args:
        real: features (N, D).
        fake: features (M, D).
        k: the neighbour that a ball reaches to, 1 to N - 1.
        block: as in `nearest`; the answer does not depend on it.

    Returns:
        (M,), above 0, in the features' type; at least 1 inside such a ball, larger is better, infinite at its centre.

    Raises:
        GansmithError: not rows of finite numbers, unequal widths, too few samples for k, or at least half of the reals
            with k duplicates, whose balls are points.

    Source: Kynkäänniemi et al. 2019, arXiv:1904.06991, eq. 3.

    Real radii are 1, 1 and 8, the last does not count.

    >>> realism([[0.0], [1.0], [9.0]], [[1.5], [5.0]], k=1)
    tensor([2.0000, 0.2500], dtype=torch.float64)
    """
    x, y = pair(real, fake, ("real", "fake"), least=1)
    check_k(k, len(x), "real", True)
    reals = Cloud.of(x)
    radius = spheres(reals, k, block=block)[0]
    kept = ((radius <= radius.median()) & (radius > 0)).nonzero()[:, 0]
    if not len(kept):
        raise GansmithError(
            f"Half of the real samples have {k} or more exact duplicates: drop these, or give a larger k."
        )
    radius = radius[kept]
    least = radius.min()
    found = search(reals.like(y), reals.only(kept), 1, weight=least / radius, block=block)
    return (least / found.distances[:, 0]).to(x.dtype)


def two_sample_accuracy(real: Rows, fake: Rows, *, seed: int = 0, block: int | None = None) -> TwoSample:
    """How well the nearest neighbour tells real from fake: leave-one-out 1-NN over both sets together.

    About 0.5 when nothing tells them apart, near 1 when everything does, below 0.5 when fakes sit on top of reals
    (copies: 0). The two parts say more: collapsed fakes are recognised (fake near 1) while reals are not.

    Args:
        real: features (N, D).
        fake: features (M, D). The larger set is cut to the size of the smaller, by lot.
        seed: of the cut, of ties between equal distances, and of the halvings behind the errors.
        block: as in `nearest`.

    Returns:
        Shares with standard errors, of drawing both sets anew, made as those of `manifold_estimates`.

    Raises:
        GansmithError: not rows of finite numbers, unequal widths, fewer than 2 samples of each.

    Source: Lopez-Paz and Oquab 2017, arXiv:1610.06545; Xu et al. 2018, arXiv:1806.07755.

    >>> two_sample_accuracy([[0.0], [1.0]], [[8.0], [9.0]]).accuracy.value
    1.0
    """
    x, y = pair(real, fake, ("real", "fake"))
    n = min(len(x), len(y))
    draw = torch.Generator().manual_seed(seed)
    taken = torch.cat([torch.randperm(len(x), generator=draw)[:n], len(x) + torch.randperm(len(y), generator=draw)[:n]])
    order = torch.randperm(2 * n, generator=draw)
    pool = Cloud.of(torch.cat([x, y])[taken[order].to(x.device)])
    halves = torch.cat([_halves(n, SPLITS, draw), _halves(n, SPLITS, draw)], 1)[:, order].to(x.device)
    fake_row = (order >= n).to(x.device)
    near = spheres(pool, 1, 11, block)[1].indices
    right = fake_row[near] == fake_row[:, None]  # (2n, 12), for each of the nearest
    within = [right.gather(1, _first(half[near] == half[:, None], 1))[:, 0] for half in halves]

    def estimate(of: Tensor) -> Estimate:
        return _share(right[of, 0], torch.stack(within)[:, of], halves[:, of])

    return TwoSample(estimate(fake_row | ~fake_row), estimate(~fake_row), estimate(fake_row))


# ---- balls, the pairs near them, and their counts


def _measure(real: Rows, fake: Rows, k: int, splits: int, seed: int, block: int | None) -> ManifoldEstimates:
    """The four values and, with splits, their errors (NaN or the least possible without)."""
    x, y = pair(real, fake, ("real", "fake"))
    for z, name in ((x, "real"), (y, "fake")):
        check_k(k, len(z), name, True)
    if splits and k >= min(len(x), len(y)) // 2:
        raise GansmithError(
            f"real has {len(x)} and fake {len(y)} samples: standard errors at k = {k} need {2 * k + 2} of each."
            " Give more samples or a smaller k, or take manifold(), which gives the values alone."
        )
    draw = torch.Generator().manual_seed(seed)
    half_x, half_y = (_halves(len(z), splits, draw).to(z.device) for z in (x, y))
    reals = Cloud.of(x)
    balls_x, balls_y = _Balls.around(reals, k, half_x, block), _Balls.around(Cloud.of(y), k, half_y, block)
    of_x, of_y = _Counts(balls_x, half_y), _Counts(balls_y, half_x)
    radius, reach = (balls_x.radius, balls_y.radius), (balls_x.reach(), balls_y.reach())
    for pairs_x, pairs_y in pairs_within(reals, reals.like(y), radius, reach, block):
        of_x.add(pairs_x)
        of_y.add(pairs_y)
    density = _mean(of_x.around_points.double(), of_x.split_points.double(), half_y)
    return ManifoldEstimates(
        _share(of_x.points > 0, of_x.split_points > 0, half_y),
        _share(of_y.points > 0, of_y.split_points > 0, half_x),
        Estimate(density.value / k, density.error / k),
        _share(of_x.inside_balls > 0, of_x.split_balls > 0, half_x),
    )


def _halves(n: int, splits: int, draw: torch.Generator) -> Tensor:
    """Random halves (splits, n) bool, n // 2 of each row True."""
    return torch.rand(splits, n, generator=draw).argsort(1) < n // 2


def _first(chosen: Tensor, k: int) -> Tensor:
    """Column (N, 1) of the k-th True in each row of (N, K); the last column where there are fewer.

    >>> _first(torch.tensor([[False, True, True], [False, True, False]]), 2)[:, 0]
    tensor([2, 2])
    """
    return (chosen.cumsum(1) < k).sum(1, keepdim=True).clamp_max(chosen.shape[1] - 1)


class _Balls(NamedTuple):
    """Balls around samples: radius (N,) in the features' type, to the k-th nearest other sample.

    half: (splits, N) the half that each sample is in; squares: (splits, N) float64, the squared radius in that half.
    """

    radius: Tensor
    half: Tensor
    squares: Tensor

    @classmethod
    def around(cls, cloud: Cloud, k: int, half: Tensor, block: int | None) -> _Balls:
        """half: (splits, N). With splits, more neighbours are looked up, so that every half holds k of them."""
        radius, found = spheres(cloud, k, 2 * k + 12 if len(half) else 0, block)
        squares = torch.zeros_like(half, dtype=torch.float64)
        for split, side in enumerate(half):
            kth = _first(side[found.indices] == side[:, None], k)
            squares[split] = found.distances.gather(1, kth)[:, 0].square()
        return cls(radius.to(cloud.points.dtype), half, squares)

    def reach(self) -> Tensor:
        """The largest of each ball's squared radii, (N,) float64."""
        return torch.cat([self.radius[None].double().square(), self.squares]).amax(0)


class _Counts:
    """How many balls hold each point, and how many points lie in each ball.

    points: (M,) balls within whose radius a point lies; around_points: (M,) the same without the rim;
    inside_balls: (N,) points in a ball, without the rim; split_points (splits, M) and split_balls (splits, N): the same
    when only samples of the same half meet, where the rim is left to rounding.
    """

    def __init__(self, balls: _Balls, half: Tensor) -> None:
        """half: (splits, M) of the points."""
        self.balls, self.half = balls, half
        self.split_points = torch.zeros_like(half, dtype=torch.int32)
        self.split_balls = torch.zeros_like(balls.half, dtype=torch.int32)
        self.points = half.new_zeros(half.shape[1], dtype=torch.int32)
        self.around_points = self.points.clone()
        self.inside_balls = half.new_zeros(len(balls.radius), dtype=torch.int32)

    def add(self, pairs: Pairs) -> None:
        _count(self.points, pairs.points[pairs.within])
        _count(self.around_points, pairs.points[pairs.inside])
        _count(self.inside_balls, pairs.balls[pairs.inside])
        for split, (side, squares) in enumerate(zip(self.balls.half, self.balls.squares, strict=True)):
            held = (pairs.square <= squares[pairs.balls]) & (side[pairs.balls] == self.half[split, pairs.points])
            _count(self.split_points[split], pairs.points[held])
            _count(self.split_balls[split], pairs.balls[held])


def _count(table: Tensor, place: Tensor) -> None:
    """Add 1 to a place of the table for each time that it is named."""
    table.index_add_(0, place, torch.ones_like(place, dtype=table.dtype))


def _share(found: Tensor, split: Tensor, half: Tensor) -> Estimate:
    """Share of samples with found (N,) bool. Shapes as in `_mean`."""
    value, error = _mean(found.double(), split.double(), half)
    return Estimate(value, max(error, 1.5 / len(found)))


def _mean(values: Tensor, split: Tensor, half: Tensor) -> Estimate:
    """Mean of values (N,) and its error from the values that each half alone gives, (splits, N); half (splits, N)."""
    one = (split * half).sum(1) / half.sum(1)
    other = (split * ~half).sum(1) / (~half).sum(1)
    return Estimate(float(values.mean()), float((one - other).square().mean().sqrt() / 2))
