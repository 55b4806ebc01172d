"""Exact nearest neighbours in blocks, in memory that does not grow with the product of the two sizes.

One matrix product a block gives |x|² + |y|² - 2xy, and from it a lower bound of every squared distance: what it says,
less the most that rounding can have added. The few pairs that decide are measured by their differences, in float64.
A query whose k-th measured distance is at most the smallest bound outside its candidates has missed nobody; any other
query (far clusters, many equal distances) is searched again with products in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral
from typing import NamedTuple

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, pair, rows

SPARE = 2
"""Candidates beyond k: with them the k-th neighbour is proved at once, unless distances agree to their last digits."""

NUMBERS = 2**17
"""Numbers held at once where points are measured directly, 8 bytes each: they stay in the processor's cache."""


class Neighbours(NamedTuple):
    """Distances (N, k) in the unit of the points, rising along each row, and the indices (N, k) of the keys."""

    distances: Tensor
    indices: Tensor


def nearest(queries: Rows, keys: Rows, k: int, exclude_self: bool = False, *, block: int | None = None) -> Neighbours:
    """The k keys nearest to each query, by Euclidean distance. Exact.

    Distances are those of the differences, correct to the last digit of the points' type: equal points have distance 0,
    whatever their mean. Which of several keys at the same distance is given is left open.

    Args:
        queries: (N, D).
        keys: (M, D).
        k: neighbours of each query, 1 to M; to M - 1 with `exclude_self`.
        exclude_self: the queries are the keys, and none is its own neighbour. Its duplicates are.
        block: queries, and keys, in one block; chosen by D when None. The answer does not depend on it.

    Returns:
        Distances (N, k) in the type of the points, indices (N, k) int64. Besides these and the two sets, memory holds
        some blocks: block x block and block x D.

    Raises:
        GansmithError: not rows of finite numbers, unequal widths, too few keys for k, numbers whose squares overflow,
            or `exclude_self` with two different sets.

    >>> nearest([[0.0], [5.5]], [[1.0], [3.0], [9.0]], k=2)
    Neighbours(distances=tensor([[1.0, 3.0], [2.5, 3.5]], dtype=torch.float64), indices=tensor([[0, 1], [1, 2]]))
    """
    x, y = pair(queries, keys, ("queries", "keys"), least=1)
    if exclude_self and not torch.equal(x, y):
        raise GansmithError("exclude_self is for queries that are the keys themselves: these are two different sets.")
    check_k(k, len(y), "keys", exclude_self)
    cloud = Cloud.of(y)
    found = others(cloud, k, block) if exclude_self else search(cloud.like(x), cloud, k, block=block)
    return Neighbours(found.distances.to(y.dtype), found.indices)


def radii(x: Rows, k: int, *, block: int | None = None) -> Tensor:
    """Distance of each point to the k-th nearest other point, (N,). Duplicates count as other points.

    Args:
        x: (N, D).
        k: 1 to N - 1.
        block: as in `nearest`.

    Raises:
        GansmithError: as `nearest`.

    >>> radii([[0.0], [1.0], [3.0], [7.0]], k=2)
    tensor([3., 2., 3., 6.], dtype=torch.float64)
    """
    points = rows(x, "x")
    check_k(k, len(points), "x", True)
    return spheres(Cloud.of(points), k, block=block)[0].to(points.dtype)


def check_k(k: int, n: int, name: str, others: bool) -> None:
    """Raises GansmithError unless each of the samples has k neighbours.

    Args:
        n: samples of the set `name`.
        others: a sample is not its own neighbour, so that n - 1 are left.
    """
    if not isinstance(k, Integral) or k < 1:
        raise GansmithError(f"k is {k!r}: give a whole number of neighbours, at least 1.")
    if k > n - others:
        raise GansmithError(
            f"{name} has {n} sample{'s' * (n != 1)}, but k = {k} neighbours need at least {k + others}: "
            "give more samples or a smaller k."
        )


# ---- bounds, shared with what else compares distances


