"""Ways in which a label reaches a network, minibatch discrimination, and the recipes that use them: closed forms."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gansmith.abilities import Code, Generates, one_hot
from gansmith.auto import settle
from gansmith.core import Clock, DataSpec, Recipe
from gansmith.data import Stream, open_data
from gansmith.errors import GansmithError
from gansmith.nets import dcgan, infogan, mlp, sngan, ssgan
from gansmith.nn.condition import Concatenated, ConditionalBatchNorm, Headed, Modulated, Multiplied, Projected, beside
from gansmith.nn.minibatch import Crowd, MinibatchDiscrimination
from gansmith.zoo.acgan import ACGAN
from gansmith.zoo.cgan import CGAN
from gansmith.zoo.gan import GAN
from gansmith.zoo.infogan import InfoGAN
from gansmith.zoo.projection_gan import ProjectionGAN
from gansmith.zoo.ssgan import SSGAN

IMAGE = DataSpec("d", "image", (1, 28, 28), fields=("x", "y"), classes=tuple("abcd"))
POINTS = DataSpec("p", "points", (2,), fields=("x", "y"), classes=tuple("abcd"))
EYE = torch.eye(4)


# ---------------------------------------------------------------- blocks


def test_labels_stand_beside_rows_and_maps() -> None:
    rows = beside(torch.zeros(4, 2), EYE)
    assert rows.shape == (4, 6) and torch.equal(rows[:, 2:], EYE)
    maps = beside(torch.zeros(4, 3, 5, 5), EYE)
    assert maps.shape == (4, 7, 5, 5) and torch.equal(maps[:, 3:].mean((2, 3)), EYE)


@pytest.mark.parametrize("D", [mlp.Discriminator((6,), (8, 8)), dcgan.Discriminator((5, 16, 16), 8, "none")])
def test_concatenation_makes_the_logit_depend_on_the_label(D: Any) -> None:
    net = Concatenated(D)
    x = (
        torch.randn(1, 2).expand(4, -1)
        if isinstance(D, mlp.Discriminator)
        else torch.randn(1, 1, 16, 16).expand(4, -1, -1, -1)
    )
    logits = net(x, EYE)
    assert logits.shape == (4,) and len(logits.unique()) == 4
    assert net.trunk(x, EYE).flatten(1).shape == (4, D.features)


@pytest.mark.parametrize("spectral", [False, True])
def test_projection_is_linear_in_the_label(spectral: bool) -> None:
    """a(x, y) - a(x, y') is the product of the features with the difference of the embeddings."""
    D = sngan.Discriminator((1, 28, 28), 8, spectral)
    net = Projected(D, 4, spectral).eval()
    x = torch.randn(3, 1, 28, 28)
    a, b = (net(x, one_hot(torch.full((3,), y), 4)) for y in (0, 2))
    table = net.embed.weight.T
    torch.testing.assert_close(a - b, D.trunk(x) @ (table[0] - table[2]))
    torch.testing.assert_close(net(x, torch.zeros(3, 4)), D(x))
    if spectral:
        assert torch.linalg.matrix_norm(net.embed.weight, 2).item() == pytest.approx(1.0, abs=1e-3)


def test_projection_finds_the_classes_weights() -> None:
    """Two Gaussian classes against their mixture: the difference of embeddings learns Sigma^-1 (mu_1 - mu_0).

    The best D is log p(y | x) + log p(x) / q(x) (eq. 3); with equal covariances its label part is linear in x.
    """

    class Linear(nn.Module):
        features = 2

        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(2, 1)

        def trunk(self, x: Tensor) -> Tensor:
            return x

        def head(self, h: Tensor) -> Tensor:
            return self.out(h).squeeze(1)

    torch.manual_seed(0)
    mu = torch.tensor([[0.6, -0.3], [-0.6, 0.3]])  # opposite: then the label part needs no constant
    scale = torch.tensor([1.0, 0.5])
    net = Projected(Linear(), 2)
    optim = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(500):
        y, other = torch.randint(2, (2, 512))
        x = mu[y] + scale * torch.randn(512, 2)
        real, fake = net(x, one_hot(y, 2)), net(x, one_hot(other, 2))  # fakes: the label is drawn apart from x
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
        optim.zero_grad()
        loss.backward()
        optim.step()
    found = net.embed.weight[:, 1] - net.embed.weight[:, 0]
    wanted = (mu[1] - mu[0]) / scale**2
    assert torch.nn.functional.cosine_similarity(found, wanted, dim=0) > 0.95


def test_heads_read_the_features_that_the_logit_is_made_of() -> None:
    D = dcgan.Discriminator((1, 16, 16), 8, "none")
    net = Headed(D, {"class": 4, "other": 2})
    x = torch.randn(3, 1, 16, 16)
    logits, heads = net(x)
    torch.testing.assert_close(logits, D(x))
    assert {k: v.shape for k, v in heads.items()} == {"class": (3, 4), "other": (3, 2)}
    torch.testing.assert_close(heads["class"], net.heads["class"](D.trunk(x).flatten(1)))


def test_products_keep_the_noise() -> None:
    net = Multiplied(nn.Identity(), 6, 4)
    z = torch.cat([torch.randn(4, 6), EYE], 1)
    torch.testing.assert_close(net(z), z[:, :6] * net.embed)
    assert net(z).std() > 0.3


@pytest.mark.parametrize("shape", [(5,), (5, 3, 3)])
def test_conditional_batch_norm_has_gain_and_bias_of_the_class(shape: tuple[int, ...]) -> None:
    norm = nn.BatchNorm1d(5) if len(shape) == 1 else nn.BatchNorm2d(5)
    layer, x = ConditionalBatchNorm(norm, 4), torch.randn(8, *shape)
    y = torch.arange(8) % 4
    layer.cond = one_hot(y, 4)
    torch.testing.assert_close(layer(x), norm(x))  # gain 1, bias 0 at the start
    layer.gain.data.copy_(torch.randn(4, 5))
    layer.bias.data.copy_(torch.randn(4, 5))
    wide = (8, 5, *(1,) * (len(shape) - 1))
    torch.testing.assert_close(layer(x), norm(x) * layer.gain[y].view(wide) + layer.bias[y].view(wide))


def test_a_modulated_generator_puts_the_label_into_every_batch_norm() -> None:
    net = Modulated(sngan.Generator(8, (1, 28, 28), 8), 8, 4, plain=("bn",))
    layers = [m for m in net.modules() if isinstance(m, ConditionalBatchNorm)]
    assert len(layers) == 4 and [n for n, m in net.named_modules() if isinstance(m, nn.BatchNorm2d) and m.affine] == [
        "G.bn"
    ]
    for layer in layers:
        layer.bias.data.normal_()
    z = torch.randn(1, 8).expand(4, -1)
    same = net.eval()(torch.cat([z, EYE], 1))
    assert same.shape == (4, 1, 28, 28) and len(same.flatten(1).unique(dim=0)) == 4
    assert all(layer.cond is None for layer in layers)
    with pytest.raises(GansmithError, match="needs a generator with BatchNorm"):
        Modulated(mlp.Generator(2, (2,), (4,)), 2, 4)


def test_minibatch_features_count_the_samples_that_are_alike() -> None:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(8, kernels=6, dims=5)
    same, apart = torch.randn(1, 8).expand(10, -1), 100 * torch.randn(10, 8)
    torch.testing.assert_close(layer(same), torch.ones(10, 6))
    layer.T.data.mul_(50)
    assert layer(apart).abs().max() < 1e-3
    layer.T.data.div_(50)
    order = torch.randperm(10)
    x = torch.randn(10, 8)
    torch.testing.assert_close(layer(x[order]), layer(x)[order])
    M = (x / x.square().mean().sqrt() @ layer.T).view(10, 6, 5)
    by_hand = sum(math.exp(-(M[2, 4] - M[j, 4]).abs().sum().item()) for j in range(10) if j != 2) / 9
    assert layer(x)[2, 4].item() == pytest.approx(by_hand, rel=1e-4)
    torch.testing.assert_close(layer(same[:4]), torch.ones(4, 6))
    assert torch.equal(layer(x[:1]), torch.zeros(1, 6))


def test_a_crowd_judges_a_repeated_sample_by_its_copies() -> None:
    torch.manual_seed(0)
    net = Crowd(mlp.Discriminator((2,), (16, 16)), kernels=4, dims=2)
    x = torch.randn(1, 2)
    alone, crowded = net(torch.cat([x, 9 * torch.randn(5, 2)])), net(x.expand(6, -1))
    assert (alone[0] - crowded[0]).abs() > 1e-3 and net.trunk(x.expand(6, -1)).shape == (6, 20)


# ---------------------------------------------------------------- nets


def test_infogans_nets_are_those_of_the_paper() -> None:
    """Fully connected 74-1024 and 1024-6272, transposed convolutions 128-64-1; D mirrors them; Q 1024-128-12."""
    G, D, Q = infogan.Generator(74, (1, 28, 28)), infogan.Discriminator((1, 28, 28)), infogan.Reader(1024, 12)
    norm = lambda n: 2 * n  # noqa: E731
    assert count(G) == 74 * 1024 + norm(1024) + 1024 * 6272 + norm(6272) + 16 * 128 * 64 + norm(64) + 16 * 64 + 1
    assert count(D) == 16 * 64 + 64 + 16 * 64 * 128 + norm(128) + 6272 * 1024 + norm(1024) + 1024 + 1
    assert count(Q) == 1024 * 128 + norm(128) + 128 * 12 + 12
    assert G(torch.randn(2, 74)).shape == (2, 1, 28, 28) and D(torch.randn(2, 1, 28, 28)).shape == (2,)
    assert infogan.Generator(8, (3, 32, 32), 8)(torch.randn(2, 8)).shape == (2, 3, 32, 32)
    with pytest.raises(GansmithError, match="multiple of 4 px"):
        infogan.Generator(8, (1, 30, 30))


def test_the_semi_supervised_classifier_is_noisy_in_training_only() -> None:
    D = ssgan.Classifier((1, 8, 8), 3, (16, 8))
    x = torch.zeros(2, 1, 8, 8)
    assert torch.equal(D.eval()(x), D(x)) and not torch.equal(D.train()(x), D(x))
    linear = [m for m in ssgan.Classifier((1, 28, 28), 10).modules() if isinstance(m, nn.Linear)]
    assert [m.weight.shape[0] for m in linear] == [1000, 500, 250, 250, 250, 10]


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


# ---------------------------------------------------------------- abilities


@pytest.mark.parametrize("cls", [CGAN, ACGAN, ProjectionGAN])
def test_a_label_is_the_end_of_the_latent(cls: Any) -> None:
    recipe = cls(num_classes=4, z_dim=3, width=8)
    z = recipe.draw_latents(1000, generator=torch.Generator().manual_seed(0))
    assert z.shape == (1000, 7) and torch.equal(z[:, 3:].sum(1), torch.ones(1000))
    assert (z[:, 3:].mean(0) - 0.25).abs().max() < 0.05
    (code,) = recipe.codes(IMAGE)
    assert code == Code("label", "label", 3, 4, ("a", "b", "c", "d"))
    assert torch.equal(code.put(z, 2)[:, 3:].argmax(1), torch.full((1000,), 2))
    assert torch.equal(code.put(z, 2)[:, :3], z[:, :3])


def test_a_gallery_has_a_row_for_each_class() -> None:
    recipe = CGAN(num_classes=4, z_dim=3, width=8)
    z, columns = recipe.gallery(IMAGE, 22)
    assert columns == 5 and z.shape == (20, 7)
    assert torch.equal(z[:, 3:].argmax(1), torch.arange(4).repeat_interleave(5))
    assert torch.equal(z[:5, :3], z[5:10, :3]) and not torch.equal(z[0, :3], z[1, :3])
    many = CGAN(num_classes=100, z_dim=3, width=8)
    z, columns = many.gallery(IMAGE, 64)
    assert columns == 4 and len(z) == 64


def test_infogans_codes() -> None:
    recipe = InfoGAN(z_dim=5, categorical=(3, 2), continuous=2, width=8)
    codes = recipe.codes(IMAGE)
    assert [(c.name, c.kind, c.start, c.size) for c in codes] == [
        ("c1", "categorical", 5, 3),
        ("c2", "categorical", 8, 2),
        ("c3", "continuous", 10, 1),
        ("c4", "continuous", 11, 1),
    ]
    z = recipe.draw_latents(500)
    assert z.shape == (500, 12) and z[:, :5].abs().max() <= 1 and z[:, 10:].abs().max() <= 1
    assert torch.equal(z[:, 5:8].sum(1), torch.ones(500)) and torch.equal(z[:, 8:10].sum(1), torch.ones(500))
    assert torch.equal(codes[3].put(z, -0.5)[:, 11], torch.full((500,), -0.5))


def test_information_is_cross_entropy_and_half_the_squared_error() -> None:
    recipe = InfoGAN(z_dim=1, categorical=(4,), continuous=1, width=8)
    z = torch.tensor([[0.3, 0.0, 1.0, 0.0, 0.0, 0.5]])
    blind = recipe.information(torch.zeros(1, 5), z)
    assert blind.item() == pytest.approx(math.log(4) + 0.5 * 0.25)
    sure = recipe.information(torch.tensor([[-50.0, 50.0, -50.0, -50.0, 0.5]]), z)
    assert sure.item() == pytest.approx(0.0, abs=1e-6)
    exact = dataclasses.replace(recipe, code_std=0.5, info_weight=3.0).information(torch.zeros(1, 5), z)
    assert exact.item() == pytest.approx(3 * (math.log(4) + 4 * 0.5 * 0.25))


@pytest.mark.parametrize(
    ("progress", "categorical", "continuous"),
    [(0, 0, 0), (0.1, 0.25, 0), (0.2, 0.5, 0), (0.3, 0.75, 0.5), (0.4, 1, 1), (1, 1, 1)],
)
def test_the_term_of_continuous_codes_rises_when_that_of_categorical_ones_is_half_there(
    progress: float, categorical: float, continuous: float
) -> None:
    recipe = InfoGAN(z_dim=1, categorical=(4,), continuous=1, width=8, info_warmup=0.4)
    z = torch.tensor([[0.3, 0.0, 1.0, 0.0, 0.0, 0.5]])
    found = recipe.information(torch.zeros(1, 5), z, progress)
    assert found.item() == pytest.approx(categorical * math.log(4) + continuous * 0.5 * 0.25)


def test_infogans_reader_sees_noise_and_its_d_does_not() -> None:
    """Both players' costs: D's own is that of clean samples, what is read is not."""
    quiet, noisy = (InfoGAN(z_dim=2, categorical=(3,), width=8, batch=32, reader_noise=s) for s in (0.0, 5.0))
    law = open_data("ring8", progress=False)
    nets = quiet.build(law.spec)
    found = {}
    for recipe in (quiet, noisy):
        torch.manual_seed(0)
        found[recipe.reader_noise] = [
            terms for _, terms in recipe.round(nets, Stream(law, recipe.draws, seed=0), Clock())
        ]
    for without, with_noise in zip(found[0.0], found[5.0], strict=True):
        assert with_noise["adv"].item() == without["adv"].item()
        assert with_noise["info"].item() != without["info"].item()


def test_the_logit_of_real_is_the_softmax_with_a_zero_for_generated() -> None:
    recipe = SSGAN(num_classes=4, widths=(8,), width=8)
    nets = recipe.build(IMAGE).eval()
    x = torch.randn(3, 1, 28, 28)
    logits = nets["D"](x)
    with_generated = torch.cat([logits, torch.zeros(3, 1)], 1).softmax(1)
    torch.testing.assert_close(recipe.logits(nets, x).sigmoid(), 1 - with_generated[:, 4])
    torch.testing.assert_close(recipe.classify(nets, x), with_generated[:, :4] / with_generated[:, :4].sum(1, True))


def test_the_tutorials_acgan_has_a_class_for_generated_samples() -> None:
    variants: tuple[Any, ...] = ("paper", "real", "tutorial")
    sizes = {}
    for recipe in (ACGAN(num_classes=4, z_dim=3, width=8, variant=v) for v in variants):
        nets = recipe.build(POINTS)
        assert recipe.generate(nets, recipe.draw_latents(5)).shape == (5, 2)
        sizes[recipe.variant] = nets["D"](torch.zeros(1, 2))[1]["class"].shape[1]
        chances = recipe.classify(nets, torch.randn(6, 2))
        torch.testing.assert_close(chances.sum(1), torch.ones(6))
        assert chances.shape == (6, 4)
    assert sizes == {"paper": 4, "real": 4, "tutorial": 5}


@pytest.mark.parametrize("variant", ["paper", "real", "tutorial"])
def test_what_acgans_classifier_is_told_of_generated_samples(variant: Any) -> None:
    """At a head of zeros every cost is the log of the number of classes; pushed to one class, it is that class's."""
    recipe = ACGAN(num_classes=8, z_dim=2, width=8, batch=64, variant=variant)
    data = Stream(open_data("ring8", progress=False), recipe.draws, seed=0)
    nets = recipe.build(open_data("ring8", progress=False).spec)
    head = nets["D"].heads["class"]
    nn.init.zeros_(head.weight)
    classes = 8 + (variant == "tutorial")
    moves = list(recipe.round(nets, data, Clock()))
    told = {name: cost.item() for name, cost in moves[0][1].items() if name.startswith("class")}
    about = ("class_real",) if variant == "real" else ("class_real", "class_fake")
    assert told == pytest.approx(dict.fromkeys(about, math.log(classes)))
    assert moves[1][1]["class"].item() == pytest.approx(math.log(classes))
    if variant == "tutorial":
        head.bias.data[8] = 50.0
        moves = list(recipe.round(nets, data, Clock()))
        assert moves[0][1]["class_fake"].item() < 1e-6 < moves[0][1]["class_real"].item()


@pytest.mark.parametrize("recipe", [CGAN, ProjectionGAN])
def test_wrong_labels_are_wrong(recipe: type[CGAN] | type[ProjectionGAN]) -> None:
    """D that accepts the right label only: the cost of a mismatch is nothing, that of a match would be large."""

    class Strict(nn.Module):
        def forward(self, x: Tensor, cond: Tensor) -> Tensor:
            law = open_data("ring8", progress=False)
            return 40 * (law.labels(x) == cond.argmax(1)).float() - 20 + 0 * x.sum()

    chosen = recipe(num_classes=8, z_dim=2, width=8, batch=64, mismatch=1.0)
    law = open_data("ring8", progress=False)
    nets = chosen.build(law.spec)
    nets["D"] = Strict()
    moves = chosen.round(nets, Stream(law, chosen.draws, seed=0), Clock())
    terms = next(terms for player, terms in moves if player.name == "D")
    assert terms["mismatch"].item() < 1e-6


def test_projection_gans_players_may_learn_at_different_rates() -> None:
    law = open_data("ring8", progress=False)
    for given, rates in ({}, {"G": 0.1, "D": 0.1}), ({"lr_d": 0.3}, {"G": 0.1, "D": 0.3}):
        recipe = ProjectionGAN(num_classes=8, z_dim=2, width=8, batch=8, lr=0.1, n_critic=1, **given)
        moves = recipe.round(recipe.build(law.spec), Stream(law, recipe.draws, seed=0), Clock())
        assert {player.name: player.options["lr"] for player, _ in moves} == rates


def test_more_samples_a_batch_than_there_are_are_refused() -> None:
    spec = DataSpec(name="few", kind="points", shape=(2,), count=9)
    with pytest.raises(GansmithError, match=r"batch = 10 is more than the 9 .*'few': give --batch 9 or less"):
        settle(GAN, spec, torch.device("cpu"), {"batch": 10})
    assert settle(GAN, spec, torch.device("cpu"), {"batch": 9})[0].batch == 9


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        (DataSpec("d", "points", (2,)), {}, "needs labels: sort the images"),
        (DataSpec("d", "points", (2,), fields=("x", "y"), classes=("one",)), {}, "has only one: one"),
        (POINTS, {"num_classes": 3}, "num_classes = 3, but p has 4"),
    ],
)
def test_data_without_use_for_labels_are_refused(data: DataSpec, given: dict[str, Any], words: str) -> None:
    recipe: Recipe = CGAN(**{k: v.value for k, v in CGAN.bound(data).items()} | given)
    assert isinstance(recipe, Generates)
    with pytest.raises(GansmithError, match=words):
        recipe.check(data)
