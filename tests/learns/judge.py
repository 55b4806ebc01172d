"""An independent judge of digits, or of another set of 28 px: a classifier trained on the real ones.

It says which classes a generator draws, how sure it is, and how far the drawn digits are from the real ones in its
penultimate features (Fréchet distance), as a multiple of the distance between two sets of real ones, the training
and the held-out part, always with equally many samples a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.data import open_data

CONFIDENT = 0.9


@dataclass(frozen=True)
class Verdict:
    """What the judge says of samples; `confident` and `distance` are relative to real digits."""

    shares: np.ndarray
    confident: float
    distance: float

    @property
    def good(self) -> bool:
        """The acceptance of the demo: all classes, none under 3 %, 75 % as sure as on real test digits, 2.2 x."""
        return bool(self.shares.min() >= 0.03 and self.confident >= 0.75 and self.distance <= 2.2)

    def __str__(self) -> str:
        rarest = f"rarest class {self.shares.min():.1%}"
        return f"{rarest}, confident {self.confident:.0%} of real, distance {self.distance:.2f} x"


class Classifier(nn.Module):
    """Digits (N, 1, 28, 28) -> 128 features -> 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Dropout(0.3)),
        )
        self.head = nn.Linear(128, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


class Deeper(Classifier):
    """One convolution more, and BatchNorm: what Fashion-MNIST's shirts, coats and pullovers ask for."""

    def __init__(self) -> None:
        super().__init__()
        convolutions = [
            part
            for i, o, pool in ((1, 32, 2), (32, 64, 1), (64, 64, 2))
            for part in (nn.Conv2d(i, o, 3, padding=1, bias=False), nn.BatchNorm2d(o), nn.ReLU(), nn.MaxPool2d(pool))
        ]
        self.features = nn.Sequential(
            *convolutions, nn.Flatten(), nn.Dropout(0.2), nn.Linear(64 * 49, 128), nn.ReLU(), nn.Dropout(0.3)
        )


class Judge:
    """Trained on the training part of a set, tested on the held-out part."""

    def __init__(
        self, seed: int = 0, epochs: int = 12, *, name: str = "digits", net: type[Classifier] = Classifier
    ) -> None:
        data = open_data(name, progress=False)
        self.real, y = data.fetch(np.arange(data.spec.count), ("x", "y"))
        test, test_y = data.fetch_held_out(np.arange(len(data.held_out)), ("x", "y"))
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.net = net()
            self._fit(self.real, y, epochs)
        logits, _ = self._look(test)
        self.accuracy = float((logits.argmax(1) == test_y).double().mean())
        self.sure = float((logits.softmax(1).amax(1) >= CONFIDENT).double().mean())
        self.test = self._look(test)[1].double().numpy()
        order = torch.randperm(
            len(self.real), generator=torch.Generator().manual_seed(seed)
        )  # digits lie sorted by class
        self.real, self.labels = self.real[order], y[order]
        self.unit = self._distance(self._look(self.real)[1])

    def _fit(self, x: Tensor, y: Tensor, epochs: int) -> None:
        optim = torch.optim.AdamW(self.net.parameters(), 1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optim, 3e-3, epochs * (len(x) // 100))
        self.net.train()
        for _ in range(epochs):
            for index in torch.randperm(len(x)).split(100)[: len(x) // 100]:
                dy, dx = torch.randint(-2, 3, (2,)).tolist()
                loss = F.cross_entropy(self.net(x[index].roll((dy, dx), (2, 3))), y[index])
                optim.zero_grad()
                loss.backward()
                optim.step()
                schedule.step()
        self.net.eval()

    @cached_property
    def real_features(self) -> Tensor:
        """Penultimate features (N, 128) of the training part, in the order of `labels`."""
        return self.features(self.real)

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features (N, 128) of images (N, 1, 28, 28) in [-1, 1]."""
        return self._look(x)[1]

    def probs(self, x: Tensor) -> Tensor:
        """Probabilities of the classes (N, 10) of images (N, 1, 28, 28) in [-1, 1]."""
        return self._look(x)[0].softmax(1)

    @torch.no_grad()
    def _look(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = torch.cat([self.net.features(part) for part in x.split(500)])
        return self.net.head(features), features

    def verdict(self, samples: Tensor) -> Verdict:
        """Judge samples (N, 1, 28, 28) in [-1, 1]; give at least 2,000."""
        logits, features = self._look(samples)
        shares = torch.bincount(logits.argmax(1), minlength=10).double().numpy() / len(samples)
        sure = float((logits.softmax(1).amax(1) >= CONFIDENT).double().mean()) / self.sure
        return Verdict(shares, sure, self._distance(features) / self.unit)

    def _distance(self, features: Tensor) -> float:
        """Mean Fréchet distance of disjoint sets of features, each as large as the held-out set, from that set."""
        size = len(self.test)
        parts = [p.double().numpy() for p in features.split(size) if len(p) == size]
        return float(np.mean([frechet(p, self.test) for p in parts]))


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to features (N, D), by the symmetric square root."""
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    values, vectors = scipy.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    cross = np.sqrt(scipy.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * cross)
