"""What the doctor costs: the signs of a tick against the rounds between two ticks, timed in turn.

Tier 1 (what D says, how diverse the samples are) may take 1 % of the time, tier 2 (samples against real ones)
5 %, at the tick that a training has when nobody names one. Beside them stands what it takes to judge the signs of the
last tick of a training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _common import arguments, interleave, p10, parse, report, table, verdict

from gansmith.doctoring import doctor
from gansmith.session import Session, open_session

ROUNDS = 5  # timed together
TICKS = 21  # records of a whole training
CASES: dict[str, tuple[str, str, dict[str, Any], str | None]] = {
    "gan on grid25": ("gan", "grid25", {"gamma": 0.1}, None),
    "r3gan on ring8": ("r3gan", "ring8", {}, None),
    "dcgan on digits": ("dcgan", "digits", {}, "r1"),
    "dcgan on fashion_mnist": ("dcgan", "fashion_mnist", {}, None),
    "wgan_gp on digits": ("wgan_gp", "digits", {}, None),
}
"""Recipe, data, fields, preset: each as a user starts it."""


def opened(name: str) -> Session:
    """The training, with its default tick."""
    recipe, data, given, preset = CASES[name]
    return open_session(recipe, data, options={}, given=given, preset=preset, device="cpu", quiet=True)


def shares(session: Session, repeats: int, folder: Path) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each call, and the shares of the training's time that the two tiers and judging take."""
    game, tick = session.game(), session.config["tick"]
    watch = doctor(session.config, session.dataset, folder)
    signs = watch.signs
    game.play()
    per_round = game.clock.seen
    records = [{"seen": i * tick, "seconds": float(i), "signs": watch.look(game, 0.0)} for i in range(TICKS)]
    seconds = interleave(
        {
            "rounds": lambda: [game.play() for _ in range(ROUNDS)],
            "tier 1": lambda: signs.first(game),
            "tier 2": lambda: signs.second(game),
            "judging": lambda: watch.speak(records),
        },
        repeats,
    )
    rounds = p10(seconds["rounds"]) / ROUNDS * tick / per_round
    return seconds, {name: p10(seconds[name]) / rounds for name in ("tier 1", "tier 2", "judging")}


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse(arguments("doctor_cost", __doc__, repeats=20), argv)
    seconds, figures, verdicts, rows = {}, {}, [], []
    for name in list(CASES)[: 1 if args.quick else None]:
        session = opened(name)
        with tempfile.TemporaryDirectory() as folder:
            calls, figures[name] = shares(session, args.repeats, Path(folder))
        seconds |= {f"{name}: {k}": v for k, v in calls.items()}
        first, second, judging = figures[name].values()
        rows.append([name, session.config["tick"], *(f"{100 * x:.2f} %" for x in (first, second, judging))])
        verdicts.append(verdict(f"{name}: tier 1, share of the time", first, at_most=0.01))
        verdicts.append(verdict(f"{name}: tier 2, share of the time", second, at_most=0.05))
    table(["training", "tick", "tier 1", "tier 2", "judging"], rows)
    return report(args, {"cases": {k: list(v) for k, v in CASES.items()}}, seconds, figures, verdicts)


if __name__ == "__main__":
    main()
