"""A small network that guesses the point of a picture, learned from the model's own samples: a start for inversion."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.explore.coordinates import Coordinates
from gansmith.explore.space import Space

WIDTH, BATCH, LR = 32, 64, 2e-3
SEED = 1_103_547_991  # the seeds of its samples begin where nobody draws
BLOCK = 4096  # points drawn at a time


@dataclass(frozen=True)
class Encoder:
    """A trained one.

    Args:
        net: images (N, C, H, W) -> noise or style (N, D) in units of their spread (`Coordinates`).
        model: whose samples it knows (`Space.identity`), and the space.
        loss: mean squared error of its last guesses, 1 = as good as none.
    """

    net: nn.Module
    model: tuple[str, str | None]
    loss: float

    @property
    def identity(self) -> str:
        """Which encoder this is: 16 hexadecimal digits that its weights decide."""
        found = hashlib.sha256()
        for value in self.net.state_dict().values():
            found.update(value.cpu().numpy().tobytes())
        return found.hexdigest()[:16]

    def rows(self, space: Space, images: Tensor) -> Tensor:
        """Rows (N, 1, D) in `Coordinates` that it guesses for images (N, C, H, W).

        Raises:
            GansmithError: it was trained for another model or space.
        """
        if self.model != (space.identity, space.name):
            raise GansmithError("The encoder was trained on samples of another model or space: train one for this.")
        with torch.no_grad():
            return torch.cat([self.net(part) for part in torch.split(images, BATCH)])[:, None]


def train_encoder(
    space: Space, steps: int = 1000, seed: int = 0, on_step: Callable[[int, int, float], bool | None] | None = None
) -> Encoder:
    """Train an encoder: convolutions of stride 2, and a linear layer that guesses what the samples were made of.

    Args:
        steps: of 64 fresh samples each, at least 1.
        seed: of the weights and the samples.
        on_step: is told steps made, steps in all and the loss (1 = as good as none); what is true stops.

    Raises:
        GansmithError: steps out of range.

    Source: the network P of iGAN, Zhu et al. 2016, arXiv:1609.03552, section 3.1; here it learns points, not images.
    """
    if steps < 1:
        raise GansmithError(f"steps = {steps}: train the encoder for at least 1 step.")
    chart, device = Coordinates.of(space), space.model.device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _network(space.model.spec.shape, len(chart.mean)).to(device)
    adam = torch.optim.Adam(net.parameters(), LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    loss = 1.0
    for step in range(steps):
        if step % (BLOCK // BATCH) == 0:
            drawn = torch.split(space.draw(BLOCK, SEED + seed + step), BATCH)
        points = drawn[step % len(drawn)].to(device)
        with torch.no_grad():
            images, wanted = space.made(points).clamp(-1, 1), chart.rows(points)[0][:, 0]
        cost = F.mse_loss(net(images), wanted)
        adam.zero_grad()
        torch.autograd.backward(cost)
        adam.step()
        schedule.step()
        loss += (float(cost.detach()) - loss) / min(step + 1, 20)
        if on_step is not None and on_step(step + 1, steps, loss):
            break
    return Encoder(net.eval().requires_grad_(False), (space.identity, space.name), loss)


def _network(shape: tuple[int, ...], size: int) -> nn.Module:
    """Images (N, C, H, W) -> (N, size): twice the channels at half the side, down to 4 to 7 pixels."""
    channels, side = shape[0], shape[-1]
    layers: list[nn.Module] = []
    width = WIDTH
    while side > 7:
        layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.GroupNorm(8, width), nn.LeakyReLU(0.2)]
        channels, width, side = width, min(2 * width, 256), side // 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * side**2, size))
