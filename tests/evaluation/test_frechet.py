"""Moments and the Fréchet distance: numpy, closed forms, peers, singular covariances, errors and bias by repetition."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import peers
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation import frechet
from gansmith.evaluation.frechet import (
    frechet_bias,
    frechet_distance,
    frechet_estimate,
    frechet_from_moments,
    frechet_infinity,
    frechet_jackknife,
    warnings_for,
)
from gansmith.evaluation.moments import Moments, covariance_root

SEEDS = (0, 1, 2)


def normal(n: int, dim: int, seed: int) -> Tensor:
    """(n, dim) float64 standard normal."""
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixed(dim: int, seed: int) -> Tensor:
    """A square matrix (dim, dim) of full rank; rows of normal() @ mixed() have the covariance mixed.T @ mixed."""
    return torch.eye(dim, dtype=torch.float64) + 0.5 * normal(dim, dim, seed) / math.sqrt(dim)


def rotation(dim: int, seed: int) -> Tensor:
    return torch.linalg.qr(normal(dim, dim, seed))[0]


def exact(mean: np.ndarray, s1: np.ndarray, s2: np.ndarray) -> float:
    """FD of two Gaussians as the formula stands, with scipy's matrix square root; `mean` is the difference."""
    return float(mean @ mean + np.trace(s1 + s2) - 2 * np.trace(sqrtm(s1 @ s2)).real)


def scale(x: Tensor) -> float:
    return float(x.var(0).sum())  # what FD is small against


def by_formula(x: Tensor, y: Tensor) -> float:
    a, b = x.double().numpy(), y.double().numpy()
    return exact(a.mean(0) - b.mean(0), np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T)))


# ---- moments


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("dim", [1, 7])
@pytest.mark.parametrize("shift", [0.0, 1e5])
def test_moments_are_numpys_however_large_the_mean(dim: int, seed: int, shift: float) -> None:
    x = normal(3000, dim, seed) @ mixed(dim, seed + 9) + shift  # 3000 rows: three blocks inside one add
    found = Moments.of(x)
    assert found.n == 3000
    np.testing.assert_allclose(found.mean, x.mean(0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(found.cov, np.atleast_2d(np.cov(x.numpy().T)), rtol=1e-10, atol=1e-10)


def test_the_shortcut_through_squares_would_not_do() -> None:
    """E x^2 - (E x)^2 loses digits where the test above has ten."""
    x = normal(3000, 1, 0) + 1e5
    assert abs(float((x.square().mean() - x.mean().square()) / x.var()) - 1) > 1e-8


@pytest.mark.parametrize("size", [1, 3, 64, 200])
def test_moments_are_independent_of_blocks_order_and_kind(size: int) -> None:
    x = (normal(200, 5, 0) + 100).float()
    whole, streamed, left, right = Moments.of(x), Moments(5), Moments(5), Moments(5)
    for i, block in enumerate(x.flip(0).split(size)):
        streamed.add(block.numpy() if i % 2 else block)
        (left if i % 3 else right).add(block)
    left.merge(right)
    left.merge(Moments(5))  # nothing
    for other in (streamed, left, Moments.of(x.double())):
        assert other.n == 200
        torch.testing.assert_close(other.mean, whole.mean, rtol=1e-13, atol=0)
        torch.testing.assert_close(other.cov, whole.cov, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Moments(0), "at least 1"),
        (lambda: Moments(3).add(torch.zeros(2, 4)), "3 columns got 4"),
        (lambda: Moments(3).merge(Moments(2)), "3 columns got 2"),
        (lambda: Moments.of(torch.zeros(1, 2)).cov, "at least 2 samples, and 1 came"),
        (lambda: Moments(2).add([[1.0, math.nan]]), "not finite"),
        (lambda: Moments(2).add(torch.zeros(0, 2)), "0 samples"),
    ],
)
def test_moments_from_bad_input(call: Callable[[], object], words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        call()


@pytest.mark.parametrize("rank", [0, 1, 3, 8])
def test_covariance_roots_have_the_rank_and_the_square(rank: int) -> None:
    factor = normal(8, 8, 0)[:, :rank]
    cov = factor @ factor.T
    root = covariance_root(cov)
    assert root.shape == (8, rank)
    torch.testing.assert_close(root @ root.T, cov, rtol=1e-10, atol=1e-10)


# ---- the distance


@pytest.mark.parametrize("seed", SEEDS)
def test_gaussians_of_known_mean_and_covariance(seed: int) -> None:
    """Within 2 % at N = 50,000 and d = 16, with covariances that do not commute."""
    a, b, shift = mixed(16, seed), mixed(16, seed + 10), 0.2 * normal(1, 16, seed + 20)
    x, y = normal(50_000, 16, seed + 30) @ a, normal(50_000, 16, seed + 40) @ b + shift
    known = exact(shift[0].numpy(), (a.T @ a).numpy(), (b.T @ b).numpy())
    assert frechet_distance(x, y) == pytest.approx(known, rel=0.02) != frechet_distance(x, 1.1 * y)


@pytest.mark.parametrize("seed", SEEDS)
def test_scipys_square_root_agrees(seed: int) -> None:
    x, y = normal(300, 12, seed) @ mixed(12, seed), 2 * normal(200, 12, seed + 5) + 0.3
    assert frechet_distance(x, y) == pytest.approx(by_formula(x, y), rel=1e-10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "m", "dim"), [(400, 300, 64), (50, 400, 64), (50, 40, 64)])
