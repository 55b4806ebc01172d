"""The verdict: four questions about a generator, answered in plain words from its scores.

A measure is judged against what other real samples score under the same protocol (`Score.real`), because the best
value that can be reached depends on the data, the number of samples and the extractor. What was not measured, or has
nothing to be judged against, decides nothing, and the answer says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gansmith.evaluation.score import Score


class Rule(NamedTuple):
    """Where a measure changes from good to fair and from fair to poor.

    `against` says what is compared with the two thresholds: "times" (value / reference), "excess" (value - reference,
    0 when there is none), "gap" ((value - reference) / (1 - reference)) or "value". The measure is better when it is
    higher if `good` > `fair`, else when it is lower.
    """

    against: str
    good: float
    fair: float
    words: str


# The thresholds are judgements; each line says what they rest on.
RULES = {
    # Shares, against the share of other real samples. A tenth less is about what published GANs lose that people
    # take for good; below 0.6 nearly every second sample lies where no real one does.
    "precision": Rule("times", 0.9, 0.6, "the share of samples that lie where real ones lie"),
    # Real samples score about a half, since half of the balls count. Without outliers' balls it falls faster than
    # precision: DCGANs on digits and Fashion-MNIST had 0.1 to 0.4 times the share after 16,000 to 24,000 samples and
    # 0.15 to 0.5 times after twice as many.
    "realism": Rule("times", 0.7, 0.25, "the share of samples that lie well among real ones, outliers not counted"),
    "HQ share": Rule("times", 0.9, 0.6, "the share of samples close to a true mode"),
    # Squared distances. On CIFAR-10, real test images have an FID of about 3, current GANs 2 to 9, DCGAN 37.
    "FD": Rule("times", 3.0, 12.0, "the distance to the data; it counts realism and diversity together"),
    # Distances that are not squared: the roots of the line above.
    "SW": Rule("times", 1.7, 3.5, "the distance to the data; it counts realism and diversity together"),
    # Good image GANs have a recall of about 0.5 to 0.8 of that of real samples; GANs that dropped half of the data
    # cannot have more than half.
    "recall": Rule("times", 0.8, 0.4, "the share of real samples that lie where generated ones lie"),
    "coverage": Rule("times", 0.9, 0.6, "the share of real samples with a generated one nearby"),
    # From 0 (two random samples are as unlike as two real ones) to 1 (all samples are the same).
    "MS-SSIM": Rule("gap", 0.1, 0.3, "how alike two random samples are; lower is more diverse"),
    "modes": Rule("times", 0.98, 0.8, "how many of the true modes are drawn"),
    # The scale is logarithmic in nature: published supports are given as orders of magnitude.
    "support": Rule("times", 0.5, 0.1, "how many different samples there are, judged from near-duplicates"),
    # At most 2 % is what a GAN trained on plenty of data is held to; every fifth sample is no accident.
    "copied": Rule("excess", 0.02, 0.2, "the share of samples that are copies of a training sample"),
    "copied(pixels)": Rule("excess", 0.02, 0.2, "the share of samples whose pixels are a copy of a training sample's"),
    # A z-value: -3 happens by chance once in 740 evaluations, -5 once in 3.5 million.
    "C_T": Rule(
        "value",
        -3.0,
        -5.0,
        "a z-value, far below 0 when samples hug the training data, far above when they keep away from them",
    ),
}

MISSING, SCARCE = 0.1, 0.5
"""A class is missing (scarce) when even the upper end of its share is below this part of its share of the data."""

LOST = 0.2
"""Diversity is poor when missing classes make up more than this share of the data."""

FEW, ENOUGH = 200, 1000
"""Samples: the standard error of a share is up to 3.5 percentage points at 200 samples and 1.6 at 1,000."""

REALISTIC = ("precision", "realism", "HQ share")
DIVERSE = ("recall", "coverage", "MS-SSIM", "modes")
NEW = ("copied", "copied(pixels)", "C_T")
DISTANCES = ("FID", r"FD\(.*\)", "SWD", r"SW\(.*\)")  # the first that was measured is judged
KNOWN_IDEAL = ("modes", "HQ share")  # measures of exactly known laws: their ideal can be reached
EXACT = ("modes", "C_T")  # a count, and a z-value that holds its own noise: they need no interval

TITLES = {
    "realistic": "Are the samples realistic?",
    "diverse": "Are they diverse?",
    "new": "Are they new?",
    "sure": "How sure are we?",
}

SUMMARY = {
    "realistic": {
        "good": "The samples are close to real ones.",
        "fair": "The samples are realistic in part.",
        "poor": "The samples are far from real ones.",
        "unknown": "How realistic the samples are is not known.",
    },
    "diverse": {
        "good": "They are as diverse as the data.",
        "fair": "They are less diverse than the data.",
        "poor": "They are far less diverse than the data.",
        "unknown": "How diverse they are is not known.",
    },
    "new": {
        "good": "There is no sign that they are copies.",
        "fair": "Some of them seem to be copies of training samples.",
        "poor": "Many of them are copies of training samples, so the other answers prove little.",
        "unknown": "Whether they are copies is not known.",
    },
    "sure": {
        "good": "",
        "fair": "These answers rest on somewhat doubtful numbers.",
        "poor": "Too little was measured to rely on these answers.",
        "unknown": "",
    },
}

LEADS = {"good": "Yes.", "fair": "In part.", "poor": "No."}


class Found(NamedTuple):
    """A measured value, its 95 % interval, and the value it is judged against, all in the unit of the score."""

    value: float
    low: float | None
    high: float | None
    reference: float | None
    source: str = "for other real samples"


class Evidence(NamedTuple):
    """What one measure says: a level, a sentence, and whether its interval reaches over a threshold."""

    name: str
    level: str
    text: str
    close: bool = False


def verdict(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """The four answers to an evaluation, and their summary.

    Args:
        evaluation: as in evaluation.json; read are "scores", "classes", "novelty", "data" and "subject"; each
            may be absent.

    Returns:
        {"summary": str, "answers": [{"question", "title", "level", "text"}, ...]}; the level is "good", "fair", "poor"
        or "unknown". The first line of a text is the conclusion, the further ones are the evidence with its numbers.

    Raises:
        GansmithError: a score is damaged.

    >>> verdict({"scores": []})["answers"][0]["text"]
    'Unknown: not measured.'
    """
    scores = [Score.from_json(score, "evaluation.json") for score in evaluation.get("scores", ())]
    novelty = evaluation.get("novelty") or {}
    count = (evaluation.get("data") or {}).get("count")
    found = _found(scores, novelty)
    diverse = _judged(found, DIVERSE) + _classes(evaluation.get("classes")) + _support(found, novelty, count)
    new = _new(found, evaluation.get("subject") or {})
    realistic = _realistic(found, _worst(diverse))
    parts = {"realistic": realistic, "diverse": diverse, "new": new}
    answers = [_answer(question, evidence) for question, evidence in parts.items()]
    deciding = [e for evidence in parts.values() for e in evidence if e.level == _worst(evidence)]
    answers.append(_sure(scores, deciding))
    summary = " ".join(SUMMARY[a["question"]][a["level"]] for a in answers).strip()
    return {"summary": summary if found or diverse else "Nothing was measured.", "answers": answers}


def number(x: float | None, error: float | None = None) -> str:
    """A number for reading: shown to half of its standard error, or with three digits when that is unknown.

    >>> number(0.71234, 0.0123), number(12.3456), number(4483.0), number(None)
    ('0.712', '12.3', '4,483', 'not finite')
    """
    if x is None or not math.isfinite(x):
        return "not finite"
    if abs(x) >= 1000:
        return f"{x:,.0f}"
    if error is None or not 0 < error < math.inf or 0 < abs(x) < 1e-3:
        return f"{x:.3g}"
    return f"{x:.{min(6, max(0, -math.floor(math.log10(error / 2))))}f}"


def _finite(x: Any) -> float | None:
    return float(x) if isinstance(x, int | float) and math.isfinite(x) else None


def _found(scores: Iterable[Score], novelty: Mapping[str, Any]) -> dict[str, Found]:
    """What was measured, by name. Of several scores of one name the first counts; values not finite are left out."""
    found: dict[str, Found] = {}
    for score in scores:
        value, real = _finite(score.value), _finite(score.real)
        if value is None or score.name in found:
            continue
        by_ideal = real is None and score.name in KNOWN_IDEAL
        reference, source = (_finite(score.ideal), "for the ideal") if by_ideal else (real, "for other real samples")
        found[score.name] = Found(value, _finite(score.low), _finite(score.high), reference, source)
    share = _finite(novelty.get("copied_share"))
    if share is not None and "copied" not in found:
        found["copied"] = Found(share, _finite(novelty.get("low")), _finite(novelty.get("high")), None)
    return found


def _judged(found: Mapping[str, Found], names: Iterable[str]) -> list[Evidence]:
    return [_evidence(name, found[name], RULES[name]) for name in names if name in found]


def _evidence(name: str, found: Found, rule: Rule) -> Evidence:
    """Judge one measure: its level is that of the value; it is close when an end of the interval has another level."""
    values = [x for x in (found.value, found.low, found.high) if x is not None]
    levels = [_level(q, rule) for x in values if (q := _quantity(rule.against, x, found.reference)) is not None]
    level = levels[0] if levels else "unknown"
    return Evidence(name, level, _sentence(name, found, rule), len(set(levels)) > 1)


def _quantity(against: str, x: float, reference: float | None) -> float | None:
    """What is compared with the thresholds; None where the reference that it needs is missing."""
    if against == "value":
        return x
    if against == "excess":
        return x - (reference or 0.0)
    if against == "times":
        return x / reference if reference is not None and reference > 0 else None
    return (x - reference) / (1 - reference) if reference is not None and reference < 1 else None


def _level(quantity: float, rule: Rule) -> str:
    sign = 1 if rule.good > rule.fair else -1
    return "good" if sign * quantity >= sign * rule.good else "fair" if sign * quantity >= sign * rule.fair else "poor"


def _sentence(name: str, found: Found, rule: Rule) -> str:
    """As "precision 0.71 [0.69, 0.73], against 0.77 for other real samples: the share of ..."."""
    error = None if found.low is None or found.high is None else (found.high - found.low) / 4
    interval = f" [{number(found.low, error)}, {number(found.high, error)}]" if error is not None else ""
    times = _quantity("times", found.value, found.reference)
    if found.reference is None:
        lacks = rule.against in ("times", "gap")
        versus = " (what real samples score was not measured, so it decides nothing)" if lacks else ""
    elif rule in (RULES["FD"], RULES["SW"]) and times is not None:
        versus = f", {number(round(times, 1))} times the {number(found.reference, error)} {found.source}"
    else:
        versus = f", against {number(found.reference, error)} {found.source}"
    return f"{name} {number(found.value, error)}{interval}{versus}: {rule.words}."


def _realistic(found: Mapping[str, Found], diverse: str) -> list[Evidence]:
    """Realism: the shares, and a distance; where diversity is poor the distance decides only if it stands alone.

    A distance between laws is as large for realistic samples of few kinds as for unrealistic samples of all kinds.
    """
    shares = _judged(found, REALISTIC)
    distances = [n for pattern in DISTANCES for n in found if re.fullmatch(pattern, n)]
    if not distances:
        return shares
    name = next((n for n in distances if found[n].reference), distances[0])
    distance = _evidence(name, found[name], RULES["FD" if name.startswith("F") else "SW"])
    if diverse == "poor" and _worst(shares) != "unknown":
        text = distance.text + " As diversity is missing, it does not decide here."
        distance = distance._replace(level="unknown", text=text, close=False)
    return [*shares, distance]


def _new(found: Mapping[str, Found], subject: Mapping[str, Any]) -> list[Evidence]:
    """Novelty can be judged by the data alone that the generator was trained on; of a folder nobody knows."""
    if subject.get("trained_on_data") is False:
        text = "It was not trained on these data, so copies of what it was trained on could not be seen."
        return [Evidence("copied", "unknown", text)]
    return _judged(found, NEW)


def _support(found: Mapping[str, Found], novelty: Mapping[str, Any], count: int | None) -> list[Evidence]:
    """The birthday estimate, against that of real samples or else the number of training samples.

    Without duplicates there is only a lower bound, which can speak for a generator, not against it.
    """
    support = novelty.get("support") or {}
    bound = bool(support.get("at_least"))
    value = _finite(support.get("low" if bound else "value"))
    if value is None:
        return _judged(found, ("support",))
    low, high = (None, None) if bound else (_finite(support.get("low")), _finite(support.get("high")))
    here = Found(value, low, high, float(count) if count else None, "training samples")
    if "support" in found and found["support"].reference is not None:
        here = here._replace(reference=found["support"].reference, source=found["support"].source)
    evidence = _evidence("support", here, RULES["support"])
    if not bound:
        return [evidence]
    text = evidence.text.replace("support ", "support at least ", 1) + " More samples may show more."
    level = "good" if evidence.level == "good" else "unknown"
    return [evidence._replace(name="lower bound of the support", level=level, text=text)]


def _classes(classes: Mapping[str, Any] | None) -> list[Evidence]:
    """Missing and scarce classes: those whose share, even at the upper end of its interval, is far below the data's."""
    if not classes:
        return []
    highs = (1.0 if high is None else high for high in classes["high"])
    shares = list(zip(classes["names"], classes["real"], highs, strict=True))
    missing = [(name, real) for name, real, high in shares if high < MISSING * real]
    scarce = [(name, real) for name, real, high in shares if MISSING * real <= high < SCARCE * real]
    if not missing and not scarce:
        return [Evidence("classes", "good", f"None of the {len(shares)} classes is found missing or scarce.")]
    parts = [f"{word}: {_listed(group)}" for word, group in (("missing", missing), ("scarce", scarce)) if group]
    level = "poor" if sum(real for _, real in missing) > LOST else "fair"
    return [Evidence("classes", level, f"Of {len(shares)} classes, {'; '.join(parts)}.")]


