"""Where gansmith keeps what it can make again: decoded images, features, judges; and weights that a user put there."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_folder() -> Path:
    """`$GANSMITH_CACHE`, or the platform's place for caches."""
    if os.environ.get("GANSMITH_CACHE"):
        return Path(os.environ["GANSMITH_CACHE"]).expanduser()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or "~").expanduser() / "gansmith" / "cache"
    if sys.platform == "darwin":
        return Path("~/Library/Caches/gansmith").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gansmith"
