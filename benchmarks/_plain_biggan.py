"""The rival: BigGAN's step at 32 px, operation by operation as the paper and its released code have it.

Plain torch: NCHW, float32, torch's own spectral norm and Adam; doubling before convolutions and averaging after them,
also in shortcuts; D judges real and generated images in one pass and is frozen while G moves; an averaged G; `.item()`
each move. Each BatchNorm has a table of gains and biases by class; there is no attention and no shared embedding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


def conv(a: int, b: int, kernel: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(a, b, kernel, padding=kernel // 2))


class ClassNorm(nn.Module):
    """BatchNorm with gains around 1 and biases by class."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.gain, self.bias = nn.Embedding(classes, channels), nn.Embedding(classes, channels)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        gain, bias = (1 + self.gain(y))[:, :, None, None], self.bias(y)[:, :, None, None]
        return self.norm(x) * gain + bias


class Up(nn.Module):
    def __init__(self, a: int, b: int, classes: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = ClassNorm(a, classes), ClassNorm(b, classes)
        self.conv1, self.conv2, self.skip = conv(a, b, 3), conv(b, b, 3), conv(a, b, 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = self.conv1(F.interpolate(F.relu(self.norm1(x, y)), scale_factor=2))
        h = self.conv2(F.relu(self.norm2(h, y)))
        return h + self.skip(F.interpolate(x, scale_factor=2))


class Generator(nn.Module):
    """z (N, z_dim), y (N,) -> images (N, 3, 32, 32)."""

    def __init__(self, z_dim: int, classes: int, width: int) -> None:
        super().__init__()
        self.start, self.width = spectral_norm(nn.Linear(z_dim, width * 16)), width
        self.blocks = nn.ModuleList(Up(width, width, classes) for _ in range(3))
        self.norm, self.out = nn.BatchNorm2d(width), conv(width, 3, 3)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        h = self.start(z).view(len(z), self.width, 4, 4)
        for block in self.blocks:
            h = block(h, y)
        return torch.tanh(self.out(F.relu(self.norm(h))))


class Down(nn.Module):
    def __init__(self, a: int, b: int, first: bool, down: bool) -> None:
        super().__init__()
        self.first, self.down = first, down
        self.conv1, self.conv2 = conv(a, b, 3), conv(b, b, 3)
        self.skip = conv(a, b, 1) if a != b or down else None

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv2(F.relu(self.conv1(x if self.first else F.relu(x))))
        if self.down:
            h = F.avg_pool2d(h, 2)
        if self.skip is None:
            return h + x
        if self.first:  # the image is averaged before its 1x1 convolution, features after it
            return h + self.skip(F.avg_pool2d(x, 2))
        return h + F.avg_pool2d(self.skip(x), 2)


class Discriminator(nn.Module):
    """Images (N, 3, 32, 32), y (N,) -> logits (N,)."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Down(3 if i == 0 else width, width, i == 0, i < 2) for i in range(4))
        self.out, self.embed = spectral_norm(nn.Linear(width, 1)), spectral_norm(nn.Embedding(classes, width))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        h = F.relu(x).sum((2, 3))
        return self.out(h).squeeze(1) + (self.embed(y) * h).sum(1)


def step(real: Tensor, y: Tensor, z_dim: int, classes: int, width: int) -> Callable[[], tuple[float, float]]:
    """One move of D and one of G. Args: real (N, 3, 32, 32), y (N,); width: channels of all blocks."""
    G, D = Generator(z_dim, classes, width), Discriminator(classes, width)
    average = copy.deepcopy(G).eval().requires_grad_(False)
    optim_g, optim_d = (torch.optim.Adam(net.parameters(), 2e-4, (0.0, 0.999)) for net in (G, D))
    n = len(real)

    def play() -> tuple[float, float]:
        D.requires_grad_(True)
        optim_d.zero_grad()
        with torch.no_grad():
            asked = torch.randint(classes, (n,))
            fake = G(torch.randn(n, z_dim), asked)
        fake_logits, real_logits = D(torch.cat([fake, real]), torch.cat([asked, y])).split(n)
        loss_d = F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()
        loss_d.backward()
        optim_d.step()
        D.requires_grad_(False)
        optim_g.zero_grad()
        asked = torch.randint(classes, (n,))
        loss_g = -D(G(torch.randn(n, z_dim), asked), asked).mean()
        loss_g.backward()
        optim_g.step()
        with torch.no_grad():
            for slow, fast in zip(average.state_dict().values(), G.state_dict().values(), strict=True):
                slow.copy_(slow * 0.9999 + fast * 0.0001)
        return loss_d.item(), loss_g.item()

    return play
