"""Where the pixels of an image go: exact moves of whole pixels, and one affine map with anti-aliased resampling.

All mirror the image at its border, so that nothing comes in from outside.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function

from gansmith.nn.augment.chance import chosen, falls, lognormal, normal, reflected, uniform

SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
"""Low-pass filter of the symlet with 6 vanishing moments (Daubechies 1992, Ten Lectures on Wavelets, section 8.1)."""

TAPS = len(SYM6)
CENTRE = sum(i * h for i, h in enumerate(SYM6)) / sum(SYM6)
"""The filter's delay: it is not quite symmetric, so the point that a sample stands for is 5.1, not 5.5."""

REACH, MARGIN = 3, 6
"""Pixels around the image that may be read as they were mirrored before doubling, and that are mirrored for that."""

SHIFT = 0.125  # of the side: largest move by whole pixels, and standard deviation of the one by parts of them
SCALE = 0.2  # octaves


# -- whole pixels


def blit(x: Tensor, p: Tensor | float) -> Tensor:
    """Images (N, C, S, S) mirrored left to right, turned by quarters and moved by whole pixels, each with chance p.

    Which of the two sides and of the four quarters, chance decides as well, so p = 1 mirrors half of the images. Moves
    are up to an eighth of the side. No pixel's value changes. Source: arXiv:2006.06676, appendix B.
    """
    x = chosen(falls(x, p) & falls(x, 0.5), x.flip(3), x)
    quarters = (4 * uniform(x, 0.0, 1.0)).floor() * falls(x, p)
    for k in (1, 2, 3):
        x = chosen(quarters == k, x.rot90(k, (2, 3)), x)  # at most one k holds of a sample
    on = falls(x, p)
    right, down = ((SHIFT * x.shape[3] * uniform(x, -1.0, 1.0)).round() * on for _ in range(2))
    return moved(x, right.long(), down.long())


