"""Breed classes: the same noise drawn as one class, as another, and as what lies between.

Examples:
  gansmith breed runs/00001-biggan-emoji --classes cat,dog
  gansmith breed runs/00001-acgan-digits --classes 3,8 --seeds 0-7 --out breed.mp4
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith.cli.parse import parse
from gansmith.cli.steered import FILMS, Filmed, opened, target, written
from gansmith.errors import GansmithError


@dataclass
class Args(Filmed):
    """Flags of breed.

    Args:
        classes: two classes, by name or number, as 3,8.
        seeds: of the noise: seeds as 0,5-8, or numbers of a sampled grid as 0:12.
        steps: pictures from one class to the other; frames of a film.
    """

    classes: str = ""
    seeds: str = "0-7"
    steps: int | None = None


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    pair = [name.strip() for name in args.classes.split(",")]
    if len(pair) != 2 or not all(pair):
        raise GansmithError("Give two classes, by name or number: --classes cat,dog.")
    if args.label is not None:
        raise GansmithError("breed goes from class to class: leave --label out.")
    path = target(args, "breed.png")
    from gansmith.explore import points, tours
    from gansmith.explore.film import Film

    space = opened(args)
    film = path.suffix in FILMS
    steps = args.steps or (49 if film else 9)
    images = tours.breed(space, points.find(space, args.seeds, **args.codes), pair[0], pair[1], steps)
    if film:
        return written(Film(images), path, args, "breed", argv)
    names = [pair[0], *[""] * (steps - 2), pair[1]]
    return written(tours.table(images, names), path, args, "breed", argv)
