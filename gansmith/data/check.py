"""The data check: what is in a set of images, and by name what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from gansmith.data.cache import Record
from gansmith.data.captions import longest, words_of

NAMES = 10  # shown of each kind of trouble
FEW, VERY_FEW = 1000, 100
RARE = 20  # images of one class
CLASSES = 40  # listed one by one


@dataclass(frozen=True)
class Report:
    """Findings on one set. `errors` stop a training, `warnings` do not.

    Args:
        title: the source.
        note: one line that says all (for sets without files).
        count: images found, bad ones too.
        usable: images that could be decoded.
        train, held_out: how the usable ones are split.
        width, height: least, median and greatest, pixels.
        modes: pixel format -> how many, as Pillow names them.
        labels: class name -> how many; empty without labels.
        unlabelled: how many of labelled ones are said to be of no known class.
        captions: how many texts describe the images; 0 without captions.
        longest: words of the longest one.
        vocabulary: different words in all of them.
        examples: a few of them.
        corrupt: (name, reason) of each image left out.
        flat: names of images of one colour all over.
        duplicates: groups of names whose pixels are equal after decoding.
        small: names of images that had to be enlarged.
        learned: one line on the size and treatment that training sees.
        kind: "image", "pairs" or "domains"; of the last two `train` and `held_out` count pairs, or images of A.
        sides: the reports on A and B; empty for single images, whose findings are above.
        alone: images of A and B without a partner.
        equal: "NAME = NAME" of images that are in A and in B.
    """

    title: str
    note: str = ""
    count: int = 0
    usable: int = 0
    train: int = 0
    held_out: int = 0
    width: tuple[int, int, int] = (0, 0, 0)
    height: tuple[int, int, int] = (0, 0, 0)
    modes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    unlabelled: int = 0
    captions: int = 0
    longest: int = 0
    vocabulary: int = 0
    examples: tuple[str, ...] = ()
    corrupt: tuple[tuple[str, str], ...] = ()
    flat: tuple[str, ...] = ()
    duplicates: tuple[tuple[str, ...], ...] = ()
    small: tuple[str, ...] = ()
    learned: str = ""
    kind: str = "image"
    sides: tuple[Report, ...] = ()
    alone: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """The report as plain text, one finding a line."""
        if self.note:
            return [self.note]
        text = self._two_sides() if self.sides else self._one_set()
        text += [f"warning: {line}" for line in self.warnings]
        return text + [f"error: {line}" for line in self.errors]

    def _one_set(self) -> list[str]:
        seen, *found = self._findings()
        learned = f"training sees: {self.learned}; {self.train:,} images, {self.held_out:,} held out"
        return [f"{self.title}: {self.count:,} images, {self.usable:,} usable", seen, found[0], learned, *found[1:]]

    def _two_sides(self) -> list[str]:
        a, b = self.sides
        counts = f"{a.count:,} images in A, {b.count:,} in B"
        if self.kind == "pairs":
            what, parts = f"{self.train + self.held_out:,} pairs", f"{self.train:,} pairs, {self.held_out:,} held out"
        else:
            what = "two domains without partners"
            parts = "; ".join(
                f"{s.train:,} images of {n}, {s.held_out:,} held out" for n, s in zip("AB", self.sides, strict=True)
            )
        text = [f"{self.title}: {what}; {counts}"]
        for name, side in zip("AB", self.sides, strict=True):
            text += [f"{name}, {line}" for line in side._findings()]
        text.append(f"training sees: {self.learned}; {parts}")
        return text + _listed("without a partner", self.alone) + _listed("equal in A and B", self.equal)

    def _findings(self) -> list[str]:
        """Sizes, formats, labels and captions, and what is wrong by name."""
        text = [
            f"size: {_range('width', self.width)}, {_range('height', self.height)} (least, median, greatest)",
            f"pixels: {', '.join(f'{mode} {n:,}' for mode, n in self.modes.items())}",
        ]
        if self.labels:
            named = [f"{name} {n:,}" for name, n in self.labels.items()]
            without = f"; {self.unlabelled:,} unlabelled" if self.unlabelled else ""
            text.append(f"labels: {_and_more(named, CLASSES)}{without}")
        if self.captions:
            shown = ", ".join(f'"{_cut(example)}"' for example in self.examples)
            text.append(
                f"captions: {self.captions:,}, longest {self.longest} words, {self.vocabulary:,} different words; "
                f"such as {shown}"
            )
        text += _listed("left out", [f"{name} ({why})" for name, why in self.corrupt])
        text += _listed("one colour all over", self.flat)
        text += _listed("exact duplicates", [" = ".join(_first(group, 4)) for group in self.duplicates], "groups")
        return text + _listed("smaller than trained on, so enlarged", self.small)


def examine(title: str, record: Record, held_out: int, learned: str, notes: Sequence[str] = ()) -> Report:
    """The report on decoded images."""
    groups: dict[str, list[str]] = {}
    for name, digest in zip(record.names, record.digests, strict=True):
        groups.setdefault(digest, []).append(name)
    usable = len(record.names)
    texts = [text for said in record.captions for text in said]
    counts = Counter(record.labels)
    report = Report(
        title=title,
        count=usable + len(record.bad),
        usable=usable,
        train=usable - held_out,
        held_out=held_out,
        width=_three([w for w, _ in record.sizes]),
        height=_three([h for _, h in record.sizes]),
        modes=dict(Counter(record.modes).most_common()),
        labels={name: counts[i] for i, name in enumerate(record.classes)},
        unlabelled=counts[-1],
        captions=len(texts),
        longest=longest(texts),
        vocabulary=len({word for text in texts for word in words_of(text)}),
        examples=tuple(record.captions[i][0] for i in _spread(len(record.captions), 3)),
        corrupt=tuple(record.bad),
        flat=tuple(name for name, flat in zip(record.names, record.flat, strict=True) if flat),
        duplicates=tuple(tuple(group) for group in groups.values() if len(group) > 1),
        small=tuple(n for n, s in zip(record.names, record.sizes, strict=True) if min(s) < record.resolution),
        learned=learned,
        errors=_errors(title, len(groups), usable),
    )
    advice = (*notes, *_size_advice(report, len(groups)), *_label_advice(report), *_file_advice(record))
    return Report(**{**report.__dict__, "warnings": advice})


def examine_sides(
    sides: tuple[Report, Report],
    *,
    title: str,
    kind: str,
    rows: tuple[int, int],
    learned: str,
    alone: Sequence[str] = (),
    equal: Sequence[str] = (),
    same: bool = False,
    leaked: tuple[int, int] = (0, 0),
) -> Report:
    """The report on two sides.

    Args:
        sides: the reports on A and B; what is the matter with both is said once.
        kind: "pairs" or "domains".
        rows: pairs, or images of A, that are trained on and that are held out.
        learned: one line on sizes and treatment.
        alone: names without a partner.
        equal: images of A and B that are the same, as "NAME = NAME".
        same: whether A and B are the same all through.
        leaked: held-out images of A and of B that are trained on, too.
    """
    both = [line for line in sides[0].warnings if line in sides[1].warnings]
    warnings = both + [
        f"{name}: {line}" for name, side in zip("AB", sides, strict=True) for line in side.warnings if line not in both
    ]
    errors = [*sides[0].errors, *sides[1].errors]
    if same:
        errors.append(
            f'A and B of "{title}" are the same images: nothing can be learned between them, check the folders.'
        )
    elif equal:
        warnings.append(f"{len(equal):,} images of A are in B as well: is a part of one folder a copy of the other?")
    if kind == "pairs" and alone:
        warnings.append(f"{len(alone):,} images without a partner were left out of the pairs")
        if sum(rows) < min(side.count for side in sides) / 2:
            warnings.append(
                f"only {sum(rows):,} pairs: if these are two domains and names agree by chance, say pairs = false"
            )
    for name, count in zip("AB", leaked, strict=True):
        if count:
            warnings.append(f"{count:,} held-out images of {name} are trained on, too: scores on them flatter")
    return Report(
        title=title,
        count=sum(side.count for side in sides),
        usable=sum(side.usable for side in sides),
        train=rows[0],
        held_out=rows[1],
        learned=learned,
        kind=kind,
        sides=sides,
        alone=tuple(alone),
        equal=tuple(equal),
        errors=tuple(errors),
        warnings=tuple(warnings),
    )


def _errors(title: str, distinct: int, usable: int) -> tuple[str, ...]:
    if usable == 1:
        return (f'"{title}" holds one image: a GAN learns from many, give at least {FEW:,}.',)
    if distinct == 1:
        return (
            f'All {usable:,} images in "{title}" are the same picture: there is nothing to learn, give different ones.',
        )
    return ()


def _size_advice(report: Report, distinct: int) -> list[str]:
    advice = []
    if 1 < report.usable < VERY_FEW:
        advice.append(f"only {report.usable} images: expect copies of them; collect at least {FEW:,}")
    elif 1 < report.usable < FEW:
        advice.append(
            f"{report.usable} images are few: the discriminator may learn them by heart; aim for {FEW:,} or more"
        )
    repeated = report.usable - distinct
    if report.usable > 1 and repeated:
        advice.append(f"{repeated:,} images repeat others exactly: remove the copies, or they weigh more than the rest")
    if report.flat:
        advice.append(f"{len(report.flat):,} images are one colour all over: remove them unless they belong there")
    if 2 * len(report.small) > report.usable:
        advice.append("most images are smaller than the chosen resolution and were enlarged: choose a smaller one")
    return advice


def _label_advice(report: Report) -> list[str]:
    if len(report.labels) == 1:
        return [f'all labels are "{next(iter(report.labels))}": with one class, labels teach nothing']
    rare = [f"{name} ({n})" for name, n in report.labels.items() if n < RARE]
    return [f"classes with fewer than {RARE} images: {_and_more(rare)}"] if rare else []


def _file_advice(record: Record) -> list[str]:
    advice = []
    if record.bad:
        advice.append(f"{len(record.bad):,} images could not be used and were left out")
    if record.ignored:
        kinds = sorted(record.ignored.items(), key=lambda pair: -pair[1])
        advice.append("files that are no images were passed over: " + _and_more([f"{k} ({n:,})" for k, n in kinds]))
    return advice


def _three(values: list[int]) -> tuple[int, int, int]:
    ordered = sorted(values)
    return ordered[0], ordered[len(ordered) // 2], ordered[-1]


def _range(word: str, three: tuple[int, int, int]) -> str:
    return f"{word} {three[0]}" if three[0] == three[2] else f"{word} {three[0]} / {three[1]} / {three[2]}"


def _first(names: Sequence[str], limit: int) -> list[str]:
    return [*names[:limit], *(["..."] if len(names) > limit else [])]


def _and_more(names: Sequence[str], limit: int = NAMES) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")


def _spread(count: int, most: int) -> list[int]:
    """At most `most` whole numbers from 0 to count - 1, evenly apart.

    >>> _spread(10, 3), _spread(2, 3)
    ([0, 3, 6], [0, 1])
    """
    return [i * count // most for i in range(most)] if count > most else list(range(count))


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _listed(word: str, names: Sequence[str], unit: str = "") -> list[str]:
    return [f"{word}, {len(names):,}{' ' * bool(unit)}{unit}: {_and_more(names)}"] if names else []
