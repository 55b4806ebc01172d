"""Distances between what a discriminator's hidden layers make of reals and of fakes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gansmith.errors import GansmithError


def feature_matching(real: Sequence[Sequence[Tensor]], fake: Sequence[Sequence[Tensor]]) -> Tensor:
    """pix2pixHD's: the mean over discriminators of 4 / L times the sum over their L layers of E |f(x) - f(y)|.

    Args:
        real: for each discriminator, the features of its hidden layers for reals; detached inside.
        fake: the same for the fakes that belong to these reals, in the same shapes.

    Returns:
        Scalar, at least 0; the paper's loss adds 10 times as much to G's. With the released three layers of stride 2,
        L is 4 and each layer counts once.

    Raises:
        GansmithError: numbers or shapes differ.

    Source: Wang et al. 2018, arXiv:1711.11585, eq. 4; weights of NVIDIA/pix2pixHD.

    >>> a, b = torch.zeros(1, 2), torch.tensor([[1.0, 3.0]])
    >>> feature_matching([[a, a]], [[b, a]])                           # 4 / 2 * (2 + 0)
    tensor(4.)
    """
    if len(real) != len(fake):
        raise GansmithError(f"Feature matching compares as many discriminators, not {len(real)} with {len(fake)}.")
    distances = []
    for layers in map(_paired, real, fake):
        gaps = [(f - r).abs().mean(dtype=_wide(f)) for r, f in layers]
        distances.append(4 * torch.stack(gaps).mean())
    return torch.stack(distances).mean()


def mean_feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """DiscoGAN's: the sum over layers of the mean square of E f(x) - E f(y), where E is over the batch.

    Reals and fakes need not belong together, and may differ in number.

    Args:
        real: features (N, ...) of each layer for reals; detached inside.
        fake: the same for fakes.

    Returns:
        Scalar, at least 0.

    Raises:
        GansmithError: numbers of layers or shapes differ.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.1; the sum as in SKTBrain/DiscoGAN.

    >>> mean_feature_matching([torch.tensor([[1.0, 2.0], [3.0, 2.0]])], [torch.zeros(1, 2)])       # (4 + 4) / 2
    tensor(4.)
    """
    gaps = [f.mean(0, dtype=_wide(f)) - r.mean(0, dtype=_wide(r)) for r, f in _paired(real, fake, 1)]
    return torch.stack([gap.square().mean() for gap in gaps]).sum()


def _paired(real: Sequence[Tensor], fake: Sequence[Tensor], start: int = 0) -> list[tuple[Tensor, Tensor]]:
    """Layer by layer, reals detached; axes before `start` may differ."""
    shapes = [[tuple(f.shape[start:]) for f in side] for side in (real, fake)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise GansmithError(
            f"Feature matching compares layer by layer, but the layers of reals and fakes are {shapes[0]} and "
            f"{shapes[1]}: take them from the same discriminator."
        )
    return [(r.detach(), f) for r, f in zip(real, fake, strict=True)]


def _wide(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
