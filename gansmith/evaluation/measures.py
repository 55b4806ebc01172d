"""The measures of an evaluation: each scores one set of samples against real ones.

The same function scores the generated samples and, in their place, real samples that the reference does not hold: what
perfect samples would score, with as many of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.classes import inception_score_estimate, wilson
from gansmith.evaluation.features import fd_name
from gansmith.evaluation.features.base import Extractor
from gansmith.evaluation.frechet import frechet_infinity, frechet_jackknife, warnings_for
from gansmith.evaluation.kernel import gaussian_estimate, kernel_estimate
from gansmith.evaluation.manifold import manifold_estimates, realism, two_sample_accuracy
from gansmith.evaluation.score import Estimate, Interval
from gansmith.evaluation.sliced import sliced_wasserstein_estimate, sliced_wasserstein_images
from gansmith.evaluation.ssim import ms_ssim_diversity

K = 5  # neighbours, as in Naeem et al. 2020
SPLITS = 10
PAIRS = 2000
HALVES = "random halvings of both sets"
SMALLEST = 11  # px: the window of MS-SSIM


class Part(NamedTuple):
    """One set of samples as the measures see it.

    Args:
        features: (N, D).
        probs: (N, K) class probabilities, or None.
        images: (n, C, H, W) in [-1, 1], the first n of the N; None for points.
        points: (N, D) samples that are no images; None for images.
        labels: (N,) classes: those that were asked for, of generated samples; None without.
    """

    features: Tensor
    probs: Tensor | None = None
    images: Tensor | None = None
    points: Tensor | None = None
    labels: Tensor | None = None


class Measured(NamedTuple):
    """One number, before it gets its protocol: see `Score` for the fields."""

    name: str
    value: float
    interval: Interval | None
    better: Literal["lower", "higher", "target"]
    ideal: float | None
    how: str = "none"
    settings: Mapping[str, Any] = {}
    warnings: tuple[str, ...] = ()
    on: Literal["features", "images", "points"] = "features"


@dataclass(frozen=True)
class Context:
    """What the measures know besides the samples.

    Args:
        extractor: of the features.
        seed: of subsets, projections and splits.
        coverage: points (N, D) -> (modes covered, share of high quality), for laws with known modes.
        modes: how many modes the law has.
        classes: names of the data's classes.
    """

    extractor: Extractor
    seed: int = 0
    coverage: Callable[[Tensor], tuple[int, float]] | None = field(default=None, repr=False)
    modes: int = 0
    classes: tuple[str, ...] = ()


DEPTH = 3  # the paper's k for realism
ALIKE = 0.02  # coverage below which the samples are as good as one point
ONE_BALL = "the samples cover almost nothing: this says whether one point lies in some ball, so look at realism instead"

Measure = Callable[[Part, Part, Context], Iterator[Measured]]


def frechet(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """FD at this N, and extrapolated to endless samples."""
    name = fd_name(context.extractor)
    found = frechet_jackknife(fake.features, real.features, seed=context.seed)
    counts = len(fake.features), len(real.features), fake.features.shape[1]
    doubts = warnings_for(*counts, found.value, found.bias)
    interval = Estimate(found.value, found.error).interval
    yield Measured(name, found.value, interval, "lower", 0.0, "jackknife over samples", warnings=doubts)
    far = frechet_infinity(fake.features, real.features, seed=context.seed)
    yield Measured(f"{name} infinity", far.value, far.interval, "lower", 0.0, "fit over 1/N")


def kernel(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """KID over the full sets; CMMD for the features of its own paper."""
    found = kernel_estimate(fake.features, real.features)
    yield Measured("KID", found.value, found.interval, "lower", 0.0, "jackknife over samples", {"kernel": "cubic"})
    if context.extractor.name == "clip_vitl14_336":
        cmmd = gaussian_estimate(fake.features, real.features)
        yield Measured("CMMD", cmmd.value, cmmd.interval, "lower", 0.0, "jackknife over samples", {"sigma": 10.0})


def manifold(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """Precision, recall, density, coverage."""
    found = manifold_estimates(real.features, fake.features, k=K, seed=context.seed)
    alike = found.coverage.value < ALIKE
    for name, estimate in found._asdict().items():
        doubts = (ONE_BALL,) if alike and name in ("precision", "density") else ()
        yield Measured(name, estimate.value, estimate.interval, "higher", 1.0, HALVES, {"k": K}, doubts)


def depth(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """Share of the samples inside the manifold without the balls of outliers: real ones score about a half.

    Nothing where every second real sample is a duplicate."""
    try:
        inside = (realism(real.features, fake.features, k=DEPTH) >= 1).double()
    except GansmithError:
        return
    n, hits = len(inside), inside.sum()
    low, high = (float(x) for x in wilson(hits, n))
    yield Measured("realism", float(hits) / n, Interval(low, high), "higher", None, "binomial", {"k": DEPTH})


def two_samples(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """How well the nearest neighbour tells real from generated."""
    found = two_sample_accuracy(real.features, fake.features, seed=context.seed).accuracy
    yield Measured("1-NN accuracy", found.value, found.interval, "target", 0.5, HALVES)


def sliced(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """Sliced Wasserstein distance of the features, and ProGAN's of image patches."""
    found = sliced_wasserstein_estimate(fake.features, real.features, seed=context.seed)
    name = f"SW({context.extractor.name})"
    yield Measured(name, found.value, found.interval, "lower", 0.0, "jackknife over groups", {"directions": 512})
    if fake.images is not None and real.images is not None:
        swd = sliced_wasserstein_images(real.images, fake.images, seed=context.seed)
        levels = ", ".join(map(str, swd.levels))
        yield Measured("SWD", swd.average, None, "lower", 0.0, settings={"levels": levels}, on="images")


