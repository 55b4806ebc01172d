"""Augmentation in the game: every image recipe plays with it, p follows D, D is asked without it, what does not fit."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gansmith
from gansmith import augmenting, helpers, recipes
from gansmith.abilities import Discriminates
from gansmith.core import Clock, DataSpec, Recipe
from gansmith.data import Stream
from gansmith.doctor.signs import Signs
from gansmith.engine.game import Game
from gansmith.errors import GansmithError
from gansmith.nn.augment import AdaptiveAugment, DiffAugment
from gansmith.penalties import gradient_square
from gansmith.zoo.dcgan import DCGAN

_spec = importlib.util.spec_from_file_location("zoo_settings", Path(__file__).parent / "test_zoo.py")
assert _spec is not None and _spec.loader is not None
zoo: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(zoo)
"""What the tests of the whole zoo share: small settings for every recipe, small data, games that are watched."""

NAMES = [name for name in recipes.names() if "image" in recipes.find(name).kinds]
WAYS = ("ada", "ada-full", "diffaugment")
UNSIGNED = {"progan", "r3gan", "wgan", "wgan_gp"}
"""Recipes in whose costs only differences of logits count."""

SPEC = DataSpec("d", "image", (3, 8, 8))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(folder))
        yield folder


def dcgan(**fields: Any) -> DCGAN:
    return DCGAN(**{"batch": 8, "width": 8, "z_dim": 4, "norm_d": "none", **fields})


def ada_of(g: Game) -> AdaptiveAugment:
    judge: Any = g.nets[g.recipe.critic]  # type: ignore[attr-defined]
    assert isinstance(judge.augment, AdaptiveAugment)
    return judge.augment


# ---------------------------------------------------------------- every recipe


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", WAYS)
def test_every_recipe_plays_with_it_and_goes_on_exactly(name: str, way: str, cache: Path) -> None:
    """Five rounds are three, a checkpoint and two more, p included, which moves in the fourth."""
    fields: dict[str, Any] = {"augment": way}
    adapts = way != "diffaugment" and name not in UNSIGNED
    if way != "diffaugment":
        fields |= {"augment_ksamples": 0.05} if adapts else {"augment_p": 0.5}
    recipe, data = zoo.small(name, **fields), zoo.dataset(name, "image")
    whole, first, rest = (zoo.game(recipe, data) for _ in range(3))
    for g in (whole, first) if adapts else ():
        ada_of(g).p.fill_(0.5)
        ada_of(g).r.fill_(0.6)
    called = []
    whole.nets[recipe.critic].augment.register_forward_hook(lambda *_: called.append(1))
    for g, rounds in ((whole, 5), (first, 3)):
        for _ in range(rounds):
            g.play()
    rest.restore(*first.state(), path="memory")
    for _ in range(2):
        rest.play()
    zoo.assert_same(zoo.tensors(rest), zoo.tensors(whole))
    assert len(called) >= 10 and all(p.isfinite().all() for p in whole.nets.parameters())
    assert not adapts or (float(ada_of(whole).p) != 0.5 and float(ada_of(whole).r) != float(torch.tensor(0.6)))


class Raised(nn.Module):
    """A discriminator with a constant added to all its logits."""

    def __init__(self, D: Any, by: float) -> None:
        super().__init__()
        self.D, self.by = D, by

    def forward(self, x: Tensor, *rest: Tensor) -> Any:
        out = self.D(x, *rest)
        return (out[0] + self.by, *out[1:]) if isinstance(out, tuple) else out + self.by

    def trunk(self, x: Tensor, *rest: Tensor) -> Any:
        return self.D.trunk(x, *rest)

    def head(self, h: Tensor) -> Any:
        return self.D.head(h) + self.by


@pytest.mark.parametrize("name", NAMES)
def test_a_boundary_is_declared_where_a_constant_matters(name: str, cache: Path) -> None:
    """A recipe whose D's cost does not change when all logits rise by 5 has no boundary, and every other has one."""
    drift = {"drift_weight": 0.0} if name == "progan" else {}  # its only aim is to hold the constant
    recipe, data = zoo.small(name, **drift), zoo.dataset(name, "image")
    assert isinstance(recipe, Discriminates)
    costs = []
    for by in (0.0, 5.0):
        torch.manual_seed(0)
        nets = recipe.build(data.spec)
        nets[recipe.critic] = Raised(nets[recipe.critic], by)
        torch.manual_seed(1)
        moves = recipe.round(nets, Stream(data, recipe.draws, seed=0), Clock())
        terms = next(terms for player, terms in moves if recipe.critic in player.nets)
        costs.append(float(sum(terms.values()).detach()))
    same = costs[1] == pytest.approx(costs[0], abs=1e-3)
    assert same == (recipe.boundary is None) == (name in UNSIGNED)


