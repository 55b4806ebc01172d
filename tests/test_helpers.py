"""The tricks of the trade: closed forms, what they change in a game, and that every recipe can switch each on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gansmith import helpers, recipes
from gansmith.abilities import Discriminates
from gansmith.core import Clock, DataSpec, Helpers, Recipe
from gansmith.data import Stream, open_data
from gansmith.engine.game import Game
from gansmith.errors import GansmithError
from gansmith.nn.virtual import VirtualBatch, VirtualBatchNorm, virtual_batch_norm_
from gansmith.penalties import gradient_square, wgan_gp
from gansmith.zoo.dcgan import DCGAN
from gansmith.zoo.gan import GAN

ON: dict[str, Any] = {
    "feature_matching": 1.0,
    "instance_noise": 0.1,
    "historical_averaging": 0.01,
    "pack": 2,
    "virtual_batch_norm": True,
    "dropout_g": 0.2,
    "label_flips": 0.5,
    "augment": "ada",
    "augment_p": 0.3,
    "augment_ksamples": 100.0,
    "augment_ceiling": 0.5,
}
OFF = {f.name: f.default for f in fields(Helpers)}
POINTS = [name for name in recipes.names() if "points" in recipes.find(name).kinds]
SMALL: dict[str, Any] = {name: {"width": 16} for name in POINTS} | {
    "wgan": {"width": 16, "rounds_start": 2, "norm_g": "batch"},
    "wgan_gp": {"width": 16, "norm_g": "batch"},
    "dragan": {"width": 16, "norm_g": "batch"},
    "lsgan": {"width": 16, "norm": "batch"},
    "r3gan": {"widths": (16, 16)},
    **{name: {"width": 16, "num_classes": 8} for name in ("cgan", "acgan", "projection_gan")},
}


def small(name: str, **given: Any) -> Recipe:
    return recipes.find(name)(**{"batch": 8, "z_dim": 2, **SMALL[name], **given})


def game(recipe: Recipe, seed: int = 0) -> Game:
    law = open_data("ring8", progress=False)
    return Game(recipe, law.spec, Stream(law, recipe.draws, seed=seed), seed=seed)


def test_every_helper_is_tried() -> None:
    assert set(ON) == set(OFF)


def test_a_recipe_without_helpers_is_left_alone() -> None:
    recipe = GAN(width=8, z_dim=2)
    assert [type(net) for net in helpers.assemble(recipe, DataSpec("d", "points", (2,))).values()] == [
        type(net) for net in recipe.build(DataSpec("d", "points", (2,))).values()
    ]
    g = game(recipe)
    assert helpers.play(recipe, g.nets, g.feed, g.clock).gi_code is GAN.round.__code__  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("helper", ON)
def test_every_recipe_plays_with_it_and_goes_on_exactly(name: str, helper: str) -> None:
    """It changes the game; four rounds are two, a checkpoint, and two more. Or one sentence says what does not fit."""
    recipe = small(name, **{helper: ON[helper]})
    try:
        whole, first = game(recipe), game(recipe)
    except GansmithError as error:
        words = {"virtual_batch_norm": "this G has none: leave it out.", "pack": "so none can be packed."}
        words["augment"] = "holds points data: leave it out."  # with images: test_augmenting.py
        words |= dict.fromkeys(
            ("augment_p", "augment_ksamples", "augment_ceiling"), "but augment is none: leave it out."
        )
        assert helper in words and str(error).endswith(words[helper]), error
        return
    plain = game(replace(recipe, **{helper: OFF[helper]}))
    for g in (whole, plain):
        for _ in range(4):
            g.play()
    for _ in range(2):
        first.play()
    rest = game(recipe)
    rest.restore(*first.state(), path="memory")  # type: ignore[arg-type]
    for _ in range(2):
        rest.play()
    for key, value in whole.state()[0].items():
        assert torch.equal(value, rest.state()[0][key]), key
    assert any(not torch.equal(a, b) for a, b in zip(moved(whole), moved(plain), strict=False))


def moved(g: Game) -> Iterator[Tensor]:
    return g.nets.parameters()


# ---------------------------------------------------------------- label flips


def test_flips_exchange_a_share_of_the_logits() -> None:
    real, fake = torch.ones(10_000), torch.zeros(10_000)
    torch.manual_seed(0)
    a, b = GAN(label_flips=0.3).flipped(real, fake)
    assert (a + b == 1).all() and float(a.mean()) == pytest.approx(0.7, abs=0.02)
    assert GAN().flipped(real, fake) == (real, fake)


def test_flips_with_more_fakes_than_reals() -> None:
    a, b = GAN(label_flips=0.5).flipped(torch.ones(3), torch.zeros(6))
    assert a.shape == (3,) and b.shape == (6,) and float(a.sum() + b.sum()) == 3


# ---------------------------------------------------------------- feature matching


def test_feature_matching_is_the_distance_of_means_and_moves_g_alone() -> None:
    """With D's features taken by hand, and G drawn towards them: the cost falls to a twentieth."""
    recipe = GAN(batch=1024, width=32, z_dim=2, lr=2e-3, feature_matching=100.0)
    g = game(recipe)
    law = open_data("ring8", progress=False)
    moves = helpers.play(recipe, g.nets, Stream(law, seed=0), Clock())
    torch.manual_seed(3)
    first, second = list(moves)
    torch.manual_seed(3)
    x = Stream(law, seed=0)(1024)
    fake = g.nets["G"](recipe.draw_latents(1024))
    by_hand = (g.nets["D"].trunk(x).mean(0) - g.nets["D"].trunk(fake).mean(0)).square().sum()
    assert "feature_matching" not in first[1]
    torch.testing.assert_close(second[1]["feature_matching"], 100 * by_hand)
    costs = []
    for _ in range(150):
        g.play(only="G")
        costs.append(g.means()["G/feature_matching"])
    assert sum(costs[-20:]) / 20 < 0.05 * costs[0]


