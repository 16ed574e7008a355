"""The graph of nearest neighbors: its clusters' mutual information, and its eigenvectors.

Labels are judged by the two ends of an edge that is drawn at random. The joint distribution of
their clusters has entropies and a mutual information, all in nats here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, eigh
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from scipy.special import entr
from scipy.stats import entropy
from sklearn.utils.fixes import parse_version, sp_version

from .neighbors import Neighbors

__all__ = [
    "EIGENSOLVER", "SEPARATION", "Eigensolver", "Separation", "edge_distribution",
    "edge_information", "mutual_information", "neighbor_graph", "separation",
    "spectral_embedding",
]


class Separation(NamedTuple):
    """Which clusters are large enough for their separation to count.

    Attributes
    ----------
    min_share : float
        Least size of a cluster, as a share of ``n_rows / n_clusters``: a few near-duplicates are
        perfectly separated, and no cluster. Chosen by hand; never varied.
    """

    min_share: float = 0.1


SEPARATION = Separation()


class Eigensolver(NamedTuple):
    """How eigenvectors are found.

    Attributes
    ----------
    max_dense_rows : int
        Rows up to which they are exact; the time grows with their cube. Not tuned.
    tol : float
        Relative accuracy of the eigenvalues of more rows. 1e-3 took a fifth less on MNIST, which is
        not enough to risk anything for it.
    """

    max_dense_rows: int = 1000
    tol: float = 1e-5


EIGENSOLVER = Eigensolver()

#: Weight of an edge that is much longer than the scale of its ends, against 1 for a short one.
LEAST_AFFINITY = 1e-6


def neighbor_graph(
    neighbors: Neighbors, affinity: NDArray[np.floating[Any]] | None = None
) -> csr_array:
    """Return the symmetric graph of the references, (n_references, n_references).

    An edge weighs as many rows as equal the row that it starts from, and mutual neighbors have
    two. (Of USPS the worst accuracy of six seeds was .95 so; .81 with each pair counted once.)

    Parameters
    ----------
    neighbors : Neighbors
    affinity : ndarray of shape (n_references, n_neighbors), default=None
        By which the weights are multiplied.
    """
    references = neighbors.references
    n_references, n_neighbors = len(references), neighbors.nearest.shape[1]
    indptr = np.arange(n_references + 1, dtype=np.int32) * n_neighbors
    weights = np.repeat(neighbors.counts[references], n_neighbors).astype(np.float32)
    if affinity is not None:
        # an edge of no weight at all would cut the graph where distances only differ much
        weights *= np.maximum(affinity, LEAST_AFFINITY).ravel()
    directed = csr_array(
        (weights, neighbors.nearest[references].ravel(), indptr), shape=(n_references,) * 2
    )
    return (directed + directed.T).tocsr()


def edge_distribution(
    graph: csr_array | coo_array, labels: NDArray[np.intp], n_clusters: int
) -> NDArray[np.float64]:
    """Return the joint distribution of the clusters at the two ends of an edge, (K, K)."""
    edges = graph.tocoo()
    labels = labels.astype(np.int32)
    pairs = labels[edges.row] * np.int32(n_clusters) + labels[edges.col]
    weights = np.bincount(pairs, edges.data, minlength=n_clusters**2)
    return (weights / max(weights.sum(), LEAST_AFFINITY)).reshape(n_clusters, n_clusters)


def mutual_information(joint: NDArray[np.float64]) -> float:
    """Return the mutual information of a joint distribution (K, K), in nats.

    It is homogeneous: of ``s * joint`` it is s times as much, plus ``entr(s)``.
    """
    return float(-entr(joint).sum() + entr(joint.sum(0)).sum() + entr(joint.sum(1)).sum())


def edge_information(
    graph: csr_array | coo_array, labels: NDArray[np.intp], n_clusters: int
) -> float:
    """Return the mutual information of the clusters at the two ends of an edge, in nats.

    It is high where edges lie within clusters and these are balanced; at most log K.
    """
    return mutual_information(edge_distribution(graph, labels, n_clusters))


def separation(
    graph: csr_array | coo_array,
    labels: NDArray[np.intp],
    n_clusters: int,
    *,
    rule: Separation = SEPARATION,
) -> float:
    """Return how well the clusters are separated: information by entropy, from 0 to 1.

    It is the mutual information of the clusters at the two ends of an edge as a share of the
    entropy of either: 1 if no edge joins two clusters. Unlike the information it does not favor
    balanced clusters. It is 0 if there is only one cluster, or one is tiny; clusters that do not
    occur in the labels do not matter.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if len(counts) == 1 or counts.min() < rule.min_share * len(labels) / n_clusters:
        return 0.0
    joint = edge_distribution(graph, labels, n_clusters)
    return mutual_information(joint) / float(entropy(joint.sum(0)))


