"""A set of decoded images, split into a part to train on and a part that is never trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.core import DataSpec
from gansmith.data.captions import Tokens
from gansmith.data.check import examine
from gansmith.data.decode import FILTER
from gansmith.data.prepare import Options, prepare
from gansmith.data.sources import Source
from gansmith.errors import GansmithError

HELD_OUT = 0.1


def split(digests: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out (int64), decided by each image's content alone.

    Equal images fall on the same side, and adding, renaming or reordering images moves none, save in sets so small
    that a side would be empty: that side then gets the image with the least (or greatest) hash.
    """
    threshold = f"{int(HELD_OUT * 2**32):08x}"
    out = {d for d in digests if d[:8] < threshold} or {min(digests)}
    if out == set(digests):
        out = out - {max(digests)}
    mask = np.array([d in out for d in digests])
    return np.flatnonzero(~mask), np.flatnonzero(mask)


class Images:
    """Images as uint8 (N, H, W, C), handed out as float32 (n, C, H, W) in [-1, 1] in channels_last layout.

    `names` are those of all usable images; `train` and `held_out` are rows among them.

    Args:
        source: where they come from.
        wanted: the user's options, checked.
        cache_dir: of decoded images; None = the default folder.
        progress: draw it on standard error.
    """

    def __init__(self, source: Source, wanted: Options, cache_dir: str | Path | None, progress: bool) -> None:
        ready = prepare(source, wanted, cache_dir, progress)
        self._array, record = ready.array, ready.record
        self.names = record.names
        self._labels = torch.tensor(record.labels, dtype=torch.int64)
        self._texts = record.captions
        self._factors = source.factors
        self._resident: dict[torch.device, Tensor] = {}
        self.train, self.held_out = split(record.digests)
        self.fingerprint = ready.key
        _, h, w, c = record.shape
        self._tokens = Tokens(record.captions, self.train) if record.captions else None
        words, length = (self._tokens.words, self._tokens.length) if self._tokens else ((), 0)
        y = "some_y" if -1 in record.labels else "y"
        fields = ("x", *[y] * bool(record.labels), *["tokens"] * bool(record.captions))
        shape, classes = (c, h, w), tuple(record.classes)
        own = self._labels[torch.from_numpy(self.train)] if classes else self._labels
        counts = tuple(torch.bincount(own[own >= 0], minlength=len(classes)).tolist())
        self.spec = DataSpec(
            *(source.title, "image", shape, len(self.train), fields, classes, words, length),
            counts=counts,
        )
        treatment = f"{wanted.fit}, {FILTER}" if record.resized else "as they are"
        learned = f"{w} x {h} x {c} ({treatment})"
        self.report = examine(source.title, record, len(self.held_out), learned, ready.notes)
        self.info: dict[str, object] = {
            "source": source.title,
            "resolution": record.resolution,
            "channels": c,
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
        return self._rows(self.train[index], fields, torch.device(device))

    def fetch_held_out(
        self, index: np.ndarray, fields: Sequence[str] = ("x",), device: torch.device | str = "cpu"
    ) -> tuple[Tensor, ...]:
        """As `fetch`, of the images that are never trained on: positions 0 to len(held_out) - 1."""
        return self._rows(self.held_out[index], fields, torch.device(device))

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

    def _rows(self, rows: np.ndarray, fields: Sequence[str], device: torch.device) -> tuple[Tensor, ...]:
        missing = [name for name in fields if not self.spec.has(name)]
        if missing:
            raise GansmithError(
                f'"{self.spec.name}" has no "{missing[0]}": open it with labels on for "y", with captions for "tokens".'
            )
        get = {"x": self._images, "y": self._numbers, "some_y": self._numbers, "tokens": self._drawn}
        return tuple(get[name](rows, device) for name in fields)

    def _numbers(self, rows: np.ndarray, device: torch.device) -> Tensor:
        return self._labels[torch.from_numpy(rows)].to(device)

    def _drawn(self, rows: np.ndarray, device: torch.device) -> Tensor:
        assert self._tokens is not None
        return self._tokens.draw(torch.from_numpy(rows)).to(device)

    def _images(self, rows: np.ndarray, device: torch.device) -> Tensor:
        whole = self._whole(device)
        if whole is None:  # mapped: read in the order of the disk
            order = np.argsort(rows, kind="stable")
            pixels = np.empty((len(rows), *self._array.shape[1:]), np.uint8)
            pixels[order] = self._array[rows[order]]
            picked = torch.from_numpy(pixels).to(device)
        else:
            picked = whole.index_select(0, torch.from_numpy(rows).to(whole.device)).to(device)
        return picked.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)

    def _whole(self, device: torch.device) -> Tensor | None:
        """The whole set as one uint8 tensor, on the device where it takes at most a quarter of what is free there."""
        if isinstance(self._array, np.memmap):
            return None
        if device not in self._resident:
            host = torch.from_numpy(self._array)
            fits = device.type != "cuda" or self._array.nbytes <= torch.cuda.mem_get_info(device)[0] // 4
            self._resident[device] = host.to(device) if fits else host
        return self._resident[device]
