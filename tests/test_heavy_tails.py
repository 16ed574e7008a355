"""Tables with outliers, by a likelihood that has room for them."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering

HEAVY = SHORT | {"likelihood": "student_t"}


def clusters(n_rows=400, seed=0):
    """Return three clusters, a twentieth of whose entries have Cauchy noise, and their labels."""
    random = np.random.default_rng(seed)
    y = random.integers(3, size=n_rows)
    X = (np.eye(3, 4) * 8)[y] + random.normal(size=(n_rows, 4))
    return X + (random.random(X.shape) < 0.05) * random.standard_cauchy(X.shape), y


@pytest.fixture(scope="module")
def fitted():
    X, _ = clusters()
    return quiet_fit(GMVAEClustering(3, likelihood="student_t", random_state=0), X)


def test_new_rows_are_likelier_than_by_the_gaussian(fitted):
    X, _ = clusters()
    X_new, y_new = clusters(seed=1)
    gaussian = quiet_fit(GMVAEClustering(3, random_state=0), X)
    assert fitted.score(X_new) > gaussian.score(X_new) + 0.3
    assert adjusted_rand_score(y_new, fitted.predict(X_new)) > 0.9


@pytest.mark.parametrize("method", [
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "reconstruct", "score_samples", "elbo",
])
def test_every_method_answers_with_numbers(fitted, method):
    X, _ = clusters(50, seed=2)
    X[0, 0] = np.nan
    X[1, 1] = 1e12
    with warnings.catch_warnings(action="ignore"):
        assert np.isfinite(getattr(fitted, method)(X)).all()


def test_samples_have_heavy_tails(fitted):
    rows, labels = fitted.sample(3000)
    assert np.isfinite(rows).all()
    deviations = np.abs(rows - fitted.cluster_centers_[labels])
    assert np.median(deviations) < 2
    assert deviations.max() > 12
    means, _ = fitted.sample(3000, observation_noise=False)
    assert (np.abs(means) < 20).all()


def test_the_density_of_a_row_with_a_gap_integrates_over_it(fitted):
    X = np.array([[8.0, 0.0, 0.0, np.nan]])
    steps = np.arange(-30, 30, 0.1)
    grid = np.column_stack([np.tile(X[:, :3], (len(steps), 1)), steps])
    total = np.log((np.exp(fitted.score_samples(grid, n_draws=200)) * 0.1).sum())
    assert fitted.score_samples(X, n_draws=200)[0] == pytest.approx(total, abs=0.1)


def test_it_travels(fitted):
    X, _ = clusters(20)
    copy = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copy.score_samples(X), fitted.score_samples(X))


@pytest.mark.parametrize("settings", [
    {"consistency": 0}, {"init": "random"}, {"n_mc_samples": 2}, {"scale": None},
    {"image_shape": (2, 2), "networks": "conv"},
])
def test_settings(settings):
    X, _ = clusters()
    model = quiet_fit(GMVAEClustering(3, **HEAVY | settings), X)
    assert np.isfinite(model.score_samples(X)).all()


def test_beside_categories():
    X, y = clusters()
    table = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.array(["x", "y", "z"])[y])
    table.loc[3, "a"] = table.loc[4, "kind"] = np.nan
    model = quiet_fit(GMVAEClustering(3, **HEAVY), table)
    assert np.isfinite(model.score_samples(table)).all()
    rows, _ = model.sample(20)
    assert set(rows["kind"]) <= {"x", "y", "z"}


def test_a_stream():
    X, _ = clusters()
    model = GMVAEClustering(3, **HEAVY)
    with warnings.catch_warnings(action="ignore"):
        for chunk in np.array_split(X, 4):
            model.partial_fit(chunk)
    assert np.isfinite(model.score_samples(X)).all()
