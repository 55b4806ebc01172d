"""The command line: what it passes on, what it prints, and one sentence with exit code 2 for every mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import pytest
import torch

import gansmith
from gansmith import cli, recipes
from gansmith.cli import parse
from gansmith.errors import GansmithError, TrainingError

MYGAN = '''"""My GAN (Nobody 2000, arXiv:0000.00000)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from gansmith.abilities import Generates
from gansmith.core import Recipe


@dataclass(frozen=True, kw_only=True)
class MyGAN(Generates, Recipe):
    """A game for tests.

    Args:
        lr: learning rate,
            of both players.
        betas: of Adam.
        widths: of the layers, from the input
            to the output.
    """

    kinds: ClassVar = ("image",)
    presets: ClassVar = {"wide": {"widths": (512, 512)}}
    ranges: ClassVar = {"lr": (0.0, 1.0)}

    lr: float = 2e-4
    betas: tuple[float, float] = (0.0, 0.99)
    widths: tuple[int, ...] = (64, 32)
    head: Literal["plain", "wide"] = "plain"
    depth: int | None = None
    spectral: bool = True
    table: Any = None

    def build(self, data):
        return None

    def round(self, nets, data, clock):
        yield
'''


@pytest.fixture
def mygan(tmp_path: Path) -> str:
    path = tmp_path / "mygan.py"
    path.write_text(MYGAN)
    return str(path)


class FakeAPI(ModuleType):
    """In the place of gansmith.api: remembers each call."""

    def __init__(self) -> None:
        super().__init__("gansmith.api")
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.how = "done"
        self.error: BaseException | None = None
        self.samples = torch.zeros(4, 1, 8, 8)

    def _call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.calls.append((name, args, kwargs))
        if self.error:
            raise self.error
        return SimpleNamespace(how=self.how, sample=self._sample)

    def _sample(self, n: int, seed: int = 0, psi: float = 1.0) -> torch.Tensor:
        assert psi == 1.0  # nobody asked for another
        self.calls.append(("sample", (n,), {"seed": seed}))
        return self.samples

    def __getattr__(self, name: str) -> Any:
        if name in ("train", "plan", "resume", "load"):
            return lambda *args, **kwargs: self._call(name, *args, **kwargs)
        raise AttributeError(name)

    def info(self, run: str) -> dict[str, Any]:
        return {"path": run, "recipe": "r3gan", "fields": {"betas": [0.0, 0.99]}, "checkpoints": ["000100"]}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeAPI:
    fake = FakeAPI()
    monkeypatch.setitem(sys.modules, "gansmith.api", fake)
    monkeypatch.setattr(gansmith, "api", fake, raising=False)
    return fake


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a mistake gives."""
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and err[-1] == "\n"
    return err


# ---------------------------------------------------------------- help


def test_help_names_every_verb_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for argv in ([], ["-h"], ["--help"], ["help"]):
        assert cli.main(argv) == 0
        shown.append(capsys.readouterr().out)
    assert len(set(shown)) == 1
    assert all(f"  {verb} " in shown[0] for verb in cli.VERBS)
    assert shown[0].count("  gansmith ") >= 5


@pytest.mark.parametrize("verb", cli.VERBS)
def test_help_of_a_verb_has_examples_and_every_flag(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    shown, err = capsys.readouterr()
    assert err == "" and f"usage: gansmith {verb}" in shown
    examples = [line for line in shown.splitlines() if line.startswith(("  gansmith ", "  source <(gansmith "))]
    assert len(examples) >= 2 and all(f"gansmith {word}" in line for line in examples for word in [_verb_in(line)])
    for flag in parse.flags(cli.module(verb).Args):
        assert flag.shown in shown and flag.help


def _verb_in(line: str) -> str:
    word = line.split("gansmith ")[1].split()[0].rstrip(")")
    assert word in cli.VERBS
    return word


def test_every_example_in_the_help_parses(mygan: str, capsys: pytest.CaptureFixture[str], api: FakeAPI) -> None:
    """A worked example with a mistyped flag would be worse than none."""
    for verb in ("resume", "sample"):
        for line in (cli.module(verb).__doc__ or "").splitlines():
            if line.startswith("  gansmith "):
                parse.parse(cli.module(verb).Args, line.split("   ")[0].split()[2:])
    lines = [line for line in (cli.module("train").__doc__ or "").splitlines() if line.startswith("  gansmith train")]
    for line in lines:
        assert cli.main(["train", mygan, *line.split()[3:]]) == 0, line
    assert len(api.calls) == len(lines) >= 4


def test_help_of_train_shows_the_fields_of_the_recipe(mygan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", mygan, "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "mygan options" in shown
    assert "--lr FLOAT learning rate, of both players. (default: 0.0002)" in shown
    assert "--widths INT ... of the layers, from the input to the output. (default: 64 32)" in shown
    assert "--spectral, --no-spectral" in shown and "--head {plain,wide}" in shown
    assert "--table" not in shown
    assert shown.count("--batch INT") == shown.count("--samples INT") == 1


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == gansmith.__version__ + "\n"


LIGHT = [
    ["--help"],
    ["--version"],
    ["list"],
    *([verb, "--help"] for verb in cli.VERBS),
    *(["completion", shell] for shell in ("bash", "zsh", "fish")),
    ["tran"],
    ["train", "no_such_recipe", "--data", "x"],
    ["train", "--data", "x"],
    ["sample", "--sed", "1"],
]


def test_help_list_completion_and_mistakes_do_not_load_torch() -> None:
    code = f"""
import contextlib, io, sys
from gansmith.cli import main
for argv in {LIGHT}:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main(argv)
    loaded = sorted({{"torch", "numpy", "matplotlib", "rich"}} & set(sys.modules))
    assert not loaded, (argv, loaded)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr == ""


@pytest.mark.parametrize("argv", [["--help"], ["list"], ["completion", "bash"]])
def test_the_quickest_answers_do_without_tyro(argv: list[str]) -> None:
    code = f"import sys; from gansmith.cli import main; main({argv}); print('tyro' in sys.modules, file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stderr == "False\n"


# ---------------------------------------------------------------- train


def test_only_what_is_given_is_passed_on(mygan: str, api: FakeAPI) -> None:
    assert cli.main(["train", mygan, "--data", "digits"]) == 0
    assert api.calls == [("train", (mygan,), {"data": "digits"})]


def test_every_type_of_field_is_passed_on(mygan: str, api: FakeAPI) -> None:
    words = "--data photos --samples 1.5M --batch=32 --minutes 2 --labels --lr 1e-3 --betas 0 0.9 --widths 8 16 1k"
    more = "--head wide --depth 4 --no-spectral --ema_half_life 5 --z-dim 64 --seed -3 --deterministic"
    assert cli.main(["train", mygan, *words.split(), *more.split()]) == 0
    assert api.calls[0][2] == {
        "data": "photos",
        "samples": 1_500_000,
        "batch": 32,
        "minutes": 2.0,
        "labels": True,
        "lr": 1e-3,
        "betas": (0.0, 0.9),
        "widths": (8, 16, 1000),
        "head": "wide",
        "depth": 4,
        "spectral": False,
        "ema_half_life": 5.0,
        "z_dim": 64,
        "seed": -3,
        "deterministic": True,
    }


def test_a_value_equal_to_the_default_counts_as_given(mygan: str, api: FakeAPI) -> None:
    assert (
        cli.main(["train", mygan, "--data", "x", "--lr", "2e-4", "--spectral", "--depth", "none", "--seed", "0"]) == 0
    )
    assert api.calls[0][2] == {"data": "x", "lr": 2e-4, "spectral": True, "depth": None, "seed": 0}


@pytest.mark.parametrize(
    "before", [["--data", "x"], ["--data=x"], ["--labels", "--data", "x"], ["--dry_run", "--data", "x"]]
)
def test_the_recipe_may_stand_behind_flags(before: list[str], mygan: str, api: FakeAPI) -> None:
    assert cli.main(["train", *before, mygan]) == 0
    assert api.calls[0][1] == (mygan,) and api.calls[0][2]["data"] == "x"


@pytest.mark.parametrize(
    ("words", "labels", "captions"),
    [
        ("--labels", True, None),
        ("--labels breeds.csv:kind", "breeds.csv:kind", None),
        ("--labels=breeds.json --captions", "breeds.json", True),
        ("--captions texts.csv --labels --batch 8", True, "texts.csv"),
        ("--labels none", None, None),
    ],
)
@pytest.mark.parametrize("recipe_last", [False, True])
def test_a_switch_may_have_a_value(
    words: str, labels: object, captions: object, recipe_last: bool, mygan: str, api: FakeAPI
) -> None:
    argv = [*words.split(), "--data", "x", mygan] if recipe_last else [mygan, "--data", "x", *words.split()]
    assert cli.main(["train", *argv]) == 0
    given = api.calls[0][2]
    assert (given.get("labels"), given.get("captions")) == (labels, captions)


def test_dry_run_plans(mygan: str, api: FakeAPI) -> None:
    assert cli.main(["train", mygan, "--data", "x", "--dry-run", "--lr", "0.1"]) == 0
    assert api.calls == [("plan", (mygan,), {"data": "x", "lr": 0.1})]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--data x --lrr 1", 'no flag --lrr. Did you mean "--lr"?'),
        ("--data x --ema_halflife 1", 'Did you mean "--ema-half-life"?'),
        ("--data x --qqqqqq", "no flag --qqqqqq. See: gansmith train "),
        ("--data x --table 3", "no flag --table"),
        ("--data x --lr fast", '--lr: "fast" is not a number.'),
        ("--data x --batch 1.5", '--batch: "1.5" is not a whole number.'),
        ("--data x --depth deep", '--depth: "deep" is not a whole number.'),
        ("--data x --samples 10q", '--samples: "10q" is not a whole number.'),
        ("--data x --head wid", 'not one of plain, wide. Did you mean "wide"?'),
        ("--data x --fit squash", "not one of crop, pad, squeeze"),
        ("--data x --betas 0.5", "--betas: give 2 values, not 1."),
        ("--data x --widths", "--widths: give at least one value, not 0."),
        ("--data x --lr", "--lr needs a value: --lr FLOAT."),
        ("--data --lr 1", "--data needs a value: --data DATA."),
        ("--data x y", '"y" is one word too many'),
        ("--data x --labels a.csv b.csv", "--labels: give at most one value, not 2."),
        ("--lr 1", "train needs data"),
        ("", "train needs data"),
    ],
)
def test_a_mistake_in_a_flag_is_one_sentence(
    words: str, expected: str, mygan: str, api: FakeAPI, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refused(capsys, "train", mygan, *words.split())
    assert api.calls == []


def test_what_is_missing_or_mistyped_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert 'no verb "tarin". Did you mean "train"?' in refused(capsys, "tarin")
    assert "train needs a recipe" in refused(capsys, "train")
    assert "train needs a recipe" in refused(capsys, "train", "--data", "x")
    assert "There is no recipe file nowhere.py" in refused(capsys, "train", "./nowhere.py", "--data", "x")
    for verb, positional in [
        ("resume", "RUN"),
        ("sample", "RUN"),
        ("info", "RUN"),
        ("describe", "RECIPE"),
        ("check", "DATA"),
    ]:
        assert f"gansmith {verb} needs {positional}" in refused(capsys, verb)
    assert "no flag --sed" in refused(capsys, "sample", "run", "--sed", "1")
    assert "no flag --all" in refused(capsys, "list", "--all")
    assert "SHELL" in refused(capsys, "completion")
    assert "not one of bash, zsh, fish" in refused(capsys, "completion", "tcsh")


def test_a_field_cannot_take_the_name_of_a_flag(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "clash.py"
    path.write_text(MYGAN.replace("depth: int | None = None", "seed: int = 3"))
    assert "has a field seed" in refused(capsys, "train", str(path), "--data", "x")


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize(("how", "code"), [("done", 0), ("SIGINT", 130), ("SIGTERM", 143), ("stop", 130)])
def test_the_exit_code_tells_how_training_ended(how: str, code: int, mygan: str, api: FakeAPI) -> None:
    api.how = how
    assert cli.main(["train", mygan, "--data", "x"]) == code
    assert cli.main(["resume", "runs/1"]) == code


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (GansmithError("lr = 3 is out of range."), 2, "error: lr = 3 is out of range.\n"),
        (TrainingError("D diverged."), 1, "error: D diverged.\n"),
        (OSError(28, "No space left on device", "runs/x"), 2, "error: the disk is full: runs/x.\n"),
        (PermissionError(13, "Permission denied", "runs"), 2, "error: no permission: runs.\n"),
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_errors_become_one_line_and_a_code(
    error: BaseException, code: int, said: str, api: FakeAPI, capfd: pytest.CaptureFixture[str]
) -> None:
    api.error = error
    kept = os.dup(1)
    try:
        assert cli.main(["resume", "runs/1"]) == code
    finally:
        os.dup2(kept, 1)
        os.close(kept)
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("error", [KeyError("bug"), FileNotFoundError(2, "No such file", "x")])
def test_a_bug_keeps_its_traceback(error: Exception, api: FakeAPI) -> None:
    api.error = error
    with pytest.raises(type(error)):
        cli.main(["resume", "runs/1"])


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = "import sys; from gansmith.cli import main; sys.exit(main(['completion', 'bash']))"
    read, write = os.pipe()
    os.close(read)
    run = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (run.returncode, run.stderr) == (0, b"")


def test_python_dash_m() -> None:
    run = subprocess.run([sys.executable, "-m", "gansmith", "tran"], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (2, "") and "Did you mean" in run.stderr


# ---------------------------------------------------------------- the other verbs


def test_resume_passes_its_flags_on(api: FakeAPI) -> None:
    assert cli.main(["resume", "runs/1", "--samples", "2M", "--quiet"]) == 0
    name, args, kwargs = api.calls[0]
    assert (name, args) == ("resume", ())
    assert {k: v for k, v in kwargs.items() if v is not None} == {"run": "runs/1", "samples": 2_000_000, "quiet": True}


def test_flags_fit_the_python_api() -> None:
    """The real functions take what the verbs pass."""
    import inspect

    from gansmith import api as real

    train = {flag.name for flag in parse.flags(cli.module("train").Args)} - {"dry_run", "batch"}
    assert train <= set(inspect.signature(real.train).parameters)
    for verb, function in [("resume", real.resume), ("info", real.info)]:
        assert {flag.name for flag in parse.flags(cli.module(verb).Args)} - {"json"} <= set(
            inspect.signature(function).parameters
        )
    assert {"checkpoint", "raw", "device"} <= set(inspect.signature(real.load).parameters)


def test_sample_draws_and_saves(tmp_path: Path, api: FakeAPI, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "grid.png"
    argv = ["sample", "runs/1", "-n", "4", "--seed", "3", "--out", str(out), "--checkpoint", "best", "--raw"]
    assert cli.main(argv) == 0
    assert api.calls[0] == ("load", ("runs/1",), {"checkpoint": "best", "raw": True, "device": "cpu"})
    assert api.calls[1] == ("sample", (4,), {"seed": 3})
    assert out.is_file() and str(out) in capsys.readouterr().out


@pytest.mark.parametrize("n", [["-n", "4"], ["-n4"], ["--n", "4"], ["-n=4"]])
def test_sample_counts(n: list[str], tmp_path: Path, api: FakeAPI) -> None:
    assert cli.main(["sample", str(tmp_path), *n]) == 0
    assert api.calls[1] == ("sample", (4,), {"seed": 0})
    assert (tmp_path / "samples.png").is_file()


def test_sample_writes_arrays_of_points(tmp_path: Path, api: FakeAPI) -> None:
    import numpy as np

    api.samples = torch.ones(4, 2)
    assert cli.main(["sample", str(tmp_path), "--out", str(tmp_path / "x.npz")]) == 0
    assert np.load(tmp_path / "x.npz")["samples"].shape == (4, 2)


def test_sample_refuses_no_samples(api: FakeAPI, capsys: pytest.CaptureFixture[str]) -> None:
    assert "at least 1" in refused(capsys, "sample", "run", "-n", "0")


def test_info_for_people_and_programs(api: FakeAPI, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info", "runs/1"]) == 0
    assert "recipe: r3gan\n" in capsys.readouterr().out
    assert cli.main(["info", "runs/1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == api.info("runs/1")


def test_list_is_aligned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "longname.py").write_text('"""The first line.\n\nMore."""')
    (tmp_path / "gan.py").write_text('"""Another."""')
    monkeypatch.setattr(recipes, "ZOO", tmp_path)
    monkeypatch.setattr(recipes, "plugins", dict)
    assert cli.main(["list"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert (first, second) == ("gan       Another.", "longname  The first line.")


def test_describe_tells_all_of_a_recipe(mygan: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["describe", mygan]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("My GAN (Nobody 2000, arXiv:0000.00000).\n")
    for text in (
        "image data",
        "Generates (latents -> samples)",
        "wide: widths = 512 512",
        f"train {mygan} --data digits",
    ):
        assert text in shown
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in shown.splitlines() if line.strip()}
    assert rows["lr"] == "0.0002 float in [0, 1] learning rate, of both players."
    assert rows["betas"] == "0.0 0.99 float float of Adam."
    assert rows["batch"].startswith("64 int real samples a move")


def test_describe_wraps_on_a_terminal(
    mygan: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["describe", mygan]) == 0
    table = capsys.readouterr().out.partition("meaning")[2].partition("Examples:")[0]
    assert "averaged" in table and all(len(line) <= 60 for line in table.splitlines())


@dataclass
class Report:
    errors: list[str]
    warnings: list[str]

    def lines(self) -> list[str]:
        return ["12 images", *self.warnings, *self.errors]


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """In the place of gansmith.data."""
    from gansmith.core import DataSpec

    fake = SimpleNamespace(report=Report([], ["2 are flat"]), options=None, spec=DataSpec("d", "image", (1, 8, 8)))
    module = ModuleType("gansmith.data")

    def check_data(source: str, **options: Any) -> Report:
        fake.options = options
        return fake.report

    module.check_data = check_data  # type: ignore[attr-defined]
    module.open_data = lambda source, **options: fake  # type: ignore[attr-defined]
    module.suited = lambda dataset, kinds: dataset  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "gansmith.data", module)
    return fake


def test_check_prints_the_report(data: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "photos", "--resolution", "32", "--labels"]) == 0
    assert capsys.readouterr().out == "12 images\n2 are flat\n"
    assert data.options == {
        "resolution": 32,
        "fit": "crop",
        "background": "white",
        "channels": None,
        "labels": True,
        "captions": None,
        "pairs": None,
        "side_by_side": None,
        "degrade": None,
    }
    data.report.errors.append("no image can be read")
    assert cli.main(["check", "photos"]) == 2


def test_check_takes_flags_with_and_without_values_before_the_data(data: SimpleNamespace) -> None:
    assert cli.main(["check", "--labels", "a.csv", "--captions=b.csv", "photos"]) == 0
    assert (data.options["labels"], data.options["captions"]) == ("a.csv", "b.csv")
    assert cli.main(["check", "--labels", "--captions", "photos"]) == 0
    assert (data.options["labels"], data.options["captions"]) == (True, True)


def test_check_takes_the_options_of_two_sides(data: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--pairs", "false", "--side-by-side=BA", "--degrade", "downscale 4", "--fit", "window"]
    assert cli.main(["check", *words, "photos"]) == 0
    assert [data.options[name] for name in ("pairs", "side_by_side", "degrade", "fit")] == [
        *(False, "BA", "downscale 4", "window"),
    ]
    assert cli.main(["check", "photos", "--pairs"]) == 0 and data.options["pairs"] is True
    assert cli.main(["check", "photos", "--pairs", "none"]) == 0 and data.options["pairs"] is None
    assert cli.main(["check", "photos", "--pairs", "x"]) == 2
    assert '--pairs: "x" is not one of true, false, none.' in capsys.readouterr().err


def test_help_shows_that_the_value_may_be_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "--help"]) == 0
    assert "--labels [LABELS]" in capsys.readouterr().out


def test_check_as_json(data: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", "photos", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown == {"warnings": ["2 are flat"], "errors": []}


def test_check_asks_the_recipe(data: SimpleNamespace, mygan: str, capsys: pytest.CaptureFixture[str]) -> None:
    from dataclasses import replace

    assert cli.main(["check", "photos", "--recipe", mygan]) == 0
    data.spec = replace(data.spec, kind="points", shape=(2,))
    capsys.readouterr()
    assert cli.main(["check", "photos", "--recipe", mygan]) == 2
    assert "error: MyGAN learns image data, but d holds points data." in capsys.readouterr().out


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_verbs_recipes_and_flags(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in (*cli.VERBS, *recipes.names(), "--checkpoint", "--dry-run"):
        assert word in script


SAMPLE = {"-n", "--seed", "--out", "--checkpoint", "--raw", "--device", "--help"}
SAMPLE |= {"--numbers", "--label", "--label-grid", "--code", "--sweep", "--psi"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("gansmith re", {"report", "resume"}),
        ("gansmith train --see", {"--seed"}),
        ("gansmith sample runs/1 --che", {"--checkpoint"}),
        ("gansmith completion z", {"zsh"}),
        ("gansmith data l", {"list"}),
        ("gansmith sample -", SAMPLE),
    ],
)
def test_bash_completes(words: str, expected: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = (
        f'COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _gansmith; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    run = subprocess.run(["bash", "-c", script + ask], capture_output=True, text=True)
    assert set(run.stdout.split()) == expected and run.stderr == ""


# ---------------------------------------------------------------- words into values


@pytest.mark.parametrize(
    ("word", "value"),
    [("7", 7), ("-7", -7), ("1_000", 1000), ("200k", 200_000), ("1.5M", 1_500_000), ("1e6", 1_000_000)],
)
def test_whole_numbers(word: str, value: int) -> None:
    assert parse.convert(int, [word]) == value


@pytest.mark.parametrize("word", ["", "k", "x", "1.5", "0.0001k", "inf", "nan", "1e999"])
def test_not_whole_numbers(word: str) -> None:
    with pytest.raises(ValueError, match="not a whole number"):
        parse.convert(int, [word])


def test_other_values() -> None:
    assert parse.convert(float | None, ["None"]) is None
    assert parse.convert(int | str, ["a"]) == "a" and parse.convert(int | str, ["3"]) == 3
    assert parse.convert(tuple[int, ...], ["1,2", "3"]) == (1, 2, 3)
    assert parse.convert(Literal[1, "a"], ["1"]) == 1
    with pytest.raises(ValueError, match="not a number"):
        parse.convert(float | None, ["x"])


def test_explanations_of_base_classes_are_inherited_and_overridden() -> None:
    class A:
        """One.

        Args:
            x: the first,
                in two lines: with a colon.
            y: kept.

        Raises:
            z: not a field.
        """

    class B(A):
        """Two.

        Args:
            x: the second.
        """

    assert parse.explain(A) == {"x": "the first, in two lines: with a colon.", "y": "kept."}
    assert parse.explain(B) == {"x": "the second.", "y": "kept."}
