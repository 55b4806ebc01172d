"""Plays the rounds of a recipe: one move at a time, each player's gradients for its own parameters only."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from gansmith import augmenting, helpers
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Terms
from gansmith.errors import GansmithError


class Feed(Data, Protocol):
    """Real samples in an order that is a function of the position.

    `seen` counts them over all processes, `waited` the seconds that drawing took."""

    seen: int
    waited: float

    def seek(self, seen: int) -> None: ...


class Diverged(Exception):
    """A term, a gradient or a tensor of the state is not finite: the message names it."""


def seed_everywhere(*key: int) -> None:
    """Seed torch on every device from integers: randomness is a function of the key, never of the past."""
    seed = int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


class Game:
    """The state of a training and the rules by which it moves on.

    State is the nets, their averages, one optimizer a player and the clock, nothing else; the random numbers of a
    round are a function of (seed, round, rank, retries), so a game restored from a checkpoint plays on bit for bit.

    Args:
        recipe: already narrowed to this process's share of the batch (`recipe.shard`).
        spec: what the data are.
        feed: real samples.
        seed: of the initial weights and all random draws.
        device: where the nets live.
        cast: makes the context in which the recipe's forward passes run (mixed precision).
        average: averages a flat gradient over processes; None when there is one process.
        rank: of this process.
        channels_last: keep 4-D weights in the layout that convolutions prefer.
    """

    def __init__(
        self,
        recipe: Recipe,
        spec: DataSpec,
        feed: Feed,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        cast: Callable[[], AbstractContextManager[Any]] = nullcontext,
        average: Callable[[Tensor], Tensor] | None = None,
        rank: int = 0,
        channels_last: bool = False,
    ) -> None:
        self.recipe, self.spec, self.feed, self.seed, self.rank = recipe, spec, feed, seed, rank
        self.device, self.cast, self.average = torch.device(device), cast, average
        _ = self.part  # refuses a number of parts that does not divide the batch
        self.clock, self.retries, self.lr_scale = Clock(), 0, 1.0
        self.optims: dict[str, torch.optim.Optimizer] = {}
        self.owners: dict[str, tuple[str, ...]] = {}
        self.waiting: dict[str, dict[str, Tensor]] = {}  # optimizer states of players that have yet to move
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.pacing = False  # whether the next round measures its strides
        self.strides: dict[str, float] = {}  # by net, see `stride`
        self.doubts: dict[tuple[str, ...], Tensor] = {}  # by the names of a move's values
        seed_everywhere(seed)
        nets = helpers.assemble(recipe, spec).to(self.device)
        self.nets: Nets = nets.to(memory_format=torch.channels_last) if channels_last else nets  # type: ignore[call-overload]
        self.nets.train()
        self.ema = Nets({k: copy.deepcopy(self.nets[k]) for k in recipe.averaged})
        self.ema.eval().requires_grad_(False)

    # -- playing

    @property
    def part(self) -> Recipe:
        """The recipe for one of the parts that a batch is played in (`accumulate`)."""
        parts = self.recipe.accumulate
        return self.recipe if parts == 1 else self.recipe.shard(parts, "parts (accumulate)")

    def play(self, only: str | None = None) -> None:
        """Play one round; with `only`, nobody moves but the players of that net.

        Raises Diverged on the first term or gradient that is not finite."""
        seed_everywhere(self.seed, self.clock.round, self.rank, self.retries)
        self.feed.seek(self.clock.seen)
        part = self.part
        first, *rest = (helpers.play(part, self.nets, self.feed, self.clock) for _ in range(self.recipe.accumulate))
        while (move := self._next(first)) is not None:
            player, terms = move
            if only is None or only in player.nets:
                self._step(player, terms, rest)
            else:
                self._record(player.name, {k: v.detach().float() for k, v in terms.items()}, {})
                for moves in rest:
                    self._next(moves)
        self.pacing = False
        drawn = self.feed.seen - self.clock.seen
        augmenting.adapt(self.recipe, self.nets, drawn, self.average)
        self._average_nets(drawn)
        self.clock.round += 1
        self.clock.seen = self.feed.seen

    def _next(self, moves: Iterator[tuple[Player, Terms]]) -> tuple[Player, Terms] | None:
        with self.cast():
            return next(moves, None)

    def _step(self, player: Player, terms: Terms, rest: Sequence[Iterator[Move]]) -> None:
        """One move: the gradient of the summed terms for the mover's own parameters, then its optimizer's step.

        `rest` are the other parts of the batch, each at the same move: gradients and terms are means over all parts."""
        owned = {n: [p for p in self.nets[n].parameters() if p.requires_grad] for n in player.nets}
        params = [p for own in owned.values() for p in own]
        optim = self._optim(player, params)
        optim.zero_grad(set_to_none=True)
        terms = _backward(terms, params, 1 + len(rest))
        for moves in rest:
            more = self._next(moves)
            assert more is not None and more[0].name == player.name, "every part of a batch plays the same moves"
            found = _backward(more[1], params, 1 + len(rest))
            terms = {k: terms[k] + found[k] for k in terms}
        if self.average is not None:
            terms = self._share(params, terms)
        norms = {n: self._norm([p.grad for p in own if p.grad is not None]) for n, own in owned.items()}
        self._record(player.name, terms, norms)
        before = {n: [p.detach().clone() for p in own] for n, own in owned.items()} if self.pacing else {}
        optim.step()
        self.strides |= {n: stride(old, owned[n]) for n, old in before.items()}
        optim.zero_grad(set_to_none=True)

    def _optim(self, player: Player, params: list[nn.Parameter]) -> torch.optim.Optimizer:
        """The player's optimizer, made when it first moves; its options are set for this move."""
        optim = self.optims.get(player.key)
        if optim is None:
            self._leave_other_stages(player)
            optim = self.optims[player.key] = player.optim(params)
            self.owners[player.key] = player.nets
            for group in optim.param_groups:
                group["base_lr"] = group["lr"]
            self._fill(player.key, self.waiting.pop(player.key, {}))
        if self.owners[player.key] != player.nets:
            raise GansmithError(
                f"Player {player.key} owned {self.owners[player.key]}, now {player.nets}: give it another name."
            )
        for group in optim.param_groups:
            group.update(player.options)
            group["lr"] = player.options.get("lr", group["base_lr"]) * self.lr_scale
        return optim

    def _leave_other_stages(self, player: Player) -> None:
        """Drop the optimizers that the player had in other stages: none of them moves again."""
        for kept in (self.optims, self.owners, self.waiting):
            for key in [k for k in kept if k.partition("@")[0] == player.name and k != player.key]:
                del kept[key]

    def _share(self, params: list[nn.Parameter], terms: Terms) -> Terms:
        """Average gradients and terms over processes, in one flat all-reduce a move: right for any number of forward
        passes and for double backward, and every process sees the same NaN."""
        assert self.average is not None
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in params]
        used = torch.tensor([float(p.grad is not None) for p in params], device=self.device)
        flat = self.average(torch.cat([*(g.flatten() for g in grads), used, torch.stack(list(terms.values()))]))
        sizes = [*(g.numel() for g in grads), len(used), len(terms)]
        *parts, used, means = torch.split_with_sizes(flat, sizes)
        for i, (p, grad, part) in enumerate(zip(params, grads, parts, strict=True)):
            if p.grad is not None or used[i] > 0:  # a parameter that no process used stays without a gradient
                p.grad = grad.copy_(part.view(p.shape))
        return dict(zip(terms, means, strict=True))

    def _average_nets(self, drawn: int) -> None:
        """Move the averaged nets towards the trained ones; buffers (running statistics) are copied."""
        half_life = self.recipe.half_life(self.clock)
        decay = 0.5 ** (drawn / half_life) if half_life > 0 else 0.0
        for name, slow in self.ema.items():
            fast = self.nets[name]
            with torch.no_grad():
                get_ema_multi_avg_fn(decay)(list(slow.parameters()), list(fast.parameters()), 1)  # type: ignore[no-untyped-call]
                for a, b in zip(slow.buffers(), fast.buffers(), strict=True):
                    a.copy_(b)

    # -- watching

    def _norm(self, grads: list[Tensor]) -> Tensor:
        """The Euclidean norm of all gradients of a net together."""
        return nn.utils.get_total_norm(grads) if grads else torch.zeros((), device=self.device)

    def _record(self, player: str, terms: Terms, norms: dict[str, Tensor]) -> None:
        """Add the move to the running means, and look for values that are not finite.

        On the CPU a look is free and comes before the step. On an accelerator it would stall the device, so doubts
        are kept there and settled before anything is written (`settle`)."""
        named = {f"{player}/{k}": v for k, v in terms.items()}
        named |= {f"{player}/grad_norm_{n}": v for n, v in norms.items()}
        names, values = tuple(named), torch.stack(list(named.values()))
        if self.device.type == "cpu":
            _refuse(names, values)
        elif names not in self.doubts:
            self.doubts[names] = values.clone()
        else:  # NaN and Inf survive: 0 * value is NaN for both
            self.doubts[names].add_(0 * values)
        for name, value in zip(names, values, strict=True):
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1

    def settle(self) -> None:
        """Raise Diverged if a move since the last call, or anything that a checkpoint would hold, was not finite."""
        for names, values in self.doubts.items():
            _refuse(names, values)
        self.doubts.clear()
        nets, optims, _ = self.state()
        tensors = {k: v for k, v in (nets | optims).items() if v.is_floating_point()}
        finite = torch.stack([torch.isfinite(v).all().to(self.device) for v in tensors.values()])
        if not finite.all():
            raise Diverged(f"{list(tensors)[int((~finite).int().argmax())]} is not finite")

    def means(self) -> dict[str, float]:
        """The mean of every term and gradient norm since the last call, keyed "player/term"; figures of helpers."""
        out = {k: float(v) / self.counts[k] for k, v in self.sums.items()}
        self.sums, self.counts = {}, {}
        return out | augmenting.figures(self.recipe, self.nets)

    # -- state

    def state(self) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
        """(nets, optimizers, the rest): all that a checkpoint holds."""
        nets = self.nets.state_dict() | {f"ema.{k}": v for k, v in self.ema.state_dict().items()}
        optims = {f"{player}|{k}": v for player, part in self.waiting.items() for k, v in part.items()}
        for player, optim in self.optims.items():
            for key, p in self._parameters(player):
                optims |= {f"{player}|{key}|{k}": v for k, v in optim.state.get(p, {}).items() if torch.is_tensor(v)}
        rest = {
            "round": self.clock.round,
            "seen": self.clock.seen,
            "progress": self.clock.progress,
            "retries": self.retries,
            "lr_scale": self.lr_scale,
        }
        return nets, optims, rest

    def restore(self, nets: dict[str, Tensor], optims: dict[str, Tensor], rest: dict[str, Any], path: Path) -> None:
        """Become the game whose `state` was read from `path`. Raises GansmithError for a tensor that does not fit."""
        split = {k.removeprefix("ema."): v for k, v in nets.items() if k.startswith("ema.")}
        fit(self.nets, {k: v for k, v in nets.items() if not k.startswith("ema.")}, path)
        fit(self.ema, split, path)
        self.optims, self.owners, self.waiting = {}, {}, {}
        parameters = dict(self.nets.named_parameters())
        for name, tensor in optims.items():
            player, key = name.split("|", 1)
            owner = parameters.get(key.rpartition("|")[0])
            if owner is None or (tensor.ndim and tensor.shape != owner.shape):
                raise GansmithError(
                    f"{path} holds an optimizer state {name} of shape {tuple(tensor.shape)} that fits no parameter: it "
                    "was written by another recipe or with other fields; use that run's own."
                )
            self.waiting.setdefault(player, {})[key] = tensor
        self.clock = Clock(int(rest["round"]), int(rest["seen"]), float(rest["progress"]))
        self.retries, self.lr_scale = int(rest["retries"]), float(rest["lr_scale"])
        self.sums, self.counts, self.doubts = {}, {}, {}

    def _parameters(self, player: str) -> list[tuple[str, nn.Parameter]]:
        return [
            (f"{n}.{k}", p) for n in self.owners[player] for k, p in self.nets[n].named_parameters() if p.requires_grad
        ]

    def _fill(self, player: str, saved: dict[str, Tensor]) -> None:
        """Put a saved state into a fresh optimizer, each tensor in the memory layout of its parameter."""
        if not saved:
            return
        optim = self.optims[player]
        state: dict[int, dict[str, Tensor]] = {}
        for i, (key, p) in enumerate(self._parameters(player)):
            for name in (n for n in saved if n.rsplit("|", 1)[0] == key):
                value = saved[name]
                value = torch.empty_like(p).copy_(value) if value.ndim else value.clone()
                state.setdefault(i, {})[name.rsplit("|", 1)[1]] = value
        optim.load_state_dict(optim.state_dict() | {"state": state})


