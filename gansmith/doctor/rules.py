"""The rules: from the course of a run to how strongly each problem speaks at each tick.

A rule gives a strength for every tick: 1 or more is an alarm, NaN is "cannot be known". Strengths are ratios of a
quantity to its limit, joined by `both` (the weaker) and `either` (the stronger), and must last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from gansmith.doctor.course import SPAN, Course, rolling, shifted
from gansmith.doctor.history import Column

LASTS = 3  # ticks that a sign must hold
EARLY = 4  # ticks before which nothing is said of the course
RISES = 0.1  # of the recall over four ticks: more is no collapse, or one that mends
MENDS = 0.8  # of what was missing four ticks ago: below, the samples come to what they left out
NEAR = 0.01  # share of an untrained generator's distance to the data that is within the noise of none


@dataclass(frozen=True)
class Limits:
    """Where the rules alarm. All are relative to real data or to the run's own past.

    Args:
        grace: share of the budget before which the samples may be anything.
        wins: chance that D ranks a held-out real sample above a generated one, above which D has won.
        fooled: the same, below which D cannot tell them apart any more.
        fair: quality of the samples (`Course.quality`), below which they are bad.
        stuck: the same, below which a training has not begun to learn.
        been: the same, which a run must have had to have lost something.
        worse: the best quality so far over that of now, or the distance to the data now over the least so far, above
            which the samples have got much worse.
        far: distance to the data over that of an untrained generator, above which a growing one is divergence.
        narrow: spread of the samples over that of real ones, below which all look alike.
        clumped: distance to the nearest fellow over that of real samples, below which samples repeat themselves.
        thin: intrinsic dimension of the samples over that of real ones, below which the latent is too small.
        varied: recall over that of held-out samples, below which the samples of each kind are too much alike.
        covered: coverage over that of held-out samples, below which data are left out.
        missing: share of the data in regions without samples.
        lost: share of the best coverage so far that must be left.
        sway: share of the samples that change region from tick to tick.
        remembers: chance that D ranks a training sample above a held-out one.
        copies: share of samples nearer to the training set than 95 % of new real ones are.
        leak: share of samples that are nearer to mirrored data, beyond that of held-out samples.
        gain: share by which the quality still rises over the last ticks of a training.
        waiting: share of the time that goes into drawing data.
        still: stride of G over that of D, below which G does not move.
        blind: stride of D over that of G, likewise.
        leap: a net's stride in its own size, above which it has been thrown away rather than taught.
    """

    grace: float = 0.2
    wins: float = 0.97
    fooled: float = 0.5375
    fair: float = 0.36
    stuck: float = 0.1044
    been: float = 0.3
    worse: float = 3.0
    far: float = 0.2
    narrow: float = 0.435
    clumped: float = 0.5
    thin: float = 0.5655
    varied: float = 0.35
    covered: float = 0.6
    missing: float = 0.115
    lost: float = 0.7
    sway: float = 0.5
    remembers: float = 0.8
    copies: float = 0.3
    leak: float = 0.25
    gain: float = 0.1725
    waiting: float = 0.3
    still: float = 0.02
    blind: float = 0.02
    leap: float = 0.3


Rule = Callable[[Course, Limits], Column]


def over(x: Column, limit: float) -> Column:
    """At least 1 where x reaches the limit.

    >>> over(np.array([1.0, 4.0]), 2.0)
    array([0.5, 2. ])
    """
    return x / limit


def under(x: Column, limit: float) -> Column:
    """At least 1 where x is at most the limit.

    >>> under(np.array([1.0, 4.0]), 2.0)
    array([2. , 0.5])
    """
    return limit / np.maximum(x, 1e-9)


def rare(x: Column, limit: float) -> Column:
    """As `over`, for a chance near 1: the ratio of what lacks to 1.

    >>> rare(np.array([0.98, 0.8]), 0.9)
    array([5. , 0.5])
    """
    return (1 - limit) / np.maximum(1 - x, 1e-3)


def both(*strengths: Column) -> Column:
    """All must hold; NaN when one is."""
    return np.minimum.reduce(strengths)


def either(*strengths: Column) -> Column:
    """One suffices; one that is NaN does not count."""
    found = np.fmax.reduce(strengths)
    return np.asarray(found, dtype=float)


def unless(strength: Column, flags: np.ndarray) -> Column:
    """0 where a flag stands."""
    return np.where(flags, 0.0, strength)


def lasting(strength: Column, ticks: int = LASTS) -> Column:
    """The weakest of the last ticks."""
    return rolling(np.min, strength, ticks)


def grown(course: Course, limits: Limits) -> np.ndarray:
    """Where a training is old enough that its samples say something: a share of the budget, and a few ticks."""
    ticks, progress = np.arange(len(course.history)), course.history.progress
    young = progress < limits.grace if len(progress) else np.zeros(len(ticks), bool)  # NaN, unknown, is not young
    return (ticks >= EARLY - 1) & ~young


def learning(course: Course, limits: Limits) -> np.ndarray:
    """Where the samples have got better beyond the noise over the last ticks: what is wrong may yet mend."""
    return (course.gain > limits.gain) | course.nears


# -- rules


def bad(course: Course, limits: Limits) -> Column:
    """The samples are far from the data, or leave much of them out."""
    return over(1 - course.quality, 1 - limits.fair)


def divergence(course: Course, limits: Limits) -> Column:
    """Not finite, much worse than it has been, or steps as large as the nets themselves and bad samples since."""
    been = over(course.best, limits.been)
    lost = lasting(both(under(course.quality / np.maximum(course.best, 1e-9), 1 / limits.worse), been))
    nearest = np.fmin.accumulate(np.where(np.isfinite(course.distance), course.distance, np.inf))
    ratio = course.distance / np.maximum(nearest, NEAR)
    further = lasting(both(over(ratio, limits.worse), over(course.distance, limits.far)))
    blown = np.where(course["finite"] == 0, 10.0, 0.0)
    retried = [e["seen"] for e in course.history.events if "retry" in str(e.get("event", ""))]
    after = np.array([10.0 if any(s <= x for s in retried) else 0.0 for x in course.history.seen])
    leaps = lasting(both(over(course.leap, limits.leap), bad(course, limits)))
    return either(lost, further, leaps, blown, after)


def convergence_failure(course: Course, limits: Limits) -> Column:
    """Never near the data, and no nearer than before."""
    strength = over(1 - course.best, 1 - limits.stuck)
    return lasting(unless(strength, learning(course, limits)))


def d_overpowers(course: Course, limits: Limits) -> Column:
    """D is always right, or only D moves, and the samples stay bad."""
    wins = rare(course["auc"], limits.wins)
    still = under(course["stride_G"] / np.maximum(course["stride_D"], 1e-12), limits.still)
    return lasting(unless(both(either(wins, still), bad(course, limits)), learning(course, limits)))


def g_overpowers(course: Course, limits: Limits) -> Column:
    """D cannot tell samples from data, although they are bad; or only G moves."""
    fooled = under(course["auc"], limits.fooled)
    blind = under(course["stride_D"] / np.maximum(course["stride_G"], 1e-12), limits.blind)
    return lasting(unless(both(either(fooled, blind), bad(course, limits)), learning(course, limits)))


def mode_collapse(course: Course, limits: Limits) -> Column:
    """All samples alike; or, in a training that has got somewhere, regions left out or too few different samples."""
    less = under(course.share("coverage"), limits.covered)
    full = either(under(course["diversity"], limits.narrow), over(course["duplicates"], 0.5))
    gone = np.fmax(course.missing, course.missing_classes)
    partial = unless(both(over(gone, limits.missing), less), gone < MENDS * shifted(gone, SPAN))
    clumped = both(under(course["apart"], limits.clumped), under(course.share("recall"), limits.covered))
    thin = both(under(course["dimension"], limits.thin), less)
    recall = course.share("recall")
    alike = unless(under(recall, limits.varied), recall > shifted(recall, SPAN) + RISES)
    some = either(partial, unless(either(clumped, alike), learning(course, limits)), thin)
    return lasting(either(full, unless(some, course.best < limits.stuck)))


def mode_dropping(course: Course, limits: Limits) -> Column:
    """Coverage has been better, and regions have lost their samples."""
    share = course.share("coverage")
    best = np.fmax.accumulate(np.where(np.isfinite(share), share, 0.0))
    fell = under(share / np.maximum(best, 1e-9), limits.lost)
    more = course.missing - np.fmin.accumulate(np.where(np.isfinite(course.missing), course.missing, 1.0))
    return lasting(both(fell, over(more, limits.missing), over(best, limits.been)))


def oscillation(course: Course, limits: Limits) -> Column:
    """The samples keep changing region and come no nearer to the data."""
    return lasting(unless(over(course.sway, limits.sway), learning(course, limits)))


def d_overfitting(course: Course, limits: Limits) -> Column:
    """D ranks training samples above held-out ones."""
    return lasting(over(course["memory"] - 0.5, limits.remembers - 0.5))


def memorisation(course: Course, limits: Limits) -> Column:
    """Samples lie nearer to the training set than held-out ones do."""
    return lasting(over(course["copies"], limits.copies))


def augmentation_leak(course: Course, limits: Limits) -> Column:
    """Samples look mirrored, or the augmentation grows without end, or would if it might."""
    leaks = either(*(over(course[f"leak_{name}"], limits.leak) for name in ("hflip", "vflip", "turned")))
    p = course["augment_p"]
    rising = both(over(p, 0.8), np.where(p > shifted(p, 3), 1.0, 0.0))
    return lasting(either(leaks, rising, 1.5 * course.at_ceiling))


def under_training(course: Course, limits: Limits) -> Column:
    """The budget is spent, the samples are not good yet, and were still getting better."""
    ended = course.history.progress >= 0.97 if len(course.history.progress) else np.zeros(len(course.history), bool)
    return np.where(ended, both(over(course.gain, limits.gain), bad(course, limits)), 0.0)


def starvation(course: Course, limits: Limits) -> Column:
    """The device waits for data."""
    return lasting(over(course["waiting"], limits.waiting))


RULES: Mapping[str, Rule] = {
    "divergence": divergence,
    "memorisation": memorisation,
    "d-overfitting": d_overfitting,
    "augmentation-leak": augmentation_leak,
    "d-overpowers-g": d_overpowers,
    "g-overpowers-d": g_overpowers,
    "mode-dropping": mode_dropping,
    "mode-collapse": mode_collapse,
    "oscillation": oscillation,
    "convergence-failure": convergence_failure,
    "under-training": under_training,
    "starvation": starvation,
}
"""By problem, the likelier cause before what may be its consequence."""

ANYTIME = ("divergence", "starvation", "d-overfitting", "augmentation-leak")
"""Problems that need no grown training."""


def strengths(course: Course, limits: Limits, rules: Mapping[str, Rule] = RULES) -> dict[str, Column]:
    """How strongly each rule speaks at each tick; 0 while the training is too young for it."""
    young = ~grown(course, limits)
    found = {}
    for name, rule in rules.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            strength = rule(course, limits)
        found[name] = strength if name in ANYTIME else unless(strength, young)
    return found
