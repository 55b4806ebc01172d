"""A recipe file that gives any number of processes the random numbers of one, to compare their trainings.

Each process draws the numbers of the whole batch from a seed without its rank, and keeps its share. SHARED_RECIPE
names the recipe of the zoo that is played.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gansmith import recipes
from gansmith.engine import game


def share(draw: Callable[..., Tensor], size_at: int) -> Callable[..., Tensor]:
    """`draw` for the whole batch, cut to this process's rows; drawing with an own generator stays as it is."""

    def drawn(*args: Any, **options: Any) -> Tensor:
        world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
        if world == 1 or options.get("generator") is not None:
            return draw(*args, **options)
        before, size, after = args[:size_at], args[size_at], args[size_at + 1 :]
        rows = size[0] if isinstance(size, tuple | torch.Size) else size
        whole = (rows * world, *size[1:]) if isinstance(size, tuple | torch.Size) else rows * world
        return draw(*before, whole, *after, **options)[rank * rows : (rank + 1) * rows]

    return drawn


if "SHARED_RECIPE" in os.environ:  # in a process of its own, never in that of the tests
    recipe = recipes.find(os.environ["SHARED_RECIPE"])
    if not hasattr(torch, "shared_by_processes"):
        torch.shared_by_processes = True  # type: ignore[attr-defined]
        seed_everywhere = game.seed_everywhere
        game.seed_everywhere = lambda seed, *key: seed_everywhere(seed, *(key and (key[0], 0, key[2])))
        torch.randn, torch.rand = share(torch.randn, 0), share(torch.rand, 0)
        torch.randint = share(torch.randint, 1)
