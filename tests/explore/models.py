"""Models to steer: real networks as they are before training, and a generator whose every factor is known."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from gansmith import recipes
from gansmith.abilities import Generates, Styled
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Recipe
from gansmith.model import GAN
from gansmith.nets.growth import Level

CLASSES = ("circle", "square", "star")
SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {
    "dcgan": (16, {"width": 8, "z_dim": 6}),
    "r3gan": (16, {"widths": (16, 16, 8), "group": 8, "z_dim": 6}),
    "progan": (16, {"fmap_base": 32, "fmap_max": 8, "z_dim": 6}),
    "stylegan": (16, {"fmap_base": 32, "fmap_max": 8, "w_dim": 5, "z_dim": 6, "mapping_layers": 2, "start": 4}),
    "stylegan2": (16, {"w_dim": 5, "z_dim": 6, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}),
    "biggan": (28, {"width": 4, "shared": 4, "z_dim": 9, "num_classes": 3, "init": "orthogonal"}),
    "acgan": (16, {"width": 8, "z_dim": 6, "num_classes": 3}),
    "infogan": (16, {"width": 8, "z_dim": 6, "categorical": (3,), "continuous": 1}),
}


@cache
def model(name: str, seed: int = 0) -> GAN:
    """An untrained model of that recipe; growing ones are fully grown."""
    px, fields = SETTINGS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        recipe = recipes.find(name)(**fields)
        spec = DataSpec("shapes", "image", (3, px, px), count=100, classes=CLASSES)
        nets = recipe.build(spec)
    for net in nets.modules():
        if isinstance(net, Level):
            net.set(len(net.sizes) - 1)
    return GAN(recipe, spec, nets.eval().requires_grad_(False), 1000)


@dataclass(frozen=True, kw_only=True)
class Untrained(Recipe):
    """Whose networks are what they are: nobody moves in a round."""

    kinds = ("image",)

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        yield from ()


class Disc(nn.Module):
    """z (N, D) -> a soft disc on grey (N, 3, 24, 24); x, y, size and background each follow one column of `mixing`.

    The columns are orthogonal, so what is to be found is known exactly.
    """

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(3)
        self.register_buffer("mixing", torch.linalg.qr(torch.randn(z_dim, z_dim, generator=generator))[0])

    def forward(self, z: Tensor) -> Tensor:
        x, y, size, background = ((z @ self.mixing)[:, :4] / 2).tanh().T[:, :, None, None]
        at = torch.arange(24) + 0.5
        far = ((at[None, None, :] - 12 - 4 * x).square() + (at[None, :, None] - 12 - 4 * y).square() + 1e-6).sqrt()
        cover = (5 + 2 * size - far + 0.5).clamp(0, 1)[:, None]
        colour = torch.tensor([1.0, 0.2, -0.9])[None, :, None, None]
        return cover * colour + (1 - cover) * (0.4 * background[:, None] - 0.4)


@dataclass(frozen=True, kw_only=True)
class Discs(Generates, Untrained):
    """Draws discs, and is never trained."""

    z_dim: int = 12

    def build(self, data: DataSpec) -> Nets:
        return Nets({"G": Disc(self.z_dim)})


class Linear(nn.Module):
    """z (N, D) -> A z as an image (N, 1, 4, 4)."""

    def __init__(self, z_dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(z_dim, 16)
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            self.first.weight.copy_(torch.randn(16, z_dim, generator=generator))
            self.first.weight[:, 0] *= 4

    def forward(self, z: Tensor) -> Tensor:
        return self.first(z).unflatten(1, (1, 4, 4))


class Mapped(nn.Module):
    """A mapping network whose styles are spread most along the first axis, then along the second."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([1.0, 2.0, 3.0]))
        self.layer = nn.Linear(3, 3)
        with torch.no_grad():
            self.layer.weight.copy_(torch.diag(torch.tensor([3.0, 2.0, 1.0])))
            self.layer.bias.copy_(self.mean)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z)


class Layers(nn.Module):
    """Styles (N, 4, 3) -> images (N, 1, 8, 8): each layer rules two rows of pixels."""

    layers = 4

    def forward(self, ws: Tensor) -> Tensor:
        return (ws.mean(2).repeat_interleave(2, 1) / 10)[:, None, :, None].expand(-1, 1, 8, 8)


@dataclass(frozen=True, kw_only=True)
class Stripes(Styled, Untrained):
    """Draws stripes, one for each layer."""

    z_dim: int = 3

    def build(self, data: DataSpec) -> Nets:
        return Nets({"M": Mapped(), "G": Layers()})


@dataclass(frozen=True, kw_only=True)
class Linears(Generates, Untrained):
    """A linear generator."""

    z_dim: int = 7

    def build(self, data: DataSpec) -> Nets:
        return Nets({"G": Linear(self.z_dim)})


def made(recipe: Recipe, shape: tuple[int, int, int]) -> GAN:
    """A model of one of the recipes above."""
    spec = DataSpec("made", "image", shape, count=100)
    nets = recipe.build(spec)
    if "M" not in nets and not list(nets.parameters()):  # a model asks its parameters where it is
        nets["G"].register_parameter("place", nn.Parameter(torch.zeros(())))
    return GAN(recipe, spec, nets.eval().requires_grad_(False), int(math.pi))
