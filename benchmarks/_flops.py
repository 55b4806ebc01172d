"""Counts the floating-point operations that really run, through single and double backward and grouped convolutions.

torch's own FlopCounterMode fails on double backward and counts the backward of grouped convolutions as if they were
dense; the formulas behind it are used here for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import conv_flop_count, flop_registry

BACKWARD = torch.ops.aten.convolution_backward


class FlopCounter(TorchDispatchMode):
    """Adds up, in `total`, multiplications and additions of matrix products and convolutions (not of elementwise work).

    >>> with FlopCounter() as counter:
    ...     _ = torch.ones(2, 3) @ torch.ones(3, 5)                    # 2 * 2 * 3 * 5
    >>> counter.total
    60
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        packet = func._overloadpacket
        if packet == BACKWARD:
            self.total += _convolution_backward(args)
        elif packet in flop_registry:
            self.total += flop_registry[packet](*args, **(kwargs or {}), out_val=out)
        return out


def _convolution_backward(args: Any) -> int:
    """Each of the two gradients costs what the forward costs, with groups too."""
    grad, x, weight, transposed, mask = args[0], args[1], args[2], args[7], args[10]
    return sum(mask[:2]) * conv_flop_count(x.shape, weight.shape, grad.shape, transposed)


def count(call: Callable[[], Any]) -> int:
    """Floating-point operations of one call."""
    with FlopCounter() as counter:
        call()
    return counter.total


def convolutions(batch: int) -> dict[str, Callable[[str], Callable[[], Tensor]]]:
    """Forward convolutions that are among the quickest on CPUs: name -> (precision -> call), channels_last."""
    shapes = {
        "conv 3x3, 64 channels, 64 px": (64, 64, 64, 3, 1),
        "conv 3x3, 256 channels, 16 px": (256, 256, 16, 3, 1),
        "conv 3x3, 512 channels, 8 px": (512, 512, 8, 3, 1),
        "conv 4x4 stride 2, 64 to 128 channels, 32 px": (64, 128, 32, 4, 2),
    }
    return {name: lambda precision, s=s: _convolution(batch, *s, precision=precision) for name, s in shapes.items()}


def _convolution(
    batch: int, a: int, b: int, side: int, kernel: int, stride: int, precision: str
) -> Callable[[], Tensor]:
    dtype = {"32": torch.float32, "bf16": torch.bfloat16}[precision]
    layer = torch.nn.Conv2d(a, b, kernel, stride, 1, bias=False).requires_grad_(False)
    layer = layer.to(dtype=dtype, memory_format=torch.channels_last)
    x = torch.randn(batch, a, side, side, dtype=dtype).contiguous(memory_format=torch.channels_last)
    return lambda: layer(x)
