"""Are the samples new? Copies, the data-copying test, authenticity and the birthday paradox, with what the eye needs.

Everything is held against the training set, and against the held-out part, which the generator never saw.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gansmith.evaluation.birthday import Support, birthday_support, closest_pairs, duplicate_threshold
from gansmith.evaluation.copying import authenticity, copied, data_copying, perfect_authenticity
from gansmith.evaluation.measures import Measured
from gansmith.evaluation.neighbours import nearest
from gansmith.evaluation.score import Interval

FEWEST = 20  # held-out samples that the data-copying test needs
PAIRS_SHOWN = 10
QUERIES_SHOWN = 12
NEIGHBOURS = 3


class Novelty(NamedTuple):
    """What was found: numbers with what other real samples score, and where to look.

    Args:
        scores: each measured number, and the same of held-out samples or None.
        facts: the "novelty" part of evaluation.json.
        nearest: indices of the shown samples (Q,) and of their nearest training samples (Q, k).
        pairs: indices (P, 2) of the closest pairs of samples.
    """

    scores: list[tuple[Measured, float | None]]
    facts: dict[str, Any]
    nearest: tuple[Tensor, Tensor]
    pairs: Tensor


def novelty(fake: Tensor, train: Tensor, held_out: Tensor, *, seed: int = 0) -> Novelty:
    """All tests of novelty in one feature space.

    Args:
        fake, train, held_out: features (N, D), (T, D), (H, D).
        seed: of the cells of the data-copying test.
    """
    copies = copied(train, fake)
    scores: list[tuple[Measured, float | None]] = list(_copying(fake, train, held_out, copies.share, seed))
    same = min(len(fake), len(train))
    threshold = duplicate_threshold(train[:same])
    support = birthday_support(fake, threshold=threshold, real=train[:same])
    scores.append((_support(support), None))
    pairs = closest_pairs(fake, PAIRS_SHOWN)
    shown, found, distances = _suspects(fake, train, copies.flags)
    facts = {
        "copied_share": copies.share.value,
        "low": max(0.0, copies.share.interval.low),
        "high": min(1.0, copies.share.interval.high),
        "nearest": listed(shown, found, distances),
        "pairs": [
            {"a": a, "b": b, "distance": d}
            for (a, b), d in zip(pairs.pairs.tolist(), pairs.distances.tolist(), strict=True)
        ],
        "support": _facts(support),
    }
    return Novelty(scores, facts, (shown, found), pairs.pairs)


def listed(shown: Tensor, found: Tensor, distances: Tensor) -> list[dict[str, Any]]:
    """Samples (Q,) with their nearest training samples (Q, k) and the distances (Q, k), for evaluation.json."""
    rows = zip(shown.tolist(), found.tolist(), distances.tolist(), strict=True)
    return [{"sample": i, "neighbours": n, "distances": d} for i, n, d in rows]


def _copying(
    fake: Tensor, train: Tensor, held_out: Tensor, share: Any, seed: int
) -> Iterator[tuple[Measured, float | None]]:
    yield share_copied("copied", share, train, held_out)
    kept = authenticity(train, fake)
    yield (
        Measured("authenticity", kept.value, kept.interval, "higher", None, "binomial"),
        perfect_authenticity(train).value,
    )
    if len(held_out) >= FEWEST:
        test = data_copying(train, held_out, fake, seed=seed)
        if math.isfinite(test.z):
            ends = Interval(test.z - 1.96 * test.error, test.z + 1.96 * test.error)
            yield Measured("C_T", test.z, ends, "target", 0.0, "law of the statistic", {"cells": len(test.parts)}), 0.0


def pixel_copies(fake: Tensor, train: Tensor, held_out: Tensor) -> tuple[Measured, float | None]:
    """The share of copies that pixels show: features may look past what makes a sample a copy.

    Args:
        fake, train, held_out: images (N, C, H, W), (T, C, H, W), (H, C, H, W).
    """
    a, b, c = (x.flatten(1) for x in (fake, train, held_out))
    measured, calm = share_copied("copied(pixels)", copied(b, a).share, b, c)
    return measured._replace(on="images"), calm


def share_copied(name: str, share: Any, train: Tensor, held_out: Tensor) -> tuple[Measured, float | None]:
    """A share of copies as a measured number, and the share of held-out samples that are called copies."""
    calm = copied(train, held_out).share.value if len(held_out) >= 2 else None
    inside = Interval(max(0.0, share.interval.low), min(1.0, share.interval.high))
    return Measured(name, share.value, inside, "lower", 0.0, "binomial", {"false_alarms": 0.01}), calm


def _support(found: Support) -> Measured:
    warnings: tuple[str, ...] = ()
    if not math.isfinite(found.support):
        warnings = (
            f"duplicates are no more frequent than among real samples: the support is at least {found.low:.0f}",
        )
    ends = Interval(found.low, found.high)
    return Measured("support", found.support, ends, "higher", None, "Poisson and U-statistic", warnings=warnings)


def _facts(found: Support) -> dict[str, Any]:
    endless = not math.isfinite(found.support)
    return {
        "value": None if endless else found.support,
        "low": found.low,
        "high": found.high if math.isfinite(found.high) else None,
        "at_least": endless,
        "duplicates": found.duplicates,
        "pairs": found.pairs,
    }


def _suspects(fake: Tensor, train: Tensor, flags: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first samples, after some of those called copies, with their nearest training samples."""
    called = flags.nonzero().flatten().tolist()[: QUERIES_SHOWN // 2]
    shown = torch.tensor(list(dict.fromkeys([*called, *range(len(fake))]))[:QUERIES_SHOWN])
    distances, found = nearest(fake[shown], train, min(NEIGHBOURS, len(train)))
    return shown, found, distances
