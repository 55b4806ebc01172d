"""galaxies: simulated galaxies as a telescope on the ground sees them, 64 x 64 pixels in three bands, factors known.

A galaxy is a bulge, a disc, and clumps of young stars along two spiral arms or a ring; a third of them are bulge alone.
Bulges follow de Vaucouleurs' law (Sérsic index 4) and discs the exponential one (index 1), each as a sum of Gaussians,
so that seeing, a Gaussian too, blurs them exactly. Pixels show i, r and g as red, green and blue, stretched as in
telescope.py, which turns them back into fluxes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import numpy as np
import torch

from gansmith.data.decode import Pixels
from gansmith.data.sources import Item, Source
from gansmith.data.telescope import FWHM, PIXEL, stretch
from gansmith.errors import GansmithError, did_you_mean

SIDE, COUNT = 64, 4000
VERSION = 1  # of the drawing: raise it when the same factors would give other pixels
BLOCK = 200  # images drawn at a time

KINDS = ("elliptical", "spiral", "ring")
LABELS = {"kind": KINDS}
BANDS = ("i", "r", "g")
SEEING = 1.2  # arcsec, full width at half maximum of the point spread function
SKY = 0.02  # nanomaggies, standard deviation of a pixel's noise, about that of SDSS
CLUMPS = 240  # clumps of stars in a galaxy
ARMS = 2

RANGES = {
    "brightness": (0.12, 0.6),
    "size": (1.6, 3.6),
    "ellipticity": (0.0, 0.6),
    "angle": (0.0, 180.0),
    "bulge": (0.1, 0.5),
    "clumps": (0.2, 0.5),
    "pitch": (12.0, 28.0),
    "colour": (-0.15, 0.15),
    "x": (30.0, 34.0),
    "y": (30.0, 34.0),
}
"""brightness: mean within the half-light radius, nanomaggies a pixel; size: half-light radius of the disc, or of an
elliptical, the geometric mean of long and short axis, arcsec; ellipticity: 1 - short over long axis; angle: of the
long axis, degrees from the right, counter-clockwise; bulge: share of the light; clumps: share of the rest; pitch: of
the arms, degrees; colour: added to g - r, magnitudes; x, y: centre, pixels from left and top. Brightness and size are
uniform in their logarithms, the others as they are, and each is independent of the others."""

COLOURS = np.array([[0.80, 0.40], [0.55, 0.28], [0.15, 0.05]])
"""g - r and r - i of bulge, disc and clumps, magnitudes."""

EXPONENTIAL = (
    np.array([0.0034, 0.0294, 0.1324, 0.3383, 0.3892, 0.1073]),
    np.array([0.0922, 0.2256, 0.4293, 0.7286, 1.1561, 1.7746]),
)
VAUCOULEURS = (
    np.array([0.0037, 0.0166, 0.0452, 0.0920, 0.1502, 0.2052, 0.2424, 0.2447]),
    np.array([0.0036, 0.0311, 0.0789, 0.1737, 0.3551, 0.7020, 1.4147, 3.3337]),
)
"""Shares of the light, and standard deviations in half-light radii, of Gaussians that together have the light of the
law within any radius, to 0.0001 and 0.003 of all; de Vaucouleurs' law is cut off at 8.9 half-light radii."""

SCALE = 1.678  # half-light radius of the exponential law over its scale length
BULGE = 0.35  # half-light radius of a bulge over that of its disc


