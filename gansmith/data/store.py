"""Decoded images, and how they reach a device: whole, or as windows of images that differ in size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gansmith.data.decode import Pixels


class Ragged:
    """Images of different sizes, one after another in one flat array.

    Args:
        flat: uint8 (sum of H * W * C,), in memory or mapped.
        shapes: height and width of each.
        channels: of all.
    """

    def __init__(self, flat: np.ndarray, shapes: Sequence[tuple[int, int]], channels: int) -> None:
        self.flat, self.channels = flat, channels
        self.shapes = np.array(shapes, np.int64).reshape(-1, 2)
        sizes = self.shapes.prod(1) * channels
        self._start = np.cumsum(sizes) - sizes

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, i: int) -> Pixels:
        h, w = (int(side) for side in self.shapes[i])
        start = int(self._start[i])
        return self.flat[start : start + h * w * self.channels].reshape(h, w, self.channels)


class Store:
    """Images as uint8, handed out as float32 (n, C, H, W) in [-1, 1] in channels_last layout.

    Args:
        array: (N, H, W, C), in memory or mapped; or images of different sizes, of which windows are taken.
    """

    def __init__(self, array: np.ndarray | Ragged) -> None:
        self._array = array
        self._resident: dict[torch.device, Tensor] = {}

    def images(self, rows: np.ndarray, device: torch.device) -> Tensor:
        """The images at `rows` (n,)."""
        assert isinstance(self._array, np.ndarray)
        whole = self._whole(self._array, device)
        if whole is not None:
            return _scaled(whole.index_select(0, torch.from_numpy(rows).to(whole.device)).to(device))
        order = np.argsort(rows, kind="stable")  # mapped: read in the order of the disk
        pixels = np.empty((len(rows), *self._array.shape[1:]), np.uint8)
        pixels[order] = self._array[rows[order]]
        return _scaled(torch.from_numpy(pixels).to(device))

    def windows(self, rows: np.ndarray, corners: Tensor, side: int, device: torch.device) -> Tensor:
        """A window of `side` x `side` of each image at `rows` (n,), its top and left at `corners` (n, 2), pixels."""
        assert isinstance(self._array, Ragged)
        pixels = np.empty((len(rows), side, side, self._array.channels), np.uint8)
        for out, row, (y, x) in zip(pixels, rows, corners.tolist(), strict=True):
            out[:] = self._array[row][y : y + side, x : x + side]
        return _scaled(torch.from_numpy(pixels).to(device))

    def shapes(self, rows: np.ndarray) -> Tensor:
        """Height and width of each image at `rows` (n,): int64 (n, 2)."""
        assert isinstance(self._array, Ragged)
        return torch.from_numpy(self._array.shapes[rows])

    def _whole(self, array: np.ndarray, device: torch.device) -> Tensor | None:
        """The whole set as one uint8 tensor, on the device where it takes at most a quarter of what is free there."""
        if isinstance(array, np.memmap):
            return None
        if device not in self._resident:
            host = torch.from_numpy(array)
            fits = device.type != "cuda" or array.nbytes <= torch.cuda.mem_get_info(device)[0] // 4
            self._resident[device] = host.to(device) if fits else host
        return self._resident[device]


def _scaled(pixels: Tensor) -> Tensor:
    """Bytes (n, H, W, C) as float32 (n, C, H, W) in [-1, 1]."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)


def corners(room: Tensor, side: int, random: bool) -> Tensor:
    """Top and left of a window of `side` x `side` pixels in images of height and width `room` (n, 2): int64 (n, 2).

    Args:
        random: anywhere, each place as likely, from torch's global random state; else in the middle.

    >>> corners(torch.tensor([[8, 10], [9, 8]]), 8, random=False)
    tensor([[0, 1],
            [0, 0]])
    """
    free = room - side
    if not random:
        return free // 2
    return torch.minimum((torch.rand(room.shape, dtype=torch.float64) * (free + 1)).long(), free)
