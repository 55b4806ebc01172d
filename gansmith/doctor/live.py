"""The doctor at the bedside: measures at each tick of a training, and says a line when something changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.doctor.diagnose import LIMITS, Writer, diagnose
from gansmith.doctor.findings import Diagnosis
from gansmith.doctor.history import History, from_rows
from gansmith.doctor.signs import Signs
from gansmith.engine.display import count
from gansmith.engine.files import write_file
from gansmith.engine.game import Game
from gansmith.engine.rundir import RunDir
from gansmith.engine.train import Advice

ACTED = "doctor acts:"
TOO_LATE = 0.9  # share of the budget after which a change is not worth it
ACTS = 3  # changes that it may make in one run
HEALTHY = "healthy"
FORGETS = 4  # ticks without a sign of it until a problem is said to be over


class Doctor:
    """Watches a training (`engine.train.Watch`) and keeps doctor.json.

    Args:
        signs: measures.
        config: what run.yaml holds.
        folder: the run directory.
        write: gives the command of a change.
        acts: whether it may change the training by itself.
    """

    def __init__(
        self, signs: Signs, config: dict[str, Any], folder: Path, write: Writer, *, acts: bool = False
    ) -> None:
        self.signs, self.config, self.folder, self.write, self.acts = signs, config, folder, write, acts
        self.found: Diagnosis | None = None
        self.good: int | None = None
        self.spent = 0.0  # share of the budget

    def look(self, game: Game, waited: float) -> dict[str, Any]:
        """The signs of this moment."""
        return self.signs(game, waited)

    def speak(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """An event for each problem that has begun or is over, and when the training is first called healthy."""
        history = from_rows(rows, self.config, str(self.folder))
        found = self.found = diagnose(history, LIMITS, self.write)
        save(found, self.folder)
        self.spent = float(np.nan_to_num(history.progress[-1])) if len(history.progress) else 0.0
        if self.acts and not found.findings:
            self.good = found.seen
        before, now = told(rows), [f.problem for f in found.findings]
        over = [p for p in before if p not in [*now, HEALTHY] and not self._recent(history, p)]
        said = [(f.headline(), f.problem) for f in found.findings if f.problem not in before]
        said += [(f"doctor: no sign of {p} any more.", f"{p} over") for p in over]
        state = [*now, *(p for p in before if p not in [*now, *over, HEALTHY])]
        if found.state == HEALTHY and not state:
            state = [HEALTHY]
            said += [] if before == state else [(f"doctor: healthy. {found.reason}", HEALTHY)]
        at = {"seen": rows[-1]["seen"], "doctor": state}
        return [at | {"event": text, "mark": mark} for text, mark in said]

    def act(self, rows: Sequence[dict[str, Any]]) -> Advice | None:
        """The first finding's change, from the last checkpoint without findings; None when it may not, has done so
        three times, or the change needs a new start."""
        found = self.found.findings[0] if self.found and self.found.findings else None
        done = sum(str(r.get("event", "")).startswith(ACTED) for r in rows)
        if not self.acts or found is None or self.good is None or done >= ACTS or self.spent > TOO_LATE:
            return None
        change = found.change
        if not (change.midway and change.fields) or "samples" in change.fields:
            return None
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in change.fields.items()}
        self.config["fields"] |= change.fields
        RunDir(self.folder).write_config({k: v for k, v in self.config.items() if k != "format"})
        text = f"{ACTED} {found.title}. Back to {count(self.good)} samples, and on with: {change.words}"
        return Advice(self.good, fields, text)

    def _recent(self, history: History, problem: str) -> bool:
        """Whether one of the ticks just before spoke of the problem."""
        for back in range(1, FORGETS):
            earlier = diagnose(history.until(max(len(history) - back, 0)))
            if problem in [f.problem for f in earlier.findings]:
                return True
        return False


def told(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The problems that the doctor last spoke of; ["healthy"] after it said so."""
    spoken = [r["doctor"] for r in rows if isinstance(r.get("doctor"), list)]
    return [str(p) for p in spoken[-1]] if spoken else []


def save(found: Diagnosis, folder: Path) -> None:
    """Write doctor.json."""
    text = json.dumps(found.to_json(), indent=1)
    write_file(folder / "doctor.json", lambda temporary: temporary.write_text(text, encoding="utf-8"))
