"""Two ways downhill for many rows at once, each row on its own: Adam with noise, and a quasi-Newton method.

Both say by `ask` where to look next, and are told the cost and its gradient there: a step is one look at every row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Inside = Callable[[Tensor], Tensor]
"""Rows (N, R, D) -> the nearest ones that are allowed."""

LR, BETAS, EPS = 0.1, (0.9, 0.999), 1e-8
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps in which the step size rises, and falls
NOISE, QUIET = 0.05, 0.75  # standard deviation of the noise at first, and the share of the steps after which it is 0

PAIRS = 10  # moves that the quasi-Newton method remembers
FIRST = 0.1  # length of its first move
DECREASE = 1e-4  # share of the decrease promised by the gradient that a move must bring
SHORTEST = 1e-3  # share of a move below which it is given up


class Adam:
    """Adam for rows (N, R, D) in units of their spread, with noise on them; all rows have the same noise.

    Args:
        u: where to start.
        inside: keeps the rows where they are allowed.
        steps: that will be made, by which step size and noise fall.
        generator: draws the noise, on the CPU.

    Source: Karras et al. 2020, arXiv:1912.04958, appendix D: the schedules.
    """

    def __init__(self, u: Tensor, inside: Inside, steps: int, generator: torch.Generator) -> None:
        self.u, self.inside, self.steps, self.generator = u, inside, steps, generator
        self.mean, self.square = torch.zeros_like(u), torch.zeros_like(u)
        self.t = 0

    def ask(self) -> Tensor:
        """Rows (N, R, D) to look at."""
        drawn = torch.randn(1, *self.u.shape[1:], generator=self.generator).to(self.u)
        return self.inside(self.u + noise(self.t / self.steps) * drawn)

    def tell(self, cost: Tensor, grad: Tensor) -> None:
        """Move by the gradient (N, R, D); the cost does not matter."""
        self.t += 1
        self.mean = torch.lerp(grad, self.mean, BETAS[0])
        self.square = torch.lerp(grad.square(), self.square, BETAS[1])
        mean, square = (m / (1 - b**self.t) for m, b in zip((self.mean, self.square), BETAS, strict=True))
        self.u = self.inside(self.u - rate(self.t / self.steps) * mean / (square.sqrt() + EPS))


def rate(done: float) -> float:
    """The step size when a share `done` of the steps, this one too, is made.

    >>> [round(rate(done), 3) for done in (0.025, 0.05, 0.5, 0.875, 1)]
    [0.05, 0.1, 0.1, 0.05, 0.0]
    """
    return LR * min(1.0, done / RAMP_UP) * (0.5 - 0.5 * math.cos(math.pi * min(1.0, (1 - done) / RAMP_DOWN)))


def noise(done: float) -> float:
    """The standard deviation of the noise when a share `done` of the steps is made.

    >>> [round(noise(done), 4) for done in (0, 0.375, 0.75, 1)]
    [0.05, 0.0125, 0.0, 0.0]
    """
    return NOISE * max(0.0, 1 - done / QUIET) ** 2


class QuasiNewton:
    """L-BFGS with backtracking for rows (N, R, D), each with a memory and a step size of its own.

    A move that does not lower the cost enough is halved. When next to nothing is left of it, the memory is dropped and
    the next move follows the gradient.

    Args:
        u: where to start.
        inside: keeps the rows where they are allowed.

    Source: Nocedal & Wright 2006, Numerical Optimization, algorithms 3.1 and 7.4.
    """

    def __init__(self, u: Tensor, inside: Inside) -> None:
        self.inside, self.u, self.trial = inside, u, u
        self.cost, self.grad = u.new_full((len(u),), torch.inf), torch.zeros_like(u)
        self.way, self.share = torch.zeros_like(u), u.new_ones(len(u))
        self.moves = self.changes = u.new_zeros(PAIRS, *u.shape)  # of the rows and of the gradient, the latest last
        self.curved = u.new_zeros(PAIRS, len(u))  # 1 / their inner product, 0 = nothing remembered

    def ask(self) -> Tensor:
        """Rows (N, R, D) to look at."""
        return self.trial

    def tell(self, cost: Tensor, grad: Tensor) -> None:
        """Judge the move to where we looked by the cost (N,), and plan the next by the gradient (N, R, D) there."""
        move, change = self.trial - self.u, grad - self.grad
        promised = inner(self.grad, move)
        first = self.cost.isinf()
        fine = first | ((promised < 0) & (cost <= self.cost + DECREASE * promised))
        self._remember(fine & ~first, move, change)
        self.u, self.grad = (
            torch.where(_wide(fine, move), self.trial, self.u),
            torch.where(_wide(fine, move), grad, self.grad),
        )
        self.cost = torch.where(fine, cost, self.cost)
        self.share = torch.where(fine, 1.0, self.share / 2)
        lost = self.share < SHORTEST
        self.curved, self.share = torch.where(lost, 0.0, self.curved), torch.where(lost, 1.0, self.share)
        self.way = torch.where(_wide(fine | lost, move), -self._scaled(), self.way)
        self.trial = self.inside(self.u + _wide(self.share, move) * self.way)

    def _remember(self, fine: Tensor, move: Tensor, change: Tensor) -> None:
        """Keep the moves that were fine and along which the gradient grew, as a convex cost's does."""
        product = inner(move, change)
        fine = fine & (product > 1e-8 * (inner(move, move) * inner(change, change)).sqrt())
        for name, new in (("moves", move), ("changes", change), ("curved", 1 / product)):
            old: Tensor = getattr(self, name)
            setattr(self, name, torch.where(_wide(fine, new), torch.cat([old[1:], new[None]]), old))

    def _scaled(self) -> Tensor:
        """The gradient times the inverse Hessian that the memory tells of; without memory, `FIRST` long."""
        way, memory = self.grad, list(zip(self.moves, self.changes, self.curved, strict=True))
        parts = []
        for move, change, curved in reversed(memory):
            parts.append(curved * inner(move, way))
            way = way - _wide(parts[-1], way) * change
        move, change, curved = memory[-1]
        scale = inner(move, change) / inner(change, change).clamp_min(1e-30)
        plain = FIRST / inner(way, way).sqrt().clamp_min(1e-12)
        way = way * _wide(torch.where(curved > 0, scale, plain), way)
        for (move, change, curved), part in zip(memory, reversed(parts), strict=True):
            way = way + _wide(part - curved * inner(change, way), way) * move
        return way


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner products (N,) of rows a and b (N, ...)."""
    return (a * b).flatten(1).sum(1)


def _wide(x: Tensor, to: Tensor) -> Tensor:
    """One number for each row (N,) in a shape that broadcasts to rows (N, ...)."""
    return x.reshape(-1, *[1] * (to.ndim - 1))
