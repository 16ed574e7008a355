"""What parameters are refused, in what words, and what "auto" stands for."""

import math
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from helpers import QUIET
from skgmvae import GMVAEClustering
from skgmvae._rows import n_batches
from skgmvae.parameters import (
    CONSISTENCY,
    EPOCHS,
    LEARNING_RATES,
    MAX_TENSOR_VALUES,
    NUMBERS,
    PARAMETER_CONSTRAINTS,
    PSEUDO_LABELS,
    WIDTHS,
    auto_consistency,
    auto_learning_rate,
    auto_max_iter,
    auto_width,
    check_parameters,
    hidden_sizes,
    information_weights,
    pseudo_label_schedule,
)

pytestmark = QUIET

X12 = np.random.default_rng(0).random((20, 12))
SHAPE = X12.shape


def check(shape=SHAPE, min_samples=2, **parameters):
    return check_parameters(GMVAEClustering(**parameters), *shape, min_samples=min_samples)


def test_every_parameter_has_a_constraint_and_no_other_has():
    assert set(PARAMETER_CONSTRAINTS) == set(GMVAEClustering().get_params())


@pytest.mark.parametrize(("name", "value"), [
    ("n_clusters", 0), ("n_clusters", 2.5), ("n_clusters", np.nan), ("latent_dim", 0),
    ("style_dim", -1), ("hidden_layer_sizes", 0), ("hidden_layer_sizes", "wide"),
    ("hidden_layer_sizes", 12.5), ("networks", "deep"), ("image_shape", 28),
    ("likelihood", "gamma"), ("n_mc_samples", 0), ("min_information", -0.5),
    ("consistency", -1.0), ("consistency", np.nan), ("consistency", np.inf),
    ("consistency", "automatic"), ("consistency", "50"), ("consistency", None),
    ("consistency", [1.0]), ("consistency", np.array([1.0, 2.0])), ("consistency", 1j),
    ("perturbation", "noise"), ("perturbation_radius", 0.0), ("perturbation_radius", "small"),
    ("n_init", 0), ("learning_rate_init", 0.0), ("learning_rate_init", "fast"),
    ("init", "kmeans"), ("init", "neighbours"), ("init", None),
    ("learning_rate", "adaptive"), ("batch_size", 1), ("max_iter", 0),
    ("max_iter", "all"), ("tol", -1e-3), ("n_iter_no_change", 0), ("warm_start", "yes"),
    ("early_stopping", "yes"), ("validation_fraction", 0.0), ("validation_fraction", 1.0),
    ("device", None), ("device", 0), ("distributed", "on"), ("distributed", None),
    ("n_jobs", 1.5), ("random_state", "seed"), ("verbose", -1),
])
def test_a_wrong_value_is_named_with_its_parameter(name, value):
    with pytest.raises(InvalidParameterError) as caught:
        GMVAEClustering(**{name: value}).fit(X12)
    assert f"'{name}' parameter" in str(caught.value)
    assert repr(value) in str(caught.value)


def test_the_list_of_numbers_is_that_of_the_documentation():
    documented = [
        line.split(" : ") for line in GMVAEClustering.__doc__.splitlines() if " : " in line
    ]
    numbers = {
        name.strip() for name, kind in documented
        if "default" in kind and ("int" in kind or "float" in kind)
    }
    # the state of a generator and the loudness are scikit-learn's, which take bools
    assert set(NUMBERS) == numbers - {"random_state", "verbose", "image_shape"}


@pytest.mark.parametrize("value", [True, False, np.True_])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_bool_is_no_number(name, value):
    refused = InvalidParameterError if isinstance(value, np.bool_) or not value else TypeError
    with pytest.raises((refused, TypeError), match=name):
        GMVAEClustering(**{name: value}).fit(X12)


