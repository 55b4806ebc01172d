"""Inversion: the points of a trained model whose images are nearest to given pictures.

from gansmith.explore import inversion

found = inversion.invert(space, pictures)          # (N, C, H, W) in [-1, 1]
found.points, found.images, found.psnr

StyleGAN2's projector, for any generator. First Adam with noise on the points goes from several starts at once; then the
best start goes on alone, by a quasi-Newton method, which is what brings a model's own samples back.

Source: Karras et al. 2020, arXiv:1912.04958, appendix D. Different here: the starts are the nearest of many draws, not
the mean style, so that generators without styles work; the distance is one of pixels and of what the model's own D
makes of them, not of VGG-16; the maps of noise stay as they are; the second method (iGAN, Zhu et al. 2016,
arXiv:1609.03552, goes by L-BFGS too).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.explore.coordinates import Coordinates
from gansmith.explore.descent import Adam, QuasiNewton
from gansmith.explore.encoder import Encoder
from gansmith.explore.nearness import Distance, Nearness, name, nearness
from gansmith.explore.space import Space

STEPS, STARTS = 300, 4
MOST_STEPS, MOST_STARTS = 100_000, 64
SEARCH = 1 / 3  # share of the steps that all starts make
DRAWS, DRAWS_PER_STEP, BATCH = 2048, 4, 64  # from which starts are chosen: at most, for each step, in one pass
SEED = 668_265_263  # their seeds begin where nobody draws
PIXELS = 64 * 64 * 64  # of all images in one pass, so that large ones fit into memory

OnStep = Callable[[int, int, dict[str, Any]], bool | None]
"""Is told steps made, steps in all, and of the targets worked on now: their numbers "targets" (a slice), their best
"distance" (n,) and "images" (n, C, H, W) so far; while starts are chosen 0, steps in all and nothing. True stops."""


@dataclass(frozen=True)
class Found:
    """What was found for N targets; tensors on the CPU.

    Args:
        points: (N, ...), of the space.
        images: (N, C, H, W) in [-1, 1], theirs.
        psnr: (N,) dB, of the images against the targets, for values that span 2; 100 where they are equal.
        distance: (N,), what was made small: 0 = equal, 1 = as two draws are from each other on average (`Nearness`).
        seconds: that it took.
        steps: made for each target, on average; fewer than asked for when it was stopped.
        settings: what was asked for: steps, starts, distance, each_layer, encoder and codes.
        frames: (T, N, C, H, W) in [-1, 1], the best images so far; None when not asked for.
    """

    points: Tensor
    images: Tensor
    psnr: Tensor
    distance: Tensor
    seconds: float
    steps: int
    settings: Mapping[str, Any]
    frames: Tensor | None = field(default=None, repr=False)


def invert(
    space: Space,
    targets: Tensor,
    *,
    steps: int = STEPS,
    starts: int = STARTS,
    distance: Distance = "D",
    seed: int = 0,
    each_layer: bool = False,
    encoder: Encoder | None = None,
    frames: int = 0,
    on_step: OnStep | None = None,
    **codes: Any,
) -> Found:
    """The points whose images are nearest to the targets, each found on its own.

    Noise stays where draws lie: uniform noise in its range, normal noise within the norm of the farthest draw.

    Args:
        targets: pictures (N, C, H, W) in [-1, 1], of the model's shape.
        steps: looks at each target, 1 to 100,000: forward and backward through the generator, and through what the
            distance asks.
        starts: draws nearest to a target that are followed for the first third of the steps, 1 to 64.
        distance: "D" = of pixels and of the discriminator's hidden layers, in equal shares; "pixels"; or of pixels and
            of what an extractor makes of them.
        seed: of the draws and the noise.
        each_layer: after the first third a style for each layer, which is called W+; in "w" only.
        encoder: gives one more start.
        frames: steps from one kept frame to the next; 0 = none are kept.
        on_step: see `OnStep`.
        codes: of all starts, as in `GAN.draw_latents`, one value for all. Others are those of the start that is best.

    Returns:
        What was found; what was best so far when `on_step` or the user (Ctrl+C) stopped it.

    Raises:
        GansmithError: pictures of another shape or out of range, an option out of range, or a distance or encoder that
            does not go with this model.
    """
    began = time.perf_counter()
    targets = _pictures(space, targets)
    _refuse(space, steps, starts, each_layer, frames)
    near, chart = nearness(space, distance), Coordinates.of(space)
    draws = space.draw(max(starts, min(DRAWS, DRAWS_PER_STEP * steps)), SEED + seed, **codes).to(targets.device)
    parts = torch.split(targets, max(1, PIXELS // (targets[0, 0].numel() * starts)))
    done, total = 0, steps * len(parts)
    u, behind, going = _starts(near, chart, targets, draws, starts, lambda: on_step and on_step(0, total, {}))
    if encoder is not None:
        u, behind = torch.cat([u, encoder.rows(space, targets)[:, None]], 1), torch.cat([behind, behind[:, :1]], 1)
    batches = [
        _Batch(near, chart, *each)
        for each in zip(parts, *(torch.split(x, len(parts[0])) for x in (u, behind)), strict=True)
    ]
    with contextlib.suppress(KeyboardInterrupt, _Stopped):
        for i, batch in enumerate(batches if going else ()):
            for step in batch.follow(steps, each_layer, seed):
                done += 1
                if frames and step % frames == 0:
                    batch.film.append(batch.images)
                if on_step is not None and on_step(done, total, batch.told(i * len(parts[0]))):
                    raise _Stopped
    points = torch.cat([chart.points(batch.best, batch.codes) for batch in batches]).cpu()
    images = space.images(points)
    return Found(
        points,
        images,
        psnr(images, targets.cpu()),
        torch.cat([batch.cost for batch in batches]).cpu(),
        time.perf_counter() - began,
        done // len(parts),
        settings_of(steps, starts, distance, each_layer, encoder, **codes),
        _film(batches) if frames else None,
    )


def settings_of(
    steps: int = STEPS,
    starts: int = STARTS,
    distance: Distance = "D",
    each_layer: bool = False,
    encoder: Encoder | None = None,
    **codes: Any,
) -> dict[str, Any]:
    """What a file tells of how `invert` was asked."""
    return {
        "steps": steps,
        "starts": starts,
        "distance": name(distance),
        "each_layer": each_layer,
        "encoder": encoder and encoder.identity,
        "codes": {code: str(value) for code, value in sorted(codes.items())},
    }


class _Stopped(Exception):
    """`on_step` has said so."""


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratios (N,) in dB of images a and b (N, C, H, W) in [-1, 1]; 100 where they are equal.

    >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.2))
    tensor([20.])
    """
    return 10 * torch.log10(4 / (a - b).square().flatten(1).mean(1).clamp_min(4e-10))


