"""What becomes of an image's colours: affine maps of (red, green, blue), composed and applied once."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gansmith.nn.augment.chance import chosen, falls, lognormal, normal, uniform

BRIGHTNESS = 0.2  # standard deviation, in units of the range -1 to 1
CONTRAST, SATURATION = 0.5, 1.0  # octaves
GREY_AXIS = 1 / math.sqrt(3)


def recolour(x: Tensor, p: Tensor | float) -> Tensor:
    """Images (N, 1 or 3, H, W) with other brightness, contrast, inverted luma, hue and saturation, each with chance p.

    Chance decides as well whether luma is inverted, so p = 1 inverts half of the images. A grey image is one whose
    three channels are alike, so hue and saturation leave it as it is. Source: arXiv:2006.06676, appendix B.
    """
    maps = [
        brightening(normal(x, BRIGHTNESS)),
        contrasting(lognormal(x, CONTRAST)),
        inverting(falls(x, 0.5).to(x.dtype)),
        hue(uniform(x, -math.pi, math.pi)),
        saturating(lognormal(x, SATURATION)),
    ]
    total = same = torch.eye(4, device=x.device, dtype=x.dtype).expand(len(x), 4, 4)
    ons = [falls(x, p) for _ in maps]
    for on, one in zip(ons, maps, strict=True):
        total = chosen(on, one, same) @ total
    return chosen(torch.stack(ons).any(0), coloured(x, total), x)


def coloured(x: Tensor, maps: Tensor) -> Tensor:
    """Images (N, C, H, W) under affine maps (N, 4, 4) of colours; grey ones (C = 1) as colours alike in all three."""
    n, c, h, w = x.shape
    if c == 1:
        gain, offset = maps[:, :3, :3].sum(2).mean(1), maps[:, :3, 3].mean(1)
        return x * gain.view(n, 1, 1, 1) + offset.view(n, 1, 1, 1)
    return (maps[:, :3, :3] @ x.flatten(2) + maps[:, :3, 3:]).view(n, c, h, w)


def brightening(by: Tensor) -> Tensor:
    """Maps (N, 4, 4) that add (N,) to all three."""
    maps = torch.eye(4, device=by.device, dtype=by.dtype).repeat(len(by), 1, 1)
    maps[:, :3, 3] = by[:, None]
    return maps


def contrasting(factor: Tensor) -> Tensor:
    """Maps (N, 4, 4) that scale all three by (N,)."""
    return _linear(factor.view(-1, 1, 1) * torch.eye(3, device=factor.device, dtype=factor.dtype))


def inverting(on: Tensor) -> Tensor:
    """Maps (N, 4, 4) that turn luma into its negative where on (N,) is 1 and leave hue and saturation."""
    return _linear(_eye(on) - 2 * on.view(-1, 1, 1) * _axis(on))


def hue(angle: Tensor) -> Tensor:
    """Maps (N, 4, 4) that turn colours by angles (N,) in radians around the grey axis, red towards green."""
    a = angle.view(-1, 1, 1)
    cross = GREY_AXIS * torch.tensor([[0, -1, 1], [1, 0, -1], [-1, 1, 0]], device=a.device, dtype=a.dtype)
    return _linear(a.cos() * _eye(a) + a.sin() * cross + (1 - a.cos()) * _axis(a))


def saturating(factor: Tensor) -> Tensor:
    """Maps (N, 4, 4) that scale the distance from grey by (N,)."""
    return _linear(_axis(factor) + factor.view(-1, 1, 1) * (_eye(factor) - _axis(factor)))


def _eye(like: Tensor) -> Tensor:
    return torch.eye(3, device=like.device, dtype=like.dtype)


def _axis(like: Tensor) -> Tensor:
    """The projection (3, 3) of colours on grey ones: luma is the mean of the three."""
    return torch.full((3, 3), 1 / 3, device=like.device, dtype=like.dtype)


def _linear(maps: Tensor) -> Tensor:
    """(N, 3, 3) -> (N, 4, 4)."""
    out = torch.eye(4, device=maps.device, dtype=maps.dtype).repeat(len(maps), 1, 1)
    out[:, :3, :3] = maps
    return out
