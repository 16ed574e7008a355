"""What a fitted model says of rows: exact, row by row, without a trace, and what it draws."""

import copy
import pickle
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, localcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from scipy.stats import norm
from sklearn.datasets import make_blobs, make_moons
from sklearn.exceptions import DataConversionWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from torch.distributions import Normal

from skgmvae import fitted
from skgmvae._model import GMVAE
from skgmvae._model.gmvae import Posterior
from skgmvae._objective import Terms
from skgmvae._rows import BLOCK_ROWS
from skgmvae.fitted import ESTIMATION, Fitted, load_arrays, log_odds, to_arrays
from skgmvae.runtime import CPU

METHODS = [
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "reconstruct", "score_samples",
]


@pytest.fixture(scope="module")
def digits(device):
    """Return how nearly equal results of one row must be: on a CPU they are in double precision."""
    return 1e-10 if device == "cpu" else 1e-3


@pytest.fixture(scope="module")
def byte_clusterer(fit):
    images = np.random.default_rng(0).integers(0, 256, (40, 12), dtype=np.uint8)
    return fit(images, likelihood="bernoulli", max_iter=2)


@pytest.fixture(scope="module")
def uneven(fit):
    """Return a clusterer of one feature with clusters of 400 and 100 rows, and the rows."""
    X, y = make_blobs(
        [400, 100], 1, centers=[[-4.0], [4.0]], cluster_std=[1.0, 0.5], random_state=0
    )
    # a weak regularizer: q(x|y) is wide enough then for importance weighting
    clusterer = fit(
        X, n_clusters=2, consistency=2.0, max_iter=50, batch_size=128, learning_rate_init=1e-2
    )
    return clusterer, X, y


def means_of(clusterer, X):
    """Return q(x|y) and q(w|y) of rows in double precision, written out."""
    units = clusterer._fitted.units
    y = torch.from_numpy((X - units.location) / units.scale)
    model = copy.deepcopy(clusterer.module_).double()
    with torch.no_grad():
        return model, *model.q(y)


# log-odds


def exact_log_odds(scores):
    """Return the log-odds of each entry of a row of unnormalized scores, in 400 digits."""
    with localcontext() as context:
        context.prec = 400
        weights = [Decimal(float(score)).exp() for score in scores]
        return [float((weight / (sum(weights) - weight)).ln()) for weight in weights]


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
    np.testing.assert_allclose(log_odds(logits), [[50, -50], [60, -60]])


def test_log_odds_of_a_lone_component_are_infinite():
    assert log_odds(torch.zeros(3, 1)).tolist() == [[np.inf]] * 3


# probabilities


def test_probabilities_sum_to_1_and_agree_with_one_another(on_device, X, digits):
    probabilities = on_device.predict_proba(X)
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=digits)
    np.testing.assert_array_equal(np.exp(on_device.predict_log_proba(X)), probabilities)
    np.testing.assert_array_equal(on_device.predict(X), probabilities.argmax(1))
    unsaturated = (probabilities > 1e-3) & (probabilities < 0.999)
    assert unsaturated.any()
    some = probabilities[unsaturated]
    np.testing.assert_allclose(
        on_device.decision_function(X)[unsaturated], np.log(some) - np.log1p(-some),
        rtol=1e3 * digits, atol=digits,
    )


