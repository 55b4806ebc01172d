"""A GAN of two small networks on points, with a hook for trouble; also a recipe file for subprocesses."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.abilities import Generates
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, adam

FILE = Path(__file__)


def trouble(clock: Clock) -> float:
    """Added to D's loss. Tests replace it; in a subprocess TINY_KILL and TINY_EXIT say in which round to die."""
    if os.environ.get("TINY_KILL") == str(clock.round):
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("TINY_EXIT") == str(clock.round) and os.environ.get("LOCAL_RANK") == os.environ["TINY_RANK"]:
        os._exit(3)
    return 0.0


@dataclass(frozen=True, kw_only=True)
class Tiny(Generates, Recipe):
    """Non-saturating GAN; G has BatchNorm, so that there are buffers.

    Args:
        lr: learning rate at the start.
        lr_final: the share of lr left at the end.
    """

    kinds = ("points",)
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fast": {"lr": 0.5, "batch": 16}}

    batch: int = 8
    z_dim: int = 2
    lr: float = 1e-3
    lr_final: float = 0.1

    def build(self, data: DataSpec) -> Nets:
        G = nn.Sequential(nn.Linear(self.z_dim, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, *data.shape))
        D = nn.Sequential(nn.Linear(*data.shape, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))
        return Nets({"G": G, "D": D})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        real = data(self.batch)
        fake = G(self.draw_latents(self.batch, real.device))
        cost = F.softplus(-D(real)).mean() + F.softplus(D(fake.detach())).mean()
        yield Player("D", ("D",), adam(self.lr), options), {"adv": cost + trouble(clock)}
        yield Player("G", ("G",), adam(self.lr), options), {"adv": F.softplus(-D(fake)).mean()}


class Normal:
    """Feed of normal points from torch's global random state."""

    def __init__(self) -> None:
        self.seen, self.waited = 0, 0.0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Tensor:
        self.seen += n
        return torch.randn(n, 2)


SPEC = DataSpec("normal", "points", (2,))


def tensors(game: Any) -> dict[str, Tensor]:
    """All tensors of a game's state, by name."""
    nets, optims, _ = game.state()
    return {**nets, **{f"optim {k}": v for k, v in optims.items()}}