class Cloud(NamedTuple):
    """Points (N, D), the centre (D,) that products are taken about, and squared distances to it, (N,) float64."""

    points: Tensor
    centre: Tensor | None
    norms: Tensor

    @classmethod
    def of(cls, points: Tensor) -> Cloud:
        """Points about their mean where that is far from 0 beside their spread, else about 0, which costs no copies.

        Raises:
            GansmithError: squares overflow.
        """
        norms = _norms(points, None)
        total = sum((part.double().sum(0) for part in _chunks(points)), points.new_zeros((), dtype=torch.float64))
        mean = total / len(points)
        if mean.square().sum() < 0.9 * norms.mean():
            return cls(points, None, norms)
        centre = mean.to(points.dtype)
        return cls(points, centre, _norms(points, centre))

    def like(self, points: Tensor) -> Cloud:
        """Other points about the same centre."""
        return Cloud(points, self.centre, _norms(points, self.centre))

    def only(self, chosen: Tensor) -> Cloud:
        """Some of the points, by their indices."""
        return Cloud(self.points[chosen], self.centre, self.norms[chosen])

    def part(self, at: slice, kind: torch.dtype) -> Tensor:
        """One block of points (n, D), as seen from the centre."""
        if self.centre is None:
            return self.points[at].to(kind)
        return (self.points[at].to(torch.promote_types(kind, self.points.dtype)) - self.centre).to(kind)


def _norms(points: Tensor, centre: Tensor | None) -> Tensor:
    """Squared distances (N,) float64 to the centre, or to 0."""
    wide = (part.double() if centre is None else part.double() - centre for part in _chunks(points))
    norms = torch.cat([part.square().sum(1) for part in wide])
    if not (norms < 1e300).all():
        raise GansmithError("The numbers are so large that their squares overflow: divide all by one constant.")
    return norms


