"""Which noise a sample has, so that it does not depend on the samples drawn with it."""

from __future__ import annotations

import torch
from torch import Tensor


def noise_keys(z: Tensor) -> Tensor:
    """A key (N,) int64 for the noise of each latent z (N, z_dim): equal latents have equal keys, in any batch.

    Taken from z in bfloat16, so that float32 and bfloat16 draw the same noise.

    >>> keys = noise_keys(torch.tensor([[1.0, 2.0], [2.0, 1.0], [1.0, 2.0]]))
    >>> (keys[0] == keys[2]).item(), (keys[0] == keys[1]).item()
    (True, False)
    """
    bits = z.to(torch.bfloat16).view(torch.int16).long()
    factors = torch.tensor([pow(0x9E3779B1, i + 1, 2**32) for i in range(z.shape[1])], device=z.device)
    return (bits * factors).sum(1) % 2**32