class _Batch:
    """Targets (n, C, H, W) that are worked on together, and the best of all that was seen so far for each.

    Args:
        u: the starts (n, K, 1, D), the nearest first, with codes (n, K, C).
    """

    def __init__(self, near: Nearness, chart: Coordinates, targets: Tensor, u: Tensor, codes: Tensor) -> None:
        self.near, self.chart, self.to, self.starts = near, chart, near.target(targets), (u, codes)
        self.best, self.codes = u[:, 0], codes[:, 0]
        with torch.no_grad():
            self.images = chart.space.made(chart.points(self.best, self.codes))
            self.cost = near(self.images[:, None], self.to)[:, 0]
        self.film = [self.images]

    def follow(self, steps: int, each_layer: bool, seed: int) -> Iterator[int]:
        """Go downhill from the starts, then from the best; gives the steps made after each."""
        u, codes = self.starts
        search = max(1, round(SEARCH * steps))
        noise = torch.Generator().manual_seed(seed)
        way: Adam | QuasiNewton = Adam(u.flatten(0, 1), self.chart.inside, search, noise)
        for step in range(steps):
            if step == search:
                u = self.best.expand(-1, self.chart.space.layers, -1) if each_layer else self.best
                way, codes = QuasiNewton(u, self.chart.inside), self.codes[:, None]
            at = way.ask().detach().requires_grad_()
            with torch.enable_grad():
                made = self.chart.space.made(self.chart.points(at, codes.flatten(0, 1)))
                images = made.reshape(*codes.shape[:2], *made.shape[1:])
                cost = self.near(images, self.to)
                (grad,) = torch.autograd.grad(cost.sum(), at)
            self._see(at.detach().reshape(*codes.shape[:2], *at.shape[1:]), codes, images.detach(), cost.detach())
            way.tell(cost.detach().flatten(), grad)
            yield step + 1

    def _see(self, u: Tensor, codes: Tensor, images: Tensor, cost: Tensor) -> None:
        """Keep what is better of K candidates for each target, tensors (n, K, ...)."""
        least, k = cost.min(1)
        rows = torch.arange(len(k), device=k.device)
        old = self.best, self.codes, self.images, self.cost
        new = [x[rows, k] for x in (u, codes, images, cost)]
        better = least < self.cost
        self.best, self.codes, self.images, self.cost = (
            torch.where(better.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in zip(new, old, strict=True)
        )

    def told(self, first: int) -> dict[str, Any]:
        """What `on_step` is told, when the first target of these has this number."""
        images = self.images.clamp(-1, 1).cpu()
        return {"targets": slice(first, first + len(images)), "distance": self.cost.cpu(), "images": images}


def _film(batches: list[_Batch]) -> Tensor:
    """Frames (T, N, C, H, W) of all targets, the best at the end; where one was stopped early, it stands still."""
    long = max(len(batch.film) + (batch.film[-1] is not batch.images) for batch in batches)
    parts = [torch.stack(batch.film + [batch.images] * (long - len(batch.film))) for batch in batches]
    return torch.cat(parts, 1).clamp(-1, 1).cpu()


def _starts(
    near: Nearness, chart: Coordinates, targets: Tensor, draws: Tensor, starts: int, tell: Callable[[], bool | None]
) -> tuple[Tensor, Tensor, bool]:
    """The draws nearest to each target, the nearest first: rows (N, starts, 1, D) and the codes (N, starts, C) behind
    them; and whether to go on. When stopped, only some of the draws were looked at."""
    far: list[Tensor] = []
    stopped = False
    with torch.no_grad():
        for part in torch.split(draws, max(BATCH, starts)):
            images = chart.space.made(part)
            far.append(torch.cat([near.among(images, near.target(some)) for some in torch.split(targets, BATCH)]))
            stopped = stopped or bool(tell())
            if stopped:
                break
    order = torch.cat(far, 1).argsort(dim=1, stable=True)[:, :starts]
    u, behind = chart.rows(draws)
    return u[order], behind[order], not stopped


def _pictures(space: Space, targets: Tensor) -> Tensor:
    """The targets on the model's device. Raises GansmithError when they are no pictures of its shape."""
    shape, own = tuple(targets.shape), space.model.spec.shape
    if len(shape) != 4 or shape[1:] != own or not shape[0]:
        raise GansmithError(
            f"There are pictures of shape {shape}, and this model makes (N, {', '.join(map(str, own))}): open them "
            f"with gansmith.data.open_data(folder, resolution={own[-1]}, channels={own[0]})."
        )
    if not targets.isfinite().all():
        bad = int((~targets.flatten(1).isfinite().all(1)).nonzero()[0])
        raise GansmithError(f"Picture {bad} has a value that is not finite: open it anew.")
    low, high = float(targets.min()), float(targets.max())
    if low < -1.01 or high > 1.01:
        raise GansmithError(f"The pictures' values go from {low:g} to {high:g}: bring them to -1 (black) to 1 (white).")
    return targets.to(space.model.device, torch.float32).clamp(-1, 1)


def _refuse(space: Space, steps: int, starts: int, each_layer: bool, frames: int) -> None:
    """Say which option is out of range, or does not go with the space."""
    if not 1 <= steps <= MOST_STEPS:
        raise GansmithError(f"steps = {steps} is out of range: give 1 to {MOST_STEPS:,}; {STEPS} is usual.")
    if not 1 <= starts <= MOST_STARTS:
        raise GansmithError(f"starts = {starts} is out of range: give 1 to {MOST_STARTS}; {STARTS} is usual.")
    if frames < 0:
        raise GansmithError(f"frames = {frames}: give the steps from one frame to the next, or 0 for none.")
    if each_layer and space.name != "w":
        raise GansmithError(
            "A style for each layer (each_layer, W+) is for the space w: stylegan and stylegan2 have it."
        )
    if space.psi != 1:
        raise GansmithError(f"psi = {space.psi}: pictures are looked for among all points, so leave psi out.")
