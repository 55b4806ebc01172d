"""Pictures, sample files, curves and the words of the display."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gansmith.engine import display, pictures, records
from gansmith.engine.pictures import GAP, grid, save_samples, to_uint8
from gansmith.errors import GansmithError


def test_bytes_of_images() -> None:
    images = torch.tensor([-2.0, -1.0, 0.0, 1.0, 5.0]).view(5, 1, 1, 1)
    assert to_uint8(images).ravel().tolist() == [0, 0, 128, 255, 255]
    back = to_uint8(torch.arange(256).view(1, 1, 16, 16) / 127.5 - 1)
    assert np.array_equal(back.ravel(), np.arange(256))


def test_a_grid_places_every_image() -> None:
    """Five images of 40 x 32 in three columns, with a white gap around each, enlarged twice."""
    images = torch.stack([torch.full((3, 40, 32), -1 + 0.25 * i) for i in range(5)])
    picture = grid(images, columns=3)
    scale = 96 // 40
    assert picture.size == (scale * (3 * (32 + GAP) + GAP), scale * (2 * (40 + GAP) + GAP))
    pixels = np.asarray(picture)[::scale, ::scale]
    expected = np.full((2 * (40 + GAP) + GAP, 3 * (32 + GAP) + GAP, 3), 255, np.uint8)
    for i, value in enumerate(to_uint8(images)[:, 0, 0, 0]):
        y, x = GAP + i // 3 * (40 + GAP), GAP + i % 3 * (32 + GAP)
        expected[y : y + 40, x : x + 32] = value
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize(("side", "scale"), [(8, 3), (32, 3), (48, 2), (64, 1), (200, 1)])
def test_small_images_are_enlarged(side: int, scale: int) -> None:
    assert grid(torch.zeros(1, 1, side, side)).width == scale * (side + 2 * GAP)


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "L"), (3, "RGB"), (4, "RGB"), (5, "RGB")])
def test_any_number_of_channels_can_be_seen(channels: int, mode: str) -> None:
    images = torch.rand(2, channels, 64, 64) * 2 - 1
    picture = grid(images, columns=2)
    assert picture.mode == mode
    seen = np.asarray(picture).reshape(picture.height, picture.width, -1)[GAP : GAP + 64, GAP : GAP + 64]
    assert np.array_equal(seen, to_uint8(images)[0, :, :, : seen.shape[2]])


def test_samples_as_files(tmp_path: Path) -> None:
    images = torch.rand(11, 3, 16, 16) * 2 - 1
    save_samples(images, tmp_path / "deep" / "folder")
    names = sorted(p.name for p in (tmp_path / "deep" / "folder").iterdir())
    assert names == [f"{i:02d}.png" for i in range(11)]
    for i, name in enumerate(names):
        assert np.array_equal(np.asarray(Image.open(tmp_path / "deep" / "folder" / name)), to_uint8(images)[i])
    save_samples(images, tmp_path / "a.PNG")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.PNG")), np.asarray(grid(images)))
    save_samples(images, tmp_path / "a.npz")
    assert np.array_equal(np.load(tmp_path / "a.npz")["samples"], images.numpy())


def test_points_as_files(tmp_path: Path) -> None:
    points = torch.randn(50, 2)
    save_samples(points, tmp_path / "p.npz", "points")
    assert np.array_equal(np.load(tmp_path / "p.npz")["samples"], points.numpy())
    save_samples(points, tmp_path / "p.png", "points")
    assert np.asarray(Image.open(tmp_path / "p.png")).std() > 0
    with pytest.raises(GansmithError, match="points cannot be single pictures"):
        save_samples(points, tmp_path / "p", "points")


def test_samples_that_cannot_be_saved_are_refused(tmp_path: Path) -> None:
    images = torch.zeros(1, 1, 8, 8)
    with pytest.raises(GansmithError, match=r"not to \.gif"):
        save_samples(images, tmp_path / "a.gif")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "a.png"):
        with pytest.raises(GansmithError, match="in the way"):
            save_samples(images, out)


def test_scatter_shows_the_fakes_in_the_frame_of_the_data() -> None:
    real, fake = torch.rand(100, 2), torch.rand(100, 2)
    near = np.asarray(pictures.scatter(fake, real).convert("RGB"))
    far = np.asarray(pictures.scatter(torch.cat([fake, torch.tensor([[1e4, 1e4]])]), real).convert("RGB"))
    assert np.array_equal(near, far)  # one stray point does not shrink the picture
    assert not np.array_equal(near, np.asarray(pictures.scatter(fake + 0.5, real).convert("RGB")))
    assert pictures.scatter(torch.randn(10, 1), torch.randn(10, 1)).size == (480, 480)


def test_curves_are_drawn(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"seen": 0, "rate": 0.0, "score/fid": 5.0}]
    rows += [{"seen": 1000 * i, "D/adv": 1.0 / i, "D/grad_norm_D": 0.0, "score/fid": 4.0} for i in (1, 2, 3)]
    rows += [{"seen": 3000, "event": "went back"}]
    records.draw_curves(rows, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.width == 1056 and picture.height > 500  # three panels: two rows
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 20
    records.draw_curves([{"seen": 0, "rate": 0.0}], tmp_path / "none.png")  # nothing to draw yet
    assert not (tmp_path / "none.png").exists()


def test_records_are_cut_where_a_resume_begins(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = [{"seen": i, "D/adv": float(i)} for i in (0, 10, 20, 30)]
    path.write_text("".join(json.dumps(r) + "\n" for r in whole) + '{"seen": 40, "D/a')
    assert records.read(path) == whole
    log = records.Records(tmp_path, 20)
    log.add({"seen": 30, "D/adv": 5.0})
    log.close()
    assert records.read(path) == [*whole[:3], {"seen": 30, "D/adv": 5.0}]
    path.write_bytes(path.read_bytes() + b"\xff\xfe\n[1]\n")
    assert len(records.read(path)) == 4 and records.read(tmp_path / "none.jsonl") == []


def test_numbers_that_people_read() -> None:
    assert [display.duration(s) for s in (0.4, 99.4, 100, 3599.6, 86_400)] == [
        "0 s", "99 s", "1 min 40 s", "1 h 00 min", "24 h 00 min",
    ]  # fmt: skip
    assert [display.count(n) for n in (0, 999, 1000, 999_949, 999_999, 1e6, 2.5e9)] == [
        "0", "999", "1.0k", "999.9k", "1.00M", "1.00M", "2500.00M",
    ]  # fmt: skip


def test_display_suits_the_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    quiet, lines = display.display(quiet=True), display.display()
    for shown in (quiet, lines):
        shown.say("hello [bold]")
        shown.update(0.5, "half")
        shown.close()
    assert capsys.readouterr().out == "hello [bold]\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    bar = display.display()
    assert isinstance(bar, display.Bar)
    bar.say("before")
    bar.update(0.5, "half")
    bar.say("[during]")
    bar.close()
    out = capsys.readouterr().out
    assert "before\n" in out and "[during]" in out and "50.0 %" in out
