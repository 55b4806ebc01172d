"""On demand: what costs more than a tick may. The duality gap, and one look at a folder of samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansmith.doctor.history import History, from_rows
from gansmith.doctor.real import Real
from gansmith.doctor.rules import EARLY
from gansmith.doctor.signs import compared, picture
from gansmith.engine.checkpoint import State
from gansmith.engine.game import Diverged, Game

ROUNDS = 50  # that each player may play alone
LAST = 10  # of these are averaged
HERE = Path("the state before the audit")  # for messages


def duality_gap(game: Game, rounds: int = ROUNDS) -> float:
    """How much each player can still win when the other stands still; 0 at an equilibrium.

    The worst case for each is found by letting it play `rounds` rounds alone, from the same state: the gap is D's cost
    after G has moved alone, less D's cost after D has moved alone. The game is left as it was.

    Args:
        game: with nets "G" and "D" whose cost is called "adv", as all built-in ones.
        rounds: enough for the player to come near its best answer, few enough that it stays near.

    Returns:
        Never NaN; infinite when a player's answer diverges. Compare it only within one recipe and data set.

    Source: Grnarova et al. 2019, arXiv:1811.05512. The estimate is limited by the few rounds (Sidheekh et al. 2020).
    """
    nets, optims, rest = game.state()
    kept = ({k: v.clone() for k, v in nets.items()}, {k: v.clone() for k, v in optims.items()}, dict(rest))
    try:
        costs = {name: _alone(game, name, rounds, kept) for name in ("G", "D")}
        return costs["G"] - costs["D"]
    except Diverged:
        return math.inf
    finally:
        game.restore(*kept, HERE)


def _alone(game: Game, name: str, rounds: int, kept: State) -> float:
    """D's cost after one player has moved alone."""
    nets, optims, rest = kept
    game.restore({k: v.clone() for k, v in nets.items()}, {k: v.clone() for k, v in optims.items()}, rest, HERE)
    for i in range(rounds):
        if i == rounds - LAST:
            game.means()
        game.play(only=name)
    return game.means()["D/adv"]


def snapshot(fake: Tensor, real: Real, source: str) -> History:
    """One look at samples of unknown origin, as a history that the rules can read.

    Args:
        fake: samples (N, ...) like the data.
        real: the data.
        source: what the samples are called.
    """
    with torch.no_grad():
        signs: dict[str, Any] = picture(fake, fake, real) | compared(fake, real)
    dropped = ("kid", "kid_error", "ema_gap", "places")  # they need a past to be read against
    signs = {k: v for k, v in signs.items() if k not in dropped}
    signs["facts"] = dict(real.facts) | odd_samples(fake, real.train)
    rows: list[Mapping[str, Any]] = [{"seen": i, "signs": signs} for i in range(EARLY + 2)]
    note = "Samples alone: what D says, how the nets move and what came before cannot be known."
    config = {"data": {"spec": {"kind": "image" if fake.ndim == 4 else "points"}}}
    found = from_rows(rows, config, source, (note,))
    return replace(found, snapshot=True)


def odd_samples(fake: Tensor, real: Tensor) -> dict[str, float]:
    """What may be odd about samples beside the data: channels in another order, another range.

    Returns:
        swapped: how much nearer the channels' means and spreads are to the data's when their order is turned round
        (above 1 = the order is wrong), of colour images; contrast: standard deviation over that of the data.
    """
    found = {"contrast": float(fake.std() / real.std().clamp_min(1e-9))}
    if fake.ndim == 4 and fake.shape[1] == 3:
        a, b = (torch.cat([x.mean((0, 2, 3)), x.std((0, 2, 3))]) for x in (fake, real))
        turned = torch.cat([a[:3].flip(0), a[3:].flip(0)])
        spread = float((b[:3] - b[:3].mean()).norm())
        if spread > 0.02:  # else the channels are alike, and their order does not show
            found["swapped"] = float((a - b).norm() / (turned - b).norm().clamp_min(1e-9))
    return found
