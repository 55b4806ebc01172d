"""Rules for runs of which only losses are known: they see little, and say so with a low confidence.

Losses have no common scale, so each is held against its own past. What healthy losses look like depends on the
objective: bands as "D's loss between 0.5 and 0.8" are not among these rules; they are wrong more often than right.
"""

from __future__ import annotations

import numpy as np

from gansmith.doctor.course import Course, rolling
from gansmith.doctor.history import Column
from gansmith.doctor.rules import Rule, both, lasting, over, under

LONG = 20  # ticks of a run that a rhythm is sought in
START = 0.2  # share of the ticks that is the past


def _past(x: Column) -> float:
    """Median size of the first fifth."""
    known = np.abs(x[np.isfinite(x)])
    return float(np.median(known[: max(int(START * len(known)), 2)])) if len(known) else float("nan")


def divergence(course: Course, limits: object) -> Column:
    """A loss is not finite, or more than twenty times what it was."""
    found = np.zeros(len(course.history))
    for name in ("loss_d", "loss_g"):
        x = course[name]
        blown = lasting(over(np.abs(x), 20 * max(_past(x), 1e-9)), 3)
        gone = np.where(np.isfinite(x).cumsum() & ~np.isfinite(x), 2.0, 0.0)  # it was known, and is no number now
        found = np.fmax(found, np.fmax(blown, gone))
    return found


def d_overpowers(course: Course, limits: object) -> Column:
    """D's loss has gone to a twentieth of what it was while G's has doubled."""
    d, g = course["loss_d"], course["loss_g"]
    return lasting(both(under(np.abs(d), _past(d) / 20), over(g, 2 * _past(g))), 3)


def oscillation(course: Course, limits: object) -> Column:
    """G's loss swings in a rhythm, as wide as it is high."""
    return rolling(_rhythm, course["loss_g"], LONG)


def _rhythm(x: Column) -> float:
    """At least 1 where x repeats itself after 2 to half its length, and swings by its own size.

    >>> t = np.arange(20); _rhythm(1 + np.sin(2 * np.pi * t / 5)) > 1, _rhythm(1 + 0.01 * np.sin(t)) > 1
    (True, False)
    """
    if not np.isfinite(x).all():
        return 0.0
    flat = x - np.polyval(np.polyfit(np.arange(len(x)), x, 1), np.arange(len(x)))
    power = float((flat**2).sum())
    if power <= 0:
        return 0.0
    lags = range(2, len(x) // 2 + 1)
    echo = [float((flat[k:] * flat[:-k]).sum()) / power * len(x) / (len(x) - k) for k in lags]
    falls = next((i for i, e in enumerate(echo) if e < 0), len(echo))  # past the first trough, or it is no rhythm
    again = max(echo[falls:], default=0.0)
    wide = float(flat.std() / max(abs(x).mean(), 1e-12)) / 0.3
    return min(again / 0.7, wide)


BLIND: dict[str, Rule] = {
    "divergence": divergence,
    "d-overpowers-g": d_overpowers,
    "oscillation": oscillation,
}
