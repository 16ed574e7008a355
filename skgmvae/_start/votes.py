"""Labels of some rows, and what follows from them for others: votes of neighbors, and copies."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.utils import gen_batches

from .._rows import BLOCK_ROWS
from .neighbors import Neighbors

__all__ = ["certain", "labels_of_all", "means_of_identical", "neighbor_votes", "of_each_row"]

_Values = TypeVar("_Values", NDArray[Any], csr_array)


def certain(labels: NDArray[np.intp], n_clusters: int) -> csr_array:
    """Return the probabilities of rows that are in these clusters for sure, (n_rows, n_clusters).

    Examples
    --------
    >>> certain(np.array([1, 0]), 3).toarray()
    array([[0., 1., 0.],
           [1., 0., 0.]], dtype=float32)
    """
    ones, every = np.ones(len(labels), np.float32), np.arange(len(labels) + 1)
    return csr_array((ones, labels, every), shape=(len(labels), n_clusters))


def neighbor_votes(neighbors: Neighbors, labels: NDArray[np.intp], n_clusters: int) -> csr_array:
    """Return the shares of clusters among a row and its neighbors, (n_distinct, n_clusters).

    It has no more neighbors here than others in its cluster, which would be lost if it is small.
    """
    everyone = labels_of_all(neighbors, labels, n_clusters)
    n_others = np.bincount(labels, minlength=n_clusters) - 1

    def of_block(block: slice) -> csr_array:
        own, nearest = everyone[block], neighbors.nearest[block]
        n_asked = np.minimum(n_others[own], nearest.shape[1])
        is_asked = np.arange(nearest.shape[1]) < n_asked[:, None]
        voters = np.arange(len(own)).repeat(n_asked)
        votes = certain(own, n_clusters) + csr_array(
            (np.ones(len(voters), np.float32), (voters, labels[nearest[is_asked]])),
            shape=(len(own), n_clusters),
        )
        votes.data /= (1 + n_asked).astype(np.float32).repeat(np.diff(votes.indptr))
        return votes

    return vstack(
        [of_block(block) for block in gen_batches(len(everyone), BLOCK_ROWS)], format="csr"
    )


def of_each_row(values: _Values, neighbors: Neighbors) -> _Values:
    """Return for each row what there is for each distinct row."""
    all_distinct = len(neighbors.nearest) == len(neighbors.inverse)
    return values if all_distinct else values[neighbors.inverse]


def labels_of_all(
    neighbors: Neighbors, labels: NDArray[np.intp], n_clusters: int
) -> NDArray[np.intp]:
    """Return the labels of all distinct rows: where these are not all references, by vote."""
    nearest = neighbors.nearest
    if len(labels) == len(nearest):
        return labels
    return np.concatenate([
        _most_frequent(labels[nearest[block]], n_clusters)
        for block in gen_batches(len(nearest), BLOCK_ROWS)
    ])


def _most_frequent(labels: NDArray[np.intp], n_clusters: int) -> NDArray[np.intp]:
    """Return the most frequent of the labels (n_rows, n), the first of those as frequent."""
    rows = np.arange(len(labels))
    votes = np.zeros((len(labels), n_clusters), np.int32)
    for column in labels.T:
        votes[rows, column] += 1
    return votes.argmax(1)


def means_of_identical(probabilities: csr_array, inverse: NDArray[np.intp]) -> csr_array:
    """Return the mean over rows that are identical, whose noise differed."""
    rows, counts = np.arange(len(inverse)), np.bincount(inverse)
    total = csr_array((np.ones(len(inverse)), (inverse, rows))) @ probabilities
    total.data /= counts.repeat(np.diff(total.indptr))
    return total.astype(np.float32)[inverse]
