"""galaxies: the pictures show their factors, as measured in them, and are made of the laws that they name."""

import numpy as np
import pytest
import torch
from scipy.special import gammainc, gammaincinv

from gansmith.data import galaxies, named, open_data
from gansmith.data.degrade import parse
from gansmith.data.galaxies import BANDS, COUNT, EXPONENTIAL, KINDS, RANGES, VAUCOULEURS, draw_factors, pixels, render
from gansmith.data.images import Images, open_images
from gansmith.data.prepare import options
from gansmith.data.telescope import PIXEL, fluxes, stretch
from gansmith.errors import GansmithError

Factors = dict[str, np.ndarray]


def only(count: int, **fixed: object) -> Factors:
    """Factors of `count` galaxies, some of them fixed; the flux follows."""
    factors = draw_factors(count)
    for name, value in fixed.items():
        factors[name] = np.broadcast_to(np.asarray(value), (count,)).astype(factors[name].dtype)
    factors["flux"] = 2 * np.pi * (factors["size"] / PIXEL) ** 2 * factors["brightness"]
    return factors


def moments(light: np.ndarray) -> tuple[np.ndarray, ...]:
    """Centre x and y, and second moments xx, yy and xy (y upwards), of images (n, H, W), pixels."""
    at = np.arange(light.shape[1]) + 0.5
    total = light.sum((1, 2))
    x, y = (light.sum(1) * at).sum(1) / total, (light.sum(2) * at).sum(1) / total
    dx, dy = at - x[:, None], y[:, None] - at
    xx, yy = (light.sum(1) * dx**2).sum(1) / total, (light.sum(2) * dy**2).sum(1) / total
    return x, y, xx, yy, np.einsum("nyx,nx,ny->n", light, dx, dy) / total


def sersic(r: np.ndarray, index: int) -> np.ndarray:
    """Share of the light of Sérsic's law within r half-light radii."""
    return gammainc(2 * index, gammaincinv(2 * index, 0.5) * r ** (1 / index))


# ---- factors


def test_the_factors_are_pinned() -> None:
    """Results of different times can be compared only while the same number gives the same picture."""
    factors = draw_factors(3)
    assert factors["kind"].tolist() == [1, 2, 0]
    assert np.allclose(factors["size"], [3.358120, 2.397149, 2.927664], atol=1e-6)
    image = pixels(factors)[1].astype(int)
    assert abs(image[32, 26:38:3, 1] - [42, 60, 163, 131]).max() <= 1


def test_the_factors_are_uniform_and_independent() -> None:
    factors = draw_factors(20_000)
    assert np.allclose(np.bincount(factors["kind"]) / 20_000, 1 / 3, atol=0.01)
    alone = factors["kind"] == 0
    assert (factors["bulge"][alone] == 1).all() and (factors["clumps"][alone] == 0).all()
    rest = {name: values[~alone] for name, values in factors.items()}
    for name, (low, high) in RANGES.items():
        values, ends = rest[name], np.array([low, high])
        if name in ("brightness", "size"):
            values, ends = np.log(values), np.log(ends)
        share = np.histogram(values, 10, tuple(ends))[0] / len(values)
        assert share.sum() == pytest.approx(1) and (abs(share - 0.1) < 0.012).all(), name
    correlation = np.corrcoef(np.stack([rest[name] for name in RANGES]))
    assert abs(correlation - np.eye(len(RANGES))).max() < 0.04


def test_the_first_images_are_the_same_for_any_count() -> None:
    few, many = draw_factors(5), draw_factors(50)
    assert all(np.array_equal(few[name], many[name][:5]) for name in few)
    assert np.array_equal(pixels(few), pixels({name: values[:5] for name, values in many.items()}))
    assert np.array_equal(pixels(few)[3:], pixels({name: values[3:5] for name, values in many.items()}))


# ---- what the pictures show


