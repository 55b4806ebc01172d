"""Virtual batch normalisation: statistics of a fixed reference batch and the sample itself, never of its neighbours."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError


class VirtualBatchNorm(nn.Module):
    """Normalise features (R + N, C, ...): the first R rows are the reference.

    A sample's mean and mean square are those of the R reference rows and the sample, each row of weight 1 / (R + 1); a
    reference row is normalised by the R rows alone.

    Args:
        channels: C.
        eps: added to the variance.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.5.

    >>> layer = VirtualBatchNorm(1)
    >>> layer.reference = 1
    >>> layer(torch.tensor([[0.0], [2.0]])).round().tolist()      # the sample: mean 1, variance 1
    [[0.0], [1.0]]
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.eps, self.reference = eps, 0

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(2).float() if x.ndim > 2 else x[:, :, None].float()
        mean, square = rows.mean(2), rows.square().mean(2)
        of_reference = mean[: self.reference].mean(0), square[: self.reference].mean(0)
        mixed = [_mixed(a, b, self.reference) for a, b in zip(of_reference, (mean, square), strict=True)]
        centre, var = mixed[0], (mixed[1] - mixed[0].square()).clamp_min(0)
        scale = self.weight * (var + self.eps).rsqrt()
        shape = (*centre.shape, *(1,) * (x.ndim - 2))
        return ((x - centre.view(shape)) * scale.view(shape) + self.bias.view(1, -1, *shape[2:])).to(x.dtype)


def _mixed(reference: Tensor, rows: Tensor, n: int) -> Tensor:
    """(R + N, C): the reference's own statistic for its rows, for the others the mean with weights R and 1."""
    return torch.cat([reference.expand(n, -1), (n * reference + rows[n:]) / (n + 1)])


def virtual_batch_norm_(net: nn.Module) -> nn.Module:
    """Put a VirtualBatchNorm, with its gain and bias, in the place of each BatchNorm of a net; returns the net.

    Raises:
        GansmithError: the net has none.
    """
    found: list[tuple[nn.Module, str, Any]] = [
        (parent, name, child) for parent in net.modules() for name, child in parent.named_children() if _plain(child)
    ]
    if not found:
        raise GansmithError(
            "virtual_batch_norm takes the place of plain BatchNorm layers in G, and this G has none: leave it out."
        )
    for parent, name, child in found:
        layer = VirtualBatchNorm(child.num_features, child.eps)
        layer.weight, layer.bias = child.weight, child.bias
        setattr(parent, name, layer)
    return net


def _plain(module: Any) -> bool:
    return isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) and module.affine


class VirtualBatch(nn.Module):
    """A net of VirtualBatchNorm layers together with its reference: z (N, ...) -> what the net makes of it.

    Args:
        net: with VirtualBatchNorm layers.
        reference: inputs (R, ...), the same for ever.
    """

    reference: Tensor

    def __init__(self, net: nn.Module, reference: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("reference", reference)
        for layer in net.modules():
            if isinstance(layer, VirtualBatchNorm):
                layer.reference = len(reference)

    def forward(self, z: Tensor) -> Any:
        return self.net(torch.cat([self.reference.to(z.dtype), z]))[len(self.reference) :]
