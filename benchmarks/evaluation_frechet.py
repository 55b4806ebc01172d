"""Fréchet distance of 10,000 x 2,048 features: gansmith against torch-fidelity, from statistics and from features.

From statistics: two means and covariances to one number, what is left to do when statistics are stored. The features
are float32 with a spectrum that falls by four decades, mixed by a random matrix, as a network's are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict
from torch import Tensor

from gansmith.evaluation.frechet import frechet_from_moments
from gansmith.evaluation.moments import Moments

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "evaluation"))

import peers


def features(n: int, dim: int, seed: int, mix: Tensor) -> Tensor:
    """(n, dim) float32: Gaussian, with standard deviations from 1 to 0.01 along the rows of `mix`, moved off zero."""
    z = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return (z * torch.logspace(0, -2, dim)) @ mix + 0.5


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments("evaluation_frechet", __doc__ or "", repeats=10)
    args = parse(parser, argv)
    n, dim = (200, 16) if args.quick else (10_000, 2_048)
    peer = peers.load("torch_fidelity.metric_fid")
    generator = torch.Generator().manual_seed(0)
    mixes = [torch.randn(dim, dim, generator=generator) / dim**0.5 for _ in range(2)]
    mixes[1] = mixes[0] + 0.1 * mixes[1]
    sets = [features(n, dim, seed, mix) for seed, mix in enumerate(mixes, 1)]

    stored = [Moments.of(x) for x in sets]
    peer_stored = [{"mu": m.mean.numpy(), "sigma": m.cov.numpy()} for m in stored]

    def theirs(pair: Sequence[dict[str, Any]]) -> float:
        return float(peer.fid_statistics_to_metric(*pair, False)[peer.KEY_METRIC_FID])

    variants: dict[str, Callable[[], float]] = {
        "torch-fidelity, statistics": lambda: theirs(peer_stored),
        "gansmith, statistics": lambda: frechet_from_moments(*stored),
        "torch-fidelity, features": lambda: theirs([peer.fid_features_to_statistics(x) for x in sets]),
        "gansmith, features": lambda: frechet_from_moments(*(Moments.of(x) for x in sets)),
    }
    values = {name: call() for name, call in variants.items()}
    seconds = interleave(variants, args.repeats, warmup=1)

    what = ("statistics", "features")
    ratio = {w: speedup(seconds[f"torch-fidelity, {w}"], seconds[f"gansmith, {w}"]) for w in what}
    gap = {w: abs(values[f"gansmith, {w}"] / values[f"torch-fidelity, {w}"] - 1) for w in what}
    table(["FD", "seconds", "value"], [[name, p10(seconds[name]), values[name]] for name in variants])
    print(f"Relative difference of the values: {gap['statistics']:.1e} from statistics.")
    verdicts = [
        verdict("FD from statistics, times faster than torch-fidelity", ratio["statistics"]["p10"], at_least=1.7),
        verdict("relative difference of the values", gap["statistics"], at_most=1e-6),
    ]
    settings = {"samples": n, "dim": dim, "torch_fidelity": version("torch-fidelity")}
    return report(args, settings, seconds, {"speedup": ratio, "value": values, "difference": gap}, verdicts)


if __name__ == "__main__":
    main()
