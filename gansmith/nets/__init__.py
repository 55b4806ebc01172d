"""Whole networks that two recipes or more use: `Generator` and `Discriminator` in each file.

Generators map z (N, z_dim) to images (N, C, H, W) or points (N, D); discriminators map samples to float32 logits
(N,). All work in channels-last memory, measured faster on CPUs in float32 and bfloat16, under autocast, and under
double backward.
"""

from gansmith.nets import dcgan, mlp, r3gan, sngan, stylegan2
from gansmith.nets.pair import pair

__all__ = ["dcgan", "mlp", "pair", "r3gan", "sngan", "stylegan2"]
