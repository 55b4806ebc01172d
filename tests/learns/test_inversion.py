"""Inversion at 64 pixels: a model's own samples come back, and pictures that it cannot make are told from its own.

The nearest of the draws alone, without a way downhill, fails the first.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from torch import Tensor

import gansmith
from gansmith.data import open_data
from gansmith.explore import Space
from gansmith.explore.inversion import invert
from gansmith.explore.reach import Range, calibrate, outside

SEEDS = (0, 1, 2)
SAMPLES = {"dcgan": 60_000, "stylegan2": 30_000}
PICTURES = 40
CASES = [pytest.param(recipe, seed, id=f"{recipe}-seed{seed}") for recipe in SAMPLES for seed in SEEDS]


@cache
def space(recipe: str, seed: int) -> Space:
    """A model of emojis at 64 px, trained once for all tests."""
    with TemporaryDirectory() as folder:
        run = gansmith.train(
            recipe, "emoji", resolution=64, samples=SAMPLES[recipe], seed=seed, out=Path(folder) / "run", quiet=True
        )
        return Space(run.load())


@cache
def known(recipe: str, seed: int) -> Range:
    return calibrate(space(recipe, seed))


def eight_bits(images: Tensor) -> Tensor:
    """As they are saved."""
    return ((images + 1) * 127.5).round() / 127.5 - 1


def own(space: Space, n: int, seed: int) -> Tensor:
    """Samples as `gansmith sample` saves them: of a recipe with styles, each with noise of its own."""
    return eight_bits(space.model.sample(n, seed=seed))


def held_out(name: str) -> Tensor:
    """Pictures that no model here was trained on, in colour at 64 px."""
    data = open_data(name, resolution=64, channels=3, progress=False)
    return data.fetch_held_out(np.arange(PICTURES))[0]


def told(values: Tensor) -> str:
    """Least, quartiles and greatest."""
    return " ".join(f"{v:.1f}" for v in torch.quantile(values, torch.linspace(0, 1, 5)))


@pytest.mark.parametrize(("recipe", "seed"), CASES)
def test_own_samples_come_back_within_a_minute(recipe: str, seed: int) -> None:
    """What the space draws comes back at 30 dB or more, one alone within 60 s on the CPU.

    Noise of a sample's own cannot come back, as all points have the same: half of such samples do at 30 dB or more."""
    model = space(recipe, seed)
    pictures = eight_bits(model.images(model.draw(20, seed=1000)))
    alone, found = invert(model, pictures[:1]), invert(model, pictures)
    nearest, noisy = invert(model, pictures, steps=1), invert(model, own(model, 20, seed=1000))
    print(
        f"{recipe}, seed {seed}: one takes {alone.seconds:.0f} s; PSNR {told(found.psnr)}; draws {told(nearest.psnr)}"
    )
    print(f"{recipe}, seed {seed}: with noise of their own {told(noisy.psnr)}")
    assert alone.seconds <= 60
    assert float(found.psnr.min()) >= 30 > float(nearest.psnr.max())
    assert float(noisy.psnr.median()) >= 30


@pytest.mark.parametrize(("recipe", "seed"), CASES)
def test_other_pictures_are_told_from_own_ones(recipe: str, seed: int) -> None:
    """At least 90 % of pictures of letters are said to be outside, and at most 5 % of fresh samples."""
    model, reach = space(recipe, seed), known(recipe, seed)
    found = {
        "own": invert(model, own(model, PICTURES, seed=2000)),
        "letters": invert(model, held_out("letters")),
        "real": invert(model, held_out("emoji")),
    }
    shares = {name: float(outside(reach, each).double().mean()) for name, each in found.items()}
    for name, each in found.items():
        print(f"{recipe}, seed {seed}, {name}: PSNR {told(each.psnr)}, {shares[name]:.0%} outside")
    assert shares["own"] <= 0.05 and shares["letters"] >= 0.9
