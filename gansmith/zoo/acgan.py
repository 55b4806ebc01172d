"""AC-GAN: D also tells the class, of real and of generated samples; G is rewarded when its class is recognised.

Paper: Conditional Image Synthesis with Auxiliary Classifier GANs, Odena, Olah & Shlens 2017, arXiv:1610.09585.
Code: none official.
Deviations: G's cost is the non-saturating one (the paper writes the saturating form); the DCGAN pair, D without
    BatchNorm and held by R1 on its real-or-fake logit (Mescheder et al. 2018, arXiv:1801.04406); one pair of nets for
    all classes. `variant = "real"`, chosen on images, teaches the classifier by real samples alone. `"tutorial"` is
    what many tutorials call AC-GAN: z times an embedding of the class, and a head of K + 1 classes of which the last is
    "generated".
Command: gansmith train acgan --data digits        gansmith train acgan --data digits --variant paper
Result: docs/recipes/acgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.abilities import Classifies, Conditioned, Discriminates, Targets, one_hot
from gansmith.auto import point_settings, quick_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets.pair import pair
from gansmith.nn.condition import Headed, Multiplied
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import gradient_square, lazy


@dataclass(frozen=True, kw_only=True)
class ACGAN(Conditioned, Discriminates, Classifies, Targets, Recipe):
    """The original game, with a classifier in D that both players want to be right.

    Args:
        variant: "paper"; "real": the classifier learns from real samples alone; or "tutorial": z times the class's
            embedding, and a class of its own for generated samples.
        class_weight: of the classifier's cost; larger means purer classes and less variety in each.
        net: "mlp", "dcgan" or "auto" (dcgan for images, mlp for points).
        width: of the layer next to the image ("dcgan"), of the hidden layers ("mlp").
        width_d: the same for D alone.
        gamma: weight of R1, as gamma / 2 * R1; 0 lets BatchNorm into a convolutional D.
        r1_every: rounds between two uses of R1 (lazy regularisation).
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    variant: Literal["paper", "real", "tutorial"] = "paper"
    class_weight: float = 1.0
    net: Literal["auto", "mlp", "dcgan"] = "auto"
    width: int = 64
    width_d: int | None = None
    z_dim: int = 100
    gamma: float = 0.0
    r1_every: int = 1
    lr: float = 2e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "points":
            return point_settings()
        why = "measured on fashion_mnist: taught by G's samples, the classifier agrees on shirts of one sleeve"
        return quick_settings(data, device) | {"variant": Setting("real", why)}

    def build(self, data: DataSpec) -> Nets:
        tutorial = self.variant == "tutorial"
        norm_d = "none" if self.gamma else "auto"
        G, _ = pair(self.net, data.shape, z_dim=self.z_dim + self.labels * (not tutorial), width=self.width)
        _, D = pair(self.net, data.shape, z_dim=1, width=self.width_d or self.width, norm_d=norm_d)
        G = Multiplied(G, self.z_dim, self.labels) if tutorial else G
        return Nets({"G": G, "D": Headed(D, {"class": self.labels + tutorial})})

    def logits(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """D's real-or-fake logits (N,); it is not told the class."""
        logits: Tensor = nets["D"](x)[0]
        return logits

    def classify(self, nets: Nets, x: Tensor) -> Tensor:
        """Chances (N, num_classes) of the classes, "generated" left aside."""
        logits: Tensor = nets["D"](x)[1]["class"]
        return logits[:, : self.labels].softmax(1)

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real, y = data(self.batch)
        asked = self.draw_labels(self.batch, real.device)
        fake = G(self.latents(one_hot(asked, self.labels)))
        penalised = lazy(clock.round, self.r1_every) * self.gamma
        real_logits, of_real = D(real.requires_grad_(penalised > 0))
        fake_logits, of_fake = D(fake.detach())
        terms = {
            "adv": nonsaturating_d(*self.flipped(real_logits, fake_logits), smoothing=self.smoothing),
            "class_real": self.class_weight * F.cross_entropy(of_real["class"], y),
        }
        if self.variant != "real":
            told = asked if self.variant == "paper" else torch.full_like(asked, self.labels)
            terms["class_fake"] = self.class_weight * F.cross_entropy(of_fake["class"], told)
        if penalised:
            terms["r1"] = penalised / 2 * gradient_square(real_logits, real)
        yield Player("D", ("D",), optim, options), terms
        fake_logits, of_fake = D(fake)
        right = self.class_weight * F.cross_entropy(of_fake["class"], asked)
        yield Player("G", ("G",), optim, options), {"adv": nonsaturating_g(fake_logits), "class": right}