def galaxies(label: str = "kind", count: int = COUNT) -> Source:
    """Pictures of galaxies, each made from its factors; the same ones every time.

    Args:
        label: one of LABELS: what becomes the class.
        count: images; the first of them are the same for any count.

    Raises:
        GansmithError: no such label.
    """
    if label not in LABELS:
        raise GansmithError(
            f'galaxies has the label {", ".join(LABELS)}, not "{label}".{did_you_mean(label, LABELS)} Choose that.'
        )
    factors = draw_factors(count)

    @cache  # the images are looked at and then read
    def drawn() -> Pixels:
        blocks = [slice(start, start + BLOCK) for start in range(0, count, BLOCK)]
        return np.concatenate([pixels({k: values[block] for k, values in factors.items()}) for block in blocks])

    def walk() -> Iterator[Item]:
        for i, image in enumerate(drawn()):
            yield Item(f"image {i}", partial(_same, image), KINDS[factors["kind"][i]])

    licence = "none needed: drawn by gansmith"
    variant = f"{VERSION} {count} {label}"
    return Source("galaxies", (), walk, count, KINDS, licence, paths=False, variant=variant, factors=dict(factors))


def _same(image: Pixels) -> Pixels:
    return image


def draw_factors(count: int) -> dict[str, np.ndarray]:
    """The factors of `count` galaxies, each (count,): "number", 0 to count - 1, and "kind" (number in KINDS), int64;
    those in RANGES, float64; and "flux", all light in the r band, nanomaggies.

    An elliptical is bulge alone. The number decides where clumps lie and what noise there is. Raw Philox output is used
    because numpy promises that stream for good.
    """
    unit = _units(np.random.Philox(key=64), (count, 1 + len(RANGES)))
    found: dict[str, np.ndarray] = {"number": np.arange(count), "kind": (unit[:, 0] * len(KINDS)).astype(np.int64)}
    for i, (name, (low, high)) in enumerate(RANGES.items(), 1):
        found[name] = low + (high - low) * unit[:, i]
        if name in ("brightness", "size"):
            found[name] = low * (high / low) ** unit[:, i]
    alone = found["kind"] == KINDS.index("elliptical")
    found["bulge"], found["clumps"] = np.where(alone, 1.0, found["bulge"]), np.where(alone, 0.0, found["clumps"])
    found["flux"] = 2 * np.pi * (found["size"] / PIXEL) ** 2 * found["brightness"]
    return found


def _units(stream: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers above 0 and below 1."""
    raw = stream.random_raw(int(np.prod(shape))).reshape(shape)
    return ((raw >> np.uint64(11)) + 0.5) * 2.0**-53


# ---- drawing


def pixels(factors: dict[str, np.ndarray]) -> Pixels:
    """Pictures (n, 64, 64, 3), uint8, of factors (n,) as `draw_factors` gives them, as a training sees them."""
    shown = stretch(torch.from_numpy(render(factors)))
    return ((shown + 1) * 127.5).round().to(torch.uint8).numpy()


def render(factors: dict[str, np.ndarray], seeing: float = SEEING, sky: float = SKY) -> np.ndarray:
    """Fluxes (n, 64, 64, 3), nanomaggies a pixel in the bands i, r and g, float64.

    Args:
        factors: (n,) each, as `draw_factors` gives them.
        seeing: full width at half maximum of the point spread function, arcsec; what is below one pixel (0.396) is
            drawn too coarsely for exact fluxes.
        sky: standard deviation of the noise, nanomaggies; 0 = the truth.
    """
    blurred, radius = seeing / PIXEL / FWHM, factors["size"] / PIXEL
    alone = factors["kind"] == KINDS.index("elliptical")
    u, v = _axes(factors, np.arange(SIDE)[None, None, :] + 0.5, np.arange(SIDE)[None, :, None] + 0.5)
    ratio = 1 - factors["ellipticity"]
    streams = [np.random.Philox(key=(64 << 64) + int(number) + 1) for number in factors["number"]]
    parts = (
        _law(u, v, VAUCOULEURS, radius * np.where(alone, 1.0, BULGE), ratio, blurred),
        _law(u, v, EXPONENTIAL, radius, ratio, blurred),
        _clumps(factors, np.stack([_units(stream, (5, CLUMPS)) for stream in streams]), blurred),
    )
    bulge, clumps = factors["bulge"], factors["clumps"]
    shares = np.stack([bulge, (1 - bulge) * (1 - clumps), (1 - bulge) * clumps], 1)
    light = np.einsum(
        "pnyx,np,npb->nyxb", np.stack(parts), shares * factors["flux"][:, None], _bands(factors["colour"])
    )
    noise = np.stack([_normal(stream, (SIDE, SIDE, len(BANDS))) for stream in streams]) if sky else 0.0
    return light + sky * noise


def _axes(factors: dict[str, np.ndarray], x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions along the long and the short axis, pixels from the centre."""
    turn = np.deg2rad(factors["angle"])[:, None, None]
    x, y = x - factors["x"][:, None, None], factors["y"][:, None, None] - y
    return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)


