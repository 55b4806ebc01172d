"""Pairs and domains: who is held out, what is left out and why, in which order they are drawn, who can learn them."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import gansmith
from gansmith import cli, recipes
from gansmith.core import DataSpec
from gansmith.data import Domains, Images, Pairs, Stream, check_data, open_data, suited
from gansmith.data import cache as cache_module
from gansmith.data import prepare as prepare_module
from gansmith.errors import GansmithError
from gansmith.evaluation.samples import reference

Sides = Callable[..., Path]


def refused(source: object, message: str, **options: object) -> None:
    """`open_data` refuses the source with one sentence on one line that contains `message`."""
    with pytest.raises(GansmithError) as caught:
        open_data(source, progress=False, **options)
    text = str(caught.value)
    assert message in text and "\n" not in text and text.endswith("."), text


def colours(root: Path, folder: str, names: list[str], size: tuple[int, int] = (16, 16), start: int = 0) -> Path:
    """Pictures of one dark corner each on a colour that tells their number: red = number."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        pixels = np.full((size[1], size[0], 3), (start + i, 99, 200), np.uint8)
        pixels[0, 0] = 0
        Image.fromarray(pixels).save(root / folder / name)
    return root


def numbers(x: torch.Tensor) -> list[int]:
    """The numbers of pictures of `colours`."""
    return x[:, 0, 8, 8].add(1).mul(127.5).round().int().tolist()


# ---- what is held out


def test_pairs_are_held_out_by_the_content_of_a(sides: Sides, numbered) -> None:
    root = sides(numbered(60), numbered(60))
    data, a = open_data(root, progress=False), open_data(root / "A", progress=False)
    held = {Path(data.names[i]).name for i in data.held_out}
    assert held == {a.names[i] for i in a.held_out} and 0 < len(held) < 15
    for i in range(60):  # other names, the same content
        for side in "AB":
            (root / side / f"{i}.png").rename(root / side / f"{(i + 7) % 60:03}x.png")
    again = open_data(root, progress=False)
    assert {int(again.names[i][2:5]) for i in again.held_out} == {(int(Path(name).stem) + 7) % 60 for name in held}


def test_equal_images_of_a_fall_on_one_side(sides: Sides, numbered) -> None:
    root = sides(numbered(40), numbered(40))
    for i in range(20):
        (root / "A" / f"{i + 20}.png").write_bytes((root / "A" / f"{i}.png").read_bytes())
    data = open_data(root, progress=False)
    digest = data.a.digests
    assert not {digest[i] for i in data.train} & {digest[i] for i in data.held_out} and len(data.held_out) % 2 == 0


def test_images_that_are_trained_on_and_held_out_are_told(sides: Sides, numbered) -> None:
    root = sides(numbered(9), numbered(9), also={"testA": ["t.png", "u.png"], "testB": ["t.png", "u.png"]})
    (root / "testB" / "t.png").write_bytes((root / "B" / "4.png").read_bytes())
    warnings = check_data(root, progress=False).warnings
    assert "1 held-out images of B are trained on, too: scores on them flatter" in warnings
    assert not any("of A are trained on" in line for line in warnings)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_both_parts_of_a_small_set_hold_something(count: int, sides: Sides, numbered) -> None:
    data = open_data(sides(numbered(count), numbered(count)), progress=False)
    assert data.spec.count >= 1 and len(data.held_out) >= 1 and data.spec.count + len(data.held_out) == count


def test_domains_are_held_out_each_by_itself(sides: Sides, numbered) -> None:
    root = sides(numbered(50), [*numbered(30), *(f"y{i}.png" for i in range(40))])
    data = open_data(root, pairs=False, progress=False)
    for side, found in (("A", data.a), ("B", data.b)):
        alone = open_data(root / side, progress=False)
        assert {Path(found.names[i]).name for i in found.held_out} == {alone.names[i] for i in alone.held_out}
    assert data.spec.count == min(len(data.a.train), len(data.b.train))
    x, y = data.fetch_held_out(data.held_out)
    assert len(x) == len(y) == min(len(data.a.held_out), len(data.b.held_out))


def test_test_folders_of_domains(sides: Sides) -> None:
    """Each side has its own: a side without one is split by content."""
    also = {"trainA": [f"x{i}.png" for i in range(9)], "testA": ["t.png"], "trainB": [f"y{i}.png" for i in range(20)]}
    data = open_data(sides([], [], also=also), progress=False)
    assert isinstance(data, Domains)
    assert [data.a.names[i] for i in data.a.held_out] == ["testA/t.png"] and len(data.a.train) == 9
    assert 1 <= len(data.b.held_out) < 10


