"""Constraints and penalties on weights, and on the size of the scores."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError


@torch.no_grad()
def clip_weights_(module: nn.Module, c: float) -> None:
    """Clip every parameter to [-c, c] in place: weights, biases, and the scales and shifts of normalisation layers.

    Args:
        module: the critic.
        c: the bound, above 0; 0.01 in the paper.

    Raises:
        GansmithError: c is not above 0.

    Source: Arjovsky et al. 2017, arXiv:1701.07875, algorithm 1: after each critic step (released code: before).

    >>> net = nn.Linear(2, 2); clip_weights_(net, 0.01); bool(net.weight.abs().max() <= 0.01)
    True
    """
    if not c > 0:
        raise GansmithError(
            f"A weight clip of {c} would leave nothing of the critic: give a number above 0, such as 0.01."
        )
    for parameter in module.parameters():
        parameter.clamp_(-c, c)


def orthogonal(weights: nn.Module | Iterable[Tensor], off_diagonal: bool = True) -> Tensor:
    """How far rows of weight matrices are from orthogonal: sum over matrices of ||W W^T o (1 - I)||_F^2.

    Each weight is taken as a matrix of its first dimension against all others. Computed without autocast. The
    gradient is 4 ((W W^T) o (1 - I)) W per matrix; the released BigGAN code adds half of that times its strength.

    Args:
        weights: a module, of which all parameters of two dimensions or more count, or the tensors themselves
            (to leave out a shared embedding, as the released code does).
        off_diagonal: True: only the angles between rows count, their lengths are free (BigGAN); False: the full
            ||W W^T - I||_F^2, which also wants unit rows.

    Returns:
        Scalar, without its weight (1e-4 in the paper).

    Raises:
        GansmithError: nothing of two dimensions or more was given.

    Source: Brock et al. 2019, arXiv:1809.11096, eq. 3 (off-diagonal) and eq. 2 (full).

    >>> w = torch.tensor([[2.0, 0.0], [1.0, 0.0]])                     # W W^T = [[4, 2], [2, 1]]
    >>> orthogonal([w]), orthogonal([w], off_diagonal=False)           # 2^2 + 2^2; and 3^2 + 2^2 + 2^2 + 0^2
    (tensor(8.), tensor(17.))
    """
    tensors = weights.parameters() if isinstance(weights, nn.Module) else weights
    parts = [_gram_distance(w, off_diagonal) for w in tensors if w.ndim > 1]
    if not parts:
        raise GansmithError(
            "orthogonal() got no weight of two dimensions or more: give a module or tensors that have some."
        )
    return torch.stack(parts).sum()


def drift(real_logits: Tensor) -> Tensor:
    """E a(x)^2 on real scores: keeps a critic, whose loss fixes no offset, from wandering.

    Args:
        real_logits: scores of real samples (N, ...).

    Returns:
        Scalar, logits squared, without its weight (0.001 in the paper).

    Source: Karras et al. 2018, arXiv:1710.10196, appendix A.1.

    >>> drift(torch.tensor([1.0, 3.0]))
    tensor(5.)
    """
    return real_logits.to(torch.promote_types(real_logits.dtype, torch.float32)).square().mean()


def _gram_distance(weight: Tensor, off_diagonal: bool) -> Tensor:
    """||W W^T o (1 - I)||_F^2 or ||W W^T - I||_F^2; of a tall W by way of the smaller W^T W, whose norm is the same."""
    rows = weight.flatten(1)
    n, columns = rows.shape
    with torch.autocast(rows.device.type, enabled=False):
        gram = rows @ rows.T if n <= columns else rows.T @ rows
    if n > columns:
        lengths = rows.square().sum(1)  # the diagonal of W W^T
        return gram.square().sum() - (lengths.square().sum() if off_diagonal else 2 * lengths.sum() - n)
    identity = torch.eye(n, dtype=rows.dtype, device=rows.device)
    rest = gram * (1 - identity) if off_diagonal else gram - identity
    return rest.square().sum()
