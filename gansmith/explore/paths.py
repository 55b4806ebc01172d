"""Ways between latents: straight, and along the sphere that normal noise lies near."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Between = Callable[[Tensor, Tensor, Tensor], Tensor]


def _per_row(t: Tensor | float, like: Tensor) -> Tensor:
    """t as one number for each row of `like` (N, ...), or one for all, in a shape that broadcasts."""
    t = torch.as_tensor(t, dtype=like.dtype, device=like.device)
    return t.reshape(-1, *[1] * (like.ndim - 1)) if t.ndim else t


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Straight from a (N, ...) at t = 0 to b at t = 1; t is one number, or (N,).

    >>> lerp(torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 0.0]]), 0.5)
    tensor([[1., 1.]])
    """
    return a + _per_row(t, a) * (b - a)


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Along the great circle from a (N, D) at t = 0 to b at t = 1, its norm going straight from |a| to |b|.

    Where a or b is 0, or they point the same way or opposite ways, there is no such circle: the way is straight.

    >>> slerp(torch.tensor([[0.0, 2.0]]), torch.tensor([[2.0, 0.0]]), 0.5)
    tensor([[1.4142, 1.4142]])

    Source: Shoemake 1985, Animating rotation with quaternion curves; for latents White 2016, arXiv:1609.04468.
    """
    t = _per_row(t, a)
    size_a, size_b = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    tiny = torch.finfo(a.dtype).tiny
    u, v = a / size_a.clamp_min(tiny), b / size_b.clamp_min(tiny)
    angle = torch.arccos((u * v).sum(1, keepdim=True).clamp(-1, 1))
    sine = angle.sin()
    safe = sine.clamp_min(1e-4)
    way = (torch.sin((1 - t) * angle) * u + torch.sin(t * angle) * v) / safe * (size_a + t * (size_b - size_a))
    return torch.where((sine > 1e-4) & (size_a > 0) & (size_b > 0), way, lerp(a, b, t))


def times(stops: int, frames: int, loop: bool) -> Tensor:
    """Moments (frames,) of a film through so many stops: 0 to stops - 1, or with `loop` on towards `stops`, where the
    first stop comes again and is left out.

    >>> times(3, 5, loop=False).tolist(), times(2, 4, loop=True).tolist()
    ([0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 0.5, 1.0, 1.5])
    """
    if loop:
        return torch.arange(frames) * (stops / frames)
    return torch.linspace(0, stops - 1, frames)


def along(points: Tensor, at: Tensor, between: Between) -> Tensor:
    """Points (len(at), ...) of a way through points (N, ...) in their order, and round again to the first.

    Args:
        at: moments, 0 = the first of the points, 1 = the second ...
    """
    n = len(points)
    start = at.floor().long()
    share = at - start
    return between(points[start % n], points[(start + 1) % n], share)


def dense(values: Sequence[float], steps: int) -> list[float]:
    """Values with steps - 1 more, evenly between each two.

    >>> dense([0.0, 1.0, 3.0], 2)
    [0.0, 0.5, 1.0, 2.0, 3.0]
    """
    at = [k / steps for k in range(steps * (len(values) - 1) + 1)]
    return np.interp(at, range(len(values)), values).tolist()
