"""The optional regulariser of the cluster posterior at the means, p(z|y) := p(z | E x, E w).

Regularised information maximisation (Krause, Perona & Gomes 2010) with self-augmented
training (Hu et al., ICML 2017) and the virtual adversarial perturbation of Miyato et al.
(2018), put on the GMVAE's own posterior:

    E KL(p(z|y) || p(z|y~)) + ENTROPY_WEIGHT * (E H(z|y) + MARGINAL_FACTOR * KL(p(z) || sizes))

The sizes are those of the clusters that the fit starts from, which it is also held to (`Hold`);
without a start they are even, and the last term is log K - H(z).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import affine_grid, grid_sample, nll_loss

from .distributions import categorical

__all__ = [
    "NO_HOLD", "Hold", "Regulariser", "Start", "adversarial", "affine", "frozen_statistics",
    "kl_rows", "regulariser",
]

Perturbation = Callable[[Tensor, torch.Generator], Tensor]

ENTROPY_WEIGHT = 0.1
MARGINAL_FACTOR = 2.0

# Affine perturbation: the ranges, uniform, of one image's transformation.
MAX_ROTATION = math.radians(15.0)
MAX_SCALE = 0.15
MAX_SHEAR = 0.25
MAX_SHIFT = 0.07  # of the image's side


class Regulariser(NamedTuple):
    """Its parts for a minibatch, in nats.

    Tensors while training; arrays by epoch in a history.
    """

    disagreement: Any  # E KL(p(z|y) || p(z|y~))
    conditional_entropy: Any  # E H(z|y)
    marginal_entropy: Any  # H(z)
    imbalance: Any  # KL(p(z) || expected sizes)
    departure: Any  # from the clusters of the start, weighted

    @property
    def total(self) -> Any:
        """The weighted sum that is minimised."""
        entropies = self.conditional_entropy + MARGINAL_FACTOR * self.imbalance
        return self.disagreement + self.departure + ENTROPY_WEIGHT * entropies


class Hold(NamedTuple):
    """Weights of what holds a fit to its start.

    The cross-entropy repeats the start whole, its errors too. The probability of having left it is
    bounded (Ghosh, Kumar & Sastry, AAAI 2017): it draws rows that the model is not sure of, and
    lets go of those that it is sure of.
    """

    cross_entropy: float  # E -log p(z = start|y)
    left: float  # E (1 - p(z = start|y))


NO_HOLD = Hold(0.0, 0.0)


class Start(NamedTuple):
    """Clusters to begin with, of each row (n_rows,), and the log of their expected sizes (K,).

    Of a minibatch while training.
    """

    labels: Any
    log_sizes: Any


def regulariser(
    logits: Tensor, perturbed_logits: Tensor, start: Start | None = None, hold: Hold = NO_HOLD
) -> Regulariser:
    """Compute the regulariser from normalised logits (B, K) at y and at a perturbed y.

    `hold` weighs the departure from the `start`; without one, even clusters are expected.
    """
    posterior, marginal = categorical(logits), categorical(torch.logsumexp(logits, 0))
    if start is None:
        departure, expected = logits.new_zeros(()), torch.zeros_like(logits[0])
    else:
        at_start = -nll_loss(logits, start.labels, reduction="none")
        departure = (hold.left * (1 - at_start.exp()) - hold.cross_entropy * at_start).mean()
        expected = start.log_sizes
    return Regulariser(
        kl_rows(logits.detach(), perturbed_logits).mean(),
        posterior.entropy().mean(),
        marginal.entropy(),
        kl_rows(marginal.logits, expected.log_softmax(-1)),
        departure,
    )


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
