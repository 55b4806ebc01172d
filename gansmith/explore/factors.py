"""What pictures show, in numbers that people understand, read from the pixels without labels.

A picture is taken for a foreground before an even background. Colour, place, extent and form of the foreground are
measured, each by a number that says as little as possible about the others: another hue moves "hue" alone, a bolder
stroke has more "fullness" and nearly the same "size", a sheared letter has another "slant" alone.

>>> picture = torch.full((1, 1, 8, 8), -1.0)
>>> picture[:, :, 1:5, 3:7] = 0.5                    # a grey square of 4 px, 1 px from the top and 3 px from the left
>>> [f"{name} {value.item():.2f}" for name, value in measure(picture).items()]
['brightness 0.75', 'background 0.00', 'x 0.62', 'y 0.38', 'size 0.58', 'aspect 1.00', 'slant 0.00', 'fullness 0.95']
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.ssim import images as checked

Measures = dict[str, Tensor]
"""A value for each picture (N,), float64 on the CPU, by names in MEASURES. NaN where a measure does not apply."""


class Measure(NamedTuple):
    """What a number says, its unit, and the least difference that counts: a spread is never taken to be smaller."""

    meaning: str
    unit: str
    least: float


MEASURES = {
    "hue": Measure("mean hue of the foreground, circular", "turns: red 0, green 1/3, blue 2/3", 0.02),
    "saturation": Measure("colourfulness of the foreground: largest less smallest channel", "0 to 1", 0.05),
    "brightness": Measure("lightness of the foreground: midway from smallest to largest channel", "0 to 1", 0.05),
    "background": Measure("lightness of the background", "0 to 1", 0.05),
    "x": Measure("centre of the foreground, from the left", "share of the width", 0.02),
    "y": Measure("centre of the foreground, from the top", "share of the height", 0.02),
    "size": Measure("extent of the foreground: diameter of a disc as spread out as it is", "share of the side", 0.02),
    "aspect": Measure("width of the foreground by its height, its slant taken out", "1 = as wide as high", 0.1),
    "slant": Measure("lean of the foreground to the right", "degrees from upright", 3.0),
    "fullness": Measure("how far the foreground fills its extent: little for thin strokes", "1 = a disc", 0.05),
}
"""In the order of `measure`. Grey pictures have neither hue nor saturation."""

EDGE = (0.2, 0.6)
"""Distances from the background's colour at which the foreground begins and is full, as shares of the largest one."""
FAINTEST = 0.05
"""The largest distance, 0 to 1, up to which nothing stands out."""
NOISE = 2.5
"""Distances are noise up to so many times the typical one, that between neighbouring pixels."""
GREYEST = 0.03
"""A mean colour up to this chroma, 0 to 1, has no hue."""
BLOCK = 2**20
"""Values of pictures that are worked on at once."""


