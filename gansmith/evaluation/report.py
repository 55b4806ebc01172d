"""The report of an evaluation: one HTML file that needs nothing else, for a screen, a phone and paper.

It shows what evaluation.json, evaluation.npz and metrics.jsonl of a folder hold; what they lack has no section.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.engine import records
from gansmith.engine.files import write_file
from gansmith.errors import GansmithError
from gansmith.evaluation import plots
from gansmith.evaluation.score import Score
from gansmith.evaluation.verdict import number

TEMPLATE = Path(__file__).with_name("report.html.j2")

NUMBER = int | float | None
NEAREST = [{"sample": int, "neighbours": list, "distances": [NUMBER]}]
SHAPE = {
    "format": int,
    "date": str,
    "machine": str,
    "versions": dict,
    "command?": str,
    "notes?": [str],
    "subject": {"kind": str, "path": str, "recipe?": str, "checkpoint?": str, "seen?": int, "fingerprint": str},
    "data": {"name": str, "source?": str, "fingerprint": str, "count": int, "held_out_count": int, "kind": str},
    "scores": [dict],
    "classes?": {"names": list, "real": [int | float], "fake": [int | float], "low": [NUMBER], "high": [NUMBER]},
    "novelty?": {
        "copied_share?": NUMBER,
        "low?": NUMBER,
        "high?": NUMBER,
        "nearest?": NEAREST,
        "nearest_pixels?": NEAREST,
        "pairs?": [{"a": int, "b": int, "distance": NUMBER}],
        "support?": {"value": NUMBER, "low": NUMBER, "high": NUMBER, "at_least": bool, "duplicates": int, "pairs": int},
    },
    "verdict": {"summary": str, "answers": [{"question": str, "title": str, "level": str, "text": str}]},
    "seconds": int | float,
}
"""What evaluation.json must hold; a name with ? may be absent or null."""

PICTURES = {"samples": 4, "real": 4, "neighbours": 5, "neighbours_features": 5, "pairs": 5}
POINTS = {"projection_real": 2, "projection_fake": 2}
"""Arrays of evaluation.npz and their dimensions: pictures (..., H, W, C) uint8, points (N, 2) floats."""

DIAGNOSIS = {
    "state": str,
    "reason": str,
    "findings": [
        {
            "title": str,
            "severity": str,
            "since?": int,
            "confidence": int | float,
            "numbers": [{"text": str}],
            "why": str,
            "change": {"words": str, "command?": str},
            "check": str,
        }
    ],
}
"""What the report shows of doctor.json."""

LEVELS = {"healthy": "good", "too early": "unknown", "warning": "fair", "critical": "poor"}
"""How the doctor's states are coloured."""

SECTIONS = {
    "doctor": "What the doctor says of the training",
    "samples": "Samples beside real ones",
    "points": "Samples beside real ones",
    "scores": "Scores",
    "curves": "In the course of training",
    "classes": "Classes",
    "nearest": "Nearest training samples",
    "pairs": "Closest pairs of samples",
    "projection": "Real against generated",
    "protocol": "Protocol of each score",
    "warnings": "Warnings",
    "repeat": "How to repeat this",
}
"""Sections behind the verdict, in their order."""

SHOWN = 24  # figures of a gallery
BARS = 40  # classes that are listed


def write_report(folder: Path) -> Path:
    """Write report.html from the evaluation in a folder.

    Args:
        folder: holds evaluation.json, and may hold evaluation.npz (pictures) and metrics.jsonl (curves).

    Returns:
        The report. It loads nothing, runs no script, and shows no section for what was not measured.

    Raises:
        GansmithError: there is no evaluation, or one of its files is damaged.
    """
    import jinja2

    folder = Path(folder)
    evaluation = read_evaluation(folder)
    rows = records.read(folder / "metrics.jsonl")
    view = _view(evaluation, read_arrays(folder, evaluation["data"]["kind"]), rows, read_diagnosis(folder))
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "percent": percent}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(view)
    path = folder / "report.html"
    write_file(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))
    return path


def read_evaluation(folder: Path) -> dict[str, Any]:
    """The evaluation of a folder, checked.

    Raises:
        GansmithError: there is none, or it is damaged; the message names the part.
    """
    path = Path(folder) / "evaluation.json"
    if not path.is_file():
        raise GansmithError(f"{folder} holds no evaluation.json: run gansmith evaluate first.")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise GansmithError(f"{path} cannot be read or is damaged: run gansmith evaluate again.") from None
    if not isinstance(found, dict) or found.get("format") != 1:
        raise GansmithError(f"{path} is not an evaluation of format 1: run gansmith evaluate again.")
    _check(found, SHAPE, str(path), "")
    classes = found.get("classes")
    if classes and len({len(classes[key]) for key in ("names", "real", "fake", "low", "high")}) != 1:
        raise _damaged(str(path), "classes")
    return found


