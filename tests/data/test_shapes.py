"""shapes32: the pictures show their factors, the factors are independent, and the set is an ordinary set of images."""

from collections import Counter

import numpy as np
import pytest
import torch

from gansmith.data import check_data, named, open_data, shapes
from gansmith.data.images import Images, open_images
from gansmith.data.prepare import options
from gansmith.errors import GansmithError


def small(label: str = "shape", count: int = 600) -> Images:
    return open_images(shapes.shapes32(label, count), options(None, "crop", "white", None, True), None, False)


def test_the_whole_set() -> None:
    data = open_data("shapes32", progress=False)
    assert data.spec.shape == (3, 32, 32) and data.spec.count + len(data.held_out) == 20_000
    assert data.spec.classes == shapes.SHAPES and data.spec.fields == ("x", "y")
    assert all(3100 < n < 3600 for n in data.report.labels.values()) and not data.report.duplicates
    again = open_data("shapes32", progress=False)  # from the cache
    index = np.arange(0, data.spec.count, 97)
    assert again.fingerprint == data.fingerprint and torch.equal(again.fetch(index)[0], data.fetch(index)[0])
    assert {name: values.shape for name, values in data.factors.items()} == dict.fromkeys(
        ("shape", *shapes.RANGES), (data.spec.count,)
    )


def test_the_first_images_are_the_same_for_any_count() -> None:
    few, many = shapes.draw_factors(10), shapes.draw_factors(1000)
    assert all(np.array_equal(few[name], many[name][:10]) for name in few)


def test_the_factors_are_pinned() -> None:
    """Results of different times can be compared only while the same number gives the same picture."""
    factors = shapes.draw_factors(3)
    assert factors["shape"].tolist() == [2, 1, 3]
    assert np.allclose(factors["x"], [13.275829, 16.469662, 10.507076], atol=1e-6)
    assert np.allclose(factors["hue"], [0.461535, 0.71093, 0.513728], atol=1e-6)


def test_the_factors_are_uniform_and_independent() -> None:
    factors = shapes.draw_factors(20_000)
    for name, (low, high) in shapes.RANGES.items():
        share = np.histogram(factors[name], 10, (low, high))[0] / 20_000
        assert share.sum() == pytest.approx(1) and (abs(share - 0.1) < 0.01).all()
    correlation = np.corrcoef(np.stack([values for values in factors.values()]))
    assert abs(correlation - np.eye(6)).max() < 0.03


def measured(x: np.ndarray) -> dict[str, np.ndarray]:
    """Factors seen in pictures (n, 32, 32, 3), 0 to 1: background from a corner, the rest from what differs from it."""
    background = x[:, 0, 0, 0]
    cover = abs(x - x[:, :1, :1, :]).max(3)
    cover /= cover.max((1, 2), keepdims=True)
    area = cover.sum((1, 2))
    centre = np.arange(32) + 0.5
    red, green, blue = np.moveaxis(
        x.reshape(len(x), -1, 3)[np.arange(len(x)), cover.reshape(len(x), -1).argmax(1)], 1, 0
    )
    hue = np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue) / (2 * np.pi) % 1
    return {
        "background": background,
        "x": (cover.sum(1) * centre).sum(1) / area,
        "y": (cover.sum(2) * centre).sum(1) / area,
        "size": np.sqrt(area),
        "hue": hue,
    }


def test_the_pictures_show_their_factors() -> None:
    factors = shapes.draw_factors(2000)
    seen = measured(shapes.render(factors) / 255)
    assert abs(seen["background"] - factors["background"]).max() < 1 / 255
    assert abs(seen["x"] - factors["x"]).max() < 0.1
    turn = abs(seen["hue"] - factors["hue"])
    assert np.minimum(turn, 1 - turn).max() < 0.03
    round_ = np.isin(factors["shape"], [0, 1, 4, 5])  # those whose middle is their centre of mass
    assert abs(seen["y"] - factors["y"])[round_].max() < 0.1
    for shape in range(6):
        rows = factors["shape"] == shape
        assert np.corrcoef(seen["size"][rows], factors["size"][rows])[0, 1] > 0.99


