"""One criterion for partitions of every kind, which needs no labels.

A cluster is good if far fewer of its neighbors lie elsewhere than is typical of as many rows that
hang together: it has a *relative cut* of 0 if it stands apart, and of about 1 if it is a piece of a
larger one, whatever its size or shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order
from scipy.stats import entropy

from .graph import neighbor_graph
from .neighbors import Neighbors

__all__ = [
    "CRITERION", "Criterion", "JudgedGraph", "judged_graphs", "partition_score", "typical_cut",
]


class Criterion(NamedTuple):
    """How partitions are compared.

    Attributes
    ----------
    n_orders : int
        Breadth-first orders whose median cut is typical.
    scale_neighbor : int
        The neighbor whose distance is the scale of a row.
    separated : float
        Relative cut below which clusters stand apart anyhow.
    evenness : float
        What even sizes are worth, against a factor of e in the relative cut.
    compactness : float
        What a factor of e in the variance within clusters is worth.
    """

    n_orders: int = 8
    scale_neighbor: int = 3
    separated: float = 0.005
    evenness: float = 2.0
    compactness: float = 1.0


CRITERION = Criterion()


class JudgedGraph(NamedTuple):
    """A graph, and the weight between the first m rows of a typical order and the rest."""

    edges: coo_array  # (n_rows, n_rows)
    typical: NDArray[np.float64]  # (n_rows + 1,), m = 0 .. n_rows


def judged_graphs(
    neighbors: Neighbors, random: np.random.RandomState, *, criterion: Criterion = CRITERION
) -> list[JudgedGraph]:
    """Return the neighbor graph, and the same with edges weighted by the local scale.

    The weight of an edge of length d is exp(-d^2 / s t), of whose ends s and t are the distances to
    the third neighbor (Zelnik-Manor & Perona 2004).
    """
    graph = neighbor_graph(neighbors)
    references = neighbors.references
    distances = neighbors.distances[references]
    scale = distances[:, min(criterion.scale_neighbor, distances.shape[1]) - 1]
    positive = scale[scale > 0]
    scale = np.maximum(scale, positive.min() if len(positive) else 1.0)
    affinity = np.exp(
        -(distances**2) / (scale[:, None] * scale[neighbors.nearest[references]])
    )
    local = neighbor_graph(neighbors, affinity)
    return [
        JudgedGraph(g.tocoo(), typical_cut(g, random, criterion=criterion)) for g in (graph, local)
    ]


def typical_cut(
    graph: csr_array, random: np.random.RandomState, *, criterion: Criterion = CRITERION
) -> NDArray[np.float64]:
    """Return the weight between the first m rows of a breadth-first order and the rest.

    Returns
    -------
    ndarray of shape (n_rows + 1,)
        For m = 0 .. n_rows: the median of several orders, of those in which an edge is cut. (What
        has been reached may be a whole component, of which it says nothing.)
    """
    n_rows, edges = graph.shape[0], graph.tocoo()
    cuts = []
    for root in random.permutation(n_rows)[: criterion.n_orders]:
        order = breadth_first_order(graph, root, directed=False, return_predecessors=False)
        others = np.setdiff1d(np.arange(n_rows), order)
        rank = np.empty(n_rows, np.intp)
        rank[np.concatenate([order, random.permutation(others)])] = np.arange(n_rows)
        ends = np.sort([rank[edges.row], rank[edges.col]], axis=0)
        none = _crossing(ends, np.ones(len(edges.data)), n_rows) == 0
        cuts.append(np.ma.array(_crossing(ends, edges.data, n_rows), mask=none))
    median: NDArray[np.float64] = np.ma.median(np.ma.stack(cuts), axis=0).filled(0.0)
    return median


def _crossing(
    ends: NDArray[np.intp], weights: NDArray[Any], n_rows: int
) -> NDArray[np.float64]:
    """Return the weight of the edges between the first m rows and the rest, m = 0 .. n_rows."""
    first, last = (np.bincount(end + 1, weights, n_rows + 1) for end in ends)
    # each edge is there in both directions
    weight: NDArray[np.float64] = np.cumsum(first - last) / 2
    return weight


def partition_score(
    labels: NDArray[np.intp],
    views: Sequence[list[JudgedGraph]],
    values: NDArray[np.float32],
    n_clusters: int,
    *,
    criterion: Criterion = CRITERION,
) -> float:
    """Return the score of a partition; higher is better.

    It is the mean of -log(relative cut) over clusters and graphs, in that view of the rows in which
    it is largest, with bonuses for even sizes and for compact clusters.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
    views : sequence of list of JudgedGraph
    values : ndarray of shape (n_rows, n_features)
    n_clusters : int
    criterion : Criterion, default=CRITERION
    """
    sizes = np.bincount(labels, minlength=n_clusters)
    found = sizes > 0

    def separation(graph: JudgedGraph) -> float:
        edges = graph.edges
        leaving = edges.data * (labels[edges.row] != labels[edges.col])
        cut = np.bincount(labels[edges.row], leaving, n_clusters)[found]
        typical = graph.typical[sizes[found]]
        relative = cut / np.maximum(typical, np.finfo(np.float32).tiny)
        return -float(np.log(relative + criterion.separated).mean())

    separated = max(np.mean([separation(graph) for graph in graphs]) for graphs in views)
    centered = values - values.mean(0)
    members = csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    between = ((members @ centered)[found[: members.shape[0]]] ** 2).sum(1) / sizes[found]
    within = 1 - between.sum() / np.maximum((centered**2).sum(), np.finfo(np.float32).tiny)
    evenness = entropy(sizes) / np.log(n_clusters)
    return float(
        separated + criterion.evenness * evenness
        - criterion.compactness * np.log(max(within, 1e-3))
    )
