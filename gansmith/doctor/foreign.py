"""Runs that other tools left: StyleGAN's stats.jsonl, TensorBoard events, a table of losses, CTGAN's loss_values.

They know less than a run of gansmith: mostly losses, sometimes what D said. The history says what is missing.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import ndtr  # type: ignore[import-untyped]

from gansmith.doctor.history import History, from_rows, read_rows
from gansmith.errors import GansmithError

NAMES = {
    "seen": r"(progress[/_ ])?(kimg|k_?img|images?_seen|seen)",
    "step": r"(global_?)?(step|steps|epoch|epochs|iter|iters|iteration|iterations|tick)|unnamed: 0|",
    "loss_d": r"(loss[/_ ])?(d|disc|discriminator|critic)([/_ ]?(total[/_ ])?loss)"
    r"|loss[/_ ]?(d|disc|discriminator|critic)|err_?d",
    "loss_g": r"(loss[/_ ])?(g|gen|generator)([/_ ]?(total[/_ ])?loss)|loss[/_ ]?(g|gen|generator)|err_?g",
    "logit_real": r"loss/scores/real|scores?[/_]real|(d_?)?(real_?(score|logits?)|logits?_?real)",
    "logit_fake": r"loss/scores/fake|scores?[/_]fake|(d_?)?(fake_?(score|logits?)|logits?_?fake)",
    "sign_real": r"loss/signs/real",
    "sign_fake": r"loss/signs/fake",
    "acc_real": r"(d_?)?(acc(uracy)?_?real|real_?acc(uracy)?)",
    "acc_fake": r"(d_?)?(acc(uracy)?_?fake|fake_?acc(uracy)?)",
    "p_real": r"d_?\(?x\)?",
    "p_fake": r"d_?\(?g_?\(?z\)?\)?",
    "augment_p": r"(progress[/_])?augment(_p)?|ada_?p",
    "kid": r"(metrics?[/_])?(fid|kid|fd|fid\d*k?(_full)?|kid\d*k?(_full)?)",
}
"""Names that columns go by, without regard to case; the whole name must fit."""

MOST = 2000  # ticks that are looked at: more are thinned out


def read_foreign(path: Path) -> History:
    """The history in a file or folder of another tool.

    Raises:
        GansmithError: nothing there that is known.
    """
    if path.is_dir():
        for name, reader in (("stats.jsonl", stylegan), ("loss_values.csv", table)):
            if (path / name).is_file():
                return reader(path / name)
        if any(path.rglob("events.out.tfevents.*")):
            return tensorboard(path)
    elif path.suffix.lower() in (".csv", ".tsv"):
        return table(path)
    elif path.suffix.lower() == ".jsonl":
        return stylegan(path)
    elif path.name.startswith("events.out.tfevents."):
        return tensorboard(path)
    raise GansmithError(
        f"{path} is nothing that the doctor can read: give a run of gansmith, a folder with StyleGAN's stats.jsonl or "
        "with TensorBoard events, a .csv with columns of losses, or a folder of samples with --against DATA."
    )


def stylegan(path: Path) -> History:
    """StyleGAN2-ADA's and StyleGAN3's stats.jsonl with the metric-*.jsonl beside it; also other JSON Lines."""
    rows, torn = read_rows(path)
    flat = [{k: _mean(v) for k, v in r.items()} | _stds(r) for r in rows]
    for row in flat:
        if (kimg := row.get("Progress/kimg")) is not None:
            row["seen"] = 1000 * kimg
    scores = _metrics(path.parent)
    notes = (f"{torn} lines of {path.name} are torn or no records, and were left out.",) if torn else ()
    return _history([*flat, *scores], str(path), notes)


def table(path: Path) -> History:
    """A table of numbers with a header, as CTGAN's loss_values."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        dialect = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
    except (OSError, UnicodeDecodeError, csv.Error):
        raise GansmithError(f"{path} is no table: give a .csv with a header, as step,d_loss,g_loss.") from None
    rows = [
        {k: _float(v) for k, v in r.items() if k is not None}
        for r in csv.DictReader(text.splitlines(), dialect=dialect)
    ]
    return _history(rows, str(path))


def tensorboard(path: Path) -> History:
    """The scalars of TensorBoard event files, all of a folder together."""
    if importlib.util.find_spec("tensorboard") is None:
        raise GansmithError(f"Reading {path} needs TensorBoard: pip install 'gansmith[tensorboard]'.")
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    rows: dict[int, dict[str, float]] = {}
    files = [path] if path.is_file() else sorted(path.rglob("events.out.tfevents.*"))
    for file in files:
        found = event_accumulator.EventAccumulator(str(file), size_guidance={"scalars": 0})
        found.Reload()
        for tag in found.Tags()["scalars"]:
            for event in found.Scalars(tag):
                rows.setdefault(event.step, {"step": float(event.step)})[tag] = event.value
    return _history([rows[step] for step in sorted(rows)], str(path))


