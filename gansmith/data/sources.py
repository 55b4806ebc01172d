"""Where images come from: folders, zip and tar archives, shards. Nothing is ever unpacked to disk."""

from __future__ import annotations

import contextlib
import itertools
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gansmith.data.decode import MAX_FILE, SUFFIXES, BadImage, Pixels
from gansmith.errors import GansmithError

MAX_MEMBERS = 10_000_000
MAX_RATIO = 200  # unpacked : packed size of an archive above MAX_TOTAL; deflate itself cannot pass 1032
MAX_TOTAL = 4 << 30
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class Item(NamedTuple):
    """One image: a name fit for printing, how to get its bytes (or its pixels), and its label where one is known."""

    name: str
    read: Callable[[], bytes | Pixels]
    label: str | None = None


Member = tuple[str, Callable[[], bytes]]
"""A file in a tar archive: its name as written there, and a reader."""


@dataclass
class Source:
    """A set of images that can be walked through more than once, always in the same order.

    Args:
        title: for messages.
        files: what lies on disk; a change in any of them is a change of the data. Empty = held in memory.
        items: walks through the images.
        total: how many there are, where that is known without walking through them.
        classes: label names in the order of their numbers, where the source fixes that order.
        licence: of the data, where we know it.
        paths: whether the names are paths, whose folders can serve as labels.
        ignored: endings of the files that are no images, counted by `items`.
    """

    title: str
    files: tuple[Path, ...]
    items: Callable[[], Iterable[Item]]
    total: int | None = None
    classes: tuple[str, ...] = ()
    licence: str = ""
    paths: bool = True
    ignored: Counter[str] = field(default_factory=Counter)


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
    """
    parts = re.split(r"([0-9]+)", name.casefold())
    return (*(part if i % 2 == 0 else (len(part.lstrip("0")), part) for i, part in enumerate(parts)), name)


def is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def hidden(name: str) -> bool:
    """Whether any part of the path is hidden or left over from a Macintosh archive."""
    return any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in PurePosixPath(name).parts)


# ---- folders


def folder(path: Path) -> Source:
    """All images below a folder, in natural order of their paths; links are followed, but no folder twice."""
    ignored: Counter[str] = Counter()
    found = sorted(_walk(path, ignored), key=lambda pair: natural(pair[0]))
    items = [Item(show(name), read) for name, read in found]
    files = tuple(read.args[0] for _, read in found)
    return Source(show(str(path)), files, lambda: items, len(items), ignored=ignored)


def _walk(root: Path, ignored: Counter[str]) -> Iterator[tuple[str, partial[bytes]]]:
    """Pairs (relative name, reader) of the images below `root`; a folder that cannot be opened counts as one image."""
    todo, seen = [(root, "")], set()
    while todo:
        path, prefix = todo.pop()
        try:
            where = path.stat()
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            if not prefix:
                raise GansmithError(f'The folder "{show(str(path))}" cannot be read: {error.strerror}.') from None
            yield prefix, partial(read_file, path)
            continue
        if (where.st_dev, where.st_ino) in seen:
            continue
        seen.add((where.st_dev, where.st_ino))
        for entry in entries:
            if hidden(entry.name):
                continue
            if _is_folder(entry):
                todo.append((Path(entry.path), f"{prefix}{entry.name}/"))
            elif is_image(entry.name):
                yield prefix + entry.name, partial(read_file, Path(entry.path))
            else:
                ignored[_ending(entry.name)] += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that points at itself
        return False


def read_file(path: Path) -> bytes:
    """The bytes of one image file; OSError when it cannot be opened, BadImage when it is no plain file or huge."""
    size = path.stat().st_size
    if path.is_dir():
        os.listdir(path)  # raises the reason why this folder could not be walked
    if not path.is_file():
        raise BadImage("not a plain file")
    if size > MAX_FILE:
        raise BadImage(f"larger than {MAX_FILE >> 20} MiB")
    return path.read_bytes()


# ---- archives


def refuse_bomb(path: Path, members: int, unpacked: int) -> None:
    """Stop at an archive that holds absurdly many or absurdly well packed files."""
    packed = max(1, path.stat().st_size)
    if members > MAX_MEMBERS:
        raise GansmithError(f'"{show(path.name)}" holds more than {MAX_MEMBERS:,} files: split it.')
    if unpacked > MAX_TOTAL and unpacked > MAX_RATIO * packed:
        raise GansmithError(
            f'"{show(path.name)}" would unpack to more than {MAX_RATIO} times its size ({unpacked >> 20:,} MiB): '
            f"it looks like a zip bomb, so it was not read. If it is yours, unpack it into a folder."
        )


def zip_file(path: Path) -> Source:
    """Images in a zip archive, in natural order."""
    source = Source(show(str(path)), (path,), lambda: _zip_items(path, source.ignored))
    return source


def _zip_items(path: Path, ignored: Counter[str]) -> Iterator[Item]:
    ignored.clear()
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise unreadable(path, error) from None
    with archive:
        members = [m for m in archive.infolist() if not m.is_dir() and not hidden(m.filename)]
        refuse_bomb(path, len(members), sum(m.file_size for m in members))
        ignored.update(_ending(m.filename) for m in members if not is_image(m.filename))
        for member in sorted((m for m in members if is_image(m.filename)), key=lambda m: natural(m.filename)):
            yield Item(show(member.filename), _now(_zip_member, archive, member))


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.flag_bits & 1:
        raise BadImage("encrypted")
    with archive.open(member) as stream:
        return _bounded(stream.read(MAX_FILE + 1))


def tar_files(paths: tuple[Path, ...]) -> Source:
    """Images in tar archives (plain or packed), in archive order; several = the shards of one set.

    A member of the same name that ends in `.cls` holds the image's label, as in WebDataset shards.
    """
    title = show(str(paths[0])) if len(paths) == 1 else f"{show(str(paths[0]))} and {len(paths) - 1} more"
    prefixes = [""] if len(paths) == 1 else [f"{path.name}:" for path in paths]

    def items() -> Iterator[Item]:
        source.ignored.clear()
        for path, prefix in zip(paths, prefixes, strict=True):
            for item in _tar_items(path, source.ignored):
                yield item._replace(name=show(prefix) + item.name)

    source = Source(title, paths, items)
    return source


def _tar_items(path: Path, ignored: Counter[str]) -> Iterator[Item]:
    damage = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)
    try:
        with tarfile.open(path, "r|*") as archive:
            for parts in _samples(_tar_members(path, archive)):
                label = next((_label(read) for name, read in parts if name.lower().endswith(".cls")), None)
                ignored.update(_ending(n) for n, _ in parts if not is_image(n) and not n.lower().endswith(".cls"))
                yield from (Item(show(name), read, label) for name, read in parts if is_image(name))
    except damage as error:
        raise unreadable(path, error) from None


def _tar_members(path: Path, archive: tarfile.TarFile) -> Iterator[Member]:
    """The plain files; the bytes are read at once, for the stream does not go back."""
    total = 0
    for count, member in enumerate(archive):
        archive.members = []  # type: ignore[attr-defined]  # or it would remember every member
        total += member.size
        refuse_bomb(path, count, total)
        if not member.isreg() or hidden(member.name):
            continue
        if member.issparse() or member.size > MAX_FILE:
            yield member.name, _raising(BadImage(f"sparse or larger than {MAX_FILE >> 20} MiB"))
        elif is_image(member.name) or member.name.lower().endswith(".cls"):
            stream = archive.extractfile(member)
            data = stream.read() if stream else b""
            yield member.name, partial(bytes, data)
        else:
            yield member.name, bytes


def _samples(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Neighbours with one WebDataset key: the path up to the first dot of the last part. At most 16, for memory."""
    for _, group in itertools.groupby(
        members, key=lambda m: (PurePosixPath(m[0]).parent, PurePosixPath(m[0]).name.split(".")[0])
    ):
        while parts := list(itertools.islice(group, 16)):
            yield parts


