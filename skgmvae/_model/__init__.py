"""The torch model: the distributions of the paper, each a method, and what fixes its shape."""

from .architecture import NETWORKS, Architecture, Family
from .distributions import (
    DiagonalNormal,
    categorical,
    kl_categorical,
    kl_from_standard_normal,
    kl_to_components,
    log_prob_points,
    log_prob_rows,
)
from .gmvae import GMVAE, Posterior
from .heads import parameter_head
from .latent_mixture import AGGREGATION, AggregationRule, LatentMixture, memberships

__all__ = [
    "AGGREGATION", "GMVAE", "NETWORKS", "AggregationRule", "Architecture", "DiagonalNormal",
    "Family", "LatentMixture", "Posterior", "categorical", "kl_categorical",
    "kl_from_standard_normal", "kl_to_components", "log_prob_points", "log_prob_rows",
    "memberships", "parameter_head",
]
