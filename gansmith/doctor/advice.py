"""Which one change to try: the setting that stands out, else the next step of the order that the literature agrees on.

The doctor reads the run's settings as well as its signs: a learning rate of D ten times that of G is put right
before anything is added. With nothing standing out the order is: penalty (R1), learning rate, another recipe (R3GAN).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gansmith.doctor.findings import Change

LOWEST, HIGHEST = 0.125, 8.0  # of lr_d / lr: beyond, the two players are out of step
LARGE, MODEST = 0.02, 1e-3  # learning rates: above the one Adam tears any GAN apart, the other is seldom too large
SLUGGISH = 0.6  # beta1 above which Adam's momentum makes games swing
HEAVY = 30.0  # times the usual gamma: D can hardly learn
SMALL_LATENT = 8  # numbers; fewer cannot draw an image in all its variety
MANY = 5  # moves of D per move of G that a game without a critic bears

GAMMA = {"gan": 0.1, "dcgan": 0.1, "r3gan": 1.0}
"""R1's weight on small images and on points at unit scale; it grows with the square of the resolution above 64 px."""


def advise(
    problem: str, fields: Mapping[str, Any], facts: Mapping[str, float], kind: str = "", data: str = ""
) -> Change:
    """The change for a problem.

    Args:
        problem: its name.
        fields: of the recipe, with "recipe" its name; empty for a foreign run.
        facts: of the data.
        kind: variant of the problem.
        data: kind of the data, "image" or "points".
    """
    if problem == "augmentation-leak" and kind == "ceiling":
        return _few_data(fields, facts)
    if problem in ELSEWHERE:
        return ELSEWHERE[problem]
    if problem == "under-training":
        return _set("Train on", fields, midway=True, samples=2 * int(fields.get("samples") or 500_000))
    if problem in ("memorisation", "d-overfitting"):
        return _few_data(fields, facts, _augmented(fields, data))
    return next(_changes(problem, fields, data))


def _changes(problem: str, fields: Mapping[str, Any], data: str) -> Iterator[Change]:
    """What to try for a game that goes wrong, the best first; without end."""
    yield from _standing_out(problem, fields, data)
    usual = _usual(fields)
    if problem in ("divergence", "oscillation", "convergence-failure") and fields.get("gp_weight") == 0:
        yield _set("Switch the gradient penalty on", fields, gp_weight=10.0)
    if fields.get("gamma") == 0 and problem != "g-overpowers-d":
        yield _penalty("Hold D by R1, the penalty that makes unpenalised games converge", fields, usual)
    if problem == "g-overpowers-d" and (fields.get("gamma") or 0) > usual:
        yield _set("Give D more freedom", fields, gamma=fields["gamma"] / 4)
    if problem in ("d-overpowers-g", "mode-collapse", "mode-dropping") and 0 < (fields.get("gamma") or 0) < usual:
        yield _set("Hold D tighter", fields, gamma=4 * fields["gamma"])
    if problem in ("divergence", "oscillation", "convergence-failure", "mode-dropping") and "lr" in fields:
        yield _set("Take smaller steps", fields, lr=fields["lr"] / 3)
    steered = "num_classes" in fields or "categorical" in fields  # R3GAN would lose labels and codes
    if fields.get("recipe") not in ("r3gan", "", None) and not steered:
        yield Change("Train R3GAN instead: its loss and its two penalties keep modes and converge.", recipe="r3gan")
    if "lr" in fields:
        yield _set("Take smaller steps", fields, lr=fields["lr"] / 3)
    yield GENERAL.get(problem, Change("Halve the learning rates of both players, and keep all else as it is."))