def _law(
    u: np.ndarray,
    v: np.ndarray,
    law: tuple[np.ndarray, np.ndarray],
    radius: np.ndarray,
    ratio: np.ndarray,
    blurred: float,
) -> np.ndarray:
    """One unit of light (n, 64, 64), spread by a law of the half-light radius (n,), pixels, and blurred."""
    total = np.zeros(u.shape)
    for share, sigma in zip(*law, strict=True):
        long, short = ((sigma * radius) ** 2 * r + blurred**2 for r in (1 / ratio, ratio))
        long, short = long[:, None, None], short[:, None, None]
        total += share * np.exp(-0.5 * (u**2 / long + v**2 / short)) / (2 * np.pi * np.sqrt(long * short))
    return total


def _clumps(factors: dict[str, np.ndarray], unit: np.ndarray, blurred: float) -> np.ndarray:
    """One unit of light (n, 64, 64) in clumps along the arms or the ring of each galaxy; `unit` (n, 5, CLUMPS)."""
    length = (factors["size"] / PIXEL / SCALE)[:, None]
    spread = np.sqrt(-2 * np.log(unit[:, 2])) * np.cos(2 * np.pi * unit[:, 3])  # normal
    out = -np.log(unit[:, 0] * unit[:, 1])  # as the light of the disc
    arm = np.floor(unit[:, 4] * ARMS) * (2 * np.pi / ARMS) + unit[:, 4, :1] * 2 * np.pi
    hand = np.where(unit[:, 3, :1] < 0.5, -1, 1)
    winding = hand * np.log(out) / np.tan(np.deg2rad(factors["pitch"]))[:, None]
    ring = (factors["kind"] == KINDS.index("ring"))[:, None]
    r = length * np.where(ring, 2.4 + 0.2 * spread, out)
    angle = np.where(ring, 2 * np.pi * unit[:, 4], arm + winding + 0.22 * spread)
    light = -np.log(unit[:, 1]) * unit[:, 0]
    stretched = np.sqrt(1 - factors["ellipticity"])[:, None]
    u, v, turn = r * np.cos(angle) / stretched, r * np.sin(angle) * stretched, np.deg2rad(factors["angle"])[:, None]
    x = factors["x"][:, None] + u * np.cos(turn) - v * np.sin(turn)
    y = factors["y"][:, None] - u * np.sin(turn) - v * np.cos(turn)
    centre = np.arange(SIDE) + 0.5
    across, down = (np.exp(-0.5 * ((centre - at[..., None]) / blurred) ** 2) for at in (x, y))
    weight = light / light.sum(1, keepdims=True) / (2 * np.pi * blurred**2)
    return np.swapaxes(down * weight[..., None], 1, 2) @ across


def _bands(colour: np.ndarray) -> np.ndarray:
    """Flux of bulge, disc and clumps in each band over that in r (n, 3, 3), for a shift of g - r (n,), magnitudes."""
    g_r = COLOURS[None, :, 0] + colour[:, None]
    r_i = COLOURS[None, :, 1] + colour[:, None] / 2
    return 10 ** (0.4 * np.stack([r_i, np.zeros_like(g_r), -g_r], 2))


def _normal(stream: np.random.Philox, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normal numbers, by Box and Muller."""
    first, second = _units(stream, (2, *shape))
    return np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
