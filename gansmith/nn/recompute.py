"""Less memory for more time: the inside of a block is not kept for the backward pass, but computed again there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def recompute_(net: nn.Module) -> int:
    """Make every block of a net compute its inside again in the backward pass; how many blocks there are.

    A block is an item of an nn.Sequential or nn.ModuleList that has layers of its own, as a residual block has. Values,
    gradients of any order, random numbers and buffers are those of the plain net, bit for bit; the names of parameters
    stay. A block's forward pass is played once more in each backward pass: about a third more time.

    Source: Chen et al. 2016, arXiv:1604.06174.
    """
    found = [
        block
        for parent in net.modules()
        if isinstance(parent, (nn.Sequential, nn.ModuleList))
        for block in parent
        if any(True for _ in block.children()) and any(True for _ in block.parameters())
    ]
    outer = [b for b in found if not any(b is not other and b in set(other.modules()) for other in found)]
    for block in outer:
        block.__class__ = _recomputed(type(block))  # type: ignore[arg-type]  # classes can be hashed
    return len(outer)


@cache
def _recomputed(kind: type[nn.Module]) -> type[nn.Module]:
    """A class like this one, with a forward that keeps its input and output only."""

    def forward(self: nn.Module, *args: Any) -> Any:
        plain = partial(kind.forward, self)
        if not torch.is_grad_enabled():
            return plain(*args)
        return checkpoint(plain, *args, use_reentrant=False, context_fn=partial(_contexts, self))

    return type(kind.__name__, (kind,), {"forward": forward, "__doc__": kind.__doc__})


def _contexts(block: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    """Around the forward pass, and around each repetition of it."""
    met = _Met({}, [(m, m.cond) for m in block.modules() if hasattr(m, "cond")])
    return _first(block, met), _Again(met)


class _Met(NamedTuple):
    """What a forward pass met: the buffers that may change (checkpoints hold them; constants, such as filters, they do
    not), and labels of its BatchNorms."""

    buffers: dict[Tensor, Tensor]
    labels: list[tuple[Any, Any]]


@contextmanager
def _first(block: nn.Module, met: _Met) -> Iterator[None]:
    met.buffers.update({b: b.clone() for b in block.state_dict(keep_vars=True).values() if b in set(block.buffers())})
    yield


class _Again:
    """A repetition meets what the first pass met, and leaves what is there now (running statistics, singular vectors)
    as it is. There may be several, one for each order of derivatives, one inside the other."""

    def __init__(self, met: _Met) -> None:
        self.met, self.now = met, list[_Met]()

    def __enter__(self) -> None:
        buffers = {b: b.clone() for b in self.met.buffers}
        self.now.append(_Met(buffers, [(m, m.cond) for m, _ in self.met.labels]))
        _put(self.met)

    def __exit__(self, *error: object) -> None:
        _put(self.now.pop())


@torch.no_grad()
def _put(met: _Met) -> None:
    for buffer, value in met.buffers.items():
        buffer.copy_(value)
    for module, cond in met.labels:
        module.cond = cond
