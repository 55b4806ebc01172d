"""StyleGAN2 against its paper and released code: moves, terms, rates, mixing, automatic settings, sampling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import gansmith
from gansmith import recipes
from gansmith.core import Clock, DataSpec, Move, Nets, Recipe
from gansmith.engine.game import Game
from gansmith.nets import stylegan2
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import r1

IMAGES = DataSpec("images", "image", (3, 8, 8), count=100)
SMALL = {"batch": 6, "z_dim": 5, "w_dim": 7, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}


class Feed:
    """Fresh normal images."""

    seen = 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Tensor:
        self.seen += n
        return torch.randn(n, *IMAGES.shape)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def make(**fields: Any) -> Recipe:
    return recipes.find("stylegan2")(**(SMALL | fields))


def moves(recipe: Recipe, round: int, nets: Nets | None = None) -> list[Move]:
    return list(recipe.round(nets or recipe.build(IMAGES), Feed(), Clock(round=round)))


def test_who_moves_when() -> None:
    recipe = make()
    told = {
        round: [(p.name, p.nets, *terms) for p, terms in moves(recipe, round)] for round in (0, 1, 4, 15, 16, 18, 20)
    }
    g, d = ("G", ("M", "G")), ("D", ("D",))
    assert told[0] == told[16] == [(*g, "adv"), (*g, "path"), (*d, "adv"), (*d, "r1")]
    assert told[4] == told[20] == [(*g, "adv"), (*g, "path"), (*d, "adv")]
    assert told[1] == told[15] == told[18] == [(*g, "adv"), (*d, "adv")]
    without = moves(make(gamma=0.0, path_weight=0.0), 0)
    assert [(p.name, *terms) for p, terms in without] == [("G", "adv"), ("D", "adv")]


def test_terms_are_those_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lazily regularised: a penalty counts as often as there are rounds between."""
    recipe, seen = make(gamma=0.6, r1_every=8, path_weight=3.0, path_every=2, mixing=0.0), []
    nets = recipe.build(IMAGES)
    feed, real = Feed(), torch.randn(6, 3, 8, 8)
    feed.__class__ = type("Same", (Feed,), {"__call__": lambda self, n: real})
    nets["G"].register_forward_hook(lambda m, given, made: seen.append((given[0], made)))
    (_, g), (_, path), (_, d), (_, penalty) = recipe.round(nets, feed, Clock())
    D, (_, fake), (ws, samples) = nets["D"], *seen
    torch.testing.assert_close(g["adv"], nonsaturating_g(D(fake)))
    torch.testing.assert_close(d["adv"], nonsaturating_d(D(real), D(fake)))
    torch.testing.assert_close(penalty["r1"], 8 * 0.3 * r1(D, real))
    assert len(samples) == 3  # half a batch
    mean = nets["G"].path_mean
    length = mean / 0.01  # one percent of the first lengths' mean
    assert ws.shape[2] == 7 and mean > 0
    assert path["path"].item() >= 2 * 3.0 * (length - mean).square().item() * 0.99  # (mean of squares >= squared mean)


def test_adam_is_rescaled_for_the_moves_that_come_on_top() -> None:
    g, d = make(lr=0.01, betas=(0.5, 0.99)).players()
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    for player, c in ((g, 4 / 5), (d, 16 / 17)):
        group = player.optim(parameters).param_groups[0]
        assert (group["lr"], *group["betas"]) == pytest.approx((0.01 * c, 0.5**c, 0.99**c))
    for player in make(lr=0.01, betas=(0.5, 0.99), gamma=0.0, path_weight=0.0).players():
        group = player.optim(parameters).param_groups[0]
        assert (group["lr"], *group["betas"]) == (0.01, 0.5, 0.99)


def test_the_path_mean_is_state() -> None:
    game = Game(make(), IMAGES, Feed())
    game.play()
    first = game.nets["G"].path_mean.clone()
    game.play()
    assert first > 0 and torch.equal(game.nets["G"].path_mean, first)  # not a round of path lengths
    for _ in range(3):
        game.play()
    assert game.nets["G"].path_mean > first
    state = game.state()[0]
    assert {"G.path_mean", "M.mean", "ema.M.mean"} <= state.keys()
    assert torch.equal(state["ema.M.mean"], state["M.mean"])


