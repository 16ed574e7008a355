"""Tables of flags and categories alone have the probabilities of the latent class model."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score
from sklearn.naive_bayes import CategoricalNB

from skgmvae._rows import Rows
from skgmvae._start.latent_classes import (
    LATENT_CLASSES,
    class_probabilities,
    encoded_categories,
)


def rows_of(X):
    return Rows.of_array(np.asarray(X, np.float32), torch.device("cpu"))


def encoded(X, **policy):
    return encoded_categories(rows_of(X), policy=LATENT_CLASSES._replace(**policy))


def probabilities(X, n_classes, seed=0, **policy):
    return class_probabilities(
        encoded(X), n_classes, np.random.RandomState(seed),
        policy=LATENT_CLASSES._replace(**policy),
    )


def unequal_classes(weights, n_columns, certainty, n_samples, random):
    """Return flags, typical of a class with a probability of `certainty`, and the classes."""
    y = random.choice(len(weights), n_samples, p=weights)
    typical = random.integers(0, 2, (len(weights), n_columns))
    typical[-1] = 1 - typical[0]
    is_typical = random.random((n_samples, n_columns)) < certainty
    return np.where(is_typical, typical[y], 1 - typical[y]), y


# Which tables


def test_each_variable_has_one_category_in_a_row():
    random = np.random.default_rng(0)
    levels, flag = random.integers(0, 3, 40), random.integers(0, 2, 40)
    X = np.column_stack([2 * np.eye(3)[levels] - 5, flag, np.full(40, 7)])
    found = encoded(X)
    np.testing.assert_array_equal(found.variable, [0, 0, 0, 1, 1])
    expected = np.column_stack([np.eye(3)[levels], 1 - flag, flag]).astype(bool)
    np.testing.assert_array_equal(found.is_in, expected)


@pytest.mark.parametrize("last", [0.5, 2.0, -1.0])
def test_a_column_of_more_values_is_no_flag(last):
    flags = np.random.default_rng(0).integers(0, 2, (6000, 3)).astype(float)
    assert encoded(flags) is not None
    flags[-1, 1] = last  # in the last block
    assert encoded(flags) is None


def test_a_constant_table_has_no_categories():
    assert encoded(np.ones((10, 3))) is None


def test_many_flags_are_taken_for_pixels_unless_they_are_one_hot():
    random = np.random.default_rng(0)
    assert encoded(random.integers(0, 2, (200, 51))) is None
    assert encoded(random.integers(0, 2, (200, 50))) is not None
    X = np.hstack([np.eye(4)[random.integers(0, 4, 200)] for _ in range(30)])
    assert encoded(X).variable.max() == 29
    assert encoded(load_digits().data > 7) is None


# What the model says


def test_one_step_is_that_of_naive_bayes_on_the_clusters_of_k_means(generated):
    X, _ = generated.make_categories((2, 3), 6, 3, 0.7, n_samples=300, random_state=0)
    categories = encoded(X)
    levels = np.column_stack([
        categories.is_in[:, categories.variable == number].argmax(1)
        for number in range(categories.variable.max() + 1)
    ])
    random = np.random.RandomState(0)
    random.permutation(300)
    order = np.random.RandomState(0).permutation(300)
    labels = np.empty(300, int)
    labels[order] = KMeans(3, n_init=1, random_state=random).fit_predict(
        categories.is_in[order].astype(float)
    )
    expected = CategoricalNB(alpha=1).fit(levels, labels).predict_proba(levels)
    found = probabilities(X, 3, n_init=1, max_iter=1)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)


@pytest.mark.parametrize("table", [
    "5_flags+categories", "8_flags", "12_flags", "10_categories", "20_flags+categories",
])
def test_classes_are_found_as_well_as_by_k_means(generated, table):
    found, by_kmeans = [], []
    for seed in range(3):
        X, y = generated.TABLES["categories"][table](random_state=seed)
        n_classes = y.max() + 1
        labels = probabilities(X, n_classes, seed).toarray().argmax(1)
        found.append(adjusted_rand_score(y, labels))
        kmeans = KMeans(n_classes, n_init=10, random_state=seed)
        by_kmeans.append(adjusted_rand_score(y, kmeans.fit_predict(X)))
    assert np.mean(found) > np.mean(by_kmeans) - 0.01


@pytest.mark.parametrize("seed", range(4))
def test_a_rare_class_is_found(seed):
    # k-means divides the large class: .1 to .3
    X, y = unequal_classes([0.97, 0.03], 14, 0.85, 1000, np.random.default_rng(seed))
    labels = probabilities(X, 2, seed).toarray().argmax(1)
    assert adjusted_rand_score(y, labels) > 0.8


def test_where_models_are_as_likely_clusters_are_compact(generated):
    # of four flags the likeliest model has a class of 32 rows, and an ARI of 0
    X, y = generated.make_categories((2,), 4, 2, 0.7, random_state=4)
    labels = probabilities(X, 2).toarray().argmax(1)
    assert adjusted_rand_score(y, labels) > 0.4


def test_probabilities_mean_what_they_say():
    weights, certainty = [0.7, 0.3], 0.75
    random = np.random.default_rng(0)
    X, y = unequal_classes(weights, 10, certainty, 4000, random)
    typical = np.array([X[y == k].mean(0) > 0.5 for k in range(2)])
    joint = np.log(weights) + np.array([
        np.where(typical[k] == X, np.log(certainty), np.log(1 - certainty)).sum(1)
        for k in range(2)
    ]).T
    posterior = np.exp(joint - np.logaddexp(*joint.T)[:, None])
    found = probabilities(X, 2).toarray()
    found = min((found, found[:, ::-1]), key=lambda p: np.abs(p - posterior).sum())
    assert np.abs(found - posterior).mean() < 0.02


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, 12), st.integers(2, 5))
def test_rows_sum_to_one_and_copies_are_equal(seed, n_columns, n_classes):
    X = np.random.default_rng(seed).integers(0, 2, (60, n_columns))
    X[0], X[1] = 0, 1
    found = probabilities(X, n_classes, n_init=2).toarray()
    assert found.shape == (60, n_classes)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-5)
    for row in np.unique(X, axis=0):
        copies = found[(row == X).all(1)]
        np.testing.assert_array_equal(copies, copies[:1].repeat(len(copies), 0))


def test_rows_beyond_those_that_it_is_fitted_to_follow(generated):
    X, y = generated.make_categories((2,), 12, 2, 0.8, n_samples=3000, random_state=0)
    found = probabilities(X, 2, max_fit_rows=300).toarray()
    assert adjusted_rand_score(y, found.argmax(1)) > 0.9


def test_missing_categories_are_left_out(generated):
    X, y = generated.TABLES["categories"]["20_flags+categories"](random_state=0)
    random = np.random.default_rng(0)
    X = X.copy()
    first = 0
    for group in np.split(np.arange(X.shape[1]), np.cumsum(widths_of(X))[:-1]):
        X[np.ix_(random.random(len(X)) < 0.3, group)] = np.nan
        first += len(group)
    complete = encoded(generated.TABLES["categories"]["20_flags+categories"](random_state=0)[0])
    found = encoded(X)
    np.testing.assert_array_equal(found.variable, complete.variable)
    n_known = np.array([
        found.is_in[:, found.variable == number].sum(1)
        for number in range(found.variable.max() + 1)
    ])
    assert set(np.unique(n_known)) == {0, 1}
    labels = probabilities(X, y.max() + 1).toarray().argmax(1)
    assert adjusted_rand_score(y, labels) > 0.75


def widths_of(X):
    """Return how many columns each variable has, of which every second is a flag."""
    return [1, 3] * (X.shape[1] // 4)


def test_a_row_without_categories_has_the_sizes_of_the_classes():
    X, _ = unequal_classes([0.7, 0.3], 10, 0.9, 500, np.random.default_rng(0))
    X = X.astype(float)
    X[0] = np.nan
    found = probabilities(X, 2).toarray()
    np.testing.assert_allclose(found[0], found[1:].mean(0), atol=0.02)
