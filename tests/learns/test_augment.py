"""With 1,000 images, augmentation of what D sees makes the samples better, and nothing of it shows in them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import mannwhitneyu
from torch import Tensor, nn

import gansmith
from gansmith.data import open_data
from gansmith.evaluation import kernel_distance
from gansmith.evaluation.features import Extractor
from gansmith.evaluation.features.choose import choose_extractor
from gansmith.nn.augment import augmented, diffaugment
from gansmith.places import cache_folder

SEEDS = (0, 1, 2)
FEW, PX, SAMPLES, DRAWN = 1_000, 16, 300_000, 4_000
GAMMA = 0.005  # hardly a penalty, so that D is free to learn its images by heart
STRENGTH = 0.3  # of ada where it is fixed
CHANCE = 0.1  # how far from 0.5 still counts as chance
WAYS: dict[str, dict[str, Any]] = {
    "none": {},
    "ada": {"augment": "ada", "augment_ksamples": 50.0},
    "ada, fixed": {"augment": "ada", "augment_p": STRENGTH},
    "diffaugment": {"augment": "diffaugment"},
}


@cache
def digits() -> tuple[Tensor, Tensor]:
    """1,000 images to learn, and 8,000 others."""
    data = open_data("digits10k", resolution=PX, progress=False)
    order = np.random.default_rng(0).permutation(data.spec.count)  # they come sorted by class
    x, _ = data.fetch(order, ("x", "y"))
    held, _ = data.fetch_held_out(np.arange(len(data.held_out)), ("x", "y"))
    return x[:FEW], torch.cat([x[FEW:], held])[:8_000]


def saved(x: Tensor, path: Path) -> Path:
    np.savez(path, x=((x.clamp(-1, 1) + 1) * 127.5).round().byte().squeeze(1).numpy())
    return path


def drawn(data: Path, out: Path, seed: int, **fields: Any) -> Tensor:
    """Samples of a training."""
    given: dict[str, Any] = {
        "preset": "r1",
        "gamma": GAMMA,
        "samples": SAMPLES,
        "seed": seed,
        "out": out,
        "quiet": True,
    }
    run = gansmith.train("dcgan", data, **given, **fields)
    samples: Tensor = run.load().sample(DRAWN, seed=seed).clamp(-1, 1)
    return samples


@cache
def learned(way: str, seed: int) -> Tensor:
    """Samples of a GAN that learned the 1,000 images this way."""
    with TemporaryDirectory() as folder:
        return drawn(saved(digits()[0], Path(folder) / "few.npz"), Path(folder) / "run", seed, **WAYS[way])


@cache
def judge() -> Extractor:
    data = open_data("digits10k", resolution=PX, progress=False)
    return choose_extractor("judge", data, cache_folder() / "judges", None, "cpu", lambda text: None)


def distance(samples: Tensor) -> float:
    """KID to images that were not learned, in a classifier's features, each over its spread."""
    fake, real = (judge().features(x).double() for x in (samples, digits()[1][:DRAWN]))
    return kernel_distance(fake / real.std(), real / real.std())


@pytest.mark.parametrize("seed", SEEDS)
def test_samples_are_nearer_to_new_images(seed: int) -> None:
    found = {way: distance(learned(way, seed)) for way in ("none", "ada", "diffaugment")}
    print(f"seed {seed}: KID {', '.join(f'{way} {value:.4f}' for way, value in found.items())}")
    assert found["ada"] < found["none"] and found["diffaugment"] < found["none"]


# ---------------------------------------------------------------- nothing leaks


def changed(x: Tensor, way: str) -> Tensor:
    return (diffaugment(x) if way == "diffaugment" else augmented(x, STRENGTH)).clamp(-1, 1)


class Eye(nn.Sequential):
    """Images (N, 1, 16, 16) -> how changed they look (N,)."""

    def __init__(self) -> None:
        layers = [
            m for c, d in ((1, 32), (32, 64), (64, 64)) for m in (nn.Conv2d(c, d, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2))
        ]
        super().__init__(*layers, nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 1), nn.Flatten(0))


def eye(way: str, plain: Tensor) -> Eye:
    """A classifier that tells changed images from plain ones."""
    torch.manual_seed(0)
    net = Eye()
    optim = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(8):
        for part in plain[torch.randperm(len(plain))].split(64):
            both = torch.cat([part, changed(part, way)])
            loss = F.binary_cross_entropy_with_logits(net(both), torch.arange(2.0).repeat_interleave(len(part)))
            optim.zero_grad()
            loss.backward()
            optim.step()
    return net.eval()


def odds(net: Eye, x: Tensor, others: Tensor) -> float:
    """The chance that one of x looks more changed than one of the others; 0.5 if the classifier cannot tell them."""
    with torch.no_grad():
        a, b = net(x), net(others)
    return float(mannwhitneyu(a, b).statistic / (len(a) * len(b)))


def inverted(x: Tensor) -> float:
    """The share of digits on a light ground."""
    rim = torch.cat([x[:, :, :2].flatten(1), x[:, :, -2:].flatten(1)], 1)
    return float((rim.median(1).values > -0.5).double().mean())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("way", ["ada, fixed", "diffaugment"])
def test_samples_look_unchanged(way: str, seed: int, tmp_path: Path) -> None:
    """Beside those of a GAN that learned without changes. Where only the real images are changed, G draws changed ones.

    What is plain is learned from real images and samples of another GAN, as the faults of a generator are no changes.
    """
    few, new = digits()
    usual = learned("none", seed)
    net = eye(way, torch.cat([new[:DRAWN], learned("none", (seed + 1) % 3)]))
    seen = odds(net, changed(new[DRAWN:], way), new[DRAWN:])
    samples = learned(way, seed)
    fair = odds(net, samples, usual)
    data = saved(torch.cat([changed(few, way) for _ in range(10)]), tmp_path / "changed.npz")
    leaky = odds(net, drawn(data, tmp_path / "leaky", seed), usual)
    print(
        f"{way}, seed {seed}: look changed: samples {fair:.3f}, where it leaks {leaky:.3f}, changed images {seen:.3f}"
    )
    assert seen > 0.85, "the classifier must tell them apart"
    assert abs(fair - 0.5) < CHANCE and leaky > 0.5 + 2 * CHANCE
    if way == "ada, fixed":
        assert inverted(samples) < 0.005 < 0.1 < inverted(changed(new, way))
