"""Neighbours are the nearest rows; the radius and the partition follow from them."""

from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from skgmvae import neighbours
from skgmvae.data import DataSpace, Rows
from skgmvae.neighbours import edge_information, find_neighbours, merge, partition, radius


def rows_of(X, likelihood="gaussian", image_shape=None):
    return Rows(X, DataSpace.fit(X, likelihood, image_shape), torch.device("cpu"))


def plain(X):
    """Rows that the model sees as they are."""
    space = DataSpace(np.zeros(X.shape[1]), np.ones(X.shape[1]), None, False)
    return Rows(X, space, torch.device("cpu"))


def radius_of(rows, seed=0):
    return radius(rows, find_neighbours(rows, seed))


def parted(X, n_clusters, seed=0):
    return partition(find_neighbours(rows_of(X), seed), n_clusters, seed)


def distances(X):
    between = np.sqrt(((X[:, None] - X) ** 2).sum(-1))
    np.fill_diagonal(between, np.inf)
    return between


@pytest.mark.parametrize(("n_rows", "n_features"), [(2, 2), (5, 30), (11, 2), (60, 30), (70, 60)])
def test_the_radius_is_a_share_of_the_distance_to_the_10th_neighbour(n_rows, n_features):
    X = np.random.default_rng(n_rows).standard_normal((n_rows, n_features))
    found = radius_of(plain(X))
    expected = 0.175 * np.sort(distances(X), 1)[:, min(10, n_rows - 1) - 1]
    assert found.dtype == np.float32
    # of 60 features the 50 first components leave something out
    np.testing.assert_allclose(found, expected, rtol=1e-4 if n_features <= 50 else 0.1)


def test_neighbours_are_the_nearest_rows_and_never_the_row_itself():
    X = np.random.default_rng(0).standard_normal((40, 3))
    references, nearest = find_neighbours(plain(X), 0)
    np.testing.assert_array_equal(references, np.arange(40))
    np.testing.assert_array_equal(nearest, np.argsort(distances(X), 1)[:, :10])


def test_a_row_among_its_duplicates_is_not_its_own_neighbour():
    X = np.repeat(np.random.default_rng(0).standard_normal((3, 2)), 20, axis=0)
    found = find_neighbours(plain(X), 0)
    assert found.nearest.shape == (60, 10)
    assert (found.nearest != np.arange(60)[:, None]).mean() > 0.9
    np.testing.assert_allclose(radius(plain(X), found), 0, atol=1e-6)


def test_some_duplicates_have_the_radius_of_a_typical_row():
    X = np.random.default_rng(0).standard_normal((60, 2))
    X[:12] = X[0]
    found = radius_of(plain(X))
    np.testing.assert_allclose(found[:12], np.median(found[12:]))


def test_the_radius_of_images_is_in_the_models_units():
    X = np.random.default_rng(0).integers(0, 256, (30, 12), dtype=np.uint8)
    expected = 0.175 * np.sort(distances(X / 255.0), 1)[:, 9]
    np.testing.assert_allclose(
        radius_of(rows_of(X, "bernoulli", (2, 2, 3))), expected, rtol=1e-4
    )


def test_from_a_subset_the_radius_is_that_of_all_rows_on_the_average(monkeypatch):
    X = np.random.default_rng(0).standard_normal((400, 2))
    exact = radius_of(plain(X))
    monkeypatch.setattr(neighbours, "MAX_REFERENCES", 200)
    sampled = radius_of(plain(X))
    assert sampled.shape == (400,)
    assert np.median(sampled / exact) == pytest.approx(1, abs=0.15)
    assert np.corrcoef(sampled, exact)[0, 1] > 0.8
    assert not np.array_equal(sampled, radius_of(plain(X), 1))
    np.testing.assert_array_equal(sampled, radius_of(plain(X)))


@pytest.mark.parametrize("most", [60_000, 150])
def test_separate_blobs_are_parted(most, monkeypatch):
    monkeypatch.setattr(neighbours, "MAX_REFERENCES", most)
    X, y = make_blobs(300, 3, centers=5, cluster_std=0.5, random_state=0)
    assert adjusted_rand_score(y, parted(X, 5)) == 1.0


def test_clusters_need_not_be_round():
    X, y = make_moons(400, noise=0.05, random_state=0)
    assert adjusted_rand_score(y, parted(X, 2)) == 1.0


