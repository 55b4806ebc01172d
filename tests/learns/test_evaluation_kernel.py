"""Kernel distances at 1000 samples: no bias over 200 draws, and intervals that hold the truth in 90 to 99 of 100."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from gansmith.evaluation.kernel import KernelEstimate, kernel_estimate

SEEDS = (0, 1, 2)
N = 1000


def features(law: str, seed: int, shift: float) -> np.ndarray:
    """Round: N(shift, I) in 16 columns. Long: 256 columns far from the origin, the spread in few directions."""
    rng = np.random.default_rng(seed)
    if law == "round":
        return rng.normal(size=(N, 16)) + shift
    return rng.normal(size=(N, 256)) / np.arange(1, 257) + 1 + shift / np.arange(1, 257)


@functools.cache
def estimates(law: str, seed: int, shift: float) -> list[KernelEstimate]:
    start = 10_000 * (seed + 1)
    pairs = ((features(law, start + 2 * i, 0), features(law, start + 2 * i + 1, shift)) for i in range(200))
    return [kernel_estimate(a, b) for a, b in pairs]


@pytest.mark.parametrize("law", ["round", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_laws_give_0_on_average(law: str, seed: int) -> None:
    values = [e.value for e in estimates(law, seed, 0.0)]
    assert abs(np.mean(values)) <= 3 * np.std(values, ddof=1) / len(values) ** 0.5
    assert min(values) < 0 < max(values)


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("law", ["round", "long"])
@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_hold_the_long_run_mean(law: str, seed: int, shift: float) -> None:
    found = estimates(law, seed, shift)
    truth = float(np.mean([e.value for s in SEEDS for e in estimates(law, s, shift)])) if shift else 0.0
    held = sum(low <= truth <= high for low, high in (e.interval for e in found[:100]))
    print(f"{law} shift {shift} seed {seed}: {held} of 100")
    assert 90 <= held <= 99
