"""The verdict on hand-made evaluations whose answers are known."""

from __future__ import annotations

from typing import Any

import pytest

from gansmith.errors import GansmithError
from gansmith.evaluation.score import Protocol, Score
from gansmith.evaluation.verdict import RULES, number, verdict

DIRECTIONS = {"precision": "higher", "recall": "higher", "coverage": "higher", "modes": "higher", "HQ share": "higher"}


def score(name: str, value: float, real: float | None = None, half: float | None = None, **more: Any) -> dict[str, Any]:
    """A score as in evaluation.json, with the interval value ± half (2 % of the value by default; 0 for none)."""
    half = abs(value) * 0.02 if half is None else half
    ends = (value - half, value + half) if half else (None, None)
    n = more.pop("n", 5000)
    protocol = Protocol(n, n, "judge 1", "none", "held-out", 0, "d41d")
    better = DIRECTIONS.get(name, "lower")
    return Score(name, value, *ends, better, None, protocol, real=real, **more).to_json()


def good(**changes: float) -> list[dict[str, Any]]:
    """The scores of a good GAN, some of them changed."""
    values = {"FD(judge)": 6.0, "precision": 0.75, "recall": 0.7, "coverage": 0.93, "C_T": -0.5, "copied": 0.01}
    real = {"FD(judge)": 4.0, "precision": 0.77, "recall": 0.78, "coverage": 0.96, "C_T": None, "copied": 0.008}
    renamed = {"fd": "FD(judge)", "c_t": "C_T"}
    values |= {renamed.get(name, name): value for name, value in changes.items()}
    return [score(name, value, real[name]) for name, value in values.items()]


def levels(evaluation: dict[str, Any]) -> dict[str, str]:
    return {a["question"]: a["level"] for a in verdict(evaluation)["answers"]}


def text(evaluation: dict[str, Any], question: str) -> str:
    return next(a["text"] for a in verdict(evaluation)["answers"] if a["question"] == question)


def test_a_good_gan_is_good_in_all() -> None:
    found = verdict({"scores": good()})
    assert [a["level"] for a in found["answers"]] == ["good"] * 4
    assert [a["question"] for a in found["answers"]] == ["realistic", "diverse", "new", "sure"]
    assert found["summary"] == (
        "The samples are close to real ones. They are as diverse as the data. There is no sign that they are copies."
    )
    assert found["answers"][0]["text"].startswith("Yes.\nPrecision 0.750 [0.735, 0.765], against 0.770 for other real")


def test_a_collapsed_gan_is_realistic_but_not_diverse() -> None:
    """Its FD is as bad as that of noise, for want of diversity; precision is that of real samples."""
    evaluation = {"scores": good(fd=300.0, precision=0.76, recall=0.02, coverage=0.1)}
    assert levels(evaluation) == {"realistic": "good", "diverse": "poor", "new": "good", "sure": "good"}
    assert "does not decide" in text(evaluation, "realistic")
    assert "far less diverse" in verdict(evaluation)["summary"]


def test_a_distance_alone_decides_even_where_diversity_is_poor() -> None:
    evaluation = {"scores": [score("FD(judge)", 300.0, 4.0), score("recall", 0.02, 0.78)]}
    assert levels(evaluation)["realistic"] == "poor"


def test_a_blurry_gan_is_seen_by_its_distance() -> None:
    """Blurred samples lie among real ones, so precision stays high."""
    assert levels({"scores": good(fd=80.0)})["realistic"] == "poor"
    assert levels({"scores": good(fd=30.0)})["realistic"] == "fair"


def test_noise_is_not_realistic() -> None:
    assert levels({"scores": good(fd=900.0, precision=0.0, recall=0.0, coverage=0.0)})["realistic"] == "poor"


@pytest.mark.parametrize("change", [{"copied": 0.85}, {"c_t": -12.0}])
def test_a_copying_gan_is_called_that(change: dict[str, float]) -> None:
    evaluation = {"scores": good(**change)}
    assert levels(evaluation)["new"] == "poor"
    assert levels(evaluation)["realistic"] == "good"
    assert "copies of training samples, so the other answers prove little" in verdict(evaluation)["summary"]


def test_copies_are_counted_beyond_those_among_real_samples() -> None:
    """Data with repeats: 10 % of the held-out samples are copies too."""
    repeats = [score("copied", 0.11, 0.1)]
    assert levels({"scores": repeats})["new"] == "good"
    assert levels({"scores": [score("copied", 0.11, 0.0)]})["new"] == "fair"


def test_a_run_that_was_trained_on_other_data_cannot_be_called_new() -> None:
    evaluation = {"scores": good(), "subject": {"kind": "run", "trained_on_data": False}}
    assert levels(evaluation)["new"] == "unknown" and "not trained on these data" in text(evaluation, "new")
    assert "Whether they are copies is not known." in verdict(evaluation)["summary"]
    assert levels(evaluation | {"subject": {"kind": "run", "trained_on_data": True}})["new"] == "good"


