"""The page of the doctor's accuracy, from the scores that fit.py measures."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Mapping
from math import nan
from statistics import median
from typing import TYPE_CHECKING, Any

from zoo import FAULTS, HEALTHY, SETS

from gansmith.doctor.rules import RULES

if TYPE_CHECKING:
    from fit import Scores

HEAD = """# How often is the doctor right?

The sick zoo (`benchmarks/doctor/zoo.py`) is {runs} trainings on {sets}: {faults} faults, each induced
on purpose, and {losses} losses with settings that work. What is true of a run is measured with other means than the
doctor's, at the end of the training: the modes of the known laws, and for images classes, coverage and precision in the
features of a judge trained on the labels, against held-out samples. A run is *sick* when a tenth of the modes or
classes is lost, a third of the coverage or half of the precision that the plain healthy setting comes to on that set
with that budget (the median of its seeds), or when its data are sick.
Faults that did no harm ({mild} runs) and healthy settings that failed ({failed} runs) are counted neither way.

The doctor's limits were fitted on two of the sets and scored on the other two, both ways; the figures are of the sets
that were not fitted. (The rules themselves, and the limits from which the fit starts, were made while runs of all four
sets were looked at.) Beside it stands the folk rule on the same runs: D's loss 0.5 to 0.8, G's loss 1 to 2, accuracy 70
to 80 %, each a mean of five ticks; whatever it alarms for counts as the right cause. {date}; repeat it with

    python benchmarks/doctor/play.py --out zoo      hours
    python benchmarks/doctor/fit.py --out zoo

| | doctor | folk rule |
|---|---|---|
"""

ROWS = {
    "recall": "sick runs with an alarm (mean over the faults)",
    "false_alarms": "healthy runs with an alarm at any tick",
    "first_cause": "alarmed sick runs whose first finding the fault explains",
    "detection": "median share of the training before the first alarm",
}


def page(found: Scores, rule: Scores) -> str:
    """The guide's page: both doctors' scores, and for each fault and loss how often which finding came first."""
    counts = defaultdict(int, found.counts)
    text = HEAD.format(
        runs=sum(found.counts.values()),
        sets=f"{', '.join(SETS[:-1])} and {SETS[-1]}",
        faults=len(FAULTS),
        losses=len(HEALTHY),
        mild=counts["mild"],
        failed=counts["failed"],
        date=f"{datetime.date.today():%Y-%m-%d}",
    )
    for name, words in ROWS.items():
        text += f"| {words} | {100 * getattr(found, name):.0f} % | {100 * getattr(rule, name):.0f} % |\n"
    text += f"\n{counts['sick']} runs are sick, {counts['healthy']} healthy.\n\n"
    text += "## How often a finding is right\n\n" + trusted(found)
    text += "\n## Which finding came first\n\n"
    text += "Each row is a fault, or at the end a loss that works; its runs are counted by their first finding.\n\n"
    columns = [p for p in ("data-fault", *RULES, "none") if any(p in row for row in found.confusion.values())]
    text += f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}\n"
    for name in [n for n in (*FAULTS, *HEALTHY) if n in found.confusion]:
        row = found.confusion[name]
        text += f"| {name} | {' | '.join(str(row.get(p, '')) for p in columns)} |\n"
    return text


def trusted(found: Scores) -> str:
    """How often each finding came first in a sick or a healthy run, and how often the fault explained it."""
    text = "| first finding | made | right |\n|---|---|---|\n"
    for problem in ("data-fault", *RULES):
        if problem in found.trust:
            made, right = found.trust[problem]
            text += f"| {problem} | {made} | {100 * right / made:.0f} % |\n"
    return text + (
        "\nThe confidence of a clear finding comes from here. No fault of the zoo is a budget that is too short, so "
        "under-training\nis counted as wrong wherever it is said.\n"
    )


ADVICE = "## Does the advice help?"

TOLD = """
Each sick run was trained once more, with the one change of its first finding at the end, and the same seed, budget and
data (sound data where the data were the fault). Coverage rose or the kernel distance fell by more than 1.96 standard
errors of the difference in **{improved} of {of}** runs, {share:.0f} % (95 % interval {low:.0f} to {high:.0f} %);
{date}, {seeds} seeds of each set:

    python benchmarks/doctor/follow.py --out zoo --seeds {seeds}

| fault | better | coverage before and after (medians) | the change, most often |
|---|---|---|---|
"""


def with_advice(text: str, record: Mapping[str, Any]) -> str:
    """The page with the part on following the advice, from what follow.py measured."""
    low, high = (100 * end for end in record["interval"])
    told = {k: record[k] for k in ("improved", "of", "date", "seeds")}
    part = TOLD.format(**told, share=100 * record["improved"] / record["of"], low=low, high=high)
    for name in FAULTS:
        if runs := [run for run in record["runs"] if run["name"] == name]:
            part += f"| {' | '.join(_advised(name, runs))} |\n"
    return f"{text.partition(ADVICE)[0].rstrip()}\n\n{ADVICE}\n{part}"


def _advised(name: str, runs: list[dict[str, Any]]) -> tuple[str, ...]:
    """A fault's row."""
    tried = [run for run in runs if run["after"]]
    before, after = (median(run[k]["coverage"] for run in tried) if tried else nan for k in ("before", "after"))
    words = Counter(run["change"].partition(":")[0] for run in runs).most_common(1)[0][0]
    better = sum(run["improved"] for run in runs)
    return name, f"{better} of {len(runs)}", f"{before:.2f} to {after:.2f}", words or "nothing was found"
