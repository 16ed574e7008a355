"""Units, shapes and minibatches."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.preprocessing import normalize

from skgmvae.data import INFERENCE_ROWS, DataSpace, Rows

CPU = torch.device("cpu")


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("image_shape", [None, (2, 2)])
def test_values_too_small_to_square_are_named(image_shape):
    X = 1e-300 * rng().standard_normal((10, 4))
    with pytest.raises(ValueError, match=r"too small to square.* range of .*e-300; scale X"):
        DataSpace.fit(X, "gaussian", image_shape)


def rows_of(X, likelihood="gaussian", image_shape=None):
    return Rows(X, DataSpace.fit(X, likelihood, image_shape), CPU)


def plain(X):
    """Return rows that are X itself."""
    return Rows(X, DataSpace(np.zeros(X.shape[1]), np.ones(X.shape[1]), None, False), CPU)


image_shapes = st.one_of(
    st.none(), st.tuples(st.integers(1, 4), st.integers(1, 4)),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3)),
)


@given(image_shapes, st.integers(0, 1000), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_there_and_back_is_the_same_rows(image_shape, seed, location, scale):
    n_features = 5 if image_shape is None else math.prod(image_shape)
    X = location + scale * rng(seed).standard_normal((6, n_features))
    space = DataSpace.fit(X, "gaussian", image_shape)
    y = space.to_model(X, torch.float64, CPU)
    assert y.shape == (6, *space.data_shape)
    assert y.is_contiguous()
    back = space.to_data(y, np.dtype(np.float64))
    assert back.shape == X.shape
    np.testing.assert_allclose(back, X, rtol=1e-10, atol=1e-10 * scale)


def test_channels_come_last_in_rows_and_first_in_the_model():
    images = rng().random((6, 3, 4, 2))  # height 3, width 4, two channels
    space = DataSpace.fit(images.reshape(6, -1), "bernoulli", (3, 4, 2))
    y = space.to_model(images.reshape(6, -1), torch.float64, CPU)
    np.testing.assert_array_equal(y, np.moveaxis(images, -1, 1))
    assert space.data_shape == (2, 3, 4)


def test_grey_images_have_one_channel():
    images = rng().random((6, 3, 4))
    y = DataSpace.fit(images.reshape(6, -1), "bernoulli", (3, 4)).to_model(
        images.reshape(6, -1), torch.float64, CPU
    )
    np.testing.assert_array_equal(y, images[:, None])


@given(
    st.integers(0, 1000), image_shapes,
    hnp.arrays(np.float64, 48, elements=st.floats(1e-3, 1e3)),
)
def test_the_model_sees_mean_0_and_a_mean_variance_of_1(seed, image_shape, scales):
    n_features = 5 if image_shape is None else math.prod(image_shape)
    X = 7 + scales[:n_features] * rng(seed).standard_normal((20, n_features))
    y = DataSpace.fit(X, "gaussian", image_shape).to_model(X, torch.float64, CPU).numpy()
    assert np.mean(y**2) == pytest.approx(1)
    axes = (0,) if image_shape is None else (0, 2, 3)
    np.testing.assert_allclose(y.mean(axes), 0, atol=1e-8)


def test_columns_have_the_same_range_and_channels_too():
    X = rng().standard_normal((50, 6)) * [1, 10, 100, 1, 10, 100] + 5
    y = DataSpace.fit(X, "gaussian", None).to_model(X, torch.float64, CPU).numpy()
    np.testing.assert_allclose(np.ptp(y, 0), np.ptp(y, 0)[0])
    space = DataSpace.fit(X, "gaussian", (1, 2, 3))
    np.testing.assert_array_equal(space.scale[:3], space.scale[3:])
    np.testing.assert_array_equal(space.location[:3], space.location[3:])
    assert space.scale[2] > 5 * space.scale[1] > 25 * space.scale[0]


@pytest.mark.parametrize("constant", [0.0, 7.0, -1e6, 0.1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_column_is_zero_and_does_not_disturb_the_others(constant, dtype):
    X = (3 + 100 * rng().standard_normal((20, 3))).astype(dtype)
    X[:, 1] = constant
    space = DataSpace.fit(X, "gaussian", None)
    y = space.to_model(X, torch.float64, CPU).numpy()
    np.testing.assert_allclose(y[:, 1], 0, atol=1e-6 * max(1, abs(constant)))
    assert np.mean(y[:, [0, 2]] ** 2) == pytest.approx(1)
    assert space.scale[1] == 1
    np.testing.assert_allclose(space.to_data(torch.tensor(y), np.dtype(dtype)), X, rtol=1e-5)


def test_data_that_is_constant_throughout_is_zero():
    X = np.full((5, 3), 2.5)
    y = DataSpace.fit(X, "gaussian", None).to_model(X, torch.float64, CPU)
    assert not y.any()


def test_values_too_large_to_square_are_refused_by_their_size():
    with pytest.raises(ValueError, match=r"too large to square, up to 1e\+200; scale X"):
        DataSpace.fit(np.array([[1e200], [-1e200], [0.0]]), "gaussian", None)


def test_a_small_scale_far_from_the_origin_is_not_constant():
    X = 1e3 + 1e-3 * rng().standard_normal((50, 3))
    y = DataSpace.fit(X, "gaussian", None).to_model(X, torch.float64, CPU).numpy()
    assert np.mean(y**2) == pytest.approx(1)


def test_bernoulli_values_stay_and_bytes_are_fractions_of_255():
    values = rng().random((6, 4))
    bytes_ = rng().integers(0, 256, (6, 4), dtype=np.uint8)
    of_values = DataSpace.fit(values, "bernoulli", None)
    of_bytes = DataSpace.fit(bytes_, "bernoulli", None)
    np.testing.assert_allclose(
        of_bytes.to_model(bytes_, torch.float64, CPU), bytes_.astype(float) / 255, rtol=1e-12
    )
    np.testing.assert_array_equal(of_values.to_model(values, torch.float64, CPU), values)
    y = of_bytes.to_model(bytes_, torch.float64, CPU)
    np.testing.assert_allclose(of_bytes.to_data(y, np.dtype(np.float64)), bytes_, rtol=1e-12)
    np.testing.assert_allclose(of_bytes.to_model(bytes_.astype(float), torch.float64, CPU), y)


def test_the_unit_of_a_row_is_that_of_the_fit_whatever_rows_are_beside_it():
    zeros_and_ones, greys = rng().integers(0, 2, (1, 4), np.uint8), np.full((1, 4), 200, np.uint8)
    both = np.concatenate([zeros_and_ones, greys])
    space = DataSpace.fit(both, "bernoulli", None)
    together = space.to_model(both, torch.float64, CPU)
    assert torch.equal(together[:1], space.to_model(zeros_and_ones, torch.float64, CPU))
    with pytest.raises(ValueError, match="between 0 and 1"):
        DataSpace.fit(zeros_and_ones, "bernoulli", None).check(greys)


def test_bytes_under_a_gaussian_likelihood_are_standardised_like_numbers():
    X = rng().integers(0, 256, (30, 4), dtype=np.uint8)
    of_bytes = DataSpace.fit(X, "gaussian", None)
    of_floats = DataSpace.fit(X.astype(float), "gaussian", None)
    np.testing.assert_allclose(of_bytes.scale, of_floats.scale)
    np.testing.assert_allclose(of_bytes.location, of_floats.location)
    y = of_bytes.to_model(X, torch.float64, CPU).numpy()
    assert np.mean(y**2) == pytest.approx(1)


@pytest.mark.parametrize(("low", "high"), [(-0.5, 1.0), (0.0, 3.5)])
def test_values_that_are_no_probabilities_are_refused_with_advice(low, high):
    X = np.array([[low, 0.5], [0.5, high]])
    space = DataSpace.fit(X, "bernoulli", None)
    message = (
        rf"likelihood='bernoulli' needs values between 0 and 1, but X has values between {low:g} "
        rf"and {high:g}\. Scale X, .*MinMaxScaler.*uint8.*likelihood='gaussian'"
    )
    with pytest.raises(ValueError, match=message):
        space.check(X)


def test_what_is_a_probability_depends_on_the_training_data():
    bytes_ = np.array([[0, 255]], dtype=np.uint8)
    of_bytes = DataSpace.fit(bytes_, "bernoulli", None)
    of_bytes.check(np.array([[0.0, 255.0]]))
    with pytest.raises(ValueError, match="between 0 and 255"):
        of_bytes.check(np.array([[0.0, 256.0]]))
    of_values = DataSpace.fit(np.array([[0.0, 1.0]]), "bernoulli", None)
    with pytest.raises(ValueError, match=r"between 0 and 1,.* fitted to .* pass X / 255"):
        of_values.check(bytes_)
    with pytest.raises(ValueError, match="between 0 and 1"):
        of_values.check(bytes_.astype(float))
    DataSpace.fit(bytes_, "gaussian", None).check(np.array([[-1e9, 1e9]]))


def test_the_log_volume_is_that_of_the_change_of_variables():
    X = rng().standard_normal((30, 3)) * [1, 10, 100]
    space = DataSpace.fit(X, "gaussian", None)
    at = space.to_model(np.stack([0 * X[0], *np.eye(3)]), torch.float64, CPU).numpy()
    jacobian = np.linalg.det((at[1:] - at[0]).T)
    assert space.log_volume == pytest.approx(-np.log(jacobian))


def test_data_comes_back_in_the_type_asked_for():
    space = DataSpace.fit(rng().random((5, 3)), "gaussian", None)
    for dtype in (np.float32, np.float64):
        assert space.to_data(torch.zeros(2, 3), np.dtype(dtype)).dtype == dtype


def test_rows_are_float32_in_the_models_units_whatever_their_number():
    X = rng().standard_normal((INFERENCE_ROWS + 3, 2))
    space = DataSpace.fit(X, "gaussian", None)
    rows = Rows(X, space, CPU)
    assert rows.n_rows == len(X)
    index = torch.tensor([INFERENCE_ROWS + 2, 0, 5, 5])
    taken = rows.take(index)
    assert taken.dtype == torch.float32
    assert torch.equal(taken, space.to_model(X[index.numpy()], torch.float32, CPU))
    np.testing.assert_array_equal(rows.flat()[index.numpy()], taken)


def test_the_typical_norm_is_the_root_mean_square():
    X = rng().standard_normal((50, 3))
    expected = np.sqrt((np.linalg.norm(X, axis=1) ** 2).mean())
    assert plain(X).typical_norm() == pytest.approx(expected, rel=1e-5)


@given(st.integers(2, 300), st.integers(2, 80), st.integers(0, 3))
def test_batches_hold_every_row_once_and_never_one_alone(n_rows, batch_size, epoch):
    batches = plain(np.zeros((n_rows, 1))).batches(batch_size, 0, 0, epoch)
    sizes = [len(batch) for batch in batches]
    assert torch.cat(batches).sort().values.tolist() == list(range(n_rows))
    assert max(sizes) <= max(batch_size, 3)
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= 2


def test_batches_of_two_of_an_odd_number_of_rows_leave_no_row_alone():
    assert min(map(len, plain(np.zeros((5, 1))).batches(2, 0))) >= 2


def test_the_number_of_batches_is_the_least():
    rows = plain(np.zeros((101, 1)))
    for batch_size, n_batches in [(100, 2), (101, 1), (500, 1), (10, 11)]:
        assert len(rows.batches(batch_size, 0)) == n_batches


def test_batches_are_shuffled_by_the_key_alone(untouched_global_state):
    rows = plain(np.zeros((40, 1)))
    first = torch.cat(rows.batches(8, 1, 0, 3))
    assert torch.equal(first, torch.cat(rows.batches(8, 1, 0, 3)))
    assert not torch.equal(first, torch.cat(rows.batches(8, 1, 0, 4)))
    assert not torch.equal(first, torch.cat(rows.batches(8, 1, 1, 3)))
    assert not torch.equal(first, torch.arange(40))


@pytest.mark.parametrize(("likelihood", "volume"), [("bernoulli", 0.0), ("gaussian", None)])
def test_only_densities_change_with_the_unit(likelihood, volume):
    X = np.random.default_rng(0).integers(0, 256, (20, 3)).astype(np.uint8)
    space = DataSpace.fit(X, likelihood, None)
    expected = np.log(space.scale).sum() if volume is None else volume
    assert space.log_volume == pytest.approx(expected)


@pytest.mark.parametrize("n_empty", [0, 3])
def test_features_of_rows_of_unit_length_share_a_scale(n_empty):
    # a word that two texts have must not weigh as much as one that all have
    X = np.random.default_rng(0).exponential(size=(40, 6)) * [9, 9, 9, 1, 1, 0]
    X = normalize(X)
    X[:n_empty] = 0
    scale = DataSpace.fit(X, "gaussian", None).scale
    np.testing.assert_allclose(scale[:5], np.sqrt(X[:, :5].var(0).mean()))
    assert scale[5] == 1
    X[5] *= 1.001
    assert np.ptp(DataSpace.fit(X, "gaussian", None).scale[:5]) > 0.01
