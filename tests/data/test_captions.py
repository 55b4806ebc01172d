"""Captions: where they come from, the vocabulary, the tokens that a training draws, and what is wrong with them."""

import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import gansmith
from gansmith.cli import main
from gansmith.core import DataSpec
from gansmith.data import check_data, open_data, sources
from gansmith.data.captions import MAX_LENGTH, MAX_WORDS, clean, encode, vocabulary, words_of
from gansmith.data.images import Images
from gansmith.data.stream import Stream
from gansmith.errors import GansmithError
from gansmith.session import fields_from_yaml, fields_to_yaml

COUNT = 20


def said(i: int) -> list[str]:
    """The captions of image i: one, or two for every fourth."""
    return [f"A small picture, number {i}."] + ["Another\ttext"] * (i % 4 == 0)


@pytest.fixture
def album(tmp_path: Path, noise) -> Path:
    """20 images, each with a text file."""
    folder = tmp_path / "album"
    (folder / "sub").mkdir(parents=True)
    for i in range(COUNT):
        path = folder / ("sub" * (i % 2)) / f"{i}.png"
        Image.fromarray(noise(i)).save(path)
        path.with_suffix(".txt").write_text("\n".join(said(i)) + "\n\n", encoding="utf-8")
    return folder


def number(data: Images) -> list[int]:
    """The i of each training image."""
    return [int("".join(c for c in texts[0] if c.isdigit())) for texts in data.captions(np.arange(data.spec.count))]


def right(data: Images) -> bool:
    """Whether the texts and the tokens of every training image belong to its pixels."""
    i = number(data)
    texts = data.captions(np.arange(len(i)))
    x, tokens = data.fetch(np.arange(len(i)), ("x", "tokens"))
    spoken = [[data.spec.words[t] for t in row if t] for row in tokens.tolist()]
    from_pixels = torch.from_numpy(np.stack([picture(k) for k in i])).permute(0, 3, 1, 2) / 127.5 - 1
    return (
        texts == [[clean(text) for text in said(k)] for k in i]
        and torch.allclose(x, from_pixels, atol=1e-6)
        and all(any(row == words_of(text) for text in said(k)) for row, k in zip(spoken, i, strict=True))
    )


def picture(i: int) -> np.ndarray:
    small = np.random.default_rng(i).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((32, 32), Image.Resampling.BILINEAR))


def refused(source: object, captions: object, *parts: str) -> None:
    for function in (open_data, check_data):
        with pytest.raises(GansmithError) as caught:
            function(source, captions=captions, progress=False)  # type: ignore[arg-type]
        text = str(caught.value)
        assert all(part in text for part in parts), text
        assert "\n" not in text and text[-1] in ".?"


# ---- where they come from


@pytest.mark.parametrize("form", ["folder", "zip", "tar"])
def test_texts_beside_the_images(form: str, album: Path, tmp_path: Path) -> None:
    path = album
    files = sorted(p for p in album.rglob("*") if p.is_file())
    if form == "zip":
        path = tmp_path / "a.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in files:
                archive.write(file, str(file.relative_to(album)))
    elif form == "tar":
        path = tmp_path / "a.tar"
        with tarfile.open(path, "w") as archive:
            for file in files:
                archive.add(file, str(file.relative_to(album)))
    data = open_data(path, captions=True, progress=False)
    assert right(data) and data.spec.fields == ("x", "tokens")
    assert not any("passed over" in line for line in data.report.warnings)


TEXTS = [(f"{'sub/' * (i % 2)}{i}.png", text) for i in range(COUNT) for text in said(i)]
TABLES = {
    "csv": ("t.csv", "file,caption\n" + "\n".join(f'{n},"{t}"' for n, t in TEXTS)),
    "chosen column": ("t.csv", "file,caption,more\n" + "\n".join(f'{n},no,"{t}"' for n, t in TEXTS)),
    "json lists": (
        "t.json",
        json.dumps({TEXTS[0][0]: said(0)} | {f"{'sub/' * (i % 2)}{i}.png": said(i) for i in range(20)}),
    ),
    "json pairs": ("t.json", json.dumps(TEXTS)),
}


