"""Two sides, decoded and brought together: which images are partners, which cannot be, and what is held out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from gansmith.data.cache import Record
from gansmith.data.check import Report, examine_sides
from gansmith.data.decode import WINDOW
from gansmith.data.images import Images, Rows, rows_of, split_rows, too_small
from gansmith.data.pairs import Domains, Pairs
from gansmith.data.prepare import Options, Prepared, prepare
from gansmith.data.sides import Couples, Sides
from gansmith.errors import GansmithError


@dataclass(frozen=True)
class Both:
    """Both sides, decoded; `resolution` is of A, pixels."""

    sides: Sides
    wanted: Options
    ready: tuple[Prepared, Prepared]
    resolution: int

    @property
    def records(self) -> tuple[Record, Record]:
        """What is known of the images of A and of B."""
        return self.ready[0].record, self.ready[1].record

    @property
    def window(self) -> int:
        """Side of A's windows, pixels; 0 = images are resized."""
        return self.resolution if self.wanted.fit == WINDOW else 0

    def images(self, rows: tuple[Rows, Rows], scale: int = 1) -> tuple[Images, Images]:
        """The sides as sets of images."""
        a, b = (replace(self.wanted, resolution=self.resolution * s) for s in (1, scale))
        return Images(self.sides.a, a, self.ready[0], rows[0]), Images(self.sides.b, b, self.ready[1], rows[1])


def open_sides(
    sides: Sides, wanted: Options, pairs: bool | None, cache_dir: str | Path | None, progress: bool
) -> Pairs | Domains:
    """Decode both sides, each once, and bring partners together.

    Args:
        pairs: whether they are pairs; None = they are where names match.

    Raises:
        GansmithError: a side without a usable image, or no usable pair.
    """
    both = _decoded(sides, wanted, cache_dir, progress)
    a, b = ([*record.names, *(name for name, _ in record.bad)] for record in both.records)
    couples = sides.couples(a, b) if pairs is not False or not sides.named else []
    if couples:
        found = _paired(both, couples, (a, b))
        return found.apart() if pairs is False else found
    if pairs:
        raise GansmithError(
            f'No image of A in "{sides.title}" has a partner in B: their names must agree up to the ending, and they '
            f"are such as {a[0]} and {b[0]}. If A and B are two domains without partners, say pairs = false."
        )
    ra, rb = (rows_of(record, both.window, sides.held) for record in both.records)
    return _domains(both, (ra, rb))


def _decoded(sides: Sides, wanted: Options, cache_dir: str | Path | None, progress: bool) -> Both:
    """Both sides at one resolution: where it is left open, the smaller of the two that suit them."""
    ready = [prepare(side, wanted, cache_dir, progress) for side in (sides.a, sides.b)]
    found = [one.record.resolution for one in ready]
    if wanted.fit != WINDOW and found[0] != found[1]:
        wanted = replace(wanted, resolution=min(found))
        ready = [prepare(side, wanted, cache_dir, progress) for side in (sides.a, sides.b)]
    return Both(sides, wanted, (ready[0], ready[1]), wanted.resolution or min(found))


def _domains(both: Both, rows: tuple[Rows, Rows], scale: int = 1) -> Domains:
    a, b = both.images(rows, scale)
    same = set(_digests(a)) == set(_digests(b))
    return Domains(both.sides.title, a, b, _report(both, a, b, "domains", same))


def _paired(both: Both, couples: Couples, names: tuple[list[str], list[str]]) -> Pairs:
    """The usable pairs among the couples, positions in `names`; the others are left out, each with its reason."""
    scale = _scale(both, couples) if both.window else 1
    troubles = [_trouble(both, couple, names, scale) for couple in couples]
    good = np.array([c for c, trouble in zip(couples, troubles, strict=True) if trouble is None], np.int64)
    out: tuple[dict[str, str], dict[str, str]] = ({}, {})
    for couple, trouble in zip(couples, troubles, strict=True):
        for side, why in (trouble or {}).items():
            out[side][names[side][couple[side]]] = why
    if not len(good):
        bad = [*both.records[0].bad, *both.records[1].bad, *out[0].items(), *out[1].items()]
        raise GansmithError(
            f'None of the {len(couples):,} pairs in "{both.sides.title}" can be used '
            f"({'; '.join(f'{name}: {why}' for name, why in bad[:3])}): mend or replace them."
        )
    train, held_out = split_rows(both.records[0], good[:, 0], both.sides.held)
    ra, rb = (Rows(good[train, s], good[held_out, s], [*out[s].items()]) for s in (0, 1))
    a, b = both.images((ra, rb), scale)
    known = [{couple[s] for couple in couples} for s in (0, 1)]
    alone = [name for s in (0, 1) for i, name in enumerate(names[s]) if i not in known[s]]
    same = all(a.digests[i] == b.digests[j] for i, j in good)
    report = _report(both, a, b, "pairs", same, alone)
    return Pairs(both.sides.title, a, b, report, partial(_parted, both, (ra, rb), scale), scale)


