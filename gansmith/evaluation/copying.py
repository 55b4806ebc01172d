"""Are the samples new, or copies of the training set?

`data_copying` compares the law of the samples' distances to the training set with that of held-out samples,
`authenticity` counts the samples that keep a distance, `copied` says of each sample whether it is a copy.
All three see what the rows see: pixels miss a copy that was shifted by two pixels, features find it.
"""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
import torch
from scipy.cluster.vq import kmeans2  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, pair, rows
from gansmith.evaluation.neighbours import nearest
from gansmith.evaluation.score import Estimate

FEWEST = 20
"""Generated samples that a cell needs to count; the paper's tau is 20 / m."""

PER_CELL, MOST_CELLS = 100, 10
"""Samples of the smallest set for each cell, and the most cells, when their number is chosen automatically."""

CLUSTERED = 10_000
"""Training rows that k-means looks at: the cells need not be better than rough."""

CALIBRATING = 2000
"""Training samples, drawn at random, that stand for new ones: enough for the threshold and for a share within 2 %."""

NEARER = 2 / 3
"""No copy is further from its original than this share of the way to all else, however alike the real ratios are."""


class DataCopying(NamedTuple):
    """What `data_copying` found.

    Args:
        z: C_T, in standard deviations of one cell: far below 0 = copying, far above 0 = under-fitting.
        error: standard deviation of z when the samples follow the held-out law; 1 for one cell.
        parts: z of each cell that counts.
        shares: share of the held-out samples in each of these cells.
        left_out: share of the held-out samples in cells that hold too few generated samples.
    """

    z: float
    error: float
    parts: tuple[float, ...]
    shares: tuple[float, ...]
    left_out: float


class Copies(NamedTuple):
    """What `copied` found.

    Args:
        share: of the samples that are copies.
        flags: (N,) bool, whether a sample is a copy.
        ratio: (N,) at least 0, small for copies.
        nearest: (N,) int64, index of the nearest training sample; of equal ones the first.
        threshold: samples with a smaller ratio are copies.
    """

    share: Estimate
    flags: Tensor
    ratio: Tensor
    nearest: Tensor
    threshold: float


