"""Candidates for the initial partition from the neighbor graph.

Networks trained from random weights divide the data along its directions of largest variance
first (on MNIST fours and nines by their slant), and hardly ever leave such a partition again. A cut
of the neighbor graph does not make that error. Its candidates come from spectral clustering (Ng,
Jordan & Weiss 2001) into too many clusters, here called subclusters, which are merged by the
agglomerative information bottleneck (Slonim & Tishby 1999): k-means with K clusters splits what is
large before it separates what is small. Merging takes no step back, so that subclusters are moved
from cluster to cluster afterwards (the sequential information bottleneck; Slonim, Friedman & Tishby
2002), and clusters are split while others are merged (as in the EM algorithm of Ueda et al. 2000).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice, product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array
from scipy.special import entr
from sklearn.cluster import KMeans

from .graph import edge_distribution, mutual_information, spectral_embedding
from .quiet import fit_quietly

__all__ = [
    "LABEL_PROPAGATION", "MERGING", "OVERCLUSTERING", "GraphCandidates", "LabelPropagation",
    "Merging", "Overclustering", "divided", "graph_candidates", "merge_subclusters",
    "propagate_labels", "reassigned_subclusters", "split_and_merged",
]

_TINY = 1e-12  # divisors are at least this, which only rounding leaves below it


class Overclustering(NamedTuple):
    """The spectral clusterings into subclusters.

    Merging subclusters, instead of k-means with K clusters, brought the initial labels of MNIST
    from an accuracy of .86-.93 to .955-.963 (three seeds, labels in sight). Half as many k-means,
    or a third six times as fine, were as good there, and worse on thin and uneven clusters.

    Attributes
    ----------
    dimensions : tuple of float
        Dimensions of the embeddings, as multiples of the number of clusters.
    subclusters : tuple of int
        Numbers of subclusters in each, as multiples of the number of clusters; each number comes
        twice, since k-means ends differently from each initialization.
    max_subclusters : int
        Limit of these and of the dimensions, since the time of merging grows with the cube and
        that of eigenvectors with the square. More clusters are found by `divided`.
    jitter : float
        Standard deviation of noise on the embedding, whose rows have length 1: k-means wants
        distinct rows.
    n_fit_rows : int
        Rows that k-means is fitted to, drawn anew each time. On MNIST the mean ARI was .926, the
        worst of six seeds .918, in 4.4 s; with all 60,000 rows .926, .915, in 7.1 s.
    """

    dimensions: tuple[float, ...] = (1.0, 1.5, 2.0, 3.0)
    subclusters: tuple[int, ...] = (2, 3, 2, 3)
    max_subclusters: int = 120
    jitter: float = 1e-6
    n_fit_rows: int = 10_000


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
        At most `n_rows`, and `max_subclusters`.
    random : RandomState
    overclustering : Overclustering, default=OVERCLUSTERING
    merging : Merging, default=MERGING

    Returns
    -------
    GraphCandidates
    """
    edges = graph.tocoo()
    balanced, subclusterings, chains, ratios = [], [], [], []
    for labels, n_subclusters in _overclusterings(graph, n_clusters, random, overclustering):
        joint = edge_distribution(edges, labels, n_subclusters)
        merged = reassigned_subclusters(joint, _merged_into(joint, n_clusters))
        balanced.append(split_and_merged(joint, merged)[labels])
        n_merges = n_subclusters - n_clusters
        chain = list(islice(merge_subclusters(joint, merging.entropy_penalty), n_merges, None))
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
    limit = min(policy.max_subclusters, n_rows)
    n_components = min(int(max(policy.dimensions) * n_clusters), limit)
    embedding = spectral_embedding(graph, n_components, random)
    for dimensions, subclusters in product(policy.dimensions, policy.subclusters):
        values = embedding[:, : int(dimensions * n_clusters)]
        values = values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), _TINY)
        values = values + policy.jitter * random.standard_normal(values.shape)
        n_subclusters = min(subclusters * n_clusters, limit)
        kmeans = KMeans(n_subclusters, n_init=1, random_state=random)
        if n_rows <= policy.n_fit_rows:
            labels = fit_quietly(kmeans, values).labels_
        else:
            some = random.choice(n_rows, policy.n_fit_rows, replace=False)
            labels = fit_quietly(kmeans, values[some]).predict(values)
        yield labels, n_subclusters


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
    loss = _information_losses(joint)
    yield clusters, 0.0
    while len(joint) > 1:
        penalized = loss - (1 - entropy_penalty) * _size_changes(joint)
        np.fill_diagonal(penalized, np.inf)
        first, second = sorted(np.unravel_index(penalized.argmin(), loss.shape))
        pair = [first, second]
        overlap = _overlap(joint[np.ix_(pair, pair)])
        ratio = overlap / max(min(overlaps[first], overlaps[second]), _TINY)
        overlaps[first] = overlap
        # of the losses only what is of the two columns changes, and those of the merged row
        before = joint[:, pair]
        joint[first] += joint[second]
        joint[:, first] += joint[:, second]
        loss -= _information_losses(before)
        joint = np.delete(np.delete(joint, second, 0), second, 1)
        loss = np.delete(np.delete(loss, second, 0), second, 1)
        loss += _information_losses(joint[:, [first]])
        loss[first] = loss[:, first] = _entropy_changes(joint, joint[first]).sum(1)
        overlaps = np.delete(overlaps, second)
        clusters = np.where(clusters == second, first, clusters)
        clusters = clusters - (clusters > second)
        yield clusters, ratio