@pytest.mark.parametrize(("mixing", "low", "high"), [(0.0, 0, 0), (0.5, 0.4, 0.6), (1.0, 1, 1)])
def test_styles_are_mixed_at_a_random_layer(mixing: float, low: float, high: float) -> None:
    recipe = make(mixing=mixing)
    nets = recipe.build(DataSpec("images", "image", (3, 16, 16)))
    ws = recipe.mixed(nets, 500, torch.device("cpu"))
    layers = nets["G"].layers
    assert ws.shape == (500, layers, 7)
    changes = (ws[:, 1:] != ws[:, :-1]).any(2)
    assert changes.sum(1).max() <= 1  # of two latents at most
    assert low <= changes.any(1).float().mean() <= high
    if mixing:
        assert (changes.sum(0) > 0.7 * changes.sum() / (layers - 1)).all()  # every layer equally often


def test_the_mean_style_is_that_of_single_latents() -> None:
    recipe = make(mixing=1.0)
    nets = recipe.build(IMAGES)
    with torch.no_grad():
        for _ in range(1500):
            recipe.mixed(nets, 20, torch.device("cpu"))
        w = nets["M"].eval()(recipe.draw_latents(20_000))
    assert ((nets["M"].mean - w.mean(0)).abs() < 0.1 * w.std(0)).all()


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(("px", "batch", "gamma", "ema"), [(32, 32, 0.0064, 10), (256, 16, 0.8192, 5)])
def test_automatic_settings_are_stylegan2_adas(px: int, batch: int, gamma: float, ema: float) -> None:
    data = DataSpec("photos", "image", (3, px, px), count=10**6)
    cls = recipes.find("stylegan2")
    chosen = {k: v.value for k, v in cls.suggest(data, torch.device("cuda")).items()}
    assert (chosen["batch"], chosen["ema_half_life"], chosen["mapping_layers"]) == (batch, ema, 2)
    assert chosen["gamma"] == pytest.approx(gamma)
    assert (chosen["lr"], chosen["channel_base"]) == (2.5e-3, 16384)
    assert ("mixing" in chosen, "path_weight" in chosen) == (px == 32, px == 32)
    here = {k: v.value for k, v in cls.suggest(data, torch.device("cpu")).items()}
    assert here["gamma"] == pytest.approx(0.01 * px**2 / here["batch"])
    assert stylegan2.widths(px, here["channel_base"], here["channel_max"])[-2:] == [32, 16]


def test_presets_have_the_published_nets() -> None:
    cls = recipes.find("stylegan2")
    sizes = {"cifar10": (32, 19_947_539, 20_720_641), "ffhq256": (256, 24_767_458, 24_001_089)}
    sizes["ffhq1024"] = (1024, 30_370_060, 29_012_513)
    for name, (px, g, d) in sizes.items():
        with torch.device("meta"):
            nets = cls(**cls.presets[name]).build(DataSpec("photos", "image", (3, px, px)))
        counts = {key: sum(p.numel() for p in net.parameters()) for key, net in nets.items()}
        assert (counts["M"] + counts["G"], counts["D"]) == (g, d)


# ---------------------------------------------------------------- sampling


@pytest.fixture
def model() -> gansmith.GAN:
    """A model whose noise counts."""
    recipe = make()
    nets = recipe.build(IMAGES).eval().requires_grad_(False)
    for name, p in nets.named_parameters():
        if name.endswith("strength"):
            p.fill_(1.0)
    recipe.mixed(nets.train(), 50, torch.device("cpu"))  # a mean style
    return gansmith.GAN(recipe, IMAGES, nets.eval(), seen=0)


def test_samples_do_not_depend_on_the_batch_or_on_what_was_drawn_before(model: gansmith.GAN) -> None:
    whole = model.sample(10, seed=3)
    torch.randn(7)
    torch.testing.assert_close(model.sample(10, seed=3, batch=3), whole, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.sample(4, seed=3), whole[:4], rtol=1e-4, atol=1e-4)
    assert torch.equal(model.sample(10, seed=3), whole)
    again = gansmith.GAN(model.recipe, model.spec, model.nets, model.seen)
    assert torch.equal(again.sample(10, seed=3), whole)


def test_each_sample_has_noise_of_its_own(model: gansmith.GAN) -> None:
    """Nearly equal latents: nearly the same image without noise, another with."""
    z = model.draw_latents(1)
    z = torch.cat([z, z + 0.02 * z])
    a, b = model.generate(z)
    G, ws = model.nets["G"], model.recipe.styles(model.nets, z)
    c, d = G(ws)
    assert (a - b).abs().mean() > 20 * (c - d).abs().mean()


def test_truncation_leads_to_the_mean_style(model: gansmith.GAN) -> None:
    z = model.draw_latents(6)
    spread = [model.nets["G"](model.recipe.styles(model.nets, z, psi)).std(0).mean().item() for psi in (1, 0.5, 0)]
    assert spread[0] > spread[1] > spread[2] and spread[2] < 1e-6