# ---------------------------------------------------------------- instance noise and packing


def test_instance_noise_falls_to_nothing_and_is_not_for_judging() -> None:
    recipe = GAN(batch=8, width=8, z_dim=2, instance_noise=0.5)
    g = game(recipe)
    D, x = g.nets["D"], torch.zeros(2, 2)
    for progress, level in ((0.0, 0.5), (0.5, 0.25), (1.0, 0.0)):
        next(helpers.play(recipe, g.nets, g.feed, Clock(progress=progress)))
        assert float(D.level) == level
    D.level.fill_(0.5)
    assert not torch.equal(D.train()(x), D(x)) and torch.equal(D.eval()(x), D(x))
    torch.testing.assert_close(helpers.Judge(nn.Identity()).eval()(x), x)


def test_packs_are_of_neighbours() -> None:
    judge = helpers.Judge(nn.Identity(), pack=2).eval()
    x = torch.arange(10.0).reshape(5, 2)
    assert judge(x).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    images = torch.arange(16.0).reshape(4, 1, 2, 2)
    assert torch.equal(judge(images)[1], images[2:].squeeze(1))


def test_penalties_take_a_pack_for_one_sample() -> None:
    """A linear D: the squared gradient of a pack's logit is the squared norm of all its weights."""
    w = torch.tensor([1.0, 2.0, 2.0, 4.0])
    judge = helpers.Judge(nn.Identity(), pack=2).eval()
    x = torch.randn(6, 2, requires_grad=True)
    assert float(gradient_square(judge(x) @ w, x)) == pytest.approx(25.0)
    assert float(wgan_gp(lambda x: judge(x) @ w, torch.randn(6, 2), torch.randn(6, 2))) == pytest.approx(16.0)


def test_d_is_built_for_packs() -> None:
    nets = helpers.assemble(DCGAN(batch=6, width=8, pack=3), DataSpec("d", "image", (3, 16, 16)))
    assert nets["D"].D.start.in_channels == 9 and nets["D"](torch.zeros(6, 3, 16, 16)).shape == (2,)
    assert nets["G"](torch.zeros(2, 100)).shape == (2, 3, 16, 16)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pack": 3}, "pack = 3 does not divide batch = 8: choose a multiple as batch."),
        ({"virtual_batch_norm": True}, "this G has none"),
    ],
)
def test_what_does_not_fit_is_said(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        helpers.assemble(GAN(batch=8, width=8, **fields), DataSpec("d", "points", (2,)))


# ---------------------------------------------------------------- historical averaging


def test_the_past_is_the_mean_of_all_parameters_so_far() -> None:
    """After t - 1 moves the term's gradient is 2 (1 - 1/t) (p - mean)."""
    net = nn.Linear(1, 1, bias=False)
    past = helpers.Past(nn.ModuleDict({"N": net}))
    seen = [4.0, 1.0, -2.0]
    for value in seen:
        past.add("N", torch.tensor([value]))
    assert float(past.N) == pytest.approx(1.0)
    net.weight.data.fill_(5.0)
    past.distance("N", net).backward()
    mean = (sum(seen) + 5.0) / 4
    assert float(net.weight.grad) == pytest.approx(2 * (1 - 1 / 4) * (5.0 - mean))


def test_the_past_counts_every_move_of_its_owner() -> None:
    g = game(GAN(batch=8, width=8, z_dim=2, n_critic=2, historical_averaging=0.1))
    before = torch.cat([p.detach().flatten() for p in g.nets["G"].parameters()])
    for _ in range(3):
        g.play()
    past = g.nets[helpers.PAST]
    assert float(past.D_moves) == 6 and float(past.G_moves) == 3
    assert not torch.equal(past.G, before) and {"D/historical_averaging", "G/historical_averaging"} <= g.means().keys()


# ---------------------------------------------------------------- virtual batch normalisation


@pytest.mark.parametrize("shape", [(3,), (3, 4, 4)])
def test_a_sample_does_not_see_its_neighbours(shape: tuple[int, ...]) -> None:
    norm = nn.BatchNorm1d(3) if len(shape) == 1 else nn.BatchNorm2d(3)
    layer = VirtualBatchNorm(3)
    layer.reference = 5
    reference, x = torch.randn(5, *shape), torch.randn(4, *shape)
    a = layer(torch.cat([reference, x]))
    b = layer(torch.cat([reference, x[:1], 7 * x[1:]]))
    assert torch.equal(a[:6], b[:6]) and not torch.equal(a[6:], b[6:])
    torch.testing.assert_close(a[:5], norm(reference))  # the reference alone: ordinary BatchNorm
    by_hand = torch.cat([reference.repeat_interleave(10, 0), x[:1].repeat_interleave(10, 0)])
    torch.testing.assert_close(a[5], norm(by_hand)[-1])  # the sample as one more row


def test_gain_and_bias_stay_when_layers_are_exchanged() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.ReLU())
    weight = net[1].weight
    virtual = VirtualBatch(virtual_batch_norm_(net), torch.randn(6, 2))
    assert net[1].weight is weight and virtual(torch.randn(4, 2)).shape == (4, 3)
    x = torch.randn(4, 2)
    torch.testing.assert_close(virtual(x)[:1], virtual(x[:1]))


