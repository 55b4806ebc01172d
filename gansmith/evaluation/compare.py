"""Two evaluations side by side: only scores made in the same way are compared, and differences are set against noise.

The noise is that of the measurement: intervals of scores hold the chance of which samples were drawn. It is not that
of training: the same recipe trained with another seed differs too, and only several runs show by how much.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gansmith.errors import GansmithError
from gansmith.evaluation.score import Z95, Score
from gansmith.evaluation.verdict import number

LEVEL = 0.05  # a difference counts when chance alone gives one as large less often than this

FLAGS = {"n_fake": "-n", "n_real": "--n-real", "seed": "--seed", "extractor": "--extractor"}
"""Fields of a protocol that a flag of `gansmith evaluate` sets."""


@dataclass(frozen=True)
class Row:
    """One score of A beside the score of B of the same name.

    Args:
        differs: what the protocols differ in, in words; empty when the scores are compared.
        gain: how much better B is than A, in the unit of the score; negative where A is better; None if not compared.
        z: gain / sqrt(error_a^2 + error_b^2); None without two intervals.
        p: two-sided probability of such a z by chance, after Holm's correction for all z of the comparison.
        better: "A" or "B" when the difference exceeds the noise, else None.
        sentence: all of it in plain words.
    """

    name: str
    a: Score
    b: Score
    differs: tuple[str, ...] = ()
    gain: float | None = None
    z: float | None = None
    p: float | None = None
    better: str | None = None
    sentence: str = ""


def compare(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Row]:
    """Compare the scores of two evaluations that have the same name.

    A score whose `better` is "target" is judged by its distance from its ideal value.

    Args:
        a, b: as in evaluation.json; read are "scores", "subject" and "data".

    Returns:
        One row for each score of A whose name B has too, in A's order, those that cannot be compared included.

    Raises:
        GansmithError: no score can be compared (the message names what differs and the command that mends it), or a
            score is damaged.

    Source: z of two independent estimates; Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    scores_a, scores_b = (_scores(e) for e in (a, b))
    rows = [_pair(x, same) for x in scores_a if (same := [y for y in scores_b if y.name == x.name])]
    if all(row.differs for row in rows):
        raise GansmithError(_refusal(a, b, rows))
    tested = [row for row in rows if row.z is not None]
    probabilities = iter(holm([math.erfc(abs(row.z or 0.0) / math.sqrt(2)) for row in tested]))
    rows = [row if row.z is None else replace(row, p=next(probabilities)) for row in rows]
    rows = [replace(row, better=_better(row)) for row in rows]
    return [replace(row, sentence=_sentence(row, len(tested))) for row in rows]


