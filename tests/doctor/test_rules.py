"""Each rule alarms on the course that it is made for, since the right tick, and not on a healthy one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from made import CELLS, CONFIG, FACTS, TICKS, history, late, rows

from gansmith.doctor import diagnose, from_rows
from gansmith.doctor.cases import CASES
from gansmith.doctor.course import Course
from gansmith.doctor.findings import Diagnosis
from gansmith.doctor.rules import RULES, Limits, strengths

GONE = [0] * 10 + [50] * 10  # half of the regions without samples
SWING = [[50, 0] * 10 if i % 2 else [0, 50] * 10 for i in range(TICKS)]
BAD = {"coverage": 0.2, "precision": 0.3}
RISING = np.linspace(0.02, 0.9, TICKS)

SICK: dict[str, dict[str, Any]] = {
    "divergence": {"coverage": late(0.85, 0.05), "precision": late(0.9, 0.1)},
    "memorisation": {"copies": late(0.05, 0.9)},
    "d-overfitting": {"memory": late(0.5, 0.9)},
    "augmentation-leak": {"leak_hflip": late(0.0, 0.5)},
    "d-overpowers-g": {"auc": 1.0} | BAD,
    "g-overpowers-d": {"auc": 0.5} | BAD,
    "mode-dropping": {"coverage": late(0.85, 0.4), "cells": [CELLS] * 6 + [GONE] * 6},
    "mode-collapse": {"coverage": 0.2, "cells": [GONE] * TICKS},
    "oscillation": {"cells": SWING},
    "convergence-failure": {"coverage": 0.01, "precision": 0.05},
    "under-training": {"coverage": 0.3 * RISING, "precision": 0.3 * RISING},
    "starvation": {"waiting": 0.6},
}


def problems(found: Diagnosis) -> list[str]:
    return [f.problem for f in found.findings]


def test_every_rule_has_words_and_a_sick_course() -> None:
    assert RULES.keys() == CASES.keys() == SICK.keys()


def test_a_healthy_run_is_called_healthy() -> None:
    found = diagnose(history())
    assert (found.state, problems(found), found.exit_code) == ("healthy", [], 0)
    assert "85 %" in found.reason and found.notes == []


def test_bad_samples_are_not_called_healthy() -> None:
    rising = np.linspace(0.05, 0.4, TICKS)
    found = diagnose(history(until=0.5, coverage=rising, precision=rising))
    assert (found.state, found.exit_code) == ("too early", 0) and "getting better" in found.reason
    found = diagnose(history(coverage=0.4, precision=0.5))
    assert (found.state, problems(found)) == ("too early", []) and "no sign says why" in found.reason


@pytest.mark.parametrize("problem", RULES)
def test_a_rule_sees_its_problem(problem: str) -> None:
    found = diagnose(history(**SICK[problem]))
    assert problem in problems(found), found.lines()
    finding = next(f for f in found.findings if f.problem == problem)
    assert found.exit_code == (4 if any(f.severity == "critical" for f in found.findings) else 3)
    assert finding.strength >= 1 and 0.5 <= finding.confidence <= 0.95
    assert finding.numbers and all("{" not in n.text for n in finding.numbers)
    assert finding.change.words and finding.why and finding.check and finding.source


@pytest.mark.parametrize("problem", RULES)
def test_a_rule_is_silent_without_its_signs(problem: str) -> None:
    """What was never measured is not known: no alarm, and no crash."""
    strength = strengths(Course(from_rows([{"seen": i} for i in range(TICKS)], {})), Limits())[problem]
    assert strength.shape == (TICKS,) and not (strength >= 1).any()


def test_the_beginning_is_found() -> None:
    finding = next(f for f in diagnose(history(**SICK["d-overfitting"])).findings if f.problem == "d-overfitting")
    assert finding.since == round(100_000 * 8 / (TICKS - 1))  # the sign must last three ticks: the 6th to the 8th


@pytest.mark.parametrize(("ticks", "until"), [(2, 1.0), (3, 1.0), (12, 0.05)])
def test_too_early_to_say(ticks: int, until: float) -> None:
    found = diagnose(history(ticks, until, coverage=0.0, auc=1.0, diversity=0.01))
    assert (found.state, found.exit_code, problems(found)) == ("too early", 0, [])
    assert "tick" in found.reason


def test_too_early_without_any_record() -> None:
    found = diagnose(from_rows([], {}))
    assert (found.state, found.ticks) == ("too early", 0)


def test_a_finding_that_is_over_is_not_reported() -> None:
    waiting = np.array([0.9] * 8 + [0.01] * 4)
    assert problems(diagnose(history(waiting=waiting))) == []


def test_an_alarm_while_the_run_still_learns_waits() -> None:
    """D wins and the samples are bad, but they get better by the tick: nothing needs a change."""
    learning = {"auc": 0.99, "coverage": 0.5 * RISING, "precision": 0.5 * RISING}
    assert "d-overpowers-g" not in problems(diagnose(history(until=0.5, **learning)))
    assert "d-overpowers-g" in problems(diagnose(history(until=0.5, auc=0.99, **BAD)))


def test_steps_as_large_as_the_nets() -> None:
    """They happened once and are remembered while the samples stay bad."""
    leap = {"stride_D": late(0.9, 0.01, since=2), **BAD}
    finding = diagnose(history(until=0.5, **leap)).findings[0]
    assert (finding.problem, finding.kind) == ("divergence", "leap") and "0.9 of its own size" in "".join(
        finding.lines()
    )
    assert "divergence" not in problems(diagnose(history(stride_D=late(0.9, 0.01, since=2))))


def test_kinds_of_collapse() -> None:
    kinds = {
        "full": {"diversity": 0.1, "coverage": 0.05},
        "partial": SICK["mode-collapse"],
        "intra-class": {"apart": 0.2, "recall": 0.2},
        "intra-class ": {"dimension": 0.4, "coverage": 0.4},
    }
    for kind, columns in kinds.items():
        finding = next(f for f in diagnose(history(**columns)).findings if f.problem == "mode-collapse")
        assert (finding.kind, finding.severity) == (kind.strip(), "critical" if kind == "full" else "warning")


def test_a_retry_counts_as_divergence() -> None:
    event = {"seen": 100_000, "event": "player D: adv is nan: back to 000040000, going on (retry 1 of 3)."}
    found = diagnose(from_rows([*rows(), event], CONFIG))
    assert problems(found)[0] == "divergence" and "1 times" in found.findings[0].numbers[-1].text


def test_the_classes_that_are_left_out_are_named() -> None:
    names = ["cat", "{dog}", "owl"]
    config = CONFIG | {"data": CONFIG["data"] | {"spec": {"kind": "image", "classes": names}}}
    lists = {"classes": [[95, 0, 0]] * TICKS, "real_classes": [[40, 30, 30]] * TICKS}
    told = diagnose(history(config=config, **SICK["mode-collapse"], **lists)).findings[0]
    assert "(hardly drawn: {dog}, owl)" in next(n.text for n in told.numbers if n.name == "missing")
    unnamed = diagnose(history(**SICK["mode-collapse"], **lists)).findings[0]
    assert all("hardly drawn" not in n.text for n in unnamed.numbers)


@pytest.mark.parametrize(
    ("facts", "kind", "word"),
    [
        ({"std": 0.03}, "image", "one shade"),
        ({"std": 50.0}, "points", "unit scale"),
        ({"flat": 0.5}, "image", "one colour"),
        ({"repeated": 0.5}, "image", "same"),
        ({"repeated": 0.95}, "points", "a few samples, again and again"),
        ({"largest_class": 1.0, "classes": 10.0}, "image", "one class"),
        ({"count": 90.0}, "image", "too few"),
        ({"swapped": 5.0}, "image", "order"),
        ({"contrast": 0.1}, "image", "range"),
    ],
)
def test_faults_of_the_data_come_first(facts: dict[str, float], kind: str, word: str) -> None:
    records = rows(**SICK["mode-collapse"])
    for record in records:
        record["signs"]["facts"] |= facts
    config = CONFIG | {"data": CONFIG["data"] | {"spec": {"kind": kind}}}
    first = diagnose(from_rows(records, config)).findings[0]
    assert (
        first.problem == "data-fault" and word in first.title and first.numbers[0].value == next(iter(facts.values()))
    )


def test_ordinary_data_have_no_fault() -> None:
    assert FACTS["count"] and diagnose(history()).findings == []


def test_the_same_history_gives_the_same_diagnosis() -> None:
    for columns in SICK.values():
        assert diagnose(history(**columns)).to_json() == diagnose(history(**columns)).to_json()


def test_a_prefix_is_what_was_known_then() -> None:
    """A diagnosis of the first ticks does not depend on what came later."""
    whole, part = history(**SICK["mode-dropping"]), history(**SICK["mode-dropping"]).until(5)
    assert len(whole) == TICKS and len(part) == 5
    assert "mode-dropping" not in problems(diagnose(part)) and "mode-dropping" in problems(diagnose(whole))


ADA = CONFIG | {"fields": CONFIG["fields"] | {"augment": "ada", "augment_p": None, "augment_ceiling": 0.7}}


def test_an_augmentation_at_its_ceiling_is_told_in_words() -> None:
    """Not of a p that is merely high, and not of a fixed one."""
    found = diagnose(history(config=ADA, augment_p=late(0.3, 0.7)))
    assert problems(found) == ["augmentation-leak"] and found.findings[0].since == round(100_000 * 8 / (TICKS - 1))
    assert found.findings[0].title == "augmentation at its ceiling: D over-fits in spite of it"
    assert "strength p is 0.7: its ceiling" in "\n".join(found.lines())
    assert (
        found.findings[0].change.words.startswith("Hold D tighter") and "augment" not in found.findings[0].change.words
    )
    assert problems(diagnose(history(config=ADA, augment_p=0.65))) == []
    assert problems(diagnose(history(config=ADA, augment_p=np.array([0.7] * 8 + [0.5] * 4)))) == []
    fixed = ADA | {"fields": ADA["fields"] | {"augment_p": 0.7}}
    assert problems(diagnose(history(config=fixed, augment_p=0.7))) == []


def test_a_leak_at_the_ceiling_is_called_a_leak() -> None:
    found = diagnose(history(config=ADA, augment_p=0.7, leak_hflip=0.5))
    assert found.findings[0].title.startswith("augmentation leak")
