"""Films read back by others (PyAV, Pillow): as many frames, of that size and speed, with those pixels and words."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import weakref
from base64 import b64decode
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gansmith.engine.pictures import GAP, to_uint8
from gansmith.errors import GansmithError
from gansmith.explore import film as module
from gansmith.explore.files import check_path, read_told
from gansmith.explore.film import SUFFIXES, Film, durations

TOLD = "gansmith explore walk runs/00000-r3gan-digits --seed 3 — ψ 0.7"
MOVING = (".mp4", ".gif", ".webp")


def moving(t: int = 6, n: int = 1, side: int = 32, c: int = 3) -> Tensor:
    """Frames (t, n, c, side, side): a block, in each image of another colour, walks to the right."""
    frames = torch.full((t, n, c, side, side), -0.6)
    for i in range(t):
        for j in range(n):
            x = i * (side - side // 4) // max(1, t - 1)
            colour = torch.tensor([(i % 5) / 2 - 1, j / max(1, n - 1) * 2 - 1, 0.8, -0.2])[:c, None, None]
            frames[i, j, :, side // 4 : side // 2, x : x + side // 4] = colour
    return frames


def seen(path: Path) -> list[np.ndarray]:
    """The frames of a file, bytes (H, W, 3)."""
    if path.suffix == ".mp4":
        with av.open(str(path)) as file:
            return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    with Image.open(path) as image:
        found = []
        for i in range(getattr(image, "n_frames", 1)):
            image.seek(i)
            found.append(np.asarray(image.convert("RGB")))
        return found


def times(path: Path) -> list[int]:
    """How long each frame is shown, milliseconds."""
    found = []
    with Image.open(path) as image:
        for i in range(image.n_frames):
            image.seek(i)
            image.load()
            found.append(image.info["duration"])
    return found


def cell(picture: np.ndarray, row: int, column: int, side: int, scale: int) -> np.ndarray:
    """One image of a grid, back at its own size: every `scale`-th pixel."""
    y, x = ((GAP + k * (side + GAP)) * scale for k in (row, column))
    return picture[y : y + side * scale, x : x + side * scale][scale // 2 :: scale, scale // 2 :: scale]


@pytest.mark.parametrize("suffix", MOVING)
def test_a_film_comes_back(suffix: str, tmp_path: Path) -> None:
    frames = moving(t=7, n=3)
    path = Film(frames, columns=2, fps=20, told=TOLD).save(tmp_path / "deep" / f"walk{suffix}")
    pictures = seen(path)
    scale = 4  # 2 x 2 cells of 32 and their gaps: 70 pixels, so 4 times is the first over 256
    assert len(pictures) == 7 and {p.shape for p in pictures} == {(280, 280, 3)}
    for picture, frame in zip(pictures, frames, strict=True):
        for j, image in enumerate(to_uint8(frame)):
            error = np.abs(cell(picture, *divmod(j, 2), 32, scale).astype(int) - image)
            if suffix == ".mp4":  # with loss
                assert error.mean() < 2 and np.quantile(error, 0.99) < 16
            else:
                assert error.max() == 0
        assert cell(picture, 1, 1, 32, scale).min() > 250  # no fourth image: white
    assert read_told(path) == TOLD
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("fps", [0.1, 12.5, 29.97, 60])
def test_speed(fps: float, tmp_path: Path) -> None:
    film = Film(moving(t=6), fps=fps)
    with av.open(str(film.save(tmp_path / "a.mp4"))) as file:
        stream = file.streams.video[0]
        assert float(stream.average_rate) == pytest.approx(fps)
        assert float(stream.duration * stream.time_base) == pytest.approx(6 / fps, rel=1e-3)
        assert [float(frame.time) for frame in file.decode(stream)] == pytest.approx([i / fps for i in range(6)], 1e-3)
    assert sum(times(film.save(tmp_path / "a.webp"))) == pytest.approx(6000 / fps, abs=1)
    found = times(film.save(tmp_path / "a.gif"))
    assert sum(found) == pytest.approx(6000 / min(fps, 50), abs=5) and min(found) >= 20


def test_durations_keep_time() -> None:
    for fps in (0.1, 7, 24, 48.5, 60):
        found = durations(1000, fps, unit=10)
        assert max(found) - min(found) <= 10 and sum(found) == pytest.approx(1e6 / fps, abs=5)


def test_a_film_that_stands_still_lasts_as_long(tmp_path: Path) -> None:
    film = Film(moving(t=3)[[0, 1] + [2] * 48], fps=25)
    assert len(seen(film.save(tmp_path / "a.mp4"))) == 50
    for suffix in (".gif", ".webp"):  # these join equal frames
        assert times(film.save(tmp_path / f"a{suffix}")) == [40, 40, 48 * 40]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_same_film_same_bytes(suffix: str, tmp_path: Path) -> None:
    frames = moving(t=5, n=2)
    first = Film(frames, told=TOLD).save(tmp_path / "one" / f"a{suffix}").read_bytes()
    second = Film(frames.clone(), told=TOLD).save(tmp_path / "two" / f"another{suffix.upper()}").read_bytes()
    assert first == second
    assert b"another" not in first and str(tmp_path).encode() not in first
    assert Film(frames, told="else").save(tmp_path / f"c{suffix}").read_bytes() != first


@pytest.mark.parametrize(
    ("n", "columns", "h", "w", "size"),
    [
        (1, None, 32, 32, (288, 288)),  # (32 + 2 + 2) * 8
        (1, None, 8, 8, (96, 96)),  # at most 8 times
        (1, None, 252, 100, (104, 256)),
        (1, None, 255, 255, (259, 259)),
        (5, None, 28, 28, (276, 186)),  # 3 columns, 2 rows
        (5, 5, 28, 28, (304, 64)),
    ],
)
def test_size(n: int, columns: int | None, h: int, w: int, size: tuple[int, int], tmp_path: Path) -> None:
    film = Film(torch.zeros(2, n, 1, h, w), columns)
    assert film.size == film.picture(0).size == size
    with Image.open(film.save(tmp_path / "a.webp")) as image:
        assert image.size == size


def test_odd_sizes_are_made_even_with_white(tmp_path: Path) -> None:
    film = Film(moving(t=2, side=255))
    (first, _) = seen(film.save(tmp_path / "a.mp4"))
    assert first.shape == (260, 260, 3) and first[:, -1].min() > 240 and first[-1].min() > 240
    plain = np.asarray(film.picture(0))
    assert np.abs(first[:-1, :-1].astype(int) - plain).mean() < 2


@pytest.mark.parametrize("suffix", MOVING)
@pytest.mark.parametrize("c", [1, 2, 3, 4])
def test_channels(suffix: str, c: int, tmp_path: Path) -> None:
    frames = moving(t=3, c=c)
    pictures = seen(Film(frames).save(tmp_path / f"a{suffix}"))
    shown = to_uint8(frames[1])[0][:, :, [0, 0, 0] if c < 3 else [0, 1, 2]]
    error = np.abs(cell(pictures[1], 0, 0, 32, 8).astype(int) - shown)
    assert error.mean() < 2 and error.max() <= (255 if suffix == ".mp4" else 0)


def test_many_colours_in_a_gif(tmp_path: Path) -> None:
    clouds = torch.nn.functional.interpolate(torch.randn(1, 3, 6, 6), size=(64, 64), mode="bilinear").tanh()
    (picture,) = seen(Film(clouds[None]).save(tmp_path / "a.gif"))
    error = np.abs(cell(picture, 0, 0, 64, 4).astype(int) - to_uint8(clouds)[0])
    assert error.mean() < 6.5 and error.max() < 45  # 4096 colours in 256


def test_values_outside_are_clipped(tmp_path: Path) -> None:
    frames = moving(t=3) * 100
    inside, outside = Film(frames.clamp(-1, 1)), Film(frames)
    assert inside.save(tmp_path / "a.webp").read_bytes() == outside.save(tmp_path / "b.webp").read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_single_frame(suffix: str, tmp_path: Path) -> None:
    film = Film(moving(t=1, n=4), told=TOLD)
    path = film.save(tmp_path / f"a{suffix}")
    (picture,) = seen(path)
    scale = 3 if suffix == ".png" else 4
    assert picture.shape[:2] == (70 * scale, 70 * scale) and read_told(path) == TOLD
    assert np.abs(cell(picture, 1, 0, 32, scale).astype(int) - to_uint8(film.frames[0])[2]).mean() < 2


# ---------------------------------------------------------------- contact sheets


def numbered(t: int, n: int) -> Tensor:
    """Frames of flat images: red tells the frame, green the image."""
    frames = torch.zeros(t, n, 3, 4, 4)
    frames[:, :, 0] = (torch.arange(t) / 127.5 - 1)[:, None, None, None]
    frames[:, :, 1] = (torch.arange(n) / 127.5 - 1)[:, None, None]
    return frames


def contact(t: int, n: int, rows: int, columns: int, folder: Path) -> np.ndarray:
    """Red and green of each cell (rows, columns, 2)."""
    (picture,) = seen(Film(numbered(t, n)).save(folder / "a.png"))
    assert picture.shape[:2] == (3 * (GAP + rows * (4 + GAP)), 3 * (GAP + columns * (4 + GAP)))
    return np.array([[cell(picture, i, j, 4, 3)[0, 0, :2] for j in range(columns)] for i in range(rows)])


def test_contact_sheet_of_one_image(tmp_path: Path) -> None:
    assert contact(9, 1, 3, 3, tmp_path)[:, :, 0].ravel().tolist() == list(range(9))
    chosen = contact(200, 1, 8, 8, tmp_path)[:, :, 0].ravel().astype(int)
    assert (chosen[0], chosen[-1], len(set(chosen))) == (0, 199, 64)
    assert {int(b - a) for a, b in pairwise(chosen)} == {3, 4}


def test_contact_sheet_of_several_images(tmp_path: Path) -> None:
    few = contact(5, 2, 2, 5, tmp_path)
    assert few[:, :, 0].tolist() == [[0, 1, 2, 3, 4]] * 2 and few[:, :, 1].tolist() == [[0] * 5, [1] * 5]
    many = contact(111, 3, 3, 12, tmp_path)
    assert many[2, :, 0].tolist() == list(range(0, 111, 10)) and many[:, 4, 1].tolist() == [0, 1, 2]


# ---------------------------------------------------------------- how they are written


@pytest.mark.parametrize("suffix", MOVING)
def test_frames_are_drawn_one_at_a_time(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[weakref.ref[Image.Image]] = []
    most, grid = 0, module.grid

    def counted(*args: object) -> Image.Image:
        nonlocal most
        picture = grid(*args)
        drawn.append(weakref.ref(picture))
        most = max(most, sum(reference() is not None for reference in drawn))
        return picture

    monkeypatch.setattr(module, "grid", counted)
    Film(moving(t=12)).save(tmp_path / f"a{suffix}")
    assert 1 <= most <= 3 and len(drawn) >= 12


@pytest.mark.parametrize("suffix", MOVING)
def test_a_film_is_whole_or_absent(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Film(moving(t=2)).save(tmp_path / f"a{suffix}")
    old, grid, drawn = path.read_bytes(), module.grid, 0

    def failing(*args: object) -> Image.Image:
        nonlocal drawn
        drawn += 1
        if drawn == 4:
            raise KeyboardInterrupt
        return grid(*args)

    monkeypatch.setattr(module, "grid", failing)
    with pytest.raises(KeyboardInterrupt):
        Film(moving(t=6)).save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and path.read_bytes() == old


def test_browsers_can_play_it_while_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Film(moving()).save("walk:1.mp4")  # no protocol, a name
    data = path.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")
    assert b" threads=1 " in data and b"Lavf" not in data  # the encoder's settings; no version of the muxer
    with av.open(str(path.absolute())) as file:
        coded = file.streams.video[0].codec_context
        assert (coded.name, coded.pix_fmt, coded.profile) == ("h264", "yuv420p", "High")
        assert (coded.colorspace, coded.color_range) == (1, 1)  # BT.709, 16 to 235


def test_pictures_go_round_for_ever(tmp_path: Path) -> None:
    for suffix in (".gif", ".webp"):
        with Image.open(Film(moving()).save(tmp_path / f"a{suffix}")) as image:
            assert image.info["loop"] == 0


def test_a_notebook_shows_it() -> None:
    film = Film(moving(t=4), told=TOLD)
    shown = film._repr_mimebundle_()
    assert shown["text/plain"] == "<Film (4, 1, 3, 32, 32), 25 frames a second>" == repr(film)
    data = re.fullmatch(r'<img src="data:image/webp;base64,([\w+/=]+)">', shown["text/html"])
    assert data is not None and shown.keys() == {"text/html", "text/plain"}
    with Image.open(io.BytesIO(b64decode(data[1]))) as image:
        assert (image.n_frames, image.size) == (4, (288, 288))
    still = Film(moving(t=1))._repr_mimebundle_()
    with Image.open(io.BytesIO(b64decode(still["image/png"]))) as image:
        assert image.size == (288, 288)
    assert film._repr_mimebundle_(include=["text/plain"]).keys() == {"text/plain"}
    assert film._repr_mimebundle_(exclude=["text/plain"]).keys() == {"text/html"}


# ---------------------------------------------------------------- commands in files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_told(suffix: str, tmp_path: Path) -> None:
    def through(told: str) -> str | None:
        return read_told(Film(moving(t=2, side=8), told=told).save(tmp_path / f"a{suffix}"))

    assert through("") is None and through("\n") is None
    assert through("gansmith --seed 3") == "gansmith --seed 3"
    assert through("x" * 2000 + " 日本 é") == "x" * 2000 + " 日本 é"
    assert through("a\0b\x1b[2J\udcff\nc") == "a b [2J  c"  # neither lost nor let loose on a terminal


def test_software_is_named(tmp_path: Path) -> None:
    with Image.open(Film(moving(t=2)).save(tmp_path / "a.png")) as image:
        assert image.info == {"Software": "gansmith"}
    with Image.open(Film(moving(t=2)).save(tmp_path / "a.webp")) as image:
        assert dict(image.getexif()) == {0x0131: "gansmith"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_damaged_files_are_sentences(suffix: str, tmp_path: Path) -> None:
    path = Film(moving(t=2, side=8), told=TOLD).save(tmp_path / f"walk{suffix}")
    data, refused = path.read_bytes(), 0
    generator = np.random.default_rng(0)
    for k in range(60):
        at = int(generator.integers(len(data))) if k % 3 else k
        noise = generator.bytes(8)
        path.write_bytes(data[:at] if k % 2 else data[:at] + noise + data[at + 8 :])
        try:
            assert isinstance(read_told(path), str | None)
        except GansmithError as e:
            refused += 1
            damaged, huge = f"is damaged, or not a {suffix} file.", "says that it has more pixels than is safe to open."
            assert str(e) in (f"{path} {damaged}", f"{path} {huge}")
    assert refused > 5


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    def said(name: str) -> str:
        with pytest.raises(GansmithError) as e:
            read_told(tmp_path / name)
        return str(e.value).removeprefix(f"{tmp_path}{os.sep}")

    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "empty.mp4").touch()
    gif = Film(moving(t=2)).save(tmp_path / "huge.gif")
    gif.write_bytes(gif.read_bytes()[:6] + b"\xff" * 4 + gif.read_bytes()[10:])  # width and height
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1\n/etc/hostname\n")
    for name in ("really.png", "really.mp4"):
        Film(moving(t=2)).save(tmp_path / "a.gif").rename(tmp_path / name)
    assert said("a.avi") == "a.avi: commands are read from .mp4, .gif, .webp or .png."
    assert said("none.webp") == "none.webp cannot be read: no such file or directory."
    assert said("folder.gif") == "folder.gif cannot be read: is a directory."
    assert said("huge.gif") == "huge.gif says that it has more pixels than is safe to open."
    assert said("empty.mp4") == "empty.mp4 is damaged, or not a .mp4 file."
    assert said("list.mp4") == "list.mp4 is damaged, or not a .mp4 file."
    assert said("really.mp4") == "really.mp4 is damaged, or not a .mp4 file."
    assert said("really.png") == "really.png is damaged, or not a .png file."


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (torch.zeros(3, 1, 8, 8), "not (3, 1, 8, 8) of float32"),
        (torch.zeros(0, 1, 3, 8, 8), "at least one of each, not (0, 1, 3, 8, 8)"),
        (torch.zeros(2, 0, 3, 8, 8), "at least one of each, not (2, 0, 3, 8, 8)"),
        (
            torch.zeros(2, 1, 3, 8, 8, dtype=torch.uint8),
            "floats in [-1, 1], at least one of each, not (2, 1, 3, 8, 8) of",
        ),
        (
            torch.tensor([0.0, torch.nan]).view(2, 1, 1, 1, 1),
            "Frame 1 of the film has values that are not numbers (NaN).",
        ),
    ],
)
def test_frames_that_are_refused(frames: Tensor, words: str) -> None:
    with pytest.raises(GansmithError, match=re.escape(words)):
        Film(frames)


@pytest.mark.parametrize("fps", [0, 0.09, 60.1, -1, float("nan"), float("inf")])
def test_speeds_that_are_refused(fps: float) -> None:
    with pytest.raises(GansmithError, match=rf"A film of {fps} frames a second: give 0.1 to 60\."):
        Film(moving(), fps=fps)


def test_columns_that_are_refused() -> None:
    with pytest.raises(GansmithError, match=r"A film of 0 columns: give at least 1\."):
        Film(moving(), columns=0)


@pytest.mark.parametrize("call", [lambda path: check_path(path, SUFFIXES), lambda path: Film(moving(t=2)).save(path)])
def test_places_that_are_refused(call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(name: str) -> str:
        with pytest.raises(GansmithError) as e:
            call(name)
        return str(e.value)

    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.gif").mkdir()
    (tmp_path / "file").touch()
    assert said("walk") == "walk: no format; give .mp4, .gif, .webp or .png."
    assert said("walk.avi") == "walk.avi: .avi is not a format for this; give .mp4, .gif, .webp or .png."
    assert said("folder.gif") == "folder.gif is a folder: give the name of a file."
    assert said("file/a.png") == "file/a.png cannot be made, a file of that name is in the way: choose another --out."
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder.gif"]


def test_a_place_without_permission_is_refused() -> None:
    folder = Path(tempfile.mkdtemp(prefix="gansmith-test-"))  # others may not enter pytest's own
    folder.chmod(0o555)
    user, path = os.geteuid(), folder / "deep" / "a.png"
    if user == 0:
        os.seteuid(65534)
    try:
        with pytest.raises(GansmithError, match=re.escape(f"{path} cannot be written (permission denied)")):
            check_path(path, SUFFIXES)
    finally:
        os.seteuid(user)
        folder.chmod(0o700)
        folder.rmdir()


def test_check_makes_nothing(tmp_path: Path) -> None:
    assert check_path(str(tmp_path / "new" / "a.MP4"), SUFFIXES) == tmp_path / "new" / "a.MP4"
    assert list(tmp_path.iterdir()) == []


def test_without_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Film(moving(t=2)).save(tmp_path / "a.mp4")
    monkeypatch.setattr(av, "codecs_available", {"h264"})
    with pytest.raises(GansmithError, match=r"cannot write H\.264: take the one of PyPI, or choose \.gif"):
        check_path(path, SUFFIXES)
    monkeypatch.setitem(sys.modules, "av", None)
    words = f'{path}: .mp4 needs PyAV: pip install "gansmith[video]"'
    with pytest.raises(GansmithError, match=re.escape(f"{words}, or choose .gif, .webp or .png.")):
        check_path(path, SUFFIXES)
    with pytest.raises(GansmithError, match=re.escape(f"{words}.")):
        read_told(path)
    assert read_told(Film(moving(t=2), told="x").save(tmp_path / "a.gif")) == "x"


def test_films_that_a_format_cannot_hold(tmp_path: Path) -> None:
    wide = Film(torch.zeros(1, 1, 1, 2, 16_384))
    for suffix, most in ((".mp4", 16_384), (".webp", 16_383)):
        words = f"a{suffix}: 16388 x 6 pixels, and a side of {suffix} has at most {most}: show fewer images"
        with pytest.raises(GansmithError, match=words):
            wide.save(tmp_path / f"a{suffix}")
    with pytest.raises(GansmithError, match=r"a\.gif: 660 s, and a \.gif keeps time for 655 s: choose \.mp4 or \.webp"):
        Film(torch.zeros(66, 1, 1, 2, 2), fps=0.1).save(tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
