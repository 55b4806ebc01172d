"""Explain a recipe: paper, fields with defaults, presets, what it learns from and what it can do.

Examples:
  gansmith describe r3gan
  gansmith describe ./mygan.py    your own recipe
"""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from gansmith import recipes
from gansmith.cli.parse import explain, flags, metavar, parse, show

if TYPE_CHECKING:
    from gansmith.core import Recipe

HEAD = ("field", "default", "type", "meaning")


@dataclass
class Args:
    """Flags of describe.

    Args:
        recipe: a name from gansmith list, or the path of a Python file.
    """

    recipe: str


def run(argv: list[str]) -> int:
    name = parse(Args, argv).recipe
    recipe = recipes.find(name)
    print(about(recipe))
    print()
    for label, text in facts(recipe):
        print(f"{label + ':':<10}{text}")
    print()
    _print_table(rows(recipe))
    known = "digits" if "image" in recipe.kinds else "grid25"
    print(f"\nExamples:\n  gansmith train {name} --data {known} --dry-run")
    for preset in recipe.presets:
        print(f"  gansmith train {name} --data DATA --preset {preset}")
    return 0


def about(recipe: type[Recipe]) -> str:
    """The header of the recipe's file; without one, its class's docstring up to the fields."""
    header = sys.modules[recipe.__module__].__doc__
    text = header or (recipe.__dict__.get("__doc__") or recipe.__name__).partition("Args:\n")[0]
    return inspect.cleandoc(text).strip()


def facts(recipe: type[Recipe]) -> list[tuple[str, str]]:
    """What it learns from, what it can do, and its presets."""
    from gansmith import abilities

    found = [("learns", f"{' or '.join(recipe.kinds)} data"), ("draws", ", ".join(recipe.draws) + " of each sample")]
    for base in recipe.__mro__:
        meaning = inspect.cleandoc(base.__dict__.get("__doc__") or "").partition(".")[0]
        if base.__module__ == abilities.__name__ and meaning.startswith("Ability: "):
            meaning = meaning.removeprefix("Ability: ")
            found.append(("ability", f"{base.__name__} ({meaning})"))
    for preset, values in recipe.presets.items():
        found.append(("preset", f"{preset}: " + ", ".join(f"{key} = {show(value)}" for key, value in values.items())))
    return found


def rows(recipe: type[Recipe]) -> list[tuple[str, str, str, str]]:
    """One row a field: name, default, type and range, meaning."""
    kinds, docs = {flag.name: metavar(flag.type).lower() for flag in flags(recipe)}, explain(recipe)
    return [
        (
            f.name,
            show(getattr(recipe, f.name, "")),
            kinds.get(f.name, str(f.type)) + _range(recipe, f.name),
            docs.get(f.name, ""),
        )
        for f in fields(recipe)
    ]


def _range(recipe: type[Recipe], name: str) -> str:
    return " in [{:g}, {:g}]".format(*recipe.ranges[name]) if name in recipe.ranges else ""


def _print_table(table: list[tuple[str, str, str, str]]) -> None:
    """A table that wraps on a terminal; aligned columns in a pipe."""
    if not sys.stdout.isatty():
        widths = [max(map(len, column)) for column in zip(HEAD, *table, strict=True)]
        for row in (HEAD, *table):
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in HEAD:
        drawn.add_column(name, overflow="fold")
    for row in table:
        drawn.add_row(*map(Text, row))
    Console().print(drawn)
