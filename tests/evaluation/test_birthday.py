"""Known supports are estimated, intervals cover, and laws without duplicates are called 'at least'."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation import birthday
from gansmith.evaluation.birthday import (
    birthday_batch,
    birthday_support,
    closest_pairs,
    collision_chance,
    duplicate_rate,
    duplicate_threshold,
)

SEEDS = [0, 1, 2]


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def categorical(n: int, atoms: int, seed: int, heavy: float = 0.0, d: int = 8, noise: float = 1e-3) -> Tensor:
    """n draws (n, d) from `atoms` random vectors with a little noise; the first has `heavy` of the mass besides."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.randn(atoms, d, generator=generator)
    which = torch.randint(atoms, (n,), generator=generator)
    which[torch.rand(n, generator=generator) < heavy] = 0
    return places[which] + noise * torch.randn(n, d, generator=generator)


# --- closest pairs -----------------------------------------------------------------------------------------------


def brute_force(x: Tensor, count: int) -> tuple[Tensor, Tensor]:
    i, j = torch.triu_indices(len(x), len(x), 1)
    distances, order = (x[i].double() - x[j].double()).norm(dim=1).sort(stable=True)
    return distances[:count], torch.stack([i, j], 1)[order[:count]]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("block", [7, 64, 1024])
def test_closest_pairs_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch, seed: int, block: int) -> None:
    monkeypatch.setattr(birthday, "BLOCK", block)
    x = normal(60, 5, seed)
    for count in (1, 20, 1500):
        distances, pairs = closest_pairs(x, count)
        expected = brute_force(x, count)
        torch.testing.assert_close(distances, expected[0], rtol=1e-12, atol=0)
        assert torch.equal(pairs, expected[1])


def test_all_pairs_come_once_when_more_are_asked_for() -> None:
    distances, pairs = closest_pairs(normal(12, 2, 0), 1000)
    assert len({tuple(p) for p in pairs.tolist()}) == 66 == len(distances)
    assert bool((pairs[:, 0] < pairs[:, 1]).all()) and bool((distances.diff() >= 0).all())


def test_equal_samples_are_zero_apart_also_far_from_the_origin() -> None:
    x = normal(300, 50, 0) + 1000
    x[[200, 100]] = x[[20, 10]]
    distances, pairs = closest_pairs(x, 3)
    assert distances[:2].tolist() == [0, 0] and distances[2] > 1
    assert {tuple(p) for p in pairs[:2].tolist()} == {(20, 200), (10, 100)}
    assert duplicate_rate(x, 0.0).duplicates == 2


def test_closest_pairs_do_not_depend_on_the_order() -> None:
    x = normal(100, 3, 0)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    plain, moved = closest_pairs(x, 10), closest_pairs(x[order], 10)
    assert torch.equal(plain.distances, moved.distances)
    assert torch.equal(plain.pairs, order[moved.pairs].sort(1).values)


# --- threshold ---------------------------------------------------------------------------------------------------


def test_threshold_is_the_quantile_of_real_pairs() -> None:
    x = normal(200, 4, 0)
    distances = brute_force(x, 19_900)[0]
    assert duplicate_threshold(x, quantile=0.01) == pytest.approx(float(distances[198]), rel=1e-12)
    assert duplicate_threshold(x) == pytest.approx(float(distances[9]), rel=1e-12)  # the 10th of 19,900
    small = x[:50]  # 0.1 % of 1,225 pairs is 1 pair
    assert duplicate_threshold(small) == pytest.approx(float(brute_force(small, 1)[0]), rel=1e-12)


def test_threshold_has_its_rate_on_the_samples_it_came_from() -> None:
    x = normal(500, 6, 0)
    for quantile in (0.0001, 0.001, 0.01):
        found = duplicate_rate(x, duplicate_threshold(x, quantile=quantile))
        assert found.duplicates == round(quantile * found.pairs)


def test_repeats_in_the_real_data_do_not_make_the_threshold_zero() -> None:
    x = normal(200, 4, 0)
    assert duplicate_threshold(torch.cat([x, x[:50]])) == duplicate_threshold(x) > 0


# --- the rate and its interval -----------------------------------------------------------------------------------


