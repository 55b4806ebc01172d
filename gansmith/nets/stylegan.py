"""StyleGAN's generator: a mapping network, a constant for an input, styles by AdaIN and noise at every layer.

The mapping network M turns z into w. The synthesis network G starts from a learned constant of 4 x 4 (or 7 x 7) and
grows as ProGAN's. After each convolution, and after the constant, comes: noise, one map for all channels with a gain
for each; bias and LeakyReLU 0.2; instance normalisation; scale and shift that an affine layer reads off w. Doubling is
nearest, and the convolution after it is followed by a [1, 2, 1] filter. D is ProGAN's with that filter.

Source: Karras et al. 2019, arXiv:1812.04948, section 2 and appendix C; NVlabs/stylegan, networks_stylegan.py. At
1024 px M and G have 26,219,627 parameters, 2,101,248 of them in M.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.nets.growth import Level, blend, channels_at, enlarge, plan
from gansmith.nets.shapes import channels_last
from gansmith.nn import EqualisedConv2d, EqualisedLinear, InstanceNorm, binomial_blur, up_nearest


class Epilogue(nn.Module):
    """What follows a convolution: h (N, C, H, H), w (N, w_dim), noise (N, 1, H, H) -> (N, C, H, H)."""

    def __init__(self, channels: int, w_dim: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.style = EqualisedLinear(w_dim, 2 * channels)
        self.norm = InstanceNorm(eps=1e-8)

    def forward(self, h: Tensor, w: Tensor, noise: Tensor) -> Tensor:
        gain, bias = self.gain.view(1, -1, 1, 1), self.bias.view(1, -1, 1, 1)
        h = F.leaky_relu(h + (gain * noise + bias).to(h.dtype), 0.2)
        one = len(h) == 1  # of which torch's own instance norm has a wrong gradient in channels_last memory
        h = (self.norm(h.float()) if one else F.instance_norm(h.float(), eps=1e-8)).to(h.dtype)
        scale, shift = self.style(w)[:, :, None, None].chunk(2, 1)
        return h * (scale + 1) + shift


class Block(nn.Module):
    """One size: two layers, each with a style and a noise of its own.

    Args:
        a: channels of the size before; 0 = this is the first, which begins with the constant.
        b: channels.
        size: in pixels.
    """

    def __init__(self, a: int, b: int, size: int, w_dim: int) -> None:
        super().__init__()
        if a:
            self.conv0 = EqualisedConv2d(a, b, 3, bias=False)
        else:
            self.constant = nn.Parameter(torch.ones(1, b, size, size))
        self.conv1 = EqualisedConv2d(b, b, 3, bias=False)
        self.after0, self.after1 = Epilogue(b, w_dim), Epilogue(b, w_dim)
        self.starts = not a

    def forward(self, h: Tensor | None, ws: Tensor, noise: Iterator[Tensor]) -> Tensor:
        """Feature maps from those of the size before and styles ws (N, 2, w_dim)."""
        if self.starts:
            h = channels_last(self.constant.expand(len(ws), -1, -1, -1))
        else:
            h = binomial_blur(self.conv0(up_nearest(h)))  # type: ignore[arg-type]
        h = self.after0(h, ws[:, 0], next(noise))
        out: Tensor = self.after1(self.conv1(h), ws[:, 1], next(noise))
        return out


class Generator(nn.Module):
    """Styles ws (N, layers, w_dim) -> images (N, C, H, W), not bounded; coarse while the level is below the top.

    Args:
        w_dim: size of a style.
        shape: (C, H, W), H = W one of `growth.RESOLUTIONS`.
        fmap_base, fmap_max: channels (`growth.channels_at`).
        start: the smallest size of images, in pixels (`growth.plan`).

    Raises:
        GansmithError: unsupported shape, or too few channels.
    """

    def __init__(
        self, w_dim: int, shape: tuple[int, ...], fmap_base: int = 8192, fmap_max: int = 512, start: int = 8
    ) -> None:
        super().__init__()
        colours, sizes, first = plan("stylegan", shape, start)
        widths = [channels_at(k, fmap_base, fmap_max) for k in range(len(sizes))]
        self.level, self.sizes, self.layers = Level(sizes[first:], first), sizes, 2 * len(sizes)
        self.body = nn.ModuleList(
            Block(a, b, size, w_dim) for a, b, size in zip([0, *widths], widths, sizes, strict=False)
        )
        self.to_rgb = nn.ModuleList(EqualisedConv2d(c, colours, 1, gain=1.0) for c in widths[first:])

    @property
    def active(self) -> int:
        """Layers that are at work at the current level."""
        return 2 * (self.level.first + self.level.split()[0] + 1)

    def forward(self, ws: Tensor, seeds: Tensor | None = None, full: bool = True) -> Tensor:
        """Images.

        Args:
            seeds: of the noise, one for each image (N,) int64 from 0; an image depends on its own styles and seed
                alone. None = fresh noise in training, otherwise the noise of seed 0 in all images.
            full: whether images of a lower level are brought to the full resolution.
        """
        stage, share = self.level.split()
        noise = self._noise(ws, seeds)
        h = before = None
        for i, block in enumerate(self.body[: self.level.first + stage + 1]):
            h, before = block(h, ws[:, 2 * i : 2 * i + 2], noise), h
        x: Tensor = self.to_rgb[stage](h)
        if share < 1.0:
            x = blend(up_nearest(self.to_rgb[stage - 1](before)), x, share)
        return enlarge(x, self.sizes[-1]) if full else x

    def _noise(self, ws: Tensor, seeds: Tensor | None) -> Iterator[Tensor]:
        """For each layer (N, 1, H, H)."""
        sizes = [size for size in self.sizes for _ in range(2)]
        if seeds is None and self.training:
            yield from (torch.randn(len(ws), 1, size, size, device=ws.device) for size in sizes)
            return
        own = [0] if seeds is None else seeds.tolist()
        streams = [torch.Generator().manual_seed(seed) for seed in own]
        for size in sizes:
            maps = torch.stack([torch.randn(1, size, size, generator=stream) for stream in streams])
            yield maps.to(ws.device).expand(len(ws), -1, -1, -1)
