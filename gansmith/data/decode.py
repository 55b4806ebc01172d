"""One image file or array row -> uint8 pixels of the wanted size. Files are hostile until decoded."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
FITS = ("crop", "pad", "squeeze")
WINDOW = "window"  # no fit: images keep their own size, and windows of them are drawn
FILTER = "lanczos"
MAX_PIXELS = 89_478_485  # Pillow's own warning level; here it is an error
MAX_FILE = 512 << 20  # bytes of one image file, and of one archive member
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")

Pixels = np.ndarray
"""uint8 (H, W, C)"""


class Half(NamedTuple):
    """The left or right half of a picture that holds two images side by side."""

    whole: bytes | Pixels
    right: bool


Raw = bytes | Pixels | Half
"""What an image is decoded from: the bytes of a file, the row of an array, or half of either."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class BadImage(Exception):
    """This image cannot be used; the message is the reason that the user reads."""


@dataclass(frozen=True)
class Look:
    """How every image is made equal.

    Args:
        resolution: side of the square, pixels.
        fit: "crop" (centre square), "pad" (whole image on the background), "squeeze" (aspect ratio given up) or
            "window" (nothing is resized, whatever the resolution).
        background: red, green, blue, each 0 to 255; behind transparent pixels and beside padded images.
        channels: 1 or 3.
    """

    resolution: int
    fit: str
    background: tuple[int, int, int]
    channels: int


class Probe(NamedTuple):
    """What one look at an image told: its name and label, then size, mode and content hash, or why it is bad; the
    texts that describe it, where they were asked for; and its group, where it has one."""

    name: str
    label: str | None
    width: int = 0
    height: int = 0
    mode: str = ""
    digest: str = ""
    reason: str = ""
    captions: tuple[str, ...] = ()
    group: str = ""


def reason(error: Exception) -> str:
    """Why an image could not be read, in a few words."""
    if isinstance(error, BadImage):
        return str(error)
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"more than {MAX_PIXELS // 10**6} million pixels, perhaps a decompression bomb"
    if isinstance(error, UnidentifiedImageError):
        return "not an image, whatever its name says"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    return "cut off or damaged"


def open_image(data: bytes) -> Image.Image:
    """Read the header; pixels are decoded later. Only the formats in `FORMATS` are tried."""
    if not data:
        raise BadImage("the file is empty")
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


def probe(name: str, label: str | None, data: Raw) -> Probe:
    """Size, mode and content hash without decoding; raises whatever a broken header makes Pillow raise."""
    if isinstance(data, Half):
        seen = probe(name, label, data.whole)
        digest = hashlib.sha256(f"{seen.digest} {data.right}".encode()).hexdigest()
        return seen._replace(width=_half(seen.width), digest=digest)
    digest = hashlib.sha256(data if isinstance(data, bytes) else data.tobytes()).hexdigest()
    if isinstance(data, bytes):
        image = open_image(data)
        width, height = _upright_size(image)
        return Probe(name, label, width, height, image.mode, digest)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[data.shape[2]]
    return Probe(name, label, data.shape[1], data.shape[0], mode, digest)


def decode(data: Raw, look: Look) -> Pixels:
    """Pixels (R, R, C) of an image file's bytes or of an array row (H, W, C), following `look`; (H, W, C) of its own
    when `look` asks for windows."""
    side = (look.resolution, look.resolution)
    if (
        isinstance(data, np.ndarray)
        and data.shape[2] == look.channels
        and (look.fit == WINDOW or data.shape[:2] == side)
    ):
        return data
    mode = "L" if look.channels == 1 else "RGB"
    pixels = np.asarray(_fitted(_opaque(_read(data, look), look).convert(mode), look))
    return pixels.reshape(*pixels.shape[:2], look.channels)


def _read(data: Raw, look: Look | None) -> Image.Image:
    """The image, upright; JPEGs at a fraction of their size where `look` shrinks them."""
    if isinstance(data, Half):
        image = _read(data.whole, None)
        width = _half(image.width)
        return image.crop((width * data.right, 0, width + width * data.right, image.height))
    if isinstance(data, bytes):
        image = open_image(data)
        if look and look.fit != WINDOW:
            image.draft(None, (4 * look.resolution, 4 * look.resolution))
        image.load()
        return _upright(image)
    return Image.fromarray(np.ascontiguousarray(data.squeeze(2) if data.shape[2] == 1 else data))


def _half(width: int) -> int:
    """Half of a picture's width, pixels."""
    if width % 2:
        raise BadImage(f"{width:,} pixels wide, an odd number, so it cannot be cut in the middle")
    return width // 2


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Width and height once the camera's rotation is undone. A PNG would have to be decoded to know: it is as it is."""
    turn = 1
    if image.format != "PNG":
        with contextlib.suppress(Exception):
            turn = image.getexif().get(0x0112, 1)
    return (image.height, image.width) if turn in (5, 6, 7, 8) else image.size


def _upright(image: Image.Image) -> Image.Image:
    """Undo the camera's rotation. TIFF does this while loading, and then the tag is gone."""
    turn = None
    with contextlib.suppress(Exception):  # a broken EXIF block is no reason to lose the picture
        turn = _TURNS.get(image.getexif().get(0x0112, 1))
    return image if turn is None else image.transpose(turn)


def _opaque(image: Image.Image, look: Look) -> Image.Image:
    """Any mode -> "L" or "RGB", transparency laid over the background, 16 bits scaled to 8."""
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        if wide.min() < 0 or wide.max() > 65535:
            raise BadImage("32-bit pixels have no agreed range: convert to 8 or 16 bits")
        return Image.fromarray(((wide + 128) // 257).astype(np.uint8))
    if image.mode == "F":
        raise BadImage("floating-point pixels have no agreed range: convert to 8 or 16 bits")
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, (*look.background, 255))
        return Image.alpha_composite(canvas, image.convert("RGBA")).convert("RGB")
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def _fitted(image: Image.Image, look: Look) -> Image.Image:
    """Square of the wanted side. Pillow's Lanczos widens with the scale, so shrinking does not alias."""
    (w, h), side = image.size, look.resolution
    if (w, h) == (side, side) or look.fit == WINDOW:
        return image
    if look.fit == "squeeze":
        return image.resize((side, side), Image.Resampling.LANCZOS)
    if look.fit == "crop":
        short = min(w, h)
        left, top = (w - short) // 2, (h - short) // 2
        return image.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + short, top + short))
    inner = (max(1, round(w * side / max(w, h))), max(1, round(h * side / max(w, h))))
    canvas = Image.new("RGB", (side, side), look.background).convert(image.mode)
    canvas.paste(image.resize(inner, Image.Resampling.LANCZOS), ((side - inner[0]) // 2, (side - inner[1]) // 2))
    return canvas
