"""Films, tables and sums: what each frame and cell must be, and what cannot be asked for."""

from __future__ import annotations

import pytest
import torch
from models import Discs, Stripes, made, model
from test_space import refused

from gansmith import explore
from gansmith.explore import Space
from gansmith.explore.factors import measure
from gansmith.explore.following import spread


@pytest.fixture
def discs() -> Space:
    return Space(made(Discs(), (3, 24, 24)))


@pytest.mark.parametrize("name", ["dcgan", "stylegan2", "acgan"])
def test_a_walk_shows_its_stops(name: str) -> None:
    space = Space(model(name))
    stops = space.draw(3)
    film = explore.walk(space, stops, steps=4)
    assert film.frames.shape[:2] == (9, 1)
    assert torch.allclose(film.frames[::4, 0], space.images(stops), atol=1e-5)
    loop = explore.walk(space, stops, steps=4, loop=True)
    assert len(loop.frames) == 12 and torch.allclose(loop.frames[:9], film.frames, atol=1e-5)


def test_tracks_walk_side_by_side(discs: Space) -> None:
    stops = discs.draw(6)
    film = explore.walk(discs, stops, steps=2, tracks=2)
    assert film.frames.shape[:2] == (5, 2)
    assert torch.equal(film.frames[:, 1], explore.walk(discs, stops[3:], steps=2).frames[:, 0])


def test_a_walk_makes_no_jump(discs: Space) -> None:
    """No step is five times the median, as the acceptance of walks has it; stops in another order than theirs jump."""
    film = explore.walk(discs, discs.draw(4), steps=20, loop=True)
    steps = (film.frames - film.frames.roll(-1, 0)).square().mean((1, 2, 3, 4)).sqrt()
    assert steps.max() <= 5 * steps.median()
    cut = torch.cat([film.frames[:30], film.frames[50:]])
    jumps = (cut - cut.roll(-1, 0)).square().mean((1, 2, 3, 4)).sqrt()
    assert jumps.max() > 5 * jumps.median()


def test_walks_that_cannot_be(discs: Space) -> None:
    refused("at least two", explore.walk, discs, discs.draw(1))
    refused("as many for each track", explore.walk, discs, discs.draw(5), tracks=2)
    refused("at least 1 frame", explore.walk, discs, discs.draw(2), steps=0)
    refused("give auto, lerp or slerp", explore.walk, discs, discs.draw(2), way="jump")
    styled = Space(model("stylegan2"))
    refused("no slerp", explore.walk, styled, styled.draw(2), way="slerp")


def test_truncation_goes_from_the_mean_to_the_image() -> None:
    for gan in (made(Discs(), (3, 24, 24)), model("stylegan2")):
        space = Space(gan)
        points = space.draw(3)
        images = explore.truncate(space, points, [0, 0.5, 1])
        assert torch.allclose(images[0], images[0, :1].expand_as(images[0]), atol=1e-5)
        assert torch.allclose(images[2], space.images(points), atol=1e-5)
        apart = images.std(1).mean((1, 2, 3))
        assert apart[0] < apart[1] < apart[2]
    refused("out of range", explore.truncate, space, points, [3.0])
    uniform = Space(model("infogan"))
    refused("no tails", explore.truncate, uniform, uniform.draw(1), [0.5])


def test_truncated_layers_are_those_that_are_named() -> None:
    space = Space(made(Stripes(), (1, 8, 8)))
    points = space.draw(2)
    (images,) = explore.truncate(space, points, [0], "0-1")
    whole, none = explore.truncate(space, points, [0, 1])
    assert torch.equal(images[:, :, :4], whole[:, :, :4]) and torch.equal(images[:, :, 4:], none[:, :, 4:])


def test_breeding_goes_from_class_to_class() -> None:
    space = Space(model("biggan"))
    points = space.draw(2, label=2)
    images = explore.breed(space, points, "circle", 1, steps=3)
    assert torch.allclose(images[0], space.images(space.draw(2, label=0)), atol=1e-5)
    assert torch.allclose(images[2], space.images(space.draw(2, label=1)), atol=1e-5)
    assert (images[1] - images[0]).abs().max() > 1e-3 < (images[1] - images[2]).abs().max()
    refused("give two", explore.breed, space, points, "circle", 0)
    refused("is none of", explore.breed, space, points, "circle", "cube")
    refused("without labels", explore.breed, Space(model("dcgan")), points, 0, 1)


