"""Sheets: each image in its cell, blanks white, every name whole and where it belongs."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gansmith.engine.pictures import GAP, to_uint8
from gansmith.errors import GansmithError
from gansmith.explore.files import read_told
from gansmith.explore.sheet import Sheet

TOLD = "gansmith explore mix runs/x --seed 3"
CELL = (16 + 2 * GAP) * 3  # of an image of 16 pixels


def noise(n: int, c: int = 3, side: int = 16) -> Tensor:
    return torch.rand(n, c, side, side) * 2 - 1


def pixels(sheet: Sheet) -> np.ndarray:
    return np.array(sheet.picture())


def cells(sheet: Sheet, rows: int) -> np.ndarray:
    """The cells of a sheet (rows, columns, h, w, 3) with what is around them, without the names' margins."""
    picture, plain = pixels(sheet), pixels(Sheet(sheet.images, sheet.columns))
    left, top = picture.shape[1] - plain.shape[1], picture.shape[0] - plain.shape[0]
    cut = picture[top:, left:]
    return cut.reshape(rows, cut.shape[0] // rows, sheet.columns, -1, 3).swapaxes(1, 2)


def ink(area: np.ndarray) -> bool:
    return bool((area < 128).any())


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("c", [1, 2, 3, 4])
def test_images_come_back(suffix: str, c: int, tmp_path: Path) -> None:
    images = noise(5, c)
    path = Sheet(images, 3, told=TOLD).save(tmp_path / "deep" / f"a{suffix}")
    with Image.open(path) as image:
        picture = np.asarray(image.convert("RGB"))
    assert picture.shape == (2 * CELL, 3 * CELL, 3) and read_told(path) == TOLD
    for i, image in enumerate(to_uint8(images)):
        y, x = (k * CELL + 3 * GAP for k in divmod(i, 3))
        assert np.array_equal(picture[y : y + 48 : 3, x : x + 48 : 3], image[:, :, [0, 0, 0] if c < 3 else [0, 1, 2]])
    assert picture[CELL:, 2 * CELL :].min() == 255  # there is no sixth image


def test_blank_cells() -> None:
    images = noise(4)
    full = pixels(Sheet(images, 2))
    images[1] = torch.nan
    blank = pixels(Sheet(images, 2))
    assert blank[:CELL, CELL:].min() == 255 and full[:CELL, CELL:].min() < 255
    blank[:CELL, CELL:] = full[:CELL, CELL:]
    assert np.array_equal(blank, full)
    assert pixels(Sheet(torch.full((1, 1, 8, 8), torch.nan), 1)).min() == 255


def test_names_are_above_and_beside() -> None:
    images = torch.full((6, 1, 16, 16), torch.nan)  # nothing but names
    sheet = Sheet(images, 3, ("one", "", "three"), ("top", ""))
    picture = pixels(sheet)
    top, left = picture.shape[0] - 2 * CELL, picture.shape[1] - 3 * CELL
    assert [ink(picture[:top, left + i * CELL : left + (i + 1) * CELL]) for i in range(3)] == [True, False, True]
    assert [ink(picture[top + i * CELL : top + (i + 1) * CELL, :left]) for i in range(2)] == [True, False]
    assert not ink(picture[:top, :left]) and not ink(picture[top:, left:])
    assert pixels(Sheet(images, 3, ("one", "", "three"))).shape[1] == 3 * CELL  # no margin without names
    assert pixels(Sheet(images, 3, row_names=("top", ""))).shape[0] == 2 * CELL


@pytest.mark.parametrize(
    "names", [("a", "ψ = −0.5"), ("smiling woman with a hat", "gÅ"), ("Donaudampfschifffahrtsgesellschaft", "b")]
)
@pytest.mark.parametrize("side", [8, 16, 128])
def test_names_are_never_cut(names: tuple[str, str], side: int) -> None:
    images = noise(4, side=side)
    sheet = Sheet(images, 2, names, names)
    picture = pixels(sheet)
    for edge in (picture[:4], picture[-2:], picture[:, :4], picture[:, -2:]):
        assert edge.min() == 255
    plain = pixels(Sheet(images, 2))
    height, width = plain.shape[0] // 2, plain.shape[1] // 2
    blank = pixels(Sheet(torch.full_like(images, torch.nan), 2, names, names))
    assert ink(blank) and not ink(blank[picture != blank])  # no name over an image
    for i in range(4):
        y, x = divmod(i, 2)
        cut = plain[y * height : (y + 1) * height, x * width : (x + 1) * width]
        assert contains(picture, cut)  # no image over another


def contains(picture: np.ndarray, part: np.ndarray) -> bool:
    """Whether a part lies in a picture, pixel for pixel."""
    h, w = part.shape[:2]
    windows = np.lib.stride_tricks.sliding_window_view(picture[:, :, 0], (h, w))
    middle = (windows[:, :, h // 2, w // 2 - 8 : w // 2 + 8] == part[h // 2, w // 2 - 8 : w // 2 + 8, 0]).all(-1)
    return any(np.array_equal(picture[y : y + h, x : x + w], part) for y, x in zip(*middle.nonzero(), strict=True))


def test_long_names_are_broken_between_words() -> None:
    images = torch.full((2, 1, 32, 32), torch.nan)
    short, long = (Sheet(images, 2, (name, "b")).picture() for name in ("red", "a red cross on a dark ground"))
    assert long.width == short.width and long.height > short.height
    tiny = [Sheet(images[:, :, :8, :8], 1, row_names=(name, "b")).picture() for name in ("y", "y = x + b")]
    assert tiny[0].height == tiny[1].height and tiny[0].width < tiny[1].width  # names beside are not squeezed


def test_same_sheet_same_bytes(tmp_path: Path) -> None:
    images = noise(4)
    for suffix in (".png", ".webp"):
        one, two = (
            Sheet(images.clone(), 2, ("a", "b"), told=TOLD).save(tmp_path / name / f"{name}{suffix}").read_bytes()
            for name in ("one", "two")
        )
        assert one == two and b"two" not in two


def test_a_notebook_shows_it() -> None:
    sheet = Sheet(noise(4), 2)
    shown = sheet._repr_mimebundle_()
    assert shown["text/plain"] == repr(sheet) == "<Sheet (4, 3, 16, 16), 2 x 2>"
    with Image.open(io.BytesIO(b64decode(shown["image/png"]))) as image:
        assert np.array_equal(np.asarray(image), pixels(sheet))


@pytest.mark.parametrize(
    ("images", "columns", "names", "words"),
    [
        (
            torch.zeros(3, 8, 8),
            1,
            {},
            "A sheet needs images (N, C, H, W) of floats in [-1, 1], at least one of each, not",
        ),
        (torch.zeros(0, 3, 8, 8), 1, {}, "not (0, 3, 8, 8) of float32."),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), 1, {}, "not (1, 3, 8, 8) of int64."),
        (torch.zeros(1, 3, 8, 8), 0, {}, "A sheet of 0 columns: give at least 1."),
        (
            torch.zeros(5, 3, 8, 8),
            3,
            {"column_names": ("a", "b")},
            "A sheet of 3 columns has 2 names for them: give 3, or",
        ),
        (torch.zeros(5, 3, 8, 8), 3, {"row_names": ("a",)}, "A sheet of 2 rows has 1 names for them: give 2, or none."),
        (
            torch.tensor([0, 0, 0, torch.nan]).view(2, 1, 1, 2),
            1,
            {},
            "Image 1 of the sheet has some values that are not numbers (NaN).",
        ),
    ],
)
def test_what_is_refused(images: Tensor, columns: int, names: dict, words: str) -> None:
    with pytest.raises(GansmithError, match=re.escape(words)):
        Sheet(images, columns, **names)


def test_places_that_are_refused(tmp_path: Path) -> None:
    sheet = Sheet(noise(1), 1)
    for name, words in (("a", "no format"), ("a.gif", ".gif is not a format for this"), ("a.mp4", ".mp4 is not")):
        with pytest.raises(GansmithError, match=re.escape(f"{name}: {words}") + r".*; give \.png or \.webp\."):
            sheet.save(tmp_path / name)
    with pytest.raises(GansmithError, match=r"16388 x 6 pixels, and a side of \.webp has at most 16383"):
        Sheet(torch.zeros(1, 1, 2, 16_384), 1).save(tmp_path / "a.webp")
    assert list(tmp_path.iterdir()) == []