def read_diagnosis(folder: Path) -> dict[str, Any] | None:
    """What doctor.json says of the training, checked; None where there is none. Raises GansmithError when damaged."""
    path = Path(folder) / "doctor.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        _check(found, DIAGNOSIS, str(path), "")
    except (OSError, ValueError, RecursionError, GansmithError):
        raise GansmithError(f"{path} cannot be read or is damaged: run gansmith doctor again.") from None
    return {**found, "level": LEVELS.get(found["state"], "unknown"), "levels": LEVELS}


def read_arrays(folder: Path, kind: str) -> dict[str, np.ndarray]:
    """The arrays of evaluation.npz that are not empty, checked; none when there is no such file.

    Args:
        kind: of the data, "image" or "points": samples of points are (N, 2) floats.

    Raises:
        GansmithError: the file is damaged, or an array is of another type or shape than the report needs.
    """
    path = Path(folder) / "evaluation.npz"
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files if name in PICTURES | POINTS}
    except Exception:  # numpy lets through what the readers of zip files and of headers raise, which is much
        raise GansmithError(f"{path} cannot be read or is damaged: run gansmith evaluate again.") from None
    for name, array in found.items():
        points = name in POINTS or (kind == "points" and name in ("samples", "real"))
        fits = array.ndim == 2 and array.shape[1] == 2 and array.dtype.kind == "f"
        if not fits if points else array.ndim != PICTURES[name] or array.dtype != np.uint8:
            raise GansmithError(
                f"{path} is damaged ({name} is {array.dtype} {array.shape}): run gansmith evaluate again."
            )
    return {name: array for name, array in found.items() if array.size}


def percent(share: float | None) -> str:
    """A share as percentage.

    >>> percent(0.1234).split(), percent(None)                   # a space that does not break
    (['12.3', '%'], '–')
    """
    return "–" if share is None or not math.isfinite(share) else f"{100 * share:.3g}\u00a0%"


def _damaged(path: str, place: str) -> GansmithError:
    return GansmithError(f"{path} is damaged at {place or 'its top'}: run gansmith evaluate again.")


def _check(found: Any, shape: Any, path: str, place: str) -> None:
    """Compare a value with its shape: a dict of shapes, a list of one shape, or a type."""
    if isinstance(shape, dict):
        if not isinstance(found, dict):
            raise _damaged(path, place)
        for key, inner in shape.items():
            name = key.removesuffix("?")
            if name != key and found.get(name) is None:
                continue
            _check(found.get(name), inner, path, f"{place}.{name}".lstrip("."))
    elif isinstance(shape, list):
        if not isinstance(found, list):
            raise _damaged(path, place)
        for i, item in enumerate(found):
            _check(item, shape[0], path, f"{place}[{i}]")
    elif not isinstance(found, shape):
        raise _damaged(path, place)


