"""Train the sick zoo and keep, for each run, its records and what is true of its samples.

    python benchmarks/doctor/play.py --out zoo                     all of it: hours
    python benchmarks/doctor/play.py --out zoo --sets ring8 --seeds 1

A run that is there already is not trained again, so an interrupted call goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread a run, as many runs as cores

from zoo import SEEDS, SETS, Case, cases, data_of, dataset, truth

import gansmith
from gansmith.errors import TrainingError


def play(case: Case, out: Path) -> dict[str, object]:
    """Train one case and measure its truth; the records and truth.json stay, checkpoints go."""
    folder = out / case.key
    if (folder / "truth.json").is_file():
        return json.loads((folder / "truth.json").read_text())
    shutil.rmtree(folder, ignore_errors=True)
    started, failed = time.perf_counter(), ""
    options = dict(case.options)
    try:
        gansmith.train(options.pop("recipe"), data_of(case), out=folder, seed=case.seed, quiet=True, **options)
    except TrainingError as error:
        failed = str(error)
    found = truth(folder, case)
    facts = {
        "name": case.name,
        "data": case.data,
        "seed": case.seed,
        "failed": failed,
        "seconds": round(time.perf_counter() - started, 1),
        **found._asdict(),
    }
    (folder / "truth.json").write_text(json.dumps(facts))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for picture in sorted((folder / "samples").glob("0*.png"))[:-1]:
        picture.unlink()
    return facts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=SETS)
    parser.add_argument("--names", nargs="*", help="faults and losses; by default all")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    args = parser.parse_args()
    todo = [c for c in cases(tuple(args.sets), args.seeds) if not args.names or c.name in args.names]
    for name in args.sets:
        dataset(name)  # decoded once, before the processes ask for it
    with ProcessPoolExecutor(args.jobs) as pool:
        jobs = {pool.submit(play, case, args.out): case for case in todo}
        for i, job in enumerate(as_completed(jobs), 1):
            case, facts = jobs[job], job.result()
            print(
                f"{i}/{len(todo)} {case.key}: modes {facts['modes']:.2f}, coverage {facts['coverage']:.2f}, "
                f"precision {facts['precision']:.2f}, {facts['seconds']} s {facts['failed'][:60]}",
                flush=True,
            )


if __name__ == "__main__":
    sys.exit(main())
