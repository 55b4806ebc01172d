"""The verbs that steer, from the words to the file, on tiny runs: with styles, with labels, and plain."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith import explore
from gansmith.cli import main
from gansmith.engine import checkpoint
from gansmith.explore import directions, finding
from gansmith.session import open_session

SETTINGS = {
    "dcgan": {"width": 8, "z_dim": 6},
    "stylegan2": {"w_dim": 5, "z_dim": 6, "mapping_layers": 2, "channel_base": 64, "channel_max": 8},
    "biggan": {"width": 4, "shared": 4, "z_dim": 9, "labels": True},
}


class Runs(dict[str, Path]):
    """Runs of one round by recipe, on coloured squares; each is made when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder, self.data = folder, folder / "squares"
        self["data"] = self.data
        generator = np.random.default_rng(0)
        for k, name in enumerate(("left", "right")):
            (self.data / name).mkdir(parents=True)
            for i in range(12):
                pixels = np.full((28, 28, 3), 40, np.uint8)
                pixels[8:20, 2 + 14 * k : 12 + 14 * k] = generator.integers(80, 255, 3)
                Image.fromarray(pixels).save(self.data / name / f"{i}.png")

    def __missing__(self, recipe: str) -> Path:
        fields = {"batch": 8, **SETTINGS[recipe]}
        options = {"labels": fields.pop("labels", None), "resolution": 28}
        session = open_session(recipe, self.data, options=options, given=fields, device="cpu", quiet=True)
        game, run = session.game(), session.create(self.folder / recipe)
        game.play()
        checkpoint.save(run.checkpoints, game.state())
        self[recipe] = run.path
        return run.path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