def _merged_into(joint: NDArray[np.float64], n_clusters: int) -> NDArray[np.intp]:
    """Return the cluster of each subcluster when so many clusters are left."""
    return next(islice(merge_subclusters(joint), len(joint) - n_clusters, None))[0]


def reassigned_subclusters(
    joint: NDArray[np.float64], clusters: NDArray[np.intp], *, max_sweeps: int = 20
) -> NDArray[np.intp]:
    """Move subclusters to other clusters, one by one, while the information grows.

    A cluster keeps its last subcluster.

    Parameters
    ----------
    joint : ndarray of shape (n_subclusters, n_subclusters)
        As in `merge_subclusters`.
    clusters : ndarray of shape (n_subclusters,)
    max_sweeps : int, default=20
        Over all subclusters. Mostly nothing is left to move after three to five.

    Returns
    -------
    ndarray of shape (n_subclusters,)
    """
    clusters = clusters.copy()
    members = np.eye(clusters.max() + 1)[clusters]
    for _ in range(max_sweeps):
        before = clusters.copy()
        for number, edges in enumerate(joint):
            own = clusters[number]
            members[number] = 0.0
            if members[:, own].any():
                between = members.T @ joint @ members
                gains = _information_gains(between, edges @ members, edges[number])
                best = gains.argmax()
                if gains[best] > gains[own] + _TINY:
                    clusters[number] = best
            members[number, clusters[number]] = 1.0
        if (clusters == before).all():
            break
    return clusters


def split_and_merged(
    joint: NDArray[np.float64], clusters: NDArray[np.intp], *, n_trials: int = 10
) -> NDArray[np.intp]:
    """Split a cluster in two and merge two others, again and again, while the information grows.

    Moving subclusters one by one does not get from three clusters where two are, and one where two
    others are, to the right four.

    Parameters
    ----------
    joint : ndarray of shape (n_subclusters, n_subclusters)
        As in `merge_subclusters`.
    clusters : ndarray of shape (n_subclusters,)
    n_trials : int, default=10
        The search ends after so many exchanges in vain, those that promise most. With 0 and 10 the
        mean ARI of the initial partition was .79, .81 on pendigits (five seeds), the worst .84, .91
        on MNIST (six), the mean .70, .72 on 2,000 rows of USPS (five), .45, .42 on worm neurons
        (ten): what is most informative is not always what the classes are. 30 gave no more.

    Returns
    -------
    ndarray of shape (n_subclusters,)
    """
    n_clusters = int(clusters.max()) + 1

    def information(clusters: NDArray[np.intp]) -> float:
        return mutual_information(_between(joint, clusters, n_clusters))

    best = information(clusters)
    while True:
        for exchanged in _exchanges(joint, clusters, n_clusters, n_trials):
            trial = reassigned_subclusters(joint, exchanged)
            found = information(trial)
            if found > best + _TINY:
                clusters, best = trial, found
                break
        else:
            return clusters


def _exchanges(
    joint: NDArray[np.float64], clusters: NDArray[np.intp], n_clusters: int, n_exchanges: int
) -> Iterator[NDArray[np.intp]]:
    """Yield clusters of which one is split and two others are merged, the best first."""
    splits, gains = [], np.full(n_clusters, -np.inf)
    for cluster in range(n_clusters):
        own = np.flatnonzero(clusters == cluster)
        split = clusters.copy()
        if len(own) > 1:
            halves = _merged_into(joint[np.ix_(own, own)], 2)
            split[own[halves == 1]] = n_clusters
            both = _between(joint, split, n_clusters + 1)[[cluster, n_clusters]]
            gains[cluster] = _merge_losses(both)[0, 1]
        splits.append(split)
    kept, gone = np.triu_indices(n_clusters, 1)
    losses = _merge_losses(_between(joint, clusters, n_clusters))[kept, gone]
    change = gains[:, None] - losses  # (n_clusters, n_pairs)
    pairs = np.arange(len(kept))
    change[kept, pairs] = change[gone, pairs] = -np.inf
    for number in change.argsort(None)[::-1][:n_exchanges]:
        cluster, pair = np.unravel_index(number, change.shape)
        if np.isfinite(change[cluster, pair]):
            exchanged = splits[cluster].copy()
            exchanged[exchanged == gone[pair]] = kept[pair]
            exchanged[exchanged == n_clusters] = gone[pair]
            yield exchanged


