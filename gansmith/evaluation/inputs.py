"""What every measure asks of its inputs: rows of finite numbers, enough of them, of equal width."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansmith.errors import GansmithError

Rows = Tensor | np.ndarray
"""Features (N, D), or anything (N, ...) that is flattened to it; a torch tensor or a numpy array of numbers."""


def rows(x: Any, name: str, least: int = 2) -> Tensor:
    """x as a tensor (N, D) on its own device, float32 or float64.

    Args:
        x: (N, ...) numbers; whole numbers become float32.
        name: of the argument, for the message.
        least: rows that are needed.

    Raises:
        GansmithError: not numbers, fewer rows than `least`, no columns, or a value that is not finite.

    >>> rows([[1, 2], [3, 4]], "real").dtype
    torch.float32
    """
    try:
        found = x.detach() if isinstance(x, Tensor) else torch.as_tensor(np.asarray(x))
    except (TypeError, ValueError):
        raise GansmithError(f"{name} must be an array of numbers (N, D), not {type(x).__name__}.") from None
    if found.ndim == 0 or len(found) < least:
        n = 0 if found.ndim == 0 else len(found)
        raise GansmithError(f"{name} has {n} sample{'s' * (n != 1)}: at least {least} are needed.")
    found = found.flatten(1) if found.ndim > 1 else found[:, None]
    if found.shape[1] == 0:
        raise GansmithError(f"{name} has no columns: give features (N, D) with D of at least 1.")
    if found.dtype not in (torch.float32, torch.float64):
        found = found.to(torch.float32)
    for bad in (~found.sum(1).isfinite()).nonzero().flatten().tolist():  # a sum may also overflow: look at the row
        if not found[bad].isfinite().all():
            raise GansmithError(f"{name} has a value that is not finite (NaN or infinity) in row {bad}: leave it out.")
    return found


def pair(a: Any, b: Any, names: Sequence[str] = ("a", "b"), least: int = 2) -> tuple[Tensor, Tensor]:
    """Two sets of rows of equal width, of one type and on one device. Raises GansmithError as `rows` does.

    >>> [t.shape[1] for t in pair(torch.zeros(3, 2), torch.ones(5, 2))]
    [2, 2]
    """
    x, y = rows(a, names[0], least), rows(b, names[1], least)
    if x.shape[1] != y.shape[1]:
        raise GansmithError(
            f"{names[0]} has {x.shape[1]} columns and {names[1]} has {y.shape[1]}: both must come from one extractor."
        )
    kind = torch.promote_types(x.dtype, y.dtype)
    return x.to(kind), y.to(x.device, kind)
