"""What a partition is worth: typical cuts of the graph, relative cuts of the clusters."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.stats import entropy
from sklearn.datasets import make_blobs, make_moons

from helpers import neighbors_of
from skgmvae._start.criterion import (
    CRITERION,
    JudgedGraph,
    judged_graphs,
    partition_score,
    stand_apart,
    typical_cuts,
)
from skgmvae._start.graph import LEAST_AFFINITY, neighbor_graph

ONE_ORDER = CRITERION._replace(n_orders=1)
ONLY_SEPARATION = CRITERION._replace(evenness=0.0, compactness=0.0)


def judge_of(X, n_clusters):
    """Return a function that says what labels of the rows are worth."""
    X = np.asarray(X, np.float32)
    judged = judged_graphs(neighbors_of(X), np.random.RandomState(0))

    def judge(labels, criterion=CRITERION):
        return partition_score(np.asarray(labels), judged, X, n_clusters, criterion=criterion)

    return judge


def random_graph(random, n_rows, density=0.3):
    """Return a symmetric graph, in which some rows may have no edge, as a dense array."""
    dense = np.triu(random.random((n_rows, n_rows)) < density, 1) * random.integers(1, 4, n_rows)
    return (dense + dense.T).astype(np.float32)


@given(st.integers(0, 1000), st.integers(1, 9))
def test_the_typical_cut_of_one_order_by_an_oracle(seed, n_rows):
    dense = random_graph(np.random.default_rng(seed), n_rows)
    draws = np.random.RandomState(seed)
    (found,) = typical_cuts([csr_array(dense)], draws, criterion=ONE_ORDER)

    draws = np.random.RandomState(seed)
    order = [draws.permutation(n_rows)[0]]
    for row in order:  # grows on the way
        order += [other for other in np.flatnonzero(dense[row]) if other not in order]
    rest = [row for row in range(n_rows) if row not in order]
    order += list(draws.permutation(rest))
    expected = [dense[np.ix_(order[:m], order[m:])].sum() for m in range(n_rows + 1)]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@given(st.integers(0, 1000))
def test_the_typical_cut_is_a_median_and_nothing_is_cut_off_at_either_end(seed):
    graph = csr_array(random_graph(np.random.default_rng(seed), 8))
    (found,) = typical_cuts([graph], np.random.RandomState(seed))
    assert found.shape == (9,)
    assert (found >= 0).all()
    assert found[0] == found[-1] == 0
    assert found.max() <= graph.sum() / 2 + 1e-6


@given(st.integers(0, 1000))
def test_graphs_of_the_same_edges_are_cut_in_the_same_orders(seed):
    dense = random_graph(np.random.default_rng(seed), 9)
    together = typical_cuts(
        [csr_array(dense), csr_array(2 * dense)], np.random.RandomState(seed)
    )
    (alone,) = typical_cuts([csr_array(dense)], np.random.RandomState(seed))
    np.testing.assert_allclose(together, [alone, 2 * alone])


def test_edges_are_weighted_by_the_local_scale_by_an_oracle():
    X = np.random.default_rng(0).standard_normal((40, 2)).astype(np.float32)
    X[20:] = 50 * X[20:] + 1000
    found = neighbors_of(X)
    plain, local = (
        judged.edges.toarray() for judged in judged_graphs(found, np.random.RandomState(0))
    )
    np.testing.assert_array_equal(plain, neighbor_graph(found).toarray())
    between = np.linalg.norm(X[:, None] - X, axis=2)
    scale = np.sort(between, 1)[:, 3]
    expected = plain * np.maximum(np.exp(-(between**2) / np.outer(scale, scale)), LEAST_AFFINITY)
    np.testing.assert_allclose(local, expected, rtol=1e-3, atol=2e-6)


@settings(max_examples=30)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_worth_by_an_oracle(seed, n_clusters):
    random = np.random.default_rng(seed)
    values = random.standard_normal((14, 3)).astype(np.float32)
    labels = random.integers(0, n_clusters, 14)
    graphs = [
        JudgedGraph(csr_array(random_graph(random, 14)).tocoo(), random.uniform(1, 9, 15))
        for _ in range(3)
    ]
    found = [cluster for cluster in range(n_clusters) if (labels == cluster).any()]

    def separation(graph):
        dense = graph.edges.toarray()
        relative = [
            dense[labels == cluster][:, labels != cluster].sum()
            / graph.typical[(labels == cluster).sum()] for cluster in found
        ]
        return np.mean([-np.log(cut + CRITERION.separated) for cut in relative])

    separated = np.mean([separation(graph) for graph in graphs])
    within = sum(
        ((values[labels == cluster] - values[labels == cluster].mean(0)) ** 2).sum()
        for cluster in found
    ) / ((values - values.mean(0)) ** 2).sum()
    evenness = entropy(np.bincount(labels)) / np.log(n_clusters)
    expected = separated + 0.75 * evenness - 0.25 * np.log(within)
    assert partition_score(labels, graphs, values, n_clusters) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("distance", "apart"), [(12.0, True), (2.5, False)])
def test_clusters_stand_apart_where_there_are_gaps(distance, apart):
    X, y = blobs([200, 150], distance)
    judged = judged_graphs(neighbors_of(X), np.random.RandomState(0))
    assert stand_apart(y, judged, 2) is apart
    # nor do they if all that is cut is cut in vain
    assert not stand_apart(y, judged, 2, criterion=CRITERION._replace(max_relative_cut=-0.001))


def blobs(sizes, distance=12.0, n_features=2, seed=0):
    centers = distance * np.eye(max(len(sizes), n_features))[: len(sizes), :n_features]
    centers[n_features:] = -distance
    return make_blobs(sizes, n_features, centers=centers, random_state=seed)


def test_the_relative_cut_is_none_for_what_stands_apart_and_about_1_for_half_a_blob():
    X, y = blobs([200, 150])
    separated = -np.log(CRITERION.separated)
    assert judge_of(X, 2)(y, ONLY_SEPARATION) == pytest.approx(separated)
    one = X[y == 0]
    half = (one[:, 0] > np.median(one[:, 0])).astype(int)
    assert judge_of(one, 2)(half, ONLY_SEPARATION) == pytest.approx(0, abs=0.7)


def speck(X, y, n_rows=8):
    """Label the rows that are farthest from the mean a cluster of their own, and merge two."""
    labels = np.minimum(y, y.max() - 1)
    far = np.argsort(-np.linalg.norm(X - X.mean(0), axis=1))[:n_rows]
    labels[far] = y.max()
    return labels


SHAPES = {
    "even": blobs([150, 150, 150]),
    "uneven": blobs([300, 120, 40]),
    "5 features": blobs([200, 150, 60], n_features=5),
    "near": blobs([200, 200, 100], distance=6.0),  # nearer ones are told by mixtures
}


@pytest.mark.parametrize(("X", "y"), SHAPES.values(), ids=SHAPES)
def test_the_true_partition_is_worth_most(X, y):
    judge = judge_of(X, 3)
    merged = np.minimum(y, 1)
    half = np.where((y == 0) & (X[:, 0] > np.median(X[y == 0, 0])), 2, merged)
    assert judge(y) > judge(half)  # two are merged, and one is cut in half
    assert judge(y) > judge(merged)
    assert judge(y) > judge(speck(X, y))
    for a, b in combinations(range(3), 2):
        assert judge(y) > judge(np.where(y == a, b, y))


def test_moons_are_worth_more_than_a_straight_cut():
    X, y = make_moons(400, noise=0.06, random_state=0)
    judge = judge_of(X, 2)
    assert judge(y) > judge((X[:, 0] > 0.5).astype(int))
    assert judge(y) > judge((X[:, 1] < 0.25).astype(int))


@given(st.integers(0, 1000), st.integers(2, 5))
def test_names_of_clusters_do_not_matter(seed, n_clusters):
    random = np.random.default_rng(seed)
    X = random.standard_normal((40, 2))
    judge, labels = judge_of(X, n_clusters), random.integers(0, n_clusters, 40)
    renamed = random.permutation(n_clusters)[labels]
    assert judge(renamed) == pytest.approx(judge(labels), rel=1e-5)


@given(st.integers(0, 1000), st.integers(2, 4))
def test_the_order_of_the_rows_does_not_matter(seed, n_clusters):
    random = np.random.default_rng(seed)
    dense, order = random_graph(random, 12), random.permutation(12)
    X = random.standard_normal((12, 2)).astype(np.float32)
    labels = random.integers(0, n_clusters, 12)
    typical = random.uniform(1, 9, 13)

    def judge(index):
        judged = JudgedGraph(csr_array(dense[np.ix_(index, index)]).tocoo(), typical)
        return partition_score(labels[index], [judged], X[index], n_clusters)

    assert judge(order) == pytest.approx(judge(np.arange(12)), rel=1e-5)


def test_all_graphs_count_alike():
    X, y = blobs([60, 60])
    good = judged_graphs(neighbors_of(X), np.random.RandomState(0))
    other = np.random.default_rng(0).standard_normal((120, 2))
    bad = judged_graphs(neighbors_of(other), np.random.RandomState(0))
    X = X.astype(np.float32)
    high, low = partition_score(y, good, X, 2), partition_score(y, bad, X, 2)
    assert high > low
    assert partition_score(y, good + bad, X, 2) == pytest.approx((high + low) / 2)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_partition_with_an_empty_cluster_can_be_judged(empty):
    X, y = blobs([80, 80])
    judge = judge_of(X, 3)
    names = [name for name in range(3) if name != empty]
    assert judge(np.array(names)[y]) == pytest.approx(judge(y))
    assert np.isfinite(judge(np.full(160, empty)))


@pytest.mark.parametrize("seed", range(20))
def test_where_an_order_has_reached_all_of_a_component_it_says_nothing(seed):
    # of three clusters of one size, one stands apart; where most orders began there, the typical
    # cut of as many rows was none, by which the cuts of the other two were divided
    n_rows = 60
    labels = np.repeat([0, 1, 2], n_rows)
    dense = (labels[:, None] == labels) & (abs(np.subtract.outer(*2 * [np.arange(180)])) < 9)
    dense[n_rows - 3 : n_rows, n_rows : n_rows + 3] = True
    dense = (dense | dense.T).astype(np.float32)
    (found,) = typical_cuts([csr_array(dense)], np.random.RandomState(seed))
    assert found[n_rows] >= 9


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e9])
def test_distances_of_any_size_can_be_judged(scale):
    X = np.random.default_rng(0).standard_normal((30, 2))
    X = scale * np.vstack([X, X[:3] + 1e-6, 1e6 + X[:4]])
    assert np.isfinite(judge_of(X, 2)(np.arange(37) % 2))
