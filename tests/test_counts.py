"""Counts are taken as they were counted, with a likelihood of their own."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering

FAMILIES = "poisson", "negative_binomial"
METHODS = (
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "reconstruct", "score_samples", "score",
)


def cells(n_cells=300, n_genes=120, shares=(0.4, 0.3, 0.2, 0.07, 0.03), seed=0):
    """Return negative binomial counts of groups of cells whose depths differ, and the groups."""
    random = np.random.default_rng(seed)
    y = random.choice(len(shares), size=n_cells, p=shares)
    base = random.gamma(0.5, 1, n_genes)
    is_marker = random.random((len(shares), n_genes)) < 0.15
    rates = base * np.where(is_marker, random.lognormal(1.5, 0.5, is_marker.shape), 1)
    mean = random.lognormal(6, 0.5, (n_cells, 1)) * (rates / rates.sum(1, keepdims=True))[y]
    return random.poisson(random.gamma(2.0, mean / 2.0)).astype(float), y


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request):
    X, y = cells(400, 200)
    model = GMVAEClustering(
        5, likelihood=request.param, max_iter=100, hidden_layer_sizes=(64,), random_state=0
    )
    return quiet_fit(model, X), X, y


@pytest.fixture(scope="module", params=FAMILIES)
def short(request):
    """Return a model of few epochs, and its rows; to be left as they are."""
    X, _ = cells()
    return quiet_fit(GMVAEClustering(5, likelihood=request.param, **SHORT), X), X


def test_groups_of_cells_are_found_whatever_their_depth(fitted):
    model, X, y = fitted
    assert adjusted_rand_score(y, model.labels_) > 0.95
    deeper = X * np.random.default_rng(1).integers(1, 5, (len(X), 1))
    assert adjusted_rand_score(model.labels_, model.predict(deeper)) > 0.95


@pytest.mark.parametrize("method", METHODS)
def test_every_method_answers_with_numbers(fitted, method):
    model, X, _ = fitted
    assert np.isfinite(getattr(model, method)(X[:50])).all()


def test_samples_are_counts_like_those_of_the_data(fitted):
    model, X, _ = fitted
    rows, labels = model.sample(600)
    assert (model.predict(rows) == labels).mean() > 0.9
    assert np.median(rows.sum(1)) == pytest.approx(np.median(X.sum(1)), rel=0.15)
    if model.likelihood == "negative_binomial":
        assert (rows.round() == 0).mean() == pytest.approx((X == 0).mean(), abs=0.04)
    # of Poisson's distribution the variance is the mean
    expected = model.reconstruct(rows)
    ratios = np.square(rows - expected)[expected > 1] / expected[expected > 1]
    assert (ratios.mean() > 2) == (model.likelihood == "negative_binomial")


def test_reconstructions_and_centers_are_expected_counts(fitted):
    model, X, _ = fitted
    found = model.reconstruct(X)
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(1), X.sum(1), rtol=0.01)
    np.testing.assert_array_equal(model.predict(model.cluster_centers_), np.arange(5))


def test_centers_are_the_mean_counts(short):
    model, X = short
    stream = GMVAEClustering(5, likelihood=model.likelihood, **SHORT).partial_fit(X)
    for one in (model, stream):
        memberships = np.square(one.predict_proba(X))
        memberships /= memberships.sum(1, keepdims=True)
        means = memberships.T @ X / memberships.sum(0)[:, None]
        are_means = one.predict(means) == np.arange(5)  # else a row of the cluster stands there
        np.testing.assert_allclose(one.cluster_centers_[are_means], means[are_means], rtol=1e-3)
        assert are_means.any()


def test_counts_that_vary_more_than_poisson_are_likelier_by_the_negative_binomial():
    X, _ = cells()
    scores = {
        family: quiet_fit(
            GMVAEClustering(5, likelihood=family, **SHORT | {"max_iter": 30}), X
        ).score(X)
        for family in FAMILIES
    }
    assert scores["negative_binomial"] > scores["poisson"] + 5


def test_sparse_counts_are_the_same(short):
    one, X = short
    other = quiet_fit(clone(one), sparse.csr_array(X))
    np.testing.assert_array_equal(one.labels_, other.labels_)
    np.testing.assert_allclose(
        one.score_samples(X), one.score_samples(sparse.csr_array(X)), rtol=1e-6
    )


def test_dtypes():
    X, _ = cells()
    X = np.minimum(X, 255)
    model = GMVAEClustering(5, likelihood="poisson", **SHORT)
    expected = quiet_fit(model, X).labels_
    for dtype in (np.uint8, np.int64, np.uint16, np.float32):
        np.testing.assert_array_equal(quiet_fit(model, X.astype(dtype)).labels_, expected)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("settings", [
    {"consistency": 0}, {"init": "random"}, {"n_mc_samples": 2},
    {"image_shape": (10, 12), "networks": "conv"},
    {"image_shape": (10, 12), "perturbation": "both"},
])
def test_settings(family, settings):
    X, _ = cells()
    model = quiet_fit(GMVAEClustering(5, likelihood=family, **SHORT | settings), X)
    assert np.isfinite(model.score_samples(X)).all()
    assert (model.sample(10)[0] >= 0).all()


def test_missing_counts_are_refused(short):
    # by the total of what is there, large features that are missing were taken for small ones
    model, X = short
    X = X.copy()
    X[0, 0] = np.nan
    for function in (model.predict, clone(model).fit):
        with pytest.raises(ValueError, match="the total of a row would not be known"):
            function(X)


def test_samples_can_be_fitted(short):
    # they were 2.000003, and refused
    model, _ = short
    rows, _ = model.sample(100)
    np.testing.assert_array_equal(rows, np.round(rows))
    quiet_fit(clone(model).set_params(n_clusters=2), rows)


def test_a_model_travels_goes_on_and_takes_streams(short):
    model, X = short
    loaded = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    assert quiet_fit(loaded.set_params(warm_start=True, max_iter=4), X).n_iter_ == 4
    with pytest.raises(ValueError, match="likelihood"):
        loaded.set_params(likelihood="gaussian", max_iter=6).fit(X)
    stream = clone(model)
    with warnings.catch_warnings(action="ignore"):
        stream.partial_fit(X[:200]).partial_fit(X[200:])
    assert np.isfinite(stream.score_samples(X)).all()


def test_few_columns_of_counts():
    random = np.random.default_rng(0)
    y = np.repeat([0, 1], 200)
    X = random.poisson(np.array([[30, 5, 10, 5], [5, 30, 5, 10]])[y])
    model = quiet_fit(GMVAEClustering(2, likelihood="poisson", random_state=0), X)
    assert adjusted_rand_score(y, model.labels_) > 0.95


def test_later_rows_to_train_on_are_counts_too(short):
    model, X = short
    fitted = pickle.loads(pickle.dumps(model)).set_params(warm_start=True, max_iter=4)
    for train in (fitted.fit, fitted.partial_fit):
        with pytest.raises(ValueError, match="needs counts"):
            train(X / 7)
    assert np.isfinite(fitted.score(X / 7))


def test_what_is_no_count_is_refused(short):
    model, X = short
    with pytest.raises(ValueError, match=r"needs counts.*raw counts"):
        clone(model).fit(np.log1p(X))
    with pytest.raises(ValueError, match="needs counts"):
        model.predict(-X)
    with pytest.raises(ValueError, match="categories"):
        clone(model).set_params(n_clusters=2).fit(
            pd.DataFrame({"n": [1, 2, 3, 4], "c": ["a", "b", "a", "b"]})
        )