def recognised(name: str) -> str | None:
    """The sign that a column's name stands for.

    >>> recognised("Discriminator Loss"), recognised("errG"), recognised("Loss/scores/real"), recognised("lr")
    ('loss_d', 'loss_g', 'logit_real', None)
    """
    plain = name.strip().lower()
    return next((sign for sign, pattern in NAMES.items() if re.fullmatch(pattern, plain)), None)


def _history(rows: Iterable[Mapping[str, Any]], source: str, notes: tuple[str, ...] = ()) -> History:
    """Rows with columns of any name as a history."""
    every = list(rows)
    names = {k: recognised(k) for r in every for k in r if k != "seen"}
    known = {k: sign for k, sign in names.items() if sign}
    if not {"loss_d", "loss_g", "logit_real", "sign_real", "kid", "p_real", "acc_real"} & set(known.values()):
        shown = ", ".join(list(names)[:8]) or "nothing"
        raise GansmithError(
            f"{source} has no column that the doctor knows (found: {shown}): name them as step, d_loss, g_loss, or "
            "as StyleGAN does."
        )
    found = []
    for i, r in enumerate(every):
        row = {sign: r[k] for k, sign in known.items() if r.get(k) is not None}
        row |= {k: v for k, v in r.items() if k in ("spread_real", "spread_fake", "kid")}
        found.append(_derived(row) | {"seen": r.get("seen", row.get("seen", row.get("step", float(i))))})
    found = _carried(found)
    found = [found[i] for i in sorted(set(np.linspace(0, len(found) - 1, min(MOST, len(found))).astype(int)))]
    there = ", ".join(sign for sign in dict.fromkeys(known.values()) if sign not in ("step", "seen"))
    notes = (*notes, f"A run of another tool: only {there} could be read, so much cannot be judged.")
    return from_rows(found, {}, source, notes)


def _derived(row: dict[str, Any]) -> dict[str, Any]:
    """What follows from other signs: accuracies from mean signs, chances as logits."""
    if "sign_real" in row:
        row["acc_real"] = (1 + row.pop("sign_real")) / 2
    if "sign_fake" in row:
        row["acc_fake"] = (1 - row.pop("sign_fake")) / 2
    for name in ("real", "fake"):
        p = row.pop(f"p_{name}", None)
        if p is not None and 0 < p < 1:
            row[f"logit_{name}"] = math.log(p / (1 - p))
    if {"logit_real", "logit_fake", "spread_real", "spread_fake"} <= row.keys():
        gap, spread = row["logit_real"] - row["logit_fake"], math.hypot(row["spread_real"], row["spread_fake"])
        row["auc"] = float(ndtr(gap / max(spread, 1e-12)))
    return row


def _carried(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows in order, each with the last known value of what it lacks: metrics are measured more rarely than losses.

    >>> _carried([{"seen": 2, "kid": 5.0}, {"seen": 1, "loss_d": 1.0}, {"seen": 3, "loss_d": 2.0}])[-1]
    {'seen': 3, 'loss_d': 2.0, 'kid': 5.0}
    """
    found: list[dict[str, Any]] = []
    latest: dict[str, Any] = {}
    for row in sorted(rows, key=lambda r: float(r["seen"])):
        latest = latest | row
        found.append(latest)
    return found


def _metrics(folder: Path) -> list[dict[str, Any]]:
    """StyleGAN's metric-fid50k_full.jsonl and its like: the distance at each snapshot; one metric, FID before KID."""
    for kind in ("fid", "kid"):
        for path in sorted(folder.glob(f"metric-{kind}*.jsonl")):
            found = []
            for r in read_rows(path)[0]:
                match = re.search(r"(\d+)\.pkl", str(r.get("snapshot_pkl")))
                values = [v for v in dict(r.get("results") or {}).values() if isinstance(v, (int, float))]
                if match and values:
                    found.append({"seen": 1000.0 * int(match[1]), "kid": float(values[0])})
            if found:
                return found
    return []


def _mean(value: Any) -> Any:
    """The mean of one of StyleGAN's statistics ({"num", "mean", "std"}), or the value."""
    if isinstance(value, Mapping):
        value = value.get("mean")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _stds(row: Mapping[str, Any]) -> dict[str, float]:
    """Spreads of D's scores, where StyleGAN wrote them."""
    found = {}
    for name in ("real", "fake"):
        value = row.get(f"Loss/scores/{name}")
        if isinstance(value, Mapping) and isinstance(value.get("std"), (int, float)):
            found[f"spread_{name}"] = float(value["std"])
    return found


def _float(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
