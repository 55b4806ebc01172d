"""Tables that say something of every image: labels or captions, in a CSV or JSON file, matched to images by name.

CSV: a row of column names, then a row an image. JSON: {"cat/1.png": 3}, [["cat/1.png", 3]] or, as StyleGAN writes it,
{"labels": [["cat/1.png", 3]]}. The files are other people's: whatever is wrong with one becomes one sentence.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from gansmith.data.names import show
from gansmith.data.sources import MAX_TABLE
from gansmith.errors import GansmithError, did_you_mean

NAMES = ("file", "filename", "file_name", "image", "path", "name")
SUFFIXES = (".csv", ".tsv", ".json")


class Row(NamedTuple):
    """What one line says: where it stands (for messages), the image's name and the value, a str in a CSV."""

    where: str
    name: str
    value: object


@dataclass(frozen=True)
class Wanted:
    """What is looked for in a table.

    Args:
        word: for messages, "label" or "caption".
        columns: names under which a CSV may hold it.
        column: the one that the user chose; empty = the only one among `columns`.
    """

    word: str
    columns: tuple[str, ...]
    column: str = ""


def split_choice(choice: str) -> tuple[Path, str]:
    """A file, and the column chosen behind a colon, if any.

    >>> split_choice("a/labels.csv:breed")
    (PosixPath('a/labels.csv'), 'breed')
    """
    match = re.fullmatch(r"(.+\.(?:csv|tsv)):([^/\\]+)", choice, re.IGNORECASE)
    return (Path(match[1]).expanduser(), match[2]) if match else (Path(choice).expanduser(), "")


def located(options: Mapping[str, object]) -> dict[str, object]:
    """The options of a data set as they hold in any folder: the paths of files of labels and captions are absolute."""
    return {**options, **{name: _absolute(options.get(name)) for name in ("labels", "captions")}}


def _absolute(choice: object) -> object:
    if not isinstance(choice, (str, os.PathLike)):
        return choice
    path, column = split_choice(os.fspath(choice))
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return os.fspath(choice)
    return f"{path.resolve()}:{column}" if column else str(path.resolve())


def table_file(choice: str, word: str, also: str) -> Path:
    """The file of a choice. GansmithError when there is none, or it is of another kind; `also` can be given too."""
    path, _ = split_choice(choice)
    if path.suffix.lower() not in SUFFIXES:
        raise GansmithError(f'{word}s = "{show(choice)}" is no file of {word}s: give a .csv or .json file, or {also}.')
    if not path.is_file():
        raise GansmithError(f'There is no file "{show(str(path))}" with {word}s: correct the path, or give {also}.')
    return path


def read_table(path: Path, wanted: Wanted) -> list[Row]:
    """The rows of a file."""
    return parse_table(str(path), _bytes(path), wanted)


def read_text(path: Path) -> str:
    """The text of a table. GansmithError when it cannot be read, is too large or no UTF-8."""
    return _text(show(str(path)), _bytes(path))


def _bytes(path: Path) -> bytes:
    """The bytes of a file, one above the most when it is larger."""
    try:
        with open(path, "rb") as file:
            return file.read(MAX_TABLE + 1)
    except OSError as error:
        raise GansmithError(f'"{show(str(path))}" cannot be read: {error.strerror}.') from None


def _text(title: str, data: bytes) -> str:
    if len(data) > MAX_TABLE:
        raise GansmithError(f'"{title}" is larger than {MAX_TABLE >> 20} MiB: split the set.')
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise GansmithError(f'"{title}" is not UTF-8 text: save it again as UTF-8.') from None


def parse_table(name: str, data: bytes, wanted: Wanted) -> list[Row]:
    """The rows of a file's bytes; `name` tells its kind.

    Raises:
        GansmithError: too large, no UTF-8, no CSV or JSON of the form above, no such column, or no row.
    """
    title = show(name)
    text = _text(title, data)
    if name.lower().endswith(".json"):
        rows = list(_json_rows(title, text, wanted))
    else:
        rows = list(_csv_rows(title, text, wanted))
    if not rows:
        raise GansmithError(f'"{title}" holds no {wanted.word}s: give one for each image.')
    return rows


def _csv_rows(title: str, text: str, wanted: Wanted) -> Iterator[Row]:
    lines = cells(title, text)
    name, value = _columns(title, [cell.strip() for cell in next(lines)[1]], wanted)
    for where, row in lines:
        yield Row(where, row[name], row[value])


def cells(title: str, text: str) -> Iterator[tuple[str, list[str]]]:
    """Where each line of a CSV stands (for messages) and its cells: the names of the columns, then what is not empty.

    Raises:
        GansmithError: no valid CSV, or a line with fewer or more cells than columns.
    """
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = next(reader, [])
        yield "line 1", columns
        for row in reader:
            if not any(row):
                continue
            if len(row) < len(columns) or any(row[len(columns) :]):
                raise GansmithError(
                    f'Line {reader.line_num} of "{title}" has {len(row)} cells instead of {len(columns)}: '
                    f"put text that holds the separator into quotation marks."
                )
            yield f"line {reader.line_num}", row
    except csv.Error as error:
        raise GansmithError(f'Line {reader.line_num} of "{title}" is no valid CSV ({error}): mend it.') from None


