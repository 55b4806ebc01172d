"""Semi-supervised GAN: D is a classifier of K classes, for which a few labels and many samples without suffice.

Paper: Improved Techniques for Training GANs, Salimans et al. 2016, arXiv:1606.03498, section 5.
Code: openai/improved-gan (train_mnist_feature_matching.py): K logits, the one of "generated" fixed at 0; G matches
    features; the classifier in use is an average of D.
Deviations: D's scales start from its fan-in instead of the first 500 images, and all of them are learned; G's move
    takes the unlabelled batch and the latents of D's move; the average of D has a half-life (ema_half_life), without
    the bias of a start at 0; the learning rate falls (lr_final).
Command: gansmith train ssgan --data digits --labels-per-class 10        gansmith classify RUN --data photos/
Result: docs/recipes/ssgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.abilities import Classifies, Discriminates, Generates
from gansmith.auto import samples_for
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.errors import GansmithError
from gansmith.nets import ssgan


@dataclass(frozen=True, kw_only=True)
class SSGAN(Generates, Discriminates, Classifies, Recipe):
    """A classifier that must tell generated samples, too, and a G that matches its features.

    Args:
        labels_per_class: labels of each class that the training may look at; 0 = all labels that there are.
        unsupervised: weight of D's cost for telling real from generated; 0 is the ablation: labels alone.
        width: of G's hidden layers.
        widths: of the classifier's hidden layers.
        num_classes: of the labels; taken from the data.
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    kinds = ("image",)
    needs = ("some_y",)
    averaged: ClassVar[tuple[str, ...]] = ("D", "G")
    prior: ClassVar[Literal["normal", "uniform"]] = "uniform"
    packs: ClassVar[bool] = False
    ranges: ClassVar = {
        "betas": (0.0, 0.9999),
        "lr_final": (0.0, 1.0),
        "labels_per_class": (0, 10**9),
        "batch": (2, 10**9),  # BatchNorm behind fully connected layers
    }

    labels_per_class: int = 10
    unsupervised: float = 1.0
    width: int = 500
    widths: tuple[int, ...] = ssgan.WIDTHS
    num_classes: int | None = None
    z_dim: int = 100
    batch: int = 100
    lr: float = 3e-3
    lr_final: float = 0.05
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def bound(cls, data: DataSpec) -> dict[str, Setting]:
        return {"num_classes": Setting(len(data.classes), f"the classes of {data.name}")} if data.classes else {}

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        why = "measured on digits10k, for budgets a tenth of the paper's"
        chosen = {
            "samples": samples_for(data, device),
            "ema_half_life": Setting(10.0, why),
            "lr": Setting(1.5e-3, why),
        }
        if "some_y" in data.fields:
            chosen["labels_per_class"] = Setting(0, f"all {sum(data.counts):,} labels that there are")
        return chosen

    def check(self, data: DataSpec) -> None:
        super().check(data)
        if len(data.classes) < 2 or self.num_classes != len(data.classes):
            raise GansmithError(f"SSGAN learns to tell classes, but {data.name} has {len(data.classes)} of them.")
        few = [(n, name) for n, name in zip(data.counts, data.classes, strict=False) if n < self.labels_per_class]
        if few:
            raise GansmithError(
                f"labels_per_class = {self.labels_per_class}, but {data.name} has only {few[0][0]} training images of "
                f'class "{few[0][1]}": ask for at most so many.'
            )

    def build(self, data: DataSpec) -> Nets:
        assert self.num_classes is not None, "set by `bound`"
        D = ssgan.Classifier(data.shape, self.num_classes, self.widths)
        return Nets({"G": ssgan.Generator(self.z_dim, data.shape, self.width), "D": D})

    def draw_latents(
        self, n: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents (N, z_dim), uniform on (0, 1)."""
        return torch.rand(n, self.z_dim, device=device, generator=generator)

    def logits(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Logits (N,) of being real: the log of the K summed exponentials, as the logit of "generated" is 0."""
        logits: Tensor = nets["D"](x)
        return logits.logsumexp(1)

    def classify(self, nets: Nets, x: Tensor) -> Tensor:
        """Chances (N, num_classes) of the classes, given that x is real."""
        logits: Tensor = nets["D"](x)
        return logits.softmax(1)

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G = nets["G"]
        D: Any = nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real = data(self.batch)
        x, y = data.labelled(self.batch, self.labels_per_class)
        fake = G(self.draw_latents(self.batch, real.device))
        terms = {"class": F.cross_entropy(D(x), y)}
        if self.unsupervised:
            a, b = self.flipped(D(real).logsumexp(1), D(fake.detach()).logsumexp(1))
            terms["adv"] = self.unsupervised * 0.5 * (F.softplus(-a).mean() + F.softplus(b).mean())
        yield Player("D", ("D",), optim, options), terms
        with torch.no_grad():
            wanted = D.trunk(real).mean(0)
        got = D.trunk(fake).mean(0)
        yield Player("G", ("G",), optim, options), {"features": (wanted - got).square().mean()}
