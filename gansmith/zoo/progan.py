"""ProGAN: both networks start with tiny images and grow; each new size fades in.

Paper: Progressive Growing of GANs for Improved Quality, Stability, and Variation, Karras et al. 2018, arXiv:1710.10196.
Code: tkarras/progressive_growing_of_gans.
Deviations: G moves on the fakes that D has just been shown; sizes may start from 7 px, so that 28 px works; the average
    of G has one half-life in samples, where the code has a decay a step, which is longer at large batches.
Command: gansmith train progan --data photos/ --resolution 128
Result: docs/recipes/progan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Setting, adam
from gansmith.growing import Grows, growing_settings
from gansmith.nets import progan
from gansmith.nets.growth import as_seen
from gansmith.objectives import wasserstein_d, wasserstein_g
from gansmith.penalties import drift, wgan_gp


@dataclass(frozen=True, kw_only=True)
class ProGAN(Grows):
    """WGAN-GP with a drift term on growing networks.

    Args:
        fmap_base: channels are fmap_base / 2^k, k = 1 at 4 (or 7) pixels and one more at each doubling ...
        fmap_max: ... but at most this.
        group: samples whose standard deviation D is told.
        gp_weight: lambda.
        drift_weight: of the mean square of D's scores of real samples.
        lr: learning rate of both.
        betas: of Adam.
    """

    kinds: ClassVar = ("image",)
    ranges: ClassVar = {"betas": (0.0, 0.9999), "growing": (0.0, 1.0)}
    presets: ClassVar = {
        "celebahq": {"samples": 19_000_000},
        "celebahq_1gpu": {
            "stable": 600.0,
            "fade": 600.0,
            "batches": (128, 128, 128, 64, 32, 16, 8),
            "batch": 4,
            "samples": 12_000_000,
        },
    }

    z_dim: int = 512
    fmap_base: int = 8192
    fmap_max: int = 512
    group: int = 4
    gp_weight: float = 10.0
    drift_weight: float = 1e-3
    lr: float = 1e-3
    betas: tuple[float, float] = (0.0, 0.99)
    batches: tuple[int, ...] = (16, 16, 16, 16, 16, 16, 14, 6)
    batch: int = 3
    samples: int = 15_000_000
    ema_half_life: float = 11.0

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return growing_settings(data, device, "progan")

    def build(self, data: DataSpec) -> Nets:
        size = self.fmap_base, self.fmap_max, self.start
        D = progan.Discriminator(data.shape, *size, group=self.group)
        return Nets({"G": progan.Generator(self.z_dim, data.shape, *size), "D": D})

    @property
    def boundary(self) -> float | None:
        return None

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        D, level = nets["D"], self.grow(nets, clock)
        optim, stage = adam(self.lr, self.betas), self.stage_of(level)
        real = as_seen(data(self.batch_at(level)), level)
        fake = self.fakes(nets, len(real), real.device)
        real_logits = D(real)
        yield (
            Player("D", ("D",), optim, stage=stage),
            {
                "adv": wasserstein_d(*self.flipped(real_logits, D(fake.detach()))),
                "gp": self.gp_weight * wgan_gp(D, real, fake),
                "drift": self.drift_weight * drift(real_logits),
            },
        )
        yield Player("G", ("G",), optim, stage=stage), {"adv": wasserstein_g(D(fake))}

    def fakes(self, nets: Nets, n: int, device: torch.device | str) -> Tensor:
        fake: Tensor = nets["G"](self.draw_latents(n, device), full=False)
        return fake
