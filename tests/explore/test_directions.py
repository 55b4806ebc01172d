"""Directions against generators whose factors are known exactly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from models import Discs, Linears, Stripes, made, model
from safetensors.torch import save_file
from sklearn.svm import LinearSVC
from test_space import refused
from torch import Tensor

from gansmith import explore
from gansmith.explore import Direction, Space, directions, finding, points, readers
from gansmith.explore.factors import measure


@pytest.fixture(scope="module")
def discs() -> Space:
    return Space(made(Discs(), (3, 24, 24)))


def columns(space: Space) -> dict[str, Tensor]:
    """The exact directions of the discs' factors, of unit length."""
    mixing = space.model.nets["G"].mixing
    return dict(zip(("x", "y", "size", "background"), mixing.T, strict=False))


def alike(a: Tensor, b: Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(a, b, dim=0))


# ---- what reads the points


def test_the_first_readers_of_each_recipe() -> None:
    found = {name: readers.first(Space(model(name))) for name in ("dcgan", "progan", "stylegan2", "biggan")}
    assert len(found["dcgan"]) == len(found["progan"]) == 1
    assert all("affine" in name for name in found["stylegan2"]) and len(found["stylegan2"]) == 8  # 5 layers, 3 to RGB
    assert "G.start" in found["biggan"] and len(found["biggan"]) > 4
    assert not [name for name in found["biggan"] if "out" in name]
    assert readers.first(Space(model("stylegan2"), "z")) == ["M.layers.0"]


def test_a_jacobian_is_that_of_autograd() -> None:
    for name in ("dcgan", "stylegan2"):
        space = Space(model(name))
        point = space.draw(1)
        size = space.rows(point).shape[1]
        steps = space.lifted(torch.eye(size))
        names = readers.first(space)
        modules = readers.weighted(space)
        found = readers.jacobian(space, point, steps)
        weights = [modules[n] for n in names]
        if name == "stylegan2":  # equalised affine maps: weight times scale
            exact = torch.cat([m.weight * m.scale for m in weights])
            assert torch.allclose(found, exact, atol=1e-3)
        else:
            assert found.shape == (sum(readers.activations(space, point, names)[n].shape[1] for n in names), size)


def test_sefa_finds_the_largest_singular_vector_of_a_linear_generator() -> None:
    space = Space(made(Linears(), (1, 4, 4)))
    weight = space.model.nets["G"].first.weight
    rows = weight / weight.norm(dim=1, keepdim=True)
    exact = torch.linalg.svd(rows).Vh
    found = finding.sefa(space, 3)
    for i in range(3):
        assert abs(alike(found[i].vector, exact[i])) > 0.99
    assert abs(alike(found[0].vector, exact[1])) < 0.1


def test_sefa_of_some_layers_reads_them_alone() -> None:
    space = Space(model("stylegan2"))
    whole, coarse = finding.sefa(space, 2), finding.sefa(space, 2, "coarse")
    assert coarse[0].layers == "coarse" and abs(alike(whole[0].vector, coarse[0].vector)) < 0.999
    readers_of_two = ("G.body.0.conv.affine", "G.body.1.conv.affine", "G.to_rgb.0.affine")
    exact = torch.cat([readers.weighted(space)[name].weight for name in readers_of_two])
    exact = exact / exact.norm(dim=1, keepdim=True)
    assert abs(alike(coarse[0].vector, torch.linalg.svd(exact).Vh[0])) > 0.999


def test_principal_components_of_styles_are_those_of_their_law() -> None:
    space = Space(made(Stripes(), (1, 8, 8)))
    found = finding.pca(space, 3)
    for i, size in enumerate((3.0, 2.0, 1.0)):  # styles are spread so along their axes
        assert abs(float(found[i].vector[i])) > 0.99 * float(found[i].vector.norm())
        assert float(found[i].vector.norm()) == pytest.approx(size, rel=0.05)


def test_principal_components_of_activations_explain_more_than_random_directions() -> None:
    space = Space(made(Linears(), (1, 4, 4)))
    first = finding.pca(space, 2, depth=0)[0].vector
    weight = space.model.nets["G"].first.weight
    assert abs(alike(first, torch.linalg.svd(weight).Vh[0])) > 0.99
    random = torch.nn.functional.normalize(torch.randn(20, len(first)), dim=1)
    assert (weight @ (first / first.norm())).norm() > (weight @ random.T).norm(dim=0).max()


# ---- from examples and measures


def test_the_support_vector_machine_is_that_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(60, 5, generator=generator, dtype=torch.float64)
    y = torch.where(x[:, 0] + 0.5 * torch.randn(60, generator=generator) > 0, 1.0, -1.0)
    x, y = x[(order := y.argsort())], y[order]
    balanced = torch.cat([torch.arange(20), torch.arange(40, 60)])
    x, y = x[balanced].numpy(), y[balanced].numpy()
    reference = LinearSVC(C=1.0, class_weight="balanced", tol=1e-8, max_iter=100_000, intercept_scaling=100)
    exact = reference.fit(x, y).coef_[0]
    assert torch.allclose(torch.tensor(finding.support_vectors(x, y)), torch.tensor(exact), atol=0.02)


