"""Inception-2015: the network that FID and the Inception Score were published with, 2048 features, 1008 outputs.

It is not the Inception-v3 of torchvision: other weights, average pools that leave the padding out, a max pool in the
last block, and 1008 outputs whose bias is left out (as the score's code does). 23,850,960 parameters.

Images are rounded to 8 bits, brought to 299 px by TensorFlow 1's bilinear filter (no antialiasing, whatever the
reduction) and scaled to (v - 128) / 128 of v in 0..255. A Fréchet distance is called FID only over the published
weights, recognised by their SHA-256.

Source: Szegedy et al. 2015, arXiv:1512.00567; Heusel et al. 2017, arXiv:1706.08500 (bioinf-jku/TTUR); Salimans et
al. 2016, arXiv:1606.03498; the weights in PyTorch's form: mseitzer/pytorch-fid.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.evaluation.features.base import Extractor, Look
from gansmith.weights import WeightsFile, load

FILE = WeightsFile(
    "inception_2015",
    "pt_inception-2015-12-05-6726825d.pth",
    "https://github.com/mseitzer/pytorch-fid/releases/tag/fid_weights (95.6 MB)",
    sha256=("6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",),
    also=("weights-inception-2015-12-05-6726825d.pth",),
)
HALF = 128 / 255

Kernel = int | tuple[int, int]
"""Of a convolution, pixels; two numbers are height x width."""

Branches = Mapping[str, tuple[int, Kernel]]
"""Width and kernel of each convolution, by the name that it has in the file."""

WIDE, HIGH = (1, 7), (7, 1)


def block_a(pool: int) -> Branches:
    """35 x 35: 224 + `pool` channels."""
    return {
        "branch1x1": (64, 1),
        **{"branch5x5_1": (48, 1), "branch5x5_2": (64, 5)},
        **{"branch3x3dbl_1": (64, 1), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)},
        "branch_pool": (pool, 1),
    }


def block_c(width: int) -> Branches:
    """17 x 17: 768 channels, 7 x 7 filters made of rows and columns of this width."""
    return {
        "branch1x1": (192, 1),
        **{"branch7x7_1": (width, 1), "branch7x7_2": (width, WIDE), "branch7x7_3": (192, HIGH)},
        **{"branch7x7dbl_1": (width, 1), "branch7x7dbl_2": (width, HIGH), "branch7x7dbl_3": (width, WIDE)},
        **{"branch7x7dbl_4": (width, HIGH), "branch7x7dbl_5": (192, WIDE)},
        "branch_pool": (192, 1),
    }


BLOCK_B: Branches = {
    "branch3x3": (384, 3),
    **{"branch3x3dbl_1": (64, 1), "branch3x3dbl_2": (96, 3), "branch3x3dbl_3": (96, 3)},
}
BLOCK_D: Branches = {
    **{"branch3x3_1": (192, 1), "branch3x3_2": (320, 3)},
    **{"branch7x7x3_1": (192, 1), "branch7x7x3_2": (192, WIDE), "branch7x7x3_3": (192, HIGH)},
    "branch7x7x3_4": (192, 3),
}
BLOCK_E: Branches = {
    "branch1x1": (320, 1),
    **{"branch3x3_1": (384, 1), "branch3x3_2a": (384, (1, 3)), "branch3x3_2b": (384, (3, 1))},
    **{"branch3x3dbl_1": (448, 1), "branch3x3dbl_2": (384, 3)},
    **{"branch3x3dbl_3a": (384, (1, 3)), "branch3x3dbl_3b": (384, (3, 1))},
    "branch_pool": (192, 1),
}


def source(name: str) -> str:
    """The convolution whose output this one takes; "" for the first of a branch.

    >>> source("branch3x3dbl_3a"), source("branch3x3dbl_1"), source("branch_pool")
    ('branch3x3dbl_2', '', '')
    """
    branch, _, step = name.rpartition("_")
    return f"{branch}_{int(step[0]) - 1}" if step[0].isdigit() and step[0] != "1" else ""


class Conv(nn.Module):
    """Convolution without bias, BatchNorm, ReLU; `padding` "same" keeps the size, "valid" pads nothing."""

    def __init__(self, before: int, after: int, kernel: Kernel, stride: int = 1, padding: str = "same") -> None:
        super().__init__()
        high, wide = (kernel, kernel) if isinstance(kernel, int) else kernel
        around = (high // 2, wide // 2) if padding == "same" else (0, 0)
        self.conv = nn.Conv2d(before, after, (high, wide), stride, around, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)


class Mixed(nn.Module):
    """Branches side by side, the last convolutions of all joined along the channels in the order of the table.

    Args:
        before: channels that come in.
        branches: as in the tables above.
        pool: 3 x 3, before "branch_pool": "average" without the padding, or "max". "halve": the last convolutions
            and a max pool, which is joined as it is, halve the size.
    """

    def __init__(self, before: int, branches: Branches, pool: Literal["average", "max", "halve"] = "average") -> None:
        super().__init__()
        self.pool = pool
        self.last = [name for name in branches if name not in map(source, branches)]
        for name, (after, kernel) in branches.items():
            width = branches[source(name)][0] if source(name) else before
            halves = pool == "halve" and name in self.last
            self.add_module(name, Conv(width, after, kernel, *((2, "valid") if halves else ())))

    def forward(self, x: Tensor) -> Tensor:
        pooled = self._pooled(x)
        seen: dict[str, Tensor] = {"": x}
        for name, conv in self.named_children():
            seen[name] = conv(pooled if name == "branch_pool" else seen[source(name)])
        return torch.cat([seen[name] for name in self.last] + [pooled] * (self.pool == "halve"), 1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "average":
            return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
        return F.max_pool2d(x, 3, 2) if self.pool == "halve" else F.max_pool2d(x, 3, 1, 1)


class Inception2015(nn.Module):
    """Images (N, 3, 299, 299) in (v - 128) / 128 -> features (N, 2048), probs (N, 1008)."""

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = Conv(3, 32, 3, 2, "valid")
        self.Conv2d_2a_3x3 = Conv(32, 32, 3, 1, "valid")
        self.Conv2d_2b_3x3 = Conv(32, 64, 3)
        self.Conv2d_3b_1x1 = Conv(64, 80, 1)
        self.Conv2d_4a_3x3 = Conv(80, 192, 3, 1, "valid")
        self.Mixed_5b = Mixed(192, block_a(32))
        self.Mixed_5c = Mixed(256, block_a(64))
        self.Mixed_5d = Mixed(288, block_a(64))
        self.Mixed_6a = Mixed(288, BLOCK_B, "halve")
        self.Mixed_6b = Mixed(768, block_c(128))
        self.Mixed_6c = Mixed(768, block_c(160))
        self.Mixed_6d = Mixed(768, block_c(160))
        self.Mixed_6e = Mixed(768, block_c(192))
        self.Mixed_7a = Mixed(768, BLOCK_D, "halve")
        self.Mixed_7b = Mixed(1280, BLOCK_E)
        self.Mixed_7c = Mixed(2048, BLOCK_E, "max")
        self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Look:
        for name, layer in self.named_children():
            if name == "fc":
                break
            x = layer(x)
            if name in ("Conv2d_2b_3x3", "Conv2d_4a_3x3"):
                x = F.max_pool2d(x, 3, 2)
        features = x.mean((2, 3))
        return Look(features, F.linear(features, self.fc.weight).softmax(1))


def build(name: str, where: str | Path | None, device: torch.device, file: WeightsFile = FILE) -> Extractor:
    """The extractor "inception_2015". Raises GansmithError when its weights are absent or not the published ones.

    Args:
        where: as in `weights.locate`.
        file: which weights are accepted.
    """
    net, digest = load(Inception2015, file, where)
    return Extractor(
        name=name,
        version="1",
        net=net.to(device),
        dim=2048,
        size=299,
        resize="bilinear-tf1",
        mean=(HALF,),
        std=(HALF,),
        eight_bit=True,
        weights=digest,
        device=device,
        batch=32,
    )
