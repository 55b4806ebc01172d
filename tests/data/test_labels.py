"""Labels from tables: every form of file, how names are matched, and one sentence for whatever is wrong with one."""

import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith.data import Stream, check_data, open_data, sources
from gansmith.data.images import Images
from gansmith.data.tables import located
from gansmith.errors import GansmithError

KINDS = ["cat", "dog", "cow"]


@pytest.fixture
def tree(tmp_path: Path, noise) -> Path:
    """24 images in two folders, a/0.png to b/23.png; image i is of kind i % 3, which no folder says."""
    for i in range(24):
        path = tmp_path / "tree" / "ab"[i // 12] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(i)).save(path)
    return tmp_path / "tree"


def name(i: int) -> str:
    return f"{'ab'[i // 12]}/{i}.png"


def kind(i: int) -> str:
    return KINDS[i % 3]


def csv(rows: list[tuple[str, str]], header: str = "file,label") -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


ROWS = [(name(i), kind(i)) for i in range(24)]


def labels(data: Images) -> dict[int, str]:
    """Class of each training image, by its number in the natural order of the set."""
    (y,) = data.fetch(np.arange(data.spec.count), ("y",))
    return {int(row): data.spec.classes[k] for row, k in zip(data.train, y.tolist(), strict=True)}


def right(data: Images) -> bool:
    """Whether every image has its own label."""
    found = labels(data)
    return found == {row: kind(row) for row in found} and data.spec.classes == ("cat", "cow", "dog")


def refused(source: Path, table: str | Path, *parts: str, **options: object) -> None:
    """Opening and checking both fail with one sentence that holds each part."""
    for function in (open_data, check_data):
        with pytest.raises(GansmithError) as caught:
            function(source, labels=table, progress=False, **options)
        said = str(caught.value)
        assert all(part in said for part in parts), said
        assert "\n" not in said and said[-1] in ".?" and len(said) < 1000


# ---- forms


FORMS: dict[str, tuple[str, str]] = {
    "csv": ("t.csv", csv(ROWS)),
    "byte order mark, Windows line ends": ("t.csv", "\ufeff" + csv(ROWS).replace("\n", "\r\n")),
    "semicolons": ("t.csv", csv(ROWS, "Path;Class").replace(",", ";")),
    "tabs": ("t.tsv", csv(ROWS, "filename,y").replace(",", "\t")),
    "more columns": ("t.csv", csv([(str(i), n, k) for i, (n, k) in enumerate(ROWS)], "id,image,category")),
    "quoted": ("t.csv", csv([(f'"{n}"', f'"{k}"') for n, k in ROWS])),
    "blank lines and repeats": ("t.csv", csv([*ROWS, ("", ""), *ROWS[:5]])),
    "any order": ("t.csv", csv(ROWS[::-1])),
    "bare names": ("t.csv", csv([(n.rpartition("/")[2], k) for n, k in ROWS])),
    "names below another folder": ("t.csv", csv([(f"data/train/{n}", k) for n, k in ROWS])),
    "backslashes": ("t.csv", csv([(f".\\{n}".replace("/", "\\"), k) for n, k in ROWS])),
    "json object": ("t.json", json.dumps(dict(ROWS))),
    "json pairs": ("t.json", json.dumps(ROWS)),
    "dataset.json": ("t.json", json.dumps({"labels": ROWS, "other": 3})),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form(form: str, tree: Path, tmp_path: Path) -> None:
    file, text = FORMS[form]
    (tmp_path / file).write_text(text, encoding="utf-8", newline="")
    assert right(open_data(tree, labels=str(tmp_path / file), progress=False))


def test_a_chosen_column(tree: Path, tmp_path: Path) -> None:
    rows = [(n, "x", k) for n, k in ROWS]
    (tmp_path / "t.csv").write_text(csv(rows, "file,label,Kind of animal"))
    assert right(open_data(tree, labels=f"{tmp_path}/t.csv:Kind of animal", progress=False))
    assert set(labels(open_data(tree, labels=tmp_path / "t.csv", progress=False)).values()) == {"x"}


def test_numbers_are_sorted_as_numbers(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(json.dumps({n: (8, 9, 10.0)[i % 3] for i, (n, _) in enumerate(ROWS)}))
    data = open_data(tree, labels=tmp_path / "t.json", progress=False)
    assert data.spec.classes == ("8", "9", "10")
    assert labels(data) == {row: ("8", "9", "10")[row % 3] for row in labels(data)}


def pack(tree: Path, path: Path, wrapper: str = "") -> Path:
    """The tree as a zip or tar archive."""
    files = sorted(p for p in tree.rglob("*") if p.is_file())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, wrapper + str(file.relative_to(tree)))
    else:
        with tarfile.open(path, "w") as archive:
            for file in files:
                archive.add(file, wrapper + str(file.relative_to(tree)))
    return path


def test_classes_that_begin_alike(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv([(n, ("cat", "cat2", "cat10")[i % 3]) for i, (n, _) in enumerate(ROWS)]))
    assert open_data(tree, labels=tmp_path / "t.csv", progress=False).spec.classes == ("cat", "cat2", "cat10")


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_archives(kind: str, tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv(ROWS))
    archive = pack(tree, tmp_path / f"set.{kind}", "wrapper/")
    assert set(open_data(archive, labels=tmp_path / "t.csv", progress=False).report.labels.values()) == {8}


def test_shards(tree: Path, tmp_path: Path, noise) -> None:
    for s in range(2):
        with tarfile.open(tmp_path / f"s-{s}.tar", "w") as archive:
            for i in range(12 * s, 12 * s + 12):
                archive.add(tree / name(i), f"{i}.png")
    (tmp_path / "t.csv").write_text(csv([(f"{i}.png", kind(i)) for i in range(24)]))
    data = open_data(str(tmp_path / "s-{0..1}.tar"), labels=tmp_path / "t.csv", progress=False)
    assert right(data)


# ---- tables among the images


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dataset.json", json.dumps({"labels": ROWS})),
        ("labels.csv", csv(ROWS)),
        ("metadata.csv", csv([(n, k, "t") for n, k in ROWS], "file_name,label,text")),
    ],
)
@pytest.mark.parametrize("form", ["folder", "zip", "wrapped zip"])
def test_a_table_among_the_images_goes_before_the_folders(
    file: str, text: str, form: str, tree: Path, tmp_path: Path
) -> None:
    assert open_data(tree, labels=True, progress=False).spec.classes == ("a", "b")
    (tree / file).write_text(text)
    wrapper = "wrapper/" * (form == "wrapped zip")
    data = open_data(tree if form == "folder" else pack(tree, tmp_path / "a.zip", wrapper), labels=True, progress=False)
    assert right(data)
    assert not any("passed over" in line for line in data.report.warnings)  # the table was read


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("dataset.json", '{"labels": null}'),
        ("dataset.json", '{"name": "my photos", "version": 3}'),
        ("metadata.csv", csv([(n, "t") for n, _ in ROWS], "file_name,text")),
    ],
)
def test_a_table_of_other_things_does_not_count(file: str, text: str, tree: Path) -> None:
    (tree / file).write_text(text)
    assert open_data(tree, labels=True, progress=False).spec.classes == ("a", "b")


