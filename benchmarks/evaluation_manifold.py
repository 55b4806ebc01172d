"""Precision, recall, density and coverage of 10,000 real and 10,000 generated features of 2,048 numbers: against prdc.

Both sides take the same float32 arrays and k = 5. Time is measured in turn in this process, after one call each that
is not kept; peak memory, of the whole process with its imports and the features, in a child of its own for each side.
The values must agree to 1e-6.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from _common import arguments, interleave, p10, parse, report, speedup, table, verdict

K = 5
MEASURES = ("precision", "recall", "density", "coverage")


def prdc(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """The package of the density and coverage paper, without what it prints."""
    from prdc import compute_prdc

    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(real, fake, nearest_k=K)
    return {name: float(found[name]) for name in MEASURES}


def ours(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    from gansmith.evaluation.manifold import manifold

    return manifold(real, fake, K)._asdict()


SIDES: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {"prdc": prdc, "gansmith": ours}


def features(n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Real and fake (n, width) float32: positive, with a mean, of 64 hidden directions; fakes vary less."""
    rng = np.random.default_rng(0)
    mix = rng.standard_normal((64, width), np.float32)
    sets = []
    for spread in (1.0, 0.9):
        x = (spread * rng.standard_normal((n, 64), np.float32)) @ mix
        sets.append(np.maximum(x, 0, out=x))
    return sets[0], sets[1]


def peak() -> float:
    """Largest resident memory of this process so far, MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the parent's memory at the moment of the fork
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    import resource

    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6


def alone(side: str, n: int, width: int) -> dict[str, float]:
    """Peak memory of one side in a process of its own, MB: before the call, with the features made, and after it."""
    command = [sys.executable, __file__, "--alone", side, str(n), str(width)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(json.loads(out.splitlines()[-1]))


def child(side: str, n: int, width: int) -> None:
    """What `alone` runs. A first small call loads the libraries."""
    SIDES[side](*features(20, 8))
    real, fake = features(n, width)
    before = peak()
    SIDES[side](real, fake)
    print(json.dumps({"before_mb": before, "peak_mb": peak()}))


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    parser = arguments("evaluation_manifold", __doc__ or "", repeats=5)
    args = parse(parser, argv)
    if find_spec("prdc") is None:
        parser.exit(0, "The peer is not installed (pip install prdc): nothing is measured.\n")
    n, width = (300, 32) if args.quick else (10_000, 2_048)
    memory = {side: alone(side, n, width) for side in SIDES}
    real, fake = features(n, width)
    values = {side: call(real, fake) for side, call in SIDES.items()}
    seconds = interleave({side: lambda call=call: call(real, fake) for side, call in SIDES.items()}, args.repeats, 0)

    gap = max(abs(values["prdc"][name] - values["gansmith"][name]) for name in MEASURES)
    faster = speedup(seconds["prdc"], seconds["gansmith"])
    share = memory["gansmith"]["peak_mb"] / memory["prdc"]["peak_mb"]
    rows = [
        [side, p10(seconds[side]), memory[side]["peak_mb"], memory[side]["before_mb"], *values[side].values()]
        for side in SIDES
    ]
    table(["side", "seconds", "peak MB", "of it before", *MEASURES], rows)
    verdicts = [
        verdict("gansmith, times faster than prdc", faster["p10"], at_least=2.2),
        verdict("gansmith's peak memory, share of prdc's", share, at_most=0.45),
        verdict("largest difference of a value", gap, at_most=1e-6),
    ]
    settings = {"samples": n, "width": width, "k": K, "prdc": version("prdc"), "scikit-learn": version("scikit-learn")}
    figures = {"speedup": faster, "memory": memory, "memory_share": share, "values": values, "difference": gap}
    return report(args, settings, seconds, figures, verdicts)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--alone"]:
        child(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
