"""Standing statistics: BatchNorm's running statistics taken anew from the network as it is, and its inputs as they are.

Running statistics follow a network while it trains. An average of its weights is another network, and truncated
latents are other inputs: with the old statistics its features come out too strong or too weak.

Source: Brock et al. 2019, arXiv:1809.11096, appendix D.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

T = TypeVar("T", bound=nn.Module)


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """The BatchNorm layers of a net that keep running statistics."""
    return [m for m in net.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


@torch.no_grad()
def standing_statistics_(net: T, batches: Iterable[Tensor], run: Callable[[Tensor], object] | None = None) -> T:
    """Set running mean and variance of each BatchNorm to the plain mean over batches of the batch's own; returns net.

    All other layers stay in evaluation mode, so that spectral norms, say, do not move.

    Args:
        net: changed in place; left in evaluation mode.
        batches: its inputs, as many batches as are to be averaged.
        run: what is called with each of them; None = the net itself.
    """
    norms = batch_norms(net.eval())
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative mean
        norm.train()
    for batch in batches:
        (run or net)(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return net.eval()
