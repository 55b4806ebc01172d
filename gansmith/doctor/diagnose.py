"""From a history to a diagnosis: which rules speak now, since when, how sure, and what to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from gansmith.doctor.advice import advise
from gansmith.doctor.blind import BLIND
from gansmith.doctor.cases import CASES
from gansmith.doctor.course import Course
from gansmith.doctor.data_faults import data_faults
from gansmith.doctor.findings import Change, Diagnosis, Finding, State
from gansmith.doctor.history import Column, History
from gansmith.doctor.rules import EARLY, RULES, Limits, grown, learning, strengths

LIMITS = Limits()
"""Fitted on the sick zoo (benchmarks/doctor/fit.py --limits); docs/guides/doctor-accuracy.md says how often such limits
are right on sets that were not fitted."""

TRUST = {
    "divergence": 0.88,
    "d-overpowers-g": 0.95,
    "g-overpowers-d": 0.6,
    "mode-collapse": 0.88,
    "oscillation": 0.5,
    "convergence-failure": 0.6,
    "under-training": 0.5,
}
"""How often a clear finding is right: the share measured on the sick zoo (docs/guides/doctor-accuracy.md)."""

UNTRIED = 0.8
"""The same for problems that no fault of the zoo induces."""

GOOD = 0.6
"""Quality of samples from which a training without findings is called healthy."""

BLIND_TRUST = 0.6
"""What a finding from losses alone is worth."""

Writer = Callable[[Change], str | None]
"""The command that makes a change of a run, or None when no command can."""


def diagnose(history: History, limits: Limits = LIMITS, write: Writer = lambda change: None) -> Diagnosis:
    """What is wrong with a run, the likeliest cause first; the same history gives the same diagnosis.

    Args:
        history: of the run, as far as it is known.
        limits: where the rules alarm.
        write: gives the command of a change.
    """
    course = Course(history)
    seen = int(history.seen[-1]) if len(history) else 0
    found = [*data_faults(history), *_findings(course, limits)]
    found = [_advised(f, history, write) for f in found]
    state, reason = _state(course, found, limits)
    ticks = 1 if history.snapshot else len(history)
    return Diagnosis(state, found, seen, ticks, reason, [*history.notes, *_gaps(history)], history.source)


def _findings(course: Course, limits: Limits) -> Iterator[Finding]:
    """What the rules say at the last tick."""
    if not len(course.history):
        return
    blind = not course.history.has("coverage") and not course.history.has("kid")
    for problem, strength in strengths(course, limits, BLIND if blind else RULES).items():
        if not strength[-1] >= 1:
            continue
        case = CASES[problem](course, limits)
        sure = confidence(problem, float(strength[-1])) * (BLIND_TRUST if blind else 1)
        yield Finding(
            problem,
            case.kind,
            case.title,
            case.severity,
            None if course.history.snapshot else int(course.history.seen[since(strength)]),
            case.numbers,
            case.why,
            Change(""),
            case.check,
            round(sure, 2),
            case.source,
            round(float(strength[-1]), 3),
        )


def since(strength: Column) -> int:
    """The tick at which an alarm that still stands began.

    >>> since(np.array([2.0, 0.0, 1.0, 3.0]))
    2
    """
    silent = np.flatnonzero(~(strength >= 1))
    return int(silent[-1]) + 1 if len(silent) else 0


def confidence(problem: str, strength: float) -> float:
    """How sure a finding of this strength is: half at the limit, and at twice the limit as often as it was right.

    >>> confidence("divergence", 1.0), confidence("divergence", 2.0) == TRUST["divergence"]
    (0.5, True)
    """
    trust = TRUST.get(problem, UNTRIED)
    return round(float(trust + (0.5 - trust) * np.clip(2 - strength, 0, 1)), 2)


def _advised(found: Finding, history: History, write: Writer) -> Finding:
    change = found.change
    if not change.words:
        change = advise(found.problem, history.fields, history.facts, found.kind, history.kind)
    return replace(found, change=replace(change, command=change.command or write(change)))


def _state(course: Course, found: list[Finding], limits: Limits) -> tuple[State, str]:
    """The state, and in a sentence why there are no findings."""
    if found:
        worst: State = "critical" if any(f.severity == "critical" for f in found) else "warning"
        return worst, ""
    history = course.history
    if len(history) < EARLY or not grown(course, limits)[-1]:
        ticks = len(history)
        return "too early", (
            f"There are {ticks} ticks so far; the doctor speaks of the course of a training from the {EARLY}th on, "
            f"when {100 * limits.grace:.0f} % of the budget are spent."
        )
    if not history.has("coverage") and not history.has("auc") and not history.has("diversity"):
        return "too early", "None of the signs that a diagnosis needs was measured, so nothing can be said."
    quality = float(course.quality[-1])
    if quality < GOOD:
        far = f"The samples are still far from the data (quality {quality:.2f}; held-out real samples have 1)"
        if learning(course, limits)[-1]:
            return "too early", f"{far}, and getting better: train on before you judge."
        return "too early", f"{far}, and no sign says why: train on, or try another recipe beside it."
    covered, usual = (float(history[name][-1]) for name in ("coverage", "real_coverage"))
    share = (
        f" The samples cover {100 * covered:.0f} % of the data, held-out real ones {100 * usual:.0f} %."
        if np.isfinite(covered)
        else ""
    )
    more = " It still gets better: train on." if learning(course, limits)[-1] else ""
    return "healthy", f"No sign of trouble in {len(history)} ticks.{share}{more}"


def _gaps(history: History) -> list[str]:
    """What was never measured, in words."""
    wanted = {
        "auc": "what D says of real and generated samples",
        "coverage": "how much of the data the samples cover",
        "memory": "whether D knows the training samples by heart",
        "copies": "whether samples are copies",
        "stride_G": "how far the nets move",
        "waiting": "whether the training waits for data",
    }
    missing = [words for name, words in wanted.items() if not history.has(name)]
    return [f"Not measured here: {', '.join(missing)}."] if missing else []
