"""Images to test with, and a cache folder of each test's own."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.data.named import sets_folder

REAL_SETS = sets_folder()  # before any test has a cache folder of its own


@pytest.fixture
def real_sets() -> Path:
    """Where this machine's user keeps fetched sets, whatever the tests' own cache folder is."""
    return REAL_SETS


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("GANSMITH_CACHE", str(folder))
    return folder


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    """noise(seed, height, width, channels): random uint8 pixels, smooth enough to survive lossy formats."""

    def make(seed: int, height: int = 32, width: int = 32, channels: int = 3) -> np.ndarray:
        rng = np.random.default_rng(seed)
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        pixels = np.asarray(small)
        return pixels if channels == 3 else pixels[..., 0]

    return make


@pytest.fixture
def photos(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """photos(n, size): a folder with n different colour PNGs, named 0.png to n-1.png."""

    def make(count: int = 40, size: tuple[int, int] = (32, 32), name: str = "photos") -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for i in range(count):
            Image.fromarray(noise(i, size[1], size[0])).save(folder / f"{i}.png")
        return folder

    return make


@pytest.fixture
def sides(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Callable[..., Path]:
    """sides(a, b): a folder with the images named in `a` below A and those in `b` below B, PNGs of any ending but .bmp.

    Which picture it is hangs on the name's stem alone, and every B is the negative of the A of its name. With `also`,
    further folders and the names in them: of those that end in B, negatives.
    """

    def make(
        a: Sequence[str],
        b: Sequence[str],
        size: tuple[int, int] = (32, 32),
        name: str = "set",
        also: Mapping[str, Sequence[str]] | None = None,
    ) -> Path:
        for folder, names in {"A": a, "B": b, **(also or {})}.items():
            for image in names:
                path = tmp_path / name / folder / image
                path.parent.mkdir(parents=True, exist_ok=True)
                seed = zlib.crc32(str(Path(image).with_suffix("")).casefold().encode("utf-8", "surrogateescape"))
                pixels = noise(seed, size[1], size[0])
                Image.fromarray(255 - pixels if folder.endswith("B") else pixels).save(
                    path, "BMP" if path.suffix == ".bmp" else "PNG"
                )
        return tmp_path / name

    return make


@pytest.fixture
def numbered() -> Callable[..., list[str]]:
    """numbered(n, ending): n names of files."""
    return lambda count, ending=".png": [f"{i}{ending}" for i in range(count)]
