"""A trained model that is steered: by labels, by codes, from Python; and what its networks tell of samples."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gansmith
from gansmith import reading
from gansmith.api import Run
from gansmith.cli import main
from gansmith.errors import GansmithError

TINY: dict[str, Any] = {"tick": 10**6, "quiet": True, "device": "cpu", "precision": "32"}
NAMES = ("cat", "dog", "owl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 pictures in three subfolders: each class has its own stripes."""
    root = tmp_path_factory.mktemp("data") / "pets"
    rng = np.random.default_rng(0)
    for i, name in enumerate(NAMES):
        (root / name).mkdir(parents=True)
        for j in range(30):
            pixels = rng.integers(0, 60, (8, 8, 3), np.uint8)
            pixels[:, i::3] += 180
            Image.fromarray(pixels).save(root / name / f"{j}.png")
    return root


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def pets(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """acgan after ten rounds: labels are on without a word, as the recipe needs them."""
    out = tmp_path_factory.mktemp("pets") / "run"
    return gansmith.train("acgan", folder, out=out, samples=80, batch=8, width=8, z_dim=4, **TINY)


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("codes") / "run"
    return gansmith.train(
        "infogan", "ring8", out=out, samples=64, batch=16, width=8, categorical=(3,), continuous=1, **TINY
    )


@pytest.fixture(scope="module")
def learned(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """ssgan, long enough to tell stripes."""
    out = tmp_path_factory.mktemp("learned") / "run"
    given = {"samples": 2000, "batch": 20, "width": 16, "widths": (32, 32), "labels_per_class": 5, "z_dim": 8}
    return gansmith.train("ssgan", folder, out=out, **given, **TINY)


# ---------------------------------------------------------------- labels and codes


def test_class_names_are_kept_from_the_data(pets: Run) -> None:
    code = pets.load().codes["label"]
    assert (code.values, code.start, code.size) == (NAMES, 4, 3)
    assert gansmith.info(pets.path)["data"]["options"]["labels"] is True


def test_a_class_is_drawn_by_name_or_number(pets: Run) -> None:
    gan = pets.load()
    dogs = gan.sample(5, seed=2, label="dog")
    assert torch.equal(dogs, gan.sample(5, seed=2, label=1)) and not torch.equal(dogs, gan.sample(5, seed=2, label=0))
    mixed = gan.sample(3, seed=2, label=["owl", "dog", 0])
    assert torch.equal(mixed[1], gan.sample(3, seed=2, label="dog")[1])
    assert torch.equal(mixed, gan.sample(3, seed=2, label=torch.tensor([2, 1, 0])))


def test_a_label_grid_has_the_same_noise_in_a_column(pets: Run) -> None:
    gan = pets.load()
    grid, columns = gan.label_grid(4, seed=1)
    assert grid.shape == (12, 3, 8, 8) and columns == 4
    torch.testing.assert_close(grid[4:8], gan.sample(4, seed=1, label="dog"))


def test_a_sweep_has_a_row_for_each_latent(codes: Run) -> None:
    gan = codes.load()
    assert list(gan.codes) == ["c1", "c2"]
    x, columns = gan.sweep("c1", rows=5, seed=3)
    assert x.shape == (15, 2) and columns == 3
    torch.testing.assert_close(x[1::3], gan.sample(5, seed=3, c1=1))
    x, columns = gan.sweep("c2", rows=2, steps=5, seed=3, c1=2)
    assert x.shape == (10, 2) and columns == 5
    torch.testing.assert_close(x[::5], gan.sample(2, seed=3, c1=2, c2=-1.0))
    torch.testing.assert_close(x[4::5], gan.sample(2, seed=3, c1=2, c2=1.0))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"label": "cow"}, 'label = "cow" is none of cat, dog, owl; or 0 to 2'),
        ({"label": "dgo"}, "Did you mean"),
        ({"label": 3}, "or 0 to 2"),
        ({"label": -1}, "or 0 to 2"),
        ({"label": [0, 1]}, "2 values for 3 samples"),
        ({"c7": 1}, "ACGAN has no code c7: there are label."),
    ],
)
def test_what_cannot_be_drawn_is_said(pets: Run, given: dict[str, Any], words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        pets.load().sample(3, **given)


@pytest.mark.parametrize("value", [1.5, "high", float("nan"), None])
def test_a_continuous_code_has_a_range(codes: Run, value: Any) -> None:
    with pytest.raises(GansmithError, match=r"c2 = .* is out of range: give -1 to 1\."):
        codes.load().sample(3, c2=value)


def test_a_model_without_labels_says_which_have_some(tmp_path: Path) -> None:
    run = gansmith.train("gan", "ring8", out=tmp_path / "run", samples=8, batch=8, width=8, **TINY)
    with pytest.raises(GansmithError, match=r"there is no label to set\. Train cgan"):
        run.load().sample(3, label=1)
    with pytest.raises(GansmithError, match="tells no classes"):
        run.load().classify(torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["--label", "owl", "-n", "5"], 5),
        (["--label", "owl,cat"], 16),
        (["--label-grid"], 24),
        (["--label-grid", "-n", "2"], 6),
        (["--sweep", "label", "-n", "4"], 12),
        (["--code", "label=2", "-n", "3"], 3),
    ],
)
def test_sampling_by_condition_on_the_command_line(pets: Run, tmp_path: Path, words: list[str], count: int) -> None:
    out = tmp_path / "x.npz"
    assert main(["sample", str(pets.path), *words, "--out", str(out)]) == 0
    assert np.load(out)["samples"].shape == (count, 3, 8, 8)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--label", "cow"], "none of cat, dog, owl"),
        (["--label-grid", "--label", "cat"], "--label-grid draws every class"),
        (["--code", "label"], "write it as c1=4"),
        (["--sweep", "c2"], "ACGAN has no code c2"),
        (["-n", "0"], "give at least 1 sample"),
    ],
)
def test_wrong_conditions_on_the_command_line(
    pets: Run, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(pets.path), *words]) == 2
    assert said in capsys.readouterr().err


