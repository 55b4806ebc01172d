"""Kill and resume: whatever the moment, the final networks equal those of a run that was never stopped, byte for byte.

Every recipe trains in a process of its own on real digits, over more than one epoch; it is killed (SIGKILL) at five
moments and resumed each time. The networks are narrow, so that a run takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gansmith import recipes

KILLS = 5
TICKS = 20
BEGIN = 5000  # samples, more than the digits that are trained on: the second epoch

TINY = {
    "gan": "--width 64",
    "fgan": "--width 64",
    "lsgan": "--width 8",
    "wgan": "--width 8 --n-critic-start 8 --rounds-start 4 --restart-every 6",
    "wgan_gp": "--width 8",
    "dragan": "--width 8",
    "dcgan": "--width 8",
    "sngan": "--width 8",
    "stylegan2": "--w-dim 32 --channel-base 224 --channel-max 16",
    "r3gan": "--widths 32 16 8 --group 8",
}


def argv(name: str, out: Path, seed: int) -> list[str]:
    """The training's words: 20 ticks in all, the last of them in the second epoch."""
    data = "digits" if "image" in recipes.find(name).kinds else "grid25"
    common = f"--batch 32 --samples {2 * BEGIN} --tick {2 * BEGIN // TICKS} --seed {seed} --device cpu"
    return ["train", name, "--data", data, "--out", str(out), *common.split(), *TINY.get(name, "").split()]


def start(words: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gansmith", *words]
    env = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(words: list[str]) -> str:
    process = start(words)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    return said


def ticks(run: Path) -> list[dict[str, Any]]:
    """The whole records of a run's ticks so far."""
    path = run / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    return [r for r in records if "event" not in r]  # what the doctor said is no tick


def wait(process: subprocess.Popen[str], run: Path, records: int, seconds: float) -> None:
    """Until there are `records` records more than now, then so many seconds."""
    target = len(ticks(run)) + records
    while len(ticks(run)) < target or not (run / "run.yaml").exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.005)
    time.sleep(seconds)


def stop(process: subprocess.Popen[str], number: int) -> str:
    """Send a signal to a process that must still be training; what it said."""
    assert process.poll() is None, process.communicate()[0]
    process.send_signal(number)
    return process.communicate()[0]


def end_state(run: Path) -> tuple[str, str, dict[str, Any]]:
    """Hashes of networks and optimizers of the last checkpoint, and the clock."""
    last = max((run / "checkpoints").glob("[0-9]*"))
    hashes = (hashlib.sha256((last / f"{kind}.safetensors").read_bytes()).hexdigest() for kind in ("nets", "optim"))
    state = json.loads((last / "state.json").read_text())
    return *hashes, {k: state[k] for k in ("round", "seen", "retries", "lr_scale")}


@pytest.mark.parametrize("name", recipes.names())
def test_killed_at_five_moments_and_resumed(name: str, tmp_path: Path) -> None:
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    finish(argv(name, straight, seed=1))
    assert ticks(straight)[-1]["seen"] >= 2 * BEGIN
    pause = [b["seconds"] - a["seconds"] for a, b in zip(ticks(straight), ticks(straight)[1:], strict=False)]
    rng, between = random.Random(name), sum(pause) / len(pause)
    for i in range(KILLS):
        process = start(argv(name, killed, seed=1) if i == 0 else ["resume", str(killed)])
        # One tick at least in each of the first four, so that the second epoch is reached; the last, while it starts.
        records, seconds = (0, rng.uniform(0, 2)) if i == KILLS - 1 else (rng.choice((1, 2)), rng.uniform(0, between))
        wait(process, killed, records, seconds)
        stop(process, signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    assert ticks(killed)[-1]["seen"] < 2 * BEGIN, "the run was over before it was killed for the last time"
    finish(["resume", str(killed)])
    assert end_state(killed) == end_state(straight)
    assert [r["seen"] for r in ticks(killed)] == [r["seen"] for r in ticks(straight)]
    assert not list(killed.rglob(".*tmp*")) and not list(killed.rglob(".*.old"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C saves at once, between two ticks, says how to go on, and loses nothing."""
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    finish(argv("dcgan", straight, seed=2))
    process = start(argv("dcgan", stopped, seed=2))
    wait(process, stopped, 3, 0.2)
    said = stop(process, number)
    assert process.returncode == 128 + number
    assert f"gansmith resume {stopped}" in said and "Traceback" not in said
    saved = json.loads((max((stopped / "checkpoints").glob("[0-9]*")) / "state.json").read_text())
    assert 0 < saved["seen"] < 2 * BEGIN
    finish(["resume", str(stopped)])
    assert end_state(stopped) == end_state(straight)


def test_killed_in_the_second_epoch_and_extended(tmp_path: Path) -> None:
    """A resume far behind an epoch boundary, twice over: the order of the data is a function of the position."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    finish(argv("lsgan", straight, seed=3))
    process = start(argv("lsgan", killed, seed=3))
    while not ticks(killed) or ticks(killed)[-1]["seen"] < BEGIN:
        wait(process, killed, 1, 0)
    stop(process, signal.SIGKILL)
    assert BEGIN <= ticks(killed)[-1]["seen"] < 2 * BEGIN
    finish(["resume", str(killed)])
    assert end_state(killed) == end_state(straight)
