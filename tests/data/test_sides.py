"""A and B are found in folders, archives, cut pictures and tables, and partners brought together by their names."""

import io
import os
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gansmith.data import Domains, Images, Pairs, check_data, open_data
from gansmith.data.sides import by_name
from gansmith.errors import GansmithError

Sides = Callable[..., Path]


def everything(data: Pairs | Domains) -> tuple[torch.Tensor, torch.Tensor]:
    """All pairs, trained on or held out."""
    parts = data.fetch(np.arange(len(data.train))), data.fetch_held_out(np.arange(len(data.held_out)))
    return torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts])


def negatives(data: Pairs | Domains, count: int) -> None:
    """The data are `count` pairs, each B the negative of its own A, and no two A are the same."""
    assert data.spec.kind == "pairs"
    a, b = everything(data)
    assert len(a) == len(b) == count and len(a.flatten(1).unique(dim=0)) == count
    torch.testing.assert_close(b, -a)


def refused(source: object, message: str, **options: object) -> None:
    """`open_data` refuses the source with one sentence on one line that contains `message`."""
    with pytest.raises(GansmithError) as caught:
        open_data(source, progress=False, **options)
    text = str(caught.value)
    assert message in text and "\n" not in text and text.endswith("."), text


# ---- partners by name


@given(st.permutations(range(8)), st.permutations(range(8)))
def test_partners_are_found_in_any_order(p: list[int], q: list[int]) -> None:
    a, b = [f"x/{i}.png" for i in p], [f"x/{i}.jpg" for i in q]
    assert [(p[i], q[j]) for i, j in by_name(a, b)] == [(n, n) for n in p]


@pytest.mark.parametrize(
    ("a", "b", "pairs"),
    [
        (["1.png", "1.jpg"], ["1.jpg"], [(1, 0)]),  # the same name comes before the same stem
        (["1.png", "1.jpg"], ["1.webp"], []),  # nobody knows which
        (["1.png", "1.jpg"], ["1.webp", "1.png"], [(0, 1), (1, 0)]),
        (["Cat.PNG"], ["cat.png"], [(0, 0)]),
        (["cat.png", "Cat.png"], ["cat.png"], [(0, 0)]),  # case is looked at last
        (["cat.png", "Cat.png"], ["CAT.png"], []),
        (["é.png"], [unicodedata.normalize("NFD", "é.png")], [(0, 0)]),
        (["x/1.png"], ["y/1.png"], []),  # folders count
        (["1.tar.png"], ["1.png"], []),  # only the last ending may differ
        (["1.png", "1.png"], ["1.png"], []),  # an archive that holds a name twice
        ([], ["1.png"], []),
    ],
)
def test_names_that_fit(a: list[str], b: list[str], pairs: list[tuple[int, int]]) -> None:
    assert by_name(a, b) == pairs


# ---- folders


def test_folders_a_and_b_are_pairs(sides: Sides, numbered) -> None:
    data = open_data(sides(numbered(20), numbered(20, ".bmp")), progress=False)
    negatives(data, 20)
    assert isinstance(data, Pairs) and data.spec.fields == ("a", "b")
    assert data.spec.shape == data.spec.target == (3, 32, 32) and data.spec.count == 20 - len(data.held_out)


def test_subfolders_and_odd_names(sides: Sides) -> None:
    names = ["a b.png", "猫/ü.png", "x\ny.png", "quote\"'.png", "deep/er/1.png", "A/1.png", "B/1.png", "1.png", "-.png"]
    negatives(open_data(sides(names, [n.replace(".png", ".bmp") for n in names]), progress=False), len(names))


def test_names_without_an_encoding(sides: Sides, numbered) -> None:
    names = [*numbered(5), os.fsdecode(b"bad\xff.png")]
    data = open_data(sides(names, names), progress=False)
    negatives(data, 6)
    assert "A/bad\\udcff.png" in data.names


