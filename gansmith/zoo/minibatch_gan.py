"""Minibatch GAN: D sees how alike the samples of a batch are, so that a G that repeats itself is found out.

Paper: Improved Techniques for Training GANs, Salimans et al. 2016, arXiv:1606.03498, section 3.2.
Code: openai/improved-gan (nn.py, MinibatchLayer).
Deviations: the mean of the nearnesses instead of their sum, and features divided by their root mean square, where the
    code normalises T and sets its scale from the first batch; one move of G for one of D (the code: three on CIFAR-10);
    normal z (uniform); the original costs of the binary game; the DCGAN pair on images, without BatchNorm in D, which
    would couple the samples a second time. Real and generated samples go through D apart.
Command: gansmith train minibatch_gan --data digits        gansmith train minibatch_gan --data grid25
Result: docs/recipes/minibatch_gan.md
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
from gansmith.nn.minibatch import Crowd
from gansmith.objectives import nonsaturating_d, nonsaturating_g


@dataclass(frozen=True, kw_only=True)
class MinibatchGAN(Generates, Discriminates, Targets, Recipe):
    """The original game under a D with minibatch discrimination.

    Args:
        kernels: minibatch features of a sample.
        dims: numbers that each of them compares.
        net: "mlp", "dcgan" or "auto" (dcgan for images, mlp for points).
        norm_d: "none", "layer" or "batch", in D.
        width: of the layer next to the image ("dcgan"), of the hidden layers ("mlp").
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}

    kernels: int = 100
    dims: int = 5
    net: Literal["auto", "mlp", "dcgan"] = "auto"
    norm_d: Literal["none", "layer", "batch"] = "none"
    width: int = 64
    z_dim: int = 100
    lr: float = 3e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "image":
            return image_settings(data, device)
        return point_settings() | {
            "batch": Setting(64, "every pair of a batch is compared"),
            "kernels": Setting(16, "few features of few points"),
            "samples": Setting(64 * 5000, "5000 rounds of batch 64"),
        }

    def build(self, data: DataSpec) -> Nets:
        G, D = pair(self.net, data.shape, z_dim=self.z_dim, width=self.width, norm_d=self.norm_d)
        return Nets({"G": G, "D": Crowd(D, self.kernels, self.dims)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        real_logits, fake_logits = self.flipped(D(real), D(fake.detach()))
        cost = nonsaturating_d(real_logits, fake_logits, smoothing=self.smoothing)
        yield Player("D", ("D",), optim, options), {"adv": cost}
        yield Player("G", ("G",), optim, options), {"adv": nonsaturating_g(D(fake))}