def test_boundaries_of_codes_and_divergences() -> None:
    make = recipes.find
    assert make("lsgan")().boundary == 0.5 and make("lsgan")(coding="pearson").boundary == 0.0
    found = {d: make("fgan")(divergence=d).boundary for d in ("kl", "reverse_kl", "pearson", "hellinger", "gan")}
    assert found == pytest.approx(
        {"kl": 1.0, "reverse_kl": 0.0, "pearson": 0.0, "hellinger": 0.0, "gan": 0.0}, abs=1e-6
    )


# ---------------------------------------------------------------- what D sees


class Seen(nn.Module):
    """Remembers what it is given; its logits are the given images' means."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[Tensor] = []

    def forward(self, x: Tensor, *rest: Tensor) -> Tensor:
        self.given.append(x.detach())
        return x.flatten(1).mean(1)


@pytest.mark.parametrize("augment", [AdaptiveAugment(p=1.0), DiffAugment()])
def test_d_sees_plain_images_when_it_is_asked_in_earnest(augment: nn.Module) -> None:
    judge, x = helpers.Judge(Seen(), augment=augment), torch.rand(4, 3, 8, 8)
    judge.train()(x)
    judge(x)
    judge.eval()(x)
    first, second, plain = judge.D.given
    assert not first.equal(x) and not first.equal(second) and plain.equal(x)


def test_each_sample_is_augmented_alone_before_packing() -> None:
    judge, x = helpers.Judge(Seen(), 2, AdaptiveAugment(p=1.0)), torch.rand(4, 3, 8, 8)
    torch.manual_seed(0)
    judge.train()(x)
    torch.manual_seed(0)
    alone = AdaptiveAugment(p=1.0)(x)
    assert judge.D.given[0].shape == (2, 6, 8, 8)
    assert judge.D.given[0].reshape(4, 3, 8, 8).equal(alone)


def test_noise_comes_after() -> None:
    judge, x = helpers.Judge(Seen(), augment=AdaptiveAugment(p=1.0)), torch.rand(4, 3, 8, 8)
    judge.level.fill_(1e-3)
    torch.manual_seed(0)
    judge.train()(x)
    torch.manual_seed(0)
    apart = judge.D.given[0] - AdaptiveAugment(p=1.0)(x)
    assert 0 < float(apart.abs().max()) < 0.01


def test_labels_are_put_beside_augmented_images(cache: Path) -> None:
    """cgan's D has the label as planes: they stay constant while the images are turned and recoloured."""
    recipe, data = zoo.small("cgan", augment="ada", augment_p=1.0, net="dcgan"), zoo.dataset("cgan", "image")
    g = zoo.game(recipe, data)
    seen = Seen()
    g.nets["D"].D.D = seen
    x, y = Stream(data, recipe.draws, seed=0)(6)
    recipe.logits(g.nets, x, torch.nn.functional.one_hot(y, zoo.CLASSES).float())
    assert seen.given[0].shape[1] == 3 + zoo.CLASSES
    assert not seen.given[0][:, :3].equal(x)
    assert seen.given[0][:, 3:].equal(
        torch.nn.functional.one_hot(y, zoo.CLASSES).float()[:, :, None, None].expand(-1, -1, *x.shape[2:])
    )


def test_both_players_see_it_in_both_moves(cache: Path) -> None:
    """Every call of D during a round is given other images than those that go to it."""
    data = zoo.dataset("dcgan", "image")
    g = zoo.game(dcgan(augment="ada", augment_p=1.0), data)
    judge: Any = g.nets["D"]
    pairs: list[tuple[Tensor, Tensor]] = []
    judge.augment.register_forward_hook(lambda module, given, out: pairs.append((given[0].detach(), out.detach())))
    g.play()
    assert len(pairs) == 3 and all(not a.equal(b) for a, b in pairs)  # real, fake in D's move, fake in G's
    assert pairs[1][0].equal(pairs[2][0]) and not pairs[1][1].equal(pairs[2][1])  # the same fakes, drawn anew


