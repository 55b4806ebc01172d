"""The rivals: DCGAN and its training as tutorials write them, in plain torch (NCHW, float32, torch's default Adam).

The networks are those of pytorch/examples and have as many parameters as gansmith's; `step.py` checks that.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

Step = Callable[[], tuple[float, ...]]


def generator(z_dim: int, channels: int = 3, width: int = 64) -> nn.Sequential:
    """z (N, z_dim, 1, 1) -> images (N, channels, 64, 64) in [-1, 1]."""
    widths = [8 * width, 4 * width, 2 * width, width]
    layers = [nn.ConvTranspose2d(z_dim, widths[0], 4, 1, 0, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
    for a, b in pairwise(widths):
        layers += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(True)]
    return _initialise(nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()))


def discriminator(channels: int = 3, width: int = 64, norm: bool = True) -> nn.Sequential:
    """Images (N, channels, 64, 64) -> logits (N,); without BatchNorm its convolutions have biases."""
    layers = [nn.Conv2d(channels, width, 4, 2, 1, bias=not norm), nn.LeakyReLU(0.2, True)]
    for a, b in pairwise([width, 2 * width, 4 * width, 8 * width]):
        layers += [nn.Conv2d(a, b, 4, 2, 1, bias=not norm), *[nn.BatchNorm2d(b)] * norm, nn.LeakyReLU(0.2, True)]
    return _initialise(nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False), nn.Flatten(0)))


def _initialise(net: nn.Sequential) -> nn.Sequential:
    for layer in net:
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return net


def dcgan_step(real: Tensor, z_dim: int, width: int, fresh: bool) -> Step:
    """One move of D and one of G.

    Args:
        real: (N, 3, 64, 64).
        fresh: G's move draws fakes of its own; otherwise both moves use the same ones, as pytorch/examples does.
    """
    G, D, bce = generator(z_dim, 3, width), discriminator(3, width), nn.BCEWithLogitsLoss()
    optim_g, optim_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (G, D))
    n = len(real)
    ones, zeros = torch.ones(n), torch.zeros(n)

    def step() -> tuple[float, ...]:
        optim_d.zero_grad()
        fake = G(torch.randn(n, z_dim, 1, 1))
        loss_d = bce(D(real), ones) + bce(D(fake.detach()), zeros)
        loss_d.backward()
        optim_d.step()
        optim_g.zero_grad()
        if fresh:
            fake = G(torch.randn(n, z_dim, 1, 1))
        loss_g = bce(D(fake), ones)
        loss_g.backward()  # D's gradients too, though nobody uses them
        optim_g.step()
        return loss_d.item(), loss_g.item()

    return step


def critic_step(real: Tensor, z_dim: int, width: int, penalty: str) -> Step:
    """One critic move with a gradient penalty: "wgan_gp" (Wasserstein loss) or "r1" (non-saturating loss)."""
    G, D = generator(z_dim, 3, width), discriminator(3, width, norm=False)
    optim = torch.optim.Adam(D.parameters(), 1e-4, (0.5, 0.9))
    n, bce = len(real), nn.BCEWithLogitsLoss()
    loss = {"wgan_gp": _wgan_gp, "r1": _r1}[penalty]

    def step() -> tuple[float, ...]:
        optim.zero_grad()
        fake = G(torch.randn(n, z_dim, 1, 1)).detach()
        total = loss(D, bce, real, fake)
        total.backward()
        optim.step()
        return (total.item(),)

    return step


def _wgan_gp(D: nn.Module, bce: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    share = torch.rand(len(real), 1, 1, 1)
    between = (share * real + (1 - share) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    gap = slope.flatten(1).norm(2, dim=1) - 1
    return D(fake).mean() - D(real).mean() + 10 * gap.square().mean()


def _r1(D: nn.Module, bce: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """With a forward pass of its own for the penalty."""
    real_logits, fake_logits = D(real), D(fake)
    adv = bce(real_logits, torch.ones_like(real_logits)) + bce(fake_logits, torch.zeros_like(fake_logits))
    x = real.detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return adv + 5 * slope.flatten(1).square().sum(1).mean()
