"""Blocks: spectral normalisation, resampling, initial weights, normalisation, float32 islands."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import convolve2d
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gansmith.nn import (
    LEAKY_GAIN,
    BinomialDown,
    BinomialUp,
    PenalisedConv2d,
    down_average,
    fan_in_normal_,
    glorot_uniform_,
    in_float32,
    norm,
    normal_,
    spectral_norm,
    up_nearest,
)

FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def raw(layer: nn.Module) -> Tensor:
    return layer.parametrizations.weight.original


def sigma_state(layer: nn.Module) -> nn.Module:
    return layer.parametrizations.weight[0]


def renew(layer: nn.Module) -> None:
    """Another weight than the one that the power iteration has seen."""
    with torch.no_grad():
        raw(layer).normal_()


LAYERS = {
    "linear": (lambda: nn.Linear(48, 32), (4, 48)),
    "conv": (lambda: nn.Conv2d(8, 16, 3), (2, 8, 5, 5)),
    "conv groups": (lambda: nn.Conv2d(8, 16, 3, groups=4), (2, 8, 5, 5)),
}


@pytest.fixture(params=LAYERS)
def layer_and_input(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor]:
    make, shape = LAYERS[request.param]
    return spectral_norm(make()), torch.randn(shape)


def test_spectral_norm_reaches_one(layer_and_input: tuple[nn.Module, Tensor]) -> None:
    layer, x = layer_and_input
    renew(layer)
    for _ in range(50):
        layer(x)
    layer.eval()
    top = torch.linalg.svdvals(layer.weight.flatten(1))[0]
    assert 0.95 < top < 1.05
    assert torch.linalg.svdvals(raw(layer).flatten(1))[0] > 3  # it was not 1 before


def test_spectral_norm_is_right_from_the_start(layer_and_input: tuple[nn.Module, Tensor]) -> None:
    layer = layer_and_input[0].eval()
    assert 1.0 <= torch.linalg.svdvals(layer.weight.flatten(1))[0] + 1e-5 < 1.1


def test_one_power_iteration_per_training_forward() -> None:
    layer = spectral_norm(nn.Linear(6, 5))
    renew(layer)
    W, u = raw(layer).detach().numpy(), sigma_state(layer).u.numpy().copy()
    v = W.T @ u / np.linalg.norm(W.T @ u)
    u = W @ v / np.linalg.norm(W @ v)
    layer(torch.randn(2, 6))
    np.testing.assert_allclose(sigma_state(layer).u, u, atol=1e-6)
    np.testing.assert_allclose(sigma_state(layer).v, v, atol=1e-6)
    np.testing.assert_allclose(layer.eval().weight.detach(), W / (u @ W @ v), atol=1e-6)


def test_eval_freezes_sigma(layer_and_input: tuple[nn.Module, Tensor]) -> None:
    layer, x = layer_and_input
    renew(layer)
    layer.eval()
    before = copy.deepcopy(layer.state_dict())
    assert torch.equal(layer(x), layer(x))
    assert all(torch.equal(before[k], v) for k, v in layer.state_dict().items())
    layer.train()(x)
    assert not torch.equal(before["parametrizations.weight.0.u"], sigma_state(layer).u)


def test_spectral_norm_resumes_exactly_from_its_state_dict() -> None:
    first, second = spectral_norm(nn.Linear(16, 16)), spectral_norm(nn.Linear(16, 16))
    x = torch.randn(3, 16)
    renew(first)
    first(x)
    second.load_state_dict(first.state_dict())
    for _ in range(3):
        assert torch.equal(first(x), second(x))


def test_copies_of_a_spectral_layer_are_independent() -> None:
    layer = spectral_norm(nn.Linear(16, 16))
    renew(layer)
    u = sigma_state(layer).u.clone()
    twin = copy.deepcopy(layer)
    assert torch.equal(twin.eval()(torch.ones(1, 16)), layer.eval()(torch.ones(1, 16)))
    twin.train()(torch.ones(1, 16))
    assert torch.equal(sigma_state(layer).u, u) and not torch.equal(sigma_state(twin).u, u)


def test_gradient_flows_through_sigma_with_u_and_v_constant() -> None:
    """d(A . W/sigma)/dW = (A - (A . W/sigma) u v^T) / sigma."""
    layer = spectral_norm(nn.Linear(6, 5)).eval()
    A, W = torch.randn(5, 6), raw(layer)
    u, v = sigma_state(layer).u, sigma_state(layer).v
    (layer.weight * A).sum().backward()
    sigma = (u @ W @ v).detach()
    expected = (A - (A * W.detach() / sigma).sum() * torch.outer(u, v)) / sigma
    torch.testing.assert_close(W.grad, expected)


def test_two_forwards_before_one_backward() -> None:
    """D(real) and D(fake), then one backward: the second forward must not spoil the first one's vectors."""
    layer = spectral_norm(nn.Linear(6, 5))
    renew(layer)
    a, b = torch.randn(2, 6), torch.randn(2, 6)
    twin = copy.deepcopy(layer)
    (layer(a).sum() + layer(b).sum()).backward()
    twin(a).sum().backward()
    twin(b).sum().backward()
    torch.testing.assert_close(raw(layer).grad, raw(twin).grad)


