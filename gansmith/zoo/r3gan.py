"""R3GAN: the modern baseline: a relativistic paired loss, zero-centred penalties on data and fakes, plain ResNets.

Paper: The GAN is dead; long live the GAN! A Modern Baseline GAN, Huang et al. 2024, arXiv:2501.05441.
Code: brownvc/R3GAN.
Deviations: augmentation of D's input only if asked for, and with a fixed p (`augment`); no classes; G's move takes the
    fakes of D's move instead of new ones; penalties computed with the other terms in one backward pass. On points the
    MLP pair takes the place of the ResNets. `samples` counts all real samples drawn, and G's move draws its own: twice
    the released code's count of images.
Command: gansmith train r3gan --data digits        gansmith train r3gan --data photos/
Result: docs/recipes/r3gan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from gansmith.abilities import Discriminates, Generates
from gansmith.auto import batch_for, point_settings, samples_for
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets import mlp, r3gan
from gansmith.objectives import relativistic_d, relativistic_g
from gansmith.penalties import gradient_square


def _preset(widths: tuple[int, ...], gamma: float, ema: float, samples: int, batch: int) -> dict[str, Any]:
    """A preset of the released code; `samples` there counts images, here both draws of a round."""
    common = {"widths": widths, "group": 16, "blocks": 2, "z_dim": 64, "lr": 2e-4, "lr_final": 0.25, "gamma_final": 0.1}
    return common | {"gamma": gamma, "ema_half_life": ema, "samples": 2 * samples, "batch": batch}


@dataclass(frozen=True, kw_only=True)
class R3GAN(Generates, Discriminates, Recipe):
    """RpGAN + R1 + R2, with the schedules of the released trainer: cosine over the first `anneal` of the budget.

    Args:
        widths: channels of the stages, from the smallest resolution up; on points: of the hidden layers.
        blocks: residual blocks a stage.
        group: channels in one group of the 3x3 convolutions.
        gamma: weight of R1 and R2 at the start, as gamma / 2; its unit depends on resolution and range.
        gamma_final: the share of gamma left at the end of the annealing.
        lr: learning rate at the start.
        lr_final: the share of lr left at the end of the annealing.
        beta2: of Adam at the start; beta1 is 0.
        beta2_final: of Adam at the end of the annealing.
        anneal: the share of the budget over which everything is annealed.
        ema_half_life: of the averaged generator at the end of the annealing, in ksamples; it grows from 0.
    """

    ranges: ClassVar = {k: (0.0, 0.99999) for k in ("beta2", "beta2_final")} | {"anneal": (0.01, 1.0)}
    presets: ClassVar = {
        "cifar10": _preset((768,) * 4, gamma=0.05, ema=5_000, samples=20_000_000, batch=512),
        "ffhq64": _preset((768, 768, 768, 768, 384), gamma=2.0, ema=500, samples=20_000_000, batch=256),
        "ffhq256": _preset((768, 768, 768, 768, 384, 192, 96), gamma=150.0, ema=500, samples=20_000_000, batch=256),
    }

    z_dim: int = 64
    widths: tuple[int, ...] = (768, 768, 768, 768)
    blocks: int = 2
    group: int = 16
    gamma: float = 0.05
    gamma_final: float = 0.1
    lr: float = 2e-4
    lr_final: float = 0.25
    beta2: float = 0.9
    beta2_final: float = 0.99
    anneal: float = 1.0

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "points":
            points = point_settings(draws=2)
            del points["width"]
            why = "measured on grid25"
            return points | {
                "widths": Setting((64, 64, 64), why),
                "gamma": Setting(0.02, why),
                "gamma_final": Setting(1.0, why),
            }
        resolution, small = data.shape[-1], device.type == "cpu"
        widths = tuple(
            min(128 if small else 768, (16 if small else 96) * 2**i) for i in range(r3gan.stages(resolution))
        )
        chosen = {
            "batch": batch_for(data, 32 if small else 64),
            "widths": Setting(widths[::-1], f"one per stage up to {resolution} px, sized for {device.type}"),
            "samples": samples_for(data, device, draws=2),
        }
        if small:
            why = "many small steps: measured on digits"
            chosen |= {"blocks": Setting(1, why), "lr": Setting(1e-3, why), "gamma": Setting(1.0, why)}
        if resolution >= 64:
            gamma = 2.0 * (resolution / 64) ** 3
            chosen["gamma"] = Setting(gamma, f"{resolution} px: near the paper's 2 at 64 px and 150 at 256 px")
        return chosen

    def build(self, data: DataSpec) -> Nets:
        if data.kind == "points":
            return Nets(
                {
                    "G": mlp.Generator(self.z_dim, data.shape, self.widths),
                    "D": mlp.Discriminator(data.shape, self.widths),
                }
            )
        G = r3gan.Generator(self.z_dim, data.shape, self.widths, self.blocks, self.group)
        return Nets({"G": G, "D": r3gan.Discriminator(data.shape, self.widths, self.blocks, self.group)})

    def half_life(self, clock: Clock) -> float:
        return 1000 * clock.cosine(0.0, self.ema_half_life, self.anneal)

    @property
    def boundary(self) -> float | None:
        return None

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        share = self.anneal
        gamma = clock.cosine(self.gamma, self.gamma * self.gamma_final, share)
        options = {
            "lr": clock.cosine(self.lr, self.lr * self.lr_final, share),
            "betas": (0.0, clock.cosine(self.beta2, self.beta2_final, share)),
        }
        optim = adam(self.lr, (0.0, self.beta2))

        real = data(self.batch).requires_grad_()
        fake = G(self.draw_latents(self.batch, real.device))
        shown = fake.detach().requires_grad_()
        real_logits, fake_logits = D(real), D(shown)
        yield (
            Player("D", ("D",), optim, options),
            {
                "adv": relativistic_d(*self.flipped(real_logits, fake_logits)),
                "r1": gamma / 2 * gradient_square(real_logits, real),
                "r2": gamma / 2 * gradient_square(fake_logits, shown),
            },
        )
        with torch.no_grad():
            real_logits = D(data(self.batch))
        yield Player("G", ("G",), optim, options), {"adv": relativistic_g(real_logits, D(fake))}
