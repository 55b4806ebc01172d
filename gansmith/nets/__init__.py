"""Whole networks that two recipes or more use: `Generator` and `Discriminator` in each file.

Generators map z (N, z_dim), or images, to images (N, C, H, W) or points (N, D); discriminators map samples to float32
logits, (N,) or one for each patch. All work in channels-last memory, measured faster on CPUs in float32 and bfloat16,
under autocast, and under double backward.
"""

from gansmith.nets import (
    dcgan,
    discogan,
    mlp,
    patch,
    pix2pixhd,
    r3gan,
    rrdb,
    sngan,
    srresnet,
    stylegan2,
    translator,
    unet,
)
from gansmith.nets.pair import pair

__all__ = [
    "dcgan",
    "discogan",
    "mlp",
    "pair",
    "patch",
    "pix2pixhd",
    "r3gan",
    "rrdb",
    "sngan",
    "srresnet",
    "stylegan2",
    "translator",
    "unet",
]
