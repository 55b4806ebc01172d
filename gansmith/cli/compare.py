"""Compare two evaluated runs: which is better, and is the difference more than noise?

Only scores that were made in the same way are compared. Evaluate both runs first.

Examples:
  gansmith compare runs/00000-dcgan-digits runs/00001-r3gan-digits
  gansmith compare runs/00000-dcgan-digits evaluation-fakes/evaluation.json
"""

from __future__ import annotations

from dataclasses import dataclass

from gansmith.cli.parse import parse


@dataclass
class Args:
    """Flags of compare.

    Args:
        run_a: a run directory, or a folder with an evaluation.json.
        run_b: another.
    """

    run_a: str
    run_b: str


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    from rich.console import Console
    from rich.table import Table

    from gansmith import scoring
    from gansmith.evaluation.compare import conclusion
    from gansmith.evaluation.verdict import number

    rows = scoring.compare(args.run_a, args.run_b)
    table = Table("score", "A", "B", "better", "why", title=f"A = {args.run_a}, B = {args.run_b}")
    for row in rows:
        if row.differs:
            table.add_row(row.name, "", "", "", f"not comparable: {'; '.join(row.differs)}")
            continue
        why = "no interval" if row.p is None else f"p = {row.p:.2g}"
        values = (number(score.value, score.error) for score in (row.a, row.b))
        table.add_row(row.name, *values, row.better or "-", why)
    console = Console(markup=False, highlight=False)
    console.print(table)
    console.print(conclusion(rows))
    return 0
