"""What a fitted clusterer says of rows: exact, row by row, and without leaving a trace."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.exceptions import NotFittedError

from skgmvae import GMVAEClustering, inference
from skgmvae.inference import in_precision_of, log_odds

METHODS = [
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "reconstruct", "score_samples",
]


def exact_log_odds(scores):
    """Return the log-odds of each entry of a row of unnormalised scores, in 80 digits."""
    with localcontext() as context:
        context.prec = 400
        weights = [Decimal(float(score)).exp() for score in scores]
        return [
            float((weight / (sum(weights) - weight)).ln()) if len(weights) > 1 else np.inf
            for weight in weights
        ]


@given(st.lists(st.floats(-300, 300), min_size=2, max_size=5))
def test_log_odds_are_exact(scores):
    odds = log_odds(torch.tensor(log_softmax([scores], axis=-1)))[0]
    np.testing.assert_allclose(odds, exact_log_odds(scores), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("scores", [[0.0, -40.0, -41.0], [200.0, 0.0, -200.0], [0.0, -1e-9]])
def test_log_odds_are_exact_where_probabilities_saturate(scores):
    odds = log_odds(torch.tensor(log_softmax([scores], axis=-1)))[0]
    assert torch.isfinite(odds).all()
    np.testing.assert_allclose(odds, exact_log_odds(scores), rtol=1e-12, atol=1e-12)


def test_log_odds_order_rows_that_probabilities_do_not():
    logits = torch.tensor(log_softmax(np.array([[0.0, -50.0], [0.0, -60.0]]), axis=-1))
    assert logits.exp()[0, 0] == logits.exp()[1, 0] == 1
    odds = log_odds(logits)
    assert odds[1, 0] > odds[0, 0]
    np.testing.assert_allclose(odds[:, 0], [50, 60])
    np.testing.assert_allclose(odds[:, 1], [-50, -60])


def test_log_odds_of_a_lone_component_are_infinite():
    assert log_odds(torch.zeros(3, 1)).tolist() == [[np.inf]] * 3


def test_log_odds_of_two_components_are_opposite():
    logits = torch.log_softmax(torch.linspace(-3, 3, 10).double().view(5, 2), -1)
    odds = log_odds(logits)
    assert torch.allclose(odds[:, 0], -odds[:, 1], atol=1e-12)
    assert torch.allclose(odds[:, 0], logits[:, 0] - logits[:, 1], atol=1e-12)


def test_probabilities_sum_to_1_and_agree_with_one_another(clusterer, X):
    probabilities = clusterer.predict_proba(X)
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(np.log(probabilities), clusterer.predict_log_proba(X), atol=1e-12)
    np.testing.assert_array_equal(clusterer.predict(X), probabilities.argmax(1))
    with np.errstate(divide="ignore"):
        odds = np.log(probabilities) - np.log1p(-probabilities)
    unsaturated = probabilities < 0.999
    np.testing.assert_allclose(
        clusterer.decision_function(X)[unsaturated], odds[unsaturated], rtol=1e-8
    )


def test_probabilities_are_eq_4_at_the_means(clusterer, X):
    model = clusterer.module_
    y = torch.tensor((X - clusterer._space.location) / clusterer._space.scale).float()
    with torch.no_grad():
        q_x, q_w = model.q(y)
        p_x = model.p_x(q_w.mean)
        log_joint = p_x.log_prob(q_x.mean[:, None]).sum(-1)
    expected = log_softmax(log_joint.double().numpy(), axis=-1)
    np.testing.assert_allclose(clusterer.predict_log_proba(X), expected, atol=1e-3)
    np.testing.assert_allclose(clusterer.transform(X), q_x.mean, atol=1e-5)
    with torch.no_grad():
        decoded = model.p_y(q_x.mean).mean.numpy()
    expected = decoded * clusterer._space.scale + clusterer._space.location
    np.testing.assert_allclose(clusterer.reconstruct(X), expected, atol=1e-4)


def test_shapes(clusterer, X):
    assert clusterer.predict(X).shape == (60,)
    assert clusterer.decision_function(X).shape == (60, 3)
    assert clusterer.transform(X).shape == (60, 2)
    assert clusterer.reconstruct(X).shape == X.shape
    assert clusterer.score_samples(X).shape == (60,)
    assert all(term.shape == (60,) for term in clusterer.elbo(X))


@pytest.mark.parametrize("method", METHODS)
def test_rows_do_not_depend_on_one_another(clusterer, X, method, monkeypatch):
    function = getattr(clusterer, method)
    whole = function(X)
    np.testing.assert_allclose(function(X[7:12]), whole[7:12], rtol=1e-10, atol=1e-10)
    one_by_one = np.concatenate([function(X[i:i + 1]) for i in range(10)])
    np.testing.assert_allclose(one_by_one, whole[:10], rtol=1e-10, atol=1e-10)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(function(X[order]), whole[order], rtol=1e-10, atol=1e-10)


def test_the_size_of_the_parts_is_of_no_effect(clusterer, X, monkeypatch):
    before = [getattr(clusterer, method)(X) for method in METHODS]
    monkeypatch.setattr(inference, "INFERENCE_ROWS", 16)
    assert clusterer._map.__kwdefaults__["n_rows"] > 16  # bound when the module was read
    parts = clusterer._map(X, inference.cluster_logits, n_rows=7)
    np.testing.assert_allclose(parts, before[METHODS.index("predict_log_proba")], atol=1e-10)
    np.testing.assert_allclose(
        clusterer.score_samples(X), before[METHODS.index("score_samples")], rtol=1e-10
    )


@pytest.mark.parametrize("method", [*METHODS, "score", "elbo"])
def test_methods_leave_no_trace_and_repeat(clusterer, X, method, untouched_global_state):
    before = pickle.dumps(clusterer.__getstate__())
    names = set(vars(clusterer))
    first = getattr(clusterer, method)(X)
    np.testing.assert_array_equal(first, getattr(clusterer, method)(X))
    assert pickle.dumps(clusterer.__getstate__()) == before
    assert set(vars(clusterer)) == names
    assert not clusterer.module_.training
    assert all(p.grad is None for p in clusterer.module_.parameters())
    assert next(clusterer.module_.parameters()).dtype == torch.float32


def test_methods_may_be_called_from_threads(clusterer, X):
    tasks = [(method, part) for method in METHODS for part in (X, X.astype(np.float32))] * 3
    alone = [getattr(clusterer, method)(part) for method, part in tasks]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: getattr(clusterer, task[0])(task[1]), tasks))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("method", METHODS[1:])
def test_results_have_the_precision_of_x(clusterer, X, method):
    function = getattr(clusterer, method)
    single, double = function(X.astype(np.float32)), function(X)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, rtol=1e-2, atol=1e-2)
    assert function(X.astype(int)).dtype == np.float64
    assert function(X.astype(np.uint8)).dtype == np.float32


def test_double_precision_is_a_copy(clusterer):
    device = torch.device("cpu")
    model, dtype = in_precision_of(np.dtype(np.float64), clusterer.module_, device)
    assert dtype == next(model.parameters()).dtype == torch.float64
    assert model is not clusterer.module_
    model, dtype = in_precision_of(np.dtype(np.float32), clusterer.module_, device)
    assert dtype == torch.float32
    assert model is clusterer.module_


def test_decoded_rows_are_in_the_units_of_the_data(fit, X):
    small = 1e3 + 1e-3 * X
    clusterer = fit(small)
    for decoded in (
        clusterer.reconstruct(small),
        clusterer.inverse_transform(clusterer.transform(small)),
        clusterer.cluster_centers_,
    ):
        assert np.abs(decoded - 1e3).max() < 0.02
        assert decoded.std() > 0
    np.testing.assert_allclose(
        clusterer.reconstruct(small),
        clusterer.inverse_transform(clusterer.transform(small)), rtol=1e-12,
    )


def test_one_component_is_certain(fit, X):
    clusterer = fit(X, n_clusters=1)
    np.testing.assert_array_equal(clusterer.predict_proba(X), 1)
    np.testing.assert_array_equal(clusterer.decision_function(X), np.inf)
    np.testing.assert_array_equal(clusterer.predict(X), 0)
    assert np.isfinite(clusterer.score_samples(X)).all()
    np.testing.assert_allclose(clusterer.elbo(X).z_prior, 0)


def test_what_describes_the_training_rows_agrees_with_the_methods(clusterer, X):
    np.testing.assert_array_equal(clusterer.labels_, clusterer.predict(X))
    counts = np.bincount(clusterer.labels_, minlength=3)
    np.testing.assert_array_equal(clusterer.cluster_counts_, counts)
    assert (np.diff(counts) <= 0).all()
    assert clusterer.n_clusters_found_ == np.count_nonzero(counts)
    np.testing.assert_allclose(clusterer.weights_, clusterer.predict_proba(X).mean(0))
    assert clusterer.weights_.sum() == pytest.approx(1)
    np.testing.assert_array_equal(
        clusterer.exemplar_indices_, clusterer.decision_function(X).argmax(0)
    )
    assert clusterer.lower_bound_ == clusterer.history_["lower_bound"][-1]


def test_cluster_centers_are_decoded_from_w_0(clusterer):
    with torch.no_grad():
        means = clusterer.module_.p_x(torch.zeros(1, 2)).mean[0].numpy()
    np.testing.assert_allclose(
        clusterer.cluster_centers_, clusterer.inverse_transform(means), rtol=1e-4
    )


@pytest.mark.parametrize("method", [*METHODS, "elbo", "score"])
def test_unusable_rows_are_refused(clusterer, X, method):
    function = getattr(clusterer, method)
    with pytest.raises(NotFittedError):
        getattr(GMVAEClustering(), method)(X)
    with pytest.raises(ValueError, match="3 features"):
        function(X[:, :3])
    with pytest.raises(ValueError, match="NaN"):
        function(np.full_like(X, np.nan))


def test_bernoulli_methods_refuse_values_that_are_no_probabilities(fit, X):
    values = (X - X.min()) / np.ptp(X)
    clusterer = fit(values, likelihood="bernoulli", max_iter=2)
    assert np.isfinite(clusterer.score_samples(values)).all()
    assert clusterer.reconstruct(values).min() >= 0
    assert clusterer.reconstruct(values).max() <= 1
    with pytest.raises(ValueError, match="needs values between 0 and 1"):
        clusterer.predict(2 * values)


def test_images_of_bytes_go_in_and_come_out_as_numbers_to_255(fit):
    images = np.random.default_rng(0).integers(0, 256, (40, 8 * 9), dtype=np.uint8)
    clusterer = fit(
        images, likelihood="bernoulli", networks="conv", image_shape=(8, 9),
        perturbation="affine", max_iter=2,
    )
    decoded = clusterer.reconstruct(images)
    assert decoded.shape == images.shape
    assert 1 < decoded.max() <= 255
    np.testing.assert_allclose(
        clusterer.predict_proba(images.astype(float)), clusterer.predict_proba(images), atol=1e-4
    )
