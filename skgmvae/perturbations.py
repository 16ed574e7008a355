"""Perturbations: small changes of a row that its cluster should survive.

A perturbation of your own is any callable ``perturbation(y, generator)`` that gets rows
(B, n_features), or (B, channels, height, width), in the units of the model, and a
:class:`torch.Generator` on their device, and returns changed rows of the same shape and dtype.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

__all__ = ["AffineRanges", "Perturbation", "adversarial", "affine"]

#: A callable from rows and a generator to changed rows.
Perturbation = Callable[[Tensor, torch.Generator], Tensor]


def is_affine(perturbation: Any) -> bool:
    """Whether the clusters of images should survive affine changes, by the parameter of a fit."""
    return isinstance(perturbation, str) and perturbation in ("affine", "both")


def is_adversarial(perturbation: Any) -> bool:
    """Whether rows are moved to where the posterior changes most, by the parameter of a fit."""
    return isinstance(perturbation, str) and perturbation in ("adversarial", "both")


class AffineRanges(NamedTuple):
    """Limits of the random affine change of an image; each amount is uniform within plus or minus.

    They are the largest that leave handwritten digits what they are, by eye. All experiments on
    MNIST and USPS (:doc:`/results`) use them, and they were never varied.

    Attributes
    ----------
    rotation : float
        In radians, 15 degrees by default.
    scale : float
        Relative change of the height and of the width, drawn for each by itself.
    shear : float
        Tangent of the angle of the shear.
    shift : float
        As a share of the height and of the width.

    Examples
    --------
    >>> AffineRanges(rotation=0.0).shift
    0.07
    """

    rotation: float = math.radians(15.0)
    scale: float = 0.15
    shear: float = 0.25
    shift: float = 0.07


AFFINE_RANGES = AffineRanges()


def affine(y: Tensor, source: torch.Generator, ranges: AffineRanges = AFFINE_RANGES) -> Tensor:
    """Rotate, scale, shear and shift each image at random.

    Parameters
    ----------
    y : Tensor of shape (B, channels, height, width)
    source : torch.Generator
        On the device of y.
    ranges : AffineRanges, default=AffineRanges()

    Returns
    -------
    moved : Tensor of shape (B, channels, height, width)
        Pixels beyond the edge repeat those at the edge.

    Examples
    --------
    >>> import torch
    >>> images = torch.rand(3, 1, 8, 8)
    >>> affine(images, torch.Generator().manual_seed(0)).shape
    torch.Size([3, 1, 8, 8])
    """

    def uniform(limit: float) -> Tensor:
        draw = torch.rand(len(y), generator=source, device=y.device, dtype=torch.float32)
        return limit * (2 * draw - 1)

    angle, shear = uniform(ranges.rotation), uniform(ranges.shear)
    scale_x, scale_y = 1 + uniform(ranges.scale), 1 + uniform(ranges.scale)
    # the grid spans -1..1
    shift_x, shift_y = uniform(2 * ranges.shift), uniform(2 * ranges.shift)
    cosine, sine = angle.cos(), angle.sin()
    ratio = y.shape[-2] / y.shape[-1]  # both sides of the grid are 2 long, whatever the pixels
    theta = torch.stack([
        torch.stack([scale_x * cosine, ratio * scale_y * (shear * cosine - sine), shift_x], -1),
        torch.stack([scale_x * sine / ratio, scale_y * (shear * sine + cosine), shift_y], -1),
    ], -2)  # (B, 2, 3)
    grid = affine_grid(theta.to(y.dtype), list(y.shape), align_corners=False)
    return grid_sample(y, grid, padding_mode="border", align_corners=False)


def adversarial(
    cluster_logits: Callable[[Tensor], Tensor],
    y: Tensor,
    logits: Tensor,
    radius: Tensor,
    direction: Tensor,
    probe: float,
) -> Tensor:
    """Move each row by its `radius` in the direction that changes p(z|y) most.

    The direction is that of virtual adversarial training, by one step of power iteration.

    Parameters
    ----------
    cluster_logits : callable
        (B, *data_shape) -> normalized logits (B, K).
    y : Tensor of shape (B, *data_shape)
    logits : Tensor of shape (B, K)
        At y, without gradient.
    radius : Tensor of shape (B,)
        Length of each row's step.
    direction : Tensor of shape (B, *data_shape)
        Random, of any length: where the step that finds the direction goes.
    probe : float
        Length of that step; it should be large, of the order of the norm of a row: near y the
        posterior is flat.

    Returns
    -------
    moved : Tensor of shape (B, *data_shape)

    References
    ----------
    Miyato et al., Virtual Adversarial Training, arXiv:1704.03976.

    Examples
    --------
    >>> import torch
    >>> y, radius = torch.randn(5, 2), torch.full((5,), 0.1)
    >>> def logits_of(y):
    ...     return y.log_softmax(1)
    >>> moved = adversarial(logits_of, y, logits_of(y), radius, torch.randn(5, 2), 1.0)
    >>> torch.allclose((moved - y).norm(dim=1), radius)
    True
    """
    probed = (probe * _unit_rows(direction)).requires_grad_()
    # what KL(p || q) changes by with the logits of q: -p
    (gradient,) = torch.autograd.grad(cluster_logits(y + probed), probed, -logits.exp())
    return y + radius.view(-1, *[1] * (y.dim() - 1)) * _unit_rows(gradient)


def _unit_rows(rows: Tensor) -> Tensor:
    # divided by the maximum first: saturated posteriors give gradients whose squares underflow
    flat = rows.flatten(1)
    tiny = torch.finfo(flat.dtype).tiny
    flat = flat / flat.abs().amax(1, keepdim=True).clamp(min=tiny)
    return (flat / flat.norm(dim=1, keepdim=True).clamp(min=tiny)).view_as(rows)