def test_copied_share_is_read_from_novelty_when_there_is_no_score() -> None:
    assert levels({"scores": [], "novelty": {"copied_share": 0.9, "low": 0.88, "high": 0.92}})["new"] == "poor"


def test_what_was_not_measured_is_unknown() -> None:
    found = verdict({"scores": [score("precision", 0.75, 0.77)], "novelty": None, "classes": None})
    assert [a["level"] for a in found["answers"]] == ["good", "unknown", "unknown", "good"]
    assert found["answers"][1]["text"] == "Unknown: not measured."
    assert "How diverse they are is not known." in found["summary"]
    empty = verdict({"scores": []})
    assert empty["summary"] == "Nothing was measured."
    assert {a["level"] for a in empty["answers"]} == {"unknown"}


def test_without_a_reference_a_relative_measure_decides_nothing() -> None:
    evaluation = {"scores": [score("recall", 0.01)]}
    assert levels(evaluation)["diverse"] == "unknown"
    assert text(evaluation, "diverse").startswith("Unknown: measured, but with nothing to judge it by.\nRecall 0.01")


def test_a_value_that_is_not_finite_is_not_measured() -> None:
    evaluation = {"scores": [score("precision", float("nan"), 0.77, half=0)]}
    assert levels(evaluation)["realistic"] == "unknown"


def test_few_samples_make_the_answers_unsure() -> None:
    few = [score("precision", 0.75, 0.77, n=100)]
    some = [score("precision", 0.75, 0.77, n=500)]
    assert levels({"scores": few})["sure"] == "poor"
    assert levels({"scores": some})["sure"] == "fair"
    assert "only 100 samples" in text({"scores": few}, "sure")
    assert "Too little was measured" in verdict({"scores": few})["summary"]


def test_warnings_missing_intervals_and_close_calls_make_the_answers_unsure() -> None:
    warned = [score("precision", 0.75, 0.77, warnings=("N is below the dimension.",))]
    bare = [score("precision", 0.75, 0.77, half=0)]
    close = [score("precision", 0.75, 0.77, half=0.1)]  # 0.65 / 0.77 is below 0.9
    assert levels({"scores": warned})["sure"] == "fair" and "1 warning about these numbers." in text(
        {"scores": warned}, "sure"
    )
    assert levels({"scores": bare})["sure"] == "fair" and "Without an interval: precision" in text(
        {"scores": bare}, "sure"
    )
    assert levels({"scores": close})["sure"] == "fair" and "over a threshold: precision" in text(
        {"scores": close}, "sure"
    )
    assert levels({"scores": [score("precision", 0.75, 0.77)]})["sure"] == "good"


def test_an_interval_that_does_not_decide_makes_nobody_unsure() -> None:
    """Recall is poor with certainty; that coverage is good or fair does not matter."""
    scores = [score("recall", 0.01, 0.78), score("coverage", 0.87, 0.96, half=0.05)]
    assert levels({"scores": scores})["sure"] == "good"


@pytest.mark.parametrize(
    ("shares", "level", "words"),
    [
        ([0.25, 0.25, 0.25, 0.25], "good", "None of the 4 classes"),
        ([0.3, 0.3, 0.3, 0.1], "fair", "scarce: d (25 % of the data)"),
        ([0.34, 0.33, 0.33, 0.0], "poor", "missing: d (25 % of the data)"),
        ([1.0, 0.0, 0.0, 0.0], "poor", "missing: b, c, d (75 % of the data)"),
    ],
)
def test_missing_classes(shares: list[float], level: str, words: str) -> None:
    highs = [share + 0.01 for share in shares]
    classes = {"names": ["a", "b", "c", "d"], "real": [0.25] * 4, "fake": shares, "low": shares, "high": highs}
    evaluation = {"scores": [], "classes": classes}
    assert levels(evaluation)["diverse"] == level
    assert words in text(evaluation, "diverse")


def test_a_rare_class_that_is_missing_is_fair_and_a_wide_interval_calls_none_missing() -> None:
    classes = {"names": ["a", "b"], "real": [0.9, 0.1], "fake": [1.0, 0.0], "low": [0.99, 0.0], "high": [1.0, 0.005]}
    assert levels({"scores": [], "classes": classes})["diverse"] == "fair"
    unsure = classes | {"high": [1.0, 0.3]}  # too few samples to call it missing
    assert levels({"scores": [], "classes": unsure})["diverse"] == "good"
    assert levels({"scores": [], "classes": classes | {"high": [None, None]}})["diverse"] == "good"


def test_many_missing_classes_are_not_all_named() -> None:
    n = 100
    classes = {"names": list(map(str, range(n))), "real": [1 / n] * n, "fake": [0.0] * n, "high": [0.0] * n}
    assert "0, 1, 2, 3, 4 and 95 more (100 % of the data)" in text({"scores": [], "classes": classes}, "diverse")


