"""A fault for the worked examples: D sees every second image upside down, real or not.

G cannot know which way is up."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansmith.core import DataSpec, Nets
from gansmith.zoo.gan import GAN


class Turned(nn.Module):
    """Turns each image upside down with a chance of one half, wherever it comes from."""

    def forward(self, x: Tensor) -> Tensor:
        chosen = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        return torch.where(chosen, x.flip(2), x)


@dataclass(frozen=True, kw_only=True)
class Leaky(GAN):
    """The original game, with an augmentation that can leak."""

    def build(self, data: DataSpec) -> Nets:
        nets = super().build(data)
        return Nets({"G": nets["G"], "D": nn.Sequential(Turned(), nets["D"])})
