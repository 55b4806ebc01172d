"""Minibatch discrimination and packing keep more modes of grid25 than the same game without."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import ttest_ind

import gansmith
from gansmith.data import Points, open_data

SEEDS = range(8)  # one game keeps 12 modes or 20, by luck
ROUNDS = 10_000  # the plain game goes on losing modes: after half as many it holds 20 or 25, which 12 seeds do not part
GAME: dict[str, Any] = {"batch": 64, "samples": 64 * ROUNDS, "lr": 2e-3, "lr_final": 0.05, "width": 64, "z_dim": 2}
Factory = pytest.TempPathFactory


def modes(recipe: str, factory: Factory, **fields: Any) -> list[int]:
    """Modes that are kept, for each seed."""
    law, found = open_data("grid25"), []
    assert isinstance(law, Points)
    for seed in SEEDS:
        out = factory.mktemp(recipe) / "run"
        run = gansmith.train(recipe, "grid25", seed=seed, out=out, quiet=True, **GAME, **fields)
        held, quality = law.coverage(run.load().sample(10_000, seed=seed, batch=1000))
        print(f"{recipe} {fields}, seed {seed}: {held} modes, {quality:.0%} of high quality, {run.seconds:.0f} s")
        found.append(held)
    return found


@pytest.fixture(scope="module")
def without(tmp_path_factory: Factory) -> list[int]:
    """Modes of the game without a trick, once for all tests."""
    return modes("gan", tmp_path_factory)


@pytest.mark.parametrize(("recipe", "fields"), [("minibatch_gan", {"kernels": 16}), ("gan", {"pack": 2})])
def test_more_modes_are_kept(
    recipe: str, fields: dict[str, Any], without: list[int], tmp_path_factory: Factory
) -> None:
    """In the mean over the seeds, beyond their noise (Welch's test)."""
    helped = modes(recipe, tmp_path_factory, **fields)
    found = ttest_ind(helped, without, equal_var=False, alternative="greater")
    print(f"{recipe} {fields}: {sum(helped) / len(helped):.1f} modes, without {sum(without) / len(without):.1f}")
    assert found.pvalue < 0.05
