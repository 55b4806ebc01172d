"""Does the doctor's first prescription help? Each sick run of the zoo once more, with the one change that it advises.

    python benchmarks/doctor/follow.py --out zoo                  after play.py: as long again
    python benchmarks/doctor/follow.py --out zoo --seeds 3        three of the five seeds

A run that was followed already is not trained again.

Seed, budget and data are the same; "put the data right" and "collect more data" are followed with the sound data of the
set. A run has improved when its coverage rose, or its kernel distance fell, by more than 1.96 standard errors of the
difference. Writes ../results/doctor_follow.json, and the page of the accuracy.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import sys
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import yaml
from fit import FOLLOWED, PAGE
from play import play
from publish import with_advice
from zoo import SEEDS, SETS, Case, cases, known

from gansmith.doctor import diagnose, from_rows
from gansmith.doctor.findings import Finding
from gansmith.doctor.history import read_rows
from gansmith.evaluation.classes import wilson

Z = 1.96


def first_finding(folder: Path) -> Finding | None:
    """The first finding at the end of a run, or at the last tick that had one."""
    rows, _ = read_rows(folder / "metrics.jsonl")
    config = yaml.safe_load((folder / "run.yaml").read_text())
    history = from_rows([r for r in rows if "doctor" not in r], config)
    for ticks in range(len(history), 0, -1):
        if findings := diagnose(history.until(ticks)).findings:
            return findings[0]
    return None


def followed(case: Case, finding: Finding) -> Case | None:
    """The same training with the change; None when the advice is in words that no rerun can follow."""
    change = finding.change
    options = dict(case.options)
    if finding.problem == "data-fault" or change.words.startswith("Collect more data"):
        return case._replace(name=f"{case.name}+data", twist="") if case.twist else None
    if change.recipe:
        kept = {k: options[k] for k in ("samples", "tick", "resolution") if k in options}
        return case._replace(name=f"{case.name}+{change.recipe}", options=kept | {"recipe": change.recipe})
    if not change.fields:
        return None
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in change.fields.items()}
    named = "+".join(f"{k}={_shown(v)}" for k, v in fields.items())
    return case._replace(name=f"{case.name}+{named}", options=options | fields)


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def improved(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Coverage or kernel distance better beyond the noise of the two."""
    noise = Z * math.hypot(before["coverage_error"], after["coverage_error"])
    kid_noise = Z * math.hypot(before["kid_error"], after["kid_error"])
    return after["coverage"] - before["coverage"] > noise or before["kid"] - after["kid"] > kid_noise


def follow(case: Case, before: dict[str, Any], out: Path) -> dict[str, Any]:
    """Follow the advice on one sick run."""
    finding = first_finding(out / case.key)
    again = followed(case, finding) if finding else None
    facts = {"key": case.key, "name": case.name, "data": case.data, "problem": finding.problem if finding else "none"}
    facts |= {"change": finding.change.words if finding else "", "before": before, "after": None, "improved": False}
    if again is None:
        return facts
    after = play(again, out / "followed")
    return facts | {"after": after, "improved": improved(before, after)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=SETS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    sick = {facts["key"]: facts for facts in known(args.out) if facts["sick"] and facts["expected"]}
    todo = [c for c in cases(tuple(args.sets), args.seeds) if c.key in sick]
    found = []
    with ProcessPoolExecutor(args.jobs) as pool:
        for job in as_completed([pool.submit(follow, case, sick[case.key], args.out) for case in todo]):
            facts = job.result()
            found.append(facts)
            after = facts["after"] or {"coverage": math.nan}
            verdict = "better" if facts["improved"] else "no better"
            print(
                f"{facts['key']}: {facts['problem']}: coverage {facts['before']['coverage']:.2f} -> "
                f"{after['coverage']:.2f}, {verdict}. {facts['change'][:70]}",
                flush=True,
            )
    better = sum(f["improved"] for f in found)
    low, high = (float(x) for x in wilson(torch.tensor(float(better), dtype=torch.float64), len(found)))
    rows = defaultdict(list)
    for facts in found:
        rows[facts["name"]].append(facts["improved"])
    for name, flags in sorted(rows.items()):
        print(f"  {name:18} {sum(flags)} of {len(flags)}")
    print(f"improved: {better} of {len(found)} = {better / len(found):.2f} (95 % interval {low:.2f} to {high:.2f})")
    found.sort(key=lambda facts: facts["key"])
    record = {"date": f"{datetime.date.today():%Y-%m-%d}", "seeds": args.seeds, "improved": better, "of": len(found)}
    record |= {"interval": [low, high], "runs": found}
    FOLLOWED.write_text(json.dumps(record) + "\n")
    PAGE.write_text(with_advice(PAGE.read_text(), record))


if __name__ == "__main__":
    sys.exit(main())
