"""WGAN-GP: the critic's slope is pulled to 1 between data and fakes, instead of clipping its weights.

Paper: Improved Training of Wasserstein GANs, Gulrajani et al. 2017, arXiv:1704.00028, Algorithm 1.
Code: igul222/improved_wgan_training.
Deviations: the DCGAN pair by default on images. `net="resnet"` is the paper's CIFAR ResNet, but the critic sums over
    pixels at its end where the code averages. G's move takes the fakes of the last critic move (the paper: new ones;
    the CIFAR code: twice as many). Real samples are not dequantised.
Command: gansmith train wgan_gp --data digits        gansmith train wgan_gp --data photos/ --net resnet --resolution 32
Result: docs/recipes/wgan_gp.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch

from gansmith.abilities import Discriminates, Generates
from gansmith.auto import image_settings, point_settings
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.errors import GansmithError
from gansmith.nets import sngan
from gansmith.nets.pair import pair
from gansmith.objectives import wasserstein_d, wasserstein_g
from gansmith.penalties import wgan_gp


@dataclass(frozen=True, kw_only=True)
class WGANGP(Generates, Discriminates, Recipe):
    """Wasserstein losses and a two-sided gradient penalty at random points between data and fakes.

    Args:
        net: "mlp", "dcgan", "resnet" (32, 64, 128 px) or "auto" (dcgan for images, mlp for points).
        norm_g: "batch", "none" or "auto" (batch in dcgan, none in mlp); the critic never has BatchNorm, which would
            couple the samples.
        width: of the smallest layer ("dcgan"), of every block ("resnet") or of the hidden layers ("mlp").
        n_critic: critic moves per generator move.
        gp_weight: lambda.
        one_sided: only slopes above 1 are punished.
        lr: learning rate at the start.
        lr_final: the share of lr left at the end (linear).
        betas: of Adam.
    """

    ranges: ClassVar = {"betas": (0.0, 0.9999), "lr_final": (0.0, 1.0)}
    presets: ClassVar = {
        "cifar10": {
            "net": "resnet",
            "width": 128,
            "lr": 2e-4,
            "lr_final": 0.0,
            "betas": (0.0, 0.9),
            "samples": 5 * 64 * 100_000,
        }
    }

    net: Literal["auto", "mlp", "dcgan", "resnet"] = "auto"
    norm_g: Literal["auto", "batch", "none"] = "auto"
    width: int = 64
    z_dim: int = 128
    n_critic: int = 5
    gp_weight: float = 10.0
    one_sided: bool = False
    lr: float = 1e-4
    lr_final: float = 1.0
    betas: tuple[float, float] = (0.5, 0.9)

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        if data.kind == "image":
            return image_settings(data, device, draws=5) | {
                "lr": Setting(2e-4, "small batches of small images bear twice the paper's")
            }
        return point_settings(draws=5, rounds=1875) | {"gp_weight": Setting(0.1, "the paper's toy setting")}

    def build(self, data: DataSpec) -> Nets:
        shape, z_dim, width = data.shape, self.z_dim, self.width
        if self.net == "resnet":
            return Nets(
                {
                    "G": sngan.Generator(z_dim, shape, width),
                    "D": sngan.Discriminator(shape, width, spectral=False),
                }
            )
        G, D = pair(self.net, shape, z_dim=z_dim, width=width, norm_g=self.norm_g, norm_d="none")
        return Nets({"G": G, "D": D})

    def check(self, data: DataSpec) -> None:
        super().check(data)
        if self.net == "resnet" and self.norm_g != "auto":
            raise GansmithError(
                f'norm_g = "{self.norm_g}" is for the nets dcgan and mlp: the resnet G has BatchNorm; leave it out.'
            )

    @property
    def boundary(self) -> float | None:
        return None

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G, D = nets["G"], nets["D"]
        options = {"lr": clock.linear(self.lr, self.lr * self.lr_final)}
        optim = adam(self.lr, self.betas)
        for _ in range(self.n_critic):
            real = data(self.batch)
            fake = G(self.draw_latents(self.batch, real.device))
            yield (
                Player("D", ("D",), optim, options),
                {
                    "adv": wasserstein_d(*self.flipped(D(real), D(fake.detach()))),
                    "gp": self.gp_weight * wgan_gp(D, real, fake, one_sided=self.one_sided),
                },
            )
        yield Player("G", ("G",), optim, options), {"adv": wasserstein_g(D(fake))}
