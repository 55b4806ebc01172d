"""The command `gansmith`: one thin file per verb, and the file's name is the verb.

A verb's module docstring is its help text, its `Args` dataclass holds its flags, and `run(argv)` does it
and returns the exit code. Nothing here imports torch until a verb needs it.

Footgun: once the verb `list` was imported, the name `list` in this file is that module.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from gansmith.errors import GansmithError, TrainingError, did_you_mean

VERBS = (
    "list",
    "describe",
    "data",
    "check",
    "train",
    "resume",
    "sample",
    "walk",
    "arithmetic",
    "truncate",
    "mix",
    "breed",
    "vary",
    "zoom",
    "directions",
    "invert",
    "features",
    "classify",
    "evaluate",
    "compare",
    "report",
    "doctor",
    "info",
    "completion",
)

USAGE = """\
usage: gansmith VERB ...

Generative adversarial networks, trained on your data by one command.

{verbs}

Examples:
  gansmith list                                   which GANs there are
  gansmith data list                              which data sets it knows by name
  gansmith train r3gan --data digits --minutes 2  learn handwritten digits
  gansmith train r3gan --data ~/photos --dry-run  what it would do with your photos
  gansmith resume runs/00000-r3gan-digits         go on where it stopped
  gansmith sample runs/00000-r3gan-digits -n 16   draw pictures from it
  gansmith evaluate runs/00000-r3gan-digits       how good is it? scores and a report
  gansmith doctor runs/00000-r3gan-digits         what is wrong with it, and what to change

Options:
  -h, --help     this page; gansmith VERB --help explains a verb
  --version      the version
"""

_OS_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EACCES: "no permission",
    errno.EPERM: "no permission",
    errno.EROFS: "the file system is read-only",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 training failed, 2 bad input, 130 interrupted."""
    try:
        code = _dispatch(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except GansmithError as error:
        return _fail(str(error), 2)
    except TrainingError as error:
        return _fail(str(error), 1)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader went away, as in: gansmith list | head -1
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _OS_ERRORS:
            raise
        where = f": {error.filename}" if error.filename else ""
        return _fail(f"{_OS_ERRORS[error.errno]}{where}.", 2)


def _dispatch(argv: Sequence[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(USAGE.format(verbs="\n".join(f"  {verb:12}{about(verb)}" for verb in VERBS)), end="")
        return 0
    if argv[0] in ("-V", "--version"):
        from gansmith import __version__

        print(__version__)
        return 0
    verb, *rest = argv
    if verb not in VERBS:
        raise GansmithError(f'There is no verb "{verb}".{did_you_mean(verb, VERBS)} See: gansmith --help')
    try:
        return int(module(verb).run(rest))
    except SystemExit as stop:  # tyro ends so after it has printed a verb's help
        if stop.code:
            raise
        return 0


def module(verb: str) -> ModuleType:
    """The module of a verb."""
    return importlib.import_module(f"gansmith.cli.{verb}")


def about(verb: str) -> str:
    """The first line of a verb's help."""
    return (module(verb).__doc__ or "").partition("\n")[0]


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code
