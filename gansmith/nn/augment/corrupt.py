"""What an image loses: some of its frequencies, its cleanness, a part of its area."""

from __future__ import annotations

import math
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.nn.augment.chance import chosen, falls, lognormal, normal, uniform
from gansmith.nn.augment.geometry import mirrored

SYM2 = tuple(v / (4 * math.sqrt(2)) for v in (1 + 3**0.5, 3 + 3**0.5, 3 - 3**0.5, 1 - 3**0.5))
"""The low-pass filter of the symlet with 2 vanishing moments."""

BANDS = 4
POWER = (10 / 13, 1 / 13, 1 / 13, 1 / 13)
"""The share of an image's power that a natural one is expected to have in each band, the lowest first."""

GAIN = 1.0  # octaves
NOISE = 0.1  # standard deviation of the noise's own standard deviation
CUT = 0.5  # of the side


@cache
def filter_bank() -> Tensor:
    """Four filters (4, 43), the lowest frequencies first: to pi / 8, pi / 4, pi / 2 and pi. Their sum is the identity.

    Halves of halves, as a wavelet packet splits them, without leaving out samples: the upper half is what the lower
    leaves. Source: arXiv:2006.06676, appendix B.
    """
    h = torch.tensor(SYM2, dtype=torch.float64)
    low = F.conv1d(h.view(1, 1, -1), h.view(1, 1, -1), padding=len(h) - 1).flatten() / 2  # autocorrelation
    size = 1 + (len(low) - 1) * (2 ** (BANDS - 1) - 1)
    rest, bands = _centred(torch.ones(1, dtype=low.dtype), size), []
    for level in range(BANDS - 1):
        below = _convolved(rest, _spread(low, 2**level))
        bands.append(rest - below)
        rest = below
    return torch.stack([rest, *reversed(bands)])


def _spread(taps: Tensor, step: int) -> Tensor:
    """Taps with step - 1 zeros between."""
    out = taps.new_zeros((len(taps) - 1) * step + 1)
    out[::step] = taps
    return out


def _centred(taps: Tensor, size: int) -> Tensor:
    return F.pad(taps, ((size - len(taps)) // 2,) * 2)


def _convolved(a: Tensor, b: Tensor) -> Tensor:
    """a * b for symmetric b, as long as a."""
    return F.conv1d(a.view(1, 1, -1), b.view(1, 1, -1), padding=len(b) // 2).flatten()


def refilter(x: Tensor, p: Tensor | float) -> Tensor:
    """Images (N, C, H, W) whose four bands of frequencies are amplified or damped, each with chance p.

    Each change is followed by a scaling that keeps the power of a natural image. Source: arXiv:2006.06676, appendix B.
    """
    power = torch.tensor(POWER, device=x.device, dtype=x.dtype)
    gains, ons = x.new_ones(len(x), BANDS), [falls(x, p) for _ in range(BANDS)]
    for band, on in enumerate(ons):
        one = x.new_ones(len(x), BANDS)
        one[:, band] = torch.where(on, lognormal(x, GAIN), one[:, band])
        gains = gains * one / (power * one.square()).sum(1, keepdim=True).sqrt()
    return chosen(torch.stack(ons).any(0), filtered(x, gains), x)


def filtered(x: Tensor, gains: Tensor) -> Tensor:
    """Images (N, C, H, W) with the bands of `filter_bank` scaled by gains (N, 4) on both axes, the border mirrored."""
    n, c, h, w = x.shape
    taps = (gains @ filter_bank().to(gains)).repeat_interleave(c, 0)
    margin = taps.shape[1] // 2
    rows = mirrored(x, 3, margin).reshape(1, n * c, h, w + 2 * margin)
    rows = F.conv2d(rows, taps[:, None, None], groups=n * c).view(n, c, h, w)
    columns = mirrored(rows, 2, margin).reshape(1, n * c, h + 2 * margin, w)
    return F.conv2d(columns, taps[:, None, :, None], groups=n * c).view(n, c, h, w)


def noisy(x: Tensor, p: Tensor | float) -> Tensor:
    """Images (N, C, H, W) with normal noise on every value, with chance p; its strength is half-normal (0.1).

    Source: arXiv:2006.06676, appendix B.
    """
    strength = normal(x, NOISE).abs() * falls(x, p)
    return x + strength.view(-1, 1, 1, 1) * torch.randn_like(x)


def cut_out(x: Tensor, p: Tensor | float) -> Tensor:
    """Images (N, C, H, W) with a rectangle of half the height and width set to 0, with chance p.

    Its centre is anywhere in the image. Source: arXiv:2006.06676, appendix B.
    """
    inside = falls(x, p).view(-1, 1, 1)
    for axis, side in ((2, x.shape[2]), (1, x.shape[3])):
        places = (torch.arange(side, device=x.device, dtype=x.dtype) + 0.5) / side
        near = (places - uniform(x, 0.0, 1.0)[:, None]).abs() < CUT / 2
        inside = inside & near.unsqueeze(axis)
    return x.masked_fill(inside[:, None], 0.0)
