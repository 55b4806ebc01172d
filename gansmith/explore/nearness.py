"""How far images are from a target: in pixels, and in what a network makes of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.abilities import Conditioned, Discriminates
from gansmith.core import Nets
from gansmith.errors import GansmithError, did_you_mean
from gansmith.evaluation.features import Extractor
from gansmith.explore.readers import has_weight
from gansmith.explore.space import Space

Distance = Literal["D", "pixels"] | Extractor
Look = Callable[[Tensor], list[Tensor]]
"""Images (N, C, H, W) -> features, each (N, ...)."""

SCALE, SEED = 256, 2_246_822_519  # draws whose distance from each other is the unit, and their seed
GRID = 16  # feature maps are averaged to at most GRID x GRID
ALONE = 8  # images in the two batches that show whether a feature is of one image alone


class Target(NamedTuple):
    """Images (N, C, H, W) and their features, each (N, ...)."""

    pixels: Tensor
    features: list[Tensor]


@dataclass(frozen=True)
class Nearness:
    """The distance of images: 1 is that of two draws of the model, on average, and 0 that of equal ones.

    Half of it is the mean squared error of pixels, the other half that of features, the mean over their kinds; each in
    units of its mean over pairs of draws. Without features it is that of pixels alone.

    Args:
        look: gives the features, no images' depending on another's.
        pixel_unit: mean squared error of two draws.
        units: the same for each kind of features.
    """

    look: Look
    pixel_unit: float
    units: list[float]

    def target(self, images: Tensor) -> Target:
        """What others are compared to."""
        with torch.no_grad():
            return Target(images, [h.float() for h in self.look(images)])

    def __call__(self, x: Tensor, to: Target) -> Tensor:
        """Distances (N, K) of images x (N, K, C, H, W) from N targets.

        Beyond white is white where the target is white, and so with black: a target was clipped, as every picture is,
        and what made it need not have been."""
        t = to.pixels[:, None]
        x = torch.where(t >= 1, x.clamp(max=1), torch.where(t <= -1, x.clamp(min=-1), x))
        pixels = (x - t).square().flatten(2).mean(2) / self.pixel_unit
        if not self.units:
            return pixels
        found = self.look(x.flatten(0, 1))
        terms = [
            (h.float().reshape(*x.shape[:2], *h.shape[1:]) - t[:, None]).square().flatten(2).mean(2) / unit
            for h, t, unit in zip(found, to.features, self.units, strict=True)
        ]
        return (pixels + torch.stack(terms).mean(0)) / 2

    def among(self, x: Tensor, to: Target) -> Tensor:
        """Distances (N, M) of M images x (M, C, H, W), clipped, from each of N targets."""
        x = x.clamp(-1, 1)
        pixels = _between(to.pixels, x) / self.pixel_unit
        if not self.units:
            return pixels
        seen = self.target(x).features
        terms = [_between(t, h) / unit for t, h, unit in zip(to.features, seen, self.units, strict=True)]
        return (pixels + torch.stack(terms).mean(0)) / 2


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Mean squared differences (N, M) of a (N, ...) and b (M, ...)."""
    a, b = a.flatten(1).double(), b.flatten(1).double()
    found = a.square().sum(1)[:, None] - 2 * a @ b.T + b.square().sum(1)
    return (found / a.shape[1]).clamp_min(0).float()


def name(distance: Distance) -> str:
    """What a file calls it: an extractor by its name, version and weights."""
    return distance.identity if isinstance(distance, Extractor) else distance


def nearness(space: Space, distance: Distance) -> Nearness:
    """The distance for a model's images.

    Args:
        distance: "D" = the hidden layers of the model's discriminator; "pixels" = no features; or those of an
            extractor, whose rounding to 8 bits is left out, as it has no gradient.

    Raises:
        GansmithError: no such distance, a model without D, or one whose D sees several images as one.
    """
    with torch.no_grad():
        images = space.made(space.draw(SCALE, SEED).to(space.model.device)).clamp(-1, 1)
        look = _look(space, distance, images)
        units = [max(_unit(h), 1e-12) for h in look(images)]
    return Nearness(look, max(_unit(images), 1e-12), units)


def _unit(h: Tensor) -> float:
    """The mean squared difference of two rows of h (N, ...)."""
    return 2 * float(h.float().var(0).mean())


def _look(space: Space, distance: Distance, images: Tensor) -> Look:
    if isinstance(distance, Extractor):
        distance.look(images[:1])  # refuses channels that it does not take
        extractor = replace(distance, eight_bit=False)
        return lambda x: [extractor.net(extractor.prepare(x)).features.to(x.device)]
    if distance == "pixels":
        return lambda x: []
    if distance != "D":
        raise GansmithError(
            f'distance = "{distance}" is not known: give "D", "pixels" or an extractor.'
            f"{did_you_mean(str(distance), ['D', 'pixels'])}"
        )
    recipe = space.recipe
    if not isinstance(recipe, Discriminates):
        raise GansmithError(
            f'{type(recipe).__name__} has no discriminator to compare images by: give distance "pixels" or an '
            "extractor."
        )
    hidden = _hidden(recipe, space.model.nets)
    a, b = hidden(images[:ALONE]), hidden(torch.cat([images[:1], images[-ALONE + 1 :]]))
    kept = [i for i, (h, other) in enumerate(zip(a, b, strict=True)) if _alone(h, other, images)]
    if not kept:
        raise GansmithError(
            f"{type(recipe).__name__} has no features of single images: its D sees several at once. Give distance "
            '"pixels" or an extractor.'
        )

    def look(x: Tensor) -> list[Tensor]:
        found = hidden(x)
        return [_pooled(found[i]) for i in kept]

    return look


def _pooled(h: Tensor) -> Tensor:
    """Features as they are, maps averaged to at most 16 x 16, so that those of large images fit into memory."""
    return F.adaptive_avg_pool2d(h, (min(h.shape[2], GRID), min(h.shape[3], GRID))) if h.ndim == 4 else h


def _alone(h: Tensor, other: Tensor, images: Tensor) -> bool:
    """Whether h (N, ...) is no image, varies, and has the same first row beside others."""
    if len(h) != ALONE or h.shape[1:] == images.shape[1:] or not h.is_floating_point():
        return False
    same = torch.allclose(h[0], other[0], rtol=1e-3, atol=1e-4 * float(h.abs().max()))
    return same and _unit(h) > 0


def _hidden(recipe: Discriminates, nets: Nets) -> Look:
    """What the layers of D with weights read, in the order of their calls, none twice.

    By a copy of D, so that others may use the model meanwhile."""
    nets = Nets({**nets, recipe.critic: copy.deepcopy(nets[recipe.critic])})
    caught: list[Tensor] = []
    for module in nets[recipe.critic].modules():
        if has_weight(module):
            module.register_forward_pre_hook(lambda _, given: caught.append(given[0]))

    def look(x: Tensor) -> list[Tensor]:
        recipe.logits(nets, x, recipe.conditions(x, None) if isinstance(recipe, Conditioned) else None)
        found = {id(h): h for h in caught}
        caught.clear()
        return list(found.values())

    return look
