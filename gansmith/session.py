"""A training session: data, recipe, device and settings brought together, and written to run.yaml."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

import gansmith
from gansmith import recipes
from gansmith.auto import settle
from gansmith.core import Recipe
from gansmith.data import Dataset, Stream, open_data
from gansmith.engine import checkpoint, devices
from gansmith.engine.display import Display, Silent, count, display, duration
from gansmith.engine.game import Game
from gansmith.engine.rundir import RunDir
from gansmith.engine.train import SHOWN, SHOWN_POINTS, Budget, Score, Trainer
from gansmith.errors import GansmithError

FORMAT = 1
REHEARSAL = 4  # rounds


@dataclass
class Session:
    """Everything that a training needs, resolved.

    Args:
        config: what run.yaml holds.
        recipe: with all fields, for all processes together.
        dataset: the opened data.
        place: device and processes.
        display: where progress is told.
    """

    config: dict[str, Any]
    recipe: Recipe
    dataset: Dataset
    place: devices.Place
    display: Display

    def create(self, out: str | Path | None) -> RunDir:
        """Make the run directory and write run.yaml; every process learns where it is."""
        path, problem = None, None
        if self.place.first:
            try:
                run = RunDir.create(out, f"{Path(self.config['recipe']).stem}-{self.dataset.spec.name}")
                run.write_config(self.config)
                path = str(run.path)
            except GansmithError as e:
                problem = str(e)
        path, problem = self.place.fabric.broadcast((path, problem))
        if problem is not None:
            raise GansmithError(problem)
        return RunDir(path)

    @contextmanager
    def locked(self, run: RunDir) -> Iterator[None]:
        """The first process holds the run."""
        if not self.place.first:
            yield
            return
        with run.lock():
            yield

    def game(self) -> Game:
        """A fresh game on this process's share of the batch."""
        place, config = self.place, self.config
        rank, world = place.rank, place.world
        feed = Stream(
            self.dataset, self.recipe.draws, seed=config["seed"], device=place.device, rank=rank, world=world
        )
        return Game(
            self.recipe.shard(world),
            self.dataset.spec,
            feed,
            seed=config["seed"],
            device=place.device,
            cast=place.caster(config["precision"]),
            average=place.average if world > 1 else None,
            rank=rank,
            channels_last=self.dataset.spec.kind == "image",
        )

    def trainer(self, run: RunDir) -> Trainer:
        """A trainer at the run's latest checkpoint, or at the start."""
        game, spent = self.game(), 0.0
        if there := checkpoint.all_in(run.checkpoints):
            path = there[-1]
            nets, optims, rest = checkpoint.load(path)
            game.restore(nets, optims, rest, path)
            spent = float(rest["seconds"])
            self.display.say(f"Going on from {path} ({count(rest['seen'])} samples seen).")
        budget = Budget(**self.config["budget"])
        return Trainer(
            game,
            run,
            self.place,
            budget,
            tick=self.config["tick"],
            display=self.display,
            real=self._real(),
            score=self._score(),
            spent=spent,
            command=f"gansmith resume {run.path}",
        )

    def _real(self) -> torch.Tensor:
        """A few real samples for the pictures, always the same."""
        feed = Stream(self.dataset, ("x",), seed=self.config["seed"])
        torch.default_generator.manual_seed(self.config["seed"])
        return feed(SHOWN if self.dataset.spec.kind == "image" else SHOWN_POINTS)

    def _score(self) -> Score | None:
        """For sets with known modes: how many the generator holds, and the share of samples near one."""
        if not len(getattr(self.dataset, "modes", ())):
            return None

        def score(draw: Any) -> dict[str, float]:
            modes, quality = self.dataset.coverage(draw(10_000))
            return {"modes": float(modes), "hq": quality, "score": 1 - modes / len(self.dataset.modes) * quality}

        return score

    def rehearse(self) -> dict[str, Any]:
        """Play a few rounds without writing anything; say what a training would do and how long it would take."""
        game = self.game()
        game.play()
        started, seen = time.perf_counter(), game.clock.seen
        for _ in range(REHEARSAL):
            game.play()
        rate = (game.clock.seen - seen) / (time.perf_counter() - started)
        budget = Budget(**self.config["budget"])
        left = budget.samples / rate if budget.samples else math.inf
        seconds = min(left, 60 * budget.minutes if budget.minutes else math.inf)
        for name, net in game.nets.items():
            self.display.say(f"{name}: {count(sum(p.numel() for p in net.parameters()))} parameters")
        self.display.say(f"About {count(rate)} samples/s here: {duration(seconds)} in all. Nothing was written (dry run).")
        sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in game.nets.items()}
        return {**self.config, "parameters": sizes, "rate": rate, "seconds": seconds}