# ---------------------------------------------------------------- classes and features


def test_classes_are_told_by_name(learned: Run, folder: Path, tmp_path: Path) -> None:
    told = gansmith.classify(learned.path, folder)
    assert told.chances.shape == (90, 3) and told.classes == NAMES and told.accuracy is None
    np.testing.assert_allclose(told.chances.sum(1), 1, atol=1e-5)
    truth = np.array([NAMES.index(name.split("/")[0]) for name in told.names])
    assert (told.chances.argmax(1) == truth).mean() > 0.8
    assert told.names == sorted(told.names, key=lambda n: (n.split("/")[0], int(n.split("/")[1][:-4])))
    out = tmp_path / "told.csv"
    assert main(["classify", str(learned.path), "--data", str(folder), "--out", str(out)]) == 0
    rows = list(csv.reader(out.read_text().splitlines()))
    assert rows[0] == ["name", "class", "chance"] and len(rows) == 91
    best = told.chances.argmax(1)
    assert [row[1] for row in rows[1:]] == [NAMES[i] for i in best]


def test_the_held_out_part_is_told_when_no_data_are_named(learned: Run, capsys: pytest.CaptureFixture[str]) -> None:
    told = gansmith.classify(learned.path)
    held = gansmith.info(learned.path)["data"]["info"]["held_out_count"]
    assert told.accuracy is not None and told.accuracy.samples == len(told.names) == held and told.labels is not None
    assert told.accuracy.value == float((told.chances.argmax(1) == told.labels).mean())
    assert main(["classify", str(learned.path)]) == 0
    assert f"{100 * told.accuracy.value:.1f} % right" in capsys.readouterr().out


def test_features_are_the_hidden_activations(pets: Run, folder: Path, tmp_path: Path) -> None:
    """A DCGAN of 8 px and width 16 has one hidden layer, of 4 x 4: 256 numbers. (width_d is set for the CPU.)"""
    out = tmp_path / "f.npz"
    found = gansmith.features(pets.path, labels_per_class=4)
    assert found.x.shape == (90, 16 * 16) and found.held_out.sum() == 90 - (~found.held_out).sum()
    assert set(found.probes) == {"D", "untrained D", "pixels"} and found.y is not None
    gan = pets.load()
    data = gansmith.data.open_data(folder, resolution=8, labels=True, progress=False)  # type: ignore[attr-defined]
    D = gansmith.load(pets.path, raw=True).nets["D"]
    first = D.D.trunk(data.fetch(np.arange(2))[0]).flatten(1)
    torch.testing.assert_close(torch.from_numpy(found.x[:2]), first)
    assert gan.spec.classes == found.classes
    assert main(["features", str(pets.path), "--out", str(out), "--labels-per-class", "4"]) == 0
    saved = np.load(out)
    assert saved["x"].shape == found.x.shape and list(saved["classes"]) == list(NAMES)


