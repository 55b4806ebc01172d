"""Independent packages to compare with: torch-fidelity and torchmetrics, for their functions from features to numbers.

torch-fidelity imports torchvision, which cannot be imported beside the CPU build of torch here, and tqdm; what is
absent of the two is replaced by empty modules while torch-fidelity is imported, and only then. What draws on them
(data sets, progress bars, ImageNet networks) cannot be used.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

import pytest

STANDINS: dict[str, tuple[str, ...]] = {
    "torchvision": (),
    "torchvision.datasets": ("CIFAR10", "CIFAR100", "STL10"),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": (),
    "tqdm": ("tqdm",),
}
"""Modules that may be absent, and the classes that are imported from them by name."""


def torch_fidelity(name: str) -> ModuleType:
    """The submodule `torch_fidelity.<name>`; skips the test where the package is not installed."""
    return _or_skip("torch_fidelity", name)


def torchmetrics(name: str) -> ModuleType:
    """The submodule `torchmetrics.<name>`, as "image.fid"; skips the test where the package is not installed."""
    return _or_skip("torchmetrics", name)


def _or_skip(package: str, name: str) -> ModuleType:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return load(f"{package}.{name}")


def load(name: str) -> ModuleType:
    """The module of that full name. torchmetrics imports torch-fidelity where it is installed, so that comes first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if find_spec("torch_fidelity") is not None:
            with _standins():
                importlib.import_module("torch_fidelity")
        return importlib.import_module(name)


@contextmanager
def _standins() -> Iterator[None]:
    """Empty modules for what is absent."""
    absent = [name for name in STANDINS if find_spec(name.partition(".")[0]) is None]
    made = {name: ModuleType(name) for name in absent}
    for name, module in made.items():
        module.__spec__, module.__path__ = ModuleSpec(name, None), []
        for word in STANDINS[name]:
            setattr(module, word, type(word, (), {}))
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(made[parent], child, module)
    sys.modules.update(made)
    try:
        yield
    finally:
        for name in made:
            del sys.modules[name]
