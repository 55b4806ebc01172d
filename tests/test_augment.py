"""Augmentation of what D sees: every transformation against an independent reference, chance, derivatives, and p."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.nn.augment import BASIC, FULL, AdaptiveAugment, DiffAugment, augmented, colour, corrupt, diff, geometry
from gansmith.nn.augment.chance import chosen, falls, reflected

Step = Callable[[Tensor, Any], Tensor]


def noise(n: int, c: int, side: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.rand(n, c, side, side, dtype=dtype) * 2 - 1


def smooth(side: int) -> np.ndarray:
    """An image without high frequencies, (S, S) float64."""
    y, x = np.mgrid[:side, :side] / side
    return np.sin(2 * np.pi * (x + 0.3 * y)) + 0.5 * np.cos(2 * np.pi * (1.5 * y - 0.4 * x))


# ---------------------------------------------------------------- the whole pipeline


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("shape", [(5, 3, 16, 16), (5, 1, 28, 28), (2, 1, 4, 4), (1, 3, 1, 1)])
def test_nothing_happens_without_chance(shape: tuple[int, ...], full: bool) -> None:
    x = torch.randn(shape)
    assert augmented(x, 0.0, full).equal(x)
    assert augmented(x, torch.zeros(()), full).equal(x)


@pytest.mark.parametrize("step", FULL)
@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("p", [0.3, 1.0])
def test_a_transformation_changes_a_share_of_the_images(step: Step, c: int, p: float) -> None:
    """The others stay bit for bit. How many: for each step, all its transformations together."""
    some = {  # the chance that an image stays, for every parameter of the step that may be drawn as "none"
        "blit": (1 - p / 2) * (1 - 3 / 4 * p) * (1 - p + p * still(16) ** 2),
        "warp": (1 - p) ** 4,
        "recolour": (1 - p) ** (2 if c == 1 else 4) * (1 - p / 2),
        "refilter": (1 - p) ** 4,
        "noisy": 1 - p,
        "cut_out": 1 - p,
    }[step.__name__]
    n, x = 2000, noise(2000, c, 16)
    out = step(x, p)
    changed = (out - x).flatten(1).abs().amax(1) > (1e-6 if c == 1 and step is colour.recolour else 0)
    deviation = math.sqrt(n * some * (1 - some))
    assert abs(float((~changed).sum()) - n * some) <= 4.5 * deviation + 1e-9
    assert out.shape == x.shape and out.isfinite().all()


def still(side: int) -> float:
    """The chance that a move along one axis rounds to no pixel: uniform on -side / 8 to side / 8."""
    return 0.5 / (side / 8)


def test_chances_are_those_asked_for() -> None:
    x = torch.zeros(100_000, 1)
    for p in (0.0, 0.05, 0.5, 1.0):
        assert float(falls(x, torch.tensor(p)).float().mean()) == pytest.approx(
            p, abs=4.5 * math.sqrt(p * (1 - p) / 1e5)
        )


def test_each_image_goes_its_own_way() -> None:
    x = noise(1, 3, 16).repeat(16, 1, 1, 1)
    for out in (augmented(x, 1.0, True), diff.diffaugment(x)):
        assert len({tuple(row.flatten().tolist()) for row in out}) == 16


@pytest.mark.parametrize("shape", [(2, 2, 8, 8), (2, 4, 8, 8), (2, 3, 8, 6), (2, 3)])
def test_other_samples_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(GansmithError, match="square grey or colour images"):
        augmented(torch.zeros(shape), 0.5)


def test_float32_inside_autocast() -> None:
    x = noise(4, 3, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        for out in (augmented(x, 1.0, True), DiffAugment()(x), AdaptiveAugment(p=0.5)(x)):
            assert out.dtype == torch.float32


# ---------------------------------------------------------------- whole pixels


def test_mirrored_positions_are_numpys() -> None:
    for side in (1, 2, 3, 8):
        wanted = np.pad(np.arange(side), (20, 23), mode="reflect") if side > 1 else np.zeros(44)
        assert reflected(torch.arange(-20, side + 23), side).tolist() == wanted.tolist()


@pytest.mark.parametrize(("right", "down"), [(0, 0), (3, 0), (0, -2), (-9, 13), (40, -40)])
def test_moves_of_whole_pixels_mirror_the_border(right: int, down: int) -> None:
    x = noise(2, 3, 9)
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (50, 50), (50, 50)), mode="reflect")
    wanted = padded[:, :, 50 - down : 59 - down, 50 - right : 59 - right]
    out = geometry.moved(x, torch.tensor([right, right]), torch.tensor([down, down]))
    assert np.array_equal(out.numpy(), wanted)


def test_blits_are_the_eight_turns_and_mirrorings_each_as_often() -> None:
    """Of an image whose moves are none (side 3: an eighth of it rounds to 0)."""
    x, n = torch.arange(9.0).view(1, 1, 3, 3), 8000
    count = {tuple(np.rot90(a, k).flatten()): 0 for a in (x[0, 0].numpy(), x[0, 0].numpy()[:, ::-1]) for k in range(4)}
    assert len(count) == 8
    for row in geometry.blit(x.repeat(n, 1, 1, 1), 1.0):
        count[tuple(row.flatten().tolist())] += 1
    assert all(abs(v - n / 8) < 4.5 * math.sqrt(n / 8) for v in count.values())


def test_blits_lose_no_value() -> None:
    """Every value of the result was one of the image."""
    x = noise(64, 1, 16)
    out = geometry.blit(x, 1.0)
    assert all(set(b.flatten().tolist()) <= set(a.flatten().tolist()) for a, b in zip(x, out, strict=True))
    assert (out != x).flatten(1).any(1).float().mean() > 0.7


# ---------------------------------------------------------------- the affine map


def test_the_wavelet_is_orthogonal_and_has_six_vanishing_moments() -> None:
    h = np.array(geometry.SYM6)
    for shift in range(6):
        assert np.dot(h[2 * shift :], h[: 12 - 2 * shift]) == pytest.approx(float(shift == 0), abs=1e-10)
    high = h * (-1.0) ** np.arange(12)
    for power in range(6):
        assert np.dot(high, (np.arange(12) / 12.0) ** power) == pytest.approx(0.0, abs=1e-10)
    assert abs(np.dot(high, (np.arange(12) / 12.0) ** 6)) > 1e-5


@pytest.mark.parametrize("side", [1, 2, 5, 16])
def test_the_map_to_itself_changes_nothing(side: int) -> None:
    x = noise(2, 3, side, torch.float64)
    torch.testing.assert_close(geometry.resampled(x, torch.eye(3, dtype=torch.float64).expand(2, 3, 3)), x)


def test_whole_moves_of_the_affine_map_are_exact_inside() -> None:
    x = noise(1, 1, 24, torch.float64)
    move = geometry.moving(torch.tensor([2.0], dtype=torch.float64), torch.tensor([-3.0], dtype=torch.float64))
    out = geometry.resampled(x, torch.linalg.inv(move))
    exact = geometry.moved(x, torch.tensor([2]), torch.tensor([-3]))
    torch.testing.assert_close(out[..., 3:-6, 5:-3], exact[..., 3:-6, 5:-3])


MAPS = [
    geometry.scaling(torch.tensor([1.3]), torch.tensor([1.3])),
    geometry.scaling(torch.tensor([0.8]), torch.tensor([1.25])),
    geometry.turning(torch.tensor([0.4])),
    geometry.moving(torch.tensor([2.6]), torch.tensor([-1.3])),
    geometry.turning(torch.tensor([2.0])) @ geometry.scaling(torch.tensor([1.1]), torch.tensor([0.9])),
]


@pytest.mark.parametrize("there", MAPS)
def test_affine_maps_are_those_of_scipy(there: Tensor) -> None:
    """A smooth image, read by cubic splines; scipy takes (down, right) and mirrors in the same way."""
    side = 40
    image = smooth(side)
    back = torch.linalg.inv(there.double())
    out = geometry.resampled(torch.tensor(image)[None, None], back)[0, 0].numpy()
    swapped = back[0].numpy()[:2][::-1]
    matrix, offset = swapped[:, [1, 0]], swapped[:, 2]
    centre = np.full(2, (side - 1) / 2)
    wanted = ndimage.affine_transform(image, matrix, centre + offset - matrix @ centre, order=3, mode="mirror")
    inner = slice(6, -6)
    error = np.abs(out - wanted)[inner, inner]
    assert error.max() < 0.05 and error.mean() < 2e-3  # the larger at the kinks of the mirrored border
    assert np.abs(image - wanted)[inner, inner].max() > 0.2


def test_fine_stripes_survive_a_move_by_half_a_pixel() -> None:
    """At half of the highest frequency: plain bilinear reading halves their power, band-limited reading keeps it."""
    side, inner = 64, slice(12, -12)
    stripes = torch.cos(math.pi * 0.5 * torch.arange(side, dtype=torch.float64)).expand(1, 1, side, side)
    out = geometry.resampled(stripes, geometry.moving(*torch.full((2, 1), 0.5, dtype=torch.float64)))
    plain = 0.5 * (stripes[..., inner, 12:-12] + stripes[..., inner, 13:-11])
    power = float(stripes[..., inner, inner].square().mean())
    assert float(plain.square().mean()) == pytest.approx(0.5 * power, rel=0.01)
    assert float(out[..., inner, inner].square().mean()) == pytest.approx(power, rel=0.02)


def test_an_image_turns_by_quarters_as_numpy_turns_it() -> None:
    """Beside the chance of `rot90`: the affine map turns in the direction that it says, about the middle."""
    image = torch.tensor(smooth(40))[None, None]
    out = geometry.resampled(
        image, torch.linalg.inv(geometry.turning(torch.tensor([math.pi / 2], dtype=torch.float64)))
    )
    assert float((out - image.rot90(-1, (2, 3)))[..., 5:-5, 5:-5].abs().max()) < 2e-3


def test_either_turn_has_its_chance_so_that_p_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(geometry, "falls", lambda x, p: seen.append(torch.as_tensor(p)) or falls(x, p))
    geometry.warp(noise(2, 1, 8), 0.36)
    assert [round(float(p), 4) for p in seen] == [0.36, 0.2, 0.36, 0.2, 0.36]


# ---------------------------------------------------------------- colours


def rgb(*values: float) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def test_brightness_and_contrast() -> None:
    x = noise(2, 3, 4)
    by = torch.tensor([0.5, -2.0])
    torch.testing.assert_close(colour.coloured(x, colour.brightening(by)), x + by.view(2, 1, 1, 1))
    torch.testing.assert_close(colour.coloured(x, colour.contrasting(by)), x * by.view(2, 1, 1, 1))


def test_a_third_of_a_turn_of_the_hue_exchanges_the_channels() -> None:
    x = noise(3, 3, 4)
    out = colour.coloured(x, colour.hue(torch.tensor([1, 2, 3]) * 2 * math.pi / 3))
    for row, shift in ((0, 1), (1, 2), (2, 0)):
        torch.testing.assert_close(out[row], x[row].roll(shift, 0), atol=1e-5, rtol=0)


def test_hue_turns_as_colorsys_says() -> None:
    """In a hexagon there, on a circle here: alike to a few degrees, and equal at every third of a turn."""
    for degrees in (60.0, 120.0, -100.0):
        out = colour.coloured(rgb(0.5, 0.1, 0.1), colour.hue(torch.tensor([math.radians(degrees)]))).flatten()
        found = 360 * colorsys.rgb_to_hsv(*out.tolist())[0]
        assert abs((found - degrees + 180) % 360 - 180) < 5


@pytest.mark.parametrize("angle", [0.3, -2.0])
def test_hue_and_saturation_leave_luma_and_grey(angle: float) -> None:
    x = noise(1, 3, 6)
    for maps in (colour.hue(torch.tensor([angle])), colour.saturating(torch.tensor([abs(angle)]))):
        out = colour.coloured(x, maps)
        torch.testing.assert_close(out.mean(1), x.mean(1))
        torch.testing.assert_close(colour.coloured(x[:, :1].expand_as(x), maps), x[:, :1].expand_as(x))
        assert float((out - x).abs().max()) > 0.1
    turned = colour.coloured(x, colour.hue(torch.tensor([angle])))
    torch.testing.assert_close((turned - turned.mean(1)).norm(dim=1), (x - x.mean(1)).norm(dim=1))


def test_saturation_scales_the_distance_from_grey() -> None:
    x = noise(2, 3, 4)
    grey = x.mean(1, keepdim=True)
    factor = torch.tensor([0.0, 3.0])
    wanted = grey + factor.view(2, 1, 1, 1) * (x - grey)
    torch.testing.assert_close(colour.coloured(x, colour.saturating(factor)), wanted)


def test_inverted_luma_keeps_hue_and_saturation() -> None:
    x = noise(2, 3, 4)
    out = colour.coloured(x, colour.inverting(torch.tensor([1.0, 0.0])))
    torch.testing.assert_close(out[1], x[1])
    torch.testing.assert_close(out[0].mean(0), -x[0].mean(0))
    torch.testing.assert_close(out[0] - out[0].mean(0), x[0] - x[0].mean(0))


def test_grey_images_are_colour_images_of_three_like_channels() -> None:
    x = noise(64, 1, 4)
    torch.manual_seed(5)
    grey = colour.recolour(x, 0.7)
    torch.manual_seed(5)
    torch.testing.assert_close(colour.recolour(x.expand(64, 3, 4, 4), 0.7), grey.expand(64, 3, 4, 4))


def test_maps_are_applied_in_order() -> None:
    """Brightness before contrast: (x + b) c."""
    b, c = torch.tensor([0.5]), torch.tensor([3.0])
    x = noise(1, 3, 2)
    both = colour.contrasting(c) @ colour.brightening(b)
    torch.testing.assert_close(colour.coloured(x, both), 3 * (x + 0.5))


# ---------------------------------------------------------------- frequencies, noise, cut-outs


def test_the_bands_add_up_and_lie_where_they_should() -> None:
    bank = corrupt.filter_bank()
    identity = torch.zeros(43, dtype=torch.float64)
    identity[21] = 1
    torch.testing.assert_close(bank.sum(0), identity)
    frequency = np.pi * np.arange(512) / 512
    response = np.abs(np.exp(1j * frequency[:, None] * np.arange(43)) @ bank.numpy().T)
    assert np.abs(bank.numpy() - bank.numpy()[:, ::-1]).max() < 1e-12  # symmetric: nothing moves
    for band, (low, high) in enumerate(
        [(0, np.pi / 8), (np.pi / 8, np.pi / 4), (np.pi / 4, np.pi / 2), (np.pi / 2, 4)]
    ):
        inside = (frequency >= low) & (frequency < high)
        assert response[inside, band].sum() > 0.6 * response[:, band].sum()
        middle = np.searchsorted(frequency, min(np.sqrt(max(low, 0.05) * high), 2.2))
        assert response[middle].argmax() == band
    np.testing.assert_allclose(response[0], [1, 0, 0, 0], atol=1e-12)


def test_filtering_is_that_of_scipy() -> None:
    x, gains = noise(2, 3, 12, torch.float64), torch.tensor([[1.0, 2.0, 0.5, 3.0], [0.2, 1.0, 1.0, 1.0]]).double()
    out = corrupt.filtered(x, gains)
    for i in range(2):
        taps = (gains[i] @ corrupt.filter_bank()).numpy()
        wanted = ndimage.convolve1d(ndimage.convolve1d(x[i].numpy(), taps, 1, mode="mirror"), taps, 2, mode="mirror")
        np.testing.assert_allclose(out[i].numpy(), wanted, atol=1e-10)
    torch.testing.assert_close(corrupt.filtered(x, torch.ones(2, 4).double()), x)


def test_gains_keep_the_power_of_a_natural_image(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(corrupt, "filtered", lambda x, gains: seen.append(gains) or x)
    corrupt.refilter(noise(500, 1, 4), 0.8)
    power = (seen[0].square() * torch.tensor(corrupt.POWER)).sum(1)
    only_one = (seen[0] != 1).any(1)
    assert float(only_one.float().mean()) > 0.9 and sum(corrupt.POWER) == pytest.approx(1)
    assert float(power.log().abs().median()) < 0.7 < float(seen[0].log().abs().amax())


def test_noise_is_half_normal_in_strength() -> None:
    x = torch.zeros(4000, 1, 16, 16)
    out = corrupt.noisy(x, 0.5)
    strength = out.flatten(1).std(1)
    hit = strength > 0
    assert float(hit.float().mean()) == pytest.approx(0.5, abs=0.04)
    assert float(strength[hit].square().mean().sqrt()) == pytest.approx(0.1, rel=0.06)
    assert float(strength[hit].mean()) == pytest.approx(0.1 * math.sqrt(2 / math.pi), rel=0.06)
    assert abs(float(out.mean())) < 2e-3


def test_a_cut_out_is_half_the_side_about_a_point_in_the_image() -> None:
    out = corrupt.cut_out(torch.ones(4000, 3, 32, 32), 1.0)
    gone = 1 - out
    assert torch.equal(gone, gone[:, :1].expand_as(gone)) and set(out.unique().tolist()) == {0.0, 1.0}
    heights, widths = gone[:, 0].amax(2).sum(1), gone[:, 0].amax(1).sum(1)
    assert torch.equal(gone[:, 0].sum((1, 2)), heights * widths)  # a rectangle
    assert float(heights.max()) == float(widths.max()) == 16 and float(heights.min()) >= 8
    expected = (0.5 - 2 * 0.25**2 / 2) ** 2  # a side of 1/2 about a uniform centre, less what lies outside
    assert float(gone.mean()) == pytest.approx(expected, rel=0.02)


# ---------------------------------------------------------------- DiffAugment


def test_diffaugments_colours() -> None:
    """Linear in the image: each constant and each deviation has one factor, within the official bounds."""
    x = noise(3000, 3, 4)
    out = diff.shaded(x)
    brightness = out.mean((1, 2, 3)) - x.mean((1, 2, 3))
    assert (
        -0.5 < float(brightness.min()) < -0.45
        and 0.45 < float(brightness.max()) < 0.5
        and float(brightness.std()) > 0.27
    )
    grey, was = (v - v.mean((1, 2, 3), keepdim=True) for v in (out.mean(1, keepdim=True), x.mean(1, keepdim=True)))
    contrast = (grey * was).sum((1, 2, 3)) / was.square().sum((1, 2, 3))
    torch.testing.assert_close(grey, contrast.view(-1, 1, 1, 1) * was, atol=1e-4, rtol=0)
    assert 0.5 <= float(contrast.min()) < 0.51 and 1.49 < float(contrast.max()) <= 1.5
    apart, before = (v - v.mean(1, keepdim=True) for v in (out, x))
    saturation = (apart * before).sum((1, 2, 3)) / before.square().sum((1, 2, 3)) / contrast
    assert -1e-4 <= float(saturation.min()) < 0.01 and 1.99 < float(saturation.max()) <= 2.001


def test_diffaugments_moves_bring_in_zeros() -> None:
    x = torch.ones(2000, 1, 16, 16)
    out = diff.shifted(x)[:, 0]
    for axis in (1, 2):
        kept = out.amax(3 - axis).sum(1)
        assert {int(v) for v in kept} == {14, 15, 16}
        assert float((kept == 16).float().mean()) == pytest.approx(1 / 5, abs=0.04)
    whole = noise(500, 3, 16)
    for a, b in zip(whole, diff.shifted(whole), strict=True):
        rows, columns = (b != 0).any(0).any(1), (b != 0).any(0).any(0)
        inside = b[:, rows][:, :, columns]
        places = [
            (i, j)
            for i in (0, 16 - inside.shape[1])
            for j in (0, 16 - inside.shape[2])
            if torch.equal(a[:, i : i + inside.shape[1], j : j + inside.shape[2]], inside)
        ]
        assert places


@pytest.mark.parametrize("side", [8, 9, 28])
def test_diffaugments_cut_is_half_the_side(side: int) -> None:
    gone = 1 - diff.cut(torch.ones(3000, 1, side, side))[:, 0]
    size = int(side / 2 + 0.5)
    heights, widths = gone.amax(2).sum(1), gone.amax(1).sum(1)
    assert torch.equal(gone.sum((1, 2)), heights * widths) and int(heights.max()) == int(widths.max()) == size
    kept = [min(side, c - size // 2 + size) - max(0, c - size // 2) for c in range(side + 1 - size % 2)]
    assert float(heights.mean()) == pytest.approx(np.mean(kept), rel=0.03)


# ---------------------------------------------------------------- derivatives


def repeated(f: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """f with the same random numbers at every call."""

    def call(x: Tensor) -> Tensor:
        torch.manual_seed(7)
        return f(x)

    return call


WAYS: dict[str, Callable[[Tensor], Tensor]] = {
    "ada": lambda x: augmented(x, 0.8),
    "ada-full": lambda x: augmented(x, 0.8, full=True),
    "diffaugment": diff.diffaugment,
}


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_first_and_second_derivatives(way: str, c: int) -> None:
    """Of a function that is not linear in the image, as D is: R1 goes through the augmentation."""
    f = repeated(WAYS[way])
    x = noise(2, c, 5 if c == 1 else 3, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(f, x)
    assert torch.autograd.gradgradcheck(lambda x: f(x).sin(), x)


def test_reading_has_the_gradient_of_grid_sample() -> None:
    x, grid = noise(2, 3, 6, torch.float64).requires_grad_(), torch.rand(2, 4, 5, 2, dtype=torch.float64) * 2.4 - 1.2
    weight = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    ours, theirs = (
        read(x, grid)
        for read in (geometry._Read.apply, lambda x, g: torch.nn.functional.grid_sample(x, g, align_corners=True))
    )
    torch.testing.assert_close(ours, theirs)
    a, b = (torch.autograd.grad((y * weight).sum(), x)[0] for y in (ours, theirs))
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize("way", WAYS)
def test_a_penalty_through_it_reaches_d(way: str) -> None:
    """R1 of D(T(x)) with respect to x, for a linear D and a linear T: |T^t w|^2, and its gradient with respect to w."""
    torch.manual_seed(1)
    x = noise(1, 3, 6, torch.float64).requires_grad_()
    w = torch.randn(108, dtype=torch.float64, requires_grad=True)
    f = repeated(WAYS[way])
    jacobian = torch.autograd.functional.jacobian(lambda x: f(x).flatten(), x.detach()).view(108, 108)
    (slope,) = torch.autograd.grad(f(x).flatten() @ w, x, create_graph=True)
    penalty = slope.square().sum()
    torch.testing.assert_close(penalty, (jacobian.T @ w).square().sum())
    (got,) = torch.autograd.grad(penalty, w)
    torch.testing.assert_close(got, 2 * jacobian @ jacobian.T @ w)


# ---------------------------------------------------------------- how p follows r


def test_p_goes_from_0_to_1_in_so_many_samples_and_back() -> None:
    ada = AdaptiveAugment(ksamples=10.0, ceiling=1.0)
    ada.r.fill_(1.0)
    for i in range(50):
        ada.drawn.fill_(100.0)
        ada.adapt(torch.tensor(1.0))
        assert float(ada.p) == pytest.approx((i + 1) * 100 / 10_000, abs=1e-5) and float(ada.drawn) == 0
    ada.r.fill_(-1.0)
    for i in range(60):
        ada.drawn.fill_(100.0)
        ada.adapt(torch.tensor(-1.0))
        assert float(ada.p) == pytest.approx(max(0.5 - (i + 1) / 100, 0.0), abs=1e-5)


def test_r_is_a_running_mean_and_p_turns_where_it_crosses() -> None:
    """With looks of 1, r = 1 - (7/8)^n: above 0.6 from the 7th on."""
    ada, p = AdaptiveAugment(ksamples=1.0), 0.0
    for n in range(1, 20):
        ada.drawn.fill_(8.0)
        ada.adapt(torch.tensor(1.0))
        assert float(ada.r) == pytest.approx(1 - (7 / 8) ** n)
        p += 0.008 if n >= 7 else 0.0
        assert float(ada.p) == pytest.approx(p, abs=1e-6)


def test_p_stops_at_its_ceiling() -> None:
    ada = AdaptiveAugment(ksamples=1.0, ceiling=0.3)
    for _ in range(30):
        ada.drawn.fill_(500.0)
        ada.adapt(torch.tensor(1.0))
    assert float(ada.p) == pytest.approx(0.3)


def test_a_fixed_p_is_used() -> None:
    x = noise(400, 1, 8)
    torch.manual_seed(3)
    out = AdaptiveAugment(p=0.4)(x)
    torch.manual_seed(3)
    assert torch.equal(out, augmented(x, 0.4)) and not AdaptiveAugment(p=0.4).adapts


def test_what_is_not_chosen_stays() -> None:
    x, on = noise(3, 1, 2), torch.tensor([True, False, True])
    out = chosen(on, torch.full_like(x, math.nan), x)
    assert torch.equal(out[1], x[1]) and out[0].isnan().all()
    assert FULL[:3] == BASIC
