"""An evaluation: samples against real data; every number with its protocol, interval and what real samples score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.classes import class_balance
from gansmith.evaluation.features import Extractor, Look
from gansmith.evaluation.features.store import FeatureStore
from gansmith.evaluation.measures import MEASURES, Context, Measured, Part
from gansmith.evaluation.novelty import Novelty, novelty, pixel_copies
from gansmith.evaluation.pictures import gallery
from gansmith.evaluation.samples import Reference, Samples
from gansmith.evaluation.score import Protocol, Score

ENOUGH = 10_000  # samples a side, when nobody says how many
FEWEST = 20
POOL = 100_000  # training samples at most among which copies are sought
PIXEL_BYTES = 64 << 20  # of training images among which copies are sought by pixels, too: few images are copied
IMAGE_BYTES = 256 << 20  # of each set of images held in memory for the measures that look at pixels

Progress = Callable[[str, int, int], object]
"""Told what is going on, how much of it is done, and of how much."""


def silent(what: str, done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Job:
    """What is to be scored, and how.

    Args:
        fake: the generated samples.
        real: the data.
        extractor: of the features.
        kept, known: where features of the generated and of the real samples are kept.
        n: generated samples; None = as many as real ones can stand in for, at most 10,000.
        n_real: real samples that they are compared with; None = as many.
        seed: of subsets, projections and splits.
        progress: told about long work.
    """

    fake: Samples
    real: Reference
    extractor: Extractor
    kept: FeatureStore
    known: FeatureStore
    n: int | None = None
    n_real: int | None = None
    seed: int = 0
    progress: Progress = silent

    def look(self, samples: Samples, store: FeatureStore, what: str, count: int | None = None) -> Look:
        """Features of the samples, or of the first `count`, from the store where they are."""
        return store.get(
            samples.key,
            lambda first, end: samples.fetch(np.arange(first, end)),
            self.extractor,
            samples.count if count is None else count,
            lambda done, total: self.progress(f"features of {what}", done, total),
        )


class Evaluation(NamedTuple):
    """What evaluation.json and evaluation.npz hold."""

    facts: dict[str, Any]
    arrays: dict[str, np.ndarray]


class Seen(NamedTuple):
    """Everything that the measures look at.

    Args:
        fake, real: what is compared.
        stand_in: real samples in the place of the generated ones, equally many and none of them in `real`; None when
            the data hold too few.
        train: training samples among which copies are sought, and their features.
        held_out: features (H, D) of what training never saw.
    """

    fake: Part
    real: Part
    stand_in: Part | None
    train: Samples
    train_look: Look
    held_out: Tensor


def evaluate(job: Job) -> Evaluation:
    """Score samples. Raises GansmithError when there are too few, or they do not fit the data."""
    started = time.perf_counter()
    seen = look(job)
    scores = [*_scores(job, seen)]
    balance = _classes(job, seen)
    if balance is not None:
        scores.append(balance[0])
    job.progress("novelty", 0, 1)
    found = novelty(seen.fake.features, seen.train_look.features, seen.held_out, seed=job.seed)
    scores += _novelty_scores(job, seen, found)
    scores += _pixel_copies(job, seen)
    facts = {
        "scores": [score.to_json() for score in scores],
        "classes": None if balance is None else balance[1],
        "novelty": found.facts,
        "notes": [*job.kept.notes, *job.known.notes],
        "seconds": round(time.perf_counter() - started, 2),
    }
    return Evaluation(facts, gallery(job.fake, seen.train, found, seen.fake, seen.real))


def counts(job: Job) -> tuple[int, int]:
    """How many generated and how many real samples are compared. Raises GansmithError when there are not as many."""
    real, train = job.real.train.count + job.real.held_out.count, job.real.train.count
    n = min(ENOUGH, job.fake.count, max(real // 2, 1)) if job.n is None else job.n
    n_real = min(n, train) if job.n_real is None else job.n_real
    for count, there, what in ((n, job.fake.count, job.fake.name), (n_real, train, job.real.train.name)):
        if count < FEWEST:
            raise GansmithError(f"{what}: {count} samples are too few to score: give at least {FEWEST}.")
        if count > there:
            raise GansmithError(f"{what} has {there} samples, {count} were asked for: ask for at most {there}.")
    return n, n_real


def look(job: Job) -> Seen:
    """Choose the samples and compute their features."""
    n, n_real = counts(job)
    whole, held_out = job.real.train, job.real.held_out
    train = whole if whole.count <= POOL else whole.at(np.sort(_shuffled(whole.count, job.seed)[:POOL]))
    fake = job.look(job.fake, job.kept, "the samples", n)
    real = job.look(train, job.known, "the training data")
    held = job.look(held_out, job.known, "held-out data") if held_out.count else Look(real.features[:0])
    order = _shuffled(train.count, job.seed)
    chosen, rest = np.sort(order[:n_real]), order[n_real:]
    from_held = min(n, held_out.count)
    stand_in = None
    if from_held + len(rest) >= n:
        others = np.sort(rest[: n - from_held])
        stand_in = _joined(_part(held, held_out, np.arange(from_held)), _part(real, train, others))
    parts = _part(fake, job.fake, np.arange(n)), _part(real, train, chosen)
    return Seen(*parts, stand_in, train, real, held.features)


def _shuffled(n: int, seed: int) -> np.ndarray:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).numpy()


def _part(found: Look, samples: Samples, index: np.ndarray) -> Part:
    """Some of the samples as the measures see them."""
    rows = torch.from_numpy(index)
    probs = None if found.probs is None else found.probs[rows]
    labels = None if samples.labels is None else samples.labels[rows]
    if not len(index):
        return Part(found.features[rows], probs, labels=labels)
    one = samples.fetch(index[:1])
    if one.ndim != 4:
        return Part(found.features[rows], probs, points=samples.fetch(index), labels=labels)
    most = max(1, IMAGE_BYTES // (one.numel() * one.element_size()))
    return Part(found.features[rows], probs, images=samples.fetch(index[:most]), labels=labels)


def _joined(a: Part, b: Part) -> Part:
    def both(x: Tensor | None, y: Tensor | None) -> Tensor | None:
        found = [t for t in (x, y) if t is not None]
        return torch.cat(found) if found else None

    features = torch.cat([a.features, b.features])
    return Part(features, *(both(x, y) for x, y in zip(a[1:], b[1:], strict=True)))


def _scores(job: Job, seen: Seen) -> Iterator[Score]:
    """Every measure, of the generated samples and of the real ones in their place."""
    context = Context(job.extractor, job.seed, job.real.coverage, job.real.modes, tuple(job.real.classes))
    for i, measure in enumerate(MEASURES):
        job.progress("scores", i, len(MEASURES))
        started = time.perf_counter()
        found = list(measure(seen.fake, seen.real, context))
        seconds = time.perf_counter() - started
        perfect = {m.name: m.value for m in measure(seen.stand_in, seen.real, context)} if seen.stand_in else {}
        for m in found:
            yield _score(job, seen, m, _sizes(seen, m.on), perfect.get(m.name), seconds / len(found))
    job.progress("scores", len(MEASURES), len(MEASURES))


def _sizes(seen: Seen, on: Literal["features", "images", "points"]) -> tuple[int, int]:
    """How many generated and real samples a measure looked at."""
    if on == "images" and seen.fake.images is not None and seen.real.images is not None:
        return len(seen.fake.images), len(seen.real.images)
    return len(seen.fake.features), len(seen.real.features)


def _score(
    job: Job, seen: Seen, m: Measured, sizes: tuple[int, int], real: float | None, seconds: float = 0.0
) -> Score:
    """A measured number with its protocol."""
    on_features, images = m.on == "features", seen.fake.images
    resize = job.extractor.resized(*images.shape[2:]) if on_features and images is not None else "none"
    protocol = Protocol(
        *sizes,
        extractor=job.extractor.identity if on_features else "none",
        resize=resize,
        split=job.real.split,
        seed=job.seed,
        data=job.real.fingerprint,
        settings=dict(m.settings),
    )
    low, high = m.interval if m.interval is not None else (None, None)
    return Score(m.name, m.value, low, high, m.better, m.ideal, protocol, m.how, real, m.warnings, round(seconds, 3))


def _novelty_scores(job: Job, seen: Seen, found: Novelty) -> Iterable[Score]:
    sizes = len(seen.fake.features), seen.train.count
    return [_score(job, seen, m, sizes, real) for m, real in found.scores]


def _pixel_copies(job: Job, seen: Seen) -> Iterator[Score]:
    """Copies by pixels, where the extractor does not look at them and the training images are not too many."""
    images = seen.fake.images
    if images is None or job.extractor.name == "pixels":
        return
    if images[0].numel() * images.element_size() * seen.train.count <= PIXEL_BYTES:
        held_out = job.real.held_out.tensor() if job.real.held_out.count else images[:0]
        measured, calm = pixel_copies(images, seen.train.tensor(), held_out)
        yield _score(job, seen, measured, (len(images), seen.train.count), calm)


def _classes(job: Job, seen: Seen) -> tuple[Score, dict[str, Any]] | None:
    """Shares of the classes, as the judge sees them, against those of the data; None without a judge of its classes."""
    probs, names = seen.fake.probs, list(job.real.classes)
    if probs is None or seen.real.probs is None or probs.shape[1] != len(names):
        return None
    found = class_balance(probs, seen.real.probs, len(names))
    stand_in = seen.stand_in.probs if seen.stand_in else None
    perfect = None if stand_in is None else class_balance(stand_in, seen.real.probs, len(names)).total_variation
    m = Measured("class distance", found.total_variation, None, "lower", 0.0)
    shares = {"real": found.real, "fake": found.shares, "low": found.low, "high": found.high}
    facts = {"names": names} | {key: [float(x) for x in value] for key, value in shares.items()}
    return _score(job, seen, m, _sizes(seen, "features"), perfect), facts
