"""Whole networks: shapes, published sizes, what holds at the start, derivatives, precision, copies, error messages."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets import dcgan, mlp, pair, r3gan, sngan
from gansmith.nets.shapes import RESOLUTIONS
from gansmith.nn import LEAKY_GAIN, spectral_norm

IMAGE = (3, 16, 16)
SMALL: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp points": (lambda: mlp.Generator(5, (2,)), lambda: mlp.Discriminator((2,)), (2,)),
    "mlp images": (
        lambda: mlp.Generator(5, (1, 6, 4), (16, 16), "batch", 0.0),
        lambda: mlp.Discriminator((1, 6, 4), (16, 16), "layer"),
        (1, 6, 4),
    ),
    "mlp spectral": (lambda: mlp.Generator(5, (2,)), lambda: mlp.Discriminator((2,), spectral=True), (2,)),
    "dcgan batch": (lambda: dcgan.Generator(5, IMAGE, 8), lambda: dcgan.Discriminator(IMAGE, 8), IMAGE),
    "dcgan none": (
        lambda: dcgan.Generator(5, IMAGE, 8, "none"),
        lambda: dcgan.Discriminator(IMAGE, 8, "none"),
        IMAGE,
    ),
    "dcgan layer": (lambda: dcgan.Generator(5, IMAGE, 8), lambda: dcgan.Discriminator(IMAGE, 8, "layer"), IMAGE),
    "sngan": (
        lambda: sngan.Generator(5, (3, 32, 32), 8),
        lambda: sngan.Discriminator((3, 32, 32), 8),
        (3, 32, 32),
    ),
    "sngan critic": (
        lambda: sngan.Generator(5, (1, 28, 28), 8),
        lambda: sngan.Discriminator((1, 28, 28), 8, spectral=False),
        (1, 28, 28),
    ),
    "r3gan": (
        lambda: r3gan.Generator(5, IMAGE, (24, 16, 16)),
        lambda: r3gan.Discriminator(IMAGE, (24, 16, 16)),
        IMAGE,
    ),
}
SAMPLEWISE = [k for k in SMALL if k != "dcgan batch"]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def woken(net: nn.Module) -> nn.Module:
    """The net away from its start, where some of R3GAN's weights and all biases are 0."""
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.1 * torch.randn_like(p))
    return net


def discriminator(name: str) -> tuple[nn.Module, Tensor]:
    """A small D, moved away from its start, and a batch for it."""
    _, D, shape = SMALL[name]
    return woken(D()), torch.randn(4, *shape)


# --- shapes ------------------------------------------------------------------------------------------------------


def holds(G: nn.Module, D: nn.Module, z_dim: int, shape: tuple[int, ...], bounded: bool) -> None:
    fake = G(torch.randn(2, z_dim))
    assert fake.shape == (2, *shape) and fake.isfinite().all()
    assert not bounded or fake.abs().max() <= 1
    logits = D(fake)
    assert logits.shape == (2,) and logits.dtype == torch.float32 and logits.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_small_pairs(name: str) -> None:
    G, D, shape = SMALL[name]
    holds(G(), D(), 5, shape, bounded=len(shape) == 3 and name != "r3gan")


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_dcgan_shapes(resolution: int, channels: int) -> None:
    shape = (channels, resolution, resolution)
    holds(dcgan.Generator(7, shape, 2), dcgan.Discriminator(shape, 2), 7, shape, bounded=True)


