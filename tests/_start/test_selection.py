"""The initial partition: its clusters, their number and their sizes, and how sure it is of them."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_wine,
    make_blobs,
    make_moons,
)
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from skgmvae import GMVAEClustering
from skgmvae._rows import Rows, Units
from skgmvae._start import selection as module
from skgmvae._start import space
from skgmvae._start.candidates import GraphCandidates, graph_candidates, propagate_labels
from skgmvae._start.graph import edge_information, neighbor_graph
from skgmvae._start.neighbors import NEIGHBOR_SEARCH, find_neighbors
from skgmvae._start.selection import SELECTION, initial_partition


def begin(X, n_clusters, seed=0, *, images=False, search=NEIGHBOR_SEARCH, **policy):
    """Return the initial partition of a table, or of what is treated as images."""
    X = np.asarray(X, float)
    units = Units.standardizing(X, None)
    rows = Rows.standardized(X, units, torch.device("cpu"))
    neighbors = find_neighbors(rows, seed, search=search)
    scale = None if images else units.scale
    return initial_partition(
        rows, neighbors, n_clusters, seed, scale=scale, are_images=images, **policy
    )


def start(X, n_clusters, seed=0, **options):
    return begin(X, n_clusters, seed, **options).probabilities.toarray()


def partition(X, n_clusters, seed=0, **options):
    return start(X, n_clusters, seed, **options).argmax(1)


def agreement(X, y, n_clusters=None, seed=0, **options):
    """Return the adjusted Rand index, without rows of noise."""
    n_clusters = n_clusters or len(np.unique(y[y >= 0]))
    return adjusted_rand_score(y[y >= 0], partition(X, n_clusters, seed, **options)[y >= 0])


# What people cluster


@pytest.mark.parametrize("max_references", [200, 100])
def test_separate_blobs_are_found(max_references):
    X, y = make_blobs(200, 3, centers=4, cluster_std=0.5, random_state=0)
    search = NEIGHBOR_SEARCH._replace(max_references=max_references)
    assert agreement(X, y, search=search) == 1.0


def test_clusters_need_not_be_round():
    X, y = make_moons(400, noise=0.05, random_state=0)
    assert agreement(X, y) == 1.0
    wide = np.repeat(X, 5, axis=1) + 0.01 * np.random.default_rng(0).standard_normal((400, 10))
    assert agreement(wide, y) == 1.0


@pytest.mark.ours
@pytest.mark.parametrize(("kind", "case"), [
    ("thin", "waves"), ("thin", "rings"), ("uneven", "speck"), ("coarse", "3+1"),
    ("coarse", "3+2_5d"),
    # among clusters that stand apart, compact in the units of X and not the most even
    ("coarse", "2+2+2"), ("uneven", "target"),
])
def test_thin_rare_and_coarse_clusters_are_found(kind, case, generated):
    X, y = generated.TABLES[kind][case](random_state=0)
    assert agreement(X, y) > 0.99


@pytest.mark.ours
@pytest.mark.parametrize(("n_columns", "n_clusters", "distance", "noise"), [
    (3, 2, 6, "flag+flag"), (3, 2, 6, "rare_flag"), (2, 2, 6, "category"),
])
def test_columns_of_few_values_that_say_nothing_are_no_clusters(
    n_columns, n_clusters, distance, noise, generated
):
    X, y = generated.make_flags(n_columns, n_clusters, distance, noise, 300, random_state=0)
    assert agreement(X, y) >= 0.97


@pytest.mark.ours
@pytest.mark.parametrize("seed", range(2))
def test_clusters_that_all_features_share_come_before_those_of_one_feature(seed):
    random = np.random.default_rng(seed)
    y, flag = random.integers(2, size=(2, 400))
    X = np.column_stack([random.standard_normal((400, 40)) + 1.3 * y[:, None], flag])
    assert agreement(X, y, seed=seed) > 0.9


@pytest.mark.ours
def test_columns_of_few_values_that_agree_are_clusters():
    random = np.random.default_rng(0)
    y = random.integers(3, size=500)
    X = (random.random((500, 15)) < np.array([0.1, 0.5, 0.9])[(y[:, None] + np.arange(15)) % 3])
    assert agreement(X, y) > 0.8


@pytest.mark.ours
@pytest.mark.parametrize(("n_rare", "n_columns"), [
    (5, 2), (15, 10),
])
def test_rare_clusters_are_found(n_rare, n_columns, generated):
    X, y = generated.make_rare(n_rare, n_columns, n_samples=500, random_state=0)
    assert agreement(X, y) >= 0.99


@pytest.mark.ours
@pytest.mark.parametrize("seed", [8, 9, 13])
def test_a_rare_cluster_of_dependent_columns_cuts_no_other_in_two(seed):
    # EM had missed it, more components were better than K, and a balanced cut was taken: .7
    random = np.random.default_rng(seed)
    y = random.choice(4, 1200, p=[0.49, 0.29, 0.2, 0.02])
    X = 2.5 * random.normal(size=(4, 12))[y]
    X += random.normal(size=(1200, 3)) @ random.normal(size=(3, 12))
    X += 0.4 * random.normal(size=(1200, 12))
    assert agreement(X, y) > 0.98


def accuracy(y, labels):
    """Return the accuracy of two clusters, whatever their names."""
    return max(np.mean(labels == y), np.mean(labels != y))


@pytest.mark.ours
@pytest.mark.parametrize(("n_columns", "distance"), [(1, 2), (5, 3)])
def test_gaussians_that_overlap_are_divided_as_by_their_mixture(n_columns, distance, generated):
    X, y = generated.make_overlapping(2, n_columns, distance, 600, random_state=0)
    found = start(X, 2)
    mixture = GaussianMixture(2, n_init=5, random_state=0).fit(X)
    assert accuracy(y, found.argmax(1)) >= accuracy(y, mixture.predict(X)) - 0.02
    # and it is as sure of them as it may be
    posterior = generated.overlapping_posterior(X, 2, distance)
    assert found.max(1).mean() == pytest.approx(posterior.max(1).mean(), abs=0.05)


@pytest.mark.ours
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("n_levels", [2, 3, 5])
def test_gaussians_that_overlap_are_found_beside_a_category_that_says_nothing(n_levels, seed):
    random = np.random.default_rng(seed)
    y, category = random.integers(2, size=600), random.integers(n_levels, size=600)
    direction = random.standard_normal(4)
    centers = np.outer([0, 3], direction / np.linalg.norm(direction))
    noise = category[:, None] if n_levels == 2 else np.eye(n_levels)[category]
    X = np.column_stack([centers[y] + random.standard_normal((600, 4)), noise])
    found = begin(X, 2, seed)
    assert found.is_mixture
    assert adjusted_rand_score(y, found.probabilities.toarray().argmax(1)) > 0.6


@pytest.mark.ours
@pytest.mark.parametrize("n_levels", [60, 120])
def test_clusters_are_found_beside_a_category_of_many_levels(n_levels):
    # there were more than fifty columns then, and the category decided: .00, .04
    random = np.random.default_rng(0)
    y, category = random.integers(3, size=600), np.arange(600) % n_levels
    centers = np.array([[0, 0, 0, 0], [4, 4, 0, 0], [0, 4, 4, 4]])
    X = np.hstack([
        centers[y] + random.standard_normal((600, 4)),
        np.eye(n_levels)[random.permutation(category)],
    ])
    assert adjusted_rand_score(y, start(X, 3).argmax(1)) > 0.95


@pytest.mark.ours
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("make", ["missing", "sparse"])
def test_groups_of_different_sizes_are_found_beside_a_category_of_many_levels(make):
    # no mixture was tried with more than fifty columns: .00
    random = np.random.default_rng(0)
    y = random.choice(4, 900, p=[0.5, 0.3, 0.15, 0.05])
    numbers = random.normal([[0, 0, 0], [3, 2, 3], [6, 0, 0], [4, 5, 8]], 1.0, (900, 4, 3))[
        np.arange(900), y
    ]
    X = np.hstack([numbers, np.eye(60)[random.integers(60, size=900)]])
    if make == "missing":
        X[random.random(900) < 0.1, 3:] = np.nan
        X[random.random(900) < 0.1, 0] = np.nan
    else:
        X = csr_array(X)
    found = GMVAEClustering(4, max_iter=1, hidden_layer_sizes=8, random_state=0).fit(X)
    assert adjusted_rand_score(y, found.init_labels_) > 0.8


@pytest.mark.ours
@pytest.mark.parametrize(("code", "share"), [(0, 0.1), (-1, 0.3), (999, 0.1), (-999, 0.03)])
def test_clusters_are_found_beside_a_code(code, share, generated):
    X, y = generated.make_codes(code, share, 5, random_state=0)
    assert adjusted_rand_score(y, start(X, 3).argmax(1)) > 0.9


@pytest.mark.ours
@pytest.mark.parametrize("share", [0.03, 0.1])
@pytest.mark.parametrize("n_columns", [1, 3])
def test_the_rows_of_a_code_are_a_cluster_where_there_is_no_other(n_columns, share):
    random = np.random.default_rng(0)
    X, is_off = random.normal(12, 1, (600, 6)), random.random(600) < share
    X[is_off, :n_columns] = 0
    assert adjusted_rand_score(is_off, start(X, 2).argmax(1)) > 0.95


def make_strokes(sizes, random):
    """Make points of strokes of a pen, bent to one side, to the other, and hardly: 16 features."""
    y = np.repeat(np.arange(3), sizes)
    bend = np.array([-4.0, 0.5, 4.0])[y] + 0.3 * random.standard_normal(len(y))
    angle = bend[:, None] * np.linspace(0, 1, 8) + 0.3 * random.standard_normal((len(y), 1))
    X = np.stack([np.cos(angle), np.sin(angle)], 2).cumsum(1)
    X -= X.mean(1, keepdims=True)
    X /= np.abs(X).max((1, 2), keepdims=True)
    return X.reshape(len(y), 16) + 0.02 * random.standard_normal((len(y), 16)), y


UNEVEN = {
    "strokes": lambda: make_strokes([300, 60, 30], np.random.default_rng(0)),
    "blobs": lambda: make_blobs([300, 60, 30, 15], 12, random_state=0),
}


@pytest.mark.ours
@pytest.mark.parametrize("table", UNEVEN)
def test_an_unbalanced_cut_replaces_the_balanced_one_if_much_better_separated(table):
    # of more than ten features no tree is cut; nor are mixtures tried of what is treated as images
    X, y = UNEVEN[table]()
    assert agreement(X, y, images=True) == 1.0
    for never in ({"min_separation": 1.1}, {"max_uncertainty_ratio": -1.0}):
        assert agreement(X, y, images=True, selection=SELECTION._replace(**never)) < 0.7


@pytest.mark.ours
@pytest.mark.parametrize("n_clusters", [2, 3])
def test_an_unbalanced_cut_that_is_hardly_better_separated_is_not_taken(n_clusters):
    X = np.random.default_rng(0).standard_normal((200, 12))
    sizes = np.bincount(partition(X, n_clusters, images=True))
    assert sizes.min() > 0.5 * sizes.mean()


@pytest.mark.ours
def test_separated_clusters_may_be_unbalanced():
    X, y = make_blobs([250, 125, 50, 25], 5, cluster_std=0.5, random_state=4)
    assert agreement(X, y) == 1.0


@pytest.mark.ours
def test_clusters_that_touch_may_be_unbalanced():
    # the largest was cut in two, and the smallest two were merged
    X, y = make_blobs(2500, 5, centers=5, cluster_std=1.5, random_state=0)
    sizes = np.array([150, 100, 500, 225, 335])
    X, y = (np.concatenate([rows[y == label][:n] for label, n in enumerate(sizes)])
            for rows in (X, y))
    assert agreement(X, y) > 0.97


@pytest.mark.ours
def test_separated_clusters_may_be_fewer_than_asked_for():
    # the graph has narrow places anywhere in the plane: the more clusters are asked for, the more
    # seeds find as many
    X, y = make_blobs(400, 2, centers=4, cluster_std=0.5, random_state=3)
    assert agreement(X, y, 6) > 0.98


def test_a_boundary_that_rows_cross_is_kept_where_there_are_no_more_clusters():
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 150)
    X = random.standard_normal((600, 2)) + np.array([[0, 0], [3, 0], [0, 40], [40, 40]])[y]
    assert agreement(X, y) > 0.8


@pytest.mark.ours
@pytest.mark.parametrize(("load", "least"), [
    (partial(make_blobs, 50, random_state=1), 3), (partial(load_iris, return_X_y=True), 2),
], ids=["blobs", "iris"])
def test_clusters_that_touch_are_not_merged_by_most_seeds(load, least):
    X, _ = load()
    found = [len(np.unique(partition(X, 3, seed))) for seed in range(3)]
    assert found.count(3) >= least


def test_rows_without_clusters_are_divided_into_as_many_as_asked_for():
    X = np.random.default_rng(0).standard_normal((250, 10))
    assert len(np.unique(partition(X, 4))) == 4


@pytest.mark.parametrize(("load", "least"), [(load_wine, 0.8), (load_breast_cancer, 0.7)])
def test_real_tables_are_divided_well(load, least):
    X, y = load(return_X_y=True)
    assert agreement(X, y) > least


def test_digits_are_told_apart():
    X, y = load_digits(return_X_y=True)
    assert agreement(X[:500], y[:500]) > 0.8


# The features that are one space


def test_features_of_one_unit_are_compared_by_distance_too():
    # in units of their own, the gaps between the bars are no longer than those within
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 200)
    X = np.column_stack([random.uniform(0, 8, 600), random.uniform(0, 0.4, 600) + 0.9 * y])
    assert agreement(X, y) > 0.99


# How sure it is


@pytest.mark.parametrize("scale", [None, np.ones(100)])
def test_many_features_that_are_bytes_never_all_become_numbers(scale, monkeypatch):
    source = np.random.default_rng(0)
    y, plane = np.arange(300) % 3, source.standard_normal((5, 100))
    means = (source.integers(-8, 9, (3, 5))[y] + source.standard_normal((300, 5))) @ plane
    X = np.clip(128 + 3 * means + 9 * source.standard_normal((300, 100)), 0, 255).astype(np.uint8)
    X[7] = X[4]  # they are told apart too
    rows = Rows.standardized(X, Units.standardizing(X, None), torch.device("cpu"))
    monkeypatch.setattr(Rows, "matrix", None)
    neighbors = find_neighbors(rows, 0)
    assert neighbors.compared.shape == (299, 50)
    labels = initial_partition(rows, neighbors, 3, 0, scale=scale).probabilities.argmax(1)
    assert adjusted_rand_score(y, np.ravel(labels)) > 0.99


def test_rows_at_a_border_are_less_sure_of_their_cluster():
    X, _ = make_moons(600, noise=0.05, random_state=0)
    bridge = np.column_stack([np.linspace(0.1, 0.9, 9), np.linspace(0.8, -0.2, 9)])
    found = start(np.vstack([X, bridge]), 2)
    assert found[:600].max(1).mean() > found[600:].max(1).mean()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)


# Which candidate


def test_the_worthiest_candidate_is_taken(monkeypatch):
    X, y = make_moons(300, noise=0.05, random_state=0)
    half = (X[:, 0] > 0.5).astype(int)
    for order in ([y, half], [half, y]):
        monkeypatch.setattr(module, "_candidates", lambda *args, order=order: iter(order))
        assert agreement(X, y) == 1.0


@pytest.mark.parametrize("n_refined", [1, 16])
def test_of_balanced_cuts_and_their_refinements_the_most_informative_is_compared(n_refined):
    X, _ = make_blobs(200, 2, centers=4, cluster_std=2.0, random_state=0)
    rows = Rows.of_array(X.astype(np.float32), torch.device("cpu"))
    graph = neighbor_graph(find_neighbors(rows, 0))
    candidates = graph_candidates(graph, 4, np.random.RandomState(0)).balanced
    selection = SELECTION._replace(n_refined=n_refined)
    labels = module._most_informative(graph, candidates, 4, selection)

    def information(labels):
        return edge_information(graph, labels, 4)

    candidates = sorted(candidates, key=information)[-n_refined:]
    refined = [propagate_labels(graph, candidate, 4) for candidate in candidates]
    assert information(labels) == max(map(information, candidates + refined))
    assert information(labels) > max(map(information, candidates))


@pytest.mark.ours
def test_fewer_clusters_are_compared_only_if_they_are_separated_well():
    X, _ = make_blobs(300, 5, centers=4, random_state=3)
    assert len(np.unique(partition(X, 6))) == 4
    strict = SELECTION._replace(min_separation_fewer=1.1)
    assert len(np.unique(partition(X, 6, selection=strict))) == 6


def test_a_single_cluster_is_no_candidate(monkeypatch):
    X, y = make_blobs(200, 5, centers=2, random_state=0)
    one = np.zeros(200, int)
    monkeypatch.setattr(
        module, "graph_candidates", lambda *args: GraphCandidates([y], [y], [one, one])
    )
    assert len(np.unique(partition(X, 2))) == 2


def test_mixtures_are_for_tables_and_begin_at_the_best_candidates(monkeypatch):
    seen = []

    def spy(values, partitions, n_clusters, random, *, others):
        assert others is None
        seen.append(partitions)

    monkeypatch.setattr(module, "best_mixture", spy)
    X, y = make_blobs([200, 40], 2, centers=[[0, 0], [9, 9]], random_state=0)
    partition(X, 2, images=True)
    assert seen == []
    partition(X, 2, selection=SELECTION._replace(n_beginnings=2))
    assert [len(partitions) for partitions in seen] == [2]
    assert adjusted_rand_score(y, seen[0][0]) == 1.0


@pytest.mark.ours
@pytest.mark.parametrize(("make", "images", "is_mixture"), [
    (partial(make_blobs, 200, centers=2, cluster_std=3.0), False, True),
    (partial(make_blobs, 200, centers=2, cluster_std=3.0), True, False),
    (partial(make_moons, 200, noise=0.05), False, False),
], ids=["blobs", "blobs for images", "moons"])
def test_it_says_whether_it_is_a_mixture(make, images, is_mixture):
    X, _ = make(random_state=0)
    found = begin(X, 2, images=images)
    assert found.is_mixture is is_mixture
    assert not begin(X, 1, images=images).is_mixture


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("draw", "least"), [
    (lambda random, y: random.lognormal(1 + 3 * y, 0.5), 0.85),
    (lambda random, y: random.exponential(1 + 29 * y), 0.6),
    (lambda random, y: random.gamma(4, 1 + 5 * y), 0.7),
    (lambda random, y: random.standard_t(3, len(y)) + 6 * y, 0.8),
    (lambda random, y: random.uniform(size=len(y)) + 1.5 * y, 1.0),
], ids=["lognormal", "exponential", "gamma", "t", "uniform"])
def test_one_column_is_divided_as_by_a_mixture(draw, least, seed):
    # the ten largest of a thousand values were a cluster, since a gap lies before them
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, 800)
    X = draw(random, y)[:, np.newaxis]
    found = agreement(X, y)
    mixture = GaussianMixture(2, n_init=3, random_state=seed).fit_predict(X)
    assert found >= least
    assert found >= adjusted_rand_score(y, mixture) - 0.03


@pytest.mark.ours
@pytest.mark.parametrize("noise", ["log", "root", "power", "month", "lookup", "place"])
def test_columns_of_few_values_on_an_uneven_grid_are_not_cut_at_their_gaps(generated, noise):
    X, y = generated.make_grids(noise, n_samples=400, random_state=1)
    assert agreement(X, y) > 0.95


@pytest.mark.ours
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", ["flag+flag", "category"])
def test_small_tables_are_not_cut_at_a_flag(generated, noise, seed):
    X, y = generated.make_flags(4, 4, 6.5, noise, n_samples=70, random_state=seed)
    assert agreement(X, y) > 0.85


@pytest.mark.ours
def test_logarithms_of_small_counts_are_not_cut_at_their_gaps(generated):
    X, y = generated.make_customers(random_state=2)
    assert agreement(X, y) > 0.95


@pytest.mark.parametrize("seed", range(4))
def test_two_columns_of_counts_are_no_curves(seed):
    # the graph of neighbors cuts off what is rare in the tail of one of them
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, 900)
    n_first = np.where(y == 0, random.negative_binomial(2, 0.2, 900), random.poisson(1, 900))
    X = np.c_[n_first, random.poisson(np.array([2, 9])[y])]
    assert agreement(X, y) > 0.7


def test_blobs_that_nearly_touch_are_not_merged():
    # of their cut and that into two the criterion prefers the latter, and mixtures decide
    centers = 5.5 * np.array([[1, 0], [0, 1], [-1, -1]])
    X, y = make_blobs([200, 200, 100], 2, centers=centers, random_state=0)
    assert agreement(X, y) > 0.97


@pytest.mark.parametrize("suffice", [True, False])
def test_fewer_clusters_are_taken_only_if_mixtures_say_that_they_suffice(suffice, monkeypatch):
    X, y = make_blobs(200, 3, centers=2, random_state=0)
    cut = np.where((y == 0) & (X[:, 0] > np.median(X[y == 0, 0])), 2, y)
    seen = []

    def spy(values, labels, partitions, n_clusters, random):
        seen.append((labels, partitions, n_clusters))
        return suffice

    monkeypatch.setattr(module, "_candidates", lambda *args: iter([cut, y]))
    monkeypatch.setattr(module, "fewer_suffice", spy)
    monkeypatch.setattr(module, "best_mixture", lambda *args, **named: None)
    assert len(np.unique(partition(X, 3))) == (2 if suffice else 3)
    ((labels, partitions, n_clusters),) = seen
    np.testing.assert_array_equal(labels, y)
    np.testing.assert_array_equal(partitions, [cut])
    assert n_clusters == 3


def test_mixtures_see_normal_variables_and_the_graph_uniform_ones(monkeypatch):
    seen = {}
    real = space.dequantized

    def spy(values, random, *, normal=False, missing=None, distances=None):
        assert missing is None
        draw = real(values, random, normal=normal, distances=distances)
        seen.setdefault(normal, []).append(draw)
        return draw

    monkeypatch.setattr(space, "dequantized", spy)
    monkeypatch.setattr(
        module, "best_mixture",
        lambda values, *_, others: seen.update(mixture=values, others=others),
    )
    monkeypatch.setattr(
        space, "find_neighbors", lambda rows, seed: seen.update(graph=rows.flat())
        or find_neighbors(rows, seed)
    )
    random = np.random.default_rng(0)
    partition(np.column_stack([random.standard_normal(100), random.integers(0, 2, 100)]), 2)
    np.testing.assert_array_equal([seen["mixture"], seen["others"]], seen[True])
    assert (seen["mixture"][:, 1] != seen["others"][:, 1]).all()  # compared on other noise
    np.testing.assert_array_equal([seen["graph"]], seen[False])


def skewed(random, n_columns=8):
    """Make clusters of exponential columns, which have no gap between them."""
    y = random.integers(3, size=800)
    return random.exponential(np.exp(random.normal(0, 1.3, (3, n_columns)))[y]), y


def log_normal(random):
    """Make clusters of log-normal columns that depend on each other."""
    y = random.integers(3, size=800)
    logarithms = random.normal(0, 1.4, (3, 6))[y] + random.normal(size=(800, 6)) @ (
        0.35 * random.normal(size=(6, 6))
    )
    return np.exp(logarithms + 0.2 * random.normal(size=(800, 6))), y


@pytest.mark.ours
@pytest.mark.parametrize(("make", "seed", "before"), [(skewed, 0, 0.45), (log_normal, 3, 0.75)])
def test_where_no_clusters_stand_apart_that_is_taken_which_explains_most(make, seed, before):
    X, y = make(np.random.default_rng(seed))
    found = begin(X, 3)
    assert found.is_mixture
    labels = found.probabilities.toarray().argmax(1)
    assert adjusted_rand_score(y, labels) > before + 0.15


@pytest.mark.ours
@pytest.mark.parametrize("seed", [0, 2])
def test_whole_numbers_beside_long_tails_and_rows_of_a_tail_are_no_clusters(generated, seed):
    X, y = generated.make_visits(random_state=seed)
    assert agreement(X, y, seed=seed) > 0.9  # at most .21 before


def expressions(random):
    """Make columns as of expressed genes, cut off at 0, of clusters of very different sizes."""
    y = random.choice(5, 800, p=[0.45, 0.3, 0.15, 0.07, 0.03])
    means = np.where(random.random((5, 30)) < 0.3, random.normal(2, 1, (5, 30)), 0)
    return np.maximum(means[y] + 0.7 * random.normal(size=(800, 30)), 0), y


def word_shares(random):
    """Make shares of words in short texts, most of them 0."""
    y = random.choice(3, 600, p=[0.4, 0.35, 0.25])
    counts = random.poisson(random.gamma(0.3, 1.5, (3, 40))[y])
    return counts / np.maximum(counts.sum(1, keepdims=True), 1), y


@pytest.mark.ours
@pytest.mark.parametrize(("make", "seed", "before"), [
    (expressions, 0, 0.75), (expressions, 1, 0.73), (word_shares, 1, 0.23), (word_shares, 2, 0.58),
])
def test_no_mixture_is_right_where_many_rows_have_one_value(make, seed, before):
    # it divided the rows by such values, and BIC was for it
    X, y = make(np.random.default_rng(seed))
    assert agreement(X, y, seed=seed) > before + 0.2


@pytest.mark.parametrize(("n_equal", "is_frequent"), [(10, False), (11, True)])
def test_a_value_is_frequent_if_more_than_a_tenth_of_the_rows_have_it(n_equal, is_frequent):
    X = np.random.default_rng(0).standard_normal((100, 3))
    X[:n_equal, 1] = 0.3
    X[:, 2] = 7  # of a column of one value nothing follows
    assert module._has_frequent_value(X, np.arange(100) % 2, SELECTION) == is_frequent
    # but the value is that of a cluster if it is all that its rows have, and no others have it
    own = (np.arange(100) < n_equal).astype(int)
    assert not module._has_frequent_value(X, own, SELECTION)
    own[99] = 1
    assert module._has_frequent_value(X, own, SELECTION) == is_frequent


@pytest.mark.ours
def test_rows_of_codes_alone_are_a_cluster():
    near, labels = make_blobs(200, 3, centers=3, cluster_std=0.5, random_state=0)
    X = np.vstack([near, np.full((60, 3), -999.0)])
    assert agreement(X, np.append(labels, [3] * 60)) > 0.99


@pytest.mark.ours
def test_curves_that_stand_apart_are_left_to_the_graph():
    # a mixture would explain more of their columns, one by one
    random = np.random.default_rng(0)
    X, y = make_moons(600, noise=0.07, random_state=0)
    X = np.column_stack([X, 0.4 * random.standard_normal((600, 2))])
    assert agreement(X, y) > 0.95


@pytest.mark.parametrize(("of_columns", "expected"), [
    (lambda X: X, {"stand_apart", "normal_scores"}),
    (lambda X: X[:, :2], set()),
    (lambda X: np.column_stack([X, X[:, 0] > 1]), {"stand_apart"}),
], ids=["numbers", "the plane", "a flag"])
def test_what_is_explained_is_asked_of_three_columns_and_more(
    of_columns, expected, monkeypatch
):
    seen = set()

    def spy(name):
        real = getattr(module, name)

        def noted(*args, **named):
            seen.add(name)
            return real(*args, **named)

        monkeypatch.setattr(module, name, noted)

    spy("stand_apart")
    spy("normal_scores")
    X, _ = skewed(np.random.default_rng(0), n_columns=3)
    found = begin(of_columns(X)[:300], 3)
    assert seen == expected
    np.testing.assert_allclose(found.probabilities.sum(1), 1, rtol=1e-5)


@pytest.mark.ours
@pytest.mark.parametrize("seed", [1, 4])
def test_of_two_mixtures_the_likelier_is_taken(generated, seed):
    # from k-means EM ended in mixtures of no clusters, which were kept if others were not much
    # likelier
    X, y = generated.make_overlapping(2, 2, 2, 500, random_state=seed)
    assert agreement(X, y, seed=seed) > 0.35


@pytest.mark.ours
def test_noise_in_columns_of_few_values_is_averaged_out():
    # by one draw of it two seeds differ by .044, by ten they differ by .016 to .026
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 600)
    X = np.digitize(0.9 * random.standard_normal((2, 6))[y] + random.standard_normal((600, 6)), [
        -1, 0, 1
    ])
    one, other = (start(X, 2, seed) for seed in (0, 1))
    differences = [np.abs(one - found).mean() for found in (other, other[:, ::-1])]
    assert min(differences) < 0.03


def test_categories_alone_have_the_latent_class_model(generated):
    X, y = generated.TABLES["categories"]["12_flags"](random_state=2)
    found = begin(X, 3)
    assert found.is_mixture
    assert adjusted_rand_score(y, found.probabilities.toarray().argmax(1)) > 0.7  # .60 before
    assert begin(X, 5).probabilities.shape == (1000, 5)


def test_images_have_no_noise_nor_mixtures(monkeypatch):
    for name in ("best_mixture", "fewer_suffice"):
        monkeypatch.setattr(module, name, None)
    monkeypatch.setattr(space, "dequantized", None)
    X, y = load_digits(return_X_y=True)
    found = start(X[:200] > 7, 10, images=True)
    assert found.shape == (200, 10)
    assert adjusted_rand_score(y[:200], found.argmax(1)) > 0.5


# Copies, seeds, and tables that are hardly any


def test_copies_of_rows_are_not_clusters():
    # with copies for neighbors each distinct row was a separated cluster, merged at random
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    X = np.round(random.standard_normal((400, 3)) + 4 * y[:, None])
    copied = np.append(np.arange(400), np.repeat(random.choice(200, 20), 15))
    assert agreement(X[copied], y[copied]) > 0.95


def same_for_identical(X, found):
    for row in np.unique(X, axis=0):
        copies = found[(row == X).all(1)]
        np.testing.assert_allclose(copies, copies[:1].repeat(len(copies), 0), atol=1e-5)


def test_identical_rows_have_the_same_probabilities_whatever_the_noise():
    random = np.random.default_rng(0)
    X = np.column_stack([
        random.standard_normal((40, 2)), random.integers(0, 2, (40, 2)),
        np.eye(3)[random.integers(0, 3, 40)],
    ])[random.integers(0, 40, 150)]
    same_for_identical(X, start(X, 3))


@settings(max_examples=5)
@given(st.integers(0, 1000), st.integers(2, 5))
def test_probabilities_follow_the_rows_not_their_copies(seed, n_clusters):
    X = np.random.default_rng(seed).integers(0, 4, (25, 2)).astype(float)
    same_for_identical(X, start(X, n_clusters, seed))


def test_a_seed_fixes_the_partition_and_nothing_else_does(untouched_global_state):
    random = np.random.default_rng(0)
    X = np.column_stack([random.standard_normal((100, 5)), random.integers(0, 2, 100)])
    one, again, other = (start(X, 3, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_many_copies_of_few_rows_are_divided():
    rows = np.random.default_rng(0).standard_normal((400, 2)) + 9 * (np.arange(400) % 2)[:, None]
    copied = np.random.default_rng(1).integers(0, 400, 30_000)
    assert adjusted_rand_score(copied % 2, partition(rows[copied], 2)) > 0.99


normal = np.random.default_rng(0).standard_normal
whole = np.random.default_rng(0).integers
DEGENERATE = {
    "all rows identical": np.ones((30, 9)),
    "all rows but one identical": np.vstack([np.zeros((50, 3)), [[1, 2, 3]]]),
    "one row far from identical ones": np.vstack([np.zeros((50, 3)), [[1e15, 2, 3]]]),
    "one feature, constant": np.ones((30, 1)),
    "two distinct rows": np.repeat(np.eye(9)[:2], [3, 20], axis=0),
    "three distinct rows": np.repeat([[0.0], [1.0], [5.0]], 10, axis=0),
    "nine distinct rows": np.repeat(np.eye(9), 5, axis=0),
    "counts": np.vstack([np.eye(9)[:5], np.zeros((50, 9)), np.eye(9)[5:]]),
    "flags": whole(0, 2, (60, 6)),
    "one flag": whole(0, 2, (60, 1)),
    "one category": np.eye(3)[whole(0, 3, 60)],
    "a level for each row": np.eye(30),
    "one row": normal((1, 3)),
    "two rows": normal((2, 9)),
    "four rows": normal((4, 9)),
    "as many rows as neighbors": normal((10, 3)),
    "one feature": normal((20, 1)),
    "more features than rows": normal((15, 70)),
    "constant features": np.column_stack([np.ones((20, 9)), normal((20, 1))]),
    "many constant features": np.column_stack([np.ones((60, 120)), normal((60, 1))]),
    "near duplicates": np.repeat(normal((4, 9)), 6, axis=0) + 1e-7 * normal((24, 9)),
    "far rows": np.concatenate([normal((20, 9)), 1e6 + normal((4, 9))]),
    "scales": normal((60, 4)) * [1e-12, 1, 1e6, 1e12],
    "heavy tails": np.random.default_rng(0).standard_cauchy((100, 3)),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("n_clusters", "images"), [(2, False), (12, True)])
@pytest.mark.parametrize("X", DEGENERATE.values(), ids=DEGENERATE)
def test_degenerate_tables_have_a_partition_without_a_warning(X, n_clusters, images):
    found = start(X, n_clusters, images=images)
    assert found.shape == (len(X), n_clusters)
    assert found.dtype == np.float32
    assert found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-4)
    n_distinct = len(np.unique(X, axis=0))
    assert np.count_nonzero(found.max(0) > 0.01) <= min(n_clusters, n_distinct)
    same_for_identical(X, found)


def test_one_cluster_has_all_rows():
    np.testing.assert_array_equal(start(np.arange(20.0)[:, None], 1), np.ones((20, 1)))


@pytest.mark.parametrize(("n_rows", "n_clusters"), [(2, 2), (3, 3), (12, 12), (30, 25)])
@pytest.mark.parametrize("n_features", [1, 5])
def test_few_rows_for_many_clusters_are_divided_into_several(n_rows, n_clusters, n_features):
    # where each row is a cluster its neighbors outvoted it, and many were one
    labels = partition(np.random.default_rng(0).standard_normal((n_rows, n_features)), n_clusters)
    assert n_clusters / 2 < len(np.unique(labels)) <= n_clusters


@pytest.mark.parametrize("n_references", [1, 2, 5])
def test_more_clusters_than_references_are_not_too_many(n_references):
    # there were less than no merges to make
    X = np.random.default_rng(0).standard_normal((40, 2))
    search = NEIGHBOR_SEARCH._replace(max_references=n_references)
    found = start(X, 8, search=search)
    assert found.shape == (40, 8)
    assert np.count_nonzero(found.max(0)) <= n_references


@pytest.mark.parametrize("n_clusters", [2, 3, 4])
def test_no_more_distinct_rows_than_clusters_are_each_a_cluster(n_clusters):
    X = np.repeat([[0.0, 0.0], [9.0, 9.0]], 20, axis=0)
    expected = np.repeat(np.eye(2, n_clusters), 20, axis=0)
    np.testing.assert_array_equal(start(X, n_clusters), expected)