def classes(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """Inception Score over the extractor's own classes."""
    if fake.probs is not None:
        found = inception_score_estimate(fake.probs, SPLITS, seed=context.seed)
        name = "IS" if context.extractor.name == "inception_2015" else f"IS({context.extractor.name})"
        yield Measured(name, found.value, found.interval, "higher", None, "over splits", {"splits": SPLITS})


def control(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """How often a sample is taken for the class that was asked for, and the class in which that is rarest."""
    if fake.labels is None or fake.probs is None or fake.probs.shape[1] != len(context.classes):
        return
    right = (fake.probs.argmax(1) == fake.labels).double()
    count, total = torch.bincount(fake.labels, minlength=len(context.classes)), float(right.sum())
    shares = torch.bincount(fake.labels, right, minlength=len(context.classes)) / count
    worst = int(torch.where(count > 0, shares, 2.0).argmin())
    low, high = (float(end) for end in wilson(torch.tensor(total), len(right)))
    yield Measured("class control", total / len(right), Interval(low, high), "higher", 1.0, "Wilson")
    ends = wilson(shares[worst] * count[worst], int(count[worst]))
    how = f"Wilson; class {context.classes[worst]}"
    interval = Interval(float(ends[0]), float(ends[1]))
    yield Measured("worst class control", float(shares[worst]), interval, "higher", 1.0, how)


def likeness(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """How alike two random samples are."""
    if fake.images is not None and min(fake.images.shape[2:]) >= SMALLEST:
        found = ms_ssim_diversity(fake.images, pairs=PAIRS, seed=context.seed)
        yield Measured(
            "MS-SSIM", found.value, found.interval, "lower", None, "over pairs", {"pairs": PAIRS}, on="images"
        )


def modes(fake: Part, real: Part, context: Context) -> Iterator[Measured]:
    """Modes held and share of samples near one, where the law is known."""
    if context.coverage is not None and fake.points is not None:
        held, quality = context.coverage(fake.points)
        yield Measured("modes", float(held), None, "higher", float(context.modes), on="points")
        error = (quality * (1 - quality) / len(fake.points)) ** 0.5
        interval = Interval(quality - 1.96 * error, quality + 1.96 * error)
        yield Measured("HQ share", quality, interval, "higher", None, "binomial", on="points")


MEASURES: tuple[Measure, ...] = (
    frechet,
    kernel,
    manifold,
    depth,
    two_samples,
    sliced,
    classes,
    control,
    likeness,
    modes,
)
