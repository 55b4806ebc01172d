"""Path length regularisation: a step of a given size in the styles shall change images by about the same everywhere."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from gansmith.errors import GansmithError


def path_length(samples: Tensor, ws: Tensor, mean: Tensor, decay: float = 0.01) -> tuple[Tensor, Tensor]:
    """E (|J^T y| - a)^2 with J the Jacobian of the samples by the styles, y noise, and a the running mean of |J^T y|.

    y is normal with variance 1 / (H W). |J^T y| is the root of the mean over layers of the squared norms of J^T y in
    each layer's style.

    Args:
        samples: (N, C, H, W), made of `ws`.
        ws: styles (N, layers, w_dim), which must require gradients.
        mean: a so far (), 0 at first; kept by the caller between calls.
        decay: share of the new mean that this batch makes up.

    Returns:
        The penalty, without its weight (2 in the released code), and the new mean, detached.

    Raises:
        GansmithError: the samples do not depend on the styles.

    Source: Karras et al. 2020, arXiv:1912.04958, section 3.2, eq. 4, and appendix B. Needs double backward.

    >>> ws = torch.zeros(1, 1, 2, requires_grad=True)
    >>> samples = (ws @ torch.zeros(2, 4)).view(1, 1, 2, 2)            # J = 0: no length at all, penalty 2^2
    >>> penalty, mean = path_length(samples, ws, torch.tensor(2.0), decay=0.0)
    >>> round(penalty.item(), 3), mean.item()
    (4.0, 2.0)
    """
    y = torch.randn_like(samples) / sqrt(samples.shape[2] * samples.shape[3])
    slope = None
    if samples.requires_grad and ws.requires_grad:
        (slope,) = torch.autograd.grad((samples * y).sum(), ws, create_graph=True, allow_unused=True)
    if slope is None:
        raise GansmithError(
            "path_length needs samples that depend on the styles ws: let ws require gradients before G(ws)."
        )
    slope = slope.to(torch.promote_types(slope.dtype, torch.float32))
    lengths = (slope.square().sum(2).mean(1) + 1e-12).sqrt()  # the root's own gradient stays finite at 0
    mean = torch.lerp(mean.to(lengths.dtype), lengths.detach().mean(), decay)
    return (lengths - mean).square().mean(), mean
