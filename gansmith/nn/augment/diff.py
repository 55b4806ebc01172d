"""DiffAugment: colours, a move and a cut-out on every image that D sees."""

from __future__ import annotations

import torch
from torch import Tensor

from gansmith.nn.augment.chance import uniform

SHIFT, CUT = 0.125, 0.5  # of the side


def diffaugment(x: Tensor) -> Tensor:
    """Images (N, C, H, W) in -1 to 1, changed, always and each in its own way.

    Brightness moves by -0.5 to 0.5, saturation scales by 0 to 2, contrast by 0.5 to 1.5; a move of up to an eighth of
    the side with 0 coming in; a square of half the side is set to 0. There is no chance p: the moves are small, and
    colours lie around those of the data. Source: Zhao et al. 2020, arXiv:2006.10738, section 4; the strengths are those
    of the released code (mit-han-lab/data-efficient-gans).
    """
    return cut(shifted(shaded(x)))


def shaded(x: Tensor) -> Tensor:
    """With another brightness, saturation and contrast, in this order."""
    brightness, saturation, contrast = (
        uniform(x, low, high).view(-1, 1, 1, 1) for low, high in ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5))
    )
    x = x + brightness
    if x.shape[1] > 1:
        grey = x.mean(1, keepdim=True)
        x = grey + saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)
    return mean + contrast * (x - mean)


def shifted(x: Tensor) -> Tensor:
    """Moved by whole pixels, up to an eighth of the side each way; what comes in is 0."""
    for axis in (2, 3):
        side = x.shape[axis]
        reach = int(SHIFT * side + 0.5)
        by = torch.randint(-reach, reach + 1, (len(x), 1), device=x.device)
        at = torch.arange(side, device=x.device) - by
        shape = (len(x), 1, side, 1) if axis == 2 else (len(x), 1, 1, side)
        inside = ((at >= 0) & (at < side)).view(shape)
        moved = x.gather(axis, at.clamp(0, side - 1).view(shape).expand_as(x))
        x = moved.masked_fill(~inside, 0.0)
    return x


def cut(x: Tensor) -> Tensor:
    """With a square of half the side set to 0; its centre is anywhere in the image, so part of it may lie outside."""
    inside = torch.ones(len(x), 1, 1, dtype=torch.bool, device=x.device)
    for axis, side in ((2, x.shape[2]), (1, x.shape[3])):
        size = int(CUT * side + 0.5)
        centre = torch.randint(0, side + (1 - size % 2), (len(x), 1), device=x.device)
        at = torch.arange(side, device=x.device) - (centre - size // 2)
        inside = inside & ((at >= 0) & (at < size)).unsqueeze(axis)
    return x.masked_fill(inside[:, None], 0.0)
