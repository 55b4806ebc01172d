"""Files and checkpoints that are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gansmith.engine import checkpoint
from gansmith.engine.files import explained, sweep, write_file, write_folder
from gansmith.errors import GansmithError

REST = {"round": 1, "seen": 64, "progress": 0.5, "retries": 0, "lr_scale": 1.0, "seconds": 2.5}


def state(seen: int = 64, value: float = 1.0, size: int = 4) -> checkpoint.State:
    nets: dict[str, Tensor] = {"G.weight": torch.full((size,), value)}
    return nets, {"G|G.weight|step": torch.tensor(3.0)}, {**REST, "seen": seen}


class Crash(Exception):
    """Stands for a process that is killed."""


# ---------------------------------------------------------------- files


def test_a_file_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_file(path, lambda temporary: temporary.write_text("old"))

    def fill(temporary: Path) -> None:
        temporary.write_text("half")
        assert path.read_text() == "old" and temporary.suffix == ".txt"
        raise Crash

    with pytest.raises(Crash):
        write_file(path, fill)
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_text() == "old"


def test_a_folder_is_replaced_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "c"
    write_folder(path, lambda temporary: (temporary / "x").write_text("old"))

    def fill(temporary: Path) -> None:
        (temporary / "x").write_text("half")
        raise Crash

    with pytest.raises(Crash):
        write_folder(path, fill)
    assert (path / "x").read_text() == "old" and list(path.parent.iterdir()) == [path]
    write_folder(path, lambda temporary: (temporary / "y").write_text("new"))
    assert [p.name for p in path.iterdir()] == ["y"] and list(path.parent.iterdir()) == [path]


def test_a_failed_second_rename_leaves_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, replace = tmp_path / "c", os.replace
    write_folder(path, lambda temporary: (temporary / "x").write_text("old"))

    def failing(a: Path, b: Path) -> None:
        if Path(a).suffix == ".tmp":
            raise Crash
        replace(a, b)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(Crash):
        write_folder(path, lambda temporary: (temporary / "x").write_text("new"))
    assert (path / "x").read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_sweep_removes_halves_and_brings_back_the_only_whole(tmp_path: Path) -> None:
    for name in (".a.tmp", ".b.old", ".c.old", "c", "keep"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_text(name)
    (tmp_path / ".d.tmp.png").write_text("half")
    sweep(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["b", "c", "keep"]
    assert (tmp_path / "b" / "x").read_text() == ".b.old" and (tmp_path / "c" / "x").read_text() == "c"


@pytest.mark.parametrize(
    ("code", "word"),
    [
        (errno.ENOSPC, "No space"),
        (errno.EDQUOT, "No space"),
        (errno.EFBIG, "ulimit"),
        (errno.EROFS, "permission"),
        (errno.EACCES, "permission"),
        (errno.ENOENT, "No file can be made"),
        (errno.ENOTDIR, "in the way"),
        (errno.EEXIST, "in the way"),
    ],
)
def test_refusals_are_explained(code: int, word: str) -> None:
    with pytest.raises(GansmithError, match=word) as e, explained(Path("runs/x")):
        raise OSError(code, os.strerror(code))
    assert "runs/x" in str(e.value)


def test_other_errors_keep_their_traceback() -> None:
    with pytest.raises(OSError, match="odd"), explained(Path("x")):
        raise OSError(errno.EIO, "odd")


# ---------------------------------------------------------------- checkpoints


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    nets, optims, rest = state()
    nets["C.weight"] = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    nets["tied"] = nets["G.weight"]  # shares its memory
    path = checkpoint.save(tmp_path, (nets, optims, rest))
    assert path.name == "000000064"
    assert sorted(p.name for p in path.iterdir()) == ["nets.safetensors", "optim.safetensors", "state.json"]
    read = checkpoint.load(path)
    for got, want in zip(read[:2], (nets, optims), strict=True):
        assert got.keys() == want.keys() and all(torch.equal(v, want[k]) for k, v in got.items())
    assert read[2] == checkpoint.load_state(path) == rest | {"stopped": None}
    assert checkpoint.load_nets(path).keys() == nets.keys()


def test_prune_keeps_the_last_two_and_the_named(tmp_path: Path) -> None:
    for seen in (0, 64, 128, 999_999_999, 1_000_000_000):
        checkpoint.save(tmp_path, state(seen))
    (tmp_path / "000000064 copy").mkdir()
    (tmp_path / ".000000256.tmp").mkdir()
    checkpoint.prune(tmp_path, also={"000000064"})
    assert [p.name for p in checkpoint.all_in(tmp_path)] == ["000000064", "999999999", "1000000000"]
    assert not (tmp_path / ".000000256.tmp").exists()
    assert checkpoint.all_in(tmp_path / "none") == []


def half(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def edit(**changes: object) -> object:
    def change(path: Path) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


@pytest.mark.parametrize("name", ["nets.safetensors", "optim.safetensors", "state.json"])
@pytest.mark.parametrize("damage", [half, Path.unlink, lambda path: path.write_bytes(b"\xff\x00" * 40)])
def test_a_damaged_file_is_named(name: str, damage: object, tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state())
    damage(path / name)  # type: ignore[operator]
    with pytest.raises(GansmithError, match="damaged or missing") as e:
        checkpoint.load(path)
    assert str(path / name) in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        (edit(format=2), "has format 2"),
        (edit(seen="many"), "damaged"),
        (lambda p: p.write_text("[]"), "damaged"),
        (lambda p: p.write_text("{}"), "damaged"),
    ],
)
def test_a_newer_or_strange_state_is_refused(damage: object, word: str, tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state())
    damage(path / "state.json")  # type: ignore[operator]
    with pytest.raises(GansmithError, match=word) as e:
        checkpoint.load_state(path)
    assert "state.json" in str(e.value)


# ---------------------------------------------------------------- a full disk


def test_a_full_disk_leaves_earlier_checkpoints(small_disk: Path) -> None:
    path = checkpoint.save(small_disk, state(64, size=50_000))  # 200 kB
    with pytest.raises(GansmithError, match="No space left"):
        checkpoint.save(small_disk, state(128, size=500_000))
    assert checkpoint.all_in(small_disk) == [path] and list(small_disk.iterdir()) == [path]
    assert checkpoint.load(path)[0]["G.weight"].numel() == 50_000


def test_a_limit_on_files_leaves_earlier_checkpoints(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state(64))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(GansmithError, match="ulimit"):
            checkpoint.save(tmp_path, state(128, size=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert list(tmp_path.iterdir()) == [path] and checkpoint.load(path)[2]["seen"] == 64
