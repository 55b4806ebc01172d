"""How much a linear classifier can read off features: the linear probe of representation learning."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.classes import wilson

PENALTIES = tuple(10.0**k for k in range(-6, 4))  # times the mean square of the features
MOST = 5000  # training rows: the solution takes their cube


class Probe(NamedTuple):
    """A linear classifier of standardised features.

    Args:
        mean, scale: of the features (F,).
        weight: (F, K).
        bias: (K,).
        penalty: chosen by leaving each training row out once.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    penalty: float

    def predict(self, x: Tensor) -> Tensor:
        """Class numbers (N,) of features (N, F)."""
        rows = (x.double() - self.mean) / self.scale
        return (rows @ self.weight + self.bias).argmax(1)


class Accuracy(NamedTuple):
    """Share of right answers among so many samples, with the ends of its 95 % interval (Wilson)."""

    value: float
    low: float
    high: float
    samples: int


def fit(x: Tensor, y: Tensor, num_classes: int) -> Probe:
    """Ridge regression on one-hot labels, its penalty chosen by the leave-one-out error in closed form.

    Args:
        x: features (N, F), at least 2 rows and at most 5,000.
        y: labels (N,), int64.
        num_classes: K.

    Raises:
        GansmithError: too few or too many rows, or rows that do not match the labels.

    Source: Hastie, Tibshirani & Friedman 2009, eq. 3.47 (ridge) and 7.64 (leave-one-out residuals of a linear fit).
    """
    if not 2 <= len(x) <= MOST or len(x) != len(y):
        raise GansmithError(f"A linear probe takes 2 to {MOST} labelled rows, not {len(x)} with {len(y)} labels.")
    x = x.double()
    mean, scale = x.mean(0), x.std(0)
    scale = torch.where(scale > 1e-12 * scale.max(), scale, torch.inf)  # what is constant says nothing
    rows = (x - mean) / scale
    targets = 2 * torch.nn.functional.one_hot(y, num_classes).double() - 1
    bias = targets.mean(0)
    values, vectors = torch.linalg.eigh(rows @ rows.T)
    usual = values.clamp_min(0).sum() / len(x)
    found = [(_left_out(values, vectors, targets - bias, p * usual), p) for p in PENALTIES]
    penalty = float(min(found)[1] * usual)
    dual = vectors @ ((vectors.T @ (targets - bias)) / (values.clamp_min(0) + penalty)[:, None])
    return Probe(mean, scale, rows.T @ dual, bias, penalty)


def _left_out(values: Tensor, vectors: Tensor, targets: Tensor, penalty: Tensor) -> float:
    """Mean squared error (over rows and classes) of each row predicted by a fit to all others."""
    inverse = 1 / (values.clamp_min(0) + penalty)
    residual = penalty * (vectors @ (inverse[:, None] * (vectors.T @ targets)))
    own = penalty * (vectors.square() @ inverse)[:, None] - 1 / len(targets)  # the mean takes a share of each row
    return float((residual / own.clamp_min(1e-12)).square().mean())


def accuracy(probe: Probe, x: Tensor, y: Tensor) -> Accuracy:
    """How often the probe is right on features x (N, F) with labels y (N,)."""
    return share(probe.predict(x) == y)


def share(right: Tensor) -> Accuracy:
    """The share of True among flags (N,)."""
    count = right.double().sum()
    low, high = wilson(count, len(right))
    return Accuracy(float(count / len(right)), float(low), float(high), len(right))