def test_arithmetic_is_the_sum_of_means(discs: Space) -> None:
    a, b, c = discs.draw(3, 1), discs.draw(2, 2), discs.draw(1, 3)
    total = explore.arithmetic(a, b, c)
    assert torch.allclose(total[0], sum(a) / 3 - sum(b) / 2 + c[0], atol=1e-6)
    beside = explore.around(discs, total, 9, near=0.25)
    assert torch.equal(beside[4], total[0]) and len(beside) == 9
    far = (beside - total) / discs.unit
    assert far.abs().max() <= 0.25 and far[:4].abs().mean() == pytest.approx(0.125, rel=0.3)
    refused("at least 1 image", explore.around, discs, total, 0)


def test_arithmetic_adds_what_the_examples_have(discs: Space) -> None:
    """Averages of three large discs less three small ones enlarge others; single examples move more besides."""
    drawn = discs.draw(600, seed=4)
    seen = measure(discs.images(drawn))
    unit = spread(seen)
    order = seen["size"].argsort()
    large, small = drawn[order[-60:]], drawn[order[:60]]
    start = discs.draw(20, seed=8)
    before = measure(discs.images(start))

    def moved(many: int) -> tuple[float, float]:
        """(share of sums that are larger by a spread, mean change of the background in spreads)"""
        grown, aside = [], []
        for k in range(20):
            rows = slice(many * k, many * k + many)
            total = explore.arithmetic(large[rows], small[rows], start[k : k + 1])
            after = measure(discs.images(total))
            grown.append(float(after["size"] - before["size"][k]) / unit["size"] > 0.5)
            aside.append(abs(float(after["background"] - before["background"][k])) / unit["background"])
        return sum(grown) / 20, sum(aside) / 20

    three, one = moved(3), moved(1)
    assert three[0] >= 0.7
    assert three[1] < one[1]


@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "biggan"])
def test_the_mixing_table(name: str) -> None:
    space = Space(model(name))
    codes = {"label": 0} if name == "biggan" else {}
    rows, columns = space.draw(2, seed=1, **codes), space.draw(3, seed=2, **codes)
    sheet = explore.mix(space, rows, columns, "coarse")
    cells = sheet.images.reshape(3, 4, *sheet.images.shape[1:])
    assert cells[0, 0].isnan().all()
    assert torch.allclose(cells[0, 1:], space.images(columns), atol=1e-5)
    assert torch.allclose(cells[1:, 0], space.images(rows), atol=1e-5)
    expected = space.images(space.swapped(rows[1:], columns[2:], "coarse"))
    assert torch.allclose(cells[2, 3], expected[0], atol=1e-5)
    assert not torch.allclose(cells[2, 3], cells[2, 0], atol=1e-4)


def test_mixing_needs_layers() -> None:
    space = Space(model("dcgan"))
    refused("at one place only", explore.mix, space, space.draw(1), space.draw(1), "coarse")
    refused("at one place only", explore.vary, space, space.draw(1), "coarse", 3)


def test_what_is_kept_stays_and_the_rest_varies() -> None:
    space = Space(made(Stripes(), (1, 8, 8)))
    point = space.draw(1, seed=7)
    found = explore.vary(space, point, "0-1", 5)
    images, own = space.images(found), space.images(point)
    assert torch.equal(images[:, :, :4], own[:, :, :4].expand(5, -1, -1, -1))
    assert (images[:, :, 4:] - own[:, :, 4:]).abs().amax((1, 2, 3)).min() > 1e-3
    refused("no layer is left", explore.vary, space, point, "0-3", 5)
    labelled = Space(model("biggan"))
    point = labelled.draw(1, label=2)
    assert (explore.vary(labelled, point, "coarse", 4)[:, 9:] == torch.tensor([0.0, 0, 1])).all()


def test_the_steadiest_change_the_foreground_least(discs: Space) -> None:
    point, found = discs.draw(1), discs.draw(40, seed=3)
    kept = explore.steadiest(discs, point, found, 5)
    assert len(kept) == 5
    where = [(found == row).all(1).nonzero().item() for row in kept]
    assert where == sorted(where)
    image = discs.images(point)
    inside = image[:, :1] > 0.5
    change = ((discs.images(found) - image) * inside).square().sum((1, 2, 3))
    assert set(where) <= set(change.argsort()[:8].tolist())


def test_zoom_changes_the_size_and_little_else(discs: Space) -> None:
    way = explore.zoom(discs, discs.draw(6), far=2, steps=7)
    seen = [measure(discs.images(points)) for points in way]
    sizes = torch.stack([each["size"] for each in seen])
    assert (sizes.diff(dim=0) > 0).double().mean() > 0.95
    unit = spread(measure(discs.images(discs.draw(500, seed=1))))
    for name in ("x", "y", "background"):
        assert float((seen[-1][name] - seen[0][name]).abs().mean()) / unit[name] < 0.5
    refused("at least 2", explore.zoom, discs, discs.draw(1), steps=1)
    refused("cannot be followed", explore.zoom, discs, discs.draw(1), what="hue")
