"""The judge: a small classifier trained in seconds on the user's own labelled data, and the extractor that it makes.

Two convolutions, 128 features, one head. It says which classes a generator draws and how sure it is, and its features
are those that tell the user's classes apart, which ImageNet's need not do. Its accuracy on images that it was not
trained on comes with it: a judge that cannot judge should not be believed.

Training is a function of (images, labels, seed): every random choice comes from one generator on the CPU.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from gansmith.errors import GansmithError
from gansmith.evaluation.features.base import Extractor, Look
from gansmith.evaluation.features.resize import resize
from gansmith.evaluation.features.store import digest, read, write
from gansmith.weights import fill

VERSION = "1"
SMALLEST, LARGEST = 8, 64  # side, pixels
MOST_IMAGES = 50_000  # to train on
BATCH, PASSES, LEAST_STEPS, MOST_STEPS = 100, 12, 300, 2000
PEAK, DECAY, DROPOUT = 3e-3, 1e-2, 0.3  # learning rate at its highest, weight decay, share of values dropped

Labelled = tuple[Tensor | np.ndarray, Tensor | np.ndarray]
"""Images (N, C, H, W), uint8 or floats in [-1, 1], and labels (N,), whole numbers from 0."""


class Classifier(nn.Module):
    """Images (N, channels, size, size) in [-1, 1] -> features (N, 128), none negative, and probs (N, num_classes).

    The first convolution takes every pixel up to a side of 16, every second up to 32, then every fourth, so that a
    large image costs little more than a small one.
    """

    def __init__(self, channels: int, size: int, num_classes: int) -> None:
        super().__init__()
        kernel, stride = (7, 4) if size > 32 else (5, 2) if size > 16 else (3, 1)
        side = ((size - 1) // stride + 1) // 2
        self.first = nn.Conv2d(channels, 32, kernel, stride, kernel // 2)
        self.second = nn.Conv2d(32, 64, 3, 1, 1)
        self.embed = nn.Linear(64 * side**2, 128)
        self.head = nn.Linear(128, num_classes)

    def features(self, x: Tensor, drop: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """Features (N, 128); `drop` leaves some values out while training."""
        x = F.max_pool2d(F.relu(self.second(F.relu(self.first(x)))), 2)
        return drop(F.relu(self.embed(drop(x.flatten(1)))))

    def forward(self, x: Tensor) -> Look:
        features = self.features(x)
        return Look(features, self.head(features).softmax(1))


@dataclass(frozen=True, kw_only=True)
class Judge(Extractor):
    """An extractor that knows how good it is.

    Args:
        num_classes: K of its probabilities.
        accuracy: share of the held-out images that it classifies right, 0 to 1.
        tested: number of those images.
    """

    num_classes: int
    accuracy: float
    tested: int


def train_judge(
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    num_classes: int,
    *,
    held_out: Labelled | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
) -> Judge:
    """Train a judge: 12 passes over the images, at least 300 and at most 2,000 steps of 100.

    Args:
        images: (N, C, H, W), C 1 or 3, uint8 or floats in [-1, 1], N at least 10. Sides over 64 px are reduced to
            64, and at most 50,000 images drawn by `seed` are used.
        labels: (N,) whole numbers, 0 to num_classes - 1.
        held_out: images and labels that only measure its accuracy; None = a tenth of `images`, drawn by `seed`.
        seed: of the initial weights, the order, the shifts and what is dropped.

    Raises:
        GansmithError: the arrays do not fit together, or fewer than 2 classes occur.
    """
    x, y = _checked(images, labels, num_classes, least=10)
    generator = Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    aside = 0 if held_out else max(1, min(len(x) // 10, 5000))
    test = _checked(*held_out, num_classes, least=1) if held_out else (x[order[:aside]], y[order[:aside]])
    chosen = order[aside:][:MOST_IMAGES]
    size = min(max(*x.shape[2:], SMALLEST), LARGEST)
    with torch.device("meta"):
        net = Classifier(x.shape[1], size, num_classes)
    net = _fitted(net.to_empty(device="cpu"), _small(x, chosen, size), y[chosen], generator, torch.device(device))
    facts = {"channels": x.shape[1], "size": size, "num_classes": num_classes, "tested": len(test[0])}
    judge = _judge(net.state_dict(), facts | {"accuracy": math.nan}, torch.device(device))
    probs = torch.cat([judge.probs(_floats(part)) for part in torch.split(test[0], 1000)])
    right = float((probs.argmax(1) == test[1]).double().mean())
    return replace(judge, accuracy=right)


def judge_for(
    folder: str | Path,
    fingerprint: str,
    data: Callable[[], Labelled],
    num_classes: int,
    *,
    held_out: Callable[[], Labelled] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    notes: list[str] | None = None,
) -> Judge:
    """The judge of a data set: the one in the cache, else trained now (`train_judge`) and kept there.

    Args:
        folder: of the cache, made when needed.
        fingerprint: of the data, all that `data` and `held_out` depend on.
        data, held_out: give the images and labels; asked only when there is something to train.
        notes: gets a sentence when the judge could not be kept.
    """
    told = f"judge {VERSION} {fingerprint} {num_classes} {seed} {held_out is not None}"
    path = Path(folder) / f"judge-{hashlib.sha256(told.encode()).hexdigest()[:32]}.safetensors"
    with contextlib.suppress(GansmithError):  # absent, damaged, or of a shape that this version does not know
        return load_judge(path, device)
    test = held_out() if held_out else None
    judge = train_judge(*data(), num_classes, held_out=test, seed=seed, device=device)
    try:
        save_judge(judge, path)
    except OSError as error:
        if notes is not None:
            notes.append(f'The judge cannot be kept in "{folder}" ({error.strerror}): it will be trained anew.')
    return judge


def save_judge(judge: Judge, path: str | Path) -> None:
    """Write a judge into one safetensors file. Raises OSError when the disk refuses."""
    assert isinstance(judge.net, Classifier)
    names = ("channels", "size", "num_classes", "accuracy", "tested")
    write(Path(path), judge.net.state_dict(), {"version": VERSION, **{name: getattr(judge, name) for name in names}})


def load_judge(path: str | Path, device: str | torch.device = "cpu") -> Judge:
    """Read a judge. Raises GansmithError when the file is absent, damaged or of another version."""
    found = read(Path(path).expanduser())
    if found is None:
        raise GansmithError(f'There is no judge in "{path}", or the file is damaged: train it again.')
    state, facts = found
    if facts.pop("version", None) != VERSION:
        raise GansmithError(f'The judge in "{path}" is of another version of gansmith: train it again.')
    return _judge(state, facts, torch.device(device))


def build(name: str, where: str | Path | None, device: torch.device) -> Extractor:
    """The extractor "judge" from a file that `save_judge` wrote. Raises GansmithError as `load_judge`."""
    if where is None:
        raise GansmithError(
            "The judge is trained on labelled data: give the file of a trained one, or images and labels."
        )
    return load_judge(where, device)


def _judge(state: dict[str, Tensor], facts: dict[str, Any], device: torch.device) -> Judge:
    with torch.device("meta"):
        net = Classifier(facts["channels"], facts["size"], facts["num_classes"])
    net = fill(net, state, "judge").to(device)
    return Judge(
        name="judge",
        version=VERSION,
        net=net,
        dim=128,
        resize="bilinear",
        eight_bit=True,
        weights=digest(net.state_dict())[:8],
        device=device,
        batch=500,
        **facts,
    )


def _checked(images: Any, labels: Any, num_classes: int, least: int) -> tuple[Tensor, Tensor]:
    x, y = torch.as_tensor(images), torch.as_tensor(labels)
    if x.ndim != 4 or x.shape[1] not in (1, 3) or len(x) < least:
        raise GansmithError(f"The judge learns from {least} images (N, 1 or 3, H, W) or more, not {tuple(x.shape)}.")
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise GansmithError(f"The judge learns from images of uint8, or of floats in [-1, 1], not {x.dtype}.")
    if x.is_floating_point() and not x.isfinite().all():
        raise GansmithError("The judge cannot learn from images with values that are not finite: leave those out.")
    if y.shape != x.shape[:1] or y.is_floating_point():
        raise GansmithError(f"The judge needs one whole number for each of {len(x)} images, not {tuple(y.shape)}.")
    if num_classes < 2 or y.min() < 0 or y.max() >= num_classes:
        raise GansmithError(f"The judge needs 2 classes or more and labels from 0 to {num_classes - 1}.")
    if least > 1 and y.min() == y.max():
        raise GansmithError("The judge cannot learn from images of one class only.")
    return x, y.to(torch.int64)


def _floats(images: Tensor) -> Tensor:
    return images.float() / 127.5 - 1 if images.dtype == torch.uint8 else images


def _small(images: Tensor, chosen: Tensor, size: int) -> Tensor:
    """The chosen rows as uint8 (n, C, size, size), made block by block."""
    blocks = (_floats(images[rows]).float().clamp(-1, 1) for rows in torch.split(chosen, 1000))
    parts = (resize(block, size, "bilinear") for block in blocks)
    return torch.cat([((part + 1) * 127.5).round().to(torch.uint8) for part in parts])


def _fitted(net: Classifier, x: Tensor, y: Tensor, generator: Generator, device: torch.device) -> Classifier:
    """The net trained on x (N, C, size, size) uint8 and y (N,) with AdamW and one rise and fall of the rate."""
    for value in net.parameters():
        if value.ndim > 1:
            nn.init.kaiming_normal_(value, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(value)
    net.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    steps = min(max(PASSES * len(x) // BATCH, LEAST_STEPS), MOST_STEPS)
    optim = torch.optim.AdamW(net.parameters(), PEAK, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optim, PEAK, steps)
    drop = partial(_dropped, generator=generator)
    with torch.enable_grad():
        for index in _batches(len(x), steps, generator):
            batch = _shifted(_floats(x[index]), generator).to(device, memory_format=torch.channels_last)
            loss = F.cross_entropy(net.head(net.features(batch, drop)), y[index].to(device))
            optim.zero_grad()
            torch.autograd.backward(loss)
            optim.step()
            schedule.step()
    return net.requires_grad_(False)


def _batches(count: int, steps: int, generator: Generator) -> Iterator[Tensor]:
    """Rows of each batch: every pass in a new order, its last rows left out when they do not fill a batch."""
    size, order = min(BATCH, count), torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        if len(order) < size:
            order = torch.randperm(count, generator=generator)
        yield order[:size]
        order = order[size:]


def _shifted(x: Tensor, generator: Generator) -> Tensor:
    """A batch (n, C, H, W) moved by up to a fourteenth of its side each way, the border repeated."""
    size = x.shape[-1]
    most = max(1, size // 14)
    dy, dx = torch.randint(0, 2 * most + 1, (2,), generator=generator).tolist()
    return F.pad(x, (most,) * 4, mode="replicate")[:, :, dy : dy + size, dx : dx + size]


def _dropped(x: Tensor, generator: Generator) -> Tensor:
    """x with three in ten of its values set to 0 and the others raised, so that the mean stays."""
    kept = torch.rand(x.shape, generator=generator).ge_(DROPOUT).div_(1 - DROPOUT)
    return x * kept.to(x.device)
