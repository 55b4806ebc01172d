"""Nets from image to image: published sizes, plain transcriptions, receptive fields, any size, precision, messages."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.engine.faster import fold_batch_norm
from gansmith.errors import GansmithError
from gansmith.nets import discogan, patch, pix2pixhd, rrdb, srresnet, translator, unet
from gansmith.nn import InstanceNorm, down_smooth
from gansmith.nn.recompute import recompute_

Make = Callable[[], nn.Module]
TRANSLATORS: dict[str, tuple[Make, int]] = {  # and how much larger images become
    "unet": (lambda: unet.Generator((3, 32, 32), 2, 4), 1),
    "unet instance": (lambda: unet.Generator((3, 32, 32), 2, 4, "instance"), 1),
    "unet without skips": (lambda: unet.Generator((3, 32, 32), 2, 4, skips=False), 1),
    "translator": (lambda: translator.Generator(3, 2, 4, blocks=2), 1),
    "discogan": (lambda: discogan.Generator((3, 32, 32), 2, 4), 1),
    "discogan bottleneck": (lambda: discogan.Generator((3, 32, 32), 2, 4, bottleneck=5), 1),
    "srresnet": (lambda: srresnet.Generator(3, 2, 4, 2), 2),
    "rrdb": (lambda: rrdb.Generator(3, 4, 4, 2, 3), 4),
}
JUDGES: dict[str, Make] = {
    "patch": lambda: patch.Discriminator(3, 2, 4),
    "patch instance": lambda: patch.Discriminator(3, 2, 4, "instance", padding=2),
    "pixel": lambda: patch.Discriminator(3, 0, 4),
    "discogan": lambda: discogan.Discriminator((3, 32, 32), 4),
    "srgan": lambda: srresnet.Discriminator((3, 32, 32), 4),
}


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def quiet(net: nn.Module) -> nn.Module:
    """Without the noise of dropout."""
    for module in net.modules():
        if isinstance(module, unet.Generator):
            module.dropout = 0.0
    return net


# --- published sizes ---------------------------------------------------------------------------------------------


def test_published_sizes() -> None:
    """Printed by junyanz/pytorch-CycleGAN-and-pix2pix (rounded), NVIDIA/pix2pixHD and xinntao/ESRGAN."""
    with torch.device("meta"):
        assert count(unet.Generator((3, 256, 256), 3)) == 54_413_955
        assert count(patch.Discriminator(6)) == 2_768_705
        assert count(patch.Discriminator(3, norm="instance")) == 2_764_737
        assert count(translator.Generator(3, 3)) == 11_378_179
        assert count(translator.Generator(3, 3, blocks=6)) == 7_837_699
        assert count(pix2pixhd.global_generator(36, 3)) == 182_546_755
        assert count(discogan.Discriminator((3, 64, 64))) == 2_765_568  # DCGAN's
        assert count(srresnet.Generator(3, 4)) == 1_547_350
        assert count(rrdb.Generator(3, 4)) == 16_697_987


def test_other_sizes_by_arithmetic() -> None:
    with torch.device("meta"):
        coarse, fine = pix2pixhd.global_generator(36, 3), pix2pixhd.LocalEnhancer(36, 3)
        own = (36 * 49 + 1) * 32 + (32 * 9 + 1) * 64 + 6 * (64 * 9 + 1) * 64 + (64 * 9 + 1) * 32 - 32 + 32
        assert count(fine) == own + (32 * 49 + 1) * 3
        assert count(coarse.out) == (64 * 49 + 1) * 3
        assert count(patch.Pyramid(39)) == 3 * count(patch.Discriminator(39, norm="instance"))
        assert count(srresnet.Generator(3, 4)) - count(srresnet.Generator(3, 2)) == (64 * 9 + 1) * 256 + 1
        assert count(rrdb.Generator(3, 4)) - count(rrdb.Generator(3, 2)) == (64 * 9 + 1) * 64
        wide, tall = srresnet.Discriminator((3, 96, 96)), srresnet.Discriminator((3, 40, 17))
        assert wide.dense.in_features == 512 * 36 and tall.dense.in_features == 512 * 3 * 2
        squeezed = discogan.Generator((3, 64, 64), 3, bottleneck=100)
        assert count(squeezed) - count(discogan.Generator((3, 64, 64), 3)) == 2 * 512 * 100 * 16 + 2 * (100 + 512)


# --- plain transcriptions: torch's own layers in the order of the papers ------------------------------------------


def same(ours: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    """Equal values and gradients when the parameters, in the order of their layers, are equal."""
    with torch.no_grad():
        for p in ours.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
            q.copy_(p)
    results = []
    for net in (ours, theirs):
        leaf = x.clone().requires_grad_()
        y = net(leaf)
        y.square().sum().backward()
        assert leaf.grad is not None
        results.append((y.detach(), leaf.grad, [p.grad for p in net.parameters()]))
    (y, slope, grads), (y_, slope_, grads_) = results
    torch.testing.assert_close(y, y_, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(slope, slope_, atol=1e-3 * slope_.abs().max().item(), rtol=1e-3)
    scale = max(g.abs().max().item() for g in grads_)
    torch.testing.assert_close(grads, grads_, atol=1e-3 * scale, rtol=1e-3)


class Sum(nn.Module):
    """x + body(x)."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class PlainUNet(nn.Module):
    """Three-channel images of 64 px, six levels; skips carry features before their activation, as in the paper."""

    def __init__(self, w: int, skips: bool) -> None:
        super().__init__()
        widths, self.skips = [3, w, 2 * w, 4 * w, 8 * w, 8 * w, 8 * w], skips
        self.down = nn.ModuleList()
        for i in range(6):
            self.down.append(nn.Conv2d(widths[i], widths[i + 1], 4, 2, 1, bias=False))
            if 0 < i < 5:
                self.down.append(nn.BatchNorm2d(widths[i + 1]))
        self.up = nn.ModuleList()
        for i in range(5, 0, -1):
            given = widths[i + 1] * (2 if skips and i < 5 else 1)
            self.up += [nn.ConvTranspose2d(given, widths[i], 4, 2, 1, bias=False), nn.BatchNorm2d(widths[i])]
        self.out = nn.ConvTranspose2d(w * (1 + skips), 3, 4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first, *middle, last = self.down
        features = [first(x)]
        for conv, bn in zip(middle[::2], middle[1::2], strict=True):
            features.append(bn(conv(F.leaky_relu(features[-1], 0.2))))
        h = last(F.leaky_relu(features[-1], 0.2))
        for conv, bn in zip(self.up[::2], self.up[1::2], strict=True):
            h = bn(conv(F.relu(h)))
            h = torch.cat([h, features.pop()], 1) if self.skips else h
        return torch.tanh(self.out(F.relu(h)))


@pytest.mark.parametrize("skips", [True, False])
def test_unet_is_the_papers(skips: bool) -> None:
    same(quiet(unet.Generator((3, 64, 64), 3, 3, skips=skips)), PlainUNet(3, skips), torch.randn(2, 3, 64, 64))


def plain_patch(layers: int, norm: type[nn.Module], bias: bool, padding: int) -> nn.Module:
    widths, parts = [3, 4, 8, 16, 32, 32][: layers + 2], []
    for i in range(layers + 1):
        stride = 2 if i < layers else 1
        parts.append(nn.Conv2d(widths[i], widths[i + 1], 4, stride, padding, bias=bias or i == 0))
        parts += [norm(widths[i + 1])] if i else []
        parts.append(nn.LeakyReLU(0.2))
    return nn.Sequential(*parts, nn.Conv2d(widths[-1], 1, 4, 1, padding))


@pytest.mark.parametrize("layers", [1, 3, 4])
def test_patch_is_the_papers(layers: int) -> None:
    x = torch.randn(2, 3, 64, 64)
    same(patch.Discriminator(3, layers, 4), plain_patch(layers, nn.BatchNorm2d, False, 1), x)
    same(patch.Discriminator(3, layers, 4, "none"), plain_patch(layers, nn.Identity, True, 1), x)
    same(patch.Discriminator(3, layers, 4, "instance", 2), plain_patch(layers, nn.InstanceNorm2d, True, 2), x)


def test_pixel_discriminator_is_the_papers() -> None:
    convs = [nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 1, bias=False), nn.Conv2d(8, 1, 1)]
    parts = [convs[0], nn.LeakyReLU(0.2), convs[1], nn.BatchNorm2d(8), nn.LeakyReLU(0.2), convs[2]]
    same(patch.Discriminator(3, 0, 4), nn.Sequential(*parts), torch.randn(2, 3, 5, 5))


