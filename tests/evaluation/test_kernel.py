"""Kernel distances: closed forms, brute force, other packages, no bias, intervals that cover, clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import peers
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.metrics.pairwise import rbf_kernel
from torch.overrides import TorchFunctionMode

from gansmith.errors import GansmithError
from gansmith.evaluation import kernel
from gansmith.evaluation.kernel import (
    KernelEstimate,
    Vary,
    draw_subsets,
    gaussian_estimate,
    gaussian_mmd,
    kernel_distance,
    kernel_distance_subsets,
    kernel_estimate,
)

SEEDS = (0, 1, 2)
D = 16


# ---- references


def cubic(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def brute(a: np.ndarray, b: np.ndarray, k: Callable[..., np.ndarray] = cubic) -> float:
    """MMD^2 as the paper writes it: means over different rows, the diagonals left out."""
    n, m = len(a), len(b)
    aa, bb = k(a, a), k(b, b)
    return float(
        (aa.sum() - np.trace(aa)) / (n * (n - 1)) + (bb.sum() - np.trace(bb)) / (m * (m - 1)) - 2 * k(a, b).mean()
    )


def biased(a: np.ndarray, b: np.ndarray, k: Callable[..., np.ndarray] = cubic) -> float:
    """The V-statistic: means over all pairs."""
    return float(k(a, a).mean() + k(b, b).mean() - 2 * k(a, b).mean())


def exact(shift: float) -> float:
    """MMD^2 of N(0, I) and N(m, I), with s = |m|^2 = D shift^2, from the first three moments of products of normals."""
    s = D * shift**2
    return 3 * s / D + 3 * s**2 / D**2 + (s**3 + 3 * s**2 + 3 * s * (s + D + 2)) / D**3


# ---- laws


def rows(n: int, seed: int, shift: float = 0.0, law: str = "round") -> np.ndarray:
    """N(shift, I), or features as networks make them: far from the origin, and few directions hold the spread."""
    x = np.random.default_rng(seed).normal(size=(n, D))
    return x + shift if law == "round" else x / np.arange(1, D + 1) + 1 + shift


@cache
def estimates(n: int, seed: int, shift: float = 0.0, law: str = "round", draws: int = 200) -> list[KernelEstimate]:
    """Of fresh samples of two laws, one of them shifted; in blocks that fit into the processor's cache."""
    start = 10_000 * (seed + 1)
    return [
        kernel_estimate(rows(n, start + 2 * i, 0.0, law), rows(n, start + 2 * i + 1, shift, law), block=256)
        for i in range(draws)
    ]


def holds(found: list[KernelEstimate], truth: float) -> int:
    return sum(low <= truth <= high for low, high in (e.interval for e in found))


def in_errors(values: list[float], truth: float = 0.0) -> float:
    """How far the mean is from the truth, in standard errors of the mean."""
    return abs(np.mean(values) - truth) / (np.std(values, ddof=1) / len(values) ** 0.5)


# ---- the value


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("block", [4, 37, 1024])
def test_equals_brute_force_in_any_blocks(seed: int, block: int) -> None:
    a, b = rows(53, seed), rows(37, seed + 100, 0.1)
    assert kernel_distance(a, b, block=block) == pytest.approx(brute(a, b), rel=1e-10)
    assert kernel_distance(b, a, block=block) == pytest.approx(brute(a, b), rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("mean", "spread"), [(0, 1), (30, 1), (1000, 1), (0.4, 0.3)])
def test_holds_its_digits_where_float32_does_not(seed: int, mean: float, spread: float) -> None:
    a, b = (np.float32(mean + spread * rows(60, seed + i)) for i in range(2))
    truth = brute(np.longdouble(a), np.longdouble(b))
    assert kernel_distance(a, b) == pytest.approx(truth, rel=1e-6)
    if mean:
        assert brute(a, b) != pytest.approx(truth, rel=1e-6)


def test_order_of_rows_and_kind_of_array_do_not_matter() -> None:
    a, b = rows(300, 0).astype(np.float32), rows(200, 1, 0.2).astype(np.float32)
    truth = kernel_estimate(a, b, block=64)
    for seed in SEEDS:
        shuffle = np.random.default_rng(seed).permutation
        found = kernel_estimate(torch.from_numpy(shuffle(a)), shuffle(b), block=64)
        np.testing.assert_allclose(np.hstack(found), np.hstack(truth), rtol=1e-9)
    assert kernel_distance(a, b) == pytest.approx(truth.value, rel=1e-12)
    assert kernel_distance(a.reshape(300, 4, 4), b.reshape(200, 1, 16)) == kernel_distance(a, b)
    assert kernel_distance(a, rows(200, 1, 0.3)) != pytest.approx(truth.value, rel=0.1)