def test_probabilities_are_eq_4_at_the_means(clusterer, X):
    model, q_x, q_w = means_of(clusterer, X)
    with torch.no_grad():
        p_x = model.p_x(q_w.mean)
        decoded = model.p_y(q_x.mean).mean.numpy()
    log_p_x = norm.logpdf(q_x.mean[:, None], p_x.mean, p_x.stddev).sum(-1)
    expected = log_softmax(log_p_x + np.log(clusterer.weights_), axis=-1)
    np.testing.assert_allclose(clusterer.predict_log_proba(X), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(clusterer.transform(X), q_x.mean, rtol=1e-8)
    units = clusterer._fitted.units
    np.testing.assert_allclose(
        clusterer.reconstruct(X), decoded * units.scale + units.location, rtol=1e-8
    )


def test_the_weights_are_part_of_probabilities_and_densities(clusterer, X):
    other = pickle.loads(pickle.dumps(clusterer))
    weights = np.array([0.7, 0.2, 0.1])
    other.module_.set_weights(torch.tensor(weights))
    np.testing.assert_allclose(other.weights_, weights, rtol=1e-6)
    odds = clusterer.predict_log_proba(X) - np.log(clusterer.weights_) + np.log(weights)
    np.testing.assert_allclose(
        other.predict_log_proba(X), log_softmax(odds, axis=-1), rtol=1e-5, atol=1e-5
    )
    assert not np.allclose(other.score_samples(X), clusterer.score_samples(X))
    # a posterior that is the prior costs nothing, uniform or not
    other.module_.set_weights(torch.tensor([1.0, 1e-30, 1e-30]))
    other = pickle.loads(pickle.dumps(other))
    sure = other.predict_proba(X)[:, 0] > 1 - 1e-12
    assert sure.sum() > 10
    np.testing.assert_allclose(other.elbo(X).z_prior[sure], 0, atol=1e-6)


def test_one_component_is_certain(fit, X):
    clusterer = fit(X, n_clusters=1, max_iter=2)
    np.testing.assert_array_equal(clusterer.predict_proba(X), 1)
    np.testing.assert_array_equal(clusterer.decision_function(X), np.inf)
    np.testing.assert_array_equal(clusterer.predict(X), 0)
    assert np.isfinite(clusterer.score_samples(X)).all()
    np.testing.assert_allclose(clusterer.elbo(X).z_prior, 0, atol=1e-12)


# rows by themselves


@pytest.mark.parametrize("method", [*METHODS, "inverse_transform"])
def test_an_answer_does_not_depend_on_the_company_of_a_row(on_device, X, digits, method):
    function = getattr(on_device, method)
    rows = on_device.transform(X) if method == "inverse_transform" else X
    whole = function(rows)
    near = {"rtol": digits, "atol": digits}
    np.testing.assert_allclose(function(rows[7:12]), whole[7:12], **near)
    one_by_one = np.concatenate([function(rows[i : i + 1]) for i in range(10)])
    np.testing.assert_allclose(one_by_one, whole[:10], **near)
    order = np.random.default_rng(0).permutation(len(rows))
    np.testing.assert_allclose(function(rows[order]), whole[order], **near)


@pytest.mark.parametrize("method", [*METHODS, "elbo", "inverse_transform"])
def test_many_rows_go_through_the_model_a_block_at_a_time(clusterer, X, method, monkeypatch):
    n_times = BLOCK_ROWS // len(X) + 5
    decodes = method == "inverse_transform"
    rows = clusterer.transform(X) if decodes else X
    once = np.asarray(getattr(clusterer, method)(rows))
    model, name = clusterer._fitted._double, "p_y" if decodes else "q"
    original, sizes = getattr(model, name), []
    monkeypatch.setattr(model, name, lambda y: sizes.append(len(y)) or original(y))
    many = np.asarray(getattr(clusterer, method)(np.tile(rows, (n_times, 1))))
    expected = np.tile(once, n_times) if once.ndim == 1 or method == "elbo" else (
        np.tile(once, (n_times, 1))
    )
    np.testing.assert_allclose(many, expected, rtol=1e-10, atol=1e-10)
    drawn = method in ("elbo", "score_samples")
    most = BLOCK_ROWS // ESTIMATION.n_draws if drawn else BLOCK_ROWS
    assert sum(sizes) == n_times * len(X)
    assert sizes[0] == max(sizes) == most


@pytest.mark.parametrize("method", [*METHODS, "score", "elbo"])
def test_methods_leave_no_trace_and_repeat(on_device, X, method, untouched_global_state):
    before = pickle.dumps(on_device.__getstate__())
    attributes = dict(vars(on_device))
    first = getattr(on_device, method)(X)
    np.testing.assert_array_equal(first, getattr(on_device, method)(X))
    assert pickle.dumps(on_device.__getstate__()) == before
    assert vars(on_device).keys() == attributes.keys()
    assert all(vars(on_device)[name] is value for name, value in attributes.items())
    assert not on_device.module_.training
    assert all(p.grad is None for p in on_device.module_.parameters())
    assert all(p.dtype == torch.float32 for p in on_device.module_.parameters())


def test_methods_may_be_called_from_threads(on_device, X):
    tasks = [(method, part) for method in METHODS for part in (X, X.astype(np.float32))] * 3
    alone = [getattr(on_device, method)(part) for method, part in tasks]
    other = pickle.loads(pickle.dumps(on_device))  # whose double module is yet to be made
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda task: getattr(other, task[0])(task[1]), tasks))
    for one, another in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, another, rtol=1e-6, atol=1e-6)


# precision


@pytest.mark.parametrize("method", METHODS[1:])
def test_results_have_the_precision_of_x(on_device, X, method):
    function = getattr(on_device, method)
    single, double = function(X.astype(np.float32)), function(X)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, rtol=1e-2, atol=1e-2)
    assert function(X.astype(int)).dtype == np.float64
    assert function(X.astype(np.uint8)).dtype == np.float32