def _columns(title: str, columns: list[str], wanted: Wanted) -> tuple[int, int]:
    """Which column holds the file names, and which what is looked for."""
    lower, there = [c.lower() for c in columns], ", ".join(map(show, columns[:20])) or "none"
    names = [lower.index(c) for c in NAMES if c in lower]
    if not names:
        raise GansmithError(
            f'"{title}" has no column of file names (its first line: {there[:200]}): '
            f"put names over the columns, over this one {NAMES[0]}, {', '.join(NAMES[1:-1])} or {NAMES[-1]}."
        )
    if wanted.column:
        if wanted.column not in columns:
            hint = did_you_mean(wanted.column, columns)
            raise GansmithError(f'"{title}" has no column "{show(wanted.column)}".{show(hint)} It has: {there}.')
        return names[0], columns.index(wanted.column)
    found = [i for i, c in enumerate(lower) if c in wanted.columns and i != names[0]]
    if len(found) != 1:
        how = "several columns" if found else "no column"
        shown = f"such as {', '.join(show(columns[i]) for i in found)}" if found else f"among {there}"
        raise GansmithError(
            f'"{title}" has {how} of {wanted.word}s ({shown}): choose one as {wanted.word}s = "{title}:COLUMN".'
        )
    return names[0], found[0]


def _json_rows(title: str, text: str, wanted: Wanted) -> Iterator[Row]:
    try:
        found = json.loads(text, object_pairs_hook=list)  # objects become lists of pairs, so that no key is lost
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply or with absurd numbers"
        where = f" in line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise GansmithError(f'"{title}" is no valid JSON{where} ({why}): mend it.') from None
    for entry in found if isinstance(found, list) else []:
        if isinstance(entry, tuple) and entry[0] == f"{wanted.word}s" and not isinstance(entry[1], (str, int, float)):
            found = entry[1] or []
            break
    if not isinstance(found, list):
        raise GansmithError(f'"{title}" holds {_kind(found)}: give {{"FILE": {wanted.word.upper()}, ...}}.')
    for i, entry in enumerate(found, 1):
        if not isinstance(entry, (list, tuple)) or len(entry) != 2 or not isinstance(entry[0], str):
            raise GansmithError(
                f'Entry {i} of "{title}" is no pair of a file name and a {wanted.word}: '
                f'give {{"FILE": {wanted.word.upper()}, ...}} or [["FILE", {wanted.word.upper()}], ...].'
            )
        yield Row(f"entry {i}", entry[0], entry[1])


def _kind(value: object) -> str:
    return {str: "one text", bool: "one truth value", type(None): "nothing"}.get(type(value), "one number")


# ---- rows and images


def match(title: str, rows: Sequence[Row], names: Sequence[str]) -> tuple[dict[int, list[Row]], list[Row]]:
    """Which rows speak of which image, and the rows that speak of none.

    A name is an image's when both are equal, or when one ends with the other (whole folder names), as `1.png` and
    `cats/1.png` do, and no second image comes into question.

    Raises:
        GansmithError: a name fits several images, or no name fits any.
    """
    parts = [_parts(name) for name in names]
    exact = {path: i for i, path in enumerate(parts)}
    ending: dict[str, list[int]] = {}
    for i, path in enumerate(parts):
        ending.setdefault(path[-1], []).append(i)
    found: dict[int, list[Row]] = {}
    others = []
    for row in rows:
        path = _parts(show(row.name.strip()))
        near = [exact[path]] if path in exact else [i for i in ending.get(path[-1], ()) if _ends(path, parts[i])]
        if len(near) > 1:
            raise GansmithError(
                f'"{show(row.name)}" ({row.where} of "{title}") could be {names[near[0]]} or {names[near[1]]}: '
                f"give the path of the image, beginning below the folder or archive."
            )
        if near:
            found.setdefault(near[0], []).append(row)
        else:
            others.append(row)
    if not found:
        raise GansmithError(
            f'No name in "{title}" is that of an image: it has names such as "{show(rows[0].name)[:200]}", '
            f'the images such as "{names[0]}". Make them agree.'
        )
    return found, others


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path; a shard counts as a folder.

    >>> _parts("./a\\\\b.png"), _parts("s-0.tar:c.png"), _parts("")
    (('a', 'b.png'), ('s-0.tar', 'c.png'), ('',))
    """
    return PurePosixPath(name.replace("\\", "/").replace(".tar:", ".tar/")).parts or ("",)


def _ends(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Whether one path ends with the other.

    >>> _ends(("a", "b"), ("b",)), _ends(("b",), ("a", "b")), _ends(("a", "b"), ("c", "b"))
    (True, True, False)
    """
    n = min(len(one), len(other))
    return one[-n:] == other[-n:]


def strangers(title: str, others: Sequence[Row]) -> list[str]:
    """The remark on rows that speak of no image; none when there are no such rows."""
    if not others:
        return []
    first = others[0]
    return [
        f'{len(others):,} names in "{title}" are of no image here, first "{show(first.name)[:200]}" ({first.where}): '
        f"they were passed over"
    ]
