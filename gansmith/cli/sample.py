"""Draw new samples from a trained run.

The same seed gives the same samples.

Examples:
  gansmith sample runs/00000-r3gan-digits                            16 in a grid, samples.png of the run
  gansmith sample runs/00000-r3gan-digits -n 64 --seed 3 --out grid.png
  gansmith sample runs/00000-r3gan-digits -n 1000 --out pictures     a folder of 1000 PNG files
  gansmith sample runs/00000-r3gan-digits -n 10k --out fakes.npz     the array "samples"
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gansmith.cli.parse import parse
from gansmith.errors import GansmithError


@dataclass
class Args:
    """Flags of sample.

    Args:
        run: the run directory.
        n: how many samples.
        seed: of the latents.
        out: a folder (one PNG each), a .png file (a grid) or a .npz file (array "samples", N C H W in [-1, 1], or
            N D for points); by default samples.png in the run directory.
        checkpoint: latest, best, or the name of a folder under checkpoints/.
        raw: the generator as trained, not its average.
        device: cpu, cuda or mps.
    """

    run: str
    n: int = 16
    seed: int = 0
    out: str | None = None
    checkpoint: str = "latest"
    raw: bool = False
    device: str = "cpu"


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    if args.n < 1:
        raise GansmithError(f"-n {args.n}: give at least 1 sample.")
    from gansmith import api
    from gansmith.engine.pictures import save_samples

    gan = api.load(args.run, checkpoint=args.checkpoint, raw=args.raw, device=args.device)
    samples = gan.sample(args.n, seed=args.seed)
    out = Path(args.out or Path(args.run) / "samples.png").expanduser()
    save_samples(samples, out, "image" if samples.ndim == 4 else "points")
    print(f"{len(samples)} samples in {out}")
    return 0
