"""The store of features: what is asked for, what is kept, and what a kill or a damaged file costs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features import Extractor, Look, find
from gansmith.evaluation.features.store import FeatureStore, digest, read, write

COUNT, BLOCK = 25, 10
IMAGES = torch.rand(COUNT, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1


class Source:
    """Hands out images and remembers which were asked for; is killed when it is asked for image `killed_at`."""

    def __init__(self, killed_at: int = COUNT) -> None:
        self.asked: list[tuple[int, int]] = []
        self.killed_at = killed_at

    def __call__(self, first: int, end: int) -> Tensor:
        if end > self.killed_at:
            raise KeyboardInterrupt
        self.asked.append((first, end))
        return IMAGES[first:end]


@pytest.fixture
def pixels() -> Extractor:
    return find("pixels")


@pytest.fixture
def headed(pixels: Extractor) -> Extractor:
    return replace(pixels, name="headed", net=lambda x: Look(x.flatten(1), x.flatten(1)[:, :3].softmax(1)))


def same(a: Look, b: Look) -> bool:
    if a.probs is None or b.probs is None:
        return torch.equal(a.features, b.features) and a.probs is b.probs
    return torch.equal(a.features, b.features) and torch.equal(a.probs, b.probs)


def all_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("which", ["pixels", "headed"])
@pytest.mark.parametrize("block", [1, 10, 25, 100])
def test_blocks_make_the_whole(which: str, block: int, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    extractor = request.getfixturevalue(which)
    there = extractor.look(IMAGES)
    store = FeatureStore(tmp_path, block)
    assert same(store.get("a", Source(), extractor, COUNT), there)
    assert same(store.get("a", Source(killed_at=0), extractor, COUNT), there)  # nothing is asked for any more
    assert len(all_files(tmp_path)) == -(-COUNT // block) and store.notes == []


def test_killed_half_way_goes_on(tmp_path: Path, headed: Extractor) -> None:
    with pytest.raises(KeyboardInterrupt):
        FeatureStore(tmp_path, BLOCK).get("a", Source(killed_at=20), headed, COUNT)
    source = Source()
    found = FeatureStore(tmp_path, BLOCK).get("a", source, headed, COUNT)
    assert source.asked == [(20, 25)] and same(found, headed.look(IMAGES))


def test_killed_while_writing_leaves_nothing(
    tmp_path: Path, pixels: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "replace", kill)
        FeatureStore(tmp_path).get("a", Source(), pixels, COUNT)
    assert all_files(tmp_path) == []


def test_more_samples_use_the_whole_blocks(tmp_path: Path, pixels: Extractor) -> None:
    store, source = FeatureStore(tmp_path, BLOCK), Source()
    store.get("a", source, pixels, 15)
    assert same(store.get("a", source, pixels, COUNT), pixels.look(IMAGES))
    assert source.asked == [(0, 10), (10, 15), (10, 20), (20, 25)]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


def other(path: Path) -> None:
    write(path, {"features": torch.zeros(3, 16)})


@pytest.mark.parametrize("damage", [flip, cut, other, Path.unlink, lambda path: path.write_text("hello")])
def test_damaged_block_is_made_again(damage: Callable[[Path], object], tmp_path: Path, headed: Extractor) -> None:
    store = FeatureStore(tmp_path, BLOCK)
    there = store.get("a", Source(), headed, COUNT)
    (path,) = tmp_path.rglob("10-20.safetensors")
    damage(path)
    source = Source()
    assert same(store.get("a", source, headed, COUNT), there) and source.asked == [(10, 20)]
    assert same(store.get("a", Source(killed_at=0), headed, COUNT), there)


def test_other_data_and_other_extractors_are_kept_apart(tmp_path: Path, pixels: Extractor) -> None:
    store, source = FeatureStore(tmp_path), Source()
    for key, extractor in (
        ("a", pixels),
        ("b", pixels),
        ("a", replace(pixels, version="2")),
        ("a", replace(pixels, weights="0a1b2c3d")),
        ("a", replace(pixels, name="others")),
    ):
        store.get(key, source, extractor, COUNT)
    assert len(source.asked) == 5 == len(list(tmp_path.iterdir()))


def test_progress_is_told(tmp_path: Path, pixels: Extractor) -> None:
    told: list[tuple[int, int]] = []
    FeatureStore(tmp_path, BLOCK).get("a", Source(), pixels, COUNT, lambda done, of: told.append((done, of)))
    assert told == [(10, 25), (20, 25), (25, 25)]


def test_a_disk_that_refuses_costs_only_the_keeping(tmp_path: Path, pixels: Extractor) -> None:
    (tmp_path / "file").touch()
    store = FeatureStore(tmp_path / "file" / "features", BLOCK)
    assert same(store.get("a", Source(), pixels, COUNT), pixels.look(IMAGES))
    assert len(store.notes) == 1 and "Not a directory" in store.notes[0]


def test_bad_requests_are_explained(tmp_path: Path, pixels: Extractor) -> None:
    with pytest.raises(GansmithError, match="at least 1 is needed"):
        FeatureStore(tmp_path).get("a", Source(), pixels, 0)
    with pytest.raises(GansmithError, match="at least 1 image, not 0"):
        FeatureStore(tmp_path, 0)
    with pytest.raises(GansmithError, match="Asked for images 0 to 24, got 3 of them"):
        FeatureStore(tmp_path).get("a", lambda first, end: IMAGES[:3], pixels, COUNT)
    with pytest.raises(GansmithError, match="not finite"):
        FeatureStore(tmp_path).get("a", lambda first, end: IMAGES[first:end] * torch.inf, pixels, COUNT)
    assert all_files(tmp_path) == []


def test_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "new" / "t.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3)}
    write(path, tensors, {"name": "é", "share": 0.1})
    found = read(path)
    assert found is not None and found[1] == {"name": "é", "share": 0.1}
    assert all(torch.equal(found[0][name], value) for name, value in tensors.items())
    assert read(tmp_path / "absent") is None


def test_digest_is_of_values_not_of_layout() -> None:
    x = torch.rand(2, 3, 4, 4)
    assert digest({"x": x, "y": x[0]}) == digest({"y": x[0], "x": x.contiguous(memory_format=torch.channels_last)})
    assert digest({"x": x}) != digest({"x": x.double()}) != digest({"y": x})
