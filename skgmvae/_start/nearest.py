"""The nearest points of each query, by brute force on the device of the points.

Of the squared distance only ``|p|^2 - 2 q.p`` depends on the point, which is one matrix product. Of
its values the least of each group of points is kept, and the least of each group of groups: the k
nearest points are in the k groups with the smallest least values. Only of these few candidates are
distances taken from differences, which are right for near duplicates too. What rounding of the
product may have hidden is sought again in double precision.

Where it is enough that nearly all are found, a query is compared on a CPU with a part of many
points alone: those of the cells that are nearest to its own.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import gen_batches
from torch import Tensor
from torch.nn.functional import pad

from ..runtime import CPU, has_float64
from .quiet import fit_quietly

__all__ = ["BRUTE_FORCE", "CELLS", "BruteForce", "Cells", "nearby_points", "nearest_points"]


class BruteForce(NamedTuple):
    """How nearest points are sought.

    Attributes
    ----------
    max_tree_features : int
        Features up to which a k-d tree is used, on a CPU. Among 60,000 normal points a query took
        it 4, 10, 25 and 158 microseconds with 2, 3, 5 and 8 features; brute force about 35.
    n_points : int
        Points that are compared at a time.
    n_queries, n_queries_on_gpu : int
        Queries that are compared at a time: on a CPU their products fit into its cache. With
        128-2,048 queries and 1,024-60,000 points a product took .8-1.6 ns a pair, with 50 features.
    n_differences : int
        Values that are subtracted at a time, for memory. Not tuned.
    group : int
        Points in a group, and groups in a group of these. Not tuned.
    n_spare : int
        Groups beyond the necessary ones, so that rounding seldom matters. Not tuned.
    """

    max_tree_features: int = 5
    n_points: int = 4096
    n_queries: int = 128
    n_queries_on_gpu: int = 8192
    n_differences: int = 2**22
    group: int = 8
    n_spare: int = 5


BRUTE_FORCE = BruteForce()


class Cells(NamedTuple):
    """How many points are divided, so that a query is compared with those around it.

    With these numbers .96-.99 of 11 neighbors are found among 60,000 points in a third of the time:
    of MNIST in 50 principal components, and of Gaussian clusters in 20 and 50 features.

    Attributes
    ----------
    n_cells : int
        Clusters of k-means. 64 and 256, with the same share, found .02 fewer and .02 more and were
        as fast. Fewer points than the square of it are all compared.
    share : float
        Of the points that are compared, at least. With a sixteenth .86-.95 were found.
    n_iter, n_fit_points : int
        Iterations of k-means, and points that it is fitted to, at most twice as many. Not tuned.
    """

    n_cells: int = 128
    share: float = 1 / 8
    n_iter: int = 5
    n_fit_points: int = 8192


CELLS = Cells()


class _Points(NamedTuple):
    """Points, prepared for the product."""

    values: Tensor  # (n_padded, n_features)
    center: Tensor  # (n_features,), from which the product is taken
    product: Tensor  # (n_blocks, n_features + 1, width): -2 p and |p|^2, infinite for padding
    is_padding: Tensor  # (n_padded,)
    largest: Tensor  # of the |p|^2


def nearest_points(
    queries: Tensor,
    points: Tensor,
    n_nearest: int,
    *,
    exact: bool = True,
    policy: BruteForce = BRUTE_FORCE,
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the indices of the nearest points of each query, nearest first, and how far they are.

    Parameters
    ----------
    queries : Tensor of shape (n_queries, n_features)
    points : Tensor of shape (n_points, n_features)
    n_nearest : int
        At most `n_points`.
    exact : bool, default=True
        Whether points are sought again that rounding may have hidden behind others as near.
    policy : BruteForce, default=BRUTE_FORCE

    Returns
    -------
    indices, distances : ndarray of shape (n_queries, n_nearest)
    """
    if _are_in_a_tree(points, policy):
        return _by_tree(queries, points, n_nearest)
    on_cpu, shape = points.device.type == "cpu", (len(queries), n_nearest)
    indices, distances = np.empty(shape, np.int32), np.empty(shape, np.float32)
    certain = np.ones(len(queries), bool)
    prepared = _prepared(points, policy)
    for block in gen_batches(len(queries), policy.n_queries if on_cpu else policy.n_queries_on_gpu):
        found, squared, are_certain = _nearest_of(queries[block], prepared, n_nearest, policy)
        indices[block], distances[block] = found.cpu().numpy(), squared.sqrt().cpu().numpy()
        certain[block] = are_certain.cpu().numpy()
    del prepared  # as much memory as the points take, and again
    doubtful = np.flatnonzero(~certain)
    if exact and len(doubtful) and points.dtype != torch.float64:
        device = points.device if has_float64(points.device) else CPU
        again = queries[torch.from_numpy(doubtful).to(queries.device)]
        indices[doubtful], distances[doubtful] = nearest_points(
            again.to(device).double(), points.to(device).double(), n_nearest, policy=policy
        )
    return indices, distances


