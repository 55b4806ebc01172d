"""pix2pix's augmentation of training images: enlarged a little, a random window of the old size, mirrored or not."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError

ENLARGED = 286 / 256


def jittered(*images: Tensor, enlarged: float = ENLARGED, mirror: bool = True) -> tuple[Tensor, ...]:
    """The same random window, mirrored or not, of each of several images of one scene; one choice for each sample.

    Enlarging is bilinear, windows begin at whole pixels of the enlarged first image.

    Args:
        images: (N, C, H, W), then (N, C', s H, s W) with any whole s of at least 1 for each of the others; where a
            pixel of the first image goes, its s x s pixels of another go.
        enlarged: factor, at least 1, before the sides are rounded to whole pixels.
        mirror: exchange left and right with chance 1/2.

    Raises:
        GansmithError: the images differ in number, or their sizes are no multiples of the first one's.

    Source: Isola et al. 2017, arXiv:1611.07004, section 6.2: 256 px, enlarged to 286.
    """
    assert enlarged >= 1
    n, _, h, w = images[0].shape
    for other in images[1:]:
        s = other.shape[2] // h
        if len(other) != n or s < 1 or other.shape[2:] != (s * h, s * w):
            raise GansmithError(
                f"Images that are jittered together have the same number and sizes that are multiples of the first "
                f"one's, not {tuple(images[0].shape)} and {tuple(other.shape)}."
            )
    device = images[0].device
    sides = [round(enlarged * side) for side in (h, w)]
    starts = [
        torch.floor(torch.rand(n, device=device) * (big - side + 1)) for big, side in zip(sides, (h, w), strict=True)
    ]
    turned = torch.rand(n, device=device) < (0.5 if mirror else 0.0)
    done = []
    for x in images:
        s = x.shape[2] // h
        down, across = (_places(s * k, s * side, s * big) for k, side, big in zip(starts, (h, w), sides, strict=True))
        across = torch.where(turned[:, None], across.flip(1), across)
        grid = torch.stack(torch.broadcast_tensors(across[:, None], down[:, :, None]), 3)
        done.append(F.grid_sample(x, grid, padding_mode="border", align_corners=False))
    return tuple(done)


def _places(start: Tensor, side: int, big: int) -> Tensor:
    """Where the pixels of windows (N,) from `start` on lie in the image, which reaches from -1 to 1: (N, side).

    Pixel i of the enlarged image is a sample at i + 1/2 of `big` equal parts."""
    pixels = start[:, None] + torch.arange(side, device=start.device)
    return (2 * pixels + 1) / big - 1
