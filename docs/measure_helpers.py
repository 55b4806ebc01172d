"""Measure what each helper does to a plain game, and write the table of docs/guides/conditional.md.

    python docs/measure_helpers.py                 # nine settings
    python docs/measure_helpers.py --only pack

digits: dcgan with its own defaults, 60,000 samples each, so that times do not matter. grid25: the unpenalised gan with
its own budget. Everything but the helper is the same. Raw figures go to docs/measured_helpers.json.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from typing import Any

from measure import DOCS, Entry, fill, result, train

from gansmith.engine import devices
from gansmith.errors import GansmithError

SETTINGS: dict[str, dict[str, Any]] = {
    "without": {},
    "feature_matching": {"feature_matching": 0.01},
    "instance_noise": {"instance_noise": 0.2},
    "historical_averaging": {"historical_averaging": 0.001},
    "pack": {"pack": 2},
    "virtual_batch_norm": {"virtual_batch_norm": True},
    "dropout_g": {"dropout_g": 0.2},
    "label_flips": {"label_flips": 0.05},
    "smoothing": {"smoothing": 0.1},
}
GAMES = {"digits": ("dcgan", {"samples": 60_000}), "grid25": ("gan", {})}
PAGE, FIGURES = DOCS / "guides" / "conditional.md", DOCS / "measured_helpers.json"


def measure(name: str, seeds: int) -> Entry:
    """One helper in both games; None where it does not fit."""
    found: Entry = {}
    for data, (recipe, budget) in GAMES.items():
        try:
            found[data] = train(recipe, data, budget | SETTINGS[name], seeds, pictured=False)["runs"]
            print(f"{name} on {data}: {result(data, found[data])}", flush=True)
        except GansmithError as error:
            found[data] = None
            print(f"{name} on {data}: {error}", flush=True)
    return found


def table(found: dict[str, Entry], seeds: int) -> str:
    """The page's part."""
    lines = ["", "| helper | dcgan on digits, 60,000 samples | gan on grid25 |", "|---|---|---|"]
    for name, value in SETTINGS.items():
        if name in found:
            shown = f"`{name}` = {next(iter(value.values()))}" if value else "none"
            cells = ["does not fit" if runs is None else result(data, runs) for data, runs in found[name].items()]
            lines.append(f"| {shown} | {cells[0]} | {cells[1]} |")
    machine = devices.describe(devices.find_device("auto"))
    told = f"Mean of {seeds} seeds, and the range" if seeds > 1 else "One seed: differences of a few percent are noise"
    made = f"{datetime.date.today().isoformat()}, {machine}. Repeat: `python docs/measure_helpers.py`."
    columns = "What the columns mean: [how it was measured](../recipes/index.md#how-it-was-measured)."
    return "\n".join([*lines, "", f"{columns} {told}. {made}", "", ""])


def main() -> int:
    """Measure, writing after each helper."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(SETTINGS), choices=SETTINGS, help="some of them")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default: %(default)s)")
    args = parser.parse_args()
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    for name in args.only:
        found[name] = measure(name, args.seeds)
        FIGURES.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        fill(PAGE, table(found, args.seeds), "helpers")
    return 0


if __name__ == "__main__":
    sys.exit(main())