def test_train_and_test_folders(sides: Sides, numbered) -> None:
    """The same names are used in both parts, as the published sets do; partners stay within their part."""
    root = sides([], [], also={"trainA": numbered(12), "trainB": numbered(12)})
    for side in "AB":
        (root / f"test{side}").mkdir()
        for i in range(5):
            (root / f"train{side}" / f"{i + 5}.png").rename(root / f"test{side}" / f"{i}.png")
    data = open_data(root, progress=False)
    negatives(data, 12)
    assert data.spec.count == 7 and len(data.held_out) == 5
    assert {data.names[i] for i in data.held_out} == {f"testA/{i}.png" for i in range(5)}
    assert all(data.names[i].startswith("trainA/") for i in data.train)


def test_hidden_files_are_no_partners(sides: Sides, numbered) -> None:
    root = sides(numbered(6), numbered(6))
    (root / "A" / ".7.png").write_bytes(b"x")
    (root / "B" / "__MACOSX").mkdir()
    (root / "B" / "__MACOSX" / "1.png").write_bytes(b"x")
    (root / ".preview.png").write_bytes(b"x")
    report = check_data(root, progress=False)
    assert (report.kind, report.train + report.held_out, report.alone) == ("pairs", 6, ())


def test_links_are_followed_and_loops_are_not(sides: Sides, numbered, tmp_path: Path) -> None:
    root = sides(numbered(6), numbered(4))
    elsewhere = sides(["out/4.png"], ["out/5.png"], name="elsewhere")
    (root / "B" / "5.png").symlink_to(elsewhere / "B" / "out" / "5.png")
    (root / "A" / "loop").symlink_to(root, target_is_directory=True)
    (root / "B" / "4.png").symlink_to(root / "B" / "4.png")
    data = open_data(root, progress=False)
    assert data.spec.count + len(data.held_out) == 5
    assert ("B/4.png", "too many levels of symbolic links") in data.report.sides[1].corrupt
    assert ("A/4.png", "its partner B/4.png cannot be used") in data.report.sides[0].corrupt


def test_a_folder_linked_twice_is_one_side(sides: Sides, numbered) -> None:
    """No folder is walked through twice: a B that is a link to A leaves nothing for one of the two."""
    root = sides(numbered(6), [])
    (root / "B").symlink_to(root / "A", target_is_directory=True)
    refused(root, "alone, none to train on for side")


def test_what_lacks_a_partner_is_named_and_left_out(sides: Sides, numbered) -> None:
    root = sides([*numbered(8), *(f"x{i}.png" for i in range(12))], [*numbered(8), "y.png"])
    report = check_data(root, progress=False)
    assert report.train + report.held_out == 8 and len(report.alone) == 13 and "B/y.png" in report.alone
    assert (report.sides[0].count, report.sides[1].count) == (20, 9)
    line = next(line for line in report.lines() if line.startswith("without a partner"))
    assert line.startswith("without a partner, 13: A/x0.png, A/x1.png") and line.endswith("A/x9.png and 3 more")
    assert "warning: 13 images without a partner were left out of the pairs" in report.lines()


def test_two_endings_of_one_name(sides: Sides, numbered) -> None:
    data = open_data(sides([*numbered(5), "3.webp"], numbered(5, ".bmp")), progress=False)
    negatives(data, 4)
    assert data.report.alone == ("A/3.png", "A/3.webp", "B/3.bmp")


def test_no_matching_name_makes_two_domains(sides: Sides) -> None:
    data = open_data(sides([f"x{i}.png" for i in range(9)], [f"y{i}.png" for i in range(14)]), progress=False)
    assert isinstance(data, Domains) and data.spec.kind == "domains" and data.spec.fields == ("a", "b")
    assert (len(data.a.train) + len(data.a.held_out), len(data.b.train) + len(data.b.held_out)) == (9, 14)
    assert "two domains without partners; 9 images in A, 14 in B" in data.report.lines()[0]


def test_domains_may_be_said_outright(sides: Sides, numbered) -> None:
    root = sides(numbered(8), [*numbered(8), "x.png"])
    data = open_data(root, pairs=False, progress=False)
    assert isinstance(data, Domains) and len(data.b.train) + len(data.b.held_out) == 9
    assert isinstance(open_data(root, pairs=True, progress=False), Pairs)


