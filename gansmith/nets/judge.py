"""The convolutions of a judge (`gansmith.evaluation.features.judge`) as a perceptual network."""

from __future__ import annotations

from torch import nn

from gansmith.nets.vgg import Trunk

STRIDES = {3: 1, 5: 2, 7: 4}
"""Of a judge's first convolution, by its kernel."""


def judge(channels: int, kernel: int) -> Trunk:
    """Both convolutions, without the pooling, so that images of any size pass.

    Args:
        channels: 1 or 3.
        kernel: of the first convolution, 3, 5 or 7 px.

    >>> judge(3, 5).names
    ('conv1', 'relu1', 'conv2', 'relu2')
    """
    layers: dict[str, nn.Module] = {
        "conv1": nn.Conv2d(channels, 32, kernel, STRIDES[kernel], kernel // 2),
        "relu1": nn.ReLU(),
        "conv2": nn.Conv2d(32, 64, 3, 1, 1),
        "relu2": nn.ReLU(),
    }
    return Trunk(layers, ("relu1", "relu2"), ("relu1", "relu2"), name="judge", channels=channels)
