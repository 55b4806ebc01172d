"""What networks that grow share: where they are, which sizes there are, and the fading of one size into the next.

A growing net is built whole. Its `Level` says which part of it is at work: 0 is the first size alone, 1 the second
alone, and 1.25 the third blended in by a quarter over the second. The level is a buffer: a checkpoint holds it, and
averages, samples and scores need no further argument.

Source: Karras et al. 2018, arXiv:1710.10196, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import pyramid, square
from gansmith.nn import down_average, up_nearest

RESOLUTIONS = tuple(sorted(base * 2**k for base in (4, 7) for k in range(1, 9) if base * 2**k <= 1024))
"""4 or 7 pixels doubled: 8, 14, 16, 28, 32, 56, 64, 112, 128, 224, 256, 448, 512, 896, 1024."""


class Plan(NamedTuple):
    """The sizes of a growing net for some images.

    Args:
        channels: of the images.
        sizes: of the feature maps, from the smallest up, in pixels.
        first: the index of the smallest size that images are made at.
    """

    channels: int
    sizes: tuple[int, ...]
    first: int


def plan(net: str, shape: tuple[int, ...], start: int = 4) -> Plan:
    """The sizes for samples of a shape (C, H, W): 4 or 7 pixels doubled up to H = W.

    Args:
        net: its name, for messages.
        start: images are made from the first size on that is at least so large, in pixels.

    Raises:
        GansmithError: H and W differ, are not 4 or 7 times a power of two from 8 to 1024, or are below `start`.

    >>> plan("progan", (3, 32, 32), start=8)
    Plan(channels=3, sizes=(4, 8, 16, 32), first=1)
    """
    channels, resolution = square(net, shape, RESOLUTIONS)
    base, doublings = pyramid(resolution)
    sizes = tuple(base * 2**k for k in range(doublings + 1))
    if start > resolution:
        raise GansmithError(f"start = {start} px is beyond the images' {resolution} px: give at most {resolution}.")
    return Plan(channels, sizes, next(i for i, size in enumerate(sizes) if size >= start))


def channels_at(stage: int, fmap_base: int, fmap_max: int) -> int:
    """Channels of the maps at 4 (or 7) pixels doubled `stage` times: fmap_base / 2^(stage + 1), at most fmap_max.

    Raises:
        GansmithError: none are left.

    >>> [channels_at(stage, 8192, 512) for stage in range(9)]
    [512, 512, 512, 512, 256, 128, 64, 32, 16]
    """
    channels = min(fmap_base >> (stage + 1), fmap_max)
    if channels < 1:
        raise GansmithError(
            f"fmap_base = {fmap_base} leaves no channels after {stage} doublings: give at least {2 ** (stage + 1)}."
        )
    return channels


class Level(nn.Module):
    """Where a growing net is. The number stays on the CPU in float32, wherever the net goes: to read it costs no wait.

    Args:
        sizes: of the images, from the first up, in pixels.
        first: how often the feature maps are doubled before the first images are made.

    >>> level = Level((4, 8, 16)); level.set(1.25); level.split()
    (2, 0.25)
    >>> level.set(1.0); level.split(), level.size
    ((1, 1.0), 8)
    """

    now: Tensor

    def __init__(self, sizes: tuple[int, ...], first: int = 0) -> None:
        super().__init__()
        self.sizes, self.first = sizes, first
        self.register_buffer("now", torch.zeros((), device="cpu"))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return self  # moved to no other device, cast to no other type

    def set(self, level: float) -> None:
        """Go to a level from 0 to len(sizes) - 1."""
        self.now.fill_(level)

    def split(self) -> tuple[int, float]:
        """(index of the current size, its share in the blend with the size before; 1 when it is alone)."""
        level = float(self.now)
        stage = math.ceil(level)
        return stage, 1.0 - (stage - level)

    @property
    def size(self) -> int:
        """The current size in pixels."""
        return self.sizes[self.split()[0]]


def level_of(nets: nn.Module) -> Level:
    """The level of the first growing net among these; `set_level` keeps all the same."""
    return next(m for m in nets.modules() if isinstance(m, Level))


def set_level(nets: nn.Module, level: float) -> None:
    """Bring all growing nets among these to a level."""
    for module in nets.modules():
        if isinstance(module, Level):
            module.set(level)


def level_at(shown: float, stable: float, fade: float, top: int) -> float:
    """The level after so many samples: `stable` at each size, then `fade` while the next fades in, up to `top`.

    All in one unit. Where both spans are 0 there is no growth: the level is `top` at once.

    >>> [level_at(shown, stable=2, fade=4, top=2) for shown in (0, 2, 3, 6, 8, 9, 12, 99)]
    [0.0, 0.0, 0.25, 1.0, 1.0, 1.25, 2.0, 2.0]
    """
    if stable + fade <= 0:
        return float(top)
    done, within = divmod(shown, stable + fade)
    return float(min(done + (max(0.0, (within - stable) / fade) if fade else 0.0), top))


def blend(old: Tensor, new: Tensor, share: float) -> Tensor:
    """`new` blended by a share from 0 to 1 over `old`, of the same shape."""
    return torch.lerp(old, new, share)


def shrink(x: Tensor, size: int) -> Tensor:
    """Images (N, C, H, H) made smaller to (N, C, size, size), each pixel the mean of a square; H a multiple of size."""
    factor = x.shape[-1] // size
    return F.avg_pool2d(x, factor) if factor > 1 else x


def enlarge(x: Tensor, size: int) -> Tensor:
    """Images (N, C, H, H) made larger to (N, C, size, size), each pixel repeated; size a multiple of H."""
    return F.interpolate(x, size=(size, size), mode="nearest") if x.shape[-1] < size else x


def as_seen(real: Tensor, level: Level) -> Tensor:
    """Real images (N, C, H, H) as D is shown them: at the current size, and faded like the generated ones.

    While a size fades in, the details that only it can show fade in with it: the image is blended over itself halved
    and doubled. Source: tkarras/progressive_growing_of_gans, train.py.
    """
    stage, share = level.split()
    x = shrink(real, level.sizes[stage])
    return x if share == 1.0 else blend(up_nearest(down_average(x)), x, share)
