"""The tricks of the trade, in one place: what the fields of `core.Helpers` do to the nets and the moves of a recipe.

A recipe's `build` and `round` know nothing of them. The engine asks `assemble` for the nets and `play` for the moves;
with every helper off these are the recipe's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith import augmenting
from gansmith.abilities import Conditioned, Discriminates, Generates, one_hot
from gansmith.core import Clock, Data, DataSpec, Helpers, Move, Nets, Recipe
from gansmith.errors import GansmithError
from gansmith.nn import EqualisedConv2d, EqualisedLinear, ModulatedConv2d
from gansmith.nn.recompute import recompute_
from gansmith.nn.virtual import VirtualBatch, virtual_batch_norm_

REFERENCE = 64
"""Latents that virtual batch normalisation takes its statistics from."""

PAST = "past"
"""The net that holds the mean of all parameters so far."""

WEIGHTED = (
    *(nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d),
    *(EqualisedConv2d, EqualisedLinear, ModulatedConv2d),
)
"""Layers with weights."""


def switched_on(recipe: Recipe) -> list[str]:
    """Names of the helpers that are on and work from outside the recipe."""
    return [f.name for f in fields(Helpers) if getattr(recipe, f.name) != f.default and f.name != "label_flips"]


def assemble(recipe: Recipe, data: DataSpec) -> Nets:
    """The recipe's nets, with what its helpers add.

    Raises:
        GansmithError: a helper, or `recompute`, that this recipe or its nets cannot use.
    """
    nets = recipe.build(data)
    if recipe.recompute and not sum(map(recompute_, nets.values())):
        raise GansmithError(f"recompute is for networks of blocks, and those of {type(recipe).__name__} have none.")
    on = switched_on(recipe)
    if not on:
        return nets
    _refuse(recipe, on)
    augmenting.refuse(recipe, data)
    if recipe.feature_matching and isinstance(recipe, Discriminates) and not hasattr(nets[recipe.critic], "trunk"):
        raise GansmithError(
            f"feature_matching needs a discriminator with a method trunk(x), its last hidden features; "
            f"{type(nets[recipe.critic]).__name__} has none."
        )
    if isinstance(recipe, Discriminates) and {"pack", "instance_noise", "augment"} & set(on):
        D = recipe.build(_packed(data, recipe.pack))[recipe.critic] if recipe.pack > 1 else nets[recipe.critic]
        nets[recipe.critic] = Judge(D, recipe.pack, augmenting.augmentation(recipe))
    if isinstance(recipe, Generates):
        G = recipe.generators[-1]
        if recipe.virtual_batch_norm:
            nets[G] = VirtualBatch(virtual_batch_norm_(nets[G]), recipe.draw_latents(REFERENCE))
        if recipe.dropout_g:
            _drop_hidden(nets[G], recipe.dropout_g)
    if recipe.historical_averaging:
        nets[PAST] = Past(nets)
    return nets


def play(recipe: Recipe, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
    """The moves of a round, with what the recipe's helpers add to their terms."""
    return _helped(recipe, nets, data, clock) if switched_on(recipe) else recipe.round(nets, data, clock)


def _refuse(recipe: Recipe, on: list[str]) -> None:
    """Say which helper this recipe cannot use."""
    name = type(recipe).__name__
    for_d, for_g = (
        {"pack", "instance_noise", "feature_matching", "augment"},
        {"virtual_batch_norm", "dropout_g", "feature_matching"},
    )
    if (wrong := for_d & set(on)) and not isinstance(recipe, Discriminates):
        raise GansmithError(f"{name} has no discriminator for {min(wrong)}: leave it out.")
    if (wrong := for_g & set(on)) and not isinstance(recipe, Generates):
        raise GansmithError(f"{name} has no generator from latents for {min(wrong)}: leave it out.")
    if recipe.pack > 1 and isinstance(recipe, Discriminates) and not recipe.packs:
        raise GansmithError(f"pack = {recipe.pack}: {name}'s D has more to say of each sample, so none can be packed.")
    if recipe.batch // recipe.accumulate % recipe.pack:
        share = f"batch = {recipe.batch}" + f" in {recipe.accumulate} parts" * (recipe.accumulate > 1)
        raise GansmithError(f"pack = {recipe.pack} does not divide {share}: choose a multiple as batch.")
    if recipe.accumulate > 1 and (wrong := {"feature_matching", "historical_averaging"} & set(on)):
        raise GansmithError(f"{min(wrong)} looks at whole batches, so it does not go with accumulate: leave one out.")


