"""Training rows, standardized once."""

import pickle
import warnings

import numpy as np
import pytest
import torch

from skgmvae._rows import BLOCK_ROWS, Rows, Units
from skgmvae._rows.sources import Winsorizing

CPU = torch.device("cpu")


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("image_shape", [None, (1, 3), (1, 1, 3)])
@pytest.mark.parametrize("n_rows", [1, BLOCK_ROWS, 2 * BLOCK_ROWS + 3])
def test_rows_are_what_the_model_sees_in_single_precision_whatever_their_number(
    n_rows, image_shape
):
    X = 5 + draw(n_rows, 3)
    units = Units.standardizing(X, image_shape)
    rows = Rows.standardized(X, units, CPU)
    assert rows.n_rows == n_rows
    assert rows.device == CPU
    index = torch.tensor([n_rows - 1, 0, n_rows // 2, n_rows // 2])
    taken = rows.take(index)
    assert taken.dtype == torch.float32
    assert torch.equal(taken, units.to_model(X[index.numpy()], torch.float32, CPU))
    assert rows.flat().shape == (n_rows, 3)
    np.testing.assert_array_equal(rows.flat()[index.numpy()], taken.flatten(1))


def test_blocks_are_all_rows_in_order_and_none_is_long():
    X = draw(2 * BLOCK_ROWS + 3, 2)
    rows = Rows.standardized(X, Units.standardizing(X, None), CPU)
    blocks = list(rows.blocks())
    assert [len(block) for block in blocks] == [BLOCK_ROWS, BLOCK_ROWS, 3]
    np.testing.assert_array_equal(torch.cat(blocks), rows.flat())


def test_rows_are_as_they_were_when_the_data_changes():
    X = draw(10, 2).astype(np.float32)
    zeros, ones = np.zeros(2), np.ones(2)
    units = Units(zeros, ones, np.full(2, np.nan), None, -9 * ones, 9 * ones, 18 * ones)
    rows = Rows.standardized(X, units, CPU)
    X[:] = 7
    np.testing.assert_array_equal(rows.flat(), draw(10, 2).astype(np.float32))


@pytest.mark.parametrize("image_shape", [None, (1, 3), (1, 1, 3)])
def test_rows_are_winsorized_at_three_ranges_from_the_location(image_shape):
    X = draw(300, 3)
    X[0], X[1, 2] = 1e6, -1e6
    units = Units.standardizing(X, image_shape)
    reach = units.spread / units.scale
    y = Rows.standardized(X, units, CPU).flat()
    np.testing.assert_allclose(y[0], 3 * reach, rtol=1e-6)
    np.testing.assert_allclose(y[1, 2], -3 * reach[2], rtol=1e-6)
    seen = units.to_model(X, torch.float32, CPU).flatten(1).numpy()
    np.testing.assert_array_equal(y[2:], seen[2:])
    np.testing.assert_array_equal(y[1, :2], seen[1, :2])
    nearer = Rows.standardized(X, units, CPU, Winsorizing(n_ranges=1.0)).flat()
    np.testing.assert_allclose(nearer[0], reach, rtol=1e-6)


def test_later_rows_that_lie_elsewhere_are_winsorized_only_if_they_are_far_from_each_other():
    units = Units.standardizing(draw(300, 3), None)
    later = draw(300, 3, seed=1) + 100
    later[0] = 1e9
    further = units.seeing(later)
    y = Rows.standardized(later, further, CPU).flat()
    seen = further.to_model(later, torch.float32, CPU).numpy()
    np.testing.assert_array_equal(y[1:], seen[1:])
    np.testing.assert_array_equal(y[0], seen[1:].max(0))
    one = later[:1]
    np.testing.assert_array_equal(
        Rows.standardized(one, units.seeing(one), CPU).flat(), seen[:1]
    )


def test_a_feature_that_was_constant_is_not_winsorized():
    X = np.column_stack([draw(20), np.full(20, 7.0)])
    units = Units.standardizing(X, None)
    X[3, 1] = 1e5
    assert Rows.standardized(X, units, CPU).flat()[3, 1] == np.float32(1e5 - 7)


@pytest.mark.parametrize("shape", [(50, 3), (50, 1, 3, 4)])
def test_the_typical_norm_is_the_root_mean_square(shape):
    y = torch.tensor(draw(*shape), dtype=torch.float32)
    expected = np.sqrt((np.linalg.norm(y.flatten(1), axis=1) ** 2).mean())
    assert Rows(y).typical_norm() == pytest.approx(expected, rel=1e-5)


def test_the_typical_norm_of_many_rows_that_are_sorted_is_that_of_all():
    n_rows = 10 * BLOCK_ROWS + 7
    y = torch.linspace(0, 1, n_rows)[:, None]
    assert Rows(y).typical_norm() == pytest.approx(1 / np.sqrt(3), rel=1e-3)


def test_rows_travel_as_an_array_that_may_be_read_only():
    rows = Rows(torch.tensor(draw(20, 1, 2, 2), dtype=torch.float32))
    copy = pickle.loads(pickle.dumps(rows))
    np.testing.assert_array_equal(copy.take(torch.arange(20)), rows.take(torch.arange(20)))
    assert copy.device == rows.device
    make, (array, device) = rows.__reduce__()
    assert isinstance(array, np.ndarray)
    array = array.copy()
    array.flags.writeable = False  # as joblib maps it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = make(array, device)
    np.testing.assert_array_equal(made.flat(), rows.flat())
