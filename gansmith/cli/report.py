"""Write the report of an evaluated run anew: one HTML file that needs no network.

gansmith evaluate writes it too; this verb draws it again, as after more training with --evaluate-every.

Examples:
  gansmith report runs/00000-r3gan-digits
  gansmith report evaluation-fakes
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith.cli.parse import parse


@dataclass
class Args:
    """Flags of report.

    Args:
        run: a run directory, or a folder with an evaluation.json.
    """

    run: str


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    from gansmith import scoring

    print(f"Report: {scoring.report(args.run)}")
    return 0
