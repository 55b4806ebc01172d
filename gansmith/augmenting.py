"""Augmentation of what D sees: which one the fields `augment...` ask for, and how ada's strength follows D."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gansmith.abilities import Conditioned, Discriminates, one_hot
from gansmith.core import Clock, DataSpec, Helpers, Nets, Recipe
from gansmith.errors import GansmithError
from gansmith.nn.augment import AdaptiveAugment, DiffAugment

ADA = ("ada", "ada-full")
OF_ADA = ("augment_ceiling", "augment_ksamples", "augment_p")

LOOK_EVERY = 4
"""Rounds from one look at the signs of D's logits, and one step of p, to the next."""


def refuse(recipe: Recipe, data: DataSpec) -> None:
    """Say what of the augmentation's fields does not fit these data, this recipe, or each other."""
    how, alone = recipe.augment, [name for name in OF_ADA if getattr(recipe, name) != getattr(Helpers, name)]
    if alone and how not in ADA:
        raise GansmithError(f"{alone[0]} is of augment = ada, but augment is {how}: leave it out.")
    if recipe.augment_p is not None and len(alone) > 1:
        raise GansmithError(f"{alone[0]} has no effect on a fixed augment_p: leave one of the two out.")
    if how == "none":
        return
    if data.kind != "image":
        raise GansmithError(f"augment = {how} changes images, but {data.name} holds {data.kind} data: leave it out.")
    if how in ADA and (data.shape[0] not in (1, 3) or data.shape[1] != data.shape[2]):
        raise GansmithError(
            f"augment = {how} knows square grey or colour images, but those of {data.name} are {data.shape}: "
            "use augment = diffaugment."
        )
    if how in ADA and recipe.augment_p is None and isinstance(recipe, Discriminates) and recipe.boundary is None:
        raise GansmithError(
            f"augment = {how} follows the sign of D's logits, which means nothing in {type(recipe).__name__}, where "
            "only differences of logits count: fix its strength (augment_p = 0.3), or use augment = diffaugment."
        )


def augmentation(recipe: Recipe) -> nn.Module | None:
    """What samples go through on their way to D."""
    if recipe.augment in ADA:
        full = recipe.augment == "ada-full"
        return AdaptiveAugment(full, recipe.augment_p, recipe.augment_ksamples, recipe.augment_ceiling)
    return DiffAugment() if recipe.augment == "diffaugment" else None


def adaptive(recipe: Recipe, nets: Nets) -> AdaptiveAugment | None:
    """The augmentation whose strength follows D, if this recipe has one."""
    if recipe.augment not in ADA or recipe.augment_p is not None or not isinstance(recipe, Discriminates):
        return None
    judge: Any = nets[recipe.critic]
    found: AdaptiveAugment = judge.augment
    return found


def started(recipe: Recipe, nets: Nets, clock: Clock) -> AdaptiveAugment | None:
    """Before a round: the adaptive augmentation, if it is to be shown the signs of D's logits in this round."""
    ada = adaptive(recipe, nets)
    if ada is None:
        return None
    ada.look = None
    return ada if (clock.round + 1) % LOOK_EVERY == 0 else None


@torch.no_grad()
def mean_sign(recipe: Recipe, nets: Nets, real: tuple[Tensor, ...] | None) -> Tensor:
    """How many more of the real samples D takes for real than for generated, as a share of them: scalar, -1 to 1.

    One more call of D in four rounds. The logits of D's move cannot be had: what D returns, and what a sample goes
    through before, is each recipe's own, and only its ability `logits` gives one number for a sample.

    Args:
        real: what the recipe drew for D's move, in the order of its `draws`.
    """
    assert isinstance(recipe, Discriminates) and recipe.boundary is not None and real is not None
    cond = one_hot(real[1], recipe.labels) if isinstance(recipe, Conditioned) else None
    logits = recipe.logits(nets, real[0].detach(), cond).float()
    return torch.sign(logits - recipe.boundary).mean()


def adapt(recipe: Recipe, nets: Nets, drawn: int, average: Callable[[Tensor], Tensor] | None = None) -> None:
    """After a round: let an adaptive augmentation follow D.

    Args:
        drawn: real samples of that round, over all processes.
        average: over processes, so that all keep the same p.
    """
    ada = adaptive(recipe, nets)
    if ada is None:
        return
    ada.drawn.add_(drawn)
    if ada.look is not None:
        ada.adapt(ada.look if average is None else average(ada.look.reshape(1))[0])


def figures(recipe: Recipe, nets: Nets) -> dict[str, float]:
    """For the records: the strength p of an adaptive augmentation, and r, the mean sign that it follows."""
    ada = adaptive(recipe, nets)
    return {} if ada is None else {"augment/p": float(ada.p), "augment/r": float(ada.r)}