@pytest.mark.parametrize(("parameters", "words"), [
    ({"n_clusters": 3, "min_information": 1.2}, ["min_information=1.2", "1.099"]),
    ({"n_clusters": 3, "min_information": math.log(3)}, ["min_information=1.09", "1.099"]),
    ({"hidden_layer_sizes": ()}, ["hidden_layer_sizes=()"]),
    ({"hidden_layer_sizes": (8, 0)}, ["hidden_layer_sizes=(8, 0)"]),
    ({"hidden_layer_sizes": (8, 2.5)}, ["hidden_layer_sizes=(8, 2.5)"]),
    ({"hidden_layer_sizes": (8, True)}, ["hidden_layer_sizes=(8, True)"]),
    ({"hidden_layer_sizes": [[8, 8]]}, ["hidden_layer_sizes=[[8, 8]]"]),
    ({"hidden_layer_sizes": {64: 1}}, ["hidden_layer_sizes"]),
    ({"hidden_layer_sizes": [[8], [8, 8]]}, ["hidden_layer_sizes=[[8], [8, 8]]"]),
    ({"hidden_layer_sizes": [8, [8, 8]]}, ["hidden_layer_sizes=[8, [8, 8]]"]),
    ({"hidden_layer_sizes": np.array([], dtype=int)}, ["hidden_layer_sizes=array([]"]),
    ({"networks": "conv"}, ["networks='conv'", "image_shape="]),
    ({"perturbation": "affine"}, ["perturbation='affine'", "image_shape="]),
    ({"perturbation": "both"}, ["perturbation='both'", "image_shape="]),
    ({"image_shape": (12,)}, ["image_shape=(12,)"]),
    ({"image_shape": (1, 2, 3, 2)}, ["image_shape=(1, 2, 3, 2)"]),
    ({"image_shape": (-3, -4)}, ["image_shape=(-3, -4)"]),
    ({"image_shape": (3.0, 4.0)}, ["image_shape=(3.0, 4.0)"]),
    ({"image_shape": np.array(12)}, ["image_shape=array(12)"]),
    ({"image_shape": (3, 5)}, ["image_shape=(3, 5)", "15", "12 features"]),
    ({"n_jobs": 0}, ["n_jobs=0", "None"]),
])
def test_a_value_that_does_not_fit_the_rest_is_named(parameters, words):
    for refuse in (check, lambda **one: GMVAEClustering(**{"n_clusters": 3} | one).fit(X12)):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            refuse(**parameters)
        for word in words:
            assert word in str(caught.value)


def test_an_image_too_small_for_the_convolutions_is_named():
    with pytest.raises(ValueError, match=r"image_shape.* 1 x 12"):
        GMVAEClustering(networks="conv", image_shape=(1, 12)).fit(X12)


@pytest.mark.parametrize("name", ["abacus", "cuda:99", torch.device("cuda", 99), "meta"])
def test_a_device_that_is_not_there_is_named(name):
    with pytest.raises(ValueError, match=f"device='{name}' cannot be used"):
        GMVAEClustering(device=name).fit(X12)


@pytest.mark.parametrize(("n_samples", "min_samples"), [(1, 2), (7, 8)])
def test_too_few_rows_are_named(n_samples, min_samples):
    with pytest.raises(ValueError, match=f"n_samples={n_samples} should be >= {min_samples}.*=8"):
        check((n_samples, 12), min_samples)
    assert check((min_samples, 12), min_samples) is None


@pytest.mark.parametrize("parameters", [
    {}, {"n_clusters": 20}, {"n_clusters": 1, "min_information": 0.0},
    {"n_clusters": 1, "min_information": 5.0}, {"n_clusters": 3, "min_information": 1.09},
    {"n_jobs": -1}, {"n_jobs": None}, {"batch_size": 10**15},
])
def test_fitting_values_pass(parameters):
    assert check(**parameters) is None


@pytest.mark.parametrize(("sizes", "expected"), [
    (64, (64,)), (np.int64(64), (64,)), (np.array(64), (64,)), ((8, 4), (8, 4)), ([8], (8,)),
    (np.array([8, 4]), (8, 4)), ((np.int32(8), 4), (8, 4)), (range(1, 4), (1, 2, 3)),
])
def test_hidden_layer_sizes_may_be_a_number_or_several(sizes, expected):
    found = hidden_sizes(GMVAEClustering(hidden_layer_sizes=sizes), 20, 12)
    assert found == expected
    assert all(type(size) is int for size in found)


def test_a_number_of_hidden_units_makes_one_layer(fit):
    clusterer = fit(X12, hidden_layer_sizes=64, init="random", max_iter=1)
    assert clusterer._fitted.architecture.hidden_layer_sizes == (64,)
    assert clusterer.module_.x_head.linear.in_features == 64


@pytest.mark.parametrize("shape", [
    (3, 4), [3, 4], np.array([3, 4]), (np.int64(3), np.int32(4)), (np.array(3), np.array(4)),
    (1, 4, 3),
])
def test_the_image_shape_comes_back_as_a_tuple_of_python_integers(shape):
    found = check(image_shape=shape, networks="conv", perturbation="affine")
    assert found == tuple(int(side) for side in shape)
    assert all(type(side) is int for side in found)


