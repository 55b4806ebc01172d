"""Features of images: raw pixels, a judge trained on the user's own classes, and pretrained networks.

    from gansmith.evaluation.features import find
    look = find("efficientnet_lite0").look(images)      # features (N, 1280), probs (N, 1000)

Every name stands for the function `build(name, where, device)` of one file here, imported when it is asked for.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import torch

from gansmith.errors import GansmithError, did_you_mean
from gansmith.evaluation.features.base import Extractor, Look

__all__ = ["MODULES", "Extractor", "Look", "fd_name", "find"]

MODULES = {
    "pixels": "pixels",
    "judge": "judge",
    "efficientnet_lite0": "efficientnet",
    "inception_2015": "inception",
    "dinov2_vits14": "dinov2",
    "dinov2_vitb14": "dinov2",
    "dinov2_vitl14": "dinov2",
    "clip_vitl14_336": "clip",
    "clip_vitb32": "clip",
}
"""The file of every extractor."""

INCEPTION_WEIGHTS = "6726825d"


def find(name: str, where: str | Path | None = None, device: str | torch.device = "cpu") -> Extractor:
    """The extractor of that name, its weights loaded and checked.

    Args:
        name: a key of `MODULES`.
        where: weights file, or the folder that holds it; None = the usual places (see `weights.locate`).
        device: on which it computes.

    Raises:
        GansmithError: no such name, or its weights are absent, damaged or not the published ones.

    >>> find("pixels").identity
    'pixels 1'
    """
    if name not in MODULES:
        raise GansmithError(
            f'There is no extractor "{name}".{did_you_mean(name, MODULES)} Choose one of {", ".join(MODULES)}.'
        )
    module = importlib.import_module(f"{__name__}.{MODULES[name]}")
    found = module.build(name, where, torch.device(device))
    assert isinstance(found, Extractor)
    return found


def fd_name(extractor: Extractor) -> str:
    """How a Fréchet distance over these features is called: "FID" for the published Inception-2015 alone.

    >>> fd_name(find("pixels"))
    'FD(pixels)'
    """
    published = extractor.name == "inception_2015" and extractor.weights == INCEPTION_WEIGHTS
    return "FID" if published else f"FD({extractor.name})"
