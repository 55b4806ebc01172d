"""DINOv2 and CLIP against references written here from other parts, on tiny networks with random weights.

The references take the file's tensors by name and use torch.nn.MultiheadAttention, so that names, layout, order and
epsilons are held; sizes are held by the parameter counts and file sizes that are published.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.evaluation.features import MODULES, Extractor, clip, dinov2, find
from gansmith.evaluation.features.vit import Shape
from gansmith.weights import WeightsFile

State = dict[str, Tensor]
Activation = Callable[[Tensor], Tensor]
SEEDS = [0, 1, 2]
CPU = torch.device("cpu")
DINO = Shape(width=24, depth=2, heads=3, patch=14, side=70)
CLIP, JOINT = Shape(width=24, depth=2, heads=3, patch=8, side=32), 10


# --- files as they are published, but tiny -----------------------------------------------------------------------


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def linear(name: str, before: int, after: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (after, before), f"{name}.bias": (after,)}


def dino_names(s: Shape) -> dict[str, tuple[int, ...]]:
    """Every tensor of a DINOv2 file and its shape."""
    d, grid = s.width, s.side // s.patch
    found = {"cls_token": (1, 1, d), "pos_embed": (1, grid * grid + 1, d), "mask_token": (1, d)}
    found |= {"patch_embed.proj.weight": (d, 3, s.patch, s.patch), "patch_embed.proj.bias": (d,)} | norm("norm", d)
    for block in (f"blocks.{i}" for i in range(s.depth)):
        found |= norm(f"{block}.norm1", d) | norm(f"{block}.norm2", d)
        found |= linear(f"{block}.attn.qkv", d, 3 * d) | linear(f"{block}.attn.proj", d, d)
        found |= linear(f"{block}.mlp.fc1", d, 4 * d) | linear(f"{block}.mlp.fc2", 4 * d, d)
        found |= {f"{block}.ls1.gamma": (d,), f"{block}.ls2.gamma": (d,)}
    return found


def clip_names(s: Shape, joint: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of the image tower in a CLIP file, and its shape."""
    d, grid, root = s.width, s.side // s.patch, "vision_model"
    found = {f"{root}.embeddings.class_embedding": (d,)}
    found |= {f"{root}.embeddings.patch_embedding.weight": (d, 3, s.patch, s.patch)}
    found |= {f"{root}.embeddings.position_embedding.weight": (grid * grid + 1, d)}
    found |= norm(f"{root}.pre_layrnorm", d) | norm(f"{root}.post_layernorm", d)
    found |= {"visual_projection.weight": (joint, d)}
    for layer in (f"{root}.encoder.layers.{i}" for i in range(s.depth)):
        found |= norm(f"{layer}.layer_norm1", d) | norm(f"{layer}.layer_norm2", d)
        for part in ("q", "k", "v", "out"):
            found |= linear(f"{layer}.self_attn.{part}_proj", d, d)
        found |= linear(f"{layer}.mlp.fc1", d, 4 * d) | linear(f"{layer}.mlp.fc2", 4 * d, d)
    return found


def text_tower(s: Shape) -> dict[str, tuple[int, ...]]:
    """Tensors of a CLIP file that the image tower must leave alone, with names and shapes as near as they come."""
    layer = "text_model.encoder.layers.0"
    found = linear(f"{layer}.mlp.fc1", s.width, 4 * s.width) | norm("text_model.final_layer_norm", s.width)
    return found | {"logit_scale": (), "text_projection.weight": (JOINT, s.width)}


def fill(names: dict[str, tuple[int, ...]], seed: int) -> State:
    g = torch.Generator().manual_seed(seed)
    return {name: 0.3 * torch.randn(shape, generator=g) for name, shape in names.items()}


def dino_state(seed: int) -> State:
    return fill(dino_names(DINO), seed)


def clip_state(seed: int) -> State:
    positions = {"vision_model.embeddings.position_ids": torch.arange(CLIP.places)[None]}
    return fill(clip_names(CLIP, JOINT) | text_tower(CLIP), seed) | positions


def publish(file: Path, state: State) -> str:
    """Write a file of weights, and give its SHA-256."""
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def tiny_dino(file: Path, digest: str, where: Path | None = None) -> Extractor:
    release = dinov2.Release(DINO, WeightsFile("tiny_dino", file.name, "the project's page", (digest,)))
    return dinov2.build("tiny_dino", where or file, CPU, {"tiny_dino": release})


def tiny_clip(file: Path, digest: str) -> Extractor:
    release = clip.Release(CLIP, JOINT, WeightsFile("tiny_clip", file.name, "the project's page", (digest,)))
    return clip.build("tiny_clip", file, CPU, {"tiny_clip": release})