@pytest.mark.parametrize(("law", "index", "error"), [(EXPONENTIAL, 1, 2e-4), (VAUCOULEURS, 4, 4e-3)])
def test_the_laws(law: tuple[np.ndarray, np.ndarray], index: int, error: float) -> None:
    r = np.geomspace(0.05, 6, 50)
    share, sigma = law
    found = (share * (1 - np.exp(-0.5 * (r[:, None] / sigma) ** 2))).sum(1)
    wanted = sersic(r, 1) if index == 1 else sersic(0.9019 * r, 4) / sersic(np.float64(8), 4)  # cut off, so smaller
    assert share.sum() == pytest.approx(1, abs=1e-9) and abs(found - wanted).max() < error
    assert (share * (1 - np.exp(-0.5 / sigma**2))).sum() == pytest.approx(0.5, abs=2e-3)  # half within the radius


def test_flux_centre_and_shape_of_discs() -> None:
    factors = only(60, kind=1, bulge=0.0, clumps=0.0, size=1.7)
    light = render(factors, sky=0)[..., BANDS.index("r")]
    assert np.allclose(light.sum((1, 2)), factors["flux"], rtol=2e-3)
    x, y, xx, yy, xy = moments(light)
    assert abs(x - factors["x"]).max() < 0.03 and abs(y - factors["y"]).max() < 0.03
    seeing = (1.2 / 2.355 / PIXEL) ** 2
    mean, bar = (xx + yy) / 2 - seeing, np.hypot((xx - yy) / 2, xy)
    ratio = np.sqrt((mean - bar) / (mean + bar))
    assert abs(ratio - (1 - factors["ellipticity"])).max() < 0.02
    turn = np.rad2deg(np.arctan2(2 * xy, xx - yy) / 2) - factors["angle"]
    long = factors["ellipticity"] > 0.1
    assert abs((turn[long] + 90) % 180 - 90).max() < 1
    scale = np.sqrt(np.sqrt(mean**2 - bar**2) / 3) * 1.678 * PIXEL  # an exponential's second moment: 3 scale lengths^2
    assert np.allclose(scale, 1.7, rtol=0.03)


def test_the_seeing() -> None:
    factors = only(4, kind=0, bulge=1.0, size=0.001, ellipticity=0.0)
    for seeing in (0.8, 1.2, 2.4):
        *_, xx, yy, _ = moments(render(factors, seeing, sky=0)[..., 1])
        width = np.sqrt((xx + yy) / 2) * 2.355 * PIXEL
        assert np.allclose(width, seeing, rtol=0.01)


def test_the_noise() -> None:
    factors = draw_factors(40)
    noise = render(factors) - render(factors, sky=0)
    assert noise.std() == pytest.approx(0.02, rel=0.01) and abs(noise.mean()) < 2e-4
    assert abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.01
    assert abs(np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]) < 0.01
    assert (abs(noise) > 3 * 0.02).mean() == pytest.approx(0.0027, rel=0.2)  # normal
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.05
    assert np.allclose(render(factors, sky=0.1) - render(factors, sky=0), 5 * noise)


def test_the_colours() -> None:
    old, young = only(3, kind=0, bulge=1.0, clumps=0.0), only(3, kind=2, bulge=0.0, clumps=1.0)
    for factors, g_r, r_i in ((old, 0.80, 0.40), (young, 0.15, 0.05)):
        i, r, g = render(factors, sky=0).sum((1, 2)).T
        assert np.allclose(-2.5 * np.log10(g / r), g_r + factors["colour"])
        assert np.allclose(-2.5 * np.log10(r / i), r_i + factors["colour"] / 2)


