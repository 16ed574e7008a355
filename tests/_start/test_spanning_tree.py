"""The tree that spans the rows, and the partitions that cut its longest edges."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.spatial.distance import cdist
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from helpers import neighbors_of
from skgmvae._start.neighbors import in_coordinates
from skgmvae._start.spanning_tree import (
    TREE_CUTS,
    _joints,
    cut_longest,
    spanning_tree,
    tree_cuts,
)


def least_length(X):
    lengths = csr_array(cdist(X, X) + 1e-12)  # of 0 there would be no edge
    return minimum_spanning_tree(lengths).sum()


def parts(edges, n_rows):
    """Return the labels of the connected components."""
    graph = coo_array((np.ones(len(edges)), np.reshape(edges, (-1, 2)).T), shape=(n_rows,) * 2)
    return connected_components(graph, directed=False)[1]


def spans(edges, n_rows):
    return len(edges) == n_rows - 1 and parts(edges, n_rows).max() == 0


@pytest.mark.parametrize("n_features", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_the_tree_is_the_shortest_where_the_graph_is_connected(n_features, seed):
    X = np.random.default_rng(seed).standard_normal((200, n_features)).astype(np.float32)
    edges, lengths = spanning_tree(neighbors_of(X))
    assert spans(edges, 200)
    assert lengths.sum() == pytest.approx(least_length(X), rel=1e-5)
    between = np.linalg.norm(X[edges[:, 0]] - X[edges[:, 1]], axis=1)
    np.testing.assert_allclose(lengths, between, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_groups", [2, 3, 40])
@pytest.mark.parametrize("n_copies", [1, 3])
def test_the_tree_spans_groups_that_are_far_apart(n_groups, n_copies):
    random = np.random.default_rng(0)
    centers = 1000 * random.standard_normal((n_groups, 2))
    X = np.repeat(centers, 15, 0) + 0.1 * random.standard_normal((15 * n_groups, 2))
    X = np.tile(X.astype(np.float32), (n_copies, 1))
    found = neighbors_of(X)
    edges, lengths = spanning_tree(found)
    n_distinct = len(found.first)
    assert spans(edges, n_distinct)
    assert np.isfinite(lengths).all()
    assert lengths.sum() == pytest.approx(least_length(X[found.first]), rel=1e-4)
    groups = np.arange(len(X)) // 15 % n_groups
    labels = cut_longest(edges, lengths, n_groups, 2)
    assert adjusted_rand_score(groups[found.first], labels) == 1.0


@given(st.integers(0, 1000), st.integers(2, 12))
def test_parts_are_joined_by_the_shortest_edges_by_an_oracle(seed, n_parts):
    random = np.random.default_rng(seed)
    points = random.standard_normal((40, 2)).astype(np.float32)
    part = np.append(np.arange(n_parts), (n_parts * random.random(40 - n_parts) ** 3).astype(int))
    between = np.where(part[:, None] == part, np.inf, cdist(points, points))
    first, second, length = _joints(points, part)
    assert len(first) == n_parts - 1
    assert sorted(set(part[first])) == sorted(set(range(n_parts)) - {np.bincount(part).argmax()})
    np.testing.assert_allclose(length, between[first, second], rtol=1e-5)
    for row, shortest in zip(first, length, strict=True):
        assert shortest == pytest.approx(between[part == part[row]].min(), rel=1e-5)


def test_thousands_of_parts_are_joined_in_seconds():
    # neighbors were sought for each part by itself
    centers = np.random.default_rng(0).uniform(0, 1000, (3000, 2))
    X = np.repeat(centers, 2, 0) + 0.01 * np.random.default_rng(1).standard_normal((6000, 2))
    edges, _ = spanning_tree(neighbors_of(X, n_neighbors=1))
    assert spans(edges, 6000)


def test_rows_at_no_distance_from_one_another_are_spanned():
    # an edge of length 0 would be no edge of a sparse graph
    X = np.random.default_rng(0).integers(0, 4, (80, 2)).astype(np.float32)
    distinct = neighbors_of(np.column_stack([X, np.arange(80)]), n_neighbors=3)
    found = in_coordinates(distinct, X)
    assert (found.distances == 0).any()
    edges, lengths = spanning_tree(found)
    assert spans(edges, 80)
    assert lengths.sum() == pytest.approx(least_length(X), abs=1e-5)


@given(st.integers(0, 1000), st.integers(2, 25), st.integers(1, 4))
def test_the_tree_spans_whatever_the_graph_and_is_none_too_long(seed, n_rows, n_neighbors):
    random = np.random.default_rng(seed)
    X = (random.standard_normal((n_rows, 2)) ** 3).astype(np.float32)
    edges, lengths = spanning_tree(neighbors_of(X, n_neighbors=n_neighbors))
    assert spans(edges, n_rows)
    # the shortest of all, unless a shorter edge than those of a bridge joins no neighbors
    least = least_length(X)
    assert lengths.sum() >= least * (1 - 1e-5)
    if n_neighbors >= n_rows - 1:
        assert lengths.sum() == pytest.approx(least, rel=1e-5)


def test_the_tree_spans_the_references():
    X = np.random.default_rng(0).standard_normal((60, 2))
    edges, _ = spanning_tree(neighbors_of(X, max_references=25))
    assert spans(edges, 25)


def random_tree(random, n_rows):
    names = random.permutation(n_rows)
    edges = [(names[row], names[random.integers(row)]) for row in range(1, n_rows)]
    return np.array([edge[:: random.choice([-1, 1])] for edge in edges]).reshape(-1, 2)


def cut_one_by_one(edges, lengths, n_clusters, min_size):
    """Cut the longest edge whose two sides are large enough, by trying all of them."""
    n_rows, kept = len(edges) + 1, list(range(len(edges)))
    for _ in range(n_clusters - 1):
        for edge in sorted(kept, key=lambda e: -lengths[e]):
            labels = parts(edges[[e for e in kept if e != edge]], n_rows)
            if all((labels == labels[end]).sum() >= min_size for end in edges[edge]):
                kept.remove(edge)
                break
    return parts(edges[kept], n_rows)


@given(st.integers(0, 10_000), st.integers(2, 14), st.integers(1, 5), st.integers(1, 4))
def test_the_longest_edges_are_cut_by_an_oracle(seed, n_rows, n_clusters, min_size):
    random = np.random.default_rng(seed)
    edges, lengths = random_tree(random, n_rows), random.permutation(n_rows - 1) + 1.0
    found = cut_longest(edges, lengths, n_clusters, min_size)
    expected = cut_one_by_one(edges, lengths, n_clusters, min_size)
    assert found.shape == (n_rows,)
    assert found.dtype == np.intp
    assert sorted(set(found)) == list(range(found.max() + 1))
    same = [found[a] == found[b] for a, b in combinations(range(n_rows), 2)]
    assert same == [expected[a] == expected[b] for a, b in combinations(range(n_rows), 2)]


@given(st.integers(0, 1000), st.integers(1, 8), st.floats(1, 20))
def test_no_part_is_smaller_than_allowed(seed, n_clusters, min_size):
    random = np.random.default_rng(seed)
    labels = cut_longest(random_tree(random, 40), random.random(39), n_clusters, min_size)
    sizes = np.bincount(labels)
    assert len(sizes) <= n_clusters
    assert len(sizes) == 1 or sizes.min() >= min_size


@pytest.mark.parametrize(("min_size", "n_found"), [(1, 5), (2, 3), (3, 3), (4, 2), (5, 1)])
def test_there_are_fewer_labels_where_nothing_is_left_to_cut(min_size, n_found):
    path = np.stack([np.arange(8), np.arange(1, 9)], 1)
    lengths = [1, 2, 4, 3, 1, 4, 2, 1]
    labels = cut_longest(path, np.array(lengths, float), 5, min_size)
    assert len(np.unique(labels)) == n_found
    assert len(np.unique(cut_longest(path[:0], np.array([]), 3, 1))) == 1


def test_a_long_path_is_cut_in_no_time():
    # each edge that could not be cut was climbed from to the end of its part, a square of steps
    n_rows = 40_000
    path = np.stack([np.arange(n_rows - 1), np.arange(1, n_rows)], 1)
    lengths = np.r_[np.full(n_rows // 2 - 1, 2.0), np.ones(n_rows // 2)]
    lengths[[10, -10]] = 3.0
    labels = cut_longest(path, lengths, 3, 0.49 * n_rows)
    assert np.bincount(labels).min() >= 0.49 * n_rows


def test_cuts_leave_outliers_where_they_are_and_find_small_clusters():
    random = np.random.default_rng(0)
    X, y = make_blobs([300, 100, 20], 2, centers=[[0, 0], [12, 0], [0, 12]], random_state=0)
    X = np.vstack([X, 40 * random.choice([-1, 1], (3, 2))])
    found = list(tree_cuts(neighbors_of(X), 3))
    assert all(labels.shape == (len(X),) and labels.max() == 2 for labels in found)
    assert max(adjusted_rand_score(y, labels[:420]) for labels in found) > 0.99


@pytest.mark.parametrize(("n_features", "n_cuts"), [(3, 4), (10, 4), (11, 0)])
def test_trees_of_many_features_are_not_cut(n_features, n_cuts):
    X, _ = make_blobs(200, n_features, centers=2, cluster_std=0.5, random_state=0)
    assert len(list(tree_cuts(neighbors_of(X), 2))) == n_cuts
    few = TREE_CUTS._replace(max_features=n_features, min_shares=(0.3,))
    assert len(list(tree_cuts(neighbors_of(X), 2, policy=few))) == 1


@pytest.mark.parametrize("n_rows", [2, 3, 5])
def test_as_many_clusters_as_rows_are_no_cut(n_rows):
    X = np.random.default_rng(0).standard_normal((n_rows, 2))
    assert list(tree_cuts(neighbors_of(X), n_rows)) == []
