"""f-GAN: the variational bound of six f-divergences, and both generator costs.

D_f(P || Q) = E_Q f(p/q) >= E_P T - E_Q f*(T) for every T with values in the domain of the conjugate f*. A free
network V gives T = g_f(V) through an output activation g_f; the bound is tight at T = f'(p/q). V is of shape (N,),
(N, 1) or (N, ...); means run over all entries, in at least float32.

Where the activation or the conjugate holds an e^v, it is continued by its tangent from v = 20 on (`bounded_exp`),
so that values and gradients are finite; beyond it (density ratios above 4.9e8 or, for reverse KL and Hellinger,
also below 2e-9) the bound is no longer exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.objectives.numerics import bounded_exp, upcast

Elementwise = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class FDivergence:
    """One row of the f-GAN tables; every function is elementwise.

    Args:
        name: its key in `DIVERGENCES`.
        f: the convex generating function f(u) of the density ratio u = p/q > 0.
        activation: g_f(v), from any real v into the domain of f*.
        conjugate_of_activation: f*(g_f(v)), simplified (never an exponential of a logarithm).
        optimal: T*(r) = f'(r), where the bound is tight, for r = p/q > 0.
        optimal_v: the v with g_f(v) = T*(r).
        threshold: f'(1); a sample is more likely real when T(x) is above it.

    Source: Nowozin et al. 2016, arXiv:1606.00709, tables 1 and 2, and the appendix's.
    """

    name: str
    f: Elementwise
    activation: Elementwise
    conjugate_of_activation: Elementwise
    optimal: Elementwise
    optimal_v: Elementwise
    threshold: float


def divergence(name: str) -> FDivergence:
    """The divergence of that name.

    Raises:
        GansmithError: no such name; the message lists the six.

    >>> divergence("pearson").threshold
    0.0
    """
    if name not in DIVERGENCES:
        raise GansmithError(
            f'Unknown divergence "{name}": use one of {", ".join(DIVERGENCES)}.{did_you_mean(name, DIVERGENCES)}'
        )
    return DIVERGENCES[name]


def f_divergence_d(div: FDivergence, real_v: Tensor, fake_v: Tensor) -> Tensor:
    """Minus the variational bound: -(E_P g_f(V) - E_Q f*(g_f(V))), to be minimised by V.

    Args:
        div: one of `DIVERGENCES`.
        real_v: raw outputs V(x) of real samples (N, ...).
        fake_v: raw outputs V(y) of fakes (N, ...); detach the fakes.

    Returns:
        Scalar; minus it is at most the divergence.

    Source: Nowozin et al. 2016, arXiv:1606.00709, eq. 4 to 6.

    >>> f_divergence_d(DIVERGENCES["gan"], torch.zeros(4), torch.zeros(4))     # 2 log 2, as minimax_d
    tensor(1.3863)
    """
    return div.conjugate_of_activation(upcast(fake_v)).mean() - div.activation(upcast(real_v)).mean()


def f_divergence_g(div: FDivergence, fake_v: Tensor, nonsaturating: bool = True) -> Tensor:
    """The generator's cost on the fakes.

    Args:
        div: one of `DIVERGENCES`.
        fake_v: raw outputs V(y) of fakes (N, ...).
        nonsaturating: True: -E g_f(V), which raises T on the fakes (the paper's practical choice); False: the
            game's own -E f*(g_f(V)), which vanishes where V rejects (Pearson: turns round below V = -2).

    Returns:
        Scalar.

    Source: Nowozin et al. 2016, arXiv:1606.00709, eq. 4 and section 3.2.

    >>> f_divergence_g(DIVERGENCES["gan"], torch.zeros(4)), f_divergence_g(DIVERGENCES["gan"], torch.zeros(4), False)
    (tensor(0.6931), tensor(-0.6931))
    """
    cost = div.activation if nonsaturating else div.conjugate_of_activation
    return -cost(upcast(fake_v)).mean()


LOG2 = math.log(2.0)

DIVERGENCES = {
    d.name: d
    for d in (
        FDivergence(
            name="kl",
            f=lambda u: torch.xlogy(u, u),
            activation=lambda v: v,
            conjugate_of_activation=lambda v: bounded_exp(v - 1),
            optimal=lambda r: 1 + torch.log(r),
            optimal_v=lambda r: 1 + torch.log(r),
            threshold=1.0,
        ),
        FDivergence(
            name="reverse_kl",
            f=lambda u: -torch.log(u),
            activation=lambda v: -bounded_exp(-v),
            conjugate_of_activation=lambda v: v - 1,
            optimal=lambda r: -1 / r,
            optimal_v=torch.log,
            threshold=-1.0,
        ),
        FDivergence(
            name="pearson",
            f=lambda u: (u - 1).square(),
            activation=lambda v: v,
            conjugate_of_activation=lambda v: v.square() / 4 + v,
            optimal=lambda r: 2 * (r - 1),
            optimal_v=lambda r: 2 * (r - 1),
            threshold=0.0,
        ),
        FDivergence(
            name="hellinger",
            f=lambda u: (torch.sqrt(u) - 1).square(),
            activation=lambda v: 1 - bounded_exp(-v),
            conjugate_of_activation=lambda v: bounded_exp(v) - 1,
            optimal=lambda r: 1 - torch.rsqrt(r),
            optimal_v=lambda r: torch.log(r) / 2,
            threshold=0.0,
        ),
        FDivergence(
            name="jensen_shannon",
            f=lambda u: torch.xlogy(u, u) - torch.xlogy(u + 1, (u + 1) / 2),
            activation=lambda v: LOG2 - F.softplus(-v),
            conjugate_of_activation=lambda v: F.softplus(v) - LOG2,
            optimal=lambda r: torch.log(2 * r / (1 + r)),
            optimal_v=torch.log,
            threshold=0.0,
        ),
        FDivergence(
            name="gan",
            f=lambda u: torch.xlogy(u, u) - torch.xlogy(u + 1, u + 1),
            activation=lambda v: -F.softplus(-v),
            conjugate_of_activation=F.softplus,
            optimal=lambda r: torch.log(r / (1 + r)),
            optimal_v=torch.log,
            threshold=-LOG2,
        ),
    )
}
"""By name. "jensen_shannon" is twice the Jensen-Shannon divergence (its f has no 1/2); "gan" is that minus log 4."""