def _backward(terms: Terms, params: list[nn.Parameter], parts: int) -> Terms:
    """Add the gradient of the summed terms, over `parts`, to those parameters; the terms, over `parts`."""
    total: Any = sum(terms.values())
    torch.autograd.backward(total / parts if parts > 1 else total, inputs=params)
    return {k: v.detach().float() / parts for k, v in terms.items()}


def stride(old: list[Tensor], new: list[nn.Parameter]) -> float:
    """How far a step moved the parameters of a net, as a share of their Euclidean norm before it; 0 without any."""
    if not old:
        return 0.0
    with torch.no_grad():
        moved = nn.utils.get_total_norm([b - a for a, b in zip(old, new, strict=True)])
    return float(moved / nn.utils.get_total_norm(old).clamp_min(1e-12))


def _refuse(names: tuple[str, ...], values: Tensor) -> None:
    finite = torch.isfinite(values)
    if not finite.all():
        i = int((~finite).int().argmax())
        player, _, what = names[i].partition("/")
        raise Diverged(f"player {player}: {what} is {float(values[i])}")


def fit(nets: nn.Module, saved: dict[str, Tensor], path: Path) -> None:
    """Load tensors by name, refusing the first that is missing, left over or of another shape."""
    own = nets.state_dict()
    for name in sorted(own.keys() ^ saved.keys()):
        what = f"lacks {name}" if name in own else f"holds {name}, which the recipe does not build"
        raise GansmithError(
            f"{path} {what}: it was written by another recipe or with other fields; use that run's own."
        )
    for name, tensor in own.items():
        if tensor.shape != saved[name].shape:
            raise GansmithError(
                f"{path} holds {name} of shape {tuple(saved[name].shape)}, "
                f"but the recipe builds {tuple(tensor.shape)}: "
                "it was written by another recipe or with other fields; use that run's own."
            )
    nets.load_state_dict(saved)
