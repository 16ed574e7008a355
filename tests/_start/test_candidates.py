"""Candidates from the graph: subclusters merged by information, labels propagated."""

from itertools import combinations, islice, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from helpers import graph_of, random_joint
from skgmvae._start import candidates as module
from skgmvae._start.candidates import (
    LABEL_PROPAGATION,
    MERGING,
    OVERCLUSTERING,
    divided,
    graph_candidates,
    merge_subclusters,
    propagate_labels,
    reassigned_subclusters,
    split_and_merged,
)
from skgmvae._start.graph import edge_information


def candidates_of(graph, n_clusters, seed=0, **policies):
    return graph_candidates(graph, n_clusters, np.random.RandomState(seed), **policies)


def information(joint):
    ratio = joint / np.outer(joint.sum(1), joint.sum(0))
    return (joint * np.log(ratio, out=np.zeros_like(joint), where=joint > 0)).sum()


def entropy(shares):
    return -(shares * np.log(shares)).sum()


def merge(joint, n_clusters, entropy_penalty=0.0):
    merges = merge_subclusters(joint, entropy_penalty)
    clusters, _ = next(islice(merges, len(joint) - n_clusters, None))
    return clusters


def pairs_of_halves(sizes, leak):
    """Joint distribution of subclusters, two to a cluster of each size, which are its halves."""
    joint = np.kron(np.diag(sizes), [[0.9, 0.1], [0.1, 0.9]]) + leak
    return joint / joint.sum()


@given(st.integers(0, 1000), st.integers(3, 7), st.floats(0, 1))
def test_the_pair_is_merged_that_loses_least_by_an_oracle(seed, n_subclusters, penalty):
    joint = random_joint(np.random.default_rng(seed), n_subclusters)
    kept = {}
    for a, b in combinations(range(n_subclusters), 2):
        rows = np.delete(joint, b, 0)
        rows[a] = joint[a] + joint[b]  # of one end of an edge; the other's are left as they are
        kept[a, b] = information(rows) - penalty * entropy(rows.sum(1))
    a, b = max(kept, key=kept.get)
    clusters = merge(joint, n_subclusters - 1, penalty)
    assert clusters[a] == clusters[b]
    assert sorted(set(clusters)) == list(range(n_subclusters - 1))


@given(st.integers(0, 1000), st.integers(1, 8), st.floats(0, 1))
def test_each_merge_joins_two_clusters_and_loses_information(seed, n_subclusters, penalty):
    joint = random_joint(np.random.default_rng(seed), n_subclusters)
    before = joint.copy()
    chain = [clusters for clusters, _ in merge_subclusters(joint, penalty)]
    np.testing.assert_array_equal(joint, before)
    assert len(chain) == n_subclusters
    kept = []
    for n_merges, clusters in enumerate(chain):
        assert sorted(set(clusters)) == list(range(n_subclusters - n_merges))
        member = np.eye(n_subclusters - n_merges)[clusters]
        kept.append(information(member.T @ joint @ member))
    for coarse, fine in zip(chain[1:], chain, strict=False):
        # what was together stays together
        assert len(set(zip(coarse, fine, strict=True))) == len(set(fine))
    assert all(np.diff(kept) <= 1e-9)
    assert kept[-1] == pytest.approx(0, abs=1e-9)


def information_of(joint, clusters):
    members = np.eye(clusters.max() + 1)[clusters]
    return information(members.T @ joint @ members)


@given(st.integers(0, 1000), st.integers(3, 9), st.integers(2, 4))
def test_no_single_move_of_a_subcluster_is_left_that_gains_by_an_oracle(seed, n_more, n_clusters):
    joint = random_joint(np.random.default_rng(seed), n_clusters + n_more)
    merged = merge(joint, n_clusters)
    found = reassigned_subclusters(joint, merged)
    best = information_of(joint, found)
    assert best >= information_of(joint, merged) - 1e-12
    np.testing.assert_array_equal(np.unique(found), np.arange(n_clusters))
    for number, cluster in product(range(len(joint)), range(n_clusters)):
        moved = found.copy()
        moved[number] = cluster
        if len(np.unique(moved)) == n_clusters:
            assert information_of(joint, moved) <= best + 1e-9


def test_a_subcluster_that_was_merged_too_early_is_moved():
    # two groups of three, of which the last subcluster of the first is put into the second
    joint = np.kron(np.eye(2), np.ones((3, 3))) + 0.01
    wrong = np.array([0, 0, 1, 1, 1, 1])
    found = reassigned_subclusters(joint / joint.sum(), wrong)
    np.testing.assert_array_equal(found, [0, 0, 0, 1, 1, 1])


