"""The contract between a GAN and the engine.

A recipe is a frozen dataclass: its fields are the paper's hyperparameters, its `round` is the
paper's algorithm box, written as a generator function. Each time somebody moves, the round yields
`(player, terms)`; the engine differentiates the summed terms with respect to that player's
parameters only, steps that player's optimizer, and lets the next line run.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, get_args, get_origin, get_type_hints

import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError, did_you_mean

Nets = nn.ModuleDict
"""Every piece of state lives here, as a parameter or a buffer: a checkpoint is nets + optimizers + clock."""

Terms = dict[str, Tensor]
"""Named scalar losses, already weighted; the engine sums them, differentiates the sum and logs each."""

Optim = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]


def adam(lr: float, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8, weight_decay: float = 0.0) -> Optim:
    """How to make a fused Adam (one pass over memory instead of about ten)."""
    return partial(torch.optim.Adam, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, fused=True)


def rmsprop(lr: float, alpha: float = 0.99) -> Optim:
    """How to make an RMSProp without momentum."""
    return partial(torch.optim.RMSprop, lr=lr, alpha=alpha)


def sgd(lr: float, momentum: float = 0.0) -> Optim:
    """How to make a stochastic gradient descent with optional momentum."""
    return partial(torch.optim.SGD, lr=lr, momentum=momentum)


@dataclass(frozen=True)
class Player:
    """Who learns: a name, the nets it owns, and how to make its optimizer (made when it first moves).

    `options` are written into the optimizer's parameter groups before this move: a learning-rate
    schedule is `options={"lr": ...}` computed from the clock. A curriculum is a player with another
    name, whose optimizer starts fresh.
    """

    name: str
    nets: tuple[str, ...]
    optim: Optim
    options: Mapping[str, Any] = field(default_factory=dict)


Move = tuple[Player, Terms]


@dataclass
class Clock:
    """How far the game is: rounds played, real samples seen, and the share of the budget spent (0 to 1)."""

    round: int = 0
    seen: int = 0
    progress: float = 0.0

    def linear(self, start: float, end: float) -> float:
        """A schedule: from `start` to `end` in a straight line over the budget."""
        return start + (end - start) * self.progress

    def cosine(self, start: float, end: float, share: float = 1.0) -> float:
        """A schedule: from `start` to `end` along half a cosine over the first `share` of the budget, then `end`."""
        done = min(self.progress / share, 1.0)
        return end + (start - end) * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class DataSpec:
    """What the data are, as far as a recipe must know.

    Args:
        name: the data's name, for messages.
        kind: "image" (samples C H W in [-1, 1]) or "points" (samples D, about unit scale).
        shape: of one sample, (C, H, W) or (D,).
        count: training samples; 0 = drawn fresh without end (the exactly known sets).
        fields: what can be drawn, "x" always, "y" (int64 labels) when there are classes, "tokens" (int64, each 0 to
            len(words) - 1) when there are captions.
        classes: class names, in the order of the labels.
        words: what the tokens stand for; 0 is padding, written "", and 1 any unknown word, written "?".
        length: tokens of a caption, 1 to 64, shorter ones padded at their end; 0 without captions.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    count: int = 0
    fields: tuple[str, ...] = ("x",)
    classes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    length: int = 0


class Data(Protocol):
    """Draws real samples: `data(n)` is a tensor (N, ...) on the device, or a tuple of them in the order of the
    recipe's `draws`. `n` counts this process's samples; every call moves on in the shuffled data."""

    def __call__(self, n: int) -> Any: ...


class Setting(NamedTuple):
    """An automatic value for a field, and the reason that is printed beside it."""

    value: Any
    reason: str


