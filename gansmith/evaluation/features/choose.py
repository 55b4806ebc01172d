"""Which extractor an evaluation uses: the one that was asked for, or the best one that is there, never in silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansmith.errors import GansmithError
from gansmith.evaluation.features import Extractor, find
from gansmith.evaluation.features.judge import judge_for

Say = Callable[[str], None]
MOST = 50_000  # images that a judge learns from


def choose_extractor(
    name: str, dataset: Any, folder: Path, where: str | Path | None, device: str, say: Say
) -> Extractor:
    """The extractor of that name for these data; "auto" takes the judge of labelled data, else EfficientNet-lite0, and
    raw pixels for points and where its weights are not installed. What was chosen is said, with the reason.

    Args:
        name: "auto" or a key of `features.MODULES`.
        dataset: the opened data, with labels for the judge.
        folder: where trained judges are kept.
        where: weights file or folder; None = the usual places.
        device: on which it computes.
        say: is told.

    Raises:
        GansmithError: no such extractor, no weights for it, or no labels for a judge.
    """
    if name != "auto":
        return _judge(dataset, folder, device, say) if name == "judge" and where is None else find(name, where, device)
    if dataset.spec.kind != "image":
        return find("pixels")
    if "y" in dataset.spec.fields:
        say("extractor = judge (automatic: the data have classes to train it on)")
        return _judge(dataset, folder, device, say)
    try:
        found = find("efficientnet_lite0", where, device)
    except GansmithError as reason:
        say(f"extractor = pixels (automatic: {reason})")
        return find("pixels")
    say("extractor = efficientnet_lite0 (automatic: its weights are installed; the data have no classes)")
    return found


def _judge(dataset: Any, folder: Path, device: str, say: Say) -> Extractor:
    if "y" not in dataset.spec.fields:
        raise GansmithError(
            f'"{dataset.spec.name}" has no classes to train a judge on: use images in one folder a class (--labels), '
            "or --extractor efficientnet_lite0."
        )

    def part(count: int, fetch: Callable[..., tuple[Tensor, ...]]) -> tuple[Tensor, Tensor]:
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:MOST].sort().values
        x, y = fetch(order.numpy(), ("x", "y"))
        return ((x + 1) * 127.5).round().to(torch.uint8), y

    notes: list[str] = []
    judge = judge_for(
        folder,
        dataset.fingerprint,
        lambda: part(dataset.spec.count, dataset.fetch),
        len(dataset.spec.classes),
        held_out=lambda: part(len(dataset.held_out), dataset.fetch_held_out),
        device=device,
        notes=notes,
    )
    for line in notes:
        say(line)
    say(f"judge: right on {judge.accuracy:.1%} of {judge.tested:,} held-out images")
    return judge
