"""The Python API: train, resume, load, sample, info, plan; and how settings are chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

import gansmith
from gansmith import api, auto, recipes
from gansmith.core import DataSpec, Recipe, Setting
from gansmith.data import open_data
from gansmith.engine import checkpoint, memory
from gansmith.engine.game import Game
from gansmith.errors import GansmithError, TrainingError
from gansmith.rehearsal import fitted
from gansmith.session import fields_from_yaml, fields_to_yaml, open_session

TINY: dict[str, Any] = {"width": 8, "batch": 16, "samples": 160, "tick": 80, "quiet": True, "device": "cpu"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    """A run of ten rounds of gan on ring8, which scores itself."""
    return gansmith.train("gan", "ring8", out=tmp_path_factory.mktemp("points") / "run", seed=3, lr=0.01, **TINY)


def noise(count: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), np.uint8)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory, cache: None) -> api.Run:
    """A run of ten rounds of dcgan on noise images from memory."""
    out = tmp_path_factory.mktemp("images") / "run"
    return gansmith.train("dcgan", noise(), out=out, precision="32", **TINY | {"batch": 4, "samples": 40, "tick": 20})


# ---------------------------------------------------------------- a round trip


def test_training_returns_what_it_left(points: api.Run) -> None:
    assert (points.how, points.seen) == ("done", 160)
    info = points.info()
    assert (info["recipe"], info["seed"], info["done"]) == ("gan", 3, True)
    assert (info["fields"]["lr"], info["fields"]["width"], info["fields"]["samples"]) == (0.01, 8, 160)
    assert info["state"]["seen"] == 160 and info["checkpoints"][-1] == "000000160"
    assert info["next"].startswith("gansmith sample") and info["data"]["source"] == "ring8"
    assert info["automatic"]["z_dim"] == "measured on grid25" and "lr" not in info["automatic"]


def test_samples_of_points(points: api.Run) -> None:
    gan = points.load()
    assert repr(gan) == "<GAN gan of ring8 (2,), 160 samples seen>"
    some = gan.sample(100, seed=7)
    assert some.shape == (100, 2) and some.dtype == torch.float32
    assert torch.equal(gan.sample(100, seed=7), some) and torch.equal(points.load().sample(100, seed=7), some)
    assert not torch.equal(gan.sample(100, seed=8), some)
    with pytest.raises(GansmithError, match="at least 1 sample"):
        gan.sample(0)


@pytest.mark.parametrize("n", [1, 5, 63, 64, 65, 130])
def test_the_first_samples_do_not_depend_on_how_many_follow(n: int, points: api.Run) -> None:
    gan = points.load()
    assert torch.equal(gan.draw_latents(n, seed=1), gan.draw_latents(200, seed=1)[:n])
    torch.testing.assert_close(gan.sample(n, seed=1), gan.sample(200, seed=1)[:n], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(gan.sample(n, seed=1, batch=7), gan.sample(n, seed=1), atol=1e-6, rtol=1e-5)


def test_samples_are_those_of_the_checkpoint(points: api.Run) -> None:
    """Of the averaged G, or of the raw one: computed from the tensors in the file."""
    path = points.path / "checkpoints" / "000000160"
    recipe = recipes.find("gan")(**fields_from_yaml(points.info()["fields"]))
    saved, made = checkpoint.load_nets(path), {}
    for raw, prefix in ((False, "ema.G."), (True, "G.")):
        nets = recipe.build(DataSpec("ring8", "points", (2,)))
        nets["G"].load_state_dict({k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)})
        gan = gansmith.load(points.path, raw=raw)
        made[raw] = gan.sample(50)
        torch.testing.assert_close(made[raw], nets["G"](gan.draw_latents(50)).detach())
    assert not torch.allclose(made[False], made[True], atol=1e-4)


def test_checkpoints_by_name(points: api.Run) -> None:
    info = points.info()
    assert info["best"] in info["checkpoints"]
    assert points.load("best").seen == int(info["best"]) and points.load("80").seen == 80
    with pytest.raises(GansmithError, match="no checkpoint 81"):
        points.load("81")


def test_loading_leaves_the_random_state_alone(points: api.Run) -> None:
    before = torch.get_rng_state()
    points.load().sample(3)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_seed_repeats_a_training(points: api.Run, tmp_path: Path) -> None:
    again = gansmith.train("gan", "ring8", out=tmp_path / "run", seed=3, lr=0.01, **TINY)
    name = "checkpoints/000000160/nets.safetensors"
    assert (again.path / name).read_bytes() == (points.path / name).read_bytes()


def test_plan_tells_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    plan = api.plan("gan", "grid25", width=8, batch=16, samples=1600, out="here", device="cpu")
    assert plan["parameters"] == {"G": 186, "D": 177}  # 2-8-8-8-2 and 2-8-8-8-1 with biases
    assert plan["peak_bytes"] > 1e8  # torch alone takes more
    assert plan["rate"] > 0 and plan["seconds"] == pytest.approx(1600 / plan["rate"])
    assert plan["fields"]["lr"] == 2e-3 and list(tmp_path.iterdir()) == []
    assert "Nothing was written" in capsys.readouterr().out
    with pytest.raises(TrainingError, match="would diverge"):
        api.plan("gan", "grid25", width=8, batch=16, lr=1e30, quiet=True, device="cpu")


# ---------------------------------------------------------------- memory


def test_a_batch_that_does_not_fit_is_played_in_parts(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """An accelerator whose memory holds four samples a part."""
    play, limit = Game.play, [4]

    def bounded(game: Game, only: str | None = None) -> None:
        if game.recipe.batch // game.recipe.accumulate > limit[0]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        play(game, only)

    monkeypatch.setattr(Game, "play", bounded)
    monkeypatch.setattr(memory, "limited", lambda device: True)
    session = open_session("gan", "ring8", options={}, given={"width": 8, "batch": 16}, device="cpu")
    fitting = fitted(session)
    assert fitting.recipe.accumulate == fitting.config["fields"]["accumulate"] == 4
    told = "accumulate = 4 (automatic: a batch of 16 does not fit into the memory of cpu at once)"
    assert told in " ".join(capsys.readouterr().out.split())
    fitting.game().play()
    limit[0] = 0
    with pytest.raises(GansmithError, match="not even its batch of 16 in 16 parts"):
        fitted(session)


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    def broken() -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        memory.overflows(broken, torch.device("cpu"))


# ---------------------------------------------------------------- images


def test_images_have_batch_norm_folded(images: api.Run) -> None:
    gan = images.load()
    z = gan.draw_latents(10)
    plain: Tensor = gan.nets["G"](z)
    torch.testing.assert_close(gan.generate(z), plain, atol=1e-5, rtol=0)
    norms = [
        sum(isinstance(m, torch.nn.BatchNorm2d) for m in G.modules()) for G in (gan.nets["G"], gan._sampler()["G"])
    ]
    assert norms == [2, 0]
    assert gan.sample(10).shape == (10, 3, 16, 16) and gan.sample(10).abs().max() <= 1


def test_samples_in_bf16_are_near(images: api.Run) -> None:
    full, half = images.load().sample(8), gansmith.load(images.path, precision="bf16").sample(8)
    assert half.dtype == torch.float32 and 0 < (full - half).abs().max() < 0.1


def test_an_array_is_asked_for_again(images: api.Run) -> None:
    with pytest.raises(GansmithError, match="trained on an array: give it again"):
        gansmith.resume(images.path, samples=60, quiet=True)
    with pytest.raises(GansmithError, match="not those that"):
        gansmith.resume(images.path, samples=60, quiet=True, data=noise(seed=1))
    assert gansmith.load(images.path).seen == 40  # without any data
    assert gansmith.info(images.path)["fields"]["samples"] == 40  # a refused resume changed nothing
    assert gansmith.resume(images.path, samples=48, quiet=True, data=noise()).seen == 48


def test_changed_files_are_refused_and_moved_ones_found(tmp_path: Path, cache: None) -> None:
    from PIL import Image

    folder = tmp_path / "photos"
    folder.mkdir()
    for i, pixels in enumerate(noise()):
        Image.fromarray(pixels).save(folder / f"{i}.png")
    small = TINY | {"batch": 4, "samples": 8, "tick": 8, "resolution": 16}
    run = gansmith.train("dcgan", str(folder), out=tmp_path / "run", **small)
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(GansmithError, match="photos"):
        gansmith.resume(run.path, samples=16, quiet=True)
    assert gansmith.resume(run.path, samples=16, quiet=True, data=str(moved)).seen == 16
    Image.fromarray(noise(1, seed=5)[0]).save(moved / "new.png")
    with pytest.raises(GansmithError, match="an exact resume is impossible"):
        gansmith.resume(run.path, samples=24, quiet=True, data=str(moved))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"widht": 8}, "no field 'widht'. Did you mean \"width\""),
        ({"width": "8"}, "width = '8' does not fit: give int"),
        ({"width": 8.5}, "width = 8.5 does not fit: give int"),
        ({"lr": True}, "lr = True does not fit: give float"),
        ({"objective": "hinge"}, "give 'nonsaturating', 'minimax', 'maximum_likelihood'"),
        ({"lr": -1.0}, "lr = -1.0 is out of range"),
        ({"preset": "r2"}, "no preset 'r2' (there are: "),
        ({"minutes": 0}, "--minutes 0 is out of range"),
        ({"samples": 0}, "samples = 0 is out of range"),
        ({"tick": -1}, "--tick -1 is out of range"),
        ({"seed": -1}, "seed = -1 is out of range"),
        ({"device": "tpu"}, "'tpu' is not here"),
        ({"precision": "16"}, "'16' is unknown"),
        ({"resolution": 8}, "holds points"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(options: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(GansmithError) as e:
        gansmith.train("gan", "grid25", out=tmp_path / "run", quiet=True, **options)
    assert words in str(e.value) and "\n" not in str(e.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_run_is_not_overwritten(points: api.Run) -> None:
    before = (points.path / "run.yaml").read_bytes()
    with pytest.raises(GansmithError, match="holds a run already"):
        gansmith.train("gan", "ring8", out=points.path, **TINY)
    assert (points.path / "run.yaml").read_bytes() == before


def test_a_run_that_is_being_trained_is_left_alone(points: api.Run) -> None:
    from gansmith.engine.rundir import RunDir

    before = (points.path / "run.yaml").read_bytes()
    with RunDir.open(points.path).lock(), pytest.raises(GansmithError, match="being trained"):
        gansmith.resume(points.path, samples=320, quiet=True)
    assert (points.path / "run.yaml").read_bytes() == before


def test_a_config_that_the_recipe_does_not_know_is_one_sentence(tmp_path: Path) -> None:
    run = gansmith.train("gan", "swissroll", out=tmp_path / "run", **TINY | {"samples": 16, "tick": 16})
    text = (run.path / "run.yaml").read_text()
    for change, words in (({"wings": 2}, "no field 'wings'"), ({"width": "x"}, "width = 'x' does not fit")):
        config = yaml.safe_load(text)
        config["fields"] |= change
        (run.path / "run.yaml").write_text(yaml.safe_dump(config))
        for act in (gansmith.load, gansmith.resume):
            with pytest.raises(GansmithError, match=r"run\.yaml does not fit the recipe gan") as e:
                act(run.path)
            assert words in str(e.value)
    config = yaml.safe_load(text)
    config["fields"]["width"] = 9
    (run.path / "run.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(GansmithError, match="but the recipe builds"):
        gansmith.load(run.path)


def test_a_recipe_that_does_not_generate_says_so() -> None:
    class Other(Recipe):
        def build(self, data: DataSpec) -> Any: ...
        def round(self, nets: Any, data: Any, clock: Any) -> Any: ...

    gan = api.GAN(Other(), DataSpec("d", "points", (2,)), torch.nn.ModuleDict({"A": torch.nn.Linear(1, 1)}), 0)
    with pytest.raises(GansmithError, match="Other does not generate"):
        gan.sample(1)


# ---------------------------------------------------------------- automatic settings


def test_what_is_given_wins_over_what_is_automatic() -> None:
    cls, spec, cpu = recipes.find("gan"), open_data("grid25").spec, torch.device("cpu")
    recipe, chosen = auto.settle(cls, spec, cpu, {"width": 7})
    assert (recipe.width, recipe.lr, recipe.batch) == (7, 2e-3, 256) and "width" not in chosen
    assert all(getattr(recipe, name) == setting.value and setting.reason for name, setting in chosen.items())


def test_a_preset_is_complete_and_what_is_given_wins_over_it() -> None:
    spec, cpu = open_data("grid25").spec, torch.device("cpu")
    recipe, chosen = auto.settle(Fields, spec, cpu, {"name": "mine"}, preset="long")
    assert chosen == {} and recipe == Fields(samples=10**7, name="mine")
    assert auto.settle(Fields, spec, cpu, {})[0] == Fields(batch=32)
    with pytest.raises(GansmithError, match=r"\(there are: long\)\. Did you mean \"long\""):
        auto.settle(Fields, spec, cpu, {}, preset="longer")


@pytest.mark.parametrize(("count", "batch"), [(0, 64), (5000, 64), (512, 64), (511, 32), (100, 8), (20, 4)])
def test_small_sets_get_small_batches(count: int, batch: int) -> None:
    spec = DataSpec("few", "image", (3, 8, 8), count)
    settings = auto.image_settings(spec, torch.device("cpu"))
    assert settings["batch"].value == batch
    assert settings["ema_half_life"].value == pytest.approx(batch * 10 / 32)


@dataclass(frozen=True, kw_only=True)
class Fields(Recipe):
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"long": {"samples": 10**7}}

    numbers: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    maybe: int | None = None
    name: str = "a"
    switch: bool = False

    @classmethod
    def suggest(cls, data: DataSpec, device: torch.device) -> dict[str, Setting]:
        return {"batch": Setting(32, "for a test")}

    def build(self, data: DataSpec) -> Any: ...
    def round(self, nets: Any, data: Any, clock: Any) -> Any: ...


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("numbers", (3,), True), ("numbers", (3, 4, 5), True), ("numbers", (0.5,), False), ("numbers", 3, False),
        ("pair", (1, 0.5), True), ("pair", (1.0,), False), ("maybe", None, True), ("maybe", 3, True),
        ("maybe", "x", False), ("name", "b", True), ("name", 1, False), ("switch", True, True), ("switch", 1, False),
    ],
)  # fmt: skip
def test_types_of_fields(name: str, value: Any, fits: bool) -> None:
    if fits:
        assert getattr(auto.make(Fields, {name: value}), name) == value
    else:
        with pytest.raises(GansmithError, match=f"{name} = "):
            auto.make(Fields, {name: value})


def test_fields_survive_yaml() -> None:
    values = {"betas": (0.5, 0.9), "lr": 1e-4, "net": "auto"}
    assert fields_from_yaml(yaml.safe_load(yaml.safe_dump(fields_to_yaml(values)))) == values
