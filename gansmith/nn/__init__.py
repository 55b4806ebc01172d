"""Blocks with one job each, of which the networks are made. Imports torch only."""

from gansmith.nn.attention import SelfAttention
from gansmith.nn.conv import PenalisedConv2d
from gansmith.nn.equalised import EqualisedConv2d, EqualisedLinear
from gansmith.nn.init import LEAKY_GAIN, fan_in_normal_, glorot_uniform_, normal_, orthogonal_
from gansmith.nn.jitter import jittered
from gansmith.nn.mapping import Mapping
from gansmith.nn.minibatch import minibatch_std
from gansmith.nn.modulated import ModulatedConv2d
from gansmith.nn.noise import noise_keys
from gansmith.nn.norm import InstanceNorm, map_norm, norm, pixel_norm
from gansmith.nn.pool import ImagePool
from gansmith.nn.precision import in_float32, wide
from gansmith.nn.rectified import PReLU
from gansmith.nn.resample import (
    BinomialDown,
    BinomialFilter,
    BinomialUp,
    binomial_blur,
    down_average,
    down_smooth,
    up_nearest,
)
from gansmith.nn.rescaled import convolved_down, up_convolved
from gansmith.nn.spectral import spectral_norm
from gansmith.nn.standing import standing_statistics_
from gansmith.nn.strided import Down4x4, Up4x4

__all__ = [
    "LEAKY_GAIN",
    "BinomialDown",
    "BinomialFilter",
    "BinomialUp",
    "Down4x4",
    "EqualisedConv2d",
    "EqualisedLinear",
    "ImagePool",
    "InstanceNorm",
    "Mapping",
    "ModulatedConv2d",
    "PReLU",
    "PenalisedConv2d",
    "SelfAttention",
    "Up4x4",
    "binomial_blur",
    "convolved_down",
    "down_average",
    "down_smooth",
    "fan_in_normal_",
    "glorot_uniform_",
    "in_float32",
    "jittered",
    "map_norm",
    "minibatch_std",
    "noise_keys",
    "norm",
    "normal_",
    "orthogonal_",
    "pixel_norm",
    "spectral_norm",
    "standing_statistics_",
    "up_convolved",
    "up_nearest",
    "wide",
]
