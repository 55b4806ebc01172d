"""Convolutions whose weights are scaled for each sample by a style, and divided by their norm afterwards.

With style s (N, a) sample n is convolved with w' = s_ni w_oi, divided by |w'_o| when demodulated. As a convolution is
linear this equals scaling what goes in by s and what comes out by d = 1 / |w'_o|, around one convolution for all:

    by_weights        N filters, as one convolution in N groups:        memory N * a * b * k^2
    by_activations    x * s, convolution, * d:                          two passes more over the activations

Which of them is taken, FORM says. 1x1 convolutions, such as to RGB, scale their weights and are one matrix product a
sample, so that no scaled copy of the activations is written.

Doubling the resolution is a transposed convolution of stride 2 and the filter [1, 3, 3, 1] behind it: 9 products a
pixel of the small image, where upsampling first takes 36 and one 6x6 kernel with the filter folded in takes 36 too.
The transposed convolution gives one row and column of zeros more, which the filter leaves out: with even sizes its
bfloat16 forward is faster on CPUs.

Styles and demodulation are computed in float32, also under bfloat16 autocast: they are small, and the sum of squares
over thousands of weights would lose digits that every pixel of a map shares. The activations that they multiply stay
in their own type.

Source: Karras et al. 2020, arXiv:1912.04958, section 2.2, eq. 1 to 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nn.equalised import EqualisedLinear
from gansmith.nn.precision import wide
from gansmith.nn.resample import BinomialFilter

EPS = 1e-8
"""Added to the squared norm of the weights."""

Blur = Callable[[Tensor], Tensor]


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    bias: Tensor | None = None,
    demodulate: bool = True,
    blur: Blur | None = None,
    gain: float = 1.0,
) -> Tensor:
    """x (N, a, H, W) convolved with weights of its own for each sample: (N, b, H, W), or (N, b, 2H, 2W) with `blur`.

    Zeros beyond the border.

    Args:
        weight: (b, a, k, k), k odd; with `blur` as transposed convolutions have it, (a, b, 3, 3).
        style: (N, a), float32 or wider.
        bias: (b,), added to the result.
        demodulate: divide each filter of each sample by its norm.
        blur: the filter behind a transposed convolution: `BinomialFilter(1, gain=4, tail=1)`.
        gain: multiplies the result before the bias.

    >>> x, weight = torch.ones(1, 2, 1, 1), torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    >>> style = torch.tensor([[1.0, 1.0]])                                  # (3 + 4) / 5, whatever the style's size
    >>> [modulated_conv2d(x, weight, k * style).round(decimals=4).item() for k in (1.0, 10.0)]
    [1.4, 1.4]
    """
    form = by_weights if weight.shape[-1] == 1 else FORM.get(x.device.type, by_activations)
    return form(x, weight, style, bias, demodulate, blur, gain)


def by_weights(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    bias: Tensor | None = None,
    demodulate: bool = True,
    blur: Blur | None = None,
    gain: float = 1.0,
) -> Tensor:
    """`modulated_conv2d` with a filter for each sample: a convolution in N groups, or for 1x1 a batch of matrix
    products."""
    up = blur is not None
    n, a, height, width = x.shape
    with torch.autocast(x.device.type, enabled=False):
        scale = gain * style
        w = wide(weight) * (scale[:, :, None, None, None] if up else scale[:, None, :, None, None])
        if demodulate:
            d = demodulation(weight, style, up)
            w = w * (d[:, None, :, None, None] if up else d[:, :, None, None, None])
        w = w.to(x.dtype)
    if w.shape[-1] == 1 and not up:
        y = torch.bmm(x.flatten(2).transpose(1, 2), w.flatten(2).transpose(1, 2))  # pixels times filters
        y = y.transpose(1, 2).unflatten(2, (height, width))
    else:
        grouped = x.reshape(1, n * a, height, width)
        y = _convolve(grouped, w.flatten(0, 1), blur, n)
        y = y.view(n, -1, *y.shape[2:])
    return y if bias is None else y + bias.to(y.dtype).view(-1, 1, 1)


def by_activations(
    x: Tensor,
    weight: Tensor,
    style: Tensor,
    bias: Tensor | None = None,
    demodulate: bool = True,
    blur: Blur | None = None,
    gain: float = 1.0,
) -> Tensor:
    """`modulated_conv2d` with one convolution for all samples: input scaled by the style, output demodulated."""
    scale = style if demodulate else gain * style
    y = _convolve(x * scale.to(x.dtype)[:, :, None, None], weight, blur)
    shift = None if bias is None else bias.to(y.dtype).view(1, -1, 1, 1)
    if not demodulate:
        return y if shift is None else y + shift
    d = (gain * demodulation(weight, style, blur is not None)).to(y.dtype)[:, :, None, None]
    return y * d if shift is None else torch.addcmul(shift, y, d)


FORM: Mapping[str, Callable[..., Tensor]] = {"cpu": by_activations, "cuda": by_activations}
"""The faster form of each kind of device for training (benchmarks/modulated.py)."""


def demodulation(weight: Tensor, style: Tensor, up: bool = False) -> Tensor:
    """1 / |w'_o| of each sample's filters (N, b), float32 or wider.

    Args:
        weight: (b, a, k, k), or with `up` (a, b, k, k).
        style: (N, a).

    >>> demodulation(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.ones(1, 2)).round(decimals=4).tolist()
    [[0.2]]
    """
    with torch.autocast(style.device.type, enabled=False):
        w = wide(weight)
        squares = (w * w).sum((2, 3))  # the gradient of Tensor.square is slower
        return (wide(style).square() @ (squares if up else squares.T) + EPS).rsqrt()


def _convolve(x: Tensor, weight: Tensor, blur: Blur | None, groups: int = 1) -> Tensor:
    """An ordinary convolution, or a transposed one of stride 2 with the filter behind it."""
    if blur is None:
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
    return blur(F.conv_transpose2d(x, weight, stride=2, output_padding=1, groups=groups))


class ModulatedConv2d(nn.Module):
    """x (N, a, H, W), w (N, w_dim) -> (N, b, H, W), or twice the size: the style is an affine map of w.

    Args:
        a, b: channels of input and output.
        kernel: side of the filter, odd; 3 when the size doubles.
        w_dim: size of w.
        demodulate: divide each filter of each sample by its norm; otherwise by sqrt(a * kernel^2).
        up: double the size.
        gain: multiplies the result before the bias.

    The affine map's bias starts at 1, so that at first the style leaves the weights nearly as they are.
    """

    def __init__(
        self, a: int, b: int, kernel: int, w_dim: int, demodulate: bool = True, up: bool = False, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.affine = EqualisedLinear(w_dim, a, bias=1.0)
        self.weight = nn.Parameter(torch.randn(*((a, b) if up else (b, a)), kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(b))
        self.blur = BinomialFilter(1, gain=4.0, tail=1) if up else None
        self.demodulate, self.gain = demodulate, gain if demodulate else gain / sqrt(a * kernel**2)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            style = wide(self.affine(w.to(self.affine.weight.dtype)))
        return modulated_conv2d(x, self.weight, style, self.bias, self.demodulate, self.blur, self.gain)

    def extra_repr(self) -> str:
        return f"weight={tuple(self.weight.shape)}, demodulate={self.demodulate}, gain={self.gain:.4g}"
