"""StyleGAN2: a mapping network turns latents into styles, and a style scales the weights of each layer of G.

Paper: Analyzing and Improving the Image Quality of StyleGAN, Karras et al. 2020, arXiv:1912.04958; automatic settings:
    Training Generative Adversarial Networks with Limited Data, Karras et al. 2020, arXiv:2006.06676.
Code: NVlabs/stylegan2-ada-pytorch; its augmentation is the field `augment` of every recipe.
Deviations: D's move takes the fakes of G's move instead of new ones; which layers mix two styles is drawn for each
    sample, not once a batch; the mean of w learns from the second latents of style mixing too; the running mean of path
    lengths is a constant in the penalty; the average's half-life grows from 0 with all presets. 28 px, and all sizes of
    4 to 7 px doubled, besides the code's powers of two.
Command: gansmith train stylegan2 --data photos/        gansmith train stylegan2 --data photos/ --preset ffhq256
Result: docs/recipes/stylegan2.md
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from gansmith.abilities import Discriminates, Styled
from gansmith.auto import batch_for, ema_for, samples_for
from gansmith.core import Clock, Data, DataSpec, Move, Nets, Player, Recipe, Setting, adam
from gansmith.nets import stylegan2
from gansmith.nn import Mapping, noise_keys
from gansmith.objectives import nonsaturating_d, nonsaturating_g
from gansmith.penalties import lazy, lazy_adam_rescale, path_length, r1

CIFAR: dict[str, Any] = {"mapping_layers": 2, "path_weight": 0.0, "mixing": 0.0, "blocks": "plain", "group": 32}


def _preset(batch: int, lr: float, gamma: float, ema: float, **more: Any) -> dict[str, Any]:
    """A preset of the released code."""
    common = {"channel_base": 32768, "mapping_layers": 8, "samples": 25_000_000}
    return common | {"batch": batch, "lr": lr, "gamma": gamma, "ema_half_life": ema} | more


@dataclass(frozen=True, kw_only=True)
class StyleGAN2(Styled, Discriminates, Recipe):
    """Non-saturating loss with R1 and path length regularisation, each a move of its own every few rounds.

    Args:
        w_dim: size of a style.
        mapping_layers: of the network from latents to styles.
        channel_base: a feature map of side s has channel_base / s channels.
        channel_max: channels at most.
        blocks: of D: residual, or plain as for CIFAR-10.
        group: samples over which D sees the minibatch's standard deviation.
        lr: learning rate of both players, constant.
        betas: of Adam.
        gamma: weight of R1 as gamma / 2; its unit depends on resolution and range. 0 switches it off.
        r1_every: rounds from one R1 move to the next.
        path_weight: of the path length penalty; 0 switches it off.
        path_every: rounds from one path length move, on half a batch, to the next.
        mixing: share of the samples that have the styles of two latents, one up to a random layer.
    """

    kinds: ClassVar = ("image",)
    ranges: ClassVar = {"betas": (0.0, 0.9999), "mixing": (0.0, 1.0)}
    presets: ClassVar = {
        "cifar10": _preset(64, 2.5e-3, gamma=0.01, ema=500.0, samples=100_000_000, **CIFAR),
        "ffhq256": _preset(64, 2.5e-3, gamma=1.0, ema=20.0, channel_base=16384, group=8),
        "ffhq512": _preset(64, 2.5e-3, gamma=0.5, ema=20.0, group=8),
        "ffhq1024": _preset(32, 2e-3, gamma=10.0, ema=10.0),
    }

    z_dim: int = 512
    w_dim: int = 512
    mapping_layers: int = 8
    channel_base: int = 32768
    channel_max: int = 512
    blocks: Literal["residual", "plain"] = "residual"
    group: int = 4
    lr: float = 2e-3
    betas: tuple[float, float] = (0.0, 0.99)
    gamma: float = 10.0
    r1_every: int = 16
    path_weight: float = 2.0
    path_every: int = 4
    mixing: float = 0.9
    batch: int = 32
    samples: int = 25_000_000

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        resolution, small = data.shape[-1], device.type == "cpu"
        batch = batch_for(data, max(4, min(4096 // resolution, 16 if small else 32)))
        gamma, ada = 0.0002 * resolution**2 / batch.value, f"StyleGAN2-ADA's rule at {resolution} px"
        chosen = {
            "batch": batch,
            "ema_half_life": ema_for(batch.value),
            "samples": samples_for(data, device),
            "gamma": Setting(gamma, f"StyleGAN2-ADA's rule: 0.0002 * {resolution}^2 / batch"),
            "mapping_layers": Setting(2, "StyleGAN2-ADA's automatic choice"),
            "lr": Setting(2.5e-3 if resolution < 1024 else 2e-3, ada),
            "channel_base": Setting(16384 if resolution < 512 else 32768, ada),
        }
        if resolution <= 32:
            why = f"as the authors' settings for CIFAR-10: {resolution} px have few scales to mix"
            chosen |= {"path_weight": Setting(0.0, why), "mixing": Setting(0.0, why)}
        if small:
            why, quick = "sized for a CPU", "measured on digits: variety comes thousands of samples sooner"
            chosen |= {"channel_base": Setting(16 * resolution, why), "channel_max": Setting(64, why)}
            chosen |= {"z_dim": Setting(32, quick), "w_dim": Setting(32, quick), "gamma": Setting(50 * gamma, quick)}
        return chosen

    def build(self, data: DataSpec) -> Nets:
        M = Mapping(self.z_dim, self.w_dim, self.mapping_layers)
        G = stylegan2.Generator(self.w_dim, data.shape, self.channel_base, self.channel_max)
        residual = self.blocks == "residual"
        D = stylegan2.Discriminator(data.shape, self.channel_base, self.channel_max, self.group, residual)
        return Nets({"M": M, "G": G, "D": D})

    def generate(self, nets: Nets, z: Tensor, psi: float = 1.0) -> Tensor:
        """Samples (N, C, H, W) from latents z (N, z_dim), each with noise of its own that z decides."""
        samples: Tensor = nets["G"](self.styles(nets, z, psi), noise_keys(z))
        return samples

    def mixed(self, nets: Nets, n: int, device: torch.device) -> Tensor:
        """Styles (n, layers, w_dim) for training: a share `mixing` of two latents, that change at a random layer."""
        G: Any = nets["G"]
        M: Any = nets["M"]
        layers = G.layers
        w: Tensor = M(self.draw_latents(2 * n if self.mixing else n, device))
        M.follow(w)
        if not self.mixing:
            return w[:, None].expand(-1, layers, -1)
        first, second = w.chunk(2)
        cut = torch.randint(1, layers, (n, 1), device=device)
        late = torch.arange(layers, device=device) >= cut
        late &= torch.rand(n, 1, device=device) < self.mixing
        return torch.where(late[:, :, None], second[:, None], first[:, None])

    def players(self) -> tuple[Player, Player]:
        """G with M, and D; Adam is rescaled where a penalty is a move of its own."""
        g = lazy_adam_rescale(self.lr, self.betas, self.path_every) if self.path_weight else (self.lr, self.betas)
        d = lazy_adam_rescale(self.lr, self.betas, self.r1_every) if self.gamma else (self.lr, self.betas)
        return Player("G", ("M", "G"), adam(*g)), Player("D", ("D",), adam(*d))

    def round(self, nets: Nets, data: Data, clock: Clock) -> Iterator[Move]:
        G: Any = nets["G"]
        D = nets["D"]
        player_g, player_d = self.players()
        real = data(self.batch)
        fake = G(self.mixed(nets, self.batch, real.device))
        yield player_g, {"adv": nonsaturating_g(D(fake))}
        if self.path_weight and (factor := lazy(clock.round, self.path_every)):
            ws = self.mixed(nets, max(1, self.batch // 2), real.device)
            penalty, mean = path_length(G(ws), ws, G.path_mean)
            G.path_mean.copy_(mean)
            yield player_g, {"path": factor * self.path_weight * penalty}
        real_logits, fake_logits = D(real), D(fake.detach())
        yield player_d, {"adv": nonsaturating_d(*self.flipped(real_logits, fake_logits))}
        if self.gamma and (factor := lazy(clock.round, self.r1_every)):
            yield player_d, {"r1": factor * self.gamma / 2 * r1(D, real)}
