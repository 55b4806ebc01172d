"""Each recipe against its paper's algorithm box: who moves when, on which samples, with which terms and rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gansmith import recipes
from gansmith.core import Clock, DataSpec, Move, Nets, Recipe
from gansmith.engine.game import Game
from gansmith.objectives import maximum_likelihood_g, minimax_g, nonsaturating_g
from gansmith.penalties import r1

POINTS = DataSpec("points", "points", (2,))
IMAGES = DataSpec("images", "image", (3, 8, 8), count=100)


class Feed:
    """Fresh normal samples; what was drawn is kept."""

    def __init__(self, data: DataSpec) -> None:
        self.shape, self.drawn, self.seen = data.shape, [], 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Tensor:
        self.seen += n
        self.drawn.append(torch.randn(n, *self.shape))
        return self.drawn[-1]


class Linear(nn.Module):
    """D(x) = w x, whose slope is |w| everywhere."""

    def __init__(self, w: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.w


class Constant(nn.Module):
    """D(x) = c."""

    def __init__(self, c: float) -> None:
        super().__init__()
        self.c = nn.Parameter(torch.tensor(c))

    def forward(self, x: Tensor) -> Tensor:
        return self.c.expand(len(x))


class Seen:
    """The batches that a network was called with."""

    def __init__(self, net: nn.Module) -> None:
        self.inputs: list[Tensor] = []
        net.register_forward_pre_hook(lambda _, args: self.inputs.append(args[0]))


def make(name: str, **fields: Any) -> Recipe:
    return recipes.find(name)(**{"batch": 8, "z_dim": 3, **fields})


def moves(recipe: Recipe, nets: Nets, data: DataSpec = POINTS, clock: Clock | None = None) -> list[Move]:
    """The moves of one round, without anybody learning."""
    return list(recipe.round(nets, Feed(data), clock or Clock()))


def terms(recipe: Recipe, D: nn.Module, data: DataSpec = POINTS, key: str = "D") -> list[dict[str, float]]:
    """The values of all terms of one round against a given D."""
    nets = recipe.build(data)
    nets[key] = D
    return [{k: v.item() for k, v in values.items()} for _, values in moves(recipe, nets, data)]


def after(recipe: Recipe, rounds: int, data: DataSpec = POINTS) -> Game:
    game = Game(recipe, data, Feed(data))
    for _ in range(rounds):
        game.play()
    return game


def has_batchnorm(net: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in net.modules())


# ---------------------------------------------------------------- gan


def test_gan_objective_changes_only_the_generators_cost() -> None:
    costs: dict[str, Callable[[Tensor], Tensor]] = {
        "nonsaturating": nonsaturating_g,
        "minimax": minimax_g,
        "maximum_likelihood": maximum_likelihood_g,
    }
    logits, discriminator, generator = [], [], []
    for objective, cost in costs.items():
        torch.manual_seed(0)
        recipe = make("gan", width=8, objective=objective)
        nets = recipe.build(POINTS)
        nets["D"].register_forward_hook(lambda _, __, out: logits.append(out))
        (d, d_terms), (g, g_terms) = moves(recipe, nets)
        assert (d.name, g.name) == ("D", "G") and g_terms.keys() == {"adv"}
        assert g_terms["adv"].item() == pytest.approx(cost(logits[-1]).item())
        discriminator.append(d_terms["adv"].item())
        generator.append(g_terms["adv"].item())
    assert len(set(discriminator)) == 1 and len(set(generator)) == 3


@pytest.mark.parametrize("name", ["gan", "dcgan"])
def test_smoothing_is_one_sided(name: str) -> None:
    """-0.9 log s(c) - 0.1 log(1 - s(c)) on reals, -log(1 - s(c)) on fakes."""
    c = 1.5
    for smoothing in (0.0, 0.1):
        d, _ = terms(make(name, width=4, smoothing=smoothing), Constant(c), IMAGES)
        real = (1 - smoothing) * math.log1p(math.exp(-c)) + smoothing * math.log1p(math.exp(c))
        assert d["adv"] == pytest.approx(real + math.log1p(math.exp(c)), rel=1e-5)


def test_gan_takes_r1_every_kth_round_k_times_as_strong() -> None:
    recipe, w = make("gan", width=8, gamma=0.5, r1_every=4), torch.tensor([3.0, 4.0])
    nets = Nets({"G": recipe.build(POINTS)["G"], "D": Linear(w)})
    for round_ in range(9):
        values = moves(recipe, nets, clock=Clock(round_))[0][1]
        assert ("r1" in values) == (round_ % 4 == 0)
        if "r1" in values:
            assert values["r1"].item() == pytest.approx(4 * 0.5 / 2 * 25)
    assert "r1" not in terms(make("gan", width=8), Linear(w))[0]
    assert not has_batchnorm(make("gan", net="dcgan", width=4, gamma=0.1).build(IMAGES)["D"])


def test_gan_plays_k_moves_of_d_on_fresh_samples() -> None:
    recipe = make("gan", width=8, n_critic=3)
    nets, feed = recipe.build(POINTS), Feed(POINTS)
    names = [player.name for player, _ in recipe.round(nets, feed, Clock())]
    assert names == ["D", "D", "D", "G"] and len(feed.drawn) == 3


# ---------------------------------------------------------------- fgan


@pytest.mark.parametrize("nonsaturating", [True, False])
@pytest.mark.parametrize("name", ["kl", "reverse_kl", "pearson", "hellinger", "jensen_shannon", "gan"])
def test_fgan_bound_is_finite_and_ordered(name: str, nonsaturating: bool) -> None:
    """A constant V bounds D_f >= 0 from below, so the bound is at most 0 (GAN: at most -log 4); V may be far off."""
    recipe = make("fgan", width=8, divergence=name, nonsaturating=nonsaturating)
    least = -math.log(4) if name == "gan" else 0.0
    for v in (-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4):
        bound, cost = terms(recipe, Constant(v), key="V")
        assert math.isfinite(bound["bound"]) and math.isfinite(cost["adv"])
        assert -bound["bound"] <= least + 1e-5
    game = after(recipe, 20)
    assert all(p.isfinite().all() for p in game.nets.parameters())


def test_fgan_with_gans_divergence_is_the_original_game() -> None:
    c = 0.7
    for nonsaturating, cost in ((True, nonsaturating_g), (False, minimax_g)):
        recipe = make("fgan", width=8, divergence="gan", nonsaturating=nonsaturating)
        bound, adv = terms(recipe, Constant(c), key="V")
        assert bound["bound"] == pytest.approx(math.log1p(math.exp(-c)) + math.log1p(math.exp(c)), rel=1e-5)
        assert adv["adv"] == pytest.approx(cost(torch.tensor([c])).item(), rel=1e-5)


# ---------------------------------------------------------------- lsgan


@pytest.mark.parametrize(("coding", "fake", "real", "goal"), [("01", 0, 1, 1), ("pearson", -1, 1, 0)])
def test_lsgan_codings(coding: str, fake: int, real: int, goal: int) -> None:
    for c in (-2.0, 0.0, 3.0):
        d, g = terms(make("lsgan", width=8, coding=coding), Constant(c))
        assert d["adv"] == pytest.approx(((c - real) ** 2 + (c - fake) ** 2) / 2)
        assert g["adv"] == pytest.approx((c - goal) ** 2 / 2)


# ---------------------------------------------------------------- wgan


@pytest.mark.parametrize("data", [POINTS, IMAGES], ids=["points", "images"])
def test_wgan_clips_every_parameter_after_each_critic_move(data: DataSpec) -> None:
    class Checked(Game):
        clipped = 0

        def _next(self, moves: Any) -> Any:
            move = super()._next(moves)
            if self.counts:  # D has moved, and the round has gone on
                parameters = list(self.nets["D"].parameters())
                assert all(p.abs().max() <= 0.01 for p in parameters)
                self.clipped += sum(int((p.abs() == np.float32(0.01)).sum()) for p in parameters)
            return move

    recipe = make("wgan", width=8, n_critic_start=6, rounds_start=1, clip=0.01, lr=1e-3)
    game = Checked(recipe, data, Feed(data))
    assert any(p.abs().max() > 0.01 for p in game.nets["D"].parameters())
    for _ in range(3):
        game.play()
    assert game.clipped > 0


@pytest.mark.parametrize(
    ("round_", "critic"), [(0, 100), (24, 100), (25, 5), (499, 5), (500, 100), (501, 5), (1000, 100), (1001, 5)]
)
def test_wgan_trains_the_critic_long_at_first_and_now_and_then(round_: int, critic: int) -> None:
    recipe = make("wgan", width=4)
    names = [player.name for player, _ in moves(recipe, recipe.build(POINTS), clock=Clock(round_))]
    assert names == ["D"] * critic + ["G"]


def test_wgan_losses_are_differences_of_means_and_the_optimizer_is_rmsprop() -> None:
    game = after(make("wgan", width=4, n_critic_start=1), 1)
    for optim in game.optims.values():
        assert isinstance(optim, torch.optim.RMSprop)
        assert optim.param_groups[0]["momentum"] == 0 and optim.param_groups[0]["lr"] == 5e-5
    w = torch.tensor([3.0, 4.0])
    recipe, feed = make("wgan", n_critic_start=1, clip=10.0), Feed(POINTS)
    nets = Nets({"G": recipe.build(POINTS)["G"], "D": Linear(w)})
    seen = Seen(nets["D"])
    (_, d), (_, g) = recipe.round(nets, feed, Clock())
    fake = seen.inputs[-1]
    assert d["adv"].item() == pytest.approx(((fake - feed.drawn[0]) @ w).mean().item(), rel=1e-4)
    assert g["adv"].item() == pytest.approx(-(fake @ w).mean().item(), rel=1e-4)


# ---------------------------------------------------------------- penalties: wgan_gp, dragan


def test_wgan_gp_plays_critic_moves_on_fresh_samples_then_g() -> None:
    recipe = make("wgan_gp", width=8)
    nets, feed = recipe.build(POINTS), Feed(POINTS)
    names = [player.name for player, _ in recipe.round(nets, feed, Clock())]
    assert names == ["D"] * 5 + ["G"] and len(feed.drawn) == 5


@pytest.mark.parametrize(("name", "slope"), [("wgan_gp", 1.0), ("dragan", 1.0), ("dragan", 2.0)])
def test_slope_penalty_of_a_linear_critic(name: str, slope: float) -> None:
    """gp_weight (|w| - k)^2, wherever it is taken."""
    more = {"slope": slope} if name == "dragan" else {}
    d, *_, g = terms(make(name, width=8, gp_weight=7.0, **more), Linear(torch.tensor([3.0, 4.0])))
    assert d["gp"] == pytest.approx(7 * (5 - slope) ** 2, rel=1e-5) and g.keys() == {"adv"}


def test_one_sided_penalty_spares_flat_critics() -> None:
    flat, steep = torch.tensor([0.3, 0.4]), torch.tensor([3.0, 4.0])
    assert terms(make("wgan_gp", width=8), Linear(flat))[0]["gp"] == pytest.approx(10 * 0.25, rel=1e-5)
    assert terms(make("wgan_gp", width=8, one_sided=True), Linear(flat))[0]["gp"] == 0
    assert terms(make("wgan_gp", width=8, one_sided=True), Linear(steep))[0]["gp"] == pytest.approx(160)


@pytest.mark.parametrize("net", ["mlp", "dcgan", "resnet"])
def test_no_batchnorm_in_a_critic_under_a_per_sample_penalty(net: str) -> None:
    data = DataSpec("images", "image", (3, 32, 32), count=100)
    nets = make("wgan_gp", net=net, width=4).build(data)
    assert not has_batchnorm(nets["D"]) and has_batchnorm(nets["G"]) == (net != "mlp")
    if net != "resnet":
        assert not has_batchnorm(make("dragan", net=net, width=4).build(data)["D"])


def test_dragan_looks_around_the_data_only() -> None:
    """Uniform noise of half the batch's deviation never lies below the data; the fakes play no part."""
    recipe, feed = make("dragan", width=8), Feed(POINTS)
    nets = recipe.build(POINTS)
    seen = Seen(nets["D"])
    next(recipe.round(nets, feed, Clock()))
    shift = seen.inputs[2] - feed.drawn[0]
    assert (shift >= 0).all() and 0 < shift.max() <= 0.5 * feed.drawn[0].std(correction=0)


