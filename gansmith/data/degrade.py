"""Degradations with a name: what makes, from an image, the worse one that belongs to it.

"downscale 4"        a quarter of each side; "downscale 4 lanczos" with another filter of Pillow's than bicubic
"grey"               luma, one channel
"edges"              a line drawing, one channel
"noise 0.1"          Gaussian noise, its standard deviation as a share of black to white
"blur 1.5"           Gaussian blur, its standard deviation in pixels
"holes 0.25"         a hole that covers this share, filled with grey
"jpeg 30"            compressed as JPEG at this quality
"telescope 1.4 1.2"  images of the sky through a point spread function of this width (arcsec), with this much more noise

Except for downscale, a number may be a range, as "noise 0-0.2": each image then draws its own, evenly. Several steps,
with + or a comma between them, run in order. All randomness is torch's global one.

>>> parse("blur 1-2, downscale 4").text
'blur 1-2 + downscale 4 bicubic'
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansmith.data.filters import FILTERS, blur, lines, shrink
from gansmith.data.holes import hole_masks
from gansmith.data.names import show
from gansmith.data.telescope import observe
from gansmith.errors import GansmithError, did_you_mean

NUMBER = r"\d+(?:\.\d*)?|\.\d+"
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow's "L"


class Step(NamedTuple):
    """One step: its canonical text, and what it does to images or, `cut`, which pixels of (n, C, H, W) it cuts out."""

    text: str
    run: Callable[[Tensor], Tensor] | None = None
    cut: Callable[[Tensor], Tensor] | None = None
    scale: int = 1
    grey: bool = False


@dataclass(frozen=True)
class Degradation:
    """Makes the image of A that belongs to one of B.

    Args:
        steps: in order.
    """

    steps: tuple[Step, ...]

    @property
    def text(self) -> str:
        """The canonical text, which parses to the same."""
        return " + ".join(step.text for step in self.steps)

    @property
    def scale(self) -> int:
        """How many times smaller each side becomes."""
        return prod(step.scale for step in self.steps)

    def channels(self, c: int) -> int:
        """Channels of what images of `c` channels become."""
        return 1 if any(step.grey for step in self.steps) else c

    def __call__(self, b: Tensor, /) -> Tensor:
        """Images (n, C, H, W) in [-1, 1] as (n, C', H / scale, W / scale), float32 in [-1, 1]; no gradient.

        Raises:
            GansmithError: C is neither 1 nor 3, or `scale` does not divide H and W.
        """
        return self.with_mask(b)[0]

    @torch.no_grad()
    def with_mask(self, b: Tensor) -> tuple[Tensor, Tensor]:
        """As a call, and where holes were cut: float32 (n, 1, H / scale, W / scale), 1 in the holes and 0 elsewhere."""
        n, c, h, w = b.shape
        if c not in (1, 3) or h % self.scale or w % self.scale:
            raise GansmithError(
                f'"{self.text}" is for images of 1 or 3 channels whose sides are multiples of {self.scale}, not for '
                f"{w} x {h} pixels with {c}."
            )
        x, mask = b.detach().to(torch.float32), b.new_zeros(n, 1, h, w, dtype=torch.float32)
        with torch.autocast(b.device.type, enabled=False):
            for step in self.steps:
                if step.cut:
                    hole = step.cut(x)
                    x, mask = x * (1 - hole), torch.maximum(mask, hole)
                elif step.run:
                    x = step.run(x)
                    mask = F.max_pool2d(mask, step.scale)
        return x, mask


def parse(text: str) -> Degradation:
    """The degradation that a text names.

    Raises:
        GansmithError: an unknown step, or a number that is missing or out of range.
    """
    parts = [part.split() for part in re.split("[+,]", str(text).lower())]
    if not all(parts):
        raise GansmithError(f'"{show(str(text))[:80]}" is no degradation: give {_names()}, such as "downscale 4".')
    return Degradation(tuple(_step(name, words) for name, *words in parts))


def _names() -> str:
    return f"one or more of {', '.join(STEPS)} with + between them"


def _step(name: str, words: Sequence[str]) -> Step:
    if name not in STEPS:
        said = show(name)[:40]
        raise GansmithError(f'There is no degradation "{said}".{did_you_mean(name, STEPS)} Give {_names()}.')
    make, form = STEPS[name]
    step = make(words)
    if step is None:
        said = show(" ".join((name, *words)))[:80]
        raise GansmithError(f'"{said}" is no valid degradation: write {form}.')
    return step


class Span(NamedTuple):
    """A number, or the range that each image draws its own from."""

    low: float
    high: float

    def __str__(self) -> str:
        low, high = (np.format_float_positional(number, trim="-") for number in self)
        return low if low == high else f"{low}-{high}"

    def draw(self, x: Tensor) -> Tensor:
        """One number for each image (n,)."""
        if self.low == self.high:
            return torch.full((len(x),), self.low, device=x.device)
        return self.low + (self.high - self.low) * torch.rand(len(x), device=x.device)


def _spans(words: Sequence[str], *ranges: tuple[float, float]) -> list[Span] | None:
    """One span a word, each within its range; None when anything does not fit."""
    if len(words) != len(ranges):
        return None
    found = []
    for word, (low, high) in zip(words, ranges, strict=True):
        match = re.fullmatch(rf"({NUMBER})(?:-({NUMBER}))?", word, re.ASCII)
        if not match:
            return None
        span = Span(float(match[1]), float(match[2] or match[1]))
        if not low <= span.low <= span.high <= high:
            return None
        found.append(span)
    return found


# ---- the steps


def _downscale(words: Sequence[str]) -> Step | None:
    factor, filter = words if len(words) == 2 else (*words, "bicubic") if len(words) == 1 else ("", "")
    if filter not in FILTERS or not re.fullmatch(r"\d{1,2}", factor, re.ASCII) or not 2 <= int(factor) <= 16:
        return None
    run = partial(shrink, factor=int(factor), filter=filter)
    return Step(f"downscale {int(factor)} {filter}", run, scale=int(factor))


def _grey(words: Sequence[str]) -> Step | None:
    return None if words else Step("grey", _luma, grey=True)


def _luma(x: Tensor) -> Tensor:
    weights = torch.tensor(LUMA, device=x.device)[:, None, None]
    return x if x.shape[1] == 1 else (x * weights).sum(1, keepdim=True)


def _edges(words: Sequence[str]) -> Step | None:
    return None if words else Step("edges", lines, grey=True)


def _noise(words: Sequence[str]) -> Step | None:
    if not (spans := _spans(words, (0, 1))):
        return None
    (sigma,) = spans

    def run(x: Tensor) -> Tensor:
        return (x + 2 * sigma.draw(x)[:, None, None, None] * torch.randn(x.shape, device=x.device)).clamp(-1, 1)

    return Step(f"noise {sigma}", run)


def _blur(words: Sequence[str]) -> Step | None:
    if not (spans := _spans(words, (0, 50))):
        return None
    (sigma,) = spans
    return Step(f"blur {sigma}", lambda x: blur(x, sigma.draw(x), sigma.high))


def _holes(words: Sequence[str]) -> Step | None:
    if not (spans := _spans(words, (0.01, 0.9))):
        return None
    (share,) = spans
    return Step(f"holes {share}", cut=lambda x: hole_masks((x.shape[2], x.shape[3]), share.draw(x)))


def _jpeg(words: Sequence[str]) -> Step | None:
    spans = _spans(words, (1, 100))
    if not spans or any(number % 1 for number in spans[0]):
        return None
    low, high = (int(number) for number in spans[0])
    return Step(f"jpeg {spans[0]}", lambda x: _compressed(x, low, high))


def _compressed(x: Tensor, low: int, high: int) -> Tensor:
    """Images (n, C, H, W) as Pillow gives them back from JPEG files of qualities from `low` to `high`."""
    qualities = torch.randint(low, high + 1, (len(x),)).tolist() if low < high else [low] * len(x)
    pixels = ((x + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    back = np.empty_like(pixels)
    for i, quality in enumerate(qualities):
        file = io.BytesIO()
        Image.fromarray(pixels[i].squeeze(2) if x.shape[1] == 1 else pixels[i]).save(file, "JPEG", quality=quality)
        back[i] = np.asarray(Image.open(file)).reshape(back[i].shape)
    return torch.from_numpy(back).to(x.device).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1)


def _telescope(words: Sequence[str]) -> Step | None:
    if not (spans := _spans(words, (0.1, 10), (1, 20))):
        return None
    fwhm, noise = spans
    return Step(f"telescope {fwhm} {noise}", lambda x: observe(x, fwhm.draw(x), noise.draw(x), fwhm.high))


STEPS: dict[str, tuple[Callable[[Sequence[str]], Step | None], str]] = {
    "downscale": (
        _downscale,
        f'"downscale 4" with a whole number from 2 to 16, and perhaps a filter behind it: {", ".join(FILTERS)}',
    ),
    "grey": (_grey, '"grey" alone'),
    "edges": (_edges, '"edges" alone'),
    "noise": (_noise, '"noise 0.1" or "noise 0-0.2", a share of the range from black to white, 0 to 1'),
    "blur": (_blur, '"blur 1.5" or "blur 0-2", a standard deviation of 0 to 50 pixels'),
    "holes": (_holes, '"holes 0.25" or "holes 0.1-0.4", the share that is cut out, 0.01 to 0.9'),
    "jpeg": (_jpeg, '"jpeg 30" or "jpeg 20-60", a quality in whole numbers from 1 to 100'),
    "telescope": (
        _telescope,
        '"telescope 1.4 1.2", a width of 0.1 to 10 arcsec and a factor of the noise of 1 to 20, or ranges of them',
    ),
}
"""Of each step: what makes it from the words behind its name (None = they do not fit), and the form they must have."""
