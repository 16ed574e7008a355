"""From rows of X to what the model sees, and back."""

import math
import tracemalloc
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import normalize

from skgmvae._rows import FARTHEST, Units
from skgmvae._rows import units as units_file

CPU = torch.device("cpu")
DOUBLE = np.dtype(np.float64)
SINGLE = np.dtype(np.float32)

image_shapes = st.one_of(
    st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
)


def rng(seed=0):
    return np.random.default_rng(seed)


def seen(units, X):
    return units.to_model(X, torch.float64, CPU).numpy()


@given(image_shapes, st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_there_and_back_is_the_same_rows(image_shape, seed, location, scale):
    n_features = 5 if image_shape is None else math.prod(image_shape)
    X = location + scale * rng(seed).standard_normal((6, n_features))
    units = Units.standardizing(X, image_shape)
    y = units.to_model(X, torch.float64, CPU)
    assert y.shape == (6, *units.data_shape)
    assert y.is_contiguous()
    back = units.to_data(y, DOUBLE)
    assert back.shape == X.shape
    np.testing.assert_allclose(back, X, rtol=1e-10, atol=1e-10 * scale)


@pytest.mark.parametrize(("image_shape", "data_shape"), [
    (None, (24,)), ((6, 4), (1, 6, 4)), ((4, 2, 3), (3, 4, 2)), ((24, 1, 1), (1, 24, 1)),
])
def test_the_shape_of_a_row_follows_the_shape_of_an_image(image_shape, data_shape):
    X = rng().random((6, 24))
    for units in (Units.standardizing(X, image_shape), Units.fractions(X, 1.0, image_shape)):
        assert units.data_shape == data_shape
        assert units.to_model(X, torch.float32, CPU).shape == (6, *data_shape)


def test_channels_come_last_in_rows_and_first_in_the_model():
    images = rng().random((6, 3, 4, 2))  # height 3, width 4, two channels
    y = seen(Units.fractions(images.reshape(6, -1), 1.0, (3, 4, 2)), images.reshape(6, -1))
    np.testing.assert_array_equal(y, np.moveaxis(images, -1, 1))


def test_gray_images_have_one_channel():
    images = rng().random((6, 3, 4))
    y = seen(Units.fractions(images.reshape(6, -1), 1.0, (3, 4)), images.reshape(6, -1))
    np.testing.assert_array_equal(y, images[:, None])


@given(
    st.integers(0, 1000), image_shapes,
    hnp.arrays(np.float64, 48, elements=st.floats(1e-3, 1e3)),
)
def test_the_model_sees_mean_0_and_a_mean_variance_of_1(seed, image_shape, scales):
    n_features = 5 if image_shape is None else math.prod(image_shape)
    X = 7 + scales[:n_features] * rng(seed).standard_normal((20, n_features))
    y = seen(Units.standardizing(X, image_shape), X)
    assert np.mean(y**2) == pytest.approx(1)
    axes = (0,) if image_shape is None else (0, 2, 3)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-8)


def test_features_have_the_same_range_and_channels_too():
    X = rng().standard_normal((50, 6)) * [1, 10, 100, 1, 10, 100] + 5
    y = seen(Units.standardizing(X, None, "range"), X)
    np.testing.assert_allclose(np.ptp(y, 0), np.ptp(y, 0)[0])
    units = Units.standardizing(X, (1, 2, 3))
    np.testing.assert_array_equal(units.scale[:3], units.scale[3:])
    np.testing.assert_array_equal(units.location[:3], units.location[3:])
    assert units.scale[2] > 5 * units.scale[1] > 25 * units.scale[0]


def test_a_small_scale_far_from_the_origin_is_not_constant():
    X = 1e3 + 1e-3 * rng().standard_normal((50, 3))
    units = Units.standardizing(X, None)
    assert np.mean(seen(units, X) ** 2) == pytest.approx(1)
    assert np.isnan(units.constants).all()


def test_bytes_are_standardized_like_numbers():
    X = rng().integers(0, 256, (30, 4), dtype=np.uint8)
    of_bytes, of_floats = Units.standardizing(X, None), Units.standardizing(X.astype(float), None)
    np.testing.assert_allclose(of_bytes.scale, of_floats.scale)
    np.testing.assert_allclose(of_bytes.location, of_floats.location)
    assert np.mean(seen(of_bytes, X) ** 2) == pytest.approx(1)


