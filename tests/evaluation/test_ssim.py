"""MS-SSIM against closed forms, a loop over windows and another package; the diversity and its standard error."""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any

import numpy as np
import peers
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.ssim import (
    C1,
    WEIGHTS,
    _distinct_pairs,
    _error,
    images,
    ms_ssim,
    ms_ssim_diversity,
    scale_weights,
)


def pictures(n: int, size: int, seed: int, channels: int = 1, smooth: float = 2.0) -> Tensor:
    """Smooth random images, float64, full range."""
    noise = np.random.default_rng(seed).normal(size=(n, channels, size, size))
    x = gaussian_filter(noise, (0, 0, smooth, smooth))
    return torch.from_numpy(np.tanh(1.5 * x / x.std()))


# ------------------------------------------------------------------ one pair


@pytest.mark.parametrize("size", [11, 16, 28, 64, 176])
def test_identical_images_have_exactly_one(size: int) -> None:
    for x in (pictures(3, size, 0, 3), pictures(3, size, 1).float(), torch.zeros(2, 1, size, size)):
        assert ms_ssim(x, x.clone()).tolist() == [1.0] * len(x)


@pytest.mark.parametrize("seed", range(3))
def test_symmetric_between_zero_and_one_and_pairwise(seed: int) -> None:
    x, y = pictures(4, 48, seed, 3), pictures(4, 48, seed + 10, 3)
    y = 0.5 * x + 0.5 * y
    found = ms_ssim(x, y)
    torch.testing.assert_close(found, ms_ssim(y, x), rtol=1e-12, atol=0)
    assert found.shape == (4,) and bool(((found > 0) & (found < 1)).all())
    torch.testing.assert_close(found[2:3], ms_ssim(x[2:3], y[2:3]), rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [16, 40, 180])
@pytest.mark.parametrize(("a", "b"), [(-1, 1), (0, 0.5), (-0.5, -0.4)])
def test_constant_images_differ_in_luminance_alone(size: int, a: float, b: float) -> None:
    """(2 u v + C1) / (u^2 + v^2 + C1) with u, v from black, to the last scale's weight."""
    u, v = a + 1, b + 1
    expected = ((2 * u * v + C1) / (u * u + v * v + C1)) ** scale_weights(size, size)[-1]
    shape = (2, 3, size, size)
    found = ms_ssim(torch.full(shape, float(a)), torch.full(shape, float(b)))
    assert found.tolist() == pytest.approx([expected] * 2, rel=1e-6)


def test_negative_image_has_zero() -> None:
    x = pictures(2, 32, 0)
    assert ms_ssim(x, -x).tolist() == [0, 0]


