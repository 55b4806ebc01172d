"""Frozen chains of layers whose outputs have names, for perceptual losses and distances: VGG-16 and VGG-19.

A convolution of the second block is "conv2_1" before its activation and "relu2_1" after it; "pool2" lies behind the
block. phi_(i,j) of the SRGAN paper is "reluI_J" here. What follows the last pooling is left out, so that 14,714,688
parameters (VGG-16) and 20,024,384 (VGG-19) remain. They come from files, see `gansmith.perceptual`; none are drawn.

Source: Simonyan and Zisserman 2015, arXiv:1409.1556, table 1, columns D and E.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError, did_you_mean
from gansmith.nn.precision import wide

BLOCKS = {16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions of each block, by the depth of the network."""

WIDTHS = (64, 128, 256, 512, 512)


class Trunk(nn.Module):
    """Images (N, C, H, W) in [-1, 1] -> the outputs of those layers that are asked for.

    Args:
        layers: convolutions, ReLUs and poolings in order, by the names of their outputs: "conv...", "relu...",
            "pool...".
        pyramid: outputs from fine to coarse, for losses that add up several.
        spaces: the same, for the distance of `objectives.lpips_form`.
        name: of the network, as "vgg16".
        channels: that the first layer takes; a grey image is repeated.
        mean, std: of each channel (or one for all), subtracted and divided by, for values in [0, 1].

    `deep` is the last activation, and `raw` the same before its ReLU. `weights` is the SHA-256 of the file that the
    parameters came from.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        layers: dict[str, nn.Module],
        pyramid: tuple[str, ...],
        spaces: tuple[str, ...],
        *,
        name: str,
        channels: int = 3,
        mean: tuple[float, ...] = (0.5,),
        std: tuple[float, ...] = (0.5,),
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(*layers.values())
        self.names = tuple(layers)
        self.pyramid, self.spaces = pyramid, spaces
        self.deep = [word for word in layers if word.startswith("relu")][-1]
        self.raw = self.deep.replace("relu", "conv")
        self.name, self.weights, self.channels = name, "", channels
        for word, values in (("mean", mean), ("std", std)):  # real numbers even where parameters are made on "meta"
            self.register_buffer(word, torch.tensor(values, device="cpu")[:, None, None], persistent=False)

    @property
    def identity(self) -> str:
        """What a protocol calls it: name, version of this code, and weights, as "vgg16 1 397923af"."""
        return f"{self.name} 1 {self.weights[:8]}".rstrip()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.mean.device

    def forward(self, x: Tensor, taps: Sequence[str]) -> tuple[Tensor, ...]:
        """The outputs called `taps`, in that order, each (N, C', H', W') and float32; what lies behind them is not
        computed.

        Gradients flow to x. Under autocast the convolutions run in its type, and nothing else does.

        Raises:
            GansmithError: no such output, other channels, or images too small for it.
        """
        self._refuse(x, taps)
        x = (wide(x.expand(-1, self.channels, -1, -1)) + 1) / 2
        x = ((x - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        found: dict[str, Tensor] = {}
        for word, layer in zip(self.names, self.features, strict=True):
            x = layer(x)
            if word in taps:
                found[word] = wide(x)
            if len(found) == len(set(taps)):
                break
        return tuple(found[word] for word in taps)

    def _refuse(self, x: Tensor, taps: Sequence[str]) -> None:
        for word in taps:
            if word not in self.names:
                raise GansmithError(f'{self.name} has no output "{word}".{did_you_mean(word, self.names)}')
        if x.ndim != 4 or x.shape[1] not in (1, self.channels):
            wanted = "1 channel" if self.channels == 1 else f"1 or {self.channels} channels"
            raise GansmithError(f"{self.name} takes images (N, C, H, W) of {wanted}, not {tuple(x.shape)}.")
        deepest = max(self.names.index(word) for word in taps)
        least = 2 ** sum(word.startswith("pool") for word in self.names[: deepest + 1])
        if min(x.shape[2:]) < least:
            raise GansmithError(
                f"Images of {x.shape[2]} x {x.shape[3]} px are too small for {self.names[deepest]} of {self.name}: it "
                f"needs {least} px or more."
            )


def vgg(
    depth: int,
    name: str,
    mean: tuple[float, ...] = (0.485, 0.456, 0.406),
    std: tuple[float, ...] = (0.229, 0.224, 0.225),
) -> Trunk:
    """The convolutions of VGG-16 or VGG-19, in the layout of torchvision's files.

    Args:
        depth: 16 or 19.
        mean, std: of the pictures it was trained on, for values in [0, 1]; by default ImageNet's.

    >>> with torch.device("meta"):
    ...     net = vgg(19, "vgg19")
    >>> net.deep, net.raw, sum(p.numel() for p in net.parameters())
    ('relu5_4', 'conv5_4', 20024384)
    """
    layers: dict[str, nn.Module] = {}
    before = 3
    for i, (count, width) in enumerate(zip(BLOCKS[depth], WIDTHS, strict=True), 1):
        for j in range(1, count + 1):
            layers[f"conv{i}_{j}"], layers[f"relu{i}_{j}"] = nn.Conv2d(before, width, 3, padding=1), nn.ReLU()
            before = width
        layers[f"pool{i}"] = nn.MaxPool2d(2)
    pyramid = tuple(f"relu{i}_1" for i in range(1, 6))
    spaces = tuple(f"relu{i}_{count}" for i, count in enumerate(BLOCKS[depth], 1))
    return Trunk(layers, pyramid, spaces, name=name, mean=mean, std=std)
