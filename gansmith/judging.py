"""How a generator is scored while it trains: what `train` was told about it, and the function that does it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from gansmith.data import Dataset, Points
from gansmith.engine.display import count, duration
from gansmith.engine.train import Score
from gansmith.errors import GansmithError
from gansmith.places import cache_folder

POINTS = 10_000
DEFAULTS = {"evaluate_every": None, "patience": None, "score": "fd", "extractor": "auto", "evaluate_samples": 2000}
"""Arguments of `train` that say how it is scored."""


def settings(given: Mapping[str, Any], kind: str, tick: int) -> dict[str, Any] | None:
    """How a training is scored, for run.yaml; None when it is not.

    Args:
        given: values for some of `DEFAULTS`.
        kind: of the data: points are scored by their modes, at every tick.
        tick: samples between two ticks.

    Raises:
        GansmithError: a number out of range, or a setting that nothing would heed.
    """
    told = {**DEFAULTS, **given}
    every, patience, samples = told["evaluate_every"], told["patience"], told["evaluate_samples"]
    positive(evaluate_every=every, patience=patience, evaluate_samples=samples)
    changed = [k for k in ("score", "extractor", "evaluate_samples") if told[k] != DEFAULTS[k]]
    if changed and (kind == "points" or every is patience is None):
        why = "points are scored by their modes" if kind == "points" else "add --evaluate-every SAMPLES or leave it out"
        raise GansmithError(f"--{changed[0].replace('_', '-')} has nothing to act on: {why}.")
    if every is None and patience is None:
        return None
    how = {} if kind == "points" else {"score": told["score"], "extractor": told["extractor"], "samples": samples}
    return {"every": every or min(tick, patience), "patience": patience, **how}


def positive(**values: float | None) -> None:
    """Refuse numbers that are not above 0; each is named as its flag."""
    for name, value in values.items():
        if value is not None and not value > 0:
            raise GansmithError(f"--{name.replace('_', '-')} {value} is out of range: give a number above 0.")


def known_modes(law: Points) -> Score:
    """For sets with known modes: how many the generator holds, and the share of samples near one."""

    def score(draw: Callable[[int], Tensor]) -> dict[str, float]:
        modes, quality = law.coverage(draw(POINTS))
        share = modes / len(law.modes)
        error = share * math.sqrt(quality * (1 - quality) / POINTS)
        return {"modes": float(modes), "hq": quality, "score": 1 - share * quality, "error": error}

    return score


def distance(how: Mapping[str, Any], dataset: Dataset, seed: int, device: str, say: Callable[[str], None]) -> Score:
    """The distance of the samples to the training data, with its cost in seconds.

    Args:
        how: as `settings` gives.
        dataset: the opened data.
        seed: that draws the real samples.
        device: on which features are computed.
        say: is told the extractor and the cost.
    """
    from gansmith.evaluation.features.choose import choose_extractor
    from gansmith.evaluation.samples import reference
    from gansmith.evaluation.training import TrainingScore

    extractor = choose_extractor(how["extractor"], dataset, cache_folder() / "judges", None, device, say)
    judged = TrainingScore(reference(dataset).train, extractor, metric=how["score"], n=how["samples"], seed=seed)
    costs: list[float] = []

    def score(draw: Callable[[int], Tensor]) -> dict[str, float]:
        started = time.perf_counter()
        found = judged(draw)
        costs.append(time.perf_counter() - started)
        if len(costs) == 1:
            rhythm = f"every {count(how['every'])}: {duration(costs[0])} each time"
            say(f"{judged.name} of {judged.n:,} samples, {rhythm}. The best checkpoint is kept.")
        return found | {"seconds": round(costs[-1], 2)}

    return score