@pytest.mark.parametrize("n_empty", [0, 3])
def test_features_of_rows_of_unit_length_share_a_scale(n_empty):
    # a word that two texts have must not weigh as much as one that all have
    X = rng().exponential(size=(40, 6)) * [9, 9, 9, 1, 1, 0]
    X = normalize(X)
    X[:n_empty] = 0
    scale = Units.standardizing(X, None).scale
    np.testing.assert_allclose(scale[:5], np.sqrt(X[:, :5].var(0).mean()))
    assert scale[5] == 1
    X[5] *= 1.001
    assert np.ptp(Units.standardizing(X, None).scale[:5]) > 0.01


@pytest.mark.parametrize("same_in_all_rows", [
    np.full(40, 1e6), 1e6 + rng(1).standard_normal(40), 1e4 + 1e-9 * rng(1).standard_normal(40),
], ids=["wholly", "nearly", "up to rounding"])
def test_a_large_number_that_rows_share_does_not_make_them_directions(same_in_all_rows):
    X = np.column_stack([rng().standard_normal((40, 2)) * [1, 100], same_in_all_rows])
    y = seen(Units.standardizing(X, None, "range"), X)
    assert np.ptp(y[:, 0]) == pytest.approx(np.ptp(y[:, 1]))
    y = seen(Units.standardizing(X, None), X)
    assert np.ptp(y[:, 0]) == pytest.approx(np.ptp(y[:, 1]), rel=0.01)


@pytest.mark.parametrize("image_shape", [None, (2, 2)])
def test_values_too_small_to_square_are_named(image_shape):
    X = 1e-300 * rng().standard_normal((10, 4))
    with pytest.raises(ValueError, match=r"too small to square.* range of .*e-300; scale X"):
        Units.standardizing(X, image_shape)


@pytest.mark.parametrize("image_shape", [None, (1, 1)])
def test_values_too_large_to_square_are_refused_by_their_size_alone(image_shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"too large to square, up to 1e\+200; scale X"):
            Units.standardizing(np.array([[1e200], [-1e200], [0.0]]), image_shape)
        with pytest.raises(ValueError, match=r"too large to square, up to 1\.5e\+308; scale X"):
            Units.standardizing(np.full((5, 1), 1.5e308), image_shape)


# What a feature is divided by.

def spans(X, scale, image_shape=None):
    """Return the scale of each feature, but for the number that all are divided by."""
    found = Units.standardizing(X, image_shape, scale).scale
    return found / found[0]


def lattices(n_rows=400):
    """Return a flag, a rating from 1 to 5, tens, and a feature of many values."""
    source = rng()
    return np.column_stack([
        source.random(n_rows) < 0.3, source.integers(1, 6, n_rows),
        10 * source.integers(0, 4, n_rows), source.standard_normal(n_rows),
    ]).astype(float)


def test_auto_spans_the_range_and_the_resolution():
    X = lattices()
    ptp = np.ptp(X[:, 3])
    np.testing.assert_allclose(spans(X, "auto"), np.array([2, 5, 40, ptp]) / 2, rtol=1e-3)
    np.testing.assert_allclose(spans(X, "range"), [1, 4, 30, ptp])


def test_a_flag_does_not_weigh_many_times_as_much_as_other_features():
    X = np.column_stack([rng().standard_normal((500, 6)), rng(1).random(500) < 0.5])
    for scale, ratio in (("auto", (1, 4)), ("range", (6, 12))):
        variance = seen(Units.standardizing(X, None, scale), X).var(0)
        assert ratio[0] < variance[6] / variance[:6].mean() < ratio[1]


def test_std_divides_by_the_standard_deviation():
    X = lattices()
    np.testing.assert_allclose(spans(X, "std"), X.std(0) / X[:, 0].std())
    np.testing.assert_allclose(seen(Units.standardizing(X, None, "std"), X).std(0), 1)


