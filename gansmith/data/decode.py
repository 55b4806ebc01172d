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
FILTER = "lanczos"
MAX_PIXELS = 89_478_485  # Pillow's own warning level; here it is an error
MAX_FILE = 512 << 20  # bytes of one image file, and of one archive member
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N")

Pixels = np.ndarray
"""uint8 (H, W, C)"""

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
        fit: "crop" (centre square), "pad" (whole image on the background) or "squeeze" (aspect ratio given up).
        background: red, green, blue, each 0 to 255; behind transparent pixels and beside padded images.
        channels: 1 or 3.
    """

    resolution: int
    fit: str
    background: tuple[int, int, int]
    channels: int


class Probe(NamedTuple):
    """What one look at an image told: its name and label, then size, mode and content hash, or why it is bad; and the
    texts that describe it, where they were asked for."""

    name: str
    label: str | None
    width: int = 0
    height: int = 0
    mode: str = ""
    digest: str = ""
    reason: str = ""
    captions: tuple[str, ...] = ()


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


def probe(name: str, label: str | None, data: bytes | Pixels) -> Probe:
    """Size, mode and content hash without decoding; raises whatever a broken header makes Pillow raise."""
    digest = hashlib.sha256(data if isinstance(data, bytes) else data.tobytes()).hexdigest()
    if isinstance(data, bytes):
        image = open_image(data)
        return Probe(name, label, image.width, image.height, image.mode, digest)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[data.shape[2]]
    return Probe(name, label, data.shape[1], data.shape[0], mode, digest)


def decode(data: bytes | Pixels, look: Look) -> Pixels:
    """Pixels (R, R, C) of an image file's bytes or of an array row (H, W, C), following `look`."""
    shape = (look.resolution, look.resolution, look.channels)
    if isinstance(data, bytes):
        image = open_image(data)
        image.draft(None, (4 * look.resolution, 4 * look.resolution))  # JPEG: decode at a fraction of the size
        image.load()
    elif data.shape == shape:
        return data
    else:
        image = Image.fromarray(np.ascontiguousarray(data.squeeze(2) if data.shape[2] == 1 else data))
    mode = "L" if look.channels == 1 else "RGB"
    return np.asarray(_fitted(_opaque(_upright(image), look).convert(mode), look)).reshape(shape)


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
    if (w, h) == (side, side):
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