def test_few_agreeing_names_are_suspect(sides: Sides, numbered) -> None:
    report = check_data(sides(numbered(20), [*numbered(3), *(f"y{i}.png" for i in range(20))]), progress=False)
    assert any(line.startswith("only 3 pairs: if these are two domains") for line in report.warnings)


def test_other_folders_are_what_they_were(sides: Sides, numbered) -> None:
    """Letters as classes, lower case, an image outside, labels asked for: sets of single images."""
    letters = sides(numbered(3), numbered(3), also={"C": numbered(3)}, name="letters")
    lower = sides([], [], also={"a": numbered(3), "b": ["x.png", "y.png"]}, name="lower")
    loose = sides(numbered(3), numbered(3), also={".": ["preview.png"]}, name="loose")
    for root in (letters, lower, loose):
        assert isinstance(open_data(root, progress=False), Images)
    labelled = open_data(sides(numbered(3), numbered(3), name="two"), labels=True, progress=False)
    assert isinstance(labelled, Images) and labelled.spec.classes == ("A", "B")
    refused(loose, "has no two sides of images (preview.png lies in neither): give a folder with", pairs=True)
    refused(lower, "has no two sides of images: give a folder with subfolders A and B", pairs=False)


def test_one_side_alone(sides: Sides, numbered) -> None:
    root = sides(numbered(4), [])
    refused(root, "has images in A alone, none to train on for side B: give a folder with subfolders A and B")
    (root / "B").mkdir()
    (root / "B" / "notes.txt").write_text("to do")
    refused(root, "has images in A alone, none to train on for side B")
    only = sides([], [], also={"trainA": numbered(3), "testA": ["t.png"], "testB": ["t.png"]}, name="tested")
    refused(only, "has images in testA and testB and trainA alone, none to train on for side B")
    tested = sides([], [], also={"testA": numbered(3), "testB": numbered(3)}, name="test-only")
    refused(tested, "none to train on for side A")


def test_partners_missing_everywhere(sides: Sides) -> None:
    root = sides([f"x{i}.png" for i in range(3)], [f"y{i}.png" for i in range(3)])
    refused(root, "No image of A in", pairs=True)
    refused(root, "they are such as A/x0.png and B/y0.png. If A and B are two domains", pairs=True)


def test_an_unreadable_side_is_named(sides: Sides, numbered) -> None:
    root = sides(numbered(4), [])
    (root / "B").mkdir()
    for i in range(3):
        (root / "B" / f"{i}.png").write_bytes(b"no image")
    refused(root, "None of the 3 images in")
    refused(root, '(B)" can be used (B/0.png: not an image')


# ---- archives


def packed(root: Path, path: Path, wrapper: str = "") -> Path:
    """The folder as an archive of the path's kind, B first."""
    files = sorted((p for p in root.rglob("*") if p.is_file()), key=lambda p: str(p), reverse=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, wrapper + str(file.relative_to(root)))
            archive.writestr(f"__MACOSX/{wrapper}A/._0.png", b"x")
            archive.writestr(f"{wrapper}readme.txt", b"x")
    else:
        with tarfile.open(path, f"w:{path.suffix[1:].replace('tar', '')}") as archive:
            for file in files:
                archive.add(file, wrapper + str(file.relative_to(root)))
    return path


@pytest.mark.parametrize("name", ["s.zip", "s.tar", "s.tar.gz"])
@pytest.mark.parametrize("wrapper", ["", "horses/2/"])
def test_archives_equal_folders(name: str, wrapper: str, sides: Sides, numbered, tmp_path: Path) -> None:
    root = sides(numbered(12), [*numbered(12, ".bmp"), "x.png"], also={"testA": ["t.png"], "testB": ["t.png"]})
    data = open_data(packed(root, tmp_path / name, wrapper), progress=False)
    negatives(data, 13)
    assert data.report.alone == (f"{wrapper}B/x.png",) and len(data.held_out) == 1


