"""From a source to one uint8 array: look at every image, settle what was left open, decode, keep."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageColor

from gansmith.data.cache import Cache, Record, memory_limit, newest_change, row_digest, state_of
from gansmith.data.captions import captions_of
from gansmith.data.decode import (
    FILTER,
    FITS,
    GREY_MODES,
    SUFFIXES,
    WINDOW,
    Look,
    Pixels,
    Probe,
    decode,
    probe,
    reason,
)
from gansmith.data.labels import labels_of
from gansmith.data.names import ending
from gansmith.data.sources import Item, Source
from gansmith.data.store import Ragged
from gansmith.data.tables import split_choice, table_file
from gansmith.data.work import in_parallel, track
from gansmith.errors import GansmithError, did_you_mean
from gansmith.places import cache_folder

VERSION = 1  # of the decoding: raise it when the same files would give other pixels
MAX_AUTO = 64

Choice = bool | str | os.PathLike[str] | None
"""Of labels or captions: None or False = what the source carries itself; True = what lies with the images, folders or
text files; or a CSV or JSON file, a column perhaps behind a colon."""


@dataclass(frozen=True)
class Options:
    """What the user asked for; None = settle it from the images.

    The file names are no part of what it is written as, which names the decoded set: their content is.
    """

    resolution: int | None
    fit: str
    background: tuple[int, int, int]
    channels: int | None
    labels: bool
    label_file: str | None = field(default=None, repr=False)
    captions: bool | str = field(default=False, repr=False)


def options(
    resolution: int | None,
    fit: str,
    background: str,
    channels: int | None,
    labels: Choice = None,
    captions: Choice = None,
) -> Options:
    """Check the user's wishes."""
    if resolution is not None and (not isinstance(resolution, int) or not 4 <= resolution <= 2048):
        raise GansmithError(f"resolution = {resolution} is out of range: give a number of pixels between 4 and 2048.")
    if fit not in (fits := (*FITS, WINDOW)):
        raise GansmithError(f'fit = "{fit}" is unknown: choose {", ".join(fits)}.{did_you_mean(fit, fits)}')
    if channels not in (None, 1, 3):
        raise GansmithError(f"channels = {channels} is not possible: choose 1 (grey) or 3 (colour).")
    try:
        colour = ImageColor.getrgb(background)[:3]
    except ValueError:
        raise GansmithError(f'background = "{background}" is no colour: give a name or #rrggbb.') from None
    by, texts = _choice(labels, "label", "True for folders"), _choice(captions, "caption", "True for texts")
    label_file = by if isinstance(by, str) else None
    return Options(resolution, fit, (colour[0], colour[1], colour[2]), channels, bool(by), label_file, texts)


def _choice(choice: Choice, word: str, also: str) -> bool | str:
    """A choice of labels or captions: whether they are wanted, or the file that holds them."""
    if choice is None or isinstance(choice, bool):
        return bool(choice)
    if not isinstance(choice, (str, os.PathLike)):
        raise GansmithError(f"{word}s must be True or the path of a file, not {type(choice).__name__}.")
    table_file(os.fspath(choice), word, also)
    return os.fspath(choice)


@dataclass(frozen=True)
class Prepared:
    """Decoded images (uint8, N H W C or each of its own size, in memory or mapped), their record, and the key that
    names both."""

    key: str
    array: np.ndarray | Ragged
    record: Record
    notes: tuple[str, ...]


def prepare(source: Source, wanted: Options, cache_dir: str | Path | None, progress: bool) -> Prepared:
    """Decode a source once; the next time, the cache answers. GansmithError when no image is usable.

    For windows, images are kept at their own size, the same for every resolution.
    """
    if wanted.fit == WINDOW:
        wanted = replace(wanted, resolution=None)
    cache = Cache(Path(cache_dir).expanduser() if cache_dir is not None else cache_folder())
    settings = repr((VERSION, FILTER, source.classes, wanted))
    files = (*source.files, *_beside(source, wanted))
    kept = bool(source.files or source.variant)
    state = state_of(files, repr((settings, source.variant, wanted.label_file, wanted.captions))) if kept else ""
    changed = newest_change(files)
    if state and (known := cache.recall(state)):
        if source.total is not None:  # listed just now, so the files beside the images are known
            known[2].ignored = _passed_over(source, known[2])
        return Prepared(*known, (*cache.notes, *known[2].remarks))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Pillow's remarks on odd files
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        probes = _survey(source, progress, source.captioned or wanted.captions is True)
        look, record = _settle(source, probes, wanted)
        key = _key(settings, probes, record)

        def fill(file: BinaryIO) -> Record:
            rows = track(_rows(source, probes, look), len(probes), "decoding", progress)
            return _write(file, rows, source.title, probes, record, wanted)

        square = look.fit != WINDOW
        pixels = sum(look.resolution**2 if square else p.width * p.height for p in probes if not p.reason)
        array, done = _cached(fill, pixels * look.channels, cache, key) if kept else _held(fill)
    done.used, done.remarks = record.used, record.remarks  # the cached record may be of a copy
    done.ignored = _passed_over(source, done)  # with other files beside it
    if state:
        cache.remember(state, key, changed)
    return Prepared(key, array, done, (*cache.notes, *done.remarks))


