"""A training's past as the doctor reads it: one array for each sign, over the samples seen."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Column = np.ndarray
"""One number for each tick (T,), float64, NaN where it was not measured."""


@dataclass(frozen=True)
class History:
    """The records of a run that hold signs, oldest first.

    Args:
        seen: samples at each tick (T,).
        columns: by name: signs as they are called in `signs.py`, and means as "D/adv", "G/grad_norm_G".
        lists: signs that are lists, a list for each tick, None where there is none.
        events: records of what happened between ticks: retries, and what the doctor said.
        progress: share of the budget that is spent at each tick (T,); NaN where nobody knows.
        fields: of the recipe, with "recipe" its name; empty for a foreign run.
        facts: of the data (`real.data_facts`).
        kind: of the data: "image", "points" or "".
        source: where it was read from, for messages.
        notes: what could not be read or is missing.
        snapshot: whether this is one look at samples, repeated, and no course of a training.
        classes: names of the data's classes.
    """

    seen: Column
    columns: Mapping[str, Column]
    lists: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    events: Sequence[Mapping[str, Any]] = ()
    progress: Column = field(default_factory=lambda: np.zeros(0))
    fields: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, float] = field(default_factory=dict)
    kind: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    snapshot: bool = False
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.seen)

    def __getitem__(self, name: str) -> Column:
        """A column; all NaN when it was never measured."""
        found = self.columns.get(name)
        return np.full(len(self), np.nan) if found is None else found

    def has(self, *names: str) -> bool:
        """Whether each of these was measured at least once."""
        return all(np.isfinite(self[name]).any() for name in names)

    def until(self, ticks: int) -> History:
        """What was known after the first so many ticks."""
        last = self.seen[ticks - 1] if ticks else -1
        return History(
            self.seen[:ticks],
            {k: v[:ticks] for k, v in self.columns.items()},
            {k: v[:ticks] for k, v in self.lists.items()},
            [e for e in self.events if e.get("seen", 0) <= last],
            self.progress[:ticks],
            self.fields,
            self.facts,
            self.kind,
            self.source,
            self.notes,
            self.snapshot,
            self.classes,
        )


def from_rows(
    rows: Iterable[Mapping[str, Any]],
    config: Mapping[str, Any],
    source: str = "",
    notes: tuple[str, ...] = (),
) -> History:
    """The history in records of metrics.jsonl, with the run.yaml beside them.

    A record that goes back to an earlier "seen" takes the place of what came after that: the training went back to a
    checkpoint. Numbers that are not finite and anything that is no number become NaN.
    """
    every = [r for r in rows if isinstance(r, Mapping) and _number(r.get("seen"))]
    events = [r for r in every if "event" in r]
    ordered: list[Mapping[str, Any]] = []
    for record in every:
        tick = "event" not in record
        while ordered and (ordered[-1]["seen"] > record["seen"] or (tick and ordered[-1]["seen"] == record["seen"])):
            ordered.pop()
        if tick:
            ordered.append(record)
    flat = [_flat(r) for r in ordered]
    names = dict.fromkeys(k for r in flat for k in r)
    lists = {k for r in flat for k, v in r.items() if isinstance(v, list)}
    seen = np.array([float(r["seen"]) for r in ordered])
    spec = config.get("data", {}).get("spec", {})
    return History(
        seen,
        {k: np.array([_value(r.get(k)) for r in flat]) for k in names if k not in lists},
        {k: [r.get(k) if isinstance(r.get(k), list) else None for r in flat] for k in lists},
        events,
        _progress(seen, [_value(r.get("seconds")) for r in ordered], config.get("budget") or {}),
        dict(config.get("fields") or {}) | {"recipe": str(config.get("recipe", ""))},
        _facts(ordered),
        str(spec.get("kind", "")),
        source,
        notes,
        classes=tuple(map(str, spec.get("classes") or ())),
    )


def read_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The records of a JSON Lines file that may still be written, and how many of its lines are torn or no records."""
    rows, torn = [], 0
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (json.JSONDecodeError, RecursionError):
                torn += bool(line.strip())
                continue
            if isinstance(record, dict):
                rows.append(record)
            else:
                torn += 1
    return rows, torn


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record with its signs beside its means."""
    signs = record.get("signs")
    plain = {k: v for k, v in record.items() if k != "signs"}
    return plain | {k: v for k, v in (signs.items() if isinstance(signs, Mapping) else ()) if k != "facts"}


def _facts(records: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """What the first record that says so says of the data."""
    for record in records:
        signs = record.get("signs")
        facts = signs.get("facts") if isinstance(signs, Mapping) else None
        if isinstance(facts, Mapping):
            return {k: float(v) for k, v in facts.items() if _number(v)}
    return {}


def _number(x: Any) -> bool:
    return isinstance(x, (int, float)) and not isinstance(x, bool) and math.isfinite(x)


def _value(x: Any) -> float:
    return float(x) if _number(x) else math.nan


def _progress(seen: Column, seconds: Sequence[float], budget: Mapping[str, Any]) -> Column:
    samples, minutes = _value(budget.get("samples")), _value(budget.get("minutes"))
    parts = np.stack([seen / samples, np.array(seconds).reshape(seen.shape) / (60 * minutes)])
    known = np.isfinite(parts).any(0)
    return np.where(known, np.nanmax(np.where(np.isfinite(parts), parts, -1), axis=0), np.nan).clip(max=1)
