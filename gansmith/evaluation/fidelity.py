"""How near images come to the very ones that they should be: a number for each image, and what is compared of it.

Super-resolution is usually scored on luma alone with a border cut off, everything else on RGB. The two give different
numbers for the same images, so a score must say which it is; `luma` and `cropped` make the first of the second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.inputs import Rows, rows

BLOCK = 2**22
"""Values of one image set that are worked on at once."""


def as_saved(x: Any, name: str) -> Tensor:
    """Images (N, C, H, W) as an 8-bit file would hold them: clipped to [-1, 1] and rounded to 256 levels, float32.

    Raises:
        GansmithError: no images, values that are not finite, or values of another range.

    >>> as_saved(torch.tensor([[[[0.0, 2.0]]]]), "outputs")                     # 128 / 127.5 - 1
    tensor([[[[0.0039, 1.0000]]]])
    """
    found = rows(x, name, 1)
    shape = tuple(x.shape)
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise GansmithError(f"{name} has shape {shape}: give images (N, 1 or 3 channels, height, width).")
    low, high = (float(end) for end in found.aminmax())
    if low >= 0 and high > 10:
        raise GansmithError(f"{name} has values from {low:g} to {high:g}: scale images to [-1, 1].")
    return ((found.reshape(shape).float().clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def psnr(a: Rows, b: Rows) -> Tensor:
    """Peak signal-to-noise ratio of each pair, dB: (N,) float64, infinite for equal images.

    10 log10(2^2 / E(a - b)^2), where 2 is the width of the range. The mean is over channels and pixels.

    Args:
        a, b: (N, C, H, W) in [-1, 1].

    Raises:
        GansmithError: as `inputs.rows`, or unlike shapes.

    >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.2))           # 10 log10(4 / 0.04)
    tensor([20.], dtype=torch.float64)
    """
    return 10 * torch.log10(4 / _means(lambda d: d.square(), a, b))


def absolute_error(a: Rows, b: Rows) -> Tensor:
    """E|a - b| of each pair over channels and pixels: (N,) float64, 0 to 2, in the unit of images in [-1, 1].

    Args:
        a, b: (N, C, H, W).

    Raises:
        GansmithError: as `inputs.rows`, or unlike shapes.

    >>> absolute_error(torch.zeros(1, 1, 1, 2), torch.tensor([[[[0.5, -1.0]]]]))
    tensor([0.7500], dtype=torch.float64)
    """
    return _means(lambda d: d.abs(), a, b)


def pixel_accuracy(outputs: Tensor, targets: Tensor, palette: Tensor) -> Tensor:
    """Share of the pixels of each image whose class is right: (N,) float64, 0 to 1.

    The class of a pixel is the colour of the palette that is nearest to it (Euclidean; of several, the first).

    Args:
        outputs: (N, C, H, W).
        targets: as `outputs`, or classes (N, H, W) of whole numbers from 0.
        palette: colours (K, C) of the classes, in the range of `outputs`.

    Raises:
        GansmithError: shapes that do not fit, or a class without a colour.

    >>> black_white = torch.tensor([[-1.0], [1.0]])
    >>> pixel_accuracy(torch.tensor([[[[-0.9, 0.4]]]]), torch.tensor([[[0, 0]]]), black_white)
    tensor([0.5000], dtype=torch.float64)
    """
    if palette.ndim != 2 or palette.shape[1] != outputs.shape[1] or len(palette) < 2:
        raise GansmithError(
            f"The palette has shape {tuple(palette.shape)}: give colours (K, {outputs.shape[1]}) of 2 classes or more."
        )
    wanted = targets.to(outputs.device) if targets.ndim == 3 else nearest_colours(targets.to(outputs.device), palette)
    if wanted.shape != (len(outputs), *outputs.shape[2:]):
        raise GansmithError(
            f"outputs has shape {tuple(outputs.shape)} and targets {tuple(targets.shape)}: unlike sizes."
        )
    if wanted.min() < 0 or wanted.max() >= len(palette):
        raise GansmithError(f"targets has classes beyond the {len(palette)} colours of the palette.")
    return (nearest_colours(outputs, palette) == wanted).double().mean((1, 2))


def nearest_colours(images: Tensor, palette: Tensor) -> Tensor:
    """Which colour of a palette (K, C) is nearest to each pixel of images (N, C, H, W): (N, H, W) int64."""
    best = torch.full_like(images[:, 0], torch.inf)
    found = torch.zeros_like(best, dtype=torch.int64)
    for k, colour in enumerate(palette.to(images)):
        away = (images - colour[:, None, None]).square().sum(1)
        found = torch.where(away < best, k, found)
        best = torch.minimum(away, best)
    return found


def luma(x: Tensor) -> Tensor:
    """Y of ITU-R BT.601 as in YCbCr, of colour images (N, 3, H, W) in [-1, 1]: (N, 1, H, W).

    On the scale of 0 to 255, Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255, not rounded: 16 for black and 235 for
    white. The range is kept at 255, as is usual in super-resolution.

    Raises:
        GansmithError: the images have no colours.

    >>> (luma(torch.ones(1, 3, 1, 1)) + 1) * 127.5
    tensor([[[[235.]]]])
    """
    if x.shape[1] != 3:
        raise GansmithError(f"Luma is taken of images in colour, not of {x.shape[1]} channels: score them as they are.")
    weights = torch.tensor([65.481, 128.553, 24.966], dtype=torch.float64, device=x.device)
    y = 16 + ((x.double() + 1) / 2 * weights[:, None, None]).sum(1, keepdim=True)
    return (y / 127.5 - 1).float()


def cropped(x: Tensor, border: int) -> Tensor:
    """Images (N, C, H, W) without so many pixels on each side. Raises GansmithError when none would be left."""
    if border < 0 or 2 * border >= min(x.shape[2:]):
        raise GansmithError(f"border = {border} leaves nothing of {x.shape[2]} x {x.shape[3]} px: give less.")
    return x[:, :, border : x.shape[2] - border, border : x.shape[3] - border]


def _means(of: Callable[[Tensor], Tensor], a: Rows, b: Rows) -> Tensor:
    """Mean of a function of the differences of each pair (N,), float64, block by block."""
    shapes = tuple(a.shape), tuple(b.shape)
    if shapes[0] != shapes[1]:
        raise GansmithError(f"a has shape {shapes[0]} and b has {shapes[1]}: pairs need equal shapes.")
    x, y = rows(a, "a", 1), rows(b, "b", 1)
    size = max(1, BLOCK // x.shape[1])
    pairs = zip(torch.split(x, size), torch.split(y, size), strict=True)
    return torch.cat([of(u.double() - v.to(u.device).double()).mean(1) for u, v in pairs])
