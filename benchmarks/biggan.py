"""BigGAN's training step at 32 px and batch 50: gansmith's game against the paper's operations in plain torch.

The networks are those of the released CIFAR-10 settings (4,304,387 and 4,207,361 parameters) on both sides; one move of
D and one of G, as the rival in `_plain_biggan.py` has it. gansmith plays its ordinary game, with averaged generator,
gradient norms and the watch for NaN, in float32 and in bf16.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import _plain_biggan
import torch
from _common import arguments, interleave, p10, parse, report, speedup, summary, table, verdict
from _flops import count
from torch import Tensor, nn

from gansmith.core import DataSpec
from gansmith.engine.devices import fast_bf16, launch
from gansmith.engine.game import Game
from gansmith.zoo.biggan import BigGAN

CLASSES, Z_DIM = 10, 128


class Same:
    """A feed that hands out the same images and labels every time."""

    def __init__(self, images: Tensor, y: Tensor) -> None:
        self.images, self.y, self.seen = images, y, 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> tuple[Tensor, Tensor]:
        self.seen += n
        return self.images.detach(), self.y


def game(real: Tensor, y: Tensor, width: int, precision: str) -> Game:
    """A game as `gansmith train biggan --preset cifar10 --n-critic 1` sets it up on one CPU."""
    fields = {"width": width, "batch": len(real), "n_critic": 1, "num_classes": CLASSES, "z_dim": Z_DIM}
    recipe = BigGAN(**{**BigGAN.presets["cifar10"], **fields})
    names = tuple(map(str, range(CLASSES)))
    spec = DataSpec("noise", "image", tuple(real.shape[1:]), fields=("x", "y"), classes=names)
    feed = Same(real.contiguous(memory_format=torch.channels_last), y)
    return Game(recipe, spec, feed, cast=launch("cpu").caster(precision), channels_last=True)


def size(net: nn.Module) -> int:
    """Parameters of a network."""
    return sum(p.numel() for p in net.parameters())


def check_sizes(ours: Game, width: int) -> dict[str, int]:
    """Parameters of G and D; AssertionError unless the rival has as many."""
    sizes = {name: size(ours.nets[name]) for name in ("G", "D")}
    rival = _plain_biggan.Generator(Z_DIM, CLASSES, 4 * width), _plain_biggan.Discriminator(CLASSES, 4 * width)
    assert sizes == dict(zip(("G", "D"), map(size, rival), strict=True))
    return sizes


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(arguments("biggan", __doc__ or "", repeats=10), argv)
    batch, width = (4, 2) if args.quick else (50, 64)
    precisions = ["32", "bf16"] if fast_bf16("cpu") else ["32"]
    real, y = torch.rand(batch, 3, 32, 32) * 2 - 1, torch.randint(CLASSES, (batch,))
    games = {precision: game(real, y, width, precision) for precision in precisions}
    sizes = check_sizes(games["32"], width)
    steps: dict[str, Callable[[], Any]] = {"plain": _plain_biggan.step(real, y, Z_DIM, CLASSES, 4 * width)}
    steps |= {f"gansmith {precision}": g.play for precision, g in games.items()}
    gflop = {name: count(call) / 1e9 for name, call in steps.items()}
    seconds = interleave(steps, args.repeats)
    ratio = {name: speedup(seconds["plain"], values) for name, values in seconds.items() if name != "plain"}
    rows = []
    for name, values in seconds.items():
        s, faster = summary(values), f"{ratio[name]['p10']:.2f}" if name in ratio else ""
        rows.append([name, *(1e3 * s[k] for k in ("min", "p10", "median")), gflop[name], batch / p10(values), faster])
    table(["step", "min ms", "p10 ms", "median ms", "GFLOP", "images/s", "x plain"], rows)
    bounds = {"32": 1.5, "bf16": 3.0}
    verdicts = [
        verdict(f"gansmith {p}, times faster than plain", ratio[f"gansmith {p}"]["p10"], at_least=bounds[p])
        for p in precisions
    ]
    settings = {"batch": batch, "width": width, "resolution": 32, "z_dim": Z_DIM, "parameters": sizes}
    return report(args, settings, seconds, {"gflop": gflop, "speedup": ratio}, verdicts)


if __name__ == "__main__":
    main()