def images(n: int, channels: int, side: int, seed: int) -> Tensor:
    """Images as a network draws them: between the 256 levels of a file, and at places beyond [-1, 1]."""
    g = torch.Generator().manual_seed(seed)
    return 2.1 * torch.rand(n, channels, side, side, generator=g) - 1.05


# --- references --------------------------------------------------------------------------------------------------


def layer_norm(x: Tensor, state: State, name: str, eps: float) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def attention(x: Tensor, heads: int, joined: tuple[Tensor, Tensor], out: tuple[Tensor, Tensor]) -> Tensor:
    mha = nn.MultiheadAttention(x.shape[-1], heads, batch_first=True, dtype=x.dtype).eval()
    names = ("in_proj_weight", "in_proj_bias", "out_proj.weight", "out_proj.bias")
    mha.load_state_dict(dict(zip(names, (*joined, *out), strict=True)))
    with torch.no_grad():
        return mha(x, x, x, need_weights=False)[0]


def both(state: State, name: str) -> tuple[Tensor, Tensor]:
    return state[f"{name}.weight"], state[f"{name}.bias"]


def two_maps(x: Tensor, state: State, name: str, activation: Activation) -> Tensor:
    return F.linear(activation(F.linear(x, *both(state, f"{name}.fc1"))), *both(state, f"{name}.fc2"))


