"""Abilities: what a trained recipe can do. Whoever uses a model asks for an ability, never for a recipe's name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from gansmith.core import DataSpec, Nets, Setting
from gansmith.errors import GansmithError


class Code(NamedTuple):
    """A part of the latent that has a meaning.

    Args:
        name: "label", or what the recipe calls it.
        kind: "label" (one-hot, of the data's classes), "categorical" (one-hot, found by the training) or "continuous".
        start, size: the entries of the latent that hold it.
        values: names of what a one-hot code can be, in order.
        low, high: range of a continuous code.
    """

    name: str
    kind: Literal["label", "categorical", "continuous"]
    start: int
    size: int
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0

    def put(self, z: Tensor, value: Tensor | float) -> Tensor:
        """Latents z (N, ...) with this code set: numbers of a one-hot code, or values of a continuous one, (N,) or one
        for all."""
        value = torch.as_tensor(value, device=z.device).expand(len(z))
        part = value[:, None] if self.kind == "continuous" else one_hot(value, self.size)
        return torch.cat([z[:, : self.start], part.to(z), z[:, self.start + self.size :]], 1)


def one_hot(y: Tensor, num_classes: int) -> Tensor:
    """Labels y (N,) as float32 rows (N, num_classes) of zeros with a one.

    >>> one_hot(torch.tensor([1, 0]), 3)
    tensor([[0., 1., 0.],
            [1., 0., 0.]])
    """
    return nn.functional.one_hot(y.long(), num_classes).float()


def wrong(y: Tensor, num_classes: int) -> Tensor:
    """For each label y (N,) another one, all others equally likely, as rows (N, num_classes)."""
    return one_hot((y + torch.randint_like(y, 1, num_classes)) % num_classes, num_classes)


@dataclass(frozen=True, kw_only=True)
class Generates:
    """Ability: latents -> samples. By default standard normal latents (N, z_dim) and the network "G".

    Evaluation, explorer and export ask `isinstance(recipe, Generates)`. `generators` are the nets on the way from
    latents to samples, the last of them giving the samples; `averaged` those that are drawn from as averages; `prior`
    is the law of the noise.

    Args:
        z_dim: size of the latent, without the codes behind it.
    """

    averaged: ClassVar[tuple[str, ...]] = ("G",)
    generators: ClassVar[tuple[str, ...]] = ("G",)
    prior: ClassVar[Literal["normal", "uniform"]] = "normal"

    z_dim: int = 128

    def draw_latents(
        self, n: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents z (N, z_dim) from the prior, with the codes behind them where there are any."""
        return torch.randn(n, self.z_dim, device=device, generator=generator)

    def truncate(self, z: Tensor, psi: float) -> Tensor:
        """Latents (N, ...) whose noise keeps within 2 psi of 0; the codes behind it are left alone.

        The noise gets the truncated normal law: that of numbers of which each beyond 2 psi is drawn again until it lies
        within. But no number is drawn here: each goes to the same quantile of that law, so that samples move steadily
        with psi. 1 stands for no truncation and gives z back; at 0 all noise is 0.

        Raises:
            GansmithError: psi is not between 0 and 1, or the noise is not normal.

        Source: Brock et al. 2019, arXiv:1809.11096, section 3.1, the threshold written as 2 psi.
        """
        if not 0 <= psi <= 1:
            raise GansmithError(f"psi = {psi} is out of range: give 0 (all alike) to 1 (no truncation).")
        if psi == 1:
            return z
        if self.prior != "normal":
            raise GansmithError(
                f"{type(self).__name__} draws from {self.prior} noise, which has no tails to truncate: leave psi out."
            )
        noise, codes = z[:, : self.z_dim], z[:, self.z_dim :]
        tail = torch.special.ndtr(torch.tensor(-2.0 * psi, dtype=torch.float64, device=z.device))
        share = torch.lerp(tail, 1 - tail, torch.special.ndtr(noise.double()))
        return torch.cat([torch.special.ndtri(share).clamp(-2 * psi, 2 * psi).to(z), codes], 1)

    def generate(self, nets: Nets, z: Tensor) -> Tensor:
        """Samples (N, ...) from latents; images in about [-1, 1]."""
        return nets["G"](z)  # type: ignore[no-any-return]

    def codes(self, data: DataSpec) -> tuple[Code, ...]:
        """The parts of the latent that have a meaning; none by default."""
        return ()

    def depths(self, nets: Nets) -> tuple[int, ...]:
        """How many numbers of the noise enter the generator at each depth, the coarse ones first; by default all at
        once."""
        return (self.z_dim,)

    def gallery(self, data: DataSpec, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, int | None]:
        """About n latents for a picture, and its columns (None = as many as rows).

        Where a one-hot code rules, a row shows one of its values, and a column the same noise.
        """
        code = next((c for c in self.codes(data) if c.kind != "continuous"), None)
        if code is None:
            return self.draw_latents(n, generator=generator), None
        rows = min(code.size, max(n // 4, 1))
        columns = n // rows
        noise = self.draw_latents(columns, generator=generator).repeat(rows, 1)
        return code.put(noise, torch.arange(rows).repeat_interleave(columns)), columns


@dataclass(frozen=True, kw_only=True)
class Styled(Generates):
    """Ability: a network "M" maps the latent to a style w, and each layer of "G" reads a style of its own.

    M maps z (N, z_dim) to w (N, w_dim) and keeps the mean of all w so far in a buffer `mean` (w_dim,). G makes samples
    of styles ws (N, layers, w_dim); `G.layers` says how many it reads.
    """

    averaged: ClassVar[tuple[str, ...]] = ("M", "G")
    generators: ClassVar[tuple[str, ...]] = ("M", "G")

    def styles(self, nets: Nets, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Styles (N, layers, w_dim) of latents z, the same for each layer.

        Args:
            psi: truncation: 1 leaves w as it is, 0 gives the mean style, what is between lies on the way.
            cutoff: only so many of the first layers are truncated; None = all.

        Source: Karras et al. 2019, arXiv:1812.04948, appendix B.
        """
        M: Any = nets["M"]
        G: Any = nets["G"]
        ws: Tensor = M(z)[:, None].expand(-1, G.layers, -1)
        if psi == 1.0:
            return ws
        near = torch.lerp(M.mean.to(ws), ws, psi)
        return torch.cat([near[:, :cutoff], ws[:, len(range(G.layers)[:cutoff]) :]], 1)

    def truncate(self, z: Tensor, psi: float) -> Tensor:
        """The latents as they are: `generate` truncates styles instead.

        Raises:
            GansmithError: psi is not between 0 and 2.
        """
        if not 0 <= psi <= 2:
            raise GansmithError(
                f"psi = {psi} is out of range: give 0 (the mean style) to 1 (no truncation), or up to 2 to exaggerate."
            )
        return z

    def generate(self, nets: Nets, z: Tensor, psi: float = 1.0) -> Tensor:
        """Samples (N, ...) from latents, their styles truncated by psi."""
        return self.synthesise(nets, self.styles(nets, z, psi))

    def synthesise(self, nets: Nets, ws: Tensor) -> Tensor:
        """Samples (N, ...) from styles ws (N, layers, w_dim), all with the same noise."""
        samples: Tensor = nets["G"](ws)
        return samples


@dataclass(frozen=True, kw_only=True)
class Conditioned(Generates):
    """Ability: a label steers what is drawn. The latent (N, z_dim + num_classes) is noise, and the one-hot label.

    As the label enters linearly, what lies between two classes can be drawn as well.

    Args:
        num_classes: of the labels; taken from the data.
    """

    draws: ClassVar[tuple[str, ...]] = ("x", "y")
    packs: ClassVar[bool] = False

    num_classes: int | None = None

    @classmethod
    def bound(cls, data: DataSpec) -> dict[str, Setting]:
        """The number of classes."""
        return {"num_classes": Setting(len(data.classes), f"the classes of {data.name}")} if data.classes else {}

    def check(self, data: DataSpec) -> None:
        """Refuse data without labels, or of one class only."""
        super().check(data)  # type: ignore[misc]
        if len(data.classes) < 2:
            raise GansmithError(
                f"{type(self).__name__} learns classes, but {data.name} has only one: {data.classes[0]}. "
                "Give data of at least two, or train without labels."
            )
        if self.num_classes != len(data.classes):
            raise GansmithError(
                f"num_classes = {self.num_classes}, but {data.name} has {len(data.classes)}: leave the field out."
            )

    @property
    def labels(self) -> int:
        """How many classes there are."""
        assert self.num_classes is not None, "set by `bound`"
        return self.num_classes

    def draw_latents(
        self, n: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents (N, z_dim + num_classes): standard normal noise, and labels drawn equally often."""
        noise = torch.randn(n, self.z_dim, device=device, generator=generator)
        return torch.cat([noise, one_hot(self.draw_labels(n, device, generator), self.labels)], 1)

    def draw_labels(
        self, n: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Tensor:
        """Labels (N,), all equally likely."""
        return torch.randint(self.labels, (n,), device=device, generator=generator)

    def latents(self, cond: Tensor) -> Tensor:
        """Fresh noise with the one-hot labels cond (N, num_classes) behind it."""
        return torch.cat([torch.randn(len(cond), self.z_dim, device=cond.device), cond], 1)

    def conditions(self, x: Tensor, cond: Tensor | None) -> Tensor:
        """The one-hot labels (N, num_classes) of samples x (N, ...); where there are none, equal shares of all."""
        return torch.full((len(x), self.labels), 1 / self.labels, device=x.device) if cond is None else cond.to(x)

    def codes(self, data: DataSpec) -> tuple[Code, ...]:
        """The label, behind the noise."""
        return (Code("label", "label", self.z_dim, self.labels, data.classes),)


@dataclass(frozen=True, kw_only=True)
class Discriminates:
    """Ability: samples -> logits of the network `critic`. The doctor asks for it, to see what that makes of samples.

    `packs` says whether all that D tells is one logit for its input, so that samples can be judged together.
    """

    critic: ClassVar[str] = "D"
    packs: ClassVar[bool] = True

    @property
    def boundary(self) -> float | None:
        """The logit above which D takes a sample to be real; None where only differences of logits mean anything.

        That is so of Wasserstein and relativistic costs: a constant added to all logits changes nothing."""
        return 0.0

    def logits(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """Logits (N,) of samples x (N, ...): higher for what D takes to be real.

        Args:
            cond: one-hot labels (N, num_classes), where D judges by them; None = it is asked without.
        """
        logits: Tensor = nets[self.critic](x)
        return logits

    def features(self, nets: Nets, x: Tensor, cond: Tensor | None = None) -> Tensor:
        """The last hidden features (N, ...) of D."""
        return nets[self.critic].trunk(x)  # type: ignore[operator,no-any-return]


@dataclass(frozen=True, kw_only=True)
class Classifies(ABC):
    """Ability: samples -> classes."""

    @abstractmethod
    def classify(self, nets: Nets, x: Tensor) -> Tensor:
        """Chances (N, num_classes) of the classes of samples x (N, ...)."""


@dataclass(frozen=True, kw_only=True)
class Translates(ABC):
    """Ability: images -> images: of one domain into the other.

    `directions` are the ways that were learned, by the names of the domains; `averaged` are the nets that are used as
    averages. In evaluation mode an image becomes the same whatever else is in its batch and whenever it is asked for.
    """

    averaged: ClassVar[tuple[str, ...]] = ("G",)
    directions: ClassVar[tuple[str, ...]] = ("A2B",)

    @abstractmethod
    def translate(self, nets: Nets, x: Tensor, direction: str = "A2B") -> Tensor:
        """Images (N, C', s H, s W) in about [-1, 1] from images x (N, C, H, W) in [-1, 1]; s is the `scale`.

        A move of x by the `multiple` moves the result by s times that, but for what lies near the border.
        """

    def takes(self, data: DataSpec, direction: str = "A2B") -> tuple[int, ...]:
        """The shape (C, H, W) of x as trained on."""
        return data.target if direction == "B2A" else data.shape

    def scale(self, direction: str = "A2B") -> int:
        """How many times larger the result's sides are than those of x."""
        return 1

    def multiple(self, nets: Nets) -> int:
        """What both sides of x must be multiples of, in pixels: by how much the nets make it smaller on their way."""
        return 1


@dataclass(frozen=True, kw_only=True)
class Targets:
    """D's cost has a target for real samples, which need not be what D may become surest of.

    Args:
        smoothing: share by which that target lies nearer to the one for generated samples (one-sided label smoothing,
            arXiv:1606.03498).
    """

    smoothing: float = 0.0
