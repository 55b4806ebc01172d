"""FD's intervals by long repetition: at several N, for unlike and equal laws, near and below the dimension."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gansmith.evaluation.frechet import frechet_distance, frechet_estimate, frechet_infinity

DRAWS = 100


def draw(law: str, n: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two sets (n, dim) float64: of equal standard normal laws, or of unlike ones, one of them with heavy tails."""
    x, y = (torch.randn(n, dim, generator=generator, dtype=torch.float64) for _ in range(2))
    if law == "unlike":
        x = x * torch.linspace(0.5, 1.5, dim, dtype=torch.float64)
        x, y = x + 0.1 * x.square(), 1.2 * y + 0.1
    return x, y


def repeat(law: str, n: int, dim: int, seed: int, vary: str = "both") -> tuple[int, float]:
    """In how many of 100 draws the interval holds the mean of 1000 others, and the mean error over the scatter."""
    generator = torch.Generator().manual_seed(seed)
    fixed = draw(law, n, dim, generator)[1]

    def pair() -> tuple[Tensor, Tensor]:
        x, y = draw(law, n, dim, generator)
        return (x, fixed) if vary == "a" else (x, y)

    long_run = np.array([frechet_distance(*pair()) for _ in range(1000)])
    found = [frechet_estimate(*pair(), vary=vary, seed=i) for i in range(DRAWS)]
    inside = sum(f.interval.low <= long_run.mean() <= f.interval.high for f in found)
    return inside, float(np.mean([f.error for f in found]) / long_run.std())


@pytest.mark.slow
@pytest.mark.parametrize("law", ["unlike", "alike"])
@pytest.mark.parametrize("n", [500, 2000])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_hold_the_long_run_mean(law: str, n: int, seed: int) -> None:
    inside, ratio = repeat(law, n, 16, seed)
    assert 90 <= inside <= 99 and 0.9 < ratio < 1.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_intervals_with_one_set_fixed(seed: int) -> None:
    inside, ratio = repeat("unlike", 500, 16, seed, vary="a")
    assert 90 <= inside <= 99 and 0.9 < ratio < 1.15


@pytest.mark.slow
@pytest.mark.parametrize("law", ["unlike", "alike"])
@pytest.mark.parametrize("n", [40, 64, 100, 250])
def test_intervals_near_the_dimension_are_not_too_short(law: str, n: int) -> None:
    """64 dimensions: from fewer samples than that to four times as many."""
    inside, ratio = repeat(law, n, 64, 0)
    assert inside >= 88 and ratio > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("law", ["unlike", "alike"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_limits_interval_holds_the_truth(law: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = frechet_distance(*draw(law, 10**6, 16, generator)) if law == "unlike" else 0.0
    found = [frechet_infinity(*draw(law, 1000, 16, generator), seed=i) for i in range(DRAWS)]
    inside = sum(f.interval.low <= truth <= f.interval.high for f in found)
    assert inside >= 88