def holm(p: Sequence[float]) -> list[float]:
    """Probabilities corrected for being several: at `LEVEL`, no true null is rejected in 95 % of all comparisons.

    The i-th smallest of m is multiplied by m - i (i from 0); none becomes smaller than one before it, none exceeds 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(p), 0.0
    for i, k in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - i) * p[k]))
        corrected[k] = largest
    return corrected


def conclusion(rows: Sequence[Row]) -> str:
    """The whole comparison in plain words: who is better in how many scores, and what that does not show."""
    wins = {who: [row.name for row in rows if row.better == who] for who in ("A", "B")}
    tested = sum(row.z is not None for row in rows)
    parts = [f"{who} is better in {len(names)} ({', '.join(names)})" for who, names in wins.items() if names]
    open_ = tested - sum(map(len, wins.values()))
    lead = (
        f"Of {tested} score{'s' * (tested != 1)} with intervals, {', '.join(parts) or 'none differs'} beyond the noise"
    )
    refused, bare = sum(bool(row.differs) for row in rows), sum(not row.differs and row.z is None for row in rows)
    return " ".join(
        [
            f"{lead}{f'; {open_} within it' if open_ and parts else ''}.",
            *([f"{refused} could not be compared."] if refused else []),
            *([f"{bare} had no interval."] if bare else []),
            "The noise is that of the measurement; another training seed may move the scores as well.",
        ]
    )


def _scores(evaluation: Mapping[str, Any]) -> list[Score]:
    return [Score.from_json(score, _path(evaluation)) for score in evaluation["scores"]]


def _path(evaluation: Mapping[str, Any]) -> str:
    return str(evaluation["subject"]["path"])


def _pair(a: Score, candidates: Sequence[Score]) -> Row:
    """A score of A with that of B whose protocol is nearest to its own, and the z of their difference."""
    b = min(candidates, key=lambda score: len(a.protocol.differs(score.protocol)))
    differs = a.protocol.differs(b.protocol)
    differs += [f"the value of {who} is not finite" for who, s in (("A", a), ("B", b)) if not math.isfinite(s.value)]
    if a.better == "target" and (a.ideal is None or a.ideal != b.ideal):
        differs.append(f"ideal {a.ideal} against {b.ideal}")
    if differs:
        return Row(a.name, a, b, tuple(differs))
    gain = _loss(a) - _loss(b)
    return Row(a.name, a, b, gain=gain, z=_z(gain, a.error, b.error))


def _loss(score: Score) -> float:
    """How bad a score is, in its own unit: lower is better."""
    if score.better == "target":
        return abs(score.value - (score.ideal or 0.0))
    return score.value if score.better == "lower" else -score.value


def _z(gain: float, a: float | None, b: float | None) -> float | None:
    """The gain in standard errors; infinite when two values without any noise differ."""
    if a is None or b is None:
        return None
    noise = math.hypot(a, b)
    return gain / noise if noise > 0 else math.copysign(math.inf, gain) if gain else 0.0


def _better(row: Row) -> str | None:
    if row.z is None or row.p is None or row.p >= LEVEL:
        return None
    return "B" if row.z > 0 else "A"


def _sentence(row: Row, tested: int) -> str:
    if row.gain is None:
        return f"{row.name}: not comparable: {'; '.join(row.differs)}."
    values = f"A {number(row.a.value, row.a.error)}, B {number(row.b.value, row.b.error)}"
    if row.gain == 0:
        return f"{row.name}: the same ({values})."
    ahead = "B" if row.gain > 0 else "A"
    if row.z is None or row.p is None:
        return f"{row.name}: {ahead} is ahead ({values}), but without two intervals nobody can tell this from noise."
    evidence = f"z {row.z:.1f}, p {'below 0.001' if row.p < 0.001 else number(row.p)}"
    evidence += f" over {tested} comparisons" if tested > 1 else ""
    if row.better:
        return f"{row.name}: {row.better} is better beyond the noise ({values}; {evidence})."
    alone = ", although alone it would exceed it" if abs(row.z) > Z95 else ""
    return f"{row.name}: {ahead} is ahead, but within the noise{alone} ({values}; {evidence})."


def _refusal(a: Mapping[str, Any], b: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Why nothing can be compared, and the command that makes B's evaluation like A's (or A's, where A has none)."""
    names = [sorted({str(score["name"]) for score in e["scores"]}) for e in (a, b)]
    lists = " and ".join(", ".join(found) or "nothing" for found in names)
    reasons = list(dict.fromkeys(reason for row in rows for reason in row.differs))
    why = "; ".join(reasons) if rows else f"they share no score, but have {lists}"
    fields = {reason.split()[0] for reason in reasons} if rows else set(FLAGS)
    model, other = (a, b) if a["scores"] else (b, a)
    protocol = vars(rows[0].a.protocol) if rows else {}
    if not rows and model["scores"]:
        protocol = model["scores"][0]["protocol"]
    command = _command(model, other, {field: protocol.get(field) for field in fields})
    return f"{_path(a)} and {_path(b)} cannot be compared: {why}. Evaluate alike: {command}"


def _command(model: Mapping[str, Any], other: Mapping[str, Any], fields: Mapping[str, Any]) -> str:
    """The command that evaluates the other's subject as the model's was, in the given fields of its protocol."""
    folder = other["subject"]["kind"] == "folder"
    words = ["gansmith", "evaluate", *(["--samples"] if folder else []), _path(other)]
    if folder or "data" in fields:
        words += ["--against", str(model["data"].get("source") or model["data"]["name"])]
    for field, flag in FLAGS.items():
        if fields.get(field) is not None:
            words += [flag, str(fields[field]).split()[0]]
    return shlex.join(words)
