"""Candidates for the initial partition from the neighbor graph.

Networks trained from random weights divide the data along its directions of largest variance
first (on MNIST fours and nines by their slant), and hardly ever leave such a partition again. A cut
of the neighbor graph does not make that error. Its candidates come from spectral clustering (Ng,
Jordan & Weiss 2001) into too many clusters, here called subclusters, which are merged by the
agglomerative information bottleneck (Slonim & Tishby 1999): k-means with K clusters splits what is
large before it separates what is small.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.special import entr, softmax
from sklearn.cluster import KMeans

from .graph import edge_distribution, mutual_information, spectral_embedding
from .quiet import fit_quietly

__all__ = [
    "LABEL_PROPAGATION", "MERGING", "OVERCLUSTERING", "GraphCandidates", "LabelPropagation",
    "Merging", "Overclustering", "graph_candidates", "merge_subclusters", "propagate_labels",
]

_TINY = 1e-12  # divisors are at least this, which only rounding leaves below it


class Overclustering(NamedTuple):
    """The spectral clusterings into subclusters.

    Merging subclusters, instead of k-means with K clusters, brought the initial labels of MNIST
    from an accuracy of .86-.93 to .955-.963 (three seeds, labels in sight). None of the numbers
    was varied by itself on record.

    Attributes
    ----------
    dimensions : tuple of float
        Dimensions of the embeddings, as multiples of the number of clusters.
    subclusters : tuple of int
        Numbers of subclusters in each, as multiples of the number of clusters; each number comes
        twice, since k-means ends differently from each initialization.
    max_subclusters : int
        Limit of these, since the memory that merging takes grows with their cube.
    jitter : float
        Standard deviation of noise on the embedding, whose rows have length 1: k-means wants
        distinct rows.
    """

    dimensions: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    subclusters: tuple[int, ...] = (2, 3, 2, 3)
    max_subclusters: int = 120
    jitter: float = 1e-6


OVERCLUSTERING = Overclustering()


class Merging(NamedTuple):
    """How subclusters are merged into unbalanced clusters, and into fewer than K.

    Attributes
    ----------
    entropy_penalty : float
        Nats of information that a merge may lose for each nat of entropy it saves: the higher, the
        more unbalanced the clusters. Chosen with `make_blobs` of 10:5:2:1 rows and iris in sight,
        by a script that was not kept.
    min_overlap_ratio_at_k, min_overlap_ratio_below : float
        Merging goes on below K while this `overlap ratio` is reached, see `merge_subclusters`; the
        first is that of the merge from K to K - 1, for which it is harder, since K is what the
        user asked for. Chosen on Gaussian blobs by a script that was not kept: the ratio was
        .7-1.1 within a blob of 200-4,000 rows in 2-10 dimensions, .6 between two blobs at a
        distance of three standard deviations, .2 at five.
    """

    entropy_penalty: float = 0.8
    min_overlap_ratio_at_k: float = 0.75
    min_overlap_ratio_below: float = 0.5


MERGING = Merging()


class LabelPropagation(NamedTuple):
    """The refinement of balanced partitions, see `propagate_labels`.

    Chosen by hand, with MNIST, USPS and pendigits in sight; no comparison is on record, except that
    a balance of 0 or 1 did not make a criterion of information less entropy find unbalanced blobs
    without loss on digits.

    Attributes
    ----------
    coupling : float
        Weight of a row's neighbors.
    balance : float
        Weight of balanced clusters.
    n_sweeps : int
    min_size : float
        Added to relative sizes, so that an empty cluster has a logarithm. Not tuned.
    """

    coupling: float = 20.0
    balance: float = 4.0
    n_sweeps: int = 15
    min_size: float = 1e-6


LABEL_PROPAGATION = LabelPropagation()


class GraphCandidates(NamedTuple):
    """Candidate labels from the neighbor graph, each (n_rows,).

    Attributes
    ----------
    balanced : list of ndarray
        K clusters each, merged so that the information stays large.
    unbalanced, fewer : list of ndarray
        K clusters each, and fewer, of any size, to be taken only if they are well separated.
    """

    balanced: list[NDArray[np.intp]]
    unbalanced: list[NDArray[np.intp]]
    fewer: list[NDArray[np.intp]]


def graph_candidates(
    graph: csr_array,
    n_clusters: int,
    random: np.random.RandomState,
    *,
    overclustering: Overclustering = OVERCLUSTERING,
    merging: Merging = MERGING,
) -> GraphCandidates:
    """Overcluster the spectral embedding of the graph, and merge the subclusters.

    Parameters
    ----------
    graph : csr_array of shape (n_rows, n_rows)
    n_clusters : int
        At most `n_rows`.
    random : RandomState
    overclustering : Overclustering, default=OVERCLUSTERING
    merging : Merging, default=MERGING

    Returns
    -------
    GraphCandidates
    """
    balanced, subclusterings, chains, ratios = [], [], [], []
    for labels, n_subclusters in _overclusterings(graph, n_clusters, random, overclustering):
        joint = edge_distribution(graph, labels, n_subclusters)
        n_merges = n_subclusters - n_clusters
        clusters, _ = next(islice(merge_subclusters(joint), n_merges, None))
        balanced.append(clusters[labels])
        # beyond the limit there is nothing to merge, and going on below K takes too much memory
        stop = n_subclusters if n_subclusters <= overclustering.max_subclusters else 1
        chain = list(islice(merge_subclusters(joint, merging.entropy_penalty), n_merges, stop))
        subclusterings.append(labels)
        chains.append([clusters for clusters, _ in chain])
        ratios.append([ratio for _, ratio in chain[1:]])
    n_fewer = _n_merges_below_k(np.median(ratios, axis=0), merging)
    unbalanced, fewer = (
        [chain[n][labels] for labels, chain in zip(subclusterings, chains, strict=True)]
        for n in (0, n_fewer)
    )
    return GraphCandidates(balanced, unbalanced, fewer if n_fewer else [])


def _overclusterings(
    graph: csr_array,
    n_clusters: int,
    random: np.random.RandomState,
    policy: Overclustering,
) -> Iterator[tuple[NDArray[np.intp], int]]:
    """Yield labels of subclusters and the number of these."""
    n_rows = graph.shape[0]
    n_components = min(int(max(policy.dimensions) * n_clusters), n_rows)
    embedding = spectral_embedding(graph, n_components, random)
    limit = min(max(n_clusters, policy.max_subclusters), n_rows)
    for dimensions, subclusters in product(policy.dimensions, policy.subclusters):
        values = embedding[:, : int(dimensions * n_clusters)]
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _TINY)
        values = values + policy.jitter * random.standard_normal(values.shape)
        n_subclusters = min(subclusters * n_clusters, limit)
        kmeans = KMeans(n_subclusters, n_init=1, random_state=random)
        yield fit_quietly(kmeans, values).labels_, n_subclusters


def _n_merges_below_k(ratios: NDArray[np.float64], merging: Merging) -> int:
    """Return how many merges below K come before the first that joins separated clusters.

    Given are medians over the overclusterings: one alone may be such that too many are merged.
    """
    joins_parts = ratios >= merging.min_overlap_ratio_below
    joins_parts[:1] = ratios[:1] >= merging.min_overlap_ratio_at_k
    return int(np.append(joins_parts, False).argmin())


def merge_subclusters(
    joint: NDArray[np.float64], entropy_penalty: float = 0.0
) -> Iterator[tuple[NDArray[np.intp], float]]:
    """Merge subclusters one by one, the pair that loses the least information first.

    Parameters
    ----------
    joint : ndarray of shape (n_subclusters, n_subclusters)
        Symmetric: the joint distribution of the subclusters at the two ends of an edge.
    entropy_penalty : float, default=0.0
        The loss of a merge is that of information, less so much of that of entropy.

    Yields
    ------
    clusters : ndarray of shape (n_subclusters,)
        The cluster of each subcluster: as they are, after the first merge, and so on.
    overlap_ratio : float
        The overlap of the two clusters that were merged last, as a multiple of the smaller overlap
        of the two that either was merged from: about 1 within one cluster, small between separated
        ones. It is 0 where both were whole subclusters. The overlap of two clusters is the
        conditional entropy of which of them a row is in, given which its neighbor is in, as a share
        of the entropy: 0 if no edge joins them, 1 if the neighbor says nothing.
    """
    joint, clusters = joint.copy(), np.arange(len(joint))
    overlaps = np.full(len(joint), np.inf)  # of the two that each was merged from
    yield clusters, 0.0
    while len(joint) > 1:
        loss = _merge_losses(joint, entropy_penalty)
        first, second = sorted(np.unravel_index(loss.argmin(), loss.shape))
        overlap = _overlap(joint[np.ix_([first, second], [first, second])])
        ratio = overlap / max(min(overlaps[first], overlaps[second]), _TINY)
        overlaps[first] = overlap
        joint[first] += joint[second]
        joint[:, first] += joint[:, second]
        joint = np.delete(np.delete(joint, second, 0), second, 1)
        overlaps = np.delete(overlaps, second)
        clusters = np.where(clusters == second, first, clusters)
        clusters = clusters - (clusters > second)
        yield clusters, ratio


def _merge_losses(joint: NDArray[np.float64], entropy_penalty: float) -> NDArray[np.float64]:
    """Return the loss of information, less the penalized entropy, of each merge, (K, K)."""
    size, row = joint.sum(1), entr(joint).sum(1)
    # of one end; the other end's clusters are left as they are
    loss: NDArray[np.float64] = entr(joint[:, None] + joint).sum(-1) - row[:, None] - row
    entropy_change = entr(size[:, None] + size) - entr(size)[:, None] - entr(size)
    loss -= (1 - entropy_penalty) * entropy_change
    np.fill_diagonal(loss, np.inf)
    return loss


def _overlap(pair: NDArray[np.float64]) -> float:
    """Return the conditional entropy by the entropy of the edges between two clusters, (2, 2)."""
    total = entr(pair.sum())
    information = mutual_information(pair) - total
    return float(1 - information / max(entr(pair.sum(0)).sum() - total, _TINY))


def propagate_labels(
    graph: csr_array,
    labels: NDArray[np.intp],
    n_clusters: int,
    *,
    policy: LabelPropagation = LABEL_PROPAGATION,
) -> NDArray[np.intp]:
    """Let each row follow its neighbors, and clusters that are too large lose rows.

    It is mean-field inference: probabilities of a row's cluster are a softmax of what they are
    among its neighbors, less the logarithm of the clusters' sizes.

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    mean_of_neighbors = diags_array((1 / graph.sum(1)).astype(np.float32)) @ graph
    probabilities = np.eye(n_clusters, dtype=np.float32)[labels]
    for _ in range(policy.n_sweeps):
        size = np.log(probabilities.mean(0) * n_clusters + policy.min_size)
        among_neighbors = mean_of_neighbors @ probabilities
        probabilities = softmax(
            policy.coupling * among_neighbors - policy.balance * size, axis=1
        )
    return probabilities.argmax(1)
