"""What holds the discriminator: penalties of (D, samples) or weights to a scalar without its weight, and clipping."""

from gansmith.penalties.gradients import dragan, gradient_square, r1, r2, wgan_gp
from gansmith.penalties.lazy import lazy, lazy_adam_rescale
from gansmith.penalties.path_length import path_length
from gansmith.penalties.weights import clip_weights_, drift, orthogonal

__all__ = [
    "clip_weights_",
    "dragan",
    "drift",
    "gradient_square",
    "lazy",
    "lazy_adam_rescale",
    "orthogonal",
    "path_length",
    "r1",
    "r2",
    "wgan_gp",
]
