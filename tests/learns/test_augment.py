"""With 200 images, augmentation of what D sees makes the samples better, and nothing of it shows in them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from judge import Classifier, Judge
from torch import Tensor

import gansmith
from gansmith.data import open_data
from gansmith.evaluation import kernel_distance
from gansmith.nn.augment import augmented, diffaugment

SEEDS = (0, 1, 2)
FEW, MORE, SAMPLES = 200, 1_000, 44_000
GAMMA = 0.005  # hardly a penalty, so that D is free to learn its images by heart
STRENGTH = 0.3  # of ada where it is fixed
WAYS: dict[str, dict[str, Any]] = {
    "none": {},
    "ada": {"augment": "ada", "augment_ksamples": 10.0},
    "diffaugment": {"augment": "diffaugment"},
}


@cache
def digits() -> tuple[Tensor, Tensor]:
    """1,000 images to learn, or the first of them, and 8,000 others."""
    data = open_data("digits10k", progress=False)
    order = np.random.default_rng(0).permutation(data.spec.count)  # they come sorted by class
    x, _ = data.fetch(order, ("x", "y"))
    held, _ = data.fetch_held_out(np.arange(len(data.held_out)), ("x", "y"))
    return x[:MORE], torch.cat([x[MORE:], held])[:8_000]


def saved(x: Tensor, path: Path) -> Path:
    np.savez(path, x=((x.clamp(-1, 1) + 1) * 127.5).round().byte().squeeze(1).numpy())
    return path


def drawn(data: Path, out: Path, seed: int, **fields: Any) -> Tensor:
    """4,000 samples of a training."""
    run = gansmith.train(
        "dcgan", data, preset="r1", gamma=GAMMA, samples=SAMPLES, seed=seed, out=out, quiet=True, **fields
    )
    samples: Tensor = run.load().sample(4_000, seed=seed).clamp(-1, 1)
    return samples


@cache
def judge() -> Judge:
    return Judge()


def distance(samples: Tensor) -> float:
    """KID to images that were not learned, in a classifier's features, each over its spread."""
    rows = []
    with torch.no_grad():
        for x in (samples, digits()[1][:4_000]):
            rows.append(torch.cat([judge().net.features(part) for part in x.split(500)]).double())
    scale = rows[1].std()
    return kernel_distance(rows[0] / scale, rows[1] / scale)


@pytest.mark.parametrize("seed", SEEDS)
def test_samples_are_nearer_to_new_images(seed: int, tmp_path: Path) -> None:
    """One seed takes about three minutes on a core."""
    data = saved(digits()[0][:FEW], tmp_path / "few.npz")
    found = {way: distance(drawn(data, tmp_path / way, seed, **fields)) for way, fields in WAYS.items()}
    print(f"seed {seed}: KID {found}")
    assert found["ada"] < found["none"] and found["diffaugment"] < found["none"]


# ---------------------------------------------------------------- nothing leaks


def changed(x: Tensor, way: str) -> Tensor:
    return diffaugment(x) if way == "diffaugment" else augmented(x, STRENGTH)


def tell(way: str, plain: Tensor) -> Classifier:
    """A classifier of plain (0) and changed (1) images."""
    torch.manual_seed(0)
    net, x = Classifier(), plain
    net.head = torch.nn.Linear(128, 2)
    optim = torch.optim.Adam(net.parameters(), 1e-3)
    for _ in range(8):
        for part in x[torch.randperm(len(x))].split(64):
            both = torch.cat([part, changed(part, way).clamp(-1, 1)])
            loss = F.cross_entropy(net(both), torch.arange(2).repeat_interleave(len(part)))
            optim.zero_grad()
            loss.backward()
            optim.step()
    return net.eval()


def plain_share(net: Classifier, x: Tensor) -> float:
    with torch.no_grad():
        return float(torch.cat([net(part).argmax(1) == 0 for part in x.split(500)]).double().mean())


def inverted(x: Tensor) -> float:
    """The share of digits on a light ground."""
    rim = torch.cat([x[:, :, :2].flatten(1), x[:, :, -2:].flatten(1)], 1)
    return float((rim.median(1).values > -0.5).double().mean())


@pytest.mark.parametrize("way", ["ada", "diffaugment"])
def test_samples_look_unchanged(way: str, tmp_path: Path) -> None:
    """The share of samples that a classifier takes for changed ones is at most a third of what it is where only the
    real images were changed, and G draws changed ones. (It is above that of a GAN without: a changed image says less,
    so G is younger after as many samples.) Hardly a sample is black on white, as one in seven changed images is."""
    learned, new = digits()
    folder = saved(learned, tmp_path / "plain.npz")
    made = drawn(folder, tmp_path / "without", 0)  # the faults of a young generator are no signs of a change
    net = tell(way, torch.cat([new[:4_000], made[:2_000]]))
    usual, seen_through = plain_share(net, made[2_000:]), plain_share(net, changed(new[4_000:], way).clamp(-1, 1))
    fields: dict[str, Any] = {"augment": way} | ({"augment_p": STRENGTH} if way == "ada" else {})
    samples = drawn(folder, tmp_path / "fair", 0, **fields)
    fair = plain_share(net, samples)
    leaky_data = saved(torch.cat([changed(learned, way) for _ in range(10)]), tmp_path / "changed.npz")
    leaky = plain_share(net, drawn(leaky_data, tmp_path / "leaky", 0))
    print(
        f"{way}: plain of samples without {usual:.3f}, with {fair:.3f}, leaking {leaky:.3f}; changed {seen_through:.3f}"
    )
    assert usual > 0.8 > 0.3 > seen_through, "the classifier must tell them apart"
    assert leaky < usual - 0.3 and usual - fair < (usual - leaky) / 3
    if way == "ada":
        assert inverted(samples) < 0.005 < 0.1 < inverted(changed(new, way))
