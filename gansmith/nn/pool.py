"""CycleGAN's image pool: D also learns from earlier samples of G."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """Samples (N, C, H, W) -> as many, about half of them earlier ones; without gradient.

    One after another: while there is room, a sample is stored and given back. Later, with chance 1/2, a stored one is
    given back and the new one takes its place; else the new one is given back and not stored. What is stored is
    float32, in buffers, so that a resumed training goes on alike. Chance comes from torch's global generator.

    Args:
        shape: (C, H, W) of a sample.
        size: number of stored samples.

    Source: Zhu et al. 2017, arXiv:1703.10593, section 4, after Shrivastava et al. 2017, arXiv:1612.07828.

    >>> pool = ImagePool((1, 1, 1), size=2)
    >>> pool(torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)).flatten().tolist(), pool.images.flatten().tolist()
    ([1.0, 2.0], [1.0, 2.0])
    """

    images: Tensor
    count: Tensor

    def __init__(self, shape: tuple[int, ...], size: int = 50) -> None:
        super().__init__()
        assert size > 0
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        size = len(self.images)
        any_slot = torch.randint(size, (len(x), 1), device=x.device)
        swaps = torch.rand(len(x), 1, 1, 1, device=x.device) < 0.5
        given = []
        for new, slot, swap in zip(x.split(1), any_slot, swaps, strict=True):
            full = self.count >= size  # stays on the device, like all that is decided here
            slot = torch.where(full, slot, self.count)
            old, new = self.images[slot], new.to(self.images.dtype)
            given.append(torch.where(full & swap, old, new))
            self.images.index_copy_(0, slot, torch.where(full & ~swap, old, new))
            self.count.add_(~full)
        return torch.cat(given).to(x.dtype)