def measure(images: Tensor) -> Measures:
    """What each picture shows, by the names in MEASURES; "hue" and "saturation" for colour pictures only.

    Where nothing stands out from the background, all but "background" are NaN; so is the hue of a grey foreground.

    Args:
        images: (N, C, H, W) in [-1, 1], C = 1 or 3, sides of 3 px or more.

    Raises:
        GansmithError: not such images.
    """
    found = checked(images, "images", 1)
    channels, height, width = found.shape[1:]
    if channels not in (1, 3) or min(height, width) < 3:
        raise GansmithError(
            f"images have {channels} channels of {height} x {width} px: give 1 (grey) or 3 (colour), and 3 px or more."
        )
    parts = [unchecked(block) for block in torch.split(found, max(1, BLOCK // found[0].numel()))]
    return {name: torch.cat([part[name] for part in parts]) for name in MEASURES if name in parts[0]}


def unchecked(images: Tensor) -> Measures:
    """As `measure`, of images that fit into memory at once and may leave [-1, 1]; gradients reach them."""
    pixels = (images.cpu().double() + 1) / 2
    background, mask = foreground(pixels)
    inside = (mask * F.avg_pool2d(mask, 3, 1, 1)) ** 4  # at the edge, colours are mixed with the background's
    inside = inside / inside.sum((1, 2), keepdim=True)
    found = {"background": _lightness(background), "brightness": (inside * _lightness(pixels)).sum((1, 2))}
    if pixels.shape[1] == 3:
        found["saturation"] = (inside * (pixels.amax(1) - pixels.amin(1))).sum((1, 2))
        found["hue"] = _hue(torch.einsum("nhw,nchw->nc", inside, pixels))
    return found | _form(mask)


def _lightness(pixels: Tensor) -> Tensor:
    """(N, C, ...) -> (N, ...). All pure hues are equally light in this sense."""
    return (pixels.amax(1) + pixels.amin(1)) / 2


def _hue(colour: Tensor) -> Tensor:
    """Hues (N,) in turns of colours (N, 3): their direction, where red, green and blue pull a third of a turn apart.

    Of a mean colour, so that strong colours weigh more and opposite ones cancel.
    """
    third = torch.arange(3, dtype=torch.float64) * (2 * math.pi / 3)
    right, up = colour @ third.cos(), colour @ third.sin()
    hue = torch.atan2(up, right) / (2 * math.pi)
    return (hue % 1).where(torch.hypot(right, up) > GREYEST, torch.nan)


def foreground(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """The background's colour (N, C), and how far each pixel (N, H, W) is foreground, 0 to 1.

    The background has the median colour of the border, and a pixel is foreground by the distance of its colour from
    that (root mean square over the channels). Where nothing stands out, the mask is NaN.

    Args:
        pixels: (N, C, H, W) from 0 to 1, sides of 3 px or more.
    """
    border = torch.ones(pixels.shape[2:], dtype=torch.bool)
    border[1:-1, 1:-1] = False
    background = pixels[:, :, border].median(-1).values
    distance = _length(pixels - background[:, :, None, None])
    largest = F.avg_pool2d(distance, 3, 1, 1, count_include_pad=False).amax((1, 2))  # not of one odd pixel
    noise = _length(pixels.diff(dim=3)).flatten(1).median(1).values / math.sqrt(2)
    low, high = torch.maximum(EDGE[0] * largest, NOISE * noise), EDGE[1] * largest
    width = (high - low).where((largest > FAINTEST) & (low < high), torch.nan)
    return background, ((distance - low[:, None, None]) / width[:, None, None]).clamp(0, 1)


def _length(colours: Tensor) -> Tensor:
    return colours.square().mean(1).sqrt()


def _form(mask: Tensor) -> Measures:
    """Place and form of the foreground, from the moments of its mask (N, H, W).

    The second moments, a matrix [[xx, xy], [xy, yy]], are split into three numbers that do not move each other: extent
    det^(1/4), slant xy / yy, and the aspect that is left once the slant is taken out, det^(1/2) / yy. Fullness compares
    the area with that of a filled ellipse of these moments, 4 pi det^(1/2).
    """
    height, width = mask.shape[1:]
    area = mask.sum((1, 2))
    share = mask / area[:, None, None]
    columns, rows = share.sum(1), share.sum(2)
    across, down = torch.arange(width).double() + 0.5, torch.arange(height).double() + 0.5
    x, y = columns @ across, rows @ down
    right, up = across - x[:, None], y[:, None] - down
    xx = (columns * right**2).sum(1) + 1 / 12  # a pixel is a square, not a point
    yy = (rows * up**2).sum(1) + 1 / 12
    xy = torch.einsum("nhw,nh,nw->n", share, up, right)
    root = (xx * yy - xy**2).sqrt()
    return {
        "x": x / width,
        "y": y / height,
        "size": 4 * root.sqrt() / math.sqrt(height * width),
        "aspect": root / yy,
        "slant": torch.rad2deg((xy / yy).atan()),
        "fullness": area / (4 * math.pi * root),
    }