def test_shards_are_one_set(sides: Sides, numbered, tmp_path: Path) -> None:
    """Partners need not lie in the same shard."""
    root = sides(numbered(8), numbered(8))
    with tarfile.open(tmp_path / "s-0.tar", "w") as one, tarfile.open(tmp_path / "s-1.tar", "w") as two:
        for i in range(8):
            one.add(root / "A" / f"{i}.png", f"A/{i}.png")
            two.add(root / "B" / f"{i}.png", f"B/{i}.png")
    negatives(open_data(str(tmp_path / "s-{0..1}.tar"), progress=False), 8)


def test_an_ordinary_archive_is_listed_only_to_its_first_image(photos, tmp_path: Path, monkeypatch) -> None:
    path = packed(photos(40), tmp_path / "s.tar")
    read: list[str] = []
    real = tarfile.TarFile.next
    monkeypatch.setattr(tarfile.TarFile, "next", lambda self: read.append("") or real(self))
    from gansmith.data.sides import find_sides
    from gansmith.data.sources import tar_files

    assert find_sides(tar_files((path,)), False) is None and len(read) < 10  # some to tell its compression


def test_damaged_archives(sides: Sides, numbered, tmp_path: Path) -> None:
    root = sides(numbered(9), numbered(9))
    for name in ("s.zip", "s.tar", "s.tar.gz"):
        path = packed(root, tmp_path / name)
        path.write_bytes(path.read_bytes()[:9000])
        refused(path, "cannot be read: it is cut off, damaged or of another kind")


# ---- two images in one picture


def side_by_side(root: Path, count: int, noise, save: Callable[[Image.Image, Path], None], size=(40, 32)) -> Path:
    """Pictures whose right half is the negative of the left one."""
    root.mkdir()
    for i in range(count):
        left = noise(i, size[1], size[0])
        save(Image.fromarray(np.concatenate([left, 255 - left], 1)), root / f"{i}.png")
    return root


@pytest.mark.parametrize("order", ["AB", "BA"])
def test_pictures_are_cut_in_the_middle(order: str, tmp_path: Path, noise) -> None:
    root = side_by_side(tmp_path / "set", 12, noise, lambda image, path: image.save(path))
    data = open_data(root, side_by_side=order, progress=False)
    negatives(data, 12)
    a, _ = everything(data)
    left = {noise(i, 32, 40)[:, 4:36].tobytes() for i in range(12)}  # the middle square of the left half
    found = {x.add(1).mul(127.5).round().byte().permute(1, 2, 0).numpy().tobytes() for x in a}
    assert (found == left) is (order == "AB") and (found & left == set()) is (order == "BA")
    assert data.report.sides[0].width == (40, 40, 40)


def test_both_orders_of_one_file_are_told_apart_by_the_cache(tmp_path: Path, noise, monkeypatch) -> None:
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # the cache trusts the files' state
    root = side_by_side(tmp_path / "set", 6, noise, lambda image, path: image.save(path))
    for _ in range(2):
        ab, ba = (open_data(root, side_by_side=order, progress=False) for order in ("AB", "BA"))
        assert ab.fingerprint != ba.fingerprint
        assert {*ab.a.digests} == {*ba.b.digests} and {*ab.a.digests} != {*ba.a.digests}


@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "WEBP", "palette", "16 bits", "rotated"])
def test_other_formats_are_cut_exactly(kind: str, tmp_path: Path, noise) -> None:
    """Halves equal those of the picture decoded whole."""
    from gansmith.data.decode import WINDOW, Half, Look, decode, probe

    image = Image.fromarray(np.concatenate([noise(1, 20, 30), noise(2, 20, 30)], 1))
    file, look = io.BytesIO(), Look(8, WINDOW, (9, 9, 9), 3)
    if kind == "palette":
        image.quantize(16).save(file, "PNG", transparency=3)
    elif kind == "16 bits":
        Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(file, "PNG")
    elif kind == "rotated":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.transpose(Image.Transpose.ROTATE_90).save(file, "JPEG", exif=exif)
    else:
        image.save(file, kind)
    whole = decode(file.getvalue(), look)
    assert whole.shape == (20, 60, 3)
    for right in (False, True):
        half = Half(file.getvalue(), right)
        assert np.array_equal(decode(half, look), whole[:, 30 * right : 30 + 30 * right])
        seen = probe("x", None, half)
        assert (seen.width, seen.height) == (30, 20)


