"""InfoGAN's pair for small images, and the net that reads the codes off D's features.

G: fully connected 1024, fully connected to 128 maps of a quarter of the side, two 4 x 4 transposed convolutions of
stride 2, BatchNorm and ReLU between. D: two 4 x 4 convolutions of stride 2 (64, 128), fully connected 1024, BatchNorm
but at the first, leaky ReLU of slope 0.1.

Source: Chen et al. 2016, arXiv:1606.03657, appendix C.1 (MNIST); geometry of openai/InfoGAN. Any side that is a
multiple of 4 from 8 px on, any number of channels; tanh instead of a sigmoid, for samples in [-1, 1].
"""

from __future__ import annotations

from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets.shapes import channels_last
from gansmith.nn import in_float32, normal_

SLOPE, HIDDEN = 0.1, 1024


def _plan(shape: tuple[int, ...]) -> tuple[int, int]:
    """(channels, a quarter of the side)."""
    if len(shape) != 3 or shape[1] != shape[2] or shape[1] % 4 or shape[1] < 8:
        raise GansmithError(f"infogan's nets make square images of a multiple of 4 px, at least 8, not {shape}.")
    return shape[0], shape[1] // 4


class Generator(nn.Module):
    """z (N, z_dim), codes and all -> images (N, C, H, W) in [-1, 1].

    Args:
        z_dim: of the noise and all codes together.
        shape: (C, H, W), H = W a multiple of 4.
        width: channels next to the image, half of those before; 64 in the paper.
    """

    def __init__(self, z_dim: int, shape: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        channels, self.base = _plan(shape)
        inner = 2 * width * self.base**2
        self.start = nn.Sequential(
            normal_(nn.Linear(z_dim, HIDDEN, bias=False)),
            nn.BatchNorm1d(HIDDEN),
            nn.ReLU(),
            normal_(nn.Linear(HIDDEN, inner, bias=False)),
            nn.BatchNorm1d(inner),
            nn.ReLU(),
        )
        self.body = nn.Sequential(
            normal_(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False)), nn.BatchNorm2d(width), nn.ReLU()
        )
        self.out = normal_(nn.ConvTranspose2d(width, channels, 4, 2, 1))

    def forward(self, z: Tensor) -> Tensor:
        h = self.start(z).unflatten(1, (-1, self.base, self.base))
        return self.out(self.body(channels_last(h))).tanh()


class Discriminator(nn.Module):
    """Images (N, C, H, W) -> logits (N,).

    Args:
        shape: (C, H, W), H = W a multiple of 4.
        width: channels of the first layer, half of those of the second; 64 in the paper.
    """

    def __init__(self, shape: tuple[int, ...], width: int = 64) -> None:
        super().__init__()
        channels, base = _plan(shape)
        self.start = nn.Sequential(normal_(nn.Conv2d(channels, width, 4, 2, 1)), nn.LeakyReLU(SLOPE))
        self.body = nn.Sequential(
            normal_(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False)), nn.BatchNorm2d(2 * width), nn.LeakyReLU(SLOPE)
        )
        self.dense = nn.Sequential(
            normal_(nn.Linear(2 * width * base**2, HIDDEN, bias=False)), nn.BatchNorm1d(HIDDEN), nn.LeakyReLU(SLOPE)
        )
        self.out = normal_(nn.Linear(HIDDEN, 1))
        self.features = HIDDEN

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))

    def trunk(self, x: Tensor) -> Tensor:
        """The last hidden features (N, 1024)."""
        features: Tensor = self.dense(self.body(channels_last(self.start(x))).flatten(1))
        return features

    def head(self, h: Tensor) -> Tensor:
        """Logits (N,) of the last hidden features."""
        return in_float32(self.out, h).squeeze(1)


class Reader(nn.Module):
    """Features of D (N, ...) -> what the codes were: (N, outputs), the recognition net Q.

    Args:
        features: of a sample.
        outputs: one for each value of each categorical code, and one, a mean, for each continuous code.
    """

    def __init__(self, features: int, outputs: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            normal_(nn.Linear(features, 128, bias=False)), nn.BatchNorm1d(128), nn.LeakyReLU(SLOPE)
        )
        self.out = normal_(nn.Linear(128, outputs))

    def forward(self, h: Tensor) -> Tensor:
        return in_float32(self.out, self.body(h.flatten(1)))
