"""Pictures for the report, each as a data URI: mosaics of images, clouds of points, curves with their intervals.

No word of the user's is drawn into a plot: names stand in the page beside it, where they wrap and are escaped.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REAL, FAKE, OTHER = "#0072B2", "#D55E00", "#B0B0B0"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # told apart by the colour-blind
DASHES = ((), (6, 3), (2, 2))  # and by shape where a plot has more lines

LARGEST = 128  # pixels of the longer side of an image in a mosaic
HEAVY = 800_000  # bytes of pixels from which a set of images is stored as JPEG, so that the report stays small
GAP = 2  # pixels between the images of a mosaic
CRISP = 560  # pixels: mosaics narrower than this are enlarged without smoothing
POINTS = 400  # of a curve are drawn at most


SIGNS = {
    "coverage": "Coverage/of the samples",
    "real_coverage": "Coverage/of held-out samples",
    "precision": "Precision/of the samples",
    "real_precision": "Precision/of held-out samples",
    "auc": "How often D is right/real above generated",
    "memory": "How often D is right/training above held-out",
    "kid": "Distance to the data/KID",
}
"""Signs of the doctor that are drawn: panel and line of each."""

SIGN_PANELS = {key.partition("/")[0] for key in SIGNS.values()}


class Picture(NamedTuple):
    """A picture to inline: its data URI, its size in pixels, and whether to enlarge it without smoothing."""

    uri: str
    width: int
    height: int
    crisp: bool = False


class Album(NamedTuple):
    """Images (..., H, W, C) uint8 with 1 or 3 channels, ready to be inlined, and what was done to them, in words."""

    images: np.ndarray
    format: str
    note: str


class Curve(NamedTuple):
    """A value over the course of training; `low` and `high` are NaN where there is no interval."""

    name: str
    seen: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def album(images: np.ndarray) -> Album:
    """Make images fit for a page: at most 128 pixels wide and high, grey or RGB, as JPEG when there are many pixels.

    Args:
        images: (..., H, W, C) uint8; of 2 channels the first is shown, of more than 3 the first three.
    """
    channels = 3 if images.shape[-1] >= 3 else 1
    shown, notes = images[..., :channels], []
    if images.shape[-1] not in (1, 3):
        notes.append(
            f"of {images.shape[-1]} channels {'the first three are' if channels == 3 else 'the first is'} shown"
        )
    height, width = images.shape[-3:-1]
    if max(height, width) > LARGEST:
        shown = _shrunk(shown, LARGEST / max(height, width))
        notes.append(f"shrunk from {width} × {height} to {shown.shape[-2]} × {shown.shape[-3]} pixels")
    heavy = shown.size > HEAVY
    notes += ["stored as JPEG"] * heavy
    return Album(np.ascontiguousarray(shown), "JPEG" if heavy else "PNG", "; ".join(notes))


def mosaic(images: np.ndarray, columns: int, file_format: str = "PNG") -> Picture:
    """Images (N, H, W, C) uint8 of an album as one picture, row by row, with white gaps."""
    n, h, w, c = images.shape
    lines = -(-n // columns)
    canvas = np.full((lines * (h + GAP) - GAP, columns * (w + GAP) - GAP, c), 255, np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * (h + GAP), i % columns * (w + GAP)
        canvas[y : y + h, x : x + w] = image
    buffer = io.BytesIO()
    options: dict[str, Any] = {"quality": 90, "subsampling": 0} if file_format == "JPEG" else {"optimize": True}
    _image(canvas).save(buffer, file_format, **options)
    uri = _uri(buffer.getvalue(), f"image/{file_format.lower()}")
    return Picture(uri, canvas.shape[1], canvas.shape[0], canvas.shape[1] < CRISP)


def clouds(real: np.ndarray, fake: np.ndarray, ticks: bool) -> tuple[Picture, Picture, int]:
    """Real points in one plot and generated ones, over the real ones in grey, in another with the same axes.

    Args:
        real, fake: (N, 2); rows that are not finite are left out.
        ticks: whether the axes have a unit, and so get numbers.

    Returns:
        The two plots, and how many generated points lie outside of their frame, or are not finite.
    """
    real, finite = real[np.isfinite(real).all(1)], fake[np.isfinite(fake).all(1)]
    frame = _frame(real, finite)
    inside = ((finite >= frame[0]) & (finite <= frame[1])).all(1).sum()
    plots = (
        _cloud([(real, REAL)], frame, ticks),
        _cloud([(real, OTHER), (finite, FAKE)], frame, ticks),
    )
    return (*plots, int(len(fake) - inside))


def curves(records: Iterable[Mapping[str, Any]]) -> dict[str, list[Curve]]:
    """The curves of a run by panel: each score alone, the losses of each player, the gradient norms.

    Args:
        records: of metrics.jsonl. Keys "score/<name>" are scores, with "/low" and "/high" behind them the ends of
            their intervals; "<player>/<term>" are losses; of the "signs" of the doctor those in SIGNS are drawn. Values
            that are not finite numbers are left out.
    """
    rows = [{**r, **_signs(r)} for r in records if _is_number(r.get("seen"))]
    panels: dict[str, list[Curve]] = {}
    for key in dict.fromkeys(key for r in rows for key in r if "/" in key):
        if key.startswith("score/") and key.rpartition("/")[2] in ("low", "high"):
            continue
        found = [r for r in rows if _is_number(r.get(key))]
        found = found[:: -max(1, -(-len(found) // POINTS))][::-1]  # every k-th, the last one included
        if found:
            columns = [[_value(r, k) for r in found] for k in ("seen", key, f"{key}/low", f"{key}/high")]
            title, name = _panel(key)
            panels.setdefault(title, []).append(Curve(name, *map(np.array, columns)))
    order = ("Score ", "Losses ", "Gradient ")
    return dict(sorted(panels.items(), key=lambda item: [item[0].startswith(start) for start in order], reverse=True))


def _signs(record: Mapping[str, Any]) -> dict[str, Any]:
    """The signs of a record that are drawn, by panel and line."""
    signs = record.get("signs")
    return {key: signs[name] for name, key in SIGNS.items() if name in signs} if isinstance(signs, Mapping) else {}


def draw(lines: Sequence[Curve], log: bool = False, marks: Sequence[float] = ()) -> Picture:
    """Curves over the samples seen, in thousands, with their intervals as bands.

    Args:
        log: draw values that differ by more than a factor of 10 on a logarithmic axis.
        marks: samples seen at which something happened: vertical lines.
    """
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(4.2, 2.7), layout="constrained")
    axes = figure.add_subplot()
    for i, line in enumerate(lines):
        colour, dash = style(i)
        x = line.seen / 1000
        axes.fill_between(x, line.low, line.high, color=colour, alpha=0.25, linewidth=0)
        options: dict[str, Any] = {"dashes": dash} if dash else {}
        axes.plot(x, line.value, color=colour, marker="." if len(x) < 30 else None, **options)
    values = np.concatenate([line.value for line in lines])
    wide = log and values.min() > 0 and values.max() > 10 * values.min()
    axes.set(xlabel="ksamples seen", yscale="log" if wide else "linear")
    axes.grid(alpha=0.3)
    for seen in marks:
        axes.axvline(seen / 1000, color="#A11D00", linestyle=":")
    return _svg(figure)


def style(i: int) -> tuple[str, tuple[int, ...]]:
    """Colour and dashes (on, off, in points) of the i-th line of a plot.

    >>> style(0), style(7)
    (('#0072B2', ()), ('#D55E00', (6, 3)))
    """
    return COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)]


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float) and math.isfinite(x) and abs(x) < 1e30


def _value(record: Mapping[str, Any], key: str) -> float:
    return float(record[key]) if _is_number(record.get(key)) else math.nan


def _panel(key: str) -> tuple[str, str]:
    """The panel of a key, and the name of its line there.

    >>> _panel("score/FD(judge)"), _panel("D/r1"), _panel("G/grad_norm_G")
    (('Score FD(judge)', 'FD(judge)'), ('Losses of D', 'r1'), ('Gradient norms', 'G'))
    """
    group, _, term = key.partition("/")
    if group in SIGN_PANELS:
        return group, term
    if group == "score":
        return f"Score {term}", term
    if term.startswith("grad_norm_"):
        return "Gradient norms", term.removeprefix("grad_norm_")
    return f"Losses of {group}", term


def _shrunk(images: np.ndarray, scale: float) -> np.ndarray:
    """Images (..., H, W, C) made smaller, with smoothing."""
    *lead, h, w, c = images.shape
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    flat = images.reshape(-1, h, w, c)
    small = [np.asarray(_image(image).resize(size, Image.Resampling.LANCZOS)) for image in flat]
    return np.stack(small).reshape(*lead, size[1], size[0], c)


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def _frame(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a frame that holds all real points and all but the most distant generated ones, with a margin."""
    held = [real] if len(real) else []
    if len(fake):
        held.append(np.quantile(fake, [0.01, 0.99], axis=0))
    both = np.concatenate(held) if held else np.array([[0.0, 0.0], [1.0, 1.0]])
    low, high = both.min(0), both.max(0)
    margin = np.maximum(0.05 * (high - low), 1e-6 * np.maximum(1, np.abs(high)))
    return low - margin, high + margin


def _cloud(layers: Sequence[tuple[np.ndarray, str]], frame: tuple[np.ndarray, np.ndarray], ticks: bool) -> Picture:
    """Points, one layer over the other; they are drawn as pixels inside the SVG, since there may be thousands."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure(figsize=(3.4, 3.4), dpi=200, layout="constrained")
    axes = figure.add_subplot()
    for points, colour in layers:
        axes.scatter(points[:, 0], points[:, 1], s=5, color=colour, alpha=0.6, linewidths=0, rasterized=True)
    (left, bottom), (right, top) = frame
    axes.set(xlim=(left, right), ylim=(bottom, top))
    if not ticks:
        axes.set(xticks=[], yticks=[])
    return _svg(figure)


def _svg(figure: Figure) -> Picture:
    """A figure as SVG: letters as outlines, no date, the same bytes each time."""
    import matplotlib

    buffer = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "gansmith", "svg.fonttype": "path", "font.size": 11}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(_uri(buffer.getvalue(), "image/svg+xml"), width, height)


def _uri(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
