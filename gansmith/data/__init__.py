"""Data sets: known by name, the user's own images, and the stream that training draws from.

>>> open_data("grid25").spec.shape
(2,)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gansmith.data import idx
from gansmith.data.arrays import from_array, npy, npz
from gansmith.data.check import Report
from gansmith.data.decode import WINDOW
from gansmith.data.degrade import parse
from gansmith.data.images import Images, open_images
from gansmith.data.named import NAMED, is_named, open_named
from gansmith.data.names import is_image, show
from gansmith.data.pairs import Domains, Pairs, open_degraded
from gansmith.data.partners import open_sides
from gansmith.data.points import POINTS, Points
from gansmith.data.prepare import Choice, options
from gansmith.data.sides import Sides, cut, find_sides, from_table
from gansmith.data.sources import TAR_SUFFIXES, Source, folder, shards, tar_files, tar_folder, zip_file
from gansmith.data.stream import Stream
from gansmith.errors import GansmithError, did_you_mean

__all__ = ["KNOWN", "Dataset", "Domains", "Images", "Pairs", "Points", "Report", "Stream"]
__all__ += ["check_data", "open_data", "suited"]

KNOWN = (*POINTS, *NAMED)
"""Names that `open_data` knows."""

Dataset = Images | Points | Pairs | Domains
"""All have `spec`, `fingerprint`, `info`, `report` and `held_out`; images are fetched, points are drawn."""

ORDERS = ("AB", "BA")
"""Of two images in one picture, from left to right."""


def open_data(
    source: str | os.PathLike[str] | np.ndarray,
    *,
    resolution: int | None = None,
    fit: str = "crop",
    background: str = "white",
    channels: int | None = None,
    labels: Choice = None,
    captions: Choice = None,
    pairs: bool | None = None,
    side_by_side: str | None = None,
    degrade: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Dataset:
    """Open a data set for training; images are decoded once and then come from the cache.

    Args:
        source: a known name (`KNOWN`); a folder, searched through; a zip or tar file; .npy or .npz; a folder with IDX
            files; WebDataset shards, as `shard-{000..010}.tar` or a folder of them; or a numpy array of images. A
            folder or archive whose images lie in subfolders A and B (or trainA and trainB, with testA and testB for
            the held-out part) holds pairs where names match, else two domains; a .csv file with columns a and b, pairs.
        resolution: side of the square images, pixels; None = the largest power of two up to the median short side,
            8 to 64, or 28 for sets like MNIST.
        fit: how other shapes become square: "crop", "pad" or "squeeze"; or "window": images keep their size, and each
            draw takes a random window of `resolution` x `resolution`, of B as many times larger as B itself is.
        background: colour name or #rrggbb, behind transparent pixels and beside padded images.
        channels: 1 or 3; None = 1 when every image is grey.
        labels: True = by a dataset.json, labels.csv or metadata.csv that lies with the images, else the subfolders'
            names; or a CSV or JSON file, as "labels.csv", or with the column's name, "labels.csv:breed"; for a known
            name one of its labels, as "font" of letters. Labels that a source carries itself are always there.
        captions: True = a .txt file beside each image, a caption on each line; or a CSV or JSON file, as for labels.
            Captions that a known name carries itself are always there.
        pairs: True = A and B must be pairs; False = they are two domains, whatever their names are.
        side_by_side: every picture holds two images, "AB" or "BA" from left to right.
        degrade: make pairs of single images, which are B: A is drawn anew each time, as "downscale 4".
        cache_dir: where decoded images are kept; None = $GANSMITH_CACHE or the platform's cache folder.
        progress: show it on standard error.

    Raises:
        GansmithError: there is nothing usable at `source`, or an option is out of range.
    """
    data = _open(
        *(source, resolution, fit, background, channels, labels, captions),
        *(pairs, side_by_side, degrade, cache_dir, progress),
    )
    if data.report.errors:
        raise GansmithError(data.report.errors[0])
    return data


def check_data(
    source: str | os.PathLike[str] | np.ndarray,
    *,
    resolution: int | None = None,
    fit: str = "crop",
    background: str = "white",
    channels: int | None = None,
    labels: Choice = None,
    captions: Choice = None,
    pairs: bool | None = None,
    side_by_side: str | None = None,
    degrade: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Report:
    """The data check, with the arguments of `open_data`; what it decodes, a training need not decode again.

    Raises:
        GansmithError: there is nothing usable at `source`, or an option is out of range. What else would stop a
            training is among the report's errors.
    """
    return _open(
        *(source, resolution, fit, background, channels, labels, captions),
        *(pairs, side_by_side, degrade, cache_dir, progress),
    ).report


def _open(
    source: str | os.PathLike[str] | np.ndarray,
    resolution: int | None,
    fit: str,
    background: str,
    channels: int | None,
    labels: Choice,
    captions: Choice,
    pairs: bool | None,
    side_by_side: str | None,
    degrade: str | None,
    cache_dir: str | os.PathLike[str] | None,
    progress: bool,
) -> Dataset:
    asked = _asked(pairs, side_by_side, degrade)
    if isinstance(source, str) and source in POINTS:
        if resolution is not None or channels is not None or labels or captions or asked or fit == WINDOW:
            raise GansmithError(
                f"{source} holds points: resolution, channels, windows, pairs, labels and captions are for images, "
                f"leave them out."
            )
        options(resolution, fit, background, channels)
        return POINTS[source]()
    table, cache = _table(source), None if cache_dir is None else Path(cache_dir)
    asked += ["a table of pairs"] * (table is not None)
    if asked and (labels or captions):
        raise GansmithError(f"Labels and captions have no use with {asked[0]}: leave out one or the other.")
    if table and asked[0] in ("side_by_side", "degrade"):
        raise GansmithError(f'"{show(str(table))}" lists pairs, but {asked[0]} is for single images: leave it out.')
    if table:
        return open_sides(from_table(table), options(resolution, fit, background, channels), pairs, cache, progress)
    found, labels = _chosen(source, labels)
    wanted = options(resolution, fit, background, channels, labels, captions)
    made = None if degrade is None else parse(degrade)
    sides: Sides | None = None
    if side_by_side is not None:
        sides = cut(found, side_by_side)
    elif not (labels or captions):
        sides = find_sides(found, pairs is not None and made is None)
    if sides and made:
        raise GansmithError(
            f'"{sides.title}" has two sides already, and degrade makes pairs of single images: leave it out, or give '
            f"the images of one side by themselves."
        )
    if sides:
        return open_sides(sides, wanted, pairs, cache, progress)
    images = open_images(found, wanted, cache, progress)
    return images if made is None else open_degraded(images, made, pairs)


def _asked(pairs: bool | None, side_by_side: str | None, degrade: str | None) -> list[str]:
    """Which of the options about two sides are given, checked; `pairs` comes last."""
    if not isinstance(pairs, (bool, type(None))):
        raise GansmithError(f'pairs = "{pairs}" is neither true nor false: leave it out to judge by the names.')
    if side_by_side not in (None, *ORDERS):
        raise GansmithError(f'side_by_side = "{side_by_side}" is unknown: choose AB (A is on the left) or BA.')
    if not isinstance(degrade, (str, type(None))):
        raise GansmithError(f'degrade must be a text such as "downscale 4", not {type(degrade).__name__}.')
    given = {"side_by_side": side_by_side, "degrade": degrade, "pairs": pairs}
    return [name for name, value in given.items() if value is not None]


def _table(source: object) -> Path | None:
    """The file, when the source is a table of pairs."""
    if not isinstance(source, (str, os.PathLike)) or not os.fspath(source).lower().endswith((".csv", ".tsv")):
        return None
    path = Path(source).expanduser()
    return path if os.path.isfile(path) else None


def suited(dataset: Dataset, kinds: Sequence[str]) -> Dataset:
    """The data for a recipe that learns these kinds: pairs are two domains for one that needs no partners."""
    apart = isinstance(dataset, Pairs) and "domains" in kinds and "pairs" not in kinds
    return dataset.apart() if apart and isinstance(dataset, Pairs) else dataset


def _chosen(source: str | os.PathLike[str] | np.ndarray, labels: Choice) -> tuple[Source, Choice]:
    """The source, and the choice of labels that is left: that among a known set's labels is made with the source."""
    if not isinstance(source, str) or not is_named(source):
        return find_source(source), labels
    if labels is None or isinstance(labels, bool):
        return open_named(source, None), labels
    return open_named(source, os.fspath(labels)), True


