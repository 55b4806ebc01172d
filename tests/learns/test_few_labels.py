"""A classifier from ten labels a class is better with a GAN beside it; and D's features hold more than pixels do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gansmith
from gansmith.data.fetch import get

FEW, POINTS, PROBE = 10, 0.10, 0.05
SAMPLES, PROBED = 600_000, 150_000


@pytest.fixture(scope="module")
def digits() -> str:
    """8,997 digits to train on, 1,003 held out."""
    get("digits10k")
    return "digits10k"


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_unlabelled_samples_are_worth_ten_points(seed: int, digits: str, tmp_path: Path) -> None:
    found = {}
    for name, weight in (("gan", 1.0), ("labels alone", 0.0)):
        given: dict[str, Any] = {"labels_per_class": FEW, "unsupervised": weight, "samples": SAMPLES, "seed": seed}
        run = gansmith.train("ssgan", digits, out=tmp_path / name, quiet=True, **given)
        right = gansmith.classify(run.path).accuracy
        assert right is not None
        found[name] = right.value
        print(f"seed {seed}, {name}: {right.value:.1%} ({right.low:.1%} to {right.high:.1%}), {run.seconds:.0f} s")
    assert found["gan"] >= found["labels alone"] + POINTS


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_ds_features_beat_pixels_and_an_untrained_d(seed: int, tmp_path: Path) -> None:
    run = gansmith.train("dcgan", "digits", preset="r1", samples=PROBED, seed=seed, out=tmp_path / "run", quiet=True)
    found = gansmith.features(run.path, labels_per_class=20, seed=seed).probes
    print(f"seed {seed}: " + ", ".join(f"{name} {got.value:.1%}" for name, got in found.items()))
    assert found["D"].value >= max(found["pixels"].value, found["untrained D"].value) + PROBE
