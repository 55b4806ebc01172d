"""What pictures show, against the factors that shapes32 was drawn from, closed forms, and strokes of known slant."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor

from gansmith.data.shapes import RANGES, SHAPES, draw_factors, render
from gansmith.errors import GansmithError
from gansmith.explore.factors import BLOCK, MEASURES, Measures, foreground, measure
from gansmith.explore.following import changes, spread

Factors = dict[str, np.ndarray]
EVERYWHERE = ("x", "y", "background")


def pictures(factors: Factors) -> Tensor:
    """(N, 3, 32, 32) in [-1, 1]."""
    return torch.from_numpy(render(factors)).permute(0, 3, 1, 2).float() / 127.5 - 1


def blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)


def noisy(images: Tensor) -> Tensor:
    return (images + 0.1 * torch.randn(images.shape)).clamp(-1, 1)


CONDITIONS = {
    "as drawn": lambda images: images,
    "noisy, then blurred": lambda images: blurred(noisy(images)),
    "blurred, then noisy": lambda images: noisy(blurred(images)),
}


def ranked(values: Tensor, factor: np.ndarray) -> float:
    return float(spearmanr(values.numpy(), factor).statistic)


def within_shapes(values: Tensor, factors: Factors) -> float:
    """The lowest rank correlation with the size among pictures of one shape."""
    rows = [factors["shape"] == i for i in range(len(SHAPES))]
    return min(ranked(values[torch.from_numpy(row)], factors["size"][row]) for row in rows)


# ---- against the factors


@pytest.mark.parametrize("condition", CONDITIONS)
def test_measures_agree_with_the_factors(condition: str) -> None:
    factors = draw_factors(2000)
    found = measure(CONDITIONS[condition](pictures(factors)))
    assert {name: ranked(found[name], factors[name]) for name in EVERYWHERE} == pytest.approx(
        dict.fromkeys(EVERYWHERE, 1), abs=0.002
    )
    assert within_shapes(found["size"], factors) > 0.98
    off = (found["hue"].numpy() - factors["hue"] + 0.5) % 1 - 0.5
    assert np.abs(off).max() < 0.02
    assert np.abs(found["x"].numpy() * 32 - factors["x"]).mean() < 0.2  # pixels
    assert np.abs(found["background"].numpy() - factors["background"]).max() < 0.03
    assert not any(values.isnan().any() for values in found.values())


def test_naive_measures_do_not() -> None:
    """The bars above are not met by the centre of mass of the brightness, nor by the mean colour of the picture."""
    factors = draw_factors(2000)
    light = (pictures(factors).double() + 1) / 2
    columns = light.mean((1, 2))
    centre = (columns * torch.arange(32)).sum(1) / columns.sum(1)
    assert abs(ranked(centre, factors["x"])) < 0.8
    lit = (light.mean(1) > 0.5).double().sum((1, 2)).sqrt()
    assert within_shapes(lit, factors) < 0.5


def moved(factors: Factors, name: str) -> Factors:
    """The same pictures with another value of one factor, 0.37 of its range further, around."""
    if name == "shape":
        return factors | {name: (factors[name] + 1) % len(SHAPES)}
    low, high = RANGES[name]
    return factors | {name: low + (factors[name] - low + 0.37 * (high - low)) % (high - low)}


OWN = {"hue": "hue", "x": "x", "y": "y", "size": "size", "background": "background", "shape": "fullness"}


@pytest.mark.parametrize("condition", list(CONDITIONS)[:2])
@pytest.mark.parametrize("factor", OWN)
def test_a_factor_moves_its_own_measure_and_no_other(factor: str, condition: str) -> None:
    """In spreads. A small thing is paler once it is blurred, and shapes do differ in extent at one radius."""
    factors, own = draw_factors(500), OWN[factor]
    before, after = (CONDITIONS[condition](pictures(part)) for part in (factors, moved(factors, factor)))
    scale = spread(measure(before))
    size = {name: float(c.abs().mean()) for name, c in changes(measure(before), measure(after), scale).items()}
    assert set(size) == set(MEASURES)
    assert size.pop(own) > 0.75
    paler = {("size", "saturation"), ("background", "brightness"), ("shape", "saturation"), ("shape", "size")}
    excused = {name for name in size if (factor, name) in paler}
    assert all(size.pop(name) < 1.1 for name in excused)
    assert max(size.values()) < 0.4
    assert all(size[name] < 0.05 for name in ("hue", "x", "y", "background") if name in size)
    if condition == "as drawn":
        assert factor != "hue" or max(size.values()) < 0.01
        assert factor not in ("x", "y") or size["size"] < 0.1


# ---- closed forms


def drawn(inside, height: int = 40, width: int = 40, fine: int = 8) -> Tensor:
    """A white form on black (1, 1, H, W), smooth at its edges: `inside` takes x and y in pixels from left and top."""
    y, x = ((torch.arange(n * fine) + 0.5) / fine for n in (height, width))
    full = inside(x[None, :], y[:, None]).double()
    return 2 * F.avg_pool2d(full[None, None], fine) - 1


def one(images: Tensor) -> dict[str, float]:
    return {name: values.item() for name, values in measure(images).items()}


@pytest.mark.parametrize(("a", "b"), [(12, 12), (8, 14), (15, 6)])
def test_ellipse(a: float, b: float) -> None:
    found = one(drawn(lambda x, y: ((x - 19) / a) ** 2 + ((y - 16) / b) ** 2 <= 1, height=32))
    assert found["x"] == pytest.approx(19 / 40, abs=1e-3) and found["y"] == pytest.approx(0.5, abs=1e-3)
    assert found["size"] == pytest.approx(2 * math.sqrt(a * b) / math.sqrt(32 * 40), rel=0.02)
    assert found["aspect"] == pytest.approx(a / b, rel=0.02)
    assert found["fullness"] == pytest.approx(1, abs=0.01)
    assert found["slant"] == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize(("width", "height"), [(1, 9), (9, 1), (4, 6)])
def test_whole_pixels(width: int, height: int) -> None:
    """Also of a line one pixel thin: a rectangle's second moments are a twelfth of its squared sides."""
    image = torch.full((1, 1, 12, 12), -1.0)
    image[:, :, 1 : 1 + height, 2 : 2 + width] = 1
    found = one(image)
    assert (found["x"], found["y"]) == pytest.approx(((2 + width / 2) / 12, (1 + height / 2) / 12))
    assert (found["aspect"], found["slant"]) == pytest.approx((width / height, 0))
    assert found["size"] == pytest.approx(math.sqrt(16 * width * height / 12) / 12)
    assert found["fullness"] == pytest.approx(3 / math.pi)


