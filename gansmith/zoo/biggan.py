"""BigGAN: class-conditional residual networks at scale: class and noise in every block, attention, truncation.

Paper: Large Scale GAN Training for High Fidelity Natural Image Synthesis, Brock et al. 2019, arXiv:1809.11096;
    attention: Zhang et al. 2019, arXiv:1805.08318; projection: Miyato & Koyama 2018, arXiv:1802.05637.
Code: ajbrock/BigGAN-PyTorch, whose defaults are taken where the paper differs: learning rates, one move of D a round.
Deviations: 15 steps of power iteration before the first round; biases start at 0; each process has BatchNorm
    statistics of its own; 28 px; those of the average are the trained G's, unless samples are truncated.
Command: gansmith train biggan --data digits        gansmith sample RUN --label-grid --psi 0.5
Result: docs/recipes/biggan.md
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gansmith.abilities import Conditioned, Discriminates, one_hot
from gansmith.auto import image_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets import biggan
from gansmith.nn.condition import Projected
from gansmith.objectives import hinge_d, hinge_g
from gansmith.penalties import orthogonal


def _average(batch: int, n_critic: int) -> float:
    """The half-life in ksamples of an average with decay 0.9999 a round."""
    return batch * n_critic * math.log(0.5) / math.log(0.9999) / 1000


def _imagenet(rounds: int, n_critic: int = 2, **other: Any) -> dict[str, Any]:
    """Settings at 128 px and batch 2048."""
    budget = {"samples": rounds * n_critic * 2048, "ema_half_life": _average(2048, n_critic)}
    return {"batch": 2048, "n_critic": n_critic, "width": 96, "z_dim": 120, "attention": 64} | budget | other


@dataclass(frozen=True, kw_only=True)
class BigGAN(Conditioned, Discriminates, Recipe):
    """Hinge losses, spectral norms in G and D, the class in every block, near-orthogonal weights.

    Args:
        width: all channels are multiples of it; None is the published one: 64 up to 32 px, 96 above (deep: 128).
        deep: BigGAN-deep: twice as many blocks of four convolutions at a quarter of the width, all noise in each.
        shared: size of the embedding of the class that all blocks of G share; 0 gives each BatchNorm its own table.
        hierarchical: each block of G gets noise, too: a chunk of it, or all of it if deep.
        attention: side of the maps with self-attention in G and D; 0 is none; None is 64 at 128 px, 32 at 64 px.
        init: of the weights: orthogonal, or normal with standard deviation 0.02.
        n_critic: D's moves per move of G.
        lr: learning rate of G.
        lr_d: learning rate of D.
        betas: of Adam.
        orthogonal_weight: of the squared products of different rows of G's weights in G's cost; 0 is off.
        ema_start: rounds before averaging starts; from then on the half-life is the full one. 0 averages from the first
            round, with a half-life that grows.
    """

    kinds = ("image",)
    ranges: ClassVar = {
        "betas": (0.0, 0.9999),
        "shared": (0, 10_000),
        "attention": (0, 128),
        "ema_start": (0, 10**9),
    }
    presets: ClassVar = {
        "cifar10": {
            "batch": 50,
            "n_critic": 4,
            "width": 64,
            "z_dim": 128,
            "shared": 0,
            "hierarchical": False,
            "attention": 0,
            "init": "normal",
            "lr": 2e-4,
            "lr_d": 2e-4,
            "orthogonal_weight": 0.0,
            "ema_start": 1000,
            "ema_half_life": _average(50, 4),
            "samples": 25_000_000,
        },
        "imagenet128": _imagenet(165_000, lr=5e-5, lr_d=2e-4),
        "imagenet128_deep": _imagenet(165_000, lr=5e-5, lr_d=2e-4, deep=True, width=128, z_dim=128),
        "imagenet128_released": _imagenet(62_500, 1, orthogonal_weight=0.0, ema_start=20_000),
    }

    width: int | None = None
    deep: bool = False
    shared: int = 128
    hierarchical: bool = True
    attention: int | None = None
    init: Literal["orthogonal", "normal"] = "orthogonal"
    z_dim: int = 120
    n_critic: int = 1
    lr: float = 1e-4
    lr_d: float = 4e-4
    betas: tuple[float, float] = (0.0, 0.999)
    orthogonal_weight: float = 1e-4
    ema_start: int = 0

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        small = device.type == "cpu"
        chosen = image_settings(data, device, batch=32 if small else 64)
        if small:
            why = "many more steps on a CPU: measured on digits and letters"
            quick = {"width": 8, "z_dim": 24, "lr": 5e-4, "lr_d": 1e-3, "betas": (0.0, 0.99)}
            return chosen | {k: Setting(v, why) for k, v in quick.items()}
        chosen.pop("width", None)
        return chosen

    def build(self, data: DataSpec) -> Nets:
        side = data.shape[-1]
        attention = side // 2 * (side >= 64) if self.attention is None else self.attention
        common: dict[str, Any] = {"attention": attention, "deep": self.deep, "init": self.init}
        split: dict[str, Any] = {"shared": self.shared, "hierarchical": self.hierarchical}
        G = biggan.Generator(self.z_dim, self.labels, data.shape, self.width, **split, **common)
        D = biggan.Discriminator(data.shape, self.width, **common)
        return Nets({"G": G, "D": Projected(D, self.labels, spectral=True, init=biggan.INITS[self.init])})

    def depths(self, nets: Nets) -> tuple[int, ...]:
        G: Any = nets["G"]
        return tuple(G.sizes)

    def half_life(self, clock: Clock) -> float:
        if not self.ema_start:
            return super().half_life(clock)
        return 1000 * self.ema_half_life if clock.round >= self.ema_start else 0.0

    def logits(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """D judges x by its label cond (N, num_classes); asked without one, by all of them a little."""
        logits: Tensor = nets["D"](x, self.conditions(x, cond))
        return logits

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        optim_g, optim_d = adam(self.lr, self.betas, eps=1e-6), adam(self.lr_d, self.betas, eps=1e-6)
        for _ in range(self.n_critic):
            real, y = data(self.batch)
            z = self.draw_latents(self.batch, real.device)
            with torch.no_grad():
                fake = G(z)
            cond = torch.cat([one_hot(y, self.labels), z[:, self.z_dim :]])
            real_logits, fake_logits = D(torch.cat([real, fake]), cond).split(self.batch)
            yield Player("D", ("D",), optim_d), {"adv": hinge_d(*self.flipped(real_logits, fake_logits))}
        z = self.draw_latents(self.batch, next(G.parameters()).device)
        terms = {"adv": hinge_g(D(G(z), z[:, self.z_dim :]))}
        if self.orthogonal_weight:
            rows = [p for name, p in G.named_parameters() if p.ndim > 1 and "embed" not in name.split(".")]
            terms["orthogonal"] = self.orthogonal_weight * orthogonal(rows)
        yield Player("G", ("G",), optim_g), terms
