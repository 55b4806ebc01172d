"""A score during training: how far the samples are from the data now, at a fixed number of samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.evaluation.features import Extractor, fd_name
from gansmith.evaluation.frechet import frechet_estimate
from gansmith.evaluation.kernel import kernel_estimate
from gansmith.evaluation.samples import BLOCK, Samples

Metric = Literal["fd", "kid"]


class TrainingScore:
    """Scores a generator against the training data; the real features are computed once.

    The samples come from the same latents each time and the real ones stay, so two scores of one training differ by
    the generator alone; the error is that of new samples.

    Args:
        train: the training data.
        extractor: of the features.
        metric: "fd" or "kid".
        n: generated samples, and real ones at most.
        seed: that draws the real samples.

    Raises:
        GansmithError: an unknown metric, or fewer than 20 samples.
    """

    def __init__(
        self, train: Samples, extractor: Extractor, *, metric: str = "fd", n: int = 2000, seed: int = 0
    ) -> None:
        if metric not in get_args(Metric):
            raise GansmithError(
                f'There is no score "{metric}" for training: use {", ".join(get_args(Metric))}.'
                f"{did_you_mean(metric, get_args(Metric))}"
            )
        if min(n, train.count) < 20:
            raise GansmithError(f"{min(n, train.count)} samples are too few for a score in training: give 20 or more.")
        self.extractor, self.metric, self.n = extractor, metric, n
        order = torch.randperm(train.count, generator=torch.Generator().manual_seed(seed))[:n].sort().values.numpy()
        parts = [train.fetch(order[i : i + BLOCK]) for i in range(0, len(order), BLOCK)]
        self.real = torch.cat([extractor.features(part) for part in parts])

    @property
    def name(self) -> str:
        """Of the measure, as in an evaluation."""
        return fd_name(self.extractor) if self.metric == "fd" else f"KID({self.extractor.name})"

    def __call__(self, draw: Callable[[int], Tensor]) -> dict[str, float]:
        """Score what `draw(n)` gives: "score" is to be minimised, "error" its standard error, then the same by name."""
        fake = self.extractor.features(draw(self.n))
        estimate = frechet_estimate if self.metric == "fd" else kernel_estimate
        found = estimate(fake, self.real, vary="a")
        low, high = found.interval
        named = {self.name: found.value, f"{self.name}/low": low, f"{self.name}/high": high}
        return {"score": found.value, "error": found.error, **named}
