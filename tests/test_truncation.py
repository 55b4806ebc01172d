"""Truncation of what is drawn: latents nearer to 0, styles nearer to their mean, and statistics to match."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

import gansmith
from gansmith import recipes
from gansmith.abilities import Generates, Styled
from gansmith.api import Run
from gansmith.cli import main
from gansmith.core import Clock, Data, DataSpec, Nets, Recipe
from gansmith.errors import GansmithError
from gansmith.model import BLOCK, GAN, SPARE, STANDING
from gansmith.nn.standing import batch_norms, standing_statistics_

TINY: dict[str, Any] = {"tick": 10**6, "quiet": True, "device": "cpu", "precision": "32"}
SPEC = DataSpec("d", "points", (2,))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- latents


@pytest.mark.parametrize("psi", [0.0, 1e-6, 0.1, 0.35, 0.7, 0.99])
def test_no_number_lies_beyond_two_psi_and_their_law_is_a_truncated_normal(psi: float) -> None:
    z = Generates(z_dim=4).truncate(torch.randn(5000, 4, generator=seeded(0)), psi)
    assert z.abs().max() <= 2 * psi * (1 + 1e-6)
    if psi >= 0.1:
        law = scipy.stats.truncnorm(-2 * psi, 2 * psi)
        assert scipy.stats.kstest(z.flatten().numpy(), law.cdf).pvalue > 0.01
        assert z.std().item() == pytest.approx(law.std(), rel=0.02) and abs(z.mean().item()) < 0.02 * psi


def test_without_truncation_latents_are_the_same_bits() -> None:
    z = torch.randn(8, 4)
    assert Generates(z_dim=4).truncate(z, 1.0) is z


def test_codes_are_left_alone() -> None:
    recipe = recipes.find("projection_gan")(z_dim=6, num_classes=3)
    z = recipe.draw_latents(200, generator=seeded(0))
    near = recipe.truncate(z, 0.5)
    assert torch.equal(near[:, 6:], z[:, 6:]) and near[:, :6].abs().max() <= 1 < z[:, :6].abs().max()


def test_every_number_moves_steadily_to_zero_with_psi() -> None:
    recipe, z = Generates(z_dim=4), torch.randn(500, 4, generator=seeded(0))
    path = torch.stack([recipe.truncate(z, psi / 50) for psi in range(50)])
    assert (path.diff(dim=0).abs().max() < 0.05) and (path.abs().diff(dim=0) >= 0).all()
    assert (path[0] == 0).all() and torch.equal(path[1:].sign(), z.sign().expand(49, -1, -1))
    assert torch.equal(z.argsort(0), path[30].argsort(0))


@pytest.mark.parametrize("name", ["infogan", "ssgan"])
def test_uniform_noise_has_no_tails(name: str) -> None:
    recipe = recipes.find(name)()
    z = torch.rand(2, recipe.z_dim)
    assert recipe.truncate(z, 1.0) is z
    with pytest.raises(
        GansmithError, match=r"draws from uniform noise, which has no tails to truncate: leave psi out\."
    ):
        recipe.truncate(z, 0.5)


@pytest.mark.parametrize("psi", [-0.1, 1.5, float("nan")])
def test_psi_out_of_range_is_one_sentence(psi: float) -> None:
    with pytest.raises(GansmithError, match=r"^psi = .* is out of range: give 0 .* to 1 \(no truncation\)\.$"):
        Generates().truncate(torch.zeros(1, 128), psi)


# ---------------------------------------------------------------- styles


class Mapping(nn.Module):
    """w = 3 z, with a mean of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))
        self.register_buffer("mean", torch.ones(2))

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * z


class Synthesis(nn.Module):
    """The mean of two styles."""

    layers = 2

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, ws: Tensor) -> Tensor:
        return self.gain * ws.mean(1)


@dataclass(frozen=True, kw_only=True)
class Style(Styled, Recipe):
    """Nothing learns."""

    z_dim: int = 2

    def build(self, data: DataSpec) -> Nets:
        return Nets({"M": Mapping(), "G": Synthesis()})

    def round(self, nets: Nets, data: Data, clock: Clock) -> Any:
        yield from ()


