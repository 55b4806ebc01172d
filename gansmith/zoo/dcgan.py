"""DCGAN: strided convolutions and BatchNorm, the networks that made GANs train on images.

Paper: Unsupervised Representation Learning with Deep Convolutional GANs, Radford, Metz & Chintala 2016,
    arXiv:1511.06434, section 3.
Code: Newmu/dcgan_code, soumith/dcgan.torch; the latter's 4x4 kernels, widths and normal z are the defaults.
Deviations: batch 64 (the paper: 128) and no weight decay, as in dcgan.torch; samples are drawn from an average of G
    over training (ema_half_life; 0 switches it off). The preset "r1" takes BatchNorm out of D and holds D by R1 instead
    (Mescheder et al. 2018, arXiv:1801.04406): the fast start on a CPU.
Command: gansmith train dcgan --data digits --preset r1        gansmith train dcgan --data photos/ --resolution 64
Result: docs/recipes/dcgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from gansmith.abilities import Discriminates, Generates, Targets
from gansmith.auto import image_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.errors import GansmithError
from gansmith.nets import dcgan
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import gradient_square, lazy


@dataclass(frozen=True, kw_only=True)
class DCGAN(Generates, Discriminates, Targets, Recipe):
    """The convolutional pair under the original game.

    Args:
        width: channels of the layer next to the image, in G and, unless width_d says otherwise, in D.
        width_d: the same for D alone.
        norm_g: BatchNorm in G, or "none": the ablation of the WGAN papers.
        norm_d: BatchNorm in D, or "none".
        gamma: weight of R1, as gamma / 2 * R1; above 0 it wants norm_d = "none".
        r1_every: rounds between two uses of R1 (lazy regularisation).
        lr: learning rate at the start.
        lr_d: the same for D alone (the two time-scale rule, arXiv:1706.08500).
        lr_final: the share of the learning rates left at the end (linear).
        betas: of Adam.
    """

    kinds = ("image",)
    presets: ClassVar = {
        "r1": {
            "width": 32,
            "width_d": 16,
            "z_dim": 32,
            "batch": 32,
            "norm_d": "none",
            "gamma": 0.1,
            "r1_every": 4,
            "lr": 4e-3,
            "lr_final": 0.02,
            "betas": (0.0, 0.99),
            "samples": 500_000,
        }
    }
    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    width: int = 64
    width_d: int | None = None
    z_dim: int = 100
    norm_g: Literal["batch", "none"] = "batch"
    norm_d: Literal["batch", "none"] = "batch"
    gamma: float = 0.0
    r1_every: int = 1
    lr: float = 2e-4
    lr_d: float | None = None
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return image_settings(data, device)

    def check(self, data: DataSpec) -> None:
        super().check(data)
        if self.gamma and self.norm_d == "batch":
            raise GansmithError(
                'gamma needs norm_d = "none": R1 is wrong when BatchNorm couples the samples of a batch.'
            )

    def build(self, data: DataSpec) -> Nets:
        G = dcgan.Generator(self.z_dim, data.shape, self.width, self.norm_g)
        return Nets({"G": G, "D": dcgan.Discriminator(data.shape, self.width_d or self.width, self.norm_d)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        lr_d = self.lr if self.lr_d is None else self.lr_d
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        options_d = {"lr": clock.linear(lr_d, lr_d * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        penalised = lazy(clock.round, self.r1_every) * self.gamma
        real_logits = D(real.requires_grad_(penalised > 0))
        terms = {"adv": nonsaturating_d(*self.flipped(real_logits, D(fake.detach())), smoothing=self.smoothing)}
        if penalised:
            terms["r1"] = penalised / 2 * gradient_square(real_logits, real)
        yield Player("D", ("D",), optim, options_d), terms
        yield Player("G", ("G",), optim, options), {"adv": nonsaturating_g(D(fake))}
