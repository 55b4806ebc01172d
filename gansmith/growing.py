"""Progressive growing: what recipes share whose networks start small and take in larger sizes as the training goes on.

Fields and methods of a recipe; the networks' side of it is `gansmith.nets.growth`.

Source: Karras et al. 2018, arXiv:1710.10196, section 2 and appendix A.1; tkarras/progressive_growing_of_gans, train.py.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gansmith.abilities import Discriminates, Generates
from gansmith.auto import batch_for, samples_for
from gansmith.core import Clock, DataSpec, Nets, Recipe, Setting, Stage
from gansmith.errors import GansmithError
from gansmith.nets.growth import Level, level_at, level_of, plan, set_level


@dataclass(frozen=True, kw_only=True)
class Grows(Generates, Discriminates, Recipe, ABC):
    """The networks grow with the samples seen: at each size a while, then the next one fades in.

    Where the training is, is a function of the clock. It is also kept in the networks (`Level`), and never goes back:
    a run that goes on with a larger budget does not shrink.

    Args:
        start: size in pixels that images are made at first: 4 or 7 pixels, or those doubled, whichever is first at
            least so large.
        stable: ksamples at a size, before the next one fades in.
        fade: ksamples during which a size fades in. With both 0 there is no growth.
        growing: share of the budget after which all sizes are in; `stable` and `fade` then only say how that is shared
            out. 0 = they are ksamples, whatever the budget.
        batches: real samples a move at 4 (or 7) pixels, at twice that, and so on; `batch` at all sizes beyond them.
    """

    start: int = 4
    stable: float = 800.0
    fade: float = 800.0
    growing: float = 0.0
    batches: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = [n for n in self.batches if n % self.pack]
        if wrong:
            raise GansmithError(f"pack = {self.pack} does not divide {wrong[0]} of batches: choose multiples of it.")

    @abstractmethod
    def fakes(self, nets: Nets, n: int, device: torch.device | str) -> Tensor:
        """n fresh generated samples at the current size, as they are made for D while training."""

    def grow(self, nets: Nets, clock: Clock) -> Level:
        """Bring the networks to where the clock is."""
        level = level_of(nets)
        now = max(float(level.now), self._level(clock, len(level.sizes) - 1))
        set_level(nets, now)
        return level

    def batch_at(self, level: Level) -> int:
        """Real samples a move at the current size."""
        doublings = level.first + level.split()[0]
        return self.batches[doublings] if doublings < len(self.batches) else self.batch

    def stage_of(self, level: Level) -> str:
        """The stage of the players: Adam starts afresh when a size begins to fade in, and when it has."""
        return f"{level.size}" if level.split()[1] == 1.0 else f"{level.size}in"

    def shard(self, world: int, what: str = "processes") -> Self:
        for n in self.batches:
            if n % world:
                raise GansmithError(f"{n} of batches does not divide over {world} {what}: choose multiples of it.")
        return replace(super().shard(world, what), batches=tuple(n // world for n in self.batches))

    def stages(self, data: DataSpec, samples: int | None) -> list[Stage]:
        """The sizes, with their shares of the budget and their costs; fading in counts to the new size."""
        with torch.device("meta"):
            nets = self.build(data)
        sizes, budget = level_of(nets).sizes, samples or self.samples
        begins = [self._begins(i, len(sizes) - 1, budget) for i in range(len(sizes))]
        out = []
        for i, (size, begin) in enumerate(zip(sizes, begins, strict=True)):
            set_level(nets, float(i))
            end = begins[i + 1] if i + 1 < len(sizes) else budget
            shown = min(end, budget) - begin
            if shown <= 0:
                continue
            spans = [f"{shown / 1000:.4g} ksamples"] if samples or not self.growing else []
            spans += [f"{100 * shown / budget:.3g} % of the budget"] if samples or self.growing else []
            out.append(Stage(int(begin) + 1, f"{size} px: {', '.join(spans)}, {self._cost(nets)}"))
        return out

    def _cost(self, nets: Nets) -> str:
        """What a sample costs at the current size."""
        level = level_of(nets)
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            self.logits(nets, self.fakes(nets, 4, "meta"))
        return f"batch {self.batch_at(level)}, {counter.get_total_flops() / 4e9:.3g} GFLOP a sample through G and D"

    def _begins(self, i: int, top: int, budget: float) -> float:
        """The sample at which size i begins to fade in."""
        if i == 0:
            return 0.0
        begin = self.stable + (i - 1) * (self.stable + self.fade)
        if not self.growing:
            return 1000 * begin
        whole = top * (self.stable + self.fade)
        return self.growing * budget * begin / whole if whole else 0.0

    def _level(self, clock: Clock, top: int) -> float:
        """Where the clock is, from 0 to top."""
        if not self.growing:
            return level_at(clock.seen / 1000, self.stable, self.fade, top)
        whole = top * (self.stable + self.fade)
        return level_at(clock.progress / self.growing * whole, self.stable, self.fade, top)


def growing_settings(data: DataSpec, device: torch.device, net: str) -> dict[str, Setting]:
    """Automatic values: all sizes within the first part of the budget, and narrow networks on a CPU.

    Args:
        net: its name, for messages.
    """
    if data.kind != "image":
        return {}
    sizes, cpu = plan(net, data.shape).sizes, device.type == "cpu"
    out = {
        "samples": samples_for(data, device),
        "growing": Setting(0.3, "most of the budget for the final size"),
        "batch": batch_for(data, 16),
        "ema_half_life": Setting(10.0, "as in StyleGAN"),
    }
    batches = (32,) * (len(sizes) - 1) if cpu else (128, 128, 128, 64, 32)[: len(sizes)]
    why = "more samples a move at sizes where they cost little"
    out["batches"] = Setting(tuple(batch_for(data, n).value for n in batches), why)
    if cpu:
        why = "narrower than published: many more steps on a CPU"
        values = {"fmap_base": 16 << len(sizes), "fmap_max": 64, "z_dim": 64}
        out |= {k: Setting(v, why) for k, v in values.items()}
        out["lr"] = Setting(3e-3, "narrow networks bear three times the published rate")
    return out
