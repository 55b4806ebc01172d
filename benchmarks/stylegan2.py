"""StyleGAN2's training step at 32 and 64 px: gansmith's game against the paper's operations written plainly.

A step is a sixteenth of 16 rounds: 12 with the moves of G and D, 3 with path lengths as well, 1 with R1 too. Each of
these rounds is timed by itself, interleaved with its rivals'. Ratios are against the quicker of two plain forms. The
networks are the paper's (512 channels up to 32 px, 8 mapping layers), batch 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from _common import arguments, interleave, p10, parse, report, speedup, summary, table, verdict
from _flops import count
from _plain_stylegan2 import Training
from step import game, size

from gansmith.engine.devices import fast_bf16
from gansmith.engine.game import Game
from gansmith.nets import stylegan2
from gansmith.zoo.stylegan2 import StyleGAN2

ROUNDS = {"moves": (1, 12), "moves, path": (4, 3), "moves, path, r1": (0, 1)}
"""Each kind of round: the number of one, and how many of 16 are of this kind."""


def at(g: Game, number: int) -> Callable[[], None]:
    """A call that plays round `number`."""

    def call() -> None:
        g.clock.round = number
        g.play()

    return call


def variants(px: int, precisions: Sequence[str], quick: bool) -> tuple[dict[str, dict[str, Callable[[], None]]], Any]:
    """By name, a call for each kind of round; and the parameters of G and D, equal for all."""
    real = torch.rand(4, 3, px, px) * 2 - 1
    base, most, w_dim, mapping = (px * 4, 8, 16, 2) if quick else (16384, 512, 512, 8)
    recipe = StyleGAN2(
        batch=4, z_dim=w_dim, w_dim=w_dim, mapping_layers=mapping, channel_base=base, channel_max=most, gamma=1.0
    )
    widths = stylegan2.widths(px, base, most)
    plain = {name: Training(real, widths, w_dim, mapping, 1.0, name == "grouped") for name in ("grouped", "scaled")}
    ours = {p: game(recipe, real, p) for p in precisions}
    sizes = {(size(g.nets["M"]) + size(g.nets["G"]), size(g.nets["D"])) for g in ours.values()} | {
        (size(t.G), size(t.D)) for t in plain.values()
    }
    assert len(sizes) == 1, sizes
    calls = {
        f"plain, {name}": {kind: t.round(path="path" in kind, r1="r1" in kind) for kind in ROUNDS}
        for name, t in plain.items()
    }
    calls |= {f"gansmith {p}": {kind: at(g, number) for kind, (number, _) in ROUNDS.items()} for p, g in ours.items()}
    return calls, sizes.pop()


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments("stylegan2", __doc__ or "", repeats=8)
    parser.add_argument("--px", type=int, nargs="+", help="resolutions (default 32 64, quick 8)")
    args = parse(parser, argv)
    precisions = ["32", "bf16"] if fast_bf16("cpu") else ["32"]
    steps: dict[str, dict[str, Callable[[], None]]] = {}
    sizes, pixels = {}, args.px or ([8] if args.quick else [32, 64])
    for px in pixels:
        calls, sizes[px] = variants(px, precisions, args.quick)
        steps |= {f"{px} px, {name}": kinds for name, kinds in calls.items()}
    parts = {f"{name}: {kind}": call for name, kinds in steps.items() for kind, call in kinds.items()}
    gflop = {name: count(call) / 1e9 for name, call in parts.items()}
    seconds = interleave(parts, args.repeats, warmup=1)

    def mean(values: Any, name: str) -> Any:
        return sum(share * np.asarray(values[f"{name}: {kind}"]) for kind, (_, share) in ROUNDS.items()) / 16

    step = {name: [float(s) for s in mean(seconds, name)] for name in steps}
    work = {name: float(mean(gflop, name)) for name in steps}
    rival = {
        px: min((f"{px} px, plain, {f}" for f in ("grouped", "scaled")), key=lambda r: p10(step[r])) for px in pixels
    }
    ratio = {name: speedup(step[rival[int(name.split()[0])]], step[name]) for name in steps}
    rows = [[name, *(1e3 * summary(step[name])[k] for k in ("min", "p10", "median"))] for name in steps]
    for row in rows:
        name = row[0]
        row += [work[name], work[name] / p10(step[name]), ratio[name]["p10"]]
    table(["step", "min ms", "p10 ms", "median ms", "GFLOP", "GFLOP/s", "x plain"], rows)
    verdicts = [
        verdict(
            f"{px} px, gansmith {p}, times faster than plain", ratio[f"{px} px, gansmith {p}"]["p10"], at_least=bound
        )
        for px in pixels
        for p, bound in (("32", 1.3), ("bf16", 2.0))
        if p in precisions
    ]
    settings = {"batch": 4, "pixels": pixels, "parameters": {str(px): s for px, s in sizes.items()}, "rival": rival}
    figures = {"gflop": work, "gflop_by_round": gflop, "step_seconds": step, "speedup": ratio}
    return report(args, settings, seconds, figures, verdicts)


if __name__ == "__main__":
    main()
