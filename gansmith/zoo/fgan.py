"""f-GAN: any f-divergence between data and samples, minimised through its variational bound.

Paper: f-GAN: Training Generative Neural Samplers using Variational Divergence Minimization, Nowozin, Cseke & Tomioka
    2016, arXiv:1606.00709, equations 6 and 7, table 6.
Code: none released.
Deviations: G and V move in turn (the paper's Algorithm 1 moves both from one gradient); normal z; three hidden layers
    of leaky ReLU in both nets (the paper: BatchNorm and ReLU in G, ELU in V); batch 64 (the paper: 4096).
Command: gansmith train fgan --data grid25 --divergence hellinger
Result: docs/recipes/fgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from gansmith.abilities import Discriminates, Generates
from gansmith.auto import image_settings, point_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets.pair import pair
from gansmith.objectives import divergence, f_divergence_d, f_divergence_g


@dataclass(frozen=True, kw_only=True)
class FGAN(Generates, Discriminates, Recipe):
    """G minimises an f-divergence; V, a network without output activation, keeps its lower bound tight.

    Args:
        divergence: which: "kl", "reverse_kl", "pearson", "hellinger", "jensen_shannon" or "gan".
        nonsaturating: G raises T on its fakes (the paper's practical choice) instead of lowering the bound itself.
        net: "mlp", "dcgan" or "auto" (mlp: the paper's kind).
        width: of the hidden layers ("mlp"); of the layer next to the image ("dcgan").
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    critic = "V"
    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    divergence: Literal["kl", "reverse_kl", "pearson", "hellinger", "jensen_shannon", "gan"] = "jensen_shannon"
    nonsaturating: bool = True
    net: Literal["auto", "mlp", "dcgan"] = "auto"
    width: int = 1200
    z_dim: int = 100
    lr: float = 2e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return point_settings() if data.kind == "points" else image_settings(data, device, width=1200)

    def build(self, data: DataSpec) -> Nets:
        G, V = pair("mlp" if self.net == "auto" else self.net, data.shape, z_dim=self.z_dim, width=self.width)
        return Nets({"G": G, "V": V})

    @property
    def boundary(self) -> float | None:
        """What V says where data and samples are equally dense: T = f'(1)."""
        return float(divergence(self.divergence).optimal_v(torch.ones(())))

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, V, f = nets["G"], nets["V"], divergence(self.divergence)
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        yield (
            Player("V", ("V",), optim, options),
            {"bound": f_divergence_d(f, *self.flipped(V(real), V(fake.detach())))},
        )
        yield Player("G", ("G",), optim, options), {"adv": f_divergence_g(f, V(fake), self.nonsaturating)}
