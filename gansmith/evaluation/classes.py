"""What a classifier says of generated samples: Inception Score, class shares against the data's, stacked modes."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import chi2_contingency  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, rows
from gansmith.evaluation.score import Z95, Estimate

SUM_TOLERANCE = 1e-3
"""How far the sum of one row of probabilities may be from 1 (half precision is off by about that)."""


class InceptionScore(NamedTuple):
    """Mean and standard deviation (population) of the score over the splits, both from 1 to K."""

    mean: float
    std: float


class ClassBalance(NamedTuple):
    """Class shares of generated samples against the data's; every tensor is (K,), float64.

    Args:
        shares: of the generated samples, sum 1.
        low, high: ends of the Wilson 95 % interval of each share.
        real: shares of the real samples, sum 1.
        total_variation: half of the sum of |shares - real|, 0 to 1.
        kl: KL(shares || real) in nats; infinite when a class is generated that the data lack.
        missing: classes of the data that were never generated, or whose `high` is below a tenth of the real share.
        p_value: chi-square test that both sets come from one law, 0 to 1.
    """

    shares: Tensor
    low: Tensor
    high: Tensor
    real: Tensor
    total_variation: float
    kl: float
    missing: int
    p_value: float


class StackedModes(NamedTuple):
    """Modes found of 1000, and KL(generated || uniform) in nats (0 to log 1000)."""

    modes: int
    kl: float


def inception_score(probs: Rows, splits: int = 10, *, seed: int | None = 0) -> InceptionScore:
    """exp(E_x KL(p(y|x) || p(y))), with the marginal p(y) of each split apart, then mean and deviation over splits.

    Blind to all that the classifier does not name: a generator with one image per class scores as high as the data.

    Args:
        probs: (N, K) class probabilities of generated samples; rows sum to 1; zeros are allowed.
        splits: parts of N / splits samples; when N is no multiple of it, their sizes differ by one.
        seed: of the shuffle before splitting, so that samples sorted by class do no harm; None keeps their order,
            as the authors' code does.

    Raises:
        GansmithError: rows that are not probabilities, or fewer samples than splits.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 4; 10 splits of 5,000 in the authors' code. Few samples
    per split lower the score: compare at equal N, splits and classifier.

    >>> inception_score(torch.eye(4).repeat(6, 1), splits=1)            # sure of each, and all four alike
    InceptionScore(mean=4.0, std=0.0)
    >>> inception_score(torch.full((20, 4), 0.25), splits=2)            # never sure
    InceptionScore(mean=1.0, std=0.0)
    """
    scores = _split_scores(probs, splits, seed)
    return InceptionScore(float(scores.mean()), float(scores.std(correction=0)))


def inception_score_estimate(probs: Rows, splits: int = 10, *, seed: int | None = 0) -> Estimate:
    """The mean of `inception_score` and its standard error: sample deviation over splits / sqrt(splits).

    It speaks for the mean score of splits of this size; more samples per split have a higher score.

    Args:
        probs, seed: as `inception_score`.
        splits: 2 or more.

    Raises:
        GansmithError: as `inception_score`, or a single split, which says nothing of the error.

    >>> inception_score_estimate(torch.full((20, 4), 0.25), splits=2)
    Estimate(value=1.0, error=0.0)
    """
    if splits < 2:
        raise GansmithError(f"splits is {splits}: a standard error needs 2 splits or more.")
    scores = _split_scores(probs, splits, seed)
    return Estimate(float(scores.mean()), float(scores.std()) / math.sqrt(splits))


def _split_scores(probs: Rows, splits: int, seed: int | None) -> Tensor:
    """The score of each split: (splits,) float64."""
    p = _posteriors(probs, "probs")
    n = len(p)
    if not 1 <= splits <= n:
        raise GansmithError(f"splits is {splits}, but probs has {n} samples: choose from 1 to {n}.")
    order = torch.arange(n) if seed is None else torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    cuts = [i * n // splits for i in range(splits + 1)]
    return torch.stack([_score(p[order[a:b].to(p.device)].double()).cpu() for a, b in pairwise(cuts)])


def _score(p: Tensor) -> Tensor:
    """exp(H(mean of p) - mean of H(p)) of probabilities (n, K), which is exp(E KL(p || mean of p))."""
    p = p / p.sum(1, keepdim=True)
    mean_kl: Tensor = torch.special.entr(p.mean(0)).sum() - torch.special.entr(p).sum(1).mean()
    return mean_kl.exp()


def _posteriors(probs: Rows, name: str) -> Tensor:
    """Probabilities (N, K), checked."""
    p = rows(probs, name, 1)
    if np.ndim(probs) != 2:
        raise GansmithError(f"{name} has {np.ndim(probs)} dimensions: give class probabilities (N, K).")
    sums = p.sum(1, dtype=torch.float64)
    wrong = ((sums - 1).abs() > SUM_TOLERANCE) | (p < -SUM_TOLERANCE).any(1)
    if wrong.any():
        row = int(wrong.nonzero()[0])
        raise GansmithError(
            f"{name} row {row} (sum {float(sums[row]):.4g}, least {float(p[row].min()):.4g}) is no probability law: "
            "entries must be 0 or more and sum to 1; take the softmax of logits first."
        )
    return p.clamp_min(0)


def class_histogram(labels_or_probs: Rows, num_classes: int) -> Tensor:
    """The share of samples in each class: (K,) float64, sum 1.

    Args:
        labels_or_probs: (N,) class numbers from 0 to K - 1, or (N, K) probabilities, of which the largest decides.
        num_classes: K.

    Raises:
        GansmithError: labels that are no class numbers, or probabilities of another number of classes.

    >>> class_histogram([0, 2, 2, 2], 3).tolist()
    [0.25, 0.0, 0.75]
    """
    counts = _counts(labels_or_probs, num_classes, "labels_or_probs")
    return counts / counts.sum()


def class_balance(fake: Rows, real: Rows, num_classes: int) -> ClassBalance:
    """Class shares of generated samples, with intervals, and how they differ from the data's.

    Args:
        fake: (N,) class numbers, or (N, K) probabilities, of which the largest decides.
        real: (M,) class numbers, or (M, K) probabilities.
        num_classes: K.

    Raises:
        GansmithError: as `class_histogram`.

    The test is Pearson's of homogeneity on the table (2, K), without the classes that neither set has; the p value
    is rough where a class is expected fewer than 5 times. A classifier's own errors count as the generator's: give
    its verdicts on the real samples, not their true labels, to cancel them.

    Source: Wilson 1927, JASA 22; Pearson 1900.

    >>> found = class_balance([0] * 50 + [1] * 50, [0] * 50 + [1] * 25 + [2] * 25, 3)
    >>> found.total_variation, found.missing, round(found.kl, 4)        # 1/2 log 2 = 0.3466
    (0.25, 1, 0.3466)
    """
    ours, theirs = _counts(fake, num_classes, "fake"), _counts(real, num_classes, "real")
    n = int(ours.sum())
    f, r = ours / n, theirs / theirs.sum()
    low, high = wilson(ours, n)
    table = torch.stack([ours, theirs])[:, ours + theirs > 0]
    return ClassBalance(
        shares=f,
        low=low,
        high=high,
        real=r,
        total_variation=float((f - r).abs().sum() / 2),
        kl=float((f * (f / r).log())[f > 0].sum()),
        missing=int(((theirs > 0) & ((ours == 0) | (high < r / 10))).sum()),
        p_value=float(chi2_contingency(table.numpy(), correction=False).pvalue),
    )


def wilson(counts: Tensor, total: int) -> tuple[Tensor, Tensor]:
    """Ends of the 95 % interval of a share that was seen `counts` times in `total` draws, both of counts' shape.

    Source: Wilson 1927, JASA 22, p. 209. Unlike share ± 1.96 standard errors it never has length 0.

    >>> [round(float(end), 3) for end in wilson(torch.tensor(0.0), 10)]
    [0.0, 0.278]
    """
    z2 = Z95**2
    middle = (counts + z2 / 2) / (total + z2)
    half = Z95 / (total + z2) * (counts * (total - counts) / total + z2 / 4).sqrt()
    return (middle - half).clamp_min(0), (middle + half).clamp_max(1)


def stacked_modes(labels: Rows) -> StackedModes:
    """Modes covered by stacked digits, and how far they are from uniform.

    Args:
        labels: (N, 3) class numbers from 0 to 9 of the three channels; a mode is one of their 1000 combinations.
            The usual protocol is N = 25,600; there a perfect sampler has KL = 999 / 2N = 0.0195 on average.

    Raises:
        GansmithError: another shape, or no class numbers.

    Source: Metz et al. 2017, arXiv:1611.02163; Lin et al. 2018 (PacGAN), arXiv:1712.04086, section 4.

    >>> stacked_modes([[0, 0, 1], [0, 0, 1], [1, 2, 3], [9, 9, 9]])     # log 1000 - 1.5 log 2
    StackedModes(modes=3, kl=5.868)
    """
    found = rows(labels, "labels", 1)
    if np.ndim(labels) != 2 or found.shape[1] != 3:
        raise GansmithError(f"labels has shape {tuple(np.shape(labels))}: give the classes of three channels (N, 3).")
    a, b, c = _class_numbers(found, 10, "labels").T
    shares = torch.bincount(100 * a + 10 * b + c, minlength=1000).double() / len(found)
    return StackedModes(int((shares > 0).sum()), math.log(1000) - float(torch.special.entr(shares).sum()))


def _counts(x: Rows, num_classes: int, name: str) -> Tensor:
    """How often each class occurs: (K,) float64 on the CPU."""
    if num_classes < 1:
        raise GansmithError(f"num_classes is {num_classes}: it must be 1 or more.")
    if np.ndim(x) == 2:
        if np.shape(x)[1] != num_classes:
            raise GansmithError(
                f"{name} has {np.shape(x)[1]} columns, but there are {num_classes} classes: give class numbers (N,) "
                f"or probabilities (N, {num_classes})."
            )
        numbers = _posteriors(x, name).argmax(1)
    elif np.ndim(x) == 1:
        numbers = _class_numbers(rows(x, name, 1), num_classes, name).flatten()
    else:
        raise GansmithError(f"{name} has {np.ndim(x)} dimensions: give class numbers (N,) or probabilities (N, K).")
    return torch.bincount(numbers, minlength=num_classes).double().cpu()


def _class_numbers(found: Tensor, num_classes: int, name: str) -> Tensor:
    """found as whole numbers from 0 to num_classes - 1."""
    wrong = (found != found.round()) | (found < 0) | (found >= num_classes)
    if wrong.any():
        value = float(found[wrong][0])
        raise GansmithError(f"{name} holds {value:g}: class numbers must be whole, from 0 to {num_classes - 1}.")
    return found.long()
