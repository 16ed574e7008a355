"""What was recorded while training, in the units of the data."""

import numpy as np
import pytest

from helpers import SHORT, quiet_fit
from skgmvae import GMVAEClustering
from skgmvae._fit import history
from skgmvae._objective import Regularizer, Terms
from skgmvae.parameters import auto_consistency

TERMS = {"reconstruction": 5.0, "conditional_prior": 2.0, "w_prior": 1.0, "z_prior": 0.5}
PARTS = {
    "disagreement": 0.3, "conditional_entropy": 0.2, "marginal_entropy": 1.0, "imbalance": 0.1,
    "information": 0.04, "pseudo_label_loss": 0.4,
}


@pytest.fixture(scope="module")
def large(fit, X):
    return fit(8 * X, max_iter=3)


def test_the_reconstruction_is_in_the_units_of_the_data(large):
    records = [{"loss": 9.0, **TERMS}, {"loss": 8.0, **TERMS, "reconstruction": 6.0}]
    found = history(records, large._fitted)
    volume = np.log(large._fitted.units.scale).sum()
    assert volume > 1
    np.testing.assert_allclose(found["reconstruction"], np.array([5.0, 6.0]) - volume)
    np.testing.assert_allclose(found["lower_bound"], np.array([1.5, 2.5]) - volume)
    for name in ("conditional_prior", "w_prior", "z_prior"):
        assert found[name].tolist() == [TERMS[name]] * 2


@pytest.mark.parametrize("way", ["warm start", "stream", "weights"])
def test_each_epoch_is_in_the_units_of_the_values_that_its_rows_have(way):
    random = np.random.default_rng(0)
    X = 1e6 * random.normal(size=(60, 3))  # where each value takes 13.8 nats away
    gaps = np.where(random.random(X.shape) < 0.5, np.nan, X)
    clusterer = GMVAEClustering(1, **SHORT)
    if way == "weights":
        light = 1e6 * random.normal(size=(300, 3))
        weights = np.repeat([1e-3, 1.0], [300, 60])
        quiet_fit(clusterer, np.r_[light, gaps], None, weights)
        expected = clusterer.score(gaps)
    else:
        quiet_fit(clusterer, X).set_params(max_iter=4, warm_start=True)
        assert abs(clusterer.history_["lower_bound"][-1] - clusterer.score(X)) < 5
        if way == "warm start":
            quiet_fit(clusterer, gaps)
        else:
            clusterer.partial_fit(gaps)
        assert abs(clusterer.history_["lower_bound"][2] - clusterer.score(X)) < 5
        expected = clusterer.score(gaps)
    assert abs(clusterer.history_["lower_bound"][-1] - expected) < 5


def test_probabilities_have_no_unit(fit):
    images = np.random.default_rng(0).integers(0, 256, (20, 4), dtype=np.uint8)
    clusterer = fit(images, likelihood="bernoulli", init="random", max_iter=1)
    assert history([{"loss": 9.0, **TERMS}], clusterer._fitted)["reconstruction"] == [5.0]


def test_the_regularizer_is_the_sum_of_what_consistency_weighs(clusterer):
    found = history([{"loss": 9.0, **TERMS, **PARTS}], clusterer._fitted)
    assert set(found) == {*Terms._fields, *Regularizer._fields, "lower_bound", "regularizer"}
    np.testing.assert_allclose(found["regularizer"], 0.3 + 0.04)
    for name, value in PARTS.items():
        assert found[name] == [value]


def test_a_history_without_a_regularizer_has_zeros_for_it(clusterer):
    found = history([{"loss": 9.0, **TERMS}] * 3, clusterer._fitted)
    assert set(found) == {*Terms._fields, "lower_bound", "regularizer"}
    assert found["regularizer"].tolist() == [0, 0, 0]


def test_a_regularizer_that_was_off_for_some_epochs_has_no_parts_there(clusterer):
    found = history([{"loss": 9.0, **TERMS}, {"loss": 9.0, **TERMS, **PARTS}], clusterer._fitted)
    alone = history([{"loss": 9.0, **TERMS, **PARTS}], clusterer._fitted)
    assert set(found) == set(alone) > {*Terms._fields, "lower_bound", "regularizer"}
    for name in PARTS:
        assert np.isnan(found[name][0])
        assert found[name][1] == alone[name][0]
    assert found["regularizer"].tolist() == [0, alone["regularizer"][0]]


def test_a_history_of_no_epoch_is_empty(clusterer):
    found = history([], clusterer._fitted)
    assert set(found) == {*Terms._fields, "lower_bound", "regularizer"}
    assert all(len(values) == 0 for values in found.values())


@pytest.mark.parametrize("parameters", [
    {}, {"consistency": 7.0}, {"init": "random"}, {"init": "random", "consistency": 7.0},
    {"consistency": 0},
])
def test_the_history_of_a_fit_adds_up_to_its_loss(fit, X, parameters):
    large = fit(8 * X, max_iter=3, **parameters)
    found = large.history_
    volume = np.log(large._fitted.units.scale).sum()
    usual = auto_consistency(4, has_pseudo_labels="init" not in parameters)
    consistency = parameters.get("consistency", usual)
    loss_to_pseudo_labels = found.get("pseudo_label_loss", np.zeros(3))
    np.testing.assert_allclose(
        [record["loss"] for record in large._records],
        consistency * found["regularizer"] + loss_to_pseudo_labels - found["lower_bound"] - volume,
        rtol=1e-4,
    )
    assert "loss" not in found
    assert all(values.shape == (large.n_iter_,) for values in found.values())


@pytest.mark.parametrize(("init", "held"), [("neighbors", True), ("random", False)])
def test_either_the_information_counts_or_the_pseudo_labels(fit, X, init, held):
    found = fit(X, init=init, max_iter=3).history_
    assert (found["pseudo_label_loss"] > 0).tolist() == [held] * 3
    assert (found["information"] > 0).tolist() == [not held] * 3
    assert (found["conditional_entropy"] > 0).all()
    np.testing.assert_allclose(
        found["regularizer"], found["disagreement"] + found["information"], rtol=1e-6
    )


def test_a_history_handed_out_is_not_the_one_that_is_kept(clusterer):
    clusterer.history_["z_prior"][:] = 7
    clusterer.history_.clear()
    assert clusterer.history_["z_prior"].max() < 7
