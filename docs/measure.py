"""Repeat the measured results of the recipes' pages: train, judge, draw, and write the pages' "Measured" sections.

    python docs/measure.py                       # all recipes, one seed: a few minutes each
    python docs/measure.py wgan r3gan --seeds 3

A recipe that learns images is trained on digits for `--minutes` and judged by tests/learns/judge.py; one that learns
points is trained on grid25 with its default budget, and its modes are counted. Raw figures go to docs/measured.json,
pictures to docs/images/.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import tempfile
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from PIL import Image

import gansmith
from gansmith import recipes
from gansmith.data import open_data
from gansmith.engine import devices, records
from gansmith.engine.display import count
from gansmith.engine.pictures import picture, save_picture
from gansmith.errors import GansmithError, TrainingError
from gansmith.model import GAN

DOCS = Path(__file__).resolve().parent
KINDS = {"digits": "image", "grid25": "points"}
MORE = {  # further runs on digits that a page speaks of
    "dcgan": {"the preset r1": {"preset": "r1"}, "no BatchNorm in G": {"norm_g": "none"}},
    "wgan_gp": {"no BatchNorm in G": {"norm_g": "none"}},
}
DRAWN = {"digits": 2500, "grid25": 10_000}  # samples that are judged
SHOWN, SHOWN_POINTS, PICTURE_BYTES = 64, 4000, 60_000
Entry = dict[str, Any]


def measure(name: str, minutes: float, seeds: int) -> Entry:
    """Everything about one recipe: what was run, where, and what came of it."""
    found: Entry = {
        "date": datetime.date.today().isoformat(),
        "machine": devices.describe(devices.find_device("auto")),
        "versions": {"torch": str(torch.__version__), "gansmith": gansmith.__version__},
        "script": f"python docs/measure.py {name}"
        + f" --minutes {minutes:g}" * (minutes != 2)
        + f" --seeds {seeds}" * (seeds > 1),
    }
    for data in (d for d, kind in KINDS.items() if kind in recipes.find(name).kinds):
        found[data] = train(name, data, {"minutes": minutes} if data == "digits" else {}, seeds)
        print(f"{name} on {data}: {result(data, found[data]['runs'])}", flush=True)
    found["more"] = {}
    for title, fields in MORE.get(name, {}).items():
        found["more"][title] = train(name, "digits", {"minutes": minutes, **fields}, seeds)
        print(f"{name}, {title}: {result('digits', found['more'][title]['runs'])}", flush=True)
    return found


def train(name: str, data: str, budget: dict[str, Any], seeds: int, pictured: bool = True) -> Entry:
    """Train with seeds 0, 1, ... and judge each; the picture and the losses shown are seed 0's."""
    runs, settings, shown = [], {}, ""
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(seeds):
            run = gansmith.train(name, data, seed=seed, quiet=True, out=Path(folder) / str(seed), **budget)
            if run.how != "done":
                sys.exit(f"stopped by {run.how}")
            gan = run.load()
            samples = gan.sample(DRAWN[data], seed=seed, batch=500)
            settings = settings or {key: run.info()[key] for key in ("precision", "fields")}
            last = [r for r in records.read(run.path / "metrics.jsonl") if "event" not in r][-1]
            losses = {k: v for k, v in last.items() if "/" in k and "grad_norm" not in k and "score/" not in k}
            spent = {"seed": seed, "seen": run.seen, "seconds": round(run.seconds, 1)}
            runs.append(spent | verdict(data, samples) | {"losses": losses})
            if seed == 0 and pictured:
                shown = draw(gan, samples, data, DOCS / "images" / image_name(name, data, budget))
    options = "".join(f" --{key.replace('_', '-')} {value}" for key, value in budget.items())
    return {
        "command": f"gansmith train {name} --data {data}{options}",
        **settings,
        "image": image_name(name, data, budget),
        "shown": shown,
        "runs": runs,
    }


def image_name(name: str, data: str, budget: dict[str, Any]) -> str:
    """The picture's file: recipe, data, and what is unusual about the run."""
    return "-".join([name, data, *(f"{k}-{v}" for k, v in budget.items() if k != "minutes")]) + ".png"


@cache
def judge() -> Any:
    """The judge of digits, trained once."""
    sys.path.insert(0, str(DOCS.parent / "tests" / "learns"))
    from judge import Judge

    return Judge()


def verdict(data: str, samples: torch.Tensor) -> dict[str, float]:
    """The judge's figures for digits; modes and share of high quality for points."""
    if data == "grid25":
        return dict(zip(("modes", "hq"), open_data(data).coverage(samples), strict=True))
    found = judge().verdict(samples)
    return {"rarest": float(found.shares.min()), "confident": found.confident, "distance": found.distance}


def draw(gan: GAN, samples: torch.Tensor, data: str, path: Path) -> str:
    """A picture with as many colours as its size on disk allows, and what is on it.

    Where images have labels or codes, the first one's values stand in columns, for several latents.
    """
    if data == "grid25":
        torch.manual_seed(0)
        image = picture(samples[:SHOWN_POINTS], open_data(data).draw(SHOWN_POINTS)).convert("RGB")
        what = f"{SHOWN_POINTS} samples over real points"
    elif gan.codes:
        code = next(iter(gan.codes))
        images, columns = gan.sweep(code)
        image, what = picture(images, columns=columns), f"a column for each value of {code}, a row for each latent"
    else:
        image, what = picture(samples[:SHOWN]), f"{SHOWN} samples"
    keep(image, path)
    return what