def _label(read: Callable[[], bytes]) -> str:
    return show(read().decode("utf-8", "backslashreplace").strip())


def _ending(name: str) -> str:
    return PurePosixPath(name).suffix.lower() or "no ending"


def _bounded(data: bytes) -> bytes:
    if len(data) > MAX_FILE:
        raise BadImage(f"unpacks to more than {MAX_FILE >> 20} MiB")
    return data


def _now(read: Callable[..., bytes], *args: object) -> Callable[[], bytes]:
    """Read now, in this thread (archives are read in order), and report later."""
    try:
        return partial(bytes, read(*args))
    except Exception as error:
        return _raising(error)


def _raising(error: Exception) -> Callable[[], bytes]:
    def read() -> bytes:
        raise error

    return read


def unreadable(path: Path, error: BaseException) -> GansmithError:
    """The error for a whole file that cannot be read."""
    why = (
        error.strerror if isinstance(error, OSError) and error.strerror else "it is cut off, damaged or of another kind"
    )
    return GansmithError(f'"{show(str(path))}" cannot be read: {why}. Check the file, or copy it again.')


def shards(pattern: str) -> Source | None:
    """The source for a pattern such as `shard-{000..010}.tar`, or None when this is no such pattern."""
    match = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", pattern)
    if not match or not pattern.lower().endswith(TAR_SUFFIXES):
        return None
    head, first, last, tail = match.groups()
    if int(last) < int(first) or int(last) - int(first) >= 1_000_000:
        raise GansmithError(f'The shard pattern "{show(pattern)}" counts from {first} to {last}: give a rising range.')
    paths = tuple(Path(f"{head}{i:0{len(first)}}{tail}").expanduser() for i in range(int(first), int(last) + 1))
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise GansmithError(
            f'{len(missing)} of {len(paths)} shards are missing, first "{show(str(missing[0]))}": correct the range.'
        )
    return tar_files(paths)


def labels_from_folders(names: list[str]) -> list[str]:
    """Label of each image: the first folder on its path, below any folder that all of them share.

    >>> labels_from_folders(["set/cat/1.png", "set/cat/2.png", "set/dog/x/3.png"])
    ['cat', 'cat', 'dog']
    >>> labels_from_folders(["cat/1.png"])
    ['cat']
    """
    paths = [PurePosixPath(name).parts for name in names]
    loose = [name for name, path in zip(names, paths, strict=True) if len(path) < 2]
    if loose:
        raise GansmithError(
            f'Labels are the names of subfolders, but {len(loose)} images lie in none, such as "{loose[0]}": '
            f"sort them into one folder a class, or leave labels off."
        )
    while all(len(path) > 2 and path[0] == paths[0][0] for path in paths):
        paths = [path[1:] for path in paths]
    return [path[0] for path in paths]


def tar_folder(path: Path) -> Source | None:
    """The shards in a folder that holds tar files and no images, or None."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        names = sorted((e.name for e in entries if e.is_file() and not hidden(e.name)), key=natural)
        tars = tuple(path / name for name in names if name.lower().endswith(TAR_SUFFIXES))
        if tars and not any(is_image(name) for name in names):
            return tar_files(tars)
    return None
