"""The initial partition: its clusters, their number and their sizes; when k-means is taken."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_moons,
)
from sklearn.metrics import adjusted_rand_score

from skgmvae._rows import Rows, Units
from skgmvae._start import selection as module
from skgmvae._start.candidates import graph_candidates, propagate_labels
from skgmvae._start.graph import edge_information, neighbor_graph
from skgmvae._start.neighbors import NEIGHBOR_SEARCH, find_neighbors, find_neighbors_among
from skgmvae._start.selection import (
    FEATURE_HALVES,
    GRAPH_SELECTION,
    graph_labels,
    initial_labels,
)


def rows_of(X):
    X = np.asarray(X, float)
    return Rows.standardized(X, Units.standardizing(X, None), torch.device("cpu"))


def partition(X, n_clusters, seed=0, *, search=NEIGHBOR_SEARCH, **policy):
    """Return the partition of the graph."""
    return graph_labels(
        find_neighbors(rows_of(X), seed, search=search), n_clusters, seed, **policy
    )


def both(X, n_clusters, seed=0, *, search=NEIGHBOR_SEARCH, **policy):
    """Return the partition of the graph, and the initial labels."""
    rows = rows_of(X)
    found = find_neighbors(rows, seed, search=search)
    return graph_labels(found, n_clusters, seed), initial_labels(
        rows, found, n_clusters, seed, **policy
    )


@pytest.mark.parametrize("max_references", [300, 150])
def test_separate_blobs_are_found(max_references):
    X, y = make_blobs(300, 3, centers=5, cluster_std=0.5, random_state=0)
    search = NEIGHBOR_SEARCH._replace(max_references=max_references)
    assert adjusted_rand_score(y, partition(X, 5, search=search)) == 1.0


def test_clusters_need_not_be_round():
    X, y = make_moons(400, noise=0.05, random_state=0)
    assert adjusted_rand_score(y, partition(X, 2)) == 1.0


@pytest.mark.parametrize("n_features", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_separated_clusters_may_be_unbalanced(n_features, seed):
    X, y = make_blobs([500, 250, 100, 50], n_features, cluster_std=0.5, random_state=4)
    assert adjusted_rand_score(y, partition(X, 4, seed)) == 1.0


@pytest.mark.parametrize("seed", [0, 2])
def test_clusters_that_touch_may_be_unbalanced(seed):
    # the largest was cut in two, and the smallest two were merged
    X, y = make_blobs(5000, 5, centers=5, cluster_std=1.5, random_state=seed)
    sizes = np.array([300, 200, 1000, 450, 670])
    X, y = (np.concatenate([rows[y == label][:n] for label, n in enumerate(sizes)])
            for rows in (X, y))
    assert adjusted_rand_score(y, partition(X, 5, seed)) > 0.97


@pytest.mark.parametrize(("n_rows", "n_features"), [(600, 5), (600, 2), (2000, 2)])
@pytest.mark.parametrize("n_clusters", [8, 16])
def test_separated_clusters_are_found_in_the_plane_too(n_rows, n_features, n_clusters):
    # the graph has narrow places anywhere there: a fixed penalty kept all 8, or all 16
    X, y = make_blobs(n_rows, n_features, centers=4, cluster_std=0.5, random_state=3)
    assert adjusted_rand_score(y, partition(X, n_clusters)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_separated_clusters_may_be_fewer_than_asked_for(seed):
    X, y = make_blobs(600, 5, centers=4, random_state=3)
    assert adjusted_rand_score(y, partition(X, 8, seed)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_boundary_that_rows_cross_is_kept_where_there_are_no_more_clusters(seed):
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), 500)
    X = random.standard_normal((2000, 2)) + np.array([[0, 0], [3, 0], [0, 40], [40, 40]])[y]
    assert adjusted_rand_score(y, partition(X, 4)) > 0.8


@pytest.mark.parametrize("policy", [
    {"min_separation": 1.1}, {"max_uncertainty_ratio": -0.1},
])
def test_unbalanced_clusters_are_taken_only_if_they_are_separated_well_enough(policy):
    X, y = make_blobs([1000, 500, 200, 100], 2, cluster_std=0.5, random_state=4)
    assert adjusted_rand_score(y, partition(X, 4)) > 0.99
    strict = GRAPH_SELECTION._replace(**policy)
    assert adjusted_rand_score(y, partition(X, 4, selection=strict)) < 0.95


@pytest.mark.parametrize("n_refined", [1, 16])
def test_else_the_most_informative_labels_are_taken_of_the_candidates_and_their_refinements(
    n_refined
):
    X, _ = make_blobs(200, 2, centers=4, cluster_std=2.0, random_state=0)
    found = find_neighbors(rows_of(X), 0)
    graph = neighbor_graph(found)
    selection = GRAPH_SELECTION._replace(n_refined=n_refined, min_separation=1.1)
    labels = graph_labels(found, 4, 0, selection=selection)

    def information(labels):
        return edge_information(graph, labels, 4)

    candidates = graph_candidates(graph, 4, np.random.RandomState(0)).balanced
    candidates = sorted(candidates, key=information)[-n_refined:]
    refined = [propagate_labels(graph, candidate, 4) for candidate in candidates]
    assert information(labels) == max(map(information, candidates + refined))
    assert information(labels) > max(map(information, candidates))


def test_fewer_clusters_are_taken_only_if_they_are_separated_better():
    X, _ = make_blobs(600, 5, centers=4, random_state=3)
    strict = GRAPH_SELECTION._replace(min_separation_fewer=1.1)
    assert len(np.unique(partition(X, 8, selection=strict))) == 8


def test_copies_of_rows_are_not_clusters():
    # with copies for neighbors each distinct row was a separated cluster, merged at random
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    X = np.round(random.standard_normal((400, 3)) + 4 * y[:, None])
    copied = np.append(np.arange(400), np.repeat(random.choice(200, 20), 15))
    labels = partition(X[copied], 2)
    assert adjusted_rand_score(y[copied], labels) > 0.95
    distinct = np.unique(X[copied], axis=0, return_inverse=True)[1].ravel()
    assert all(len(set(labels[distinct == row])) == 1 for row in set(distinct))


@pytest.mark.parametrize("load", [
    partial(load_iris, return_X_y=True), partial(make_blobs, 50, random_state=1),
], ids=["iris", "blobs"])
def test_clusters_that_touch_are_not_merged_whatever_the_seed(load):
    # by the subclusters of one overclustering alone, a seed in ten gave two clusters
    X, _ = load()
    found = [len(np.unique(partition(X, 3, seed))) for seed in range(10)]
    assert found == [3] * 10


def test_a_few_near_duplicates_are_no_cluster():
    random = np.random.default_rng(0)
    X = np.vstack([random.standard_normal((500, 4)), 50 + 1e-3 * random.standard_normal((12, 4))])
    assert np.bincount(partition(X, 4)).max() < 0.5 * len(X)


def test_rows_without_clusters_are_divided_into_as_many_as_asked_for():
    X = np.random.default_rng(0).standard_normal((500, 10))
    assert len(np.unique(partition(X, 4))) == 4


@pytest.mark.parametrize(("load", "least"), [(load_wine, 0.8), (load_breast_cancer, 0.7)])
def test_real_tables_are_divided_well_whatever_the_seed(load, least):
    X, y = load(return_X_y=True)
    for seed in range(3):
        assert adjusted_rand_score(y, partition(X, len(set(y)), seed)) > least


def shared_by_all(n_rows, n_features, random):
    """Two clusters that every feature shows a little, beside one feature of two values."""
    y = random.integers(2, size=n_rows)
    X = random.standard_normal((n_rows, n_features)) + 1.3 * y[:, None]
    flag = random.integers(2, size=n_rows)
    return np.column_stack([X, flag]), y, flag


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_all_features_share_come_before_those_of_one_feature(seed):
    X, y, flag = shared_by_all(600, 40, np.random.default_rng(seed))
    from_graph, labels = both(X, 2, seed)
    assert adjusted_rand_score(flag, from_graph) == 1.0
    assert adjusted_rand_score(y, labels) > 0.9


def test_k_means_must_be_better_by_a_margin():
    X, _, _ = shared_by_all(600, 40, np.random.default_rng(0))
    from_graph, labels = both(X, 2, halves=FEATURE_HALVES._replace(margin=100.0))
    np.testing.assert_array_equal(labels, from_graph)


@pytest.mark.parametrize(("n_features", "tried"), [(7, False), (8, True), (12, True), (13, False)])
def test_k_means_is_tried_in_halves_of_neither_few_nor_many_features(
    n_features, tried, monkeypatch
):
    shapes = []

    def spy(values, seed):
        shapes.append(values.shape)
        return find_neighbors_among(values, seed)

    monkeypatch.setattr(module, "find_neighbors_among", spy)
    halves = FEATURE_HALVES._replace(min_features=8, max_features=12, n_halves=3, n_rows=30)
    both(np.random.default_rng(0).standard_normal((40, n_features)), 2, halves=halves)
    assert shapes == 3 * [(30, n_features // 2)] * tried


@pytest.mark.parametrize("max_references", [600, 250])
def test_rows_that_are_no_references_have_initial_labels_too(max_references):
    X, y, _ = shared_by_all(600, 40, np.random.default_rng(0))
    search = NEIGHBOR_SEARCH._replace(max_references=max_references)
    assert adjusted_rand_score(y, both(X, 2, search=search)[1]) > 0.9


def test_separated_clusters_of_any_shape_are_not_cut_by_k_means():
    moons, y = make_moons(400, noise=0.05, random_state=0)
    X = np.repeat(moons, 5, axis=1) + 0.01 * np.random.default_rng(0).standard_normal((400, 10))
    from_graph, labels = both(X, 2)
    assert adjusted_rand_score(y, labels) == 1.0
    np.testing.assert_array_equal(labels, from_graph)


def test_digits_that_k_means_mixes_up_are_those_of_the_graph():
    X, y = load_digits(return_X_y=True)
    from_graph, labels = both(X[:500], 10)
    np.testing.assert_array_equal(labels, from_graph)
    assert adjusted_rand_score(y[:500], labels) > 0.8


def test_a_seed_fixes_the_initial_labels_and_nothing_else_does(untouched_global_state):
    X, _, _ = shared_by_all(100, 40, np.random.default_rng(0))
    one, again, other = (both(X, 3, seed)[1] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


normal = np.random.default_rng(0).standard_normal
DEGENERATE = {
    "all rows identical": np.ones((30, 9)),
    "one feature, constant": np.ones((30, 1)),
    "two distinct rows": np.repeat(np.eye(9)[:2], [3, 20], axis=0),
    "three distinct rows": np.repeat([[0.0], [1.0], [5.0]], 10, axis=0),
    "nine distinct rows": np.repeat(np.eye(9), 5, axis=0),
    "counts": np.vstack([np.eye(9)[:5], np.zeros((50, 9)), np.eye(9)[5:]]),
    "one feature": normal((20, 1)),
    "two rows": normal((2, 9)),
    "four rows": normal((4, 9)),
    "more features than rows": normal((15, 70)),
    "constant features": np.column_stack([np.ones((20, 9)), normal((20, 1))]),
    "many constant features": np.column_stack([np.ones((60, 120)), normal((60, 1))]),
    "near duplicates": np.repeat(normal((4, 9)), 6, axis=0) + 1e-7 * normal((24, 9)),
    "far rows": np.concatenate([normal((20, 9)), 1e6 + normal((4, 9))]),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_clusters", [1, 2, 3, 15])
@pytest.mark.parametrize("X", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_tables_have_initial_labels_without_a_warning(X, n_clusters):
    halves = FEATURE_HALVES._replace(n_halves=1)
    # in the model's units, and as they are
    for rows in (rows_of(X), Rows(torch.tensor(X, dtype=torch.float32))):
        found = find_neighbors(rows, 0)
        labels = initial_labels(rows, found, n_clusters, 0, halves=halves)
        assert labels.shape == (len(X),)
        assert labels.dtype == np.intp
        assert 0 <= labels.min() <= labels.max() < n_clusters
        n_distinct = len(found.first)
        assert len(np.unique(labels)) <= min(n_clusters, n_distinct)
        assert len(set(zip(found.inverse, labels, strict=True))) == n_distinct


@pytest.mark.parametrize(("n_rows", "n_clusters"), [(2, 2), (3, 3), (12, 12), (30, 25)])
def test_few_rows_for_many_clusters_are_divided_into_several(n_rows, n_clusters):
    labels = partition(np.random.default_rng(0).standard_normal((n_rows, 2)), n_clusters)
    assert n_clusters / 2 < len(np.unique(labels)) <= n_clusters
    assert 0 <= labels.min() <= labels.max() < n_clusters


@pytest.mark.parametrize("n_references", [1, 2, 5])
def test_more_clusters_than_references_are_not_too_many(n_references):
    # there were less than no merges to make
    X = np.random.default_rng(0).standard_normal((40, 2))
    labels = partition(X, 8, search=NEIGHBOR_SEARCH._replace(max_references=n_references))
    assert labels.shape == (40,)
    assert len(np.unique(labels)) <= n_references


@settings(max_examples=10)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_labels_follow_the_rows_not_their_copies(seed, n_clusters):
    random = np.random.default_rng(seed)
    X = random.integers(0, 4, (25, 2)).astype(float)
    rows = Rows(torch.tensor(X, dtype=torch.float32))
    found = find_neighbors(rows, seed)
    labels = graph_labels(found, n_clusters, seed)
    for row, label in zip(X, labels, strict=True):
        assert (labels[(row == X).all(1)] == label).all()
    assert labels.max() < n_clusters