def test_torch_fidelity_agrees(n: int, m: int, dim: int, seed: int) -> None:
    """Their numbers from few samples hold fewer digits: square roots of rounded zeros."""
    peer = peers.torch_fidelity("metric_fid")
    x, y = normal(n, dim, seed) @ mixed(dim, seed), normal(m, dim, seed + 5) + 0.1
    stats = [peer.fid_features_to_statistics(t) for t in (x, y)]
    theirs = peer.fid_statistics_to_metric(*stats, False)[peer.KEY_METRIC_FID]
    assert frechet_distance(x, y) == pytest.approx(theirs, rel=1e-6)
    assert frechet_from_moments(Moments.of(x), Moments.of(y)) == pytest.approx(theirs, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_torchmetrics_agrees(seed: int) -> None:
    peer = peers.torchmetrics("image.fid")
    x, y = normal(400, 64, seed) @ mixed(64, seed), normal(300, 64, seed + 5) + 0.1
    theirs = float(peer._compute_fid(x.mean(0), x.T.cov(), y.mean(0), y.T.cov()))
    assert frechet_distance(x, y) == pytest.approx(theirs, rel=1e-6)


def awkward() -> dict[str, Tensor]:
    """Sets whose covariance is of full rank, of too few samples, with dead and repeated columns, of rank 1 and 0."""
    x = normal(200, 40, 0) @ mixed(40, 1)
    return {
        "full": x,
        "few": x[:15],
        "dead": torch.cat([x, torch.zeros(200, 20)], 1) @ rotation(60, 2),
        "repeated": torch.cat([x, x], 1),
        "steep": x * torch.logspace(0, -9, 40, dtype=torch.float64),
        "line": x[:, :1] * normal(1, 300, 3),
        "point": torch.ones(50, 30),
        "one": x[:, :1],
        "far": x + 1e6,
        "large": 1e20 * x,
        "small": 1e-20 * x,
    }


@pytest.mark.parametrize("name", awkward())
def test_equal_sets_are_at_distance_0(name: str) -> None:
    x = awkward()[name]
    bound = 1e-6 * scale(x)
    assert 0 <= frechet_distance(x, x) <= bound
    assert 0 <= frechet_distance(x, x.flip(0)) <= bound
    assert 0 <= frechet_from_moments(Moments.of(x), Moments.of(x.flip(0))) <= bound
    if scale(x):
        assert frechet_distance(x, 1.1 * (x - x.mean(0)) + x.mean(0)) == pytest.approx(0.01 * scale(x), rel=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [30, 200])
def test_singular_covariances_keep_the_number(n: int, seed: int) -> None:
    """Five dimensions, turned inside sixty: singular by shape, by both routes; at 30 there are fewer samples too."""
    x, y = normal(n, 5, seed) @ mixed(5, seed), 1.5 * normal(n, 5, seed + 5) + 0.2
    turn = rotation(60, seed)[:5]
    flat = by_formula(x, y)
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(flat, rel=1e-9)
    assert frechet_from_moments(Moments.of(x @ turn), Moments.of(y @ turn)) == pytest.approx(flat, rel=1e-6)


def test_orthogonal_sets_share_nothing() -> None:
    """Then FD is all of the means' distance and both traces; half a dead pair of axes is not taken for a shared one."""
    x, y = torch.zeros(50, 6), torch.zeros(50, 6)
    x[:, :3], y[:, 3:] = normal(50, 3, 0).float(), normal(50, 3, 1).float()
    gap = float((x.mean(0) - y.mean(0)).square().sum())
    assert frechet_distance(x, y) == pytest.approx(gap + scale(x) + scale(y), rel=1e-6)


def test_one_dimension() -> None:
    """(m1 - m2)^2 + (s1 - s2)^2, also for a flat array."""
    x, y = normal(50, 1, 0), 3 * normal(70, 1, 1) + 2
    known = float((x.mean() - y.mean()) ** 2 + (x.std() - y.std()) ** 2)
    assert frechet_distance(x, y) == pytest.approx(known, rel=1e-12)
    assert frechet_distance(x[:, 0].numpy(), y[:, 0].tolist()) == pytest.approx(known, rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_order_sides_shift_and_unit(seed: int) -> None:
    x, y = normal(100, 8, seed) @ mixed(8, seed), normal(90, 8, seed + 5) + 1
    fd = frechet_distance(x, y)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
    assert frechet_distance(x[order], y) == pytest.approx(fd, rel=1e-12)
    assert frechet_distance(y, x) == pytest.approx(fd, rel=1e-12)
    assert frechet_distance(x + 1e5, y + 1e5) == pytest.approx(fd, rel=1e-9)
    assert frechet_distance(100 * x, 100 * y) == pytest.approx(1e4 * fd, rel=1e-12)
    assert frechet_distance(x @ (turn := rotation(8, seed)), y @ turn) == pytest.approx(fd, rel=1e-10)
    assert frechet_distance(x.float(), y.numpy()) == pytest.approx(fd, rel=1e-5)


def clusters(n: int, seed: int, classes: int = 10) -> Tensor:
    """(n, 16): ten classes far from each other, of which the first `classes` are drawn."""
    centres = 2 * normal(10, 16, 99)
    y = torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed))
    return centres[y] + 0.3 * normal(n, 16, seed + 100)


