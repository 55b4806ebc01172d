"""StyleGAN2's networks: published sizes, the paper's functions, noise that is reproducible, and precisions."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.nets import stylegan2
from gansmith.nets.stylegan2 import Discriminator, Generator
from gansmith.nn import Mapping, minibatch_std, noise_keys, pixel_norm

SQRT2 = 2**0.5


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def styles(G: Generator, n: int, w_dim: int = 8) -> Tensor:
    return torch.randn(n, G.layers, w_dim)


# ---------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("resolution", "channel_base", "g", "d"),
    [
        (32, 16384, 21_523_475, 21_507_073),  # measured from the released code: 21.523 M and 21.507 M
        (256, 16384, 24_767_458, 24_001_089),  # what the released code prints
        (1024, 32768, 30_370_060, 29_012_513),  # config F
    ],
)
def test_published_sizes(resolution: int, channel_base: int, g: int, d: int) -> None:
    shape = (3, resolution, resolution)
    with torch.device("meta"):
        M, G, D = Mapping(512, 512, 8), Generator(512, shape, channel_base), Discriminator(shape, channel_base)
    assert (count(M) + count(G), count(D)) == (g, d)
    assert G.layers == 2 * (resolution.bit_length() - 1) - 2


def test_sizes_for_cifar10() -> None:
    """Six mapping layers fewer, no skip layers in D's three blocks."""
    shape = (3, 32, 32)
    with torch.device("meta"):
        M, G, D = Mapping(512, 512, 2), Generator(512, shape), Discriminator(shape, group=32, residual=False)
    assert count(M) + count(G) == 21_523_475 - 6 * (512 * 512 + 512)
    assert count(D) == 21_507_073 - 3 * 512 * 512


@pytest.mark.parametrize("resolution", [8, 10, 12, 14, 16, 28, 40, 48])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes(resolution: int, channels: int) -> None:
    shape = (channels, resolution, resolution)
    G, D = Generator(8, shape, 64, 8), Discriminator(shape, 64, 8)
    images = G(styles(G, 3))
    assert images.shape == (3, *shape) and images.dtype == torch.float32
    assert D(images).shape == (3,) and D.trunk(images).shape == (3, D.features)
    torch.testing.assert_close(D.head(D.trunk(images)), D(images))
    assert 4 <= stylegan2.sides(resolution)[0] <= 7


@pytest.mark.parametrize(
    ("shape", "told"),
    [((3, 36, 36), ["stylegan2", "36 px", "resolution of 40"]), ((3, 32, 48), ["square"]), ((2,), ["images"])],
)
def test_other_sizes_are_refused(shape: tuple[int, ...], told: list[str]) -> None:
    for make in (lambda: Generator(8, shape), lambda: Discriminator(shape)):
        with pytest.raises(GansmithError) as e:
            make()
        assert all(word in str(e.value) for word in told)


# ---------------------------------------------------------------- the paper's functions


def act(x: Tensor) -> Tensor:
    return SQRT2 * F.leaky_relu(x, 0.2)


def conv(layer: nn.Module, x: Tensor, gain: float = 1.0, **how: int) -> Tensor:
    """With the equalised weight of gain 1, whatever factors the layer has taken over from activations."""
    w = layer.weight * gain / layer.weight[0].numel() ** 0.5
    return F.conv2d(x, w, layer.bias, **how)


def filtered(x: Tensor, padding: int, stride: int = 1) -> Tensor:
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    taps = torch.outer(line, line).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, taps, padding=padding, stride=stride, groups=x.shape[1])


@pytest.mark.parametrize("residual", [True, False])
def test_discriminator_is_the_papers(residual: bool) -> None:
    """Leaky ReLUs with their factor sqrt 2, every layer of gain 1, residual blocks divided by sqrt 2."""
    D = Discriminator((3, 16, 16), 128, 16, group=2, residual=residual)
    for name, p in D.named_parameters():
        if name.endswith("bias"):
            nn.init.normal_(p)
    x = torch.randn(4, 3, 16, 16)
    h = act(conv(D.start, x))
    for block in D.body:
        y = act(conv(block.conv, h, padding=1))
        y = act(conv(block.down[1], filtered(y, 2), stride=2))
        h = (y + conv(block.skip[1], filtered(h, 1, stride=2))) / SQRT2 if residual else y
    h = act(conv(D.conv, minibatch_std(h, 2), padding=1)).flatten(1)
    h = act(F.linear(h, D.dense.weight / D.dense.weight.shape[1] ** 0.5, D.dense.bias))
    logits = F.linear(h, D.out.weight / D.out.weight.shape[1] ** 0.5, D.out.bias)
    torch.testing.assert_close(D(x), logits.squeeze(1), rtol=1e-4, atol=1e-4)


