"""What is said of the training rows, p(z) among it."""

import copy
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from scipy.stats import entropy
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score

from helpers import LARGE, QUIET
from skgmvae._fit import description
from skgmvae._fit.description import (
    DESCRIPTION,
    component_weights,
    describe,
    latent_mixture,
)
from skgmvae._model import AGGREGATION, Architecture
from skgmvae._objective import Terms
from skgmvae._rows import Units
from skgmvae.distributed import ALONE
from skgmvae.fitted import Fitted
from skgmvae.likelihoods import LIKELIHOODS

pytestmark = QUIET


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


@pytest.mark.parametrize("to_fit", [None, [0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
def test_weights_are_tempered_as_far_as_rows_are_less_decided_than_their_pseudo_labels(to_fit):
    def certainty(p):
        return 1 - entropy(p) / np.log(2)

    rows = torch.tensor([[0.7, 0.3]] * 4, dtype=torch.float64)
    given = None if to_fit is None else csr_array(np.array([to_fit] * 4, np.float32))
    weights = component_weights(Posteriors(2), [rows], given).numpy()
    power = certainty([0.7, 0.3]) / (1.0 if to_fit is None else certainty(to_fit))
    expected = np.array([0.7, 0.3]) ** min(1.0, power)
    np.testing.assert_allclose(weights, expected / expected.sum(), atol=1e-6)


def test_weights_are_shares_where_rows_are_sure_of_their_component():
    np.testing.assert_allclose(
        weights_of([[1, 0, 0]] * 6 + [[0, 1, 0]] * 3 + [[0, 0, 1]]), [0.6, 0.3, 0.1], atol=1e-9
    )


def test_weights_are_even_where_rows_are_not_sure_however_the_mean_leans():
    np.testing.assert_allclose(weights_of([[1 / 3] * 3] * 5), 1 / 3, atol=1e-9)
    np.testing.assert_allclose(weights_of([[0.5, 0.3, 0.2]] * 5), 1 / 3, atol=0.03)


def test_weights_of_uneven_clusters_are_their_shares_where_rows_are_nearly_sure():
    weights = weights_of([[0.99, 0.01]] * 950 + [[0.01, 0.99]] * 50)
    np.testing.assert_allclose(weights, [0.95, 0.05], atol=0.03)


def test_weights_are_the_mean_to_the_power_of_the_share_of_log_k_that_rows_take_away():
    posteriors = np.random.default_rng(0).dirichlet([2.0, 1.0, 0.5, 0.1], 50)
    mean = posteriors.mean(0)
    certainty = 1 - entropy(posteriors, axis=1).mean() / np.log(4)
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


# p(x|z)


def moments_by_hand(model, y, power):
    q_x, q_w = model.q(y)
    r = (power * model.cluster_logits((q_x, q_w))).softmax(-1).detach().numpy()
    mean, variance = q_x.mean.detach().numpy(), q_x.variance.detach().numpy()
    means = r.T @ mean / r.sum(0)[:, None]
    covariances = np.array([
        np.cov(mean.T, aweights=r[:, k], ddof=0) + np.diag(np.average(variance, 0, r[:, k]))
        for k in range(r.shape[1])
    ])
    return means, covariances, r.T @ y.numpy() / r.sum(0)[:, None]


def test_the_latent_mixture_has_the_moments_of_the_aggregate_posterior(make_model):
    model = make_model()
    y = torch.randn(200, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    means, covariances, mean_rows = moments_by_hand(model, y, AGGREGATION.power)
    for n_blocks in (1, 3):
        found = latent_mixture(model, y.tensor_split(n_blocks))
        np.testing.assert_allclose(found.means, means, atol=1e-5)
        np.testing.assert_allclose(found.covariances, covariances, atol=1e-4)
        np.testing.assert_allclose(found.mean_rows, mean_rows, atol=1e-5)


def test_the_latent_mixture_follows_a_permutation_of_the_components(make_model):
    model, order = make_model(), torch.tensor([2, 0, 1])
    y = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = latent_mixture(model, [y]).reordered(order)
    model.reorder_components(order)
    for one, other in zip(before, latent_mixture(model, [y]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-8)


def test_a_component_without_rows_is_that_of_the_prior_at_w_0(make_model):
    model = make_model()
    model.set_weights(torch.tensor([1.0, 1.0, 1e-30], dtype=torch.float64))
    y = torch.randn(50, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, typical = latent_mixture(model, [y]), model.typical_p_x()
    np.testing.assert_allclose(found.means[2], typical.mean[2].detach(), rtol=1e-6)
    expected = torch.diag(typical.variance[2]).detach()
    np.testing.assert_allclose(found.covariances[2], expected, rtol=1e-6, atol=1e-8)
    decoded = model.p_y(typical.mean).mean[2].detach()
    np.testing.assert_allclose(found.mean_rows[2], decoded, rtol=1e-6, atol=1e-8)


def test_rows_before_count_as_rows(make_model):
    model = make_model(1)
    y = torch.randn(90, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = latent_mixture(model, [y[:60]])
    n_rows = torch.tensor([60.0], dtype=torch.float64)
    both = latent_mixture(model, [y[60:]], before, n_rows)
    for one, other in zip(both, latent_mixture(model, [y]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_partial_fit_alone_fits_the_latent_distribution_to_what_it_remembers(make, X):
    estimator = make(consistency=10.0)
    for chunk in (X[:30], X[30:]):
        estimator.partial_fit(chunk)
    module = estimator.module_
    seen = estimator._fitted.units.to_model(X, torch.float32, torch.device("cpu"))
    expected = latent_mixture(module, [seen])
    for one, other in zip(estimator._fitted.latent_mixture, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_partial_fit_keeps_the_latent_distribution_of_clusters_that_a_chunk_lacks(fit):
    X, _ = make_blobs(300, 3, centers=10 * np.eye(3), random_state=0)
    estimator = fit(X, max_iter=60, learning_rate_init=1e-2)
    means, covariances = estimator.latent_components()
    chunk = X[estimator.labels_ == 0][:30]
    estimator.partial_fit(chunk)
    new_means, new_covariances = estimator.latent_components()
    scale = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    assert (np.abs(new_means - means) / scale)[1:].max() < 0.5
    assert np.isfinite(new_covariances).all()
    np.testing.assert_array_equal(new_means.shape, (3, 2))


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
    _, of_all = describe(model, X, None, largest_first=False)
    assert of_all.lower_bound == pytest.approx(clusterer.score(X), rel=1e-12)
    rule = DESCRIPTION._replace(bound_rows=20)
    _, of_some = describe(model, X, None, largest_first=False, rule=rule)
    assert of_some.lower_bound == pytest.approx(clusterer.score(X[::3]), rel=1e-12)
    assert DESCRIPTION.bound_rows == 10_000  # as documented


@pytest.mark.parametrize("largest_first", [True, False])
def test_pseudo_labels_are_numbered_as_the_components_are_after_ordering(
    clusterer, X, largest_first
):
    n_before = np.bincount(clusterer.labels_, minlength=3)
    order = np.argsort(n_before)  # the smallest first, which describing turns around
    module = copy.deepcopy(clusterer.module_)
    module.reorder_components(torch.from_numpy(order))
    before = clusterer._fitted
    model = Fitted(before.architecture, module, before.units)
    given = np.random.default_rng(0).dirichlet(np.ones(3), len(X)).astype(np.float32)
    pseudo_labels = csr_array(given)
    _, found = describe(model, X, pseudo_labels, largest_first=largest_first)
    labels = model.labels(X)
    positions = np.argsort(-np.bincount(labels, minlength=3), kind="stable")
    to_new = np.argsort(positions) if largest_first else np.arange(3)
    np.testing.assert_array_equal(found.labels, to_new[labels])
    np.testing.assert_array_equal(found.init_labels, to_new[given.argmax(1)])
    np.testing.assert_array_equal(pseudo_labels.toarray(), given)
    assert describe(model, X, None, largest_first=largest_first)[1].init_labels is None


class Ties(torch.nn.Module):
    """Stands for a model: rows are the logits of its components, some of them as large."""

    def __init__(self, n_clusters):
        super().__init__()
        self.register_buffer("log_weights", torch.zeros(n_clusters))
        self.order = torch.arange(n_clusters)

    def n_multiplications(self, data_shape):
        return 0

    def reorder_components(self, order):
        self.order = self.order[order]

    def q(self, y):
        return y

    def cluster_logits(self, y):
        return y[:, self.order].log_softmax(1)


def test_rows_between_components_have_the_first_of_them_in_their_new_order(monkeypatch):
    logits = 9.0 * np.eye(3, dtype=np.float32)[[0, 1, 1, 1, 2, 2, 2, 2, 0]]
    logits[8] = [9, 0, 9]
    ones = np.ones(3)
    units = Units(0 * ones, ones, np.nan * ones, None, -9 * ones, 9 * ones, ones, ones)
    monkeypatch.setattr(description, "_centers", lambda *arguments: None)
    no_terms = Terms(*[np.zeros(1)] * len(Terms._fields))
    monkeypatch.setattr(Fitted, "elbo", lambda *arguments: no_terms)
    model = Fitted(SimpleNamespace(n_clusters=3, data_shape=(3,)), Ties(3), units)
    fitted, found = describe(model, logits, None, largest_first=True)
    assert found.labels.tolist() == [2, 1, 1, 1, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(found.labels, fitted.labels(logits))
    assert found.cluster_counts.tolist() == [5, 3, 1]
    assert found.exemplar_indices.tolist() == [4, 1, 0]


@pytest.mark.parametrize("n_clusters", [2, 5])
def test_the_exemplar_is_the_surest_row_by_an_oracle(n_clusters):
    source = np.random.default_rng(0)
    labels, odds = source.integers(0, n_clusters - 1, 200), source.integers(0, 20, 200) / 1.0
    surest = np.where(labels[:, None] == np.arange(n_clusters), odds[:, None], -np.inf)
    found = description._first_largest(odds, labels, n_clusters, ALONE)
    np.testing.assert_array_equal(found, surest.argmax(0))


def test_the_most_probable_cluster_is_the_first_of_equals():
    given = np.random.default_rng(0).integers(0, 3, (200, 6)).astype(np.float32)
    given[:, 4] += given.sum(1) == 0
    np.testing.assert_array_equal(description._most_probable(csr_array(given)), given.argmax(1))
    order = np.array([3, 0, 5, 1, 4, 2])
    found = description._most_probable(csr_array(given)[:, order])
    np.testing.assert_array_equal(found, given[:, order].argmax(1))


def test_a_description_holds_few_values_of_each_row(monkeypatch):
    X = np.random.default_rng(0).standard_normal((12_000, 2)).astype(np.float32)
    n_clusters = 100
    architecture = Architecture(
        (2,), n_clusters, 2, 2, (4,), "dense", LIKELIHOODS["gaussian"]
    )
    module = architecture.build(torch.device("cpu"), 0).eval()
    fitted = Fitted(architecture, module, Units.standardizing(X, None))
    tracemalloc.start()
    describe(fitted, X, None, largest_first=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.5 * len(X) * n_clusters * 4


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
