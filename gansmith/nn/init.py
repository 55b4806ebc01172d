"""Initial weights. Each function fills one layer in place, sets its bias to 0 and returns it."""

from __future__ import annotations

import math
from typing import TypeVar

from torch import nn

LEAKY_GAIN = math.sqrt(2 / (1 + 0.2**2))
"""Keeps the second moment through a LeakyReLU of slope 0.2."""


L = TypeVar("L", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def normal_(layer: L, std: float = 0.02) -> L:
    """Weights from N(0, std^2), whatever the fan. Source: Radford et al. 2016, arXiv:1511.06434."""
    nn.init.normal_(layer.weight, 0.0, std)
    return _zero_bias(layer)


def glorot_uniform_(layer: L, gain: float = 1.0) -> L:
    """Weights from U(-a, a) with a = gain * sqrt(6 / (fan_in + fan_out)).

    Source: Glorot & Bengio 2010; SNGAN uses gain sqrt(2) in residual branches and 1 elsewhere.
    """
    nn.init.xavier_uniform_(layer.weight, gain)
    return _zero_bias(layer)


def orthogonal_(layer: L) -> L:
    """Weights, as a matrix (out, everything else), with orthonormal rows or columns, whichever are fewer.

    Source: Saxe et al. 2014, arXiv:1312.6120.

    >>> import torch
    >>> w = orthogonal_(nn.Linear(5, 2)).weight
    >>> torch.allclose(w @ w.T, torch.eye(2), atol=1e-6)
    True
    """
    if not layer.weight.is_meta:  # there is nothing to fill, and what says so is slow
        nn.init.orthogonal_(layer.weight)
    return _zero_bias(layer)


def fan_in_normal_(layer: L, gain: float = 1.0) -> L:
    """Weights from N(0, gain^2 / fan_in); gain 0 gives zeros.

    fan_in counts what one output sums over: input channels of its group times kernel size.

    >>> layer = fan_in_normal_(nn.Conv2d(8, 8, 3, groups=2), gain=3.0)     # fan_in = 4 * 9, std = 3 / 6
    >>> abs(layer.weight.std().item() - 0.5) < 0.15
    True
    """
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(layer.weight[0].numel()))
    return _zero_bias(layer)


def _zero_bias(layer: L) -> L:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
