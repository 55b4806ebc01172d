"""Names of files: printing, sorting and telling them apart."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from gansmith.data.decode import SUFFIXES


def show(name: str) -> str:
    """A file name as it may be printed: control characters and undecodable bytes escaped.

    >>> show("été 1.png"), show("a\\x1b[2J\\udcff.png")
    ('été 1.png', 'a\\\\x1b[2J\\\\udcff.png')
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def natural(name: str) -> tuple[object, ...]:
    """Sort key that puts 2 before 10.

    >>> sorted(["a10", "a2", "A1"], key=natural)
    ['A1', 'a2', 'a10']
    >>> sorted(["cat2", "cat", "2"], key=natural)
    ['2', 'cat', 'cat2']
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    return tuple(part if i % 2 == 0 else (len(part.lstrip("0")), part) for i, part in enumerate(parts)), name


def is_image(name: str) -> bool:
    """Whether this is the name of an image."""
    return name.lower().endswith(SUFFIXES)


def hidden(name: str) -> bool:
    """Whether any part of the path is hidden or left over from a Macintosh archive."""
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in PurePosixPath(name).parts)


def text_name(name: str) -> str:
    """The file that holds the captions of an image.

    >>> text_name("a.b/c.d.png")
    'a.b/c.d.txt'
    """
    return name[: name.rindex(".")] + ".txt"


def ending(name: str) -> str:
    """What a name ends in, for a count of kinds."""
    return PurePosixPath(name).suffix.lower() or "no ending"


def nobody(name: str) -> bool:
    """Held out by name: no image is."""
    return False
