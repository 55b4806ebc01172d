"""The training loop: ticks, budgets, interruptions, exact resume, and what it does when a training diverges."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gansmith
from gansmith.api import Run
from gansmith.core import Clock
from gansmith.engine import checkpoint, records
from gansmith.engine import train as training
from gansmith.engine.train import Budget
from gansmith.errors import GansmithError, TrainingError
from tests.engine import tiny
from tests.engine.tiny import Tiny

NAN = float("nan")


def train(out: Path, samples: int = 160, tick: int = 80, **options: Any) -> Run:
    """20 rounds of 8 samples, ticks at rounds 0, 10 and 20."""
    return gansmith.train(
        Tiny, "swissroll", **{"out": out, "samples": samples, "tick": tick, "quiet": True, "device": "cpu"} | options
    )


def names(run: Path) -> list[int]:
    return [int(p.name) for p in checkpoint.all_in(run / "checkpoints")]


def rows(run: Path) -> list[dict[str, Any]]:
    return [r for r in records.read(run / "metrics.jsonl") if "doctor" not in r]


def files(run: Path) -> dict[str, bytes]:
    """The bytes of the last checkpoint's tensors."""
    last = checkpoint.all_in(run / "checkpoints")[-1]
    return {p.name: p.read_bytes() for p in last.iterdir() if p.suffix == ".safetensors"}


def once(at: int, act: Callable[[], float | None]) -> Callable[[Clock], float]:
    """Trouble the first time that round `at` is played."""
    left = [True]

    def trouble(clock: Clock) -> float:
        if clock.round == at and left:
            left.clear()
            return act() or 0.0
        return 0.0

    return trouble


@pytest.fixture(autouse=True)
def no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures take most of the time of a small training: drawn only where a test asks for them."""
    if "pictures" not in request.node.name:
        monkeypatch.setattr(
            training.pictures, "scatter", lambda fake, real=None: training.pictures.grid(fake[:1, :, None, None])
        )
        monkeypatch.setattr(records, "draw_curves", lambda rows, path: None)


# ---------------------------------------------------------------- ticks and budgets


def test_a_training_leaves_a_run_directory_with_pictures(tmp_path: Path) -> None:
    run = train(tmp_path / "run")
    assert (run.how, run.seen) == ("done", 160)
    assert names(run.path) == [80, 160]  # the last two; 0 was pruned
    assert [(r["seen"], r["round"]) for r in rows(run.path)] == [(0, 0), (80, 10), (160, 20)]
    keys = {"D/adv", "D/grad_norm_D", "G/adv", "G/grad_norm_G"}
    assert keys <= rows(run.path)[1].keys() and not keys & rows(run.path)[0].keys()
    assert sorted(p.name for p in (run.path / "samples").iterdir()) == [
        "000000000.png", "000000080.png", "000000160.png", "real.png",
    ]  # fmt: skip
    assert (run.path / "curves.png").stat().st_size > 1000
    assert not [p for p in run.path.rglob(".*") if p.name != ".lock"]


def test_events_for_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    path = train(tmp_path / "run", samples=80).path
    gansmith.resume(path, samples=160, quiet=True)
    board = EventAccumulator(str(path / "tensorboard"))
    board.Reload()
    scalars = {e.step: e.value for e in board.Scalars("D/adv")}
    wanted = {r["seen"]: r["D/adv"] for r in rows(path) if "D/adv" in r}
    assert scalars.keys() == wanted.keys() == {80, 160}
    assert all(scalars[k] == pytest.approx(v) for k, v in wanted.items())


def test_a_tick_comes_when_its_position_is_crossed(tmp_path: Path) -> None:
    """Ticks of 30 with rounds of 8: after 32, 64, 96 and 120."""
    run = train(tmp_path / "run", samples=120, tick=30)
    assert [r["seen"] for r in rows(run.path)] == [0, 32, 64, 96, 120]


def test_a_late_tick_comes_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "TICK_SECONDS", 0.0)
    assert [r["seen"] for r in rows(train(tmp_path / "run", samples=24, tick=1000).path)] == [0, 8, 16, 24]


def test_a_budget_in_minutes_ends_the_training(tmp_path: Path) -> None:
    started = time.perf_counter()
    run = train(tmp_path / "run", samples=10**9, minutes=0.01, tick=10**8)
    assert run.how == "done" and 8 <= run.seen < 10**9
    assert 0.6 <= run.seconds <= time.perf_counter() - started < 5
    assert checkpoint.load_state(checkpoint.all_in(run.path / "checkpoints")[-1])["progress"] == 1.0


@pytest.mark.parametrize(
    ("samples", "minutes", "share"),
    [(100, None, 0.5), (None, 2, 0.25), (100, 2, 0.5), (1000, 2, 0.25), (40, None, 1.0)],
)
def test_the_first_budget_to_be_spent_counts(samples: int | None, minutes: float | None, share: float) -> None:
    assert Budget(samples, minutes).progress(seen=50, seconds=30) == share


def test_a_finished_run_is_done_and_can_learn_longer(tmp_path: Path) -> None:
    path = train(tmp_path / "run", samples=80, minutes=1000).path
    before = files(path)
    assert gansmith.resume(path, quiet=True).seen == 80 and files(path) == before
    assert gansmith.resume(path, samples=120, quiet=True).seen == 120  # replaces both budgets
    assert gansmith.resume(path, minutes=1e-9, quiet=True).seen == 120
    assert gansmith.resume(path, samples=128, quiet=True).seen == 128
    assert gansmith.info(path)["budget"] == {"samples": 128, "minutes": None}


# ---------------------------------------------------------------- interruptions


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_how_to_go_on(
    kind: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(kind)
    monkeypatch.setattr(tiny, "trouble", once(12, lambda: signal.raise_signal(kind)))
    run = train(tmp_path / "run", quiet=False)
    assert (run.how, run.seen) == (kind.name, 13 * 8)  # the round is played to its end
    assert names(run.path)[-1] == 13 * 8
    assert f"Go on with: gansmith resume {run.path}" in capsys.readouterr().out
    assert signal.getsignal(kind) is before


def test_a_second_signal_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(tiny, "trouble", once(12, twice))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run")
    assert names(tmp_path / "run") == [0, 80]


def test_resumed_is_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted at round 13, which is no tick: the same bytes in the end, and each record once."""
    straight = train(tmp_path / "straight").path
    monkeypatch.setattr(tiny, "trouble", once(12, lambda: signal.raise_signal(signal.SIGINT)))
    run = train(tmp_path / "run")
    spent = gansmith.info(run.path)["state"]["seconds"]
    resumed = gansmith.resume(run.path, quiet=True)
    assert (resumed.how, resumed.seen) == ("done", 160) and resumed.seconds > spent > 0
    assert files(run.path) == files(straight)
    assert [r["seen"] for r in rows(run.path)] == [0, 80, 104, 160]


