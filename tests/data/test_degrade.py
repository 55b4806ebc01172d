"""Degradations: their texts, and what they do against Pillow, scipy and what can be measured."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from torch import Tensor

from gansmith.data.degrade import STEPS, Degradation, parse
from gansmith.data.holes import hole_masks
from gansmith.data.telescope import fluxes, stretch
from gansmith.errors import GansmithError

ALL = (
    "downscale 2",
    "grey",
    "edges",
    "noise 0-0.2",
    "blur 0-2",
    "holes 0.1-0.4",
    "jpeg 20-60",
    "telescope 1-2 1-2",
    "blur 1 + downscale 4 lanczos + noise 0.1 + jpeg 30",
)


def images(n: int = 4, c: int = 3, h: int = 32, w: int = 48, seed: int = 0) -> Tensor:
    """Smooth random images in [-1, 1] that hold whole grey levels."""
    rng = np.random.default_rng(seed)
    small = [rng.integers(0, 256, (6, 8, 3), np.uint8) for _ in range(n)]
    big = [np.asarray(Image.fromarray(s).resize((w, h), Image.Resampling.BICUBIC)) for s in small]
    return torch.from_numpy(np.stack(big)).permute(0, 3, 1, 2)[:, :c].float() / 127.5 - 1


def levels(x: Tensor) -> np.ndarray:
    """Images in [-1, 1] as grey levels, float64 (n, C, H, W)."""
    return (x.double().numpy() + 1) * 127.5


def pillow(x: Tensor) -> list[Image.Image]:
    pixels = levels(x).round().astype(np.uint8).transpose(0, 2, 3, 1)
    return [Image.fromarray(row.squeeze(2) if row.shape[2] == 1 else row) for row in pixels]


# ---- texts


@pytest.mark.parametrize(
    ("text", "canonical", "scale"),
    [
        ("downscale 4", "downscale 4 bicubic", 4),
        ("  Downscale  04   Lanczos ", "downscale 4 lanczos", 4),
        ("noise .1,blur 2.50", "noise 0.1 + blur 2.5", 1),
        ("noise 0-0.20+downscale 2 box + downscale 3", "noise 0-0.2 + downscale 2 box + downscale 3 bicubic", 6),
        ("jpeg 30-30", "jpeg 30", 1),
        ("noise 0.000010000", "noise 0.00001", 1),
        ("telescope 1.4 1-2", "telescope 1.4 1-2", 1),
        ("GREY", "grey", 1),
    ],
)
def test_texts(text: str, canonical: str, scale: int) -> None:
    found = parse(text)
    assert found.text == canonical and found.scale == scale
    assert parse(found.text).text == canonical


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["is no degradation", "downscale, grey, edges"]),
        ("noise 0.1 +", ["is no degradation"]),
        ("downscal 4", ['There is no degradation "downscal". Did you mean "downscale"?']),
        ("gray", ['Did you mean "grey"?']),
        ("4", ['There is no degradation "4".']),
        ("x\x1b[2J", ["x\\x1b[2j"]),
        ("downscale", ['"downscale" is no valid degradation', "from 2 to 16", "bicubic, bilinear, box, lanczos"]),
        ("downscale 1", ["from 2 to 16"]),
        ("downscale 17", ["from 2 to 16"]),
        ("downscale 2.5", ["from 2 to 16"]),
        ("downscale 2-4", ["from 2 to 16"]),
        ("downscale 4 cubic", ['"downscale 4 cubic" is no valid']),
        ("downscale 4 box 2", ["is no valid"]),
        ("grey 2", ['write "grey" alone']),
        ("edges 1", ['write "edges" alone']),
        ("noise", ['write "noise 0.1"']),
        ("noise -0.1", ["0 to 1"]),
        ("noise 1.5", ["0 to 1"]),
        ("noise 0.2-0.1", ["0 to 1"]),
        ("noise nan", ["0 to 1"]),
        ("noise 1e-1", ["0 to 1"]),
        ("blur ٣", ["0 to 50 pixels"]),
        ("blur 51", ["0 to 50 pixels"]),
        ("holes 0", ["0.01 to 0.9"]),
        ("holes 0.95", ["0.01 to 0.9"]),
        ("jpeg 30.5", ["whole numbers from 1 to 100"]),
        ("jpeg 0-50", ["whole numbers from 1 to 100"]),
        ("telescope 1.4", ["arcsec"]),
        ("telescope 1.4 0.5", ["factor of the noise of 1 to 20"]),
    ],
)
def test_what_cannot_be_read(text: str, parts: list[str]) -> None:
    with pytest.raises(GansmithError) as caught:
        parse(text)
    said = str(caught.value)
    assert all(part in said for part in parts), said
    assert said.isprintable() and said[-1] in ".?"


# ---- what holds for all


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("c", [1, 3])
def test_shape_range_and_no_gradient(text: str, c: int) -> None:
    made, x = parse(text), images(c=c).requires_grad_()
    y = made(x)
    assert y.shape == (4, made.channels(c), 32 // made.scale, 48 // made.scale)
    assert y.dtype == torch.float32 and not y.requires_grad
    assert y.min() >= -1 and y.max() <= 1 and y.std() > 0.05
    assert made.channels(c) == (1 if text in ("grey", "edges") else c)


@pytest.mark.parametrize("text", ALL)
def test_only_the_random_state_and_the_images_decide(text: str) -> None:
    made, x = parse(text), images()
    before = x.clone()

    def run(x: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return made(x)

    first = run(x, 1)
    assert torch.equal(x, before)
    assert torch.equal(run(x, 1), first)
    drawn = any(step.split()[0] in ("noise", "holes", "telescope") or "-" in step for step in made.text.split(" + "))
    assert torch.equal(run(x, 2), first) is not drawn
    close = run(x.contiguous(memory_format=torch.channels_last), 1)
    assert torch.allclose(close, first, atol=2e-6 if "jpeg" not in text else 0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(run(x, 1), first)
    state = torch.get_rng_state()
    made(x)
    assert torch.equal(torch.get_rng_state(), state) is not drawn


@pytest.mark.parametrize("text", [text for text in ALL if "downscale" not in text])
@pytest.mark.parametrize("size", [(1, 1), (1, 7)])
def test_tiny_images(text: str, size: tuple[int, int]) -> None:
    y = parse(text)(torch.zeros(2, 3, *size))
    assert y.shape[2:] == size and y.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "part"), [((2, 3, 30, 32), "32 x 30 pixels"), ((2, 2, 32, 32), "with 2"), ((1, 3, 1, 1), "1 x 1 pixels")]
)
def test_images_that_do_not_fit(shape: tuple[int, ...], part: str) -> None:
    with pytest.raises(GansmithError, match=f'"downscale 4 bicubic" is for images of 1 or 3 .* multiples of 4.*{part}'):
        parse("downscale 4")(torch.zeros(shape))


def test_steps_run_in_order() -> None:
    x = torch.zeros(8, 3, 64, 64)
    after, before = parse("downscale 2 box + noise 0.2")(x), parse("noise 0.2 + downscale 2 box")(x)
    assert after.std() == pytest.approx(2 * before.std().item(), rel=0.05)  # four pixels averaged: half the noise


# ---- each against a reference


@pytest.mark.parametrize("filter", ["bicubic", "bilinear", "box", "lanczos"])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_downscale_is_pillows(filter: str, factor: int) -> None:
    x = images(2, h=36, w=48)
    y, size = parse(f"downscale {factor} {filter}")(x), (48 // factor, 36 // factor)
    how = Image.Resampling[filter.upper() if filter != "box" else "BOX"]
    for i in range(2):
        whole = np.asarray(pillow(x)[i].resize(size, how)).transpose(2, 0, 1)
        assert abs(levels(y)[i] - whole).max() <= 1.2  # Pillow rounds after each of the two directions
    soft = x / 3  # nothing overshoots the range, so Pillow's own floats must agree
    exact = np.stack([[np.asarray(Image.fromarray(b.numpy()).resize(size, how)) for b in row] for row in soft])
    assert abs(parse(f"downscale {factor} {filter}")(soft).numpy() - exact).max() < 1e-5


def test_grey_is_pillows() -> None:
    x = images()
    wanted = np.stack([np.asarray(image.convert("L")) for image in pillow(x)])
    assert abs(levels(parse("grey")(x))[:, 0] - wanted).max() <= 0.51
    assert torch.equal(parse("grey")(x[:, :1]), x[:, :1])


@pytest.mark.parametrize("sigma", [0.3, 1.0, 1.5, 4.0])
def test_blur_is_scipys(sigma: float) -> None:
    x = images()
    wanted = ndimage.gaussian_filter(x.double().numpy(), (0, 0, sigma, sigma), mode="nearest", truncate=4.0)
    assert abs(parse(f"blur {sigma}")(x).numpy() - wanted).max() < 1e-5
    assert torch.equal(parse("blur 0")(x), x)


def test_blur_of_a_range() -> None:
    x = torch.zeros(200, 1, 41, 41)
    x[:, :, 20, 20] = 1
    y = parse("blur 1-4")(x)[:, 0].double()
    at = torch.arange(41) - 20.0
    sigma = ((y.sum(1) * at**2).sum(1) / y.sum((1, 2))).sqrt()  # the spread of a point
    assert 0.98 < sigma.min() < 1.1 and 3.8 < sigma.max() < 4.0
    assert sigma.mean() == pytest.approx(2.5, abs=0.2)


def test_each_image_of_a_range_is_blurred_as_scipy_does() -> None:
    x = images(6)
    torch.manual_seed(7)
    y = parse("blur 0.5-3")(x)
    torch.manual_seed(7)
    for image, blurred, sigma in zip(x, y, 0.5 + 2.5 * torch.rand(6), strict=True):
        s = sigma.item()
        wanted = ndimage.gaussian_filter(image.double().numpy(), (0, s, s), mode="nearest", truncate=4.0)
        assert abs(blurred.numpy() - wanted).max() < 1e-5


def test_noise_is_as_strong_as_it_says() -> None:
    x = torch.zeros(100, 3, 32, 32)
    y = parse("noise 0.1")(x)
    assert y.std() == pytest.approx(0.2, rel=0.01) and abs(y.mean()) < 0.002  # of -1 to 1, twice black to white
    assert abs(np.corrcoef(y.transpose(0, 1).flatten(1).numpy()) - np.eye(3)).max() < 0.02
    own = parse("noise 0-0.2")(x).flatten(1).std(1)
    assert own.min() < 0.02 and own.max() > 0.36 and own.mean() == pytest.approx(0.2, abs=0.03)


@pytest.mark.parametrize("share", [0.05, 0.25, 0.6])
def test_holes_cover_their_share(share: float) -> None:
    x = images(100, h=48, w=64)
    y, mask = parse(f"holes {share}").with_mask(x)
    assert mask.shape == (100, 1, 48, 64) and set(mask.unique().tolist()) == {0.0, 1.0}
    hole = mask.bool().expand_as(x)
    assert (y[hole] == 0).all() and torch.equal(y[~hole], x[~hole])
    assert abs(mask.mean((1, 2, 3)) - share).max() < 0.02 and mask.mean() == pytest.approx(share, abs=0.004)
    assert len(torch.unique(mask.flatten(1), dim=0)) > 95


def test_both_kinds_of_holes() -> None:
    mask = hole_masks((48, 64), torch.full((400,), 0.2))[:, 0]
    rows, columns = mask.amax(2).sum(1), mask.amax(1).sum(1)
    filled = mask.sum((1, 2)) == rows * columns  # of the box around the hole
    assert 160 < filled.sum() < 240
    assert (mask[~filled].sum((1, 2)) == round(0.2 * 48 * 64)).all()
    slender = (rows / columns)[filled] / (48 / 64)
    assert slender.min() < 0.6 and slender.max() > 1.7 and slender.max() < 2.3
    everywhere = mask.mean(0)
    assert everywhere.min() > 0.02 and everywhere[24, 32] > 0.2
    parts = [ndimage.label(m.numpy(), np.ones((3, 3)))[1] for m in mask[~filled]]
    assert np.mean(parts) < 2.5 and max(parts) < 8  # three strokes, which may cross one another or the border


def test_holes_of_a_range_and_where_they_are_after_shrinking() -> None:
    _, mask = parse("holes 0.1-0.5").with_mask(images(200))
    share = mask.mean((1, 2, 3))
    assert share.min() < 0.13 and share.max() > 0.47
    x, made = images(5), parse("holes 0.2 + downscale 4 + noise 0.1 + holes 0.1")
    y, mask = made.with_mask(x)
    assert y.shape[2:] == mask.shape[2:] == (8, 12) and (mask.mean((1, 2, 3)) > 0.12).all()
    torch.manual_seed(3)
    _, large = parse("holes 0.2").with_mask(x)
    torch.manual_seed(3)
    _, small = parse("holes 0.2 + downscale 4").with_mask(x)
    assert torch.equal(small, torch.nn.functional.max_pool2d(large, 4))  # wherever any pixel was cut
    _, mask = parse("blur 2").with_mask(x)
    assert mask.shape == (5, 1, 32, 48) and mask.sum() == 0


@pytest.mark.parametrize("c", [1, 3])
def test_jpeg_is_pillows(c: int) -> None:
    x = images(3, c)
    y = parse("jpeg 25")(x)
    for i, image in enumerate(pillow(x)):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=25)
        wanted = np.asarray(Image.open(file)).reshape(32, 48, c).transpose(2, 0, 1)
        assert np.array_equal(levels(y)[i].round(), wanted)


def test_jpeg_of_a_range() -> None:
    x = images(1).expand(300, -1, -1, -1)
    worse = {quality: parse(f"jpeg {quality}")(x[:1]) for quality in (10, 11, 12)}
    found = [[q for q, y in worse.items() if torch.equal(row[None], y)] for row in parse("jpeg 10-12")(x)]
    counts = [sum([q] == which for which in found) for q in worse]
    assert sum(counts) == 300 and min(counts) > 70


def test_edges_are_a_line_drawing() -> None:
    yy, xx = np.mgrid[:64, :64] - 31.5
    far = np.hypot(yy, xx)
    x = torch.from_numpy(np.where(far < 20, -0.5, 0.5)).float()[None, None].expand(1, 3, -1, -1)
    drawn = parse("edges")(x)[0, 0].numpy()
    line = drawn < 0
    assert line.any() and (abs(far - 19)[line] < 2).all()  # on the dark side of the edge
    assert all(
        line[(abs(far - 19) < 2) & (abs(np.arctan2(yy, xx) - turn) < 0.1)].any() for turn in np.arange(-3, 3, 0.3)
    )
    assert (drawn[abs(far - 20) > 4] > 0.99).all()


def test_edges_by_another_way() -> None:
    x = images()
    narrow, wide = (ndimage.gaussian_filter(x.double().numpy(), (0, 0, s, s), mode="nearest") for s in (0.8, 0.8 * 1.6))
    darker = ((wide - narrow) / 2 - 0.02).max(1, keepdims=True).clip(0)
    assert abs(parse("edges")(x).numpy() - (1 - 2 * np.tanh(32 * darker))).max() < 1e-4


def test_edges_of_flat_and_of_equally_bright_parts() -> None:
    assert (parse("edges")(torch.full((1, 3, 16, 16), -0.3)) == 1).all()
    x = torch.tensor([0.587, -0.299 * 0.587 / 0.299, 0.0])[None, :, None, None].expand(1, 3, 32, 32).clone()
    x[..., 16:] = -x[..., 16:]  # orange to blue-green
    x[:, 1] = -x[:, 0] * 0.299 / 0.587  # of one luma
    assert parse("grey")(x).std() < 1e-6
    assert (parse("edges")(x)[..., 14:18].amin(3) < -0.4).all()


# ---- the telescope


def test_the_stretch_and_back() -> None:
    flux = torch.linspace(-0.1, 4, 500, dtype=torch.float64)
    x = stretch(flux)
    assert x.min() == -1 and x.max() < 1 and torch.allclose(fluxes(x), flux)
    wanted = np.arcsinh(10 * (flux.numpy() + 0.1) / 4.1) / 3  # as GalaxyGAN writes it
    assert np.allclose((x + 1) / 2, wanted)
    assert torch.equal(stretch(torch.tensor([-5.0, 9.0])), stretch(torch.tensor([-0.1, 4.0])))


def star(n: int, noise: float, side: int = 64) -> Tensor:
    """A bright star in three bands on a noisy sky, as fluxes."""
    yy, xx = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    light = 2 * torch.exp(-((yy - side // 2) ** 2 + (xx - side // 2) ** 2) / 2 / 1.3**2)
    return light + noise * torch.randn(n, 3, side, side)


def test_the_telescope_blurs_fluxes() -> None:
    flux = star(1, 0.0)
    y = fluxes(parse("telescope 1.4 1")(stretch(flux)))
    sigma = 1.4 / 0.396 / 2.355
    wanted = ndimage.gaussian_filter(flux.double().numpy(), (0, 0, sigma, sigma), mode="nearest")
    assert abs(y.numpy() - wanted).max() < 2e-3  # without background there is next to no noise
    assert y.sum() == pytest.approx(flux.sum().item(), rel=0.02)


@pytest.mark.parametrize(("fwhm", "noise"), [(1.4, 1.2), (2.5, 1.0), (1.8, 2.0), (0.4, 1.1)])
def test_the_background_gets_as_noisy_as_it_says(fwhm: float, noise: float) -> None:
    flux = star(50, 0.02)
    y = fluxes(parse(f"telescope {fwhm} {noise}")(stretch(flux)))
    before, after = flux[..., :16], y[..., :16]
    assert after.std() == pytest.approx(noise * before.std().item(), rel=0.05)
    assert after.flatten(1).std(1).std() < 0.1 * after.std()  # in each image


def test_the_noise_is_the_same_in_all_bands_and_white() -> None:
    y = fluxes(parse("telescope 1.4 4")(stretch(star(20, 0.01))))[..., :16]
    bands = np.corrcoef(y.transpose(0, 1).flatten(1).numpy())
    assert bands.min() > 0.98
    shifted = np.corrcoef(y[..., 1:].flatten().numpy(), y[..., :-1].flatten().numpy())[0, 1]
    assert abs(shifted) < 0.05
    x = stretch(star(2, 0.01))
    first, second = parse("telescope 1.4 2")(x), parse("telescope 1.4 2")(x)
    assert not torch.equal(first, second)


def test_every_step_is_tested() -> None:
    assert {word.split()[0] for text in ALL for word in text.split(" + ")} == set(STEPS)
    assert isinstance(parse(ALL[0]), Degradation)
