"""The distributions that networks put out, as ``torch.distributions``."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Normal

__all__ = ["categorical", "log_prob_rows", "normal"]

# The standard deviation stays within e^-4 .. e^4 of the unit of the standardized data: wide
# enough for anything that can be learned, narrow enough that a constant column has a density.
LOG_VARIANCE_LIMIT = 8.0


def normal(mean: Tensor, log_variance: Tensor) -> Normal:
    """Return a diagonal normal distribution whose log-variance is clamped softly."""
    bounded = LOG_VARIANCE_LIMIT * torch.tanh(log_variance / LOG_VARIANCE_LIMIT)
    return Normal(mean, torch.exp(0.5 * bounded), validate_args=False)


def categorical(logits: Tensor) -> Categorical:
    """Return a categorical distribution over the last axis, normalized in log space."""
    return Categorical(logits=logits, validate_args=False)


def log_prob_rows(distribution: Distribution, value: Tensor, n_samples: int) -> Tensor:
    """Log-density (n_samples, B) of rows (B, ...) under (n_samples * B) distributions."""
    if not len(value):  # as a process of a group may have none; torch cannot sum up such densities
        return distribution.mean.flatten(1).sum(1).unflatten(0, (n_samples, 0))
    repeated = value.expand(n_samples, *value.shape).flatten(0, 1)
    return distribution.log_prob(repeated).unflatten(0, (n_samples, -1))
