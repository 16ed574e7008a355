"""A partition of the rows in which few neighbours are in different clusters.

Networks trained from a random start divide the data along its directions of largest variance
first (on MNIST fours and nines by their slant), and hardly ever leave such a division again. A cut
of the neighbour graph does not make that error: the start is a spectral clustering whose
candidates are compared by the information between the clusters of neighbouring rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import LinearOperator, eigsh
from scipy.special import entr, softmax
from scipy.stats import entropy
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state

from .neighbours import Neighbours

__all__ = ["edge_information", "merges", "neighbour_graph", "partition", "separation"]

# Spectral embeddings of so many times K dimensions are divided into so many times K parts, which
# are merged to K: k-means with K splits what is large before it parts what is small.
EMBEDDINGS = (1.0, 1.5, 2.0, 3.0)
OVERCLUSTERINGS = (2, 3)
MAX_PARTS = 120
N_REPEATS = 2
N_REFINED = 6
# Where clusters stand apart they may be uneven, and fewer than K. Merging then weighs what a
# division tells of a neighbour against what it adds to the clusters' entropy, at a price in nats
# per nat: the higher, the more uneven the clusters.
PRICE_OF_UNEVEN = 0.8
# Clusters below K are merged if they are blurred at least so many times as much as their own
# halves were: 0.7-1.1 times within a blob of 200-4,000 rows in 2-10 dimensions, 0.6 times between
# two that are three standard deviations apart, 0.2 times at five. K is taken to be right if it
# may be; if it is not, it says no more.
BLURRED_AT_K = 0.7
BLURRED_BELOW = 0.5
# They are taken if a neighbour tells at least so much of their entropy, and leaves at most UNTOLD
# times as much untold as of that of the even clusters: 0.1-0.5 times where blobs or pen strokes of
# 5:1 to 20:1 are cut right, 0.5-1 where handwritten digits or the classes of iris are merged.
SEPARATED = 0.96
SEPARATED_BELOW_K = 0.975
UNTOLD = 0.55
LEAST_SHARE = 0.1  # of n_rows / K, that a cluster must have: a few near-duplicates are none
TINY = 1e-12  # of a share, in whose place nothing is divided by
DENSE_ROWS = 1000  # up to which eigenvectors are found exactly

# Refinement by mean-field label propagation: weight of a row's neighbours, and of even clusters
COUPLING = 20.0
EVENNESS = 4.0
N_SWEEPS = 15


def partition(neighbours: Neighbours, n_clusters: int, seed: int) -> NDArray[np.intp]:
    """Divide the rows into clusters that few neighbours are parted by.

    Spectral clustering (Ng, Jordan & Weiss 2001) gives too many parts, which are merged by the
    agglomerative information bottleneck (Slonim & Tishby 1999). Of several candidates the one
    is taken whose clusters tell most of a neighbour's, `edge_information`. That favours even
    clusters; where clusters stand apart, they are taken as they are, `n_clusters` at the most.

    Parameters
    ----------
    neighbours : Neighbours
    n_clusters : int
    seed : int

    Returns
    -------
    labels : ndarray of shape (n_rows,)
        From 0 to `n_clusters` - 1; not all need occur.
    """
    point, references, nearest = neighbours
    n_points = len(nearest)
    n_clusters = min(n_clusters, n_points)
    if n_clusters == 1:
        return np.zeros(len(point), np.intp)
    graph = neighbour_graph(neighbours)
    even, apart = _candidates(graph, n_clusters, check_random_state(seed))

    def worth(labels: NDArray[np.intp]) -> float:
        return edge_information(graph, labels, n_clusters)

    best = sorted(even, key=worth, reverse=True)[:N_REFINED]
    labels = max(best + [_refine(graph, labels, n_clusters) for labels in best], key=worth)
    standing = []
    for candidate in apart:
        told = separation(graph, candidate, n_clusters)
        all_k = candidate.max() + 1 == n_clusters
        if told >= (SEPARATED if all_k else SEPARATED_BELOW_K):
            standing.append((told, candidate))
    told, uneven = max(standing, key=itemgetter(0), default=(0.0, labels))
    if 1 - told <= UNTOLD * (1 - separation(graph, labels, n_clusters)):
        labels = uneven
    if len(references) < n_points:
        votes = np.zeros((n_points, n_clusters))
        for column in nearest.T:
            votes[np.arange(n_points), labels[column]] += 1
        labels = votes.argmax(1)
    return labels[point].astype(np.intp)


def neighbour_graph(neighbours: Neighbours) -> csr_array:
    """Return the symmetric graph of the references; an edge weighs as many rows as it has."""
    point, references, nearest = neighbours
    n_references, n_neighbours = len(references), nearest.shape[1]
    start = np.arange(n_references + 1) * n_neighbours
    n_rows = np.repeat(np.bincount(point)[references], n_neighbours).astype(np.float32)
    directed = csr_array((n_rows, nearest[references].ravel(), start), shape=(n_references,) * 2)
    return (directed + directed.T).tocsr()  # mutual neighbours count twice


def _candidates(
    graph: csr_array, n_clusters: int, random: Any
) -> tuple[list[NDArray[np.intp]], list[NDArray[np.intp]]]:
    """Return partitions into even clusters, and others into clusters that may stand apart."""
    n_rows = graph.shape[0]
    embedding = _spectral_embedding(graph, min(int(max(EMBEDDINGS) * n_clusters), n_rows), random)
    even: list[NDArray[np.intp]] = []
    divisions, ratios = [], []
    for dimensions, parts in product(EMBEDDINGS, OVERCLUSTERINGS * N_REPEATS):
        points = embedding[:, : int(dimensions * n_clusters)]
        points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), TINY)
        points = points + 1e-6 * random.standard_normal(points.shape)  # k-means wants them distinct
        n_parts = min(parts * n_clusters, max(n_clusters, MAX_PARTS), n_rows)
        labels = KMeans(n_parts, n_init=1, random_state=random).fit_predict(points)
        joint = _joint(graph, labels, n_parts)
        n_merges = n_parts - n_clusters
        clusters, _ = next(islice(merges(joint), n_merges, None))
        even.append(clusters[labels])
        # memory grows with the cube of the number of parts
        stop = n_parts if n_parts <= MAX_PARTS else 1
        at_most_k = list(islice(merges(joint, PRICE_OF_UNEVEN), n_merges, stop))
        divisions.append((labels, [clusters for clusters, _ in at_most_k]))
        ratios.append([ratio for _, ratio in at_most_k[1:]])
    # one division alone may be such that too many are merged
    ratio = np.median(ratios, axis=0)
    blurred = ratio >= BLURRED_BELOW
    blurred[:1] = ratio[:1] >= BLURRED_AT_K
    n_fewer = int(np.append(blurred, False).argmin())  # merges before the first boundary
    apart = [chain[n][labels] for n in sorted({0, n_fewer}) for labels, chain in divisions]
    return even, apart


def separation(graph: csr_array, labels: NDArray[np.intp], n_clusters: int) -> float:
    """Return the share of the clusters' entropy that a neighbour tells; 0 if one is tiny.

    The entropy is that of the ends of an edge, which weigh as many rows as they have copies.
    """
    counts = np.bincount(labels)
    if len(counts) == 1 or counts.min() < LEAST_SHARE * len(labels) / n_clusters:
        return 0.0
    joint = _joint(graph, labels, n_clusters)
    return _information(joint) / float(entropy(joint.sum(0)))


def edge_information(graph: csr_array, labels: NDArray[np.intp], n_clusters: int) -> float:
    """Return the mutual information between the clusters at the two ends of an edge, in nats.

    High where edges lie within clusters and the clusters are even; at most log K.
    """
    return _information(_joint(graph, labels, n_clusters))


def merges(
    joint: NDArray[np.float64], price: float = 0.0
) -> Iterator[tuple[NDArray[np.intp], float]]:
    """Merge parts one by one, the pair that loses least information first.

    Parameters
    ----------
    joint : ndarray of shape (n_parts, n_parts)
        Symmetric: the share of edges between each two parts.
    price : float, default=0.0
        Of the clusters' entropy, in nats of information: a merge loses less by what it saves.

    Yields
    ------
    clusters : ndarray of shape (n_parts,)
        The cluster of each part: as they are, after the first merge, and so on.
    ratio : float
        How blurred the two were that were merged last, as a multiple of how blurred the halves
        of either were; 0 where neither had any.
    """
    joint, clusters = joint.copy(), np.arange(len(joint))
    halves = np.full(len(joint), np.inf)  # the blur between those of each cluster
    yield clusters, 0.0
    while len(joint) > 1:
        # what is no longer known of a neighbour's part where a and b are not told apart
        size, row = joint.sum(1), entr(joint).sum(1)
        loss = entr(joint[:, None] + joint).sum(-1) - row[:, None] - row
        loss -= (1 - price) * (entr(size[:, None] + size) - entr(size)[:, None] - entr(size))
        np.fill_diagonal(loss, np.inf)
        first, second = sorted(np.unravel_index(loss.argmin(), loss.shape))
        blur = _blur(joint[np.ix_([first, second], [first, second])])
        ratio = blur / max(min(halves[first], halves[second]), TINY)
        halves[first] = blur
        joint[first] += joint[second]
        joint[:, first] += joint[:, second]
        joint = np.delete(np.delete(joint, second, 0), second, 1)
        halves = np.delete(halves, second)
        clusters = np.where(clusters == second, first, clusters)
        clusters = clusters - (clusters > second)
        yield clusters, ratio


def _information(joint: NDArray[np.float64]) -> float:
    """Return the mutual information of a joint distribution (K, K), in nats."""
    return float(-entr(joint).sum() + entr(joint.sum(0)).sum() + entr(joint.sum(1)).sum())


def _blur(pair: NDArray[np.float64]) -> float:
    """Return what share of "which of the two" a neighbour does not tell, of edges (2, 2)."""
    total = entr(pair.sum())
    information = _information(pair) - total
    return float(1 - information / max(entr(pair.sum(0)).sum() - total, TINY))


def _joint(graph: csr_array, labels: NDArray[np.intp], n_clusters: int) -> NDArray[np.float64]:
    """Share of edges from each cluster to each, (K, K)."""
    edges = graph.tocoo()
    pairs = labels[edges.row].astype(np.intp) * n_clusters + labels[edges.col]
    weights = np.bincount(pairs, edges.data, minlength=n_clusters**2)
    return (weights / weights.sum()).reshape(n_clusters, n_clusters)


def _spectral_embedding(graph: csr_array, n_components: int, random: Any) -> NDArray[Any]:
    """Return the first eigenvectors of the normalised adjacency, the largest first."""
    n_rows = graph.shape[0]
    root_degree = np.sqrt(graph.sum(1)).astype(np.float32)
    normalised = diags_array(1 / root_degree) @ graph @ diags_array(1 / root_degree)
    if n_rows <= max(DENSE_ROWS, n_components + 1):
        _, vectors = eigh(
            normalised.toarray(), subset_by_index=[n_rows - n_components, n_rows - 1]
        )
        return vectors[:, ::-1]
    # the eigenvalue 1 comes once for each connected part, and Lanczos would find it once
    _, part = connected_components(graph, directed=False)
    largest_first = np.argsort(-np.bincount(part), kind="stable")[:n_components]
    first = (part[:, None] == largest_first) * root_degree[:, None]
    first /= np.linalg.norm(first, axis=0)
    n_others = n_components - first.shape[1]
    if n_others == 0:
        return first
    deflated = LinearOperator(
        normalised.shape, lambda v: normalised @ v - first @ (first.T @ v), dtype=np.float32
    )
    start = random.uniform(size=n_rows).astype(np.float32)
    _, vectors = eigsh(deflated, n_others, which="LA", tol=1e-5, v0=start)
    return np.hstack([first, vectors[:, ::-1]])


def _refine(graph: csr_array, labels: NDArray[np.intp], n_clusters: int) -> NDArray[np.intp]:
    """Let each row follow its neighbours, and clusters that are too large lose rows."""
    mean_of_neighbours = diags_array((1 / graph.sum(1)).astype(np.float32)) @ graph
    share = np.eye(n_clusters, dtype=np.float32)[labels]
    for _ in range(N_SWEEPS):
        even = np.log(share.mean(0) * n_clusters + 1e-6)
        share = softmax(COUPLING * (mean_of_neighbours @ share) - EVENNESS * even, axis=1)
    return share.argmax(1)
