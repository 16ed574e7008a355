"""Fits: whole, continued, a batch at a time, and those that fail."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_blobs
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score

from skgmvae import GMVAEClustering

SMALL = {"hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2}
QUICK = {**SMALL, "max_iter": 3}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(120, n_features=3, centers=3, cluster_std=0.5, random_state=0)


def state_of(estimator):
    return {name: value.clone() for name, value in estimator.module_.state_dict().items()}


def test_a_fit_that_raises_leaves_the_object_as_it_was(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, **QUICK)
    with pytest.raises(ValueError, match="min_information"):
        estimator.set_params(min_information=9.0).fit(X)
    assert not hasattr(estimator, "module_")


def test_a_fit_that_is_refused_leaves_a_fitted_object_as_it_was(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, random_state=0, **QUICK).fit(X)
    labels = estimator.labels_
    with pytest.raises(ValueError, match="n_samples=120"):
        estimator.set_params(n_clusters=200).fit(np.ones((120, 5)))
    np.testing.assert_array_equal(estimator.predict(X), labels)


def test_a_first_fit_that_is_refused_leaves_an_unfitted_object(blobs):
    estimator = GMVAEClustering(200, **QUICK)
    with pytest.raises(ValueError, match="n_clusters=200"):
        estimator.fit(blobs[0])
    with pytest.raises(NotFittedError):
        estimator.predict(blobs[0])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_fit_that_fails_while_training_leaves_a_fitted_object_as_it_was(method, blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, random_state=0, **QUICK).fit(X)
    labels = estimator.labels_
    estimator.set_params(perturbation=lambda y, source: y * torch.nan)
    rows = np.hstack([X, X[:, :1]]) if method == "fit" else X
    with pytest.raises(ValueError, match="not finite"):
        getattr(estimator, method)(rows)
    assert estimator.n_features_in_ == 3
    np.testing.assert_array_equal(estimator.predict(X), labels)


@pytest.mark.parametrize("networks", [
    lambda *shape: None,
    lambda *shape: (torch.nn.Identity(),) * 3,
    lambda *shape: (torch.nn.Linear(2, 2),) * 3,
], ids=["none", "wrong shapes", "wrong input"])
def test_a_factory_that_breaks_its_contract_is_named(networks, blobs):
    with pytest.raises(ValueError, match=r"networks=.* must return three torch modules"):
        GMVAEClustering(3, networks=networks, **QUICK).fit(blobs[0])


@pytest.mark.parametrize("perturbation", [lambda y, source: None, lambda y, source: y[:, :1]])
def test_a_perturbation_that_breaks_its_contract_is_named(perturbation, blobs):
    with pytest.raises(ValueError, match=r"perturbation=.* must return a tensor of shape"):
        GMVAEClustering(3, perturbation=perturbation, **QUICK).fit(blobs[0])


# faults


def test_ctrl_c_keeps_the_best_weights_and_warns(blobs, monkeypatch):
    X, _ = blobs
    steps = []

    def interrupting(y, source):
        steps.append(None)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return y

    estimator = GMVAEClustering(
        3, perturbation=interrupting, random_state=0, **SMALL, max_iter=50
    )
    with pytest.warns(ConvergenceWarning, match="Interrupted after 4 epochs"):
        estimator.fit(X)
    assert estimator.n_iter_ == 4
    assert set(estimator.predict(X)) <= {0, 1, 2}


def test_ctrl_c_in_the_first_epoch_leaves_a_usable_estimator(blobs):
    def interrupting(y, source):
        raise KeyboardInterrupt

    X, _ = blobs
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        estimator = GMVAEClustering(3, perturbation=interrupting, **QUICK).fit(X)
    assert estimator.predict_proba(X).shape == (120, 3)


def test_a_loss_that_stays_nan_is_raised_as_an_error(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, perturbation=lambda y, source: y * torch.nan, **QUICK)
    with pytest.raises(ValueError, match=r"not finite.*learning_rate_init"):
        estimator.fit(X)
    assert not hasattr(estimator, "labels_")


def test_a_loss_that_diverges_is_retried_at_a_lower_rate(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, learning_rate_init=1e30, random_state=0, **QUICK)
    try:
        estimator.fit(X)
    except ValueError as error:
        assert "not finite" in str(error)  # noqa: PT017
    else:
        assert np.isfinite(estimator.predict_proba(X)).all()


# warm start, batches


def test_warm_start_trains_up_to_max_iter_in_all(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, warm_start=True, random_state=0, **QUICK).fit(X)
    before = state_of(estimator)
    estimator.fit(X)
    after = state_of(estimator)
    assert estimator.n_iter_ == 3
    assert all(torch.equal(before[name], after[name]) for name in before)
    estimator.set_params(max_iter=5).fit(X)
    assert estimator.n_iter_ == 5
    assert len(estimator.history_["z_prior"]) == 5


def test_a_continued_fit_is_held_to_the_clusters_that_it_has(blobs):
    X, y = blobs
    X = X[np.r_[np.flatnonzero(y == 0), np.flatnonzero(y == 1)[:20], np.flatnonzero(y == 2)[:8]]]
    estimator = GMVAEClustering(3, warm_start=True, random_state=0, max_iter=30).fit(X)
    labels, counts = estimator.labels_, estimator.cluster_counts_
    estimator.set_params(max_iter=45).fit(X)
    history = estimator.history_
    assert 0 < history["departure"][30:].max() < 0.1
    assert history["imbalance"][30:].max() < 0.5 * history["imbalance"][0]
    np.testing.assert_array_equal(estimator.labels_, labels)
    np.testing.assert_array_equal(estimator.cluster_counts_, counts)
    estimator.set_params(max_iter=47, init="random").fit(X)
    assert not estimator.history_["departure"][45:].any()


def test_a_continued_fit_without_an_epoch_left_says_so(blobs):
    estimator = GMVAEClustering(3, warm_start=True, random_state=0, **QUICK).fit(blobs[0])
    with pytest.warns(ConvergenceWarning, match=r"No epoch was run.* 3 .*Raise max_iter"):
        estimator.fit(blobs[0])


def test_warm_start_refuses_another_image_shape(blobs):
    X = np.tile(blobs[0], 2)[:, :4]
    estimator = GMVAEClustering(3, warm_start=True, **QUICK).fit(X)
    with pytest.raises(ValueError, match="data_shape"):
        estimator.set_params(image_shape=(2, 2), max_iter=5).fit(X)


def test_warm_start_refuses_another_architecture(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, warm_start=True, **QUICK).fit(X)
    with pytest.raises(ValueError, match="warm_start=False"):
        estimator.set_params(n_clusters=4).fit(X)


def test_partial_fit_learns_batch_by_batch(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, random_state=0, **QUICK)
    for _ in range(30):
        for part in np.array_split(X, 3):
            estimator.partial_fit(part)
    bounds = estimator.history_["lower_bound"]
    assert estimator.n_iter_ == 90
    assert bounds[-9:].mean() > bounds[:9].mean()
    assert estimator.labels_.shape == (40,)


def test_partial_fit_undoes_a_pass_that_diverges(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, perturbation=lambda y, source: y, **QUICK).partial_fit(X)
    before = state_of(estimator)
    estimator.set_params(perturbation=lambda y, source: y * torch.nan)
    with pytest.raises(ValueError, match="undone"):
        estimator.partial_fit(X)
    after = state_of(estimator)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not estimator.module_.training


@pytest.mark.parametrize("of_each", [(150, 30, 12), (64, 64, 64)])
def test_partial_fit_keeps_the_clusters_of_a_fit_uneven_or_fewer(of_each):
    X, y = make_blobs(of_each, 4, cluster_std=0.5, random_state=0)
    estimator = GMVAEClustering(5, random_state=0).fit(X)
    assert estimator.n_clusters_found_ == 3
    for _ in range(40):
        estimator.partial_fit(X)
    assert adjusted_rand_score(y, estimator.labels_) == 1.0
    assert estimator.n_clusters_found_ == 3


def test_partial_fit_follows_the_device(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, device="cpu", random_state=0, **QUICK).partial_fit(X)
    before, module, optimizer = state_of(estimator), estimator.module_, estimator._optimizer
    estimator.set_params(device="cpu:0").partial_fit(X)  # to torch another device than "cpu"
    assert estimator.device_ == "cpu:0"
    assert estimator.module_ is not module
    assert estimator._optimizer is not optimizer
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_rows_of_a_continued_fit_may_lie_anywhere(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, random_state=0, **QUICK).partial_fit(X)
    for value in (1e200, 1e-200):
        estimator.partial_fit(np.full((4, 3), value) * [[0], [0], [0], [1]])
    assert np.isfinite(estimator.predict_proba(X)).all()


def test_rows_in_fewer_clusters_than_asked_for_are_warned_of_with_what_to_do():
    X, _ = make_blobs(90, 4, centers=3, cluster_std=0.3, random_state=0)
    estimator = GMVAEClustering(6, random_state=0, **SMALL)
    with pytest.warns(ConvergenceWarning, match=r"fall into 3 .*n_clusters=6 .*init='random'"):
        estimator.fit(X)


def test_dead_components_are_warned_of_with_what_to_do(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(12, consistency=0, random_state=0, **QUICK)
    with pytest.warns(ConvergenceWarning, match=r"components died.*raise consistency"):
        estimator.fit(X)
    assert estimator.n_clusters_found_ < 12


@pytest.mark.parametrize(("at_draws", "warned"), [(0.3, True), (0.7, False)])
def test_clusters_read_from_the_noise_are_warned_of(blobs, monkeypatch, at_draws, warned):
    X, _ = blobs
    monkeypatch.setattr(GMVAEClustering, "_certainty", lambda self, X: (0.9, at_draws))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        GMVAEClustering(3, random_state=0, **QUICK).fit(X)
    told = [str(warning.message) for warning in caught]
    assert any("the noise in w; raise consistency" in message for message in told) == warned


def test_a_fit_is_held_to_its_start_unless_it_starts_at_random(blobs):
    X, _ = blobs
    held = GMVAEClustering(3, random_state=0, **QUICK).fit(X)
    free = GMVAEClustering(3, init="random", random_state=0, **QUICK).fit(X)
    assert held.history_["departure"][0] > held.history_["departure"][-1] > 0
    assert not free.history_["departure"].any()