# ---------------------------------------------------------------- dcgan


def test_dcgan_normalises_all_but_gs_output_and_ds_input() -> None:
    nets = make("dcgan", width=8).build(DataSpec("images", "image", (3, 32, 32), count=100))
    for net in nets.values():
        layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d))]
        kinds = "".join("B" if isinstance(m, nn.BatchNorm2d) else "c" for m in layers)
        assert kinds == ("cBcBcBc" if net is nets["G"] else "ccBcBc")
    bare = make("dcgan", width=8, norm_g="none", norm_d="none").build(IMAGES)
    assert not has_batchnorm(bare["G"]) and not has_batchnorm(bare["D"])


def test_dcgan_starts_from_normal_weights_of_deviation_002() -> None:
    nets = make("dcgan", width=16).build(DataSpec("images", "image", (3, 32, 32), count=100))
    weights = [p.flatten() for p in nets.parameters() if p.ndim == 4]
    gains = [m.weight for m in nets.modules() if isinstance(m, nn.BatchNorm2d)]
    for values, mean in ((torch.cat(weights), 0.0), (torch.cat(gains), 1.0)):
        n = len(values)
        assert values.mean().item() == pytest.approx(mean, abs=4 * 0.02 / n**0.5)
        assert values.std().item() == pytest.approx(0.02, rel=4 / (2 * n) ** 0.5)


