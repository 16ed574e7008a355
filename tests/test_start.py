"""A fit starts from the graph's clusters, or from those of k-means if more features tell them."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score

from skgmvae import neighbours
from skgmvae import start as module
from skgmvae.data import DataSpace, Rows
from skgmvae.neighbours import find_neighbours, neighbours_among
from skgmvae.partition import partition
from skgmvae.start import find_start


def starts(X, n_clusters, seed=0):
    """Return the partition of the graph, and the start."""
    rows = Rows(X, DataSpace.fit(X, "gaussian", None), torch.device("cpu"))
    found = find_neighbours(rows, seed)
    return partition(found, n_clusters, seed), find_start(rows, found, n_clusters, seed)


def told_by_all(n_rows, n_features, random):
    """Two clusters that every feature tells a little, beside one feature of two values."""
    y = random.integers(2, size=n_rows)
    X = random.standard_normal((n_rows, n_features)) + 1.3 * y[:, None]
    yes = random.integers(2, size=n_rows)
    return np.column_stack([X, yes]), y, yes


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_all_features_tell_come_before_those_of_one_feature(seed):
    X, y, yes = told_by_all(600, 40, np.random.default_rng(seed))
    graph, start = starts(X, 2, seed)
    assert adjusted_rand_score(yes, graph) == 1.0
    assert adjusted_rand_score(y, start) > 0.9


@pytest.mark.parametrize(("n_features", "tried"), [
    (7, False), (8, True), (500, True), (501, False),
])
def test_k_means_is_tried_from_8_to_500_features(n_features, tried, monkeypatch):
    calls = []

    def spy(points, seed):
        calls.append(points.shape)
        return neighbours_among(points, seed)

    monkeypatch.setattr(module, "neighbours_among", spy)
    starts(np.random.default_rng(0).standard_normal((40, n_features)), 2)
    assert calls == 16 * [(40, n_features // 2)] * tried


@pytest.mark.parametrize("most", [60_000, 250])
def test_rows_that_are_no_references_have_a_start_too(most, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_REFERENCES", most)
    X, y, _ = told_by_all(600, 40, np.random.default_rng(0))
    assert adjusted_rand_score(y, starts(X, 2)[1]) > 0.9


def test_clusters_of_any_shape_that_stand_apart_are_not_cut():
    moons, y = make_moons(400, noise=0.05, random_state=0)
    X = np.repeat(moons, 5, axis=1) + 0.01 * np.random.default_rng(0).standard_normal((400, 10))
    graph, start = starts(X, 2)
    assert adjusted_rand_score(y, start) == 1.0
    np.testing.assert_array_equal(start, graph)


@pytest.mark.parametrize(("X", "n_clusters"), [
    (make_blobs(200, 4, centers=4, random_state=0)[0], 3),  # few features
    (load_digits().data[:500], 10),  # which k-means mixes up
    (np.repeat(np.eye(9), 10, axis=0), 30),  # fewer distinct rows than clusters
    (np.ones((20, 9)), 3),
    (np.random.default_rng(0).standard_normal((4, 9)), 4),
], ids=["few features", "digits", "copies", "constant", "four rows"])
def test_else_the_start_is_the_partition_of_the_graph(X, n_clusters, recwarn):
    graph, start = starts(X, n_clusters)
    np.testing.assert_array_equal(start, graph)
    assert not recwarn.list


def test_a_seed_fixes_the_start(untouched_global_state):
    X, _, _ = told_by_all(100, 40, np.random.default_rng(0))
    np.testing.assert_array_equal(starts(X, 3, 1)[1], starts(X, 3, 1)[1])
