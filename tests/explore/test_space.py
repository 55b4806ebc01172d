"""Points, ways between them, layers, and files of points."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import CLASSES, Discs, Stripes, made, model
from safetensors.torch import load_file, save_file
from torch import Tensor

from gansmith.core import DataSpec
from gansmith.errors import GansmithError
from gansmith.explore import Space, find, lerp, load, points, save, slerp
from gansmith.explore.paths import along, times
from gansmith.model import GAN

ALL = ("dcgan", "r3gan", "progan", "stylegan", "stylegan2", "biggan", "acgan", "infogan")
STYLED = ("stylegan", "stylegan2")


def refused(words: str, call: object, *args: object, **more: object) -> None:
    with pytest.raises(GansmithError) as error:
        call(*args, **more)
    assert words in str(error.value) and "\n" not in str(error.value)


# ---- ways


def test_slerp_keeps_the_norm_and_lerp_does_not() -> None:
    a, b = torch.nn.functional.normalize(torch.randn(2, 500, 64), dim=2) * 8
    for t in (0.1, 0.5, 0.8):
        assert torch.allclose(slerp(a, b, t).norm(dim=1), torch.full((500,), 8.0), atol=1e-4)
    assert (lerp(a, b, 0.5).norm(dim=1) < 7).all()


def test_slerp_turns_at_an_even_pace() -> None:
    a, b = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    for t in torch.linspace(0, 1, 7):
        found = slerp(a, b, t)
        assert torch.atan2(found[0, 1], found[0, 0]).item() == pytest.approx(float(t) * torch.pi / 2, abs=1e-5)


def test_slerp_where_there_is_no_circle() -> None:
    a = torch.tensor([[1.0, 2.0], [0.0, 0.0], [1.0, 0.0]])
    b = torch.tensor([[2.0, 4.0], [3.0, 1.0], [-1.0, 0.0]])
    assert torch.allclose(slerp(a, b, 0.5), lerp(a, b, 0.5))
    assert slerp(a, b, torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


def test_a_way_visits_its_stops_and_a_loop_comes_round() -> None:
    stops = torch.tensor([[0.0], [10.0], [4.0]])
    there = along(stops, times(3, 21, loop=False), lerp)[:, 0]
    assert there[[0, 10, 20]].tolist() == pytest.approx([0, 10, 4], abs=1e-4)
    steps = torch.cat([(loop := along(stops, times(3, 30, loop=True), lerp)[:, 0]), loop[:1]]).diff().abs()
    assert loop[[0, 10, 20]].tolist() == pytest.approx([0, 10, 4], abs=1e-4)
    assert steps.max() < 1.01  # no jump, also none from the last frame to the first


# ---- spaces


@pytest.mark.parametrize("name", ALL)
def test_points_of_every_recipe_make_its_images(name: str) -> None:
    gan = model(name)
    space = Space(gan)
    assert space.name == ("w" if name in STYLED else "z")
    drawn = space.draw(3, seed=5)
    assert torch.allclose(drawn, space.draw(8, seed=5)[:3], atol=1e-6)
    images = space.images(drawn)
    assert images.shape == (3, *gan.spec.shape) and images.abs().max() <= 1
    # styled models are new here, so noise has no strength yet, and the images are those of the latents
    assert torch.allclose(images, gan.sample(3, seed=5), atol=1e-5)
    assert torch.allclose(space.made(drawn).clamp(-1, 1), images, atol=1e-4)


@pytest.mark.parametrize("name", ALL)
def test_gradients_reach_the_points_and_not_the_networks(name: str) -> None:
    space = Space(model(name))
    start = space.draw(2).requires_grad_()
    space.made(start).square().sum().backward()
    assert start.grad is not None and start.grad.abs().sum() > 0
    assert all(p.grad is None for p in space.model.nets.parameters())


@pytest.mark.parametrize("name", STYLED)
def test_latents_of_styled_models_go_through_their_styles(name: str) -> None:
    space = Space(model(name), "z")
    assert space.draw(2).ndim == 2
    assert torch.allclose(space.images(space.draw(2)), Space(model(name)).images(Space(model(name)).draw(2)), atol=1e-5)


def test_truncation_leads_to_one_image() -> None:
    for name in ("dcgan", "stylegan2", "biggan"):
        codes = {"label": 1} if name == "biggan" else {}
        none = Space(model(name), psi=0.0)
        images = none.images(none.draw(4, **codes))
        assert torch.allclose(images, images[:1].expand_as(images), atol=1e-5)
        full = Space(model(name))
        assert not torch.allclose(full.images(full.draw(4, **codes)), images, atol=1e-3)


def test_truncated_points_are_those_that_are_drawn_truncated() -> None:
    for name in ("dcgan", "stylegan2", "biggan"):
        less = Space(model(name), psi=0.6)
        assert torch.allclose(less.truncated(Space(model(name)).draw(5, seed=2)), less.draw(5, seed=2), atol=1e-6)


def test_between_normal_latents_lies_the_sphere_and_codes_go_straight() -> None:
    space = Space(model("acgan"))
    a, b = space.draw(1, seed=1, label=0), space.draw(1, seed=2, label=2)
    middle = space.between(a, b, 0.5)
    assert torch.allclose(middle[:, :6], slerp(a[:, :6], b[:, :6], 0.5))
    assert middle[0, 6:].tolist() == [0.5, 0.0, 0.5]
    uniform = Space(model("infogan"))
    a, b = uniform.draw(1, seed=1), uniform.draw(1, seed=2)
    assert torch.allclose(uniform.between(a, b, 0.3), lerp(a, b, 0.3))


# ---- layers


def test_layers_are_the_depths_at_which_a_point_enters() -> None:
    assert Space(model("dcgan")).layers == 1
    assert Space(model("stylegan2")).layers == model("stylegan2").nets["G"].layers == 6
    assert Space(model("biggan")).depths == (3, 3, 3)  # 9 numbers: one chunk before, one for each of two blocks


@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "biggan"])
def test_swapped_layers_are_those_of_the_other(name: str) -> None:
    space = Space(model(name))
    codes = {"label": 1} if name == "biggan" else {}
    a, b = space.draw(1, seed=1, **codes), space.draw(1, seed=2, **codes)
    last = space.layers - 1
    assert torch.equal(space.swapped(a, b, f"0-{last}"), b) and torch.equal(space.swapped(a, b, None), b)
    ab, ba = space.swapped(a, b, "0"), space.swapped(b, a, f"1-{last}")
    assert torch.equal(ab, ba) and not torch.equal(ab, a)
    assert not torch.allclose(space.images(ab), space.images(a), atol=1e-4)


def test_labels_stay_when_layers_are_swapped() -> None:
    space = Space(model("biggan"))
    a, b = space.draw(1, seed=1, label=0), space.draw(1, seed=2, label=2)
    mixed = space.swapped(a, b, None)
    assert torch.equal(mixed[:, :9], b[:, :9]) and mixed[0, 9:].tolist() == [1, 0, 0]


def test_names_of_layers() -> None:
    space = Space(made(Stripes(), (1, 8, 8)))
    assert [space.chosen(text) for text in ("coarse", "middle", "fine")] == [{0}, {1, 2}, {3}]
    assert space.chosen("2-") == {2, 3} and space.chosen("-1") == {0, 1} and space.chosen("0, 3") == {0, 3}
    for text in ("4", "2-1", "x", "", "1-9", "1--2"):
        refused("there are layers 0 to 3", space.chosen, text)
    refused("reads its latent at one place only", Space(model("dcgan")).mask, "coarse")


# ---- models that cannot


def test_models_that_cannot_be_steered_say_so() -> None:
    gan = model("dcgan")
    refused("has no styles", Space, gan, "w")
    refused("out of range", Space, gan, psi=1.5)
    refused("no tails to truncate", Space, model("infogan"), psi=0.5)
    points = GAN(gan.recipe, DataSpec("grid25", "points", (2,)), gan.nets, 0)
    refused("nothing to steer", Space, points)


def test_the_identity_is_that_of_the_weights() -> None:
    one, other = Space(model("dcgan")), Space(model("dcgan", seed=1))
    assert one.identity == Space(model("dcgan"), psi=0.5).identity != other.identity and len(one.identity) == 16


# ---- names and files


def test_names_of_points() -> None:
    space = Space(model("dcgan"))
    assert torch.equal(find(space, "3,5-6"), torch.cat([space.draw(1, seed=s) for s in (3, 5, 6)]))
    assert torch.equal(find(space, "2:7-8"), space.draw(9, seed=2)[7:])
    assert torch.equal(find(space, [4, "0:1"]), torch.cat([space.draw(1, 4), space.draw(2, 0)[1:]]))
    assert torch.equal(find(space, 4), space.draw(1, 4))
    for text in ("x", "3-1", "-1", "0:", "1.5", "0-999999999"):
        refused(text, find, space, text)
    refused("No points are named", find, space, " , ")


def test_labels_of_named_points() -> None:
    space = Space(model("acgan"))
    assert find(space, "0-4", label="star")[:, 6:].argmax(1).tolist() == [CLASSES.index("star")] * 5
    refused("none of circle, square, star", find, space, "0", label="cube")
    refused("without labels and codes", find, Space(model("dcgan")), "0", label="star")


@pytest.mark.parametrize("name", ["dcgan", "stylegan2", "acgan"])
def test_a_file_of_points_comes_back(tmp_path: Path, name: str) -> None:
    space = Space(model(name))
    path = save(space, space.draw(3, seed=9), tmp_path / "new" / "p.safetensors", "the command")
    assert torch.equal(load(space, path), space.draw(3, seed=9))
    assert torch.equal(find(space, f"1,{path}"), torch.cat([space.draw(1, 1), space.draw(3, seed=9)]))
    facts, _ = points.read(path)
    assert facts["command"] == "the command" and facts["model"] == space.identity
    assert (
        save(space, space.draw(3, seed=9), tmp_path / "q.safetensors", "the command").read_bytes() == path.read_bytes()
    )


def tampered(path: Path, **changes: Tensor) -> Path:
    facts, tensors = points.read(path)
    out = path.with_name("bad.safetensors")
    save_file(tensors | changes, out, {"gansmith": json.dumps(facts)})
    return out


def test_wrong_files_of_points_are_refused(tmp_path: Path) -> None:
    space = Space(model("stylegan2"))
    path = save(space, space.draw(2), tmp_path / "p.safetensors")
    refused("belongs to another model", load, Space(model("stylegan2", seed=1)), path)
    refused("add --space w", load, Space(model("stylegan2"), "z"), path)
    refused("not finite", load, space, tampered(path, points=torch.full((1, 6, 5), torch.nan)))
    for bad in (torch.zeros(2, 6, 4), torch.zeros(2, 5), torch.zeros(0, 6, 5)):
        refused("holds no points", load, space, tampered(path, points=bad))
    refused("no such file", load, space, tmp_path / "none.safetensors")
    (tmp_path / "x.safetensors").write_bytes(path.read_bytes()[:40])
    refused("damaged", load, space, tmp_path / "x.safetensors")
    save_file(load_file(path), tmp_path / "y.safetensors")
    refused("no file of points", load, space, tmp_path / "y.safetensors")
    refused("go to a .safetensors file", save, space, space.draw(1), tmp_path / "p.npz")
    refused("leave --label and --code out", find, space, str(path), label=1)


def test_an_exactly_known_generator_is_as_it_says() -> None:
    """The reference of other tests: moving along one column of `mixing` moves one factor only."""
    space = Space(made(Discs(), (3, 24, 24)))
    columns = space.model.nets["G"].mixing.T
    moved = space.images(torch.stack([-columns[0], columns[0]]))
    centre = [(image[0] > 0.5).nonzero().double().mean(0) for image in moved]
    assert float(centre[1][1] - centre[0][1]) > 3 and abs(float(centre[1][0] - centre[0][0])) < 0.5
    assert replace(space, psi=1.0).identity == space.identity