# ---------------------------------------------------------------- sngan


def test_sngan_moves_g_first_on_two_batches_then_d_five_times() -> None:
    recipe = make("sngan", width=8)
    nets = recipe.build(POINTS)
    seen = Seen(nets["D"])
    assert [player.name for player, _ in moves(recipe, nets)] == ["G"] + ["D"] * 5
    assert [len(x) for x in seen.inputs] == [16] + [8] * 10


def test_sngan_lr_falls_to_zero() -> None:
    recipe = make("sngan", width=8)
    nets = recipe.build(POINTS)
    for progress, share in ((0.0, 1.0), (0.25, 0.75), (0.5, 0.5), (1.0, 0.0)):
        rates = [player.options["lr"] for player, _ in moves(recipe, nets, clock=Clock(progress=progress))]
        assert rates == pytest.approx([2e-4 * share] * 6)


@pytest.mark.parametrize("shape", [(2,), (1, 28, 28)])
def test_sngan_keeps_every_layer_of_d_at_norm_one(shape: tuple[int, ...]) -> None:
    data = DataSpec("data", "points" if len(shape) == 1 else "image", shape, count=100)
    game = after(make("sngan", width=8, n_critic=2, lr=1e-3), 10, data)
    D = game.nets["D"].eval()
    layers = [m for m in D.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    assert len(layers) >= 4
    for layer in layers:
        assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=0.05)
        assert hasattr(layer, "parametrizations")


