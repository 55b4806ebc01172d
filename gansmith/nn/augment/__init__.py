"""Augmentation of all that D sees, differentiable, so that few images suffice and nothing of it leaks into samples.

D can never be sure that it sees an image as it is, so it cannot learn a small set by heart. G's samples take the same
way to D, and as long as some images stay as they are, the only way to look right after it is to look right before.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nn.augment.colour import recolour
from gansmith.nn.augment.corrupt import cut_out, noisy, refilter
from gansmith.nn.augment.diff import diffaugment
from gansmith.nn.augment.geometry import blit, warp
from gansmith.nn.precision import in_float32

BASIC = (blit, warp, recolour)
"""Pixels, geometry and colour: what the paper found to serve best with few images, and uses after its figure 4."""

FULL = (*BASIC, refilter, noisy, cut_out)
"""All of the paper's transformations."""

TARGET = 0.6  # of the mean sign of D's logits of real samples
MEMORY = 1 / 8  # weight of a new look in the running mean of signs


def augmented(x: Tensor, p: Tensor | float, full: bool = False) -> Tensor:
    """Images under transformations that fall on each of them with chance p each, independently.

    Args:
        x: (N, C, S, S), square, grey or colour (C = 1 or 3), in -1 to 1.
        p: 0 to 1; 0 gives x back, bit for bit.
        full: also frequencies, noise and a cut-out, which the paper's own choice leaves out.

    Returns:
        The same shape, float32 (or wider), also inside autocast; values may leave -1 to 1. Differentiable twice.

    Raises:
        GansmithError: images of another shape.

    Source: Karras et al. 2020, arXiv:2006.06676, section 2 and appendix B. Unlike there, moves of whole pixels are made
    before the affine map and not through it, and images on which nothing falls are not resampled.

    >>> x = torch.zeros(2, 3, 8, 8)
    >>> augmented(x, 0.0).equal(x), augmented(x, 1.0).shape
    (True, torch.Size([2, 3, 8, 8]))
    """
    if x.ndim != 4 or x.shape[1] not in (1, 3) or x.shape[2] != x.shape[3]:
        raise GansmithError(
            f"Augmentation knows square grey or colour images (N, 1 or 3, S, S), not samples {tuple(x.shape)}."
        )

    def steps(x: Tensor) -> Tensor:
        for step in FULL if full else BASIC:
            x = step(x, p)
        return x

    return in_float32(steps, x)


class AdaptiveAugment(nn.Module):
    """Images (N, C, S, S) -> augmented ones, with a chance p that follows how far D over-fits.

    r is a running mean of the sign of D's logits of real samples: 1 when D is right about each of them, near 0 when it
    cannot tell. Above 0.6 p rises, below it falls, always at the same speed.

    Args:
        full: all transformations (`augmented`).
        p: fixed; None starts at 0 and adapts.
        ksamples: real samples in thousands in which p can go from 0 to 1.
        ceiling: p goes no higher: near 1, nothing would tell G what an image looks like as it is.

    Source: Karras et al. 2020, arXiv:2006.06676, section 3.
    """

    p: Tensor
    r: Tensor
    drawn: Tensor

    def __init__(
        self, full: bool = False, p: float | None = None, ksamples: float = 500.0, ceiling: float = 0.85
    ) -> None:
        super().__init__()
        self.look: Tensor | None = None  # the mean sign of this round, on its way to `adapt`
        self.full, self.adapts, self.ksamples, self.ceiling = full, p is None, ksamples, ceiling
        self.register_buffer("p", torch.tensor(p or 0.0))
        self.register_buffer("r", torch.zeros(()))
        self.register_buffer("drawn", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        return augmented(x, self.p, self.full)

    @torch.no_grad()
    def adapt(self, sign: Tensor) -> None:
        """Move p, by the real samples in `drawn` since the last time.

        Args:
            sign: scalar, mean sign of D's logits of some real samples, -1 to 1.
        """
        self.r.lerp_(sign.to(self.r), MEMORY)
        step = torch.sign(self.r - TARGET) * self.drawn / (1000 * self.ksamples)
        self.p.add_(step).clamp_(0.0, self.ceiling)
        self.drawn.zero_()
        self.look = None


class DiffAugment(nn.Module):
    """Images (N, C, H, W) -> augmented ones (`diffaugment`), in float32 (or wider)."""

    def forward(self, x: Tensor) -> Tensor:
        return in_float32(diffaugment, x)


__all__ = ["AdaptiveAugment", "DiffAugment", "augmented", "diffaugment"]