def test_areas_are_those_of_the_shapes() -> None:
    """The covered area over the square of the size, by geometry; the star's by its ten triangles."""
    factors = shapes.draw_factors(3000)
    factors["background"][:], factors["hue"][:] = 0, 0  # pure red on black: the red channel is the cover
    area = shapes.render(factors)[..., 0].sum((1, 2)) / 255 / factors["size"] ** 2
    star = 10 * 0.5 * 0.45 * np.sin(np.pi / 5)
    expected = [np.pi, 1.7**2, 3 * np.sqrt(3) * 0.5**2, star, 4 * 0.33 * (2 - 0.33), np.pi * (1 - 0.25)]
    for shape, value in enumerate(expected):
        assert np.mean(area[factors["shape"] == shape]) == pytest.approx(value, rel=0.03), shapes.SHAPES[shape]


def test_no_shape_leaves_the_picture() -> None:
    x = shapes.render(shapes.draw_factors(5000)).astype(int)
    edge = np.concatenate([x[:, 0], x[:, -1], x[:, :, 0], x[:, :, -1]], 1)
    assert (abs(edge - np.median(edge, 1, keepdims=True)) == 0).all()


@pytest.mark.parametrize("label", shapes.LABELS)
def test_every_label(label: str) -> None:
    data = small(label)
    (y,) = data.fetch(np.arange(data.spec.count), ("y",))
    assert data.spec.classes == shapes.LABELS[label]
    counts = Counter(y.tolist())
    assert set(counts) == set(range(len(data.spec.classes))) and max(counts.values()) < 2.5 * min(counts.values())
    factor = {"colour": "hue", "position": "y"}.get(label, label)
    for number, name in enumerate(data.spec.classes):
        values = data.factors[factor][(y == number).numpy()]
        if label == "shape":
            assert (values == number).all()
        elif label == "colour":
            turn = abs(values - number / 6)
            assert np.minimum(turn, 1 - turn).max() <= 1 / 12, name
        elif label == "position":
            low = 10 + 4 * ("top", "middle", "bottom").index(name.split()[0])
            assert (low <= values).all() and (values <= low + 4).all()
            side = data.factors["x"][(y == number).numpy()]
            left = 10 + 4 * ("left", "centre", "right").index(name.split()[1])
            assert (left <= side).all() and (side <= left + 4).all()
        else:
            low, high = shapes.RANGES[label]
            step = (high - low) / 3
            assert (low + number * step <= values + 1e-9).all() and (values <= low + (number + 1) * step + 1e-9).all()


def test_factors_belong_to_what_is_fetched() -> None:
    data = small()
    for fetch, factors in ((data.fetch, data.factors), (data.fetch_held_out, data.factors_held_out)):
        n = len(factors["hue"])
        (x,) = fetch(np.arange(n))
        again = torch.from_numpy(shapes.render(factors)).permute(0, 3, 1, 2) / 127.5 - 1
        assert torch.allclose(x, again, atol=1e-6)
    assert len(data.factors["hue"]) == data.spec.count and len(data.factors_held_out["hue"]) == len(data.held_out)


def test_labels_by_name_and_options_of_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "shapes32", lambda label: shapes.shapes32(label, 300))
    data = open_data("shapes32", labels="size", resolution=16, channels=1, progress=False)
    assert data.spec.shape == (1, 16, 16) and data.spec.classes == ("small", "medium", "large")


@pytest.mark.parametrize("label", ["hue", "colours", "labels.csv"])
def test_an_unknown_label(label: str) -> None:
    for function in (open_data, check_data):
        with pytest.raises(GansmithError, match=f'shapes32 has the labels shape, .*, not "{label}".* Choose one'):
            function("shapes32", labels=label, progress=False)
    with pytest.raises(GansmithError, match='Did you mean "colour"'):
        shapes.shapes32("colours")


def test_other_images_have_no_factors(photos) -> None:
    assert open_data(photos(6), progress=False).factors == {}
