"""Rows that stay in their source until they are used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from helpers import Source
from skgmvae._rows import lazy as room
from skgmvae._rows.lazy import LazyRows, is_source

X = np.random.default_rng(0).random((40, 3))
KEYS = st.one_of(
    st.slices(12),
    st.lists(st.integers(-12, 11), max_size=20).map(lambda key: np.array(key, dtype=int)),
    st.lists(st.integers(0, 11), max_size=20).map(lambda key: np.array(key, dtype=np.uint8)),
    st.lists(st.booleans(), min_size=12, max_size=12).map(np.array),
)


@given(KEYS, st.data())
def test_a_selection_is_that_of_the_array(key, data):
    source = Source(X[:12])
    rows, expected = LazyRows(source)[key], X[:12][key]
    assert not source.read
    assert rows.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(rows), expected)
    if len(expected):
        again = data.draw(st.lists(st.integers(0, len(expected) - 1), min_size=1).map(np.array))
        np.testing.assert_array_equal(np.asarray(rows[again]), expected[again])
        np.testing.assert_array_equal(np.asarray(rows[again, ...]), expected[again])
        ordered = rows[rows.reading_order]
        assert (np.diff(np.asarray(ordered._rows)) >= 0).all()


@pytest.mark.parametrize("dtype", ["u1", "i1", "u8"])
def test_row_numbers_of_any_type_are_those_of_a_long_source(dtype):
    rows = LazyRows(np.arange(1000.0)[:, None])
    np.testing.assert_array_equal(np.asarray(rows[np.array([2, 1], dtype)]), [[2.0], [1.0]])


def test_near_rows_are_read_by_one_request_and_far_ones_by_themselves(monkeypatch):
    monkeypatch.setattr(room, "SPAN", 100)
    array = np.arange(1000.0)[:, None]
    source = Source(array)
    numbers = np.array([1, 3, 5, 7, 250, 299, 950])
    np.testing.assert_array_equal(np.asarray(LazyRows(source)[numbers])[:, 0], numbers)
    assert sum(source.read) == 7 + 2 + 1


@pytest.mark.parametrize(("stored", "read"), [
    ("float64", "float64"), ("float32", "float32"), ("uint8", "uint8"), ("int16", "float64"),
    ("float16", "float64"), (">f4", "float32"), ("bool", "float64"),
])
def test_numbers_of_any_type_are_read(stored, read):
    array = np.arange(6).reshape(3, 2).astype(stored)
    rows = LazyRows(Source(array))
    assert rows.dtype == np.asarray(rows).dtype == np.dtype(read)
    np.testing.assert_array_equal(np.asarray(rows), array.astype(read))


def test_missing_values_are_found_and_infinite_ones_refused():
    array = X.copy()
    assert not LazyRows(Source(array)).has_missing
    array[35, 1] = np.nan
    assert LazyRows(Source(array)).has_missing
    assert not LazyRows(Source(array))[:30].has_missing
    array[2, 2] = np.inf
    with pytest.raises(ValueError, match="contains infinity"):
        np.asarray(LazyRows(Source(array)))


def test_a_source_that_is_no_table_of_numbers_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\); it must be \(n_samples, n_features\)"):
        LazyRows(np.zeros(3))
    with pytest.raises(ValueError, match="values of type <U1, not numbers: convert them"):
        LazyRows(np.array([["a"]]))
    with pytest.raises(TypeError, match="source=list must have shape"):
        LazyRows([[1.0]])


def test_a_source_that_returns_other_rows_is_found_out():
    class Short(Source):
        def __getitem__(self, key):
            return super().__getitem__(key)[:-1]

    with pytest.raises(ValueError, match="returned an array of shape"):
        np.asarray(LazyRows(Short(X)))
    with pytest.raises(ValueError, match="returned an array of shape"):
        np.asarray(LazyRows(Short(X))[[0, 2]])


@pytest.mark.parametrize("key", [3, (slice(None), 1), np.zeros((2, 2), int)])
def test_only_rows_are_selected(key):
    with pytest.raises(TypeError, match="LazyRows selects"):
        LazyRows(X)[key]


def test_rows_that_do_not_exist_are_not_selected():
    with pytest.raises(IndexError, match="there are 40"):
        LazyRows(X)[np.array([3, 40])]


def test_a_split_reads_nothing():
    source = Source(X)
    train, test = train_test_split(LazyRows(source), random_state=0)
    assert not source.read
    for rows, expected in zip((train, test), train_test_split(X, random_state=0), strict=True):
        np.testing.assert_array_equal(np.asarray(rows), expected)
    assert repr(train) == "LazyRows(30 of 40 rows, 3 features, float64)"


def test_what_is_a_source(tmp_path, monkeypatch):
    mapped = np.memmap(tmp_path / "X", np.float64, "w+", shape=X.shape)
    assert not is_source(mapped)  # small: it is read at once
    monkeypatch.setattr(room, "LAZY_BYTES", 100)
    assert is_source(mapped)
    assert is_source(Source(X))
    assert is_source(LazyRows(X))
    assert not is_source(X)
    assert not is_source(X.tolist())


@pytest.mark.newest
def test_a_table_is_no_source():
    pandas = pytest.importorskip("pandas")
    assert not is_source(pandas.DataFrame(X))
    assert not is_source(pandas.Series(X[:, 0]))


@pytest.mark.parametrize("rows", [slice(None), [0, 2, 1]])
@pytest.mark.parametrize(("key", "error"), [
    ([-5], IndexError), ([4], IndexError), ([True, False], IndexError), ([1.0], TypeError),
])
def test_rows_that_are_not_there_are_refused(rows, key, error):
    with pytest.raises(error, match=r"[Rr]ows"):
        LazyRows(np.arange(8.0).reshape(4, 2))[rows][key]
    assert np.asarray(LazyRows(np.eye(4))[rows][[]]).shape == (0, 4)


@pytest.mark.parametrize("rows", [slice(None), slice(1, 9), np.array([3, 1])])
def test_an_array_is_a_copy_if_asked_for(rows):
    source = X.copy()
    lazy = LazyRows(source)[rows]
    copied = np.array(lazy) if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else (
        lazy.__array__(copy=True)
    )
    copied[:] = 7.0
    np.testing.assert_array_equal(source, X)


def test_a_copy_that_is_not_wanted_is_not_made():
    source = X.astype(np.float32)
    assert np.shares_memory(LazyRows(source).__array__(copy=False), source)
    for source, dtype in ((X.astype(np.int64), None), (X, np.float32)):
        with pytest.raises(ValueError, match="copy=False, but rows of"):
            LazyRows(source).__array__(dtype, copy=False)
