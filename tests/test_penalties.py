"""Penalties against closed forms, against loops over samples, and in the Dirac-GAN game."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.objectives import minimax_d, minimax_g, nonsaturating_d, nonsaturating_g, wasserstein_d, wasserstein_g
from gansmith.penalties import (
    clip_weights_,
    dragan,
    drift,
    gradient_square,
    lazy,
    lazy_adam_rescale,
    orthogonal,
    r1,
    r2,
    wgan_gp,
)

W = torch.tensor([3.0, 4.0], dtype=torch.float64)
PENALTIES: dict[str, Callable[[Callable[[Tensor], Tensor], Tensor, Tensor], Tensor]] = {
    "r1": lambda D, real, fake: r1(D, real),
    "r2": lambda D, real, fake: r2(D, fake),
    "wgan_gp": wgan_gp,
    "wgan_gp_one_sided": partial(wgan_gp, one_sided=True),
    "dragan": lambda D, real, fake: dragan(D, real),
    "dragan_gaussian": lambda D, real, fake: dragan(D, real, noise="gaussian"),
}


class Spy:
    """A critic that keeps what it was shown."""

    def __init__(self) -> None:
        self.seen = torch.empty(0)

    def __call__(self, x: Tensor) -> Tensor:
        self.seen = x.detach()
        return x.flatten(1).square().sum(1)


def image_critic() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1), nn.Softplus(), nn.Flatten(), nn.Linear(16, 1)).double()


def sample_norms(D: nn.Module, x: Tensor) -> Tensor:
    """||grad D|| of each sample alone, one after the other."""
    norms = []
    for one in x:
        one = one[None].clone().requires_grad_()
        norms.append(torch.autograd.grad(D(one).sum(), one)[0].norm())
    return torch.stack(norms)


# ------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize(
    ("name", "value"),
    [("r1", 25), ("r2", 25), ("wgan_gp", 16), ("wgan_gp_one_sided", 16), ("dragan", 16), ("dragan_gaussian", 16)],
)
def test_linear_critic(name: str, value: float, column: bool) -> None:
    """|w| = 5 everywhere, for logits (N,) and (N, 1) alike; the gradient in w is that of the closed form."""
    torch.manual_seed(0)
    w = W.clone().requires_grad_()
    real, fake = torch.randn(8, 2, dtype=torch.float64), torch.randn(8, 2, dtype=torch.float64)
    penalty = PENALTIES[name](lambda x: (x @ w)[:, None] if column else x @ w, real, fake)
    assert penalty.shape == () and penalty.item() == pytest.approx(value, rel=1e-9)
    (gradient,) = torch.autograd.grad(penalty, w)
    expected = 2 * W if name in ("r1", "r2") else 2 * (5 - 1) * W / 5
    torch.testing.assert_close(gradient, expected)


def test_targets_and_sides() -> None:
    x, y = torch.randn(4, 2).double(), torch.randn(4, 2).double()

    def linear(s: Tensor) -> Tensor:
        return s @ W

    assert wgan_gp(linear, x, y, target=2.0).item() == pytest.approx(9)
    assert wgan_gp(linear, x, y, target=6.0).item() == pytest.approx(1)
    assert wgan_gp(linear, x, y, target=6.0, one_sided=True).item() == 0
    assert dragan(linear, x, k=3.0).item() == pytest.approx(4)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_norms_are_per_sample_over_all_entries(name: str) -> None:
    D, x = image_critic(), torch.randn(5, 2, 4, 4).double()
    torch.testing.assert_close(PENALTIES[name](D, x, x), sample_norms(D, x).square().mean())


def test_wgan_gp_takes_the_mean_of_squared_gaps() -> None:
    """Not the gap of a batch norm: with real = fake there is only one point to look at."""
    D, x = image_critic(), torch.randn(5, 2, 4, 4).double()
    norms = sample_norms(D, x)
    torch.testing.assert_close(wgan_gp(D, x, x, target=0.2), (norms - 0.2).square().mean())
    torch.testing.assert_close(wgan_gp(D, x, x, True, 0.2), (norms - 0.2).relu().square().mean())


def test_gradient_square_is_r1_from_the_scores_own_forward() -> None:
    D, x = image_critic(), torch.randn(5, 2, 4, 4).double()
    calls = []
    D.register_forward_hook(lambda *_: calls.append(1))
    leaf = x.clone().requires_grad_()
    logits = D(leaf)
    own = gradient_square(logits, leaf)
    assert len(calls) == 1
    apart = r1(D, x)
    assert torch.equal(own, apart)
    for a, b in zip(
        torch.autograd.grad(own + logits.mean(), D.parameters()),
        torch.autograd.grad(apart + D(x).mean(), D.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", PENALTIES)
def test_double_backward_agrees_with_finite_differences(name: str) -> None:
    D = image_critic()
    weight = D[0].weight
    real, fake = torch.randn(3, 2, 4, 4).double(), torch.randn(3, 2, 4, 4).double()

    def value(w: Tensor) -> Tensor:
        torch.manual_seed(5)  # the same random points every time
        return 10 * PENALTIES[name](lambda x: torch.func.functional_call(D, {"0.weight": w}, x), 3 * real, 3 * fake)

    assert torch.autograd.gradcheck(value, weight.detach().requires_grad_())


@pytest.mark.parametrize("name", PENALTIES)
def test_flat_critic_has_a_finite_gradient(name: str) -> None:
    w = torch.zeros(2, requires_grad=True)
    (gradient,) = torch.autograd.grad(PENALTIES[name](lambda x: x @ w, torch.randn(4, 2), torch.randn(4, 2)), w)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", PENALTIES)
def test_nothing_reaches_the_generator(name: str) -> None:
    torch.manual_seed(0)
    D = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    real, fake = torch.randn(4, 2, requires_grad=True), torch.randn(4, 2, requires_grad=True)
    PENALTIES[name](lambda x: 50 * D(x), real * 2, fake * 2).backward()  # steep enough for the one-sided form
    assert real.grad is None and fake.grad is None
    assert D[0].weight.grad is not None and D[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", PENALTIES)
def test_low_precision_samples_give_a_float32_penalty(name: str) -> None:
    torch.manual_seed(0)
    w = torch.tensor([3.0, 4.0]).bfloat16()
    value = PENALTIES[name](lambda x: x @ w, torch.randn(4, 2).bfloat16(), torch.randn(4, 2).bfloat16())
    assert value.dtype == torch.float32
    assert value.item() == (25 if name in ("r1", "r2") else pytest.approx(16))


# ------------------------------------------------------------------ where the gradient is taken


def test_wgan_gp_points_lie_between_with_one_share_per_sample() -> None:
    torch.manual_seed(0)
    D, real, fake = Spy(), torch.randn(200, 1, 3, 3), torch.randn(200, 1, 3, 3)
    wgan_gp(D, real, fake)
    share = ((D.seen - real) / (fake - real)).flatten(1)
    torch.testing.assert_close(share, share.median(1, keepdim=True).values.expand_as(share), atol=1e-2, rtol=0)
    u = share.median(1).values
    assert u.min() >= 0 and u.max() <= 1 and abs(u.mean() - 0.5) < 0.08 and abs(u.std() - 12**-0.5) < 0.04


def test_dragan_noise_of_the_released_code() -> None:
    """Positive, at most half the batch's deviation, and further out along one share per sample."""
    torch.manual_seed(0)
    D, real = Spy(), 3 * torch.randn(400, 2, 5, 5)
    dragan(D, real)
    delta = (D.seen - real) / real.std(correction=0)
    assert delta.min() >= -1e-5 and 0.45 < delta.max() <= 0.5 + 1e-5
    assert abs(delta.mean() - 0.125) < 0.01
    assert delta.flatten(1).amax(1).std() > 0.1  # one share per sample: without it all maxima are near 0.5


