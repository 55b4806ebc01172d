"""Capital letters drawn from fonts, with two kinds of labels: which letter, and which font."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from PIL import Image, ImageFont

from gansmith.data.decode import Pixels
from gansmith.data.names import hidden, natural, show
from gansmith.data.sources import Item, Source
from gansmith.errors import GansmithError, did_you_mean

PREFIX = "letters:"
LABELS = ("letter", "font")
FONTS = (".ttf", ".otf", ".ttc")
SIDE, INNER = 32, 26  # pixels of the picture, and of the letter's longer side
DRAWN = 96  # font size at which a letter is drawn before it is shrunk
WIDEST = 2000  # pixels of a letter at that size, above which a font is broken or hostile
DIFFERENT = 20  # of the 26 pictures, below which a font has no letters of its own
MAX_FONT = 64 << 20  # bytes
VERSION = 1  # of the drawing


def draw(font: bytes) -> list[Pixels] | None:
    """A to Z, white on black, (32, 32, 1) uint8 each; None when these bytes are no font that has all of them."""
    try:
        face = ImageFont.truetype(io.BytesIO(font), DRAWN, layout_engine=ImageFont.Layout.BASIC)
        pictures = [_letter(face, letter) for letter in ascii_uppercase]
    except Exception:  # a damaged font can make its parser raise anything
        return None
    different = len({picture.tobytes() for picture in pictures})
    return pictures if different >= DIFFERENT else None


def _letter(face: ImageFont.FreeTypeFont, letter: str) -> Pixels:
    """One letter, centred, its longer side 26 pixels. ValueError when the font has no such letter."""
    left, top, right, bottom = face.getbbox(letter)
    if max(right - left, bottom - top) > WIDEST:
        raise ValueError("absurd size")
    mask = face.getmask(letter, "L")
    image = Image.frombytes("L", mask.size, bytes(mask))
    box = image.getbbox()
    if box is None:
        raise ValueError("an empty letter")
    w, h = box[2] - box[0], box[3] - box[1]
    size = (max(1, round(INNER * w / max(w, h))), max(1, round(INNER * h / max(w, h))))
    canvas = Image.new("L", (SIDE, SIDE))
    small = image.resize(size, Image.Resampling.LANCZOS, box=box)
    canvas.paste(small, ((SIDE - size[0]) // 2, (SIDE - size[1]) // 2))
    return np.asarray(canvas)[..., None]


def folder_of_fonts(folder: str, label: str) -> Source:
    """The capital letters of the user's own fonts (.ttf, .otf, .ttc) in a folder and below.

    Raises:
        GansmithError: no such folder or label, or no font with the letters A to Z.
    """
    choose(label)
    path = Path(folder).expanduser()
    if not folder or not path.is_dir():
        raise GansmithError(f'There is no folder "{show(folder)}": give one with fonts, as {PREFIX}FOLDER.')
    files = sorted((p for p in path.rglob("*") if _is_font(p, path)), key=lambda p: natural(str(p)))
    if not files:
        raise GansmithError(f'"{show(folder)}" holds no fonts: they end in {" ".join(FONTS)}.')
    title = f"{PREFIX}{show(folder)}"

    def walk() -> Iterator[Item]:
        found = 0
        for file in files:
            pictures = draw(file.read_bytes())
            found += pictures is not None
            name = show(str(file.relative_to(path).with_suffix("")))
            for letter, pixels in zip(ascii_uppercase, pictures or (), strict=False):
                yield Item(f"{name} {letter}", partial(_same, pixels), letter if label == "letter" else name)
        if not found:
            raise GansmithError(f'None of the {len(files)} fonts in "{show(folder)}" has the letters A to Z.')

    return Source(title, tuple(files), walk, paths=False, variant=f"{VERSION} {label}")


def choose(label: str) -> None:
    """Refuse a label that letters do not have."""
    if label not in LABELS:
        raise GansmithError(
            f'letters has the labels {" and ".join(LABELS)}, not "{show(label)}".{did_you_mean(label, LABELS)} '
            f"Choose one."
        )


def _is_font(path: Path, root: Path) -> bool:
    if path.suffix.lower() not in FONTS or hidden(str(path.relative_to(root))):
        return False
    return path.is_file() and path.stat().st_size <= MAX_FONT


def _same(pixels: Pixels) -> Pixels:
    return pixels
