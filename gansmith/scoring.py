"""Scoring from Python: a run or a folder of samples, its data, an extractor and the measures brought together.

import gansmith

found = gansmith.evaluate("runs/00000-dcgan-digits")
found["verdict"]["summary"]
"""

from __future__ import annotations

import datetime
import hashlib
import inspect
import io
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import gansmith
from gansmith import model
from gansmith.data import Dataset, open_data
from gansmith.engine import devices
from gansmith.engine.display import Display, display, duration
from gansmith.engine.files import explained, write_file
from gansmith.engine.rundir import RunDir
from gansmith.errors import GansmithError
from gansmith.evaluation.compare import Row
from gansmith.evaluation.compare import compare as compare_evaluations
from gansmith.evaluation.evaluate import ENOUGH, Evaluation, Job
from gansmith.evaluation.evaluate import evaluate as run_job
from gansmith.evaluation.features.choose import choose_extractor
from gansmith.evaluation.features.store import FeatureStore
from gansmith.evaluation.report import read_evaluation, write_report
from gansmith.evaluation.samples import Samples, reference, whole
from gansmith.evaluation.verdict import verdict
from gansmith.places import cache_folder

FORMAT = 1


def evaluate(
    run: str | Path | None = None,
    *,
    samples: str | Path | np.ndarray | None = None,
    against: Any = None,
    n: int | None = None,
    n_real: int | None = None,
    extractor: str = "auto",
    weights: str | Path | None = None,
    checkpoint: str = "latest",
    raw: bool = False,
    seed: int = 0,
    resolution: int | None = None,
    channels: int | None = None,
    device: str = "cpu",
    out: str | Path | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Score a trained run, or samples of any origin, and leave evaluation.json and report.html.

    Args:
        run: a run directory.
        samples: instead of a run: a folder of images, an archive or an array file of samples.
        against: the real data; by default those of the run. Needed with `samples`.
        n: generated samples; by default as many as real ones can stand in for, at most 10,000.
        n_real: real samples that they are compared with; by default as many.
        extractor: "auto", "pixels", "judge", "efficientnet_lite0", "inception_2015", "dinov2_vitl14", ...
        weights: file or folder with the extractor's weights.
        checkpoint: of the run: "latest", "best" or a name.
        raw: the generator as trained, not its average.
        seed: of latents, subsets and projections.
        resolution: side that samples and data are brought to, when they differ.
        channels: 1 or 3: likewise.
        device: where samples and features are computed.
        out: folder for the results; by default the run directory, or evaluation-NAME for samples.
        quiet: print nothing.

    Returns:
        What evaluation.json holds.

    Raises:
        GansmithError: nothing to score, samples that do not fit the data, too few of them, missing weights.
    """
    if (run is None) == (samples is None):
        raise GansmithError("Give one of the two: a run directory, or samples and the data to hold them against.")
    shown = display(quiet)
    try:
        if run is not None:
            subject, fake, dataset = _of_run(run, against, n, checkpoint, raw, seed, device)
        else:
            subject, fake, dataset = _of_samples(samples, against, resolution, channels)
        folder = Path(out).expanduser() if out is not None else _folder(subject)
        with explained(folder):
            folder.mkdir(parents=True, exist_ok=True)
        looker = choose_extractor(extractor, dataset, cache_folder() / "judges", weights, device, shown.say)
        job = Job(
            fake,
            reference(dataset, ENOUGH),
            looker,
            FeatureStore(folder / "features"),
            FeatureStore(cache_folder() / "features"),
            n,
            n_real,
            seed,
            lambda what, done, total: shown.update(done / max(total, 1), what),
        )
        given = {"against": against, "n": n, "n_real": n_real, "extractor": extractor, "weights": weights, "raw": raw}
        given |= {"checkpoint": checkpoint, "seed": seed, "resolution": resolution, "channels": channels}
        facts = finish(run_job(job), job, subject | {"command": command(subject, given)}, dataset, folder)
    finally:
        shown.close()
    _tell(facts, folder, shown)
    return facts


def command(subject: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What to type for the same evaluation once more; arguments with their default value are left out."""
    defaults = {name: p.default for name, p in inspect.signature(evaluate).parameters.items()}
    words = ["gansmith", "evaluate", *(["--samples"] if subject["kind"] == "folder" else []), subject["path"]]
    for name, value in given.items():
        if isinstance(value, (str, int, Path)) and value != defaults[name]:
            flag = "-n" if name == "n" else f"--{name.replace('_', '-')}"
            words += [flag] if value is True else [flag, str(value)]
    return shlex.join(words)


def compare(a: str | Path, b: str | Path) -> list[Row]:
    """Compare two evaluated runs (or folders with an evaluation.json), score by score.

    Raises:
        GansmithError: one was not evaluated, or no score of theirs was made in the same way.
    """
    return compare_evaluations(read_evaluation(_home(a)), read_evaluation(_home(b)))


def report(run: str | Path) -> Path:
    """Write report.html anew from what an evaluation left. Raises GansmithError when there is none."""
    return write_report(_home(run))


def finish(found: Evaluation, job: Job, subject: dict[str, Any], dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Complete the facts, write evaluation.json, evaluation.npz and report.html."""
    spec = dataset.spec
    facts = {
        "format": FORMAT,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": devices.describe(devices.find_device("cpu")),
        "versions": {"gansmith": gansmith.__version__, "torch": str(torch.__version__)},
        "subject": subject,
        "command": subject.pop("command"),
        "data": {
            "name": spec.name,
            "source": subject.pop("source"),
            "fingerprint": dataset.fingerprint,
            "count": job.real.train.count,
            "held_out_count": job.real.held_out.count,
            "shape": list(spec.shape),
            "kind": spec.kind,
            "classes": list(spec.classes),
        },
        **found.facts,
    }
    facts["verdict"] = verdict(facts)
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **found.arrays)
    text = json.dumps(facts, indent=1, allow_nan=False)
    write_file(folder / "evaluation.npz", lambda temporary: temporary.write_bytes(content.getvalue()))
    write_file(folder / "evaluation.json", lambda temporary: temporary.write_text(text, encoding="utf-8"))
    write_report(folder)
    return facts


def _home(path: str | Path) -> Path:
    """The folder of an evaluation, named by itself or by its evaluation.json."""
    found = Path(path).expanduser()
    return found.parent if found.name == "evaluation.json" else found


def _folder(subject: Mapping[str, Any]) -> Path:
    path = Path(subject["path"])
    return path if subject["kind"] == "run" else Path(f"evaluation-{path.name.partition('.')[0]}")


def _of_run(
    run: str | Path, against: Any, n: int | None, checkpoint: str, raw: bool, seed: int, device: str
) -> tuple[dict[str, Any], Samples, Dataset]:
    """What a run is, its samples, and its data."""
    folder = RunDir.open(run)
    config, path = folder.read_config(), folder.checkpoint(checkpoint)
    gan = model.load_checkpoint(folder, path, raw, device, "32")
    source = against if against is not None else config["data"]["source"]
    if source is None:
        raise GansmithError(f"{run} was trained on an array: give the data again with against.")
    dataset = source if isinstance(source, Dataset) else open_data(source, **config["data"]["options"])
    if against is None and dataset.fingerprint != config["data"]["fingerprint"]:
        raise GansmithError(
            f"The data at {source} are not those that {run} was trained on, so nothing could be said of copies: "
            "restore them, or name the data to score against with --against."
        )
    if dataset.spec.shape != gan.spec.shape:
        raise GansmithError(f"{run} draws {gan.spec.shape}, the data hold {dataset.spec.shape}: give other data.")
    weights = hashlib.sha256((path / "nets.safetensors").read_bytes()).hexdigest()[:16]
    labels = _labels(gan, dataset, n or ENOUGH, seed)
    latents = gan.draw_latents(n or ENOUGH, seed, psi=1.0, **labels)
    key = f"run {weights} raw={raw} seed={seed}" + f" labels of {dataset.fingerprint}" * bool(labels)
    subject = {
        "kind": "run",
        "path": str(run),
        "recipe": config["recipe"],
        "checkpoint": path.name,
        "seen": gan.seen,
        "fingerprint": key,
        "trained_on_data": dataset.fingerprint == config["data"]["fingerprint"],
        "source": source if isinstance(source, str) else None,
    }

    def fetch(index: np.ndarray) -> Tensor:
        drawn = gan.generate(latents[torch.from_numpy(index)])
        return drawn.clamp(-1, 1) if gan.spec.kind == "image" else drawn

    label = gan.codes.get("label")
    asked = None if label is None else latents[:, label.start : label.start + label.size].argmax(1)
    return subject, Samples(str(run), key, len(latents), fetch, asked), dataset


def _labels(gan: model.GAN, dataset: Dataset, n: int, seed: int) -> dict[str, Tensor]:
    """Labels (n,) in the proportions of the data, for a model that draws classes; nothing for others."""
    counts = torch.tensor(dataset.spec.counts, dtype=torch.float64)
    if "label" not in gan.codes or len(counts) != gan.codes["label"].size:
        return {}
    return {"label": torch.multinomial(counts, n, replacement=True, generator=torch.Generator().manual_seed(seed))}


def _of_samples(
    samples: Any, against: Any, resolution: int | None, channels: int | None
) -> tuple[dict[str, Any], Samples, Dataset]:
    """What samples of any origin are, the samples, and the data to hold them against."""
    if against is None:
        raise GansmithError("Samples need real data to be scored against: add --against DATA.")
    dataset = against if isinstance(against, Dataset) else open_data(against, resolution=resolution, channels=channels)
    if dataset.spec.kind != "image":
        raise GansmithError(f"{dataset.spec.name} holds {dataset.spec.kind}; samples can be scored against images.")
    c, side, _ = dataset.spec.shape
    found = open_data(samples, resolution=side, channels=channels)
    title, report = found.spec.name, found.report
    if found.spec.kind != "image":
        raise GansmithError(f"{title} holds {found.spec.kind}: give samples of one kind, such as one of its folders.")
    if resolution is None and {*report.width, *report.height} != {side}:
        sizes = f"{report.width[0]} x {report.height[0]} to {report.width[2]} x {report.height[2]}"
        raise GansmithError(
            f'The samples in "{title}" are {sizes} px, the data {side} x {side} px: give --resolution {side} to bring '
            "both to one size by the same filter."
        )
    if found.spec.shape[0] != c:
        kinds = {1: "grey", 3: "in colour"}
        raise GansmithError(
            f'The samples in "{title}" are {kinds[found.spec.shape[0]]}, the data {kinds[c]}: give --channels 1 to '
            "compare both in grey."
        )
    if report.corrupt:
        name, why = report.corrupt[0]
        raise GansmithError(
            f'{len(report.corrupt)} of the samples cannot be read, first "{name}" ({why}): remove them.'
        )
    path = str(samples) if isinstance(samples, (str, Path)) else "array"
    subject = {"kind": "folder", "path": path, "recipe": None, "checkpoint": None, "seen": None}
    subject |= {"fingerprint": found.fingerprint, "source": str(against) if isinstance(against, (str, Path)) else None}
    return subject, whole(reference(found)), dataset


def _tell(facts: Mapping[str, Any], folder: Path, shown: Display) -> None:
    """The verdict, the scores and where everything is."""
    shown.say(facts["verdict"]["summary"])
    for answer in facts["verdict"]["answers"]:
        shown.say("\n".join([f"\n{answer['title']}", *(f"  {line}" for line in answer["text"].splitlines())]))
    shown.say("")
    shown.say(f"{duration(facts['seconds'])}. Scores: {folder / 'evaluation.json'}  Report: {folder / 'report.html'}")