def test_dragan_noise_of_the_paper() -> None:
    torch.manual_seed(0)
    D, real = Spy(), 3 * torch.randn(400, 2, 5, 5)
    dragan(D, real, noise="gaussian", scale=2.0)
    delta = (D.seen - real) / real.std(correction=0)
    assert abs(delta.mean()) < 0.05 and abs(delta.std() - 2) < 0.05


# ------------------------------------------------------------------ the Dirac-GAN (Mescheder et al. 2018)

DLoss = Callable[[Tensor, Tensor], Tensor]


def dirac(d_loss: DLoss, g_loss: Callable[[Tensor], Tensor], penalty: Callable[..., Tensor] | None = None) -> float:
    """Data at 0, generator at theta, D(x) = psi x; 500 simultaneous Euler steps of 0.1 from (1, 1); the last radius."""
    torch.manual_seed(0)
    theta, psi = torch.ones(1, 1, requires_grad=True), torch.ones(1, requires_grad=True)
    real = torch.zeros(1, 1)
    for _ in range(500):
        D = partial(torch.matmul, other=psi)
        loss = d_loss(D(real), D(theta.detach()))
        if penalty is not None:
            loss = loss + penalty(D, real, theta)
        (d_psi,) = torch.autograd.grad(loss, psi)
        (d_theta,) = torch.autograd.grad(g_loss(D(theta)), theta)
        theta = (theta - 0.1 * d_theta).detach().requires_grad_()
        psi = (psi - 0.1 * d_psi).detach().requires_grad_()
    return math.hypot(theta.item(), psi.item())


