"""Whether a picture lies outside what a model can make: compared with how well pictures inside are found again.

    known = calibrated(space, folder)              # once for a model and settings, then from a file
    outside(known, invert(space, pictures))        # (N,) of true and false

A model's own samples are found again far better than any others, real pictures of its kind too (Karras et al. 2020,
arXiv:1912.04958, section 5): compared with them, `outside` says that a picture was not drawn by this model. To ask
whether it is of the model's kind, give pictures that are.

A picture is outside when the logarithm of its distance lies more than 2.5 standard deviations above the mean of theirs.
Logarithms, because the distances go over orders of magnitude: most are next to nothing, and where a search ends in
another valley they are hundreds of times larger. The greatest of 40 distances is no good bound: it changes too much
from one 40 to the next.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gansmith.engine.files import explained, write_file
from gansmith.errors import GansmithError
from gansmith.explore.inversion import Found, OnStep, invert, settings_of
from gansmith.explore.space import Space

FORMAT = "gansmith range 1"
FAR = 2.5  # standard deviations above the mean
LEAST = 20  # pictures
FLOOR = 1e-8  # distances below it are equal to rounding
SEED = 374_761_393  # of the samples: one that nobody draws with


@dataclass(frozen=True)
class Range:
    """How far pictures inside are from what inversion finds for them.

    Args:
        settings: of the inversion (`Found.settings`).
        errors: (n,) distances, ascending.
    """

    settings: Mapping[str, Any]
    errors: Tensor

    def deviations(self, found: Found) -> Tensor:
        """How far each of N pictures is (N,): the logarithm of its distance, in standard deviations above the mean.

        Raises:
            GansmithError: it was found with other settings, or stopped before the end.
        """
        off = [key for key in self.settings if self.settings[key] != found.settings[key]]
        if off:
            raise GansmithError(
                f"The range is known for other settings ({', '.join(off)}) than these pictures were found with: give "
                "calibrate and invert the same."
            )
        if found.steps < self.settings["steps"]:
            raise GansmithError(
                f"The search was stopped after {found.steps} of {self.settings['steps']} steps: let it end, then ask."
            )
        known = self.errors.clamp_min(FLOOR).log()
        return (found.distance.clamp_min(FLOOR).log() - known.mean()) / known.std().clamp_min(0.1)


def outside(known: Range, found: Found) -> Tensor:
    """Which of N pictures lie outside, (N,) bool. Raises GansmithError as `Range.deviations`."""
    return known.deviations(found) > FAR


def calibrate(
    space: Space, samples: int | Tensor = 40, seed: int = 0, on_step: OnStep | None = None, **settings: Any
) -> Range:
    """Invert pictures that are inside.

    Args:
        samples: how many of the model's own, or pictures (n, C, H, W) in [-1, 1] that count as inside; at least 20.
        seed: of the samples, and of `invert`.
        on_step: as for `invert`; but nothing is given when it stops.
        settings: of `invert`.

    Raises:
        GansmithError: too few pictures, stopped, or what `invert` raises.
    """
    count = samples if isinstance(samples, int) else len(samples)
    if count < LEAST:
        raise GansmithError(f"{count} pictures are too few to tell what is outside: take at least {LEAST}.")
    pictures = _own(space, samples, seed) if isinstance(samples, int) else samples
    found = invert(space, pictures, seed=seed, on_step=on_step, **settings)
    if found.steps < found.settings["steps"]:
        raise GansmithError("Stopped before the search for all pictures was over: the model's range is not known.")
    return Range(found.settings, found.distance.sort().values)


def _own(space: Space, n: int, seed: int) -> Tensor:
    """n samples of the model as they are saved: with 8 bits, and in a recipe with styles each with noise of its own."""
    images = space.model.generate(space.model.draw_latents(n, SEED + seed)).clamp(-1, 1)
    return ((images + 1) * 127.5).round() / 127.5 - 1


def calibrated(
    space: Space,
    folder: str | Path,
    samples: int | Tensor = 40,
    seed: int = 0,
    on_step: OnStep | None = None,
    **settings: Any,
) -> Range:
    """The range that a folder keeps for this model, these samples and settings; else measured now, and kept there.

    Args:
        folder: such as the run's; made when needed. A damaged file in it is made anew.

    Raises:
        GansmithError: as `calibrate`, or the folder cannot be written.
    """
    folder = Path(folder).expanduser()
    asked = settings_of(**settings)
    whose = {**space.told, "samples": _named(samples), "seed": seed, "settings": asked}
    path = folder / f"range-{hashlib.sha256(json.dumps(whose, sort_keys=True).encode()).hexdigest()[:16]}.json"
    errors = _read(path, whose)
    if errors is not None:
        return Range(asked, errors)
    known = calibrate(space, samples, seed, on_step, **settings)
    text = json.dumps({"format": FORMAT, **whose, "errors": known.errors.tolist()}, indent=1)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_file(path, lambda file: file.write_text(text + "\n", encoding="utf-8"))
    return known


def _named(samples: int | Tensor) -> str:
    """What a file calls them."""
    if isinstance(samples, int):
        return f"{samples} of the model's own"
    digest = hashlib.sha256(samples.detach().float().cpu().contiguous().numpy().tobytes()).hexdigest()
    return f"{len(samples)} pictures {digest[:16]}"


def _read(path: Path, whose: Mapping[str, Any]) -> Tensor | None:
    """The errors (n,) in a file; None where there is none, or it is damaged or not about this."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        errors = torch.tensor(facts.pop("errors"), dtype=torch.float32)
        same = facts == {"format": FORMAT, **whose}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    fine = same and errors.ndim == 1 and len(errors) >= LEAST and bool((errors >= 0).all() & errors.isfinite().all())
    return errors.sort().values if fine else None
