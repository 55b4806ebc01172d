"""Training steps on 64 px images: gansmith's game against a plain loop, in time, FLOPs and share of the ceiling.

Steps: DCGAN's D and G move; a critic move with WGAN-GP; a critic move with R1 (these without BatchNorm in D).
gansmith plays its ordinary game, with averaged generator, gradient norms and the watch for NaN. Its rivals
(`_plain.py`) have networks of equal size. The ceiling is the best of a few convolutions, timed in the same turns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import _plain
import torch
from _common import arguments, interleave, p10, parse, report, speedup, summary, table, verdict
from _flops import convolutions, count
from torch import Tensor, nn

from gansmith.core import Clock, Data, DataSpec, Move, Nets, Recipe
from gansmith.engine.devices import fast_bf16, launch
from gansmith.engine.game import Game
from gansmith.zoo.dcgan import DCGAN
from gansmith.zoo.gan import GAN
from gansmith.zoo.wgan_gp import WGANGP

Z_DIM = 100


@dataclass(frozen=True, kw_only=True)
class FirstMove(Recipe):
    """Only the first move of another recipe's round: the critic's."""

    inner: Recipe

    def build(self, data: DataSpec) -> Nets:
        return self.inner.build(data)

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        yield next(self.inner.round(nets, data, clock))


class Same:
    """A feed that hands out the same images every time: loading is measured elsewhere."""

    def __init__(self, images: Tensor) -> None:
        self.images, self.seen = images, 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> Tensor:
        self.seen += n
        return self.images.detach()


def recipes(batch: int, width: int) -> dict[str, Recipe]:
    """The three steps, as gansmith plays them."""
    common = {"batch": batch, "width": width, "z_dim": Z_DIM}
    return {
        "dcgan": DCGAN(**common),
        "wgan_gp": FirstMove(inner=WGANGP(net="dcgan", **common)),
        "r1": FirstMove(inner=GAN(net="dcgan", gamma=10.0, **common)),
    }


def rivals(real: Tensor, width: int) -> dict[str, dict[str, Callable[[], Any]]]:
    """The same steps as plain loops. `naive` is the one that ratios refer to."""
    return {
        "dcgan": {
            "naive": _plain.dcgan_step(real, Z_DIM, width, fresh=True),
            "naive, fakes reused": _plain.dcgan_step(real, Z_DIM, width, fresh=False),
        },
        "wgan_gp": {"naive": _plain.critic_step(real, Z_DIM, width, "wgan_gp")},
        "r1": {"naive": _plain.critic_step(real, Z_DIM, width, "r1")},
    }


def game(recipe: Recipe, real: Tensor, precision: str) -> Game:
    """A game as `gansmith train` sets it up for images on one CPU."""
    spec = DataSpec(name="noise", kind="image", shape=tuple(real.shape[1:]))
    feed = Same(real.contiguous(memory_format=torch.channels_last))
    return Game(recipe, spec, feed, cast=launch("cpu").caster(precision), channels_last=True)


def size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def check_sizes(nets: Nets, width: int, norm: bool) -> dict[str, int]:
    """Parameters of G and D; AssertionError unless the rivals have as many."""
    sizes = {name: size(nets[name]) for name in ("G", "D")}
    assert sizes == {"G": size(_plain.generator(Z_DIM, 3, width)), "D": size(_plain.discriminator(3, width, norm))}
    return sizes


def show(names: Iterable[str], seconds: Any, gflop: Any, rate: Any, share: Any, ratio: Any) -> None:
    """Print a line for each step and for each convolution behind the ceiling."""
    rows = []
    for name in names:
        s, percent = summary(seconds[name]), f"{100 * share[name]:.0f}" if name in share else ""
        faster = f"{ratio[name]['p10']:.2f}" if name in ratio else ""
        rows.append([name, *(1e3 * s[k] for k in ("min", "p10", "median")), gflop[name], rate[name], percent, faster])
    table(["step", "min ms", "p10 ms", "median ms", "GFLOP", "GFLOP/s", "% of ceiling", "x naive"], rows)


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(arguments("step", __doc__ or "", repeats=20), argv)
    batch, width = (4, 8) if args.quick else (64, 64)
    precisions = ["32", "bf16"] if fast_bf16("cpu") else ["32"]
    real = torch.rand(batch, 3, 64, 64) * 2 - 1
    plain, sizes = rivals(real, width), {}
    steps: dict[str, Callable[[], Any]] = {}
    for name, recipe in recipes(batch, width).items():
        games = {precision: game(recipe, real, precision) for precision in precisions}
        sizes[name] = check_sizes(games["32"].nets, width, norm=name == "dcgan")
        steps |= {f"{name}: {rival}": step for rival, step in plain[name].items()}
        steps |= {f"{name}: gansmith {precision}": g.play for precision, g in games.items()}
    ceilings = {f"{c}: {p}": make(p) for c, make in convolutions(batch).items() for p in precisions}
    gflop = {name: count(call) / 1e9 for name, call in (steps | ceilings).items()}
    seconds = interleave(steps | ceilings, args.repeats)

    rate = {name: gflop[name] / p10(values) for name, values in seconds.items()}
    ceiling = {p: max(rate[c] for c in ceilings if c.endswith(f": {p}")) for p in precisions}
    share = {name: rate[name] / ceiling["bf16" if name.endswith("bf16") else "32"] for name in steps}
    ratio = {n: speedup(seconds[f"{n.partition(':')[0]}: naive"], seconds[n]) for n in steps if "gansmith" in n}
    show(steps | ceilings, seconds, gflop, rate, share, ratio)
    bounds = {"dcgan": {"32": 1.4, "bf16": 2.5}, "wgan_gp": {"bf16": 1.7}, "r1": {"bf16": 1.7}}
    verdicts = [
        verdict(f"{name}, gansmith {p}, times faster than naive", ratio[f"{name}: gansmith {p}"]["p10"], at_least=bound)
        for name, by_precision in bounds.items()
        for p, bound in by_precision.items()
        if p in precisions
    ]
    if "bf16" not in precisions:
        print("This CPU does not multiply bf16 in hardware: its targets do not apply.")
    settings = {"batch": batch, "width": width, "resolution": 64, "z_dim": Z_DIM, "parameters": sizes}
    figures = {"gflop": gflop, "gflop_per_s": rate, "ceiling_gflop_per_s": ceiling, "share": share, "speedup": ratio}
    return report(args, settings, seconds, figures, verdicts)


if __name__ == "__main__":
    main()
