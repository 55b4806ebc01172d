"""The two forms of a modulated convolution, forward and backward: a convolution in N groups, or scaled activations.

Interleaved, in float32 and bfloat16 autocast, channels_last, at shapes of StyleGAN2's layers. It backs the table `FORM`
of gansmith/nn/modulated.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import torch
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict
from torch import Tensor

from gansmith.engine.devices import fast_bf16, find_device
from gansmith.nn import BinomialFilter
from gansmith.nn.modulated import FORM, by_activations, by_weights

FORMS = {"by_weights": by_weights, "by_activations": by_activations}


class Shape(NamedTuple):
    """Samples, channels in and out, side of the input, whether the size doubles."""

    n: int
    a: int
    b: int
    side: int
    up: bool = False

    def __str__(self) -> str:
        return f"{self.n} x {self.a} to {self.b} at {self.side}{' to ' + str(2 * self.side) if self.up else ''} px"


SHAPES = [
    Shape(4, 512, 512, 8),
    Shape(4, 512, 512, 32),
    Shape(4, 512, 512, 16, up=True),
    Shape(32, 128, 128, 7),
    Shape(32, 32, 32, 28),
    Shape(32, 64, 32, 14, up=True),
    Shape(4, 64, 64, 128),
]
QUICK = [Shape(2, 4, 8, 4), Shape(2, 4, 4, 4, up=True)]


def task(shape: Shape, form: Callable[..., Tensor], precision: str, device: str) -> Callable[[], None]:
    """One layer forward, and backward to input, weights and styles."""
    torch.manual_seed(0)
    x = torch.randn(shape.n, shape.a, shape.side, shape.side, device=device).contiguous(
        memory_format=torch.channels_last
    )
    if precision == "bf16":
        x = x.bfloat16()
    sizes = (shape.a, shape.b) if shape.up else (shape.b, shape.a)
    weight = torch.randn(*sizes, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    given = [x, weight, torch.randn(shape.n, shape.a, device=device), torch.zeros(shape.b, device=device)]
    blur = BinomialFilter(1, gain=4.0, tail=1).to(device) if shape.up else None
    for tensor in given:
        tensor.requires_grad_()

    def call() -> None:
        with torch.autocast(device, torch.bfloat16) if precision == "bf16" else nullcontext():
            y = form(*given, blur=blur)
        torch.autograd.grad(y, given, torch.ones_like(y))
        if device == "cuda":
            torch.cuda.synchronize()

    return call


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments("modulated", __doc__ or "", repeats=20)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parse(parser, argv)
    device = find_device(args.device)
    precisions = ["32", "bf16"] if fast_bf16(device) else ["32"]
    shapes = QUICK if args.quick else SHAPES
    calls = {
        f"{shape}, {p}: {name}": task(shape, form, p, device)
        for shape in shapes
        for p in precisions
        for name, form in FORMS.items()
    }
    seconds = interleave(calls, args.repeats)
    chosen = FORM[device].__name__
    (other,) = set(FORMS) - {chosen}
    cases = [f"{shape}, {p}" for shape in shapes for p in precisions]
    ratio = {case: speedup(seconds[f"{case}: {other}"], seconds[f"{case}: {chosen}"]) for case in cases}
    rows = [[c, *(1e3 * p10(seconds[f"{c}: {name}"]) for name in FORMS), ratio[c]["p10"]] for c in cases]
    table(["shape, precision", *(f"{name} ms" for name in FORMS), f"x {other}"], rows)
    mean = float(np.exp(np.mean([np.log(r["p10"]) for r in ratio.values()])))
    verdicts = [verdict(f"{chosen} on {device}, times faster than {other} (geometric mean)", mean, at_least=1.0)]
    return report(args, {"device": device, "shapes": [str(s) for s in shapes]}, seconds, {"speedup": ratio}, verdicts)


if __name__ == "__main__":
    main()
