"""A set of decoded images, split into a part to train on and a part that is never trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gansmith.core import DataSpec
from gansmith.data.cache import Record
from gansmith.data.captions import Tokens
from gansmith.data.check import examine
from gansmith.data.decode import FILTER, WINDOW
from gansmith.data.names import nobody
from gansmith.data.prepare import Options, Prepared, prepare
from gansmith.data.sources import Source
from gansmith.data.store import Store, corners
from gansmith.errors import GansmithError

HELD_OUT = 0.1


def split(keys: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out (int64), decided by what is hashed of each image: its content, or its group.

    Equal images, or those of one group, fall on the same side, and adding, renaming or reordering images moves none,
    save in sets so small that a side would be empty: that side then gets what has the least (or greatest) hash.
    """
    threshold = f"{int(HELD_OUT * 2**32):08x}"
    out = {k for k in keys if k[:8] < threshold} or {min(keys)}
    if out == set(keys):
        out = out - {max(keys)}
    mask = np.array([k in out for k in keys])
    return np.flatnonzero(~mask), np.flatnonzero(mask)


class Rows(NamedTuple):
    """Rows to train on and rows held out (int64), and the name of each image that is left out, with the reason."""

    train: np.ndarray
    held_out: np.ndarray
    left_out: list[tuple[str, str]]


def split_rows(record: Record, rows: np.ndarray, held: Callable[[str], bool] = nobody) -> tuple[np.ndarray, np.ndarray]:
    """Positions in `rows` to train on and positions held out (int64): by name where `held` tells, else by group or
    content.

    Raises:
        GansmithError: all of them are held out.
    """
    told = np.array([held(record.names[row]) for row in rows])
    if not told.any():
        keys = record.keys
        return split([keys[row] for row in rows])
    if told.all():
        raise GansmithError(
            f"Nothing is left to train on: all usable images are held out, such as {record.names[rows[0]]}."
        )
    return np.flatnonzero(~told), np.flatnonzero(told)


def rows_of(record: Record, window: int = 0, held: Callable[[str], bool] = nobody) -> Rows:
    """The split of a set; what is smaller than a window of `window` pixels is left out.

    Raises:
        GansmithError: nothing is left.
    """
    out = {i: too_small(h, w, window) for i, (h, w) in enumerate(record.shapes) if min(h, w) < window}
    fit = np.array([i for i in range(len(record.names)) if i not in out], np.int64)
    left_out = [(record.names[i], why) for i, why in out.items()]
    if not len(fit):
        raise GansmithError(
            f"None of the {len(out):,} images has a window of {window} x {window} pixels "
            f"({left_out[0][0]}: {left_out[0][1]}): choose a smaller resolution."
        )
    train, held_out = split_rows(record, fit, held)
    return Rows(fit[train], fit[held_out], left_out)


def too_small(h: int, w: int, window: int) -> str:
    """Why an image of this height and width has no window, for people. It is not enlarged: that would teach blur."""
    return f"{w} x {h} pixels, smaller than the window of {window}"


