"""cGAN: both players are told the class, so that G draws what it is asked for.

Paper: Conditional Generative Adversarial Nets, Mirza & Osindero 2014, arXiv:1411.1784.
Code: none official.
Deviations: the one-hot label is put beside z, and beside the sample as one constant channel for each class, where the
    paper joins hidden layers of fully connected nets with maxout; the DCGAN pair by default on images, D without
    BatchNorm and held by R1 (Mescheder et al. 2018, arXiv:1801.04406); Adam. `mismatch` is an addition: real samples
    with a wrong label, the third kind that Reed et al. 2016 (arXiv:1605.05396) show to D.
Command: gansmith train cgan --data digits        gansmith sample RUN --label 3
Result: docs/recipes/cgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from gansmith.abilities import Conditioned, Discriminates, Targets, one_hot, wrong
from gansmith.auto import point_settings, quick_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets.pair import pair
from gansmith.nn.condition import Concatenated
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import gradient_square, lazy


@dataclass(frozen=True, kw_only=True)
class CGAN(Conditioned, Discriminates, Targets, Recipe):
    """The original game, played class by class.

    Args:
        net: "mlp", "dcgan" or "auto" (dcgan for images, mlp for points).
        width: of the layer next to the image ("dcgan"), of the hidden layers ("mlp").
        width_d: the same for D alone.
        mismatch: weight of D's cost for real samples with a wrong label.
        gamma: weight of R1, as gamma / 2 * R1; 0 lets BatchNorm into a convolutional D.
        r1_every: rounds between two uses of R1 (lazy regularisation).
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    net: Literal["auto", "mlp", "dcgan"] = "auto"
    width: int = 64
    width_d: int | None = None
    z_dim: int = 100
    mismatch: float = 0.0
    gamma: float = 0.0
    r1_every: int = 1
    lr: float = 2e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "points":
            return point_settings()
        why = "measured on fashion_mnist: classes that look alike part"
        return quick_settings(data, device) | {"mismatch": Setting(0.5, why)}

    def build(self, data: DataSpec) -> Nets:
        channels, *rest = data.shape
        norm_d = "none" if self.gamma else "auto"
        G, _ = pair(self.net, data.shape, z_dim=self.z_dim + self.labels, width=self.width)
        wide = (channels + self.labels, *rest)
        _, D = pair(self.net, wide, z_dim=1, width=self.width_d or self.width, norm_d=norm_d)
        return Nets({"G": G, "D": Concatenated(D)})

    def logits(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """D judges x by its label cond (N, num_classes); asked without one, by all of them a little."""
        logits: Tensor = nets["D"](x, self.conditions(x, cond))
        return logits

    def features(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """D's last hidden features (N, ...) under the label, or under all of them a little."""
        return nets["D"].trunk(x, self.conditions(x, cond))  # type: ignore[operator]

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real, y = data(self.batch)
        cond = one_hot(y, self.labels)
        fake = G(self.latents(cond))
        penalised = lazy(clock.round, self.r1_every) * self.gamma
        real_logits = D(real.requires_grad_(penalised > 0), cond)
        real_side, fake_side = self.flipped(real_logits, D(fake.detach(), cond))
        terms = {"adv": nonsaturating_d(real_side, fake_side, smoothing=self.smoothing)}
        if self.mismatch:
            unfit = D(real.detach(), wrong(y, self.labels))
            terms["mismatch"] = self.mismatch * torch.nn.functional.softplus(unfit).mean()
        if penalised:
            terms["r1"] = penalised / 2 * gradient_square(real_logits, real)
        yield Player("D", ("D",), optim, options), terms
        yield Player("G", ("G",), optim, options), {"adv": nonsaturating_g(D(fake, cond))}
