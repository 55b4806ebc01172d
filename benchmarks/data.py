"""Reading images: decoding a folder into the cache, opening it again, and drawing batches beside a training step.

Decoding is compared with Pillow on one thread doing the same crop and resize; the files were just written, so they come
from the system's file cache. Batches come from memory and from a mapped file, beside a step of DCGAN with the settings
that `gansmith train` chooses for such images here: what a batch costs is a share of that step.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict
from PIL import Image, ImageOps

from gansmith.auto import settle
from gansmith.data import Dataset, Stream, cache, open_data
from gansmith.engine.devices import choose_precision, launch
from gansmith.engine.game import Game
from gansmith.zoo.dcgan import DCGAN

SIDE = 64  # pixels that the files are decoded to
DRAWS = 16  # batches in one timed call, so that the caches which a step leaves cold do not count
SETTLED = 2.1  # seconds after which the cache trusts a file's time stamp


def picture(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Smooth colours with some grain: it packs about as well as a photograph."""
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    grain = rng.normal(0, 4, (height, width, 1))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))


def write_folder(folder: Path, ending: str, count: int, size: tuple[int, int]) -> int:
    """Fill a folder with pictures; their mean size in bytes."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for i in range(count):
        picture(rng, *size).save(folder / f"{i}.{ending}")
    return sum(p.stat().st_size for p in folder.iterdir()) // count


def pillow(folder: Path) -> np.ndarray:
    """The whole folder as a script would read it: one thread, cropped and resized."""
    images = []
    for path in sorted(folder.iterdir()):
        with Image.open(path) as image:
            images.append(np.asarray(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)))
    return np.stack(images)


def first_open(folder: Path, at: Path) -> None:
    """Decode into an empty cache."""
    shutil.rmtree(at, ignore_errors=True)
    open_data(folder, resolution=SIDE, cache_dir=at, progress=False)


def opening(room: Path, count: int, size: tuple[int, int], wait: float) -> tuple[dict[str, Callable[[], Any]], Any]:
    """Ways of opening folders of `count` pictures, and the mean file size by kind."""
    variants: dict[str, Callable[[], Any]] = {}
    sizes = {ending: write_folder(room / ending, ending, count, size) for ending in ("jpg", "png")}
    time.sleep(wait)
    for kind in sizes:
        folder, kept = room / kind, room / f"{kind}-kept"
        first_open(folder, kept)
        variants |= {
            f"{kind}: pillow, one thread": lambda f=folder: pillow(f),
            f"{kind}: first open": lambda f=folder, k=kind: first_open(f, room / f"{k}-new"),
            f"{kind}: cached open": lambda f=folder, k=kept: open_data(f, resolution=SIDE, cache_dir=k, progress=False),
        }
    return variants, sizes


def stored(room: Path, side: int, count: int) -> dict[str, Dataset]:
    """The same random images held in memory and mapped from disk."""
    path = room / f"{side}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8))
    memory = open_data(path, resolution=side, cache_dir=room / "arrays", progress=False)
    with patch.object(cache, "memory_limit", lambda: 0):
        mapped = open_data(path, resolution=side, cache_dir=room / "arrays", progress=False)
    assert [isinstance(data._array, np.memmap) for data in (memory, mapped)] == [False, True]
    return {"memory": memory, "mapped": mapped}


def draw(stream: Stream, batch: int) -> None:
    """What one timed call draws."""
    for _ in range(DRAWS):
        stream(batch)


def drawing(room: Path, side: int, count: int, batch: int) -> dict[str, Callable[[], Any]]:
    """Drawing a batch of images of that side, and the training step that waits for it."""
    sets = stored(room, side, count)
    streams = {where: Stream(data, seed=0) for where, data in sets.items()}
    assert torch.equal(streams["memory"](batch), streams["mapped"](batch))
    spec, device = sets["memory"].spec, torch.device("cpu")
    recipe, _ = settle(DCGAN, spec, device, {"batch": batch})
    precision, _ = choose_precision("auto", "cpu", images=True)
    cast = launch("cpu").caster(precision)
    game = Game(recipe, spec, Stream(sets["memory"], seed=0), cast=cast, channels_last=True)
    names = {f"{side} px: batch from {where}": stream for where, stream in streams.items()}
    batches = {name: lambda s=s: draw(s, batch) for name, s in names.items()}
    return batches | {f"{side} px: step of DCGAN": game.play}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(arguments("data", __doc__ or "", repeats=10), argv)
    count, batch = (12, 4) if args.quick else (300, 64)
    size = (96, 64) if args.quick else (640, 480)
    counts = {28: 40, 64: 20} if args.quick else {28: 5000, 64: 5000, 256: 1000}
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        ways, bytes_each = opening(room, count, size, wait=0.0 if args.quick else SETTLED)
        opened = interleave(ways, args.repeats, warmup=1)
        draws = {side: drawing(room, side, n, batch) for side, n in counts.items()}
        drawn = {side: interleave(calls, args.repeats) for side, calls in draws.items()}
    for part in drawn.values():
        part |= {name: [s / DRAWS for s in values] for name, values in part.items() if "batch" in name}
    seconds = opened | {name: values for part in drawn.values() for name, values in part.items()}

    rate = {name: count / p10(values) for name, values in opened.items()}
    ratio = {k: speedup(opened[f"{k.partition(':')[0]}: pillow, one thread"], opened[k]) for k in opened}
    table(["opening", "images/s", "x pillow"], [[k, rate[k], ratio[k]["p10"]] for k in opened])
    per_second = {name: 1 / p10(values) for name, values in seconds.items() if name not in opened}
    share = {
        name: p10(values) / p10(part[f"{side} px: step of DCGAN"])
        for side, part in drawn.items()
        for name, values in part.items()
        if "batch" in name
    }
    rows = [[k, v, f"{100 * share[k]:.2f}" if k in share else ""] for k, v in per_second.items()]
    table(["drawing", "per second", "% of the step"], rows)
    verdicts = [verdict(f"{k}, share of the step's time", v, at_most=0.05) for k, v in share.items()]
    settings = {"files": count, "file_pixels": size, "file_bytes": bytes_each, "batch": batch, "images": counts}
    figures = {"images_per_s": rate, "speedup": ratio, "per_s": per_second, "share_of_step": share}
    return report(args, settings, seconds, figures, verdicts)


if __name__ == "__main__":
    main()
