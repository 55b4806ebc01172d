"""What is wrong with the data themselves: seen before anything is learned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gansmith.doctor.findings import Change, Finding, Number, Severity
from gansmith.doctor.history import History

FEW, VERY_FEW = 1000, 200  # training samples; a GAN without augmentation learns them by heart
FLAT, REPEATED, ONE_CLASS = 0.1, 0.1, 0.95  # shares of the samples
AGAIN = 0.9  # share of repeated samples in a random part, above which there are but few different ones
DIM = 0.1  # standard deviation of images in [-1, 1]; of ordinary sets it is 0.3 to 0.7
SCALE = (0.1, 5.0)  # standard deviation of points
SWAPPED = 2.0  # times nearer to the data with the channels turned round
CONTRAST = (0.4, 2.5)  # standard deviation of samples over that of the data

CHECK = "gansmith check DATA must show nothing odd, and the first picture of the run (samples/real.png) real samples."


def data_faults(history: History) -> Iterator[Finding]:
    """Findings on the data, from the facts that the first tick recorded; nothing without them."""
    facts = history.facts
    if facts:
        yield from _values(facts, history.kind)
        yield from _contents(facts)
        yield from _samples(facts)
        yield from _number(facts.get("count", 0.0))


def _values(facts: Mapping[str, float], kind: str) -> Iterator[Finding]:
    """Data in a wrong range."""
    std, low, high = facts.get("std", 0.5), facts.get("low", -1.0), facts.get("high", 1.0)
    if kind == "image" and std < DIM:
        yield _fault(
            "the images are nearly of one shade",
            "critical",
            Number(
                "std",
                std,
                DIM,
                f"Their values have a standard deviation of {{value}} within {low:.2g} to {high:.2g}; of "
                "ordinary images it is 0.3 to 0.7 in -1 to 1.",
            ),
            "Whoever made the files scaled them wrongly, as values of 0 to 1 stored where 0 to 255 belong.",
            "Write the images anew with values of 0 to 255, or give an array of floats in 0 to 1.",
        )
    if kind == "points" and not SCALE[0] <= std <= SCALE[1]:
        yield _fault(
            "the points are not about unit scale",
            "critical",
            Number(
                "std",
                std,
                1.0,
                "Their standard deviation is {value}; the nets' first weights expect about {reference}.",
            ),
            "The nets start with samples of about unit scale, and need the whole training to get to yours.",
            f"Divide the points by {std:.3g}.",
        )


def _contents(facts: Mapping[str, float]) -> Iterator[Finding]:
    """Samples that say nothing, or the same again."""
    if facts.get("flat", 0.0) > FLAT:
        yield _fault(
            "many images are of one colour all over",
            "warning",
            Number("flat", facts["flat"], 0.0, "{value} of the images are flat.", True),
            "They teach the generator to draw nothing.",
            "Take the flat images out: gansmith check DATA names them.",
        )
    repeated = Number("repeated", facts.get("repeated", 0.0), 0.0, "{value} of the samples equal another one.", True)
    if repeated.value > AGAIN:
        yield _fault(
            "there are but a few samples, again and again",
            "critical",
            repeated,
            "So few different samples are learned by heart, by D within minutes and then by G.",
            "Collect more data: without its duplicates this set is far too small.",
        )
    elif repeated.value > REPEATED:
        yield _fault(
            "many samples are the same",
            "warning",
            repeated,
            "A sample that is there many times weighs as much as many; it is drawn again and again.",
            "Take the duplicates out: gansmith check DATA names them.",
        )
    if facts.get("largest_class", 0.0) > ONE_CLASS:
        yield _fault(
            "nearly all samples are of one class",
            "warning",
            Number(
                "largest_class",
                facts["largest_class"],
                1 / max(facts.get("classes", 1.0), 1.0),
                "The most frequent of the classes holds {value} of the samples; an equal share would be {reference}.",
                True,
            ),
            "A part of the data was lost on the way here, or the wrong folder was given.",
            "Give all of the data: gansmith check DATA counts the classes.",
        )


def _samples(facts: Mapping[str, float]) -> Iterator[Finding]:
    """Samples of another tool that were written in another way than the data."""
    if facts.get("swapped", 0.0) > SWAPPED:
        yield _fault(
            "the samples' channels are in another order than the data's",
            "critical",
            Number(
                "swapped",
                facts["swapped"],
                1.0,
                "With red and blue exchanged, the colours of the samples are {value} times nearer to the data's.",
            ),
            "Some tools write blue first (BGR), others red first (RGB).",
            "Exchange the first and the last channel of the samples.",
        )
    if not CONTRAST[0] <= facts.get("contrast", 1.0) <= CONTRAST[1]:
        yield _fault(
            "the samples have another range of values than the data",
            "warning",
            Number("contrast", facts["contrast"], 1.0, "Their standard deviation is {value} times that of the data."),
            "Samples in -1 to 1 or 0 to 1 were written where 0 to 255 belong, or the other way round.",
            "Write the samples anew in the range of the data.",
        )


def _number(count: float) -> Iterator[Finding]:
    """Too few training samples; 0 is a law drawn without end."""
    if 0 < count < FEW:
        yield _fault(
            "there are far too few samples",
            "critical" if count < VERY_FEW else "warning",
            Number("count", count, float(FEW), "There are {value} training samples; {reference} are a first minimum."),
            "Few samples are learned by heart, by D within minutes and then by G.",
            "Collect more data; until then stop early and check gansmith evaluate for copies.",
        )


def _fault(title: str, severity: Severity, evidence: Number, why: str, change: str) -> Finding:
    return Finding(
        "data-fault",
        evidence.name,
        f"data fault: {title}",
        severity,
        0,
        [evidence],
        why,
        Change(change),
        CHECK,
        0.95,
        "measured on real samples before the training",
    )