def test_a_crash_repeats_from_the_last_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records that were written after the checkpoint are written again, not twice."""
    straight = train(tmp_path / "straight").path
    path, save = tmp_path / "run", checkpoint.save

    def dies(folder: Path, state: checkpoint.State) -> Path:
        if state[2]["seen"] == 160:
            raise MemoryError
        return save(folder, state)

    monkeypatch.setattr(checkpoint, "save", dies)
    with pytest.raises(MemoryError):
        train(path)
    assert [r["seen"] for r in rows(path)] == [0, 80, 160] and names(path) == [0, 80]
    monkeypatch.setattr(checkpoint, "save", save)
    with (path / "metrics.jsonl").open("a") as file:
        file.write('{"seen": 99')  # cut short
    gansmith.resume(path, quiet=True)
    assert [r["seen"] for r in rows(path)] == [0, 80, 160]
    assert files(path) == files(straight)


@pytest.mark.timeout(60)
def test_killed_and_resumed_is_uninterrupted(tmp_path: Path) -> None:
    straight = train(tmp_path / "straight", batch=8, z_dim=2).path
    path = tmp_path / "run"
    words = f"train {tiny.FILE} --data swissroll --samples 160 --tick 80 --out {path} --device cpu --quiet".split()
    environment = os.environ | {"TINY_KILL": "13"}
    done = subprocess.run([sys.executable, "-m", "gansmith", *words], env=environment, timeout=50)
    assert done.returncode == -signal.SIGKILL and names(path) == [0, 80]
    assert gansmith.resume(path, quiet=True).how == "done"
    assert files(path) == files(straight)
    assert [r["seen"] for r in rows(path)] == [0, 80, 160]


def test_the_disk_is_full_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save = checkpoint.save

    def full(folder: Path, state: checkpoint.State) -> Path:
        if state[2]["seen"] == 160:
            with checkpoint.explained(folder):
                raise OSError(28, "No space left on device")
        return save(folder, state)

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(GansmithError, match="No space left"):
        train(tmp_path / "run")
    assert names(tmp_path / "run") == [0, 80]
    assert gansmith.load(tmp_path / "run").seen == 80


def test_the_disk_is_full_indeed(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_disk / "run"

    def fill() -> None:
        handle = os.open(small_disk / "other", os.O_WRONLY | os.O_CREAT)
        with contextlib.suppress(OSError):
            while True:
                os.write(handle, bytes(1 << 10))
        os.close(handle)

    monkeypatch.setattr(tiny, "trouble", once(15, fill))
    with pytest.raises(GansmithError, match="No space left"):
        train(path)
    assert names(path) == [0, 80] and gansmith.load(path).seen == 80
    (small_disk / "other").unlink()
    assert gansmith.resume(path, quiet=True).seen == 160


# ---------------------------------------------------------------- trouble


def test_a_training_that_diverges_once_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tiny, "trouble", once(15, lambda: NAN))
    run = train(tmp_path / "run", quiet=False)
    assert (run.how, run.seen) == ("done", 160)
    state = checkpoint.load_state(checkpoint.all_in(run.path / "checkpoints")[-1])
    assert (state["retries"], state["lr_scale"]) == (1, 0.5)
    said = "player D: adv is nan at 120 samples: back to 000000080, going on with learning rates x 0.5 (retry 1 of 3)."
    assert said in capsys.readouterr().out
    assert [r["event"] for r in rows(run.path) if "event" in r] == [said]
    assert [r["seen"] for r in rows(run.path)] == [0, 80, 80, 160]


def test_a_training_that_always_diverges_ends_after_three_retries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[tuple[int, float]] = []

    def trouble(clock: Clock) -> float:
        if clock.round == 12:
            tried.append((clock.round, clock.progress))
            return NAN
        return 0.0

    monkeypatch.setattr(tiny, "trouble", trouble)
    with pytest.raises(TrainingError, match="diverged again: player D: adv is nan") as e:
        train(tmp_path / "run")
    assert len(tried) == 4 and str(tmp_path / "run" / "checkpoints" / "000000080") in str(e.value)
    assert names(tmp_path / "run") == [0, 80]
    for path in checkpoint.all_in(tmp_path / "run" / "checkpoints"):
        nets, optims, _ = checkpoint.load(path)
        assert all(torch.isfinite(v).all() for v in (nets | optims).values())
    assert gansmith.load(tmp_path / "run").sample(4).isfinite().all()


def test_retries_count_over_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny, "trouble", once(12, lambda: NAN))
    path = train(tmp_path / "run").path
    gansmith.resume(path, samples=240, quiet=True)
    state = checkpoint.load_state(checkpoint.all_in(path / "checkpoints")[-1])
    assert (state["seen"], state["retries"], state["lr_scale"]) == (240, 1, 0.5)


def test_a_tick_never_saves_what_is_not_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step can overflow although its gradient was finite: found at the tick, before anything is written."""
    runs: list[bool] = []

    settle = training.Game.settle

    def poisoned(self: Any) -> None:
        if self.clock.round == 10 and not runs:
            runs.append(True)
            with torch.no_grad():
                self.ema["G"][0].weight.fill_(NAN)
        settle(self)

    monkeypatch.setattr(training.Game, "settle", poisoned)
    path = train(tmp_path / "run").path
    assert [r["event"].split(" at ")[0] for r in rows(path) if "event" in r] == ["ema.G.0.weight is not finite"]
    assert all(
        torch.isfinite(v).all() for v in checkpoint.load_nets(checkpoint.all_in(path / "checkpoints")[0]).values()
    )


def test_the_best_checkpoint_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([3.0, 1.0, 2.0, float("nan"), 1.5])
    monkeypatch.setattr(gansmith.session.Session, "_score", lambda self: lambda draw: {"score": next(scores)})
    path = train(tmp_path / "run", samples=160, tick=40).path
    assert names(path) == [40, 120, 160]
    assert gansmith.info(path)["best"] == "000000040" and gansmith.load(path, checkpoint="best").seen == 40
    assert [r["score/score"] for r in rows(path)][:3] == [3.0, 1.0, 2.0]
    text = (path / "metrics.jsonl").read_text().splitlines()[1]
    assert json.loads(text)["score/score"] == 1.0


def test_training_in_a_thread_leaves_the_signals_alone(tmp_path: Path) -> None:
    import threading

    done: list[Run] = []
    thread = threading.Thread(target=lambda: done.append(train(tmp_path / "run", samples=16)))
    thread.start()
    thread.join()
    assert done[0].how == "done"
