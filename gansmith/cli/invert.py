"""Bring real pictures into a model: find the points whose images are nearest to them.

The result is a file of points, which walk, arithmetic, mix, vary and directions take like samples. Pictures that lie
outside what the model can draw are named.

Examples:
  gansmith invert runs/00000-stylegan2-faces me.jpg                  invert.png and invert.safetensors of the run
  gansmith invert RUN me.jpg you.jpg --out progress.mp4 --save both.safetensors
  gansmith invert RUN ~/photos --most 8                              the first pictures of a folder
  gansmith walk RUN --seeds both.safetensors                         from one to the other
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansmith.cli.parse import parse
from gansmith.cli.steered import FILMS, Filmed, opened, target, told, written
from gansmith.errors import GansmithError

if TYPE_CHECKING:
    from torch import Tensor

    from gansmith.core import DataSpec
    from gansmith.engine.display import Display
    from gansmith.explore.film import Film
    from gansmith.explore.inversion import Found
    from gansmith.explore.reach import Range
    from gansmith.explore.sheet import Sheet
    from gansmith.explore.space import Space

FRAMES = 75  # of a film of the search


@dataclass(kw_only=True)
class Args(Filmed):
    """Flags of invert.

    Args:
        pictures: image files, or one folder of them.
        most: pictures of a folder.
        fit: how pictures become square: crop, pad or squeeze.
        steps: looks at each picture; more are better.
        starts: samples nearest to a picture from which the search begins.
        distance: what is made small: D (pixels and the discriminator's layers), pixels, or pixels and the features of
            an extractor, as efficientnet_lite0.
        each_layer: a style of its own for each layer (W+), in models with styles: nearer to the picture, and farther
            from what can be edited well.
        encoder: train a network that guesses points on so many batches of the model's own samples first, for one more
            start.
        save: the file of points.
        quick: do not look whether the pictures lie outside what the model can draw, which inverts 40 of its own
            samples the first time.
        seed: of the search.
    """

    pictures: tuple[str, ...]
    most: int = 16
    fit: str = "crop"
    steps: int = 300
    starts: int = 4
    distance: str = "D"
    each_layer: bool = False
    encoder: int = 0
    save: str | None = None
    quick: bool = False
    seed: int = 0


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    if not args.pictures:
        raise GansmithError("Say which pictures: gansmith invert RUN me.jpg, or a folder of them.")
    path = target(args, "invert.png")
    from gansmith.engine.display import Bar, Lines
    from gansmith.explore import points

    space = opened(args)
    pictures, names = read(args, space.model.spec)
    shown = Bar() if sys.stderr.isatty() else Lines()
    try:
        settings = how(args, space, shown)
        known = None if args.quick else reach(args, space, settings, shown)
        found = inverted(args, space, pictures, settings, path.suffix in FILMS, shown)
    finally:
        shown.close()
    file = points.save(space, found.points, args.save or Path(args.run) / "invert.safetensors", told("invert", argv))
    warned = verdicts(known, found)
    for name, value, word in zip(names, found.psnr.tolist(), warned, strict=True):
        print(f"{name}: {value:.1f} dB{word}")
    print(f"Points in {file}: gansmith walk {args.run} --seeds {file}")
    return written(picture(found, pictures, names, path.suffix in FILMS), path, args, "invert", argv)


def read(args: Args, spec: DataSpec) -> tuple[Tensor, list[str]]:
    """The pictures (N, C, H, W) as the model's data were read, and their names."""
    import numpy as np
    import torch

    from gansmith.data import Images, open_data
    from gansmith.data.decode import FITS, Look, decode, reason

    channels, side = spec.shape[:2]
    if args.fit not in FITS:
        raise GansmithError(f'--fit "{args.fit}": give one of {", ".join(FITS)}.')
    first = Path(args.pictures[0]).expanduser()
    if len(args.pictures) == 1 and not first.is_file():
        data = open_data(args.pictures[0], resolution=side, channels=channels, fit=args.fit)
        if not isinstance(data, Images) or args.most < 1:
            raise GansmithError(f"{first}: give image files, or a folder of images, and --most of at least 1.")
        rows = np.arange(min(args.most, data.spec.count))
        return data.fetch(rows, ("x",))[0], [f"image {row}" for row in rows]
    look, found = Look(side, args.fit, (255, 255, 255), channels), []
    for name in args.pictures:
        try:
            found.append(decode(Path(name).expanduser().read_bytes(), look))
        except Exception as error:  # what a damaged file raises depends on its format
            raise GansmithError(f"{name} cannot be used: {reason(error)}. Give image files, or one folder.") from None
    pixels = torch.from_numpy(np.stack(found)).permute(0, 3, 1, 2)
    return pixels / 127.5 - 1, [Path(name).name for name in args.pictures]


def how(args: Args, space: Space, shown: Display) -> dict[str, Any]:
    """The settings of the search, with an extractor or a trained encoder where they are asked for."""
    from gansmith.explore.encoder import train_encoder

    distance: Any = args.distance
    if distance not in ("D", "pixels"):
        from gansmith.evaluation.features import find

        distance = find(distance, None, args.device)
    encoder = None
    if args.encoder:

        def tell(step: int, steps: int, loss: float) -> None:
            shown.update(step / steps, f"training the encoder, error {loss:.2f} (1 = as good as none)")

        encoder = train_encoder(space, args.encoder, args.seed, tell)
    common = {"steps": args.steps, "starts": args.starts, "each_layer": args.each_layer}
    return {**common, "distance": distance, "encoder": encoder, **args.codes}


def reach(args: Args, space: Space, settings: dict[str, Any], shown: Display) -> Range:
    """How well the model's own samples are found again: kept in the run for the next time."""
    from gansmith.explore.reach import calibrated

    def tell(step: int, steps: int, now: dict[str, Any]) -> None:
        shown.update(step / steps, "inverting 40 of the model's own samples, to know its range")

    return calibrated(space, Path(args.run) / "inversion", seed=args.seed, on_step=tell, **settings)


def inverted(args: Args, space: Space, pictures: Tensor, settings: dict[str, Any], film: bool, shown: Display) -> Found:
    """The search, with its progress; Ctrl-C takes what is best so far."""
    from gansmith.explore.inversion import invert

    def tell(step: int, steps: int, now: dict[str, Any]) -> None:
        distance = f", distance {float(now['distance'].mean()):.3f}" if now else ""
        shown.update(step / steps, f"inverting{distance}")

    frames = max(1, args.steps // FRAMES) if film else 0
    return invert(space, pictures, seed=args.seed, frames=frames, on_step=tell, **settings)


def verdicts(known: Range | None, found: Found) -> list[str]:
    """For each picture what is to be said of its being outside; nothing when the search was stopped early."""
    from gansmith.explore.reach import outside

    if known is None or found.steps < found.settings["steps"]:
        return [""] * len(found.psnr)
    words = "  outside this model's range: hardly a sample of its own is found again so badly"
    return [words if out else "" for out in outside(known, found).tolist()]


def picture(found: Found, pictures: Tensor, names: list[str], film: bool) -> Film | Sheet:
    """The pictures above what was found for them; or a film of the search."""
    import torch

    from gansmith.explore.film import Film
    from gansmith.explore.sheet import Sheet

    if film:
        assert found.frames is not None
        both = torch.cat([pictures.expand(len(found.frames), *pictures.shape), found.frames], 1)
        return Film(both, len(pictures))
    words = tuple(f"{name} {value:.1f} dB" for name, value in zip(names, found.psnr.tolist(), strict=True))
    return Sheet(torch.cat([pictures, found.images]), len(pictures), words, ("picture", "found"))
