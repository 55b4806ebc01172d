"""The stop rule: a training ends when its score has not improved beyond its noise, says why, and can go on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import gansmith
from gansmith.api import Run
from gansmith.engine import records
from gansmith.engine import train as training
from gansmith.engine.stopping import Mark, last_improvement, reason_to_stop, scored
from gansmith.errors import GansmithError
from tests.engine.tiny import Tiny

NAN = float("nan")


def rows(*scores: float, error: float = 0.1) -> list[dict[str, Any]]:
    """A record every 100 samples."""
    return [{"seen": 100 * i, "score/score": s, "score/error": error} for i, s in enumerate(scores)]


def test_noise_is_no_improvement() -> None:
    assert last_improvement(scored(rows(9.0, 5.0, 4.8, 5.3, 4.75))) == Mark(100, 5.0, 0.1)
    assert last_improvement(scored(rows(9.0, 5.0, 4.8, 5.3, 4.75, error=0.01))) == Mark(400, 4.75, 0.01)


def test_small_steps_add_up() -> None:
    drift = [5.0 - 0.1 * i for i in range(20)]  # each step within the noise of 0.28
    best = last_improvement(scored(rows(*drift)))
    assert best is not None and best.seen >= 1700
    assert reason_to_stop(rows(*drift), patience=400) is None


def test_the_reason_gives_the_figures() -> None:
    assert reason_to_stop(rows(9.0, 5.0, 4.9, 5.1), patience=300) is None
    reason = reason_to_stop(rows(9.0, 5.0, 4.9, 5.1, 5.2), patience=300)
    assert reason is not None
    for part in ("since 100 samples", "5 ± 0.2", "3 later scores", "300 samples", "the best of them is 4.9"):
        assert part in reason


def test_without_patience_or_scores_nothing_stops() -> None:
    assert reason_to_stop(rows(*[5.0] * 50), patience=None) is None
    assert reason_to_stop([], patience=1) is None
    assert reason_to_stop([{"seen": 5, "D/adv": 1.0}], patience=1) is None


def test_a_score_that_is_not_a_number_never_improves() -> None:
    assert last_improvement(scored(rows(NAN, 5.0, NAN))) == Mark(100, 5.0, 0.1)
    assert reason_to_stop(rows(NAN, 5.0, NAN, NAN), patience=200) is not None


# ---------------------------------------------------------------- in a training


def start(out: Path, monkeypatch: pytest.MonkeyPatch, scores: Iterable[float], **options: Any) -> Run:
    """A training of rounds of 8 samples, a tick every 40, with these scores one after another."""
    told = iter(scores)
    score = lambda self: lambda draw: {"score": next(told), "error": 0.1}  # noqa: E731
    monkeypatch.setattr(gansmith.session.Session, "_score", score)
    monkeypatch.setattr(
        training.pictures, "scatter", lambda fake, real=None: training.pictures.grid(fake[:1, :, None, None])
    )
    monkeypatch.setattr(records, "draw_curves", lambda rows, path: None)
    settings = {"samples": 400, "tick": 40, "quiet": True, "device": "cpu"}
    return gansmith.train(Tiny, "ring8", out=out, **settings | options)


def test_a_training_stops_and_keeps_the_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path / "run", monkeypatch, [9.0, 5.0, *[5.1] * 20], patience=120)
    assert (run.how, run.seen) == ("done", 160)
    info = run.info()
    assert info["done"] and info["best"] == "000000040" and "since 40 samples" in info["state"]["stopped"]
    assert info["next"].startswith("gansmith sample")


def test_a_stopped_training_stays_stopped_until_it_may_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path / "run", monkeypatch, [9.0, 5.0, *[5.1] * 20], patience=120)
    monkeypatch.setattr(gansmith.session, "recipe_of", lambda config, run: Tiny(**config["fields"]))
    assert gansmith.resume(run.path, quiet=True).seen == 160
    assert gansmith.resume(run.path, patience=10_000, quiet=True).seen == 400
    assert gansmith.info(run.path)["state"]["stopped"] is None


def test_scores_come_as_often_as_was_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path / "run", monkeypatch, [9.0, 5.0, 4.0, 3.0, 2.0, 1.0], evaluate_every=120)
    marks = scored(records.read(run.path / "metrics.jsonl"))
    assert [m.seen for m in marks] == [0, 120, 240, 360]


def test_the_tick_follows_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path / "run", monkeypatch, [9.0] * 60, evaluate_every=16, tick=None)
    assert [m.seen for m in scored(records.read(run.path / "metrics.jsonl"))][:4] == [0, 16, 32, 48]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"patience": 0}, ["--patience 0", "above 0"]),
        ({"evaluate_every": -5}, ["--evaluate-every -5"]),
        ({"score": "kid"}, ["--score", "points are scored by their modes"]),
    ],
)
def test_settings_that_mean_nothing_are_refused(tmp_path: Path, options: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(GansmithError) as error:
        gansmith.train(Tiny, "ring8", out=tmp_path / "run", quiet=True, **options)
    assert all(word in str(error.value) for word in words) and not (tmp_path / "run").exists()


def test_patience_needs_a_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = start(tmp_path / "run", monkeypatch, [9.0] * 60, samples=40)
    with pytest.raises(GansmithError, match="not scored while it trains"):
        gansmith.resume(run.path, patience=100, quiet=True)
