"""Fréchet distance (FD) between two sets of features, its error and bias at this N, and its limit for many samples.

FD is the squared 2-Wasserstein distance between the two Gaussians with the sets' means and covariances. On features of
the Inception network of 2015 it is FID; on any other features it is FD of those, and the numbers are not comparable.

With roots F of the covariances, S = F F^T, the trace of (S1 S2)^(1/2) is the sum of the singular values of F1^T F2. So
everything stays real and symmetric, and singular covariances need no care: no square root of a matrix is ever formed.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.evaluation.inputs import Rows, pair
from gansmith.evaluation.moments import Law, Moments, gram, law_of_features, law_of_moments
from gansmith.evaluation.score import Estimate

Vary = Literal["both", "a", "b"]
"""Which of the two sets would be drawn anew; the other is taken as all there is."""

STEP = 0.5
"""Of the trapezoidal rule in `_lost`: its error falls as exp(-pi^2 / STEP)."""

NOISE = 16 * torch.finfo(torch.float64).eps
"""Rounding of squared singular values, of the largest."""


class Jackknife(NamedTuple):
    """FD of two sets, its standard error at this N, and by how much few samples raise it; feature unit squared."""

    value: float
    error: float
    bias: float


def frechet_distance(a: Rows, b: Rows) -> float:
    """FD = |m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), with unbiased covariances, in float64.

    Args:
        a: features (N, D), N at least 2; N <= D is possible, see `warnings_for`.
        b: features (M, D), M at least 2.

    Returns:
        At least 0; unit: feature unit squared. 0 when both sets have the same mean and covariance.

    Raises:
        GansmithError: bad or unlike features, see `inputs.pair`.

    Source: Heusel et al. 2017, arXiv:1706.08500, eq. 6; Dowson & Landau 1982, J. Multivariate Analysis 12.

    >>> frechet_distance([[-1.0], [1.0]], [[1.0], [5.0]])          # 3^2 + (sqrt(8) - sqrt(2))^2
    11.0
    """
    x, y = pair(a, b)
    return _distance(law_of_features(x), law_of_features(y))


def frechet_from_moments(a: Moments, b: Moments) -> float:
    """`frechet_distance` from streamed statistics.

    Args:
        a: of features (N, D), N at least 2.
        b: of features (M, D), M at least 2.

    Raises:
        GansmithError: fewer than 2 samples, or unlike widths.

    >>> frechet_from_moments(Moments.of([[-1.0], [1.0]]), Moments.of([[1.0], [5.0]]))
    11.0
    """
    if a.dim != b.dim:
        raise GansmithError(f"a has {a.dim} columns and b has {b.dim}: both must come from one extractor.")
    return _distance(law_of_moments(a), law_of_moments(b))


def frechet_estimate(a: Rows, b: Rows, *, vary: Vary = "both", seed: int = 0) -> Estimate:
    """FD and its standard error at this N: how far FD would scatter if the samples were drawn anew.

    The interval is for the mean of FD at this N, bias included, not for the FD of the two laws: use it to compare
    scores with equal counts. See `frechet_jackknife` for method, arguments and errors.

    >>> frechet_estimate([[-1.0], [0.0], [1.0]], [[0.0], [0.0], [0.0]])
    Estimate(value=1.0, error=0.83)
    """
    found = frechet_jackknife(a, b, vary=vary, seed=seed)
    return Estimate(found.value, found.error)


def frechet_bias(a: Rows, b: Rows, *, vary: Vary = "both") -> float:
    """By how much few samples raise FD: FD at this N minus FD for infinitely many, to first order in 1/N.

    The jackknife's estimate, (N - 1) * (mean of FD without one sample - FD), summed over the sets that vary. With
    N near D or below it the series in 1/N converges slowly and this is only the order of magnitude. FD minus its bias
    is an estimate of what `frechet_infinity` estimates, without random subsets.

    Args:
        a: features (N, D), N at least 3.
        b: features (M, D), M at least 3.
        vary: the sets that are samples; the bias of the other one is not counted.

    Returns:
        Feature unit squared.

    Raises:
        GansmithError: bad or unlike features, fewer than 3 samples, or an unknown `vary`.

    Source: Quenouille 1956, Biometrika 43.

    >>> frechet_bias([[-1.0], [0.0], [1.0]], [[0.0], [0.0], [0.0]])      # variance / N of the squared mean
    0.33
    """
    x, y = _sets(a, b, vary, least=3)
    return _delete_one(x, y, vary)[2]


def frechet_jackknife(a: Rows, b: Rows, *, vary: Vary = "both", seed: int = 0) -> Jackknife:
    """`frechet_estimate` and `frechet_bias` in one go, from FD without each single sample, at the cost of a few FDs.

    The jackknife counts the part of FD that is of second order in the samples twice, which is all there is between
    equal laws. That part is estimated from random halves of the sets (it grows four times where the first order grows
    twice) and taken off once, within the bounds that it must keep. From 6 samples a set on.

    Args:
        a: features (N, D), N at least 3.
        b: features (M, D), M at least 3.
        vary: the sets whose samples would be drawn anew.
        seed: of the halves.

    Raises:
        GansmithError: bad or unlike features, fewer than 3 samples, or an unknown `vary`.

    Source: Efron & Stein 1981, Annals of Statistics 9, for the two orders.

    >>> frechet_jackknife([[-1.0], [0.0], [1.0]], [[0.0], [0.0], [0.0]])   # FD without one: 0.75, 2, 0.75
    Jackknife(value=1.0, error=0.83, bias=0.33)
    """
    x, y = _sets(a, b, vary, least=3)
    value, variance, bias = _delete_one(x, y, vary)
    return Jackknife(value, math.sqrt(variance - _counted_twice(x, y, vary, variance, seed)), bias)


def frechet_infinity(a: Rows, b: Rows, *, points: int = 15, vary: Vary = "both", seed: int = 0) -> Estimate:
    """FD for infinitely many samples: a line through FD at several N against 1/N, taken at 0.

    The N are spaced evenly in 1/N from half of the samples to all of them, each a fresh random subset of the sets that
    vary, both shrunk alike. A subset of N/u samples scatters around FD at full N with a variance that grows as u - 1,
    so the weighted line runs through FD at full N. That scatter also tells the standard error, of the line and of the
    samples together. (The paper shrinks the generated set alone, `vary="a"`, from 1/10 on, with equal weights.)

    Args:
        a: features (N, D), N at least 4, and well above D: near D the line bends.
        b: features (M, D), M at least 4.
        points: FDs on the line, at least 3.
        vary: the sets that are samples of something larger.
        seed: of the subsets.

    Returns:
        Feature unit squared; for equal laws it scatters around 0, so it may be negative, and its error is too large by
        half.

    Raises:
        GansmithError: bad or unlike features, fewer than 4 samples, fewer than 3 points, or an unknown `vary`.

    Source: Chong & Forsyth 2020, arXiv:1911.07023.
    """
    if points < 3:
        raise GansmithError(f"points is {points}: a line with an error needs at least 3.")
    x, y = _sets(a, b, vary, least=4)
    generator = torch.Generator().manual_seed(seed)
    shrinks = torch.linspace(1, 2, points, dtype=torch.float64)[1:]
    full = frechet_distance(x, y)
    fewer = [_shrunk_distance(x, y, vary, float(u), generator) for u in shrinks]
    rise, steps = torch.tensor(fewer, dtype=torch.float64) - full, shrinks - 1
    slope = rise.sum() / steps.sum()
    variance = ((rise - slope * steps).square() / steps).sum() / (points - 2)
    return Estimate(full - float(slope), math.sqrt(variance * (1 + 1 / steps.sum())))


def warnings_for(
    n_fake: int, n_real: int, dim: int, value: float | None = None, bias: float | None = None
) -> tuple[str, ...]:
    """What makes an FD doubtful, in plain words; empty when nothing does.

    Args:
        n_fake: generated samples.
        n_real: real samples.
        dim: D of the features.
        value: the FD, for the share of the bias.
        bias: from `frechet_bias`; told when it is above a tenth of the value.

    >>> warnings_for(5000, 60000, 2048, value=21.0, bias=0.5)
    ()
    >>> print(*warnings_for(100, 5000, 128, value=40.0, bias=30.0), sep="\\n")
    FD from 100 generated samples in 128 dimensions: the covariance is singular and FD far too high. Take more than 128.
    About 30 of FD 40 is bias of few samples: compare it at equal counts only, or take more samples.
    """
    found = [
        f"FD from {n:,} {kind} samples in {dim:,} dimensions: the covariance is singular and FD far too high. "
        f"Take more than {dim:,}."
        for n, kind in ((n_fake, "generated"), (n_real, "real"))
        if n <= dim
    ]
    if value is not None and bias is not None and bias > 0.1 * value:
        found.append(
            f"About {min(bias, value):.3g} of FD {value:.3g} is bias of few samples: "
            "compare it at equal counts only, or take more samples."
        )
    return tuple(found)


# ---- the distance


def _sets(a: Rows, b: Rows, vary: str, least: int) -> tuple[Tensor, Tensor]:
    """Both sets on the CPU, checked, `vary` too."""
    if vary not in get_args(Vary):
        hint = did_you_mean(str(vary), get_args(Vary))
        raise GansmithError(f"vary is {vary!r}: give one of {', '.join(get_args(Vary))}.{hint}")
    x, y = pair(a, b, least=least)
    return x.cpu(), y.cpu()


def _distance(p: Law, q: Law) -> float:
    return _assemble(p, q, _cross(p, q))


def _assemble(p: Law, q: Law, cross: float) -> float:
    """FD from its parts; `cross` is the trace of (S1 S2)^(1/2). Rounding may not take it below 0."""
    return max(0.0, float((p.mean - q.mean).square().sum()) + p.trace + q.trace - 2 * cross)


def _cross(p: Law, q: Law) -> float:
    """Trace of (S1 S2)^(1/2): the sum of the singular values of F1^T F2.

    The eigenvalues of its square come three times quicker, but singular values below 1e-7 of the largest drown in their
    rounding. Where that may show in the seventh digit of the sum, it is done the long way.
    """
    product = p.root.T @ q.root
    if not product.any():
        return 0.0
    squares = torch.linalg.eigvalsh(gram(product if product.shape[0] > product.shape[1] else product.T))
    floor = NOISE * squares[-1]
    values = squares.clamp(min=floor).sqrt()
    total, doubt = values[squares > floor].sum(), (floor / values).sum()
    return float(total if doubt < 1e-7 * total else torch.linalg.svdvals(product).sum())


def _shrunk_distance(x: Tensor, y: Tensor, vary: str, by: float, generator: torch.Generator) -> float:
    """FD of random subsets, of N / by samples, of the sets that vary."""
    small = [t[torch.randperm(len(t), generator=generator)[: round(len(t) / by)]] for t in (x, y)]
    return frechet_distance(small[0] if vary != "b" else x, small[1] if vary != "a" else y)


# ---- the jackknife


def _delete_one(x: Tensor, y: Tensor, vary: str) -> tuple[float, float, float]:
    """FD, the jackknife's variance and its bias, from FD without each single sample."""
    p, q = law_of_features(x), law_of_features(y)
    values, left, right = _singular(p.root.T @ q.root)
    fd = _assemble(p, q, float(values.sum()))
    variance = bias = 0.0
    for name, samples, own, other, axes in (("a", x, p, q, q.root @ right), ("b", y, q, p, p.root @ left)):
        if vary in ("both", name):
            without, n = _without_each(samples, own, other, axes, values), len(samples)
            variance += float((n - 1) * without.var(correction=0))
            bias += (n - 1) * (float(without.mean()) - fd)
    return fd, variance, bias


