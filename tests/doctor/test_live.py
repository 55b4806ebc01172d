"""The doctor at the bedside: it measures without touching the game, speaks when something changes, and may act."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made import CONFIG, TICKS, late, rows
from torch import nn

import gansmith
from gansmith.cli import main
from gansmith.core import Nets
from gansmith.data import Stream, open_data
from gansmith.doctor import from_rows
from gansmith.doctor.audit import duality_gap, odd_samples
from gansmith.doctor.live import Doctor, told
from gansmith.doctor.real import data_facts
from gansmith.doctor.signs import Signs, above, copies, features, largest_singular_value, leaks, spread
from gansmith.doctoring import real
from gansmith.engine.game import Game
from gansmith.errors import GansmithError
from gansmith.recipes import find

SMALL: dict[str, Any] = {"width": 16, "batch": 16, "quiet": True}


def game(gamma: float = 0.1, **fields: Any) -> Game:
    data = open_data("ring8")
    recipe = find("gan")(gamma=gamma, width=16, z_dim=2, batch=16, **fields)
    return Game(recipe, data.spec, Stream(data, seed=0), seed=0)


def state(of: Game) -> dict[str, torch.Tensor]:
    nets, optims, _ = of.state()
    return {k: v.clone() for k, v in (nets | optims).items()}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


# ---------------------------------------------------------------- signs


@pytest.mark.parametrize("count", [90, 900])
def test_copies_are_seen_with_and_without_held_out_images(count: int) -> None:
    """Digits that were trained on are copies, others are not; of 90 images too few are held out to compare with."""
    digits = open_data("digits", resolution=16, progress=False)
    x = torch.cat([digits.fetch_held_out(np.arange(0, 550, 5))[0], digits.fetch(np.arange(0, 4440, 4))[0]])
    x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    pixels = ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    data = open_data(pixels[:count], progress=False)
    found = real(data)
    assert found is not None and found.held_out == (count == 900)
    trained = data.fetch(np.arange(80))[0]
    again = trained + 0.05 * torch.randn(trained.shape, generator=torch.Generator().manual_seed(0))
    seen, new = copies(features(again), found), copies(features(x[count:]), found)
    assert seen["copies"] > 0.9 and seen["copy_z"] < -5
    assert new["copies"] < 0.15 and abs(new["copy_z"]) < 4


@pytest.mark.parametrize("count", [30, 60])
def test_sets_too_small_to_compare_with_are_told_of(tmp_path: Path, count: int) -> None:
    x = open_data("digits", resolution=16, progress=False).fetch(np.arange(0, 4440, 4440 // count))[0][:count]
    few = ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    run = gansmith.train("gan", few, out=tmp_path / "run", samples=400, tick=100, **SMALL)
    found = gansmith.diagnose(run.path)
    assert found.findings[0].title == "data fault: there are far too few samples" and found.state == "critical"
    signs = json.loads((run.path / "metrics.jsonl").read_text().splitlines()[-1]).get("signs", {})
    assert ("coverage" in signs) == (count == 60)


def test_mirrored_samples_are_told_from_noise() -> None:
    digits = open_data("digits", resolution=16, progress=False)
    found = real(digits)
    assert found is not None
    x = digits.fetch(np.arange(0, 4000, 8))[0]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    assert leaks(features(x.flip(2)), found)["leak_vflip"] > 0.6
    half = torch.cat([x[::2].flip(2), x[1::2]])
    assert 0.25 < leaks(features(half), found)["leak_vflip"] < 0.6
    for harmless in (x, noise, (x + 0.5 * noise).clamp(-1, 1)):
        assert max(leaks(features(harmless), found).values()) < 0.1


def test_looking_changes_nothing() -> None:
    """The game after a look plays on as if nobody had looked."""
    watched, alone = game(), game()
    signs = Signs(real(open_data("ring8")), 10_000)
    for _ in range(3):
        watched.play(), alone.play()
        before = state(watched)
        signs(watched, 0.0)
        assert equal(before, state(watched)) and watched.nets.training
    assert equal(state(watched), state(alone))


def test_the_same_moment_gives_the_same_signs() -> None:
    played = game()
    played.play()
    first, second = (Signs(real(open_data("ring8")), 10_000)(played, 0.1) for _ in range(2))
    assert {k: v for k, v in first.items() if "seconds" not in k} == {
        k: v for k, v in second.items() if "seconds" not in k
    }


def test_signs_of_the_data_themselves() -> None:
    """A generator that draws from the data's own law: every sign is what real samples have."""
    law = open_data("ring8")

    class Perfect(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            with torch.random.fork_rng():
                torch.manual_seed(int(z[0, 0] * 1000) % 1000)
                return law.draw(len(z))

    played = game()
    played.nets["G"] = Perfect()
    played.ema = Nets({"G": Perfect()})
    found = Signs(real(law), 100_000)(played, 0.0)
    assert abs(found["auc"] - 0.5) < 0.1 and abs(found["memory"] - 0.5) < 0.1
    for name in ("precision", "recall", "coverage"):
        assert found[name] > 0.9 * found[f"real_{name}"], name
    assert abs(found["diversity"] - 1) < 0.1 and abs(found["diversity_d"] - 1) < 0.2
    assert 0.7 < found["apart"] < 1.4 and found["duplicates"] < 0.05 and abs(found["kid"]) < 3 * found["kid_error"]
    assert sum(found["cells"]) == found["n"] == 500


def test_a_collapsed_generator_shows() -> None:
    played = game()
    with torch.no_grad():
        for p in played.nets["G"].parameters():
            p.zero_()
    found = Signs(real(open_data("ring8")), 100_000)(played, 0.0)
    assert found["diversity"] < 0.01 and found["duplicates"] == 1.0 and found["apart"] < 0.01


def test_strides_tell_who_moves() -> None:
    played = game(lr=1e-9, lr_d=1e-2)
    played.pacing = True
    played.play()
    assert not played.pacing and played.strides["G"] < 1e-6 < 1e-4 < played.strides["D"]
    before = dict(played.strides)
    played.play()
    assert played.strides == before  # only the round after a tick is measured


def test_small_parts() -> None:
    a, b = torch.randn(50), torch.randn(40)
    from scipy.stats import mannwhitneyu

    assert above(a, b) == pytest.approx(mannwhitneyu(a, b).statistic / 2000)
    x = torch.randn(30, 4)
    assert spread(x) == pytest.approx(float((torch.cdist(x, x) ** 2).sum() / (30 * 29)) ** 0.5, rel=1e-4)
    net = nn.Sequential(nn.Linear(20, 30), nn.Conv2d(3, 5, 3))
    exact = max(float(torch.linalg.svdvals(w.flatten(1))[0]) for w in (net[0].weight.detach(), net[1].weight.detach()))
    assert largest_singular_value(net) == pytest.approx(exact, rel=0.05)


def test_facts_of_the_data() -> None:
    x = torch.randn(100, 1, 4, 4)
    x[:50] = x[0]
    x[99] = 1.0
    facts = data_facts(x, torch.tensor([0] * 90 + [1] * 10), ("a", "b"), 100)
    assert facts["repeated"] == 0.5 and facts["flat"] == pytest.approx(0.01)
    assert facts["largest_class"] == pytest.approx(0.9) and facts["count"] == 100


def test_exchanged_channels_show() -> None:
    torch.manual_seed(0)
    photos = torch.randn(200, 3, 8, 8) * 0.2 + torch.tensor([0.5, 0.0, -0.5])[:, None, None]
    assert odd_samples(photos[:100], photos[100:])["swapped"] < 0.2
    assert odd_samples(photos[:100].flip(1), photos[100:])["swapped"] > 5


# ---------------------------------------------------------------- speaking


def bedside(folder: Path, acts: bool = False) -> Doctor:
    config = json.loads(json.dumps(CONFIG))
    return Doctor(Signs(None, 1000), config, folder, lambda change: None, acts=acts)


def spoken(doctor: Doctor, records: list[dict[str, Any]]) -> list[str]:
    """What is said over a whole run, tick by tick."""
    so_far: list[dict[str, Any]] = []
    for record in records:
        so_far.append(record)
        so_far += doctor.speak(so_far)
    return [r["event"] for r in so_far if "event" in r]


def test_a_healthy_run_is_told_once(tmp_path: Path) -> None:
    lines = spoken(bedside(tmp_path), rows())
    assert len(lines) == 1 and lines[0].startswith("doctor: healthy")
    assert json.loads((tmp_path / "doctor.json").read_text())["state"] == "healthy"


def test_it_speaks_when_a_state_changes_and_never_again(tmp_path: Path) -> None:
    lines = spoken(bedside(tmp_path), rows(30, memory=np.array([0.5] * 8 + [0.9] * 12 + [0.5] * 10)))
    assert [line.split(":")[1].split(",")[0].strip()[:12] for line in lines] == [
        "healthy. No ",
        "D over-fits",
        "no sign of d",
        "healthy. No ",
    ]
    assert "Try:" in lines[1]


def test_a_sign_that_comes_and_goes_is_no_stream(tmp_path: Path) -> None:
    flicker = np.array([0.5] * 6 + [0.9, 0.9, 0.9, 0.5, 0.9] * 4 + [0.9] * 4)
    lines = spoken(bedside(tmp_path), rows(30, memory=flicker))
    assert sum("D over-fits" in line for line in lines) == 1


def test_a_resumed_run_does_not_hear_it_again(tmp_path: Path) -> None:
    records = rows(memory=late(0.5, 0.9))
    so_far: list[dict[str, Any]] = []
    for record in records[:10]:
        so_far.append(record)
        so_far += bedside(tmp_path).speak(so_far)  # a new doctor at every tick
    assert sum("D over-fits" in str(r.get("event")) for r in so_far) == 1 and told(so_far) == ["d-overfitting"]


# ---------------------------------------------------------------- in a training


@pytest.mark.timeout(120)
def test_a_training_leaves_a_diagnosis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = gansmith.train("gan", "ring8", out=tmp_path / "run", samples=4000, tick=400, lr=1e-9, lr_d=2e-3, **SMALL)
    found = gansmith.diagnose(run.path)
    assert found.state == "critical" and found.ticks == 11
    first = found.findings[0]
    assert first.change.command and "--lr 0.002" in first.change.command
    assert json.loads((run.path / "doctor.json").read_text()) == found.to_json()
    assert main(["doctor", str(run.path)]) == 4
    assert "Try:" in capsys.readouterr().out
    assert main(["doctor", str(run.path), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["findings"][0]["problem"] == first.problem
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert sum("event" in r for r in records) <= 4


@pytest.mark.timeout(120)
def test_a_run_cut_short_is_diagnosed(tmp_path: Path) -> None:
    run = gansmith.train("gan", "ring8", out=tmp_path / "run", samples=4000, tick=400, **SMALL)
    path = run.path / "metrics.jsonl"
    text = path.read_text()
    path.write_text(text[: text.rindex('"signs"') + 100])
    found = gansmith.diagnose(run.path)
    assert any("torn" in note for note in found.notes) and found.ticks == 10
    path.write_text("")
    assert gansmith.diagnose(run.path).state == "too early"
    path.unlink()
    with pytest.raises(GansmithError, match="missing"):
        gansmith.diagnose(run.path)


@pytest.mark.timeout(120)
def test_it_acts_when_it_may(tmp_path: Path) -> None:
    """G stands still; the doctor gives it D's learning rate, from the last good checkpoint, and says so."""
    options: dict[str, Any] = {"samples": 8000, "tick": 400, "lr": 1e-9, "lr_d": 2e-3, "ema_half_life": 0.1}
    run = gansmith.train("gan", "ring8", out=tmp_path / "run", act=True, **options, **SMALL)
    records = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    acts = [r["event"] for r in records if str(r.get("event")).startswith("doctor acts")]
    assert 1 <= len(acts) <= 3 and "lr = 0.002" in acts[0]
    assert run.info()["fields"]["lr"] == 2e-3 and run.seen >= 8000
    history = from_rows(records, run.info())
    assert history["stride_G"][-1] > 1e-5 and (np.diff(history.seen) > 0).all()
    idle = gansmith.train("gan", "ring8", out=tmp_path / "idle", **options, **SMALL)
    assert idle.info()["fields"]["lr"] == 1e-9


@pytest.mark.timeout(120)
def test_audit(tmp_path: Path) -> None:
    run = gansmith.train("gan", "ring8", out=tmp_path / "run", samples=4000, tick=1000, gamma=0.1, **SMALL)
    notes = gansmith.diagnose(run.path, audit=True).notes
    assert any("duality gap" in note for note in notes) and any("support" in note for note in notes)


def test_the_duality_gap_leaves_the_game_as_it_was() -> None:
    played = game(lr=1e-3)
    for _ in range(3):
        played.play()
    before, clock = state(played), (played.clock.round, played.clock.seen)
    gap = duality_gap(played, 20)
    assert gap > 0 and equal(before, state(played)) and (played.clock.round, played.clock.seen) == clock
    assert duality_gap(played, 20) == gap


def test_samples_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    photos = rng.integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    photos[..., 2] //= 4
    with pytest.raises(GansmithError, match="holds 30 samples: give at least 40"):
        gansmith.diagnose(photos[:30], against=photos)
    assert gansmith.diagnose(rng.permutation(photos), against=photos[:60]).ticks == 1  # few real images are no reason
    healthy = gansmith.diagnose(rng.permutation(photos), against=photos)
    assert healthy.ticks == 1 and all(f.problem != "mode-collapse" for f in healthy.findings)
    same = np.repeat(photos[:1], 100, 0)
    collapsed = gansmith.diagnose(same + rng.integers(0, 2, same.shape, dtype=np.uint8), against=photos)
    assert "mode-collapse" in [f.problem for f in collapsed.findings]
    finding = next(f for f in collapsed.findings if f.problem == "mode-collapse")
    assert finding.since is None and finding.kind == "full"
    swapped = gansmith.diagnose(photos[..., ::-1].copy(), against=photos)
    assert swapped.findings[0].kind == "swapped"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "does not exist"),
        (["."], "nothing that the doctor can read"),
        ([".", "--audit"], "leave --audit out"),
        (["empty", "--against", "digits"], "holds no images"),
    ],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert main(["doctor", *words]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and "Traceback" not in error


def test_the_last_tick_is_worth_no_change(tmp_path: Path) -> None:
    doctor = bedside(tmp_path, acts=True)
    doctor.good = 0
    records = rows(TICKS, auc=1.0, coverage=0.2)
    doctor.speak(records)
    assert doctor.found is not None and doctor.found.findings and doctor.act(records) is None
