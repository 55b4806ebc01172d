"""Mix the layers of two samples: what the coarse ones decide from one, what the fine ones decide from another.

A table: each image has the layers named from the sample above it, and the others from the sample at its left. Works
where layers read parts of their own: styles (stylegan, stylegan2), or chunks of the noise (biggan).

Examples:
  gansmith mix runs/00000-stylegan2-emoji                            coarse layers from above
  gansmith mix runs/00000-stylegan2-emoji --layers fine --rows 0-3 --columns 10-15
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith.cli.parse import parse
from gansmith.cli.steered import Steered, opened, target, written


@dataclass
class Args(Steered):
    """Flags of mix.

    Args:
        rows: samples at the left: seeds as 0,5-8, numbers of a sampled grid as 0:12, or files of points.
        columns: samples at the top.
        layers: taken from the columns: as 0-3, 4-, "0,2", coarse, middle, fine.
    """

    rows: str = "0-5"
    columns: str = "6-11"
    layers: str = "coarse"


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    path = target(args, "mix.png", (".png",))
    from gansmith.explore import mixing, points

    space = opened(args)
    rows, columns = (points.find(space, names, **args.codes) for names in (args.rows, args.columns))
    return written(mixing.mix(space, rows, columns, args.layers), path, args, "mix", argv)