def by_loop(a: np.ndarray, b: np.ndarray) -> float:
    """MS-SSIM of two images (H, W) in [-1, 1], window by window."""
    line = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    weights, result = scale_weights(*a.shape), 1.0
    a, b = (a + 1) / 2, (b + 1) / 2  # range 1
    for scale, weight in enumerate(weights):
        height, width = a.shape
        terms = []
        for top in range(height - 10):
            for left in range(width - 10):
                p, q = a[top : top + 11, left : left + 11], b[top : top + 11, left : left + 11]
                mp, mq = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - mp) ** 2).sum(), (window * (q - mq) ** 2).sum()
                contrast = (2 * (window * (p - mp) * (q - mq)).sum() + 0.03**2) / (vp + vq + 0.03**2)
                luminance = (2 * mp * mq + 0.01**2) / (mp**2 + mq**2 + 0.01**2)
                terms.append(contrast * luminance if scale == len(weights) - 1 else contrast)
        result *= max(0.0, float(np.mean(terms))) ** weight
        a, b = (
            x[: height // 2 * 2, : width // 2 * 2].reshape(height // 2, 2, width // 2, 2).mean((1, 3)) for x in (a, b)
        )
    return result


@pytest.mark.parametrize("size", [(13, 12), (28, 28), (45, 46)])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_a_loop_over_windows(size: tuple[int, int], seed: int) -> None:
    """One, two and three scales, odd sides among them."""
    noise = np.random.default_rng(seed).uniform(-1, 1, (2, *size))
    a, b = noise[0], 0.7 * noise[0] + 0.3 * noise[1]
    expected = by_loop(a, b)
    assert 0.1 < expected < 0.99
    assert float(ms_ssim(a[None, None], b[None, None])) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_torchmetrics(seed: int) -> None:
    """Their terms of each scale, window places inside the image alone, weighted as published.

    Their own product counts the mirrored border of the last scale too, where ours and the first authors' code keep
    inside: here that moves the value by less than a thousandth.
    """
    theirs = peers.torchmetrics("functional.image.ssim")
    x, y = pictures(1, 192, seed, 2), pictures(1, 192, seed + 10, 2)
    y = 0.8 * x + 0.2 * y
    u, v, product = x + 1, y + 1, torch.ones(1, dtype=torch.float64)
    settings: dict[str, Any] = {"data_range": 2.0, "reduction": "none"}
    for scale, weight in enumerate(WEIGHTS):
        ssim = theirs.structural_similarity_index_measure
        if scale < 4:
            term = ssim(u, v, return_contrast_sensitivity=True, **settings)[1]
        else:
            term = ssim(u, v, return_full_image=True, **settings)[1][..., 5:-5, 5:-5].mean((1, 2, 3))
        product = product * term**weight
        u, v = (torch.nn.functional.avg_pool2d(s, 2) for s in (u, v))
    torch.testing.assert_close(ms_ssim(x, y), product, rtol=1e-6, atol=0)
    whole = theirs.multiscale_structural_similarity_index_measure(x + 1, y + 1, **settings)
    torch.testing.assert_close(ms_ssim(x, y), whole, rtol=0, atol=1e-3)


def test_float32_is_worked_in_float64() -> None:
    x, y = pictures(2, 64, 0, 3).float(), pictures(2, 64, 1, 3).float()
    torch.testing.assert_close(ms_ssim(x, y), ms_ssim(x.double(), y.double()), rtol=1e-6, atol=1e-9)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pictures(7, 24, 0), pictures(7, 24, 1)
    whole, diversity = ms_ssim(x, y), ms_ssim_diversity(x, pairs=20)
    monkeypatch.setattr("gansmith.evaluation.ssim.BLOCK", 24 * 24 * 2)
    torch.testing.assert_close(ms_ssim(x, y), whole, rtol=1e-12, atol=0)
    assert ms_ssim_diversity(x, pairs=20) == pytest.approx(diversity, rel=1e-9)


def test_scales_hold_the_window() -> None:
    sizes = {11: 1, 16: 1, 21: 1, 22: 2, 28: 2, 32: 2, 43: 2, 44: 3, 64: 3, 88: 4, 128: 4, 175: 4, 176: 5, 1024: 5}
    assert {size: len(scale_weights(size, size)) for size in sizes} == sizes
    assert scale_weights(176, 500) == scale_weights(500, 176) == WEIGHTS
    for size in (16, 28, 64, 128):
        assert sum(scale_weights(size, size)) == pytest.approx(1)
    assert scale_weights(28, 28)[1] / scale_weights(28, 28)[0] == pytest.approx(WEIGHTS[1] / WEIGHTS[0])


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(2, 1, 10, 40), torch.zeros(2, 1, 10, 40), "10 x 40 px are too small"),
        (torch.zeros(2, 1, 16, 16), torch.zeros(2, 3, 16, 16), "equal shapes"),
        (torch.zeros(2, 1, 16, 16), torch.zeros(3, 1, 16, 16), "equal shapes"),
        (torch.zeros(2, 256), torch.zeros(2, 256), r"a has shape \(2, 256\)"),
        (torch.zeros(2, 1, 16, 16), torch.full((2, 1, 16, 16), 255, dtype=torch.uint8), "b has values from 255 to 255"),
        (torch.full((1, 1, 16, 16), math.nan), torch.zeros(1, 1, 16, 16), "not finite"),
    ],
)
def test_bad_images_are_refused(a: Tensor, b: Tensor, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        ms_ssim(a, b)


def test_images_keep_shape_and_kind() -> None:
    x = pictures(3, 8, 0, 3)
    for given in (x, x.numpy(), x.to(memory_format=torch.channels_last), x[:, :, ::2]):
        found = images(given, "x")
        assert found.dtype == torch.float64 and torch.equal(found, torch.as_tensor(given))


# ------------------------------------------------------------------ diversity


def test_collapsed_and_varied_sets() -> None:
    one, many = pictures(1, 32, 0), pictures(50, 32, 1)
    near = (one + 0.005 * torch.from_numpy(np.random.default_rng(0).normal(size=(50, 1, 32, 32)))).clamp(-1, 1)
    assert ms_ssim_diversity(one.repeat(50, 1, 1, 1)) == (1.0, 0.0)
    collapsed, varied = ms_ssim_diversity(near), ms_ssim_diversity(many)
    assert collapsed.value > 0.97 and varied.value < 0.2
    assert collapsed.interval.low > varied.interval.high
    two = ms_ssim_diversity(torch.cat([one, many[:1]]).repeat(25, 1, 1, 1))
    assert varied.value < two.value < collapsed.value, "half of the pairs are identical"


def test_all_pairs_when_more_are_asked_for() -> None:
    x = pictures(7, 16, 0)
    expected = np.mean([float(ms_ssim(x[i : i + 1], x[j : j + 1])) for i, j in combinations(range(7), 2)])
    for seed in range(3):
        assert ms_ssim_diversity(x, pairs=10_000, seed=seed).value == pytest.approx(expected, rel=1e-12)
    assert ms_ssim_diversity(x, pairs=8, seed=0) != ms_ssim_diversity(x, pairs=8, seed=1)
    assert ms_ssim_diversity(x, pairs=8, seed=0) == ms_ssim_diversity(x, pairs=8, seed=0)


@pytest.mark.parametrize("n", [4, 5, 8, 9, 30])
@pytest.mark.parametrize("seed", range(3))
def test_pairs_are_distinct_and_even(n: int, seed: int) -> None:
    every = n * (n - 1) // 2
    for count in (2, n // 2, n, n + 1, every - 1, every, every + 5):
        first, second = _distinct_pairs(n, count, torch.Generator().manual_seed(seed))
        found = {frozenset(p) for p in zip(first.tolist(), second.tolist(), strict=True)}
        assert len(first) == len(found) == min(count, every) and all(len(p) == 2 for p in found)
        uses = torch.bincount(torch.cat([first, second]), minlength=n)
        assert uses.max() - uses.min() <= 2
        assert count > n // 2 or uses.max() == 1


def test_every_pair_is_equally_likely() -> None:
    uses = torch.zeros(6, 6)
    for seed in range(3000):
        first, second = _distinct_pairs(6, 2, torch.Generator().manual_seed(seed))
        uses[first, second] += 1
    uses = (uses + uses.T)[np.triu_indices(6, 1)]
    assert uses.sum() == 6000 and uses.min() > 320 and uses.max() < 480


def test_error_of_disjoint_and_of_all_pairs() -> None:
    """Closed forms: s / sqrt(m) when nothing is shared; the U-statistic's unbiased variance over all pairs."""
    values = torch.tensor([1.0, 2.0, 4.0, 9.0], dtype=torch.float64)
    disjoint = _error(values, torch.tensor([0, 2, 4, 6]), torch.tensor([1, 3, 5, 7]), 8)
    assert disjoint == pytest.approx(float(values.std()) / 2)
    n, x = 12, np.random.default_rng(0).normal(size=12)
    i, j = np.triu_indices(n, 1)
    h = x[i] + x[j] + 0.3 * x[i] * x[j]
    u = h.mean()
    disjoint_products = [h[p] * h[q] for p in range(len(h)) for q in range(len(h)) if not {i[p], j[p]} & {i[q], j[q]}]
    expected = u**2 - np.mean(disjoint_products)  # U^2 less an unbiased estimate of (E h)^2
    found = _error(*(torch.from_numpy(s) for s in (h, i, j)), n)
    assert found**2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "pairs"), [(40, 20), (40, 60), (40, 780), (200, 1000)])
