"""GMVAEClustering as its users meet it."""

import numpy as np
import pytest
import torch
from sklearn.base import clone, is_clusterer
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits, load_iris, make_blobs
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgmvae import GMVAEClustering
from skgmvae.metrics import (
    clustering_accuracy,
    max_probability_accuracy,
    max_probability_scorer,
)
from skgmvae.networks import dense_networks

SMALL = {"hidden_layer_sizes": (8,), "latent_dim": 2, "style_dim": 2}
QUICK = {**SMALL, "max_iter": 3}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def blobs():
    return make_blobs(120, n_features=3, centers=3, cluster_std=0.5, random_state=0)


@pytest.fixture(scope="module")
def fitted(blobs):
    return GMVAEClustering(3, random_state=0, max_iter=60, **SMALL).fit(blobs[0])


def state_of(estimator):
    return {name: value.clone() for name, value in estimator.module_.state_dict().items()}


def same_weights(first, second):
    states = state_of(first), state_of(second)
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


# what a fit leaves behind


def test_well_separated_blobs_are_found(blobs):
    X, y = blobs
    labels = GMVAEClustering(3, random_state=0).fit_predict(X)
    assert adjusted_rand_score(y, labels) == 1.0


def test_it_is_a_clusterer():
    assert is_clusterer(GMVAEClustering())


def test_fitted_attributes_agree_with_each_other(fitted, blobs):
    X, _ = blobs
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(X))
    np.testing.assert_array_equal(fitted.cluster_counts_, np.bincount(fitted.labels_, minlength=3))
    assert fitted.n_clusters_found_ == np.count_nonzero(fitted.cluster_counts_)
    np.testing.assert_allclose(fitted.weights_, fitted.predict_proba(X).mean(0))
    np.testing.assert_array_equal(
        fitted.exemplar_indices_, fitted.decision_function(X).argmax(0)
    )
    assert fitted.cluster_centers_.shape == (3, 3)
    assert fitted.n_iter_ == 60
    assert fitted.device_ == "cpu"
    assert fitted.n_features_in_ == 3
    assert isinstance(fitted.module_, torch.nn.Module)
    assert not fitted.module_.training


def test_history_has_the_terms_the_regulariser_and_their_sum(fitted):
    history = fitted.history_
    assert all(values.shape == (60,) for values in history.values())
    np.testing.assert_allclose(
        history["lower_bound"],
        history["reconstruction"] - history["conditional_prior"] - history["w_prior"]
        - history["z_prior"],
    )
    assert fitted.lower_bound_ == history["lower_bound"][-1]
    assert history["regulariser"].any()


