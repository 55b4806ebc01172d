"""Where two sides of a set come from: folders A and B, pictures cut in the middle, or a table of paths."""

from __future__ import annotations

import re
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gansmith.data.decode import Half
from gansmith.data.names import hidden, is_image, nobody, show
from gansmith.data.sources import TAR_SUFFIXES, Item, Source, read_file, refuse_bomb, unreadable
from gansmith.data.tables import cells, read_text
from gansmith.errors import GansmithError, did_you_mean

FOLDERS = {
    "A": ("A", False),
    "B": ("B", False),
    "trainA": ("A", False),
    "trainB": ("B", False),
    "testA": ("A", True),
    "testB": ("B", True),
}
"""Name of a folder -> its side, and whether its images are held out."""

HOW = "give a folder with subfolders A and B (or trainA and trainB, with testA and testB for the held-out part)"
COLUMNS = ("a", "b")

Couples = list[tuple[int, int]]
"""Positions of partners in the names of A and of B."""


@dataclass(frozen=True)
class Sides:
    """Two sources of images, and what is known of partners.

    Args:
        title: for messages.
        a, b: the sources.
        couples: names of A, names of B -> which belong together.
        named: whether partners are told by names alone, so that without any the sides are two domains.
        held: name -> whether the image was put into the held-out part.
    """

    title: str
    a: Source
    b: Source
    couples: Callable[[Sequence[str], Sequence[str]], Couples]
    named: bool = False
    held: Callable[[str], bool] = nobody


# ---- partners


def by_name(a: Sequence[str], b: Sequence[str]) -> Couples:
    """Which names belong together: equal ones, then equal up to the ending, then up to case and the form of accents.

    A name that several on the other side would fit is nobody's partner.

    >>> by_name(["1.png", "x/2.png", "E.png", "4.png"], ["x/2.jpg", "1.png", "e.png", "5.png"])
    [(0, 1), (1, 0), (2, 2)]
    >>> by_name(["1.png", "1.jpg"], ["1.webp"])
    []
    """
    left, right, found = set(range(len(a))), set(range(len(b))), []
    for key in (str, _stem, _loose):
        groups: dict[str, tuple[list[int], list[int]]] = {}
        for side, names in enumerate((a, b)):
            for i in sorted((left, right)[side]):
                groups.setdefault(key(names[i]), ([], []))[side].append(i)
        new = [(i[0], j[0]) for i, j in groups.values() if len(i) == len(j) == 1]
        left -= {i for i, _ in new}
        right -= {j for _, j in new}
        found += new
    return sorted(found)


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).name else name


def _loose(name: str) -> str:
    return unicodedata.normalize("NFC", _stem(name)).casefold()


# ---- folders A and B


@dataclass(frozen=True)
class Layout:
    """Folders A and B (or trainA, ...) below the folders `above`, which hold every image of a source."""

    above: tuple[str, ...]

    def side(self, name: str) -> str:
        """The side that an image belongs to."""
        return FOLDERS[self.folder(name)][0]

    def held(self, name: str) -> bool:
        """Whether an image lies in a folder of held-out ones."""
        return FOLDERS[self.folder(name)][1]

    def below(self, name: str) -> str:
        """What partners share: the path below the folder, before it whether it is held out."""
        rest = _parts(name)[len(self.above) + 1 :]
        return "/".join(("test" if self.held(name) else "train", *rest))

    def couples(self, a: Sequence[str], b: Sequence[str]) -> Couples:
        """Partners by their paths below A and B."""
        return by_name([self.below(name) for name in a], [self.below(name) for name in b])

    def folder(self, name: str) -> str:
        """The folder of FOLDERS that an image lies in; empty for one that lies elsewhere."""
        parts, deep = _parts(name), len(self.above)
        return parts[deep] if len(parts) > deep + 1 and parts[:deep] == self.above and parts[deep] in FOLDERS else ""