def moved(x: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Images (N, C, H, W) moved by whole pixels (N,) each, the border mirrored."""
    n, c, h, w = x.shape
    columns = reflected(torch.arange(w, device=x.device) - right[:, None], w)
    rows = reflected(torch.arange(h, device=x.device) - down[:, None], h)
    x = x.gather(3, columns[:, None, None].expand(n, c, h, w))
    return x.gather(2, rows[:, None, :, None].expand(n, c, h, w))


# -- an affine map


def warp(x: Tensor, p: Tensor | float) -> Tensor:
    """Images (N, C, S, S) scaled, turned, stretched and moved by parts of pixels, each with chance p, in one map.

    A turn comes before and after the stretching, each with chance 1 - sqrt(1 - p), so that p have one at least. On
    what no transformation falls stays bit for bit. Source: arXiv:2006.06676, appendix B.
    """
    turns = 1 - torch.sqrt(1 - torch.as_tensor(p, device=x.device, dtype=x.dtype))
    size, stretch = lognormal(x, SCALE), lognormal(x, SCALE)
    ons = [falls(x, chance) for chance in (p, turns, p, turns, p)]
    parts = [
        scaling(size, size),
        turning(uniform(x, -math.pi, math.pi)),
        scaling(stretch, 1 / stretch),
        turning(uniform(x, -math.pi, math.pi)),
        moving(*(x.shape[3] * normal(x, SHIFT) for _ in range(2))),
    ]
    back = torch.eye(3, device=x.device, dtype=x.dtype).expand(len(x), 3, 3)
    same = back
    for on, there in zip(ons, parts, strict=True):
        back = back @ torch.linalg.inv(chosen(on, there, same))
    return chosen(torch.stack(ons).any(0), resampled(x, back), x)


def scaling(right: Tensor, down: Tensor) -> Tensor:
    """Maps (N, 3, 3) that stretch by the factors (N,) along the two axes."""
    return _maps([(right, 0, 0), (0, down, 0), (0, 0, 1)])


def turning(angle: Tensor) -> Tensor:
    """Maps (N, 3, 3) that turn by angles (N,) in radians, from the x axis (right) towards the y axis (down)."""
    return _maps([(angle.cos(), -angle.sin(), 0), (angle.sin(), angle.cos(), 0), (0, 0, 1)])


def moving(right: Tensor, down: Tensor) -> Tensor:
    """Maps (N, 3, 3) that move by pixels (N,)."""
    return _maps([(1, 0, right), (0, 1, down), (0, 0, 1)])


def _maps(rows: list[tuple[Tensor | float, ...]]) -> Tensor:
    like = next(v for row in rows for v in row if isinstance(v, Tensor))
    entries = [torch.as_tensor(v, device=like.device, dtype=like.dtype).expand_as(like) for row in rows for v in row]
    return torch.stack(entries, -1).unflatten(-1, (len(rows), len(rows[0])))


def resampled(x: Tensor, back: Tensor) -> Tensor:
    """Images (N, C, H, W) under affine maps, band-limited.

    The image is doubled through a wavelet's low-pass filter, read bilinearly where the map says, and halved through the
    same filter: an orthogonal wavelet's two passes undo each other, so the map to itself changes nothing.

    Args:
        back: (N, 3, 3), from the place of an output pixel to the place that it comes from: (right, down, 1) in pixels
            from the image's centre. Places outside are mirrored at the border.

    Differentiable twice with respect to x, not to `back`. Source: arXiv:2006.06676, appendix B.
    """
    h, w = x.shape[2:]
    fine = _doubling(h, x.dtype, x.device) @ x @ _doubling(w, x.dtype, x.device).T
    right, down = torch.meshgrid(_places(w, x) - (w - 1) / 2, _places(h, x) - (h - 1) / 2, indexing="xy")
    at = torch.einsum("nij,jhw->nihw", back[:, :2], torch.stack([right, down, torch.ones_like(right)]))
    grid = []
    for axis, side in ((0, w), (1, h)):
        place = at[:, axis] + (side - 1) / 2
        near = (place > -REACH) & (place < side - 1 + REACH)
        place = torch.where(near, place, reflected(place, side))
        grid.append((2 * (place + MARGIN) + CENTRE) * 2 / (fine.shape[3 - axis] - 1) - 1)
    read: Tensor = _Read.apply(fine, torch.stack(grid, -1))
    return _halving(h, x.dtype, x.device) @ read @ _halving(w, x.dtype, x.device).T


def _places(side: int, like: Tensor) -> Tensor:
    """Where the fine samples that make `side` pixels stand, in pixels: two for each, and the filter's reach."""
    k = torch.arange(2 * side + TAPS - 2, device=like.device, dtype=like.dtype)
    return (k - CENTRE) / 2


@cache
def _halving(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(S, 2 S + 10): fine samples through the filter, every second.

    As a matrix: on CPUs products are faster than depthwise convolutions."""
    taps = torch.tensor(SYM6, dtype=torch.float64) / math.sqrt(2)
    rows = torch.zeros(side, 2 * side + TAPS - 2, dtype=torch.float64)
    for i in range(side):
        rows[i, 2 * i : 2 * i + TAPS] = taps
    return rows.to(device, dtype)


@cache
def _doubling(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(2 (S + 12) + 10, S): mirrors MARGIN pixels at either end, and doubles.

    Place q of the image is then sample 2 (q + MARGIN) + CENTRE."""
    around = mirrored(torch.eye(side, dtype=torch.float64), 0, MARGIN)
    back = _halving(side + 2 * MARGIN, torch.float64, torch.device("cpu"))
    return (2 * back.T @ around).to(device, dtype)


def mirrored(x: Tensor, axis: int, margin: int) -> Tensor:
    """x with `margin` more pixels on both sides of an axis, mirrored; as many as one likes, unlike F.pad."""
    side = x.shape[axis]
    return x.index_select(axis, reflected(torch.arange(-margin, side + margin, device=x.device), side))


class _Read(Function):
    """Images (N, C, H, W) read bilinearly at a grid (N, h, w, 2); 0 outside.

    As F.grid_sample, but its gradient can be differentiated in every release and on every device: reading is linear in
    the image, so the gradient of its gradient is reading again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor) -> Tensor:
        ctx.save_for_backward(x, grid)
        return F.grid_sample(x, grid, align_corners=True)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, grid = ctx.saved_tensors
        return _Spread.apply(grads[0], grid, x.detach()), None


class _Spread(Function):
    """The adjoint of `_Read`: dL/dy -> dL/dx; of x only the shape counts."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, grid: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(grid)
        bilinear, zeros = 0, 0
        dx: Tensor = torch.ops.aten.grid_sampler_2d_backward(dy, x, grid, bilinear, zeros, True, (True, False))[0]
        return dx

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        return _Read.apply(grads[0], ctx.saved_tensors[0]), None, None
