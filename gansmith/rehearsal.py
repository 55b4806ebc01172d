"""Before a training: does a round fit into memory, and how long would it all take? Nothing is written."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from gansmith.core import Stage
from gansmith.engine import memory
from gansmith.engine.display import count, duration
from gansmith.engine.game import Diverged, Game
from gansmith.engine.train import Budget
from gansmith.errors import GansmithError, TrainingError
from gansmith.session import Session

REHEARSAL = 4  # rounds


def fitted(session: Session) -> Session:
    """The same session, each batch cut into as many parts as an accelerator's memory asks for.

    Raises:
        GansmithError: not even one sample at a time fits.
    """
    place, recipe, parts = session.place, session.recipe, 1
    if not memory.limited(place.device) or recipe.accumulate > 1:
        return session
    while any(place.gather(memory.overflows(partial(_try, _cut(session, parts)), place.device))):
        parts *= 2
        if (recipe.batch // place.world) % parts:
            raise GansmithError(
                f"A round of {Path(session.config['recipe']).stem} does not fit into the memory of {place.device}, "
                f"not even its batch of {recipe.batch} in {parts // 2} parts: choose narrower networks, a smaller "
                "resolution or a batch that is a power of two."
            )
    fitting = _cut(session, parts)
    if parts > 1:
        session.display.say(f"accumulate = {parts} (automatic: {fitting.config['automatic']['accumulate']})")
    return fitting


def _cut(session: Session, parts: int) -> Session:
    if parts == 1:
        return session
    why = f"a batch of {session.recipe.batch} does not fit into the memory of {session.place.device} at once"
    config = session.config | {
        "fields": session.config["fields"] | {"accumulate": parts},
        "automatic": session.config["automatic"] | {"accumulate": why},
    }
    return replace(session, config=config, recipe=replace(session.recipe, accumulate=parts))


def _try(session: Session) -> None:
    """A round of the last stage, which takes most memory, that nobody else hears of."""
    game = session.game(alone=True)
    _enter(session, game, _stages(session)[-1])
    game.play()


def _stages(session: Session) -> list[Stage]:
    samples = session.config["budget"]["samples"]
    return session.recipe.stages(session.dataset.spec, samples) or [Stage(0, "")]


def _enter(session: Session, game: Game, stage: Stage) -> None:
    game.clock.seen, game.clock.progress = stage.seen, stage.seen / session.recipe.samples


def rehearse(session: Session) -> dict[str, Any]:
    """Play a few rounds without writing anything; say what a training would do and how long it would take.

    Where stages of the training differ in cost, each of them is tried."""
    game, budget, stages = session.game(), Budget(**session.config["budget"]), _stages(session)
    try:
        rates = [_rate(session, game, stage) for stage in stages]
    except Diverged as e:
        raise TrainingError(f"The training would diverge in the first rounds: {e}. Try a lower lr.") from None
    left = math.inf
    if budget.samples:
        ends = [*(stage.seen for stage in stages[1:]), budget.samples]
        left = sum((end - stage.seen) / rate for stage, end, rate in zip(stages, ends, rates, strict=True))
    seconds = min(left, 60 * budget.minutes if budget.minutes else math.inf)
    sizes = {name: sum(p.numel() for p in net.parameters()) for name, net in game.nets.items()}
    say, most = session.display.say, memory.peak(session.place.device)
    for name, parameters in sizes.items():
        say(f"{name}: {count(parameters)} parameters")
    for stage, rate in zip(stages, rates, strict=True):
        if stage.text:
            say(f"{stage.text.partition(':')[0]}: about {count(rate)} samples/s here")
    rate = budget.samples / left if budget.samples else rates[-1]
    needs = f"Peak memory {most / 1e9:.1f} GB. " if most else ""
    say(f"{needs}About {count(rate)} samples/s here: {duration(seconds)} in all. Nothing was written (dry run).")
    told = [{"stage": stage.text, "rate": rate} for stage, rate in zip(stages, rates, strict=True)]
    facts = {"parameters": sizes, "stages": told, "rate": rate, "seconds": seconds, "peak_bytes": most}
    return session.config | facts


def _rate(session: Session, game: Game, stage: Stage) -> float:
    """Samples a second in one stage of the training."""
    _enter(session, game, stage)
    game.play()
    started, seen = time.perf_counter(), game.clock.seen
    for _ in range(REHEARSAL):
        game.play()
    game.settle()
    return (game.clock.seen - seen) / (time.perf_counter() - started)
