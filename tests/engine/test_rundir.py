"""Run directories: where they lie, who holds them, and what is said when they are damaged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gansmith.engine import rundir
from gansmith.engine.rundir import KEYS, RunDir, next_path
from gansmith.errors import GansmithError

CONFIG: dict[str, Any] = dict.fromkeys(KEYS, 0) | {"fields": {"betas": [0.5, 0.9]}, "recipe": "gan"}


def made(path: Path) -> RunDir:
    run = RunDir.create(path, "x")
    run.write_config(CONFIG)
    return run


def test_runs_are_numbered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert RunDir.create(None, "gan-my data!").path == Path("runs/00000-gan-my-data")
    (tmp_path / "runs" / "00041-other").mkdir()
    (tmp_path / "runs" / "notes").mkdir()
    run = RunDir.create(None, "gan")
    assert run.path == Path("runs/00042-gan") and run.samples.is_dir() and run.checkpoints.is_dir()


def test_a_number_that_another_process_takes_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real, taken = next_path, []

    def late(root: Path, label: str) -> Path:
        path = real(root, label)
        if not taken:
            taken.append(path)
            path.mkdir(parents=True)
        return path

    monkeypatch.setattr(rundir, "next_path", late)
    assert RunDir.create(None, "gan").path == Path("runs/00001-gan")


def test_an_empty_folder_is_taken_and_all_else_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    made(tmp_path / "empty")
    with pytest.raises(GansmithError, match="holds a run already: go on with it"):
        RunDir.create(tmp_path / "empty", "x")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(GansmithError, match="not empty"):
        RunDir.create(tmp_path / "full", "x")
    with pytest.raises(GansmithError, match="in the way"):
        RunDir.create(tmp_path / "full" / "thesis.tex", "x")
    with pytest.raises(GansmithError, match="in the way"):
        RunDir.create(tmp_path / "full" / "thesis.tex" / "run", "x")


def test_what_is_no_run_is_refused_and_runs_nearby_are_named(tmp_path: Path) -> None:
    made(tmp_path / "00001-gan")
    for path, words in ((tmp_path, "holds no run"), (tmp_path / "00002-gan", "does not exist")):
        with pytest.raises(GansmithError, match=words) as e:
            RunDir.open(path)
        assert "00001-gan" in str(e.value)
    assert RunDir.open(tmp_path / "00001-gan").read_config() == {"format": rundir.FORMAT, **CONFIG}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe: [", "is damaged"),
        ("just words", "is damaged"),
        ("", "is damaged"),
        ("\xff\xfe", "is damaged"),
        ("recipe: gan\nfields: {}", "lacks budget, data"),
        ("format: 2", "has format 2"),
    ],
)
def test_a_damaged_or_newer_config_is_one_sentence(text: str, words: str, tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    (run.path / "run.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(GansmithError, match=words) as e:
        run.read_config()
    assert "run.yaml" in str(e.value) and "\n" not in str(e.value)


def test_checkpoints_by_name(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    with pytest.raises(GansmithError, match="no checkpoint"):
        run.checkpoint()
    for name in ("000000064", "000000128", "000000192"):
        (run.checkpoints / name).mkdir()
    run.set_best("000000128", 0.25)
    assert (run.best(), run.best_score()) == ("000000128", 0.25)
    which = {"latest": "192", "best": "128", "64": "64", "000000128": "128"}
    assert {k: run.checkpoint(k).name.lstrip("0") for k in which} == which
    with pytest.raises(GansmithError, match="choose latest, best or one of 000000064, 000000128"):
        run.checkpoint("65")
    (run.checkpoints / "000000128").rmdir()  # by hand: then the next best counts
    assert (run.best(), run.best_score()) == (None, float("inf"))
    assert run.checkpoint("best").name == "000000192"
    (run.checkpoints / "best.yaml").write_text("[")
    with pytest.raises(GansmithError, match=r"best\.yaml is damaged"):
        run.best()


HOLD = """
import sys, time
from gansmith.engine.rundir import RunDir
with RunDir(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.timeout(30)
def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    run = made(tmp_path / "run")
    with run.lock(), pytest.raises(GansmithError, match="being trained by another process"), run.lock():
        pass
    with run.lock():  # free again
        pass
    command = [sys.executable, "-c", HOLD, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(GansmithError, match="being trained by another process"), run.lock():
            pass
        other.kill()
    with run.lock():  # a killed process holds nothing
        pass
