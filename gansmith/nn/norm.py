"""Normalisation: by name, and of each pixel's features."""

from __future__ import annotations

from torch import Tensor, nn


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


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x (N, C, ...) divided by the root mean square over its C channels, at each place by itself.

    Computed in float32. Source: Karras et al. 2018, arXiv:1710.10196, section 4.2.

    >>> import torch
    >>> pixel_norm(torch.tensor([[3.0, -1.0, 1.0, 1.0]])).tolist()          # root of (9 + 1 + 1 + 1) / 4 is sqrt 3
    [[1.7320507764816284, -0.5773502588272095, 0.5773502588272095, 0.5773502588272095]]
    """
    wide = x.float()
    return (wide * (wide.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)
