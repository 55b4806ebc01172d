"""Measures of generated samples: pure functions of arrays, each with its source.

>>> import torch
>>> from gansmith import evaluation
>>> evaluation.frechet_distance(torch.tensor([[-1.0], [1.0]]), torch.tensor([[2.0], [4.0]]))      # two means, 3 apart
9.0
"""

from gansmith.evaluation.birthday import birthday_support, closest_pairs, duplicate_threshold
from gansmith.evaluation.classes import class_balance, class_histogram, inception_score, stacked_modes
from gansmith.evaluation.copying import authenticity, copied, data_copying
from gansmith.evaluation.fidelity import absolute_error, pixel_accuracy, psnr
from gansmith.evaluation.frechet import frechet_distance, frechet_estimate, frechet_infinity
from gansmith.evaluation.kernel import gaussian_mmd, kernel_distance, kernel_distance_subsets, kernel_estimate
from gansmith.evaluation.manifold import density_coverage, precision_recall, realism, two_sample_accuracy
from gansmith.evaluation.neighbours import nearest
from gansmith.evaluation.sliced import sliced_wasserstein, sliced_wasserstein_images
from gansmith.evaluation.ssim import ms_ssim, ms_ssim_diversity

__all__ = [
    "absolute_error",
    "authenticity",
    "birthday_support",
    "class_balance",
    "class_histogram",
    "closest_pairs",
    "copied",
    "data_copying",
    "density_coverage",
    "duplicate_threshold",
    "frechet_distance",
    "frechet_estimate",
    "frechet_infinity",
    "gaussian_mmd",
    "inception_score",
    "kernel_distance",
    "kernel_distance_subsets",
    "kernel_estimate",
    "ms_ssim",
    "ms_ssim_diversity",
    "nearest",
    "pixel_accuracy",
    "precision_recall",
    "psnr",
    "realism",
    "sliced_wasserstein",
    "sliced_wasserstein_images",
    "stacked_modes",
    "two_sample_accuracy",
]