def test_numpy_numbers_serve_and_end_as_python_numbers(fit):
    clusterer = fit(
        X12, n_clusters=np.int64(3), latent_dim=np.int32(2), style_dim=np.uint8(2),
        image_shape=(np.int64(3), np.array(4)), n_mc_samples=np.int64(2), max_iter=np.int64(2),
        batch_size=np.int64(16), consistency=np.float32(2.0), init="random", n_init=np.int64(1),
    )
    architecture = clusterer._fitted.architecture
    assert all(type(number) is int for number in architecture[1:4])
    assert clone(clusterer).get_params() == clusterer.get_params()
    assert clusterer.n_iter_ == 2


def test_numbers_of_few_bits_do_not_overflow(fit):
    X = np.random.default_rng(0).standard_normal((300, 3))
    expected = fit(X, n_clusters=3, max_iter=2)
    found = fit(X, n_clusters=np.int8(3), max_iter=np.int8(2))
    np.testing.assert_array_equal(found.labels_, expected.labels_)


def test_a_device_of_torch_serves(fit, device):
    clusterer = fit(X12, device=torch.device(device), init="random", max_iter=1)
    assert torch.device(clusterer.device_) == torch.device(device)


# absurd sizes


@pytest.mark.parametrize(("name", "value"), [
    ("latent_dim", 10**12), ("style_dim", 10**12), ("hidden_layer_sizes", 10**12),
    ("hidden_layer_sizes", (8, 10**12)), ("hidden_layer_sizes", (10**6, 10**6)),
    ("n_mc_samples", 10**12),
])
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_absurd_size_is_named_before_anything_is_allocated(name, value, method):
    estimator = GMVAEClustering(n_clusters=3, **{name: value})
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"{name}=.*ask for a tensor of .* Lower") as caught:
            getattr(estimator, method)(X12)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert repr(value) in str(caught.value)
    assert peak < 1e6


def test_the_largest_tensor_is_a_limit_and_not_a_rule_of_thumb():
    side = math.isqrt(MAX_TENSOR_VALUES)
    assert check(hidden_layer_sizes=(side, side)) is None
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        check(hidden_layer_sizes=(side + 1, side + 1))


def test_the_networks_of_a_stream_are_checked_as_wide_as_they_will_be():
    estimator = GMVAEClustering(3)
    assert check_parameters(estimator, 50, 5_000_000, min_samples=1) is None
    with pytest.raises(ValueError, match=r"hidden_layer_sizes='auto'.*ask for a tensor"):
        check_parameters(estimator, 50, 5_000_000, min_samples=1, n_expected=10_000)


# what "auto" stands for


@pytest.mark.parametrize(("n_rows", "n_features", "width"), [
    (50, 784, 32), (60_000, 784, 512), (10**8, 784, 512), (50, 2, 32), (60_000, 50, 128),
])
def test_auto_widths_follow_the_numbers_of_rows_and_features(n_rows, n_features, width):
    assert hidden_sizes(GMVAEClustering(), n_rows, n_features) == (width, width)


def test_auto_widths_are_smaller_after_convolutions():
    convolutions = GMVAEClustering(networks="conv", image_shape=(3, 4))
    for n_rows, width in ((50, 32), (60_000, WIDTHS.max_width_after_convolutions)):
        assert hidden_sizes(convolutions, n_rows, 12) == (width, width)
    rule = WIDTHS._replace(max_width_after_convolutions=64, max_width=128)
    assert auto_width(10**6, 784, "conv", rule) == 64
    assert auto_width(10**6, 784, "dense", rule) == 128


@given(st.integers(2, 10**7), st.integers(2, 10**7), st.integers(1, 3000))
def test_auto_widths_are_powers_of_two_that_grow(one, other, n_features):
    few, many = sorted((one, other))
    narrow = auto_width(few, n_features)
    assert 2 <= narrow <= auto_width(many, n_features) <= WIDTHS.max_width
    assert narrow <= auto_width(few, n_features + 100)
    assert math.log2(narrow).is_integer()
    assert narrow <= WIDTHS.width_at_one_row * few**WIDTHS.exponent


def test_an_auto_width_stays_when_a_fit_is_continued(fit):
    clusterer = fit(X12, hidden_layer_sizes="auto", init="random", max_iter=1, warm_start=True)
    width = auto_width(20, 12)
    many = np.tile(X12, (30, 1))
    assert auto_width(*many.shape) > width
    clusterer.set_params(max_iter=2).fit(many)
    assert clusterer._fitted.architecture.hidden_layer_sizes == (width, width)
    clusterer.set_params(hidden_layer_sizes=(7,), max_iter=3)
    with pytest.raises(ValueError, match=r"hidden_layer_sizes from .* to \(7,\)"):
        clusterer.fit(many)


