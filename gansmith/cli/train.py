"""Train a recipe on data, into a new run directory.

DATA is a folder of images, a zip or tar, a .npy or .npz file, or a known name such as digits or grid25:
gansmith data list shows them. What is not set is chosen from the data and the device, and printed with its
reason. Ctrl-C saves; gansmith resume goes on. Every field of the recipe is a flag too:
gansmith train RECIPE --help lists them.

Examples:
  gansmith train r3gan --data digits --minutes 2
  gansmith train r3gan --data ~/photos --resolution 64 --samples 2M
  gansmith train dcgan --data faces.zip --resolution 64 --batch 128 --out runs/faces
  gansmith train r3gan --data ~/photos --dry-run
  gansmith train dcgan --data digits --evaluate-every 20k --patience 200k
  gansmith train ./mygan.py --data grid25 --seed 1
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gansmith import recipes
from gansmith.cli.parse import Flag, flags, parse_groups, split_word
from gansmith.errors import GansmithError

if TYPE_CHECKING:
    from gansmith.core import Recipe


@dataclass
class Args:
    """The flags that every recipe has.

    Args:
        data: what to learn: a folder, an archive, an array file or a known name (required).
        out: the run directory itself; by default a new numbered one under runs/.
        seed: of everything that is drawn at random.
        samples: how many real samples to show before stopping, as 500000, 500k or 2M.
        minutes: stop after this time; with samples too, whichever comes first.
        batch: real samples a move, over all processes together.
        preset: one of the recipe's presets; gansmith describe RECIPE lists them.
        resolution: side of the square images, in pixels; by default chosen from the data.
        fit: how an image that is not square becomes square; or window, to draw random windows of images as they are.
        background: colour behind transparent images.
        channels: 1 for grey, 3 for colour; by default as the data are.
        labels: take subfolders as classes, or the column of a CSV or a JSON file, or one of a known name's labels.
        captions: take the .txt beside each image as its captions, or the column of a CSV or a JSON file.
        pairs: whether A and B in the data are pairs, true or false; by default as their names match.
        side_by_side: each picture holds two images, A and B from left to right, or the other way round.
        degrade: make pairs of single images by a degradation, as "downscale 4".
        device: auto, cpu, cuda or mps.
        devices: processes on this machine, one for each device.
        nodes: machines, when torchrun or SLURM starts gansmith on each.
        precision: of the arithmetic; auto takes bf16 where the hardware is faster at it.
        deterministic: only operations that give the same bits every time.
        tick: real samples between two reports with sample grids and checkpoints.
        evaluate_every: score the generator each so many real samples and keep the best checkpoint.
        patience: stop when the score has not improved beyond its noise for so many real samples.
        score: what is scored: Frechet or kernel distance to the data.
        extractor: features that the score compares; auto, judge, efficientnet_lite0, pixels, inception_2015, ...
        evaluate_samples: generated samples for each score.
        act: let the doctor apply its first prescription, from the last checkpoint that was well.
        dry_run: tell the settings and how long it would take here, and write nothing.
        quiet: print nothing but errors.
    """

    data: str = ""
    out: str | None = None
    seed: int = 0
    samples: int | None = None
    minutes: float | None = None
    batch: int | None = None
    preset: str | None = None
    resolution: int | None = None
    fit: Literal["crop", "pad", "squeeze", "window"] = "crop"
    background: str = "white"
    channels: int | None = None
    labels: bool | str | None = None
    captions: bool | str | None = None
    pairs: bool | None = None
    side_by_side: Literal["AB", "BA"] | None = None
    degrade: str | None = None
    device: str = "auto"
    devices: int = 1
    nodes: int = 1
    precision: Literal["auto", "32", "bf16"] = "auto"
    deterministic: bool = False
    tick: int | None = None
    evaluate_every: int | None = None
    patience: int | None = None
    score: Literal["fd", "kid"] = "fd"
    extractor: str = "auto"
    evaluate_samples: int = 2000
    act: bool = False
    dry_run: bool = False
    quiet: bool = False


SHARED = {"samples", "batch"}
"""Fields of every recipe that are among the common flags."""


def run(argv: list[str]) -> int:
    common = flags(Args)
    name, rest = split_word(argv, common)
    if name is None:
        parse_groups({"": common}, rest, __name__, "train RECIPE")
        raise GansmithError(
            "train needs a recipe: gansmith train RECIPE --data DATA (gansmith list shows the recipes)."
        )
    recipe = recipes.find(name)
    groups = {"": common, Path(name).stem: _own_fields(recipe, common)}
    given = parse_groups(groups, rest, __name__, f"train {name}")
    if not given.get("data"):
        raise GansmithError(
            f"train needs data: gansmith train {name} --data DATA (a folder of images, or digits to try it)."
        )
    from gansmith import api

    if given.pop("dry_run", False):
        api.plan(name, **given)
        return 0
    return exit_code(api.train(name, **given).how)


def exit_code(how: str) -> int:
    """0 for a training that reached its end; for one that a signal stopped, what a shell expects: 128 + its number.

    >>> exit_code("done"), exit_code("SIGINT"), exit_code("SIGTERM")
    (0, 130, 143)
    """
    return {"done": 0, "SIGTERM": 128 + signal.SIGTERM}.get(how, 128 + signal.SIGINT)


def _own_fields(recipe: type[Recipe], common: list[Flag]) -> list[Flag]:
    own = [flag for flag in flags(recipe) if flag.name not in SHARED]
    for flag in own:
        if flag.name in {c.name for c in common}:
            raise GansmithError(
                f"{recipe.__name__} has a field {flag.name}, which is a flag of train: rename the field."
            )
    return own
