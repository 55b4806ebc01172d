"""Normalisation: by name, of each channel of an image, and of each pixel's features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def norm(kind: str, channels: int, dims: int) -> nn.Module:
    """The normalisation layer of that name for features (N, channels) or (N, channels, H, W).

    Args:
        kind: "batch" couples the samples of a batch, so it must not stand in a discriminator under a
            per-sample gradient penalty; "layer" takes its mean and variance over all features of one sample
            and scales per channel, as in WGAN-GP's critics; "instance" (maps only) takes them over each channel of
            one sample and has no parameters; "none" does nothing.
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
    if kind == "instance":
        assert dims == 2
        return InstanceNorm()
    assert kind == "none", kind
    return nn.Identity()


class InstanceNorm(nn.Module):
    """Feature maps (N, C, H, W), each channel of each sample with mean 0 and variance 1 over its pixels.

    No parameters and no running statistics. Mean and variance are taken in float32, also of bfloat16 maps. A map must
    have more than one pixel.

    On the CPU it is batch normalisation of one sample at a time: torch's own layer first copies the maps to
    channels-first memory, and the next convolution copies them back (64 x 128 x 128 float32, forward + backward:
    3.8 ms, so written 1.0). And torch 2.13 gives a wrong gradient of a single sample in channels-last memory.

    Args:
        eps: added to the variance.

    Source: Ulyanov et al. 2016, arXiv:1607.08022.

    >>> InstanceNorm()(torch.tensor([[[[1.0, 3.0]], [[8.0, 8.0]]]])).round().tolist()
    [[[[-1.0, 1.0]], [[0.0, 0.0]]]]
    """

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" and len(x) > 1:
            return F.instance_norm(x, eps=self.eps)
        dtype = torch.promote_types(x.dtype, torch.float32)  # the gains' type is that of the statistics
        gains = torch.ones(x.shape[1], dtype=dtype, device=x.device)
        normed = [F.batch_norm(one, None, None, gains, training=True, eps=self.eps) for one in x.split(1)]
        return normed[0] if len(normed) == 1 else torch.cat(normed)


def map_norm(kind: str, channels: int) -> nn.Module:
    """`norm` for feature maps (N, channels, H, W), with gains from N(1, 0.02^2) where it has any.

    Source: the released code of DCGAN and of pix2pix.
    """
    layer = norm(kind, channels, 2)
    for gain in list(layer.parameters())[:1]:
        nn.init.normal_(gain, 1.0, 0.02)
    return layer


def pixel_norm(x: Tensor, eps: float = 1e-8) -> Tensor:
    """x (N, C, ...) divided by the root mean square over its C channels, at each place by itself.

    Computed in float32. Source: Karras et al. 2018, arXiv:1710.10196, section 4.2.

    >>> import torch
    >>> pixel_norm(torch.tensor([[3.0, -1.0, 1.0, 1.0]])).tolist()          # root of (9 + 1 + 1 + 1) / 4 is sqrt 3
    [[1.7320507764816284, -0.5773502588272095, 0.5773502588272095, 0.5773502588272095]]
    """
    wide = x.float()
    return (wide * (wide.square().mean(1, keepdim=True) + eps).rsqrt()).to(x.dtype)