def _standing_out(problem: str, fields: Mapping[str, Any], data: str) -> Iterator[Change]:
    """Settings far outside of what works, that can cause the problem."""
    lr, lr_d = fields.get("lr"), fields.get("lr_d")
    if lr and lr_d and not LOWEST <= lr_d / lr <= HIGHEST:
        faster, slower = ("D", "G") if lr_d > lr else ("G", "D")
        text = f"Let both learn at one rate: {faster}'s is {max(lr_d / lr, lr / lr_d):.3g} times {slower}'s"
        rate = min((lr, lr_d), key=lambda r: abs(math.log(r / MODEST)))
        yield _set(text, fields, midway=True, lr=rate, lr_d=rate)
    elif lr and lr > LARGE:
        yield _set("Take a learning rate that Adam can bear", fields, lr=MODEST)
    if fields.get("objective") == "minimax" and problem != "g-overpowers-d":
        yield _set("Take the cost for G whose gradient does not vanish", fields, midway=True, objective="nonsaturating")
    critic = "gp_weight" in fields or "clip" in fields
    if problem not in ("g-overpowers-d", "divergence") and not critic and (fields.get("n_critic") or 1) >= MANY:
        yield _set("Let D move once for each move of G", fields, midway=True, n_critic=1)
    if (fields.get("gamma") or 0) > HEAVY * _usual(fields):
        yield _set("Give D freedom: this penalty forbids it to learn", fields, midway=True, gamma=_usual(fields))
    betas = fields.get("betas")
    if betas and betas[0] > SLUGGISH:
        yield _set("Take the momentum out: games swing with it", fields, betas=(0.0, 0.99))
    smallest = SMALL_LATENT if data == "image" else 2
    if problem != "divergence" and 0 < (fields.get("z_dim") or 0) < smallest:
        text = "Give the generator a larger latent: there is too little to tell samples apart"
        yield _set(text, fields, z_dim=64 if data == "image" else 4)


def _augmented(fields: Mapping[str, Any], data: str) -> str:
    """The flag to try as well, where images are not augmented."""
    if data != "image" or fields.get("augment") != "none":
        return ""
    return " Images can be augmented, too: --augment diffaugment."


def _few_data(fields: Mapping[str, Any], facts: Mapping[str, float], more: str = "") -> Change:
    """For a D or G that knows its data by heart; `more` is said behind."""
    count = facts.get("count", 0)
    if count and count < 1000:
        return Change(
            f"Collect more data: {count:.0f} samples are too few for any GAN; until then use the checkpoint with the "
            "best score, not the last (gansmith train ... --evaluate-every keeps it)." + more
        )
    if "gamma" in fields:
        change = _penalty("Hold D tighter", fields, 4 * (fields["gamma"] or _usual(fields)))
        return replace(change, words=change.words + more)
    return Change(
        "Collect more data, or stop at the checkpoint with the best score (--evaluate-every keeps it)." + more
    )


def _usual(fields: Mapping[str, Any]) -> float:
    return GAMMA.get(str(fields.get("recipe")), 0.1)


def _penalty(why: str, fields: Mapping[str, Any], gamma: float) -> Change:
    """R1 of this weight; BatchNorm leaves D when R1 comes."""
    unnormed = {"norm_d": "none"} if fields.get("norm_d") == "batch" else {}
    return _set(why, fields, midway=not unnormed, gamma=gamma, **unnormed)


def _set(why: str, fields: Mapping[str, Any], midway: bool = False, **changed: Any) -> Change:
    """A change of fields; the same values again are left out."""
    new = {k: _round(v) for k, v in changed.items() if fields.get(k) != v}
    shown = " and ".join(f"{k} = {_shown(v)}" for k, v in new.items())
    return Change(f"{why}: {shown}.", new, midway=midway)


def _round(v: Any) -> Any:
    return float(f"{v:.2g}") if isinstance(v, float) else v


def _shown(v: Any) -> str:
    return " ".join(f"{x:g}" for x in v) if isinstance(v, tuple) else f"{v:g}" if isinstance(v, float) else str(v)


ELSEWHERE = {
    "starvation": Change(
        "Have the data decoded once, in a folder on a local disk (GANSMITH_CACHE), or train with a larger batch."
    ),
    "augmentation-leak": Change(
        "Augment less: at most eight of ten samples, and nothing that the data would not show."
    ),
}
"""Changes that are none of fields."""

GENERAL = {
    "mode-collapse": Change(
        "Train R3GAN, or add a zero-centred gradient penalty (R1) to D, and keep all else as it is."
    ),
    "mode-dropping": Change(
        "Go back to the checkpoint with the best coverage, and train on with a third of the rates."
    ),
    "d-overpowers-g": Change("Add a zero-centred gradient penalty (R1) to D, and keep all else as it is."),
    "g-overpowers-d": Change("Double the learning rate of D, and keep all else as it is."),
}
"""For runs of which nothing is known but their signs."""
