"""Penalties on the gradient of the logits with respect to samples, without their weights.

Each norm is of one sample's gradient over all its entries (C, H, W together); the mean over the batch comes last.
Logits may be (N,), (N, 1) or (N, ...) (a map of patches is summed per sample). D must treat samples one by one: with
BatchNorm in D the gradient of one sample's score holds the others too, and these penalties are not what they say.
All need double backward through D.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean

Score = Callable[[Tensor], Tensor]
"""Maps samples (N, ...) to logits (N,) or (N, 1); close over labels and augmentation."""


def gradient_square(logits: Tensor, x: Tensor) -> Tensor:
    """E ||grad_x a(x)||^2 from a forward pass that was made anyway, so that R1 costs no second one.

    Args:
        logits: scores D(x) (N, ...), not detached.
        x: the samples (N, ...) that gave them; `x.requires_grad_()` must come before the forward pass.

    Returns:
        Scalar, mean over N. Unit: (logit per sample unit)^2.

    Raises:
        GansmithError: the logits do not depend on x, or x did not require gradients.

    Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 9 and 10.

    >>> x, w = torch.randn(8, 2, requires_grad=True), torch.tensor([3.0, 4.0])
    >>> gradient_square(x @ w, x)                                      # 3^2 + 4^2
    tensor(25.)
    """
    return _squared_norms(logits, x).mean()


def r1(D: Score, real: Tensor) -> Tensor:
    """Zero-centred gradient penalty on real samples, without its weight.

    R1 = E_x ||grad_x D(x)||^2; the usual loss adds `gamma / 2 * r1`. (The GAN_stability code leaves out the 1/2:
    its `reg_param` 10 is gamma = 20.) Where D scores the reals anyway, `gradient_square` saves a forward pass.

    Args:
        D: maps samples (N, ...) to logits (N,) or (N, 1); close over labels and augmentation.
        real: (N, ...); detached inside, so no gradient reaches a generator.

    Returns:
        Scalar, mean over N. Unit: (logit per sample unit)^2, so gamma depends on range and size.

    Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 9.

    >>> w = torch.tensor([3.0, 4.0]); r1(lambda x: x @ w, torch.randn(8, 2))   # 3^2 + 4^2
    tensor(25.)
    """
    x = real.detach().requires_grad_()
    return gradient_square(D(x), x)


def r2(D: Score, fake: Tensor) -> Tensor:
    """Zero-centred gradient penalty on fakes: `r1` at the generator's samples, without its weight gamma / 2.

    Args:
        D: maps samples (N, ...) to logits (N,) or (N, 1).
        fake: (N, ...); detached inside.

    Returns:
        Scalar, mean over N. Unit: (logit per sample unit)^2.

    Source: Mescheder et al. 2018, arXiv:1801.04406, eq. 10.

    >>> w = torch.tensor([3.0, 4.0]); r2(lambda x: x @ w, torch.randn(8, 2))
    tensor(25.)
    """
    return r1(D, fake)


def wgan_gp(D: Score, real: Tensor, fake: Tensor, one_sided: bool = False, target: float = 1.0) -> Tensor:
    """E (||grad a(x)|| - target)^2 at random points between reals and fakes, one mixing share per sample.

    Args:
        D: maps samples (N, ...) to logits (N,) or (N, 1); no BatchNorm.
        real: (N, ...); detached inside.
        fake: the same shape; detached inside.
        one_sided: penalise only slopes above the target.
        target: the wanted slope, logits per sample unit, at least 0.

    Returns:
        Scalar, mean over N, without its weight (10 in the paper).

    Raises:
        GansmithError: real and fake differ in shape.

    Source: Gulrajani et al. 2017, arXiv:1704.00028, eq. 3 and algorithm 1; one-sided: its section 4.

    >>> w = torch.tensor([3.0, 4.0]); wgan_gp(lambda x: x @ w, torch.randn(8, 2), torch.randn(8, 2))   # (5 - 1)^2
    tensor(16.)
    """
    if real.shape != fake.shape:
        shapes = f"{tuple(real.shape)} and {tuple(fake.shape)}"
        raise GansmithError(
            f"wgan_gp mixes reals with fakes one by one, but their shapes are {shapes}: make them equal."
        )
    x = _between(real.detach(), fake.detach()).requires_grad_()
    gap = _norms(D(x), x) - target
    return (gap.relu() if one_sided else gap).square().mean()


def dragan(D: Score, real: Tensor, k: float = 1.0, noise: str = "uniform", scale: float = 0.5) -> Tensor:
    """E (||grad a(x + delta)|| - k)^2 at noisy real samples, without its weight (10 in the paper).

    Args:
        D: maps samples (N, ...) to logits (N,) or (N, 1); no BatchNorm.
        real: (N, ...); detached inside.
        k: the wanted slope, logits per sample unit, at least 0.
        noise: "uniform", as the released code does it: x + scale * std * U(0, 1) per entry (never negative), then
            a random point between that and x, one share per sample; "gaussian", as the paper has it: x plus normal
            noise of standard deviation scale * std.
        scale: of the noise, in units of std, the standard deviation of all entries of the batch; at least 0.

    Returns:
        Scalar, mean over N.

    Raises:
        GansmithError: unknown noise.

    Source: Kodali et al. 2017, arXiv:1705.07215; uniform noise: the authors' released notebook.

    >>> w = torch.tensor([3.0, 4.0]); dragan(lambda x: x @ w, torch.randn(8, 2))   # (5 - 1)^2
    tensor(16.)
    """
    real = real.detach()
    spread = scale * real.std(correction=0)
    if noise == "uniform":
        x = _between(real, real + spread * torch.rand_like(real))
    elif noise == "gaussian":
        x = real + spread * torch.randn_like(real)
    else:
        hint = did_you_mean(noise, ("uniform", "gaussian"))
        raise GansmithError(f'Unknown DRAGAN noise "{noise}": use "uniform" or "gaussian".{hint}')
    x.requires_grad_()
    return (_norms(D(x), x) - k).square().mean()


def _between(a: Tensor, b: Tensor) -> Tensor:
    """A random point on the segment from a to b, one share per sample."""
    share = torch.rand((a.shape[0],) + (1,) * (a.ndim - 1), dtype=a.dtype, device=a.device)
    return a + share * (b - a)


def _norms(logits: Tensor, x: Tensor) -> Tensor:
    """||grad|| per sample (N,); the 1e-12 keeps the square root's own gradient finite at 0."""
    return torch.sqrt(_squared_norms(logits, x) + 1e-12)


def _squared_norms(logits: Tensor, x: Tensor) -> Tensor:
    """||grad_x logits||^2 per sample (N,), summed (not averaged) over the batch before the gradient is taken.

    Where D judges m samples together (N / m logits), they count as one: (N / m,)."""
    gradient = None
    if x.requires_grad and logits.requires_grad:
        (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True, allow_unused=True)
    if gradient is None:
        raise GansmithError(
            "A gradient penalty needs logits that depend on x: call x.requires_grad_() before D(x), outside no_grad."
        )
    gradient = gradient.to(torch.promote_types(gradient.dtype, torch.float32))
    return gradient.reshape(min(len(logits), len(x)), -1).square().sum(1)