def test_none_leaves_the_features_as_they_are():
    X = lattices()
    np.testing.assert_array_equal(spans(X, None), 1)
    assert np.mean(seen(Units.standardizing(X, None, None), X) ** 2) == pytest.approx(1)


@given(
    st.sampled_from(["auto", "range", "std"]), st.integers(0, 1000),
    hnp.arrays(np.float64, 3, elements=st.floats(1e-3, 1e3)),
    hnp.arrays(np.float64, 3, elements=st.floats(-1e3, 1e3)),
)
def test_where_a_feature_begins_and_its_unit_are_of_no_effect(scale, seed, factors, begins):
    X = np.column_stack([
        rng(seed).standard_normal((30, 2)), rng(seed).integers(0, 4, 30),
    ])
    other = factors * X + begins
    expected = seen(Units.standardizing(X, None, scale), X)
    found = seen(Units.standardizing(other, None, scale), other)
    np.testing.assert_allclose(found, expected, atol=1e-8)


@given(st.integers(0, 1000), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_with_none_a_common_factor_is_of_no_effect_and_that_of_a_feature_is(seed, factor, begin):
    X = rng(seed).standard_normal((30, 3))
    expected = seen(Units.standardizing(X, None, None), X)
    other = factor * X + begin
    found = seen(Units.standardizing(other, None, None), other)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    other = X * [1, 1, 3]
    found = seen(Units.standardizing(other, None, None), other)
    np.testing.assert_allclose(found.std(0) / found[:, 0].std(), other.std(0) / X[:, 0].std())


@pytest.mark.parametrize("scale", ["auto", "range", "std", None])
def test_the_pixels_of_a_channel_share_a_scale_whatever_it_is(scale):
    images = rng().integers(0, 2, (50, 4, 4, 2)) * [1.0, 10.0]
    found = Units.standardizing(images.reshape(50, -1), (4, 4, 2), scale)
    for values in found.location, found.scale, found.spread:
        np.testing.assert_array_equal(values, np.tile(values[:2], 16))
    ratio = 1 if scale is None else pytest.approx(10, rel=0.05)
    assert found.scale[1] / found.scale[0] == ratio
    # without a resolution: flags that are pixels span their range
    y = seen(found, images.reshape(50, -1))
    if scale in ("auto", "range"):
        assert np.ptp(y[:, 0]) == pytest.approx(np.ptp(y[:, 1]))


@pytest.mark.parametrize("scale", ["range", "std", None])
def test_rows_of_unit_length_share_a_scale_only_if_it_is_chosen_automatically(scale):
    X = normalize(rng().exponential(size=(40, 4)) * [9, 9, 1, 1])
    expected = {"range": np.ptp(X, 0), "std": X.std(0), None: np.ones(4)}[scale]
    np.testing.assert_allclose(spans(X, scale), expected / expected[0])


def resolution(X):
    return np.array([units_file._smallest_gap(column) for column in units_file._sorted_columns(X)])


@pytest.mark.parametrize("values", [
    ([0, 1, 1], 1), ([3, 3, 3], 0), ([1, 2.5, 5, 1], 1.5), ([0.25, 0.5, 7], 0.25), ([2], 0),
])
@pytest.mark.parametrize("dtype", [np.uint8, SINGLE, DOUBLE])
def test_the_resolution_is_the_smallest_gap(values, dtype):
    column, expected = np.array(values[0]), values[1]
    if dtype != np.uint8 or (column == column.astype(int)).all():
        X = np.column_stack([column, column[::-1]]).astype(dtype)
        np.testing.assert_array_equal(resolution(X), expected)


def test_the_resolution_of_many_values_is_next_to_nothing():
    X = rng().standard_normal((2000, 3))
    assert (resolution(X) < 1e-4).all()


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 100), st.integers(0, 1000))
def test_columns_are_sorted_a_block_at_a_time(n_rows, n_features, n_values, seed):
    X = rng(seed).integers(0, 256, (n_rows, n_features), dtype=np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units_file, "BLOCK_VALUES", n_values)
        found = [*units_file._sorted_columns(X)]
    np.testing.assert_array_equal(np.transpose(found), np.sort(X, axis=0))