def test_foreground_may_reach_over_the_border() -> None:
    image = torch.full((1, 3, 20, 20), 0.4)
    image[:, :, 2:14, 5:] = -1
    found = one(image)
    assert (found["background"], found["x"], found["y"]) == pytest.approx((0.7, 12.5 / 20, 8 / 20))


def letter(lean: float = 0, half: float = 1.2) -> Tensor:
    """An H of strokes 2 `half` px wide, whose points go `lean` px to the right for each px up."""

    def inside(x: Tensor, y: Tensor) -> Tensor:
        x = x - 20 - lean * (20 - y)
        return ((x.abs() - 6).abs() <= half) & ((y - 20).abs() <= 11) | (x.abs() <= 6) & ((y - 20).abs() <= half)

    return drawn(inside)


@pytest.mark.parametrize("lean", [-0.6, -0.2, 0.1, 0.5])
def test_lean_changes_the_slant_alone(lean: float) -> None:
    upright, leaning = one(letter()), one(letter(lean))
    assert leaning.pop("slant") == pytest.approx(math.degrees(math.atan(lean)), abs=1)
    assert all(abs(value - upright[name]) < MEASURES[name].least for name, value in leaning.items())


def test_bolder_strokes_are_fuller_and_hardly_larger() -> None:
    thin, bold = one(letter(half=1)), one(letter(half=2))
    assert bold["fullness"] / thin["fullness"] > 1.5
    assert bold["size"] / thin["size"] < 1.12
    small = one(drawn(lambda x, y: (x - 20).abs().maximum((y - 20).abs()) <= 6))
    large = one(drawn(lambda x, y: (x - 20).abs().maximum((y - 20).abs()) <= 12))
    assert large["size"] / small["size"] == pytest.approx(2, rel=0.02)
    assert large["fullness"] == pytest.approx(small["fullness"], rel=0.03)


def test_foreground_may_be_darker_or_fainter_than_the_background() -> None:
    white = letter(0.3)
    usual, dark, faint = one(white), one(-white), one(0.1 * white)
    for name in ("x", "y", "size", "aspect", "slant", "fullness"):
        assert usual[name] == pytest.approx(dark[name], rel=1e-6) == pytest.approx(faint[name], rel=1e-6)
    assert (usual["background"], dark["background"], faint["background"]) == pytest.approx((0, 1, 0.45))
    assert (
        usual["brightness"] > 0.9 and dark["brightness"] < 0.1 and faint["brightness"] == pytest.approx(0.55, abs=0.01)
    )


