"""Add what some samples have and others have not: smiling woman - woman + man = smiling man.

Look for examples with `gansmith sample RUN -n 64 --numbers`. Three of each kind are far steadier than one.

Examples:
  gansmith arithmetic RUN --plus 0:3,0:17,0:40 --minus 0:5,0:9,0:12 --to 0:7,0:8,0:22
  gansmith arithmetic RUN --plus 0:3,0:17,0:40 --minus 0:5,0:9,0:12 --to 0:7 --save sum.safetensors
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gansmith.cli.parse import parse
from gansmith.cli.steered import Steered, opened, target, told, written
from gansmith.errors import GansmithError

if TYPE_CHECKING:
    from torch import Tensor

KINDS = ("plus", "minus", "to")


@dataclass
class Args(Steered):
    """Flags of arithmetic.

    Args:
        plus: samples with it: numbers of a sampled grid as 0:12, seeds as 5, or files of points.
        minus: samples without it.
        to: samples that it is added to.
        n: images around the sum, which stands in the middle.
        around: half width of the noise that makes them, in standard deviations.
        seed: of that noise.
        save: a .safetensors file for the sum.
    """

    plus: str = ""
    minus: str = ""
    to: str = ""
    n: int = 9
    around: float = 0.25
    seed: int = 0
    save: str | None = None


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    for kind in KINDS:
        if not getattr(args, kind):
            raise GansmithError(f"--{kind} is missing: give the numbers of samples, as --{kind} 0:3,0:17,0:40.")
    path = target(args, "arithmetic.png", (".png",))
    import torch

    from gansmith.explore import mixing, points
    from gansmith.explore.sheet import Sheet

    space = opened(args)
    groups = [points.find(space, getattr(args, kind), **args.codes) for kind in KINDS]
    total = mixing.arithmetic(*groups)
    if args.save:
        points.save(space, total, args.save, told=told("arithmetic", argv))
    found = space.images(mixing.around(space, total, args.n, args.around, args.seed))
    columns = max(*(len(group) for group in groups), round(len(found) ** 0.5))
    shown = [padded(space.images(group), columns) for group in groups]
    around = found.split(max(1, round(len(found) ** 0.5)))
    sheet = Sheet(
        torch.cat([*shown, *(padded(part, columns) for part in around)]),
        columns,
        row_names=("+", "-", "+", "=", *[""] * (len(around) - 1)),
    )
    return written(sheet, path, args, "arithmetic", argv)


def padded(images: Tensor, columns: int) -> Tensor:
    """A row of images (N, C, H, W) with blanks behind."""
    import torch

    blank = torch.full((columns - len(images), *images.shape[1:]), torch.nan)
    return torch.cat([images, blank])