def digest_of(*parts: object) -> str:
    """A hash over what decides the content of a set, 32 hexadecimal digits."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


class Images:
    """Images as uint8 (N, H, W, C), handed out as float32 (n, C, H, W) in [-1, 1] in channels_last layout.

    With fit "window" they keep their own sizes, and what is handed out are windows of them: anywhere in an image to
    train on, drawn from torch's global random state; of one that is held out, always the middle.
    `names` are those of all decoded images; `train` and `held_out` are rows among them; `window` is the side of the
    windows, pixels, else 0.

    Args:
        source: where they come from.
        wanted: the user's options, checked.
        ready: the images, decoded.
        rows: which are trained on and which not; None = by their content.
    """

    def __init__(self, source: Source, wanted: Options, ready: Prepared, rows: Rows | None = None) -> None:
        self._array, record = ready.array, ready.record
        self._store = Store(ready.array)
        side = wanted.resolution or record.resolution
        self.window = side if wanted.fit == WINDOW else 0
        self.train, self.held_out, left_out = rows or rows_of(record, self.window)
        self.fingerprint = digest_of(ready.key, side) if self.window else ready.key
        if rows:
            self.fingerprint = digest_of(self.fingerprint, self.train.tolist(), self.held_out.tolist())
        self.names, self.digests = record.names, record.digests
        self._labels = torch.tensor(record.labels, dtype=torch.int64)
        self._texts = record.captions
        self._factors = source.factors
        self._tokens = Tokens(record.captions, self.train) if record.captions else None
        words, length = (self._tokens.words, self._tokens.length) if self._tokens else ((), 0)
        y = "some_y" if -1 in record.labels else "y"
        fields = ("x", *[y] * bool(record.labels), *["tokens"] * bool(record.captions))
        shape, classes = (record.channels, side, side), tuple(record.classes)
        own = self._labels[torch.from_numpy(self.train)] if classes else self._labels
        counts = tuple(torch.bincount(own[own >= 0], minlength=len(classes)).tolist())
        self.spec = DataSpec(
            *(source.title, "image", shape, len(self.train), fields, classes, words, length),
            counts=counts,
        )
        how = "windows of images as they are" if self.window else "as they are"
        treatment = f"{wanted.fit}, {FILTER}" if record.resized else how
        learned = f"{side} x {side} x {record.channels} ({treatment})"
        told = replace(record, resolution=side)
        if rows or left_out:
            told = told.only(sorted({*self.train.tolist(), *self.held_out.tolist()}), left_out)
        self.report = examine(source.title, told, len(self.held_out), learned, ready.notes)
        self.info: dict[str, object] = {
            "source": source.title,
            "resolution": side,
            "channels": record.channels,
            "fit": wanted.fit,
            "filter": FILTER if record.resized else "none",
            "background": "#{:02x}{:02x}{:02x}".format(*wanted.background),
            "found": self.report.count,
            "count": len(self.train),
            "held_out_count": len(self.held_out),
            **({"licence": source.licence} if source.licence else {}),
        }

    def fetch(
        self, index: np.ndarray, fields: Sequence[str] = ("x",), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """The training images at positions `index` (n,), 0 to count - 1: one tensor for each of `fields`.

        "x" is float32 (n, C, H, W) in [-1, 1], "y" is int64 (n,), "some_y" likewise with -1 for unlabelled
        ones, "tokens" is int64 (n, spec.length): of several
        captions of an image, one is drawn from torch's global random state.
        """
        return self._rows(self.train[index], fields, torch.device(device), True)

    def fetch_held_out(
        self, index: np.ndarray, fields: Sequence[str] = ("x",), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """As `fetch`, of the images that are never trained on: positions 0 to len(held_out) - 1."""
        return self._rows(self.held_out[index], fields, torch.device(device), False)

    def room(self, rows: np.ndarray) -> Tensor:
        """Height and width of the images at `rows` (n,), pixels: int64 (n, 2). For fit "window" only."""
        return self._store.shapes(rows)

    def windows(self, rows: np.ndarray, corner: Tensor, device: torch.device) -> Tensor:
        """Windows (n, C, R, R) of the images at `rows` (n,), top and left at `corner` (n, 2). For fit "window" only."""
        return self._store.windows(rows, corner, self.window, device)

    def captions(self, index: np.ndarray) -> list[list[str]]:
        """The texts that describe the training images at positions `index` (n,); none without captions."""
        return [list(self._texts[row]) if self._texts else [] for row in self.train[index]]

    @property
    def factors(self) -> dict[str, np.ndarray]:
        """The numbers that made the training images, name -> (count,), where they are known exactly; else empty."""
        return {name: values[self.train] for name, values in self._factors.items()}

    @property
    def factors_held_out(self) -> dict[str, np.ndarray]:
        """As `factors`, of the images that are never trained on."""
        return {name: values[self.held_out] for name, values in self._factors.items()}

    def _rows(self, rows: np.ndarray, fields: Sequence[str], device: torch.device, random: bool) -> tuple[Tensor, ...]:
        missing = [name for name in fields if not self.spec.has(name)]
        if missing:
            raise GansmithError(
                f'"{self.spec.name}" has no "{missing[0]}": open it with labels on for "y", with captions for "tokens".'
            )
        get = {"y": self._numbers, "some_y": self._numbers, "tokens": self._drawn}
        return tuple(self._images(rows, device, random) if f == "x" else get[f](rows, device) for f in fields)

    def _numbers(self, rows: np.ndarray, device: torch.device) -> Tensor:
        return self._labels[torch.from_numpy(rows)].to(device)

    def _drawn(self, rows: np.ndarray, device: torch.device) -> Tensor:
        assert self._tokens is not None
        return self._tokens.draw(torch.from_numpy(rows)).to(device)

    def _images(self, rows: np.ndarray, device: torch.device, random: bool) -> Tensor:
        if not self.window:
            return self._store.images(rows, device)
        return self.windows(rows, corners(self.room(rows), self.window, random), device)


def open_images(source: Source, wanted: Options, cache_dir: str | Path | None, progress: bool) -> Images:
    """The images of a source, decoded or from the cache.

    Args:
        cache_dir: of decoded images; None = the default folder.
        progress: draw it on standard error.
    """
    return Images(source, wanted, prepare(source, wanted, cache_dir, progress))
