"""Weights files: where they are looked for, how they are checked, and that none of them can run anything."""

from __future__ import annotations

import hashlib
import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gansmith.errors import GansmithError
from gansmith.evaluation.features import efficientnet, find, inception
from gansmith.weights import WeightsFile, fill, load, locate, read, verify

FILE = WeightsFile(
    "tiny", "tiny-0123.pth", "https://example.org/tiny", hub="owner/tiny/model.safetensors", also=("other-name.pth",)
)


class Tiny(nn.Module):
    """One of each: a convolution, a BatchNorm with its counter, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.bn(self.conv(x)).mean((2, 3)))


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every usual place is an empty folder of this test."""
    monkeypatch.setenv("GANSMITH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    for name in ("GANSMITH_WEIGHTS", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def state() -> dict[str, Tensor]:
    return Tiny().state_dict()


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# ---------------------------------------------------------------- where


def test_each_place_goes_before_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSMITH_WEIGHTS", str(tmp_path / "mine"))
    for place in (
        "hf/hub/models--owner--tiny/snapshots/0a1b/model.safetensors",
        "torch/hub/checkpoints/tiny-0123.pth",
        "cache/weights/other-name.pth",
        "cache/weights/tiny-0123.pth",
        "mine/other-name.pth",
    ):
        path = put(tmp_path / place)
        assert locate(FILE) == path


def test_a_given_path_goes_before_all_others(tmp_path: Path) -> None:
    put(tmp_path / "cache" / "weights" / FILE.name)
    file, folder = put(tmp_path / "own" / "renamed.pth"), put(tmp_path / "folder" / FILE.name).parent
    assert locate(FILE, file) == file and locate(FILE, str(folder)) == folder / FILE.name
    with pytest.raises(GansmithError, match=r'no weights file ".*own/tiny-0123.pth": get it from https://example.org'):
        locate(FILE, tmp_path / "own")


def test_an_installed_package_is_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "site" / "package_of_weights" / "models" / "w.pth")
    put(path.parent.parent / "__init__.py", b"raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert locate(replace(FILE, package="package_of_weights/models/w.pth")) == path
    with pytest.raises(GansmithError, match="not on this machine"):
        locate(replace(FILE, package="package_of_others/models/w.pth"))


@pytest.mark.parametrize(
    ("file", "instead"), [(inception.FILE, "efficientnet_lite0 or judge"), (efficientnet.FILE, "judge")]
)
def test_absent_says_which_file_from_where_and_what_meanwhile(file: WeightsFile, instead: str, tmp_path: Path) -> None:
    with pytest.raises(GansmithError) as error:
        locate(replace(file, package=""))
    message = str(error.value)
    assert message.startswith(f"{file.extractor} needs the weights file {file.name}, which is not on this machine")
    assert file.page in message and str(tmp_path / "cache" / "weights") in message
    assert message.endswith(f"meanwhile use {instead}.") and "\n" not in message


def test_finding_the_fid_network_never_gives_another() -> None:
    with pytest.raises(
        GansmithError, match=r"inception_2015 needs the weights file pt_inception-2015-12-05-6726825d.pth"
    ):
        find("inception_2015")


# ---------------------------------------------------------------- the checksum


def test_checksum_whole_or_its_beginning(tmp_path: Path) -> None:
    path = put(tmp_path / "w.pth", b"some weights")
    whole = hashlib.sha256(b"some weights").hexdigest()
    for accepted in ((whole,), (whole[:8],), ("00000000", whole[:8].upper()), ()):
        assert verify(path, accepted) == whole
    with pytest.raises(GansmithError) as error:
        verify(path, (whole[:-1] + "g",))
    assert str(path) in str(error.value) and f"is {whole[:16]}" in str(error.value)


def test_checksum_comes_before_reading(
    tmp_path: Path, state: dict[str, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(state, tmp_path / "w.pth")

    def never(*_: object, **__: object) -> None:
        raise AssertionError("read before it was checked")

    monkeypatch.setattr(torch, "load", never)
    with pytest.raises(GansmithError, match=r"begin with 00000000 or 11111111 and is [0-9a-f]{16}\.\.\."):
        load(Tiny, replace(FILE, sha256=("00000000", "11111111")), tmp_path / "w.pth")


# ---------------------------------------------------------------- reading


def test_both_formats_give_the_same_network(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "w.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "w.safetensors")
    x = torch.randn(2, 3, 5, 5)
    before = torch.get_rng_state()
    nets = [load(Tiny, FILE, tmp_path / name) for name in ("w.pth", "old.pth", "w.safetensors")]
    assert torch.equal(torch.get_rng_state(), before)
    assert len({digest for _, digest in nets}) == 3 and all(len(digest) == 8 for _, digest in nets)
    there = Tiny().eval()
    there.load_state_dict(state)
    for net, _ in nets:
        torch.testing.assert_close(net(x), there(x))
        assert not net.training and not any(p.requires_grad for p in net.parameters())


class Bomb:
    """What a hostile pickle holds: unpickled, it makes a folder."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("kind", ["plain", "torch"])
def test_a_file_cannot_run_code(kind: str, tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    bomb = {"conv.weight": Bomb(str(trace))}
    path.write_bytes(pickle.dumps(bomb)) if kind == "plain" else torch.save(bomb, path)
    with pytest.raises(GansmithError, match="cannot be read safely") as error:
        read(path)
    assert not trace.exists() and "\n" not in str(error.value)
    pickle.loads(pickle.dumps(bomb))  # it would have
    assert trace.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_cut_file_is_explained(name: str, tmp_path: Path, state: dict[str, Tensor]) -> None:
    path = tmp_path / name
    save_file(state, path) if name.endswith("safetensors") else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(GansmithError, match="cannot be read safely"):
        read(path)


@pytest.mark.parametrize("content", [[torch.zeros(2)], {"epoch": 3}, torch.zeros(3)])
def test_something_else_than_tensors_is_explained(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(GansmithError, match="does not hold a dictionary of tensors"):
        read(tmp_path / "w.pth")


# ---------------------------------------------------------------- filling


def empty() -> Tiny:
    with torch.device("meta"):
        return Tiny()


def test_missing_and_misshapen_tensors_are_named(state: dict[str, Tensor]) -> None:
    less = {name: value for name, value in state.items() if name != "bn.running_var"}
    with pytest.raises(GansmithError, match=r'"w.pth" does not fit: bn.running_var should be \(4,\) and is missing'):
        fill(empty(), less, "w.pth")
    with pytest.raises(GansmithError, match=r"fc.weight should be \(2, 4\) and is \(4, 2\)"):
        fill(empty(), {**state, "fc.weight": state["fc.weight"].T}, "w.pth")


def test_counters_may_be_missing_and_strangers_are_left_aside(state: dict[str, Tensor]) -> None:
    del state["bn.num_batches_tracked"]
    net = fill(empty(), {**state, "head.weight": torch.zeros(3)}, "w.pth")
    assert all(not value.is_meta for value in net.state_dict().values())
    assert torch.equal(net.state_dict()["fc.weight"], state["fc.weight"]) and "head.weight" not in net.state_dict()


def test_half_precision_becomes_float32_in_channels_last(state: dict[str, Tensor]) -> None:
    half = {name: value.half() if value.is_floating_point() else value for name, value in state.items()}
    net = fill(empty(), half, "w.pth")
    assert net.conv.weight.dtype == torch.float32
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(net.fc.weight, state["fc.weight"], rtol=1e-3, atol=1e-3)


def test_names_can_be_translated(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save({f"model.{name}": value for name, value in state.items()}, tmp_path / "w.pth")
    with pytest.raises(GansmithError, match=r"conv.weight should be .* and is missing"):
        load(Tiny, FILE, tmp_path / "w.pth")
    net, _ = load(Tiny, FILE, tmp_path / "w.pth", lambda s: {name[6:]: value for name, value in s.items()})
    assert torch.equal(net.fc.bias, state["fc.bias"])
