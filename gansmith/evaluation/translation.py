"""Scores of translated images: against their true partners, against the target domain, and against simple baselines.

    found = score_translation(Job(outputs=fake, targets=real, baselines={"identity": identity(x, real.shape[1:])}))
    print(found.table())

Numbers of single images (PSNR, SSIM, L1, perceptual distance, cycle error, pixel accuracy) are averaged over images.
Their intervals hold the chance of which images were taken: value +- 1.96 standard errors over images. Distances to the
domain (FD, KID) have the intervals that they have in every evaluation. Baselines see the same images, so the difference
to a baseline is taken image by image: `Gain`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features import Extractor
from gansmith.evaluation.features.base import CPU_PIXELS
from gansmith.evaluation.fidelity import absolute_error, as_saved, cropped, luma, pixel_accuracy, psnr
from gansmith.evaluation.measures import Context, Measured, Part, frechet, kernel
from gansmith.evaluation.score import Estimate, Protocol, Score
from gansmith.evaluation.ssim import WINDOW, ssim
from gansmith.evaluation.verdict import number
from gansmith.objectives import lpips_form
from gansmith.objectives.perceptual import Perceptual

OVER_IMAGES = "standard error over images"
FEWEST = 20  # images a side for a distance to the domain


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be scored, and how. Images are (N, C, H, W) floats in [-1, 1]; they are clipped and rounded to 8 bits.

    Args:
        outputs: the translations.
        targets: the true partners of the same images, in the same order; None where there are none.
        inputs: of which `cycles` are the way there and back.
        cycles: the inputs translated to the other domain and back.
        domain: images of the target domain that FD and KID compare with, (M, C, H, W); best the training's, so that
            `targets` are others and show what perfect outputs would score.
        baselines: outputs of something simpler, by its name; some are in `baselines.py`.
        phi: network of the perceptual distance; None = none is measured.
        heads: its learned weights, from `gansmith.perceptual.lpips_heads`; None = ones.
        extractor: of FD and KID.
        palette: colours (K, C) in [-1, 1] of label images, whose pixels are then compared by class.
        channel: of PSNR and SSIM: "rgb" = all channels, "y" = luma alone.
        border: pixels cut off each side for PSNR and SSIM; in super-resolution usually the factor.
        direction: "A2B" or "B2A".
        split: that `outputs` were made from, for the protocol.
        data: fingerprint of the data.
        seed: of subsets.
    """

    outputs: Tensor
    targets: Tensor | None = None
    inputs: Tensor | None = None
    cycles: Tensor | None = None
    domain: Tensor | None = None
    baselines: Mapping[str, Tensor] = field(default_factory=dict)
    phi: Perceptual | None = None
    heads: Sequence[Tensor] | None = None
    extractor: Extractor | None = None
    palette: Tensor | None = None
    channel: Literal["rgb", "y"] = "rgb"
    border: int = 0
    direction: str = "A2B"
    split: str = "held-out"
    data: str = ""
    seed: int = 0


class Gain(NamedTuple):
    """By how much the outputs are better than a baseline, image by image; negative where they are worse.

    Args:
        baseline, score: names.
        value, low, high: mean and ends of its 95 % interval over images, in the unit of the score; the interval is None
            for a single image.
    """

    baseline: str
    score: str
    value: float
    low: float | None
    high: float | None

    @property
    def better(self) -> bool | None:
        """Whether the outputs are better (True) or worse (False) beyond the noise; None within it."""
        if self.low is None or self.high is None or self.low <= 0 <= self.high:
            return None
        return self.low > 0


