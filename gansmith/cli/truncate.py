"""Show what truncation does: the same samples, nearer and nearer to the mean.

Examples:
  gansmith truncate runs/00000-stylegan2-digits                      eight samples at seven values of psi
  gansmith truncate runs/00000-biggan-digits --psis 0,0.25,0.5,1 --label 3
  gansmith truncate runs/00000-stylegan2-digits --psis -1,-0.5,0,0.5,1,1.5 --layers coarse
  gansmith truncate runs/00000-stylegan2-digits --out truncate.mp4   as a film, in and out
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith.cli.parse import parse
from gansmith.cli.steered import FILMS, Filmed, opened, target, written
from gansmith.errors import GansmithError


@dataclass
class Args(Filmed):
    """Flags of truncate.

    Args:
        seeds: the samples: seeds as 0,5-8, numbers of a sampled grid as 0:12, or files of points.
        psis: the values: 0 = the mean alone, 1 = no truncation.
        layers: only these are truncated, where the model has layers: as 0-3, 4-, coarse, middle, fine.
        steps: frames of a film from one value to the next.
    """

    seeds: str = "0-7"
    psis: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.7, 0.85, 1.0)
    layers: str | None = None
    steps: int = 8


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    if args.psi != 1:
        raise GansmithError("--psi truncates the points themselves: leave it out and give --psis.")
    path = target(args, "truncate.png")
    from gansmith.explore import points, tours
    from gansmith.explore.film import Film
    from gansmith.explore.paths import dense

    space = opened(args)
    found = points.find(space, args.seeds, **args.codes)
    if path.suffix in FILMS:
        there = dense(args.psis, args.steps)
        frames = tours.truncate(space, found, [*there, *reversed(there[1:-1])], args.layers)
        return written(Film(frames), path, args, "truncate", argv)
    images = tours.truncate(space, found, args.psis, args.layers)
    sheet = tours.table(images, [f"{psi:g}" for psi in args.psis])
    return written(sheet, path, args, "truncate", argv)