def test_a_part_to_train_on_that_cannot_be_used(sides: Sides) -> None:
    root = sides([], [], also={"trainA": ["x.png"], "testA": ["t.png", "u.png"], "trainB": ["y.png", "z.png"]})
    (root / "trainA" / "x.png").write_bytes(b"")
    refused(root, "Nothing is left to train on: all usable images are held out, such as testA/t.png")


def test_apart_keeps_partners_out_of_training(sides: Sides, numbered) -> None:
    """And it has the images without a partner, too."""
    data = open_data(sides(numbered(60), [*numbered(60), *(f"y{i}.png" for i in range(30))]), progress=False)
    apart = data.apart()
    assert isinstance(apart, Domains) and apart.fingerprint != data.fingerprint
    held = {Path(data.names[i]).name for i in data.held_out}
    parts = {
        name: [{Path(side.names[i]).name for i in rows} for rows in (side.train, side.held_out)]
        for name, side in (("a", apart.a), ("b", apart.b))
    }
    assert parts["a"][1] == held and held <= parts["b"][1] and not held & parts["b"][0]
    assert len(parts["b"][0]) + len(parts["b"][1]) == 90 and len(parts["a"][0]) == 60 - len(held)
    assert len(parts["b"][1]) > len(held)  # the others by their own content


def test_apart_of_several_partners(sides: Sides, numbered) -> None:
    """What is in a pair to train on is never among the held-out images of a domain."""
    root = sides(numbered(30), numbered(3))
    (root / "t.csv").write_text("a,b\n" + "\n".join(f"A/{i}.png,B/{i % 3}.png" for i in range(30)))
    data = open_data(root / "t.csv", progress=False)
    assert any("held-out images of B are trained on, too" in line for line in data.report.warnings)
    for side in (data.apart().a, data.apart().b):
        assert not {*side.train} & {*side.held_out} and len(side.held_out) >= 1


# ---- what they are


def test_each_side_has_its_own_channels(sides: Sides, numbered) -> None:
    root = sides(numbered(8), numbered(8))
    for i in range(8):  # grey, although the format has colours
        path = root / "A" / f"{i}.png"
        Image.open(path).convert("L").convert("RGB").save(path)
    data = open_data(root, progress=False)
    a, b = data.fetch(np.arange(data.spec.count))
    assert data.spec.shape == (1, 32, 32) == tuple(a.shape[1:]) and data.spec.target == (3, 32, 32) == tuple(
        b.shape[1:]
    )
    assert all(x.is_contiguous(memory_format=torch.channels_last) and x.dtype == torch.float32 for x in (a, b))
    assert -1 <= b.min() < -0.5 and 0.5 < b.max() <= 1
    both = open_data(root, channels=1, progress=False)
    assert both.spec.shape == both.spec.target == (1, 32, 32)
    domains = open_data(root, pairs=False, progress=False)
    assert (domains.spec.shape[0], domains.spec.target[0]) == (1, 3)
    assert "training sees: A 32 x 32 x 1 (as they are), B 32 x 32 x 3 (as they are)" in data.report.lines()[5]


def test_sides_of_different_size_get_one_resolution(tmp_path: Path, numbered) -> None:
    root = colours(tmp_path / "set", "A", numbered(6), (40, 20))
    colours(root, "B", numbered(6), (200, 100), start=100)
    data = open_data(root, progress=False)
    assert data.spec.shape == data.spec.target == (3, 16, 16)
    assert [x.shape for x in data.fetch(np.arange(2))] == [(2, 3, 16, 16)] * 2
    larger = open_data(root, resolution=64, fit="pad", progress=False)
    assert larger.spec.shape == larger.spec.target == (3, 64, 64)