def test_auto_consistency_grows_with_the_square_root_of_the_number_of_features():
    assert CONSISTENCY.at_one_feature == 1.8
    assert auto_consistency(1) == 1.8
    assert auto_consistency(784) == pytest.approx(50.4)
    assert auto_consistency(400, rule=CONSISTENCY._replace(at_one_feature=0.5)) == 10.0


@given(st.integers(1, 10**6), st.integers(1, 100))
def test_auto_consistency_is_positive_and_of_the_power_one_half(n_features, factor):
    assert auto_consistency(n_features) > 0
    assert auto_consistency(factor**2 * n_features) == pytest.approx(
        factor * auto_consistency(n_features)
    )


def test_auto_consistency_is_one_number_where_clusters_follow_from_the_regularizer():
    for perturbation in ("affine", "both"):
        assert auto_consistency(64, perturbation) == auto_consistency(784, perturbation) == 50.0
    assert auto_consistency(64, lambda y, source: y) == auto_consistency(64)
    assert auto_consistency(2, has_pseudo_labels=False) == 50.0


@pytest.mark.parametrize("perturbation", ["adversarial", "affine", "both", lambda y, source: y])
def test_pseudo_labels_take_the_place_of_the_entropy_terms_where_their_weight_stays(perturbation):
    stays = pseudo_label_schedule(60_000, 784, perturbation, is_mixture=True)
    assert information_weights(stays) == (0.0, 0.0)
    falls = pseudo_label_schedule(60_000, 784, perturbation)
    assert information_weights(falls) == information_weights(None) == (0.1, 2.0)


@pytest.mark.parametrize(("init", "expected"), [("neighbors", 1.8 * 3), ("random", 50)])
def test_a_fit_has_the_automatic_consistency_unless_a_number_is_given(fit, init, expected):
    X = X12[:, :9]
    automatic = fit(X, init=init, max_iter=2)
    assert automatic.consistency == "auto"  # as it was given
    losses = [record["loss"] for record in automatic._records]
    for number in (expected, np.float32(expected), 1, 54.0):
        clusterer = fit(X, init=init, max_iter=2, consistency=number)
        found = [record["loss"] for record in clusterer._records]
        assert np.allclose(found, losses, rtol=1e-6) == (number not in (1, 54.0)), number


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("consistency", ["auto", 0, 0.0, 7, np.float32(7.5), np.int64(7)])
def test_consistency_may_be_automatic_or_a_number(method, consistency):
    clusterer = GMVAEClustering(
        3, consistency=consistency, max_iter=1, hidden_layer_sizes=(8,), device="cpu",
        random_state=0,
    )
    getattr(clusterer, method)(X12)
    assert ("disagreement" in clusterer.history_) == (consistency != 0)
    assert np.isfinite(clusterer.predict_proba(X12)).all()


@pytest.mark.parametrize(("n_rows", "n_features"), [
    (2, 784), (2500, 784), (20_000, 2), (10**6, 50), (4186, 2000), (18_650, 2000),
])
def test_few_rows_or_features_are_held_to_pseudo_labels_by_one_weight(n_rows, n_features):
    schedule = pseudo_label_schedule(n_rows, n_features, "adversarial")
    assert schedule.at(0) == schedule.at(0.5) == schedule.at(1) == 10.0


def test_many_rows_of_many_features_are_held_by_a_weight_that_falls_but_not_to_zero():
    few, least = PSEUDO_LABELS.max_rows_throughout, PSEUDO_LABELS.min_share
    just_more = pseudo_label_schedule(few + 1, 51, "adversarial")
    assert just_more.share == pytest.approx(1, abs=1e-3)
    assert just_more.at(0) == 10.0
    assert just_more.at(0.5) == pytest.approx(5.0, abs=1e-2)
    assert just_more.at(1) == 0.3
    assert pseudo_label_schedule(16 * few, 784, "adversarial") == (
        10.0, 0.3, pytest.approx(16**-PSEUDO_LABELS.exponent)
    )
    assert pseudo_label_schedule(10**7, 784, "adversarial") == (10.0, 0.3, least)


