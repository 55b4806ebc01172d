"""pix2pix: an image becomes another one, as in the examples; D looks at both.

Paper: Image-to-Image Translation with Conditional Adversarial Networks, Isola, Zhu, Zhou & Efros 2017,
    arXiv:1611.07004.
Code: phillipi/pix2pix; junyanz/pytorch-CycleGAN-and-pix2pix, whose U-Net has the same widths.
Deviations: G moves first, on the same fakes; biases are not set to 0 after each round; in use nothing is dropped and
    BatchNorm has its running statistics, so that an image always becomes the same; with a batch of 1, as published,
    that needs norm = "instance", which is what BatchNorm of one image is.
Command: gansmith train pix2pix --data drawings/        gansmith train pix2pix --data photos/ --degrade "holes 0.25"
Result: docs/recipes/pix2pix.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gansmith.abilities import Translates
from gansmith.auto import batch_for
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.errors import GansmithError
from gansmith.nets import patch, unet
from gansmith.nn import jittered
from gansmith.objectives import nonsaturating_d, nonsaturating_g


@dataclass(frozen=True, kw_only=True)
class Pix2Pix(Translates, Recipe):
    """The original game on pairs, and an L1 distance to the partner.

    Args:
        width: channels of G at half the resolution, and of D's first layer.
        norm: of both nets.
        skips: the U-Net's decoder sees the encoder's maps; without them it is the paper's encoder-decoder.
        dropout: share of features that the first decoder layers drop in training: the only noise there is.
        patch_layers: D's convolutions of stride 2: what it judges are patches of 16, 34, 70, 142, 286 px for 1 to 5.
        conditional: whether D sees the input, too.
        adv_weight: of the game in G's cost; 0 is the L1 baseline, and then D does not move.
        l1_weight: of the mean absolute distance to the partner in G's cost.
        jitter: images are enlarged by it, and a random window of the old size is taken; 1 is off.
        mirror: exchange left and right at random.
        lr: learning rate of both players; from half of the budget on it falls to 0 in a straight line.
        betas: of Adam.
    """

    kinds = ("pairs",)
    draws = ("a", "b")
    ranges: ClassVar = {"betas": (0.0, 0.9999), "patch_layers": (0, 5), "dropout": (0.0, 0.9), "jitter": (1.0, 2.0)}
    presets: ClassVar = {
        "facades": {"batch": 1, "norm": "instance", "samples": 80_000},
        "maps": {"batch": 1, "norm": "instance", "samples": 219_200},
    }

    width: int = 64
    norm: Literal["batch", "instance"] = "batch"
    skips: bool = True
    dropout: float = 0.5
    patch_layers: int = 3
    conditional: bool = True
    adv_weight: float = 1.0
    l1_weight: float = 100.0
    jitter: float = 286 / 256
    mirror: bool = True
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 4
    samples: int = 400_000
    ema_half_life: float = 0.0

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        small = device.type == "cpu"
        side = min(data.shape[1:])
        chosen = {
            "batch": batch_for(data, 4),
            "samples": Setting((10 if small else 200) * max(data.count, 1000), "passes over the data"),
        }
        if side < 128:
            chosen["patch_layers"] = Setting(2 if side >= 48 else 1, f"patches of a part of {side} px, not of all")
        if small:
            chosen["width"] = Setting(32, "half the published width: four times as many steps on a CPU")
        return chosen

    def check(self, data: DataSpec) -> None:
        super().check(data)
        if data.shape[1:] != data.target[1:]:
            raise GansmithError(
                f"Pix2Pix makes images of the size of its input, but {data.name} goes from {data.shape[2]} to "
                f"{data.target[2]} px: train srgan or esrgan for super-resolution."
            )
        if self.norm == "batch" and self.batch == 1:
            raise GansmithError(
                'batch = 1 needs norm = "instance": BatchNorm of one image has nothing to keep for use.'
            )

    def build(self, data: DataSpec) -> Nets:
        seen = data.target[0] + self.conditional * data.shape[0]
        G = unet.Generator(data.shape, data.target[0], self.width, self.norm, self.skips, self.dropout)
        return Nets({"G": G, "D": patch.Discriminator(seen, self.patch_layers, self.width, self.norm)})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        optim, options = adam(self.lr, self.betas), {"lr": self.lr * min(1.0, 2 - 2 * clock.progress)}
        a, b = jittered(*data(self.batch), enlarged=self.jitter, mirror=self.mirror)
        fake = G(a)
        terms = {"l1": self.l1_weight * (fake - b).abs().mean()} if self.l1_weight else {}
        if self.adv_weight:
            terms["adv"] = self.adv_weight * nonsaturating_g(D(self.shown(a, fake)))
        yield Player("G", ("G",), optim, options), terms
        if self.adv_weight:
            real_logits, fake_logits = D(self.shown(a, b)), D(self.shown(a, fake.detach()))
            yield Player("D", ("D",), optim, options), {"adv": nonsaturating_d(real_logits, fake_logits) / 2}

    def shown(self, a: Tensor, b: Tensor) -> Tensor:
        """What D looks at: the result b with its input a."""
        return torch.cat([a, b], 1) if self.conditional else b

    def translate(self, nets: Nets, x: Tensor, direction: str = "A2B") -> Tensor:
        made: Tensor = nets["G"](x, noise=False)
        return made

    def multiple(self, nets: Nets) -> int:
        G: Any = nets["G"]
        multiple: int = G.multiple
        return multiple