def gs(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints; it must end well."""
    code = main(shlex.split(words))
    said = capsys.readouterr()
    assert code == 0, said.err
    return said.out


def refused(words: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The one sentence with which a command is refused."""
    assert main(shlex.split(words)) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    return error


WORKS = [
    ("walk {run} --seeds 0-3 --steps 3 --tracks 2", "dcgan stylegan2 biggan", (".mp4", ".gif", ".webp", ".png")),
    ("arithmetic {run} --plus 0:1,2,3 --minus 4 --to 5,6", "dcgan stylegan2 biggan", (".png",)),
    ("truncate {run} --seeds 0,1 --psis 0,0.5,1 --steps 2", "dcgan stylegan2 biggan", (".png", ".gif")),
    ("mix {run} --rows 0,1 --columns 2,3", "stylegan2 biggan", (".png",)),
    ("vary {run} --seeds 7 -n 4 --choose 9 --steps 2", "stylegan2 biggan", (".png", ".webp")),
    ("breed {run} --classes left,right --seeds 0,1 --steps 3", "biggan", (".png", ".mp4")),
    ("directions {run} --count 2 --steps 3", "dcgan stylegan2 biggan", (".png", ".webp")),
    ("directions {run} --find sefa --count 2 --steps 3", "dcgan stylegan2 biggan", (".png",)),
    ("directions {run} --find bright --yes 0,1,2 --no 3,4,5 --steps 3", "dcgan stylegan2 biggan", (".png",)),
    ("zoom {run} --measure background --seeds 0,1 --steps 5", "stylegan2", (".webp", ".png")),
]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer samples are looked at than for a user."""
    monkeypatch.setattr(directions, "POPULATION", 64)
    monkeypatch.setattr(directions, "SCORED", 4)
    monkeypatch.setattr(finding, "DRAWS", 128)


@pytest.mark.parametrize(
    ("words", "recipe", "suffix"),
    [(words, r, s) for words, recipes, suffixes in WORKS for r in recipes.split() for s in suffixes],
)
def test_every_verb_makes_its_file(
    words: str, recipe: str, suffix: str, runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"film{suffix}"
    command = f"{words.format(run=runs[recipe])} --out {out}"
    assert str(out) in gs(command, capsys)
    assert explore.read_told(out) == f"gansmith {command}"
    if suffix != ".mp4":
        with Image.open(out) as image:
            assert np.asarray(image.convert("RGB")).std() > 0


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp", ".png"])
def test_the_same_words_make_the_same_bytes(
    suffix: str, runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for seeds in ("0,1", "0,1", "0,2"):
        gs(f"walk {runs['dcgan']} --seeds {seeds} --steps 2 --out {tmp_path / 'walk'}{suffix}", capsys)
        made.append((tmp_path / f"walk{suffix}").read_bytes())
    assert made[0] == made[1] != made[2]


def test_the_same_words_find_the_same_directions(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = []
    for how in ("pca", "sefa --layers coarse"):
        words = f"directions {runs['stylegan2']} --find {how} --count 2 --steps 2 --out {tmp_path}/d.png"
        for _ in range(2):
            gs(words, capsys)
            made.append(sorted((path.name, path.read_bytes()) for path in (runs["stylegan2"] / "directions").iterdir()))
    assert made[0] == made[1] and made[2] == made[3]


def test_a_sum_is_a_stop_of_a_walk(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, file = runs["stylegan2"], tmp_path / "sum.safetensors"
    gs(f"arithmetic {run} --plus 1 --minus 2 --to 3 --save {file} --out {tmp_path}/a.png", capsys)
    gs(f"walk {run} --seeds {file},4 --steps 2 --out {tmp_path}/w.gif", capsys)
    assert "another model" in refused(f"walk {runs['dcgan']} --seeds {file},4 --out {tmp_path}/w.gif", capsys)


@pytest.mark.parametrize("suffix", [".png", ".gif"])
@pytest.mark.parametrize("recipe", ["dcgan", "stylegan2", "biggan"])
def test_pictures_are_brought_into_a_model(
    recipe: str, suffix: str, runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out, file = runs[recipe], tmp_path / f"found{suffix}", tmp_path / "found.safetensors"
    pictures = f"{runs.data}/left/0.png {runs.data}/right/3.png"
    said = gs(f"invert {run} {pictures} --steps 6 --starts 2 --quick --save {file} --out {out}", capsys)
    assert said.count(" dB") == 2 and "0.png" in said and "outside" not in said
    assert explore.read_told(out).startswith("gansmith invert")
    gs(f"walk {run} --seeds {file} --steps 2 --out {tmp_path}/w.gif", capsys)


def test_a_folder_of_pictures_and_the_range(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs["dcgan"]
    words = f"invert {run} {runs.data} --most 3 --steps 2 --starts 1 --distance pixels --out {tmp_path}/a.png"
    said = gs(words, capsys)
    assert said.count(" dB") == 3 and (run / "invert.safetensors").is_file()
    assert len(list((run / "inversion").glob("range-*.json"))) == 1
    assert gs(words, capsys).splitlines()[-5:-2] == said.splitlines()[-5:-2]


def test_directions_are_kept_listed_applied_and_renamed(
    runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = runs["dcgan"]
    gs(f"directions {run} --count 2 --steps 2 --out {tmp_path}/d.png", capsys)
    assert {"pca-0.json", "pca-0.safetensors"} <= {path.name for path in (run / "directions").iterdir()}
    assert "pca-1" in gs(f"directions {run} --list", capsys)
    gs(f"directions {run} --apply pca-1 --seeds 0,1 --far 2 --steps 3 --out {tmp_path}/film.gif", capsys)
    gs(f"directions {run} --apply pca-1 --rename width", capsys)
    listed = gs(f"directions {run} --list", capsys)
    assert "width" in listed and "pca-1" not in listed
    refused(f"directions {run} --apply pca-0 --rename width", capsys)
    assert "no such direction" in refused(f"directions {run} --apply pca-7 --out {tmp_path}/x.png", capsys)
    gs(f"directions {run} --find edge --yes 0 --no 1 --without width --steps 2 --out {tmp_path}/e.png", capsys)


def test_numbers_of_samples(runs: Runs, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, numbered = tmp_path / "plain.png", tmp_path / "numbered.png"
    gs(f"sample {runs['dcgan']} -n 9 --out {plain}", capsys)
    gs(f"sample {runs['dcgan']} -n 9 --numbers --out {numbered}", capsys)
    with Image.open(numbered) as one, Image.open(plain) as other:
        assert one.width > other.width
    assert "leave --label" in refused(f"sample {runs['biggan']} --numbers --label 0", capsys)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("walk {dcgan} --out film.avi", "give .mp4, .gif, .webp or .png"),
        ("walk {dcgan} --out film", "no format"),
        ("walk {dcgan} --seeds 3", "at least two"),
        ("walk {dcgan} --seeds x", "names no points"),
        ("walk {dcgan} --space w", "has no styles"),
        ("walk {dcgan} --psi 2", "out of range"),
        ("walk {dcgan} --fps 0", "frames a second"),
        ("walk {dcgan} --way jump", "is not one of"),
        ("walk nowhere", "nowhere"),
        ("arithmetic {dcgan} --plus 1", "--minus is missing"),
        ("arithmetic {dcgan} --plus 1 --minus 2 --to 3 --out a.gif", "give .png"),
        ("truncate {dcgan} --psis 0,2", "out of range"),
        ("truncate {dcgan} --psi 0.5", "give --psis"),
        ("truncate {stylegan2} --layers 9", "layers 0 to"),
        ("mix {dcgan}", "at one place only"),
        ("mix {stylegan2} --layers 1-99", "layers 0 to"),
        ("vary {stylegan2} --seeds 0,1", "give one"),
        ("vary {stylegan2} --keep 0-", "no layer is left"),
        ("vary {stylegan2} -n 5 --choose 2", "choose from at least as many"),
        ("breed {biggan}", "--classes cat,dog"),
        ("breed {biggan} --classes left,up", "is none of"),
        ("breed {dcgan} --classes left,right", "without labels"),
        ("breed {biggan} --classes left,right --label left", "leave --label out"),
        ("mix {stylegan2} --fps 10", "no flag --fps"),
        ("zoom {dcgan} --far 0", "above 0|at least 2"),
        ("directions {dcgan} --find smile", "cannot be followed"),
        ("directions {dcgan} --find a --yes 1", "both kinds"),
        ("directions {dcgan} --rename a", "needs --apply"),
        ("directions {dcgan} --count 0", "at least 1"),
        ("invert {dcgan}", "Say which pictures"),
        ("invert {dcgan} nobody.jpg", "nobody.jpg"),
        ("invert {dcgan} a.jpg b.jpg", "a.jpg cannot be used: no such file"),
        ("invert {dcgan} {data}/left/0.png --fit stretch", "give one of crop"),
        ("invert {dcgan} {data}/left/0.png --quick --steps 0", "steps = 0"),
        ("invert {dcgan} {data}/left/0.png --quick --each-layer", "for the space w"),
        ("invert {dcgan} {data}/left/0.png --quick --distance E", "E"),
        ("invert {dcgan} {data}/left/0.png --quick --psi 0.5", "leave psi out"),
        ("invert {dcgan} {dcgan}/run.yaml {data}/left/0.png", "not an image"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    words: str,
    says: str,
    runs: Runs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    error = refused(words.format_map(runs), capsys)
    assert any(part in error for part in says.split("|")), error
    assert not list(tmp_path.iterdir())
