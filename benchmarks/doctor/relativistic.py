"""A healthy run of the zoo: the relativistic game with R1 on the small nets that the other losses have.

R3GAN's own networks need five times as long on a CPU for images as good.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gansmith.abilities import Discriminates, Generates
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, adam
from gansmith.nets.pair import pair
from gansmith.objectives import relativistic_d, relativistic_g
from gansmith.penalties import gradient_square


@dataclass(frozen=True, kw_only=True)
class Relativistic(Generates, Discriminates, Recipe):
    """Each real sample is judged against a generated one.

    Args:
        lr: learning rate at the start.
        lr_final: the share of it left at the end (linear).
        gamma: weight of R1, as gamma / 2.
        width: of the nets.
    """

    lr: float = 4e-3
    lr_final: float = 0.02
    gamma: float = 0.1
    width: int = 32
    z_dim: int = 32

    def build(self, data: DataSpec) -> Nets:
        G, D = pair("auto", data.shape, z_dim=self.z_dim, width=self.width, norm_d="none")
        return Nets({"G": G, "D": D})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        optim, options = adam(self.lr, (0.0, 0.99)), {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        real = data(self.batch).requires_grad_()
        fake = G(self.draw_latents(self.batch, real.device))
        logits = D(real)
        terms = {"adv": relativistic_d(logits, D(fake.detach()))}
        yield Player("D", ("D",), optim, options), terms | {"r1": self.gamma / 2 * gradient_square(logits, real)}
        yield Player("G", ("G",), optim, options), {"adv": relativistic_g(D(real.detach()), D(fake))}
