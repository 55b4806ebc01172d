"""photo_patches: patches of photographs, the sharpest ones, for learning to enlarge and to repair.

All patches of a photograph are one group: a photograph is trained on or held out, never both.
"""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from gansmith.data.decode import Pixels

SIDE = 128  # pixels of a patch
AREAS = (2_000_000, 500_000)  # pixels that a photograph is shrunk to at most, in turn: at full size most are soft
MOST = 64  # patches of one photograph
FACTOR = 4  # detail is what shrinking by this factor loses


class Photograph(NamedTuple):
    """Where a photograph comes from."""

    title: str
    author: str
    licence: str


class Patch(NamedTuple):
    """A part of a photograph.

    Args:
        file: name of the photograph's file.
        name: the patch's own.
        pixels: uint8 (128, 128, 3).
        detail: root mean square of what shrinking and enlarging changes, grey levels of 255.
    """

    file: str
    name: str
    pixels: Pixels
    detail: float


def _by(author: str, licence: str, *titles: str, end: str = "") -> dict[str, Photograph]:
    return {f"{title.replace(' ', '_')}{end}.jpg": Photograph(title, author, licence) for title in titles}


PHOTOGRAPHS = {
    **_by("Sander Klootwijk", "CC-BY-SA-4.0", "Bridge", end="_by_Sander_Klootwijk"),
    **_by("Bolly", "CC-BY-SA-4.0", "Dragonfly", end="_by_Bolly"),
    **_by('Trevor "Freespace"', "CC-BY-4.0", "Picture 0B", "Picture 1A", end="_by_freespace"),
    **_by("Jakub Mede", "CC-BY-4.0", "Wine", end="_by_Jakkub_Mede"),
    **_by(
        *("Aitzol Berasategi", "CC-BY-4.0", "aitzgorri", "friends", "life", "picosdeeuropa", "sunset"),
        end="_by_Aitzol_Berasategi",
    ),
    **_by("Peter Nerlich", "CC-BY-SA-4.0", "free", "greentock", end="_by_Peter_Nerlich"),
    **_by("Clemens Engelhardt", "CC0-1.0", "seeding", end="_by_Clements_Engelhardt"),
    **_by("Lukas Baubkus", "CC-BY-SA-3.0", "Kleiber", end="_by_Lukas_Baubkus"),
    **_by("Charles Barbin", "GPL-2+", "Aqua", "Garden", "LadyBird", "TwoWings", "YellowFlower"),
    **_by("Lennart Poettering", "GPL-2+", "Blinds"),
    **_by("Marco Cogoni", "GPL-2+", "Dune"),
    **_by("Jens Ansorg", "GPL-2+", "FreshFlower"),
    **_by("Timothy Schellhase", "GPL-2+", "GreenMeadow"),
    **_by("blackcombwhistler07", "GPL-2+", "RainDrops"),
    **_by("Sergey Nazarov", "GPL-2+", "Storm"),
    **_by("Jean-François Fortin Tam", "GPL-2+", "Wood"),
}
"""What is a photograph among the pictures of the packages, by the names of the files; the others are drawn."""


def cut(file: str, data: bytes) -> list[Patch]:
    """The patches of a photograph with the most detail, at most 64: squares side by side, at two sizes of the whole.

    Args:
        file: its name, in PHOTOGRAPHS.
        data: the file.
    """
    image = Image.open(io.BytesIO(data)).convert("RGB")
    found = []
    for size, area in enumerate(AREAS, 1):
        factor = min(1.0, (area / (image.width * image.height)) ** 0.5)
        image = image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)
        pixels, lost = np.asarray(image), _lost(image)
        for row, top in enumerate(_starts(image.height), 1):
            for column, left in enumerate(_starts(image.width), 1):
                part = slice(top, top + SIDE), slice(left, left + SIDE)
                name = f"{PHOTOGRAPHS[file].title} {size} {row} {column}.png"
                found.append(Patch(file, name, pixels[part].copy(), float(lost[part].mean() ** 0.5)))
    return sorted(found, key=lambda patch: (-patch.detail, patch.name))[:MOST]


def _starts(length: int) -> range:
    """Where patches begin along a side: as many as fit, in its middle."""
    count = length // SIDE
    first = (length - count * SIDE) // 2
    return range(first, first + count * SIDE, SIDE)


def _lost(image: Image.Image) -> np.ndarray:
    """Squares of what shrinking and enlarging changes (H, W, 3)."""
    few = image.resize((max(1, image.width // FACTOR), max(1, image.height // FACTOR)), Image.Resampling.BICUBIC)
    again = few.resize(image.size, Image.Resampling.BICUBIC)
    return (np.asarray(image).astype(np.float32) - np.asarray(again)) ** 2
