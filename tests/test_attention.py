"""Blocks that do more than one thing at a time, against the same things one after the other."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.nn import SelfAttention, convolved_down, spectral_norm, standing_statistics_, up_convolved
from gansmith.nn.standing import batch_norms


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# ---------------------------------------------------------------- self-attention


def slowly(block: SelfAttention, x: Tensor) -> Tensor:
    """One pixel after the other: its weights over all pooled pixels, and the sum of their values."""
    query, key, value = block.query(x), F.max_pool2d(block.key(x), 2), F.max_pool2d(block.value(x), 2)
    out = torch.zeros(len(x), value.shape[1], *x.shape[2:], dtype=x.dtype)
    for n in range(len(x)):
        for i in range(x.shape[2]):
            for j in range(x.shape[3]):
                products = (query[n, :, i, j, None, None] * key[n]).sum(0)
                weights = products.exp() / products.exp().sum()
                out[n, :, i, j] = (weights * value[n]).sum((1, 2))
    return x + block.gamma * block.out(out)


@pytest.mark.parametrize("spectral", [True, False])
def test_attention_is_the_slow_loop_and_so_are_its_gradients(spectral: bool) -> None:
    block = SelfAttention(16, spectral).double().eval()
    nn.init.constant_(block.gamma, 0.7)
    x = torch.randn(2, 16, 4, 6).double().requires_grad_()
    inputs = [x, *block.parameters()]
    direction = torch.randn_like(x)
    fast, slow = block(x), slowly(block, x)
    torch.testing.assert_close(fast, slow)
    for a, b in zip(*(torch.autograd.grad((y * direction).sum(), inputs) for y in (fast, slow)), strict=True):
        torch.testing.assert_close(a, b)


def test_attention_starts_as_the_identity_and_wakes_by_gamma() -> None:
    block, x = SelfAttention(16), torch.randn(2, 16, 4, 4)
    assert torch.equal(block(x), x)
    block(x).square().sum().backward()
    assert block.gamma.grad is not None and block.gamma.grad != 0


def test_attention_has_the_papers_widths() -> None:
    block = SelfAttention(64)
    assert [layer.weight.shape[:2] for layer in (block.query, block.key, block.value, block.out)] == [
        (8, 64),
        (8, 64),
        (32, 64),
        (64, 32),
    ]
    assert all(torch.linalg.svdvals(layer.weight.flatten(1))[0] < 1.001 for layer in (block.query, block.out))


def test_attention_under_bfloat16() -> None:
    block, x = SelfAttention(32), torch.randn(2, 32, 8, 8)
    nn.init.ones_(block.gamma)
    block.eval()
    with torch.autocast("cpu", torch.bfloat16):
        low = block(x)
    assert (low.float() - block(x)).norm() < 0.02 * block(x).norm()


# ---------------------------------------------------------------- convolution and change of size in one


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_fused_convolutions_are_the_two_steps(direction: str, spectral: bool) -> None:
    layer = nn.Conv2d(3, 5, 3, padding=1).double()
    layer = spectral_norm(layer).double().eval() if spectral else layer
    x = torch.randn(2, 3, 6, 4).double().requires_grad_()
    if direction == "up":
        fused, two = up_convolved(x, layer), layer(F.interpolate(x, scale_factor=2.0))
    else:
        fused, two = convolved_down(x, layer), F.avg_pool2d(layer(x), 2)
    torch.testing.assert_close(fused, two)
    inputs, weights = [x, *layer.parameters()], torch.randn_like(two)
    for a, b in zip(*(torch.autograd.grad((y * weights).sum(), inputs) for y in (fused, two)), strict=True):
        torch.testing.assert_close(a, b)


# ---------------------------------------------------------------- standing statistics


class Net(nn.Module):
    """BatchNorm first and behind a spectrally normalised layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.layer, self.second = nn.BatchNorm1d(3), spectral_norm(nn.Linear(3, 4)), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.layer(self.first(x)).relu())


def test_standing_statistics_are_means_over_batches() -> None:
    net, batches = Net(), [2 * torch.randn(8, 3) + i for i in range(5)]
    net(torch.randn(16, 3))  # other statistics, that must not count
    u = net.layer.parametrizations.weight[0].u.clone()
    standing_statistics_(net, batches)
    hidden = [(net.layer((b - b.mean(0)) / (b.var(0, unbiased=False) + 1e-5).sqrt())).relu() for b in batches]
    for norm, seen in ((net.first, batches), (net.second, hidden)):
        torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(0) for b in seen]).mean(0))
        torch.testing.assert_close(norm.running_var, torch.stack([b.var(0) for b in seen]).mean(0))
    assert torch.equal(net.layer.parametrizations.weight[0].u, u) and not any(m.training for m in net.modules())
    assert net.first.momentum == 0.1


def test_standing_statistics_change_nothing_else_and_repeat() -> None:
    net = Net()
    twin, batches = copy.deepcopy(net), [torch.randn(8, 3) for _ in range(3)]
    for one in (net, twin):
        standing_statistics_(one, batches)
    changed = [k for k, v in net.state_dict().items() if not torch.equal(v, twin.state_dict()[k])]
    fresh = Net().state_dict()
    assert not changed and net.state_dict().keys() == fresh.keys()
    assert len(batch_norms(net)) == 2 and not batch_norms(nn.BatchNorm1d(3, track_running_stats=False))