def test_pairs_that_cannot_be_used_are_named(tmp_path: Path, numbered) -> None:
    root = colours(tmp_path / "set", "A", numbered(12), (32, 32))
    colours(root, "B", numbered(12), (64, 64), start=50)
    colours(root, "A", ["wide.png", "near.png", "one.png", "cut.png", "both.png"], (32, 32), start=20)
    colours(root, "B", ["wide.png"], (64, 32), start=70)
    colours(root, "B", ["near.png"], (65, 64), start=71)  # scaled and rounded
    colours(root, "B", ["one.png"], (1, 1), start=72)
    for path in (root / "B" / "cut.png", root / "A" / "both.png", root / "B" / "both.png"):
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    report = check_data(root, progress=False)
    assert report.train + report.held_out == 13 and report.alone == ()
    a, b = (dict(side.corrupt) for side in report.sides)
    assert a == {
        "A/wide.png": "32 x 32 pixels, but its partner B/wide.png has 64 x 32",
        "A/one.png": "its partner B/one.png cannot be used",
        "A/cut.png": "its partner B/cut.png cannot be used",
        "A/both.png": "not an image, whatever its name says",
    }
    assert b["B/wide.png"] == "64 x 32 pixels, but its partner A/wide.png has 32 x 32"
    assert b["B/one.png"] == "a single row or column of pixels" and len(b) == 4
    text = "\n".join(report.lines())
    assert "13 pairs; 17 images in A, 17 in B" in text and "B, left out, 4: B/both.png (not an image" in text
    assert "A, size: width 32, height 32 (least, median, greatest)" in text
    assert "B, size: width 64 / 64 / 65, height 64" in text
    assert text.count("only 13 images: expect copies") == 1  # what is true of both sides is said once
    assert "warning: A: 4 images could not be used" not in text and text.count("4 images could not be used") == 1


def test_no_pair_can_be_used(tmp_path: Path, numbered) -> None:
    root = colours(tmp_path / "set", "A", numbered(3), (32, 32))
    colours(root, "B", numbered(3), (32, 48))
    refused(root, 'None of the 3 pairs in "' + str(root) + '" can be used (A/0.png: 32 x 32 pixels, but its partner')


def test_rotated_photographs_fit_their_partners(tmp_path: Path, noise) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for side in "AB":
        (tmp_path / side).mkdir()
    for i in range(4):
        image = Image.fromarray(noise(i, 30, 60))
        image.save(tmp_path / "A" / f"{i}.png")
        image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "B" / f"{i}.jpg", exif=exif)
    assert check_data(tmp_path, progress=False).sides[1].width == (60, 60, 60)


def test_the_same_folder_twice(sides: Sides, numbered) -> None:
    root = sides(numbered(6), [])
    (root / "B").mkdir()
    for i in range(6):
        (root / "B" / f"{i}.png").write_bytes((root / "A" / f"{i}.png").read_bytes())
    refused(root, "are the same images: nothing can be learned between them")
    refused(root, "are the same images", pairs=False)
    Image.new("RGB", (32, 32), "navy").save(root / "B" / "0.png")
    report = check_data(root, progress=False)
    assert report.equal == tuple(f"A/{i}.png = B/{i}.png" for i in range(1, 6)) and report.errors == ()
    assert "5 images of A are in B as well: is a part of one folder a copy of the other?" in report.warnings
    assert any(line.startswith("equal in A and B, 5: A/1.png = B/1.png") for line in report.lines())


def test_sides_without_variety(sides: Sides, numbered) -> None:
    refused(sides(["x.png"], ["x.png"]), "holds one image: a GAN learns from many")
    root = sides(numbered(5), numbered(5), name="flat")
    for i in range(5):
        Image.new("RGB", (32, 32), "teal").save(root / "B" / f"{i}.png")
    refused(root, '(B)" are the same picture')