@pytest.mark.parametrize("seed", SEEDS)
def test_rises_with_noise_and_with_every_class_dropped(seed: int) -> None:
    real, other = clusters(4000, seed), clusters(4000, seed + 10)
    noise = normal(4000, 16, seed + 20)
    noisy = [frechet_distance(real, other + sigma * noise) for sigma in (0, 0.2, 0.4, 0.8, 1.6)]
    dropped = [frechet_distance(real, clusters(4000, seed + 10, 10 - k)) for k in (0, 1, 3, 5, 7, 9)]
    assert noisy == sorted(noisy) and noisy[1] > noisy[0]
    assert dropped == sorted(dropped) and dropped[1] > 10 * dropped[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_few_samples_raise_it(seed: int) -> None:
    few, many = (frechet_distance(normal(n, 16, seed), normal(n, 16, seed + 10)) for n in (500, 5000))
    assert few > 5 * many > 0


# ---- error and bias


def delete_each(x: Tensor, y: Tensor) -> Tensor:
    """FD without row i of x, one by one."""
    rest = [torch.cat([x[:i], x[i + 1 :]]) for i in range(len(x))]
    return torch.tensor([frechet_distance(part, y) for part in rest], dtype=torch.float64)


@pytest.mark.parametrize(
    ("n", "m", "dim"), [(40, 30, 4), (5, 30, 1), (6, 5, 10), (8, 40, 12), (40, 8, 12), (12, 12, 12), (13, 13, 12)]
)
def test_the_jackknife_is_that_of_deleting_one_by_one(n: int, m: int, dim: int) -> None:
    """At full rank and below, where each deletion takes one from the rank."""
    x, y = normal(n, dim, 0) @ mixed(dim, 1) + 0.3, 1.5 * normal(m, dim, 2)
    fd, without = frechet_distance(x, y), (delete_each(x, y), delete_each(y, x))
    biases = [(len(t) - 1) * float(t.mean() - fd) for t in without]
    variances = [(len(t) - 1) * float(t.var(correction=0)) for t in without]
    for vary, sides in (("a", [0]), ("b", [1]), ("both", [0, 1])):
        value, variance, bias = frechet._delete_one(x, y, vary)
        assert value == pytest.approx(fd, rel=1e-9)
        assert variance == pytest.approx(sum(variances[s] for s in sides), rel=1e-4)
        assert bias == frechet_bias(x, y, vary=vary) == pytest.approx(sum(biases[s] for s in sides), rel=1e-4)


@pytest.mark.parametrize("name", ["dead", "repeated", "line", "point"])
def test_the_jackknife_on_singular_covariances(name: str) -> None:
    x = awkward()[name][:100]
    y = 1.2 * x.flip(0) + 0.1
    _, variance, bias = frechet._delete_one(x, y, "a")
    without = delete_each(x, y)
    assert variance == pytest.approx(99 * float(without.var(correction=0)), rel=1e-3, abs=1e-12)
    assert bias == pytest.approx(99 * float(without.mean() - frechet_distance(x, y)), rel=1e-3, abs=1e-8)


def unlike(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Two laws in 16 dimensions: another mean, another covariance, one of them with heavy tails."""
    z = normal(n, 16, seed) @ mixed(16, 77)
    return z + 0.1 * z.square(), 1.2 * normal(n, 16, seed + 10**6) + 0.1


def alike(n: int, seed: int) -> tuple[Tensor, Tensor]:
    return normal(n, 16, seed), normal(n, 16, seed + 10**6)


def long_run(draw: Callable[[int, int], tuple[Tensor, Tensor]], n: int) -> Tensor:
    """FD at N of 400 draws."""
    return torch.tensor([frechet_distance(*draw(n, 10**4 + i)) for i in range(400)])


@pytest.mark.parametrize("draw", [unlike, alike])
def test_intervals_hold_the_long_run_mean(draw: Callable[[int, int], tuple[Tensor, Tensor]]) -> None:
    """In 90 to 99 of 100 draws; more sizes and seeds are in tests/learns."""
    true = long_run(draw, 200)
    found = [frechet_estimate(*draw(200, i), seed=i) for i in range(100)]
    assert 90 <= sum(f.interval.low <= true.mean() <= f.interval.high for f in found) <= 99
    assert 0.9 < np.mean([f.error for f in found]) / float(true.std()) < 1.15


def test_the_plain_jackknife_counts_the_second_order_twice() -> None:
    """For equal laws, where there is no first order: twice the variance."""
    found = [frechet._delete_one(*alike(200, i), "both")[1] for i in range(20)]
    assert np.mean(found) / float(long_run(alike, 200).var()) == pytest.approx(2, rel=0.25)


def test_only_the_set_that_varies_counts() -> None:
    x, y = unlike(300, 0)
    a, b, both = (frechet_estimate(x, y, vary=vary).error for vary in ("a", "b", "both"))
    assert both == pytest.approx(math.hypot(a, b), rel=0.05)
    ten = y.repeat(10, 1)  # the same law from more samples: b's part falls
    assert frechet_estimate(x, ten, vary="b").error < 0.5 * b


@pytest.mark.parametrize("seed", SEEDS)
def test_bias_is_what_repetition_shows(seed: int) -> None:
    """For equal laws all of FD is bias; the estimate has it to 15 % from one pair."""
    mean = np.mean([frechet_distance(*alike(500, 1000 * seed + i)) for i in range(20)])
    assert frechet_bias(*alike(500, seed)) == pytest.approx(mean, rel=0.15)


@pytest.mark.parametrize("draw", [unlike, alike])
@pytest.mark.parametrize("seed", SEEDS)
def test_infinity_is_nearer_than_fd_at_n(draw: Callable[[int, int], tuple[Tensor, Tensor]], seed: int) -> None:
    """Over ten draws of 250: less than a third as far from the truth, in the mean; 200,000 samples stand for it."""
    truth = frechet_distance(*draw(200_000, 5)) if draw is unlike else 0.0
    pairs = [draw(250, 100 * seed + i) for i in range(10)]
    plain = np.mean([frechet_distance(x, y) for x, y in pairs]) - truth
    limits = [frechet_infinity(x, y, seed=i) for i, (x, y) in enumerate(pairs)]
    assert plain > 0.05 and abs(np.mean([e.value for e in limits]) - truth) < plain / 3
    assert sum(e.interval.low <= truth <= e.interval.high for e in limits) >= 7


def test_infinity_of_one_set_keeps_the_bias_of_the_other() -> None:
    x, y = alike(400, 0)
    a, b, both = (frechet_infinity(x, y, vary=vary).value for vary in ("a", "b", "both"))
    fd = frechet_distance(x, y)
    assert both < min(a, b) and max(a, b) < fd
    assert fd - both == pytest.approx((fd - a) + (fd - b), rel=0.3)


def test_random_choices_come_from_the_seed_and_nothing_changes() -> None:
    x, y = unlike(60, 0)
    before = x.clone()
    torch.manual_seed(1)
    first = frechet_infinity(x, y, seed=3), frechet_jackknife(x, y, seed=3)
    state = torch.get_rng_state()
    assert (frechet_infinity(x, y, seed=3), frechet_jackknife(x, y, seed=3)) == first
    assert torch.equal(torch.get_rng_state(), state) and torch.equal(x, before)
    assert frechet_infinity(x, y, seed=4) != first[0]


# ---- words


def test_warnings() -> None:
    few = warnings_for(2048, 100, 2048, value=10.0, bias=1.0)
    assert len(few) == 2 and "2,048 generated" in few[0] and "100 real" in few[1]
    (bias,) = warnings_for(5000, 5000, 2048, value=10.0, bias=12.0)
    assert "About 10 of FD 10 is bias" in bias


@pytest.mark.parametrize("call", [frechet_distance, frechet_estimate, frechet_bias, frechet_infinity])
@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        (torch.zeros(9, 2), torch.zeros(9, 3), "a has 2 columns and b has 3"),
        (torch.zeros(1, 2), torch.zeros(9, 2), "a has 1 sample: at least"),
        (torch.zeros(9, 2), torch.tensor([[math.nan, 0.0]] * 9), "b has a value that is not finite"),
        ("pictures", torch.zeros(9, 2), "must be an array of numbers"),
        (torch.zeros(9, 2), 1e90 * torch.arange(18, dtype=torch.float64).view(9, 2), "overflows"),
    ],
)
def test_bad_features(call: Callable[..., object], a: object, b: object, words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        call(a, b)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: frechet_estimate(x, x, vary="bth"), "give one of both, a, b"),
        (lambda x: frechet_estimate(x[:2], x), "at least 3"),
        (lambda x: frechet_infinity(x, x[:3]), "at least 4"),
        (lambda x: frechet_infinity(x, x, points=2), "points is 2"),
        (lambda x: frechet_from_moments(Moments.of(x), Moments(2)), "a has 3 columns and b has 2"),
        (lambda x: frechet_from_moments(Moments.of(x), Moments(3)), "at least 2 samples"),
    ],
)
def test_bad_choices(call: Callable[[Tensor], object], words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        call(normal(9, 3, 0))
