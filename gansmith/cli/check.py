"""Check data before training: count, sizes, classes, and by name what is corrupt, flat, double or too small.

Examples:
  gansmith check ~/photos
  gansmith check ~/photos --resolution 64 --labels --recipe r3gan
  gansmith check ~/photos --labels breeds.csv --captions captions.csv
  gansmith check ~/sketches --recipe pix2pix    subfolders A and B: which names lack a partner
  gansmith check faces.zip --json
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gansmith import recipes
from gansmith.cli.parse import parse
from gansmith.errors import GansmithError


@dataclass
class Args:
    """Flags of check.

    Args:
        data: a folder of images, a zip or tar, a .npy or .npz file, or a known name such as digits.
        recipe: also say whether this recipe can learn them.
        resolution: side of the square images, in pixels; by default chosen from the data.
        fit: how an image that is not square becomes square; or window, to draw random windows of images as they are.
        background: colour behind transparent images.
        channels: 1 for grey, 3 for colour; by default as the data are.
        labels: take subfolders as classes, or the column of a CSV or a JSON file, or one of a known name's labels.
        captions: take the .txt beside each image as its captions, or the column of a CSV or a JSON file.
        pairs: whether A and B in the data are pairs, true or false; by default as their names match.
        side_by_side: each picture holds two images, A and B from left to right, or the other way round.
        degrade: make pairs of single images by a degradation, as "downscale 4".
        json: print JSON, for programs.
    """

    data: str
    recipe: str | None = None
    resolution: int | None = None
    fit: Literal["crop", "pad", "squeeze", "window"] = "crop"
    background: str = "white"
    channels: int | None = None
    labels: bool | str | None = None
    captions: bool | str | None = None
    pairs: bool | None = None
    side_by_side: Literal["AB", "BA"] | None = None
    degrade: str | None = None
    json: bool = False


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    options = asdict(args)
    data, name, as_json = options.pop("data"), options.pop("recipe"), options.pop("json")
    recipe = recipes.find(name) if name else None
    from gansmith.data import check_data

    report = check_data(data, **options)
    errors = list(report.errors)
    if recipe and not errors:
        errors += _refusal(recipe, data, options)
    if as_json:
        print(json.dumps(asdict(report) | {"errors": errors}, indent=2, ensure_ascii=False))
    else:
        print(*report.lines(), *(f"error: {error}" for error in errors if error not in report.errors), sep="\n")
    return 2 if errors else 0


def _refusal(recipe: Any, data: str, options: dict[str, Any]) -> list[str]:
    """Why the recipe cannot learn these data, or nothing."""
    from gansmith.data import open_data, suited

    try:
        recipe().check(suited(open_data(data, **options), recipe.kinds).spec)
    except GansmithError as error:
        return [str(error)]
    return []
