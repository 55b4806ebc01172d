"""Exact KID over all pairs of 10,000 x 2,048 features, beside torch-fidelity's 100 subsets of 1000.

Both get the same float32 features. torch-fidelity's base function takes numpy's float32 products; gansmith's takes
float64 products over all rows, and its estimate with interval is timed as well. The scatter of torch-fidelity's mean
over five seeds of its drawing stands beside the difference of the two.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict
from torch import Tensor

from gansmith.evaluation.kernel import kernel_distance, kernel_distance_subsets, kernel_estimate

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "evaluation"))
import peers

FULL = {"rows": 10_000, "columns": 2048, "subsets": 100, "size": 1000}
QUICK = {"rows": 300, "columns": 64, "subsets": 5, "size": 100}


def features(rows: int, columns: int, seed: int) -> Tensor:
    """Not negative and unevenly spread, as a network's pooled activations are."""
    generator = torch.Generator().manual_seed(seed)
    spread = torch.arange(1, columns + 1) ** -0.5
    return (torch.randn(rows, columns, generator=generator) * spread + 0.4 + 0.01 * seed).relu()


def fidelity(a: Tensor, b: Tensor, subsets: int, size: int, seed: int = 0) -> float:
    """torch-fidelity's mean over subsets."""
    metric = peers.load("torch_fidelity.metric_kid")
    found = metric.kid_features_to_metric(a, b, kid_subsets=subsets, kid_subset_size=size, rng_seed=seed, verbose=False)
    return float(found[metric.KEY_METRIC_KID_MEAN])


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(arguments("evaluation_kernel", __doc__ or "", repeats=5), argv)
    size = QUICK if args.quick else FULL
    a, b = (features(size["rows"], size["columns"], seed) for seed in range(2))
    count, each = size["subsets"], size["size"]
    variants: dict[str, Callable[[], Any]] = {
        "torch-fidelity subsets": lambda: fidelity(a, b, count, each),
        "gansmith exact": lambda: kernel_distance(a, b),
        "gansmith exact with interval": lambda: kernel_estimate(a, b),
        "gansmith subsets": lambda: kernel_distance_subsets(a, b, subsets=count, size=each),
    }
    seconds = interleave(variants, args.repeats, warmup=1)

    found, means = kernel_estimate(a, b), [fidelity(a, b, count, each, seed) for seed in range(5)]
    base = seconds["torch-fidelity subsets"]
    ratio = {name: speedup(values, base) for name, values in seconds.items()}
    table(["measure", "s", "x torch-fidelity"], [[k, p10(seconds[k]), ratio[k]["p10"]] for k in variants])
    print(f"Exact {found.value:.6g}, interval {found.interval.low:.6g} to {found.interval.high:.6g};")
    print(f"torch-fidelity {np.mean(means):.6g}, over its seeds from {min(means):.6g} to {max(means):.6g}.")
    verdicts = [verdict("exact KID, times torch-fidelity's subsets", ratio["gansmith exact"]["p10"], at_most=3.0)]
    values = {"exact": found._asdict(), "torch-fidelity by seed": means}
    return report(args, size, seconds, {"time_ratio": ratio, "value": values}, verdicts)


if __name__ == "__main__":
    main()
