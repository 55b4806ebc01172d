"""Features kept on disk, block by block, so that an evaluation that was killed goes on where it stopped.

    <folder>/<hash of key and extractor>/<first>-<end>.safetensors      features, and probs where there are any

A file is written beside its place and renamed, and carries the SHA-256 of its tensors: a block that is missing,
cut off or altered is computed again, and its images are only then asked for.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features.base import Extractor, Look


def digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values, 64 hexadecimal digits, whatever the order and memory format.

    >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2, 1)})
    False
    """
    found = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any] | None = None) -> None:
    """Put tensors, and facts that JSON can hold, into one safetensors file, whole or not at all.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left behind.
    """
    whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    content = save(whole, {"sha256": digest(whole), "about": json.dumps(dict(about or {}))})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and facts that `write` wrote; None when the file is absent or not what was written."""
    try:
        with safe_open(path, "pt") as file:
            known = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(known["about"])
    except (OSError, SafetensorError, KeyError, ValueError):
        return None
    return (tensors, about) if known.get("sha256") == digest(tensors) else None


class FeatureStore:
    """A folder of features. `notes` collects what the user should be told.

    Args:
        folder: made when the first block is kept.
        block: images in a block: what is in memory at once, and what is lost when the evaluation is killed.
    """

    def __init__(self, folder: str | Path, block: int = 256) -> None:
        if block < 1:
            raise GansmithError(f"A block of features holds at least 1 image, not {block}.")
        self.folder, self.block = Path(folder), block
        self.notes: list[str] = []

    def get(
        self,
        key: str,
        images: Callable[[int, int], Any],
        extractor: Extractor,
        count: int,
        progress: Callable[[int, int], object] | None = None,
    ) -> Look:
        """Features (N, D) and probabilities (N, K) or None of N = `count` images, from the folder where they are.

        Args:
            key: of the images and their order: the data's fingerprint and split, or the samples' own. Equal keys
                must mean equal images.
            images: (first, end) -> images first to end - 1 as `Extractor.look` takes them; asked only for blocks
                that are missing.
            progress: told (done, count) after each block.

        Raises:
            GansmithError: as `Extractor.look`; no images; or `images` gives another number than was asked for.
        """
        if count < 1:
            raise GansmithError(f"Features of {count} images: at least 1 is needed.")
        place = self.folder / hashlib.sha256(f"{key}\n{extractor.identity}".encode()).hexdigest()[:32]
        features, probs = torch.empty(0), None
        for first in range(0, count, self.block):
            end = min(first + self.block, count)
            path = place / f"{first}-{end}.safetensors"
            found = self._kept(path, end - first) or self._made(path, images, extractor, first, end)
            if first == 0:  # one allocation, not a list of blocks joined at the end
                features = found.features.new_empty(count, found.features.shape[1])
                probs = None if found.probs is None else found.probs.new_empty(count, found.probs.shape[1])
            features[first:end] = found.features
            if probs is not None and found.probs is not None:
                probs[first:end] = found.probs
            if progress:
                progress(end, count)
        return Look(features, probs)

    def _kept(self, path: Path, count: int) -> Look | None:
        """The block on disk, when it is whole and holds what it should."""
        found = read(path)
        tensors = found[0] if found else {}
        fits = "features" in tensors and all(len(value) == count for value in tensors.values())
        return Look(tensors["features"], tensors.get("probs")) if fits else None

    def _made(self, path: Path, images: Callable[[int, int], Any], extractor: Extractor, first: int, end: int) -> Look:
        """The block computed now, and kept unless the disk refuses."""
        found = extractor.look(images(first, end))
        if len(found.features) != end - first:
            raise GansmithError(f"Asked for images {first} to {end - 1}, got {len(found.features)} of them.")
        try:
            write(path, {name: value for name, value in found._asdict().items() if value is not None})
        except OSError as error:
            note = (
                f'Features cannot be kept in "{self.folder}" ({error.strerror}): a next evaluation computes them anew.'
            )
            if note not in self.notes:
                self.notes.append(note)
        return found
