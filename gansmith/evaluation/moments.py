"""Mean and covariance of features, taken in block by block, and what the Fréchet distance needs of them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from scipy.linalg.lapack import dpstrf  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, rows

LEAST_BLOCK = 1024
"""Rows turned into float64 at once, at least; with more dimensions than that, as many as dimensions."""


class Moments:
    """Count, mean and unbiased covariance of features, as np.mean and np.cov give them; memory O(D^2), on the CPU.

    Blocks may have any size and order. Each is centred on its own mean before it is multiplied, and means are then
    brought together, so features far from zero lose no digits. All sums are float64.

    Args:
        dim: D, the number of columns, at least 1.

    Raises:
        GansmithError: `dim` is below 1.

    Source: Chan, Golub & LeVeque 1983, The American Statistician 37, eq. 2.1.

    >>> m = Moments(2); m.add(torch.tensor([[0.0, 1.0], [2.0, 5.0]])); m.add(torch.tensor([[4.0, 3.0]]))
    >>> m.n, m.mean, m.cov
    (3, tensor([2., 3.], dtype=torch.float64), tensor([[4., 2.], [2., 4.]], dtype=torch.float64))
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise GansmithError(f"Moments of {dim} dimensions do not exist: give at least 1.")
        self.dim, self.n = dim, 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self._scatter = torch.zeros(dim, dim, dtype=torch.float64)

    @classmethod
    def of(cls, features: Rows) -> Moments:
        """The moments of features (N, D) that are all there. Raises GansmithError as `add` does."""
        x = rows(features, "features", least=1)
        moments = cls(x.shape[1])
        moments.add(x)
        return moments

    def add(self, features: Rows) -> None:
        """Take in a block (n, D), n at least 1.

        Raises:
            GansmithError: not numbers, empty, not finite, or of another width than D.
        """
        x = rows(features, "features", least=1)
        self._same_width(x.shape[1])
        for part in torch.split(x, max(self.dim, LEAST_BLOCK)):
            block = part.to("cpu", torch.float64)
            mean = block.mean(0)
            block = block - mean
            self._bring_together(len(block), mean)
            self._scatter += gram(block)

    def merge(self, other: Moments) -> None:
        """Take in everything that `other` has seen; `other` stays as it is.

        Raises:
            GansmithError: `other` is of another width.
        """
        self._same_width(other.dim)
        if other.n:
            self._bring_together(other.n, other.mean)
            self._scatter += other._scatter

    @property
    def cov(self) -> Tensor:
        """(D, D), divided by n - 1.

        Raises:
            GansmithError: fewer than 2 samples were seen.
        """
        if self.n < 2:
            raise GansmithError(f"A covariance needs at least 2 samples, and {self.n} came: add more features.")
        return self._scatter / (self.n - 1)

    def _same_width(self, width: int) -> None:
        if width != self.dim:
            raise GansmithError(
                f"Moments of {self.dim} columns got {width}: all features must come from one extractor."
            )

    def _bring_together(self, n: int, mean: Tensor) -> None:
        """Move the mean to that of both, and add to the scatter what the distance between the two means makes."""
        total, gap = self.n + n, mean - self.mean
        self._scatter.addr_(gap, gap, alpha=self.n * n / total)
        self.mean += gap * (n / total)
        self.n = total


class Law(NamedTuple):
    """A Gaussian as FD sees it: mean (D,), trace of the covariance, and a root (D, r) with root @ root.T = covariance.

    Where it comes from n <= D samples, column i of the root is sample i, centred, over sqrt(n - 1).
    """

    mean: Tensor
    trace: float
    root: Tensor


def law_of_features(x: Tensor) -> Law:
    """The Gaussian with the mean and covariance of x (N, D); N <= D costs no (D, D) matrix.

    Raises:
        GansmithError: the values are too large for float64.
    """
    n, dim = x.shape
    if n > dim:
        return law_of_moments(Moments.of(x))
    centred = x.to("cpu", torch.float64)
    mean = centred.mean(0)
    root = ((centred - mean) / math.sqrt(n - 1)).T
    return Law(mean, _bounded(root.square().sum()), root)


def law_of_moments(moments: Moments) -> Law:
    """The same from `Moments`. Raises GansmithError for fewer than 2 samples and as `law_of_features` does."""
    cov = moments.cov
    return Law(moments.mean, _bounded(cov.trace()), covariance_root(cov))


def covariance_root(cov: Tensor) -> Tensor:
    """A root F (D, r) of a covariance (D, D), F @ F.T = cov, with r its numerical rank.

    Cholesky; where the covariance is singular, Cholesky with pivots, which stops at the rank.

    >>> covariance_root(torch.tensor([[4.0, 2.0], [2.0, 10.0]], dtype=torch.float64))
    tensor([[2., 0.], [1., 3.]], dtype=torch.float64)
    >>> covariance_root(torch.tensor([[4.0, 0.0], [0.0, 0.0]], dtype=torch.float64))
    tensor([[2.], [0.]], dtype=torch.float64)
    """
    root: Tensor
    root, failed = torch.linalg.cholesky_ex(cov)
    if not failed:
        return root
    packed, order, rank, _ = dpstrf(cov.numpy(), lower=1)
    root = cov.new_zeros(len(cov), rank)
    root[order - 1] = torch.from_numpy(np.tril(packed)[:, :rank])
    return root


def gram(x: Tensor) -> Tensor:
    """x^T x of float64 x (N, D) on the CPU: numpy sees that it is symmetric and multiplies half of it.

    >>> gram(torch.tensor([[1.0, 2.0]], dtype=torch.float64))
    tensor([[1., 2.], [2., 4.]], dtype=torch.float64)
    """
    array = x.numpy()
    found: Tensor = torch.from_numpy(array.T @ array)
    return found


def _bounded(trace: Tensor) -> float:
    """The trace, if its square can be computed with."""
    if not trace < 1e150:
        raise GansmithError("The features are so large (above 1e70) that their covariance overflows: scale them down.")
    return float(trace)
