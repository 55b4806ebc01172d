"""Histories made by hand: a healthy run, with the columns that a test wants to change."""

from __future__ import annotations

from typing import Any

import numpy as np

from gansmith.doctor.history import History, from_rows

TICKS = 12
CELLS = [25] * 20

HEALTHY: dict[str, Any] = {
    "finite": 1.0,
    "auc": 0.7,
    "memory": 0.5,
    "diversity": 1.0,
    "diversity_d": 1.0,
    "apart": 1.0,
    "duplicates": 0.0,
    "dimension": 1.0,
    "precision": 0.9,
    "recall": 0.85,
    "density": 0.9,
    "coverage": 0.85,
    "real_precision": 0.97,
    "real_recall": 0.97,
    "real_density": 1.0,
    "real_coverage": 0.95,
    "kid_error": 0.005,
    "copies": 0.05,
    "copy_z": 0.0,
    "leak_hflip": 0.0,
    "leak_vflip": 0.0,
    "leak_turned": 0.0,
    "stride_G": 0.01,
    "stride_D": 0.01,
    "waiting": 0.01,
}

FACTS = {"count": 5000.0, "low": -1.0, "high": 1.0, "mean": 0.0, "std": 0.5, "flat": 0.0, "repeated": 0.0}

CONFIG: dict[str, Any] = {
    "recipe": "gan",
    "preset": None,
    "fields": {"gamma": 0.0, "lr": 2e-4, "lr_d": None, "z_dim": 64, "betas": [0.0, 0.99], "samples": 100_000},
    "automatic": {},
    "data": {"spec": {"kind": "image"}, "source": "digits", "options": {}},
    "budget": {"samples": 100_000, "minutes": None},
    "seed": 0,
}


def kid(ticks: int = TICKS) -> np.ndarray:
    """A distance that falls to a twentieth and stays there."""
    return np.maximum(0.5 ** np.arange(ticks), 0.05)


def rows(ticks: int = TICKS, until: float = 1.0, **changed: Any) -> list[dict[str, Any]]:
    """Records of a healthy run over the first `until` of its budget; a change is a value, or one for each tick."""
    columns = HEALTHY | {"kid": kid(ticks), "cells": [CELLS] * ticks, "real_cells": [CELLS] * ticks} | changed
    columns["places"] = changed.get("places", [[[0.0, 0.0]] * 16] * ticks)
    found = []
    for i in range(ticks):
        signs = {k: v[i] if isinstance(v, (list, np.ndarray)) else v for k, v in columns.items() if v is not None}
        signs = {k: float(v) if isinstance(v, np.floating) else v for k, v in signs.items()}
        seen = round(100_000 * until * i / (ticks - 1))
        found.append({"seen": seen, "seconds": float(i), "signs": signs | {"facts": dict(FACTS)}})
    return found


def history(ticks: int = TICKS, until: float = 1.0, config: dict[str, Any] | None = None, **changed: Any) -> History:
    """The same as a history."""
    return from_rows(rows(ticks, until, **changed), CONFIG if config is None else config, "a run")


def late(normal: float, sick: float, since: int = 6, ticks: int = TICKS) -> np.ndarray:
    """A column that changes at a tick."""
    return np.where(np.arange(ticks) < since, normal, sick).astype(float)