def test_rate_is_counted_by_hand() -> None:
    """0, 0.5 and 1 are duplicates of 0.5, not of each other: 2 pairs, 1 triple."""
    found = duplicate_rate(torch.tensor([[0.0], [0.5], [1.0], [7.0]]), 0.5)
    assert (found.duplicates, found.pairs, found.heaviest) == (2, 6, 0.75)
    assert found.value == pytest.approx(1 / 3) and found.low < 1 / 3 < found.high <= 1


def test_rate_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x = categorical(300, 50, 0)
    whole = duplicate_rate(x, 0.02)
    monkeypatch.setattr(birthday, "BLOCK", 17)
    assert duplicate_rate(x, 0.02) == whole
    count = int((torch.cdist(x.double(), x.double()) <= 0.02).triu(1).sum())
    assert whole.duplicates == count > 500


def test_interval_of_few_duplicates_is_garwoods() -> None:
    x = torch.arange(100.0)
    x[:14] = x[:14] // 2  # 7 pairs
    found = duplicate_rate(x, 0.1)
    low, high = stats.chi2.ppf([0.025, 0.975], [14, 16]) / 2
    assert found.duplicates == 7
    assert (found.low * 4950, found.high * 4950) == pytest.approx((low, high))


def covering(atoms: int, n: int, heavy: float) -> tuple[int, int]:
    """In how many of 200 sets the interval holds the true support, and in how many a plain Poisson interval does."""
    p = np.full(atoms, (1 - heavy) / atoms)
    p[0] += heavy
    true, generator, hits, plain = 1 / (p**2).sum(), np.random.default_rng(0), 0, 0
    for _ in range(200):
        draws = torch.from_numpy(generator.choice(atoms, n, p=p).astype(np.float32))
        found = birthday_support(draws, threshold=0.5)
        hits += found.low <= true <= found.high
        plain += abs(found.duplicates - found.pairs / true) < 1.96 * math.sqrt(found.duplicates)
    return hits, plain


@pytest.mark.parametrize(("atoms", "n"), [(500, 200), (5000, 200), (50, 300)])
def test_interval_covers_a_uniform_support(atoms: int, n: int) -> None:
    assert 184 <= covering(atoms, n, 0.0)[0] <= 200


def test_interval_covers_a_support_with_one_heavy_point_where_poisson_does_not() -> None:
    hits, plain = covering(1000, 400, 0.1)
    assert 180 <= hits <= 200 and plain < 120


# --- the support -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_support_of_ten_thousand_is_estimated(seed: int) -> None:
    fake, real = categorical(2500, 10_000, seed), normal(2500, 8, seed + 10)
    found = birthday_support(fake, threshold=duplicate_threshold(real), real=real)
    assert found.support == pytest.approx(10_000, rel=0.25) and found.heaviest < 0.01
    assert 8000 < found.low < found.support < found.high < 13_000


@pytest.mark.parametrize("seed", SEEDS)
def test_support_is_estimated_from_two_hundred_batches(seed: int) -> None:
    """Arora and Zhang's way, with the pairs counted instead of judged by eye; 118 draws collide with chance 1/2."""
    fake = categorical(200 * 118, 10_000, seed)
    rates = [duplicate_rate(batch, 0.02) for batch in fake.split(118)]
    pooled = sum(r.pairs for r in rates) / sum(r.duplicates for r in rates)
    assert pooled == pytest.approx(10_000, rel=0.25)
    collided = sum(r.duplicates > 0 for r in rates) / 200
    assert collided == pytest.approx(collision_chance(118, 10_000), abs=3 * math.sqrt(0.25 / 200))


def test_real_pairs_within_the_threshold_are_subtracted() -> None:
    """At the 0.2 % quantile, as many pairs agree by chance as by a support of 500; the interval holds it all the same.

    Without the subtraction not one of the 50 intervals does.
    """
    covered, plain, expected = 0, 0, 2e-3 * 79_800
    for seed in range(50):
        fake, real = categorical(400, 500, seed), normal(400, 8, seed + 1000)
        threshold = duplicate_threshold(real, quantile=2e-3)
        found = birthday_support(fake, threshold=threshold, real=real)
        covered += found.low <= 500 <= found.high
        plain += birthday_support(fake, threshold=threshold).high >= 500
        assert found.expected == pytest.approx(expected, rel=0.01)
    assert covered >= 44 and plain == 0