def keep(image: Image.Image, path: Path, most: int = 32) -> None:
    """Save a picture with as many colours, at most `most`, as PICTURE_BYTES on disk allow."""
    path.parent.mkdir(exist_ok=True)
    colours = most
    while True:
        save_picture(image.quantize(colours, dither=Image.Dither.NONE), path)
        if path.stat().st_size < PICTURE_BYTES or colours <= 4:
            return
        colours //= 2


def result(data: str, runs: list[Entry]) -> str:
    """The figures in words: the mean over seeds, and the range when there are several."""

    def over(key: str, form: str) -> str:
        values = [run[key] for run in runs]
        text = form.format(round(mean(values), 4))
        return text if len(values) == 1 else f"{text} ({form.format(min(values))} to {form.format(max(values))})"

    if data == "grid25":
        return f"{over('modes', '{:.3g}')} of 25 modes, {over('hq', '{:.0%}')} of high quality"
    sure, far = over("confident", "{:.0%}"), over("distance", "{:.2f}")
    return f"rarest class {over('rarest', '{:.1%}')}, confident {sure} of real, distance {far} x"


def section(name: str, found: Entry) -> str:
    """What a recipe's page says between its markers."""
    lines = ["", "| data | command | samples seen | minutes | result | seeds |", "|---|---|---|---|---|---|"]
    parts = {data: (data, found[data]) for data in KINDS if data in found}
    parts |= {f"digits, {title}": ("digits", part) for title, part in found["more"].items()}
    for title, (data, part) in parts.items():
        runs = part["runs"]
        spent = f"{count(mean(r['seen'] for r in runs))} | {mean(r['seconds'] for r in runs) / 60:.1f}"
        lines.append(f"| {title} | `{part['command']}` | {spent} | {result(data, runs)} | {len(runs)} |")
    for title, (_, part) in parts.items():
        losses = ", ".join(f"`{k}` {v:.3g}" for k, v in part["runs"][0]["losses"].items())
        lines += ["", f"Losses at the end on {title} (means over the last tick, seed 0): {losses}.", ""]
        lines.append(f"![{name} on {title}: {part['shown']}, seed 0](../images/{part['image']})")
    return "\n".join([*lines, "", f"{found['date']}, {made(found)}. Repeat: `{found['script']}`.", "", ""])


def made(found: Entry) -> str:
    """Machine and versions."""
    return f"{found['machine']}, PyTorch {found['versions']['torch']}, gansmith {found['versions']['gansmith']}"


def overview(all_found: dict[str, Entry]) -> str:
    """The table that compares the recipes, for docs/recipes/index.md."""
    lines = ["", "| recipe | digits | grid25 | measured |", "|---|---|---|---|"]
    for name, found in sorted(all_found.items()):
        cells = [result(data, found[data]["runs"]) if data in found else "-" for data in KINDS]
        when = f"{found['date']}, {found['machine'].partition(',')[0]}"
        lines.append(f"| [{name}]({name}.md) | {cells[0]} | {cells[1]} | {when} |")
    where = "; ".join(sorted({made(found) for found in all_found.values()}))
    apart = " Equal minutes are not equal work there: compare rows of one machine." * (";" in where)
    return "\n".join([*lines, "", f"Measured on: {where}.{apart}", "", ""])


def fill(page: Path, text: str, word: str = "measured") -> None:
    """Put text between the markers of a page."""
    before = page.read_text(encoding="utf-8")
    markers = re.compile(rf"(<!-- {word}:begin -->\n).*?(<!-- {word}:end -->)", re.DOTALL)
    if not markers.search(before):
        raise GansmithError(f"{page} has no markers <!-- {word}:begin --> and <!-- {word}:end -->.")
    page.write_text(markers.sub(lambda match: match[1] + text + match[2], before), encoding="utf-8")


def main(argv: list[str] | None = None) -> int:
    """Measure the named recipes (default: all), writing after each; the exit code is 1 when a training failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help="recipes; default: all")
    parser.add_argument("--minutes", type=float, default=2.0, help="of training on digits (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from 0 on (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.minutes <= 0 or args.seeds < 1:
        parser.error("give --minutes above 0 and --seeds of at least 1")
    figures = DOCS / "measured.json"
    all_found = json.loads(figures.read_text(encoding="utf-8")) if figures.exists() else {}
    failed = 0
    for name in args.names or recipes.names():
        try:
            all_found[name] = measure(name, args.minutes, args.seeds)
            figures.write_text(json.dumps(all_found, indent=1) + "\n", encoding="utf-8")
            fill(DOCS / "recipes" / f"{name}.md", section(name, all_found[name]))
            fill(DOCS / "recipes" / "index.md", overview(all_found))
        except (GansmithError, TrainingError) as error:
            failed = 1
            print(f"{name}: {error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
