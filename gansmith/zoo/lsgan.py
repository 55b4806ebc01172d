"""LSGAN: least squares instead of cross entropy, so that fakes far from the data are pulled, not given up.

Paper: Least Squares Generative Adversarial Networks, Mao et al. 2017, arXiv:1611.04076, equations 2, 8 and 9.
Code: xudonmao/LSGAN (not consulted).
Deviations: the DCGAN pair instead of the paper's deeper one at 112 px; D and G move on the same fakes.
Command: gansmith train lsgan --data digits        gansmith train lsgan --data grid25 --coding pearson
Result: docs/recipes/lsgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from gansmith.abilities import Discriminates, Generates, Targets
from gansmith.auto import image_settings, point_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets.pair import pair
from gansmith.objectives import least_squares_d, least_squares_g


@dataclass(frozen=True, kw_only=True)
class LSGAN(Generates, Discriminates, Targets, Recipe):
    """D regresses codes for data and fakes; G moves its fakes towards a code.

    Args:
        coding: "01" (fakes 0, data 1, G aims at 1) or "pearson" (-1, 1, 0: a Pearson chi-squared divergence).
        net: "mlp", "dcgan" or "auto" (dcgan for images, mlp for points).
        norm: "batch", "none" (the paper's stability test) or "auto" (batch in dcgan, none in mlp).
        width: of the layer next to the image ("dcgan"), of the hidden layers on points ("mlp").
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    coding: Literal["01", "pearson"] = "01"
    net: Literal["auto", "mlp", "dcgan"] = "auto"
    norm: Literal["auto", "batch", "none"] = "auto"
    width: int = 64
    z_dim: int = 100
    lr: float = 2e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return point_settings() if data.kind == "points" else image_settings(data, device)

    def build(self, data: DataSpec) -> Nets:
        G, D = pair(self.net, data.shape, z_dim=self.z_dim, width=self.width, norm_g=self.norm, norm_d=self.norm)
        return Nets({"G": G, "D": D})

    @property
    def boundary(self) -> float | None:
        return 0.5 if self.coding == "01" else 0.0

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        real_logits, fake_logits = self.flipped(D(real), D(fake.detach()))
        cost = least_squares_d(real_logits, fake_logits, self.coding, smoothing=self.smoothing)
        yield Player("D", ("D",), optim, options), {"adv": cost}
        yield Player("G", ("G",), optim, options), {"adv": least_squares_g(D(fake), self.coding)}
