"""Each bad input gives one sentence that says what, where and what to do; a few bad files among many are left out."""

import gzip
import io
import os
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.data import open_data
from gansmith.data import sources as sources_module
from gansmith.errors import GansmithError


def refused(source: object, message: str, **options: object) -> None:
    """`open_data` refuses the source with one sentence on one line that contains `message`."""
    with pytest.raises(GansmithError) as caught:
        open_data(source, progress=False, **options)
    text = str(caught.value)
    assert message in text and "\n" not in text and text.endswith(".")


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that claims side x side pixels."""
    chunk = lambda tag, body: struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))  # noqa: E731
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(side + 1) * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def left_out(folder: Path, name: str, why: str, good: int = 20) -> None:
    """`name` is left out for this reason, and the rest is used."""
    report = open_data(folder, progress=False).report
    assert report.usable == good and report.count == good + 1
    assert report.corrupt == ((name, why),)
    assert any(f"{name} ({why})" in line for line in report.lines())


# ---- paths


def test_missing_path(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    refused(tmp_path / "fotos", "There is no data at")
    refused(tmp_path / "fotos", 'Did you mean "' + str(tmp_path / "photos"))
    refused("", "There is no data at")
    refused("grid52", 'Did you mean "grid25"?')
    refused("a" * 5000, "There is no data at")
    refused("nul\0byte", "nul\\x00byte")


def test_empty_folder(tmp_path: Path) -> None:
    refused(tmp_path, "holds no images; it is empty")


def test_folder_of_text_files(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.txt").write_text("hello")
    refused(tmp_path, "holds no images; it holds other files: .txt (3). Image files end in .jpg")


def test_text_files_named_as_images(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_text("hello")
    refused(tmp_path, "None of the 3 images")
    refused(tmp_path, "0.png: not an image, whatever its name says")


def test_one_file_instead_of_a_folder(tmp_path: Path, photos) -> None:
    refused(photos(2) / "0.png", "is one image: give the folder")
    (tmp_path / "set.csv").write_text("1,2")
    refused(tmp_path / "set.csv", 'has no column "a" (its first line: 1, 2): a table of pairs has the columns a and b')
    (tmp_path / "set.bin").write_text("1,2")
    refused(tmp_path / "set.bin", "is of no kind that holds images")


def test_other_types() -> None:
    refused(3, "data must be a name, a path or a numpy array, not int")
    refused([[1, 2]], "not list")


# ---- content


def test_one_image(photos) -> None:
    refused(photos(1), "holds one image: a GAN learns from many")


def test_all_equal_images(tmp_path: Path, noise) -> None:
    for i in range(5):
        Image.fromarray(noise(0)).save(tmp_path / f"{i}.png")
    refused(tmp_path, "All 5 images in")
    refused(np.full((30, 8, 8), 7, np.uint8), "are the same picture: there is nothing to learn")


def test_zero_bytes(photos) -> None:
    folder = photos(20)
    (folder / "empty.jpg").touch()
    left_out(folder, "empty.jpg", "the file is empty")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_truncated(kind: str, keep: float, photos, noise) -> None:
    folder, file = photos(20), io.BytesIO()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    image.save(file, kind)
    name = f"cut.{kind.lower()}"
    (folder / name).write_bytes(file.getvalue()[: int(keep * file.tell())])
    report = open_data(folder, progress=False).report
    assert report.usable == 20 and [n for n, _ in report.corrupt] == [name]
    assert report.corrupt[0][1] in ("cut off or damaged", "not an image, whatever its name says")


def test_only_bad_pixels(tmp_path: Path) -> None:
    """Headers that look sound, pixels that are not: found in the second pass, and then nothing is left."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(file, "PNG")
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(file.getvalue()[: 3000 + i])
    refused(tmp_path, "None of the 4 images")


@pytest.mark.parametrize("side", [9500, 20_000, 60_000])
def test_decompression_bomb(side: int, photos) -> None:
    folder = photos(20)
    (folder / "bomb.png").write_bytes(bomb(side))
    left_out(folder, "bomb.png", "more than 89 million pixels, perhaps a decompression bomb")


def test_random_damage_never_escapes(photos, noise) -> None:
    """Flipped and cut bytes anywhere: every file is either decoded or named."""
    folder, rng = photos(2), np.random.default_rng(0)
    for i in range(120):
        kind = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")[i % 6]
        file = io.BytesIO()
        Image.fromarray(noise(i)).save(file, kind)
        data = bytearray(file.getvalue())
        for _ in range(rng.integers(1, 20)):
            data[rng.integers(len(data))] = rng.integers(256)
        (folder / f"damaged{i}.{kind.lower()}").write_bytes(data[: rng.integers(1, len(data) + 1)])
    report = open_data(folder, progress=False).report
    assert report.count == 122 and report.usable + len(report.corrupt) == 122 and len(report.corrupt) > 30


