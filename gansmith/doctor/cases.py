"""Each problem in words: its name, the numbers that speak for it, why it happens, how to see that it is mended.

The wording is for somebody who meets the problem for the first time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from gansmith.doctor.course import Course, left_out
from gansmith.doctor.findings import Number, Severity
from gansmith.doctor.rules import Limits

MOST_NAMED = 5  # classes


class Case(NamedTuple):
    """A problem at the last tick of a course; the fields are those of `Finding`."""

    title: str
    severity: Severity
    numbers: list[Number]
    why: str
    check: str
    source: str
    kind: str = ""


def last(x: np.ndarray) -> float:
    """The last value that is known; NaN when none is.

    >>> last(np.array([1.0, np.nan]))
    1.0
    """
    known = x[np.isfinite(x)]
    return float(known[-1]) if len(known) else float("nan")


def _known(numbers: list[Number]) -> list[Number]:
    return [n for n in numbers if np.isfinite(n.value)]


def _quality(course: Course) -> Number:
    words = "The samples' quality (of precision and coverage) is {value} of that of real ones; it has been {reference}."
    return Number("quality", last(course.quality), last(course.best), words, True)


def _covered(course: Course) -> Number:
    words = "The samples cover {value} of the data; as many held-out real samples cover {reference}."
    return Number("coverage", last(course["coverage"]), last(course["real_coverage"]), words, True)


def _auc(course: Course) -> Number:
    words = (
        "D ranks a held-out real sample above a generated one in {value} of all pairs; {reference} is a coin's toss."
    )
    return Number("auc", last(course["auc"]), 0.5, words, True)


def _losses(course: Course) -> list[Number]:
    """For runs of which only losses are known."""
    words = {
        "loss_d": "D's loss is {value}; at first it was {reference}.",
        "loss_g": "G's loss is {value}; at first it was {reference}.",
    }
    if course.history.has("kid") or course.history.has("coverage"):
        return []
    return [
        Number(n, last(course[n]), float(np.nanmedian(course[n][:5])), w)
        for n, w in words.items()
        if course.history.has(n)
    ]


def _strides(course: Course) -> Number:
    ratio = last(course["stride_G"] / np.maximum(course["stride_D"], 1e-12))
    return Number("strides", ratio, None, "A step moves G's weights {value} times as far as D's, each in its own size.")


def divergence(course: Course, limits: Limits) -> Case:
    leap = last(course.leap)
    leaps = leap >= limits.leap
    numbers = [
        _quality(course),
        Number(
            "distance",
            last(course.distance),
            1.0,
            "Their distance to the data is {value} times that of an untrained generator.",
        ),
        Number("leap", leap, 0.01, "A step has moved a net by {value} of its own size; {reference} is usual."),
        Number(
            "retries",
            float(sum("retry" in str(e.get("event")) for e in course.history.events)),
            None,
            "Numbers that are not finite sent the training back to a checkpoint {value} times.",
        ),
    ]
    left_out = {"retries": not numbers[-1].value, "leap": not leaps}
    return Case(
        "divergence: the steps are as large as the nets" if leaps else "divergence: the samples have got much worse",
        "critical",
        [n for n in _known([*numbers, *_losses(course)]) if not left_out.get(n.name)],
        "Steps of this size throw away what the nets had learned, and blow their weights up."
        if leaps
        else "The steps are too large for where the game has gone, so that it runs away from what it had learned; the "
        "checkpoints before are still good.",
        "The quality must stay near its best for the rest of the training.",
        "Brock et al. 2019, arXiv:1809.11096, section 4 (collapse late in training)",
        "leap" if leaps else "",
    )


def convergence_failure(course: Course, limits: Limits) -> Case:
    return Case(
        "convergence failure: the training does not get anywhere",
        "critical",
        _known([_quality(course), _auc(course)]),
        "G gets no direction that leads to the data: D's gradient is too noisy, too weak, or turns with every step.",
        "Within a tenth of the budget coverage and precision must rise from near 0.",
        "Mescheder et al. 2018, arXiv:1801.04406 (unpenalised games need not converge)",
    )


def d_overpowers(course: Course, limits: Limits) -> Case:
    return Case(
        "D overpowers G (vanishing gradients)",
        "critical" if last(course.quality) < limits.stuck else "warning",
        _known([_auc(course), _quality(course), _strides(course), *_losses(course)]),
        "D is right about nearly every sample, so its slope there is flat or points the same way for all of them: G "
        "is told that it is wrong and not how to become better.",
        "D must rank a real sample above a generated one in less than 95 % of all pairs, and the coverage must rise.",
        "Arjovsky and Bottou 2017, arXiv:1701.04862, theorem 2.4",
    )


def g_overpowers(course: Course, limits: Limits) -> Case:
    return Case(
        "G overpowers D",
        "critical" if last(course.quality) < limits.stuck else "warning",
        _known([_auc(course), _covered(course), _quality(course), _strides(course)]),
        "D cannot tell the samples from the data although they differ, so what it teaches G is wrong: G moves to "
        "where D errs, not to the data.",
        "D must rank a real sample above a generated one in more than 60 % of all pairs, and the coverage must rise.",
        "measured by us: gauges of D alone do not show it",
    )


def _classes_left_out(course: Course) -> str:
    """The names of the classes that are hardly drawn, in a clause; empty when none is known to be."""
    names, lists = course.history.classes, course.history.lists
    known = [x for x in zip(lists.get("classes", ()), lists.get("real_classes", ()), strict=False) if x[0] and x[1]]
    out = left_out(*known[-1]) if known else None
    if out is None or len(out) != len(names) or not out.any():
        return ""
    told = [name.replace("{", "{{").replace("}", "}}") for name, gone in zip(names, out, strict=True) if gone]
    rest = f" and {len(told) - MOST_NAMED} more" if len(told) > MOST_NAMED else ""
    return f" (hardly drawn: {', '.join(told[:MOST_NAMED])}{rest})"


def mode_collapse(course: Course, limits: Limits) -> Case:
    narrow, twins = last(course["diversity"]), last(course["duplicates"])
    gone = np.nanmax([last(course.missing), last(course.missing_classes), 0.0])
    numbers = [
        _covered(course),
        Number(
            "missing",
            float(gone),
            None,
            f"{{value}} of the data lie in regions where next to nothing is drawn{_classes_left_out(course)}.",
            True,
        ),
        Number(
            "recall",
            last(course["recall"]),
            last(course["real_recall"]),
            "{value} of the data lie within what the samples span; as many held-out real samples span {reference}.",
            True,
        ),
        Number("diversity", narrow, 1.0, "Two samples are {value} times as far apart as two real ones."),
        Number(
            "apart",
            last(course["apart"]),
            1.0,
            "A sample is {value} times as far from its nearest fellow as a real one.",
        ),
        Number(
            "dimension", last(course["dimension"]), 1.0, "They have {value} times the intrinsic dimension of real ones."
        ),
    ]
    kind, title = "partial", "mode collapse (partial): parts of the data are never drawn"
    if narrow < limits.narrow or twins > 0.5:
        kind, title = "full", "mode collapse (full): nearly all samples are alike"
    elif gone < limits.missing or last(course["dimension"]) < limits.thin:
        kind, title = "intra-class", "mode collapse (within the modes): too few different samples of each kind"
    return Case(
        title,
        "critical" if kind == "full" else "warning",
        _known(numbers),
        "For G it pays to draw only what D takes for real at the moment; nothing in the game rewards the rest of the "
        "data.",
        "The coverage must rise towards that of held-out real samples; gansmith evaluate gives it with an interval.",
        "Goodfellow 2016, arXiv:1701.00160, section 5.1.1; coverage: Naeem et al. 2020, arXiv:2002.09797",
        kind,
    )


def mode_dropping(course: Course, limits: Limits) -> Case:
    share = course.share("coverage")
    best = float(np.nanmax(share)) * last(course["real_coverage"])
    numbers = [
        Number(
            "coverage",
            last(course["coverage"]),
            best,
            "The samples cover {value} of the data; they have covered {reference}.",
            True,
        ),
        Number(
            "missing",
            last(course.missing),
            None,
            "{value} of the data lie in regions that have lost their samples.",
            True,
        ),
    ]
    return Case(
        "mode dropping: parts of the data were drawn and are lost again",
        "warning",
        _known(numbers),
        "G has left modes that D came to know too well; nobody calls it back. The checkpoint with the best coverage "
        "is better than the last.",
        "The coverage must not fall by more than its noise from one tick to the next.",
        "Thanh-Tung and Tran 2020, arXiv:1807.04015 (catastrophic forgetting in D)",
    )


def oscillation(course: Course, limits: Limits) -> Case:
    numbers = [
        Number(
            "sway",
            last(course.sway),
            None,
            "From tick to tick {value} of the samples move to another region of the data.",
            True,
        ),
        Number(
            "drift",
            last(course.drift),
            None,
            "The sample of a fixed latent moves by {value} standard deviations of the data a tick.",
        ),
        Number(
            "period",
            last(course.period),
            1.0,
            "The way back to a tick before the last is {value} times as long; below 1 it returns.",
        ),
        _quality(course),
        *_losses(course),
    ]
    return Case(
        "oscillation: the samples keep changing and get no better",
        "warning",
        _known(numbers),
        "G and D chase each other in a circle: each step answers the other's last one, and momentum carries both too "
        "far.",
        "Less than a tenth of the samples may change region from one tick to the next.",
        "Gidel et al. 2019, arXiv:1807.04740 (negative momentum); Mescheder et al. 2018, arXiv:1801.04406",
    )


def d_overfitting(course: Course, limits: Limits) -> Case:
    above = "D ranks a training sample above a held-out one in {value} of all pairs; {reference} is right."
    numbers = [
        Number("memory", last(course["memory"]), 0.5, above, True),
        Number("count", course.history.facts.get("count", float("nan")), None, "There are {value} training samples."),
    ]
    return Case(
        "D over-fits: it knows the training samples by heart",
        "warning",
        _known(numbers),
        "With few samples D learns them instead of their law, and G is pushed towards copies or into nonsense.",
        "D must rank training samples above held-out ones in less than 60 % of all pairs.",
        "Karras et al. 2020, arXiv:2006.06676 (the heuristic r_v)",
    )


def memorisation(course: Course, limits: Limits) -> Case:
    numbers = [
        Number(
            "copies",
            last(course["copies"]),
            0.05,
            "{value} of the samples lie nearer to the training set than 95 % of new real ones; {reference} is normal.",
            True,
        ),
        Number(
            "copy_z",
            last(course["copy_z"]),
            -3.0,
            "The distances to the training set are {value} standard errors off; below {reference} is copying.",
        ),
        Number("count", course.history.facts.get("count", float("nan")), None, "There are {value} training samples."),
    ]
    return Case(
        "memorisation: samples are copies of training samples",
        "critical" if last(course["copies"]) > 0.6 else "warning",
        _known(numbers),
        "The generator has room enough to store the training set, and the game is won by doing so.",
        "gansmith evaluate must call at most 2 % of the samples copied.",
        "Meehan et al. 2020, arXiv:2004.05675 (its test, on the whole training set)",
    )


def augmentation_leak(course: Course, limits: Limits) -> Case:
    leaks = {n: last(course[f"leak_{n}"]) for n in ("hflip", "vflip", "turned")}
    name = max(leaks, key=lambda n: np.nan_to_num(leaks[n], nan=-1.0))
    if last(course.at_ceiling) == 1 and not leaks[name] >= limits.leak:
        return _at_ceiling(course)
    p = last(course["augment_p"])
    how = {"hflip": "mirrored left to right", "vflip": "upside down", "turned": "turned by 180 degrees"}[name]
    numbers = [
        Number(f"leak_{name}", leaks[name], 0.0, f"{{value}} more of the samples than of real ones look {how}.", True),
        Number("augment_p", p, 0.8, "The augmentation's strength p is {value}; above {reference} it leaks."),
    ]
    return Case(
        "augmentation leak: the samples show what was done to D's input",
        "warning",
        _known(numbers),
        "D never sees data that are not augmented, so G cannot know that the augmentation is not part of them.",
        "The share of such samples must be that of held-out data, within a few percent.",
        "Karras et al. 2020, arXiv:2006.06676, section 2.2",
    )


def _at_ceiling(course: Course) -> Case:
    """An augmentation that would grow further if it might."""
    p, r = last(course["augment_p"]), last(course["augment/r"])
    numbers = [
        Number("augment_p", p, None, "The augmentation's strength p is {value}: its ceiling."),
        Number("augment/r", r, 0.6, "D's logits of real samples have the mean sign {value}; {reference} is aimed at."),
    ]
    return Case(
        "augmentation at its ceiling: D over-fits in spite of it",
        "warning",
        _known(numbers),
        "At this strength D still knows nearly all real samples. More of it would leak into what G draws.",
        "augment/p must come down from its ceiling.",
        "Karras et al. 2020, arXiv:2006.06676, sections 2.2 and 3",
        kind="ceiling",
    )


def under_training(course: Course, limits: Limits) -> Case:
    rose = "Over the last four ticks the quality of the samples rose by {value}."
    numbers = [
        Number("gain", last(course.gain), None, rose, True),
        _covered(course),
    ]
    return Case(
        "under-training: it ended while it still got better",
        "warning",
        _known(numbers),
        "The budget was spent before the game had settled; nothing else is wrong.",
        "Coverage and precision must stay the same, within their noise, over the last fifth of the training.",
        "measured by us: the quality itself",
    )


def starvation(course: Course, limits: Limits) -> Case:
    return Case(
        "starvation: the training waits for its data",
        "warning",
        [Number("waiting", last(course["waiting"]), None, "{value} of the time go into drawing real samples.", True)],
        "Reading and decoding take longer than learning from what was read.",
        "Less than a tenth of the time may go into drawing data; gansmith doctor shows it again.",
        "measured by the training loop",
    )


CASES: Mapping[str, Callable[[Course, Limits], Case]] = {
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
