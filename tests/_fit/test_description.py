"""What is said of the training rows, p(z) among it, and the warnings."""

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from skgmvae._fit.description import DESCRIPTION, component_weights, describe
from skgmvae.fitted import Fitted

# large enough to keep uneven clusters
LARGE = {
    "latent_dim": 10, "style_dim": 10, "hidden_layer_sizes": "auto", "max_iter": "auto",
    "batch_size": 256,
}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def make(clusterer):
    """Return a function that makes a small clusterer, not fitted."""
    return lambda **parameters: clone(clusterer).set_params(**parameters)


class Posteriors(torch.nn.Module):
    """Stands for a model: its rows are the posteriors themselves."""

    def __init__(self, n_clusters):
        super().__init__()
        self.register_buffer("log_weights", torch.zeros(n_clusters, dtype=torch.float64))

    def q(self, y):
        return y

    def cluster_logits(self, y):
        return y.log()


def weights_of(posteriors, n_blocks=1):
    rows = torch.tensor(posteriors, dtype=torch.float64)
    return component_weights(Posteriors(rows.shape[1]), rows.tensor_split(n_blocks)).numpy()


# p(z)


def test_weights_are_shares_where_rows_are_sure_of_their_component():
    np.testing.assert_allclose(
        weights_of([[1, 0, 0]] * 6 + [[0, 1, 0]] * 3 + [[0, 0, 1]]), [0.6, 0.3, 0.1], atol=1e-9
    )


def test_weights_are_even_where_rows_are_not_sure_however_the_mean_leans():
    np.testing.assert_allclose(weights_of([[0.5, 0.3, 0.2]] * 5), 1 / 3, atol=1e-9)


def test_weights_are_the_mean_to_the_power_of_the_share_of_entropy_that_rows_take_away():
    posteriors = np.random.default_rng(0).dirichlet([2.0, 1.0, 0.5, 0.1], 50)
    mean = posteriors.mean(0)
    certainty = 1 - entropy(posteriors, axis=1).mean() / entropy(mean)
    expected = mean**certainty / (mean**certainty).sum()
    np.testing.assert_allclose(weights_of(posteriors), expected, rtol=1e-9)
    np.testing.assert_allclose(weights_of(posteriors, n_blocks=7), expected, rtol=1e-9)


def test_no_weight_is_zero_and_one_component_has_all():
    weights = weights_of([[1, 0]] * 5)
    assert 0 < weights[1] < 1e-10
    assert weights_of([[1.0]] * 5) == [1.0]


def test_a_short_fit_is_not_drawn_to_the_largest_component_by_its_weights(make):
    X, y = make_blobs(50, random_state=1)
    scores = []
    for seed in range(4):
        estimator = make(max_iter=30, random_state=seed, hidden_layer_sizes=(16,)).fit(X)
        estimator._fitted.module.set_weights()
        uniform = estimator._fitted.labels(X.astype(np.float32))
        scores.append(
            [adjusted_rand_score(y, estimator.labels_), adjusted_rand_score(y, uniform)]
        )
    ours, uniform = np.mean(scores, 0)
    assert ours >= uniform - 0.02


# the other attributes


def test_what_is_said_of_the_rows_agrees_with_the_methods(fit, X, device):
    estimator = fit(X, device=device)
    np.testing.assert_array_equal(estimator.labels_, estimator.predict(X))
    counts = np.bincount(estimator.labels_, minlength=3)
    np.testing.assert_array_equal(estimator.cluster_counts_, counts)
    assert estimator.n_clusters_found_ == np.count_nonzero(counts)
    assert estimator.weights_.sum() == pytest.approx(1)
    assert estimator.weights_.dtype == estimator.cluster_centers_.dtype == np.float64
    assert estimator.lower_bound_ == pytest.approx(estimator.score(X))
    assert isinstance(estimator.lower_bound_, float)
    assert isinstance(estimator.converged_, bool)
    odds = estimator.decision_function(X)
    for k in np.flatnonzero(counts):
        members = np.flatnonzero(estimator.labels_ == k)
        assert estimator.exemplar_indices_[k] == members[odds[members, k].argmax()]
    assert torch.device(estimator.device_) == torch.device(device)
    assert next(estimator.module_.parameters()).device == torch.device(device)
    assert not estimator.module_.training
    assert estimator.n_iter_ == 10


def test_the_bound_of_many_rows_is_that_of_some_that_lie_evenly(clusterer, X):
    model = clusterer._fitted
    _, of_all = describe(model, X, largest_first=False)
    assert of_all.lower_bound == pytest.approx(clusterer.score(X), rel=1e-12)
    rule = DESCRIPTION._replace(bound_rows=20)
    _, of_some = describe(model, X, largest_first=False, rule=rule)
    assert of_some.lower_bound == pytest.approx(clusterer.score(X[::3]), rel=1e-12)
    assert DESCRIPTION.bound_rows == 10_000  # as documented


def test_components_are_ordered_by_their_rows_and_empty_ones_have_no_exemplar(fit):
    X, _ = make_blobs([40, 30, 20], 3, centers=10 * np.eye(3), cluster_std=0.3, random_state=0)
    estimator = fit(X, n_clusters=6, max_iter=40)
    assert (np.diff(estimator.cluster_counts_) <= 0).all()
    n_found = estimator.n_clusters_found_
    assert n_found < 6
    assert set(estimator.labels_) == set(range(n_found))
    assert (estimator.exemplar_indices_[n_found:] == -1).all()
    assert (estimator.exemplar_indices_[:n_found] >= 0).all()
    assert (estimator.weights_ > 0).all()
    assert np.isfinite(estimator.predict_log_proba(X)).all()
    assert np.isfinite(estimator.cluster_centers_).all()


def test_cluster_centers_are_near_the_clusters_in_the_units_of_the_data(fit):
    X, _ = make_blobs(120, 3, centers=3, cluster_std=0.5, random_state=0)
    X = 1e-3 * X + 1e2
    estimator = fit(X, **LARGE)
    means = np.array([X[estimator.labels_ == k].mean(0) for k in range(3)])
    distances = np.linalg.norm(estimator.cluster_centers_[:, None] - means, axis=-1)
    assert distances.argmin(1).tolist() == [0, 1, 2]
    assert np.diag(distances).max() < 1e-3 * 3


# warnings


def test_rows_in_fewer_clusters_than_asked_for_are_warned_of_with_what_to_do(make):
    X, _ = make_blobs(90, 4, centers=3, cluster_std=0.3, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"fall into 3 .*n_clusters=6 .*init='random'"):
        make(n_clusters=6, max_iter=40, learning_rate_init=1e-2).fit(X)


def test_dead_components_are_warned_of_with_what_to_do(make, X):
    estimator = make(n_clusters=12, consistency=0, max_iter=3)
    with pytest.warns(ConvergenceWarning, match=r"components died.*raise consistency"):
        estimator.fit(X)
    assert estimator.n_clusters_found_ < 12


@pytest.mark.parametrize(("factor", "warned"), [(0.9, True), (1.1, False)])
def test_clusters_read_from_the_noise_are_warned_of(make, X, monkeypatch, factor, warned):
    at_draws = factor * DESCRIPTION.min_agreement * 0.9
    monkeypatch.setattr(Fitted, "certainty", lambda self, X: (0.9, at_draws))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        make(init="random", max_iter=2).fit(X)
    told = [str(warning.message) for warning in caught]
    assert any("the noise in w; raise consistency" in message for message in told) == warned
