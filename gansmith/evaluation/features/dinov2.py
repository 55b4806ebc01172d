"""DINOv2: vision transformers trained on 142 million images without labels; the class token is the feature.

    dinov2_vitl14    1024 features    304,368,640 parameters    the network of Stein et al. 2023
    dinov2_vitb14     768              86,580,480
    dinov2_vits14     384              22,056,576

Features are compared over the same size only: FD(dinov2_vits14) says nothing about FD(dinov2_vitl14).

Images are rounded to 8 bits and brought to 224 px by Pillow's bicubic filter on floats: the option `--clean_resize`
of dgm-eval. Its default rounds once more after resizing, which moves a value by half of one of 256 levels at most.

The released table of positions is for 518 px, 37 x 37 patches. For 224 px it is resampled to 16 x 16 as the release
does it: bicubic (a = -0.75), not antialiased, by the scale 16.1 / 37. The 0.1 was added to be safe against rounding of
the size; it puts the samples 37 / 16.1 = 2.298 places apart instead of 2.3125. Published scores were made with it.

The names of the tensors are the file's. Its SHA-256 are those that finegrain-ai/refiners pins.

Source: Oquab et al. 2023, arXiv:2304.07193 (facebookresearch/dinov2); as features for scores: Stein et al. 2023,
arXiv:2306.04675 (layer6ai-labs/dgm-eval). The giant network, of other blocks, and those with registers are left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.evaluation.features.base import Extractor, Look
from gansmith.evaluation.features.vit import Mlp, Shape, attend, tokens
from gansmith.weights import WeightsFile, load

SIDE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
OFFSET = 0.1


class Release(NamedTuple):
    """A published network and its file."""

    shape: Shape
    file: WeightsFile


def _file(size: str, megabytes: int, sha256: str) -> WeightsFile:
    name = f"dinov2_{size}_pretrain.pth"
    page = f"https://dl.fbaipublicfiles.com/dinov2/dinov2_{size}/{name} ({megabytes} MB)"
    return WeightsFile(f"dinov2_{size}", name, page, (sha256,))


RELEASES = {
    "dinov2_vits14": Release(
        Shape(width=384, depth=12, heads=6, patch=14, side=518),
        _file("vits14", 88, "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    ),
    "dinov2_vitb14": Release(
        Shape(width=768, depth=12, heads=12, patch=14, side=518),
        _file("vitb14", 346, "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    ),
    "dinov2_vitl14": Release(
        Shape(width=1024, depth=24, heads=16, patch=14, side=518),
        _file("vitl14", 1218, "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
    ),
}


def positions(table: Tensor, height: int, width: int) -> Tensor:
    """Positions for a grid of patches, from the table of another grid; see the head of this file.

    Args:
        table: (1, 1 + g g, D), the class token's position first.
        height, width: of the grid, patches; at g x g the table itself is returned.

    Returns:
        (1, 1 + height width, D).

    >>> table = torch.ones(1, 5, 3)
    >>> positions(table, 2, 2) is table, positions(table, 3, 4).shape
    (True, torch.Size([1, 13, 3]))
    """
    side = math.isqrt(table.shape[1] - 1)
    if (height, width) == (side, side):
        return table
    grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    scales = [(height + OFFSET) / side, (width + OFFSET) / side]
    grid = F.interpolate(grid, scale_factor=scales, mode="bicubic")
    return torch.cat([table[:, :1], grid.flatten(2).mT], 1)


class Block(nn.Module):
    """(N, L, D) -> (N, L, D): attention, then two linear maps, each added with a learned weight per channel."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = Mlp(width, F.gelu)
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": nn.Parameter(torch.ones(width))}) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.attn["qkv"](self.norm1(x)).chunk(3, -1)
        x = x + self.ls1["gamma"] * self.attn["proj"](attend(q, k, v, self.heads))
        out: Tensor = x + self.ls2["gamma"] * self.mlp(self.norm2(x))
        return out


class DinoV2(nn.Module):
    """Images (N, 3, H, W), normalised, H and W multiples of the patch -> features (N, D)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, self.patch = shape.width, shape.patch
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.places, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of the file; only its training looked at it
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, shape.patch, shape.patch)})
        self.blocks = nn.Sequential(*(Block(width, shape.heads) for _ in range(shape.depth)))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Look:
        height, width = (side // self.patch for side in images.shape[2:])
        x = tokens(images, self.patch_embed["proj"], self.cls_token) + positions(self.pos_embed, height, width)
        return Look(self.norm(self.blocks(x)[:, 0]))


def build(
    name: str, where: str | Path | None, device: torch.device, releases: Mapping[str, Release] = RELEASES
) -> Extractor:
    """The extractor of that name. Raises GansmithError when its weights are absent or not the published ones.

    Args:
        name: a key of `releases`.
        where: as in `weights.locate`.
        releases: networks and which files are accepted for them.
    """
    shape, file = releases[name]
    net, digest = load(lambda: DinoV2(shape), file, where)
    return Extractor(
        name=name,
        version="1",
        net=net.to(device),
        dim=shape.width,
        size=SIDE,
        resize="bicubic",
        mean=MEAN,
        std=STD,
        eight_bit=True,
        weights=digest,
        device=device,
        batch=32,
    )
