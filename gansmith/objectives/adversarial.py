"""Losses on real and fake logits apart: cross-entropy (three generator costs), least squares, Wasserstein, hinge.

All are minimised. Logits are the raw scores a(x) of a discriminator without a sigmoid, of shape (N,), (N, 1) or
(N, ...) for maps of patches; the mean runs over all entries. Losses are computed in at least float32 and are
finite, value and gradient, for any finite logit whose square is (|a| < 1e18 in float32).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.objectives.numerics import EXP_CAP, upcast

LEAST_SQUARES_CODINGS = {"01": (0.0, 1.0, 1.0), "pearson": (-1.0, 1.0, 0.0)}
"""Target of D for fakes, of D for reals, and of G for fakes: (a, b, c) in the LSGAN paper."""


def minimax_d(real_logits: Tensor, fake_logits: Tensor, real_target: float = 1.0, fake_target: float = 0.0) -> Tensor:
    """Cross-entropy of the discriminator: -E log D(x) - E log(1 - D(y)) with D = sigmoid of the logit.

    There is no factor 1/2 (the 2014 paper has none in its value function, the 2016 tutorial has one): at the
    optimum p = q the loss is 2 log 2 = 1.386. With targets alpha and beta the best D is (alpha p + beta q) / (p + q):
    a fake target above 0 rewards the generator where it is wrong already, so it is 0 unless given.

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes (N, ...); detach the fakes.
        real_target: probability to be given to reals, 0 to 1.
        fake_target: probability to be given to fakes, 0 to 1.

    Returns:
        Scalar, nats.

    Raises:
        GansmithError: a target is not within 0 to 1.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, eq. 1; smoothing: Salimans et al. 2016, arXiv:1606.03498.

    >>> minimax_d(torch.zeros(4), torch.zeros(4))                      # 2 log 2
    tensor(1.3863)
    """
    return _cross_entropy(real_logits, real_target) + _cross_entropy(fake_logits, fake_target)


def minimax_g(fake_logits: Tensor) -> Tensor:
    """The zero-sum generator cost E log(1 - D(y)); its gradient per logit, -D(y), vanishes where D rejects.

    Args:
        fake_logits: scores of fakes (N, ...).

    Returns:
        Scalar, nats; -log 2 when D = 1/2.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, eq. 1.

    >>> minimax_g(torch.zeros(4))
    tensor(-0.6931)
    """
    return -F.softplus(upcast(fake_logits)).mean()


def nonsaturating_d(
    real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0, two_sided: bool = False
) -> Tensor:
    """The same cross-entropy as `minimax_d`, without 1/2, with label smoothing on the real side.

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes (N, ...); detach the fakes.
        smoothing: the real target is 1 - smoothing; 0 to 1, usually 0 or 0.1.
        two_sided: also raise the fake target to `smoothing`. Then D is drawn to that value, not to 0, where there
            are only fakes, which holds the generator's mistakes in place.

    Returns:
        Scalar, nats.

    Source: Goodfellow 2016, arXiv:1701.00160, section 4.2.

    >>> nonsaturating_d(torch.zeros(4), torch.zeros(4), smoothing=0.1)
    tensor(1.3863)
    """
    return minimax_d(real_logits, fake_logits, 1.0 - smoothing, smoothing if two_sided else 0.0)


def nonsaturating_g(fake_logits: Tensor) -> Tensor:
    """The generator cost -E log D(y); its gradient per logit, D(y) - 1, is strong where D rejects.

    Args:
        fake_logits: scores of fakes (N, ...).

    Returns:
        Scalar, nats; log 2 when D = 1/2.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, section 3.

    >>> nonsaturating_g(torch.zeros(4))
    tensor(0.6931)
    """
    return F.softplus(-upcast(fake_logits)).mean()


def maximum_likelihood_g(fake_logits: Tensor) -> Tensor:
    """The generator cost -E e^a(y). When D is optimal, e^a = p/q and its gradient is that of KL(p || q).

    A few samples with the highest scores carry it (high variance). When one score exceeds 20 the whole batch is
    divided by e^(max - 20), a constant: e^a would overflow, and this keeps the direction of the gradient exactly
    and bounds its length. Without the 1/2 of the tutorial, so that the gradient equals KL's and not its half.

    Args:
        fake_logits: scores of fakes (N, ...).

    Returns:
        Scalar, at least -e^20; -1 when D = 1/2.

    Source: Goodfellow 2016, arXiv:1701.00160, section 3.2.4; derivation in arXiv:1412.6515.

    >>> maximum_likelihood_g(torch.tensor([0.0, 0.0]))
    tensor(-1.)
    """
    a = upcast(fake_logits)
    excess = F.relu(a.detach().max() - EXP_CAP)
    return -torch.exp(a - excess).mean()


def least_squares_d(real_logits: Tensor, fake_logits: Tensor, coding: str = "01", smoothing: float = 0.0) -> Tensor:
    """Half the squared distance of the scores to their targets (no sigmoid).

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes (N, ...); detach the fakes.
        coding: "01" (fakes 0, reals 1, G wants 1) or "pearson" (fakes -1, reals 1, G wants 0; with the best D,
            G then minimises half the Pearson chi-squared divergence between p + q and 2q).
        smoothing: share of the way from the real target to that of the fakes; 0 to 1.

    Returns:
        Scalar, at least 0; the paper's 1/2 included.

    Raises:
        GansmithError: unknown coding.

    Source: Mao et al. 2017, arXiv:1611.04076, eq. 2, 8 (Pearson) and 9 (0/1).

    >>> least_squares_d(torch.tensor([3.0]), torch.tensor([1.0]))      # ((3 - 1)^2 + (1 - 0)^2) / 2
    tensor(2.5000)
    """
    fake_target, real_target, _ = _targets(coding)
    real_target += smoothing * (fake_target - real_target)
    return _half_square(real_logits, real_target) + _half_square(fake_logits, fake_target)


def least_squares_g(fake_logits: Tensor, coding: str = "01") -> Tensor:
    """Half the squared distance of the fakes' scores to the generator's target, in the coding that D uses.

    Args:
        fake_logits: scores of fakes (N, ...).
        coding: "01" or "pearson", as for `least_squares_d`.

    Returns:
        Scalar, at least 0; its gradient per logit grows with the distance and never saturates.

    Raises:
        GansmithError: unknown coding.

    Source: Mao et al. 2017, arXiv:1611.04076, eq. 2.

    >>> least_squares_g(torch.tensor([3.0])), least_squares_g(torch.tensor([3.0]), "pearson")
    (tensor(2.), tensor(4.5000))
    """
    return _half_square(fake_logits, _targets(coding)[2])


def wasserstein_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The critic's loss E a(y) - E a(x); minus it estimates K times the Wasserstein-1 distance for K-Lipschitz critics.

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes (N, ...); detach the fakes.

    Returns:
        Scalar, logits. Meaningless unless the critic's slope is held (clipping, a gradient penalty, ...).

    Source: Arjovsky et al. 2017, arXiv:1701.07875, eq. 2.

    >>> wasserstein_d(torch.tensor([3.0]), torch.tensor([1.0]))
    tensor(-2.)
    """
    return upcast(fake_logits).mean() - upcast(real_logits).mean()


