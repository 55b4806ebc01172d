"""Minibatch discrimination and packing keep more modes of grid25 than the same game without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gansmith
from gansmith.data import Points, open_data

SEEDS = (0, 1, 2)
PLAIN: dict[str, Any] = {"batch": 64, "samples": 64 * 5000, "lr": 2e-3, "lr_final": 0.05, "width": 64, "z_dim": 2}


def modes(recipe: str, seed: int, out: Path, **fields: Any) -> int:
    run = gansmith.train(recipe, "grid25", seed=seed, out=out, quiet=True, **{**PLAIN, **fields})
    law = open_data("grid25")
    assert isinstance(law, Points)
    held, quality = law.coverage(run.load().sample(10_000, seed=seed, batch=1000))
    print(f"{recipe} {fields}, seed {seed}: {held} modes, {quality:.0%} of high quality, {run.seconds:.0f} s")
    return held


@pytest.mark.parametrize(("recipe", "fields"), [("minibatch_gan", {"kernels": 16}), ("gan", {"pack": 2})])
def test_more_modes_are_kept(recipe: str, fields: dict[str, Any], tmp_path: Path) -> None:
    """Without it every seed holds fewer modes than any seed with it."""
    plain = [modes("gan", seed, tmp_path / f"plain{seed}") for seed in SEEDS]
    helped = [modes(recipe, seed, tmp_path / f"helped{seed}", **fields) for seed in SEEDS]
    assert min(helped) > max(plain)
