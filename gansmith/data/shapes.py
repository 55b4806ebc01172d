"""shapes32: coloured shapes on grey, 32 x 32 pixels, drawn from factors that are known exactly.

Every factor is uniform and independent of the others, so that what a network learned of them can be measured.
Edges are smooth: a pixel is covered in proportion to its distance from the outline.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache, partial

import numpy as np

from gansmith.data.decode import Pixels
from gansmith.data.sources import Item, Source
from gansmith.errors import GansmithError, did_you_mean

SIDE, COUNT = 32, 20_000
VERSION = 1  # of the drawing: raise it when the same factors would give other pixels
BLOCK = 1000  # images drawn at a time

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
ROWS, COLUMNS = ("top", "middle", "bottom"), ("left", "centre", "right")
SIZES = ("small", "medium", "large")
BACKGROUNDS = ("dark", "grey", "light")

RANGES = {"hue": (0.0, 1.0), "x": (10.0, 22.0), "y": (10.0, 22.0), "size": (5.0, 9.0), "background": (0.05, 0.75)}
"""hue: of the colour wheel, 0 = red; x, y: centre, pixels from left and top; size: radius, pixels; background: grey,
0 = black to 1 = white."""

LABELS = {
    "shape": SHAPES,
    "colour": COLOURS,
    "position": tuple(f"{row} {column}" for row in ROWS for column in COLUMNS),
    "size": SIZES,
    "background": BACKGROUNDS,
}
"""What can be the class, with the names of the classes."""


def shapes32(label: str = "shape", count: int = COUNT) -> Source:
    """Pictures of shapes, each made from its factors; the same ones every time.

    Args:
        label: one of LABELS: what becomes the class. The continuous factors are cut into equal parts for it.
        count: images; the first of them are the same for any count.

    Raises:
        GansmithError: no such label.
    """
    if label not in LABELS:
        raise GansmithError(
            f'shapes32 has the labels {", ".join(LABELS)}, not "{label}".{did_you_mean(label, LABELS)} Choose one.'
        )
    factors = draw_factors(count)
    number = classes_of(factors, label)

    @cache  # the images are looked at and then read
    def drawn() -> Pixels:
        blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
        return np.concatenate([render({k: values[block] for k, values in factors.items()}) for block in blocks])

    def walk() -> Iterator[Item]:
        for i, pixels in enumerate(drawn()):
            yield Item(f"image {i}", partial(_same, pixels), LABELS[label][number[i]])

    variant = f"{VERSION} {count} {label}"
    licence = "none needed: drawn by gansmith"
    return Source(
        "shapes32", (), walk, count, LABELS[label], licence, paths=False, variant=variant, factors=dict(factors)
    )


def _same(pixels: Pixels) -> Pixels:
    return pixels


def draw_factors(count: int) -> dict[str, np.ndarray]:
    """The factors of `count` images: "shape" (number in SHAPES), int64, and those in RANGES, float64; each (count,).

    Raw Philox output is used because numpy promises that stream for good.
    """
    raw = np.random.Philox(key=32).random_raw(count * (1 + len(RANGES))).reshape(count, -1)
    unit = (raw >> np.uint64(11)) * 2.0**-53
    found: dict[str, np.ndarray] = {"shape": (unit[:, 0] * len(SHAPES)).astype(np.int64)}
    for i, (name, (low, high)) in enumerate(RANGES.items(), 1):
        found[name] = low + (high - low) * unit[:, i]
    return found


def classes_of(factors: dict[str, np.ndarray], label: str) -> np.ndarray:
    """The number of each image's class (count,), int64, among LABELS[label]."""
    if label == "shape":
        return factors["shape"]
    if label == "colour":  # each name in the middle of its part of the wheel
        return np.floor(factors["hue"] * len(COLOURS) + 0.5).astype(np.int64) % len(COLOURS)
    if label == "position":
        return len(COLUMNS) * _part(factors, "y", len(ROWS)) + _part(factors, "x", len(COLUMNS))
    return _part(factors, label, len(LABELS[label]))


def _part(factors: dict[str, np.ndarray], name: str, parts: int) -> np.ndarray:
    low, high = RANGES[name]
    return np.minimum((factors[name] - low) / (high - low) * parts, parts - 1).astype(np.int64)


# ---- drawing


def render(factors: dict[str, np.ndarray]) -> Pixels:
    """Pictures (n, 32, 32, 3), uint8, of factors (n,) as `draw_factors` gives them."""
    centre = np.arange(SIDE) + 0.5
    size = factors["size"][:, None, None]
    x = (centre[None, None, :] - factors["x"][:, None, None]) / size
    y = (centre[None, :, None] - factors["y"][:, None, None]) / size
    cover = np.empty(np.broadcast_shapes(x.shape, y.shape))
    for i, outline in enumerate((_circle, _square, _triangle, _star, _cross, _ring)):
        rows = factors["shape"] == i
        cover[rows] = np.clip(0.5 - outline(x[rows], y[rows]) * size[rows], 0, 1)
    grey, colour = factors["background"][:, None, None, None], _rgb(factors["hue"])[:, None, None, :]
    return np.rint(255 * (grey + cover[..., None] * (colour - grey))).astype(np.uint8)


def _rgb(hue: np.ndarray) -> np.ndarray:
    """The fully saturated colours (n, 3), 0 to 1, of hues (n,), 0 to 1."""
    distance = np.abs((hue[:, None] * 6 - np.array([0, 2, 4]) + 3) % 6 - 3)  # to red, green and blue on the wheel
    return np.clip(2 - distance, 0, 1)


# Signed distances from the outlines, in units of the size (negative inside), at x to the right and y downwards.


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 1


def _box(x: np.ndarray, y: np.ndarray, width: float, height: float) -> np.ndarray:
    dx, dy = np.abs(x) - width, np.abs(y) - height
    return np.hypot(np.maximum(dx, 0), np.maximum(dy, 0)) + np.minimum(np.maximum(dx, dy), 0)


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _box(x, y, 0.85, 0.85)


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.minimum(_box(x, y, 1, 0.33), _box(x, y, 0.33, 1))


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(np.hypot(x, y) - 0.75) - 0.25


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Equal sides, a corner at the top: the largest distance to one of the three sides."""
    sides = np.maximum(y - 0.5, np.abs(x) * math.cos(math.pi / 6) - y * 0.5 - 0.5)
    return np.maximum(sides, _circle(x, y))  # or the smooth edges would reach beyond the corners


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five points, one at the top: the distance to the nearer side of the point that (x, y) lies in."""
    turn, inner = math.pi / 5, 0.45
    angle = np.arctan2(np.abs(x), -y)
    off = np.abs((angle + turn) % (2 * turn) - turn)  # from the axis of the nearest point
    u, v = np.hypot(x, y) * np.cos(off), np.hypot(x, y) * np.sin(off)
    du, dv = inner * math.cos(turn) - 1, inner * math.sin(turn)  # along the side, from its tip
    return np.maximum(((u - 1) * dv - v * du) / math.hypot(du, dv), _circle(x, y))
