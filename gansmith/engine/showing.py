"""What a picture of translations shows."""

from __future__ import annotations

import torch
from torch import Tensor

from gansmith.abilities import Translates
from gansmith.core import Nets

TOGETHER = 4  # images


def translations(recipe: Translates, nets: Nets, a: Tensor, b: Tensor, device: torch.device) -> list[Tensor]:
    """Columns of a picture (N, C, H, W), on the CPU: images, what they become, and their partners.

    With two directions, in place of partners the way back; and then the same for images of B.

    Args:
        a, b: images of A and of B (N, C, H, W) in [-1, 1].
    """

    def made(x: Tensor, direction: str) -> Tensor:
        with torch.no_grad():
            parts = [recipe.translate(nets, part.to(device), direction) for part in torch.split(x, TOGETHER)]
        return torch.cat(parts).float().cpu()

    there = made(a, "A2B")
    if "B2A" not in recipe.directions:
        return [a, there, b]
    back = made(b, "B2A")
    return [a, there, made(there, "B2A"), b, back, made(back, "A2B")]
