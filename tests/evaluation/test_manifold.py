"""Precision, recall, density, coverage, realism and the 1-NN test: by hand, against prdc and brute force, and what they
are meant to tell; their standard errors against repeated draws; their memory."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gansmith.errors import GansmithError
from gansmith.evaluation import manifold as module
from gansmith.evaluation import neighbours
from gansmith.evaluation.manifold import (
    Manifold,
    density_coverage,
    manifold,
    manifold_estimates,
    precision_recall,
    realism,
    two_sample_accuracy,
)
from gansmith.evaluation.neighbours import nearest

SEEDS = [0, 1, 2]


def draw(seed: int, n: int, d: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def features(seed: int, n: int, d: int) -> Tensor:
    """Positive and with a mean, as the last layer of a network gives them."""
    g = torch.Generator().manual_seed(1000 + seed)
    mix = torch.randn(8, d, generator=torch.Generator().manual_seed(99))
    return (torch.randn(n, 8, generator=g) @ mix + torch.randn(n, d, generator=g)).relu()


def brute(x: Tensor, y: Tensor) -> Tensor:
    """All distances, by differences, in the type of x."""
    return (x.double()[:, None] - y.double()).square().sum(2).sqrt().to(x.dtype)


def reference(real: Tensor, fake: Tensor, k: int) -> Manifold:
    """The four from whole matrices."""
    d = brute(real, fake)
    r, s = (brute(x, x).sort(1).values[:, k] for x in (real, fake))
    inside = (d < r[:, None]).double()
    return Manifold(
        precision=float((d <= r[:, None]).any(0).double().mean()),
        recall=float((d <= s).any(1).double().mean()),
        density=float(inside.sum(0).mean() / k),
        coverage=float(inside.amax(1).mean()),
    )


def prdc(real: Tensor, fake: Tensor, k: int) -> Manifold:
    package = pytest.importorskip("prdc")
    with contextlib.redirect_stdout(io.StringIO()):
        found = package.compute_prdc(real.numpy(), fake.numpy(), nearest_k=k)
    return Manifold(**{name: float(value) for name, value in found.items()})


# ---- by hand and against others


def test_by_hand_with_ties() -> None:
    """Radii of the reals 0, 1, 3 are 1, 1, 2; of the fakes -1, 1, 5.5 they are 2, 2, 4.5.

    Fake -1 is on the rim of 0's ball; 1 is inside 1's and on the rims of the others'; 5.5 is outside all. Real 0 is
    inside two balls, 1 too, 3 in that of 5.5 (and on the rim of 1's).
    """
    real, fake = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[-1.0], [1.0], [5.5]])
    assert manifold(real, fake, 1) == pytest.approx((2 / 3, 1.0, 1 / 3, 1 / 3))
    assert precision_recall(real, fake, 1) == pytest.approx((2 / 3, 1.0))
    assert density_coverage(real, fake, 1) == pytest.approx((1 / 3, 1 / 3))
    assert precision_recall(fake, real, 1) == pytest.approx((1.0, 2 / 3))


def test_the_rim_is_inside_here_and_outside_in_prdc() -> None:
    real, fake = torch.tensor([[0.0], [1.0], [3.0], [6.0]]), torch.tensor([[-1.0], [9.0], [12.0], [15.0]])
    ours, theirs = manifold(real, fake, 1), prdc(real, fake, 1)
    assert (ours.precision, theirs.precision) == (0.5, 0)  # -1 is at exactly 0's radius, 9 at 6's
    assert ours[2:] == theirs[2:]


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("seed", SEEDS)
def test_as_prdc(seed: int, k: int) -> None:
    real, fake = features(seed, 400, 64), features(seed + 50, 300, 64) * 0.9
    ours, theirs = manifold(real, fake, k), prdc(real, fake, k)
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert all(0.05 < value < 0.99 for value in ours[:2])  # nothing saturated
    assert precision_recall(real, fake, k) == pytest.approx(theirs[:2], abs=1e-6)
    assert density_coverage(real, fake, k) == pytest.approx(theirs[2:], abs=1e-6)
    wide = manifold(real.double(), fake.double(), k)
    assert wide == pytest.approx(prdc(real.double(), fake.double(), k), abs=1e-6)


@given(
    st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=3, max_size=25),
    st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=3, max_size=25),
    st.integers(1, 2),
    st.integers(5, 26),
)
@settings(max_examples=50)
def test_ties_and_duplicates_on_a_grid(
    real: list[tuple[int, int]], fake: list[tuple[int, int]], k: int, block: int
) -> None:
    x, y = torch.tensor(real).float(), torch.tensor(fake).float()
    assert manifold(x, y, k, block=block) == pytest.approx(reference(x, y, k), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_far_clusters_with_a_large_mean(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Balls far smaller than float32's error, and the same when products are float32 all the same."""
    real, fake = draw(seed, 150, 4) * 1e-3, draw(seed + 9, 140, 4) * 1e-3
    real[::2] += 700
    fake[::3] += 700
    expected = reference(real, fake, 4)
    assert manifold(real, fake, 4) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(neighbours, "_pass_type", lambda *args: torch.float32)
    assert manifold(real, fake, 4) == pytest.approx(expected, abs=1e-12)
    monkeypatch.setattr(neighbours, "slack", lambda kind, width: 0.0)  # trust float32: wrong
    assert manifold(real, fake, 4) != pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("seed", SEEDS)
def test_order_blocks_and_scale_do_not_matter(seed: int) -> None:
    real, fake = features(seed, 130, 12), features(seed + 4, 110, 12)
    whole = manifold(real, fake, 3)
    mixed = manifold(real[draw(seed, 130, 1)[:, 0].argsort()], fake.flip(0), 3, block=17)
    assert mixed == whole == manifold(real * 1024, fake * 1024, 3)


def test_two_samples_each_are_enough() -> None:
    assert manifold([[0.0], [1.0]], [[0.5], [9.0]], 1) == (0.5, 1.0, 1.0, 1.0)


# ---- what they tell (spec 31.5)


def classes(seed: int, each: int, wanted: range) -> Tensor:
    """Ten round classes on a circle of radius 10."""
    angle = torch.tensor([2 * math.pi * c / 10 for c in wanted]).repeat_interleave(each)
    return 10 * torch.stack([angle.cos(), angle.sin()], 1) + 0.3 * draw(seed, len(angle), 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_half_of_the_classes(seed: int) -> None:
    real = classes(seed, 80, range(10))
    copies = manifold(real, real[:400], 3)
    assert (copies.precision, copies.recall) == (1, 0.5)
    assert copies.coverage == 0.5
    fresh = manifold(real, classes(seed + 20, 160, range(5)), 3)
    assert fresh.precision > 0.93 and fresh.recall == pytest.approx(0.5, abs=0.05)
    assert fresh.coverage == pytest.approx(0.5, abs=0.05)
    swapped = manifold(classes(seed + 20, 160, range(5)), real, 3)
    assert swapped.precision == pytest.approx(0.5, abs=0.05) and swapped.recall > 0.93


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_lowers_precision(seed: int) -> None:
    real, clean = features(seed, 300, 16), features(seed + 7, 300, 16)
    found = [manifold(real, clean + size * draw(seed, 300, 16), 3) for size in (0.0, 1.0, 20.0)]
    precision, _, density, coverage = zip(*found, strict=True)
    assert precision[0] > precision[1] > precision[2] == 0
    assert density[0] > density[1] > density[2] == 0
    assert coverage[0] > coverage[1] > coverage[2] == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outlier_inflates_precision_but_not_density(seed: int) -> None:
    """Fakes half-way to one far real: its ball makes all of them precise; each lies in that one of k balls."""
    real, fake = draw(seed, 200, 2), draw(seed + 1, 200, 2) + torch.tensor([50.0, 0])
    before = manifold(real, fake, 5)
    real[0] = torch.tensor([100.0, 0])
    after = manifold(real, fake, 5)
    assert before.precision == before.density == before.coverage == 0
    assert after.precision == 1
    assert after.density == pytest.approx(1 / 5) and after.coverage == 1 / 200
    assert (realism(real, fake, 5) < 0.2).all()


def test_copies_of_the_reals() -> None:
    real = features(0, 100, 8)
    found = manifold(real, real.clone(), 5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)


def test_balls_that_are_points() -> None:
    """Every real three times: radius 0 for k = 2. A copy is in the closed ball, and in no open one."""
    real = draw(0, 20, 3).repeat(3, 1)
    assert manifold(real, real[:20], 2) == (1, 1, 0, 0)
    assert manifold(real, real[:20] + 0.01, 2).precision == 0


# ---- standard errors


def test_estimates_have_the_same_values() -> None:
    real, fake = features(0, 150, 8), features(3, 120, 8)
    for seed in SEEDS:
        assert tuple(e.value for e in manifold_estimates(real, fake, 4, seed=seed)) == manifold(real, fake, 4)
    errors = [tuple(e.error for e in manifold_estimates(real, fake, 4, seed=seed)) for seed in (0, 0, 1)]
    assert errors[0] == errors[1] != errors[2]


def test_errors_are_the_spread_between_halves() -> None:
    """Each halving by itself: the measure of one half of both sets less that of the other half."""
    real, fake = draw(0, 60, 2), draw(1, 50, 2)
    draws = torch.Generator().manual_seed(5)
    half_x, half_y = module._halves(60, module.SPLITS, draws), module._halves(50, module.SPLITS, draws)
    assert (half_x.sum(1) == 30).all() and (half_y.sum(1) == 25).all()
    gaps = [
        np.subtract(manifold(real[a], fake[b], 3), manifold(real[~a], fake[~b], 3))
        for a, b in zip(half_x, half_y, strict=True)
    ]
    errors = [estimate.error for estimate in manifold_estimates(real, fake, 3, seed=5)]
    assert min(errors) > 1.5 / 50
    assert errors == pytest.approx(np.sqrt(np.square(gaps).mean(0) / 4), rel=1e-9)


@pytest.mark.parametrize("measure", [lambda x, y: manifold_estimates(x, y, 3), two_sample_accuracy])
def test_intervals_hold_the_long_run_mean(measure: Callable[[Tensor, Tensor], Any]) -> None:
    """Over 100 draws of both sets the errors are the spread of the values, and the 95 % intervals hold their mean."""
    found = [measure(features(2 * i, 150, 16), 0.8 * features(2 * i + 1, 150, 16)) for i in range(100)]
    values, errors = (np.array([[e[part] for e in one] for one in found]) for part in (0, 1))
    ratio = np.sqrt(np.square(errors).mean(0)) / values.std(0)
    held = (np.abs(values - values.mean(0)) <= 1.96 * errors).sum(0)
    assert ((ratio > 0.85) & (ratio < 1.2)).all(), ratio
    assert ((held >= 90) & (held <= 99)).all(), held


def test_all_or_none_has_an_error_too() -> None:
    """Rule of three: 1.5 / N, half of 3 / N."""
    real = classes(0, 30, range(10))
    found = manifold_estimates(real, real + 1000, 3)
    assert found.precision == (0, 1.5 / 300) and found.recall == (0, 1.5 / 300)
    assert found.density == (0, 0) and found.coverage == (0, 1.5 / 300)


# ---- realism


@pytest.mark.parametrize("block", [13, None])
@pytest.mark.parametrize("seed", SEEDS)
def test_realism_as_brute_force(seed: int, block: int | None) -> None:
    real, fake = draw(seed, 101, 6), draw(seed + 3, 60, 6)
    right = NearestNeighbors(n_neighbors=3, algorithm="brute").fit(real.double().numpy()).kneighbors()[0][:, -1]
    kept = right <= np.median(right)
    expected = (right[kept, None] / brute(real.double(), fake.double()).numpy()[kept]).max(0)
    np.testing.assert_allclose(realism(real, fake, 3, block=block), expected, rtol=1e-6)


def test_realism_of_copies_neighbours_and_strangers() -> None:
    real = draw(0, 200, 4)
    assert realism(real, real).isinf().sum() == 100  # the half with a ball of its own
    near, far = realism(real, 0.2 * draw(1, 100, 4)), realism(real, 10 + draw(1, 100, 4))
    assert near.median() > 1 > 0.2 > far.max()
    inside = precision_recall(real, 0.2 * draw(1, 100, 4)).precision
    assert (near >= 1).double().mean() <= inside  # half of the balls hold no more than all of them


def test_realism_needs_balls_with_an_inside() -> None:
    with pytest.raises(GansmithError, match="3 or more exact duplicates"):
        realism(draw(0, 10, 2).repeat(4, 1), draw(1, 5, 2), 3)


# ---- the 1-NN two-sample test


def test_accuracy_by_hand() -> None:
    told = two_sample_accuracy([[0.0], [1.0]], [[10.0], [11.5]])
    assert (told.accuracy.value, told.real.value, told.fake.value) == (1, 1, 1)
    copied = two_sample_accuracy([[0.0], [10.0]], [[1.0], [11.5]])
    assert (copied.accuracy.value, copied.real.value, copied.fake.value) == (0, 0, 0)
    around = [[5.0, 0.0], [-5.0, 0.0], [0.0, 5.0], [0.0, -5.0]]
    collapsed = two_sample_accuracy(around, [[0.0, 0.0], [0.1, 0.0], [0.0, 0.2], [0.1, 0.2]])
    assert (collapsed.real.value, collapsed.fake.value) == (0, 1) and collapsed.accuracy.value == 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy_as_scikit_learn(seed: int) -> None:
    real, fake = draw(seed, 90, 5), draw(seed + 1, 90, 5) * 1.3
    pool, label = torch.cat([real, fake]).double().numpy(), np.repeat([0, 1], 90)
    near = KNeighborsClassifier(1, algorithm="brute").fit(pool, label).kneighbors()[1][:, 0]
    right = label[near] == label
    found = two_sample_accuracy(real, fake, block=32, seed=seed)
    assert found.accuracy.value == pytest.approx(right.mean(), abs=1e-12)
    assert (found.real.value, found.fake.value) == pytest.approx((right[:90].mean(), right[90:].mean()), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_accuracy_of_equal_far_and_copied_laws(seed: int) -> None:
    real = draw(seed, 400, 6)
    equal = two_sample_accuracy(real, draw(seed + 30, 400, 6)).accuracy
    assert abs(equal.value - 0.5) < 0.06 and abs(equal.value - 0.5) < 3 * equal.error and 0.01 < equal.error < 0.04
    far = two_sample_accuracy(real, draw(seed + 30, 400, 6) + 10).accuracy
    assert far.value == 1 and far.error == 1.5 / 800
    assert two_sample_accuracy(real, real.clone()).accuracy.value == 0
    assert two_sample_accuracy(real, real + 1e-3 * draw(seed + 60, 400, 6)).accuracy.value < 0.01


@pytest.mark.parametrize("seed", SEEDS)
def test_collapsed_fakes_are_recognised_and_reals_are_not(seed: int) -> None:
    """In 64 dimensions the middle of the law is nearer to every real than any other real is."""
    found = two_sample_accuracy(draw(seed, 200, 64), 0.05 * draw(seed + 30, 200, 64))
    assert found.fake.value == 1 and found.real.value < 0.05


def test_accuracy_cuts_the_larger_set_by_seed() -> None:
    """The reals' first 50 are far, the others not: a cut that took the first would always see the far ones."""
    real, fake = draw(0, 500, 4), draw(1, 50, 4)
    real[:50] += 100
    found = [two_sample_accuracy(real, fake, seed=seed) for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    assert all(abs(f.accuracy.value - 0.5) < 0.25 for f in found)
    assert two_sample_accuracy(fake, real).fake.value < 0.8  # the same with the roles swapped


def test_ties_are_broken_by_lot() -> None:
    """Two reals and two fakes in each place: 1 of the 3 others is of one's own kind. If the first index won, the reals
    would all be right and the fakes all wrong."""
    places = draw(0, 300, 3).repeat(2, 1)
    found = two_sample_accuracy(places, places)
    assert (found.real.value, found.fake.value) == pytest.approx((1 / 3, 1 / 3), abs=0.07)


def test_the_global_random_state_is_left_alone() -> None:
    before = torch.random.get_rng_state()
    manifold_estimates(draw(0, 20, 2), draw(1, 20, 2), 2, seed=3)
    two_sample_accuracy(draw(0, 20, 2), draw(1, 30, 2), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


# ---- memory


class Largest(TorchDispatchMode):
    """The largest piece of memory that any operation gives back, bytes."""

    size = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        sizes = [leaf.untyped_storage().nbytes() for leaf in tree_leaves(out) if isinstance(leaf, Tensor)]
        self.size = max([self.size, *sizes])
        return out


@pytest.mark.parametrize(
    "measure",
    [
        lambda x, y: manifold(x, y, 5, block=200),
        lambda x, y: nearest(x, y, 5, block=200),
        lambda x, y: realism(x, y, block=200),
        lambda x, y: two_sample_accuracy(x, y, block=200),
        pytest.param(lambda x, y: reference(x, y, 5), marks=pytest.mark.xfail(raises=AssertionError, strict=True)),
    ],
)
def test_no_matrix_of_all_distances(measure: Callable[[Tensor, Tensor], Any]) -> None:
    """All distances are 5.8 MB; nothing may be larger than the pool's candidates, 2400 x 16 x 4 numbers of 8 bytes."""
    x, y = draw(0, 1200, 4), draw(1, 1200, 4)
    with Largest() as largest:
        measure(x, y)
    assert 0 < largest.size <= 1.3e6


# ---- bad input


@pytest.mark.parametrize("measure", [manifold, manifold_estimates, precision_recall, density_coverage])
def test_too_few_samples_for_k(measure: Callable[..., Any]) -> None:
    real, fake = draw(0, 6, 2), draw(1, 4, 2)
    assert len(measure(real, fake, 1)) in (2, 4)
    with pytest.raises(GansmithError, match="fake has 4 samples, but k = 4 neighbours need at least 5"):
        measure(real, fake, 4)
    with pytest.raises(GansmithError, match="real has 4 samples, but k = 6"):
        measure(fake, real, 6)


def test_too_few_samples_for_an_error() -> None:
    real, fake = draw(0, 12, 2), draw(1, 11, 2)
    assert manifold_estimates(real, fake, 4).recall.error > 0
    with pytest.raises(
        GansmithError, match="real has 12 and fake 11 samples: standard errors at k = 5 need 12 of each"
    ):
        manifold_estimates(real, fake, 5)
    assert len(manifold(real, fake, 5)) == 4


@pytest.mark.parametrize("measure", [manifold, precision_recall, density_coverage, realism, two_sample_accuracy])
def test_bad_features(measure: Callable[..., Any]) -> None:
    good = draw(0, 12, 3)
    bad = good.clone()
    bad[7, 1] = math.nan
    with pytest.raises(GansmithError, match=r"fake has a value that is not finite .NaN or infinity. in row 7"):
        measure(good, bad)
    with pytest.raises(GansmithError, match="real has 3 columns and fake has 2"):
        measure(good, good[:, :2])
    with pytest.raises(GansmithError, match="real has 1 sample"):
        measure(good[:1], good)
