"""Inversion: closed forms where the generator is linear, and untrained generators of the zoo where it is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
import torch
from torch import Tensor, nn

from gansmith import helpers, recipes
from gansmith.abilities import Conditioned, Generates
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Recipe
from gansmith.errors import GansmithError
from gansmith.evaluation.features import Extractor, Look
from gansmith.explore import descent, inversion, reach
from gansmith.explore.coordinates import Coordinates
from gansmith.explore.encoder import train_encoder
from gansmith.explore.inversion import Found, invert, psnr
from gansmith.explore.nearness import nearness
from gansmith.explore.space import Space
from gansmith.model import GAN
from gansmith.nn.standing import standing_statistics_

SIDE, SIZE = 4, 6
SPEC = DataSpec("squares", "image", (1, SIDE, SIDE), classes=("a", "b", "c"))


class Painter(nn.Module):
    """Images A z + b; the columns of A are orthogonal, and as long as `scale`."""

    def __init__(self, inputs: int, scale: float) -> None:
        super().__init__()
        made = torch.linalg.qr(torch.randn(SIDE**2, inputs, generator=seeded(3))).Q
        self.A = nn.Parameter(scale * made)
        self.b = nn.Parameter(0.2 * torch.randn(SIDE**2, generator=seeded(4)))

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.A.T + self.b).reshape(-1, 1, SIDE, SIDE)


@dataclass(frozen=True, kw_only=True)
class Linear(Generates, Recipe):
    """A generator without a discriminator."""

    kinds: ClassVar = ("image",)
    z_dim: int = SIZE
    scale: float = 0.1

    def build(self, data: DataSpec) -> Nets:
        return Nets({"G": Painter(self.draw_latents(1).shape[1], self.scale)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        yield from ()


@dataclass(frozen=True, kw_only=True)
class Uniform(Linear):
    """Noise between -1 and 1."""

    prior: ClassVar[Literal["normal", "uniform"]] = "uniform"

    def draw_latents(self, n: int, device: Any = "cpu", generator: torch.Generator | None = None) -> Tensor:
        return 2 * torch.rand(n, self.z_dim, device=device, generator=generator) - 1


@dataclass(frozen=True, kw_only=True)
class Labelled(Conditioned, Linear):
    """A label adds a column of its own."""

    z_dim: int = SIZE
    num_classes: int | None = 3


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def model(recipe: Recipe, spec: DataSpec = SPEC) -> GAN:
    """An untrained one; BatchNorm has the statistics of its own latents."""
    torch.manual_seed(1)
    nets = helpers.assemble(recipe, spec)
    assert isinstance(recipe, Generates)
    standing_statistics_(nets["G"], [recipe.draw_latents(256)], lambda z: recipe.generate(nets, z))
    return GAN(recipe, spec, nets.eval().requires_grad_(False), 0)


def zoo(name: str, side: int = 8, **fields: Any) -> Space:
    """The space of a recipe of the zoo, small and untrained, but with enough contrast."""
    gan = model(recipes.find(name)(z_dim=8, **fields), replace(SPEC, shape=(1, side, side)))
    return Space(gan)


@pytest.fixture(scope="module")
def linear() -> Space:
    return Space(model(Linear()))


@pytest.fixture(scope="module")
def styled() -> Space:
    return zoo("stylegan2", w_dim=8, mapping_layers=2, channel_base=64, channel_max=8)


@pytest.fixture(scope="module")
def dcgan() -> Space:
    return zoo("dcgan", side=16, width=8)


def flat(x: Tensor) -> Tensor:
    return x.flatten(1).double()


def least_squares(space: Space, images: Tensor, weight: Tensor | None = None) -> Tensor:
    """Points (N, SIZE) nearest to images, whose pixels have weights (SIDE, SIDE)."""
    G: Any = space.model.nets["G"]
    root = torch.ones(SIDE**2).double() if weight is None else weight.flatten().double().sqrt()
    return torch.linalg.lstsq(root[:, None] * G.A.double(), (root * (flat(images) - G.b.double())).T).solution.T


# ---------------------------------------------------------------- closed forms


def test_a_linear_generator_gives_least_squares(linear: Space) -> None:
    targets = (linear.images(linear.draw(5, 3)) + 0.1 * torch.randn(5, 1, SIDE, SIDE)).clamp(-0.99, 0.99)
    found = invert(linear, targets, distance="pixels", steps=60)
    wanted = least_squares(linear, targets)
    assert (found.points - wanted).abs().max() < 1e-3
    torch.testing.assert_close(found.images, linear.images(found.points))
    error = (flat(found.images) - flat(targets)).square().mean(1)
    torch.testing.assert_close(found.psnr.double(), 10 * torch.log10(4 / error), rtol=1e-3, atol=1e-2)
    a, b = linear.images(linear.draw(4000, 8)).chunk(2)  # the unit of distance
    torch.testing.assert_close(found.distance.double(), error / (flat(a) - flat(b)).square().mean(), rtol=0.1, atol=0)


def test_normal_noise_stays_within_the_farthest_draw(linear: Space) -> None:
    chart = Coordinates.of(linear)
    inside, outside = linear.draw(1, 3), 50 * linear.draw(1, 4) / linear.draw(1, 4).norm()
    G = linear.model.nets["G"]
    with torch.no_grad():
        near, far = (nearness(linear, "pixels").target(G(z)) for z in (inside, outside))
    u = chart.rows(linear.draw(1, 7))[0]
    found = [downhill(linear, u, to.pixels) for to in (near, far)]
    wanted = [chart.rows(inside)[0], chart.inside(chart.rows(outside)[0])]  # the columns of A are orthogonal
    assert (found[0] - wanted[0]).abs().max() < 1e-2 and (found[1] - wanted[1]).abs().max() < 0.05
    draws = chart.rows(linear.draw(4096, 9))[0].norm(dim=-1)
    assert found[1].norm() == pytest.approx(chart.radius, rel=1e-3) and (draws > chart.radius).float().mean() < 0.002


def downhill(space: Space, u: Tensor, target: Tensor) -> Tensor:
    """Where the quasi-Newton method comes to in 60 steps."""
    chart = Coordinates.of(space)
    way = descent.QuasiNewton(u, chart.inside)
    for _ in range(60):
        at = way.ask().detach().requires_grad_()
        cost = (space.made(chart.points(at, at[:, 0, :0])) - target).square().flatten(1).mean(1)
        way.tell(cost.detach(), *torch.autograd.grad(cost.sum(), at))
    return way.u


def test_uniform_noise_stays_in_its_range() -> None:
    space = Space(model(Uniform()))
    G = space.model.nets["G"]
    z = torch.tensor([[2.0, -2.0, 0.5, -0.5, 1.5, 0.0]])
    with torch.no_grad():
        found = invert(space, G(z).clamp(-1, 1), distance="pixels", steps=60)
    assert G(z).abs().max() < 1  # nothing was clipped
    assert (found.points - z.clamp(-1, 1)).abs().max() < 2e-3 and found.points.abs().max() <= 1


def test_what_was_clipped_is_found_again() -> None:
    space = Space(model(Linear(scale=0.8)))
    z = space.draw(6, 5)
    images = space.images(z)
    assert (images.abs() == 1).float().mean() > 0.05
    found = invert(space, images, distance="pixels", steps=200)
    assert found.psnr.min() > 50 and (found.points - z).abs().max() < 0.02


# ---------------------------------------------------------------- generators of the zoo


@pytest.mark.parametrize("name", ["styled", "dcgan"])
def test_own_samples_come_back_and_others_do_not(name: str, request: pytest.FixtureRequest) -> None:
    space: Space = request.getfixturevalue(name)
    own = space.images(space.draw(4, 3))
    other = own.flip(2, 3)
    found = invert(space, torch.cat([own, other]), steps=90)
    assert found.psnr[:4].min() > 30 and found.psnr[:4].min() > found.psnr[4:].max() + 5
    assert found.distance[:4].max() < 0.1 * found.distance[4:].min()
    draws = space.images(space.draw(2000, 4))
    nearest = torch.stack([psnr(draws, x.expand_as(draws)).max() for x in own])
    assert (found.psnr[:4] > nearest).all()  # not just looked up


def test_starts_are_no_draws_that_a_user_sees(dcgan: Space) -> None:
    """Else a user's own samples would come back without any search."""
    own = dcgan.images(dcgan.draw(64, 0))
    assert invert(dcgan, own, steps=1).psnr.max() < 40