def _packed(data: DataSpec, m: int) -> DataSpec:
    """The same data, m samples as one of m times the channels (or numbers)."""
    first, *rest = data.shape
    return replace(data, shape=(m * first, *rest))


class Judge(nn.Module):
    """A discriminator that sees m samples as one; while it trains, each of them augmented and with noise on it.

    Logits are (N / m,): of rows 0 to m - 1, m to 2 m - 1 and so on; rows left over at the end are not judged.

    Args:
        D: for samples of m times the channels.
        pack: m.
        augment: what each sample goes through first, drawn anew at every call.

    Source: PacGAN, Lin et al. 2018, arXiv:1712.04086, section 3; instance noise, Sonderby et al. 2017,
        arXiv:1610.04490, appendix C.
    """

    level: Tensor

    def __init__(self, D: Any, pack: int = 1, augment: nn.Module | None = None) -> None:
        super().__init__()
        self.D, self.pack, self.augment = D, pack, augment
        self.register_buffer("level", torch.zeros(()))

    def forward(self, x: Tensor, *rest: Tensor) -> Any:
        return self.D(self._seen(x), *rest)

    def trunk(self, x: Tensor, *rest: Tensor) -> Tensor:
        """The last hidden features of D, one row for m samples."""
        features: Tensor = self.D.trunk(self._seen(x), *rest)
        return features

    def head(self, h: Tensor) -> Any:
        """What D's head makes of such features."""
        return self.D.head(h)

    def _seen(self, x: Tensor) -> Tensor:
        if self.training:
            x = x if self.augment is None else self.augment(x)
            x = x + self.level * torch.randn_like(x)
        if self.pack == 1:
            return x
        n = len(x) // self.pack
        return x[: n * self.pack].reshape(n, self.pack * x.shape[1], *x.shape[2:])


@contextmanager
def plain(nets: Nets) -> Iterator[None]:
    """Let D see samples as they are, without noise or augmentation; its layers stay in the mode they are in."""
    judges = [(net, net.training) for net in nets.modules() if isinstance(net, Judge)]
    try:
        for judge, _ in judges:
            judge.training = False
        yield
    finally:
        for judge, mode in judges:
            judge.training = mode


class Past(nn.Module):
    """For every net, the mean of its parameters over all moves of their owner so far, and the number of those moves.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.3.
    """

    def __init__(self, nets: Nets) -> None:
        super().__init__()
        for name, net in nets.items():
            self.register_buffer(name, torch.zeros_like(_flat(net).detach()))
            self.register_buffer(f"{name}_moves", torch.zeros(()))

    def distance(self, name: str, net: nn.Module) -> Tensor:
        """|p - mean(p_1 .. p_t)|^2 with p = p_t, the parameters now; its gradient is 2 (1 - 1/t) (p - mean)."""
        now = _flat(net)
        return (now - self._mean(name, now)).square().sum()

    @torch.no_grad()
    def add(self, name: str, now: Tensor) -> None:
        """Take parameters (flat) into the mean."""
        mean = self._mean(name, now)
        getattr(self, name).copy_(mean)
        getattr(self, f"{name}_moves").add_(1)

    def _mean(self, name: str, now: Tensor) -> Tensor:
        before: Tensor = getattr(self, name)
        moves: Tensor = getattr(self, f"{name}_moves")
        return before + (now - before) / (moves + 1)