def test_pixels_without_a_range(photos) -> None:
    folder = photos(20)
    Image.fromarray(np.random.default_rng(0).random((8, 8), np.float32)).save(folder / "float.tiff")
    left_out(folder, "float.tiff", "floating-point pixels have no agreed range: convert to 8 or 16 bits")


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder that other users can reach; as root, the test goes on as user "nobody"."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o777)
        yield Path(name)
        if os.getuid() == 0:
            os.seteuid(0)


def lose_rights() -> None:
    if os.getuid() == 0:
        os.seteuid(65534)


def test_unreadable_file_and_folder(shared_folder: Path, noise) -> None:
    images = shared_folder / "images"
    (images / "locked").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(noise(i)).save(images / f"{i}.png")
    (images / "3.png").chmod(0)
    (images / "locked").chmod(0)
    lose_rights()
    report = open_data(images, cache_dir=shared_folder / "cache", progress=False).report
    assert report.usable == 5
    assert report.corrupt == (("3.png", "permission denied"), ("locked/", "permission denied"))
    if os.getuid() == 0:
        os.seteuid(0)
    (images / "locked").chmod(0o700)
    images.chmod(0)
    lose_rights()
    refused(images, "cannot be read: Permission denied", cache_dir=shared_folder / "cache")
    if os.getuid() == 0:
        os.seteuid(0)
    images.chmod(0o700)


def test_unwritable_cache(shared_folder: Path, noise) -> None:
    (shared_folder / "images").mkdir()
    for i in range(6):
        Image.fromarray(noise(i)).save(shared_folder / "images" / f"{i}.png")
    (shared_folder / "cache").mkdir(mode=0o555)
    lose_rights()
    data = open_data(shared_folder / "images", cache_dir=shared_folder / "cache", progress=False)
    assert data.report.usable == 6 and "Permission denied; they are held in memory" in data.report.warnings[0]


# ---- archives


def test_archives_that_are_none(tmp_path: Path) -> None:
    for name in ("a.zip", "a.tar", "a.tar.gz", "a.npy", "a.npz"):
        (tmp_path / name).write_bytes(b"this is no archive at all")
        refused(tmp_path / name, f"{name}")
        (tmp_path / name).write_bytes(b"")
        refused(tmp_path / name, f"{name}")


def test_empty_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.md", "text")
    refused(tmp_path / "a.zip", "holds no images; it holds other files: .md (1)")
    tarfile.open(tmp_path / "a.tar", "w").close()
    refused(tmp_path / "a.tar", "holds no images; it is empty")


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_cut_tar(mode: str, tmp_path: Path, photos) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, mode) as archive:
        archive.add(photos(10), "photos")
    path.write_bytes(path.read_bytes()[:9000])
    refused(path, "cannot be read: it is cut off, damaged or of another kind")


def test_cut_zip(tmp_path: Path, photos) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in photos(10).iterdir():
            archive.write(file, file.name)
    path.write_bytes(path.read_bytes()[:9000])
    refused(path, "cannot be read: it is cut off, damaged or of another kind")


def test_a_damaged_zip_member_is_named(tmp_path: Path, photos) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(photos(10).iterdir()):
            archive.write(file, file.name)
        offset = archive.getinfo("4.png").header_offset
    data = bytearray(path.read_bytes())
    data[offset + 200] ^= 255
    path.write_bytes(data)
    report = open_data(path, progress=False).report
    assert report.corrupt == (("4.png", "cut off or damaged"),) and report.usable == 9


def test_encrypted_zip_member(tmp_path: Path, photos) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(photos(10).iterdir()):
            archive.write(file, file.name)
        central = archive.start_dir if archive.start_dir else 0
    data = bytearray(path.read_bytes())
    data[central + 8] |= 1  # the flag in the first entry of the central directory
    path.write_bytes(data)
    assert open_data(path, progress=False).report.corrupt == (("0.png", "encrypted"),)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "npz"])
def test_zip_bomb(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """4 MiB of zeros in a few kilobytes; the size above which that is suspect is lowered for the test."""
    monkeypatch.setattr(sources_module, "MAX_TOTAL", 1 << 20)
    path = tmp_path / f"bomb.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.bmp", bytes(4 << 20))
    elif kind == "npz":
        np.savez_compressed(path, x=np.zeros((4096, 32, 32), np.uint8))
    else:
        with tarfile.open(path, "w:gz") as archive:
            for i in range(8):
                info = tarfile.TarInfo(f"{i}.txt")
                info.size = 1 << 19
                archive.addfile(info, io.BytesIO(bytes(info.size)))
    refused(path, "would unpack to more than 200 times its size")


