"""Measure the image families at one CPU budget on four sets, and write the table of docs/recipes/index.md.

    python docs/measure_families.py                                   # 72 trainings of 3 minutes, one a core
    python docs/measure_families.py --only stylegan2 --sets letters   # some of them; the table keeps the others

Every training has its automatic settings, one thread, and the same minutes; all cores but those that --workers leaves
free train at once. 2,000 samples of each are compared with 2,000 training images by the kernel distance (KID) in the
features of efficientnet_lite0. What is there already is not measured again (--again does). Raw figures go to
docs/measured_families.json, pictures of seed 0 to docs/images/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import torch
from measure import DOCS, Entry, fill, keep, made

import gansmith
from gansmith.data import open_data
from gansmith.engine import devices
from gansmith.engine.display import count
from gansmith.engine.pictures import picture
from gansmith.errors import GansmithError, TrainingError
from gansmith.evaluation import kernel_distance
from gansmith.evaluation.features.choose import choose_extractor
from gansmith.places import cache_folder

RECIPES = ("dcgan", "r3gan", "progan", "stylegan", "stylegan2", "biggan")
SETS = {"emoji 32": ("emoji", 32), "emoji 64": ("emoji", 64), "letters 32": ("letters", 32)}
SETS |= {"fashion_mnist 32": ("fashion_mnist", 32)}
EXTRACTOR, COMPARED, SHOWN = "efficientnet_lite0", 2000, 64
PAGE, FIGURES = DOCS / "recipes" / "index.md", DOCS / "measured_families.json"


class Job(NamedTuple):
    """One training, its key in the file of figures, and the minutes that it gets."""

    recipe: str
    where: str
    seed: int
    minutes: float

    def __str__(self) -> str:
        return f"{self.recipe} on {self.where}, seed {self.seed}"


def features(images: torch.Tensor, name: str, resolution: int) -> torch.Tensor:
    """Of images (N, C, H, W) in [-1, 1], each (N, 1280)."""
    data = open_data(name, resolution=resolution, progress=False)
    found = choose_extractor(EXTRACTOR, data, cache_folder() / "judges", None, "cpu", lambda text: None)
    return found.features(images).double()


@cache
def real_features(name: str, resolution: int) -> torch.Tensor:
    """Of training images chosen at random."""
    data = open_data(name, resolution=resolution, progress=False)
    order = torch.randperm(data.spec.count, generator=torch.Generator().manual_seed(0))[:COMPARED]
    return features(data.fetch(order.sort().values.numpy(), ("x",))[0], name, resolution)


def measure(job: Job) -> Entry:
    """Train, score and, for seed 0, draw."""
    torch.set_num_threads(1)
    name, resolution = SETS[job.where]
    with tempfile.TemporaryDirectory() as folder:
        run = gansmith.train(
            job.recipe,
            name,
            resolution=resolution,
            minutes=job.minutes,
            seed=job.seed,
            device="cpu",
            quiet=True,
            out=Path(folder) / "run",
        )
        samples = run.load().sample(COMPARED, seed=job.seed)
        facts = {"seen": run.seen, "seconds": round(run.seconds, 1), "fields": run.info()["fields"]}
    if job.seed == 0:
        keep(picture(samples[:SHOWN]), DOCS / "images" / f"{job.recipe}-{job.where.replace(' ', '-')}.png", 256)
    kid = kernel_distance(features(samples, name, resolution), real_features(name, resolution))
    machine = devices.describe(devices.find_device("cpu"))
    versions = {"torch": str(torch.__version__), "gansmith": gansmith.__version__}
    facts |= {"date": datetime.date.today().isoformat(), "machine": machine, "versions": versions}
    return facts | {"kid": kid, "minutes": job.minutes}


def table(found: dict[str, dict[str, Entry]], minutes: float) -> str:
    """The page's part."""
    lines = ["", f"| recipe | {' | '.join(SETS)} |", f"|---|{'---|' * len(SETS)}"]
    for recipe in RECIPES:
        cells = [cell([*found.get(f"{recipe} on {where}", {}).values()]) for where in SETS]
        lines.append(f"| [{recipe}]({recipe}.md) | {' | '.join(cells)} |")
    what = f"KID x 1000 (lower is better): mean of the seeds, their range, and the samples seen in {minutes:g} minutes"
    runs = [run for seeds in found.values() for run in seeds.values()]
    where = "; ".join(sorted({f"{run['date']}, {made(run)}" for run in runs}))
    told = f"{what} on one thread. {where}. Repeat: `python docs/measure_families.py`."
    return "\n".join([*lines, "", told, "", ""])


def cell(runs: list[Entry]) -> str:
    if not runs:
        return "-"
    kids = [1000 * run["kid"] for run in runs]
    seen = count(mean(run["seen"] for run in runs))
    if len(runs) == 1:
        return f"{kids[0]:.0f} (one seed; {seen})"
    seeds = "" if len(runs) == 3 else f"; {len(runs)} seeds"
    return f"{mean(kids):.0f} ({min(kids):.0f} to {max(kids):.0f}; {seen}{seeds})"


def jobs(args: argparse.Namespace, found: dict[str, dict[str, Entry]]) -> Iterator[Job]:
    """What is to be done, seed by seed, so that an early end leaves a whole table of fewer seeds."""
    for seed in range(args.seeds):
        for where in SETS:
            for recipe in RECIPES:
                wanted = recipe in args.only and SETS[where][0] in args.sets
                known = found.get(f"{recipe} on {where}", {}).get(str(seed), {}).get("minutes") == args.minutes
                if wanted and (args.again or not known):
                    yield Job(recipe, where, seed, args.minutes)


def main() -> int:
    """Measure, writing after each training; the exit code is 1 when one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="*", default=list(RECIPES), choices=RECIPES, help="recipes; default: all")
    names = sorted({name for name, _ in SETS.values()})
    parser.add_argument("--sets", nargs="*", default=names, choices=names, help="sets of images; default: all")
    parser.add_argument("--minutes", type=float, default=3.0, help="of each training (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0 on (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="trainings at once; default: cores")
    parser.add_argument("--again", action="store_true", help="also what is there already")
    args = parser.parse_args()
    found = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    failed = 0
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        for future in as_completed(waiting := {pool.submit(measure, job): job for job in jobs(args, found)}):
            job = waiting[future]
            try:
                found.setdefault(f"{job.recipe} on {job.where}", {})[str(job.seed)] = future.result()
            except (GansmithError, TrainingError) as error:
                failed = 1
                print(f"{job}: {error}", file=sys.stderr, flush=True)
                continue
            print(f"{job}: KID {future.result()['kid']:.4f}, {future.result()['seen']:,} samples seen", flush=True)
            FIGURES.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
            fill(PAGE, table(found, args.minutes), "families")
    return failed


if __name__ == "__main__":
    sys.exit(main())
