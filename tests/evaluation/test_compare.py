"""Comparisons of hand-made evaluations: what is refused, what is noise, what is a difference."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gansmith.errors import GansmithError
from gansmith.evaluation.compare import compare, conclusion, holm
from gansmith.evaluation.score import Z95, Protocol, Score

PROTOCOL = Protocol(5000, 4483, "judge 1 3f2a", "none", "train", 0, "d41d", {"k": 5})


def score(name: str, value: float, error: float | None, better: str = "lower", ideal: float | None = 0.0) -> Score:
    low, high = (None, None) if error is None else (value - Z95 * error, value + Z95 * error)
    return Score(name, value, low, high, better, ideal, PROTOCOL)  # type: ignore[arg-type]


def evaluation(*scores: Score, path: str = "runs/1", kind: str = "run") -> dict[str, Any]:
    subject = {"kind": kind, "path": path}
    return {"subject": subject, "data": {"name": "digits"}, "scores": [s.to_json() for s in scores]}


def other(score: Score, **changes: Any) -> Score:
    return replace(score, protocol=replace(score.protocol, **changes))


def test_a_clear_difference_is_beyond_the_noise() -> None:
    (row,) = compare(evaluation(score("FD(judge)", 12.0, 0.3)), evaluation(score("FD(judge)", 10.0, 0.4)))
    assert row.gain == pytest.approx(2.0)
    assert row.z == pytest.approx(4.0)  # 2 / sqrt(0.09 + 0.16)
    assert row.p == pytest.approx(2 * stats.norm.sf(4.0))
    assert row.better == "B"
    assert row.sentence == "FD(judge): B is better beyond the noise (A 12.0, B 10.0; z 4.0, p below 0.001)."


def test_a_small_difference_is_noise() -> None:
    (row,) = compare(evaluation(score("FD(judge)", 10.5, 0.3)), evaluation(score("FD(judge)", 10.0, 0.4)))
    assert row.better is None and row.z == pytest.approx(1.0)
    assert "B is ahead, but within the noise (A 10.5, B 10.0; z 1.0, p 0.317)." in row.sentence


def test_one_comparison_is_decided_at_1_96() -> None:
    for z, better in ((1.95, None), (1.97, "B")):
        (row,) = compare(evaluation(score("KID", z, 1.0)), evaluation(score("KID", 0.0, 0.0)))
        assert row.better == better


@pytest.mark.parametrize(("better", "ideal", "winner"), [("lower", 0.0, "A"), ("higher", None, "B")])
def test_direction_decides_who_is_better(better: str, ideal: float | None, winner: str) -> None:
    (row,) = compare(evaluation(score("x", 0.2, 0.01, better, ideal)), evaluation(score("x", 0.6, 0.01, better, ideal)))
    assert row.better == winner


def test_a_target_is_judged_by_the_distance_from_it() -> None:
    a, b = score("1-NN accuracy", 0.3, 0.01, "target", 0.5), score("1-NN accuracy", 0.6, 0.01, "target", 0.5)
    (row,) = compare(evaluation(a), evaluation(b))
    assert row.better == "B" and row.gain == pytest.approx(0.1)  # 0.2 away against 0.1 away
    (same,) = compare(
        evaluation(score("x", 0.4, 0.01, "target", 0.5)), evaluation(score("x", 0.6, 0.01, "target", 0.5))
    )
    assert same.better is None and same.gain == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"n_fake": 10000}, "n_fake 5000 against 10000"),
        ({"extractor": "pixels 1"}, "extractor judge 1 3f2a against pixels 1"),
        ({"resize": "bicubic"}, "resize none against bicubic"),
        ({"split": "held-out"}, "split train against held-out"),
        ({"data": "beef"}, "data d41d against beef"),
        ({"settings": {"k": 3}}, "settings {'k': 5} against {'k': 3}"),
        ({"code": 2}, "code 1 against 2"),
    ],
)
def test_unlike_protocols_are_refused_by_name(changes: dict[str, Any], words: str) -> None:
    fd, kid = score("FD(judge)", 12.0, 0.3), score("KID", 1.0, 0.1)
    rows = compare(evaluation(fd, kid), evaluation(other(fd, **changes), kid))
    assert rows[0].sentence == f"FD(judge): not comparable: {words}."
    assert (rows[0].gain, rows[0].z, rows[0].p, rows[0].better) == (None, None, None, None)
    assert rows[1].z == 0.0 and rows[1].sentence == "KID: the same (A 1.00, B 1.00)."


def test_nothing_comparable_names_the_fields_and_the_command() -> None:
    fd = score("FD(judge)", 12.0, 0.3)
    b = evaluation(other(fd, n_fake=10000, seed=3), path="runs/my run")
    with pytest.raises(GansmithError) as error:
        compare(evaluation(fd), b)
    assert "cannot be compared: n_fake 5000 against 10000; seed 0 against 3. " in str(error.value)
    assert str(error.value).endswith("Evaluate alike: gansmith evaluate 'runs/my run' -n 5000 --seed 0")


def test_the_command_for_other_data_and_for_a_folder_names_the_data() -> None:
    fd = score("FD(judge)", 12.0, 0.3)
    with pytest.raises(GansmithError, match=r"gansmith evaluate runs/2 --against digits$"):
        compare(evaluation(fd), evaluation(other(fd, data="beef"), path="runs/2"))
    with pytest.raises(GansmithError, match=r"gansmith evaluate --samples pictures --against digits -n 5000$"):
        compare(evaluation(fd), evaluation(other(fd, n_fake=9), path="pictures", kind="folder"))


def test_no_common_name_is_refused() -> None:
    a, b = score("FD(judge)", 12.0, 0.3), other(score("FD(pixels)", 12.0, 0.3), extractor="pixels 1")
    with pytest.raises(GansmithError, match=r"share no score, but have FD\(judge\) and FD\(pixels\)"):
        compare(evaluation(a), evaluation(b))
    with pytest.raises(GansmithError, match=r"nothing and FD\(pixels\).*gansmith evaluate runs/1 -n 5000"):
        compare(evaluation(), evaluation(b, path="runs/2"))


def test_of_two_scores_of_one_name_the_alike_are_paired() -> None:
    judge, pixels = score("precision", 0.8, 0.01, "higher"), other(score("precision", 0.1, 0.01), extractor="pixels 1")
    rows = compare(evaluation(judge, pixels), evaluation(pixels, judge))
    assert [row.z for row in rows] == [0.0, 0.0]


def test_without_an_interval_there_is_a_difference_but_no_verdict() -> None:
    (row,) = compare(evaluation(score("SWD", 4.0, None)), evaluation(score("SWD", 2.0, 0.1)))
    assert (row.gain, row.z, row.p, row.better) == (2.0, None, None, None)
    assert "nobody can tell this from noise" in row.sentence


def test_a_value_that_is_not_finite_is_refused() -> None:
    rows = compare(
        evaluation(score("KID", math.nan, None), score("FD", 1.0, 0.1)),
        evaluation(score("KID", 1.0, 0.1), score("FD", 1.0, 0.1)),
    )
    assert rows[0].differs == ("the value of A is not finite",)


def test_values_without_noise() -> None:
    (row,) = compare(evaluation(score("x", 1.0, 0.0)), evaluation(score("x", 2.0, 0.0)))
    assert row.better == "A" and row.z == -math.inf and row.p == 0.0


def test_holm_by_hand_and_by_closed_test() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == [] and holm([0.7, 0.8]) == [1.0, 1.0]
    for seed in range(3):
        p = np.random.default_rng(seed).uniform(size=6) ** 3
        assert holm(list(p)) == pytest.approx(closed_test(p))


def closed_test(p: np.ndarray) -> list[float]:
    """Holm as the closed test of Bonferroni: the largest Bonferroni p of all subsets that hold the hypothesis."""
    n = len(p)
    subsets = [[i for i in range(n) if mask >> i & 1] for mask in range(1, 2**n)]
    bonferroni = [(set(s), min(1.0, len(s) * min(p[i] for i in s))) for s in subsets]
    return [max(q for s, q in bonferroni if i in s) for i in range(n)]


def test_many_comparisons_need_a_larger_difference() -> None:
    """z = 2.1 is beyond the noise alone, but not as the largest of ten."""
    names = [f"s{i}" for i in range(10)]
    a = [score(name, 2.1 if name == "s0" else 0.0, 1.0) for name in names]
    b = [score(name, 0.0, 0.0) for name in names]
    rows = compare(evaluation(*a), evaluation(*b))
    assert rows[0].better is None and "although alone it would exceed it" in rows[0].sentence
    assert "over 10 comparisons" in rows[0].sentence
    assert compare(evaluation(a[0]), evaluation(b[0]))[0].better == "B"


@pytest.mark.parametrize("seed", range(3))
def test_equal_generators_seldom_differ(seed: int) -> None:
    """Of 300 comparisons of five scores each of the same law, about 5 % find any difference: 3 to 27 of 300."""
    draws = np.random.default_rng(seed).normal(size=(300, 2, 5))
    names = [f"s{i}" for i in range(5)]
    sets = [
        [evaluation(*(score(n, x, 1.0) for n, x in zip(names, side, strict=True))) for side in pair] for pair in draws
    ]
    alarms = sum(any(row.better for row in compare(a, b)) for a, b in sets)
    assert 3 <= alarms <= 27


def test_conclusion_counts_wins_ties_and_refusals() -> None:
    a = [score("FD", 12.0, 0.3), score("KID", 1.0, 0.1), score("recall", 0.9, 0.01, "higher"), score("SWD", 1.0, None)]
    b = [score("FD", 9.0, 0.3), score("KID", 1.05, 0.1), score("recall", 0.5, 0.01, "higher"), score("SWD", 2.0, None)]
    refused = score("IS", 5.0, 0.1, "higher")
    rows = compare(evaluation(*a, refused), evaluation(*b, other(refused, n_fake=9)))
    assert conclusion(rows) == (
        "Of 3 scores with intervals, A is better in 1 (recall), B is better in 1 (FD) beyond the noise; "
        "1 within it. 1 could not be compared. 1 had no interval. "
        "The noise is that of the measurement; another training seed may move the scores as well."
    )
    same = compare(evaluation(*a[:1]), evaluation(*a[:1]))
    assert conclusion(same).startswith("Of 1 score with intervals, none differs beyond the noise. The noise")
