"""The clusters that a fit starts from: those of the neighbour graph, or of k-means.

The graph finds clusters of any shape, but a single feature of two values parts it as cleanly as
clusters that all features tell. K-means follows what many features share. So both are tried in
random halves of the features, in which a single feature is missing as often as not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state

from .data import Rows
from .neighbours import Neighbours, neighbours_among
from .partition import edge_information, neighbour_graph, partition, separation

__all__ = ["find_start"]

LEAST_FEATURES = 8  # of which half still tell something
MOST_FEATURES = 500  # among more no single one parts the graph
N_HALVES = 16
N_ROWS = 2000
MARGIN = 1.05  # so many times as much must they tell of those of k-means
N_STARTS = 10  # of k-means
MOST_FITTED = 10_000  # rows that the means are found on


def find_start(
    rows: Rows, neighbours: Neighbours, n_clusters: int, seed: int
) -> NDArray[np.intp]:
    """Return the cluster of each row at the start.

    K-means replaces `partition` if neighbours in random halves of the features tell more of its
    clusters, and a larger share of what there is to tell: uneven clusters have less.

    Parameters
    ----------
    rows : Rows
    neighbours : Neighbours
        Of the rows.
    n_clusters : int
    seed : int

    Returns
    -------
    ndarray of shape (n_rows,)
        As the labels of `partition`.
    """
    start = partition(neighbours, n_clusters, seed)
    values = rows.flat()
    n_clusters = min(n_clusters, len(neighbours.nearest))
    n_features = values.shape[1]
    if n_clusters == 1 or not LEAST_FEATURES <= n_features <= MOST_FEATURES:
        return start
    random = check_random_state(seed)
    first, copies = neighbours.first, np.bincount(neighbours.point)
    fitted = random.permutation(len(first))[: max(MOST_FITTED, n_clusters)]
    kmeans = KMeans(n_clusters, n_init=N_STARTS, random_state=random)
    kmeans.fit(values[first[fitted]], sample_weight=copies[fitted])
    rival = kmeans.predict(values).astype(np.intp)
    told = np.zeros((2, 2))
    for _ in range(N_HALVES):
        some = first[random.permutation(len(first))[:N_ROWS]]
        half = random.permutation(n_features)[: n_features // 2]
        graph = neighbour_graph(neighbours_among(values[np.ix_(some, half)], seed))
        told += [_told(graph, labels[some], n_clusters) for labels in (start, rival)]
    return rival if (told[1] > MARGIN * told[0]).all() else start


def _told(graph: csr_array, labels: NDArray[np.intp], n_clusters: int) -> tuple[float, float]:
    """Return what a neighbour tells of the clusters, in nats and as a share of their entropy."""
    return edge_information(graph, labels, n_clusters), separation(graph, labels, n_clusters)
