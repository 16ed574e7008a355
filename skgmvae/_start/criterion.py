"""One criterion for partitions of every kind, which needs no labels.

A cluster is good if far fewer of its neighbors lie elsewhere than is typical of as many rows that
hang together: it has a *relative cut* of 0 if it stands apart, and of about 1 if it is a piece of a
larger one, whatever its size or shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order
from scipy.stats import entropy

from .graph import neighbor_graph
from .neighbors import Neighbors

__all__ = [
    "CRITERION", "Criterion", "JudgedGraph", "judged_graphs", "mean_separation", "partition_score",
    "stand_apart", "typical_cuts",
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
    evenness, compactness : float
        What even sizes, and a factor of e in the variance within clusters, are worth against a
        factor of e in the relative cut. On shapes, noise, uneven and coarse clusters
        (``examples/benchmarks/ordinary_tables.py``) the mean adjusted Rand index is within .006 for
        .5 to .85 and .2 to .3; with 1 and .5 it is .015 lower.
    max_relative_cut : float
        Geometric mean of the relative cuts up to which clusters stand apart. On tables of skewed
        columns, heavy tails and counts the mean adjusted Rand index of the initial partition is
        within .01 for .1 to .13; with .07 ellipses and pen strokes are worse.
    """

    n_orders: int = 8
    scale_neighbor: int = 3
    separated: float = 0.005
    evenness: float = 0.75
    compactness: float = 0.25
    max_relative_cut: float = 0.1


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
    references = neighbors.references
    distances = neighbors.distances.astype(np.float64)
    scale = distances[:, min(criterion.scale_neighbor, distances.shape[1]) - 1]
    positive = scale[scale > 0]
    scale = np.maximum(scale, positive.min() if len(positive) else 1.0)
    affinity = np.exp(
        -(distances**2) / (scale[:, None] * scale[neighbors.nearest[references]])
    )
    graphs = [neighbor_graph(neighbors), neighbor_graph(neighbors, affinity)]
    typical = typical_cuts(graphs, random, criterion=criterion)
    return [JudgedGraph(graph.tocoo(), cut) for graph, cut in zip(graphs, typical, strict=True)]


def typical_cuts(
    graphs: Sequence[csr_array],
    random: np.random.RandomState,
    *,
    criterion: Criterion = CRITERION,
) -> NDArray[np.float64]:
    """Return the weight between the first m rows of a breadth-first order and the rest.

    Parameters
    ----------
    graphs : sequence of csr_array of shape (n_rows, n_rows)
        That differ in the weights of their edges alone.
    random : RandomState
    criterion : Criterion, default=CRITERION

    Returns
    -------
    ndarray of shape (n_graphs, n_rows + 1)
        For m = 0 .. n_rows: the median of several orders, of those in which an edge is cut. (What
        has been reached may be a whole component, of which it says nothing.)
    """
    n_rows, edges = graphs[0].shape[0], graphs[0].tocoo()
    once = edges.row < edges.col  # each edge is there in both directions
    row, col, weights = edges.row[once], edges.col[once], [graph.data[once] for graph in graphs]
    cuts = []
    for root in random.permutation(n_rows)[: criterion.n_orders]:
        order = breadth_first_order(graphs[0], root, return_predecessors=False)
        rank = np.full(n_rows, -1, np.int32)
        rank[order] = np.arange(len(order), dtype=np.int32)
        others = np.flatnonzero(rank < 0)
        rank[random.permutation(others)] = np.arange(len(order), n_rows, dtype=np.int32)
        one, other = rank[row], rank[col]
        first, last = np.minimum(one, other), np.maximum(one, other)
        none = _crossing(first, last, None, n_rows) == 0
        cuts.append([
            np.where(none, np.inf, _crossing(first, last, of_edges, n_rows)) for of_edges in weights
        ])
    return _finite_median(np.array(cuts))


def _crossing(
    first: NDArray[np.int32],
    last: NDArray[np.int32],
    weights: NDArray[np.float32] | None,
    n_rows: int,
) -> NDArray[np.float64]:
    """Return the weight of the edges between the first m rows and the rest, m = 0 .. n_rows."""
    begun, ended = (np.bincount(end, weights, n_rows) for end in (first, last))
    return np.concatenate([[0.0], np.cumsum(begun - ended)])


def _finite_median(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the median over the first axis of what is finite there, 0 if nothing is."""
    values = np.sort(values, axis=0)
    n_finite = np.isfinite(values).sum(0)
    low, high = (
        np.take_along_axis(values, np.maximum(middle, 0)[None], 0)[0]
        for middle in ((n_finite - 1) // 2, n_finite // 2)
    )
    return np.where(n_finite > 0, (low + high) / 2, 0.0)


def mean_separation(
    labels: NDArray[np.intp],
    graphs: Sequence[JudgedGraph],
    n_clusters: int,
    *,
    criterion: Criterion = CRITERION,
) -> float:
    """Return the mean of -log(relative cut) over clusters and graphs."""
    sizes = np.bincount(labels, minlength=n_clusters)
    found = sizes > 0

    def separation(graph: JudgedGraph) -> float:
        edges = graph.edges
        ends = labels[edges.row]
        leaving = edges.data * (ends != labels[edges.col])
        cut = np.bincount(ends, leaving, n_clusters)[found]
        typical = graph.typical[sizes[found]]
        relative = cut / np.maximum(typical, np.finfo(np.float32).tiny)
        return -float(np.log(relative + criterion.separated).mean())

    return float(np.mean([separation(graph) for graph in graphs]))


def stand_apart(
    labels: NDArray[np.intp],
    graphs: Sequence[JudgedGraph],
    n_clusters: int,
    *,
    criterion: Criterion = CRITERION,
) -> bool:
    """Whether there are gaps between the clusters. Parameters are those of `mean_separation`."""
    least = -np.log(criterion.max_relative_cut + criterion.separated)
    return bool(mean_separation(labels, graphs, n_clusters, criterion=criterion) >= least)


def partition_score(
    labels: NDArray[np.intp],
    graphs: Sequence[JudgedGraph],
    values: NDArray[np.float32],
    n_clusters: int,
    *,
    criterion: Criterion = CRITERION,
) -> float:
    """Return the score of a partition; higher is better.

    It is the `mean_separation`, with bonuses for even sizes and for compact clusters.

    Parameters
    ----------
    labels : ndarray of shape (n_rows,)
    graphs : sequence of JudgedGraph
    values : ndarray of shape (n_rows, n_features)
    n_clusters : int
    criterion : Criterion, default=CRITERION
    """
    sizes = np.bincount(labels, minlength=n_clusters)
    found = sizes > 0
    separated = mean_separation(labels, graphs, n_clusters, criterion=criterion)
    centered = values - values.mean(0)
    members = csr_array((np.ones(len(labels)), (labels, np.arange(len(labels)))))
    between = ((members @ centered)[found[: members.shape[0]]] ** 2).sum(1) / sizes[found]
    within = 1 - between.sum() / np.maximum((centered**2).sum(), np.finfo(np.float32).tiny)
    evenness = entropy(sizes) / np.log(n_clusters)
    return float(
        separated + criterion.evenness * evenness
        - criterion.compactness * np.log(max(within, 1e-3))
    )