@pytest.mark.parametrize(("halvings", "blocks"), [(2, 2), (1, 0), (3, 1)])
def test_translator_is_the_papers(halvings: int, blocks: int) -> None:
    def normed(conv: nn.Module) -> list[nn.Module]:
        return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]

    def block(w: int) -> nn.Module:
        pad, conv = nn.ReflectionPad2d(1), lambda: nn.Conv2d(w, w, 3)
        return Sum(pad, *normed(conv()), pad, conv(), nn.InstanceNorm2d(w))

    widths = [4 * 2**k for k in range(halvings + 1)]
    parts = [nn.ReflectionPad2d(3), *normed(nn.Conv2d(3, 4, 7))]
    for w in widths[:-1]:
        parts += normed(nn.Conv2d(w, 2 * w, 3, 2, 1))
    parts += [block(widths[-1]) for _ in range(blocks)]
    for w in widths[:0:-1]:
        parts += normed(nn.ConvTranspose2d(w, w // 2, 3, 2, 1, 1))
    parts += [nn.ReflectionPad2d(3), nn.Conv2d(4, 2, 7), nn.Tanh()]
    same(translator.Generator(3, 2, 4, halvings, blocks), nn.Sequential(*parts), torch.randn(2, 3, 16, 24))


@pytest.mark.parametrize("bottleneck", [0, 5])
def test_discogan_is_the_released_one(bottleneck: int) -> None:
    def down(a: int, b: int, *conv: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, *conv, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]

    def up(a: int, b: int, *conv: int) -> list[nn.Module]:
        return [nn.ConvTranspose2d(a, b, *conv, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    start = [nn.Conv2d(3, 4, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    start += down(4, 8, 4, 2, 1) + down(8, 16, 4, 2, 1) + down(16, 32, 4, 2, 1)
    middle = down(32, 5, 4) + up(5, 32, 4) if bottleneck else []
    end = up(32, 16, 4, 2, 1) + up(16, 8, 4, 2, 1) + up(8, 4, 4, 2, 1)
    end += [nn.ConvTranspose2d(4, 2, 4, 2, 1, bias=False), nn.Tanh()]
    x = torch.randn(3, 3, 64, 64)
    same(discogan.Generator((3, 64, 64), 2, 4, bottleneck), nn.Sequential(*start, *middle, *end), x)
    D = nn.Sequential(*copy.deepcopy(start), nn.Conv2d(32, 1, 4, bias=False), nn.Flatten(0))
    same(discogan.Discriminator((3, 64, 64), 4), D, x)


@pytest.mark.parametrize("scale", [2, 4])
def test_srresnet_is_the_papers(scale: int) -> None:
    def conv_bn() -> list[nn.Module]:
        return [nn.Conv2d(4, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4)]

    blocks = [Sum(*conv_bn(), nn.PReLU(), *conv_bn()) for _ in range(2)]
    up = [nn.Conv2d(4, 16, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU()]
    up += [nn.Conv2d(4, 16, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU()] if scale == 4 else []
    theirs = nn.Sequential(
        nn.Conv2d(3, 4, 9, 1, 4), nn.PReLU(), Sum(*blocks, *conv_bn()), *up, nn.Conv2d(4, 3, 9, 1, 4)
    )
    same(srresnet.Generator(3, scale, 4, 2), theirs, torch.randn(2, 3, 7, 9))


def test_srgans_discriminator_is_the_papers() -> None:
    parts: list[nn.Module] = [nn.Conv2d(3, 4, 3, 1, 1), nn.LeakyReLU(0.2)]
    for a, b, stride in ((4, 4, 2), (4, 8, 1), (8, 8, 2), (8, 16, 1), (16, 16, 2), (16, 32, 1), (32, 32, 2)):
        parts += [nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]
    parts += [nn.Flatten(), nn.Linear(32 * 2 * 3, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1), nn.Flatten(0)]
    same(srresnet.Discriminator((3, 32, 40), 4), nn.Sequential(*parts), torch.randn(3, 3, 32, 40))


class PlainDense(nn.Module):
    """A dense block with its growth written out."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(4 + 3 * k, 3 if k < 4 else 4, 3, 1, 1) for k in range(5))

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in self.convs[:4]:
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        return x + 0.2 * self.convs[4](torch.cat(seen, 1))


class Scaled(Sum):
    """x + body(x) / 5."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.2 * self.body(x)


@pytest.mark.parametrize("scale", [2, 4])
def test_rrdb_is_the_papers(scale: int) -> None:
    def conv(b: int = 4) -> nn.Module:
        return nn.Conv2d(4, b, 3, 1, 1)

    up = [layer for _ in range(scale // 2) for layer in (nn.Upsample(scale_factor=2), conv(), nn.LeakyReLU(0.2))]
    blocks = [Scaled(*(PlainDense() for _ in range(3))) for _ in range(2)]
    theirs = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), Sum(*blocks, conv()), *up, conv(), nn.LeakyReLU(0.2), conv(3))
    same(rrdb.Generator(3, scale, 4, 2, 3), theirs, torch.randn(2, 3, 7, 9))


# --- U-Net -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "levels"),
    [((3, 16, 16), 4), ((1, 64, 64), 6), ((3, 256, 256), 8), ((3, 1024, 1024), 8), ((3, 32, 80), 4), ((3, 96, 96), 5)],
)
def test_unet_levels(shape: tuple[int, ...], levels: int) -> None:
    with torch.device("meta"):
        G = unet.Generator(shape, 2, 2)
        assert G.multiple == 2**levels and len(G.down) == len(G.up) + 1 == levels
        assert G(torch.zeros(2, *shape)).shape == (2, 2, *shape[1:])


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_unet_has_no_norm_at_its_ends(norm: str) -> None:
    G = unet.Generator((3, 64, 64), 3, 2, norm)
    kind = nn.BatchNorm2d if norm == "batch" else InstanceNorm
    assert [any(isinstance(m, kind) for m in stage) for stage in G.down] == [False, True, True, True, True, False]
    assert all(isinstance(stage[1], kind) for stage in G.up)
    assert G(torch.randn(1, 3, 64, 64)).std() > 0  # one image, bottleneck 1 x 1


def test_unet_starts_as_in_the_paper() -> None:
    for module in unet.Generator((3, 64, 64), 3, 16).modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
        if isinstance(module, nn.BatchNorm2d):
            assert 0.01 < module.weight.std() < 0.03 and module.weight.mean().item() == pytest.approx(1, abs=0.02)


def test_skips_carry_what_the_bottleneck_loses() -> None:
    """With a dead bottleneck the encoder and decoder make the same of every image."""
    x = torch.randn(2, 3, 32, 32)
    for skips in (False, True):
        G = unet.Generator((3, 32, 32), 3, 4, "instance", skips)
        nn.init.zeros_(G.down[-1][0].weight)
        a, b = G(x, noise=False)
        assert torch.equal(a, b) != skips


def test_noise_is_dropout_behind_the_first_three_decoder_layers() -> None:
    G = unet.Generator((3, 256, 256), 3, 8).eval()
    given: list[Tensor] = []
    for layer in [*G.up, G.out]:
        layer.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    x = torch.randn(2, 3, 256, 256)
    noisy = [G(x), G(x)]
    assert not torch.equal(*noisy)
    zeros = [(h[:, : h.shape[1] // 2] == 0).float().mean().item() for h in given[1:8]]
    assert all(0.65 < share < 0.85 for share in zeros[:3]) and all(0.35 < share < 0.65 for share in zeros[3:])
    torch.manual_seed(5)
    first = G(x)
    torch.manual_seed(5)
    assert torch.equal(G(x), first)
    assert torch.equal(G(x, noise=False), G(x, noise=False))


# --- PatchGAN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
@pytest.mark.parametrize("padding", [1, 2])
def test_receptive_field(layers: int, field: int, padding: int) -> None:
    """The rectangle of pixels on which a logit in the middle depends, all weights positive."""
    D = patch.Discriminator(1, layers, 1, "none", padding)
    for p in D.parameters():
        nn.init.ones_(p)
    side = max(2 * field, 8)
    x = torch.ones(1, 1, side, side, requires_grad=True)
    logits = D(x)
    (mask,) = torch.autograd.grad(logits[0, 0, logits.shape[2] // 2, logits.shape[3] // 2], x)
    rows, columns = mask[0, 0].nonzero().T
    assert rows.max() - rows.min() + 1 == columns.max() - columns.min() + 1 == field
    assert (mask > 0).sum() == field**2 and rows.min() > 0 and rows.max() < side - 1


def test_patch_logits_and_features() -> None:
    D = patch.Discriminator(6, 3, 4)
    hidden = D.hidden(torch.randn(2, 6, 256, 256))
    assert [h.shape[1:] for h in hidden] == [(4, 128, 128), (8, 64, 64), (16, 32, 32), (32, 31, 31)]
    assert D.head(hidden[-1]).shape == (2, 1, 30, 30)
    wide = patch.Discriminator(6, 3, 4, "instance", padding=2).hidden(torch.randn(1, 6, 64, 64))
    assert [h.shape[2] for h in wide] == [33, 17, 9, 10]


@pytest.mark.parametrize("padding", [1, 2])
@pytest.mark.parametrize("layers", range(6))
def test_the_smallest_image_that_patches_judge(layers: int, padding: int) -> None:
    least = patch.smallest(layers, padding)
    for norm in ("batch", "instance"):
        D = patch.Discriminator(1, layers, 1, norm, padding)
        assert D(torch.randn(1, 1, least, least + 3)).isfinite().all()
        with pytest.raises(GansmithError, match=f"judges images of at least {least} px, not {least + 3} x {least - 1}"):
            D(torch.randn(1, 1, least + 3, least - 1))


def test_pyramid() -> None:
    D, x = patch.Pyramid(3, 3, 2, 4), torch.randn(2, 3, 32, 48)
    logits, hidden = D(x), D.hidden(x)
    assert [h.shape[2:] for h in logits] == [(11, 15), (7, 9), (5, 6)]
    small = down_smooth(x)
    for part, image, got, seen in zip(D.parts, (x, small, down_smooth(small)), logits, hidden, strict=True):
        torch.testing.assert_close(got, part(image))
        assert len(seen) == 3
        assert torch.equal(part.head(seen[-1]), got)


def test_the_coarse_discriminator_sees_what_is_large() -> None:
    """Equal weights: a wave of 64 px moves the coarser one more, one of 3 px, which its image has lost, not."""
    D = patch.Pyramid(1, 2, 3, 16, "none", 1)
    for module in D.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, 0.2)
    D.parts[1].load_state_dict(D.parts[0].state_dict())
    across = torch.arange(256.0)
    x = torch.randn(1, 1, 256, 256)
    moved = {}
    for period in (64, 3):
        wave = 0.3 * torch.sin(2 * torch.pi * (across + 0.5) / period).expand(1, 1, 256, 256)
        moved[period] = [(a - b).abs().mean().item() / b.std().item() for a, b in zip(D(x + wave), D(x), strict=True)]
    assert moved[64][1] > 1.3 * moved[64][0] and moved[3][1] < 0.1 * moved[3][0], moved


# --- pix2pixHD ---------------------------------------------------------------------------------------------------


def test_boundaries_by_brute_force() -> None:
    ids = torch.randint(0, 3, (4, 1, 7, 9)) * 1000
    expected = torch.zeros(4, 1, 7, 9)
    for n, i, j in product(range(4), range(7), range(9)):
        around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        inside = [(a, b) for a, b in around if 0 <= a < 7 and 0 <= b < 9]
        expected[n, 0, i, j] = any(ids[n, 0, a, b] != ids[n, 0, i, j] for a, b in inside)
    assert torch.equal(pix2pixhd.boundary(ids), expected)
    assert torch.equal(pix2pixhd.boundary(ids.float()), expected)
    assert not pix2pixhd.boundary(torch.full((1, 1, 5, 5), 26001)).any()


@pytest.mark.parametrize("low", [False, True])
def test_instance_means_by_brute_force(low: bool) -> None:
    """Ids that both images have, negative and huge ones, an instance of a single pixel."""
    x, ids = torch.randn(2, 3, 6, 5), torch.tensor([0, 1, 26001])[torch.randint(0, 3, (2, 1, 6, 5))]
    ids[0, 0, 2, 2], ids[1, 0, 2, 2] = 10**12, -1
    x = x.bfloat16() if low else x
    y = pix2pixhd.instance_mean(x, ids)
    assert y.dtype == torch.float32
    for n in range(2):
        for one in ids[n].unique():
            inside = (ids[n, 0] == one).expand(3, 6, 5)
            mean = torch.stack([x[n, c].float()[inside[c]].mean() for c in range(3)])
            torch.testing.assert_close(y[n][inside].view(3, -1), mean[:, None].expand(3, int(inside[0].sum())))
    torch.testing.assert_close(y.mean((2, 3)), x.float().mean((2, 3)))


def test_instance_means_have_the_gradient_of_means() -> None:
    x, ids = torch.randn(1, 2, 3, 3).double().requires_grad_(), torch.randint(0, 2, (1, 1, 3, 3))
    assert torch.autograd.gradcheck(lambda x: pix2pixhd.instance_mean(x, ids), x)
    with torch.device("meta"):  # no value is asked for
        assert pix2pixhd.instance_mean(torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4)).shape == (1, 2, 4, 4)
        assert pix2pixhd.boundary(torch.zeros(1, 1, 4, 4)).shape == (1, 1, 4, 4)


def test_the_encoder_describes_instances() -> None:
    E, x = pix2pixhd.FeatureEncoder(3, width=2), torch.randn(1, 3, 32, 48)
    ids = (torch.arange(48) // 20).expand(1, 1, 32, 48)
    y = E(x, ids)
    assert y.shape == (1, 3, 32, 48) and len(y[0, 0].unique()) == 3
    assert torch.equal(y, pix2pixhd.instance_mean(E.net(x), ids))


def test_the_enhancer_adds_its_features_to_the_global_ones() -> None:
    G1, G2 = pix2pixhd.global_generator(4, 3, 4, 1), pix2pixhd.LocalEnhancer(4, 3, 2, 1)
    x = torch.randn(1, 4, 64, 96)
    coarse = G1.trunk(down_smooth(x))
    y = G2(x, coarse)
    assert y.shape == (1, 3, 64, 96)
    torch.testing.assert_close(y, G2.out(G2.up(G2.down(x) + coarse)).tanh())
    for module in G2.down:
        if isinstance(module, nn.Conv2d):
            nn.init.zeros_(module.weight)
    torch.testing.assert_close(G2(x, coarse), G2.out(G2.up(coarse)).tanh())
    torch.testing.assert_close(G1(down_smooth(x)), G1.out(coarse).tanh())


def test_the_enhancers_own_halves_are_the_papers() -> None:
    def normed(conv: nn.Module) -> list[nn.Module]:
        return [conv, nn.InstanceNorm2d(conv.out_channels), nn.ReLU()]

    pad = nn.ReflectionPad2d(1)
    block = Sum(pad, *normed(nn.Conv2d(8, 8, 3)), pad, nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8))
    G2, x = pix2pixhd.LocalEnhancer(3, 2, 4, 1), torch.randn(2, 3, 12, 16)
    down = nn.Sequential(nn.ReflectionPad2d(3), *normed(nn.Conv2d(3, 4, 7)), *normed(nn.Conv2d(4, 8, 3, 2, 1)))
    same(G2.down, down, x)
    same(G2.up, nn.Sequential(block, *normed(nn.ConvTranspose2d(8, 4, 3, 2, 1, 1))), torch.randn(2, 8, 6, 8))


# --- DiscoGAN, super-resolution ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bottleneck", [0, 5])
@pytest.mark.parametrize(("side", "halvings", "base"), [(16, 3, 2), (32, 3, 4), (64, 4, 4), (128, 5, 4)])
def test_discogan_sizes(side: int, halvings: int, base: int, bottleneck: int) -> None:
    G = discogan.Generator((3, side, side), 1, 2, bottleneck)
    D = discogan.Discriminator((1, side, side), 2)
    fake = G(torch.randn(2, 3, side, side))
    assert fake.shape == (2, 1, side, side) and fake.abs().max() <= 1 and G.multiple == 2**halvings
    hidden = D.hidden(fake)
    assert [h.shape[2] for h in hidden] == [4 * base, 2 * base, base]
    assert D(fake).shape == (2,) and torch.equal(D(fake), D.head(D.hidden(fake)[-1]))


def test_rrdb_starts_near_the_identity() -> None:
    """A dense block changes its input by less than 5 %; so a block is x plus a fifth of about x."""
    x = torch.randn(2, 64, 16, 16)
    block = rrdb.Block(64, 32)
    with torch.no_grad():
        for dense in block.dense:
            change = ((dense(x) - x).norm() / x.norm()).item()
            assert 0.0005 < change < 0.05
        assert ((block(x) - 1.2 * x).norm() / x.norm()).item() < 0.05
        assert 0.2 < rrdb.Generator()(torch.rand(1, 3, 8, 8)).std() < 5


def test_convolutions_of_dense_blocks_start_at_a_tenth() -> None:
    G = rrdb.Generator(blocks=1)
    std = G.body[0].dense[1].grow[2].weight.std().item()
    assert std == pytest.approx(0.1 * (2 / (128 * 9)) ** 0.5, rel=0.05)
    assert G.fine.weight.std().item() == pytest.approx((1 / (3 * 64 * 9)) ** 0.5, rel=0.05)


# --- what holds for all of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (32, 96)])
@pytest.mark.parametrize("name", TRANSLATORS)
def test_translators_take_many_sizes(name: str, size: tuple[int, int]) -> None:
    make, scale = TRANSLATORS[name]
    G = make().to(memory_format=torch.channels_last)
    y = G(torch.randn(2, 3, *size))
    assert y.shape[2:] == (scale * size[0], scale * size[1]) and y.isfinite().all()
    assert y.is_contiguous(memory_format=torch.channels_last)
    if scale == 1:
        assert y.abs().max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (13, 3)])
def test_super_resolution_takes_any_size(size: tuple[int, int]) -> None:
    for net in (srresnet.Generator(1, 4, 4, 1), rrdb.Generator(1, 2, 4, 1, 2)):
        scale = 4 if isinstance(net, srresnet.Generator) else 2
        assert net(torch.randn(2, 1, *size)).shape == (2, 1, scale * size[0], scale * size[1])


@pytest.mark.parametrize("name", [*TRANSLATORS, *(f"D {k}" for k in JUDGES)])
def test_bfloat16_autocast(name: str) -> None:
    """Near the float32 values; logits stay float32; gradients are finite."""
    net = quiet(JUDGES[name[2:]]() if name.startswith("D ") else TRANSLATORS[name][0]())
    net = net.to(memory_format=torch.channels_last)
    x = torch.randn(4, 3, 32, 32)
    y = net(x)
    with torch.autocast("cpu", torch.bfloat16):
        low = net(x)
    assert not name.startswith("D ") or low.dtype == torch.float32
    assert (low.float() - y).abs().mean() < 0.05 * y.std() + 0.01 * y.abs().mean()
    low.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", [*TRANSLATORS, *(f"D {k}" for k in JUDGES)])
def test_recomputed_blocks_are_the_same(name: str) -> None:
    """So no layer works in place on what another block has kept."""
    net = JUDGES[name[2:]]() if name.startswith("D ") else TRANSLATORS[name][0]()
    twin, x = copy.deepcopy(net), torch.randn(2, 3, 32, 32)
    assert recompute_(twin) > 0
    results = []
    for one in (net, twin):
        torch.manual_seed(1)
        y = one(x)
        y.square().sum().backward()
        results.append((y, [p.grad for p in one.parameters()], list(one.buffers())))
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1] + results[0][2], results[1][1] + results[1][2], strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", [*TRANSLATORS, *(f"D {k}" for k in JUDGES)])
def test_folded_norms_and_copies_are_the_same(name: str) -> None:
    net = quiet(JUDGES[name[2:]]() if name.startswith("D ") else TRANSLATORS[name][0]())
    x = torch.randn(3, 3, 32, 32)
    for _ in range(3):
        net(x)
    y = net.eval()(x)
    twin = quiet(JUDGES[name[2:]]() if name.startswith("D ") else TRANSLATORS[name][0]()).eval()
    twin.load_state_dict(net.state_dict())
    assert torch.equal(twin(x), y)
    fold_batch_norm(twin)
    torch.testing.assert_close(twin(x), y, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("name", JUDGES)
def test_discriminators_bear_a_gradient_penalty(name: str) -> None:
    """The second derivative against a difference of first ones, in float64."""
    D, x = JUDGES[name]().double().eval(), torch.randn(2, 3, 32, 32).double()
    p = next(q for q in D.parameters() if q.ndim == 4)

    def r1(create_graph: bool) -> Tensor:
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(D(leaf).sum(), leaf, create_graph=create_graph)[0].square().sum()

    (slope,) = torch.autograd.grad(r1(True), p)
    way = torch.randn_like(p)
    values = []
    for step in (1e-8, -2e-8):
        with torch.no_grad():
            p.add_(way, alpha=step)
        values.append(r1(False))
    torch.testing.assert_close((slope * way).sum(), (values[0] - values[1]) / 2e-8, rtol=1e-3, atol=1e-6)


MESSAGES: list[tuple[Callable[[], object], str]] = [
    (lambda: unet.Generator((3, 30, 32), 3), "The U-Net takes images with sides that are multiples of 16 px, not 30 x"),
    (lambda: unet.Generator((3, 1, 1), 3), "multiples of 16 px, not 1 x 1"),
    (lambda: unet.Generator((2,), 3), r"a sample has shape \(2,\)"),
    (lambda: unet.Generator((3, 64, 64), 3, 2)(torch.zeros(1, 3, 64, 80)), "multiples of 64 px, not 64 x 80"),
    (lambda: patch.Discriminator(3, 6), "layers is 0 to 5, not 6"),
    (lambda: patch.Discriminator(3, padding=0), "padding is 1 or 2 px, not 0"),
    (lambda: translator.Generator(3, 3, 2)(torch.zeros(1, 3, 30, 32)), "of 4 px, at least 8, not 30 x 32: pad or crop"),
    (lambda: translator.Generator(3, 3, 2)(torch.zeros(1, 3, 4, 4)), "at least 8, not 4 x 4"),
    (lambda: translator.Generator(3, 3, 2, halvings=0), "at least once, not 0 times"),
    (lambda: pix2pixhd.global_generator(3, 3, 2, 1)(torch.zeros(1, 3, 16, 32)), "at least 32, not 16 x 32"),
    (
        lambda: pix2pixhd.LocalEnhancer(3, 3, 2)(torch.zeros(1, 3, 33, 32), torch.zeros(1)),
        "of 2 px, at least 4, not 33",
    ),
    (
        lambda: pix2pixhd.LocalEnhancer(3, 3, 2)(torch.zeros(1, 3, 32, 32), torch.zeros(1, 4, 32, 32)),
        r"of shape \(1, 4, 16, 16\) to its own, not of \(1, 4, 32, 32\)",
    ),
    (lambda: discogan.Generator((3, 48, 48), 3), "discogan makes images of 16, 32, .* not 48 px"),
    (lambda: discogan.Generator((3, 16, 16), 3, 2)(torch.zeros(1, 3, 20, 16)), "multiples of 8 px, not 20 x 16"),
    (
        lambda: discogan.Generator((3, 32, 32), 3, 2, bottleneck=4)(torch.zeros(1, 3, 16, 32)),
        "multiples of 8 px, at least 32, not 16 x 32",
    ),
    (lambda: srresnet.Generator(scale=3), "2 or 4 times as large, not 3 times"),
    (lambda: rrdb.Generator(scale=8), "2 or 4 times as large, not 8 times"),
    (lambda: srresnet.Discriminator((3, 8, 20)), "sides of whole pixels, at least 16, not 8 x 20"),
    (lambda: srresnet.Discriminator((2,)), r"a sample has shape \(2,\)"),
    (lambda: srresnet.Discriminator((3, 16, 16), 2)(torch.zeros(1, 3, 16, 32)), r"not \(3, 16, 32\)"),
]


@pytest.mark.parametrize(("make", "words"), MESSAGES)
def test_messages(make: Callable[[], object], words: str) -> None:
    with pytest.raises(GansmithError, match=words) as caught:
        make()
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message
