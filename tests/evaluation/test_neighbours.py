"""Nearest neighbours: against scikit-learn and brute force, where float32 is not enough, at ties, and in blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation import neighbours
from gansmith.evaluation.neighbours import Cloud, nearest, product_type, radii

SEEDS = [0, 1, 2]
BLOCKS = [7, 64, None]


def draw(seed: int, n: int, d: int, kind: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(kind)


def brute(x: Tensor, y: Tensor) -> Tensor:
    """All distances, by differences, float64."""
    return (x.double()[:, None] - y.double()).square().sum(2).sqrt()


def expanded(x: Tensor, y: Tensor) -> Tensor:
    """All distances by |x|² + |y|² - 2xy in the points' own type, as one writes it first."""
    squares = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return squares.clamp_min(0).sqrt()


# ---- the right neighbours


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", SEEDS)
def test_as_scikit_learn(seed: int, kind: torch.dtype, block: int | None) -> None:
    queries, keys = draw(seed, 90, 20, kind), draw(seed + 10, 130, 20, kind)
    distances, indices = nearest(queries, keys, 5, block=block)
    expected = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(keys.double().numpy())
    right, chosen = expected.kneighbors(queries.double().numpy())
    assert distances.dtype == kind and indices.dtype == torch.int64
    np.testing.assert_allclose(distances, right, rtol=1e-7 if kind == torch.float32 else 1e-12)
    np.testing.assert_array_equal(indices, chosen)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("seed", SEEDS)
def test_radii_as_scikit_learn(seed: int, block: int | None) -> None:
    x = draw(seed, 150, 6, torch.float64)
    right, chosen = NearestNeighbors(n_neighbors=4, algorithm="brute").fit(x.numpy()).kneighbors()
    np.testing.assert_allclose(radii(x, 4, block=block), right[:, -1], rtol=1e-12)
    np.testing.assert_array_equal(nearest(x, x, 4, exclude_self=True, block=block).indices, chosen)


@given(
    st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30),
    st.integers(1, 29),
    st.integers(4, 31),
    st.booleans(),
)
def test_ties_and_duplicates_have_exact_distances(
    points: list[tuple[int, int]], k: int, block: int, float64: bool
) -> None:
    """On a small grid nearly all distances are equal to others; each must be the rounded root of a whole number."""
    x = torch.tensor(points, dtype=torch.float64 if float64 else torch.float32)
    k = min(k, len(x) - 1)
    d = brute(x, x)
    distances, indices = nearest(x, x, k + 1, block=block)
    assert torch.equal(distances, d.sort(1).values[:, : k + 1].to(x.dtype))
    assert torch.equal(distances, d.gather(1, indices).to(x.dtype))
    assert all(len(set(row)) == k + 1 for row in indices.tolist())
    others = nearest(x, x, k, exclude_self=True, block=block)
    assert torch.equal(others.distances, d.fill_diagonal_(torch.inf).sort(1).values[:, :k].to(x.dtype))
    assert not (others.indices == torch.arange(len(x))[:, None]).any()


def test_by_hand() -> None:
    """3-4-5 triangles, in the order near to far."""
    found = nearest([[0, 0]], [[6, 8], [3, 4], [0, 1]], 3)
    assert found.distances.tolist() == [[1, 5, 10]] and found.indices.tolist() == [[2, 1, 0]]
    assert radii([[0], [1], [3], [7]], 1).tolist() == [1, 1, 2, 4]


def test_a_sample_leaves_out_itself_but_not_its_duplicate() -> None:
    found = nearest([[5.0], [5.0], [9.0]], [[5.0], [5.0], [9.0]], 1, exclude_self=True)
    assert found.distances[:, 0].tolist() == [0, 0, 4]
    assert found.indices[:2, 0].tolist() == [1, 0]
    assert nearest([[5.0], [9.0]], [[5.0], [9.0]], 1).indices[:, 0].tolist() == [0, 1]


def test_all_keys_are_neighbours_when_k_is_their_number() -> None:
    x, y = draw(0, 5, 3), draw(1, 9, 3)
    assert torch.equal(nearest(x, y, 9).distances, brute(x, y).sort(1).values.float())
    assert torch.equal(nearest(y, y, 8, exclude_self=True).distances, brute(y, y).sort(1).values[:, 1:].float())


@pytest.mark.parametrize("seed", SEEDS)
def test_order_and_blocks_do_not_matter(seed: int) -> None:
    x, y = draw(seed, 60, 8), draw(seed + 1, 70, 8)
    whole = nearest(x, y, 6)
    rows, columns = (torch.randperm(n, generator=torch.Generator().manual_seed(seed)) for n in (60, 70))
    mixed = nearest(x[rows], y[columns], 6, block=9)
    assert torch.equal(mixed.distances, whole.distances[rows])
    assert torch.equal(columns[mixed.indices], whole.indices[rows])


