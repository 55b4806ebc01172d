"""The contract between a GAN and the engine.

A recipe is a frozen dataclass: its fields are the paper's hyperparameters, its `round` is the
paper's algorithm box, written as a generator function. Each time somebody moves, the round yields
`(player, terms)`; the engine differentiates the summed terms with respect to that player's
parameters only, steps that player's optimizer, and lets the next line run.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

RANGES: Mapping[str, tuple[float, float]] = {
    "dropout_g": (0.0, 0.9),
    "smoothing": (0.0, 0.5),
    "label_flips": (0.0, 0.5),
    "augment_p": (0.0, 1.0),
    "augment_ksamples": (0.001, math.inf),
    "augment_ceiling": (0.0, 1.0),
}
"""Of the fields that all recipes share; a recipe's own `ranges` come before them."""

SIDES: Mapping[str, str] = {
    "pairs": "pairs: subfolders A and B with files of the same names, a CSV file with columns a and b, "
    "--side-by-side AB, or --degrade on single images",
    "domains": "two domains: subfolders A and B",
}
"""Kinds of data with two sides, and how they are given."""


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
    schedule is `options={"lr": ...}` computed from the clock. A curriculum is a player whose `stage`
    changes: at its first move in another stage the old optimizer is dropped and a fresh one made.
    """

    name: str
    nets: tuple[str, ...]
    optim: Optim
    options: Mapping[str, Any] = field(default_factory=dict)
    stage: str = ""

    @property
    def key(self) -> str:
        """What its optimizer is kept under."""
        return f"{self.name}@{self.stage}" if self.stage else self.name


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
        kind: "image" (samples C H W in [-1, 1]), "points" (samples D, about unit scale), "pairs" (images of A and B
            that belong together) or "domains" (images of A and of B, without partners).
        shape: of one sample, (C, H, W) or (D,); of two sides that of A.
        count: training samples; 0 = drawn fresh without end (the exactly known sets); of domains those of the smaller.
        fields: what can be drawn: of two sides "a" and "b"; else "x" always, "y" (int64 labels) when there are classes,
            "some_y" instead when only some samples have labels (-1 for the others), "tokens" (int64, each 0 to
            len(words) - 1) when there are captions.
        classes: class names, in the order of the labels.
        words: what the tokens stand for; 0 is padding, written "", and 1 any unknown word, written "?".
        length: tokens of a caption, 1 to 64, shorter ones padded at their end; 0 without captions.
        counts: training samples known to be of each class; empty where they are not known.
        target: of two sides, the shape of an image of B; else empty.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    count: int = 0
    fields: tuple[str, ...] = ("x",)
    classes: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    length: int = 0
    counts: tuple[int, ...] = ()
    target: tuple[int, ...] = ()

    def has(self, field: str) -> bool:
        """Whether a field can be drawn; labels of all samples are labels of some, too."""
        return field in self.fields or (field == "some_y" and "y" in self.fields)


class Data(Protocol):
    """Draws real samples: `data(n)` is a tensor (N, ...) on the device, or a tuple of them in the order of the
    recipe's `draws`. `n` counts this process's samples; every call moves on in the shuffled data."""

    def __call__(self, n: int) -> Any: ...

    def labelled(self, n: int, per_class: int) -> tuple[Tensor, Tensor]:
        """n samples (N, ...) and their labels (N,) of a fixed part of the data that holds `per_class` of each class.

        Which those are, the seed decides; 0 takes all that have labels. They are not counted as seen."""
        ...


class Setting(NamedTuple):
    """An automatic value for a field, and the reason that is printed beside it."""

    value: Any
    reason: str


class Stage(NamedTuple):
    """A part of the training that costs otherwise than the rest.

    Args:
        seen: the first sample that lies within it.
        text: what is done in it and what that costs, for people.
    """

    seen: int
    text: str


@dataclass(frozen=True, kw_only=True)
class Helpers:
    """Tricks of the trade that any recipe can switch on; `gansmith.helpers` does what they say.

    Args:
        feature_matching: weight of |E f(x) - E f(G(z))|^2 in G's cost, f the last hidden features of D
            (arXiv:1606.03498); 0 is off.
        instance_noise: standard deviation of normal noise on all that D sees, falling to 0 over the training
            (Sonderby et al. 2017, arXiv:1610.04490).
        historical_averaging: weight of |p - mean of p so far|^2 in every player's cost, p its parameters
            (arXiv:1606.03498); 0 is off.
        pack: samples that D judges together (PacGAN, arXiv:1712.04086); 1 is off.
        virtual_batch_norm: BatchNorm in G takes its statistics from a fixed batch of latents and the sample itself
            (arXiv:1606.03498).
        dropout_g: share of G's hidden activations that are dropped in training; samples are drawn without.
        label_flips: share of the real and of the generated samples that D's cost takes for the other kind.
        augment: change all images that D sees, for small data sets: "ada" (arXiv:2006.06676: pixels, geometry,
            colours), "ada-full" (its other transformations as well), "diffaugment" (arXiv:2006.10738) or "none".
        augment_p: fixed chance of each of ada's transformations; by default it follows how far D over-fits.
        augment_ksamples: real samples in thousands in which that chance can go from 0 to 1.
        augment_ceiling: that chance goes no higher.
    """

    feature_matching: float = 0.0
    instance_noise: float = 0.0
    historical_averaging: float = 0.0
    pack: int = 1
    virtual_batch_norm: bool = False
    dropout_g: float = 0.0
    label_flips: float = 0.0
    augment: Literal["none", "ada", "ada-full", "diffaugment"] = "none"
    augment_p: float | None = None
    augment_ksamples: float = 500.0
    augment_ceiling: float = 0.85

    def flipped(self, real_logits: Tensor, fake_logits: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N,) of real and of generated samples for D's cost, a share `label_flips` of them exchanged."""
        if not self.label_flips:
            return real_logits, fake_logits
        n = min(len(real_logits), len(fake_logits))
        flip = torch.rand(n, device=real_logits.device) < self.label_flips
        a, b = real_logits[:n], fake_logits[:n]
        real = torch.cat([torch.where(flip, b, a), real_logits[n:]])
        return real, torch.cat([torch.where(flip, a, b), fake_logits[n:]])