def nearby_points(
    queries: Tensor,
    points: Tensor,
    n_nearest: int,
    *,
    policy: BruteForce = BRUTE_FORCE,
    cells: Cells = CELLS,
) -> NDArray[np.int32]:
    """Return the indices of nearly all of the nearest points of each query, (n_queries, n_nearest).

    Those that are found in place of others are hardly farther. Parameters are those of
    `nearest_points`, which this is on a GPU, and of few points or features.
    """
    all_at_once = points.device.type != "cpu" or len(points) < cells.n_cells**2
    if all_at_once or _are_in_a_tree(points, policy):
        return nearest_points(queries, points, n_nearest, exact=False, policy=policy)[0]
    kmeans = KMeans(
        cells.n_cells, init="random", n_init=1, max_iter=cells.n_iter, random_state=0
    )
    some = points[:: max(1, len(points) // cells.n_fit_points)]  # points may be sorted
    centers = fit_quietly(kmeans, some.numpy()).cluster_centers_
    cell_of_point, cell_of_query = (kmeans.predict(of.numpy()) for of in (points, queries))
    sizes = np.bincount(cell_of_point, minlength=cells.n_cells)
    n_compared = max(n_nearest, math.ceil(cells.share * len(points)))
    indices = np.empty((len(queries), n_nearest), np.int32)
    for cell, nearest_first in enumerate(cdist(centers, centers).argsort(1)):
        own = np.flatnonzero(cell_of_query == cell)
        if not len(own):
            continue
        last = np.searchsorted(sizes[nearest_first].cumsum(), n_compared)
        around = np.flatnonzero(np.isin(cell_of_point, nearest_first[: last + 1]))
        found, _ = nearest_points(
            queries[torch.from_numpy(own)], points[torch.from_numpy(around)], n_nearest,
            exact=False, policy=policy,
        )
        indices[own] = around[found]
    return indices


def _are_in_a_tree(points: Tensor, policy: BruteForce) -> bool:
    return points.device.type == "cpu" and points.shape[1] <= policy.max_tree_features


def _by_tree(
    queries: Tensor, points: Tensor, n_nearest: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    tree = NearestNeighbors(n_neighbors=n_nearest, algorithm="kd_tree").fit(points.numpy())
    distances, indices = tree.kneighbors(queries.numpy())
    return indices.astype(np.int32), distances.astype(np.float32)


def _prepared(points: Tensor, policy: BruteForce) -> _Points:
    n_points, n_in_groups = len(points), policy.group**2
    n_blocks = -(-n_points // policy.n_points)
    width = -(-n_points // (n_blocks * n_in_groups)) * n_in_groups
    values = pad(points, (0, 0, 0, n_blocks * width - n_points))
    center = points.mean(0)
    squares = (values - center).square().sum(1)
    largest = squares[:n_points].max()
    squares[n_points:] = torch.inf
    product = torch.cat([2 * (center - values), squares[:, None]], 1)
    product = product.unflatten(0, (n_blocks, width)).mT.contiguous()
    return _Points(values, center, product, squares.isinf(), largest)


def _nearest_of(
    queries: Tensor, points: _Points, n_nearest: int, policy: BruteForce
) -> tuple[Tensor, Tensor, Tensor]:
    """Return indices and squared distances (B, n_nearest), and which are certain (B,)."""
    group, n_groups = policy.group, len(points.values) // policy.group
    n_chosen = min(n_nearest + policy.n_spare, n_groups)
    width = points.product.shape[2] // group  # of a block, in groups
    centered = queries - points.center
    extended = torch.cat([centered, torch.ones_like(centered[:, :1])], 1)
    # written to the same memory again and again, which stays in the cache
    product = queries.new_empty(len(queries), group, width)
    least = queries.new_empty(len(queries), n_groups)
    for block, of_block in zip(points.product, least.split(width, 1), strict=True):
        torch.mm(extended, block, out=product.flatten(1))
        torch.amin(product, 1, out=of_block)
    of_groups = least.unflatten(1, (-1, group, width // group)).amin(2).flatten(1)
    n_outer = min(n_chosen, n_groups // group)
    outer = of_groups.topk(n_outer, largest=False, sorted=False).indices
    inner = _members(outer, group, width // group)
    bound, order = least.gather(1, inner).topk(n_chosen, largest=False)
    candidates = _members(inner.gather(1, order), group, width)
    squared = queries.new_empty(candidates.shape)
    n_at_once = max(1, policy.n_differences // (candidates.shape[1] * queries.shape[1]))
    for part in gen_batches(len(queries), n_at_once):
        of_part = candidates[part]
        differences = points.values.index_select(0, of_part.flatten()).view(*of_part.shape, -1)
        differences -= queries[part, None]  # (n_at_once, n_candidates, n_features)
        squared[part] = differences.square_().sum(2)
    squared[points.is_padding[candidates]] = torch.inf
    squared, order = squared.topk(n_nearest, largest=False)
    # the sum of F products has an error of F times the unit roundoff, centering one of a few
    lengths = centered.square().sum(1)
    error = (queries.shape[1] + 4) * torch.finfo(queries.dtype).eps * (lengths + points.largest)
    certain = squared[:, -1] + error < bound[:, -1] + lengths
    return candidates.gather(1, order), squared, certain | (n_chosen == n_groups)


def _members(groups: Tensor, size: int, width: int) -> Tensor:
    """Return the members (B, n * size) of groups (B, n), every `width`-th of a block."""
    first = groups // width * (width * size) + groups % width
    return (first[..., None] + width * torch.arange(size, device=groups.device)).flatten(1)
