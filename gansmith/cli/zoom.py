"""Let what is shown grow: a film along the way in which its measured size rises, its class staying the same.

Examples:
  gansmith zoom runs/00000-biggan-emoji --label cat
  gansmith zoom runs/00000-stylegan2-digits --seeds 0-8 --far 2 --out zoom.mp4
  gansmith zoom runs/00000-stylegan2-digits --measure slant          along something else: see gansmith zoom --help
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gansmith.cli.parse import parse
from gansmith.cli.steered import FILMS, Filmed, opened, target, written


@dataclass
class Args(Filmed):
    """Flags of zoom.

    Args:
        seeds: the samples: seeds as 0,5-8, numbers of a sampled grid as 0:12, or files of points.
        far: how far each way, in standard deviations of what is drawn.
        steps: frames from the smallest to the largest; 9 pictures for a .png.
        measure: what rises.
        seed: of the samples that the way is learned from.
    """

    seeds: str = "0-8"
    far: float = 3.0
    steps: int = 49
    measure: Literal["size", "x", "y", "brightness", "background", "saturation", "aspect", "slant", "fullness"] = "size"
    seed: int = 0


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    path = target(args, "zoom.webp")
    import torch

    from gansmith.explore import points, tours
    from gansmith.explore.film import Film

    space = opened(args)
    found = points.find(space, args.seeds, **args.codes)
    steps = args.steps if path.suffix in FILMS else 9
    way = tours.zoom(space, found, args.far, steps, args.measure, args.seed)
    film = tours.filmed(space, way)
    if path.suffix not in FILMS:
        strengths = [f"{s:+.1f}" for s in torch.linspace(-args.far, args.far, steps).tolist()]
        return written(tours.table(film.frames, strengths), path, args, "zoom", argv)
    return written(Film(torch.cat([film.frames, film.frames[1:-1].flip(0)])), path, args, "zoom", argv)