def test_gradients_reach_g_and_r1_goes_through(cache: Path) -> None:
    data = zoo.dataset("dcgan", "image")
    g = zoo.game(dcgan(augment="ada-full", augment_p=0.9, gamma=1.0), data)
    before = {k: v.detach().clone() for k, v in g.nets.named_parameters()}
    g.play()
    assert all(not torch.equal(v, before[k]) for k, v in g.nets.named_parameters())
    assert {"D/r1"} <= g.means().keys()
    judge: Any = g.nets["D"]
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    gradient_square(judge(x), x).backward()


def test_the_doctor_asks_d_without_it(cache: Path, tmp_path: Path) -> None:
    """And without noise; D's layers stay in the mode in which they are."""
    data = zoo.dataset("dcgan", "image")
    g = zoo.game(dcgan(augment="ada", augment_p=1.0, instance_noise=0.5, norm_d="batch"), data)
    g.play()
    judge: Any = g.nets["D"]
    x, calls = torch.rand(4, 3, 8, 8), []
    judge.augment.register_forward_hook(lambda *_: calls.append(1))
    with helpers.plain(g.nets):
        assert torch.equal(judge._seen(x), x) and all(m.training for m in judge.D.modules())
    assert judge.training and not calls and not torch.equal(judge._seen(x), x) and calls == [1]
    run = gansmith.train(
        "dcgan", data, out=tmp_path / "run", samples=64, tick=16, quiet=True, batch=8, width=8, augment="diffaugment"
    )
    assert run.path.exists()


def test_signs_of_the_doctor_are_those_of_plain_images(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    g = zoo.game(dcgan(augment="ada", augment_p=0.5), zoo.dataset("dcgan", "image"))
    modes: list[bool] = []
    monkeypatch.setattr("gansmith.doctor.signs.augmentation", lambda nets: modes.append(nets["D"].training) or {})
    Signs(None, 1000).first(g)
    assert modes == [False] and g.nets["D"].training


# ---------------------------------------------------------------- p follows D


class Certain(nn.Module):
    """A D whose logit is one number, whatever it sees."""

    def __init__(self, logit: float) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(logit))

    def forward(self, x: Tensor) -> Tensor:
        return self.bias + 1e-9 * x.flatten(1).sum(1)


def certain(logit: float, cache: Path, **fields: Any) -> Game:
    """A game in which D never changes its mind."""
    g = zoo.game(
        dcgan(**{"augment": "ada", "lr": 0.0, "augment_ksamples": 0.4} | fields), zoo.dataset("dcgan", "image")
    )
    judge: Any = g.nets["D"]
    judge.D = Certain(logit)
    return g


def test_p_rises_while_d_is_sure_and_falls_when_it_is_not(cache: Path) -> None:
    """By closed form: r = 1 - (7/8)^n after n looks; from the 7th on p rises by 4 rounds of 8 samples in 400."""
    g, wanted = certain(2.0, cache), 0.0
    for n in range(1, 13):
        for _ in range(4):
            g.play()
        wanted += 0.08 if n >= 7 else 0.0
        told = g.means()
        assert told["augment/r"] == pytest.approx(1 - (7 / 8) ** n)
        assert told["augment/p"] == pytest.approx(min(wanted, 0.85), abs=1e-6)
    judge: Any = g.nets["D"]
    judge.D = Certain(-2.0)
    for _ in range(12):
        g.play()
    assert float(ada_of(g).p) == pytest.approx(wanted - 3 * 0.08, abs=0.09) and float(ada_of(g).p) < wanted


def test_p_moves_every_fourth_round_by_all_samples_drawn(cache: Path) -> None:
    g = certain(2.0, cache)
    ada_of(g).r.fill_(1.0)
    steps = []
    for _ in range(9):
        before = float(ada_of(g).p)
        g.play()
        steps.append(round(float(ada_of(g).p) - before, 6))
    assert steps == [0, 0, 0, 0.08, 0, 0, 0, 0.08, 0]


