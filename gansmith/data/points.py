"""Exactly known sets of points in the plane, drawn fresh and without end.

Centres and scales follow improved_wgan_training's `gan_toy.py`; grid25's spread is 0.1 (before the division), because
the original 0.05 is not learned within a minute by anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gansmith.core import DataSpec
from gansmith.data.check import Report
from gansmith.errors import GansmithError

ENOUGH = 20 / 10_000  # share of the samples that a mode must hold to count


@dataclass(frozen=True, eq=False)
class Points:
    """Samples (N, 2) of a known law.

    Args:
        name: of the set.
        modes: centres (K, 2); K = 0 where the law has no modes.
        std: of each mode, in the same unit as the samples; of the noise where there are no modes.
        draw_from: (n, device) -> samples (n, 2), from torch's global random state.
        settings: how it was made, for the record.
    """

    name: str
    modes: Tensor
    std: float
    draw_from: Callable[[int, torch.device | str], Tensor] = field(repr=False)
    settings: dict[str, float]

    @property
    def spec(self) -> DataSpec:
        classes = tuple(map(str, range(len(self.modes))))
        return DataSpec(self.name, "points", (2,), fields=("x", "y") if classes else ("x",), classes=classes)

    @property
    def fingerprint(self) -> str:
        """The law and its settings: there is no content to hash."""
        return f"{self.name} " + " ".join(f"{k}={v:g}" for k, v in self.settings.items())

    @property
    def info(self) -> dict[str, object]:
        return {"source": self.name, "modes": len(self.modes), "std": self.std, **self.settings}

    @property
    def report(self) -> Report:
        note = f"{self.name}: an exactly known law in the plane, {len(self.modes)} modes, drawn fresh each time."
        return Report(title=self.name, note=note)

    @property
    def held_out(self) -> np.ndarray:
        """Empty: fresh samples are never trained on twice."""
        return np.zeros(0, np.int64)

    def draw(self, n: int, device: torch.device | str = "cpu") -> Tensor:
        """Fresh samples (n, 2), float32, about unit scale, from torch's global random state."""
        return self.draw_from(n, device)

    def labels(self, x: Tensor) -> Tensor:
        """For samples x (N, 2) the mode (N,), int64: the one with the nearest centre."""
        return torch.cdist(x.float(), self.modes.to(x.device)).argmin(1)

    def coverage(self, samples: Tensor, within: float = 4.0) -> tuple[int, float]:
        """How many modes the samples (N, 2) cover, and the share of them that is of high quality (0 to 1).

        A sample is of high quality when it lies within `within` standard deviations of its nearest centre; a mode
        counts when it holds at least 20 such samples among 10,000 (in proportion for another N). Read both numbers:
        a shapeless blob covers every mode with a tiny share. Standard: N = 10,000.

        >>> grid = grid25(); grid.coverage(grid.modes.repeat(400, 1))
        (25, 1.0)
        """
        if not len(self.modes):
            raise GansmithError(f"{self.name} has no modes to cover: use ring8 or grid25.")
        distance, nearest = torch.cdist(samples.detach().float().cpu(), self.modes).min(dim=1)
        good = distance <= within * self.std
        held = torch.bincount(nearest[good], minlength=len(self.modes))
        enough = max(1, math.ceil(ENOUGH * len(samples)))
        return int((held >= enough).sum()), float(good.float().mean())


def _mixture(name: str, centres: Sequence[tuple[float, float]], std: float, scale: float) -> Points:
    """Equal Gaussians at the centres, everything divided by `scale`."""
    modes, spread = torch.tensor(centres) / scale, std / scale

    def draw(n: int, device: torch.device | str) -> Tensor:
        which = torch.randint(len(modes), (n,), device=device)
        return modes.to(device)[which] + spread * torch.randn(n, 2, device=device)

    return Points(name, modes, spread, draw, {"std_before_scaling": std, "scale": scale})


def ring8(std: float = 0.02) -> Points:
    """8 Gaussians on a circle of radius 2, divided by 1.414."""
    turns = [2 * math.pi * i / 8 for i in range(8)]
    return _mixture("ring8", [(2 * math.cos(t), 2 * math.sin(t)) for t in turns], std, 1.414)


def grid25(std: float = 0.1) -> Points:
    """25 Gaussians at {-4, -2, 0, 2, 4} squared, divided by 2.828."""

    def centres() -> Iterator[tuple[float, float]]:
        yield from ((x, y) for x in (-4.0, -2.0, 0.0, 2.0, 4.0) for y in (-4.0, -2.0, 0.0, 2.0, 4.0))

    return _mixture("grid25", list(centres()), std, 2.828)


def swissroll(noise: float = 0.25) -> Points:
    """Spiral t (cos t, sin t), t uniform on 1.5 pi to 4.5 pi, plus noise, divided by 7.5: a swiss roll seen end on."""

    def draw(n: int, device: torch.device | str) -> Tensor:
        t = 1.5 * math.pi * (1 + 2 * torch.rand(n, 1, device=device))
        return (t * torch.cat([t.cos(), t.sin()], 1) + noise * torch.randn(n, 2, device=device)) / 7.5

    return Points("swissroll", torch.zeros(0, 2), noise / 7.5, draw, {"std_before_scaling": noise, "scale": 7.5})


POINTS: dict[str, Callable[[], Points]] = {"ring8": ring8, "grid25": grid25, "swissroll": swissroll}
