"""The stream: every sample once an epoch, a pure function of seed and position, the same over any number of ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gansmith.data import Images, Stream, open_data
from gansmith.data import cache as cache_module
from gansmith.data.stream import epoch_order
from gansmith.errors import GansmithError


@pytest.fixture(scope="module")
def data() -> Images:
    array = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    return open_data(array, progress=False)


def test_the_order_never_changes() -> None:
    """Fixed for good: a change here would break resuming of every earlier run."""
    assert epoch_order(10, seed=0, epoch=0).tolist() == [0, 8, 9, 3, 7, 5, 1, 2, 6, 4]
    assert epoch_order(10, seed=0, epoch=1).tolist() == [3, 7, 4, 2, 9, 8, 1, 6, 5, 0]


def test_every_sample_once_an_epoch(data: Images) -> None:
    count = data.spec.count
    stream = Stream(data, seed=3)
    epochs = [stream.positions(i * count, count) for i in range(3)]
    for order in epochs:
        assert sorted(order) == list(range(count))
    assert not np.array_equal(epochs[0], epochs[1]) and not np.array_equal(epochs[1], epochs[2])
    assert not np.array_equal(epochs[0], Stream(data, seed=4).positions(0, count))


def test_batches_are_the_pixels_in_order(data: Images) -> None:
    stream = Stream(data, seed=1)
    got = torch.cat([stream(7) for _ in range(20)])  # 140 samples: crosses two epochs inside batches
    want = data.fetch(stream.positions(0, 140))[0]
    assert torch.equal(got, want) and stream.seen == 140
    assert got.dtype == torch.float32 and got.shape == (140, 1, 8, 8)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 500), st.integers(1, 150))
def test_seek_equals_drawing(data: Images, position: int, n: int) -> None:
    drawn, jumped = Stream(data, seed=5), Stream(data, seed=5)
    drawn(position)
    jumped.seek(position)
    assert torch.equal(drawn(n), jumped(n)) and drawn.seen == jumped.seen == position + n


def test_seek_goes_back(data: Images) -> None:
    stream = Stream(data, seed=5)
    first = stream(90)
    stream(200)
    stream.seek(0)
    assert torch.equal(stream(90), first)


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_together_draw_the_single_process_batch(data: Images, world: int) -> None:
    single = Stream(data, seed=9)
    ranks = [Stream(data, seed=9, rank=r, world=world) for r in range(world)]
    for _ in range(9):  # several epochs
        together = torch.cat([rank(12 // world) for rank in ranks])
        assert torch.equal(together, single(12))
    assert {rank.seen for rank in ranks} == {single.seen}


def test_labels_stay_with_their_images(tmp_path: Path) -> None:
    """Each image is filled with its label's grey, with one odd pixel to keep images different."""
    y = np.arange(80) % 4
    array = np.repeat((y * 60).astype(np.uint8), 64).reshape(80, 8, 8).copy()
    array[np.arange(80), 0, 0] = np.arange(80)
    np.savez(tmp_path / "set.npz", x=array, y=y)
    stream = Stream(open_data(tmp_path / "set.npz", progress=False), ("x", "y"), seed=0)
    x, labels = stream(100)
    assert labels.dtype == torch.int64
    assert torch.equal(((x[:, 0, 4, 4] + 1) * 127.5).round().long(), labels * 60)
    swapped = Stream(stream.dataset, ("y", "x"), seed=0)(100)
    assert torch.equal(swapped[0], labels) and torch.equal(swapped[1], x)


def test_values_and_layout(data: Images) -> None:
    x = Stream(data, seed=0)(60)
    assert x.is_contiguous(memory_format=torch.channels_last)
    back = ((x + 1) * 127.5).round()
    assert back.min() == 0 and back.max() == 255
    assert torch.allclose(back / 127.5 - 1, x)


def test_mapped_sets_give_the_same_stream(tmp_path, noise, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "set.npy"
    np.save(path, np.stack([noise(i, 16, 16) for i in range(50)]))
    held = open_data(path, progress=False)
    monkeypatch.setattr(cache_module, "memory_limit", lambda: 1000)
    mapped = open_data(path, progress=False)
    assert isinstance(mapped._array, np.memmap) and not isinstance(held._array, np.memmap)
    a, b = Stream(held, seed=2), Stream(mapped, seed=2)
    for _ in range(8):
        x, y = a(13), b(13)
        assert torch.equal(x, y) and y.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(held.fetch_held_out(np.arange(2))[0], mapped.fetch_held_out(np.arange(2))[0])


def test_points_are_drawn_from_the_global_state() -> None:
    grid = open_data("grid25")
    stream = Stream(grid, seed=0, rank=1, world=2)
    torch.manual_seed(4)
    got = stream(32)
    torch.manual_seed(4)
    assert torch.equal(got, grid.draw(32)) and stream.seen == 64


def test_fields_that_are_not_there(data: Images) -> None:
    with pytest.raises(GansmithError, match='has no "y"'):
        Stream(data, ("x", "y"), seed=0)
    with pytest.raises(GansmithError, match='has no "y"'):
        data.fetch(np.arange(3), ("y",))


def test_a_negative_seed_is_refused(data: Images) -> None:
    with pytest.raises(GansmithError, match="seed = -1"):
        Stream(data, seed=-1)