@given(st.integers(0, 1000), st.integers(0, 9), st.integers(1, 5))
def test_splitting_and_merging_loses_no_information(seed, n_more, n_clusters):
    joint = random_joint(np.random.default_rng(seed), n_clusters + n_more)
    before = merge(joint, n_clusters)
    found = split_and_merged(joint, before)
    assert information_of(joint, found) >= information_of(joint, before) - 1e-12
    np.testing.assert_array_equal(np.unique(found), np.arange(n_clusters))


def test_two_clusters_where_one_is_and_one_where_two_are_are_exchanged():
    # no move of a single subcluster gains
    joint = np.kron(np.eye(4), np.ones((4, 4))) + 0.01
    joint /= joint.sum()
    truth, wrong = np.arange(4).repeat(4), np.array([0, 0, 1, 1, *[2] * 8, *[3] * 4])
    np.testing.assert_array_equal(reassigned_subclusters(joint, wrong), wrong)
    assert adjusted_rand_score(truth, split_and_merged(joint, wrong)) == 1.0
    np.testing.assert_array_equal(split_and_merged(joint, wrong, n_trials=0), wrong)


def test_subclusters_of_a_cluster_are_merged_again():
    truth = np.array([0, 1, 2, 0, 1, 2, 0, 0])
    joint = np.where(truth[:, None] == truth, 1.0, 0.02)
    assert adjusted_rand_score(truth, merge(joint / joint.sum(), 3)) == 1.0


def test_an_entropy_penalty_keeps_small_clusters_that_are_separated():
    joint = pairs_of_halves([100, 10, 1], leak=1e-4)
    truth = [0, 0, 1, 1, 2, 2]
    assert adjusted_rand_score(truth, merge(joint, 3, MERGING.entropy_penalty)) == 1.0
    assert adjusted_rand_score(truth, merge(joint, 3)) < 1.0


def test_the_overlap_ratio_is_small_where_separated_clusters_are_merged():
    joint = pairs_of_halves([1, 1, 1], leak=1e-4)
    ratios = [ratio for _, ratio in merge_subclusters(joint, MERGING.entropy_penalty)]
    assert len(ratios) == 6
    assert ratios[:4] == [0, 0, 0, 0]  # the halves of the first clusters are whole subclusters
    assert ratios[4] < 0.01


@given(st.floats(0.05, 0.45), st.floats(0.001, 0.04))
def test_the_overlap_ratio_by_an_oracle(within, between):
    # two clusters of two subclusters; an edge leaves a half, and a cluster, as often as given
    joint = np.array([[1 - within, within], [within, 1 - within]])
    joint = np.kron(np.eye(2), (1 - between) * joint) + between / 2 * np.kron(
        1 - np.eye(2), np.ones((2, 2))
    )
    *_, (_, ratio) = merge_subclusters(joint / joint.sum())

    def overlap(leaves):
        """Conditional entropy in bits: of two equally large clusters the entropy is one bit."""
        return -leaves * np.log2(leaves) - (1 - leaves) * np.log2(1 - leaves)

    assert ratio == pytest.approx(overlap(between) / overlap(within), rel=1e-6)


def test_what_no_edge_distinguishes_overlaps_as_much_as_its_halves():
    ratios = [ratio for _, ratio in merge_subclusters(np.full((8, 8), 1 / 64), 0.8)]
    np.testing.assert_allclose(ratios[-1], 1)


def test_nothing_is_merged_that_need_not_be():
    np.testing.assert_array_equal(merge(np.eye(4) / 4, 4), range(4))


def test_subclusters_that_do_not_occur_are_merged_without_a_warning():
    joint = np.zeros((4, 4))
    joint[:2, :2] = 0.25
    with np.errstate(all="raise"):
        chain = list(merge_subclusters(joint, MERGING.entropy_penalty))
    assert np.isfinite([ratio for _, ratio in chain]).all()
    assert [len(set(clusters)) for clusters, _ in chain] == [4, 3, 2, 1]


N_OVERCLUSTERINGS = len(OVERCLUSTERING.dimensions) * len(OVERCLUSTERING.subclusters)


def test_candidates_have_all_clusters_or_fewer():
    X, y = make_blobs([200, 60, 40], 2, cluster_std=0.5, random_state=3)
    balanced, unbalanced, fewer = candidates_of(graph_of(X), 6)
    assert len(balanced) == len(unbalanced) == len(fewer) == N_OVERCLUSTERINGS
    for labels in balanced + unbalanced:
        assert set(labels) == set(range(6))
    for labels in fewer:
        assert len(set(labels)) == labels.max() + 1 < 6
    assert max(adjusted_rand_score(y, labels) for labels in fewer) == 1.0


