"""What holds for every test: one thread, the same seed, no window, and `slow` for all that trains for minutes."""

from __future__ import annotations

import os
import random
from pathlib import Path

# Before torch is imported anywhere, subprocesses included: test processes share the cores, so each takes one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
from hypothesis import settings

LEARNS = Path(__file__).parent / "learns"

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)  # before the marker expression deselects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything under tests/learns is slow, and a slow test may take an hour unless it says otherwise."""
    for item in items:
        if LEARNS in item.path.parents:
            item.add_marker("slow")
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(3600))


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test starts from the same random state, in whatever order and process it runs."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
