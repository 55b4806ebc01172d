"""Inception Score, class shares and stacked modes against closed forms, scipy and two other packages."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import peers
import pytest
import torch
from scipy.stats import binomtest, chi2_contingency
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.classes import (
    class_balance,
    class_histogram,
    inception_score,
    inception_score_estimate,
    stacked_modes,
    wilson,
)
from gansmith.evaluation.score import Z95


def random_logits(n: int, classes: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, classes, dtype=torch.float64, generator=generator)


def drawn(shares: list[float], n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).choice(len(shares), size=n, p=shares)


# ------------------------------------------------------------------ Inception Score


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_sure_and_uniform_scores_the_number_of_classes(classes: int) -> None:
    mean, std = inception_score(torch.eye(classes).repeat(3, 1), splits=1)
    assert mean == pytest.approx(classes, rel=1e-12) and std == 0


@pytest.mark.parametrize("splits", [1, 3, 10])
def test_constant_verdict_scores_one(splits: int) -> None:
    for law in ([0.1, 0.2, 0.7], [0.0, 1.0, 0.0]):
        mean, std = inception_score(torch.tensor([law] * 50), splits)
        assert mean == pytest.approx(1, abs=1e-12) and std == pytest.approx(0, abs=1e-12)


def test_it_does_not_see_collapse_within_a_class() -> None:
    """A generator with one image per class scores no less than the data, and K for a sure classifier."""
    generator = torch.Generator().manual_seed(0)
    typical = torch.randn(10, 50, generator=generator)
    labels = torch.arange(10).repeat(100)
    data, collapsed = typical[labels] + torch.randn(1000, 50, generator=generator), typical[labels]
    assert len(data.unique(dim=0)) == 1000 and len(collapsed.unique(dim=0)) == 10

    def score(images: Tensor, sharpness: float) -> float:
        return inception_score(torch.softmax(-sharpness * torch.cdist(images, typical), 1), splits=1).mean

    assert score(collapsed, 0.5) > score(data, 0.5)
    assert score(collapsed, 100) == pytest.approx(10) == score(data, 100)
    assert score(typical[labels % 5], 100) == pytest.approx(5), "it does see classes that are missing"
    assert score(torch.randn(1000, 50, generator=generator), 0.1) < 2, "and images of no class"


def test_score_by_hand() -> None:
    """Verdicts (1, 0) and (1/2, 1/2): the marginal is (3/4, 1/4), the KLs are log 4/3 and (log 2/3 + log 2) / 2."""
    mean_kl = (math.log(4 / 3) + (math.log(2 / 3) + math.log(2)) / 2) / 2
    assert inception_score([[1.0, 0.0], [0.5, 0.5]], splits=1).mean == pytest.approx(math.exp(mean_kl), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [1000, 1003])
def test_agrees_with_torch_fidelity(n: int, seed: int) -> None:
    logits = random_logits(n, 10, seed)
    theirs = peers.torch_fidelity("metric_isc").isc_features_to_metric(logits, splits=10, shuffle=False)
    ours = inception_score(logits.softmax(1), splits=10, seed=None)
    assert ours.mean == pytest.approx(theirs["inception_score_mean"], rel=1e-10)
    assert ours.std == pytest.approx(theirs["inception_score_std"], rel=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_torchmetrics(seed: int) -> None:
    """They shuffle by the global state and give the sample deviation, which is sqrt(10 / 9) times ours."""
    logits = random_logits(1000, 10, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric = peers.torchmetrics("image.inception").InceptionScore(feature=torch.nn.Identity(), splits=10)
        metric.update(logits)
        torch.manual_seed(seed)
        mean, std = (float(x) for x in metric.compute())
    torch.manual_seed(seed)
    ours = inception_score(logits[torch.randperm(1000)].softmax(1), splits=10, seed=None)
    assert ours.mean == pytest.approx(mean, rel=1e-6)
    assert ours.std * math.sqrt(10 / 9) == pytest.approx(std, rel=1e-6)


def test_float32_input_is_summed_in_float64() -> None:
    probs = random_logits(2000, 1000, 0).softmax(1)
    exact, rounded = inception_score(probs).mean, inception_score(probs.float()).mean
    assert rounded == pytest.approx(exact, rel=1e-6)
    assert inception_score(probs.float().numpy()) == inception_score(probs.float())


def test_tiny_negative_probabilities_count_as_zero() -> None:
    assert inception_score([[1.0, -1e-7], [-1e-7, 1.0]], splits=1).mean == pytest.approx(2, rel=1e-6)


def test_sorted_samples_need_the_shuffle() -> None:
    """Samples sorted by class: in their order each split has one class and scores 1; shuffled, nearly 10."""
    probs = torch.eye(10).repeat_interleave(200, 0)
    assert inception_score(probs, seed=None).mean == pytest.approx(1)
    assert all(inception_score(probs, seed=seed).mean > 9.5 for seed in range(3))
    assert inception_score(probs, seed=1) == inception_score(probs, seed=1) != inception_score(probs, seed=2)


def test_small_splits_are_biased_down() -> None:
    probs = torch.eye(10)[torch.from_numpy(drawn([0.1] * 10, 1000, 0))]
    assert inception_score(probs, splits=1).mean > inception_score(probs, splits=10).mean + 0.2
    assert inception_score(probs, splits=10).mean > inception_score(probs, splits=50).mean + 0.5


@pytest.mark.parametrize("splits", [5, 10])
def test_the_standard_error_is_that_of_repeated_draws(splits: int) -> None:
    estimates = []
    for seed in range(300):
        labels = torch.from_numpy(drawn([0.3, 0.2, 0.2, 0.1, 0.1, 0.1], 300, seed))
        estimates.append(inception_score_estimate(torch.eye(6)[labels] * 0.7 + 0.05, splits))
    values = np.array([e.value for e in estimates])
    stated = math.sqrt(np.mean([e.error**2 for e in estimates]))
    assert stated == pytest.approx(values.std(), rel=0.15)
    score = inception_score(torch.eye(6)[labels] * 0.7 + 0.05, splits)
    assert estimates[-1].value == score.mean
    assert estimates[-1].error == pytest.approx(score.std / math.sqrt(splits - 1), rel=1e-9)
    assert estimates[-1].error < score.std, "the deviation of one split is not the error of their mean"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: inception_score(torch.randn(20, 3) * 5), "take the softmax"),
        (lambda: inception_score(torch.tensor([[1.5, -0.5]] * 20)), "row 0"),
        (lambda: inception_score(torch.full((5, 2), 0.5)), "choose from 1 to 5"),
        (lambda: inception_score(torch.full((5, 2), 0.5), splits=0), "splits is 0"),
        (lambda: inception_score(torch.ones(20)), "1 dimensions"),
        (lambda: inception_score(torch.full((20, 2), float("nan"))), "not finite"),
        (lambda: inception_score("probs"), "array of numbers"),
        (lambda: inception_score_estimate(torch.full((5, 2), 0.5), splits=1), "2 splits"),
    ],
)
def test_bad_posteriors_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        call()


def test_the_row_at_fault_is_named() -> None:
    probs = torch.full((20, 4), 0.25)
    probs[7, 0] = 0.5
    with pytest.raises(GansmithError, match=r"probs row 7 \(sum 1.25"):
        inception_score(probs)


# ------------------------------------------------------------------ class shares


def test_histogram_of_labels_and_of_probabilities() -> None:
    labels = torch.tensor([0, 1, 1, 3])
    assert class_histogram(labels, 5).tolist() == [0.25, 0.5, 0, 0.25, 0]
    assert class_histogram(labels.numpy(), 5).tolist() == class_histogram(labels.double(), 5).tolist()
    assert class_histogram([[0.6, 0.4], [0.1, 0.9], [0.3, 0.7], [0.2, 0.8]], 2).tolist() == [0.25, 0.75]


@pytest.mark.parametrize("total", [1, 7, 100, 10_000])
def test_wilson_is_scipys(total: int) -> None:
    counts = sorted({0, 1, total // 3, total // 2, total - 1, total})
    low, high = wilson(torch.tensor(counts, dtype=torch.float64), total)
    for k, a, b in zip(counts, low.tolist(), high.tolist(), strict=True):
        theirs = binomtest(k, total).proportion_ci(confidence_level=0.95, method="wilson")
        assert (a, b) == pytest.approx((theirs.low, theirs.high), rel=1e-9, abs=1e-12)


def test_wilson_covers() -> None:
    """Rare shares too, where share ± 1.96 errors covers far too seldom."""
    for share in (0.02, 0.1, 0.5):
        counts = torch.from_numpy(np.random.default_rng(0).binomial(100, share, 20_000)).double()
        low, high = wilson(counts, 100)
        assert 0.92 < float(((low <= share) & (share <= high)).double().mean()) < 0.99
    p = counts.new_tensor(np.random.default_rng(0).binomial(100, 0.02, 20_000)) / 100
    half = Z95 * (p * (1 - p) / 100).sqrt()
    assert float(((p - half <= 0.02) & (p + half >= 0.02)).double().mean()) < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_balance_of_equal_laws(seed: int) -> None:
    """No alarm: distance, KL (about (K - 1) / N) and missing classes are next to nothing."""
    law = [0.1, 0.2, 0.3, 0.4]
    found = class_balance(drawn(law, 5000, seed), drawn(law, 5000, seed + 100), 4)
    assert found.p_value > 0.01 and found.missing == 0
    assert found.total_variation < 0.03 and 0 <= found.kl < 0.005
    assert bool(((found.low < found.shares) & (found.shares < found.high)).all())
    assert found.shares.sum() == pytest.approx(1) and found.real.sum() == pytest.approx(1)


def test_p_value_is_uniform_under_equal_laws() -> None:
    law = [0.25] * 4
    p = np.array([class_balance(drawn(law, 400, 2 * s), drawn(law, 400, 2 * s + 1), 4).p_value for s in range(400)])
    assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.03) and np.mean(p < 0.5) == pytest.approx(0.5, abs=0.08)


def test_balance_by_hand() -> None:
    fake, real = [0] * 60 + [1] * 40, [0] * 50 + [1] * 30 + [2] * 20
    found = class_balance(fake, real, 4)
    assert found.shares.tolist() == [0.6, 0.4, 0, 0] and found.real.tolist() == [0.5, 0.3, 0.2, 0]
    assert found.total_variation == pytest.approx(0.2)
    assert found.kl == pytest.approx(0.6 * math.log(1.2) + 0.4 * math.log(4 / 3))
    assert found.missing == 1, "class 2; class 3 is in neither"
    expected = chi2_contingency([[60, 40, 0], [50, 30, 20]], correction=False).pvalue
    assert found.p_value == pytest.approx(expected, rel=1e-9) and found.p_value < 1e-4


def test_a_class_that_the_data_lack_makes_kl_infinite() -> None:
    found = class_balance([0, 0, 1, 2], [0, 0, 1, 1], 3)
    assert found.kl == math.inf and found.missing == 0 and 0 < found.p_value < 1


def test_missing_needs_proof_or_absence() -> None:
    """Of 10 equal classes one with 2 of 1000 is missing (0.7 % at most); one with 8, or with 1 of 20, is only rare."""
    real = np.arange(1000) % 10

    def missing(count: int, n: int) -> int:
        return class_balance([0] * count + [1 + i % 9 for i in range(n - count)], real, 10).missing

    assert missing(0, 1000) == 1 and missing(2, 1000) == 1
    assert missing(8, 1000) == 0 and missing(1, 20) == 0 and missing(0, 20) == 1


@pytest.mark.parametrize("dropped", [1, 3, 5])
def test_dropped_classes_are_counted(dropped: int) -> None:
    for seed in range(3):
        law = [0.0] * dropped + [1 / (10 - dropped)] * (10 - dropped)
        found = class_balance(drawn(law, 2000, seed), drawn([0.1] * 10, 2000, seed + 50), 10)
        assert found.missing == dropped and found.p_value < 1e-6
        assert found.total_variation == pytest.approx(dropped / 10, abs=0.05)
        assert found.kl == pytest.approx(-math.log(1 - dropped / 10), abs=0.05)


def test_one_class_alone_differs_in_nothing() -> None:
    found = class_balance([0, 0, 0], [0, 0], 1)
    assert found.p_value == 1 and found.total_variation == 0 and found.kl == 0 and found.missing == 0


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([0, 1, 10], 10, "holds 10"),
        ([0, -1], 10, "holds -1"),
        ([0.5, 1], 10, "holds 0.5"),
        ([[0.5, 0.5]], 10, "2 columns, but there are 10 classes"),
        ([[3], [4]], 10, "1 columns"),
        ([[2.0, 3.0]], 2, "softmax"),
        (np.zeros((2, 2, 2)), 2, "3 dimensions"),
        ([0, 1], 0, "num_classes is 0"),
        ([], 3, "0 samples"),
    ],
)
def test_bad_labels_are_refused(labels: Any, classes: int, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        class_histogram(labels, classes)


# ------------------------------------------------------------------ stacked digits


@pytest.mark.parametrize("seed", range(3))
def test_a_perfect_sampler_of_stacked_digits(seed: int) -> None:
    """25,600 uniform draws: all 1000 modes, KL about 999 / 51,200 = 0.0195, deviation about sqrt(999 / 2) / 25,600."""
    found = stacked_modes(np.random.default_rng(seed).integers(0, 10, (25_600, 3)))
    assert found.modes == 1000 and found.kl == pytest.approx(999 / 51_200, abs=0.004)


def test_collapsed_stacked_digits() -> None:
    every = torch.cartesian_prod(*[torch.arange(10)] * 3)
    assert stacked_modes(every) == (1000, pytest.approx(0, abs=1e-12))
    assert stacked_modes(every[:250]) == (250, pytest.approx(math.log(4)))
    assert stacked_modes(every[:1].repeat(9, 1)) == (1, pytest.approx(math.log(1000)))
    assert stacked_modes(every[:, [2, 0, 1]][:250]).modes == 250, "the order of the channels matters not"


@pytest.mark.parametrize(
    ("labels", "message"),
    [([[0, 1]], r"\(N, 3\)"), ([1, 2, 3], r"shape \(3,\)"), ([[0, 1, 10]], "holds 10"), ([[0, 1.5, 2]], "holds 1.5")],
)
def test_bad_stacked_labels_are_refused(labels: Any, message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        stacked_modes(labels)