def test_the_report_can_be_read_by_programs(sides: Sides, numbered, capsys) -> None:
    root = sides([*numbered(8), "x.png"], numbered(8))
    assert cli.main(["check", str(root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kind"] == "pairs" and told["alone"] == ["A/x.png"] and told["sides"][0]["count"] == 9
    assert (told["train"] + told["held_out"], told["errors"]) == (8, [])
    assert cli.main(["check", str(root), "--pairs", "false"]) == 0
    assert "two domains without partners" in capsys.readouterr().out
    assert cli.main(["check", str(root), "--pairs"]) == 0 and "8 pairs" in capsys.readouterr().out
    assert cli.main(["check", str(root), "--side-by-side", "BA"]) == 0 and "17 pairs" in capsys.readouterr().out
    assert cli.main(["check", str(root), "--pairs", "maybe"]) == 2
    assert '--pairs: "maybe" is not one of true, false, none.' in capsys.readouterr().err


def test_everything_that_matters_is_in_the_fingerprint(sides: Sides, numbered, tmp_path: Path) -> None:
    root = sides(numbered(10), numbered(10))
    prints = [
        open_data(root, progress=False, **options).fingerprint for options in ({}, {"pairs": False}, {"channels": 1})
    ]
    moved = root.rename(tmp_path / "moved")
    assert open_data(moved, progress=False).fingerprint == prints[0]
    (moved / "B" / "0.png").rename(moved / "B" / "x.png")
    (moved / "B" / "1.png").rename(moved / "B" / "0.png")
    (moved / "B" / "x.png").rename(moved / "B" / "1.png")  # the same files, other partners
    prints.append(open_data(moved, progress=False).fingerprint)
    (moved / "A" / "3.png").unlink()
    prints.append(open_data(moved, progress=False).fingerprint)
    assert len({*prints}) == 5


def test_each_side_is_decoded_once(sides: Sides, numbered, cache_folder: Path, monkeypatch) -> None:
    calls, real = [], prepare_module.decode
    monkeypatch.setattr(prepare_module, "decode", lambda data, look: calls.append(1) or real(data, look))
    monkeypatch.setattr(prepare_module, "newest_change", lambda files: 0.0)  # the cache trusts the files' state
    root = sides(numbered(7), [*numbered(7), "x.png"])
    first = open_data(root, progress=False)
    monkeypatch.setattr(prepare_module, "probe", None)
    for options in ({}, {"pairs": False}):
        assert open_data(root, progress=False, **options).spec.target == first.spec.target
    assert len(calls) == 15 and len([p for p in cache_folder.iterdir() if p.name != "known"]) == 2


def test_fields_that_are_not_there(sides: Sides, numbered) -> None:
    root = sides(numbered(4), numbered(4))
    for data in (open_data(root, progress=False), open_data(root, pairs=False, progress=False)):
        for fetch in (data.fetch, data.fetch_held_out):
            with pytest.raises(GansmithError, match='has no "x": its fields are a, b'):
                fetch(np.arange(1), ("x",))
        with pytest.raises(GansmithError, match='has no "y", which this recipe draws'):
            Stream(data, ("a", "y"), seed=0)
        with pytest.raises(GansmithError, match="has two sides and no labels: a fixed part with labels needs images"):
            Stream(data, ("a",), seed=0).labelled(1, 1)


# ---- the order


@pytest.fixture
def pairs(tmp_path: Path) -> Pairs:
    """23 + 2 pairs; the number of B is that of A plus 100."""
    root = colours(tmp_path / "set", "A", [f"{i}.png" for i in range(23)])
    colours(root, "B", [f"{i}.png" for i in range(23)], start=100)
    colours(root, "testA", ["0.png", "1.png"], start=50)
    found = open_data(colours(root, "testB", ["0.png", "1.png"], start=150), progress=False)
    assert isinstance(found, Pairs) and found.spec.count == 23
    return found


@pytest.fixture
def domains(tmp_path: Path) -> Domains:
    """23 images of A and 31 of B."""
    root = colours(tmp_path / "domains", "A", [f"x{i}.png" for i in range(23)])
    colours(root, "testA", ["t.png"], start=50)
    colours(root, "testB", ["u.png"], start=150)
    found = open_data(colours(root, "B", [f"y{i}.png" for i in range(31)], start=100), progress=False)
    assert isinstance(found, Domains) and (len(found.a.train), len(found.b.train)) == (23, 31)
    return found


def test_partners_are_drawn_together(pairs: Pairs) -> None:
    stream = Stream(pairs, ("a", "b"), seed=3)
    a, b = zip(*((numbers(x), numbers(y)) for x, y in (stream(10) for _ in range(23))), strict=True)
    flat = [n for part in a for n in part]
    assert [n + 100 for n in flat] == [n for part in b for n in part]
    assert Counter(flat) == Counter({n: 10 for n in range(23)}) and stream.seen == 230
    assert all(sorted(flat[i : i + 23]) == list(range(23)) for i in range(0, 230, 23))
    swapped = Stream(pairs, ("b", "a"), seed=3)(230)
    assert numbers(swapped[1]) == flat and numbers(Stream(pairs, ("b",), seed=3)(230)) == [n + 100 for n in flat]


def test_each_domain_has_an_order_of_its_own(domains: Domains) -> None:
    stream = Stream(domains, ("a", "b"), seed=3)
    a, b = (numbers(x) for x in stream(23 * 31))
    for drawn, count, first in ((a, 23, 0), (b, 31, 100)):
        epochs = [drawn[i : i + count] for i in range(0, len(drawn), count)]
        assert all(sorted(epoch) == list(range(first, first + count)) for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) == len(epochs)
    assert numbers(Stream(domains, ("b",), seed=3)(31)) == b[:31]  # whatever else is drawn
    assert numbers(Stream(domains, ("a", "b"), seed=4)(31)[1]) != b[:31]


def test_domains_of_as_many_images_are_not_paired_by_their_orders(pairs: Pairs) -> None:
    """Partners lie at the same places of A and B; over ten epochs they meet about ten times by chance, not 230."""
    a, b = (numbers(x) for x in Stream(pairs.apart(), ("a", "b"), seed=3)(230))
    assert sorted(b[:23]) == list(range(100, 123))
    assert sum(x + 100 == y for x, y in zip(a, b, strict=True)) < 30
    assert a == numbers(Stream(pairs, ("a",), seed=3)(230))  # the order of A is that of any set


@settings(max_examples=15, deadline=None)
@given(position=st.integers(0, 400), n=st.integers(1, 80))
def test_seek_equals_drawing(position: int, n: int) -> None:
    for data in _both():
        drawn, jumped = (Stream(data, ("a", "b"), seed=5) for _ in range(2))
        drawn(position)
        jumped.seek(position)
        assert all(torch.equal(x, y) for x, y in zip(drawn(n), jumped(n), strict=True))
        assert drawn.seen == jumped.seen == position + n


_made: list[Pairs | Domains] = []


def _both() -> list[Pairs | Domains]:
    """Pairs and domains of arrays, made once."""
    if not _made:
        rng = np.random.default_rng(0)
        array = rng.integers(0, 256, (41, 8, 16), np.uint8)
        _made.append(open_data(array, side_by_side="AB", progress=False))
        _made.append(open_data(array, side_by_side="AB", pairs=False, progress=False))
    return _made


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_together_draw_the_single_process_batch(world: int, pairs: Pairs, domains: Domains) -> None:
    for data in (pairs, domains):
        single = Stream(data, ("a", "b"), seed=9)
        ranks = [Stream(data, ("a", "b"), seed=9, rank=r, world=world) for r in range(world)]
        for _ in range(9):  # several epochs
            parts = [rank(12 // world) for rank in ranks]
            for field, want in enumerate(single(12)):
                assert torch.equal(torch.cat([part[field] for part in parts]), want)
        assert {rank.seen for rank in ranks} == {single.seen}


def test_mapped_sets_give_the_same_stream(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "memory_limit", lambda: 1000)
    mapped = open_data(pairs.spec.name, progress=False)
    assert isinstance(mapped.a._array, np.memmap) and isinstance(mapped.b._array, np.memmap)
    for x, y in zip(Stream(pairs, ("a", "b"), seed=2)(60), Stream(mapped, ("a", "b"), seed=2)(60), strict=True):
        assert torch.equal(x, y) and y.is_contiguous(memory_format=torch.channels_last)


# ---- recipes


SPECS = {
    "pairs": DataSpec("d", "pairs", (3, 8, 8), 9, ("a", "b"), target=(3, 8, 8)),
    "domains": DataSpec("d", "domains", (3, 8, 8), 9, ("a", "b"), target=(3, 8, 8)),
    "image": DataSpec("d", "image", (3, 8, 8), 9),
    "points": DataSpec("d", "points", (2,)),
}


RECIPE = '''
"""B from A by a single layer."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gansmith.core import Player, Recipe, adam


@dataclass(frozen=True, kw_only=True)
class NAME(Recipe):
    """B from A by a single layer."""

    kinds: ClassVar[tuple[str, ...]] = ("KIND",)
    draws: ClassVar[tuple[str, ...]] = ("a", "b")
    batch: int = 4

    def build(self, data):
        return nn.ModuleDict({"G": nn.Conv2d(data.shape[0], data.target[0], 3, padding=1)})

    def round(self, nets, data, clock):
        a, b = data(self.batch)
        yield Player("G", ("G",), adam(1e-2)), {"l1": (nets["G"](a) - b).abs().mean()}
'''
KINDS = {"Paired": "pairs", "Unpaired": "domains"}


@pytest.fixture
def recipe_file(tmp_path: Path) -> Callable[[str], str]:
    """recipe_file(name): a recipe file for pairs or for domains."""

    def make(name: str) -> str:
        path = tmp_path / f"{name.lower()}.py"
        path.write_text(RECIPE.replace("NAME", name).replace("KIND", KINDS[name]))
        return str(path)

    return make


@pytest.mark.parametrize(
    ("recipe", "kind", "message"),
    [
        ("Paired", "domains", "Paired needs pairs: subfolders A and B with files of the same names, a CSV"),
        ("Paired", "domains", "; d holds two domains without partners."),
        ("Paired", "image", "or --degrade on single images; d holds single images."),
        ("Paired", "points", "; d holds points."),
        (
            "Unpaired",
            "pairs",
            "Unpaired needs two domains: subfolders A and B (say pairs = false); d holds pairs of images.",
        ),
        ("Unpaired", "image", "Unpaired needs two domains: subfolders A and B; d holds single images."),
        ("dcgan", "pairs", "but d holds pairs of images: give the images of one side by themselves."),
        ("dcgan", "domains", "but d holds two domains without partners: give the images of one side by themselves."),
        ("dcgan", "points", "DCGAN learns image data, but d holds points data."),
    ],
)
def test_a_recipe_on_another_kind_of_data(recipe: str, kind: str, message: str, recipe_file) -> None:
    with pytest.raises(GansmithError) as caught:
        recipes.find(recipe_file(recipe) if recipe in KINDS else recipe)().check(SPECS[kind])
    text = str(caught.value)
    assert message in text and "\n" not in text and text.endswith(".")


@pytest.mark.parametrize("recipe", KINDS)
def test_a_recipe_on_its_kind_of_data(recipe: str, recipe_file) -> None:
    recipes.find(recipe_file(recipe))().check(SPECS[KINDS[recipe]])


def test_pairs_are_domains_for_who_needs_no_partners(pairs: Pairs, domains: Domains) -> None:
    assert suited(pairs, ("domains",)).fingerprint == pairs.apart().fingerprint
    for kinds in (("pairs",), ("pairs", "domains"), ("image",)):
        assert suited(pairs, kinds) is pairs
    assert suited(domains, ("domains",)) is domains and suited(domains, ("pairs",)) is domains


@pytest.mark.parametrize("recipe", KINDS)
def test_a_run_on_two_sides_resumes_exactly(recipe: str, recipe_file, pairs: Pairs, tmp_path: Path) -> None:
    """Windows and orders go on where they were, with the options that run.yaml holds."""
    options = {"fit": "window", "resolution": 8, "seed": 3, "tick": 24, "quiet": True, "device": "cpu"}
    file, source = recipe_file(recipe), pairs.spec.name
    whole = gansmith.train(file, source, out=tmp_path / "whole", samples=48, **options)
    half = gansmith.train(file, source, out=tmp_path / "half", samples=24, **options)
    config = yaml.safe_load((half.path / "run.yaml").read_text())
    told = {"fit": "window", "pairs": None, "side_by_side": None, "degrade": None}
    assert config["data"]["options"].items() >= told.items()
    assert (config["data"]["spec"]["kind"], config["data"]["spec"]["target"]) == (KINDS[recipe], [3, 8, 8])
    half = gansmith.resume(half.path, samples=48, quiet=True)
    one, other = (run.load().nets["G"].state_dict() for run in (whole, half))
    assert all(torch.equal(one[name], other[name]) for name in one)
    (Path(source) / "B" / "22.png").unlink()
    with pytest.raises(GansmithError, match="an exact resume is impossible"):
        gansmith.resume(half.path, samples=96, quiet=True)


def test_samples_are_held_against_b(pairs: Pairs, domains: Domains) -> None:
    for data in (pairs, domains):
        found = reference(data)
        assert (found.kind, found.train.count, found.held_out.count) == (
            "image",
            len(data.b.train),
            len(data.b.held_out),
        )
        assert sorted(numbers(found.train.tensor())) == list(range(100, 100 + len(data.b.train)))


def test_a_recipe_for_single_images_is_told_what_to_do(pairs: Pairs, tmp_path: Path, capsys) -> None:
    with pytest.raises(GansmithError, match="holds pairs of images: give the images of one side by themselves"):
        gansmith.train("dcgan", pairs.spec.name, out=tmp_path / "run", quiet=True, device="cpu")
    assert not (tmp_path / "run").exists() and isinstance(
        open_data(Path(pairs.spec.name) / "B", progress=False), Images
    )
    assert cli.main(["check", pairs.spec.name, "--recipe", "dcgan"]) == 2
    assert "error: DCGAN learns" in capsys.readouterr().out
