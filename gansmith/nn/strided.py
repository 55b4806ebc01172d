"""The 4x4 convolutions of stride 2 of image-to-image nets, quick where maps are as small as one pixel.

Where there are few pixels and many channels, a convolution's time on a CPU goes into rearranging its weights. There
the same function is one product of matrices (im2col, and its adjoint). CPU ms of one thread, forward + backward, of one
image (AMD EPYC, torch 2.13, channels last, float32 weights; the last number is the side of the coarser map):

                                  float32                    bfloat16 autocast
                          convolution   product          convolution   product
    up 1024 -> 512,  2         67         31                  41          27
    up 1024 -> 512,  8        112         60                  63          31
    up 1024 -> 512, 16        177        174                  81          41
    down 512 -> 512, 1         12          3                  16           5
    down 512 -> 512, 8         41         26                  19          11
    down 256 -> 512, 16        24         39                  14          13
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

FEW = {2: 256, 4: 64, 8: 64}
"""Pixels of the coarser maps, over the whole batch, up to which the product is the quicker one; by bytes a number."""


def _few(x: Tensor, pixels: int) -> bool:
    """Whether to take the product for maps of so many coarser pixels."""
    return x.device.type == "cpu" and pixels <= FEW[x.element_size()]


class Down4x4(nn.Conv2d):
    """A 4x4 convolution of stride 2 and padding 1: (N, a, H, W) -> (N, b, H // 2, W // 2)."""

    def __init__(self, a: int, b: int, bias: bool = True) -> None:
        super().__init__(a, b, 4, 2, 1, bias=bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        n, a, h, w = input.shape
        if not _few(input, n * (h // 2) * (w // 2)):
            return super()._conv_forward(input, weight, bias)
        pixels = F.pad(input, (1, 1, 1, 1)).permute(0, 2, 3, 1)
        patches = pixels.unfold(1, 4, 2).unfold(2, 4, 2).permute(0, 1, 2, 4, 5, 3).reshape(-1, 16 * a)
        kernel = weight.permute(0, 2, 3, 1).reshape(-1, 16 * a)
        return F.linear(patches, kernel, bias).view(n, h // 2, w // 2, -1).permute(0, 3, 1, 2)


class Up4x4(nn.ConvTranspose2d):
    """A transposed 4x4 convolution of stride 2 and padding 1: (N, a, H, W) -> (N, b, 2 H, 2 W)."""

    def __init__(self, a: int, b: int, bias: bool = True) -> None:
        super().__init__(a, b, 4, 2, 1, bias=bias)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        n, a, h, w = input.shape
        if output_size is not None or not _few(input, n * h * w):
            return super().forward(input, output_size)
        kernel = self.weight.permute(0, 2, 3, 1).reshape(a, -1)
        patches = (input.permute(0, 2, 3, 1).reshape(-1, a) @ kernel).view(n, h, w, 2, 2, 2, 2, -1)
        # Row r = 2 p + q of the patch of pixel i lies in row 2 (i + p) + q of the result, which has one more all round.
        parts = [
            F.pad(patches[:, :, :, p, :, s].transpose(2, 3), (0, 0, 0, 0, s, 1 - s, 0, 0, p, 1 - p))
            for p in (0, 1)
            for s in (0, 1)
        ]
        y = (parts[0] + parts[1] + parts[2] + parts[3]).reshape(n, 2 * h + 2, 2 * w + 2, -1)[:, 1:-1, 1:-1]
        return (y.contiguous() if self.bias is None else y + self.bias).permute(0, 3, 1, 2)