# ---------------------------------------------------------------- r3gan


def test_r3gan_penalties_are_r1_and_r2_of_the_same_samples() -> None:
    recipe, feed = make("r3gan", widths=(16, 8), group=8, gamma=0.6, gamma_final=0.5), Feed(IMAGES)
    nets = recipe.build(IMAGES)
    with torch.no_grad():
        for p in nets.parameters():  # blocks start as the identity: shake them
            p.add_(0.1 * torch.randn_like(p))
    seen = Seen(nets["D"])
    (_, d), (_, g) = recipe.round(nets, feed, Clock(progress=1.0))
    real, fake = seen.inputs[0].detach(), seen.inputs[1].detach()
    assert torch.equal(real, feed.drawn[0])
    assert d["r1"].item() == pytest.approx(0.3 / 2 * r1(nets["D"], real).item(), rel=1e-4)
    assert d["r2"].item() == pytest.approx(0.3 / 2 * r1(nets["D"], fake).item(), rel=1e-4)
    gap = nets["D"](real) - nets["D"](fake)
    assert d["adv"].item() == pytest.approx(nn.functional.softplus(-gap).mean().item(), rel=1e-4)
    gap = nets["D"](feed.drawn[1]) - nets["D"](fake)
    assert g["adv"].item() == pytest.approx(nn.functional.softplus(gap).mean().item(), rel=1e-4)