def test_styles_move_on_the_line_to_their_mean() -> None:
    recipe = Style()
    gan = GAN(recipe, SPEC, recipe.build(SPEC).eval(), 0)
    full = gan.sample(6, seed=2)
    torch.testing.assert_close(full, 3 * gan.draw_latents(6, seed=2))
    assert torch.equal(gan.draw_latents(6, seed=2, psi=0.3), gan.draw_latents(6, seed=2))
    for psi in (0.0, 0.3, 1.5):
        torch.testing.assert_close(gan.sample(6, seed=2, psi=psi), 1 + psi * (full - 1))
    with pytest.raises(GansmithError, match=r"psi = 2\.5 is out of range"):
        gan.sample(6, psi=2.5)


# ---------------------------------------------------------------- models


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """biggan after eight rounds."""
    root = tmp_path_factory.mktemp("run")
    pixels = np.random.default_rng(0).integers(0, 256, (32, 28, 28, 1), np.uint8)
    np.savez(root / "noise.npz", x=pixels, y=np.arange(32) % 4)
    given = {"samples": 64, "batch": 8, "width": 4, "shared": 4, "z_dim": 6}
    return gansmith.train("biggan", root / "noise.npz", out=root / "run", **given, **TINY)


def test_without_truncation_samples_are_the_same_bits(run: Run) -> None:
    gan = run.load()
    plain = gan.sample(5, seed=1)
    assert torch.equal(gan.sample(5, seed=1, psi=1.0), plain)
    truncated = gan.sample(5, seed=1, psi=0.5)
    assert not torch.equal(truncated, plain)
    assert torch.equal(gan.sample(5, seed=1), plain)  # and again, after other statistics were used


def test_truncated_samples_are_decided_by_seed_and_psi(run: Run) -> None:
    gan, again = run.load(), run.load()
    first = gan.sample(5, seed=1, psi=0.5)
    torch.testing.assert_close(again.sample(70, seed=1, psi=0.5)[:5], first)
    assert torch.equal(again.sample(5, seed=1, psi=0.5), first)
    assert not torch.allclose(gan.sample(5, seed=2, psi=0.5), first)
    z = gan.draw_latents(100, seed=1, psi=0.5)
    assert torch.equal(z[:5], gan.draw_latents(5, seed=1, psi=0.5))
    assert z[:, :6].abs().max() <= 1 and torch.equal(z[:, 6:], gan.draw_latents(100, seed=1)[:, 6:])


def test_at_zero_a_class_has_one_image(run: Run) -> None:
    grid, columns = run.load().label_grid(3, psi=0.0)
    rows = grid.unflatten(0, (4, columns))
    torch.testing.assert_close(rows, rows[:, :1].expand_as(rows))
    assert (rows[0, 0] - rows[1, 0]).abs().max() > 1e-3


def test_batchnorm_gets_statistics_of_truncated_latents_and_the_model_keeps_its_own(run: Run) -> None:
    gan = run.load()
    before = {k: v.clone() for k, v in gan.nets.state_dict().items()}
    gan.sample(2, psi=0.5)
    assert all(torch.equal(v, before[k]) for k, v in gan.nets.state_dict().items())
    drawn = gan._sampler(0.5)["G"]
    direct = run.load().nets["G"]
    blocks = gan._blocks(STANDING, SPARE, 0.5)
    assert len(blocks) == 16 and len(blocks[0]) == BLOCK == 64
    standing_statistics_(direct, blocks)
    for a, b, old in zip(batch_norms(drawn), batch_norms(direct), batch_norms(gan.nets["G"]), strict=True):
        torch.testing.assert_close(a.running_mean, b.running_mean)
        torch.testing.assert_close(a.running_var, b.running_var)
        assert not torch.allclose(a.running_var, old.running_var)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["-n", "5", "--psi", "0.4"], 5),
        (["--label-grid", "-n", "2", "--psi", "0.4"], 8),
        (["--sweep", "label", "-n", "2", "--psi", "0.4"], 8),
    ],
)
def test_truncation_on_the_command_line(run: Run, tmp_path: Path, words: list[str], count: int) -> None:
    drawn = []
    for psi in (words, words[:-2]):
        assert main(["sample", str(run.path), *psi, "--out", str(tmp_path / "x.npz")]) == 0
        drawn.append(np.load(tmp_path / "x.npz")["samples"])
    assert drawn[0].shape == drawn[1].shape == (count, 1, 28, 28) and not np.array_equal(*drawn)


def test_the_command_line_says_what_psi_may_be(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", str(run.path), "--psi", "1.4"]) != 0
    assert "psi = 1.4 is out of range" in capsys.readouterr().err