def _parted(both: Both, pairs: tuple[Rows, Rows], scale: int) -> Domains:
    """Pairs as domains, with the images that have no partner; whose partner is held out is held out."""
    rows = []
    for record, own, window in zip(both.records, pairs, (both.window, both.window * scale), strict=True):
        every = rows_of(record, window, both.sides.held)
        train = {*own.train.tolist()} | {*every.train.tolist()} - {*own.held_out.tolist()}
        held_out = {*own.held_out.tolist(), *every.held_out.tolist()} - train
        split = [np.array(sorted(part), np.int64) for part in (train, held_out)]
        rows.append(Rows(split[0], split[1], every.left_out) if held_out else every)
    return _domains(both, (rows[0], rows[1]), scale)


def _trouble(
    both: Both, couple: tuple[int, int], names: tuple[list[str], list[str]], scale: int
) -> dict[int, str] | None:
    """Why a pair cannot be used, at the side (0, 1) of the image that is left out for it; None when it can."""
    named = [names[s][couple[s]] for s in (0, 1)]
    partner = [f"its partner {named[1 - s]} cannot be used" for s in (0, 1)]
    bad = [couple[s] >= len(both.records[s].names) for s in (0, 1)]
    if any(bad):
        return {s: partner[s] for s in (0, 1) if not bad[s]}
    (ha, wa), (hb, wb) = sizes = _sizes(both, couple)
    tiny = [min(size) < 2 for size in sizes]
    if any(tiny):
        return {s: "a single row or column of pixels" if tiny[s] else partner[s] for s in (0, 1)}
    if times(*sizes) != scale if both.window else not alike(*sizes):
        asked = f", which is not {scale} times as much" if scale > 1 else ""
        return {
            0: f"{wa} x {ha} pixels, but its partner {named[1]} has {wb} x {hb}{asked}",
            1: f"{wb} x {hb} pixels, but its partner {named[0]} has {wa} x {ha}",
        }
    if min(ha, wa, hb // scale, wb // scale) < both.window:
        return {0: too_small(ha, wa, both.window), 1: too_small(hb, wb, both.window * scale)}
    return None


def _sizes(both: Both, couple: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width of two partners as they are known before they are resized."""
    return [
        record.shapes[i] if both.window else (record.sizes[i][1], record.sizes[i][0])
        for record, i in zip(both.records, couple, strict=True)
    ]


def _scale(both: Both, couples: Couples) -> int:
    """How many times larger than A most images of B are."""
    usable = [c for c in couples if all(i < len(r.names) for r, i in zip(both.records, c, strict=True))]
    found = Counter(times(*_sizes(both, couple)) for couple in usable)
    del found[0]
    return found.most_common(1)[0][0] if found else 1


def times(a: tuple[int, int], b: tuple[int, int]) -> int:
    """The whole number by which B (height, width) is larger than A, what is left being less than a pixel of A; or 0.

    >>> times((100, 50), (100, 50)), times((100, 50), (401, 203)), times((100, 50), (400, 150)), times((4, 4), (2, 2))
    (1, 4, 0, 0)
    """
    s = max(1, round(b[0] / a[0]))
    return s if all(abs(large - s * small) < s for small, large in zip(a, b, strict=True)) else 0


def alike(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether one image is the other one scaled: both sides of the smaller one agree to less than a pixel.

    >>> alike((100, 50), (401, 199)), alike((64, 64), (64, 72)), alike((2, 2), (300, 299))
    (True, False, True)
    """
    small, large = sorted((a, b))
    least = max(big / (side + 1) for side, big in zip(small, large, strict=True))
    most = min(big / (side - 1) for side, big in zip(small, large, strict=True))
    return least < most


def _report(both: Both, a: Images, b: Images, kind: str, same: bool, alone: Sequence[str] = ()) -> Report:
    found = [len(record.names) + len(record.bad) for record in both.records]
    sides = replace(a.report, count=found[0]), replace(b.report, count=found[1])
    there = dict(zip(_digests(b), _used(b), strict=True))
    equal = [f"{a.names[i]} = {b.names[there[d]]}" for i, d in zip(_used(a), _digests(a), strict=True) if d in there]
    leaks = [len({*_digests(side, side.held_out)} & {*_digests(side, side.train)}) for side in (a, b)]
    return examine_sides(
        sides,
        title=both.sides.title,
        kind=kind,
        rows=(len(a.train), len(a.held_out)),
        learned=f"A {a.report.learned}, B {b.report.learned}",
        alone=alone,
        equal=equal,
        same=same,
        leaked=(leaks[0], leaks[1]),
    )


def _used(side: Images) -> list[int]:
    """Rows that are trained on or held out."""
    return sorted({*side.train.tolist(), *side.held_out.tolist()})


def _digests(side: Images, rows: Sequence[int] | np.ndarray | None = None) -> list[str]:
    """Content hashes of some rows, or of all that are used."""
    return [side.digests[row] for row in (_used(side) if rows is None else rows)]
