"""What must hold for every GAN in the zoo, found by name. A new recipe needs one line in SMALL, nothing else here."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

import gansmith
from gansmith import recipes
from gansmith.abilities import Discriminates, Generates, Translates
from gansmith.cli.parse import explain
from gansmith.core import DataSpec, Player, Recipe, Terms
from gansmith.data import Dataset, Stream, open_data, suited
from gansmith.engine import checkpoint
from gansmith.engine.game import Game
from gansmith.errors import GansmithError
from gansmith.places import cache_folder
from gansmith.session import fields_from_yaml, fields_to_yaml


class Small(NamedTuple):
    """Settings with which a round takes milliseconds.

    Args:
        fields: of the recipe, beside `batch` and `z_dim`.
        px: side of the images; the smallest that the recipe's nets can make.
        still: parameters that are fixed, or that the losses need not move: Wasserstein and relativistic losses, and
            hinges while all scores are small, see differences of scores only, so that a bias of D's last layer cancels.
    """

    fields: dict[str, Any]
    px: int = 8
    still: tuple[str, ...] = ()


CLASSES = 8  # of both kinds of data

GROWTH = {"stable": 0.006, "fade": 0.012}  # ksamples: 2 rounds at a size, and 1 while the next fades in

SMALL = {
    "gan": Small({"width": 16}),
    "fgan": Small({"width": 16}),
    "lsgan": Small({"width": 8}),
    "wgan": Small({"width": 8, "n_critic_start": 4, "rounds_start": 2, "restart_every": 4}, still=("D.out.bias",)),
    "wgan_gp": Small({"width": 8, "n_critic": 2}, still=("D.out.bias",)),
    "dragan": Small({"width": 8}),
    "dcgan": Small({"width": 8}),
    "stylegan2": Small({"w_dim": 6, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}),
    "sngan": Small({"width": 12, "n_critic": 2}, px=28, still=("D.out.bias",)),
    "r3gan": Small({"widths": (16, 8), "group": 8}, still=("D.out.bias",)),
    "cgan": Small({"width": 8, "num_classes": CLASSES, "mismatch": 0.5}),
    "acgan": Small({"width": 8, "num_classes": CLASSES}),
    "projection_gan": Small({"width": 12, "n_critic": 2, "num_classes": CLASSES}, px=28, still=("D.D.out.bias",)),
    "infogan": Small({"width": 8, "categorical": (3, 2), "continuous": 1}),
    "ssgan": Small(
        {"width": 8, "widths": (16, 8), "num_classes": CLASSES, "labels_per_class": 1},
        still=("G.body.1.weight", "G.body.4.weight"),
    ),
    "biggan": Small({"width": 4, "shared": 4, "num_classes": CLASSES, "ema_start": 6}, px=28, still=("D.D.out.bias",)),
    "progan": Small({"fmap_base": 32, "fmap_max": 8, "batches": (), **GROWTH}),
    "stylegan": Small(
        {"fmap_base": 32, "fmap_max": 8, "w_dim": 4, "mapping_layers": 2, "batches": (), **GROWTH}, px=16
    ),
    "pix2pix": Small({"width": 4, "patch_layers": 1}, px=16),
    "cyclegan": Small({"width": 4, "blocks": 1, "patch_layers": 1, "pool": 4, "identity_weight": 0.0}, px=16),
    "minibatch_gan": Small({"width": 8, "kernels": 4, "dims": 2}),
}
BATCH, COUNT = 6, 16  # COUNT training images at most: every test of ten rounds crosses epochs

NAMES = list(recipes.names())
CASES = [(name, kind) for name in NAMES for kind in recipes.find(name).kinds]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_has_small_settings(name: str) -> None:
    assert name in SMALL, (
        f'Add a line for "{name}" to SMALL in {Path(__file__).name}: settings that make a round quick.'
    )


def test_no_small_settings_without_a_recipe() -> None:
    assert set(SMALL) <= set(NAMES)


def small(name: str, **fields: Any) -> Recipe:
    if name not in SMALL:
        pytest.fail(f'"{name}" has no line in SMALL.')
    cls = recipes.find(name)
    latent = {"z_dim": 4} if issubclass(cls, Generates) else {}
    return cls(**{"batch": BATCH, **latent, **SMALL[name].fields, **fields})


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANSMITH_CACHE", str(folder))
        yield folder


def dataset(name: str, kind: str, px: int | None = None) -> Dataset:
    """ring8, or a few noise images of the size that the recipe can make, with labels, or with partners."""
    if kind == "points":
        return open_data("ring8", progress=False)
    side = px or SMALL[name].px
    if kind in ("pairs", "domains"):
        return suited(open_data(two_sides(side), resolution=side, progress=False), (kind,))
    path = cache_folder() / f"noise{side}.npz"
    pixels = np.random.default_rng(0).integers(0, 256, (COUNT, side, side, 3), np.uint8)
    np.savez(path, x=pixels, y=np.arange(COUNT) % CLASSES)
    return open_data(path, resolution=side, progress=False)


def two_sides(side: int) -> Path:
    """Noise images in colour, and each of them as a grey one."""
    folder = cache_folder() / f"sides{side}"
    for name, mode in (("A", "L"), ("B", "RGB")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 256, (COUNT, side, side, 3), np.uint8)
        for i, image in enumerate(pixels):
            Image.fromarray(image).convert(mode).save(folder / name / f"{i}.png")
    return folder


def first_kind(name: str) -> str:
    """Of the data that a recipe learns, images where it can."""
    kinds = recipes.find(name).kinds
    return "image" if "image" in kinds else kinds[0]


class Watched(Game):
    """A game that writes down each move: who, with which terms, and which parameters differ after it."""

    moves: list[tuple[Player, Terms, set[str]]]

    def _step(self, player: Player, terms: Terms, rest: Any) -> None:
        before = {k: v.detach().clone() for k, v in self.nets.named_parameters()}
        super()._step(player, terms, rest)
        moved = {k for k, v in self.nets.named_parameters() if not torch.equal(v, before[k])}
        self.moves.append((player, terms, moved))


def game(recipe: Recipe, data: Dataset, seed: int = 0) -> Watched:
    feed = Stream(data, recipe.draws, seed=seed)
    out = Watched(recipe, data.spec, feed, seed=seed, channels_last=data.spec.kind != "points")
    out.moves = []
    return out


def played(recipe: Recipe, data: Dataset, rounds: int, seed: int = 0) -> Watched:
    out = game(recipe, data, seed)
    for _ in range(rounds):
        out.play()
    return out


def tensors(g: Game) -> dict[str, Tensor]:
    nets, optims, _ = g.state()
    return {**nets, **{f"optim {k}": v for k, v in optims.items()}}


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert torch.equal(value, b[name]), name


# ---------------------------------------------------------------- playing


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_each_player_moves_all_that_is_its_own_and_nothing_else(name: str, kind: str, cache: Path) -> None:
    g = played(small(name), dataset(name, kind), rounds=4)
    everything, moved = {k for k, _ in g.nets.named_parameters()}, set()
    for player, terms, changed in g.moves:
        own = {k for k in everything if k.split(".")[0] in player.nets}
        assert changed <= own, f"{player.name} moved {sorted(changed - own)}"
        assert all(v.ndim == 0 and torch.isfinite(v) for v in terms.values())
        moved |= changed
    assert everything - moved <= set(SMALL[name].still)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_the_seed_decides_everything(name: str, kind: str, cache: Path) -> None:
    data = dataset(name, kind)
    first, again, other = (played(small(name), data, rounds=3, seed=seed) for seed in (0, 0, 1))
    assert_same(tensors(first), tensors(again))
    changed = [not torch.equal(p, q) for p, q in zip(first.nets.parameters(), other.nets.parameters(), strict=True)]
    assert sum(changed) > 0.7 * len(changed)  # what starts at 0, or is clipped, may stay the same


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_ten_rounds_are_five_a_checkpoint_and_five(name: str, kind: str, cache: Path, tmp_path: Path) -> None:
    recipe, data = small(name), dataset(name, kind)
    straight, first = played(recipe, data, rounds=10), played(recipe, data, rounds=5)
    if data.spec.count:
        assert straight.clock.seen // data.spec.count > first.clock.seen // data.spec.count > 0  # epochs were crossed
    nets, optims, rest = first.state()
    path = checkpoint.save(tmp_path, (nets, optims, rest | {"seconds": 0.0}))
    second = game(recipe, data)
    second.restore(*checkpoint.load(path), path)
    assert_same(tensors(second), tensors(first))
    for _ in range(5):
        second.play()
    assert_same(tensors(second), tensors(straight))
    assert second.clock == straight.clock


@pytest.mark.parametrize("name", NAMES)
def test_one_sample_a_move_is_enough(name: str, cache: Path) -> None:
    """batch = 1, which normalisation over a batch often cannot do, plays or is refused in one sentence."""
    data = dataset(name, first_kind(name))
    try:
        g = played(small(name, batch=1), data, rounds=2)
    except GansmithError as e:
        assert "batch" in str(e)
    else:
        assert g.clock.seen > 0


# ---------------------------------------------------------------- choices


def choices(cls: type[Recipe]) -> list[tuple[str, Any]]:
    """Every value of every field of its own that is a word or a switch."""
    hints, shared = get_type_hints(cls), {f.name for f in dataclasses.fields(Recipe)}
    own = [f.name for f in dataclasses.fields(cls) if f.name not in shared]
    words = [(name, v) for name in own for v in get_args(hints[name]) if is_word(hints[name])]
    return words + [(name, v) for name in own if hints[name] is bool for v in (False, True)]


def is_word(hint: Any) -> bool:
    return get_origin(hint) is Literal


CHOICES = [(name, field, value) for name in NAMES for field, value in choices(recipes.find(name))]


@pytest.mark.parametrize(("name", "field", "value"), CHOICES)
def test_every_choice_can_be_played(name: str, field: str, value: Any, cache: Path) -> None:
    """On points or on images: a net may be for one of them only, and says so then."""
    count = 0
    own = first_kind(name)
    for kind, px in (("points", 0), (own, SMALL[name].px), (own, 32)):
        data = dataset(name, kind, px)
        try:
            recipe = small(name, **{field: value})
            recipe.check(data.spec)
            count += len(played(recipe, data, rounds=1).moves)
        except GansmithError as e:
            assert str(e).endswith(".") and "\n" not in str(e)
    assert count > 1, "no kind of data could be learned with it"


# ---------------------------------------------------------------- run directory and abilities


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_run_keeps_fields_and_draws_the_same_samples(name: str, kind: str, cache: Path, tmp_path: Path) -> None:
    data = dataset(name, kind)
    fields = {k: v for k, v in dataclasses.asdict(small(name)).items() if k != "samples"}
    run = gansmith.train(name, data, out=tmp_path / "run", samples=1, tick=10**9, quiet=True, **fields)
    gans = [gansmith.load(run.path) for _ in range(2)]
    assert gans[0].recipe == small(name, samples=1)
    if isinstance(gans[0].recipe, Translates):
        x = data.fetch_held_out(np.zeros(1, np.int64), ("a",))[0]
        made = [gan.recipe.translate(gan.nets, x) for gan in gans]
        assert torch.equal(made[0], made[1]) and made[0].shape == (1, *data.spec.target)
        return
    draws = [gan.sample(5, seed=3) for gan in gans]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], gans[0].sample(5, seed=4))
    assert draws[0].shape == (5, *data.spec.shape)


@pytest.mark.parametrize("name", NAMES)
def test_fields_survive_yaml(name: str) -> None:
    changed = {}
    for f in dataclasses.fields(recipes.find(name)):
        value = getattr(small(name), f.name)
        if isinstance(value, float) and value:
            changed[f.name] = max(value / 3, recipes.find(name).ranges.get(f.name, (0.0, 0.0))[0])
        elif isinstance(value, tuple):
            changed[f.name] = tuple(v * 2 if isinstance(v, int) else v / 3 for v in value)
    recipe = small(name, **changed)
    text = yaml.safe_dump(fields_to_yaml(dataclasses.asdict(recipe)))
    assert type(recipe)(**fields_from_yaml(yaml.safe_load(text))) == recipe


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_it_can_do_what_it_declares(name: str, kind: str, cache: Path) -> None:
    recipe, data = small(name), dataset(name, kind)
    nets = recipe.build(data.spec)
    assert set(recipe.averaged) <= set(nets)
    if isinstance(recipe, Generates):
        z = recipe.draw_latents(5, generator=torch.Generator().manual_seed(0))
        size = recipe.z_dim + sum(code.size for code in recipe.codes(data.spec))
        assert z.shape == (5, size) and z.dtype == torch.float32
        assert torch.equal(z, recipe.draw_latents(5, generator=torch.Generator().manual_seed(0)))
        samples = recipe.generate(nets.eval(), z)
        assert samples.shape == (5, *data.spec.shape) and samples.dtype == torch.float32
        assert samples.isfinite().all() and (samples[0] != samples[1]).any()
    if isinstance(recipe, Translates):
        sides = dict(zip(("A2B", "B2A"), Stream(data, ("a", "b"), seed=0)(2), strict=True))
        for direction in recipe.directions:
            y = recipe.translate(nets.eval(), sides[direction], direction)
            shape = data.spec.shape if direction == "B2A" else data.spec.target
            assert y.shape == (2, *shape) and y.dtype == torch.float32 and y.isfinite().all()
            assert sides[direction].shape[2] % recipe.multiple(nets) == 0
        return
    assert isinstance(recipe, Discriminates)
    assert recipe.logits(nets.eval(), Stream(data, seed=0)(3)).shape == (3,)


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize("name", NAMES)
def test_every_field_is_explained_and_nothing_else(name: str) -> None:
    cls = recipes.find(name)
    told = explain(cls)
    assert told.keys() == {f.name for f in dataclasses.fields(cls)}
    assert all(len(text) > 2 for text in told.values())


def numbers(cls: type[Recipe]) -> Iterator[tuple[str, Any]]:
    """Every numeric field with values that make no sense for it."""
    hints, default = get_type_hints(cls), cls()
    for f in dataclasses.fields(cls):
        members = get_args(hints[f.name]) or (hints[f.name],)
        if is_word(hints[f.name]) or not {int, float} & set(members):
            continue
        wrong = [-1, math.nan, math.inf, -math.inf] if float in members else [-1, -(10**6)]
        if f.name in cls.ranges and math.isfinite(cls.ranges[f.name][1]):
            wrong.append(cls.ranges[f.name][1] + 1)
        value = getattr(default, f.name)
        for bad in wrong:
            shapes = (
                [(*value[:i], bad, *value[i + 1 :]) for i in range(len(value))] if isinstance(value, tuple) else [bad]
            )
            yield from ((f.name, v) for v in shapes)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_out_of_range_are_refused(name: str) -> None:
    cls, tried = recipes.find(name), 0
    for field, value in numbers(cls):
        with pytest.raises(GansmithError, match=rf"^{field} = .* is out of range: give .*\.$"):
            cls(**{field: value})
        tried += 1
    assert tried > 10
    assert cls.ranges.keys() <= {f.name for f in dataclasses.fields(cls)}


WORDS = sorted({(name, field) for name, field, value in CHOICES if isinstance(value, str)})


@pytest.mark.parametrize(("name", "field"), WORDS)
def test_unknown_words_are_refused(name: str, field: str) -> None:
    with pytest.raises(GansmithError, match=field):
        recipes.find(name)(**{field: "nonsense"})


def spec(kind: str, shape: tuple[int, ...], count: int = 0) -> DataSpec:
    """Data of that kind, with labels where a kind has any."""
    if kind in ("pairs", "domains"):
        return DataSpec("test", kind, shape, count, fields=("a", "b"), target=shape)
    return DataSpec("test", kind, shape, count, fields=("x", "y"), classes=("a", "b"))


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_valid_and_their_nets_can_be_built(name: str) -> None:
    cls = recipes.find(name)
    for fields in cls.presets.values():
        fitting = 0
        for shape in [(2,), *((3, px, px) for px in (32, 64, 128, 256))]:
            data = spec("points" if len(shape) == 1 else first_kind(name), shape)
            recipe = cls(**{k: setting.value for k, setting in cls.bound(data).items()} | fields)
            try:
                recipe.check(data)
                with torch.device("meta"):
                    fitting += len(recipe.build(data)) > 1
            except GansmithError:
                continue
        assert fitting


# ---------------------------------------------------------------- data


HELD = {"image": "(image data|single images)", "points": "points", "waveform": "waveform"}


@pytest.mark.parametrize("name", NAMES)
def test_the_wrong_kind_of_data_is_refused(name: str) -> None:
    recipe = small(name)
    for kind in HELD.keys() - set(recipe.kinds):
        with pytest.raises(GansmithError, match=f"(learns|needs) .*[,;].* odd holds {HELD[kind]}"):
            recipe.check(DataSpec("odd", kind, (1, 8, 8)))
    if recipe.draws:
        with pytest.raises(GansmithError, match=f"needs {re.escape(', '.join(recipe.draws))}"):
            recipe.check(DataSpec("odd", recipe.kinds[0], (2,), fields=()))


@pytest.mark.parametrize(("name", "kind"), CASES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_suggestions_are_known_fields_with_a_reason_and_make_a_recipe(name: str, kind: str, device: str) -> None:
    cls = recipes.find(name)
    for count in (0, 10, 4500, 10**7):
        for px in (28, 32, 64):
            shape = (2,) if kind == "points" else (3, px, px)
            data = spec(kind, shape, count)
            chosen = cls.bound(data) | cls.suggest(data, torch.device(device))
            assert chosen.keys() <= {f.name for f in dataclasses.fields(cls)}
            assert all(len(setting.reason) > 5 for setting in chosen.values())
            recipe = cls(**{k: setting.value for k, setting in chosen.items()})
            recipe.check(data)
    with torch.device("meta"):
        assert len(recipe.build(data)) > 1
