"""Blocks of image-to-image nets: strided convolutions, PReLU, instance norm, halving, the image pool, jitter."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nn import Down4x4, ImagePool, InstanceNorm, PReLU, Up4x4, down_smooth, jittered, map_norm, norm, strided

CL = torch.channels_last

# --- 4x4 convolutions of stride 2 --------------------------------------------------------------------------------


@pytest.fixture
def convolved(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The layers that ran as torch's own."""
    layers = []

    def watch(kind: type, name: str) -> None:
        own = getattr(kind, name)

        def watched(self: nn.Module, *args):
            layers.append(self)
            return own(self, *args)

        monkeypatch.setattr(kind, name, watched)

    watch(nn.Conv2d, "_conv_forward")
    watch(nn.ConvTranspose2d, "forward")
    return layers


def plain(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    conv = F.conv2d if isinstance(layer, nn.Conv2d) else F.conv_transpose2d
    return conv(x, layer.weight, layer.bias, stride=2, padding=1)


@pytest.mark.parametrize("size", [(2, 2), (4, 6), (5, 7), (8, 8)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [Down4x4, Up4x4])
def test_the_product_is_the_convolution(
    kind: type, bias: bool, size: tuple[int, int], convolved: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values, gradients with respect to all, and memory format."""
    monkeypatch.setitem(strided.FEW, 4, 128)
    layer = kind(6, 5, bias).to(memory_format=CL)
    x = torch.randn(2, 6, *size).to(memory_format=CL).requires_grad_()
    y = layer(x)
    assert not convolved and y.is_contiguous(memory_format=CL)
    expected = plain(layer, x)
    torch.testing.assert_close(y, expected)
    g = torch.randn_like(y)
    inputs = [x, *layer.parameters()]
    for a, b in zip(torch.autograd.grad(y, inputs, g), torch.autograd.grad(expected, inputs, g), strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", [Down4x4, Up4x4])
def test_the_product_has_second_derivatives(kind: type) -> None:
    layer = kind(2, 3).double()
    x = torch.randn(1, 2, 4, 2).double().requires_grad_()
    assert torch.autograd.gradgradcheck(lambda x: layer(x) ** 2, x)


@pytest.mark.parametrize(
    ("kind", "side", "low", "product"),
    [
        *((Down4x4, 16, False, True), (Down4x4, 18, False, False), (Down4x4, 32, True, True)),
        *((Up4x4, 8, False, True), (Up4x4, 9, False, False), (Up4x4, 16, True, True), (Up4x4, 17, True, False)),
    ],
)
def test_many_pixels_are_convolved(kind: type, side: int, low: bool, product: bool, convolved: list) -> None:
    """The limit counts the pixels of the coarser maps, over the batch; in bfloat16 it is higher."""
    layer, x = kind(4, 4), torch.randn(1, 4, side, side)
    x = x.bfloat16() if low else x
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        y = layer(x)
    assert len(convolved) == (not product)
    torch.testing.assert_close(y.float(), plain(layer, x.float()), **({"atol": 0.05, "rtol": 0.05} if low else {}))
    convolved.clear()
    layer(torch.randn(strided.FEW[4] + 1, 4, 2, 2))
    assert convolved == [layer]


def test_a_transposed_convolution_can_be_told_its_size() -> None:
    layer, x = Up4x4(2, 3), torch.randn(1, 2, 3, 3)
    assert layer(x, [7, 6]).shape == (1, 3, 7, 6)


# --- PReLU, norms, halving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.25, -0.5, 1.5])
def test_prelu_is_torchs(slope: float) -> None:
    ours, theirs = PReLU(), nn.PReLU()
    assert ours.state_dict().keys() == theirs.state_dict().keys() and ours.weight.item() == 0.25
    x = torch.randn(3, 4, 5, 5, requires_grad=True)
    grads = []
    for layer in (ours, theirs):
        nn.init.constant_(layer.weight, slope)
        y = layer(x)
        (first,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        grads.append((y, *torch.autograd.grad(first.square().sum() + y.sum(), [x, layer.weight])))
    torch.testing.assert_close(*grads)
    assert ours(x.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("n", [1, 3])
def test_instance_norm_is_its_formula(n: int) -> None:
    """Not compared with torch's gradient, which is wrong for one sample in channels-last memory."""
    x = (3 + 2 * torch.randn(n, 4, 5, 6)).to(memory_format=CL).requires_grad_()
    layer = norm("instance", 4, 2)
    y = layer(x)
    centred = x - x.mean((2, 3), keepdim=True)
    expected = centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()
    assert isinstance(layer, InstanceNorm) and y.is_contiguous(memory_format=CL) and not layer.state_dict()
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(y, F.instance_norm(x))
    g = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, x, g), torch.autograd.grad(expected, x, g))
    assert torch.equal(layer.eval()(x), y)


@pytest.mark.parametrize("n", [1, 2])
def test_instance_norm_takes_its_statistics_in_float32(n: int) -> None:
    """A bfloat16 mean of 50 would be off by up to 0.1; results are rounded by up to 0.016."""
    x = (50 + torch.randn(n, 8, 32, 32)).bfloat16().to(memory_format=CL)
    with torch.autocast("cpu", torch.bfloat16):
        y = InstanceNorm()(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), F.instance_norm(x.double()), atol=0.016, rtol=0)


