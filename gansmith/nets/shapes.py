"""Which sample shapes the image networks can make, in one place and one wording."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gansmith.errors import GansmithError

RESOLUTIONS = tuple(sorted(base * 2**k for base in (4, 7) for k in range(1, 7) if base * 2**k <= 256))
"""4 or 7 pixels doubled: 8, 14, 16, 28, 32, 56, 64, 112, 128, 224, 256."""


def square(net: str, shape: tuple[int, ...], valid: Sequence[int] = RESOLUTIONS) -> tuple[int, int]:
    """(channels, resolution) of a shape (C, H, W) that `net` can make.

    Raises:
        GansmithError: the shape is not an image's, not square, or of a resolution that is not valid.

    >>> square("dcgan", (3, 64, 64))
    (3, 64)
    """
    if len(shape) != 3:
        raise GansmithError(f"{net} makes images, but a sample has shape {shape}: use the net mlp for points.")
    channels, height, width = shape
    if height != width:
        raise GansmithError(
            f"{net} makes square images, not {height} x {width}: crop, pad or squeeze them to a square."
        )
    if height not in valid:
        nearest = min(valid, key=lambda r: (abs(r - height), -r))
        known = ", ".join(map(str, valid))
        raise GansmithError(f"{net} makes images of {known} px, not {height} px: choose a resolution of {nearest}.")
    return channels, height


def pyramid(resolution: int) -> tuple[int, int]:
    """(base, doublings) with resolution = base * 2^doublings, base 4 or 7.

    >>> pyramid(64), pyramid(28)
    ((4, 4), (7, 2))
    """
    base = 7 if resolution % 7 == 0 else 4
    return base, (resolution // base).bit_length() - 1


def fitting(net: str, size: Sequence[int], multiple: int, least: int = 1) -> None:
    """Refuse images of a size (H, W) that `net`, a net for many sizes, cannot take.

    Args:
        multiple: what both sides must be multiples of, px.
        least: the smallest side, px.

    Raises:
        GansmithError: a side is no such multiple, or too small.

    >>> fitting("cyclegan's G", (128, 96), 4)
    """
    height, width = size
    if height % multiple or width % multiple or min(height, width) < least:
        from_px = f", at least {least}" if least > multiple else ""
        of = f"sides that are multiples of {multiple} px" if multiple > 1 else "sides of whole pixels"
        raise GansmithError(f"{net} takes images with {of}{from_px}, not {height} x {width}: pad or crop them.")


def channels_last(x: Tensor) -> Tensor:
    """The same feature maps (N, C, H, W) with the channels of a pixel side by side in memory."""
    return x.contiguous(memory_format=torch.channels_last)
