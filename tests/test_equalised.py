"""Equalised learning rate, pixel normalisation and the minibatch standard deviation."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from gansmith.core import DataSpec
from gansmith.doctor.signs import largest_singular_value, last_input
from gansmith.helpers import assemble
from gansmith.nn import EqualisedConv2d, EqualisedLinear, minibatch_std, pixel_norm
from gansmith.zoo.progan import ProGAN


@pytest.mark.parametrize("width", [16, 256])
def test_layers_keep_the_variance_at_the_start(width: int) -> None:
    x = torch.randn(64, width)
    assert EqualisedLinear(width, 512)(x).var().item() == pytest.approx(1.0, rel=0.15)
    maps = torch.randn(8, width, 16, 16)
    inner = EqualisedConv2d(width, 64, 3, gain=1.0)(maps)[:, :, 1:-1, 1:-1]
    assert inner.var().item() == pytest.approx(1.0, rel=0.15)


def test_all_layers_learn_at_the_same_relative_speed() -> None:
    """One step of Adam moves what a layer makes by the same share, whatever its fan-in; without scaling it does not."""

    def moved(layer: nn.Module, width: int) -> float:
        x = torch.randn(4096, width)
        before = layer(x).detach()
        optim = torch.optim.Adam(layer.parameters(), lr=1e-3)
        layer(x)[:, 0].sum().backward()
        optim.step()
        return (layer(x) - before)[:, 0].square().mean().sqrt().item()

    narrow, wide = moved(EqualisedLinear(16, 4, bias=None), 16), moved(EqualisedLinear(1024, 4, bias=None), 1024)
    assert narrow == pytest.approx(wide, rel=0.2)
    plain = [moved(nn.Linear(n, 4, bias=False), n) for n in (16, 1024)]
    assert plain[1] > 4 * plain[0]


def test_the_rate_multiplier_slows_a_layer_and_changes_nothing_else() -> None:
    slow = EqualisedLinear(64, 64, rate=0.01, bias=1.0)
    assert slow.weight.std().item() == pytest.approx(100, rel=0.1) and slow.bias is not None
    x = torch.randn(512, 64)
    y = slow(x)
    assert (y.var().item(), y.mean().item()) == pytest.approx((1.0, 1.0), rel=0.1)
    optim = torch.optim.Adam(slow.parameters(), lr=0.1)
    slow(x).sum().backward()
    optim.step()
    assert (slow(x) - y).abs().max() <= 0.01 * 0.1 * (x.abs().sum(1).max() / 8 + 1)


def test_pixel_norm_makes_unit_length_at_each_pixel() -> None:
    y = pixel_norm(7 * torch.randn(2, 5, 3, 3))
    torch.testing.assert_close(y.square().mean(1), torch.ones(2, 3, 3))
    assert pixel_norm(torch.randn(2, 4).bfloat16()).dtype == torch.bfloat16


def test_minibatch_std_by_hand() -> None:
    x = torch.randn(6, 3, 2, 2)
    y = minibatch_std(x, group=3)
    assert torch.equal(y[:, :3], x)
    for i in range(6):
        own = x[[j for j in range(6) if j % 2 == i % 2]]
        wanted = own.std(0, correction=0).mean()
        torch.testing.assert_close(y[i, 3], wanted.expand(2, 2), atol=1e-6, rtol=1e-5)


def test_minibatch_std_tells_a_collapsed_batch_and_bears_any_size() -> None:
    alike = torch.randn(1, 3, 4, 4).expand(8, 3, 4, 4)
    assert minibatch_std(alike)[:, 3].unique().tolist() == pytest.approx([1e-4])
    assert minibatch_std(torch.randn(8, 3, 4, 4))[:, 3].min() > 0.3
    for n in (1, 3, 5, 7):
        assert minibatch_std(torch.randn(n, 3, 4, 4)).shape == (n, 4, 4, 4)
    one = torch.randn(1, 3, 4, 4, requires_grad=True)
    (grad,) = torch.autograd.grad(minibatch_std(one).square().sum(), one)
    assert grad.isfinite().all()


def test_minibatch_std_can_be_differentiated_twice() -> None:
    x = torch.randn(4, 2, 2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda v: minibatch_std(v.float()).double().sum(), x, eps=1e-3, atol=1e-2, rtol=1e-2
    )
    (grad,) = torch.autograd.grad(minibatch_std(x.float()).square().sum(), x, create_graph=True)
    grad.square().sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()


def test_equalised_layers_count_as_layers_with_weights() -> None:
    """The doctor measures the weight as it is used and sees what goes into the last layer; dropout finds them, too."""
    net = nn.Sequential(EqualisedConv2d(2, 4, 1), nn.Flatten(), EqualisedLinear(4, 3))
    conv, linear = (m.weight.detach().flatten(1) * m.scale for m in (net[0], net[2]))
    largest = max(torch.linalg.matrix_norm(w, 2).item() for w in (conv, linear))
    assert largest_singular_value(net) == pytest.approx(largest, rel=0.05)
    with last_input(nn.ModuleDict({"D": net})) as box:
        net(torch.ones(5, 2, 1, 1))
    assert box["x"].shape == (5, 4)
    recipe = ProGAN(z_dim=4, fmap_base=32, fmap_max=8, dropout_g=0.5)
    G = assemble(recipe, DataSpec("d", "image", (1, 8, 8)))["G"]
    z = torch.randn(2, 4)
    assert not torch.equal(G(z), G(z)) and torch.equal(G.eval()(z), G(z))
