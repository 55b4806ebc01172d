"""Tell the classes of images with a trained run of ssgan or acgan.

Without --data the run's own held-out samples are told, and how often that is right.

Examples:
  gansmith classify runs/00000-ssgan-digits                              accuracy on held-out samples
  gansmith classify runs/00000-ssgan-digits --data scans/ --out told.csv a row for each image: name, class, chance
  gansmith classify runs/00000-ssgan-digits --data tests/ --labels       how often it is right on labelled images
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gansmith.cli.parse import parse


@dataclass
class Args:
    """Flags of classify.

    Args:
        run: the run directory.
        data: the images; by default those that the run held out.
        labels: of --data: take subfolders as classes, or the column of a CSV or a JSON file.
        out: a .csv file with a row for each image.
        checkpoint: latest, best, or the name of a folder under checkpoints/.
        device: cpu, cuda or mps.
    """

    run: str
    data: str | None = None
    labels: bool | str | None = None
    out: str | None = None
    checkpoint: str = "latest"
    device: str = "cpu"


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    from gansmith import reading

    told = reading.classify(args.run, args.data, labels=args.labels, checkpoint=args.checkpoint, device=args.device)
    if args.out:
        reading.save_predictions(told, Path(args.out).expanduser())
    where = f" in {args.out}" if args.out else ""
    print(f"{len(told.names)} samples{where}: " + ", ".join(f"{name} {n}" for name, n in told.counts().items()))
    if told.accuracy is not None:
        got = told.accuracy
        print(f"{100 * got.value:.1f} % right ({100 * got.low:.1f} to {100 * got.high:.1f}, 95 % interval)")
    return 0
