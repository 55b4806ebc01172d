"""StyleGAN: a mapping network makes styles, and each layer of the generator is given one.

Paper: A Style-Based Generator Architecture for Generative Adversarial Networks, Karras, Laine & Aila 2019,
    arXiv:1812.04948.
Code: NVlabs/stylegan.
Deviations: G moves on the fakes that D has just been shown, so the mean style moves once a round; sizes may start from
    7 px, so that 28 px works; no mirrored images. A sample's noise is drawn from its latent, so that it does not depend
    on the samples drawn with it.
Command: gansmith train stylegan --data photos/ --resolution 128
Result: docs/recipes/stylegan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gansmith.abilities import Styled
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Setting, adam
from gansmith.growing import Grows, growing_settings
from gansmith.nets import progan, stylegan
from gansmith.nets.growth import Level, as_seen
from gansmith.nn import Mapping, noise_keys
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import gradient_square

LARGE = 5  # doublings from 4 to 128 pixels


@dataclass(frozen=True, kw_only=True)
class StyleGAN(Styled, Grows):
    """Non-saturating losses and R1 on growing networks with styles.

    Args:
        fmap_base: channels are fmap_base / 2^k, k = 1 at 4 (or 7) pixels and one more at each doubling ...
        fmap_max: ... but at most this.
        w_dim: size of a style, and width of the mapping network.
        mapping_layers: of the mapping network.
        mapping_rate: share of lr at which the mapping network learns.
        mixing: share of the moves in which the finer layers are given the style of another latent.
        mean_decay: a round, of the mean style that truncation goes to.
        group: samples whose standard deviation D is told.
        gamma: weight of R1, as gamma / 2; its unit depends on resolution and range.
        lr: learning rate of both players below 128 (or 224) pixels.
        lr_large: learning rates at 128 (or 224) pixels, at twice that, and so on; the last also beyond.
        betas: of Adam.
    """

    kinds: ClassVar = ("image",)
    ranges: ClassVar = {
        "betas": (0.0, 0.9999),
        **{k: (0.0, 1.0) for k in ("growing", "mixing", "mean_decay")},
        "mapping_rate": (1e-6, 1.0),
    }
    presets: ClassVar = {"ffhq": {}, "ffhq_1gpu": {"batches": (128, 128, 128, 64, 32, 16, 8), "batch": 4}}

    z_dim: int = 512
    fmap_base: int = 8192
    fmap_max: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    mapping_rate: float = 0.01
    mixing: float = 0.9
    mean_decay: float = 0.995
    group: int = 4
    gamma: float = 10.0
    lr: float = 1e-3
    lr_large: tuple[float, ...] = (1.5e-3, 2e-3, 3e-3)
    betas: tuple[float, float] = (0.0, 0.99)
    start: int = 8
    stable: float = 600.0
    fade: float = 600.0
    batches: tuple[int, ...] = (512, 256, 128, 64)
    batch: int = 32
    samples: int = 25_000_000
    ema_half_life: float = 10.0

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        chosen = growing_settings(data, device, "stylegan")
        cpu = "z_dim" in chosen
        if data.kind == "image":
            resolution, why = data.shape[-1], "StyleGAN2-ADA's rule by resolution and batch"
            gamma = 2e-4 * resolution**2 / chosen["batch"].value
            if cpu:
                gamma, why = 150 * gamma, f"150 times {why}: narrow networks, measured on letters"
            chosen["gamma"] = Setting(max(0.1, gamma), f"{why}, but 0.1 at least")
            if resolution <= 32:
                few = f"as StyleGAN2's authors do for CIFAR-10: {resolution} px have few scales to mix"
                chosen["mixing"] = Setting(0.0, few)
        if cpu:
            chosen["w_dim"] = Setting(chosen["z_dim"].value, "as the latent")
            chosen["start"] = Setting(4, "many cheap rounds at the smallest size: more variety early on")
            chosen["mapping_layers"] = Setting(2, "styles of eight layers are too much alike at first")
            chosen["mapping_rate"] = Setting(1.0, "a short training ends before a slower mapping has parted the styles")
        return chosen

    def build(self, data: DataSpec) -> Nets:
        size = self.fmap_base, self.fmap_max, self.start
        M = Mapping(self.z_dim, self.w_dim, self.mapping_layers, self.mapping_rate, self.mean_decay)
        G = stylegan.Generator(self.w_dim, data.shape, *size)
        return Nets({"M": M, "G": G, "D": progan.Discriminator(data.shape, *size, self.group, blur=True)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        D, level = nets["D"], self.grow(nets, clock)
        optim, stage, options = adam(self.lr, self.betas), self.stage_of(level), {"lr": self.lr_at(level)}
        real = as_seen(data(self.batch_at(level)), level).detach().requires_grad_()
        fake = self.fakes(nets, len(real), real.device)
        real_logits = D(real)
        yield (
            Player("D", ("D",), optim, options, stage),
            {
                "adv": nonsaturating_d(*self.flipped(real_logits, D(fake.detach()))),
                "r1": self.gamma / 2 * gradient_square(real_logits, real),
            },
        )
        yield Player("G", ("M", "G"), optim, options, stage), {"adv": nonsaturating_g(D(fake))}

    def fakes(self, nets: Nets, n: int, device: torch.device | str) -> Tensor:
        fake: Tensor = nets["G"](self.mixed_styles(nets, n, device), full=False)
        return fake

    def mixed_styles(self, nets: Nets, n: int, device: torch.device | str) -> Tensor:
        """Styles (n, layers, w_dim) of fresh latents; with the chance `mixing` those of others from some layer on."""
        M: Any = nets["M"]
        G: Any = nets["G"]
        w: Tensor = M(self.draw_latents(n, device))
        M.follow(w)
        layers, active = G.layers, G.active
        if float(torch.rand(())) >= self.mixing:
            return w[:, None].expand(-1, layers, -1)
        cut = int(torch.randint(1, active, ()))
        other = M(self.draw_latents(n, device))
        return torch.cat([w[:, None].expand(-1, cut, -1), other[:, None].expand(-1, layers - cut, -1)], 1)

    def generate(self, nets: Nets, z: Tensor, psi: float = 1.0) -> Tensor:
        samples: Tensor = nets["G"](self.styles(nets, z, psi), noise_keys(z))
        return samples

    def lr_at(self, level: Level) -> float:
        """The learning rate at the current size."""
        beyond = level.first + level.split()[0] - LARGE
        return self.lr if beyond < 0 or not self.lr_large else self.lr_large[min(beyond, len(self.lr_large) - 1)]
