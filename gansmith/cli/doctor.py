"""Say what is wrong with a training, since when, how sure, and what to change.

RUN is a run directory, also of a training that still goes on or was cut short; or what another tool left:
StyleGAN's stats.jsonl, TensorBoard events, a .csv of losses (CTGAN's loss_values). With --against DATA it is
a folder of samples. Exit code: 0 healthy or too early to say, 3 warning, 4 critical, 2 bad input.

Examples:
  gansmith doctor runs/00000-dcgan-digits
  gansmith doctor runs/00000-dcgan-digits --audit
  gansmith doctor runs/00000-dcgan-digits --json | jq '.findings[0].change'
  gansmith doctor ~/stylegan3/training-runs/00003-stylegan3-t
  gansmith doctor losses.csv
  gansmith doctor fakes/ --against ~/photos
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gansmith.cli.parse import parse


@dataclass
class Args:
    """Flags of doctor.

    Args:
        run: the run directory, or what another tool left.
        against: real data; RUN is then a folder or file of samples.
        audit: also look for copies, estimate the support and the duality gap; takes a minute or more.
        json: print JSON, for programs.
    """

    run: str
    against: str | None = None
    audit: bool = False
    json: bool = False


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    from gansmith import diagnosis

    found = diagnosis.diagnose(args.run, against=args.against, audit=args.audit)
    print(json.dumps(found.to_json(), indent=2) if args.json else "\n".join(found.lines()))
    return found.exit_code
