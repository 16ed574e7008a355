"""Partitions that cut the longest edges of the minimum spanning tree: thin shapes, rare clusters.

Single linkage cuts the very longest edges, and so leaves single rows; here an edge is cut only if
enough rows are left on both sides, as in Genie (Gagolewski, Bartoszuk & Cena 2016) and in
Müller, Nowozin & Lampert (2012).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import (
    breadth_first_order,
    connected_components,
    minimum_spanning_tree,
)
from sklearn.neighbors import NearestNeighbors

from .neighbors import Neighbors

__all__ = ["TREE_CUTS", "TreeCuts", "spanning_tree", "tree_cuts"]


class TreeCuts(NamedTuple):
    """How small a part of the tree may be.

    Attributes
    ----------
    min_shares : tuple of float
        Least size of a part, as a share of ``n_rows / n_clusters``: one candidate each.
    max_features : int
        With more, no tree is cut: gaps between single rows say little where all rows are far from
        one another. Of pen strokes (16 features) trees cut the styles of a digit apart, not digits.
    """

    min_shares: tuple[float, ...] = (0.02, 0.1, 0.25, 0.5)
    max_features: int = 10


TREE_CUTS = TreeCuts()


def tree_cuts(
    neighbors: Neighbors, n_clusters: int, *, policy: TreeCuts = TREE_CUTS
) -> Iterator[NDArray[np.intp]]:
    """Yield partitions of the references into `n_clusters` clusters, each (n_references,)."""
    if neighbors.compared.shape[1] > policy.max_features:
        return
    edges, lengths = spanning_tree(neighbors)
    n_rows = len(neighbors.references)
    for share in policy.min_shares:
        labels = cut_longest(edges, lengths, n_clusters, max(2.0, share * n_rows / n_clusters))
        if labels.max() == n_clusters - 1:
            yield labels


def spanning_tree(neighbors: Neighbors) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return edges (n_references - 1, 2) and lengths of the tree that spans the references.

    It is the minimum spanning tree of the neighbor graph, whose components are first joined by the
    shortest edges between each and the others.
    """
    references = neighbors.references
    points = neighbors.compared[references]
    n_rows, n_neighbors = len(references), neighbors.nearest.shape[1]
    first = np.repeat(np.arange(n_rows), n_neighbors)
    second = neighbors.nearest[references].ravel().astype(np.intp)
    length = neighbors.distances.ravel().astype(np.float64)
    while True:
        graph = _shortest_edges(first, second, length, n_rows)
        n_parts, part = connected_components(graph, directed=False)
        if n_parts == 1:
            tree = minimum_spanning_tree(graph).tocoo()
            return np.stack([tree.row, tree.col], 1).astype(np.intp), tree.data
        a, b, d = _joints(points, part)
        first, second = np.append(first, a), np.append(second, b)
        length = np.append(length, d)


def _shortest_edges(
    first: NDArray[np.intp], second: NDArray[np.intp], length: NDArray[np.float64], n_rows: int
) -> csr_array:
    """Return the undirected graph with each edge once; lengths of 0 become tiny, not absent."""
    key = np.minimum(first, second) * n_rows + np.maximum(first, second)
    key, index = np.unique(key, return_index=True)
    tiny = np.finfo(np.float64).tiny
    # of 32 bits, which SciPy before 1.13 wants of a graph
    ends = tuple(end.astype(np.int32) for end in (key // n_rows, key % n_rows))
    return coo_array((np.maximum(length[index], tiny), ends), shape=(n_rows, n_rows)).tocsr()


def _joints(
    points: NDArray[Any], part: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the shortest edge from each part but the largest to the rows outside: ends, length."""
    sizes = np.bincount(part)
    nearest, length = np.zeros(len(part), np.intp), np.full(len(part), np.inf)
    everyone = NearestNeighbors().fit(points)
    is_small = sizes**2 < len(points)
    for size in np.unique(sizes[is_small]):  # one of so many neighbors is outside
        own = np.flatnonzero(sizes[part] == size)
        distances, found = everyone.kneighbors(points[own], size + 1)
        distances[part[found] == part[own, None]] = np.inf
        best = distances.argmin(1)[:, None]
        nearest[own] = np.take_along_axis(found, best, 1)[:, 0]
        length[own] = np.take_along_axis(distances, best, 1)[:, 0]
    largest = sizes.argmax()
    for number in np.flatnonzero(~is_small):
        if number != largest:
            own, others = np.flatnonzero(part == number), np.flatnonzero(part != number)
            outside = NearestNeighbors(n_neighbors=1).fit(points[others])
            distances, found = outside.kneighbors(points[own])
            nearest[own], length[own] = others[found[:, 0]], distances[:, 0]
    by_part = np.lexsort((length, part))
    ends = np.delete(by_part[np.cumsum(sizes) - sizes], largest)
    return ends, nearest[ends], length[ends]


def cut_longest(
    edges: NDArray[np.intp], lengths: NDArray[np.float64], n_clusters: int, min_size: float
) -> NDArray[np.intp]:
    """Cut the longest edge that leaves `min_size` rows on both sides, up to `n_clusters` - 1 times.

    Returns
    -------
    ndarray of shape (n_rows,)
        Labels from 0, fewer than `n_clusters` where no such edge is left.
    """
    n_rows = len(edges) + 1
    tree = coo_array((np.ones(len(edges)), edges.T), shape=(n_rows, n_rows)).tocsr()
    order, parent = breadth_first_order(tree, 0, directed=False)
    child = np.where(parent[edges[:, 0]] == edges[:, 1], edges[:, 0], edges[:, 1])
    size_below, is_root = np.ones(n_rows), np.zeros(n_rows, bool)
    is_root[0] = True
    for row in order[:0:-1]:
        size_below[parent[row]] += size_below[row]
    longest_first = child[np.argsort(-lengths, kind="stable")]
    for _ in range(n_clusters - 1):
        above = size_below[_roots(parent, is_root)] - size_below
        allowed = (size_below >= min_size) & (above >= min_size)
        if not allowed.any():
            break
        row = longest_first[allowed[longest_first].argmax()]
        upper = row
        while not is_root[upper]:
            upper = parent[upper]
            size_below[upper] -= size_below[row]
        is_root[row] = True
    return np.unique(_roots(parent, is_root), return_inverse=True)[1]


def _roots(parent: NDArray[np.intp], is_root: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the root above each row, in steps that double."""
    upper = np.where(is_root, np.arange(len(parent)), parent)
    while not np.array_equal(further := upper[upper], upper):
        upper = further
    return upper