@dataclass(frozen=True, kw_only=True)
class Recipe(Helpers, ABC):
    """A GAN: hyperparameters, networks and the algorithm box. Final: no recipe subclasses another.

    Args:
        batch: real samples a move, over all processes together.
        samples: the budget, in real samples drawn, all draws of a round counted.
        ema_half_life: of the averaged generator, in ksamples; 0 switches the average off.
        accumulate: parts into which each move's batch is cut, played one after the other: less memory, the same
            gradient where samples of a batch do not see each other (BatchNorm and the like see their part only).
        recompute: what residual blocks compute inside is not kept for the backward pass but computed again: less
            memory, about a third more time, the same results (arXiv:1604.06174).
    """

    kinds: ClassVar[tuple[str, ...]] = ("image", "points")
    draws: ClassVar[tuple[str, ...]] = ("x",)
    needs: ClassVar[tuple[str, ...]] = ()
    averaged: ClassVar[tuple[str, ...]] = ()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}

    batch: int = 64
    samples: int = 1_000_000
    ema_half_life: float = 10.0
    accumulate: int = 1
    recompute: bool = False

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
                low, high = {**RANGES, **self.ranges}.get(f.name, (0.0 if "float" in str(f.type) else 1, math.inf))
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

    @classmethod
    def bound(cls, data: DataSpec) -> dict[str, Setting]:
        """Values that the data alone decide, with a preset or without."""
        return {}

    def check(self, data: DataSpec) -> None:
        """Refuse data that this recipe cannot learn, in one sentence, before any training."""
        name = type(self).__name__
        if data.kind not in self.kinds:
            raise GansmithError(f"{name} {_other_kind(self.kinds, data)}")
        missing = [f for f in (*self.draws, *self.needs) if not data.has(f)]
        if missing:
            how = "labels: sort the images into a folder for each class, or give --labels FILE.csv"
            if "some_y" in data.fields:
                raise GansmithError(f"{name} needs a label for every sample; {data.name} has some without.")
            told = {
                "y": how,
                "some_y": f"{how}; what has no label goes into a folder, or class, named unlabelled",
                "tokens": "captions: put a text file beside each image, or give --captions FILE.csv",
            }
            raise GansmithError(f"{name} needs {told.get(missing[0], ', '.join(missing))}; {data.name} has none.")

    def pretrained(self) -> dict[str, str]:
        """Networks that the rounds use and no checkpoint holds, each with the SHA-256 of its file; none by default.

        Asked before a training, whose run.yaml keeps the answer: a run goes on only with the same files."""
        return {}

    def stages(self, data: DataSpec, samples: int | None) -> list[Stage]:
        """The parts of the training that differ in cost, in order; none by default: every round costs the same.

        Args:
            samples: the budget; None = it is given in minutes.
        """
        return []

    def half_life(self, clock: Clock) -> float:
        """Half-life of the averaged nets now, in samples: short at first, so that early grids show more than noise."""
        return min(1000 * self.ema_half_life, 0.05 * clock.seen)

    def shard(self, world: int, what: str = "processes") -> Self:
        """The same game for one of `world` processes or parts: each draws its share of the batch."""
        if self.batch % world:
            raise GansmithError(
                f"batch = {self.batch} does not divide over {world} {what}: choose a multiple of {world}."
            )
        return replace(self, batch=self.batch // world)


def _other_kind(kinds: Sequence[str], data: DataSpec) -> str:
    """What a recipe that learns these kinds of data needs instead of the data at hand."""
    held = {"pairs": "pairs of images", "domains": "two domains without partners", "image": "single images"}
    if two := [SIDES[kind] for kind in kinds if kind in SIDES]:
        also = " (say pairs = false)" * (data.kind == "pairs")
        return f"needs {'; or '.join(two)}{also}; {data.name} holds {held.get(data.kind, data.kind)}."
    one = f"{held[data.kind]}: give the images of one side by themselves" if data.target else f"{data.kind} data"
    return f"learns {' or '.join(kinds)} data, but {data.name} holds {one}."