@pytest.fixture
def n_copies(monkeypatch):
    """Return a list that grows by one when a model is copied."""
    made, original = [], copy.deepcopy

    def counting(value, *memo):
        if isinstance(value, GMVAE):
            made.append(value)
        return original(value, *memo)

    monkeypatch.setattr(copy, "deepcopy", counting)
    return made


def test_the_module_is_made_double_once(clusterer, X, n_copies):
    for _ in range(3):
        clusterer.predict(X)
        clusterer.score(X)
        clusterer.inverse_transform([[0.0, 1.0]])
    assert not n_copies  # fit has made it
    other = pickle.loads(pickle.dumps(clusterer))
    other.predict(X.astype(np.float32))
    assert not n_copies  # nothing asks for it yet
    for _ in range(3):
        other.predict(X)
        other.elbo(X)
        other.transform(X)
    assert len(n_copies) == 1


def test_double_precision_is_a_copy_on_a_cpu(clusterer):
    model = clusterer._fitted
    double, dtype = model._in_precision_of(np.dtype(np.float64))
    assert dtype == next(double.parameters()).dtype == torch.float64
    assert double is not model.module
    assert model._in_precision_of(np.dtype(np.float32)) == (model.module, torch.float32)


# decoding


def test_decoded_rows_are_in_the_units_of_the_data(fit, X):
    small = 1e3 + 1e-3 * X
    clusterer = fit(small)
    for decoded in (
        clusterer.reconstruct(small), clusterer.cluster_centers_, clusterer.sample(100)[0],
    ):
        assert np.abs(decoded - 1e3).max() < 0.1
        assert 1e-4 < decoded.std() < 0.05


def test_decoding_what_was_encoded_is_reconstruction(on_device, X, digits):
    latent = on_device.transform(X)
    decoded = on_device.inverse_transform(latent)
    assert decoded.dtype == np.float64
    np.testing.assert_allclose(decoded, on_device.reconstruct(X), rtol=digits, atol=digits)
    single = on_device.inverse_transform(latent.astype(np.float32))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, decoded, rtol=1e-3, atol=1e-3)


def test_cluster_centers_of_the_papers_objective_are_decoded_from_w_0(fit, X):
    clusterer = fit(X, consistency=0)
    with torch.no_grad():
        p_x = clusterer.module_.p_x(torch.zeros(1, 2))
    means, covariances = clusterer.latent_components()
    np.testing.assert_array_equal(means, p_x.mean[0])
    np.testing.assert_array_equal(covariances, torch.diag_embed(p_x.variance[0]))
    decoded = clusterer.inverse_transform(means).astype(np.float64)
    np.testing.assert_allclose(clusterer._fitted.centers(), decoded, rtol=1e-5)


def test_cluster_centers_are_the_means_of_rows_by_their_memberships(fit, X):
    clusterer = fit(X, max_iter=60, learning_rate_init=1e-2)
    centers = clusterer.cluster_centers_
    assert centers.dtype == np.float64
    np.testing.assert_array_equal(clusterer.predict(centers), np.arange(3))
    squares = clusterer.predict_proba(X) ** 2
    memberships = squares / squares.sum(1, keepdims=True)
    for k in range(3):
        expected = np.average(X, axis=0, weights=memberships[:, k])
        np.testing.assert_allclose(centers[k], expected, atol=1e-5 * np.ptp(X))


@pytest.mark.parametrize(("location", "scale"), [(1e12, 1.0), (0.0, 1e60)])
def test_cluster_centers_are_not_rounded_to_single_precision(fit, clusterer, X, location, scale):
    other = fit(scale * X + location)
    if scale == 1.0:  # the rows themselves are rounded, so that the fit is another
        assert np.abs(other.cluster_centers_ - location).max() < np.abs(X).max()
    else:
        np.testing.assert_allclose(
            other.cluster_centers_, scale * clusterer.cluster_centers_, rtol=1e-4
        )


