"""The cache: decode once, notice every change, survive damage, and do without when there is no room."""

import json
import os
import resource
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith import places
from gansmith.data import cache as cache_module
from gansmith.data import check_data, open_data
from gansmith.data import prepare as prepare_module
from gansmith.errors import GansmithError


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every image that is decoded."""
    calls: list[int] = []
    real = prepare_module.decode
    monkeypatch.setattr(prepare_module, "decode", lambda data, look: calls.append(1) or real(data, look))
    return calls


@pytest.fixture
def probings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one with every image file that is read for a look at it."""
    calls: list[int] = []
    real = prepare_module.probe
    monkeypatch.setattr(prepare_module, "probe", lambda *args: calls.append(1) or real(*args))
    return calls


def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock be an hour on, so that the files count as unchanged for long."""
    now = time.time()
    monkeypatch.setattr(cache_module.time, "time", lambda: now + 3600)


def entries(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name != "known"]


def test_the_second_time_nothing_is_decoded(photos, decodings: list, cache_folder: Path) -> None:
    folder = photos(20)
    report = check_data(folder, progress=False)
    assert len(decodings) == 20
    data = open_data(folder, progress=False)
    assert len(decodings) == 20 and data.report == report
    assert len(entries(cache_folder)) == 1


def test_unchanged_files_are_not_even_read(photos, probings: list, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(20)
    settled(monkeypatch)
    first = open_data(folder, progress=False)
    assert len(probings) == 20
    again = open_data(folder, progress=False)
    assert len(probings) == 20 and again.fingerprint == first.fingerprint and again.report == first.report


def test_a_moved_copy_finds_the_same_entry(photos, decodings: list, tmp_path: Path) -> None:
    folder = photos(20)
    first = open_data(folder, progress=False)
    folder.rename(tmp_path / "elsewhere")
    again = open_data(tmp_path / "elsewhere", progress=False)
    assert len(decodings) == 20 and again.fingerprint == first.fingerprint


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("change", ["content", "same size and date", "added", "removed", "renamed"])
def test_every_change_is_noticed(change: str, trusted: bool, photos, noise, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(20)
    bmp = folder / "5.bmp"
    Image.fromarray(noise(500)).save(bmp)
    if trusted:
        settled(monkeypatch)
    first = open_data(folder, progress=False)
    before = bmp.stat()
    if change == "content":
        Image.fromarray(noise(777)).save(bmp)
    elif change == "same size and date":
        Image.fromarray(noise(778)).save(bmp)
        os.utime(bmp, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert bmp.stat().st_size == before.st_size and bmp.stat().st_mtime_ns == before.st_mtime_ns
    elif change == "added":
        Image.fromarray(noise(779)).save(folder / "new.png")
    elif change == "removed":
        bmp.unlink()
    else:
        bmp.rename(folder / "zz.bmp")
    assert open_data(folder, progress=False).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    "setting", [{"resolution": 16}, {"fit": "pad"}, {"background": "black"}, {"channels": 1}, {"labels": True}]
)
def test_every_setting_has_its_own_entry(setting: dict, tmp_path: Path, noise) -> None:
    for i in range(10):
        (tmp_path / "set" / str(i % 2)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(i)).save(tmp_path / "set" / str(i % 2) / f"{i}.png")
    plain = open_data(tmp_path / "set", progress=False)
    assert open_data(tmp_path / "set", progress=False, **setting).fingerprint != plain.fingerprint


@pytest.mark.parametrize("damage", ["cut", "longer", "flipped", "no record", "record", "no pixels"])
def test_damage_is_found_and_mended(
    damage: str, photos, decodings: list, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = photos(10)
    settled(monkeypatch)
    want = open_data(folder, progress=False)
    (entry,) = entries(cache_folder)
    pixels, record = entry / cache_module.PIXELS, entry / cache_module.RECORD
    if damage == "cut":
        os.truncate(pixels, pixels.stat().st_size // 2)
    elif damage == "longer":
        pixels.write_bytes(pixels.read_bytes() + b"x")
    elif damage == "flipped":
        data = bytearray(pixels.read_bytes())
        data[5000] ^= 1
        pixels.write_bytes(data)
    elif damage == "no record":
        record.unlink()
    elif damage == "record":
        digest, text = record.read_text().split("\n")
        record.write_text(f"{digest}\n{json.dumps({**json.loads(text), 'channels': 1})}")
    else:
        pixels.unlink()
    got = open_data(folder, progress=False)
    assert len(decodings) == 20 and np.array_equal(got._array, want._array)
    assert any("were damaged and are made again" in line for line in got.report.warnings)
    assert not open_data(folder, progress=False).report.warnings[0].startswith("The cached") and len(decodings) == 20


def test_large_sets_are_mapped_and_checked(photos, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = photos(30)
    small = open_data(folder, progress=False)
    monkeypatch.setattr(cache_module, "memory_limit", lambda: 30 * 32 * 32 * 3 - 1)
    large = open_data(folder, progress=False)
    assert isinstance(large._array, np.memmap) and not isinstance(small._array, np.memmap)
    index = np.array([5, 2, 2, 9, 0])
    assert np.array_equal(large.fetch(index)[0], small.fetch(index)[0])
    (entry,) = entries(cache_folder)
    data = bytearray((entry / cache_module.PIXELS).read_bytes())
    data[0] ^= 255
    (entry / cache_module.PIXELS).write_bytes(data)
    assert "damaged" in open_data(folder, progress=False).report.warnings[0]


def test_a_stopped_run_leaves_no_half_entry(photos, cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(data: bytes, look: object) -> np.ndarray:
        raise KeyboardInterrupt

    folder = photos(10)
    with monkeypatch.context() as patch:
        patch.setattr(prepare_module, "decode", stop)
        with pytest.raises(KeyboardInterrupt):
            open_data(folder, progress=False)
    assert entries(cache_folder) == []
    assert open_data(folder, progress=False).report.usable == 10


def test_old_leftovers_are_swept(photos, cache_folder: Path) -> None:
    for name, age in ((".new-old", 2 * 86_400), (".new-young", 60)):
        (cache_folder / name).mkdir()
        os.utime(cache_folder / name, (time.time() - age,) * 2)
    open_data(photos(10), progress=False)
    assert not (cache_folder / ".new-old").exists() and (cache_folder / ".new-young").exists()


def test_a_cache_that_cannot_be_made(photos, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    data = open_data(photos(10), cache_dir=tmp_path / "file" / "cache", progress=False)
    assert data.report.usable == 10
    assert "cannot take the images" in data.report.warnings[0] and "held in memory this time" in data.report.warnings[0]


@pytest.fixture
def full_disk():
    """No file may grow past 16 KiB: writing fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 << 10, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_full_disk(photos, noise, cache_folder: Path, request: pytest.FixtureRequest, monkeypatch) -> None:
    folder = photos(40)
    request.getfixturevalue("full_disk")
    data = open_data(folder, progress=False)
    assert "cannot take the images" in data.report.warnings[0] and entries(cache_folder) == []
    assert np.array_equal(data._array[7], noise(7))
    monkeypatch.setattr(prepare_module, "memory_limit", lambda: 1000)
    with pytest.raises(GansmithError, match=r"cannot take the images \(1 MiB\): .* Set GANSMITH_CACHE"):
        open_data(folder, progress=False)
    assert entries(cache_folder) == []


def test_arrays_in_memory_leave_nothing_on_disk(noise, cache_folder: Path) -> None:
    open_data(np.stack([noise(i) for i in range(10)]), progress=False)
    assert list(cache_folder.iterdir()) == []


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert places.cache_folder() == Path(os.environ["GANSMITH_CACHE"])
    monkeypatch.delenv("GANSMITH_CACHE")
    monkeypatch.setattr(places.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert places.cache_folder() == tmp_path / "gansmith"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert places.cache_folder() == tmp_path / ".cache" / "gansmith"
