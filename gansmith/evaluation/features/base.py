"""The contract of feature extractors: images in, features out, and everything said on which the features depend.

An extractor is a network with a description. The description is used, not only printed: the same fields that appear
in a score's protocol say how images are checked, resized and normalised before the network sees them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features.resize import Filter, resize

# What a CPU's pass looks at: larger activations go back to the system after each layer, which costs more than they do.
# efficientnet_lite0: 2.4 times as fast as with 64 images (benchmarks/evaluation_features.py, AMD EPYC, 2026-11-23).
CPU_PIXELS = 8 * 224 * 224


class Look(NamedTuple):
    """What one pass gives: features (N, D), and class probabilities (N, K) when the network has a head."""

    features: Tensor
    probs: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """A network and how it is fed.

    Args:
        name: by which it is found, as "inception_2015".
        version: of gansmith's code for it, raised when a change of that code changes a number.
        net: prepared images (n, channels, size, size) -> Look, in evaluation mode, on `device`.
        dim: D; None when it is the number of values of a sample.
        size: side that the network takes, pixels; None = the images' own.
        resize: filter that brings images to that size.
        enlarge: whether smaller images are resized too; otherwise they stay as they are.
        channels: that the network takes; a grey image is repeated to 3. None = samples of any shape, as they are.
        mean, std: of each channel (or one for all), subtracted and divided by, for values in [0, 1]. The defaults
            give [-1, 1].
        eight_bit: round the values to the 256 levels that a file can hold, before resizing.
        weights: first 8 digits of the SHA-256 of the network's weights; "" when it has none.
        device: where the network is.
        batch: images in one pass of the network; on a CPU fewer, where they are larger than 28 px (`CPU_PIXELS`).
    """

    name: str
    version: str
    net: Callable[[Tensor], Look] = field(repr=False)
    dim: int | None
    size: int | None = None
    resize: Filter = "none"
    enlarge: bool = True
    channels: int | None = 3
    mean: tuple[float, ...] = (0.5,)
    std: tuple[float, ...] = (0.5,)
    eight_bit: bool = False
    weights: str = ""
    device: torch.device = field(default=torch.device("cpu"), repr=False)
    batch: int = field(default=64, repr=False)

    def __post_init__(self) -> None:
        """Refuse a size without a way to get there."""
        if self.size is not None and self.resize == "none":
            raise GansmithError(f"{self.name}: say which filter brings images to {self.size} px.")

    @property
    def identity(self) -> str:
        """What a protocol and a cache call it: name, version and weights, as "judge 1 3f2a90cc"."""
        return f"{self.name} {self.version} {self.weights}".rstrip()

    @property
    def at_once(self) -> int:
        """Images in one pass of the network on this device."""
        if self.device.type != "cpu" or self.size is None:
            return self.batch
        return max(1, min(self.batch, CPU_PIXELS // self.size**2))

    def resized(self, height: int, width: int) -> Filter:
        """The filter that images of this many pixels go through: "none" when they stay as they are."""
        if self.size is None or (height, width) == (self.size, self.size):
            return "none"
        return self.resize if self.enlarge or max(height, width) > self.size else "none"

    def look(self, images: Any) -> Look:
        """Features, and class probabilities where the network has a head, of all images.

        Args:
            images: (N, C, H, W) floats in [-1, 1], tensor or array, at least one; what lies beyond is clipped, as in
                a saved picture. Samples (N, ...) of another shape only where `channels` is None.

        Returns:
            Look of float32 tensors on the CPU: (N, D), and (N, K) or None.

        Raises:
            GansmithError: not such images, wrong channels, or a value that is not finite before or after.
        """
        checked = self._check(images)
        with torch.no_grad():
            parts = [self.net(self.prepare(part)) for part in torch.split(checked, self.at_once)]
        features = torch.cat([part.features.float().cpu() for part in parts])
        probs = [part.probs.float().cpu() for part in parts if part.probs is not None]
        if not features.isfinite().all():
            raise GansmithError(f"{self.name} gives features that are not finite: its weights are damaged.")
        return Look(features, torch.cat(probs) if probs else None)

    def features(self, images: Any) -> Tensor:
        """Features (N, D), as `look`."""
        return self.look(images).features

    def probs(self, images: Any) -> Tensor:
        """Class probabilities (N, K), as `look`. Raises GansmithError when the network has no head."""
        found = self.look(images).probs
        if found is None:
            raise GansmithError(
                f"{self.name} gives features but no class probabilities: use the judge, efficientnet_lite0 or "
                "inception_2015."
            )
        return found

    def prepare(self, images: Tensor) -> Tensor:
        """Images as the network takes them: clipped, rounded, resized, repeated, normalised; not images: as they are.

        Args:
            images: (n, C, H, W) floats in [-1, 1].

        Returns:
            (n, channels, size, size) float32, channels last, on the extractor's device.
        """
        x = images.to(self.device, torch.float32)
        if x.ndim != 4:
            return x
        x = x.clamp(-1, 1)
        if self.eight_bit:
            x = ((x + 1) * 127.5).round() / 127.5 - 1
        height, width = x.shape[2:]
        if self.size is not None and self.resized(height, width) != "none":
            x = resize(x, self.size, self.resize).clamp(-1, 1)
        if self.channels is not None:
            x = x.expand(-1, self.channels, -1, -1)
        mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in (self.mean, self.std))
        return (((x + 1) / 2 - mean) / std).contiguous(memory_format=torch.channels_last)

    def _check(self, images: Any) -> Tensor:
        try:
            x = images.detach() if isinstance(images, Tensor) else torch.as_tensor(np.asarray(images))
        except (TypeError, ValueError):
            raise GansmithError(f"{self.name}: images must be an array of numbers.") from None
        if not x.is_floating_point():
            raise GansmithError(f"{self.name}: images must be floats in [-1, 1], not {x.dtype}: give x / 127.5 - 1.")
        if x.ndim < 2 or x.numel() == 0:
            raise GansmithError(f"{self.name}: there are no images in an array of shape {tuple(x.shape)}.")
        if self.channels is not None and (x.ndim != 4 or x.shape[1] not in (1, self.channels)):
            wanted = "1 channel" if self.channels == 1 else f"1 or {self.channels} channels"
            raise GansmithError(f"{self.name} takes images (N, C, H, W) of {wanted}, not {tuple(x.shape)}.")
        finite = x.flatten(1).isfinite().all(1)
        if not finite.all():
            raise GansmithError(f"{self.name}: image {int((~finite).nonzero()[0])} has a value that is not finite.")
        if x.ndim == 4 and x.min() >= 0 and x.max() > 10:
            raise GansmithError(
                f"{self.name}: images go from {float(x.min()):g} to {float(x.max()):g}: scale them to [-1, 1]."
            )
        return x