def test_moments_in_blocks_by_an_oracle():
    X = 1e6 + rng().standard_normal((1000, 3)) * [1e-2, 1, 1e3]
    found = units_file.moments([X[:1], X[1:1], X[1:700], X[700:]])
    oracle = X.mean(0), X.var(0), X.min(0), X.max(0), [1000] * 3
    for one, expected in zip(found, oracle, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-8)


def test_missing_values_do_not_count_in_moments_nor_units():
    X = 1e6 + rng().standard_normal((1000, 4)) * [1e-2, 1, 1e3, 1]
    X[rng().random(X.shape) < 0.3] = np.nan
    X[:1, 0] = np.nan  # none in the first block
    found = units_file.moments([X[:1], X[1:700], X[700:]])
    oracle = (
        np.nanmean(X, 0), np.nanvar(X, 0), np.nanmin(X, 0), np.nanmax(X, 0),
        np.count_nonzero(~np.isnan(X), axis=0),
    )
    for one, expected in zip(found, oracle, strict=True):
        np.testing.assert_allclose(one, expected, rtol=1e-8)
    units = Units.standardizing(X, None)
    np.testing.assert_allclose(units.location, oracle[0])
    np.testing.assert_allclose(units.observed, (~np.isnan(X)).mean(0))
    assert np.nanvar((X - units.location) / units.scale, axis=0).mean() == pytest.approx(1)


@pytest.mark.ours
@pytest.mark.parametrize("scale", ["auto", "range", "std", None])
@pytest.mark.parametrize("image_shape", [None, (10, 20), (10, 10, 2)])
@pytest.mark.parametrize("n_far", [0, 1])
def test_units_take_a_fraction_of_the_memory_of_numbers(scale, image_shape, n_far, monkeypatch):
    monkeypatch.setattr(units_file, "BLOCK_VALUES", 2**18)
    X = rng().integers(100, 120, (30_000, 200), dtype=np.uint8)
    X[:n_far] = 255
    tracemalloc.start()
    units = Units.standardizing(X, image_shape, scale)
    units = units.seeing(X)
    assert units.far_from_others(X)[0] == 0
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * X.nbytes  # in double precision X has eight times as many


def test_features_that_have_one_value_still():
    X = rng().integers(0, 2, (5000, 3)).astype(float)
    X[:, 1:] = 3.0
    units = Units.standardizing(X, None)
    X[4999, 2] = 4.0
    assert units.are_constant(X).tolist() == [False, True, False]


# Values that are far from all others.

def with_far_rows(n_rows=300, n_far=1, distance=1e6, image_shape=None):
    """Return rows of which the last are far in all columns."""
    n_features = 4 if image_shape is None else math.prod(image_shape)
    X = rng().standard_normal((n_rows, n_features)) + 6 * (np.arange(n_rows) % 2)[:, None]
    X[n_rows - n_far :] += distance
    return X


