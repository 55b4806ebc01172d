"""What is scored, and what it is scored against: sets of samples that are fetched by position, block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

BLOCK = 500  # samples fetched at a time


@dataclass(frozen=True)
class Samples:
    """A set of samples, the i-th of which is the same at every call.

    Args:
        name: for messages.
        key: what the samples are, for caches: equal keys mean equal samples.
        count: how many there are.
        fetch: positions (n,) int64 -> samples (n, ...) float32 on the CPU: images in [-1, 1], or points.
        labels: (count,) int64, when the samples have classes.
    """

    name: str
    key: str
    count: int
    fetch: Callable[[np.ndarray], Tensor] = field(repr=False)
    labels: Tensor | None = field(default=None, repr=False)

    def blocks(self) -> Iterator[Tensor]:
        """All samples in order, BLOCK at a time."""
        for start in range(0, self.count, BLOCK):
            yield self.fetch(np.arange(start, min(start + BLOCK, self.count)))

    def tensor(self) -> Tensor:
        """All samples (count, ...) in memory."""
        return torch.cat(list(self.blocks()))

    def at(self, index: np.ndarray) -> Samples:
        """The samples at some positions, in that order."""
        key = f"{self.key} {hashlib.sha256(np.ascontiguousarray(index, np.int64).tobytes()).hexdigest()[:16]}"
        labels = None if self.labels is None else self.labels[torch.from_numpy(index)]
        return replace(self, key=key, count=len(index), fetch=lambda i: self.fetch(index[i]), labels=labels)


@dataclass(frozen=True)
class Reference:
    """The real data: the part that training saw, and the part that it never saw.

    Args:
        name: of the data.
        kind: "image" or "points".
        fingerprint: of the data.
        train, held_out: the two parts; for a known law both are drawn from it.
        split: of what `train` holds, for protocols: "train", "all" or "law".
        classes: names of the classes; empty without labels.
        coverage: samples (N, D) -> (modes covered, share of high quality), for laws with known modes.
        modes: how many modes the law has.
    """

    name: str
    kind: str
    fingerprint: str
    train: Samples
    held_out: Samples
    split: str = "train"
    classes: tuple[str, ...] = ()
    coverage: Callable[[Tensor], tuple[int, float]] | None = field(default=None, repr=False)
    modes: int = 0


def reference(dataset: Any, n: int = 10_000) -> Reference:
    """An opened data set (`gansmith.data.open_data`) as a reference.

    Args:
        dataset: images, two sides (then the images of B are meant), or a law of points, which is drawn from with
            fixed seeds.
        n: points to draw for either part; the count of images is their own.
    """
    dataset = dataset.b if dataset.spec.target else dataset
    spec = dataset.spec
    if spec.kind == "points":
        train, held_out = (_drawn(dataset, n, seed) for seed in (1, 2))
        known = dataset.coverage if len(dataset.modes) else None
        return Reference(
            spec.name, "points", dataset.fingerprint, train, held_out, "law", coverage=known, modes=len(dataset.modes)
        )
    train = _part(dataset, "train", spec.count, dataset.fetch)
    held_out = _part(dataset, "held-out", len(dataset.held_out), dataset.fetch_held_out)
    return Reference(spec.name, spec.kind, dataset.fingerprint, train, held_out, "train", tuple(spec.classes))


def whole(found: Reference) -> Samples:
    """Both parts of a set of images as one, for samples that were given as a folder."""
    a, b = found.train, found.held_out

    def fetch(index: np.ndarray) -> Tensor:
        mine = index < a.count
        out = torch.empty(len(index), *a.fetch(np.arange(1)).shape[1:])
        out[torch.from_numpy(mine)] = a.fetch(index[mine])
        out[torch.from_numpy(~mine)] = b.fetch(index[~mine] - a.count)
        return out

    return Samples(found.name, found.fingerprint, a.count + b.count, fetch)


def _part(dataset: Any, split: str, count: int, fetch: Callable[..., tuple[Tensor, ...]]) -> Samples:
    labels = fetch(np.arange(count), ("y",))[0] if "y" in dataset.spec.fields and count else None
    key = f"{dataset.fingerprint} {split}"
    return Samples(f"{dataset.spec.name} ({split})", key, count, lambda index: fetch(index)[0], labels)


def _drawn(law: Any, n: int, seed: int) -> Samples:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        points = law.draw(n)
    key = f"{law.fingerprint} seed={seed} n={n}"
    labels = law.labels(points) if len(law.modes) else None
    return Samples(law.spec.name, key, n, lambda index: points[torch.from_numpy(index)], labels)