@pytest.mark.parametrize(
    ("support", "level"),
    [
        ({"value": 9000.0, "low": 8000.0, "high": 10000.0, "at_least": False}, "good"),
        ({"value": 2000.0, "low": 1500.0, "high": 2500.0, "at_least": False}, "fair"),
        ({"value": 90.0, "low": 80.0, "high": 100.0, "at_least": False}, "poor"),
        ({"value": None, "low": 50_000.0, "high": None, "at_least": True}, "good"),
        ({"value": None, "low": 20.0, "high": None, "at_least": True}, "unknown"),  # too few samples to tell
        ({"value": None, "low": None, "high": None, "at_least": False}, "unknown"),
    ],
)
def test_support_is_judged_by_the_training_set(support: dict[str, Any], level: str) -> None:
    evaluation = {"scores": [], "data": {"count": 10_000}, "novelty": {"support": support}}
    assert levels(evaluation)["diverse"] == level
    assert ("support at least" in text(evaluation, "diverse").lower()) == support["at_least"]


def test_support_of_real_samples_comes_before_the_training_set() -> None:
    support = {"value": 900.0, "low": 800.0, "high": 1000.0, "at_least": False}
    evaluation = {
        "scores": [score("support", 900.0, 1000.0)],
        "data": {"count": 10**6},
        "novelty": {"support": support},
    }
    assert levels(evaluation)["diverse"] == "good"


def test_known_modes_are_judged_by_their_ideal() -> None:
    protocol = Protocol(5000, 5000, "none", "none", "law", 0, "d41d")
    held = [Score("modes", n, None, None, "higher", 25.0, protocol).to_json() for n in (25.0, 22.0, 4.0)]
    assert [levels({"scores": [s]})["diverse"] for s in held] == ["good", "fair", "poor"]
    assert "against 25 for the ideal" in text({"scores": held[:1]}, "diverse")


def test_alike_samples_are_not_diverse() -> None:
    found = [levels({"scores": [score("MS-SSIM", value, 0.2)]})["diverse"] for value in (0.21, 0.4, 0.9)]
    assert found == ["good", "fair", "poor"]


def test_fid_and_fd_are_judged_but_not_the_extrapolated_one() -> None:
    evaluation = {"scores": [score("FD(judge) infinity", 0.1, 4.0), score("FID", 90.0, 3.0)]}
    assert "FID" in text(evaluation, "realistic") and "infinity" not in text(evaluation, "realistic")
    assert levels(evaluation)["realistic"] == "poor"
    assert levels({"scores": [score("SW(pixels)", 2.0, 1.0)]})["realistic"] == "fair"


@pytest.mark.parametrize("name", RULES)
def test_every_rule_changes_its_level_at_its_thresholds(name: str) -> None:
    rule = RULES[name]
    toward_good = 1e-3 if rule.good > rule.fair else -1e-3
    measure = {"FD": "FD(x)", "SW": "SW(x)"}.get(name, name)
    value = {"times": lambda q: 0.5 * q, "excess": lambda q: 0.5 + q, "gap": lambda q: 0.5 + 0.5 * q, "value": float}
    question = {
        "precision": 0,
        "HQ share": 0,
        "realism": 0,
        "FD": 0,
        "SW": 0,
        "copied": 2,
        "copied(pixels)": 2,
        "C_T": 2,
    }.get(name, 1)
    found = []
    for quantity in (
        rule.good + toward_good,
        rule.good - toward_good,
        rule.fair + toward_good,
        rule.fair - toward_good,
    ):
        made = score(measure, value[rule.against](quantity), None if rule.against == "value" else 0.5)
        found.append(verdict({"scores": [made]})["answers"][question]["level"])
    assert found == ["good", "fair", "fair", "poor"]


def test_a_damaged_score_is_one_sentence() -> None:
    with pytest.raises(GansmithError, match=r"evaluation\.json is damaged"):
        verdict({"scores": [{"name": "FD"}]})


def test_numbers_are_short() -> None:
    assert [number(x) for x in (0.0, 1.5, 123456.7, 1e-7, float("inf"), None)] == [
        *("0", "1.5", "123,457", "1e-07", "not finite", "not finite")
    ]
    assert [number(12.3456, error) for error in (0.5, 0.012, 3.0, 0.0, float("nan"))] == [
        *("12.3", "12.346", "12", "12.3", "12.3")
    ]


def test_a_lower_bound_of_the_support_makes_nobody_unsure() -> None:
    """Its score has no upper end, and says so in a warning."""
    endless = score("support", float("nan"), half=0, warnings=("The support is at least 50,000.",))
    support = {"value": None, "low": 50_000.0, "high": None, "at_least": True}
    evaluation = {"scores": [endless, *good()], "data": {"count": 10_000}, "novelty": {"support": support}}
    assert levels(evaluation) == {"realistic": "good", "diverse": "good", "new": "good", "sure": "good"}
