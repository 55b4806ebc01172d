"""The one change: what stands out is put right first, and every problem has an answer for every recipe."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from gansmith import recipes
from gansmith.auto import make, settle
from gansmith.cli.train import Args
from gansmith.core import DataSpec
from gansmith.doctor.advice import advise
from gansmith.doctor.rules import RULES
from gansmith.doctoring import command
from gansmith.session import fields_from_yaml, fields_to_yaml

PLAIN = {"recipe": "gan", "gamma": 0.0, "lr": 2e-3, "lr_d": None, "z_dim": 64, "betas": [0.0, 0.99], "n_critic": 1}
CLASSES: dict[str, Any] = {"fields": ("x", "y"), "classes": ("cat", "dog")}
SPECS = [DataSpec("photos", "image", (3, 32, 32), 5000, **CLASSES), DataSpec("grid25", "points", (2,), **CLASSES)]


@pytest.mark.parametrize(
    ("problem", "fields", "changed"),
    [
        ("d-overpowers-g", {"lr_d": 0.1}, {"lr_d": 2e-3}),
        ("g-overpowers-d", {"lr_d": 1e-5}, {"lr_d": 2e-3}),
        ("convergence-failure", {"lr": 1e-9, "lr_d": 2e-4}, {"lr": 2e-4}),
        ("divergence", {"lr": 0.1}, {"lr": 1e-3}),
        ("d-overpowers-g", {"objective": "minimax"}, {"objective": "nonsaturating"}),
        ("d-overpowers-g", {"n_critic": 10}, {"n_critic": 1}),
        ("g-overpowers-d", {"gamma": 1000.0}, {"gamma": 0.1}),
        ("oscillation", {"betas": [0.95, 0.99]}, {"betas": (0.0, 0.99)}),
        ("mode-collapse", {"z_dim": 1}, {"z_dim": 64}),
        ("mode-collapse", {}, {"gamma": 0.1}),
        ("divergence", {}, {"gamma": 0.1}),
        ("divergence", {"gamma": 0.1}, {"lr": 6.7e-4}),
        ("mode-dropping", {"gamma": 0.02}, {"gamma": 0.08}),
        ("under-training", {"samples": 100_000}, {"samples": 200_000}),
        ("memorisation", {"gamma": 0.1}, {"gamma": 0.4}),
    ],
)
def test_the_change(problem: str, fields: dict[str, Any], changed: dict[str, Any]) -> None:
    found = advise(problem, PLAIN | fields, {"count": 5000.0}, "partial", "image")
    assert dict(found.fields) == changed
    assert all(name in found.words or name == "samples" for name in changed)


def test_batch_norm_leaves_d_when_r1_comes() -> None:
    found = advise("mode-collapse", PLAIN | {"recipe": "dcgan", "norm_d": "batch"}, {}, "partial", "image")
    assert dict(found.fields) == {"gamma": 0.1, "norm_d": "none"} and not found.midway


def test_few_data_ask_for_more_data() -> None:
    found = advise("memorisation", PLAIN, {"count": 90.0})
    assert not found.fields and "90" in found.words


@pytest.mark.parametrize("fields", [{"gamma": 0.1}, {}], ids=["gamma", "none"])
@pytest.mark.parametrize("count", [90.0, 5000.0])
def test_over_fitting_names_the_augmentation_where_there_is_none(fields: dict[str, Any], count: float) -> None:
    """In words: what the change does to the fields has been measured without it."""
    for problem in ("d-overfitting", "memorisation"):
        told = {
            how: advise(problem, fields | {"augment": how}, {"count": count}, data=data)
            for how, data in (("none", "image"), ("ada", "image"))
        }
        assert "--augment diffaugment" in told["none"].words and "augment" not in told["ada"].words
        assert told["none"].fields == told["ada"].fields and "augment" not in told["none"].fields
        assert "augment" not in advise(problem, fields | {"augment": "none"}, {"count": count}, data="points").words


@pytest.mark.parametrize("problem", RULES)
@pytest.mark.parametrize("spec", SPECS, ids=["image", "points"])
@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_gets_a_change_that_it_can_make(name: str, problem: str, spec: DataSpec) -> None:
    cls = recipes.find(name)
    if spec.kind not in cls.kinds:
        return
    recipe, _ = settle(cls, spec, torch.device("cpu"), {})
    fields = fields_to_yaml(dataclasses.asdict(recipe)) | {"recipe": name}
    found = advise(problem, fields, {"count": 5000.0}, "partial", spec.kind)
    assert found.words and (found.recipe is None or found.recipe in recipes.names())
    plain = fields_from_yaml({k: v for k, v in fields.items() if k != "recipe"})
    changed = make(cls, plain | dict(found.fields))
    changed.check(spec)
    assert (changed != recipe) == bool(found.fields)


@pytest.mark.parametrize("name", ["cgan", "infogan"])
def test_labels_and_codes_are_not_given_up(name: str) -> None:
    """The last resort of others, R3GAN, would lose them."""
    recipe, _ = settle(recipes.find(name), SPECS[0], torch.device("cpu"), {})
    fields = fields_to_yaml(dataclasses.asdict(recipe)) | {"recipe": name}
    for problem in ("mode-collapse", "d-overpowers-g", "convergence-failure", "oscillation"):
        assert advise(problem, fields, {}, "", "image").recipe is None


@pytest.mark.parametrize(
    ("lr", "lr_d", "both"), [(2e-4, 2e-2, 2e-4), (2e-2, 2e-4, 2e-4), (1e-9, 2e-3, 2e-3), (0.1, 1e-6, 0.1)]
)
def test_of_two_rates_the_one_nearer_to_what_is_usual_is_taken(lr: float, lr_d: float, both: float) -> None:
    found = advise("divergence", PLAIN | {"lr": lr, "lr_d": lr_d}, {}).fields
    assert (found.get("lr", lr), found.get("lr_d", lr_d)) == (both, both)


def test_a_foreign_run_gets_advice_in_words() -> None:
    for problem in RULES:
        found = advise(problem, {}, {})
        assert found.words and found.recipe is None


def config(**fields: Any) -> dict[str, Any]:
    recipe, auto = settle(recipes.find("gan"), SPECS[0], torch.device("cpu"), fields)
    return {
        "recipe": "gan",
        "preset": None,
        "fields": fields_to_yaml(dataclasses.asdict(recipe)),
        "automatic": {k: v.reason for k, v in auto.items()},
        "data": {"source": "/my photos", "options": {"resolution": 32, "fit": "crop", "labels": True}},
        "budget": {"samples": 1000, "minutes": 2.0},
        "seed": 3,
    }


def test_the_command_repeats_the_run_with_one_change() -> None:
    told = config(lr_d=0.1, betas=(0.0, 0.9))
    change = advise("d-overpowers-g", told["fields"] | {"recipe": "gan"}, {})
    text = command(told, Path("runs/1"), change)
    assert text is not None
    words = shlex.split(text)
    assert words[:5] == ["gansmith", "train", "gan", "--data", "/my photos"]
    flags = {w.removeprefix("--").replace("-", "_") for w in words if w.startswith("--")}
    own = {f.name for f in dataclasses.fields(Args)} | {f.name for f in dataclasses.fields(recipes.find("gan"))}
    assert flags <= own and "fit" not in flags and "z_dim" not in flags
    for pair in (["--lr-d", "0.0002"], ["--betas", "0", "0.9"], ["--resolution", "32"], ["--minutes", "2"]):
        assert any(words[i : i + len(pair)] == pair for i in range(len(words))), (pair, words)
    assert "--labels" in words and words[-2:] == ["--seed", "3"]


def test_the_command_names_the_files_of_labels_and_captions() -> None:
    told = config()
    told["data"]["options"] |= {"labels": "/my labels.csv:kind", "captions": True}
    words = shlex.split(command(told, Path("runs/1"), advise("mode-collapse", PLAIN, {})) or "")
    assert words[words.index("--labels") + 1] == "/my labels.csv:kind"
    assert "--captions" in words and words[words.index("--captions") + 1].startswith("--")


def test_no_command_for_data_that_came_as_an_array() -> None:
    told = config()
    told["data"]["source"] = None
    assert command(told, Path("runs/1"), advise("mode-collapse", PLAIN, {})) is None


def test_training_on_is_a_resume() -> None:
    told = config()
    change = advise("under-training", told["fields"], {})
    assert command(told, Path("runs/1"), change) == f"gansmith resume runs/1 --samples {change.fields['samples']}"


def test_the_command_says_how_two_sides_were_read() -> None:
    told = config()
    told["data"]["options"] |= {"labels": None, "pairs": False, "side_by_side": "BA", "degrade": "downscale 4"}
    words = shlex.split(command(told, Path("runs/1"), advise("mode-collapse", PLAIN, {})) or "")
    for flag, value in (("--pairs", "false"), ("--side-by-side", "BA"), ("--degrade", "downscale 4")):
        assert words[words.index(flag) + 1].lower() == value.lower()
    assert "--labels" not in words
    told["data"]["options"] |= {"pairs": True, "side_by_side": None, "degrade": None}
    words = shlex.split(command(told, Path("runs/1"), advise("mode-collapse", PLAIN, {})) or "")
    assert words[words.index("--pairs") + 1].startswith("--") and "--degrade" not in words