def _flat(net: nn.Module) -> Tensor:
    """All trained parameters of a net as one vector."""
    return torch.cat([p.flatten() for p in net.parameters() if p.requires_grad])


def weighted(net: nn.Module) -> list[nn.Module]:
    """Its layers with weights, in order; what such a layer is made of does not count."""
    return [net] if isinstance(net, WEIGHTED) else [layer for child in net.children() for layer in weighted(child)]


def _drop_hidden(G: nn.Module, p: float) -> None:
    """Dropout on what each layer with weights but the first is given, in training."""
    for layer in weighted(G)[1:]:
        layer.register_forward_pre_hook(partial(_drop, p))


def _drop(p: float, layer: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (F.dropout(given[0], p, layer.training), *given[1:])


# -- a round


class _Watched:
    """Data that remember the last batch (a tuple of its fields)."""

    def __init__(self, data: Data) -> None:
        self.data = data
        self.last: tuple[Tensor, ...] | None = None

    def __call__(self, n: int) -> Any:
        batch = self.data(n)
        self.last = batch if isinstance(batch, tuple) else (batch,)
        return batch

    def labelled(self, n: int, per_class: int) -> tuple[Tensor, Tensor]:
        return self.data.labelled(n, per_class)


def _helped(recipe: Recipe, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
    """The recipe's moves with the helpers' terms."""
    watched = _Watched(data)
    if isinstance(recipe, Discriminates) and isinstance(judge := nets[recipe.critic], Judge):
        judge.level.fill_(recipe.instance_noise * (1 - clock.progress))
    past = nets[PAST] if recipe.historical_averaging else None
    ada = augmenting.started(recipe, nets, clock)
    G = recipe.generators[-1] if isinstance(recipe, Generates) else ""
    D = recipe.critic if isinstance(recipe, Discriminates) else ""
    with _outputs(nets[G] if recipe.feature_matching else None) as drawn:
        for player, terms in recipe.round(nets, watched, clock):
            extra = {}
            if ada is not None and ada.look is None and D in player.nets:  # before D learns of it
                ada.look = augmenting.mean_sign(recipe, nets, watched.last)
            if recipe.feature_matching and G in player.nets:
                extra["feature_matching"] = recipe.feature_matching * _feature_distance(
                    recipe, nets, watched, drawn[-1]
                )
            if isinstance(past, Past):
                gone = {n: (past.distance(n, nets[n]), _flat(nets[n]).detach()) for n in player.nets}
                extra["historical_averaging"] = (
                    recipe.historical_averaging * torch.stack([d for d, _ in gone.values()]).sum()
                )
            yield player, terms | extra
            if isinstance(past, Past):
                for name, (_, before) in gone.items():
                    past.add(name, before)


@contextmanager
def _outputs(G: nn.Module | None) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The latents and samples of the last call of G that gradients can flow through."""
    last: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        if made.requires_grad:
            last[:] = [(given[0], made)]

    handle = G.register_forward_hook(keep) if G is not None else None
    try:
        yield last
    finally:
        if handle is not None:
            handle.remove()


def _feature_distance(recipe: Recipe, nets: Nets, data: _Watched, drawn: tuple[Tensor, Tensor]) -> Tensor:
    """|E f(x) - E f(G(z))|^2 over the batch, f the last hidden features of D.

    Source: Salimans et al. 2016, arXiv:1606.03498, section 3.1.
    """
    assert isinstance(recipe, Discriminates)
    if data.last is None:  # G moves first
        data(recipe.batch)
        assert data.last is not None
    x, z = data.last[0].detach(), drawn[0]
    cond = fake_cond = None
    if isinstance(recipe, Conditioned):
        cond, fake_cond = one_hot(data.last[1], recipe.labels), z[:, recipe.z_dim :]
    with torch.no_grad():
        real = recipe.features(nets, x, cond).float().mean(0)
    fake = recipe.features(nets, drawn[1], fake_cond).float().mean(0)
    return (real - fake).square().sum()
