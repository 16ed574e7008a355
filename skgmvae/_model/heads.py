"""Heads: linear maps from the features of a trunk to the parameters of a distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .distributions import DiagonalNormal

__all__ = ["GaussianHead", "parameter_head"]


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

    def forward(self, features: Tensor) -> DiagonalNormal:
        """Features (..., F) -> a normal of batch shape (..., *shape)."""
        mean, log_variance = self.linear(features).unflatten(-1, (2, *self.shape)).unbind(
            -1 - len(self.shape)
        )
        return DiagonalNormal(mean, log_variance)

    @torch.no_grad()
    def reorder(self, order: Tensor) -> None:
        """Permute the first event axis (the mixture components), in the weights themselves."""
        for parameter in self.linear.parameters():
            rows = parameter.unflatten(0, (2, self.shape[0], -1))
            parameter.copy_(rows[:, order].reshape(parameter.shape))


def parameter_head(n_features: int, *shape: int) -> nn.Module:
    """Return a linear map from features (B, n_features) to parameters (B, *shape)."""
    return nn.Sequential(nn.Linear(n_features, math.prod(shape)), nn.Unflatten(1, shape))