def find_source(source: str | os.PathLike[str] | np.ndarray) -> Source:
    """The source of images that a name, path or array stands for."""
    if isinstance(source, np.ndarray):
        return from_array(source)
    if not isinstance(source, (str, os.PathLike)):
        raise GansmithError(f"data must be a name, a path or a numpy array, not {type(source).__name__}.")
    text = os.fspath(source)
    if is_named(text):
        return open_named(text, None)
    if pattern := shards(text):
        return pattern
    path = Path(text).expanduser()
    if not text or not os.path.exists(path):
        raise GansmithError(_missing(text, path))
    return _folder(path) if path.is_dir() else _file(path)


def _folder(path: Path) -> Source:
    if files := idx.find(path):
        return idx.idx_source(show(str(path)), files)
    return tar_folder(path) or folder(path)


def _file(path: Path) -> Source:
    name = path.name.lower()
    readers = {".zip": zip_file, ".npy": npy, ".npz": npz}
    if path.suffix.lower() in readers:
        return readers[path.suffix.lower()](path)
    if name.endswith(TAR_SUFFIXES):
        return tar_files((path,))
    if is_image(name):
        raise GansmithError(f'"{show(str(path))}" is one image: give the folder that holds all of them.')
    raise GansmithError(
        f'"{show(str(path))}" is of no kind that holds images: give a folder, .zip, {", ".join(TAR_SUFFIXES)}, '
        f".npy or .npz."
    )


def _missing(text: str, path: Path) -> str:
    """The message for a path that is not there, with what may have been meant."""
    try:
        beside = [str(p) for p in path.parent.iterdir()]
    except (OSError, ValueError):
        beside = []
    hint = did_you_mean(text, KNOWN) or did_you_mean(str(path), beside)
    return f'There is no data at "{show(text)}".{show(hint)} Give a path, or one of {", ".join(KNOWN)}.'
