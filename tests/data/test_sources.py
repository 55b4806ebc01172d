"""Every kind of source gives the same images, in a fixed order, with the right labels."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith.data import open_data
from gansmith.data.images import Images
from gansmith.errors import GansmithError


def everything(data: Images) -> np.ndarray:
    """All images of a set in the order of its rows, uint8 N H W C."""
    return np.asarray(data._array)


def names(data: Images) -> list[str]:
    """Names in row order, told apart by content alone."""
    return [row.tobytes().hex()[:40] for row in everything(data)]


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pack_tar(path: Path, members: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture
def pictures(noise) -> dict[str, np.ndarray]:
    """24 images in two folders, in natural order."""
    return {f"{kind}/{i}.png": noise(100 * k + i) for k, kind in enumerate(("cat", "dog")) for i in range(12)}


@pytest.fixture
def tree(tmp_path: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, pixels in pictures.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "tree"


def test_a_folder_in_natural_order(tree: Path, pictures: dict[str, np.ndarray]) -> None:
    data = open_data(tree, progress=False)
    assert np.array_equal(everything(data), np.stack(list(pictures.values())))
    assert data.spec.shape == (3, 32, 32) and data.spec.fields == ("x",) and data.spec.classes == ()
    assert data.spec.count + len(data.held_out) == 24


def test_labels_are_the_subfolders(tree: Path) -> None:
    data = open_data(tree, labels=True, progress=False)
    assert data.spec.classes == ("cat", "dog") and data.spec.fields == ("x", "y")
    (y,) = data.fetch(np.arange(data.spec.count), ("y",))
    assert y.tolist() == [int(row >= 12) for row in data.train]
    assert data.fetch_held_out(np.arange(1), ("x", "y"))[1].dtype == torch.int64


def test_hidden_files_and_other_files_are_passed_over(tree: Path) -> None:
    before = everything(open_data(tree, progress=False))
    (tree / "__MACOSX").mkdir()
    for name in ("__MACOSX/a.png", ".hidden.png", "cat/._0.png", "notes.txt", "raw.heic"):
        (tree / name).write_bytes(b"no image")
    data = open_data(tree, progress=False)
    assert np.array_equal(everything(data), before)
    assert any(".heic (1), .txt (1)" in line or ".txt (1), .heic (1)" in line for line in data.report.warnings)


def test_links_and_loops(tree: Path, tmp_path: Path) -> None:
    (tree / "cat" / "loop").symlink_to(tree, target_is_directory=True)
    (tree / "self.png").symlink_to(tree / "self.png")
    outside = tmp_path / "outside"
    outside.mkdir()
    Image.new("RGB", (32, 32), "teal").save(outside / "extra.png")
    (tree / "zoo").symlink_to(outside, target_is_directory=True)
    data = open_data(tree, progress=False)
    assert len(everything(data)) == 25 and (everything(data)[-1, 0, 0] == (0, 128, 128)).all()
    assert [name for name, _ in data.report.corrupt] == ["self.png"]


def test_names_with_spaces_other_alphabets_and_no_encoding(tmp_path: Path, noise) -> None:
    folder = tmp_path / "été 2024 日本"
    folder.mkdir()
    odd = ["a b.png", "ü.png", "猫.png", "x\ny.png", "quote\"'.png"]
    for i, name in enumerate(odd):
        Image.fromarray(noise(i)).save(folder / name)
    raw = os.fsencode(folder) + b"/bad\xff.png"
    with open(raw, "wb") as file:
        file.write(b"broken")
    data = open_data(folder, progress=False)
    assert len(everything(data)) == 5
    assert data.report.corrupt == (("bad\\udcff.png", "not an image, whatever its name says"),)
    "\n".join(data.report.lines()).encode("utf-8")  # can be printed


def test_zip_equals_folder(tree: Path, tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in reversed(pictures):
            archive.write(tree / name, f"wrapper/{name}")
        archive.writestr("__MACOSX/wrapper/._0.png", b"x")
        archive.writestr("../outside.png", png(pictures["cat/0.png"][::-1]))
    data = open_data(tmp_path / "set.zip", progress=False)
    assert np.array_equal(everything(data)[1:], everything(open_data(tree, progress=False)))
    assert not (tmp_path.parent / "outside.png").exists()


def test_labels_in_a_wrapped_zip(tree: Path, tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in pictures:
            archive.write(tree / name, f"wrapper/{name}")
    data = open_data(tmp_path / "set.zip", labels=True, progress=False)
    assert data.spec.classes == ("cat", "dog") and data.report.labels == {"cat": 12, "dog": 12}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar_equals_folder(mode: str, tree: Path, tmp_path: Path, pictures: dict[str, np.ndarray]) -> None:
    path = tmp_path / ("set.tar" + mode[1:].replace(":", "."))
    pack_tar(path, {name: png(pixels) for name, pixels in pictures.items()}, mode)
    data = open_data(path, labels=True, progress=False)
    assert np.array_equal(everything(data), everything(open_data(tree, progress=False)))
    assert data.spec.classes == ("cat", "dog")


def test_tar_links_and_devices_are_passed_over(tmp_path: Path, noise) -> None:
    path = pack_tar(tmp_path / "set.tar", {f"{i}.png": png(noise(i)) for i in range(4)})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("link.png", tarfile.SYMTYPE), ("device.png", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    assert open_data(path, progress=False).report.count == 4


def shard(path: Path, noise, start: int) -> None:
    members = {}
    for i in range(start, start + 5):
        members |= {f"{i:04}.cls": str(i % 2).encode(), f"{i:04}.json": b"{}", f"{i:04}.png": png(noise(i))}
    pack_tar(path, members)


@pytest.mark.parametrize("form", ["pattern", "folder"])
def test_shards(form: str, tmp_path: Path, noise) -> None:
    for s in range(3):
        shard(tmp_path / f"set-{s:03}.tar", noise, 5 * s)
    data = open_data(str(tmp_path / "set-{000..002}.tar") if form == "pattern" else tmp_path, progress=False)
    assert np.array_equal(everything(data), np.stack([noise(i) for i in range(15)]))
    assert data.spec.classes == ("0", "1") and data.spec.fields == ("x", "y")
    (y,) = data.fetch(np.arange(data.spec.count), ("y",))
    assert y.tolist() == [row % 2 for row in data.train]


def test_shards_written_by_webdataset(tmp_path: Path, noise) -> None:
    wds = pytest.importorskip("webdataset", reason="webdataset is not installed")
    with wds.TarWriter(str(tmp_path / "a.tar")) as sink:
        for i in range(10):
            sink.write({"__key__": f"photo.{i:03}" if i < 3 else f"p{i}", "png": noise(i), "cls": i % 3})
    data = open_data(tmp_path / "a.tar", progress=False)
    assert np.array_equal(everything(data), np.stack([noise(i) for i in range(10)]))


def test_missing_shards_are_named(tmp_path: Path, noise) -> None:
    shard(tmp_path / "s-0.tar", noise, 0)
    with pytest.raises(GansmithError, match=r"2 of 3 shards are missing, first .*s-1\.tar"):
        open_data(str(tmp_path / "s-{0..2}.tar"), progress=False)


# ---- arrays


@pytest.fixture
def block(noise) -> np.ndarray:
    return np.stack([noise(i, 16, 16) for i in range(20)])


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("kind", ["uint8", "int64", "unit", "signed", "wide", "0 to 255 floats"])
def test_arrays_of_every_range(block: np.ndarray, kind: str, layout: str) -> None:
    array = {
        "uint8": block,
        "int64": block.astype(np.int64),
        "unit": block / np.float32(255),
        "signed": block / np.float32(127.5) - np.float32(1),
        "wide": block.astype(np.uint16) * 257,
        "0 to 255 floats": block.astype(np.float32),
    }[kind]
    data = open_data(array if layout == "NHWC" else array.transpose(0, 3, 1, 2), progress=False)
    assert np.array_equal(everything(data), block)


def test_grey_and_bool_arrays(block: np.ndarray) -> None:
    grey = block[..., 0]
    assert open_data(grey, progress=False).spec.shape == (1, 16, 16)
    assert np.array_equal(everything(open_data(grey > 100, progress=False))[..., 0], (grey > 100) * 255)


def test_npy_and_npz_equal_the_array(block: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", block)
    np.savez(tmp_path / "named.npz", samples=block.transpose(0, 3, 1, 2) / 127.5 - 1, z=np.zeros((20, 4)))
    np.savez_compressed(tmp_path / "labels.npz", anything=block)
    for name in ("set.npy", "named.npz", "labels.npz"):
        assert np.array_equal(everything(open_data(tmp_path / name, progress=False)), block)


def test_npz_labels(block: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=block, y=np.arange(20) % 3 + 8)
    data = open_data(tmp_path / "set.npz", progress=False)
    assert data.spec.classes == ("8", "9", "10")
    (y,) = data.fetch(np.arange(data.spec.count), ("y",))
    assert y.tolist() == [row % 3 for row in data.train]


# ---- IDX


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.mark.parametrize("names", [("train-{}-idx{}-ubyte.gz"), ("train-{}.idx{}-ubyte")])
def test_idx_folder(names: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (30, 28, 28), np.uint8)
    write_idx(tmp_path / names.format("images", 3), x)
    write_idx(tmp_path / names.format("labels", 1), (np.arange(30) % 10).astype(np.uint8))
    write_idx(tmp_path / names.format("images", 3).replace("train", "t10k"), x[:3])
    write_idx(tmp_path / names.format("labels", 1).replace("train", "t10k"), np.zeros(3, np.uint8))
    data = open_data(tmp_path, progress=False)
    assert np.array_equal(everything(data)[..., 0], x) and data.spec.classes == tuple("0123456789")


def test_a_cut_idx_file(tmp_path: Path) -> None:
    write_idx(tmp_path / "train-images-idx3-ubyte", np.zeros((30, 28, 28), np.uint8))
    write_idx(tmp_path / "train-labels-idx1-ubyte", np.zeros(30, np.uint8))
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(GansmithError, match=r"promises 23,520 values and holds another number"):
        open_data(tmp_path, progress=False)


# ---- settling size, channels and the held-out part


def test_automatic_resolution_and_channels(tmp_path: Path, photos, noise) -> None:
    assert open_data(photos(6, (100, 80)), progress=False).spec.shape == (3, 64, 64)
    small = tmp_path / "small"
    small.mkdir()
    for i in range(6):
        Image.fromarray(noise(i, 28, 28, 1)).save(small / f"{i}.png")
    assert open_data(small, progress=False).spec.shape == (1, 28, 28)
    assert open_data(small, progress=False, resolution=16, channels=3).spec.shape == (3, 16, 16)


def test_grey_pictures_in_a_colour_format_become_grey(tmp_path: Path, noise) -> None:
    for i in range(8):
        Image.fromarray(noise(i, channels=1)).convert("RGB").save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, progress=False)
    assert data.spec.shape == (1, 32, 32)
    assert np.array_equal(everything(data)[..., 0], np.stack([noise(i, channels=1) for i in range(8)]))
    assert open_data(tmp_path, channels=3, progress=False).spec.shape == (3, 32, 32)


def test_one_tenth_is_held_out_by_content() -> None:
    x = np.random.default_rng(0).integers(0, 256, (3000, 8, 8), np.uint8)
    data = open_data(x, progress=False)
    assert 0.08 < len(data.held_out) / 3000 < 0.12
    assert sorted([*data.train, *data.held_out]) == list(range(3000))
    kept = {x[i].tobytes() for i in data.held_out}
    shuffled = x[np.random.default_rng(1).permutation(3000)]
    more = np.concatenate([shuffled, shuffled[:500], np.random.default_rng(2).integers(0, 256, (500, 8, 8), np.uint8)])
    again = open_data(more, progress=False)
    held = [more[i].tobytes() for i in again.held_out]
    assert kept <= set(held)  # order, copies and new images move none
    assert not {more[i].tobytes() for i in again.train} & set(held)  # copies fall on the same side


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_both_sides_of_a_small_set_hold_something(count: int) -> None:
    for seed in range(20):
        x = np.random.default_rng(seed).integers(0, 256, (count, 8, 8), np.uint8)
        data = open_data(x, progress=False)
        assert data.spec.count >= 1 and len(data.held_out) >= 1


def test_info_tells_what_was_done(photos) -> None:
    info = open_data(photos(12, (40, 50)), fit="pad", background="#010203", progress=False).info
    assert info["resolution"] == 32 and info["fit"] == "pad" and info["filter"] == "lanczos"
    assert info["background"] == "#010203" and info["found"] == 12 and info["count"] + info["held_out_count"] == 12
