"""BigGAN learns digits in minutes on a CPU: it obeys classes, and its last chunk of noise rules detail only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import gansmith
from gansmith.data import open_data
from gansmith.evaluation.features.choose import choose_extractor
from gansmith.places import cache_folder

SAMPLES, DRAWN = 30_000, 1000


@pytest.mark.parametrize("seed", range(3))
def test_biggan_learns_digits(tmp_path: Path, seed: int) -> None:
    run = gansmith.train("biggan", "digits", out=tmp_path / "run", samples=SAMPLES, seed=seed, quiet=True, device="cpu")
    gan, data = run.load(), open_data("digits", progress=False)
    judge = choose_extractor("judge", data, cache_folder() / "judges", None, "cpu", lambda text: None)
    y = torch.arange(DRAWN) % 10
    right = {}
    for psi in (1.0, 0.5):
        told = judge.probs(gan.sample(DRAWN, seed=1, psi=psi, label=y)).argmax(1)
        right[psi] = (told == y).float().mean().item()
    print(f"seed {seed}: obeyed {right}")
    assert right[1.0] > 0.7 and right[0.5] > right[1.0] - 0.02
    wide, near = (gan.sample(256, seed=2, psi=psi, label=3).std(0).mean().item() for psi in (1.0, 0.4))
    assert near < 0.9 * wide

    size = gan.recipe.z_dim // 3
    z, other = gan.draw_latents(256, seed=3), gan.draw_latents(256, seed=4)
    other[:, 3 * size :] = z[:, 3 * size :]
    last = z.clone()
    last[:, 2 * size : 3 * size] = other[:, 2 * size : 3 * size]
    images, fine, whole = (F.avg_pool2d(gan.generate(part), 4) for part in (z, last, other))
    assert (fine - images).norm() < 0.5 * (whole - images).norm()
