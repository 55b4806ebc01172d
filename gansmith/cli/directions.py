"""Find directions that change one thing in every image, name them, and move samples along them.

What is found is measured (what follows it, and how much), shown in a picture, and kept in RUN/directions/, each as
NAME.safetensors and NAME.json.

Examples:
  gansmith directions runs/00000-stylegan2-digits                    the ten that vary most (principal components)
  gansmith directions runs/00000-stylegan2-digits --find sefa --layers coarse
  gansmith directions runs/00000-dcgan-digits --find slant           what raises something that can be measured
  gansmith directions RUN --find hat --yes 0:3,0:17,0:40 --no 0:5,0:9,0:12 --without pca-0
  gansmith directions RUN --list                                     what there is
  gansmith directions RUN --apply pca-3 --seeds 0-7 --far 2 --out film.mp4
  gansmith directions RUN --apply pca-3 --rename width
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gansmith.cli.parse import parse
from gansmith.cli.steered import FILMS, Filmed, opened, target, told, written
from gansmith.errors import GansmithError

if TYPE_CHECKING:
    from gansmith.explore.directions import Direction
    from gansmith.explore.space import Space


@dataclass
class Args(Filmed):
    """Flags of directions.

    Args:
        find: pca (what varies most), sefa (what the first weights let through), the name of a measure (size, slant, x,
            ...), or with --yes and --no a name for what the examples show.
        count: how many pca and sefa find.
        layers: layers that a direction is found for and moves: as 0-3, 4-, coarse, middle, fine.
        yes: examples with it: numbers of a sampled grid as 0:12, seeds, or files of points.
        no: examples without it.
        without: directions whose change is to be taken out of those that are found, as pca-0,size.
        list: say what there is.
        apply: move samples along this direction.
        rename: give the direction of --apply another name, and nothing else.
        seeds: samples that are shown.
        far: how far each way they are moved, in standard deviations of what is drawn.
        steps: pictures of each, or frames of a film.
        seed: of the samples that are looked at to find and to measure.
    """

    find: str = "pca"
    count: int = 10
    layers: str | None = None
    yes: str | None = None
    no: str | None = None
    without: str | None = None
    list: bool = False
    apply: str | None = None
    rename: str | None = None
    seeds: str = "0"
    far: float = 3.0
    steps: int | None = None
    seed: int = 0


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    folder = Path(args.run) / "directions"
    if args.list:
        return listed(opened(args), folder)
    if args.rename:
        return renamed(args, folder)
    if (args.yes is None) != (args.no is None):
        raise GansmithError("Give examples of both kinds: --yes 0:3,0:17 --no 0:5,0:9.")
    path = target(args, f"{args.apply or args.find}.png")
    space = opened(args)
    if args.apply:
        return applied(args, space, folder, path, argv)
    return found(args, space, folder, path, argv)


def found(args: Args, space: Space, folder: Path, path: Path, argv: list[str]) -> int:
    """Find, measure, keep and show directions."""
    from gansmith.explore import directions

    got = search(args, space, folder)
    print(f"Measuring what {len(got)} direction{'s' * (len(got) > 1)} change ...", flush=True)
    scored = directions.score(space, got, seed=args.seed)
    for direction in scored:
        directions.save(space, direction, folder, told("directions", argv))
        print(f"{direction.name:12} {direction.about}")
    print(f"They are in {folder}. Move along one: gansmith directions {args.run} --apply {scored[0].name}")
    return shown(args, space, scored, path, argv)


def search(args: Args, space: Space, folder: Path) -> list[Direction]:
    """What --find means."""
    from gansmith.explore import directions, finding, points

    if args.count < 1:
        raise GansmithError(f"--count {args.count}: give at least 1.")
    if args.yes is not None and args.no is not None:
        yes, no = (points.find(space, names, **args.codes) for names in (args.yes, args.no))
        got = [finding.from_examples(space, args.find, yes, no, args.layers)]
    elif args.find == "pca":
        got = [replace(d, layers=args.layers) for d in finding.pca(space, args.count, args.seed)]
    elif args.find == "sefa":
        got = finding.sefa(space, args.count, args.layers, args.seed)
    else:
        got = [finding.from_measure(space, args.find, seed=args.seed, layers=args.layers)]
    if args.without:
        others = [directions.load(space, name.strip(), folder) for name in args.without.split(",")]
        got = [directions.without(direction, others, space.unit) for direction in got]
    return got


def shown(args: Args, space: Space, got: list[Direction], path: Path, argv: list[str]) -> int:
    """A picture: a row for each direction and sample, the strength to the right; or a film of all of them."""
    import torch

    from gansmith.explore import directions, points
    from gansmith.explore.film import Film
    from gansmith.explore.sheet import Sheet

    film = path.suffix in FILMS
    steps = args.steps or (49 if film else 7)
    if steps < 2 or not 0 < args.far <= 50:
        raise GansmithError(f"--steps {steps} --far {args.far}: give at least 2, and above 0 to 50.")
    start = points.find(space, args.seeds, **args.codes)
    at = torch.linspace(-args.far, args.far, steps).tolist()
    moved = [torch.stack([space.images(directions.move(space, start, d, s)) for s in at]) for d in got]
    frames = torch.cat(moved, 1)  # (strengths, directions * samples, C, H, W)
    if film:
        return written(Film(torch.cat([frames, frames[1:-1].flip(0)])), path, args, "directions", argv)
    names = [d.name if i == 0 else "" for d in got for i in range(len(start))]
    sheet = Sheet(frames.transpose(0, 1).flatten(0, 1), steps, tuple(f"{s:+.1f}" for s in at), tuple(names))
    return written(sheet, path, args, "directions", argv)


def applied(args: Args, space: Space, folder: Path, path: Path, argv: list[str]) -> int:
    """Move samples along a direction that is there."""
    from gansmith.explore import directions

    direction = directions.load(space, str(args.apply), folder)
    return shown(args, space, [replace(direction, layers=args.layers or direction.layers)], path, argv)


def renamed(args: Args, folder: Path) -> int:
    """Give a direction another name."""
    from gansmith.explore import directions

    if not args.apply:
        raise GansmithError("--rename needs --apply: say which direction gets the name.")
    space = opened(args)
    direction = directions.load(space, args.apply, folder)
    if args.rename in directions.names(folder):
        raise GansmithError(f"{folder} has a direction {args.rename}: choose another name.")
    path = directions.save(space, replace(direction, name=str(args.rename)), folder)
    directions.remove(args.apply, folder)
    print(f"{args.apply} is now {path}")
    return 0


def listed(space: Space, folder: Path) -> int:
    """Say what directions there are, and what they change."""
    from gansmith.explore import directions

    for name in directions.names(folder):
        direction = directions.load(space, name, folder)
        print(f"{name:12} {direction.about} ({direction.how})")
    if not directions.names(folder):
        print(f"There are none in {folder} yet: gansmith directions RUN finds some.")
    return 0
