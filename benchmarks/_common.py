"""What every benchmark shares: arguments, interleaved timing, the machine, verdicts, a table and a JSON file.

Variants are timed in turn inside one process (a, b, c, a, b, c, ...), so that a busy moment hits all of them. Other
work can only make a call slower, so figures come from the quick end: speeds and ratios are of the 10 % quantile (p10),
with the minimum, the median and the spread (p90 - p10) / median beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("gansmith", "torch", "numpy", "pillow", "lightning-fabric", "tyro")


def arguments(name: str, text: str, repeats: int) -> argparse.ArgumentParser:
    """A parser with the flags that all benchmarks know."""
    parser = argparse.ArgumentParser(prog=f"benchmarks/{name}.py", description=text.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="tiny sizes, to see that it runs; the figures mean nothing"
    )
    parser.add_argument("--repeats", type=int, default=None, help=f"calls of each variant (default {repeats}, quick 2)")
    parser.add_argument("--out", type=Path, help=f"JSON file (default results/{name}.json; with --quick: none)")
    parser.set_defaults(name=name, full=repeats)
    return parser


def parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments, with the defaults that depend on --quick filled in."""
    args = parser.parse_args(argv)
    if args.repeats is None:
        args.repeats = 2 if args.quick else args.full
    if args.repeats < 1:
        parser.error("--repeats: give at least 1")
    if args.out is None and not args.quick:
        args.out = RESULTS / f"{args.name}.json"
    args.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return args


def interleave(variants: Mapping[str, Callable[[], Any]], repeats: int, warmup: int = 2) -> dict[str, list[float]]:
    """Seconds of each call of each variant, called in turn; the first `warmup` turns are not kept."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(-warmup, repeats):
        for name, call in variants.items():
            start = time.perf_counter()
            call()
            took = time.perf_counter() - start
            if turn >= 0:
                seconds[name].append(took)
    return seconds


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Minimum, p10 and median in seconds, and the spread (p90 - p10) / median.

    >>> summary([float(i) for i in range(1, 12)])
    {'min': 1.0, 'p10': 2.0, 'median': 6.0, 'spread': 1.33333, 'calls': 11}
    """
    low, middle, high = (float(q) for q in np.quantile(seconds, [0.1, 0.5, 0.9]))
    spread = (high - low) / middle
    return {
        "min": _short(min(seconds)),
        "p10": _short(low),
        "median": _short(middle),
        "spread": _short(spread),
        "calls": len(seconds),
    }


def p10(seconds: Sequence[float]) -> float:
    """The 10 % quantile, seconds."""
    return float(np.quantile(seconds, 0.1))


def speedup(slow: Sequence[float], fast: Sequence[float]) -> dict[str, float]:
    """How many times faster: ratios of p10, of the minima and of the medians, and the p10 to p90 range turn by turn."""
    turns = np.divide(slow, fast)
    return {
        "p10": _short(p10(slow) / p10(fast)),
        "min": _short(min(slow) / min(fast)),
        "median": _short(float(np.median(slow) / np.median(fast))),
        "turns_low": _short(float(np.quantile(turns, 0.1))),
        "turns_high": _short(float(np.quantile(turns, 0.9))),
    }


def verdict(what: str, value: float, at_least: float | None = None, at_most: float | None = None) -> dict[str, Any]:
    """A figure beside its target, which is a lower or an upper bound."""
    assert (at_least is None) != (at_most is None)
    passed = value >= at_least if at_least is not None else value <= at_most
    bound = f">= {at_least:g}" if at_least is not None else f"<= {at_most:g}"
    return {"what": what, "value": _short(value), "target": bound, "pass": bool(passed)}


def report(
    args: argparse.Namespace,
    settings: Mapping[str, Any],
    seconds: Mapping[str, Sequence[float]],
    figures: Mapping[str, Any],
    verdicts: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Print the verdicts and write everything as JSON. A missed target is reported, it is not an error."""
    for v in verdicts:
        told = "quick run, not judged" if args.quick else "pass" if v["pass"] else "MISSED"
        print(f"{v['what']}: {v['value']:.3g}, target {v['target']}: {told}")
    record = {
        "benchmark": args.name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": args.quick,
        "machine": {**machine(), "load_before": args.load},
        "versions": versions(),
        "settings": {"repeats": args.repeats, **settings},
        "seconds": {name: summary(values) for name, values in seconds.items()},
        "figures": figures,
        "targets": list(verdicts),
        "calls": {name: [_short(s) for s in values] for name, values in seconds.items()},
    }
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        print(f"Written to {args.out}")
    return record


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print columns: the first to the left, the others to the right; numbers with four digits."""
    text = [[str(h) for h in header]] + [[f"{v:.4g}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*text, strict=True)]
    for line in text:
        print("  ".join([line[0].ljust(widths[0]), *(v.rjust(w) for v, w in zip(line[1:], widths[1:], strict=True))]))
    print()


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, torch's threads (None where torch does not compute), system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    return {"cpu": cpu_name(), "cores": cores, "threads": threads, "system": platform.platform()}


def cpu_name() -> str:
    """The processor's own name for itself, and its model number, by which generations of one name differ."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = found.get("model name", platform.machine())
    return f"{name}, family {found.get('cpu family', '?')} model {found.get('model', '?')}"


def versions() -> dict[str, str]:
    """Python and the packages that matter for speed, asked without importing them."""
    out = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            out[package] = "not installed"
    return out


def _short(x: float) -> float:
    """Six significant digits are more than any timing holds."""
    return float(f"{x:.6g}")
