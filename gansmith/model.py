"""A trained model: samples from latents, labels and codes; and how to load one from a run directory."""

from __future__ import annotations

import copy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansmith import helpers, recipes, steering
from gansmith.abilities import Classifies, Code, Generates, Styled
from gansmith.core import DataSpec, Nets, Recipe
from gansmith.engine import checkpoint, faster
from gansmith.engine.devices import choose_precision, find_device
from gansmith.engine.display import count
from gansmith.engine.game import fit
from gansmith.engine.rundir import RunDir
from gansmith.errors import GansmithError
from gansmith.nn.standing import batch_norms, standing_statistics_
from gansmith.session import fields_from_yaml, recipe_of

BLOCK = 64  # latents drawn at a time: torch's normal numbers depend on how many are asked for
STANDING = 16  # blocks of latents that standing statistics are the mean of
SPARE = 2_654_435_769  # the seed of their latents: one that nobody draws samples with


class GAN:
    """A trained model: networks with the averaged generator in place, and the recipe that knows how to use them.

    Args:
        recipe: with its fields as trained.
        spec: what the data were.
        nets: the networks, in evaluation mode.
        seen: real samples seen.
    """

    def __init__(self, recipe: Recipe, spec: DataSpec, nets: Nets, seen: int, precision: str = "32") -> None:
        self.recipe, self.spec, self.nets, self.seen, self.precision = recipe, spec, nets, seen, precision
        self._quick: tuple[float, Nets] | None = None

    def __repr__(self) -> str:
        name, data = recipes.name_of(type(self.recipe)), self.spec
        return f"<GAN {name} of {data.name} {data.shape}, {count(self.seen)} samples seen>"

    @property
    def device(self) -> torch.device:
        return next(self.nets.parameters()).device

    @property
    def codes(self) -> dict[str, Code]:
        """By name, the parts of the latent that have a meaning: the label, and what the training found."""
        return {code.name: code for code in self._generates().codes(self.spec)}

    def draw_latents(self, n: int, seed: int = 0, psi: float = 1.0, **codes: Any) -> Tensor:
        """Latents (n, z_dim and the codes behind) from the prior: the first n of an endless row that the seed decides.

        Args:
            psi: truncation, see `sample`; a recipe with styles leaves the latents as they are.
            codes: by name, what to set in all of them (`codes`): `label="cat"`, `label=3`, `c2=-0.5`, or one value for
                each latent.

        Raises:
            GansmithError: no such code, a value that it cannot have, or a psi out of range.
        """
        recipe = self._generates()
        z = torch.cat(self._blocks(-(-n // BLOCK), seed, psi))[:n]
        for name, value in codes.items():
            code = steering.find(self.codes, name, type(recipe).__name__)
            z = code.put(z, steering.values(code, value, n))
        return z

    def _blocks(self, n: int, seed: int, psi: float) -> list[Tensor]:
        """n blocks of latents of the row that the seed decides."""
        recipe, generator = self._generates(), torch.Generator().manual_seed(seed)
        return [recipe.truncate(recipe.draw_latents(BLOCK, generator=generator), psi) for _ in range(n)]

    def generate(self, z: Tensor, batch: int = 64, psi: float = 1.0) -> Tensor:
        """Samples (N, ...) float32 on the CPU from latents z (N, z_dim).

        Args:
            psi: truncation: of the styles where the recipe has styles; elsewhere that with which z was drawn.
        """
        recipe, nets = self._generates(), self._sampler(psi)
        made = partial(recipe.generate, psi=psi) if isinstance(recipe, Styled) else recipe.generate
        with torch.no_grad():
            return torch.cat([made(nets, part).float().cpu() for part in torch.split(self._inputs(nets, z), batch)])

    def synthesise(self, ws: Tensor, batch: int = 64) -> Tensor:
        """Samples (N, ...) float32 on the CPU from styles ws (N, layers, w_dim), for a recipe with styles.

        All have the same noise: what lies between two of them does not flicker.

        Raises:
            GansmithError: the recipe has no styles.
        """
        recipe, nets = self.recipe, self._sampler()
        if not isinstance(recipe, Styled):
            raise GansmithError(f"{type(recipe).__name__} has no styles: draw from latents instead.")
        with torch.no_grad():
            parts = torch.split(self._inputs(nets, ws), batch)
            return torch.cat([recipe.synthesise(nets, part).float().cpu() for part in parts])

    def sample(self, n: int, seed: int = 0, batch: int = 64, psi: float = 1.0, **codes: Any) -> Tensor:
        """n samples: images (n, C, H, W) in [-1, 1] or points (n, D), float32 on the CPU.

        Args:
            psi: truncation, 1 = none: less variety for samples that are better on average. A recipe with styles moves
                them to their mean (`Styled.styles`); elsewhere noise keeps within 2 psi
                (`Generates.truncate`), and BatchNorm gets statistics of such latents.
            codes: what to set in the latents, as in `draw_latents`: `label=3` draws class 3.
        """
        if n < 1:
            raise GansmithError(f"n = {n}: ask for at least 1 sample.")
        return self._bounded(self.generate(self.draw_latents(n, seed, psi, **codes), batch, psi))

    def sweep(
        self, code: str, rows: int = 8, steps: int = 8, seed: int = 0, psi: float = 1.0, **codes: Any
    ) -> tuple[Tensor, int]:
        """One code through its values, for several latents.

        Args:
            code: its name: every value of a label or of a categorical code, or `steps` values of a continuous one.
            rows: latents.
            psi: truncation, as in `sample`.
            codes: others to set in all of them.

        Returns:
            Samples (rows * columns, ...), row by row, and the number of columns.
        """
        chosen = steering.find(self.codes, code, type(self._generates()).__name__)
        at = steering.steps(chosen, steps)
        z = self.draw_latents(rows, seed, psi, **codes).repeat_interleave(len(at), 0)
        return self._bounded(self.generate(chosen.put(z, at.repeat(rows)), psi=psi)), len(at)

    def label_grid(self, columns: int = 8, seed: int = 0, psi: float = 1.0, **codes: Any) -> tuple[Tensor, int]:
        """Every class for several latents: a row for each class, the same latent in a column.

        Returns:
            Samples (classes * columns, ...), row by row, and the number of columns.
        """
        label = steering.find(self.codes, "label", type(self._generates()).__name__)
        z = self.draw_latents(columns, seed, psi, **codes).repeat(label.size, 1)
        y = torch.arange(label.size).repeat_interleave(columns)
        return self._bounded(self.generate(label.put(z, y), psi=psi)), columns

    def _bounded(self, samples: Tensor) -> Tensor:
        return samples.clamp(-1, 1) if self.spec.kind == "image" else samples

    def classify(self, x: Tensor, batch: int = 64) -> Tensor:
        """Chances (N, classes) of the classes of samples x (N, ...) in [-1, 1], for a recipe that `Classifies`.

        Raises:
            GansmithError: the recipe tells no classes.
        """
        recipe = self.recipe
        if not isinstance(recipe, Classifies):
            raise GansmithError(f"{type(recipe).__name__} tells no classes: train ssgan or acgan.")
        with torch.no_grad():
            return torch.cat([recipe.classify(self.nets, part.to(self.device)).cpu() for part in torch.split(x, batch)])

    def _generates(self) -> Generates:
        if not isinstance(self.recipe, Generates):
            raise GansmithError(f"{type(self.recipe).__name__} does not generate samples from latents.")
        return self.recipe

    def _sampler(self, psi: float = 1.0) -> Nets:
        """The nets as drawn from: BatchNorm's statistics as psi wants them, folded, cast when the precision says so."""
        if self._quick is None or self._quick[0] != psi:
            quick = self._standing(copy.deepcopy(self.nets), psi)
            self._quick = psi, faster.for_sampling(quick, self.precision, self.spec.kind == "image")
        return self._quick[1]

    def _standing(self, nets: Nets, psi: float) -> Nets:
        """Nets whose generators have the statistics of latents truncated by psi; with 1 the training's own stay."""
        recipe = self._generates()
        made_by = Nets({name: nets[name] for name in recipe.generators})
        if psi != 1 and not isinstance(recipe, Styled) and batch_norms(made_by):
            blocks = (z.to(self.device) for z in self._blocks(STANDING, SPARE, psi))
            standing_statistics_(made_by, blocks, partial(recipe.generate, nets))
        return nets

    def _inputs(self, nets: Nets, z: Tensor) -> Tensor:
        parameter = next(p for name in self.recipe.averaged for p in nets[name].parameters())
        return z.to(parameter.device, parameter.dtype)


def load(
    run: str | Path, *, checkpoint: str = "latest", raw: bool = False, device: str = "cpu", precision: str = "32"
) -> GAN:
    """Load a trained model from a run directory, without its data and without pickle.

    Args:
        run: the run directory.
        checkpoint: "latest", "best", or a checkpoint's name.
        raw: take the generator as trained instead of its average.
        device: where the nets go.
        precision: "32" gives the same samples everywhere; "bf16" or "auto" draws faster where the device can.

    Raises:
        GansmithError: no run there, no such checkpoint, a damaged file, or one that does not fit the recipe.
    """
    folder = RunDir.open(run)
    return load_checkpoint(folder, folder.checkpoint(checkpoint), raw, device, precision)


def load_checkpoint(folder: RunDir, path: Path, raw: bool, device: str, precision: str) -> GAN:
    """The model in one checkpoint folder of a run."""
    config = folder.read_config()
    recipe = recipe_of(config, folder)
    spec = DataSpec(**fields_from_yaml(config["data"]["spec"]))
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they are
        nets = helpers.assemble(recipe, spec)
    saved = checkpoint.load_nets(path)
    averages = {k.removeprefix("ema."): v for k, v in saved.items() if k.startswith("ema.")}
    plain = {k: v for k, v in saved.items() if not k.startswith("ema.")}
    fit(nets, plain if raw else plain | averages, path)
    kind = find_device(device)
    precision, _ = choose_precision(precision, kind, spec.kind == "image")
    return GAN(recipe, spec, nets.eval().requires_grad_(False).to(kind), int(path.name), precision)
