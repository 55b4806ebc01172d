"""Automatic settings: values that suit these data and this machine, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import torch

from gansmith.core import DataSpec, Recipe, Setting
from gansmith.errors import GansmithError, did_you_mean


def settle(
    cls: type[Recipe],
    data: DataSpec,
    device: torch.device,
    given: Mapping[str, Any],
    preset: str | None = None,
) -> tuple[Recipe, dict[str, Setting]]:
    """The recipe that will be played, and the settings that were chosen for the user.

    A field given by the user wins over the preset, which wins over the automatic value, which wins over the
    recipe's default. With a preset nothing is automatic but what
    the data alone decide: a preset is a complete published configuration.

    Raises:
        GansmithError: an unknown field or preset, a value out of range, data that the recipe cannot learn or of
            which there are fewer than a batch.
    """
    if preset is not None and preset not in cls.presets:
        there = ", ".join(cls.presets) or "none"
        raise GansmithError(
            f"{cls.__name__} has no preset {preset!r} (there are: {there}).{did_you_mean(preset, cls.presets)}"
        )
    values = dict(cls.presets[preset]) if preset is not None else {}
    chosen = cls.bound(data) | ({} if preset is not None else cls.suggest(data, device))
    auto = {k: v for k, v in chosen.items() if k not in given}
    recipe = make(cls, values | {k: v.value for k, v in auto.items()} | dict(given))
    recipe.check(data)
    if 0 < data.count < recipe.batch:
        raise GansmithError(
            f"batch = {recipe.batch} is more than the {data.count} training samples of {data.name!r}: give --batch "
            f"{data.count} or less" + ("." if preset else ", or leave it to the automatic choice.")
        )
    return recipe, auto


def make(cls: type[Recipe], values: Mapping[str, Any]) -> Recipe:
    """The recipe with these fields. Raises GansmithError for an unknown field or a value of the wrong type."""
    known, hints = {f.name for f in fields(cls)}, get_type_hints(cls)
    for name, value in values.items():
        if name not in known:
            raise GansmithError(f"{cls.__name__} has no field {name!r}.{did_you_mean(name, known)}")
        if not _fits(value, hints[name]):
            choices = get_args(hints[name]) if get_origin(hints[name]) is Literal else ()
            right = ", ".join(map(repr, choices)) or getattr(hints[name], "__name__", str(hints[name]))
            raise GansmithError(f"{cls.__name__}: {name} = {value!r} does not fit: give {right}.")
    return cls(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the type that a field's annotation asks for; annotations of other kinds are not judged."""
    kind, inner = get_origin(hint), get_args(hint)
    if kind is Literal:
        return value in inner
    if kind in (Union, UnionType):
        return any(_fits(value, part) for part in inner)
    if kind is tuple:
        parts = inner[:1] * len(value) if inner[1:] == (...,) and isinstance(value, tuple) else inner
        return isinstance(value, tuple) and len(value) == len(parts) and all(map(_fits, value, parts))
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    return hint not in (str, bool, NoneType) or isinstance(value, hint)


def batch_for(data: DataSpec, best: int) -> Setting:
    """The recipe's best batch, halved until a small data set holds 8 of them."""
    batch = best
    while data.count and batch > max(4, data.count // 8):
        batch //= 2
    return Setting(batch, "a good trade of speed and noise" if batch == best else f"only {data.count} training samples")


def ema_for(batch: int) -> Setting:
    """Half-life of the averaged generator in ksamples, by StyleGAN2-ADA's rule."""
    return Setting(batch * 10 / 32, f"10 ksamples at batch 32, in proportion to batch {batch}")


def samples_for(data: DataSpec, device: torch.device, draws: int = 1) -> Setting:
    """A budget for images: a first good result on a CPU, the order of the papers' budgets on an accelerator."""
    samples = draws * (500_000 if device.type == "cpu" else 5_000_000)
    return Setting(
        samples, f"about {samples / max(data.count, 1):.0f} passes over {data.count} samples on {device.type}"
    )


def image_settings(
    data: DataSpec, device: torch.device, batch: int = 64, width: int = 64, draws: int = 1
) -> dict[str, Setting]:
    """Settings for networks on images: batch, width, average and budget.

    Args:
        batch: best for this recipe.
        width: as published; half of it is taken on a CPU.
        draws: real batches that a round draws.
    """
    chosen = batch_for(data, batch)
    out = {"batch": chosen, "ema_half_life": ema_for(chosen.value), "samples": samples_for(data, device, draws)}
    if device.type == "cpu":
        out["width"] = Setting(width // 2, "half the published width: four times as many steps on a CPU")
    return out


def quick_settings(data: DataSpec, device: torch.device) -> dict[str, Setting]:
    """Settings for a DCGAN pair held by R1, as in dcgan's preset "r1": the fast start on small images.

    With an accelerator there is time for the published widths.
    """
    chosen = image_settings(data, device, batch=32 if device.type == "cpu" else 64)
    why = "measured on digits: R1 bears large steps"
    values = {"gamma": 0.1, "r1_every": 4, "lr": 4e-3, "lr_final": 0.02, "betas": (0.0, 0.99), "z_dim": 32}
    chosen |= {k: Setting(v, why) for k, v in values.items()}
    if device.type == "cpu":
        chosen["width_d"] = Setting(16, "a quarter of the published width: many more steps on a CPU")
    return chosen


def narrow_settings(data: DataSpec, device: torch.device, draws: int = 5) -> dict[str, Setting]:
    """Settings for SNGAN's nets, or for the small MLP pair on points, in games of several moves of D a round."""
    if data.kind == "points":
        return point_settings(draws=draws, rounds=1875)
    chosen = image_settings(data, device, draws=draws)
    if device.type == "cpu":
        chosen["width"] = Setting(32, "narrower than published: many more steps on a CPU")
    return chosen


def point_settings(lr: float = 2e-3, draws: int = 1, rounds: int = 5000) -> dict[str, Setting]:
    """Settings for a small MLP pair on points: those with which the exactly known sets were measured.

    Args:
        lr: learning rate at the start; it falls to a twentieth.
        draws: real batches that a round draws.
        rounds: how many rounds make the budget.
    """
    why = "measured on grid25"
    values = {"batch": 256, "z_dim": 2, "width": 64, "lr": lr, "lr_final": 0.05, "ema_half_life": 10.0}
    return {k: Setting(v, why) for k, v in values.items()} | {
        "samples": Setting(256 * draws * rounds, f"{rounds} rounds of batch 256")
    }
