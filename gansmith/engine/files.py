"""Files that are whole or absent: written beside their place, flushed to the disk, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gansmith.errors import GansmithError


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn the operating system's refusals at `path` into one sentence (GansmithError)."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise GansmithError(
                f"No space left on the disk while writing {path}: free some space or choose another folder with --out; "
                "what was saved before is intact."
            ) from None
        if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise GansmithError(
                f"{path} cannot be written (permission denied): choose another folder with --out."
            ) from None
        if e.errno == errno.ENOENT:
            raise GansmithError(f"No file can be made at {path}: choose another folder with --out.") from None
        if e.errno in (errno.ENOTDIR, errno.EEXIST):
            raise GansmithError(
                f"{path} cannot be made, a file of that name is in the way: choose another --out."
            ) from None
        if e.errno == errno.EFBIG:
            raise GansmithError(f"{path} is larger than a file may be here (ulimit -f): raise the limit.") from None
        raise


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_file(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write a temporary file, then put it in the place of `path` at once."""
    temporary = path.with_name(f".{path.stem}.tmp{path.suffix}")
    with explained(path):
        try:
            fill(temporary)
            _flush(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Let `fill` write into a temporary folder, then put it in the place of `path` at once."""
    temporary, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep(path.parent)
        temporary.mkdir()
        try:
            fill(temporary)
            for file in temporary.iterdir():
                _flush(file)
            _flush(temporary)
            if path.exists():
                os.replace(path, old)
            os.replace(temporary, path)
            _flush(path.parent)
        finally:
            sweep(path.parent)


def sweep(folder: Path) -> None:
    """Remove what a killed process left half written."""
    for left in folder.glob(".*.tmp*"):
        shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)
    for left in folder.glob(".*.old"):  # killed between two renames: the old folder is the only whole one
        whole = left.with_name(left.name[1:-4])
        shutil.rmtree(left) if whole.exists() else os.replace(left, whole)
