"""Sheets: a still grid of images with names at its rows and columns."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gansmith.engine.pictures import grid
from gansmith.errors import GansmithError
from gansmith.explore.files import bundle, check_images, check_path, still, write

SUFFIXES = (".png", ".webp")
LETTERS = (14, 24)  # smallest and largest size of names, pixels
PAD = 8  # pixels around names
BESIDE = 128  # pixels that the names of rows may be long, however small the images are


@dataclass(frozen=True, eq=False)
class Sheet:
    """A still grid of images with names at rows and columns.

    Args:
        images: (N, C, H, W) in [-1, 1], row by row; values outside are clipped. An image of nothing but NaN is a blank
            cell.
        columns: of the grid.
        column_names, row_names: one for each column and row, or none.
        told: the command that made it, written into the file.

    Raises:
        GansmithError: images of another shape, none, or with a NaN beside numbers; columns or names of another number.
    """

    images: Tensor
    columns: int
    column_names: tuple[str, ...] = ()
    row_names: tuple[str, ...] = ()
    told: str = ""

    def __post_init__(self) -> None:
        check_images("A sheet needs images", "N, C, H, W", self.images)
        if self.columns < 1:
            raise GansmithError(f"A sheet of {self.columns} columns: give at least 1.")
        for what, count, names in (
            ("columns", self.columns, self.column_names),
            ("rows", self._rows, self.row_names),
        ):
            if len(names) not in (0, count):
                raise GansmithError(
                    f"A sheet of {count} {what} has {len(names)} names for them: give {count}, or none."
                )
        unknown = self.images.isnan().flatten(1)
        bad = (unknown.any(1) & ~unknown.all(1)).nonzero().flatten().tolist()
        if bad:
            raise GansmithError(f"Image {bad[0]} of the sheet has some values that are not numbers (NaN).")

    def __repr__(self) -> str:
        return f"<Sheet {tuple(self.images.shape)}, {self._rows} x {self.columns}>"

    @property
    def _rows(self) -> int:
        return math.ceil(len(self.images) / self.columns)

    def picture(self) -> Image.Image:
        """The sheet as it is shown: small images are enlarged 2 or 3 times, names lie on the left and above."""
        cell = grid(torch.ones_like(self.images[:1]))
        font = _font(min(LETTERS[1], max(LETTERS[0], cell.width // 8)))
        above, beside = (
            _Names(self.column_names, font, cell.width),
            _Names(self.row_names, font, max(BESIDE, cell.width)),
        )
        across, down = max(cell.width, above.width), max(cell.height, beside.height)
        left, top = beside.width, above.height
        sheet = Image.new("RGB", (left + self.columns * across, top + self._rows * down), "white")
        for i, image in enumerate(self.images):
            y, x = divmod(i, self.columns)
            if not image.isnan().any():
                at = left + x * across + (across - cell.width) // 2, top + y * down + (down - cell.height) // 2
                sheet.paste(grid(image[None]), at)
        draw = ImageDraw.Draw(sheet)
        for x in range(len(self.column_names)):
            above.write(draw, x, left + x * across + across // 2, top - above.heights[x] // 2, "m")
        for y in range(len(self.row_names)):
            beside.write(draw, y, left - PAD, top + y * down + down // 2, "r")
        return sheet

    def save(self, path: Path | str) -> Path:
        """Write a .png or a .webp file, both without loss.

        Args:
            path: the file; its parents are made.

        Raises:
            GansmithError: another suffix, more pixels than the format can hold, or a place that cannot be written.
        """
        path, picture = check_path(path, SUFFIXES), self.picture()
        suffix = path.suffix.lower()
        write(path, picture.size, lambda temporary: temporary.write_bytes(still(picture, suffix, self.told)))
        return path

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        return bundle("image/png", still(self.picture(), ".png", self.told), repr(self), include, exclude)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font has no é and no minus."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


class _Names:
    """Names broken into lines of about a width.

    Args:
        width: of a line and PAD around it, pixels; a longer word makes all lines longer.

    Attributes:
        width, height: what the largest name needs, pixels, with PAD around it; 0 without names.
        heights: what each name needs.
    """

    def __init__(self, names: Sequence[str], font: ImageFont.FreeTypeFont, width: int) -> None:
        self.font, self.line = font, sum(font.getmetrics())
        words = [math.ceil(font.getlength(word)) for name in names for word in name.split()]
        limit = max([width - 2 * PAD, *words])
        self.lines = [_broken(name, font, limit) for name in names]
        lengths = [math.ceil(font.getlength(line)) for lines in self.lines for line in lines]
        self.heights = [len(lines) * self.line + 2 * PAD for lines in self.lines]
        self.width = max(lengths) + 2 * PAD if lengths else 0
        self.height = max(self.heights, default=0)

    def write(self, draw: ImageDraw.ImageDraw, i: int, x: int, y: int, side: str) -> None:
        """Name i, its middle at the height y, and x at its middle ("m") or right end ("r")."""
        for k, line in enumerate(self.lines[i]):
            draw.text(
                (x, y + k * self.line - len(self.lines[i]) * self.line // 2), line, "black", self.font, side + "a"
            )


def _broken(text: str, font: ImageFont.FreeTypeFont, limit: int) -> list[str]:
    """The words of a text in lines of at most so many pixels."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= limit:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
