"""`make demo`: within 90 seconds of training a GAN draws digits that an independent judge takes for digits."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import pytest
import torch
from judge import Judge

import gansmith
from gansmith.cli import main

ROOT = Path(__file__).parents[2]
JUDGED = 2250


@cache
def judge() -> Judge:
    return Judge()


def demo_command() -> list[str]:
    """The arguments of gansmith in `make demo`."""
    found = re.search(r"^DEMO \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert found
    return shlex.split(found[1])


def test_the_judge_is_good_and_not_easily_pleased() -> None:
    assert judge().accuracy >= 0.97
    assert judge().verdict(judge().real).good
    noise = torch.rand(JUDGED, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert not judge().verdict(noise).good
    collapsed = judge().real[:1].expand(JUDGED, -1, -1, -1) + 0.01 * torch.randn(JUDGED, 1, 28, 28)
    assert not judge().verdict(collapsed).good
    nine = judge().real[judge().labels != 4]
    assert not judge().verdict(nine[:JUDGED]).good


def test_an_untrained_generator_fails(tmp_path: Path) -> None:
    command = demo_command()
    out = tmp_path / "run"
    assert main([*_without(command, "--minutes", "--samples"), "--samples", "64", "--out", str(out)]) == 0
    assert not judge().verdict(gansmith.load(out).sample(JUDGED)).good


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_demo_draws_digits_within_90_seconds(tmp_path: Path, seed: int) -> None:
    out = tmp_path / "run"
    assert main([*demo_command(), "--seed", str(seed), "--out", str(out)]) == 0
    seconds = gansmith.info(out)["state"]["seconds"]
    verdict = judge().verdict(gansmith.load(out).sample(JUDGED))
    print(f"seed {seed}: {verdict}, {seconds:.0f} s")
    assert seconds <= 90
    assert verdict.good


def _without(command: list[str], *flags: str) -> list[str]:
    """The command without some flags and their values."""
    drop = {i + k for i, word in enumerate(command) if word in flags for k in (0, 1)}
    return [word for i, word in enumerate(command) if i not in drop]
