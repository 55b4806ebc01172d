"""Errors that a user can mend: one clear sentence, never a traceback (the command line exits with code 2)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GansmithError(ValueError):
    """Bad input. The message says what was wrong, where, and what to do."""


class TrainingError(RuntimeError):
    """The training itself failed (it diverged, a process died): nothing bad was saved. Exit code 1."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a mistyped word, or nothing when nothing is near.

    >>> did_you_mean("r3gna", ["r3gan", "wgan"])
    ' Did you mean "r3gan"?'
    >>> did_you_mean("zzz", ["r3gan"])
    ''
    """
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{near[0]}"?' if near else ""
