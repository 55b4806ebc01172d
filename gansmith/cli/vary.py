"""Keep some of a sample and draw the rest anew: the same object before other backgrounds, or the reverse.

The sample itself comes first. Works where layers read parts of their own: styles (stylegan, stylegan2), or chunks of
the noise (biggan); labels and codes stay.

Examples:
  gansmith vary runs/00000-biggan-emoji --seeds 7                    keeps the coarse layers: the object
  gansmith vary runs/00000-stylegan2-emoji --seeds 7 --keep fine     the reverse
  gansmith vary runs/00000-biggan-emoji --seeds 7 --choose 200         the 15 of 200 whose object changes least
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith.cli.parse import parse
from gansmith.cli.steered import FILMS, Filmed, opened, target, written
from gansmith.errors import GansmithError


@dataclass
class Args(Filmed):
    """Flags of vary.

    Args:
        seeds: the sample: a seed as 7, the number of a sampled grid as 0:12, or a file of one point.
        keep: layers that stay: as 0-3, 4-, coarse, middle, fine.
        n: images, the sample itself and so many less one others.
        seed: of what is drawn anew.
        choose: draw so many, and take those in which the sample's foreground changes least.
        steps: frames of a film from one to the next.
    """

    seeds: str = "0"
    keep: str = "coarse"
    n: int = 16
    seed: int = 1
    choose: int | None = None
    steps: int = 12


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    if args.n < 2 or (args.choose or args.n) < args.n - 1:
        raise GansmithError(f"-n {args.n} --choose {args.choose}: give at least 2, and choose from at least as many.")
    path = target(args, "vary.png")
    import torch

    from gansmith.explore import mixing, points, tours
    from gansmith.explore.sheet import Sheet

    space = opened(args)
    point = points.find(space, args.seeds, **args.codes)
    if len(point) != 1:
        raise GansmithError(f"--seeds {args.seeds} are {len(point)} samples: give one.")
    found = mixing.vary(space, point, args.keep, args.choose or args.n - 1, args.seed)
    if args.choose:
        found = mixing.steadiest(space, point, found, args.n - 1)
    shown = torch.cat([point, found])
    if path.suffix in FILMS:
        return written(tours.walk(space, shown, args.steps, loop=True), path, args, "vary", argv)
    return written(Sheet(space.images(shown), round(len(shown) ** 0.5)), path, args, "vary", argv)
