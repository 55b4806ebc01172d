"""Several processes that share a batch: the parameters of one process, one writer, and an end when one dies."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gansmith import train
from gansmith.engine import checkpoint, records
from tests.engine import tiny

SHARED = Path(__file__).with_name("shared.py")
ONE = [sys.executable, "-m", "gansmith"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "gansmith"]

pytestmark = pytest.mark.timeout(100)


def gansmith(words: str, start: list[str] = ONE, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_PORT")}
    command = [*start, *words.split(), "--device", "cpu"]
    return subprocess.run(command, env=clean | environment, capture_output=True, text=True, timeout=90)


GAMES = {
    "gan": {"gamma": 0.02, "batch": 16, "samples": 80, "width": 16},
    "wgan_gp": {"batch": 16, "samples": 400, "width": 16},
}


@pytest.mark.parametrize(("recipe", "start"), [("gan", ONE), pytest.param("wgan_gp", TORCHRUN, marks=pytest.mark.slow)])
def test_two_processes_are_one_and_the_first_writes(recipe: str, start: list[str], tmp_path: Path) -> None:
    """Five rounds at the same global batch with the same random numbers; wgan_gp takes five batches a round."""
    options, path = GAMES[recipe], tmp_path / "two"
    alone = train(recipe, "swissroll", out=tmp_path / "one", tick=10**6, device="cpu", quiet=True, **options).path
    words = " ".join(f"--{k} {v}" for k, v in options.items()) + (" --devices 2" if start is ONE else "")
    words = f"train {SHARED} --data swissroll --out {path} --tick 1000000 {words}"
    done = gansmith(words, start, SHARED_RECIPE=recipe)
    assert done.returncode == 0, done.stderr

    last = [checkpoint.all_in(run / "checkpoints")[-1] for run in (alone, path)]
    assert [checkpoint.load_state(p)["round"] for p in last] == [5, 5]
    one, two = (checkpoint.load_nets(p) for p in last)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=0)
    rows = [records.read(run / "metrics.jsonl") for run in (alone, path)]
    assert rows[1][-1]["G/adv"] == pytest.approx(rows[0][-1]["G/adv"], abs=1e-5)

    assert [r["seen"] for r in rows[1]] == [0, options["samples"]]
    assert done.stdout.count("Done: ") == 1 and done.stdout.count("swissroll: ") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.slow
@pytest.mark.parametrize("start", [ONE, TORCHRUN])
def test_trouble_that_all_meet_is_told_once(start: list[str], tmp_path: Path) -> None:
    devices = "--devices 2" if start is ONE else ""
    done = gansmith(f"train gan --data grid25 --batch 9 {devices} --out {tmp_path / 'run'}", start)
    assert done.returncode != 0 and "Traceback" not in done.stderr.split("torch/distributed")[0]
    assert done.stderr.count("batch = 9 does not divide over 2 processes") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("rank", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_a_process_that_dies_ends_the_training(rank: str, tmp_path: Path) -> None:
    words = f"train {tiny.FILE} --data swissroll --samples 100M --devices 2 --out {tmp_path / 'run'}"
    done = gansmith(words, TINY_EXIT="20", TINY_RANK=rank)
    assert done.returncode == (1 if rank == "1" else 3)
    if rank == "1":
        assert done.stderr.count("error: Another process of this training is gone") == 1
    assert "Traceback" not in done.stderr
    assert [p.name for p in checkpoint.all_in(tmp_path / "run" / "checkpoints")] == ["000000000"]
