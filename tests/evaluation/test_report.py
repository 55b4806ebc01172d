"""The report, from evaluations whose pictures are drawn here."""

from __future__ import annotations

import base64
import io
import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made import history
from PIL import Image

from gansmith.doctor import diagnose
from gansmith.errors import GansmithError
from gansmith.evaluation import plots
from gansmith.evaluation.report import SECTIONS, percent, read_evaluation, write_report
from gansmith.evaluation.score import Protocol, Score
from gansmith.evaluation.verdict import verdict

VOID = {"meta", "img", "br", "hr", "input", "link", "line", "path", "rect", "circle"}
HOSTILE = "<script>alert('x')</script>\"onload=\"x' & $\\frac$ 数"
PROTOCOL = Protocol(5000, 4483, "judge 1 3f2a90cc", "none", "train", 0, "1b59f0b93441989d", {"k": 5})


def drawn(n: int, seed: int, size: int = 28, channels: int = 1) -> np.ndarray:
    """Pictures (n, size, size, channels) uint8 of a bright disc each, at a random place."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0.25, 0.75, (2, n)) * size
    radius = rng.uniform(0.1, 0.25, n) * size
    grid = np.arange(size)
    distance = np.hypot(grid[None, :, None] - y[:, None, None], grid[None, None, :] - x[:, None, None])
    light = np.clip((radius[:, None, None] - distance) / 2 + 0.5, 0, 1)[..., None]
    tint = rng.uniform(0.4, 1, (n, 1, 1, channels))
    return np.round(255 * light * tint).astype(np.uint8)


def scores() -> list[Score]:
    """Scores of a middling GAN."""

    def made(
        name: str, value: float, half: float | None, better: str, ideal: float | None, real: float | None
    ) -> Score:
        ends = (None, None) if half is None else (value - half, value + half)
        return Score(name, value, *ends, better, ideal, PROTOCOL, "jackknife over samples", real)  # type: ignore[arg-type]

    return [
        made("FD(judge)", 21.4, 0.9, "lower", 0.0, 4.1),
        made("FD(judge) infinity", 19.8, 1.6, "lower", 0.0, 0.9),
        made("KID", 0.0123, 0.0011, "lower", 0.0, 0.0002),
        made("precision", 0.71, 0.013, "higher", 1.0, 0.78),
        made("recall", 0.44, 0.02, "higher", 1.0, 0.76),
        made("coverage", 0.81, 0.011, "higher", 1.0, 0.95),
        made("1-NN accuracy", 0.78, 0.01, "target", 0.5, 0.51),
        made("IS(judge)", 7.9, 0.2, "higher", None, 9.1),
        replace(made("SWD", 14.0, None, "lower", 0.0, 5.0), warnings=("This score has no interval.",)),
        made("C_T", -0.8, None, "target", 0.0, None),
        made("copied", 0.012, 0.004, "lower", 0.0, 0.008),
    ]


def evaluation(**changes: Any) -> dict[str, Any]:
    """A whole evaluation of a run on images, with some parts changed."""
    names = [str(i) for i in range(10)]
    fake = np.array([0.12, 0.11, 0.08, 0.13, 0.10, 0.09, 0.11, 0.14, 0.005, 0.115])
    nearest = [{"sample": 7 * i, "neighbours": [1, 2, 3], "distances": [3.1, 3.4 + i, 3.9 + i]} for i in range(8)]
    found: dict[str, Any] = {
        "format": 1,
        "date": "2026-11-22T10:00:00",
        "machine": "Xeon, 2 threads",
        "versions": {"gansmith": "0.1.0", "torch": "2.13.0"},
        "subject": {
            **{"kind": "run", "path": "runs/00012-r3gan-digits", "recipe": "r3gan", "checkpoint": "000500"},
            **{"seen": 500_000, "fingerprint": "77aa"},
        },
        "data": {
            **{"name": "digits", "fingerprint": "1b59f0b9", "count": 4483, "held_out_count": 517},
            **{"shape": [1, 28, 28], "kind": "image", "classes": names},
        },
        "scores": [score.to_json() for score in scores()],
        "classes": {
            **{"names": names, "real": [0.1] * 10, "fake": fake.tolist()},
            **{"low": (fake * 0.9).tolist(), "high": (fake * 1.1).tolist()},
        },
        "novelty": {
            **{"copied_share": 0.012, "low": 0.008, "high": 0.016, "nearest": nearest},
            "pairs": [{"a": i, "b": i + 9, "distance": 1.0 + i} for i in range(6)],
            "support": {
                **{"value": 61_000.0, "low": 32_000.0, "high": 140_000.0, "at_least": False},
                **{"duplicates": 203, "pairs": 12_497_500},
            },
        },
        "notes": ["Features were kept."],
        "seconds": 48.2,
    }
    found["verdict"] = verdict(found)
    return found | changes


def arrays(size: int = 28, channels: int = 1) -> dict[str, np.ndarray]:
    """All pictures of an evaluation.npz."""
    neighbours = drawn(32, 2, size, channels).reshape(8, 4, size, size, channels)
    rng = np.random.default_rng(3)
    return {
        "samples": drawn(64, 0, size, channels),
        "real": drawn(64, 1, size, channels),
        "neighbours": neighbours,
        "neighbours_features": neighbours[:, ::-1],
        "pairs": drawn(12, 4, size, channels).reshape(6, 2, size, size, channels),
        "projection_real": rng.normal(size=(2000, 2)).astype(np.float32),
        "projection_fake": (0.7 * rng.normal(size=(2000, 2)) + 0.3).astype(np.float32),
    }


def training() -> list[dict[str, Any]]:
    """Records of a run that was evaluated now and then."""
    rng, records = np.random.default_rng(5), []
    for i in range(60):
        noise = rng.normal(size=4)
        record = {"seen": 8000 * i, "round": 250 * i, "D/adv": 1.3 + 0.03 * noise[0], "G/adv": 0.9 + 0.05 * noise[1]}
        record |= {"D/r1": 0.01 * abs(noise[2]) + 0.001 * i, "D/grad_norm_D": 1.4 + 0.1 * noise[3]}
        if i % 10 == 9:
            fd = 300 / i + 5
            record |= {"score/FD(judge)": fd, "score/FD(judge)/low": 0.9 * fd, "score/FD(judge)/high": 1.1 * fd}
        records.append(record)
    return records


def fill(
    folder: Path,
    found: dict[str, Any] | None = None,
    pictures: dict[str, np.ndarray] | None = None,
    records: list[dict[str, Any]] | None = None,
) -> Path:
    """Write a folder as `gansmith evaluate` leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "evaluation.json").write_text(json.dumps(evaluation() if found is None else found))
    if pictures != {}:
        np.savez_compressed(folder / "evaluation.npz", **(arrays() if pictures is None else pictures))
    lines = training() if records is None else records
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in lines))
    return folder


