"""List the recipes: every GAN that can be trained by name.

Examples:
  gansmith list
  gansmith describe r3gan                    more about one of them
  gansmith train ./mygan.py --data digits    your own recipe, by the path of its file
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith import recipes
from gansmith.cli.parse import parse


@dataclass
class Args:
    """No flags."""


def run(argv: list[str]) -> int:
    if argv:
        parse(Args, argv)
    names = [*recipes.names(), *recipes.plugins()]
    width = max(map(len, names), default=0)
    for name in names:
        print(f"{name:{width}}  {recipes.summary(name)}")
    print("\nYour own recipe is a Python file, used by its path: gansmith train ./mygan.py --data DATA")
    return 0