def test_r_is_the_mean_sign_over_the_reals_of_ds_move(cache: Path) -> None:
    data = zoo.dataset("dcgan", "image")
    g = zoo.game(dcgan(augment="ada"), data)
    for _ in range(3):
        g.play()
    judge: Any = g.nets["D"]
    judge.D = Seen()
    x = Stream(data, seed=0)(8)
    wanted = torch.sign(x.flatten(1).mean(1)).mean()  # p = 0: what D sees is x
    torch.testing.assert_close(augmenting.mean_sign(g.recipe, g.nets, (x,)), wanted)
    assert not augmenting.mean_sign(g.recipe, g.nets, (x,)).requires_grad


def test_every_process_takes_the_mean_of_all(cache: Path) -> None:
    g = certain(2.0, cache)
    ada = ada_of(g)
    ada.look = torch.tensor(1.0)
    augmenting.adapt(g.recipe, g.nets, 16, lambda flat: flat - 1.5)
    assert float(ada.r) == pytest.approx(-0.5 / 8) and ada.look is None and float(ada.drawn) == 0


def test_a_look_of_a_round_that_failed_is_forgotten(cache: Path) -> None:
    g = certain(2.0, cache)
    ada_of(g).look = torch.tensor(-1.0)
    g.play()
    assert ada_of(g).look is None and float(ada_of(g).r) == 0.0 and float(ada_of(g).drawn) == 8


def test_a_run_records_p_and_r(cache: Path, tmp_path: Path) -> None:
    data = zoo.dataset("dcgan", "image")
    fields: dict[str, Any] = {"batch": 8, "width": 8, "augment": "ada", "augment_ksamples": 0.1}
    run = gansmith.train("dcgan", data, out=tmp_path / "run", samples=320, tick=80, quiet=True, **fields)
    text = (run.path / "metrics.jsonl").read_text()
    assert '"augment/p"' in text and '"augment/r"' in text and '"augment_p"' in text  # of the doctor's signs
    gan = gansmith.load(run.path)
    assert np.isfinite(gan.sample(3, seed=0).numpy()).all()


# ---------------------------------------------------------------- what does not fit


@pytest.mark.parametrize(
    ("name", "fields", "spec", "words"),
    [
        ("gan", {"augment": "ada"}, DataSpec("ring8", "points", (2,)), "changes images, but ring8 holds points data"),
        ("gan", {"augment": "diffaugment"}, DataSpec("ring8", "points", (2,)), "changes images, but ring8"),
        ("dcgan", {"augment_p": 0.3}, SPEC, "augment_p is of augment = ada, but augment is none: leave it out."),
        ("dcgan", {"augment": "diffaugment", "augment_ceiling": 0.5}, SPEC, "augment_ceiling is of augment = ada"),
        (
            "dcgan",
            {"augment": "ada", "augment_p": 0.3, "augment_ksamples": 9.0},
            SPEC,
            "no effect on a fixed augment_p",
        ),
        ("dcgan", {"augment": "ada"}, DataSpec("d", "image", (4, 8, 8)), "square grey or colour images"),
        ("wgan", {"augment": "ada"}, SPEC, r"fix its strength \(augment_p = 0.3\), or use augment = diffaugment"),
        ("wgan_gp", {"augment": "ada-full"}, SPEC, "only differences of logits count"),
        ("r3gan", {"augment": "ada"}, SPEC, "means nothing in R3GAN"),
    ],
)
def test_what_does_not_fit_is_said(name: str, fields: dict[str, Any], spec: DataSpec, words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        helpers.assemble(small(name, fields), spec)


@pytest.mark.parametrize("name", sorted(UNSIGNED))
@pytest.mark.parametrize("fields", [{"augment": "ada", "augment_p": 0.3}, {"augment": "diffaugment"}])
def test_the_ways_out_that_are_named_work(name: str, fields: dict[str, Any]) -> None:
    assert isinstance(helpers.assemble(small(name, fields), SPEC)["D"], helpers.Judge)


def small(name: str, fields: dict[str, Any]) -> Recipe:
    return zoo.small(name, **fields)
