"""What the discriminator of a run learned: its activations, and how well a linear classifier reads classes off them.

The classifier is fitted on a few training samples of each class and tried on held-out ones; the same is done with the
pixels and with a discriminator that was never trained.

Examples:
  gansmith features runs/00000-dcgan-digits                          the probe on the run's own data
  gansmith features runs/00000-dcgan-digits --out features.npz       also the arrays x, y and held_out
  gansmith features runs/00000-dcgan-digits --data ~/photos --labels --labels-per-class 50
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from gansmith.cli.parse import parse


@dataclass
class Args:
    """Flags of features.

    Args:
        run: the run directory.
        data: other data than those of the run.
        labels: take subfolders as classes, or the column of a CSV or a JSON file, or one of a known name's labels.
        out: a .npz file for the arrays x (N, F), y (N,), held_out (N,) and classes.
        labels_per_class: labelled samples of each class that the classifier is fitted on.
        seed: which those are.
        checkpoint: latest, best, or the name of a folder under checkpoints/.
        json: print JSON, for programs.
    """

    run: str
    data: str | None = None
    labels: bool | str | None = None
    out: str | None = None
    labels_per_class: int = 20
    seed: int = 0
    checkpoint: str = "latest"
    json: bool = False


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    from gansmith import reading

    found = reading.features(
        args.run,
        args.data,
        labels=args.labels,
        labels_per_class=args.labels_per_class,
        checkpoint=args.checkpoint,
        seed=args.seed,
    )
    if args.out:
        reading.save_features(found, Path(args.out).expanduser())
    if args.json:
        probes = {name: got._asdict() for name, got in found.probes.items()}
        told = {"shape": found.x.shape, "labels_per_class": found.labels_per_class, "probes": probes}
        print(json.dumps(told, indent=2))
        return 0
    print(f"{found.x.shape[1]} features of {len(found.x)} samples" + (f" in {args.out}" if args.out else ""))
    if not found.probes:
        print("The data have no labels, so nothing was read off them: a linear probe needs classes, see --labels.")
    for name, got in found.probes.items():
        print(f"{name:12} {100 * got.value:5.1f} % right ({100 * got.low:.1f} to {100 * got.high:.1f})")
    if found.probes:
        labels = f"{found.labels_per_class} labels of each class"
        print(f"Linear probe: {labels}, {got.samples} held-out samples, 95 % intervals.")
    return 0