def open_session(
    recipe: str | Path | type[Recipe],
    data: Any,
    *,
    options: Mapping[str, Any],
    given: Mapping[str, Any],
    seed: int = 0,
    minutes: float | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    precision: str = "auto",
    deterministic: bool = False,
    preset: str | None = None,
    tick: int | None = None,
    quiet: bool = False,
) -> Session:
    """Resolve the arguments of `train`. Raises GansmithError for whatever does not fit."""
    cls = recipes.find(recipe) if not isinstance(recipe, type) else recipe
    _positive(minutes=minutes, tick=tick)
    place, shown = _place(device, devices, nodes, quiet)
    dataset = _open(place, data, options, shown)
    spec = dataset.spec
    settled, auto = settle(cls, spec, place.device, given, preset)
    chosen, why = _precision(precision, place, spec.kind)
    budget = {"samples": None if minutes is not None and "samples" not in given else settled.samples, "minutes": minutes}
    config = {
        "format": FORMAT,
        "recipe": recipes.name_of(cls),
        "preset": preset,
        "fields": fields_to_yaml(asdict(settled)),
        "automatic": {k: v.reason for k, v in auto.items()} | {"precision": why},
        "data": {
            "source": _source(data),
            "options": dict(options),
            "fingerprint": dataset.fingerprint,
            "spec": fields_to_yaml(asdict(spec)),
            "info": dataset.info,
        },
        "seed": seed,
        "budget": budget,
        "tick": tick or nice(settled.samples / 20),
        "device": place.device.type,
        "devices": place.world,
        "precision": chosen,
        "deterministic": deterministic,
        "versions": _versions(place.device.type),
    }
    _tell(config, shown)
    return Session(config, settled, dataset, place, shown)


def reopen_session(
    run: RunDir,
    *,
    samples: int | None,
    minutes: float | None,
    data: Any,
    device: str | None,
    devices: int | None,
    quiet: bool,
) -> Session:
    """The session that run.yaml describes. Raises GansmithError when the data changed or cannot be found."""
    config = run.read_config()
    cls = recipes.find(config["recipe"])
    _positive(minutes=minutes, samples=samples)
    values = fields_from_yaml(config["fields"])
    if samples is not None:
        values["samples"] = config["fields"]["samples"] = config["budget"]["samples"] = samples
    if minutes is not None:
        config["budget"]["minutes"] = minutes
    recipe = cls(**values)
    place, shown = _place(device or config["device"], devices or config["devices"], 1, quiet)
    source = data if data is not None else config["data"]["source"]
    if source is None:
        raise GansmithError(f"{run.path} was trained on an array: give it again, gansmith.resume(run, data=array).")
    dataset = _open(place, source, config["data"]["options"], Silent())
    if dataset.fingerprint != config["data"]["fingerprint"]:
        raise GansmithError(
            f"The data at {source} changed since {run.path} was started: an exact resume is impossible. "
            "Restore them, or start a new run."
        )
    if place.first and (samples is not None or minutes is not None):
        run.write_config(config)
    return Session(config, recipe, dataset, place, shown)


def _place(device: str, count: int, nodes: int, quiet: bool) -> tuple[devices.Place, Display]:
    place = devices.launch(device, count, nodes)
    return place, display(quiet) if place.first else Silent()


def _open(place: devices.Place, data: Any, options: Mapping[str, Any], shown: Display) -> Dataset:
    """Open the data, on the first process first: it fills the cache that the others read."""
    if isinstance(data, Dataset):
        return data
    dataset, problem = None, None
    for turn in (True, False):
        if place.first == turn and problem is None:
            try:
                dataset = open_data(data, **options, progress=turn and not isinstance(shown, Silent))
            except GansmithError as e:
                problem = str(e)
        problem = place.fabric.broadcast(problem)
    if problem is not None or dataset is None:
        raise GansmithError(problem or f"{data} could not be opened on this machine.")
    for line in dataset.report.lines() if dataset.report is not None else []:
        shown.say(line)
    return dataset


def _precision(precision: str, place: devices.Place, kind: str) -> tuple[str, str]:
    return devices.choose_precision(precision, place.device.type, kind == "image")


def _positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value > 0:
            raise GansmithError(f"--{name} {value} is out of range: give a number above 0.")


def _source(data: Any) -> str | None:
    """How run.yaml names the data: a known name, an absolute path, or None for arrays."""
    if not isinstance(data, (str, Path)):
        return None
    return str(Path(data).expanduser().resolve()) if Path(data).expanduser().exists() else str(data)


def _versions(kind: str) -> dict[str, str]:
    return {
        "gansmith": gansmith.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": devices.describe(kind),
    }


def _tell(config: dict[str, Any], shown: Display) -> None:
    """Print the automatic settings, each with its reason."""
    for name, reason in config["automatic"].items():
        value = config["fields"].get(name, config.get(name))
        shown.say(f"{name} = {value} (automatic: {reason})")


def nice(x: float) -> int:
    """The largest of 1, 2, 5, 10, 20, 50 ... that is at most x.

    >>> [nice(x) for x in (0.3, 7, 2999, 50_000)]
    [1, 5, 2000, 50000]
    """
    power = 10 ** math.floor(math.log10(max(x, 1)))
    return int(max(m for m in (1, 2, 5) if m * power <= max(x, 1)) * power)


def fields_to_yaml(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as YAML holds them: tuples become lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}


def fields_from_yaml(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields as dataclasses hold them: lists become tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
