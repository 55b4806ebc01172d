"""Points that a user names: seeds, numbers of a sampled grid, and files of points that know their model.

    7           the first latent of seed 7            0-15      those of seeds 0 to 15
    3:12        number 12 of the row of seed 3        3:8-15    numbers 8 to 15 of it
    face.safetensors                                  all points of a file

`gansmith sample RUN --seed 3 -n 64` shows the row of seed 3, from number 0 on; with --numbers it writes them on it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gansmith.engine.files import explained, write_file
from gansmith.errors import GansmithError
from gansmith.explore.space import Space

SUFFIX = ".safetensors"
FORMAT = "gansmith points 1"
MOST = 100_000  # seeds or numbers in one name


def find(space: Space, names: str | int | Sequence[str | int], **codes: Any) -> Tensor:
    """The points (N, ...) that names stand for, in their order.

    Args:
        names: one text, with commas between several; or a list of texts and seeds.
        codes: set in the points that come from seeds, as in `GAN.draw_latents`.

    Raises:
        GansmithError: no such name or file, or a file of another model.
    """
    listed = str(names).split(",") if isinstance(names, (str, int)) else [str(name) for name in names]
    parts = [part for name in listed if (part := name.strip())]
    if not parts:
        raise GansmithError("No points are named: give seeds as 0,5-8, or 0:12 for number 12 of the row of seed 0.")
    if codes and any(part.endswith(SUFFIX) for part in parts):
        raise GansmithError("Points of a file have their label and codes: give seeds, or leave --label and --code out.")
    return torch.cat([_named(space, part, codes) for part in parts])


def _named(space: Space, name: str, codes: Mapping[str, Any]) -> Tensor:
    """The points of one name."""
    if name.endswith(SUFFIX):
        return load(space, name)
    match = re.fullmatch(r"(?:(\d+):)?(\d+)(?:-(\d+))?", name)
    if not match:
        raise GansmithError(
            f'"{name}" names no points: give seeds as 0,5-8, or 0:12 for number 12 of the row of seed 0, or a '
            f"{SUFFIX} file."
        )
    row, first, last = match[1], int(match[2]), int(match[3] or match[2])
    if not first <= last <= first + MOST:
        raise GansmithError(f'"{name}": the second number must not be smaller, nor more than {MOST:,} away.')
    if row is None:
        return torch.cat([space.draw(1, seed, **codes) for seed in range(first, last + 1)])
    if last > MOST:
        raise GansmithError(f'"{name}": numbers go up to {MOST:,}.')
    return space.draw(last + 1, int(row), **codes)[first:]


def save(space: Space, points: Tensor, path: str | Path, told: str = "", **facts: Any) -> Path:
    """Write points (N, ...) and which model they are of.

    Args:
        path: a .safetensors file.
        told: the command that made them.
        facts: more to keep with them, as JSON holds it.

    Raises:
        GansmithError: another suffix, or a place that cannot be written.
    """
    path = Path(path).expanduser()
    if path.suffix != SUFFIX:
        raise GansmithError(f"{path}: points go to a {SUFFIX} file.")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    told_all = {"format": FORMAT, **space.told, **facts, "command": told}
    header = {"gansmith": json.dumps(told_all, sort_keys=True)}  # one entry: safetensors keeps no order
    write_file(path, lambda file: save_file({"points": points.detach().float().cpu().contiguous()}, file, header))
    return path


def load(space: Space, path: str | Path) -> Tensor:
    """The points (N, ...) of a file.

    Raises:
        GansmithError: no such file, a damaged one, one of another model, or of another space of this one.
    """
    path = Path(path).expanduser()
    facts, tensors = read(path)
    same_model(space, path, facts)
    points = tensors.get("points")
    like = space.draw(1)
    if points is None or points.ndim != like.ndim or points.shape[1:] != like.shape[1:] or not len(points):
        raise GansmithError(f"{path} is damaged: it holds no points of this model.")
    if not points.isfinite().all():
        raise GansmithError(f"{path} is damaged: some numbers in it are not finite.")
    return points


def same_model(space: Space, path: Path, facts: Mapping[str, Any]) -> None:
    """Refuse what a file says of itself (GansmithError) when it is of another model or space."""
    own = space.told
    if facts.get("model") != own["model"]:
        raise GansmithError(
            f"{path} belongs to another model: {facts.get('recipe')} of {facts.get('data')} after "
            f"{facts.get('seen')} samples; this is {own['recipe']} of {own['data']} after {own['seen']}. Give its run, "
            "and its --checkpoint."
        )
    if facts.get("space") != own["space"]:
        raise GansmithError(f"{path} is of the space {facts.get('space')}: add --space {facts.get('space')}.")


def read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file of points says of itself, and its tensors, float32.

    Raises:
        GansmithError: no such file, or not one of ours.
    """
    if not path.is_file():
        raise GansmithError(f"{path}: there is no such file.")
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads((file.metadata() or {})["gansmith"])
            names = file.keys()  # no dictionary: it cannot be walked through
            tensors = {name: file.get_tensor(name).float() for name in names}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError):
        raise GansmithError(f"{path} is no file of points, or damaged.") from None
    if not isinstance(facts, dict):
        raise GansmithError(f"{path} is no file of points, or damaged.")
    return facts, tensors
