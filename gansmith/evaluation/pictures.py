"""What a report shows: samples, neighbours, closest pairs and a projection, as arrays."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gansmith.evaluation.measures import Part
from gansmith.evaluation.neighbours import nearest
from gansmith.evaluation.novelty import Novelty, listed
from gansmith.evaluation.samples import Samples

SHOWN = 64
SHOWN_POINTS = 1000  # in the plane


def gallery(fake: Samples, train: Samples, found: Novelty, fake_part: Part, real_part: Part) -> dict[str, np.ndarray]:
    """Arrays of evaluation.npz: images as uint8 (..., H, W, C), points and projections as float32.

    Args:
        fake, train: generated samples, and the training samples among which `found` sought copies.
        found: indices of what is to be shown; its facts gain the neighbours in pixels.
        fake_part, real_part: what was compared.
    """
    near, far = project(fake_part.features, real_part.features)
    arrays = {"projection_fake": near, "projection_real": far}
    if fake_part.images is None or real_part.images is None:
        points = {"samples": fake_part.points, "real": real_part.points}
        return arrays | {k: v[:SHOWN_POINTS].numpy() for k, v in points.items() if v is not None}
    shown, by_features = found.nearest
    queries = fake.fetch(shown.numpy())
    distances, by_pixels = nearest_images(queries, train, by_features.shape[1])
    found.facts["nearest_pixels"] = listed(shown, by_pixels, distances)
    real = real_part.images[spread(len(real_part.images), SHOWN)]
    arrays |= {"samples": pixels(fake_part.images[:SHOWN]), "real": pixels(real)}
    for name, index in (("neighbours", by_pixels), ("neighbours_features", by_features)):
        arrays[name] = np.stack(
            [pixels(torch.cat([q[None], train.fetch(i.numpy())])) for q, i in zip(queries, index, strict=True)]
        )
    arrays["pairs"] = np.stack([pixels(fake.fetch(pair.numpy())) for pair in found.pairs])
    return arrays


def pixels(images: Tensor) -> np.ndarray:
    """Images (N, C, H, W) in [-1, 1] as uint8 (N, H, W, C).

    >>> pixels(torch.tensor([-1.0, 0.0, 1.0]).view(3, 1, 1, 1)).ravel()
    array([  0, 128, 255], dtype=uint8)
    """
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def nearest_images(queries: Tensor, train: Samples, k: int) -> tuple[Tensor, Tensor]:
    """Distances and indices (Q, k) of the training images nearest to each query (Q, C, H, W) in pixels, in blocks."""
    best, where = torch.full((len(queries), 0), 0.0), torch.full((len(queries), 0), 0)
    start = 0
    for block in train.blocks():
        distances, index = nearest(queries.flatten(1), block.flatten(1), min(k, len(block)))
        best, where = torch.cat([best, distances], 1), torch.cat([where, index + start], 1)
        best, kept = best.topk(min(k, best.shape[1]), largest=False)
        where = where.gather(1, kept)
        start += len(block)
    return best, where


def project(fake: Tensor, real: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Both sets of features in the real ones' two main directions: (n, 2) float32 each, n at most 1,000."""
    shown = real[spread(len(real), SHOWN_POINTS)]
    mean = shown.mean(0)
    _, _, directions = torch.linalg.svd((shown - mean).double(), full_matrices=False)
    plane = F.pad(directions[:2], (0, 0, 0, 2 - len(directions[:2]))).T
    near, far = (((t - mean).double() @ plane).float().numpy() for t in (fake[:SHOWN_POINTS], shown))
    return near, far


def spread(n: int, most: int) -> Tensor:
    """Indices of at most so many of n rows, evenly: data often lie sorted by class.

    >>> spread(9, 3).tolist(), spread(2, 3).tolist()
    ([0, 4, 8], [0, 1])
    """
    return torch.linspace(0, n - 1, min(n, most)).round().long()