def test_arms_and_rings() -> None:
    face_on = {"bulge": 0.0, "clumps": 1.0, "ellipticity": 0.0, "size": 2.0, "x": 32.0, "y": 32.0}
    at = np.arange(64) + 0.5 - 32
    far, angle = np.hypot(at, at[:, None]), np.arctan2(at[:, None], at)
    ring = render(only(30, kind=2, **face_on), sky=0)[..., 1]
    radius = 2.4 * 2.0 / PIXEL / 1.678
    inside = (ring * (abs(far - radius) < 4.5)).sum((1, 2)) / ring.sum((1, 2))
    assert inside.min() > 0.95
    spiral = render(only(60, kind=1, **face_on), sky=0)[..., 1]
    band = (far > 5) & (far < 8)  # within a narrow ring two arms are two maxima, opposite each other
    waves = [abs((spiral * band * np.exp(1j * m * angle)).sum((1, 2))) / (spiral * band).sum((1, 2)) for m in (1, 2, 3)]
    assert waves[1].mean() > 2 * waves[0].mean() and waves[1].mean() > 2 * waves[2].mean()
    assert waves[1].mean() > 0.3


def test_what_a_pixel_can_show() -> None:
    factors = draw_factors(60)
    light = render(factors, sky=0)
    assert (light.max((1, 2, 3)) > 4).mean() < 0.05
    assert (light[..., 1].sum((1, 2)) / factors["flux"]).min() > 0.8  # the rest lies beyond the border
    seen = fluxes(torch.from_numpy(pixels(factors)) / 127.5 - 1).numpy()
    noisy = render(factors)
    faint = abs(noisy) < 0.1
    assert abs(seen - noisy)[faint].max() < 0.004  # half a step of 1 / 255
    assert abs(torch.from_numpy(pixels(factors)) / 127.5 - 1 - stretch(torch.from_numpy(noisy))).max() < 0.5001 / 127.5


def test_a_worse_telescope() -> None:
    """As in GalaxyGAN: the background gets as noisy as asked for, though galaxies reach far into it."""
    factors = only(60, kind=1, bulge=0.1, size=2.4)
    x = torch.from_numpy(pixels(factors)).permute(0, 3, 1, 2) / 127.5 - 1
    for fwhm, noise in ((1.4, 1.2), (2.5, 1.0)):
        y = parse(f"telescope {fwhm} {noise}")(x)
        corners = [fluxes(z)[:, :, rows, columns] for z in (x, y) for rows in CORNER for columns in CORNER]
        before, after = (torch.cat(part, 2) for part in (corners[:4], corners[4:]))
        assert after.std() == pytest.approx(noise * before.std().item(), rel=0.05)
        total = fluxes(y).sum((2, 3)) / fluxes(x).sum((2, 3))
        assert abs(total.mean() - 1) < 0.05


CORNER = (slice(0, 8), slice(-8, None))


# ---- the set


def small(count: int = 60) -> Images:
    return open_images(galaxies.galaxies("kind", count), options(None, "crop", "white", None, True), None, False)


def test_the_set() -> None:
    data = small()
    assert data.spec.shape == (3, 64, 64) and data.spec.classes == KINDS and data.spec.fields == ("x", "y")
    assert data.spec.count + len(data.held_out) == 60 and not data.report.duplicates
    for fetch, factors in ((data.fetch, data.factors), (data.fetch_held_out, data.factors_held_out)):
        x, y = fetch(np.arange(len(factors["flux"])), ("x", "y"))
        again = torch.from_numpy(pixels(factors)).permute(0, 3, 1, 2) / 127.5 - 1
        assert torch.allclose(x, again, atol=1e-6) and y.tolist() == factors["kind"].tolist()
    assert named.NAMED["galaxies"].count == COUNT and not named.NAMED["galaxies"].packages


def test_it_is_drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "galaxies", lambda label: galaxies.galaxies(label, 30))
    first = open_data("galaxies", progress=False)

    def never(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(galaxies, "render", never)
    again = open_data("galaxies", progress=False)  # from the cache
    assert again.fingerprint == first.fingerprint and "drawn by gansmith" in str(again.info["licence"])


def test_an_unknown_label() -> None:
    with pytest.raises(GansmithError, match=r'galaxies has the labels kind, not "size"\. Choose one'):
        open_data("galaxies", labels="size", progress=False)
    with pytest.raises(GansmithError, match=r'galaxies has the label kind, not "kinds"\. Did you mean "kind"'):
        galaxies.galaxies("kinds")
