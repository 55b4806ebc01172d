"""Copies are found, new samples are not, and every rule is shown the case that it exists for."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.copying import (
    authenticity,
    copied,
    data_copying,
    distinct,
    mann_whitney_z,
    perfect_authenticity,
)

SEEDS = [0, 1, 2]


def normal(n: int, d: int, seed: int) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def noisy_copies(train: Tensor, n: int, noise: float, seed: int) -> tuple[Tensor, Tensor]:
    """n samples and the indices (n,) of what they are copies of."""
    generator = torch.Generator().manual_seed(1000 + seed)
    which = torch.randint(len(train), (n,), generator=generator)
    return train[which] + noise * torch.randn(n, train.shape[1], generator=generator), which


def averages(train: Tensor, n: int, k: int, seed: int) -> Tensor:
    """A blurry generator: means (n, D) of the k training samples nearest to fresh samples of the same law."""
    near = torch.cdist(normal(n, train.shape[1], 2000 + seed), train).topk(k, largest=False).indices
    return train[near].mean(1)


# --- Mann-Whitney ------------------------------------------------------------------------------------------------


def reference_z(x: Tensor, y: Tensor) -> float:
    """scipy's z, back from its one-sided p-value."""
    p = stats.mannwhitneyu(x.numpy(), y.numpy(), alternative="less", method="asymptotic", use_continuity=False).pvalue
    return float(stats.norm.ppf(p))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("digits", [None, 1, 0])
def test_mann_whitney_is_scipys_with_and_without_ties(seed: int, digits: int | None) -> None:
    x, y = normal(80, 1, seed)[:, 0].double(), normal(50, 1, seed + 10)[:, 0].double() + 0.2
    if digits is not None:
        x, y = x.round(decimals=digits), y.round(decimals=digits)
    assert mann_whitney_z(x, y) == pytest.approx(reference_z(x, y), rel=1e-9)
    assert mann_whitney_z(y, x) == pytest.approx(-mann_whitney_z(x, y))


def test_mann_whitney_of_equal_values_is_zero() -> None:
    assert mann_whitney_z(torch.ones(5), torch.ones(7)) == 0.0


# --- data copying ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_noisy_copies_score_far_below_zero(seed: int) -> None:
    train = normal(2000, 16, seed)
    fake, _ = noisy_copies(train, 1000, 0.1, seed)
    found = data_copying(train, normal(517, 16, seed + 10), fake, seed=seed)
    assert len(found.parts) == 5 and sum(found.shares) == pytest.approx(1) and found.left_out == pytest.approx(0)
    assert found.z < -5 and max(found.parts) < -5


@pytest.mark.parametrize("seed", SEEDS)
def test_held_out_samples_score_near_zero_and_wide_ones_far_above(seed: int) -> None:
    train, held_out = normal(2000, 16, seed), normal(517, 16, seed + 10)
    assert abs(data_copying(train, held_out, normal(1000, 16, seed + 20), seed=seed).z) < 3
    assert data_copying(train, held_out, 1.5 * normal(1000, 16, seed + 20), seed=seed).z > 5


@pytest.mark.parametrize("cells", [1, 3])
def test_error_is_the_deviation_of_z_between_draws(cells: int) -> None:
    """Also what would fail without the ranks' variance: 40 draws have the deviation that is claimed."""
    train = normal(300, 4, 0)
    found = [data_copying(train, normal(150, 4, 100 + s), normal(200, 4, 500 + s), cells=cells) for s in range(40)]
    scaled = np.array([f.z / f.error for f in found])
    assert (found[0].error == 1) == (cells == 1)
    assert abs(scaled.mean()) < 3 / math.sqrt(40) and 0.75 < scaled.std() < 1.25


@pytest.mark.parametrize("seed", SEEDS)
def test_one_cell_is_mann_whitney_of_the_distances(seed: int) -> None:
    train, held_out, fake = normal(200, 3, seed), normal(60, 3, seed + 10), 1.05 * normal(80, 3, seed + 20)
    law = [torch.cdist(x.double(), train.double()).min(1).values for x in (fake, held_out)]
    assert data_copying(train, held_out, fake, cells=1).z == pytest.approx(reference_z(*law), rel=1e-6)