def test_without_labels_there_is_no_probe(pets: Run, folder: Path) -> None:
    found = gansmith.features(pets.path, folder)
    assert found.y is None and not found.probes and len(found.x) == 90


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda pets, folder: gansmith.features(pets.path, labels_per_class=40), 'training images of class "cat"'),
        (lambda pets, folder: gansmith.classify(pets.path, "ring8"), "ring8"),
        (lambda pets, folder: main_error(["features", str(pets.path), "--out", "x.csv"]), "go to a .npz file"),
        (lambda pets, folder: main_error(["classify", str(pets.path), "--out", "x.txt"]), "go to a .csv file"),
    ],
)
def test_bad_input_is_one_sentence(pets: Run, folder: Path, call: Any, words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        call(pets, folder)


def main_error(words: list[str]) -> None:
    """The verb's own error, before the command line prints it."""
    import importlib

    importlib.import_module(f"gansmith.cli.{words[0]}").run(words[1:])


def test_a_flat_folder_has_no_classes(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted(folder.rglob("*.png"))[:20]):
        (flat / f"{i}.png").write_bytes(path.read_bytes())
    with pytest.raises(GansmithError, match="images lie in none"):
        gansmith.train("cgan", flat, out=tmp_path / "run", **TINY)


def test_too_few_labels_are_refused_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GansmithError, match="labels_per_class = 31, but"):
        gansmith.train("ssgan", folder, out=tmp_path / "run", labels_per_class=31, **TINY)
    assert not (tmp_path / "run").exists()


@pytest.fixture
def partly(folder: Path, tmp_path: Path) -> Path:
    """The folder with most images of each class moved to one that says that their class is not known."""
    (tmp_path / "partly" / "unlabelled").mkdir(parents=True)
    for kind in NAMES:
        (tmp_path / "partly" / kind).mkdir()
        for i, path in enumerate(sorted((folder / kind).iterdir())):
            place = tmp_path / "partly" / (kind if i % 3 == 0 else "unlabelled")
            (place / f"{kind} {i}.png").write_bytes(path.read_bytes())
    return tmp_path / "partly"


def test_a_classifier_learns_from_a_partly_labelled_folder(partly: Path, folder: Path, tmp_path: Path) -> None:
    given = {"samples": 2000, "batch": 20, "width": 16, "widths": (32, 32), "z_dim": 8}
    run = gansmith.train("ssgan", partly, out=tmp_path / "run", **given, **TINY)
    assert run.load().recipe.labels_per_class == 0
    told = gansmith.classify(run.path, folder, labels=True)
    assert told.accuracy is not None and told.accuracy.value >= 0.9 and told.accuracy.samples == 90
    own = gansmith.classify(run.path, partly, labels=True)
    assert own.labels is not None and (own.labels == -1).sum() == sum(name.startswith("unl") for name in own.names)
    reading.save_predictions(own, tmp_path / "p.csv")
    rows = (tmp_path / "p.csv").read_text().splitlines()[1:]
    assert {row.rpartition(",")[2] for row in rows if row.startswith("unlabelled")} == {""}
    assert {row.rpartition(",")[2] for row in rows if not row.startswith("unlabelled")} == set(NAMES)


def test_labels_of_other_classes_are_no_test(partly: Path, folder: Path, learned: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"{k}/{j}.png,x{k}\n" for k in NAMES for j in range(30)))
    with pytest.raises(GansmithError, match=r"No label of the data is a class of .*, which tells cat, dog, owl"):
        gansmith.classify(learned.path, folder, labels=tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace("xcat", "cat"))
    told = gansmith.classify(learned.path, folder, labels=tmp_path / "t.csv")
    assert told.accuracy is not None and told.accuracy.samples == 30


def test_features_read_labels_when_asked(learned: Run, folder: Path) -> None:
    assert not gansmith.features(learned.path, folder).probes
    assert set(gansmith.features(learned.path, folder, labels=True, labels_per_class=5).probes) == {
        "D",
        "untrained D",
        "pixels",
    }


def test_other_recipes_want_a_label_for_every_sample(partly: Path, tmp_path: Path) -> None:
    with pytest.raises(GansmithError, match="needs a label for every sample"):
        gansmith.train("acgan", partly, out=tmp_path / "run", **TINY)


def test_packed_runs_have_no_features_of_single_samples(folder: Path, tmp_path: Path) -> None:
    run = gansmith.train("dcgan", folder, out=tmp_path / "run", samples=8, batch=4, width=8, pack=2, **TINY)
    with pytest.raises(GansmithError, match="no features of single samples"):
        gansmith.features(run.path)