def _between(
    joint: NDArray[np.float64], clusters: NDArray[np.intp], n_clusters: int
) -> NDArray[np.float64]:
    """Return the joint distribution of the clusters of subclusters, (n_clusters, n_clusters)."""
    members = np.eye(n_clusters)[clusters]
    between: NDArray[np.float64] = members.T @ joint @ members
    return between


def _information_gains(
    between: NDArray[np.float64], edges: NDArray[np.float64], within: float
) -> NDArray[np.float64]:
    """Return what information each cluster would bring about if a subcluster joined it, (K,).

    It is up to a constant. Given are the edges between clusters (K, K), those from the subcluster
    to each of them (K,), and those within the subcluster.
    """
    to_others = entr(between + edges) - entr(between)
    in_own = entr(between.diagonal() + 2 * edges + within) - entr(between.diagonal())
    # its edges to a cluster count for that cluster wherever it is
    sizes = between.sum(1) + edges
    of_sizes = entr(sizes + edges.sum() + within) - entr(sizes)
    losses = 2 * (to_others.sum(1) - to_others.diagonal()) + in_own
    gains: NDArray[np.float64] = 2 * of_sizes - losses
    return gains


def _information_losses(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what merging each two rows (K, n_columns) loses, but for their entropy, (K, K)."""
    # of one end of an edge; the other end's clusters are left as they are
    loss: NDArray[np.float64] = _entropy_changes(joint[:, None], joint).sum(-1)
    return loss


def _merge_losses(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what information merging each two rows (K, n_columns) loses, (K, K)."""
    losses: NDArray[np.float64] = _information_losses(joint) - _size_changes(joint)
    return losses


def _size_changes(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    size = joint.sum(1)
    return _entropy_changes(size, size[:, None])


def _entropy_changes(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    changes: NDArray[np.float64] = entr(one + other) - entr(one) - entr(other)
    return changes


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
    degree = np.maximum(graph.sum(1), _TINY)
    coupled = diags_array((policy.coupling / degree).astype(np.float32)) @ graph
    probabilities = np.eye(n_clusters, dtype=np.float32)[labels]
    for _ in range(policy.n_sweeps):
        size = np.log(probabilities.mean(0) * n_clusters + policy.min_size)
        scores = torch.from_numpy(coupled @ probabilities - policy.balance * size)
        # over the first axis, over which torch has it eight times as fast
        probabilities = scores.T.contiguous().softmax(0).T.contiguous().numpy()
    return probabilities.argmax(1)


def divided(
    graph: csr_array,
    n_clusters: int,
    cut: Callable[[csr_array, int], NDArray[np.intp]],
    *,
    max_clusters: int = OVERCLUSTERING.max_subclusters,
) -> NDArray[np.intp]:
    """Cut the graph into any number of clusters: if many, into parts, and each into its clusters.

    A part has clusters in proportion to its rows. There are about as many parts as clusters in
    each, so that the time grows in proportion to the number of clusters at the most.

    Parameters
    ----------
    graph : csr_array of shape (n_rows, n_rows)
    n_clusters : int
        At most `n_rows`.
    cut : callable
        Cuts a graph into a number of clusters, `max_clusters` at the most, some of them empty.
    max_clusters : int

    Returns
    -------
    ndarray of shape (n_rows,)
    """
    n_rows = graph.shape[0]
    if n_clusters in (1, n_rows):
        return np.arange(n_rows) % n_clusters
    if n_clusters <= max_clusters:
        return cut(graph, n_clusters)
    n_parts = math.ceil(n_clusters**0.5)
    part = divided(graph, n_parts, cut, max_clusters=max_clusters)
    part = np.unique(part, return_inverse=True)[1]
    sizes = np.bincount(part)
    shares = np.ones(len(sizes), int)
    for _ in range(n_clusters - len(sizes)):  # to the part whose clusters are the largest
        shares[np.where(shares < sizes, sizes / shares, 0).argmax()] += 1
    labels = np.empty(n_rows, np.intp)
    for number, share in enumerate(shares):
        rows = np.flatnonzero(part == number)
        within = divided(graph[rows][:, rows], share, cut, max_clusters=max_clusters)
        labels[rows] = shares[:number].sum() + within
    return labels
