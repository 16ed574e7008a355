"""The distributions that networks put out: torch's, in the fewest operations.

A training step makes a dozen of them, mostly small, so that much of its time would go into what
their constructors check and into values that nobody reads. The densities of ``torch.distributions``
are the oracle of the tests.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, Normal
from torch.nn.functional import hardshrink

from ..runtime import cached_property

__all__ = [
    "DiagonalNormal", "categorical", "kl_categorical", "kl_from_standard_normal",
    "kl_to_components", "log_prob_points", "log_prob_rows", "without_tiny_gradient",
]

# The standard deviation stays within e^-4 .. e^4 of the unit of the standardized data: wide
# enough for anything that can be learned, narrow enough that a constant column has a density.
LOG_VARIANCE_LIMIT = 8.0

#: Smaller gradients are 0, see `without_tiny_gradient`. It is far below what rounding leaves of a
#: sum over rows, and far above the least normal number, 1e-38.
LEAST_GRADIENT = 1e-25


class DiagonalNormal(Normal):
    """A normal distribution whose log-variance is clamped softly.

    What follows from the log-variance is computed where it is asked for.

    Parameters
    ----------
    mean, log_variance : Tensor of one shape
    """

    def __init__(self, mean: Tensor, log_variance: Tensor) -> None:
        self.loc, self._log_variance = mean, log_variance
        Distribution.__init__(self, mean.shape, validate_args=False)

    @cached_property
    def log_scale(self) -> Tensor:
        """Logarithm of the standard deviation."""
        limit = LOG_VARIANCE_LIMIT
        return 0.5 * limit * torch.tanh(self._log_variance / limit)

    @cached_property
    def scale(self) -> Tensor:
        """Standard deviation."""
        return self.log_scale.exp()

    @cached_property
    def inverse_scale(self) -> Tensor:
        """What densities multiply by, which has a cheaper gradient than a division."""
        return (-self.log_scale).exp()

    @cached_property
    def log_volume(self) -> Tensor:
        """Sum of `log_scale` over the last axis."""
        return self.log_scale.sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-density of each value."""
        squares = ((value - self.loc) * self.inverse_scale).square()
        return -0.5 * (squares + math.log(2 * math.pi)) - self.log_scale

    def expand(self, batch_shape: Any, _instance: Any = None) -> Normal:
        """Return a plain normal distribution of a larger shape."""
        return Normal(self.loc, self.scale, validate_args=False).expand(batch_shape, _instance)


class _NormalizedCategorical(Categorical):
    """A categorical distribution over the last axis of logits (..., K)."""

    def __init__(self, logits: Tensor) -> None:
        self.logits = self._param = logits.log_softmax(-1)
        self._num_events = logits.shape[-1]
        Distribution.__init__(self, logits.shape[:-1], validate_args=False)

    @cached_property
    def probs(self) -> Tensor:
        return self.logits.exp()

    def expand(self, batch_shape: Any, _instance: Any = None) -> Categorical:
        return Categorical(logits=self.logits, validate_args=False).expand(batch_shape, _instance)


def categorical(logits: Tensor) -> Categorical:
    """Return a categorical distribution over the last axis, normalized in log space."""
    return _NormalizedCategorical(without_tiny_gradient(logits))


def without_tiny_gradient(values: Tensor) -> Tensor:
    """Return the same values, whose gradient is 0 where it is next to nothing.

    Of clusters that are far from a row it is as small as their probability. Products with it would
    be no normal numbers of single precision, with which a processor computes many times slower.
    """
    if values.requires_grad:
        values.register_hook(_without_tiny_numbers)
    return values


def _without_tiny_numbers(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else hardshrink(gradient, LEAST_GRADIENT)


def log_prob_points(p: DiagonalNormal, x: Tensor) -> Tensor:
    """Log-density (...) of points x (..., N), whose coordinates are independent under p."""
    squares = ((x - p.mean) * p.inverse_scale).square().sum(-1)
    return -0.5 * (squares + x.shape[-1] * math.log(2 * math.pi)) - p.log_volume


def kl_to_components(q: DiagonalNormal, p: DiagonalNormal) -> Tensor:
    """KL(q || p_k) for q over (..., N) and each component of p over (..., K, N)."""
    ratios = q.stddev.unsqueeze(-2) * p.inverse_scale
    distances = (q.mean.unsqueeze(-2) - p.mean) * p.inverse_scale
    squares = (ratios.square() + distances.square()).sum(-1)
    return without_tiny_gradient(
        0.5 * (squares - q.mean.shape[-1]) + p.log_volume - q.log_volume.unsqueeze(-1)
    )


def kl_categorical(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) of each row, (B,), by normalized logits (B, K)."""
    return (logits_p.exp() * (logits_p - logits_q)).sum(-1)


def kl_from_standard_normal(q: DiagonalNormal) -> Tensor:
    """KL(q || N(0, I)) for q over (..., N)."""
    squares = (q.stddev.square() + q.mean.square()).sum(-1)
    return 0.5 * (squares - q.mean.shape[-1]) - q.log_volume


def log_prob_rows(
    distribution: Independent[Any], value: Tensor, n_samples: int, *, complete: bool = True
) -> Tensor:
    """Log-density (n_samples, B) of rows (B, ...) under (n_samples * B) distributions.

    Of rows that are not `complete` it is the density of the values that are there: those that are
    missing, NaN, are integrated out, since values are independent under each distribution.
    """
    if not len(value):  # as a process of a group may have none; torch cannot sum up such densities
        return distribution.mean.flatten(1).sum(1).unflatten(0, (n_samples, 0))
    repeated = value.expand(n_samples, *value.shape).flatten(0, 1)
    if complete:
        return distribution.log_prob(repeated).unflatten(0, (n_samples, -1))
    is_missing = repeated.isnan()
    of_values = distribution.base_dist.log_prob(repeated.masked_fill(is_missing, 0.0))
    observed = of_values.masked_fill(is_missing, 0.0)
    return observed.flatten(1).sum(1).unflatten(0, (n_samples, -1))
