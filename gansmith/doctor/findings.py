"""A finding and a diagnosis: what the doctor says, as data and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from gansmith.engine.display import count
from gansmith.evaluation.verdict import number

FORMAT = 1
Severity = Literal["warning", "critical"]
State = Literal["healthy", "too early", "warning", "critical"]

EXIT = {"healthy": 0, "too early": 0, "warning": 3, "critical": 4}
"""Exit codes of `gansmith doctor`; 2 stays bad input."""


@dataclass(frozen=True)
class Number:
    """A number that speaks for a finding.

    Args:
        name: of the sign.
        value: now.
        reference: what it is held against; None when the value speaks for itself.
        words: what both are, with {value} and {reference} in it.
        percent: whether both are shares, shown as percentages.
    """

    name: str
    value: float
    reference: float | None
    words: str
    percent: bool = False

    @property
    def text(self) -> str:
        """The words with the numbers in them."""
        return self.words.format(value=self._shown(self.value), reference=self._shown(self.reference))

    def _shown(self, x: float | None) -> str:
        return f"{100 * x:.0f} %" if self.percent and x is not None and math.isfinite(x) else number(x)


@dataclass(frozen=True)
class Change:
    """The one change to try.

    Args:
        words: what to do, in a sentence.
        fields: of the recipe, with their new values; empty when the change is none of fields.
        recipe: another recipe, when that is the change.
        command: what to type; None when no command can say it.
        midway: whether a training can go on with it from a checkpoint.
    """

    words: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    recipe: str | None = None
    command: str | None = None
    midway: bool = False


@dataclass(frozen=True)
class Finding:
    """A problem that was found.

    Args:
        problem: its name, as in the guide.
        kind: a variant: "full", "partial", "intra-class"; or "".
        title: the problem in words.
        severity: "warning", or "critical" when going on is a waste.
        since: samples seen when it began; None when nobody knows.
        numbers: the evidence.
        why: what is going on, in a sentence.
        change: the one change to try.
        check: how to see that it worked.
        confidence: 0 to 1: at the limit 0.5, at twice the limit how often such a finding was right on the sick zoo.
        source: where the rule or the remedy comes from.
        strength: of the sign over its limit, at least 1.
    """

    problem: str
    kind: str
    title: str
    severity: Severity
    since: int | None
    numbers: Sequence[Number]
    why: str
    change: Change
    check: str
    confidence: float
    source: str
    strength: float = 1.0

    def lines(self) -> list[str]:
        """The finding as text, a paragraph a line."""
        lines = [f"{self.severity.upper()}: {self.title}{self._since()} (confidence {100 * self.confidence:.0f} %)"]
        lines += [f"  {n.text}" for n in self.numbers]
        lines += [f"  Why: {self.why}", f"  Try: {self.change.words}"]
        if self.change.command:
            lines.append(f"    {self.change.command}")
        return [*lines, f"  Check: {self.check}", f"  Source: {self.source}"]

    def headline(self) -> str:
        """The finding in a line, for a training that goes on."""
        first = f" {self.numbers[0].text}" if self.numbers else ""
        return f"doctor: {self.title}{self._since()}.{first} Try: {self.change.words}"

    def _since(self) -> str:
        return "" if self.since is None else f", since {count(self.since)} samples"


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor says of a run.

    Args:
        state: the worst severity found; "healthy"; or "too early" to say.
        findings: the likeliest cause first.
        seen: samples at the last tick.
        ticks: that were looked at.
        reason: in a sentence, why there are no findings.
        notes: what could not be judged, and why.
        source: what was diagnosed.
    """

    state: State
    findings: Sequence[Finding]
    seen: int
    ticks: int
    reason: str = ""
    notes: Sequence[str] = ()
    source: str = ""

    @property
    def exit_code(self) -> int:
        return EXIT[self.state]

    def lines(self) -> list[str]:
        """The diagnosis as text."""
        after = f", after {count(self.seen)} samples and {self.ticks} ticks" if self.ticks > 1 else ""
        head = f"{self.source}: {self.state}{after}."
        lines = [head, *([self.reason] if self.reason else [])]
        for finding in self.findings:
            lines += ["", *finding.lines()]
        return lines + ([""] if self.notes else []) + [f"note: {note}" for note in self.notes]

    def to_json(self) -> dict[str, Any]:
        """As doctor.json holds it."""
        findings = [asdict(f) | {"numbers": [asdict(n) | {"text": n.text} for n in f.numbers]} for f in self.findings]
        return {
            "format": FORMAT,
            "source": self.source,
            "state": self.state,
            "exit_code": self.exit_code,
            "seen": self.seen,
            "ticks": self.ticks,
            "reason": self.reason,
            "findings": findings,
            "notes": list(self.notes),
        }
