"""A training session: data, recipe, device and settings brought together, and written to run.yaml."""

from __future__ import annotations

import math
import platform
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import gansmith
from gansmith import doctoring, judging, recipes
from gansmith.auto import make, settle
from gansmith.core import Recipe, Stage
from gansmith.data import Dataset, Domains, Pairs, Points, Stream, open_data, suited
from gansmith.data.letters import PREFIX as FONTS
from gansmith.data.tables import located
from gansmith.engine import checkpoint, devices
from gansmith.engine.display import Display, Silent, count, display
from gansmith.engine.game import Game
from gansmith.engine.rundir import RunDir
from gansmith.engine.train import SHOWN, SHOWN_POINTS, SHOWN_SIDES, Budget, Score, Trainer
from gansmith.errors import GansmithError


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

        def make_run() -> Path:
            run = RunDir.create(out, f"{Path(self.config['recipe']).stem}-{self.dataset.spec.name}")
            run.write_config(self.config)
            return run.path

        return RunDir(self.place.on_first(make_run))

    @contextmanager
    def locked(self, run: RunDir) -> Iterator[None]:
        """The first process holds the run, and removes what a killed one left half written."""
        with ExitStack() as held:

            def hold() -> None:
                held.enter_context(run.lock())
                run.clean()

            self.place.on_first(hold)
            yield

    def game(self, alone: bool = False) -> Game:
        """A fresh game on this process's share of the batch; `alone`: it does not wait for the other processes."""
        place, config = self.place, self.config
        rank, world = place.rank, place.world
        feed = Stream(self.dataset, self.recipe.draws, seed=config["seed"], device=place.device, rank=rank, world=world)
        return Game(
            self.recipe.shard(world),
            self.dataset.spec,
            feed,
            seed=config["seed"],
            device=place.device,
            cast=place.caster(config["precision"]),
            average=place.average if world > 1 and not alone else None,
            rank=rank,
            channels_last=self.dataset.spec.kind != "points",
        )

    def trainer(self, run: RunDir, game: Game) -> Trainer:
        """A trainer of a fresh game, brought to the run's latest checkpoint if there is one."""
        spent = saved = 0.0
        if there := checkpoint.all_in(run.checkpoints):
            path = there[-1]
            nets, optims, rest = checkpoint.load(path)
            game.restore(nets, optims, rest, path)
            spent, saved = float(rest["seconds"]), float(rest["progress"])
            self.display.say(f"Going on from {path} ({count(rest['seen'])} samples seen).")
        budget = Budget(**self.config["budget"])
        return Trainer(
            game,
            run,
            self.place,
            budget,
            tick=self.config["tick"],
            display=self.display,
            real=None if self.dataset.spec.target else self._real(),
            sides=self._sides(),
            score=self._score(),
            evaluate_every=self.evaluation.get("every"),
            patience=self.evaluation.get("patience"),
            watch=doctoring.doctor(self.config, self.dataset, run.path) if self.place.first else None,
            spent=spent,
            saved=saved,
            command=f"gansmith resume {run.path}",
        )

    @property
    def evaluation(self) -> dict[str, Any]:
        """How the training is scored; empty when it is not."""
        return self.config.get("evaluation") or {}

    def _real(self) -> torch.Tensor:
        """A few real samples for the pictures, always the same."""
        feed = Stream(self.dataset, ("x",), seed=self.config["seed"])
        torch.default_generator.manual_seed(self.config["seed"])
        real = feed(SHOWN_POINTS if self.dataset.spec.kind == "points" else SHOWN)
        assert isinstance(real, torch.Tensor)
        return real

    def _sides(self) -> tuple[torch.Tensor, ...] | None:
        """Of data with two sides, a few images of each that are never trained on, partners where they have some."""
        if not isinstance(self.dataset, (Pairs, Domains)):
            return None
        return self.dataset.fetch_held_out(np.arange(min(SHOWN_SIDES, len(self.dataset.held_out))), ("a", "b"))

    def _score(self) -> Score | None:
        """For images, when asked for: a distance to the data. For sets with known modes: how many are held."""
        if isinstance(self.dataset, Points):
            return judging.known_modes(self.dataset) if len(self.dataset.modes) else None
        if not self.evaluation or not self.place.first:
            return None
        return judging.distance(
            self.evaluation, self.dataset, self.config["seed"], self.place.device.type, self.display.say
        )


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
    evaluation: Mapping[str, Any] | None = None,
    act: bool = False,
    quiet: bool = False,
) -> Session:
    """Resolve the arguments of `train`. Raises GansmithError for whatever does not fit."""
    cls = recipes.find(recipe) if not isinstance(recipe, type) else recipe
    judging.positive(minutes=minutes, tick=tick)
    place, shown = _place(device, devices, nodes, quiet)
    with place.told_once():
        dataset, options = _open_for(cls, place, data, options, shown)
        spec = dataset.spec
        settled, auto = settle(cls, spec, place.device, given, preset)
        chosen, why = _precision(precision, place, spec.kind)
        samples = None if minutes is not None and "samples" not in given else settled.samples
        ticks = tick or nice(settled.samples / 20)
        scored = judging.settings(evaluation or {}, spec.kind, ticks)
        if scored and tick is None:
            ticks = min(ticks, scored["every"])
        config = {
            "recipe": recipes.name_of(cls),
            "preset": preset,
            "fields": fields_to_yaml(asdict(settled)),
            "pretrained": settled.pretrained(),
            "automatic": {k: v.reason for k, v in auto.items()} | {"precision": why},
            "data": {
                "source": _source(data),
                "options": located(options),
                "fingerprint": dataset.fingerprint,
                "spec": fields_to_yaml(asdict(spec)),
                "info": dataset.info,
            },
            "seed": seed,
            "budget": {"samples": samples, "minutes": minutes},
            "tick": ticks,
            "evaluation": scored,
            "act": act,
            "device": place.device.type,
            "devices": place.world,
            "precision": chosen,
            "deterministic": deterministic,
            "versions": _versions(place.device.type),
        }
        _tell(config, settled.stages(spec, samples), shown)
        return Session(config, settled, dataset, place, shown)