def spectral_embedding(
    graph: csr_array,
    n_components: int,
    random: np.random.RandomState,
    *,
    solver: Eigensolver = EIGENSOLVER,
) -> NDArray[Any]:
    """Return the eigenvectors of the normalized adjacency with the largest eigenvalues.

    Parameters
    ----------
    graph : csr_array of shape (n_rows, n_rows)
    n_components : int
    random : RandomState
        Draws the vector that the iterative solver begins with.
    solver : Eigensolver, default=EIGENSOLVER

    Returns
    -------
    ndarray of shape (n_rows, n_components)
        The largest first. Fewer if the iterative solver has not found as many.
    """
    n_rows = graph.shape[0]
    # of a part of a graph some rows may have no edge
    root_degree = np.sqrt(np.maximum(graph.sum(1), LEAST_AFFINITY)).astype(np.float32)
    normalized = diags_array(1 / root_degree) @ graph @ diags_array(1 / root_degree)
    if n_rows <= max(solver.max_dense_rows, n_components + 1):
        return _dense_eigenvectors(normalized.toarray(), n_components)
    # the eigenvalue 1 comes once for each connected component, and Lanczos would find it once
    _, component = connected_components(graph, directed=False)
    largest_first = np.argsort(-np.bincount(component), kind="stable")[:n_components]
    first = (component[:, None] == largest_first) * root_degree[:, None]
    first /= np.linalg.norm(first, axis=0)
    n_others = n_components - first.shape[1]
    if n_others == 0:
        return first
    deflated = LinearOperator(
        normalized.shape, lambda v: normalized @ v - first @ (first.T @ v), dtype=np.float32
    )
    start = random.uniform(size=n_rows).astype(np.float32)
    return np.hstack([first, _lanczos_eigenvectors(deflated, n_others, start, solver.tol)])


def _dense_eigenvectors(matrix: NDArray[Any], n_components: int) -> NDArray[Any]:
    n_rows = len(matrix)
    matrix = matrix.astype(np.float64)  # in single precision LAPACK may find none, or NaN
    try:
        _, vectors = eigh(matrix, subset_by_index=[n_rows - n_components, n_rows - 1])
    except LinAlgError:
        vectors = matrix[:, :0]
    if vectors.shape[1] < n_components:
        # on some processors LAPACK's ?syevr fails where many eigenvalues are equal, or finds fewer
        _, vectors = eigh(matrix, driver="evd")
    return vectors[:, ::-1][:, :n_components]


def _lanczos_eigenvectors(
    operator: LinearOperator, n_components: int, start: NDArray[np.float32], tol: float
) -> NDArray[Any]:
    # Few distinct eigenvalues exhaust the Krylov space: ARPACK then draws a vector to go on with,
    # in SciPy before 1.17 from a state of its own.
    fixed = {"rng": np.random.default_rng(0)} if sp_version >= parse_version("1.17") else {}
    try:
        _, vectors = eigsh(operator, n_components, which="LA", tol=tol, v0=start, **fixed)
    except ArpackError as error:
        # those that have converged will do; some errors have none with them
        vectors = getattr(error, "eigenvectors", np.empty((len(start), 0), np.float32))
    return vectors[:, ::-1]