def rows_of_tokens(x: Tensor, first: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """By cutting and a matrix product, without a convolution."""
    p = weight.shape[-1]
    cut = x.unfold(2, p, p).unfold(3, p, p).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    return torch.cat([first.reshape(1, 1, -1).repeat(len(x), 1, 1), F.linear(cut, weight.flatten(1), bias)], 1)


def cubic(before: int, after: int, step: float) -> Tensor:
    """Weights (after, before) of cubic convolution, a = -0.75: sample i at (i + 0.5) step - 0.5, edges repeated."""
    out = torch.zeros(after, before, dtype=torch.float64)
    for i in range(after):
        at = (i + 0.5) * step - 0.5
        for j in range(math.floor(at) - 1, math.floor(at) + 3):
            t = abs(at - j)
            near, far = 1.25 * t**3 - 2.25 * t**2 + 1, -0.75 * t**3 + 3.75 * t**2 - 6 * t + 3
            out[i, min(max(j, 0), before - 1)] += near if t <= 1 else far
    return out


def resampled(table: Tensor, side: int, step: float) -> Tensor:
    before = math.isqrt(table.shape[1] - 1)
    weights = cubic(before, side, step).to(table.dtype)
    grid = torch.einsum("ai,bj,ijd->abd", weights, weights, table[0, 1:].view(before, before, -1))
    return torch.cat([table[0, :1], grid.flatten(0, 1)])[None]


def dino_reference(state: State, x: Tensor, s: Shape, activation: Activation = F.gelu, eps: float = 1e-6) -> Tensor:
    side, table = x.shape[-1] // s.patch, state["pos_embed"]
    before = s.side // s.patch
    x = rows_of_tokens(x, state["cls_token"], *both(state, "patch_embed.proj"))
    x = x + (table if side == before else resampled(table, side, before / (side + 0.1)))
    for b in (f"blocks.{i}" for i in range(s.depth)):
        h = layer_norm(x, state, f"{b}.norm1", eps)
        h = attention(h, s.heads, both(state, f"{b}.attn.qkv"), both(state, f"{b}.attn.proj"))
        x = x + h * state[f"{b}.ls1.gamma"]
        h = two_maps(layer_norm(x, state, f"{b}.norm2", eps), state, f"{b}.mlp", activation)
        x = x + h * state[f"{b}.ls2.gamma"]
    return layer_norm(x, state, "norm", eps)[:, 0]


def quick(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def clip_reference(state: State, x: Tensor, s: Shape, activation: Activation = quick, eps: float = 1e-5) -> Tensor:
    root = "vision_model"
    patch, first = f"{root}.embeddings.patch_embedding.weight", f"{root}.embeddings.class_embedding"
    x = rows_of_tokens(x, state[first], state[patch], None) + state[f"{root}.embeddings.position_embedding.weight"]
    x = layer_norm(x, state, f"{root}.pre_layrnorm", eps)
    for b in (f"{root}.encoder.layers.{i}" for i in range(s.depth)):
        parts = [both(state, f"{b}.self_attn.{part}_proj") for part in "qkv"]
        joined = torch.cat([weight for weight, _ in parts]), torch.cat([bias for _, bias in parts])
        h = layer_norm(x, state, f"{b}.layer_norm1", eps)
        x = x + attention(h, s.heads, joined, both(state, f"{b}.self_attn.out_proj"))
        x = x + two_maps(layer_norm(x, state, f"{b}.layer_norm2", eps), state, f"{b}.mlp", activation)
    out = layer_norm(x[:, 0], state, f"{root}.post_layernorm", eps) @ state["visual_projection.weight"].T
    return out / out.norm(dim=1, keepdim=True)


def as_published(pictures: Tensor, side: int, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Rounded to a file's levels, resized by Pillow's bicubic filter on floats 0..255, clipped, normalised."""
    out = np.empty((len(pictures), 3, side, side))
    for i, j in np.ndindex(len(pictures), 3):
        levels = ((pictures[i, j].clamp(-1, 1) + 1) * 127.5).round().numpy()
        picture = Image.fromarray(levels).resize((side, side), Image.Resampling.BICUBIC)
        out[i, j] = (np.asarray(picture).clip(0, 255) / 255 - mean[j]) / std[j]
    return torch.from_numpy(out)


# --- the networks compute what the releases compute --------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("side", [DINO.side, 42, 112])
def test_dinov2_equals_the_reference(side: int, seed: int) -> None:
    """In float64, so that small things are seen; at its own size and with positions resampled."""
    state = {name: value.double() for name, value in dino_state(seed).items()}
    net = dinov2.DinoV2(DINO).double()
    net.load_state_dict(state)
    x = torch.randn(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        found = net(x).features
    assert found.shape == (3, DINO.width)
    torch.testing.assert_close(found, dino_reference(state, x, DINO), rtol=0, atol=1e-10)
    assert (found - dino_reference(state, x, DINO, quick)).abs().max() > 1e-4  # another activation is seen
    assert (found - dino_reference(state, x, DINO, eps=1e-5)).abs().max() > 1e-8  # and another epsilon


@pytest.mark.parametrize("seed", SEEDS)
def test_clip_equals_the_reference(seed: int) -> None:
    state = {name: value.double() for name, value in clip_state(seed).items()}
    net = clip.ImageTower(CLIP, JOINT).double()
    net.load_state_dict({k: v for k, v in clip.image_tower(state).items() if k in net.state_dict()})
    x = torch.randn(3, 3, CLIP.side, CLIP.side, dtype=torch.float64)
    with torch.no_grad():
        found = net(x).features
    torch.testing.assert_close(found, clip_reference(state, x, CLIP), rtol=0, atol=1e-10)
    assert (found - clip_reference(state, x, CLIP, F.gelu)).abs().max() > 1e-4
    assert (found - clip_reference(state, x, CLIP, eps=1e-6)).abs().max() > 1e-8
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3, dtype=torch.float64))


# --- positions ---------------------------------------------------------------------------------------------------


def test_positions_at_the_released_size_are_the_table() -> None:
    table = torch.randn(1, 1 + 37 * 37, 4)
    assert dinov2.positions(table, 37, 37) is table


def test_positions_at_224_px_have_the_releases_offset() -> None:
    table = torch.randn(1, 1 + 37 * 37, 4, dtype=torch.float64)
    found = dinov2.positions(table, 16, 16)
    torch.testing.assert_close(found, resampled(table, 16, 37 / 16.1), rtol=0, atol=1e-12)
    assert (found - resampled(table, 16, 37 / 16)).abs().max() > 0.1  # without the offset it is another table
    assert torch.equal(found[:, 0], table[:, 0])


def test_height_and_width_are_not_mixed_up() -> None:
    ramp = torch.arange(5.0)[:, None].expand(5, 5)  # grows downwards
    table = torch.cat([torch.zeros(1), ramp.flatten()]).view(1, 26, 1)
    found = dinov2.positions(table, 3, 7)[0, 1:, 0].view(3, 7)
    assert found.std(1).max() < 1e-6 and (found.diff(dim=0) > 1).all()


# --- sizes -------------------------------------------------------------------------------------------------------


def parameters(net: nn.Module) -> int:
    return sum(value.numel() for value in net.state_dict().values())


@pytest.mark.parametrize(
    ("name", "millions", "size"),
    [
        ("dinov2_vits14", 22.06, 88_283_115),
        ("dinov2_vitb14", 86.58, 346_378_731),
        ("dinov2_vitl14", 304.37, 1_217_586_395),
    ],
)
def test_dinov2_has_the_published_size(name: str, millions: float, size: int) -> None:
    """The count in closed form, the published rounding, and the bytes of the file: 4 each and the names."""
    s = dinov2.RELEASES[name].shape
    with torch.device("meta"):
        net = dinov2.DinoV2(s)
    d, grid = s.width, 518 // 14
    outside = d * (1 + (1 + grid**2) + 1 + (3 * 14**2 + 1) + 2)
    count = outside + s.depth * (12 * d**2 + 15 * d)
    assert parameters(net) == count
    assert round(count / 1e6, 2) == millions
    assert 4 * count < size < 4 * count + 400 * len(net.state_dict())
    assert {k: tuple(v.shape) for k, v in net.state_dict().items()} == dino_names(s)


@pytest.mark.parametrize(
    ("name", "count", "text", "both_towers", "size"),
    [
        ("clip_vitl14_336", 304_293_888, (768, 12), 427_944_193, 1_711_974_081),
        ("clip_vitb32", 87_849_216, (512, 12), 151_277_313, 605_247_071),
    ],
)
def test_clip_has_the_published_size(name: str, count: int, text: tuple[int, int], both_towers: int, size: int) -> None:
    """The count in closed form; with the text tower's it is that of the whole file, 4 bytes each and the names."""
    s, joint, _ = clip.RELEASES[name]
    with torch.device("meta"):
        net = clip.ImageTower(s, joint)
    d, (w, depth) = s.width, text
    outside = d * (1 + 3 * s.patch**2 + 1 + (s.side // s.patch) ** 2 + 2 + 2) + d * joint
    assert parameters(net) == outside + s.depth * (12 * d**2 + 13 * d) == count
    words = w * (49_408 + 77) + depth * (12 * w**2 + 13 * w) + 2 * w + w * joint + 1
    assert count + words == both_towers
    assert 4 * both_towers < size < 4 * both_towers + 400 * (16 * (s.depth + depth) + 14)
    renamed = clip.image_tower({k: torch.empty(v, device="meta") for k, v in clip_names(s, joint).items()})
    assert {k: v.shape for k, v in renamed.items()} == {k: v.shape for k, v in net.state_dict().items()}


def test_every_release_is_found_by_name_and_has_a_whole_checksum() -> None:
    assert {name for name, module in MODULES.items() if module == "dinov2"} == set(dinov2.RELEASES)
    assert {name for name, module in MODULES.items() if module == "clip"} <= set(clip.RELEASES)
    for name, release in {**dinov2.RELEASES, **clip.RELEASES}.items():
        assert release.file.extractor == name
        assert release.file.sha256 and all(len(bytes.fromhex(digest)) == 32 for digest in release.file.sha256)


# --- from file to features ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [32, 224, 300])
def test_dinov2_from_file_to_features(tmp_path: Path, side: int) -> None:
    state, file = dino_state(1), tmp_path / "dinov2_tiny_pretrain.pth"
    digest = publish(file, state)
    extractor = tiny_dino(file, digest, tmp_path)
    x = images(5, 3, side, 1)
    prepared = as_published(x, 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    torch.testing.assert_close(extractor.prepare(x), prepared.float(), rtol=0, atol=5e-5)
    found = extractor.features(x)
    torch.testing.assert_close(found, dino_reference(state, extractor.prepare(x), DINO), rtol=0, atol=1e-4)
    assert extractor.identity == f"tiny_dino 1 {digest[:8]}"
    assert (extractor.dim, extractor.resized(32, 32), extractor.resized(224, 224)) == (24, "bicubic", "none")


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
def test_clip_from_file_to_features(tmp_path: Path, suffix: str, kind: torch.dtype) -> None:
    state = {k: v.to(kind) if v.is_floating_point() else v for k, v in clip_state(2).items()}
    file = tmp_path / f"clip-tiny{suffix}"
    extractor = tiny_clip(file, publish(file, state))
    x = images(5, 3, 50, 2)
    mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    prepared = as_published(x, CLIP.side, mean, std).float()
    torch.testing.assert_close(extractor.prepare(x), prepared, rtol=0, atol=5e-5)
    found, float32 = extractor.features(x), {k: v.float() for k, v in state.items()}
    torch.testing.assert_close(found, clip_reference(float32, extractor.prepare(x), CLIP), rtol=0, atol=1e-5)
    assert found.shape == (5, JOINT) and extractor.dim == JOINT
    torch.testing.assert_close(found.norm(dim=1), torch.ones(5))


@pytest.fixture(params=["dinov2", "clip"])
def extractor(request: pytest.FixtureRequest, tmp_path: Path) -> Extractor:
    """A tiny network with random weights, through its file."""
    file = tmp_path / "tiny.bin"
    if request.param == "dinov2":
        return tiny_dino(file, publish(file, dino_state(0)))
    return tiny_clip(file, publish(file, clip_state(0)))


def test_a_grey_image_is_three_equal_channels(extractor: Extractor) -> None:
    grey = images(4, 1, 40, 3)
    assert torch.equal(extractor.features(grey), extractor.features(grey.repeat(1, 3, 1, 1)))
    tinted = grey.repeat(1, 3, 1, 1) * torch.tensor([1.0, 0.5, 1.0])[:, None, None]
    assert (extractor.features(tinted) - extractor.features(grey)).abs().max() > 1e-3


def test_a_feature_depends_on_its_image_alone(extractor: Extractor) -> None:
    """Neither on its neighbours in a batch nor on their order."""
    x, order = images(7, 3, 24, 4), torch.tensor([3, 0, 6, 1, 5, 2, 4])
    together = extractor.features(x)
    assert together.std(0).max() > 1e-3
    torch.testing.assert_close(extractor.features(x[order]), together[order], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        torch.cat([extractor.features(one) for one in x.split(2)]), together, rtol=1e-5, atol=1e-5
    )


def test_clip_is_found_in_hugging_faces_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    file = tmp_path / "hub" / "models--openai--clip-tiny" / "snapshots" / "1f2e" / "pytorch_model.bin"
    digest = publish(file, clip_state(0))
    weights = WeightsFile("tiny", "clip-tiny.bin", "a page", (digest,), hub="openai/clip-tiny/pytorch_model.bin")
    found = clip.build("tiny", None, CPU, {"tiny": clip.Release(CLIP, JOINT, weights)})
    assert found.identity == f"tiny 1 {digest[:8]}"


# --- bad files ---------------------------------------------------------------------------------------------------


def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache of this machine counts."""
    monkeypatch.delenv("GANSMITH_WEIGHTS", raising=False)
    for name in ("GANSMITH_CACHE", "TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("name", sorted({**dinov2.RELEASES, **clip.RELEASES}.keys() & MODULES.keys()))
def test_absent_weights_are_named_with_their_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    file = {**dinov2.RELEASES, **clip.RELEASES}[name].file
    with pytest.raises(GansmithError) as error:
        find(name)
    assert file.name in str(error.value) and file.page in str(error.value) and "meanwhile use" in str(error.value)


@pytest.mark.parametrize("name", ["cls_token", "blocks.1.ls2.gamma", "blocks.0.attn.qkv.bias", "mask_token"])
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    state, file = dino_state(0), tmp_path / "tiny.pth"
    del state[name]
    with pytest.raises(GansmithError, match=f"{name}.* missing"):
        tiny_dino(file, publish(file, state))


@pytest.mark.parametrize("name", ["class_embedding", "pre_layrnorm.weight", "layers.1.self_attn.v_proj.bias"])
def test_a_missing_tensor_of_clip_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / "tiny.safetensors"
    state = {key: value for key, value in clip_state(0).items() if not key.endswith(f".{name}")}
    assert len(state) == len(clip_state(0)) - 1
    with pytest.raises(GansmithError, match=f"{name}.* missing"):
        tiny_clip(file, publish(file, state))


def test_a_file_of_the_text_tower_alone_does_not_pass(tmp_path: Path) -> None:
    file, names = tmp_path / "tiny.safetensors", clip_names(CLIP, JOINT)
    renamed = fill({name.replace("vision_model", "text_model"): shape for name, shape in names.items()}, 0)
    with pytest.raises(GansmithError, match="class_embedding"):
        tiny_clip(file, publish(file, renamed))


def test_a_file_of_another_size_does_not_pass(tmp_path: Path) -> None:
    """Another side of the images shows in the table of positions, another width everywhere."""
    for i, shape in enumerate([DINO._replace(side=84), DINO._replace(width=48), DINO._replace(depth=1)]):
        file = tmp_path / f"other{i}.pth"
        with pytest.raises(GansmithError, match="does not fit"):
            tiny_dino(file, publish(file, fill(dino_names(shape), 0)))


def test_another_files_checksum_does_not_pass(tmp_path: Path) -> None:
    file = tmp_path / "tiny.pth"
    digest = publish(file, dino_state(0))
    publish(file, dino_state(1))
    with pytest.raises(GansmithError, match="not the published one"):
        tiny_dino(file, digest)


def test_files_with_other_weights_have_other_identities(tmp_path: Path) -> None:
    """So that their scores are never compared, even if both were accepted."""
    found = set()
    for seed in SEEDS:
        file = tmp_path / f"{seed}.pth"
        found.add(tiny_dino(file, publish(file, dino_state(seed))).identity)
    assert len(found) == len(SEEDS)