@pytest.mark.parametrize("image_shape", [None, (2, 2), (2, 1, 3)])
@pytest.mark.parametrize("distance", [300, 1e6, -1e6, 1e200, -1e300])
@pytest.mark.parametrize("scale", ["auto", None])
def test_a_far_row_does_not_count(image_shape, distance, scale):
    X = with_far_rows(distance=distance, image_shape=image_shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Units.standardizing(X, image_shape, scale)
    expected = Units.standardizing(X[:-1], image_shape, scale)
    assert found.image_shape == image_shape
    for one, other in zip(
        found._replace(image_shape=()), expected._replace(image_shape=()), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    n_far, columns = found.far_from_others(X)
    assert n_far == 1
    np.testing.assert_array_equal(columns, np.arange(X.shape[1]))


@pytest.mark.parametrize("scale", ["range", "std"])
def test_a_far_row_counts_where_the_user_says_so_and_is_found(scale):
    X = with_far_rows()
    found = Units.standardizing(X, None, scale)
    np.testing.assert_allclose(found.location, X.mean(0))
    np.testing.assert_array_equal(found.spread, np.ptp(X, 0))
    assert found.far_from_others(X)[0] == 1


def test_far_rows_at_either_end_do_not_count():
    X = with_far_rows()
    X[0] = -1e6
    found, expected = Units.standardizing(X, None), Units.standardizing(X[1:-1], None)
    np.testing.assert_allclose(found.scale, expected.scale)
    assert found.far_from_others(X)[0] == 2


@pytest.mark.parametrize(("n_rows", "n_far", "are_far"), [
    (20, 1, True), (20, 2, False), (300, 2, True), (300, 3, False), (1000, 9, True),
    (1000, 10, False),
])
def test_far_rows_are_one_or_fewer_than_a_hundredth(n_rows, n_far, are_far):
    X = with_far_rows(n_rows, n_far)
    assert Units.standardizing(X, None).far_from_others(X)[0] == (n_far if are_far else 0)


def test_the_gap_is_ten_times_the_range_of_the_others():
    X = np.arange(101.0)[:, None]
    for value, is_far in ((1099.9, False), (1100.0, True), (-999.9, False), (-1000.0, True)):
        X[50] = value
        assert Units.standardizing(X, None).far_from_others(X)[0] == is_far


@pytest.mark.parametrize("dtype", [np.uint8, SINGLE, DOUBLE])
def test_a_flag_that_is_rarely_1_is_not_far_nor_are_rare_counts(dtype):
    X = np.zeros((1000, 3), dtype)
    X[:4, 0] = 1
    X[:5, 1] = 1, 1, 1, 1, 50
    X[:500, 2] = 1
    units = Units.standardizing(X, None)
    assert units.far_from_others(X)[0] == 0
    np.testing.assert_allclose(units.scale / units.scale[0], np.array([2, 51, 2]) / 2)


def test_a_code_of_missing_values_is_far_from_whole_numbers():
    X = rng().integers(0, 90, (1000, 2)).astype(float)
    X[:7, 1] = 999999
    units = Units.standardizing(X, None)
    assert units.scale[0] == pytest.approx(units.scale[1], rel=0.01)
    n_far, columns = units.far_from_others(X)
    assert (n_far, columns.tolist()) == (7, [1])


def test_no_row_of_unit_length_is_far():
    X = normalize(np.column_stack([rng().exponential(size=(200, 2)), 1e-3 * rng(1).random(200)]))
    X[0] = 0, 0, 1
    units = Units.standardizing(X, None)
    assert units.far_from_others(X)[0] == 0
    assert len(set(units.scale)) == 1


@pytest.mark.parametrize("tail", ["normal", "exponential", "lognormal"])
def test_ordinary_tails_are_not_far(tail):
    X = getattr(rng(), tail)(size=(1000, 50))
    assert Units.standardizing(X, None).far_from_others(X)[0] == 0


# Constant features.

@pytest.mark.parametrize("constant", [0.0, 7.0, -1e6, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_feature_is_zero_and_does_not_disturb_the_others(constant, dtype):
    X = (3 + 100 * rng().standard_normal((20, 3))).astype(dtype)
    X[:, 1] = constant
    units = Units.standardizing(X, None)
    y = seen(units, X)
    np.testing.assert_allclose(y[:, 1], 0, atol=1e-6 * max(1, abs(constant)))
    assert np.mean(y[:, [0, 2]] ** 2) == pytest.approx(1)
    assert units.scale[1] == 1


@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
@pytest.mark.parametrize("image_shape", [None, (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("kind", ["standardizing", "fractions"])
def test_constant_features_come_back_exactly_whatever_the_network_says(kind, image_shape, dtype):
    X = rng().random((20, 6)).astype(dtype)
    X[:, 1], X[:, 4] = 0.1, 0.7
    units = (
        Units.standardizing(X, image_shape) if kind == "standardizing"
        else Units.fractions(X, 1.0, image_shape)
    )
    said = torch.randn(9, *units.data_shape, generator=torch.Generator().manual_seed(0))
    rows = units.to_data(said, dtype)
    assert rows.dtype == dtype
    for feature in range(6):
        if feature in (1, 4):
            assert (rows[:, feature] == X[0, feature]).all()
        else:
            assert len(np.unique(rows[:, feature])) == 9


def test_bytes_that_are_constant_come_back_exactly():
    X = rng().integers(0, 256, (20, 4), dtype=np.uint8)
    X[:, 2] = 201
    rows = Units.fractions(X, 255.0, (2, 2)).to_data(torch.rand(5, 1, 2, 2), SINGLE)
    assert (rows[:, 2] == 201).all()
    assert len(np.unique(rows[:, [0, 1, 3]])) > 10


def test_what_varies_by_rounding_is_constant():
    X = rng().standard_normal((20, 2))
    X[:, 1] = 1e6 + 1e-9 * rng().standard_normal(20)
    assert np.ptp(X[:, 1]) > 0
    units = Units.standardizing(X, None)
    assert units.scale[1] == 1
    assert set(units.to_data(torch.randn(5, 2), DOUBLE)[:, 1]) == {X[0, 1]}


@pytest.mark.parametrize(("least", "n_values"), [(1e6, 4), (5e6, 15)])
def test_whole_numbers_in_single_precision_are_not_constant(least, n_values):
    X = np.c_[least + np.arange(60) % n_values, np.arange(60) % 7]
    single, double = (Units.standardizing(X.astype(dtype), None) for dtype in (SINGLE, DOUBLE))
    assert np.isnan(single.constants).all()
    np.testing.assert_allclose(single.scale, double.scale, rtol=1e-6)


@pytest.mark.parametrize("mean", [1e8, -1.7e9, 1e20])
def test_what_varies_by_the_rounding_of_single_precision_has_no_weight(mean):
    # a time within an hour, in seconds: it was seen as it is, and decided the clusters
    X = rng().standard_normal((400, 3)).astype(SINGLE)
    X[:, 1] = np.float32(mean) + np.spacing(np.float32(mean)) * rng().integers(-10, 10, 400)
    units = Units.standardizing(X, None)
    assert np.isnan(units.constants).tolist() == [True, False, True]
    assert np.abs(seen(units, X)[:, 1]).max() <= 0.1


def test_an_unknown_scale_is_not_taken_for_another():
    with pytest.raises(KeyError):
        Units.standardizing(rng().random((9, 2)), None, "Std")


def test_data_that_is_constant_throughout_is_zero_and_comes_back():
    X = np.full((5, 3), 2.3)
    units = Units.standardizing(X, None)
    np.testing.assert_allclose(seen(units, X), 0, atol=1e-12)
    np.testing.assert_array_equal(units.to_data(torch.ones(5, 3), DOUBLE), X)


# Rows that are very far away.

@pytest.mark.parametrize("dtype", [SINGLE, DOUBLE])
def test_rows_of_any_size_are_seen_and_come_back_as_numbers_without_a_warning(dtype):
    X = rng().standard_normal((20, 3)).astype(dtype)
    units = Units.standardizing(X, None)
    largest = float(np.finfo(dtype).max)
    extreme = np.array([[largest, 0, 0], [0, -largest, 0], [largest] * 3], dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for precision in (torch.float32, torch.float64):
            y = units.to_model(extreme, precision, CPU)
            assert y.abs().max() == FARTHEST
        assert units.n_far(extreme) == len(extreme)
        assert np.isfinite(units.to_data(y, dtype)).all()


def test_rows_beyond_the_farthest_distance_are_moved_to_it_and_only_those():
    X = rng().standard_normal((20, 2)) * [1, 50] + 3
    units = Units.standardizing(X, None)
    steps = np.array([0, 0.5, -0.999, 1.001, -7])
    rows = units.location + FARTHEST * units.scale * np.stack([steps, 0 * steps], 1)
    y = seen(units, rows)
    np.testing.assert_allclose(y[:, 0], FARTHEST * np.clip(steps, -1, 1), rtol=1e-9)
    np.testing.assert_allclose(y[:, 1], 0, atol=1e-9)
    assert units.n_far(rows) == 2
    assert units.n_far(X) == 0


@pytest.mark.parametrize("code", [-999.0, 999_999.0])
def test_a_code_is_far_where_all_columns_have_one_in_less_than_half_of_the_rows(code):
    X = rng().normal(size=(100, 3))
    X[:, 2] = 7.0
    for n_rows, n_columns, is_far in [(30, 2, True), (30, 1, False), (49, 2, True), (50, 2, False)]:
        coded = X.copy()
        coded[:n_rows, :n_columns] = code
        units = Units.standardizing(coded, None)
        assert (units.spread[0] < 10) == is_far
        assert units.far_from_others(coded)[0] == n_rows * is_far


@pytest.mark.parametrize("column", ["constant", "flag", "few codes", "stray", "free flag"])
def test_a_device_that_was_off_is_recognized_whatever_columns_there_are(column):
    X = rng().normal(size=(1000, 4))
    X[:, 3] = {"constant": 7.0, "flag": rng().random(1000) < 0.4}.get(column, X[:, 3])
    X[:300] = -999.0
    if column == "few codes":
        X[5:300, 3] = rng(1).normal(size=295)
    elif column == "stray":
        X[0, 3] = -1e7
    elif column == "free flag":
        X[:, 3] = rng().random(1000) < 0.4
    units = Units.standardizing(X, None)
    assert (units.highest[:3] - units.lowest[:3] < 10).all()
    assert units.far_from_others(X)[0] == 300


def test_the_encoder_reads_values_within_limits_and_constants_as_they_were():
    X = rng().normal(size=(50, 3)) * [1, 10, 0] + 4
    units = Units.standardizing(X, None)
    low, high = units.limits()
    found = units.limits_in_model()
    ends = units.to_model(np.array([low, high]), torch.float64, CPU)
    torch.testing.assert_close(found[:, :2], ends[:, :2])
    assert found[:, 2].tolist() == [0, 0]
    pixels = Units.standardizing(X, (1, 3)).limits_in_model()
    assert (pixels[0] < pixels[1]).all()
    counts = Units.of_counts(rng().poisson(3, (50, 2)).astype(float), None).limits_in_model()
    assert counts.tolist() == [[0, 0], [FARTHEST, FARTHEST]]


def test_large_counts_are_as_far_as_their_logarithms():
    X = rng().poisson(3e6, (20, 2)).astype(float)
    units = Units.of_counts(X, None)
    assert units.n_far(X) == 0
    assert units._replace(scale=np.full(2, 1e-5)).n_far(X) == 20  # logarithms of 15 beyond 10
    assert units._replace(scale=np.full(2, 1e-4)).n_far(X) == 0


def test_results_in_single_precision_are_finite_where_those_in_double_would_be_larger():
    X = 1e40 * rng().standard_normal((20, 2))
    units = Units.standardizing(X, None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = units.to_data(torch.tensor([[1.0, -1.0]]), SINGLE)
    limit = np.finfo(np.float32).max
    assert rows.dtype == np.float32
    assert rows.tolist() == [[limit, -limit]]
    in_double = units.to_data(torch.tensor([[1.0, -1.0]]), DOUBLE)
    np.testing.assert_allclose(in_double, units.location + units.scale * [[1, -1]])


def test_data_comes_back_in_the_type_asked_for():
    units = Units.standardizing(rng().random((5, 3)), None)
    for precision in (torch.float32, torch.float64):
        for dtype in (SINGLE, DOUBLE):
            assert units.to_data(torch.zeros(2, 3, dtype=precision), dtype).dtype == dtype


def test_a_feature_of_large_values_that_vary_is_not_constant():
    X = rng().standard_normal((50, 2))
    X[:, 1] = 1.7e12 + rng().uniform(0, 100, 50)  # milliseconds since 1970
    units = Units.standardizing(X, None)
    assert np.isnan(units.constants).all()
    seen = units.to_model(X, torch.float64, CPU)
    assert 0.1 < seen[:, 1].var() / seen[:, 0].var() < 10


@pytest.mark.parametrize("value", [1.7e24, -0.1, 1e100])
def test_rows_that_share_a_value_of_any_size_are_near(value):
    X = rng().standard_normal((150, 2))
    X[:, 1] = value
    units = Units.standardizing(X, None)
    assert units.n_far(X) == 0
    assert (units.to_model(X, torch.float64, CPU)[:, 1] == 0).all()


def test_features_that_vary_in_later_rows_are_no_longer_constant():
    X = rng().standard_normal((20, 3))
    X[:, 1:] = 5.0
    later = X.copy()
    later[3, 2] = 6.0
    units = Units.standardizing(X, None).seeing(later)
    assert np.isnan(units.constants).tolist() == [True, False, True]
    assert units.constants[1] == 5.0
