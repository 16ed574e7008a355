"""The optional regulariser of the cluster posterior at the means, p(z|y) := p(z | E x, E w).

Regularised information maximisation (Krause, Perona & Gomes 2010) with self-augmented
training (Hu et al., ICML 2017) and the virtual adversarial perturbation of Miyato et al.
(2018), put on the GMVAE's own posterior:

    E KL(p(z|y) || p(z|y~)) + ENTROPY_WEIGHT * (E H(z|y) - marginal_factor(K) * H(z))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample

from .distributions import categorical

__all__ = [
    "Regulariser", "adversarial", "affine", "frozen_statistics", "kl_rows", "marginal_factor",
    "radius_factor", "regulariser",
]

Perturbation = Callable[[Tensor, torch.Generator], Tensor]

ENTROPY_WEIGHT = 0.1
MIN_MARGINAL_FACTOR = 4.0

# With few rows the adversarial radius starts at a multiple of its final value: the coarsest
# division of the data is found first, the finer ones as the radius falls. With many rows it need
# not, and the epochs are few.
MAX_INITIAL_FACTOR = 4.0
MANY_ROWS = 60_000

# Affine perturbation: the ranges, uniform, of one image's transformation.
MAX_ROTATION = math.radians(15.0)
MAX_SCALE = 0.15
MAX_SHEAR = 0.25
MAX_SHIFT = 0.07  # of the image's side


class Regulariser(NamedTuple):
    """Its parts for a minibatch, in nats: disagreement, E H(z|y) and H(z).

    Tensors while training; arrays by epoch in a history.
    """

    disagreement: Any
    conditional_entropy: Any
    marginal_entropy: Any

    def total(self, n_clusters: int) -> Any:
        """Return the weighted sum that is minimised."""
        factor = marginal_factor(n_clusters)
        entropies = self.conditional_entropy - factor * self.marginal_entropy
        return self.disagreement + ENTROPY_WEIGHT * entropies


def regulariser(logits: Tensor, perturbed_logits: Tensor) -> Regulariser:
    """Compute the regulariser from normalised logits (B, K) at y and at a perturbed y."""
    posterior = categorical(logits)
    return Regulariser(
        kl_rows(logits.detach(), perturbed_logits).mean(),
        posterior.entropy().mean(),
        categorical(torch.logsumexp(logits, 0)).entropy(),
    )


def marginal_factor(n_clusters: int) -> float:
    """Return the weight of H(z) beside E H(z|y).

    Merging two of K even clusters lowers H(z) by 2 log(2) / K: a weight of K makes that cost
    the same for any K.
    """
    return max(MIN_MARGINAL_FACTOR, float(n_clusters))


def kl_rows(logits_p: Tensor, logits_q: Tensor) -> Tensor:
    """KL(p || q) of each row (B,), from normalised logits (B, K)."""
    return (logits_p.exp() * (logits_p - logits_q)).sum(-1)


@contextmanager
def frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Within this context batch norm uses the batch but leaves its running statistics alone."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    tracked = [norm for norm in norms if norm.track_running_stats]
    for norm in tracked:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in tracked:
            norm.track_running_stats = True


def adversarial(
    cluster_logits: Callable[[Tensor], Tensor],
    y: Tensor,
    logits: Tensor,
    radius: Tensor,
    probe: float,
    source: torch.Generator,
) -> Tensor:
    """Move each row by its `radius` in the direction that changes p(z|y) most.

    Parameters
    ----------
    cluster_logits : callable
        (B, *data_shape) -> normalised logits (B, K).
    y : Tensor of shape (B, *data_shape)
    logits : Tensor of shape (B, K)
        At y, without gradient.
    radius : Tensor of shape (B,)
        Length of each row's step.
    probe : float
        Length of the random step at which the direction is found; it should be large, of the
        order of the norm of a row: near y the posterior is flat.
    source : torch.Generator
    """
    direction = torch.randn(y.shape, generator=source, device=y.device)
    direction = (probe * _unit_rows(direction)).requires_grad_()
    change = kl_rows(logits, cluster_logits(y + direction)).sum()
    (gradient,) = torch.autograd.grad(change, direction)
    return y + radius.view(-1, *[1] * (y.dim() - 1)) * _unit_rows(gradient)


def initial_radius_factor(n_rows: int) -> float:
    """Return the multiple of the radius to start from: 4 below 3,750 rows, 1 from 60,000 on."""
    return min(MAX_INITIAL_FACTOR, max(1.0, math.sqrt(MANY_ROWS / n_rows)))


def radius_factor(epoch: float, annealed_epochs: float, n_rows: int) -> float:
    """Return the multiple of the radius that is used at an epoch; 1 after `annealed_epochs`."""
    remaining = max(0.0, 1 - epoch / annealed_epochs) if annealed_epochs else 0.0
    return 1 + (initial_radius_factor(n_rows) - 1) * remaining


def _unit_rows(rows: Tensor) -> Tensor:
    # divided by the maximum first: saturated posteriors give gradients whose squares underflow
    flat = rows.flatten(1)
    tiny = torch.finfo(flat.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=tiny)
    return (flat / flat.norm(dim=1, keepdim=True).clamp(min=tiny)).view_as(rows)


def affine(y: Tensor, source: torch.Generator) -> Tensor:
    """Rotate, scale, shear and shift each image (B, channels, height, width) at random."""

    def uniform(limit: float) -> Tensor:
        return limit * (2 * torch.rand(len(y), generator=source, device=y.device) - 1)

    angle, shear = uniform(MAX_ROTATION), uniform(MAX_SHEAR)
    scale_x, scale_y = 1 + uniform(MAX_SCALE), 1 + uniform(MAX_SCALE)
    shift_x, shift_y = uniform(2 * MAX_SHIFT), uniform(2 * MAX_SHIFT)  # the grid spans -1..1
    cosine, sine = angle.cos(), angle.sin()
    ratio = y.shape[-2] / y.shape[-1]  # both sides of the grid are 2 long, whatever the pixels
    theta = torch.stack([
        torch.stack([scale_x * cosine, ratio * scale_y * (shear * cosine - sine), shift_x], -1),
        torch.stack([scale_x * sine / ratio, scale_y * (shear * sine + cosine), shift_y], -1),
    ], -2)  # (B, 2, 3)
    grid = affine_grid(theta.to(y.dtype), list(y.shape), align_corners=False)
    return grid_sample(y, grid, padding_mode="border", align_corners=False)
