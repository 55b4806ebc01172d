"""Films: pictures in time, as .mp4, .gif, .webp or a contact sheet .png, and inline in a notebook.

A file holds the command that made it (`gansmith.explore.files.read_told`), and the same film gives the same bytes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageOps
from torch import Tensor

from gansmith.engine.pictures import GAP, grid
from gansmith.errors import GansmithError
from gansmith.evaluation.pictures import spread
from gansmith.explore.files import bundle, check_images, check_path, exif, load_av, plain, still, write

SUFFIXES = (".mp4", ".gif", ".webp", ".png")
SIDE, ENLARGED = 256, 8  # frames are enlarged until their longer side has so many pixels, at most so many times
FPS = (0.1, 60.0)  # frames a second
SHOWN, ACROSS = 64, 12  # frames of a contact sheet: of one image each, and of several
FASTEST_GIF = 50.0  # frames a second: browsers slow down what is faster
LONGEST_GIF = 655.0  # seconds that one picture may stand still


@dataclass(frozen=True, eq=False)
class Film:
    """Pictures in time, ready for a file or a notebook.

    Args:
        frames: (T, N, C, H, W) in [-1, 1], values outside are clipped: T frames, each of N images in a grid.
        columns: of that grid; None = as many as rows.
        fps: frames a second, 0.1 to 60.
        told: the command that made it, written into the file.

    Raises:
        GansmithError: frames of another shape, without an image or with NaN; columns or fps out of range.
    """

    frames: Tensor
    columns: int | None = None
    fps: float = 25
    told: str = ""

    def __post_init__(self) -> None:
        check_images("A film needs frames", "T, N, C, H, W", self.frames)
        if self.columns is not None and self.columns < 1:
            raise GansmithError(f"A film of {self.columns} columns: give at least 1.")
        if not FPS[0] <= self.fps <= FPS[1]:
            raise GansmithError(f"A film of {self.fps} frames a second: give {FPS[0]:g} to {FPS[1]:g}.")
        for i, frame in enumerate(self.frames):
            if frame.isnan().any():
                raise GansmithError(f"Frame {i} of the film has values that are not numbers (NaN).")

    def __repr__(self) -> str:
        return f"<Film {tuple(self.frames.shape)}, {self.fps:g} frames a second>"

    def picture(self, i: int) -> Image.Image:
        """Frame i as it is shown: the grid, enlarged."""
        return grid(self.frames[i], self.columns, self._scale)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a frame as it is shown, pixels."""
        width, height = self._plain_size
        return self._scale * width, self._scale * height

    @property
    def _plain_size(self) -> tuple[int, int]:
        _, n, _, h, w = self.frames.shape
        columns = self.columns or math.ceil(math.sqrt(n))
        return columns * (w + GAP) + GAP, math.ceil(n / columns) * (h + GAP) + GAP

    @property
    def _scale(self) -> int:
        return min(ENLARGED, math.ceil(SIDE / max(self._plain_size)))

    def save(self, path: Path | str) -> Path:
        """Write .mp4 (H.264), .gif (256 colours a frame), .webp (without loss) or .png (a contact sheet).

        A contact sheet shows at most 64 frames of one image, row by row; of several images at most 12 frames, a row
        for each image, time to the right. The first and the last frame are among them. A .gif plays at most 50 frames
        a second.

        Args:
            path: the file; its parents are made.

        Raises:
            GansmithError: another suffix, .mp4 without PyAV, more pixels or seconds than the format can hold, or a
                place that cannot be written.
        """
        path = check_path(path, SUFFIXES)
        suffix, seconds = path.suffix.lower(), len(self.frames) / self.fps
        if suffix == ".png":
            sheet = contact_sheet(self)
            write(path, sheet.size, lambda temporary: temporary.write_bytes(still(sheet, suffix, self.told)))
            return path
        if suffix == ".gif" and seconds > LONGEST_GIF:
            raise GansmithError(
                f"{path}: {seconds:.0f} s, and a .gif keeps time for {LONGEST_GIF:g} s: choose .mp4 or .webp."
            )
        if suffix == ".mp4":
            write(path, self.size, lambda temporary: _write_mp4(self, temporary))
            return path
        encode = _gif if suffix == ".gif" else _webp
        write(path, self.size, lambda temporary: temporary.write_bytes(encode(self)))
        return path

    def _repr_mimebundle_(
        self, include: Collection[str] | None = None, exclude: Collection[str] | None = None
    ) -> dict[str, str]:
        if len(self.frames) == 1:
            return bundle("image/png", still(self.picture(0), ".png", self.told), repr(self), include, exclude)
        return bundle("image/webp", _webp(self), repr(self), include, exclude)


