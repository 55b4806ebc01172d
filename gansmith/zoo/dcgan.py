"""DCGAN: strided convolutions and BatchNorm, the networks that made GANs train on images.

Paper: Unsupervised Representation Learning with Deep Convolutional GANs, Radford, Metz & Chintala 2016,
    arXiv:1511.06434, section 3.
Code: Newmu/dcgan_code, soumith/dcgan.torch; the latter's 4x4 kernels, widths and normal z are the defaults.
Deviations: G's samples are averaged over training (ema_half_life; 0 switches it off).
Command: gansmith train dcgan --data digits        gansmith train dcgan --data photos/ --resolution 64
Result: docs/recipes/dcgan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

from gansmith.auto import image_settings
from gansmith.core import Clock, Data, DataSpec, Generates, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets.pair import pair
from gansmith.objectives import nonsaturating_d, nonsaturating_g


@dataclass(frozen=True, kw_only=True)
class DCGAN(Generates, Recipe):
    """The convolutional pair under the original game.

    Args:
        width: channels of the layer next to the image, in both networks.
        norm_g: BatchNorm in G, or "none": the ablation of the WGAN papers.
        norm_d: BatchNorm in D, or "none".
        smoothing: the real target is 1 - smoothing (one-sided label smoothing).
        lr: learning rate.
        lr_final: the share of lr left at the end (linear).
        beta1: of Adam.
    """

    kinds = ("image",)
    ranges = {"smoothing": (0.0, 0.5), "beta1": (0.0, 0.999), "lr_final": (0.0, 1.0)}

    width: int = 64
    z_dim: int = 100
    norm_g: Literal["batch", "none"] = "batch"
    norm_d: Literal["batch", "none"] = "batch"
    smoothing: float = 0.0
    lr: float = 2e-4
    lr_final: float = 1.0
    beta1: float = 0.5

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return image_settings(data, device)

    def build(self, data: DataSpec) -> Nets:
        G, D = pair(
            "dcgan", data.shape, z_dim=self.z_dim, width=self.width, norm_g=self.norm_g, norm_d=self.norm_d
        )
        return Nets({"G": G, "D": D})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, (self.beta1, 0.999))
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        terms = {"adv": nonsaturating_d(D(real), D(fake.detach()), smoothing=self.smoothing)}
        yield Player("D", ("D",), optim, options), terms
        yield Player("G", ("G",), optim, options), {"adv": nonsaturating_g(D(fake))}
