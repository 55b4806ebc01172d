"""Mode retention on grid25 (std 0.1 before the division by 2.828): penalised games keep it, the plain one does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gansmith
from gansmith.data import open_data

SEEDS = (0, 1, 2)


def _modes(folder: Path, recipe: str, seed: int, **fields: Any) -> tuple[int, float]:
    """(modes, share of good samples) of 10,000 samples of the generator as trained, at the end; within 90 s."""
    run = gansmith.train(recipe, "grid25", out=folder / f"{recipe}-{seed}", seed=seed, quiet=True, **fields)
    assert run.seconds <= 90, f"{run.seconds:.0f} s"
    modes, share = open_data("grid25").coverage(gansmith.load(run.path, raw=True).sample(10_000, seed=1, batch=10_000))
    print(f"{recipe} {fields} seed {seed}: {modes} modes, {share:.0%} good samples, {run.seconds:.0f} s")
    return modes, share


@pytest.mark.parametrize("seed", SEEDS)
def test_r3gan_with_its_defaults_keeps_the_modes(tmp_path: Path, seed: int) -> None:
    modes, share = _modes(tmp_path, "r3gan", seed)
    assert modes >= 24 and share >= 0.35


@pytest.mark.parametrize("seed", SEEDS)
def test_the_original_game_with_r1_keeps_the_modes(tmp_path: Path, seed: int) -> None:
    modes, share = _modes(tmp_path, "gan", seed, gamma=0.02)
    assert modes >= 24 and share >= 0.35


def test_the_original_game_loses_modes(tmp_path: Path) -> None:
    assert np.mean([_modes(tmp_path, "gan", seed)[0] for seed in SEEDS]) <= 22


@pytest.mark.parametrize("seed", SEEDS)
def test_wgan_gp_keeps_the_modes(tmp_path: Path, seed: int) -> None:
    assert _modes(tmp_path, "wgan_gp", seed)[0] >= 24
