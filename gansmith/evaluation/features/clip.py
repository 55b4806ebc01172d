"""CLIP's image tower: features of unit length, trained so that an image lies near its caption.

    clip_vitl14_336    768 features, 336 px    304,293,888 parameters    the network of CMMD
    clip_vitb32        512 features, 224 px     87,849,216    the quick one

The parameters are those of the image tower and its projection. The files hold the text tower too, which is read and
left aside.

Images are rounded to 8 bits and brought to the network's size by Pillow's bicubic filter on floats. CMMD's code rounds
once more after resizing, which moves a value by half of one of 256 levels at most, and cuts images that are not square
to their middle, where ours squeezes them.

The files are those of the openai repositories on Hugging Face, which knows files by their SHA-256. They are published
as `pytorch_model.bin`, which is read without running code; as other networks have files of that name, `WeightsFile`
says what to call them in a folder of weights.

Source: Radford et al. 2021, arXiv:2103.00020 (openai/CLIP); Jayasumana et al. 2024, arXiv:2401.09603
(google-research/google-research, cmmd).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansmith.evaluation.features.base import Extractor, Look
from gansmith.evaluation.features.vit import Mlp, Shape, attend, tokens
from gansmith.weights import State, WeightsFile, load

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


class Release(NamedTuple):
    """A published network, the width of its projection, and its file."""

    shape: Shape
    joint: int
    file: WeightsFile


def _file(name: str, repository: str, megabytes: int, sha256: str) -> WeightsFile:
    file = "pytorch_model.bin"
    page = f"https://huggingface.co/openai/{repository} ({file}, {megabytes} MB, to be called {repository}.bin)"
    return WeightsFile(name, f"{repository}.bin", page, (sha256,), hub=f"openai/{repository}/{file}")


RELEASES = {
    "clip_vitl14_336": Release(
        Shape(width=1024, depth=24, heads=16, patch=14, side=336),
        768,
        _file(
            "clip_vitl14_336",
            "clip-vit-large-patch14-336",
            1712,
            "c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801",
        ),
    ),
    "clip_vitb32": Release(
        Shape(width=768, depth=12, heads=12, patch=32, side=224),
        512,
        _file(
            "clip_vitb32",
            "clip-vit-base-patch32",
            605,
            "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
        ),
    ),
}


def quick_gelu(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x): the approximation of GELU that CLIP was trained with.

    >>> quick_gelu(torch.tensor([0.0, 1.0, -1.0]))    # 1 / (1 + exp(-1.702)) = 0.8458
    tensor([ 0.0000,  0.8458, -0.1542])
    """
    return x * torch.sigmoid(1.702 * x)


class Layer(nn.Module):
    """(N, L, D) -> (N, L, D): attention added, then two linear maps added."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = nn.ModuleDict({f"{part}_proj": nn.Linear(width, width) for part in ("q", "k", "v", "out")})
        self.mlp = Mlp(width, quick_gelu)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer_norm1(x)
        q, k, v = (self.self_attn[f"{part}_proj"](h) for part in "qkv")
        x = x + self.self_attn["out_proj"](attend(q, k, v, self.heads))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class ImageTower(nn.Module):
    """Images (N, 3, side, side), normalised -> projected class tokens (N, joint) of unit length.

    Tensors are named as in the file, from its `vision_model` on; `pre_layrnorm` is spelled so there.
    """

    def __init__(self, shape: Shape, joint: int) -> None:
        super().__init__()
        width = shape.width
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.patch_embedding = nn.Conv2d(3, width, shape.patch, shape.patch, bias=False)
        self.position_embedding = nn.Embedding(shape.places, width)
        self.pre_layrnorm, self.post_layernorm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.layers = nn.Sequential(*(Layer(width, shape.heads) for _ in range(shape.depth)))
        self.visual_projection = nn.Linear(width, joint, bias=False)

    def forward(self, images: Tensor) -> Look:
        x = tokens(images, self.patch_embedding, self.class_embedding) + self.position_embedding.weight
        x = self.layers(self.pre_layrnorm(x))
        return Look(F.normalize(self.visual_projection(self.post_layernorm(x[:, 0])), dim=1))


def image_tower(state: State) -> State:
    """The file's tensors under the names of `ImageTower`; those of the text tower keep theirs, which it ignores.

    >>> list(image_tower({"vision_model.encoder.layers.0.mlp.fc1.bias": torch.ones(1), "logit_scale": torch.ones(())}))
    ['layers.0.mlp.fc1.bias', 'logit_scale']
    """
    return {re.sub(r"^vision_model\.((embeddings|encoder)\.)?", "", name): value for name, value in state.items()}


def build(
    name: str, where: str | Path | None, device: torch.device, releases: Mapping[str, Release] = RELEASES
) -> Extractor:
    """The extractor of that name. Raises GansmithError when its weights are absent or not the published ones.

    Args:
        name: a key of `releases`.
        where: as in `weights.locate`.
        releases: networks and which files are accepted for them.
    """
    shape, joint, file = releases[name]
    net, digest = load(lambda: ImageTower(shape, joint), file, where, image_tower)
    return Extractor(
        name=name,
        version="1",
        net=net.to(device),
        dim=joint,
        size=shape.side,
        resize="bicubic",
        mean=MEAN,
        std=STD,
        eight_bit=True,
        weights=digest,
        device=device,
        batch=16,
    )