def test_candidates_go_on_below_k_only_while_clusters_overlap():
    X, y = make_blobs(400, 5, centers=4, cluster_std=0.5, random_state=3)
    graph = graph_of(X)
    merged = candidates_of(graph, 8).fewer
    assert any(adjusted_rand_score(y, labels) == 1.0 for labels in merged)
    never = MERGING._replace(min_overlap_ratio_at_k=np.inf)
    assert candidates_of(graph, 8, merging=never).fewer == []
    always = MERGING._replace(min_overlap_ratio_at_k=0.0, min_overlap_ratio_below=0.0)
    assert {len(set(labels)) for labels in candidates_of(graph, 8, merging=always).fewer} == {1}


@given(st.integers(0, 1000), st.integers(2, 12), st.floats(0, 1))
def test_merging_by_a_plain_loop(seed, n_subclusters, penalty):
    joint = random_joint(np.random.default_rng(seed), n_subclusters)
    clusters = [{number} for number in range(n_subclusters)]
    for found, _ in merge_subclusters(joint, penalty):
        assert {frozenset(np.flatnonzero(found == number)) for number in set(found)} == {
            frozenset(cluster) for cluster in clusters
        }
        member = np.array([[number in of for of in clusters] for number in range(n_subclusters)])
        merged = member.T @ joint @ member

        def kept(pair, merged=merged):
            a, b = pair
            rows = np.delete(merged, b, 0)
            rows[a] = merged[a] + merged[b]
            return information(rows) - penalty * entropy(rows.sum(1))

        if len(clusters) > 1:
            a, b = max(combinations(range(len(clusters)), 2), key=kept)
            clusters[a] |= clusters.pop(b)


def test_subclusters_and_dimensions_are_limited(monkeypatch):
    sizes = []
    real, embed = module.edge_distribution, module.spectral_embedding

    def spy(edges, labels, n_subclusters):
        sizes.append(n_subclusters)
        return real(edges, labels, n_subclusters)

    def spy_too(graph, n_components, random):
        sizes.append(n_components)
        return embed(graph, n_components, random)

    monkeypatch.setattr(module, "edge_distribution", spy)
    monkeypatch.setattr(module, "spectral_embedding", spy_too)
    graph = graph_of(np.random.default_rng(0).standard_normal((120, 3)))
    candidates_of(graph, 15, overclustering=OVERCLUSTERING._replace(max_subclusters=20))
    assert set(sizes) == {20}


def test_kmeans_of_many_rows_is_fitted_to_some_of_them(monkeypatch):
    sizes = []
    fit_quietly = module.fit_quietly

    def spy(kmeans, values):
        sizes.append(len(values))
        return fit_quietly(kmeans, values)

    monkeypatch.setattr(module, "fit_quietly", spy)
    X, y = make_blobs(300, 3, centers=3, cluster_std=0.5, random_state=0)
    overclustering = OVERCLUSTERING._replace(n_fit_rows=100)
    found = candidates_of(graph_of(X), 3, overclustering=overclustering).balanced
    assert set(sizes) == {100}
    assert min(adjusted_rand_score(y, labels) for labels in found) == 1.0


def best_cut(graph, n_clusters):
    found = candidates_of(graph, n_clusters).balanced
    return max(found, key=lambda labels: edge_information(graph, labels, n_clusters))


@pytest.mark.ours
def test_many_clusters_are_found_in_parts():
    X, y = make_blobs(1500, 3, centers=60, cluster_std=0.1, random_state=0)
    labels = divided(graph_of(X), 60, best_cut, max_clusters=8)
    assert sorted(set(labels)) == list(range(60))
    assert adjusted_rand_score(y, labels) > 0.8


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(1, 6))
def test_a_graph_is_divided_into_any_number_of_clusters(seed, n_clusters, max_clusters):
    random = np.random.default_rng(seed)
    n_rows = n_clusters + random.integers(0, 30)
    dense = random.random((n_rows, n_rows)) < 0.1  # some rows without an edge
    asked = []

    def cut(graph, number):
        asked.append(number)
        return random.integers(0, number, graph.shape[0])

    labels = divided(csr_array((dense + dense.T) * 1.0), n_clusters, cut,
                     max_clusters=max(2, max_clusters))
    assert labels.min() >= 0
    assert labels.max() < n_clusters
    assert max(asked, default=0) <= max(2, max_clusters)


