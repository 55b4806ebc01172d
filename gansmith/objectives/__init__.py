"""What the players minimise: functions of logits to a scalar, in `_d` / `_g` pairs, the f-divergences, feature
matching, and losses over the outputs of a frozen network."""

from gansmith.objectives.adversarial import (
    LEAST_SQUARES_CODINGS,
    hinge_d,
    hinge_g,
    least_squares_d,
    least_squares_g,
    maximum_likelihood_g,
    minimax_d,
    minimax_g,
    nonsaturating_d,
    nonsaturating_g,
    wasserstein_d,
    wasserstein_g,
)
from gansmith.objectives.fdivergence import DIVERGENCES, FDivergence, divergence, f_divergence_d, f_divergence_g
from gansmith.objectives.matching import feature_matching, mean_feature_matching
from gansmith.objectives.perceptual import content_l1, content_mse, lpips_form, pyramid_l1
from gansmith.objectives.relativistic import (
    relativistic_average_d,
    relativistic_average_g,
    relativistic_d,
    relativistic_g,
)

__all__ = [
    "DIVERGENCES",
    "LEAST_SQUARES_CODINGS",
    "FDivergence",
    "content_l1",
    "content_mse",
    "divergence",
    "f_divergence_d",
    "f_divergence_g",
    "feature_matching",
    "hinge_d",
    "hinge_g",
    "least_squares_d",
    "least_squares_g",
    "lpips_form",
    "maximum_likelihood_g",
    "mean_feature_matching",
    "minimax_d",
    "minimax_g",
    "nonsaturating_d",
    "nonsaturating_g",
    "pyramid_l1",
    "relativistic_average_d",
    "relativistic_average_g",
    "relativistic_d",
    "relativistic_g",
    "wasserstein_d",
    "wasserstein_g",
]
