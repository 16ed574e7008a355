"""Neighbors of images up to small affine changes.

Where the cluster of an image should survive rotation, scale, shear and shift, two images are as
near as some such change can bring them. To first order the changes of an image span a plane, and
the distance to that plane is the tangent distance of Simard, LeCun & Denker (NIPS 1992).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from sklearn.utils import gen_batches
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

from .._rows import Rows
from .neighbors import NEIGHBOR_SEARCH, Neighbors, NeighborSearch

__all__ = [
    "TANGENT_DISTANCE", "TangentDistance", "nearest_up_to_affine", "tangent_distances", "tangents",
]


class TangentDistance(NamedTuple):
    """How the distance to a tangent plane is regularized and computed.

    Attributes
    ----------
    ridge : float
        Share of the mean square of the tangents that is added to all of them: a change that an
        image hardly shows, or not at all if it is constant, must not be a large one. A tenth and
        ten times as much changed the accuracy of the initial labels of USPS by at most .001.
    max_values : int
        Values of the images that are compared at a time, so that memory does not grow with their
        number. Not tuned.
    """

    ridge: float = 0.01
    max_values: int = 2**22


TANGENT_DISTANCE = TangentDistance()


def nearest_up_to_affine(
    rows: Rows,
    candidates: Neighbors,
    *,
    search: NeighborSearch = NEIGHBOR_SEARCH,
    policy: TangentDistance = TANGENT_DISTANCE,
) -> Neighbors:
    """Return of the `candidates` of each image the nearest up to small affine changes.

    Parameters
    ----------
    rows : Rows
        Images.
    candidates : Neighbors
        Found with ``find_neighbors(..., up_to_affine=True)``.
    search : NeighborSearch, default=NEIGHBOR_SEARCH
    policy : TangentDistance, default=TANGENT_DISTANCE

    Returns
    -------
    Neighbors
        `search.n_neighbors` of each at the most, nearest first.
    """
    row_of = torch.from_numpy(candidates.first).to(rows.home)
    nearest = torch.from_numpy(candidates.nearest)
    if nearest.shape[1] == 0:  # all images are alike
        return candidates
    # not converted again each time that they are a candidate
    references = rows.take(row_of[torch.from_numpy(candidates.references)])
    n_values = nearest.shape[1] * math.prod(rows.data_shape)
    # filled in: small results between large intermediate ones would keep these in pieces
    shape = len(nearest), min(search.n_neighbors, nearest.shape[1])
    found, lengths = np.empty(shape, np.int32), np.empty(shape, np.float32)
    for block in gen_batches(len(nearest), max(1, policy.max_values // n_values)):
        images = rows.take(row_of[block])
        others = references.index_select(0, nearest[block].flatten().to(rows.device))
        others = others.unflatten(0, (len(images), -1))  # (B, n_candidates, *data_shape)
        distances = tangent_distances(images, others, policy=policy)
        distances, order = distances.sort(dim=1, stable=True)
        found[block] = nearest[block].gather(1, order[:, : shape[1]].cpu()).numpy()
        lengths[block] = distances[:, : shape[1]].clamp(min=0).sqrt().cpu().numpy()
    return candidates._replace(nearest=found, distances=lengths[candidates.references])


def tangent_distances(
    images: Tensor, others: Tensor, *, policy: TangentDistance = TANGENT_DISTANCE
) -> Tensor:
    """Return the squared distance of others (B, n, C, H, W) to the tangent planes, (B, n).

    It includes the penalty of a large change, see `TangentDistance`.
    """
    plane = tangents(images)  # (B, 6, F)
    difference = others.flatten(2) - images.flatten(1)[:, None]  # (B, n, F)
    gram = plane @ plane.mT
    mean_square = gram.diagonal(dim1=1, dim2=2).mean(1)
    ridge = policy.ridge * mean_square.clamp(min=torch.finfo(gram.dtype).eps)
    gram = gram + torch.diag_embed(ridge[:, None].expand(-1, 6))
    along = difference @ plane.mT  # (B, n, 6)
    explained = (along * torch.linalg.solve(gram, along.mT).mT).sum(-1)
    return difference.square().sum(-1) - explained


def tangents(images: Tensor) -> Tensor:
    """Return how each image (B, C, H, W) changes with an affine map of its plane, (B, 6, F).

    The six are its slope across and down, each by itself and times either coordinate. Slopes are
    those of the image smoothed by a pixel.
    """
    smooth = avg_pool2d(pad(images, (2, 2, 2, 2), mode="replicate"), 3, 1)  # (B, C, H + 2, W + 2)
    across = (smooth[..., 1:-1, 2:] - smooth[..., 1:-1, :-2]) / 2
    down = (smooth[..., 2:, 1:-1] - smooth[..., :-2, 1:-1]) / 2
    height, width = images.shape[2:]
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype),
        torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype),
        indexing="ij",
    )
    changes = [slope * factor for slope in (across, down) for factor in (torch.ones_like(x), x, y)]
    return torch.stack(changes, 1).flatten(2)
