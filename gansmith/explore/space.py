"""Where a model is steered: points that make images, what lies between them, and the layers that read them.

A recipe with styles is steered in "w": a point is a style for each layer (layers, w_dim). Every other recipe is steered
in "z": a point is a latent, noise with the codes behind it. Who asks by this module never asks for a recipe's name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from gansmith.abilities import Code, Generates, Styled
from gansmith.core import DataSpec, Nets, Recipe
from gansmith.errors import GansmithError
from gansmith.explore.paths import lerp, slerp

DRAWS, UNIT_SEED = 4096, 1_140_671_485  # points whose spread is the unit, and their seed: one that nobody draws with
PARTS = ("coarse", "middle", "fine")


class Model(Protocol):
    """What is asked of a trained model; `gansmith.GAN` is one."""

    recipe: Recipe
    spec: DataSpec
    nets: Nets
    seen: int

    @property
    def device(self) -> torch.device: ...
    @property
    def codes(self) -> dict[str, Code]: ...
    def draw_latents(self, n: int, seed: int = 0, psi: float = 1.0, **codes: Any) -> Tensor: ...
    def generate(self, z: Tensor, batch: int = 64, psi: float = 1.0) -> Tensor: ...
    def synthesise(self, ws: Tensor, batch: int = 64) -> Tensor: ...


@dataclass(frozen=True)
class Space:
    """The points of a model, "z" (N, D) or "w" (N, layers, w_dim).

    Args:
        model: a trained model that generates images.
        name: "w" where the recipe has styles, otherwise "z"; None = that. "z" of a recipe with styles is its latents,
            whose images all have the same noise, so that a walk does not flicker.
        psi: truncation of the points that are drawn, 1 = none.

    Raises:
        GansmithError: the model does not generate images from latents, or has no such space.
    """

    model: Model
    name: Literal["z", "w"] | None = None
    psi: float = 1.0

    def __post_init__(self) -> None:
        """Choose the space, and refuse a model without."""
        kind = type(self.model.recipe).__name__
        if not isinstance(self.model.recipe, Generates) or self.model.spec.kind != "image":
            raise GansmithError(f"{kind} does not draw images from latents here: there is nothing to steer.")
        styled = isinstance(self.model.recipe, Styled)
        if self.name == "w" and not styled:
            raise GansmithError(f"{kind} has no styles: its space is z. stylegan and stylegan2 have the space w.")
        object.__setattr__(self, "name", self.name or ("w" if styled else "z"))
        self.recipe.truncate(torch.zeros(1, self.recipe.z_dim), self.psi)  # refuses a psi out of range

    @property
    def recipe(self) -> Generates:
        """The recipe, which generates."""
        assert isinstance(self.model.recipe, Generates)
        return self.model.recipe

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """In "w" the layers, each as 1; in "z" how many numbers of the noise enter at each depth."""
        if self.name == "w":
            G: Any = self.model.nets["G"]
            return (1,) * int(G.layers)
        return self.recipe.depths(self.model.nets)

    @property
    def layers(self) -> int:
        """Depths at which a point enters the generator; 1 where all of it enters at the start."""
        return len(self.depths)

    def draw(self, n: int, seed: int = 0, **codes: Any) -> Tensor:
        """The first n points of the row that the seed decides, truncated by psi; `codes` as in `GAN.draw_latents`."""
        return self.points(self.model.draw_latents(n, seed, self.psi, **codes))

    def points(self, z: Tensor) -> Tensor:
        """The points of latents z (N, z_dim and the codes behind); in "w" their styles, truncated."""
        if self.name == "z":
            return z
        assert isinstance(self.recipe, Styled)
        with torch.no_grad():
            z = z.to(self.model.device)
            return self.recipe.styles(self.model.nets, z, self.psi).cpu()

    def images(self, points: Tensor, batch: int = 64) -> Tensor:
        """Images (N, C, H, W) in [-1, 1], on the CPU."""
        with torch.no_grad():
            if self.name == "w":
                made = self.model.synthesise(points, batch)
            elif isinstance(self.recipe, Styled):
                ws = [self._styles(z) for z in torch.split(points.to(self.model.device), batch)]
                made = self.model.synthesise(torch.cat(ws), batch)
            else:
                made = self.model.generate(points, batch, self.psi)
        return made.clamp(-1, 1)

    def made(self, points: Tensor) -> Tensor:
        """Images (N, C, H, W) through which gradients reach the points, on the model's device, not clipped."""
        if not isinstance(self.recipe, Styled):
            return self.recipe.generate(self.model.nets, points)
        return self.recipe.synthesise(self.model.nets, points if self.name == "w" else self._styles(points))

    def _styles(self, z: Tensor) -> Tensor:
        assert isinstance(self.recipe, Styled)
        return self.recipe.styles(self.model.nets, z, self.psi)

    def between(self, a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
        """Points from a (N, ...) at t = 0 to b at t = 1, on the way that the space has.

        Normal noise goes along the sphere (`slerp`), as what lies straight between two draws is nearer to 0 than any
        draw; uniform noise, styles and codes go straight.
        """
        if self.name == "w" or self.recipe.prior != "normal":
            return lerp(a, b, t)
        cut = self.recipe.z_dim
        return torch.cat([slerp(a[:, :cut], b[:, :cut], t), lerp(a[:, cut:], b[:, cut:], t)], 1)

    def rows(self, points: Tensor) -> Tensor:
        """What directions and searches live in, (N, D): the noise of points (N, ...), or their style, the mean over the
        layers."""
        return points.mean(1) if self.name == "w" else points[:, : self.recipe.z_dim]

    def lifted(self, rows: Tensor) -> Tensor:
        """Rows (N, D) as points (N, ...): the same style for each layer, or noise with zeros for codes behind it."""
        if self.name == "w":
            return rows[:, None].expand(-1, self.layers, -1)
        behind = self.recipe.draw_latents(1).shape[1] - rows.shape[1]
        return torch.cat([rows, rows.new_zeros(len(rows), behind)], 1)

    @cached_property
    def unit(self) -> Tensor:
        """The standard deviation of draws (D,) in each number of a row, not 0."""
        return self.rows(self.draw(DRAWS, UNIT_SEED)).std(0).clamp_min(1e-12)

    def truncated(self, points: Tensor) -> Tensor:
        """Points (N, ...) that were drawn without truncation, truncated by psi."""
        if self.name == "w":
            M: Any = self.model.nets["M"]
            return lerp(M.mean.to(points).expand_as(points), points, self.psi)
        return self.recipe.truncate(points, self.psi)

    def mask(self, layers: str | None = None) -> Tensor:
        """Which numbers of a point the layers read: flags that broadcast to points. The codes behind noise: none.

        Args:
            layers: as "0-3", "4-", "0,2,5-7", "coarse", "middle", "fine" (thirds); None = all.

        Raises:
            GansmithError: no such layer, or a model whose point enters at one place only.
        """
        chosen = self.chosen(layers)
        if self.name == "w":
            return torch.tensor([[i in chosen] for i in range(self.layers)])
        flags = [i in chosen for i, size in enumerate(self.depths) for _ in range(size)]
        size = self.recipe.draw_latents(1).shape[1]
        return torch.tensor(flags + [False] * (size - len(flags)))

    def chosen(self, layers: str | None) -> set[int]:
        """The numbers of the layers that such a text means."""
        if layers is None:
            return set(range(self.layers))
        if self.layers == 1:
            raise GansmithError(
                f"{type(self.recipe).__name__} reads its latent at one place only: it has no layers to choose from. "
                "stylegan, stylegan2 and biggan have."
            )
        return parse_layers(layers, self.layers)

    def swapped(self, a: Tensor, b: Tensor, layers: str | None) -> Tensor:
        """Points a (N, ...) whose layers named are those of b (N, ...)."""
        return torch.where(self.mask(layers).to(a.device), b, a)

    @cached_property
    def identity(self) -> str:
        """Which model this is: 16 hexadecimal digits that its generator's weights decide."""
        found = hashlib.sha256()
        for name in self.recipe.generators:
            for key, value in sorted(self.model.nets[name].state_dict().items()):
                found.update(f"{name}.{key} {tuple(value.shape)}".encode())
                found.update(value.detach().float().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()[:16]

    @property
    def told(self) -> Mapping[str, Any]:
        """What a file of points says of the model that they belong to."""
        return {
            "model": self.identity,
            "recipe": type(self.recipe).__name__,
            "data": self.model.spec.name,
            "seen": self.model.seen,
            "space": self.name,
        }


def parse_layers(text: str, layers: int) -> set[int]:
    """The layers that a text names, of so many from 0 on.

    >>> sorted(parse_layers("0-2,5", 8)), sorted(parse_layers("6-", 8)), sorted(parse_layers("coarse", 8))
    ([0, 1, 2, 5], [6, 7], [0, 1, 2])
    """
    found: set[int] = set()
    for part in text.replace(" ", "").split(","):
        if part in PARTS:
            k = PARTS.index(part)
            found |= set(range(round(k * layers / 3), round((k + 1) * layers / 3)))
            continue
        first, dash, last = part.partition("-")
        low, high = first or "0", (last or str(layers - 1)) if dash else first
        if not (low.isdecimal() and high.isdecimal() and int(low) <= int(high) < layers):
            raise GansmithError(
                f'layers "{text}": there are layers 0 to {layers - 1}. Write 0-3, {layers - 2}-, 0,2 or one of '
                f"{', '.join(PARTS)}."
            )
        found |= set(range(int(low), int(high) + 1))
    return found