# ---------------------------------------------------------------- dropout


def test_hidden_activations_are_dropped_in_training_only() -> None:
    net = nn.Sequential(nn.Linear(4, 1000, bias=False), nn.Identity(), nn.Linear(1000, 1000, bias=False))
    nn.init.ones_(net[0].weight)
    nn.init.eye_(net[2].weight)
    helpers._drop_hidden(net, 0.3)
    x = torch.ones(1, 4)
    assert float((net.train()(x) == 0).float().mean()) == pytest.approx(0.3, abs=0.05)
    torch.testing.assert_close(net.eval()(x), torch.full((1, 1000), 4.0))


def test_samples_of_a_generator_with_dropout_are_a_function_of_the_latent() -> None:
    g = game(GAN(batch=8, width=16, z_dim=2, dropout_g=0.5))
    z = torch.randn(4, 2)
    assert torch.equal(g.ema["G"](z), g.ema["G"](z)) and not torch.equal(g.nets["G"](z), g.nets["G"](z))


def test_features_are_those_before_the_last_layer() -> None:
    recipe = GAN(width=16, z_dim=2)
    nets = recipe.build(DataSpec("d", "points", (2,)))
    x = torch.randn(3, 2)
    assert isinstance(recipe, Discriminates)
    torch.testing.assert_close(nets["D"].out(recipe.features(nets, x)).flatten(), recipe.logits(nets, x))


# ---------------------------------------------------------------- computing again instead of keeping


class Fixed:
    """Eight images of two classes, again and again."""

    seen, waited = 0, 0.0

    def __init__(self, px: int, draws: tuple[str, ...]) -> None:
        rng = torch.Generator().manual_seed(0)
        self.x, self.y, self.draws = torch.rand(8, 1, px, px, generator=rng) * 2 - 1, torch.arange(8) % 2, draws

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Any:
        rows = torch.arange(self.seen, self.seen + n) % 8
        self.seen += n
        return (self.x[rows], self.y[rows]) if "y" in self.draws else self.x[rows]


@pytest.mark.parametrize(
    ("name", "px", "given"),
    [
        ("r3gan", 8, {"widths": (16, 8), "blocks": 1, "group": 8}),
        ("projection_gan", 28, {"width": 8, "n_critic": 1, "num_classes": 2}),
    ],
)
def test_recompute_changes_nothing_but_memory(name: str, px: int, given: dict[str, Any]) -> None:
    """Penalties are differentiated in r3gan; projection_gan has labels in its BatchNorms, and spectral norms."""
    spec = DataSpec("d", "image", (1, px, px), 8, ("x", "y"), ("a", "b"), counts=(4, 4))
    recipe = recipes.find(name)(batch=4, z_dim=4, **given)
    feed: Any = [Fixed(px, recipe.draws) for _ in range(2)]
    games = [Game(replace(recipe, recompute=on), spec, feed[on]) for on in (False, True)]
    for g in games:
        g.play()
        g.play()
    for key, value in games[0].nets.state_dict().items():
        torch.testing.assert_close(games[1].nets.state_dict()[key], value, atol=1e-6, rtol=1e-4, msg=f"{name} {key}")


def test_recompute_wants_blocks() -> None:
    with pytest.raises(GansmithError, match="recompute is for networks of blocks, and those of GAN have none"):
        game(small("gan", recompute=True))
