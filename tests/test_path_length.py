"""Path length regularisation: closed forms with a linear G, finite differences, and the running mean."""

from __future__ import annotations

from math import gamma, sqrt

import pytest
import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.nets import stylegan2
from gansmith.penalties import path_length

LAYERS, W = 3, 5


def linear(ws: Tensor, A: Tensor) -> Tensor:
    """Images (N, 1, 4, 4) that are a linear map A (LAYERS * W, 16) of the styles."""
    return (ws.flatten(1) @ A).view(-1, 1, 4, 4)


def styles(n: int) -> Tensor:
    return torch.randn(n, LAYERS, W, requires_grad=True)


def test_lengths_of_a_linear_generator() -> None:
    """J^T y = A y: its squared norm over the layers' number is the squared length, for y that the seed decides."""
    torch.manual_seed(0)
    ws, A, mean = styles(6), torch.randn(LAYERS * W, 16), torch.tensor(1.5)
    torch.manual_seed(1)
    penalty, after = path_length(linear(ws, A), ws, mean, decay=0.25)
    torch.manual_seed(1)
    y = torch.randn(6, 1, 4, 4).flatten(1) / 4
    lengths = ((y @ A.T).square().sum(1) / LAYERS).sqrt()
    wanted = 0.75 * 1.5 + 0.25 * lengths.mean()
    torch.testing.assert_close(after, wanted)
    torch.testing.assert_close(penalty, (lengths - wanted).square().mean())
    assert not after.requires_grad and mean.item() == 1.5


def test_a_rotation_has_the_mean_length_of_a_normal_vector() -> None:
    """A G with orthonormal columns turns y, 16 normal numbers of variance 1/16: E |y| is known, E |y|^2 = 1."""
    torch.manual_seed(0)
    ws = torch.randn(20_000, 1, 16, requires_grad=True)
    rotation = torch.linalg.qr(torch.randn(16, 16))[0]
    samples = (ws.flatten(1) @ rotation).view(-1, 1, 4, 4)
    penalty, mean = path_length(samples, ws, torch.zeros(()), decay=1.0)
    expected = sqrt(2) * gamma(17 / 2) / gamma(8) / 4
    assert mean.item() == pytest.approx(expected, abs=0.005)
    assert penalty.item() == pytest.approx(1 - expected**2, rel=0.05)


def test_the_penalty_is_least_when_lengths_are_the_mean() -> None:
    torch.manual_seed(0)
    ws = torch.zeros(4, 1, 2, requires_grad=True)
    samples = ws.sum((1, 2))[:, None, None, None].expand(4, 1, 1, 1)  # |J^T y| = sqrt(2) |y|
    torch.manual_seed(1)
    lengths = sqrt(2) * torch.randn(4, 1, 1, 1).abs().flatten()
    for a in (0.0, 0.7, 3.0):
        torch.manual_seed(1)
        value = path_length(samples, ws, torch.tensor(a), decay=0.0)[0]
        torch.testing.assert_close(value, (lengths - a).square().mean())


def lengths(G: stylegan2.Generator, ws: Tensor) -> Tensor:
    """|J^T y| per sample (N,), without a graph."""
    torch.manual_seed(1)
    samples = G(ws)
    y = torch.randn_like(samples) / 8
    (slope,) = torch.autograd.grad((samples * y).sum(), ws)
    return slope.square().sum(2).mean(1).sqrt()


def test_gradient_of_the_penalty_by_finite_differences() -> None:
    """Through modulated convolutions in float64: to a weight, a bias of a style, a part of the image, the styles.

    The target moves with the lengths, but is a constant to the gradient: it is held."""
    torch.manual_seed(0)
    G = stylegan2.Generator(4, (1, 8, 8), 32, 4).double().eval()
    ws = torch.randn(2, G.layers, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(1)
    penalty, held = path_length(G(ws), ws, torch.tensor(0.3, dtype=torch.float64))
    assert ((lengths(G, ws) - held).square().mean() - penalty).abs() < 1e-9
    tensors = [G.body[1].conv.weight, G.body[2].conv.affine.bias, G.to_rgb[1].weight, G.constant, ws]
    grads, step = torch.autograd.grad(penalty, tensors), 1e-5
    for tensor, grad in zip(tensors, grads, strict=True):
        towards = torch.randn_like(tensor) * step
        values = []
        for move in (towards, -2 * towards, towards):
            tensor.data.add_(move)
            values.append((lengths(G, ws) - held).square().mean().item())
        assert (values[0] - values[1]) / 2 == pytest.approx((grad * towards).sum().item(), rel=1e-5)


def test_samples_that_do_not_depend_on_the_styles_are_refused() -> None:
    ws = styles(2)
    for samples in (torch.randn(2, 1, 4, 4), torch.randn(2, 1, 4, 4, requires_grad=True)):
        with pytest.raises(GansmithError, match="depend on the styles"):
            path_length(samples, ws, torch.zeros(()))
    with pytest.raises(GansmithError, match="depend on the styles"):
        path_length(linear(ws.detach(), torch.randn(LAYERS * W, 16)), ws.detach(), torch.zeros(()))
