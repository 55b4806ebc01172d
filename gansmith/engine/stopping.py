"""The stop rule: a training ends when its score has not improved, beyond the noise, for a set span of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from gansmith.engine.display import count

NOISE = 1.96  # standard errors of a difference that are called noise: 95 % of a normal law


class Mark(NamedTuple):
    """A score at a moment: samples seen, the score (lower is better) and its standard error."""

    seen: int
    score: float
    error: float


def scored(rows: Iterable[Mapping[str, Any]]) -> list[Mark]:
    """The scores among the records of a run, oldest first."""
    return [
        Mark(int(r["seen"]), float(r["score/score"]), float(r.get("score/error", 0.0)))
        for r in rows
        if "score/score" in r
    ]


def last_improvement(marks: Iterable[Mark]) -> Mark | None:
    """The last score that was lower than all accepted before it by more than the noise of the two.

    A drift of many small steps counts as soon as they add up: each score is held against the last accepted one.

    >>> last_improvement([Mark(0, 9.0, 0.1), Mark(10, 5.0, 0.1), Mark(20, 4.9, 0.1)])
    Mark(seen=10, score=5.0, error=0.1)
    """
    best = None
    for mark in marks:
        if math.isnan(mark.score):
            continue
        if best is None or mark.score < best.score - NOISE * math.hypot(mark.error, best.error):
            best = mark
    return best


def reason_to_stop(rows: Iterable[Mapping[str, Any]], patience: int | None) -> str | None:
    """Why a training should end now, in words; None when it should go on.

    Args:
        rows: the records of the run.
        patience: samples that may pass without an improvement; None = without end.
    """
    marks = scored(rows)
    best = last_improvement(marks)
    if patience is None or best is None or marks[-1].seen - best.seen < patience:
        return None
    tried = sum(mark.seen > best.seen for mark in marks)
    since = [mark.score for mark in marks if mark.seen > best.seen and not math.isnan(mark.score)]
    lowest = f"; the best of them is {min(since):.4g}" if since else ""
    return (
        f"the score has not improved beyond its noise since {count(best.seen)} samples ({best.score:.4g} ± "
        f"{NOISE * best.error:.2g}): {tried} later scores, {count(marks[-1].seen - best.seen)} samples{lowest}"
    )
