"""Holes in images: rectangles, and strokes as of a thick brush, drawn anew for each image."""

from __future__ import annotations

import math

import torch
from torch import Tensor

STROKES, CORNERS = 3, 5  # of a free-form hole: brush strokes, and the points that each leads through
SLIMMEST = 2.0  # a rectangle's height over its width, or the other way round, at most, beside the image's own


def hole_masks(shape: tuple[int, int], share: Tensor) -> Tensor:
    """One hole for each image, float32 (n, 1, H, W): 1 in the hole, 0 elsewhere. Half of them are rectangles.

    Args:
        shape: H, W.
        share: of the image that the hole covers (n,), each 0 to 1: to the pixel in a free-form hole, as near as whole
            rows and columns come in a rectangle, and at least one pixel.
    """
    square = torch.rand(len(share), device=share.device) < 0.5
    masks = torch.where(square[:, None, None], _rectangles(shape, share), _strokes(shape, share))
    return masks[:, None].to(torch.float32)


def _rectangles(shape: tuple[int, int], share: Tensor) -> Tensor:
    """Rectangles (n, H, W), bool, somewhere inside."""
    (h, w), n = shape, len(share)
    lean, down, right = torch.rand(3, n, device=share.device)
    ratio = (1 / share).clamp_max(SLIMMEST) ** (2 * lean - 1)
    height = (h * (share * ratio).sqrt()).round().clamp(1, h)
    width = (share * h * w / height).round().clamp(1, w)
    top, left = (down * (h - height + 1)).floor(), (right * (w - width + 1)).floor()
    y, x = torch.arange(h, device=share.device)[:, None], torch.arange(w, device=share.device)
    top, left, height, width = (t[:, None, None] for t in (top, left, height, width))
    return (y >= top) & (y < top + height) & (x >= left) & (x < left + width)


def _strokes(shape: tuple[int, int], share: Tensor) -> Tensor:
    """Free-form holes (n, H, W), bool: the pixels nearest to random broken lines, as many as the share asks for."""
    (h, w), n, device = shape, len(share), share.device
    first = torch.rand(n, STROKES, 1, 2, device=device)
    angle = 2 * math.pi * torch.rand(n, STROKES, CORNERS - 1, device=device)
    reach = 0.1 + 0.2 * torch.rand(n, STROKES, CORNERS - 1, 1, device=device)
    steps = reach * torch.stack((angle.sin(), angle.cos()), 3)
    corners = torch.cat((first, first + steps.cumsum(2)), 2) * torch.tensor([h, w], device=device)
    starts, ends = corners[:, :, :-1].flatten(1, 2), corners[:, :, 1:].flatten(1, 2)
    far = torch.full((n, h, w), math.inf, device=device)
    for start, end in zip(starts.unbind(1), ends.unbind(1), strict=True):
        far = torch.minimum(far, _distance((h, w), start, end - start))
    last = (share * h * w).round().long().clamp(1, h * w) - 1
    return far <= far.flatten(1).sort(1).values.gather(1, last[:, None])[:, :, None]


def _distance(shape: tuple[int, int], start: Tensor, way: Tensor) -> Tensor:
    """Squared distances (n, H, W) of pixels from straight lines that begin at `start` and lead `way` (n, 2)."""
    y, x = (torch.arange(side, device=way.device) + 0.5 for side in shape)
    down, right = (t[:, None, None] for t in way.unbind(1))
    dy, dx = y[:, None] - start[:, 0, None, None], x - start[:, 1, None, None]
    part = ((dy * down + dx * right) / (down**2 + right**2)).clamp(0, 1)
    return (dy - part * down) ** 2 + (dx - part * right) ** 2
