"""A fault of the zoo: BatchNorm in D, which sees real and generated samples in one batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from gansmith.abilities import Discriminates, Generates
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, adam
from gansmith.nets.pair import pair
from gansmith.objectives import nonsaturating_d, nonsaturating_g


@dataclass(frozen=True, kw_only=True)
class Mixed(Generates, Discriminates, Recipe):
    """Both nets with BatchNorm; statistics of D are shared by real and generated samples.

    Args:
        lr: learning rate.
        width: of the nets.
    """

    lr: float = 2e-3
    width: int = 32
    z_dim: int = 32

    def build(self, data: DataSpec) -> Nets:
        G, D = pair("auto", data.shape, z_dim=self.z_dim, width=self.width, norm_g="batch", norm_d="batch")
        return Nets({"G": G, "D": D})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        optim = adam(self.lr, (0.5, 0.999))
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        real_logits, fake_logits = D(torch.cat([real, fake.detach()])).chunk(2)
        yield Player("D", ("D",), optim), {"adv": nonsaturating_d(real_logits, fake_logits)}
        _, fake_logits = D(torch.cat([real, fake])).chunk(2)
        yield Player("G", ("G",), optim), {"adv": nonsaturating_g(fake_logits)}