@pytest.mark.filterwarnings("error")
def test_rows_without_an_edge_are_no_trouble():
    dense = np.zeros((40, 40), np.float32)
    dense[:15, :15] = dense[15:30, 15:30] = 1 - np.eye(15)
    graph = csr_array(dense)
    for labels in candidates_of(graph, 4).balanced:
        assert 0 <= labels.min() <= labels.max() < 4
        assert np.isfinite(edge_information(graph, propagate_labels(graph, labels, 4), 4))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_clusters", [2, 7, 20])
def test_rows_that_the_graph_does_not_distinguish_have_candidates_too(n_clusters):
    graph = csr_array(np.ones((20, 20), np.float32) - np.eye(20, dtype=np.float32))
    for kind in candidates_of(graph, n_clusters):
        for labels in kind:
            assert 0 <= labels.min() <= labels.max() < n_clusters


@pytest.mark.filterwarnings("error")
def test_fewer_distinct_rows_in_the_embedding_than_subclusters_do_not_warn():
    # without jitter the rows of a connected component are one in the embedding
    X, _ = make_blobs(120, 3, centers=4, cluster_std=0.1, random_state=0)
    overclustering = OVERCLUSTERING._replace(jitter=0.0, dimensions=(1.0,))
    found = candidates_of(graph_of(X), 4, overclustering=overclustering)
    assert all(labels.shape == (120,) for kind in found for labels in kind)


def cliques(sizes, n_bridges):
    """Complete graphs of these sizes, the first rows of which are joined."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    dense = (labels[:, None] == labels).astype(np.float32)
    np.fill_diagonal(dense, 0)
    start = np.searchsorted(labels, np.arange(len(sizes)))
    for bridge in range(n_bridges):
        a, b = start[0] + bridge, start[1] + bridge
        dense[a, b] = dense[b, a] = 1
    return csr_array(dense), labels


@pytest.mark.parametrize("n_wrong", [1, 3])
def test_rows_follow_their_neighbors(n_wrong):
    graph, truth = cliques([10, 10], 2)
    labels = truth.copy()
    labels[:n_wrong] = 1
    np.testing.assert_array_equal(propagate_labels(graph, labels, 2), truth)


def test_clusters_that_are_too_large_lose_rows():
    # a path, cut far from its middle: neighbors alone leave it there
    n_rows, cut = 40, 5
    dense = np.diag(np.ones(n_rows - 1, np.float32), 1)
    graph = csr_array(dense + dense.T)
    labels = (np.arange(n_rows) >= cut).astype(int)

    def largest(**policy):
        policy = LABEL_PROPAGATION._replace(**policy)
        return np.bincount(propagate_labels(graph, labels, 2, policy=policy)).max()

    assert largest(balance=0.0) >= n_rows - cut - 1  # to rounding, which breaks the tie at the cut
    assert largest() < n_rows - cut - 3
    assert largest(n_sweeps=200) < largest(n_sweeps=2)


@given(st.integers(0, 1000), st.integers(1, 4))
def test_one_sweep_of_label_propagation_by_an_oracle(seed, n_clusters):
    random = np.random.default_rng(seed)
    dense = np.triu(random.random((9, 9)) < 0.5, 1) + np.eye(9, k=1)
    dense = (dense + dense.T).astype(np.float32)
    labels = random.integers(0, n_clusters, 9)
    policy = LABEL_PROPAGATION._replace(coupling=3.0, balance=0.7, n_sweeps=1, min_size=1e-3)
    score = np.zeros((9, n_clusters))
    for row in range(9):
        for cluster in range(n_clusters):
            near = dense[row, labels == cluster].sum() / dense[row].sum()
            size = (labels == cluster).mean() * n_clusters
            score[row, cluster] = 3.0 * near - 0.7 * np.log(size + 1e-3)
    found = propagate_labels(csr_array(dense), labels, n_clusters, policy=policy)
    # to rounding, on which ties depend
    np.testing.assert_allclose(score[np.arange(9), found], score.max(1), atol=1e-5)


@given(st.integers(0, 1000))
def test_label_propagation_knows_no_names_of_clusters(seed):
    random = np.random.default_rng(seed)
    graph, _ = cliques([6, 5, 4], 1)
    labels, names = random.integers(0, 3, 15), random.permutation(3)
    found = propagate_labels(graph, labels, 3)
    renamed = propagate_labels(graph, names[labels], 3)
    assert adjusted_rand_score(found, renamed) == 1.0
