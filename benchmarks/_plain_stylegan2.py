"""The rival: StyleGAN2 as its paper's equations read, in plain torch (NCHW, float32, eager).

Filters with [1, 3, 3, 1] spread the image with zeros, pad it and convolve it; each activation is bias, leaky ReLU and
factor one after the other; each move draws its own latents. Modulated convolutions either scale the weights and run as
one convolution in N groups (paper, appendix B), or scale activations (`grouped=False`). As many parameters as
gansmith's; `stylegan2.py` checks that.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def fir(x: Tensor, before: int, after: int, up: int = 1, down: int = 1) -> Tensor:
    """Spread by zeros, pad, filter with [1, 3, 3, 1] of gain up^2, keep each down-th pixel."""
    n, c, h, w = x.shape
    x = F.pad(x.reshape(n, c, h, 1, w, 1), [0, up - 1, 0, 0, 0, up - 1]).reshape(n, c, h * up, w * up)
    x = F.pad(x, [before, after, before, after])
    line = torch.tensor([1.0, 3.0, 3.0, 1.0])
    taps = torch.outer(line, line) / 64 * up**2
    return F.conv2d(x, taps.expand(c, 1, 4, 4), groups=c)[:, :, ::down, ::down]


def activate(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.ndim - 2)), 0.2) * sqrt(2)


class Dense(nn.Module):
    def __init__(self, a: int, b: int, rate: float = 1.0, bias: float = 0.0) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.randn(b, a) / rate), nn.Parameter(torch.full((b,), bias / rate))
        self.scale, self.rate = rate / sqrt(a), rate

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.scale, self.bias * self.rate)


class Modulated(nn.Module):
    def __init__(self, a: int, b: int, kernel: int, w_dim: int, grouped: bool, up: bool = False) -> None:
        super().__init__()
        self.affine = Dense(w_dim, a, bias=1.0)
        self.weight, self.bias = nn.Parameter(torch.randn(b, a, kernel, kernel)), nn.Parameter(torch.zeros(b))
        self.up, self.grouped, self.demodulate = up, grouped, kernel > 1

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        n, style = len(x), self.affine(w)
        weight = self.weight / sqrt(self.weight[0].numel())
        scaled = weight[None] * style[:, None, :, None, None]
        norm = (scaled.square().sum((2, 3, 4)) + 1e-8).rsqrt()
        if not self.grouped:
            y = self.convolve(x * style[:, :, None, None], weight, 1)
            return y * norm[:, :, None, None] if self.demodulate else y
        if self.demodulate:
            scaled = scaled * norm[:, :, None, None, None]
        y = self.convolve(x.reshape(1, -1, *x.shape[2:]), scaled.flatten(0, 1), n)
        return y.reshape(n, -1, *y.shape[2:])

    def convolve(self, x: Tensor, weight: Tensor, groups: int) -> Tensor:
        if not self.up:
            return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=groups)
        turned = weight.unflatten(0, (groups, -1)).transpose(1, 2).flatten(0, 1)
        return fir(F.conv_transpose2d(x, turned, stride=2, groups=groups), 1, 1) * 4


class Styled(nn.Module):
    def __init__(self, a: int, b: int, w_dim: int, grouped: bool, up: bool = False) -> None:
        super().__init__()
        self.conv = Modulated(a, b, 3, w_dim, grouped, up)
        self.strength = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        h = self.conv(x, w)
        h = h + torch.randn(len(h), 1, *h.shape[2:]) * self.strength
        return activate(h, self.conv.bias)


class Generator(nn.Module):
    """z (N, w_dim) -> images; mapping network and style mixing inside."""

    def __init__(self, channels: int, widths: list[int], w_dim: int, mapping: int, grouped: bool) -> None:
        super().__init__()
        self.mapping = nn.ModuleList(Dense(w_dim, w_dim, rate=0.01) for _ in range(mapping))
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        layers = [Styled(widths[0], widths[0], w_dim, grouped)]
        for a, b in pairwise(widths):
            layers += [Styled(a, b, w_dim, grouped, up=True), Styled(b, b, w_dim, grouped)]
        self.layers = nn.ModuleList(layers)
        self.rgb = nn.ModuleList(Modulated(b, channels, 1, w_dim, grouped) for b in widths)
        self.register_buffer("mean", torch.zeros(w_dim))

    def styles(self, n: int) -> Tensor:
        first, second = self.map(n), self.map(n)
        self.mean.copy_(first.detach().mean(0).lerp(self.mean, 0.995))
        ws = first[:, None].repeat(1, len(self.layers) + 1, 1)
        if torch.rand(()) < 0.9:
            cut = int(torch.randint(1, ws.shape[1], ()))
            ws = torch.cat([ws[:, :cut], second[:, None].repeat(1, ws.shape[1] - cut, 1)], 1)
        return ws

    def map(self, n: int) -> Tensor:
        w = torch.randn(n, len(self.mean))
        w = w * (w.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in self.mapping:
            w = F.leaky_relu(layer(w), 0.2) * sqrt(2)
        return w

    def forward(self, ws: Tensor) -> Tensor:
        x, image = self.constant.repeat(len(ws), 1, 1, 1), None
        for i, layer in enumerate(self.layers):
            x = layer(x, ws[:, i])
            if i % 2 == 0:
                rgb = self.rgb[i // 2]
                colours = rgb(x, ws[:, i + 1]) + rgb.bias[:, None, None]
                image = colours if image is None else fir(image, 2, 1, up=2) + colours
        return image


class Conv(nn.Module):
    def __init__(self, a: int, b: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(b, a, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(b)) if bias else None
        self.scale = 1 / sqrt(a * kernel**2)

    def forward(self, x: Tensor, padding: int = 0, stride: int = 1) -> Tensor:
        return F.conv2d(x, self.weight * self.scale, padding=padding, stride=stride)


class Discriminator(nn.Module):
    def __init__(self, channels: int, widths: list[int]) -> None:
        super().__init__()
        self.start = Conv(channels, widths[-1], 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList([Conv(a, a, 3), Conv(a, b, 3), Conv(a, b, 1, bias=False)]) for a, b in pairwise(widths[::-1])
        )
        self.conv = Conv(widths[0] + 1, widths[0], 3)
        self.dense, self.out = Dense(widths[0] * 16, widths[0]), Dense(widths[0], 1)

    def forward(self, x: Tensor) -> Tensor:
        x = activate(self.start(x), self.start.bias)
        for first, second, skip in self.blocks:
            h = activate(first(x, 1), first.bias)
            h = activate(second(fir(h, 2, 2), stride=2), second.bias)
            x = (h + skip(fir(x, 1, 1, down=2))) / sqrt(2)
        n, c, h, w = x.shape
        groups = x.reshape(min(4, n), -1, c, h, w)
        spread = (groups.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        x = torch.cat([x, spread.repeat(len(groups)).view(n, 1, 1, 1).expand(n, 1, h, w)], 1)
        x = activate(self.conv(x, 1), self.conv.bias).flatten(1)
        x = F.leaky_relu(self.dense(x), 0.2) * sqrt(2)
        return self.out(x)


class Training:
    """G, path lengths, D and R1 move in the order of the released code; each computes the gradients of its own."""

    def __init__(self, real: Tensor, widths: list[int], w_dim: int, mapping: int, gamma: float, grouped: bool) -> None:
        self.real, self.gamma = real, gamma
        self.G = Generator(real.shape[1], widths, w_dim, mapping, grouped)
        self.D = Discriminator(real.shape[1], widths)
        self.average = [p.detach().clone() for p in self.G.parameters()]
        self.path_mean = torch.zeros(())
        rates = ((self.G, 4 / 5), (self.D, 16 / 17))
        self.optims = [torch.optim.Adam(net.parameters(), 2e-3 * c, (0.0, 0.99**c)) for net, c in rates]

    def round(self, path: bool, r1: bool) -> Callable[[], None]:
        """A round with or without each of the penalties."""

        def call() -> None:
            self.move(0, self.loss_g)
            if path:
                self.move(0, self.path_length)
            self.move(1, self.loss_d)
            if r1:
                self.move(1, self.slope)
            for slow, fast in zip(self.average, self.G.parameters(), strict=True):
                slow.lerp_(fast.detach(), 0.001)

        return call

    def move(self, who: int, loss: Callable[[], Tensor]) -> None:
        for i, net in enumerate((self.G, self.D)):
            net.requires_grad_(i == who)
        self.optims[who].zero_grad(set_to_none=True)
        loss().backward()
        self.optims[who].step()

    def loss_g(self) -> Tensor:
        return F.softplus(-self.D(self.G(self.G.styles(len(self.real))))).mean()

    def loss_d(self) -> Tensor:
        with torch.no_grad():
            fake = self.G(self.G.styles(len(self.real)))
        return F.softplus(self.D(fake)).mean() + F.softplus(-self.D(self.real)).mean()

    def path_length(self) -> Tensor:
        ws = self.G.styles(max(1, len(self.real) // 2))
        image = self.G(ws)
        noise = torch.randn_like(image) / sqrt(image.shape[2] * image.shape[3])
        (slope,) = torch.autograd.grad((image * noise).sum(), ws, create_graph=True)
        lengths = slope.square().sum(2).mean(1).sqrt()
        self.path_mean = self.path_mean.lerp(lengths.detach().mean(), 0.01)
        return 4 * 2 * (lengths - self.path_mean).square().mean()

    def slope(self) -> Tensor:
        x = self.real.detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.D(x).sum(), x, create_graph=True)
        return 16 * self.gamma / 2 * slope.square().sum((1, 2, 3)).mean()
