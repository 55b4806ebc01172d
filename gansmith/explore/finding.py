"""Ways to find directions: what varies most, what the first weights let through, examples, and what can be measured."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize  # type: ignore[import-untyped]
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.explore import readers
from gansmith.explore.directions import Direction
from gansmith.explore.factors import MEASURES, measure
from gansmith.explore.space import Space

DRAWS = 4096  # points whose spread a direction's length is measured by
POINTS = 4  # at which the first step is looked at, where it is not affine
MARGIN = 1.0  # weight of the examples against the length of the normal, in the support vector machine
RIDGE = 1e-2  # of regression, times the number of samples


def pca(space: Space, count: int = 10, seed: int = 0, depth: int = 1) -> list[Direction]:
    """What varies most: in "w" principal components of the styles, in "z" of activations on the way to the image.

    Args:
        depth: in "z", whose activations: 0 = those of the first module with weights, 1 = of the second ...

    Source: GANSpace, Härkönen et al. 2020, arXiv:2004.02546, sections 2.1 and 2.2.
    """
    drawn = space.draw(DRAWS, seed)
    at = space.rows(drawn)
    if space.name == "w":
        vectors = torch.linalg.svd(at - at.mean(0), full_matrices=False).Vh
        return named("pca", scaled(vectors[:count], at), "principal component of the styles")
    modules = list(readers.weighted(space))
    name = modules[min(depth, len(modules) - 1)]
    seen = readers.activations(space, drawn, [name])[name]
    seen = seen - seen.mean(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _, _, axes = torch.pca_lowrank(seen, q=min(count, *seen.shape), center=False, niter=4)
    places = seen @ axes
    vectors = torch.linalg.lstsq(places / places.std(0), at - at.mean(0)).solution
    return named("pca", scaled(vectors, at), f"principal component of what {name} gives")


def sefa(space: Space, count: int = 10, layers: str | None = None, seed: int = 0) -> list[Direction]:
    """What the weights that read a point let through most: eigenvectors, in closed form where they read it directly.

    Where the point is normalised first, the mean over some points of how the first step changes.

    Args:
        layers: only their weights count, and only they are moved; None = all.

    Source: SeFa, Shen & Zhou 2021, arXiv:2007.06600, section 2.2; each output's weights have unit norm, as in the
    authors' code (genforce/sefa).
    """
    drawn = space.draw(DRAWS, seed)
    at = space.rows(drawn)
    size, mask = at.shape[1], space.mask(layers)
    steps = space.lifted(torch.eye(size)) * mask
    gram = torch.zeros(size, size, dtype=torch.float64)
    for point in torch.split(drawn[:POINTS], 1):
        J = readers.jacobian(space, point, steps).double()
        size_of = J.norm(dim=1, keepdim=True)
        J = J / size_of.clamp_min(1e-3 * float(size_of.max()))  # what does not read the point is rounding alone
        gram += J.T @ J / POINTS
    vectors = torch.linalg.eigh(gram).eigenvectors.flip(1).T[:count].float()
    where = "all layers" if layers is None else f"layers {layers}"
    return named("sefa", scaled(vectors, at), f"eigenvector of the weights that read points, {where}", layers)


def from_examples(space: Space, name: str, yes: Tensor, no: Tensor, layers: str | None = None) -> Direction:
    """From examples without something to examples with it: the normal of the plane that parts them best.

    A linear support vector machine on points in units of their spread.

    Args:
        yes, no: points (N, ...) of each kind; ten of each are few but enough for what is easy to see.

    Raises:
        GansmithError: no examples of a kind, or the same ones of both.

    Source: InterFaceGAN, Shen et al. 2020, arXiv:1907.10786, section 2.2.
    """
    if not len(yes) or not len(no):
        raise GansmithError("Give examples of both kinds: some with it and some without.")
    at, unit = space.rows(space.draw(DRAWS)), space.unit
    x = torch.cat([space.rows(yes), space.rows(no)]) / unit
    y = torch.cat([torch.ones(len(yes)), -torch.ones(len(no))])
    normal = support_vectors((x - x.mean(0)).double().numpy(), y.double().numpy())
    if not np.linalg.norm(normal) > 1e-9:
        raise GansmithError("The examples of both kinds are the same: nothing parts them.")
    vector = torch.from_numpy(normal).float() * unit
    how = f"support vector machine on {len(yes)} examples with it and {len(no)} without"
    return Direction(name, scaled(vector[None], at)[0], layers, how)


def support_vectors(x: np.ndarray, y: np.ndarray, margin: float = MARGIN) -> np.ndarray:
    """The normal (D,) of the plane between rows x (N, D) with signs y (N,): squared hinge loss, and L2 on the normal.

    Each kind counts as much as the other, however many examples it has.
    """
    weight = margin * len(y) / 2 / np.where(y > 0, (y > 0).sum(), (y < 0).sum())

    def cost(theta: np.ndarray) -> tuple[float, np.ndarray]:
        short = np.maximum(0, 1 - y * (x @ theta[:-1] + theta[-1]))
        pull = -2 * weight * y * short
        value = 0.5 * theta[:-1] @ theta[:-1] + weight @ short**2
        return float(value), np.append(theta[:-1] + x.T @ pull, pull.sum())

    found: np.ndarray = minimize(cost, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B").x
    normal: np.ndarray = found[:-1]
    return normal


def from_measure(space: Space, what: str, n: int = DRAWS, seed: int = 0, layers: str | None = None) -> Direction:
    """What raises something that can be measured, as "size": ridge regression of it on n points.

    Raises:
        GansmithError: no such measure, one that goes round, or one that these images do not have.
    """
    if what not in MEASURES or what == "hue":
        known = ", ".join(name for name in MEASURES if name != "hue")
        raise GansmithError(f'"{what}" cannot be followed: give one of {known}.{did_you_mean(what, MEASURES)}')
    drawn = space.draw(n, seed)
    seen = measure(space.images(drawn)).get(what)
    fine = None if seen is None else seen.isfinite()
    if seen is None or fine is None or fine.sum() < n // 4 or not seen[fine].std() > 1e-6:
        raise GansmithError(f"{what} cannot be measured in these images, or is the same in all of them.")
    at, unit = space.rows(drawn), space.unit
    x, y = ((at - at.mean(0)) / unit)[fine].double(), (seen[fine] - seen[fine].mean()).double()
    gram = x.T @ x + RIDGE * len(x) * torch.eye(x.shape[1], dtype=torch.float64)
    vector = torch.linalg.solve(gram, x.T @ y).float() * unit
    return Direction(what, scaled(vector[None], at)[0], layers, f"regression of {what} on {n} samples")


def scaled(vectors: Tensor, at: Tensor) -> Tensor:
    """Vectors (K, D) made as long as the standard deviation of rows `at` (N, D) along them."""
    unit: Tensor = vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-12)
    return unit * ((at - at.mean(0)) @ unit.T).std(0)[:, None]


def named(prefix: str, vectors: Tensor, how: str, layers: str | None = None) -> list[Direction]:
    """Directions prefix-0, prefix-1 ... of vectors (K, D), with the sign that makes the largest number positive."""
    vectors = vectors * vectors.gather(1, vectors.abs().argmax(1, keepdim=True)).sign()
    return [Direction(f"{prefix}-{i}", v, layers, f"{how}, number {i}") for i, v in enumerate(vectors)]
