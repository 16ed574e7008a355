"""What parameters are refused, in what words, and what "auto" stands for."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils._param_validation import InvalidParameterError

from skgmvae import GMVAEClustering, neighbours
from skgmvae.data import DataSpace, Rows, n_batches
from skgmvae.neighbours import find_neighbours
from skgmvae.parameters import (
    PARAMETER_CONSTRAINTS,
    architecture_of,
    auto_width,
    check_parameters,
    neighbourhood_of,
    settings_of,
)
from skgmvae.start import find_start
from skgmvae.tangents import N_CANDIDATES, nearest_up_to_affine

X12 = np.random.default_rng(0).random((20, 12))


def check(X=X12, continued=False, **parameters):
    return check_parameters(GMVAEClustering(**parameters), X, continued=continued)


def settings(n_rows, first_epoch=0, **parameters):
    estimator = GMVAEClustering(**parameters)
    return settings_of(estimator, n_rows, 5, None, None, first_epoch=first_epoch)


def test_every_parameter_has_a_constraint_and_no_other_has():
    assert set(PARAMETER_CONSTRAINTS) == set(GMVAEClustering().get_params())


@pytest.mark.parametrize(("name", "value"), [
    ("n_clusters", 0), ("n_clusters", 2.5), ("latent_dim", 0), ("style_dim", -1),
    ("hidden_layer_sizes", 128), ("hidden_layer_sizes", "wide"),
    ("networks", "deep"), ("image_shape", 28),
    ("likelihood", "poisson"), ("n_mc_samples", 0), ("min_information", -0.5),
    ("consistency", -1.0), ("perturbation", "noise"), ("perturbation_radius", 0.0),
    ("perturbation_radius", "small"), ("n_init", 0), ("learning_rate_init", 0.0),
    ("init", "kmeans"), ("init", None), ("learning_rate", "adaptive"),
    ("batch_size", 1), ("max_iter", 0), ("max_iter", "all"), ("tol", -1e-3),
    ("n_iter_no_change", 0), ("warm_start", "yes"), ("device", None), ("n_jobs", 1.5),
    ("random_state", "seed"), ("verbose", -1),
])
def test_a_wrong_value_is_named_with_its_parameter(name, value):
    with pytest.raises(InvalidParameterError) as caught:
        GMVAEClustering(**{name: value}).fit(X12)
    assert f"'{name}' parameter" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("parameters", "words"), [
    ({"n_clusters": 21}, ["n_samples=20", ">= 21", "n_clusters=21"]),
    ({"n_clusters": 3, "min_information": 1.2}, ["min_information=1.2", "1.099"]),
    ({"n_clusters": 3, "min_information": math.log(3)}, ["min_information=1.09", "1.099"]),
    ({"hidden_layer_sizes": ()}, ["hidden_layer_sizes=()"]),
    ({"hidden_layer_sizes": (8, 0)}, ["hidden_layer_sizes=(8, 0)"]),
    ({"hidden_layer_sizes": (8, 2.5)}, ["hidden_layer_sizes=(8, 2.5)"]),
    ({"hidden_layer_sizes": [[8, 8]]}, ["hidden_layer_sizes=[[8, 8]]"]),
    ({"networks": "conv"}, ["networks='conv'", "image_shape="]),
    ({"perturbation": "affine"}, ["perturbation='affine'", "image_shape="]),
    ({"perturbation": "both"}, ["perturbation='both'", "image_shape="]),
    ({"image_shape": (12,)}, ["image_shape=(12,)"]),
    ({"image_shape": (1, 2, 3, 2)}, ["image_shape=(1, 2, 3, 2)"]),
    ({"image_shape": (-3, -4)}, ["image_shape=(-3, -4)"]),
    ({"image_shape": (3.0, 4.0)}, ["image_shape=(3.0, 4.0)"]),
    ({"image_shape": (3, 5)}, ["image_shape=(3, 5)", "15", "12 features"]),
])
def test_a_value_that_does_not_fit_the_rest_is_named(parameters, words):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        check(**parameters)
    for word in words:
        assert word in str(caught.value)


def test_an_image_too_small_for_the_convolutions_is_named():
    with pytest.raises(ValueError, match=r"image_shape.* 1 x 12"):
        GMVAEClustering(networks="conv", image_shape=(1, 12)).fit(X12)


def test_a_single_row_is_refused():
    with pytest.raises(ValueError, match="n_samples=1 should be >= 2"):
        check(X12[:1], n_clusters=1)
    with pytest.raises(ValueError, match="n_samples=1 should be >= 2"):
        check(X12[:1], continued=True)


@pytest.mark.parametrize("parameters", [
    {}, {"n_clusters": 20}, {"n_clusters": 1, "min_information": 0.0},
    {"n_clusters": 3, "min_information": 1.09}, {"hidden_layer_sizes": [4]},
    {"hidden_layer_sizes": (np.int64(4), 3)},
])
def test_fitting_values_pass(parameters):
    assert check(**parameters) is None


@pytest.mark.parametrize("sizes", [[8], [8, 4]])
def test_hidden_layer_sizes_may_be_an_array(sizes):
    assert check(hidden_layer_sizes=np.array(sizes)) is None
    assert architecture_of(
        GMVAEClustering(hidden_layer_sizes=np.array(sizes)), (12,), 20, None
    ).hidden_layer_sizes == tuple(sizes)


def test_an_empty_array_of_hidden_layer_sizes_is_named():
    with pytest.raises(ValueError, match="hidden_layer_sizes="):
        check(hidden_layer_sizes=np.array([], dtype=int))


@pytest.mark.parametrize("shape", [(3, 4), [3, 4], np.array([3, 4]), (1, 4, 3)])
def test_the_image_shape_comes_back_as_a_tuple(shape):
    assert check(image_shape=shape, networks="conv", perturbation="affine") == tuple(shape)


def test_fewer_rows_than_clusters_may_continue_a_fit():
    assert check(X12[:3], continued=True, n_clusters=8) is None


def test_the_architecture_is_read_off_the_parameters():
    architecture = architecture_of(
        GMVAEClustering(np.int64(4), latent_dim=2, style_dim=3, hidden_layer_sizes=[8, 7],
                        likelihood="bernoulli"),
        (12,), 20, None,
    )
    assert architecture == ((12,), 4, 2, 3, (8, 7), "dense", "bernoulli")
    assert type(architecture.n_clusters) is int


@pytest.mark.parametrize(("n_rows", "width"), [(50, 32), (60_000, 512), (10**8, 512)])
def test_auto_widths_follow_the_number_of_rows(n_rows, width):
    architecture = architecture_of(GMVAEClustering(), (12,), n_rows, None)
    assert architecture.hidden_layer_sizes == (width, width)


def test_auto_widths_are_at_most_256_after_convolutions():
    convolutions = GMVAEClustering(networks="conv", image_shape=(3, 4))
    for n_rows, width in ((50, 32), (60_000, 256)):
        sizes = architecture_of(convolutions, (1, 3, 4), n_rows, None).hidden_layer_sizes
        assert sizes == (width, width)


@given(st.integers(2, 10**7), st.integers(2, 10**7))
def test_auto_widths_are_powers_of_two_that_grow(one, other):
    few, many = sorted((one, other))
    assert 2 <= auto_width(few) <= auto_width(many) <= 512
    assert math.log2(auto_width(few)).is_integer()


def test_an_auto_width_stays_when_a_fit_is_continued():
    fitted = architecture_of(GMVAEClustering(), (12,), 50, None)
    assert architecture_of(GMVAEClustering(), (12,), 50_000, fitted) == fitted
    given_sizes = architecture_of(GMVAEClustering(hidden_layer_sizes=(7,)), (12,), 50, fitted)
    assert given_sizes.hidden_layer_sizes == (7,)


def test_settings_are_the_parameters():
    found = settings(
        100, n_mc_samples=3, min_information=0.2, consistency=7.0, perturbation="affine",
        learning_rate_init=0.01, batch_size=33, max_iter=44, tol=0.5, n_iter_no_change=6,
        verbose=2,
    )
    assert found.seed == 5
    assert (found.n_mc_samples, found.min_information, found.consistency) == (3, 0.2, 7.0)
    assert (found.perturbation, found.radius) == ("affine", None)
    assert (found.learning_rate, found.batch_size, found.max_iter) == (0.01, 33, 44)
    assert (found.tol, found.n_iter_no_change, found.verbose) == (0.5, 6, 2)


def test_few_rows_are_guided_to_the_end_and_many_for_a_tenth_of_the_epochs():
    assert settings(50).guided_epochs == settings(50).max_iter
    assert settings(2500, max_iter=30).guided_epochs == 30
    assert settings(2500 * 16, max_iter=30).guided_epochs == pytest.approx(30 / 8)
    assert settings(60_000, max_iter=30).guided_epochs == pytest.approx(3)
    assert settings(10**7, max_iter=30).guided_epochs == pytest.approx(3)
    assert settings(100, first_epoch=3).first_epoch == 3


@pytest.mark.parametrize("perturbation", ["affine", "both"])
@pytest.mark.parametrize("n_rows", [50, 2500, 60_000])
def test_images_that_should_survive_affine_changes_are_guided_for_a_tenth(perturbation, n_rows):
    found = settings(n_rows, max_iter=64, perturbation=perturbation)
    assert found.guided_epochs == pytest.approx(6.4)
    assert found.lasting_hold > settings(n_rows).lasting_hold == 0


@given(st.integers(2, 10**7), st.integers(2, 4096))
def test_auto_epochs_are_a_positive_whole_number_with_enough_steps(n_rows, batch_size):
    max_iter = settings(n_rows, batch_size=batch_size).max_iter
    assert isinstance(max_iter, int)
    assert max_iter >= 1
    batches = n_batches(n_rows, batch_size)
    # more rows take more steps, and no more than an epoch more than is needed, or two dozen
    assert max_iter * batches >= settings(n_rows // 2 + 1, batch_size=n_rows).max_iter - 1
    needed = settings(n_rows, batch_size=n_rows).max_iter
    assert max_iter <= 24 or (max_iter - 1) * batches < needed
    assert (max_iter - 1) * batches < max(6000, needed)


def test_many_rows_take_few_epochs_and_few_rows_enough_steps():
    sizes = [256 * 2**k for k in range(13)]
    epochs = [settings(n_rows).max_iter for n_rows in sizes]
    steps = [n * size // 256 for n, size in zip(epochs, sizes, strict=True)]
    assert all(more >= fewer for more, fewer in pairwise(epochs))
    assert all(late >= early for early, late in pairwise(steps))
    assert settings(20_000).max_iter == settings(60_000).max_iter == 24
    assert settings(10**7).max_iter <= 5
    assert settings(100).max_iter >= 100


def neighbourhood(X=X12, started=False, **parameters):
    space = DataSpace.fit(X, "gaussian", parameters.get("image_shape"))
    return neighbourhood_of(
        GMVAEClustering(4, **parameters), X, space, torch.device("cpu"), 3, started=started
    )


def test_the_neighbourhood_is_a_radius_and_a_start():
    space = DataSpace.fit(X12, "gaussian", None)
    rows = Rows(X12, space, torch.device("cpu"))
    found = find_neighbours(rows, 3)
    radius, start = neighbourhood()
    np.testing.assert_array_equal(radius, neighbours.radius(rows, found))
    np.testing.assert_array_equal(start, find_start(rows, found, 4, 3))


@pytest.mark.parametrize("init", ["neighbours", "random"])
def test_a_given_radius_is_that_of_every_row(init):
    radius, start = neighbourhood(perturbation_radius=0.7, init=init)
    np.testing.assert_array_equal(radius, np.full(20, 0.7, np.float32))
    assert radius.dtype == np.float32
    assert (start is None) == (init == "random")


def test_both_perturbations_have_the_radius_of_the_adversarial_one():
    image = {"image_shape": (3, 4)}
    np.testing.assert_array_equal(
        neighbourhood(perturbation="both", **image)[0], neighbourhood(**image)[0]
    )


@pytest.mark.parametrize("perturbation", ["affine", "both"])
def test_images_start_from_neighbours_up_to_affine_changes(perturbation):
    space = DataSpace.fit(X12, "gaussian", (3, 4))
    rows = Rows(X12, space, torch.device("cpu"))
    nearest = nearest_up_to_affine(rows, find_neighbours(rows, 3, N_CANDIDATES))
    _, start = neighbourhood(perturbation=perturbation, image_shape=(3, 4))
    np.testing.assert_array_equal(start, find_start(rows, nearest, 4, 3))


@pytest.mark.parametrize("parameters", [
    {"perturbation": "affine", "image_shape": (3, 4)}, {"perturbation": lambda y, source: y},
])
def test_there_is_no_radius_where_none_is_used(parameters):
    radius, start = neighbourhood(**parameters)
    assert radius is None
    assert start.shape == (20,)


@pytest.mark.parametrize("parameters", [{"started": True}, {"init": "random"}])
def test_there_is_no_start_for_a_model_that_has_started_or_starts_at_random(parameters):
    radius, start = neighbourhood(**parameters)
    assert radius.shape == (20,)
    assert start is None


def test_the_papers_objective_needs_neither():
    assert neighbourhood(consistency=0) == (None, None)
