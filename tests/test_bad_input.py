"""Bad input, end to end through the command line: one sentence on stderr, exit code 2, earlier runs as they were.

Each test works in a folder of its own that holds `runs/00000-gan-photos`, a finished run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from gansmith.cli import main

OLD = "runs/00000-gan-photos"
QUICK = ["--batch", "4", "--width", "8", "--z-dim", "4", "--tick", "40", "--resolution", "8"]


def draw(folder: Path, count: int = 24, size: int = 8, seed: int = 0) -> Path:
    """A folder of noise images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8)).save(folder / f"{i:02d}.png")
    return folder


def contents(folder: Path) -> dict[str, str]:
    """What every file below holds, and that there is no other."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with photos and a finished run of two checkpoints; the cache that belongs to it."""
    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(folder)
        draw(folder / "photos")
        assert main(["train", "gan", "--data", "photos", "--samples", "80", *QUICK]) == 0
        assert len(list((folder / OLD / "checkpoints").iterdir())) == 2
        yield folder


@pytest.fixture
def here(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh copy of the template to work in."""
    folder = tmp_path / "work"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def refused(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """refused(*argv): runs the command, asserts all that holds for every refusal, returns the sentence."""

    def run(*argv: str, runs: Path = here / "runs", leaves: int = 0) -> str:
        before, there = contents(runs), set(runs.iterdir())
        capsys.readouterr()
        assert main(argv) == 2
        said, err = capsys.readouterr()
        assert "Traceback" not in said + err
        sentence = err.splitlines()[-1]
        assert err.count("error: ") == 1 and sentence.startswith("error: ")
        assert sentence[-1] in ".?" or "gansmith " in sentence.rpartition(": ")[2]  # or the command that helps
        after = contents(runs)
        assert {k: v for k, v in after.items() if k in before} == before
        assert len(set(runs.iterdir()) - there) == leaves
        return sentence.removeprefix("error: ")

    return run


def train(data: str, *more: str, recipe: str = "gan") -> tuple[str, ...]:
    return ("train", recipe, "--data", data, "--samples", "80", *QUICK, *more)


def finishes(*argv: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The command succeeds; what it said."""
    capsys.readouterr()
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert "error" not in err
    return out + err


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("verb", ["train", "check"])
def test_missing_path(verb: str, refused: Any) -> None:
    said = refused(*(train("photo") if verb == "train" else ("check", "photo")))
    assert 'There is no data at "photo"' in said and 'Did you mean "photos"?' in said


def test_unknown_data_name(refused: Any) -> None:
    assert 'Did you mean "digits"?' in refused(*train("digts"))


def test_empty_folder(refused: Any, here: Path) -> None:
    (here / "empty").mkdir()
    said = refused(*train("empty"))
    assert "empty" in said and "holds no images" in said


def test_folder_of_text_files(refused: Any, here: Path) -> None:
    (here / "texts").mkdir()
    for i in range(3):
        (here / "texts" / f"{i}.txt").write_text("hello")
    said = refused(*train("texts"))
    assert "texts" in said and "holds no images" in said and ".txt (3)" in said


def damage(folder: Path) -> list[str]:
    """Put files into a folder that are images by name only, or hardly."""
    whole = (folder / "00.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "zero.png").touch()
    (folder / "bomb.png").write_bytes(bomb(60_000))
    return ["cut.png", "zero.png", "bomb.png"]


def bomb(side: int) -> bytes:
    """A PNG of some hundred bytes that claims side x side pixels."""

    def chunk(tag: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(side)))
    return b"\x89PNG\r\n\x1a\n" + header + body + chunk(b"IEND", b"")


def test_bad_images_among_good_ones_are_named_and_left_out(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = damage(here / "photos")
    said = finishes(*train("photos", "--out", "new"), capsys=capsys)
    assert all(name in said for name in names)
    assert yaml.safe_load((here / "new/run.yaml").read_text())["data"]["spec"]["count"] <= 24


@pytest.mark.parametrize("which", ["cut.png", "zero.png", "bomb.png"])
def test_nothing_but_bad_images(which: str, refused: Any, here: Path) -> None:
    damage(here / "photos")
    (here / "bad").mkdir()
    for i in range(3):
        shutil.copy(here / "photos" / which, here / "bad" / f"{i}{which}")
    said = refused(*train("bad"))
    assert "bad" in said and f"0{which}" in said


def test_one_image(refused: Any, here: Path) -> None:
    draw(here / "lonely", count=1)
    assert "holds one image" in refused(*train("lonely"))
    assert "folder" in refused(*train("lonely/00.png"))


def test_equal_images(refused: Any, here: Path) -> None:
    (here / "same").mkdir()
    for i in range(8):
        shutil.copy(here / "photos/00.png", here / "same" / f"{i}.png")
    assert "same picture" in refused(*train("same"))


def test_names_with_spaces_and_other_letters_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = draw(here / "my photos" / "Ångström 写真 'x'", seed=1)
    for i, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"bild {i} é 图 #%.png")
    out = here / "läufe" / "the 1st run"
    finishes(*train("my photos", "--out", str(out)), capsys=capsys)
    finishes("sample", str(out), "-n", "3", "--out", "proben é/3 stück.png", capsys=capsys)
    assert (here / "proben é/3 stück.png").stat().st_size > 0
    finishes("resume", str(out), "--samples", "120", capsys=capsys)
    assert f"gansmith sample {out}" in finishes("info", str(out), capsys=capsys)


# ---------------------------------------------------------------- permissions


@contextmanager
def powerless() -> Iterator[None]:
    """Without the rights of root, for which no file is unreadable."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public(template: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """As `here`, in a folder that everybody can enter and change."""
    folder = Path(tempfile.mkdtemp(prefix="gansmith-test-"))
    shutil.copytree(template, folder, dirs_exist_ok=True)
    (folder / "cache").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o777 if path.is_dir() else 0o666)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("GANSMITH_CACHE", str(folder / "cache"))
    yield folder
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o700)
    shutil.rmtree(folder)


def test_unreadable_folder(refused: Any, public: Path) -> None:
    (public / "photos").chmod(0)
    with powerless():
        said = refused(*train("photos"), runs=public / "runs")
    assert "photos" in said and "permission" in said.lower()


def test_unreadable_files_are_left_out_and_named(public: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (public / "photos/03.png").chmod(0)
    with powerless():
        assert "03.png" in finishes(*train("photos", "--out", "new"), capsys=capsys)


def test_unreadable_run(refused: Any, public: Path) -> None:
    shutil.copytree(public / OLD, public / "locked")
    for path in (public / "locked/checkpoints").glob("*/nets.safetensors"):
        path.chmod(0)
    with powerless():
        said = refused("sample", "locked", "-n", "2", runs=public / "runs")
    assert "locked" in said and "nets.safetensors" in said


def test_unwritable_out(refused: Any, public: Path) -> None:
    (public / "fixed").mkdir(mode=0o555)
    with powerless():
        said = refused(*train("photos", "--out", "fixed/run"), runs=public / "runs")
    assert "fixed/run" in said and "permission" in said and "--out" in said


def test_unwritable_samples(refused: Any, public: Path) -> None:
    (public / "fixed").mkdir(mode=0o555)
    with powerless():
        for name in ("grid.png", "all.npz", "folder"):
            said = refused("sample", OLD, "-n", "2", "--out", f"fixed/{name}", runs=public / "runs")
            assert f"fixed/{name}" in said and "permission" in said


# ---------------------------------------------------------------- the run directory


def test_out_holds_a_run(refused: Any) -> None:
    said = refused(*train("photos", "--out", OLD))
    assert OLD in said and f"gansmith resume {OLD}" in said and "--out" in said


def test_out_holds_something_else(refused: Any, here: Path) -> None:
    before = contents(here / "photos")
    assert "not empty" in refused(*train("photos", "--out", "photos"))
    assert contents(here / "photos") == before


def test_out_is_a_file(refused: Any, here: Path) -> None:
    (here / "taken").write_text("x")
    for out in ("taken", "taken/run"):
        assert "taken" in refused(*train("photos", "--out", out))
    assert (here / "taken").read_text() == "x"


@pytest.mark.parametrize("verb", ["resume", "sample", "info"])
def test_no_run_there(verb: str, refused: Any) -> None:
    said = refused(verb, "runs/00000-gan-photo")
    assert "does not exist" in said and "00000-gan-photos" in said
    assert "holds no run" in refused(verb, "photos")


@pytest.fixture
def hurt(here: Path) -> Path:
    """A copy of the run, to be damaged: beside it the old one must stay as it is."""
    shutil.copytree(here / OLD, here / "hurt")
    return here / "hurt"


def last(run: Path) -> Path:
    return max((run / "checkpoints").iterdir())


@pytest.mark.parametrize("argv", [("resume", "hurt", "--samples", "120"), ("sample", "hurt")])
@pytest.mark.parametrize("keep", [0.5, 0.0])
def test_checkpoint_cut_in_half(argv: tuple[str, ...], keep: float, refused: Any, hurt: Path) -> None:
    file = last(hurt) / "nets.safetensors"
    file.write_bytes(file.read_bytes()[: int(keep * file.stat().st_size)])
    said = refused(*argv)
    assert str(file.relative_to(hurt.parent)) in said and "damaged" in said and "the one before" in said
    shutil.rmtree(file.parent)  # what the sentence advises
    assert main(argv) == 0


@pytest.mark.parametrize(
    ("name", "text"),
    [("optim.safetensors", None), ("state.json", "{"), ("state.json", "[]"), ("state.json", '{"format": 99}')],
)
def test_other_files_of_a_checkpoint_are_damaged(name: str, text: str | None, refused: Any, hurt: Path) -> None:
    file = last(hurt) / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if text is None else text.encode())
    assert name in refused("resume", "hurt", "--samples", "120")


@pytest.mark.parametrize("text", ["", "{", "recipe: gan\n", "a: [1, 2\n", "\x00\x01"])
def test_damaged_run_yaml(text: str, refused: Any, hurt: Path) -> None:
    (hurt / "run.yaml").write_text(text)
    for argv in (("resume", "hurt"), ("sample", "hurt"), ("info", "hurt")):
        said = refused(*argv)
        assert "hurt/run.yaml" in said and "damaged" in said


@pytest.mark.parametrize("argv", [("resume", "hurt", "--samples", "120"), ("sample", "hurt")])
@pytest.mark.parametrize("change", ["shape", "missing", "extra"])
def test_checkpoint_of_another_shape(argv: tuple[str, ...], change: str, refused: Any, hurt: Path) -> None:
    file = last(hurt) / "nets.safetensors"
    tensors = load_file(file)
    for name in [k for k in tensors if k.endswith("out.bias")]:
        if change == "shape":
            tensors[name] = tensors[name].new_zeros(7)
        elif change == "missing":
            del tensors[name]
    save_file(tensors | ({"G.new": tensors["G.out.weight"].clone()} if change == "extra" else {}), file)
    said = refused(*argv)
    assert "hurt/checkpoints" in said and ("G.new" if change == "extra" else "out.bias") in said
    if change == "shape":
        assert "(7,)" in said


def test_optimizer_state_of_another_shape(refused: Any, hurt: Path) -> None:
    file = last(hurt) / "optim.safetensors"
    tensors = load_file(file)
    name = next(k for k in tensors if k.endswith("exp_avg"))
    tensors[name] = tensors[name].new_zeros(3, 3, 3)
    save_file(tensors, file)
    said = refused("resume", "hurt", "--samples", "120")
    assert "hurt/checkpoints" in said and name.split("|")[1] in said


def test_data_that_changed_or_went(refused: Any, here: Path, hurt: Path) -> None:
    draw(here / "photos", count=30, seed=5)
    said = refused("resume", "hurt", "--samples", "120", "--data", "photos")
    assert "photos" in said and "hurt" in said and "exact resume is impossible" in said
    config = yaml.safe_load((hurt / "run.yaml").read_text())
    config["data"]["source"] = str(here / "fotos")
    (hurt / "run.yaml").write_text(yaml.safe_dump(config))
    assert "fotos" in refused("resume", "hurt", "--samples", "120")


# ---------------------------------------------------------------- words and numbers


def test_unknown_recipe(refused: Any) -> None:
    assert 'Did you mean "r3gan"?' in refused(*train("photos", recipe="r3gna"))


def test_unknown_field(refused: Any) -> None:
    said = refused(*train("photos", "--smothing", "0.1"))
    assert "--smothing" in said and 'Did you mean "--smoothing"?' in said


def test_unknown_word(refused: Any) -> None:
    said = refused(*train("photos", "--objective", "minmax"))
    assert "--objective" in said and 'Did you mean "minimax"?' in said


@pytest.mark.parametrize(
    "argv",
    [
        *[("--lr", bad) for bad in ("-1", "nan", "inf")],
        ("--smoothing", "0.7"),
        ("--batch", "0"),
        ("--z-dim", "0"),
        ("--samples", "0"),
        ("--minutes", "0"),
        ("--minutes", "nan"),
        ("--tick", "-5"),
        ("--seed", "-1"),
        ("--resolution", "0"),
        ("--devices", "0"),
        ("--channels", "7"),
    ],
)
def test_value_out_of_range(argv: tuple[str, str], refused: Any) -> None:
    said = refused(*train("photos", *argv))
    assert argv[0].strip("-").replace("-", "_") in said.replace("-", "_") and (argv[1] in said or "at least" in said)


@pytest.mark.parametrize("argv", [("--lr", "fast"), ("--batch", "2.5"), ("--batch",), ("--background", "#12")])
def test_value_of_the_wrong_kind(argv: tuple[str, ...], refused: Any) -> None:
    assert argv[0].strip("-") in refused(*train("photos", *argv))


def test_nets_that_cannot_be_built_are_refused_before_a_run_is_made(refused: Any) -> None:
    assert "10 px" in refused(*train("photos", "--resolution", "10", recipe="dcgan"))
    r3gan = ("train", "r3gan", "--data", "photos", "--resolution", "8", "--widths", "8", "8", "8", "8", "8")
    assert "widths" in refused(*r3gan)


# ---------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root on Linux")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    """Take all of a disk's space but `leave` bytes."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    (disk / "ballast").write_bytes(bytes(max(0, free - leave)))
    return disk / "ballast"


@pytest.mark.parametrize("leave", [0, 8_000, 60_000])
def test_disk_full_at_the_start(leave: int, refused: Any, small_disk: Path) -> None:
    fill(small_disk, leave)
    said = refused(*train("photos", "--out", str(small_disk / "run"), "--width", "64"))
    assert str(small_disk) in said and "space" in said


@pytest.mark.parametrize("leave", [0, 4_000, 30_000])
def test_disk_full_while_training(
    leave: int, refused: Any, here: Path, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(here / OLD, small_disk / "run")
    before = contents(small_disk / "run/checkpoints")
    ballast = fill(small_disk, leave)
    said = refused("resume", str(small_disk / "run"), "--samples", "4000")
    assert str(small_disk) in said and "space" in said
    if not leave:
        assert contents(small_disk / "run/checkpoints") == before
    ballast.unlink()
    finishes("resume", str(small_disk / "run"), "--samples", "400", capsys=capsys)
    finishes("sample", str(small_disk / "run"), "-n", "2", capsys=capsys)


def test_disk_full_of_samples(refused: Any, small_disk: Path) -> None:
    fill(small_disk, 4096)
    for name in ("grid.png", "all.npz", "folder"):
        said = refused("sample", OLD, "-n", "500", "--out", str(small_disk / name))
        assert str(small_disk) in said and "space" in said


def test_disk_full_of_cache(
    here: Path, small_disk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cache only saves time: without it the training goes on, and says so."""
    monkeypatch.setenv("GANSMITH_CACHE", str(small_disk))
    fill(small_disk, 0)
    before = contents(here / OLD)
    said = finishes(*train("photos", "--out", "new"), capsys=capsys)
    assert str(small_disk) in said and "held in memory" in said
    assert contents(here / OLD) == before
