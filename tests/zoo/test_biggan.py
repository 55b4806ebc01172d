"""BigGAN's nets against plain transcriptions and published counts; its round against the paper's."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansmith.abilities import one_hot
from gansmith.auto import settle
from gansmith.core import Clock, DataSpec, Nets
from gansmith.engine.game import Game
from gansmith.errors import GansmithError
from gansmith.nets import biggan
from gansmith.nets.biggan_blocks import DeepDownBlock, DeepUpBlock, DownBlock, UpBlock
from gansmith.nn import normal_, orthogonal_
from gansmith.nn.condition import Projected
from gansmith.objectives import hinge_g
from gansmith.penalties import orthogonal
from gansmith.zoo.biggan import BigGAN

K = 4
DATA = DataSpec("noise", "image", (1, 28, 28), count=100, fields=("x", "y"), classes=tuple("abcd"))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


class Feed:
    """Fresh noise with labels."""

    seen = 0

    def seek(self, seen: int) -> None:
        self.seen = seen

    def __call__(self, n: int) -> tuple[Tensor, Tensor]:
        self.seen += n
        return torch.rand(n, *DATA.shape) * 2 - 1, torch.randint(K, (n,))


def make(**fields: Any) -> BigGAN:
    return BigGAN(**{"batch": 8, "z_dim": 9, "width": 4, "shared": 5, "num_classes": K, **fields})


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def judge(D: nn.Module, classes: int) -> nn.Module:
    return Projected(D, classes, spectral=True, init=orthogonal_)


# ---------------------------------------------------------------- nets


def test_parameters_of_the_released_code_at_32_px() -> None:
    G = biggan.Generator(128, 10, (3, 32, 32), shared=0, hierarchical=False, init="normal")
    D = Projected(biggan.Discriminator((3, 32, 32), init="normal"), 10, spectral=True, init=normal_)
    assert (count(G), count(D)) == (4_304_387, 4_207_361)


@pytest.mark.parametrize(
    ("deep", "width", "z_dim", "published"), [(False, 96, 120, (70.4, 88.0)), (True, 128, 128, (50.4, 34.6))]
)
def test_parameters_of_the_paper_at_128_px(deep: bool, width: int, z_dim: int, published: tuple[float, float]) -> None:
    """In millions, from appendix B. The deep net counted there ends in 128 channels, of which three are shown."""
    with torch.device("meta"):
        G = biggan.Generator(z_dim, 1000, (3, 128, 128), width, attention=64, deep=deep)
        D = judge(biggan.Discriminator((3, 128, 128), width, attention=64, deep=deep), 1000)
    unseen = 125 * (width * 9 + 1) if deep else 0
    assert (round((count(G) + unseen) / 1e6, 1), round(count(D) / 1e6, 1)) == published
    assert biggan.published_width(128, deep) == width


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("resolution", biggan.RESOLUTIONS)
def test_shapes_without_and_with_attention(resolution: int, deep: bool) -> None:
    shape, z = (1, resolution, resolution), torch.cat([torch.randn(2, 7), one_hot(torch.tensor([0, 3]), K)], 1)
    seen: list[torch.Size] = []
    for attention in (0, biggan.attention_sizes(resolution)[-1]):
        D = biggan.Discriminator(shape, 1, attention=attention, deep=deep)
        G = biggan.Generator(7, K, shape, 1, attention=attention, deep=deep)
        for net in (G, D):
            net.attention.register_forward_hook(lambda _, args, __: seen.append(args[0].shape))
        x = G(z)
        assert x.shape == (2, *shape) and D(x).shape == (2,)
        if attention:
            assert [s[2:] for s in seen] == [(attention, attention)] * 2
        seen.clear()


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("hierarchical", [False, True])
@pytest.mark.parametrize("shared", [0, 5])
def test_every_parameter_has_a_gradient(deep: bool, hierarchical: bool, shared: int) -> None:
    """Except biases before a BatchNorm, which subtracts them."""
    more = {"deep": deep, "attention": 14}
    G = biggan.Generator(9, K, DATA.shape, 4, shared=shared, hierarchical=hierarchical, **more)
    D = judge(biggan.Discriminator(DATA.shape, 4, **more), K)
    for block in (G.attention, D.D.attention):
        nn.init.constant_(block.gamma, 0.5)
    y = one_hot(torch.arange(8) % K, K)
    D(G(torch.cat([torch.randn(8, 9), y], 1)), y).square().sum().backward()
    for net in (G, D):
        for name, p in net.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), name
            assert p.grad.abs().max() > 0 or name.endswith("bias"), name


def up_slowly(block: UpBlock, x: Tensor, cond: Tensor) -> Tensor:
    """Norm, ReLU, doubling, convolution, in the order of the paper's figure."""
    h = F.interpolate(conditioned(block.norm1, x, cond).relu(), scale_factor=2.0)
    h = block.conv2(conditioned(block.norm2, block.conv1(h), cond).relu())
    return h + block.skip(F.interpolate(x, scale_factor=2.0))


