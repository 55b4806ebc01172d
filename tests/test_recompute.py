"""Blocks that are computed again in the backward pass: equal to the plain ones bit for bit, with less kept."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from gansmith.nets import dcgan, r3gan, sngan
from gansmith.nn.condition import Modulated
from gansmith.nn.recompute import recompute_
from gansmith.penalties import gradient_square

NETS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "BatchNorm": (lambda: sngan.Generator(6, (3, 28, 28), 8), (4, 6)),
    "labels in BatchNorm": (lambda: Modulated(sngan.Generator(4, (3, 28, 28), 8), 4, 2, plain=("bn",)), (4, 6)),
    "spectral normalisation": (lambda: sngan.Discriminator((3, 28, 28), 8), (4, 3, 28, 28)),
    "grouped, for penalties": (lambda: r3gan.Discriminator((3, 16, 16), (16, 16, 8), 1, 8), (4, 3, 16, 16)),
}


@pytest.mark.parametrize("name", NETS)
def test_values_gradients_and_buffers_are_the_same(name: str) -> None:
    make, shape = NETS[name]
    plain = make().train()
    again = copy.deepcopy(plain)
    assert recompute_(again) > 1
    a, b = torch.randn(shape), torch.randn(shape)

    def play(net: nn.Module) -> list[Tensor]:
        """Two forward passes before one backward pass, as in D's move."""
        y, other = net(a), net(b)
        (y.square().mean() + other.mean()).backward()
        return [y.detach(), other.detach(), *(p.grad for p in net.parameters() if p.grad is not None), *net.buffers()]

    for x, y in zip(play(plain), play(again), strict=True):
        assert torch.equal(x, y)
    assert plain.state_dict().keys() == again.state_dict().keys()


def test_penalties_go_through_it() -> None:
    plain = r3gan.Discriminator((3, 16, 16), (16, 16, 8), 1, 8)
    again = copy.deepcopy(plain)
    recompute_(again)
    x = torch.randn(4, 3, 16, 16)
    grads = []
    for net in (plain, again):
        real = x.clone().requires_grad_()
        logits = net(real)
        (logits.mean() + gradient_square(logits, real)).backward()
        grads.append([p.grad for p in net.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 10
    for p, q in zip(*grads, strict=True):
        torch.testing.assert_close(p, q, atol=1e-7, rtol=1e-5)


def test_random_numbers_are_those_of_the_first_pass() -> None:
    inner = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 8))
    plain = nn.Sequential(inner, nn.Sequential(nn.Linear(8, 1)))
    again = copy.deepcopy(plain)
    recompute_(again)
    x, found = torch.randn(64, 8), []
    for net in (plain, again):
        torch.manual_seed(3)
        net(x).sum().backward()
        found.append((net[0][0].weight.grad, torch.rand(1)))
    assert torch.equal(found[0][0], found[1][0]) and torch.equal(found[0][1], found[1][1])


def test_a_copy_computes_with_its_own_weights() -> None:
    net = sngan.Generator(6, (1, 28, 28), 8)
    recompute_(net)
    other = copy.deepcopy(net)
    with torch.no_grad():
        other.blocks[0].conv1.weight.zero_()
    z = torch.randn(2, 6)
    assert not torch.equal(net(z), other(z))


def test_less_is_kept() -> None:
    def kept(net: nn.Module) -> int:
        sizes: dict[int, int] = {}

        def pack(x: Tensor) -> Tensor:
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with saved_tensors_hooks(pack, lambda x: x):
            y = net(torch.randn(4, 3, 32, 32))
        assert y.requires_grad
        return sum(sizes.values())

    net = sngan.Discriminator((3, 32, 32), 32)
    plain = kept(net)
    recompute_(net)
    assert kept(net) < 0.6 * plain


def test_a_net_without_blocks_has_none() -> None:
    assert recompute_(dcgan.Generator(4, (3, 28, 28), 8)) == 0
