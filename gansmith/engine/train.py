"""The training loop: rounds, and at each tick a checkpoint, a record and pictures."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gansmith.abilities import Generates, Translates
from gansmith.core import Nets
from gansmith.engine import checkpoint, pictures
from gansmith.engine.devices import Place
from gansmith.engine.display import Display, count, duration
from gansmith.engine.game import Diverged, Game
from gansmith.engine.records import PLAIN, Records
from gansmith.engine.rundir import RunDir
from gansmith.engine.showing import translations
from gansmith.engine.stopping import reason_to_stop, scored
from gansmith.errors import TrainingError

RETRIES = 3
TICK_SECONDS = 120.0  # at the latest, whatever the tick in samples
SHOWN = 64  # samples in a grid
SHOWN_POINTS = 4000
SHOWN_SIDES = 8  # rows of a picture of translations

Score = Callable[[Callable[[int], Tensor]], dict[str, float]]
"""Judges a generator: given a function that draws n samples, named scores; "score" is the one to minimise."""


class Advice(NamedTuple):
    """A change of a training under way: back to the checkpoint at `seen`, on with other `fields` of the recipe."""

    seen: int
    fields: dict[str, Any]
    text: str


class Watch(Protocol):
    """Looks after a training at each tick; the doctor is one.

    `good` is the position of a checkpoint that must not be thrown away."""

    good: int | None

    def look(self, game: Game, waited: float) -> dict[str, Any]:
        """What it measured, for the record of this tick; `waited` is the share of the time spent on drawing data."""

    def speak(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """What has changed with the last of the records: records with an "event" in words; empty most of the time."""

    def act(self, rows: Sequence[dict[str, Any]]) -> Advice | None:
        """What to change now; it is written to run.yaml already."""


@dataclass
class Budget:
    """When a training ends: after so many real samples, or so many minutes, whichever comes first."""

    samples: int | None
    minutes: float | None

    def progress(self, seen: int, seconds: float) -> float:
        """The share that is spent, 1 at the end."""
        by_samples = seen / self.samples if self.samples else 0.0
        by_time = seconds / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_samples, by_time))


@dataclass
class Outcome:
    """How a call of `train` ended: "done", or the name of the signal that stopped it; `stopped`: by which reason
    before the budget was spent."""

    how: str = "done"
    seconds: float = 0.0
    stopped: str | None = None
    retries: list[str] = field(default_factory=list)


class Trainer:
    """Plays a game to the end of its budget and keeps its run directory.

    Args:
        game: fresh, or restored from a checkpoint.
        run: where to write (the first process only).
        place: device and processes.
        budget: when to end.
        tick: samples between two ticks.
        display: where progress is told.
        real: a few real samples (N, ...) for the pictures.
        sides: for those of a recipe that translates, images of A and of B (N, C, H, W) in their place.
        score: judges the generator; the best checkpoint is kept.
        evaluate_every: samples between two scores, taken at ticks; None = at every tick.
        patience: samples without an improvement of the score beyond its noise that end the training; None = never.
        watch: is asked at each tick.
        spent: seconds already spent by earlier sessions of this run.
        saved: the progress that the latest checkpoint holds.
        command: what the user types to go on after an interruption.
    """

    def __init__(
        self,
        game: Game,
        run: RunDir,
        place: Place,
        budget: Budget,
        *,
        tick: int,
        display: Display,
        real: Tensor | None = None,
        sides: tuple[Tensor, ...] | None = None,
        score: Score | None = None,
        evaluate_every: int | None = None,
        patience: int | None = None,
        watch: Watch | None = None,
        spent: float = 0.0,
        saved: float = 0.0,
        command: str = "",
    ) -> None:
        self.game, self.run, self.place, self.budget, self.tick = game, run, place, budget, tick
        self.display, self.real, self.score, self.spent, self.command = display, real, score, spent, command
        self.sides, self.evaluate_every, self.patience, self.watch = sides, evaluate_every, patience, watch
        self.started = self.ticked = time.perf_counter()
        self.ticked_waited = game.feed.waited
        self.ticked_seen = game.clock.seen
        self.asked: str | None = None  # the signal that this process got
        self.signal: str | None = None  # the one that all processes agreed to obey
        self.stopped: str | None = None  # why the score ends the training
        self.saved = saved
        self.rate = 0.0
        self.records: Records | None = None

    @property
    def seconds(self) -> float:
        return self.spent + time.perf_counter() - self.started

    def play(self) -> Outcome:
        """Train to the end, or until a signal. Raises TrainingError when three retries did not help."""
        outcome = Outcome()
        if self.place.first:
            self.records = Records(self.run.path, self.game.clock.seen if self.game.clock.round else -1)
            self.stopped = reason_to_stop(self.records.rows, self.patience)
        try:
            with self._signals():
                if self.game.clock.round == 0:
                    self._tick()
                self._loop(outcome)
        finally:
            self.display.close()
            if self.records is not None:
                self.records.close()
        outcome.seconds = self.seconds
        return outcome

    def _loop(self, outcome: Outcome) -> None:
        while (progress := self._agree()) < 1.0 and self.signal is None and self.stopped is None:
            clock = self.game.clock
            clock.progress = progress
            try:
                self.game.play()
                if self._due(clock.seen):
                    self._tick()
            except Diverged as e:
                outcome.retries.append(self._retry(e))
            self.display.update(progress, self._note(clock.seen))
        try:
            if self.game.clock.seen != self.ticked_seen:
                self._tick()
            elif self.place.first and self.saved < progress == 1.0:  # the time ran out on a tick
                self._save(math.inf)
        except Diverged as e:
            outcome.retries.append(self._retry(e))
            return self._loop(outcome)
        if self.records is not None:
            self.records.plot(always=True)
        outcome.stopped = self.stopped
        if self.stopped is not None:
            self.display.say(f"Stopped early: {self.stopped}.")
        elif self.signal is not None:
            outcome.how = self.signal
            self.display.say(
                f"{self.signal}: saved at {count(self.game.clock.seen)} samples. Go on with: {self.command}"
            )

    def _agree(self) -> float:
        """The progress and a pending stop, the same on every process."""
        asked, seconds = self.asked, self.seconds
        if self.place.world > 1:
            mine = torch.tensor(
                [asked is not None, seconds if self.place.first else 0.0, self.stopped is not None], dtype=torch.float64
            )
            stop, seconds, enough = self.place.total(mine).tolist()
            asked = (asked or "SIGINT") if stop else None
            if enough and self.stopped is None:
                self.stopped = "the first process says so"
        self.signal = asked
        return self.budget.progress(self.game.clock.seen, seconds)

    def _due(self, seen: int) -> bool:
        crossed = seen // self.tick > self.ticked_seen // self.tick
        late = self.place.world == 1 and time.perf_counter() - self.ticked > TICK_SECONDS
        return crossed or late

    # -- ticks

    def _tick(self) -> None:
        """Save, measure, draw. Raises Diverged, before anything is written, if the state is not finite."""
        game, now = self.game, time.perf_counter()
        self._settle()
        means = game.means()
        if now > self.ticked and game.clock.seen > self.ticked_seen:
            self.rate = (game.clock.seen - self.ticked_seen) / (now - self.ticked)
        if self.place.first and self.records is not None:  # the record before the checkpoint: a kill loses none
            scores = self._scores()
            record: dict[str, Any] = {"seen": game.clock.seen, "round": game.clock.round}
            record["seconds"] = round(self.seconds, 2)
            record |= {"rate": round(self.rate, 1), **means, **{f"score/{k}": v for k, v in scores.items()}}
            if self.watch is not None:
                waited = (game.feed.waited - self.ticked_waited) / max(now - self.ticked, 1e-9)
                record["signs"] = self.watch.look(game, waited)
            self.records.add(record)
            events = self.watch.speak(self.records.rows) if self.watch is not None else []
            for event in events:
                self.records.add(event)
            self.stopped = reason_to_stop(self.records.rows, self.patience)
            self._draw()
            self._save(scores.get("score", math.inf))
            self.records.plot()
            for text in (self._line(record), *(event["event"] for event in events)):
                self.display.say(text)
        self._follow(self.watch.act(self.records.rows) if self.watch is not None and self.records is not None else None)
        self._ticked()

    def _follow(self, advice: Advice | None) -> None:
        """Do what the watch of the first process advises, on every process."""
        for found in self.place.gather(advice):
            if found is None:
                continue
            path = self.run.checkpoints / checkpoint.name_of(found.seen)
            self.game.recipe = replace(self.game.recipe, **found.fields)
            self.game.restore(*checkpoint.load(path), path)
            if self.records is not None:
                checkpoint.drop_after(self.run.checkpoints, path)
                self.records.add({"seen": found.seen, "event": found.text, "doctor": []})
            self.display.say(found.text)

    def _ticked(self) -> None:
        """Begin the next stretch; its first round tells how far each net strides."""
        self.game.pacing = self.watch is not None
        self.ticked, self.ticked_waited = time.perf_counter(), self.game.feed.waited
        self.ticked_seen = self.game.clock.seen

    def _settle(self) -> None:
        mine = None
        try:
            self.game.settle()
        except Diverged as e:
            mine = str(e)
        for found in self.place.gather(mine):  # running statistics differ between processes
            if found is not None:
                raise Diverged(found)

    def _save(self, score: float) -> None:
        nets, optims, rest = self.game.state()
        self.saved = self.budget.progress(rest["seen"], self.seconds)
        rest |= {"seconds": round(self.seconds, 3), "progress": self.saved, "stopped": self.stopped}
        path = checkpoint.save(self.run.checkpoints, (nets, optims, rest))
        if score < self.run.best_score():
            self.run.set_best(path.name, score)
        good = self.watch.good if self.watch is not None else None
        kept = (self.run.best(), None if good is None else checkpoint.name_of(good))
        checkpoint.prune(self.run.checkpoints, also=[name for name in kept if name is not None])

    def _scores(self) -> dict[str, float]:
        if self.score is None or not isinstance(self.game.recipe, Generates) or not self._score_due():
            return {}
        return self.score(self.sample)

    def _score_due(self) -> bool:
        assert self.records is not None
        before = scored(self.records.rows)
        every, seen = self.evaluate_every, self.game.clock.seen
        return every is None or not before or seen // every > before[-1].seen // every

    def _draw(self) -> None:
        path = self.run.samples / f"{checkpoint.name_of(self.game.clock.seen)}.png"
        if isinstance(self.game.recipe, Translates) and self.sides is not None:
            a, b = self.sides
            shown = translations(self.game.recipe, self._averages(), a, b, self.game.device)
            pictures.save_picture(pictures.side_by_side(shown), path)
        if not isinstance(self.game.recipe, Generates):
            return
        images = self.game.spec.kind == "image"
        fake, columns = self.gallery(SHOWN if images else SHOWN_POINTS)
        pictures.save_picture(pictures.picture(fake, self.real, columns), path)
        if self.real is not None and not (self.run.samples / "real.png").exists():
            pictures.save_picture(
                pictures.picture(self.real[:SHOWN] if images else self.real), self.run.samples / "real.png"
            )

    def sample(self, n: int) -> Tensor:
        """n samples of the averaged generator from the same latents at every call."""
        return self._made(self._recipe().draw_latents(n, generator=self._fixed()))

    def gallery(self, n: int) -> tuple[Tensor, int | None]:
        """About n samples for a picture, always of the same latents, and its columns (`Generates.gallery`)."""
        z, columns = self._recipe().gallery(self.game.spec, n, self._fixed())
        return self._made(z), columns

    def _recipe(self) -> Generates:
        assert isinstance(self.game.recipe, Generates)
        return self.game.recipe

    def _fixed(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.game.seed)

    def _made(self, z: Tensor) -> Tensor:
        """Samples (N, ...) of the averaged generator, on the CPU."""
        recipe, nets = self._recipe(), self._averages()
        with torch.no_grad():
            parts = [recipe.generate(nets, part.to(self.game.device)).float().cpu() for part in torch.split(z, 256)]
        return torch.cat(parts)

    def _averages(self) -> Nets:
        return Nets({**self.game.nets, **self.game.ema})

    def _line(self, record: dict[str, Any]) -> str:
        terms = [f"{k} {v:.4g}" for k, v in record.items() if "/" in k and "grad_norm" not in k and k not in PLAIN]
        terms = [term for term in terms if not term.split()[0].endswith(("/low", "/high"))]
        return "  ".join([f"{count(record['seen']):>7} samples", *terms])

    def _note(self, seen: int) -> str:
        return f"{count(seen)} samples  {count(self._rate(seen))}/s  about {duration(self._left(seen))} left"

    def _rate(self, seen: int) -> float:
        """Samples a second: since the last tick when that is long enough to tell, else since the start."""
        now = time.perf_counter()
        if now - self.ticked > 5 or not self.rate:
            return (seen - self.ticked_seen) / max(now - self.ticked, 1e-9)
        return self.rate

    def _left(self, seen: int) -> float:
        by_samples = (self.budget.samples - seen) / max(self._rate(seen), 1e-9) if self.budget.samples else math.inf
        by_time = 60 * self.budget.minutes - self.seconds if self.budget.minutes else math.inf
        return max(0.0, min(by_samples, by_time))

    # -- trouble

    def _retry(self, e: Diverged) -> str:
        """Go back to the last good checkpoint with halved learning rates; give up after the third time."""
        at, retries, scale = self.game.clock.seen, self.game.retries + 1, self.game.lr_scale / 2
        path = self.run.checkpoint()
        what = f"{e} at {count(at)} samples"
        if retries > RETRIES:
            raise TrainingError(
                f"The training diverged again: {what}. {RETRIES} retries with halved learning rates did not help; the "
                f"last good checkpoint is {path}. Try a lower lr, a larger gamma or --precision 32."
            )
        self.game.restore(*checkpoint.load(path), path)
        self.game.retries, self.game.lr_scale = retries, scale
        change = f"learning rates x {scale:g}"
        text = f"{what}: back to {path.name}, going on with {change} (retry {retries} of {RETRIES})."
        self.display.say(text)
        if self.records is not None:
            self.records.add({"seen": self.game.clock.seen, "event": text})
        self._ticked()
        return text

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the round, then save; a second Ctrl-C ends at once."""

        def stop(number: int, frame: FrameType | None) -> None:
            if self.asked is not None:
                raise KeyboardInterrupt
            self.asked = signal.Signals(number).name

        if threading.current_thread() is not threading.main_thread():  # the caller owns the signals
            yield
            return
        before = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for s, handler in before.items():
                signal.signal(s, handler)