@dataclass(frozen=True, kw_only=True)
class Recipe(ABC):
    """A GAN: hyperparameters, networks and the algorithm box. Final: no recipe subclasses another.

    Args:
        batch: real samples a move, over all processes together.
        samples: the budget, in real samples drawn, all draws of a round counted.
        ema_half_life: of the averaged generator, in ksamples; 0 switches the average off.
    """

    kinds: ClassVar[tuple[str, ...]] = ("image", "points")
    draws: ClassVar[tuple[str, ...]] = ("x",)
    averaged: ClassVar[tuple[str, ...]] = ()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}

    batch: int = 64
    samples: int = 1_000_000
    ema_half_life: float = 10.0

    def __post_init__(self) -> None:
        """Refuse values out of range: unknown words, counts below 1, numbers below 0, not finite, outside `ranges`."""
        for name, hint in get_type_hints(type(self)).items():
            if get_origin(hint) is Literal and (value := getattr(self, name)) not in get_args(hint):
                known = [str(word) for word in get_args(hint)]
                raise GansmithError(
                    f'{name} = "{value}" is not known: use {", ".join(known)}.{did_you_mean(str(value), known)}'
                )
        for f in fields(self):
            value = getattr(self, f.name)
            for v in value if isinstance(value, tuple) else (value,):
                if isinstance(v, bool) or not isinstance(v, (int, float)):
                    continue
                low, high = self.ranges.get(f.name, (0.0 if "float" in str(f.type) else 1, math.inf))
                if not (low <= v <= high) or not math.isfinite(v):
                    valid = f"between {low} and {high}" if math.isfinite(high) else f"a finite number of at least {low}"
                    raise GansmithError(f"{f.name} = {v} is out of range: give {valid}.")

    @abstractmethod
    def build(self, data: DataSpec) -> Nets:
        """The networks for these data, freshly initialised from torch's global random state."""

    @abstractmethod
    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        """Play one round: yield (player, terms) for each move, in the paper's order."""

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        """Automatic values for fields that the user did not set, each with its reason."""
        return {}

    def check(self, data: DataSpec) -> None:
        """Refuse data that this recipe cannot learn, in one sentence, before any training."""
        name = type(self).__name__
        if data.kind not in self.kinds:
            raise GansmithError(
                f"{name} learns {' or '.join(self.kinds)} data, but {data.name} holds {data.kind} data."
            )
        missing = [f for f in self.draws if f not in data.fields]
        if missing:
            raise GansmithError(
                f"{name} needs {', '.join(missing)} with every sample, which {data.name} does not have."
            )

    def half_life(self, clock: Clock) -> float:
        """Half-life of the averaged nets now, in samples: short at first, so that early grids show more than noise."""
        return min(1000 * self.ema_half_life, 0.05 * clock.seen)

    def shard(self, world: int) -> Self:
        """The same game for one of `world` processes: each draws its share of the global batch."""
        if self.batch % world:
            raise GansmithError(
                f"batch = {self.batch} does not divide over {world} processes: choose a multiple of {world}."
            )
        return replace(self, batch=self.batch // world)


@dataclass(frozen=True, kw_only=True)
class Generates:
    """Ability: latents -> samples. By default standard normal latents (N, z_dim) and the network "G".

    Evaluation, explorer and export ask `isinstance(recipe, Generates)`, never for a recipe's name.

    Args:
        z_dim: size of the latent.
    """

    averaged: ClassVar[tuple[str, ...]] = ("G",)

    z_dim: int = 128

    def draw_latents(
        self, n: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents z (N, z_dim) from the prior."""
        return torch.randn(n, self.z_dim, device=device, generator=generator)

    def generate(self, nets: Nets, z: Tensor) -> Tensor:
        """Samples (N, ...) from latents z (N, z_dim); images in about [-1, 1]."""
        return nets["G"](z)  # type: ignore[no-any-return]


@dataclass(frozen=True, kw_only=True)
class Discriminates:
    """Ability: samples -> logits of the network `critic`. The doctor asks for it, to see what that makes of samples."""

    critic: ClassVar[str] = "D"

    def logits(self, nets: Nets, x: Tensor) -> Tensor:
        """Logits (N,) of samples x (N, ...): higher for what D takes to be real."""
        logits: Tensor = nets[self.critic](x)
        return logits
