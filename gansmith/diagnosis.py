"""The doctor from Python: a run, a run of another tool, or a folder of samples, and what is wrong with it.

import gansmith

found = gansmith.diagnose("runs/00000-dcgan-digits")
found.state, [f.title for f in found.findings]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansmith.data import Dataset, open_data
from gansmith.doctor.audit import duality_gap, snapshot
from gansmith.doctor.diagnose import LIMITS
from gansmith.doctor.diagnose import diagnose as judge
from gansmith.doctor.findings import Diagnosis
from gansmith.doctor.foreign import read_foreign
from gansmith.doctor.history import from_rows, read_rows
from gansmith.doctor.live import save
from gansmith.doctoring import SAMPLES, command
from gansmith.doctoring import real as real_of
from gansmith.engine import checkpoint
from gansmith.engine.rundir import RunDir
from gansmith.errors import GansmithError
from gansmith.evaluation.samples import reference, whole
from gansmith.evaluation.verdict import number
from gansmith.scoring import evaluate
from gansmith.session import reopen_session

AUDITED = 1000  # samples
FEWEST = 40  # samples without a training that can be diagnosed


def diagnose(path: str | Path | np.ndarray, *, against: Any = None, audit: bool = False) -> Diagnosis:
    """What is wrong with a training, since when, how sure, and what to change.

    Args:
        path: a run directory, also of a training that still goes on or was cut short; a folder or file of another tool
            (StyleGAN's stats.jsonl, TensorBoard events, a .csv of losses); with `against`, samples.
        against: the real data of samples: a name, a path or an array.
        audit: also measure what takes minutes: copies, authenticity, the birthday estimate and the duality gap.

    Returns:
        State, findings (the likeliest cause first) and what could not be judged. For a run directory doctor.json holds
        the same.

    Raises:
        GansmithError: nothing there that the doctor can read.
    """
    if against is not None:
        return judge(_samples(path, against))
    if isinstance(path, np.ndarray):
        raise GansmithError("Samples need real data to be held against: diagnose(samples, against=DATA).")
    folder = Path(path).expanduser()
    if not folder.exists():
        raise GansmithError(f"{folder} does not exist: give a run directory, or what another tool left.")
    if not (folder / "run.yaml").is_file():
        if audit:
            raise GansmithError(f"{folder} is no run of gansmith; an audit needs its checkpoints: leave --audit out.")
        return judge(read_foreign(folder))
    return _run(RunDir.open(folder), audit)


def _run(run: RunDir, audit: bool) -> Diagnosis:
    config, path = run.read_config(), run.path / "metrics.jsonl"
    if not path.is_file():
        raise GansmithError(f"{path} is missing: the training ended before its first tick, there is nothing to judge.")
    rows, torn = read_rows(path)
    notes = [f"{torn} lines of metrics.jsonl are torn or no records, and were left out."] if torn else []
    if not any("signs" in r for r in rows):
        notes.append("The records hold no signs: they are of a version before the doctor, or every line is torn.")
    history = from_rows(rows, config, str(run.path), tuple(notes))
    found = judge(history, LIMITS, lambda change: command(config, run.path, change))
    if audit:
        found = replace(found, notes=[*found.notes, *_audit(run, config)])
    save(found, run.path)
    return found


def _audit(run: RunDir, config: Mapping[str, Any]) -> list[str]:
    """What an audit measures, in sentences."""
    scores = {s["name"]: s for s in evaluate(run.path, n=AUDITED, quiet=True)["scores"]}
    lines = []
    for name in ("copied", "C_T", "authenticity", "support"):
        if (s := scores.get(name)) is None:
            continue
        value = f"at least {number(s['low'])}" if s["value"] is None else number(s["value"])
        usual = "" if s["real"] is None else f"; held-out real samples: {number(s['real'])}"
        lines.append(f"audit: {name} {value}{usual}.")
    session = reopen_session(
        run, samples=None, minutes=None, data=None, device="cpu", devices=1, patience=None, quiet=True
    )
    game, at = session.game(), run.checkpoint()
    game.restore(*checkpoint.load(at), at)
    if {"G", "D"} <= set(game.nets):
        lines.append(f"audit: duality gap {duality_gap(game):.3g} (0 at an equilibrium; compare within one recipe).")
    return lines


def _samples(path: str | Path | np.ndarray, against: Any) -> Any:
    dataset = against if isinstance(against, Dataset) else open_data(against, progress=False)
    if dataset.spec.kind != "image":
        raise GansmithError(f"{dataset.spec.name} holds {dataset.spec.kind}; samples can be diagnosed against images.")
    channels, side, _ = dataset.spec.shape
    samples = open_data(path, resolution=side, channels=channels, progress=False)
    real = real_of(dataset)
    if real is None:
        raise GansmithError(f"{dataset.spec.name} has too few images to hold samples against.")
    every = whole(reference(samples))
    order = torch.randperm(every.count, generator=torch.Generator().manual_seed(0)).numpy()
    if every.count < FEWEST:
        raise GansmithError(f"{samples.spec.name} holds {every.count} samples: give at least {FEWEST}.")
    fake = every.at(np.sort(order[: min(real.size, SAMPLES)])).tensor()
    return snapshot(fake, real, str(path) if not isinstance(path, np.ndarray) else "samples")