@pytest.mark.parametrize("what", ["x", "size", "background"])
def test_a_measure_finds_its_own_direction(discs: Space, what: str) -> None:
    found = finding.from_measure(discs, what, n=1500)
    assert alike(found.vector, columns(discs)[what]) > 0.97
    assert float(found.vector.norm()) == pytest.approx(1, rel=0.1)  # noise is standard normal


def test_twenty_examples_find_a_direction_and_another_can_be_taken_out(discs: Space) -> None:
    drawn = discs.draw(400, seed=2)
    seen = measure(discs.images(drawn))
    order = (seen["size"] + 0.5 * seen["background"]).argsort()  # examples whose background changes with their size
    found = finding.from_examples(discs, "large", drawn[order[-10:]], drawn[order[:10]])
    aside = Direction("background", columns(discs)["background"])
    pure = directions.without(found, [aside], discs.unit)
    assert alike(found.vector, columns(discs)["size"]) > 0.5
    assert abs(alike(pure.vector, aside.vector)) < 0.1 < alike(found.vector, aside.vector)
    assert "without background" in pure.how


def test_directions_that_cannot_be_found(discs: Space) -> None:
    drawn = discs.draw(4)
    refused("examples of both kinds", finding.from_examples, discs, "a", drawn, drawn[:0])
    refused("nothing parts them", finding.from_examples, discs, "a", drawn, drawn)
    refused("cannot be followed", finding.from_measure, discs, "smile")
    refused("cannot be followed", finding.from_measure, discs, "hue")
    refused("cannot be measured", finding.from_measure, Space(made(Linears(), (1, 4, 4))), "saturation")
    one = Direction("a", columns(discs)["x"])
    refused("Nothing is left", directions.without, one, [one], discs.unit)
    for name in ("", "a/b", "..", "a b"):
        refused("no name for a direction", Direction, name, torch.zeros(2))


# ---- moving and scoring


def test_scores_tell_what_a_direction_changes(discs: Space) -> None:
    exact = [Direction(name, column) for name, column in columns(discs).items()]
    for direction in directions.score(discs, exact, n=24):
        rank, change = direction.scores[direction.name]
        assert rank > 0.95 and change > 1
        others = [direction.scores[other][1] for other in columns(discs) if other != direction.name]
        assert max(map(abs, others)) < 0.4
        assert direction.about.startswith(direction.name)


def test_a_move_stays_in_its_layers_and_goes_back() -> None:
    space = Space(made(Stripes(), (1, 8, 8)))
    drawn = space.draw(3)
    direction = Direction("a", torch.ones(3), "2-3")
    moved = explore.move(space, drawn, direction, 2.0)
    assert torch.equal(moved[:, :2], drawn[:, :2]) and torch.allclose(moved[:, 2:], drawn[:, 2:] + 2)
    assert torch.allclose(explore.move(space, moved, direction, -2.0), drawn, atol=1e-6)
    assert torch.equal(explore.move(space, drawn, direction, 1.0, "0"), torch.cat([drawn[:, :1] + 1, drawn[:, 1:]], 1))
    each = explore.move(space, drawn, direction, torch.tensor([0.0, 1.0, 2.0]))
    assert torch.equal(each[0], drawn[0]) and torch.allclose(each[2], moved[2])


def test_a_move_leaves_labels_alone() -> None:
    space = Space(model("acgan"))
    drawn = space.draw(2, label=1)
    moved = explore.move(space, drawn, Direction("a", torch.ones(6)), 3.0)
    assert torch.equal(moved[:, 6:], drawn[:, 6:]) and torch.allclose(moved[:, :6], drawn[:, :6] + 3)


# ---- files


def test_a_direction_comes_back_from_its_files(discs: Space, tmp_path: Path) -> None:
    direction = replace(finding.from_measure(discs, "size", n=1100), scores={"size": (0.9, 2.0)})
    path = directions.save(discs, direction, tmp_path, "the command")
    back = directions.load(discs, "size", tmp_path)
    assert torch.equal(back.vector, direction.vector) and replace(back, vector=direction.vector) == direction
    told = json.loads((tmp_path / "size.json").read_text())
    assert told["scores"] == {"size": [0.9, 2.0]} and told["command"] == "the command"
    assert torch.equal(directions.load(discs, str(path), "elsewhere").vector, direction.vector)
    assert directions.names(tmp_path) == ["size"]
    directions.remove("size", tmp_path)
    assert not list(tmp_path.iterdir())


def test_wrong_files_of_directions_are_refused(discs: Space, tmp_path: Path) -> None:
    refused("find some: gansmith directions", directions.load, discs, "size", tmp_path)
    path = directions.save(discs, Direction("size", torch.ones(12)), tmp_path)
    refused("Did you mean", directions.load, discs, "sizes", tmp_path)
    refused("another model", directions.load, Space(made(Linears(), (1, 4, 4))), "size", tmp_path)
    facts, _ = points.read(path)
    for changed, tensors in (
        (facts, {"vector": torch.ones(3)}),
        (facts, {"vector": torch.full((12,), torch.inf)}),
        ({**facts, "scores": 3}, {"vector": torch.ones(12)}),
        ({**facts, "layers": 5}, {"vector": torch.ones(12)}),
    ):
        save_file(tensors, path, {"gansmith": json.dumps(changed)})
        refused("damaged", directions.load, discs, "size", tmp_path)