def test_arrays_are_cut_and_leave_nothing_on_disk(noise, cache_folder: Path) -> None:
    array = np.stack([np.concatenate([noise(i, 16, 16), 255 - noise(i, 16, 16)], 1) for i in range(10)])
    negatives(open_data(array, side_by_side="AB", progress=False), 10)
    other = open_data(255 - array, side_by_side="AB", progress=False)
    assert list(cache_folder.iterdir()) == [] and other.report.equal == ()


def test_an_odd_width(tmp_path: Path, noise) -> None:
    root = side_by_side(tmp_path / "set", 6, noise, lambda image, path: image.save(path))
    Image.fromarray(noise(9, 32, 81)).save(root / "odd.png")
    data = open_data(root, side_by_side="AB", progress=False)
    why = "81 pixels wide, an odd number, so it cannot be cut in the middle"
    assert data.report.sides[0].corrupt == (("odd.png", why),) and data.spec.count + len(data.held_out) == 6
    for i in range(6):
        (root / f"{i}.png").unlink()
    refused(root, f'None of the 1 images in "{root} (A)" can be used (odd.png: {why})', side_by_side="AB")


# ---- tables


def table(root: Path, rows: list[str], name: str = "pairs.csv") -> Path:
    (root / name).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / name


def test_a_table_of_pairs(sides: Sides, numbered) -> None:
    root = sides(numbered(10), [f"p{i}.png" for i in range(10)])
    rows = [f"A/{i}.png;B/../B\\p{(i + 3) % 10}.png;anything" for i in range(10)]
    data = open_data(table(root, ["A;b;note", *rows, "", rows[0]]), progress=False)
    assert isinstance(data, Pairs) and data.spec.count + len(data.held_out) == 10
    mates = {data.a.names[i]: data.b.names[j] for i, j in zip(data.a.train, data.b.train, strict=True)}
    assert all(mates[f"A/{i}.png"] == f"B/../B\\p{(i + 3) % 10}.png" for i in range(10) if f"A/{i}.png" in mates)
    domains = open_data(root / "pairs.csv", pairs=False, progress=False)
    assert isinstance(domains, Domains)


def test_one_image_may_have_several_partners(sides: Sides, numbered) -> None:
    """All of them fall on one side of the split: it goes by the content of A."""
    root = sides(numbered(30), numbered(30))
    rows = [f"A/{i % 10}.png,B/{i}.png" for i in range(30)]
    data = open_data(table(root, ["a,b", *rows]), progress=False)
    assert data.spec.count + len(data.held_out) == 30 and data.report.sides[0].usable == 10
    assert not {data.names[i] for i in data.train} & {data.names[i] for i in data.held_out}


def test_another_spelling_of_a_path_is_no_stale_cache(sides: Sides, numbered, monkeypatch) -> None:
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # the cache trusts the files' state
    root = sides(numbered(6), numbered(6))
    open_data(table(root, ["a,b", *(f"A/{i}.png,B/{i}.png" for i in range(6))]), progress=False)
    data = open_data(table(root, ["a,b", *(f"./A/{i}.png,B/{i}.png" for i in range(6))]), progress=False)
    negatives(data, 6)


