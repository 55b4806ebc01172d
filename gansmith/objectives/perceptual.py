"""Losses and a distance over the outputs of a frozen network: alike to what it sees, not pixel by pixel.

How large they are, and what they take for alike, is the network's affair: a weight or a value found with one network
means nothing with another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
"""Of the outputs of `pyramid_l1`, from fine to coarse."""

RESCALE = 1 / 12.75
"""By which `content_mse` multiplies its outputs."""


class Perceptual(Protocol):
    """A frozen network with named outputs, as `gansmith.perceptual.perceptual` gives.

    Args:
        pyramid: outputs from fine to coarse for `pyramid_l1`, at most five.
        spaces: the same for `lpips_form`.
        deep: the last activation.
        raw: the same before its activation function.
        name: of the network.
    """

    pyramid: tuple[str, ...]
    spaces: tuple[str, ...]
    deep: str
    raw: str
    name: str

    @property
    def identity(self) -> str:
        """What a protocol calls it: name, version and weights."""

    @property
    def device(self) -> torch.device:
        """Where it computes."""

    def __call__(self, x: Tensor, taps: Sequence[str], /) -> tuple[Tensor, ...]:
        """Images (N, C, H, W) in [-1, 1] -> those outputs, (N, C', H', W') each, float32."""
        ...


def pyramid_l1(phi: Perceptual, fake: Tensor, real: Tensor) -> Tensor:
    """Sum over `phi.pyramid` of w_k E|phi_k(fake) - phi_k(real)|, w from 1/32 for the finest of five to 1.

    With VGG-19's relu1_1 to relu5_1 it is pix2pixHD's perceptual loss, there times 10. Of fewer outputs, too, the
    coarsest has weight 1.

    Args:
        fake, real: (N, C, H, W) in [-1, 1]; no gradient reaches `real`.

    Returns:
        Scalar in the unit of the activations.

    Source: Wang et al. 2018, arXiv:1711.11585, section 3.4; the weights from NVIDIA/pix2pixHD.
    """
    pairs = _outputs(phi, fake, real, phi.pyramid)
    weights = WEIGHTS[len(WEIGHTS) - len(phi.pyramid) :]
    return torch.stack([w * (a - b).abs().mean() for w, (a, b) in zip(weights, pairs, strict=True)]).sum()


def content_mse(phi: Perceptual, fake: Tensor, real: Tensor) -> Tensor:
    """E((phi(fake) - phi(real)) / 12.75)^2 of the last activation: SRGAN's content loss with VGG-19's relu5_4.

    Args:
        fake, real: as `pyramid_l1`.

    Returns:
        Scalar in the unit of the activations, squared.

    Source: Ledig et al. 2017, arXiv:1609.04802, eq. 5, and section 3.2 for the factor.
    """
    ((a, b),) = _outputs(phi, fake, real, (phi.deep,))
    return (RESCALE * (a - b)).square().mean()


def content_l1(phi: Perceptual, fake: Tensor, real: Tensor) -> Tensor:
    """E|phi(fake) - phi(real)| of the last convolution before its activation: ESRGAN's with VGG-19's conv5_4.

    Args:
        fake, real: as `pyramid_l1`.

    Returns:
        Scalar in the unit of the activations.

    Source: Wang et al. 2018, arXiv:1809.00219, section 3.3; L1 and weight 1 in xinntao/BasicSR.
    """
    ((a, b),) = _outputs(phi, fake, real, (phi.raw,))
    return (a - b).abs().mean()


def lpips_form(phi: Perceptual, a: Tensor, b: Tensor, heads: Sequence[Tensor] | None = None) -> Tensor:
    """The distance of LPIPS over any network: (N,), 0 for equal images.

    At each place of each of `phi.spaces` the outputs are taken as a direction, (C,) of length 1; squared differences
    of directions are summed over channels, weighted by `heads`, averaged over places and summed over the outputs.

    It is LPIPS only over the network of LPIPS and with the heads learned for it (`gansmith.perceptual.lpips_heads`).
    Over any other network it has another scale, and is called lpips_form(NETWORK).

    Args:
        a, b: (N, C, H, W) in [-1, 1].
        heads: weights (C,), none negative, for each of `phi.spaces`; None = 1 everywhere.

    Source: Zhang et al. 2018, arXiv:1801.03924, eq. 1.
    """
    total = a.new_zeros(len(a), dtype=torch.float32)
    outputs = zip(phi(a, phi.spaces), phi(b, phi.spaces), strict=True)
    for i, (x, y) in enumerate(outputs):
        squares = (_directions(x) - _directions(y)).square()
        if heads is not None:
            squares = squares * heads[i].to(squares)[:, None, None]
        total = total + squares.sum(1).mean((1, 2))
    return total


def _outputs(phi: Perceptual, fake: Tensor, real: Tensor, taps: tuple[str, ...]) -> list[tuple[Tensor, Tensor]]:
    with torch.no_grad():
        wanted = phi(real, taps)
    return list(zip(phi(fake, taps), wanted, strict=True))


def _directions(x: Tensor) -> Tensor:
    """x (N, C, H, W) with channels of length 1 at every place; places of zeros stay zeros, and have a gradient of 0."""
    squares = x.square().sum(1, keepdim=True)
    return x * torch.where(squares > 0, squares, torch.inf).rsqrt()
