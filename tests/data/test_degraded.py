"""Pairs that a degradation makes of single images: drawn anew each time to train on, always the same when held out.

The degradation is a small one of these tests' own, in the place of those of `gansmith.data.degrade`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gansmith.data import Domains, Pairs, Stream, check_data, open_data
from gansmith.errors import GansmithError


@dataclass(frozen=True)
class Shrunk:
    """Means of `scale` x `scale` pixels, in grey, with normal noise."""

    scale: int
    noise: float
    text: str

    def channels(self, c: int) -> int:
        return 1

    def __call__(self, b: Tensor, /) -> Tensor:
        a = F.avg_pool2d(b, self.scale).mean(1, keepdim=True)
        return a + self.noise * torch.randn(a.shape, device=a.device)


def parse(text: str) -> Shrunk:
    name, *values = text.split()
    if name != "shrink":
        raise GansmithError(f'degrade = "{text}" is unknown: give shrink SCALE NOISE.')
    return Shrunk(int(values[0]), float(values[1]), f"shrink {int(values[0])} {float(values[1]):g}")


@pytest.fixture(autouse=True)
def degrade(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansmith.data.parse", parse)


@pytest.fixture
def data(photos: Callable[..., Path]) -> Pairs:
    found = open_data(photos(30), degrade="shrink 4 0.1", progress=False)
    assert isinstance(found, Pairs)
    return found


def shrunk(b: Tensor) -> Tensor:
    return F.avg_pool2d(b, 4).mean(1, keepdim=True)


def test_b_is_the_image_and_a_what_is_made_of_it(data: Pairs, photos) -> None:
    assert (data.spec.kind, data.spec.shape, data.spec.target) == ("pairs", (1, 8, 8), (3, 32, 32))
    plain = open_data(Path(data.spec.name), progress=False)
    assert data.spec.count == plain.spec.count and np.array_equal(data.held_out, plain.held_out)
    torch.manual_seed(0)
    a, b = data.fetch(np.arange(data.spec.count))
    assert torch.equal(b, plain.fetch(np.arange(plain.spec.count))[0])
    noise = a - shrunk(b)
    assert noise.std() == pytest.approx(0.1, rel=0.1) and noise.mean().abs() < 0.01
    assert a.is_contiguous(memory_format=torch.channels_last) and a.dtype == torch.float32


def test_it_is_drawn_anew_from_torchs_random_state(data: Pairs) -> None:
    stream, found = Stream(data, ("a", "b"), seed=0), []
    for seed in (1, 1, 2):
        stream.seek(5)
        torch.manual_seed(seed)
        found.append(stream(8))
    assert torch.equal(found[0][0], found[1][0]) and not torch.equal(found[0][0], found[2][0])
    assert torch.equal(found[0][1], found[2][1])
    b, a = Stream(data, ("b", "a"), seed=0)(8)
    assert (a - shrunk(b)).abs().max() < 0.6


def test_held_out_images_are_always_degraded_alike(data: Pairs) -> None:
    """Whatever the random state, and whichever others are fetched with them; and the state is left as it was."""
    n = len(data.held_out)
    torch.manual_seed(7)
    before = torch.random.get_rng_state()
    a, b = data.fetch_held_out(np.arange(n))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(8)
    for i in range(n):
        x, y = data.fetch_held_out(np.array([i]))
        assert torch.equal(x[0], a[i]) and torch.equal(y[0], b[i])
    assert n > 1 and not torch.equal((a - shrunk(b))[0], (a - shrunk(b))[1])
    assert data.fetch_held_out(np.arange(0))[0].shape == (0, 1, 8, 8)


def test_windows_are_degraded(tmp_path: Path, noise) -> None:
    from PIL import Image

    for i in range(12):
        Image.fromarray(noise(i, 40 + i, 50)).save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, degrade="shrink 4 0", fit="window", resolution=24, progress=False)
    assert (data.spec.shape, data.spec.target) == ((1, 6, 6), (3, 24, 24))
    found = [data.fetch(np.arange(data.spec.count)) for _ in range(2)]
    for a, b in (*found, data.fetch_held_out(np.arange(len(data.held_out)))):
        torch.testing.assert_close(a, shrunk(b))
    assert not torch.equal(found[0][1], found[1][1])


def test_as_two_domains(data: Pairs) -> None:
    apart = open_data(Path(data.spec.name), degrade="shrink 4 0", pairs=False, progress=False)
    assert isinstance(apart, Domains) and (apart.spec.shape, apart.spec.target) == ((1, 8, 8), (3, 32, 32))
    a, b = Stream(apart, ("a", "b"), seed=0)(apart.spec.count)
    mine = {tuple(x.flatten().mul(100).round().int().tolist()) for x in shrunk(b)}
    assert {tuple(x.flatten().mul(100).round().int().tolist()) for x in a} == mine  # the same images
    assert (a - shrunk(b)).abs().mean() > 0.1  # in other orders
    assert isinstance(data.apart(), Domains) and torch.equal(
        data.apart().fetch_held_out(np.arange(2), ("a",))[0], data.fetch_held_out(np.arange(2), ("a",))[0]
    )


def test_any_source_of_single_images(noise) -> None:
    array = np.stack([noise(i, 16, 16) for i in range(12)])
    data = open_data(array, degrade="shrink 2 0", progress=False)
    a, b = data.fetch(np.arange(data.spec.count))
    assert a.shape == (len(b), 1, 8, 8)


def test_the_text_is_in_fingerprint_and_report(data: Pairs) -> None:
    folder = Path(data.spec.name)
    again = open_data(folder, degrade=" shrink   4 0.10", progress=False)
    assert again.fingerprint == data.fingerprint
    others = [{"degrade": "shrink 4 0.2"}, {"degrade": "shrink 4 0.1", "resolution": 16}, {}]
    assert len({data.fingerprint, *(open_data(folder, progress=False, **o).fingerprint for o in others)}) == 4
    assert data.info["a"]["degrade"] == "shrink 4 0.1"
    report = check_data(folder, degrade="shrink 4 0.1", progress=False)
    assert report.kind == "pairs"
    line = next(line for line in report.lines() if line.startswith("training sees"))
    assert line.startswith("training sees: A 8 x 8 x 1 (shrink 4 0.1), B 32 x 32 x 3 (as they are); ")


def test_what_does_not_fit_is_refused(data: Pairs, sides, numbered) -> None:
    folder = Path(data.spec.name)
    for options, message in (
        ({"degrade": "blurr 3"}, 'degrade = "blurr 3" is unknown'),
        (
            {"degrade": "shrink 4 0", "resolution": 30},
            'resolution = 30 is no multiple of 4, by which "shrink 4 0" divides',
        ),
        ({"degrade": "shrink 4 0", "side_by_side": "AB"}, "has two sides already, and degrade makes pairs of single"),
        ({"degrade": "shrink 4 0", "labels": True}, "Labels and captions have no use with degrade"),
    ):
        with pytest.raises(GansmithError) as caught:
            open_data(folder, progress=False, **options)
        assert message in str(caught.value) and str(caught.value).endswith(".") and "\n" not in str(caught.value)
    with pytest.raises(GansmithError, match="has two sides already, and degrade makes pairs of single images"):
        open_data(sides(numbered(4), numbered(4)), degrade="shrink 4 0", progress=False)
    with pytest.raises(GansmithError, match="such as 28"):
        open_data(folder, degrade="shrink 4 0", resolution=30, progress=False)
    for side in (data.a, data.apart()):
        with pytest.raises(GansmithError, match='has no "y": its fields are'):
            side.fetch(np.arange(1), ("y",))
