"""Which class each image belongs to: said by the source, by a table, or by the folder it lies in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from gansmith.data.decode import Probe
from gansmith.data.names import natural, show
from gansmith.data.sources import OWN_TABLES, Source
from gansmith.data.tables import Row, Wanted, match, parse_table, read_table, split_choice, strangers
from gansmith.errors import GansmithError

COLUMNS = ("label", "class", "category", "y")
UNLABELLED = ("unlabelled", "unlabeled")  # as a class: of these images the class is not known
ALL = 'label all images, with the class "unlabelled" where it is not known'
LONGEST = 200  # characters of a class name
MANY = 1000  # classes, above which most must have more than one image


class Labels(NamedTuple):
    """Label numbers of all images, bad ones too (-1 where they have none), and the class names: empty without labels.
    Images whose class is said to be "unlabelled" have -1, too.

    `remarks` are for the user; `used` is the name of the set's own table that they come from, if they do.
    """

    numbers: list[int]
    classes: list[str]
    remarks: list[str]
    used: str = ""


NONE = Labels([], [], [])


def labels_of(source: Source, probes: Sequence[Probe], wanted: bool, choice: str | None) -> Labels:
    """The labels of a set.

    Args:
        probes: of all images.
        wanted: whether labels must be there; else only what the source carries itself is taken.
        choice: of a file that holds them, perhaps with its column.

    Raises:
        GansmithError: missing, contradicting or senseless labels.
    """
    own = [p.label for p in probes]
    if choice is not None:
        return _from_file(source, probes, choice)
    if all(text is not None for text in own):
        return _numbered(source.title, own, source.classes)
    if not wanted:
        return NONE
    if any(text is not None for text in own):
        bare = next(p.name for p, text in zip(probes, own, strict=True) if text is None)
        raise GansmithError(f'"{bare}" in "{source.title}" has no label, while others do: {ALL}.')
    if found := _own_table(source, probes):
        return found
    if not source.paths:
        raise GansmithError(f'"{source.title}" has no labels: give a .npz with an array "y", or leave labels off.')
    return _numbered(source.title, labels_from_folders([p.name for p in probes]))


def _from_file(source: Source, probes: Sequence[Probe], choice: str) -> Labels:
    path, column = split_choice(choice)
    if not source.paths:
        raise GansmithError(
            f'The images in "{source.title}" have no file names that "{show(str(path))}" could label: '
            f'give a .npz with an array "y".'
        )
    return _from_rows(probes, show(str(path)), read_table(path, Wanted("label", COLUMNS, column)))


def _own_table(source: Source, probes: Sequence[Probe]) -> Labels | None:
    """The labels in a table that lies among the images; None when there is none with labels."""
    for name in OWN_TABLES:
        data = source.side(name)
        if data is None or not _holds_labels(name, data):
            continue
        return _from_rows(probes, name, parse_table(name, data, Wanted("label", COLUMNS)))._replace(used=name)
    return None


def _holds_labels(name: str, data: bytes) -> bool:
    """Whether a table among the images is about labels at all; one about other things is no mistake."""
    if name.endswith(".json"):
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return True  # and reading it will say what is wrong
        return isinstance(found, dict) and bool(found.get("labels"))
    if name == "labels.csv":
        return True
    header = data[:10_000].partition(b"\n")[0].decode("utf-8-sig", "replace").lower()
    cells = {cell.strip(' "\r') for cell in header.replace(";", ",").replace("\t", ",").split(",")}
    return not cells.isdisjoint(COLUMNS)


def _from_rows(probes: Sequence[Probe], title: str, rows: list[Row]) -> Labels:
    """Labels by the rows of a table."""
    found, others = match(title, rows, [p.name for p in probes])
    texts: list[str | None] = [None] * len(probes)
    for i, speaking in found.items():
        said = [_text(title, row) for row in speaking]
        for row, text in zip(speaking, said, strict=True):
            if text != said[0]:
                raise GansmithError(
                    f'"{title}" labels {probes[i].name} "{said[0]}" ({speaking[0].where}) and "{text}" ({row.where}): '
                    f"keep one of the two."
                )
        texts[i] = said[0]
    missing = [p.name for p, text in zip(probes, texts, strict=True) if text is None and not p.reason]
    if missing:
        raise GansmithError(
            f'"{title}" has no label for {len(missing):,} of {len(probes):,} images, first {missing[0]}: {ALL}.'
        )
    labels = _numbered(title, texts)
    if len(labels.classes) > MANY and 2 * len(labels.classes) > len(probes):
        raise GansmithError(
            f'The labels in "{title}" make {len(labels.classes):,} classes of {len(probes):,} images: '
            f"choose a column or file in which images share their labels."
        )
    return labels._replace(remarks=strangers(title, others))


def _text(title: str, row: Row) -> str:
    """The class that a row names."""
    value, where = row.value, f'{row.where} of "{title}", "{show(row.name)[:200]}"'
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        kind = "no label" if value is None else f"{show(str(value))[:50]}, which is no class"
        raise GansmithError(f"There is {kind} in {where}: give a word or a whole number, {ALL}.")
    text = show(str(value).strip())
    if not text:
        raise GansmithError(f"The label in {where} is empty: {ALL}.")
    if text[0] == "-" and text[1:].isdigit():
        raise GansmithError(f"The label {text[:50]} in {where} is out of range: give words, or whole numbers from 0.")
    if len(text) > LONGEST:
        raise GansmithError(f"The label in {where} has {len(text):,} characters: is it the right column?")
    return text


def _numbered(title: str, texts: Sequence[str | None], classes: Sequence[str] = ()) -> Labels:
    """Class names, in the order given or else the natural one, and every image's number among them."""
    said = {text for text in texts if text is not None} - set(UNLABELLED)
    names = list(classes) or sorted(said, key=natural)
    if texts and not names:
        raise GansmithError(f'All images in "{title}" are unlabelled: leave labels off, or sort some into classes.')
    number = {name: i for i, name in enumerate(names)}
    wrong = next((text for text in texts if classes and text not in number), None)
    if wrong is not None:
        raise GansmithError(
            f'The label "{wrong}" in "{title}" is out of range: the classes are {names[0]} to {names[-1]}.'
        )
    return Labels([number.get(text or "", -1) for text in texts], names, [])


def labels_from_folders(names: list[str]) -> list[str]:
    """Label of each image: the first folder on its path, below any folder that all of them share.

    >>> labels_from_folders(["set/cat/1.png", "set/cat/2.png", "set/dog/x/3.png"])
    ['cat', 'cat', 'dog']
    >>> labels_from_folders(["cat/1.png"])
    ['cat']
    """
    paths = [PurePosixPath(name).parts for name in names]
    loose = [name for name, path in zip(names, paths, strict=True) if len(path) < 2]
    if loose:
        raise GansmithError(
            f'Labels are the names of subfolders, but {len(loose)} images lie in none, such as "{loose[0]}": '
            f"sort them into one folder a class, or leave labels off."
        )
    while all(len(path) > 2 and path[0] == paths[0][0] for path in paths):
        paths = [path[1:] for path in paths]
    return [path[0] for path in paths]
