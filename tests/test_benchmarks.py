"""The benchmarks measure what they say: FLOPs as counted by hand, equal rivals, turns in order, complete files."""

from __future__ import annotations

import argparse
import doctest
import importlib
import json
import re
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch.nn import functional as F

from gansmith.nets import dcgan, stylegan2

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
WEIGHTED = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.Embedding)
PLACES = re.compile(r"^D\.")  # where gansmith's nets have a layer more around them


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a script of that folder runs."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


# ---- counting


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("transposed", [False, True])
def test_flops_of_a_convolution_through_double_backward(groups: int, transposed: bool) -> None:
    """N 2, 4 -> 6 channels, 3x3, 5 x 5 positions: 2 * 2 * 6 * (4 / groups) * 9 * 25 each way.

    The squared gradient takes five: forward, its gradient for x, that one's gradients for weight and for what came
    in, and the forward's gradient for the weight.
    """
    flops = load("_flops")
    once = 2 * 2 * 6 * (4 // groups) * 9 * 25
    x = torch.randn(2, 4, 5, 5, requires_grad=True)
    if transposed:
        weight, convolve = torch.randn(4, 6 // groups, 3, 3, requires_grad=True), F.conv_transpose2d
    else:
        weight, convolve = torch.randn(6, 4 // groups, 3, 3, requires_grad=True), F.conv2d

    def logits() -> torch.Tensor:
        return convolve(x, weight, padding=1, groups=groups).square().sum()

    def penalty() -> None:
        (slope,) = torch.autograd.grad(logits(), x, create_graph=True)
        torch.autograd.backward(slope.square().sum(), inputs=[weight])

    assert flops.count(lambda: logits().detach()) == once
    assert flops.count(lambda: logits().backward()) == 3 * once
    assert flops.count(lambda: torch.autograd.backward(logits(), inputs=[weight])) == 2 * once
    assert flops.count(penalty) == 5 * once


def test_flops_of_a_linear_layer() -> None:
    """8 rows, 3 -> 5: 2 * 8 * 3 * 5, and twice that backward."""
    layer, x = torch.nn.Linear(3, 5), torch.randn(8, 3, requires_grad=True)
    assert load("_flops").count(lambda: layer(x).sum().backward()) == 3 * 240


def test_flops_of_the_steps_at_full_width() -> None:
    """At batch 64 the naive step takes 172.3 GFLOP; the same fakes for both moves and no gradients that nobody uses
    leave 145.6. Both grow with the batch, and two images do here."""
    step, flops, plain = load("step"), load("_flops"), load("_plain")
    real = torch.rand(2, 3, 64, 64) * 2 - 1
    game = step.game(step.recipes(2, 64)["dcgan"], real, "32")
    assert flops.count(plain.dcgan_step(real, step.Z_DIM, 64, fresh=True)) * 32 / 1e9 == pytest.approx(172.3, abs=0.1)
    assert flops.count(game.play) * 32 / 1e9 == pytest.approx(145.6, abs=0.1)


# ---- rivals


def test_rivals_have_the_published_sizes() -> None:
    step = load("step")
    nets = step.recipes(64, 64)["dcgan"].build(step.DataSpec(name="noise", kind="image", shape=(3, 64, 64)))
    assert step.check_sizes(nets, 64, norm=True) == {"G": 3_576_704, "D": 2_765_568}
    with pytest.raises(AssertionError):
        step.check_sizes(nets, 32, norm=True)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_rival_discriminator_computes_the_same(norm: str) -> None:
    ours = dcgan.Discriminator((3, 64, 64), 4, norm)
    net = load("_plain").discriminator(3, 4, norm == "batch")
    net.load_state_dict(dict(zip(net.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.rand(4, 3, 64, 64)
    torch.testing.assert_close(net(x), ours(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("grouped", [True, False])
def test_rival_stylegan2_computes_the_same(grouped: bool) -> None:
    """Same weights: same images of the same styles, and same logits. Its filters of doubling layers lie transposed."""
    plain = load("_plain_stylegan2")
    G, D = stylegan2.Generator(8, (3, 16, 16), 128, 16), stylegan2.Discriminator((3, 16, 16), 128, 16)
    rival_g, rival_d = plain.Generator(3, [16, 16, 8], 8, 0, grouped), plain.Discriminator(3, [16, 16, 8])
    for ours, rival in ((G, rival_g), (D, rival_d)):
        for p, q in zip(ours.parameters(), rival.parameters(), strict=True):
            q.data.copy_(p.data if p.shape == q.shape or p.ndim < 4 else p.data.transpose(0, 1))
    for i, layer in enumerate(G.body):
        if i % 2:  # doubling
            rival_g.layers[i].conv.weight.data.copy_(layer.conv.weight.data.transpose(0, 1))
    ws = torch.randn(4, G.layers, 8)
    torch.testing.assert_close(rival_g(ws), G(ws), rtol=1e-3, atol=1e-4)
    x = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(rival_d(x).squeeze(1), D(x), rtol=1e-3, atol=1e-4)


def test_rival_sampler_draws_the_same_images() -> None:
    sampling = load("sampling")
    gan = sampling.fresh(width=4)
    images = sampling.draw(sampling.plain(gan), gan.draw_latents(8))
    assert images.std() > 0.4  # they span the range
    torch.testing.assert_close(images, gan.sample(8), rtol=1e-3, atol=1e-4)


def test_first_move_is_the_critics() -> None:
    """D moves, G stays."""
    step = load("step")
    for name in ("wgan_gp", "r1"):
        game = step.game(step.recipes(4, 4)[name], torch.rand(4, 3, 64, 64), "32")
        before = {k: v.clone() for k, v in game.nets.state_dict().items() if "running" not in k and "num_" not in k}
        game.play()
        moved = {k[0] for k, v in before.items() if not torch.equal(v, game.nets.state_dict()[k])}
        assert moved == {"D"}
        assert set(game.means()) == {f"D/{term}" for term in ("adv", {"wgan_gp": "gp"}.get(name, name), "grad_norm_D")}


def test_biggans_rival_computes_the_same() -> None:
    """The same weights give the same images, scores and sizes; spectral norms and BatchNorm stand still."""
    torch.manual_seed(0)
    biggan, plain = load("biggan"), load("_plain_biggan")
    game = biggan.game(torch.rand(4, 3, 32, 32), torch.arange(4), 2, "32")
    assert biggan.check_sizes(game, 2) == {k: biggan.size(game.nets[k]) for k in ("G", "D")}
    G, D = plain.Generator(biggan.Z_DIM, 10, 8), plain.Discriminator(10, 8)
    z, y = torch.randn(4, biggan.Z_DIM), torch.tensor([3, 1, 4, 1])
    for ours, rival in ((game.nets["G"], G), (game.nets["D"], D)):
        theirs = sorted((n, m) for n, m in rival.named_modules() if isinstance(m, WEIGHTED))
        own = [m for _, m in sorted((PLACES.sub("", n), m) for n, m in ours.named_modules() if isinstance(m, WEIGHTED))]
        assert len(theirs) == len(own)
        for (_, a), b in zip(theirs, own, strict=True):
            weight = b.weight.detach()
            torch.nn.utils.parametrize.remove_parametrizations(a, "weight") if hasattr(a, "parametrizations") else None
            a.weight = torch.nn.Parameter(weight.T if isinstance(a, torch.nn.Embedding) else weight)
            if getattr(a, "bias", None) is not None:
                a.bias = b.bias
    cond = F.one_hot(y, 10).float()
    x = game.nets["G"].eval()(torch.cat([z, cond], 1))
    torch.testing.assert_close(G.eval()(z, y), x, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(D.eval()(x, y), game.nets["D"].eval()(x, cond), rtol=1e-3, atol=1e-4)


# ---- timing and reporting


def test_variants_take_turns_after_warming_up() -> None:
    calls: list[str] = []
    seconds = load("_common").interleave({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3, warmup=1)
    assert "".join(calls) == "abababab"
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_speedup_is_a_ratio_of_equal_quantiles() -> None:
    ratio = load("_common").speedup([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    assert ratio == {"p10": 2, "min": 2, "median": 2, "turns_low": 2, "turns_high": 2}


def test_verdicts() -> None:
    verdict = load("_common").verdict
    assert verdict("x", 2.5, at_least=2.5)["pass"] and not verdict("x", 2.4, at_least=2.5)["pass"]
    assert verdict("x", 0.3, at_most=0.3)["pass"] and not verdict("x", 0.31, at_most=0.3)["pass"]


@pytest.mark.parametrize("name", ["_common", "_flops"])
def test_examples(name: str) -> None:
    result = doctest.testmod(load(name))
    assert result.attempted and not result.failed


@pytest.mark.parametrize(
    "name",
    [
        "step",
        "sampling",
        "data",
        "modulated",
        "stylegan2",
        "evaluation_frechet",
        "evaluation_kernel",
        "evaluation_manifold",
        "doctor_cost",
        "biggan",
    ],
)
def test_quick_runs_write_what_they_measured(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "deep" / "figures.json"
    load(name).main(["--quick", "--repeats", "1", "--out", str(out)])
    record = json.loads(out.read_text())
    assert record["benchmark"] == name and record["quick"] and record["machine"]["threads"] >= 1
    assert record["versions"]["torch"] == torch.__version__
    assert all(len(calls) == 1 and calls[0] > 0 for calls in record["calls"].values())
    assert record["seconds"].keys() == record["calls"].keys() and record["targets"]
    assert "not judged" in capsys.readouterr().out


def test_quick_runs_leave_the_recorded_results_alone() -> None:
    common = load("_common")
    parser = common.arguments("step", "text", repeats=20)
    quick: argparse.Namespace = common.parse(parser, ["--quick"])
    full = common.parse(parser, [])
    assert quick.out is None and quick.repeats == 2
    assert full.out == BENCHMARKS / "results" / "step.json" and full.repeats == 20


def test_torch_is_seen_where_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    startup = load("startup")
    assert not startup.imports_torch("import gansmith")
    monkeypatch.setitem(startup.WITHOUT_TORCH, "with torch", "import sys; sys.modules['torch'] = sys")
    assert startup.imports_torch("with torch")
