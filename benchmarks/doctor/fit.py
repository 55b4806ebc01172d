"""Fit the doctor's limits on two data sets of the zoo, score them on the other two, both ways; beside the folk rule.

    python benchmarks/doctor/fit.py --out zoo                   after play.py; writes ../results/doctor.json and
                                                                docs/guides/doctor-accuracy.md
    python benchmarks/doctor/fit.py --out zoo --limits          only print the limits fitted on all runs

A run counts as alarmed when the doctor had a finding at any tick, so that a healthy run must stay free of them from the
first tick to the last. Its first cause is the first finding of the diagnosis at the end, or at the last tick that had
one. Runs whose fault did not make them sick (`zoo.known`) are counted neither as sick nor as healthy.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from publish import page, with_advice
from zoo import known

from gansmith.doctor.course import Course
from gansmith.doctor.data_faults import data_faults
from gansmith.doctor.history import from_rows, read_rows
from gansmith.doctor.rules import ANYTIME, RULES, Limits, grown, unless

RESULT = Path(__file__).parent.parent / "results" / "doctor.json"
FOLLOWED = RESULT.with_name("doctor_follow.json")
PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "guides" / "doctor-accuracy.md"
SPLITS = (("ring8", "digits"), ("grid25", "fashion_mnist"))
START = Limits(fooled=0.55, fair=0.6, stuck=0.12, narrow=0.5, thin=0.65, missing=0.1, gain=0.15)
"""Set by hand while the first two seeds of every set were looked at; the fit starts from here, wherever the package's
limits have come to, or it would know the sets that it is scored on."""

STEPS = (0.5, 0.6, 0.75, 0.87, 1.0, 1.15, 1.35, 1.7, 2.0)  # a limit is tried at these multiples of its start
SHY = 0.05  # what a limit must gain to move by a factor of e
SWEEPS = 3
MARGINS = (0.75, 1.0, 1.25)  # strengths at which the fit lets the doctor alarm
CHANCES = ("wins", "fooled", "remembers")  # limits that are chances: their distance from 1, or from 1/2, is scaled


class Recorder:
    """Stands for limits, and notes which of them are asked for."""

    def __init__(self, limits: Limits) -> None:
        self.limits, self.asked = limits, set()

    def __getattr__(self, name: str) -> float:
        self.asked.add(name)
        return getattr(self.limits, name)


@dataclass
class Run:
    """A training of the zoo: its course, its truth, and strengths that were computed already."""

    facts: dict[str, Any]
    course: Course
    faulty: list[str]
    cache: dict[tuple[Any, ...], np.ndarray] = field(default_factory=dict)

    def strength(self, problem: str, limits: Limits, asked: dict[str, set[str]]) -> np.ndarray:
        key = (problem, *(getattr(limits, name) for name in sorted(asked[problem] | {"grace"})))
        if key not in self.cache:
            with np.errstate(invalid="ignore", divide="ignore"):
                found = RULES[problem](self.course, limits)
            self.cache[key] = found if problem in ANYTIME else unless(found, ~grown(self.course, limits))
        return self.cache[key]

    def findings(self, limits: Limits, asked: dict[str, set[str]], at: float = 1.0) -> list[list[str]]:
        """The problems found at each tick, the first cause first, with alarms from the strength `at`."""
        speaks = {p: self.strength(p, limits, asked) >= at for p in RULES}
        ticks = len(self.course.history)
        return [self.faulty + [p for p in RULES if speaks[p][i]] for i in range(ticks)]


def load(out: Path) -> list[Run]:
    """Every run that has a truth."""
    runs = []
    for facts in known(out):
        folder = out / facts["key"]
        config = yaml.safe_load((folder / "run.yaml").read_text())
        rows, _ = read_rows(folder / "metrics.jsonl")
        history = from_rows([r for r in rows if "doctor" not in r], config)
        runs.append(Run(facts, Course(history), [f.problem for f in data_faults(history)][:1]))
    return runs


def dependencies(runs: Sequence[Run]) -> dict[str, set[str]]:
    """Which limits each rule asks for."""
    found = {}
    for problem, rule in RULES.items():
        recorder = Recorder(Limits())
        with np.errstate(invalid="ignore", divide="ignore"):
            rule(runs[0].course, recorder)  # type: ignore[arg-type]
        found[problem] = recorder.asked
    return found


@dataclass
class Scores:
    """How often a doctor is right.

    Args:
        recall: mean over the faults of the share of their sick runs with an alarm.
        false_alarms: share of the healthy runs with an alarm at any tick.
        first_cause: share of the alarmed sick runs whose first finding is one that the fault explains.
        detection: median share of the budget at the first alarm.
        confusion: for each fault and loss, how often each first finding was made ("none" = no alarm).
        counts: sick, healthy and mild runs.
        trust: for each first finding, how often it was made of sick and healthy runs, and how often it was right.
    """

    recall: float
    false_alarms: float
    first_cause: float
    detection: float
    confusion: dict[str, dict[str, int]]
    counts: dict[str, int]
    trust: dict[str, tuple[int, int]]


def score(runs: Sequence[Run], alarms: Sequence[list[list[str]]]) -> Scores:
    """Scores of what was found at each tick of each run."""
    caught, right, when = defaultdict(list), [], []
    false, confusion, counts = [], defaultdict(Counter), Counter()
    made, good = Counter(), Counter()
    for run, found in zip(runs, alarms, strict=True):
        ticks = [i for i, problems in enumerate(found) if problems]
        first = found[ticks[-1]][0] if ticks else "none"
        confusion[run.facts["name"]][first] += 1
        expected = run.facts["expected"]
        if not expected:
            kind = "sick" if run.facts["sick"] else "healthy"  # a healthy setting that failed is nobody's false alarm
            counts["failed" if kind == "sick" else "healthy"] += 1
            if kind == "healthy":
                false.append(bool(ticks))
                made[first] += 1
        elif run.facts["sick"]:
            counts["sick"] += 1
            caught[run.facts["name"]].append(bool(ticks))
            if ticks:
                right.append(first in expected or first == "folk")
                made[first] += 1
                good[first] += right[-1]
                when.append(float(run.course.history.progress[ticks[0]]))
        else:
            counts["mild"] += 1
    return Scores(
        float(np.mean([np.mean(v) for v in caught.values()])) if caught else float("nan"),
        float(np.mean(false)) if false else float("nan"),
        float(np.mean(right)) if right else float("nan"),
        float(np.median(when)) if when else float("nan"),
        {name: dict(c) for name, c in confusion.items()},
        dict(counts),
        {problem: (n, good[problem]) for problem, n in made.items() if problem != "none"},
    )


def judged(runs: Sequence[Run], limits: Limits, asked: dict[str, set[str]], at: float = 1.0) -> Scores:
    return score(runs, [run.findings(limits, asked, at) for run in runs])


def worth(runs: Sequence[Run], limits: Limits, asked: dict[str, set[str]]) -> float:
    """What the fit maximises: recall and first causes, at few false alarms, early.

    Also for a doctor that alarms sooner and one that alarms later, so that no limit lies close beside the runs."""
    total = 0.0
    for at in MARGINS:
        found = judged(runs, limits, asked, at)
        total += found.recall + 0.7 * found.first_cause - 2.0 * found.false_alarms - 0.2 * found.detection
    return total / len(MARGINS)


def fit(runs: Sequence[Run], asked: dict[str, set[str]]) -> Limits:
    """Limits by coordinate ascent from START; what a limit gains must be worth its way."""
    steps = {f.name: 1.0 for f in dataclasses.fields(Limits)}

    def value(steps: dict[str, float]) -> float:
        return worth(runs, moved(steps), asked) - SHY * sum(abs(np.log(s)) for s in steps.values())

    best = value(steps)
    for _ in range(SWEEPS):
        before = best
        for name in steps:
            for step in STEPS:
                if (found := value(steps | {name: step})) > best + 1e-9:
                    best, steps = found, steps | {name: step}
        if best - before < 1e-6:
            break
    return moved(steps)


def moved(steps: dict[str, float]) -> Limits:
    """The limits of START, each times its step."""
    start = START
    return dataclasses.replace(start, **{k: scaled(k, getattr(start, k), v) for k, v in steps.items() if v != 1})


def scaled(name: str, value: float, step: float) -> float:
    """A limit times a step, in the scale that is natural for it.

    >>> scaled("far", 0.2, 1.5), scaled("wins", 0.96, 0.5), scaled("remembers", 0.6, 1.5)
    (0.3, 0.98, 0.65)
    """
    if name == "wins":
        return round(1 - (1 - value) * step, 6)
    if name in CHANCES:
        return round(0.5 + (value - 0.5) * step, 6)
    return round(value * step, 6)


def folk(run: Run) -> list[list[str]]:
    """The folk rule: D's loss (a half) 0.5 to 0.8, G's loss 1 to 2, accuracy 70 to 80 %, each a mean of five ticks."""
    course = run.course
    d, g = course["D/adv"] / 2, course["G/adv"]
    accuracy = (course["acc_real"] + course["acc_fake"]) / 2
    found: list[list[str]] = []
    old = grown(course, Limits())
    for i in range(len(course.history)):
        part = slice(max(i - 4, 0), i + 1)
        means = [float(np.nanmean(x[part])) if np.isfinite(x[part]).any() else np.nan for x in (d, g, accuracy)]
        bands = [(0.5, 0.8), (1.0, 2.0), (0.7, 0.8)]
        out = any(not low <= mean <= high for mean, (low, high) in zip(means, bands, strict=True) if np.isfinite(mean))
        found.append(["folk"] if out and old[i] else [])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--limits", action="store_true", help="only print the limits fitted on all runs")
    parser.add_argument("--start", action="store_true", help="score the limits that the package has now, unfitted")
    args = parser.parse_args()
    runs = load(args.out)
    asked = dependencies(runs)
    if args.start:
        show("the package's limits", judged(runs, Limits(), asked))
        return
    whole = fit(runs, asked)
    print(f"limits fitted on all {len(runs)} runs: {whole}")
    if args.limits:
        return
    alarms: dict[int, list[list[str]]] = {}
    parts = {}
    for learned, scored in (SPLITS, SPLITS[::-1]):
        limits = fit([r for r in runs if r.facts["data"] in learned], asked)
        rest = [r for r in runs if r.facts["data"] in scored]
        alarms |= {id(r): r.findings(limits, asked) for r in rest}
        parts[" and ".join(scored)] = judged(rest, limits, asked)
        show(f"fitted on {' and '.join(learned)}, scored on {' and '.join(scored)}", parts[" and ".join(scored)])
    both = score(runs, [alarms[id(r)] for r in runs])
    show("both ways together", both)
    rule = score(runs, [folk(r) for r in runs])
    show("the folk rule on the same runs (any alarm counts as its first cause)", rule)
    record = {
        "runs": len(runs),
        "limits": dataclasses.asdict(whole),
        "held_out": dataclasses.asdict(both),
        "parts": {k: dataclasses.asdict(v) for k, v in parts.items()},
        "folk": dataclasses.asdict(rule),
        "all": dataclasses.asdict(judged(runs, whole, asked)),
    }
    RESULT.write_text(json.dumps(record, indent=1) + "\n")
    text = page(both, rule)
    PAGE.write_text(with_advice(text, json.loads(FOLLOWED.read_text())) if FOLLOWED.is_file() else text)
    print(f"Written to {RESULT} and {PAGE}")


def show(title: str, found: Scores) -> None:
    counts = ", ".join(f"{n} {kind}" for kind, n in sorted(found.counts.items()))
    print(f"\n{title} ({counts})")
    print(
        f"  macro recall {found.recall:.3f}, false alarms {found.false_alarms:.3f}, "
        f"first cause {found.first_cause:.3f}, median detection at {100 * found.detection:.0f} % of the budget"
    )
    for name, row in sorted(found.confusion.items()):
        print(f"  {name:18} {', '.join(f'{problem} {n}' for problem, n in sorted(row.items(), key=lambda x: -x[1]))}")


if __name__ == "__main__":
    main()
