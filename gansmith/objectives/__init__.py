"""What the players minimise: functions of logits to a scalar, in `_d` / `_g` pairs, and the f-divergences."""

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
    "divergence",
    "f_divergence_d",
    "f_divergence_g",
    "hinge_d",
    "hinge_g",
    "least_squares_d",
    "least_squares_g",
    "maximum_likelihood_g",
    "minimax_d",
    "minimax_g",
    "nonsaturating_d",
    "nonsaturating_g",
    "relativistic_average_d",
    "relativistic_average_g",
    "relativistic_d",
    "relativistic_g",
    "wasserstein_d",
    "wasserstein_g",
]