def test_spectral_norm_has_second_derivatives() -> None:
    layer = spectral_norm(nn.Conv2d(2, 3, 3)).double().eval()

    def f(x: Tensor, w: Tensor) -> Tensor:
        y = torch.func.functional_call(layer, {"parametrizations.weight.original": w}, (x,))
        return y.square()

    x, w = torch.randn(1, 2, 4, 4).double().requires_grad_(), raw(layer).detach().clone().requires_grad_()
    assert torch.autograd.gradgradcheck(f, (x, w))


def test_sigma_is_float32_under_autocast() -> None:
    layer = spectral_norm(nn.Linear(64, 64))
    twin = copy.deepcopy(layer)
    with torch.autocast("cpu", torch.bfloat16):
        weight, out = layer.weight, layer(torch.ones(1, 64))
    assert out.dtype == torch.bfloat16
    assert torch.equal(weight, twin.weight)


CONVOLUTIONS = {
    "grouped": dict(kernel_size=3, padding=1, groups=2),
    "strided": dict(kernel_size=4, stride=2, padding=1),
    "pointwise": dict(kernel_size=1, bias=False),
}


@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_penalised_convolution_has_exact_derivatives(options: dict) -> None:
    conv = PenalisedConv2d(4, 6, **options).double()
    x = torch.randn(2, 4, 6, 6).double().requires_grad_()

    def f(x: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip((k for k, _ in conv.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(conv, named, (x,))

    inputs = (x, *(p.detach().clone().requires_grad_() for p in conv.parameters()))
    assert torch.autograd.gradcheck(f, inputs) and torch.autograd.gradgradcheck(f, inputs)


@pytest.mark.parametrize("low", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("options", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_penalised_convolution_agrees_with_torch(options: dict, low: bool) -> None:
    """Values bit for bit; the gradients of a penalty on two forward passes up to the order of sums."""
    results = []
    for kind in (PenalisedConv2d, nn.Conv2d):
        torch.manual_seed(1)
        conv = kind(4, 6, **options)
        x = torch.randn(2, 3, 4, 6, 6, requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            a, b = F.leaky_relu(conv(x[0]), 0.2), F.leaky_relu(conv(x[1]), 0.2)
        (slope,) = torch.autograd.grad((a.float() ** 2 + b.float()).sum(), x, create_graph=True)
        (slope.square().sum() + b.float().sum()).backward()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=low):
            assert torch.equal(F.leaky_relu(conv(x[0]), 0.2), a)
        results.append((a, b, [p.grad for p in conv.parameters()], conv.state_dict().keys()))
    (a, b, grads, keys), (a_, b_, grads_, keys_) = results
    assert torch.equal(a, a_) and torch.equal(b, b_) and a.dtype == a_.dtype and keys == keys_
    for p, q in zip(grads, grads_, strict=True):
        assert (p - q).norm() <= (0.02 if low else 1e-5) * q.norm()


@pytest.mark.parametrize("wanted, calls", [("input", 1), ("weight", 1), ("both", 2)])
def test_penalised_convolution_computes_only_what_is_asked_for(wanted: str, calls: int) -> None:
    class Count(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls += func is torch.ops.aten.convolution_backward.default
            return func(*args, **(kwargs or {}))

    conv, x = PenalisedConv2d(2, 2, 3), torch.randn(1, 2, 4, 4, requires_grad=True)
    y = conv(x).sum()
    inputs = {"input": [x], "weight": [conv.weight], "both": [x, conv.weight]}[wanted]
    with Count() as count:
        torch.autograd.backward(y, inputs=inputs)
    assert count.calls == calls and all(t.grad is not None for t in inputs)


def sparse(x: np.ndarray) -> np.ndarray:
    """Zeros between the pixels."""
    out = np.zeros((2 * x.shape[0], 2 * x.shape[1]))
    out[::2, ::2] = x
    return out


def test_binomial_up_is_scipys_convolution() -> None:
    x = torch.randn(2, 3, 5, 6)
    y = BinomialUp()(x)
    assert y.shape == (2, 3, 10, 12)
    for i, j in np.ndindex(2, 3):
        expected = convolve2d(sparse(x[i, j].numpy()), 4 * FILTER)[1:11, 1:13]
        np.testing.assert_allclose(y[i, j], expected, atol=1e-5)


def test_binomial_down_is_scipys_convolution() -> None:
    x = torch.randn(2, 3, 6, 8)
    y = BinomialDown()(x)
    assert y.shape == (2, 3, 3, 4)
    for i, j in np.ndindex(2, 3):
        expected = convolve2d(x[i, j].numpy(), FILTER)[2:8:2, 2:10:2]
        np.testing.assert_allclose(y[i, j], expected, atol=1e-5)


@pytest.mark.parametrize(
    "up, down", [(BinomialUp(), BinomialDown()), (up_nearest, down_average)], ids=["binomial", "square"]
)
def test_up_is_four_times_the_adjoint_of_down(up, down) -> None:
    x, y = torch.randn(2, 3, 4, 6).double(), torch.randn(2, 3, 8, 12).double()
    torch.testing.assert_close((up(x) * y).sum(), 4 * (x * down(y)).sum())


@pytest.mark.parametrize("resample", [BinomialUp(), BinomialDown(), up_nearest, down_average])
def test_a_constant_stays_constant_inside(resample) -> None:
    y = resample(torch.full((1, 2, 8, 8), 3.0))
    torch.testing.assert_close(y[:, :, 1:-1, 1:-1], torch.full_like(y[:, :, 1:-1, 1:-1], 3.0))


@pytest.mark.parametrize("resample", [BinomialUp(), BinomialDown()])
def test_binomial_precision_memory_and_derivatives(resample: nn.Module) -> None:
    x = torch.randn(2, 4, 6, 6).to(memory_format=torch.channels_last)
    y = resample(x)
    assert y.is_contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(resample(x), y)  # float32 stays float32
        low = resample(x.bfloat16())
    assert low.dtype == torch.bfloat16
    torch.testing.assert_close(low, resample(x.bfloat16().float()).bfloat16())
    assert not resample.state_dict()  # the filter is no state
    assert torch.autograd.gradgradcheck(lambda x: resample(x) ** 2, torch.randn(1, 2, 4, 4).double().requires_grad_())


def test_initial_weights() -> None:
    dense, grouped = nn.Linear(300, 200), nn.Conv2d(64, 128, 3, groups=4)
    glorot_uniform_(dense, gain=2.0)
    bound = 2 * (6 / 500) ** 0.5
    assert 0.98 * bound < dense.weight.abs().max() <= bound and dense.bias.abs().max() == 0
    assert fan_in_normal_(grouped, LEAKY_GAIN) is grouped
    assert grouped.weight.std().item() == pytest.approx(LEAKY_GAIN / (16 * 9) ** 0.5, rel=0.03)
    assert grouped.bias.abs().max() == 0 and fan_in_normal_(dense, 0.0).weight.abs().max() == 0
    assert normal_(dense).weight.std().item() == pytest.approx(0.02, rel=0.03)


def test_leaky_gain_keeps_the_second_moment() -> None:
    x = F.leaky_relu(torch.randn(1_000_000), 0.2) * LEAKY_GAIN
    assert x.square().mean().item() == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 3, 3)])
@pytest.mark.parametrize("kind", ["batch", "layer", "none"])
def test_only_batch_normalisation_couples_the_samples(kind: str, shape: tuple[int, ...]) -> None:
    layer = norm(kind, 8, len(shape) - 2)
    x = torch.randn(shape)
    other = torch.cat([x[:1], 3 * x[1:] + 1])
    changed = not torch.allclose(layer(x)[0], layer(other)[0], atol=1e-6)
    assert changed == (kind == "batch")
    if kind == "layer":
        y = layer(x).flatten(1)
        torch.testing.assert_close(y.mean(1), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(y.var(1, correction=0), torch.ones(4), atol=1e-3, rtol=0)


def test_float32_island() -> None:
    layer = nn.Linear(8, 8)
    x = torch.randn(2, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        y = in_float32(layer, x)
        assert layer(x).dtype == torch.bfloat16 and not torch.equal(layer(x).float(), y)
    assert torch.equal(y, layer(x.float())) and in_float32(torch.sin, x.double()).dtype == torch.float64
