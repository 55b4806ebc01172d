"""Letters drawn from fonts: centred, of one size, and labelled by letter or font; fonts of the user's own."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import gansmith
from gansmith.data import check_data, letters, open_data
from gansmith.errors import GansmithError


def bundled() -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path()) / "fonts" / "ttf"


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """Four fonts in two folders, one of signs without letters of their own, and files that are no fonts."""
    folder = tmp_path / "fonts"
    for i, name in enumerate(("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmtt10")):
        (folder / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        shutil.copy(bundled() / f"{name}.ttf", folder / "ab"[i % 2])
    shutil.copy(bundled() / "STIXSizFiveSymReg.ttf", folder)  # brackets and integrals
    (folder / "broken.ttf").write_bytes(b"no font")
    (folder / "empty.otf").touch()
    (folder / ".hidden.ttf").write_bytes(b"no font")
    (folder / "readme.txt").write_text("hello")
    return folder


NAMES = ("a/DejaVuSans", "a/STIXGeneral", "b/cmtt10", "b/DejaVuSerif")


def test_letters_of_ones_own_fonts(fonts: Path) -> None:
    data = open_data(f"letters:{fonts}", progress=False)
    assert data.spec.shape == (1, 32, 32) and data.spec.classes == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert data.report.usable == 4 * 26 and set(data.report.labels.values()) == {4}
    by_font = open_data(f"letters:{fonts}", labels="font", progress=False)
    assert by_font.report.labels == dict.fromkeys(NAMES, 26)
    assert by_font.fingerprint != data.fingerprint


def test_another_font_is_another_set(fonts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gansmith.data.prepare.newest_change", lambda files: 0.0)  # the cache trusts the files' state
    before = open_data(f"letters:{fonts}", progress=False)
    assert open_data(f"letters:{fonts}", progress=False).fingerprint == before.fingerprint
    shutil.copy(bundled() / "DejaVuSansMono.ttf", fonts)
    assert open_data(f"letters:{fonts}", progress=False).report.usable == 5 * 26


def test_every_letter_is_centred_and_as_large() -> None:
    pictures = letters.draw((bundled() / "DejaVuSans.ttf").read_bytes())
    assert pictures is not None and len(pictures) == 26
    for picture in pictures:
        assert picture.shape == (32, 32, 1) and picture.dtype == np.uint8
        rows, columns = np.flatnonzero(picture.any(1)), np.flatnonzero(picture.any(0))
        height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
        assert 25 <= max(height, width) <= 26  # white on black, the longer side fills the inner square
        assert abs(rows[0] + rows[-1] - 31) <= 2 and abs(columns[0] + columns[-1] - 31) <= 2


def test_the_pictures_show_the_letters() -> None:
    pictures = letters.draw((bundled() / "DejaVuSans.ttf").read_bytes())
    assert pictures is not None
    a, h, i, o = (pictures["ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(x)][..., 0] > 127 for x in "AHIO")
    assert not a[3:6, :10].any() and a[24:28, :10].any()  # narrow above, wide below
    assert (h == h[:, ::-1]).mean() > 0.95 and (h == h[::-1]).mean() > 0.9  # the same in a mirror
    assert i[:, :10].sum() == 0 and i[16].any() and not o[16, 14:18].any()  # a bar; a hole


@pytest.mark.parametrize("data", [b"", b"no font", b"\x00\x01\x00\x00" + bytes(200)])
def test_what_is_no_font(data: bytes) -> None:
    assert letters.draw(data) is None


def test_a_font_of_signs_is_left_out() -> None:
    assert letters.draw((bundled() / "STIXSizFiveSymReg.ttf").read_bytes()) is None


def test_a_damaged_font_draws_nothing_or_letters() -> None:
    whole = (bundled() / "cmtt10.ttf").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(30):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 50):
            data[place] = rng.integers(256)
        pictures = letters.draw(bytes(data))
        assert pictures is None or all(p.shape == (32, 32, 1) for p in pictures)


def test_a_run_on_fonts_goes_on_from_another_folder(
    fonts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {"labels": "font", "resolution": 8, "batch": 4, "width": 8, "z_dim": 4, "tick": 40, "device": "cpu"}
    gansmith.train("gan", data="letters:fonts", samples=40, out="run", quiet=True, **options)
    monkeypatch.chdir("/")
    run = gansmith.resume(tmp_path / "run", samples=80, quiet=True)
    assert run.seen == 80 and run.info()["data"]["source"] == f"letters:{fonts}"
    assert run.load().spec.classes == NAMES


@pytest.mark.parametrize(
    ("source", "label", "message"),
    [
        ("letters:", None, 'There is no folder "": give one with fonts, as letters:FOLDER'),
        ("letters:/no/where", None, 'There is no folder "/no/where"'),
        ("letters:{}/empty", None, 'empty" holds no fonts: they end in .ttf .otf .ttc'),
        ("letters:{}/bad", None, 'None of the 1 fonts in ".*bad" has the letters A to Z'),
        ("letters:{}", "fnt", 'letters has the labels letter and font, not "fnt". Did you mean "font"'),
    ],
)
def test_mistakes(source: str, label: str | None, message: str, fonts: Path) -> None:
    (fonts / "empty").mkdir()
    (fonts / "bad").mkdir()
    (fonts / "bad/x.ttf").write_bytes(b"no font")
    for function in (open_data, check_data):
        with pytest.raises(GansmithError, match=message):
            function(source.format(fonts), labels=label, progress=False)