def contact_sheet(film: Film) -> Image.Image:
    """Frames in one picture, evenly chosen, the first and the last included; see `Film.save`."""
    t, n = film.frames.shape[:2]
    if t == 1:
        return grid(film.frames[0], film.columns)
    if n == 1:
        return grid(film.frames[spread(t, SHOWN), 0])
    chosen = film.frames[spread(t, ACROSS)]
    return grid(chosen.transpose(0, 1).flatten(0, 1), len(chosen))


def durations(count: int, fps: float, unit: int) -> list[int]:
    """How long each frame is shown, milliseconds (count,): whole units whose sum keeps time.

    >>> durations(3, 30, unit=10)
    [30, 40, 30]
    """
    ends = [round(1000 * i / fps / unit) * unit for i in range(count + 1)]
    return [end - start for start, end in pairwise(ends)]


def _write_mp4(film: Film, path: Path) -> None:
    """H.264 in BT.709, which players assume; one thread and no versions or times, so that the bytes do not vary."""
    av = load_av(path)
    bt709, narrow = 1, 1  # their numbers in H.264
    width, height = (side + side % 2 for side in film.size)  # colours are stored for 2 x 2 pixels
    options = {"movflags": "+faststart", "fflags": "+bitexact"}
    with av.open(str(path.absolute()), "w", format="mp4", container_options=options) as file:
        if plain(film.told):
            file.metadata["comment"] = plain(film.told)
        rate = Fraction(film.fps).limit_denominator(1001)
        stream = file.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        coded = stream.codec_context
        coded.colorspace = coded.color_primaries = coded.color_trc = bt709
        coded.color_range, coded.thread_count = narrow, 1
        for i in range(len(film.frames)):
            picture = film.picture(i).convert("RGB")
            border = (0, 0, width - picture.width, height - picture.height)
            frame = av.VideoFrame.from_image(ImageOps.expand(picture, border, "white"))
            frame = frame.reformat(format="yuv420p", dst_colorspace=bt709, dst_color_range=narrow)
            frame.pts = i
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def _gif(film: Film) -> bytes:
    """Each frame with its own palette, and no dither: that would flicker. Pillow keeps them, a byte a pixel."""
    file, count = io.BytesIO(), len(film.frames)
    frames = (_reduced(film.picture(i)) for i in range(count))
    next(frames).save(
        file,
        "GIF",
        save_all=True,
        append_images=frames,
        duration=durations(count, min(film.fps, FASTEST_GIF), unit=10),
        loop=0,
        comment=plain(film.told).encode(),
    )
    return file.getvalue()


def _reduced(picture: Image.Image) -> Image.Image:
    """The picture in at most 256 colours: exactly, when it has no more."""
    if picture.mode == "L":
        return picture
    return picture.quantize(256, Image.Quantize.MEDIANCUT, kmeans=1, dither=Image.Dither.NONE)


def _webp(film: Film) -> bytes:
    file, times = io.BytesIO(), durations(len(film.frames), film.fps, unit=1)
    _Reel(film).save(file, "WEBP", save_all=True, duration=times, loop=0, lossless=True, exif=exif(film.told))
    return file.getvalue()


class _Reel(Image.Image):
    """A film as Pillow reads pictures of several frames: each is drawn when the encoder comes to it."""

    def __init__(self, film: Film) -> None:
        super().__init__()
        self._film, self.n_frames = film, len(film.frames)
        self.seek(0)

    def seek(self, frame: int) -> None:
        picture = self._film.picture(frame)
        self.im, self._mode, self._size = picture.im, picture.mode, picture.size
        self._at = frame

    def tell(self) -> int:
        return self._at
