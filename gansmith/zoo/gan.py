"""GAN: the original game, with its three generator costs and optional R1.

Paper: Generative Adversarial Nets, Goodfellow et al. 2014, arXiv:1406.2661; costs as in the NIPS 2016 tutorial,
    arXiv:1701.00160; R1 (`gamma`) from Mescheder et al. 2018, arXiv:1801.04406.
Code: goodfeli/adversarial (Pylearn2).
Deviations: D and G move in turn on the same fakes (the paper: fresh ones; the released code: both from one forward
    pass); Adam instead of SGD with momentum; normal z; three hidden layers of leaky ReLU in both nets, instead of ReLU
    in G and maxout with dropout in D; tanh at G's end on images; no factor 1/2 in D's loss.
Command: gansmith train gan --data grid25        gansmith train gan --data digits --objective minimax
Result: docs/recipes/gan.md
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
from gansmith.objectives import maximum_likelihood_g, minimax_g, nonsaturating_d, nonsaturating_g
from gansmith.penalties import gradient_square, lazy


@dataclass(frozen=True, kw_only=True)
class GAN(Generates, Discriminates, Targets, Recipe):
    """The 2014 game: D tells data from fakes, G learns to be taken for data.

    Args:
        objective: G's cost: "nonsaturating" (the one that was trained), "minimax" (the one that was analysed; its
            gradient vanishes when D is sure) or "maximum_likelihood" (few samples carry it).
        net: "mlp", "dcgan" or "auto" (mlp: the paper's kind).
        width: of the hidden layers ("mlp"); of the layer next to the image ("dcgan").
        n_critic: moves of D per move of G, k in the paper.
        gamma: weight of R1, as gamma / 2 * R1; 0 is the original game. Wants D without BatchNorm.
        r1_every: rounds between two uses of R1 (lazy regularisation).
        lr: learning rate at the start.
        lr_d: the same for D alone (the two time-scale rule, arXiv:1706.08500).
        lr_final: the share of the learning rates left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    objective: Literal["nonsaturating", "minimax", "maximum_likelihood"] = "nonsaturating"
    net: Literal["auto", "mlp", "dcgan"] = "auto"
    width: int = 1200
    z_dim: int = 100
    n_critic: int = 1
    gamma: float = 0.0
    r1_every: int = 1
    lr: float = 2e-4
    lr_d: float | None = None
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return point_settings() if data.kind == "points" else image_settings(data, device, width=1200)

    def build(self, data: DataSpec) -> Nets:
        net = "mlp" if self.net == "auto" else self.net
        G, D = pair(net, data.shape, z_dim=self.z_dim, width=self.width, norm_d="none" if self.gamma else "auto")
        return Nets({"G": G, "D": D})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        lr_d = self.lr if self.lr_d is None else self.lr_d
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        options_d = {"lr": clock.linear(lr_d, lr_d * self.lr_final)}
        optim = adam(self.lr, self.betas)
        cost = {"nonsaturating": nonsaturating_g, "minimax": minimax_g, "maximum_likelihood": maximum_likelihood_g}
        for _ in range(self.n_critic):
            real = data(self.batch)
            fake = G(self.draw_latents(self.batch, real.device))
            penalised = lazy(clock.round, self.r1_every) * self.gamma
            real_logits = D(real.requires_grad_(penalised > 0))
            terms = {"adv": nonsaturating_d(*self.flipped(real_logits, D(fake.detach())), smoothing=self.smoothing)}
            if penalised:
                terms["r1"] = penalised / 2 * gradient_square(real_logits, real)
            yield Player("D", ("D",), optim, options_d), terms
        yield Player("G", ("G",), optim, options), {"adv": cost[self.objective](D(fake))}
