"""Projection GAN: D adds the product of its features and the label's embedding; G has the label in its BatchNorms.

Paper: cGANs with Projection Discriminator, Miyato & Koyama 2018, arXiv:1802.05637, on SNGAN's nets and losses
    (arXiv:1802.05957, arXiv:1705.02894).
Code: pfnet-research/sngan_projection, whose rhythm is followed: G moves first, on twice the batch, then D five times;
    labels of generated samples are drawn equally often; G's last BatchNorm has no label.
Deviations: as in sngan: an average of G is drawn from, 15 steps of power iteration before the first round, 28 px. On
    points the label is put beside z, as the MLP has no BatchNorm.
Command: gansmith train projection_gan --data digits        gansmith sample RUN --label-grid
Result: docs/recipes/projection_gan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gansmith.abilities import Conditioned, Discriminates, one_hot, wrong
from gansmith.auto import image_settings, narrow_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets import mlp, sngan
from gansmith.nn.condition import Modulated, Projected
from gansmith.objectives import hinge_d, hinge_g


@dataclass(frozen=True, kw_only=True)
class ProjectionGAN(Conditioned, Discriminates, Recipe):
    """Hinge losses under a spectrally normalised D that projects on the label.

    Args:
        width: channels of D's first block (G: twice as many up to 32 px); None is the paper's.
        n_critic: D's moves per move of G.
        mismatch: weight of D's cost for real samples with a wrong label, as in cgan.
        lr: learning rate at the start.
        lr_d: the same for D, where it is another.
        lr_final: the share of lr left at the end (linear from the first round).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    width: int | None = None
    z_dim: int = 128
    n_critic: int = 5
    mismatch: float = 0.0
    lr: float = 2e-4
    lr_d: float | None = None
    lr_final: float = 0.0
    betas: tuple[float, float] = (0.0, 0.9)
    samples: int = 5 * 64 * 50_000

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind != "image" or device.type != "cpu":
            return narrow_settings(data, device)
        why = "many more steps on a CPU: measured on digits and fashion_mnist"
        quick = {"width": 32, "z_dim": 24, "n_critic": 1, "mismatch": 0.5, "lr": 5e-4, "lr_d": 1e-3}
        return image_settings(data, device, batch=32) | {k: Setting(v, why) for k, v in quick.items()}

    def build(self, data: DataSpec) -> Nets:
        if data.kind == "points":
            hidden = (self.width or 64,) * 3
            G: torch.nn.Module = mlp.Generator(self.z_dim + self.labels, data.shape, hidden)
            return Nets(
                {"G": G, "D": Projected(mlp.Discriminator(data.shape, hidden, spectral=True), self.labels, True)}
            )
        small = data.shape[-1] <= 32
        G = sngan.Generator(self.z_dim, data.shape, self.width and self.width * (2 if small else 1))
        D = Projected(sngan.Discriminator(data.shape, self.width), self.labels, spectral=True)
        return Nets({"G": Modulated(G, self.z_dim, self.labels, plain=("bn",)), "D": D})

    def logits(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """D judges x by its label cond (N, num_classes); asked without one, by all of them a little."""
        logits: Tensor = nets["D"](x, self.conditions(x, cond))
        return logits

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        lr_d = self.lr if self.lr_d is None else self.lr_d
        optim_g, optim_d = adam(self.lr, self.betas), adam(lr_d, self.betas)
        options_g, options_d = ({"lr": clock.linear(lr, lr * self.lr_final)} for lr in (self.lr, lr_d))
        device = next(G.parameters()).device
        z = self.draw_latents(2 * self.batch, device)
        yield Player("G", ("G",), optim_g, options_g), {"adv": hinge_g(D(G(z), z[:, self.z_dim :]))}
        for _ in range(self.n_critic):
            real, y = data(self.batch)
            z = self.draw_latents(self.batch, device)
            with torch.no_grad():
                fake = G(z)
            real_logits, fake_logits = D(real, one_hot(y, self.labels)), D(fake, z[:, self.z_dim :])
            terms = {"adv": hinge_d(*self.flipped(real_logits, fake_logits))}
            if self.mismatch:
                terms["mismatch"] = self.mismatch * (1 + D(real, wrong(y, self.labels))).relu().mean()
            yield Player("D", ("D",), optim_d, options_d), terms