def test_a_style_for_each_layer_is_nearer(styled: Space) -> None:
    targets = torch.nn.functional.interpolate(torch.rand(4, 1, 3, 3) - 0.5, 8, mode="bilinear")
    one, each = (invert(styled, targets, steps=90, each_layer=flag) for flag in (False, True))
    assert one.points.shape == each.points.shape == (4, styled.layers, 8)
    assert torch.equal(one.points, one.points[:, :1].expand_as(one.points))
    assert each.points.std(1).max() > 0.1
    assert (each.distance < one.distance).all() and each.distance.mean() < 0.8 * one.distance.mean()


def test_all_starts_go_for_a_third_of_the_steps_then_the_best_alone(dcgan: Space) -> None:
    own, sizes = dcgan.images(dcgan.draw(2, 3)), []
    G = dcgan.model.nets["G"]
    handle = G.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    try:
        invert(dcgan, own, steps=9, starts=5)
    finally:
        handle.remove()
    assert sizes[-9:] == [10] * 3 + [2] * 6


def test_targets_do_not_disturb_each_other(dcgan: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    own = dcgan.images(dcgan.draw(3, 3))
    together = invert(dcgan, own, steps=12)
    alone = [invert(dcgan, image[None], steps=12) for image in own]
    torch.testing.assert_close(together.points, torch.cat([f.points for f in alone]), rtol=1e-2, atol=1e-2)
    monkeypatch.setattr(inversion, "PIXELS", 16 * 16 * 4 * 2)  # two at once
    parts = invert(dcgan, own, steps=12)
    torch.testing.assert_close(together.points, parts.points, rtol=1e-2, atol=1e-2)
    assert parts.steps == 12


# ---------------------------------------------------------------- labels and codes


def test_the_label_is_found_and_kept() -> None:
    space = Space(model(Labelled(scale=0.3)))
    z = space.draw(12, 3)
    found = invert(space, space.images(z), distance="pixels", steps=60, starts=8)
    assert torch.equal(found.points[:, SIZE:], z[:, SIZE:]) and found.psnr.min() > 40
    given = invert(space, space.images(z), distance="pixels", steps=60, label="b")
    assert (given.points[:, SIZE:] == torch.tensor([0.0, 1.0, 0.0])).all()
    is_b = z[:, SIZE + 1] == 1
    assert given.psnr[is_b].min() > 40 > given.psnr[~is_b].min()
    with pytest.raises(GansmithError, match="none of a, b, c"):
        invert(space, space.images(z), label="d", distance="pixels")


# ---------------------------------------------------------------- distances


def test_features_of_d_are_of_single_images(styled: Space) -> None:
    """StyleGAN2's D looks at the spread of a batch before its end: what lies behind is left out."""
    near = nearness(styled, "D")
    images = styled.images(styled.draw(9, 3))
    together, alone = near.look(images), [near.look(x[None]) for x in images]
    assert len(together) >= 2
    for i, features in enumerate(together):
        torch.testing.assert_close(features, torch.cat([one[i] for one in alone]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("distance", ["D", "pixels"])
def test_the_distance_of_two_draws_is_one(dcgan: Space, distance: Any) -> None:
    near = nearness(dcgan, distance)
    a, b = dcgan.images(dcgan.draw(256, 3)).chunk(2)
    to = near.target(a)
    assert near(b[:, None], to).mean() == pytest.approx(1, rel=0.1) and near(a[:, None], to).max() < 1e-6
    torch.testing.assert_close(near.among(b, to).diag(), near(b[:, None], to)[:, 0], rtol=1e-3, atol=1e-4)


def test_an_extractor_is_followed_beyond_its_rounding(linear: Space) -> None:
    """An extractor of the left half: least squares in which that half counts more."""
    left = Extractor(name="left", version="1", net=lambda x: Look(x[..., :2].flatten(1)), dim=None, channels=1)
    targets = (linear.images(linear.draw(5, 3)) + 0.1 * torch.randn(5, 1, SIDE, SIDE)).clamp(-0.99, 0.99)
    near = nearness(linear, left)
    assert near.pixel_unit > 0 and near.units[0] > 0
    weight = torch.full((SIDE, SIDE), 1 / near.pixel_unit / SIDE**2)
    weight[:, :2] += 1 / near.units[0] / (SIDE**2 / 2)
    found = invert(linear, targets, steps=60, distance=replace(left, eight_bit=True))
    torch.testing.assert_close(found.points, least_squares(linear, targets, weight).float(), rtol=0, atol=2e-3)
    assert (found.points - least_squares(linear, targets)).abs().max() > 0.05
    assert found.settings["distance"] == "left 1"


# ---------------------------------------------------------------- progress, repeatability, side effects


def test_progress_frames_and_a_stop(dcgan: Space) -> None:
    own, told = dcgan.images(dcgan.draw(3, 3)), []

    def watch(step: int, total: int, now: dict[str, Any]) -> bool:
        told.append((step, total, now))
        return False

    whole = invert(dcgan, own, steps=30, frames=10, on_step=watch)
    seen = [entry for entry in told if entry[0]]
    assert [step for step, _, _ in seen] == list(range(1, 31)) and {total for _, total, _ in told} == {30}
    best = torch.stack([now["distance"] for _, _, now in seen])
    assert (best.diff(dim=0) <= 0).all() and torch.equal(best[-1], whole.distance)
    assert whole.frames is not None and whole.frames.shape == (4, 3, 1, 16, 16)
    for at, frame in zip((10, 20, 30), whole.frames[1:], strict=True):
        assert torch.equal(frame, seen[at - 1][2]["images"])
    torch.testing.assert_close(whole.frames[-1], whole.images, rtol=0, atol=1e-4)

    stopped = invert(dcgan, own, steps=30, frames=10, on_step=lambda step, total, now: step == 15)
    assert stopped.steps == 15 and torch.equal(stopped.distance, best[14])
    assert stopped.frames is not None and len(stopped.frames) == 3
    torch.testing.assert_close(stopped.images, seen[14][2]["images"], rtol=0, atol=1e-4)


def test_ctrl_c_and_a_stop_before_the_first_step_give_the_best_so_far(
    dcgan: Space, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inversion, "PIXELS", 16 * 16 * 4)  # one at a time
    own = dcgan.images(dcgan.draw(3, 3))

    def interrupt(step: int, total: int, now: dict[str, Any]) -> None:
        if step == 45:
            raise KeyboardInterrupt

    found = invert(dcgan, own, steps=30, frames=10, on_step=interrupt)
    assert found.steps == 15 and found.frames is not None and found.frames.shape[:2] == (4, 3)
    alone = invert(dcgan, own[:1], steps=30)
    torch.testing.assert_close(found.distance[0], alone.distance[0])
    assert torch.equal(found.frames[0, 2], found.frames[-1, 2])  # the third was not begun
    at_once = invert(dcgan, own, steps=30, on_step=lambda step, total, now: True)
    assert at_once.steps == 0 and at_once.psnr.isfinite().all() and (at_once.distance > found.distance)[:2].all()


def test_the_same_seed_gives_the_same_bits_and_nothing_else_changes(styled: Space) -> None:
    own = styled.images(styled.draw(2, 3)).flip(2)
    nets = styled.model.nets
    before = {name: value.clone() for name, value in nets.state_dict().items()}
    state = torch.get_rng_state()
    first = invert(styled, own, steps=12)
    encoder = train_encoder(styled, 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    again = invert(styled, own, steps=12)
    assert torch.equal(first.points, again.points) and torch.equal(first.images, again.images)
    assert not torch.equal(first.points, invert(styled, own, steps=12, seed=1).points)
    assert torch.equal(encoder.rows(styled, own), train_encoder(styled, 2).rows(styled, own))
    assert all(torch.equal(value, before[name]) for name, value in nets.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in nets.parameters())
    assert not any(net.training for net in nets.modules())
    assert not any(m._forward_pre_hooks for m in nets.modules())


# ---------------------------------------------------------------- encoder


def test_an_encoder_learns_and_is_a_good_start(dcgan: Space) -> None:
    losses: list[float] = []
    encoder = train_encoder(dcgan, 150, on_step=lambda step, total, loss: losses.append(loss))
    assert len(losses) == 150 and encoder.loss < 0.6 < losses[0]
    own = dcgan.images(dcgan.draw(12, 3))
    chart = Coordinates.of(dcgan)
    wanted = chart.rows(dcgan.draw(12, 3))[0]
    assert (encoder.rows(dcgan, own) - wanted).square().mean() < 0.6
    without, with_it = (invert(dcgan, own, steps=9, encoder=e) for e in (None, encoder))
    assert with_it.distance.log().mean() < without.distance.log().mean()
    assert with_it.settings["encoder"] == encoder.identity and without.settings["encoder"] is None


def test_training_an_encoder_can_be_stopped(dcgan: Space, styled: Space) -> None:
    seen: list[int] = []
    encoder = train_encoder(dcgan, 100, on_step=lambda step, total, loss: seen.append(step) or step == 3)
    assert seen == [1, 2, 3]
    with pytest.raises(GansmithError, match="another model or space"):
        invert(styled, styled.images(styled.draw(1)), encoder=encoder)
    with pytest.raises(GansmithError, match="at least 1 step"):
        train_encoder(dcgan, 0)


# ---------------------------------------------------------------- the model's range


@pytest.fixture(scope="module")
def known(dcgan: Space) -> reach.Range:
    return reach.calibrate(dcgan, 40, steps=60)


def test_own_samples_are_inside_and_others_outside(dcgan: Space, known: reach.Range) -> None:
    own = dcgan.images(dcgan.draw(60, 3))
    noise = 2 * torch.rand(20, 1, 16, 16) - 1
    assert reach.outside(known, invert(dcgan, own, steps=60)).float().mean() <= 0.05
    assert reach.outside(known, invert(dcgan, noise, steps=60)).all()
    assert reach.outside(known, invert(dcgan, own[:20].flip(2), steps=60)).float().mean() > 0.9


def test_errors_are_kept_in_a_file_that_is_made_anew_when_damaged(
    linear: Space, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Any] = []
    calibrate = reach.calibrate
    monkeypatch.setattr(reach, "calibrate", lambda *a, **k: (calls.append(k), calibrate(*a, **k))[1])
    options: dict[str, Any] = {"steps": 6, "distance": "pixels"}
    first = reach.calibrated(linear, tmp_path / "new", **options)
    (path,) = (tmp_path / "new").iterdir()
    assert path.suffix == ".json" and len(json.loads(path.read_text())["errors"]) == 40
    again = reach.calibrated(linear, tmp_path / "new", **options)
    assert len(calls) == 1 and torch.equal(first.errors, again.errors) and first.settings == again.settings
    facts = json.loads(path.read_text())
    wrong = (
        {"model": "0"},
        {"errors": [-1.0, *facts["errors"][1:]]},
        {"errors": facts["errors"][:5]},
        {"errors": None},
    )
    for damage in ("", "{", "[]", *(json.dumps(facts | change) for change in wrong)):
        path.write_text(damage)
        calls.clear()
        assert torch.equal(reach.calibrated(linear, tmp_path / "new", **options).errors, first.errors)
        assert len(calls) == 1
    pictures = linear.images(linear.draw(40, 9)).flip(2)
    for change in ({"seed": 1}, {"steps": 7}, {"samples": 41}, {"samples": pictures}):
        calls.clear()
        assert not torch.equal(reach.calibrated(linear, tmp_path / "new", **(options | change)).errors, first.errors)
        assert len(calls) == 1
    assert len(list((tmp_path / "new").iterdir())) == 5


def test_outside_is_far_above_the_law_of_the_logarithms() -> None:
    settings = inversion.settings_of(steps=5)
    known = reach.Range(settings, torch.tensor([-6.0, -4.0, -2.0]).exp())  # mean -4, standard deviation 2
    nothing = torch.zeros(3, 1)
    found = Found(nothing, nothing, nothing[:, 0], torch.tensor([-4.0, 0.0, 2.0]).exp(), 1.0, 5, settings)
    torch.testing.assert_close(known.deviations(found), torch.tensor([0.0, 2.0, 3.0]))
    assert reach.outside(known, found).tolist() == [False, False, True]


def test_a_range_is_asked_about_what_was_found_alike(dcgan: Space, known: reach.Range) -> None:
    own = dcgan.images(dcgan.draw(2, 3))
    with pytest.raises(GansmithError, match=r"other settings \(steps, starts\)"):
        reach.outside(known, invert(dcgan, own, steps=6, starts=2))
    with pytest.raises(GansmithError, match="after 2 of 60 steps"):
        reach.outside(known, invert(dcgan, own, steps=60, on_step=lambda step, total, now: step == 2))
    with pytest.raises(GansmithError, match="5 pictures are too few"):
        reach.calibrate(dcgan, 5)
    with pytest.raises(GansmithError, match="Stopped"):
        reach.calibrate(dcgan, 40, steps=6, on_step=lambda step, total, now: step == 2)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (torch.zeros(1, SIDE, SIDE), r"shape \(1, 4, 4\).*makes \(N, 1, 4, 4\).*resolution=4, channels=1"),
        (torch.zeros(1, 3, SIDE, SIDE), "channels=1"),
        (torch.zeros(0, 1, SIDE, SIDE), r"shape \(0, 1, 4, 4\)"),
        (torch.zeros(2, 1, SIDE, SIDE).index_fill(0, torch.tensor([1]), torch.nan), "Picture 1 .*not finite"),
        (torch.full((1, 1, SIDE, SIDE), 255.0), "from 255 to 255.*-1 .black. to 1 .white."),
    ],
)
def test_pictures_that_do_not_fit_are_refused(linear: Space, targets: Tensor, words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        invert(linear, targets, distance="pixels")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0}, "steps = 0 is out of range: give 1 to 100,000"),
        ({"steps": 100_001}, "steps = 100001"),
        ({"starts": 0}, "starts = 0 is out of range: give 1 to 64"),
        ({"starts": 65}, "starts = 65"),
        ({"frames": -1}, "frames = -1"),
        ({"each_layer": True}, "for the space w"),
        ({"distance": "D"}, "Linear has no discriminator"),
        ({"distance": "pixel"}, 'Did you mean "pixels"'),
    ],
)
def test_options_that_do_not_go_are_refused(linear: Space, options: dict[str, Any], words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        invert(linear, linear.images(linear.draw(1)), **({"distance": "pixels"} | options))


def test_a_truncated_space_and_a_d_that_sees_several_are_refused(linear: Space) -> None:
    with pytest.raises(GansmithError, match=r"psi = 0\.5"):
        invert(Space(linear.model, psi=0.5), linear.images(linear.draw(1)), distance="pixels")
    packed = zoo("dcgan", side=16, width=8, pack=2)
    with pytest.raises(GansmithError, match="sees several at once"):
        invert(packed, packed.images(packed.draw(1)))
    assert isinstance(invert(packed, packed.images(packed.draw(1)), distance="pixels", steps=3), Found)
