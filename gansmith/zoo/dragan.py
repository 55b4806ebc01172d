"""DRAGAN: the original game with D's slope held to 1 around the data.

Paper: On Convergence and Stability of GANs, Kodali et al. 2017, arXiv:1705.07215, section 2.5.
Code: kodalinaveen3/DRAGAN, whose noise is the default: half the batch's standard deviation, uniform, not centred.
Deviations: the DCGAN pair by default on images, without BatchNorm in D; batch 64 (the released code: 128).
Command: gansmith train dragan --data digits
Result: docs/recipes/dragan.md
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
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import dragan


@dataclass(frozen=True, kw_only=True)
class DRAGAN(Generates, Discriminates, Targets, Recipe):
    """Non-saturating losses and a gradient penalty on noisy data.

    Args:
        net: "mlp", "dcgan" or "auto" (dcgan for images, mlp for points).
        norm_g: "batch", "none" or "auto" (batch in dcgan, none in mlp); D never has BatchNorm, which would couple the
            samples.
        width: of the layer next to the image ("dcgan"), of the hidden layers on points ("mlp").
        gp_weight: lambda.
        slope: k, the slope that D is held to around the data.
        noise: "uniform" (the released code) or "gaussian" (the paper's text).
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    net: Literal["auto", "mlp", "dcgan"] = "auto"
    norm_g: Literal["auto", "batch", "none"] = "auto"
    width: int = 64
    z_dim: int = 100
    gp_weight: float = 10.0
    slope: float = 1.0
    noise: Literal["uniform", "gaussian"] = "uniform"
    lr: float = 1e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.9)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "image":
            why = "measured on digits: the paper's learn nothing there within minutes"
            chosen = {"lr": 5e-4, "betas": (0.0, 0.99), "gp_weight": 1.0}
            return image_settings(data, device) | {k: Setting(v, why) for k, v in chosen.items()}
        return point_settings() | {"gp_weight": Setting(0.1, "as WGAN-GP's toy setting: points lie closer than pixels")}

    def build(self, data: DataSpec) -> Nets:
        G, D = pair(self.net, data.shape, z_dim=self.z_dim, width=self.width, norm_g=self.norm_g, norm_d="none")
        return Nets({"G": G, "D": D})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        yield (
            Player("D", ("D",), optim, options),
            {
                "adv": nonsaturating_d(*self.flipped(D(real), D(fake.detach())), smoothing=self.smoothing),
                "gp": self.gp_weight * dragan(D, real, k=self.slope, noise=self.noise),
            },
        )
        yield Player("G", ("G",), optim, options), {"adv": nonsaturating_g(D(fake))}