def test_too_many_members(tmp_path: Path, photos, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "MAX_MEMBERS", 5)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in photos(10).iterdir():
            archive.write(file, file.name)
    refused(tmp_path / "a.zip", "holds more than 5 files: split it")


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_a_huge_file_is_left_out(kind: str, tmp_path: Path, photos, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(20)
    (folder / "z.png").write_bytes((folder / "0.png").read_bytes() + bytes(100_000))
    monkeypatch.setattr(sources_module, "MAX_FILE", 50_000)
    path = {"folder": folder, "zip": tmp_path / "a.zip", "tar": tmp_path / "a.tar"}[kind]
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in folder.iterdir():
                archive.write(file, file.name)
    elif kind == "tar":
        with tarfile.open(path, "w") as archive:
            archive.add(folder, "")
    report = open_data(path, progress=False).report
    assert report.usable == 20 and [name for name, _ in report.corrupt] == ["z.png"]
    assert "MiB" in report.corrupt[0][1]


# ---- arrays


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((10, 5)), "has shape (10, 5), which is no set of images"),
        (np.zeros((10, 8, 8, 7)), "has shape (10, 8, 8, 7), which is no set of images"),
        (np.zeros(()), "has shape ()"),
        (np.zeros((0, 8, 8)), "holds no images"),
        (np.full((4, 8, 8), 300.0), "holds values from 300 to 300: give 0 to 255"),
        (np.full((4, 8, 8), -5), "holds values from -5 to -5"),
        (np.zeros((4, 8, 8), complex), "holds values of type complex128"),
        (np.array([[["a"]]]), "holds values of type <U1"),
    ],
)
def test_arrays_that_are_no_images(array: np.ndarray, message: str) -> None:
    refused(array, message)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_a_number(bad: float) -> None:
    array = np.random.default_rng(0).random((10, 8, 8))
    array[6, 1, 1] = bad
    refused(array, "Image 6 in")


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(tmp_path / "owned"),))

    np.save(tmp_path / "evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "evil.npz", x=np.array([Evil()], dtype=object))
    refused(tmp_path / "evil.npy", "Python objects could run code")
    refused(tmp_path / "evil.npz", "Python objects could run code")
    assert not (tmp_path / "owned").exists()


def test_npy_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((50, 8, 8), np.uint8))
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data[:1000])
    refused(tmp_path / "a.npy", "cannot be read")
    (tmp_path / "a.npy").write_bytes(data.replace(b"(50, 8, 8)", b"(9**9,8,8)"))
    refused(tmp_path / "a.npy", "cannot be read")


def test_npz_without_images_or_with_odd_labels(tmp_path: Path, noise) -> None:
    x = np.stack([noise(i, 8, 8) for i in range(10)])
    np.savez(tmp_path / "a.npz", u=x, v=x)
    refused(tmp_path / "a.npz", 'holds u, v: name the array of images "x"')
    np.savez(tmp_path / "b.npz", x=x, y=np.zeros(9, int))
    refused(tmp_path / "b.npz", "have shape (9,) and type int64: give 10 whole numbers")
    np.savez(tmp_path / "c.npz", x=x, y=np.zeros(10))
    refused(tmp_path / "c.npz", "type float64")


def test_idx_of_another_kind_or_hostile(tmp_path: Path) -> None:
    labels = tmp_path / "train-labels-idx1-ubyte.gz"
    images = tmp_path / "train-images-idx3-ubyte.gz"
    labels.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 4) + bytes(4)))
    images.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 13, 3, 4, 8, 8) + bytes(1024)))
    refused(tmp_path, "is no IDX file of 8-bit values")
    images.write_bytes(gzip.compress(struct.pack(">HBBIII", 0, 8, 3, 60_000, 60_000, 60_000)))
    refused(tmp_path, "it is damaged or hostile")
    images.write_bytes(b"no gzip")
    refused(tmp_path, "cannot be read")


# ---- labels and options


def test_labels_that_are_not_there(photos, tmp_path: Path, noise) -> None:
    folder = photos(5)
    refused(folder, "5 images lie in none, such as", labels=True)
    np.save(tmp_path / "a.npy", np.stack([noise(i) for i in range(5)]))
    refused(tmp_path / "a.npy", "has no labels", labels=True)
    refused(np.stack([noise(i) for i in range(5)]), "has no labels", labels=True)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"resolution": 2}, "resolution = 2 is out of range: give a number of pixels between 4 and 2048"),
        ({"resolution": 10_000}, "resolution = 10000"),
        ({"fit": "cropp"}, 'fit = "cropp" is unknown: choose crop, pad, squeeze, window. Did you mean "crop"?'),
        ({"channels": 4}, "channels = 4 is not possible: choose 1 (grey) or 3 (colour)"),
        ({"background": "whitish"}, 'background = "whitish" is no colour'),
    ],
)
def test_options_out_of_range(option: dict, message: str, photos) -> None:
    with pytest.raises(GansmithError) as caught:
        open_data(photos(2), progress=False, **option)
    assert message in str(caught.value)
