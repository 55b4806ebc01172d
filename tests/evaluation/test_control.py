"""Class control: how often a classifier takes a sample for the class that was asked for."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from scipy.stats import binomtest

from gansmith.evaluation.features.base import Extractor
from gansmith.evaluation.measures import Context, Part, control

CLASSES = ("a", "b", "c", "d")
CONTEXT = Context(cast(Extractor, None), classes=CLASSES)


def part(asked: list[int], told: list[int]) -> Part:
    probs = torch.nn.functional.one_hot(torch.tensor(told, dtype=torch.int64), 4).float()
    return Part(torch.zeros(len(told), 2), probs, labels=torch.tensor(asked, dtype=torch.int64))


def test_it_is_the_share_of_right_answers_and_names_the_worst_class() -> None:
    whole, worst = control(part([0, 0, 1, 1, 2, 2, 3, 3], [0, 0, 1, 3, 2, 2, 0, 1]), part([], []), CONTEXT)
    assert (whole.name, whole.value) == ("class control", 5 / 8)
    assert (worst.value, worst.how) == (0.0, "Wilson; class d")
    low, high = binomtest(5, 8).proportion_ci(method="wilson")
    assert whole.interval is not None
    assert (whole.interval.low, whole.interval.high) == pytest.approx((low, high), rel=1e-3)


def test_a_class_that_nobody_asked_for_is_not_the_worst() -> None:
    _, worst = control(part([0, 0, 1, 1], [0, 0, 1, 0]), part([], []), CONTEXT)
    assert (worst.value, worst.how) == (0.5, "Wilson; class b")


def test_labels_by_chance_are_right_by_chance() -> None:
    torch.manual_seed(0)
    asked, told = torch.randint(4, (2, 4000)).tolist()
    whole, _ = control(part(asked, told), part([], []), CONTEXT)
    assert whole.interval is not None and whole.interval.low < 0.25 < whole.interval.high


@pytest.mark.parametrize("labels", [None, torch.tensor([0, 1])])
def test_without_labels_or_a_judge_of_these_classes_nothing_is_said(labels: torch.Tensor | None) -> None:
    unlike = Part(torch.zeros(2, 2), torch.full((2, 7), 1 / 7), labels=labels)
    assert not list(control(unlike, unlike, CONTEXT))
