"""PatchGAN: a discriminator that judges every patch of an image, and several of them on an image pyramid.

4x4 convolutions, `layers` of them of stride 2 and one of stride 1, then one to the logits; leaky ReLU 0.2,
normalisation but at the first and the last. What one logit sees, its receptive field, is 16, 34, 70, 142, 286 px for 1
to 5 layers; with 0 layers all convolutions are 1x1 and it sees one pixel. A condition is more channels of the image.

Source: Isola et al. 2017, arXiv:1611.07004, section 6.1.2; phillipi/pix2pix. At 70 px (3 layers) 2,768,705 parameters
on 6 channels; with instance normalisation 2,764,737 on 3 channels, as in junyanz/pytorch-CycleGAN-and-pix2pix. The
pyramid: Wang et al. 2018, arXiv:1711.11585, section 3.2; NVIDIA/pix2pixHD.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import channels_last
from gansmith.nn import down_smooth, in_float32, map_norm, normal_

MOST_LAYERS = 5


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> float32 logits (N, 1, h, w), one for each patch.

    Args:
        channels: C, those of a condition included.
        layers: convolutions of stride 2, 0 to 5.
        width: channels behind the first.
        norm: "batch", "instance" or "none".
        padding: of each 4x4 convolution, 1, or 2 as in pix2pixHD: more patches, further over the border.

    Raises:
        GansmithError: another number of layers or padding; or, when it is used, an image too small for them.
    """

    def __init__(self, channels: int, layers: int = 3, width: int = 64, norm: str = "batch", padding: int = 1) -> None:
        super().__init__()
        if layers not in range(MOST_LAYERS + 1):
            raise GansmithError(f"PatchGAN's number of layers is 0 to {MOST_LAYERS}, not {layers}.")
        if padding not in (1, 2):
            raise GansmithError(f"PatchGAN's padding is 1 or 2 px, not {padding}.")
        self.layers, self.padding = layers, padding
        kernel, pad, strides = (4, padding, [2] * layers + [1]) if layers else (1, 0, [1, 1])
        widths = [channels, *(width * min(2**k, 8) for k in range(len(strides)))]
        self.body = nn.ModuleList()
        for i, ((a, b), stride) in enumerate(zip(pairwise(widths), strides, strict=True)):
            conv = normal_(nn.Conv2d(a, b, kernel, stride, pad, bias=norm != "batch" or i == 0))
            normed = [map_norm(norm, b)] if i and norm != "none" else []
            self.body.append(nn.Sequential(conv, *normed, nn.LeakyReLU(0.2, inplace=True)))
        self.out = normal_(nn.Conv2d(widths[-1], 1, kernel, 1, pad))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features, maps a little larger or smaller than the logits'."""
        return self.hidden(x)[-1]

    def hidden(self, x: Tensor) -> list[Tensor]:
        """The features behind each convolution but the last, from the image on, for feature matching."""
        self._refuse_small(x)
        h = channels_last(x)
        found = []
        for layer in self.body:
            h = layer(h)
            found.append(h)
        return found

    def head(self, h: Tensor) -> Tensor:
        """Logits (N, 1, h, w) of the last hidden features."""
        return in_float32(self.out, h)

    def _refuse_small(self, x: Tensor) -> None:
        least = smallest(self.layers, self.padding)
        if min(x.shape[2:]) < least:
            raise GansmithError(
                f"A PatchGAN of {self.layers} layers judges images of at least {least} px, not "
                f"{x.shape[2]} x {x.shape[3]}: give it fewer layers or larger images."
            )


class Pyramid(nn.Module):
    """Images (N, C, H, W) -> a list of logits (N, 1, h, w): PatchGANs of the image, of its half, its quarter, ...

    Args:
        channels: C, those of a condition included.
        scales: number of PatchGANs.
        layers, width, norm, padding: of each of them.

    Source: Wang et al. 2018, arXiv:1711.11585, section 3.2; the released code uses instance norm and padding 2.
    """

    def __init__(
        self,
        channels: int,
        scales: int = 3,
        layers: int = 3,
        width: int = 64,
        norm: str = "instance",
        padding: int = 2,
    ) -> None:
        super().__init__()
        self.parts: Iterable[Any] = nn.ModuleList(
            Discriminator(channels, layers, width, norm, padding) for _ in range(scales)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.head(self.hidden(x))

    def hidden(self, x: Tensor) -> list[list[Tensor]]:
        """The features of each of them, the one of the full image first."""
        found = []
        for i, part in enumerate(self.parts):
            x = down_smooth(x) if i else x
            found.append(part.hidden(x))
        return found

    def head(self, hidden: list[list[Tensor]]) -> list[Tensor]:
        """The logits of each of them from such features."""
        return [part.head(h[-1]) for part, h in zip(self.parts, hidden, strict=True)]


def smallest(layers: int, padding: int = 1) -> int:
    """The smallest side in pixels that a PatchGAN judges: there is a logit, and no map of a single pixel is normalised.

    >>> [smallest(layers) for layers in range(6)], smallest(3, padding=2)
    ([2, 6, 12, 24, 48, 96], 2)
    """
    return 3 * 2**layers if layers and padding == 1 else 2
