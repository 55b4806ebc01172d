"""pix2pixHD: the coarse-to-fine generator, and what it makes of maps of instances.

The global generator is `translator.Generator` with 4 halvings. The local enhancer doubles its resolution: it adds the
features of the image, halved once, to the global generator's last features of the halved image (`down_smooth`), and
goes on from there.

    x_small = down_smooth(x)
    stage 1: G1(x_small), trained alone at half the resolution
    stage 2: G2(x, G1.trunk(x_small)), G1 without gradient at first, then both together

Source: Wang et al. 2018, arXiv:1711.11585, sections 3.1, 3.3 and 3.4; NVIDIA/pix2pixHD. The global net's own 7x7
convolution to the image is not used in stage 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets import translator
from gansmith.nets.shapes import channels_last, fitting
from gansmith.nn import InstanceNorm, wide


def global_generator(channels: int, out: int, width: int = 64, blocks: int = 9) -> translator.Generator:
    """Images or maps (N, C, H, W) -> images (N, out, H, W) in [-1, 1]; sides are multiples of 16, at least 32.

    Args:
        channels: C.
        out: channels that it makes.
        width: channels at full resolution, 16 times as many at the lowest.
        blocks: residual blocks.
    """
    return translator.Generator(channels, out, width, halvings=4, blocks=blocks)


class LocalEnhancer(nn.Module):
    """Images (N, C, H, W) and global features (N, 2 width, H/2, W/2) -> images (N, out, H, W) in [-1, 1].

    Args:
        channels: C.
        out: channels that it makes.
        width: channels at full resolution, half the global generator's width.
        blocks: residual blocks.

    Raises:
        GansmithError: when it is used, an odd side, or features of another size.
    """

    def __init__(self, channels: int, out: int, width: int = 32, blocks: int = 3) -> None:
        super().__init__()
        self.down = nn.Sequential(
            *(translator.mirrored(channels, width, 7), InstanceNorm(), nn.ReLU(inplace=True)),
            *translator.halving(width, 2 * width),
        )
        self.up = nn.Sequential(
            *(translator.Block(2 * width) for _ in range(blocks)), *translator.doubling(2 * width, width)
        )
        self.out = translator.mirrored(width, out, 7)

    def forward(self, x: Tensor, coarse: Tensor) -> Tensor:
        fitting("The local enhancer", x.shape[2:], 2, 4)
        own = self.down(channels_last(x))
        if own.shape != coarse.shape:
            raise GansmithError(
                f"The local enhancer adds global features of shape {tuple(own.shape)} to its own, not of "
                f"{tuple(coarse.shape)}: run the global generator on the image at half the size."
            )
        return self.out(self.up(own + coarse)).tanh()


class FeatureEncoder(nn.Module):
    """Images (N, C, H, W) and ids (N, 1, H, W) -> what instances look like: (N, features, H, W) in [-1, 1].

    Equal at all pixels of an instance. Sides are multiples of 16, at least 32.

    Args:
        channels: C.
        features: numbers that describe an instance.
        width: channels at full resolution.
    """

    def __init__(self, channels: int, features: int = 3, width: int = 16) -> None:
        super().__init__()
        self.net = translator.Generator(channels, features, width, halvings=4, blocks=0)

    def forward(self, x: Tensor, ids: Tensor) -> Tensor:
        return instance_mean(self.net(x), ids)


def boundary(ids: Tensor) -> Tensor:
    """Ids of instances (N, 1, H, W) -> float32 (N, 1, H, W): 1 where one of the 4 neighbours has another id, else 0.

    The edge of the image is no boundary.

    >>> boundary(torch.tensor([[[[7, 7, 5, 5]]]])).tolist()
    [[[[0.0, 1.0, 1.0, 0.0]]]]
    """
    found = torch.zeros_like(ids, dtype=torch.bool)
    down, right = ids[:, :, 1:] != ids[:, :, :-1], ids[..., 1:] != ids[..., :-1]
    found[:, :, 1:] |= down
    found[:, :, :-1] |= down
    found[..., 1:] |= right
    found[..., :-1] |= right
    return found.float()


def instance_mean(x: Tensor, ids: Tensor) -> Tensor:
    """Features (N, C, H, W), each replaced by its mean, in float32, over the pixels of the image with the same id.

    Args:
        ids: (N, 1, H, W), any numbers; equal ids in two images are two instances.

    >>> x, ids = torch.tensor([[[[1.0, 3.0, 5.0]]]]), torch.tensor([[[[9, 9, 4]]]])
    >>> instance_mean(x, ids).tolist()
    [[[[2.0, 2.0, 5.0]]]]
    """
    n, c, h, w = x.shape
    numbers, order = ids.reshape(n, h * w).sort(1)
    ranks = torch.zeros_like(order)  # 0, 1, 2 ... for the ids of an image from the smallest on: no count leaves a GPU
    ranks[:, 1:] = (numbers[:, 1:] != numbers[:, :-1]).cumsum(1)
    index = torch.zeros_like(order).scatter_(1, order, ranks)[:, None]
    flat = wide(x).reshape(n, c, h * w)
    sums = torch.zeros_like(flat).scatter_add_(2, index.expand_as(flat), flat)
    counts = torch.zeros_like(flat[:, :1]).scatter_add_(2, index, torch.ones_like(flat[:, :1]))
    means = sums / counts.clamp_min(1)
    return means.gather(2, index.expand_as(means)).view(n, c, h, w)
