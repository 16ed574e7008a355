"""A mixture of Gaussians in the latent space, which stands for p(x) in a fitted model."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["AGGREGATION", "AggregationRule", "LatentMixture", "memberships"]


class AggregationRule(NamedTuple):
    """How rows enter the latent distribution of a component.

    Attributes
    ----------
    power : float
        Of p(z|y), by which rows are weighed. With 1, a cluster of 50 rows is drawn a sixth of the
        way to one of 950 rows if each of these gives it a percent. With 2 that is next to nothing,
        and two Gaussians two standard deviations apart, whose posteriors are exact, lose .009 nats
        of their density; by labels they lose .024.
    n_prior_rows : float
        Rows for which p(x|z, w) at w = 0 counts: it is all that there is of components without
        rows, and nothing beside one row.
    """

    power: float = 2.0
    n_prior_rows: float = 1e-6


AGGREGATION = AggregationRule()


def memberships(logits: Tensor, rule: AggregationRule = AGGREGATION) -> Tensor:
    """Return p(z|y) to a power, normalized over z, (B, K): how much of a row is in a component."""
    return (rule.power * logits).softmax(-1)


class LatentMixture(NamedTuple):
    """A Gaussian with a full covariance for each component z, without the weights p(z).

    Attributes
    ----------
    means : Tensor of shape (K, N_x)
    factors : Tensor of shape (K, N_x, N_x)
        Lower triangular Cholesky factors of the covariances.
    mean_rows : Tensor of shape (K, *data_shape)
        The mean of the rows y that the Gaussians were fitted to.
    """

    means: Tensor
    factors: Tensor
    mean_rows: Tensor

    @classmethod
    def of_covariances(
        cls, means: Tensor, covariances: Tensor, mean_rows: Tensor
    ) -> LatentMixture:
        """Return the mixture of such means (K, N_x) and covariances (K, N_x, N_x).

        Covariances are differences of moments: where means are so large that rounding makes some
        that are not positive definite, as much is added to their diagonal.
        """
        factors, failed = torch.linalg.cholesky_ex(covariances)
        if failed.any():
            rounding = 16 * torch.finfo(means.dtype).eps * means.shape[1]
            moments = covariances.diagonal(dim1=-2, dim2=-1).abs() + means.square()  # (K, N_x)
            added = rounding * moments.amax(-1, keepdim=True).expand_as(moments)
            factors = torch.linalg.cholesky(covariances + torch.diag_embed(added))
        # contiguous, as a pickle gives it back: products are then the same to the last bit
        return cls(means, factors.contiguous(), mean_rows)

    @property
    def covariances(self) -> Tensor:
        """The covariances, (K, N_x, N_x)."""
        return self.factors @ self.factors.mT

    def to(self, device: torch.device, dtype: torch.dtype) -> LatentMixture:
        """Return the mixture on another device and in another precision."""
        return LatentMixture(*(part.to(device, dtype) for part in self))

    def reordered(self, order: Tensor) -> LatentMixture:
        """Return the mixture with its components permuted."""
        return LatentMixture(*(part[order] for part in self))

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density of x (..., N_x) under each component, (..., K)."""
        n_components, latent_dim = self.means.shape
        identity = torch.eye(latent_dim, dtype=x.dtype, device=x.device)
        whitening = torch.linalg.solve_triangular(
            self.factors, identity.expand(n_components, -1, -1), upper=False
        )  # (K, N_x, N_x)
        # one component at a time, since (..., K, N_x) would be large
        squares = [
            ((x - mean) @ matrix.mT).square().sum(-1)
            for mean, matrix in zip(self.means, whitening, strict=True)
        ]
        log_volumes = self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (K,)
        return -0.5 * (
            torch.stack(squares, -1) + latent_dim * math.log(2 * math.pi)
        ) - log_volumes

    def points(self, z: Tensor, noise: Tensor) -> Tensor:
        """Return the point (B, N_x) that standard normal noise (B, N_x) is in component z (B,)."""
        x = torch.empty_like(noise)
        for k in z.unique().tolist():
            x[z == k] = self.means[k] + noise[z == k] @ self.factors[k].mT
        return x
