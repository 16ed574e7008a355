"""The density of rows: the bound, its terms and the importance-weighted estimate."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from torch.distributions import Normal

from skgmvae.elbo import Terms
from skgmvae.model import Posterior


def test_the_bound_of_elbo_is_score_samples_and_its_mean_the_score(clusterer, X):
    terms = clusterer.elbo(X)
    assert isinstance(terms, Terms)
    np.testing.assert_array_equal(terms.bound, clusterer.score_samples(X))
    np.testing.assert_allclose(
        terms.bound,
        terms.reconstruction - terms.conditional_prior - terms.w_prior - terms.z_prior,
    )
    assert clusterer.score(X) == pytest.approx(terms.bound.mean())
    assert isinstance(clusterer.score(X), float)
    assert (terms.z_prior >= -1e-9).all()
    assert (terms.z_prior <= np.log(3) + 1e-9).all()
    assert (terms.w_prior >= 0).all()
    assert (terms.conditional_prior >= 0).all()


def test_far_rows_have_a_lower_bound(clusterer, X):
    assert clusterer.score(X) > clusterer.score(X + 30)


@pytest.mark.parametrize("factor", [0.125, 64.0])
def test_scaling_by_a_power_of_2_shifts_the_log_density_and_nothing_else(
    fit, clusterer, X, factor
):
    scaled = fit(factor * X)
    np.testing.assert_allclose(
        scaled.score_samples(factor * X),
        clusterer.score_samples(X) - X.shape[1] * np.log(factor),
        rtol=1e-9, atol=1e-9,
    )
    np.testing.assert_array_equal(scaled.labels_, clusterer.labels_)
    np.testing.assert_allclose(scaled.predict_proba(factor * X), clusterer.predict_proba(X))
    np.testing.assert_allclose(
        scaled.history_["lower_bound"],
        clusterer.history_["lower_bound"] - X.shape[1] * np.log(factor), rtol=1e-9,
    )
    np.testing.assert_allclose(scaled.cluster_centers_, factor * clusterer.cluster_centers_)


def test_moving_changes_the_log_density_by_the_jacobian_up_to_rounding(fit, clusterer, X):
    moved = fit(2.0 * X + 100.0)
    np.testing.assert_allclose(
        moved.score_samples(2.0 * X + 100.0), clusterer.score_samples(X) - 4 * np.log(2.0),
        atol=0.05,
    )


@pytest.mark.parametrize(("scale", "least", "most"), [(1e-6, 0.999, 1.001), (30.0, 0.0, 0.7)])
def test_clusters_at_draws_are_those_at_the_means_unless_the_noise_decides(
    fit, X, scale, least, most
):
    estimator, X = fit(X), X.astype(np.float32)
    model = estimator.module_
    q = model.q

    def noisy(y):
        return Posterior(*(Normal(part.mean, scale * part.stddev) for part in q(y)))

    model.q = noisy
    at_means, at_draws = estimator._certainty(X)
    assert at_means == pytest.approx(estimator.predict_proba(X).max(1).mean(), abs=1e-6)
    assert least * at_means <= at_draws <= most * at_means


def test_the_density_integrates_to_one(fit):
    X = make_blobs(300, 2, centers=3, cluster_std=0.8, random_state=0)[0] * [1.0, 20.0]
    clusterer = fit(X, max_iter=150, consistency=0.0)
    low, high = X.min(0), X.max(0)
    edges = [
        np.linspace(a - 1.5 * (b - a), b + 1.5 * (b - a), 41)
        for a, b in zip(low, high, strict=True)
    ]
    grid = np.stack(np.meshgrid(*edges), -1).reshape(-1, 2)
    cell = np.prod([edge[1] - edge[0] for edge in edges])
    density = np.exp(clusterer.score_samples(grid, n_draws=500))
    assert density.sum() * cell == pytest.approx(1.0, abs=0.02)


def test_more_draws_are_nearer_the_density(clusterer, X):
    bound, few, many = (
        clusterer.score_samples(X, n_draws=n).mean() for n in (None, 5, 500)
    )
    assert bound < few < many


@pytest.mark.parametrize(("n_draws", "error"), [(0, ValueError), (1.5, TypeError)])
def test_a_bad_number_of_draws_is_named(clusterer, X, n_draws, error):
    with pytest.raises(error, match="n_draws"):
        clusterer.score_samples(X, n_draws=n_draws)