def conditioned(norm: Any, x: Tensor, cond: Tensor) -> Tensor:
    """Mean and variance over the batch and all pixels, then the condition's own gain and bias."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), unbiased=False, keepdim=True)
    gain, bias = cond @ norm.gain.weight.T, cond @ norm.bias.weight.T
    return (x - mean) / (var + 1e-5).sqrt() * (1 + gain)[..., None, None] + bias[..., None, None]


def deep_up_slowly(block: DeepUpBlock, x: Tensor, cond: Tensor) -> Tensor:
    h = block.conv1(conditioned(block.norms[0], x, cond).relu())
    h = F.interpolate(conditioned(block.norms[1], h, cond).relu(), scale_factor=2.0)
    h = block.conv3(conditioned(block.norms[2], block.conv2(h), cond).relu())
    h = block.conv4(conditioned(block.norms[3], h, cond).relu())
    return h + F.interpolate(x[:, :5], scale_factor=2.0)


def frozen(net: nn.Module) -> nn.Module:
    """Spectral norms stand still, BatchNorm works."""
    net.double().eval()
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.train()
    return net


def test_up_blocks_are_the_papers() -> None:
    x, cond = torch.randn(3, 8, 4, 4).double(), torch.randn(3, 6).double()
    plain: Any = frozen(UpBlock(8, 5, 6, True, orthogonal_))
    deep: Any = frozen(DeepUpBlock(8, 5, 6, True, orthogonal_, up=True))
    torch.testing.assert_close(plain(x, cond), up_slowly(plain, x, cond))
    torch.testing.assert_close(deep(x, cond), deep_up_slowly(deep, x, cond))
    still: Any = frozen(DeepUpBlock(8, 8, 6, True, orthogonal_, up=False))
    assert still(x, cond).shape == x.shape


@pytest.mark.parametrize("first", [False, True])
def test_down_blocks_are_the_papers(first: bool) -> None:
    x = torch.randn(3, 4, 6, 6).double()
    block: Any = DownBlock(4, 6, orthogonal_, down=True, first=first).double().eval()
    h = block.conv2(block.conv1(x if first else x.relu()).relu())
    torch.testing.assert_close(block(x), F.avg_pool2d(h, 2) + F.avg_pool2d(block.skip(x), 2))
    deep: Any = DeepDownBlock(4, 12, orthogonal_, down=True).double().eval()
    h = deep.conv3(deep.conv2(deep.conv1(x.relu()).relu()).relu()).relu()
    small = F.avg_pool2d(x, 2)
    torch.testing.assert_close(deep(x), deep.conv4(F.avg_pool2d(h, 2)) + torch.cat([small, deep.more(small)], 1))


def test_a_label_between_two_classes_lies_between_their_embeddings() -> None:
    G = biggan.Generator(9, K, DATA.shape, 4).eval()
    a, b = one_hot(torch.tensor([0]), K), one_hot(torch.tensor([2]), K)
    torch.testing.assert_close(G.embed((a + b) / 2), (G.embed(a) + G.embed(b)) / 2)
    assert not hasattr(G.embed, "parametrizations") and hasattr(G.start, "parametrizations")
    z = torch.randn(1, 9)
    images = [G(torch.cat([z, y], 1)) for y in (a, (a + b) / 2, b)]
    assert (images[0] - images[1]).norm() < (images[0] - images[2]).norm()


def test_each_chunk_of_noise_reaches_one_place() -> None:
    """9 numbers, 3 chunks: the first layer and two blocks. The deep G and one without hierarchy have no chunks."""
    G = biggan.Generator(9, K, DATA.shape, 4, shared=5)
    assert G.start.in_features == 3 and [b.norm1.gain.in_features for b in G.blocks] == [5 + 3] * 2
    uneven = biggan.Generator(8, K, DATA.shape, 4, shared=5)
    assert [uneven.start.in_features, *(b.norm1.gain.in_features - 5 for b in uneven.blocks)] == [3, 3, 2]
    deep = biggan.Generator(9, K, DATA.shape, 4, shared=5, deep=True)
    assert deep.start.in_features == 14 and all(b.norms[0].gain.in_features == 14 for b in deep.blocks)
    flat = biggan.Generator(9, K, DATA.shape, 4, shared=5, hierarchical=False)
    assert flat.start.in_features == 9 and all(b.norm1.gain.in_features == 5 for b in flat.blocks)


def test_the_last_chunk_leaves_everything_before_the_last_block_alone() -> None:
    G, seen = biggan.Generator(9, K, DATA.shape, 4).eval(), []
    G.blocks[-1].register_forward_hook(lambda _, args, out: seen.append((args[0], out)))
    z = torch.cat([torch.randn(2, 9), one_hot(torch.tensor([0, 1]), K)], 1)
    for chunk in (slice(0, 0), slice(6, 9), slice(3, 6)):
        other = z.clone()
        other[:, chunk] += 1
        G(other)
    (before, after), (before_last, after_last), (before_middle, _) = seen
    assert torch.equal(before, before_last) and not torch.allclose(after, after_last)
    assert not torch.allclose(before, before_middle)


@pytest.mark.parametrize("deep", [False, True])
def test_bfloat16_stays_close_and_sums_in_float32(deep: bool) -> None:
    G, D = (net.eval() for net in make(deep=deep, attention=14).build(DATA).values())
    z = torch.cat([torch.randn(4, 9), one_hot(torch.arange(4), K)], 1)
    x, logits = G(z), D(G(z), z[:, 9:])
    with torch.autocast("cpu", torch.bfloat16):
        low, judged = G(z), D(x, z[:, 9:])
    assert judged.dtype == torch.float32 and D.trunk(x).dtype == torch.float32
    assert (low.float() - x).norm() < 0.1 * x.norm()
    assert (judged - logits).norm() < 0.1 * logits.norm() + 0.05


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"z_dim": 2}, r"z_dim = 2 cannot be split into 3 chunks"),
        ({"attention": 64}, r"attention = 64, but at 28 px it can stand on maps of 14 px"),
        ({"attention": 7}, r"attention = 7, but"),
    ],
)
def test_what_the_nets_cannot_do_is_said(fields: dict[str, int], words: str) -> None:
    with pytest.raises(GansmithError, match=words):
        make(**fields).build(DATA)


# ---------------------------------------------------------------- the round


def test_d_moves_first_on_one_pass_over_real_and_generated() -> None:
    recipe, feed = make(n_critic=2), Feed()
    nets = recipe.build(DATA)
    seen: list[int] = []
    nets["D"].register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
    moves = [(player.name, set(terms)) for player, terms in recipe.round(nets, feed, Clock())]
    assert moves == [("D", {"adv"}), ("D", {"adv"}), ("G", {"adv", "orthogonal"})]
    assert seen == [16, 16, 8] and feed.seen == 16


def test_the_orthogonal_term_takes_all_matrices_but_the_embedding() -> None:
    recipe = make(orthogonal_weight=0.5)
    nets = recipe.build(DATA)
    nets["G"].embed.weight.requires_grad_(False).fill_(math.nan)  # it would show
    nets["G"].embed.weight.data.normal_()
    *_, (_, terms) = recipe.round(nets, Feed(), Clock())
    rows = [p for name, p in nets["G"].named_parameters() if p.ndim > 1 and name != "embed.weight"]
    torch.testing.assert_close(terms["orthogonal"], 0.5 * orthogonal(rows))
    assert len(rows) == 1 + 2 * (3 + 4) + 1  # start; a block's convolutions and norms; out
    off = [terms for _, terms in make(orthogonal_weight=0.0).round(nets, Feed(), Clock())]
    assert "orthogonal" not in off[-1]


def test_g_wants_high_scores_for_the_labels_it_was_asked_for() -> None:
    recipe = make(orthogonal_weight=0.0)
    nets = recipe.build(DATA)
    asked: list[Tensor] = []
    nets["D"].register_forward_hook(lambda _, args, out: asked.extend((args[1], out)))
    *_, (_, terms) = recipe.round(nets, Feed(), Clock())
    assert torch.equal(terms["adv"], hinge_g(asked[-1])) and (asked[-2].sum(1) == 1).all()


def test_the_average_starts_late_and_is_a_copy_before() -> None:
    game = Game(make(ema_start=3, ema_half_life=1.0), DATA, Feed())
    for played in range(5):
        game.play()
        pairs = zip(game.ema["G"].parameters(), game.nets["G"].parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs) == (played < 3)
    assert make(ema_half_life=1.0).half_life(Clock(round=0, seen=100)) == 5.0


def test_the_decay_of_the_presets_is_the_papers() -> None:
    """0.9999 a round, in the samples that a round draws."""
    for fields in BigGAN.presets.values():
        recipe = BigGAN(**fields)
        assert 0.5 ** (recipe.batch * recipe.n_critic / (1000 * recipe.ema_half_life)) == pytest.approx(0.9999)


def test_d_is_normalised_and_g_too() -> None:
    game = Game(make(lr=1e-3, lr_d=1e-3), DATA, Feed())
    for _ in range(10):
        game.play()
    for net in game.nets.values():
        layers = [m for m in net.eval().modules() if hasattr(m, "parametrizations")]
        assert len(layers) > 8
        for layer in layers:
            assert torch.linalg.svdvals(layer.weight.flatten(1))[0].item() == pytest.approx(1, abs=0.06)


def test_data_without_classes_are_refused_in_one_sentence() -> None:
    bare = DataSpec("photos", "image", (3, 32, 32), count=100)
    one = DataSpec("photos", "image", (3, 32, 32), count=100, fields=("x", "y"), classes=("cat",))
    for data, words in ((bare, "BigGAN needs labels"), (one, "photos has only one: cat")):
        with pytest.raises(GansmithError, match=words):
            settle(BigGAN, data, torch.device("cpu"), {})


def test_attention_is_chosen_by_the_size() -> None:
    for side, attention in ((32, None), (64, 32), (128, 64)):
        data = DataSpec("d", "image", (3, side, side), fields=("x", "y"), classes=("a", "b"))
        with torch.device("meta"):
            nets: Nets = BigGAN(width=1, num_classes=2).build(data)
        found = [getattr(net, "attention", None) for net in (nets["G"], nets["D"].D)]
        assert [hasattr(block, "gamma") for block in found] == [attention is not None] * 2
