"""The residual translator of CycleGAN and pix2pixHD: image in, image of the same size out.

A 7x7 convolution, 3x3 convolutions of stride 2, residual blocks, transposed 3x3 convolutions of stride 2, a 7x7
convolution and tanh, with instance normalisation and ReLU; the image is mirrored at its border for the 7x7
convolutions and in the blocks. No ReLU follows a block's sum.

    CycleGAN, from 256 px    width 64, 2 halvings, 9 blocks (6 at 128 px)
    pix2pixHD's global net   width 64, 4 halvings, 9 blocks
    pix2pixHD's encoder      width 16, 4 halvings, no blocks

Source: Zhu et al. 2017, arXiv:1703.10593, appendix 7.2, after Johnson et al. 2016, arXiv:1603.08155; junyanz/CycleGAN.
With 9 blocks and 3 channels 11,378,179 parameters, as in junyanz/pytorch-CycleGAN-and-pix2pix. Those of biases before
a normalisation are among them, though it subtracts them again.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import channels_last, fitting
from gansmith.nn import InstanceNorm, normal_


class Block(nn.Module):
    """(N, width, H, W) -> same shape: x + norm(conv(ReLU(norm(conv(x))))), mirrored at the border."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(mirrored(width, width, 3), InstanceNorm(), nn.ReLU(inplace=True)),
            *(mirrored(width, width, 3), InstanceNorm()),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def mirrored(a: int, b: int, kernel: int) -> nn.Conv2d:
    """A convolution (N, a, H, W) -> (N, b, H, W) of an image mirrored at its border."""
    return normal_(nn.Conv2d(a, b, kernel, padding=kernel // 2, padding_mode="reflect"))


def halving(a: int, b: int) -> list[nn.Module]:
    """(N, a, H, W) -> (N, b, H/2, W/2), normalised and rectified."""
    return [normal_(nn.Conv2d(a, b, 3, 2, 1)), InstanceNorm(), nn.ReLU(inplace=True)]


def doubling(a: int, b: int) -> list[nn.Module]:
    """(N, a, H, W) -> (N, b, 2 H, 2 W), normalised and rectified."""
    return [normal_(nn.ConvTranspose2d(a, b, 3, 2, 1, output_padding=1)), InstanceNorm(), nn.ReLU(inplace=True)]


class Generator(nn.Module):
    """Images (N, C, H, W) -> images (N, out, H, W) in [-1, 1]; H and W any multiples of `multiple` from `least` on.

    Args:
        channels: C.
        out: channels that it makes.
        width: channels at full resolution, doubled by each halving.
        halvings: of the resolution.
        blocks: residual blocks at the smallest resolution.

    Raises:
        GansmithError: no halving; or, when it is used, a side that is not a multiple of 2^halvings or too small.
    """

    def __init__(self, channels: int, out: int, width: int = 64, halvings: int = 2, blocks: int = 9) -> None:
        super().__init__()
        if halvings < 1:
            raise GansmithError(f"The residual translator halves the resolution at least once, not {halvings} times.")
        self.multiple = 2**halvings
        self.least = max(2 * self.multiple, 4)
        widths = [width * 2**k for k in range(halvings + 1)]
        layers: list[nn.Module] = [mirrored(channels, width, 7), InstanceNorm(), nn.ReLU(inplace=True)]
        for a, b in pairwise(widths):
            layers += halving(a, b)
        layers += [Block(widths[-1]) for _ in range(blocks)]
        for a, b in pairwise(widths[::-1]):
            layers += doubling(a, b)
        self.body = nn.Sequential(*layers)
        self.out = mirrored(width, out, 7)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.trunk(x)).tanh()

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, width, H, W)."""
        fitting("This translator", x.shape[2:], self.multiple, self.least)
        features: Tensor = self.body(channels_last(x))
        return features
