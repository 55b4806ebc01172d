"""The real data as the doctor sees them: a fixed few, in a space where distances mean something, with what they score.

Everything that the doctor says of samples is relative: to what other real samples would score in their place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.cluster.vq import kmeans2  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.manifold import Manifold, manifold
from gansmith.evaluation.neighbours import nearest
from gansmith.evaluation.samples import Reference, Samples

SIDE = 16  # pixels: images are shrunk to this before distances are taken
NEIGHBOUR = 5  # the paper's k of density and coverage
PER_CELL, MOST_CELLS = 20, 32
POOL = 5000  # training samples among which copies are sought
HELD = 40  # held-out samples, below which other training samples stand for them
FEWEST = 20  # samples of each kind, below which nothing is measured
AXES = 4

TURNS = {"hflip": (3,), "vflip": (2,), "turned": (2, 3)}
"""Mirrorings of images (along the axes named) that may leak from an augmentation into the samples."""


def features(x: Tensor) -> Tensor:
    """Samples (N, ...) as rows (N, D): images (N, C, H, W) shrunk to 16 px by area, anything else as it is."""
    if x.ndim == 4 and min(x.shape[2:]) > SIDE:
        x = F.adaptive_avg_pool2d(x, SIDE)
    return x.flatten(1)


@dataclass(frozen=True)
class Real:
    """Fixed real samples, and what is measured of them once.

    Args:
        train: samples (n, ...) that the training sees.
        held: samples (m, ...) that it never sees, or other training samples where too few are held out.
        held_out: whether `held` were never trained on.
        pool: features (P, D) of training samples among which copies are sought; empty for laws drawn without end.
        labels: (n,) classes of `train`, when they have any.
        labels_held: (m,) those of `held`.
        classes: names of the classes.
        count: training samples in all; 0 = drawn without end.
        facts: what is odd about the data themselves, for the rules (`data_facts`).
    """

    train: Tensor
    held: Tensor
    held_out: bool
    pool: Tensor
    labels: Tensor | None
    labels_held: Tensor | None
    classes: tuple[str, ...]
    count: int
    facts: dict[str, float]
    rows: Tensor = field(init=False)
    rows_held: Tensor = field(init=False)
    centres: Tensor = field(init=False)
    cells: Tensor = field(init=False)
    scores: Manifold = field(init=False)
    axes: Tensor = field(init=False)
    apart: Tensor = field(init=False)
    near: float = field(init=False)
    turned: dict[str, Tensor] = field(init=False)
    mirrored: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        rows, held = features(self.train), features(self.held)
        centres = _centres(rows, min(max(len(rows) // PER_CELL, 2), MOST_CELLS))
        centred = rows - rows.mean(0)
        axes = torch.linalg.svd(centred, full_matrices=False).Vh[:AXES]
        found = {
            "rows": rows,
            "rows_held": held,
            "centres": centres,
            "cells": torch.bincount(nearest(rows, centres, 1)[1][:, 0], minlength=len(centres)),
            "scores": manifold(rows, held, NEIGHBOUR),
            "axes": axes / centred.std().clamp_min(1e-9),
            "apart": self._apart(held),
            "turned": {k: features(self.train.flip(v)) for k, v in TURNS.items()} if self.train.ndim == 4 else {},
            "near": float(nearest(held, rows, 1)[0].quantile(0.9)),
        }
        for name, value in found.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "mirrored", self.looks(held))

    def _apart(self, held: Tensor) -> Tensor:
        """How far new samples lie from the pool: those held out; without any, each of the pool from all others."""
        if len(self.pool) < 2:
            return torch.zeros(0)
        new = held if self.held_out else self.pool
        return nearest(new, self.pool, 1, exclude_self=not self.held_out)[0][:, 0]

    def looks(self, x: Tensor) -> dict[str, float]:
        """By mirroring: the share of the rows of x (N, D) that look so; empty for points.

        Such a row is nearer to the mirrored training samples than to the others, and near to them indeed: as nine of
        ten held-out samples are to the training samples.
        """
        own = nearest(x, self.rows, 1)[0][:, 0].clamp_max(self.near)
        turned = {k: nearest(x, rows, 1)[0][:, 0] for k, rows in self.turned.items()}
        return {name: float((distance < own).float().mean()) for name, distance in turned.items()}

    @property
    def size(self) -> int:
        """How many samples a generator is asked for: as many as `held`, so that both score under one protocol."""
        return len(self.held)

    def places(self, fake: Tensor) -> Tensor:
        """Where samples (N, ...) lie along the main axes of the data (N, up to 4), in standard deviations."""
        return (features(fake) - self.rows.mean(0)) @ self.axes.T


def real_samples(data: Reference, n: int, seed: int = 0) -> Real:
    """n training and up to n held-out samples of a set.

    Raises:
        GansmithError: there are fewer than 20 of each.
    """
    train, held, held_out = _split(data, n, seed)
    if min(train.count, held.count) < FEWEST:
        raise GansmithError(f"{data.name} has too few samples for a diagnosis: give at least {2 * FEWEST}.")
    x = train.tensor()
    pool = torch.zeros(0, features(x[:1]).shape[1])
    count = 0 if data.split == "law" else data.train.count
    if count:
        chosen = _some(data.train, POOL, seed + 1)
        pool = torch.cat([features(block) for block in chosen.blocks()])
    facts = data_facts(x, train.labels, data.classes, count)
    return Real(x, held.tensor(), held_out, pool, train.labels, held.labels, data.classes, count, facts)


def facts_of(data: Reference, n: int, seed: int = 0) -> dict[str, float]:
    """What may be odd about a set, also about one too small to measure anything against (`data_facts`)."""
    train = _some(data.train, n, seed)
    return data_facts(train.tensor(), train.labels, data.classes, 0 if data.split == "law" else data.train.count)


def data_facts(x: Tensor, labels: Tensor | None, classes: tuple[str, ...], count: int) -> dict[str, float]:
    """What may be odd about the data themselves.

    Args:
        x: samples (N, ...); images in [-1, 1], points about unit scale.

    Returns:
        count: training samples, 0 = without end; low, high, mean, std: of all values; flat: share of the samples
        of one value all over; repeated: share of the samples that equal another one, of images; largest_class: share
        of the most frequent class, 0 without labels; classes: how many are there.

    >>> facts = data_facts(torch.zeros(4, 1, 2, 2), None, (), 4)
    >>> facts["flat"], facts["repeated"], facts["std"]
    (1.0, 1.0, 0.0)
    """
    flat = x.flatten(1)
    _, group, counts = torch.unique(flat, dim=0, return_inverse=True, return_counts=True)
    found = {
        "count": float(count),
        "low": float(flat.min()),
        "high": float(flat.max()),
        "mean": float(flat.mean()),
        "std": float(flat.std()),
        "flat": float((flat == flat[:, :1]).all(1).float().mean()) if x.ndim == 4 else 0.0,
        "repeated": float((counts[group] > 1).float().mean()),
        "largest_class": 0.0,
        "classes": float(len(classes)),
    }
    if labels is not None and len(classes) > 1:
        found["largest_class"] = float(torch.bincount(labels).max() / len(labels))
    return found


def _split(data: Reference, n: int, seed: int) -> tuple[Samples, Samples, bool]:
    """n training samples and as many others: held out, or where too few are, other training samples."""
    train, held = _some(data.train, n, seed), _some(data.held_out, n, seed)
    if held.count >= HELD:
        return train, held, True
    half = _some(data.train, 2 * n, seed)
    index = np.arange(half.count)
    return half.at(index[::2]), half.at(index[1::2]), False


def _some(samples: Samples, n: int, seed: int) -> Samples:
    """n samples at random, in order; all of them when there are no more."""
    order = torch.randperm(samples.count, generator=torch.Generator().manual_seed(seed)).numpy()
    return samples.at(np.sort(order[:n]))


def _centres(rows: Tensor, cells: int) -> Tensor:
    """k-means (cells, D), begun at k-means++ centres drawn with a fixed seed."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cell keeps its centre
        found: Any = kmeans2(rows.double().numpy(), cells, iter=20, minit="++", rng=np.random.default_rng(0))
    return torch.from_numpy(found[0]).to(rows)