def _view(
    e: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    rows: Sequence[Mapping[str, Any]],
    diagnosis: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """What the template shows; a section whose value is empty is left out."""
    scores = [Score.from_json(score, "evaluation.json") for score in e["scores"]]
    novelty = e.get("novelty") or {}
    points = e["data"]["kind"] == "points"
    view = {
        "doctor": diagnosis,
        "samples": {} if points else _grids(arrays),
        "points": _clouds(arrays, "real", "samples", ticks=True) if points else None,
        "scores": [(score, _marks(score)) for score in scores],
        "curves": _curves(rows),
        "classes": _bars(e.get("classes")),
        "nearest": _galleries(arrays, novelty),
        "pairs": _pairs(arrays, novelty),
        "projection": _clouds(arrays, "projection_real", "projection_fake", ticks=False),
        "protocol": scores,
        "warnings": [(score.name, warning) for score in scores for warning in score.warnings]
        + [("note", note) for note in e.get("notes") or ()],
        "repeat": e.get("command") or _command(e, scores),
    }
    present = {name: title for name, title in SECTIONS.items() if view[name]}
    return view | {
        "e": e,
        "title": _title(e),
        "sections": present,
        "novelty": novelty,
        "support": novelty.get("support"),
    }


def _title(e: Mapping[str, Any]) -> str:
    return Path(e["subject"]["path"]).name or str(e["subject"]["path"])


def _command(e: Mapping[str, Any], scores: Sequence[Score]) -> str:
    """The command that makes this evaluation again, where it does not state its own."""
    subject, data = e["subject"], e["data"]
    words = ["gansmith", "evaluate", *(["--samples"] if subject["kind"] == "folder" else []), subject["path"]]
    if subject["kind"] == "folder" or subject.get("trained_on_data") is False:
        words += ["--against", data.get("source") or data["name"]]
    if subject.get("checkpoint"):
        words += ["--checkpoint", subject["checkpoint"]]
    protocol = next((score.protocol for score in scores if score.protocol.extractor != "none"), None)
    if protocol is not None:
        words += ["--extractor", protocol.extractor.split()[0], "-n", str(protocol.n_fake)]
        words += ["--n-real", str(protocol.n_real), "--seed", str(protocol.seed)]
    return shlex.join(words)


def _grids(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """Generated and real images as squares of as many columns as rows."""
    grids = {}
    for name in ("samples", "real"):
        if name in arrays:
            ready = plots.album(arrays[name])
            columns = math.ceil(math.sqrt(len(ready.images)))
            picture = plots.mosaic(ready.images, columns, ready.format)
            grids[name] = {"picture": picture, "count": len(ready.images), "note": ready.note}
    return grids if "samples" in grids else {}


def _clouds(arrays: Mapping[str, np.ndarray], real: str, fake: str, ticks: bool) -> dict[str, Any] | None:
    if real not in arrays or fake not in arrays:
        return None
    left, right, outside = plots.clouds(arrays[real], arrays[fake], ticks)
    counts = {"n_real": len(arrays[real]), "n_fake": len(arrays[fake])}
    return {"real": left, "fake": right, "outside": outside, **counts}


def _marks(score: Score) -> dict[str, float] | None:
    """Where a score, its interval, real samples and the ideal lie on a line from 4 to 156; None without an interval."""
    places = {"low": score.low, "high": score.high, "value": score.value, "real": score.real, "ideal": score.ideal}
    known = {name: x for name, x in places.items() if x is not None and math.isfinite(x)}
    if not {"low", "high", "value"} <= known.keys():
        return None
    least, span = min(known.values()), max(known.values()) - min(known.values())
    return {name: round(4 + 152 * (x - least) / span, 1) if span else 80.0 for name, x in known.items()}


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Panels of curves with their legends; a panel of a single point shows nothing and is left out."""
    panels = []
    marks = [float(r["seen"]) for r in rows if "mark" in r]
    for title, lines in plots.curves(rows).items():
        if max(len(line.seen) for line in lines) > 1:
            picture = plots.draw(lines, title == "Gradient norms", marks)
            legend = [(line.name, *plots.style(i)) for i, line in enumerate(lines)]
            has_band = any(np.isfinite(line.low).any() for line in lines)
            panels.append({"title": title, "picture": picture, "legend": legend, "band": has_band, "marks": len(marks)})
    return panels


def _bars(classes: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Shares of classes as percentages of the longest bar; of many classes those that are farthest from the data."""
    if not classes or not classes["names"]:
        return None
    keys = ("names", "real", "fake", "low", "high")
    rows = [dict(zip(keys, row, strict=True)) for row in zip(*(classes[key] for key in keys), strict=True)]
    longest = max(x for row in rows for x in (row["real"], row["fake"], row["high"] or 0)) or 1.0
    kept = sorted(range(len(rows)), key=lambda i: -abs(rows[i]["fake"] - rows[i]["real"]))[:BARS]
    shown = [rows[i] for i in sorted(kept)]
    for row in shown:
        row["lengths"] = {key: round(200 * (row[key] or 0) / longest, 1) for key in keys[1:]}
        row["whole"] = row["low"] is not None and row["high"] is not None
    return {"rows": shown, "count": len(rows)}


def _galleries(arrays: Mapping[str, np.ndarray], novelty: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Samples beside their nearest training images, once by pixels and once by features."""
    found = []
    kinds = (("pixels", "neighbours", "nearest_pixels"), ("features", "neighbours_features", "nearest"))
    for space, name, told in kinds:
        if name not in arrays or arrays[name].shape[1] < 2:
            continue
        ready, facts = plots.album(arrays[name][:SHOWN]), list(novelty.get(told) or [])
        figures = []
        for i, images in enumerate(ready.images):
            fact = facts[i] if i < len(facts) else None
            query = plots.mosaic(images[:1], 1, ready.format)
            near = plots.mosaic(images[1:], len(images) - 1, ready.format)
            figures.append({"query": query, "near": near, "fact": fact, "count": len(images) - 1})
        found.append({"space": space, "figures": figures, "note": ready.note, "total": len(arrays[name])})
    return found


def _pairs(arrays: Mapping[str, np.ndarray], novelty: Mapping[str, Any]) -> dict[str, Any] | None:
    """The two most alike samples of each of the closest pairs."""
    if "pairs" not in arrays:
        return None
    ready, facts = plots.album(arrays["pairs"][:SHOWN]), list(novelty.get("pairs") or [])
    figures = [
        {"picture": plots.mosaic(images, 2, ready.format), "fact": facts[i] if i < len(facts) else None}
        for i, images in enumerate(ready.images)
    ]
    return {"figures": figures, "note": ready.note}