@pytest.mark.parametrize("n_features", [2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_stand_apart_may_be_uneven(n_features, seed):
    X, y = make_blobs([500, 250, 100, 50], n_features, cluster_std=0.5, random_state=4)
    assert adjusted_rand_score(y, parted(X, 4, seed)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_stand_apart_may_be_fewer_than_asked_for(seed):
    X, y = make_blobs(600, 5, centers=4, random_state=3)
    assert adjusted_rand_score(y, parted(X, 8, seed)) == 1.0


@pytest.mark.parametrize("load", [
    partial(load_iris, return_X_y=True), partial(make_blobs, 50, random_state=1),
], ids=["iris", "blobs"])
def test_clusters_that_touch_are_not_merged_whatever_the_seed(load):
    # by the parts of one division alone, a seed in ten gave two clusters
    X, _ = load()
    found = [len(np.unique(parted(X, 3, seed))) for seed in range(20)]
    assert found == [3] * 20


def test_a_few_near_duplicates_are_no_cluster():
    random = np.random.default_rng(0)
    X = np.vstack([random.standard_normal((500, 4)), 50 + 1e-3 * random.standard_normal((12, 4))])
    assert np.bincount(parted(X, 4)).max() < 0.5 * len(X)


def test_rows_without_clusters_are_parted_into_as_many_as_asked_for():
    X = np.random.default_rng(0).standard_normal((500, 10))
    assert len(np.unique(parted(X, 4))) == 4


def test_many_rows_take_the_iterative_eigenvectors(monkeypatch):
    X = make_blobs(400, 3, centers=5, cluster_std=1.0, random_state=0)[0]
    dense = parted(X, 5)
    monkeypatch.setattr(neighbours, "DENSE_ROWS", 100)
    assert adjusted_rand_score(dense, parted(X, 5)) > 0.95


@pytest.mark.parametrize(("load", "least"), [(load_wine, 0.8), (load_breast_cancer, 0.7)])
def test_real_tables_are_parted_well_whatever_the_seed(load, least):
    X, y = load(return_X_y=True)
    for seed in range(3):
        assert adjusted_rand_score(y, parted(X, len(set(y)), seed)) > least


@pytest.mark.parametrize(("n_rows", "n_clusters"), [(2, 2), (3, 3), (12, 12), (5, 1), (30, 25)])
def test_few_rows_for_many_clusters_are_parted_all_the_same(n_rows, n_clusters):
    X = np.random.default_rng(0).standard_normal((n_rows, 2))
    labels = parted(X, n_clusters)
    assert labels.shape == (n_rows,)
    assert 0 <= labels.min() <= labels.max() < n_clusters


def test_hundreds_of_clusters_are_not_merged(monkeypatch):
    sizes = []
    real = neighbours.merge

    def spy(joint, *args, **kwargs):
        clusters = real(joint, *args, **kwargs)
        sizes.append((len(joint), max(clusters) + 1))
        return clusters

    monkeypatch.setattr(neighbours, "merge", spy)
    X = np.random.default_rng(0).standard_normal((400, 3))
    assert len(np.unique(parted(X, 150))) > 100
    assert set(sizes) == {(150, 150)}  # nothing to do, whose cost is a cube


def test_constant_rows_are_parted_somehow():
    assert parted(np.ones((30, 4)), 3).shape == (30,)


def test_a_seed_fixes_the_partition(untouched_global_state):
    X = np.random.default_rng(0).standard_normal((80, 4))
    np.testing.assert_array_equal(parted(X, 4, 1), parted(X, 4, 1))


@given(st.integers(0, 1000), st.integers(2, 5))
def test_edge_information_is_the_mutual_information_of_the_ends(seed, n_clusters):
    random = np.random.default_rng(seed)
    dense = np.triu(random.random((12, 12)) < 0.4, 1)
    dense[0, 1] = True
    graph = csr_array((dense | dense.T).astype(np.float32))
    labels = random.integers(0, n_clusters, 12)
    ends = np.argwhere(dense | dense.T)
    expected = mutual_info_score(labels[ends[:, 0]], labels[ends[:, 1]])
    assert edge_information(graph, labels, n_clusters) == pytest.approx(expected, abs=1e-9)


def information(joint):
    return (joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0)))).sum()


@given(st.integers(0, 1000), st.integers(3, 7))
def test_the_two_parts_are_merged_that_tell_least_of_a_neighbour_apart(seed, n_parts):
    random = np.random.default_rng(seed)
    joint = random.random((n_parts, n_parts)) ** 3
    joint = (joint + joint.T) / (joint + joint.T).sum()
    kept = {}
    for a, b in combinations(range(n_parts), 2):
        rows = np.delete(joint, b, 0)
        rows[a] = joint[a] + joint[b]
        kept[a, b] = information(rows)
    a, b = max(kept, key=kept.get)
    clusters = merge(joint, n_parts - 1)
    assert clusters[a] == clusters[b]
    assert sorted(set(clusters)) == list(range(n_parts - 1))


def test_parts_of_a_cluster_are_merged_again():
    truth = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    joint = np.where(truth[:, None] == truth, 1.0, 0.02)
    clusters = merge(joint / joint.sum(), 3)
    assert adjusted_rand_score(truth, clusters) == 1.0


def blocks(sizes, leak):
    """Edges between parts of so many rows, two to a cluster, which are cut in half."""
    joint = np.kron(np.diag(sizes), [[0.9, 0.1], [0.1, 0.9]]) + leak
    return joint / joint.sum()


def test_a_price_of_entropy_keeps_small_clusters_that_stand_apart():
    joint = blocks([100, 10, 1], leak=1e-4)
    assert adjusted_rand_score([0, 0, 1, 1, 2, 2], merge(joint, 3, 0.8)) == 1.0
    assert adjusted_rand_score([0, 0, 1, 1, 2, 2], merge(joint, 3)) < 1.0


def test_merging_goes_on_below_n_clusters_only_while_it_gains():
    joint = blocks([1, 1, 1], leak=1e-4)
    assert adjusted_rand_score([0, 0, 1, 1, 2, 2], merge(joint, 5, 0.6, fewest=1)) == 1.0
    assert max(merge(joint, 5, 0.6)) + 1 == 5
    assert max(merge(joint, 5, 0.3, fewest=1)) + 1 == 5


def test_nothing_is_merged_that_need_not_be():
    np.testing.assert_array_equal(merge(np.eye(4) / 4, 4), range(4))