def modulated(layer: nn.Module, x: Tensor, w: Tensor, up: bool = False) -> Tensor:
    """Equation 1 and 3 of the paper, sample by sample, upsampling first; no bias."""
    style = w @ layer.affine.weight.T / layer.affine.weight.shape[1] ** 0.5 + layer.affine.bias
    weight = layer.weight.transpose(0, 1).flip(2, 3) if up else layer.weight
    images = []
    for i in range(len(x)):
        kernel = weight * style[i][None, :, None, None]
        if layer.demodulate:
            kernel = kernel / kernel.square().sum((1, 2, 3), keepdim=True).sqrt()
        else:
            kernel = kernel / weight[0].numel() ** 0.5
        seen = x[i : i + 1]
        if up:
            spread = torch.zeros(1, x.shape[1], 2 * x.shape[2], 2 * x.shape[3])
            spread[:, :, ::2, ::2] = seen
            seen = 4 * filtered(F.pad(spread, (3, 2, 3, 2)), 0)
        images.append(F.conv2d(seen, kernel, padding=0 if up else kernel.shape[-1] // 2))
    return torch.cat(images)


def test_generator_is_the_papers() -> None:
    """Constant, demodulated layers with noise, bias and leaky ReLU times sqrt 2, and the sum of all RGB."""
    G = Generator(8, (3, 28, 28), 28 * 8, 16).eval()
    for name, p in G.named_parameters():
        if name.endswith(("bias", "strength")):
            nn.init.normal_(p)
    ws, image = styles(G, 2), None
    x = G.constant.expand(2, *G.constant.shape)
    for i, layer in enumerate(G.body):
        up = i % 2 == 1
        h = modulated(layer.conv, x, ws[:, i], up)
        h = h + layer.strength * G.get_buffer(f"noise_{i}") + layer.conv.bias[:, None, None]
        x = act(h)
        if not up:
            to_rgb = G.to_rgb[i // 2]
            colours = modulated(to_rgb, x, ws[:, i + 1]) + to_rgb.bias[:, None, None]
            if image is not None:
                spread = torch.zeros(2, 3, *(2 * side for side in image.shape[2:]))
                spread[:, :, ::2, ::2] = image
                colours = colours + 4 * filtered(F.pad(spread, (2, 1, 2, 1)), 0)
            image = colours
    assert image is not None
    torch.testing.assert_close(G(ws), image, rtol=1e-4, atol=1e-4)


def test_activations_start_with_about_unit_size_at_all_resolutions() -> None:
    """Below 1, as the filters average noise."""
    G = Generator(32, (3, 32, 32), 32 * 32, 64)
    seen: list[float] = []
    for layer in G.body[1:]:
        layer.conv.register_forward_hook(lambda m, given, y: seen.append(y.std().item()))
    G(styles(G, 8, 32))
    assert len(seen) == 6 and all(0.4 < s < 1.2 for s in seen)


# ---------------------------------------------------------------- mapping


def test_mapping_by_hand() -> None:
    M = Mapping(6, 5, 2).eval()
    z = torch.randn(4, 6)
    w = pixel_norm(z)
    for layer in M.layers:
        w = act(w @ (0.01 * layer.weight / layer.weight.shape[1] ** 0.5).T + 0.01 * layer.bias)
    torch.testing.assert_close(M(z), w)
    torch.testing.assert_close(M(7 * z), w)  # on the sphere
    assert [layer.weight.std().item() for layer in M.layers] == pytest.approx([100, 100], rel=0.4)


def test_the_mean_style_follows_when_told() -> None:
    M = Mapping(6, 5, 2)
    M.mean.fill_(1.0)
    w = M(torch.randn(40, 6))
    assert torch.equal(M.mean, torch.ones(5))
    M.follow(w)
    torch.testing.assert_close(M.mean, 0.995 * torch.ones(5) + 0.005 * w.mean(0).detach())
    assert not M.mean.requires_grad
    assert "mean" in M.state_dict()


# ---------------------------------------------------------------- noise


def noisy(**how: int) -> Generator:
    G = Generator(8, (1, 16, 16), 64, 8).eval()
    for layer in G.body:
        nn.init.constant_(layer.strength, 0.5)
    return G


def test_noise_is_new_in_training_and_fixed_in_evaluation() -> None:
    G = noisy()
    ws = styles(G, 1).expand(2, -1, -1)
    still = G(ws)
    torch.testing.assert_close(still[0], still[1])
    assert torch.equal(still, G(ws))
    fresh = G.train()(ws)
    assert (fresh[0] - fresh[1]).abs().max() > 0.1 and not torch.equal(fresh, G(ws))


def test_noise_of_keys_does_not_depend_on_the_batch() -> None:
    G, z = noisy(), torch.randn(6, 4)
    ws, keys = styles(G, 6), noise_keys(z)
    state = torch.get_rng_state()
    whole = G(ws, keys)
    parts = torch.cat([G(ws[i : i + 2], keys[i : i + 2]) for i in range(0, 6, 2)])
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
    assert torch.equal(torch.get_rng_state(), state)
    assert (G(ws, keys.flip(0)) - whole).abs().max() > 0.1
    same = G(ws[:1].expand(2, -1, -1), keys[:2])
    assert (same[0] - same[1]).abs().max() > 0.1  # one style, two noises


def test_keys_differ_and_survive_bfloat16() -> None:
    z = torch.randn(5000, 8)
    keys = noise_keys(z)
    assert len(keys.unique()) == 5000 and keys.min() >= 0 and keys.max() < 2**32
    assert torch.equal(keys, noise_keys(z.bfloat16()))


def test_the_noise_of_keys_is_standard_normal() -> None:
    G = noisy()
    big = G._of_keys(list(range(2000)))[-1]
    assert big.shape == (2000, 1, 16, 16)
    assert (big.mean().item(), big.std().item()) == pytest.approx((0, 1), abs=0.01)
    assert (big[1:] * big[:-1]).mean().abs() < 0.01


# ---------------------------------------------------------------- precision


def test_what_stays_in_float32_under_autocast() -> None:
    M, G, D = Mapping(8, 8, 2), noisy(), Discriminator((1, 16, 16), 64, 8)
    z = torch.randn(4, 8)
    inner: dict[str, torch.dtype] = {}
    G.body[-1].register_forward_hook(lambda m, given, y: inner.update(g=y.dtype))
    D.body.register_forward_hook(lambda m, given, y: inner.update(d=y.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        w = M(z)
        images = G(w[:, None].expand(-1, G.layers, -1))
        logits = D(images)
    assert {w.dtype, M.mean.dtype, images.dtype, logits.dtype} == {torch.float32}
    assert inner == {"g": torch.bfloat16, "d": torch.bfloat16}
    near = G(w[:, None].expand(-1, G.layers, -1))
    assert (images - near).abs().max() < 0.05 * near.abs().max()
    assert (logits - D(near)).abs().max() < 0.1


def test_cast_to_bfloat16_they_draw_nearly_the_same() -> None:
    M, G = Mapping(8, 8, 2).eval(), noisy()
    z = torch.randn(4, 8)

    def draw(z: Tensor) -> Tensor:
        return G(M(z)[:, None].expand(-1, G.layers, -1), noise_keys(z)).float()

    images = draw(z)
    M.bfloat16(), G.bfloat16()
    assert (draw(z.bfloat16()) - images).abs().max() < 0.1 * images.abs().max()


def test_double_backward_reaches_every_parameter_of_d() -> None:
    D = Discriminator((1, 8, 8), 32, 4)
    x = torch.randn(4, 1, 8, 8, requires_grad=True)
    (grad,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    grad.square().sum().backward()
    still = {name for name, p in D.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert all(name.endswith("bias") for name in still)  # of a piecewise linear function's slope
