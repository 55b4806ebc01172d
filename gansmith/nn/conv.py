"""A convolution with a fast double backward, for discriminators under a gradient penalty."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function


class PenalisedConv2d(nn.Conv2d):
    """nn.Conv2d (zero padding, dilation 1) with the same values and gradients, but a faster double backward.

    A convolution is bilinear, so its derivatives of any order are convolutions, input gradients and weight gradients.
    PyTorch writes the weight gradient of a double backward as a convolution by an image-sized kernel, in a loop with
    copies over the groups. Here it is the routine of the first backward. CPU seconds of a whole R3GAN step with
    R1 + R2 (28 px, widths 128, 96, 64, batch 64, 16 channels a group, one thread) against nn.Conv2d: 0.67 in float32,
    0.65 in bfloat16. A step without penalty takes 1.05 times as long, and small dense nets gain nothing: use it for
    grouped convolutions in a D whose steps have a penalty. Not for torch.func transforms.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        assert isinstance(self.padding, tuple) and self.dilation == (1, 1) and self.padding_mode == "zeros"
        return _conv2d(input, weight, bias, _Geometry(self.stride, self.padding, self.groups))


class _Geometry(NamedTuple):
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    groups: int


def _conv2d(x: Tensor, weight: Tensor, bias: Tensor | None, geometry: _Geometry) -> Tensor:
    """x * weight + bias. Gradients to x and to the parameters are two nodes of the graph, joined without cost.

    So autograd runs only the one that is asked for, as it does for the built-in convolution: in G's move no weight
    gradient of D is computed.
    """
    if not torch.is_grad_enabled():
        return F.conv2d(x, weight, bias, geometry.stride, geometry.padding, 1, geometry.groups)
    if torch.is_autocast_enabled(x.device.type):
        dtype = torch.get_autocast_dtype(x.device.type)
        x, weight, bias = x.to(dtype), weight.to(dtype), None if bias is None else bias.to(dtype)
    constants = weight.detach(), None if bias is None else bias.detach()
    y = _OfInput.apply(x, *constants, (weight,), geometry)
    return _Join.apply(y, _OfParameters.apply(y.detach(), weight, bias, (x,), geometry))


class _OfInput(Function):
    """The convolution as a function of x alone. The tuple hides the live weight from autograd, but the gradient that
    `backward` returns depends on it again."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, live: tuple[Tensor], geometry: _Geometry
    ) -> Tensor:
        ctx.save_for_backward(x, *live)
        ctx.geometry = geometry
        return F.conv2d(x, weight, bias, geometry.stride, geometry.padding, 1, geometry.groups)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        return _InputGradient.apply(grads[0], weight, x.detach(), ctx.geometry), None, None, None, None


class _OfParameters(Function):
    """Stands for the convolution as a function of its parameters alone: the value is nothing, the gradient is right."""

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, weight: Tensor, bias: Tensor | None, live: tuple[Tensor], geometry: _Geometry
    ) -> Tensor:
        ctx.save_for_backward(*live, weight)
        ctx.geometry = geometry
        return y.new_zeros(()).expand(y.shape)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        bias = grads[0].sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return None, _WeightGradient.apply(grads[0], x, weight.detach(), ctx.geometry), bias, None, None


class _Join(Function):
    """The first argument, with the gradient going to both."""

    @staticmethod
    def forward(ctx: Any, y: Tensor, nothing: Tensor) -> Tensor:
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        return grads[0], grads[0]


class _InputGradient(Function):
    """(dL/dy, weight) -> dL/dx; of x only shape and memory format count."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, weight: Tensor, x: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(dy, weight, x)
        ctx.geometry = geometry
        return _gradients(dy, x, weight, geometry, (True, False, False))[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy, weight, _ = ctx.saved_tensors
        ddy = _conv2d(grads[0], weight, None, ctx.geometry)
        return ddy, _WeightGradient.apply(dy, grads[0], weight.detach(), ctx.geometry), None, None


class _WeightGradient(Function):
    """(dL/dy, x) -> dL/dweight; of the weight only the shape counts."""

    @staticmethod
    def forward(ctx: Any, dy: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry) -> Tensor:
        ctx.save_for_backward(dy, x)
        ctx.geometry = geometry
        return _gradients(dy, x, weight, geometry, (False, True, False))[1]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dy, x = ctx.saved_tensors
        ddy = _conv2d(x, grads[0], None, ctx.geometry)
        return ddy, _InputGradient.apply(dy, grads[0], x.detach(), ctx.geometry), None, None


def _gradients(
    dy: Tensor, x: Tensor, weight: Tensor, geometry: _Geometry, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, ...]:
    stride, padding, groups = geometry
    return torch.ops.aten.convolution_backward(
        dy, x, weight, None, stride, padding, (1, 1), False, (0, 0), groups, wanted
    )
