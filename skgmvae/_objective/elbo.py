"""The objective, to be read against Eqs. 3, 5, 6 and 7 of arXiv:1611.02648v2.

Shapes: y (B, *data_shape), x (M, B, N_x), w (M, B, N_w); K components.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, Normal

from .._model import (
    DiagonalNormal,
    kl_from_standard_normal,
    kl_to_components,
    log_prob_points,
    log_prob_rows,
)

__all__ = [
    "Mixture", "Noise", "Terms", "constrained_loss", "draw_noise", "drawn", "elbo_terms",
    "log_evidence",
]


class Mixture(Protocol):
    """What the objective asks of a model."""

    log_weights: Tensor  # log p(z), (K,)
    complete: bool  # whether rows have no missing values

    def q(self, y: Tensor) -> tuple[DiagonalNormal, DiagonalNormal]: ...
    def p_x(self, w: Tensor) -> DiagonalNormal: ...
    def p_z(self, x: Tensor, p_x: DiagonalNormal) -> Categorical: ...
    def p_y(self, x: Tensor) -> Independent[Any]: ...
    def cluster_logits(self, posterior: tuple[DiagonalNormal, DiagonalNormal]) -> Tensor: ...


class Noise(NamedTuple):
    """Standard normal draws for x (M, B or 1, N_x) and w (M, B or 1, N_w)."""

    x: Tensor
    w: Tensor


class Terms(NamedTuple):
    """The four terms of Eq. 3, each (B,), in nats; the last three are subtracted.

    Tensors while training; numpy arrays where the estimator hands them out.

    Attributes
    ----------
    reconstruction : array of shape (B,)
        E log p(y|x).
    conditional_prior : array of shape (B,)
        E KL(q(x|y) || p(x|w, z)), Eq. 5.
    w_prior : array of shape (B,)
        KL(q(w|y) || p(w)).
    z_prior : array of shape (B,)
        E KL(p(z|x, w) || p(z)), Eq. 6.

    Examples
    --------
    >>> Terms(reconstruction=5.0, conditional_prior=2.0, w_prior=1.0, z_prior=0.5).bound
    1.5
    """

    reconstruction: Any
    conditional_prior: Any
    w_prior: Any
    z_prior: Any

    @property
    def bound(self) -> Any:
        """The evidence lower bound of each row (Eq. 3)."""
        return self.reconstruction - self.conditional_prior - self.w_prior - self.z_prior


def draw_noise(
    n_samples: int, n_rows: int, latent_dim: int, style_dim: int, generator: torch.Generator
) -> Noise:
    """Draw the noise of `n_samples` Monte Carlo samples for each of `n_rows` rows."""
    noise = torch.randn(
        n_samples, n_rows, latent_dim + style_dim, generator=generator, device=generator.device,
        dtype=torch.float32,
    )
    return Noise(*noise.split((latent_dim, style_dim), dim=-1))


def drawn(q_x: Normal, q_w: Normal, noise: Noise) -> tuple[Tensor, Tensor]:
    """Return draws of x (M, B, N_x) and w (M, B, N_w) from q(x|y) and q(w|y), from noise."""
    return q_x.mean + q_x.stddev * noise.x, q_w.mean + q_w.stddev * noise.w


def elbo_terms(
    model: Mixture, y: Tensor, q_x: DiagonalNormal, q_w: DiagonalNormal, noise: Noise
) -> Terms:
    """Estimate the four terms of Eq. 3 for each row.

    Parameters
    ----------
    model : Mixture
    y : Tensor of shape (B, *data_shape)
    q_x, q_w : DiagonalNormal of batch shape (B, N_x) and (B, N_w)
        q(x|y) and q(w|y).
    noise : Noise
        M draws for each row, or shared by all rows.

    Returns
    -------
    Terms
    """
    n_samples = noise.x.shape[0]
    x, w = drawn(q_x, q_w, noise)
    p_x = model.p_x(w)  # (M, B, K, N_x)
    p_z = model.p_z(x, p_x)  # (M, B, K)

    # E_q(x|y) [log p(y|x)]
    log_p_y = log_prob_rows(model.p_y(x), y, n_samples, complete=model.complete)
    reconstruction = log_p_y.mean(0)
    # 1/M sum_j sum_k p(z_k = 1 | x_j, w_j) KL(q(x|y) || p(x | w_j, z_k = 1))          Eq. 5
    kl_x = kl_to_components(q_x, p_x)  # (M, B, K)
    conditional_prior = (p_z.probs * kl_x).sum(-1).mean(0)
    # KL(q(w|y) || p(w))
    w_prior = kl_from_standard_normal(q_w)
    # E_q(x|y)q(w|y) [KL(p(z|x, w) || p(z))]                                             Eq. 6
    z_prior = (p_z.probs * (p_z.logits - model.log_weights)).sum(-1).mean(0)
    return Terms(reconstruction, conditional_prior, w_prior, z_prior)


def log_evidence(
    model: Mixture, y: Tensor, q_x: Normal, q_w: Normal, noise: Noise
) -> Tensor:
    """Estimate log p(y) of each row (B,) by importance weighting over M draws.

    A lower bound in expectation, which rises to log p(y) with M (Burda et al.,
    arXiv:1509.00519, Eq. 8), where Eq. 3 stays below however large M is.
    """
    n_samples = noise.x.shape[0]
    x, w = drawn(q_x, q_w, noise)
    log_p_x_and_z = log_prob_points(model.p_x(w), x.unsqueeze(-2)) + model.log_weights
    p_w = Normal(torch.zeros_like(q_w.mean), torch.ones_like(q_w.stddev), validate_args=False)
    log_weights = (
        log_prob_rows(model.p_y(x), y, n_samples, complete=model.complete)
        + torch.logsumexp(log_p_x_and_z, -1) - q_x.log_prob(x).sum(-1)
        + p_w.log_prob(w).sum(-1) - q_w.log_prob(w).sum(-1)
    )  # (M, B)
    return torch.logsumexp(log_weights, 0) - math.log(n_samples)


def constrained_loss(terms: Terms, min_information: float) -> Tensor:
    """Return the negative bound of the minibatch, the z-prior clamped from below (Eq. 7)."""
    z_prior = terms.z_prior.mean().clamp(min=min_information)
    return z_prior - (terms.reconstruction - terms.conditional_prior - terms.w_prior).mean()