def test_components_are_ordered_by_occupancy_empty_ones_last(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(8, random_state=0, max_iter=20, **SMALL).fit(X)
    assert (np.diff(estimator.cluster_counts_) <= 0).all()
    assert set(estimator.labels_) == set(range(estimator.n_clusters_found_))


def test_cluster_centers_are_near_the_clusters_in_the_units_of_the_data():
    X, _ = make_blobs(200, 3, centers=3, cluster_std=0.5, random_state=0)
    X = 1e-3 * X + 1e2
    estimator = GMVAEClustering(3, random_state=0).fit(X)
    means = np.array([X[estimator.labels_ == k].mean(0) for k in range(3)])
    assert np.abs(estimator.cluster_centers_ - means).max() < 0.3 * X.std()


@pytest.mark.parametrize(("location", "scale"), [(1e6, 1.0), (0.0, 1e-12), (-5.0, 1e12)])
def test_data_at_any_location_and_scale(blobs, location, scale):
    X, _ = blobs
    estimator = GMVAEClustering(3, random_state=0, max_iter=100, **SMALL).fit(scale * X + location)
    reference = GMVAEClustering(3, random_state=0, max_iter=100, **SMALL).fit(X)
    assert adjusted_rand_score(reference.labels_, estimator.labels_) > 0.9
    assert np.isfinite(estimator.score(scale * X + location))


# reproducibility


def test_two_fits_with_one_random_state_are_bitwise_equal(blobs):
    X, _ = blobs
    first, second = (GMVAEClustering(3, random_state=1, **QUICK).fit(X) for _ in range(2))
    assert same_weights(first, second)
    np.testing.assert_array_equal(first.history_["lower_bound"], second.history_["lower_bound"])


def test_different_random_states_differ(blobs):
    X, _ = blobs
    first, second = (GMVAEClustering(3, random_state=s, **QUICK).fit(X) for s in range(2))
    assert not same_weights(first, second)


def test_global_random_state_is_untouched(blobs):
    X, _ = blobs
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    estimator = GMVAEClustering(3, n_init=2, **QUICK).fit(X)
    estimator.sample(5)
    estimator.score(X)
    assert torch.equal(before[0], torch.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002


def test_nothing_is_printed_unless_asked_for(blobs, capsys):
    X, _ = blobs
    GMVAEClustering(3, **QUICK).fit(X)
    assert capsys.readouterr().out == ""
    GMVAEClustering(3, verbose=1, **QUICK).fit(X)
    assert "epoch 3/3" in capsys.readouterr().out


# bad input


BAD_DATA = {
    "NaN": ([[np.nan, 1.0]] * 10, "NaN"),
    "infinity": ([[np.inf, 1.0]] * 10, "infinity"),
    "complex": (np.ones((10, 2)) * 1j, "[Cc]omplex"),
    "strings": ([["a", "b"]] * 10, "could not convert string to float"),
    "no rows": (np.empty((0, 2)), "0 sample"),
    "no columns": (np.empty((10, 0)), "0 feature"),
    "fewer rows than clusters": (np.eye(3), "n_samples=3 should be >= 8"),
    "one row": (np.ones((1, 2)), "n_samples=1"),
    "one dimension": (np.ones(10), "1D array"),
}


@pytest.mark.parametrize(("X", "message"), BAD_DATA.values(), ids=BAD_DATA.keys())
def test_bad_data_are_named(X, message):
    with pytest.raises(ValueError, match=message):
        GMVAEClustering(**QUICK).fit(X)


def test_wrong_number_of_features_is_named(fitted):
    with pytest.raises(ValueError, match="X has 5 features, but GMVAEClustering is expecting 3"):
        fitted.predict(np.ones((2, 5)))


@pytest.mark.parametrize("params", [
    {"min_information": np.log(3)}, {"min_information": -1.0}, {"n_clusters": 0},
    {"n_clusters": 2.5}, {"hidden_layer_sizes": ()}, {"hidden_layer_sizes": (8, 0)},
    {"likelihood": "poisson"}, {"networks": "conv"}, {"perturbation": "affine"},
    {"image_shape": (2, 2)}, {"image_shape": (3,)}, {"device": "abacus"}, {"max_iter": "many"},
    {"learning_rate_init": 0.0}, {"consistency": np.nan}, {"batch_size": 1},
])
def test_bad_parameters_are_named(params, blobs):
    X, _ = blobs
    (name,) = params
    with pytest.raises(ValueError, match=name):
        GMVAEClustering(**{"n_clusters": 3, **QUICK, **params}).fit(X)


@pytest.mark.parametrize("X", [
    np.column_stack([np.arange(20.0), np.ones(20)]),  # a constant column
    np.ones((20, 2)),
    np.repeat(np.eye(2), 10, axis=0),  # duplicates
    np.vstack([np.eye(2)[np.arange(20) % 2], [[1e30, 0.0]]]),  # an outlier
    np.arange(2.0)[:, None],  # as few rows and columns as there can be
    np.array([[True, False], [False, True]] * 5),
], ids=["constant column", "constant", "duplicates", "outlier", "two rows", "booleans"])
def test_odd_data_give_finite_answers(X):
    estimator = GMVAEClustering(2, random_state=0, **QUICK).fit(X)
    assert np.isfinite(estimator.predict_proba(X)).all()
    assert np.isfinite(estimator.reconstruct(X)).all()
    assert np.isfinite(estimator.score_samples(X)).all()


def test_values_too_large_to_square_get_an_error_that_says_so():
    X = np.array([[1e200, 1.0], [-1e200, 2.0]] * 10)
    with pytest.raises(ValueError, match="too large"):
        GMVAEClustering(2, **QUICK).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_are_very_far_away_get_finite_answers(fitted, blobs, dtype):
    X = blobs[0].astype(dtype) * dtype(1e30)
    assert np.isfinite(fitted.predict_proba(X)).all()
    assert np.isfinite(fitted.transform(X)).all()


# networks, likelihoods, perturbations


@pytest.mark.parametrize("image_shape", [(8, 8), (4, 8, 2)])
@pytest.mark.parametrize("params", [
    {"networks": "conv"}, {"perturbation": "affine"}, {"likelihood": "bernoulli"}, {},
])
def test_images(image_shape, params):
    X = load_digits().data[:60] / 16
    estimator = GMVAEClustering(
        3, image_shape=image_shape, random_state=0, **{**QUICK, **params}
    ).fit(X)
    assert estimator.reconstruct(X).shape == X.shape
    assert estimator.sample(4)[0].shape == (4, 64)


def test_bytes_are_fractions_of_255():
    X = (load_digits().data[:60] * 15).astype(np.uint8)
    params = {"likelihood": "bernoulli", "random_state": 0, **QUICK}
    of_bytes = GMVAEClustering(3, **params).fit(X)
    of_fractions = GMVAEClustering(3, **params).fit((X / 255).astype(np.float32))
    np.testing.assert_array_equal(of_bytes.labels_, of_fractions.labels_)
    assert of_bytes.reconstruct(X).max() > 1  # in the units of X
    fractions = of_fractions.predict_proba((X / 255).astype(np.float32))
    np.testing.assert_allclose(fractions, of_bytes.predict_proba(X), atol=1e-5)


def test_bytes_that_are_zeros_and_ones_are_taken_as_they_are():
    X = np.random.default_rng(0).integers(0, 2, (60, 4)).astype(np.uint8)
    params = {"likelihood": "bernoulli", "random_state": 0, **QUICK}
    of_bytes = GMVAEClustering(3, **params).fit(X)
    of_floats = GMVAEClustering(3, **params).fit(X.astype(np.float32))
    np.testing.assert_array_equal(of_bytes.labels_, of_floats.labels_)
    np.testing.assert_array_equal(of_bytes.predict(X), of_bytes.labels_)


@pytest.mark.parametrize("high", [1.5, 255.0])
def test_values_out_of_range_get_an_error_that_says_what_to_do(high, blobs):
    X = high * np.random.default_rng(0).random((30, 4))
    with pytest.raises(ValueError, match="MinMaxScaler"):
        GMVAEClustering(3, likelihood="bernoulli", **QUICK).fit(X)


def own_networks(data_shape, latent_dim, style_dim, n_parameters):
    return dense_networks(data_shape, latent_dim, style_dim, n_parameters, hidden_layer_sizes=(5,))


def test_networks_of_the_users_own(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, networks=own_networks, random_state=0, **QUICK).fit(X)
    assert estimator.module_.encoder[1].out_features == 5


def test_constructor_parameters_are_never_trained_in_place(blobs):
    X, _ = blobs
    given = dense_networks((3,), 2, 2, 2, hidden_layer_sizes=(5,))
    before = [parameter.clone() for network in given for parameter in network.parameters()]
    GMVAEClustering(3, networks=lambda *shape: given, **QUICK).fit(X)
    after = [parameter for network in given for parameter in network.parameters()]
    assert all(map(torch.equal, before, after))


@pytest.mark.parametrize("params", [
    {"consistency": 0}, {"n_clusters": 1}, {"n_mc_samples": 3}, {"min_information": 0.5},
    {"perturbation_radius": 0.1}, {"batch_size": 7},
    {"perturbation": lambda y, source: y + 0.1 * torch.randn(y.shape, generator=source)},
], ids=str)
def test_settings_fit_and_predict(params, blobs):
    X, _ = blobs
    estimator = GMVAEClustering(**{"n_clusters": 3, "random_state": 0, **QUICK, **params}).fit(X)
    np.testing.assert_allclose(estimator.predict_proba(X).sum(1), 1)


def test_consistency_0_is_the_papers_objective_and_has_no_regulariser(blobs):
    X, _ = blobs
    estimator = GMVAEClustering(3, consistency=0, random_state=0, **QUICK).fit(X)
    assert not estimator.history_["regulariser"].any()


# company


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


def test_pipeline_and_grid_search_equal_in_processes(blobs):
    X, y = blobs
    pipeline = make_pipeline(StandardScaler(), GMVAEClustering(random_state=0, **QUICK))
    searches = [
        GridSearchCV(
            pipeline,
            {"gmvaeclustering__n_clusters": [2, 3], "gmvaeclustering__latent_dim": [1, 2]},
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


def test_clone_carries_the_parameters_and_nothing_else(fitted):
    copied = clone(fitted)
    assert copied.get_params() == fitted.get_params()
    assert not hasattr(copied, "module_")


@pytest.mark.newest
def test_feature_names(fitted):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    estimator = GMVAEClustering(2, **QUICK).set_output(transform="pandas")
    latent = estimator.fit_transform(frame)
    assert list(latent.columns) == ["gmvaeclustering0", "gmvaeclustering1"]
    assert list(estimator.feature_names_in_) == ["a", "b"]


# the main job


def test_digits_are_clustered_better_than_by_kmeans_and_gaussian_mixture():
    X, y = load_digits(return_X_y=True)
    gmvae = GMVAEClustering(10, random_state=0).fit(X)
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
