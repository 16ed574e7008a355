"""Training rows that are read a chunk at a time."""

import numpy as np
import pytest
import torch

from helpers import Source
from skgmvae._rows import LazyRows, Rows, StreamedRows, Units
from skgmvae._rows.sources import Conversion
from skgmvae._rows.streamed import Streaming

CPU = torch.device("cpu")
X = np.random.default_rng(0).random((50, 4)).astype(np.float32)
UNITS = Units.standardizing(X, None)


def streamed(array=X, **streaming):
    source = Source(array)
    rows = StreamedRows(
        LazyRows(source), CPU, Conversion.winsorizing(UNITS),
        Streaming(**{"chunk_values": 40, "n_chunks": 2} | streaming),
    )
    return rows, source


def test_rows_are_those_of_an_array():
    rows, _ = streamed()
    expected = Rows.standardized(X, UNITS, CPU)
    assert rows.n_rows == 50
    assert rows.data_shape == (4,)
    assert rows.has_missing is expected.has_missing is False
    np.testing.assert_array_equal(rows.flat(), expected.flat())
    for index in ([3], [49, 0, 25, 3, 12], range(50)):
        index = torch.tensor(index)
        assert torch.equal(rows.take(index), expected.take(index))
        assert torch.equal(torch.cat([*rows.blocks(index)]), expected.take(index))
    assert rows.typical_norm() == expected.typical_norm()


def test_chunks_are_read_once_while_they_are_in_use_and_few_are_held():
    rows, source = streamed()
    assert rows.mixed == (10, 2)
    for _ in range(3):
        rows.take(torch.tensor([1, 11, 2, 12]))
    assert source.read == [10, 10]
    for chunk in (2, 3, 4):
        rows.take(torch.tensor([10 * chunk]))
    assert len(rows._chunks) == 4
    rows.take(torch.tensor([1]))  # which was used longest ago
    assert source.read == [10] * 6


def test_rows_from_everywhere_are_read_by_themselves():
    rows, source = streamed()
    rows.take(torch.arange(0, 50, 9))
    assert sum(source.read) == 46  # in one request, since they are near each other
    assert not rows._chunks


def test_missing_values_stay_missing():
    array = X.copy()
    array[3, 2] = np.nan
    rows, _ = streamed(array)
    assert rows.has_missing
    assert rows.take(torch.tensor([3])).isnan().tolist() == [[False, False, True, False]]


@pytest.mark.parametrize("n_features", [1, 10**7])
def test_a_chunk_has_a_row_at_least(n_features):
    class Wide(Source):
        def __init__(self):
            super().__init__(X)
            self.shape = (50, n_features)

    conversion = Conversion.winsorizing(UNITS)
    assert StreamedRows(LazyRows(Wide()), CPU, conversion).mixed[0] == max(1, 2**18 // n_features)