def _listed(group: Sequence[tuple[str, float]]) -> str:
    """ "3, 8 (20 % of the data)", at most five by name."""
    more = f" and {len(group) - 5} more" if len(group) > 5 else ""
    return f"{', '.join(str(name) for name, _ in group[:5])}{more} ({100 * sum(r for _, r in group):.0f} % of the data)"


def _worst(evidence: Iterable[Evidence]) -> str:
    levels = {e.level for e in evidence}
    return next((level for level in ("poor", "fair", "good") if level in levels), "unknown")


def _answer(question: str, evidence: Sequence[Evidence]) -> dict[str, str]:
    level = _worst(evidence)
    unknown = "Unknown: measured, but with nothing to judge it by." if evidence else "Unknown: not measured."
    order = sorted(evidence, key=lambda e: e.level != level)  # what decided comes first
    sentences = [LEADS.get(level, unknown), *(e.text[0].upper() + e.text[1:] for e in order)]
    return {"question": question, "title": TITLES[question], "level": level, "text": "\n".join(sentences)}


def _sure(scores: Sequence[Score], evidence: Sequence[Evidence]) -> dict[str, str]:
    """How sure: numbers of samples, missing intervals, intervals that reach over a threshold, and warnings.

    Args:
        evidence: what decided the other answers.
    """
    decided = [e for e in evidence if e.level != "unknown"]
    answer = {"question": "sure", "title": TITLES["sure"], "level": "unknown"}
    if not decided:
        return answer | {"text": "Unknown: nothing was measured that decides a question."}
    used = [s for s in scores if s.name in {e.name for e in decided}]
    sizes = [(s.protocol.n_fake, s.protocol.n_real) for s in used]
    least = min((n for pair in sizes for n in pair if n > 0), default=FEW)
    bare = [s.name for s in used if s.error is None and s.name not in EXACT]
    close = [e.name for e in decided if e.close]
    warnings = {w for s in used for w in s.warnings}
    level = "poor" if least < FEW else "fair" if least < ENOUGH or bare or close or warnings else "good"
    lead = {"good": "Fairly sure.", "fair": "Only in part.", "poor": "Not sure."}[level]
    facts = [
        f"At least {min(n for n, _ in sizes):,} generated samples went into each number." if sizes else "",
        f"Some rest on only {least:,} samples; {ENOUGH:,} are better." if sizes and least < ENOUGH else "",
        f"Without an interval: {', '.join(bare)}."
        if bare
        else "Each number has a 95 % interval or needs none."
        if used
        else "",
        f"The interval reaches over a threshold: {', '.join(close)}; that answer may be one step off." if close else "",
        f"{len(warnings)} warning{'s' * (len(warnings) > 1)} about these numbers." if warnings else "",
        "The intervals speak of this one generator: trained again with another seed it may score differently.",
    ]
    return answer | {"level": level, "text": "\n".join([lead, *filter(None, facts)])}