class Page(HTMLParser):
    """Tags, attributes and text of a page; complains about tags that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} is given twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]

    @property
    def sections(self) -> list[str | None]:
        return [attrs["id"] for attrs in self.all("section")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(fill(tmp_path_factory.mktemp("run")))


def test_all_sections_are_there_in_order(whole: Path) -> None:
    page = Page(whole)
    assert page.sections == ["verdict", *(name for name in SECTIONS if name not in ("points", "doctor"))]
    links = [a["href"] for a in page.all("a")]
    assert links == [f"#{name}" for name in page.sections[1:]]
    assert page.source.startswith("<!DOCTYPE html>")
    assert page.text.index("The samples are realistic in part.") < page.text.index("Are the samples realistic?")


def test_the_doctor_is_heard(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    found = diagnose(history(auc=1.0, coverage=0.2)).to_json()
    found["findings"][0]["why"] = "<script>alert(1)</script>"
    (folder / "doctor.json").write_text(json.dumps(found))
    page = Page(write_report(folder))
    assert page.sections[1] == "doctor" and found["state"] == "warning" and "warning" in page.text
    for finding in found["findings"]:
        assert finding["title"] in page.text and finding["change"]["words"] in page.text
    assert "<script" not in page.source and "alert(1)" in page.text
    (folder / "doctor.json").write_text(json.dumps(found | {"findings": [{"title": 3}]}))
    with pytest.raises(GansmithError, match=r"doctor\.json .* damaged"):
        write_report(folder)


def test_nothing_is_loaded_and_nothing_can_run(whole: Path) -> None:
    page = Page(whole)
    policy = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & {tag for tag, _ in page.tags}
    for _, attrs in page.tags:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href", "xlink:href", "action", "srcset"):
            assert attrs.get(name) is None or re.match(
                r"data:image/(png|jpeg|svg\+xml);base64,|#\w+$", attrs[name] or ""
            )
    assert "url(" not in page.source and "@import" not in page.source


def test_inlined_plots_load_nothing_either(whole: Path) -> None:
    uris = [a["src"] or "" for a in Page(whole).all("img")]
    plots_ = [base64.b64decode(u.partition(",")[2]).decode() for u in uris if u.startswith("data:image/svg")]
    assert len(plots_) == 6  # a score, the losses of D and G, the gradient norms, two clouds
    for plot in plots_:
        assert "<script" not in plot
        assert all(re.match(r"#|data:image/png;base64,", link) for link in re.findall(r'href="([^"]*)', plot))


def test_pictures_are_those_of_the_arrays(whole: Path) -> None:
    """The first tile of each grid is the first image, pixel by pixel."""
    grids = [a for a in Page(whole).all("img") if "grid" in (a["alt"] or "")]
    assert [a["alt"] for a in grids] == ["A grid of 64 generated samples", "A grid of 64 real samples"]
    for attrs, name in zip(grids, ("samples", "real"), strict=True):
        content = base64.b64decode((attrs["src"] or "").partition(",")[2])
        pixels = np.asarray(Image.open(io.BytesIO(content)))
        assert pixels.shape == (238, 238) == (int(attrs["height"] or 0), int(attrs["width"] or 0))  # 8 * 28 + 7 * 2
        assert (pixels[:28, :28] == arrays()[name][0, :, :, 0]).all()
        assert (pixels[-28:, -28:] == arrays()[name][63, :, :, 0]).all()
        assert attrs["class"] == "crisp"


def test_the_page_is_accessible(whole: Path) -> None:
    page = Page(whole)
    assert page.all("html")[0]["lang"] == "en"
    assert all(a.get("alt") for a in page.all("img"))
    assert len(page.all("caption")) == len(page.all("table")) == 3
    assert len(page.all("h1")) == 1
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h\d", tag)]
    assert all(below - above <= 1 for above, below in itertools.pairwise(levels))
    identities = [a["id"] for _, a in page.tags if "id" in a]
    assert len(identities) == len(set(identities))
    assert any(a.get("name") == "viewport" for a in page.all("meta"))
    assert all(a.get("role") == "img" or a.get("aria-hidden") for a in page.all("svg"))


def test_numbers_are_in_the_page(whole: Path) -> None:
    text = " ".join(Page(whole).text.split())
    assert "21.4 [20.5, 22.3]" in text  # FD(judge)
    assert "nearer 0.5" in text and "SWD: This score has no interval." in text and "note: Features were kept." in text
    assert "come first. Called copies: 1.2 % [0.8 %, 1.6 %] of all" in text
    assert "Among 12,497,500 pairs of samples 203 are near-duplicates" in text
    assert "about 61,000 different samples [32,000, 140,000]" in text
    assert "sample 7, at distances 3.1, 4.4, 4.9" in text
    assert (
        "gansmith evaluate runs/00012-r3gan-digits --checkpoint 000500 --extractor judge -n 5000 --n-real 4483 --seed 0"
        in text
    )
    assert "judge 1 3f2a90cc" in text and "k 5" in text


def test_the_report_is_small_and_the_same_each_time(whole: Path, tmp_path: Path) -> None:
    assert whole.stat().st_size < 1_000_000
    assert write_report(fill(tmp_path)).read_bytes() == whole.read_bytes()


def test_large_photographs_are_shrunk(tmp_path: Path) -> None:
    """Noise is what compresses least."""
    rng = np.random.default_rng(0)
    noise = {name: rng.integers(0, 256, (32, 256, 192, 3), np.uint8) for name in ("samples", "real")}
    page = Page(write_report(fill(tmp_path, pictures=noise, records=[])))
    assert len(page.source) < 3_000_000
    assert "shrunk from 192 × 256 to 96 × 128 pixels; stored as JPEG" in page.text
    assert (page.all("img")[0]["src"] or "").startswith("data:image/jpeg")


@pytest.mark.parametrize(
    ("channels", "words"), [(2, "of 2 channels the first is shown"), (4, "the first three are shown")]
)
def test_unusual_channels_are_shown_and_said(tmp_path: Path, channels: int, words: str) -> None:
    assert words in Page(write_report(fill(tmp_path, pictures=arrays(8, channels), records=[]))).text


def test_what_was_not_measured_has_no_section(tmp_path: Path) -> None:
    bare = evaluation(scores=[], classes=None, novelty=None, notes=[])
    page = Page(write_report(fill(tmp_path, bare, {}, [])))
    assert page.sections == ["verdict", "repeat"]
    assert page.all("img") == []


@pytest.mark.parametrize("name", ["samples", "neighbours", "pairs", "projection_fake"])
def test_an_absent_or_empty_array_leaves_out_its_section_alone(tmp_path: Path, name: str) -> None:
    section = {"neighbours": "nearest", "projection_fake": "projection"}.get(name, name)
    pictures = {key: value for key, value in arrays().items() if not key.startswith(name)}
    absent = Page(write_report(fill(tmp_path / "absent", pictures=pictures, records=[])))
    pictures |= {name: arrays()[name][:0]}
    empty = Page(write_report(fill(tmp_path / "empty", pictures=pictures, records=[])))
    assert absent.sections == empty.sections
    assert set(SECTIONS) - set(absent.sections) == {section, "points", "curves", "doctor"}


def test_optional_fields_may_be_null_or_absent(tmp_path: Path) -> None:
    found = evaluation(command="gansmith evaluate x --seed 3")
    found["subject"] |= {"recipe": None, "checkpoint": None, "seen": None}
    found["novelty"] = {"support": None, "copied_share": None}
    assert "gansmith evaluate x --seed 3" in Page(write_report(fill(tmp_path, found, {}, []))).text
    found["subject"] = {"kind": "folder", "path": "my pictures", "fingerprint": "0"}
    found["data"]["source"] = "/data/digits"
    found["novelty"]["support"] = evaluation()["novelty"]["support"] | {"value": None, "high": None, "at_least": True}
    del found["command"]
    endless = replace(scores()[0], name="support", value=float("inf"), low=32_000.0, high=float("inf"))
    found["scores"].append(endless.to_json())
    page = Page(write_report(fill(tmp_path, found, {"pairs": arrays()["pairs"]}, [])))
    text = " ".join(page.text.split())
    assert "gansmith evaluate --samples 'my pictures' --against /data/digits --extractor judge" in text
    assert '<th scope="row">support</th><td>at least 32,000</td>' in page.source
    assert "this speaks for at least 32,000 different samples" in text


def test_points_are_drawn_as_clouds(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fake = rng.normal(size=(500, 2)).astype(np.float32)
    fake[:3] = np.nan
    found = evaluation(classes=None, data=evaluation()["data"] | {"kind": "points"})
    page = Page(write_report(fill(tmp_path, found, {"samples": fake, "real": fake[3:] * 4})))
    assert "points" in page.sections and "samples" not in page.sections
    assert "3 of them lie outside of the frame" in page.text
    alts = [a["alt"] for a in page.all("img") if "scatter" in (a["alt"] or "")]
    assert alts == [
        "A scatter plot of 497 real samples",
        "A scatter plot of 500 generated samples over the real ones, on the same axes",
    ]


def test_hostile_words_are_shown_not_run(tmp_path: Path) -> None:
    found = evaluation(machine=HOSTILE, command=HOSTILE, versions={HOSTILE: HOSTILE})
    found["subject"] |= {"path": f"runs/{HOSTILE}", "recipe": HOSTILE, "checkpoint": HOSTILE}
    found["data"] |= {"name": HOSTILE, "fingerprint": HOSTILE}
    found["classes"]["names"][3] = HOSTILE
    protocol = replace(PROTOCOL, extractor=HOSTILE, settings={HOSTILE: HOSTILE})
    found["scores"] = [replace(s, name=HOSTILE, warnings=(HOSTILE,), protocol=protocol).to_json() for s in scores()]
    found["verdict"]["answers"][0] |= {"level": HOSTILE, "text": HOSTILE}
    records = [
        {"seen": i, f"score/{HOSTILE}": i, f"{HOSTILE}/{HOSTILE}": i, f"D/{HOSTILE}": -i, "D/_x": i} for i in range(5)
    ]
    page = Page(write_report(fill(tmp_path, found, records=records)))
    assert "<script" not in page.source and HOSTILE in page.text
    assert all(not name.startswith("on") for _, attrs in page.tags for name in attrs)


def test_curves_are_sorted_thinned_and_finite() -> None:
    records: list[dict[str, Any]] = [{"seen": i, "D/adv": float(i)} for i in range(1001)]
    records += [{"seen": 2000, "score/KID": 1.0, "score/KID/low": 0.5}, {"seen": "x", "D/adv": 3.0}]
    records += [{"seen": 2001, "D/adv": float("nan"), "score/KID": None, "G/grad_norm_G": 1.0, "text": "x"}]
    found = plots.curves(records)
    assert list(found) == ["Score KID", "Losses of D", "Gradient norms"]
    (loss,) = found["Losses of D"]
    assert len(loss.seen) <= plots.POINTS and loss.seen[-1] == loss.value[-1] == 1000
    (kid,) = found["Score KID"]
    assert kid.value.tolist() == [1.0] and kid.low.tolist() == [0.5] and np.isnan(kid.high).all()


def test_many_classes_are_cut_to_those_far_from_the_data(tmp_path: Path) -> None:
    fake = [1 / 100] * 100
    fake[70], fake[71] = 0.0, 0.02
    classes = {"names": [f"class {i}" for i in range(100)], "real": [0.01] * 100, "fake": fake}
    page = Page(write_report(fill(tmp_path, evaluation(classes=classes | {"low": fake, "high": fake}))))
    assert "The 40 of 100 classes that are farthest from the data." in page.text
    assert "class 70" in page.text and "class 71" in page.text and "class 99" not in page.text


def test_interval_marks_lie_in_order(whole: Path) -> None:
    """FD(judge): ideal 0 at the left end, real 4.1, then low, value, high at the right end."""
    row = whole.read_text().partition('<th scope="row">FD(judge)</th>')[2].partition("</tr>")[0]
    ideal, low, high = (
        float(re.search(pattern, row)[1])
        for pattern in (  # type: ignore[index]
            r'class="ideal" x1="([\d.]+)"',
            r'class="band" x1="([\d.]+)"',
            r'class="band" x1="[\d.]+" x2="([\d.]+)"',
        )
    )
    real, value = (float(re.search(p, row)[1]) for p in (r'class="diamond" d="M([\d.]+)', r'cx="([\d.]+)"'))  # type: ignore[index]
    assert (ideal, high) == (4.0, 156.0)
    assert real == pytest.approx(4 + 152 * 4.1 / 22.3, abs=0.06) and low < value < high and real < low


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"date": None}, "date"),
        ({"scores": {}}, "scores"),
        ({"scores": [3]}, r"scores\[0\]"),
        ({"scores": [{"name": "FD"}]}, "damaged or of another version"),
        ({"subject": []}, "subject"),
        ({"verdict": {"summary": "x", "answers": [{"question": "new"}]}}, r"verdict\.answers\[0\]\.title"),
        ({"classes": {"names": ["a"], "real": [], "fake": [], "low": [], "high": []}}, "classes"),
        ({"classes": {"names": ["a"], "real": ["x"], "fake": [1], "low": [1], "high": [1]}}, r"classes\.real\[0\]"),
        ({"novelty": {"pairs": [{"a": 1, "b": "x", "distance": 1}]}}, r"novelty\.pairs\[0\]\.b"),
        ({"format": 2}, "not an evaluation of format 1"),
    ],
)
def test_a_damaged_evaluation_is_named(tmp_path: Path, change: dict[str, Any], place: str) -> None:
    folder = fill(tmp_path, evaluation(**change))
    with pytest.raises(GansmithError, match=place) as error:
        write_report(folder)
    assert "evaluate again" in str(error.value)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"[" * 100_000])
def test_an_unreadable_evaluation_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evaluation.json").write_bytes(content)
    with pytest.raises(GansmithError, match=r"evaluation\.json .*evaluate again"):
        read_evaluation(tmp_path)


def test_no_evaluation_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(GansmithError, match=r"holds no evaluation\.json: run gansmith evaluate first"):
        write_report(tmp_path)


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    folder = fill(tmp_path)
    path = folder / "evaluation.npz"
    whole = path.read_bytes()
    for content in (
        b"",
        b"PK\x03\x04",
        whole[: len(whole) // 2],
        b"\x93NUMPY",
        whole[:200] + bytes(5000) + whole[5200:],
    ):
        path.write_bytes(content)
        with pytest.raises(GansmithError, match=r"evaluation\.npz cannot be read or is damaged"):
            write_report(folder)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("samples", np.zeros((4, 8, 8), np.uint8)),
        ("samples", np.zeros((4, 8, 8, 1), np.float32)),
        ("pairs", np.zeros((4, 8, 8, 1), np.uint8)),
        ("projection_real", np.zeros((4, 3), np.float32)),
        ("real", np.array([{}], dtype=object)),
    ],
)
def test_arrays_of_another_shape_or_kind_are_refused(tmp_path: Path, name: str, array: np.ndarray) -> None:
    with pytest.raises(GansmithError, match=r"evaluation\.npz .*damaged"):
        write_report(fill(tmp_path, pictures=arrays() | {name: array}))


def test_percentages() -> None:
    assert [percent(x) for x in (0.5, 1.0, 0.0004, None, float("nan"))] == [
        "50\u00a0%",
        "100\u00a0%",
        "0.04\u00a0%",
        "–",
        "–",
    ]