def test_r3gan_draws_fresh_reals_for_the_generators_move() -> None:
    recipe, feed = make("r3gan", widths=(8, 8)), Feed(POINTS)
    nets = recipe.build(POINTS)
    seen = Seen(nets["D"])
    assert [player.name for player, _ in recipe.round(nets, feed, Clock())] == ["D", "G"]
    assert len(feed.drawn) == 2 and not torch.equal(*feed.drawn)
    assert torch.equal(seen.inputs[2], feed.drawn[1])


@pytest.mark.parametrize(("progress", "part"), [(0.0, 1.0), (0.25, 0.853553), (0.5, 0.5), (1.0, 0.0)])
def test_r3gan_schedules_are_cosines(progress: float, part: float) -> None:
    """`part` = (1 + cos(pi progress)) / 2 of the way back from the end to the start."""
    recipe, clock = make("r3gan", widths=(8, 8), gamma=10.0), Clock(progress=progress)
    nets = Nets({"G": recipe.build(POINTS)["G"], "D": Linear(torch.tensor([3.0, 4.0]))})
    (d, values), (g, _) = moves(recipe, nets, clock=clock)
    assert values["r1"].item() == pytest.approx(25 / 2 * (1 + 9 * part), rel=1e-5)
    assert values["r2"].item() == pytest.approx(25 / 2 * (1 + 9 * part), rel=1e-5)
    for player in (d, g):
        assert player.options["lr"] == pytest.approx(5e-5 + 1.5e-4 * part, rel=1e-5)
        assert player.options["betas"] == (0.0, pytest.approx(0.99 - 0.09 * part, rel=1e-5))
    assert recipe.half_life(clock) == pytest.approx(1000 * recipe.ema_half_life * (1 - part), abs=0.1)


def test_r3gan_schedules_reach_the_optimizers_and_end_with_anneal() -> None:
    game = Game(make("r3gan", widths=(8, 8), anneal=0.5), POINTS, Feed(POINTS))
    for progress, beta2, lr in ((0.0, 0.9, 2e-4), (0.25, 0.945, 1.25e-4), (0.5, 0.99, 5e-5), (0.9, 0.99, 5e-5)):
        game.clock.progress = progress
        game.play()
        for optim in game.optims.values():
            assert isinstance(optim, torch.optim.Adam)
            assert optim.param_groups[0]["betas"] == (0.0, pytest.approx(beta2))
            assert optim.param_groups[0]["lr"] == pytest.approx(lr)


# ---------------------------------------------------------------- all


@pytest.mark.parametrize("name", ["gan", "lsgan", "dragan", "dcgan", "fgan"])
def test_d_and_g_move_in_turn_on_one_batch(name: str) -> None:
    recipe, feed = make(name, width=4), Feed(IMAGES)
    names = [player.name for player, _ in recipe.round(recipe.build(IMAGES), feed, Clock())]
    assert names == ["V" if name == "fgan" else "D", "G"] and [len(x) for x in feed.drawn] == [8]