def test_a_folder_and_the_folder_above_it_share_no_names(sides: Sides, numbered, monkeypatch) -> None:
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # as above
    root = sides(numbered(6), numbered(6), name="above/set")
    for folder in (root, root.parent, root):
        negatives(open_data(folder, progress=False), 6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a,c", "A/0.png,B/0.png"], 'has no column "b" (its first line: a, c): a table of pairs has the columns a'),
        (["a,b,A", "A/0.png,B/0.png,x"], 'has several columns "a"'),
        (["a,b"], "holds no pairs: give a line for each"),
        ([""], 'has no column "a" (its first line: none)'),
        (["a,b", "A/0.png,"], "names one image alone: give the paths of two"),
        (["a,b", "A/0.png"], "has 1 cells instead of 2"),
        (["a,b", 'A/0.png,"B'], "is no valid CSV"),
        (["a,b", "A/0.png,B/9.png"], "Line 2 of"),
        (["a,b", "A/0.png,B/00.png"], 'names "B/00.png", and there is no such file in'),
        (["a,b", "A/0.png,B/1.pgn"], 'Did you mean "1.png"? Correct the path.'),
        (["a,b", "A/0.png,B"], 'names "B", and there is no such file'),
        (["a,b", "A/0.png,../outside.png"], "which leads out of the folder of the table"),
        (["a,b", "A/0.png,B/../../outside.png"], "which leads out of the folder of the table"),
        (["a,b", "A/0.png,/etc/hostname"], "which leads out of the folder of the table"),
        (["a,b", "A/0.png,..\\outside.png"], "which leads out of the folder of the table"),
        (["a,b", "A/0.png,B/link.png"], "which leads out of the folder of the table"),
        (["a,b", "A/0.png,B/circle.png"], "and there is no such file"),
        (["a,b", f"A/0.png,{'x' * 5000}.png"], "and there is no such file"),
        (["a,b", "A/0.png,B/\0.png"], "B/\\x00.png"),
    ],
)
def test_tables_that_are_wrong(rows: list[str], message: str, sides: Sides, numbered) -> None:
    root = sides(numbered(2), numbered(2))
    Image.new("RGB", (32, 32)).save(root.parent / "outside.png")
    (root / "B" / "link.png").symlink_to(root.parent / "outside.png")
    (root / "B" / "circle.png").symlink_to(root / "B" / "circle.png")
    refused(table(root, rows), message)


def test_tables_that_are_no_text(sides: Sides, numbered) -> None:
    root = sides(numbered(2), numbered(2))
    (root / "pairs.csv").write_bytes(b"a,b\n\xff\xfe,\n")
    refused(root / "pairs.csv", "is not UTF-8 text")
    (root / "folder.csv").mkdir()
    refused(root / "folder.csv", "holds no images; it is empty")


# ---- options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"side_by_side": "ab"}, 'side_by_side = "ab" is unknown: choose AB (A is on the left) or BA'),
        ({"pairs": "yes"}, 'pairs = "yes" is neither true nor false'),
        ({"degrade": 4}, 'degrade must be a text such as "downscale 4", not int'),
        ({"pairs": True, "labels": True}, "Labels and captions have no use with pairs: leave out one or the other"),
        ({"side_by_side": "AB", "captions": True}, "Labels and captions have no use with side_by_side"),
        ({"degrade": "grey", "labels": True}, "Labels and captions have no use with degrade"),
    ],
)
def test_options_that_do_not_fit(options: dict, message: str, sides: Sides, numbered) -> None:
    refused(sides(numbered(3), numbered(3)), message, **options)


def test_tables_take_no_other_way_to_make_pairs(sides: Sides, numbered) -> None:
    path = table(sides(numbered(3), numbered(3)), ["a,b", "A/0.png,B/0.png"])
    refused(path, "lists pairs, but side_by_side is for single images", side_by_side="AB")
    refused(path, "lists pairs, but degrade is for single images", degrade="grey")
    refused(path, "Labels and captions have no use with a table of pairs", labels=True)


def test_points_and_arrays_have_no_sides() -> None:
    refused("grid25", "grid25 holds points: resolution, channels, windows, pairs", pairs=True)
    refused("grid25", "grid25 holds points", fit="window")
    refused(np.zeros((4, 8, 8), np.uint8), "has no two sides of images: give a folder", pairs=False)
