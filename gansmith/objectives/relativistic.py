"""Losses on the difference between real and fake scores; the generator's side needs real scores too.

All are minimised, take logits of equal shapes, (N,), (N, 1) or (N, ...), and keep the order (real, fake) for
both players. Values and gradients are finite for any finite logit whose square is (|a| < 1e18 in float32).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.objectives.numerics import upcast


def relativistic_d(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The paired loss E log(1 + e^-(a(x) - a(y))): each real should score above the fake it is paired with.

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes, the same shape; detach the fakes.

    Returns:
        Scalar, nats; log 2 when all scores are equal. Adding a constant to all scores changes nothing.

    Raises:
        GansmithError: the shapes differ ((N,) against (N, 1) would compare every real with every fake).

    Source: Jolicoeur-Martineau 2018, arXiv:1807.00734 (RSGAN); Huang et al. 2024, arXiv:2501.05441, eq. 2 (RpGAN).

    >>> relativistic_d(torch.tensor([2.0]), torch.tensor([2.0]))
    tensor(0.6931)
    """
    real, fake = _pair(real_logits, fake_logits)
    return F.softplus(fake - real).mean()


def relativistic_g(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """The generator's side: each fake should score above its real, `relativistic_d` with the two exchanged.

    Args:
        real_logits: scores of real samples (N, ...), by the same D as the fakes'.
        fake_logits: scores of fakes, the same shape.

    Returns:
        Scalar, nats.

    Raises:
        GansmithError: the shapes differ.

    Source: as `relativistic_d`.

    >>> relativistic_g(torch.tensor([1.0]), torch.tensor([3.0]))       # log(1 + e^-2)
    tensor(0.1269)
    """
    return relativistic_d(fake_logits, real_logits)


def relativistic_average_d(real_logits: Tensor, fake_logits: Tensor, kind: str = "logistic") -> Tensor:
    """Each score is compared with the mean of the other side's batch: (l(a(x) - mean a(y)) + l(mean a(x) - a(y))) / 2.

    The means are over the batch at hand, and gradients flow through them. Split over processes, each process
    compares with its own share of the batch.

    Args:
        real_logits: scores of real samples (N, ...).
        fake_logits: scores of fakes, the same shape; detach the fakes.
        kind: l(d) is "logistic" log(1 + e^-d) (RaSGAN), "least_squares" (d - 1)^2 (RaLSGAN) or "hinge"
            max(0, 1 - d) (RaHingeGAN).

    Returns:
        Scalar, at least 0.

    Raises:
        GansmithError: the shapes differ, or the kind is unknown.

    Source: Jolicoeur-Martineau 2018, arXiv:1807.00734, with the 1/2 of the released code.

    >>> real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0])
    >>> relativistic_average_d(real, fake, "least_squares")            # distances 0 and 2: (d - 1)^2 = 1
    tensor(1.)
    """
    if kind not in _MARGINS:
        known = ", ".join(f'"{name}"' for name in _MARGINS)
        raise GansmithError(f'Unknown relativistic kind "{kind}": use one of {known}.{did_you_mean(kind, _MARGINS)}')
    real, fake = _pair(real_logits, fake_logits)
    margin = _MARGINS[kind]
    return 0.5 * (margin(real - fake.mean()) + margin(real.mean() - fake)).mean()


def relativistic_average_g(real_logits: Tensor, fake_logits: Tensor, kind: str = "logistic") -> Tensor:
    """The generator's side: `relativistic_average_d` with reals and fakes exchanged, so both terms stay.

    Args:
        real_logits: scores of real samples (N, ...), by the same D as the fakes'.
        fake_logits: scores of fakes, the same shape.
        kind: "logistic", "least_squares" or "hinge".

    Returns:
        Scalar, at least 0.

    Raises:
        GansmithError: the shapes differ, or the kind is unknown.

    Source: as `relativistic_average_d`.

    >>> relativistic_average_g(torch.tensor([1.0]), torch.tensor([3.0]), "hinge")
    tensor(0.)
    """
    return relativistic_average_d(fake_logits, real_logits, kind)


_MARGINS: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": lambda d: F.softplus(-d),
    "least_squares": lambda d: (d - 1).square(),
    "hinge": lambda d: torch.relu(1 - d),
}


def _pair(real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
    if real_logits.shape != fake_logits.shape:
        shapes = f"{tuple(real_logits.shape)} and {tuple(fake_logits.shape)}"
        raise GansmithError(
            f"Relativistic losses pair real with fake scores, but their shapes are {shapes}: make them equal."
        )
    return upcast(real_logits), upcast(fake_logits)