@pytest.mark.parametrize("perturbation", ["adversarial", "affine", "both"])
@pytest.mark.parametrize("n_rows", [50, 2501, 60_000])
def test_rows_of_a_mixture_are_held_throughout_however_many(n_rows, perturbation):
    schedule = pseudo_label_schedule(n_rows, 100, perturbation, is_mixture=True)
    assert schedule.at(0) == schedule.at(0.5) == schedule.at(1) == 10.0


@pytest.mark.parametrize(("perturbation", "falls"), [
    ("adversarial", False), (lambda y, source: y, False), ("affine", True), ("both", True),
])
def test_rows_of_features_with_units_are_held_throughout_unless_changes_are_affine(
    perturbation, falls
):
    schedule = pseudo_label_schedule(60_000, 784, perturbation, features_have_units=True)
    assert schedule.at(0) == 10.0
    assert schedule.at(1) == (0.3 if falls else 10.0)


def test_the_schedule_follows_its_rule():
    rule = PSEUDO_LABELS._replace(
        first=3.0, last=0.5, max_rows_throughout=10, max_features_throughout=3,
        rows_of_a_feature=5, exponent=0.5, min_share=0.01,
    )

    def schedule(n_rows, n_features, perturbation=lambda y, source: y):
        return pseudo_label_schedule(n_rows, n_features, perturbation, rule=rule)

    for held in (schedule(10, 1), schedule(1000, 3), schedule(50, 10)):
        assert held.at(0) == held.at(1) == 3.0
    assert schedule(40, 4) == (3.0, 0.5, 0.5)
    assert schedule(10**6, 4) == schedule(10, 1, "both") == (3.0, 0.5, 0.01)


@given(st.integers(2, 10**7), st.integers(2, 10**7), st.integers(1, 3000), st.floats(0, 1))
def test_more_rows_are_held_no_longer(one, other, n_features, progress):
    few, many = (
        pseudo_label_schedule(n, n_features, "adversarial") for n in sorted((one, other))
    )
    assert few.at(progress) >= many.at(progress) >= PSEUDO_LABELS.last
    assert few.share >= many.share >= PSEUDO_LABELS.min_share


@pytest.mark.parametrize("perturbation", ["affine", "both"])
@pytest.mark.parametrize("n_rows", [50, 2500, 60_000])
def test_images_that_should_survive_affine_changes_are_held_for_the_least_share(
    perturbation, n_rows
):
    schedule = pseudo_label_schedule(n_rows, 784, perturbation)
    assert schedule == (10.0, 0.3, PSEUDO_LABELS.min_share)
    assert schedule.at(PSEUDO_LABELS.min_share) == 0.3


@given(st.integers(2, 10**7), st.integers(2, 4096))
def test_auto_epochs_are_a_positive_whole_number_with_enough_steps(n_rows, batch_size):
    max_iter = auto_max_iter(n_rows, batch_size)
    assert isinstance(max_iter, int)
    assert max_iter >= 1
    batches = n_batches(n_rows, batch_size)
    needed = max(
        EPOCHS.steps_at_one_row * n_rows**EPOCHS.exponent,
        min(EPOCHS.min_epochs * batches, EPOCHS.max_steps_of_min_epochs),
    )
    # no more than an epoch more than is needed
    assert max_iter * batches >= needed > (max_iter - 1) * batches


def test_many_rows_take_few_epochs_and_few_rows_enough_steps():
    sizes = [256 * 2**k for k in range(13)]
    epochs = [auto_max_iter(n_rows, 256) for n_rows in sizes]
    steps = [n * size // 256 for n, size in zip(epochs, sizes, strict=True)]
    assert all(more >= fewer for more, fewer in pairwise(epochs))
    assert all(late >= early for early, late in pairwise(steps))
    assert auto_max_iter(20_000, 256) == auto_max_iter(60_000, 256) == EPOCHS.min_epochs
    assert auto_max_iter(10**7, 256) < EPOCHS.min_epochs
    assert auto_max_iter(100, 256) >= 50
    rule = EPOCHS._replace(min_epochs=40)
    assert auto_max_iter(20_000, 256, rule) == 40


def test_few_steps_are_large_ones():
    assert auto_learning_rate(6_000) == pytest.approx(2e-3, rel=0.05)
    rates = [auto_learning_rate(n_steps) for n_steps in (10, 300, 1_000, 6_000, 10**6)]
    assert all(less <= more for more, less in pairwise(rates))
    assert rates[0] == rates[1] == LEARNING_RATES.largest
    assert auto_learning_rate(None) == LEARNING_RATES.constant
