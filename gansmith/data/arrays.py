"""Images that come as one array: numpy arrays, .npy and .npz files. Pickled objects are never loaded."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from gansmith.data.decode import Pixels
from gansmith.data.names import show
from gansmith.data.sources import Item, Source, refuse_bomb, unreadable
from gansmith.errors import GansmithError

T = TypeVar("T")

IMAGE_NAMES = ("x", "images", "samples", "data", "arr_0", "x_train")
LABEL_NAMES = ("y", "labels", "targets", "y_train")


def from_array(array: np.ndarray) -> Source:
    """A source for an array in memory: (N, H, W), (N, H, W, C) or (N, C, H, W)."""
    title = f"array of shape {array.shape}"
    return Source(title, (), partial(items, title, array, None), len(array) if array.ndim else 0, paths=False)


def npy(path: Path) -> Source:
    """A source for a .npy file; it is mapped, so it may be larger than memory."""

    def walk() -> Iterator[Item]:
        array = load(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
        yield from items(show(path.name), array, None)

    return Source(show(str(path)), (path,), walk, paths=False)


def npz(path: Path) -> Source:
    """A source for a .npz file with an array of images and, if there are labels, an array of N whole numbers."""

    def walk() -> Iterator[Item]:
        images, labels = load(path, lambda: _members(path))
        yield from items(show(path.name), images, labels)

    return Source(show(str(path)), (path,), walk, paths=False)


def load(path: Path, read: Callable[[], T]) -> T:
    """Run `read`, turning what a damaged or hostile file raises into one sentence."""
    try:
        return read()
    except GansmithError:
        raise
    except ValueError as error:
        if any(word in str(error) for word in ("pickle", "Object arrays", "Python objects")):
            raise GansmithError(
                f'"{show(str(path))}" is no plain array of numbers '
                "(Python objects could run code, so they are not loaded): "
                "save it again with numpy.save."
            ) from None
        raise unreadable(path, error) from None
    except (OSError, EOFError, KeyError, MemoryError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise unreadable(path, error) from None


def _members(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """The arrays of images and of labels in a .npz file."""
    with zipfile.ZipFile(path) as archive:
        refuse_bomb(path, len(archive.infolist()), sum(m.file_size for m in archive.infolist()))
    with np.load(path, allow_pickle=False) as file:
        name = next((n for n in IMAGE_NAMES if n in file.files), None)
        if name is None and len(file.files) == 1:
            name = file.files[0]
        if name is None:
            found = ", ".join(map(show, file.files)) or "nothing"
            raise GansmithError(f'"{show(str(path))}" holds {found}: name the array of images "x" and the labels "y".')
        label = next((n for n in LABEL_NAMES if n in file.files), None)
        return file[name], None if label is None else file[label]


def items(title: str, array: np.ndarray, labels: np.ndarray | None) -> Iterator[Item]:
    """One item a row, converted to uint8 (H, W, C) when it is read."""
    rows = _channels_last(title, array)
    names = None if labels is None else _label_texts(title, labels, len(rows))
    to_uint8 = _scaling(title, rows)
    for i in range(len(rows)):
        yield Item(f"image {i}", partial(_row, rows, i, to_uint8), None if names is None else names[i])


def _row(rows: np.ndarray, i: int, to_uint8: Callable[[np.ndarray], np.ndarray]) -> Pixels:
    return to_uint8(np.asarray(rows[i]))


def _channels_last(title: str, array: np.ndarray) -> np.ndarray:
    """A view (N, H, W, C) with C = 1, 3 or 4."""
    if array.ndim == 3:
        array = array[..., None]
    elif array.ndim == 4 and array.shape[3] not in (1, 3, 4) and array.shape[1] in (1, 3, 4):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4) or min(array.shape[1:]) < 1:
        raise GansmithError(
            f'"{title}" has shape {array.shape}, which is no set of images: '
            f"give (N, H, W), (N, H, W, C) or (N, C, H, W) with C = 1, 3 or 4."
        )
    return array


def _label_texts(title: str, labels: np.ndarray, count: int) -> list[str]:
    if labels.shape != (count,) or labels.dtype.kind not in "iuU":
        raise GansmithError(
            f'The labels in "{title}" have shape {labels.shape} and type {labels.dtype}: '
            f"give {count} whole numbers or words, one an image."
        )
    if labels.dtype.kind == "i" and count and labels.min() < 0:
        bad = int(np.argmin(labels))
        raise GansmithError(
            f'The label {labels[bad]} of image {bad} in "{title}" is out of range: give whole numbers from 0.'
        )
    return [show(str(v)) for v in labels]


def _scaling(title: str, rows: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """How the values become 0 to 255, judged from the type and the extremes of the whole array."""
    if rows.dtype == np.uint8:
        return lambda row: row
    if rows.dtype == bool:
        return lambda row: row.astype(np.uint8) * 255
    if rows.dtype.kind not in "iuf":
        raise GansmithError(f'"{title}" holds values of type {rows.dtype}: give whole numbers or floats.')
    low, high = _extremes(title, rows)
    if rows.dtype.kind == "f" and low >= -1 and high <= 1:
        shift, scale = (0.0, 255.0) if low >= 0 else (1.0, 127.5)
        return lambda row: np.rint((row.astype(np.float32) + shift) * scale).astype(np.uint8)
    if low >= 0 and high <= 255:
        return lambda row: np.rint(row).astype(np.uint8)
    if rows.dtype == np.uint16:
        return lambda row: ((row.astype(np.uint32) + 128) // 257).astype(np.uint8)
    raise GansmithError(
        f'"{title}" holds values from {low:g} to {high:g}: give 0 to 255, 0 to 1, -1 to 1, or 16-bit whole numbers.'
    )


def _extremes(title: str, rows: np.ndarray) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for start in range(0, len(rows), 1024):
        part = rows[start : start + 1024]
        if rows.dtype.kind == "f" and not np.isfinite(part).all():
            bad = start + int(np.argmin(np.isfinite(part).all(axis=(1, 2, 3))))
            raise GansmithError(f'Image {bad} in "{title}" holds NaN or infinite values: remove or mend it.')
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    return low, high
