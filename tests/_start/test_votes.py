"""Probabilities of rows from the labels of some: shares among neighbors, and means of copies."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs, make_moons

from skgmvae._rows import Rows
from skgmvae._start.neighbors import NEIGHBOR_SEARCH, find_neighbors
from skgmvae._start.votes import means_of_identical, neighbor_votes


def test_probabilities_are_shares_among_neighbors_by_an_oracle():
    X, _ = make_moons(150, noise=0.2, random_state=0)
    rows = Rows.of_array(X.astype(np.float32), torch.device("cpu"))
    found = find_neighbors(rows, 0, search=NEIGHBOR_SEARCH._replace(max_references=90))
    labels = np.random.default_rng(0).integers(0, 3, 90)
    votes = neighbor_votes(found, labels, 3).toarray()
    for row, nearest in enumerate(found.nearest):
        counts = np.bincount(labels[nearest], minlength=3)
        expected = counts + np.eye(3)[counts.argmax()]
        np.testing.assert_allclose(votes[row], expected / 11, rtol=1e-5)


@pytest.mark.parametrize("n_rows", [1, 2, 5])
def test_a_small_cluster_is_not_lost_among_its_neighbors(n_rows):
    # rows of a cluster of five had six of their ten neighbors elsewhere
    random = np.random.default_rng(0)
    X = np.vstack([random.standard_normal((100, 2)), 20 + random.standard_normal((n_rows, 2))])
    y = np.repeat([0, 1], [100, n_rows])
    found = find_neighbors(Rows.of_array(X.astype(np.float32), torch.device("cpu")), 0)
    np.testing.assert_array_equal(neighbor_votes(found, y, 2).toarray().argmax(1), y)


def test_of_many_clusters_only_votes_are_held():
    X, y = make_blobs(3000, 2, centers=300, cluster_std=1.0, random_state=0)
    found = find_neighbors(Rows.of_array(X.astype(np.float32), torch.device("cpu")), 0)
    votes = neighbor_votes(found, y, 300)
    assert votes.nnz < 11 * 3000
    np.testing.assert_allclose(votes.sum(1), 1, rtol=1e-6)
    means = means_of_identical(votes, np.arange(3000) // 2)
    expected = votes.toarray().reshape(1500, 2, 300).mean(1).repeat(2, axis=0)
    np.testing.assert_allclose(means.toarray(), expected, rtol=1e-6)
    assert means.dtype == np.float32
