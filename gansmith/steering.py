"""What a user writes for a code of the latent, as numbers: class names, values, ranges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.abilities import Code
from gansmith.errors import GansmithError, did_you_mean

SHOWN = 12  # class names in a message


def find(codes: Mapping[str, Code], name: str, recipe: str) -> Code:
    """The code of that name. Raises GansmithError when the recipe has none."""
    if name in codes:
        return codes[name]
    if not codes:
        raise GansmithError(
            f"{recipe} was trained without labels and codes: there is no {name} to set. Train cgan, acgan, "
            "projection_gan, biggan (labels) or infogan (codes)."
        )
    raise GansmithError(f"{recipe} has no code {name}: there are {', '.join(codes)}.{did_you_mean(name, codes)}")


def values(code: Code, value: Any, n: int) -> Tensor:
    """What is to be put into n latents: numbers (n,) of a one-hot code's values, or of a continuous one's.

    Raises:
        GansmithError: a value that the code cannot have, or another number of them.
    """
    many = _many(value)
    if len(many) not in (1, n):
        raise GansmithError(f"{code.name}: {len(many)} values for {n} samples: give one, or one for each.")
    read = [_continuous(code, v) if code.kind == "continuous" else _one_of(code, v) for v in many]
    return torch.tensor(read).expand(n) if len(read) == 1 else torch.tensor(read)


def steps(code: Code, n: int) -> Tensor:
    """Every value of a one-hot code, or n values of a continuous one from end to end."""
    return torch.linspace(code.low, code.high, n) if code.kind == "continuous" else torch.arange(code.size)


def _many(value: Any) -> Sequence[Any]:
    if isinstance(value, (Tensor, np.ndarray)):
        return list(value.reshape(-1).tolist())
    return value if isinstance(value, (list, tuple)) else [value]


def _one_of(code: Code, value: Any) -> int:
    """The number of a class: by its name, or by its place in their order."""
    text = str(value)
    if text in code.values:
        return code.values.index(text)
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number < code.size:
        known = ", ".join(code.values[:SHOWN]) + (" ..." if len(code.values) > SHOWN else "")
        hint = did_you_mean(text, code.values)
        raise GansmithError(f'{code.name} = "{text}" is none of {known}; or 0 to {code.size - 1}.{hint}')
    return number


def _continuous(code: Code, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not code.low <= number <= code.high:
        raise GansmithError(f"{code.name} = {value} is out of range: give {code.low:g} to {code.high:g}.")
    return number