@pytest.mark.parametrize("form", TABLES)
def test_tables(form: str, album: Path, tmp_path: Path) -> None:
    file, text = TABLES[form]
    (tmp_path / file).write_text(text, encoding="utf-8")
    data = open_data(album, captions=f"{tmp_path / file}{':more' * (form == 'chosen column')}", progress=False)
    assert right(data)


def test_labels_and_captions_together(album: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\n" + "\n".join(f"{i}.png,{i % 2}" for i in range(COUNT)))
    data = open_data(album, labels=tmp_path / "t.csv", captions=True, progress=False)
    assert data.spec.fields == ("x", "y", "tokens") and right(data)
    x, y, tokens = data.fetch_held_out(np.arange(1), ("x", "y", "tokens"))
    assert (x.shape, y.shape, tokens.shape) == ((1, 3, 32, 32), (1,), (1, data.spec.length))


def test_without_asking_there_are_none(album: Path) -> None:
    data = open_data(album, progress=False)
    assert data.spec.fields == ("x",) and data.spec.words == () and data.captions(np.arange(2)) == [[], []]
    with pytest.raises(GansmithError, match=r'has no "tokens": open it .* with captions'):
        data.fetch(np.arange(2), ("tokens",))
    assert any(".txt (20)" in line for line in data.report.warnings)


def test_a_changed_text_is_another_set(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # the cache trusts the files' state
    one = open_data(album, captions=True, progress=False)
    assert open_data(album, captions=True, progress=False).fingerprint == one.fingerprint
    assert open_data(album, progress=False).fingerprint != one.fingerprint
    (album / "0.txt").write_text("Something else 0")
    other = open_data(album, captions=True, progress=False)
    assert other.fingerprint != one.fingerprint


# ---- vocabulary and tokens


def test_the_vocabulary_is_of_the_training_captions_alone(tmp_path: Path, noise) -> None:
    for i in range(60):
        Image.fromarray(noise(i)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text(f"common word{i}")
    data = open_data(tmp_path, captions=True, progress=False)
    own = {text.split()[1] for texts in data.captions(np.arange(data.spec.count)) for text in texts}
    assert data.spec.words == ("", "?", "common", *sorted(own)) and len(own) == data.spec.count
    (tokens,) = data.fetch_held_out(np.arange(len(data.held_out)), ("tokens",))
    assert (tokens == torch.tensor([2, 1])).all()  # "common", then a word that was never seen in training


def test_a_vocabulary_has_an_end() -> None:
    texts = [f"w{i} w{i}" for i in range(4000)] + [f"x{i}" for i in range(4000)]
    words = vocabulary(texts)
    assert len(words) == MAX_WORDS and words[:3] == ("", "?", "w0") and len(set(words)) == len(words)
    assert sum(word.startswith("w") for word in words) == 4000  # the most frequent ones are kept


def test_captions_are_cut_at_their_longest(tmp_path: Path, noise) -> None:
    for i in range(12):
        Image.fromarray(noise(i)).save(tmp_path / f"{i}.png")
        (tmp_path / f"{i}.txt").write_text("a " * 100)
    data = open_data(tmp_path, captions=True, progress=False)
    assert data.spec.length == MAX_LENGTH == 64 and data.report.longest == 100
    assert (data.fetch(np.arange(3), ("tokens",))[0] == 2).all()


def test_words_that_stand_for_padding_and_unknown_are_no_words() -> None:
    assert encode(["? a ?"], vocabulary(["? a ?"]), 2).tolist() == [[2, 0]]
    assert encode([], ("", "?"), 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Éclair, ÜBER 3 Äpfel", ["éclair", "über", "3", "äpfel"]),
        ("don't stop—now 12.5", ["don't", "stop", "now", "12", "5"]),
        ("猫が two_words", ["猫が", "two", "words"]),
        ("  ...!?  ", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


def test_of_several_captions_one_is_drawn_from_the_global_state(album: Path) -> None:
    data = open_data(album, captions=True, progress=False)
    double = np.array([k for k, i in enumerate(number(data)) if i % 4 == 0] * 100)
    torch.manual_seed(3)
    (tokens,) = data.fetch(double, ("tokens",))
    torch.manual_seed(3)
    assert torch.equal(data.fetch(double, ("tokens",))[0], tokens)
    second = (tokens[:, 0] == data.spec.words.index("another")).double().mean()
    assert 0.4 < second < 0.6
    single = np.array([k for k, i in enumerate(number(data)) if i % 4])
    assert (data.fetch(single, ("tokens",))[0][:, 0] == data.spec.words.index("a")).all()


def test_the_stream_draws_tokens_in_step_with_the_images(album: Path) -> None:
    data = open_data(album, captions=True, progress=False)
    stream = Stream(data, ("tokens", "x"), seed=0)
    tokens, x = stream(data.spec.count)
    where = stream.positions(0, data.spec.count)
    assert torch.equal(x, data.fetch(where)[0])
    texts = data.captions(where)
    for row, said_here in zip(tokens.tolist(), texts, strict=True):
        assert [data.spec.words[t] for t in row if t] in [words_of(text) for text in said_here]


def test_the_spec_survives_yaml(album: Path) -> None:
    (album / "0.txt").write_text("no yes null 1 0x1 ~ true été 猫 number 0")
    spec = open_data(album, captions=True, progress=False).spec
    stored = yaml.safe_load(yaml.safe_dump(fields_to_yaml(vars(spec)), allow_unicode=True))
    assert DataSpec(**fields_from_yaml(stored)) == spec
    old = {k: v for k, v in stored.items() if k not in ("words", "length")}  # as runs wrote it before captions
    assert DataSpec(**fields_from_yaml(old)).words == ()


RECIPE = '''"""Reads captions."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gansmith.abilities import Generates
from gansmith.core import Nets, Player, Recipe, adam


class Reader(nn.Module):
    def __init__(self, words):
        super().__init__()
        self.table = nn.Embedding(words, 1)

    def forward(self, tokens):
        return self.table(tokens).sum(1)


@dataclass(frozen=True, kw_only=True)
class Read(Generates, Recipe):
    """Adds up words."""

    kinds: ClassVar = ("image",)
    draws: ClassVar = ("x", "y", "tokens")
    averaged: ClassVar = ()

    def build(self, data):
        return Nets({"G": Reader(len(data.words))})

    def generate(self, nets, z):
        return z.new_zeros(len(z), 3, 32, 32)

    def round(self, nets, data, clock):
        x, y, tokens = data(self.batch)
        wanted = x.mean((1, 2, 3)) + y
        yield Player("G", ("G",), adam(0.1)), {"off": ((nets["G"](tokens)[:, 0] - wanted) ** 2).mean()}
'''


def test_a_run_on_captions_resumes_exactly(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("read.py").write_text(RECIPE)
    Path("t.csv").write_text("file,label\n" + "\n".join(f"{i}.png,{i % 2}" for i in range(COUNT)))
    options = {"labels": "t.csv", "captions": True, "batch": 8, "tick": 40, "quiet": True, "device": "cpu"}
    whole = gansmith.train("./read.py", data="album", samples=160, out="whole", **options)
    gansmith.train("./read.py", data="album", samples=80, out="half", **options)
    config = yaml.safe_load(Path("half/run.yaml").read_text())
    assert config["data"]["options"]["labels"] == str(tmp_path / "t.csv")
    words = config["data"]["spec"]["words"]
    assert words[:2] == ["", "?"]
    assert main(["info", "half"]) == 0
    assert f"words: {len(words)}, as a, number, picture, small, another, text, " in capsys.readouterr().out
    half = gansmith.resume("half", samples=160, quiet=True)
    one, other = (run.load().nets["G"].table.weight for run in (whole, half))
    assert torch.equal(one, other) and one.std() > 0.1


def test_a_recipe_that_needs_captions_says_so(photos, tmp_path: Path) -> None:
    (tmp_path / "read.py").write_text(RECIPE)
    given = {"data": photos(12), "out": tmp_path / "run", "quiet": True, "device": "cpu"}
    with pytest.raises(GansmithError, match=r"Read needs labels: .* 12 images lie in none"):
        gansmith.train(tmp_path / "read.py", **given)
    (tmp_path / "t.csv").write_text("file,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(12)))
    with pytest.raises(GansmithError, match="Read needs captions: put a text file beside each image"):
        gansmith.train(tmp_path / "read.py", labels=str(tmp_path / "t.csv"), **given)


# ---- the check


def test_the_check_reports_captions(album: Path) -> None:
    report = check_data(album, captions=True, progress=False)
    assert (report.captions, report.longest, report.vocabulary) == (25, 5, 4 + 20 + 2)
    line = next(line for line in report.lines() if line.startswith("captions"))
    assert line.startswith("captions: 25, longest 5 words, 26 different words; such as ")
    assert line.count('"A small picture, number') == 3 and len(report.examples) == 3


# ---- what is wrong with them


def test_gaps(album: Path, tmp_path: Path) -> None:
    (album / "4.txt").unlink()
    refused(album, True, "hold no caption for 1 of 20 images, first 4.png: caption all or none")
    (album / "4.txt").write_text(" \n ... \n")
    refused(album, True, "no caption for 1 of 20 images, first 4.png")
    (tmp_path / "t.csv").write_text("file,text\n" + "\n".join(f"{i}.png,words" for i in range(COUNT) if i != 3))
    refused(
        album, tmp_path / "t.csv", 't.csv" holds no caption for 1 of 20 images, first sub/3.png: caption all or none'
    )


def test_no_captions_at_all(photos, noise) -> None:
    refused(photos(5), True, "has no captions: put a text file of the same name beside each image")
    refused(np.stack([noise(i) for i in range(5)]), True, "has no captions")


def test_captions_that_cannot_be_read(album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (album / "4.txt").write_bytes(b"caf\xe9")
    refused(album, True, 'The captions in "', '4.txt" are not UTF-8 text: save the file as UTF-8')
    (album / "4.txt").write_text("a b " * 20_000)
    refused(album, True, "take more than 64 KiB: shorten them")
    (album / "4.txt").write_text("a word\n" * 101)
    refused(album, True, "4.png has 101 captions: give at most 100 an image")
    (album / "4.txt").unlink()
    (album / "4.txt").symlink_to(album / "4.txt")
    refused(album, True, '4.txt" is no plain file: remove it')
    (album / "4.txt").unlink()
    os.mkfifo(album / "4.txt")  # reading it would wait for ever
    refused(album, True, '4.txt" is no plain file')


def test_captions_in_a_damaged_zip(album: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(album.glob("*")):
            if file.is_file():
                archive.write(file, file.name)
        offset = archive.getinfo("4.txt").header_offset + 30 + len("4.txt")
    data = bytearray(path.read_bytes())
    data[offset] ^= 255
    path.write_bytes(data)
    refused(path, True, 'The captions in "4.txt" cannot be read: the archive is damaged')


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"0.png": 3}', "The caption in entry 1 of"),
        ('{"0.png": ["a", null]}', "is no text: give a text"),
        ('{"0.png": []}', "has no words: caption all images or none"),
        ('{"0.png": "..."}', "has no words"),
        ('{"captions": 3}', "No name in"),
        ("[]", "holds no captions"),
    ],
)
def test_tables_of_captions_that_are_wrong(text: str, part: str, album: Path, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text(text)
    refused(album, tmp_path / "t.json", part)


def test_other_choices_that_are_wrong(album: Path, noise, tmp_path: Path) -> None:
    refused(album, "texts", 'captions = "texts" is no file of captions', "or True for texts")
    refused(album, 3, "captions must be True or the path of a file")
    (tmp_path / "t.csv").write_text("file,caption\n0.png,words\n")
    refused(np.stack([noise(i) for i in range(5)]), tmp_path / "t.csv", "have no file names")
    (tmp_path / "t.csv").write_text("file,words\n0.png,words\n")
    refused(album, tmp_path / "t.csv", "has no column of captions (among file, words)")


def test_captions_are_fit_for_printing(album: Path) -> None:
    (album / "0.txt").write_text("red\x1b[2J cat 0\x00\n" + "long " * 400, encoding="utf-8")
    data = open_data(album, captions=True, progress=False)
    texts = next(t for t in data.captions(np.arange(data.spec.count)) if "red" in t[0])
    assert texts[0] == "red [2J cat 0" and len(texts[1]) <= 1000
    "\n".join(data.report.lines()).encode("ascii")


def test_huge_texts_in_archives_are_not_read_whole(tmp_path: Path, noise, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_TEXT_FILE", 1000)
    Image.fromarray(noise(0)).save(tmp_path / "0.png")
    (tmp_path / "0.txt").write_text("a " * 5000)
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for file in ("0.png", "0.txt"):
            archive.add(tmp_path / file, file)
    refused(tmp_path / "a.tar", True, "take more than 0 KiB")
