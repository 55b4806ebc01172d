"""Reading a run's past: whole, torn, rewound, still being written, and of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import CONFIG, TICKS, rows

from gansmith.doctor import diagnose, from_rows
from gansmith.doctor.foreign import read_foreign, recognised
from gansmith.doctor.history import read_rows
from gansmith.errors import GansmithError


def test_columns_and_lists() -> None:
    found = from_rows(rows(), CONFIG, "a run")
    assert len(found) == TICKS and found["coverage"].tolist() == [0.85] * TICKS
    assert np.isnan(found["nothing"]).all() and found.lists["cells"][0] == [25] * 20
    assert found.progress[0] == 0 and found.progress[-1] == 1 and found.facts["count"] == 5000
    assert found.fields["recipe"] == "gan" and found.kind == "image"


def test_progress_by_minutes() -> None:
    found = from_rows(rows(), CONFIG | {"budget": {"samples": None, "minutes": 1.0}})
    assert found.progress[6] == pytest.approx(6 / 60)


def test_a_rewound_training_forgets_what_it_left() -> None:
    """After a retry, or when the doctor acted, records begin again at an earlier position."""
    whole = rows()
    again = [*whole, {"seen": whole[3]["seen"], "event": "back"}, *whole[4:6]]
    found = from_rows(again, CONFIG)
    assert found.seen.tolist() == [r["seen"] for r in whole[:6]] and len(found.events) == 1


def test_torn_and_missing_lines(tmp_path: Path) -> None:
    path, whole = tmp_path / "metrics.jsonl", rows()
    lines = [json.dumps(r) for r in whole]
    lines[5] = lines[5][: len(lines[5]) // 2]  # torn in half
    del lines[8]
    lines += ["", "[1, 2]", "NaN", '{"seen": "soon"}', '{"seen": 1e99999}']
    path.write_text("\n".join(lines) + '\n{"seen": 100')
    found, torn = read_rows(path)
    history = from_rows(found, CONFIG)
    assert torn == 4 and len(history) == TICKS - 2
    assert diagnose(history).state == "healthy"


def test_records_of_the_wrong_kind_are_no_crash() -> None:
    odd = [{"seen": i, "signs": s, "seconds": "x"} for i, s in enumerate([None, 3, [], {"auc": "high", "cells": [1]}])]
    found = from_rows([*odd, {"seen": 9, "signs": {"cells": [1, 2], "real_cells": [3], "auc": float("nan")}}], {})
    assert np.isnan(found["auc"]).all() and diagnose(found).state == "too early"


# ---------------------------------------------------------------- other tools


@pytest.mark.parametrize(
    ("name", "sign"),
    [
        ("D_loss", "loss_d"),
        ("Loss/D/loss", "loss_d"),
        ("discriminator loss", "loss_d"),
        ("errD", "loss_d"),
        ("loss_critic", "loss_d"),
        ("Generator Loss", "loss_g"),
        ("gen_loss", "loss_g"),
        ("Loss/G/loss", "loss_g"),
        ("Epoch", "step"),
        ("Unnamed: 0", "step"),
        ("Progress/kimg", "seen"),
        ("Loss/signs/real", "sign_real"),
        ("Progress/augment", "augment_p"),
        ("D(x)", "p_real"),
        ("D(G(z))", "p_fake"),
        ("fid50k_full", "kid"),
        ("lr", None),
        ("Timing/sec", None),
    ],
)
def test_names_of_columns(name: str, sign: str | None) -> None:
    assert recognised(name) == sign


def statistic(mean: float, std: float = 1.0) -> dict[str, float]:
    return {"num": 100, "mean": mean, "std": std}


def stylegan_run(folder: Path, sick: bool) -> Path:
    """What StyleGAN3 leaves: the sick one's D wins, its augmentation runs away and its FID rises again."""
    with (folder / "stats.jsonl").open("w") as file:
        for i in range(20):
            gap = 0.5 + (i if sick else 0) * 0.5
            record = {
                "Progress/kimg": statistic(40.0 * i),
                "Loss/scores/real": statistic(gap, 1.0),
                "Loss/scores/fake": statistic(-gap, 1.0),
                "Loss/signs/real": statistic(0.9 if sick else 0.4),
                "Loss/G/loss": statistic(1.0 + gap),
                "Progress/augment": statistic(0.06 * i if sick else 0.2),
                "timestamp": 1.0,
            }
            file.write(json.dumps(record) + "\n")
    with (folder / "metric-fid50k_full.jsonl").open("w") as file:
        for i in range(0, 20, 4):
            fid = 300 * 0.5**i + 10 + (8 * i if sick and i > 8 else 0)
            snapshot = {"snapshot_pkl": f"network-snapshot-{40 * i:06d}.pkl", "results": {"fid50k_full": fid}}
            file.write(json.dumps(snapshot) + "\n")
    return folder


