"""What a generator's layers make of its points: the layers that read them first, and activations on the way.

Layers are found by watching one pass, so that any generator will do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.explore.space import Space

STEP = 0.1  # of a draw's standard deviation: exact where the first step is affine


def weighted(space: Space) -> dict[str, nn.Module]:
    """The innermost modules with weights (matrices, filters) on the way from points to images, by name."""
    found = {}
    for name in space.recipe.generators:
        for path, module in space.model.nets[name].named_modules():
            inner = (m for m in module.modules() if m is not module)
            if has_weight(module) and not any(has_weight(m) for m in inner):
                found[f"{name}.{path}".rstrip(".")] = module
    return found


def has_weight(module: nn.Module) -> bool:
    """Whether a module has a matrix or filters of its own."""
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim > 1


@contextmanager
def _hooked(modules: dict[str, nn.Module], hook: Any) -> Iterator[None]:
    """While it lasts, hook(name, inputs, output) sees every call and gives what the module gives."""
    handles = [
        module.register_forward_hook(lambda _, inputs, output, name=name: hook(name, inputs, output))
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def first(space: Space) -> list[str]:
    """The modules that the points reach through no other module with weights: those whose weights read them."""
    found: list[str] = []

    def look(name: str, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        if any(isinstance(x, Tensor) and x.requires_grad for x in inputs):
            found.append(name)
        return output.detach()

    with _hooked(weighted(space), look), torch.enable_grad():
        space.made(space.draw(1).to(space.model.device).requires_grad_())
    return list(dict.fromkeys(found))


def activations(space: Space, points: Tensor, names: list[str], batch: int = 64) -> dict[str, Tensor]:
    """What the modules give for points (N, ...): (N, F) each, float32 on the CPU."""
    kept: dict[str, list[Tensor]] = {name: [] for name in names}

    def look(name: str, inputs: tuple[Any, ...], output: Tensor) -> None:
        kept[name].append(output.detach().flatten(1).float().cpu())

    chosen = {name: module for name, module in weighted(space).items() if name in kept}
    with _hooked(chosen, look), torch.no_grad():
        for part in torch.split(points, batch):
            space.made(part.to(space.model.device))
    return {name: torch.cat(parts) for name, parts in kept.items()}


def jacobian(space: Space, point: Tensor, steps: Tensor) -> Tensor:
    """How all that reads points first changes, per step: (outputs, K) at a point (1, ...).

    Args:
        steps: (K, ...), each what is added to the point.
    """
    names = first(space)
    found = activations(space, torch.cat([point, point + STEP * steps]), names)
    values = torch.cat([found[name] for name in names], 1)
    return ((values[1:] - values[:1]) / STEP).T
