"""Modulated convolution: both forms against an explicit loop over samples; what demodulation promises; precisions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.nn import BinomialFilter, ModulatedConv2d
from gansmith.nn.modulated import by_activations, by_weights, demodulation, modulated_conv2d

FORMS = [by_weights, by_activations]
CASES = [(3, False), (1, False), (3, True)]  # kernel, up
N, A, B = 3, 4, 5


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def upsampled(x: Tensor) -> Tensor:
    """A zero behind each pixel, then [1, 3, 3, 1] as a full convolution, gain 4: (a, H, W) -> (a, 2H + 2, 2W + 2).

    The filter's values one pixel beyond the doubled image are kept: the convolution behind sees them.
    """
    a, h, w = x.shape
    spread = x.new_zeros(a, 2 * h, 2 * w)
    spread[:, ::2, ::2] = x
    line = x.new_tensor([1.0, 3.0, 3.0, 1.0]) / 8
    taps = 4 * torch.outer(line, line)
    padded = F.pad(spread, (3, 2, 3, 2))
    out = x.new_zeros(a, 2 * h + 2, 2 * w + 2)
    for i in range(4):
        for j in range(4):
            out = out + taps[i, j] * padded[:, i : i + 2 * h + 2, j : j + 2 * w + 2]
    return out


def loop(x: Tensor, weight: Tensor, style: Tensor, bias: Tensor, demodulate: bool, up: bool, gain: float) -> Tensor:
    """The paper's equations 1 and 3 for one sample after the other."""
    if up:
        weight = weight.transpose(0, 1).flip(2, 3)  # a transposed convolution turns the filter round
    images = []
    for i in range(len(x)):
        w = weight * style[i][None, :, None, None]
        if demodulate:
            w = w / (w.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        seen = upsampled(x[i]) if up else F.pad(x[i], (weight.shape[-1] // 2,) * 4)
        images.append(F.conv2d(seen[None], gain * w)[0] + bias[:, None, None])
    return torch.stack(images)


def inputs(kernel: int, up: bool) -> list[Tensor]:
    weight = torch.randn(*((A, B) if up else (B, A)), kernel, kernel)
    tensors = torch.randn(N, A, 6, 5), weight, torch.randn(N, A), torch.randn(B)
    return [t.requires_grad_() for t in tensors]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize(("kernel", "up"), CASES)
def test_each_form_is_the_loop_over_samples(
    form: Callable[..., Tensor], demodulate: bool, kernel: int, up: bool
) -> None:
    given = inputs(kernel, up)
    blur = BinomialFilter(1, gain=4.0, tail=1) if up else None
    x, weight, style, bias = given
    y = form(x, weight, style, bias, demodulate, blur, 1.5)
    wanted = loop(*given, demodulate, up, 1.5)
    torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)
    towards = torch.randn_like(wanted)
    grads, slow = (torch.autograd.grad((v * towards).sum(), given, create_graph=True) for v in (y, wanted))
    for grad, right in zip(grads, slow, strict=True):
        torch.testing.assert_close(grad, right, rtol=1e-4, atol=1e-4)
    twice, right = (torch.autograd.grad(g[2].square().sum(), [x, weight]) for g in (grads, slow))
    for grad, value in zip(twice, right, strict=True):
        torch.testing.assert_close(grad, value, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kernel", "up"), CASES)
def test_the_public_function_is_one_of_the_forms(kernel: int, up: bool) -> None:
    x, weight, style, bias = inputs(kernel, up)
    blur = BinomialFilter(1, gain=4.0, tail=1) if up else None
    torch.testing.assert_close(
        modulated_conv2d(x, weight, style, bias, blur=blur), by_weights(x, weight, style, bias, blur=blur)
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("up", [False, True])
def test_the_size_of_a_demodulated_style_does_not_matter(form: Callable[..., Tensor], up: bool) -> None:
    x, weight, style, bias = inputs(3, up)
    blur = BinomialFilter(1, gain=4.0, tail=1) if up else None
    y, louder = (form(x, weight, k * style, bias, True, blur) for k in (1.0, 10.0))
    torch.testing.assert_close(louder, y, rtol=1e-5, atol=1e-5)
    assert (form(x, weight, 10 * style, bias, False, blur) - y).abs().max() > 1


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("up", [False, True])
def test_demodulated_output_of_unit_input_has_unit_size(scale: float, up: bool) -> None:
    layer = ModulatedConv2d(64, 64, 3, 16, up=up)
    with torch.no_grad():
        layer.affine.weight.mul_(0.5)
        layer.affine.bias.fill_(scale)
        y = layer(torch.randn(8, 64, 16, 16), scale * torch.randn(8, 16))[:, :, 3:-3, 3:-3]
    # the filter averages: of white noise 20 / 64 per axis and phase is left, 4 of which the gain makes up for
    kept = 16 * (20 / 64) ** 2 / 4 if up else 1.0
    assert y.std().item() == pytest.approx(kept**0.5, rel=0.15)


def test_a_constant_stays_the_same_when_its_size_doubles() -> None:
    """With a kernel whose weights sum to 1, away from the border."""
    weight = torch.full((1, 1, 3, 3), 1 / 9)
    y = modulated_conv2d(
        torch.ones(1, 1, 8, 8), weight, torch.ones(1, 1), None, False, BinomialFilter(1, gain=4.0, tail=1)
    )
    torch.testing.assert_close(y[..., 4:-4, 4:-4], torch.ones(1, 1, 8, 8))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("kernel", "up"), CASES)
def test_bfloat16_autocast_comes_near_float32(form: Callable[..., Tensor], kernel: int, up: bool) -> None:
    x, weight, style, bias = inputs(kernel, up)
    blur = BinomialFilter(1, gain=4.0, tail=1) if up else None
    with torch.autocast("cpu", torch.bfloat16):
        assert demodulation(weight, style, up).dtype == torch.float32
        y = form(x, weight, style, bias, True, blur)
    assert (y - form(x, weight, style, bias, True, blur)).abs().max() < 0.05


def test_the_layer_is_the_function_of_its_affine_style() -> None:
    layer = ModulatedConv2d(A, B, 3, 7, gain=2.0)
    assert layer.affine.bias.tolist() == [1.0] * A  # at first the style leaves weights as they are
    x, w = torch.randn(N, A, 4, 4), torch.randn(N, 7)
    style = w @ layer.affine.weight.T / 7**0.5 + 1
    torch.testing.assert_close(layer(x, w), modulated_conv2d(x, layer.weight, style, layer.bias, gain=2.0))
    to_rgb = ModulatedConv2d(A, 3, 1, 7, demodulate=False)
    wanted = loop(x, to_rgb.weight, w @ to_rgb.affine.weight.T / 7**0.5 + 1, to_rgb.bias, False, False, A**-0.5)
    torch.testing.assert_close(to_rgb(x, w), wanted)


@pytest.mark.parametrize(("padding", "tail"), [(0, 0), (1, 0), (2, 0), (1, 1)])
def test_binomial_filter_by_hand(padding: int, tail: int) -> None:
    x = torch.randn(2, 3, 5, 6)
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    padded = F.pad(x, (padding,) * 4)
    rows = sum(line[i] * padded[:, :, i : padded.shape[2] - 3 + i] for i in range(4))
    wanted = sum(line[j] * rows[..., j : padded.shape[3] - 3 + j] for j in range(4))
    wanted = wanted[:, :, : wanted.shape[2] - tail, : wanted.shape[3] - tail]
    torch.testing.assert_close(BinomialFilter(padding, gain=2.0, tail=tail)(x), 2 * wanted)
