"""The rows of a fit in an order of their own, each as often as its weight says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from skgmvae._rows import copies as room
from skgmvae._rows.copies import Copies, CopyRule, Reordered, canonical_order

TYPES = ["float64", "float32", "float16", "uint8", "int32", "bool"]


def table(seed, n_rows=30, n_features=4, dtype="float64"):
    """Return rows of few values, many of them identical."""
    lowest = 0 if dtype in ("uint8", "bool") else -2
    return np.random.default_rng(seed).integers(lowest, 2, (n_rows, n_features)).astype(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("key_values", [2**24, 50])
def test_rows_are_sorted_by_the_first_column_first(monkeypatch, dtype, key_values):
    monkeypatch.setattr(room, "KEY_VALUES", key_values)  # of a column at a time
    for seed in range(5):
        X = table(seed, dtype=dtype)
        order, is_new = canonical_order(X)
        np.testing.assert_array_equal(order, np.lexsort(X.T[::-1]))  # which is stable, too
        np.testing.assert_array_equal(is_new[1:], (X[order[1:]] != X[order[:-1]]).any(1))
        assert is_new[0]


def test_fractions_and_missing_values_have_their_place():
    X = np.array([[np.nan], [1e-300], [-1e300], [0.0], [-0.5], [1e300], [-0.0]])
    order, is_new = canonical_order(X)
    assert order.tolist() == [2, 4, 3, 6, 1, 5, 0]
    assert is_new.tolist() == [True, True, True, False, True, True, True]


def test_a_sparse_table_has_the_same_order():
    X = table(0, 40, 6)
    for found, expected in zip(
        canonical_order(sparse.csr_array(X)), canonical_order(X), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@given(st.integers(0, 1000), st.booleans())
def test_neither_order_nor_copies_are_of_effect(seed, is_sparse):
    rng = np.random.default_rng(seed)
    X, weights = table(seed), rng.integers(0, 4, 30)
    weights[0] += 1
    kind = sparse.csr_array if is_sparse else np.asarray
    repeated = X.repeat(weights, 0)
    repeated = repeated[rng.permutation(len(repeated))]
    order = rng.permutation(30)
    weighted = Copies.of(kind(X[order]), weights[order].astype(float))
    copied = Copies.of(kind(repeated))
    assert weighted.weights is copied.weights is None
    found, expected = (
        part.rows.toarray() if is_sparse else part.rows[:] for part in (weighted, copied)
    )
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(found, repeated[canonical_order(repeated)[0]])


@given(st.integers(0, 1000), st.floats(1e-3, 1e3))
def test_what_copies_count_is_in_proportion_to_the_weights(seed, factor):
    rng = np.random.default_rng(seed)
    X = table(seed)
    weights = rng.exponential(size=30) * (rng.random(30) < 0.8) + 1e-9 * (np.arange(30) == 0)
    copies = Copies.of(X, factor * weights, rule=CopyRule(100))
    assert len(np.unique(X[weights > 0], axis=0)) <= len(copies.order)
    counted = np.ones(len(copies.order)) if copies.weights is None else copies.weights
    np.testing.assert_array_equal(copies.rows[:], X[copies.order])
    rows, inverse = np.unique(X, axis=0, return_inverse=True)
    of_points = np.bincount(inverse.ravel(), weights, minlength=len(rows))
    found = np.bincount(inverse.ravel()[copies.order], counted, minlength=len(rows))
    np.testing.assert_allclose(found / found.sum(), of_points / of_points.sum(), rtol=1e-9)
    assert counted.max() < 1.5 + 1e-9


def test_sums_of_weights_do_not_depend_on_the_order():
    X, weights = np.zeros((3, 1)), np.array([0.1, 0.2, 0.3])
    sums = [
        Copies.of(np.vstack([X, [[1.0]]]), np.append(weights[order], 5.3)).weights[0]
        for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0])
    ]
    assert sums[0] == sums[1] == sums[2]


@pytest.mark.parametrize(("weight", "n_copies"), [
    (1.0, 6), (0.01, 6), (3.0, 18), (1000.0, 50),
])
def test_as_many_copies_are_made_as_weights_ask_for_within_bounds(weight, n_copies):
    X = np.arange(6.0)[:, None]
    copies = Copies.of(X, np.full(6, weight), rule=CopyRule(50))
    assert len(copies.order) == pytest.approx(n_copies, abs=3)
    assert copies.weights is None


def test_copies_of_many_rows_count_alike_though_some_rows_are_identical():
    X = np.arange(12_000.0)[:, None]
    X[1] = X[0]
    copies = Copies.of(X)
    assert copies.weights is None
    assert len(copies.order) * copies.unit == pytest.approx(12_000)
    halves = Copies.of(X[:4], np.array([2.0, 1.0, 1.0, 3.0]), rule=CopyRule(2))
    assert len(halves.order) * halves.unit == pytest.approx(7)


@pytest.mark.parametrize("weight", [0.01, 1.0, 3.0, 1000.0])
def test_a_copy_stands_for_so_much_weight(weight):
    X = np.arange(6.0)[:, None]
    copies = Copies.of(X, np.full(6, weight), rule=CopyRule(50))
    own = np.ones(len(copies.order)) if copies.weights is None else copies.weights
    assert copies.unit * own.sum() == pytest.approx(6 * weight)


def test_a_stream_keeps_weights_below_one():
    X = np.arange(6.0)[:, None]
    assert Copies.of(X, np.full(6, 0.25), is_stream=True).unit == 1.0
    np.testing.assert_allclose(Copies.of(X, np.full(6, 0.25), is_stream=True).weights, 0.25)


def test_each_row_knows_its_copy_and_a_row_without_weight_has_none():
    X = table(1)
    weights = np.random.default_rng(0).integers(0, 3, 30).astype(float)
    copies = Copies.of(X, weights)
    for row, weight, number in zip(X, weights, copies.inverse, strict=True):
        if weight:
            np.testing.assert_array_equal(copies.rows[number : number + 1][0], row)
        else:
            assert number == -1
    # a copy names the first of the rows that are identical
    for number in copies.order:
        assert not (X[:number] == X[number]).all(1).any()


def test_rows_in_their_order_are_the_same_object():
    X = np.arange(5.0)[:, None]
    assert Copies.of(X).rows is X


@given(st.integers(0, 100))
def test_reordered_rows_are_those_of_the_array(seed):
    rng = np.random.default_rng(seed)
    X, order = rng.random((9, 3)), rng.integers(0, 9, 12)
    rows, expected = Reordered(X, order), X[order]
    assert len(rows) == 12
    assert rows.shape == expected.shape
    assert rows.dtype == expected.dtype
    for key in (slice(None), slice(3, 7), slice(None, None, 5), rng.integers(0, 12, 4),
                rng.random(12) < 0.5):
        np.testing.assert_array_equal(rows[key], expected[key])
    np.testing.assert_array_equal(rows[:, 1:][:], expected[:, 1:])
    np.testing.assert_array_equal(rows[2:5, [0, 2]][:], expected[2:5, [0, 2]])