def test_error_is_that_of_repeated_draws(n: int, pairs: int) -> None:
    """A similarity with strong effects of single samples: pairs taken for independent would claim far too little."""
    random, means, errors, naive = np.random.default_rng(0), [], [], []
    for seed in range(400):
        x = torch.from_numpy(random.exponential(size=n))
        first, second = _distinct_pairs(n, pairs, torch.Generator().manual_seed(seed))
        h = (x[first] + 0.5) * (x[second] + 0.5)
        means.append(float(h.mean()))
        errors.append(_error(h, first, second, n))
        naive.append(float(h.std()) / math.sqrt(len(h)))
    spread = np.std(means)
    assert math.sqrt(np.mean(np.square(errors))) == pytest.approx(spread, rel=0.15)
    if pairs >= 5 * n:
        assert math.sqrt(np.mean(np.square(naive))) < 0.6 * spread


def test_error_is_never_less_than_that_of_independent_pairs() -> None:
    """Where single samples have no effect the estimated variance is below that, even negative, in half of the draws."""
    below = 0
    for seed in range(20):
        x = torch.from_numpy(np.random.default_rng(seed).normal(size=30))
        first, second = _distinct_pairs(30, 435, torch.Generator().manual_seed(seed))
        h = x[first] * x[second]
        independent = float(h.std()) / math.sqrt(435)
        error = _error(h, first, second, 30)
        assert error >= independent * (1 - 1e-12)
        below += error == pytest.approx(independent, rel=1e-9)
    assert 5 <= below <= 19


def test_interval_of_images_covers() -> None:
    """200 sets of 30 images of three kinds, 150 pairs each: the 95 % interval holds the long-run mean."""
    kinds = pictures(3, 16, 0)
    found = []
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        kind = torch.randint(3, (30,), generator=generator)
        noise = torch.randn(30, 1, 16, 16, generator=generator, dtype=torch.float64)
        found.append(ms_ssim_diversity((kinds[kind] + 0.2 * noise).clamp(-1, 1), pairs=150, seed=seed))
    truth = np.mean([e.value for e in found])
    assert np.mean([e.interval.low <= truth <= e.interval.high for e in found]) >= 0.9


@pytest.mark.parametrize(
    ("x", "pairs", "message"),
    [
        (torch.zeros(3, 1, 16, 16), 10, "3 samples: at least 4"),
        (torch.zeros(9, 1, 16, 16), 1, "2 pairs"),
        (torch.zeros(9, 1, 8, 8), 10, "too small"),
    ],
)
def test_sets_too_small_are_refused(x: Tensor, pairs: int, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        ms_ssim_diversity(x, pairs=pairs)