def _beside(source: Source, wanted: Options) -> list[Path]:
    """The files on disk, besides the images, that labels and captions are read from."""
    chosen = [split_choice(choice)[0] for choice in (wanted.label_file, wanted.captions) if isinstance(choice, str)]
    return [*chosen, *(source.beside if wanted.labels or wanted.captions is True else ())]


def _used(source: Source, wanted: Options, tables: list[str], texts: int) -> dict[str, int]:
    """Files among the images that labels and captions were read from, counted by their endings."""
    chosen = [split_choice(choice)[0] for choice in (wanted.label_file, wanted.captions) if isinstance(choice, str)]
    inside = [str(path) for path in chosen if path.resolve().is_relative_to(Path(source.title).resolve())]
    return dict(Counter([ending(name) for name in {*tables, *inside}] + [".txt"] * texts))


def _passed_over(source: Source, record: Record) -> dict[str, int]:
    """Files that are no images and that nothing was read from, counted by their endings."""
    return dict(source.ignored - Counter(record.used))


def _survey(source: Source, progress: bool, captions: bool) -> list[Probe]:
    """Look at every image; the first pass, which also notices any change of content."""

    def attempt(item: Item) -> Probe:
        said = tuple(item.captions()) if captions and item.captions else ()
        try:
            return probe(item.name, item.label, item.read())._replace(captions=said, group=item.group)
        except Exception as error:  # a hostile file can make its parser raise anything
            return Probe(item.name, item.label, reason=reason(error))

    walk = track(in_parallel(attempt, source.items(), _chunk(source)), source.total, "looking at the images", progress)
    probes = list(walk)
    if not probes:
        raise GansmithError(_nothing(source))
    _some_usable(source.title, probes)
    return probes


def _chunk(source: Source) -> int:
    """Images a job: files are heavy and may be held in memory while they wait, array rows are light."""
    return 1 if source.paths else 64


def _nothing(source: Source) -> str:
    kinds = ", ".join(f"{ending} ({count})" for ending, count in source.ignored.most_common(5))
    others = f"it holds other files: {kinds}" if kinds else "it is empty"
    return f'"{source.title}" holds no images; {others}. Image files end in {" ".join(SUFFIXES)}.'


def _some_usable(title: str, probes: list[Probe]) -> None:
    if all(p.reason for p in probes):
        shown = "; ".join(f"{p.name}: {p.reason}" for p in probes[:3])
        raise GansmithError(
            f'None of the {len(probes):,} images in "{title}" can be used ({shown}): mend or replace them.'
        )


def _settle(source: Source, probes: list[Probe], wanted: Options) -> tuple[Look, Record]:
    """Decide resolution, channels, labels and captions."""
    good = [p for p in probes if not p.reason]
    resolution = wanted.resolution or auto_resolution([min(p.width, p.height) for p in good])
    channels = wanted.channels or (1 if all(p.mode in GREY_MODES for p in good) else 3)
    labels = labels_of(source, probes, wanted.labels, wanted.label_file)
    captions = captions_of(source, probes, wanted.captions)
    record = Record(resolution, channels, classes=labels.classes, labels=labels.numbers, captions=captions.texts)
    record.remarks = labels.remarks + captions.remarks
    record.used = _used(source, wanted, [labels.used] * bool(labels.used), sum(bool(p.captions) for p in probes))
    return Look(resolution, wanted.fit, wanted.background, channels), record


