"""Checkpoints: nets.safetensors, optim.safetensors and state.json in a folder named after the samples seen.

No pickle: a checkpoint from a stranger can be wrong, but it cannot run code.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gansmith.engine.files import explained, sweep, write_folder
from gansmith.errors import GansmithError

FORMAT = 1
NUMBERS = {"round": int, "seen": int, "progress": float, "retries": int, "lr_scale": float, "seconds": float}
State = tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]


def name_of(seen: int) -> str:
    """The folder's name: samples seen, sortable as text."""
    return f"{seen:09d}"


def save(folder: Path, state: State) -> Path:
    """Write a checkpoint below `folder` atomically and return its path. Raises GansmithError when the disk refuses."""
    nets, optims, rest = state

    def fill(path: Path) -> None:
        _save_tensors(nets, path / "nets.safetensors")
        _save_tensors(optims, path / "optim.safetensors")
        (path / "state.json").write_text(json.dumps({"format": FORMAT, **rest}, indent=1) + "\n")

    path = folder / name_of(rest["seen"])
    write_folder(path, fill)
    return path


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, path)
    except SafetensorError as e:
        code = re.search(r"os error (\d+)", str(e))
        if code is None:
            raise
        raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from None


def load(path: Path) -> State:
    """Read a checkpoint. Raises GansmithError naming the file that is missing, cut short or of a newer format."""
    rest = load_state(path)
    return _load_tensors(path / "nets.safetensors"), _load_tensors(path / "optim.safetensors"), rest


def load_state(path: Path) -> dict[str, Any]:
    """Only clock and counters of a checkpoint."""
    file = path / "state.json"
    try:
        rest = json.loads(file.read_text(encoding="utf-8"))
        if (found := rest.pop("format")) != FORMAT:
            raise GansmithError(f"{file} has format {found}, this gansmith reads format {FORMAT}: use another version.")
        stopped = rest.get("stopped")  # why the stop rule ended the training, in words
        return {key: number(rest[key]) for key, number in NUMBERS.items()} | {"stopped": stopped and str(stopped)}
    except GansmithError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        raise _damaged(file, str(e)) from None


def load_nets(path: Path) -> dict[str, Tensor]:
    """Only the networks of a checkpoint, for those who do not train on."""
    return _load_tensors(path / "nets.safetensors")


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as e:
        raise _damaged(path, str(e)) from None


def _damaged(path: Path, why: str) -> GansmithError:
    return GansmithError(
        f"{path} is damaged or missing ({why.strip() or 'unreadable'}): use another checkpoint of this run "
        "(delete this folder and the one before is taken), or train anew."
    )


def all_in(folder: Path) -> list[Path]:
    """The checkpoints below `folder`, oldest first."""
    there = (p for p in folder.glob("[0-9]*") if p.name.isdigit() and p.is_dir())
    return sorted(there, key=lambda p: int(p.name))


def prune(folder: Path, keep: int = 2, also: Collection[str] = ()) -> None:
    """Keep the newest `keep` checkpoints and those named in `also`; sweep up what a crash left."""
    with explained(folder):
        for path in all_in(folder)[:-keep]:
            if path.name not in also:
                _remove(path)
        sweep(folder)


def drop_after(folder: Path, last: Path) -> None:
    """Remove the checkpoints below `folder` that are newer than `last`: the training goes on from there."""
    with explained(folder):
        for path in all_in(folder):
            if int(path.name) > int(last.name):
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a checkpoint; never is there half of one by its name."""
    os.replace(path, gone := path.with_name(f".{path.name}.tmp"))
    shutil.rmtree(gone)