def _parts(name: str) -> tuple[str, ...]:
    """The parts of an image's path, without the shard; a folder that cannot be opened has an empty last one.

    >>> _parts("s-0.tar:A/1.png"), _parts("A/locked/")
    (('A', '1.png'), ('A', 'locked', ''))
    """
    path = re.sub(r"^[^/]*\.tar[^/:]*:", "", name)
    return PurePosixPath(path).parts + ("",) * path.endswith("/")


def find_sides(source: Source, asked: bool) -> Sides | None:
    """The sides of a source whose images all lie in folders A and B; None for any other source.

    Args:
        asked: whether somebody said that there are two sides.

    Raises:
        GansmithError: there is only one of the two; or there is none, and somebody asked.
    """
    layout, there, outside = _look(source)
    if layout is None or outside:
        if not asked:
            return None
        also = f" ({outside} lies in neither)" if layout else ""
        raise GansmithError(f'"{source.title}" has no two sides of images{also}: {HOW}.')
    missing = [side for side in "AB" if (side, False) not in {FOLDERS[folder] for folder in there}]
    if missing:
        raise GansmithError(
            f'"{source.title}" has images in {" and ".join(sorted(there))} alone, none to train on for side '
            f"{missing[0]}: {HOW}, or give the images of one side by themselves."
        )
    a, b = (_part(source, layout, side) for side in "AB")
    return Sides(source.title, a, b, layout.couples, True, layout.held)


def _look(source: Source) -> tuple[Layout | None, set[str], str]:
    """The layout, the folders of it that hold images, and the first image that lies elsewhere.

    Of an ordinary source one name is looked at, so that archives need not be walked through for nothing.
    """
    layout: Layout | None = None
    there: set[str] = set()
    for name in names_in(source) if source.paths else ():
        if layout is None:
            parts = _parts(name)
            deep = next((i for i, part in enumerate(parts[:-1]) if part in FOLDERS), None)
            if deep is None:
                return None, there, name
            layout = Layout(parts[:deep])
        if not layout.folder(name):
            return layout, there, name
        there.add(layout.folder(name))
    return layout, there, ""


def names_in(source: Source) -> Iterator[str]:
    """The names of a source's images; those in archives are listed without reading the images."""
    files = source.files
    if len(files) == 1 and files[0].suffix.lower() == ".zip":
        yield from _zip_names(files[0])
    elif files and all(path.name.lower().endswith(TAR_SUFFIXES) for path in files):
        for path in files:
            yield from _tar_names(path, "" if len(files) == 1 else f"{path.name}:")
    else:
        yield from (item.name for item in source.items())


