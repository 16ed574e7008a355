"""Rows with missing values (NaN) are taken as they are, by every method."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits, make_blobs
from sklearn.impute import SimpleImputer
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering

METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "reconstruct", "score_samples", "score",
)
LEARNED = SHORT | {"max_iter": 60, "learning_rate_init": 1e-2}


def without(X, share, seed=0):
    """Return X without this share of its values, but for one of each column and row."""
    random = np.random.default_rng(seed)
    removed = random.random(X.shape) < share
    removed[random.integers(len(X), size=X.shape[1]), np.arange(X.shape[1])] = False
    removed[np.arange(len(X)), random.integers(X.shape[1], size=len(X))] = False
    return np.where(removed, np.nan, X)


def blobs(n_samples=300, n_features=5, seed=0):
    return make_blobs(n_samples, n_features, centers=3, cluster_std=0.6, random_state=seed)


@pytest.fixture(scope="module")
def fitted():
    X, y = blobs()
    X = without(X, 0.2)
    return quiet_fit(GMVAEClustering(3, **LEARNED), X), X, y


def test_clusters_are_found(fitted):
    model, X, y = fitted
    assert adjusted_rand_score(y, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(X), model.labels_)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_method_answers_with_numbers(fitted, method, dtype):
    model, X, _ = fitted
    result = getattr(model, method)(X.astype(dtype))
    assert np.isfinite(result).all()
    if method not in ("predict", "score"):
        assert result.dtype == dtype


def test_what_is_said_of_the_fit_are_numbers(fitted):
    model, X, _ = fitted
    for value in (model.cluster_centers_, model.lower_bound_, *model.latent_components()):
        assert np.isfinite(value).all()
    for name, of_epochs in model.history_.items():
        assert np.isfinite(of_epochs).all(), name
    rows, _ = model.sample(20)
    assert np.isfinite(rows).all()
    np.testing.assert_array_equal(model.predict(model.cluster_centers_), np.arange(3))
    means = np.array([np.nanmean(X[model.labels_ == k], axis=0) for k in range(3)])
    assert np.abs(model.cluster_centers_ - means).max() < 1.0


def test_rows_are_judged_one_by_one(fitted):
    model, X, _ = fitted
    np.testing.assert_allclose(
        model.predict_proba(X[:20]), np.vstack([model.predict_proba(X[[i]]) for i in range(20)]),
        atol=1e-12,
    )


def test_a_row_without_values_has_the_probabilities_of_any(fitted):
    model, X, _ = fitted
    empty = np.full((1, X.shape[1]), np.nan)
    np.testing.assert_allclose(model.predict_proba(empty)[0], model.weights_, atol=1e-6)
    assert np.abs(model.score_samples(empty, n_draws=200)) < 0.1  # there is nothing to be seen
    assert np.isfinite(model.reconstruct(empty)).all()


def test_a_model_of_complete_rows_answers_too():
    X, y = blobs()
    model = quiet_fit(GMVAEClustering(3, **LEARNED), X)
    X = without(X, 0.1)
    assert adjusted_rand_score(y, model.predict(X)) > 0.8
    assert np.isfinite(model.score_samples(X, n_draws=10)).all()


def test_reconstructions_are_nearer_than_the_mean(fitted):
    model, X, _ = fitted
    complete, _ = blobs()
    is_missing = np.isnan(X)
    error, of_mean = (
        np.square(found - complete)[is_missing].mean()
        for found in (model.reconstruct(X), SimpleImputer().fit_transform(X))
    )
    assert error < 0.3 * of_mean


def test_the_density_is_that_of_the_values_that_are_there():
    random = np.random.default_rng(0)
    X = random.standard_normal((1500, 3)) @ [[1, 0.8, 0], [0, 0.6, 0.5], [0, 0, 1]]
    model = quiet_fit(GMVAEClustering(1, **SHORT | {"max_iter": 60}), without(X, 0.1))
    mixture = GaussianMixture(1).fit(X)
    new = random.standard_normal((300, 3)) @ [[1, 0.8, 0], [0, 0.6, 0.5], [0, 0, 1]]
    assert model.score_samples(new, n_draws=64).mean() == pytest.approx(
        mixture.score(new), abs=0.15
    )
    new[:, 1] = np.nan
    of_the_others = GaussianMixture(1).fit(X[:, [0, 2]]).score(new[:, [0, 2]])
    assert model.score_samples(new, n_draws=64).mean() == pytest.approx(of_the_others, abs=0.15)


def test_units_of_the_density_are_those_of_the_values_that_are_there():
    X, _ = blobs()
    X = without(X, 0.2)
    factors = np.array([10.0, 1.0, 1.0, 1.0, 0.1])
    model, scaled = (
        quiet_fit(GMVAEClustering(3, **SHORT), rows) for rows in (X, factors * X)
    )
    expected = model.score_samples(X) - ~np.isnan(X) @ np.log(factors)
    np.testing.assert_allclose(scaled.score_samples(factors * X), expected, atol=0.02)


@pytest.mark.parametrize("settings", [
    {}, {"consistency": 0}, {"init": "random"}, {"n_mc_samples": 3},
    {"likelihood": "bernoulli"}, {"perturbation": lambda y, generator: y + 0.01},
    {"image_shape": (8, 8), "perturbation": "affine"},
    {"image_shape": (8, 8), "networks": "conv"},
    {"image_shape": (8, 8), "networks": "conv", "likelihood": "bernoulli"},
])
def test_settings(settings):
    X = without(load_digits().data[:80] / 16, 0.3)
    model = quiet_fit(GMVAEClustering(10, **SHORT | settings), X)
    for method in METHODS:
        assert np.isfinite(getattr(model, method)(X)).all(), method


def test_networks_of_the_users_see_zeros():
    def networks(data_shape, latent_dim, style_dim, n_parameters):
        class Encoder(nn.Linear):
            def forward(self, y):
                assert torch.isfinite(y).all()
                return super().forward(y)

        return Encoder(*data_shape, 16), nn.Linear(style_dim, 16), nn.Linear(latent_dim, 16)

    X = without(blobs()[0], 0.2)
    model = quiet_fit(GMVAEClustering(3, networks=networks, random_state=0, max_iter=2), X)
    assert np.isfinite(model.score_samples(X)).all()


def test_streams(fitted):
    X, y = blobs(600)
    X = without(X, 0.2)
    model = GMVAEClustering(3, **LEARNED)
    with warnings.catch_warnings(action="ignore"):
        for _ in range(10):
            for chunk in np.split(X, 3):
                model.partial_fit(chunk)
        assert adjusted_rand_score(y, model.predict(X)) > 0.8
        model.partial_fit(X[:1])
        complete = GMVAEClustering(3, **SHORT).partial_fit(blobs()[0])
        complete.partial_fit(X)  # the first with missing values
    assert np.isfinite(complete.score_samples(X)).all()


def test_a_model_goes_on_and_comes_back(fitted):
    model, X, _ = fitted
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    continued = clone(model).set_params(max_iter=2, warm_start=True)
    quiet_fit(continued, X)
    quiet_fit(continued.set_params(max_iter=4), blobs()[0])
    assert continued.n_iter_ == 4


def test_scalers_pass_them_on():
    X, y = blobs()
    pipeline = make_pipeline(StandardScaler(), GMVAEClustering(3, **LEARNED))
    labels = quiet_fit(pipeline, without(X, 0.1)).predict(X)
    assert adjusted_rand_score(y, labels) > 0.9


def test_a_column_without_values_is_named():
    X = blobs()[0]
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match=r"Column 2 of X has no values.*drop"):
        GMVAEClustering(3).fit(X)


@pytest.mark.parametrize("method", ["fit", "predict"])
def test_infinity_is_no_missing_value(fitted, method):
    model, X, _ = fitted
    X = X.copy()
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        getattr(clone(model) if method == "fit" else model, method)(X)


def test_a_constant_column_with_gaps_is_known(fitted):
    X = without(np.column_stack([blobs()[0], np.full(300, 7.0)]), 0.2)
    model = quiet_fit(GMVAEClustering(3, **SHORT), X)
    np.testing.assert_array_equal(model.reconstruct(X)[:, -1], 7)


def test_tags_say_so():
    assert GMVAEClustering().__sklearn_tags__().input_tags.allow_nan


def test_a_column_without_values_is_named_whatever_the_likelihood():
    X = np.random.default_rng(0).random((50, 3))
    X[:, 2] = np.nan
    with pytest.raises(ValueError, match="Column 2 of X has no values"):
        GMVAEClustering(2, likelihood="bernoulli").fit(X)
