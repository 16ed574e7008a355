"""GMVAEClustering as its users meet it."""

import contextlib
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sklearn
import torch
from sklearn.base import BaseEstimator, clone, is_clusterer
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, load_wine, make_blobs
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from helpers import QUIET, same_weights
from skgmvae import GMVAEClustering
from skgmvae.exceptions import FarRowsWarning
from skgmvae.metrics import (
    clustering_accuracy,
    max_probability_accuracy,
    max_probability_scorer,
)
from skgmvae.networks import dense_networks

SMALL = {"hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2, "batch_size": 64}
QUICK = {**SMALL, "max_iter": 3}
OF_ROWS = [
    "predict", "predict_proba", "predict_log_proba", "decision_function", "transform",
    "reconstruct", "score_samples", "elbo", "score",
]

pytestmark = QUIET


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(120, n_features=3, centers=3, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def fitted(blobs):
    return GMVAEClustering(3, random_state=0, max_iter=20, **SMALL).fit(blobs[0])


# the main job


def test_well_separated_blobs_are_found(blobs, device):
    X, y = blobs
    labels = GMVAEClustering(3, random_state=0, device=device).fit_predict(X)
    assert adjusted_rand_score(y, labels) == 1.0


@pytest.mark.ours
def test_digits_are_clustered_better_than_by_kmeans_and_gaussian_mixture():
    X, y = load_digits(return_X_y=True)
    gmvae = GMVAEClustering(10, max_iter=10, hidden_layer_sizes=(64,), random_state=0).fit(X)
    kmeans = KMeans(10, n_init=10, random_state=0).fit(X)
    mixture = GaussianMixture(10, reg_covar=0.1, n_init=3, random_state=0).fit(X)
    for labels, scores in [
        (kmeans.labels_, -kmeans.transform(X)), (mixture.predict(X), mixture.predict_proba(X)),
    ]:
        assert clustering_accuracy(y, gmvae.labels_) > clustering_accuracy(y, labels)
        ours = max_probability_accuracy(y, gmvae.decision_function(X))
        assert ours > max_probability_accuracy(y, scores)


@pytest.mark.slow
def test_iris_over_seeds():
    X, y = load_iris(return_X_y=True)
    scores = [
        adjusted_rand_score(y, GMVAEClustering(3, random_state=seed).fit_predict(X))
        for seed in range(5)
    ]
    assert np.mean(scores) > 0.7


@pytest.mark.slow
def test_thin_clusters_of_many_rows_are_kept():
    random = np.random.default_rng(0)
    y, angle = random.integers(4, size=6000), random.uniform(0, 2 * np.pi, 6000)
    radius = 1 + y + 0.1 * random.standard_normal(6000)
    X = radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    clusterer = GMVAEClustering(4, random_state=0).fit(X)
    assert adjusted_rand_score(y, clusterer.labels_) > 0.98


@pytest.mark.ours
@pytest.mark.parametrize(("location", "scale"), [(1e6, 1.0), (0.0, 1e-12), (-5.0, 1e12)])
def test_data_at_any_location_and_scale(blobs, location, scale):
    X, y = blobs
    moved = scale * X + location
    estimator = GMVAEClustering(
        3, random_state=0, max_iter=60, hidden_layer_sizes=(16,), batch_size=128
    ).fit(moved)
    assert adjusted_rand_score(y, estimator.labels_) > 0.9
    assert np.isfinite(estimator.score(moved))
    deviation = np.abs(estimator.reconstruct(moved) - moved).max() / scale
    assert deviation < np.abs(X - X.mean(0)).max()


# far rows, and the scale


def two_blobs_and_a_far_row():
    X, y = make_blobs(200, 4, centers=[[0] * 4, [6] * 4], random_state=0)
    return np.vstack([X, np.full((1, 4), 1e6)]), y


@pytest.mark.parametrize("scale", ["auto", None])
def test_a_far_row_does_not_hide_the_clusters_of_the_others_and_is_warned_of(scale):
    X, y = two_blobs_and_a_far_row()
    estimator = GMVAEClustering(2, scale=scale, random_state=0)
    message = (
        r"1 of 201 rows are far from all others in columns 0, 1, 2 and 1 more of X\. They were "
        r"left out .* with scale='range' or 'std' they count .* Look at these rows: drop them"
    )
    with pytest.warns(FarRowsWarning, match=message) as caught:
        estimator.fit(X)
    assert len([w for w in caught if w.category is FarRowsWarning]) == 1
    assert caught[0].filename == __file__
    assert adjusted_rand_score(y, estimator.labels_[:-1]) >= 0.99
    np.testing.assert_array_equal(estimator.labels_, estimator.predict(X))


@pytest.mark.parametrize("call", [
    lambda estimator, X: estimator.fit(X),
    lambda estimator, X: estimator.fit_predict(X),
    lambda estimator, X: estimator.partial_fit(X),
    lambda estimator, X: make_pipeline(estimator).fit(X),
    lambda estimator, X: make_pipeline(estimator).fit_predict(X),
], ids=["fit", "fit_predict", "partial_fit", "pipeline", "pipeline, fit_predict"])
def test_a_warning_is_at_the_line_of_the_user(call):
    X, _ = two_blobs_and_a_far_row()
    with pytest.warns(FarRowsWarning) as caught:
        call(GMVAEClustering(2, random_state=0, **QUICK), X)
    assert {warning.filename for warning in caught} == {__file__}


@pytest.mark.parametrize("scale", ["range", "std"])
def test_a_far_row_that_counts_is_warned_of_too(scale):
    X, _ = two_blobs_and_a_far_row()
    message = rf"1 of 201 .* With scale='{scale}' they count .* scale='auto' leaves them out"
    with pytest.warns(FarRowsWarning, match=message):
        GMVAEClustering(2, scale=scale, random_state=0, **QUICK).fit(X)


def test_a_far_value_in_one_column_is_named(blobs):
    X = blobs[0].copy()
    X[7, 1] = 999999
    with pytest.warns(FarRowsWarning, match="1 of 120 .* in column 1 of X"):
        GMVAEClustering(3, random_state=0, **QUICK).fit(X)


def test_far_rows_are_warned_of_with_the_gaussian_likelihood_and_a_new_model_only(blobs):
    X = blobs[0].copy()
    X[7, 1] = 999999
    estimator = GMVAEClustering(3, random_state=0, warm_start=True, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FarRowsWarning)
        estimator.fit(blobs[0]).fit(X)
        estimator.predict(X)
        flags = (X.mean(0) < X).astype(float)
        GMVAEClustering(3, likelihood="bernoulli", random_state=0, **QUICK).fit(flags)


@pytest.mark.parametrize("scale", ["auto", "range", "std"])
def test_a_scaler_before_the_clusterer_is_of_no_effect_by_default(scale):
    X, _ = load_wine(return_X_y=True)
    estimator = GMVAEClustering(3, scale=scale, random_state=0, **QUICK)
    scaled = make_pipeline(StandardScaler(), clone(estimator)).fit(X)
    np.testing.assert_allclose(scaled.transform(X), estimator.fit(X).transform(X), atol=1e-6)


def test_a_scaler_has_its_effect_if_the_clusterer_does_not_scale():
    X, y = load_wine(return_X_y=True)
    estimator = GMVAEClustering(3, scale=None, random_state=0)
    scaled = make_pipeline(StandardScaler(), clone(estimator)).fit_predict(X)
    assert adjusted_rand_score(y, estimator.fit_predict(X)) < 0.85
    assert adjusted_rand_score(y, scaled) > 0.85


# the initial partition


@pytest.fixture(scope="module")
def uneven():
    """Rows of three clusters that are easily told apart, the largest not first."""
    return make_blobs(
        [20, 70, 40], 3, centers=10 * np.eye(3), cluster_std=0.5, random_state=0
    )


@pytest.mark.ours
def test_the_initial_partition_is_numbered_as_the_labels_are(uneven, device):
    X, y = uneven
    for seed in range(3):
        estimator = GMVAEClustering(
            3, random_state=seed, device=device, learning_rate_init=0.01, **SMALL, max_iter=20
        ).fit(X)
        assert estimator.cluster_counts_.tolist() == [70, 40, 20]
        np.testing.assert_array_equal(estimator.init_labels_, estimator.labels_)
        assert adjusted_rand_score(y, estimator.init_labels_) == 1.0
        assert estimator.init_labels_.dtype == estimator.labels_.dtype == np.intp


@pytest.mark.ours
def test_the_initial_partition_does_not_depend_on_the_networks(uneven):
    X, _ = uneven
    partitions = [
        GMVAEClustering(3, random_state=0, **QUICK | changed).fit(X).init_labels_
        for changed in ({}, {"max_iter": 1}, {"latent_dim": 5, "consistency": 7.0}, {"n_init": 2})
    ]
    for other in partitions[1:]:  # numbers follow the labels of each fit
        assert adjusted_rand_score(partitions[0], other) == 1.0


def test_after_a_warm_start_the_initial_partition_is_that_of_the_model_before(uneven):
    X, y = uneven
    estimator = GMVAEClustering(
        3, random_state=0, warm_start=True, learning_rate_init=0.01, max_iter=20, **SMALL
    ).fit(X)
    # more rows of the cluster that was the smallest: the components change their places
    more = np.vstack([X, X[y == 0], X[y == 0], X[y == 0], X[y == 0]])
    before = estimator.predict(more)
    estimator.set_params(max_iter=30).fit(more)
    assert estimator.cluster_counts_.tolist() == [100, 70, 40]
    assert adjusted_rand_score(before, estimator.init_labels_) == 1.0
    assert not np.array_equal(before, estimator.init_labels_)
    np.testing.assert_array_equal(estimator.init_labels_, estimator.labels_)
    estimator.fit(more)  # no epoch is run
    np.testing.assert_array_equal(estimator.init_labels_, estimator.labels_)


@pytest.mark.parametrize("parameters", [{"init": "random"}, {"consistency": 0}])
def test_a_fit_that_begins_with_none_has_no_initial_partition(blobs, parameters):
    estimator = GMVAEClustering(3, random_state=0, warm_start=True, **QUICK)
    assert estimator.fit(blobs[0]).init_labels_.shape == (120,)
    estimator.set_params(max_iter=4, **parameters).fit(blobs[0])
    assert estimator.init_labels_ is None
    estimator.set_params(warm_start=False).fit(blobs[0])
    assert estimator.init_labels_ is None


def test_a_stream_has_no_initial_partition(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, random_state=0, **QUICK)
    assert estimator.partial_fit(X).init_labels_ is None
    assert estimator.fit(X).init_labels_.shape == (120,)
    assert estimator.partial_fit(X[:50]).init_labels_ is None


# what it is


def test_it_is_a_clusterer():
    assert is_clusterer(GMVAEClustering())


def test_clone_carries_the_parameters_and_nothing_else(fitted):
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert vars(copied).keys() == fitted.get_params().keys()


def test_what_has_no_answer_before_a_fit_says_so(blobs):
    X, _ = blobs
    estimator = GMVAEClustering()
    for method in OF_ROWS:
        with pytest.raises(NotFittedError):
            getattr(estimator, method)(X)
    for call in (estimator.sample, estimator.latent_components):
        with pytest.raises(NotFittedError):
            call()
    with pytest.raises(NotFittedError):
        estimator.inverse_transform(X)
    names = {
        "module_", "device_", "weights_", "history_", "n_iter_", "labels_", "init_labels_",
        "converged_",
    }
    assert not any(hasattr(estimator, name) for name in names)


def test_every_documented_attribute_is_there_after_a_fit(fitted):
    section = GMVAEClustering.__doc__.split("Attributes\n")[1].split("See Also")[0]
    names = [line.split(" : ")[0].strip() for line in section.splitlines() if " : " in line]
    assert len(names) > 12
    for name in set(names) - {"feature_names_in_"}:
        assert hasattr(fitted, name), name
    assert fitted.n_features_in_ == 3


@pytest.mark.parametrize("name", ["module_", "device_", "weights_", "history_", "n_iter_"])
def test_what_describes_the_model_cannot_be_set(fitted, name):
    with pytest.raises(AttributeError):
        setattr(fitted, name, None)


def test_the_parameters_are_stored_as_they_are(blobs):
    values = {name: object() for name in GMVAEClustering().get_params()}
    estimator = GMVAEClustering(**values)
    assert all(estimator.get_params()[name] is value for name, value in values.items())


# reproducibility


def test_two_fits_with_one_random_state_are_bitwise_equal(blobs, device):
    X, _ = blobs
    one, other = (
        GMVAEClustering(3, random_state=1, device=device, **QUICK).fit(X) for _ in range(2)
    )
    assert same_weights(one, other)
    np.testing.assert_array_equal(one.history_["lower_bound"], other.history_["lower_bound"])
    assert one.lower_bound_ == other.lower_bound_


def test_different_random_states_differ(blobs):
    X, _ = blobs
    one, other = (GMVAEClustering(3, random_state=s, **QUICK).fit(X) for s in range(2))
    assert not same_weights(one, other)


def test_global_random_state_is_untouched(blobs, untouched_global_state):
    X, _ = blobs
    estimator = GMVAEClustering(3, n_init=2, **QUICK).fit(X)
    estimator.partial_fit(X)
    estimator.sample(5)
    estimator.score(X)


def test_nothing_is_printed_unless_asked_for(blobs, capsys):
    X, _ = blobs
    GMVAEClustering(3, **QUICK).fit(X).partial_fit(X)
    assert capsys.readouterr().out == ""
    GMVAEClustering(3, verbose=1, **QUICK).fit(X)
    assert "epoch 3/3" in capsys.readouterr().out


@pytest.mark.parametrize("container", [list, np.asfortranarray, "read-only"])
def test_rows_are_neither_changed_nor_kept(blobs, container):
    X, _ = blobs
    given = X.copy() if container == "read-only" else container(X.tolist())
    if container == "read-only":
        given.setflags(write=False)
    estimator = GMVAEClustering(3, random_state=0, **QUICK).fit(given)
    assert np.array_equal(given, X)
    if container != "read-only":
        given[0] = np.full(3, 99.0)
    usual = GMVAEClustering(3, random_state=0, **QUICK).fit(X)
    np.testing.assert_allclose(estimator.reconstruct(X), usual.reconstruct(X), rtol=1e-4)


# bad input


BAD_DATA = {
    "a column without values": ([[np.nan, 1.0]] * 10, "Column 0 of X has no values"),
    "infinity": ([[np.inf, 1.0]] * 10, "infinity"),
    "complex": (np.ones((10, 2)) * 1j, "[Cc]omplex"),
    "strings": ([["a", "b"]] * 10, "the value 'a', which is text, not a number"),
    "no rows": (np.empty((0, 2)), "0 sample"),
    "no columns": (np.empty((10, 0)), "0 feature"),
    "fewer rows than clusters": (np.eye(3), "n_samples=3 should be >= 8"),
    "one row": (np.ones((1, 2)), "n_samples=1"),
    "one dimension": (np.ones(10), "1D array"),
    "too large": (np.array([[1e200, 1.0], [-1e200, 2.0]] * 10), "too large to square"),
    "too small": (np.array([[1e-200, 1.0], [-1e-200, 1.0]] * 10), "too small to square"),
}


@pytest.mark.parametrize(("X", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_bad_data_are_named(X, message, method):
    estimator = GMVAEClustering(**QUICK)
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(X)
    assert vars(estimator) == estimator.get_params()


@pytest.mark.parametrize("method", OF_ROWS)
def test_unusable_rows_are_refused(fitted, blobs, method):
    X, _ = blobs
    function = getattr(fitted, method)
    with pytest.raises(ValueError, match="X has 2 features, but GMVAEClustering is expecting 3"):
        function(X[:, :2])
    with pytest.raises(ValueError, match="infinity"):
        function(np.full_like(X, np.inf))


def test_latent_points_of_another_dimension_are_refused(fitted, blobs):
    with pytest.raises(ValueError, match=r"X has 3 columns.*latent_dim=2.*transform"):
        fitted.inverse_transform(blobs[0])
    with pytest.raises(ValueError, match="NaN"):
        fitted.inverse_transform([[np.nan, 0.0]])


def test_values_that_are_no_probabilities_get_an_error_that_says_what_to_do(blobs):
    values = np.random.default_rng(0).random((30, 4))
    estimator = GMVAEClustering(3, likelihood="bernoulli", **QUICK)
    for high in (1.5, 255.0):
        with pytest.raises(ValueError, match=rf"values between 0 and {high:.0g}|MinMaxScaler"):
            estimator.fit(high * values)
    estimator.fit(values)
    for method in OF_ROWS:
        with pytest.raises(ValueError, match=r"between 0 and 1, but .*MinMaxScaler"):
            getattr(estimator, method)(2 * values)
    with pytest.raises(ValueError, match="pass X / 255"):
        estimator.predict((255 * values).astype(np.uint8))


@pytest.mark.parametrize(("n_draws", "error"), [
    (0, ValueError), (1.5, TypeError), (True, TypeError),
])
def test_a_bad_number_of_draws_is_named(fitted, blobs, n_draws, error):
    with pytest.raises(error, match="n_draws"):
        fitted.score_samples(blobs[0], n_draws=n_draws)


@pytest.mark.parametrize("n_samples", [0, -2])
def test_a_number_of_samples_that_is_not_positive_is_refused(fitted, n_samples):
    with pytest.raises(ValueError, match=r"n_samples == .*, must be >= 1"):
        fitted.sample(n_samples)
    with pytest.raises(TypeError, match="n_samples"):
        fitted.sample(2.5)


@pytest.mark.parametrize("cluster", [
    3, -1, [0, 0, 7], 0.5, -0.5, [0.0, 1.5, 2.0], True, "first", [None, 0, 1],
])
def test_a_component_that_does_not_exist_is_refused(fitted, cluster):
    with pytest.raises(ValueError, match=r"cluster=.* whole numbers from 0 to 2"):
        fitted.sample(3, cluster=cluster)


@pytest.mark.parametrize(("cluster", "shape"), [
    ([0, 1], r"\(2,\)"), (np.array([], int), r"\(0,\)"), ([], r"\(0,\)"), ([[0], [1], [2]], "3, 1"),
])
def test_as_many_components_as_samples_are_needed(fitted, cluster, shape):
    with pytest.raises(ValueError, match=rf"cluster has shape .*{shape}.*n_samples=3"):
        fitted.sample(3, cluster=cluster)


@pytest.mark.parametrize("w", [[0.0], [0.0] * 3, np.zeros((2, 2)), 0.0, np.zeros((1, 2)), []])
def test_a_style_of_another_shape_is_refused(fitted, w):
    with pytest.raises(ValueError, match=r"w has shape .* must be \(2,\) or \(3, 2\)"):
        fitted.sample(3, w=w)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_style_that_is_not_finite_is_refused(fitted, value):
    with pytest.raises(ValueError, match="w has values that are not finite"):
        fitted.sample(3, w=[0.0, value])


# odd data


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")  # the outlier
@pytest.mark.parametrize("X", [
    np.column_stack([np.arange(20.0), np.ones(20)]),  # a constant column
    np.ones((20, 2)),
    np.repeat(np.eye(2), 10, axis=0),  # duplicates
    np.vstack([np.eye(2)[np.arange(20) % 2], [[1e30, 0.0]]]),  # an outlier
    np.arange(2.0)[:, None],  # as few rows and columns as there can be
    np.array([[True, False], [False, True]] * 5),
], ids=["constant column", "constant", "duplicates", "outlier", "two rows", "booleans"])
def test_odd_data_give_finite_answers(X, device):
    estimator = GMVAEClustering(2, random_state=0, device=device, **QUICK).fit(X)
    for method in OF_ROWS:
        assert np.isfinite(getattr(estimator, method)(X)).all()
    assert np.isfinite(estimator.sample(10)[0]).all()
    assert np.isfinite(estimator.cluster_centers_).all()
    assert np.isfinite(estimator.lower_bound_)


# networks, likelihoods, perturbations


@pytest.mark.parametrize("image_shape", [(8, 8), (4, 8, 2)])
@pytest.mark.parametrize("parameters", [
    {"networks": "conv"}, {"perturbation": "affine"}, {"perturbation": "both"},
    {"likelihood": "bernoulli"}, {},
])
def test_images(image_shape, parameters, device):
    X = load_digits().data[:60] / 16
    estimator = GMVAEClustering(
        3, image_shape=image_shape, random_state=0, device=device, learning_rate_init=0.02,
        max_iter=15, **{**SMALL, **parameters},
    ).fit(X)
    decoded = estimator.reconstruct(X)
    # an image comes back where it was, and not in another order of its pixels
    correlation = np.corrcoef(decoded.mean(0), X.mean(0))[0, 1]
    assert correlation > 0.5
    assert estimator.sample(4)[0].shape == (4, 64)
    assert np.isfinite(estimator.score(X))


def test_images_of_bytes_go_in_and_come_out_as_numbers_to_255(device):
    images = np.random.default_rng(0).integers(0, 256, (40, 8 * 9), dtype=np.uint8)
    estimator = GMVAEClustering(
        3, likelihood="bernoulli", networks="conv", image_shape=(8, 9), perturbation="affine",
        random_state=0, device=device, **QUICK,
    ).fit(images)
    decoded = estimator.reconstruct(images)
    assert decoded.shape == images.shape
    assert 1 < decoded.max() <= 255
    np.testing.assert_allclose(
        estimator.predict_proba(images.astype(float)), estimator.predict_proba(images), atol=1e-4
    )


def test_bytes_are_fractions_of_255():
    X = (load_digits().data[:60] * 15).astype(np.uint8)
    fractions = (X / 255).astype(np.float32)
    parameters = {"likelihood": "bernoulli", "random_state": 0, **QUICK}
    of_bytes = GMVAEClustering(3, **parameters).fit(X)
    of_fractions = GMVAEClustering(3, **parameters).fit(fractions)
    np.testing.assert_array_equal(of_bytes.labels_, of_fractions.labels_)
    np.testing.assert_allclose(
        of_bytes.reconstruct(X), 255 * of_fractions.reconstruct(fractions), rtol=1e-3
    )
    np.testing.assert_allclose(
        of_fractions.predict_proba(fractions), of_bytes.predict_proba(X), atol=1e-5
    )
    # a probability has no unit
    np.testing.assert_allclose(
        of_fractions.score_samples(fractions), of_bytes.score_samples(X), rtol=1e-4
    )


def test_bytes_that_are_zeros_and_ones_are_taken_as_they_are():
    X = np.random.default_rng(0).integers(0, 2, (60, 4)).astype(np.uint8)
    parameters = {"likelihood": "bernoulli", "random_state": 0, **QUICK}
    of_bytes = GMVAEClustering(3, **parameters).fit(X)
    of_floats = GMVAEClustering(3, **parameters).fit(X.astype(np.float32))
    np.testing.assert_array_equal(of_bytes.labels_, of_floats.labels_)
    np.testing.assert_allclose(of_bytes.reconstruct(X), of_floats.reconstruct(X), rtol=1e-5)


def own_networks(data_shape, latent_dim, style_dim, n_parameters):
    return dense_networks(data_shape, latent_dim, style_dim, n_parameters, hidden_layer_sizes=(5,))


def test_networks_of_the_users_own(blobs, device):
    X, _ = blobs
    estimator = GMVAEClustering(
        3, networks=own_networks, random_state=0, device=device, **QUICK
    ).fit(X)
    assert estimator.module_.encoder[1].out_features == 5
    assert estimator.partial_fit(X).predict(X).shape == (120,)


def test_what_a_factory_hands_out_is_never_trained(blobs):
    X, _ = blobs
    given = dense_networks((3,), 2, 2, 2, hidden_layer_sizes=(5,))
    before = [value.clone() for network in given for value in network.state_dict().values()]
    GMVAEClustering(3, networks=lambda *shape: given, **QUICK).fit(X).partial_fit(X)
    after = [value for network in given for value in network.state_dict().values()]
    assert all(map(torch.equal, before, after))


def jittered(y, source):
    return y + 0.1 * torch.randn(y.shape, generator=source, device=y.device)


SETTINGS = {
    "consistency": 0, "n_clusters": 1, "n_mc_samples": 3, "min_information": 0.5,
    "perturbation_radius": 5.0, "batch_size": 7, "perturbation": jittered, "init": "random",
    "learning_rate": "constant", "learning_rate_init": 1e-3, "latent_dim": 3, "style_dim": 1,
    "max_iter": 5, "n_init": 2, "hidden_layer_sizes": (9, 5),
}


@pytest.fixture(scope="module")
def usual(blobs):
    return GMVAEClustering(3, random_state=0, **QUICK).fit(blobs[0])


@pytest.mark.ours
@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_changes_the_fit_which_stays_usable(usual, blobs, name):
    X, _ = blobs
    estimator = clone(usual).set_params(**{name: SETTINGS[name]}).fit(X)
    assert not np.allclose(estimator.reconstruct(X), usual.reconstruct(X))
    for method in OF_ROWS:
        assert not np.isnan(getattr(estimator, method)(X)).any()
    np.testing.assert_allclose(estimator.predict_proba(X).sum(1), 1)
    assert estimator.sample(3)[0].shape == (3, 3)
    assert set(estimator.labels_) <= set(range(estimator.n_clusters))


@pytest.mark.ours
@pytest.mark.parametrize("parameters", [
    {"n_iter_no_change": 1, "tol": 0.0}, {"verbose": 0}, {"warm_start": True}, {"n_jobs": 1},
])
def test_settings_without_effect_on_a_short_first_fit(usual, blobs, parameters):
    X, _ = blobs
    if "tol" in parameters:
        parameters = {"n_iter_no_change": 3, "tol": 1e9}
    assert same_weights(clone(usual).set_params(**parameters).fit(X), usual)


def test_training_stops_where_nothing_has_changed(usual, blobs):
    estimator = clone(usual).set_params(tol=1e9, n_iter_no_change=1).fit(blobs[0])
    assert estimator.n_iter_ == 2 < usual.n_iter_


# torch as others have left it


@contextlib.contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(name):
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


MODES = {
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "meta": lambda: default_device("meta"),
    "inference mode": torch.inference_mode,
    "no grad": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


def all_answers(X, device, **parameters):
    """Return what every method says, through a fit, a pickle, a chunk and a continued fit."""
    estimator = GMVAEClustering(
        3, random_state=0, device=device, warm_start=True, **{**QUICK, **parameters}
    )
    answers = []
    for train in (
        lambda: estimator.fit(X), lambda: pickle.loads(pickle.dumps(estimator)),
        lambda: estimator.partial_fit(X[::2]).partial_fit(X),
        lambda: estimator.set_params(max_iter=6).fit(X),
    ):
        fitted = train()
        answers += [np.asarray(getattr(fitted, method)(X)) for method in OF_ROWS]
        answers += [fitted.reconstruct(X.astype(np.float32)), fitted.score_samples(X, n_draws=3)]
        answers += [fitted.inverse_transform(fitted.transform(X)), *fitted.latent_components()]
        answers += [*fitted.sample(5), fitted.labels_, fitted.weights_, fitted.cluster_centers_]
        answers += list(fitted.history_.values())
    return answers


@pytest.fixture(scope="module")
def usual_answers(blobs, device):
    return all_answers(blobs[0], device)


@pytest.mark.ours
@pytest.mark.parametrize("mode", MODES)
def test_the_modes_of_torch_are_of_no_effect(blobs, usual_answers, device, mode):
    with MODES[mode]():
        answers = all_answers(blobs[0], device)
    assert len(answers) == len(usual_answers)
    for one, other in zip(answers, usual_answers, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def convolutions(device):
    """Return a clusterer of images with convolutions, and the images."""
    X = load_digits().data[:20] / 16
    return GMVAEClustering(
        3, image_shape=(8, 8), networks="conv", perturbation="both", init="random",
        likelihood="bernoulli", max_iter=1, random_state=0, device=device, **SMALL,
    ).fit(X), X


@pytest.mark.parametrize("mode", MODES)
def test_the_modes_of_torch_are_of_no_effect_on_convolutions(convolutions, mode):
    usual, X = convolutions
    with MODES[mode]():
        other = clone(usual).fit(X)
        drawn = other.sample(5)[0]
    assert same_weights(usual, other)
    np.testing.assert_array_equal(drawn, usual.sample(5)[0])


def test_a_model_fitted_in_inference_mode_may_be_used_outside(blobs):
    X, _ = blobs
    with torch.inference_mode():
        estimator = GMVAEClustering(3, random_state=0, **QUICK).fit(X)
        loaded = pickle.loads(pickle.dumps(estimator))
    for one in (estimator, loaded):
        assert not any(value.is_inference() for value in one.module_.state_dict().values())
        one.predict(X)
        one.partial_fit(X)
        assert one.n_iter_ == 4


# scikit-learn around it


class Validated:
    """Names of the estimators that validate their parameters."""

    def __init__(self, monkeypatch):
        self.names, original = [], BaseEstimator._validate_params

        def recording(estimator):
            self.names.append(type(estimator).__name__)
            return original(estimator)

        monkeypatch.setattr(BaseEstimator, "_validate_params", recording)


def test_parameters_are_validated_at_each_call_and_those_of_others_inside_not(blobs, monkeypatch):
    X, _ = blobs
    validated = Validated(monkeypatch)
    estimator = GMVAEClustering(3, random_state=0, **QUICK).fit(X)
    assert validated.names == ["GMVAEClustering"]
    KMeans(2, n_init=1).fit(X)
    assert validated.names == ["GMVAEClustering", "KMeans"]
    estimator.partial_fit(X)
    clone(estimator).partial_fit(X)
    assert validated.names == ["GMVAEClustering", "KMeans", *["GMVAEClustering"] * 2]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_validation_of_parameters_may_be_skipped(blobs, monkeypatch, method):
    X, _ = blobs
    validated = Validated(monkeypatch)
    estimator = GMVAEClustering(3, random_state=0, **QUICK).set_params(learning_rate="unheard of")
    with sklearn.config_context(skip_parameter_validation=True):
        getattr(estimator, method)(X)
    assert validated.names == []
    with pytest.raises(ValueError, match="learning_rate"):
        clone(estimator).fit(X)


def test_fits_may_run_in_threads(blobs):
    X, _ = blobs

    def run(seed):
        return GMVAEClustering(3, networks=own_networks, random_state=seed, **QUICK).fit(X)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(3) as pool:
            together = list(pool.map(run, range(3)))
        assert all(same_weights(run(seed), one) for seed, one in enumerate(together))


@pytest.fixture
def one_thread():
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.mark.usefixtures("one_thread")  # as in the processes: more threads round otherwise
def test_restarts_in_processes_equal_restarts_in_a_row(blobs):
    X, _ = blobs
    fits = [
        GMVAEClustering(3, n_init=3, n_jobs=n_jobs, random_state=0, **QUICK).fit(X)
        for n_jobs in (1, 2)
    ]
    assert same_weights(*fits)


@pytest.mark.usefixtures("one_thread")
def test_pipeline_and_grid_search_equal_in_processes(blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), GMVAEClustering(random_state=0, **QUICK))
    searches = [
        GridSearchCV(
            pipeline,
            {"gmvaeclustering__n_clusters": [2, 3]},
            scoring={"max_probability": max_probability_scorer, "ari": "adjusted_rand_score"},
            refit="ari", cv=2, n_jobs=n_jobs, error_score="raise",
        ).fit(X, y)
        for n_jobs in (1, 2)
    ]
    for name in ("mean_test_max_probability", "mean_test_ari"):
        np.testing.assert_array_equal(
            searches[0].cv_results_[name], searches[1].cv_results_[name]
        )
    assert same_weights(*(search.best_estimator_[-1] for search in searches))


def test_a_search_without_labels_goes_by_the_score(blobs):
    X, _ = blobs
    search = GridSearchCV(
        GMVAEClustering(3, consistency=0, random_state=0, learning_rate_init=0.01, **SMALL),
        {"max_iter": [1, 30]}, cv=2,
    ).fit(X)
    assert search.best_params_ == {"max_iter": 30}
    assert search.score(X) == search.best_estimator_.score(X)


@pytest.mark.newest
def test_feature_names():
    pandas = pytest.importorskip("pandas")
    rows = np.random.default_rng(0).normal(size=(20, 2))
    frame = pandas.DataFrame(rows, columns=["a", "b"])
    estimator = GMVAEClustering(2, random_state=0, **QUICK).set_output(transform="pandas")
    latent = estimator.fit_transform(frame)
    assert list(latent.columns) == ["gmvaeclustering0", "gmvaeclustering1"]
    assert list(estimator.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(frame[["b", "a"]])
    with pytest.raises(ValueError, match="feature names"):
        estimator.partial_fit(frame[["b", "a"]])
    estimator.fit(rows)
    assert not hasattr(estimator, "feature_names_in_")


def test_rows_far_away_are_told_of_in_the_line_that_asked(fitted, blobs):
    X, _ = blobs
    for method in OF_ROWS:
        with pytest.warns(DataConversionWarning, match="120 of 120 rows lie more than") as caught:
            getattr(fitted, method)(1e30 * X)
        assert len(caught) == 1


def test_components_of_several_lengths_are_refused_in_words(fitted):
    with pytest.raises(ValueError, match="cluster="):
        fitted.sample(2, cluster=[[0], [1, 2]])


def test_weights_that_are_no_numbers_are_named(blobs):
    with pytest.raises(ValueError, match="sample_weight must be a number for each row"):
        GMVAEClustering(3, max_iter=1).fit(blobs[0], sample_weight="many")
