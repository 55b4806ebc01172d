"""InfoGAN: a part of the latent is a code that must be found again in the sample, so that it comes to mean something.

Paper: InfoGAN: Interpretable Representation Learning by Information Maximizing GANs, Chen et al. 2016,
    arXiv:1606.03657, equation 6; the bound of equation 4 with a fixed code prior.
Code: openai/InfoGAN, whose MNIST settings are the defaults: noise and codes uniform on (-1, 1), continuous codes read
    as normal with standard deviation 1, the information term in both players' costs, G five times as fast as D.
Deviations: tanh and samples in [-1, 1]; leaky ReLU of slope 0.1 as in the paper's text (the code: 0.01); both moves of
    a round share their latents; on images the terms of the codes rise one after the other (info_warmup), continuous
    codes are read more exactly (code_std), from noisy samples (reader_noise), and there is less noise in z; samples are
    drawn from an average of G (ema_half_life; 0 switches it off).
Command: gansmith train infogan --data digits        gansmith sample RUN --sweep c2
Result: docs/recipes/infogan.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.abilities import Code, Discriminates, Generates, Targets, one_hot
from gansmith.auto import image_settings, point_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets import infogan, mlp
from gansmith.objectives import nonsaturating_d, nonsaturating_g


@dataclass(frozen=True, kw_only=True)
class InfoGAN(Generates, Discriminates, Targets, Recipe):
    """The original game, and a third net that reads the codes off the samples.

    Args:
        categorical: values of each categorical code; the sample grid shows the first one's in rows.
        continuous: number of continuous codes, each in -1 to 1.
        info_weight: of the information term; 0 is the ablation, whose codes mean nothing.
        info_warmup: share of the budget over which the term of the categorical codes rises from 0; that of the
            continuous ones rises over the second half of it. 0 = both are there from the start.
        code_std: standard deviation with which continuous codes are read: half of it makes their term 4 times as large.
        reader_noise: standard deviation of normal noise on the samples that the codes are read off; with some, codes
            must move what is seen, not single pixels.
        width: of the layer next to the image; on points: of the hidden layers.
        lr: learning rate of G at the start.
        lr_d: the same for D and the reader.
        lr_final: the share of the learning rates left at the end (linear).
        betas: of Adam.
    """

    prior: ClassVar[Literal["normal", "uniform"]] = "uniform"
    packs: ClassVar[bool] = False
    ranges: ClassVar = {
        "betas": (0.0, 0.9999),
        "lr_final": (0.0, 1.0),
        "info_warmup": (0.0, 1.0),
        "code_std": (0.01, 100.0),
        "continuous": (0, 100),
        "categorical": (2, 10_000),
        "batch": (2, 10**9),  # BatchNorm behind fully connected layers
    }

    categorical: tuple[int, ...] = (10,)
    continuous: int = 2
    info_weight: float = 1.0
    info_warmup: float = 0.0
    code_std: float = 1.0
    reader_noise: float = 0.0
    width: int = 64
    z_dim: int = 62
    batch: int = 128
    lr: float = 1e-3
    lr_d: float = 2e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.999)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "image":
            chosen = image_settings(data, device, batch=128)
            chosen.pop("width", None)  # the paper's nets are small enough
            why = "measured on digits10k: so the codes find its classes and its slant"
            found = {"info_warmup": 0.6, "code_std": 0.5, "reader_noise": 0.5, "z_dim": 36}
            return chosen | {name: Setting(value, why) for name, value in found.items()}
        return point_settings() | {"lr_d": Setting(2e-3, "measured on grid25")}

    def build(self, data: DataSpec) -> Nets:
        size = self.z_dim + sum(self.categorical) + self.continuous
        G: torch.nn.Module
        D: infogan.Discriminator | mlp.Discriminator
        if data.kind == "points":
            hidden = (self.width,) * 3
            G, D = mlp.Generator(size, data.shape, hidden), mlp.Discriminator(data.shape, hidden)
        else:
            G, D = infogan.Generator(size, data.shape, self.width), infogan.Discriminator(data.shape, self.width)
        return Nets({"G": G, "D": D, "Q": infogan.Reader(D.features, size - self.z_dim)})

    def draw_latents(
        self, n: int, device: torch.device | str = "cpu", generator: torch.Generator | None = None
    ) -> Tensor:
        """Latents (N, z_dim + codes): noise uniform on (-1, 1), one-hot categorical codes, continuous ones likewise."""
        noise = 2 * torch.rand(n, self.z_dim, device=device, generator=generator) - 1
        values = [torch.randint(k, (n,), device=device, generator=generator) for k in self.categorical]
        numbers = 2 * torch.rand(n, self.continuous, device=device, generator=generator) - 1
        return torch.cat([noise, *(one_hot(v, k) for v, k in zip(values, self.categorical, strict=True)), numbers], 1)

    def codes(self, data: DataSpec) -> tuple[Code, ...]:
        """c1, c2 ...: the categorical codes, then the continuous ones."""
        found: list[Code] = []
        start = self.z_dim
        for size in self.categorical:
            values = tuple(map(str, range(size)))
            found.append(Code(f"c{len(found) + 1}", "categorical", start, size, values))
            start += size
        for _ in range(self.continuous):
            found.append(Code(f"c{len(found) + 1}", "continuous", start, 1, low=-1.0, high=1.0))
            start += 1
        return tuple(found)

    def information(self, read: Tensor, z: Tensor, progress: float = 1.0) -> Tensor:
        """-L_I without the constants: how far what was read (N, codes) is from the codes in z, times `info_weight`.

        Source: eq. 5; a continuous code is normal around what was read, with standard deviation `code_std`.
        """
        categorical = min(1.0, progress / self.info_warmup) if self.info_warmup else 1.0
        continuous = max(0.0, 2 * categorical - 1)
        codes, start, cost = z[:, self.z_dim :], 0, read.new_zeros(())
        for size in self.categorical:
            part = slice(start, start + size)
            cost, start = cost + F.cross_entropy(read[:, part], codes[:, part].argmax(1)), start + size
        off = (read[:, start:] - codes[:, start:]) / self.code_std
        return self.info_weight * (categorical * cost + continuous * 0.5 * off.square().sum(1).mean())

    def read(self, nets: Nets, x: Tensor, h: Tensor) -> Tensor:
        """What Q makes of samples x, or of the features h that D has of them if there is no noise."""
        if self.reader_noise:
            D: Any = nets["D"]
            h = D.trunk(x + self.reader_noise * torch.randn_like(x))
        found: Tensor = nets["Q"](h)
        return found

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G = nets["G"]
        D: Any = nets["D"]
        optim_g, optim_d = adam(self.lr, self.betas), adam(self.lr_d, self.betas)
        options_g, options_d = ({"lr": clock.linear(lr, lr * self.lr_final)} for lr in (self.lr, self.lr_d))
        real = data(self.batch)
        z = self.draw_latents(self.batch, real.device)
        fake = G(z)
        h = D.trunk(fake.detach())
        yield (
            Player("D", ("D", "Q"), optim_d, options_d),
            {
                "adv": nonsaturating_d(*self.flipped(D(real), D.head(h)), smoothing=self.smoothing),
                "info": self.information(self.read(nets, fake.detach(), h), z, clock.progress),
            },
        )
        h = D.trunk(fake)
        info = self.information(self.read(nets, fake, h), z, clock.progress)
        yield Player("G", ("G",), optim_g, options_g), {"adv": nonsaturating_g(D.head(h)), "info": info}
