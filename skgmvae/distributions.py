"""Gaussian heads and likelihoods: features in, ``torch.distributions`` out."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Categorical, Distribution, Independent, Normal

__all__ = ["LIKELIHOODS", "GaussianHead", "Likelihood", "categorical", "log_prob_rows"]

# The standard deviation stays within e^-4 .. e^4 of the unit of the standardised data: wide
# enough for anything that can be learnt, narrow enough that a constant column has a density.
LOG_VARIANCE_LIMIT = 8.0


def normal(mean: Tensor, log_variance: Tensor) -> Normal:
    """Return a diagonal normal distribution whose log-variance is clamped softly."""
    bounded = LOG_VARIANCE_LIMIT * torch.tanh(log_variance / LOG_VARIANCE_LIMIT)
    return Normal(mean, torch.exp(0.5 * bounded), validate_args=False)


def categorical(logits: Tensor) -> Categorical:
    """Return a categorical distribution over the last axis, normalised in log space."""
    return Categorical(logits=logits, validate_args=False)


class GaussianHead(nn.Module):
    """A linear map from features (..., F) to a diagonal normal over ``shape``.

    Parameters
    ----------
    in_features : int
        Width F of the features.
    *shape : int
        Event shape: ``(N,)`` for q(x|y) and q(w|y), ``(K, N_x)`` for p(x|w, z).
    """

    def __init__(self, in_features: int, *shape: int) -> None:
        super().__init__()
        self.shape = shape
        self.linear = nn.Linear(in_features, 2 * math.prod(shape))

    def forward(self, features: Tensor) -> Normal:
        """Features (..., F) -> a normal of batch shape (..., *shape)."""
        mean, log_variance = self.linear(features).unflatten(-1, (2, *self.shape)).unbind(
            -1 - len(self.shape)
        )
        return normal(mean, log_variance)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Permute the first event axis (the mixture components), in the weights themselves."""
        for parameter in self.linear.parameters():
            rows = parameter.unflatten(0, (2, self.shape[0], -1))
            parameter.copy_(rows[:, order].reshape(parameter.shape))


class Likelihood(NamedTuple):
    """How the decoder's output becomes p(y|x): the number of parameters a value has."""

    name: str
    n_parameters: int

    def __call__(self, parameters: Tensor) -> Distribution:
        """Turn parameters (B, n_parameters, *data_shape) into p(y|x) over (B, *data_shape)."""
        if self.name == "bernoulli":
            distribution: Distribution = Bernoulli(
                logits=parameters.squeeze(1), validate_args=False
            )
        else:
            distribution = normal(*parameters.unbind(1))
        return Independent(distribution, parameters.dim() - 2, validate_args=False)


LIKELIHOODS = {
    "gaussian": Likelihood("gaussian", 2),
    "bernoulli": Likelihood("bernoulli", 1),
}


def log_prob_rows(distribution: Distribution, value: Tensor, n_samples: int) -> Tensor:
    """Log-density (n_samples, B) of rows (B, ...) under (n_samples * B) distributions."""
    repeated = value.expand(n_samples, *value.shape).flatten(0, 1)
    return distribution.log_prob(repeated).unflatten(0, (n_samples, -1))
