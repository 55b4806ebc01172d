"""Normalisation by name."""

from __future__ import annotations

from torch import nn


def norm(kind: str, channels: int, dims: int) -> nn.Module:
    """The normalisation layer of that name for features (N, channels) or (N, channels, H, W).

    Args:
        kind: "batch" couples the samples of a batch, so it must not stand in a discriminator under a
            per-sample gradient penalty; "layer" takes its mean and variance over all features of one sample
            and scales per channel, as in WGAN-GP's critics; "none" does nothing.
        channels: size of axis 1.
        dims: 0 for (N, channels), 2 for (N, channels, H, W).

    >>> import torch
    >>> x = torch.tensor([[0.0, 2.0], [7.0, 9.0]])
    >>> norm("layer", 2, 0)(x).round().tolist(), norm("batch", 2, 0)(x).round().tolist()   # over a row, over a column
    ([[-1.0, 1.0], [-1.0, 1.0]], [[-1.0, -1.0], [1.0, 1.0]])
    """
    if kind == "batch":
        return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm1d(channels)
    if kind == "layer":
        return nn.GroupNorm(1, channels)
    assert kind == "none", kind
    return nn.Identity()
