"""The partition follows the neighbour graph: its clusters, their number and their sizes."""

from functools import partial
from itertools import combinations, islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_blobs, make_moons
from sklearn.metrics import adjusted_rand_score, mutual_info_score

from skgmvae import neighbours
from skgmvae import partition as module
from skgmvae.data import DataSpace, Rows
from skgmvae.neighbours import find_neighbours
from skgmvae.partition import edge_information, merges, neighbour_graph, partition, separation


def parted(X, n_clusters, seed=0):
    rows = Rows(X, DataSpace.fit(X, "gaussian", None), torch.device("cpu"))
    return partition(find_neighbours(rows, seed), n_clusters, seed)


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


@pytest.mark.parametrize("seed", [0, 2])
def test_clusters_that_touch_may_be_uneven(seed):
    # the largest was cut in two, and the smallest two were merged
    X, y = make_blobs(5000, 5, centers=5, cluster_std=1.5, random_state=seed)
    sizes = np.array([300, 200, 1000, 450, 670])
    X, y = (np.concatenate([rows[y == label][:n] for label, n in enumerate(sizes)])
            for rows in (X, y))
    assert adjusted_rand_score(y, parted(X, 5, seed)) > 0.97


@pytest.mark.parametrize(("n_rows", "n_features"), [(600, 5), (600, 2), (4000, 2)])
@pytest.mark.parametrize("n_clusters", [8, 16])
def test_clusters_that_stand_apart_are_found_in_the_plane_too(n_rows, n_features, n_clusters):
    # the graph has narrow places anywhere there: a fixed price kept all 8, or all 16
    X, y = make_blobs(n_rows, n_features, centers=4, cluster_std=0.5, random_state=3)
    assert adjusted_rand_score(y, parted(X, n_clusters)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_clusters_that_stand_apart_may_be_fewer_than_asked_for(seed):
    X, y = make_blobs(600, 5, centers=4, random_state=3)
    assert adjusted_rand_score(y, parted(X, 8, seed)) == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_a_boundary_that_rows_cross_is_kept_where_there_are_no_more_clusters(seed):
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(4), 500)
    X = random.standard_normal((2000, 2)) + np.array([[0, 0], [3, 0], [0, 40], [40, 40]])[y]
    assert adjusted_rand_score(y, parted(X, 4)) > 0.8


def test_copies_of_rows_are_not_clusters():
    # with copies for neighbours each point was a part that stood apart, merged at random
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    X = np.round(random.standard_normal((400, 3)) + 4 * y[:, None])
    copied = np.append(np.arange(400), np.repeat(random.choice(200, 20), 15))
    labels = parted(X[copied], 2)
    assert adjusted_rand_score(y[copied], labels) > 0.95
    points = np.unique(X[copied], axis=0, return_inverse=True)[1].ravel()
    assert all(len(set(labels[points == point])) == 1 for point in set(points))


def test_a_neighbour_tells_no_more_than_all_of_the_clusters_whatever_the_copies():
    # the entropy was that of distinct rows, the information that of all: 1.9 times as much
    X, y = make_blobs([300, 40], 3, centers=[[0, 0, 0], [9, 9, 9]], random_state=0)
    X, y = np.concatenate([X, np.repeat(X[y == 1], 6, axis=0)]), np.append(y, np.ones(240, int))
    rows = Rows(X, DataSpace.fit(X, "gaussian", None), torch.device("cpu"))
    found = find_neighbours(rows, 0)
    assert separation(neighbour_graph(found), y[found.first], 2) == pytest.approx(1.0)


def test_clusters_are_no_more_than_distinct_rows():
    labels = parted(np.repeat([[0.0], [1.0], [5.0]], 10, axis=0), 8)
    assert len(np.unique(labels)) <= 3


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
    monkeypatch.setattr(module, "DENSE_ROWS", 100)
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
    real = module.merges

    def spy(joint, *args):
        for clusters, ratio in real(joint, *args):
            sizes.append((len(joint), max(clusters) + 1))
            yield clusters, ratio

    monkeypatch.setattr(module, "merges", spy)
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


def merge(joint, n_clusters, price=0.0):
    clusters, _ = next(islice(merges(joint, price), len(joint) - n_clusters, None))
    return clusters


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


def test_a_merge_across_a_boundary_blurs_less_than_those_within_did():
    ratios = [ratio for _, ratio in merges(blocks([1, 1, 1], leak=1e-4), 0.8)]
    assert len(ratios) == 6
    assert ratios[:4] == [0, 0, 0, 0]  # the halves of the first clusters are whole parts
    assert ratios[4] < 0.01
    uniform = [ratio for _, ratio in merges(np.full((8, 8), 1 / 64), 0.8)]
    np.testing.assert_allclose(uniform[-1], 1)  # nothing tells any two of these apart


def test_nothing_is_merged_that_need_not_be():
    np.testing.assert_array_equal(merge(np.eye(4) / 4, 4), range(4))