def test_dirac_gan_without_penalty() -> None:
    assert dirac(wasserstein_d, wasserstein_g) == pytest.approx(17, rel=0.05)
    assert dirac(minimax_d, minimax_g) > math.sqrt(2)
    assert dirac(nonsaturating_d, nonsaturating_g) == pytest.approx(0.52, abs=0.02)  # shrinks, but slowly


@pytest.mark.parametrize(("gamma", "radius"), [(0.3, 2e-3), (1.0, 1e-4)])
def test_dirac_gan_converges_with_r1_and_with_r2(gamma: float, radius: float) -> None:
    assert dirac(nonsaturating_d, nonsaturating_g, lambda D, real, fake: gamma / 2 * r1(D, real)) < radius
    assert dirac(nonsaturating_d, nonsaturating_g, lambda D, real, fake: gamma / 2 * r2(D, fake)) < radius
    assert dirac(wasserstein_d, wasserstein_g, lambda D, real, fake: gamma / 2 * r1(D, real)) < 0.02  # 17 without


def test_dirac_gan_circles_with_wgan_gp() -> None:
    assert 1.0 < dirac(wasserstein_d, wasserstein_g, wgan_gp) < 2.0


# ------------------------------------------------------------------ weights and scores


def test_clip_weights_reaches_every_parameter() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(2, 2))
    small = torch.full_like(net[2].bias, 0.005)
    with torch.no_grad():
        net[2].bias.copy_(small)
    running = net[1].running_var.clone()
    clip_weights_(net, 0.01)
    assert all(p.abs().max() <= 0.01 for p in net.parameters())
    assert torch.equal(net[1].weight, torch.full((2,), 0.01)) and torch.equal(net[2].bias, small)
    assert torch.equal(net[1].running_var, running) and all(p.requires_grad for p in net.parameters())


def test_orthogonal_forms() -> None:
    q = torch.linalg.qr(torch.randn(6, 4).double()).Q.T  # 4 orthonormal rows
    assert orthogonal([q]).item() == pytest.approx(0, abs=1e-20)
    assert orthogonal([q], off_diagonal=False).item() == pytest.approx(0, abs=1e-20)
    assert orthogonal([3 * q]).item() == pytest.approx(0, abs=1e-20)
    assert orthogonal([3 * q], off_diagonal=False).item() == pytest.approx(4 * 8**2)
    w = torch.randn(3, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    rows = w.detach().flatten(1)
    gram = rows @ rows.T
    assert orthogonal([w]).item() == pytest.approx(2 * (gram[0, 1] ** 2 + gram[0, 2] ** 2 + gram[1, 2] ** 2).item())
    (gradient,) = torch.autograd.grad(orthogonal([w]), w)
    torch.testing.assert_close(gradient.flatten(1), 4 * (gram - gram.diag().diag()) @ rows)


@pytest.mark.parametrize("off_diagonal", [True, False])
def test_orthogonal_of_a_tall_matrix_takes_the_short_way(off_diagonal: bool) -> None:
    """More rows than columns: the value and gradient of the large product, without it."""
    w = torch.randn(9, 2, 2, dtype=torch.float64, requires_grad=True)
    rows = w.detach().flatten(1)
    gram = rows @ rows.T
    rest = gram - gram.diag().diag() if off_diagonal else gram - torch.eye(9)
    value = orthogonal([w], off_diagonal)
    assert value.item() == pytest.approx(rest.square().sum().item())
    torch.testing.assert_close(torch.autograd.grad(value, w)[0].flatten(1), 4 * rest @ rows)


def test_orthogonal_of_a_module_sums_its_matrices() -> None:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Linear(3, 4))
    whole = orthogonal(net)
    torch.testing.assert_close(whole, orthogonal([net[0].weight]) + orthogonal([net[2].weight]))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(orthogonal(net), whole)


