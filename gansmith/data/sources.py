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
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from gansmith.data.decode import MAX_FILE, BadImage, Raw
from gansmith.data.names import ending, hidden, is_image, natural, show, text_name
from gansmith.errors import GansmithError

MAX_MEMBERS = 10_000_000
MAX_RATIO = 200  # unpacked : packed size of an archive above MAX_TOTAL; deflate itself cannot pass 1032
MAX_TOTAL = 4 << 30
MAX_TABLE = 128 << 20  # bytes of a table among the images
MAX_TEXT_FILE = 64 << 10  # bytes of the captions of one image
OWN_TABLES = ("dataset.json", "labels.csv", "metadata.csv")
TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")


class Item(NamedTuple):
    """One image: a name fit for printing, how to get its bytes (or its pixels), its label where one is known, how to
    get the texts that describe it where there are some, and the group that is held out whole or not at all."""

    name: str
    read: Callable[[], Raw]
    label: str | None = None
    captions: Callable[[], list[str]] | None = None
    group: str = ""


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
        captioned: whether its images come with captions, asked for or not.
        variant: what else decides the content: which of several labels, or how it was drawn where there are no files.
        side: reads a table of that name among the images (one of OWN_TABLES); None when there is none.
        beside: other files on disk that labels and captions may come from.
        factors: numbers that made each image, name -> (N,), where they are known exactly.
    """

    title: str
    files: tuple[Path, ...]
    items: Callable[[], Iterable[Item]]
    total: int | None = None
    classes: tuple[str, ...] = ()
    licence: str = ""
    paths: bool = True
    ignored: Counter[str] = field(default_factory=Counter)
    captioned: bool = False
    variant: str = ""
    side: Callable[[str], bytes | None] = lambda name: None
    beside: tuple[Path, ...] = ()
    factors: Mapping[str, np.ndarray] = field(default_factory=dict)


# ---- folders


def folder(path: Path) -> Source:
    """All images below a folder, in natural order of their paths; links are followed, but no folder twice."""
    ignored: Counter[str] = Counter()
    found = sorted(_walk(path, ignored), key=lambda found: natural(found[0]))
    items = [
        Item(show(name), partial(read_file, image), None, partial(_captions_file, text) if text else None)
        for name, image, text in found
    ]
    tables = [path / name for name in OWN_TABLES if (path / name).is_file()]
    return Source(
        show(str(path)),
        tuple(image for _, image, _ in found),
        lambda: items,
        len(items),
        ignored=ignored,
        side=lambda name: _read_some(path / name, MAX_TABLE) if path / name in tables else None,
        beside=(*tables, *(text for _, _, text in found if text)),
    )


def _read_some(path: Path, most: int) -> bytes:
    """The bytes of a file that belongs to images; one byte above `most` when it is larger."""
    if not path.is_file():
        raise GansmithError(f'"{show(str(path))}" is no plain file: remove it, or put a text file in its place.')
    try:
        with open(path, "rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise unreadable(path, error) from None


def _captions_file(path: Path) -> list[str]:
    return caption_lines(str(path), _read_some(path, MAX_TEXT_FILE))


def caption_lines(name: str, data: bytes) -> list[str]:
    """The captions in a text file: one a line.

    Raises:
        GansmithError: it is too large, or no UTF-8.
    """
    if len(data) > MAX_TEXT_FILE:
        raise GansmithError(f'The captions in "{show(name)}" take more than {MAX_TEXT_FILE >> 10} KiB: shorten them.')
    try:
        return [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise GansmithError(f'The captions in "{show(name)}" are not UTF-8 text: save the file as UTF-8.') from None


def _walk(root: Path, ignored: Counter[str]) -> Iterator[tuple[str, Path, Path | None]]:
    """Relative name, path, and path of the captions of each image below `root`.

    A folder that cannot be opened counts as one image.
    """
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
            yield prefix, path, None
            continue
        if (where.st_dev, where.st_ino) in seen:
            continue
        seen.add((where.st_dev, where.st_ino))
        there = {entry.name for entry in entries}
        for entry in entries:
            if hidden(entry.name):
                continue
            if _is_folder(entry):
                todo.append((Path(entry.path), f"{prefix}{entry.name}/"))
            elif is_image(entry.name):
                text = text_name(entry.name)
                yield prefix + entry.name, Path(entry.path), path / text if text in there else None
            else:
                ignored[ending(entry.name)] += 1


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
    source = Source(show(str(path)), (path,), lambda: _zip_items(path, source.ignored), side=partial(_zip_table, path))
    return source


def _zip_table(path: Path, name: str) -> bytes | None:
    """A table at the top of a zip archive, or in the one folder there."""
    try:
        with zipfile.ZipFile(path) as archive:
            near = [m for m in archive.infolist() if m.filename.rpartition("/")[2] == name and not hidden(m.filename)]
            near = sorted((m for m in near if m.filename.count("/") < 2), key=lambda m: m.filename.count("/"))
            return _zip_member(archive, near[0], MAX_TABLE) if near else None
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, zlib.error, BadImage) as error:
        raise unreadable(path, error) from None


def _zip_items(path: Path, ignored: Counter[str]) -> Iterator[Item]:
    ignored.clear()
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise unreadable(path, error) from None
    with archive:
        members = [m for m in archive.infolist() if not m.is_dir() and not hidden(m.filename)]
        refuse_bomb(path, len(members), sum(m.file_size for m in members))
        ignored.update(ending(m.filename) for m in members if not is_image(m.filename))
        texts = {m.filename: m for m in members if m.filename.endswith(".txt")}
        for member in sorted((m for m in members if is_image(m.filename)), key=lambda m: natural(m.filename)):
            text = texts.get(text_name(member.filename))
            captions = None
            if text:
                captions = _later(show(text.filename), _now(_zip_member, archive, text, MAX_TEXT_FILE))
            yield Item(show(member.filename), _now(_zip_member, archive, member), None, captions)


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int = 0) -> bytes:
    """The bytes of a member; one above `most` when it is larger. Without `most`, too large a member is an error."""
    if member.flag_bits & 1:
        raise BadImage("encrypted")
    with archive.open(member) as stream:
        return stream.read(most + 1) if most else _bounded(stream.read(MAX_FILE + 1))


def _later(name: str, read: Callable[[], bytes]) -> Callable[[], list[str]]:
    """The captions in a member that was read already, when somebody asks for them."""

    def captions() -> list[str]:
        try:
            return caption_lines(name, read())
        except GansmithError:
            raise
        except Exception as error:
            raise GansmithError(f'The captions in "{name}" cannot be read: the archive is damaged.') from error

    return captions


def tar_files(paths: tuple[Path, ...]) -> Source:
    """Images in tar archives (plain or packed), in archive order; several = the shards of one set.

    A member of the same name that ends in `.cls` holds the image's label, one in `.txt` its captions, as in WebDataset
    shards.
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
                ignored.update(ending(n) for n, _ in parts if not is_image(n) and not n.lower().endswith(".cls"))
                text = next((_later(show(name), read) for name, read in parts if name.endswith(".txt")), None)
                yield from (Item(show(name), read, label, text) for name, read in parts if is_image(name))
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
        elif is_image(member.name) or member.name.lower().endswith((".cls", ".txt")):
            stream = archive.extractfile(member)
            most = MAX_TEXT_FILE + 1 if member.name.endswith(".txt") else -1
            data = stream.read(most) if stream else b""
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


def tar_folder(path: Path) -> Source | None:
    """The shards in a folder that holds tar files and no images, or None."""
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        names = sorted((e.name for e in entries if e.is_file() and not hidden(e.name)), key=natural)
        tars = tuple(path / name for name in names if name.lower().endswith(TAR_SUFFIXES))
        if tars and not any(is_image(name) for name in names):
            return tar_files(tars)
    return None