def data_copying(train: Rows, held_out: Rows, fake: Rows, *, cells: int | None = None, seed: int = 0) -> DataCopying:
    """The data-copying test C_T: do the samples lie nearer to the training set than held-out samples do?

    k-means on the training set parts the space into cells. In each, the distances to the nearest training sample of
    that cell are ranked, and z is the Mann-Whitney statistic of the generated against the held-out ones. C_T is the
    mean of z over the cells, weighted by the held-out samples in them; cells with fewer than 20 generated samples
    are left out. A perfect sampler scores 0 ± `error`. z grows with the root of the sample counts, so it compares
    only between equal counts and cells; n = m = 20 in a cell can reach -5.4 at most.

    Args:
        train: (T, D) what the generator was trained on.
        held_out: (n, D) real samples that it never saw.
        fake: (m, D) generated samples.
        cells: how many; None takes one for every 100 samples of the smallest set, from 1 to 10.
        seed: of the first centres of k-means.

    Returns:
        z and its parts. One cell (`cells=1`) is the plain Mann-Whitney test of the two sets of distances.

    Raises:
        GansmithError: unequal widths, too few samples, `cells` not within 1 ... T, or no cell with enough samples.

    Source: Meehan, Chaudhuri, Dasgupta 2020, arXiv:2004.05675 (its Z_U and C_T, tau = 20 / m).

    >>> train, held_out, fake = torch.zeros(5, 1), torch.tensor([[1.0], [2.0]]), torch.full((20, 1), 0.5)
    >>> data_copying(train, held_out, fake, cells=1).z       # U = 0: -20 / sqrt(40 / 12 * (23 - 7980 / 462))
    -4.58
    """
    a, b = pair(train, held_out, ("train", "held_out"))
    a, c = pair(a, fake, ("train", "fake"))
    sets = (a, b.to(a), c)
    if cells is None:
        cells = min(max(min(map(len, sets)) // PER_CELL, 1), MOST_CELLS)
    if not 1 <= cells <= len(a):
        raise GansmithError(f"cells is {cells}: it must be between 1 and the {len(a)} training samples.")
    centres = _centres(a, cells, seed)
    where = [nearest(x, centres, 1)[1][:, 0] for x in sets]
    parts, shares = [], []
    for cell in range(cells):
        known, real, made = (x[w == cell] for x, w in zip(sets, where, strict=True))
        if len(known) and len(real) and len(made) >= FEWEST:
            parts.append(mann_whitney_z(nearest(made, known, 1)[0], nearest(real, known, 1)[0]))
            shares.append(len(real) / len(b))
    if not parts:
        raise GansmithError(
            f"No cell holds {FEWEST} generated and one held-out sample: give more samples, or fewer cells than {cells}."
        )
    weights = np.array(shares) / sum(shares)
    z, error = float(weights @ np.array(parts)), float(np.sqrt((weights**2).sum()))
    return DataCopying(z, error, tuple(parts), tuple(shares), max(0.0, 1 - sum(shares)))


def mann_whitney_z(x: Tensor, y: Tensor) -> float:
    """Mann-Whitney's U of x against y in standard deviations: below 0 when x has the smaller values.

    Equal values take their mean rank, and the variance is corrected for them; no correction for continuity.

    Args:
        x: n numbers, of any shape.
        y: m numbers, of any shape.

    Returns:
        (U - n m / 2) / sd(U), where U counts the pairs with x > y; 0 when all values are equal.

    Source: Mann, Whitney 1947; the variance with ties as in Lehmann, Nonparametrics, 1975, section 1.4.

    >>> mann_whitney_z(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0]))     # (0 - 2) / sqrt(4 * 5 / 12)
    -1.549
    """
    n, m = x.numel(), y.numel()
    both = torch.cat([x.flatten(), y.flatten()]).cpu().numpy()
    _, group, found = np.unique(both, return_inverse=True, return_counts=True)
    counts = found.astype(np.float64)
    rank = (counts.cumsum() - (counts - 1) / 2)[group]
    u = float(rank[:n].sum()) - n * (n + 1) / 2
    ties = float((counts**3 - counts).sum()) / ((n + m) * (n + m - 1))
    variance = n * m / 12 * (n + m + 1 - ties)
    return (u - n * m / 2) / math.sqrt(variance) if variance > 0 else 0.0


def authenticity(train: Rows, fake: Rows) -> Estimate:
    """Share of the samples that are further from their nearest training sample than its nearest fellow is.

    0 = every sample crowds a training sample. A perfect sampler does **not** score 1: it scores the share of points
    that are not the nearest neighbour of their own nearest neighbour: 1/3 in one dimension, 0.38 in two, towards 1/2 in
    many, and more where a few points are the nearest of many. `perfect_authenticity` gives it for the set at hand.

    Args:
        train: (T, D) what the generator was trained on.
        fake: (N, D) generated samples.

    Returns:
        Share in 0 ... 1, and its standard error for the training set at hand.

    Raises:
        GansmithError: unequal widths, fewer than 2 samples, or values that are not finite.

    Source: Alaa, van Breugel, Saveliev, van der Schaar 2022, arXiv:2102.08921.

    >>> train = torch.tensor([[0.0], [1.0], [10.0]])                  # their nearest fellows: 1, 1 and 9 away
    >>> authenticity(train, torch.tensor([[0.4], [-2.0], [9.0], [30.0]])).value      # 0.4 < 1, 2 > 1, 1 < 9, 20 > 9
    0.5
    """
    a, b = pair(train, fake, ("train", "fake"))
    distances, index = nearest(b, a, 1)
    return _share(distances[:, 0] > _fellow(a, index[:, 0]))


def perfect_authenticity(train: Rows) -> Estimate:
    """What a perfect sampler scores in `authenticity`: training samples against the training set without them.

    Args:
        train: (T, D) at least 3; of more than 2,000, as many at random are tried.

    Returns:
        Share in 0 ... 1. The error counts that samples fail in pairs: each is the other's nearest neighbour.

    Raises:
        GansmithError: fewer than 3 samples, or values that are not finite.

    >>> perfect_authenticity(torch.tensor([[0.0], [1.0], [3.0]])).value      # 0 and 1 are each other's nearest
    0.3333
    """
    x = rows(train, "train", least=3)
    tried = _some(x)
    distances, index = _others(x, tried, 1)
    share = _share(distances[:, 0] > _fellow(x, index[:, 0], tried))
    return Estimate(share.value, share.error * math.sqrt(2))


def copied(train: Rows, fake: Rows, *, false_alarms: float = 0.01) -> Copies:
    """Which samples are copies of a training sample.

    With t the training sample nearest to a sample x, at distance d, and equal training samples counted once,

        ratio = d / min(distance of t to its nearest fellow, distance of x to its second nearest training sample).

    The first says that x is nearer to t than real samples come to each other; the second that it is near to t alone.
    A blurred sample, the mean of many, is near to all of them: it passes the first and fails the second. The ratio
    has no unit, so that dense and sparse regions are judged alike. x is a copy when its ratio is below a threshold.

    Where the density of the data is even in m dimensions, the second of these quotients is below r for a share r^m
    of new real samples. m is read off training samples, each against the training set without it (2,000 at random,
    where there are more): a fifth of them have a quotient below 0.2^(1/m), so the threshold false_alarms^(1/m) is
    this to the power log(false_alarms) / log(0.2). Read so, it holds for 90 samples as for 50,000, and some
    near-equal pairs in the training set hardly move it, where the 1 % quantile itself would be theirs. It is at most
    2/3. `copied(train, held_out)` shows how many real samples are called copies.

    Args:
        train: (T, D) what the generator was trained on; at least 3 that differ.
        fake: (N, D) generated samples.
        false_alarms: share of new real samples that may be called copies, between 0 and 1. The true share is within
            a factor of about 2 of it, or less, in many dimensions and where the bound of 2/3 acts.

    Returns:
        The share of copies, and for each sample the call, the ratio and the index of t.

    Raises:
        GansmithError: unequal widths, too few samples, values that are not finite, or `false_alarms` out of range.

    Limits: an original of which the training set has nearly equal versions is hard to copy by this measure, since
    the copy is near to all of them; when a fifth of the training set is such, the threshold falls too. When repeats
    are natural, as in tables of categories, so are copies.

    Source: the ratio to the fellow's distance after Alaa et al. 2022, arXiv:2102.08921; to the second nearest after
    Yoon et al. 2023, "Diffusion probabilistic models generalize when they fail to memorize", who take it below 1/3;
    its power law: Facco et al. 2017, "Estimating the intrinsic dimension of datasets by a minimal neighborhood
    information".

    >>> train = torch.tensor([[0.0], [4.0], [8.0], [12.0]])
    >>> found = copied(train, torch.tensor([[0.4], [6.0]]))
    >>> found.ratio.tolist(), found.flags.tolist()                    # 0.4 / min(4, 3.6) and 2 / min(4, 2)
    ([0.1111, 1.0], [True, False])
    """
    a, b = pair(train, fake, ("train", "fake"))
    if not 0 < false_alarms < 1:
        raise GansmithError(f"false_alarms is {false_alarms}: it must lie between 0 and 1, as 0.01.")
    first = distinct(a)
    if len(first) < 3:
        raise GansmithError("train has fewer than 3 samples that differ: there is nothing to compare a copy with.")
    originals = a[first]
    usual = _others(originals, _some(originals), 2)[0]
    threshold = min(_power_law(usual[:, 0] / _above_zero(usual[:, 1]), false_alarms), NEARER)
    distances, index = nearest(b, originals, 2)
    room = torch.minimum(_fellow(originals, index[:, 0]), distances[:, 1])
    ratio = distances[:, 0] / _above_zero(room)
    flags = ratio < threshold
    return Copies(_share(flags), flags, ratio, first[index[:, 0]], threshold)


def distinct(x: Tensor) -> Tensor:
    """Indices (M,) of the rows of x (N, D) that are not equal to an earlier row, in order.

    >>> distinct(torch.tensor([[1.0], [2.0], [1.0]]))
    tensor([0, 1])
    """
    first: dict[bytes, int] = {}
    for i, row in enumerate((x + 0.0).cpu().numpy()):  # adding 0 makes one zero of -0 and 0
        first.setdefault(row.tobytes(), i)
    return torch.tensor(list(first.values()), device=x.device)


def _centres(x: Tensor, cells: int, seed: int) -> Tensor:
    """Centres (cells, D) of k-means on at most 10,000 rows of x, started at random rows."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[: max(CLUSTERED, cells)]
    some = x[order.to(x.device)].cpu().double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cell that lost its rows keeps its centre, and is left out if it stays empty
        centres, _ = kmeans2(some, some[:cells], iter=20, minit="matrix")
    return torch.from_numpy(centres).to(x)


def _some(x: Tensor) -> Tensor:
    """Indices (M,) of up to 2,000 rows of x at random."""
    return torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:CALIBRATING].to(x.device)


def _fellow(x: Tensor, at: Tensor, besides: Tensor | None = None) -> Tensor:
    """Distance (M,) from the rows `at` (M,) of x to the nearest row that is neither that nor the one `besides`."""
    return _others(x, at, 1, besides)[0][:, 0]


def _others(x: Tensor, at: Tensor, k: int, besides: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Distances and indices (M, k) of the rows of x nearest to its rows `at`, without these and those `besides`."""
    left_out = [at] if besides is None else [at, besides]
    distances, index = nearest(x[at], x, k + len(left_out))
    for row in left_out:
        distances = distances.masked_fill(index == row[:, None], math.inf)
    distances, order = distances.sort(dim=1, stable=True)
    return distances[:, :k], index.gather(1, order)[:, :k]


def _above_zero(distances: Tensor) -> Tensor:
    return distances.clamp_min(torch.finfo(distances.dtype).tiny)


def _power_law(quotients: Tensor, share: float) -> float:
    """What the share of the quotients (M,) falls below, when that is a power law through 1 and their 20 % quantile.

    That quantile is both the one that measures the power best and far from where near-equal pairs are.

    >>> _power_law(torch.linspace(0.1, 0.9, 9), 0.05)                   # evenly spread: the share is the quotient
    0.05
    """
    fifth = float(quotients.sort().values[max(1, math.floor(0.2 * (len(quotients) + 1))) - 1])
    return float(fifth ** (math.log(share) / math.log(0.2)))


def _share(flags: Tensor) -> Estimate:
    """Share of the true ones; the error after Agresti and Coull 1998, above 0 also where all are alike."""
    n, hits = len(flags), int(flags.sum())
    p = (hits + 2) / (n + 4)
    return Estimate(hits / n, math.sqrt(p * (1 - p) / (n + 4)))
