"""Decoded images on disk: one folder a data set, named by content and settings, written whole or not at all.

<cache>/<key>/pixels.u8     the images one after another, uint8 H W C each: all of one size, or each of its own
<cache>/<key>/record.json   line 1: SHA-256 of the rest; then what is known of every image
<cache>/known/<state>       the key of the data whose files were last seen in this state (size, times, inode)
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from gansmith.data.store import Ragged

PIXELS, RECORD = "pixels.u8", "record.json"
CHECKED_ROWS = 4096  # of a set that is too large to be checked whole


@dataclass
class Record:
    """What is known of every usable image (lists of one length) and of those left out.

    `labels`, `captions` and `groups` are empty where there are none; `remarks` are for the user; `ignored` counts the
    files that are no images by their endings, those in `used` not: labels or captions were read from them. `sizes` are
    width and height of the files, `shapes` height and width as kept, empty when all are squares of the resolution.
    """

    resolution: int
    channels: int
    names: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    classes: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    digests: list[str] = field(default_factory=list)
    flat: list[bool] = field(default_factory=list)
    bad: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    resized: bool = False
    captions: list[list[str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    used: dict[str, int] = field(default_factory=dict)
    shapes: list[tuple[int, int]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)

    @property
    def kept(self) -> list[tuple[int, int]]:
        """Height and width of every image as kept."""
        return self.shapes or [(self.resolution, self.resolution)] * len(self.names)

    def arranged(self, flat: np.ndarray) -> np.ndarray | Ragged:
        """The images in bytes (M,) that hold one after another: N H W C, or each of its own size."""
        if self.shapes:
            return Ragged(flat, self.shapes, self.channels)
        return flat.reshape(len(self.names), self.resolution, self.resolution, self.channels)

    def only(self, rows: Iterable[int], bad: Iterable[tuple[str, str]]) -> Record:
        """The record of some rows; the others went where `bad` says, or nowhere."""
        rows = list(rows)
        lists = ("names", "labels", "sizes", "modes", "digests", "flat", "captions", "shapes", "groups")
        picked: dict[str, Any] = {n: [values[i] for i in rows] for n in lists if (values := getattr(self, n))}
        return replace(self, **picked, bad=[*self.bad, *bad])

    @property
    def keys(self) -> list[str]:
        """What decides the side of each image, hexadecimal: the hash of its group, or where it has none its own."""
        groups = self.groups or [""] * len(self.names)
        return [
            hashlib.sha256(group.encode()).hexdigest()[:32] if group else digest
            for group, digest in zip(groups, self.digests, strict=True)
        ]


def memory_limit() -> int:
    """Bytes up to which a set is held in memory: a quarter of the RAM that this process may use."""
    total = 8 << 30
    with contextlib.suppress(AttributeError, ValueError, OSError):
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(ValueError, OSError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total // 4


def row_digest(row: np.ndarray) -> str:
    """Content hash of one decoded image, 32 hexadecimal digits."""
    return hashlib.sha256(row.tobytes()).hexdigest()[:32]


def state_of(files: Iterable[Path], settings: str) -> str:
    """Hash of what the file system says of the files: any ordinary change of one changes it.

    The time of the last status change cannot be set back by hand, so an edit that keeps size and date shows too.
    """
    digest = hashlib.sha256(settings.encode())
    for path in files:
        try:
            s = path.stat()
            line = f"{os.fsencode(path.absolute())!r} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns} {s.st_ino}"
        except OSError as error:
            line = f"{os.fsencode(path.absolute())!r} {error.errno}"
        digest.update(line.encode())
    return digest.hexdigest()[:32]


def newest_change(files: Iterable[Path]) -> float:
    """Seconds since the epoch of the latest change of any file; now when one cannot be asked."""
    try:
        return max((max(s.st_mtime, s.st_ctime) for s in (path.stat() for path in files)), default=0.0)
    except OSError:
        return time.time()


class Cache:
    """One cache folder. `notes` collects what the user should be told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes: list[str] = []

    def recall(self, state: str) -> tuple[str, np.ndarray | Ragged, Record] | None:
        """The key, array and record last seen for this state of the files."""
        try:
            key = (self.folder / "known" / state).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None
        found = self.load(key) if key.isalnum() else None
        return (key, *found) if found else None

    def remember(self, state: str, key: str, changed: float) -> None:
        """Note the key of this state, unless a file changed so lately that a further change might not show."""
        if time.time() - changed > 2.0:
            with contextlib.suppress(OSError):
                (self.folder / "known").mkdir(parents=True, exist_ok=True)
                temporary = self.folder / "known" / f".{state}-{os.getpid()}"
                temporary.write_text(key, encoding="ascii")
                os.replace(temporary, self.folder / "known" / state)

    def load(self, key: str) -> tuple[np.ndarray | Ragged, Record] | None:
        """The images and their record, or None; an entry that does not match its own hashes is removed."""
        entry = self.folder / key
        if not entry.is_dir():
            return None
        try:
            record = _read_record(entry / RECORD)
            return read_pixels(entry / PIXELS, record), record
        except (OSError, ValueError, TypeError, KeyError):
            self.notes.append(f'The cached images in "{entry}" were damaged and are made again.')
            shutil.rmtree(entry, ignore_errors=True)
            return None

    def save(self, key: str, fill: Callable[[BinaryIO], Record]) -> tuple[np.ndarray | Ragged, Record]:
        """Make an entry; OSError when the folder is full or cannot be written, and then nothing is left behind."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        temporary = self.folder / f".new-{key}-{os.getpid()}"
        try:
            temporary.mkdir(exist_ok=True)
            with open(temporary / PIXELS, "w+b") as file:
                record = fill(file)
                file.flush()
                os.fsync(file.fileno())
            _write_record(temporary / RECORD, record)
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                os.rename(temporary, self.folder / key)
        except OSError:
            if not (self.folder / key).is_dir():  # else another process was quicker, which is as good
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        found = self.load(key)
        if found is None:
            raise OSError("what was written could not be read back")
        return found

    def _sweep(self) -> None:
        """Remove what a killed process left a day ago or earlier."""
        for path in self.folder.glob(".new-*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > 86_400:
                    shutil.rmtree(path, ignore_errors=True)


def read_pixels(path: Path, record: Record) -> np.ndarray | Ragged:
    """The images, in memory when they are small enough, else mapped; ValueError when not what the record says."""
    size = sum(h * w for h, w in record.kept) * record.channels
    if path.stat().st_size != size:
        raise ValueError("wrong size")
    mapped = np.memmap(path, np.uint8, "r", shape=(size,))
    small = size <= memory_limit()
    array = record.arranged(np.array(mapped) if small else mapped)
    rows = range(len(array)) if small else np.linspace(0, len(array) - 1, CHECKED_ROWS).astype(int)
    if any(row_digest(array[i]) != record.digests[i] for i in rows):
        raise ValueError("wrong content")
    return array


def _write_record(path: Path, record: Record) -> None:
    text = json.dumps(asdict(record))
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
        file.flush()
        os.fsync(file.fileno())


def _read_record(path: Path) -> Record:
    digest, _, text = path.read_text(encoding="ascii").partition("\n")
    if hashlib.sha256(text.encode()).hexdigest() != digest:
        raise ValueError("wrong record")
    fields = json.loads(text)
    fields["sizes"] = [tuple(size) for size in fields["sizes"]]
    fields["bad"] = [tuple(pair) for pair in fields["bad"]]
    fields["shapes"] = [tuple(shape) for shape in fields.get("shapes", [])]
    return Record(**fields)