def test_the_same_array_twice_is_two_sets() -> None:
    """Then the mean across holds the pairs of each row with itself, and the value is below 0."""
    a = rows(50, 0)
    assert kernel_distance(a, a) == pytest.approx(brute(a, a)) and brute(a, a) < 0
    t = torch.from_numpy(a)
    assert kernel_distance(t, t) == pytest.approx(brute(a, a))


class Largest(TorchFunctionMode):
    """Notes the elements of the largest tensor that any function of torch returns."""

    size = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            self.size = max(self.size, out.numel())
        return out


def test_no_tensor_grows_with_the_square_of_the_rows() -> None:
    a, b = rows(300, 0), rows(400, 1)
    for measure in (kernel_estimate, gaussian_estimate):
        with Largest() as seen:
            measure(a, b, block=80)
        assert seen.size == 400 * D  # the input itself, or a block's kernel values: as many
    with Largest() as seen:
        kernel_estimate(a, b, block=1000)
    assert seen.size == 400 * 400


# ---- no bias


@pytest.mark.parametrize("law", ["round", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_laws_give_0_on_average_at_100(seed: int, law: str) -> None:
    values = [e.value for e in estimates(100, seed, law=law)]
    assert in_errors(values) <= 3
    assert 0.3 < np.mean(np.less(values, 0)) < 0.8


def test_equal_laws_give_0_on_average_at_1000() -> None:
    assert in_errors([e.value for e in estimates(1000, 0, draws=100)]) <= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_the_biased_form_does_not(seed: int) -> None:
    values = [biased(rows(100, 2 * i), rows(100, 2 * i + 1)) for i in range(1000 * seed, 1000 * seed + 200)]
    assert in_errors(values) > 20 and min(values) > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_shifted_normals_give_the_closed_form_on_average(seed: int) -> None:
    values = [e.value for e in estimates(100, seed, 0.5)]
    assert in_errors(values, exact(0.5)) <= 3
    assert in_errors(values, 1.05 * exact(0.5)) > 3


# ---- intervals


@pytest.mark.parametrize("shift", [0, 0.2, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_hold_the_truth_at_100(seed: int, shift: float) -> None:
    assert 90 <= holds(estimates(100, seed, shift)[:100], exact(shift)) <= 99


@pytest.mark.parametrize("shift", [0, 0.1, 0.5])
@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_hold_the_long_run_mean_where_few_directions_count(seed: int, shift: float) -> None:
    truth = np.mean([e.value for s in SEEDS for e in estimates(100, s, shift, "long")]) if shift else 0.0
    assert 90 <= holds(estimates(100, seed, shift, "long")[:100], float(truth)) <= 99


@pytest.mark.parametrize("seed", SEEDS)
def test_equal_reach_on_both_sides_would_hold_0_always_and_the_truth_too_seldom(seed: int) -> None:
    """Why the interval is not the value +- 1.96 errors."""
    near, nearer = estimates(100, seed, 0.1, "long"), estimates(100, seed, law="long")
    truth = np.mean([e.value for s in SEEDS for e in estimates(100, s, 0.1, "long")])
    assert all(abs(e.value) <= 1.96 * e.error for e in nearer)
    assert np.mean([abs(e.value - truth) <= 1.96 * e.error for e in near]) < 0.91


def test_intervals_hold_0_at_1000() -> None:
    assert 90 <= holds(estimates(1000, 0, draws=100), 0) <= 99


def delete_one(a: np.ndarray, b: np.ndarray) -> float:
    """Variance by the plain jackknife: the value again without each row in turn."""
    without_a = [brute(np.delete(a, i, 0), b) for i in range(len(a))]
    without_b = [brute(a, np.delete(b, i, 0)) for i in range(len(b))]
    return sum((len(found) - 1) * float(np.var(found)) for found in (without_a, without_b))


def second_order(a: np.ndarray, b: np.ndarray) -> float:
    """The variance that pairs alone make, from matrices written out."""

    def within(x: np.ndarray) -> float:
        n, k = len(x), cubic(x, x)
        np.fill_diagonal(k, 0)
        one = k.sum(1) / (n - 2)
        h = k - one - one[:, None] + k.sum() / ((n - 1) * (n - 2))
        np.fill_diagonal(h, 0)
        return float((h**2).sum()) / (n * (n - 3)) * 2 / (n * (n - 1))

    n, m, k = len(a), len(b), cubic(a, b)
    h = k - k.mean(0) - k.mean(1)[:, None] + k.mean()
    return within(a) + within(b) + float((h**2).sum()) / ((n - 1) * (m - 1)) * 4 / (n * m)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("shift", "origin", "larger"), [(0.0, 0, False), (1.0, 0, True), (0.0, 1000, False)])
def test_error_is_the_jackknife_less_what_it_counts_twice(seed: int, shift: float, origin: float, larger: bool) -> None:
    """Far from the origin too, where the kernel's values agree in twelve digits."""
    a, b = np.longdouble(rows(14, seed) + origin), np.longdouble(rows(11, seed + 100, shift) + origin)
    plain, pairs = delete_one(a, b), second_order(a, b)
    assert plain > 2 * pairs or not larger
    found = kernel_estimate(a.astype(float), b.astype(float), block=5)
    assert found.error**2 == pytest.approx(max(pairs, plain - pairs), rel=1e-6)


def test_the_plain_jackknife_counts_pairs_twice() -> None:
    """For equal laws its variance is twice the true one; ours is near it."""
    pairs = [(rows(20, 2 * i), rows(20, 2 * i + 1)) for i in range(200)]
    found = [kernel_estimate(a, b) for a, b in pairs]
    true = np.var([e.value for e in found], ddof=1)
    assert np.mean([e.error**2 for e in found]) == pytest.approx(true, rel=0.4)
    assert 1.7 < np.mean([delete_one(a, b) for a, b in pairs]) / true < 2.5


@pytest.mark.parametrize("seed", SEEDS)
def test_error_is_the_spread_of_the_values_where_laws_differ(seed: int) -> None:
    found = estimates(100, seed, 0.5)
    assert np.mean([e.error for e in found]) == pytest.approx(np.std([e.value for e in found]), rel=0.15)


def test_pairs_alone_cover_too_little_where_laws_differ() -> None:
    narrow = [e.value for e in estimates(100, 0, 0.5)]
    error = second_order(rows(100, 0), rows(100, 1, 0.5)) ** 0.5
    assert sum(abs(v - exact(0.5)) < 1.96 * error for v in narrow[:100]) < 80


@pytest.mark.parametrize(
    ("distance", "second", "slope", "interval"),
    [
        (0, 1, 0, (-1.96, 1.96)),
        (5, 1, 0, (3.04, 6.96)),
        (-5, 1, 1, (-6.96, -3.04)),
        (0, 0, 1, (0, 1.96**2)),  # t^2 = 1.96^2 t
        (1, 1, 2, (-0.96, 9.96797)),  # (t - 1)^2 = 1.96^2 (1 + 2 t)
        (100, 1, 4, (67.69, 147.68)),
    ],
)
def test_interval_by_hand(distance: float, second: float, slope: float, interval: tuple[float, float]) -> None:
    found = kernel._score_interval(distance, second, slope)
    assert found == pytest.approx(interval, rel=2e-3)
    for end in found:
        assert (distance - end) ** 2 == pytest.approx(1.959964**2 * (second + slope * max(end, 0)), rel=1e-6)


@pytest.mark.parametrize(
    ("distance", "biased", "jackknife", "second", "slope"),
    [
        (-1, 1, 1.5, 1, 1.5),  # below the noise: 1.5 / 1
        (100, 104, 208, 1, 2.06),  # far above it: (208 - 2) / 100
        (0.001, 1, 2.1, 1, 8**0.5),  # never more than one direction alone would give, or 100 here
        (0, 0, 0, 0, 0),
    ],
)
def test_slope_by_hand(distance: float, biased: float, jackknife: float, second: float, slope: float) -> None:
    assert kernel._slope(distance, biased, jackknife, second) == pytest.approx(slope)


def given(b: np.ndarray) -> float:
    """Mean of the value over fresh a of the law N(0, I), with this b."""
    k = cubic(b, b)
    np.fill_diagonal(k, 0)
    across = 1 + 3 * np.square(b).sum(1) / D**2
    return float(1 + 3 / D + k.sum() / (len(b) * (len(b) - 1)) - 2 * across.mean())


@pytest.mark.parametrize("seed", SEEDS)
def test_interval_against_a_fixed_reference(seed: int) -> None:
    """It is for the mean against this very reference, and narrower than one for two fresh sets."""
    b = rows(60, seed)
    fresh = [rows(200, 1000 * (seed + 1) + i) for i in range(100)]
    found = [kernel_estimate(a, b, vary="a") for a in fresh]
    swapped = [kernel_estimate(b, a, vary="b") for a in fresh]
    assert 90 <= holds(found, given(b)) <= 99
    np.testing.assert_allclose([np.hstack(e) for e in swapped], [np.hstack(e) for e in found], rtol=1e-9)
    both = [kernel_estimate(a, b) for a in fresh]
    assert holds(both, given(b)) == 100
    assert np.mean([e.error for e in found]) < 0.7 * np.mean([e.error for e in both])


def test_far_apart_the_two_sides_add_up() -> None:
    a, b = rows(300, 0), rows(200, 1, 1.0)
    one, other, both = (kernel_estimate(a, b, vary=vary).error ** 2 for vary in ("a", "b", "both"))
    assert both == pytest.approx(one + other, rel=0.02)


@pytest.mark.parametrize("vary", ["both", "a", "b"])
def test_far_apart_the_interval_is_the_value_and_its_errors(vary: Vary) -> None:
    """Also where the fixed set is small, and its own noise much larger than the error."""
    a, b = rows(2000 if vary != "b" else 20, 0), rows(2000 if vary != "a" else 20, 1, 3.0)
    value, error, (low, high) = kernel_estimate(a, b, vary=vary)
    assert ((value - low) / error, (high - value) / error) == pytest.approx((1.96, 1.96), rel=0.1)


# ---- subsets, and other packages


def test_subsets_are_drawn_without_repeats_and_by_the_seed() -> None:
    drawn = draw_subsets(40, 30, subsets=20, size=30, seed=3)
    assert len(drawn) == 20
    for i, j in drawn:
        assert len(set(i.tolist())) == len(set(j.tolist())) == 30 and i.max() < 40 and j.max() < 30
    again = draw_subsets(40, 30, subsets=20, size=30, seed=3)
    assert all(torch.equal(i, k) and torch.equal(j, m) for (i, j), (k, m) in zip(drawn, again, strict=True))
    assert not torch.equal(drawn[0][0], draw_subsets(40, 30, size=30, subsets=1, seed=4)[0][0])
    assert not torch.equal(drawn[0][0], drawn[1][0])
    same = draw_subsets(30, 30, subsets=1, size=10)[0]
    assert not torch.equal(*same)  # rows of one set do not meet the same rows of the other


@pytest.mark.parametrize("seed", SEEDS)
def test_subsets_are_averaged_as_torch_fidelity_does(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole protocol with torch-fidelity's own drawing; it must be told apart from another drawing."""
    metric = peers.torch_fidelity("metric_kid")
    a, b = (torch.from_numpy(rows(300, seed + i, 0.1 * i)) for i in range(2))
    settings = {"kid_subsets": 12, "kid_subset_size": 90, "rng_seed": seed, "verbose": False}
    theirs = metric.kid_features_to_metric(a, b, **settings)
    drawing = np.random.RandomState(seed)
    numbers = [tuple(torch.from_numpy(drawing.choice(300, 90, replace=False)) for _ in "ab") for _ in range(12)]
    ours = kernel_distance_subsets(a, b, subsets=12, size=90, seed=seed)
    assert ours.mean != pytest.approx(theirs[metric.KEY_METRIC_KID_MEAN], rel=1e-6)
    monkeypatch.setattr(kernel, "draw_subsets", lambda *_, **__: numbers)
    ours = kernel_distance_subsets(a, b, subsets=12, size=90)
    assert ours.mean == pytest.approx(theirs[metric.KEY_METRIC_KID_MEAN], rel=1e-9)
    assert ours.std == pytest.approx(theirs[metric.KEY_METRIC_KID_STD], rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_agrees_with_other_packages_on_the_same_subsets(seed: int) -> None:
    fidelity, metrics = peers.torch_fidelity("metric_kid"), peers.torchmetrics("image.kid")
    a, b = (torch.from_numpy(rows(300, seed + i, 0.1 * i)) for i in range(2))
    drawn = draw_subsets(300, 300, subsets=10, size=80, seed=seed)
    theirs = [fidelity.kernel_mmd(a[i].numpy(), b[j].numpy()) for i, j in drawn]
    others = [float(metrics.poly_mmd(a[i], b[j])) for i, j in drawn]
    ours = kernel_distance_subsets(a, b, subsets=10, size=80, seed=seed)
    assert ours == pytest.approx((np.mean(theirs), np.std(theirs)), rel=1e-9)
    assert ours == pytest.approx((np.mean(others), np.std(others)), rel=1e-9)


def test_subsets_of_everything_give_the_exact_value() -> None:
    a, b = rows(50, 0), rows(50, 1, 0.3)
    mean, std = kernel_distance_subsets(a, b, subsets=3, size=50)
    assert mean == pytest.approx(kernel_distance(a, b), rel=1e-10) and std < 1e-12


def test_subsets_scatter_about_the_exact_value() -> None:
    a, b = rows(400, 0), rows(400, 1, 0.3)
    mean, std = kernel_distance_subsets(a, b, subsets=200, size=100)
    assert abs(mean - kernel_distance(a, b)) < 4 * std / 200**0.5 and std > 0


# ---- the Gaussian kernel of CMMD


def directions(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("sigma", [0.5, 10.0])
def test_gaussian_equals_the_definition(seed: int, sigma: float) -> None:
    """Against scipy's distances, and scikit-learn's kernel as torch-fidelity and others call it."""
    a, b = rows(70, seed), rows(50, seed + 100, 0.2)
    u, v = directions(a), directions(b)
    truth = 1000 * biased(u, v, lambda x, y: np.exp(-cdist(x, y, "sqeuclidean") / (2 * sigma**2)))
    assert gaussian_mmd(a, b, sigma=sigma, block=13) == pytest.approx(truth, rel=1e-8)
    assert 1000 * biased(u, v, lambda x, y: rbf_kernel(x, y, 1 / (2 * sigma**2))) == pytest.approx(truth, rel=1e-8)
    assert gaussian_mmd(a, b, sigma=2 * sigma) != pytest.approx(truth, rel=0.1)


def test_gaussian_sees_directions_alone() -> None:
    a, b = rows(40, 0), rows(40, 1, 0.2)
    lengths = np.random.default_rng(2).uniform(0.01, 100, (40, 1))
    assert gaussian_mmd(a * lengths, b) == pytest.approx(gaussian_mmd(a, b), rel=1e-9)
    assert kernel_distance(a * lengths, b) != pytest.approx(kernel_distance(a, b), rel=0.1)
    assert gaussian_mmd(a, a) == pytest.approx(0, abs=1e-9)
    assert gaussian_mmd(a, b[::-1].copy()) == pytest.approx(gaussian_mmd(a, b), rel=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shift", [0, 0.5])
def test_gaussian_intervals_hold_the_long_run_mean(seed: int, shift: float) -> None:
    """Of the biased value at this N, which is above 0 for equal laws."""
    start = 10_000 * (seed + 1)
    found = [gaussian_estimate(rows(100, start + 2 * i), rows(100, start + 2 * i + 1, shift)) for i in range(200)]
    assert 90 <= holds(found[:100], float(np.mean([e.value for e in found]))) <= 99
    if not shift:
        assert holds(found[:100], 0) < 50


# ---- refusals

FINE = rows(6, 0)
HOLED = np.where(np.arange(6)[:, None] == 2, np.nan, FINE)
ZEROED = np.where(np.arange(6)[:, None] == 4, 0, FINE)
MEASURES = (kernel_distance, kernel_estimate, gaussian_mmd, gaussian_estimate, kernel_distance_subsets)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (FINE, HOLED, "b has a value that is not finite .* in row 2"),
        (FINE[:1], FINE, "a has 1 sample: at least"),
        (FINE, FINE[:, :3], "a has 16 columns and b has 3"),
        ("faces", FINE, "a must be an array of numbers"),
    ],
)
def test_bad_sets_are_refused(measure: Callable[..., Any], a: Any, b: Any, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        measure(a, b)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kernel_estimate(FINE[:3], FINE), "a has 3 samples: at least 4"),
        (lambda: kernel_estimate(FINE, FINE, vary="c"), "vary is 'c'"),
        (lambda: kernel_distance(FINE, FINE, block=0), "block is 0"),
        (lambda: kernel_distance_subsets(FINE, FINE), "1000 samples cannot be drawn from 6 and 6"),
        (lambda: kernel_distance_subsets(FINE, FINE, subsets=0, size=3), "0 subsets of 3"),
        (lambda: kernel_distance_subsets(FINE, FINE, size=1), "100 subsets of 1"),
        (lambda: gaussian_mmd(FINE, ZEROED), "b has only zeros in row 4"),
        (lambda: gaussian_mmd(FINE, FINE, sigma=0), "sigma is 0"),
        (lambda: gaussian_mmd(FINE, FINE, sigma=float("inf")), "sigma is inf"),
    ],
)
def test_bad_settings_are_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        call()