def wasserstein_g(fake_logits: Tensor) -> Tensor:
    """The generator's loss -E a(y).

    Args:
        fake_logits: scores of fakes (N, ...).

    Returns:
        Scalar, logits.

    Source: Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1.

    >>> wasserstein_g(torch.tensor([1.0, 2.0]))
    tensor(-1.5000)
    """
    return -upcast(fake_logits).mean()


def hinge_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E max(0, 1 - a(x)) + E max(0, 1 + a(y)): scores beyond the margin give no gradient.

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes (N, ...); detach the fakes.

    Returns:
        Scalar, at least 0; 2 when all scores are 0.

    Source: Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, eq. 16.

    >>> hinge_d(torch.tensor([0.5, 2.0]), torch.tensor([0.0, -3.0]))   # (0.5 + 0) / 2 + (1 + 0) / 2
    tensor(0.7500)
    """
    return F.relu(1 - upcast(real_logits)).mean() + F.relu(1 + upcast(fake_logits)).mean()


def hinge_g(fake_logits: Tensor) -> Tensor:
    """The generator's side of the hinge game, -E a(y): no hinge here.

    Args:
        fake_logits: scores of fakes (N, ...).

    Returns:
        Scalar, logits.

    Source: Miyato et al. 2018, arXiv:1802.05957, eq. 17.

    >>> hinge_g(torch.tensor([1.0, 2.0]))
    tensor(-1.5000)
    """
    return -upcast(fake_logits).mean()


def _cross_entropy(logits: Tensor, target: float) -> Tensor:
    if not 0.0 <= target <= 1.0:
        raise GansmithError(f"A label target of {target} is out of range: targets and smoothing lie between 0 and 1.")
    a = upcast(logits)
    return (target * F.softplus(-a) + (1.0 - target) * F.softplus(a)).mean()


def _half_square(logits: Tensor, target: float) -> Tensor:
    return 0.5 * (upcast(logits) - target).square().mean()


def _targets(coding: str) -> tuple[float, float, float]:
    if coding not in LEAST_SQUARES_CODINGS:
        known = " or ".join(f'"{name}"' for name in LEAST_SQUARES_CODINGS)
        hint = did_you_mean(coding, LEAST_SQUARES_CODINGS)
        raise GansmithError(f'Unknown least-squares coding "{coding}": use {known}.{hint}')
    return LEAST_SQUARES_CODINGS[coding]