def two_islands(seed: int, noise: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Train, held-out and generated samples on two far islands; the generated ones are training samples + noise."""
    shift = torch.tensor([100.0, 0, 0, 0])
    train, held_out = normal(1000, 4, seed), normal(400, 4, seed + 10)
    train[500:] += shift
    held_out[200:] += shift
    copies = [noisy_copies(part, 200, s, seed)[0] for part, s in zip(train.split(500), noise, strict=True)]
    return train, held_out, torch.cat(copies)


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_see_copying_that_one_cell_does_not(seed: int) -> None:
    sets = two_islands(seed, (0.02, 1.5))
    found = data_copying(*sets, cells=2, seed=seed)
    assert min(found.parts) < -5 and max(found.parts) > 5
    assert abs(data_copying(*sets, cells=1).z) < 5


def test_weights_are_the_held_out_shares_and_empty_cells_are_left_out() -> None:
    train, held_out, fake = two_islands(0, (0.02, 0.02))
    held_out = held_out[:300]  # 200 on the first island, 100 on the second
    found = data_copying(train, held_out, fake, cells=2)
    assert sorted(found.shares) == pytest.approx([1 / 3, 2 / 3])
    weighted = sum(z * w for z, w in zip(found.parts, found.shares, strict=True))
    assert found.z == pytest.approx(weighted) and found.error == pytest.approx(math.sqrt(5) / 3)
    one = data_copying(train, held_out, fake[:219], cells=2)  # 200 and 19: too few for a cell
    assert one.shares == pytest.approx((2 / 3,)) and one.left_out == pytest.approx(1 / 3) and one.error == 1
    assert len(data_copying(train, held_out, fake[:220], cells=2).parts) == 2


def test_ninety_training_and_ten_held_out_samples_are_enough_to_see_copies() -> None:
    train, held_out = normal(90, 64, 0), normal(10, 64, 1)
    assert data_copying(train, held_out, noisy_copies(train, 1000, 0.3, 0)[0]).z < -5
    assert abs(data_copying(train, held_out, normal(1000, 64, 2)).z) < 3


def test_repeats_itself_and_leaves_the_global_random_state_alone() -> None:
    sets = normal(400, 3, 0), normal(300, 3, 1), normal(300, 3, 2)
    state = torch.get_rng_state()
    first = data_copying(*sets, cells=3, seed=5)
    np.random.seed(1)
    assert data_copying(*sets, cells=3, seed=5) == first
    assert torch.equal(torch.get_rng_state(), state)
    shuffled = sets[0], sets[1].flip(0), sets[2].flip(0)
    assert data_copying(*shuffled, cells=3, seed=5).z == pytest.approx(first.z, rel=1e-12)
    assert data_copying(*sets, cells=3, seed=6) != first


def test_repeated_training_samples_leave_no_empty_cell_behind() -> None:
    train = torch.cat([torch.zeros(100, 2), normal(20, 2, 0)])  # most first centres coincide
    found = data_copying(train, normal(100, 2, 1), normal(100, 2, 2), cells=6)
    assert math.isfinite(found.z) and len(found.parts) >= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cells": 0}, "between 1 and the 50"),
        ({"cells": 51}, "between 1 and the 50"),
        ({"fake": torch.zeros(19, 3)}, "No cell holds 20 generated"),
        ({"fake": torch.zeros(30, 4)}, "train has 3 columns and fake has 4"),
        ({"held_out": torch.zeros(30, 4)}, "train has 3 columns and held_out has 4"),
        ({"held_out": torch.zeros(1, 3)}, "held_out has 1 sample"),
        ({"fake": torch.full((30, 3), math.nan)}, "not finite"),
    ],
)
def test_bad_input_of_data_copying_is_one_sentence(change: dict[str, object], words: str) -> None:
    good = {"train": normal(50, 3, 0), "held_out": normal(30, 3, 1), "fake": normal(30, 3, 2)}
    with pytest.raises(GansmithError, match=words):
        data_copying(**good | change)


# --- authenticity ------------------------------------------------------------------------------------------------

MUTUAL = {1: 2 / 3, 2: math.pi / (4 * math.pi / 3 + math.sqrt(3) / 2), 3: 16 / 27}
"""Chance that a point is the nearest neighbour of its nearest neighbour, by dimension: one ball over two that touch
each other's centres."""


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("d", [1, 2, 3])
def test_authenticity_of_a_perfect_sampler_has_its_closed_form(d: int, seed: int) -> None:
    points = torch.rand(4000, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    reference, fresh = perfect_authenticity(points[:2000]), authenticity(points[:2000], points[2000:])
    for found in (reference, fresh):
        assert found.value == pytest.approx(1 - MUTUAL[d], abs=0.05)
        assert abs(found.value - (1 - MUTUAL[d])) < 4 * found.error


def test_authenticity_of_copies_is_zero_and_of_far_samples_one() -> None:
    train = normal(300, 8, 0)
    assert authenticity(train, noisy_copies(train, 200, 1e-3, 0)[0]).value == 0
    assert authenticity(train, 10 * normal(200, 8, 1)).value == 1
    assert authenticity(train, train).value == 0


def test_errors_of_shares_are_never_zero() -> None:
    train = torch.tensor([[0.0], [1.0], [10.0]])
    found = authenticity(train, torch.tensor([[0.4], [-2.0], [9.0], [30.0]]))
    assert found == pytest.approx((0.5, math.sqrt(0.25 / 8)))  # (2 + 2) / (4 + 4) = 1/2
    assert authenticity(train, torch.tensor([[0.4], [0.4]])).error == pytest.approx(math.sqrt(2 / 9 / 6))


# --- copied ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("d", [1, 2, 4])
def test_new_real_samples_are_called_copies_at_the_false_alarm_rate(d: int, seed: int) -> None:
    found = copied(normal(2000, d, seed), normal(3000, d, seed + 10), false_alarms=0.03)
    assert found.threshold < 2 / 3
    assert found.share.value == pytest.approx(0.03, abs=0.015)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "d"), [(2000, 8), (2000, 64), (90, 64)])