@pytest.mark.parametrize("resolution", sngan.RESOLUTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_sngan_shapes(resolution: int, channels: int) -> None:
    shape = (channels, resolution, resolution)
    G, D = sngan.Generator(7, shape, 2), sngan.Discriminator(shape, 2)
    assert G.base == (7 if resolution == 28 else 4)
    holds(G, D, 7, shape, bounded=True)
    x = torch.randn(1, *shape)
    assert D.blocks(x).shape[2] == {28: 7, 32: 8, 64: 2, 128: 4}[resolution]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_r3gan_shapes(resolution: int, channels: int) -> None:
    shape, widths = (channels, resolution, resolution), (16, 8, 8, 8, 8, 8, 8)[: r3gan.stages(resolution)]
    G, D = r3gan.Generator(7, shape, widths, 1), r3gan.Discriminator(shape, widths, 1)
    assert G.basis.shape[1] == D.basis.shape[1] == (7 if resolution % 7 == 0 else 4)
    holds(G, D, 7, shape, bounded=False)


def test_r3gan_fields() -> None:
    """Other bases, one stage alone, blocks per stage."""
    D = r3gan.Discriminator((1, 8, 8), (16,), blocks=3)
    assert D.basis.shape == (16, 8, 8) and len(D.body) == 3
    G = r3gan.Generator(4, (1, 28, 28), (32, 16), blocks=(1, 2), group_size=8)
    assert G.basis.shape == (32, 14, 14) and [m.mix.groups for m in G.body if isinstance(m, r3gan.Block)] == [8, 4, 4]


@pytest.mark.parametrize(
    "kind, shape",
    [("mlp", (2,)), ("mlp", (1, 28, 28)), ("auto", (2,)), ("auto", (1, 28, 28)), ("dcgan", (3, 32, 32))],
)
def test_pair_fits_the_data(kind: str, shape: tuple[int, ...]) -> None:
    G, D = pair(kind, shape, z_dim=6, width=8)
    holds(G, D, 6, shape, bounded=len(shape) == 3)
    module = dcgan if kind == "dcgan" or (kind == "auto" and len(shape) == 3) else mlp
    assert isinstance(G, module.Generator) and isinstance(D, module.Discriminator)


def test_pair_norms() -> None:
    def norms(net: nn.Module) -> set[str]:
        kinds = (nn.BatchNorm1d, nn.BatchNorm2d, nn.GroupNorm)
        return {type(m).__name__ for m in net.modules() if isinstance(m, kinds)}

    assert [norms(n) for n in pair("auto", IMAGE, z_dim=4)] == [{"BatchNorm2d"}, {"BatchNorm2d"}]
    assert [norms(n) for n in pair("auto", IMAGE, z_dim=4, norm_g="none", norm_d="layer")] == [set(), {"GroupNorm"}]
    assert [norms(n) for n in pair("auto", (2,), z_dim=4)] == [set(), set()]
    assert [norms(n) for n in pair("mlp", (2,), z_dim=4, norm_g="batch", norm_d="none")] == [{"BatchNorm1d"}, set()]


# --- published sizes ---------------------------------------------------------------------------------------------


def test_dcgan_parameters() -> None:
    """pytorch/examples and dcgan.torch: 3.577 M and 2.766 M."""
    assert count(dcgan.Generator(100, (3, 64, 64))) == 3_576_704
    assert count(dcgan.Discriminator((3, 64, 64))) == 2_765_568


def test_sngan_parameters() -> None:
    """mimicry: 4.277 M and 1.054 M (1,053,825 with its bias on the last layer, which the paper's CIFAR net lacks)."""
    assert count(sngan.Generator(128, (3, 32, 32))) == 4_276_739
    assert count(sngan.Discriminator((3, 32, 32))) == 1_053_824


def test_sngan_larger_geometry() -> None:
    """Channels after each stage as in sngan_projection's gen_models and dis_models."""
    for resolution, up, down in (
        (64, [16, 8, 4, 2, 1], [1, 2, 4, 8, 16]),
        (128, [16, 16, 8, 4, 2, 1], [1, 2, 4, 8, 16, 16]),
    ):
        G, D = sngan.Generator(8, (3, resolution, resolution), 2), sngan.Discriminator((3, resolution, resolution), 2)
        assert [G.start.out_features // 16, *(b.conv2.out_channels for b in G.blocks)] == [2 * k for k in up]
        assert [b.conv2.out_channels for b in D.blocks] == [2 * k for k in down]
        assert D.out.bias is not None
    assert sngan.Discriminator((3, 32, 32), 2).out.bias is None


def test_r3gan_parameters() -> None:
    """The CIFAR-10 preset: 20.732 M and 20.684 M."""
    with torch.device("meta"):
        G = r3gan.Generator(64, (3, 32, 32), (768,) * 4)
        D = r3gan.Discriminator((3, 32, 32), (768,) * 4)
        conditional = r3gan.Generator(64, (3, 32, 32), (768,) * 4, num_classes=10)
    assert (count(G), count(D)) == (20_732_160, 20_683_776)
    assert count(conditional) - count(G) == 10 * 64 + 64 * 768
    assert {m.mix.groups for m in G.body if isinstance(m, r3gan.Block)} == {96}


# --- at the start ------------------------------------------------------------------------------------------------


def test_dcgan_starts_as_in_the_paper() -> None:
    G, D = dcgan.Generator(100, (3, 64, 64)), dcgan.Discriminator((3, 64, 64))
    for net in (G, D):
        for m in net.modules():
            if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
                assert m.bias is None and m.weight.std().item() == pytest.approx(0.02, rel=0.1)
        gains = torch.cat([m.weight for m in net.modules() if isinstance(m, nn.BatchNorm2d)])
        assert gains.mean().item() == pytest.approx(1.0, abs=0.01)
        assert gains.std().item() == pytest.approx(0.02, rel=0.2)
    assert not isinstance(D.body[1], nn.BatchNorm2d) and isinstance(D.body[2], nn.BatchNorm2d)
    assert all(m.bias is not None for m in dcgan.Discriminator(IMAGE, 8, "none").body if isinstance(m, nn.Conv2d))


def test_sngan_starts_as_in_the_paper() -> None:
    D = sngan.Discriminator((3, 32, 32), 64, spectral=False)
    for conv, gain in ((D.blocks[1].conv1, 2**0.5), (D.blocks[1].skip, 1.0)):
        fans = 2 * 64 * conv.kernel_size[0] ** 2
        assert conv.weight.abs().max().item() == pytest.approx(gain * (6 / fans) ** 0.5, rel=0.01)


def test_r3gan_starts_as_in_the_paper() -> None:
    G = r3gan.Generator(64, (3, 16, 16), (128, 128, 64), blocks=2)
    block = G.body[0]
    gain = LEAKY_GAIN * 6**-0.25
    assert block.expand.weight.std().item() == pytest.approx(gain / 128**0.5, rel=0.03)
    assert block.mix.weight.std().item() == pytest.approx(gain / (16 * 9) ** 0.5, rel=0.03)
    assert G.out.weight.std().item() == pytest.approx(1 / 64**0.5, rel=0.2)
    assert G.out.bias is None and block.project.bias is None and block.expand.bias.abs().max() == 0
    assert r3gan.Discriminator((3, 16, 16), (256, 64)).basis.std().item() == pytest.approx(1 / 8, rel=0.05)


@pytest.mark.parametrize("low", [False, True])
def test_an_r3gan_block_starts_as_the_identity(low: bool) -> None:
    block = r3gan.Block(32, 16, depth=8)
    x = torch.randn(2, 32, 7, 7)
    with torch.autocast("cpu", torch.bfloat16, enabled=low):
        assert torch.equal(block(x), x)
    assert not torch.equal(woken(block)(x), x)


@pytest.mark.parametrize("blocks", [1, 8])
def test_r3gan_logits_are_of_order_one_at_any_depth(blocks: int) -> None:
    """Two stages, so 2 and 16 blocks; flat images of random colour."""
    D = r3gan.Discriminator((3, 8, 8), (128, 128), blocks)
    x = torch.randn(256, 3, 1, 1).expand(-1, -1, 8, 8)
    assert 0.2 < D(x).std() < 5


def test_sngan_shortcuts_are_the_reference_function() -> None:
    """Upsample then convolve, and convolve then pool: here the convolution comes where the image is smaller."""
    up, down = sngan.UpBlock(4, 6), woken(sngan.DownBlock(4, 6, down=True, first=False, spectral=False))
    x = torch.randn(2, 4, 8, 8)
    nn.init.normal_(up.skip.bias)
    h = up.conv1(nn.functional.interpolate(up.bn1(x).relu(), scale_factor=2))
    h = up.conv2(up.bn2(h).relu())
    torch.testing.assert_close(up(x), h + up.skip(nn.functional.interpolate(x, scale_factor=2)))
    h = down.conv2(down.conv1(x.relu()).relu()) + down.skip(x)
    torch.testing.assert_close(down(x), nn.functional.avg_pool2d(h, 2))


# --- derivatives -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_of_both_nets_has_a_gradient(name: str) -> None:
    """Except biases just before batch normalisation, which subtracts them."""
    make_G, make_D, _ = SMALL[name]
    G, D = woken(make_G()), woken(make_D())
    D(G(torch.randn(8, 5))).square().sum().backward()
    for net in (G, D):
        for key, p in net.named_parameters():
            assert p.grad is not None and p.grad.isfinite().all(), key
            cancelled = isinstance(net, sngan.Generator) and key.endswith("conv1.bias")
            assert cancelled or p.grad.abs().max() > 0, key


@pytest.mark.parametrize("name", SAMPLEWISE)
def test_samples_do_not_mix_in_a_penalised_discriminator(name: str) -> None:
    D, x = discriminator(name)
    D.eval()
    torch.testing.assert_close(D(x)[:1], D(x[:1]), atol=1e-4, rtol=1e-4)


def test_samples_do_mix_under_batch_normalisation() -> None:
    D, x = discriminator("dcgan batch")
    assert not torch.allclose(D(x)[:1], D(torch.cat([x[:1], 3 * x[1:]]))[:1], atol=1e-3)


@pytest.mark.parametrize("name", SAMPLEWISE)
def test_double_backward_is_the_derivative_of_the_gradient_penalty(name: str) -> None:
    """<d R1 / d theta, direction> against a central difference, in float64; sigma frozen.

    The step is tiny because R1 of a piecewise linear net jumps where a unit changes sides.
    """
    D, x = discriminator(name)
    D, x = D.double().eval(), x.double()
    theta = list(D.parameters())
    direction = [torch.randn_like(p) for p in theta]

    def r1(create_graph: bool = False) -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(D(leaf).sum(), leaf, create_graph=create_graph)[0].square().sum()

    grads = torch.autograd.grad(r1(True), theta, allow_unused=True, materialize_grads=True)
    slope = sum((g * d).sum() for g, d in zip(grads, direction, strict=True))
    values = []
    for step in (1e-9, -2e-9):
        with torch.no_grad():
            for p, d in zip(theta, direction, strict=True):
                p.add_(d, alpha=step)
        values.append(r1())
    torch.testing.assert_close(slope, (values[0] - values[1]) / 2e-9, rtol=1e-3, atol=1e-4)
    assert all(g.abs().max() > 0 for g, p in zip(grads, theta, strict=True) if p.ndim > 1)


def test_a_spectral_mlp_is_1_lipschitz_and_a_plain_one_is_not() -> None:
    def steepest(D: nn.Module) -> Tensor:
        a = torch.randn(10_000, 2)
        b = a + 0.1 * torch.randn(10_000, 2)
        with torch.no_grad():
            return ((D(a) - D(b)).abs() / (a - b).norm(dim=1)).max()

    D = mlp.Discriminator((2,), slope=0.0, spectral=True)
    for _ in range(50):
        D(torch.zeros(1, 2))
    assert 0.0 < steepest(D.eval()) <= 1.02
    plain = mlp.Discriminator((2,), slope=0.0)
    with torch.no_grad():
        for p in plain.parameters():
            p.mul_(3)
    assert steepest(plain) > 1.5


@pytest.mark.parametrize("make", [sngan.Discriminator, lambda s, w: mlp.Discriminator(s, (w,), spectral=True)])
def test_spectral_discriminators_normalise_every_layer(make) -> None:
    D = make((3, 32, 32), 4)
    layers = [m for m in D.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) >= 2 and all(hasattr(m, "parametrizations") for m in layers)
    assert {type(m) for m in D.modules() if hasattr(m, "u")} == {
        type(spectral_norm(nn.Linear(2, 2)).parametrizations.weight[0])
    }


# --- labels ------------------------------------------------------------------------------------------------------


def test_r3gan_labels() -> None:
    G = r3gan.Generator(4, IMAGE, (16, 16, 16), num_classes=3)
    D = r3gan.Discriminator(IMAGE, (16, 16, 16), num_classes=3)
    z, x = torch.randn(1, 4).expand(3, -1), torch.randn(1, *IMAGE).expand(3, -1, -1, -1)
    y = torch.arange(3)
    fake, logits = G(z, y), D(x, y)
    assert fake.shape == (3, *IMAGE) and logits.shape == (3,)
    assert not torch.allclose(fake[0], fake[1]) and logits.unique().numel() == 3
    torch.testing.assert_close(D(x, y.flip(0)), logits.flip(0))
    features = D.out(D.trunk(x[:1]))
    torch.testing.assert_close(logits, D.embed.weight @ features[0])


# --- precision, memory, copies -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SMALL)
def test_bfloat16_autocast(name: str) -> None:
    """Logits stay float32, and both nets stay near their float32 values."""
    make_G, make_D, shape = SMALL[name]
    G, D = make_G(), make_D().eval()
    z, x = torch.randn(8, 5), torch.randn(8, *shape)
    fake, logits = G(z), D(x)
    with torch.autocast("cpu", torch.bfloat16):
        low_fake, low_logits = G(z), D(x)
    assert low_logits.dtype == torch.float32
    scale = fake.std()
    assert (low_fake.float() - fake).abs().mean() < 0.03 * scale
    assert (low_logits - logits).abs().mean() < 0.05 * (logits.std() + logits.abs().mean())
    low_logits.sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in D.parameters())


@pytest.mark.parametrize("name", SAMPLEWISE)
def test_double_backward_under_autocast(name: str) -> None:
    D, x = discriminator(name)
    x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        logits = D(x)
    (grad,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    assert grad.dtype == torch.float32
    grad.square().sum().backward()
    assert all(p.grad.isfinite().all() for p in D.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ["dcgan batch", "dcgan layer", "sngan", "r3gan"])
def test_channels_last_changes_memory_only(name: str) -> None:
    make_G, make_D, _ = SMALL[name]
    G, D = woken(make_G()).eval(), woken(make_D()).eval()
    z = torch.randn(4, 5)
    fake, logits = G(z), D(G(z))
    G, D = G.to(memory_format=torch.channels_last), D.to(memory_format=torch.channels_last)
    torch.testing.assert_close(G(z), fake, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(D(fake.to(memory_format=torch.channels_last)), logits, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", SMALL)
def test_copies_and_state_dicts(name: str) -> None:
    make_G, make_D, shape = SMALL[name]
    for make, x in ((make_G, torch.randn(4, 5)), (make_D, torch.randn(4, *shape))):
        net = woken(make())
        net(x)
        net.eval()
        out = net(x)
        twin, loaded = copy.deepcopy(net), make().eval()
        assert not torch.equal(loaded(x), out)
        loaded.load_state_dict(net.state_dict())
        assert torch.equal(twin(x), out) and torch.equal(loaded(x), out)
        woken(twin)
        assert torch.equal(net(x), out) and not torch.equal(twin(x), out)


# --- messages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: pair("dcgan", (3, 100, 100), z_dim=4), ["dcgan", "100 px", "8, 14, 16", "resolution of 112"]),
        (lambda: pair("auto", (3, 32, 48), z_dim=4), ["square", "32 x 48", "crop"]),
        (lambda: pair("dcgan", (2,), z_dim=4), ["dcgan", "images", "mlp"]),
        (lambda: pair("dcgn", (3, 32, 32), z_dim=4), ["dcgn", "auto, mlp, dcgan", 'Did you mean "dcgan"']),
        (lambda: pair("mlp", (2,), z_dim=4, norm_g="layer"), ["norm_g", "layer", "auto, batch, none"]),
        (lambda: pair("mlp", (2,), z_dim=4, norm_d="bach"), ["norm_d", 'Did you mean "batch"']),
        (lambda: sngan.Generator(4, (3, 48, 48)), ["sngan", "28, 32, 64, 128", "resolution of 64"]),
        (lambda: sngan.Discriminator((3, 256, 256)), ["256 px", "resolution of 128"]),
        (lambda: r3gan.Generator(4, (3, 32, 32), (16,) * 6), ["6 widths", "32 px", "give 4", "from 4 px"]),
        (lambda: r3gan.Discriminator((1, 28, 28), (16,) * 4), ["4 widths", "28 px", "give 3", "from 7 px"]),
        (lambda: r3gan.Discriminator((1, 28, 28), (16,) * 3, (1, 2)), ["3 widths", "not 2"]),
        (lambda: r3gan.Discriminator((1, 28, 28), (20,) * 3, group_size=16), ["width 20", "multiple of 8"]),
        (lambda: r3gan.Discriminator((3, 31, 31), (16,)), ["31 px", "resolution of 32"]),
    ],
)
def test_messages(make: Callable[[], object], words: list[str]) -> None:
    with pytest.raises(GansmithError) as caught:
        make()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith((".", "?")) and "\n" not in message
