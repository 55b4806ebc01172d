"""Walk through what a model can draw, from one sample to the next, as a film.

Examples:
  gansmith walk runs/00000-stylegan2-digits                          through seeds 0 to 5 and back, walk.webp of the run
  gansmith walk runs/00000-stylegan2-digits --seeds 3,17,42 --out walk.mp4
  gansmith walk runs/00000-dcgan-digits --seeds 0-15 --tracks 4      four walks side by side
  gansmith walk runs/00000-r3gan-digits --seeds 0:12,0:31 --open --out strip.png
  gansmith walk runs/00001-acgan-digits --label 3 --seeds 0-7        one class
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gansmith.cli.parse import parse
from gansmith.cli.steered import Filmed, opened, target, written


@dataclass
class Args(Filmed):
    """Flags of walk.

    Args:
        seeds: the stops: seeds as 0,5-8, numbers of a sampled grid as 0:12 (number 12 of `gansmith sample --seed 0`),
            or .safetensors files of points.
        steps: frames from one stop to the next.
        open: end at the last stop instead of going back to the first.
        tracks: so many walks side by side; the stops are dealt out to them in turn.
        way: from stop to stop: straight (lerp), along the sphere (slerp), or as the space wants it.
    """

    seeds: str = "0-5"
    steps: int = 24
    open: bool = False
    tracks: int = 1
    way: Literal["auto", "lerp", "slerp"] = "auto"


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    path = target(args, "walk.webp")
    from gansmith.explore import points, tours

    space = opened(args)
    stops = points.find(space, args.seeds, **args.codes)
    shown = tours.walk(space, stops, args.steps, not args.open, args.tracks, args.way)
    return written(shown, path, args, "walk", argv)
