"""Windows: images keep their own size in the cache, and every draw takes a part of each."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith.data import Images, Pairs, Stream, check_data, open_data
from gansmith.data import cache as cache_module
from gansmith.data import prepare as prepare_module
from gansmith.data.store import Ragged, Store, corners
from gansmith.errors import GansmithError

SIZES = [(40, 33), (33, 50), (64, 64), (90, 35), (32, 32), (47, 61)]  # width, height


def ramp(width: int, height: int, number: int = 0) -> np.ndarray:
    """A picture that says where one is in it: red = column, green = row, blue = number."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.full_like(x, number)], -1).astype(np.uint8)


def ramps(folder: Path, sizes: list[tuple[int, int]], save: str = "png", grow: int = 1) -> Path:
    folder.mkdir(parents=True)
    for i, (w, h) in enumerate(sizes):
        pixels = ramp(w, h, i).repeat(grow, 0).repeat(grow, 1)
        Image.fromarray(pixels).save(folder / f"{i}.{save}")
    return folder


def places(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Left, top and number of windows of ramps (n, 3, R, R), which must be whole and unchanged."""
    pixels = x.add(1).mul(127.5).round().long()
    left, top, number = pixels[:, 0, 0, 0], pixels[:, 1, 0, 0], pixels[:, 2, 0, 0]
    side = torch.arange(x.shape[2])
    assert torch.equal(pixels[:, 0], (left[:, None, None] + side[None, None, :]).expand_as(pixels[:, 0]))
    assert torch.equal(pixels[:, 1], (top[:, None, None] + side[None, :, None]).expand_as(pixels[:, 1]))
    return left, top, number


def entries(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name != "known"]


@pytest.fixture
def data(tmp_path: Path) -> Images:
    found = open_data(ramps(tmp_path / "set", SIZES * 4), fit="window", resolution=32, progress=False)
    assert isinstance(found, Images)
    return found


def test_a_store_of_different_sizes() -> None:
    images = [np.random.default_rng(i).integers(0, 256, (h, w, 3), np.uint8) for i, (w, h) in enumerate(SIZES)]
    flat = np.concatenate([image.ravel() for image in images])
    ragged = Ragged(flat, [image.shape[:2] for image in images], 3)
    assert len(ragged) == 6 and all(np.array_equal(ragged[i], images[i]) for i in range(6))
    rows, corner = np.array([5, 0, 5]), torch.tensor([[1, 2], [0, 8], [29, 15]])
    got = Store(ragged).windows(rows, corner, 32, torch.device("cpu"))
    for x, row, (top, left) in zip(got, rows, corner.tolist(), strict=True):
        want = images[row][top : top + 32, left : left + 32]
        assert torch.equal(x.add(1).mul(127.5).round().byte(), torch.from_numpy(want).permute(2, 0, 1))
    assert got.dtype == torch.float32 and got.is_contiguous(memory_format=torch.channels_last)


def test_every_place_is_as_likely() -> None:
    room = torch.tensor([[10, 8]]).expand(30_000, 2)
    torch.manual_seed(0)
    found = corners(room, 8, random=True)
    assert found[:, 1].eq(0).all()
    counts = found[:, 0].bincount(minlength=3)
    assert len(counts) == 3 and (counts - 10_000).abs().max() < 400  # five standard deviations of a binomial


def test_windows_are_parts_of_the_images(data: Images) -> None:
    assert data.spec.kind == "image" and data.spec.shape == (3, 32, 32)
    seen: dict[int, set[tuple[int, int]]] = {}
    torch.manual_seed(0)
    for _ in range(60):
        for left, top, number in zip(*places(data.fetch(np.arange(data.spec.count))[0]), strict=True):
            seen.setdefault(int(number), set()).add((int(left), int(top)))
    for number, found in seen.items():
        w, h = (SIZES * 4)[number]
        assert all(x <= w - 32 and y <= h - 32 for x, y in found)
        assert len(found) == 1 if (w, h) == (32, 32) else len(found) > 5
        assert w == 32 or {x for x, _ in found} >= {0, w - 32} or w > 40


def test_held_out_images_show_their_middle(data: Images) -> None:
    first, second = (data.fetch_held_out(np.arange(len(data.held_out)))[0] for _ in range(2))
    assert torch.equal(first, second)
    for left, top, number in zip(*places(first), strict=True):
        w, h = (SIZES * 4)[int(number)]
        assert (int(left), int(top)) == ((w - 32) // 2, (h - 32) // 2)


def test_windows_come_from_torchs_random_state(data: Images) -> None:
    """So a round that is played again from its seed sees the same windows, and another round others."""
    drawn, again = Stream(data, seed=3), Stream(data, seed=3)
    torch.manual_seed(1)
    first = drawn(5)
    torch.manual_seed(2)
    second = drawn(30)
    again.seek(5)
    torch.manual_seed(2)
    assert torch.equal(again(30), second)
    again.seek(5)
    torch.manual_seed(3)
    other = again(30)
    assert not torch.equal(other, second) and torch.equal(places(other)[2], places(second)[2])
    assert first.shape == (5, 3, 32, 32)


def test_what_is_too_small_is_left_out_by_name(tmp_path: Path) -> None:
    folder = ramps(tmp_path / "set", [(40, 40)] * 12 + [(31, 90), (1, 1)])
    report = check_data(folder, fit="window", resolution=32, progress=False)
    assert report.corrupt == (
        ("12.png", "31 x 90 pixels, smaller than the window of 32"),
        ("13.png", "1 x 1 pixels, smaller than the window of 32"),
    )
    assert (report.count, report.usable, report.small) == (14, 12, ())
    assert "training sees: 32 x 32 x 3 (windows of images as they are)" in report.lines()[3]
    assert "warning: 2 images could not be used and were left out" in report.lines()
    data = open_data(folder, fit="window", resolution=32, progress=False)
    assert {data.names[i] for i in (*data.train, *data.held_out)} == {f"{i}.png" for i in range(12)}
    with pytest.raises(
        GansmithError, match=r"None of the 14 images has a window of 100 x 100 pixels \(0\.png: 40 x 40"
    ):
        open_data(folder, fit="window", resolution=100, progress=False)


def test_the_resolution_is_chosen_as_ever(tmp_path: Path) -> None:
    data = open_data(ramps(tmp_path / "set", [(70, 40)] * 5 + [(200, 90)] * 3), fit="window", progress=False)
    assert data.spec.shape == (3, 32, 32) and data.info["fit"] == "window" and data.info["filter"] == "none"


def test_one_entry_serves_every_resolution(tmp_path: Path, cache_folder: Path, monkeypatch) -> None:
    folder, calls = ramps(tmp_path / "set", SIZES * 2), []
    real = prepare_module.decode
    monkeypatch.setattr(prepare_module, "decode", lambda data, look: calls.append(1) or real(data, look))
    found = [open_data(folder, fit="window", resolution=r, progress=False) for r in (16, 32, 16)]
    assert len(calls) == 12 and len(entries(cache_folder)) == 1
    assert found[0].fingerprint == found[2].fingerprint != found[1].fingerprint
    assert found[0].fingerprint != open_data(folder, resolution=16, progress=False).fingerprint


def test_rotated_photographs_are_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for i in range(4):
        path = tmp_path / f"{i}.png"
        Image.fromarray(ramp(80, 40, i)).transpose(Image.Transpose.ROTATE_90).save(path, exif=exif)
    data = open_data(tmp_path, fit="window", resolution=40, progress=False)
    left, top, _ = places(data.fetch(np.arange(data.spec.count))[0])
    assert (top == 0).all() and (left > 0).any()


def test_colour_in_the_format_alone_is_dropped(tmp_path: Path, noise) -> None:
    grey = [noise(i, h, w, 1) for i, (w, h) in enumerate(SIZES)]
    for i, pixels in enumerate(grey):
        Image.fromarray(pixels).convert("RGB").save(tmp_path / f"{i}.png")
    data = open_data(tmp_path, fit="window", resolution=32, progress=False)
    assert data.spec.shape == (1, 32, 32)
    assert all(np.array_equal(data._array[i][..., 0], grey[i]) for i in range(6))


def test_arrays_and_jpegs_keep_their_size(tmp_path: Path, noise) -> None:
    array = np.stack([noise(i, 50, 70) for i in range(6)])
    data = open_data(array, fit="window", resolution=16, progress=False)
    assert all(np.array_equal(data._array[i], array[i]) for i in range(6))
    for i in range(3):
        Image.fromarray(noise(i, 600, 700)).save(tmp_path / f"{i}.jpg")
    photos = open_data(tmp_path, fit="window", resolution=16, progress=False)
    assert photos._array.shapes.tolist() == [[600, 700]] * 3  # not decoded at a fraction of their size


def test_labels_stay_with_their_windows(tmp_path: Path) -> None:
    for i in range(12):
        ramps(tmp_path / "set" / "ab"[i % 2] / str(i), [(40 + i, 40)])
        path = tmp_path / "set" / "ab"[i % 2] / str(i) / "0.png"
        Image.fromarray(ramp(40 + i, 40, i)).save(path)
    data = open_data(tmp_path / "set", fit="window", resolution=32, labels=True, progress=False)
    x, y = data.fetch(np.arange(data.spec.count), ("x", "y"))
    assert torch.equal(places(x)[2] % 2, y)


# ---- the cache gives these images the same guarantees


@pytest.mark.parametrize("damage", ["cut", "flipped", "record", "no pixels"])
def test_damage_is_found_and_mended(damage: str, tmp_path: Path, cache_folder: Path) -> None:
    folder = ramps(tmp_path / "set", SIZES * 2)
    want = open_data(folder, fit="window", resolution=32, progress=False)
    (entry,) = entries(cache_folder)
    pixels, record = entry / cache_module.PIXELS, entry / cache_module.RECORD
    if damage == "cut":
        os.truncate(pixels, pixels.stat().st_size - 1)
    elif damage == "flipped":
        found = bytearray(pixels.read_bytes())
        found[-3] ^= 1
        pixels.write_bytes(found)
    elif damage == "record":
        record.write_text(record.read_text().replace("[33, 40]", "[40, 33]"))
    else:
        pixels.unlink()
    got = open_data(folder, fit="window", resolution=32, progress=False)
    assert any("were damaged and are made again" in line for line in got.report.warnings)
    assert all(np.array_equal(got._array[i], want._array[i]) for i in range(12))
    assert pixels.stat().st_size == sum(3 * w * h for w, h in SIZES * 2)


def test_large_sets_are_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = ramps(tmp_path / "set", SIZES * 2)
    held = open_data(folder, fit="window", resolution=32, progress=False)
    monkeypatch.setattr(cache_module, "memory_limit", lambda: 1000)
    mapped = open_data(folder, fit="window", resolution=32, progress=False)
    assert isinstance(mapped._array.flat, np.memmap) and not isinstance(held._array.flat, np.memmap)
    found = []
    for data in (held, mapped):
        torch.manual_seed(0)
        found.append(data.fetch(np.arange(data.spec.count))[0])
    assert torch.equal(*found)


def test_a_stopped_run_and_a_missing_cache(tmp_path: Path, cache_folder: Path, monkeypatch) -> None:
    folder = ramps(tmp_path / "set", SIZES * 2)

    def stop(data: bytes, look: object) -> np.ndarray:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "decode", stop)
        with pytest.raises(KeyboardInterrupt):
            open_data(folder, fit="window", resolution=32, progress=False)
    assert entries(cache_folder) == []
    (tmp_path / "file").write_text("in the way")
    data = open_data(folder, fit="window", resolution=32, cache_dir=tmp_path / "file" / "c", progress=False)
    assert "held in memory this time" in data.report.warnings[0]
    places(data.fetch(np.arange(data.spec.count))[0])
    monkeypatch.setattr(prepare_module, "memory_limit", lambda: sum(3 * w * h for w, h in SIZES * 2) - 1)
    with pytest.raises(GansmithError, match="Set GANSMITH_CACHE"):
        open_data(folder, fit="window", resolution=32, cache_dir=tmp_path / "file" / "c", progress=False)


def test_unchanged_files_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, now = ramps(tmp_path / "set", SIZES), time.time()
    monkeypatch.setattr(cache_module.time, "time", lambda: now + 3600)
    first = open_data(folder, fit="window", resolution=32, progress=False)
    monkeypatch.setattr(prepare_module, "probe", None)
    again = open_data(folder, fit="window", resolution=32, progress=False)
    assert again.fingerprint == first.fingerprint and again.report == first.report


# ---- windows of pairs


@pytest.fixture
def scaled(tmp_path: Path) -> Callable[..., Path]:
    """scaled(s): A are ramps, B their negatives, s times larger, with some columns and rows left over, or lacking."""

    def make(s: int, over: int = 0) -> Path:
        sizes = [(w + (over < 0), h + (over < 0)) for w, h in SIZES * 3]
        ramps(tmp_path / "set" / "A", sizes)
        (tmp_path / "set" / "B").mkdir()
        for i, (w, h) in enumerate(sizes):
            pixels = ramp(w, h, i).repeat(s, 0).repeat(s, 1)
            pixels = np.pad(pixels, ((0, max(over, 0)), (0, max(over, 0)), (0, 0)), "edge")
            pixels = pixels[: s * h + over, : s * w + over]
            Image.fromarray(255 - pixels).save(tmp_path / "set" / "B" / f"{i}.png")
        return tmp_path / "set"

    return make


@pytest.mark.parametrize(("s", "over"), [(1, 0), (2, 0), (4, 3), (4, -3)])
def test_both_sides_show_the_same_part(s: int, over: int, scaled) -> None:
    data = open_data(scaled(s, over), fit="window", resolution=32, progress=False)
    assert isinstance(data, Pairs) and data.spec.shape == (3, 32, 32) and data.spec.target == (3, 32 * s, 32 * s)
    torch.manual_seed(0)
    drawn = [data.fetch(np.arange(data.spec.count)) for _ in range(5)]
    for a, b in [*drawn, data.fetch_held_out(np.arange(len(data.held_out)))]:
        torch.testing.assert_close(a.repeat_interleave(s, 2).repeat_interleave(s, 3), -b)
        places(a)
    assert not torch.equal(drawn[0][0], drawn[1][0])
    assert all(torch.equal(*pair) for pair in zip(*(data.fetch_held_out(np.arange(1)) for _ in range(2)), strict=True))


def test_one_field_alone_takes_the_same_windows(scaled) -> None:
    data, found = open_data(scaled(2), fit="window", resolution=32, progress=False), []
    for fields in (("a", "b"), ("a",), ("b",), ("b", "a")):
        torch.manual_seed(5)
        found.append(dict(zip(fields, data.fetch(np.arange(6), fields), strict=True)))
    assert torch.equal(found[0]["a"], found[1]["a"]) and torch.equal(found[0]["b"], found[2]["b"])
    assert torch.equal(found[0]["a"], found[3]["a"]) and torch.equal(found[0]["b"], found[3]["b"])


def test_pairs_whose_sizes_do_not_fit_are_left_out(scaled) -> None:
    folder = scaled(2)
    Image.fromarray(ramp(40, 33)).save(folder / "B" / "0.png")  # not twice as large
    for side, size in (("A", (31, 60)), ("B", (62, 120))):
        Image.fromarray(ramp(*size)).save(folder / side / "1.png")
    report = check_data(folder, fit="window", resolution=32, progress=False)
    assert report.train + report.held_out == 16
    assert report.sides[0].corrupt == (
        ("A/0.png", "40 x 33 pixels, but its partner B/0.png has 40 x 33, which is not 2 times as much"),
        ("A/1.png", "31 x 60 pixels, smaller than the window of 32"),
    )
    assert report.sides[1].corrupt[1] == ("B/1.png", "62 x 120 pixels, smaller than the window of 64")


def test_windows_of_domains_are_drawn_by_themselves(scaled) -> None:
    data = open_data(scaled(1), fit="window", resolution=32, pairs=False, progress=False)
    stream = Stream(data, ("a", "b"), seed=0)
    torch.manual_seed(0)
    a, b = stream(200)
    (left_a, _, number_a), (left_b, _, number_b) = places(a), places(-b)
    same = (number_a == number_b) & (number_a % 6 == 3)  # both happen to be of the widest picture
    assert same.any() and not torch.equal(left_a[same], left_b[same])


def test_larger_sides_stay_larger_apart(scaled) -> None:
    apart = open_data(scaled(4), fit="window", resolution=32, progress=False).apart()
    assert apart.spec.shape == (3, 32, 32) and apart.spec.target == (3, 128, 128)
    assert apart.fetch(np.arange(2), ("b",))[0].shape == (2, 3, 128, 128)