def test_images_and_numpy_arrays() -> None:
    x = draw(3, 12, 2 * 4 * 4)
    images = nearest(x.view(12, 2, 4, 4).numpy(), x.view(12, 2, 4, 4).numpy(), 2, exclude_self=True)
    assert torch.equal(images.distances, nearest(x, x, 2, exclude_self=True).distances)


# ---- where float32 is not enough


@pytest.mark.parametrize("seed", SEEDS)
def test_a_large_mean_costs_no_digits(seed: int) -> None:
    """Copies at distance 0, others to the last digit; without centring float32 has no digit right."""
    x = draw(seed, 100, 16) + 3e4
    d = brute(x, x)
    found = nearest(x, x, 4)
    assert (found.distances[:, 0] == 0).all() and torch.equal(found.indices[:, 0], torch.arange(100))
    assert torch.equal(found.distances, d.sort(1).values[:, :4].float())
    assert (expanded(x, x).sort(1).values[:, 1:4] / found.distances[:, 1:] - 1).abs().max() > 0.5


@pytest.mark.parametrize("seed", SEEDS)
def test_far_clusters(seed: int) -> None:
    """Clusters a million times their width apart: no centre helps, and float32 alone picks wrong candidates."""
    x = draw(seed, 120, 10) * 1e-3
    x[::2] += 1000
    d = brute(x, x).fill_diagonal_(torch.inf)
    expected = d.sort(1).values[:, :3].float()
    assert torch.equal(nearest(x, x, 3, exclude_self=True).distances, expected)
    assert torch.equal(nearest(x, x, 3, exclude_self=True, block=11).distances, expected)

    cloud, own = Cloud.of(x), torch.arange(120)
    keys = neighbours._candidates(cloud, cloud, 7, own, None, torch.float32, None)[1]
    assert not torch.equal(d.gather(1, keys).sort(1).values[:, :3].float(), expected)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1e12, 1e25])
def test_very_small_and_very_large_numbers(scale: float) -> None:
    """1e25 has a square beyond float32, 1e-30 one below it."""
    x = (draw(0, 40, 5).double() * scale).float()
    assert torch.equal(radii(x, 2), brute(x, x).sort(1).values[:, 2].float())
    assert (radii(x, 2) > 0).all()


def test_rounded_products_are_not_used() -> None:
    """Where torch may take products in fewer digits than float32 has, they are float64."""
    cloud = Cloud.of(draw(0, 10, 3))
    assert product_type(cloud, cloud) == torch.float32
    torch.set_float32_matmul_precision("medium")
    try:
        assert product_type(cloud, cloud) == torch.float64
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [1, 3, 50, 3000])
@pytest.mark.parametrize("seed", SEEDS)
def test_bounds_are_bounds(seed: int, width: int, kind: torch.dtype) -> None:
    """Every square lies between its bound and the bound plus twice the slack, also far from the centre and for points
    that nearly agree."""
    x = draw(seed, 45, width)
    x[20:40] = x[:20] * (1 + 1e-6)
    x[::2] += 900
    cloud = Cloud.of(x)
    error = neighbours.slack(kind, width) * (cloud.norms[:, None] + cloud.norms)
    for i, j, low in neighbours.bounds(cloud, cloud, kind, block=15):
        squares = brute(x[i], x[j]).square()
        assert (low <= squares).all() and (squares <= low + 2 * error[i, j]).all()


# ---- bad input


@pytest.mark.parametrize(
    ("queries", "keys", "options", "message"),
    [
        (np.zeros((3, 2)), np.zeros((4, 2)), {"k": 5}, "keys has 4 samples, but k = 5 neighbours need at least 5"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {"k": 4, "exclude_self": True}, "need at least 5"),
        (np.zeros((3, 2)), np.zeros((4, 2)), {"k": 0}, "k is 0"),
        (np.zeros((3, 2)), np.zeros((4, 2)), {"k": 1.5}, r"k is 1\.5"),
        (np.zeros((3, 2)), np.zeros((4, 2)), {"k": 1, "block": 0}, "block is 0"),
        (np.zeros((3, 2)), np.zeros((4, 3)), {"k": 1}, "queries has 2 columns and keys has 3"),
        (np.zeros((3, 2)), np.ones((3, 2)), {"k": 1, "exclude_self": True}, "two different sets"),
        (np.zeros((3, 2)), np.zeros((4, 2)), {"k": 1, "exclude_self": True}, "two different sets"),
        (np.full((3, 2), np.nan), np.zeros((4, 2)), {"k": 1}, "queries has a value that is not finite"),
        (np.zeros((3, 2)), np.array([[1e200, 0], [0, 0]]), {"k": 1}, "squares overflow"),
    ],
)
def test_bad_input(queries: np.ndarray, keys: np.ndarray, options: dict[str, object], message: str) -> None:
    with pytest.raises(GansmithError, match=message):
        nearest(queries, keys, **options)  # type: ignore[arg-type]


def test_radii_need_another_sample() -> None:
    with pytest.raises(GansmithError, match="x has 3 samples, but k = 3 neighbours need at least 4"):
        radii(np.eye(3), 3)