@pytest.fixture(scope="module")
def deep_clusterer(fit, X):
    return fit(X, hidden_layer_sizes=(32, 32, 32), init="random", max_iter=1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_latent_points_anywhere_are_decoded_to_finite_rows(
    clusterer, deep_clusterer, byte_clusterer, dtype
):
    most = np.finfo(dtype).max
    points = np.array([[1e30, 1e30], [-1e30, 1e30], [most, most], [most, -most]], dtype)
    for one in (clusterer, deep_clusterer, byte_clusterer):
        decoded = one.inverse_transform(points)
        assert decoded.dtype == dtype
        assert np.isfinite(decoded).all()


# rows far away


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("method", [*METHODS, "elbo"])
def test_rows_far_away_get_finite_answers_and_one_warning(on_device, X, method, dtype):
    rows = X.astype(dtype)
    rows[:20] *= dtype(1e30)
    rows[20:40] = -np.finfo(dtype).max
    # "error" for all but ours: no RuntimeWarning either
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("error")
        warnings.simplefilter("always", DataConversionWarning)
        answers = np.asarray(getattr(on_device, method)(rows))
    assert np.isfinite(answers).all()
    (warning,) = caught
    assert str(warning.message).startswith("40 of 60 rows lie more than")
    near = np.asarray(getattr(on_device, method)(rows[40:]))  # no warning of these
    last = answers[:, 40:] if method == "elbo" else answers[40:]
    np.testing.assert_allclose(last, near, rtol=1e-3, atol=1e-3)


def test_what_the_encoder_has_not_learned_of_does_not_decide(fit, X):
    columns = np.column_stack([X, np.full(len(X), 2023.0)])
    clusterer = fit(columns)
    changed = columns + np.append(np.zeros(X.shape[1]), 100.0)
    np.testing.assert_array_equal(
        clusterer.predict_proba(changed), clusterer.predict_proba(columns)
    )
    assert (clusterer.score_samples(changed) < clusterer.score_samples(columns)).all()
    far, farther = X.copy(), X.copy()
    far[:, 0], farther[:, 0] = 1e4, 1e5
    np.testing.assert_array_equal(fit(X).predict_proba(far), fit(X).predict_proba(farther))


def test_far_rows_of_a_cluster_are_predicted_as_they_were_trained_on(fit):
    near, labels = make_blobs(200, 3, centers=3, cluster_std=0.5, random_state=0)
    coded = np.vstack([near, np.full((60, 3), -999.0)])
    clusterer = fit(coded, n_clusters=4, max_iter=60)
    assert adjusted_rand_score([*labels, *[3] * 60], clusterer.predict(coded)) > 0.95
    farther = clusterer.reconstruct(np.full((1, 3), -9999.0))
    np.testing.assert_array_equal(farther, clusterer.reconstruct(coded[-1:]))


def test_far_rows_are_counted_over_all_blocks_and_warned_of_where_the_user_is(clusterer, X):
    rows = np.tile(X, (BLOCK_ROWS // len(X) + 5, 1))
    rows[[0, -1]] = 1e30
    for method in METHODS:
        with pytest.warns(DataConversionWarning, match=f"2 of {len(rows)} rows") as caught:
            getattr(clusterer, method)(rows)
        assert len(caught) == 1


def test_score_and_fit_predict_of_far_rows_warn_once(clusterer, X):
    with pytest.warns(DataConversionWarning, match="60 of 60") as caught:
        assert np.isfinite(clusterer.score(1e30 * X))
    assert len(caught) == 1


# the bound and the density


def test_the_bound_of_elbo_is_score_samples_and_its_mean_the_score(on_device, X):
    terms = on_device.elbo(X)
    assert isinstance(terms, Terms)
    assert all(term.shape == (60,) for term in terms)
    np.testing.assert_array_equal(terms.bound, on_device.score_samples(X))
    np.testing.assert_array_equal(
        terms.bound,
        terms.reconstruction - terms.conditional_prior - terms.w_prior - terms.z_prior,
    )
    assert on_device.score(X) == pytest.approx(terms.bound.mean())
    assert isinstance(on_device.score(X), float)
    assert (terms.z_prior >= -1e-6).all()
    assert (terms.z_prior <= -np.log(on_device.weights_.min())).all()
    assert (terms.w_prior >= 0).all()
    assert (terms.conditional_prior >= 0).all()


@pytest.mark.parametrize("pretended", [False, True])
def test_noise_is_drawn_on_the_cpu_wherever_the_model_is(on_device, monkeypatch, pretended, X):
    if pretended:  # to torch another device than "cpu"
        monkeypatch.setattr(Fitted, "device", property(lambda self: torch.device("cpu:0")))
    devices, original = [], fitted.generator

    def recording(device, *key):
        devices.append(device)
        return original(device, *key)

    monkeypatch.setattr(fitted, "generator", recording)
    clusterer = on_device if not pretended else pickle.loads(pickle.dumps(on_device))
    clusterer.score(X)
    clusterer.elbo(X)
    clusterer.score_samples(X, n_draws=3)
    clusterer.sample(3)
    assert devices == [CPU] * 4


def test_far_rows_have_a_lower_bound(clusterer, X):
    assert clusterer.score(X) > clusterer.score(X + 30) > clusterer.score(X + 300)


@pytest.mark.parametrize("factor", [0.125, 64.0])
def test_scaling_by_a_power_of_2_shifts_the_log_density_and_nothing_else(
    fit, clusterer, X, factor
):
    scaled = fit(factor * X)
    shift = X.shape[1] * np.log(factor)
    np.testing.assert_allclose(
        scaled.score_samples(factor * X), clusterer.score_samples(X) - shift,
        rtol=1e-9, atol=1e-9,
    )
    np.testing.assert_array_equal(scaled.labels_, clusterer.labels_)
    np.testing.assert_allclose(scaled.predict_proba(factor * X), clusterer.predict_proba(X))
    np.testing.assert_allclose(
        scaled.history_["lower_bound"], clusterer.history_["lower_bound"] - shift, rtol=1e-9
    )
    np.testing.assert_allclose(scaled.cluster_centers_, factor * clusterer.cluster_centers_)


def test_moving_changes_the_log_density_by_the_jacobian_up_to_rounding(fit, clusterer, X):
    moved = fit(2.0 * X + 100.0)
    np.testing.assert_allclose(
        moved.score_samples(2.0 * X + 100.0), clusterer.score_samples(X) - 4 * np.log(2.0),
        atol=0.05,
    )


@pytest.mark.parametrize(("scale", "least", "most"), [(1e-6, 0.999, 1.001), (30.0, 0.0, 0.8)])
def test_clusters_at_draws_are_those_at_the_means_unless_the_noise_decides(
    clusterer, X, scale, least, most
):
    X = X.astype(np.float32)
    model = copy.deepcopy(clusterer.module_)
    q = model.q

    def noisy(y):
        return Posterior(*(Normal(part.mean, scale * part.stddev) for part in q(y)))

    model.q = noisy
    other = Fitted(clusterer._fitted.architecture, model, clusterer._fitted.units)
    at_means, at_draws = other.certainty(X)
    assert at_means == pytest.approx(clusterer.predict_proba(X).max(1).mean(), abs=1e-6)
    assert least * at_means <= at_draws <= most * at_means


def test_the_density_of_two_features_integrates_to_one(fit):
    X = make_blobs(300, 2, centers=3, cluster_std=0.8, random_state=0)[0] * [1.0, 20.0]
    clusterer = fit(X, max_iter=60, batch_size=256, learning_rate_init=1e-2, consistency=0.0)
    edges = [
        np.linspace(a - 1.5 * (b - a), b + 1.5 * (b - a), 41)
        for a, b in zip(X.min(0), X.max(0), strict=True)
    ]
    grid = np.stack(np.meshgrid(*edges), -1).reshape(-1, 2)
    cell = np.prod([edge[1] - edge[0] for edge in edges])
    density = np.exp(clusterer.score_samples(grid, n_draws=300))
    assert density.sum() * cell == pytest.approx(1.0, abs=0.03)


def test_the_density_is_that_of_samples_for_uneven_clusters(uneven):
    clusterer, X, y = uneven
    edges = np.linspace(X.min() - 4, X.max() + 4, 161)
    middle, width = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
    share = np.exp(clusterer.score_samples(middle[:, None], n_draws=500)) * width
    assert share.sum() == pytest.approx(1.0, abs=0.02)
    rows, _ = clusterer.sample(40_000)
    counted = np.histogram(rows, edges)[0] / len(rows)
    coarse = share.reshape(-1, 8).sum(1), counted.reshape(-1, 8).sum(1)
    np.testing.assert_allclose(*coarse, atol=0.015)
    # a model with even weights would put a half on either side
    assert share[middle > 0].sum() == pytest.approx(np.mean(y == 1), abs=0.03)


def test_the_weights_are_the_shares_of_the_clusters(uneven):
    clusterer, X, _ = uneven
    assert clusterer.weights_.sum() == pytest.approx(1)
    np.testing.assert_allclose(clusterer.weights_, [0.8, 0.2], atol=0.02)
    np.testing.assert_allclose(clusterer.weights_, clusterer.cluster_counts_ / 500, atol=0.02)
    np.testing.assert_allclose(clusterer.weights_, clusterer.predict_proba(X).mean(0), atol=0.02)


def test_more_draws_are_nearer_the_density(clusterer, X):
    few, many, most = (
        clusterer.score_samples(X, n_draws=n) for n in (4, 64, 4096)
    )
    assert np.abs(many - most).mean() < np.abs(few - most).mean() / 2
    assert many.mean() == pytest.approx(most.mean(), abs=0.05)


def test_more_draws_are_nearer_the_density_of_the_paper(fit, X):
    clusterer = fit(X, consistency=0, learning_rate_init=2e-3)
    bound, few, many = (
        clusterer.score_samples(X, n_draws=n).mean() for n in (None, 5, 500)
    )
    assert bound < few < many


# samples


def with_random_state(clusterer, random_state):
    return pickle.loads(pickle.dumps(clusterer)).set_params(random_state=random_state)


def test_samples_have_the_shape_of_the_data(on_device):
    rows, labels = on_device.sample(7)
    assert rows.shape == (7, 4)
    assert rows.dtype == np.float64
    assert labels.shape == (7,)
    assert labels.dtype == np.intp
    assert on_device.sample()[0].shape == (1, 4)


def test_an_integer_random_state_gives_the_same_samples(on_device, untouched_global_state):
    for one, other in zip(on_device.sample(20), on_device.sample(20), strict=True):
        np.testing.assert_array_equal(one, other)
    other = with_random_state(on_device, 1)
    assert not np.array_equal(on_device.sample(20)[0], other.sample(20)[0])


def test_a_random_state_object_gives_new_samples_each_time(clusterer):
    live = with_random_state(clusterer, np.random.RandomState(0))
    first, second = live.sample(20)[0], live.sample(20)[0]
    assert not np.array_equal(first, second)
    again = with_random_state(clusterer, np.random.RandomState(0))
    np.testing.assert_array_equal(again.sample(20)[0], first)


def test_many_samples_are_drawn_a_block_at_a_time(clusterer, monkeypatch):
    labels = np.arange(50) % 3
    w = np.random.default_rng(0).standard_normal((50, 2))
    whole, _ = clusterer.sample(50, labels, w, observation_noise=False)
    monkeypatch.setattr(fitted, "rows_of_values", lambda n_features: 8)
    sizes, decode = [], clusterer.module_.p_y
    monkeypatch.setattr(clusterer.module_, "p_y", lambda x: sizes.append(len(x)) or decode(x))
    in_blocks, drawn = clusterer.sample(50, labels, w, observation_noise=False)
    assert sizes == [8] * 6 + [2]
    np.testing.assert_array_equal(drawn, labels)
    np.testing.assert_allclose(in_blocks, whole, rtol=1e-5)


def test_components_are_drawn_by_their_weights(uneven):
    clusterer, _, _ = uneven
    _, labels = clusterer.sample(20_000)
    shares = np.bincount(labels, minlength=2) / 20_000
    np.testing.assert_allclose(shares, clusterer.weights_, atol=0.015)


def test_a_component_without_weight_is_sampled_only_when_asked_for(clusterer):
    other = pickle.loads(pickle.dumps(clusterer))
    other.module_.set_weights(torch.tensor([1.0, 0.0, 0.0]))
    assert set(other.sample(200)[1]) == {0}
    assert other.sample(1, cluster=2)[1].tolist() == [2]


def test_a_component_may_be_chosen_for_all_rows_or_each(clusterer):
    assert clusterer.sample(5, cluster=2)[1].tolist() == [2] * 5
    assert clusterer.sample(3, cluster=[2, 0, 1])[1].tolist() == [2, 0, 1]
    assert clusterer.sample(3, np.array([2, 0, 1]))[1].tolist() == [2, 0, 1]


def test_samples_of_a_style_are_drawn_from_the_component_chosen(clusterer):
    typical = clusterer.module_.typical_p_x()
    means = typical.mean.detach().numpy()
    covariances = torch.diag_embed(typical.variance.detach()).numpy()
    source = np.random.default_rng(0)
    for k in range(3):
        x = source.multivariate_normal(means[k], covariances[k], 4000)
        expected = clusterer.inverse_transform(x)
        rows, _ = clusterer.sample(4000, cluster=k, w=np.zeros(2), observation_noise=False)
        error = np.hypot(rows.std(0), expected.std(0)) / np.sqrt(4000)
        assert (np.abs(rows.mean(0) - expected.mean(0)) < 5 * error).all()
        np.testing.assert_allclose(rows.std(0), expected.std(0), rtol=0.1)


@pytest.fixture(scope="module")
def touching(fit):
    """Return a clusterer of two clusters in the plane that overlap, and its rows."""
    X, _ = make_blobs(400, centers=[[0.0, 0.0], [3.0, 0.0]], random_state=0)
    sizes = (64, 64)  # an aggregate posterior and samples agree where training has come to its end
    return fit(X, n_clusters=2, max_iter=150, batch_size=128, hidden_layer_sizes=sizes), X


def test_samples_are_drawn_in_proportion_to_the_density_and_to_memberships(touching):
    clusterer, X = touching
    edges = [np.linspace(a - 2, b + 2, 61) for a, b in zip(X.min(0), X.max(0), strict=True)]
    grid = np.stack(np.meshgrid(*edges), -1).reshape(-1, 2)
    density = np.exp(clusterer.score_samples(grid, n_draws=100))
    squares = clusterer.predict_proba(grid) ** 2
    for k in range(2):
        weights = density * squares[:, k] / squares.sum(1)
        mean = np.average(grid, axis=0, weights=weights)
        deviation = np.sqrt(np.average((grid - mean) ** 2, axis=0, weights=weights))
        rows, _ = clusterer.sample(10_000, cluster=k)
        np.testing.assert_allclose(rows.mean(0), mean, atol=0.05)
        np.testing.assert_allclose(rows.std(0), deviation, rtol=0.05)
    rows, labels = clusterer.sample(10_000)
    np.testing.assert_allclose(rows.mean(0), np.average(grid, axis=0, weights=density), atol=0.06)
    for k in range(2):
        of_cluster, _ = clusterer.sample(5_000, cluster=k)
        np.testing.assert_allclose(rows[labels == k].mean(0), of_cluster.mean(0), atol=0.08)


def test_samples_stay_in_clusters_that_are_no_ellipsoids(fit):
    X, _ = make_moons(400, noise=0.06, random_state=0)
    clusterer = fit(X, n_clusters=2, max_iter=60, batch_size=128, hidden_layer_sizes=(64,))
    for k in range(2):
        rows, labels = clusterer.sample(500, cluster=k)
        assert (labels == k).all()
        assert (clusterer.predict(rows) == k).mean() > 0.9


def test_a_component_without_rows_is_sampled_from_its_own_distribution(clusterer):
    other = pickle.loads(pickle.dumps(clusterer))
    other.module_.set_weights(torch.tensor([0.5, 0.5, 0.0]))
    rows, labels = other.sample(400, cluster=2, observation_noise=False)
    assert set(labels) == {2}
    means, covariances = other.latent_components()
    x = np.random.default_rng(0).multivariate_normal(means[2], covariances[2], 4000)
    expected = other.inverse_transform(x)
    error = expected.std(0) / np.sqrt(400)
    assert (np.abs(rows.mean(0) - expected.mean(0)) < 5 * error).all()


def test_a_style_for_all_rows_is_the_same_as_for_each(clusterer):
    style = [0.3, -1.0]
    shared, _ = clusterer.sample(4, 1, style)
    each, _ = clusterer.sample(4, 1, [style] * 4)
    np.testing.assert_array_equal(shared, each)
    other, _ = clusterer.sample(4, 1, [[-3.0, 3.0]] * 4)
    assert not np.array_equal(shared, other)


def test_the_style_moves_each_row_by_itself(clusterer):
    styles = np.zeros((4, 2))
    before, _ = clusterer.sample(4, 1, styles, observation_noise=False)
    styles[2] = [5.0, -5.0]
    after, _ = clusterer.sample(4, 1, styles, observation_noise=False)
    same = np.isclose(before, after, rtol=1e-5).all(1)
    assert same.tolist() == [True, True, False, True]


def test_observation_noise_is_that_of_p_y(clusterer, monkeypatch):
    decoded = []
    p_y = clusterer.module_.p_y
    monkeypatch.setattr(clusterer.module_, "p_y", lambda x: decoded.append(p_y(x)) or decoded[-1])
    noisy, _ = clusterer.sample(3000)
    clean, _ = clusterer.sample(3000, observation_noise=False)
    half = len(decoded) // 2  # a block each
    means = [torch.cat([p.mean for p in part]) for part in (decoded[:half], decoded[half:])]
    assert torch.equal(*means)  # what is drawn before the noise is equal
    deviation = torch.cat([p.stddev for p in decoded[:half]]).numpy()
    noise = (noisy - clean) / (deviation * clusterer._fitted.units.scale)
    np.testing.assert_allclose(noise.mean(0), 0, atol=5 / np.sqrt(3000))
    np.testing.assert_allclose(noise.std(0), 1, atol=0.06)
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 0.1


def test_bernoulli_draws_are_black_and_white_and_means_are_gray(byte_clusterer):
    drawn, _ = byte_clusterer.sample(50)
    gray, _ = byte_clusterer.sample(50, observation_noise=False)
    assert set(np.unique(drawn)) == {0.0, 255.0}
    assert 0 < gray.min() < gray.max() < 255
    assert len(np.unique(gray)) > 100


@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli"])
def test_constant_columns_are_sampled_and_decoded_exactly(fit, X, likelihood):
    X = (X - X.min()) / np.ptp(X)
    X[:, 1], X[:, 3] = 1 / 3, 0.0
    clusterer = fit(X, likelihood=likelihood, max_iter=2)
    for rows in (
        clusterer.sample(20)[0], clusterer.sample(20, observation_noise=False)[0],
        clusterer.reconstruct(X), clusterer.cluster_centers_,
    ):
        np.testing.assert_array_equal(rows[:, [1, 3]], np.tile([1 / 3, 0.0], (len(rows), 1)))
        assert (rows[:, [0, 2]].std(0) > 0).all()


# memory


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
def test_predicting_takes_no_memory_as_large_again_as_x(fit, method):
    X = np.random.default_rng(0).standard_normal((200_000, 20))  # 32 MB
    clusterer = fit(X[:50], init="random", max_iter=1)
    clusterer.predict(X[:1])
    tracemalloc.start()  # numpy's memory; torch's is a block's
    try:
        answers = getattr(clusterer, method)(X)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - answers.nbytes < 0.2 * X.nbytes


# arrays of weights


def test_arrays_are_copies_of_parameters_and_buffers(make_model):
    model = make_model()
    arrays = to_arrays(model)
    assert arrays.keys() == model.state_dict().keys()
    assert any(name.endswith("running_var") for name in arrays)
    assert "log_weights" in arrays
    before = {name: value.copy() for name, value in arrays.items()}
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(7)
    for name, value in arrays.items():
        assert type(value) is np.ndarray
        np.testing.assert_array_equal(value, before[name])


def test_arrays_may_be_read_only_and_are_not_shared_with_the_module(make_model):
    arrays = to_arrays(make_model())
    for value in arrays.values():
        value.setflags(write=False)
    model = make_model(seed=1)
    load_arrays(model, arrays)
    kept = {name: value.copy() for name, value in arrays.items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    for name, value in arrays.items():
        np.testing.assert_array_equal(value, kept[name])


def test_arrays_of_another_shape_are_refused(make_model):
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_arrays(make_model(n_clusters=5), to_arrays(make_model()))


# p(x|z), fitted to the posteriors


def test_the_latent_mixture_is_kept_by_a_pickle_and_absent_with_the_papers_objective(fit, X):
    clusterer = fit(X, max_iter=2)
    before = clusterer._fitted.latent_mixture
    after = pickle.loads(pickle.dumps(clusterer))._fitted.latent_mixture
    assert all(map(torch.equal, before, after))
    paper = fit(X, consistency=0, max_iter=2)
    assert paper._fitted.latent_mixture is None
    assert pickle.loads(pickle.dumps(paper))._fitted.latent_mixture is None


@pytest.fixture(scope="module")
def separate(fit):
    """Return a clusterer of 900 and 100 rows in two features that are correlated, and the rows."""
    X, y = make_blobs([450, 50], 2, centers=[[0.0, 0.0], [8.0, 0.0]], random_state=0)
    X = X @ np.array([[1.0, 0.8], [0.0, 0.6]])
    clusterer = fit(X, n_clusters=2, max_iter=120, batch_size=128, hidden_layer_sizes=(64, 64))
    return clusterer, X, y


def test_samples_of_a_cluster_are_in_it_and_centers_are_means(separate):
    clusterer, X, _ = separate
    assert clusterer.cluster_counts_.tolist() == [450, 50]
    for k in range(2):
        rows, _ = clusterer.sample(1000, cluster=k)
        assert np.mean(clusterer.predict(rows) == k) > 0.95
        members = X[clusterer.labels_ == k]
        deviation = (clusterer.cluster_centers_[k] - members.mean(0)) / members.std(0)
        assert np.sqrt(np.mean(deviation**2)) < 0.3


def test_the_density_is_near_that_of_a_gaussian_mixture_and_integrates_to_1(separate):
    clusterer, X, _ = separate
    mixture = GaussianMixture(2, random_state=0).fit(X)
    ours = clusterer.score_samples(X[::2], n_draws=64).mean()
    assert ours == pytest.approx(mixture.score(X[::2]), abs=0.15)
    edges = [np.linspace(a - 3, b + 3, 61) for a, b in zip(X.min(0), X.max(0), strict=True)]
    grid = np.stack(np.meshgrid(*edges), -1).reshape(-1, 2)
    cell = np.prod([edge[1] - edge[0] for edge in edges])
    density = np.exp(clusterer.score_samples(grid, n_draws=100))
    assert density.sum() * cell == pytest.approx(1.0, abs=0.03)


def test_the_center_of_a_ring_is_one_of_its_rows(fit):
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    ring = 5 * np.column_stack([np.cos(angles), np.sin(angles)])
    disc = 0.5 * np.random.default_rng(0).standard_normal((100, 2))
    X = np.concatenate([ring, disc])
    clusterer = fit(X, n_clusters=2, max_iter=100, batch_size=150)
    np.testing.assert_array_equal(clusterer.predict(clusterer.cluster_centers_), [0, 1])
    distances = np.abs(ring - clusterer.cluster_centers_[0]).max(1)
    assert distances.min() < 1e-9


def test_text_is_neither_true_nor_false(clusterer):
    with pytest.raises(TypeError, match="observation_noise='no' must be True or False"):
        clusterer.sample(3, observation_noise="no")
    assert len(clusterer.sample(3, observation_noise=np.False_)[0]) == 3