def test_stylegan(tmp_path: Path) -> None:
    found = diagnose(read_foreign(stylegan_run(tmp_path, sick=True)))
    assert "augmentation-leak" in [f.problem for f in found.findings] and found.seen == 760_000
    assert "divergence" in [f.problem for f in found.findings]
    assert any("another tool" in note for note in found.notes)


def test_healthy_stylegan(tmp_path: Path) -> None:
    assert diagnose(read_foreign(stylegan_run(tmp_path, sick=False))).findings == []


def ctgan(path: Path, loss_d: Any, loss_g: Any, ticks: int = 300) -> Path:
    lines = ["Epoch,Generator Loss,Discriminator Loss"]
    lines += [f"{i},{loss_g(i)},{loss_d(i)}" for i in range(ticks)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("problem", "loss_d", "loss_g"),
    [
        (None, lambda i: 0.5 + 0.1 * np.sin(i * i), lambda i: -0.8 + 0.2 * np.cos(i * i)),
        ("divergence", lambda i: 0.5 * 1.05**i, lambda i: -0.5 * 1.05**i),
        ("d-overpowers-g", lambda i: 0.5 * 0.97**i, lambda i: 0.7 + 0.03 * i),
        ("oscillation", lambda i: 0.5, lambda i: 1 + np.sin(2 * np.pi * i / 6)),
    ],
)
def test_losses_alone(tmp_path: Path, problem: str | None, loss_d: Any, loss_g: Any) -> None:
    found = diagnose(read_foreign(ctgan(tmp_path / "loss_values.csv", loss_d, loss_g)))
    assert [f.problem for f in found.findings] == ([] if problem is None else [problem])
    assert all(f.confidence <= 0.6 for f in found.findings)  # losses say little
    assert any("coverage" in note or "cover" in note for note in found.notes)
    if problem is None:  # without signs of quality nobody can say that it is healthy
        assert found.state == "too early" and "measured" in found.reason


def test_a_folder_with_loss_values(tmp_path: Path) -> None:
    ctgan(tmp_path / "loss_values.csv", lambda i: 1.0, lambda i: 1.0)
    assert len(read_foreign(tmp_path)) == 300


def test_tensorboard(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path)) as board:
        for i in range(40):
            board.add_scalar("Loss/D", 0.5 * 1.3**i, i)
            board.add_scalar("Loss/G", 1.0, i)
    found = diagnose(read_foreign(tmp_path))
    assert [f.problem for f in found.findings] == ["divergence"]


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.csv", "a,b\n1,2\n", "no column"),
        ("b.csv", "\x00\xff", "no table"),
        ("c.txt", "hello", "nothing that the doctor can read"),
        ("d.jsonl", "no json\n", "no column"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(tmp_path: Path, name: str, content: str, word: str) -> None:
    (tmp_path / name).write_text(content, encoding="latin-1")
    with pytest.raises(GansmithError, match=word):
        read_foreign(tmp_path / name)
    with pytest.raises(GansmithError, match="nothing that the doctor can read"):
        read_foreign(tmp_path)
