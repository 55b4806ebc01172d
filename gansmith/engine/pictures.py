"""Samples as people look at them: grids of images, scatter plots of points, and files of both."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gansmith.engine.files import explained, write_file
from gansmith.errors import GansmithError

GAP = 2  # pixels between the images of a grid


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [-1, 1] as bytes (N, H, W, C); values outside are clipped."""
    scaled = images.detach().float().cpu().clamp(-1, 1).add(1).mul(127.5).round()
    return scaled.to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def grid(images: Tensor, columns: int | None = None, scale: int | None = None) -> Image.Image:
    """Images (N, C, H, W) in [-1, 1] as one picture, row by row, enlarged `scale` times (None: small ones 2 or 3)."""
    pixels = to_uint8(images)
    n, h, w, c = pixels.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    canvas = np.full((rows * (h + GAP) + GAP, columns * (w + GAP) + GAP, c), 255, np.uint8)
    for i, image in enumerate(pixels):
        y, x = GAP + i // columns * (h + GAP), GAP + i % columns * (w + GAP)
        canvas[y : y + h, x : x + w] = image
    picture = _to_image(canvas)
    scale = scale or max(1, min(3, 96 // max(h, w)))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def _to_image(pixels: np.ndarray) -> Image.Image:
    """Bytes (H, W, C) as a picture; of unusual channel counts the first three are shown."""
    c = pixels.shape[2]
    return Image.fromarray(pixels[:, :, 0]) if c < 3 else Image.fromarray(np.ascontiguousarray(pixels[:, :, :3]))


def scatter(fake: Tensor, real: Tensor | None = None) -> Image.Image:
    """Points (N, D >= 2) over real points, their first two coordinates; one coordinate is shown as a histogram."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(5, 5), dpi=96, layout="constrained")
    axes = figure.add_subplot()
    parts = [("real", real, "0.6")] * (real is not None) + [("fake", fake, "tab:red")]
    for label, points, colour in parts:
        assert points is not None
        values = points.detach().float().cpu().numpy()
        if values.shape[1] == 1:
            axes.hist(values[:, 0], bins=100, density=True, alpha=0.5, color=colour, label=label)
        else:
            axes.scatter(values[:, 0], values[:, 1], s=2, color=colour, label=label, linewidths=0)
    if real is not None and real.shape[1] > 1:  # frame the data, so that a stray fake does not shrink the picture
        low, high = real[:, :2].amin(0), real[:, :2].amax(0)
        margin = 0.15 * (high - low)
        axes.set(xlim=((low - margin)[0].item(), (high + margin)[0].item()))
        axes.set(ylim=((low - margin)[1].item(), (high + margin)[1].item()))
    axes.legend(loc="upper right", markerscale=4)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer)


def picture(samples: Tensor, real: Tensor | None = None, columns: int | None = None) -> Image.Image:
    """A grid of images (N, C, H, W), of so many columns, or a scatter plot of points (N, D)."""
    return grid(samples, columns) if samples.ndim == 4 else scatter(samples, real)


def side_by_side(columns: Sequence[Tensor]) -> Image.Image:
    """Images that belong together, (N, C, H, W) in [-1, 1] of each column, a row for each of them.

    All get the size of the largest, pixels repeated, and colour where some have it.
    """
    size = [max(part.shape[axis] for part in columns) for axis in (2, 3)]
    colours = max(part.shape[1] for part in columns)
    parts = [F.interpolate(part.float().cpu(), size=size, mode="nearest") for part in columns]
    parts = [part.expand(-1, colours, -1, -1) if part.shape[1] == 1 else part for part in parts]
    return grid(torch.stack(parts, 1).flatten(0, 1), len(columns))


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture atomically, in the format of the file's suffix."""
    write_file(path, lambda temporary: image.save(temporary))


def save_samples(samples: Tensor, out: Path, kind: str = "image", columns: int | None = None) -> None:
    """Write samples to a `.png` (grid or scatter), a `.npz` (array `samples`) or a folder (one PNG each; images only).

    Args:
        samples: images (N, C, H, W) in [-1, 1] or points (N, D).
        out: the file or folder; its parents are made.
        kind: "image" or "points".
        columns: of a grid; None = as many as rows.

    Raises:
        GansmithError: another suffix, points to a folder, or a place that cannot be written.
    """
    out = Path(out)
    with explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    suffix = out.suffix.lower()
    if suffix == ".npz":
        write_file(out, lambda path: np.savez_compressed(path, samples=samples.detach().float().cpu().numpy()))
    elif suffix == ".png":
        save_picture(picture(samples, columns=columns), out)
    elif suffix:
        raise GansmithError(f"{out}: samples go to a folder, a .png grid or a .npz file, not to {out.suffix}.")
    elif kind != "image":
        raise GansmithError(f"{out}: points cannot be single pictures: give a .npz or a .png file.")
    else:
        with explained(out):
            out.mkdir(parents=True, exist_ok=True)
            width = len(str(len(samples) - 1))
            for i, pixels in enumerate(to_uint8(samples)):
                _to_image(pixels).save(out / f"{i:0{width}d}.png")
