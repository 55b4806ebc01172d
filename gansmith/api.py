"""The Python API: train, resume, load. The command line is a thin layer over it.

import gansmith

run = gansmith.train("r3gan", data="photos/", resolution=64)
gan = run.load()
images = gan.sample(16, seed=0)          # (16, 3, 64, 64) in [-1, 1]
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from gansmith.abilities import Generates
from gansmith.core import Recipe
from gansmith.engine import checkpoint
from gansmith.engine.display import count, duration
from gansmith.engine.game import Game
from gansmith.engine.rundir import RunDir
from gansmith.judging import DEFAULTS
from gansmith.model import GAN, load
from gansmith.rehearsal import fitted, rehearse
from gansmith.session import Session, open_session, reopen_session

__all__ = ["GAN", "Run", "info", "load", "plan", "resume", "train"]


@dataclass(frozen=True)
class Run:
    """A training that came to an end or was interrupted.

    Args:
        path: the run directory.
        how: "done", or the signal that stopped it.
        seen: real samples seen.
        seconds: training time, over all sessions of the run.
    """

    path: Path
    how: str
    seen: int
    seconds: float

    def load(self, checkpoint: str = "latest") -> GAN:
        """The trained model."""
        return load(self.path, checkpoint=checkpoint)

    def info(self) -> dict[str, Any]:
        """What the run directory says of itself."""
        return info(self.path)


def train(
    recipe: str | Path | type[Recipe],
    data: Any,
    *,
    out: str | Path | None = None,
    seed: int = 0,
    samples: int | None = None,
    minutes: float | None = None,
    resolution: int | None = None,
    fit: str = "crop",
    background: str = "white",
    channels: int | None = None,
    labels: bool | str | Path | None = None,
    captions: bool | str | Path | None = None,
    pairs: bool | None = None,
    side_by_side: str | None = None,
    degrade: str | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: str = "auto",
    deterministic: bool = False,
    preset: str | None = None,
    tick: int | None = None,
    evaluate_every: int | None = None,
    patience: int | None = None,
    score: str = "fd",
    extractor: str = "auto",
    evaluate_samples: int = 2000,
    act: bool = False,
    quiet: bool = False,
    **fields: Any,
) -> Run:
    """Train a GAN on data and leave a run directory.

    Args:
        recipe: a name from `gansmith list`, the path of a recipe file, or a recipe class.
        data: a known name ("digits", "grid25"), a path (folder, zip, tar, .npy, .npz), an array or a dataset.
        out: the run directory itself; by default the next number under runs/.
        seed: of the weights and of all draws; the same seed repeats the run.
        samples: the budget in real samples; by default chosen for the data.
        minutes: the budget in minutes; with both, the first to be spent ends the training.
        resolution: side of the images in pixels; by default chosen from the data.
        fit: how non-square images become square: "crop", "pad" or "squeeze"; or "window": random windows of them.
        background: colour behind transparent images.
        channels: 1 or 3; by default 1 when all images are grey.
        labels: True = classes by subfolders; or a CSV or JSON file; or one of a known name's labels, as "font".
        captions: True = texts beside the images; or a CSV or JSON file.
        pairs: True or False = A and B in the data are pairs, or two domains; by default as their names match.
        side_by_side: "AB" or "BA" = each picture holds two images, from left to right.
        degrade: make pairs of single images by a degradation, as "downscale 4".
        device: "auto", "cpu", "cuda" or "mps".
        devices: processes on this machine.
        nodes: machines, each of which starts this call (torchrun, SLURM).
        precision: "auto", "32" or "bf16" (mixed).
        deterministic: refuse operations that can differ between two runs.
        preset: a named published configuration of the recipe; nothing is automatic then.
        tick: samples between two checkpoints, records and pictures.
        evaluate_every: samples between two scores of the generator, whose best checkpoint is kept; None = no scores
            (exactly known sets of points are scored at every tick).
        patience: end the training when the score has not improved beyond its noise for so many samples.
        score: "fd" (Fréchet distance) or "kid" (kernel distance).
        extractor: of the features that the score compares: "auto", "judge", "efficientnet_lite0", "pixels", ...
        evaluate_samples: generated samples that a score looks at.
        act: let the doctor apply its first prescription, from the last checkpoint that was well.
        quiet: print nothing.
        fields: the recipe's own fields (`gansmith describe RECIPE`).

    Raises:
        GansmithError: bad input of any kind; TrainingError: the training diverged in spite of retries.
    """
    given = fields | ({} if samples is None else {"samples": samples})
    options: dict[str, Any] = {"resolution": resolution, "fit": fit, "background": background, "channels": channels}
    options |= {"labels": labels, "captions": captions}
    options |= {"pairs": pairs, "side_by_side": side_by_side, "degrade": degrade}
    scored: dict[str, Any] = {"evaluate_every": evaluate_every, "patience": patience, "score": score}
    session = open_session(
        recipe,
        data,
        options=options,
        given=given,
        seed=seed,
        minutes=minutes,
        device=device,
        devices=devices,
        nodes=nodes,
        precision=precision,
        deterministic=deterministic,
        preset=preset,
        tick=tick,
        evaluation=scored | {"extractor": extractor, "evaluate_samples": evaluate_samples},
        act=act,
        quiet=quiet,
    )
    with session.place.told_once():
        game = (session := fitted(session)).game()
        return _play(session, session.create(out), game)


def plan(recipe: str | Path | type[Recipe], data: Any, *, samples: int | None = None, **options: Any) -> dict[str, Any]:
    """What `train` with these arguments would do, and how long it would take here; writes nothing.

    Plays a few rounds to measure. Takes the arguments of `train`.
    """
    loading = {"fit": "crop", "background": "white"} | {k: options.pop(k) for k in _LOADING if k in options}
    common = {k: options.pop(k) for k in _SESSION if k in options}
    common["evaluation"] = {k: options.pop(k) for k in DEFAULTS if k in options}
    options.pop("out", None)
    given = options | ({} if samples is None else {"samples": samples})
    session = open_session(recipe, data, options=loading, given=given, **common)
    return rehearse(fitted(session))


_LOADING = ("resolution", "fit", "background", "channels", "labels", "captions", "pairs", "side_by_side", "degrade")

_SESSION = (
    "seed",
    "minutes",
    "device",
    "devices",
    "nodes",
    "precision",
    "deterministic",
    "preset",
    "tick",
    "act",
    "quiet",
)


def resume(
    run: str | Path,
    *,
    samples: int | None = None,
    minutes: float | None = None,
    data: Any = None,
    device: str | None = None,
    devices: int | None = None,
    patience: int | None = None,
    quiet: bool = False,
) -> Run:
    """Go on with an interrupted run from its latest checkpoint, exactly as if it had not stopped.

    Args:
        run: the run directory.
        samples: a new budget in samples, to train longer than planned.
        minutes: a new budget in minutes, counted from the run's first start.
        data: where the data are now; needed when the run was trained on an array in Python.
        device: play on another kind of device than before.
        devices: play on another number of processes than before.
        patience: another span without improvement that ends the training, in samples.
        quiet: print nothing.

    Raises:
        GansmithError: no run there, the data changed, a damaged checkpoint.
    """
    folder = RunDir.open(run)
    session = reopen_session(
        folder,
        samples=samples,
        minutes=minutes,
        data=data,
        device=device,
        devices=devices,
        patience=patience,
        quiet=quiet,
    )
    with session.place.told_once():
        return _play(session, folder, session.game())


def _play(session: Session, run: RunDir, game: Game) -> Run:
    with _determinism(session.config["deterministic"]), session.locked(run):
        if session.place.first:
            run.write_config(session.config)
        outcome = session.trainer(run, game).play()
    seen = game.clock.seen
    if outcome.how == "done":
        session.display.say(f"Done: {count(seen)} samples in {duration(outcome.seconds)}. Everything is in {run.path}")
        if isinstance(game.recipe, Generates):
            session.display.say(f"Draw from it: gansmith sample {run.path} -n 64")
    return Run(run.path, outcome.how, seen, outcome.seconds)


@contextmanager
def _determinism(on: bool) -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark
    if on:  # cuBLAS asks for it; it counts only before the first CUDA matrix product of the process
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(on or before[0])
    torch.backends.cudnn.benchmark = not on
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        torch.backends.cudnn.benchmark = before[1]


def _next(run: RunDir, config: dict[str, Any], done: bool) -> str:
    """What one would type now."""
    if done and config["data"]["spec"].get("target"):  # translates
        return f"gansmith resume {run.path} --samples {2 * int(config['fields']['samples'])}"
    return f"gansmith sample {run.path} -n 64" if done else f"gansmith resume {run.path}"


def info(run: str | Path) -> dict[str, Any]:
    """What a run directory says of itself: recipe, fields, data, progress, checkpoints, how to go on."""
    folder = RunDir.open(run)
    config = folder.read_config()
    there = checkpoint.all_in(folder.checkpoints)
    state = checkpoint.load_state(there[-1]) if there else {}
    done = state.get("progress", 0.0) >= 1.0 or state.get("stopped") is not None
    return {
        "path": str(folder.path),
        **config,
        "state": state,
        "done": done,
        "checkpoints": [p.name for p in there],
        "best": folder.best(),
        "next": _next(folder, config, done),
    }
