"""Networks that grow: the fading of sizes, the schedule, fresh optimizers, resuming across a boundary."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gansmith
from gansmith.core import Clock, DataSpec, Recipe
from gansmith.data import Stream, open_data
from gansmith.engine import checkpoint
from gansmith.engine.game import Game
from gansmith.errors import GansmithError
from gansmith.nets import progan, stylegan
from gansmith.nets.growth import Level, as_seen, level_at, level_of, set_level
from gansmith.nn import EqualisedConv2d, EqualisedLinear, Mapping, down_average, up_nearest
from gansmith.zoo.progan import ProGAN
from gansmith.zoo.stylegan import StyleGAN

SHAPE = (3, 16, 16)
TINY = {"fmap_base": 64, "fmap_max": 16}
JUST = 1e-6  # after a level


def pair(**more: Any) -> tuple[progan.Generator, progan.Discriminator]:
    return progan.Generator(8, SHAPE, **TINY), progan.Discriminator(SHAPE, **TINY, **more)


def at(net: nn.Module, level: float) -> nn.Module:
    set_level(net, level)
    return net


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("stage", [0, 1])
def test_a_size_fades_in_from_the_smaller_networks_pixels_repeated(stage: int) -> None:
    G, _ = pair()
    z = torch.randn(5, 8)
    with torch.no_grad():
        small, grown = at(G, stage)(z, full=False), at(G, stage + JUST)(z, full=False)
        half, new = at(G, stage + 0.5)(z, full=False), at(G, stage + 1)(z, full=False)
        assert torch.equal(at(G, stage)(z), small.repeat_interleave(4 >> stage, 2).repeat_interleave(4 >> stage, 3))
    assert grown.shape[-1] == 2 * small.shape[-1] == 8 << stage
    assert torch.allclose(grown, up_nearest(small), atol=1e-4)
    assert torch.allclose(half, (up_nearest(small) + new) / 2, atol=1e-5)
    assert not torch.allclose(new, up_nearest(small), atol=0.1)


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("stage", [0, 1])
def test_d_fades_in_from_the_smaller_network_on_shrunk_images(stage: int, blur: bool) -> None:
    _, D = pair(blur=blur)
    x = torch.randn(8, *SHAPE)
    with torch.no_grad():
        before, after, new = (at(D, level)(x) for level in (stage, stage + JUST, stage + 1))
        assert torch.allclose(after, before, atol=1e-4) and not torch.allclose(new, before, atol=1e-2)
        at(D, stage)
        assert torch.allclose(D(nn.functional.avg_pool2d(x, 4 >> stage)), before, atol=1e-6)


def test_at_a_whole_level_only_that_sizes_layers_count() -> None:
    """Neither the layers of larger sizes nor the way out at the smaller one have a gradient."""
    G, D = pair()
    set_level(G, 1.0)
    set_level(D, 1.0)
    D(G(torch.randn(4, 8))).sum().backward()
    idle = {n for net in (G, D) for n, p in net.named_parameters() if p.grad is None}
    assert {n for n in idle if "rgb" in n} == {
        f"{d}_rgb.{i}.{k}" for d in ("to", "from") for i in (0, 2) for k in ("weight", "bias")
    }
    assert {n.split(".")[1] for n in idle if n.startswith("body")} == {"2", "1"}  # G's last block, D's first
    assert all(p.grad is None for p in [*G.body[2].parameters(), *D.body[1].parameters()])
    assert all(p.grad is not None for p in [*G.body[1].parameters(), *D.body[0].parameters()])


def test_real_images_fade_with_the_generated_ones() -> None:
    G, _ = pair()
    x, level = torch.randn(2, *SHAPE), level_of(G)
    level.set(2.0)
    assert torch.equal(as_seen(x, level), x)
    level.set(1.0)
    assert torch.equal(as_seen(x, level), down_average(x))
    level.set(1.25)
    assert torch.allclose(as_seen(x, level), 0.75 * up_nearest(down_average(x)) + 0.25 * x, atol=1e-6)


def test_what_real_images_lose_is_what_generated_ones_lack() -> None:
    """At the first moment of fading in, both are constant on squares of 2 x 2 pixels."""
    G, _ = pair()
    set_level(G, 1 + JUST)
    for x in (as_seen(torch.randn(2, *SHAPE), level_of(G)), G(torch.randn(2, 8), full=False).detach()):
        assert torch.allclose(x, up_nearest(down_average(x)), atol=1e-4)


def test_every_layer_starts_at_unit_scale() -> None:
    """Before its activation each layer's output has sqrt 2 times its input's scale, which the activation undoes."""
    G = at(progan.Generator(64, (3, 32, 32), 512, 64), 3.0)
    D = at(progan.Discriminator((3, 32, 32), 512, 64), 3.0)
    seen: dict[str, float] = {}

    def note(name: str) -> Any:
        return lambda module, given, made: seen.__setitem__(name, float(made.std() / given[0].square().mean().sqrt()))

    for label, net in (("G", G), ("D", D)):
        for name, module in net.named_modules():
            if isinstance(module, (EqualisedConv2d, EqualisedLinear)):
                module.register_forward_hook(note(f"{label}.{name}"))
    with torch.no_grad():
        D(G(torch.randn(64, 64)))
    gains = {"G.body.0.dense": math.sqrt(2) / 4, "G.to_rgb.3": 1.0}
    assert len(seen) == 9 + 10
    del seen["D.out"]  # a single number
    for name, ratio in seen.items():
        assert 0.6 < ratio / gains.get(name, math.sqrt(2)) < 1.4, name


def test_parameter_counts_are_those_of_the_released_networks() -> None:
    with torch.device("meta"):
        shape = (3, 1024, 1024)
        G, D = progan.Generator(512, shape), progan.Discriminator(shape)
        M, S = Mapping(512, 512), stylegan.Generator(512, shape, start=4)
    counts = [sum(p.numel() for p in net.parameters()) for net in (G, D, M, S)]
    assert counts == [23_079_115, 23_087_249, 2_101_248, 26_219_627 - 2_101_248]


def test_parameter_counts_by_hand() -> None:
    """8 px, two blocks of 4 channels, z of 2 numbers, grey."""
    G, D = progan.Generator(2, (1, 8, 8), 16, 4), progan.Discriminator((1, 8, 8), 16, 4)
    conv = 4 * 4 * 9 + 4
    assert sum(p.numel() for p in G.parameters()) == (2 * 64 + 4) + conv + 2 * conv + 2 * (4 + 1)
    last = (5 * 4 * 9 + 4) + (64 * 4 + 4) + (4 + 1)
    assert sum(p.numel() for p in D.parameters()) == 2 * (4 + 4) + 2 * conv + last


def test_d_sees_that_samples_are_alike_and_bears_a_single_one() -> None:
    _, D = pair()
    set_level(D, 2.0)
    x = torch.randn(1, *SHAPE)
    assert D(x).shape == (1,)
    alike, varied = D(x.expand(4, -1, -1, -1)), D(torch.cat([x, torch.randn(3, *SHAPE)]))
    assert torch.allclose(alike, D(x).expand(4), atol=1e-5)  # no spread in either case
    assert abs((varied[0] - alike[0]).item()) > 1e-3


def test_sizes_start_from_7_px_and_others_are_refused() -> None:
    assert progan.Generator(4, (1, 28, 28), **TINY).level.sizes == (7, 14, 28)
    assert stylegan.Generator(4, (1, 28, 28), **TINY).level.sizes == (14, 28)
    assert stylegan.Generator(4, (1, 32, 32), **TINY).level.sizes == (8, 16, 32)
    with pytest.raises(GansmithError, match="not 48 px: choose a resolution of 56"):
        progan.Generator(4, (1, 48, 48))
    with pytest.raises(GansmithError, match="start = 64 px is beyond the images' 32 px"):
        progan.Generator(4, (1, 32, 32), start=64)
    with pytest.raises(GansmithError, match="fmap_base = 8 leaves no channels after 3 doublings: give at least 16"):
        progan.Discriminator((1, 32, 32), fmap_base=8)


# ---------------------------------------------------------------- schedule


def test_the_level_at_the_boundaries() -> None:
    """Three sizes, 600 ksamples stable and 800 fading."""
    shown = {0: 0, 600: 0, 700: 0.125, 1400: 1, 2000: 1, 2400: 1.5, 2800: 2, 5000: 2}
    assert {k: level_at(k, 600, 800, 2) for k in shown} == shown
    assert level_at(0, 0, 0, 2) == 2.0  # no growth
    assert [level_at(k, 5, 0, 2) for k in (4, 5, 10)] == [0.0, 1.0, 2.0]  # jumps


def spec(px: int = 16) -> DataSpec:
    return DataSpec("noise", "image", (3, px, px), count=100)


def test_growing_by_the_share_of_the_budget_keeps_the_proportions() -> None:
    recipe = ProGAN(stable=1.0, fade=3.0, growing=0.5, **TINY)
    nets = recipe.build(spec())
    for progress, level in ((0.0, 0.0), (0.0625, 0.0), (0.15625, 0.5), (0.25, 1.0), (0.5, 2.0), (1.0, 2.0)):
        now = recipe.grow(nets, Clock(progress=progress)).now
        assert float(now) == pytest.approx(level), progress


def test_the_level_never_falls() -> None:
    """A run that goes on with ten times the budget stays at the size that it has reached."""
    recipe = ProGAN(growing=0.5, **TINY)
    nets = recipe.build(spec())
    recipe.grow(nets, Clock(progress=0.4))
    assert recipe.grow(nets, Clock(progress=0.04)).now == pytest.approx(1.2)


@pytest.mark.parametrize("recipe", [ProGAN, StyleGAN])
def test_batches_by_size_and_for_several_processes(recipe: type[Recipe]) -> None:
    game = recipe(batches=(8, 4), batch=2, start=4, **TINY)
    level = level_of(game.build(spec(32)))
    level.set(0.0)
    sizes = []
    for at_level in (0.0, 0.5, 1.0, 2.0, 3.0):
        level.set(at_level)
        sizes.append(game.batch_at(level))
    assert sizes == [8, 4, 4, 2, 2]
    half = game.shard(2)
    assert (half.batches, half.batch) == ((4, 2), 1)
    with pytest.raises(GansmithError, match="6 of batches does not divide over 4 processes"):
        replace(game, batches=(8, 6), batch=4).shard(4)
    with pytest.raises(GansmithError, match="pack = 2 does not divide 3 of batches"):
        recipe(batches=(3,), pack=2)


def test_stages_tell_share_batch_and_cost() -> None:
    recipe = ProGAN(stable=2.0, fade=2.0, batches=(8,), batch=4, samples=16_000, **TINY)
    stages = recipe.stages(spec(), 16_000)
    assert [stage.seen for stage in stages] == [1, 2001, 6001]
    spans = ["2 ksamples, 12.5 % of the budget", "4 ksamples, 25 % of the budget", "10 ksamples, 62.5 % of the budget"]
    for stage, span, size, batch in zip(stages, spans, (4, 8, 16), (8, 4, 4), strict=True):
        assert stage.text.startswith(f"{size} px: {span}, batch {batch}, ")
    flop = [float(stage.text.partition(" GFLOP")[0].split()[-1]) for stage in stages]
    assert all(a < b for a, b in pairwise(flop))
    assert [s.text.split()[0] for s in recipe.stages(spec(), 5000)] == ["4", "8"]  # the budget ends before 16 px
    shares = replace(recipe, growing=0.5, stable=1.0, fade=1.0).stages(spec(), None)
    assert [s.text.split(", ")[0] for s in shares] == [
        f"{size} px: {share} % of the budget" for size, share in ((4, 12.5), (8, 25), (16, 62.5))
    ]


def test_the_cost_of_the_first_size_by_hand() -> None:
    """8 px, 4 channels, z of 2: two FLOP for each weight at each of 4 x 4 places, without the layers of 8 px."""
    recipe = ProGAN(z_dim=2, fmap_base=16, fmap_max=4)
    text = recipe.stages(DataSpec("d", "image", (1, 8, 8)), None)[0].text
    conv, dense, rgb = 4 * 4 * 9 * 16, 2 * 64, 4 * 16
    g, d = dense + conv + rgb, rgb + 5 * 4 * 9 * 16 + 64 * 4 + 4
    assert f", {2 * (g + d) / 1e9:.3g} GFLOP a sample" in text


# ---------------------------------------------------------------- playing


def noise(folder: Path) -> Any:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), np.uint8)
    np.savez(folder / "noise.npz", x=pixels)
    return open_data(folder / "noise.npz", resolution=16, progress=False)


SMALL = {"z_dim": 4, "fmap_base": 32, "fmap_max": 8, "batches": (4,), "batch": 2, "start": 4}
GAMES = [
    ProGAN(**SMALL, stable=0.008, fade=0.008),
    StyleGAN(**SMALL, w_dim=4, mapping_layers=2, stable=0.008, fade=0.008),
]


def game(recipe: Recipe, folder: Path) -> Game:
    data = noise(folder)
    return Game(recipe, data.spec, Stream(data, recipe.draws, seed=0), channels_last=True)


def state(g: Game) -> dict[str, Tensor]:
    nets, optims, _ = g.state()
    return nets | optims


@pytest.mark.parametrize("recipe", GAMES, ids=["progan", "stylegan"])
def test_resuming_across_boundaries_is_exact(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From checkpoints before a fade, at its end and just before the next: two rounds on equal those never stopped."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    straight, levels, kept = game(recipe, tmp_path), [], game(recipe, tmp_path)
    for i in range(12):
        straight.play()
        levels.append(float(level_of(straight.nets).now))
        if i in (2, 6, 9):
            nets, optims, rest = straight.state()
            path = checkpoint.save(tmp_path / str(i), (nets, optims, rest | {"seconds": 0.0}))
            kept = game(recipe, tmp_path)
            kept.restore(*checkpoint.load(path), path)
            assert_same(state(straight), state(kept))
        if i in (4, 8, 11):
            kept.play()
            kept.play()
            assert_same(state(straight), state(kept))
    assert levels[2] == 0.0 < levels[4] < levels[6] <= 1.0
    assert levels[8] == levels[9] == 1.0 < levels[11] <= 2.0


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name, value in a.items() if not torch.equal(value, b[name])] == []


@pytest.mark.parametrize("recipe", GAMES, ids=["progan", "stylegan"])
def test_the_optimizers_start_afresh_when_a_size_begins_and_ends_to_fade_in(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the current ones are kept, and what has not moved in this stage has no state."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    g, stages = game(recipe, tmp_path), []
    for _ in range(20):
        g.play()
        assert len(g.optims) == 2
        stages += [key for key in g.optims if key.startswith("D@") and key not in stages]
    assert stages == ["D@4", "D@8in", "D@8", "D@16in", "D@16"]
    steps = {int(s["step"]) for s in g.optims["D@16"].state.values()}
    assert len(steps) == 1 and max(steps) < 10
    assert {k.split("/")[0] for k in g.means()} == {"D", "G"}  # records go on under one name


def test_a_training_by_minutes_reaches_the_full_size_and_draws_it(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((16, 16, 16, 3), np.float32) * 2 - 1
    fields = {**SMALL, "growing": 0.5}
    run = gansmith.train("progan", x, out=tmp_path / "run", minutes=0.02, quiet=True, device="cpu", **fields)
    gan = run.load()
    assert float(level_of(gan.nets).now) == 2.0 and gan.sample(3).shape == (3, 3, 16, 16)


def test_the_plan_tries_every_size(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).random((16, 16, 16, 3), np.float32) * 2 - 1
    told = gansmith.plan("progan", x, samples=20_000, growing=0.5, device="cpu", **SMALL)
    out = capsys.readouterr().out
    assert [s["stage"].split(":")[0] for s in told["stages"]] == ["4 px", "8 px", "16 px"]
    assert "16 px: 12.5 ksamples, 62.5 % of the budget, batch 2," in out and "8 px: about " in out
    shares = (0.125, 0.25, 0.625)
    expected = sum(20_000 * share / s["rate"] for share, s in zip(shares, told["stages"], strict=True))
    assert told["seconds"] == pytest.approx(expected, rel=0.01)


def test_the_level_stays_where_it_can_be_read() -> None:
    G, _ = pair()
    level_of(G).set(1.001)
    with torch.device("meta"):
        counted = progan.Generator(4, SHAPE)
    assert level_of(G.to(torch.bfloat16)).split() == (2, pytest.approx(0.001, rel=1e-3))
    assert level_of(counted).split() == (0, 1.0)


@pytest.mark.parametrize("recipe", GAMES, ids=["progan", "stylegan"])
def test_helpers_go_with_growing(recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrapped networks grow, too, and D's packs are judged at every size."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    more = {"pack": 2, "instance_noise": 0.1, "feature_matching": 1.0, "historical_averaging": 0.1, "dropout_g": 0.1}
    g = game(replace(recipe, **more), tmp_path)
    for _ in range(7):
        g.play()
    levels = [float(m.now) for m in g.nets.modules() if isinstance(m, Level)]
    assert len(levels) == 2 and levels[0] == levels[1] > 0.5
    assert {"feature_matching", "historical_averaging"} <= {k.split("/")[1] for k in g.means()}
