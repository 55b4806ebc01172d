"""One worked example of each finding: train it sick, and write docs/guides/doctor-examples.md with curves and words.

    python benchmarks/doctor/examples.py --out zoo                      the page and its pictures
    python benchmarks/doctor/examples.py --out zoo --names starvation   train only some, and print what the doctor says

Runs of the zoo that play.py has left in the same folder are taken as they are.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import yaml
from PIL import Image
from zoo import BASE, SIDE, Case, cases, data_of, dataset

import gansmith
from gansmith.data import open_data
from gansmith.doctor import Diagnosis, diagnose, from_rows
from gansmith.doctor.findings import Change
from gansmith.doctor.history import read_rows
from gansmith.doctoring import command
from gansmith.engine.records import draw_curves
from gansmith.errors import TrainingError

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"
PAGE, PICTURES = DOCS / "guides" / "doctor-examples.md", DOCS / "images" / "doctor"
COLOURS = 64  # of a picture: enough for lines, and small


class Example(NamedTuple):
    """A training that shows a finding.

    Args:
        problem: that the doctor must find.
        words: what was done to the training.
        case: the training.
        data: makes its data, when they are none of the zoo's.
    """

    problem: str
    words: str
    case: Case
    data: Callable[[], Any] | None = None


def of_zoo(problem: str, key: str, words: str) -> Example:
    """A run of the zoo."""
    return Example(problem, words, next(c for c in cases() if c.key == key))


def own(problem: str, words: str, data: Callable[[], Any] | None = None, **options: Any) -> Example:
    """A run that the zoo does not have, on digits."""
    merged = {"resolution": SIDE, "samples": 60_000} | options
    return Example(problem, words, Case(problem, "digits", 0, merged | {"tick": merged["samples"] // 20}), data)


def few(count: int) -> np.ndarray:
    """So many of the digits, held-out ones among them, as an array of pixels."""
    data = dataset("digits")
    parts = [data.fetch(np.arange(data.spec.count))[0], data.fetch_held_out(np.arange(len(data.held_out)))[0]]
    x = torch.cat(parts)[np.random.default_rng(0).permutation(sum(map(len, parts)))[:count]]
    return ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()


def slow() -> Any:
    """The digits, as if from a drive that takes 50 ms for a batch."""
    data = open_data("digits", resolution=SIDE, progress=False)
    fetch = data.fetch

    def late(*args: Any, **options: Any) -> Any:
        time.sleep(0.05)
        return fetch(*args, **options)

    data.fetch = late
    return data


HEART = BASE["images"] | {"gamma": 0.01, "z_dim": 8}
LEAKY = str(Path(__file__).with_name("leaky.py"))
QUICK: dict[str, Any] = {"recipe": LEAKY, "resolution": SIDE, "samples": 60_000, "tick": 3000, "net": "dcgan"}
QUICK |= {"width": 32, "gamma": 0.1, "z_dim": 32, "batch": 32, "lr": 2e-3, "lr_final": 0.02, "betas": (0.0, 0.99)}

SHORT: dict[str, Any] = {"recipe": "dragan", "lr": 1e-3, "resolution": SIDE, "samples": 25_000, "tick": 1250}

EXAMPLES = (
    of_zoo("data-fault", "digits-data_range-0", "The pixels were divided by 64 before they were written."),
    of_zoo("divergence", "digits-lr_too_high-0", "The learning rate is 0.2."),
    own("memorisation", "100 images, seen 3,000 times.", lambda: few(110), **(HEART | {"samples": 300_000})),
    own("d-overfitting", "540 images and hardly a penalty.", lambda: few(600), **(HEART | {"samples": 200_000})),
    Example(
        "augmentation-leak",
        "D sees every second image upside down, real or not.",
        Case("augmentation-leak", "fashion_mnist", 0, QUICK),
    ),
    of_zoo("d-overpowers-g", "digits-saturating-1", "G has the saturating cost, and D moves five times as often."),
    of_zoo("g-overpowers-d", "grid25-g_too_fast-3", "G's learning rate is 100 times D's."),
    of_zoo("mode-dropping", "digits-huge_gamma-1", "The penalty's weight is 10,000."),
    of_zoo("mode-collapse", "grid25-small_latent-0", "The latent is one number."),
    of_zoo("oscillation", "ring8-momentum-0", "Adam's beta1 is 0.95, and the learning rate 0.01."),
    of_zoo("convergence-failure", "grid25-momentum-2", "Adam's beta1 is 0.95, on a harder set."),
    Example(
        "under-training",
        "The budget is a sixth of what it needs.",
        Case("under-training", "fashion_mnist", 0, SHORT),
    ),
    own("starvation", "The drive takes 50 ms for a batch.", slow, **(BASE["images"] | {"samples": 20_000})),
)


def trained(example: Example, out: Path) -> Path:
    """The run directory of an example; trained when it is not there yet."""
    folder = out / example.case.key
    if (folder / "curves.png").is_file():
        return folder
    options = dict(example.case.options)
    data = example.data() if example.data else data_of(example.case)
    try:
        gansmith.train(options.pop("recipe"), data, out=folder, seed=example.case.seed, quiet=True, **options)
    except TrainingError as error:
        print(f"{example.case.key}: {error}")
    return folder


def judged(folder: Path, problem: str) -> tuple[list[dict[str, Any]], Diagnosis | None]:
    """The records, with marks where a problem begins, and what was said at the last tick that had the wanted one."""
    rows = [r for r in read_rows(folder / "metrics.jsonl")[0] if "doctor" not in r]
    config = yaml.safe_load((folder / "run.yaml").read_text())
    history = from_rows(rows, config)
    said: list[str] = []
    last = None
    for ticks in range(1, len(history) + 1):
        found = diagnose(history.until(ticks), write=lambda change: command_of(config, folder, change))
        new = [f.problem for f in found.findings if f.problem not in said]
        said += new
        rows += [{"seen": found.seen, "mark": name, "event": name} for name in new]
        if problem in [f.problem for f in found.findings]:
            last = replace(found, source=f"runs/{folder.name}")
    return rows, last


def command_of(config: dict[str, Any], folder: Path, change: Change) -> str | None:
    """As the doctor writes it, with the run where a reader has it."""
    return command(config, Path("runs") / folder.name, change)


def section(example: Example, folder: Path) -> str:
    """The example as Markdown; its picture is written beside."""
    rows, found = judged(folder, example.problem)
    if found is None:
        raise SystemExit(f"{folder}: the doctor does not find {example.problem} there")
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{example.problem}.png"
    draw_curves(rows, picture)
    Image.open(picture).convert("RGB").quantize(COLOURS).save(picture, optimize=True)
    text = "\n".join(found.lines())
    return (
        f"## {example.problem}\n\n{example.words}\n\n"
        f"![curves of a training with {example.problem}](../images/doctor/{picture.name})\n\n```text\n{text}\n```\n"
    )


HEAD = """# What each finding looks like

One training for each problem that [the doctor](doctor.md) knows, made sick on purpose: what was done to it, its curves,
and what `gansmith doctor` says. A dotted line marks the tick at which a finding begins. Images are of 16 px, so that
each trains in minutes:

    python benchmarks/doctor/examples.py --out zoo

"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--names", nargs="*", help="only these problems; the page is left alone")
    args = parser.parse_args()
    if args.names:
        for example in (e for e in EXAMPLES if e.problem in args.names):
            found = judged(trained(example, args.out), example.problem)[1]
            print(f"-- {example.problem}: {example.words}", *(found.lines() if found else ["not found"]), sep="\n")
        return
    PAGE.write_text(HEAD + "\n".join(section(e, trained(e, args.out)) for e in EXAMPLES))
    print(f"Written to {PAGE}")


if __name__ == "__main__":
    main()
