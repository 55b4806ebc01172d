"""The six f-divergences against quadrature (scipy) and closed forms, and by what they do when trained."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import integrate, optimize
from scipy.stats import norm
from torch import Tensor, nn

from gansmith.objectives import (
    DIVERGENCES,
    FDivergence,
    f_divergence_d,
    f_divergence_g,
    minimax_d,
    minimax_g,
    nonsaturating_g,
)

GRID = np.linspace(-14.0, 14.0, 8001)
SHIFT = 0.8


def grid_divergence(div: FDivergence, p: np.ndarray, q: np.ndarray) -> float:
    """D_f by Simpson's rule from the densities alone."""
    u = torch.from_numpy(p / q)
    return float(integrate.simpson(q * div.f(u).numpy(), x=GRID))


@pytest.mark.parametrize("div", DIVERGENCES.values(), ids=DIVERGENCES.keys())
def test_f_divergence_bound_is_tight_at_its_optimum(div: FDivergence) -> None:
    p, q = norm.pdf(GRID, 0, 1), norm.pdf(GRID, SHIFT, 1)
    r = torch.from_numpy(p / q)
    middle = (p + q) / 2
    js = integrate.simpson(p * np.log(p / middle) + q * np.log(q / middle), x=GRID)
    known = {
        "kl": SHIFT**2 / 2,
        "reverse_kl": SHIFT**2 / 2,
        "pearson": math.exp(SHIFT**2) - 1,
        "hellinger": 2 - 2 * math.exp(-(SHIFT**2) / 8),
        "jensen_shannon": js,
        "gan": js - math.log(4),
    }[div.name]
    v = div.optimal_v(r)
    torch.testing.assert_close(div.activation(v), div.optimal(r))
    bound = integrate.simpson(p * div.activation(v).numpy() - q * div.conjugate_of_activation(v).numpy(), x=GRID)
    assert grid_divergence(div, p, q) == pytest.approx(known, abs=1e-6)
    assert bound == pytest.approx(known, abs=1e-6)


@pytest.mark.parametrize("div", DIVERGENCES.values(), ids=DIVERGENCES.keys())
def test_f_divergence_row_agrees_with_its_f(div: FDivergence) -> None:
    """T* = f', the threshold is f'(1), the conjugate is sup_u (u t - f(u)) and v = optimal_v maximises the bound."""
    u = torch.tensor([0.2, 0.7, 1.0, 3.0], dtype=torch.float64, requires_grad=True)
    (slopes,) = torch.autograd.grad(div.f(u).sum(), u)
    torch.testing.assert_close(slopes, div.optimal(u))
    assert div.optimal(torch.ones(1)).item() == pytest.approx(div.threshold)
    v = div.optimal_v(u.detach()).requires_grad_()
    for t, c in zip(div.activation(v).tolist(), div.conjugate_of_activation(v).tolist(), strict=True):

        def minus(w: float, t: float = t) -> float:
            return float(div.f(torch.tensor(w, dtype=torch.float64))) - w * t

        sup = -optimize.minimize_scalar(minus, bounds=(1e-9, 50), method="bounded", options={"xatol": 1e-9}).fun
        assert c == pytest.approx(sup, abs=1e-6)
    (stationary,) = torch.autograd.grad((u.detach() * div.activation(v) - div.conjugate_of_activation(v)).sum(), v)
    torch.testing.assert_close(stationary, torch.zeros_like(stationary), atol=1e-12, rtol=0)


def test_gan_divergence_is_the_original_game() -> None:
    real, fake, gan = torch.randn(9), torch.randn(9), DIVERGENCES["gan"]
    torch.testing.assert_close(f_divergence_d(gan, real, fake), minimax_d(real, fake))
    torch.testing.assert_close(f_divergence_g(gan, fake), nonsaturating_g(fake))
    torch.testing.assert_close(f_divergence_g(gan, fake, nonsaturating=False), minimax_g(fake))


