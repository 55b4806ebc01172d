"""VGG trunks: published sizes, torchvision's layout, an independent convolution, and what training asks of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.nets.judge import judge
from gansmith.nets.vgg import Trunk, vgg

PARAMETERS = {16: 14_714_688, 19: 20_024_384}  # of the convolutions: torchvision's totals less those of the classifiers
INDICES = {
    16: (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28),
    19: (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34),
}
"""Of the convolutions in torchvision's `features`."""


def made(depth: int, seed: int = 0) -> Trunk:
    """A network with random weights that keep the size of activations."""
    with torch.device("meta"):
        net = vgg(depth, f"vgg{depth}")
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, value in net.state_dict().items():
        spread = (2 / value[0].numel()) ** 0.5 if value.ndim == 4 else 0.1
        state[name] = spread * torch.randn(value.shape, generator=generator)
    net.load_state_dict(state, assign=True)
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def vgg16() -> Trunk:
    return made(16)


def pictures(n: int = 2, side: int = 32, channels: int = 3, seed: int = 0) -> Tensor:
    return 2 * torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed)) - 1


# ---------------------------------------------------------------- the network


@pytest.mark.parametrize("depth", [16, 19])
def test_sizes_and_layout_are_torchvisions(depth: int) -> None:
    with torch.device("meta"):
        net = vgg(depth, "x")
    state = net.state_dict()
    assert sum(value.numel() for value in state.values()) == PARAMETERS[depth]
    assert list(state) == [f"features.{i}.{kind}" for i in INDICES[depth] for kind in ("weight", "bias")]
    assert [len([n for n in net.names if n.startswith(f"relu{i}_")]) for i in range(1, 6)] == (
        [2, 2, 3, 3, 3] if depth == 16 else [2, 2, 4, 4, 4]
    )


def by_numpy(state: dict[str, Tensor], image: np.ndarray) -> dict[str, np.ndarray]:
    """VGG-16 of one image (3, H, W) in [-1, 1], window by window, as the papers define it."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = ((image.astype(float) + 1) / 2 - mean[:, None, None]) / std[:, None, None]
    found, names = {}, iter(state)
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for i in range(1, count + 1):
            weight, bias = (state[next(names)].double().numpy() for _ in range(2))
            windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (1, 1), (1, 1))), (3, 3), (1, 2))
            x = np.tensordot(weight, windows, ([1, 2, 3], [0, 3, 4])) + bias[:, None, None]
            found[f"conv{block}_{i}"] = x
            x = np.maximum(x, 0)
            found[f"relu{block}_{i}"] = x
        x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
        found[f"pool{block}"] = x
    return found


def test_every_output_agrees_with_numpy(vgg16: Trunk) -> None:
    image = pictures(1, 32)
    expected = by_numpy(vgg16.state_dict(), image[0].numpy())
    assert tuple(expected) == vgg16.names
    for name, found in zip(vgg16.names, vgg16(image, vgg16.names), strict=True):
        np.testing.assert_allclose(found[0].numpy(), expected[name], rtol=2e-3, atol=2e-4, err_msg=name)


def test_outputs_come_as_asked_for(vgg16: Trunk) -> None:
    x = pictures()
    raw, deep, again = vgg16(x, ("conv5_3", "relu5_3", "conv5_3"))
    assert torch.equal(raw, again) and torch.equal(raw.clamp_min(0), deep) and raw.min() < 0
    assert (vgg16.deep, vgg16.raw) == ("relu5_3", "conv5_3")
    assert raw.shape == (2, 512, 2, 2) and vgg16(x, ("pool1",))[0].shape == (2, 64, 16, 16)


def test_nothing_behind_the_last_output_is_computed(vgg16: Trunk) -> None:
    ran = []
    hooks = [m.register_forward_hook(lambda m, *_: ran.append(m)) for m in vgg16.features]
    vgg16(pictures(), ("relu2_1", "relu1_1"))
    for hook in hooks:
        hook.remove()
    assert len(ran) == 1 + vgg16.names.index("relu2_1")


def test_grey_is_repeated(vgg16: Trunk) -> None:
    grey = pictures(channels=1)
    assert torch.equal(vgg16(grey, ("relu1_1",))[0], vgg16(grey.repeat(1, 3, 1, 1), ("relu1_1",))[0])


# ---------------------------------------------------------------- in training


def test_gradients_reach_the_images_alone(vgg16: Trunk) -> None:
    x = pictures().requires_grad_()
    vgg16(x, ("relu3_1",))[0].sum().backward()
    assert x.grad is not None and x.grad.abs().sum() > 0
    assert not any(p.requires_grad or p.grad is not None for p in vgg16.parameters())


def test_autocast_gives_float32_near_the_truth(vgg16: Trunk) -> None:
    """The images are normalised in float32: in bfloat16 those near white would differ in their last bits alone."""
    x = pictures(1).requires_grad_()
    full = vgg16(x, vgg16.names)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = vgg16(x, vgg16.names)
        seen = vgg16.features[0](vgg16.mean).dtype
    assert seen == torch.bfloat16  # convolutions did run in it
    for name, a, b in zip(vgg16.names, full, mixed, strict=True):
        assert b.dtype == torch.float32, name
        assert float((a - b).detach().norm() / a.detach().norm()) < 0.03, name
    mixed[-1].sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_half_precision_images_are_taken(vgg16: Trunk) -> None:
    x = pictures(1, 16).bfloat16()
    assert torch.equal(vgg16(x, ("relu1_1",))[0], vgg16(x.float(), ("relu1_1",))[0])


# ---------------------------------------------------------------- bad input


def test_bad_input_is_a_sentence(vgg16: Trunk) -> None:
    for x, taps, words in (
        (pictures(), ("relu1-1",), r'vgg16 has no output "relu1-1". Did you mean "relu1_1"\?'),
        (pictures(channels=2), ("relu1_1",), r"takes images \(N, C, H, W\) of 1 or 3 channels, not \(2, 2, 32, 32\)"),
        (pictures()[0], ("relu1_1",), r"not \(3, 32, 32\)"),
        (pictures(side=15), ("relu1_1", "relu5_1"), "15 x 15 px are too small for relu5_1 of vgg16: it needs 16 px"),
        (pictures(side=1), ("pool1",), "1 x 1 px are too small for pool1 of vgg16: it needs 2 px"),
    ):
        with pytest.raises(GansmithError, match=words):
            vgg16(x, taps)
    assert vgg16(pictures(side=16), ("relu5_1",))[0].shape == (2, 512, 1, 1)


def test_judge_strides_and_refuses() -> None:
    net = judge(1, 7)
    assert net(pictures(side=64, channels=1), ("relu1", "relu2"))[1].shape == (2, 64, 16, 16)
    assert (net.deep, net.raw, net.pyramid) == ("relu2", "conv2", ("relu1", "relu2"))
    with pytest.raises(GansmithError, match=r"judge takes images .* of 1 channel, not"):
        net(pictures(), ("relu1",))