def reopen_session(
    run: RunDir,
    *,
    samples: int | None,
    minutes: float | None,
    data: Any,
    device: str | None,
    devices: int | None,
    patience: int | None,
    quiet: bool,
) -> Session:
    """The session that run.yaml describes. Raises GansmithError when the data changed or cannot be found."""
    config = run.read_config()
    judging.positive(minutes=minutes, samples=samples, patience=patience)
    if patience is not None:
        if not config.get("evaluation"):
            raise GansmithError(f"{run.path} is not scored while it trains: --patience has nothing to act on.")
        config["evaluation"]["patience"] = patience
    if samples is not None:
        config["fields"]["samples"] = samples
    if samples is not None or minutes is not None:
        config["budget"] = {"samples": samples, "minutes": minutes}
    recipe = recipe_of(config, run)
    _same_weights(recipe.pretrained(), config.get("pretrained") or {}, run)
    place, shown = _place(device or config["device"], devices or config["devices"], 1, quiet)
    source = data if data is not None else config["data"]["source"]
    if source is None:
        raise GansmithError(f"{run.path} was trained on an array: give it again, gansmith.resume(run, data=array).")
    with place.told_once():
        dataset = suited(_open(place, source, config["data"]["options"], Silent()), recipe.kinds)
        if dataset.fingerprint != config["data"]["fingerprint"]:
            raise GansmithError(
                f"The data at {_source(source) or 'hand'} are not those that {run.path} was started with: "
                "an exact resume is impossible. Restore them, or start a new run."
            )
    return Session(config, recipe, dataset, place, shown)


def recipe_of(config: Mapping[str, Any], run: RunDir) -> Recipe:
    """The recipe that run.yaml describes. Raises GansmithError when it does not know those fields any more."""
    cls = recipes.find(config["recipe"])
    try:
        return make(cls, fields_from_yaml(config["fields"]))
    except GansmithError as e:
        raise GansmithError(f"{run.path / 'run.yaml'} does not fit the recipe {config['recipe']}: {e}") from None


def _same_weights(there: Mapping[str, str], then: Mapping[str, str], run: RunDir) -> None:
    """Refuse to go on when a pretrained network is another than at the start."""
    for name, digest in then.items():
        if there.get(name) != digest:
            raise GansmithError(
                f"The weights of {name} are not those that {run.path} was started with (SHA-256 {digest[:16]}...): "
                "an exact resume is impossible. Restore that file, or start a new run."
            )


def _open_for(
    cls: type[Recipe], place: devices.Place, data: Any, options: Mapping[str, Any], shown: Display
) -> tuple[Dataset, Mapping[str, Any]]:
    """The data as the recipe learns them and their options, with labels on for a recipe that needs them where files
    may have some."""
    files = isinstance(data, (str, Path)) and Path(data).expanduser().exists()
    if not {"y", "some_y"} & {*cls.draws, *cls.needs} or not files or options.get("labels"):
        return suited(_open(place, data, options, shown), cls.kinds), options
    options = {**options, "labels": True}
    try:
        return _open(place, data, options, shown), options
    except GansmithError as error:
        why = f"{cls.__name__} needs labels: " if "label" in str(error).lower() else ""
        raise GansmithError(f"{why}{error}") from None


def _place(device: str, count: int, nodes: int, quiet: bool) -> tuple[devices.Place, Display]:
    place = devices.launch(device, count, nodes)
    return place, display(quiet) if place.first else Silent()


def _open(place: devices.Place, data: Any, options: Mapping[str, Any], shown: Display) -> Dataset:
    """Open the data, on the first process first: it fills the cache that the others read."""
    if isinstance(data, Dataset):
        return data
    dataset = None
    for turn in (True, False):
        mine = None
        if place.first == turn:
            try:
                dataset = open_data(data, **options, progress=turn and not isinstance(shown, Silent))
            except GansmithError as e:
                mine = str(e)
        for problem in place.gather(mine):
            if problem is not None:
                raise GansmithError(problem)
    assert dataset is not None
    for line in dataset.report.lines() if dataset.report is not None else []:
        shown.say(line)
    return dataset


def _precision(precision: str, place: devices.Place, kind: str) -> tuple[str, str]:
    return devices.choose_precision(precision, place.device.type, kind != "points")


def _source(data: Any) -> str | None:
    """How run.yaml names the data: a known name, an absolute path, or None for arrays."""
    if not isinstance(data, (str, Path)):
        return None
    if str(data).startswith(FONTS):
        return FONTS + str(Path(str(data).removeprefix(FONTS)).expanduser().resolve())
    return str(Path(data).expanduser().resolve()) if Path(data).expanduser().exists() else str(data)


def _versions(kind: str) -> dict[str, str]:
    return {
        "gansmith": gansmith.__version__,
        "torch": str(torch.__version__),
        "python": platform.python_version(),
        "machine": devices.describe(kind),
    }


def _tell(config: dict[str, Any], stages: list[Stage], shown: Display) -> None:
    """Print the automatic settings, each with its reason, and the stages that differ in cost."""
    for name, reason in config["automatic"].items():
        value = config["fields"].get(name, config.get(name))
        shown.say(f"{name} = {value} (automatic: {reason})")
    for stage in stages:
        shown.say(stage.text)


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
