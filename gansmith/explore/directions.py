"""Directions: moves through a model's points that change one thing in every image. Named, scored, kept in files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from gansmith.engine.files import explained, write_file
from gansmith.errors import GansmithError, did_you_mean
from gansmith.explore import points
from gansmith.explore.factors import measure
from gansmith.explore.following import follow, spread
from gansmith.explore.space import Space

FORMAT = "gansmith direction 1"
STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
SCORED = 64  # samples that a score looks at
POPULATION = 1024  # samples whose spread is the unit of changes


@dataclass(frozen=True)
class Direction:
    """A move through points.

    Args:
        name: letters, digits, "-" and "_".
        vector: (D,), added to a style or to the noise of a latent at strength 1: one standard deviation of draws along
            it.
        layers: those that it is meant for (`Space.mask`); None = all.
        how: it was found.
        scores: by measure (`factors.MEASURES`), how strictly it follows the strength (rank correlation, -1 to 1) and by
            how much it changes from the weakest to the strongest (standard deviations of draws).
    """

    name: str
    vector: Tensor = field(repr=False)
    layers: str | None = None
    how: str = ""
    scores: dict[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse a name that no file can have."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", self.name):
            raise GansmithError(f'"{self.name}" is no name for a direction: letters, digits, - and _, at most 64.')

    @property
    def about(self) -> str:
        """What it changes most, in words: the measures that follow it and change by half a standard deviation.

        >>> Direction("a", torch.zeros(2), scores={"x": (0.98, 2.1), "hue": (0.3, 0.9), "size": (-0.9, -0.7)}).about
        'x +0.98, size -0.90'
        """
        seen = [(abs(change), name, rank) for name, (rank, change) in self.scores.items() if abs(rank) >= 0.5]
        strong = [(name, rank) for change, name, rank in sorted(seen, reverse=True) if change >= 0.5]
        return ", ".join(f"{name} {rank:+.2f}" for name, rank in strong[:3]) or "nothing that is measured"


def move(space: Space, p: Tensor, direction: Direction, strength: Tensor | float, layers: str | None = None) -> Tensor:
    """Points p (N, ...) moved by `strength`, one number or (N,), in standard deviations of draws.

    Args:
        layers: in place of the direction's own.
    """
    vector = space.lifted(direction.vector.to(p)[None])
    by = torch.as_tensor(strength, dtype=p.dtype, device=p.device)
    by = by.reshape(-1, *[1] * (p.ndim - 1)) if by.ndim else by
    return p + by * vector * space.mask(layers or direction.layers).to(p.device)


def without(direction: Direction, others: Sequence[Direction], unit: Tensor) -> Direction:
    """A direction that leaves alone what others change: their part in it is taken away.

    Args:
        unit: standard deviations of draws (D,), in which the parts are measured.

    Raises:
        GansmithError: nothing of the direction is left.

    Source: Shen et al. 2020, arXiv:1907.10786, section 2.3.
    """
    basis = torch.stack([other.vector / unit for other in others], 1)
    scaled = direction.vector / unit
    rest = scaled - basis @ torch.linalg.lstsq(basis, scaled[:, None]).solution[:, 0]
    if rest.norm() < 1e-3 * scaled.norm():
        raise GansmithError(f"Nothing is left of {direction.name} without {', '.join(o.name for o in others)}.")
    kept = rest * scaled.norm() / rest.norm() * unit
    return replace(direction, vector=kept, how=f"{direction.how}, without {', '.join(o.name for o in others)}")


def score(
    space: Space, found: Sequence[Direction], n: int = SCORED, strengths: Sequence[float] = STRENGTHS, seed: int = 0
) -> list[Direction]:
    """The directions with their scores, measured on n samples moved by each strength."""
    unit = spread(measure(space.images(space.draw(POPULATION, seed=seed + 1))))
    start, at = space.draw(n, seed), torch.tensor(list(strengths))
    scored = []
    for direction in found:
        images = [space.images(move(space, start, direction, float(s))) for s in at]
        got = follow(at, [measure(part) for part in images], unit)
        scores = {name: (round(each.correlation, 4), round(each.change, 4)) for name, each in got.items()}
        scored.append(replace(direction, scores=scores))
    return scored


# ---- files


def save(space: Space, direction: Direction, folder: str | Path, told: str = "") -> Path:
    """Write NAME.safetensors, and NAME.json for people, into a folder; gives the first."""
    folder = Path(folder).expanduser()
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    facts: dict[str, Any] = {
        "format": FORMAT,
        **space.told,
        **asdict(replace(direction, vector=torch.empty(0))),
        "command": told,
    }
    del facts["vector"]
    text = json.dumps(facts, indent=1, sort_keys=True)
    path = folder / f"{direction.name}{points.SUFFIX}"
    header = {"gansmith": text}
    write_file(path, lambda file: save_file({"vector": direction.vector.float().contiguous()}, file, header))
    write_file(path.with_suffix(".json"), lambda file: file.write_text(text + "\n", encoding="utf-8"))
    return path


def load(space: Space, name: str, folder: str | Path) -> Direction:
    """A direction by its name in a folder, or by the path of its file.

    Raises:
        GansmithError: no such direction, a damaged file, or one of another model or space.
    """
    path = Path(name).expanduser() if name.endswith(points.SUFFIX) else Path(folder) / f"{name}{points.SUFFIX}"
    if not path.is_file():
        known = names(folder)
        told = f"there are {', '.join(known)}" if known else "find some: gansmith directions RUN"
        raise GansmithError(f"{path}: there is no such direction; {told}.{did_you_mean(name, known)}")
    facts, tensors = points.read(path)
    points.same_model(space, path, facts)
    vector, size = tensors.get("vector"), space.rows(space.draw(1)).shape[1]
    if vector is None or tuple(vector.shape) != (size,) or not vector.isfinite().all():
        raise GansmithError(f"{path} is damaged: it holds no direction of this model.")
    try:
        scores = {str(k): (float(a), float(b)) for k, (a, b) in facts["scores"].items()}
        layers = facts["layers"]
        space.mask(layers)
        return Direction(str(facts["name"]), vector, layers, str(facts["how"]), scores)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise GansmithError(f"{path} is damaged: its description is not complete.") from None


def remove(name: str, folder: str | Path) -> None:
    """Take a direction's files away."""
    for suffix in (points.SUFFIX, ".json"):
        (Path(folder) / f"{name}{suffix}").unlink(missing_ok=True)


def names(folder: str | Path) -> list[str]:
    """The directions in a folder."""
    return sorted(path.stem for path in Path(folder).glob(f"*{points.SUFFIX}"))
