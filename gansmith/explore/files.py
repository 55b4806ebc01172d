"""Files of films and sheets: checked before the work, written whole, and the command that made them read back."""

from __future__ import annotations

import base64
import errno
import io
import os
import warnings
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import BinaryIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from gansmith.engine.files import explained, write_file
from gansmith.errors import GansmithError

FORMATS = {".gif": "GIF", ".webp": "WEBP", ".png": "PNG"}  # as Pillow names them; .mp4 is PyAV's
LONGEST = {".mp4": 16_384, ".gif": 65_535, ".webp": 16_383}  # side, pixels
DESCRIPTION, SOFTWARE = 0x010E, 0x0131  # tags of EXIF


def check_path(path: Path | str, suffixes: Sequence[str]) -> Path:
    """The path, when a file of one of these suffixes can be written there. Nothing is made.

    Raises:
        GansmithError: no suffix or another one, .mp4 without PyAV, a folder or a file in the way, no permission.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        wrong = f"{path.suffix} is not a format for this" if suffix else "no format"
        raise GansmithError(f"{path}: {wrong}; give {listed(suffixes)}.")
    if suffix == ".mp4":
        others = f", or choose {listed([s for s in suffixes if s != suffix])}"
        if "libx264" not in load_av(path, others).codecs_available:
            raise GansmithError(f"{path}: the installed PyAV cannot write H.264: take the one of PyPI{others}.")
    with explained(path):
        if path.is_dir():
            raise GansmithError(f"{path} is a folder: give the name of a file.")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "a file is in the way")
        if not os.access(folder, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            raise PermissionError(errno.EACCES, "no permission")
    return path


def check_images(needs: str, axes: str, images: Tensor) -> None:
    """Refuse what is no images of floats with these axes, at least one along each.

    Args:
        needs: the begin of the sentence.
        axes: as "N, C, H, W".

    Raises:
        GansmithError: another number of axes, an empty one, or another type.
    """
    shape, kind = tuple(images.shape), str(images.dtype).removeprefix("torch.")
    if len(shape) != len(axes.split(",")) or 0 in shape or not images.is_floating_point():
        raise GansmithError(f"{needs} ({axes}) of floats in [-1, 1], at least one of each, not {shape} of {kind}.")


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them.

    >>> listed([".gif", ".webp", ".png"]), listed([".png"])
    ('.gif, .webp or .png', '.png')
    """
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def load_av(path: Path, otherwise: str = "") -> ModuleType:
    """PyAV, for a `.mp4` file.

    Raises:
        GansmithError: it is not installed; `otherwise` ends the sentence.
    """
    try:
        import av
    except ImportError:
        raise GansmithError(f'{path}: .mp4 needs PyAV: pip install "gansmith[video]"{otherwise}.') from None
    return av


def write(path: Path, size: tuple[int, int], fill: Callable[[Path], object]) -> None:
    """Let `fill` write the file at once; its parents are made.

    Args:
        size: width and height of the picture, pixels.

    Raises:
        GansmithError: more pixels than the format can hold, or a place that cannot be written.
    """
    suffix, side = path.suffix.lower(), max(size)
    if side > LONGEST.get(suffix, side):
        raise GansmithError(
            f"{path}: {size[0]} x {size[1]} pixels, and a side of {suffix} has at most {LONGEST[suffix]}: "
            "show fewer images, or choose .png."
        )
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, fill)


def still(picture: Image.Image, suffix: str, told: str) -> bytes:
    """The .png or .webp file of a picture, without loss, with the command that made it."""
    file, words = io.BytesIO(), PngInfo()
    if suffix == ".webp":
        picture.save(file, "WEBP", lossless=True, exif=exif(told))
        return file.getvalue()
    words.add_text("Software", "gansmith")
    if plain(told):
        words.add_text("Comment", plain(told))
    picture.save(file, "PNG", pnginfo=words)
    return file.getvalue()


def exif(told: str) -> bytes:
    """The command as EXIF, in UTF-8."""
    tags = Image.Exif()
    tags[SOFTWARE] = "gansmith"
    if plain(told):
        tags[DESCRIPTION] = plain(told).encode()
    return tags.tobytes()


def plain(text: str) -> str:
    """Text that every format can hold and a terminal can show: what does not print becomes a space.

    >>> plain("gansmith train r3gan\\x1b[2J\\n")
    'gansmith train r3gan [2J'
    """
    return "".join(c if c.isprintable() else " " for c in text).strip()


def read_told(path: Path | str) -> str | None:
    """The command that made a film or a sheet, None without one. The comment of a foreign file is returned as it is.

    Raises:
        GansmithError: another suffix, a file that cannot be read, is damaged, is not what its name says or is huge.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".mp4", *FORMATS):
        raise GansmithError(f"{path}: commands are read from {listed(['.mp4', *FORMATS])}.")
    av = load_av(path) if suffix == ".mp4" else None
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow warns of tags that it cannot read
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # no pixel is decoded
            return plain(_comment(file, suffix, av)) or None
    except Exception as e:  # damaged files raise whatever comes to the decoder
        if isinstance(e, OSError) and e.errno in (errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR):
            raise GansmithError(f"{path} cannot be read: {os.strerror(e.errno).lower()}.") from None
        if isinstance(e, Image.DecompressionBombError):
            raise GansmithError(f"{path} says that it has more pixels than is safe to open.") from None
        raise GansmithError(f"{path} is damaged, or not a {suffix} file.") from None


def _comment(file: BinaryIO, suffix: str, av: ModuleType | None) -> str:
    if av is not None:
        with av.open(file, format="mp4", metadata_errors="replace") as film:
            return str(film.metadata.get("comment", ""))
    with Image.open(file, formats=[FORMATS[suffix]]) as image:
        if suffix == ".png":
            return str(image.info.get("Comment", ""))
        if suffix == ".gif":
            found = image.info.get("comment", b"")
        else:
            found = str(image.getexif().get(DESCRIPTION, "")).encode("latin-1")  # as Pillow decodes it
        return bytes(found).decode(errors="replace")


def bundle(
    kind: str, data: bytes, words: str, include: Collection[str] | None, exclude: Collection[str] | None
) -> dict[str, str]:
    """What a notebook shows: a picture, or words where there are no pictures.

    Args:
        kind: media type of `data`. An animated "image/webp" goes into HTML: not every notebook shows it bare.
        words: for "text/plain".
        include, exclude: media types that are wanted and not wanted; None = all, none.
    """
    text = base64.b64encode(data).decode()
    shown = {"text/html": f'<img src="data:{kind};base64,{text}">'} if kind == "image/webp" else {kind: text}
    found = shown | {"text/plain": words}
    return {k: v for k, v in found.items() if (include is None or k in include) and k not in (exclude or ())}
