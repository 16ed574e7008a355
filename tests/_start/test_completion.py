"""Rows with missing values are completed by their neighbors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_blobs
from sklearn.metrics.pairwise import nan_euclidean_distances

from skgmvae._rows import Rows
from skgmvae._start.completion import COMPLETION, _squared_distances, completed


def rows_of(values, shape=None):
    values = torch.tensor(np.asarray(values, np.float32))
    return Rows(values if shape is None else values.unflatten(1, shape))


def without(X, share, seed=0):
    removed = np.random.default_rng(seed).random(X.shape) < share
    return np.where(removed, np.nan, X)


def test_complete_rows_are_the_same_object():
    rows = rows_of(np.ones((4, 2)))
    assert completed(rows) is rows


def test_distances_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    X, other = (without(random.standard_normal((n, 5)), 0.4, n) for n in (30, 20))
    X[0] = np.nan
    parts = [
        part for rows in (X, other)
        for part in (torch.tensor(rows).nan_to_num(), torch.tensor(~np.isnan(rows)).double())
    ]
    found = _squared_distances(*parts).sqrt().numpy()
    expected = nan_euclidean_distances(X, other)
    np.testing.assert_array_equal(np.isinf(found), np.isnan(expected))
    np.testing.assert_allclose(found[~np.isinf(found)], expected[~np.isnan(expected)], atol=1e-7)


@settings(max_examples=25)
@given(st.integers(0, 1000), st.integers(2, 40), st.integers(1, 6), st.floats(0.05, 0.95))
def test_what_is_there_stays_and_what_is_not_becomes_a_number(seed, n_rows, n_columns, share):
    X = without(np.random.default_rng(seed).standard_normal((n_rows, n_columns)), share, seed)
    X = X.astype(np.float32)
    found = completed(rows_of(X)).flat()
    is_there = ~np.isnan(X)
    np.testing.assert_array_equal(found[is_there], X[is_there])
    assert np.isfinite(found).all()
    if is_there.any():
        assert (np.abs(found) <= np.nanmax(np.abs(X))).all()


def test_values_are_those_of_the_own_cluster():
    X, y = make_blobs(400, 6, centers=4, cluster_std=0.5, random_state=0)
    X = (X - X.mean(0)) / np.ptp(X, axis=0)
    found = completed(rows_of(without(X, 0.2))).flat()
    centers = np.array([X[y == k].mean(0) for k in range(4)])
    nearest = np.linalg.norm(found[:, None] - centers, axis=2).argmin(1)
    assert (nearest == y).mean() > 0.98


def test_a_row_without_values_is_the_mean_of_all():
    X = np.random.default_rng(0).standard_normal((50, 3))
    X[7] = np.nan
    np.testing.assert_array_equal(completed(rows_of(X)).flat()[7], 0)


def test_shapes_of_images_are_kept():
    X = without(np.random.default_rng(0).random((20, 12)), 0.2)
    rows = completed(rows_of(X, (1, 3, 4)))
    assert rows.data_shape == (1, 3, 4)
    assert not rows.has_missing


@pytest.mark.parametrize("changes", [{"max_references": 40}, {"n_queries": 7}])
def test_parts_of_the_work_fit_together(changes):
    X, _ = make_blobs(200, 4, centers=3, cluster_std=0.1, random_state=0)
    rows = rows_of(without(X, 0.2))
    found = completed(rows, policy=COMPLETION._replace(**changes)).flat()
    assert np.abs(found - X).mean() < 0.5
    if "n_queries" in changes:
        np.testing.assert_allclose(found, completed(rows).flat(), atol=1e-5)
