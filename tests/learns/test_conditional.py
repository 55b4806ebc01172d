"""Labels rule what is drawn: a classifier of the real classes recognises the asked class, and none where labels lie."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from judge import Deeper, Judge
from torch import Tensor, nn

import gansmith
from gansmith import recipes
from gansmith.auto import settle
from gansmith.core import Nets
from gansmith.data import Images, Stream, open_data
from gansmith.engine.game import Game
from gansmith.evaluation.manifold import precision_recall

SETS = ("digits", "fashion_mnist")
KNOWN = {"digits": 0.97, "fashion_mnist": 0.92}  # of real images, by the judge
SAMPLES = {"cgan": 100_000, "acgan": 100_000, "projection_gan": 60_000}
MORE = {"cgan": 300_000, "acgan": 200_000, "projection_gan": 200_000}  # on fashion_mnist
DRAWN = 2000
CONTROL, CHANCE = 0.9, 0.2


class Obedience(NamedTuple):
    """What a classifier of the real classes makes of samples of asked classes.

    Args:
        control: share of samples taken for the asked class.
        quality: for each class, the improved precision (Kynkäänniemi et al. 2019) of its samples against the real
            images of that class, in the classifier's features, as a share of that of real images which the classifier
            was not trained on; at most 1.
    """

    control: float
    quality: Tensor

    def __str__(self) -> str:
        low, high = float(self.quality.min()), float(self.quality.max())
        return f"control {self.control:.1%}, quality {low:.2f} to {high:.2f}"


@cache
def data(name: str) -> Images:
    found = open_data(name, progress=False)
    assert isinstance(found, Images)
    return found


@cache
def judge(name: str) -> Judge:
    return Judge() if name == "digits" else Judge(epochs=6, name=name, net=Deeper)


def told(name: str, x: Tensor, y: Tensor) -> tuple[float, Tensor]:
    """The share of images (N, ...) taken for their class y (N,), and each class's precision."""
    knows = judge(name)
    control = float((knows.probs(x).argmax(1) == y).float().mean())
    real, features = knows.real_features, knows.features(x)
    precision = [precision_recall(real[knows.labels == k], features[y == k]).precision for k in range(10)]
    return control, torch.tensor(precision)


@cache
def real(name: str) -> tuple[float, Tensor]:
    """What the classifier makes of the held-out images."""
    return told(name, *data(name).fetch_held_out(np.arange(len(data(name).held_out)), ("x", "y")))


def obedience(name: str, samples: Tensor, y: Tensor) -> Obedience:
    control, precision = told(name, samples, y)
    return Obedience(control, (precision / real(name)[1]).clamp(max=1))


def asked() -> Tensor:
    return torch.arange(DRAWN) % 10


@pytest.mark.parametrize("name", SETS)
def test_the_judge_knows_the_real_classes(name: str) -> None:
    right, precision = real(name)
    print(f"real {name}: {right:.1%} right, precision {float(precision.min()):.2f} to {float(precision.max()):.2f}")
    assert right >= KNOWN[name] and precision.min() >= 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("recipe", SAMPLES)
def test_the_asked_class_is_drawn(recipe: str, name: str, seed: int, tmp_path: Path) -> None:
    samples = (SAMPLES if name == "digits" else MORE)[recipe]
    given: dict[str, Any] = {"seed": seed, "samples": samples, "out": tmp_path / "run", "quiet": True}
    run = gansmith.train(recipe, name, **given)
    found = obedience(name, run.load().sample(DRAWN, seed=seed, label=asked()), asked())
    print(f"{recipe} on {name}, seed {seed}: {found}, {run.seconds:.0f} s")
    assert found.control >= CONTROL
    assert found.quality.min() >= found.quality.max() / 2


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_tutorials_acgan_obeys_as_well(seed: int, tmp_path: Path) -> None:
    given: dict[str, Any] = {"seed": seed, "samples": SAMPLES["acgan"], "out": tmp_path / "run", "quiet": True}
    run = gansmith.train("acgan", "digits", variant="tutorial", **given)
    found = obedience("digits", run.load().sample(DRAWN, seed=seed, label=asked()), asked())
    print(f"the tutorials' acgan on digits, seed {seed}: {found}, {run.seconds:.0f} s")
    assert found.control >= CONTROL


@pytest.mark.parametrize("recipe", SAMPLES)
def test_shuffled_labels_teach_nothing(recipe: str, tmp_path: Path) -> None:
    x, y = data("digits").fetch(np.arange(data("digits").spec.count), ("x", "y"))
    pixels = ((x + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    np.savez(tmp_path / "shuffled.npz", x=pixels, y=np.random.default_rng(0).permutation(y.numpy()))
    given: dict[str, Any] = {"samples": SAMPLES[recipe] // 2, "out": tmp_path / "run", "quiet": True}
    run = gansmith.train(recipe, tmp_path / "shuffled.npz", **given)
    found = obedience("digits", run.load().sample(DRAWN, label=asked()), asked())
    print(f"{recipe} on shuffled labels: {found}")
    assert found.control <= CHANCE


class Deaf(nn.Module):
    """A discriminator that is told equal shares of all labels."""

    def __init__(self, D: nn.Module) -> None:
        super().__init__()
        self.D = D

    def forward(self, x: Tensor, cond: Tensor) -> Any:
        return self.D(x, torch.full_like(cond, 1 / cond.shape[1]))


@pytest.mark.parametrize("recipe", ["cgan", "projection_gan"])
def test_a_d_that_does_not_hear_the_label_teaches_none(recipe: str) -> None:
    digits = data("digits")
    chosen, _ = settle(
        recipes.find(recipe),
        digits.spec,
        torch.device("cpu"),
        {"samples": SAMPLES[recipe] // 2},
    )
    game = Game(chosen, digits.spec, Stream(digits, chosen.draws, seed=0), channels_last=True)
    game.nets["D"] = Deaf(game.nets["D"])
    while game.clock.seen < chosen.samples:
        game.clock.progress = game.clock.seen / chosen.samples
        game.play()
    gan = gansmith.GAN(chosen, digits.spec, Nets({**game.nets, **game.ema}).eval(), game.clock.seen)
    found = obedience("digits", gan.sample(DRAWN, label=asked()), asked())
    print(f"{recipe} with a deaf D: {found}")
    assert found.control <= CHANCE
