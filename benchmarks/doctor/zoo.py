"""The sick zoo: trainings with one induced fault each, healthy ones, and what is true of their samples.

The truth is measured with other means than the doctor's: modes of known laws, and for images coverage and classes
in the features of a judge trained on the labels, against held-out samples, at the end of the training.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import gansmith
from gansmith.data import Dataset, Points, open_data
from gansmith.evaluation import manifold
from gansmith.evaluation.features.choose import choose_extractor
from gansmith.evaluation.kernel import kernel_estimate
from gansmith.evaluation.samples import reference
from gansmith.places import cache_folder

POINTS, IMAGES = ("ring8", "grid25"), ("digits", "fashion_mnist")
SETS = (*POINTS, *IMAGES)
SIDE = 16  # pixels of the images: a run takes a minute
SEEDS = 5
TRUTH = 2000  # samples
FEW = 60  # training samples of the tiny sets

BASE: dict[str, dict[str, Any]] = {
    "points": {"recipe": "gan", "gamma": 0.1, "samples": 256 * 3000},
    "images": {"recipe": "dcgan", "preset": "r1", "resolution": SIDE, "samples": 60_000},
}
"""The healthy setting that the faults depart from."""

BASELINE = "nonsaturating"
"""The healthy runs at the base setting."""


MIXED, RELATIVISTIC = (str(Path(__file__).with_name(f"{name}.py")) for name in ("mixed", "relativistic"))


class Fault(NamedTuple):
    """An induced fault.

    Args:
        points, images: fields that differ from the base setting.
        expected: problems of which the doctor's first finding must be one.
        data: name of what is done to the data; "" = nothing.
    """

    points: dict[str, Any]
    images: dict[str, Any]
    expected: tuple[str, ...]
    data: str = ""


FAULTS: dict[str, Fault] = {
    "d_too_fast": Fault(
        {"gamma": 0.0, "lr": 2e-4, "lr_d": 2e-2},
        {"gamma": 0.0, "lr": 1e-4, "lr_d": 1e-2},
        ("d-overpowers-g", "mode-collapse", "divergence"),
    ),
    "g_too_fast": Fault(
        {"gamma": 0.0, "lr": 2e-2, "lr_d": 2e-4},
        {"gamma": 0.0, "lr": 2e-2, "lr_d": 1e-4},
        ("g-overpowers-d", "mode-collapse", "convergence-failure", "divergence"),
    ),
    "saturating": Fault(
        {"gamma": 0.0, "objective": "minimax", "n_critic": 10, "lr": 5e-4, "lr_d": 5e-3},
        {"recipe": "gan", "net": "dcgan", "gamma": 0.0, "objective": "minimax", "n_critic": 5, "lr": 1e-3, "batch": 32}
        | {"width": 32, "z_dim": 32},
        ("d-overpowers-g", "convergence-failure", "mode-collapse"),
    ),
    "no_penalty": Fault(
        {"gamma": 0.0},
        {"recipe": "gan", "batch": 32, "z_dim": 32, "lr": 1e-3},
        ("mode-collapse", "mode-dropping", "oscillation"),
    ),
    "small_latent": Fault({"z_dim": 1}, {"z_dim": 1}, ("mode-collapse",)),
    "tiny_data": Fault({}, {}, ("data-fault", "memorisation", "d-overfitting"), "tiny"),
    "data_range": Fault({}, {}, ("data-fault",), "range"),
    "one_class": Fault({}, {}, ("data-fault",), "one"),
    "mixed_batchnorm": Fault(
        {"recipe": MIXED}, {"recipe": MIXED}, ("convergence-failure", "oscillation", "mode-collapse", "divergence")
    ),
    "huge_gamma": Fault({"gamma": 1e4}, {"gamma": 1e4}, ("g-overpowers-d", "convergence-failure")),
    "zero_gamma": Fault(
        {"recipe": "r3gan", "gamma": 0.0, "lr": 5e-3},
        {"recipe": "r3gan", "gamma": 0.0, "widths": (64, 32), "group": 16, "lr": 2e-3},
        ("divergence", "oscillation", "convergence-failure", "mode-dropping", "d-overpowers-g", "mode-collapse"),
    ),
    "frozen_g": Fault(
        {"lr": 1e-9, "lr_d": 2e-3}, {"lr": 1e-9, "lr_d": 4e-3}, ("d-overpowers-g", "convergence-failure")
    ),
    "momentum": Fault(
        {"gamma": 0.0, "betas": (0.95, 0.99), "lr": 1e-2},
        {"gamma": 0.0, "betas": (0.95, 0.99), "lr": 1e-2},
        ("oscillation", "convergence-failure", "divergence", "mode-collapse"),
    ),
    "lr_too_high": Fault(
        {"lr": 0.1}, {"lr": 0.2}, ("divergence", "oscillation", "convergence-failure", "mode-collapse")
    ),
}

HEALTHY: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "nonsaturating": ({}, {}),
    "relativistic": (
        {"recipe": "r3gan", "samples": 2 * 256 * 3000},
        {"recipe": RELATIVISTIC, "samples": 60_000, "batch": 32},
    ),
    "wasserstein": (
        {"recipe": "wgan_gp", "samples": 5 * 256 * 1875},
        {"recipe": "wgan_gp", "samples": 300_000, "lr": 1e-3},
    ),
    "least_squares": ({"recipe": "lsgan"}, {"recipe": "lsgan", "lr": 1e-3, "samples": 120_000}),
    "dragan": ({"recipe": "dragan"}, {"recipe": "dragan", "lr": 1e-3, "samples": 150_000}),
}
"""Five losses with settings that work, for points and for images."""


class Case(NamedTuple):
    """One training.

    Args:
        name: of the fault, or of the loss when healthy.
        data: name of the set.
        seed: of the training.
        options: of `gansmith.train`, without data, seed and out.
        twist: what is done to the data.
        expected: problems that are right; empty when healthy.
    """

    name: str
    data: str
    seed: int
    options: dict[str, Any]
    twist: str = ""
    expected: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return f"{self.data}-{self.name}-{self.seed}"


def cases(sets: tuple[str, ...] = SETS, seeds: int = SEEDS) -> Iterator[Case]:
    """Every training of the zoo."""
    for data in sets:
        side = data in IMAGES
        base = BASE["images" if side else "points"]
        for name, fault in FAULTS.items():
            for seed in range(seeds):
                yield Case(name, data, seed, _merged(base, fault[side]), fault.data, fault.expected)
        for name, options in HEALTHY.items():
            for seed in range(100, 100 + seeds):
                yield Case(name, data, seed, _merged(base, options[side]))


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The base setting with its own fields; another recipe starts from its own fields."""
    kept = ("samples", "resolution")
    start = base if own.get("recipe", base["recipe"]) == base["recipe"] else {k: base[k] for k in kept if k in base}
    merged = start | own
    return merged | {"tick": merged["samples"] // 20}


@cache
def dataset(name: str) -> Dataset:
    """The sound data."""
    return open_data(name, progress=False, **({"resolution": SIDE} if name in IMAGES else {}))


def data_of(case: Case) -> Any:
    """The data that a training gets: those of its set, or what a fault makes of them."""
    sound = dataset(case.data)
    if not case.twist:
        return case.data
    return _points(sound, case) if isinstance(sound, Points) else _images(sound, case)


def _points(law: Points, case: Case) -> Points:
    generator = torch.Generator().manual_seed(case.seed)
    with torch.random.fork_rng():
        torch.manual_seed(case.seed)
        few = law.draw(FEW)
    if case.twist == "range":
        draw = lambda n, device: 50 * law.draw_from(n, device)  # noqa: E731
    else:
        keep = few if case.twist == "tiny" else few[:2] + 0.01 * torch.randn(2, 2, generator=generator)
        draw = lambda n, device: keep.to(device)[torch.randint(len(keep), (n,), device=device)]  # noqa: E731
    return dataclasses.replace(law, draw_from=draw, settings={**law.settings, "twist": float(len(case.twist))})


def _images(data: Any, case: Case) -> np.ndarray | str:
    rng = np.random.default_rng(case.seed)
    x, y = data.fetch(np.arange(data.spec.count), ("x", "y"))
    pixels = ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    if case.twist == "tiny":
        return pixels[rng.permutation(len(pixels))[:FEW]]
    if case.twist == "range":
        return pixels[:4000] // 64
    labels = y.numpy()
    kind = case.seed % 10
    one = np.flatnonzero(labels == kind)
    rest = rng.permutation(np.flatnonzero(labels != kind))[: len(one) // 50]
    index = rng.permutation(np.concatenate([one, rest]))
    path = cache_folder() / "zoo" / f"{case.key}.npz"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, x=pixels[index], y=labels[index])
    return str(path)


# -- truth


class Truth(NamedTuple):
    """What is true of a run's samples at its end.

    Args:
        modes: share of the modes (of the classes) that are drawn.
        coverage, precision: over what held-out samples have.
        coverage_error: standard error of the coverage.
        kid, kid_error: kernel distance to the training samples, with its standard error.
    """

    modes: float
    coverage: float
    precision: float
    coverage_error: float
    kid: float
    kid_error: float


def truth(run: Path, case: Case) -> Truth:
    """Modes or classes, coverage and precision of 2,000 samples against held-out ones."""
    gan = gansmith.load(run)
    fake = gan.sample(TRUTH, seed=99)
    sound = dataset(case.data)
    if not fake.isfinite().all():
        return Truth(0.0, 0.0, 0.0, 0.0, math.inf, 0.0)
    if isinstance(sound, Points):
        modes = sound.coverage(fake)[0] / len(sound.modes)
        real, held = (part.tensor() for part in _law(case.data))
        rows = fake
    else:
        look, probs = _judge(case.data)
        real, held = look_at(case.data)
        rows = look(fake)
        counts = torch.bincount(probs(fake).argmax(1), minlength=10)
        modes = float((counts >= 0.02 * TRUTH).float().mean())
    found, usual = manifold.manifold_estimates(real, rows), manifold.manifold(real, held)
    coverage, precision = found.coverage.value / usual.coverage, found.precision.value / usual.precision
    kid = kernel_estimate(rows, real, vary="a")
    error = found.coverage.error / usual.coverage
    return Truth(modes, coverage, precision, error, kid.value, kid.error)


def known(out: Path) -> list[dict[str, Any]]:
    """What play.py measured of each run, with `sick` and the problems that its fault explains (`expected`).

    A run is sick when its data are, when it failed, when a tenth of the modes or classes is lost, a third of the
    coverage, or half of the precision: coverage and precision as the base setting has them on that set (median), which
    in so short a training is less than what held-out samples have.
    """
    found = [json.loads(path.read_text()) for path in sorted(out.glob("*/truth.json"))]
    sound = {}
    for data in SETS:
        base = [f for f in found if f["data"] == data and f["name"] == BASELINE] or [{}]
        sound[data] = [float(np.median([f.get(k, 1.0) for f in base])) for k in ("coverage", "precision")]
    for facts in found:
        fault = FAULTS.get(facts["name"])
        facts["key"] = f"{facts['data']}-{facts['name']}-{facts['seed']}"
        facts["expected"] = fault.expected if fault else ()
        facts["sick"] = bool(facts["failed"] or (fault and fault.data)) or sick(facts, *sound[facts["data"]])
    return found


def sick(facts: dict[str, Any], coverage: float, precision: float) -> bool:
    """A tenth of the modes lost, a third of this coverage, or half of this precision."""
    return facts["modes"] < 0.9 or facts["coverage"] < 2 / 3 * coverage or facts["precision"] < precision / 2


def _law(name: str) -> Any:
    found = reference(dataset(name), TRUTH)
    return found.train, found.held_out


@cache
def _judge(name: str) -> Any:
    extractor = choose_extractor("judge", dataset(name), cache_folder() / "judges", None, "cpu", lambda text: None)
    return extractor.features, extractor.probs


@cache
def look_at(name: str) -> tuple[Tensor, Tensor]:
    """Features of training and of held-out samples, as many as of generated ones."""
    look, found = _judge(name)[0], reference(dataset(name))
    order = torch.randperm(found.train.count, generator=torch.Generator().manual_seed(0)).numpy()
    train, rest = np.sort(order[:TRUTH]), np.sort(order[TRUTH : 2 * TRUTH])
    held = found.held_out.tensor()
    if len(held) < TRUTH:  # other training samples fill up
        held = torch.cat([held, found.train.fetch(rest[: TRUTH - len(held)])])
    return look(found.train.fetch(train)), look(held[:TRUTH])
