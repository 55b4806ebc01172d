"""InfoGAN finds the classes of digits without labels, and a code that rules a property; without its term, neither."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import spearmanr
from torch import Tensor

import gansmith
from gansmith.data import open_data
from gansmith.data.fetch import get
from gansmith.evaluation.features import Extractor
from gansmith.evaluation.features.choose import choose_extractor
from gansmith.model import GAN
from gansmith.places import cache_folder

SAMPLES, DRAWN = 1_000_000, 2000
SMALL: dict[str, Any] = {"resolution": 16, "width": 32, "continuous": 1, "samples": SAMPLES, "quiet": True}
MATCHED, RULED = 0.8, 0.8


@cache
def judge() -> Extractor:
    get("digits10k")
    data = open_data("digits10k", resolution=16, progress=False)
    return choose_extractor("judge", data, cache_folder() / "judges", None, "cpu", lambda text: None)


def matched(gan: GAN) -> float:
    """Share of samples whose class is the one that their value of c1 stands for, under the best one-to-one matching."""
    values = torch.arange(DRAWN) % 10
    told = judge().probs(gan.sample(DRAWN, seed=1, c1=values)).argmax(1)
    table = np.zeros((10, 10))
    np.add.at(table, (values.numpy(), told.numpy()), 1)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / DRAWN)


def properties(images: Tensor) -> dict[str, np.ndarray]:
    """Of images (N, 1, H, W): the ink, and the slant and width of its distribution."""
    ink = ((images[:, 0] + 1) / 2).clamp(0, 1).double()
    total = ink.sum((1, 2)).clamp_min(1e-9)
    y, x = torch.meshgrid(*(torch.arange(side, dtype=torch.float64) for side in ink.shape[1:]), indexing="ij")
    cx, cy = (ink * x).sum((1, 2)) / total, (ink * y).sum((1, 2)) / total
    dx, dy = x - cx[:, None, None], y - cy[:, None, None]
    cov = {k: (ink * v).sum((1, 2)) / total for k, v in {"xx": dx * dx, "yy": dy * dy, "xy": dx * dy}.items()}
    return {
        "ink": total.numpy(),
        "slant": (cov["xy"] / cov["yy"].clamp_min(1e-9)).numpy(),
        "width": cov["xx"].sqrt().numpy(),
    }


def ruled(gan: GAN) -> tuple[float, float]:
    """How strictly a continuous code rules a property: their rank correlation within a value of c1, over samples that
    differ in all other latents, too; mean over the values, and mean of its size; the best property's.

    The first asks for one direction for all values, the second lets the code turn some of them the other way.

    Along a sweep from one latent any input of a generator moves some property monotonically, also one that was never
    asked to mean anything: without the information term such a correlation was 1.00.
    """
    z = gan.draw_latents(DRAWN, seed=2)
    found = properties(gan.generate(z))
    first, *others = gan.codes.values()
    value = z[:, first.start : first.start + first.size].argmax(1).numpy()
    ranks = [
        [spearmanr(z[value == k, code.start], of[value == k]).statistic for k in range(10)]
        for code in others
        for of in found.values()
    ]
    return float(np.abs(np.mean(ranks, 1)).max()), float(np.mean(np.abs(ranks), 1).max())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_codes_find_the_classes_and_a_property(seed: int, tmp_path: Path) -> None:
    judge()
    run = gansmith.train("infogan", "digits10k", seed=seed, out=tmp_path / "run", **SMALL)
    gan = run.load()
    found, (rank, within) = matched(gan), ruled(gan)
    print(f"seed {seed}: matched {found:.1%}, rank correlation {rank:.2f} ({within:.2f} in size), {run.seconds:.0f} s")
    assert found >= MATCHED and rank >= RULED


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_the_information_term_codes_mean_nothing(seed: int, tmp_path: Path) -> None:
    judge()
    gan = gansmith.train("infogan", "digits10k", seed=seed, info_weight=0.0, out=tmp_path / "run", **SMALL).load()
    found, (rank, within) = matched(gan), ruled(gan)
    print(f"without the term, seed {seed}: matched {found:.1%}, rank correlation {rank:.2f} ({within:.2f} in size)")
    assert found < MATCHED / 2 and rank < RULED
