"""Tell what a run is: recipe, fields, data, progress, checkpoints, and how to go on.

Examples:
  gansmith info runs/00000-r3gan-digits
  gansmith info runs/00000-r3gan-digits --json | jq .progress
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gansmith.cli.parse import parse


@dataclass
class Args:
    """Flags of info.

    Args:
        run: the run directory.
        json: print JSON, for programs.
    """

    run: str
    json: bool = False


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    import yaml

    from gansmith import api

    facts = api.info(args.run)
    text = (
        json.dumps(facts, indent=2)
        if args.json
        else yaml.safe_dump(_short(facts), sort_keys=False, allow_unicode=True, width=10**6)
    )
    print(text.rstrip())
    return 0


def _short(facts: dict[str, Any]) -> dict[str, Any]:
    """The same for people: of a vocabulary, its size and its first words."""
    data = facts.get("data", {})
    words = data.get("spec", {}).get("words")
    if not words:
        return facts
    shown = f"{len(words):,}, as {', '.join(words[2:12])}"
    return facts | {"data": data | {"spec": data["spec"] | {"words": shown}}}
