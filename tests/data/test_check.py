"""The data check finds what is in a set and names what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.data import check_data, open_data


@pytest.fixture
def messy(tmp_path: Path, noise) -> Path:
    """30 sound images, two copies of one of them, a flat one, two small ones, a corrupt one and a note."""
    folder = tmp_path / "messy"
    for i in range(30):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(noise(i, 40, 48))
        image.convert("L" if i == 4 else "RGB").save(folder / "ab"[i % 2] / f"{i}.png")
    for name in ("copy1.png", "copy2.png"):
        Image.fromarray(noise(3, 40, 48)).save(folder / "a" / name)
    Image.new("RGB", (48, 40), "navy").save(folder / "a" / "sky.png")
    for i in range(2):
        Image.fromarray(noise(90 + i, 12, 20)).save(folder / "b" / f"tiny{i}.png")
    (folder / "b" / "broken.jpg").write_bytes(b"\xff\xd8\xff oh")
    (folder / "notes.txt").write_text("hello")
    return folder


def test_everything_is_counted_and_named(messy: Path) -> None:
    report = check_data(messy, labels=True, progress=False)
    assert (report.count, report.usable, report.train + report.held_out) == (36, 35, 35)
    assert report.width == (20, 48, 48) and report.height == (12, 40, 40)
    assert report.modes == {"RGB": 34, "L": 1}
    assert report.labels == {"a": 18, "b": 17}
    assert report.corrupt == (("b/broken.jpg", "not an image, whatever its name says"),)
    assert report.flat == ("a/sky.png",)
    assert report.duplicates == (("a/copy1.png", "a/copy2.png", "b/3.png"),)
    assert report.small == ("b/tiny0.png", "b/tiny1.png")
    assert report.errors == ()


def test_lines_say_it_all(messy: Path) -> None:
    text = "\n".join(check_data(messy, labels=True, progress=False).lines())
    for part in (
        "36 images, 35 usable",
        "width 20 / 48 / 48, height 12 / 40 / 40 (least, median, greatest)",
        "pixels: RGB 34, L 1",
        "32 x 32 x 3 (crop, lanczos); ",
        "labels: a 18, b 17",
        "left out, 1: b/broken.jpg (not an image, whatever its name says)",
        "one colour all over, 1: a/sky.png",
        "exact duplicates, 1 groups: a/copy1.png = a/copy2.png = b/3.png",
        "smaller than trained on, so enlarged, 2: b/tiny0.png, b/tiny1.png",
        "warning: only 35 images: expect copies of them; collect at least 1,000",
        "warning: 2 images repeat others exactly",
        "warning: 1 images are one colour all over",
        "warning: classes with fewer than 20 images: a (18), b (17)",
        "warning: 1 images could not be used and were left out",
        "warning: files that are no images were passed over: .txt (1)",
    ):
        assert part in text


def test_open_data_carries_the_same_report(messy: Path) -> None:
    assert open_data(messy, progress=False).report == check_data(messy, progress=False)


def test_ten_names_and_the_number_of_the_others(tmp_path: Path, noise) -> None:
    for i in range(5):
        Image.fromarray(noise(i)).save(tmp_path / f"good{i}.png")
    for i in range(13):
        (tmp_path / f"bad{i}.png").touch()
    line = next(line for line in check_data(tmp_path, progress=False).lines() if line.startswith("left out"))
    assert line.startswith("left out, 13: bad0.png (the file is empty), bad1.png") and line.endswith("and 3 more")
    assert "bad9.png" in line and "bad10.png" not in line


@pytest.mark.parametrize(("count", "advice"), [(99, "only 99 images"), (999, "999 images are few"), (1000, "")])
def test_advice_on_numbers(count: int, advice: str) -> None:
    report = check_data(np.random.default_rng(0).integers(0, 256, (count, 8, 8), np.uint8), progress=False)
    assert len(report.warnings) == bool(advice)
    assert not advice or advice in report.warnings[0]


def test_one_class_teaches_nothing(tmp_path: Path, noise) -> None:
    (tmp_path / "set" / "cats").mkdir(parents=True)
    for i in range(25):
        Image.fromarray(noise(i)).save(tmp_path / "set" / "cats" / f"{i}.png")
    warnings = check_data(tmp_path / "set", labels=True, progress=False).warnings
    assert 'all labels are "cats": with one class, labels teach nothing' in warnings


def test_too_large_a_resolution(photos) -> None:
    report = check_data(photos(5), resolution=64, progress=False)
    assert len(report.small) == 5 and any("choose a smaller one" in w for w in report.warnings)


def test_errors_are_reported_before_training(photos, noise) -> None:
    assert "holds one image" in check_data(photos(1), progress=False).errors[0]
    same = np.stack([noise(0)] * 6)
    report = check_data(same, progress=False)
    assert "are the same picture" in report.errors[0] and report.lines()[-1].startswith("error: All 6 images")


def test_progress_goes_to_standard_error(photos, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    from gansmith.data import work

    monkeypatch.setattr(work, "PLAIN_EVERY", -1.0)
    open_data(photos(5), progress=True)
    out, err = capfd.readouterr()
    assert out == "" and "looking at the images: 3 of 5 images" in err and "decoding: 5 of 5 images" in err
    open_data(photos(5, name="quiet"), progress=False)
    assert capfd.readouterr() == ("", "")


def test_a_bar_on_a_terminal(photos, capfd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    open_data(photos(5), progress=True)
    assert capfd.readouterr().out == ""
