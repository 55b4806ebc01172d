"""Objectives against closed forms, at the optimum of D, and at extreme logits."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.objectives import (
    DIVERGENCES,
    divergence,
    f_divergence_d,
    f_divergence_g,
    hinge_d,
    hinge_g,
    least_squares_d,
    least_squares_g,
    maximum_likelihood_g,
    minimax_d,
    minimax_g,
    nonsaturating_d,
    nonsaturating_g,
    relativistic_average_d,
    relativistic_average_g,
    relativistic_d,
    relativistic_g,
    wasserstein_d,
    wasserstein_g,
)
from gansmith.objectives.numerics import bounded_exp

# A discrete pair, as samples: value i occurs p[i] or q[i] times in ten, so means over samples are exact expectations.
P, Q = np.array([0.5, 0.3, 0.2]), np.array([0.1, 0.3, 0.6])
REAL = torch.tensor([0] * 5 + [1] * 3 + [2] * 2)
FAKE = torch.tensor([0] * 1 + [1] * 3 + [2] * 6)

KINDS = ("logistic", "least_squares", "hinge")
D_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "minimax": minimax_d,
    "smoothed": partial(nonsaturating_d, smoothing=0.1, two_sided=True),
    "least_squares": least_squares_d,
    "wasserstein": wasserstein_d,
    "hinge": hinge_d,
    "relativistic": relativistic_d,
    **{f"relativistic_average_{k}": partial(relativistic_average_d, kind=k) for k in KINDS},
    **{f"f_{name}": partial(f_divergence_d, div) for name, div in DIVERGENCES.items()},
}
G_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "minimax": minimax_g,
    "nonsaturating": nonsaturating_g,
    "maximum_likelihood": maximum_likelihood_g,
    "least_squares": least_squares_g,
    "least_squares_pearson": partial(least_squares_g, coding="pearson"),
    "wasserstein": wasserstein_g,
    "hinge": hinge_g,
    **{
        f"f_{n}_{s}": partial(f_divergence_g, d, nonsaturating=s) for n, d in DIVERGENCES.items() for s in (True, False)
    },
}


def best_table(loss: Callable[[Tensor], Tensor], size: int) -> Tensor:
    """The table of logits, one a value, that minimises the loss (float64, L-BFGS)."""
    table = torch.zeros(size, dtype=torch.float64, requires_grad=True)
    optim = torch.optim.LBFGS([table], max_iter=300, tolerance_grad=1e-12, tolerance_change=1e-15)

    def closure() -> Tensor:
        optim.zero_grad()
        value = loss(table)
        value.backward()
        return value

    optim.step(closure)  # type: ignore[arg-type]
    return table.detach()


def slope(loss: Callable[[Tensor], Tensor], at: float) -> float:
    """d loss / d logit for a single logit."""
    a = torch.tensor([at], requires_grad=True)
    loss(a).backward()
    assert a.grad is not None
    return a.grad.item()


# ------------------------------------------------------------------ the optimum of D


def test_minimax_optimum_is_the_density_ratio_and_its_value_the_js_divergence() -> None:
    a = best_table(lambda t: minimax_d(t[REAL], t[FAKE]), 3)
    np.testing.assert_allclose(torch.sigmoid(a), P / (P + Q), atol=1e-5)
    value = -minimax_d(a[REAL], a[FAKE]).item()
    assert value + math.log(4) == pytest.approx(2 * jensenshannon(P, Q) ** 2, abs=1e-6)


@pytest.mark.parametrize(("two_sided", "expected"), [(True, 0.1), (False, 0.0)])
def test_label_smoothing_where_there_are_only_fakes(two_sided: bool, expected: float) -> None:
    real, fake = torch.tensor([0, 0]), torch.tensor([0, 1])
    a = best_table(lambda t: nonsaturating_d(t[real], t[fake], smoothing=0.1, two_sided=two_sided), 2)
    share = torch.sigmoid(a)
    assert share[1].item() == pytest.approx(expected, abs=1e-4)
    assert share[0].item() == pytest.approx((0.9 * 1 + expected * 0.5) / 1.5, abs=1e-4)


def test_smoothing_is_a_choice_of_targets() -> None:
    real, fake = torch.randn(6), torch.randn(6)
    assert torch.equal(nonsaturating_d(real, fake), minimax_d(real, fake))
    assert torch.equal(nonsaturating_d(real, fake, 0.25), minimax_d(real, fake, 0.75, 0.0))
    bce = F.binary_cross_entropy_with_logits
    want = bce(real, torch.full((6,), 0.75)) + bce(fake, torch.full((6,), 0.25))
    torch.testing.assert_close(nonsaturating_d(real, fake, 0.25, two_sided=True), want)


def test_least_squares_pearson_identity() -> None:
    """2 C(G) = chi^2(p + q || 2q) with the best D, the real term included (LSGAN, theorem of section 3.2)."""
    a = best_table(lambda t: least_squares_d(t[REAL], t[FAKE], "pearson"), 3)
    np.testing.assert_allclose(a, (P - Q) / (P + Q), atol=1e-6)
    cost = least_squares_g(a[REAL], "pearson") + least_squares_g(a[FAKE], "pearson")
    assert 2 * cost.item() == pytest.approx(np.sum((2 * Q - (P + Q)) ** 2 / (P + Q)), abs=1e-6)
    binary = best_table(lambda t: least_squares_d(t[REAL], t[FAKE]), 3)
    np.testing.assert_allclose(binary, P / (P + Q), atol=1e-6)


def test_hinge_optimum_takes_sides() -> None:
    a = best_table(lambda t: hinge_d(t[REAL], t[FAKE]), 3)
    assert a[0] >= 1 - 1e-6 and a[2] <= -1 + 1e-6


def test_values_when_d_knows_nothing() -> None:
    zero = torch.zeros(5)
    values = {
        minimax_d: 2 * math.log(2),
        nonsaturating_d: 2 * math.log(2),
        relativistic_d: math.log(2),
        relativistic_average_d: math.log(2),
        hinge_d: 2.0,
        least_squares_d: 0.5,
        wasserstein_d: 0.0,
    }
    for loss, value in values.items():
        assert loss(zero, zero).item() == pytest.approx(value, abs=1e-6), loss.__name__


# ------------------------------------------------------------------ gradients


def test_generator_gradients_where_d_rejects() -> None:
    assert abs(slope(minimax_g, -8.0)) < 1e-3 and slope(minimax_g, -8.0) == pytest.approx(-1 / (1 + math.exp(8)))
    assert slope(nonsaturating_g, -8.0) < -0.999
    assert abs(slope(maximum_likelihood_g, -8.0)) < 1e-3
    assert slope(least_squares_g, -10.0) == pytest.approx(-11)
    assert slope(partial(least_squares_g, coding="pearson"), -10.0) == pytest.approx(-10)
    assert abs(slope(minimax_g, -10.0)) < 1e-4


@pytest.mark.parametrize("name", G_LOSSES)
@pytest.mark.parametrize("at", [-1.9, -0.1])
def test_every_generator_cost_raises_the_score(name: str, at: float) -> None:
    assert slope(G_LOSSES[name], at) < 0


@pytest.mark.parametrize("name", D_LOSSES)
def test_every_d_loss_separates(name: str) -> None:
    real, fake = torch.full((4,), 0.1).requires_grad_(), torch.full((4,), 0.1).requires_grad_()
    D_LOSSES[name](real, fake).backward()
    assert real.grad is not None and fake.grad is not None
    assert (real.grad < 0).all() and (fake.grad > 0).all()


def test_hinge_gradient_is_zero_beyond_the_margin() -> None:
    real = torch.tensor([0.5, 1.5], requires_grad=True)
    fake = torch.tensor([-0.5, -1.5], requires_grad=True)
    hinge_d(real, fake).backward()
    assert real.grad is not None and fake.grad is not None
    assert real.grad.tolist() == [-0.5, 0.0] and fake.grad.tolist() == [0.5, 0.0]


def test_maximum_likelihood_gradient_is_that_of_kl() -> None:
    """p = N(0, 1), q = N(m, 1), a = log p/q held fixed: the gradient in m is that of KL(p || q) = m^2 / 2, so m."""
    at = 0.6
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    counts = torch.tensor(np.round(weights / weights.sum() * 1e5).astype(int))
    z = torch.tensor(nodes).repeat_interleave(counts)
    m = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    y = z + m
    maximum_likelihood_g((y - at).square() / 2 - y.square() / 2).backward()
    assert m.grad is not None and m.grad.item() == pytest.approx(at, rel=1e-3)


def test_maximum_likelihood_overflow_keeps_the_direction() -> None:
    a = torch.tensor([500.0, 499.0, 400.0], requires_grad=True)
    maximum_likelihood_g(a).backward()
    assert a.grad is not None
    ratio = a.grad / a.grad[0]
    torch.testing.assert_close(ratio, torch.tensor([1.0, math.exp(-1), 0.0]))
    below = torch.tensor([3.0, -1.0])
    torch.testing.assert_close(maximum_likelihood_g(below), -below.exp().mean())


# ------------------------------------------------------------------ relativistic


def test_relativistic_swap_negates_and_offset_cancels() -> None:
    real, fake = torch.randn(7, requires_grad=True), torch.randn(7, requires_grad=True)
    assert torch.equal(relativistic_g(real, fake), relativistic_d(fake, real))
    torch.testing.assert_close(relativistic_d(real, fake) - relativistic_g(real, fake), (fake - real).mean())
    d_real, d_fake = torch.autograd.grad(relativistic_d(real, fake), (real, fake))
    torch.testing.assert_close(d_real, -d_fake)
    torch.testing.assert_close(relativistic_d(real + 5, fake + 5), relativistic_d(real, fake))
    for kind in KINDS:
        torch.testing.assert_close(
            relativistic_average_d(real + 5, fake + 5, kind), relativistic_average_d(real, fake, kind)
        )


def test_relativistic_average_by_hand() -> None:
    real, fake = torch.tensor([1.0, 4.0]), torch.tensor([0.0, 2.0])
    bce, one, zero = F.binary_cross_entropy_with_logits, torch.ones(2), torch.zeros(2)
    d = (bce(real - fake.mean(), one) + bce(fake - real.mean(), zero)) / 2
    g = (bce(real - fake.mean(), zero) + bce(fake - real.mean(), one)) / 2
    torch.testing.assert_close(relativistic_average_d(real, fake), d)
    torch.testing.assert_close(relativistic_average_g(real, fake), g)
    # differences to the other mean: reals 0 and 3, fakes -2.5 and -0.5
    assert relativistic_average_d(real, fake, "hinge").item() == pytest.approx((0.5 * 1 + 0.5 * 0.5) / 2)
    assert relativistic_average_g(real, fake, "hinge").item() == pytest.approx((0.5 * (1 + 4) + 0.5 * (3.5 + 1.5)) / 2)
    squares = ((0 - 1) ** 2 + (3 - 1) ** 2) / 2 + ((-2.5 + 1) ** 2 + (-0.5 + 1) ** 2) / 2
    assert relativistic_average_d(real, fake, "least_squares").item() == pytest.approx(squares / 2)


@pytest.mark.parametrize("loss", [relativistic_d, relativistic_g, relativistic_average_d, relativistic_average_g])
def test_relativistic_refuses_shapes_that_would_broadcast(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    with pytest.raises(GansmithError, match=r"\(4,\) and \(4, 1\)|\(4, 1\) and \(4,\)"):
        loss(torch.zeros(4), torch.zeros(4, 1))


# ------------------------------------------------------------------ finite for any logit


LIMIT = float(torch.tensor(1e18))
LOGITS = st.lists(st.floats(-LIMIT, LIMIT, width=32), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@given(LOGITS, LOGITS)
@example([1e4, -1e4], [-1e4, 1e4])
@example([1e4], [1e4])
@example([-1e4], [-1e4])
@example([LIMIT, -LIMIT], [-LIMIT, LIMIT])
def test_values_and_gradients_are_finite(a: list[float], b: list[float]) -> None:
    n = min(len(a), len(b))
    for d in D_LOSSES.values():
        real, fake = torch.tensor(a[:n], requires_grad=True), torch.tensor(b[:n], requires_grad=True)
        loss = d(real, fake)
        assert loss.shape == () and loss.isfinite()
        assert all(g.isfinite().all() for g in torch.autograd.grad(loss, (real, fake)))
    for g in G_LOSSES.values():
        fake = torch.tensor(b, requires_grad=True)
        loss = g(fake)
        assert loss.shape == () and loss.isfinite()
        assert torch.autograd.grad(loss, fake)[0].isfinite().all()


def test_exponential_is_exact_below_its_cap_and_never_flat_above() -> None:
    v = torch.tensor([-1e4, -3.0, 0.0, 19.0, 20.0, 25.0, 1e4], dtype=torch.float64, requires_grad=True)
    e = bounded_exp(v)
    (gradient,) = torch.autograd.grad(e.sum(), v)
    torch.testing.assert_close(e[:5], v[:5].exp())
    torch.testing.assert_close(gradient[:5], v[:5].exp())
    torch.testing.assert_close(gradient[4:], torch.full_like(gradient[4:], math.e**20))


@pytest.mark.parametrize("name", D_LOSSES)
def test_shape_and_precision_of_d_losses(name: str) -> None:
    torch.manual_seed(1)
    real, fake = torch.randn(6), torch.randn(6)
    loss = D_LOSSES[name]
    assert torch.equal(loss(real, fake), loss(real[:, None], fake[:, None]))
    low = loss(real.bfloat16(), fake.bfloat16())
    assert low.dtype == torch.float32
    assert torch.equal(low, loss(real.bfloat16().float(), fake.bfloat16().float()))


@pytest.mark.parametrize("name", G_LOSSES)
def test_shape_and_precision_of_g_losses(name: str) -> None:
    torch.manual_seed(1)
    fake = torch.randn(6)
    loss = G_LOSSES[name]
    assert torch.equal(loss(fake), loss(fake[:, None]))
    low = loss(fake.bfloat16())
    assert low.dtype == torch.float32 and torch.equal(low, loss(fake.bfloat16().float()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: least_squares_d(torch.zeros(1), torch.zeros(1), "pearsn"), 'Did you mean "pearson"'),
        (lambda: relativistic_average_g(torch.zeros(1), torch.zeros(1), "hing"), 'Did you mean "hinge"'),
        (lambda: divergence("reverse-kl"), 'Did you mean "reverse_kl"'),
        (lambda: nonsaturating_d(torch.zeros(1), torch.zeros(1), smoothing=1.5), "between 0 and 1"),
        (lambda: minimax_d(torch.zeros(1), torch.zeros(1), 1.0, -0.1), "between 0 and 1"),
    ],
)
def test_bad_choices_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        call()
