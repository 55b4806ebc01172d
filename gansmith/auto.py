"""Automatic settings: values that suit these data and this machine, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

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
    recipe's default. With a preset nothing is automatic: a preset is a complete published configuration.

    Raises:
        GansmithError: an unknown field or preset, a value out of range, data that the recipe cannot learn.
    """
    known = {f.name for f in fields(cls)}
    for name in given:
        if name not in known:
            raise GansmithError(f"{cls.__name__} has no field {name!r}.{did_you_mean(name, known)}")
    if preset is not None and preset not in cls.presets:
        there = ", ".join(cls.presets) or "none"
        raise GansmithError(f"{cls.__name__} has no preset {preset!r} (there are: {there}).{did_you_mean(preset, cls.presets)}")
    values = dict(cls.presets[preset]) if preset is not None else {}
    auto = {} if preset is not None else {k: v for k, v in cls.suggest(data, device).items() if k not in given}
    recipe = cls(**values | {k: v.value for k, v in auto.items()} | dict(given))
    recipe.check(data)
    return recipe, auto


def batch_for(data: DataSpec, best: int) -> Setting:
    """The recipe's best batch, halved until a small data set holds 8 of them."""
    batch = best
    while data.count and batch > max(4, data.count // 8):
        batch //= 2
    return Setting(batch, "a good trade of speed and noise" if batch == best else f"only {data.count} training samples")


def ema_for(batch: int) -> Setting:
    """Half-life of the averaged generator in ksamples, by StyleGAN2-ADA's rule."""
    return Setting(batch * 10 / 32, f"10 ksamples at batch 32, in proportion to batch {batch}")


def samples_for(data: DataSpec, device: torch.device) -> Setting:
    """A budget for images: a first good result on a CPU, the order of the papers' budgets on an accelerator."""
    samples = 500_000 if device.type == "cpu" else 5_000_000
    return Setting(samples, f"about {samples / max(data.count, 1):.0f} passes over {data.count} samples on {device.type}")


def image_settings(data: DataSpec, device: torch.device, batch: int = 64, width: int = 64) -> dict[str, Setting]:
    """Settings for a convolutional pair: batch, width, average and budget."""
    chosen = batch_for(data, batch)
    out = {"batch": chosen, "ema_half_life": ema_for(chosen.value), "samples": samples_for(data, device)}
    if device.type == "cpu":
        out["width"] = Setting(width // 2, "half the published width: four times as many steps on a CPU")
    return out


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
