"""The run directory: the only thing that passes from training to everything else."""

from __future__ import annotations

import math
import re
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from gansmith.engine import checkpoint
from gansmith.engine.files import explained, sweep, write_file
from gansmith.errors import GansmithError

FORMAT = 1
KEYS = {"recipe", "fields", "data", "seed", "budget", "tick", "device", "devices", "precision", "deterministic"}


class RunDir:
    """Paths inside a run directory, and run.yaml.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"

    @classmethod
    def create(cls, path: str | Path | None, label: str) -> RunDir:
        """Make a new run directory: `path`, or the next number under runs/ with `label` in its name.

        Raises:
            GansmithError: there is a run already, something else is in the way, or the place cannot be written.
        """
        if path is None:
            return cls._next(Path("runs"), label)
        folder = Path(path)
        with explained(folder):
            if folder.is_dir() and (folder / "run.yaml").exists():
                raise GansmithError(
                    f"{folder} holds a run already: go on with it (gansmith resume {folder}) or choose another --out."
                )
            if folder.is_dir() and any(folder.iterdir()):
                raise GansmithError(f"{folder} is not empty and holds no run: choose another --out.")
            folder.mkdir(parents=True, exist_ok=True)
        return cls(folder)._furnished()

    @classmethod
    def _next(cls, root: Path, label: str) -> RunDir:
        """The next number under `root`; when another process takes it first, the one after."""
        while True:
            folder = next_path(root, label)
            with explained(folder):
                root.mkdir(parents=True, exist_ok=True)
                try:
                    folder.mkdir()
                except FileExistsError:
                    continue
            return cls(folder)._furnished()

    def _furnished(self) -> RunDir:
        with explained(self.path):
            self.samples.mkdir()
            self.checkpoints.mkdir()
        return self

    @classmethod
    def open(cls, path: str | Path) -> RunDir:
        """An existing run directory. Raises GansmithError, naming the runs that are there, when it is none."""
        folder = Path(path)
        if not (folder / "run.yaml").is_file():
            near = folder if folder.is_dir() else folder.parent
            runs = sorted(p.parent.name for p in near.glob("*/run.yaml"))[-5:]
            there = f" Runs in {near}: {', '.join(runs)}." if runs else ""
            what = "holds no run (no run.yaml)" if folder.exists() else "does not exist"
            raise GansmithError(f"{folder} {what}: give a run directory made by gansmith train.{there}")
        return cls(folder)

    def lock(self) -> AbstractContextManager[object]:
        """Hold the run until the context ends. Raises GansmithError when another process trains in it."""
        try:
            with explained(self.path):
                return FileLock(str(self.path / ".lock")).acquire(timeout=0)
        except Timeout:
            raise GansmithError(f"{self.path} is being trained by another process: wait for it or stop it.") from None

    def write_config(self, config: dict[str, Any]) -> None:
        """Write run.yaml: enough to repeat the run."""
        text = yaml.safe_dump({"format": FORMAT, **config}, sort_keys=False, allow_unicode=True)
        write_file(self.path / "run.yaml", lambda temporary: temporary.write_text(text, encoding="utf-8"))

    def read_config(self) -> dict[str, Any]:
        """Read run.yaml. Raises GansmithError when it is damaged or of another format."""
        path = self.path / "run.yaml"
        config = _read_yaml(path)
        if config.get("format", FORMAT) != FORMAT:
            raise GansmithError(
                f"{path} has format {config['format']}, this gansmith reads format {FORMAT}: use another version."
            )
        if missing := sorted(KEYS - config.keys()):
            raise GansmithError(f"{path} is damaged, it lacks {', '.join(missing)}: restore it, or train anew.")
        return config

    def checkpoint(self, which: str = "latest") -> Path:
        """A checkpoint's folder: "latest", "best", or its name.

        Raises:
            GansmithError: there is none, or none of that name.
        """
        there = checkpoint.all_in(self.checkpoints)
        if not there:
            raise GansmithError(f"{self.path} has no checkpoint: the training ended before the first; train anew.")
        if which == "latest":
            return there[-1]
        if which == "best":
            which = self.best() or there[-1].name
        for path in there:
            if path.name.lstrip("0") == which.lstrip("0"):
                return path
        names = ", ".join(p.name for p in there)
        raise GansmithError(f"{self.path} has no checkpoint {which}: choose latest, best or one of {names}.")

    def best(self) -> str | None:
        """The name of the checkpoint with the best score so far; None when nothing was scored, or when it is gone."""
        return self._best()[0]

    def best_score(self) -> float:
        """The best score so far (lower is better); infinity when nothing was scored."""
        return self._best()[1]

    def _best(self) -> tuple[str | None, float]:
        path = self.checkpoints / "best.yaml"
        if not path.exists():
            return None, math.inf
        found = _read_yaml(path)
        name = str(found.get("checkpoint"))
        return (name, float(found["score"])) if (self.checkpoints / name).is_dir() else (None, math.inf)

    def set_best(self, name: str, score: float) -> None:
        """Record the checkpoint with the best score."""
        text = yaml.safe_dump({"checkpoint": name, "score": score})
        write_file(self.checkpoints / "best.yaml", lambda temporary: temporary.write_text(text))

    def clean(self) -> None:
        """Remove what a killed process left half written."""
        for folder in (self.path, self.samples, self.checkpoints):
            sweep(folder)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        content = None
    if not isinstance(content, dict):
        raise GansmithError(f"{path} is damaged: restore it, or train anew.")
    return content


def next_path(root: Path, label: str) -> Path:
    """The next free `root/00012-label`."""
    taken = [int(m[0]) for p in (root.iterdir() if root.is_dir() else ()) if (m := re.match(r"\d{5}", p.name))]
    safe = re.sub(r"[^\w.+-]+", "-", label).strip("-")
    return root / f"{max(taken, default=-1) + 1:05d}-{safe}"