def _singular(product: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular values (r,) that are clear of rounding, left vectors (n, r) and right vectors (m, r) of (n, m)."""
    if product.shape[0] > product.shape[1]:
        values, right, left = _singular(product.T)
        return values, left, right
    squares, left = torch.linalg.eigh(gram(product.T))
    kept = squares > NOISE * squares[-1:].sum()
    values, left = squares[kept].sqrt(), left[:, kept]
    return values, left, product.T @ left / values


def _without_each(x: Tensor, own: Law, other: Law, axes: Tensor, values: Tensor) -> Tensor:
    """FD between x without row i and the other law, for every i: (N,).

    Leaving a sample out shifts the mean by c / (N - 1) and takes N / (N - 1)^2 c c^T from the covariance, which is then
    scaled by (N - 1) / (N - 2); c is the centred sample.

    Args:
        x: (N, D).
        axes: (D, r), takes a centred sample to the basis where F2^T S1 F2 is diagonal with entries values^2.
        values: singular values (r,) of the product of the roots.
    """
    n = len(x)
    gap, scale = own.mean - other.mean, (n - 1) / (n - 2)
    found = []
    for block in torch.split(x, 1024):
        c = block.to(torch.float64) - own.mean
        norms = c.square().sum(1)
        means = gap.square().sum() - 2 * (c @ gap) / (n - 1) + norms / (n - 1) ** 2
        traces = scale * (own.trace - n / (n - 1) ** 2 * norms) + other.trace
        crosses = values.sum() - _lost(n / (n - 1) ** 2 * (c @ axes).square(), values)
        found.append(means + traces - 2 * math.sqrt(scale) * crosses)
    return torch.cat(found)


def _lost(squares: Tensor, values: Tensor) -> Tensor:
    """By how much Tr K^(1/2) falls when g g^T is taken from K = diag(values^2), for each row g: (N,).

    Tr K^(1/2) - Tr (K - g g^T)^(1/2) = 1/pi * integral over s > 0 of -log(1 - sum_k g_k^2 / (values_k^2 + s^2)) ds,
    from the integral of the square root and the determinant of a rank-one change. In log s the integrand is analytic
    and falls off at both ends, so the trapezoidal rule gives 7 digits. 1 - sum reaches 0 where the rank falls by one.

    Args:
        squares: g^2, (N, r).
        values: (r,).
    """
    top = values.max() if len(values) else values.new_ones(())
    s = top * torch.arange(-23, 16.1, STEP, dtype=torch.float64).exp()
    shares = squares @ (1 / (values.square()[:, None] + s.square()))
    return -torch.log1p(-shares.clamp(max=1 - 1e-15)) @ s * (STEP / math.pi)


def _counted_twice(x: Tensor, y: Tensor, vary: str, variance: float, seed: int) -> float:
    """The variance of second order, which the jackknife counts twice, from the jackknife of random halves.

    The jackknife gives A / N + 2 B / N^2 at N and 2 A / N + 8 B / N^2 at half of it; B / N^2 is returned. It is at
    least 0, and at most half of what the jackknife gives.
    """
    if min(len(t) for t, name in ((x, "a"), (y, "b")) if vary in ("both", name)) < 6:
        return 0.0
    generator = torch.Generator().manual_seed(seed)
    xs = _halves(x, generator) if vary != "b" else (x, x)
    ys = _halves(y, generator) if vary != "a" else (y, y)
    halves = [_delete_one(s, t, vary)[1] for s, t in zip(xs, ys, strict=True)]
    return min(max((sum(halves) / 2 - 2 * variance) / 4, 0.0), variance / 2)


def _halves(x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two random sets of N // 2 rows that share none."""
    order, half = torch.randperm(len(x), generator=generator), len(x) // 2
    return x[order[:half]], x[order[half : 2 * half]]