def test_a_broken_table_among_the_images(tree: Path) -> None:
    (tree / "dataset.json").write_text('{"labels": [["a/0.png", 1],')
    refused(tree, True, '"dataset.json" is no valid JSON in line 1', "mend it")
    (tree / "dataset.json").unlink()
    (tree / "labels.csv").write_text(csv(ROWS, "file,breed"))
    refused(tree, True, '"labels.csv" has no column of labels (among file, breed): choose one')


def test_without_asking_a_table_is_not_read(tree: Path) -> None:
    (tree / "labels.csv").write_text("nonsense")
    assert open_data(tree, progress=False).spec.fields == ("x",)


# ---- cache and record


def test_a_change_of_the_table_is_seen_and_another_place_is_not(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # the cache trusts the files' state

    def age(*paths: Path) -> None:
        for path in paths:
            os.utime(path, (1, 1))

    first, second = tmp_path / "t.csv", tmp_path / "u.csv"
    for path in (first, second):
        path.write_text(csv(ROWS))
        age(path)
    one = open_data(tree, labels=first, progress=False)
    assert open_data(tree, labels=second, progress=False).fingerprint == one.fingerprint
    first.write_text(csv([(n, k.replace("cow", "cat")) for n, k in ROWS]))
    age(first)  # size and date do not tell
    other = open_data(tree, labels=first, progress=False)
    assert other.fingerprint != one.fingerprint and other.spec.classes == ("cat", "dog")


def test_the_second_opening_comes_from_the_cache(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "t.csv"
    table.write_text(csv([*ROWS, ("gone.png", "cat")]))
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # or new files are read again
    first = open_data(tree, labels=table, progress=False)
    monkeypatch.setattr("gansmith.data.prepare.labels_of", None)
    again = open_data(tree, labels=table, progress=False)
    assert labels(again) == labels(first) and again.report == first.report
    assert any('1 names in "' in line and '"gone.png" (line 26)' in line for line in again.report.warnings)


def test_old_fingerprints_hold(noise) -> None:
    """Runs that were started before tables existed can be resumed."""
    data = open_data(np.stack([noise(i) for i in range(12)]), progress=False)
    assert data.fingerprint == "d5a9e3ee211b529b54abf15a35f5560b"


def test_paths_are_written_so_that_they_hold_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("")
    choices = {"labels": "t.csv:kind", "captions": Path("t.csv"), "fit": "crop"}
    assert located(choices) == {"labels": f"{tmp_path}/t.csv:kind", "captions": f"{tmp_path}/t.csv", "fit": "crop"}
    assert located({"labels": "font"}) == {"labels": "font", "captions": None}
    assert located({"labels": True})["labels"] is True


def test_a_bad_image_needs_no_label(tree: Path, tmp_path: Path) -> None:
    (tree / "broken.png").write_bytes(b"oh")
    (tmp_path / "t.csv").write_text(csv(ROWS))
    data = open_data(tree, labels=tmp_path / "t.csv", progress=False)
    assert right(data) and [bad for bad, _ in data.report.corrupt] == ["broken.png"]


def test_the_used_table_is_not_reported_as_passed_over(tree: Path) -> None:
    (tree / "mine.csv").write_text(csv(ROWS))
    (tree / "notes.txt").write_text("hello")
    warnings = open_data(tree, labels=tree / "mine.csv", progress=False).report.warnings
    assert [line for line in warnings if "passed over" in line] == [
        "files that are no images were passed over: .txt (1)"
    ]


# ---- what is wrong with a table


def edit(i: int, row: tuple[str, ...] | None) -> str:
    """The table with one row changed, or left out."""
    return csv([r for r in [*ROWS[:i], row, *ROWS[i + 1 :]] if r is not None])


BAD: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "missing": ("t.csv", edit(7, None), ("has no label for 1 of 24 images, first a/7.png: label all images",)),
    "empty": (
        "t.csv",
        edit(7, (name(7), " ")),
        (
            'The label in line 9 of "',
            '"a/7.png" is empty: label all images',
        ),
    ),
    "contradicting": (
        "t.csv",
        csv([*ROWS, (name(7), "cow")]),
        ('labels a/7.png "dog" (line 9) and "cow" (line 26): keep one of the two',),
    ),
    "contradicting keys": (
        "t.json",
        json.dumps(dict(ROWS))[:-1] + ', "a/7.png": "cow"}',
        ('labels a/7.png "dog" (entry 8) and "cow" (entry 25)',),
    ),
    "negative": ("t.csv", edit(7, (name(7), "-1")), ('The label -1 in line 9 of "', "is out of range", "from 0")),
    "negative in json": ("t.json", json.dumps({name(0): -3}), ("The label -3 in entry 1", "is out of range")),
    "no class": ("t.json", json.dumps({name(0): 0.5}), ("There is 0.5, which is no class in entry 1",)),
    "truth value": ("t.json", json.dumps({name(0): True}), ("There is True, which is no class",)),
    "a list": ("t.json", json.dumps({name(0): [0, 1]}), ("There is [0, 1], which is no class",)),
    "null": ("t.json", json.dumps({name(0): None}), ("There is no label in entry 1",)),
    "no match": ("t.csv", csv([("x.png", "cat")]), ('No name in "', 'such as "x.png"', 'such as "a/0.png"')),
    "other folder": ("t.csv", csv([("c/0.png", "cat")]), ('No name in "',)),
    "no name column": ("t.csv", csv(ROWS, "what,label"), ("has no column of file names", "what, label", "file")),
    "no header": ("t.csv", csv(ROWS).partition("\n")[2], ("has no column of file names (its first line: a/0.png",)),
    "no label column": ("t.csv", csv(ROWS, "file,breed"), ("has no column of labels (among file, breed)", ":COLUMN")),
    "two columns": (
        "t.csv",
        csv([(n, k, k) for n, k in ROWS], "file,label,class"),
        ("has several columns of labels (such as label, class): choose one as labels",),
    ),
    "short row": ("t.csv", csv([*ROWS, ("a/0.png",)]), ("Line 26 of", "has 1 cells instead of 2")),
    "long row": ("t.csv", csv([*ROWS, ("a/0.png", "a", "b")]), ("Line 26 of", "has 3 cells", "quotation marks")),
    "open quote": ("t.csv", csv([*ROWS, ('"a/0.png', "a")]), ("of", "is no valid CSV")),
    "header only": ("t.csv", "file,label\n", ("holds no labels: give one for each image",)),
    "nothing": ("t.csv", "", ("has no column of file names (its first line: none)",)),
    "broken json": ("t.json", '{"a": ', ("is no valid JSON in line 1", "mend it")),
    "deep json": ("t.json", "[" * 100_000, ("is no valid JSON",)),
    "absurd number": ("t.json", '{"a/0.png": ' + "9" * 5000 + "}", ("is no valid JSON",)),
    "one number": ("t.json", "3", ("holds one number: give",)),
    "no pairs": ("t.json", '["a/0.png", 3]', ("Entry 1 of", "is no pair of a file name and a label")),
    "labels null": ("t.json", '{"labels": null}', ("holds no labels",)),
    "a page of text": ("t.csv", edit(7, (name(7), "x" * 300)), ("has 300 characters: is it the right column?",)),
    "control characters": ("t.csv", csv([("\x1b[2J.png", "\x07")]), ("\\x1b[2J.png",)),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_sentence(case: str, tree: Path, tmp_path: Path) -> None:
    file, text, parts = BAD[case]
    (tmp_path / file).write_text(text)
    refused(tree, tmp_path / file, str(tmp_path / file), *parts)


def test_a_name_that_fits_two_images(tmp_path: Path, noise) -> None:
    for i, kind in enumerate(("a", "b")):
        (tmp_path / "set" / kind).mkdir(parents=True)
        Image.fromarray(noise(i)).save(tmp_path / "set" / kind / "1.png")
    (tmp_path / "t.csv").write_text("file,label\n1.png,x\n")
    refused(tmp_path / "set", tmp_path / "t.csv", '"1.png" (line 2 of', "could be a/1.png or b/1.png", "give the path")


def test_files_that_are_no_tables(tree: Path, tmp_path: Path) -> None:
    refused(tree, "nowhere.csv", 'There is no file "nowhere.csv" with labels', "or give True for folders")
    refused(tree, "folders", 'labels = "folders" is no file of labels: give a .csv or .json file')
    refused(tree, "", 'labels = "" is no file of labels')
    refused(tree, 3, "labels must be True or the path of a file, not int")  # type: ignore[arg-type]
    (tmp_path / "t.csv").write_bytes("file,label\né.png,ü".encode("latin-1"))
    refused(tree, tmp_path / "t.csv", "is not UTF-8 text: save it again as UTF-8")
    (tmp_path / "t.csv").write_text(csv(ROWS))
    refused(tree, f"{tmp_path}/t.csv:labl", 'has no column "labl". Did you mean "label"? It has: file, label')


def test_a_table_without_permission(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(path: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "t.csv").write_text(csv(ROWS))
    monkeypatch.setattr("gansmith.data.tables.open", deny, raising=False)
    refused(tree, tmp_path / "t.csv", "cannot be read: Permission denied")


def test_a_huge_table_is_not_read(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansmith.data.tables.MAX_TABLE", 100)
    (tmp_path / "t.csv").write_text(csv(ROWS))
    refused(tree, tmp_path / "t.csv", "is larger than 0 MiB: split the set")


def test_a_huge_table_in_a_zip_is_not_read(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "labels.csv").write_text(csv(ROWS))
    monkeypatch.setattr(sources, "MAX_TABLE", 100)
    monkeypatch.setattr("gansmith.data.tables.MAX_TABLE", 100)
    refused(pack(tree, tmp_path / "a.zip"), True, '"labels.csv" is larger than 0 MiB')


def test_arrays_have_no_names(noise, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv(ROWS))
    array = np.stack([noise(i) for i in range(8)])
    refused(array, tmp_path / "t.csv", 'have no file names that "', 'give a .npz with an array "y"')  # type: ignore[arg-type]
    np.savez(tmp_path / "a.npz", x=array, y=np.array([0, 1, 2, -1, 0, 1, 2, 0]))
    refused(tmp_path / "a.npz", None, "The label -1 of image 3", "is out of range")  # type: ignore[arg-type]


def test_as_many_classes_as_images(tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansmith.data.labels.MANY", 10)
    (tmp_path / "t.csv").write_text(csv([(n, n) for n, _ in ROWS]))
    refused(tree, tmp_path / "t.csv", "make 24 classes of 24 images: choose a column")


def test_one_class_is_told(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv([(n, "cat") for n, _ in ROWS]))
    report = check_data(tree, labels=tmp_path / "t.csv", progress=False)
    assert 'all labels are "cat": with one class, labels teach nothing' in report.warnings


def test_points_take_no_labels() -> None:
    for options in ({"labels": "t.csv"}, {"captions": True}):
        with pytest.raises(GansmithError, match=r"holds points: .*labels and captions are for images"):
            open_data("grid25", **options)


def test_a_label_that_is_asked_for_and_not_there(photos: Callable[..., Path]) -> None:
    data = open_data(photos(6), progress=False)
    with pytest.raises(GansmithError, match='has no "y": open it with labels on'):
        data.fetch(np.arange(2), ("x", "y"))
    assert isinstance(data.fetch(np.arange(2))[0], torch.Tensor)


def test_many_classes_are_cut_in_the_report(noise, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.stack([noise(i, 8, 8) for i in range(50)]), y=np.arange(50))
    (tmp_path / "a.npz").write_bytes(buffer.getvalue())
    report = check_data(tmp_path / "a.npz", progress=False)
    line = next(line for line in report.lines() if line.startswith("labels"))
    assert line.startswith("labels: 0 1, 1 1") and line.endswith("39 1 and 10 more") and len(report.labels) == 50


# ---- labels of some images only


def some(i: int) -> str:
    """The kind of every fourth image; of the others it is not known."""
    return kind(i) if i % 4 == 0 else ("unlabelled", "unlabeled")[i % 2]


def partly(tree: Path, tmp_path: Path, form: str) -> Images:
    """The tree with a label for every fourth image, said in one of three ways."""
    if form == "table":
        (tmp_path / "t.csv").write_text(csv([(name(i), some(i)) for i in range(24)]))
        return open_data(tree, labels=tmp_path / "t.csv", progress=False)
    if form == "folders":
        for i in range(24):
            (tmp_path / "sorted" / some(i)).mkdir(parents=True, exist_ok=True)
            (tree / name(i)).rename(tmp_path / "sorted" / some(i) / f"{i}.png")
        return open_data(tmp_path / "sorted", labels=True, progress=False)
    pixels = np.stack([np.asarray(Image.open(tree / name(i)).convert("RGB")) for i in range(24)])
    np.savez(tmp_path / "t.npz", x=pixels, y=np.array([some(i) for i in range(24)]))
    return open_data(tmp_path / "t.npz", progress=False)


@pytest.mark.parametrize("form", ["table", "folders", "array"])
def test_some_images_may_be_unlabelled(form: str, tree: Path, tmp_path: Path) -> None:
    data = partly(tree, tmp_path, form)
    assert data.spec.classes == ("cat", "cow", "dog") and data.spec.fields == ("x", "some_y")
    assert (data.report.labels, data.report.unlabelled) == ({"cat": 2, "cow": 2, "dog": 2}, 18)
    assert any(line.endswith("; 18 unlabelled") for line in data.report.lines())
    (y,) = data.fetch(np.arange(data.spec.count), ("some_y",))
    assert sum(data.spec.counts) == (y >= 0).sum() and (y == -1).sum() == data.spec.count - sum(data.spec.counts)
    with pytest.raises(GansmithError, match='has no "y"'):
        data.fetch(np.arange(2), ("y",))


def test_a_fixed_part_takes_labelled_images_only(tree: Path, tmp_path: Path) -> None:
    data = partly(tree, tmp_path, "table")
    stream, have = Stream(data, seed=0), sum(data.spec.counts)
    _, y = stream.labelled(2 * have, 0)
    assert torch.equal(torch.bincount(y), 2 * torch.tensor(data.spec.counts))
    if min(data.spec.counts):
        assert torch.bincount(stream.labelled(6, 1)[1]).tolist() == [2, 2, 2]


def test_with_all_labels_those_of_some_are_there_too(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv(ROWS))
    data = open_data(tree, labels=tmp_path / "t.csv", progress=False)
    y, some_y = data.fetch(np.arange(data.spec.count), ("y", "some_y"))
    assert data.spec.fields == ("x", "y") and torch.equal(y, some_y)


def test_nothing_but_unlabelled_images(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv([(n, "unlabelled") for n, _ in ROWS]))
    refused(tree, tmp_path / "t.csv", "All images in", "are unlabelled: leave labels off")
