"""Draw new samples from a trained run: any, of one class, of every class, or along a code.

The same seed gives the same samples.

Examples:
  gansmith sample runs/00000-r3gan-digits                            16 in a grid, samples.png of the run
  gansmith sample runs/00000-r3gan-digits -n 64 --seed 3 --out grid.png
  gansmith sample runs/00000-r3gan-digits -n 1000 --out pictures     a folder of 1000 PNG files
  gansmith sample runs/00000-r3gan-digits -n 10k --out fakes.npz     the array "samples"
  gansmith sample runs/00000-r3gan-digits -n 64 --numbers            with numbers, to name samples by in other verbs
  gansmith sample runs/00000-sngan-digits --psi 0.5                  truncated: less variety, better on average
  gansmith sample runs/00001-acgan-digits --label 3                  of one class, by its name or number
  gansmith sample runs/00001-acgan-digits --label-grid               a row for each class, a column for each latent
  gansmith sample runs/00002-infogan-digits --code c1=4 --sweep c2   codes that the training found
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansmith.cli.parse import parse
from gansmith.errors import GansmithError

if TYPE_CHECKING:
    from gansmith.explore.sheet import Sheet

SAMPLES = 16  # when -n does not say
ACROSS = 8  # samples of each class, or rows of a sweep, when -n does not say
WIDEST = 10  # columns of a grid with numbers


@dataclass
class Args:
    """Flags of sample.

    Args:
        run: the run directory.
        n: how many samples, 16 by default; with --label-grid of each class, with --sweep rows (8).
        seed: of the latents.
        numbers: write numbers at the rows and columns of the grid: the sample of seed 0 in the row 8 and the column +3
            is number 11 of it, which the verbs that steer (walk, arithmetic, directions ...) call 0:11.
        out: a folder (one PNG each), a .png file (a grid) or a .npz file (array "samples", N C H W in [-1, 1], or
            N D for points); by default samples.png in the run directory.
        checkpoint: latest, best, or the name of a folder under checkpoints/.
        raw: the generator as trained, not its average.
        device: cpu, cuda or mps.
        label: draw this class, by its name or number; several as 3,5 are drawn in turn.
        label_grid: draw every class: a row for each, the same latent in a column.
        code: set codes of the latent, as c1=4 or c1=4,c2=-0.5.
        sweep: draw this code through its values: a row for each of some latents.
        psi: truncation: 1 draws from all that was learned, smaller numbers from nearer to the middle of it, 0 gives one
            sample again and again.
    """

    run: str
    n: int | None = None
    seed: int = 0
    numbers: bool = False
    out: str | None = None
    checkpoint: str = "latest"
    raw: bool = False
    device: str = "cpu"
    label: str | None = None
    label_grid: bool = False
    code: str | None = None
    sweep: str | None = None
    psi: float = 1.0


def run(argv: list[str]) -> int:
    args = parse(Args, argv)
    if args.n is not None and args.n < 1:
        raise GansmithError(f"-n {args.n}: give at least 1 sample.")
    from gansmith import api
    from gansmith.engine.pictures import save_samples

    gan = api.load(args.run, checkpoint=args.checkpoint, raw=args.raw, device=args.device)
    samples, columns = drawn(gan, args)
    out = Path(args.out or Path(args.run) / "samples.png").expanduser()
    if args.numbers:
        numbered(samples, args, columns).save(out)
    else:
        save_samples(samples, out, "image" if samples.ndim == 4 else "points", columns)
    print(f"{len(samples)} samples in {out}")
    return 0


def numbered(samples: Any, args: Args, columns: int | None) -> Sheet:
    """The samples as a grid with their numbers at its rows and columns."""
    import math

    from gansmith.explore.sheet import Sheet

    if columns is not None or args.label is not None or args.code or samples.ndim != 4:
        raise GansmithError(
            "--numbers counts the images of a seed: leave --label, --code, --label-grid and --sweep out."
        )
    across = min(math.ceil(math.sqrt(len(samples))), WIDEST)
    rows = range(0, len(samples), across)
    return Sheet(samples, across, tuple(f"+{k}" for k in range(across)), tuple(map(str, rows)))


def drawn(gan: Any, args: Args) -> tuple[Any, int | None]:
    """The samples that the flags ask for, and the columns of their grid."""
    codes = assigned(args.code)
    if args.label_grid and (args.sweep or args.label is not None):
        raise GansmithError("--label-grid draws every class: leave --label and --sweep out.")
    n = args.n or (ACROSS if args.label_grid or args.sweep else SAMPLES)
    if args.label is not None:
        names = args.label.split(",")
        codes["label"] = names * (n // len(names)) + names[: n % len(names)]
    if args.label_grid:
        return gan.label_grid(n, args.seed, args.psi, **codes)
    if args.sweep:
        return gan.sweep(args.sweep, rows=n, seed=args.seed, psi=args.psi, **codes)
    return gan.sample(n, seed=args.seed, psi=args.psi, **codes), None


def assigned(text: str | None) -> dict[str, Any]:
    """What c1=4,c2=-0.5 sets.

    >>> assigned("c1=4,c2=-0.5")
    {'c1': '4', 'c2': '-0.5'}
    """
    found: dict[str, Any] = {}
    for part in text.split(",") if text else []:
        name, equals, value = part.partition("=")
        if not equals or not value:
            raise GansmithError(f'--code {text}: "{part}" sets nothing: write it as c1=4.')
        found[name.strip()] = value.strip()
    return found
