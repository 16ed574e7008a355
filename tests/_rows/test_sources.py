"""Training rows, standardized once."""

import pickle
import warnings

import numpy as np
import pytest
import torch

from skgmvae._rows import BLOCK_ROWS, Rows, Units

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
    rows = Rows.standardized(X, Units(np.zeros(2), np.ones(2), np.full(2, np.nan), None), CPU)
    X[:] = 7
    np.testing.assert_array_equal(rows.flat(), draw(10, 2).astype(np.float32))


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
