"""Raw values as features: the extractor without a network.

Images larger than 32 px are brought to 32 px first (bilinear, antialiased), so that a Fréchet distance does not need
more than 3 x 256 x 256 samples. Smaller images, points and any other samples pass unchanged.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features.base import Extractor, Look


def flat(samples: Tensor) -> Look:
    """Samples (N, ...) as rows (N, D)."""
    return Look(samples.flatten(1))


def build(name: str, where: str | Path | None, device: torch.device) -> Extractor:
    """The extractor "pixels". Raises GansmithError when it is given weights.

    >>> pixels = build("pixels", None, torch.device("cpu"))
    >>> pixels.features(torch.zeros(2, 3, 64, 64)).shape, pixels.features(torch.zeros(5, 2)).shape
    (torch.Size([2, 3072]), torch.Size([5, 2]))
    """
    if where is not None:
        raise GansmithError("pixels takes no weights file.")
    return Extractor(
        name=name,
        version="1",
        net=flat,
        dim=None,
        size=32,
        resize="bilinear",
        enlarge=False,
        channels=None,
        device=device,
    )