def test_orthogonal_alone_turns_rows_and_keeps_their_lengths() -> None:
    torch.manual_seed(0)
    w = (torch.randn(16, 64) + 0.55 * torch.randn(64)).requires_grad_()  # rows share a direction
    lengths, optim = w.detach().norm(dim=1), torch.optim.SGD([w], lr=5e-4)

    def cosine() -> float:
        unit = nn.functional.normalize(w.detach())
        return ((unit @ unit.T) * (1 - torch.eye(16))).abs().sum().item() / (16 * 15)

    assert cosine() > 0.2
    for _ in range(200):
        optim.zero_grad()
        orthogonal([w]).backward()
        optim.step()
    assert cosine() < 0.02
    assert (w.detach().norm(dim=1) / lengths - 1).abs().mean() < 0.2


def test_drift() -> None:
    a = torch.tensor([[1.0], [-3.0]], requires_grad=True)
    assert drift(a).item() == 5 and torch.equal(drift(a), drift(a.squeeze(1)))
    assert torch.autograd.grad(drift(a), a)[0].tolist() == [[1.0], [-3.0]]
    assert drift(a.bfloat16()).dtype == torch.float32


# ------------------------------------------------------------------ lazy use


@pytest.mark.parametrize("every", [1, 3, 16])
def test_lazy_is_one_on_average(every: int) -> None:
    factors = [lazy(round, every) for round in range(4 * every)]
    assert sum(factors) == 4 * every and factors.count(0.0) == 4 * (every - 1) and factors[0] == every


def test_lazy_adam_keeps_its_reach_per_round() -> None:
    lr, betas = lazy_adam_rescale(0.002, (0.0, 0.99), 16)
    assert lr == pytest.approx(0.002 * 16 / 17)
    assert betas[0] == 0.0 and betas[1] == pytest.approx(0.99 ** (16 / 17))
    assert 17 * lr == pytest.approx(16 * 0.002)  # 17 steps where there were 16
    assert betas[1] ** 17 == pytest.approx(0.99**16)


# ------------------------------------------------------------------ bad input


def ignoring(x: Tensor) -> Tensor:
    return torch.ones(len(x), requires_grad=True) * 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wgan_gp(torch.sum, torch.zeros(4, 2), torch.zeros(3, 2)), r"\(4, 2\) and \(3, 2\)"),
        (lambda: dragan(torch.sum, torch.zeros(4, 2), noise="gausian"), 'Did you mean "gaussian"'),
        (lambda: gradient_square(torch.zeros(4), torch.zeros(4, 2)), "requires_grad_"),
        (lambda: r1(ignoring, torch.zeros(4, 2)), "depend on x"),
        (lambda: r1(lambda x: x.detach().sum(1), torch.zeros(4, 2)), "depend on x"),
        (lambda: clip_weights_(nn.Linear(1, 1), 0.0), "above 0"),
        (lambda: clip_weights_(nn.Linear(1, 1), math.nan), "above 0"),
        (lambda: orthogonal(nn.BatchNorm1d(3)), "two dimensions"),
        (lambda: lazy(0, 0), "1 or more"),
        (lambda: lazy_adam_rescale(0.1, (0.0, 0.9), 0), "1 or more"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        call()
