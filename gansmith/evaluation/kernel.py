"""Kernel distances: squared maximum mean discrepancies (MMD^2) between two sets of features, exact and in blocks.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y) is 0 for equal laws. All pairs of rows are used, in time O(N^2 D) and
memory O(block^2 + block D + N). Products are taken in float64, whatever the features are: where two laws nearly agree,
or where features lie far from the origin, the three means share their leading digits and float32 loses the rest: up to
6e-3 of the value was measured for equal laws at N = 1000, D = 2048.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, pair
from gansmith.evaluation.score import Z95, Interval

BLOCK = 1024
"""Rows of one block: 8 MB of kernel values, and 16 MB for each side of 2,048 columns."""

CMMD_SCALE = 1000.0
"""By which CMMD is multiplied before it is printed."""

Vary = Literal["both", "a", "b"]
Kernel = Callable[[Tensor, Tensor], Tensor]
"""Rows (n, D) and (m, D) in float64 to kernel values (n, m), less a constant that MMD^2 does not see."""


class KernelEstimate(NamedTuple):
    """A value, its standard error, and its 95 % interval, which is longer upwards near 0."""

    value: float
    error: float
    interval: Interval


class SubsetScore(NamedTuple):
    """Mean and standard deviation (divisor: the count) over subsets."""

    mean: float
    std: float


class _Gram(NamedTuple):
    """Sums of a kernel matrix; of one set with itself, they leave the diagonal out and rows are columns."""

    rows: Tensor  # (n,) float64
    columns: Tensor  # (m,)
    squares: Tensor  # scalar
    trace: Tensor  # scalar: the diagonal that was left out


def kernel_distance(a: Rows, b: Rows, *, block: int = BLOCK) -> float:
    """KID over the full sets: the unbiased MMD^2 with the kernel k(x, y) = (x.y / D + 1)^3.

    Args:
        a, b: features (N, D) and (M, D), at least 2 rows each. Their order does not matter.
        block: rows taken at once; it changes memory and speed, not the value.

    Returns:
        In units of the kernel; 0 for equal laws on average at every N, so single values may be negative. Often
        printed times 1000.

    Raises:
        GansmithError: too few rows, unequal columns, a value that is not finite, or a block below 1.

    Source: Binkowski et al. 2018, arXiv:1801.01401, eq. 4 (the estimator) and section 4 (the kernel).

    >>> kernel_distance(np.zeros((2, 1)), np.ones((3, 1)))             # 1 + 2^3 - 2 * 1
    7.0
    """
    x, y = _sets(a, b, 2)
    return _unbiased(*_grams(x, y, _cubic(x, y), block))


def kernel_estimate(a: Rows, b: Rows, *, vary: Vary = "both", block: int = BLOCK) -> KernelEstimate:
    """`kernel_distance` with its standard error and 95 % interval, all from one pass.

    The variance has a part of first order (each sample's own pull, O(1/N)) and one of second order (pairs, O(1/N^2)),
    which is all that is left when the laws are equal. The delete-one jackknife counts the second part twice (Efron and
    Stein 1981), so that part is estimated without bias from U-centred kernel values (Szekely and Rizzo 2014,
    arXiv:1310.2926) and taken off once; the error is never less than it. Sutherland and Deka 2019, arXiv:1906.02104,
    estimate the same variance.

    value +- 1.96 errors would hold too much near 0, where the law of the value is skewed. The interval therefore has
    the distances that the value does not contradict, each with the variance that it would bring itself (a score
    interval, Wilson 1927): the part of second order, and one of first order that grows in proportion to the distance.
    It holds the mean of equal laws, and that of laws far apart, about 95 times in 100. Between the two (a mean of 1 to
    10 errors) it is 88 to 97 times, and about 80 where one direction has most of the spread beside very many weak ones.

    Args:
        a, b: features (N, D) and (M, D), at least 4 rows each.
        vary: which sets would be drawn anew in another measurement. With "a", b is a fixed reference: the interval is
            for the mean over draws of a against this very b, which is not 0 even when the laws are equal.
        block: as in `kernel_distance`.

    Returns:
        Value, error and interval in units of the kernel.

    Raises:
        GansmithError: as `kernel_distance`, or an unknown `vary`.

    >>> kernel_estimate(np.zeros((4, 1)), np.ones((4, 1)))             # no spread, no doubt
    KernelEstimate(value=7.0, error=0.0, interval=Interval(low=7.0, high=7.0))
    """
    x, y = _sets(a, b, 4, vary)
    return _estimate(*_grams(x, y, _cubic(x, y), block), vary)


def kernel_distance_subsets(a: Rows, b: Rows, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> SubsetScore:
    """KID as it is commonly reported: the mean of `kernel_distance` over random subsets of equal size.

    The mean estimates what `kernel_distance` gives, with noise of its own. The subsets overlap, so std / sqrt(subsets)
    is not the error of the mean: that is in `kernel_estimate`.

    Args:
        a, b: features (N, D) and (M, D), at least `size` rows each.
        subsets, size: how many, of how many rows; 100 of 1000 is torch-fidelity's protocol.
        seed: of `draw_subsets`.

    Returns:
        Mean and standard deviation over the subsets, in units of the kernel.

    Raises:
        GansmithError: as `kernel_distance`, or subsets larger than a set.

    Source: Binkowski et al. 2018, arXiv:1801.01401, section 4.

    >>> kernel_distance_subsets(np.zeros((5, 1)), np.ones((5, 1)), subsets=3, size=2)
    SubsetScore(mean=7.0, std=0.0)
    """
    x, y = _sets(a, b, 2)
    kernel = _cubic(x, y)
    drawn = draw_subsets(len(x), len(y), subsets=subsets, size=size, seed=seed)
    values = [_unbiased(*_grams(x[i.to(x.device)], y[j.to(y.device)], kernel, BLOCK)) for i, j in drawn]
    return SubsetScore(float(np.mean(values)), float(np.std(values)))


def draw_subsets(n: int, m: int, *, subsets: int = 100, size: int = 1000, seed: int = 0) -> list[tuple[Tensor, Tensor]]:
    """The row numbers of `kernel_distance_subsets`: within a subset none comes twice, and subsets are independent.

    Args:
        n, m: rows of the two sets.
        subsets, size: how many pairs, of how many rows each.
        seed: the same seed draws the same subsets.

    Returns:
        Pairs of row numbers (size,), int64: for the first and for the second set.

    Raises:
        GansmithError: no subsets, fewer than 2 rows, or more than a set has.

    >>> [len(set(i.tolist())) for i in draw_subsets(5, 9, subsets=1, size=5)[0]]
    [5, 5]
    """
    if subsets < 1 or size < 2:
        raise GansmithError(f"There are no {subsets} subsets of {size} samples: ask for at least 1 of at least 2.")
    if size > min(n, m):
        raise GansmithError(f"Subsets of {size} samples cannot be drawn from {n} and {m}: ask for smaller subsets.")
    generator = torch.Generator().manual_seed(seed)

    def some(of: int) -> Tensor:
        return torch.randperm(of, generator=generator)[:size]

    return [(some(n), some(m)) for _ in range(subsets)]


def gaussian_mmd(a: Rows, b: Rows, *, sigma: float = 10.0, block: int = BLOCK) -> float:
    """CMMD's measure on any features: 1000 times the biased MMD^2 with a Gaussian kernel between rows of length 1.

    k(x, y) = exp(-|x/|x| - y/|y||^2 / (2 sigma^2)). It is CMMD when the features are CLIP's, and only then.
    As in the authors' code, each row is scaled to length 1 and the means include the diagonals (the V-statistic),
    which adds (1 - E k(x, x')) / N and the like: compare it at equal N only.

    Args:
        a, b: features (N, D) and (M, D), at least 2 rows each; no row may be all zero.
        sigma: width of the kernel, in lengths of a row: 10 is far more than any distance there, at most 2.
        block: as in `kernel_distance`.

    Returns:
        0 for equal sets, at most 4000, never negative but for rounding.

    Raises:
        GansmithError: as `kernel_distance`, a row of zeros, or a width that is not positive.

    Source: Jayasumana et al. 2024, arXiv:2401.09603, eq. 3 and 4; Gretton et al. 2012, eq. 5 (the V-statistic).

    >>> gaussian_mmd([[2.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 3.0]])    # 1000 * (1 + 1 - 2 exp(-2 / 200))
    19.9003
    """
    x, y = _sets(a, b, 2)
    return CMMD_SCALE * _biased(*_grams(x, y, _gaussian(x, y, sigma), block))


def gaussian_estimate(
    a: Rows, b: Rows, *, sigma: float = 10.0, vary: Vary = "both", block: int = BLOCK
) -> KernelEstimate:
    """`gaussian_mmd` with its standard error and 95 % interval.

    They are those of the unbiased MMD^2 (see `kernel_estimate`), moved by the bias: the interval is for the mean of
    `gaussian_mmd` at these N and M, which is above 0 for equal laws.

    Args:
        a, b: as in `gaussian_mmd`, at least 4 rows each.
        sigma: as in `gaussian_mmd`.
        vary, block: as in `kernel_estimate`.

    Raises:
        GansmithError: as `gaussian_mmd`, or an unknown `vary`.

    >>> a, b = np.eye(4)[:, :2] + 1, np.ones((4, 2))
    >>> gaussian_estimate(a, b).value == gaussian_mmd(a, b)
    True
    """
    x, y = _sets(a, b, 4, vary)
    grams = _grams(x, y, _gaussian(x, y, sigma), block)
    found, value = _estimate(*grams, vary), _biased(*grams)
    low, high = (CMMD_SCALE * (end + value - found.value) for end in found.interval)
    return KernelEstimate(CMMD_SCALE * value, CMMD_SCALE * found.error, Interval(low, high))


def _sets(a: Rows, b: Rows, least: int, vary: Vary = "both") -> tuple[Tensor, Tensor]:
    """Checked; on the CPU where the device has no float64."""
    if vary not in ("both", "a", "b"):
        raise GansmithError(f'vary is {vary!r}: choose "both", "a" or "b".')
    x, y = pair(a, b, least=least)
    return (x.cpu(), y.cpu()) if x.device.type == "mps" else (x, y)


def _cubic(a: Tensor, b: Tensor) -> Kernel:
    """(x.y / D + 1)^3 less its value at the two means, so that sums of squares keep their digits."""
    columns = a.shape[1]
    at_means = float(a.mean(0, dtype=torch.float64) @ b.mean(0, dtype=torch.float64)) / columns + 1
    one = torch.ones((), dtype=torch.float64, device=a.device)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return torch.addmm(one, x, y.T, alpha=1 / columns).pow_(3).sub_(at_means**3)

    return kernel


def _gaussian(a: Tensor, b: Tensor, sigma: float) -> Kernel:
    """exp(-|u - v|^2 / (2 sigma^2)) - 1 of the directions u and v, where |u - v|^2 = 2 - 2 u.v."""
    if not (sigma > 0 and math.isfinite(sigma)):
        raise GansmithError(f"sigma is {sigma}: the width of the kernel must be a positive number.")
    for name, rows in (("a", a), ("b", b)):
        if not rows.any(1).all():
            bad = int((~rows.any(1)).nonzero()[0])
            raise GansmithError(f"{name} has only zeros in row {bad}, which has no direction: leave it out.")
    sharpness = sigma**-2
    least = torch.full((), -sharpness, dtype=torch.float64, device=a.device)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        u, v = (rows / rows.norm(dim=1, keepdim=True) for rows in (x, y))
        return torch.addmm(least, u, v.T, alpha=sharpness).expm1_()

    return kernel


def _grams(a: Tensor, b: Tensor, kernel: Kernel, block: int) -> tuple[_Gram, _Gram, _Gram]:
    """a with itself, a with b, b with itself."""
    if block < 1:
        raise GansmithError(f"block is {block}: take at least 1 row at once.")
    return _gram(a, None, kernel, block), _gram(a, b, kernel, block), _gram(b, None, kernel, block)


def _gram(x: Tensor, other: Tensor | None, kernel: Kernel, block: int) -> _Gram:
    """Sums over all pairs of two sets, or of one with itself: there blocks below the diagonal repeat those above."""
    same, y = other is None, x if other is None else other
    rows = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    columns = rows if same else rows.new_zeros(len(y))
    squares, trace = rows.new_zeros(()), rows.new_zeros(())
    for i in range(0, len(x), block):
        left = x[i : i + block].double()
        for j in range(i if same else 0, len(y), block):
            values = kernel(left, y[j : j + block].double())
            if same and i == j:
                trace += values.trace()
                values.fill_diagonal_(0)
            rows[i : i + block] += values.sum(1)
            if not same or i != j:
                columns[j : j + block] += values.sum(0)
            flat = values.flatten()
            squares += (1 + (same and i != j)) * flat.dot(flat)
    return _Gram(rows, columns, squares, trace)


def _within(gram: _Gram) -> float:
    """Mean kernel value of two different rows of one set."""
    n = len(gram.rows)
    return float(gram.rows.sum()) / (n * (n - 1))


def _excess(gram: _Gram) -> float:
    """What the mean over all pairs of one set, each row with itself included, has over the mean without those."""
    n = len(gram.rows)
    return (float(gram.trace) / n - _within(gram)) / n


def _unbiased(aa: _Gram, ab: _Gram, bb: _Gram) -> float:
    """MMD^2, the U-statistic."""
    return _within(aa) + _within(bb) - 2 * float(ab.rows.mean()) / len(ab.columns)


def _biased(aa: _Gram, ab: _Gram, bb: _Gram) -> float:
    """MMD^2, the V-statistic: the squared distance of the two mean embeddings."""
    return _unbiased(aa, ab, bb) + _excess(aa) + _excess(bb)


def _estimate(aa: _Gram, ab: _Gram, bb: _Gram, vary: Vary) -> KernelEstimate:
    """Value, error and interval; see `kernel_estimate`."""
    n, m = len(ab.rows), len(ab.columns)
    value = _unbiased(aa, ab, bb)
    second = 4 * _pairs_across(ab) / (n * m) if vary == "both" else 0.0
    jackknife, moving, fixed = 0.0, 0.0, 0.0
    for side, gram, other in (("a", aa, ab.rows / m), ("b", bb, ab.columns / n)):
        size = len(other)
        if vary in ("both", side):
            second += 2 * _pairs_within(gram) / (size * (size - 1))
            jackknife += 4 * float((gram.rows / (size - 2) - other).var()) / size
            moving += _excess(gram)
        else:
            fixed += _excess(gram)
    distance = value + fixed
    slope = _slope(distance, distance + moving, jackknife, second)
    low, high = _score_interval(distance, second, slope)
    error = math.sqrt(max(second, jackknife - second))
    return KernelEstimate(value, error, Interval(low - fixed, high - fixed))


def _slope(distance: float, biased: float, jackknife: float, second: float) -> float:
    """Variance of first order for each unit of squared distance: a mean of covariance eigenvalues, over the rows.

    Two estimates, the larger of which is taken. With the noise left in both numbers it exists at any distance, and is
    right where all directions have the same spread; with the noise taken out it needs a distance above the noise. It
    is at most the largest eigenvalue, and that at most the root of the sum of their squares, which `second` holds.
    """
    with_noise = jackknife / biased if biased > 0 else 0.0
    first = max(0.0, jackknife - 2 * second)
    most = math.sqrt(8 * second)
    return max(with_noise, min(first / distance, most)) if distance > 0 else with_noise


def _score_interval(distance: float, second: float, slope: float) -> Interval:
    """All t with |distance - t| <= 1.96 sqrt(second + slope max(t, 0))."""
    reach = Z95 * math.sqrt(second)
    middle = distance + Z95**2 * slope / 2
    spread = Z95 * math.sqrt(max(0.0, second + slope * distance + (Z95 * slope / 2) ** 2))
    low = distance - reach if distance <= reach else middle - spread
    return Interval(low, max(distance + reach, middle + spread))


def _pairs_within(gram: _Gram) -> float:
    """E h(x, x')^2 without bias, h being the kernel less what either row alone explains: U-centred values."""
    n, total = len(gram.rows), gram.rows.sum()
    left = gram.squares - 2 * gram.rows.square().sum() / (n - 2) + total**2 / ((n - 1) * (n - 2))
    return max(0.0, float(left)) / (n * (n - 3))


def _pairs_across(gram: _Gram) -> float:
    """E h(x, y)^2 without bias: the interaction in a table of two ways."""
    n, m, total = len(gram.rows), len(gram.columns), gram.rows.sum()
    left = gram.squares - gram.rows.square().sum() / m - gram.columns.square().sum() / n + total**2 / (n * m)
    return max(0.0, float(left)) / ((n - 1) * (m - 1))