def test_gains_are_drawn_around_one() -> None:
    layer = map_norm("batch", 4000)
    assert layer.weight.mean().item() == pytest.approx(1, abs=0.002)
    assert layer.weight.std().item() == pytest.approx(0.02, rel=0.05) and layer.bias.abs().max() == 0
    assert isinstance(map_norm("none", 4), nn.Identity)


@pytest.mark.parametrize("size", [(4, 4), (5, 3), (1, 6)])
def test_smooth_halving_is_the_mean_of_what_there_is(size: tuple[int, int]) -> None:
    x = torch.randn(1, 2, *size)
    y = down_smooth(x)
    assert y.shape[2:] == tuple(-(-side // 2) for side in size)
    for i, j in product(*map(range, y.shape[2:])):
        square = x[0, :, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2]
        torch.testing.assert_close(y[0, :, i, j], square.mean((1, 2)))


# --- the image pool ----------------------------------------------------------------------------------------------


def numbered(start: int, n: int) -> Tensor:
    """Images whose pixels all say which they are."""
    return torch.arange(start, start + n, dtype=torch.float32).view(n, 1, 1, 1).expand(n, 2, 3, 3)


def test_the_pool_returns_as_many_old_images_as_new_ones() -> None:
    pool = ImagePool((2, 3, 3))
    ages = [numbered(i, 10) - pool(numbered(i, 10)) for i in range(0, 10_000, 10)]
    age = torch.cat(ages)[:, 0, 0, 0]
    assert torch.equal(torch.cat(ages), age.view(-1, 1, 1, 1).expand(-1, 2, 3, 3))
    assert (age[:50] == 0).all() and (age >= 0).all()
    later = age[50:]
    assert 0.48 < (later == 0).float().mean() < 0.52
    assert later.mean() > 20 and later[later > 0].mean().item() == pytest.approx(100, rel=0.1)  # 1 / (1/2 * 1/50)


def reference(images: list[float], slots: list[int], swaps: list[bool], size: int) -> Iterator[float]:
    """Lists and ifs."""
    kept: list[float] = []
    for image, slot, swap in zip(images, slots, swaps, strict=True):
        if len(kept) < size:
            kept.append(image)
            yield image
        elif swap:
            yield kept[slot]
            kept[slot] = image
        else:
            yield image


def test_the_pool_is_the_papers_list() -> None:
    """Batches that do not divide its size, and larger than it."""
    pool, slots, swaps, given = ImagePool((2, 3, 3), size=7), [], [], []
    for i in range(20):
        torch.manual_seed(i)
        slots += torch.randint(7, (9, 1)).flatten().tolist()
        swaps += (torch.rand(9, 1, 1, 1) < 0.5).flatten().tolist()
        torch.manual_seed(i)
        given += pool(numbered(9 * i, 9))[:, 0, 0, 0].tolist()
    assert given == list(reference([float(i) for i in range(180)], slots, swaps, 7)) and sum(swaps) > 60


def test_a_restored_pool_goes_on_alike() -> None:
    """While it fills and when it is full; with the seed of the round, as the engine sets it."""
    for filled in (3, 40):
        pool, twin = ImagePool((2, 3, 3), 5), ImagePool((2, 3, 3), 5)
        pool(numbered(0, filled))
        twin.load_state_dict({k: v.clone() for k, v in pool.state_dict().items()})
        results = []
        for one in (pool, twin):
            torch.manual_seed(1)
            results.append(torch.cat([one(numbered(100 + i, 3)) for i in range(0, 30, 3)]))
        assert torch.equal(*results) and (results[0] < 100).any()


def test_the_pool_gives_no_gradient_and_keeps_the_type() -> None:
    pool = ImagePool((1, 2, 2), 2)
    x = torch.randn(3, 1, 2, 2, requires_grad=True)
    assert not pool(x).requires_grad and not pool.images.requires_grad
    low = torch.randn(3, 1, 2, 2).bfloat16()
    assert pool(low).dtype == torch.bfloat16 and pool.images.dtype == torch.float32
    fresh = ImagePool((1, 2, 2), 3)
    assert torch.equal(fresh(low), low)


def test_nothing_that_runs_each_round_asks_for_a_value() -> None:
    """On the meta device there are none."""
    with torch.device("meta"):
        assert ImagePool((1, 2, 2), 2)(torch.zeros(3, 1, 2, 2)).shape == (3, 1, 2, 2)
        assert jittered(torch.zeros(2, 3, 8, 8))[0].shape == (2, 3, 8, 8)


# --- jitter ------------------------------------------------------------------------------------------------------


def windows(x: Tensor, big: tuple[int, int], step: int = 1) -> dict[tuple[int, int, bool], Tensor]:
    """Every window of the enlarged images, mirrored and not, by torch's own enlarging."""
    enlarged = F.interpolate(x, size=big, mode="bilinear")
    h, w = x.shape[2:]
    found = {}
    for i, j in product(range(0, big[0] - h + 1, step), range(0, big[1] - w + 1, step)):
        window = enlarged[:, :, i : i + h, j : j + w]
        found |= {(i // step, j // step, False): window, (i // step, j // step, True): window.flip(3)}
    return found


@pytest.mark.parametrize("s", [1, 2, 4])
def test_jitter_is_the_same_window_of_all_images(s: int) -> None:
    """16 x 24 is enlarged to 18 x 27: 3 * 4 windows, mirrored and not; all of them come up, and nothing else."""
    n, size = 200, (16, 24)
    a = torch.randn(1, 3, *size).expand(n, -1, -1, -1)
    b = torch.randn(1, 2, s * size[0], s * size[1]).expand(n, -1, -1, -1)
    got_a, got_b = jittered(a, b)
    choices = [{k: v for k, v in windows(x[:1], (k * 18, k * 27), k).items()} for x, k in ((a, 1), (b, s))]
    assert choices[0].keys() == choices[1].keys() and len(choices[0]) == 24
    seen = set()
    for one_a, one_b in zip(got_a, got_b, strict=True):
        keys = [key for key, window in choices[0].items() if torch.allclose(window[0], one_a, atol=1e-4)]
        assert len(keys) == 1
        torch.testing.assert_close(choices[1][keys[0]][0], one_b, atol=1e-4, rtol=1e-4)
        seen |= set(keys)
    assert len(seen) == 24


def test_jitter_without_effect() -> None:
    x = torch.randn(4, 3, 9, 7)
    (y,) = jittered(x, enlarged=1.0, mirror=False)
    torch.testing.assert_close(y, x, atol=1e-5, rtol=1e-5)
    mirrored = jittered(x.expand(4, -1, -1, -1), enlarged=1.0)[0]
    assert all(
        torch.allclose(m, o, atol=1e-5) or torch.allclose(m, o.flip(2), atol=1e-5)
        for m, o in zip(mirrored, x, strict=True)
    )


def test_jitter_follows_the_global_seed() -> None:
    x = torch.randn(8, 3, 64, 64)
    results = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        random.seed()
        results.append(jittered(x)[0])
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])
    assert results[0].abs().max() <= x.abs().max()


@pytest.mark.parametrize("other", [(2, 3, 8, 9), (2, 3, 4, 4), (2, 3, 16, 8), (3, 3, 8, 8), (2, 3, 12, 12)])
def test_jitter_refuses_images_that_do_not_belong_together(other: tuple[int, ...]) -> None:
    with pytest.raises(GansmithError, match=r"multiples of the first one's, not \(2, 3, 8, 8\) and \("):
        jittered(torch.zeros(2, 3, 8, 8), torch.zeros(other))
