"""Data sets: known by name, the user's own images, and the stream that training draws from.

>>> open_data("grid25").spec.shape
(2,)
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from gansmith.data import idx
from gansmith.data.arrays import from_array, npy, npz
from gansmith.data.check import Report
from gansmith.data.images import Images
from gansmith.data.named import NAMED, is_named, open_named
from gansmith.data.names import is_image, show
from gansmith.data.points import POINTS, Points
from gansmith.data.prepare import Choice, options
from gansmith.data.sources import TAR_SUFFIXES, Source, folder, shards, tar_files, tar_folder, zip_file
from gansmith.data.stream import Stream
from gansmith.errors import GansmithError, did_you_mean

__all__ = ["KNOWN", "Dataset", "Images", "Points", "Report", "Stream", "check_data", "open_data"]

KNOWN = (*POINTS, *NAMED)
"""Names that `open_data` knows."""

Dataset = Images | Points
"""Both have `spec`, `fingerprint`, `info`, `report` and `held_out`; images are fetched, points are drawn."""


def open_data(
    source: str | os.PathLike[str] | np.ndarray,
    *,
    resolution: int | None = None,
    fit: str = "crop",
    background: str = "white",
    channels: int | None = None,
    labels: Choice = None,
    captions: Choice = None,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Dataset:
    """Open a data set for training; images are decoded once and then come from the cache.

    Args:
        source: a known name (`KNOWN`); a folder, searched through; a zip or tar file; .npy or .npz; a folder with IDX
            files; WebDataset shards, as `shard-{000..010}.tar` or a folder of them; or a numpy array of images.
        resolution: side of the square images, pixels; None = the largest power of two up to the median short side,
            8 to 64, or 28 for sets like MNIST.
        fit: how other shapes become square: "crop", "pad" or "squeeze".
        background: colour name or #rrggbb, behind transparent pixels and beside padded images.
        channels: 1 or 3; None = 1 when every image is grey.
        labels: True = by a dataset.json, labels.csv or metadata.csv that lies with the images, else the subfolders'
            names; or a CSV or JSON file, as "labels.csv", or with the column's name, "labels.csv:breed"; for a known
            name one of its labels, as "font" of letters. Labels that a source carries itself are always there.
        captions: True = a .txt file beside each image, a caption on each line; or a CSV or JSON file, as for labels.
            Captions that a known name carries itself are always there.
        cache_dir: where decoded images are kept; None = $GANSMITH_CACHE or the platform's cache folder.
        progress: show it on standard error.

    Raises:
        GansmithError: there is nothing usable at `source`, or an option is out of range.
    """
    data = _open(source, resolution, fit, background, channels, labels, captions, cache_dir, progress)
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
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Report:
    """The data check, with the arguments of `open_data`; what it decodes, a training need not decode again.

    Raises:
        GansmithError: there is nothing usable at `source`, or an option is out of range. What else would stop a
            training is among the report's errors.
    """
    return _open(source, resolution, fit, background, channels, labels, captions, cache_dir, progress).report


def _open(
    source: str | os.PathLike[str] | np.ndarray,
    resolution: int | None,
    fit: str,
    background: str,
    channels: int | None,
    labels: Choice,
    captions: Choice,
    cache_dir: str | os.PathLike[str] | None,
    progress: bool,
) -> Dataset:
    if isinstance(source, str) and source in POINTS:
        if resolution is not None or channels is not None or labels or captions:
            raise GansmithError(
                f"{source} holds points: resolution, channels, labels and captions are for images, leave them out."
            )
        options(resolution, fit, background, channels)
        return POINTS[source]()
    found, labels = _chosen(source, labels)
    wanted = options(resolution, fit, background, channels, labels, captions)
    return Images(found, wanted, None if cache_dir is None else Path(cache_dir), progress)


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
