"""WGAN: the critic's loss follows the Wasserstein-1 distance; its slope is held by clipping the weights.

Paper: Wasserstein GAN, Arjovsky, Chintala & Bottou 2017, arXiv:1701.07875, Algorithm 1.
Code: martinarjovsky/WassersteinGAN (main.py), whose rhythm is followed: 100 critic moves a round during the first 25
    rounds and in every 500th round.
Deviations: weights are clipped after each critic move, as in the paper (the code: before it); G's move takes the fakes
    of the last critic move (both: new ones).
Command: gansmith train wgan --data digits
Result: docs/recipes/wgan.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from gansmith.abilities import Discriminates, Generates
from gansmith.auto import image_settings, point_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, rmsprop
from gansmith.nets.pair import pair
from gansmith.objectives import wasserstein_d, wasserstein_g
from gansmith.penalties import clip_weights_


@dataclass(frozen=True, kw_only=True)
class WGAN(Generates, Discriminates, Recipe):
    """A critic without output activation, several of its moves a round, and clipped weights.

    Args:
        net: "mlp", "dcgan" or "auto" (dcgan for images, mlp for points).
        norm_g: "batch", "none" (the paper's robustness test) or "auto" (batch in dcgan, none in mlp).
        norm_d: the same for the critic; the paper's DCGAN critic has BatchNorm.
        width: of the layer next to the image ("dcgan"), of the hidden layers on points ("mlp").
        n_critic: critic moves per generator move.
        n_critic_start: critic moves in the first `rounds_start` rounds and in every `restart_every`-th round.
        rounds_start: rounds at the beginning that train the critic long, so that G starts with a good one.
        restart_every: rounds between two long critic phases.
        clip: c; every critic parameter stays in [-c, c].
        lr: learning rate of RMSProp, for both (momentum makes the critic unstable).
    """

    ranges: ClassVar = {"clip": (1e-6, math.inf), "rounds_start": (0, math.inf)}

    net: Literal["auto", "mlp", "dcgan"] = "auto"
    norm_g: Literal["auto", "batch", "none"] = "auto"
    norm_d: Literal["auto", "batch", "none"] = "auto"
    width: int = 64
    z_dim: int = 100
    n_critic: int = 5
    n_critic_start: int = 100
    rounds_start: int = 25
    restart_every: int = 500
    clip: float = 0.01
    lr: float = 5e-5

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "image":
            why = "measured on digits: the paper's 5e-5 shows noise after two minutes"
            return image_settings(data, device, draws=5) | {"lr": Setting(3e-4, why)}
        points = point_settings(draws=7)
        chosen = {k: points[k] for k in ("batch", "z_dim", "width", "ema_half_life", "samples")}
        return chosen | {
            "clip": Setting(0.1, "measured on grid25: a small MLP critic clipped at 0.01 is nearly flat"),
            "lr": Setting(5e-4, "measured on grid25"),
        }

    def build(self, data: DataSpec) -> Nets:
        G, D = pair(self.net, data.shape, z_dim=self.z_dim, width=self.width, norm_g=self.norm_g, norm_d=self.norm_d)
        return Nets({"G": G, "D": D})

    @property
    def boundary(self) -> float | None:
        return None

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D, optim = nets["G"], nets["D"], rmsprop(self.lr)
        long = clock.round < self.rounds_start or clock.round % self.restart_every == 0
        for _ in range(self.n_critic_start if long else self.n_critic):
            real = data(self.batch)
            fake = G(self.draw_latents(self.batch, real.device))
            yield Player("D", ("D",), optim), {"adv": wasserstein_d(*self.flipped(D(real), D(fake.detach())))}
            clip_weights_(D, self.clip)
        yield Player("G", ("G",), optim), {"adv": wasserstein_g(D(fake))}
