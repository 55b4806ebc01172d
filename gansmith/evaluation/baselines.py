"""What translations are held against: doing nothing, enlarging by a fixed filter, and the most alike training pair."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features.resize import resize
from gansmith.evaluation.neighbours import nearest

GREY = (0.299, 0.587, 0.114)  # of red, green and blue, as in Pillow


def identity(inputs: Tensor, shape: Sequence[int]) -> Tensor:
    """The inputs themselves as outputs: what doing nothing scores.

    Args:
        inputs: (N, C, H, W) in [-1, 1], C 1 or 3.
        shape: (C', H', W') of an output. Another size is reached as in `bicubic`, grey by weights of the colours, and
            colour by repeating grey.

    Raises:
        GansmithError: other channels.

    >>> identity(torch.tensor([[[[1.0]], [[0.0]], [[0.0]]]]), (1, 1, 1))
    tensor([[[[0.2990]]]])
    """
    channels, height, width = shape
    if inputs.ndim != 4 or inputs.shape[1] not in (1, 3) or channels not in (1, 3):
        raise GansmithError(f"Inputs of shape {tuple(inputs.shape)} cannot stand for outputs of {tuple(shape)}.")
    if inputs.shape[1] == 3 and channels == 1:
        inputs = (inputs * torch.tensor(GREY, device=inputs.device)[:, None, None]).sum(1, keepdim=True)
    return resize(inputs.expand(-1, channels, -1, -1), (height, width), "bicubic").clamp(-1, 1)


def bicubic(inputs: Tensor, scale: int) -> Tensor:
    """The inputs (N, C, H, W) enlarged to (N, C, scale H, scale W), clipped to [-1, 1]; Keys' filter with a = -0.5."""
    return identity(inputs, (inputs.shape[1], scale * inputs.shape[2], scale * inputs.shape[3]))


def nearest_neighbour(inputs: Tensor, train_inputs: Tensor, train_targets: Tensor) -> Tensor:
    """For each input the target of that training input which is nearest to it (Euclidean over pixels).

    Args:
        inputs: (N, C, H, W).
        train_inputs, train_targets: (M, C, H, W) and (M, C', H', W'), pairs.

    Raises:
        GansmithError: unlike sizes or counts.

    >>> black, white = -torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2)
    >>> torch.equal(nearest_neighbour(0.2 * white, torch.cat([black, white]), torch.cat([white, black])), black)
    True
    """
    if len(train_inputs) != len(train_targets):
        raise GansmithError(
            f"There are {len(train_inputs)} training inputs and {len(train_targets)} targets: give pairs."
        )
    return train_targets[nearest(inputs, train_inputs, 1).indices[:, 0].to(train_targets.device)]
