"""The labelling protocol and Hungarian accuracy against counting by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering
from skgmvae.metrics import (
    clustering_accuracy,
    max_probability_accuracy,
    max_probability_labels,
    max_probability_scorer,
)

# cluster 0 is surest of row 1 ("b"), cluster 1 of row 3 ("a")
Y = ["a", "b", "b", "a", "b"]
SCORES = [[1.0, -1.0], [5.0, -5.0], [2.0, -2.0], [-9.0, 9.0], [-1.0, 1.0]]


def test_a_cluster_has_the_label_of_its_surest_row():
    assert max_probability_labels(Y, SCORES).tolist() == ["b", "a"]


def test_the_accuracy_counts_rows_whose_clusters_label_is_theirs():
    # rows 0, 1, 2 are called b, rows 3, 4 a: rows 1, 2 and 3 are right
    assert max_probability_accuracy(Y, SCORES) == pytest.approx(3 / 5)


def test_ties_go_to_the_most_frequent_label_then_to_the_first():
    certain = [[1.0, 0.0]] * 5
    assert max_probability_labels(["c", "b", "c", "a", "b"], certain)[0] == "b"
    assert max_probability_labels(["c", "b", "c", "a", "c"], certain)[0] == "c"


def protocol(y, scores):
    """Return the accuracy, by loops."""
    names = {}
    for k in range(len(scores[0])):
        best = max(row[k] for row in scores)
        tied = sorted(label for label, row in zip(y, scores, strict=True) if row[k] == best)
        names[k] = max(tied, key=tied.count)  # the first in order of those most frequent
    hits = 0
    for label, row in zip(y, scores, strict=True):
        assigned = next(k for k in range(len(row)) if row[k] == max(row))
        hits += names[assigned] == label
    return hits / len(y)


labels = st.lists(st.integers(0, 3), min_size=1, max_size=12)
coarse = st.sampled_from([-1.0, 0.0, 0.5, 1.0])  # ties are frequent


@st.composite
def problems(draw):
    y = draw(labels)
    n_clusters = draw(st.integers(1, 4))
    row = st.lists(coarse, min_size=n_clusters, max_size=n_clusters)
    return y, draw(st.lists(row, min_size=len(y), max_size=len(y)))


@given(problems())
def test_the_accuracy_is_that_of_the_loops(problem):
    assert max_probability_accuracy(*problem) == pytest.approx(protocol(*problem))


@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_is_of_no_effect(problem, random):
    y, scores = problem
    order = list(range(len(y)))
    random.shuffle(order)
    y_shuffled, scores_shuffled = [y[i] for i in order], [scores[i] for i in order]
    assert max_probability_accuracy(y, scores) == max_probability_accuracy(
        y_shuffled, scores_shuffled
    )
    assert np.array_equal(
        max_probability_labels(y, scores), max_probability_labels(y_shuffled, scores_shuffled)
    )


@given(problems())
def test_the_names_of_the_classes_are_of_no_effect(problem):
    y, scores = problem
    names = ["delta", "gamma", "beta", "alpha"]
    plain = max_probability_accuracy([f"{label}" for label in y], scores)
    assert plain == max_probability_accuracy(y, scores)
    certain = np.eye(len(y))  # no ties: then not even their order
    assert max_probability_accuracy([names[label] for label in y], certain) == 1.0


def test_infinite_scores_of_a_lone_cluster_are_allowed():
    assert max_probability_accuracy([0, 1, 1], [[np.inf]] * 3) == pytest.approx(2 / 3)


def test_an_empty_cluster_is_of_no_effect():
    with_empty = [[*row, -20.0] for row in SCORES]
    assert max_probability_accuracy(Y, with_empty) == max_probability_accuracy(Y, SCORES)
    assert max_probability_labels(Y, with_empty).shape == (3,)


def test_a_cluster_for_each_row_is_always_right():
    assert max_probability_accuracy([3, 1, 4, 1], np.eye(4)) == 1.0


def test_the_labels_may_come_from_another_set():
    swapped = max_probability_accuracy(
        Y, SCORES, y_labelling=["b", "a"], scores_labelling=[[0.0, 1.0], [1.0, 0.0]]
    )
    assert swapped == pytest.approx(2 / 5)  # 0, 1, 2 are called a and 3, 4 b
    absent = max_probability_accuracy(
        Y, SCORES, y_labelling=["z"], scores_labelling=[[0.0, 1.0]]
    )
    assert absent == 0.0
    same = max_probability_accuracy(Y, SCORES, y_labelling=Y, scores_labelling=SCORES)
    assert same == max_probability_accuracy(Y, SCORES)


def test_half_a_labelling_set_is_refused():
    for half in ({"y_labelling": Y}, {"scores_labelling": SCORES}):
        with pytest.raises(ValueError, match="y_labelling and scores_labelling go together"):
            max_probability_accuracy(Y, SCORES, **half)


def test_a_labelling_set_with_other_clusters_is_refused():
    with pytest.raises(ValueError, match="2 clusters and scores_labelling 3"):
        max_probability_accuracy(Y, SCORES, y_labelling=Y, scores_labelling=np.ones((5, 3)))


@pytest.mark.parametrize("function", [max_probability_labels, max_probability_accuracy])
def test_unusable_input_is_refused(function):
    with pytest.raises(ValueError, match="y_true is missing"):
        function(None, SCORES)
    with pytest.raises(ValueError, match="scores contains NaN"):
        function([0, 1], [[0.0, np.nan], [1.0, 0.0]])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        function(Y[:-1], SCORES)
    with pytest.raises(ValueError, match="2D array"):
        function(Y, [1.0] * 5)


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def test_the_scorer_takes_a_bare_mixture(iris):
    X, y = iris
    mixture = GaussianMixture(3, random_state=0).fit(X)
    expected = max_probability_accuracy(y, mixture.predict_proba(X))
    assert max_probability_scorer(mixture, X, y) == expected > 0.9


def test_the_scorer_takes_a_pipeline(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(3, random_state=0)).fit(X)
    expected = max_probability_accuracy(y, pipeline.predict_proba(X))
    assert max_probability_scorer(pipeline, X, y) == expected > 0.9


def test_the_scorer_uses_log_odds_where_there_are_any(clusterer, X):
    y = np.arange(len(X)) % 3
    expected = max_probability_accuracy(y, clusterer.decision_function(X))
    assert max_probability_scorer(clusterer, X, y) == expected

    class Both(BaseEstimator):
        def decision_function(self, X):
            return np.array([[1.0, 0.0], [0.0, 1.0]])

        def predict_proba(self, X):
            raise AssertionError

    assert max_probability_scorer(Both(), [[0], [0]], ["a", "b"]) == 1.0


def test_the_scorer_works_in_a_grid_search_beside_another_metric(iris):
    X, y = iris
    search = GridSearchCV(
        GaussianMixture(random_state=0), {"n_components": [1, 3]}, cv=2, refit="ari",
        scoring={"protocol": max_probability_scorer, "ari": "adjusted_rand_score"},
        error_score="raise",
    ).fit(X[::3], y[::3])
    protocol_scores = search.cv_results_["mean_test_protocol"]
    assert protocol_scores[1] > 0.7 > protocol_scores[0]
    assert search.best_params_ == {"n_components": 3}


@pytest.mark.filterwarnings("ignore:.*components died")
def test_the_scorer_works_in_a_grid_search_over_our_own_pipeline(iris):
    X, y = iris
    pipeline = make_pipeline(StandardScaler(), GMVAEClustering(
        3, latent_dim=2, style_dim=2, hidden_layer_sizes=(8,), max_iter=2, random_state=0,
        device="cpu",
    ))
    search = GridSearchCV(
        pipeline, {"gmvaeclustering__n_clusters": [2, 3]}, cv=2, refit="protocol",
        scoring={"protocol": max_probability_scorer, "ari": "adjusted_rand_score"},
        error_score="raise",
    )
    with pytest.warns(match="still changing"):
        search.fit(X[::3], y[::3])
    assert np.isfinite(search.cv_results_["mean_test_ari"]).all()
    assert 0 < search.best_score_ <= 1


def test_the_scorer_without_labels_says_what_to_do(clusterer, X):
    with pytest.raises(ValueError, match=r"pass y, as in GridSearchCV\.fit\(X, y\)"):
        max_probability_scorer(clusterer, X)


def test_the_scorer_names_an_estimator_without_scores(X):
    with pytest.raises(TypeError, match="KMeans has none of the methods decision_function"):
        max_probability_scorer(KMeans(2, n_init=1).fit(X), X, np.zeros(len(X)))


def brute_force_accuracy(y, clusters):
    classes = sorted(set(y))
    names = sorted(set(clusters))
    padded = [*classes, *[None] * len(names)]
    most = 0
    for choice in permutations(padded, len(names)):
        called = dict(zip(names, choice, strict=True))
        most = max(most, sum(called[c] == t for t, c in zip(y, clusters, strict=True)))
    return most / len(y)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=15))
def test_clustering_accuracy_is_the_best_matching(pairs):
    y, clusters = zip(*pairs, strict=True)
    assert clustering_accuracy(y, clusters) == pytest.approx(brute_force_accuracy(y, clusters))


def test_clustering_accuracy_by_hand():
    assert clustering_accuracy(["x", "x", "y", "y"], [7, 7, 3, 3]) == 1.0
    assert clustering_accuracy(["x", "x", "y", "y"], [0, 0, 0, 0]) == 0.5
    assert clustering_accuracy([0, 0, 0, 0], [0, 1, 2, 3]) == 0.25  # more clusters than classes


def test_clustering_accuracy_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clustering_accuracy([0, 1], [0])
    with pytest.raises(ValueError, match="y_true is empty"):
        clustering_accuracy([], [])
