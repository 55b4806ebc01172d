"""Texts that describe images, and the numbers (tokens) that networks read them as."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gansmith.data.decode import Probe
from gansmith.data.names import show
from gansmith.data.sources import Source
from gansmith.data.tables import Row, Wanted, match, read_table, split_choice, strangers
from gansmith.errors import GansmithError

COLUMNS = ("caption", "captions", "text")
PADDING, UNKNOWN = "", "?"
MAX_WORDS = 5000  # of the vocabulary, padding and unknown included
MAX_LENGTH = 64  # tokens of a caption; the rest is cut
MAX_TEXT = 1000  # characters of a caption; the rest is cut
MOST = 100  # captions of an image


class Captions(NamedTuple):
    """Texts of all images, bad ones too; empty without captions. `remarks` are for the user."""

    texts: list[list[str]]
    remarks: list[str]


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in lower case.

    >>> words_of("A cat's 2 paws - on the SOFA!")
    ['a', "cat's", '2', 'paws', 'on', 'the', 'sofa']
    """
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", text.lower())


def clean(text: str) -> str:
    """A caption on one line, without what cannot be printed, at most 1,000 characters.

    >>> clean("  two\\n lines\\x1b[2J ")
    'two lines [2J'
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:MAX_TEXT].strip()


# ---- where captions come from


def captions_of(source: Source, probes: Sequence[Probe], choice: bool | str) -> Captions:
    """The captions of a set.

    Args:
        probes: of all images, with the texts that lie beside them.
        choice: a file that holds them, perhaps with its column; True = the texts beside the images; False = only what
            the source carries itself.

    Raises:
        GansmithError: an image has no caption while others do, or none has any.
    """
    if isinstance(choice, str):
        return _from_file(source, probes, choice)
    if not choice and not source.captioned:
        return Captions([], [])
    texts = [_cleaned(p.captions) for p in probes]
    if not any(p.captions for p in probes):
        raise GansmithError(
            f'"{source.title}" has no captions: put a text file of the same name beside each image, as 1.txt beside '
            f"1.png, give a CSV or JSON file of captions, or leave captions off."
        )
    _complete(f'The text files in "{source.title}"', probes, texts)
    return Captions(_bounded(probes, texts), [])


def _from_file(source: Source, probes: Sequence[Probe], choice: str) -> Captions:
    path, column = split_choice(choice)
    title = show(str(path))
    if not source.paths:
        raise GansmithError(
            f'The images in "{source.title}" have no file names that "{title}" could describe: use a folder or archive.'
        )
    rows = read_table(path, Wanted("caption", COLUMNS, column))
    found, others = match(title, rows, [p.name for p in probes])
    texts: list[list[str]] = [[] for _ in probes]
    for i, speaking in found.items():
        texts[i] = [text for row in speaking for text in _said(title, row)]
    _complete(f'"{title}"', probes, texts)
    return Captions(_bounded(probes, texts), strangers(title, others))


def _said(title: str, row: Row) -> list[str]:
    """The captions in one row: a text, or in JSON a list of them."""
    values = row.value if isinstance(row.value, list) else [row.value]
    where = f'{row.where} of "{title}", "{show(row.name)[:200]}"'
    said = [value for value in values if isinstance(value, str)]
    if len(said) < len(values):
        raise GansmithError(f"The caption in {where} is no text: give a text, or in JSON a list of texts.")
    texts = _cleaned(said)
    if len(texts) < len(values) or not texts:
        raise GansmithError(f"The caption in {where} has no words: caption all images or none.")
    return texts


def _cleaned(texts: Iterable[str]) -> list[str]:
    return [text for text in map(clean, texts) if words_of(text)]


def _complete(where: str, probes: Sequence[Probe], texts: Sequence[Sequence[str]]) -> None:
    bare = [p.name for p, said in zip(probes, texts, strict=True) if not said and not p.reason]
    if bare:
        raise GansmithError(
            f"{where} hold{'s' * where.startswith(chr(34))} no caption for {len(bare):,} of {len(probes):,} images, "
            f"first {bare[0]}: caption all or none."
        )


def _bounded(probes: Sequence[Probe], texts: list[list[str]]) -> list[list[str]]:
    for p, said in zip(probes, texts, strict=True):
        if len(said) > MOST:
            raise GansmithError(f"{p.name} has {len(said):,} captions: give at most {MOST} an image.")
    return texts


# ---- tokens


def vocabulary(texts: Iterable[str]) -> tuple[str, ...]:
    """Padding, unknown, then the words of the texts: most frequent first, equal ones by the alphabet.

    >>> vocabulary(["red cat", "blue cat"])
    ('', '?', 'cat', 'blue', 'red')
    """
    counts = Counter(word for text in texts for word in words_of(text))
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return (PADDING, UNKNOWN, *ranked[: MAX_WORDS - 2])


def longest(texts: Iterable[str]) -> int:
    """Words of the longest text, 0 without any."""
    return max((len(words_of(text)) for text in texts), default=0)


def encode(texts: Sequence[str], words: Sequence[str], length: int) -> Tensor:
    """Tokens (len(texts), length), int64, of each text's first words; what is left at the end is 0.

    >>> encode(["red cat", "a blue cat"], ("", "?", "cat", "blue", "red"), 3)
    tensor([[4, 2, 0],
            [1, 3, 2]])
    """
    number = {word: i for i, word in enumerate(words) if i > 1}
    rows = [[number.get(word, 1) for word in words_of(text)[:length]] for text in texts]
    return torch.tensor([row + [0] * (length - len(row)) for row in rows], dtype=torch.int64).reshape(-1, length)


class Tokens:
    """The captions of a set as tokens, ready to be drawn.

    Args:
        texts: of every image, one or more each.
        train: rows of the images whose captions make the vocabulary.
    """

    def __init__(self, texts: Sequence[Sequence[str]], train: np.ndarray) -> None:
        seen = [text for row in train for text in texts[row]]
        self.words = vocabulary(seen)
        self.length = min(longest(seen), MAX_LENGTH)
        self._tokens = encode([text for said in texts for text in said], self.words, self.length)
        self._count = torch.tensor([len(said) for said in texts])
        self._first = self._count.cumsum(0) - self._count

    def draw(self, rows: Tensor) -> Tensor:
        """Tokens (n, length), int64, of the images in `rows` (n,).

        Of several captions of an image one is drawn, from torch's global random state.
        """
        first, count = self._first[rows], self._count[rows]
        if int(self._count.max()) > 1:
            first = first + torch.minimum((torch.rand(len(rows)) * count).long(), count - 1)
        return self._tokens[first]
