"""Points in units of their spread: what is searched through, so that one step size suits latents and styles alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gansmith.explore.space import DRAWS, UNIT_SEED, Space


@dataclass(frozen=True)
class Coordinates:
    """Rows u (..., R, D) for points: (p - mean) / std of the noise, R = 1; or of styles, R = 1 (all alike) or layers.

    The codes behind the noise are no coordinates: they go beside.

    Args:
        mean, std: of the noise or of the styles over draws (D,); std is 1 where a draw never varies.
        radius: largest norm of a draw of normal noise, in these units; None elsewhere.
        low, high: range of a draw of uniform noise, in these units (D,); None elsewhere.
    """

    space: Space
    mean: Tensor
    std: Tensor
    radius: float | None = None
    low: Tensor | None = None
    high: Tensor | None = None

    @classmethod
    def of(cls, space: Space) -> Coordinates:
        """Those of a space, on its model's device."""
        drawn = space.rows(space.draw(DRAWS, UNIT_SEED)).to(space.model.device)
        mean, std = drawn.mean(0), drawn.std(0)
        std = torch.where(std > 1e-6, std, 1.0)
        if space.name == "w":
            return cls(space, mean, std)
        if space.recipe.prior == "normal":
            return cls(space, mean, std, radius=float(((drawn - mean) / std).norm(dim=1).max()))
        return cls(space, mean, std, low=(drawn.min() - mean) / std, high=(drawn.max() - mean) / std)

    def points(self, u: Tensor, codes: Tensor) -> Tensor:
        """The points (N, ...) of rows u (N, R, D), with codes (N, C) behind the noise, C = 0 without."""
        p = self.mean + self.std * u
        return p.expand(-1, self.space.layers, -1) if self.space.name == "w" else torch.cat([p[:, 0], codes], 1)

    def rows(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """The rows (N, 1, D) of points, styles by their mean over the layers, and the codes (N, C) behind them."""
        points = points.to(self.mean)
        u = (self.space.rows(points) - self.mean) / self.std
        behind = points[:, :0, 0] if self.space.name == "w" else points[:, u.shape[1] :]
        return u[:, None], behind

    def inside(self, u: Tensor) -> Tensor:
        """Rows u (..., R, D) brought to where draws lie: uniform noise into its range, normal noise to the norm of the
        farthest draw at most. Styles stay as they are."""
        if self.radius is not None:
            norm: Tensor = u.norm(dim=-1, keepdim=True)
            return u * (self.radius / norm.clamp_min(1e-12)).clamp_max(1)
        if self.low is not None and self.high is not None:
            return torch.minimum(torch.maximum(u, self.low), self.high)
        return u