def _zip_names(path: Path) -> Iterator[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [m.filename for m in archive.infolist() if not m.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise unreadable(path, error) from None
    yield from (show(name) for name in names if is_image(name) and not hidden(name))


def _tar_names(path: Path, prefix: str) -> Iterator[str]:
    total = 0
    try:
        with tarfile.open(path) as archive:
            for count, member in enumerate(archive):
                archive.members = []  # type: ignore[attr-defined]  # or it would remember every member
                total += member.size
                refuse_bomb(path, count, total)
                if member.isreg() and is_image(member.name) and not hidden(member.name):
                    yield show(prefix + member.name)
    except (tarfile.TarError, OSError, EOFError, zlib.error, LZMAError) as error:
        raise unreadable(path, error) from None


def _part(source: Source, layout: Layout, side: str) -> Source:
    """The images of one side, as a source."""

    def items() -> Iterator[Item]:
        return (item for item in source.items() if layout.side(item.name) == side)

    total, files = source.total, source.files
    if total is not None and total == len(files):  # a folder: one file an image
        kept = [layout.side(item.name) == side for item in source.items()]
        files, total = tuple(file for file, keep in zip(files, kept, strict=True) if keep), sum(kept)
    return _bare(source, side, "folder", items, files, total if files is not source.files else None)


def _bare(
    source: Source, side: str, how: str, items: Callable[[], Iterator[Item]], files: tuple[Path, ...], total: int | None
) -> Source:
    """One side of a source: no labels, no captions. What is on disk is kept under `how` it was parted, too."""
    return replace(
        source,
        title=f"{source.title} ({side})",
        files=files,
        items=lambda: (item._replace(label=None, captions=None) for item in items()),
        total=total,
        classes=(),
        captioned=False,
        variant=f"{source.variant} {how} {side} of {source.title}" if source.files or source.variant else "",
        side=lambda name: None,
        beside=(),
        factors={},
    )


# ---- two images in one picture


def cut(source: Source, order: str) -> Sides:
    """The halves of pictures that hold two images side by side.

    Args:
        order: "AB" = A is the left one, "BA" = B is.
    """

    def halves(side: str) -> Source:
        right = order.index(side) == 1

        def items() -> Iterator[Item]:
            return (item._replace(read=partial(_half, item, right)) for item in source.items())

        return _bare(source, side, order, items, source.files, source.total)

    return Sides(source.title, halves("A"), halves("B"), by_name)


def _half(item: Item, right: bool) -> Half:
    data = item.read()
    assert not isinstance(data, Half)
    return Half(data, right)


# ---- a table of paths


class Line(NamedTuple):
    """Two partners in a table: the names as written there, and the files."""

    names: tuple[str, str]
    files: tuple[Path, Path]


def from_table(path: Path) -> Sides:
    """The pairs in a CSV file with columns a and b: paths of images, from the folder of the file on, not out of it.

    Raises:
        GansmithError: no such columns, no row, or a path that leads nowhere or elsewhere.
    """
    title = show(str(path))
    lines = list(dict.fromkeys(_lines(path, title)))
    if not lines:
        raise GansmithError(f'"{title}" holds no pairs: give a line for each, with the paths of two images.')

    def side(i: int) -> Source:
        files = {line.names[i]: line.files[i] for line in lines}
        items = [Item(name, partial(read_file, file)) for name, file in files.items()]
        return Source(f"{title} ({'AB'[i]})", tuple(files.values()), lambda: items, len(items), variant=repr([*files]))

    def couples(a: Sequence[str], b: Sequence[str]) -> Couples:
        rows_a, rows_b = ({name: i for i, name in enumerate(names)} for names in (a, b))
        return [(rows_a[line.names[0]], rows_b[line.names[1]]) for line in lines]

    return Sides(title, side(0), side(1), couples)


def _lines(path: Path, title: str) -> Iterator[Line]:
    rows = cells(title, read_text(path))
    _, header = next(rows)
    columns = [cell.strip().lower() for cell in header]
    for wanted in COLUMNS:
        if columns.count(wanted) != 1:
            there = ", ".join(map(show, header[:20]))[:200] or "none"
            raise GansmithError(
                f'"{title}" has {"several columns" if wanted in columns else "no column"} "{wanted}" (its first line: '
                f"{there}): a table of pairs has the columns a and b, with the paths of two images in each line."
            )
    root = path.resolve().parent
    for where, row in rows:
        texts = [row[columns.index(wanted)].strip() for wanted in COLUMNS]
        a, b = (_inside(root, title, where, text) for text in texts)
        yield Line((show(texts[0]), show(texts[1])), (a, b))


def _inside(root: Path, title: str, where: str, text: str) -> Path:
    """The file that a cell names."""
    where = f'{where.capitalize()} of "{title}"'
    if not text:
        raise GansmithError(f"{where} names one image alone: give the paths of two.")
    said = f'{where} names "{show(text)[:200]}"'
    near: list[str] = []
    try:
        found = (root / text.replace("\\", "/")).resolve()
        if not found.is_relative_to(root):
            raise GansmithError(f"{said}, which leads out of the folder of the table: give paths from there on.")
        if found.is_file():
            return found
        near = [entry.name for entry in found.parent.iterdir()]
    except GansmithError:
        raise
    except (OSError, ValueError, RuntimeError):  # no such folder, a name with a null byte, links in a circle
        pass
    hint = did_you_mean(PurePosixPath(text).name, near)
    raise GansmithError(f'{said}, and there is no such file in "{show(str(root))}".{show(hint)} Correct the path.')