def _chunks(points: Tensor) -> tuple[Tensor, ...]:
    """Views of some rows each, of NUMBERS numbers in all."""
    return torch.split(points, max(1, NUMBERS // points.shape[1]))


def slack(kind: torch.dtype, width: int) -> float:
    """The error of |x|² + |y|² - 2xy of rounded products, as a share of |x|² + |y|².

    Rounding errors of a sum of D products grow as sqrt(D); their worst case, D, takes errors that all agree in sign.
    """
    return torch.finfo(kind).eps * (8 + 2 * math.sqrt(width))


def product_type(x: Cloud, y: Cloud) -> torch.dtype:
    """float32 where squares neither overflow nor vanish and torch may not round products further, else float64."""
    largest = float(torch.maximum(x.norms.max(), y.norms.max()))
    fits = 1e-20 < largest < 1e36 and torch.get_float32_matmul_precision() == "highest"
    return torch.float32 if fits else torch.float64


def bounds(
    x: Cloud, y: Cloud, kind: torch.dtype, block: int | None = None, half: bool = False
) -> Iterator[tuple[slice, slice, Tensor]]:
    """Lower bounds (n, m) of the squared distances, block by block, with the rows and columns that they are of.

    A true square lies between its bound and the bound plus 2 slack (|x|² + |y|²). Both clouds have one centre.

    Args:
        half: only the blocks on and above the diagonal, for a cloud against itself.
    """
    if block is not None and block < 1:
        raise GansmithError(f"block is {block}: give at least 1, or None.")
    width = x.points.shape[1]
    size = block or max(64, min(1000, 2**23 // width))  # rows of 1024 would fall on the same lines of the cache
    keep = 1 - slack(kind, width)
    for i in _slices(len(x.points), size):
        a, above = x.part(i, kind), (keep * x.norms[i]).to(kind)
        for j in _slices(len(y.points), size):
            if not half or j.start >= i.start:
                low = torch.addmm((keep * y.norms[j]).to(kind), a, y.part(j, kind).T, alpha=-2)
                yield i, j, low.add_(above[:, None])


def measured(x: Cloud, y: Cloud, i: Tensor, j: Tensor) -> Tensor:
    """Distances (P, m) float64 of the points i (P,) of x to the points j (P, m) of y, by their differences.

    Those of equal points are exactly 0.
    """
    size = max(1, NUMBERS // (x.points.shape[1] * j.shape[1]))
    parts = [
        (y.points[b].double() - x.points[a].double()[:, None]).square_().sum(2).sqrt_()
        for a, b in zip(torch.split(i, size), torch.split(j, size), strict=True)
    ]
    return torch.cat(parts)


# ---- the search


def others(x: Cloud, k: int, block: int | None = None) -> Neighbours:
    """The k nearest other points of each point, as `search`, with half of the products."""
    return search(x, x, k, torch.arange(len(x.points), device=x.points.device), block=block)


def spheres(x: Cloud, k: int, more: int = 0, block: int | None = None) -> tuple[Tensor, Neighbours]:
    """Distance of each point to its k-th nearest other point, and k + more neighbours, fewer where there are fewer.

    Returns:
        The exact distances (N,) float64, and neighbours whose distances, float64, are good to the rounding of products.
        One distance a point is measured, where the bounds leave no doubt which it is.
    """
    n = len(x.points)
    m = min(k + max(more, 1), n - 1)
    own, kind = torch.arange(n, device=x.points.device), product_type(x, x)
    lows, keys = _candidates(x, x, m, own, None, kind, block)
    error = slack(kind, x.points.shape[1]) * (x.norms[:, None] + x.norms[keys])
    squares = lows + error
    highs = squares + error
    clear = (highs[:, : k - 1] <= lows[:, k - 1 : k]).all(1) & (highs[:, k - 1 : k] <= lows[:, k:]).all(1)
    distances = squares.clamp_min_(0).sqrt_()
    left = (~clear).nonzero()[:, 0]
    for some in torch.split(left, block or 1024)[: len(left)]:  # none of none, where split gives one empty piece
        distances[some], keys[some] = search(x.only(some), x, m, own[some], block=block)
    exact = measured(x, x, own, keys[:, k - 1 : k])[:, 0]
    return exact, Neighbours(distances, keys)


def search(
    x: Cloud,
    y: Cloud,
    k: int,
    own: Tensor | None = None,
    weight: Tensor | None = None,
    block: int | None = None,
    kind: torch.dtype | None = None,
) -> Neighbours:
    """The k points of y nearest to each of x; distances float64.

    Args:
        own: (N,) the key that each query leaves out.
        weight: (M,) float64, above 0 and at most 1: distances to a key are multiplied by it. Not for x = y.
        kind: of the products; chosen when None.
    """
    kind = kind or product_type(x, y)
    available = len(y.points) - (own is not None)
    lows, keys = _candidates(x, y, min(k + SPARE, available), own, weight, kind, block)
    distances = measured(x, y, torch.arange(len(keys), device=keys.device), keys)
    if weight is not None:
        distances *= weight[keys]
    distances, order = distances.sort(dim=1, stable=True)
    distances, keys = distances[:, :k], keys.gather(1, order)[:, :k]
    if kind != torch.float64 and k + SPARE < available:
        unproved = (distances[:, -1].square() > lows[:, -1].clamp_min(0)).nonzero()[:, 0]
        for left in torch.split(unproved, block or 1024)[: len(unproved)]:  # none of none
            again = search(x.only(left), y, k, None if own is None else own[left], weight, block, torch.float64)
            distances[left], keys[left] = again
    return Neighbours(distances, keys)


def _candidates(
    x: Cloud, y: Cloud, m: int, own: Tensor | None, weight: Tensor | None, kind: torch.dtype, block: int | None
) -> tuple[Tensor, Tensor]:
    """The m smallest bounds (N, m) of each query, rising, and their keys (N, m)."""
    lows = torch.full((len(x.points), m), math.inf, dtype=kind, device=x.points.device)
    keys = torch.zeros_like(lows, dtype=torch.int64)

    def merge(at: slice, low: Tensor, first: int) -> None:
        near = low.topk(min(m, low.shape[1]), largest=False, sorted=False)
        lows[at], chosen = torch.cat([lows[at], near.values], 1).topk(m, largest=False)
        keys[at] = torch.cat([keys[at], near.indices + first], 1).gather(1, chosen)

    for i, j, low in bounds(x, y, kind, block, half=x is y):
        if own is not None:
            _leave_out(low, own[i] - j.start)
        if weight is not None:
            low *= weight[j].square().to(kind)
        merge(i, low, j.start)
        if x is y and i != j:
            merge(j, low.T.contiguous(), i.start)
    return lows, keys


def _leave_out(low: Tensor, column: Tensor) -> None:
    """Push one column of each row out of reach, where it lies in this block."""
    here = ((column >= 0) & (column < low.shape[1])).nonzero()[:, 0]
    low[here, column[here]] = math.inf


# ---- pairs within radii


class Pairs(NamedTuple):
    """Balls and points that may lie in them, as indices (P,); squared distance, float64; inside is <, within <=."""

    balls: Tensor
    points: Tensor
    square: Tensor
    inside: Tensor
    within: Tensor


def pairs_within(
    x: Cloud, y: Cloud, radius: tuple[Tensor, Tensor], reach: tuple[Tensor, Tensor], block: int | None = None
) -> Iterator[tuple[Pairs, Pairs]]:
    """Block by block, the pairs near balls around x (with points of y) and near balls around y (with points of x).

    Args:
        radius: of the balls around x (N,) and around y (M,), in the points' type: distances, rounded to that type, are
            compared with it. Where rounding of the bounds could decide, they are measured.
        reach: float64 squared distances (N,) and (M,), at least the squared radii, up to which pairs are wanted.
    """
    kind = _pass_type(x, y, radius)
    share = slack(kind, x.points.shape[1])
    margin = share + 4 * torch.finfo(x.points.dtype).eps
    reach_x, reach_y = ((1 + margin) * r for r in reach)
    near_x, near_y = reach_x.to(kind), reach_y.to(kind)
    for at, to, low in bounds(x, y, kind, block):
        i, j = ((low <= near_x[at, None]) | (low <= near_y[to])).nonzero(as_tuple=True)
        least = low[i, j].double()
        i, j = i + at.start, j + to.start
        error = share * (x.norms[i] + y.norms[j])
        in_x, in_y = least <= reach_x[i], least <= reach_y[j]
        yield (
            _judge(x, y, radius[0], i[in_x], j[in_x], least[in_x], error[in_x], margin),
            _judge(y, x, radius[1], j[in_y], i[in_y], least[in_y], error[in_y], margin),
        )


def _pass_type(x: Cloud, y: Cloud, radius: tuple[Tensor, Tensor]) -> torch.dtype:
    """float64 also where the balls are so small beside the whole that float32 would leave many pairs to be measured."""
    kind = product_type(x, y)
    error = slack(kind, x.points.shape[1]) * float(x.norms.median() + y.norms.median())
    small = min(float(r.double().square().median()) for r in radius)
    return kind if error < 0.01 * small else torch.float64


def _judge(
    centres: Cloud, points: Cloud, radius: Tensor, i: Tensor, j: Tensor, least: Tensor, error: Tensor, margin: float
) -> Pairs:
    """Which points j are in the balls i: by the bounds of the square, least and least + 2 error, or measured."""
    radius = radius[i]
    limit, square = radius.double().square(), least + error
    inside = square + error < limit * (1 - margin)
    within = inside.clone()
    unsure = (~inside & (least <= limit * (1 + margin))).nonzero()[:, 0]
    exact = measured(centres, points, i[unsure], j[unsure, None])[:, 0]
    square[unsure] = exact.square()
    inside[unsure] = exact.to(radius.dtype) < radius[unsure]
    within[unsure] = exact.to(radius.dtype) <= radius[unsure]
    return Pairs(i, j, square, inside, within)


def _slices(n: int, size: int) -> list[slice]:
    """0 to n in pieces.

    >>> _slices(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
