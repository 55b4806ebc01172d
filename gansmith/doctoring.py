"""The doctor of a training: the real samples that it measures against, and the commands that it advises."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gansmith import recipes
from gansmith.data import Dataset
from gansmith.doctor.findings import Change
from gansmith.doctor.live import Doctor
from gansmith.doctor.real import Real, facts_of, real_samples
from gansmith.doctor.signs import Signs
from gansmith.errors import GansmithError
from gansmith.evaluation.samples import reference

SAMPLES = 500  # real samples of each kind that generated ones are held against


def doctor(config: dict[str, Any], dataset: Dataset, folder: Path) -> Doctor:
    """The doctor of a training.

    Args:
        config: what run.yaml holds.
        dataset: the opened data.
        folder: the run directory.
    """
    found = real(dataset)
    facts = None if found else facts_of(reference(dataset, SAMPLES), SAMPLES)
    signs = Signs(found, config["tick"], config["seed"], facts)
    acts = bool(config.get("act"))
    return Doctor(signs, config, folder, lambda change: command(config, folder, change), acts=acts)


def real(dataset: Dataset) -> Real | None:
    """Real samples to measure against; None when there are too few."""
    try:
        return real_samples(reference(dataset, SAMPLES), SAMPLES)
    except GansmithError:
        return None


def command(config: Mapping[str, Any], folder: Path, change: Change) -> str | None:
    """What to type for the same training with one change; None when the change is none of fields, or the data came as
    an array."""
    source, fields = config["data"]["source"], dict(config["fields"])
    if set(change.fields) == {"samples"}:
        return shlex.join(["gansmith", "resume", str(folder), "--samples", str(change.fields["samples"])])
    if source is None or not (change.fields or change.recipe):
        return None
    words = ["gansmith", "train", change.recipe or str(config["recipe"]), "--data", str(source)]
    given = {} if change.recipe else _given(config, fields) | dict(change.fields)
    for name, value in given.items():
        words += [f"--{name.replace('_', '-')}", *_words(value)]
    for name, value in config["data"]["options"].items():
        if value not in (None, "crop", "white") and (value is not False or name == "pairs"):
            words += [f"--{name.replace('_', '-')}"] + [str(value)] * (value is not True)
    if config["preset"] and not change.recipe:
        words += ["--preset", config["preset"]]
    if minutes := config["budget"].get("minutes"):
        words += ["--minutes", f"{minutes:g}"]
    if config["seed"]:
        words += ["--seed", str(config["seed"])]
    return shlex.join(words)


def _given(config: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields that somebody set: not automatic, and other than the recipe's and the preset's own."""
    cls = recipes.find(config["recipe"])
    usual = {f.name: f.default for f in dataclasses.fields(cls)} | dict(cls.presets.get(config["preset"] or "", {}))
    plain = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
    return {k: v for k, v in plain.items() if k not in config["automatic"] and v != usual.get(k)}


def _words(value: Any) -> list[str]:
    if isinstance(value, tuple):
        return [_word(v) for v in value]
    return [_word(value)]


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