def auto_resolution(short_sides: list[int]) -> int:
    """The largest power of two up to the median short side, 8 to 64; 28 for sets like MNIST.

    >>> auto_resolution([28]), auto_resolution([100, 40, 33]), auto_resolution([640]), auto_resolution([5])
    (28, 32, 64, 8)
    """
    middle = sorted(short_sides)[len(short_sides) // 2]
    return 28 if middle == 28 else max(8, min(MAX_AUTO, 1 << (middle.bit_length() - 1)))


def _key(settings: str, probes: list[Probe], record: Record) -> str:
    """Names the decoded set: the content of every file in order, its labels, and every setting."""
    digest = hashlib.sha256(f"{settings} {record.resolution} {record.channels} {record.classes}".encode())
    for i, p in enumerate(probes):
        label = record.labels[i] if record.labels else ""
        digest.update(f"{p.name}\n{p.digest or p.reason}\n{label}\n".encode())
    if record.captions:
        digest.update(repr(record.captions).encode())
    if any(p.group for p in probes):
        digest.update(repr([p.group for p in probes]).encode())
    return digest.hexdigest()[:32]


def _held(fill: Callable[[BinaryIO], Record]) -> tuple[np.ndarray | Ragged, Record]:
    """Decoded into memory: where there is nothing to cache, or nowhere to put it."""
    buffer = io.BytesIO()
    record = fill(buffer)
    return record.arranged(np.frombuffer(buffer.getbuffer(), np.uint8)), record


def _cached(
    fill: Callable[[BinaryIO], Record], size: int, cache: Cache, key: str
) -> tuple[np.ndarray | Ragged, Record]:
    """From the cache, or decoded into it; into memory when it takes nothing and `size` bytes are not too many."""
    if found := cache.load(key):
        return found
    try:
        return cache.save(key, fill)
    except OSError as error:
        need = f"{max(1, size >> 20):,} MiB"
        why = f'The cache folder "{cache.folder}" cannot take the images ({need}): {error.strerror or error}'
        if size > memory_limit():
            raise GansmithError(f"{why}. Set GANSMITH_CACHE to a folder with room.") from None
        cache.notes.append(f"{why}; they are held in memory this time.")
        return _held(fill)


def _rows(source: Source, probes: list[Probe], look: Look) -> Iterator[Pixels | str]:
    """Pixels of each image, or why it has none."""

    def attempt(pair: tuple[Item, Probe]) -> Pixels | str:
        item, seen = pair
        if seen.reason:
            return seen.reason
        try:
            return decode(item.read(), look)
        except Exception as error:  # as above
            return reason(error)

    return in_parallel(attempt, zip(source.items(), probes, strict=True), _chunk(source))


def _write(
    file: BinaryIO, rows: Iterator[Pixels | str], title: str, probes: list[Probe], settled: Record, wanted: Options
) -> Record:
    """Write the good rows one after another; keep one channel where colour was only in the file format."""
    done = Record(settled.resolution, settled.channels, classes=settled.classes)
    done.remarks, done.used = settled.remarks, settled.used
    may_grey = wanted.channels is None and settled.channels == 3
    good = []
    for i, row in enumerate(rows):
        if isinstance(row, str):
            done.bad.append((probes[i].name, row))
            continue
        may_grey = may_grey and bool((row == row[..., :1]).all())
        file.write(np.ascontiguousarray(row).data)
        good.append(i)
        if wanted.fit == WINDOW:
            done.shapes.append((row.shape[0], row.shape[1]))
    if not good:
        reasons = dict(done.bad)
        _some_usable(title, [p._replace(reason=reasons[p.name]) for p in probes])
    done.names = [probes[i].name for i in good]
    done.labels = [settled.labels[i] for i in good] if settled.labels else []
    done.captions = [settled.captions[i] for i in good] if settled.captions else []
    done.groups = [probes[i].group for i in good] if any(p.group for p in probes) else []
    done.sizes = [(probes[i].width, probes[i].height) for i in good]
    done.modes = [probes[i].mode for i in good]
    done.resized = not done.shapes and any(size != (done.resolution, done.resolution) for size in done.sizes)
    if may_grey:
        done.channels = 1
        _drop_colour(file, [h * w for h, w in done.kept])
    _describe(file, done)
    return done


def _drop_colour(file: BinaryIO, pixels: list[int]) -> None:
    """Keep the first of three channels, in place: what is written never overtakes what is read."""
    start = 0
    for count in pixels:
        file.seek(3 * start)
        first = np.frombuffer(file.read(3 * count), np.uint8)[::3]
        file.seek(start)
        file.write(first.tobytes())
        start += count
    file.truncate(start)


def _describe(file: BinaryIO, record: Record) -> None:
    """Content hash and flatness of every row as it was written."""
    file.seek(0)
    for h, w in record.kept:
        row = np.frombuffer(file.read(h * w * record.channels), np.uint8).reshape(h, w, record.channels)
        record.digests.append(row_digest(row))
        record.flat.append(bool((row == row[:1, :1]).all()))