class Each(NamedTuple):
    """One number of every image, (N,) float64, and what its score must say."""

    name: str
    values: Tensor
    better: Literal["lower", "higher"]
    ideal: float | None
    extractor: str = "none"
    settings: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Translation:
    """What was found.

    Args:
        scores: of "outputs", and of each baseline.
        gains: of the outputs over each baseline, for the numbers of single images.
        notes: what was left out, in plain words.
        seconds: what it cost.
    """

    scores: Mapping[str, tuple[Score, ...]]
    gains: tuple[Gain, ...]
    notes: tuple[str, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For a JSON file: plain values; what is not finite, as the PSNR of equal images, is null."""
        return {
            "scores": {name: [score.to_json() for score in found] for name, found in self.scores.items()},
            "gains": [gain._asdict() | {"better": gain.better} for gain in self.gains],
            "notes": list(self.notes),
            "seconds": round(self.seconds, 2),
        }

    def table(self) -> str:
        """For people: a row for each score, a column for the outputs and one for each baseline, and the protocol."""
        names = list(dict.fromkeys(score.name for found in self.scores.values() for score in found))
        known = {who: {score.name: score for score in found} for who, found in self.scores.items()}
        rows = [["", *self.scores]]
        for name in names:
            marks = {score.better: score for found in known.values() if (score := found.get(name))}
            arrow = "↑" if "higher" in marks else "↓"
            rows.append([f"{name} {arrow}", *(_cell(found.get(name)) for found in known.values())])
        wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self._words()])

    def _words(self) -> Iterator[str]:
        """What beats what, what is doubtful, and the protocol."""
        for baseline in list(self.scores)[1:]:
            gains = [gain for gain in self.gains if gain.baseline == baseline]
            told = (("better", True), ("worse", False), ("the same within the noise", None))
            parts = [(word, [gain.score for gain in gains if gain.better is better]) for word, better in told]
            yield f"Against {baseline}: " + "; ".join(f"{word}: {', '.join(which)}" for word, which in parts if which)
        for score in self.scores["outputs"]:
            yield from (f"{score.name}: {warning}" for warning in score.warnings)
        yield from self.notes
        real = [f"{score.name} {number(score.real)}" for score in self.scores["outputs"] if score.real is not None]
        if real:
            yield f"The true partners score: {', '.join(real)}"
        yield _protocol(self.scores["outputs"])


def score_translation(job: Job) -> Translation:
    """Score translations and the baselines beside them.

    Raises:
        GansmithError: images that do not fit together, nothing to compare with, or a setting that nothing would heed.
    """
    started = time.perf_counter()
    job, notes = _ready(job), []
    sets = {"outputs": job.outputs, **job.baselines}
    each = {name: list(_each(job, x)) for name, x in sets.items()}
    scores = {name: [_of_images(job, e) for e in found] for name, found in each.items()}
    if job.targets is not None and min(job.targets.shape[2:]) - 2 * job.border < WINDOW:
        notes.append(f"SSIM needs {WINDOW} px or more: it was left out.")
    if job.inputs is not None and job.cycles is not None:
        cycle = Each("cycle L1", absolute_error(job.cycles, job.inputs), "lower", 0.0)
        scores["outputs"].append(_of_images(job, cycle))
    if job.domain is not None:
        if min(len(job.outputs), len(job.domain)) < FEWEST:
            notes.append(f"FD and KID need {FEWEST} images a side: they were left out.")
        else:
            for name, found in _to_domain(job, sets).items():
                scores[name] += found
    gains = [gain for name in job.baselines for gain in _gains(name, each["outputs"], each[name])]
    done = {name: tuple(found) for name, found in scores.items()}
    return Translation(done, tuple(gains), tuple(notes), time.perf_counter() - started)


# ---- the parts


def _ready(job: Job) -> Job:
    """The job with all images as saved. Raises GansmithError when it cannot be done."""
    if job.targets is None and job.cycles is None and job.domain is None:
        raise GansmithError(
            "Nothing to score against: give targets, inputs with their cycles, or images of the domain."
        )
    if (job.inputs is None) != (job.cycles is None):
        raise GansmithError("The cycle error needs both: the inputs, and what came back of them.")
    if (job.domain is None) != (job.extractor is None):
        raise GansmithError("A distance to the domain needs both: its images, and an extractor.")
    if job.targets is None and (job.phi is not None or job.palette is not None):
        raise GansmithError("The perceptual distance and the pixel accuracy need targets: none were given.")
    if job.heads is not None and job.phi is None:
        raise GansmithError("heads are of a perceptual network: give phi, too.")
    ready = {
        name: None if (x := getattr(job, name)) is None else as_saved(x, name)
        for name in ("outputs", "targets", "inputs", "cycles", "domain")
    }
    baselines = {name: as_saved(x, f"the baseline {name}") for name, x in job.baselines.items()}
    shape = tuple(job.outputs.shape)
    wanted = {"targets": (ready["targets"], shape), **{name: (x, shape) for name, x in baselines.items()}}
    if job.domain is not None:
        wanted["domain"] = ready["domain"], (len(job.domain), *shape[1:])
    if job.inputs is not None:
        wanted["cycles"] = ready["cycles"], (shape[0], *job.inputs.shape[1:])
    for name, (x, fitting) in wanted.items():
        if x is not None and tuple(x.shape) != fitting:
            raise GansmithError(f"{name} has shape {tuple(x.shape)}, the outputs {shape}: it should be {fitting}.")
    return replace(job, **ready, baselines=baselines)  # type: ignore[arg-type]


def _each(job: Job, x: Tensor) -> Iterator[Each]:
    """The numbers of single images that compare with targets."""
    t = job.targets
    if t is None:
        return
    view = luma if job.channel == "y" else lambda images: images
    a, b = (cropped(view(images), job.border) for images in (x, t))
    tag, settings = " (Y)" * (job.channel == "y"), {"channel": job.channel, "border": job.border}
    yield Each(f"PSNR{tag}", psnr(a, b), "higher", None, settings=settings)
    if min(a.shape[2:]) >= WINDOW:
        yield Each(f"SSIM{tag}", ssim(a, b), "higher", 1.0, settings=settings)
    yield Each("L1", absolute_error(x, t), "lower", 0.0)
    if job.phi is not None:
        name = f"lpips_form({job.phi.name}{'' if job.heads is None else ', lpips heads'})"
        yield Each(name, _perceived(job.phi, x, t, job.heads), "lower", 0.0, job.phi.identity)
    if job.palette is not None:
        settings = {"classes": len(job.palette)}
        yield Each("pixel accuracy", pixel_accuracy(x, t, job.palette), "higher", 1.0, settings=settings)


def _perceived(phi: Perceptual, x: Tensor, t: Tensor, heads: Sequence[Tensor] | None) -> Tensor:
    """Perceptual distances (N,), a few images at a time."""
    size = max(1, CPU_PIXELS // (x.shape[2] * x.shape[3]))
    with torch.no_grad():
        pairs = zip(torch.split(x, size), torch.split(t, size), strict=True)
        parts = [lpips_form(phi, a.to(phi.device), b.to(phi.device), heads).cpu() for a, b in pairs]
    return torch.cat(parts).double()


def _of_images(job: Job, each: Each) -> Score:
    """The mean over images, with its interval."""
    values, doubts = each.values, []
    same = int(values.isinf().sum())
    if same:
        doubts.append(f"{same} of {len(values)} images equal their targets to the bit, so the mean is infinite.")
    found = _mean(values)
    m = Measured(each.name, found.value, None, each.better, each.ideal, OVER_IMAGES, each.settings)
    m = m._replace(interval=found.interval if math.isfinite(found.error) else None, warnings=tuple(doubts))
    return _score(job, m, len(values), each.extractor, "none")


def _mean(values: Tensor) -> Estimate:
    """Mean over images and its standard error, not finite for one image or for infinite values."""
    error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(float(values.mean()), error)


def _score(job: Job, m: Measured, n_real: int, extractor: str, resized: str, real: float | None = None) -> Score:
    settings = {"direction": job.direction, "bits": 8, **m.settings}
    count = len(job.outputs)
    protocol = Protocol(count, n_real, extractor, resized, job.split, job.seed, job.data, settings)
    low, high = m.interval or (None, None)
    return Score(m.name, m.value, low, high, m.better, m.ideal, protocol, m.how, real, m.warnings)


def _to_domain(job: Job, sets: Mapping[str, Tensor]) -> dict[str, list[Score]]:
    """Distances of every set to the domain, beside what the true partners score."""
    assert job.extractor is not None and job.domain is not None
    context = Context(job.extractor, job.seed)
    there = Part(job.extractor.features(job.domain))
    resized = job.extractor.resized(*job.domain.shape[2:])

    def measured(x: Tensor) -> list[Measured]:
        part = Part(job.extractor.features(x))  # type: ignore[union-attr]
        return [m for measure in (frechet, kernel) for m in measure(part, there, context)]

    perfect = {} if job.targets is None else {m.name: m.value for m in measured(job.targets)}
    args = len(job.domain), job.extractor.identity, resized
    return {name: [_score(job, m, *args, perfect.get(m.name)) for m in measured(x)] for name, x in sets.items()}


def _gains(baseline: str, ours: Sequence[Each], theirs: Sequence[Each]) -> Iterator[Gain]:
    """Differences of the same images, where they are finite."""
    for a, b in zip(ours, theirs, strict=True):
        found = _mean((a.values - b.values) * (1 if a.better == "higher" else -1))
        if math.isfinite(found.value):
            low, high = found.interval if math.isfinite(found.error) else (None, None)
            yield Gain(baseline, a.name, found.value, low, high)


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    value = "infinite" if score.value == math.inf else number(score.value, score.error)
    if score.low is None or score.high is None:
        return value
    return f"{value} ({number(score.low, score.error)} to {number(score.high, score.error)})"


def _protocol(scores: Sequence[Score]) -> str:
    """What the scores rest on, in words."""
    groups: dict[str, list[str]] = {}
    for score in scores:
        p = score.protocol
        words = [word for word in (p.extractor, p.resize) if word != "none"]
        words += [f"against {p.n_real:,} images of the domain"] * (score.how != OVER_IMAGES)
        words += [f"{name} {value}" for name, value in p.settings.items() if name not in ("direction", "bits")]
        groups.setdefault(", ".join(words), []).append(score.name)
    p = scores[0].protocol
    told = [f"{', '.join(names)}: {words}" for words, names in groups.items() if words]
    head = f"Protocol: {p.n_fake:,} images, {p.settings['direction']}, {p.split}, {p.settings['bits']} bits"
    return "; ".join([head, *told, f"seed {p.seed}; 95 % intervals"])