def test_new_real_samples_are_rarely_called_copies(n: int, d: int, seed: int) -> None:
    assert copied(normal(n, d, seed), normal(1000, d, seed + 10)).share.value <= 0.02


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("n", "d", "noise"), [(2000, 8, 0.05), (2000, 64, 0.3), (90, 64, 0.3), (90, 784, 0.4)])
def test_copies_are_found_with_their_originals(n: int, d: int, noise: float, seed: int) -> None:
    train = normal(n, d, seed)
    fake, which = noisy_copies(train, 500, noise, seed)
    found = copied(train, fake)
    assert found.share.value >= 0.95 and torch.equal(found.nearest[found.flags], which[found.flags])


@pytest.mark.parametrize("seed", SEEDS)
def test_each_sample_is_judged_by_itself(seed: int) -> None:
    train = normal(1000, 32, seed)
    copies, new = noisy_copies(train, 300, 0.2, seed)[0], normal(700, 32, seed + 10)
    found = copied(train, torch.cat([copies, new]))
    assert found.flags[:300].float().mean() >= 0.99 and found.flags[300:].float().mean() <= 0.01
    assert found.share.value == pytest.approx(0.3, abs=0.01) and found.flags.shape == found.ratio.shape == (1000,)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(copied(train, torch.cat([copies, new])[order]).flags, found.flags[order])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("k", [2, 3, 10, 100])
def test_blurred_samples_are_near_but_no_copies(k: int, seed: int) -> None:
    """They lie nearer to the training set than real samples do: a rule on distance alone, or on its ratio to the
    original's nearest fellow, calls them all copies."""
    train = normal(1000, 64, seed)
    fake = averages(train, 500, k, seed)
    apart = torch.cdist(train, train).fill_diagonal_(math.inf).min(1).values
    distance, index = torch.cdist(fake, train).min(1)
    assert (distance < apart.quantile(0.01)).float().mean() > 0.9
    assert authenticity(train, fake).value < 0.1 and (distance < 0.9 * apart[index]).float().mean() > 0.9
    assert copied(train, fake).share.value <= 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_samples_of_a_poor_generator_are_no_copies(seed: int) -> None:
    train = normal(1000, 16, seed)
    wide, narrow, far = 2 * normal(300, 16, 1), 0.3 * normal(300, 16, 2), 5 + normal(300, 16, 3)
    for fake in (wide, narrow, far):
        assert copied(train, fake).share.value <= 0.02


@pytest.mark.parametrize("seed", SEEDS)
def test_copies_of_repeated_originals_are_found(seed: int) -> None:
    """With repeats left in, the original's nearest fellow is 0 away and no noisy copy is near enough."""
    once = normal(300, 32, seed)
    train = torch.cat([once, once[:100], once[:100]])
    fake, which = noisy_copies(once[:100], 200, 0.1, seed)
    found = copied(train, fake)
    assert found.share.value == 1 and torch.equal(found.nearest, which)
    assert authenticity(train, fake).value == 1  # blind, as the paper has it


