"""StyleGAN's layers in closed form, style mixing, the mean style, noise that belongs to a sample, the rates by size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from gansmith.core import Clock, DataSpec, Nets
from gansmith.nets import stylegan
from gansmith.nets.growth import level_of, set_level
from gansmith.nn import Mapping, binomial_blur, noise_keys, pixel_norm
from gansmith.zoo.stylegan import StyleGAN

SHAPE = (3, 16, 16)
TINY = {"fmap_base": 32, "fmap_max": 8}


def made(**fields: Any) -> tuple[StyleGAN, Nets]:
    recipe = StyleGAN(z_dim=8, w_dim=8, mapping_layers=2, batches=(), batch=4, **TINY, **fields)
    return recipe, recipe.build(DataSpec("d", "image", SHAPE))


def loud(nets: Nets) -> Nets:
    """With noise that shows: its gains start at 0."""
    for name, p in nets["G"].named_parameters():
        if name.endswith("gain"):
            torch.nn.init.constant_(p, 0.5)
    return nets


# ---------------------------------------------------------------- layers


def test_the_epilogue_is_noise_bias_activation_normalisation_style() -> None:
    layer = stylegan.Epilogue(3, 4)
    for p in layer.parameters():
        torch.nn.init.normal_(p)
    h, w, noise = torch.randn(2, 3, 5, 5), torch.randn(2, 4), torch.randn(2, 1, 5, 5)
    made = layer(h, w, noise)
    for n in range(2):
        style = layer.style.weight @ w[n] / 2 + layer.style.bias  # 1 / sqrt(fan-in of 4)
        for c in range(3):
            x = h[n, c] + layer.gain[c] * noise[n, 0] + layer.bias[c]
            x = torch.where(x > 0, x, 0.2 * x)
            x = (x - x.mean()) / (x.var(correction=0) + 1e-8).sqrt()
            assert torch.allclose(made[n, c], x * (style[c] + 1) + style[3 + c], atol=1e-5)


def test_the_start_is_a_constant_of_ones_without_noise() -> None:
    G = stylegan.Generator(4, SHAPE, **TINY)
    assert torch.equal(G.body[0].constant, torch.ones(1, 8, 4, 4))
    assert all((p == 0).all() for name, p in G.named_parameters() if name.endswith(("gain", "bias")))


def test_the_blur_is_a_separable_1_2_1_filter() -> None:
    x = torch.zeros(1, 2, 5, 5)
    x[0, 0, 2, 2], x[0, 1, 0, 0] = 16.0, 16.0
    line = torch.tensor([1.0, 2.0, 1.0])
    y = binomial_blur(x)
    assert torch.equal(y[0, 0, 1:4, 1:4], torch.outer(line, line)) and y[0, 0].sum() == 16
    assert torch.equal(y[0, 1, :2, :2], torch.tensor([[4.0, 2.0], [2.0, 1.0]]))


def test_the_mapping_normalises_z_and_learns_at_a_hundredth() -> None:
    M = Mapping(8, 16, layers=3)
    z = torch.randn(64, 8)
    assert torch.allclose(M(z), M(5 * z), atol=1e-5)
    w = pixel_norm(z)
    for layer in M.layers:
        w = 2**0.5 * torch.nn.functional.leaky_relu(w @ layer.weight.T * layer.scale, 0.2)
        assert layer.weight.std().item() == pytest.approx(100, rel=0.2)
    assert torch.allclose(M(z), w, atol=1e-5)


# ---------------------------------------------------------------- noise


def test_a_sample_does_not_depend_on_those_drawn_with_it() -> None:
    recipe, nets = made()
    set_level(loud(nets), 1.0)
    nets.eval()
    z = recipe.draw_latents(5)
    with torch.no_grad():
        together = recipe.generate(nets, z)
        alone = torch.cat([recipe.generate(nets, row) for row in z.split(1)])
        torch.manual_seed(99)
        again = recipe.generate(nets.train(), z)
    assert torch.allclose(together, alone, atol=1e-5) and torch.equal(together, again)


def test_noise_differs_between_samples_and_is_standard_normal() -> None:
    G = stylegan.Generator(4, SHAPE, **TINY).eval()
    ws = torch.zeros(64, G.layers, 4)
    seeds = noise_keys(torch.randn(64, 4))
    assert len(seeds.unique()) == 64 and (seeds >= 0).all()
    maps = list(G._noise(ws, seeds))
    assert [m.shape[-1] for m in maps] == [4, 4, 8, 8, 16, 16]
    for m in maps:
        assert abs(m.mean().item()) < 0.1 and m.std().item() == pytest.approx(1, abs=0.1)
        assert (m[0] != m[1]).any()
    constant = list(G._noise(ws, None))
    assert all(torch.equal(m, m[:1].expand_as(m)) for m in constant)  # of styles alone: the same in all
    fresh = [next(G.train()._noise(ws, None)) for _ in range(2)]
    assert (fresh[0] != fresh[1]).any()


def test_coarse_noise_stays_when_the_net_grows() -> None:
    G = stylegan.Generator(4, SHAPE, **TINY).eval()
    ws, seeds = torch.zeros(2, G.layers, 4), torch.tensor([3, 4])
    small = stylegan.Generator(4, (3, 8, 8), **TINY).eval()
    for a, b in zip(small._noise(ws, seeds), G._noise(ws, seeds), strict=False):
        assert torch.equal(a, b)


# ---------------------------------------------------------------- styles


def draws(recipe: StyleGAN, nets: Nets, times: int) -> list[Tensor]:
    return [recipe.mixed_styles(nets, 4, "cpu").detach() for _ in range(times)]


@pytest.mark.parametrize(("level", "active"), [(0.0, 4), (0.5, 6), (1.0, 6)])
def test_styles_cross_over_among_the_active_layers(level: float, active: int) -> None:
    """At 8 px four layers are at work, so another style begins at the second to fourth, for the whole batch."""
    recipe, nets = made(mixing=1.0)
    set_level(nets, level)
    found = set()
    for ws in draws(recipe, nets, 60):
        changes = [i for i in range(1, ws.shape[1]) if (ws[:, i] != ws[:, i - 1]).any()]
        assert len(changes) == 1 and (ws[:, changes[0]] != ws[:, changes[0] - 1]).any(1).all()
        found.add(changes[0])
    assert found == set(range(1, active))


def test_the_share_of_mixed_moves() -> None:
    for mixing, expected in ((0.0, 0.0), (0.9, 0.9)):
        recipe, nets = made(mixing=mixing)
        mixed = [(ws != ws[:, :1]).any().item() for ws in draws(recipe, nets, 300)]
        assert sum(mixed) / 300 == pytest.approx(expected, abs=0.06)


def test_the_mean_style_follows_unmixed_styles_in_training_alone() -> None:
    recipe, nets = made(mixing=1.0, mean_decay=0.9)
    before = nets["M"].mean.clone()
    recipe.generate(nets, recipe.draw_latents(4))
    assert torch.equal(nets["M"].mean, before)
    ws = recipe.mixed_styles(nets, 4, "cpu")
    assert torch.allclose(nets["M"].mean, 0.1 * ws[:, 0].detach().mean(0), atol=1e-6)  # the first layer is never mixed
    for _ in range(300):
        recipe.mixed_styles(nets, 64, "cpu")
    mean = nets["M"](recipe.draw_latents(4096)).mean(0)
    assert torch.allclose(nets["M"].mean, mean, atol=0.1)


def test_coarse_styles_are_the_first_and_truncation_ends_at_one_image() -> None:
    recipe, nets = made()
    set_level(loud(nets), 1.0)
    nets.eval()
    z = recipe.draw_latents(3)
    ws = recipe.styles(nets, z, psi=0.0)
    images = nets["G"](ws)
    assert ws.shape == (3, 6, 8) and torch.allclose(images, images[:1].expand_as(images), atol=1e-5)
    cut = recipe.styles(nets, z, psi=0.5, cutoff=2)
    assert torch.equal(cut[:, 2:], recipe.styles(nets, z)[:, 2:])


# ---------------------------------------------------------------- the round


def test_players_losses_and_rates() -> None:
    recipe, nets = made(gamma=4.0, stable=1.0, fade=1.0)
    data: Any = lambda n: torch.randn(n, *SHAPE)  # noqa: E731
    moves = list(recipe.round(nets, data, Clock(seen=1500)))
    assert [(p.name, p.nets, p.stage, set(terms)) for p, terms in moves] == [
        ("D", ("D",), "16in", {"adv", "r1"}),
        ("G", ("M", "G"), "16in", {"adv"}),
    ]
    assert all(p.options == {"lr": 1e-3} for p, _ in moves) and level_of(nets).size == 16


def test_r1_is_half_gamma_times_the_slope_on_what_d_was_shown() -> None:
    recipe, nets = made(gamma=4.0)
    x = torch.randn(4, *SHAPE)
    data: Any = lambda n: x  # noqa: E731
    _, terms = next(iter(recipe.round(nets, data, Clock())))
    small = torch.nn.functional.avg_pool2d(x, 2).requires_grad_()
    (slope,) = torch.autograd.grad(nets["D"](small).sum(), small)
    assert terms["r1"].item() == pytest.approx(2 * slope.square().sum((1, 2, 3)).mean().item(), rel=1e-4)


def test_learning_rates_by_size() -> None:
    recipe = StyleGAN(**{**TINY, "fmap_base": 1024})
    with torch.device("meta"):
        level = level_of(recipe.build(DataSpec("d", "image", (3, 1024, 1024))))
    rates = {}
    for i, size in enumerate(level.sizes):
        level.set(float(i))
        rates[size] = recipe.lr_at(level)
    assert rates == {8: 1e-3, 16: 1e-3, 32: 1e-3, 64: 1e-3, 128: 1.5e-3, 256: 2e-3, 512: 3e-3, 1024: 3e-3}


def test_the_gradient_of_one_image_is_that_of_two_equal_ones() -> None:
    """torch 2.13's instance norm has another one for a batch of one in channels_last memory."""
    torch.manual_seed(0)
    layer = stylegan.Epilogue(4, 3).double()
    h, w, noise = torch.randn(1, 4, 5, 6).double(), torch.randn(1, 3).double(), torch.randn(1, 1, 5, 6).double()
    weights = torch.randn(1, 4, 5, 6).double().contiguous(memory_format=torch.channels_last)
    found = []
    for n in (1, 2):
        x = h.repeat(n, 1, 1, 1).contiguous(memory_format=torch.channels_last).requires_grad_()
        (layer(x, w.repeat(n, 1), noise.repeat(n, 1, 1, 1)) * weights).sum().backward()
        assert x.grad is not None
        found.append(x.grad[:1])
    assert torch.allclose(found[0], found[1], atol=1e-5)