P_GRID = 0.5 * norm.pdf(GRID, -1.0, 0.8) + 0.5 * norm.pdf(GRID, 1.0, 0.8)


def mixture(n: int) -> Tensor:
    """Samples (N, 1) of P, whose density is P_GRID."""
    return (0.8 * torch.randn(n) + torch.where(torch.rand(n) < 0.5, -1.0, 1.0))[:, None]


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(1, 24), nn.Tanh(), nn.Linear(24, 1))


def bound_on_grid(div: FDivergence, V: nn.Module, q: np.ndarray) -> float:
    with torch.no_grad():
        v = V(torch.from_numpy(GRID).float()[:, None]).squeeze(1).double()
    return float(
        integrate.simpson(P_GRID * div.activation(v).numpy() - q * div.conjugate_of_activation(v).numpy(), x=GRID)
    )


@pytest.mark.parametrize("div", DIVERGENCES.values(), ids=DIVERGENCES.keys())
def test_training_v_tightens_the_bound(div: FDivergence) -> None:
    """Towards the divergence between the mixture and N(1, 1.1^2), from below: the integral never exceeds it."""
    torch.manual_seed(0)
    V, q = network(), norm.pdf(GRID, 1.0, 1.1)
    optim = torch.optim.Adam(V.parameters(), lr=2e-2, betas=(0.9, 0.99))
    offset = -2 * math.log(2) if div.name == "gan" else 0.0  # f(1), the divergence of equals
    true, before = grid_divergence(div, P_GRID, q), bound_on_grid(div, V, q)
    for _ in range(200):
        optim.zero_grad()
        f_divergence_d(div, V(mixture(512)), V(1.0 + 1.1 * torch.randn(512, 1))).backward()
        optim.step()
    after = bound_on_grid(div, V, q)
    assert before < after <= true + 1e-6
    assert after - offset > 0.9 * (true - offset)


def fit(
    div: FDivergence, real: Callable[[int], Tensor], m: float, s: float, nonsaturating: bool
) -> tuple[float, float]:
    """Play the game from Q = N(m, s^2), 200 rounds of two V steps and one of Q: where its mean and deviation end."""
    torch.manual_seed(0)
    V, theta = network(), torch.tensor([m, math.log(s)], requires_grad=True)
    d_optim, g_optim = torch.optim.Adam(V.parameters(), lr=2e-2), torch.optim.Adam([theta], lr=2e-2)
    for _ in range(200):
        fake = theta[0] + theta[1].exp() * torch.randn(256, 1)
        for _ in range(2):
            d_optim.zero_grad()
            f_divergence_d(div, V(real(256)), V(fake.detach())).backward()
            d_optim.step()
        g_optim.zero_grad()
        f_divergence_g(div, V(fake), nonsaturating).backward()
        g_optim.step()
    return theta[0].item(), theta[1].exp().item()


@pytest.mark.parametrize("nonsaturating", [True, False])
@pytest.mark.parametrize("div", DIVERGENCES.values(), ids=DIVERGENCES.keys())
def test_training_q_lowers_its_divergence(div: FDivergence, nonsaturating: bool) -> None:
    before = grid_divergence(div, P_GRID, norm.pdf(GRID, 1.5, 1.5))
    after = grid_divergence(div, P_GRID, norm.pdf(GRID, *fit(div, mixture, 1.5, 1.5, nonsaturating)))
    offset = -2 * math.log(2) if div.name == "gan" else 0.0
    assert after - offset < 0.2 * (before - offset)


def test_kl_covers_both_modes_and_reverse_kl_seeks_one() -> None:
    def apart(n: int) -> Tensor:
        return (0.5 * torch.randn(n) + torch.where(torch.rand(n) < 0.7, -1.0, 2.0))[:, None]

    _, kl = fit(DIVERGENCES["kl"], apart, -0.5, 1.2, True)
    mean, reverse = fit(DIVERGENCES["reverse_kl"], apart, -0.5, 1.2, True)
    assert kl > 1.2 and reverse < 0.8 and abs(mean + 1) < 0.2
