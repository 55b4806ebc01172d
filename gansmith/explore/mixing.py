"""Images made of others: sums of latents, layers of two, some kept and the rest drawn anew."""

from __future__ import annotations

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.explore.factors import foreground
from gansmith.explore.sheet import Sheet
from gansmith.explore.space import Space

NEAR = 0.25  # half width of the noise around a sum, as DCGAN's authors chose


def arithmetic(plus: Tensor, minus: Tensor, to: Tensor) -> Tensor:
    """mean(plus) - mean(minus) + mean(to), one point (1, ...).

    What plus has and minus has not is added to `to`. Means of three or more examples each are far steadier than single
    ones.

    Args:
        plus, minus, to: points (N, ...), each at least one.

    Source: Radford et al. 2016, arXiv:1511.06434, section 6.3.2.
    """
    return plus.mean(0, keepdim=True) - minus.mean(0, keepdim=True) + to.mean(0, keepdim=True)


def around(space: Space, point: Tensor, n: int, near: float = NEAR, seed: int = 0) -> Tensor:
    """A point (1, ...) and n - 1 beside it, in the middle of which it stands: uniform noise is added to the others.

    Args:
        near: half width of the noise, in units of a draw's standard deviation in each number; codes get none.
    """
    if n < 1 or near < 0:
        raise GansmithError(f"{n} images within {near}: give at least 1 image and a width of 0 or more.")
    generator = torch.Generator().manual_seed(seed)
    offsets = 2 * torch.rand(n, len(space.unit), generator=generator) - 1
    offsets[n // 2] = 0
    return point + near * space.lifted(offsets * space.unit)


def mix(space: Space, rows: Tensor, columns: Tensor, layers: str) -> Sheet:
    """The style-mixing table: each image has the layers named from its column, and the others from its row.

    Args:
        rows, columns: points (R, ...) and (C, ...), shown themselves at the left and at the top.
        layers: as in `Space.mask`.

    Source: Karras et al. 2019, arXiv:1812.04948, figure 3.
    """
    a, b = rows.repeat_interleave(len(columns), 0), columns.repeat(len(rows), *[1] * (columns.ndim - 1))
    left, top = space.images(rows)[:, None], space.images(columns)
    crossed = space.images(space.swapped(a, b, layers)).reshape(len(rows), *top.shape)
    blank = torch.full_like(top[:1], torch.nan)
    images = torch.cat([torch.cat([blank, top])[None], torch.cat([left, crossed], 1)])
    return Sheet(images.flatten(0, 1), len(columns) + 1)


def vary(space: Space, point: Tensor, keep: str, n: int, seed: int = 0) -> Tensor:
    """Points (n, ...) that have some layers of a point (1, ...), and the others drawn anew; labels and codes stay.

    Args:
        keep: the layers that stay, as in `Space.mask`: "coarse" keeps the object and varies the rest, "fine" is the
            reverse.

    Raises:
        GansmithError: layers that are not there, none that varies, or a model without layers.
    """
    kept = space.mask(keep)
    if not (space.mask() & ~kept).any():
        raise GansmithError(f"keep {keep}: no layer is left to vary. There are layers 0 to {space.layers - 1}.")
    return torch.where(kept | ~space.mask(), point, space.draw(n, seed))


def steadiest(space: Space, point: Tensor, found: Tensor, n: int) -> Tensor:
    """The n of the points found (N, ...) whose images change the least where the point's (1, ...) has its foreground.

    In the order in which they were found.
    """
    image = space.images(point)
    _, mask = foreground((image.double() + 1) / 2)
    change = ((space.images(found) - image).square() * mask.nan_to_num()).sum((1, 2, 3))
    return found[change.argsort(stable=True)[:n].sort().values]
