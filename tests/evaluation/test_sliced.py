"""Sliced Wasserstein distance against scipy, closed forms and loops; ProGAN's form on images made worse by degrees."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d, gaussian_filter
from scipy.stats import wasserstein_distance
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.sliced import (
    PER_IMAGE,
    _matching,
    _patches,
    laplacian_pyramid,
    level_count,
    pyr_down,
    pyr_up,
    sliced_wasserstein,
    sliced_wasserstein_estimate,
    sliced_wasserstein_images,
)


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ features


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("n", "m"), [(50, 50), (50, 73), (64, 16), (2, 101)])
def test_one_dimension_is_scipys(n: int, m: int, seed: int) -> None:
    a, b = normal(n, 1, seed), 1.5 * normal(m, 1, seed + 10) + 0.3
    expected = wasserstein_distance(a[:, 0], b[:, 0])
    assert sliced_wasserstein(a, b, directions=7) == pytest.approx(expected, rel=1e-10)
    assert sliced_wasserstein(a.float(), b.float()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("p", [1, 2])
def test_unlike_sizes_are_matched_exactly(p: int, seed: int) -> None:
    """Every point of a 13 times and every point of b 8 times: equal sizes, the same laws, matched by rank."""
    a, b = normal(8, 5, seed), normal(13, 5, seed + 10) + 0.5
    whole = sliced_wasserstein(a.repeat(13, 1), b.repeat(8, 1), directions=20, p=p)
    assert sliced_wasserstein(a, b, directions=20, p=p) == pytest.approx(whole, rel=1e-10)
    assert sliced_wasserstein(a, a.repeat(3, 1), p=p) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (6, 4), (7, 11), (1000, 999)])
def test_matching_moves_all_mass_in_order(n: int, m: int) -> None:
    i, j, width = _matching(n, m)
    assert len(i) == n + m - math.gcd(n, m) and bool((width > 0).all())
    assert bool((i.diff() >= 0).all()) and bool((j.diff() >= 0).all())
    for ranks, count in ((i, n), (j, m)):
        mass = torch.zeros(count, dtype=torch.float64).index_add_(0, ranks, width)
        torch.testing.assert_close(mass, torch.full_like(mass, 1 / count), rtol=1e-12, atol=0)


@pytest.mark.parametrize("seed", range(3))
def test_gaussians(seed: int) -> None:
    """N(0, I) against N(0, 4 I): along any direction W1 = sqrt(2 / pi) and W2 = 1."""
    a, b = normal(20_000, 8, seed), 2 * normal(20_000, 8, seed + 10)
    assert sliced_wasserstein(a, b, directions=32) == pytest.approx(math.sqrt(2 / math.pi), rel=0.02)
    assert sliced_wasserstein(a, b, directions=32, p=2) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("seed", range(3))
def test_shift(seed: int) -> None:
    """Every direction sees |v . u|: mean |v| Gamma(D / 2) / (sqrt(pi) Gamma((D + 1) / 2)), mean square |v|^2 / D."""
    a, v = normal(60, 8, seed), normal(1, 8, seed + 10)
    size = float(v.norm())
    mean = size * math.gamma(4) / (math.sqrt(math.pi) * math.gamma(4.5))
    assert sliced_wasserstein(a, a + v, directions=4000) == pytest.approx(mean, rel=0.04)
    assert sliced_wasserstein(a, a + v, directions=4000, p=2) == pytest.approx(size / math.sqrt(8), rel=0.04)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_laws_of_a_distance(p: int, seed: int) -> None:
    a, b, c = normal(40, 6, seed), 2 * normal(55, 6, seed + 10), normal(30, 6, seed + 20) + 1

    def distance(x: Tensor, y: Tensor) -> float:
        return sliced_wasserstein(x, y, directions=64, seed=seed, p=p)

    assert distance(a, a.clone()) == 0 and distance(a, b) > 0
    assert distance(a, b) == pytest.approx(distance(b, a), rel=1e-12)
    assert distance(a, b) <= distance(a, c) + distance(c, b)
    for scale in (0.01, -1, 300):
        assert distance(scale * a, scale * b) == pytest.approx(abs(scale) * distance(a, b), rel=1e-10)
    shuffled = a[torch.randperm(40)], b[torch.randperm(55)]
    assert distance(*shuffled) == pytest.approx(distance(a, b), rel=1e-12)
    assert distance(a + 7, b + 7) == pytest.approx(distance(a, b), rel=1e-10)
    assert distance(a, b) <= sliced_wasserstein(a, b, directions=64, seed=seed, p=2) + 1e-12


def test_it_sees_what_mean_and_covariance_do_not() -> None:
    """Two points against a normal law of the same mean and variance."""
    a = normal(20_000, 1, 0)
    signs = normal(20_000, 1, 1).sign()
    assert sliced_wasserstein(a, signs, directions=1) > 10 * sliced_wasserstein(a, normal(20_000, 1, 2), directions=1)


def test_seeds_kinds_and_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = normal(30, 5, 0), normal(41, 5, 1)
    value = sliced_wasserstein(a, b, seed=3)
    assert sliced_wasserstein(a, b, seed=3) == value != sliced_wasserstein(a, b, seed=4)
    assert sliced_wasserstein(a.numpy(), b.numpy(), seed=3) == value
    assert sliced_wasserstein(a.float(), b.float(), seed=3) == pytest.approx(value, rel=1e-5)
    state = torch.get_rng_state()
    monkeypatch.setattr("gansmith.evaluation.sliced.BLOCK", 2000)
    assert sliced_wasserstein(a, b, seed=3) == pytest.approx(value, rel=1e-12)
    assert sliced_wasserstein_estimate(a, b, seed=3).value == pytest.approx(value, rel=1e-12)
    assert torch.equal(state, torch.get_rng_state()), "the global random state is left alone"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sliced_wasserstein(torch.zeros(5, 2), torch.zeros(5, 3)), "one extractor"),
        (lambda: sliced_wasserstein(torch.zeros(1, 2), torch.zeros(5, 2)), "at least 2"),
        (lambda: sliced_wasserstein(torch.zeros(5, 2), torch.zeros(5, 2), directions=0), "directions is 0"),
        (lambda: sliced_wasserstein_estimate(torch.zeros(5, 2), torch.zeros(5, 2), p=3), "p is 3"),
        (lambda: sliced_wasserstein(torch.full((5, 2), math.inf), torch.zeros(5, 2)), "not finite"),
    ],
)
def test_bad_features_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        call()


# ------------------------------------------------------------------ its standard error


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize(("n", "m"), [(100, 100), (150, 64)])
def test_interval_covers_for_unlike_laws(n: int, m: int, p: int) -> None:
    """The 95 % interval holds the long-run mean at this N in 90 to 99 of 100 draws, and the error is the true one."""
    found = []
    for seed in range(200):
        a, b = normal(n, 4, seed), 1.3 * normal(m, 4, seed + 1000) + 0.7
        found.append(sliced_wasserstein_estimate(a, b, directions=8, p=p))
    values = np.array([e.value for e in found])
    truth = values.mean()
    assert 0.9 <= np.mean([e.interval.low <= truth <= e.interval.high for e in found]) <= 0.99
    assert math.sqrt(np.mean([e.error**2 for e in found])) == pytest.approx(values.std(), rel=0.2)


@pytest.mark.parametrize("p", [1, 2])
def test_interval_for_equal_laws_is_wide_rather_than_narrow(p: int) -> None:
    found = [
        sliced_wasserstein_estimate(normal(150, 4, seed), normal(150, 4, seed + 1000), directions=16, p=p)
        for seed in range(100)
    ]
    values = np.array([e.value for e in found])
    truth = values.mean()
    assert sum(e.interval.low <= truth <= e.interval.high for e in found) >= 93
    assert 1 < math.sqrt(np.mean([e.error**2 for e in found])) / values.std() < 1.8


def test_error_by_hand() -> None:
    """a all 0, and b in one dimension: the distance is the mean of |b|, and few samples are left out one by one."""
    b = torch.tensor([[1.0], [2.0], [4.0], [9.0]], dtype=torch.float64)
    found = sliced_wasserstein_estimate(torch.zeros(4, 1), b)
    assert found == pytest.approx((4, float(b.std()) / 2), rel=1e-9)


# ------------------------------------------------------------------ the pyramid


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (1, 1, 64, 96), (2, 1, 28, 28)])
def test_pyramid_gives_the_images_back(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, dtype=torch.float64) * 2 - 1
    depth = 3 if shape[-1] != 28 else 2
    pyramid = laplacian_pyramid(x, depth)
    assert [level.shape[-2:] for level in pyramid] == [(shape[2] >> i, shape[3] >> i) for i in range(depth)]
    image = pyramid[-1]
    for level in reversed(pyramid[:-1]):
        image = level + pyr_up(image)
    torch.testing.assert_close(image, x, rtol=0, atol=1e-14)
    assert torch.equal(laplacian_pyramid(x, 1)[0], x)


def test_constants_and_slopes_hold_no_detail() -> None:
    flat = laplacian_pyramid(torch.full((1, 1, 32, 32), 0.7, dtype=torch.float64), 2)
    assert float(flat[0].abs().max()) < 1e-14 and float((flat[1] - 0.7).abs().max()) < 1e-14
    slope = torch.linspace(-1, 1, 64, dtype=torch.float64).expand(1, 1, 64, 64)
    assert float(laplacian_pyramid(slope, 2)[0][..., 8:-8, 8:-8].abs().max()) < 1e-14


def test_down_is_scipys_mirrored_filter() -> None:
    x = np.random.default_rng(0).normal(size=(12, 16))
    line = np.array([1, 4, 6, 4, 1]) / 16
    smooth = correlate1d(correlate1d(x, line, 0, mode="mirror"), line, 1, mode="mirror")
    np.testing.assert_allclose(pyr_down(torch.from_numpy(x)[None, None])[0, 0], smooth[::2, ::2], rtol=0, atol=1e-14)


def test_up_is_four_times_the_adjoint_away_from_borders() -> None:
    """<down x, y> = <x, up y> / 4."""
    x, y = torch.zeros(1, 1, 32, 32, dtype=torch.float64), torch.zeros(1, 1, 16, 16, dtype=torch.float64)
    x[..., 6:-6, 6:-6], y[..., 4:-4, 4:-4] = normal(20, 20, 0), normal(8, 8, 1)
    assert float((pyr_down(x) * y).sum()) == pytest.approx(float((x * pyr_up(y)).sum()) / 4, rel=1e-12)


def test_levels() -> None:
    counts = {
        8: 1,
        16: 1,
        28: 1,
        30: 1,
        32: 2,
        48: 2,
        50: 2,
        56: 2,
        64: 3,
        96: 3,
        128: 4,
        256: 5,
        1024: 7,
        31: 1,
        63: 1,
    }
    assert {size: level_count(size, size) for size in counts} == counts
    assert level_count(256, 32) == level_count(32, 256) == 2


# ------------------------------------------------------------------ ProGAN's form


def pictures(n: int, size: int, seed: int, channels: int = 1) -> Tensor:
    """Random images with edges and with detail at every scale, float32 in [-1, 1]."""
    random = np.random.default_rng(seed)
    noise = random.normal(size=(n, channels, size, size))
    layers = [s * gaussian_filter(noise, (0, 0, s, s)) for s in (0.0, 1.0, 2.0, 4.0)]
    edges = np.sign(gaussian_filter(random.normal(size=(n, channels, size, size)), (0, 0, 3, 3)))
    return torch.from_numpy(np.clip(0.5 * edges + 0.3 * sum(layers[1:]), -1, 1)).float()


def blurred(x: Tensor, sigma: float) -> Tensor:
    return torch.from_numpy(gaussian_filter(x.numpy(), (0, 0, sigma, sigma)))


@pytest.mark.parametrize("channels", [1, 3])
def test_equal_sets_have_exactly_zero(channels: int) -> None:
    x = pictures(6, 32, 0, channels)
    assert sliced_wasserstein_images(x, x.clone()) == ({32: 0, 16: 0}, 0)


@pytest.mark.parametrize("seed", range(3))
def test_blur_shows_at_the_finest_level_and_grows(seed: int) -> None:
    x = pictures(24, 32, seed)
    found = [sliced_wasserstein_images(x, blurred(x, sigma), seed=seed) for sigma in (0.4, 0.7, 1.0)]
    finest, coarse = ([f.levels[size] for f in found] for size in (32, 16))
    assert 0 < finest[0] < finest[1] < finest[2]
    assert all(f > 2 * c for f, c in zip(finest, coarse, strict=True))
    assert all(f.average == pytest.approx((f.levels[32] + f.levels[16]) / 2) for f in found)


@pytest.mark.parametrize("seed", range(3))
def test_noise_grows_and_other_images_of_the_law_are_near(seed: int) -> None:
    x, y = pictures(24, 28, seed), pictures(24, 28, seed + 10)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
    found = [sliced_wasserstein_images(x, (y + s * noise).clamp(-1, 1), seed=seed) for s in (0.0, 0.2, 0.4, 0.8)]
    averages = [f.average for f in found]
    assert averages == sorted(averages) and averages[3] > 2 * averages[0]
    assert found[0].levels.keys() == {28}


def test_brightness_and_contrast_are_not_seen_but_colour_mixing_is() -> None:
    """Each channel is normalised over the set; what the channels have to do with one another is not."""
    x = 0.5 * pictures(12, 16, 0, 3)
    assert sliced_wasserstein_images(x, 0.5 * x + 0.3).average < 1e-2
    grey = x.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    assert sliced_wasserstein_images(x, grey).average > 30


def test_larger_set_is_cut_and_places_follow_the_seed() -> None:
    x, y = pictures(8, 16, 0), pictures(5, 16, 1)
    value = sliced_wasserstein_images(x, y)
    assert value == sliced_wasserstein_images(x[:5], y)
    assert sliced_wasserstein_images(y, x).average == pytest.approx(value.average, rel=1e-6)
    assert value != sliced_wasserstein_images(x, y, seed=1)
    assert sliced_wasserstein_images(x.numpy(), y.double()).average == pytest.approx(value.average, rel=1e-4)


def test_blocks_of_images_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pictures(7, 32, 0), pictures(7, 32, 1)
    value = sliced_wasserstein_images(x, y)
    monkeypatch.setattr("gansmith.evaluation.sliced.IMAGES_AT_ONCE", 3)
    assert sliced_wasserstein_images(x, y).average == pytest.approx(value.average, rel=1e-5)


def test_patches_are_normalised_cuts_of_the_level() -> None:
    x = pictures(3, 32, 0, 2)
    generator = torch.Generator().manual_seed(0)
    top, left = (torch.randint(10, (3, PER_IMAGE), generator=generator) for _ in range(2))
    level = laplacian_pyramid(x, 2)[1]
    cuts = torch.stack(
        [level[n, :, t : t + 7, s : s + 7] for n in range(3) for t, s in zip(top[n], left[n], strict=True)]
    ).double()
    mean, std = cuts.mean((0, 2, 3), keepdim=True), cuts.std((0, 2, 3), correction=0, keepdim=True)
    expected = ((cuts - mean) / std).flatten(1)
    torch.testing.assert_close(_patches(x, 1, 2, top, left).double(), expected, rtol=0, atol=1e-5)


def test_distance_of_one_level_by_loop() -> None:
    """Channels alike and patches one place apart at 7 px: every patch is the whole image."""
    x, y = pictures(40, 7, 0), pictures(40, 7, 1)
    a, b = (((s - s.mean()) / s.std(correction=0)).flatten(1).double().numpy() for s in (x, y))
    random = np.random.default_rng(0)
    along = random.normal(size=(49, 4000))
    along /= np.linalg.norm(along, axis=0)
    expected = 1000 * np.abs(np.sort(a @ along, axis=0) - np.sort(b @ along, axis=0)).mean()
    assert sliced_wasserstein_images(x, y).average == pytest.approx(expected, rel=0.05)


def test_flat_images_give_no_rounding_noise() -> None:
    flat = torch.full((4, 3, 32, 32), 0.3)
    assert sliced_wasserstein_images(flat, flat + 0.1).average == 0
    collapsed = sliced_wasserstein_images(pictures(4, 32, 0, 3), flat)
    assert all(math.isfinite(v) and v > 100 for v in collapsed.levels.values())


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (torch.zeros(3, 1, 6, 32), torch.zeros(3, 1, 6, 32), "6 x 32 px are too small"),
        (torch.zeros(3, 1, 16, 16), torch.zeros(3, 3, 16, 16), "make them alike"),
        (torch.zeros(3, 1, 16, 16), torch.zeros(3, 1, 32, 32), "make them alike"),
        (torch.zeros(3, 256), torch.zeros(3, 256), "give images"),
        (torch.zeros(3, 1, 16, 16), torch.full((3, 1, 16, 16), 200.0), r"must lie in \[-1, 1\]"),
        (torch.zeros(1, 1, 16, 16), torch.zeros(3, 1, 16, 16), "real has 1 sample"),
    ],
)
def test_bad_images_are_refused(real: Tensor, fake: Tensor, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        sliced_wasserstein_images(real, fake)
