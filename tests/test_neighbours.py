"""Neighbours are the nearest rows; the radius follows from them."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from skgmvae import neighbours
from skgmvae.data import DataSpace, Rows
from skgmvae.neighbours import find_neighbours, radius


def rows_of(X, likelihood="gaussian", image_shape=None):
    return Rows(X, DataSpace.fit(X, likelihood, image_shape), torch.device("cpu"))


def plain(X):
    """Rows that the model sees as they are."""
    space = DataSpace(np.zeros(X.shape[1]), np.ones(X.shape[1]), None, False)
    return Rows(X, space, torch.device("cpu"))


def radius_of(rows, seed=0):
    return radius(rows, find_neighbours(rows, seed))


def distances(X):
    between = cdist(X, X)
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
    point, references, nearest = find_neighbours(plain(X), 0)
    np.testing.assert_array_equal(point, np.arange(40))
    np.testing.assert_array_equal(references, np.arange(40))
    np.testing.assert_array_equal(nearest, np.argsort(distances(X), 1)[:, :10])


def test_many_features_are_projected_at_random_by_the_seed_alone(untouched_global_state):
    X = np.random.default_rng(0).standard_normal((70, 2001))
    X[:, :20] *= 40
    one, again = (find_neighbours(plain(X), 3).nearest for _ in range(2))
    np.testing.assert_array_equal(one, again)
    exact = PCA(50, svd_solver="full").fit_transform(X.astype(np.float32))
    nearest = np.argsort(distances(exact), 1)[:, :10]
    assert np.mean([np.isin(*pair).mean() for pair in zip(one, nearest, strict=True)]) > 0.95


def test_identical_rows_are_one_point_whose_neighbours_are_others():
    X = np.random.default_rng(0).standard_normal((30, 2))
    copies = np.append(np.arange(30), np.repeat(7, 20))
    found = find_neighbours(plain(X[copies]), 0)
    np.testing.assert_array_equal(found.point, copies)
    np.testing.assert_array_equal(found.nearest, find_neighbours(plain(X), 0).nearest)
    np.testing.assert_array_equal(radius(plain(X[copies]), found), radius_of(plain(X))[copies])


def test_zero_has_no_sign():
    X = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 3.0]])
    np.testing.assert_array_equal(find_neighbours(plain(X), 0).point, [0, 0, 1])


def test_rows_that_are_all_identical_have_no_neighbours_and_no_radius():
    found = find_neighbours(plain(np.ones((20, 2))), 0)
    assert found.nearest.shape == (1, 0)
    np.testing.assert_array_equal(radius(plain(np.ones((20, 2))), found), np.zeros(20))


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


def share_of_own(nearest, y):
    return float((y[nearest] == y[:, None]).mean())


def test_many_features_are_compared_by_their_principal_components_where_these_leave_noise_out():
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(4), 100)
    centres = random.standard_normal((4, 400))
    X = centres[y] + 4 * random.standard_normal((400, 400))
    nearest = find_neighbours(plain(X), 0).nearest
    projected = PCA(50, svd_solver="covariance_eigh").fit_transform(X.astype(np.float32))
    expected = np.argsort(distances(projected), 1)[:, :10]
    assert (nearest == expected).mean() > 0.99
    assert share_of_own(nearest, y) > share_of_own(np.argsort(distances(X), 1)[:, :10], y)


def test_many_features_are_compared_as_they_are_where_components_leave_out_what_matters():
    # 120 topics of ten words each that no other uses: more than 50 components can tell apart
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(120), 11)
    X = np.zeros((len(y), 1200))
    for row, topic in enumerate(y):
        X[row, 10 * topic + random.permutation(10)[:6]] = random.uniform(0.99, 1.01, 6)
    nearest = find_neighbours(plain(X), 0).nearest
    assert share_of_own(nearest, y) == 1.0
    projected = PCA(50, svd_solver="covariance_eigh").fit_transform(X)
    assert share_of_own(np.argsort(distances(projected), 1)[:, :10], y) < 0.95
