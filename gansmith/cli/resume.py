"""Go on with a run that was stopped, killed or is to learn longer.

It continues from the last checkpoint, exactly as if it had never stopped.

Examples:
  gansmith resume runs/00000-r3gan-digits
  gansmith resume runs/00000-r3gan-digits --samples 2M    learn longer than planned
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from gansmith.cli.parse import parse
from gansmith.cli.train import exit_code


@dataclass
class Args:
    """Flags of resume.

    Args:
        run: the run directory.
        samples: a new budget for the whole run, in real samples, as 500k or 2M.
        minutes: a new budget in minutes, counted from the run's first start.
        data: where the data are now, when they were moved.
        device: cpu, cuda or mps; by default as before.
        devices: processes on this machine; by default as before.
        patience: a new span without improvement that ends the training, in real samples.
        quiet: print nothing but errors.
    """

    run: str
    samples: int | None = None
    minutes: float | None = None
    data: str | None = None
    device: str | None = None
    devices: int | None = None
    patience: int | None = None
    quiet: bool = False


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    from gansmith import api

    return exit_code(api.resume(**asdict(args)).how)