@pytest.mark.parametrize("seed", SEEDS)
def test_tenth_of_the_mass_on_one_point_is_flagged(seed: int) -> None:
    fake = categorical(1000, 10_000, seed, heavy=0.1)
    found = birthday_support(fake, threshold=0.02)
    true = 1 / (0.1**2 + 2 * 0.1 * 0.9 / 10_000 + 0.81 / 10_000)
    assert found.support == pytest.approx(true, rel=0.4) and found.low < true < found.high
    assert found.heaviest == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("seed", SEEDS)
def test_law_of_the_real_samples_has_at_least_a_large_support(seed: int) -> None:
    real = normal(1500, 8, seed)
    found = birthday_support(normal(1500, 8, seed + 10), threshold=duplicate_threshold(real), real=real)
    assert found.high == math.inf and found.low > 20_000
    held_out = real[:200]  # fewer real samples see less far, and do not pretend otherwise
    less = birthday_support(normal(1500, 8, seed + 10), threshold=duplicate_threshold(held_out), real=held_out)
    assert less.high == math.inf and 500 < less.low < found.low


def test_nothing_seen_gives_the_rule_of_three() -> None:
    found = birthday_support(torch.arange(200.0), threshold=0.5)
    assert (found.support, found.high, found.batch, found.duplicates) == (math.inf, math.inf, math.inf, 0)
    assert found.low == pytest.approx(19_900 / 2.9957, rel=1e-4) and found.heaviest == 1 / 200


def test_fewer_duplicates_than_real_samples_have_is_no_infinite_lower_end() -> None:
    real, fake = categorical(300, 50, 0), normal(300, 8, 1)
    found = birthday_support(fake, threshold=0.02, real=real)
    assert found.duplicates == 0 and found.support == math.inf == found.high
    assert 100 < found.low < found.pairs / 2.9957


def test_one_picture_has_a_support_of_one() -> None:
    found = birthday_support(torch.ones(50, 3), threshold=0.0)
    assert (found.support, found.low, found.heaviest) == (1.0, 1.0, 1.0)
    assert found.batch == pytest.approx(birthday_batch(1.0))


def test_support_does_not_depend_on_order_type_or_container() -> None:
    x = categorical(500, 200, 0).double()
    found = birthday_support(x, threshold=0.02)
    assert birthday_support(x.flip(0), threshold=0.02) == found
    assert birthday_support(x.numpy().reshape(500, 2, 4), threshold=0.02) == found


@pytest.mark.parametrize("support", [1, 365, 10_000, 1e9])
@pytest.mark.parametrize("chance", [0.1, 0.5, 0.99])
def test_batch_and_chance_are_each_others_inverse(support: float, chance: float) -> None:
    assert collision_chance(birthday_batch(support, chance), support) == pytest.approx(chance)
    assert birthday_batch(support) == pytest.approx(1.17741 * math.sqrt(support), abs=0.7)


def test_published_chances() -> None:
    """Draws of the root of the support collide with 39 %, and 23 birthdays as the exact product says."""
    assert collision_chance(1000, 1000**2) == pytest.approx(1 - math.exp(-0.5), abs=1e-3)
    exact = 1 - math.prod((365 - i) / 365 for i in range(23))
    assert collision_chance(23, 365) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: closest_pairs(torch.zeros(5, 2), 0), "at least 1 pair"),
        (lambda: closest_pairs(torch.zeros(1, 2)), "fake has 1 sample"),
        (lambda: closest_pairs(torch.full((5, 2), math.nan)), "not finite"),
        (lambda: duplicate_threshold(torch.zeros(9, 2)), "real, without repeats, has 1 sample"),
        (lambda: duplicate_threshold(torch.eye(9), quantile=0.0), "between 0 and 1"),
        (lambda: duplicate_rate(torch.eye(9), -1.0), "at least 0"),
        (lambda: birthday_support(torch.eye(9), threshold=math.nan), "at least 0"),
        (lambda: birthday_support(torch.eye(9), threshold=1.0, real=torch.eye(8)), "fake has 9 columns and real has 8"),
    ],
)
def test_bad_input_is_one_sentence(call, words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        call()
