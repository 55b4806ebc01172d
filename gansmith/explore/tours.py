"""Films through a model's space: from point to point, in and out of truncation, from class to class, along a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from gansmith import steering
from gansmith.errors import GansmithError
from gansmith.explore.climbing import climb
from gansmith.explore.film import Film
from gansmith.explore.paths import along, lerp, slerp, times
from gansmith.explore.sheet import Sheet
from gansmith.explore.space import Space

BETWEEN = {"lerp": lerp, "slerp": slerp}
STEPS = 24  # frames from one stop to the next


def walk(
    space: Space, stops: Tensor, steps: int = STEPS, loop: bool = False, tracks: int = 1, way: str = "auto"
) -> Film:
    """A film from point to point.

    Args:
        stops: points (N, ...), N at least 2 for each track.
        steps: frames from one stop to the next.
        loop: go on from the last stop to the first, and end one frame before it.
        tracks: walks side by side; the stops are dealt out to them, the first N / tracks to the first.
        way: "lerp" (straight), "slerp" (along the sphere) or "auto" (`Space.between`).

    Raises:
        GansmithError: too few stops, or a number out of range.
    """
    each, rest = divmod(len(stops), max(tracks, 1))
    if tracks < 1 or rest or each < 2:
        raise GansmithError(
            f"{len(stops)} stops for {tracks} tracks: give as many for each track, and at least two "
            f"(--seeds 0-{max(4 * tracks, 2) - 1})."
        )
    if steps < 1:
        raise GansmithError(f"steps = {steps}: give at least 1 frame from stop to stop.")
    at = times(each, each * steps if loop else (each - 1) * steps + 1, loop)
    if way not in ("auto", *BETWEEN):
        raise GansmithError(f'way "{way}": give auto, lerp or slerp.')
    if way == "slerp" and space.name == "w":
        raise GansmithError(
            "Styles do not lie on a sphere, so there is no slerp between them: walk --space z, or lerp."
        )
    between = space.between if way == "auto" else BETWEEN[way]
    return filmed(space, torch.stack([along(part, at, between) for part in torch.split(stops, each)], 1))


def filmed(space: Space, points: Tensor) -> Film:
    """Points (T, N, ...) as a film: each frame shows N images."""
    images = space.images(points.flatten(0, 1))
    return Film(images.reshape(*points.shape[:2], *images.shape[1:]))


def truncate(space: Space, points: Tensor, psis: Sequence[float], layers: str | None = None) -> Tensor:
    """Images (len(psis), N, C, H, W) of the same points, truncated more and more or less and less.

    Args:
        space: with psi = 1.
        points: (N, ...), drawn without truncation.
        psis: 0 = none of the point's own is left, 1 = all of it.
        layers: only these are truncated, where the space has layers; None = all.

    Raises:
        GansmithError: a psi out of range, layers that are not there, or noise that is not normal.
    """
    spaces = [replace(space, psi=float(psi)) for psi in psis]  # refuses one that is out of range
    shown = [each.swapped(points, each.truncated(points), layers) for each in spaces]
    return torch.stack([each.images(part) for each, part in zip(spaces, shown, strict=True)])


def breed(space: Space, points: Tensor, first: str | int, second: str | int, steps: int = 9) -> Tensor:
    """Images (steps, N, C, H, W) on the way from one class to another, the noise staying the same.

    Args:
        points: (N, ...); their own label does not matter.
        first, second: classes, by name or number.

    Raises:
        GansmithError: a model without labels, or no such class.
    """
    label = steering.find(space.model.codes, "label", type(space.recipe).__name__)
    a, b = (label.put(points, steering.values(label, value, len(points))) for value in (first, second))
    if torch.equal(a, b):
        raise GansmithError(f"Both classes are {first}: give two.")
    if steps < 2:
        raise GansmithError(f"steps = {steps}: give at least 2.")
    return torch.stack([space.images(lerp(a, b, t)) for t in torch.linspace(0, 1, steps).tolist()])


def table(images: Tensor, columns: Sequence[str], rows: Sequence[str] = ()) -> Sheet:
    """Images (columns, rows, C, H, W) as a still grid: a row for each point, time to the right."""
    return Sheet(images.transpose(0, 1).flatten(0, 1), len(images), tuple(columns), tuple(rows))


def zoom(space: Space, points: Tensor, far: float = 3.0, steps: int = 49, what: str = "size", seed: int = 0) -> Tensor:
    """Points (steps, N, ...) along which what is shown grows: from -far to far standard deviations of draws.

    Each point goes its own way, along the slope of what is measured (`climbing.climb`); labels and codes stay.

    Args:
        what: another measure to move along (`factors.MEASURES`).

    Raises:
        GansmithError: a number out of range, or images in which it cannot be measured.
    """
    if steps < 2 or not 0 < far <= 20:
        raise GansmithError(f"{steps} steps of a zoom over {far} standard deviations: give at least 2, and 0 to 20.")
    way = climb(space, points, what, far, seed)
    return along(way, torch.linspace(0, len(way) - 1, steps), lerp)