@pytest.mark.parametrize(
    ("colour", "hue", "saturation", "brightness"),
    [
        ((1, 0, 0), 0, 1, 0.5),
        ((0, 1, 0), 1 / 3, 1, 0.5),
        ((1, 0.5, 1), 5 / 6, 0.5, 0.75),
        ((0.2, 0.2, 0.6), 2 / 3, 0.4, 0.4),
    ],
)
def test_colour(colour: tuple[float, ...], hue: float, saturation: float, brightness: float) -> None:
    image = torch.full((1, 3, 16, 16), -1.0)
    image[0, :, 4:12, 5:12] = 2 * torch.tensor(colour)[:, None, None] - 1
    found = one(image)
    assert (found["hue"] + 0.01) % 1 == pytest.approx(hue + 0.01)
    assert (found["saturation"], found["brightness"]) == pytest.approx((saturation, brightness))


def test_hue_is_a_circular_mean_and_strong_colours_weigh_more() -> None:
    image = torch.full((3, 3, 16, 16), -1.0)
    image[:, :, 4:12, 4:12] = 1
    image[0, 1:, 4:12, 4:12] = -1  # red, a little to magenta on one half and a little to yellow on the other
    image[0, 2, 4:12, 4:8] = image[0, 1, 4:12, 8:12] = -0.5
    image[1, 2, 4:12, 4:8] = image[1, :2, 4:12, 8:12] = -1  # yellow and blue: opposite, they cancel
    image[2, 0, 4:12, 4:8] = 0.5  # pale cyan, and strong green
    image[2, ::2, 4:12, 8:12] = -1
    red, opposite, green = measure(image)["hue"].tolist()
    assert min(red, 1 - red) < 1e-6 and math.isnan(opposite) and 1 / 3 < green < 5 / 12 - 0.02


# ---- where a measure does not apply


def test_grey_pictures_have_no_colour() -> None:
    grey = letter(0.3).float()
    found, coloured = measure(grey), measure(grey.expand(-1, 3, -1, -1))
    assert list(found) == [name for name in MEASURES if name not in ("hue", "saturation")]
    assert list(coloured) == list(MEASURES)
    assert coloured["hue"].isnan().all() and coloured["saturation"].item() == 0
    assert all(torch.equal(values, coloured[name]) for name, values in found.items())
    assert all(values.dtype == torch.float64 and values.shape == (1,) for values in coloured.values())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2])
def test_blank_pictures_show_a_background_alone(channels: int, noise: float) -> None:
    levels = torch.linspace(-0.8, 0.8, 50).view(-1, 1, 1, 1)
    found = measure((levels + noise * torch.randn(50, channels, 32, 32)).clamp(-1, 1))
    assert found.pop("background").numpy() == pytest.approx((levels.flatten().numpy() + 1) / 2, abs=0.06)
    assert found and all(values.isnan().all() for values in found.values())


def test_mask_ignores_one_odd_pixel_and_noise() -> None:
    factors = draw_factors(300)
    clean = pictures(factors).double() / 2 + 0.5
    _, mask = foreground(clean)
    _, rough = foreground(clean + 0.05 * torch.randn(clean.shape))
    away = F.max_pool2d(mask, 5, 1, 2) == 0
    assert float(rough[away].mean()) < 0.002 and float(rough[mask == 1].mean()) > 0.97
    clean[:, :, 2, 2] = 1 - clean[:, :, 2, 2].round()
    clean[0] = 0.5
    clean[0, :, 16, 16] = 0.7
    assert foreground(clean)[1][0].isnan().all()


# ---- inputs


def test_pictures_are_measured_each_for_itself() -> None:
    n = BLOCK // (3 * 32 * 32) + 3  # more than one block
    images = noisy(pictures(draw_factors(n)))
    together: Measures = measure(images)
    assert all(len(values) == n for values in together.values())
    for rows in (slice(0, 1), slice(n - 4, n)):
        alone = measure(images[rows])
        assert all(torch.allclose(alone[name], values[rows], rtol=1e-9) for name, values in together.items())


def test_measuring_leaves_the_pictures_as_they_were() -> None:
    images = letter()
    copy = images.clone()
    measure(images.requires_grad_())
    assert torch.equal(images, copy)
    assert not any(values.requires_grad for values in measure(images).values())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, 16, 16), "give images"),
        (torch.zeros(100, 2), "give images"),
        (torch.zeros(0, 3, 16, 16), "0 samples"),
        (torch.zeros(2, 4, 16, 16), "4 channels"),
        (torch.zeros(2, 3, 16, 2), "16 x 2 px"),
        (torch.full((2, 3, 16, 16), 255.0), "rescale"),
        (torch.full((2, 3, 16, 16), math.nan), "not finite"),
    ],
)
def test_what_is_no_picture_is_refused(images: Tensor, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        measure(images)
