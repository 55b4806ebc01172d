"""The IDX files of MNIST and its relatives, plain or gzip-packed.

Format: two zero bytes, one byte for the type (8 = uint8), one for the number of dimensions, each dimension as a
big-endian 32-bit number, then the values.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gansmith.data.arrays import items
from gansmith.data.names import show
from gansmith.data.sources import Item, Source, unreadable
from gansmith.errors import GansmithError

MAX_BYTES = 4 << 30


def read_idx(path: Path) -> np.ndarray:
    """The uint8 array in an IDX file."""
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as file:
            zero, kind, dims = struct.unpack(">HBB", file.read(4))
            if zero or kind != 8 or not 1 <= dims <= 4:
                raise GansmithError(f'"{show(str(path))}" is no IDX file of 8-bit values.')
            shape = struct.unpack(f">{dims}I", file.read(4 * dims))
            size = math.prod(shape)
            if size > MAX_BYTES:
                raise GansmithError(
                    f'"{show(str(path))}" claims {size >> 20:,} MiB of values: it is damaged or hostile.'
                )
            data = file.read(size + 1)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise unreadable(path, error) from None
    if len(data) != size:
        raise GansmithError(f'"{show(str(path))}" promises {size:,} values and holds another number: copy it again.')
    return np.frombuffer(data, np.uint8).reshape(shape)


def find(folder: Path) -> tuple[Path, Path] | None:
    """The files of training images and labels in a folder, or None. With no `train` files, the only pair there is."""
    images = sorted(p for p in folder.glob("*images[-.]idx3-ubyte*") if p.suffix in (".gz", "") or "idx3" in p.suffix)
    for path in sorted(images, key=lambda p: not p.name.startswith("train")):
        labels = path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))
        if labels.is_file():
            return path, labels
    return None


def idx_source(title: str, files: tuple[Path, Path], classes: tuple[str, ...] = (), licence: str = "") -> Source:
    """A source for one pair of IDX files; labels are numbers, named by `classes` where that is given."""

    def walk() -> Iterator[Item]:
        images, labels = read_idx(files[0]), read_idx(files[1])
        for item in items(title, images, labels):
            yield item._replace(label=_name(title, classes, str(item.label)))

    return Source(title, files, walk, classes=classes, licence=licence, paths=False)


def _name(title: str, classes: tuple[str, ...], number: str) -> str:
    if classes and int(number) >= len(classes):
        raise GansmithError(
            f'"{title}" holds label {number}, but has only {len(classes)} classes: the file is damaged.'
        )
    return classes[int(number)] if classes else number
