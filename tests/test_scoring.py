"""Evaluate, compare and report from the command line and from Python, on small runs and folders of images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.cli import main
from gansmith.errors import GansmithError

pytestmark = pytest.mark.timeout(60)  # the first test waits for a training and for everything that is imported

RUN = "runs/00000-gan-photos"
PIXELS = ["--extractor", "pixels"]


def photos(
    folder: Path, count: int = 80, size: int = 16, seed: int = 0, mode: str = "RGB", invert: bool = False
) -> Path:
    """Images of two kinds, dark above or dark below, in two folders."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        pixels = rng.integers(0, 120, (size, size, 3), np.uint8)
        pixels[: size // 2 if i % 2 else None : 1, :] //= 2
        pixels[size // 2 :] += np.uint8(100 * (i % 2))
        pixels = 255 - pixels if invert else pixels
        place = folder / f"kind{i % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).convert(mode).save(place / f"{i:03d}.png")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with photos and an evaluated run; the working directory while this module's tests run."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(folder)
        photos(folder / "photos")
        small = ["--batch", "4", "--width", "16", "--z-dim", "4", "--tick", "200", "--samples", "400"]
        assert main(["train", "gan", "--data", "photos", "--labels", "--quiet", *small]) == 0
        assert main(["evaluate", RUN, *PIXELS, "--quiet"]) == 0
        yield folder


def scores(path: Path) -> dict[str, dict[str, Any]]:
    return {s["name"]: s for s in json.loads((path / "evaluation.json").read_text())["scores"]}


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one sentence of a command that is refused."""
    capsys.readouterr()
    assert main(list(words)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err + out
    return err


def test_an_evaluation_leaves_scores_pictures_and_a_report(home: Path) -> None:
    found = json.loads((home / RUN / "evaluation.json").read_text())
    assert found["subject"]["recipe"] == "gan" and found["subject"]["seen"] == 400
    assert found["data"]["held_out_count"] > 0 and found["versions"]["gansmith"] == gansmith.__version__
    assert {"FD(pixels)", "KID", "precision", "recall", "copied", "support"} <= scores(home / RUN).keys()
    assert found["classes"] is None and found["command"] == f"gansmith evaluate {RUN} --extractor pixels"
    assert [a["question"] for a in found["verdict"]["answers"]] == ["realistic", "diverse", "new", "sure"]
    page = (home / RUN / "report.html").read_text()
    assert found["verdict"]["summary"].split(".")[0] in page and "http://" not in page


def test_the_verdict_is_printed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", RUN, "--out", "again", *PIXELS]) == 0
    out = capsys.readouterr().out
    for words in ("Are the samples realistic?", "Are they new?", "again/report.html"):
        assert words in out
    first, second = scores(home / RUN), scores(home / "again")
    assert {k: v["value"] for k, v in first.items()} == {k: v["value"] for k, v in second.items()}


def test_labelled_data_have_a_judge(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", RUN, "--out", "judged"]) == 0
    out = capsys.readouterr().out
    assert "extractor = judge (automatic" in out and "judge: right on" in out
    found = json.loads((home / "judged" / "evaluation.json").read_text())
    assert found["classes"]["names"] == ["kind0", "kind1"] and abs(sum(found["classes"]["fake"]) - 1) < 1e-6
    assert {"FD(judge)", "IS(judge)", "class distance"} <= scores(home / "judged").keys()


def test_a_half_trained_checkpoint_is_compared_with_the_last(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", RUN, "--checkpoint", "200", "--out", "early", "--quiet", *PIXELS]) == 0
    assert main(["compare", "early", RUN]) == 0
    out = capsys.readouterr().out
    assert "FD(pixels)" in out and "noise" in out


def test_unlike_protocols_are_not_compared(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", RUN, "--out", "fewer", "-n", "25", "--quiet", *PIXELS]) == 0
    assert "n_fake" in refused(capsys, "compare", "fewer", RUN)
    assert "run gansmith evaluate" in refused(capsys, "compare", "photos", RUN)


def test_the_report_is_drawn_again(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = home / RUN / "report.html"
    before = page.read_text()
    page.unlink()
    assert main(["report", RUN]) == 0
    assert page.read_text() == before
    assert "evaluate" in refused(capsys, "report", "photos")


# ---------------------------------------------------------------- folders of samples


def test_a_folder_is_scored_against_data(home: Path) -> None:
    photos(home / "alike", seed=5)
    photos(home / "bright", seed=5, invert=True)
    values = {}
    for name in ("alike", "bright"):
        words = ["--samples", name, "--against", "photos", "--extractor", "pixels", "--quiet"]
        assert main(["evaluate", *words]) == 0
        values[name] = scores(home / f"evaluation-{name}")["FD(pixels)"]["value"]
    assert values["bright"] > 2 * values["alike"]
    copies = shutil.copytree(home / "photos", home / "copies")
    gansmith.evaluate(samples=copies, against="photos", extractor="pixels", out="copied", quiet=True)
    assert scores(home / "copied")["copied"]["value"] > 0.8


def test_arrays_are_samples_too(home: Path) -> None:
    assert main(["sample", RUN, "-n", "40", "--out", "fakes.npz"]) == 0
    assert main(["evaluate", "--samples", "fakes.npz", "--against", "photos", "--extractor", "pixels", "--quiet"]) == 0
    assert scores(home / "evaluation-fakes")["FD(pixels)"]["protocol"]["n_fake"] == 40


def test_samples_that_do_not_fit_are_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def against_photos(name: str, *more: str) -> str:
        return refused(capsys, "evaluate", "--samples", name, "--against", "photos", *more)

    photos(home / "large", size=32, count=30)
    assert "32 x 32 to 32 x 32 px, the data 16 x 16 px" in against_photos("large")
    mixed = photos(home / "mixed", count=30)
    Image.new("RGB", (20, 24)).save(mixed / "other.png")
    assert "16 x 16 to 20 x 24" in against_photos("mixed")
    photos(home / "grey", mode="L", count=30)
    assert "are grey, the data in colour" in against_photos("grey")
    alone = home / "alone"
    alone.mkdir()
    Image.new("RGB", (16, 16), "red").save(alone / "one.png")
    assert "one image" in against_photos("alone")
    broken = photos(home / "broken", count=30)
    (broken / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    assert "bad.png" in against_photos("broken")
    nan = np.zeros((30, 3, 16, 16), np.float32)
    nan[3, 0, 0, 0] = np.nan
    np.savez(home / "nan.npz", samples=nan)
    assert "Image 3" in against_photos("nan.npz")
    assert not list(home.glob("evaluation-mixed/evaluation.json"))


def test_sizes_are_brought_together_when_asked(home: Path) -> None:
    photos(home / "big", size=32, count=60)
    words = ["--samples", "big", "--against", "photos", "--resolution", "16", "--extractor", "pixels", "--quiet"]
    assert main(["evaluate", *words]) == 0


def test_commands_that_lack_something_say_what(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "needs a run directory" in refused(capsys, "evaluate")
    assert "--against DATA" in refused(capsys, "evaluate", "--samples", "photos")
    assert "holds no run" in refused(capsys, "evaluate", "photos")
    assert "one of the two" in refused(capsys, "evaluate", RUN, "--samples", "photos", "--against", "photos")
    assert "no extractor" in refused(capsys, "evaluate", RUN, "--extractor", "jugde")
    assert "pt_inception-2015-12-05-6726825d.pth" in refused(capsys, "evaluate", RUN, "--extractor", "inception_2015")
    assert "at least 20" in refused(capsys, "evaluate", RUN, "-n", "3", *PIXELS)


def test_changed_data_are_refused_unless_named(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = shutil.copytree(home / RUN, tmp_path / "run")
    text = (run / "run.yaml").read_text()
    (run / "run.yaml").write_text(text.replace(str(home / "photos"), str(photos(tmp_path / "other", seed=3))))
    assert "are not those" in refused(capsys, "evaluate", str(run))
    assert main(["evaluate", str(run), "--against", "photos", "--quiet", *PIXELS]) == 0


def test_a_wrong_checksum_is_refused(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fake = home / "pt_inception-2015-12-05-6726825d.pth"
    fake.write_bytes(b"not the weights")
    text = refused(capsys, "evaluate", RUN, "--extractor", "inception_2015", "--weights", str(fake))
    assert "6726825d" in text and fake.name in text


# ---------------------------------------------------------------- while it trains


def test_a_training_is_scored_and_keeps_its_best(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--batch", "4", "--width", "16", "--z-dim", "4", "--samples", "240", "--out", "scored"]
    often = ["--evaluate-every", "80", "--evaluate-samples", "40", "--extractor", "pixels"]
    assert main(["train", "gan", "--data", "photos", *small, *often]) == 0
    out = capsys.readouterr().out
    assert "FD(pixels) of 40 samples, every 80" in out
    rows = [json.loads(line) for line in (home / "scored" / "metrics.jsonl").read_text().splitlines()]
    marks = [r for r in rows if "score/score" in r]
    assert [r["seen"] for r in marks] == [0, 80, 160, 240]
    best = min(marks, key=lambda r: r["score/score"])
    assert gansmith.info("scored")["best"] == f"{best['seen']:09d}"
    assert all(r["score/FD(pixels)/low"] <= r["score/score"] <= r["score/FD(pixels)/high"] for r in marks)


def test_scores_are_refused_where_nothing_heeds_them(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = refused(capsys, "train", "gan", "--data", "photos", "--score", "kid")
    assert "--score" in text and "--evaluate-every" in text


def test_an_array_run_needs_its_data_again(home: Path, tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 16, 16, 3), np.uint8)
    run = gansmith.train("gan", x, out=tmp_path / "run", samples=40, batch=4, width=8, quiet=True)
    with pytest.raises(GansmithError, match="against"):
        gansmith.evaluate(run.path, quiet=True)
    found = gansmith.evaluate(run.path, against=x, extractor="pixels", quiet=True)
    assert found["data"]["count"] + found["data"]["held_out_count"] == 60