def test_distinct_keeps_the_first_of_equal_rows() -> None:
    x = torch.tensor([[0.0, 1.0], [2.0, 3.0], [-0.0, 1.0], [2.0, 3.0], [2.0, 4.0]])
    assert distinct(x).tolist() == [0, 1, 4]
    assert distinct(x.double()).tolist() == [0, 1, 4]


@pytest.mark.parametrize("seed", SEEDS)
def test_near_equal_pairs_in_the_training_set_do_not_hide_copies(seed: int) -> None:
    """One training sample in 20 has a double a hundredth away: its ratio is near 0, and so is the 1 % quantile."""
    train = normal(1000, 16, seed)
    train[950:] = train[:50] + 0.01 * normal(50, 16, seed + 10)
    apart = torch.cdist(train, train).fill_diagonal_(math.inf).topk(2, largest=False).values
    assert (apart[:, 0] / apart[:, 1]).quantile(0.01) < 0.05
    fake, which = noisy_copies(train[50:950], 500, 0.2, seed)
    found = copied(train, fake)
    assert found.share.value >= 0.95 and torch.equal(found.nearest[found.flags], which[found.flags] + 50)


@pytest.mark.parametrize("seed", SEEDS)
def test_false_alarms_set_the_threshold(seed: int) -> None:
    train, held_out = normal(2000, 3, seed), normal(2000, 3, seed + 10)
    found = [copied(train, held_out, false_alarms=rate) for rate in (0.001, 0.01, 0.1)]
    assert found[0].threshold < found[1].threshold < found[2].threshold < 2 / 3
    assert found[0].share.value < 0.004 < found[1].share.value < 0.03 < found[2].share.value < 0.15


def shifted(images: Tensor, pixels: int) -> Tensor:
    return images.roll((pixels, pixels), (-2, -1))


@pytest.mark.parametrize("seed", SEEDS)
def test_shifted_copies_are_missed_by_pixels_and_found_by_a_feature(seed: int) -> None:
    """Textures on a black ground, moved by 2 pixels; the feature, a Fourier magnitude, does not see shifts."""
    train = torch.zeros(400, 1, 20, 20)
    train[..., 4:16, 4:16] = normal(400, 144, seed).view(400, 1, 12, 12)
    fake = shifted(train[:200], 2)
    original = torch.arange(200)

    def feature(images: Tensor) -> Tensor:
        return torch.fft.fft2(images).abs()

    pixels, features = copied(train, fake), copied(feature(train), feature(fake))
    assert pixels.share.value <= 0.02 and (pixels.nearest == original).float().mean() < 0.1
    assert features.share.value >= 0.9 and (features.nearest == original).float().mean() >= 0.9
    assert copied(train, shifted(fake, -2)).share.value == 1


def test_numpy_and_whole_numbers_and_mixed_types_are_taken() -> None:
    train, fake = normal(100, 4, 0), normal(50, 4, 1)
    expected = copied(train.double(), fake.double())
    found = copied(train.double().numpy(), fake.numpy())
    assert found.share == expected.share and found.nearest.dtype == torch.int64 and found.flags.dtype == torch.bool
    grey = (torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 255).to(torch.uint8)
    assert copied(grey, grey).share.value == 1 and authenticity(grey, grey).value == 0


@pytest.mark.parametrize(
    ("train", "fake", "rate", "words"),
    [
        (torch.zeros(9, 2), torch.ones(5, 2), 0.01, "train has fewer than 3 samples that differ"),
        (torch.eye(9), torch.ones(5, 2), 0.01, "9 columns and fake has 2"),
        (torch.eye(9), torch.ones(5, 9), 0.0, "between 0 and 1"),
        (torch.eye(9), torch.ones(5, 9), math.nan, "between 0 and 1"),
        (torch.eye(9), torch.full((5, 9), math.inf), 0.01, "not finite"),
    ],
)
def test_bad_input_of_copied_is_one_sentence(train: Tensor, fake: Tensor, rate: float, words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        copied(train, fake, false_alarms=rate)


def test_two_training_samples_have_no_reference() -> None:
    with pytest.raises(GansmithError, match="train has 2 samples: at least 3"):
        perfect_authenticity(torch.eye(2))
