"""A recipe with a perceptual term: what run.yaml records of its network, and when a run may go on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import gansmith
from gansmith.engine import checkpoint
from gansmith.errors import GansmithError
from gansmith.evaluation.features.judge import Classifier
from gansmith.evaluation.features.store import write
from gansmith.perceptual import checksums, perceptual

RECIPE = '''
"""A generator that learns the perceptual mean of the data."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from gansmith.abilities import Generates
from gansmith.core import Nets, Player, Recipe, adam
from gansmith.nets import pair
from gansmith.objectives import pyramid_l1
from gansmith.perceptual import checksums, perceptual


@dataclass(frozen=True, kw_only=True)
class Likeness(Generates, Recipe):
    kinds: ClassVar[tuple[str, ...]] = ("image",)
    batch: int = 4
    perceptual: str = "none"

    @property
    def G(self):
        return Player("G", ("G",), adam(1e-3))

    def pretrained(self):
        return checksums(self.perceptual)

    def build(self, data):
        return Nets({"G": pair("mlp", data.shape, z_dim=self.z_dim, width=8)[0]})

    def round(self, nets, data, clock):
        real = data(self.batch)
        phi = perceptual(self.perceptual, real.device)
        fake = nets["G"](torch.randn(self.batch, self.z_dim, device=real.device))
        yield self.G, {"perceptual": pyramid_l1(phi, fake, real) if phi else (fake - real).abs().mean()}
'''


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Arguments of a small training with a judge as perceptual network."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    perceptual.cache_clear()
    (tmp_path / "likeness.py").write_text(RECIPE, encoding="utf-8")
    np.save(tmp_path / "x.npy", np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), np.uint8))
    write(tmp_path / "judge.safetensors", Classifier(3, 16, 4).state_dict())
    options = {"quiet": True, "device": "cpu", "tick": 16, "precision": "32"}
    return {"recipe": tmp_path / "likeness.py", "data": tmp_path / "x.npy", **options}


def test_the_run_records_and_goes_on_exactly(there: dict[str, Any], tmp_path: Path) -> None:
    name = f"judge:{tmp_path / 'judge.safetensors'}"
    whole = gansmith.train(**there, out=tmp_path / "whole", samples=32, perceptual=name)
    config = yaml.safe_load((whole.path / "run.yaml").read_text())
    assert config["pretrained"] == checksums(name) and config["fields"]["perceptual"] == name
    saved = checkpoint.load_nets(whole.path / "checkpoints" / "000000032")
    assert not any("features" in key for key in saved)  # the network is in no checkpoint

    gansmith.train(**there, out=tmp_path / "half", samples=16, perceptual=name)
    perceptual.cache_clear()  # as a new process
    gansmith.resume(tmp_path / "half", samples=32, quiet=True)
    again = checkpoint.load_nets(tmp_path / "half" / "checkpoints" / "000000032")
    assert saved.keys() == again.keys() and all(torch.equal(saved[key], again[key]) for key in saved)


def test_the_network_matters(there: dict[str, Any], tmp_path: Path) -> None:
    """With another judge the same run ends elsewhere, so the term is no ornament."""
    write(tmp_path / "other.safetensors", Classifier(3, 16, 4).state_dict())
    ends = []
    for judge in ("judge", "other"):
        name = f"judge:{tmp_path / judge}.safetensors"
        run = gansmith.train(**there, out=tmp_path / f"run-{judge}", samples=16, perceptual=name)
        ends.append(checkpoint.load_nets(run.path / "checkpoints" / "000000016"))
    assert any(not torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_other_weights_stop_a_resume(there: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "judge.safetensors"
    run = gansmith.train(**there, out=tmp_path / "run", samples=8, perceptual=f"judge:{file}")
    shutil.copy(file, tmp_path / "kept")
    write(file, Classifier(3, 16, 4).state_dict())
    with pytest.raises(GansmithError, match=r"weights of judge are not those that .*run was started with \(SHA-256 "):
        gansmith.resume(run.path, samples=16, quiet=True)
    file.unlink()
    with pytest.raises(GansmithError, match="there is no weights file"):
        gansmith.resume(run.path, samples=16, quiet=True)
    shutil.copy(tmp_path / "kept", file)
    assert gansmith.resume(run.path, samples=16, quiet=True).seen == 16


def test_missing_weights_are_told_before_anything_is_written(there: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(GansmithError, match="there is no weights file"):
        gansmith.train(**there, out=tmp_path / "run", samples=8, perceptual=f"judge:{tmp_path / 'gone'}")
    assert not (tmp_path / "run").exists()


def test_without_a_network_nothing_is_recorded(there: dict[str, Any], tmp_path: Path) -> None:
    run = gansmith.train(**there, out=tmp_path / "run", samples=8)
    assert yaml.safe_load((run.path / "run.yaml").read_text())["pretrained"] == {}
    assert gansmith.resume(run.path, samples=16, quiet=True).seen == 16
