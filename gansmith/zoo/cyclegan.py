"""CycleGAN: from one kind of images to another and back, learned without pairs.

Paper: Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks, Zhu, Park, Isola & Efros 2017,
    arXiv:1703.10593.
Code: junyanz/CycleGAN; junyanz/pytorch-CycleGAN-and-pix2pix, whose joint moves and identity term are the defaults.
Deviations: none known beside the random numbers.
Command: gansmith train cyclegan --data two_styles/        gansmith train cyclegan --data noto_twemoji
Result: docs/recipes/cyclegan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gansmith.abilities import Translates
from gansmith.auto import batch_for
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.errors import GansmithError
from gansmith.nets import patch, translator
from gansmith.nn import ImagePool, jittered
from gansmith.objectives import least_squares_d, least_squares_g


@dataclass(frozen=True, kw_only=True)
class CycleGAN(Translates, Recipe):
    """Least squares on patches in both directions, the way there and back, and what needs no change stays.

    Args:
        width: channels of both translators at full resolution, and of both D's first layers.
        blocks: residual blocks of a translator; None = 6 below 256 px, 9 from there on.
        patch_layers: of both D: what they judge are patches of 16, 34, 70 px for 1, 2, 3.
        cycle_weight: of the mean absolute error of the way there and back.
        identity_weight: of the change that a translator makes to images that are in its target domain already, as a
            share of cycle_weight; 0 is off, and it needs domains of as many channels.
        pool: earlier results that D learns from, too; 0 is off.
        jitter: images are enlarged by it, and a random window of the old size is taken; 1 is off.
        mirror: exchange left and right at random.
        lr: learning rate of both players; from half of the budget on it falls to 0 in a straight line.
        betas: of Adam.
    """

    kinds = ("domains",)
    draws = ("a", "b")
    averaged = ("A2B", "B2A")
    directions = ("A2B", "B2A")
    ranges: ClassVar = {
        **{"betas": (0.0, 0.9999), "patch_layers": (0, 5), "jitter": (1.0, 2.0)},
        **{"blocks": (1, 64), "pool": (0, 10_000)},
    }
    presets: ClassVar = {
        "horse2zebra": {"batch": 1, "blocks": 9, "samples": 266_800},
        "paintings": {"batch": 1, "blocks": 9, "samples": 1_250_000},
    }

    width: int = 64
    blocks: int | None = None
    patch_layers: int = 3
    cycle_weight: float = 10.0
    identity_weight: float = 0.5
    pool: int = 50
    jitter: float = 286 / 256
    mirror: bool = True
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    batch: int = 1
    samples: int = 200_000
    ema_half_life: float = 0.0

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        small, side = device.type == "cpu", min(data.shape[1:])
        chosen = {
            "batch": batch_for(data, 4 if side < 128 else 1),
            "samples": Setting((10 if small else 200) * max(data.count, 1000), "passes over the data"),
        }
        if side < 128:
            chosen["patch_layers"] = Setting(2 if side >= 48 else 1, f"patches of a part of {side} px, not of all")
        if small:
            chosen["width"] = Setting(32, "half the published width: four times as many steps on a CPU")
        if data.shape[0] != data.target[0]:
            chosen["identity_weight"] = Setting(0.0, "the domains have different numbers of channels")
        return chosen

    def check(self, data: DataSpec) -> None:
        super().check(data)
        if data.shape[1:] != data.target[1:]:
            raise GansmithError(f"CycleGAN needs domains of one size, but {data.name} has two: give --resolution.")
        if self.identity_weight and data.shape != data.target:
            raise GansmithError("identity_weight needs domains of as many channels: set it to 0, or give --channels 3.")

    def build(self, data: DataSpec) -> Nets:
        a, b = data.shape, data.target
        blocks = self.blocks or (9 if min(a[1:]) >= 256 else 6)
        nets = {
            "A2B": translator.Generator(a[0], b[0], self.width, blocks=blocks),
            "B2A": translator.Generator(b[0], a[0], self.width, blocks=blocks),
            "DA": patch.Discriminator(a[0], self.patch_layers, self.width, "instance"),
            "DB": patch.Discriminator(b[0], self.patch_layers, self.width, "instance"),
        }
        return Nets(nets | ({"poolA": ImagePool(a, self.pool), "poolB": ImagePool(b, self.pool)} if self.pool else {}))

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        A2B, B2A, DA, DB = (nets[name] for name in ("A2B", "B2A", "DA", "DB"))
        optim, options = adam(self.lr, self.betas), {"lr": self.lr * min(1.0, 2 - 2 * clock.progress)}
        a, b = (jittered(x, enlarged=self.jitter, mirror=self.mirror)[0] for x in data(self.batch))
        fake_a, fake_b = B2A(b), A2B(a)
        terms = {"adv_a": 2 * least_squares_g(DA(fake_a)), "adv_b": 2 * least_squares_g(DB(fake_b))}
        if self.cycle_weight:
            terms["cycle"] = self.cycle_weight * (_gap(B2A(fake_b), a) + _gap(A2B(fake_a), b))
        if self.identity_weight:
            terms["identity"] = self.cycle_weight * self.identity_weight * (_gap(B2A(a), a) + _gap(A2B(b), b))
        yield Player("G", ("A2B", "B2A"), optim, options), terms
        old_a, old_b = (
            nets[pool](fake) if self.pool else fake.detach() for pool, fake in (("poolA", fake_a), ("poolB", fake_b))
        )
        terms = {"a": least_squares_d(DA(a), DA(old_a)), "b": least_squares_d(DB(b), DB(old_b))}
        yield Player("D", ("DA", "DB"), optim, options), terms

    def translate(self, nets: Nets, x: Tensor, direction: str = "A2B") -> Tensor:
        made: Tensor = nets[direction](x)
        return made

    def multiple(self, nets: Nets) -> int:
        G: Any = nets["A2B"]
        multiple: int = G.multiple
        return multiple


def _gap(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).abs().mean()
