"""SNGAN: spectral normalisation bounds D's slope layer by layer; hinge losses; residual networks.

Paper: Spectral Normalization for Generative Adversarial Networks, Miyato et al. 2018, arXiv:1802.05957; hinge loss:
    Lim & Ye 2017, arXiv:1705.02894.
Code: pfnet-research/sngan_projection, whose rhythm is followed: G moves first, on twice the batch, then D five times.
Deviations: samples are drawn from an average of G over training (ema_half_life; 0 switches it off); 15 steps of power
    iteration before the first round; 28 px besides the code's sizes. On points a spectrally normalised MLP is D.
Command: gansmith train sngan --data photos/ --resolution 32        gansmith train sngan --data grid25
Result: docs/recipes/sngan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch

from gansmith.abilities import Discriminates, Generates
from gansmith.auto import narrow_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets import mlp, sngan
from gansmith.objectives import hinge_d, hinge_g


@dataclass(frozen=True, kw_only=True)
class SNGAN(Generates, Discriminates, Recipe):
    """Hinge losses under a spectrally normalised D.

    Args:
        width: channels of D's first block (G: twice as many up to 32 px); None is the paper's.
        n_critic: D's moves per move of G.
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear from the first round).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    width: int | None = None
    z_dim: int = 128
    n_critic: int = 5
    lr: float = 2e-4
    lr_final: float = 0.0
    betas: tuple[float, float] = (0.0, 0.9)
    samples: int = 5 * 64 * 50_000

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return narrow_settings(data, device)

    def build(self, data: DataSpec) -> Nets:
        if data.kind == "points":
            hidden = (self.width or 64,) * 3
            return Nets(
                {
                    "G": mlp.Generator(self.z_dim, data.shape, hidden),
                    "D": mlp.Discriminator(data.shape, hidden, spectral=True),
                }
            )
        small = data.shape[-1] <= 32
        G = sngan.Generator(self.z_dim, data.shape, self.width and self.width * (2 if small else 1))
        return Nets({"G": G, "D": sngan.Discriminator(data.shape, self.width)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        device = next(G.parameters()).device
        fake = G(self.draw_latents(2 * self.batch, device))
        yield Player("G", ("G",), optim, options), {"adv": hinge_g(D(fake))}
        for _ in range(self.n_critic):
            real = data(self.batch)
            with torch.no_grad():
                fake = G(self.draw_latents(self.batch, device))
            yield Player("D", ("D",), optim, options), {"adv": hinge_d(*self.flipped(D(real), D(fake)))}
